/* The key service's HTTP parser: whatever comes, it is refused with a word, or read in one way however it is cut into pieces. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "keymgr/service/http.h"

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void inside(const char *text, size_t n, struct http_text t)
{
	must(!t.at || (t.at >= text && t.size <= n && t.at + t.size <= text + n));
}

static bool same(struct http_text a, struct http_text b)
{
	return a.at == b.at && a.size == b.size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_request whole, part;
	const char *reason = NULL;
	char *text = malloc(size ? size : 1); /* of the exact size, so that a read behind it is seen */
	int ret;

	if (!text)
		return 0;
	memcpy(text, data, size);
	ret = http_parse(text, size, &whole, &reason);
	must(ret == HTTP_MORE || ret == HTTP_WHOLE || (ret >= 400 && ret <= 599 && reason));
	if (ret == HTTP_WHOLE) {
		must(whole.size <= size && whole.body.size <= HTTP_BODY_MAX && whole.host.at && whole.path.size);
		inside(text, size, whole.path);
		inside(text, size, whole.host);
		inside(text, size, whole.origin);
		inside(text, size, whole.body);
		for (size_t n = 0; n < whole.size; n += n < 64 ? 1 : whole.size / 16 + 1)
			must(http_parse(text, n, &part, &reason) == HTTP_MORE &&
			     (part.size == 0 || part.size == whole.size));
		must(http_parse(text, whole.size, &part, &reason) == HTTP_WHOLE);
		must(part.size == whole.size && same(part.path, whole.path) && same(part.host, whole.host) &&
		     same(part.body, whole.body) && part.method == whole.method && part.json == whole.json &&
		     part.keep == whole.keep);
	}
	free(text);
	return 0;
}
