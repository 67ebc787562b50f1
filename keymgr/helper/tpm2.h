/* A TPM 2.0, inside coffer-tpm2 (TCG TPM 2.0 Library parts 1 to 3; tpm2-tss ESAPI). */
#ifndef COFFER_KEYMGR_HELPER_TPM2_H
#define COFFER_KEYMGR_HELPER_TPM2_H

#include <tss2/tss2_esys.h>

#include "keymgr/helper/sealer.h"
#include "keymgr/helper/tpm2_protocol.h"

struct tpm {
	TSS2_TCTI_CONTEXT *tcti;
	ESYS_CONTEXT *esys;
	ESYS_TR primary, session, object; /* ESYS_TR_NONE: there is none */
	TPML_PCR_SELECTION pcrs;
	TPM2B_AUTH pin;
};
#define TPM_NONE ((struct tpm){.primary = ESYS_TR_NONE, .session = ESYS_TR_NONE, .object = ESYS_TR_NONE})

enum tpm2_status tpm_open(struct tpm *t, struct span tcti, struct span pcrs, struct span pin) MUST_CHECK;
/* Takes everything out of the TPM again: it has few places. */
void tpm_close(struct tpm *t);

enum tpm2_status tpm_seal(struct tpm *t, struct span plain, uint8_t *public, size_t *public_size, uint8_t *private,
			  size_t *private_size) MUST_CHECK;
enum tpm2_status tpm_unseal(struct tpm *t, struct span public, struct span private,
			    uint8_t plain[TPM2_PLAIN_SIZE]) MUST_CHECK;

#endif
