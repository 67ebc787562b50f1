/* What happens while something else is under way. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "acts_internal.h"
#include "fs/layout.h"

enum { SYNC_MS = 100, RECORD_MS = 2, RING_AT = 8192, TYPE_AT = 4 };

static void *run(void *data)
{
	struct live *l = data;

	l->meanwhile.act(l, l->meanwhile.data);
	fs_thread_end();
	return NULL;
}

/* Long enough for anything that does not wait for what is under way. */
static void start_and_wait(struct live *l, long ms)
{
	struct meanwhile *w = &l->meanwhile;
	struct timespec until;

	w->started = true;
	if (pthread_create(&w->thread, NULL, run, l) != 0)
		abort();
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	w->joined = pthread_timedjoin_np(w->thread, NULL, &until) == 0;
}

static int on_sync(void *data, uint32_t ino)
{
	struct live *l = data;

	if (l->fail_ino && ino == l->fail_ino) {
		l->fail_ino = 0;
		return -EIO;
	}
	if (l->meanwhile.kind == MEANWHILE_SYNC && !l->meanwhile.started && l->meanwhile.after-- == 0)
		start_and_wait(l, SYNC_MS);
	return 0;
}

static bool is_page(const struct page_write *p, uint32_t ino, size_t n, uint64_t off)
{
	return ino == p->ino && off / CRASH_PAGE <= p->physical && (off + n - 1) / CRASH_PAGE >= p->physical;
}

static int on_write(void *data, uint32_t ino, const void *buf, size_t n, uint64_t off)
{
	struct live *l = data;
	struct meanwhile *w = &l->meanwhile;

	if (l->full && is_page(&l->full_page, ino, n, off))
		return -ENOSPC;
	if (l->pause_ms && is_page(&l->pause_page, ino, n, off)) {
		struct timespec t = {0, l->pause_ms * 1000000};

		l->pause_ms = 0;
		nanosleep(&t, NULL);
	}
	if (w->started)
		return 0;
	if (w->kind == MEANWHILE_RECORD && ino == base_journal_ino(l->base) && off >= RING_AT && n > TYPE_AT &&
	    ((const uint8_t *)buf)[TYPE_AT] == w->type)
		start_and_wait(l, RECORD_MS);
	else if (w->kind == MEANWHILE_PAGE && is_page(&w->page, ino, n, off))
		start_and_wait(l, SYNC_MS);
	return 0;
}

static struct page_write page_of(const struct live *l, unsigned object, uint64_t page)
{
	return (struct page_write){(uint32_t)l->o.objects[object].ino, layout_physical_page(page)};
}

void act_meanwhile_sync(struct live *l, unsigned after, overlap_act *act, void *data)
{
	l->meanwhile = (struct meanwhile){.kind = MEANWHILE_SYNC, .after = after, .act = act, .data = data};
	crash_store_on_sync(l->m.cs, on_sync, l);
}

void act_meanwhile_record(struct live *l, unsigned type, overlap_act *act, void *data)
{
	l->meanwhile = (struct meanwhile){.kind = MEANWHILE_RECORD, .type = type, .act = act, .data = data};
	crash_store_on_write(l->m.cs, on_write, l);
}

void act_meanwhile_page(struct live *l, unsigned object, uint64_t page, overlap_act *act, void *data)
{
	l->meanwhile =
		(struct meanwhile){.kind = MEANWHILE_PAGE, .page = page_of(l, object, page), .act = act, .data = data};
	crash_store_on_write(l->m.cs, on_write, l);
}

void acts_end_meanwhile(struct live *l)
{
	struct meanwhile *w = &l->meanwhile;

	if (w->kind == MEANWHILE_NOTHING || (w->started && pthread_equal(w->thread, pthread_self())))
		return; /* an operation within the other */
	if (!l->fail_ino)
		crash_store_on_sync(l->m.cs, NULL, NULL);
	if (!l->full && !l->pause_ms)
		crash_store_on_write(l->m.cs, NULL, NULL);
	if (w->started && !w->joined)
		pthread_join(w->thread, NULL);
	*w = (struct meanwhile){0};
}

/* ------------------------------------------------------------------ slow and full */

void act_pause(struct live *l, unsigned object, uint64_t page, long ms)
{
	l->pause_page = page_of(l, object, page);
	l->pause_ms = ms;
	crash_store_on_write(l->m.cs, on_write, l);
}

void act_refuse(struct live *l, unsigned object, uint64_t page)
{
	l->full = true;
	l->full_page = page_of(l, object, page);
	crash_store_on_write(l->m.cs, on_write, l);
}

void act_refuse_no_more(struct live *l)
{
	l->full = false;
	crash_store_on_write(l->m.cs, NULL, NULL);
}

void act_fail_sync(struct live *l, uint32_t ino)
{
	l->failing = true;
	l->fail_ino = ino;
	crash_store_on_sync(l->m.cs, on_sync, l);
}
