/* A file is replaced whole, or not at all. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "util/field/target.h"

static char top[64], path[128];

static void write_file(const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static void check_file(const char *text)
{
	char got[64] = "";
	FILE *f = fopen(path, "r");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fread(got, 1, sizeof(got) - 1, f), strlen(text));
	fclose(f);
	ck_assert_str_eq(got, text);
}

/* Nothing but the file is left. */
static void check_alone(void)
{
	char command[160];

	snprintf(command, sizeof(command), "test \"$(ls -A %s)\" = file", top);
	ck_assert_int_eq(system(command), 0);
}

static void setup(void)
{
	strcpy(top, "/tmp/coffer-target.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(path, sizeof(path), "%s/file", top);
	write_file("old");
}

static void teardown(void)
{
	unlink(path);
	rmdir(top);
}

static void begin(struct target *t, struct fault *why)
{
	ck_assert_int_eq(target_open(t, path, why), 0);
	ck_assert_int_eq(target_begin(t, why), 0);
	ck_assert_int_eq(target_write(t, "new text", 8, why), 0);
}

START_TEST(replaced)
{
	struct fault why = {0};
	struct target t;

	begin(&t, &why);
	check_file("old");
	ck_assert_int_eq(target_commit(&t, &why), 0);
	target_close(&t);
	check_file("new text");
	check_alone();
}
END_TEST

START_TEST(given_up)
{
	struct fault why = {0};
	struct target t;

	begin(&t, &why);
	target_close(&t);
	check_file("old");
	check_alone();
}
END_TEST

START_TEST(changed_meanwhile)
{
	for (int how = 0; how < 3; how++) {
		struct fault why = {0};
		struct target t;

		write_file("old");
		begin(&t, &why);
		if (how == 0)
			write_file("hers");
		else if (how == 1)
			ck_assert_int_eq(chmod(path, 0604), 0);
		else
			ck_assert_int_eq(unlink(path), 0);
		ck_assert_int_eq(target_commit(&t, &why), -EBUSY);
		ck_assert_int_eq(why.status, EXIT_REFUSED);
		target_close(&t);
		if (how < 2)
			check_file(how ? "old" : "hers");
		else
			write_file("old");
		check_alone();
	}
}
END_TEST

/* Killed between begin and commit, also where the new text needed a name. */
START_TEST(signal_leaves_nothing)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct fault why = {0};
		struct target t;

		signal(SIGTERM, SIG_DFL); /* Check's own handler would end the whole test */
		if (target_open(&t, path, &why) < 0 || target_begin(&t, &why) < 0 ||
		    target_write(&t, "new", 3, &why) < 0)
			_exit(1);
		raise(_i ? SIGTERM : SIGKILL);
		_exit(2);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	check_file("old");
	check_alone();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("field_target");
	TCase *t = tcase_create("target");
	SRunner *r = srunner_create(s);

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, replaced);
	tcase_add_test(t, given_up);
	tcase_add_test(t, changed_meanwhile);
	tcase_add_loop_test(t, signal_leaves_nothing, 0, 2);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
