#include "fs/forget.h"

#include <string.h>

#include "fs/file_parts.h"
#include "fs/node.h"
#include "fs/node_stack.h"

static bool is_file(const struct engine *e, const struct node *n)
{
	(void)e;
	return S_ISREG(n->type);
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
			maps_drop(e, f);
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
	struct node **list = node_gather(e, is_file, &count);

	for (size_t i = 0; list && i < count; i++) {
		forget(e, list[i]);
		node_unref(e, list[i]);
	}
	free(list);
}
