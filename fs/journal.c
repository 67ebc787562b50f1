#include "fs/journal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fs/journal_parts.h"
#include "fs/rules.h"
#include "util/base/bytes.h"
#include "util/base/log.h"

/* Invariants:
 *  (1) [start, next) of the ring holds the live records, one behind the other; space is reused only when the superblock that
 *      freed it is synced.
 *  (2) a record authenticates its number, type, lengths and the tag of the one before it, under a key of this mount.
 *  (3) records are in the store in their order: one is written under the lock that numbered it.
 *  (4) no nonce is used twice: 12 random bytes each, under a key drawn at each mount.
 *  (5) a quarter of the ring is never reserved: it is for the records of a checkpoint, and of recovery. */

static const uint8_t record_magic[4] = {'C', 'O', 'J', 'R'};

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

uint64_t journal_used(struct journal *j)
{
	pthread_mutex_lock(&j->lock);

	uint64_t used = j->next.at - j->start.at;

	pthread_mutex_unlock(&j->lock);
	return used;
}

uint64_t journal_file_size(const struct journal *j)
{
	return RING_AT + j->size;
}

const struct journal_state *journal_state(const struct journal *j)
{
	return &j->state;
}

/* ------------------------------------------------------------------ opening */

void journal_prepare(struct journal *j, struct store *s, const struct settings *set, const struct keys *keys)
{
	j->store = s;
	j->fd = -1;
	j->keys = keys_ref((struct keys *)keys);
	memcpy(j->instance, set->instance_id, INSTANCE_ID_SIZE);
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->changed, NULL);
	j->buffer = malloc(padded(FRAME + RECORD_BODY_MAX + RECORD_PAYLOAD_MAX) + BLOCK);
}

int journal_open(struct store *s, int dot, const struct settings *set, const struct keys *keys, bool read_only,
		 struct journal **out)
{
	struct journal *j = calloc(1, sizeof *j);
	struct store_stat st;
	int r;

	if (!j)
		return -ENOMEM;
	journal_prepare(j, s, set, keys);
	j->fd = store_open(s, dot, "journal", read_only ? O_RDONLY : O_RDWR, 0);
	r = j->fd < 0 ? j->fd : (j->buffer ? store_stat(s, j->fd, &st) : -ENOMEM);
	if (r == 0)
		r = S_ISREG(st.mode) && st.nlink == 1 ? journal_choose_superblock(j) : -EBADMSG;
	if (r == 0)
		r = st.size == j->size + RING_AT ? journal_load_record_key(j) : -EBADMSG;
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

uint64_t journal_place(const struct journal *j, uint64_t at)
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

bool journal_frame_is_possible(const struct journal *j, const uint8_t *frame, const struct journal_mark *m)
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
	ssize_t got = store_pread(j->store, j->fd, frame, FRAME, journal_place(j, j->next.at));

	if (got != FRAME || !journal_frame_is_possible(j, frame, &j->next))
		return got < 0 ? (int)got : 0;

	size_t body = get_le32(frame + AT_BODY), payload = get_le32(frame + AT_PAYLOAD);

	got = store_pread(j->store, j->fd, frame + FRAME, body + payload, journal_place(j, j->next.at) + FRAME);
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
	ssize_t got = store_pread(j->store, j->fd, buf, n, journal_place(j, at));

	return got < 0 ? (int)got : ((size_t)got == n ? 0 : -EIO);
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

/* Zeros behind a record up to the end of its block, as far as nothing live is there: of a block that it has not cached the store's kernel
 * would have to read the rest first, for each record. */
static size_t fill_block(const struct journal *j, uint8_t *end, size_t whole)
{
	uint64_t free = j->size - (j->next.at - j->start.at) - whole, left = left_in_ring(j, j->next.at) - whole;
	size_t fill = (size_t)(-(j->next.at % j->size + whole) % BLOCK);

	if (fill > free || fill > left)
		return 0;
	memset(end, 0, fill);
	return fill;
}

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

	size_t fill = fill_block(j, frame + whole, whole);
	ssize_t put = store_pwrite(j->store, j->fd, frame, whole + fill, journal_place(j, j->next.at));

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
			journal_fail(j, r);
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
