/* The anchor of the ledger's log: ledger.c (4).
 * {"n":NUMBER,"link":MAC of that line,"mac":HMAC-SHA-256 of both}; "generation":G comes first where that is not 1. */
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

static int anchor_mac(const struct secret *key, const struct audit_link *at, uint8_t mac[SHA256_SIZE])
{
	uint8_t text[8 + SHA256_SIZE];

	put_le64(text, at->n);
	memcpy(text + 8, at->mac, SHA256_SIZE);
	return hmac_sha256(key->bytes, key->size, text, sizeof(text), mac);
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
	char text[ANCHOR_MAX], link[2 * SHA256_SIZE + 1], hex[2 * SHA256_SIZE + 1], generation[40] = "";
	uint8_t mac[SHA256_SIZE];
	int ret = anchor_mac(keys->anchor, at, mac);

	if (ret < 0)
		return ret;
	hex_encode(at->mac, SHA256_SIZE, link);
	hex_encode(mac, SHA256_SIZE, hex);
	if (keys->generation != SERVICE_FIRST_GENERATION)
		snprintf(generation, sizeof(generation), "\"generation\":%" PRIu32 ",", keys->generation);
	snprintf(text, sizeof(text), "{%s\"n\":%" PRIu64 ",\"link\":\"%s\",\"mac\":\"%s\"}\n", generation, at->n, link,
		 hex);
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
	bool *before;
};

/* The key of the anchor's generation. */
static int key_for(const struct reading *r, json_object *o, const struct secret **out, struct problem *p)
{
	uint32_t generation = SERVICE_FIRST_GENERATION;
	int ret = json_object_object_get_ex(o, "generation", NULL) ? member_u32(o, "generation", 1, &generation, p) : 0;

	*r->before = ret == 0 && generation == r->keys->before.generation;
	*out = *r->before ? r->keys->before.anchor : r->keys->anchor;
	if (ret < 0 || *r->before || generation == r->keys->generation)
		return ret;
	return generation > r->keys->generation ? -ESTALE : -EBADMSG;
}

static int read_anchor(struct store *s, int dir, const char *name, void *context)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ json_object *o = NULL;
	const struct reading *r = context;
	uint8_t claimed[SHA256_SIZE], mac[SHA256_SIZE];
	const struct secret *key = NULL;
	struct problem p = {0};
	size_t n;
	int ret = atomic_file_read(s, dir, name, ANCHOR_MAX, &text, &n);

	if (ret == 0)
		ret = document_parse(text, n, &o, &p);
	if (ret == 0)
		ret = key_for(r, o, &key, &p);
	if (ret == 0)
		ret = member_number(o, "n", 1, DOCUMENT_NUMBER_MAX, &r->out->n, &p);
	if (ret == 0)
		ret = member_hex(o, "link", r->out->mac, SHA256_SIZE, &p);
	if (ret == 0)
		ret = member_hex(o, "mac", claimed, SHA256_SIZE, &p);
	if (ret == 0)
		ret = anchor_mac(key, r->out, mac);
	return ret == 0 && !crypto_equal(claimed, mac, sizeof(mac)) ? -EBADMSG : ret;
}

int anchor_read(const struct service_keys *keys, const char *file, struct audit_link *out, bool *before)
{
	struct reading r = {keys, out, before};

	*before = false;

	return in_directory_of(file, read_anchor, &r);
}
