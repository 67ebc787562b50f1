/* What the C tests of the key service share: a directory and a keyring of the service's own, for each test. */
#ifndef COFFER_TESTS_SERVICE_FIXTURE_H
#define COFFER_TESTS_SERVICE_FIXTURE_H

#include <check.h>

#include "keymgr/service/ledger.h"

extern struct service_keys fixture_keys;

void fixture_set_up(void);
void fixture_tear_down(void);
/* A name in the directory of the test; valid until the next call but one. */
const char *fixture_path(const char *name);
/* Runs the case's tests between set_up and tear_down; the exit status of the program. */
int fixture_run(const char *name, TCase *c);

#endif
