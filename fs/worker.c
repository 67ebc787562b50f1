#include "fs/worker.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "fs/internal.h"
#include "util/base/kdf_labels.h"

struct content_slot {
	struct aead *aead;
	uint64_t serial; /* of the keys whose key is loaded; 0: none */
	uint32_t generation;
	uint8_t file_id[16];
};

struct siv_slot {
	struct siv *siv;
	uint64_t serial;
	enum siv_purpose purpose;
	uint32_t generation;
};

struct hash_slot {
	struct secret *key;
	uint64_t serial;
	enum hash_purpose purpose;
	uint32_t generation;
};

struct worker {
	struct content_slot content[WORKER_CONTENT_SLOTS];
	struct siv_slot siv[WORKER_SIV_SLOTS];
	struct hash_slot hash[WORKER_HASH_SLOTS];
	enum cipher cipher; /* of the content handles */
	unsigned next_content, next_siv, next_hash;
	uint8_t *buffer;
};

static _Thread_local struct worker *this_worker;

static struct worker *get_worker(void)
{
	if (!this_worker)
		this_worker = calloc(1, sizeof *this_worker);
	return this_worker;
}

void fs_thread_end(void)
{
	struct worker *w = this_worker;

	if (w) {
		for (unsigned i = 0; i < WORKER_CONTENT_SLOTS; i++)
			aead_free(&w->content[i].aead);
		for (unsigned i = 0; i < WORKER_SIV_SLOTS; i++)
			siv_free(&w->siv[i].siv);
		for (unsigned i = 0; i < WORKER_HASH_SLOTS; i++)
			secret_free(&w->hash[i].key);
		free(w->buffer);
		free(w);
		this_worker = NULL;
	}
	crypto_thread_end();
}

uint8_t *worker_buffer(void)
{
	struct worker *w = get_worker();

	if (w && !w->buffer)
		w->buffer = malloc(IO_MAX + 2 * PAGE_BYTES);
	return w ? w->buffer : NULL;
}

static int load_content(struct engine *e, struct content_slot *s, const uint8_t file_id[16], uint32_t generation)
{
	uint8_t key[AEAD_KEY];
	int r = 0;
	const struct generation_key *g = keys_for_open(e->keys, SCOPE_DEFAULT, generation, &r);

	s->serial = 0;
	if (!g)
		return r;
	if (!s->aead)
		r = aead_new(e->keys->cipher, &s->aead);
	if (r == 0)
		r = keys_derive_content(e->keys, g, file_id, key);
	if (r == 0)
		r = aead_set_key(s->aead, key);
	wipe(key, sizeof key);
	if (r < 0)
		return r;
	s->serial = e->keys_serial;
	s->generation = generation;
	memcpy(s->file_id, file_id, 16);
	return 0;
}

struct aead *worker_content(struct engine *e, const uint8_t file_id[16], uint32_t generation, int *error)
{
	struct worker *w = get_worker();

	*error = -ENOMEM;
	if (!w)
		return NULL;
	for (unsigned i = 0; i < WORKER_CONTENT_SLOTS; i++) {
		struct content_slot *s = &w->content[i];

		if (s->serial == e->keys_serial && s->generation == generation && memcmp(s->file_id, file_id, 16) == 0)
			return s->aead;
	}

	struct content_slot *s = &w->content[w->next_content++ % WORKER_CONTENT_SLOTS];

	if (w->cipher != e->keys->cipher) {
		for (unsigned i = 0; i < WORKER_CONTENT_SLOTS; i++) {
			aead_free(&w->content[i].aead);
			w->content[i].serial = 0;
		}
		w->cipher = e->keys->cipher;
	}
	*error = load_content(e, s, file_id, generation);
	return *error < 0 ? NULL : s->aead;
}

static const char *const siv_labels[] = {
	[SIV_NAMES] = LABEL_NAMES,
	[SIV_SYMLINKS] = LABEL_SYMLINKS,
	[SIV_XATTR_NAMES] = LABEL_XATTR_NAMES,
	[SIV_XATTR_VALUES] = LABEL_XATTR_VALUES,
};

static int load_siv(struct engine *e, struct siv_slot *s, enum siv_purpose purpose, uint32_t generation)
{
	uint8_t key[SIV_KEY];
	int r = 0;
	const struct generation_key *g = keys_for_open(e->keys, SCOPE_DEFAULT, generation, &r);

	s->serial = 0;
	if (!g)
		return r;
	if (!s->siv)
		r = siv_new(&s->siv);
	if (r == 0)
		r = keys_derive(e->keys, g, siv_labels[purpose], NULL, 0, key, sizeof key);
	if (r == 0)
		r = siv_set_key(s->siv, key);
	wipe(key, sizeof key);
	if (r < 0)
		return r;
	s->serial = e->keys_serial;
	s->purpose = purpose;
	s->generation = generation;
	return 0;
}

struct siv *worker_siv(struct engine *e, enum siv_purpose purpose, uint32_t generation, int *error)
{
	struct worker *w = get_worker();

	*error = -ENOMEM;
	if (!w)
		return NULL;
	for (unsigned i = 0; i < WORKER_SIV_SLOTS; i++) {
		struct siv_slot *s = &w->siv[i];

		if (s->serial == e->keys_serial && s->generation == generation && s->purpose == purpose)
			return s->siv;
	}

	struct siv_slot *s = &w->siv[w->next_siv++ % WORKER_SIV_SLOTS];

	*error = load_siv(e, s, purpose, generation);
	return *error < 0 ? NULL : s->siv;
}

static const char *const hash_labels[] = {
	[HASH_LONG_NAMES] = LABEL_LONG_NAMES,
	[HASH_LONG_XATTR_NAMES] = LABEL_LONG_XATTR_NAMES,
};

static int load_hash(struct engine *e, struct hash_slot *s, enum hash_purpose purpose, uint32_t generation)
{
	int r = 0;
	const struct generation_key *g = keys_for_open(e->keys, SCOPE_DEFAULT, generation, &r);

	s->serial = 0;
	if (!g)
		return r;
	if (!s->key)
		s->key = secret_new(SHA256_SIZE);
	if (!s->key)
		return -ENOMEM;
	r = keys_derive(e->keys, g, hash_labels[purpose], NULL, 0, s->key->bytes, SHA256_SIZE);
	if (r < 0)
		return r;
	s->serial = e->keys_serial;
	s->purpose = purpose;
	s->generation = generation;
	return 0;
}

int worker_hash(struct engine *e, enum hash_purpose purpose, uint32_t generation, const void *in, size_t n,
		uint8_t out[SHA256_SIZE])
{
	struct worker *w = get_worker();
	struct hash_slot *s = NULL;

	if (!w)
		return -ENOMEM;
	for (unsigned i = 0; i < WORKER_HASH_SLOTS && !s; i++)
		if (w->hash[i].serial == e->keys_serial && w->hash[i].generation == generation &&
		    w->hash[i].purpose == purpose)
			s = &w->hash[i];
	if (!s) {
		s = &w->hash[w->next_hash++ % WORKER_HASH_SLOTS];

		int r = load_hash(e, s, purpose, generation);

		if (r < 0)
			return r;
	}
	assert(s->key); /* of every slot that was loaded once */
	return hmac_sha256(s->key->bytes, SHA256_SIZE, in, n, out);
}
