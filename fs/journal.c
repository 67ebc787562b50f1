#include "fs/journal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "fs/rules.h"
#include "util/base/bytes.h"
#include "util/base/kdf_labels.h"
#include "util/base/log.h"

/* Invariants:
 *  (1) [start, next) of the ring holds the live records, one behind the other; space is reused only when the superblock that
 *      freed it is synced.
 *  (2) a record authenticates its number, type, lengths and the tag of the one before it, under a key of this mount.
 *  (3) records are in the store in their order: one is written under the lock that numbered it.
 *  (4) no nonce is used twice: 12 random bytes each, under a key drawn at each mount.
 *  (5) a quarter of the ring is never reserved: it is for the records of a checkpoint, and of recovery. */

enum {
	SUPERBLOCK = 4096,
	RING_AT = 2 * SUPERBLOCK,
	ALIGN = 64,

	/* a record's frame, in the clear; the first 24 bytes are authenticated */
	FRAME = 64,
	AT_MAGIC = 0,
	AT_TYPE = 4,
	AT_BODY = 8,
	AT_PAYLOAD = 12,
	AT_NUMBER = 16,
	AT_NONCE = 24,
	AT_TAG = 36,
	AUTHENTICATED = AT_NONCE,
	TYPE_FILLER = 0, /* up to the end of the ring */

	/* a superblock */
	SB_NONCE = 8,
	SB_TAG = 20,
	SB_SEALED = 64,
	RANDOM_SIZE = 32,

	/* a lost range */
	EPOCHS_LOST = 9,
	LOST_SLACK = 5, /* seconds */
};

static const uint8_t record_magic[4] = {'C', 'O', 'J', 'R'};
static const uint8_t superblock_magic[8] = {'C', 'O', 'J', 'S', 1, 0, 0, 0};

struct journal {
	struct store *store;
	int fd;
	uint64_t size; /* of the ring */
	struct keys *keys;
	uint8_t instance[INSTANCE_ID_SIZE];

	pthread_mutex_t lock; /* everything below, but what one thread alone uses */
	pthread_cond_t changed;
	struct aead *records; /* keyed for this mount */
	struct journal_mark start, next;
	uint64_t reserved;
	int64_t expected;
	uint64_t synced; /* records below this number are durable */
	bool syncing;
	int failed;
	uint64_t rounds; /* checkpoints that are over */
	void (*wake)(void *data);
	void *wake_data;
	uint8_t *buffer; /* of one record */

	/* superblock */
	uint64_t serial, incarnation;
	uint8_t random[RANDOM_SIZE];
	struct journal_state state;
	int slots[2]; /* whether each of the two opened: 0 or negative errno */
};

