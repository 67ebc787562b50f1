/* Changes of the keyring, each written at once. */
#ifndef COFFER_CLI_KEY_H
#define COFFER_CLI_KEY_H

#include "keymgr/generations.h"
#include "keymgr/scope.h"
#include "util/cli/cli.h"
#include "util/cli/output.h"

/* What the verbs of `coffer key` share: the volume, how it is unlocked, how the result is printed. */
struct key_work {
	struct cli_volume volume;
	struct unlock_source unlock;
	bool json;
};
#define KEY_WORK_NONE ((struct key_work){.volume = CLI_VOLUME_NONE, .unlock = UNLOCK_SOURCE_NONE})
static inline void key_work_close(struct key_work *w)
{
	cli_volume_close(&w->volume);
}
#define _cleanup_key_work_ _cleanup_(key_work_close)

/* Opens the volume that `word` names, and reads its keyring: its directory, or where it is mounted. */
int key_look(struct cli_volume *v, const char *word, struct fault *why) MUST_CHECK;
/* Opens and unlocks the volume that `word` names. */
int key_open(struct key_work *w, const char *word, struct fault *why) MUST_CHECK;

/* One change of an unlocked volume's keyring: under its lock, read again, edited, written. */
typedef int (*key_edit)(struct keyring *k, void *context, struct fault *why);
int key_change(struct cli_volume *v, key_edit edit, void *context, struct fault *why) MUST_CHECK;
/* The same of its generations: told to whoever serves the volume. */
int key_change_generations(struct cli_volume *v, key_edit edit, void *context, struct fault *why) MUST_CHECK;

/* Lets the mount that serves the volume read its keyring again: until then it uses the keys as it knows them.  Where that cannot be
 * done, says so on standard error; the change stands. */
void key_tell_mount(const struct cli_volume *v);

/* Generations that are in no verified backup: as "3, 4, 5" (cut with "..."), and how many they are. */
enum { UNBACKED_TEXT = 128 };
uint32_t unbacked_text(const struct keyring *k, char out[UNBACKED_TEXT]);
json_object *unbacked_json(const struct keyring *k);

/* Counts what still needs a generation, for keyring_destroy() and keyring_raise_floor(). */
struct generation_users key_users(struct cli_volume *v);

/* Both need an unlocked volume. */
int key_add(struct cli_volume *v, const struct unlock_secret *secret, uint32_t *id, struct fault *why) MUST_CHECK;
int key_remove(struct cli_volume *v, uint32_t id, struct fault *why) MUST_CHECK;

/* --- words */
/* NULL: the scope of files. */
int scope_parse(const struct keyring *k, const char *name, uint32_t *scope, struct fault *why) MUST_CHECK;
int generation_parse(const struct verb *v, const char *word, uint32_t *generation, struct fault *why) MUST_CHECK;
/* Has `expected` typed on the terminal.  EXIT_REFUSED without a terminal, naming `instead`, and when it was not typed. */
int confirm_typed(const char *question, const char *expected, const char *instead, struct fault *why) MUST_CHECK;

#endif
