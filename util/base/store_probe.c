/* What a store can do, found out by trying (store.h).
 *
 * 1. Everything happens in one directory with a random name, which is removed however the probe ends.
 * 2. "Cannot" and "could not just now" differ: a full store or a failing disk is an error, never a missing ability.  But a full
 *    volume must be mountable, or nobody could make room on it: of the usual kinds of store it is known what they can do. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/base/crypto.h"
#include "util/base/encode.h"
#include "util/base/store.h"

#define PROBE_PREFIX ".coffer-probe-"

enum { PROBE_RANDOM = 8, SYMLINK_LONGEST = 4095, NAME_LONGEST = 255, NAME_ECRYPTFS = 143 };

struct probe {
	struct store *s;
	int dir;  /* the probe's own directory */
	int file; /* a regular file "f" in it */
	int error;
	struct store_caps *caps;
};

/* True if the attempt succeeded; keeps the first result that says nothing of the store's abilities (2). */
static bool worked(struct probe *p, ssize_t result)
{
	if (result >= 0)
		return true;
	if ((result == -ENOSPC || result == -EDQUOT || result == -EIO || result == -ENOMEM || result == -EMFILE ||
	     result == -ENFILE) &&
	    p->error == 0)
		p->error = (int)result;
	return false;
}

/* --- told without writing */

static const struct {
	uint32_t magic;
	const char *name;
	bool stable_inodes; /* the number of an object is on the disk, or the object stays in memory */
} types[] = {
	{0xef53, "ext4", true},      {0x58465342, "xfs", true},       {0x9123683e, "btrfs", true},
	{0xf2f52010, "f2fs", true},  {0x01021994, "tmpfs", true},     {0x858458f6, "ramfs", true},
	{0x2fc12fc1, "zfs", true},   {0xca451a4e, "bcachefs", true},  {0x794c7630, "overlay", true},
	{0xf15f, "ecryptfs", true},  {0x6969, "nfs", true},           {0x00c36400, "ceph", true},
	{0x7366746e, "ntfs3", true}, {0x4d44, "vfat", false},         {0x2011bab0, "exfat", false},
	{0x65735546, "fuse", false}, {0xff534d42, "cifs", false},     {0xfe534d42, "smb", false},
	{0x01021997, "9p", false},   {0x6a656a63, "virtiofs", false}, {0x24051905, "ubifs", true},
	{0x9660, "iso9660", false},  {0x73717368, "squashfs", true},  {0x3434, "nilfs2", true},
	{0x5346544e, "ntfs", false}, {0x3153464a, "jfs", true},
};

/* Inode numbers that come and go cannot be seen by trying, as long as the kernel still holds the object: the type decides, and
 * types that are not known here are not trusted. */
static int probe_type(struct probe *p)
{
	uint32_t magic = 0;
	int r = p->s->ops->fs_type ? p->s->ops->fs_type(p->s, p->dir, &magic) : 0;

	if (r < 0)
		return r;
	snprintf(p->caps->type, sizeof(p->caps->type), "0x%x", magic);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (types[i].magic == magic) {
			snprintf(p->caps->type, sizeof(p->caps->type), "%s", types[i].name);
			p->caps->stable_inodes = types[i].stable_inodes;
		}
	return 0;
}

static int probe_without_writing(struct probe *p)
{
	struct store_stat st = {0};
	struct statvfs vfs = {0};
	int r = probe_type(p);

	if (r == 0)
		r = store_stat(p->s, p->dir, &st);
	if (r == 0)
		r = p->s->ops->statvfs(p->s, p->dir, &vfs);
	if (r < 0)
		return r;
	p->caps->btime = st.btime_ns != 0;
	p->caps->name_max = vfs.f_namemax < NAME_LONGEST ? (uint32_t)vfs.f_namemax : NAME_LONGEST;
	p->caps->block = vfs.f_frsize ? (uint32_t)vfs.f_frsize : 512;
	p->caps->file_max = UINT64_MAX;
	return 0;
}

/* --- told by trying */

static bool make_file(struct probe *p, const char *name)
{
	int fd = store_open(p->s, p->dir, name, O_WRONLY | O_CREAT | O_EXCL, 0600);

	store_close(p->s, fd);
	return worked(p, fd);
}

/* What statvfs says counts bytes on some stores and characters on others. */
static void probe_names(struct probe *p)
{
	static const uint32_t sizes[] = {NAME_LONGEST, NAME_ECRYPTFS};
	char name[NAME_LONGEST + 1];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		memset(name, 'n', sizes[i]);
		name[sizes[i]] = 0;
		if (make_file(p, name)) {
			p->caps->name_max = sizes[i];
			return;
		}
	}
}

