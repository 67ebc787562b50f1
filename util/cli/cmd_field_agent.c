/* agent: a process that holds the keys of a keyring for this user's other processes (util/field/agent.h). */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "util/base/log.h"
#include "util/base/whole_write.h"
#include "util/cli/field.h"
#include "util/field/agent.h"

enum { TIME_DEFAULT = 12 * 3600, IDLE_DEFAULT = 3600, TIME_MAX = 366 * 24 * 3600 };

struct agent_options {
	struct field_options field;
	const char *time, *idle;
	uint64_t seconds, idle_seconds;
	bool foreground, stop, status;
};

/* What the agent goes by to tell that the keyring changed. */
struct watched {
	struct cli_volume volume;
	struct keyring_stamp stamp;
};

static bool keyring_same(void *context)
{
	const struct watched *w = context;
	struct keyring_stamp now;

	return keyring_stamp(w->volume.store, w->volume.dot, &now) == 0 && keyring_stamp_same(&w->stamp, &now);
}

static const uint8_t *keyring_id(const struct cli_volume *v)
{
	return keyring_settings(v->keyring)->volume_id;
}

/* ------------------------------------------------------------------ starting */

/* The box is made of the keyring as the stamp tells it.  Of the keyring itself, which holds the root, nothing stays. */
static int unlock(struct watched *w, const struct agent_options *o, struct token_box **box, struct fault *why)
{
	struct field_keys k = {.volume = w->volume};
	int ret = keyring_stamp(k.volume.store, k.volume.dot, &w->stamp);

	if (ret < 0)
		return fault_errno(why, EXIT_STORE, ret, "cannot look at the keyring of %s", w->volume.dir);
	keyring_free(&k.volume.keyring);
	ret = keyring_read(k.volume.store, k.volume.dot, &k.volume.keyring, why);
	if (ret == 0)
		ret = cli_volume_unlock(&k.volume, &o->field.unlock, NULL, why);
	if (ret == 0)
		ret = field_keys_renew(&k, why);
	keyring_free(&k.volume.keyring);
	w->volume.keyring = NULL;
	*box = k.box;
	return ret;
}

/* The terminal, what was piped in, and the working directory are others' business now. */
static int detach(void)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || chdir("/") < 0)
		return -errno;
	setsid();
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (dup2(null, fd) < 0)
			return -errno;
	log_to_syslog("coffer-agent");
	return 0;
}

static void tell(int report, const struct fault *why)
{
	if (report < 0)
		return;
	if (whole_write(report, why, sizeof(*why)) < 0)
		log_warning("nobody waits for the agent's start");
	close(report);
}

/* The agent itself.  What goes wrong before it serves is told to `report` (-1: nobody waits). */
static int live(struct watched *w, const struct agent_options *o, int report, struct fault *why)
{
	struct agent_socket s = AGENT_SOCKET_NONE;
	struct agent a = {.seconds = (uint32_t)o->seconds,
			  .idle_seconds = (uint32_t)o->idle_seconds,
			  .keyring_same = keyring_same,
			  .context = w};
	uint8_t id[VOLUME_ID_SIZE];
	int ret = secrets_start(why);

	memcpy(id, keyring_id(&w->volume), sizeof(id));
	if (ret == 0)
		ret = unlock(w, o, &a.box, why);
	a.stamp = w->stamp;
	if (ret == 0)
		ret = agent_listen(id, &s, why);
	if (ret == 0 && report >= 0)
		ret = detach();
	if (ret < 0)
		ret = fault_errno(why, EXIT_FAILED, ret, "the agent cannot start");
	tell(report, why);
	if (ret == 0)
		ret = agent_serve(&a, &s, why);
	agent_socket_close(&s);
	token_box_free(&a.box);
	return ret;
}

