#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "keymgr/audit_actor.h"
#include "util/cli/cli.h"
#include "util/cli/help.h"
#include "util/cli/help_field.h"
#include "util/cli/help_service.h"

static int cmd_help(const struct verb *v, int argc, char **argv, struct fault *why);
static int cmd_version(const struct verb *v, int argc, char **argv, struct fault *why);

static const struct verb verbs[] = {
	{"init", ARGUMENTS_INIT, "make a new volume in a new or empty directory", HELP_INIT, cmd_init},
	{"mount", ARGUMENTS_MOUNT, "show its files, decrypted, at MNT", HELP_MOUNT, cmd_mount},
	{"umount", ARGUMENTS_UMOUNT, "take the mount away", HELP_UMOUNT, cmd_umount},
	{"status", ARGUMENTS_STATUS, "what a volume is and where it is mounted", HELP_STATUS, cmd_status},
	{"check", ARGUMENTS_CHECK, "look for damage, and mend it", HELP_CHECK, cmd_check},
	{"freeze", ARGUMENTS_FREEZE, "hold the volume still for a backup of it", HELP_FREEZE, cmd_freeze},
	{"thaw", ARGUMENTS_THAW, "let it move again", HELP_THAW, cmd_thaw},
	{"lock", ARGUMENTS_LOCK, NULL, HELP_LOCK, cmd_lock},
	{"unlock", ARGUMENTS_UNLOCK, NULL, HELP_UNLOCK_VERB, cmd_unlock},
	{"path", ARGUMENTS_PATH, "the name below of a name in the mount", HELP_PATH, cmd_path},
	{"erase", ARGUMENTS_ERASE, "destroy the keys: the data is gone for good", HELP_ERASE, cmd_erase},
	{"key list", ARGUMENTS_KEY_LIST, "the protectors: what opens the volume", HELP_KEY_LIST, cmd_key_list},
	{"key add", ARGUMENTS_KEY_ADD, "one more passphrase, key file, recovery key", HELP_KEY_ADD, cmd_key_add},
	{"key remove", ARGUMENTS_KEY_REMOVE, "take a protector away", HELP_KEY_REMOVE, cmd_key_remove},
	{"key passwd", ARGUMENTS_KEY_PASSWD, "change the passphrase", HELP_KEY_PASSWD, cmd_key_passwd},
	{"key test", ARGUMENTS_KEY_TEST, "which protector a secret opens", HELP_KEY_TEST, cmd_key_test},
	{"adopt", ARGUMENTS_ADOPT, NULL, HELP_ADOPT, cmd_adopt},
	{"key init", ARGUMENTS_KEY_INIT, NULL, HELP_KEY_INIT, cmd_key_init},
	{"key rotate", ARGUMENTS_KEY_ROTATE, NULL, HELP_KEY_ROTATE, cmd_key_rotate},
	{"key suspend", ARGUMENTS_KEY_SUSPEND, NULL, HELP_KEY_SUSPEND, cmd_key_suspend},
	{"key resume", ARGUMENTS_KEY_RESUME, NULL, HELP_KEY_RESUME, cmd_key_resume},
	{"key deactivate", ARGUMENTS_KEY_DEACTIVATE, NULL, HELP_KEY_DEACTIVATE, cmd_key_deactivate},
	{"key compromise", ARGUMENTS_KEY_COMPROMISE, NULL, HELP_KEY_COMPROMISE, cmd_key_compromise},
	{"key floor", ARGUMENTS_KEY_FLOOR, NULL, HELP_KEY_FLOOR, cmd_key_floor},
	{"key destroy", ARGUMENTS_KEY_DESTROY, NULL, HELP_KEY_DESTROY, cmd_key_destroy},
	{"key undelete", ARGUMENTS_KEY_UNDELETE, NULL, HELP_KEY_UNDELETE, cmd_key_undelete},
	{"field encrypt", ARGUMENTS_FIELD_ENCRYPT, NULL, HELP_FIELD_ENCRYPT, cmd_field_encrypt},
	{"field decrypt", ARGUMENTS_FIELD_DECRYPT, NULL, HELP_FIELD_DECRYPT, cmd_field_decrypt},
	{"field get", ARGUMENTS_FIELD_GET, NULL, HELP_FIELD_GET, cmd_field_get},
	{"field set", ARGUMENTS_FIELD_SET, NULL, HELP_FIELD_SET, cmd_field_set},
	{"field list", ARGUMENTS_FIELD_LIST, NULL, HELP_FIELD_LIST, cmd_field_list},
	{"field check", ARGUMENTS_FIELD_CHECK, NULL, HELP_FIELD_CHECK, cmd_field_check},
	{"field rotate", ARGUMENTS_FIELD_ROTATE, NULL, HELP_FIELD_ROTATE, cmd_field_rotate},
	{"field migrate", ARGUMENTS_FIELD_MIGRATE, NULL, HELP_FIELD_MIGRATE, cmd_field_migrate},
	{"field domain", ARGUMENTS_FIELD_DOMAIN, NULL, HELP_FIELD_DOMAIN, cmd_field_domain},
	{"field edit", ARGUMENTS_FIELD_EDIT, NULL, HELP_FIELD_EDIT, cmd_field_edit},
	{"field exec", ARGUMENTS_FIELD_EXEC, NULL, HELP_FIELD_EXEC, cmd_field_exec},
	{"field textconv", ARGUMENTS_FIELD_TEXTCONV, NULL, HELP_FIELD_TEXTCONV, cmd_field_textconv},
	{"field merge", ARGUMENTS_FIELD_MERGE, NULL, HELP_FIELD_MERGE, cmd_field_merge},
	{"field clean", ARGUMENTS_FIELD_CLEAN, NULL, HELP_FIELD_CLEAN, cmd_field_clean},
	{"field init", ARGUMENTS_FIELD_INIT, NULL, HELP_FIELD_INIT, cmd_field_init},
	{"field pubkey", ARGUMENTS_FIELD_PUBKEY, NULL, HELP_FIELD_PUBKEY, cmd_field_pubkey},
	{"field agent", ARGUMENTS_FIELD_AGENT, NULL, HELP_FIELD_AGENT, cmd_field_agent},
	{"key backup", ARGUMENTS_KEY_BACKUP, NULL, HELP_KEY_BACKUP, cmd_key_backup},
	{"key restore", ARGUMENTS_KEY_RESTORE, NULL, HELP_KEY_RESTORE, cmd_key_restore},
	{"key reencrypt start", ARGUMENTS_KEY_REENCRYPT_START, NULL, HELP_KEY_REENCRYPT_START, cmd_key_reencrypt_start},
	{"key reencrypt pause", ARGUMENTS_KEY_REENCRYPT, NULL, HELP_KEY_REENCRYPT_PAUSE, cmd_key_reencrypt_pause},
	{"key reencrypt resume", ARGUMENTS_KEY_REENCRYPT_RESUME, NULL, HELP_KEY_REENCRYPT_RESUME,
	 cmd_key_reencrypt_resume},
	{"key reencrypt stop", ARGUMENTS_KEY_REENCRYPT, NULL, HELP_KEY_REENCRYPT_STOP, cmd_key_reencrypt_stop},
	{"key reencrypt status", ARGUMENTS_KEY_REENCRYPT_STATUS, NULL, HELP_KEY_REENCRYPT_STATUS,
	 cmd_key_reencrypt_status},
	{"key scope create", ARGUMENTS_KEY_SCOPE_CREATE, NULL, HELP_KEY_SCOPE_CREATE, cmd_key_scope_create},
	{"key scope assign", ARGUMENTS_KEY_SCOPE_ASSIGN, NULL, HELP_KEY_SCOPE_ASSIGN, cmd_key_scope_assign},
	{"key scope list", ARGUMENTS_KEY_SCOPE_LIST, NULL, HELP_KEY_SCOPE_LIST, cmd_key_scope_list},
	{"key scope lock", ARGUMENTS_KEY_SCOPE_LOCK, NULL, HELP_KEY_SCOPE_LOCK, cmd_key_scope_lock},
	{"key scope unlock", ARGUMENTS_KEY_SCOPE_LOCK, NULL, HELP_KEY_SCOPE_UNLOCK, cmd_key_scope_unlock},
	{"key policy set", ARGUMENTS_KEY_POLICY_SET, NULL, HELP_KEY_POLICY_SET, cmd_key_policy_set},
	{"key policy show", ARGUMENTS_KEY_POLICY_SHOW, NULL, HELP_KEY_POLICY_SHOW, cmd_key_policy_show},
	{"key policy run", ARGUMENTS_KEY_POLICY_RUN, NULL, HELP_KEY_POLICY_RUN, cmd_key_policy_run},
	{"key audit show", ARGUMENTS_KEY_AUDIT_SHOW, NULL, HELP_KEY_AUDIT_SHOW, cmd_key_audit_show},
	{"key audit verify", ARGUMENTS_KEY_AUDIT_VERIFY, NULL, HELP_KEY_AUDIT_VERIFY, cmd_key_audit_verify},
	{"key audit export", ARGUMENTS_KEY_AUDIT_EXPORT, NULL, HELP_KEY_AUDIT_EXPORT, cmd_key_audit_export},
	{"service key create", ARGUMENTS_SERVICE_KEY_CREATE, NULL, HELP_SERVICE_KEY_CREATE, cmd_service_key_create},
	{"service key list", ARGUMENTS_SERVICE_KEY_LIST, NULL, HELP_SERVICE_KEY_LIST, cmd_service_key_list},
	{"service key show", ARGUMENTS_SERVICE_KEY_SHOW, NULL, HELP_SERVICE_KEY_SHOW, cmd_service_key_show},
	{"service key rotate", ARGUMENTS_SERVICE_KEY_ROTATE, NULL, HELP_SERVICE_KEY_ROTATE, cmd_service_key_rotate},
	{"service key disable", ARGUMENTS_SERVICE_KEY_DISABLE, NULL, HELP_SERVICE_KEY_DISABLE, cmd_service_key_disable},
	{"service key enable", ARGUMENTS_SERVICE_KEY_ENABLE, NULL, HELP_SERVICE_KEY_ENABLE, cmd_service_key_enable},
	{"service key config", ARGUMENTS_SERVICE_KEY_CONFIG, NULL, HELP_SERVICE_KEY_CONFIG, cmd_service_key_config},
	{"service key delete", ARGUMENTS_SERVICE_KEY_DELETE, NULL, HELP_SERVICE_KEY_DELETE, cmd_service_key_delete},
	{"service key recover", ARGUMENTS_SERVICE_KEY_RECOVER, NULL, HELP_SERVICE_KEY_RECOVER, cmd_service_key_recover},
	{"service key purge", ARGUMENTS_SERVICE_KEY_PURGE, NULL, HELP_SERVICE_KEY_PURGE, cmd_service_key_purge},
	{"service key grant", ARGUMENTS_SERVICE_KEY_GRANT, NULL, HELP_SERVICE_KEY_GRANT, cmd_service_key_grant},
	{"service key ungrant", ARGUMENTS_SERVICE_KEY_UNGRANT, NULL, HELP_SERVICE_KEY_UNGRANT, cmd_service_key_ungrant},
	{"service client register", ARGUMENTS_SERVICE_CLIENT_REGISTER, NULL, HELP_SERVICE_CLIENT_REGISTER,
	 cmd_service_client_register},
	{"service client list", ARGUMENTS_SERVICE_CLIENT_LIST, NULL, HELP_SERVICE_CLIENT_LIST, cmd_service_client_list},
	{"service client accept", ARGUMENTS_SERVICE_CLIENT_ACCEPT, NULL, HELP_SERVICE_CLIENT_ACCEPT,
	 cmd_service_client_accept},
	{"service client revoke", ARGUMENTS_SERVICE_CLIENT_REVOKE, NULL, HELP_SERVICE_CLIENT_REVOKE,
	 cmd_service_client_revoke},
	{"service volumes", ARGUMENTS_SERVICE_VOLUMES, NULL, HELP_SERVICE_VOLUMES, cmd_service_volumes},
	{"service volume restore", ARGUMENTS_SERVICE_VOLUME_RESTORE, NULL, HELP_SERVICE_VOLUME_RESTORE,
	 cmd_service_volume_restore},
	{"service volume accept", ARGUMENTS_SERVICE_VOLUME_ACCEPT, NULL, HELP_SERVICE_VOLUME_ACCEPT,
	 cmd_service_volume_accept},
	{"service backup", ARGUMENTS_SERVICE_BACKUP, NULL, HELP_SERVICE_BACKUP, cmd_service_backup},
	{"service audit show", ARGUMENTS_SERVICE_AUDIT_SHOW, NULL, HELP_SERVICE_AUDIT_SHOW, cmd_service_audit_show},
	{"service audit verify", ARGUMENTS_SERVICE_AUDIT_VERIFY, NULL, HELP_SERVICE_AUDIT_VERIFY,
	 cmd_service_audit_verify},
	{"service audit export", ARGUMENTS_SERVICE_AUDIT_EXPORT, NULL, HELP_SERVICE_AUDIT_EXPORT,
	 cmd_service_audit_export},
	{"help", "[VERB]", NULL, HELP_HELP, cmd_help},
	{"version", "", NULL, HELP_VERSION, cmd_version},
};

