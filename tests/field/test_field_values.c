/* Any value, set in any format: comes back the same, and nothing else changes. */
#include <check.h>
#include <string.h>

#include "fixture.h"

static const struct {
	const char *format, *dialect, *text, *path;
} places[] = {
	{"yaml", NULL, "a: &x hunter2  # why\nb:\n  - |\n    two\n    lines\n  -\n", "a"},
	{"yaml", NULL, "a: [hunter2, {b: c}]\nd: e\n", "a[0]"},
	{"yaml", NULL, "{\"a\":hunter2,\"b\":1}\n", "a"},
	{"json", NULL, "{\"a\": \"hunter2\", \"b\": [1, 2]}", "a"},
	{"jsonl", NULL, "{\"a\": \"hunter2\"}\n{\"a\": 2}\n", "%0:a"},
	{"toml", NULL, "a = \"hunter2\" # c\n[b]\nc = 1\n", "a"},
	{"xml", NULL, "<r x=\"1\"><a>hunter2</a><!-- c --></r>\n", "/r/a"},
	{"xml", NULL, "<r x='hunter2'><a/></r>\n", "/r/@x"},
	{"csv", NULL, "id,a,b\r\n1,hunter2,c\r\n", "%0:a"},
	{"csv", NULL, "a;b\nhunter2;c\n", "%0:a"},
	{"ini", NULL, "[s]\na = hunter2 ; c\nb = c\n", "s.a"},
	{"ini", "git", "[s \"t\"]\n\ta = hunter2 # c\n\tb\n", "s.t.a"},
	{"ini", "systemd", "[s]\na=hunter2\nb=c\n", "s.a"},
	{"ini", "php", "[s]\na = hunter2 ; c\nb = c\n", "s.a"},
	{"env", NULL, "export A=hunter2 # c\nB='x\ny'\n", "A"},
	{"properties", NULL, "a = hunter2\nb:c\n", "a"},
};
static const char *const values[] = {
	"plain",
	"",
	"two words",
	"a: b # c",
	"'single' \"double\"",
	"back\\slash",
	"trailing\\",
	"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
	"true",
	"12",
	"<a>&amp;",
	"x;y,z\tq",
	"-",
	"#",
	"{",
	"[a",
	"null",
	" lead",
	"tail ",
	"%a",
	"@b",
	"`c",
	"~",
	"line 1\nline 2",
	"\n",
	"$HOME `x` ${y}",
	"a\r\nb",
	"\x7f",
	"\x01",
	"|",
	">",
	"? a",
	"- a",
	"!t",
	"&a",
	"*a",
	"]]>",
	"\"",
	"'",
	"\"\"\"",
	"coffer",
	"a=b",
	"a #b",
	"a ;b",
	"=x",
	":x",
	"\t",
};

static int collect(void *context, const char *bytes, size_t n, struct fault *why)
{
	(void)why;
	return buffer_add(context, bytes, n);
}

/* Runs set or get over the text. */
static int run(size_t place, enum operation_kind kind, const char *value, const char *text, size_t n,
	       struct buffer *out, struct fault *why)
{
	const struct format *format = format_by_name(places[place].format);
	const struct scan_options options = {.dialect = places[place].dialect};
	struct plan plan = {0};
	struct operation op = {.kind = kind,
			       .plan = &plan,
			       .box = fixture_box,
			       .value = value,
			       .value_size = value ? strlen(value) : 0,
			       .value_type = LEAF_STRING};
	const struct engine e = {format, &options, "text", operation_edit, &op, kind == OPERATION_SET ? collect : NULL,
				 out,    NULL};
	struct rule *rule;
	int ret;

	ck_assert_int_eq(plan_choose(&plan, &rule), 0);
	ck_assert_int_eq(rule_add_paths(&rule->encrypt, &rule->encrypt_count, places[place].path, format->style, why),
			 0);
	plan_ready(&plan);
	ret = engine_run_text(&e, text, n, why);
	if (ret == 0 && op.selected != 1)
		ret = -1;
	if (ret == 0 && kind == OPERATION_GET)
		ret = buffer_add(out, op.got.bytes, op.got.size);
	operation_end(&op);
	plan_free(&plan);
	return ret;
}

/* A format may refuse what it cannot write; then it has to say so. */
static bool may_refuse(size_t place, const char *value)
{
	const char *format = places[place].format, *dialect = places[place].dialect;

	if (strcmp(format, "xml") == 0)
		return *value == 1;
	if (strcmp(format, "ini") == 0 && dialect && strcmp(dialect, "systemd") == 0)
		return true; /* no quotes at all */
	return strcmp(format, "ini") == 0 && strpbrk(value, "\n\r\"\\'");
}

START_TEST(comes_back)
{
	size_t place = (size_t)_i;
	unsigned refused = 0;

	for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
		_cleanup_buffer_ struct buffer set = {0}, got = {0}, back = {0};
		const char *text = places[place].text;
		struct fault why = {0};

		if (run(place, OPERATION_SET, values[v], text, strlen(text), &set, &why) < 0) {
			ck_assert_msg(may_refuse(place, values[v]), "%s: %s: %s", places[place].format, values[v],
				      why.text);
			ck_assert(*why.text);
			refused++;
			continue;
		}
		ck_assert_int_eq(run(place, OPERATION_GET, NULL, set.bytes, set.size, &got, &why), 0);
		ck_assert_msg(buffer_is(&got, values[v], strlen(values[v])), "%s: %s came back as %.*s",
			      places[place].format, values[v], (int)got.size, got.bytes);
		/* And over the new value the old one again: the first text, but for quotes. */
		ck_assert_int_eq(run(place, OPERATION_SET, "hunter2", set.bytes, set.size, &back, &why), 0);
		ck_assert_msg(buffer_is(&back, text, strlen(text)), "%s: %s: %.*s", places[place].format, values[v],
			      (int)back.size, back.bytes);
	}
	ck_assert_uint_lt(refused, sizeof(values) / sizeof(values[0]) / 2);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("field_values");
	TCase *t = tcase_create("values");
	SRunner *r = srunner_create(s);

	tcase_add_checked_fixture(t, fixture_start, fixture_end);
	tcase_add_loop_test(t, comes_back, 0, (int)(sizeof(places) / sizeof(places[0])));
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