/* Waits until the agent serves or has failed. */
static int wait_for_start(pid_t pid, int report, struct fault *why)
{
	ssize_t n = 0;
	int status;

	do
		n = read(report, why, sizeof(*why));
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof(*why) && why->status == EXIT_OK)
		return 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (n == (ssize_t)sizeof(*why))
		return -ECANCELED;
	*why = (struct fault){.status = EXIT_OK};
	return fault_set(why, EXIT_FAILED, ECHILD, "the agent ended before it could serve");
}

static int start(struct watched *w, const struct agent_options *o, struct fault *why)
{
	struct agent_state there;
	int ends[2], ret;
	pid_t pid;

	/* Before anything is asked. */
	if (agent_ask_state(keyring_id(&w->volume), &there) == 0)
		return fault_set(why, EXIT_IN_USE, EBUSY,
				 "an agent for this keyring is there already (process %u); --stop ends it", there.pid);
	if (o->foreground)
		return live(w, o, -1, why);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return fault_errno(why, EXIT_FAILED, -errno, "cannot make a pipe");
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		ret = live(w, o, ends[1], why);
		_exit(ret < 0 ? EXIT_FAILED : EXIT_OK);
	}
	ret = pid < 0 ? -errno : 0;
	close(ends[1]);
	ret = ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot fork") : wait_for_start(pid, ends[0], why);
	close(ends[0]);
	return ret;
}

/* ------------------------------------------------------------------ the verb */

static int no_agent(const struct cli_volume *v, struct fault *why)
{
	return fault_set(why, EXIT_FAILED, ENOENT, "no agent of yours holds the keyring of %s", v->dir);
}

static int show(const struct cli_volume *v, struct fault *why)
{
	struct agent_state s;

	if (agent_ask_state(keyring_id(v), &s) < 0)
		return no_agent(v, why);
	printf("process %u, %u s left, %u s without use\n", s.pid, s.left, s.idle_left);
	return 0;
}

static int read_time(const char *option, const char *text, uint64_t *out, struct fault *why)
{
	if (text && (duration_parse(text, TIME_MAX, out) < 0 || !*out))
		return fault_set(why, EXIT_USAGE, EINVAL, "%s %s: give a time such as 10m, 8h or 2d", option, text);
	return 0;
}

int cmd_field_agent(const struct verb *v, int argc, char **argv, struct fault *why)
{
	struct agent_options o = {
		.field = {.unlock = UNLOCK_SOURCE_NONE}, .seconds = TIME_DEFAULT, .idle_seconds = IDLE_DEFAULT};
	struct watched w = {.volume = CLI_VOLUME_NONE};
	const struct option_spec specs[] = {
		OPTIONS_FIELD_KEYRING(&o.field),
		{OPTION_TEXT, 0, 0, "time", &o.time},
		{OPTION_TEXT, 0, 0, "idle", &o.idle},
		{OPTION_FLAG, 'f', 0, "foreground", &o.foreground},
		{OPTION_FLAG, 0, 'a', "stop", &o.stop},
		{OPTION_FLAG, 0, 'a', "status", &o.status},
		{0},
	};
	_cleanup_free_ char *name = NULL;
	struct words words;
	int ret = options_parse(v, argc, argv, specs, 0, 0, &words, why);

	if (ret)
		return ret == OPTIONS_HELP ? 0 : ret;
	ret = read_time("--time", o.time, &o.seconds, why);
	if (ret == 0)
		ret = read_time("--idle", o.idle, &o.idle_seconds, why);
	if (ret == 0)
		ret = field_keyring_name(&o.field, NULL, &name, why);
	if (ret == 0)
		ret = cli_volume_open(&w.volume, name, why);
	if (ret == 0 && o.status)
		ret = show(&w.volume, why);
	else if (ret == 0 && o.stop)
		ret = agent_stop(keyring_id(&w.volume)) < 0 ? no_agent(&w.volume, why) : 0;
	else if (ret == 0)
		ret = start(&w, &o, why);
	cli_volume_close(&w.volume);
	return ret;
}
