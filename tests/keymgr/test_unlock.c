/* Where secrets come from. */
#include "fixture.h"

#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>

static int obtain(struct unlock_source u, struct unlock_secret *out, struct fault *why)
{
	int ret;

	*why = (struct fault){0};
	ret = unlock_obtain(&u, "Passphrase: ", false, out, why);
	if (ret < 0) {
		ck_assert_int_ne(why->status, EXIT_OK);
		ck_assert_ptr_null(out->bytes);
	}
	return ret;
}

static void gives(struct unlock_source u, const void *expected, size_t n)
{
	struct unlock_secret s;
	struct fault why;

	ck_assert_msg(obtain(u, &s, &why) == 0, "%s", why.text);
	ck_assert_uint_eq(s.bytes->size, n);
	ck_assert_mem_eq(s.bytes->bytes, expected, n);
	ck_assert_ptr_null(s.cost);
	unlock_secret_wipe(&s);
}

static void fails(struct unlock_source u, int error, const char *words)
{
	struct unlock_secret s;
	struct fault why;

	ck_assert_int_eq(obtain(u, &s, &why), error);
	ck_assert_msg(strstr(why.text, words) != NULL, "%s", why.text);
}

static struct unlock_source from(const char *file)
{
	struct unlock_source u = UNLOCK_SOURCE_NONE;

	u.passphrase_file = file;
	return u;
}

START_TEST(passphrase_files)
{
	static char big[(64 << 10) + 2];

	spill("p", "secret\n", 7);
	gives(from("p"), "secret", 6);
	spill("p", "secret\n\n", 8); /* exactly one newline goes */
	gives(from("p"), "secret\n", 7);
	spill("p", "secret\r\n", 8);
	gives(from("p"), "secret\r", 7);
	spill("p", " a\0b ", 5);
	gives(from("p"), " a\0b ", 5);
	spill("p", "\n", 1);
	fails(from("p"), -EINVAL, "p is empty");
	spill("p", "", 0);
	fails(from("p"), -EINVAL, "p is empty");
	fails(from("absent"), -ENOENT, "absent");
	fails(from("/"), -EISDIR, "/");
	fails(from("/dev/zero"), -EFBIG, "/dev/zero");
	memset(big, 'x', sizeof(big));
	spill("p", big, 64 << 10);
	gives(from("p"), big, 64 << 10);
	big[64 << 10] = '\n';
	spill("p", big, (64 << 10) + 1);
	gives(from("p"), big, 64 << 10);
	big[64 << 10] = 'x';
	spill("p", big, (64 << 10) + 1);
	fails(from("p"), -EINVAL, "too long");
	spill("p", big, (64 << 10) + 2);
	fails(from("p"), -EFBIG, "too long");
}
END_TEST

START_TEST(key_files)
{
	struct unlock_source u = UNLOCK_SOURCE_NONE;
	char *big = calloc(1, (1 << 20) + 1);

	secret_stop();
	ck_assert_int_eq(secret_start(3 << 20), 0);
	u.key_file = "k";
	spill("k", big, 31);
	fails(u, -EINVAL, "less than 32");
	spill("k", big, 32);
	gives(u, big, 32);
	memset(big, '\n', 1 << 20);
	spill("k", big, 1 << 20);
	gives(u, big, 1 << 20); /* no newline is taken from a key file */
	spill("k", big, (1 << 20) + 1);
	fails(u, -EFBIG, "too long");
	u.key_file = "absent";
	fails(u, -ENOENT, "key file absent");
	free(big);
}
END_TEST

START_TEST(small_arena)
{
	struct unlock_source u = UNLOCK_SOURCE_NONE;
	char *big = calloc(1, 1 << 20);

	secret_stop();
	ck_assert_int_eq(secret_start(64 << 10), 0);
	spill("k", big, 1 << 20);
	u.key_file = "k";
	fails(u, -ENOMEM, "locked memory");
	free(big);
}
END_TEST