static size_t padded(size_t n)
{
	return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

size_t journal_cost(size_t body_size, size_t payload_size)
{
	/* It may not fit before the end of the ring, and leave as much unused there. */
	return 2 * padded(FRAME + body_size + payload_size);
}

uint64_t journal_size(const struct journal *j)
{
	return j->size;
}

uint64_t journal_file_size(const struct journal *j)
{
	return RING_AT + j->size;
}

const struct journal_state *journal_state(const struct journal *j)
{
	return &j->state;
}

/* ------------------------------------------------------------------ keys */

static int new_handle(const struct keys *keys, const char *label, const uint8_t *extra, size_t extra_size,
		      struct aead **out)
{
	uint8_t key[AEAD_KEY];
	int r = aead_new(keys->cipher, out);

	if (r == 0)
		r = keys_derive_journal(keys, label, extra, extra_size, key);
	if (r == 0)
		r = aead_set_key(*out, key);
	wipe(key, sizeof key);
	if (r < 0)
		aead_free(out);
	return r;
}

static int load_record_key(struct journal *j)
{
	struct aead *fresh = NULL;
	int r = new_handle(j->keys, LABEL_JOURNAL_RECORDS, j->random, RANDOM_SIZE, &fresh);

	if (r < 0)
		return r;
	aead_free(&j->records);
	j->records = fresh;
	return 0;
}

/* ------------------------------------------------------------------ superblocks */

struct superblock {
	uint64_t serial, incarnation, size;
	uint8_t random[RANDOM_SIZE];
	struct journal_mark start;
	struct journal_state state;
};

/* Fields in their order; one function for both ways would be shorter and harder to read. */
static size_t encode_superblock(const struct superblock *b, const uint8_t instance[INSTANCE_ID_SIZE], uint8_t *out)
{
	uint8_t *p = out;

	memcpy(p, instance, INSTANCE_ID_SIZE);
	put_le64(p + 16, b->serial);
	put_le64(p + 24, b->incarnation);
	put_le64(p + 32, b->size);
	memcpy(p + 40, b->random, RANDOM_SIZE);
	put_le64(p + 72, b->start.at);
	put_le64(p + 80, b->start.number);
	memcpy(p + 88, b->start.before, AEAD_TAG);
	put_le64(p + 104, b->state.durable);
	put_le64(p + 112, (uint64_t)b->state.since);
	put_le32(p + 120, b->state.clean);
	put_le32(p + 124, b->state.range_count);
	p += 128;
	for (uint32_t i = 0; i < b->state.range_count; i++, p += 32) {
		put_le64(p, b->state.ranges[i].first);
		put_le64(p + 8, b->state.ranges[i].last);
		put_le64(p + 16, (uint64_t)b->state.ranges[i].from);
		put_le64(p + 24, (uint64_t)b->state.ranges[i].to);
	}
	return (size_t)(p - out);
}

static int decode_superblock(const uint8_t *p, const uint8_t instance[INSTANCE_ID_SIZE], struct superblock *b)
{
	if (memcmp(p, instance, INSTANCE_ID_SIZE) != 0)
		return -EBADMSG;
	b->serial = get_le64(p + 16);
	b->incarnation = get_le64(p + 24);
	b->size = get_le64(p + 32);
	memcpy(b->random, p + 40, RANDOM_SIZE);
	b->start.at = get_le64(p + 72);
	b->start.number = get_le64(p + 80);
	memcpy(b->start.before, p + 88, AEAD_TAG);
	b->state.durable = get_le64(p + 104);
	b->state.since = (int64_t)get_le64(p + 112);
	b->state.clean = get_le32(p + 120);
	b->state.range_count = get_le32(p + 124);
	if (b->state.range_count > LOST_RANGES_MAX || b->size < ALIGN || b->size % ALIGN || b->start.at % ALIGN)
		return -EBADMSG;
	p += 128;
	for (uint32_t i = 0; i < b->state.range_count; i++, p += 32) {
		b->state.ranges[i].first = get_le64(p);
		b->state.ranges[i].last = get_le64(p + 8);
		b->state.ranges[i].from = (int64_t)get_le64(p + 16);
		b->state.ranges[i].to = (int64_t)get_le64(p + 24);
	}
	return 0;
}

static void superblock_ad(unsigned slot, uint8_t ad[sizeof superblock_magic + 1])
{
	memcpy(ad, superblock_magic, sizeof superblock_magic);
	ad[sizeof superblock_magic] = (uint8_t)slot;
}

static int write_superblock(struct store *s, int fd, const struct keys *keys, const uint8_t *instance,
			    const struct superblock *b)
{
	uint8_t block[SUPERBLOCK] = {0}, ad[sizeof superblock_magic + 1];
	unsigned slot = b->serial % 2;
	struct aead *a = NULL;
	int r = new_handle(keys, LABEL_JOURNAL_SUPERBLOCK, instance, INSTANCE_ID_SIZE, &a);

	if (r == 0)
		r = crypto_random(block + SB_NONCE, AEAD_NONCE);
	if (r == 0) {
		memcpy(block, superblock_magic, sizeof superblock_magic);
		encode_superblock(b, instance, block + SB_SEALED);
		superblock_ad(slot, ad);
		r = aead_seal(a, block + SB_NONCE, ad, sizeof ad, block + SB_SEALED, SUPERBLOCK - SB_SEALED,
			      block + SB_SEALED, block + SB_TAG);
	}
	aead_free(&a);
	if (r < 0)
		return r;

	ssize_t put = store_pwrite(s, fd, block, SUPERBLOCK, (uint64_t)slot * SUPERBLOCK);

	return put < 0 ? (int)put : 0;
}

static int read_superblock(struct journal *j, struct aead *a, unsigned slot, struct superblock *out)
{
	uint8_t block[SUPERBLOCK], ad[sizeof superblock_magic + 1];
	ssize_t got = store_pread(j->store, j->fd, block, SUPERBLOCK, (uint64_t)slot * SUPERBLOCK);

	if (got != SUPERBLOCK || memcmp(block, superblock_magic, sizeof superblock_magic) != 0)
		return got < 0 ? (int)got : -EBADMSG;
	superblock_ad(slot, ad);

	int r = aead_open(a, block + SB_NONCE, ad, sizeof ad, block + SB_SEALED, SUPERBLOCK - SB_SEALED,
			  block + SB_SEALED, block + SB_TAG);

	return r < 0 ? r : decode_superblock(block + SB_SEALED, j->instance, out);
}

/* The valid one with the higher serial counts. */
static int choose_superblock(struct journal *j)
{
	struct superblock b[2];
	struct aead *a = NULL;
	int *valid = j->slots;
	int r = new_handle(j->keys, LABEL_JOURNAL_SUPERBLOCK, j->instance, INSTANCE_ID_SIZE, &a);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < 2; i++)
		valid[i] = read_superblock(j, a, i, &b[i]);
	aead_free(&a);
	if (valid[0] < 0 && valid[1] < 0)
		return valid[0] == -EBADMSG ? valid[1] : valid[0];

	unsigned use = valid[0] < 0 || (valid[1] == 0 && b[1].serial > b[0].serial);

	j->serial = b[use].serial;
	j->incarnation = b[use].incarnation;
	j->size = b[use].size;
	memcpy(j->random, b[use].random, RANDOM_SIZE);
	j->start = j->next = b[use].start;
	j->state = b[use].state;
	return 0;
}

