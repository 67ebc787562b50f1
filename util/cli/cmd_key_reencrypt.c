/* key reencrypt start, pause, resume, stop, status: by the mount if the volume is mounted, else here until it is done. */
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fs/offline.h"
#include "util/base/progress.h"
#include "util/cli/key.h"
#include "util/cli/mounts.h"
#include "util/cli/options.h"
#include "util/cli/reach.h"
#include "util/cli/reencrypt.h"

enum { ASK_SECONDS = 300, LOOK_MS = 200 };

struct work {
	struct key_work key;
	const char *action;
	struct reencryption how;
	const char *max_rate, *suspect, *give_up, *scope;
	time_t since; /* of suspect */
	bool wait;
	int fd; /* to the mount; -1: there is none */
	struct offline *offline;
	struct progress bar;
};

/* How it stands, whoever told. */
struct state {
	char phase[16];
	uint64_t generation, done, total, bytes, objects, rate, stuck;
	char reason[128];
	json_object *stuck_paths; /* NULL: none */
};

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
	(void)signal;
	interrupted = 1;
}

/* ------------------------------------------------------------------ how it stands */

static void state_free(struct state *s)
{
	json_object_put(s->stuck_paths);
}

static void take_text(const struct control_answer *a, const char *name, char *out, size_t room)
{
	const char *text = control_text(a, name);

	snprintf(out, room, "%s", text ? text : "");
}

static int ask_state(int fd, struct state *s, struct fault *why)
{
	_cleanup_answer_ struct control_answer a = CONTROL_ANSWER_NONE;
	int r = control_ask(fd, "reencryption", NULL, ASK_SECONDS, &a, why);
	json_object *paths;

	if (r < 0)
		return r;
	take_text(&a, "phase", s->phase, sizeof s->phase);
	take_text(&a, "reason", s->reason, sizeof s->reason);
	control_number(&a, "generation", &s->generation);
	control_number(&a, "done", &s->done);
	control_number(&a, "total", &s->total);
	control_number(&a, "bytes", &s->bytes);
	control_number(&a, "objects", &s->objects);
	control_number(&a, "rate", &s->rate);
	control_number(&a, "stuck", &s->stuck);
	if (json_object_object_get_ex(a.members, "stuck_paths", &paths)) {
		/* Answers are wiped. */
		json_object_put(s->stuck_paths);
		s->stuck_paths = NULL;
		if (json_object_deep_copy(paths, &s->stuck_paths, NULL) < 0)
			return fault_set(why, EXIT_FAILED, ENOMEM, "no memory");
	}
	return 0;
}

static void take_stuck(struct offline *o, struct state *s)
{
	char **list;
	size_t n;

	json_object_put(s->stuck_paths);
	s->stuck_paths = json_object_new_array();
	if (reencrypt_stuck(o->reencrypt, &list, &n) < 0)
		n = 0;
	for (size_t i = 0; i < n; i++) {
		json_object_array_add(s->stuck_paths, json_object_new_string(list[i]));
		free(list[i]);
	}
	if (n)
		free(list);
}

static void own_state(struct offline *o, struct state *s)
{
	struct reencrypt_status now;

	reencrypt_status(o->reencrypt, &now);
	snprintf(s->phase, sizeof s->phase, "%s", reencrypt_phase_name(now.phase));
	snprintf(s->reason, sizeof s->reason, "%s", now.error ? strerror(-now.error) : "");
	s->generation = now.generation;
	s->done = now.done;
	s->total = now.total;
	s->bytes = now.bytes;
	s->objects = now.objects;
	s->rate = now.rate;
	s->stuck = now.stuck;
	if (now.stuck)
		take_stuck(o, s);
}

static int get_state(struct work *w, struct state *s, struct fault *why)
{
	if (w->fd >= 0)
		return ask_state(w->fd, s, why);
	own_state(w->offline, s);
	return 0;
}

static bool is_phase(const struct state *s, const char *phase)
{
	return strcmp(s->phase, phase) == 0;
}

static bool is_working(const struct state *s)
{
	return is_phase(s, "waiting") || is_phase(s, "moving") || is_phase(s, "verifying");
}

/* ------------------------------------------------------------------ saying it */

