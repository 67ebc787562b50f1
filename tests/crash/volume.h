/* Volumes in crash stores: made once, started on any state. */
#ifndef COFFER_TESTS_CRASH_VOLUME_H
#define COFFER_TESTS_CRASH_VOLUME_H

#include "crash_store.h"
#include "fs/engine.h"

/* Its name; must not exist where the program runs, and nothing is made there. */
#define BASE_VOLUME "crash-volume"

enum { CRASH_JOURNAL_SIZE = 4 << 20 };

/* A new volume, synced, and its keys. */
struct base {
	struct image image;
	struct keyring *keyring;
	struct keys *keys;
	struct settings settings;
	bool journal;
};

/* Starts cryptography and secrets; once in a program. */
void base_prepare(void);
void base_make(struct base *b, bool journal, bool portable);
void base_free(struct base *b);
/* The keys with another generation active; those of the base open both.  The caller's to unref. */
struct keys *base_other_keys(const struct base *b);
/* The journal's inode, the same in every state of the volume. */
uint32_t base_journal_ino(const struct base *b);
/* True if the engine of this build has a journal. */
bool base_can_journal(void);

struct mounted {
	struct crash_store *cs;
	struct store *s;
	int dot, data;
	struct engine *e;
};

/* 0, or *why says what refused.  The store stays the caller's. */
int mounted_start(struct mounted *m, const struct base *b, struct crash_store *cs, struct fault *why);
/* The same with other options than those of a journal and no tick but when it is asked for. */
int mounted_start_with(struct mounted *m, const struct base *b, struct crash_store *cs, const struct engine_options *o,
		       struct fault *why);
int mounted_stop(struct mounted *m);
/* A whole tick; nothing in a build without a journal. */
int mounted_tick(struct mounted *m);

/* Runs the check's own code over the store, where no engine may be running.  The number of findings that are errors; the first in
 * text. */
unsigned volume_check(const struct base *b, struct crash_store *cs, char *text, size_t size);

#endif
