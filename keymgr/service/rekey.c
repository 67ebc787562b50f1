/* Rekeying the key service (rekey.h).
 *
 * 1. The keyring gets a new generation.  Nothing is under it yet: the service goes on under the old one if nothing else follows.
 * 2. One commit puts the whole store under it (ledger_rekey.c).  Secrets of keys are new ones, and what is wrapped under them is wrapped again, so that
 *    nobody who knew the old ones opens what is made from now on.  Each is opened as it will be, and has to be what it was.
 * 3. The anchor is written, under the new generation.
 * 4. The keyring's floor rises: from then on no store under an earlier generation is accepted, whoever has its keys.
 * Between (2) and (4) a start of the service, or another rekeying, does what is left. */
#include "keymgr/service/rekey.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/generations.h"
#include "keymgr/lone_keyring.h"
#include "keymgr/service/authority.h"

#define PREFIX_KEY     "key/"
#define PREFIX_VERSION "version/"
#define PREFIX_TLS     "tls/"

enum { SEALED_MAX = 4096 };

/* --- what is wrapped in rows (2) */

/* A key's secret, as it was and as it is made anew. */
struct new_secret {
	char row[ROW_NAME_MAX + 1];
	bool purged; /* there is none, and nothing that it has wrapped opens */
	uint8_t before[WRAPPED_SIZE], after[WRAPPED_SIZE];
};

struct moving {
	struct ledger *ledger;
	const struct service_keys *from, *to;
	void *secrets; /* tsearch(3): struct new_secret */
};

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct new_secret *)a)->row, ((const struct new_secret *)b)->row);
}

static int fill_secret(struct moving *m, struct new_secret *s)
{
	_cleanup_json_ json_object *o = NULL;
	struct problem p = {0};
	int ret = ledger_get(m->ledger, s->row, &o);

	s->purged = ret == 0 && !json_object_object_get_ex(o, "wrapped", NULL);
	if (ret < 0 || s->purged)
		return ret;
	ret = member_bytes(o, "wrapped", s->before, sizeof(s->before), &p);
	return ret == 0 ? service_secret_make(m->to, s->row, s->after) : ret;
}

static int secret_of(struct moving *m, const char *key, const struct new_secret **out)
{
	struct new_secret *s = calloc(1, sizeof(*s)), **at;
	int ret;

	if (!s)
		return -ENOMEM;
	snprintf(s->row, sizeof(s->row), "%s", key);
	at = tfind(s, &m->secrets, compare);
	if (at) {
		free(s);
		*out = *at;
		return 0;
	}
	ret = fill_secret(m, s);
	if (ret == 0 && !tsearch(s, &m->secrets, compare))
		ret = -ENOMEM;
	if (ret < 0)
		free(s);
	*out = s;
	return ret;
}

static int move_key(struct moving *m, const char *name, json_object *body)
{
	const struct new_secret *s;
	int ret = secret_of(m, name, &s);

	return ret == 0 && !s->purged ? put_bytes(body, "wrapped", s->after, sizeof(s->after)) : ret;
}

static int same_version(struct moving *m, const char *name, const struct new_secret *s,
			const uint8_t before[WRAPPED_SIZE], const uint8_t after[WRAPPED_SIZE])
{
	_cleanup_stack_key_ struct stack_key was, is;
	int ret = service_version_open(m->from, &(struct service_secret){s->row, s->before}, name, before, was.b);

	if (ret == 0)
		ret = service_version_open(m->to, &(struct service_secret){s->row, s->after}, name, after, is.b);
	return ret == 0 && !crypto_equal(was.b, is.b, sizeof(is.b)) ? -EBADMSG : ret;
}

/* version/NAME/NUMBER */
static int move_version(struct moving *m, const char *name, json_object *body)
{
	const char *key = name + strlen(PREFIX_VERSION), *slash = strrchr(name, '/');
	char row[ROW_NAME_MAX + 1];
	uint8_t before[WRAPPED_SIZE] = {0}, wrapped[WRAPPED_SIZE];
	const struct new_secret *s;
	struct problem p = {0};
	int ret;

	if (slash < key)
		return -EBADMSG;
	snprintf(row, sizeof(row), PREFIX_KEY "%.*s", (int)(slash - key), key);
	ret = secret_of(m, row, &s);
	if (ret < 0 || s->purged)
		return ret;
	ret = member_bytes(body, "wrapped", before, sizeof(before), &p);
	memcpy(wrapped, before, sizeof(wrapped));
	if (ret == 0)
		ret = service_version_move(m->from, &(struct service_secret){row, s->before}, m->to,
					   &(struct service_secret){row, s->after}, name, wrapped);
	if (ret == 0)
		ret = same_version(m, name, s, before, wrapped);
	return ret == 0 ? put_bytes(body, "wrapped", wrapped, sizeof(wrapped)) : ret;
}