static uint64_t seconds_left(const struct state *s)
{
	return s->rate && s->total > s->done ? (s->total - s->done) / s->rate + 1 : 0;
}

static void print_json(const struct state *s)
{
	json_object *o = json_object_new_object();

	json_add_text(o, "phase", s->phase);
	json_add_number(o, "generation", s->generation);
	json_object_object_add(o, "percent",
			       json_object_new_double(s->total ? (double)s->done * 100 / (double)s->total : 0));
	json_add_number(o, "bytes", s->bytes);
	json_add_number(o, "objects", s->objects);
	json_add_number(o, "bytes_per_second", s->rate);
	json_add_number(o, "seconds_left", is_working(s) ? seconds_left(s) : 0);
	json_add_number(o, "stuck", s->stuck);
	json_object_object_add(o, "stuck_paths",
			       s->stuck_paths ? json_object_get(s->stuck_paths) : json_object_new_array());
	json_object_object_add(o, "reason", *s->reason ? json_object_new_string(s->reason) : NULL);
	json_print(o);
}

static void print_stuck(const struct work *w, const struct state *s)
{
	printf("%" PRIu64 " of them cannot be re-encrypted (the log says why), and nothing is refused yet:\n",
	       s->stuck);
	for (size_t i = 0; s->stuck_paths && i < json_object_array_length(s->stuck_paths); i++)
		printf("  %s\n", json_object_get_string(json_object_array_get_idx(s->stuck_paths, i)));
	printf("mend them and go on, or set them aside: coffer key reencrypt resume %s --give-up FILE|all\n",
	       w->key.volume.dir);
}

static void print_state(const struct work *w, const struct state *s)
{
	char bytes[SIZE_TEXT], rate[SIZE_TEXT];
	int percent = s->total ? (int)(s->done * 100 / s->total) : 0;

	if (w->key.json) {
		print_json(s);
		return;
	}
	size_text(s->bytes, bytes);
	if (is_phase(s, "none"))
		puts("no re-encryption is under way");
	else if (is_phase(s, "paused"))
		printf("paused; go on with: coffer key reencrypt resume %s\n", w->key.volume.dir);
	else if (is_phase(s, "waiting"))
		puts("about to begin");
	else if (is_phase(s, "failed"))
		printf("came to a halt: %s; try again with: coffer key reencrypt start %s\n", s->reason,
		       w->key.volume.dir);
	else if (is_phase(s, "stuck"))
		printf("everything else is under generation %" PRIu64 "\n", s->generation);
	else
		printf("%s %d %% to generation %" PRIu64 ": %s of content moved, %s/s, about %" PRIu64 " s left\n",
		       s->phase, percent, s->generation, bytes, size_text(s->rate, rate), seconds_left(s));
	if (s->stuck)
		print_stuck(w, s);
}

/* ------------------------------------------------------------------ waiting */

static void draw(struct work *w, const struct state *s)
{
	if (w->bar.total != s->total) {
		progress_end(&w->bar);
		progress_start(&w->bar, is_phase(s, "verifying") ? "verifying" : "re-encrypting", PROGRESS_BYTES,
			       s->total);
	}
	progress_update(&w->bar, s->done);
}

static void moment(void)
{
	const struct timespec t = {0, LOOK_MS * 1000000L};

	nanosleep(&t, NULL);
}

static int end_of(const struct state *s, struct fault *why)
{
	if (is_phase(s, "stuck"))
		return fault_set(why, EXIT_DAMAGED, EIO, "%" PRIu64 " files cannot be re-encrypted", s->stuck);
	if (is_phase(s, "failed"))
		return fault_set(why, EXIT_STORE, EIO, "the re-encryption came to a halt: %s", s->reason);
	return 0;
}

static int wait_for_end(struct work *w, struct fault *why)
{
	__attribute__((cleanup(state_free))) struct state s = {0};
	int r;

	signal(SIGINT, interrupt);
	signal(SIGTERM, interrupt);
	progress_start(&w->bar, "re-encrypting", PROGRESS_BYTES, 0);
	while ((r = get_state(w, &s, why)) == 0 && is_working(&s) && !interrupted) {
		draw(w, &s);
		moment();
	}
	progress_end(&w->bar);
	if (r < 0)
		return r;
	if (interrupted) {
		printf("not finished; %s\n",
		       w->fd >= 0 ? "the mount goes on with it" : "the next mount goes on with it");
		return 0;
	}
	if (is_phase(&s, "none") && !w->key.json)
		puts("everything is under the active generation; nothing older is accepted any more");
	else
		print_state(w, &s);
	return end_of(&s, why);
}

