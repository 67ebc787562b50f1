/* coffer-tpm2: secrets sealed in a TPM 2.0, for coffer (tpm2_protocol.h).  It alone uses the TPM and maps what that needs. */
#include <stdlib.h>
#include <string.h>

#include "keymgr/helper/tpm2.h"
#include "util/base/bytes.h"

enum { TCTI, PCRS, PIN, PLAIN, PUBLIC = PLAIN, PRIVATE, FRAMES };

static int seal(const struct span *in, struct secret *out)
{
	_cleanup_(tpm_close) struct tpm t = TPM_NONE;
	uint8_t private[TPM2_PART_MAX] = {0};
	size_t n = 0, private_n = 0;
	enum tpm2_status s = tpm_open(&t, in[TCTI], in[PCRS], in[PIN]);

	if (s == TPM2_DONE)
		s = tpm_seal(&t, in[PLAIN], out->bytes + 4, &n, private, &private_n);
	if (s != TPM2_DONE)
		return s;
	put_le32(out->bytes, (uint32_t)n);
	put_le32(out->bytes + 4 + n, (uint32_t)private_n);
	memcpy(out->bytes + 8 + n, private, private_n);
	secret_shrink(out, 8 + n + private_n);
	return TPM2_DONE;
}

static int open_sealed(const struct span *in, struct secret *out)
{
	_cleanup_(tpm_close) struct tpm t = TPM_NONE;
	enum tpm2_status s = tpm_open(&t, in[TCTI], in[PCRS], in[PIN]);

	if (s == TPM2_DONE)
		s = tpm_unseal(&t, in[PUBLIC], in[PRIVATE], out->bytes + 4);
	put_le32(out->bytes, TPM2_PLAIN_SIZE);
	secret_shrink(out, TPM2_PLAIN_SIZE + 4);
	return s;
}

int main(int argc, char **argv)
{
	static const struct sealer program = {
		.seal = {PLAIN + 1, seal},
		.open = {FRAMES, open_sealed},
		.in_max = TPM2_IN_MAX,
		.out_max = TPM2_OUT_MAX,
		.failed = TPM2_FAILED,
	};

	setenv("TSS2_LOG", "all+none", 1); /* it would say everything twice, and before us */
	return sealer_main(&program, argc, argv);
}
