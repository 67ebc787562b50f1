/* Key-encryption keys (kek.h).
 *
 * 1. The wrapping key of a version is bound to the key's name and the version's number (its row), so nothing wrapped under one opens as
 *    another, wherever its row is put.
 * 2. A version is wrapped under the secret in the key's own row: when a purge takes that away, no version opens.
 * 3. A version that was opened stays so with the key's row in memory (ledger_keep), and is wiped with it: by every change of the key's state.
 * 4. Nonces are random: 2^32 wraps of one version are the limit of NIST SP 800-38D, section 8.3. */
#include "keymgr/service/kek.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PREFIX_KEY     "key/"
#define PREFIX_VERSION "version/"
#define PREFIX_VOLUMES "volumes_" /* of members */

enum {
	DAY = 24 * 60 * 60,
	OPEN_MAX = 4, /* versions of one key that stay opened */
};

static const char *const states[] = {
	[KEK_ENABLED] = "enabled",
	[KEK_DISABLED] = "disabled",
	[KEK_DELETED] = "deleted",
	[KEK_PURGED] = "purged",
};

bool kek_name_valid(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= KEK_NAME_MAX && !strchr("._-", name[0]) &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

static const char *row_of(const char *name, char out[ROW_NAME_MAX + 1])
{
	snprintf(out, ROW_NAME_MAX + 1, PREFIX_KEY "%s", name);
	return out;
}

static const char *version_row(const char *name, uint32_t version, char out[ROW_NAME_MAX + 1])
{
	snprintf(out, ROW_NAME_MAX + 1, PREFIX_VERSION "%s/%" PRIu32, name, version);
	return out;
}

static int load_state(struct kek *k, const char *member, enum kek_state *out, struct problem *p)
{
	const char *state;
	int ret = member_string(k->row, member, &state, p);

	for (enum kek_state s = KEK_ENABLED; ret == 0 && s <= KEK_PURGED; s++)
		if (strcmp(state, states[s]) == 0) {
			*out = s;
			return 0;
		}
	return ret < 0 ? ret : problem_set(p, "\"%s\" is no state", member);
}

static int load_use(struct kek *k, struct problem *p)
{
	int ret = load_state(k, "state", &k->state, p);

	if (ret == 0)
		ret = member_u32(k->row, "latest", 1, &k->latest, p);
	if (ret == 0)
		ret = member_u32(k->row, "min_decryption_version", 1, &k->lowest, p);
	return ret == 0 ? managed_policy_load(k->row, PREFIX_VOLUMES, &k->volumes, p) : ret;
}

static int load(struct kek *k)
{
	struct problem p = {0};
	char at[TIME_TEXT + 1];
	int ret = load_use(k, &p);

	k->rotate_days = 0;
	if (ret == 0 && json_object_object_get_ex(k->row, "auto_rotate_days", NULL))
		ret = member_u32(k->row, "auto_rotate_days", 1, &k->rotate_days, &p);
	if (ret == 0)
		ret = member_time(k->row, "rotated", at, &p);
	if (ret == 0)
		ret = time_parse(at, &k->rotated);
	k->keep_until = json_object_object_get_ex(k->row, "purge_protection", NULL);
	k->purge_at = 0;
	if (ret == 0 && k->state == KEK_DELETED) {
		ret = member_time(k->row, "purge_at", at, &p);
		if (ret == 0)
			ret = time_parse(at, &k->purge_at);
	}
	return ret;
}

int kek_get(struct ledger *l, const char *name, struct kek *out)
{
	char row[ROW_NAME_MAX + 1];
	int ret;

	*out = (struct kek){0};
	snprintf(out->name, sizeof(out->name), "%s", name);
	ret = ledger_get(l, row_of(name, row), &out->row);
	if (ret == 0)
		ret = load(out);
	if (ret < 0)
		kek_free(out);
	return ret;
}

int kek_look(struct ledger *l, const char *name, struct kek *out)
{
	char row[ROW_NAME_MAX + 1];
	struct problem p = {0};
	int ret;

	*out = (struct kek){0};
	snprintf(out->name, sizeof(out->name), "%s", name);
	ret = ledger_look(l, row_of(name, row), &out->row);
	if (ret == 0)
		ret = load_use(out, &p);
	if (ret < 0)
		kek_free(out);
	return ret;
}

static int save(struct ledger *l, struct kek *k)
{
	char row[ROW_NAME_MAX + 1];
	int ret = ledger_put(l, row_of(k->name, row), k->row);

	return ret == 0 ? load(k) : ret;
}

/* The secret in the key's own row, under which its versions are wrapped. */
struct key_secret {
	char row[ROW_NAME_MAX + 1];
	uint8_t wrapped[WRAPPED_SIZE];
};

static int load_secret(const struct kek *k, struct key_secret *out, struct service_secret *view)
{
	struct problem p = {0};

	view->row = row_of(k->name, out->row);
	view->wrapped = out->wrapped;
	return member_bytes(k->row, "wrapped", out->wrapped, WRAPPED_SIZE, &p);
}

static int add_version(struct ledger *l, const struct service_keys *keys, struct kek *k, uint32_t version)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	struct key_secret secret;
	struct service_secret of;
	char row[ROW_NAME_MAX + 1];
	uint8_t wrapped[WRAPPED_SIZE];
	int ret = o ? load_secret(k, &secret, &of) : -ENOMEM;

	if (ret == 0)
		ret = service_version_make(keys, &of, version_row(k->name, version, row), wrapped);
	if (ret == 0)
		ret = put_now(o, "created");
	if (ret == 0)
		ret = put_bytes(o, "wrapped", wrapped, sizeof(wrapped));
	if (ret == 0)
		ret = ledger_put(l, row, o);
	if (ret == 0)
		ret = put_number(k->row, "latest", version);
	return ret == 0 ? put_now(k->row, "rotated") : ret;
}