/* (W6) A sync of the journal that failed: what the store has of it nobody knows, now or later.  Under the lock. */
static void fail(struct journal *j, int error)
{
	if (j->failed == 0)
		log_error("the journal cannot be made durable (%s): nothing since the last sync counts, and nothing "
			  "more is accepted; mount again",
			  strerror(-error));
	j->failed = error;
	pthread_cond_broadcast(&j->changed);
}

int journal_superblock(struct journal *j, const struct journal_mark *start, const struct journal_state *state,
		       bool new_key)
{
	struct superblock b = {j->serial + 1, j->incarnation, j->size, {0}, *start, *state};
	int r = 0;

	memcpy(b.random, j->random, RANDOM_SIZE);
	if (new_key) {
		b.incarnation++;
		r = crypto_random(b.random, RANDOM_SIZE);
	}
	if (r == 0)
		r = write_superblock(j->store, j->fd, j->keys, j->instance, &b);
	if (r < 0)
		return r;
	r = j->store->ops->fdatasync(j->store, j->fd);
	pthread_mutex_lock(&j->lock);
	if (r < 0) {
		fail(j, r);
		pthread_mutex_unlock(&j->lock);
		return r;
	}
	j->serial = b.serial;
	j->incarnation = b.incarnation;
	j->start = *start;
	j->state = *state;
	if (new_key) {
		memcpy(j->random, b.random, RANDOM_SIZE);
		j->next = *start;
		j->synced = start->number;
		r = load_record_key(j);
	}
	pthread_cond_broadcast(&j->changed);
	pthread_mutex_unlock(&j->lock);
	return r;
}

/* ------------------------------------------------------------------ making */

static int write_zeros(struct store *s, int fd, uint64_t size)
{
	enum { STEP = 1 << 20 };
	_cleanup_free_ void *zeros = calloc(1, STEP);

	if (!zeros)
		return -ENOMEM;
	for (uint64_t at = 0; at < size; at += STEP) {
		ssize_t put = store_pwrite(s, fd, zeros, size - at < STEP ? (size_t)(size - at) : STEP, at);

		if (put < 0)
			return (int)put;
	}
	return s->ops->fsync(s, fd);
}

