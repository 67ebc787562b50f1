/* What the parts of the journal share: journal.c (the ring), journal_superblock.c, journal_make.c, journal_examine.c.  Nobody else
 * includes this. */
#ifndef COFFER_FS_JOURNAL_PARTS_H
#define COFFER_FS_JOURNAL_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "fs/journal.h"

enum {
	SUPERBLOCK = 4096,
	RING_AT = 2 * SUPERBLOCK,
	ALIGN = 64,
	BLOCK = 4096, /* of a page cache; RING_AT is a multiple of it */

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
	_Atomic uint32_t newest; /* generation, at least state.newest: a mount's keys change while it runs */
	int slots[2];            /* whether each of the two opened: 0 or negative errno */
};

/* What one says (docs/format-journal.md). */
struct superblock {
	uint64_t serial, incarnation, size;
	uint8_t random[RANDOM_SIZE];
	struct journal_mark start;
	struct journal_state state;
};

/* --- journal_superblock.c */

/* Into the slot that its serial belongs to; not synced. */
int journal_write_superblock(struct store *s, int fd, const struct keys *keys, const uint8_t *instance,
			     const struct superblock *b) MUST_CHECK;
/* The key of this mount's records, from the random bytes of the superblock. */
int journal_load_record_key(struct journal *j) MUST_CHECK;
/* Takes over the newer of those that open; -EBADMSG if none does. */
int journal_choose_superblock(struct journal *j) MUST_CHECK;
/* (W6) A sync failed: nothing is promised any more.  Under the lock. */
void journal_fail(struct journal *j, int error);

/* --- journal.c */

/* The fields that need no file. */
void journal_prepare(struct journal *j, struct store *s, const struct settings *set, const struct keys *keys);
/* Where a position of the ring lies in the file. */
uint64_t journal_place(const struct journal *j, uint64_t at);
/* False for what cannot be the record at this mark, whatever its tag says. */
bool journal_frame_is_possible(const struct journal *j, const uint8_t *frame, const struct journal_mark *m);

#endif