enum { VERBS = sizeof verbs / sizeof verbs[0], WORDS_MAX = 3 };

void verb_print_help(const struct verb *v)
{
	printf("usage: coffer %s%s%s\n\n%s", v->name, *v->arguments ? " " : "", v->arguments, v->help);
}

void fault_print(const struct fault *f)
{
	fprintf(stderr, "coffer: %s\n", *f->text ? f->text : "failed");
}

/* Fits a screen of 24 lines with 80 columns; tests/cli holds it to that. */
static void print_overview(FILE *to)
{
	fputs("usage: coffer VERB ...\n\n", to);
	for (int i = 0; i < VERBS; i++)
		if (verbs[i].summary)
			fprintf(to, "  %-11s %s\n", verbs[i].name, verbs[i].summary);
	fputs("  lock MNT    take the keys from a mount that stays; unlock MNT undoes it\n", to);
	fputs("  key ... | field ... | service ...   coffer help key, coffer help field, ...\n", to);
	fputs("\nTo begin:  coffer init ~/vault; mkdir -p ~/plain; coffer mount ~/vault ~/plain\n"
	      "To unlock: --passphrase-file F | --passphrase-fd N | --passphrase-command C |\n"
	      "           --key-file F | --credential NAME; else the passphrase is asked for\n"
	      "More:      coffer VERB --help (with an example); man coffer\n",
	      to);
}