START_TEST(descriptors)
{
	struct unlock_source u = UNLOCK_SOURCE_NONE;
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(write(ends[1], "in two ", 7), 7);
	if (fork() == 0) {
		usleep(50000);
		_exit(write(ends[1], "parts\n", 6) == 6 ? 0 : 1);
	}
	close(ends[1]);
	u.passphrase_fd = ends[0];
	gives(u, "in two parts", 12);
	close(ends[0]);
	fails(u, -EBADF, "descriptor");
	/* Standard input. */
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(write(ends[1], "stdin\n", 6), 6);
	close(ends[1]);
	ck_assert_int_eq(dup2(ends[0], 0), 0);
	gives(from("-"), "stdin", 5);
}
END_TEST

START_TEST(commands)
{
	struct unlock_source u = UNLOCK_SOURCE_NONE;

	u.passphrase_command = "printf 'from %s\\n' command";
	gives(u, "from command", 12);
	u.passphrase_command = "echo secret; exit 3";
	fails(u, -EINVAL, "status 3");
	u.passphrase_command = "exit 0";
	fails(u, -EINVAL, "is empty");
	u.passphrase_command = "kill -9 $$";
	fails(u, -EINVAL, "status 137");
	u.passphrase_command = "cat /dev/zero"; /* ends by SIGPIPE, not never */
	fails(u, -EFBIG, "too long");
}
END_TEST

START_TEST(credentials)
{
	struct unlock_source u = UNLOCK_SOURCE_NONE;
	char *here = realpath(".", NULL);

	u.credential = "volume";
	unsetenv("CREDENTIALS_DIRECTORY");
	fails(u, -ENOENT, "CREDENTIALS_DIRECTORY");
	setenv("CREDENTIALS_DIRECTORY", here, 1);
	fails(u, -ENOENT, "volume");
	spill("volume", "cred\n", 5);
	gives(u, "cred", 4);
	u.credential = "../volume";
	fails(u, -EINVAL, "../volume");
	u.credential = "..";
	fails(u, -EINVAL, "..");
	free(here);
}
END_TEST

START_TEST(only_one)
{
	struct unlock_source u = UNLOCK_SOURCE_NONE;
	struct unlock_secret s;
	struct fault why;

	ck_assert(!unlock_source_given(&u));
	u.passphrase_fd = 0;
	ck_assert(unlock_source_given(&u));
	u.key_file = "k";
	ck_assert_int_eq(obtain(u, &s, &why), -EINVAL);
	ck_assert_int_eq(why.status, EXIT_USAGE);
}
END_TEST