int reencrypt_follow(struct key_work *key, int fd, struct offline *offline, struct fault *why)
{
	struct work w = {.key = *key, .action = "start", .fd = fd, .offline = offline};

	return wait_for_end(&w, why);
}

/* ------------------------------------------------------------------ suspects */

static time_t suspects_since;
static uint64_t suspects;

static void print_suspect(const char *path)
{
	printf("%s\n", path);
	suspects++;
}

static bool changed_since(const struct timespec *mtime, const struct timespec *ctime)
{
	return mtime->tv_sec >= suspects_since || ctime->tv_sec >= suspects_since;
}

static int visit(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)where;
	if (type != FTW_NS && changed_since(&st->st_mtim, &st->st_ctim))
		print_suspect(path);
	return 0;
}

static int visit_offline(void *data, const char *path, const struct store_stat *st)
{
	(void)data;
	if (changed_since(&st->mtime, &st->ctime))
		print_suspect(path);
	return 0;
}

/* Before anything is touched: re-encryption changes times below. */
static int list_suspects(struct work *w, struct fault *why)
{
	_cleanup_mounts_ struct mounts mounts = {0};
	const struct mount_entry *m;
	int r;

	if (!w->suspect)
		return 0;
	suspects_since = w->since;
	if (w->fd < 0)
		return offline_walk(w->offline, visit_offline, NULL);
	r = mounts_read(&mounts, why);
	m = r == 0 ? mounts_of(&mounts, w->key.volume.dir, NULL) : NULL;
	if (r == 0 && (!m || nftw(m->point, visit, 64, FTW_PHYS | FTW_MOUNT) != 0))
		r = fault_set(why, EXIT_FAILED, ENOENT, "cannot list what changed: the mount is not seen from here");
	return r;
}

/* 2026-11-28, 2026-11-28T01:49:14Z, @1790000000 */
static int parse_time(const char *text, time_t *out)
{
	struct tm tm = {0};
	const char *end;
	uint64_t seconds;

	if (text[0] == '@') {
		if (number_parse(text + 1, INT64_MAX, &seconds) < 0)
			return -EINVAL;
		*out = (time_t)seconds;
		return 0;
	}
	end = strptime(text, "%Y-%m-%d", &tm);
	if (end && *end == 'T')
		end = strptime(end, "T%H:%M:%SZ", &tm);
	if (!end || *end)
		return -EINVAL;
	*out = timegm(&tm);
	return 0;
}

/* ------------------------------------------------------------------ doing it */

static json_object *request_of(const struct work *w)
{
	json_object *o = json_object_new_object();

	json_object_object_add(o, "action", json_object_new_string(w->give_up ? "give-up" : w->action));
	json_object_object_add(o, "touch", json_object_new_boolean(w->how.touch));
	json_object_object_add(o, "idle", json_object_new_boolean(w->how.idle));
	json_object_object_add(o, "unthrottled", json_object_new_boolean(w->how.max_rate == REENCRYPTION_UNTHROTTLED));
	if (w->how.max_rate && w->how.max_rate != REENCRYPTION_UNTHROTTLED)
		json_object_object_add(o, "max_rate", json_object_new_uint64(w->how.max_rate));
	if (w->how.only)
		json_object_object_add(o, "scope", json_object_new_uint64(w->how.scope));
	if (w->give_up && strcmp(w->give_up, "all") != 0)
		json_object_object_add(o, "path", json_object_new_string(w->give_up));
	return o;
}

static int by_mount(struct work *w, struct fault *why)
{
	_cleanup_answer_ struct control_answer a = CONTROL_ANSWER_NONE;
	int r = list_suspects(w, why);

	if (r == 0)
		r = control_ask(w->fd, "reencrypt", request_of(w), ASK_SECONDS, &a, why);
	if (r == 0 && w->wait)
		r = wait_for_end(w, why);
	else if (r == 0 && !w->key.json)
		printf("%s\n", strcmp(w->action, "start") == 0 || strcmp(w->action, "resume") == 0
				       ? "the mount re-encrypts; see how far it is: coffer key reencrypt status"
				       : "the mount has stopped re-encrypting");
	return r;
}

