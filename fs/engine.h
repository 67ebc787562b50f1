/* The filesystem engine: an encrypted tree on a store, as operations on nodes.  It knows no FUSE.
 *
 * Every operation returns 0 (or a count) or a negative errno, as the POSIX call of its name would.  Nodes are named by
 * 64-bit ids that are never reused; id 1 is the root.  Each successful lookup, mknod, mkdir, symlink, link adds one to the node's
 * lookup count; fs_forget takes counts away.  Thread-safe: any operation may run in any thread at any time; a thread that has called one calls
 * fs_thread_end before it ends.
 *
 * Permissions are checked by the kernel (default_permissions, unless nobody wants them checked); the caller is passed for ownership of new objects only. */
#ifndef COFFER_FS_ENGINE_H
#define COFFER_FS_ENGINE_H

#include <dirent.h>

#include "keymgr/keyring.h"
#include "util/base/store.h"

enum { ROOT_NODE = 1 };

struct engine; /* one mounted volume */
struct freeze;

struct engine_options {
	bool read_only;
	bool act_as_caller;    /* root serving others: objects are created as the caller */
	bool relatime;         /* let the store keep access times of reads */
	bool inspect;          /* for the check: no probing, no sweeping, data/ may be wrong, copies may change */
	bool journal;          /* use .coffer/journal; without, changes are written through */
	bool shared;           /* others may change the store meanwhile (shared.h); only without a journal */
	uint64_t journal_size; /* make it so large, in bytes, if it is not; 0: as it is */
	uint32_t
		commit_seconds; /* everything is durable after so long; 0: 5 seconds; UINT32_MAX: when it is asked for */
	uint64_t memory; /* bound of the caches in bytes: half for map pages, a quarter for open files; 0: default */
	struct freeze *freeze; /* the gate that what the engine changes of its own accord passes; NULL: none */
};

/* Takes over nothing: store, handles and keys stay the caller's until engine_stop.  `data` is a handle of data/, `dot` of .coffer. */
int engine_start(struct store *s, int dot, int data, const struct settings *settings,
		 const uint8_t root_directory[DIRECTORY_ID_SIZE], struct keys *keys, const struct engine_options *o,
		 struct engine **out, struct fault *why) MUST_CHECK;
/* Writes everything back, syncs, frees.  No operation may be under way. */
int engine_stop(struct engine **e);

/* Makes everything that was accepted durable and brings it in place, so that the journal is not needed for it. */
int engine_checkpoint(struct engine *e);

/* Around each operation (fs_*, engine_checkpoint) of an engine whose keys may change: it works with the keys that it began with. */
void worker_enter(struct engine *e);
void worker_leave(void);
/* Other keys of the same volume from now on.  Returns when every operation has ended that began with those before, and nothing is left of
 * them in any thread; -ETIMEDOUT: one did not end within so many seconds, the new keys count all the same.  Not from inside an
 * operation. */
int engine_take_keys(struct engine *e, struct keys *keys, unsigned seconds) MUST_CHECK;

/* Who asks. */
struct caller {
	uid_t uid;
	gid_t gid;
	pid_t pid;
	mode_t umask;
};

/* Attributes as the mount shows them: sizes are those of the plaintext. */
struct node_attr {
	uint64_t node; /* 0 in a negative answer */
	struct store_stat st;
};

struct setattr_request {
	bool mode_set, uid_set, gid_set, size_set, atime_set, mtime_set, atime_now, mtime_now, ctime_set,
		kill_privileges;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	uint64_t size;
	struct timespec atime, mtime;
};

int fs_lookup(struct engine *e, uint64_t parent, const char *name, struct node_attr *out);
void fs_forget(struct engine *e, uint64_t node, uint64_t count);
int fs_getattr(struct engine *e, uint64_t node, struct node_attr *out);
/* Who opens a file is told that it is locked: -ENOKEY. */
int fs_open(struct engine *e, uint64_t node);
/* The same on a shared store, also of a directory: -ESTALE if below something else has its names.  What the kernel has read of a file may be
 * believed if *as_read.  If *held, its content stays until fs_release, whatever others put in its place. */
int fs_open_shared(struct engine *e, uint64_t node, bool *as_read, bool *held);
void fs_release(struct engine *e, uint64_t node);
int fs_setattr(struct engine *e, uint64_t node, const struct setattr_request *r, struct node_attr *out);

