#include "util/cli/mounts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

/* Takes the octal escapes of mountinfo (\040 for a blank) out of `s`, in place. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; to++) {
		unsigned c;

		if (s[0] == '\\' && sscanf(s + 1, "%3o", &c) == 1 && strspn(s + 1, "01234567") >= 3) {
			*to = (char)c;
			s += 4;
		} else {
			*to = *s++;
		}
	}
	*to = '\0';
}

static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; p; p = strchr(p, ','), p = p ? p + 1 : NULL)
		if (strncmp(p, word, n) == 0 && (!p[n] || p[n] == ','))
			return true;
	return false;
}

/* ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAG]... - TYPE SOURCE SUPER-OPTIONS.  False: not one of coffer's. */
static bool parse_line(char *line, struct mount_entry *out)
{
	char *rest = strstr(line, " - ");
	char *save, *field[6];

	if (!rest)
		return false;
	*rest = '\0';
	char *type = strtok_r(rest + 3, " \n", &save);
	char *source = strtok_r(NULL, " \n", &save);
	if (!type || !source || (strcmp(type, "fuse.coffer") != 0 && strcmp(type, "fuseblk.coffer") != 0))
		return false;
	field[0] = strtok_r(line, " ", &save);
	for (int i = 1; i < 6; i++)
		field[i] = strtok_r(NULL, " ", &save);
	if (!field[4] || !field[5])
		return false;
	unescape(field[4]);
	unescape(source);
	*out = (struct mount_entry){strdup(field[4]), strdup(source), has_word(field[5], "ro")};
	return true;
}

int mounts_read(struct mounts *out, struct fault *why)
{
	_cleanup_free_ char *line = NULL;
	size_t room = 0;
	int r = 0;

	*out = (struct mounts){0};
	FILE *f = fopen("/proc/self/mountinfo", "re");
	if (!f)
		return fault_errno(why, EXIT_FAILED, -errno, "cannot read /proc/self/mountinfo");
	while (r == 0 && getline(&line, &room, f) >= 0) {
		struct mount_entry e;

		if (!parse_line(line, &e))
			continue;
		struct mount_entry *list = reallocarray(out->list, out->count + 1, sizeof *list);
		if (list)
			out->list = list;
		if (!list || !e.point || !e.source) {
			free(e.point);
			free(e.source);
			r = fault_errno(why, EXIT_FAILED, -ENOMEM, "reading /proc/self/mountinfo");
			break;
		}
		out->list[out->count++] = e;
	}
	fclose(f);
	if (r < 0)
		mounts_free(out);
	return r;
}

void mounts_free(struct mounts *m)
{
	for (size_t i = 0; i < m->count; i++) {
		free(m->list[i].point);
		free(m->list[i].source);
	}
	free(m->list);
	*m = (struct mounts){0};
}

const struct mount_entry *mounts_at(const struct mounts *m, const char *path)
{
	/* Of several on one point the last is on top. */
	for (size_t i = m->count; i > 0; i--)
		if (strcmp(m->list[i - 1].point, path) == 0)
			return &m->list[i - 1];
	return NULL;
}

const struct mount_entry *mounts_of(const struct mounts *m, const char *dir, const struct mount_entry *after)
{
	for (size_t i = after ? (size_t)(after - m->list) + 1 : 0; i < m->count; i++)
		if (strcmp(m->list[i].source, dir) == 0)
			return &m->list[i];
	return NULL;
}

bool mount_is_dead(const char *point)
{
	struct statvfs st;

	/* Attributes may be cached for ever; statfs always asks the server. */
	return statvfs(point, &st) < 0 && (errno == ENOTCONN || errno == ECONNABORTED || errno == ECANCELED);
}
