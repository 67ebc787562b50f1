/* How coffer talks to coffer-tpm2, the program that alone uses a TPM 2.0.
 *
 *   coffer-tpm2 seal    in: TCTI, PCRs, PIN, plaintext              out: public part, private part
 *   coffer-tpm2 open    in: TCTI, PCRs, PIN, public, private        out: plaintext
 *
 * In and out are frames (frames.h).  The TCTI is a configuration string of tpm2-tss, or empty: what that takes by itself.  The PCRs are numbers
 * with a comma between them, of the SHA-256 bank; the PIN may be empty.  The parts are TPM2B_PUBLIC and TPM2B_PRIVATE as the TPM has
 * them.  On failure one line goes to standard error, and the exit status is one of these. */
#ifndef COFFER_KEYMGR_HELPER_TPM2_PROTOCOL_H
#define COFFER_KEYMGR_HELPER_TPM2_PROTOCOL_H

#define TPM2_HELPER "coffer-tpm2"

enum tpm2_status {
	TPM2_DONE = 0,
	TPM2_DOES_NOT_OPEN = 1, /* another TPM's, or changed */
	TPM2_WRONG_PIN = 2,
	TPM2_NOT_THERE = 3, /* no TPM */
	TPM2_OTHER_PCRS = 4,
	TPM2_LOCKED_OUT = 5, /* by wrong PINs, for a while */
	TPM2_FAILED = 6,
};

enum {
	TPM2_TCTI_MAX = 512,
	TPM2_PCRS_MAX = 64, /* "0,1,...,23" is 61 characters */
	TPM2_PCR_COUNT = 24,
	TPM2_PIN_MAX = 32, /* a TPM takes no more than the size of its digest */
	TPM2_PART_MAX = 512,
	TPM2_PLAIN_SIZE = 32,
	TPM2_IN_MAX = TPM2_TCTI_MAX + TPM2_PCRS_MAX + TPM2_PIN_MAX + 2 * TPM2_PART_MAX + 5 * 4,
	TPM2_OUT_MAX = 2 * TPM2_PART_MAX + 2 * 4,
};

#endif
