/* The FUSE face: mounts an engine and serves it until it is unmounted. */
#ifndef COFFER_FS_MOUNT_H
#define COFFER_FS_MOUNT_H

#include "keymgr/unlock.h"

struct control_verb;

struct mount_options {
	const char *volume, *mount_point; /* absolute paths */
	struct unlock_source unlock;
	bool foreground;
	bool remount;  /* change the flags of a mount that is there */
	bool old_copy; /* an older copy of a volume, beside the live one; implies read_only */
	bool read_only, allow_other, suid, dev, noexec, relatime, writeback, no_xattr, ask_open, no_perm, io_uring;
	bool shared;             /* others may change the store meanwhile; implies no_journal */
	unsigned shared_seconds; /* for which the kernel believes what it was told */
	unsigned idle;           /* seconds; 0: never */
	unsigned grace;          /* seconds that a mount goes on without the key service; GRACE_SECONDS if not given */
	unsigned lease;          /* seconds between two questions to it; 0: as it says */
	unsigned commit;         /* everything is durable after so many seconds; 0: the default */
	bool no_journal;
	uint64_t memory;       /* of the caches together, about; 0: the default */
	uint64_t journal_size; /* another size than it has; 0: as it is */
	/* Verbs of the control socket that are no business of a filesystem (fs/control.h), and who else may use them: the path of the rules, and who
	 * goes by them. */
	const struct control_verb *more_verbs;
	const char *field_rights;
	const char *metrics; /* a file for Prometheus; NULL: none */
	bool (*admits)(const void *rights, int fd);
	bool no_new_session; /* internal tests: stay in the caller's session */
};

/* Mounts and serves.  By default the caller's process returns once the mount answers (or why it does not, in *why) and a child serves;
 * in the foreground it returns after the unmount.  Clears a dead mount left by a killed process first. */
int mount_run(const struct mount_options *o, struct fault *why) MUST_CHECK;

/* Parses a comma-separated option string of mount(8) into *o; keeps pointers into `text`, which it modifies.  Unknown option: -EINVAL,
 * EXIT_USAGE, named in *why. */
int mount_options_parse(char *text, struct mount_options *o, struct fault *why) MUST_CHECK;

#endif
