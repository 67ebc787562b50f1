#include "fs/ids.h"

#include <errno.h>
#include <string.h>

#include "util/base/bytes.h"

/* A chained table; ids are random, so any of their bytes are a hash.  Claims hang on the dir itself (claim_chain). */
struct id_table {
	pthread_mutex_t lock;
	uint32_t size, count;
	struct node **buckets;
};

int ids_start(struct engine *e)
{
	struct id_table *t = calloc(1, sizeof *t);

	if (!t)
		return -ENOMEM;
	t->size = 256;
	t->buckets = calloc(t->size, sizeof *t->buckets);
	if (!t->buckets) {
		free(t);
		return -ENOMEM;
	}
	pthread_mutex_init(&t->lock, NULL);
	e->ids = t;
	return 0;
}

void ids_stop(struct engine *e)
{
	if (!e->ids)
		return;
	pthread_mutex_destroy(&e->ids->lock);
	free(e->ids->buckets);
	free(e->ids);
	e->ids = NULL;
}

static struct node **bucket(struct id_table *t, const struct node *n)
{
	return &t->buckets[get_le32(n->dir->record.id) & (t->size - 1)];
}

/* Without memory the chains just get longer. */
static void grow(struct id_table *t)
{
	struct node **old = t->buckets, **fresh = calloc(2 * (size_t)t->size, sizeof *fresh);
	uint32_t size = t->size;

	if (!fresh)
		return;
	t->buckets = fresh;
	t->size = 2 * size;
	for (uint32_t i = 0; i < size; i++) {
		for (struct node *n = old[i], *next; n; n = next) {
			struct node **b = bucket(t, n);

			next = n->dir->claim_chain;
			n->dir->claim_chain = *b;
			*b = n;
		}
	}
	free(old);
}

/* Under the lock. */
static struct node *find(struct id_table *t, const struct node *dir)
{
	struct node *n = *bucket(t, dir);

	while (n && memcmp(n->dir->record.id, dir->dir->record.id, DIRECTORY_ID_SIZE) != 0)
		n = n->dir->claim_chain;
	return n;
}

bool ids_claim(struct engine *e, struct node *dir)
{
	struct id_table *t = e->ids;
	struct node *n;

	/* The check's repair changes copies: that is how they get ids of their own. */
	if (e->options.inspect)
		return true;
	pthread_mutex_lock(&t->lock);
	n = find(t, dir);
	if (!n) {
		if (t->count++ >= t->size)
			grow(t);

		struct node **b = bucket(t, dir);

		dir->dir->claim_chain = *b;
		*b = dir;
		dir->dir->claimed = true;
	}
	pthread_mutex_unlock(&t->lock);
	return !n || n == dir;
}

struct node *ids_holder(struct engine *e, struct node *dir)
{
	pthread_mutex_lock(&e->table.lock);
	pthread_mutex_lock(&e->ids->lock);

	struct node *n = find(e->ids, dir);

	/* A claim ends before its node does. */
	if (n)
		n->refs++;
	pthread_mutex_unlock(&e->ids->lock);
	pthread_mutex_unlock(&e->table.lock);
	return n;
}

bool ids_is_holder(struct engine *e, struct node *dir)
{
	pthread_mutex_lock(&e->ids->lock);

	bool is = find(e->ids, dir) == dir;

	pthread_mutex_unlock(&e->ids->lock);
	return is;
}

void ids_release(struct engine *e, struct node *dir)
{
	struct id_table *t = e->ids;

	if (!dir->dir || !dir->dir->claimed)
		return;
	pthread_mutex_lock(&t->lock);

	struct node **at = bucket(t, dir);

	while (*at != dir)
		at = &(*at)->dir->claim_chain;
	*at = dir->dir->claim_chain;
	t->count--;
	pthread_mutex_unlock(&t->lock);
	dir->dir->claimed = false;
}
