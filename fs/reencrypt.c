#include "fs/reencrypt.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "fs/give_up.h"
#include "fs/rekey.h"
#include "fs/worker.h"
#include "util/base/log.h"

enum {
	DRAIN_SECONDS = 60,
	LOOK_MS = 500,      /* how often the end of a look or of a drain is looked for */
	OBJECT_COST = 4096, /* of an object, in the progress */
	BUSY_SHARE = 16,    /* of the time one in so many parts is worked while others work */
	WORK_MS = 4,        /* between two thoughts of rest */
	REST_MAX_MS = 250,  /* at once */
	IDLE_MS = 1000,     /* without a request, for --idle */
	STUCK_MAX = 1000,   /* paths that are remembered */
	RATE_SECONDS = 5,
};

struct reencrypt {
	struct reencrypt_parts p;
	pthread_mutex_t lock; /* everything below */
	pthread_cond_t changed;
	pthread_t thread;
	bool running, started; /* started: the thread is to be joined */
	bool cancel;
	struct reencryption how;
	struct reencrypt_status now;
	char **stuck; /* paths */
	size_t stuck_count;

	/* of the thread alone */
	uint64_t base_bytes, base_objects; /* of passes before this one */
	int64_t worked_from, rested_until, rate_from;
	uint64_t rate_done, activity;
	uint64_t sealed; /* bytes, since the last rest */
	int64_t activity_at;
	struct rekey *pass;
};

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

struct reencrypt *reencrypt_new(const struct reencrypt_parts *p)
{
	struct reencrypt *r = calloc(1, sizeof *r);
	pthread_condattr_t monotonic;

	if (!r)
		return NULL;
	r->p = *p;
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&r->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return r;
}

/* ------------------------------------------------------------------ rests */

static struct timespec after_us(int64_t us)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += us / 1000000;
	t.tv_nsec += us % 1000000 * 1000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

/* Waits so long, or until it is to stop; true then. */
static bool pause_us(struct reencrypt *r, int64_t us)
{
	struct timespec until = after_us(us);
	bool cancel;

	pthread_mutex_lock(&r->lock);
	while (!r->cancel && pthread_cond_timedwait(&r->changed, &r->lock, &until) == 0)
		;
	cancel = r->cancel;
	pthread_mutex_unlock(&r->lock);
	return cancel;
}

/* Somebody asked the mount something since the last look. */
static bool others_work(struct reencrypt *r)
{
	uint64_t activity = r->p.activity ? r->p.activity(r->p.data) : 0;
	bool some = activity != r->activity;

	if (some)
		r->activity_at = now_us();
	r->activity = activity;
	return some;
}

/* The settings, which may change at any time. */
static struct reencryption settings(struct reencrypt *r, bool *cancel)
{
	struct reencryption how;

	pthread_mutex_lock(&r->lock);
	how = r->how;
	*cancel = r->cancel;
	pthread_mutex_unlock(&r->lock);
	return how;
}

static bool wait_for_idleness(struct reencrypt *r)
{
	bool cancel = false;

	while (!cancel && (others_work(r) || now_us() - r->activity_at < IDLE_MS * 1000))
		cancel = pause_us(r, IDLE_MS * 1000 / 4);
	return cancel;
}

/* After so many bytes in so much time. */
static int64_t rest_for(struct reencrypt *r, const struct reencryption *how, uint64_t bytes, int64_t worked)
{
	int64_t rest = 0;

	if (how->max_rate && how->max_rate != REENCRYPTION_UNTHROTTLED)
		rest = (int64_t)((double)bytes / (double)how->max_rate * 1e6) - worked;
	else if (how->max_rate == 0 && others_work(r))
		rest = worked * (BUSY_SHARE - 1);
	return rest > 0 ? rest : 0;
}

static void note_progress(struct reencrypt *r)
{
	const struct rekey *k = r->pass;
	int64_t now = now_us();

	pthread_mutex_lock(&r->lock);
	r->now.done = k->passed + k->seen * OBJECT_COST;
	r->now.bytes = r->base_bytes + k->bytes;
	r->now.objects = r->base_objects + k->objects;
	if (now - r->rate_from >= RATE_SECONDS * 1000000 || r->now.rate == 0) {
		uint64_t all = r->now.done + k->bytes;

		if (now > r->rate_from && all > r->rate_done)
			r->now.rate = (uint64_t)((double)(all - r->rate_done) * 1e6 / (double)(now - r->rate_from));
		if (now - r->rate_from >= RATE_SECONDS * 1000000) {
			r->rate_from = now;
			r->rate_done = all;
		}
	}
	pthread_mutex_unlock(&r->lock);
}

