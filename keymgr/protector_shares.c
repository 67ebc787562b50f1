/* The protector of a backup in shares: X is 32 random bytes, which exist only as shares (shares.h). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "keymgr/protector.h"
#include "keymgr/shares.h"

static int validate(json_object *o, struct problem *p)
{
	uint64_t count = 0, threshold;
	int ret = member_number(o, "count", 1, SHARE_COUNT_MAX, &count, p);

	return ret < 0 ? ret : member_number(o, "threshold", 1, count, &threshold, p);
}

static int open_bytes(json_object *o, const struct unlock_secret *s, const struct protected *what,
		      uint8_t prk[SHA256_SIZE], struct fault *why)
{
	(void)o;
	(void)what;
	(void)why;
	return kdf_extract(s->bytes->bytes, s->bytes->size, prk);
}

static int make(json_object *o, const struct unlock_secret *s, const struct protected *what, uint8_t prk[SHA256_SIZE],
		struct fault *why)
{
	int ret = put_number(o, "threshold", s->share_threshold);

	if (ret == 0)
		ret = put_number(o, "count", s->share_count);
	return ret < 0 ? ret : open_bytes(o, s, what, prk, why);
}

static void describe(json_object *o, char *out, size_t n)
{
	uint64_t threshold = 0, count = 0;
	struct problem ignored = {0};

	if (member_number(o, "threshold", 0, SHARE_COUNT_MAX, &threshold, &ignored) < 0 ||
	    member_number(o, "count", 0, SHARE_COUNT_MAX, &count, &ignored) < 0)
		threshold = count = 0;
	snprintf(out, n, "%" PRIu64 " of %" PRIu64 " shares", threshold, count);
}

const struct protector_type protector_shares = {
	.name = "shares",
	.kind = SECRET_SHARES,
	.made_of = SECRET_SHARES,
	.validate = validate,
	.make = make,
	.open = open_bytes,
	.describe = describe,
};
