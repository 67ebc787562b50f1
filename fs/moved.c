#include "fs/moved.h"

#include <errno.h>

#include "fs/node.h"

enum { NOTED_MAX = 1 << 16 };

/* Without memory, or beyond the bound, it is missed, which the walk is told. */
static bool make_room(struct moved_list *m)
{
	size_t room = m->room ? 2 * m->room : 256;
	void *list;

	if (m->count < m->room)
		return true;
	list = room > NOTED_MAX ? NULL : realloc(m->list, room * sizeof(struct node *));
	if (!list) {
		m->missed = true;
		return false;
	}
	m->list = list;
	m->room = room;
	return true;
}

void moved_seen(struct engine *e, struct node *n)
{
	if (atomic_load(&e->moved.on))
		atomic_store(&n->walked, atomic_load(&e->moved.number));
}

void moved_note(struct engine *e, struct node *n)
{
	struct moved_list *m = &e->moved;

	bool noted;

	if (!atomic_load(&m->on) || atomic_load(&n->walked) == atomic_load(&m->number))
		return;
	node_ref(e, n);
	pthread_mutex_lock(&m->lock);
	noted = atomic_load(&m->on) && make_room(m);
	if (noted)
		m->list[m->count++] = n;
	pthread_mutex_unlock(&m->lock);
	if (!noted)
		node_unref(e, n);
}

int moved_start(struct engine *e, bool wait)
{
	struct moved_list *m = &e->moved;

	if (wait)
		pthread_mutex_lock(&m->walk);
	else if (pthread_mutex_trylock(&m->walk) != 0)
		return -EBUSY;
	pthread_mutex_lock(&m->lock);
	m->missed = false;
	atomic_fetch_add(&m->number, 1);
	atomic_store(&m->on, true);
	pthread_mutex_unlock(&m->lock);
	return 0;
}

bool moved_take(struct engine *e, struct node ***list, size_t *count)
{
	struct moved_list *m = &e->moved;

	pthread_mutex_lock(&m->lock);
	*list = m->list;
	*count = m->count;
	m->list = NULL;
	m->count = m->room = 0;
	pthread_mutex_unlock(&m->lock);
	if (*count == 0)
		free(*list);
	return *count > 0;
}

bool moved_stop(struct engine *e)
{
	struct moved_list *m = &e->moved;
	struct node **list;
	size_t count;
	bool missed;

	pthread_mutex_lock(&m->lock);
	atomic_store(&m->on, false);
	missed = m->missed;
	pthread_mutex_unlock(&m->lock);
	if (moved_take(e, &list, &count)) {
		for (size_t i = 0; i < count; i++)
			node_unref(e, list[i]);
		free(list);
		missed = true;
	}
	pthread_mutex_unlock(&m->walk);
	return missed;
}
