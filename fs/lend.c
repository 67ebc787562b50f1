#include "fs/lend.h"

#include <string.h>

#include "fs/dirty.h"
#include "fs/side.h"
#include "util/base/log.h"

bool lend(struct engine *e, struct node *n, int fd, mode_t rights, mode_t *before)
{
	struct store_stat st;
	int r;

	if (e->options.read_only)
		return false;
	pthread_mutex_lock(&e->lending);
	r = store_stat(e->store, fd, &st);
	*before = st.mode & 07777;
	/* (N4) A kill in between must not leave the rights with the owner. */
	if (r == 0 && (*before & rights) != rights && n)
		r = side_log_mode(e, n, *before, rights);
	if (r == 0 && (*before & rights) != rights)
		r = e->store->ops->chmod(e->store, fd, *before | rights);
	if (r < 0)
		pthread_mutex_unlock(&e->lending);
	return r == 0;
}

void lend_back(struct engine *e, struct node *n, int fd, mode_t rights, mode_t before)
{
	bool lent = (before & rights) != rights;
	int r = lent ? e->store->ops->chmod(e->store, fd, before) : 0;

	pthread_mutex_unlock(&e->lending);
	/* The record of the true mode is freed by a tick (C6), which has to make this durable first. */
	if (lent && n)
		dirty_metadata(e, n);
	if (r < 0)
		log_error("cannot take back a right lent to an owner: %s", strerror(-r));
}
