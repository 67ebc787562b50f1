#include "fs/known.h"

#include <errno.h>

#include "fs/internal.h"

int engine_known_nodes(struct engine *e, uint64_t **ids, size_t *count)
{
	struct node_table *t = &e->table;
	int r = 0;

	*count = 0;
	pthread_mutex_lock(&t->lock);
	*ids = calloc(t->count + 1, sizeof **ids);
	if (!*ids)
		r = -ENOMEM;
	for (uint32_t i = 0; r == 0 && i < t->size; i++)
		for (const struct node *n = t->by_id[i]; n; n = n->id_chain)
			if ((n->lookups || n->id == ROOT_NODE) && *count <= t->count)
				(*ids)[(*count)++] = n->id;
	pthread_mutex_unlock(&t->lock);
	return r;
}
