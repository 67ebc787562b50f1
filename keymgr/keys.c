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
	if (copy_older(l, k) && l->directory_key && l->journal_prk && l->generations)
		return l;
	keys_unref(l);
	return NULL;
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

static bool scope_known(uint32_t scope)
{
	return scope == SCOPE_DEFAULT || scope == SCOPE_FIELDS;
}

const struct generation_key *keys_active(const struct keys *k, uint32_t scope)
{
	return scope_known(scope) ? find(k, k->active[scope]) : NULL;
}

uint32_t keys_newest(const struct keys *k)
{
	return k->count ? k->generations[k->count - 1].number : GENERATION_NONE;
}

const struct generation_key *keys_for_open(const struct keys *k, uint32_t scope, uint32_t generation, int *error)
{
	const struct generation_key *g = scope_known(scope) ? find(k, generation) : NULL;

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