static int move_private(struct moving *m, const char *name, json_object *body)
{
	_cleanup_secret_ struct secret *key = NULL, *again = NULL;
	uint8_t sealed[SEALED_MAX];
	struct problem p = {0};
	size_t n;
	int ret = member_bytes_between(body, "sealed", sealed, 1, sizeof(sealed), &n, &p);

	if (ret == 0)
		ret = service_private_open(m->from, name, sealed, n, &key);
	if (ret == 0)
		ret = service_private_seal(m->to, name, key, sealed);
	if (ret == 0)
		ret = service_private_open(m->to, name, sealed, n, &again);
	if (ret == 0 && (again->size != key->size || !crypto_equal(again->bytes, key->bytes, key->size)))
		ret = -EBADMSG;
	return ret == 0 ? put_blob(body, "sealed", sealed, n) : ret;
}

static int move(void *context, const char *name, json_object *body)
{
	static const struct {
		const char *prefix;
		int (*move)(struct moving *m, const char *name, json_object *body);
	} kinds[] = {
		{PREFIX_KEY, move_key},
		{PREFIX_VERSION, move_version},
		{PREFIX_TLS, move_private},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strncmp(name, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
			return kinds[i].move(context, name, body);
	return 0;
}

/* --- the keyring (1), (4) */

static int change_keyring(const struct place *p, struct keyring *k,
			  int (*edit)(struct keyring *k, void *context, struct fault *why), void *context,
			  struct fault *why)
{
	struct keyring_change *change;
	char path[PATH_MAX];
	struct store *s;
	int dot, ret = lone_keyring_open(place_name(p, PLACE_KEYRING, path), &s, &dot, why);

	if (ret < 0)
		return ret;
	ret = keyring_change_begin(s, dot, k, &change, why);
	if (ret == 0) {
		ret = edit(k, context, why);
		if (ret == 0)
			ret = keyring_change_commit(&change, why);
		else
			keyring_change_abort(&change);
	}
	store_close(s, dot);
	s->ops->destroy(s);
	return ret;
}

static int add_generation(struct keyring *k, void *context, struct fault *why)
{
	return keyring_rotate(k, SCOPE_DEFAULT, context, why);
}

/* The store is all that is under this keyring. */
static int nobody(void *context, uint32_t generation, uint64_t *files, struct fault *why)
{
	(void)context;
	(void)generation;
	(void)why;
	*files = 0;
	return 0;
}

static int raise_floor(struct keyring *k, void *context, struct fault *why)
{
	const struct generation_users users = {.count = nobody};
	const uint32_t *generation = context;

	return keyring_raise_floor(k, *generation, &users, why);
}

int service_rekey_finish(const struct place *p, struct keyring *k, struct fault *why)
{
	uint32_t generation = p->keys.generation;
	struct keys *keys = keyring_keys(k);
	bool done = keys && keys->floor[SCOPE_DEFAULT] >= generation;

	if (!keys)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot look at the keyring");
	keys_unref(keys);
	return done ? 0 : change_keyring(p, k, raise_floor, &generation, why);
}

/* --- all of it */

static int next_keys(struct place *p, struct keyring *k, struct service_rekeyed *out, struct service_keys *next,
		     json_object **row, struct fault *why)
{
	uint64_t first = ledger_next(p->ledger);
	struct keys *keys = keyring_keys(k);
	int ret = keys ? ledger_rekey_rows(p->ledger, &out->rows) : -ENOMEM;

	if (ret < 0) {
		if (keys)
			keys_unref(keys);
		return fault_errno(why, EXIT_FAILED, ret, "cannot derive new keys");
	}
	out->lines = ledger_rekey_lines(out->rows);
	ret = service_keys_next(&p->keys, keys, out->generation, first, first + out->lines - 1, next, row);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot derive new keys") : 0;
}

/* The ledger reads by p->keys, so these become the new ones in their place. */
static int rekey_store(struct place *p, struct service_keys *next, json_object *row, struct fault *why)
{
	struct moving m = {p->ledger, &p->keys, next, NULL};
	int ret = ledger_rekey(p->ledger, next, row, move, &m, why);

	tdestroy(m.secrets, free);
	if (ret < 0)
		return ret;
	service_keys_free(&p->keys);
	p->keys = *next;
	*next = (struct service_keys){0};
	ledger_goes_by(p->ledger, &p->keys);
	return 0;
}

int service_rekey(struct place *p, struct keyring *k, struct service_rekeyed *out, struct fault *why)
{
	_cleanup_(service_keys_free) struct service_keys next = {0};
	_cleanup_json_ json_object *row = NULL;
	int ret;

	*out = (struct service_rekeyed){.before = p->keys.generation};
	if (p->keys.audit.count == AUDIT_SEGMENTS_MAX)
		return fault_set(why, EXIT_REFUSED, EFBIG, "it was rekeyed %d times, and that is as often as it can be",
				 AUDIT_SEGMENTS_MAX - 1);
	ret = change_keyring(p, k, add_generation, &out->generation, why);
	if (ret == 0)
		ret = next_keys(p, k, out, &next, &row, why);
	if (ret == 0)
		ret = rekey_store(p, &next, row, why);
	if (ret < 0)
		return ret;
	ret = ledger_anchor(p->ledger);
	if (ret < 0)
		return fault_errno(why, EXIT_STORE, ret,
				   "the store is under new keys, but the anchor cannot be written");
	return service_rekey_finish(p, k, why);
}