static uint64_t default_size(struct store *s, int dot)
{
	struct statvfs fs;
	uint64_t size = JOURNAL_DEFAULT_MAX;

	if (s->ops->statvfs(s, dot, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize / 16 < size)
		size = (uint64_t)fs.f_bavail * fs.f_frsize / 16;
	return size < JOURNAL_MIN ? JOURNAL_MIN : size;
}

/* A journal that holds nothing, under this name, synced; its name is not. */
static int make_file(struct store *s, int dot, const char *name, const struct settings *set, const struct keys *keys,
		     uint64_t size, struct superblock *b)
{
	int fd = store_open(s, dot, name, O_CREAT | O_EXCL | O_RDWR, 0600), r;

	if (fd < 0)
		return fd;
	b->size = size - RING_AT;
	/* A full store that copies on write would have no place for what the journal has a place for. */
	r = s->ops->no_copy_on_write(s, fd);
	if (r == 0 || r == -EOPNOTSUPP)
		r = crypto_random(b->random, RANDOM_SIZE);
	if (r == 0)
		r = write_zeros(s, fd, size);
	if (r == 0)
		r = write_superblock(s, fd, keys, set->instance_id, b);
	if (r == 0)
		r = s->ops->fdatasync(s, fd);
	store_close(s, fd);
	return r;
}

static int choose_size(struct store *s, int dot, uint64_t *size, struct fault *why)
{
	if (*size == 0)
		*size = default_size(s, dot);
	*size &= ~(uint64_t)(SUPERBLOCK - 1);
	if (*size < JOURNAL_MIN || *size > JOURNAL_MAX)
		return fault_set(why, EXIT_USAGE, EINVAL, "a journal has 4 MiB to 1 GiB");
	return 0;
}

static int cannot_make(struct store *s, int dot, const char *name, int error, uint64_t size, struct fault *why)
{
	s->ops->unlink(s, dot, name);
	return fault_errno(why, EXIT_STORE, error, "cannot make .coffer/%s of %llu MiB", name,
			   (unsigned long long)size >> 20);
}

int journal_make(struct store *s, int dot, const struct settings *set, const struct keys *keys, uint64_t size,
		 struct fault *why)
{
	struct superblock b = {.serial = 1, .state = {.clean = true}};
	int r = choose_size(s, dot, &size, why);

	if (r < 0)
		return r;
	r = make_file(s, dot, "journal", set, keys, size, &b);
	if (r == -EEXIST)
		return fault_errno(why, EXIT_STORE, r, "cannot make .coffer/journal");
	if (r == 0)
		r = s->ops->fsync(s, dot);
	return r < 0 ? cannot_make(s, dot, "journal", r, size, why) : 0;
}

/* ------------------------------------------------------------------ a new one in the place of another */

static const char renewed_name[] = "journal.new";

/* Nobody knows what was in it, nor which epochs there have been: the next are above all of them, as no store is ticked a million times a
 * second; and everything that was being made may have been cut short. */
static struct superblock superblock_of_nothing(void)
{
	struct superblock b = {.serial = 1, .incarnation = 1, .state = {.clean = true, .range_count = 1}};

	b.state.since = time(NULL);
	b.state.durable = (uint64_t)b.state.since << 20;
	b.state.ranges[0] = (struct lost_range){0, b.state.durable, INT64_MIN, b.state.since + LOST_SLACK};
	return b;
}

/* What the journal that is there knows besides its records lives on. */
static int superblock_of_the_next(struct store *s, int dot, const struct settings *set, const struct keys *keys,
				  struct superblock *out)
{
	struct journal *old;
	int r = journal_open(s, dot, set, keys, true, &old);

	if (r == -ENOENT || r == -EBADMSG || r == -EIO) {
		*out = superblock_of_nothing();
		return 0;
	}
	if (r < 0)
		return r;
	*out = (struct superblock){.serial = old->serial + 1, .incarnation = old->incarnation, .state = old->state};
	out->start.number = old->start.number;
	journal_close(&old);
	if (!out->state.clean)
		journal_lose_epochs(&out->state);
	out->state.clean = true;
	return 0;
}

/* As the volume's own directory has it: root may be doing this for the owner. */
static int give_to_owner(struct store *s, int dot)
{
	struct store_stat st, ours;
	int r = store_stat(s, dot, &st), fd = store_open(s, dot, renewed_name, O_RDWR, 0);

	if (r == 0)
		r = fd < 0 ? fd : store_stat(s, fd, &ours);
	if (r == 0 && ours.uid != st.uid)
		r = s->ops->chown(s, fd, st.uid, st.gid);
	if (r == 0)
		r = s->ops->fsync(s, fd);
	store_close(s, fd);
	return r;
}

/* The old one is read as that of `before`, the new one is that of `set`. */
static int renew(struct store *s, int dot, const struct settings *before, const struct settings *set,
		 const struct keys *keys, uint64_t size, struct fault *why)
{
	struct superblock b;
	int r = choose_size(s, dot, &size, why);

	if (r < 0)
		return r;
	r = superblock_of_the_next(s, dot, before, keys, &b);
	if (r < 0)
		return fault_errno(why, EXIT_STORE, r, "cannot read .coffer/journal");
	journal_clear_renewed(s, dot);
	r = make_file(s, dot, renewed_name, set, keys, size, &b);
	if (r == 0)
		r = give_to_owner(s, dot);
	if (r == 0)
		r = s->ops->rename(s, dot, renewed_name, dot, "journal", 0);
	if (r < 0)
		return cannot_make(s, dot, renewed_name, r, size, why);
	/* Before anything is written that only the new one knows. */
	r = s->ops->fsync(s, dot);
	return r < 0 ? fault_errno(why, EXIT_STORE, r, "cannot sync .coffer") : 0;
}

int journal_renew(struct store *s, int dot, const struct settings *set, const struct keys *keys, uint64_t size,
		  struct fault *why)
{
	return renew(s, dot, set, set, keys, size, why);
}

int journal_follow(struct store *s, int dot, const struct settings *before, const struct settings *set,
		   const struct keys *keys, struct fault *why)
{
	struct journal *j;
	int r = journal_open(s, dot, set, keys, true, &j);

	if (r == 0)
		journal_close(&j);
	return r == -EBADMSG ? renew(s, dot, before, set, keys, set->journal_size, why) : 0;
}

void journal_clear_renewed(struct store *s, int dot)
{
	s->ops->unlink(s, dot, renewed_name);
}

void journal_lose_epochs(struct journal_state *s)
{
	struct lost_range range = {s->durable + 1, s->durable + EPOCHS_LOST, s->since - LOST_SLACK,
				   time(NULL) + LOST_SLACK};

	if (s->range_count == LOST_RANGES_MAX) {
		s->ranges[0].last = s->ranges[1].last;
		s->ranges[0].to = s->ranges[1].to;
		memmove(&s->ranges[1], &s->ranges[2], (LOST_RANGES_MAX - 2) * sizeof s->ranges[0]);
		s->range_count--;
	}
	if (RULE(R5))
		s->ranges[s->range_count++] = range;
	s->durable += EPOCHS_LOST;
}

/* ------------------------------------------------------------------ opening */

static void prepare(struct journal *j, struct store *s, const struct settings *set, const struct keys *keys)
{
	j->store = s;
	j->fd = -1;
	j->keys = keys_ref((struct keys *)keys);
	memcpy(j->instance, set->instance_id, INSTANCE_ID_SIZE);
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->changed, NULL);
	j->buffer = malloc(padded(FRAME + RECORD_BODY_MAX + RECORD_PAYLOAD_MAX));
}