/* The verb at the head of argv (without the program's name), of one to three words; *used says how many. */
static const struct verb *find_verb(int argc, char **argv, int *used)
{
	char name[48];

	for (int words = argc < WORDS_MAX ? argc : WORDS_MAX; words >= 1; words--) {
		int used_up = 0;

		for (int w = 0; w < words && used_up < (int)sizeof name; w++)
			used_up +=
				snprintf(name + used_up, sizeof name - (size_t)used_up, "%s%s", w ? " " : "", argv[w]);
		for (int i = 0; i < VERBS; i++)
			if (strcmp(verbs[i].name, name) == 0) {
				*used = words;
				return &verbs[i];
			}
	}
	return NULL;
}

/* Verbs of two words that begin with this one.  Returns how many. */
static int print_group(const char *word, FILE *to)
{
	size_t n = strlen(word);
	int found = 0;

	for (int i = 0; i < VERBS; i++)
		if (strncmp(verbs[i].name, word, n) == 0 && verbs[i].name[n] == ' ') {
			if (to)
				fprintf(to, "usage: coffer %s %s\n", verbs[i].name, verbs[i].arguments);
			found++;
		}
	return found;
}

static int unknown_verb(int argc, char **argv, struct fault *why)
{
	if (!print_group(argv[0], NULL))
		return fault_set(why, EXIT_USAGE, EINVAL, "no verb %s; `coffer help` lists them", argv[0]);
	if (argc > 1 && argv[1][0] != '-')
		return fault_set(why, EXIT_USAGE, EINVAL, "no verb %s %s; `coffer help %s` lists them", argv[0],
				 argv[1], argv[0]);
	if (argc > 1 && strcmp(argv[1], "--help") == 0) {
		print_group(argv[0], stdout);
		return 0;
	}
	return fault_set(why, EXIT_USAGE, EINVAL, "%s wants a verb; `coffer help %s` lists them", argv[0], argv[0]);
}

