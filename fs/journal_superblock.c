/* The two superblocks, written in turn: where the ring begins, and what state the volume is in. */
#include <errno.h>
#include <string.h>

#include "fs/journal_parts.h"
#include "fs/rules.h"
#include "util/base/bytes.h"
#include "util/base/kdf_labels.h"
#include "util/base/log.h"

enum { NEWEST_AT = 128 + 32 * LOST_RANGES_MAX };

static const uint8_t superblock_magic[8] = {'C', 'O', 'J', 'S', 1, 0, 0, 0};

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

int journal_load_record_key(struct journal *j)
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
	put_le32(out + NEWEST_AT, b->state.newest);
	return NEWEST_AT + 4;
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
	b->state.newest = get_le32(p + NEWEST_AT);
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

int journal_write_superblock(struct store *s, int fd, const struct keys *keys, const uint8_t *instance,
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
static int choose_under(struct journal *j, const struct keys *keys)
{
	struct superblock b[2];
	struct aead *a = NULL;
	int *valid = j->slots;
	int r = new_handle(keys, LABEL_JOURNAL_SUPERBLOCK, j->instance, INSTANCE_ID_SIZE, &a);

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
	atomic_store(&j->newest, j->state.newest);
	return 0;
}

/* A new root was cut short before the journal had a superblock under its new key (journal_take_new_key).  It was empty then: whoever knows
 * the key from before puts nothing in. */
int journal_choose_superblock(struct journal *j)
{
	int r = choose_under(j, j->keys);

	if (r == -EBADMSG && j->keys->journal_before) {
		struct keys before = *j->keys; /* borrows everything */

		before.journal_prk = before.journal_before;
		r = choose_under(j, &before);
		if (r == 0 && !j->state.clean)
			r = -EBADMSG;
	}
	return r;
}

void journal_see_generations(struct journal *j, const struct keys *keys)
{
	uint32_t newest = keys_newest(keys), before = atomic_load(&j->newest);

	while (newest > before && !atomic_compare_exchange_weak(&j->newest, &before, newest))
		;
}

/* (W6) A sync of the journal that failed: what the store has of it nobody knows, now or later.  Under the lock. */
void journal_fail(struct journal *j, int error)
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
	journal_see_generations(j, j->keys);
	b.state.newest = atomic_load(&j->newest);
	if (new_key) {
		b.incarnation++;
		r = crypto_random(b.random, RANDOM_SIZE);
	}
	if (r == 0)
		r = journal_write_superblock(j->store, j->fd, j->keys, j->instance, &b);
	if (r < 0)
		return r;
	r = j->store->ops->fdatasync(j->store, j->fd);
	pthread_mutex_lock(&j->lock);
	if (r < 0) {
		journal_fail(j, r);
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
		r = journal_load_record_key(j);
	}
	pthread_cond_broadcast(&j->changed);
	pthread_mutex_unlock(&j->lock);
	return r;
}