static void probe_symlinks(struct probe *p)
{
	static const uint32_t sizes[] = {SYMLINK_LONGEST, 1023, 400};
	char target[SYMLINK_LONGEST + 1], back[SYMLINK_LONGEST + 1];

	memset(target, 't', sizeof(target));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		target[sizes[i]] = 0;
		if (!worked(p, p->s->ops->symlink(p->s, target, p->dir, "s")))
			continue;
		if (p->s->ops->readlink(p->s, p->dir, "s", back, sizeof(back)) == (ssize_t)sizes[i] &&
		    memcmp(back, target, sizes[i]) == 0) {
			p->caps->symlinks = true;
			p->caps->symlink_max = sizes[i];
			return;
		}
		p->s->ops->unlink(p->s, p->dir, "s");
	}
}

static bool xattr_works(struct probe *p, const char *name)
{
	char back[8];

	return worked(p, p->s->ops->setxattr(p->s, p->file, name, "value", 5, 0)) &&
	       p->s->ops->getxattr(p->s, p->file, name, back, sizeof(back)) == 5 && memcmp(back, "value", 5) == 0;
}

static void probe_names_of_objects(struct probe *p)
{
	struct store_stat st;
	int r;

	p->caps->hard_links = worked(p, p->s->ops->link(p->s, p->dir, "f", p->dir, "h"));
	p->caps->special_files = worked(p, p->s->ops->mknod(p->s, p->dir, "p", S_IFIFO | 0600, 0)) &&
				 store_stat_at(p->s, p->dir, "p", &st) == 0 && S_ISFIFO(st.mode);
	if (!make_file(p, "a") || !make_file(p, "b"))
		return;
	p->caps->rename_exchange = worked(p, p->s->ops->rename(p->s, p->dir, "a", p->dir, "b", RENAME_EXCHANGE));
	r = p->s->ops->rename(p->s, p->dir, "a", p->dir, "b", RENAME_NOREPLACE);
	/* A store that ignores the flag has replaced b. */
	p->caps->rename_noreplace =
		r == -EEXIST && worked(p, p->s->ops->rename(p->s, p->dir, "a", p->dir, "c", RENAME_NOREPLACE));
	if (r != -EEXIST)
		worked(p, r);
}

static bool mode_sticks(struct probe *p, mode_t mode)
{
	struct store_stat st;

	return worked(p, p->s->ops->chmod(p->s, p->file, mode)) && store_stat(p->s, p->file, &st) == 0 &&
	       (st.mode & 07777) == mode;
}

/* The coarsest step that the time which came back is a whole number of. */
static void probe_times(struct probe *p)
{
	static const uint64_t steps[] = {2000000000, 1000000000, 10000000, 1000000, 1000, 100};
	const struct timespec wanted = {.tv_sec = 1000000001, .tv_nsec = 123456789};
	const struct timespec both[2] = {wanted, wanted};
	struct store_stat st;
	uint64_t ns;

	if (!worked(p, p->s->ops->utimens(p->s, p->file, both)) || store_stat(p->s, p->file, &st) < 0)
		return;
	ns = (uint64_t)st.mtime.tv_sec * 1000000000 + (uint64_t)st.mtime.tv_nsec;
	p->caps->time_granularity_ns = 1;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (ns % steps[i] == 0) {
			p->caps->time_granularity_ns = (uint32_t)steps[i];
			return;
		}
}

static bool offset_allowed(struct probe *p, uint64_t size)
{
	int r = p->s->ops->fallocate(p->s, p->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, size - 1, 1);

	return r != -EFBIG && r != -EINVAL;
}

/* The kernel checks the range of a hole against the store's limit before it asks the store, so that this works without holes too;
 * and holes behind the end do nothing.  Stores over FUSE have their limit elsewhere: unknown. */
static void probe_file_max(struct probe *p)
{
	uint64_t low = 4096, high = INT64_MAX;

	if (strcmp(p->caps->type, "fuse") == 0 || !offset_allowed(p, low))
		return;
	if (offset_allowed(p, high))
		low = high;
	while (high - low > 1) {
		uint64_t middle = low + (high - low) / 2;

		if (offset_allowed(p, middle))
			low = middle;
		else
			high = middle;
	}
	p->caps->file_max = low;
}

