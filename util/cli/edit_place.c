#include "util/cli/edit_place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "util/base/log.h"
#include "util/base/whole_write.h"

enum { PATH_ROOM = 512, LINE_ROOM = 512 };

static char place[PATH_ROOM], clear_file[2 * PATH_ROOM];
static bool mounted;

/* Also what an editor left beside the file.  Called in a signal handler: system calls only. */
static void empty_directory(void)
{
	_Alignas(struct dirent64) char entries[4096];
	ssize_t n;
	int fd = open(place, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return;
	/* NOLINTNEXTLINE(bugprone-signal-handler,cert-sig30-c): a system call and no more */
	while ((n = getdents64(fd, entries, sizeof(entries))) > 0)
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *e = (const struct dirent64 *)(entries + at);

			if (e->d_type != DT_DIR)
				unlinkat(fd, e->d_name, 0);
			at += e->d_reclen;
		}
	close(fd);
}

void edit_place_remove(void)
{
	if (!*place)
		return;
	empty_directory();
	if (mounted)
		/* NOLINTNEXTLINE(bugprone-signal-handler,cert-sig30-c): so is this */
		umount2(place, MNT_DETACH);
	rmdir(place);
	*place = '\0';
}

static void remove_and_die(int number)
{
	edit_place_remove();
	signal(number, SIG_DFL);
	raise(number);
}

void edit_place_catch(int number)
{
	signal(number, remove_and_die);
}

const char *edit_place_file(void)
{
	return clear_file;
}

static bool on_tmpfs(const char *directory)
{
	struct statfs st;

	return statfs(directory, &st) == 0 && st.f_type == TMPFS_MAGIC;
}

/* Compressed memory is no disk. */
static bool swaps_to_disk(void)
{
	char line[LINE_ROOM];
	bool found = false;
	FILE *f = fopen("/proc/swaps", "re");

	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = *line == '/' && strncmp(line, "/dev/zram", 9) != 0;
	fclose(f);
	return found;
}

/* Only root may have a tmpfs that is not swapped out, and only since Linux 6.4. */
static void keep_from_swap(void)
{
	char options[64];

	snprintf(options, sizeof(options), "noswap,mode=0700,uid=%u,gid=%u", geteuid(), getegid());
	mounted = mount("coffer-edit", place, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) == 0;
	if (!mounted && swaps_to_disk())
		log_warning("what is edited may be swapped out to a disk (see /proc/swaps) while the editor runs");
}

static int make_directory(struct fault *why)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	const char *top = runtime && *runtime == '/' && on_tmpfs(runtime) ? runtime : "/dev/shm";

	if (!on_tmpfs(top))
		return fault_set(
			why, EXIT_FAILED, ENOTSUP,
			"edit: neither $XDG_RUNTIME_DIR nor /dev/shm is a tmpfs; clear text would reach a disk");
	snprintf(place, sizeof(place), "%s/coffer-edit-XXXXXX", top);
	if (mkdtemp(place))
		return 0;
	*place = '\0';
	return fault_errno(why, EXIT_FAILED, -errno, "cannot make a directory in %s", top);
}

int edit_place_make(const char *name, const struct buffer *clear, struct fault *why)
{
	_cleanup_free_ char *copy = strdup(name);
	_cleanup_close_ int fd = -1;
	int ret = copy ? make_directory(why) : fault_errno(why, EXIT_FAILED, -ENOMEM, "edit");

	if (ret < 0)
		return ret;
	edit_place_catch(SIGTERM);
	edit_place_catch(SIGHUP);
	edit_place_catch(SIGINT);
	keep_from_swap();
	snprintf(clear_file, sizeof(clear_file), "%s/%s", place, basename(copy));
	fd = open(clear_file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ret = fd < 0 ? -errno : whole_write(fd, clear->bytes ? clear->bytes : "", clear->size);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot write to %s", place) : 0;
}
