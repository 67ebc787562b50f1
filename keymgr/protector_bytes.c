/* Protectors whose secret is random already: key files and recovery keys.  X is the bytes themselves. */
#include <errno.h>
#include <stdio.h>

#include "keymgr/protector.h"

static int validate_nothing(json_object *o, struct problem *p)
{
	(void)o;
	(void)p;
	return 0;
}

/* Making and opening are the same. */
static int use_bytes(json_object *o, const struct unlock_secret *s, const struct protected *what,
		     uint8_t prk[SHA256_SIZE], struct fault *why)
{
	(void)o;
	(void)what;
	(void)why;
	return kdf_extract(s->bytes->bytes, s->bytes->size, prk);
}

static void describe_nothing(json_object *o, char *out, size_t n)
{
	(void)o;
	snprintf(out, n, "%s", "");
}

const struct protector_type protector_key_file = {
	.name = "key-file",
	.kind = SECRET_KEY_FILE,
	.made_of = SECRET_KEY_FILE,
	.validate = validate_nothing,
	.make = use_bytes,
	.open = use_bytes,
	.describe = describe_nothing,
};

const struct protector_type protector_recovery_key = {
	.name = "recovery-key",
	.kind = SECRET_RECOVERY_KEY,
	.made_of = SECRET_RECOVERY_KEY,
	.validate = validate_nothing,
	.make = use_bytes,
	.open = use_bytes,
	.describe = describe_nothing,
};
