#include "util/field/near.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { KEPT = 3, TEXT = 64, LEAVES_MAX = 20000 };

struct near {
	const char *path;
	size_t seen, count;
	struct {
		unsigned distance;
		char text[TEXT];
	} best[KEPT];
};

/* Levenshtein's distance, over at most TEXT characters. */
static unsigned distance(const char *a, size_t n, const char *b, size_t m)
{
	unsigned row[TEXT + 1];

	for (size_t j = 0; j <= m; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned corner = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned best = corner + (a[i - 1] != b[j - 1]);

			corner = row[j];
			if (corner + 1 < best)
				best = corner + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[m];
}

static void keep(struct near *n, const char *text, size_t size, unsigned d)
{
	size_t at;

	for (size_t i = 0; i < n->count; i++)
		if (strlen(n->best[i].text) == size && memcmp(n->best[i].text, text, size) == 0)
			return;
	for (at = n->count; at > 0 && n->best[at - 1].distance > d; at--)
		if (at < KEPT)
			n->best[at] = n->best[at - 1];
	if (at >= KEPT)
		return;
	n->best[at].distance = d;
	memcpy(n->best[at].text, text, size);
	n->best[at].text[size] = '\0';
	if (n->count < KEPT)
		n->count++;
}

static int look(void *context, const struct found *f, struct buffer *with, bool *replace, struct fault *why)
{
	_cleanup_buffer_ struct buffer text = {0};
	struct near *n = context;
	size_t wanted = strlen(n->path);
	const char *start;

	(void)with;
	(void)replace;
	(void)why;
	if (++n->seen > LEAVES_MAX || found_path_text(f, &text) < 0)
		return n->seen > LEAVES_MAX ? -E2BIG : -ENOMEM;
	start = text.bytes;
	/* The number of a document is left out, as people do. */
	if (*start == '%' && *n->path != '%') {
		const char *colon = memchr(start, ':', text.size);
		if (colon)
			start = colon + 1;
	}
	size_t size = text.size - (size_t)(start - text.bytes);
	if (!size || size >= TEXT || wanted >= TEXT)
		return 0;
	unsigned d = distance(n->path, wanted, start, size);
	if (d <= 2 + wanted / 3)
		keep(n, start, size, d);
	return 0;
}

int near_paths(const struct format *format, const struct scan_options *options, const char *file, const char *path,
	       struct buffer *out)
{
	_cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct near n = {.path = path};
	const struct engine e = {.format = format, .options = options, .file = file, .edit = look, .edit_context = &n};
	struct fault ignored = {0};
	int ret = fd < 0 ? -ENOENT : engine_run(&e, fd, &ignored);

	if (ret < 0 && ret != -E2BIG)
		return ret;
	ret = 0;
	for (size_t i = 0; ret == 0 && i < n.count; i++) {
		if (i)
			ret = buffer_text(out, ", ");
		if (ret == 0)
			ret = buffer_text(out, n.best[i].text);
	}
	return ret;
}