static int cmd_help(const struct verb *v, int argc, char **argv, struct fault *why)
{
	int used;

	if (argc < 2) {
		print_overview(stdout);
		return 0;
	}
	if (strcmp(argv[1], "--help") == 0) {
		verb_print_help(v);
		return 0;
	}
	const struct verb *asked = find_verb(argc - 1, argv + 1, &used);
	if (asked) {
		verb_print_help(asked);
		return 0;
	}
	if (argc == 2 && print_group(argv[1], stdout))
		return 0;
	return fault_set(why, EXIT_USAGE, EINVAL, "%s: no verb %s; `coffer help` lists them", v->name, argv[1]);
}

static int cmd_version(const struct verb *v, int argc, char **argv, struct fault *why)
{
	if (argc > 1 && strcmp(argv[1], "--help") == 0) {
		verb_print_help(v);
		return 0;
	}
	if (argc > 1)
		return fault_set(why, EXIT_USAGE, EINVAL, "%s: %s is too much", v->name, argv[1]);
	puts("coffer " COFFER_VERSION);
	return 0;
}

static int run_verb(int argc, char **argv, struct fault *why)
{
	static char help[] = "help", version[] = "version";
	int used;

	if (argc == 0) {
		print_overview(stderr);
		return fault_set(why, EXIT_USAGE, EINVAL, "a verb is missing");
	}
	if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)
		argv[0] = help;
	else if (strcmp(argv[0], "--version") == 0 || strcmp(argv[0], "-V") == 0)
		argv[0] = version;
	const struct verb *v = find_verb(argc, argv, &used);
	if (!v)
		return unknown_verb(argc, argv, why);
	audit_actor_set_command(v->name);
	return v->run(v, argc - used + 1, argv + used - 1, why);
}

/* A script that reads what we print must learn of a full disk or a closed pipe. */
static int finish_output(struct fault *why)
{
	if (fflush(stdout) != 0 || ferror(stdout))
		return fault_errno(why, EXIT_FAILED, errno ? -errno : -EIO, "cannot write to standard output");
	return 0;
}

int main(int argc, char **argv)
{
	struct fault why = {.status = EXIT_OK};
	const char *program = argc > 0 ? basename(argv[0]) : "coffer";

	/* Before anything is opened: a file must not land on a standard descriptor that the caller closed. */
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_WRONLY : O_RDONLY) < 0)
			return EXIT_FAILED;
	if (strcmp(program, "mount.coffer") == 0 || strcmp(program, "mount.fuse.coffer") == 0)
		return helper_mount(argc, argv);
	if (strcmp(program, "fsck.coffer") == 0)
		return helper_fsck(argc, argv);

	int r = run_verb(argc > 0 ? argc - 1 : 0, argv + 1, &why);
	int flushed = finish_output(&why);
	if (r >= 0 && flushed >= 0)
		return EXIT_OK;
	fault_print(&why);
	return why.status ? (int)why.status : EXIT_FAILED;
}
