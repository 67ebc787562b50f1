#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "fs/freeze.h"
#include "util/cli/options.h"
#include "util/cli/reach.h"

/* ANSWER_SECONDS: a checkpoint of a busy volume on a slow disk takes its time. */
enum { TIMEOUT_DEFAULT = 60, ANSWER_SECONDS = 600, CANNOT_RUN = 126, NOT_FOUND = 127, SIGNALLED = 128 };

/* ------------------------------------------------------------------ a command under the freeze */

static volatile sig_atomic_t command; /* its process */

static void pass_on(int signal)
{
	if (command > 0)
		kill((pid_t)command, signal);
}

/* The keyboard's signals reach the command by themselves; those of others are passed on.  We go on waiting, and then thaw. */
static void set_signals(void (*keyboard)(int), void (*others)(int))
{
	signal(SIGINT, keyboard);
	signal(SIGQUIT, keyboard);
	signal(SIGTERM, others);
	signal(SIGHUP, others);
}

static void run_command(char **argv, pid_t parent) __attribute__((noreturn));
static void run_command(char **argv, pid_t parent)
{
	set_signals(SIG_DFL, SIG_DFL);
	/* Without us there is no freeze, and what it copies is worth nothing. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() == parent)
		execvp(argv[0], argv);
	fprintf(stderr, "coffer: cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? NOT_FOUND : CANNOT_RUN);
}

/* Returns the exit status as a shell has it, or a negative errno. */
static int run_and_wait(char **argv)
{
	pid_t parent = getpid(), pid;
	int status;

	set_signals(SIG_IGN, pass_on);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		run_command(argv, parent);
	command = pid;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	command = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : SIGNALLED + WTERMSIG(status);
}

static int run_frozen(int fd, char **argv, struct fault *why)
{
	_cleanup_answer_ struct control_answer answer = CONTROL_ANSWER_NONE;
	int status = run_and_wait(argv);

	if (status < 0)
		return fault_errno(why, EXIT_FAILED, status, "cannot run %s", argv[0]);
	if (control_ask(fd, "thaw", NULL, ANSWER_SECONDS, &answer, why) < 0) {
		*why = (struct fault){.status = EXIT_OK};
		fault_set(why, EXIT_FAILED, ENOENT,
			  "the freeze ended before %s did: what it read may be of no use; give a longer --timeout",
			  argv[0]);
		fault_print(why);
		exit(status ? status : EXIT_FAILED);
	}
	exit(status);
}

/* ------------------------------------------------------------------ the verbs */

static int freeze(const char *word, int seconds, char **argv, struct fault *why)
{
	_cleanup_volume_ struct cli_volume v = CLI_VOLUME_NONE;
	_cleanup_answer_ struct control_answer answer = CONTROL_ANSWER_NONE;

	_cleanup_close_ int fd = reach(word, &v, &answer, why);
	if (fd < 0)
		return fd;
	json_object *request = json_object_new_object();
	json_object_object_add(request, "seconds", json_object_new_int(seconds));
	json_object_object_add(request, "hold", json_object_new_boolean(argv != NULL));
	int r = control_ask(fd, "freeze", request, ANSWER_SECONDS, &answer, why);
	if (r < 0)
		return r;
	if (argv)
		return run_frozen(fd, argv, why);
	printf("%s is frozen; it thaws by itself in %d s, or by: coffer thaw %s\n", v.dir, seconds, word);
	return 0;
}

int cmd_freeze(const struct verb *v, int argc, char **argv, struct fault *why)
{
	int seconds = TIMEOUT_DEFAULT;
	const struct option_spec specs[] = {{OPTION_NUMBER, 0, 0, "timeout", &seconds}, {0}};
	char **run = options_split_command(&argc, argv);
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	if (r)
		return r;
	if (seconds < 1 || seconds > FREEZE_SECONDS_MAX)
		return fault_set(why, EXIT_USAGE, EINVAL, "freeze: --timeout %d: give 1 to %d seconds", seconds,
				 FREEZE_SECONDS_MAX);
	return freeze(words.at[0], seconds, run, why);
}

int cmd_thaw(const struct verb *v, int argc, char **argv, struct fault *why)
{
	static const struct option_spec specs[] = {{0}};
	_cleanup_volume_ struct cli_volume volume = CLI_VOLUME_NONE;
	_cleanup_answer_ struct control_answer answer = CONTROL_ANSWER_NONE;
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	if (r)
		return r;
	_cleanup_close_ int fd = reach(words.at[0], &volume, &answer, why);
	if (fd < 0)
		return fd;
	r = control_ask(fd, "thaw", NULL, ANSWER_SECONDS, &answer, why);
	if (r == 0)
		printf("%s is thawed\n", volume.dir);
	return r;
}
