/* Tokens, on this side of the helper. */
#include "keymgr/pkcs11.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/helper_run.h"
#include "util/base/bytes.h"
#include "util/base/log.h"

/* --- the URI */

#define SCHEME "pkcs11:"

/* The attributes of RFC 7512 section 2.3 that stand before a query. */
static const char *const attributes[] = {
	"object",
	"id",
	"type",
	"token",
	"manufacturer",
	"serial",
	"model",
	"library-manufacturer",
	"library-description",
	"library-version",
	"slot-manufacturer",
	"slot-description",
	"slot-id",
};
enum { ATTRIBUTES = sizeof(attributes) / sizeof(attributes[0]), OBJECT = 0, ID = 1, TYPE = 2 };

static unsigned which(const char *at, size_t n)
{
	unsigned i = 0;

	while (i < ATTRIBUTES && (strlen(attributes[i]) != n || strncmp(attributes[i], at, n) != 0))
		i++;
	return i;
}

/* "name=value", up to a semicolon or the end. */
static const char *check_attribute(const char *at, size_t n, unsigned *seen)
{
	const char *equals = memchr(at, '=', n);
	unsigned i = equals ? which(at, (size_t)(equals - at)) : ATTRIBUTES;

	if (i == ATTRIBUTES)
		return "it holds something that describes no token or key";
	if (*seen & 1U << i)
		return "it says something twice";
	*seen |= 1U << i;
	if (i == TYPE && (n != strlen("type=secret-key") || strncmp(at, "type=secret-key", n) != 0))
		return "it names something else than a secret key";
	return NULL;
}

const char *pkcs11_uri_check(const char *uri)
{
	const char *wrong = NULL;
	unsigned seen = 0;

	if (strlen(uri) > PKCS11_URI_MAX)
		return "it is too long";
	if (strncmp(uri, SCHEME, strlen(SCHEME)) != 0)
		return "it does not begin with " SCHEME;
	for (const char *c = uri; *c; c++)
		if (*c <= ' ' || *c > '~' || strchr("\"\\<>^`{|}", *c))
			return "it holds a character that has to be written as %XX";
	if (strpbrk(uri, "?#"))
		return "it may not name a PIN or a module: give --pin-file, --pkcs11-module";
	for (const char *at = uri + strlen(SCHEME); !wrong;) {
		size_t n = strcspn(at, ";");

		wrong = check_attribute(at, n, &seen);
		if (!at[n])
			break;
		at += n + 1;
	}
	if (!wrong && !(seen & (1U << OBJECT | 1U << ID)))
		return "it names no key: add object= or id=";
	return wrong;
}

/* --- the helper */

static int judge(const struct helper_answer *a, const char *uri, struct fault *why)
{
	char shown[120];

	log_escape(uri, shown, sizeof(shown));
	switch (a->status) {
	case PKCS11_DONE:
		return 0;
	case PKCS11_DOES_NOT_OPEN:
		return -EKEYREJECTED;
	case PKCS11_WRONG_PIN:
		return fault_set(why, EXIT_WRONG_SECRET, EACCES,
				 "the token of %s: %s; tokens lock after a few of these, so look before you try again",
				 shown, a->said);
	case PKCS11_NOT_THERE:
		return fault_set(why, EXIT_UNREACHABLE, ENODEV,
				 "%s: %s; plug it in, or name its driver by --pkcs11-module", shown, a->said);
	case PKCS11_NO_KEY:
		return fault_set(why, EXIT_WRONG_SECRET, ENODEV, "the token of %s: %s", shown, a->said);
	case PKCS11_REFUSED:
		return fault_set(why, EXIT_REFUSED, EPERM, "the token of %s: %s", shown, a->said);
	default:
		return fault_set(why, EXIT_FAILED, EIO, PKCS11_HELPER " failed with status %d%s%s", a->status,
				 *a->said ? ": " : "", a->said);
	}
}

enum { COMMON = 4 };

static void common_frames(const struct pkcs11_key *k, const uint8_t *aad, size_t aad_size, struct helper_frame *f)
{
	f[0] = (struct helper_frame){k->module, k->module ? strlen(k->module) : 0};
	f[1] = (struct helper_frame){k->uri, strlen(k->uri)};
	f[2] = (struct helper_frame){k->pin->bytes, k->pin->size};
	f[3] = (struct helper_frame){aad, aad_size};
}

static int ask(const char *verb, const char *uri, const struct helper_frame *frames, size_t count, size_t size,
	       struct helper_answer *a, struct fault *why)
{
	int ret = helper_run(PKCS11_HELPER, verb, frames, count, PKCS11_OUT_MAX, a, why);

	if (ret == 0)
		ret = judge(a, uri, why);
	if (ret == 0 && a->out->size != size)
		ret = fault_set(why, EXIT_FAILED, EPROTO,
				PKCS11_HELPER " answered with something else than was asked for");
	return ret;
}

int pkcs11_seal(const struct pkcs11_key *k, const uint8_t *aad, size_t aad_size, const struct secret *plain,
		struct pkcs11_sealed *out, struct fault *why)
{
	_cleanup_helper_answer_ struct helper_answer a = {0};
	struct helper_frame frames[COMMON + 1];
	int ret;

	common_frames(k, aad, aad_size, frames);
	frames[COMMON] = (struct helper_frame){plain->bytes, plain->size};
	ret = ask("seal", k->uri, frames, COMMON + 1, PKCS11_OUT_MAX, &a, why);
	if (ret < 0)
		return ret;
	memcpy(out->iv, a.out->bytes + 4, sizeof(out->iv));
	memcpy(out->value, a.out->bytes + 8 + sizeof(out->iv), sizeof(out->value));
	return 0;
}

int pkcs11_open(const struct pkcs11_key *k, const uint8_t *aad, size_t aad_size, const struct pkcs11_sealed *in,
		struct secret *plain, struct fault *why)
{
	_cleanup_helper_answer_ struct helper_answer a = {0};
	struct helper_frame frames[COMMON + 2];
	int ret;

	common_frames(k, aad, aad_size, frames);
	frames[COMMON] = (struct helper_frame){in->iv, sizeof(in->iv)};
	frames[COMMON + 1] = (struct helper_frame){in->value, sizeof(in->value)};
	ret = ask("open", k->uri, frames, COMMON + 2, PKCS11_PLAIN_SIZE + 4, &a, why);
	if (ret == 0)
		memcpy(plain->bytes, a.out->bytes + 4, PKCS11_PLAIN_SIZE);
	return ret;
}