int journal_open(struct store *s, int dot, const struct settings *set, const struct keys *keys, bool read_only,
		 struct journal **out)
{
	struct journal *j = calloc(1, sizeof *j);
	struct store_stat st;
	int r;

	if (!j)
		return -ENOMEM;
	prepare(j, s, set, keys);
	j->fd = store_open(s, dot, "journal", read_only ? O_RDONLY : O_RDWR, 0);
	r = j->fd < 0 ? j->fd : (j->buffer ? store_stat(s, j->fd, &st) : -ENOMEM);
	if (r == 0)
		r = S_ISREG(st.mode) && st.nlink == 1 ? choose_superblock(j) : -EBADMSG;
	if (r == 0)
		r = st.size == j->size + RING_AT ? load_record_key(j) : -EBADMSG;
	if (r < 0) {
		journal_close(&j);
		return r;
	}
	*out = j;
	return 0;
}

void journal_close(struct journal **jp)
{
	struct journal *j = *jp;

	if (!j)
		return;
	*jp = NULL;
	aead_free(&j->records);
	store_close(j->store, j->fd);
	keys_unref(j->keys);
	pthread_mutex_destroy(&j->lock);
	pthread_cond_destroy(&j->changed);
	free(j->buffer);
	free(j);
}

/* ------------------------------------------------------------------ reading */

static uint64_t place(const struct journal *j, uint64_t at)
{
	return RING_AT + at % j->size;
}

static uint64_t left_in_ring(const struct journal *j, uint64_t at)
{
	return j->size - at % j->size;
}

