/* Where the key service's state lies: rows by name, and the lines of its audit log.  The ledger (ledger.h) says what they mean and checks them; an
 * implementation only keeps bytes, and keeps them for good once commit has returned 0.
 *
 * A row is never removed: what ends is written as ended.  So a row that is missing was taken away by somebody else.
 *
 * Errors: negative errno.  One thread at a time. */
#ifndef COFFER_SERVICE_BACKEND_H
#define COFFER_SERVICE_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/base/crypto.h"
#include "util/base/fault.h"

enum { ROW_NAME_MAX = 255, ROW_BODY_MAX = 16 << 10 };

struct row {
	char name[ROW_NAME_MAX + 1];
	uint64_t revision; /* 1 at first; goes up by one with each change */
	char *body;        /* terminated; the owner of the row frees it */
	size_t size;
	uint8_t mac[SHA256_SIZE];
};

struct line {
	uint64_t n;
	char *text; /* without a newline */
	size_t size;
};

struct backend;
struct backend_ops {
	/* Everything, rows in any order and lines in theirs.  What a callback returns below 0 ends it.  A row or line is the callee's only
	 * during the call. */
	int (*each_row)(struct backend *b, int (*each)(void *context, const struct row *r), void *context);
	int (*each_line)(struct backend *b, uint64_t from, int (*each)(void *context, const struct line *l),
			 void *context);
	int (*get)(struct backend *b, const char *name, struct row *out); /* -ENOENT */
	/* All of it or nothing, durable when it returns 0.  -ESTALE: a row has not the revision before the one that is written, or a line of that
	 * number is there already.  -EUCLEAN: nobody knows whether it is written; the caller has to start again from what is there. */
	int (*commit)(struct backend *b, const struct row *rows, size_t row_count, const struct line *lines,
		      size_t line_count);
	/* Begins to read, unless that has begun since the last rest or commit: what `get` then gives is of this moment.  *changed: somebody
	 * else may have written since the last call. */
	int (*look)(struct backend *b, bool *changed);
	/* Nobody reads for now: what `get` may have kept open is let go.  Commit does so too. */
	void (*rest)(struct backend *b);
	/* Whether this process still is the one that writes: 0 or -EUCLEAN, and then nothing may be answered any more.  `renew`: makes sure
	 * of it for longer; once a second. */
	int (*alive)(struct backend *b, bool renew);
	void (*close)(struct backend *b);
};

struct backend {
	const struct backend_ops *ops;
};

int row_copy(const struct row *from, struct row *to) MUST_CHECK; /* with its body */
/* For implementations that have no index: a callback of each_row that copies the row of that name, and then ends it with -ECANCELED. */
struct row_wanted {
	const char *name;
	struct row *out;
};
int row_take_if_wanted(void *wanted, const struct row *r);

enum backend_use {
	BACKEND_MAKE,  /* it must not exist yet */
	BACKEND_WRITE, /* one at a time: the caller holds a lock (place.h) */
	BACKEND_READ,  /* as it was at the first call, whatever somebody else writes meanwhile; commits give -EROFS */
};
/* One file, used on one machine (SQLite). */
int backend_sqlite_open(const char *file, enum backend_use use, struct backend **out, struct fault *why) MUST_CHECK;
/* Servers of etcd on this machine (etcd.h); `id` tells one key service from another there.  -EBUSY: another process has it, which may end.
 * Commits take up to a few thousand rows and lines, as far as etcd takes them (--max-txn-ops). */
int backend_etcd_open(const char *urls, const char *id, enum backend_use use, struct backend **out,
		      struct fault *why) MUST_CHECK;

#endif
