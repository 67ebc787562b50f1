#include "fs/offline.h"

#include <errno.h>
#include <string.h>

#include "fs/freeze.h"
#include "fs/names.h"
#include "fs/node.h"
#include "fs/rekey.h"
#include "fs/worker.h"

static int settle(void *data)
{
	return engine_checkpoint(((struct offline *)data)->engine);
}

/* No kernel knows anything of it. */
static void forget(void *data)
{
	(void)data;
}

static int start_engine(struct offline *o, struct fault *why)
{
	struct engine_options eo = {.read_only = o->opened.read_only, .inspect = o->opened.borrowed, .journal = true};

	o->freeze = freeze_new(settle, o);
	if (!o->freeze)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory");
	eo.freeze = o->freeze;
	if (!o->opened.read_only)
		opened_note_process(&o->opened);
	return engine_start(o->opened.store, o->opened.dot, o->opened.data, keyring_settings(o->opened.keyring),
			    keyring_root_directory(o->opened.keyring), o->opened.keys, &eo, &o->engine, why);
}

static int start_keys(struct offline *o, struct fault *why)
{
	const struct live_keys_parts parts = {&o->opened, o->engine, o->freeze, forget, NULL, o};
	struct reencrypt_parts more = {.engine = o->engine};

	o->keys = more.keys = live_keys_new(&parts);
	o->reencrypt = o->keys ? reencrypt_new(&more) : NULL;
	return o->reencrypt ? 0 : fault_set(why, EXIT_FAILED, ENOMEM, "no memory");
}

int offline_start(const char *dir, const struct unlock_source *unlock, struct offline *out, struct fault *why)
{
	struct fault ignored = {.status = EXIT_OK};
	int r;

	*out = OFFLINE_NONE;
	r = opened_start(dir, unlock, OPENED_LOCKED, &out->opened, why);
	if (r < 0)
		return r;
	r = start_engine(out, why);
	if (r == 0)
		r = start_keys(out, why);
	if (r < 0)
		(void)!offline_stop(out, &ignored);
	return r;
}

int offline_start_with(const char *dir, struct keyring *unlocked, struct offline *out, struct fault *why)
{
	struct fault ignored = {.status = EXIT_OK};
	int r;

	*out = OFFLINE_NONE;
	r = opened_start_with(dir, unlocked, &out->opened, why);
	if (r < 0)
		return r;
	out->opened.read_only = true;
	r = start_engine(out, why);
	if (r < 0)
		(void)!offline_stop(out, &ignored);
	return r;
}

int offline_stop(struct offline *o, struct fault *why)
{
	int r;

	if (o->freeze)
		freeze_stop(o->freeze);
	reencrypt_free(&o->reencrypt);
	live_keys_free(&o->keys);
	r = engine_stop(&o->engine);
	freeze_free(&o->freeze);
	if (o->opened.store)
		opened_stop(&o->opened);
	return r < 0 ? fault_errno(why, EXIT_STORE, r, "the volume could not be synced at the end") : 0;
}

struct walk {
	struct engine *e;
	int (*each)(void *data, const char *path, const struct store_stat *st);
	void *data;
};

static int show(void *data, struct node *n, const struct store_stat *st)
{
	struct walk *w = data;
	char path[4096];

	worker_enter(w->e);
	if (n->dir && node_use(w->e, n) == 0) {
		(void)!names_load_directory(w->e, n); /* what cannot be read shows as it lies below */
		node_unuse(w->e, n);
	}
	names_path(w->e, n, path, sizeof path);
	worker_leave();
	return w->each(w->data, path, st);
}

int offline_walk(struct offline *o, int (*each)(void *data, const char *path, const struct store_stat *st), void *data)
{
	struct walk w = {o->engine, each, data};
	struct rekey k = {.e = o->engine, .measure_only = true, .seen_one = show, .data = &w};

	return rekey_pass(&k);
}
