/* What the files of the crash store share. */
#ifndef COFFER_TESTS_CRASH_CRASH_INTERNAL_H
#define COFFER_TESTS_CRASH_CRASH_INTERNAL_H

#include <pthread.h>

#include "crash_store.h"

struct handle {
	uint32_t ino; /* 0: free */
	int flags;
	int lock;
	bool nameless; /* O_TMPFILE: may be given a name */
};

struct crash_store {
	struct store store; /* first */
	struct image image;
	struct record record;
	struct handle *handles;
	size_t handle_count, handle_room, operations;
	crash_sync_hook *hook;
	void *hook_data;
	crash_write_hook *write_hook;
	void *write_hook_data;
};

/* Every operation begins with crash_enter and ends with crash_leave, which passes its result on. */
struct crash_store *crash_enter(struct store *s);
ssize_t crash_leave(ssize_t result);

struct handle *crash_handle(struct crash_store *c, int fd); /* NULL: EBADF */
int crash_handle_new(struct crash_store *c, uint32_t ino, int flags);
void crash_forget_unused(struct crash_store *c, uint32_t ino);
/* Does a call, which must be possible, and records it.  Its strings and data are copied. */
void crash_apply(struct crash_store *c, struct call *call);
void crash_fill_stat(struct crash_store *c, uint32_t ino, struct store_stat *out);

/* crash_store_names.c */
int crash_open(struct store *s, int dir, const char *name, int flags, mode_t mode);
int crash_stat_at(struct store *s, int dir, const char *name, struct store_stat *out);
int crash_mkdir(struct store *s, int dir, const char *name, mode_t mode);
int crash_mknod(struct store *s, int dir, const char *name, mode_t mode, dev_t rdev);
int crash_symlink(struct store *s, const char *target, int dir, const char *name);
ssize_t crash_readlink(struct store *s, int dir, const char *name, char *buf, size_t n);
int crash_link(struct store *s, int old_dir, const char *old_name, int new_dir, const char *new_name);
int crash_link_fd(struct store *s, int fd, int new_dir, const char *new_name);
int crash_unlink(struct store *s, int dir, const char *name);
int crash_rmdir(struct store *s, int dir, const char *name);
int crash_rename(struct store *s, int old_dir, const char *old_name, int new_dir, const char *new_name, unsigned flags);
ssize_t crash_getdents(struct store *s, int fd, int64_t cookie, void *buf, size_t n);

/* crash_store_attributes.c */
int crash_stat(struct store *s, int fd, struct store_stat *out);
int crash_chmod(struct store *s, int fd, mode_t mode);
int crash_chown(struct store *s, int fd, uid_t uid, gid_t gid);
int crash_utimens(struct store *s, int fd, const struct timespec ts[2]);
ssize_t crash_getxattr(struct store *s, int fd, const char *name, void *buf, size_t n);
int crash_setxattr(struct store *s, int fd, const char *name, const void *buf, size_t n, int flags);
int crash_removexattr(struct store *s, int fd, const char *name);
ssize_t crash_listxattr(struct store *s, int fd, char *buf, size_t n);
int crash_statvfs(struct store *s, int fd, struct statvfs *out);
int crash_fs_type(struct store *s, int fd, uint32_t *magic);

#endif
