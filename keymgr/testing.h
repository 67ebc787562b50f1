/* What only tests use. */
#ifndef COFFER_KEYMGR_TESTING_H
#define COFFER_KEYMGR_TESTING_H

#include <time.h>

#include "util/base/crypto.h"

/* New passphrase protectors cost this instead of a calibrated second, and the lower bound for new ones does not hold; NULL
 * takes it back. */
void keyring_set_argon2_for_tests(const struct argon2_cost *cost);
/* How often Argon2id has been run to open a protector. */
unsigned keyring_kdf_runs(void);

/* What is taken for the time now; 0 takes it back. */
void document_set_clock_for_tests(time_t now);

#endif