static int edit(struct keyring *k, void *context, struct fault *why)
{
	const struct work *w = context;

	if (strcmp(w->action, "start") == 0)
		return keyring_start_reencryption(k, &w->how, why);
	if (strcmp(w->action, "stop") == 0)
		return keyring_stop_reencryption(k, why);
	return keyring_pause_reencryption(k, strcmp(w->action, "pause") == 0, why);
}

/* Where nobody has it mounted, what works works here. */
static int work_here(struct work *w, struct fault *why)
{
	struct offline o = OFFLINE_NONE;
	int r = offline_start(w->key.volume.dir, &w->key.unlock, &o, why), end;
	struct fault later = {.status = EXIT_OK};
	uint64_t count;

	if (r < 0)
		return r;
	w->offline = &o;
	r = list_suspects(w, why);
	if (r == 0 && !w->give_up)
		r = live_keys_change(o.keys, edit, w, why);
	if (r == 0)
		r = reencrypt_look(o.reencrypt, why);
	if (r == 0 && w->give_up) {
		/* What is stuck is known when it has been tried. */
		while (!reencrypt_wait(o.reencrypt, LOOK_MS) && !interrupted)
			;
		r = reencrypt_give_up(o.reencrypt, strcmp(w->give_up, "all") == 0 ? NULL : w->give_up, &count, why);
		if (r == 0)
			r = reencrypt_look(o.reencrypt, why);
	}
	if (r == 0)
		r = wait_for_end(w, why);
	w->offline = NULL;
	end = offline_stop(&o, &later);
	if (r == 0 && end < 0)
		*why = later;
	return r < 0 ? r : end;
}

static int note_here(struct work *w, struct fault *why)
{
	int r = key_open(&w->key, w->key.volume.dir, why);

	if (r == 0)
		r = key_change(&w->key.volume, edit, w, why);
	if (r == 0 && !w->key.json)
		puts(strcmp(w->action, "pause") == 0 ? "paused; mounts do not go on with it"
						     : "given up; what is under older generations stays there");
	return r;
}

/* Reaches the mount, if the volume is mounted. */
static int find_mount(struct work *w, const char *word, struct fault *why)
{
	_cleanup_answer_ struct control_answer a = CONTROL_ANSWER_NONE;
	int r = key_look(&w->key.volume, word, why);

	if (r < 0)
		return r;
	if (keyring_stands_alone(w->key.volume.keyring))
		return fault_set(why, EXIT_REFUSED, ENOTSUP,
				 "%s stands alone: tokens move with \"coffer field rotate\"", word);
	w->fd = reach_volume(&w->key.volume, &a);
	if (w->fd < 0 && volume_hold(&w->key.volume) == HELD_ALONE)
		return fault_set(why, EXIT_IN_USE, EBUSY,
				 "%s: its mount is not reached: it is another user's, or had no XDG_RUNTIME_DIR",
				 w->key.volume.dir);
	return 0;
}

static int parse_how(struct work *w, const struct verb *v, struct fault *why)
{
	uint64_t rate;

	if (w->max_rate && strcmp(w->max_rate, "none") == 0)
		w->how.max_rate = REENCRYPTION_UNTHROTTLED;
	else if (w->max_rate && (size_parse(w->max_rate, &rate) < 0 || rate == 0))
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "%s: --max-rate %s: give bytes a second such as 20M, or none for no bound", v->name,
				 w->max_rate);
	else if (w->max_rate)
		w->how.max_rate = rate;
	if (w->suspect && parse_time(w->suspect, &w->since) < 0)
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "%s: --suspect %s: give a time such as 2026-11-28 or 2026-11-28T01:49:14Z", v->name,
				 w->suspect);
	return 0;
}

/* Once the keyring is read. */
static int parse_scope(struct work *w, const struct verb *v, struct fault *why)
{
	int r = scope_parse(w->key.volume.keyring, w->scope, &w->how.scope, why);

	if (r == 0 && w->how.scope == SCOPE_FIELDS)
		r = fault_set(why, EXIT_USAGE, EINVAL, "%s: values inside files move with \"coffer field rotate\"",
			      v->name);
	w->how.only = w->scope != NULL;
	return r;
}

