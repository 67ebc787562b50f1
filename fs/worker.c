#include "fs/worker.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "fs/internal.h"
#include "util/base/kdf_labels.h"

struct content_slot {
	struct aead *aead;
	uint64_t serial; /* of the keys whose key is loaded; 0: none */
	uint32_t zone, generation;
	uint8_t file_id[16];
};

struct siv_slot {
	struct siv *siv;
	uint64_t serial;
	enum siv_purpose purpose;
	uint32_t zone, generation;
};

struct hash_slot {
	struct secret *key;
	uint64_t serial;
	enum hash_purpose purpose;
	uint32_t zone, generation;
};

/* Invariants:
 *  (1) handles and keys of a worker are used by its own thread; by another only under `busy`, while that one is between operations.
 *  (2) within worker_enter and worker_leave the keys stay the same; an operation seals nothing under a generation that was active before it
 *      began and opens nothing that could be opened only then. */
struct worker {
	struct worker *next, **at; /* in `crew` */
	pthread_mutex_t busy;      /* held by the thread while it is inside */
	unsigned depth;            /* how often it has entered */
	struct engine *engine;     /* whose the keys are */
	struct keys *keys;
	uint64_t serial; /* of those */
	struct content_slot content[WORKER_CONTENT_SLOTS];
	struct siv_slot siv[WORKER_SIV_SLOTS];
	struct hash_slot hash[WORKER_HASH_SLOTS];
	enum cipher cipher; /* of the content handles */
	unsigned next_content, next_siv, next_hash;
	uint8_t *buffer;
};

static _Thread_local struct worker *this_worker;

/* All of them, for who takes keys away. */
static struct {
	pthread_mutex_t lock;
	struct worker *first;
} crew = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct worker *get_worker(void)
{
	struct worker *w = this_worker;

	if (w)
		return w;
	w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	pthread_mutex_init(&w->busy, NULL);
	pthread_mutex_lock(&crew.lock);
	w->next = crew.first;
	w->at = &crew.first;
	if (w->next)
		w->next->at = &w->next;
	crew.first = w;
	pthread_mutex_unlock(&crew.lock);
	this_worker = w;
	return w;
}

/* Forgets what was loaded from the keys with this serial. */
static void drop_loaded(struct worker *w, uint64_t serial)
{
	for (unsigned i = 0; i < WORKER_CONTENT_SLOTS; i++) {
		if (w->content[i].serial != serial)
			continue;
		aead_free(&w->content[i].aead);
		w->content[i].serial = 0;
	}
	for (unsigned i = 0; i < WORKER_SIV_SLOTS; i++) {
		if (w->siv[i].serial != serial)
			continue;
		siv_free(&w->siv[i].siv);
		w->siv[i].serial = 0;
	}
	for (unsigned i = 0; i < WORKER_HASH_SLOTS; i++) {
		if (w->hash[i].serial != serial)
			continue;
		secret_free(&w->hash[i].key);
		w->hash[i].serial = 0;
	}
}

void fs_thread_end(void)
{
	struct worker *w = this_worker;

	if (w) {
		pthread_mutex_lock(&crew.lock);
		*w->at = w->next;
		if (w->next)
			w->next->at = w->at;
		pthread_mutex_unlock(&crew.lock);
		for (unsigned i = 0; i < WORKER_CONTENT_SLOTS; i++)
			aead_free(&w->content[i].aead);
		for (unsigned i = 0; i < WORKER_SIV_SLOTS; i++)
			siv_free(&w->siv[i].siv);
		for (unsigned i = 0; i < WORKER_HASH_SLOTS; i++)
			secret_free(&w->hash[i].key);
		keys_unref(w->keys);
		pthread_mutex_destroy(&w->busy);
		free(w->buffer);
		free(w);
		this_worker = NULL;
	}
	crypto_thread_end();
}

/* ------------------------------------------------------------------ keys */