/* Between two steps (4). */
static int rest(void *data, uint64_t bytes)
{
	struct reencrypt *r = data;
	bool cancel;
	struct reencryption how = settings(r, &cancel);
	int64_t now = now_us(), worked = now - r->worked_from, due;

	r->sealed += bytes;
	if (cancel)
		return -ECANCELED;
	if (worked < WORK_MS * 1000 && !how.max_rate)
		return 0;
	note_progress(r);
	if (how.idle && wait_for_idleness(r))
		return -ECANCELED;
	due = rest_for(r, &how, r->sealed, worked);
	/* A bound on the rate is kept exactly; a rest for others is not longer than they notice. */
	if (!how.max_rate && due > REST_MAX_MS * 1000)
		due = REST_MAX_MS * 1000;
	if (due > 0 && pause_us(r, due))
		return -ECANCELED;
	r->sealed = 0;
	r->worked_from = now_us();
	return 0;
}

/* ------------------------------------------------------------------ what is stuck */

static void forget_stuck(struct reencrypt *r)
{
	for (size_t i = 0; i < r->stuck_count; i++)
		free(r->stuck[i]);
	free(r->stuck);
	r->stuck = NULL;
	r->stuck_count = 0;
	r->now.stuck = 0;
}

static void stuck(void *data, struct node *n, const char *path, int error)
{
	struct reencrypt *r = data;
	char shown[2048];
	char **list;

	(void)n;
	log_warning("%s cannot be re-encrypted: %s", log_escape(path, shown, sizeof shown),
		    error == -EIO || error == -EBADMSG ? "something of it does not decrypt" : strerror(-error));
	pthread_mutex_lock(&r->lock);
	r->now.stuck++;
	list = r->stuck_count < STUCK_MAX ? realloc(r->stuck, (r->stuck_count + 1) * sizeof(char *)) : NULL;
	if (list) {
		r->stuck = list;
		list[r->stuck_count] = strdup(path);
		r->stuck_count += list[r->stuck_count] != NULL;
	}
	pthread_mutex_unlock(&r->lock);
}

int reencrypt_stuck(struct reencrypt *r, char ***list, size_t *count)
{
	int result = 0;

	pthread_mutex_lock(&r->lock);
	*count = 0;
	*list = calloc(r->stuck_count + 1, sizeof(char *));
	for (size_t i = 0; i < r->stuck_count && *list && result == 0; i++) {
		(*list)[i] = strdup(r->stuck[i]);
		result = (*list)[i] ? 0 : -ENOMEM;
		*count += result == 0;
	}
	if (!*list)
		result = -ENOMEM;
	pthread_mutex_unlock(&r->lock);
	return result;
}

/* ------------------------------------------------------------------ passes */

