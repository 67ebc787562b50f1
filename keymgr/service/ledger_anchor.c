/* The anchor of the ledger's log: ledger.c (4).  {"n":NUMBER,"link":MAC of that line,"mac":HMAC-SHA-256 of both} */
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/service/ledger_internal.h"
#include "util/base/atomic_file.h"
#include "util/base/bytes.h"
#include "util/base/encode.h"

enum { ANCHOR_MAX = 1024 };

static int anchor_mac(const struct service_keys *keys, const struct audit_link *at, uint8_t mac[SHA256_SIZE])
{
	uint8_t text[8 + SHA256_SIZE];

	put_le64(text, at->n);
	memcpy(text + 8, at->mac, SHA256_SIZE);
	return hmac_sha256(keys->anchor->bytes, keys->anchor->size, text, sizeof(text), mac);
}

static int in_directory_of(const char *file, int (*call)(struct store *s, int dir, const char *name, void *context),
			   void *context)
{
	_cleanup_free_ char *for_name = strdup(file), *for_dir = strdup(file);
	struct store *s = store_posix_new();
	int dir, ret = -ENOMEM;

	if (for_name && for_dir && s) {
		dir = store_open(s, AT_FDCWD, dirname(for_dir), O_RDONLY | O_DIRECTORY, 0);
		ret = dir < 0 ? dir : call(s, dir, basename(for_name), context);
		store_close(s, dir);
	}
	if (s)
		s->ops->destroy(s);
	return ret;
}

static int write_text(struct store *s, int dir, const char *name, void *text)
{
	return atomic_file_write(s, dir, name, text, strlen(text));
}

int anchor_write(const struct service_keys *keys, const char *file, const struct audit_link *at)
{
	char text[ANCHOR_MAX], link[2 * SHA256_SIZE + 1], hex[2 * SHA256_SIZE + 1];
	uint8_t mac[SHA256_SIZE];
	int ret = anchor_mac(keys, at, mac);

	if (ret < 0)
		return ret;
	hex_encode(at->mac, SHA256_SIZE, link);
	hex_encode(mac, SHA256_SIZE, hex);
	snprintf(text, sizeof(text), "{\"n\":%" PRIu64 ",\"link\":\"%s\",\"mac\":\"%s\"}\n", at->n, link, hex);
	return in_directory_of(file, write_text, text);
}

int ledger_anchor(struct ledger *l)
{
	int ret;

	if (l->anchored.n == l->committed.n)
		return 0;
	ret = anchor_write(l->keys, l->anchor_file, &l->committed);
	if (ret == 0)
		l->anchored = l->committed;
	return ret;
}

struct reading {
	const struct service_keys *keys;
	struct audit_link *out;
};

static int read_anchor(struct store *s, int dir, const char *name, void *context)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ json_object *o = NULL;
	const struct reading *r = context;
	uint8_t claimed[SHA256_SIZE], mac[SHA256_SIZE];
	struct problem p = {0};
	size_t n;
	int ret = atomic_file_read(s, dir, name, ANCHOR_MAX, &text, &n);

	if (ret == 0)
		ret = document_parse(text, n, &o, &p);
	if (ret == 0)
		ret = member_number(o, "n", 1, DOCUMENT_NUMBER_MAX, &r->out->n, &p);
	if (ret == 0)
		ret = member_hex(o, "link", r->out->mac, SHA256_SIZE, &p);
	if (ret == 0)
		ret = member_hex(o, "mac", claimed, SHA256_SIZE, &p);
	if (ret == 0)
		ret = anchor_mac(r->keys, r->out, mac);
	return ret == 0 && !crypto_equal(claimed, mac, sizeof(mac)) ? -EBADMSG : ret;
}

int anchor_read(const struct service_keys *keys, const char *file, struct audit_link *out)
{
	struct reading r = {keys, out};

	return in_directory_of(file, read_anchor, &r);
}
