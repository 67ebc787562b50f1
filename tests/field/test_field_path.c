/* Paths as text, and what patterns match. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "util/field/glob.h"
#include "util/field/path.h"

static void path_of(const char *text, enum path_style style, struct buffer *out)
{
	struct fault why = {0};
	struct pattern *p;

	ck_assert_msg(pattern_parse(text, strlen(text), style, &p, &why) == 0, "%s: %s", text, why.text);
	ck_assert_int_eq(pattern_path(p, out), 0);
	pattern_free(&p);
}

START_TEST(written_and_read_again)
{
	static const char *const dots[] = {"a",    "a.b[1]",         "a.\"x.y\"", "a.b#2",   "%1:a.b", "[3][4].c",
					   "\"\"", "\"a\\\"b\\\\\"", "\"\\x0a\"", "a.\"*\"", "%7:[2]", "a#3[1]"};
	static const char *const slashes[] = {"/r/b[2]/@attr", "/r", "/x:y/@z:w"};

	for (size_t i = 0; i < sizeof(dots) / sizeof(dots[0]); i++) {
		_cleanup_buffer_ struct buffer path = {0}, text = {0};

		path_of(dots[i], PATH_DOTS, &path);
		ck_assert_int_eq(path_print(path.bytes, path.size, PATH_DOTS, &text), 0);
		ck_assert_msg(buffer_is(&text, dots[i], strlen(dots[i])), "%s: %.*s", dots[i], (int)text.size,
			      text.bytes);
	}
	for (size_t i = 0; i < sizeof(slashes) / sizeof(slashes[0]); i++) {
		_cleanup_buffer_ struct buffer path = {0}, text = {0};

		path_of(slashes[i], PATH_SLASHES, &path);
		ck_assert_int_eq(path_print(path.bytes, path.size, PATH_SLASHES, &text), 0);
		ck_assert_msg(buffer_is(&text, slashes[i], strlen(slashes[i])), "%s", slashes[i]);
	}
}
END_TEST

struct matching {
	const char *pattern, *path;
	enum match is;
};

static void assert_matches(const struct matching *cases, size_t count, enum path_style style)
{
	for (size_t i = 0; i < count; i++) {
		_cleanup_buffer_ struct buffer path = {0};
		struct fault why = {0};
		struct pattern *p;

		path_of(cases[i].path, style, &path);
		ck_assert_int_eq(pattern_parse(cases[i].pattern, strlen(cases[i].pattern), style, &p, &why), 0);
		ck_assert_msg(pattern_match(p, path.bytes, path.size) == cases[i].is, "%s on %s", cases[i].pattern,
			      cases[i].path);
		pattern_free(&p);
	}
}

START_TEST(matching)
{
	static const struct matching cases[] = {
		{"a.b", "a.b", MATCH_YES},       {"a.b", "a.c", MATCH_NO},
		{"a", "a.b.c", MATCH_YES}, /* a container: everything below */
		{"a.b", "a", MATCH_NO},          {"a.*", "a.b", MATCH_YES},
		{"a.*", "a[1]", MATCH_YES},      {"a[*]", "a[1]", MATCH_YES},
		{"a[*]", "a.b", MATCH_NO},       {"a[1]", "a[1]", MATCH_YES},
		{"a[1]", "a[2]", MATCH_NO},      {"a.*.c", "a.b.c", MATCH_YES},
		{"a.*.c", "a.b.d.c", MATCH_NO},  {"**", "a.b", MATCH_YES},
		{"**.c", "a.b.c", MATCH_YES},    {"**.c", "c", MATCH_YES},
		{"**.c", "a.b", MATCH_NO},       {"a.**.d", "a.b.c.d", MATCH_YES},
		{"a.**.d", "a.d", MATCH_YES},    {"a.**.d", "b.d", MATCH_NO},
		{"*_key", "api_key", MATCH_YES}, {"*_key", "api_keys", MATCH_NO},
		{"a*b*c", "a1b2c", MATCH_YES},   {"\"*\"", "x", MATCH_NO},
		{"a", "a#2", MATCH_AMBIGUOUS},   {"a#*", "a#2", MATCH_YES},
		{"a#2", "a#2", MATCH_YES},       {"a#2", "a", MATCH_NO},
		{"a#1", "a", MATCH_YES},         {"**.b", "a#2.b", MATCH_YES},
		{"a.b", "%3:a.b", MATCH_YES},    {"%3:a.b", "%3:a.b", MATCH_YES},
		{"%2:a.b", "%3:a.b", MATCH_NO},  {"%0:a", "a", MATCH_YES},
		{"%1:a", "a", MATCH_NO},         {".", "a.b", MATCH_YES},
	};

	assert_matches(cases, sizeof(cases) / sizeof(cases[0]), PATH_DOTS);
}
END_TEST

