#include "fs/node_stack.h"

#include <errno.h>

#include "fs/node.h"

int node_stack_push(struct engine *e, struct node_stack *s, struct node *n)
{
	if (s->count == s->room) {
		size_t room = s->room ? 2 * s->room : 64;
		void *list = realloc(s->list, room * sizeof(struct node *));

		if (!list) {
			node_unref(e, n);
			return -ENOMEM;
		}
		s->list = list;
		s->room = room;
	}
	s->list[s->count++] = n;
	return 0;
}

struct node *node_stack_pop(struct node_stack *s)
{
	if (s->count)
		return s->list[--s->count];
	free(s->list);
	*s = (struct node_stack){0};
	return NULL;
}

struct node **node_gather(struct engine *e, bool (*wanted)(const struct engine *e, const struct node *n), size_t *count)
{
	struct node_table *t = &e->table;
	struct node **list;

	*count = 0;
	pthread_mutex_lock(&t->lock);
	list = calloc(t->count + 1, sizeof(struct node *));
	for (uint32_t i = 0; list && i < t->size; i++) {
		for (struct node *n = t->by_id[i]; n; n = n->id_chain) {
			if (*count == t->count || !wanted(e, n))
				continue;
			n->refs++;
			list[(*count)++] = n;
		}
	}
	pthread_mutex_unlock(&t->lock);
	return list;
}
