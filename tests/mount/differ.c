/* The differential fuzzer: applies the same seeded random operations to two directories, the subject (a mount) and the
 * reference (a plain directory on the same kind of filesystem), and compares results, errno, attributes, listings and content.
 *
 * (1) Operation i of seed s draws from a generator of its own, seeded by (s, i): leaving operations out does not change what
 *     the others draw, so that --minimize can take away what a difference does not need.
 * (2) Choices depend only on the seed and on the reference's tree, never on the subject.
 * (3) Paths stay inside the two work directories: no "..", no absolute symbolic links.
 * (4) Explicit times lie far from now; thereby a time that is not near now must be equal on both sides, and one that is
 *     near now must be near now on both.
 *
 * What may legitimately differ, and how it is dealt with:
 *
 *   rename and rmdir of a directory that is not empty    ENOTEMPTY and EEXIST are the same answer (POSIX allows both)
 *   mtime after truncate(2) to the size a file has       unspecified (ext4 leaves it, POSIX marks it): set anew on both
 *   mtime after fallocate(2)                             filesystems disagree on it, FUSE does not tell: set anew on both
 *   full attribute space (ENOSPC)                        sealed attributes are longer: a budget keeps clear of the limit
 *   EFBIG                                                asked only well beyond both limits (ext4), not of the write-back cache
 *   set-id bits after stores into a mapping              a mount process without privilege cannot write below and keep them: not
 *                                                        done to such files (--unprivileged)
 *   set-id bits after a write refused with EFBIG         cleared before the mount can refuse: not asked of such files
 *   mtime after stores into a shared mapping             tmpfs does not mark it: set anew on both there
 *   ACLs in listings of attributes (XFS: trusted.SGI_ACL_...)  left out; the ACLs themselves are compared
 *   mtime of a removed directory that is still open      its id was taken out: not compared
 *   mtime of a directory that replaces an empty one      is exchanged with it, which XFS marks: set anew on both there
 *   device nodes                                         not opened: the mount is nodev
 *   stores into a mapping behind the end of the file     not made: the kernel's FUSE does not clear them as POSIX wants
 *   SEEK_DATA, SEEK_HOLE with the write-back cache       the kernel asks without writing back first: synced before (--writeback)
 *   O_DIRECT of unaligned ranges                         not asked: stores refuse them, FUSE does not
 *   space taken                                          within bounds: eight times the reference's and 16 MiB
 *   inode and block numbers, sizes of directories, atime (but right after it was set): not compared
 *
 * Exit status: 0 equal, 1 different, 2 usage or environment. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <linux/falloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum {
	SUBJECT,
	REFERENCE,
	SIDES,
	SLOTS = 12,
	NAMES = 30,
	ATTRIBUTES = 10,
	PATH_SIZE = 3500,
	FULL_SIZE = 5120,
	BUFFER = 2 << 20,
	RESCAN = 12,            /* operations between two looks at the reference's tree */
	CROWDED = 160,          /* objects, above which more is removed than made */
	ATTRIBUTE_SPACE = 3400, /* what a sealed set of attributes may take: ext4 gives about 4000 */
	EXT4_KIND = 0xef53,
	TMPFS_KIND = 0x01021994,
	XFS_KIND = 0x58465342,
};

struct slot {
	int fd[SIDES];
	int flags;
	bool open, directory;
	char path[PATH_SIZE];
};

struct object {
	char *path;
	mode_t mode;
};

struct outcome {
	long value;
	int error;
};

static struct {
	uint64_t seed;
	unsigned long ops, compare_every, remount_every, forget_every;
	const char *remount;
	bool trace, keep, minimize, huge, writeback, unprivileged;
	const char *program;
	const char *root[SIDES];
} conf = {.seed = 1, .ops = 2000, .compare_every = 250, .huge = true};

static char base[SIDES][PATH_MAX / 4];
static int top[SIDES] = {-1, -1};
static struct slot slots[SLOTS];
static struct object *objects;
static size_t n_objects;
static char name_pool[NAMES][256];
static char attribute_pool[ATTRIBUTES][300];
static struct outcome outcome[SIDES];
static unsigned long op_number;
static char op_text[16384];
static uint8_t *buffers[SIDES], *payload;
static uint64_t rng;
static time_t started;
static bool is_root, has_acl, has_xattr, is_ext4, is_tmpfs, is_xfs, has_direct;
static int falloc_modes;
static size_t longest_link = 4095;
static mode_t current_umask;
static uint8_t *mask; /* operations to leave out, while minimizing */
static bool quiet;

/* Choices */

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static uint64_t draw(void)
{
	rng += 0x9e3779b97f4a7c15u;
	return mix(rng);
}

static uint64_t below(uint64_t n)
{
	return n ? draw() % n : 0;
}

static bool chance(unsigned percent)
{
	return below(100) < percent;
}

/* Reports */