START_TEST(no_terminal)
{
	struct unlock_secret s;
	struct fault why;

	if (fork() == 0) {
		setsid();
		ck_assert_int_eq(obtain(UNLOCK_SOURCE_NONE, &s, &why), -ENOTTY);
		_exit(why.status == EXIT_NO_SECRET ? 0 : 1);
	}
	int status;
	ck_assert_int_gt(wait(&status), 0);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* --- on a terminal */

static void wait_for_text(int fd, const char *text, char *seen, size_t room)
{
	size_t used = strlen(seen);

	while (!strstr(seen, text)) {
		ssize_t n = read(fd, seen + used, room - used - 1);

		ck_assert_msg(n > 0, "\"%s\" was not asked, only \"%s\"", text, seen);
		used += (size_t)n;
		seen[used] = '\0';
	}
}

/* Starts a child on a terminal of its own that asks for a passphrase and exits with 0 if it is `expected`. */
static pid_t ask_on_terminal(bool confirm, const char *expected, int *terminal)
{
	pid_t child = forkpty(terminal, NULL, NULL, NULL);
	struct unlock_source u = UNLOCK_SOURCE_NONE;
	struct unlock_secret s;
	static const int endings[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct fault why = {0};

	if (child != 0)
		return child;
	/* Check's handlers end the whole group, and what the caller of the tests ignores (nohup, a job in the background) is inherited. */
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
		signal(endings[i], SIG_DFL);
	if (secret_start(64 << 10) < 0 || unlock_obtain(&u, "Passphrase: ", confirm, &s, &why) < 0)
		_exit(why.status);
	_exit(s.bytes->size == strlen(expected) && memcmp(s.bytes->bytes, expected, s.bytes->size) == 0 ? 0 : 99);
}

static void type(int fd, const char *text)
{
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static bool echoes(int fd)
{
	struct termios t;

	ck_assert_int_eq(tcgetattr(fd, &t), 0);
	return t.c_lflag & ECHO;
}

static int result_of(pid_t child)
{
	int status;

	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

START_TEST(asks)
{
	char seen[1000] = "";
	pid_t child;
	int fd;

	secret_stop();
	child = ask_on_terminal(false, "typed", &fd);
	ck_assert(child > 0);
	wait_for_text(fd, "Passphrase: ", seen, sizeof(seen));
	ck_assert(!echoes(fd));
	type(fd, "typed\n");
	ck_assert_int_eq(result_of(child), 0);
	ck_assert(echoes(fd));
	ck_assert_ptr_null(strstr(seen, "typed"));
	close(fd);
}
END_TEST

START_TEST(asks_twice)
{
	char seen[1000] = "";
	pid_t child;
	int fd;

	secret_stop();
	child = ask_on_terminal(true, "same", &fd);
	wait_for_text(fd, "Passphrase: ", seen, sizeof(seen));
	type(fd, "same\n");
	wait_for_text(fd, "again: ", seen, sizeof(seen));
	type(fd, "sane\n");
	memset(seen, 0, sizeof(seen));
	wait_for_text(fd, "Passphrase: ", seen, sizeof(seen));
	type(fd, "same\n");
	wait_for_text(fd, "again: ", seen, sizeof(seen));
	type(fd, "same\n");
	ck_assert_int_eq(result_of(child), 0);
	close(fd);
}
END_TEST

START_TEST(signals_restore_echo)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	char seen[1000] = "";
	pid_t child;
	int fd;

	secret_stop();
	child = ask_on_terminal(false, "x", &fd);
	wait_for_text(fd, "Passphrase: ", seen, sizeof(seen));
	if (_i == 0)
		type(fd, "\x03"); /* as a person does */
	else
		ck_assert_int_eq(kill(child, signals[_i]), 0);
	ck_assert_int_eq(result_of(child), 1000 + signals[_i]);
	ck_assert(echoes(fd));
	close(fd);
}
END_TEST

START_TEST(stopped_and_continued)
{
	char seen[1000] = "";
	pid_t child;
	int fd, status;

	secret_stop();
	child = ask_on_terminal(false, "later", &fd);
	wait_for_text(fd, "Passphrase: ", seen, sizeof(seen));
	/* A lone session leader cannot be stopped by SIGTSTP (its group is orphaned), so the signal only makes it ask again. */
	ck_assert_int_eq(kill(child, SIGTSTP), 0);
	memset(seen, 0, sizeof(seen));
	wait_for_text(fd, "Passphrase: ", seen, sizeof(seen));
	ck_assert(!echoes(fd));
	type(fd, "later\n");
	status = result_of(child);
	ck_assert_int_eq(status, 0);
	close(fd);
}
END_TEST

START_TEST(end_of_file)
{
	char seen[1000] = "";
	pid_t child;
	int fd;

	secret_stop();
	child = ask_on_terminal(false, "x", &fd);
	wait_for_text(fd, "Passphrase: ", seen, sizeof(seen));
	type(fd, "\x04");
	ck_assert_int_eq(result_of(child), EXIT_NO_SECRET);
	close(fd);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("unlock");

	tcase_add_test(t, passphrase_files);
	tcase_add_test(t, key_files);
	tcase_add_test(t, small_arena);
	tcase_add_test(t, descriptors);
	tcase_add_test(t, commands);
	tcase_add_test(t, credentials);
	tcase_add_test(t, only_one);
	tcase_add_test(t, no_terminal);
	tcase_add_test(t, asks);
	tcase_add_test(t, asks_twice);
	tcase_add_loop_test(t, signals_restore_echo, 0, 4);
	tcase_add_test(t, stopped_and_continued);
	tcase_add_test(t, end_of_file);
	return run_suite("unlock", t);
}
