/* mount.coffer and mount.fuse.coffer: what mount(8) runs for types coffer and fuse.coffer.
 *
 *   mount.coffer SOURCE POINT [-sfnvrw] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]
 *
 * mount(8) passes the exit status on, so it is one of mount(8)'s. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "fs/mount.h"
#include "util/cli/cli.h"
#include "util/cli/mount_fields.h"

enum { MOUNT_USAGE = 1, MOUNT_FAIL = 32 };

struct request {
	char *options;
	const char *source, *point, *namespace;
	bool fake, read_only;
};

static int parse(int argc, char **argv, struct request *q, struct fault *why)
{
	int c;

	opterr = 0;
	while ((c = getopt(argc, argv, ":sfnvrwN:o:t:")) != -1) {
		switch (c) {
		case 'f':
			q->fake = true;
			break;
		case 'r':
			q->read_only = true;
			break;
		case 'w':
			q->read_only = false;
			break;
		case 'N':
			q->namespace = optarg;
			break;
		case 'o':
			q->options = optarg;
			break;
		case 's': /* sloppy, no mtab, verbose, type: nothing to do */
		case 'n':
		case 'v':
		case 't':
			break;
		default:
			return fault_set(why, EXIT_USAGE, EINVAL, "%s: no option -%c", basename(argv[0]), optopt);
		}
	}
	if (argc - optind != 2)
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "usage: %s DIR MNT [-sfnvrw] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]",
				 basename(argv[0]));
	q->source = argv[optind];
	q->point = argv[optind + 1];
	return 0;
}

/* NAMESPACE is the number of a process, or a file that is a mount namespace. */
static int enter(const char *namespace, struct fault *why)
{
	char path[64];

	if (namespace[strspn(namespace, "0123456789")] == '\0') {
		snprintf(path, sizeof path, "/proc/%.20s/ns/mnt", namespace);
		namespace = path;
	}
	_cleanup_close_ int fd = open(namespace, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNS) < 0)
		return fault_errno(why, EXIT_FAILED, -errno, "cannot enter the mount namespace %s", namespace);
	return 0;
}

static int serve(const struct request *q, struct fault *why)
{
	struct mount_options o = {.unlock = UNLOCK_SOURCE_NONE};
	_cleanup_free_ char *volume = NULL, *point = NULL;
	int r = 0;

	if (q->options)
		r = mount_options_parse(q->options, &o, why);
	if (r == 0 && q->namespace)
		r = enter(q->namespace, why);
	if (r == 0)
		r = path_absolute(q->source, &volume, why);
	if (r == 0)
		r = path_absolute(q->point, &point, why);
	if (r < 0 || q->fake)
		return r;
	o.read_only |= q->read_only;
	o.volume = volume;
	o.mount_point = point;
	r = mount_fields_add(&o, why);
	return r < 0 ? r : mount_run(&o, why);
}

int helper_mount(int argc, char **argv)
{
	struct request q = {0};
	struct fault why = {.status = EXIT_OK};

	int r = parse(argc, argv, &q, &why);
	if (r == 0)
		r = serve(&q, &why);
	if (r == 0)
		return 0;
	fault_print(&why);
	return why.status == EXIT_USAGE ? MOUNT_USAGE : MOUNT_FAIL;
}
