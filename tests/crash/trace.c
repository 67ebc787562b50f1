#include "trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/layout.h"

enum { RING_AT = 8192, TYPE_AT = 4, TICKS = 2 };

void trace_start(struct trace *t, const struct base *b)
{
	*t = (struct trace){.base = b};
	image_copy(&t->under, &b->image);
	live_start(&t->l, b, 1);
}

void trace_free(struct trace *t)
{
	crash_store_free(t->left);
	image_free(&t->under);
	live_stop(&t->l);
	live_free(&t->l);
}

unsigned trace_file(struct trace *t, const char *name, unsigned pages)
{
	unsigned f = act_create(&t->l, ORACLE_ROOT, name, 0644);

	for (unsigned done = 0, n; done < pages; done += n) {
		n = pages - done < 32 ? pages - done : 32;
		act_append(&t->l, f, n * CRASH_PAGE);
	}
	act_fsync(&t->l, f);
	act_fsyncdir(&t->l, ORACLE_ROOT);
	/* Records of names are kept until the second. */
	for (int i = 0; i < TICKS; i++)
		act_tick(&t->l);
	trace_mark(t);
	return f;
}

/* ------------------------------------------------------------------ calls */

static struct crash_store *store_now(const struct trace *t)
{
	return t->left ? t->left : t->l.m.cs;
}

void trace_mark(struct trace *t)
{
	t->mark = crash_store_count(store_now(t));
}

size_t trace_end(const struct trace *t)
{
	return t->left ? t->recovered : crash_store_count(t->l.m.cs);
}

static bool touches(const struct call *c, uint64_t physical)
{
	return c->kind == CALL_WRITE && c->off / CRASH_PAGE <= physical &&
	       (c->off + c->size - 1) / CRASH_PAGE >= physical;
}

static bool is_of_map(const struct call *c, uint64_t first)
{
	struct layout_slot slot;

	return layout_map(1, first, &slot) && touches(c, slot.physical);
}

static bool is_one_of(const struct trace *t, const struct call *c, struct calls which)
{
	uint32_t ino = (uint32_t)t->l.o.objects[which.object].ino, journal = base_journal_ino(t->base);

	switch (which.about) {
	case ABOUT_HEAD:
		return c->ino == ino && touches(c, 0);
	case ABOUT_PAGE:
		return c->ino == ino && touches(c, layout_physical_page(which.arg));
	case ABOUT_MAP:
		return c->ino == ino && is_of_map(c, which.arg);
	case ABOUT_SIZE:
		return c->ino == ino && c->kind == CALL_TRUNCATE;
	case ABOUT_MODE:
		return c->ino == ino && c->kind == CALL_CHMOD;
	case ABOUT_NAME:
		return call_is_name(c) && (c->ino == ino || c->dir == ino || c->dir2 == ino);
	case ABOUT_RECORD:
		return c->ino == journal && c->kind == CALL_WRITE && c->off >= RING_AT &&
		       (which.arg == 0 || c->data[TYPE_AT] == which.arg);
	case ABOUT_SUPERBLOCK:
		return c->ino == journal && c->kind == CALL_WRITE && c->off < RING_AT;
	case ABOUT_SYNC:
		return c->ino == ino && call_is_sync(c);
	case ABOUT_JOURNAL_SYNC:
		return c->ino == journal && call_is_sync(c);
	case ABOUT_CALL:
		return c == &crash_store_record(store_now(t))->calls[which.arg];
	case ABOUT_ANY:
		return true;
	}
	return false;
}

size_t trace_behind(const struct trace *t, struct calls which)
{
	const struct record *r = crash_store_record(store_now(t));

	for (size_t i = t->mark; i < trace_end(t); i++)
		if (is_one_of(t, &r->calls[i], which))
			return i + 1;
	return trace_end(t);
}

size_t trace_behind_last(const struct trace *t, struct calls which)
{
	const struct record *r = crash_store_record(store_now(t));

	for (size_t i = trace_end(t); i > t->mark; i--)
		if (is_one_of(t, &r->calls[i - 1], which))
			return i;
	return trace_end(t);
}

size_t trace_count(const struct trace *t, struct calls which)
{
	const struct record *r = crash_store_record(store_now(t));
	size_t n = 0;

	for (size_t i = t->mark; i < trace_end(t); i++)
		n += is_one_of(t, &r->calls[i], which);
	return n;
}

