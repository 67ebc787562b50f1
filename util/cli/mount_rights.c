#include "util/cli/mount_rights.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/base/cleanup.h"

enum { FILE_MAX = 64 << 10 };

/* ------------------------------------------------------------------ who asks */

struct peer {
	uid_t uid;
	gid_t gid;
	gid_t *groups;
	size_t count;
};

static void peer_free(struct peer *p)
{
	free(p->groups);
}

static int peer_of(int fd, struct peer *out)
{
	struct ucred own;
	socklen_t n = sizeof own, size = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &own, &n) < 0)
		return -errno;
	out->uid = own.uid;
	out->gid = own.gid;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0)
		return 0;
	out->groups = errno == ERANGE ? malloc(size) : NULL;
	if (!out->groups)
		return -ENOMEM;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, out->groups, &size) < 0)
		return -errno;
	out->count = size / sizeof *out->groups;
	return 0;
}

static bool is_in_group(const struct peer *p, unsigned long group)
{
	bool found = p->gid == group;

	for (size_t i = 0; i < p->count; i++)
		found |= p->groups[i] == group;
	return found;
}

/* ------------------------------------------------------------------ one rule */

static bool take_number(const char *word, unsigned long *out)
{
	char *end;

	errno = 0;
	*out = strtoul(word, &end, 10);
	return word[0] >= '0' && word[0] <= '9' && !*end && !errno && *out < UINT32_MAX;
}

static bool take_rights(char *word, unsigned *out)
{
	static const struct {
		const char *name;
		unsigned right;
	} names[] = {{"seal", RIGHT_SEAL}, {"open", RIGHT_OPEN}, {"mask", RIGHT_MASK}};
	char *rest = word, *name;

	*out = 0;
	while ((name = strsep(&rest, ","))) {
		unsigned right = 0;

		for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
			right |= strcmp(name, names[i].name) == 0 ? names[i].right : 0;
		if (!right)
			return false;
		*out |= right;
	}
	return true;
}

static bool context_matches(const char *word, const char *context)
{
	if (!context || strcmp(word, "*") == 0)
		return true;
	return *context ? strcmp(word, context) == 0 : strcmp(word, "-") == 0;
}

/* Adds what the rule gives.  False: it is none.  peer NULL: only looks. */
static bool read_rule(char *line, const struct peer *peer, const char *context, unsigned *out)
{
	char *rest = NULL, *who, *number, *rights, *word;
	unsigned long id = 0;
	unsigned given = 0;
	bool is_user, is_theirs, matches = false;

	line[strcspn(line, "#\n")] = '\0';
	who = strtok_r(line, " \t\r", &rest);
	if (!who)
		return true;
	number = strtok_r(NULL, " \t\r", &rest);
	rights = number ? strtok_r(NULL, " \t\r", &rest) : NULL;
	word = rights ? strtok_r(NULL, " \t\r", &rest) : NULL;
	is_user = strcmp(who, "uid") == 0;
	if (!word || (!is_user && strcmp(who, "gid") != 0) || !take_number(number, &id) || !take_rights(rights, &given))
		return false;
	for (; word; word = strtok_r(NULL, " \t\r", &rest))
		matches |= context_matches(word, context);
	is_theirs = peer && (is_user ? peer->uid == id : is_in_group(peer, id));
	if (is_theirs && matches)
		*out |= given;
	return true;
}

/* ------------------------------------------------------------------ the file */

static int open_rules(const char *path, FILE **out, struct fault *why)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 || fstat(fd, &st) < 0) {
		int r = -errno;

		if (fd >= 0)
			close(fd);
		return fault_errno(why, EXIT_FAILED, r, "cannot read %s", path);
	}
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX || (st.st_uid != 0 && st.st_uid != geteuid()) ||
	    st.st_mode & 022) {
		close(fd);
		return fault_set(
			why, EXIT_REFUSED, EPERM,
			"%s: rights are read from a file of root's or the mount's user, which nobody else can write",
			path);
	}
	*out = fdopen(fd, "r");
	if (!*out)
		close(fd);
	return *out ? 0 : fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot read %s", path);
}

static int read_rules(const char *path, const struct peer *peer, const char *context, unsigned *out, struct fault *why)
{
	_cleanup_free_ char *line = NULL;
	size_t room = 0;
	FILE *f;
	int number = 0, r = open_rules(path, &f, why);

	*out = 0;
	if (r < 0)
		return r;
	while (r == 0 && getline(&line, &room, f) >= 0) {
		number++;
		if (!read_rule(line, peer, context, out))
			r = fault_set(why, EXIT_USAGE, EINVAL,
				      "%s:%d: a rule is \"uid|gid NUMBER seal,open,mask CONTEXT...\"", path, number);
	}
	if (r == 0 && ferror(f))
		r = fault_errno(why, EXIT_FAILED, -EIO, "cannot read %s", path);
	fclose(f);
	if (r < 0)
		*out = 0;
	return r;
}

int rights_of_peer(const char *path, int fd, const char *context, unsigned *out, struct fault *why)
{
	_cleanup_(peer_free) struct peer peer = {0};
	int r = peer_of(fd, &peer);

	*out = 0;
	return r < 0 ? fault_errno(why, EXIT_FAILED, r, "cannot tell who asks")
		     : read_rules(path, &peer, context, out, why);
}

int rights_check(const char *path, struct fault *why)
{
	unsigned ignored;

	return read_rules(path, NULL, NULL, &ignored, why);
}
