#include "fs/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "fs/ahead.h"
#include "fs/checkpoint.h"
#include "fs/descriptor.h"
#include "fs/directory.h"
#include "fs/dirty.h"
#include "fs/gone.h"
#include "fs/ids.h"
#include "fs/list.h"
#include "fs/names.h"
#include "fs/node.h"
#include "fs/recover.h"
#include "fs/sweep.h"
#include "fs/worker.h"
#include "fs/zone.h"
#include "util/base/log.h"

enum { MAP_BYTES_DEFAULT = 64 << 20 };

/* ------------------------------------------------------------------ the volume's own directories */

static int own_directory(struct engine *e, const char *name, int *out)
{
	int fd = store_open(e->store, e->dot, name, O_RDONLY | O_DIRECTORY, 0);

	/* A copy of the volume made by a tool that skips empty directories lacks them. */
	if (fd == -ENOENT && !e->options.read_only) {
		int r = e->store->ops->mkdir(e->store, e->dot, name, 0700);

		fd = r < 0 ? r : store_open(e->store, e->dot, name, O_RDONLY | O_DIRECTORY, 0);
	}
	*out = fd;
	return fd == -ENOENT && e->options.read_only ? 0 : (fd < 0 ? fd : 0);
}

/* ------------------------------------------------------------------ start and stop */

/* The root directory of the tree must be the one that the keyring names: another one, put in its place, would show other names. */
static int check_root(struct engine *e, const uint8_t id[DIRECTORY_ID_SIZE], struct fault *why)
{
	int r = names_load_directory(e, e->root);

	if (r < 0)
		return fault_set(why, EXIT_DAMAGED, EIO,
				 "the id of data/ is missing or damaged; run coffer check --repair");
	if (!crypto_equal(id, e->root->dir->record.id, DIRECTORY_ID_SIZE))
		return fault_set(why, EXIT_DAMAGED, EIO, "data/ is not the root directory of this volume");
	return 0;
}

/* .coffer/open/ stands in the node table as the parent of parked files; no request ever reaches it. */
static int enter_open_directory(struct engine *e)
{
	struct store_stat st;
	int r = store_stat(e->store, e->open_dir, &st);

	if (r < 0)
		return r;
	e->open_node = node_enter(e, e->root, ".coffer-open", &st, false);
	if (!e->open_node)
		return -ENOMEM;
	node_give_fd(e, e->open_node, e->open_dir);
	return node_pin(e, e->open_node);
}

static int start(struct engine *e, struct fault *why)
{
	struct store_stat root;
	int r = e->options.inspect ? 0 : store_probe(e->store, e->dot, &e->caps);

	if (r == 0)
		r = store_stat(e->store, e->data, &root);
	if (r == 0)
		r = own_directory(e, "links", &e->links_dir);
	if (r == 0)
		r = own_directory(e, "open", &e->open_dir);
	if (r == 0)
		r = own_directory(e, "gone", &e->gone_dir);
	if (r == 0)
		r = node_table_start(e, &root);
	if (r == 0)
		r = descriptor_start(e);
	if (r == 0)
		r = ids_start(e);
	if (r == 0)
		r = list_start(e);
	if (r == 0) {
		node_give_fd(e, e->root, e->data);
		r = node_pin(e, e->root);
	}
	if (r == 0 && e->open_dir >= 0)
		r = enter_open_directory(e);
	if (r < 0)
		return fault_errno(why, EXIT_STORE, r, "cannot use the volume's directories");
	if (!e->options.inspect && e->caps.name_max < e->settings.name_max)
		return fault_set(why, EXIT_STORE, ENAMETOOLONG,
				 "this store allows names of %u bytes, the volume was made for %u", e->caps.name_max,
				 e->settings.name_max);
	return 0;
}

/* From here on there is something to bring to an end. */
static int begin_work(struct engine *e, struct fault *why)
{
	int r = 0;

	e->running = true;
	if (!e->options.read_only && !e->options.inspect) {
		gone_sweep_open(e);
		r = checkpoint_start_ticking(e);
		if (e->journal)
			journal_on_pressure(e->journal, checkpoint_wake, e);
		/* Who ticks by hand looks by hand. */
		if (r == 0 && e->options.commit_seconds != UINT32_MAX)
			r = sweep_start(e);
	}
	if (r == 0 && !e->options.inspect)
		r = ahead_start(e);
	return r < 0 ? fault_errno(why, EXIT_FAILED, r, "cannot start a thread") : 0;
}

/* Whoever lends a right on a file may have to lend one on its directory first. */
static void init_lending(struct engine *e)
{
	pthread_mutexattr_t recursive;

	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&e->lending, &recursive);
	pthread_mutexattr_destroy(&recursive);
}

static uint64_t next_serial(void)
{
	static atomic_uint_fast64_t serial;

	return atomic_fetch_add(&serial, 1) + 1;
}

int engine_start(struct store *s, int dot, int data, const struct settings *settings,
		 const uint8_t root_directory[DIRECTORY_ID_SIZE], struct keys *keys, const struct engine_options *o,
		 struct engine **out, struct fault *why)
{
	struct engine *e = calloc(1, sizeof *e);

