/* The journal file `.coffer/journal`: two superblocks and a ring of sealed records (docs/format-journal.md).  It knows nothing of
 * files and pages: a record is a type, a body (encrypted) and a payload (authenticated as it is, since pages are sealed already,
 * so that it can be read where it lies).
 *
 * Every record authenticates the tag of the one before: what opens at recovery is a first part of what was written, without gaps.
 * A journal belongs to one engine; all functions may be called by any thread, except where they say otherwise. */
#ifndef COFFER_FS_JOURNAL_H
#define COFFER_FS_JOURNAL_H

#include "keymgr/keyring.h"
#include "util/base/store.h"

enum {
	JOURNAL_MIN = 4 << 20,
	JOURNAL_MAX = 1 << 30,
	JOURNAL_DEFAULT_MAX = 128 << 20,
	RECORD_BODY_MAX = 64 << 10,
	RECORD_PAYLOAD_MAX = 256 << 10,
	LOST_RANGES_MAX = 64,
};

struct journal;

/* Between two records: where the next one begins, its number, and the tag of the one before. */
struct journal_mark {
	uint64_t at; /* counts bytes since the ring was made; the place in it is the rest of dividing by its size */
	uint64_t number;
	uint8_t before[AEAD_TAG];
};

/* Epochs that a crash may have cut short, and the store's times around them, in seconds. */
struct lost_range {
	uint64_t first, last;
	int64_t from, to;
};

/* What the superblock says besides. */
struct journal_state {
	uint64_t durable; /* epoch */
	int64_t since;    /* when the tick began that made it so: what is of a later epoch was written after that */
	bool clean;
	uint32_t newest; /* generation that a keyring of this volume had, as far as mounts have seen; 0: not known */
	uint32_t range_count;
	struct lost_range ranges[LOST_RANGES_MAX];
};

struct journal_record {
	unsigned type;
	const uint8_t *body, *payload; /* valid until the next read */
	size_t body_size, payload_size;
	uint64_t payload_at; /* for journal_read_payload */
	struct journal_mark begin;
};

/* Makes .coffer/journal, written with zeros at its full size and synced: later writes need no space and no metadata.  size 0: the smaller
 * of 128 MiB and 1/16 of the free space, at least 4 MiB. */
int journal_make(struct store *s, int dot, const struct settings *set, const struct keys *keys, uint64_t size,
		 struct fault *why) MUST_CHECK;

/* Puts a new, empty and clean journal in the place of the one that is there, which may be missing, damaged or of another size; no engine may
 * have it open.  Its records are gone then: the caller has recovered them, or gives them up.  Epochs and lost ranges live on; from a journal
 * that does not tell them, all files count as possibly cut short.  A cut at any point leaves the old one or the new one, whole; when this
 * returns 0 it is the new one, durably.  size as for journal_make. */
int journal_renew(struct store *s, int dot, const struct settings *set, const struct keys *keys, uint64_t size,
		  struct fault *why) MUST_CHECK;
/* After the volume got another instance id (`before` has the one it had): where the journal is not of the new one yet, the same as
 * journal_renew, and the epochs live on if it is of the old one. */
int journal_follow(struct store *s, int dot, const struct settings *before, const struct settings *set,
		   const struct keys *keys, struct fault *why) MUST_CHECK;
/* After a new root: brings an empty journal under its new key, durably; one that is under it already, or is not there, stays.  Nobody has
 * it open. */
int journal_take_new_key(struct store *s, int dot, const struct settings *set, const struct keys *keys) MUST_CHECK;
/* The same, and then the keyring, which is unlocked, drops the key from before.  Nothing if it has none. */
int journal_end_new_root(struct store *s, int dot, struct keyring *k, struct fault *why) MUST_CHECK;
/* Removes what an unfinished journal_renew left (.coffer/journal.new). */
void journal_clear_renewed(struct store *s, int dot);
/* (R5) Epochs that a crash cut short become a lost range of the state. */
void journal_lose_epochs(struct journal_state *s);

