#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "util/base/encode.h"
#include "util/field/token_internal.h"

static void other_keyring(const struct token_info *info, const struct token_box *b, char *out, size_t n)
{
	char theirs[9], ours[9];

	hex_encode(info->keyring, 4, theirs);
	hex_encode(b->keyring_id, 4, ours);
	snprintf(out, n,
		 "the token belongs to another keyring, of another environment (id %s..., this one is %s...); coffer "
		 "field "
		 "migrate moves tokens",
		 theirs, ours);
}

const char *token_reason(int error, const struct token_info *info, const struct token_box *b, const char *context,
			 char *out, size_t n)
{
	switch (error) {
	case -EXDEV:
		other_keyring(info, b, out, n);
		break;
	case -ENOKEY:
		snprintf(out, n, "%sgeneration %" PRIu32 " is suspended; %s it first",
			 b->mount ? "the mount is locked, or " : "", info->generation,
			 b->mount ? "unlock or resume" : "resume");
		break;
	case -ESTALE:
		snprintf(out, n,
			 "generation %" PRIu32 " is unknown to the keyring, destroyed, or not accepted any more",
			 info->generation);
		break;
	case -ENOENT:
		snprintf(out, n, "the keyring does not know the domain of this token");
		break;
	case -EPERM:
		snprintf(out, n, "a sealed token, which anyone may have written; --mode sealed or a rule accepts it");
		break;
	case -ENOTSUP:
		snprintf(out, n, "sealed tokens need X25519, which FIPS mode refuses");
		break;
	case -ECONNRESET:
		snprintf(out, n, "%s",
			 b->mount ? "the mount ended meanwhile, or does not answer this user"
				  : "the agent ended meanwhile; start it again, or give the keyring's secret");
		break;
	case -EACCES:
		snprintf(out, n, "the mount's rules give this user no right to it");
		break;
	default:
		snprintf(out, n, "the token was changed, or belongs to another place, bind mode or context%s%s%s",
			 context ? " than " : "", context ? context : "", context ? "" : " (none was given)");
	}
	return out;
}