/* Takes the engine's keys of this moment. */
static void take_keys(struct worker *w, struct engine *e)
{
	struct keys *before = w->keys;
	uint64_t serial;

	if (w->engine == e && w->serial == atomic_load_explicit(&e->keys_serial, memory_order_acquire))
		return;
	pthread_mutex_lock(&e->keys_lock);
	w->keys = keys_ref(e->keys);
	serial = atomic_load(&e->keys_serial);
	pthread_mutex_unlock(&e->keys_lock);
	if (w->engine == e)
		drop_loaded(w, w->serial);
	w->engine = e;
	w->serial = serial;
	keys_unref(before);
}

static struct worker *worker_with_keys(struct engine *e)
{
	struct worker *w = get_worker();

	if (!w)
		return NULL;
	/* Where keys come and go, whoever works says when it begins: else they would be taken from under it. */
	assert(w->depth > 0 || !atomic_load(&e->keys_changed));
	if (w->depth == 0 || w->engine != e)
		take_keys(w, e);
	return w;
}

const struct keys *worker_keys(struct engine *e)
{
	struct worker *w = worker_with_keys(e);

	return w ? w->keys : e->keys;
}

void worker_enter(struct engine *e)
{
	struct worker *w = get_worker();

	if (!w || w->depth++ > 0)
		return;
	pthread_mutex_lock(&w->busy);
	take_keys(w, e);
}

void worker_leave(void)
{
	struct worker *w = this_worker;

	if (w && w->depth > 0 && --w->depth == 0)
		pthread_mutex_unlock(&w->busy);
}

/* Waits until the worker is between operations, and takes away what it had of older keys. */
static int drain_one(struct worker *w, struct engine *e, const struct timespec *until)
{
	int r = pthread_mutex_timedlock(&w->busy, until);

	if (r != 0)
		return -ETIMEDOUT;
	if (w->engine == e && w->serial != atomic_load(&e->keys_serial)) {
		drop_loaded(w, w->serial);
		keys_unref(w->keys);
		w->keys = NULL;
		w->engine = NULL;
		w->serial = 0;
	}
	pthread_mutex_unlock(&w->busy);
	return 0;
}

int workers_drain(struct engine *e, unsigned seconds)
{
	struct timespec until;
	int r = 0;

	assert(!this_worker || this_worker->depth == 0);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += seconds;
	pthread_mutex_lock(&crew.lock);
	for (struct worker *w = crew.first; w && r == 0; w = w->next)
		r = drain_one(w, e, &until);
	pthread_mutex_unlock(&crew.lock);
	return r;
}

uint8_t *worker_buffer(void)
{
	struct worker *w = get_worker();

	if (w && !w->buffer)
		w->buffer = malloc(IO_MAX + 2 * PAGE_BYTES);
	return w ? w->buffer : NULL;
}

static int load_content(const struct worker *w, struct content_slot *s, uint32_t zone, const uint8_t file_id[16],
			uint32_t generation)
{
	uint8_t key[AEAD_KEY];
	int r = 0;
	const struct generation_key *g = keys_for_open_in(w->keys, zone, generation, &r);

	s->serial = 0;
	if (!g)
		return r;
	if (!s->aead)
		r = aead_new(w->keys->cipher, &s->aead);
	if (r == 0)
		r = keys_derive_content(w->keys, g, file_id, key);
	if (r == 0)
		r = aead_set_key(s->aead, key);
	wipe(key, sizeof key);
	if (r < 0)
		return r;
	s->serial = w->serial;
	s->zone = zone;
	s->generation = generation;
	memcpy(s->file_id, file_id, 16);
	return 0;
}

struct aead *worker_content(struct engine *e, uint32_t zone, const uint8_t file_id[16], uint32_t generation, int *error)
{
	struct worker *w = worker_with_keys(e);

	*error = -ENOMEM;
	if (!w)
		return NULL;
	for (unsigned i = 0; i < WORKER_CONTENT_SLOTS; i++) {
		struct content_slot *s = &w->content[i];

		if (s->serial == w->serial && s->generation == generation && s->zone == zone &&
		    memcmp(s->file_id, file_id, 16) == 0)
			return s->aead;
	}

	struct content_slot *s = &w->content[w->next_content++ % WORKER_CONTENT_SLOTS];

