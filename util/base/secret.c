/* The arena of secrets (secret.h).
 *
 * 1. A byte of the arena that belongs to no secret is zero, but for the headers of free blocks: freeing wipes, so allocating
 *    need not.
 * 2. The arena is locked before it is used, or secret_start fails; nothing is ever taken from elsewhere.
 * 3. Free blocks are listed by address and never touch: freeing merges neighbours, so the list stays as short as the holes are few.
 * 4. A page without access stands at either end, against overruns.
 *
 * A block is a header, a struct secret, and the bytes. */
#include "util/base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

enum { GRAIN = 32 }; /* sizes of blocks are multiples of it; alignment of the bytes is that of malloc */

struct block {
	size_t size;        /* with this header */
	struct block *next; /* the free block that follows; NULL in use */
	struct secret secret;
	_Alignas(16) uint8_t bytes[];
};

static struct {
	pthread_mutex_t lock; /* protects the list and all headers; innermost, nothing is called under it */
	struct block *free;
	uint8_t *base;
	size_t size; /* without the guard pages; 0: not started */
} arena = {.lock = PTHREAD_MUTEX_INITIALIZER};

void wipe(void *p, size_t n)
{
	if (n > 0)
		explicit_bzero(p, n);
}

/* Puts memory that even the kernel cannot read by its own addresses in [at, at + size).  It is locked by nature; every page
 * is touched now, so that memory cannot be short later.  The mapping is shared, where WIPEONFORK does not exist: children
 * do not get it at all.  (While it exists the host does not hibernate, which would write it to disk.) */
static int map_secretmem(void *at, size_t size)
{
	int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return -errno;
	ok = ftruncate(fd, (off_t)size) == 0 &&
	     mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED;
	close(fd);
	if (!ok || madvise(at, size, MADV_DONTFORK) < 0)
		return -ENOTSUP; /* whatever it was, locked memory of the common kind is tried next */
	for (size_t i = 0; i < size; i += 4096)
		((volatile uint8_t *)at)[i] = 0;
	return 0;
}

static int map_locked(void *at, size_t size)
{
	if (mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return errno == EAGAIN ? -ENOMEM : -errno;
	if (mlock(at, size) < 0)
		return errno == EAGAIN ? -ENOMEM : -errno;
	if (madvise(at, size, MADV_DONTDUMP) < 0)
		return -errno;
	if (madvise(at, size, MADV_WIPEONFORK) < 0 && errno != EINVAL) /* EINVAL: a kernel before 4.14 */
		return -errno;
	return 0;
}

static int forbid_core_dumps(void)
{
	const struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

int secret_start(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *map;
	int r;

	if (arena.size || size == 0 || size > SIZE_MAX / 2)
		return -EINVAL;
	r = forbid_core_dumps();
	if (r < 0)
		return r;
	size = (size + page - 1) / page * page;
	map = mmap(NULL, size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return -errno;
	r = map_secretmem(map + page, size);
	if (r < 0)
		r = map_locked(map + page, size);
	if (r < 0) {
		munmap(map, size + 2 * page);
		return r;
	}
	arena.base = map + page;
	arena.size = size;
	arena.free = (struct block *)arena.base;
	arena.free->size = size;
	arena.free->next = NULL;
	return 0;
}

void secret_stop(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (!arena.size)
		return;
	wipe(arena.base, arena.size);
	munmap(arena.base - page, arena.size + 2 * page);
	arena.base = NULL;
	arena.free = NULL;
	arena.size = 0;
}

/* Takes `size` bytes from the front of the free block *link. */
static struct block *take(struct block **link, size_t size)
{
	struct block *b = *link, *rest;

	if (b->size - size < sizeof(*b)) {
		*link = b->next;
	} else {
		rest = (struct block *)((uint8_t *)b + size);
		rest->size = b->size - size;
		rest->next = b->next;
		*link = rest;
		b->size = size;
	}
	b->next = NULL;
	return b;
}

struct secret *secret_new(size_t n)
{
	struct block *b = NULL;
	size_t size;

	if (n > SIZE_MAX / 2)
		return NULL;
	size = (sizeof(*b) + n + GRAIN - 1) / GRAIN * GRAIN;
	pthread_mutex_lock(&arena.lock);
	for (struct block **link = &arena.free; *link; link = &(*link)->next)
		if ((*link)->size >= size) {
			b = take(link, size);
			break;
		}
	pthread_mutex_unlock(&arena.lock);
	if (!b)
		return NULL;
	b->secret.size = n;
	b->secret.bytes = b->bytes;
	return &b->secret;
}

/* Joins a to the free block b if they touch.  What was a header becomes zero bytes inside a block (1). */
static void join(struct block *a, struct block *b)
{
	if (!b || (uint8_t *)a + a->size != (uint8_t *)b)
		return;
	a->size += b->size;
	a->next = b->next;
	b->size = 0;
	b->next = NULL;
}

void secret_free(struct secret **s)
{
	struct block *b, *before = NULL;

	if (!*s)
		return;
	b = (struct block *)((uint8_t *)*s - offsetof(struct block, secret));
	*s = NULL;
	wipe(&b->secret, b->size - offsetof(struct block, secret));
	pthread_mutex_lock(&arena.lock);
	for (struct block *f = arena.free; f && f < b; f = f->next)
		before = f;
	b->next = before ? before->next : arena.free;
	if (before)
		before->next = b;
	else
		arena.free = b;
	join(b, b->next);
	if (before)
		join(before, b);
	pthread_mutex_unlock(&arena.lock);
}

struct secret *secret_move(struct secret **s)
{
	struct secret *moved = *s;

	*s = NULL;
	return moved;
}

void secret_shrink(struct secret *s, size_t n)
{
	if (n >= s->size)
		return;
	wipe(s->bytes + n, s->size - n);
	s->size = n;
}