static int run(const struct verb *v, int argc, char **argv, const char *action, struct fault *why)
{
	struct work w = {.key = KEY_WORK_NONE, .action = action, .fd = -1};
	bool starts = strcmp(action, "start") == 0, resumes = strcmp(action, "resume") == 0;
	const struct option_spec unlock[] = {OPTIONS_UNLOCK(&w.key.unlock), {OPTION_FLAG, 0, 0, "json", &w.key.json}};
	struct option_spec specs[sizeof unlock / sizeof unlock[0] + 8] = {{0}};
	size_t n = sizeof unlock / sizeof unlock[0];
	struct words words;
	int r;

	memcpy(specs, unlock, sizeof unlock);
	if (starts || resumes)
		specs[n++] = (struct option_spec){OPTION_FLAG, 0, 0, "wait", &w.wait};
	if (starts) {
		specs[n++] = (struct option_spec){OPTION_TEXT, 0, 0, "max-rate", &w.max_rate};
		specs[n++] = (struct option_spec){OPTION_FLAG, 0, 0, "idle", &w.how.idle};
		specs[n++] = (struct option_spec){OPTION_FLAG, 0, 0, "touch", &w.how.touch};
		specs[n++] = (struct option_spec){OPTION_TEXT, 0, 0, "suspect", &w.suspect};
		specs[n++] = (struct option_spec){OPTION_TEXT, 0, 0, "scope", &w.scope};
	}
	if (resumes)
		specs[n++] = (struct option_spec){OPTION_TEXT, 0, 0, "give-up", &w.give_up};
	r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	if (r)
		return r;
	r = parse_how(&w, v, why);
	if (r == 0)
		r = find_mount(&w, words.at[0], why);
	if (r == 0)
		r = parse_scope(&w, v, why);
	if (r == 0 && w.fd < 0)
		r = secrets_start(why);
	if (r == 0)
		r = w.fd >= 0 ? by_mount(&w, why) : (starts || resumes ? work_here(&w, why) : note_here(&w, why));
	if (w.fd >= 0)
		close(w.fd);
	key_work_close(&w.key);
	return r;
}

int cmd_key_reencrypt_start(const struct verb *v, int argc, char **argv, struct fault *why)
{
	return run(v, argc, argv, "start", why);
}

int cmd_key_reencrypt_pause(const struct verb *v, int argc, char **argv, struct fault *why)
{
	return run(v, argc, argv, "pause", why);
}

int cmd_key_reencrypt_resume(const struct verb *v, int argc, char **argv, struct fault *why)
{
	return run(v, argc, argv, "resume", why);
}

int cmd_key_reencrypt_stop(const struct verb *v, int argc, char **argv, struct fault *why)
{
	return run(v, argc, argv, "stop", why);
}

/* Needs no secret: a mount is asked, else the keyring says whether one is to go on. */
int cmd_key_reencrypt_status(const struct verb *v, int argc, char **argv, struct fault *why)
{
	struct work w = {.key = KEY_WORK_NONE, .action = "status", .fd = -1};
	const struct option_spec specs[] = {OPTIONS_UNLOCK(&w.key.unlock),
					    {OPTION_FLAG, 0, 0, "json", &w.key.json},
					    {OPTION_FLAG, 0, 0, "wait", &w.wait},
					    {0}};
	__attribute__((cleanup(state_free))) struct state s = {.phase = "none"};
	struct reencryption wanted;
	struct words words;
	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);

	if (r)
		return r;
	r = find_mount(&w, words.at[0], why);
	if (r == 0 && w.fd >= 0)
		r = w.wait ? wait_for_end(&w, why) : ask_state(w.fd, &s, why);
	else if (r == 0 && keyring_reencryption(w.key.volume.keyring, &wanted))
		snprintf(s.phase, sizeof s.phase, "%s", wanted.paused ? "paused" : "waiting");
	if (r == 0 && !(w.wait && w.fd >= 0))
		print_state(&w, &s);
	if (w.fd >= 0)
		close(w.fd);
	key_work_close(&w.key);
	return r;
}