static void set_phase(struct reencrypt *r, enum reencrypt_phase phase, int error)
{
	pthread_mutex_lock(&r->lock);
	r->now.phase = phase;
	r->now.error = error;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

/* (1) */
static int prepare_pass(struct reencrypt *r)
{
	struct engine *e = r->p.engine;
	int result;

	/* Renames of a pass would begin the sweep anew, again and again. */
	set_phase(r, REENCRYPT_WAITING, 0);
	while (atomic_load(&e->lost_ranges))
		if (pause_us(r, LOOK_MS * 1000))
			return -ECANCELED;
	while ((result = workers_drain(e, DRAIN_SECONDS)) == -ETIMEDOUT)
		if (pause_us(r, LOOK_MS * 1000))
			return -ECANCELED;
	return result < 0 ? result : engine_checkpoint(e);
}

static int measure(struct reencrypt *r, struct rekey *k)
{
	int result;

	k->measure_only = true;
	result = rekey_pass(k);
	k->measure_only = false;
	pthread_mutex_lock(&r->lock);
	r->now.total = k->passed + k->seen * OBJECT_COST;
	r->now.done = 0;
	pthread_mutex_unlock(&r->lock);
	return result;
}

/* For people: in most volumes there is one scope of files. */
static uint32_t highest(const uint32_t targets[SCOPES_MAX])
{
	uint32_t generation = GENERATION_NONE;

	for (uint32_t i = 0; i < SCOPES_MAX; i++)
		if (targets[i] > generation)
			generation = targets[i];
	return generation;
}

static int one_pass(struct reencrypt *r, struct rekey *k, bool further)
{
	bool cancel;
	struct reencryption how = settings(r, &cancel);
	int result = prepare_pass(r);

	if (result == 0)
		result = rekey_aim(k, how.only ? how.scope : REKEY_ALL);
	k->touch = how.touch;
	pthread_mutex_lock(&r->lock);
	r->now.generation = highest(k->targets);
	forget_stuck(r);
	pthread_mutex_unlock(&r->lock);
	r->worked_from = r->rate_from = now_us();
	r->sealed = 0;
	r->rate_done = 0;
	set_phase(r, further ? REENCRYPT_VERIFYING : REENCRYPT_MOVING, 0);
	if (result == 0)
		result = measure(r, k);
	if (result == 0)
		result = rekey_pass(k);
	note_progress(r);
	r->base_bytes += k->bytes;
	r->base_objects += k->objects;
	return result == 0 ? engine_checkpoint(r->p.engine) : result;
}

static int end(struct keyring *k, void *context, struct fault *why)
{
	return keyring_end_reencryption(k, context, why);
}

/* (2), (3) */
static int passes(struct reencrypt *r)
{
	struct rekey k = {.e = r->p.engine, .rest = rest, .stuck = stuck, .data = r};
	struct fault why = {.status = EXIT_OK};
	uint64_t before;
	int result;

	r->pass = &k;
	for (bool further = false;; further = true) {
		before = k.failed;
		result = one_pass(r, &k, further);
		if (result < 0)
			return result;
		if (k.objects == 0 && k.failed == 0 && !k.missed)
			break;
		/* Nothing is left but what failed before. */
		if (further && k.objects == 0 && !k.missed && k.failed && k.failed == before)
			return -EBUSY;
	}
	result = live_keys_change(r->p.keys, end, k.targets, &why);
	if (result < 0)
		log_error("everything is re-encrypted, but that cannot be noted: %s", why.text);
	else
		log_info("everything is re-encrypted: nothing older is accepted any more");
	return result;
}

static enum reencrypt_phase phase_after(int result, bool paused)
{
	if (result == 0)
		return REENCRYPT_NONE;
	if (result == -ECANCELED)
		return paused ? REENCRYPT_PAUSED : REENCRYPT_NONE;
	return result == -EBUSY ? REENCRYPT_STUCK : REENCRYPT_FAILED;
}

static void *run(void *data)
{
	struct reencrypt *r = data;
	int result = passes(r);

	r->pass = NULL;
	if (result == -ENOKEY)
		log_warning("the re-encryption waits: a scope that it is about is locked");
	else if (result < 0 && result != -ECANCELED && result != -EBUSY)
		log_error("the re-encryption has come to a halt: %s; the next mount goes on with it",
			  strerror(-result));
	pthread_mutex_lock(&r->lock);
	r->running = false;
	r->now.phase = phase_after(result, r->how.paused);
	r->now.error = result == -ECANCELED || result == -EBUSY ? 0 : result;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	fs_thread_end();
	return NULL;
}

/* ------------------------------------------------------------------ begin and end */

static void join(struct reencrypt *r)
{
	bool started;

	pthread_mutex_lock(&r->lock);
	started = r->started;
	r->started = false;
	pthread_mutex_unlock(&r->lock);
	if (started)
		pthread_join(r->thread, NULL);
}

static void cancel(struct reencrypt *r)
{
	pthread_mutex_lock(&r->lock);
	r->cancel = true;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	join(r);
}

void reencrypt_halt(struct reencrypt *r)
{
	cancel(r);
	set_phase(r, REENCRYPT_NONE, 0);
}

void reencrypt_free(struct reencrypt **rp)
{
	struct reencrypt *r = *rp;

	if (!r)
		return;
	*rp = NULL;
	cancel(r);
	forget_stuck(r);
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static int begin(struct reencrypt *r)
{
	int result;

	join(r);
	pthread_mutex_lock(&r->lock);
	r->cancel = false;
	r->running = true;
	r->now.phase = REENCRYPT_WAITING;
	result = -pthread_create(&r->thread, NULL, run, r);
	r->started = r->running = result == 0;
	pthread_mutex_unlock(&r->lock);
	return result;
}

struct wanted {
	bool some;
	struct reencryption how;
};

static void look(const struct keyring *k, void *context)
{
	struct wanted *w = context;

	w->some = keyring_reencryption(k, &w->how);
}

static int refuse(struct reencrypt *r, struct fault *why)
{
	if (r->p.engine->options.read_only)
		return fault_set(why, EXIT_REFUSED, EROFS, "the volume is read-only here; nothing can be re-encrypted");
	if (!r->p.engine->journal)
		return fault_set(why, EXIT_REFUSED, ENOTSUP,
				 "re-encryption needs the journal; mount without nojournal");
	return 0;
}

int reencrypt_look(struct reencrypt *r, struct fault *why)
{
	struct wanted w = {0};
	bool running;
	int result;

	live_keys_look(r->p.keys, look, &w);
	pthread_mutex_lock(&r->lock);
	r->how = w.how;
	running = r->running;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	if (!w.some || w.how.paused) {
		cancel(r);
		set_phase(r, w.some ? REENCRYPT_PAUSED : REENCRYPT_NONE, 0);
		return 0;
	}
	if (running)
		return 0;
	result = refuse(r, why);
	if (result < 0)
		return result;
	result = begin(r);
	return result < 0 ? fault_errno(why, EXIT_FAILED, result, "cannot start a thread") : 0;
}

bool reencrypt_wait(struct reencrypt *r, unsigned milliseconds)
{
	struct timespec until = after_us((int64_t)milliseconds * 1000);
	bool running;

	pthread_mutex_lock(&r->lock);
	while (r->running && pthread_cond_timedwait(&r->changed, &r->lock, &until) == 0)
		;
	running = r->running;
	pthread_mutex_unlock(&r->lock);
	return !running;
}

void reencrypt_status(struct reencrypt *r, struct reencrypt_status *out)
{
	pthread_mutex_lock(&r->lock);
	*out = r->now;
	pthread_mutex_unlock(&r->lock);
	if (out->done > out->total)
		out->done = out->total;
}

const char *reencrypt_phase_name(enum reencrypt_phase phase)
{
	static const char *const names[] = {
		[REENCRYPT_NONE] = "none",           [REENCRYPT_WAITING] = "waiting", [REENCRYPT_MOVING] = "moving",
		[REENCRYPT_VERIFYING] = "verifying", [REENCRYPT_PAUSED] = "paused",   [REENCRYPT_STUCK] = "stuck",
		[REENCRYPT_FAILED] = "failed",
	};

	return names[phase];
}

/* ------------------------------------------------------------------ giving up */

static int note_given_up(struct keyring *k, void *context, struct fault *why)
{
	return keyring_note_given_up(k, context, why);
}

int reencrypt_give_up(struct reencrypt *r, const char *path, uint64_t *count, struct fault *why)
{
	char **list = NULL;
	size_t n = 0;
	int result = reencrypt_stuck(r, &list, &n);

	*count = 0;
	for (size_t i = 0; i < n && result == 0; i++) {
		if (path && strcmp(path, list[i]) != 0)
			continue;
		/* First the record: what cannot be recorded is not done. */
		result = live_keys_change(r->p.keys, note_given_up, list[i], why);
		if (result == 0)
			result = give_up_path(r->p.engine, list[i], why);
		*count += result == 0;
	}
	for (size_t i = 0; list && i < n; i++)
		free(list[i]);
	free(list);
	if (result < 0 && why->status == EXIT_OK)
		return fault_errno(why, EXIT_FAILED, result, "cannot set the file aside");
	if (result == 0 && *count == 0)
		return fault_set(why, EXIT_FAILED, ENOENT, "%s%s", path ? path : "nothing",
				 path ? " is not among what cannot be re-encrypted; see: coffer key reencrypt status"
				      : " waits to be given up");
	return result;
}

/* ------------------------------------------------------------------ users of a generation */

int reencrypt_users(struct engine *e, uint32_t generation, uint64_t *count)
{
	struct rekey k = {.e = e, .count_only = true, .generation = generation};
	/* What began before the last rotation may seal under the one in question until it ends. */
	int result = workers_drain(e, DRAIN_SECONDS);

	if (result == 0 && e->journal)
		result = engine_checkpoint(e);
	if (result == 0)
		result = rekey_pass(&k);
	*count = k.objects + k.failed + k.missed;
	return result;
}