static void probe_space(struct probe *p)
{
	static const char bytes[8192] = {1};
	const struct store_ops *o = p->s->ops;

	if (!worked(p, store_pwrite(p->s, p->file, bytes, sizeof(bytes), 0)))
		return;
	p->caps->punch_hole =
		worked(p, o->fallocate(p->s, p->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
	p->caps->fallocate_keep_size = worked(p, o->fallocate(p->s, p->file, FALLOC_FL_KEEP_SIZE, sizeof(bytes), 4096));
	probe_file_max(p);
}

static void probe_by_trying(struct probe *p)
{
	struct store_stat st;

	if (store_stat(p->s, p->file, &st) == 0)
		p->caps->btime = st.btime_ns != 0;
	probe_names(p);
	probe_symlinks(p);
	probe_names_of_objects(p);
	p->caps->user_xattrs = xattr_works(p, "user.coffer.probe");
	p->caps->trusted_xattrs = xattr_works(p, "trusted.coffer.probe");
	probe_space(p);
	probe_times(p);
	p->caps->modes = mode_sticks(p, 0700) && mode_sticks(p, 0641);
}

/* --- the directory */

static int probe_empty(struct probe *p)
{
	_Alignas(8) char buf[4096];
	ssize_t used;
	int r = 0;

	/* From the beginning each time: what a cookie means while entries go differs from store to store. */
	for (int left = 64; left > 0 && r == 0; left--) {
		struct store_dirent e;
		size_t pos = 0;
		bool any = false;

		used = p->s->ops->getdents(p->s, p->dir, 0, buf, sizeof(buf));
		if (used <= 0)
			return (int)used;
		while (r == 0 && store_dirent_next(buf, (size_t)used, &pos, &e)) {
			if (strcmp(e.name, ".") == 0 || strcmp(e.name, "..") == 0)
				continue;
			r = p->s->ops->unlink(p->s, p->dir, e.name);
			any = true;
		}
		if (!any)
			return r;
	}
	return r;
}

static int probe_in(struct store *s, int parent, const char *name, struct store_caps *caps)
{
	struct probe p = {.s = s, .file = -1, .caps = caps};
	int r;

	p.dir = store_open(s, parent, name, O_RDONLY | O_DIRECTORY, 0);
	if (p.dir < 0)
		return p.dir;
	p.file = store_open(s, p.dir, "f", O_RDWR | O_CREAT | O_EXCL, 0600);
	if (p.file < 0) {
		p.error = p.file;
	} else {
		probe_by_trying(&p);
		store_close(s, p.file);
	}
	r = probe_empty(&p);
	store_close(s, p.dir);
	return p.error < 0 ? p.error : r;
}

/* What cannot be tried on a full store.  False if the kind of store is not known so well. */
static bool assume(struct store_caps *out)
{
	static const struct {
		const char *type;
		uint32_t symlink_max;
		bool user_xattrs;
	} known[] = {{"ext4", 4095, true}, {"xfs", 1023, true}, {"btrfs", 4095, true}, {"tmpfs", 4095, false}};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(out->type, known[i].type) != 0)
			continue;
		out->symlinks = out->hard_links = out->special_files = out->modes = true;
		out->rename_exchange = out->rename_noreplace = true;
		out->punch_hole = out->fallocate_keep_size = true;
		out->trusted_xattrs = geteuid() == 0;
		out->user_xattrs = known[i].user_xattrs;
		out->symlink_max = known[i].symlink_max;
		out->time_granularity_ns = 1;
		return true;
	}
	return false;
}

static bool is_full(int result)
{
	return result == -ENOSPC || result == -EDQUOT;
}

int store_probe(struct store *s, int dir, struct store_caps *out)
{
	struct probe p = {.s = s, .dir = dir, .file = -1, .caps = out};
	char name[sizeof(PROBE_PREFIX) + 2 * PROBE_RANDOM] = PROBE_PREFIX;
	uint8_t random[PROBE_RANDOM];
	int r, removed;

	memset(out, 0, sizeof(*out));
	r = probe_without_writing(&p);
	if (r == 0)
		r = crypto_random(random, sizeof(random));
	if (r < 0)
		return r;
	hex_encode(random, sizeof(random), name + strlen(PROBE_PREFIX));
	r = s->ops->mkdir(s, dir, name, 0700);
	if (r == -EROFS || r == -EACCES || r == -EPERM)
		return 0; /* read-only, for us at least */
	if (r < 0)
		return is_full(r) && assume(out) ? 0 : r;
	r = probe_in(s, dir, name, out);
	removed = s->ops->rmdir(s, dir, name);
	if (is_full(r) && assume(out))
		r = 0;
	return r < 0 ? r : removed;
}