/* What a record authenticates besides itself. */
static void record_ad(const struct journal_mark *m, const uint8_t *frame, uint8_t ad[AEAD_TAG + AUTHENTICATED])
{
	memcpy(ad, m->before, AEAD_TAG);
	memcpy(ad + AEAD_TAG, frame, AUTHENTICATED);
}

static bool frame_is_possible(const struct journal *j, const uint8_t *frame, const struct journal_mark *m)
{
	size_t body = get_le32(frame + AT_BODY), payload = get_le32(frame + AT_PAYLOAD);

	return memcmp(frame, record_magic, sizeof record_magic) == 0 && get_le64(frame + AT_NUMBER) == m->number &&
	       body <= RECORD_BODY_MAX && payload <= RECORD_PAYLOAD_MAX &&
	       padded(FRAME + body + payload) <= left_in_ring(j, m->at);
}

/* Moves a mark behind a record. */
static void step(struct journal_mark *m, const uint8_t *tag, uint64_t bytes)
{
	m->at += bytes;
	m->number++;
	memcpy(m->before, tag, AEAD_TAG);
}

static int read_one(struct journal *j, struct journal_record *out)
{
	uint8_t ad[AEAD_TAG + AUTHENTICATED], *frame = j->buffer;
	ssize_t got = store_pread(j->store, j->fd, frame, FRAME, place(j, j->next.at));

	if (got != FRAME || !frame_is_possible(j, frame, &j->next))
		return got < 0 ? (int)got : 0;

	size_t body = get_le32(frame + AT_BODY), payload = get_le32(frame + AT_PAYLOAD);

	got = store_pread(j->store, j->fd, frame + FRAME, body + payload, place(j, j->next.at) + FRAME);
	if (got < 0 || (size_t)got != body + payload)
		return got < 0 ? (int)got : 0;
	record_ad(&j->next, frame, ad);
	if (aead_open_with(j->records, frame + AT_NONCE, ad, sizeof ad, frame + FRAME + body, payload, frame + FRAME,
			   body, frame + FRAME, frame + AT_TAG) < 0)
		return 0;
	out->type = frame[AT_TYPE];
	out->body = frame + FRAME;
	out->body_size = body;
	out->payload = frame + FRAME + body;
	out->payload_size = payload;
	out->payload_at = j->next.at + FRAME + body;
	out->begin = j->next;
	step(&j->next, frame + AT_TAG,
	     out->type == TYPE_FILLER ? left_in_ring(j, j->next.at) : padded(FRAME + body + payload));
	return 1;
}

int journal_read(struct journal *j, struct journal_record *out)
{
	int r;

	do
		r = j->next.at - j->start.at >= j->size ? 0 : read_one(j, out);
	while (r > 0 && out->type == TYPE_FILLER);
	j->synced = j->start.number;
	return r;
}

int journal_read_payload(struct journal *j, uint64_t at, void *buf, size_t n)
{
	ssize_t got = store_pread(j->store, j->fd, buf, n, place(j, at));

	return got < 0 ? (int)got : ((size_t)got == n ? 0 : -EIO);
}

/* ------------------------------------------------------------------ looking at it */

static bool never_written(struct journal *j, unsigned slot)
{
	uint8_t block[SUPERBLOCK];
	ssize_t got = store_pread(j->store, j->fd, block, SUPERBLOCK, (uint64_t)slot * SUPERBLOCK);

	return got == SUPERBLOCK && j->serial == 1 && bytes_all_zero(block, SUPERBLOCK);
}

static int examine_first(struct journal *j, struct journal_facts *out)
{
	struct journal_record record;
	ssize_t got = store_pread(j->store, j->fd, j->buffer, FRAME, place(j, j->start.at));

	if (got != FRAME)
		return got < 0 ? (int)got : 0;

	bool possible = frame_is_possible(j, j->buffer, &j->start);
	int r = load_record_key(j);

	if (r == 0)
		r = journal_read(j, &record);
	out->first = r > 0 ? JOURNAL_FIRST_OPENS : (possible ? JOURNAL_FIRST_FOREIGN : JOURNAL_FIRST_NONE);
	return r < 0 ? r : 0;
}

