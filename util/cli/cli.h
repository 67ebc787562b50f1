/* What the verbs of the command line share.  A verb is thin: it reads its options, calls the library, prints.
 *
 * A verb returns 0, or a negative errno with *why filled; main.c prints that as one line and exits with its status. */
#ifndef COFFER_CLI_CLI_H
#define COFFER_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include "keymgr/keyring.h"
#include "util/base/fault.h"

struct verb {
	const char *name;      /* one word, or two: "key add" */
	const char *arguments; /* synopsis behind the name */
	const char *summary;   /* its line in `coffer help`; NULL: not listed there */
	const char *help;      /* options and an example */
	int (*run)(const struct verb *v, int argc, char **argv, struct fault *why);
};

int cmd_init(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_mount(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_umount(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_status(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_check(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_freeze(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_thaw(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_lock(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_unlock(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_erase(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_path(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_adopt(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_init(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_list(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_add(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_remove(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_passwd(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_scope_create(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_scope_assign(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_scope_list(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_scope_lock(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_scope_unlock(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_rotate(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_suspend(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_resume(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_deactivate(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_compromise(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_floor(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_destroy(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_undelete(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_audit_show(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_audit_verify(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_audit_export(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_backup(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_policy_set(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_policy_show(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_policy_run(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_reencrypt_start(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_reencrypt_pause(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_reencrypt_resume(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_reencrypt_stop(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_reencrypt_status(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_restore(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_key_test(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_field_agent(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_field_encrypt(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_field_decrypt(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_field_get(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_field_set(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_field_list(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_field_check(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_field_rotate(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_field_migrate(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_field_domain(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_field_edit(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_field_exec(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_field_textconv(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_field_merge(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_field_clean(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_field_init(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_field_pubkey(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_service_key_create(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_service_key_list(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_service_key_show(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_service_key_rotate(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_service_key_disable(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_service_key_enable(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_service_key_config(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_service_key_delete(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_service_key_recover(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_service_key_purge(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_service_key_grant(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_service_key_ungrant(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_service_client_register(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_service_client_list(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_service_client_accept(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_service_client_revoke(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_service_volumes(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_service_backup(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_service_volume_restore(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_service_volume_accept(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_service_audit_show(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_service_audit_verify(const struct verb *v, int argc, char **argv, struct fault *why);
int cmd_service_audit_export(const struct verb *v, int argc, char **argv, struct fault *why);

/* The programs that mount(8) and fsck(8) call; they return an exit status of those manual pages. */
int helper_mount(int argc, char **argv);
int helper_fsck(int argc, char **argv);

/* Prints the usage line of a verb and its help. */
void verb_print_help(const struct verb *v);
/* "coffer: TEXT" on standard error. */
void fault_print(const struct fault *f);

/* Locks memory for secrets and starts the cipher library.  Before the first secret is asked for. */
int secrets_start(struct fault *why) MUST_CHECK;

/* --- a volume that a verb works on (volume.c) */
struct cli_volume {
	char *dir; /* as an absolute path */
	struct store *store;
	int dot, data;
	struct keyring *keyring;
};
#define CLI_VOLUME_NONE  ((struct cli_volume){.dot = -1, .data = -1})
#define _cleanup_volume_ _cleanup_(cli_volume_close)

/* Opens DIR without reading its keyring (erase must work where that is damaged). */
int cli_volume_open_only(struct cli_volume *v, const char *dir, struct fault *why) MUST_CHECK;
/* Opens DIR and reads its keyring; no secret is needed. */
int cli_volume_open(struct cli_volume *v, const char *dir, struct fault *why) MUST_CHECK;
/* Gets the secret by the options, or asks. */
int cli_volume_obtain(const struct cli_volume *v, const struct unlock_source *from, struct unlock_secret *out,
		      struct fault *why) MUST_CHECK;
/* Gets the secret (kept in *with if that is not NULL) and unlocks. */
int cli_volume_unlock(struct cli_volume *v, const struct unlock_source *from, struct unlock_secret *with,
		      struct fault *why) MUST_CHECK;
/* The same with a secret that is there already: unlocks and enters (keymgr/entry.h). */
int cli_volume_open_with(struct cli_volume *v, const struct unlock_source *from, const struct unlock_secret *secret,
			 struct fault *why) MUST_CHECK;
void cli_volume_close(struct cli_volume *v);
/* The protector of this id; NULL if there is none. */
const struct protector_info *cli_volume_protector(const struct cli_volume *v, uint32_t id, struct protector_info *out);

/* --- paths */
/* An absolute path without symbolic links, as far as the path exists: also of a dead mount, which cannot be looked at. */
int path_absolute(const char *path, char **out, struct fault *why) MUST_CHECK;

#endif
