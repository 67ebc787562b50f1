#include "util/field/glob.h"

#include <fnmatch.h>
#include <limits.h>
#include <string.h>

/* The first name of both; the rest of both follows. */
static bool names_match(const char *glob, size_t n, const char *path, size_t m)
{
	char a[NAME_MAX + 1], b[NAME_MAX + 1];

	if (n >= sizeof(a) || m >= sizeof(b))
		return false;
	memcpy(a, glob, n);
	a[n] = '\0';
	memcpy(b, path, m);
	b[m] = '\0';
	return fnmatch(a, b, 0) == 0;
}

static const char *behind(const char *path)
{
	path += strcspn(path, "/");
	return path + strspn(path, "/");
}

static bool matches(const char *glob, const char *path)
{
	while (*glob) {
		size_t n = strcspn(glob, "/"), m = strcspn(path, "/");

		if (n == 2 && memcmp(glob, "**", 2) == 0) {
			const char *rest = behind(glob);

			if (!*rest)
				return *path; /* everything below */
			for (; *path; path = behind(path))
				if (matches(rest, path))
					return true;
			return false;
		}
		if (!*path || !names_match(glob, n, path, m))
			return false;
		glob = behind(glob);
		path = behind(path);
	}
	return !*path;
}

bool glob_matches(const char *glob, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!strchr(glob, '/'))
		return matches(glob, slash ? slash + 1 : path);
	return matches(glob + strspn(glob, "/"), path + strspn(path, "/"));
}
