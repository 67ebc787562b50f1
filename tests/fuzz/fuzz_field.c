/* The scanners of the field tool: whatever the text, it is refused with a word, or survives encryption byte for byte.
 * The first byte chooses format and options. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "tests/field/fixture.h"

static const struct {
	const char *format;
	struct scan_options options;
} ways[] = {
	{"json", {0}},
	{"json", {.lenient = true}},
	{"jsonl", {0}},
	{"yaml", {0}},
	{"toml", {0}},
	{"xml", {0}},
	{"csv", {0}},
	{"csv", {.no_header = true}},
	{"ini", {0}},
	{"ini", {.dialect = "git"}},
	{"ini", {.dialect = "systemd"}},
	{"ini", {.dialect = "php"}},
	{"env", {0}},
	{"properties", {0}},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fault why = {0};
	const char *wrong;
	bool refused;
	size_t way;

	if (!fixture_box)
		fixture_start();
	if (size < 1 || size > 64 << 10)
		return 0;
	way = data[0] % (sizeof(ways) / sizeof(ways[0]));
	/* A copy of the exact size, so that a read behind it is seen. */
	char *text = malloc(size);
	if (!text)
		return 0;
	memcpy(text, data + 1, size - 1);
	text = realloc(text, size - 1 ? size - 1 : 1);
	wrong = round_trip(format_by_name(ways[way].format), &ways[way].options, text, size - 1, &refused, &why);
	free(text);
	if (!wrong && refused && !*why.text)
		wrong = "refused without a word";
	/* A text that would be read differently once encrypted is refused, which is safe. */
	if (wrong && !strstr(why.text, "read differently")) {
		fprintf(stderr, "%s: %s: %s\n", ways[way].format, wrong, why.text);
		abort();
	}
	return 0;
}
