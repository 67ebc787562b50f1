#include "fs/caller.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>

enum { GROUPS_MAX = 1024 };

/* The supplementary groups of a process, from its "Groups:" line.  Returns how many; 0 if they cannot be told. */
static size_t read_groups(pid_t pid, gid_t groups[GROUPS_MAX])
{
	char path[64], line[GROUPS_MAX * 11 + 16];
	size_t n = 0;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);

	FILE *f = fopen(path, "re");

	if (!f)
		return 0;
	while (fgets(line, sizeof line, f)) {
		if (strncmp(line, "Groups:", 7) != 0)
			continue;

		char *at = line + 7, *end;

		for (;; at = end) {
			unsigned long g = strtoul(at, &end, 10);

			if (end == at || n == GROUPS_MAX)
				break;
			groups[n++] = (gid_t)g;
		}
		break;
	}
	fclose(f);
	return n;
}

bool caller_in_group(const struct caller *c, gid_t group)
{
	gid_t groups[GROUPS_MAX];
	size_t n = read_groups(c->pid, groups);

	if (c->gid == group)
		return true;
	for (size_t i = 0; i < n; i++)
		if (groups[i] == group)
			return true;
	return false;
}

/* glibc's wrappers would change all threads; the system calls change this one. */
static long set_groups(size_t n, const gid_t *groups)
{
	return syscall(SYS_setgroups, n, groups);
}

static int run_as(const struct caller *c, const gid_t *groups, size_t count, caller_op *op, void *data)
{
	gid_t own[GROUPS_MAX];
	int own_count = groups ? getgroups(GROUPS_MAX, own) : 0;

	if (groups && set_groups(count, groups) < 0)
		return -EPERM;
	syscall(SYS_setfsgid, c->gid);
	syscall(SYS_setfsuid, c->uid);

	int r = op(data);

	syscall(SYS_setfsuid, geteuid());
	syscall(SYS_setfsgid, getegid());
	if (groups && own_count >= 0 && set_groups((size_t)own_count, own) < 0)
		return -EPERM;
	return r;
}

int caller_run(const struct engine_options *o, const struct caller *c, caller_op *op, void *data)
{
	gid_t groups[GROUPS_MAX];

	umask(c->umask);
	if (!o->act_as_caller || (c->uid == geteuid() && c->gid == getegid()))
		return op(data);

	int r = run_as(c, NULL, 0, op, data);

	if (r != -EACCES && r != -EPERM)
		return r;

	size_t count = read_groups(c->pid, groups);

	return count ? run_as(c, groups, count, op, data) : r;
}
