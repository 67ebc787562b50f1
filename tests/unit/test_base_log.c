/* What people read: log lines, faults, the progress line. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "util/base/fault.h"
#include "util/base/log.h"
#include "util/base/progress.h"
#include "vectors.h"

START_TEST(escape)
{
	static const struct {
		const char *name, *shown;
	} cases[] = {
		{"plain name.txt", "plain name.txt"},
		{"", ""},
		{"a\nb\x1b[31m\x7f", "a\\x0ab\\x1b[31m\\x7f"},
		{"back\\slash", "back\\x5cslash"},
		{"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
		 "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"},
		{"\xff\xfe", "\\xff\\xfe"},
		{"\xc3", "\\xc3"},                            /* cut short */
		{"\xc0\xaf", "\\xc0\\xaf"},                   /* overlong */
		{"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},          /* overlong */
		{"\xed\xa0\x80", "\\xed\\xa0\\x80"},          /* a surrogate */
		{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, /* above U+10FFFF */
		{"\xc2\x9b"
		 "31m",
		 "\\xc2\\x9b"
		 "31m"}, /* a control character of ISO 6429 */
	};
	char out[128];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_str_eq(log_escape(cases[i].name, out, sizeof(out)), cases[i].shown);
}
END_TEST

/* A short buffer cuts between characters, never inside one or inside an escape. */
START_TEST(escape_cut)
{
	char out[16];

	ck_assert_str_eq(log_escape("abcdef", out, 4), "abc");
	ck_assert_str_eq(log_escape("ab\n", out, 6), "ab");
	ck_assert_str_eq(log_escape("ab\n", out, 7), "ab\\x0a");
	ck_assert_str_eq(log_escape("a\xe2\x82\xac", out, 4), "a");
	ck_assert_str_eq(log_escape("a\xe2\x82\xac", out, 5), "a\xe2\x82\xac");
	ck_assert_str_eq(log_escape("abc", out, 1), "");
}
END_TEST

static char *captured(int fds[2], char *buf, size_t n)
{
	ssize_t r = read(fds[0], buf, n - 1);

	ck_assert_int_ge(r, 0);
	buf[r] = 0;
	return buf;
}

START_TEST(one_line_each)
{
	char buf[4096], big[3000];
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	errno = ENOENT;
	log_warning("%s: %d", "a\nforged line\r", 7);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_str_eq(captured(fds, buf, sizeof(buf)), "coffer: warning: a?forged line?: 7\n");
	log_error("bad");
	ck_assert_str_eq(captured(fds, buf, sizeof(buf)), "coffer: error: bad\n");
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	log_info("%s", big);
	captured(fds, buf, sizeof(buf));
	ck_assert_uint_gt(strlen(buf), 1000);
	ck_assert_ptr_eq(strchr(buf, '\n'), buf + strlen(buf) - 1);
}
END_TEST

START_TEST(faults)
{
	struct fault f = {EXIT_OK, ""}, g = {EXIT_OK, ""};
	char big[1000];

	ck_assert_int_eq(fault_set(&f, EXIT_NOT_VOLUME, ENOENT, "%s: not a volume\nreally", "dir"), -ENOENT);
	ck_assert_int_eq(f.status, EXIT_NOT_VOLUME);
	ck_assert_str_eq(f.text, "dir: not a volume really");
	ck_assert_int_eq(fault_errno(&f, EXIT_STORE, -EIO, "outer"), -EIO);
	ck_assert_int_eq(fault_set(&f, EXIT_STORE, EACCES, "outer"), -EACCES);
	ck_assert_int_eq(f.status, EXIT_NOT_VOLUME);
	ck_assert_str_eq(f.text, "dir: not a volume really");
	ck_assert_int_eq(fault_errno(&g, EXIT_STORE, -EROFS, "%s", "keyring"), -EROFS);
	ck_assert_str_eq(g.text, "keyring: Read-only file system");
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	g.status = EXIT_OK;
	fault_errno(&g, EXIT_STORE, -EROFS, "%s", big);
	ck_assert_uint_eq(strlen(g.text), sizeof(g.text) - 1);
}
END_TEST

START_TEST(progress)
{
	const uint64_t second = 1000000000;
	struct progress p = {.label = "Encrypting", .unit = PROGRESS_BYTES, .total = 10 << 20};
	char out[160];

	ck_assert_str_eq(progress_text(&p, 5 << 20, 2 * second, out, sizeof(out)),
			 "Encrypting: 5.0 MiB of 10.0 MiB (50 %), 2.5 MiB/s, 0:02 left");
	ck_assert_str_eq(progress_text(&p, 0, 0, out, sizeof(out)), "Encrypting: 0 B, 0 B/s");
	p.unit = PROGRESS_ITEMS;
	p.total = 100000;
	ck_assert_str_eq(progress_text(&p, 10, 10 * second, out, sizeof(out)),
			 "Encrypting: 10 of 100000 (0 %), 1/s, 27:46:30 left");
	p.total = 0;
	ck_assert_str_eq(progress_text(&p, 7, second, out, sizeof(out)), "Encrypting: 7, 7/s");
	p.total = 5; /* a tree that grew meanwhile */
	ck_assert_str_eq(progress_text(&p, 7, second, out, sizeof(out)), "Encrypting: 7, 7/s");
}
END_TEST

START_TEST(progress_silent)
{
	struct progress p;
	char buf[16];
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	progress_start(&p, "Checking", PROGRESS_ITEMS, 10);
	p.started_ns = 0;
	progress_update(&p, 5);
	progress_end(&p);
	ck_assert_int_eq(write(fds[1], "end", 3), 3);
	ck_assert_str_eq(captured(fds, buf, sizeof(buf)), "end");
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("log");

	tcase_add_test(t, escape);
	tcase_add_test(t, escape_cut);
	tcase_add_test(t, one_line_each);
	tcase_add_test(t, faults);
	tcase_add_test(t, progress);
	tcase_add_test(t, progress_silent);
	return run_tests(t, "log");
}
