/* Protectors of a TPM 2.0: X is 32 random bytes, sealed in this machine's TPM (tpm2.h).
 *
 * 1. Whoever may use the TPM can make one, and the public half of its storage key suffices; what comes of that is in pin.h.
 * 2. It opens on this machine, for a boot whose PCRs are those of the sealing, and with the PIN if it has one. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/protector.h"
#include "keymgr/tpm2.h"

struct parameters {
	const char *pcrs; /* inside the document */
	bool pin;
	struct tpm2_sealed sealed;
};

static int load(json_object *o, struct parameters *out, struct problem *p)
{
	int ret = member_string(o, "pcrs", &out->pcrs, p);
	const char *wrong = ret == 0 ? tpm2_pcrs_check(out->pcrs) : NULL;

	if (wrong)
		return problem_set(p, "\"pcrs\" of a TPM: %s", wrong);
	if (ret == 0)
		ret = member_bool(o, "pin", &out->pin, p);
	if (ret == 0 && !out->pin && !*out->pcrs)
		return problem_set(p, "a protector of a TPM has neither PCRs nor a PIN");
	if (ret == 0)
		ret = member_bytes_between(o, "public", out->sealed.public, 1, TPM2_PART_MAX, &out->sealed.public_size,
					   p);
	return ret < 0 ? ret
		       : member_bytes_between(o, "private", out->sealed.private, 1, TPM2_PART_MAX,
					      &out->sealed.private_size, p);
}

static int validate(json_object *o, struct problem *p)
{
	struct parameters ignored;

	return load(o, &ignored, p);
}

static int put_parameters(json_object *o, const struct tpm2_lock *l, const struct tpm2_sealed *sealed)
{
	int ret = put_string(o, "pcrs", l->pcrs);

	if (ret == 0)
		ret = put_value(o, "pin", json_object_new_boolean(l->pin != NULL));
	if (ret == 0)
		ret = put_bytes(o, "public", sealed->public, sealed->public_size);
	return ret < 0 ? ret : put_bytes(o, "private", sealed->private, sealed->private_size);
}

static int make(json_object *o, const struct unlock_secret *s, const struct protected *what, uint8_t prk[SHA256_SIZE],
		struct fault *why)
{
	const struct tpm2_lock lock = {s->tpm_tcti, s->tpm_pcrs, s->passphrase};
	_cleanup_secret_ struct secret *x = secret_new(TPM2_PLAIN_SIZE);
	struct tpm2_sealed sealed;
	int ret = x ? crypto_random(x->bytes, x->size) : -ENOMEM;

	(void)what;
	if (ret == 0 && (!lock.pcrs || tpm2_pcrs_check(lock.pcrs)))
		ret = -EINVAL;
	if (ret == 0)
		ret = tpm2_seal(&lock, x, &sealed, why);
	if (ret == 0)
		ret = put_parameters(o, &lock, &sealed);
	return ret < 0 ? ret : kdf_extract(x->bytes, x->size, prk);
}

/* A PIN that it does not have is not tried. */
static int open_by_tpm(json_object *o, const struct unlock_secret *s, const struct protected *what,
		       uint8_t prk[SHA256_SIZE], struct fault *why)
{
	_cleanup_secret_ struct secret *x = secret_new(TPM2_PLAIN_SIZE);
	struct parameters with;
	struct problem p = {0};
	int ret = x ? load(o, &with, &p) : -ENOMEM;

	(void)what;
	if (ret < 0)
		return ret;
	if (with.pin && !s->passphrase)
		return fault_set(why, EXIT_NO_SECRET, ENODEV, "the TPM wants a PIN: give --tpm-pin-file F");
	ret = tpm2_open(&(struct tpm2_lock){s->tpm_tcti, with.pcrs, with.pin ? s->passphrase : NULL}, &with.sealed, x,
			why);
	return ret != 0 ? ret : kdf_extract(x->bytes, x->size, prk);
}

static void describe(json_object *o, char *out, size_t n)
{
	struct parameters with;
	struct problem ignored = {0};

	out[0] = '\0';
	if (load(o, &with, &ignored) == 0)
		snprintf(out, n, "%s%s%s%s", *with.pcrs ? "PCRs " : "", with.pcrs, *with.pcrs && with.pin ? ", " : "",
			 with.pin ? "PIN" : "");
}

bool protector_tpm2_of(json_object *o, const char **pcrs, bool *pin)
{
	struct parameters with;
	struct problem ignored = {0};

	if (load(o, &with, &ignored) < 0)
		return false;
	*pcrs = with.pcrs;
	*pin = with.pin;
	return true;
}

const struct protector_type protector_tpm2 = {
	.name = "tpm2",
	.kind = SECRET_TPM,
	.made_of = SECRET_TPM,
	.anyone_makes = true,
	.validate = validate,
	.make = make,
	.open = open_by_tpm,
	.describe = describe,
};
