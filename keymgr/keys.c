/* The unlocked keys of a volume: an immutable, counted table of generations. */
#include "keymgr/keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/base/kdf_labels.h"

struct keys *keys_ref(struct keys *k)
{
	__atomic_add_fetch(&k->refs, 1, __ATOMIC_RELAXED);
	return k;
}

void keys_unref(struct keys *k)
{
	if (!k || __atomic_sub_fetch(&k->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (uint32_t i = 0; i < k->count; i++)
		secret_free(&k->generations[i].prk);
	free(k->generations);
	secret_free(&k->directory_key);
	secret_free(&k->journal_prk);
	for (uint32_t i = 0; i < k->older_count; i++)
		secret_free(&k->older[i].key);
	free(k->older);
	free(k->zones);
	secret_free(&k->journal_before);
	free(k);
}

/* A copy, as the two tables have lives of their own. */
static struct secret *another(const struct secret *s)
{
	struct secret *copy = secret_new(s->size);

	if (copy)
		memcpy(copy->bytes, s->bytes, s->size);
	return copy;
}

static bool copy_older(struct keys *to, const struct keys *from)
{
	bool good = true;

	to->journal_before = from->journal_before ? another(from->journal_before) : NULL;
	to->older = calloc(from->older_count ? from->older_count : 1, sizeof(*to->older));
	to->older_count = to->older ? from->older_count : 0;
	for (uint32_t i = 0; i < to->older_count; i++) {
		to->older[i] = (struct older_directory_key){from->older[i].until, another(from->older[i].key)};
		good &= to->older[i].key != NULL;
	}
	return good && to->older && !to->journal_before == !from->journal_before;
}

struct keys *keys_locked(const struct keys *k)
{
	struct keys *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	*l = *k;
	l->refs = 1;
	l->directory_key = another(k->directory_key);
	l->journal_prk = another(k->journal_prk);
	l->generations = calloc(k->count ? k->count : 1, sizeof(*l->generations));
	l->count = l->generations ? k->count : 0;
	for (uint32_t i = 0; i < l->count; i++) {
		l->generations[i] = k->generations[i];
		l->generations[i].prk = NULL;
		if (l->generations[i].state != KEY_DESTROYED)
			l->generations[i].state = KEY_SUSPENDED;
	}
	l->zones = calloc(k->zone_count ? k->zone_count : 1, sizeof(*l->zones));
	if (l->zones && k->zone_count)
		memcpy(l->zones, k->zones, k->zone_count * sizeof(*l->zones));
	if (copy_older(l, k) && l->directory_key && l->journal_prk && l->generations && l->zones)
		return l;
	keys_unref(l);
	return NULL;
}

void keys_lock_scope(struct keys *k, uint32_t scope)
{
	for (uint32_t i = 0; i < k->count; i++) {
		if (k->generations[i].scope != scope || k->generations[i].state == KEY_DESTROYED)
			continue;
		secret_free(&k->generations[i].prk);
		k->generations[i].state = KEY_SUSPENDED;
	}
	k->locked |= UINT32_C(1) << scope;
}

static const struct generation_key *find(const struct keys *k, uint32_t number)
{
	uint32_t low = 0, high = k->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (k->generations[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low < k->count && k->generations[low].number == number ? &k->generations[low] : NULL;
}

const struct generation_key *keys_active(const struct keys *k, uint32_t scope)
{
	return scope < k->scope_count ? find(k, k->active[scope]) : NULL;
}

uint32_t keys_newest(const struct keys *k)
{
	return k->count ? k->generations[k->count - 1].number : GENERATION_NONE;
}

const struct generation_key *keys_for_open(const struct keys *k, uint32_t scope, uint32_t generation, int *error)
{
	const struct generation_key *g = scope < k->scope_count ? find(k, generation) : NULL;

	*error = -EBADMSG;
	if (!g || g->scope != scope || generation < k->floor[scope])
		return NULL;
	switch (g->state) {
	case KEY_ACTIVE:
	case KEY_DEACTIVATED:
	case KEY_COMPROMISED:
		*error = 0;
		return g;
	case KEY_SUSPENDED:
		*error = -ENOKEY;
		return NULL;
	case KEY_PRE_ACTIVE: /* nothing can have been sealed under it yet */
	case KEY_DESTROYED:
		return NULL;
	}
	return NULL;
}

/* ------------------------------------------------------------------ zones */

static const struct key_zone *find_zone(const struct keys *k, uint32_t number)
{
	for (uint32_t i = 0; i < k->zone_count; i++)
		if (k->zones[i].number == number)
			return &k->zones[i];
	return NULL;
}

const struct key_zone *keys_zone_at(const struct keys *k, const uint8_t directory[16])
{
	for (uint32_t i = 0; i < k->zone_count; i++)
		if (memcmp(k->zones[i].directory, directory, sizeof(k->zones[i].directory)) == 0)
			return &k->zones[i];
	return NULL;
}

uint32_t keys_zone_scope(const struct keys *k, uint32_t zone)
{
	const struct key_zone *z;

	if (zone == ZONE_DEFAULT || zone == ZONE_ANY)
		return SCOPE_DEFAULT;
	z = find_zone(k, zone);
	return z ? z->scope : SCOPE_NONE;
}

uint32_t keys_scope_of(const struct keys *k, uint32_t generation)
{
	const struct generation_key *g = find(k, generation);

	return g ? g->scope : SCOPE_NONE;
}

bool keys_zone_accepts(const struct keys *k, uint32_t zone, uint32_t scope)
{
	const struct key_zone *z = find_zone(k, zone);

	return scope == keys_zone_scope(k, zone) || (zone == ZONE_ANY && scope != SCOPE_FIELDS) ||
	       (z && z->from != SCOPE_NONE && z->from == scope);
}

bool keys_zone_locked(const struct keys *k, uint32_t zone)
{
	uint32_t scope = k->locked ? keys_zone_scope(k, zone) : SCOPE_NONE;

	return scope < SCOPES_MAX && (k->locked >> scope & 1);
}

static bool is_settled(const struct keys *k, uint32_t zone)
{
	const struct key_zone *z = find_zone(k, zone);

	return zone == ZONE_DEFAULT || (z && z->from == SCOPE_NONE && z->to == SCOPE_NONE);
}

bool keys_zones_joined(const struct keys *k, uint32_t a, uint32_t b)
{
	return a == b || (keys_zone_scope(k, a) == keys_zone_scope(k, b) && is_settled(k, a) && is_settled(k, b));
}

uint32_t keys_active_in(const struct keys *k, uint32_t zone)
{
	uint32_t scope = keys_zone_scope(k, zone);

	return scope < k->scope_count ? k->active[scope] : GENERATION_NONE;
}

const struct generation_key *keys_for_open_in(const struct keys *k, uint32_t zone, uint32_t generation, int *error)
{
	uint32_t scope = k->zone_count ? keys_scope_of(k, generation) : SCOPE_DEFAULT;

	if (k->zone_count && !keys_zone_accepts(k, zone, scope)) {
		*error = -EBADMSG;
		return NULL;
	}
	return keys_for_open(k, scope, generation, error);
}

/* ------------------------------------------------------------------ derivation */

static int derive(const struct keys *k, const struct generation_key *g, const char *label, const char *cipher,
		  const void *extra, size_t extra_size, void *out, size_t out_size)
{
	if (!g->prk) {
		wipe(out, out_size);
		return -ENOKEY;
	}
	return kdf_expand(g->prk->bytes, label, k->volume_id, cipher, extra, extra_size, out, out_size);
}

int keys_derive(const struct keys *k, const struct generation_key *g, const char *label, const void *extra,
		size_t extra_size, void *out, size_t out_size)
{
	return derive(k, g, label, "", extra, extra_size, out, out_size);
}

int keys_derive_content(const struct keys *k, const struct generation_key *g, const uint8_t file_id[16],
			uint8_t out[AEAD_KEY])
{
	return derive(k, g, LABEL_CONTENT, cipher_name(k->cipher), file_id, 16, out, AEAD_KEY);
}

int keys_derive_journal(const struct keys *k, const char *label, const void *extra, size_t extra_size,
			uint8_t out[AEAD_KEY])
{
	return kdf_expand(k->journal_prk->bytes, label, k->volume_id, cipher_name(k->cipher), extra, extra_size, out,
			  AEAD_KEY);
}
