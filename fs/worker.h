/* What a thread needs to encrypt: cipher handles with their keys loaded, and scratch memory.
 *
 * libgcrypt handles must not be shared between threads, so each thread has its own set, kept in thread-local storage and
 * found by (purpose, generation) or (file, generation).  A file's content key exists only inside a handle: it is derived when a
 * thread turns to the file (0.3 microseconds) and never stored with the file. */
#ifndef COFFER_FS_WORKER_H
#define COFFER_FS_WORKER_H

#include "fs/engine.h"

enum {
	WORKER_CONTENT_SLOTS = 8,
	WORKER_SIV_SLOTS = 8,
	WORKER_HASH_SLOTS = 4,
	IO_MAX = 1 << 20, /* bytes of content that one step reads or writes */
};

enum siv_purpose { SIV_NAMES, SIV_SYMLINKS, SIV_XATTR_NAMES, SIV_XATTR_VALUES };
enum hash_purpose { HASH_LONG_NAMES, HASH_LONG_XATTR_NAMES };

/* Inside (engine.h: worker_enter, worker_leave; they nest) a thread works with the keys that were the engine's when it entered, whatever comes
 * meanwhile.  Until an engine's keys have changed for the first time it does without.
 *
 * The keys that this thread works with: good until it leaves. */
const struct keys *worker_keys(struct engine *e);
/* Waits, at most so long, until every operation has ended that began with older keys than the engine's, and wipes what threads had loaded from
 * those.  -ETIMEDOUT: one does not end.  Not from inside. */
int workers_drain(struct engine *e, unsigned seconds) MUST_CHECK;

/* The handle loaded with the content key of a file under a generation, if that may be where the file is (zone.h).  NULL and *error (-EBADMSG,
 * -ENOKEY, -EIO). Valid until the thread's next worker_content of another file. */
struct aead *worker_content(struct engine *e, uint32_t zone, const uint8_t file_id[16], uint32_t generation,
			    int *error);

/* The AES-SIV handle of a purpose and generation.  Names are opened under any generation that is not destroyed or suspended. */
struct siv *worker_siv(struct engine *e, enum siv_purpose purpose, uint32_t zone, uint32_t generation, int *error);

/* HMAC-SHA-256 under the key of a purpose and generation. */
int worker_hash(struct engine *e, enum hash_purpose purpose, uint32_t zone, uint32_t generation, const void *in,
		size_t n, uint8_t out[SHA256_SIZE]) MUST_CHECK;

/* IO_MAX + PAGE_BYTES bytes for ciphertext on its way to the store; NULL without memory.  One user at a time in a thread. */
uint8_t *worker_buffer(void);

#endif
