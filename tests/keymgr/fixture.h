/* What the tests of keymgr share: a scratch directory, a cheap volume in it, files that can be read and written whole, a store
 * that fails. */
#ifndef COFFER_TESTS_KEYMGR_FIXTURE_H
#define COFFER_TESTS_KEYMGR_FIXTURE_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keymgr/internal.h"
#include "keymgr/keyring.h"
#include "keymgr/testing.h"

#define PASSPHRASE "correct horse battery staple"

/* Before and after each test: starts and stops crypto and secrets, makes and removes the scratch directory and goes into it.  Log
 * lines go to the file `log` there. */
void fixture_setup(void);
void fixture_end(void);
size_t log_lines(const char *containing);
void log_clear(void);
void remove_tree(const char *path);

struct secret *secret_text(const char *text);
struct unlock_secret passphrase(const char *text);
struct unlock_secret key_file(uint8_t fill); /* 64 bytes of it */

/* A volume "vol" with one passphrase and one recovery key (whose text stays in `recovery`). */
struct volume {
	struct store *s;
	int dot, data;
	struct unlock_secret recovery;
};
void volume_make(struct volume *v);
void volume_close(struct volume *v);

/* Reads and unlocks; the keyring, or NULL with the reason in *why and the result in *ret. */
struct keyring *open_with(struct volume *v, const struct unlock_secret *with, struct fault *why, int *ret);
struct keyring *open_volume(struct volume *v); /* with PASSPHRASE, and it has to work */

struct text {
	char *b;
	size_t n;
};
struct text slurp(const char *path);
void spill(const char *path, const void *b, size_t n);
/* Puts the right hash over what stands before it, as somebody who tampers would. */
void rehash(struct text *t);

/* Replaces the first `from` in t by `to` (any length). */
void replace(struct text *t, const char *from, const char *to);

/* A store over the real one: `allowed` calls that change something work, then each fails with `error` (once, or for ever); with ENOSPC
 * those that need no space work on. */
struct failing_store {
	struct store store;
	struct store *real;
	long allowed;
	int error;
	bool for_ever;
};
void failing_store_init(struct failing_store *f, long allowed, int error, bool for_ever);

int run_suite(const char *name, TCase *t);
/* With a second fixture inside the first. */
int run_suite_with(const char *name, TCase *t, void (*setup)(void), void (*end)(void));

#endif