static bool was_allocated(const struct record *r, size_t before, uint32_t ino, uint64_t page)
{
	for (size_t i = 0; i < before; i++) {
		const struct call *c = &r->calls[i];

		if (c->kind == CALL_ALLOCATE && c->ino == ino && c->space / CRASH_PAGE <= page &&
		    c->space + c->space_size > page * CRASH_PAGE)
			return true;
	}
	return false;
}

size_t trace_allocated(const struct trace *t)
{
	const struct record *r = crash_store_record(store_now(t));
	size_t n = 0;

	for (size_t i = t->mark; i < trace_end(t); i++) {
		const struct call *c = &r->calls[i];

		for (size_t k = 0; c->kind == CALL_WRITE && k < call_pages(c); k++)
			n += c->fresh[k] && !was_allocated(r, i, c->ino, c->off / CRASH_PAGE + k);
	}
	return n;
}

void trace_expect(struct trace *t, bool is_so, const char *what)
{
	if (!is_so && !t->x.text[0])
		snprintf(t->x.text, sizeof(t->x.text), "not so: %s", what);
}

/* ------------------------------------------------------------------ crashes */

static void crash_now(struct trace *t, const struct cut *cut)
{
	struct crash_store *cs = store_now(t);
	FILE *trace = getenv("COFFER_TEST_TRACE") ? stdout : NULL;
	struct crash_store *left = crashed(cut, &t->under, crash_store_record(cs), trace);

	if (!t->left)
		t->view.done = t->view.begun = cut->calls;
	t->view.model = cut->model;
	t->view.exact = cut->model == MODEL_KILL;
	if (cut->model != MODEL_KILL) {
		image_free(&t->under);
		image_copy(&t->under, crash_store_image(left));
	}
	crash_store_free(t->left);
	t->left = left;
}

void trace_kill(struct trace *t, size_t calls)
{
	struct cut cut = {.model = MODEL_KILL, .calls = calls};

	crash_now(t, &cut);
}

void trace_cut(struct trace *t, size_t calls, const struct outcome *list, size_t n)
{
	const struct record *r = crash_store_record(store_now(t));
	uint8_t *given = need(malloc(calls + 1));
	struct cut cut = {.model = MODEL_STRICT, .choice = CHOICE_GIVEN, .calls = calls, .given = given};

	for (size_t i = 0; i < calls; i++) {
		given[i] = FATE_DROPPED;
		for (size_t k = 0; k < n; k++)
			if (is_one_of(t, &r->calls[i], list[k].calls))
				given[i] = (uint8_t)list[k].fate;
	}
	crash_now(t, &cut);
	free(given);
}

void trace_recover(struct trace *t)
{
	struct fault why = {0};
	struct mounted m;
	size_t before;

	trace_mark(t);
	before = crash_store_operations(t->left);
	if (mounted_start(&m, t->base, t->left, &why) < 0) {
		snprintf(t->x.text, sizeof(t->x.text), "start: %s", why.text);
		return;
	}
	t->recovered = crash_store_count(t->left);
	t->recovery_cost = crash_store_operations(t->left) - before;
	mounted_stop(&m);
}

void trace_damage(struct trace *t, unsigned object, uint64_t page)
{
	uint8_t wrong[64];
	struct call c = {.kind = CALL_WRITE,
			 .ino = (uint32_t)t->l.o.objects[object].ino,
			 .off = layout_physical_page(page) * CRASH_PAGE + 100,
			 .size = sizeof(wrong),
			 .data = wrong};

	memset(wrong, 0x5a, sizeof(wrong));
	/* Behind the record: no crash is the cause. */
	image_apply((struct image *)crash_store_image(t->left), &c);
}

size_t trace_lost(const struct trace *t)
{
	const struct image *m = crash_store_image(t->left);
	uint32_t volume = image_inode(m, IMAGE_ROOT)->entries[0].ino;
	uint32_t lost = image_lookup(m, image_lookup(m, volume, ".coffer"), "lost");

	return lost ? image_inode(m, lost)->entry_count : 0;
}

void trace_judge(struct trace *t)
{
	if (t->judged)
		return;
	t->judged = true;
	if (t->l.refused[0] && !t->x.text[0])
		snprintf(t->x.text, sizeof(t->x.text), "live: %s", t->l.refused);
	if (t->x.text[0])
		return;
	examine(t->base, t->left, &t->l.o, &t->view, true, &t->x);
	/* What is made durable here has to be readable, promised or not. */
	if (!t->x.text[0] && t->x.unreadable)
		snprintf(t->x.text, sizeof(t->x.text), "a directory or a name cannot be read");
}
