#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/path_tool.h"
#include "util/cli/mounts.h"
#include "util/cli/options.h"

/* Behind `prefix` and its slash, if path lies there; else NULL. */
static const char *below(const char *path, const char *prefix)
{
	size_t n = strlen(prefix);

	if (strncmp(path, prefix, n) != 0 || (path[n] && path[n] != '/'))
		return NULL;
	return path + n;
}

/* Without leading and doubled slashes and "." components.  -EINVAL for "..": what it means depends on symbolic links. */
static int clean_path(const char *path, char **out)
{
	size_t used = 0;

	*out = malloc(strlen(path) + 1);
	if (!*out)
		return -ENOMEM;
	while (*(path += strspn(path, "/"))) {
		size_t n = strcspn(path, "/");

		if (n == 2 && strncmp(path, "..", 2) == 0)
			return -EINVAL;
		if (n != 1 || *path != '.') {
			if (used)
				(*out)[used++] = '/';
			memcpy(*out + used, path, n);
			used += n;
		}
		path += n;
	}
	(*out)[used] = '\0';
	return 0;
}

/* What the user typed may begin with the mount point, or below with the volume and "data". */
static const char *strip(const char *path, const char *dir, const char *point, bool decrypt)
{
	const char *rest;

	if (!decrypt) {
		rest = point && path[0] == '/' ? below(path, point) : NULL;
		return rest ? rest : path;
	}
	rest = path[0] == '/' ? below(path, dir) : NULL;
	if (rest)
		path = rest + strspn(rest, "/");
	/* No encrypted name is as short as this. */
	rest = below(path, "data");
	return rest ? rest : path;
}

static int find_volume(const char *word, char **dir, char **point, struct fault *why)
{
	_cleanup_mounts_ struct mounts mounts = {0};

	int r = path_absolute(word, dir, why);
	if (r == 0)
		r = mounts_read(&mounts, why);
	if (r < 0)
		return r;
	const struct mount_entry *m = mounts_at(&mounts, *dir);
	if (!m)
		return 0;
	*point = *dir;
	*dir = strdup(m->source);
	return *dir ? 0 : fault_errno(why, EXIT_FAILED, -ENOMEM, "%s", word);
}

int cmd_path(const struct verb *v, int argc, char **argv, struct fault *why)
{
	struct unlock_source unlock = UNLOCK_SOURCE_NONE;
	_cleanup_free_ char *dir = NULL, *point = NULL, *path = NULL, *found = NULL;
	bool decrypt = false;
	const struct option_spec specs[] = {OPTIONS_UNLOCK(&unlock), {OPTION_FLAG, 'd', 0, "decrypt", &decrypt}, {0}};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 2, 2, &words, why);
	if (r)
		return r;
	r = find_volume(words.at[0], &dir, &point, why);
	if (r < 0)
		return r;
	r = clean_path(strip(words.at[1], dir, point, decrypt), &path);
	if (r < 0)
		return fault_errno(why, EXIT_USAGE, r, "path: %s: give it without \"..\"", words.at[1]);
	r = secrets_start(why);
	if (r == 0)
		r = volume_path(dir, &unlock, path, decrypt, &found, why);
	if (r != 0)
		return r;
	const char *prefix = decrypt ? (point ? point : "") : dir;
	printf("%s%s%s%s\n", prefix, decrypt ? (point ? "/" : "") : "/data", !decrypt && *found ? "/" : "", found);
	return 0;
}
