/* What a store can do (store_probe.c, 1 and 2), told on the store below $TMPDIR and on pretended ones. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "store_helper.h"
#include "vectors.h"

static struct store *store;
static int dir = -1;

static void setup(void)
{
	store = store_posix_new();
	dir = make_directory();
}

static void end(void)
{
	remove_directory(dir);
}

/* What holds on every store that the tests are run on. */
START_TEST(here)
{
	struct store_caps c;

	ck_assert_int_eq(store_probe(store, dir, &c), 0);
	ck_assert_int_eq(count_entries(dir), 0);
	ck_assert(c.symlinks);
	ck_assert_uint_ge(c.symlink_max, 400);
	ck_assert_uint_le(c.symlink_max, 4095);
	ck_assert(c.name_max == 255 || c.name_max == 143);
	ck_assert(c.hard_links);
	ck_assert(c.special_files);
	ck_assert(c.modes);
	ck_assert(c.rename_noreplace);
	ck_assert(c.rename_exchange);
	ck_assert_uint_ge(c.time_granularity_ns, 1);
	ck_assert_uint_ge(c.file_max, UINT64_C(1) << 32);
	ck_assert_uint_gt(strlen(c.type), 0);
	if (strcmp(c.type, "ext4") == 0 || strcmp(c.type, "xfs") == 0 || strcmp(c.type, "btrfs") == 0)
		ck_assert(c.stable_inodes && c.punch_hole && c.fallocate_keep_size && c.user_xattrs);
	ck_assert(c.trusted_xattrs == (c.user_xattrs && geteuid() == 0));
}
END_TEST

/* (1), (2): a disk that fails at any call is an error, and nothing stays behind.  A full one of a usual kind is taken to be like its kind. */
START_TEST(failing)
{
	struct failing_store f;
	struct store_caps c;
	int r, at = 0;

	do {
		at++;
		failing_store_init(&f, store, at, at % 2 ? -EIO : -ENOSPC);
		r = store_probe(&f.store, dir, &c);
		ck_assert_int_eq(count_entries(dir), 0);
		if (f.calls >= at && r == 0)
			ck_assert(f.error == -ENOSPC && c.symlinks && c.hard_links && c.modes);
		else if (f.calls >= at)
			ck_assert_int_eq(r, f.error);
	} while (f.calls >= at);
	ck_assert_int_eq(r, 0);
	ck_assert_int_gt(at, 10);
}
END_TEST

START_TEST(read_only)
{
	struct failing_store f;
	struct store_caps c, whole;

	ck_assert_int_eq(store_probe(store, dir, &whole), 0);
	failing_store_init(&f, store, 1, -EROFS);
	ck_assert_int_eq(store_probe(&f.store, dir, &c), 0);
	ck_assert_int_eq(f.calls, 1);
	ck_assert_str_eq(c.type, whole.type);
	ck_assert(c.stable_inodes == whole.stable_inodes);
	ck_assert(c.btime == whole.btime);
	ck_assert(!c.symlinks);
	ck_assert_uint_eq(c.file_max, UINT64_MAX);
}
END_TEST

/* --- a store as poor as vfat */

static int refuse_symlink(struct store *s, const char *target, int d, const char *name)
{
	(void)s, (void)target, (void)d, (void)name;
	return -EPERM;
}

static int refuse_link(struct store *s, int d, const char *name, int d2, const char *name2)
{
	(void)s, (void)d, (void)name, (void)d2, (void)name2;
	return -EPERM;
}

static int refuse_mknod(struct store *s, int d, const char *name, mode_t mode, dev_t rdev)
{
	(void)s, (void)d, (void)name, (void)mode, (void)rdev;
	return -EPERM;
}

static int refuse_setxattr(struct store *s, int fd, const char *name, const void *buf, size_t n, int flags)
{
	(void)s, (void)fd, (void)name, (void)buf, (void)n, (void)flags;
	return -EOPNOTSUPP;
}

/* Flags are ignored, as by a store that does not know them. */
static int plain_rename(struct store *s, int d, const char *name, int d2, const char *name2, unsigned flags)
{
	(void)s;
	return flags & RENAME_EXCHANGE ? -EINVAL : store->ops->rename(store, d, name, d2, name2, 0);
}

static int ignore_chmod(struct store *s, int fd, mode_t mode)
{
	(void)s, (void)fd, (void)mode;
	return 0;
}

static int four_gigabytes(struct store *s, int fd, int mode, uint64_t off, uint64_t n)
{
	(void)s, (void)fd, (void)mode;
	return off + n > UINT32_MAX ? -EFBIG : -EOPNOTSUPP;
}

static int vfat_type(struct store *s, int fd, uint32_t *magic)
{
	(void)s, (void)fd;
	*magic = 0x4d44;
	return 0;
}

static int short_names(struct store *s, int d, const char *name, int flags, mode_t mode)
{
	(void)s;
	return strlen(name) > 143 ? -ENAMETOOLONG : store->ops->open(store, d, name, flags, mode);
}

static int whole_seconds(struct store *s, int fd, const struct timespec ts[2])
{
	const struct timespec even[2] = {{ts[0].tv_sec & ~1, 0}, {ts[1].tv_sec & ~1, 0}};

	(void)s;
	return store->ops->utimens(store, fd, even);
}

START_TEST(poor)
{
	struct store_ops ops = *store->ops;
	struct store s = {&ops};
	struct store_caps c;

	ops.symlink = refuse_symlink;
	ops.link = refuse_link;
	ops.mknod = refuse_mknod;
	ops.setxattr = refuse_setxattr;
	ops.rename = plain_rename;
	ops.chmod = ignore_chmod;
	ops.fallocate = four_gigabytes;
	ops.fs_type = vfat_type;
	ops.open = short_names;
	ops.utimens = whole_seconds;
	ck_assert_int_eq(store_probe(&s, dir, &c), 0);
	ck_assert_int_eq(count_entries(dir), 0);
	ck_assert(!c.symlinks && !c.stable_inodes && !c.user_xattrs && !c.trusted_xattrs && !c.rename_exchange);
	ck_assert(!c.rename_noreplace && !c.hard_links && !c.special_files && !c.modes && !c.punch_hole);
	ck_assert(!c.fallocate_keep_size);
	ck_assert_uint_eq(c.symlink_max, 0);
	ck_assert_uint_eq(c.name_max, 143);
	ck_assert_uint_eq(c.time_granularity_ns, 2000000000);
	ck_assert_uint_eq(c.file_max, UINT32_MAX);
	ck_assert_str_eq(c.type, "vfat");
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("probe");

	tcase_add_checked_fixture(t, setup, end);
	tcase_add_test(t, here);
	tcase_add_test(t, failing);
	tcase_add_test(t, read_only);
	tcase_add_test(t, poor);
	return run_tests(t, "probe");
}