static int examine(struct journal *j, struct journal_facts *out)
{
	struct store_stat st;
	int r = store_stat(j->store, j->fd, &st);

	if (r < 0)
		return r;
	out->regular = S_ISREG(st.mode);
	out->bytes = st.size;
	r = out->regular ? choose_superblock(j) : 0;
	if (r < 0 || !out->regular)
		return r == -EBADMSG ? 0 : r;
	out->valid = (j->slots[0] == 0) + (j->slots[1] == 0);
	out->half = out->valid == 1 && !never_written(j, j->slots[0] == 0);
	out->state = j->state;
	out->right = j->size + RING_AT;
	out->fits = st.size == out->right && st.nlink == 1;
	return out->fits && j->state.clean ? examine_first(j, out) : 0;
}

int journal_examine(struct store *s, int dot, const struct settings *set, const struct keys *keys,
		    struct journal_facts *out)
{
	struct journal *j = calloc(1, sizeof *j);
	int r;

	*out = (struct journal_facts){0};
	if (!j)
		return -ENOMEM;
	prepare(j, s, set, keys);
	j->fd = store_open(s, dot, "journal", O_RDONLY | O_NONBLOCK, 0);
	r = j->fd < 0 ? j->fd : (j->buffer ? examine(j, out) : -ENOMEM);
	/* A link or a directory in its place is something to look at, and not it. */
	if (r == -ELOOP || r == -EISDIR)
		r = 0;
	journal_close(&j);
	return r;
}

/* ------------------------------------------------------------------ space */

static uint64_t used(const struct journal *j)
{
	int64_t expected = j->expected > 0 ? j->expected : 0;

	return j->next.at - j->start.at + j->reserved + (uint64_t)expected;
}

/* Three quarters are for writers, and what their checkpoint will append must not take more than half of that: recovery may have to append
 * it once more. */
static bool has_room(const struct journal *j, size_t bytes)
{
	return used(j) + bytes <= j->size / 4 * 3 && (j->expected <= 0 || (uint64_t)j->expected <= j->size / 4);
}

static bool under_pressure(const struct journal *j)
{
	return used(j) > j->size / 2 || (j->expected > 0 && (uint64_t)j->expected > j->size / 8);
}

int journal_reserve(struct journal *j, size_t bytes)
{
	int r = 0;

	pthread_mutex_lock(&j->lock);

	uint64_t give_up = j->rounds + 3, start = j->start.number;

	/* What others have reserved comes back by itself; only what lies in the ring needs a checkpoint.  One that frees something is progress,
	 * even if others were quicker to use it. */
	while (r == 0 && !has_room(j, bytes)) {
		bool alone = j->reserved == 0;

		if (j->start.number != start) {
			start = j->start.number;
			give_up = j->rounds + 3;
		}

		if (j->failed)
			r = -EROFS;
		else if (alone && (j->rounds >= give_up || !j->wake))
			r = -ENOSPC;
		if (r < 0)
			break;
		if (alone)
			j->wake(j->wake_data);
		pthread_cond_wait(&j->changed, &j->lock);
	}
	if (r == 0) {
		j->reserved += bytes;
		if (under_pressure(j) && j->wake)
			j->wake(j->wake_data);
	}
	pthread_mutex_unlock(&j->lock);
	return r;
}

void journal_release(struct journal *j, size_t bytes)
{
	pthread_mutex_lock(&j->lock);
	j->reserved -= bytes;
	pthread_cond_broadcast(&j->changed);
	pthread_mutex_unlock(&j->lock);
}

void journal_expect(struct journal *j, int64_t bytes)
{
	pthread_mutex_lock(&j->lock);
	j->expected += bytes;
	pthread_mutex_unlock(&j->lock);
}

void journal_on_pressure(struct journal *j, void (*wake)(void *data), void *data)
{
	pthread_mutex_lock(&j->lock);
	j->wake = wake;
	j->wake_data = data;
	pthread_mutex_unlock(&j->lock);
}

void journal_round_over(struct journal *j)
{
	pthread_mutex_lock(&j->lock);
	j->rounds++;
	pthread_cond_broadcast(&j->changed);
	pthread_mutex_unlock(&j->lock);
}

/* ------------------------------------------------------------------ writing */

