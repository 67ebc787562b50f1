/* The TPM, on this side of the helper. */
#include "keymgr/tpm2.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/helper_run.h"
#include "util/base/bytes.h"

/* One number without leading zeroes; -1: that is none. */
static int number(const char *at, size_t n)
{
	int value = 0;

	if (n < 1 || n > 2 || (n == 2 && at[0] == '0'))
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (at[i] < '0' || at[i] > '9')
			return -1;
		value = value * 10 + (at[i] - '0');
	}
	return value < TPM2_PCR_COUNT ? value : -1;
}

const char *tpm2_pcrs_check(const char *pcrs)
{
	int last = -1;

	if (!*pcrs)
		return NULL;
	for (const char *at = pcrs;;) {
		size_t n = strcspn(at, ",");
		int value = number(at, n);

		if (value < 0)
			return "PCRs are numbers, 0 to 23, with a comma between them";
		if (value <= last)
			return "PCRs have to ascend";
		last = value;
		if (!at[n])
			return NULL;
		at += n + 1;
	}
}

static int judge(const struct helper_answer *a, struct fault *why)
{
	switch (a->status) {
	case TPM2_DONE:
		return 0;
	case TPM2_DOES_NOT_OPEN:
		return -EKEYREJECTED;
	case TPM2_WRONG_PIN:
		return fault_set(why, EXIT_WRONG_SECRET, EACCES,
				 "the TPM: %s; it locks for a while after some of these, so look before you try again",
				 a->said);
	case TPM2_NOT_THERE:
		return fault_set(why, EXIT_UNREACHABLE, ENODEV,
				 "%s: is there one, and may you use /dev/tpmrm0? (--tpm-tcti names another)", a->said);
	case TPM2_OTHER_PCRS:
		return fault_set(why, EXIT_WRONG_SECRET, ENODEV,
				 "the TPM: %s; open it by another secret, and seal it anew", a->said);
	case TPM2_LOCKED_OUT:
		return fault_set(why, EXIT_REFUSED, EPERM, "%s; wait, or see tpm2_dictionarylockout(1)", a->said);
	default:
		return fault_set(why, EXIT_FAILED, EIO, TPM2_HELPER " failed with status %d%s%s", a->status,
				 *a->said ? ": " : "", a->said);
	}
}

enum { COMMON = 3 };

static void common_frames(const struct tpm2_lock *l, struct helper_frame *f)
{
	f[0] = (struct helper_frame){l->tcti, l->tcti ? strlen(l->tcti) : 0};
	f[1] = (struct helper_frame){l->pcrs, strlen(l->pcrs)};
	f[2] = (struct helper_frame){l->pin ? l->pin->bytes : NULL, l->pin ? l->pin->size : 0};
}

static int ask(const char *verb, const struct helper_frame *frames, size_t count, struct helper_answer *a,
	       struct fault *why)
{
	int ret = helper_run(TPM2_HELPER, verb, frames, count, TPM2_OUT_MAX, a, why);

	return ret == 0 ? judge(a, why) : ret;
}

static int malformed(struct fault *why)
{
	return fault_set(why, EXIT_FAILED, EPROTO, TPM2_HELPER " answered with something else than was asked for");
}

static int take_part(const struct secret *s, size_t *at, uint8_t part[TPM2_PART_MAX], size_t *n)
{
	if (s->size - *at < 4)
		return -EPROTO;
	*n = get_le32(s->bytes + *at);
	*at += 4;
	if (*n < 1 || *n > TPM2_PART_MAX || *n > s->size - *at)
		return -EPROTO;
	memcpy(part, s->bytes + *at, *n);
	*at += *n;
	return 0;
}

int tpm2_seal(const struct tpm2_lock *l, const struct secret *plain, struct tpm2_sealed *out, struct fault *why)
{
	_cleanup_helper_answer_ struct helper_answer a = {0};
	struct helper_frame frames[COMMON + 1];
	size_t at = 0;
	int ret;

	common_frames(l, frames);
	frames[COMMON] = (struct helper_frame){plain->bytes, plain->size};
	ret = ask("seal", frames, COMMON + 1, &a, why);
	if (ret < 0)
		return ret;
	if (take_part(a.out, &at, out->public, &out->public_size) < 0 ||
	    take_part(a.out, &at, out->private, &out->private_size) < 0 || at != a.out->size)
		return malformed(why);
	return 0;
}

int tpm2_open(const struct tpm2_lock *l, const struct tpm2_sealed *in, struct secret *plain, struct fault *why)
{
	_cleanup_helper_answer_ struct helper_answer a = {0};
	struct helper_frame frames[COMMON + 2];
	int ret;

	common_frames(l, frames);
	frames[COMMON] = (struct helper_frame){in->public, in->public_size};
	frames[COMMON + 1] = (struct helper_frame){in->private, in->private_size};
	ret = ask("open", frames, COMMON + 2, &a, why);
	if (ret < 0)
		return ret;
	if (a.out->size != TPM2_PLAIN_SIZE + 4)
		return malformed(why);
	memcpy(plain->bytes, a.out->bytes + 4, TPM2_PLAIN_SIZE);
	return 0;
}
