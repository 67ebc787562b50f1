/* CMS, on this side of the helper. */
#include "keymgr/cms.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/cms_profile.h"
#include "keymgr/helper_run.h"
#include "util/base/bytes.h"

/* What the helper's exit status means, for what it was asked to do. */
static int judge(const struct helper_answer *a, const char *subject, struct fault *why)
{
	switch (a->status) {
	case HELPER_DONE:
		return 0;
	case HELPER_DOES_NOT_OPEN:
		return -EKEYREJECTED;
	case HELPER_KEY_ENCRYPTED:
		return fault_set(why, EXIT_NO_SECRET, ENOKEY, "the %s is encrypted: give --identity-passphrase-file F",
				 subject);
	case HELPER_WRONG_PASSPHRASE:
		return fault_set(why, EXIT_WRONG_SECRET, EACCES, "the %s: %s", subject, a->said);
	case HELPER_BAD_INPUT:
		return fault_set(why, EXIT_REFUSED, EINVAL, "the %s cannot be used: %s", subject, a->said);
	case HELPER_TOO_OLD:
		return fault_set(why, EXIT_UNSUPPORTED, ENOTSUP, "%s: upgrade it", a->said);
	default:
		return fault_set(why, EXIT_FAILED, EIO, CMS_HELPER " failed with status %d%s%s", a->status,
				 *a->said ? ": " : "", a->said);
	}
}

static int malformed(struct fault *why)
{
	return fault_set(why, EXIT_FAILED, EPROTO, CMS_HELPER " answered with something else than was asked for");
}

/* One frame of what the helper said. */
static bool take_frame(const struct secret *s, size_t *at, const uint8_t **bytes, size_t *n)
{
	if (s->size - *at < 4)
		return false;
	*n = get_le32(s->bytes + *at);
	*bytes = s->bytes + *at + 4;
	if (*n > s->size - *at - 4)
		return false;
	*at += 4 + *n;
	return true;
}

/* "rsa-3072 2027-11-28T01:49:14Z" */
static int parse_words(const char *text, struct cms_made *out)
{
	const char *space = strchr(text, ' ');
	time_t ignored;
	size_t n = space ? (size_t)(space - text) : 0;

	if (n < 1 || n > CMS_KEY_TEXT || strlen(space + 1) != TIME_TEXT || time_parse(space + 1, &ignored) < 0)
		return -EPROTO;
	memcpy(out->key, text, n);
	out->key[n] = '\0';
	memcpy(out->expires, space + 1, TIME_TEXT + 1);
	return 0;
}

static int parse_encrypted(const struct secret *s, struct cms_made *out)
{
	char text[HELPER_WORDS_MAX];
	const uint8_t *words, *der;
	size_t at = 0, n, size;

	if (!take_frame(s, &at, &words, &n) || !take_frame(s, &at, &der, &size) || at != s->size || n >= sizeof(text) ||
	    size > sizeof(out->der))
		return -EPROTO;
	memcpy(text, words, n);
	text[n] = '\0';
	memcpy(out->der, der, size);
	out->size = size;
	return parse_words(text, out);
}

int cms_encrypt(const struct secret *certificate, const struct secret *plain, struct cms_made *out, struct fault *why)
{
	const struct helper_frame frames[] = {{certificate->bytes, certificate->size}, {plain->bytes, plain->size}};
	_cleanup_helper_answer_ struct helper_answer a = {0};
	int ret = helper_run(CMS_HELPER, "encrypt", frames, 2, HELPER_OUT_MAX, &a, why);

	if (ret == 0)
		ret = judge(&a, "certificate", why);
	if (ret < 0)
		return ret;
	/* What we would refuse to open must not be written. */
	if (parse_encrypted(a.out, out) < 0 || cms_profile_check(out->der, out->size))
		return malformed(why);
	return 0;
}

int cms_decrypt(const struct secret *key, const struct secret *passphrase, const uint8_t *der, size_t n,
		struct secret **plain, struct fault *why)
{
	const struct helper_frame frames[] = {
		{key->bytes, key->size},
		{passphrase ? passphrase->bytes : NULL, passphrase ? passphrase->size : 0},
		{der, n},
	};
	_cleanup_helper_answer_ struct helper_answer a = {0};
	_cleanup_secret_ struct secret *s = NULL;
	const uint8_t *bytes;
	size_t at = 0, size;
	int ret;

	*plain = NULL;
	if (cms_profile_check(der, n))
		return -EBADMSG;
	ret = helper_run(CMS_HELPER, "decrypt", frames, 3, HELPER_OUT_MAX, &a, why);
	if (ret == 0)
		ret = judge(&a, "identity", why);
	if (ret < 0)
		return ret;
	if (!take_frame(a.out, &at, &bytes, &size) || at != a.out->size || size == 0)
		return malformed(why);
	s = secret_new(size);
	if (!s)
		return -ENOMEM;
	memcpy(s->bytes, bytes, size);
	*plain = secret_move(&s);
	return 0;
}