/* Seals a record in the buffer (frame and body; the payload, copied behind them) and writes it.  Under the lock. */
static int put_record(struct journal *j, unsigned type, const void *body, size_t body_size,
		      const struct journal_part *payload, unsigned parts)
{
	uint8_t *frame = j->buffer, *at = frame + FRAME + body_size, ad[AEAD_TAG + AUTHENTICATED];
	int r;

	memset(frame, 0, FRAME);
	memcpy(frame, record_magic, sizeof record_magic);
	frame[AT_TYPE] = (uint8_t)type;
	for (unsigned i = 0; i < parts; i++) {
		memcpy(at, payload[i].data, payload[i].size);
		at += payload[i].size;
	}

	size_t payload_size = (size_t)(at - frame) - FRAME - body_size;
	size_t whole = padded(FRAME + body_size + payload_size);

	put_le32(frame + AT_BODY, (uint32_t)body_size);
	put_le32(frame + AT_PAYLOAD, (uint32_t)payload_size);
	put_le64(frame + AT_NUMBER, j->next.number);
	memset(at, 0, whole - (size_t)(at - frame));
	r = crypto_random(frame + AT_NONCE, AEAD_NONCE);
	record_ad(&j->next, frame, ad);
	if (r == 0)
		r = aead_seal_with(j->records, frame + AT_NONCE, ad, sizeof ad, frame + FRAME + body_size, payload_size,
				   body, body_size, frame + FRAME, frame + AT_TAG);
	if (r < 0)
		return r;

	ssize_t put = store_pwrite(j->store, j->fd, frame, whole, place(j, j->next.at));

	if (put < 0)
		return (int)put;
	step(&j->next, frame + AT_TAG, type == TYPE_FILLER ? left_in_ring(j, j->next.at) : whole);
	return 0;
}

int journal_append(struct journal *j, unsigned type, const void *body, size_t body_size,
		   const struct journal_part *payload, unsigned parts, struct journal_mark *begin, uint64_t *payload_at)
{
	size_t payload_size = 0;
	int r;

	for (unsigned i = 0; i < parts; i++)
		payload_size += payload[i].size;
	assert(body_size <= RECORD_BODY_MAX && payload_size <= RECORD_PAYLOAD_MAX);

	size_t whole = padded(FRAME + body_size + payload_size);

	pthread_mutex_lock(&j->lock);
	r = j->failed;
	if (r == 0 && j->next.at - j->start.at + 2 * whole > j->size)
		r = -ENOSPC;
	if (r == 0 && left_in_ring(j, j->next.at) < whole)
		r = put_record(j, TYPE_FILLER, NULL, 0, NULL, 0);
	if (r == 0) {
		if (begin)
			*begin = j->next;
		if (payload_at)
			*payload_at = j->next.at + FRAME + body_size;
		r = put_record(j, type, body, body_size, payload, parts);
	}
	pthread_mutex_unlock(&j->lock);
	return r;
}

struct journal_mark journal_start(struct journal *j)
{
	pthread_mutex_lock(&j->lock);

	struct journal_mark m = j->start;

	pthread_mutex_unlock(&j->lock);
	return m;
}

struct journal_mark journal_end(struct journal *j)
{
	pthread_mutex_lock(&j->lock);

	struct journal_mark m = j->next;

	pthread_mutex_unlock(&j->lock);
	return m;
}

/* (W5), (W6).  A sync that is under way may have begun before our records were there, so it is waited for and another begun, which then
 * serves everybody who came meanwhile. */
int journal_sync(struct journal *j, uint64_t end)
{
	pthread_mutex_lock(&j->lock);
	while (j->failed == 0 && j->synced < end) {
		if (j->syncing) {
			pthread_cond_wait(&j->changed, &j->lock);
			if (RULE(W5share))
				continue;
			break;
		}

		uint64_t covers = j->next.number;

		j->syncing = true;
		pthread_mutex_unlock(&j->lock);

		int r = RULE(W5b) ? j->store->ops->fdatasync(j->store, j->fd) : 0;

		pthread_mutex_lock(&j->lock);
		j->syncing = false;
		if (r < 0)
			fail(j, r);
		else if (j->synced < covers)
			j->synced = covers;
		pthread_cond_broadcast(&j->changed);
	}

	int r = j->failed;

	pthread_mutex_unlock(&j->lock);
	return r;
}

int journal_failure(struct journal *j)
{
	pthread_mutex_lock(&j->lock);

	int r = j->failed;

	pthread_mutex_unlock(&j->lock);
	return r;
}
