/* For tests on stores: a directory of one's own, and a store whose n-th call fails. */
#ifndef COFFER_TESTS_UNIT_STORE_HELPER_H
#define COFFER_TESTS_UNIT_STORE_HELPER_H

#include "util/base/store.h"

/* A new empty directory below $TMPDIR; a handle of it. */
int make_directory(void);
/* Removes it with all files in it, and closes the handle. */
void remove_directory(int dir);
int count_entries(int dir);

/* Passes on to the store beneath; the call number fail_at (from 1) of those that change or sync something fails. */
struct failing_store {
	struct store store;
	struct store_ops ops;
	struct store *beneath;
	int fail_at, calls, error;
};
void failing_store_init(struct failing_store *f, struct store *beneath, int fail_at, int error);

#endif