int kek_create(struct ledger *l, const struct service_keys *keys, const char *name, struct kek *out)
{
	char row[ROW_NAME_MAX + 1];
	uint8_t wrapped[WRAPPED_SIZE];
	int ret;

	*out = (struct kek){0};
	if (ledger_has(l, row_of(name, row)))
		return -EEXIST;
	snprintf(out->name, sizeof(out->name), "%s", name);
	out->row = json_object_new_object();
	ret = out->row ? put_string(out->row, "state", "enabled") : -ENOMEM;
	if (ret == 0)
		ret = put_number(out->row, "min_decryption_version", 1);
	if (ret == 0)
		ret = put_now(out->row, "created");
	if (ret == 0)
		ret = service_secret_make(keys, row, wrapped);
	if (ret == 0)
		ret = put_bytes(out->row, "wrapped", wrapped, sizeof(wrapped));
	if (ret == 0)
		ret = add_version(l, keys, out, 1);
	return ret == 0 ? save(l, out) : ret;
}

/* Whether it can be changed. */
static int check_there(const struct kek *k)
{
	return k->state == KEK_DELETED || k->state == KEK_PURGED ? -EIDRM : 0;
}

int kek_rotate(struct ledger *l, const struct service_keys *keys, struct kek *k)
{
	int ret = check_there(k);

	if (ret == 0)
		ret = k->latest < KEK_VERSIONS_MAX ? add_version(l, keys, k, k->latest + 1) : -ENOSPC;
	return ret == 0 ? save(l, k) : ret;
}

int kek_enable(struct ledger *l, struct kek *k, bool enabled)
{
	int ret = check_there(k);

	if (ret == 0)
		ret = put_string(k->row, "state", states[enabled ? KEK_ENABLED : KEK_DISABLED]);
	return ret == 0 ? save(l, k) : ret;
}

int kek_set_lowest(struct ledger *l, struct kek *k, uint64_t lowest)
{
	int ret = check_there(k);

	if (ret == 0)
		ret = lowest < 1 || lowest > k->latest ? -ERANGE : put_number(k->row, "min_decryption_version", lowest);
	return ret == 0 ? save(l, k) : ret;
}

int kek_set_rotation(struct ledger *l, struct kek *k, uint64_t days)
{
	int ret = check_there(k);

	if (ret == 0 && days > KEK_ROTATE_DAYS_MAX)
		ret = -ERANGE;
	if (ret == 0 && days)
		ret = put_number(k->row, "auto_rotate_days", days);
	else if (ret == 0)
		json_object_object_del(k->row, "auto_rotate_days");
	return ret == 0 ? save(l, k) : ret;
}

