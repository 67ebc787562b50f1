#include "util/cli/status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/cli/options.h"
#include "util/cli/output.h"

enum { WATCH_SECONDS_MAX = 86400 };

static int add_mount(struct volume_status *s, const struct mount_entry *m)
{
	struct status_mount *list = reallocarray(s->mounts, s->mount_count + 1, sizeof *list);

	if (!list)
		return -ENOMEM;
	s->mounts = list;
	list[s->mount_count] = (struct status_mount){strdup(m->point), m->read_only, mount_is_dead(m->point)};
	return list[s->mount_count++].point ? 0 : -ENOMEM;
}

/* DIR of the volume, and where it is mounted.  `word` may be either. */
static int find_mounts(const char *word, struct volume_status *s, char **dir, struct fault *why)
{
	_cleanup_mounts_ struct mounts mounts = {0};

	int r = volume_of(word, dir, why);
	if (r == 0)
		r = mounts_read(&mounts, why);
	if (r < 0)
		return r;
	for (const struct mount_entry *m = NULL; r == 0 && (m = mounts_of(&mounts, *dir, m));)
		r = add_mount(s, m);
	return r < 0 ? fault_errno(why, EXIT_FAILED, r, "%s", word) : 0;
}

/* A mount of another namespace does not show in ours, but its lock does. */
static void ask_process(struct volume_status *s)
{
	s->locked = volume_hold(&s->volume) == HELD_ALONE;
	for (size_t i = 0; i < s->mount_count; i++)
		s->old_copy |= !s->mounts[i].dead && !s->locked;

	_cleanup_close_ int fd = s->locked ? reach_volume(&s->volume, &s->process) : -ENOENT;
	s->reached = fd >= 0;
}

static bool is_frozen(const struct volume_status *s)
{
	return s->reached && control_flag(&s->process, "frozen");
}

static int gather(const char *word, bool size, struct volume_status *s, struct fault *why)
{
	_cleanup_free_ char *dir = NULL;

	int r = find_mounts(word, s, &dir, why);
	if (r == 0)
		r = cli_volume_open(&s->volume, dir, why);
	if (r < 0)
		return r;
	if (keyring_stands_alone(s->volume.keyring))
		return 0;
	ask_process(s);
	/* Without the right to write there, or on a read-only store, less can be told; that is no failure.  What must hold still
	 * is not tried out. */
	s->caps_known = !s->old_copy && !is_frozen(s) && store_probe(s->volume.store, s->volume.dot, &s->caps) == 0;
	s->space_known = s->volume.store->ops->statvfs(s->volume.store, s->volume.data, &s->space) == 0;
	if (size)
		r = tree_size(s->volume.store, s->volume.data, &s->size);
	s->size_known = size && r == 0;
	return r < 0 ? fault_errno(why, EXIT_STORE, r, "cannot add up the size of %s", s->volume.dir) : 0;
}

static void free_status(struct volume_status *s)
{
	for (size_t i = 0; i < s->mount_count; i++)
		free(s->mounts[i].point);
	free(s->mounts);
	control_answer_free(&s->process);
	cli_volume_close(&s->volume);
}

/* `coffer status` alone. */
static int list_mounted(bool json, struct fault *why)
{
	_cleanup_mounts_ struct mounts mounts = {0};
	json_object *list = json ? json_object_new_array() : NULL;

	int r = mounts_read(&mounts, why);
	for (size_t i = 0; r == 0 && i < mounts.count; i++) {
		const struct mount_entry *m = &mounts.list[i];
		bool dead = mount_is_dead(m->point);

		if (json) {
			json_object *o = json_object_new_object();
			json_add_text(o, "mount_point", m->point);
			json_add_text(o, "directory", m->source);
			json_add_bool(o, "read_only", m->read_only);
			json_add_bool(o, "dead", dead);
			json_object_array_add(list, o);
		} else {
			printf("%s on %s%s%s\n", m->source, m->point, m->read_only ? " (read-only)" : "",
			       dead ? " (dead: its process is gone; `coffer umount` clears it)" : "");
		}
	}
	if (json)
		json_print(list);
	else if (r == 0 && !mounts.count)
		puts("no volume of coffer is mounted here");
	return r;
}

static int watch_one(const char *word, bool json, int interval, int count, struct fault *why)
{
	struct watch_options o = {.seconds = interval ? (unsigned)interval : 1, .count = (unsigned)count, .json = json};

	if (!word)
		return fault_set(why, EXIT_USAGE, EINVAL, "--watch wants a volume or a mount point");
	if (interval < 0 || interval > WATCH_SECONDS_MAX || count < 0)
		return fault_set(why, EXIT_USAGE, EINVAL, "--interval takes 1 to %d seconds, --count a number of lines",
				 WATCH_SECONDS_MAX);
	return status_watch(word, &o, why);
}

int cmd_status(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_(free_status) struct volume_status s = {.volume = CLI_VOLUME_NONE};
	bool json = false, size = false, watch = false;
	int interval = 0, count = 0;
	const struct option_spec specs[] = {
		{OPTION_FLAG, 0, 0, "json", &json},     {OPTION_FLAG, 0, 'w', "size", &size},
		{OPTION_FLAG, 0, 'w', "watch", &watch}, {OPTION_NUMBER, 0, 0, "interval", &interval},
		{OPTION_NUMBER, 0, 0, "count", &count}, {0},
	};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 0, 1, &words, why);
	if (r)
		return r;
	if ((interval || count) && !watch)
		return fault_set(why, EXIT_USAGE, EINVAL, "--interval and --count go with --watch");
	if (watch)
		return watch_one(words.count ? words.at[0] : NULL, json, interval, count, why);
	if (!words.count)
		return list_mounted(json, why);
	r = gather(words.at[0], size, &s, why);
	if (r < 0)
		return r;
	if (json)
		status_print_json(&s);
	else
		status_print(&s);
	return 0;
}