int fs_mknod(struct engine *e, const struct caller *c, uint64_t parent, const char *name, mode_t mode, dev_t rdev,
	     struct node_attr *out);
/* A regular file without a name (O_TMPFILE), which fs_link can give one. */
int fs_tmpfile(struct engine *e, const struct caller *c, uint64_t parent, mode_t mode, struct node_attr *out);
int fs_mkdir(struct engine *e, const struct caller *c, uint64_t parent, const char *name, mode_t mode,
	     struct node_attr *out);
int fs_symlink(struct engine *e, const struct caller *c, const char *target, uint64_t parent, const char *name,
	       struct node_attr *out);
int fs_link(struct engine *e, const struct caller *c, uint64_t node, uint64_t parent, const char *name,
	    struct node_attr *out);
int fs_unlink(struct engine *e, uint64_t parent, const char *name);
int fs_rmdir(struct engine *e, uint64_t parent, const char *name);
int fs_rename(struct engine *e, uint64_t old_parent, const char *old_name, uint64_t new_parent, const char *new_name,
	      unsigned flags);
/* Writes at most n bytes, no terminator; returns the length. */
ssize_t fs_readlink(struct engine *e, uint64_t node, char *buf, size_t n);

/* Reads exactly what there is of n bytes at off; 0 at the end of the file. */
ssize_t fs_read(struct engine *e, uint64_t node, void *buf, size_t n, uint64_t off);
/* Writes all or fails.  kill_privileges: clear set-uid, set-gid and capabilities at once. */
ssize_t fs_write(struct engine *e, uint64_t node, const void *buf, size_t n, uint64_t off, bool kill_privileges);
/* The same at the end of the file, wherever others have put that meanwhile. */
ssize_t fs_append(struct engine *e, uint64_t node, const void *buf, size_t n, bool kill_privileges);
int fs_fallocate(struct engine *e, uint64_t node, int mode, uint64_t off, uint64_t n);
int fs_lseek(struct engine *e, uint64_t node, uint64_t off, bool hole, uint64_t *out);
ssize_t fs_copy_range(struct engine *e, uint64_t from, uint64_t from_off, uint64_t to, uint64_t to_off, uint64_t n);
int fs_fsync(struct engine *e, uint64_t node, bool data_only);
int fs_fsyncdir(struct engine *e, uint64_t node);
int fs_statfs(struct engine *e, struct statvfs *out);

/* Calls `emit` for each entry from `cookie` on (0: the beginning) until it returns false (buffer full) or the directory ends.
 * `next` is the cookie behind the entry.  With `plus` each entry is looked up and counted; attr is NULL where that failed
 * (the entry is then listed without attributes), and for "." and "..".  If emit refuses an entry its lookup count is taken back. */
typedef bool fs_emit(void *data, const char *name, uint64_t ino, uint8_t type, int64_t next,
		     const struct node_attr *attr);
int fs_readdir(struct engine *e, uint64_t node, int64_t cookie, bool plus, fs_emit *emit, void *data);

ssize_t fs_getxattr(struct engine *e, uint64_t node, const char *name, void *buf, size_t n);
int fs_setxattr(struct engine *e, uint64_t node, const char *name, const void *value, size_t n, int flags,
		bool kill_sgid);
ssize_t fs_listxattr(struct engine *e, uint64_t node, char *buf, size_t n);
int fs_removexattr(struct engine *e, uint64_t node, const char *name);

/* Called at the end of each thread that used the engine. */
void fs_thread_end(void);

/* Bytes of content that were sealed since it was started. */
uint64_t engine_sealed(struct engine *e);

/* Counters for `status`. */
struct engine_counts {
	uint64_t recovered_files, recovered_pages, recovery_ms; /* by the mount, after an unclean end */
	uint64_t lost;                                          /* what a crash cut off is in .coffer/lost/ */
	bool recovered;
	bool looking; /* files may still be there that a crash has cut short, and nobody has looked at */
	bool read_only; /* asked for, or because of the journal: a key it needs cannot be used, or it could not be synced */
	uint64_t nodes, descriptors, undecryptable_names, damaged_pages;
	uint64_t map_bytes;                  /* memory in map pages */
	uint64_t journal_size, journal_used; /* 0: there is none */
};
void engine_counts(struct engine *e, struct engine_counts *out);

#endif