/* Opens it and takes the superblock that counts.  -ENOENT: there is none; -EBADMSG: none that is valid. */
int journal_open(struct store *s, int dot, const struct settings *set, const struct keys *keys, bool read_only,
		 struct journal **out) MUST_CHECK;
void journal_close(struct journal **j);
uint64_t journal_size(const struct journal *j); /* of the ring, in bytes */
uint64_t journal_used(struct journal *j);       /* of it, by records that are not in place yet */
uint64_t journal_file_size(const struct journal *j);
const struct journal_state *journal_state(const struct journal *j);
/* These keys may be used from now on: superblocks say so. */
void journal_see_generations(struct journal *j, const struct keys *keys);

/* What the file is, whether or not it can be opened: for the check. */
struct journal_facts {
	bool regular;   /* a regular file; if not, nothing else is known */
	unsigned valid; /* superblocks that open: 0 to 2.  The rest is known only if there is one. */
	bool half;      /* one superblock is valid, and the other one was written and does not open */
	bool fits; /* it is as long as the superblock says, and has one name; if not, nothing is known of its records */
	uint64_t bytes, right; /* its length; what the superblock says */
	/* If it says that it is clean: what lies where the first record would.  Nothing is right; one that does not open belongs to a later mount,
	 * whose superblocks are gone. */
	enum journal_first { JOURNAL_FIRST_NONE, JOURNAL_FIRST_OPENS, JOURNAL_FIRST_FOREIGN } first;
	struct journal_state state;
};
/* -ENOENT: there is none; other errors are the store's. */
int journal_examine(struct store *s, int dot, const struct settings *set, const struct keys *keys,
		    struct journal_facts *out) MUST_CHECK;

/* Where the live records begin. */
struct journal_mark journal_start(struct journal *j);

/* --- recovery; one thread.  Reads the next record: 1, or 0 at the first that does not open (appending goes on there). */
int journal_read(struct journal *j, struct journal_record *out) MUST_CHECK;

/* --- space.  A writer reserves what its records need before it takes any lock, and waits here for a checkpoint if need be.  `wake` was
 * given to journal_on_pressure.  -ENOSPC: two checkpoints have freed nothing. */
size_t journal_cost(size_t body_size, size_t payload_size);
int journal_reserve(struct journal *j, size_t bytes) MUST_CHECK;
void journal_release(struct journal *j, size_t bytes);
/* What the next checkpoint will append; may be negative, to take it back. */
void journal_expect(struct journal *j, int64_t bytes);
void journal_on_pressure(struct journal *j, void (*wake)(void *data), void *data);
/* A checkpoint is over, whatever came of it: whoever waits looks again. */
void journal_round_over(struct journal *j);

/* --- writing */
struct journal_part {
	const void *data;
	size_t size;
};
/* Appends one record; when this returns the store has it.  *begin: the mark before it; *payload_at (may be NULL): where its payload lies. */
int journal_append(struct journal *j, unsigned type, const void *body, size_t body_size,
		   const struct journal_part *payload, unsigned parts, struct journal_mark *begin,
		   uint64_t *payload_at) MUST_CHECK;
struct journal_mark journal_end(struct journal *j);
/* Makes all records before number `end` durable; shares a sync with whoever else asks.  A failure is for ever. */
int journal_sync(struct journal *j, uint64_t end) MUST_CHECK;
int journal_failure(struct journal *j); /* negative errno once a sync has failed */

/* Reads a part of a payload. */
int journal_read_payload(struct journal *j, uint64_t at, void *buf, size_t n) MUST_CHECK;

/* Writes a superblock and syncs it; from then on the ring begins at `start`.  new_key: draws new random bytes (the first of a mount, the ring
 * empty).  One thread. */
int journal_superblock(struct journal *j, const struct journal_mark *start, const struct journal_state *state,
		       bool new_key) MUST_CHECK;

#endif