	if (w->cipher != w->keys->cipher) {
		for (unsigned i = 0; i < WORKER_CONTENT_SLOTS; i++) {
			aead_free(&w->content[i].aead);
			w->content[i].serial = 0;
		}
		w->cipher = w->keys->cipher;
	}
	*error = load_content(w, s, zone, file_id, generation);
	return *error < 0 ? NULL : s->aead;
}

static const char *const siv_labels[] = {
	[SIV_NAMES] = LABEL_NAMES,
	[SIV_SYMLINKS] = LABEL_SYMLINKS,
	[SIV_XATTR_NAMES] = LABEL_XATTR_NAMES,
	[SIV_XATTR_VALUES] = LABEL_XATTR_VALUES,
};

static int load_siv(const struct worker *w, struct siv_slot *s, enum siv_purpose purpose, uint32_t zone,
		    uint32_t generation)
{
	uint8_t key[SIV_KEY];
	int r = 0;
	const struct generation_key *g = keys_for_open_in(w->keys, zone, generation, &r);

	s->serial = 0;
	if (!g)
		return r;
	if (!s->siv)
		r = siv_new(&s->siv);
	if (r == 0)
		r = keys_derive(w->keys, g, siv_labels[purpose], NULL, 0, key, sizeof key);
	if (r == 0)
		r = siv_set_key(s->siv, key);
	wipe(key, sizeof key);
	if (r < 0)
		return r;
	s->serial = w->serial;
	s->purpose = purpose;
	s->zone = zone;
	s->generation = generation;
	return 0;
}

struct siv *worker_siv(struct engine *e, enum siv_purpose purpose, uint32_t zone, uint32_t generation, int *error)
{
	struct worker *w = worker_with_keys(e);

	*error = -ENOMEM;
	if (!w)
		return NULL;
	for (unsigned i = 0; i < WORKER_SIV_SLOTS; i++) {
		struct siv_slot *s = &w->siv[i];

		if (s->serial == w->serial && s->generation == generation && s->purpose == purpose && s->zone == zone)
			return s->siv;
	}

	struct siv_slot *s = &w->siv[w->next_siv++ % WORKER_SIV_SLOTS];

	*error = load_siv(w, s, purpose, zone, generation);
	return *error < 0 ? NULL : s->siv;
}

static const char *const hash_labels[] = {
	[HASH_LONG_NAMES] = LABEL_LONG_NAMES,
	[HASH_LONG_XATTR_NAMES] = LABEL_LONG_XATTR_NAMES,
};

static int load_hash(const struct worker *w, struct hash_slot *s, enum hash_purpose purpose, uint32_t zone,
		     uint32_t generation)
{
	int r = 0;
	const struct generation_key *g = keys_for_open_in(w->keys, zone, generation, &r);

	s->serial = 0;
	if (!g)
		return r;
	if (!s->key)
		s->key = secret_new(SHA256_SIZE);
	if (!s->key)
		return -ENOMEM;
	r = keys_derive(w->keys, g, hash_labels[purpose], NULL, 0, s->key->bytes, SHA256_SIZE);
	if (r < 0)
		return r;
	s->serial = w->serial;
	s->purpose = purpose;
	s->zone = zone;
	s->generation = generation;
	return 0;
}

int worker_hash(struct engine *e, enum hash_purpose purpose, uint32_t zone, uint32_t generation, const void *in,
		size_t n, uint8_t out[SHA256_SIZE])
{
	struct worker *w = worker_with_keys(e);
	struct hash_slot *s = NULL;

	if (!w)
		return -ENOMEM;
	for (unsigned i = 0; i < WORKER_HASH_SLOTS && !s; i++)
		if (w->hash[i].serial == w->serial && w->hash[i].generation == generation &&
		    w->hash[i].purpose == purpose && w->hash[i].zone == zone)
			s = &w->hash[i];
	if (!s) {
		s = &w->hash[w->next_hash++ % WORKER_HASH_SLOTS];

		int r = load_hash(w, s, purpose, zone, generation);

		if (r < 0)
			return r;
	}
	assert(s->key); /* of every slot that was loaded once */
	return hmac_sha256(s->key->bytes, SHA256_SIZE, in, n, out);
}
