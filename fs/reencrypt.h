/* Re-encryption of a volume to its active generation, in a thread of its own: passes (rekey.h) until one has found nothing older, then the floor
 * rises.  What it is to do stands in the keyring (keymgr/reencryption.h), so that the next mount goes on with it.
 *
 *  1. A pass begins only after every operation has ended that began with older keys, and with everything in place that was newborn.
 *  2. The floor rises after a pass that found nothing older, failed nowhere and missed nothing, and a tick after it at which nothing failed; to the
 *     generation that was active when that pass began.
 *  3. Something that does not decrypt, or cannot be changed, is listed, and holds the floor up.  Only who is told to sets it aside (.coffer/lost/).
 *  4. It rests so that whoever works on the mount keeps most of the speed; or as it is told.
 *
 * Thread-safe; not from inside an operation of the engine. */
#ifndef COFFER_FS_REENCRYPT_H
#define COFFER_FS_REENCRYPT_H

#include "fs/live_keys.h"
#include "keymgr/reencryption.h"

struct reencrypt;

struct reencrypt_parts {
	struct engine *engine;
	struct live_keys *keys;
	uint64_t (*activity)(void *data); /* changes whenever somebody asks the mount something; NULL: nobody does */
	void *data;
};

struct reencrypt *reencrypt_new(const struct reencrypt_parts *p);
/* Ends what is under way; the keyring keeps what is to be done. */
void reencrypt_free(struct reencrypt **r);

/* Does what the keyring says, from the moment on: begins, goes on, stops.  After each change of it. */
int reencrypt_look(struct reencrypt *r, struct fault *why) MUST_CHECK;
/* Ends what is under way, until the next look. */
void reencrypt_halt(struct reencrypt *r);
/* Waits until nothing is under way any more (it ended, failed, is paused or stuck), at most so long.  True if so. */
bool reencrypt_wait(struct reencrypt *r, unsigned milliseconds);

enum reencrypt_phase {
	REENCRYPT_NONE,
	REENCRYPT_WAITING, /* until what a crash may have cut short has been looked at */
	REENCRYPT_MOVING,
	REENCRYPT_VERIFYING, /* a further pass */
	REENCRYPT_PAUSED,
	REENCRYPT_STUCK,  /* what could be moved is; something could not */
	REENCRYPT_FAILED, /* `error` */
};
/* As the control socket says it. */
const char *reencrypt_phase_name(enum reencrypt_phase phase);

struct reencrypt_status {
	enum reencrypt_phase phase;
	uint32_t generation;     /* the target */
	uint64_t done, total;    /* of this pass: bytes, and so much for each object */
	uint64_t bytes, objects; /* moved since it began in this mount */
	uint64_t rate;           /* bytes of progress in a second, of late */
	uint64_t stuck;
	int error;
};
void reencrypt_status(struct reencrypt *r, struct reencrypt_status *out);

/* Paths of what is stuck, as they were; *list is the caller's to free, each path and itself. */
int reencrypt_stuck(struct reencrypt *r, char ***list, size_t *count) MUST_CHECK;
/* Sets aside what is stuck: the file of this path, or all (NULL). */
int reencrypt_give_up(struct reencrypt *r, const char *path, uint64_t *count, struct fault *why) MUST_CHECK;

/* How many files, directories and links still need a generation of the scope of files; what failed or may have been missed counts.  -EBUSY: a
 * re-encryption is under way. */
int reencrypt_users(struct engine *e, uint32_t generation, uint64_t *count) MUST_CHECK;

#endif
