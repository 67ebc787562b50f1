/* The chain of an audit log.
 *
 * 1. A line is one JSON object; it ends with its MAC, which covers the MAC of the line before and all bytes before itself.
 * 2. Numbers go up by one.  A line may skip numbers only by saying that the log was found broken.
 * 3. A piece that is no line is a torn one only if the line behind it says how long it is, or nothing is behind it. */
#include "keymgr/audit_chain.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/audit_actor.h"
#include "util/base/encode.h"
#include "util/base/kdf.h"

#define MAC_MEMBER ",\"mac\":\""
#define MAC_END    "\"}"
enum {
	MAC_HEX = 2 * SHA256_SIZE,
	MEMBER = sizeof(MAC_MEMBER) - 1,
	TAIL = MEMBER + MAC_HEX + sizeof(MAC_END) - 1, /* what a line ends with */
};

void audit_keys_free(struct audit_keys *k)
{
	for (uint32_t i = 0; i < k->count; i++)
		secret_free(&k->key[i]);
	k->count = 0;
}

static const struct secret *key_of(const struct audit_keys *keys, uint64_t n)
{
	uint32_t i = keys->count;

	while (i > 1 && keys->first[i - 1] > n)
		i--;
	return keys->key[i ? i - 1 : 0];
}

/* n bytes of a line before its MAC member. */
static int line_mac(const struct audit_keys *keys, const struct audit_link *before, uint64_t number, const char *line,
		    size_t n, uint8_t mac[SHA256_SIZE])
{
	const struct secret *key = keys->count ? key_of(keys, number) : NULL;
	uint8_t text[SHA256_SIZE + AUDIT_LINE_MAX];

	if (!key || n > AUDIT_LINE_MAX)
		return -EFBIG;
	memcpy(text, before->mac, SHA256_SIZE);
	memcpy(text + SHA256_SIZE, line, n);
	return hmac_sha256(key->bytes, key->size, text, SHA256_SIZE + n, mac);
}

/* The members of an object behind what the line has already. */
static int append_members(json_object *o, char out[AUDIT_LINE_MAX], size_t *n)
{
	size_t size;
	const char *text = document_render_compact(o, &size);

	if (!text)
		return -ENOMEM;
	if (*n + size + TAIL + 1 > AUDIT_LINE_MAX)
		return -EFBIG;
	if (size > 2) {
		out[(*n)++] = ',';
		memcpy(out + *n, text + 1, size - 2);
		*n += size - 2;
	}
	return 0;
}

static int append_actor(char out[AUDIT_LINE_MAX], size_t *n)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	int ret = o ? audit_actor_put(o) : -ENOMEM;

	return ret == 0 ? append_members(o, out, n) : ret;
}

/* All before the MAC. */
static int render(uint64_t number, json_object *details, char out[AUDIT_LINE_MAX], size_t *n)
{
	char at[TIME_TEXT + 1];
	int ret;

	if (json_object_object_get_ex(details, "n", NULL))
		return -EINVAL;
	*n = (size_t)snprintf(out, AUDIT_LINE_MAX, "{\"n\":%" PRIu64, number);
	/* What has waited on a host brings its own time and actor along. */
	if (!json_object_object_get_ex(details, "at", NULL)) {
		time_text(at);
		*n += (size_t)snprintf(out + *n, AUDIT_LINE_MAX - *n, ",\"at\":\"%s\"", at);
	}
	ret = append_members(details, out, n);
	if (ret == 0 && !json_object_object_get_ex(details, "uid", NULL) &&
	    !json_object_object_get_ex(details, "client", NULL)) /* of the key service */
		ret = append_actor(out, n);
	return ret;
}

int audit_line_make(const struct audit_keys *keys, struct audit_link *at, json_object *details,
		    char out[AUDIT_LINE_MAX], size_t *size)
{
	struct audit_link next = {.n = at->n + 1};
	size_t n;
	int ret = render(next.n, details, out, &n);

	if (ret == 0)
		ret = line_mac(keys, at, next.n, out, n, next.mac);
	if (ret < 0)
		return ret;
	memcpy(out + n, MAC_MEMBER, MEMBER);
	hex_encode(next.mac, SHA256_SIZE, out + n + MEMBER);
	strcpy(out + n + MEMBER + MAC_HEX, MAC_END "\n");
	*size = n + TAIL + 1;
	*at = next;
	return 0;
}

