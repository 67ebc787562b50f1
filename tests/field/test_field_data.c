/* Every text of the public sets: what must parse does and survives encryption byte for byte, what must not is refused.
 *
 * The sets are looked for in $COFFER_TEST_DATA, or ../shared/data beside the source tree; without them the test is skipped. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

enum { TEST_SKIPPED = 77 };
enum wanted { PARSE, REFUSE, EITHER, SKIP };

struct set {
	const char *directory, *format;
	enum wanted (*wanted)(const char *path, const char *name);
	struct scan_options options;
};

static unsigned good, refused_count, bad;

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

#include "expectations.h"

static char *read_file(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	char *text = NULL;

	*n = 0;
	if (!f)
		return NULL;
	if (fseek(f, 0, SEEK_END) == 0) {
		long size = ftell(f);

		rewind(f);
		text = malloc((size_t)size + 1);
		if (text)
			*n = fread(text, 1, (size_t)size, f);
	}
	fclose(f);
	return text;
}

static void judge(const struct set *set, const char *path, enum wanted wanted)
{
	struct fault why = {0};
	const char *wrong;
	bool refused;
	size_t n;
	char *text = read_file(path, &n);

	if (!text) {
		printf("%s: cannot be read\n", path);
		bad++;
		return;
	}
	wrong = round_trip(format_by_name(set->format), &set->options, text, n, &refused, &why);
	free(text);
	if (!wrong && refused && !*why.text)
		wrong = "refused without a word";
	if (!wrong && refused && wanted == PARSE)
		wrong = "refused";
	if (!wrong && !refused && wanted == REFUSE)
		wrong = "not refused";
	if (wrong) {
		printf("%s: %s (%s)\n", path, wrong, why.text);
		bad++;
	} else if (refused) {
		refused_count++;
	} else {
		good++;
	}
}

static void walk(const struct set *set, const char *directory)
{
	struct dirent **list;
	int n = scandir(directory, &list, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		char path[4096];
		struct stat st;

		snprintf(path, sizeof(path), "%s/%s", directory, list[i]->d_name);
		if (list[i]->d_name[0] != '.' && stat(path, &st) == 0) {
			enum wanted wanted = S_ISDIR(st.st_mode) ? SKIP : set->wanted(path, list[i]->d_name);

			if (S_ISDIR(st.st_mode))
				walk(set, path);
			else if (wanted != SKIP)
				judge(set, path, wanted);
		}
		free(list[i]);
	}
	if (n >= 0)
		free(list);
}

int main(int argc, char **argv)
{
	const char *data = getenv("COFFER_TEST_DATA");
	char top[2048], path[4096];

	snprintf(top, sizeof(top), "%s", data && *data ? data : SOURCE_ROOT "/../shared/data");
	snprintf(path, sizeof(path), "%s/json", top);
	if (access(path, R_OK) < 0) {
		printf("no %s: skipped\n", path);
		return TEST_SKIPPED;
	}
	fixture_start();
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		unsigned before[] = {good, refused_count, bad};

		if (argc > 1 && strcmp(argv[1], sets[i].format) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", top, sets[i].directory);
		walk(&sets[i], path);
		printf("%s as %s: %u survive, %u refused, %u wrong\n", sets[i].directory, sets[i].format,
		       good - before[0], refused_count - before[1], bad - before[2]);
		if (good == before[0] && argc < 2)
			bad++; /* a set that is not there */
	}
	fixture_end();
	return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
