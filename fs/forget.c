#include "fs/forget.h"

#include <string.h>

#include "fs/file_parts.h"
#include "fs/node.h"
#include "fs/tree.h"

/* The file nodes of the table, with references. */
static struct node **gather(struct engine *e, size_t *count)
{
	struct node_table *t = &e->table;
	struct node **list;

	*count = 0;
	pthread_mutex_lock(&t->lock);
	list = calloc(t->count + 1, sizeof(struct node *));
	for (uint32_t i = 0; list && i < t->size; i++) {
		for (struct node *n = t->by_id[i]; n; n = n->id_chain) {
			if (!S_ISREG(n->type) || *count == t->count)
				continue;
			n->refs++;
			list[(*count)++] = n;
		}
	}
	pthread_mutex_unlock(&t->lock);
	return list;
}

static void forget(struct engine *e, struct node *n)
{
	struct file *f;

	if (!node_use_cached(n))
		return;
	pthread_mutex_lock(&n->lock);
	f = n->file;
	pthread_mutex_unlock(&n->lock);
	if (f) {
		pthread_rwlock_wrlock(&f->lock);
		if (f->loaded && !f->log.pinned && !f->log.job && f->has_head) {
			tree_drop(e, f);
			wipe(&f->body, sizeof f->body);
			f->loaded = false;
		}
		pthread_rwlock_unlock(&f->lock);
	}
	node_unuse(e, n);
}

void engine_forget_content(struct engine *e)
{
	size_t count;
	struct node **list = gather(e, &count);

	for (size_t i = 0; i < count; i++) {
		forget(e, list[i]);
		node_unref(e, list[i]);
	}
	free(list);
}
