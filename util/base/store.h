/* The store: every system call that coffer makes on a volume, as one table.
 *
 * The filesystem, the keyring and the audit log reach the volume through this table only, so that tests can put another
 * implementation beneath: one that fails at a chosen call, or one that forgets unsynced writes as a power cut would.
 *
 * Handles are small integers (file descriptors in store_posix.c).  Names are single path components, except where `path` says
 * otherwise; nothing follows a symbolic link in the last component.  Every function returns a negative errno on failure.
 * Thread-safe: an implementation holds no state that a call may corrupt.
 *
 * Reads and writes are complete: pread returns less than asked only at the end of the file, pwrite writes all or fails. */
#ifndef COFFER_BASE_STORE_H
#define COFFER_BASE_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "util/base/cleanup.h"

/* What statx(2) tells of an object. */
struct store_stat {
	uint64_t dev, ino, size, blocks; /* blocks of 512 bytes */
	uint64_t btime_ns;               /* birth time, 0 where the store has none */
	uint64_t rdev;
	struct timespec atime, mtime, ctime;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	uint32_t nlink, blksize;
};

struct store_dirent {
	uint64_t ino;
	int64_t next;     /* cookie: where the next read goes on */
	uint8_t type;     /* DT_*; DT_UNKNOWN possible */
	const char *name; /* valid until the next call on the buffer */
};

struct store;

struct store_ops {
	/* The table proper.  `dir` is a directory handle. */
	int (*open)(struct store *s, int dir, const char *name, int flags, mode_t mode);
	int (*close)(struct store *s, int fd);
	ssize_t (*pread)(struct store *s, int fd, void *buf, size_t n, uint64_t off);
	ssize_t (*pwrite)(struct store *s, int fd, const void *buf, size_t n, uint64_t off);
	ssize_t (*preadv)(struct store *s, int fd, const struct iovec *iov, int count, uint64_t off);
	ssize_t (*pwritev)(struct store *s, int fd, const struct iovec *iov, int count, uint64_t off);
	int (*truncate)(struct store *s, int fd, uint64_t size);
	int (*fallocate)(struct store *s, int fd, int mode, uint64_t off, uint64_t n);
	int (*no_copy_on_write)(struct store *s, int fd); /* of a new, empty file; -EOPNOTSUPP where nothing copies */
	int (*fsync)(struct store *s, int fd);
	int (*fdatasync)(struct store *s, int fd);
	int (*syncfs)(struct store *s, int fd);
	int (*stat)(struct store *s, int fd, struct store_stat *out);
	int (*stat_at)(struct store *s, int dir, const char *name, struct store_stat *out);
	int (*mkdir)(struct store *s, int dir, const char *name, mode_t mode);
	int (*mknod)(struct store *s, int dir, const char *name, mode_t mode, dev_t rdev);
	int (*symlink)(struct store *s, const char *target, int dir, const char *name);
	ssize_t (*readlink)(struct store *s, int dir, const char *name, char *buf, size_t n); /* not terminated */
	int (*link)(struct store *s, int old_dir, const char *old_name, int new_dir, const char *new_name);
	int (*link_fd)(struct store *s, int fd, int new_dir, const char *new_name); /* a nameless but open object */
	int (*unlink)(struct store *s, int dir, const char *name);
	int (*rmdir)(struct store *s, int dir, const char *name);
	int (*rename)(struct store *s, int old_dir, const char *old_name, int new_dir, const char *new_name,
		      unsigned flags);
	/* On any handle, O_PATH ones included. */
	int (*chmod)(struct store *s, int fd, mode_t mode);
	int (*chown)(struct store *s, int fd, uid_t uid, gid_t gid);
	int (*utimens)(struct store *s, int fd, const struct timespec ts[2]);
	ssize_t (*getxattr)(struct store *s, int fd, const char *name, void *buf, size_t n);
	int (*setxattr)(struct store *s, int fd, const char *name, const void *buf, size_t n, int flags);
	ssize_t (*listxattr)(struct store *s, int fd, char *buf, size_t n);
	int (*removexattr)(struct store *s, int fd, const char *name);
	/* Fills buf from cookie on with raw entries; returns the bytes used, 0 at the end.  Moves the handle's position: the
	 * caller serialises calls on one handle. */
	ssize_t (*getdents)(struct store *s, int fd, int64_t cookie, void *buf, size_t n);
	/* A hint: this part of the file is soon going to be read.  NULL where nothing can be done about it. */
	void (*will_need)(struct store *s, int fd, uint64_t off, uint64_t n);
	int (*seek_data)(struct store *s, int fd, uint64_t off, bool hole, uint64_t *out);
	int (*statvfs)(struct store *s, int fd, struct statvfs *out);
	int (*fs_type)(struct store *s, int fd, uint32_t *magic);  /* f_type of statfs(2) */
	int (*lock)(struct store *s, int fd, int flock_operation); /* flock(2), LOCK_NB included */
	void (*destroy)(struct store *s);
};

struct store {
	const struct store_ops *ops;
};

/* The store that is the operating system. */
struct store *store_posix_new(void);
/* The same, where every call that would change something answers EROFS. */
struct store *store_read_only_new(void);

/* The next entry in a buffer that getdents filled; *pos starts at 0.  False at the end of the buffer. */
bool store_dirent_next(const void *buf, size_t used, size_t *pos, struct store_dirent *out);

/* --- thin calls */
static inline int store_open(struct store *s, int dir, const char *name, int flags, mode_t mode)
{
	return s->ops->open(s, dir, name, flags, mode);
}
static inline void store_close(struct store *s, int fd)
{
	if (fd >= 0)
		s->ops->close(s, fd);
}
static inline ssize_t store_pread(struct store *s, int fd, void *buf, size_t n, uint64_t off)
{
	return s->ops->pread(s, fd, buf, n, off);
}
static inline ssize_t store_pwrite(struct store *s, int fd, const void *buf, size_t n, uint64_t off)
{
	return s->ops->pwrite(s, fd, buf, n, off);
}
static inline int store_stat(struct store *s, int fd, struct store_stat *out)
{
	return s->ops->stat(s, fd, out);
}
static inline int store_stat_at(struct store *s, int dir, const char *name, struct store_stat *out)
{
	return s->ops->stat_at(s, dir, name, out);
}

/* What a store can do, found out once at init and at each mount (store_probe.c). */
struct store_caps {
	bool symlinks;      /* symbolic links, of at least 400 characters */
	bool btime;         /* statx gives birth times */
	bool stable_inodes; /* inode numbers survive closing (not on vfat, some FUSE) */
	bool user_xattrs, trusted_xattrs;
	bool rename_exchange, rename_noreplace;
	bool hard_links, special_files, modes;
	bool punch_hole, fallocate_keep_size;
	uint32_t block;       /* bytes that space comes in: a short write does not allocate the rest of its page */
	uint32_t name_max;    /* 255, eCryptfs 143 */
	uint32_t symlink_max; /* longest target that worked of 4095, 1023, 400; 0 without symlinks */
	uint32_t time_granularity_ns;
	uint64_t file_max; /* largest file size that lseek/truncate allows; UINT64_MAX unknown */
	char type[32];     /* "ext4", "xfs", "btrfs", "vfat", "tmpfs", "fuse", "nfs" or the magic number in hex */
};

/* Tries things out below directory handle `dir` (writable) under names that begin with ".coffer-probe-", and removes them.
 * On a read-only store only what can be told without writing is filled. */
int store_probe(struct store *s, int dir, struct store_caps *out) MUST_CHECK;

#endif