int kek_set_volumes(struct ledger *l, struct kek *k, const struct managed_policy *policy)
{
	int ret = check_there(k);

	if (ret == 0)
		ret = managed_policy_put(k->row, PREFIX_VOLUMES, policy);
	return ret == 0 ? save(l, k) : ret;
}

/* A disabled key rotates too: it may be enabled again. */
enum kek_due kek_due(const struct kek *k)
{
	if (k->state == KEK_DELETED)
		return document_now() >= k->purge_at ? KEK_PURGE_DUE : KEK_NOTHING_DUE;
	if (k->state == KEK_PURGED || !k->rotate_days)
		return KEK_NOTHING_DUE;
	return document_now() >= k->rotated + (time_t)k->rotate_days * DAY ? KEK_ROTATE_DUE : KEK_NOTHING_DUE;
}

int kek_protect(struct ledger *l, struct kek *k)
{
	int ret = check_there(k);

	if (ret == 0)
		ret = put_value(k->row, "purge_protection", json_object_new_boolean(true));
	return ret == 0 ? save(l, k) : ret;
}

int kek_delete(struct ledger *l, struct kek *k, uint64_t days)
{
	char at[TIME_TEXT + 1];
	int ret = check_there(k);

	if (ret == 0 && (days < KEK_DELETED_DAYS_MIN || days > KEK_DELETED_DAYS_MAX))
		ret = -ERANGE;
	if (ret < 0)
		return ret;
	time_text_of(document_now() + (time_t)days * DAY, at);
	ret = put_string(k->row, "before", states[k->state]);
	if (ret == 0)
		ret = put_string(k->row, "state", states[KEK_DELETED]);
	if (ret == 0)
		ret = put_string(k->row, "purge_at", at);
	return ret == 0 ? save(l, k) : ret;
}

int kek_recover(struct ledger *l, struct kek *k)
{
	struct problem p = {0};
	enum kek_state before;
	int ret = k->state == KEK_DELETED ? load_state(k, "before", &before, &p) : -EINVAL;

	if (ret == 0)
		ret = put_string(k->row, "state", states[before]);
	if (ret < 0)
		return ret;
	json_object_object_del(k->row, "before");
	json_object_object_del(k->row, "purge_at");
	return save(l, k);
}

int kek_purge(struct ledger *l, struct kek *k)
{
	int ret = k->state == KEK_DELETED ? 0 : -EINVAL;

	if (ret == 0 && k->keep_until && document_now() < k->purge_at)
		ret = -EPERM;
	if (ret == 0)
		ret = put_string(k->row, "state", states[KEK_PURGED]);
	if (ret == 0)
		ret = put_now(k->row, "purged");
	if (ret < 0)
		return ret;
	json_object_object_del(k->row, "wrapped");
	json_object_object_del(k->row, "before");
	json_object_object_del(k->row, "purge_at");
	return save(l, k);
}

/* --- use */

int kek_usable(const struct kek *k)
{
	int ret = check_there(k);

	return ret == 0 && k->state != KEK_ENABLED ? -EKEYREVOKED : ret;
}

/* (3) */
struct opened {
	struct {
		uint32_t version; /* 0: none */
		struct aead *aead;
	} of[OPEN_MAX];
	int next; /* the place that is taken next */
};

static void opened_free(void *p)
{
	struct opened *o = p;

	for (int i = 0; i < OPEN_MAX; i++)
		aead_free(&o->of[i].aead);
	free(o);
}

static int open_version(struct ledger *l, const struct service_keys *keys, const struct kek *k, uint32_t version,
			struct aead **out)
{
	_cleanup_(aead_free) struct aead *a = NULL;
	_cleanup_stack_key_ struct stack_key key;
	_cleanup_json_ json_object *o = NULL;
	char row[ROW_NAME_MAX + 1];
	uint8_t wrapped[WRAPPED_SIZE];
	struct key_secret secret;
	struct service_secret of;
	struct problem p = {0};
	int ret = ledger_look(l, version_row(k->name, version, row), &o);

	if (ret == 0)
		ret = member_bytes(o, "wrapped", wrapped, sizeof(wrapped), &p);
	if (ret == 0)
		ret = load_secret(k, &secret, &of);
	if (ret == 0)
		ret = service_version_open(keys, &of, row, wrapped, key.b);
	if (ret == 0)
		ret = aead_new(CIPHER_AES_256_GCM, &a);
	if (ret == 0)
		ret = aead_set_key(a, key.b);
	if (ret < 0)
		return ret == -EBADMSG ? -EIO : ret; /* damage here is not the client's fault */
	*out = a;
	a = NULL;
	return 0;
}