	if (!e)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory");
	e->store = s;
	e->dot = dot;
	e->data = data;
	e->links_dir = e->open_dir = e->gone_dir = -1;
	e->settings = *settings;
	e->options = *o;
	e->started = time(NULL);
	pthread_mutex_init(&e->keys_lock, NULL);
	pthread_mutex_init(&e->moved.lock, NULL);
	pthread_mutex_init(&e->moved.walk, NULL);
	e->keys = keys_ref(keys);
	e->keys_serial = next_serial();
	e->map_bytes_max = o->memory ? o->memory / 2 : MAP_BYTES_DEFAULT;
	pthread_rwlock_init(&e->tree, NULL);
	pthread_mutex_init(&e->checkpointing, NULL);
	pthread_mutex_init(&e->tick_lock, NULL);
	pthread_cond_init(&e->tick_now, NULL);
	pthread_cond_init(&e->sweep_now, NULL);
	dirty_start(e);
	init_lending(e);

	int r = start(e, why);

	if (r == 0 && !o->inspect)
		r = check_root(e, root_directory, why);
	if (r == 0)
		r = recover(e, why);
	if (r == 0)
		r = begin_work(e, why);
	if (r < 0) {
		engine_stop(&e);
		return r;
	}
	*out = e;
	return 0;
}

int engine_stop(struct engine **ep)
{
	struct engine *e = *ep;
	int r = 0;

	if (!e)
		return 0;
	*ep = NULL;
	ahead_stop(e);
	sweep_stop(e);
	checkpoint_stop_ticking(e);
	if (e->running && !e->options.read_only)
		r = checkpoint_finish(e);
	recover_stop(e);
	dirty_let_go(e);
	if (e->open_node)
		node_unref(e, e->open_node);
	if (e->root)
		node_unref(e, e->root);
	node_table_stop(e);
	if (e->running && !e->options.read_only) {
		int end;

		if (!e->options.inspect)
			gone_sweep(e, time(NULL) + 2);
		end = e->store->ops->syncfs(e->store, e->data);
		r = r < 0 ? r : end;
	}
	journal_close(&e->journal);
	dirty_stop(e);
	list_stop(e);
	ids_stop(e);
	descriptor_stop(e);
	store_close(e->store, e->links_dir);
	store_close(e->store, e->open_dir);
	store_close(e->store, e->gone_dir);
	pthread_rwlock_destroy(&e->tree);
	pthread_mutex_destroy(&e->lending);
	pthread_mutex_destroy(&e->checkpointing);
	pthread_mutex_destroy(&e->tick_lock);
	pthread_cond_destroy(&e->tick_now);
	pthread_cond_destroy(&e->sweep_now);
	pthread_mutex_destroy(&e->keys_lock);
	pthread_mutex_destroy(&e->moved.lock);
	pthread_mutex_destroy(&e->moved.walk);
	keys_unref(e->keys);
	free(e);
	fs_thread_end();
	return r;
}

/* Nobody works with keys that do not know the zones; nor, at the end, with what it had found out before. */
static int find_zones_anew(struct engine *e, unsigned seconds)
{
	zones_forget(e);
	pthread_mutex_lock(&e->keys_lock);
	atomic_store_explicit(&e->keys_serial, next_serial(), memory_order_release);
	pthread_mutex_unlock(&e->keys_lock);
	return workers_drain(e, seconds);
}

int engine_take_keys(struct engine *e, struct keys *keys, unsigned seconds)
{
	struct keys *before;
	int r;

	atomic_store(&e->keys_changed, true);
	pthread_mutex_lock(&e->keys_lock);
	before = e->keys;
	e->keys = keys_ref(keys);
	atomic_store_explicit(&e->keys_serial, next_serial(), memory_order_release);
	pthread_mutex_unlock(&e->keys_lock);
	if (e->journal)
		journal_see_generations(e->journal, keys);
	keys_unref(before);
	r = workers_drain(e, seconds);
	return r == 0 && keys->zone_count ? find_zones_anew(e, seconds) : r;
}

int engine_checkpoint(struct engine *e)
{
	return e->options.read_only ? 0 : checkpoint_run(e);
}

void fs_forget(struct engine *e, uint64_t node, uint64_t count)
{
	/* The root is held for the life of the engine. */
	if (node != ROOT_NODE)
		node_forget(e, node, count);
}

uint64_t engine_sealed(struct engine *e)
{
	return atomic_load_explicit(&e->sealed, memory_order_relaxed);
}

void engine_counts(struct engine *e, struct engine_counts *out)
{
	pthread_mutex_lock(&e->table.lock);
	out->nodes = e->table.count;
	pthread_mutex_unlock(&e->table.lock);
	pthread_mutex_lock(&e->descriptors.lock);
	out->descriptors = e->descriptors.size - e->descriptors.free_count;
	pthread_mutex_unlock(&e->descriptors.lock);
	out->map_bytes = atomic_load(&e->map_bytes);
	out->journal_size = e->journal ? journal_size(e->journal) : 0;
	out->journal_used = e->journal ? journal_used(e->journal) : 0;
	out->undecryptable_names = atomic_load(&e->undecryptable_names);
	out->damaged_pages = atomic_load(&e->damaged_pages);
	out->recovered = e->recovered.done;
	out->recovered_files = e->recovered.files;
	out->recovered_pages = e->recovered.pages;
	out->recovery_ms = e->recovered.ms;
	out->lost = atomic_load(&e->lost_files);
	out->looking = atomic_load(&e->lost_ranges);
	out->read_only = e->options.read_only || dirty_refusal(e) < 0;
}
