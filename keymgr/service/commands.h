/* What the verbs of coffer-keyd do, and what the command line says. */
#ifndef COFFER_SERVICE_COMMANDS_H
#define COFFER_SERVICE_COMMANDS_H

#include "keymgr/backup_secret.h"
#include "keymgr/service/run.h"

struct arguments {
	const char *dir, *file; /* words behind the verb */
	const char *hosts[HOSTS_MAX];
	size_t host_count;
	struct unlock_source source;
	struct run_options run;
	const char *store; /* "sqlite" or "etcd"; NULL: as run.etcd says */
	/* of backups */
	const char *output, *split, *share_dir;
	struct backup_source backup;
	bool accept_older;
	bool json; /* what was done is printed for programs; run has its lines */
};

int command_init(const struct arguments *a, struct fault *why) MUST_CHECK;
int command_run(const struct arguments *a, struct fault *why) MUST_CHECK;
int command_check(const struct arguments *a, struct fault *why) MUST_CHECK;
int command_rekey(const struct arguments *a, struct fault *why) MUST_CHECK;
int command_backup(const struct arguments *a, struct fault *why) MUST_CHECK;
int command_restore(const struct arguments *a, struct fault *why) MUST_CHECK;

#endif