/* Puts an opened version with the key's row, if that is in memory.  False: it stays the caller's. */
static bool keep_open(struct ledger *l, const char *row, uint32_t version, struct aead *a)
{
	struct opened *o = ledger_made(l, row);

	if (!o) {
		o = calloc(1, sizeof(*o));
		if (!o || !ledger_keep(l, row, o, opened_free)) {
			free(o);
			return false;
		}
	}
	aead_free(&o->of[o->next].aead);
	o->of[o->next].version = version;
	o->of[o->next].aead = a;
	o->next = (o->next + 1) % OPEN_MAX;
	return true;
}

/* *own: whoever asked frees it; otherwise it is good until the next commit. */
static int find_version(struct ledger *l, const struct service_keys *keys, const struct kek *k, uint32_t version,
			struct aead **out, bool *own)
{
	char row[ROW_NAME_MAX + 1];
	const struct opened *o = ledger_made(l, row_of(k->name, row));
	int ret;

	*own = false;
	for (int i = 0; o && i < OPEN_MAX; i++)
		if (o->of[i].version == version) {
			*out = o->of[i].aead;
			return 0;
		}
	ret = open_version(l, keys, k, version, out);
	*own = ret == 0 && !keep_open(l, row, version, *out);
	return ret;
}

int kek_wrap(struct ledger *l, const struct service_keys *keys, const struct kek *k, const uint8_t *value, size_t n,
	     struct kek_wrapped *w)
{
	struct aead *a = NULL;
	bool own = false;
	int ret = kek_usable(k);

	if (ret == 0)
		ret = n > 0 && n <= KEK_VALUE_MAX ? find_version(l, keys, k, k->latest, &a, &own) : -EINVAL;
	if (ret == 0)
		ret = crypto_random(w->iv, sizeof(w->iv));
	if (ret == 0)
		ret = aead_seal(a, w->iv, w->aad, w->aad_size, value, n, w->value, w->tag);
	if (own)
		aead_free(&a);
	w->version = k->latest;
	w->size = n;
	return ret;
}

int kek_unwrap(struct ledger *l, const struct service_keys *keys, const struct kek *k, const struct kek_wrapped *w,
	       uint8_t *out)
{
	struct aead *a = NULL;
	bool own = false;
	int ret = kek_usable(k);

	if (ret < 0)
		return ret;
	if (w->version < 1 || w->version > k->latest)
		return -ENOENT;
	if (w->version < k->lowest)
		return -EKEYEXPIRED;
	ret = find_version(l, keys, k, w->version, &a, &own);
	if (ret == 0)
		ret = aead_open(a, w->iv, w->aad, w->aad_size, w->value, w->size, out, w->tag);
	if (own)
		aead_free(&a);
	return ret;
}

static int copy(const struct kek *k, const char *member, json_object *out)
{
	struct problem p = {0};
	const char *text;
	int ret = member_string(k->row, member, &text, &p);

	return ret == 0 ? put_string(out, member, text) : ret;
}

int kek_describe(const struct kek *k, json_object *out)
{
	int ret = put_string(out, "name", k->name);

	if (ret == 0)
		ret = copy(k, "state", out);
	if (ret == 0)
		ret = put_number(out, "latest", k->latest);
	if (ret == 0)
		ret = put_number(out, "min_decryption_version", k->lowest);
	if (ret == 0)
		ret = copy(k, "created", out);
	if (ret == 0)
		ret = copy(k, "rotated", out);
	if (ret == 0 && k->rotate_days)
		ret = put_number(out, "auto_rotate_days", k->rotate_days);
	if (ret == 0)
		ret = managed_policy_put(out, PREFIX_VOLUMES, &k->volumes);
	if (ret == 0 && k->keep_until)
		ret = put_value(out, "purge_protection", json_object_new_boolean(true));
	if (ret == 0 && k->state == KEK_DELETED)
		ret = copy(k, "purge_at", out);
	return ret == 0 && k->state == KEK_PURGED ? copy(k, "purged", out) : ret;
}
