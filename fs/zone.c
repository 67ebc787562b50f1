#include "fs/zone.h"

#include <errno.h>

#include "fs/names.h"
#include "fs/node.h"
#include "fs/worker.h"

static uint32_t remembered(const struct node *n)
{
	return atomic_load_explicit(&n->zone, memory_order_relaxed);
}

static void remember(struct node *n, uint32_t zone)
{
	atomic_store_explicit(&n->zone, zone, memory_order_relaxed);
}

/* Under table.lock. */
static bool has_place(const struct engine *e, const struct node *n)
{
	return n == e->root || (n->links && n->links->parent != e->open_node);
}

/* While its record is being read a directory keeps what zone_load() has found out: to ask it would be to wait for oneself. */
static bool may_be_asked(const struct node *n)
{
	return !n->dir || atomic_load_explicit(&n->dir->loaded, memory_order_acquire);
}

/* What a directory says itself; ZONE_UNSET: nothing. */
static uint32_t own_zone(const struct keys *k, const struct node *dir)
{
	const struct key_zone *z = keys_zone_at(k, dir->dir->record.id);

	return z ? z->number : ZONE_UNSET;
}

/* Reads the record of a directory that nobody has looked into yet: only those who walk below the names come by such ones. */
static bool is_loaded(struct engine *e, struct node *dir)
{
	bool loaded = atomic_load_explicit(&dir->dir->loaded, memory_order_acquire);

	if (!loaded && !e->options.inspect && node_use(e, dir) == 0) {
		loaded = names_load_directory(e, dir) == 0;
		node_unuse(e, dir);
	}
	return loaded && dir->dir->error == 0;
}

static uint32_t find(struct engine *e, struct node *n)
{
	const struct keys *k = worker_keys(e);
	struct node *at = node_ref(e, n), *parent;
	uint32_t zone = ZONE_UNSET;

	while (at && zone == ZONE_UNSET) {
		zone = remembered(at);
		if (zone == ZONE_UNSET && at->dir && is_loaded(e, at))
			zone = own_zone(k, at);
		parent = zone == ZONE_UNSET && at != e->root ? node_first_parent(e, at, NULL) : NULL;
		node_unref(e, at);
		at = parent;
		/* Nobody asked before its last name went. */
		if (at == e->open_node && at) {
			node_unref(e, at);
			break;
		}
	}
	return zone == ZONE_UNSET ? ZONE_DEFAULT : zone;
}

/* (3) */
static void doubt(struct engine *e, struct node *n, uint32_t serial)
{
	if (atomic_load(&e->zones_serial) == serial || !may_be_asked(n))
		return;
	pthread_mutex_lock(&e->table.lock);
	if (has_place(e, n))
		remember(n, ZONE_UNSET);
	pthread_mutex_unlock(&e->table.lock);
}

uint32_t zone_of(struct engine *e, struct node *n)
{
	uint32_t zone, serial;

	if (worker_keys(e)->zone_count == 0)
		return ZONE_DEFAULT;
	zone = remembered(n);
	if (zone == ZONE_UNSET) {
		serial = atomic_load(&e->zones_serial);
		zone = find(e, n);
		remember(n, zone);
		doubt(e, n, serial);
	}
	return zone;
}

bool zone_is_locked(struct engine *e, struct node *n)
{
	return worker_keys(e)->locked && keys_zone_locked(worker_keys(e), zone_of(e, n));
}

int fs_open(struct engine *e, uint64_t node)
{
	struct node *n = node_get(e, node);
	bool locked = n && zone_is_locked(e, n);

	node_unref(e, n);
	return n ? (locked ? -ENOKEY : 0) : -ESTALE;
}

void zone_load(struct engine *e, struct node *dir)
{
	struct node *parent;
	uint32_t zone;

	if (worker_keys(e)->zone_count == 0)
		return;
	zone = own_zone(worker_keys(e), dir);
	if (zone == ZONE_UNSET) {
		parent = dir == e->root ? NULL : node_first_parent(e, dir, NULL);
		zone = parent ? zone_of(e, parent) : ZONE_DEFAULT;
		node_unref(e, parent);
	}
	remember(dir, zone);
}

uint32_t zone_load_begin(const struct engine *e)
{
	return atomic_load(&e->zones_serial);
}

void zone_load_end(struct engine *e, struct node *dir, uint32_t serial)
{
	if (may_be_asked(dir))
		doubt(e, dir, serial);
	else
		remember(dir, ZONE_UNSET);
}

void zone_keep(struct engine *e, struct node *n)
{
	if (n)
		(void)zone_of(e, n);
}

void zones_forget(struct engine *e)
{
	struct node_table *t = &e->table;

	atomic_fetch_add(&e->zones_serial, 1);
	pthread_mutex_lock(&t->lock);
	for (uint32_t i = 0; i < t->size; i++) {
		for (struct node *n = t->by_id[i]; n; n = n->id_chain) {
			/* One that nobody has read yet has nothing to forget. */
			if (has_place(e, n) && may_be_asked(n))
				remember(n, ZONE_UNSET);
			else if (!has_place(e, n) && remembered(n) == ZONE_UNSET)
				remember(n, ZONE_DEFAULT);
		}
	}
	pthread_mutex_unlock(&t->lock);
}