static void describe(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void describe(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(op_text, sizeof(op_text), format, ap);
	va_end(ap);
	if (conf.trace && !quiet)
		printf("%6lu %s\n", op_number, op_text);
}

/* A printable form of a path, of each long component only the beginning, its length and a hash; a few may be alive at once. */
static const char *show(const char *s)
{
	static char ring[4][PATH_SIZE * 4];
	static unsigned turn;
	char *out = ring[turn++ % 4], *p = out;

	while (*s && p < out + sizeof(ring[0]) - 200) {
		size_t n = strcspn(s, "/"), shown = n > 30 ? 8 : n;

		for (size_t i = 0; i < shown; i++) {
			if (isprint((unsigned char)s[i]) && s[i] != '\\' && s[i] != '"')
				*p++ = s[i];
			else
				p += sprintf(p, "\\x%02x", (unsigned char)s[i]);
		}
		if (shown < n) {
			uint64_t hash = 0;

			for (size_t i = 0; i < n; i++)
				hash = mix(hash ^ (unsigned char)s[i]);
			p += sprintf(p, "<%zu:%04x>", n, (unsigned)(hash & 0xffff));
		}
		s += n;
		if (*s)
			*p++ = *s++;
	}
	*p = 0;
	return out;
}

static void show_outcome(int side)
{
	struct outcome *o = &outcome[side];

	printf("  %-9s %ld%s%s\n", side == SUBJECT ? "subject" : "reference", o->value, o->error ? " " : "",
	       o->error ? strerrorname_np(o->error) : "");
}

static void differs(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void differs(const char *format, ...)
{
	va_list ap;

	if (!quiet) {
		printf("DIFFERENCE seed %llu, operation %lu: %s\n  ", (unsigned long long)conf.seed, op_number,
		       op_text);
		va_start(ap, format);
		vprintf(format, ap);
		va_end(ap);
		printf("\n");
		show_outcome(SUBJECT);
		show_outcome(REFERENCE);
		printf("repeat: %s --seed %llu --ops %lu --compare-every %lu", conf.program,
		       (unsigned long long)conf.seed, op_number + 1, conf.compare_every);
		if (conf.remount)
			printf(" --remount '%s' --remount-every %lu", conf.remount, conf.remount_every);
		if (conf.forget_every)
			printf(" --forget-every %lu", conf.forget_every);
		printf(" %s %s\n", conf.root[SUBJECT], conf.root[REFERENCE]);
		printf("  (--compare-every 1 finds the operation, --minimize the others it needs, --trace shows "
		       "all)\n");
	}
	fflush(stdout);
	_exit(1);
}

static void die(const char *what) __attribute__((noreturn));
static void die(const char *what)
{
	fprintf(stderr, "differ: %s: %s\n", what, strerror(errno));
	_exit(2);
}

static sigjmp_buf fault;

/* A page of a mapping that cannot be read; op_mmap and nobody else touches mappings. */
static void on_fault(int number)
{
	siglongjmp(fault, number);
}

/* Runs an expression on both sides (`side`) and keeps value and errno. */
#define BOTH(expression)                                                                                               \
	for (int side = 0; side < SIDES; side++) {                                                                     \
		errno = 0;                                                                                             \
		outcome[side].value = (long)(expression);                                                              \
		outcome[side].error = outcome[side].value < 0 ? errno : 0;                                             \
	}

static bool both_ok(void)
{
	return outcome[SUBJECT].value >= 0 && outcome[REFERENCE].value >= 0;
}

static void same_outcome(void)
{
	if (outcome[SUBJECT].value != outcome[REFERENCE].value || outcome[SUBJECT].error != outcome[REFERENCE].error)
		differs("the results differ");
}

static void same_outcome_not_empty(void)
{
	for (int side = 0; side < SIDES; side++)
		if (outcome[side].error == EEXIST)
			outcome[side].error = ENOTEMPTY;
	same_outcome();
}

/* For calls that return descriptors or addresses: both succeed or both fail alike. */
static bool same_success(void)
{
	if ((outcome[SUBJECT].value < 0) != (outcome[REFERENCE].value < 0) ||
	    outcome[SUBJECT].error != outcome[REFERENCE].error)
		differs("the results differ");
	return both_ok();
}

static void full_path(char *out, int side, const char *path)
{
	if (snprintf(out, FULL_SIZE, "%s/%s", base[side], path) >= FULL_SIZE)
		die("path");
}

/* Attributes */

static bool near_now(const struct timespec *t)
{
	return t->tv_sec > started - 3600 && t->tv_sec < started + 30 * 86400;
}

static void same_time(const char *path, const char *what, const struct timespec *a, const struct timespec *b)
{
	if (near_now(b) ? !near_now(a) : (a->tv_sec != b->tv_sec || a->tv_nsec != b->tv_nsec))
		differs("%s of %s: subject %lld.%09ld, reference %lld.%09ld", what, show(path), (long long)a->tv_sec,
			a->tv_nsec, (long long)b->tv_sec, b->tv_nsec);
}

#define SAME(field, format)                                                                                            \
	do {                                                                                                           \
		if (a->field != b->field)                                                                              \
			differs(#field " of %s: subject " format ", reference " format, show(path),                    \
				(unsigned long long)a->field, (unsigned long long)b->field);                           \
	} while (0)

static void same_stat(const char *path, const struct stat *a, const struct stat *b)
{
	SAME(st_mode, "%llo");
	SAME(st_uid, "%llu");
	SAME(st_gid, "%llu");
	SAME(st_nlink, "%llu");
	if (!S_ISDIR(b->st_mode))
		SAME(st_size, "%llu");
	if (S_ISCHR(b->st_mode) || S_ISBLK(b->st_mode))
		SAME(st_rdev, "%llu");
	if (!S_ISDIR(b->st_mode) || b->st_nlink)
		same_time(path, "mtime", &a->st_mtim, &b->st_mtim);
	if (a->st_blocks > 8 * b->st_blocks + ((blkcnt_t)16 << 20) / 512)
		differs("space of %s: subject %lld blocks, reference %lld", show(path), (long long)a->st_blocks,
			(long long)b->st_blocks);
}

static bool same_fstat(struct slot *s, struct stat *out)
{
	struct stat st[SIDES];

	BOTH(fstat(s->fd[side], &st[side]));
	if (!same_success())
		return false;
	same_stat(s->path, &st[SUBJECT], &st[REFERENCE]);
	if (out)
		*out = st[REFERENCE];
	return true;
}

static bool same_lstat(const char *path, struct stat *out)
{
	struct stat st[SIDES];

	BOTH(fstatat(top[side], path, &st[side], AT_SYMLINK_NOFOLLOW));
	if (!same_success())
		return false;
	same_stat(path, &st[SUBJECT], &st[REFERENCE]);
	if (out)
		*out = st[REFERENCE];
	return true;
}

static void set_times_anew(const char *path)
{
	struct timespec t[2] = {{.tv_sec = (time_t)below(1u << 30), .tv_nsec = (long)below(1000000000)}};

	t[1] = t[0];
	BOTH(utimensat(top[side], path, t, 0));
	same_outcome();
}

static void set_times_anew_of(struct slot *s)
{
	struct timespec t[2] = {{.tv_sec = (time_t)below(1u << 30), .tv_nsec = (long)below(1000000000)}};

	t[1] = t[0];
	BOTH(futimens(s->fd[side], t));
	same_outcome();
}

/* Extended attributes */

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The sorted names in the namespaces user and trusted; text is cut up in place. */
static size_t attribute_names(char *text, ssize_t n, char **names, size_t max)
{
	size_t count = 0;

	for (char *p = text; p < text + n; p += strlen(p) + 1)
		if (count < max && (!strncmp(p, "user.", 5) ||
				    (!strncmp(p, "trusted.", 8) && strncmp(p, "trusted.SGI_ACL_", 16) != 0)))
			names[count++] = p;
	qsort(names, count, sizeof(*names), by_bytes);
	return count;
}

static void same_attribute(const char *path, const char *name)
{
	char full[FULL_SIZE];

	for (int side = 0; side < SIDES; side++) {
		full_path(full, side, path);
		errno = 0;
		outcome[side].value = lgetxattr(full, name, buffers[side], 65536);
		outcome[side].error = outcome[side].value < 0 ? errno : 0;
	}
	if (outcome[SUBJECT].value != outcome[REFERENCE].value || outcome[SUBJECT].error != outcome[REFERENCE].error)
		differs("attribute %s of %s", show(name), show(path));
	if (outcome[0].value > 0 && memcmp(buffers[0], buffers[1], (size_t)outcome[0].value) != 0)
		differs("value of attribute %s of %s", show(name), show(path));
}

static void same_attributes(const char *path)
{
	static char text[SIDES][65536];
	char *names[SIDES][400], full[FULL_SIZE];
	size_t count[SIDES];

	for (int side = 0; side < SIDES; side++) {
		full_path(full, side, path);
		errno = 0;
		outcome[side].value = llistxattr(full, text[side], sizeof(text[side]));
		outcome[side].error = outcome[side].value < 0 ? errno : 0;
	}
	if (outcome[SUBJECT].error != outcome[REFERENCE].error)
		differs("listing the attributes of %s", show(path));
	if (!both_ok())
		return;
	for (int side = 0; side < SIDES; side++)
		count[side] = attribute_names(text[side], outcome[side].value, names[side], 400);
	for (size_t i = 0; i < count[0] || i < count[1]; i++) {
		const char *a = i < count[0] ? names[0][i] : NULL, *b = i < count[1] ? names[1][i] : NULL;

		if (!a || !b || strcmp(a, b) != 0)
			differs("attributes of %s: subject has %s, reference %s", show(path), a ? show(a) : "no more",
				b ? show(b) : "no more");
		same_attribute(path, a);
	}
	if (has_acl) {
		same_attribute(path, "system.posix_acl_access");
		same_attribute(path, "system.posix_acl_default");
	}
}

/* What the attributes of an object will take when sealed. */
static size_t attribute_space(const char *path)
{
	static char text[65536];
	char *names[400], full[FULL_SIZE];
	size_t sum = 0, count;
	ssize_t n;

	full_path(full, REFERENCE, path);
	n = llistxattr(full, text, sizeof(text));
	if (n <= 0)
		return 0;
	count = attribute_names(text, n, names, 400);
	for (size_t i = 0; i < count; i++) {
		ssize_t v = lgetxattr(full, names[i], NULL, 0);
		size_t l = strlen(names[i]);

		sum += 16 + 8 + (20 + l) * 4 / 3 + 40 + (l > 160 ? l : 0) + (v > 0 ? (size_t)v : 0);
	}
	return sum;
}

/* Content */

static bool all_zero(const uint8_t *p, size_t n)
{
	return !n || (p[0] == 0 && !memcmp(p, p + 1, n - 1));
}

static void same_range(const char *path, const int fd[SIDES], uint64_t from, uint64_t to)
{
	while (from < to) {
		size_t n = to - from < BUFFER ? to - from : BUFFER;

		BOTH(pread(fd[side], buffers[side], n, (off_t)from));
		if (outcome[SUBJECT].value != outcome[REFERENCE].value)
			differs("read of %s at %llu", show(path), (unsigned long long)from);
		if (outcome[REFERENCE].value <= 0)
			return;
		n = (size_t)outcome[REFERENCE].value;
		if (memcmp(buffers[0], buffers[1], n) != 0) {
			size_t i = 0;

			while (buffers[0][i] == buffers[1][i])
				i++;
			differs("content of %s at %llu: subject %02x, reference %02x", show(path),
				(unsigned long long)from + i, buffers[0][i], buffers[1][i]);
		}
		from += n;
	}
}

static void sync_before_seek(int fd)
{
	if (conf.writeback)
		fsync(fd);
}

/* The reference reads as zeros there. */
static bool reference_is_zero(int fd, uint64_t from, uint64_t to)
{
	while (from < to) {
		off_t data = lseek(fd, (off_t)from, SEEK_DATA);
		ssize_t n;

		if (data < 0 || (uint64_t)data >= to)
			return true;
		from = (uint64_t)data;
		n = pread(fd, buffers[REFERENCE], to - from < 65536 ? to - from : 65536, (off_t)from);
		if (n <= 0)
			return true;
		if (!all_zero(buffers[REFERENCE], (size_t)n))
			return false;
		from += (uint64_t)n;
	}
	return true;
}

/* Compares small files byte by byte; of large ones what either side calls data (up to a bound), the ends, and some pages. */
static void same_content(const char *path, const int fd[SIDES], uint64_t size)
{
	if (size <= 1 << 20) {
		same_range(path, fd, 0, size + 1);
		return;
	}
	sync_before_seek(fd[SUBJECT]);
	for (int side = 0; side < SIDES; side++) {
		uint64_t at = 0, budget = 64 << 20;

		while (at < size && budget) {
			off_t data = lseek(fd[side], (off_t)at, SEEK_DATA), hole;

			if (data < 0)
				break;
			if (side == SUBJECT && !reference_is_zero(fd[REFERENCE], at, (uint64_t)data))
				differs("%s: the subject calls data a hole: %llu to %llu", show(path),
					(unsigned long long)at, (unsigned long long)data);
			hole = lseek(fd[side], data, SEEK_HOLE);
			if (hole <= data)
				differs("%s: SEEK_HOLE at %llu gives %lld", show(path), (unsigned long long)data,
					(long long)hole);
			if ((uint64_t)(hole - data) > budget)
				hole = data + (off_t)budget;
			same_range(path, fd, (uint64_t)data, (uint64_t)hole);
			budget -= (uint64_t)(hole - data);
			at = (uint64_t)hole;
		}
	}
	same_range(path, fd, 0, 8192);
	same_range(path, fd, size - 8192, size + 1);
	for (int i = 0; i < 4; i++) {
		uint64_t at = below(size);

		same_range(path, fd, at, at + 4096);
	}
}

/* Whole trees */

struct entry {
	char *name;
	uint8_t type;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static struct entry *list_directory(int fd, size_t *n)
{
	DIR *d = fdopendir(fd);
	struct entry *list = NULL;
	struct dirent *e;
	size_t size = 0;

	*n = 0;
	if (!d)
		die("fdopendir");
	rewinddir(d);
	errno = 0;
	while ((e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (*n == size) {
			size = size ? size * 2 : 16;
			list = realloc(list, size * sizeof(*list));
			if (!list)
				die("realloc");
		}
		list[(*n)++] = (struct entry){strdup(e->d_name), e->d_type};
	}
	outcome[0].value = errno ? -1 : 0;
	outcome[0].error = errno;
	closedir(d);
	if (*n)
		qsort(list, *n, sizeof(*list), by_name);
	return list;
}

static void free_list(struct entry *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i].name);
	free(list);
}

/* Takes both descriptors over. */
static struct entry *same_listing(const char *path, const int fd[SIDES], size_t *n)
{
	struct outcome end[SIDES];
	struct entry *list[SIDES];
	size_t count[SIDES];

	for (int side = 0; side < SIDES; side++) {
		list[side] = list_directory(fd[side], &count[side]);
		end[side] = outcome[0];
	}
	memcpy(outcome, end, sizeof(end));
	if (end[0].error != end[1].error)
		differs("listing %s", show(path));
	for (size_t i = 0; i < count[0] || i < count[1]; i++) {
		struct entry *a = i < count[0] ? &list[0][i] : NULL, *b = i < count[1] ? &list[1][i] : NULL;

		if (!a || !b || strcmp(a->name, b->name) != 0)
			differs("entries of %s: subject has \"%s\", reference \"%s\"", show(path),
				a ? show(a->name) : "", b ? show(b->name) : "");
		if (a->type != b->type && a->type != DT_UNKNOWN && b->type != DT_UNKNOWN)
			differs("type of %s/%s in the listing: %d, %d", show(path), show(a->name), a->type, b->type);
	}
	free_list(list[SUBJECT], count[SUBJECT]);
	*n = count[REFERENCE];
	return list[REFERENCE];
}

/* Names of one file in the reference are names of one file in the subject. */
static struct {
	ino_t ino[SIDES];
} * twins;
static size_t n_twins;

static void same_twin(const char *path)
{
	struct stat st[SIDES];

	for (int side = 0; side < SIDES; side++)
		if (fstatat(top[side], path, &st[side], AT_SYMLINK_NOFOLLOW))
			return;
	if (S_ISDIR(st[0].st_mode) || st[REFERENCE].st_nlink < 2)
		return;
	for (size_t i = 0; i < n_twins; i++)
		if ((twins[i].ino[0] == st[0].st_ino) != (twins[i].ino[1] == st[1].st_ino))
			differs("%s: hard links have the same inode number on one side only", show(path));
	twins = realloc(twins, (n_twins + 1) * sizeof(*twins));
	if (!twins)
		die("realloc");
	for (int side = 0; side < SIDES; side++)
		twins[n_twins].ino[side] = st[side].st_ino;
	n_twins++;
}

static void same_object(const char *path);

static void same_file(const char *path, uint64_t size)
{
	int fd[SIDES];

	BOTH(fd[side] = openat(top[side], path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
	if (!same_success())
		return;
	same_content(path, fd, size);
	for (int side = 0; side < SIDES; side++)
		close(fd[side]);
}

static void same_link(const char *path)
{
	BOTH(readlinkat(top[side], path, (char *)buffers[side], 65536));
	same_outcome();
	if (both_ok() && memcmp(buffers[0], buffers[1], (size_t)outcome[0].value) != 0)
		differs("target of %s", show(path));
}

static void same_directory(const char *path)
{
	int fd[SIDES];
	struct entry *list;
	size_t n;

	BOTH(fd[side] = openat(top[side], path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
	if (!same_success())
		return;
	list = same_listing(path, fd, &n);
	for (size_t i = 0; i < n; i++) {
		char *child;

		if (asprintf(&child, "%s%s%s", strcmp(path, ".") != 0 ? path : "", strcmp(path, ".") != 0 ? "/" : "",
			     list[i].name) < 0)
			die("asprintf");
		same_object(child);
		free(child);
	}
	free_list(list, n);
}

static void same_object(const char *path)
{
	struct stat st;

	if (strlen(path) >= PATH_SIZE || !same_lstat(path, &st))
		return;
	if (has_xattr && strlen(path) < PATH_SIZE - 300)
		same_attributes(path);
	same_twin(path);
	if (S_ISREG(st.st_mode))
		same_file(path, (uint64_t)st.st_size);
	else if (S_ISLNK(st.st_mode))
		same_link(path);
	else if (S_ISDIR(st.st_mode))
		same_directory(path);
}

static void same_tree(void)
{
	n_twins = 0;
	same_object(".");
	for (int i = 0; i < SLOTS; i++) {
		struct stat st;

		if (!slots[i].open || !same_fstat(&slots[i], &st) || !S_ISREG(st.st_mode))
			continue;
		if ((slots[i].flags & O_ACCMODE) != O_WRONLY && !(slots[i].flags & O_DIRECT))
			same_content(slots[i].path, slots[i].fd, (uint64_t)st.st_size);
	}
}

/* What there is to operate on: the reference's tree, looked at now and then. */

static void forget_objects(void)
{
	for (size_t i = 0; i < n_objects; i++)
		free(objects[i].path);
	n_objects = 0;
}

static void add_object(const char *path, mode_t mode)
{
	objects = realloc(objects, (n_objects + 1) * sizeof(*objects));
	if (!objects)
		die("realloc");
	objects[n_objects++] = (struct object){strdup(path), mode};
}

static void scan(const char *path)
{
	int fd = openat(top[REFERENCE], path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	struct entry *list;
	size_t n;

	if (fd < 0)
		return;
	list = list_directory(fd, &n);
	for (size_t i = 0; i < n; i++) {
		char child[PATH_SIZE * 2];
		struct stat st;

		snprintf(child, sizeof(child), "%s%s%s", strcmp(path, ".") != 0 ? path : "",
			 strcmp(path, ".") != 0 ? "/" : "", list[i].name);
		if (strlen(child) > PATH_SIZE - 600 || fstatat(top[REFERENCE], child, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		add_object(child, st.st_mode);
		if (S_ISDIR(st.st_mode))
			scan(child);
	}
	free_list(list, n);
}

static void rescan(void)
{
	forget_objects();
	scan(".");
}

static const char *existing(mode_t type)
{
	size_t start = below(n_objects);

	for (size_t i = 0; i < n_objects; i++) {
		struct object *o = &objects[(start + i) % n_objects];

		if (!type || (o->mode & S_IFMT) == type)
			return o->path;
	}
	return "nothing";
}

static void random_name(char *out, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		do
			out[i] = (char)(1 + below(255));
		while (out[i] == '/' || out[i] == '.');
	}
	out[length] = 0;
}

/* A path that most likely names nothing yet. */
static void fresh_path(char *out)
{
	char name[300];
	const char *parent = chance(35) ? "." : existing(S_IFDIR);

	if (chance(80))
		strcpy(name, name_pool[below(chance(60) ? NAMES / 3 : NAMES)]);
	else
		random_name(name, chance(95) ? 1 + below(255) : 256);
	if (!strcmp(parent, ".") || !strcmp(parent, "nothing"))
		snprintf(out, PATH_SIZE, "%s", name);
	else
		snprintf(out, PATH_SIZE, "%s/%s", parent, name);
}

static void any_path(char *out, mode_t type)
{
	if (n_objects && chance(85))
		snprintf(out, PATH_SIZE, "%s", existing(type));
	else
		fresh_path(out);
}

static struct slot *any_slot(bool directory)
{
	unsigned start = (unsigned)below(SLOTS);

	for (unsigned i = 0; i < SLOTS; i++) {
		struct slot *s = &slots[(start + i) % SLOTS];

		if (s->open && s->directory == directory)
			return s;
	}
	return NULL;
}

static uint64_t some_offset(void)
{
	static const uint64_t edges[] = {0,    1,    127,  128,  3967, 3968,   3969,   4095,
					 4096, 4097, 8064, 8065, 8192, 245760, 770048, 17022976};
	static const uint64_t far[] = {17022976, 1896071168, 19075940352, 1118587568128};
	unsigned kind = (unsigned)below(100);

	if (kind < 45)
		return below(12000);
	if (kind < 75)
		return edges[below(15)] + below(3) - (chance(50) ? 0 : 1) * 1u;
	if (kind < 93)
		return below(300000);
	if (kind < 98)
		return below(2 << 20);
	if (!conf.huge || kind == 98)
		return edges[15] + below(9000) - 4500;
	return far[below(4)] + below(9000) - 4500;
}

static uint64_t clamp_offset(uint64_t x)
{
	return x > (uint64_t)INT64_MAX ? 0 : x;
}

static size_t some_length(void)
{
	unsigned kind = (unsigned)below(100);

	if (kind < 35)
		return below(200);
	if (kind < 65)
		return below(5000);
	if (kind < 88)
		return below(20000);
	if (kind < 96)
		return 4096 * (1 + below(8));
	return below(300000);
}

static void fill_payload(size_t n)
{
	unsigned kind = (unsigned)below(10);

	if (kind == 0) {
		memset(payload, 0, n);
	} else if (kind == 1) {
		memset(payload, (int)below(256), n);
	} else {
		uint64_t x = draw();

		for (size_t i = 0; i < n; i += 8) {
			x = x * 6364136223846793005u + 1442695040888963407u;
			memcpy(payload + i, &(uint64_t){x ^ (x >> 29)}, 8);
		}
	}
}

/* Operations */

static void op_open(void)
{
	static const int accesses[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDWR};
	static const struct {
		int flag, percent;
	} extras[] = {{O_CREAT, 50},   {O_EXCL, 15},     {O_TRUNC, 12}, {O_APPEND, 12},
		      {O_NOFOLLOW, 8}, {O_DIRECTORY, 4}, {O_SYNC, 1},   {O_DSYNC, 1}};
	static const mode_t modes[] = {0644, 0600, 0666, 0755, 0444, 0400, 0200, 0, 04755, 02755, 0777, 0644};
	int flags = accesses[below(4)], fd[SIDES];
	mode_t mode = modes[below(12)];
	char path[PATH_SIZE];
	struct stat st;
	struct slot *s;

	for (size_t i = 0; i < sizeof(extras) / sizeof(*extras); i++)
		if (chance((unsigned)extras[i].percent))
			flags |= extras[i].flag;
	if (has_direct && chance(3))
		flags |= O_DIRECT;
	if (flags & O_CREAT && chance(60))
		fresh_path(path);
	else
		any_path(path, chance(80) ? S_IFREG : 0);
	if (!fstatat(top[REFERENCE], path, &st, 0) && (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)))
		return;
	describe("open(\"%s\", 0%o%s%s%s%s%s%s, 0%o)", show(path), flags, flags & O_CREAT ? " CREAT" : "",
		 flags & O_EXCL ? " EXCL" : "", flags & O_TRUNC ? " TRUNC" : "", flags & O_APPEND ? " APPEND" : "",
		 flags & O_NOFOLLOW ? " NOFOLLOW" : "", flags & O_DIRECTORY ? " DIRECTORY" : "", mode);
	BOTH(fd[side] = openat(top[side], path, flags | O_NONBLOCK | O_CLOEXEC, mode));
	if (!same_success()) {
		same_lstat(path, NULL);
		return;
	}
	s = &slots[below(SLOTS)];
	for (int i = 0; i < SLOTS && s->open; i++)
		s = &slots[i];
	if (s->open)
		for (int side = 0; side < SIDES; side++)
			close(s->fd[side]);
	s->fd[0] = fd[0];
	s->fd[1] = fd[1];
	s->flags = flags;
	s->open = true;
	snprintf(s->path, sizeof(s->path), "%s", path);
	if (!same_fstat(s, &st) || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))) {
		for (int side = 0; side < SIDES; side++)
			close(fd[side]);
		s->open = false;
		return;
	}
	s->directory = S_ISDIR(st.st_mode);
	same_lstat(path, NULL);
}

static void close_slot(struct slot *s)
{
	BOTH(close(s->fd[side]));
	s->open = false;
	same_outcome();
}

static void op_close(void)
{
	struct slot *s = any_slot(chance(20));

	if (!s)
		return;
	describe("close(\"%s\")", show(s->path));
	close_slot(s);
}

static void align(struct slot *s, uint64_t *offset, size_t *n)
{
	if (s->flags & O_DIRECT) {
		*offset &= ~(uint64_t)4095;
		*n = (*n + 4095) & ~(size_t)4095;
	}
}

static void op_read(void)
{
	struct slot *s = any_slot(false);
	uint64_t offset = clamp_offset(some_offset());
	size_t n = some_length();
	unsigned how = (unsigned)below(4);

	if (!s)
		return;
	align(s, &offset, &n);
	if (how == 0 && !(s->flags & O_DIRECT)) {
		size_t a = below(n + 1), b = below(n - a + 1);

		describe("preadv(\"%s\", %zu + %zu + %zu, %llu)", show(s->path), a, b, n - a - b,
			 (unsigned long long)offset);
		BOTH(preadv(s->fd[side],
			    (struct iovec[]){
				    {buffers[side], a}, {buffers[side] + a, b}, {buffers[side] + a + b, n - a - b}},
			    3, (off_t)offset));
	} else if (how == 1) {
		describe("lseek(\"%s\", %llu), read(%zu)", show(s->path), (unsigned long long)offset, n);
		BOTH(lseek(s->fd[side], (off_t)offset, SEEK_SET));
		same_outcome();
		BOTH(read(s->fd[side], buffers[side], n));
	} else {
		describe("pread(\"%s\", %zu, %llu)", show(s->path), n, (unsigned long long)offset);
		BOTH(pread(s->fd[side], buffers[side], n, (off_t)offset));
	}
	same_outcome();
	if (outcome[0].value > 0 && memcmp(buffers[0], buffers[1], (size_t)outcome[0].value) != 0)
		same_range(s->path, s->fd, offset, offset + n);
}

static void op_write(void)
{
	struct slot *s = any_slot(false);
	uint64_t offset = clamp_offset(some_offset());
	size_t n = some_length();
	unsigned how = (unsigned)below(4);
	struct stat st;

	if (!s)
		return;
	if (chance(2))
		n = 600000 + below(1000000);
	align(s, &offset, &n);
	if (s->flags & O_DIRECT && s->flags & O_APPEND)
		return;
	if (chance(20) && !fstat(s->fd[REFERENCE], &st) && !(s->flags & O_DIRECT))
		offset = (uint64_t)st.st_size;
	fill_payload(n);
	if (how == 0 && !(s->flags & O_DIRECT)) {
		size_t a = below(n + 1);

		describe("pwritev(\"%s\", %zu + %zu, %llu)%s", show(s->path), a, n - a, (unsigned long long)offset,
			 s->flags & O_APPEND ? " APPEND" : "");
		BOTH(pwritev(s->fd[side], (struct iovec[]){{payload, a}, {payload + a, n - a}}, 2, (off_t)offset));
	} else if (how == 1 || s->flags & O_APPEND) {
		describe("lseek(\"%s\", %llu), write(%zu)%s", show(s->path), (unsigned long long)offset, n,
			 s->flags & O_APPEND ? " APPEND" : "");
		BOTH(lseek(s->fd[side], (off_t)offset, SEEK_SET));
		same_outcome();
		BOTH(write(s->fd[side], payload, n));
		same_outcome();
		BOTH(lseek(s->fd[side], 0, SEEK_CUR));
	} else {
		describe("pwrite(\"%s\", %zu, %llu)", show(s->path), n, (unsigned long long)offset);
		BOTH(pwrite(s->fd[side], payload, n, (off_t)offset));
	}
	same_outcome();
	same_fstat(s, NULL);
}

static void op_write_beyond(void)
{
	struct slot *s = any_slot(false);
	uint64_t offset = (uint64_t)1 << (45 + below(17));
	struct stat st;

	if (!s || !is_ext4 || conf.writeback || s->flags & (O_APPEND | O_DIRECT))
		return;
	if (fstat(s->fd[REFERENCE], &st) || st.st_mode & (S_ISUID | S_ISGID))
		return;
	if (chance(50)) {
		describe("pwrite(\"%s\", 10, %llu)", show(s->path), (unsigned long long)offset);
		BOTH(pwrite(s->fd[side], payload, 10, (off_t)offset));
	} else {
		describe("ftruncate(\"%s\", %llu)", show(s->path), (unsigned long long)offset);
		BOTH(ftruncate(s->fd[side], (off_t)offset));
	}
	same_outcome();
	same_fstat(s, NULL);
}

static void op_truncate(void)
{
	char path[PATH_SIZE], full[FULL_SIZE];
	uint64_t size = clamp_offset(some_offset());
	struct stat before = {0};

	any_path(path, S_IFREG);
	describe("truncate(\"%s\", %llu)", show(path), (unsigned long long)size);
	fstatat(top[REFERENCE], path, &before, 0);
	for (int side = 0; side < SIDES; side++) {
		full_path(full, side, path);
		errno = 0;
		outcome[side].value = truncate(full, (off_t)size);
		outcome[side].error = outcome[side].value ? errno : 0;
	}
	same_outcome();
	if (both_ok() && (uint64_t)before.st_size == size)
		set_times_anew(path);
	same_lstat(path, NULL);
}

static void op_ftruncate(void)
{
	struct slot *s = any_slot(false);
	uint64_t size = clamp_offset(some_offset());
	struct stat st;

	if (!s)
		return;
	if (chance(25) && !fstat(s->fd[REFERENCE], &st))
		size = (uint64_t)st.st_size + below(5) - 2;
	size = clamp_offset(size);
	describe("ftruncate(\"%s\", %llu)", show(s->path), (unsigned long long)size);
	BOTH(ftruncate(s->fd[side], (off_t)size));
	same_outcome();
	same_fstat(s, NULL);
}

/* What op_mmap does to its two mappings. */
static struct {
	uint8_t *map[SIDES];
	struct slot *slot;
	uint64_t offset;
	size_t size, at, n;
	bool shared, write;
} mapping;

static void use_mapping(void)
{
	if (memcmp(mapping.map[0], mapping.map[1], mapping.size) != 0)
		differs("content of the mapping");
	if (!mapping.write)
		return;
	fill_payload(mapping.n);
	for (int side = 0; side < SIDES; side++)
		memcpy(mapping.map[side] + mapping.at, payload, mapping.n);
	if (mapping.shared && (mapping.slot->flags & O_ACCMODE) == O_RDWR && chance(30))
		same_range(mapping.slot->path, mapping.slot->fd, mapping.offset, mapping.offset + mapping.size);
	BOTH(msync(mapping.map[side], mapping.size, MS_SYNC));
	same_outcome();
	if (memcmp(mapping.map[0], mapping.map[1], mapping.size) != 0)
		differs("content of the mapping after writing");
}

static void use_mapping_guarded(void)
{
	if (sigsetjmp(fault, 1))
		differs("SIGBUS while touching the mapping");
	use_mapping();
}

static void op_mmap(void)
{
	struct slot *s = any_slot(false);
	uint64_t size, inside;
	struct stat st;

	mapping.slot = s;
	mapping.shared = chance(70);
	mapping.write = chance(70);
	if (!s || s->flags & O_DIRECT || fstat(s->fd[REFERENCE], &st) || !st.st_size)
		return;
	if (conf.unprivileged && st.st_mode & (S_ISUID | S_ISGID))
		mapping.shared = false;
	size = (uint64_t)st.st_size;
	mapping.offset = chance(50) ? 0 : below(size);
	if (chance(30) && size > 8192)
		mapping.offset = size - 1 - below(8192);
	mapping.offset &= ~(uint64_t)4095;
	inside = 1 + below(chance(80) ? 20000 : 200000);
	if (inside > size - mapping.offset)
		inside = size - mapping.offset;
	mapping.size = (inside + 4095) & ~(size_t)4095;
	mapping.at = below(inside);
	mapping.n = 1 + below(inside - mapping.at);
	describe("mmap(\"%s\", %zu, %llu) %s %s %zu+%zu", show(s->path), mapping.size,
		 (unsigned long long)mapping.offset, mapping.shared ? "shared" : "private",
		 mapping.write ? "write" : "read", mapping.at, mapping.n);
	for (int side = 0; side < SIDES; side++) {
		errno = 0;
		mapping.map[side] = mmap(NULL, mapping.size, mapping.write ? PROT_READ | PROT_WRITE : PROT_READ,
					 mapping.shared ? MAP_SHARED : MAP_PRIVATE, s->fd[side], (off_t)mapping.offset);
		outcome[side].value = mapping.map[side] == MAP_FAILED ? -1 : 0;
		outcome[side].error = mapping.map[side] == MAP_FAILED ? errno : 0;
	}
	if (!same_success())
		return;
	use_mapping_guarded();
	if (is_tmpfs && mapping.shared && mapping.write)
		set_times_anew_of(s);
	for (int side = 0; side < SIDES; side++)
		munmap(mapping.map[side], mapping.size);
	same_fstat(s, NULL);
}

static void op_rename(void)
{
	static const unsigned flags[] = {
		0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_EXCHANGE, RENAME_NOREPLACE | RENAME_EXCHANGE};
	unsigned flag = flags[below(100) < 98 ? below(6) : 6];
	char from[PATH_SIZE], to[PATH_SIZE];
	struct stat st = {0};

	any_path(from, chance(30) ? S_IFDIR : 0);
	if (chance(flag == RENAME_EXCHANGE ? 80 : 45))
		any_path(to, chance(30) ? S_IFDIR : 0);
	else
		fresh_path(to);
	describe("renameat2(\"%s\", \"%s\", %u)", show(from), show(to), flag);
	fstatat(top[REFERENCE], to, &st, AT_SYMLINK_NOFOLLOW);
	BOTH(renameat2(top[side], from, top[side], to, flag));
	same_outcome_not_empty();
	if (is_xfs && both_ok() && S_ISDIR(st.st_mode))
		set_times_anew(to);
	same_lstat(from, NULL);
	same_lstat(to, NULL);
}

static void op_link(void)
{
	char from[PATH_SIZE], to[PATH_SIZE];
	int flag = chance(10) ? AT_SYMLINK_FOLLOW : 0;

	any_path(from, chance(70) ? S_IFREG : 0);
	fresh_path(to);
	describe("linkat(\"%s\", \"%s\", %d)", show(from), show(to), flag);
	BOTH(linkat(top[side], from, top[side], to, flag));
	same_outcome();
	same_lstat(from, NULL);
	same_lstat(to, NULL);
}

static size_t some_link_length(void)
{
	static const size_t edges[] = {1,   2,    500,  504,  505,  520,  680,  700,
				       701, 1000, 1023, 2000, 4000, 4094, 4095, 4096};
	size_t n = chance(50) ? edges[below(16)] : 1 + below(chance(70) ? 300 : 4095);

	return n > longest_link && n != 4096 ? longest_link : n;
}

static void op_symlink(void)
{
	char path[PATH_SIZE], target[4200];

	fresh_path(path);
	if (chance(50))
		snprintf(target, sizeof(target), "%s", chance(50) ? existing(0) : name_pool[below(NAMES)]);
	else
		random_name(target, some_link_length());
	if (strlen(target) > longest_link && strlen(target) < 4096)
		target[longest_link] = 0;
	describe("symlink(\"%s\" (%zu), \"%s\")", show(target), strlen(target), show(path));
	BOTH(symlinkat(target, top[side], path));
	same_outcome();
	same_lstat(path, NULL);
	same_link(path);
}

static void op_readlink(void)
{
	char path[PATH_SIZE];
	size_t n = chance(70) ? 4096 : below(4096);

	any_path(path, chance(80) ? S_IFLNK : 0);
	describe("readlink(\"%s\", %zu)", show(path), n);
	BOTH(readlinkat(top[side], path, (char *)buffers[side], n));
	same_outcome();
	if (outcome[0].value > 0 && memcmp(buffers[0], buffers[1], (size_t)outcome[0].value) != 0)
		differs("the targets differ");
}

static void op_unlink(void)
{
	char path[PATH_SIZE];

	any_path(path, 0);
	describe("unlink(\"%s\")", show(path));
	BOTH(unlinkat(top[side], path, 0));
	same_outcome();
	same_lstat(path, NULL);
}

static void op_rmdir(void)
{
	char path[PATH_SIZE];

	any_path(path, chance(90) ? S_IFDIR : 0);
	describe("rmdir(\"%s\")", show(path));
	BOTH(unlinkat(top[side], path, AT_REMOVEDIR));
	same_outcome_not_empty();
	same_lstat(path, NULL);
}

static void op_mkdir(void)
{
	static const mode_t modes[] = {0755, 0777, 0700, 0755, 02755, 01777};
	mode_t mode = is_root && chance(10) ? (mode_t)below(01000) : modes[below(6)];
	char path[PATH_SIZE];

	fresh_path(path);
	describe("mkdir(\"%s\", 0%o)", show(path), mode);
	BOTH(mkdirat(top[side], path, mode));
	same_outcome();
	same_lstat(path, NULL);
}

static void op_mknod(void)
{
	static const mode_t types[] = {S_IFIFO, S_IFSOCK, S_IFREG, 0, S_IFCHR, S_IFBLK};
	mode_t mode = types[below(chance(10) ? 6 : 4)] | (mode_t)below(01000);
	char path[PATH_SIZE];

	fresh_path(path);
	describe("mknod(\"%s\", 0%o)", show(path), mode);
	BOTH(mknodat(top[side], path, mode, S_ISCHR(mode) || S_ISBLK(mode) ? 0x1234 : 0));
	same_outcome();
	same_lstat(path, NULL);
}

static void op_chmod(void)
{
	static const mode_t modes[] = {0644, 0600, 0755, 0444, 0, 04755, 02755, 06777, 01777, 0777};
	mode_t mode = modes[below(10)];
	struct slot *s = chance(30) ? any_slot(false) : NULL;
	char path[PATH_SIZE];
	struct stat st;

	if (chance(20))
		mode = (mode_t)below(010000);
	if (s) {
		describe("fchmod(\"%s\", 0%o)", show(s->path), mode);
		BOTH(fchmod(s->fd[side], mode));
		same_outcome();
		same_fstat(s, NULL);
		return;
	}
	any_path(path, 0);
	if (!is_root && !fstatat(top[REFERENCE], path, &st, 0) && S_ISDIR(st.st_mode))
		mode |= 0700;
	describe("chmod(\"%s\", 0%o)", show(path), mode);
	BOTH(fchmodat(top[side], path, mode, 0));
	same_outcome();
	same_lstat(path, NULL);
}

static void op_chown(void)
{
	static const uid_t ids[] = {0, 1000, 1001, 65534, (uid_t)-1};
	uid_t uid = ids[below(5)];
	gid_t gid = ids[below(5)];
	char path[PATH_SIZE];
	int flag = chance(50) ? AT_SYMLINK_NOFOLLOW : 0;

	any_path(path, 0);
	describe("fchownat(\"%s\", %d, %d, %d)", show(path), (int)uid, (int)gid, flag);
	BOTH(fchownat(top[side], path, uid, gid, flag));
	same_outcome();
	same_lstat(path, NULL);
}

static void random_time(struct timespec *t)
{
	unsigned kind = (unsigned)below(10);

	t->tv_nsec = chance(20) ? 0 : (long)below(1000000000);
	t->tv_sec = (time_t)below(1u << 30);
	if (kind == 0)
		t->tv_nsec = UTIME_NOW;
	else if (kind == 1)
		t->tv_nsec = UTIME_OMIT;
	else if (kind == 2)
		t->tv_sec = -(time_t)below(1000000000);
	else if (kind == 3)
		t->tv_sec = (time_t)((uint64_t)5000000000u + below(1000000000));
}

static void op_utimens(void)
{
	struct timespec t[2];
	struct stat st[SIDES];
	char path[PATH_SIZE];
	int flag = chance(50) ? AT_SYMLINK_NOFOLLOW : 0;

	random_time(&t[0]);
	random_time(&t[1]);
	any_path(path, 0);
	describe("utimensat(\"%s\", %lld.%09ld %lld.%09ld, %d)", show(path), (long long)t[0].tv_sec, t[0].tv_nsec,
		 (long long)t[1].tv_sec, t[1].tv_nsec, flag);
	BOTH(utimensat(top[side], path, t, flag));
	same_outcome();
	if (!both_ok())
		return;
	BOTH(fstatat(top[side], path, &st[side], flag));
	if (!same_success()) /* nothing but UTIME_OMIT succeeds without looking */
		return;
	same_stat(path, &st[0], &st[1]);
	if (t[0].tv_nsec != UTIME_OMIT)
		same_time(path, "atime", &st[0].st_atim, &st[1].st_atim);
}

static const char *some_attribute(void)
{
	static char name[600];

	if (chance(75))
		return attribute_pool[below(ATTRIBUTES)];
	strcpy(name, is_root && chance(20) ? "trusted." : "user.");
	random_name(name + strlen(name), 1 + below(chance(50) ? 40 : 251));
	return name;
}

static void op_setxattr(void)
{
	static const int flags[] = {0, 0, 0, XATTR_CREATE, XATTR_REPLACE};
	const char *name = some_attribute();
	int flag = flags[below(5)];
	size_t n = below(chance(80) ? 100 : 2500), space;
	char path[PATH_SIZE], full[FULL_SIZE];

	if (!has_xattr)
		return;
	any_path(path, chance(70) ? S_IFREG : 0);
	space = attribute_space(path) + 24 + (20 + strlen(name)) * 4 / 3 + 40 + strlen(name);
	if (space + n > ATTRIBUTE_SPACE)
		n = 0;
	if (space > ATTRIBUTE_SPACE)
		return;
	fill_payload(n + 8);
	describe("lsetxattr(\"%s\", \"%s\" (%zu), %zu, %d)", show(path), show(name), strlen(name), n, flag);
	for (int side = 0; side < SIDES; side++) {
		full_path(full, side, path);
		errno = 0;
		outcome[side].value = lsetxattr(full, name, payload, n, flag);
		outcome[side].error = outcome[side].value ? errno : 0;
	}
	same_outcome();
	same_lstat(path, NULL);
	if (strlen(name) <= 255)
		same_attribute(path, name);
}

static void op_getxattr(void)
{
	const char *name = some_attribute();
	size_t n = chance(50) ? 65536 : below(200);
	char path[PATH_SIZE], full[FULL_SIZE];

	if (!has_xattr)
		return;
	any_path(path, 0);
	describe("lgetxattr(\"%s\", \"%s\", %zu)", show(path), show(name), n);
	for (int side = 0; side < SIDES; side++) {
		full_path(full, side, path);
		errno = 0;
		outcome[side].value = lgetxattr(full, name, buffers[side], n);
		outcome[side].error = outcome[side].value < 0 ? errno : 0;
	}
	same_outcome();
	if (n && outcome[0].value > 0 && memcmp(buffers[0], buffers[1], (size_t)outcome[0].value) != 0)
		differs("the values differ");
}

static void op_removexattr(void)
{
	const char *name = some_attribute();
	char path[PATH_SIZE], full[FULL_SIZE];

	if (!has_xattr)
		return;
	any_path(path, 0);
	describe("lremovexattr(\"%s\", \"%s\")", show(path), show(name));
	for (int side = 0; side < SIDES; side++) {
		full_path(full, side, path);
		errno = 0;
		outcome[side].value = lremovexattr(full, name);
		outcome[side].error = outcome[side].value ? errno : 0;
	}
	same_outcome();
	same_attributes(path);
}

static void op_setacl(void)
{
	static const struct {
		uint16_t tag;
		uint32_t id;
	} shape[] = {{1, UINT32_MAX}, {2, 1000}, {4, UINT32_MAX}, {8, 1001}, {16, UINT32_MAX}, {32, UINT32_MAX}};
	uint8_t acl[4 + 6 * 8] = {2};
	const char *name = chance(60) ? "system.posix_acl_access" : "system.posix_acl_default";
	char path[PATH_SIZE], full[FULL_SIZE];
	bool minimal = chance(30), drop = chance(15);
	size_t n = 4;

	if (!has_acl)
		return;
	any_path(path, chance(60) ? S_IFDIR : S_IFREG);
	for (int i = 0; i < 6; i++) {
		uint16_t permissions = (uint16_t)(chance(70) ? 7 : below(8));

		if (minimal && (i == 1 || i == 3 || i == 4))
			continue;
		if (!is_root && i == 0)
			permissions = 7;
		memcpy(acl + n, &shape[i].tag, 2);
		memcpy(acl + n + 2, &permissions, 2);
		memcpy(acl + n + 4, &shape[i].id, 4);
		n += 8;
	}
	describe("%sxattr(\"%s\", \"%s\", %zu)", drop ? "remove" : "set", show(path), name, n);
	for (int side = 0; side < SIDES; side++) {
		full_path(full, side, path);
		errno = 0;
		outcome[side].value = drop ? removexattr(full, name) : setxattr(full, name, acl, n, 0);
		outcome[side].error = outcome[side].value ? errno : 0;
	}
	same_outcome();
	same_lstat(path, NULL);
	same_attributes(path);
}

static void op_fallocate(void)
{
	static const int modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
	unsigned which = (unsigned)below(5);
	struct slot *s = any_slot(false);
	uint64_t offset = clamp_offset(some_offset());
	uint64_t n = chance(95) ? 1 + some_length() : 1 + below(2 << 20);

	if (!s || !(falloc_modes & 1 << which))
		return;
	if (which == 2 && chance(20))
		n = 1 + below((uint64_t)1 << 41);
	if (chance(3))
		n = 0;
	describe("fallocate(\"%s\", %d, %llu, %llu)", show(s->path), modes[which], (unsigned long long)offset,
		 (unsigned long long)n);
	BOTH(fallocate(s->fd[side], modes[which], (off_t)offset, (off_t)n));
	same_outcome();
	if (both_ok())
		set_times_anew_of(s);
	same_fstat(s, NULL);
	if ((s->flags & O_ACCMODE) != O_WRONLY && !(s->flags & O_DIRECT))
		same_range(s->path, s->fd, offset > 5000 ? offset - 5000 : 0, offset + (n < 50000 ? n : 50000) + 5000);
}

static void op_seek(void)
{
	struct slot *s = any_slot(false);
	uint64_t from = clamp_offset(some_offset()), to;
	struct stat st;
	int whence = chance(60) ? SEEK_DATA : SEEK_HOLE;

	if (!s || fstat(s->fd[REFERENCE], &st) || (s->flags & O_ACCMODE) == O_WRONLY || s->flags & O_DIRECT)
		return;
	if (chance(60) && st.st_size)
		from = below((uint64_t)st.st_size + 2);
	describe("lseek(\"%s\", %llu, %s)", show(s->path), (unsigned long long)from,
		 whence == SEEK_DATA ? "SEEK_DATA" : "SEEK_HOLE");
	sync_before_seek(s->fd[SUBJECT]);
	BOTH(lseek(s->fd[side], (off_t)from, whence));
	if (outcome[SUBJECT].value < 0 && outcome[SUBJECT].error != ENXIO)
		differs("an error that it never gives");
	if (from >= (uint64_t)st.st_size) {
		same_outcome();
		return;
	}
	to = outcome[SUBJECT].value < 0 ? (uint64_t)st.st_size : (uint64_t)outcome[SUBJECT].value;
	if (to < from || to > (uint64_t)st.st_size)
		differs("the answer is outside of the file");
	if (whence == SEEK_HOLE && outcome[SUBJECT].value < 0)
		differs("no hole at the end of the file");
	if (whence == SEEK_DATA && !reference_is_zero(s->fd[REFERENCE], from, to))
		differs("data called a hole");
}

static void op_copy_range(void)
{
	struct slot *from = any_slot(false), *to = any_slot(false);
	uint64_t in = clamp_offset(some_offset()), out = clamp_offset(some_offset());
	size_t n = some_length();

	if (!from || !to || (from->flags | to->flags) & O_DIRECT)
		return;
	describe("copy_file_range(\"%s\", %llu, \"%s\", %llu, %zu)", show(from->path), (unsigned long long)in,
		 show(to->path), (unsigned long long)out, n);
	for (int side = 0; side < SIDES; side++) {
		off_t a = (off_t)in, b = (off_t)out;
		size_t left = n;
		ssize_t done;

		errno = 0;
		do {
			done = copy_file_range(from->fd[side], &a, to->fd[side], &b, left, 0);
			left -= done > 0 ? (size_t)done : 0;
		} while (done > 0 && left);
		outcome[side].value = done < 0 ? -1 : (long)(n - left);
		outcome[side].error = done < 0 ? errno : 0;
	}
	same_outcome();
	same_fstat(to, NULL);
	if ((to->flags & O_ACCMODE) == O_RDWR)
		same_range(to->path, to->fd, out, out + n);
}

static void op_fsync(void)
{
	struct slot *s = any_slot(chance(20));

	if (!s)
		return;
	describe("%s(\"%s\")", s->directory ? "fsync" : "fdatasync", show(s->path));
	BOTH(s->directory ? fsync(s->fd[side]) : fdatasync(s->fd[side]));
	same_outcome();
}

static void op_advise(void)
{
	struct slot *s = any_slot(false);

	if (!s)
		return;
	describe("posix_fadvise(\"%s\", DONTNEED)", show(s->path));
	BOTH(posix_fadvise(s->fd[side], 0, 0, POSIX_FADV_DONTNEED));
	same_fstat(s, NULL);
}

static void op_stat(void)
{
	struct slot *s = chance(30) ? any_slot(chance(30)) : NULL;
	char path[PATH_SIZE];

	if (s) {
		describe("fstat(\"%s\")", show(s->path));
		same_fstat(s, NULL);
		return;
	}
	any_path(path, 0);
	describe("lstat(\"%s\")", show(path));
	same_lstat(path, NULL);
}

static void op_inspect(void)
{
	char path[PATH_SIZE];
	struct stat st;

	any_path(path, 0);
	describe("inspect(\"%s\")", show(path));
	if (!same_lstat(path, &st))
		return;
	if (S_ISREG(st.st_mode))
		same_file(path, (uint64_t)st.st_size);
	else if (S_ISLNK(st.st_mode))
		same_link(path);
	if (has_xattr)
		same_attributes(path);
}

static void op_list(void)
{
	struct slot *s = chance(40) ? any_slot(true) : NULL;
	char path[PATH_SIZE];
	struct entry *list;
	int fd[SIDES];
	size_t n;

	if (s) {
		describe("list(open \"%s\")", show(s->path));
		BOTH(fd[side] = dup(s->fd[side]));
	} else {
		any_path(path, S_IFDIR);
		describe("list(\"%s\")", show(path));
		BOTH(fd[side] = openat(top[side], path, O_RDONLY | O_DIRECTORY));
	}
	if (!same_success())
		return;
	list = same_listing("it", fd, &n);
	free_list(list, n);
}

static void op_umask(void)
{
	static const mode_t masks[] = {022, 0, 077, 027, 0222, 022};

	current_umask = masks[below(6)];
	if (!is_root)
		current_umask &= ~0700u;
	describe("umask(0%o)", current_umask);
	umask(current_umask);
}

static void op_access(void)
{
	char path[PATH_SIZE];
	int mode = (int)below(8);

	any_path(path, 0);
	describe("faccessat(\"%s\", %d)", show(path), mode);
	BOTH(faccessat(top[side], path, mode, 0));
	same_outcome();
}

static const struct operation {
	void (*run)(void);
	unsigned weight, weight_crowded;
} operations[] = {
	{op_open, 120, 80},      {op_close, 70, 70},       {op_read, 80, 80},      {op_write, 140, 120},
	{op_write_beyond, 3, 3}, {op_truncate, 40, 40},    {op_ftruncate, 45, 45}, {op_mmap, 50, 50},
	{op_rename, 80, 80},     {op_link, 35, 10},        {op_symlink, 35, 10},   {op_readlink, 25, 25},
	{op_unlink, 50, 150},    {op_rmdir, 25, 80},       {op_mkdir, 40, 10},     {op_mknod, 15, 5},
	{op_chmod, 25, 25},      {op_chown, 8, 8},         {op_utimens, 25, 25},   {op_setxattr, 35, 35},
	{op_getxattr, 15, 15},   {op_removexattr, 15, 15}, {op_setacl, 8, 8},      {op_fallocate, 45, 45},
	{op_seek, 40, 40},       {op_copy_range, 30, 30},  {op_fsync, 4, 4},       {op_advise, 8, 8},
	{op_stat, 50, 50},       {op_inspect, 25, 25},     {op_list, 25, 25},      {op_umask, 6, 6},
	{op_access, 10, 10},
};

static void one_operation(void)
{
	bool crowded = n_objects > CROWDED;
	unsigned total = 0, pick;
	const struct operation *o;

	for (o = operations; o < operations + sizeof(operations) / sizeof(*operations); o++)
		total += crowded ? o->weight_crowded : o->weight;
	pick = (unsigned)below(total);
	for (o = operations; pick >= (crowded ? o->weight_crowded : o->weight); o++)
		pick -= crowded ? o->weight_crowded : o->weight;
	o->run();
}

/* A run */

static int quiet_system(const char *command)
{
	int status;

	fflush(stdout);
	status = system(command); /* NOLINT(cert-env33-c): it is the caller's command */
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void remove_work(void)
{
	for (int side = 0; side < SIDES; side++) {
		pid_t pid = fork();

		if (!pid) {
			execlp("rm", "rm", "-rf", "--", base[side], (char *)NULL);
			_exit(127);
		}
		waitpid(pid, NULL, 0);
	}
}

static void open_tops(void)
{
	for (int side = 0; side < SIDES; side++) {
		top[side] = open(base[side], O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (top[side] < 0)
			die(base[side]);
	}
}

/* Makes the kernel drop unused names and inodes, which it otherwise keeps: the mount is told to forget, and asked again. */
static void forget(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	describe("drop caches");
	if (fd < 0)
		return;
	if (write(fd, "2", 1) != 1)
		die("drop_caches");
	close(fd);
}

static void remount(void)
{
	describe("remount");
	for (int i = 0; i < SLOTS; i++)
		if (slots[i].open)
			close_slot(&slots[i]);
	for (int side = 0; side < SIDES; side++)
		close(top[side]);
	if (quiet_system(conf.remount))
		differs("the remount command failed");
	open_tops();
	same_tree();
}

static void make_pools(void)
{
	static const char *const plain[] = {
		"a",   "b",   "c",        "d",           "e",      "f",      "g",
		"h",   "i",   "j",        ".coffer-dir", "file.n", "~tilde", ".coffer-new-1",
		"x y", "...", "\xff\xfe", "\xc3\xa9"};
	static const unsigned lengths[] = {15, 16, 17, 143, 160, 161, 176, 191, 192, 239, 240, 255};
	static const unsigned attribute_lengths[] = {1, 2, 10, 60, 150, 171, 172, 200, 250, 251};

	rng = mix(conf.seed);
	for (unsigned i = 0; i < NAMES; i++)
		if (i < 18)
			strcpy(name_pool[i], plain[i]);
		else
			random_name(name_pool[i], lengths[i - 18]);
	for (unsigned i = 0; i < ATTRIBUTES; i++) {
		strcpy(attribute_pool[i], i == 3 && is_root ? "trusted." : "user.");
		random_name(attribute_pool[i] + strlen(attribute_pool[i]), attribute_lengths[i]);
	}
}

/* What the reference can do decides what is asked of both. */
static void probe(void)
{
	static const int modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
	static const uint8_t acl[] = {2, 0, 0,   0,   1,   0,   7,  0, 255, 255, 255, 255, 4,   0,
				      5, 0, 255, 255, 255, 255, 32, 0, 5,   0,   255, 255, 255, 255};
	static char target[4096];
	struct statfs fs;
	char full[FULL_SIZE];
	int fd, direct;

	is_root = geteuid() == 0;
	memset(target, 'x', sizeof(target) - 1);
	if (symlinkat(target, top[REFERENCE], "probe"))
		longest_link = 1023;
	unlinkat(top[REFERENCE], "probe", 0);
	fd = openat(top[REFERENCE], "probe", O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		die("probe");
	for (int i = 0; i < 5; i++)
		if (!fallocate(fd, modes[i], 0, 10000))
			falloc_modes |= 1 << i;
	full_path(full, REFERENCE, "probe");
	has_xattr = !setxattr(full, "user.probe", "", 0, 0);
	has_acl = !setxattr(full, "system.posix_acl_access", acl, sizeof(acl), 0);
	direct = openat(top[REFERENCE], "probe", O_RDWR | O_DIRECT);
	has_direct = direct >= 0;
	close(direct);
	is_ext4 = !fstatfs(fd, &fs) && fs.f_type == EXT4_KIND;
	is_tmpfs = !fstatfs(fd, &fs) && fs.f_type == TMPFS_KIND;
	is_xfs = !fstatfs(fd, &fs) && fs.f_type == XFS_KIND;
	close(fd);
	unlinkat(top[REFERENCE], "probe", 0);
}

static void start(void)
{
	remove_work();
	umask(0);
	for (int side = 0; side < SIDES; side++)
		if (mkdir(base[side], 0755))
			die(base[side]);
	umask(022);
	open_tops();
	time(&started);
	probe();
	make_pools();
}

static int run(void)
{
	unsigned long scanned = ULONG_MAX;

	start();
	for (op_number = 0; op_number < conf.ops; op_number++) {
		if (mask && mask[op_number])
			continue;
		rng = mix(conf.seed) ^ mix(op_number * 2 + 1);
		if (op_number / RESCAN != scanned) {
			rescan();
			scanned = op_number / RESCAN;
		}
		op_text[0] = 0;
		memset(outcome, 0, sizeof(outcome));
		one_operation();
		if (conf.forget_every && op_number % conf.forget_every == conf.forget_every - 1)
			forget();
		if (conf.compare_every && op_number % conf.compare_every == conf.compare_every - 1)
			same_tree();
		if (conf.remount && conf.remount_every && op_number % conf.remount_every == conf.remount_every - 1)
			remount();
	}
	describe("comparison at the end");
	same_tree();
	for (int i = 0; i < SLOTS; i++)
		if (slots[i].open)
			close_slot(&slots[i]);
	same_tree();
	umask(022);
	for (int side = 0; side < SIDES; side++)
		close(top[side]);
	if (!conf.keep)
		remove_work();
	return 0;
}

/* Runs in a child, so that a difference ends only that. */
static int run_child(void)
{
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid)
		_exit(run());
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

/* Leaves out ever smaller pieces as long as a difference remains. */
static int minimize(void)
{
	uint8_t *kept;
	unsigned long left = 0;

	mask = calloc(conf.ops, 1);
	kept = calloc(conf.ops, 1);
	if (!mask || !kept)
		die("calloc");
	quiet = true;
	if (run_child() != 1) {
		fprintf(stderr, "differ: no difference to minimize\n");
		return 0;
	}
	for (unsigned long piece = conf.ops / 2; piece; piece /= 2) {
		for (unsigned long at = 0; at < conf.ops; at += piece) {
			unsigned long end = at + piece < conf.ops ? at + piece : conf.ops;

			memcpy(kept, mask, conf.ops);
			memset(mask + at, 1, end - at);
			if (memcmp(kept, mask, conf.ops) != 0 && run_child() != 1)
				memcpy(mask, kept, conf.ops);
		}
		left = 0;
		for (unsigned long i = 0; i < conf.ops; i++)
			left += !mask[i];
		printf("minimizing: %lu operations left\n", left);
		fflush(stdout);
	}
	free(kept);
	quiet = false;
	conf.trace = true;
	return run_child();
}

/* Each line: seed, operations, and a comment. */
static int replay(const char *file)
{
	FILE *f = fopen(file, "re");
	char line[1024];
	int worst = 0;

	if (!f)
		die(file);
	while (fgets(line, sizeof(line), f)) {
		unsigned long long seed;
		unsigned long ops;
		int status;

		if (sscanf(line, "%llu %lu", &seed, &ops) != 2)
			continue;
		conf.seed = seed;
		conf.ops = ops;
		status = run_child();
		printf("seed %llu, %lu operations: %s\n", seed, ops, status ? "DIFFERENT" : "equal");
		if (status > worst)
			worst = status;
	}
	fclose(f);
	return worst;
}

static void usage(void)
{
	fprintf(stderr,
		"usage: differ [OPTIONS] SUBJECT REFERENCE\n"
		"  --seed S            the seed of the first run (1)\n"
		"  --seeds N           so many runs, of seeds S, S + 1, ... (1)\n"
		"  --ops N             operations of a run (2000)\n"
		"  --compare-every N   compare whole trees after so many operations (250; 0: only at the end)\n"
		"  --remount COMMAND   run it now and then with every file closed\n"
		"  --remount-every N   after so many operations (500)\n"
		"  --forget-every N    make the kernel drop unused inodes after so many operations (root; 0: never)\n"
		"  --replay FILE       runs each line of the file: SEED OPS\n"
		"  --minimize          find the operations that a difference needs\n"
		"  --no-huge           no sparse files beyond 20 MB\n"
		"  --writeback         the subject is mounted with the write-back cache\n"
		"  --unprivileged      the mount process has no privilege\n"
		"  --trace             print each operation\n"
		"  --keep              leave the trees behind\n");
	exit(2);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"seed", 1, NULL, 's'},          {"seeds", 1, NULL, 'n'},     {"ops", 1, NULL, 'o'},
		{"compare-every", 1, NULL, 'c'}, {"remount", 1, NULL, 'r'},   {"remount-every", 1, NULL, 'e'},
		{"forget-every", 1, NULL, 'f'},  {"replay", 1, NULL, 'p'},    {"minimize", 0, NULL, 'm'},
		{"no-huge", 0, NULL, 'h'},       {"writeback", 0, NULL, 'w'}, {"unprivileged", 0, NULL, 'u'},
		{"trace", 0, NULL, 't'},         {"keep", 0, NULL, 'k'},      {NULL, 0, NULL, 0}};
	const char *replay_file = NULL;
	unsigned long seeds = 1;
	int c;

	conf.remount_every = 500;
	conf.program = argv[0];
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			conf.seed = strtoull(optarg, NULL, 10);
			break;
		case 'n':
			seeds = strtoul(optarg, NULL, 10);
			break;
		case 'o':
			conf.ops = strtoul(optarg, NULL, 10);
			break;
		case 'c':
			conf.compare_every = strtoul(optarg, NULL, 10);
			break;
		case 'r':
			conf.remount = optarg;
			break;
		case 'e':
			conf.remount_every = strtoul(optarg, NULL, 10);
			break;
		case 'f':
			conf.forget_every = strtoul(optarg, NULL, 10);
			break;
		case 'p':
			replay_file = optarg;
			break;
		case 'm':
			conf.minimize = true;
			break;
		case 'h':
			conf.huge = false;
			break;
		case 'w':
			conf.writeback = true;
			break;
		case 'u':
			conf.unprivileged = true;
			break;
		case 't':
			conf.trace = true;
			break;
		case 'k':
			conf.keep = true;
			break;
		default:
			usage();
		}
	}
	if (argc - optind != 2 || !conf.ops)
		usage();
	for (int side = 0; side < SIDES; side++) {
		conf.root[side] = argv[optind + side];
		if (snprintf(base[side], sizeof(base[side]), "%s/differ", conf.root[side]) >= (int)sizeof(base[side]))
			usage();
		if (posix_memalign((void **)&buffers[side], 4096, BUFFER + 4096))
			die("memory");
	}
	if (posix_memalign((void **)&payload, 4096, BUFFER + 4096))
		die("memory");
	signal(SIGBUS, on_fault);
	signal(SIGXFSZ, SIG_IGN);
	if (conf.minimize)
		return minimize();
	if (replay_file)
		return replay(replay_file);
	for (unsigned long i = 0; i < seeds; i++, conf.seed++) {
		int status = run_child();

		if (status)
			return status;
	}
	return 0;
}
