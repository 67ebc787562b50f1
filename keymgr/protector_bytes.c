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

static int make_nothing(json_object *o, const struct unlock_secret *s, struct fault *why)
{
	(void)o;
	(void)s;
	(void)why;
	return 0;
}

static int open_bytes(json_object *o, const struct secret *s, uint8_t prk[SHA256_SIZE])
{
	(void)o;
	return kdf_extract(s->bytes, s->size, prk);
}

static void describe_nothing(json_object *o, char *out, size_t n)
{
	(void)o;
	snprintf(out, n, "%s", "");
}

const struct protector_type protector_key_file = {
	.name = "key-file",
	.kind = SECRET_KEY_FILE,
	.validate = validate_nothing,
	.make = make_nothing,
	.open = open_bytes,
	.describe = describe_nothing,
};

const struct protector_type protector_recovery_key = {
	.name = "recovery-key",
	.kind = SECRET_RECOVERY_KEY,
	.validate = validate_nothing,
	.make = make_nothing,
	.open = open_bytes,
	.describe = describe_nothing,
};