START_TEST(matching_xml)
{
	static const struct matching cases[] = {
		{"/r/b", "/r/b[2]", MATCH_YES},   {"/r/b[1]", "/r/b[2]", MATCH_NO}, {"/r/b[2]", "/r/b[2]", MATCH_YES},
		{"/r/@x", "/r/@x", MATCH_YES},    {"/r/@x", "/r/x", MATCH_NO},      {"/r/*", "/r/x", MATCH_YES},
		{"/r/*", "/r/@x", MATCH_NO},      {"/r/@*", "/r/@x", MATCH_YES},    {"//c", "/r/b/c", MATCH_YES},
		{"//@id", "/r/b/@id", MATCH_YES}, {"/r", "/r/b/@id", MATCH_YES},
	};

	assert_matches(cases, sizeof(cases) / sizeof(cases[0]), PATH_SLASHES);
}
END_TEST

START_TEST(not_patterns)
{
	static const char *const bad[] = {"",   "a.",  ".a",  "a..b",      "a[",  "a[x]", "a[1",
					  "a#", "a#0", "\"a", "a\"b\"c#x", "%:a", "%1a",  "\"\\x4\""};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct fault why = {0};
		struct pattern *p;

		ck_assert_msg(pattern_parse(bad[i], strlen(bad[i]), PATH_DOTS, &p, &why) == -EINVAL, "%s", bad[i]);
		ck_assert_int_eq(why.status, EXIT_USAGE);
		ck_assert_ptr_null(p);
	}
}
END_TEST

START_TEST(binding_leaves_out_numbers)
{
	_cleanup_buffer_ struct buffer a = {0}, b = {0}, x = {0}, y = {0};

	path_of("%1:a[3].b#2", PATH_DOTS, &a);
	path_of("%9:a[4].b", PATH_DOTS, &b);
	ck_assert_int_eq(path_binding(a.bytes, a.size, false, &x), 0);
	ck_assert_int_eq(path_binding(b.bytes, b.size, false, &y), 0);
	ck_assert(buffer_is(&x, "k\1\0\0\0ak\1\0\0\0b", 12));
	ck_assert(buffer_is(&y, x.bytes, x.size));
	buffer_reset(&x);
	ck_assert_int_eq(path_binding(a.bytes, a.size, true, &x), 0);
	ck_assert(buffer_is(&x, a.bytes, a.size));
}
END_TEST

/* As .gitignore has it. */
START_TEST(globs)
{
	static const struct {
		const char *glob, *path;
		bool is;
	} cases[] = {
		{"*.yaml", "a.yaml", true},
		{"*.yaml", "x/y/a.yaml", true},
		{"*.yaml", "a.yml", false},
		{"*.env", ".env", true},
		{"?.yaml", "a.yaml", true},
		{"conf/*.yaml", "conf/a.yaml", true},
		{"conf/*.yaml", "conf/x/a.yaml", false},
		{"conf/*.yaml", "x/conf/a.yaml", false},
		{"/a.yaml", "a.yaml", true},
		{"/a.yaml", "x/a.yaml", false},
		{"conf/**/*.yaml", "conf/a.yaml", true},
		{"conf/**/*.yaml", "conf/x/y/a.yaml", true},
		{"conf/**/*.yaml", "a.yaml", false},
		{"**/secrets/*", "secrets/a", true},
		{"**/secrets/*", "x/secrets/a", true},
		{"**/secrets/*", "x/secrets/y/a", false},
		{"conf/**", "conf/x/a", true},
		{"conf/**", "conf", false},
		{"**", "x/a", true},
		{"a/**/b/**/c", "a/b/c", true},
		{"a/**/b/**/c", "a/x/b/y/z/c", true},
		{"a/**/b/**/c", "a/x/c", false},
		{"[ab].yaml", "b.yaml", true},
		{"", "a", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(glob_matches(cases[i].glob, cases[i].path) == cases[i].is, "%s on %s", cases[i].glob,
			      cases[i].path);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("field_path");
	TCase *t = tcase_create("path");
	SRunner *r = srunner_create(s);

	tcase_add_test(t, written_and_read_again);
	tcase_add_test(t, globs);
	tcase_add_test(t, matching);
	tcase_add_test(t, matching_xml);
	tcase_add_test(t, not_patterns);
	tcase_add_test(t, binding_leaves_out_numbers);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
