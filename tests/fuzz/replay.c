/* replay DIR [N]: gives every file of DIR to the fuzz target, and N changed copies of each, the same ones each time.
 *
 * Where clang is, the target is built for libFuzzer too (meson option fuzz); what that finds becomes a file of DIR. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { SIZE_MAX_FILE = 64 << 10 };

static uint64_t state;

/* xorshift64* */
static uint32_t number(uint32_t below)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return below ? (uint32_t)((state * UINT64_C(2685821657736338717)) >> 32) % below : 0;
}

/* Bytes that mean something to some format. */
static const char signs[] = "\n\r\t \"'`\\#;:=,[]{}()<>&!?*|-+%@/.~01ax\0\xef\xbb\xbf\xc3\x80";

static size_t change(uint8_t *p, size_t n)
{
	for (uint32_t times = 1 + number(4); times > 0; times--) {
		size_t at = 1 + number((uint32_t)n), run = 1 + number(8);

		switch (number(5)) {
		case 0: /* another byte */
			if (at < n)
				p[at] = (uint8_t)signs[number(sizeof(signs) - 1)];
			break;
		case 1: /* one more */
			if (n < SIZE_MAX_FILE && at <= n) {
				memmove(p + at + 1, p + at, n - at);
				p[at] = (uint8_t)signs[number(sizeof(signs) - 1)];
				n++;
			}
			break;
		case 2: /* some less */
			if (at + run < n) {
				memmove(p + at, p + at + run, n - at - run);
				n -= run;
			}
			break;
		case 3: /* some twice */
			if (at + run < n && n + run <= SIZE_MAX_FILE) {
				memmove(p + at + run, p + at, n - at);
				n += run;
			}
			break;
		default: /* cut */
			if (number(8) == 0 && at < n)
				n = at;
		}
	}
	return n;
}

static int replay(const char *path, unsigned changed)
{
	static uint8_t original[SIZE_MAX_FILE + 1], copy[SIZE_MAX_FILE + 1];
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f)
		return -1;
	n = fread(original, 1, SIZE_MAX_FILE, f);
	fclose(f);
	LLVMFuzzerTestOneInput(original, n);
	for (unsigned i = 0; i < changed && n > 1; i++) {
		state = UINT64_C(88172645463325252) + i * UINT64_C(0x9e3779b97f4a7c15) + n;
		memcpy(copy, original, n);
		LLVMFuzzerTestOneInput(copy, change(copy, n));
	}
	return 0;
}

int main(int argc, char **argv)
{
	unsigned changed = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0, count = 0;
	DIR *d = argc > 1 ? opendir(argv[1]) : NULL;
	const struct dirent *e;
	char path[4096];

	if (!d)
		return EXIT_FAILURE;
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", argv[1], e->d_name);
		if (replay(path, changed) < 0)
			return EXIT_FAILURE;
		count++;
	}
	closedir(d);
	printf("%u files, %u changed copies of each\n", count, changed);
	return count ? EXIT_SUCCESS : EXIT_FAILURE;
}