/* --- walking */

struct parsed {
	uint64_t n, torn; /* torn: so many bytes before it are a piece that a crash left */
	bool broken;      /* it says that the log before it was found broken */
	uint8_t mac[SHA256_SIZE];
	size_t signed_size;
};

static bool is_ascii(const char *line, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (line[i] < 0x20 || line[i] > 0x7e || line[i] == '\\')
			return false;
	return true;
}

static uint64_t optional_number(json_object *o, const char *name)
{
	struct problem ignored = {0};
	uint64_t n = 0;

	return member_number(o, name, 0, DOCUMENT_NUMBER_MAX, &n, &ignored) < 0 ? 0 : n;
}

/* -EBADMSG: it has not the form of a line. */
static int parse(const char *line, size_t n, struct parsed *out)
{
	_cleanup_json_ json_object *o = NULL;
	char text[AUDIT_LINE_MAX + 2];
	struct problem p = {0};
	const char *event = "";
	int ret;

	*out = (struct parsed){0};
	if (n <= TAIL || n > AUDIT_LINE_MAX || !is_ascii(line, n))
		return -EBADMSG;
	out->signed_size = n - TAIL;
	if (memcmp(line + n - TAIL, MAC_MEMBER, MEMBER) != 0 || memcmp(line + n - 2, MAC_END, 2) != 0 ||
	    hex_decode(line + n - TAIL + MEMBER, MAC_HEX, out->mac, SHA256_SIZE) < 0)
		return -EBADMSG;
	memcpy(text, line, n);
	text[n] = '\n';
	ret = document_parse(text, n + 1, &o, &p);
	if (ret == 0)
		ret = member_number(o, "n", 1, DOCUMENT_NUMBER_MAX, &out->n, &p);
	if (ret == 0)
		ret = member_string(o, "event", &event, &p);
	if (ret < 0)
		return ret;
	out->broken = strcmp(event, "audit-broken") == 0;
	out->torn = optional_number(o, "torn");
	return 0;
}

static void problem(struct audit_walk *w, uint64_t n, const char *before, const char *behind)
{
	if (w->problems++ == 0)
		snprintf(w->problem, sizeof(w->problem), "%s%sline %" PRIu64 "%s", before, *before ? " " : "", n,
			 behind);
}

/* Whether the line continues the chain. */
static int check(struct audit_walk *w, const char *line, const struct parsed *p, bool *good)
{
	uint8_t mac[SHA256_SIZE];
	int ret;

	*good = false;
	ret = line_mac(w->keys, &w->at, p->n, line, p->signed_size, mac);
	if (ret < 0)
		return ret;
	*good = w->anywhere; /* the next one shows whether it was one */
	if (w->anywhere)
		return 0;
	if (!crypto_equal(mac, p->mac, sizeof(mac)))
		problem(w, p->n, "", " was changed, or does not belong behind the one before it");
	else if (p->broken)
		problem(w, p->n, "", " says that the log was found broken then");
	else if (p->n != w->at.n + 1)
		problem(w, w->at.n, "lines are missing behind", "");
	else
		*good = true;
	return 0;
}

int audit_walk_line(struct audit_walk *w, const char *line, size_t n)
{
	struct parsed p;
	bool good;
	int ret = parse(line, n, &p);

	if (ret == -EBADMSG) {
		/* At the end it may be what a crash left; elsewhere the next line has to say so. */
		w->torn_size += n + 1;
		return 0;
	}
	if (ret < 0)
		return ret;
	if (p.torn != w->torn_size && !w->anywhere)
		problem(w, w->at.n, "something that is no line stands behind", "");
	w->torn += p.torn > 0;
	w->torn_size = 0;
	ret = check(w, line, &p, &good);
	if (ret < 0)
		return ret;
	w->good += good;
	w->anywhere = false;
	w->at.n = p.n;
	memcpy(w->at.mac, p.mac, SHA256_SIZE);
	if (w->each)
		w->each(w->context, line, n, good);
	return 0;
}

int audit_walk_text(struct audit_walk *w, const char *text, size_t n)
{
	int ret = 0;

	while (ret == 0 && n > 0) {
		const char *newline = memchr(text, '\n', n);
		size_t size = newline ? (size_t)(newline - text) : n;

		ret = audit_walk_line(w, text, size);
		size += newline != NULL;
		text += size;
		n -= size;
	}
	return ret;
}
