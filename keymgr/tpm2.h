/* Sealing a secret in this machine's TPM 2.0, and back (docs/format-keyring.md section 5), by the helper coffer-tpm2. */
#ifndef COFFER_KEYMGR_TPM2_H
#define COFFER_KEYMGR_TPM2_H

#include "keymgr/helper/tpm2_protocol.h"
#include "util/base/fault.h"
#include "util/base/secret.h"

#define TPM2_PCRS_DEFAULT "7" /* whether Secure Boot is on, and which keys it goes by */

/* How it opens; what the members point to is somebody else's. */
struct tpm2_lock {
	const char *tcti;         /* of tpm2-tss; NULL: what that takes by itself */
	const char *pcrs;         /* as tpm2_pcrs_check() wants them */
	const struct secret *pin; /* NULL: none */
};

struct tpm2_sealed {
	uint8_t public[TPM2_PART_MAX], private[TPM2_PART_MAX];
	size_t public_size, private_size;
};

/* NULL if the text is a list of PCRs, 0 to 23, ascending, with a comma between them, or empty; else what is wrong, in words. */
const char *tpm2_pcrs_check(const char *pcrs) MUST_CHECK;

/* plain: TPM2_PLAIN_SIZE bytes, here and below.  A PIN is tried once.  -EACCES, EXIT_WRONG_SECRET: it is wrong.  -ENODEV: there is no TPM
 * (EXIT_UNREACHABLE), or the boot was another (EXIT_WRONG_SECRET). */
int tpm2_seal(const struct tpm2_lock *l, const struct secret *plain, struct tpm2_sealed *out,
	      struct fault *why) MUST_CHECK;
/* Also -EKEYREJECTED, without a fault: it is another TPM's, or was changed. */
int tpm2_open(const struct tpm2_lock *l, const struct tpm2_sealed *in, struct secret *plain,
	      struct fault *why) MUST_CHECK;

#endif
