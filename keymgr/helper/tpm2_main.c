/* coffer-tpm2: secrets sealed in a TPM 2.0, for coffer (tpm2_protocol.h).
 *
 * 1. It alone uses the TPM and maps what that needs.
 * 2. It is not dumpable, and what it reads and writes is in locked memory; so is all the rest where the process may lock all it has.
 * 3. Nothing is written before all has succeeded. */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/helper/tpm2.h"
#include "util/base/bytes.h"

enum { ARENA = TPM2_IN_MAX + TPM2_OUT_MAX + 4096 };
enum { TCTI, PCRS, PIN, PLAIN, PUBLIC = PLAIN, PRIVATE, FRAMES };

void say_line(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

static enum tpm2_status judge(const char *wrong)
{
	return wrong ? say(TPM2_FAILED, "%s", wrong) : TPM2_DONE;
}

static enum tpm2_status seal(const struct span *in, struct secret *out)
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

static enum tpm2_status open_sealed(const struct span *in, struct secret *out)
{
	_cleanup_(tpm_close) struct tpm t = TPM_NONE;
	enum tpm2_status s = tpm_open(&t, in[TCTI], in[PCRS], in[PIN]);

	if (s == TPM2_DONE)
		s = tpm_unseal(&t, in[PUBLIC], in[PRIVATE], out->bytes + 4);
	put_le32(out->bytes, TPM2_PLAIN_SIZE);
	secret_shrink(out, TPM2_PLAIN_SIZE + 4);
	return s;
}

static enum tpm2_status run(bool sealing)
{
	_cleanup_secret_ struct secret *in = NULL, *out = NULL;
	struct span frames[FRAMES];
	enum tpm2_status s = judge(frames_prepare(ARENA));

	if (s == TPM2_DONE)
		s = judge(frames_read(TPM2_IN_MAX, &in));
	if (s == TPM2_DONE)
		s = judge(frames_split(in, frames, sealing ? PLAIN + 1 : FRAMES));
	if (s != TPM2_DONE)
		return s;
	out = secret_new(TPM2_OUT_MAX);
	if (!out)
		return say(TPM2_FAILED, "no memory");
	s = sealing ? seal(frames, out) : open_sealed(frames, out);
	return s == TPM2_DONE ? judge(frames_write(out)) : s;
}

int main(int argc, char **argv)
{
	enum tpm2_status s;

	setenv("TSS2_LOG", "all+none", 1); /* it would say everything twice, and before us */
	if (argc == 2 && (strcmp(argv[1], "seal") == 0 || strcmp(argv[1], "open") == 0))
		s = run(strcmp(argv[1], "seal") == 0);
	else
		s = say(TPM2_FAILED, "this program is run by coffer; see coffer(1)");
	secret_stop();
	return s;
}
