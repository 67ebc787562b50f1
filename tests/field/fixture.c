#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct token_box *fixture_box;
static struct keys *keys;

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "fixture: %s\n", what);
	abort();
}

void fixture_start(void)
{
	const struct field_domain domain = {"mail", 2};

	must(crypto_start() == 0 && secret_start(64 << 10) == 0, "start");
	keys = calloc(1, sizeof(*keys));
	must(keys && (keys->generations = calloc(1, sizeof(*keys->generations))), "memory");
	keys->refs = 1;
	keys->count = 1;
	memset(keys->volume_id, 7, sizeof(keys->volume_id));
	keys->generations[0] = (struct generation_key){2, SCOPE_FIELDS, KEY_ACTIVE, secret_new(SHA256_SIZE)};
	must(keys->generations[0].prk != NULL, "arena");
	memset(keys->generations[0].prk->bytes, 9, SHA256_SIZE);
	keys->scope_count = SCOPES_BUILT_IN;
	keys->floor[SCOPE_FIELDS] = 1;
	keys->active[SCOPE_FIELDS] = 2;
	must(token_box_new(keys, &domain, 1, &fixture_box) == 0, "box");
}

void fixture_end(void)
{
	token_box_free(&fixture_box);
	keys_unref(keys);
	keys = NULL;
	crypto_thread_end();
	secret_stop();
}

/* ------------------------------------------------------------------ round trips */

static int collect(void *context, const char *bytes, size_t n, struct fault *why)
{
	(void)why;
	return buffer_add(context, bytes, n);
}

static int run(enum operation_kind kind, const struct format *format, const struct scan_options *options,
	       const char *text, size_t n, struct buffer *out, uint64_t *changed, struct fault *why)
{
	struct plan plan = {0};
	struct operation op = {.kind = kind, .plan = &plan, .box = fixture_box};
	const struct engine e = {format, options, "text", operation_edit, &op, collect, out, NULL};
	struct rule *rule;
	int ret;

	must(plan_add_rule(&plan, &rule) == 0, "rule");
	rule->everything = true;
	plan_ready(&plan);
	ret = engine_run_text(&e, text, n, why);
	*changed = op.changed;
	plan_free(&plan);
	operation_end(&op);
	return ret;
}

/* The text without its values. */
static int skeleton(const struct format *format, const struct scan_options *options, const struct buffer *text,
		    struct buffer *out, size_t *leaves)
{
	struct fault why = {0};
	struct scan s = {.format = format, .options = options, .file = "text", .why = &why};
	size_t used = text->size, at = 0;
	int ret = scan_begin(&s, text->bytes ? text->bytes : "", text->size, true);

	if (ret == 0)
		ret = format->scan(&s, &used);
	for (size_t i = 0; ret == 0 && i < s.count; i++) {
		ret = buffer_add(out, text->bytes + at, s.leaves[i].start - at);
		/* The blank before a token that stands for nothing. */
		if (format->blank_before && ret == 0 && out->size && out->bytes[out->size - 1] == ' ' &&
		    s.leaves[i].end > s.leaves[i].start)
			out->size--;
		at = s.leaves[i].end;
	}
	if (ret == 0)
		ret = buffer_add(out, text->bytes + at, text->size - at);
	*leaves = s.count;
	scan_free(&s);
	return ret;
}

const char *round_trip(const struct format *format, const struct scan_options *options, const char *text, size_t n,
		       bool *refused, struct fault *why)
{
	_cleanup_buffer_ struct buffer once = {0}, twice = {0}, back = {0}, bones = {0}, bones_after = {0};
	struct buffer original = {(char *)text, n, n};
	uint64_t changed, changed_again, changed_back;
	size_t leaves, leaves_after;

	*refused = run(OPERATION_ENCRYPT, format, options, text, n, &once, &changed, why) < 0;
	if (*refused)
		return once.size ? "refused, but something was written" : NULL;
	if (run(OPERATION_ENCRYPT, format, options, once.bytes ? once.bytes : "", once.size, &twice, &changed_again,
		why) < 0)
		return "what was encrypted does not parse";
	if (changed_again || !buffer_is(&twice, once.bytes, once.size))
		return "encrypting twice changes something";
	if (run(OPERATION_DECRYPT, format, options, once.bytes ? once.bytes : "", once.size, &back, &changed_back,
		why) < 0)
		return "what was encrypted does not decrypt";
	if (!buffer_is(&back, text, n))
		return "decrypting gives another text";
	if (changed != changed_back)
		return "fewer values come back than went";
	if (skeleton(format, options, &original, &bones, &leaves) < 0 ||
	    skeleton(format, options, &once, &bones_after, &leaves_after) < 0)
		return "does not scan again";
	if (leaves != leaves_after || leaves < changed)
		return "values appear or vanish";
	if (!format->blank_before && !buffer_is(&bones, bones_after.bytes, bones_after.size))
		return "bytes outside the values are others";
	return NULL;
}
