/* A document with a seal line, kept in two copies. */
#include "keymgr/sealed_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/base/atomic_file.h"
#include "util/base/encode.h"
#include "util/base/log.h"

#define SEAL_START "#coffer-seal "
#define SEAL_MAC   "mac="
#define SEAL_HASH_ "sha256="

enum {
	HEX_SIZE = 2 * SHA256_SIZE,
	NAME_ROOM = 64,
	/* Nobody reads more than that, and without white space it is half as long: 4096 generations take 1.2 MiB. */
	READABLE_MAX = 64 << 10,
};

void sealed_text_free(struct sealed_text *t)
{
	free(t->text);
	*t = (struct sealed_text){0};
}

static size_t seal_size(enum seal_kind kind)
{
	size_t n = strlen(SEAL_START) + strlen(SEAL_HASH_) + HEX_SIZE + 1;

	return kind == SEAL_MAC_HASH ? n + strlen(SEAL_MAC) + HEX_SIZE + 1 : n;
}

static bool take(const char **at, const char *expected)
{
	size_t n = strlen(expected);

	if (strncmp(*at, expected, n) != 0)
		return false;
	*at += n;
	return true;
}

/* Lower case only: otherwise a changed byte could leave the file valid. */
static bool take_hex(const char **at, uint8_t out[SHA256_SIZE])
{
	if (strspn(*at, "0123456789abcdef") < HEX_SIZE || hex_decode(*at, HEX_SIZE, out, SHA256_SIZE) < 0)
		return false;
	*at += HEX_SIZE;
	return true;
}

int seal_check(struct sealed_text *t, enum seal_kind kind, struct problem *p)
{
	uint8_t claimed[SHA256_SIZE], hash[SHA256_SIZE];
	size_t hashed;
	const char *at;
	int ret;

	if (t->size <= seal_size(kind))
		return problem_set(p, "it has no seal line");
	t->document_size = t->size - seal_size(kind);
	hashed = t->size - HEX_SIZE - 1;
	at = t->text + t->document_size;
	if (at[-1] != '\n' || !take(&at, SEAL_START))
		return problem_set(p, "it has no seal line");
	if (kind == SEAL_MAC_HASH && (!take(&at, SEAL_MAC) || !take_hex(&at, t->mac) || !take(&at, " ")))
		return problem_set(p, "its seal line is damaged");
	if (!take(&at, SEAL_HASH_) || !take_hex(&at, claimed) || at != t->text + t->size - 1 || *at != '\n')
		return problem_set(p, "its seal line is damaged");
	ret = sha256(t->text, hashed, hash);
	if (ret < 0)
		return ret;
	if (!crypto_equal(claimed, hash, sizeof(hash)))
		return problem_set(p, "its hash is wrong");
	return 0;
}

int seal_make(json_object *o, enum seal_kind kind, const uint8_t *mac_key, struct sealed_text *out)
{
	char hex[HEX_SIZE + 1];
	uint8_t hash[SHA256_SIZE];
	const char *document;
	char *at;
	size_t n;
	int ret;

	*out = (struct sealed_text){0};
	document = document_render(o, &n);
	if (document && n > READABLE_MAX)
		document = document_render_compact(o, &n);
	if (!document)
		return -ENOMEM;
	out->document_size = n + 1;
	out->size = out->document_size + seal_size(kind);
	if (out->size > SEALED_FILE_MAX)
		return -EFBIG;
	out->text = malloc(out->size + 1);
	if (!out->text)
		return -ENOMEM;
	memcpy(out->text, document, n);
	out->text[n] = '\n';
	at = stpcpy(out->text + n + 1, SEAL_START);
	if (kind == SEAL_MAC_HASH) {
		ret = hmac_sha256(mac_key, SHA256_SIZE, out->text, out->document_size, out->mac);
		if (ret < 0)
			goto fail;
		hex_encode(out->mac, SHA256_SIZE, hex);
		at = stpcpy(stpcpy(stpcpy(at, SEAL_MAC), hex), " ");
	}
	at = stpcpy(at, SEAL_HASH_);
	ret = sha256(out->text, (size_t)(at - out->text), hash);
	if (ret < 0)
		goto fail;
	hex_encode(hash, SHA256_SIZE, hex);
	stpcpy(stpcpy(at, hex), "\n");
	return 0;
fail:
	sealed_text_free(out);
	return ret;
}

/* A copy that cannot be read for a reason that lies in the copy is as good as damaged. */
static int read_failure(int error, struct problem *p)
{
	switch (error) {
	case -ENOENT:
		return problem_set(p, "it is missing");
	case -ELOOP:
		return problem_set(p, "it is not a regular file");
	case -EMLINK:
		return problem_set(p, "it has more than one hard link");
	case -EFBIG:
		return problem_set(p, "it is larger than 4 MiB");
	case -EIO:
		return problem_set(p, "reading it gives an I/O error");
	default:
		return error;
	}
}

static int read_copy(struct store *s, int dot, const char *name, enum seal_kind kind, sealed_accept accept,
		     void *context, struct problem *p, struct fault *why)
{
	_cleanup_(sealed_text_free) struct sealed_text t = {0};
	int ret;

	ret = atomic_file_read(s, dot, name, SEALED_FILE_MAX, &t.text, &t.size);
	if (ret < 0)
		ret = read_failure(ret, p);
	if (ret == 0)
		ret = seal_check(&t, kind, p);
	if (ret == 0)
		ret = accept(&t, context, p, why);
	if (ret < 0 && ret != -EBADMSG)
		fault_errno(why, EXIT_STORE, ret, "cannot read .coffer/%s", name);
	return ret;
}

int sealed_file_read(struct store *s, int dot, const char *name, enum seal_kind kind, sealed_accept accept,
		     void *context, struct fault *why)
{
	struct problem first = {0}, second = {0};
	char copy[NAME_ROOM];
	int ret;

	snprintf(copy, sizeof(copy), "%s.bak", name);
	ret = read_copy(s, dot, name, kind, accept, context, &first, why);
	if (ret != -EBADMSG)
		return ret;
	ret = read_copy(s, dot, copy, kind, accept, context, &second, why);
	if (ret == -EBADMSG)
		return fault_set(why, EXIT_DAMAGED, EBADMSG,
				 ".coffer/%s is damaged (%s) and so is %s (%s); put back a copy from a backup", name,
				 first.text, copy, second.text);
	if (ret == 0)
		log_warning(".coffer/%s is damaged (%s); using its second copy, %s", name, first.text, copy);
	return ret;
}

int sealed_file_write(struct store *s, int dot, const char *name, const struct sealed_text *t, bool *first)
{
	char copy[NAME_ROOM];
	int ret;

	*first = false;
	snprintf(copy, sizeof(copy), "%s.bak", name);
	ret = atomic_file_write(s, dot, name, t->text, t->size);
	if (ret < 0)
		return ret;
	*first = true;
	return atomic_file_write(s, dot, copy, t->text, t->size);
}
