/* lock, unlock: the keys of a mount go and come back while it stays, and so do the programs that use it. */
#include <errno.h>
#include <stdio.h>

#include "util/cli/key.h"
#include "util/cli/mounts.h"
#include "util/cli/options.h"
#include "util/cli/reach.h"

enum { LOCK_SECONDS = 300 };

static int lock_one(const char *word, struct fault *why)
{
	_cleanup_answer_ struct control_answer answer = CONTROL_ANSWER_NONE;
	_cleanup_volume_ struct cli_volume v = CLI_VOLUME_NONE;

	_cleanup_close_ int fd = reach(word, &v, &answer, why);
	if (fd < 0)
		return fd;
	int r = control_ask(fd, "lock", NULL, LOCK_SECONDS, &answer, why);
	if (r == 0)
		printf("%s is locked; what programs ask for now fails until: coffer unlock %s\n", v.dir, word);
	return r;
}

/* All that can be reached and are not locked yet; the first fault is the verb's. */
static int lock_all(struct fault *why)
{
	_cleanup_mounts_ struct mounts mounts = {0};
	int result = mounts_read(&mounts, why);

	for (size_t i = 0; i < mounts.count; i++) {
		if (mount_is_dead(mounts.list[i].point))
			continue;

		struct fault one = {.status = EXIT_OK};
		_cleanup_answer_ struct control_answer status = CONTROL_ANSWER_NONE;
		_cleanup_volume_ struct cli_volume v = CLI_VOLUME_NONE;
		_cleanup_close_ int fd = reach(mounts.list[i].source, &v, &status, &one);
		int r = fd < 0 ? fd : 0;

		if (fd >= 0 && !control_flag(&status, "locked"))
			r = lock_one(mounts.list[i].source, &one);
		if (r < 0 && result == 0) {
			*why = one;
			result = r;
		}
	}
	return result;
}

int cmd_lock(const struct verb *v, int argc, char **argv, struct fault *why)
{
	bool all = false;
	const struct option_spec specs[] = {{OPTION_FLAG, 0, 0, "all", &all}, {0}};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 0, 1, &words, why);
	if (r)
		return r;
	if (all == (words.count == 1))
		return fault_set(why, EXIT_USAGE, EINVAL, "lock: give a mount, or --all");
	return all ? lock_all(why) : lock_one(words.at[0], why);
}

int cmd_unlock(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_answer_ struct control_answer answer = CONTROL_ANSWER_NONE;
	_cleanup_key_work_ struct key_work w = KEY_WORK_NONE;
	const struct option_spec specs[] = {OPTIONS_UNLOCK(&w.unlock), {0}};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	if (r)
		return r;
	_cleanup_close_ int fd = reach(words.at[0], &w.volume, &answer, why);
	if (fd < 0)
		return fd;
	if (!control_flag(&answer, "locked"))
		return fault_set(why, EXIT_REFUSED, EALREADY, "%s is not locked", w.volume.dir);
	r = secrets_start(why);
	if (r == 0)
		r = cli_volume_unlock(&w.volume, &w.unlock, NULL, why);
	if (r < 0)
		return r;
	/* Asking for a passphrase took longer than the mount waits for a silent client. */
	close(fd);
	fd = reach_volume(&w.volume, &answer);
	if (fd < 0)
		return fault_set(why, EXIT_FAILED, ENOENT, "%s: its mount is gone", w.volume.dir);
	r = control_ask_with_root(fd, "unlock", NULL, w.volume.keyring, LOCK_SECONDS, &answer, why);
	if (r == 0)
		printf("%s is unlocked\n", w.volume.dir);
	return r;
}
