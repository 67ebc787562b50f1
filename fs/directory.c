#include "fs/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "fs/dirty.h"
#include "fs/names.h"
#include "fs/node.h"
#include "fs/shared.h"
#include "util/base/encode.h"

/* Referenced, open and loaded, but not locked. */
static int hold(struct engine *e, uint64_t id, struct node **out)
{
	struct node *n = node_get(e, id);
	int r = n ? (n->dir ? node_use(e, n) : -ENOTDIR) : -ESTALE;

	if (r == 0) {
		r = shared_look(e, n);
		if (r == 0)
			r = names_load_directory(e, n);
		if (r < 0)
			node_unuse(e, n);
	}
	if (r < 0) {
		node_unref(e, n);
		return r;
	}
	*out = n;
	return 0;
}

static void let_go(struct engine *e, struct node *n)
{
	node_unuse(e, n);
	node_unref(e, n);
}

int directory_begin(struct engine *e, uint64_t id, enum dir_lock how, struct node **out)
{
	int r = how == DIR_WRITE ? dirty_refusal(e) : 0;

	if (r == 0)
		r = hold(e, id, out);
	if (r < 0)
		return r;
	if (how == DIR_WRITE && (*out)->dir->duplicate) {
		let_go(e, *out);
		return -EROFS;
	}
	if (how == DIR_WRITE)
		pthread_rwlock_wrlock(&(*out)->dir->lock);
	else
		pthread_rwlock_rdlock(&(*out)->dir->lock);
	return 0;
}

void directory_end(struct engine *e, struct node *dir)
{
	pthread_rwlock_unlock(&dir->dir->lock);
	let_go(e, dir);
}

int directory_begin_two(struct engine *e, uint64_t a, uint64_t b, struct node **dir_a, struct node **dir_b)
{
	int r = dirty_refusal(e);

	if (r == 0)
		r = hold(e, a, dir_a);
	if (r < 0)
		return r;
	r = hold(e, b, dir_b);
	if (r < 0) {
		let_go(e, *dir_a);
		return r;
	}

	if ((*dir_a)->dir->duplicate || (*dir_b)->dir->duplicate) {
		let_go(e, *dir_a);
		let_go(e, *dir_b);
		return -EROFS;
	}

	struct node *first = *dir_a < *dir_b ? *dir_a : *dir_b, *second = *dir_a < *dir_b ? *dir_b : *dir_a;

	pthread_rwlock_wrlock(&first->dir->lock);
	if (first != second)
		pthread_rwlock_wrlock(&second->dir->lock);
	return 0;
}

void directory_end_two(struct engine *e, struct node *dir_a, struct node *dir_b)
{
	pthread_rwlock_unlock(&dir_a->dir->lock);
	if (dir_a != dir_b)
		pthread_rwlock_unlock(&dir_b->dir->lock);
	let_go(e, dir_a);
	let_go(e, dir_b);
}

int directory_own_name(const char *kind, char out[OWN_NAME_MAX])
{
	uint8_t random[16];
	char text[23];
	int r = crypto_random(random, sizeof random);

	if (r < 0)
		return r;
	base64url_encode(random, sizeof random, text);
	snprintf(out, OWN_NAME_MAX, ".coffer-%s-%s", kind, text);
	return 0;
}

int directory_scan(struct engine *e, int fd, int (*each)(void *data, const struct store_dirent *d), void *data)
{
	_Alignas(8) uint8_t buf[16384];
	int64_t cookie = 0;
	int r = 0;

	for (;;) {
		ssize_t used = e->store->ops->getdents(e->store, fd, cookie, buf, sizeof buf);
		size_t pos = 0;
		struct store_dirent d;

		if (used <= 0)
			return (int)used;
		while (r == 0 && store_dirent_next(buf, (size_t)used, &pos, &d)) {
			cookie = d.next;
			if (strcmp(d.name, ".") != 0 && strcmp(d.name, "..") != 0)
				r = each(data, &d);
		}
		if (r != 0)
			return r;
	}
}

int directory_scan_apart(struct engine *e, struct node *dir, int (*each)(void *data, const struct store_dirent *d),
			 void *data)
{
	int fd = store_open(e->store, dir->fd, ".", O_RDONLY | O_DIRECTORY, 0);
	int r = fd < 0 ? fd : directory_scan(e, fd, each, data);

	store_close(e->store, fd);
	return r;
}
