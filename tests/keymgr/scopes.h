/* A volume on a host that remembers it, for the tests of scopes and of backups, and changes to it, each as by a command of its own. */
#ifndef COFFER_TESTS_KEYMGR_SCOPES_H
#define COFFER_TESTS_KEYMGR_SCOPES_H

#include "fixture.h"

#include "keymgr/reencryption.h"

/* The first two that are created. */
enum { TAXES = 2, LETTERS = 3 };

/* Directories where scopes begin. */
extern const uint8_t first[DIRECTORY_ID_SIZE], second[DIRECTORY_ID_SIZE], third[DIRECTORY_ID_SIZE];

struct work {
	struct volume v;
	struct keyring *k;
	struct fault why;
	char *text; /* of the last backup */
	size_t n;
};

/* The host's memory is in state/; unseen: it does not have the volume yet. */
void start(struct work *w);
void start_unseen(struct work *w);
void end(struct work *w);
/* As whoever unlocks it does: the host checks it, and remembers. */
int enter(struct work *w);

struct edit {
	int (*how)(struct keyring *k, const struct edit *e, struct fault *why);
	const char *name;
	const uint8_t *directory;
	uint32_t now, scope;
	uint32_t generations[SCOPES_MAX];
};

/* One change, begun and committed.  What is refused says why (w->why) and leaves the keyring as it is on the disk. */
int try(struct work *w, struct edit e);
void must(struct work *w, struct edit e);

int do_create(struct keyring *k, const struct edit *e, struct fault *why);
int do_plan(struct keyring *k, const struct edit *e, struct fault *why);
int do_assign(struct keyring *k, const struct edit *e, struct fault *why);
int do_abandon(struct keyring *k, const struct edit *e, struct fault *why);
int do_end(struct keyring *k, const struct edit *e, struct fault *why);
int do_rotate(struct keyring *k, const struct edit *e, struct fault *why);
int do_reencrypt(struct keyring *k, const struct edit *e, struct fault *why);
int do_stop(struct keyring *k, const struct edit *e, struct fault *why);

int try_create(struct work *w, const char *name);
int try_plan(struct work *w, const uint8_t *directory, uint32_t now, uint32_t to);
void rotate(struct work *w, uint32_t scope);
/* To its end; the scope's active generation is the floor then. */
void give(struct work *w, const uint8_t *directory, uint32_t now, uint32_t to);

/* By its number, from 1 on. */
struct key_zone zone(const struct work *w, uint32_t number);
/* The volume's log has these words. */
bool logged(const char *words);

#endif
