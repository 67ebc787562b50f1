#include "survive_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

const char *const crash_model_names[MODELS] = {"ordered", "strict", "kill"};
const char *const crash_choice_names[CHOICES] = {"all", "none", "random"};

enum policy { KEEP_ALL, DROP_ALL, KEEP_SOME, TEAR_SOME, POLICIES };

/* What is drawn for, so that no two draws share a number. */
enum draw {
	FOR_PREFIX = 1,
	FOR_POLICY,
	FOR_WRITE,
	FOR_SECTOR,
	FOR_SIZE,
	FOR_ATTRIBUTES,
	FOR_NAMES,
	FOR_NAME,
	FOR_HOLE
};

uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t z = a * UINT64_C(0x9E3779B97F4A7C15) + b + UINT64_C(0x632BE59BD9B4E019);

	z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
	return z ^ z >> 31;
}

static uint64_t draw(const struct survival *s, enum draw what, uint64_t which)
{
	return mix(mix(s->cut->seed, what), which);
}

static enum policy policy_of(const struct survival *s, enum draw what, uint32_t ino)
{
	if (s->cut->choice != CHOICE_RANDOM)
		return s->cut->choice == CHOICE_ALL ? KEEP_ALL : DROP_ALL;
	return (enum policy)(draw(s, what, ino) % POLICIES);
}

/* ------------------------------------------------------------------ what is drawn */

static void choose_prefix(struct survival *s)
{
	size_t least = survive_durable_prefix(s), most = s->cut->calls;
	uint64_t h = draw(s, FOR_PREFIX, 0);

	s->prefix = most;
	if (s->cut->choice == CHOICE_NONE || (s->cut->choice == CHOICE_RANDOM && h % 4 == 0))
		s->prefix = least;
	else if (s->cut->choice == CHOICE_RANDOM && h % 4 > 1 && most > least)
		s->prefix = least + (size_t)((h >> 8) % (most - least));
}

static size_t behind_last_given(const struct survival *s, uint32_t ino, enum draw what)
{
	size_t at = s->cut->calls;

	for (; at > 0; at--) {
		const struct call *c = &s->r->calls[at - 1];

		if (c->ino == ino && s->cut->given[at - 1] != FATE_DROPPED &&
		    (what == FOR_SIZE ? call_changes_size(c) : call_changes_attributes(c)))
			break;
	}
	return at;
}

static size_t choose_point(const struct survival *s, enum draw what, uint32_t ino)
{
	uint64_t h = draw(s, what, ino);
	size_t count = 0;

	if (s->cut->choice == CHOICE_GIVEN)
		return behind_last_given(s, ino, what);
	if (s->cut->choice != CHOICE_RANDOM)
		return s->cut->choice == CHOICE_ALL ? s->cut->calls : 0;
	if (h % 4 < 2)
		return h % 4 ? s->cut->calls : 0;
	/* Most changes of most files lie close together: a point among the inode's own calls. */
	h >>= 2;
	for (int pass = 0; pass < 2; pass++) {
		size_t target = count ? h % count : 0, seen = 0;

		for (size_t i = 0; i < s->cut->calls; i++) {
			const struct call *c = &s->r->calls[i];

			if (c->ino != ino || !(call_changes_size(c) || call_changes_attributes(c)))
				continue;
			if (pass && seen == target)
				return i;
			seen++;
		}
		count = seen;
	}
	return s->cut->calls;
}

static bool size_is_kept(struct survival *s, size_t i)
{
	uint32_t ino = s->r->calls[i].ino;

	if (s->cut->model == MODEL_ORDERED)
		return i < s->prefix;
	if (s->size_at[ino] == 0)
		s->size_at[ino] = choose_point(s, FOR_SIZE, ino) + 1;
	return s->durable[i] || i + 1 < s->size_at[ino];
}

static bool attributes_are_kept(struct survival *s, size_t i)
{
	uint32_t ino = s->r->calls[i].ino;

	if (s->cut->model == MODEL_ORDERED)
		return i < s->prefix;
	if (s->attr_at[ino] == 0)
		s->attr_at[ino] = choose_point(s, FOR_ATTRIBUTES, ino) + 1;
	return s->all_of[i] || i + 1 < s->attr_at[ino];
}

static bool name_is_kept(struct survival *s, size_t i)
{
	const struct call *c = &s->r->calls[i];

	if (s->cut->model == MODEL_ORDERED)
		return i < s->prefix;
	if (s->durable[i])
		return true;
	if (s->cut->choice == CHOICE_GIVEN)
		return s->cut->given[i] != FATE_DROPPED;
	switch (policy_of(s, FOR_NAMES, c->dir)) {
	case KEEP_ALL:
		return true;
	case DROP_ALL:
		return false;
	default:
		return draw(s, FOR_NAME, i) & 1;
	}
}

/* ------------------------------------------------------------------ content */

static enum fate fate_of_write(const struct survival *s, size_t i)
{
	static const enum fate some[] = {FATE_KEPT, FATE_DROPPED},
			       torn[] = {FATE_KEPT, FATE_DROPPED, FATE_TORN, FATE_TORN, FATE_CUT};
	uint64_t h = draw(s, FOR_WRITE, i);

	if (s->durable[i])
		return FATE_DURABLE;
	if (s->cut->choice == CHOICE_GIVEN)
		return (enum fate)s->cut->given[i];
	switch (policy_of(s, FOR_POLICY, s->r->calls[i].ino)) {
	case KEEP_ALL:
		return FATE_KEPT;
	case DROP_ALL:
		return FATE_DROPPED;
	case KEEP_SOME:
		return some[h % 2];
	default:
		return torn[h % 5];
	}
}

static bool sector_is_kept(const struct survival *s, size_t i, enum fate fate, size_t sector, size_t sectors)
{
	if (fate == FATE_TORN && s->cut->choice == CHOICE_GIVEN)
		return sector % 2;
	if (fate == FATE_TORN)
		return draw(s, FOR_SECTOR, mix(i, sector)) & 1;
	if (fate == FATE_CUT)
		return sector <= draw(s, FOR_SECTOR, i) % sectors;
	return fate != FATE_DROPPED;
}

/* (o2) */
static bool is_decided(const struct survival *s, size_t i, uint64_t page, bool *kept)
{
	const struct call *c = &s->r->calls[i];

	if (s->cut->model != MODEL_ORDERED)
		return false;
	if (c->fresh[page - c->off / CRASH_PAGE]) {
		*kept = i < s->prefix;
		return true;
	}
	*kept = false;
	return !pages_present(&image_inode(s->m, c->ino)->data, page);
}

static void apply_write(struct survival *s, size_t i)
{
	const struct call *c = &s->r->calls[i];
	enum fate fate = fate_of_write(s, i);
	struct inode *inode = image_change(s->m, c->ino);
	uint64_t first = c->off / CRASH_SECTOR, last = (c->off + c->size - 1) / CRASH_SECTOR;

	for (uint64_t sector = first; sector <= last; sector++) {
		uint64_t begin = sector * CRASH_SECTOR, end = begin + CRASH_SECTOR;
		bool kept;

		if (!is_decided(s, i, begin / CRASH_PAGE, &kept))
			kept = sector_is_kept(s, i, fate, (size_t)(sector - first), (size_t)(last - first + 1));
		if (begin < c->off)
			begin = c->off;
		if (end > c->off + c->size)
			end = c->off + c->size;
		if (kept)
			pages_write(&inode->data, c->data + (begin - c->off), (size_t)(end - begin), begin);
	}
	if (size_is_kept(s, i) && c->off + c->size > inode->size)
		inode->size = c->off + c->size;
	s->fate[i] = (char)fate;
}

/* (s5); in ORDERED a hole is metadata. */
static void apply_punch(struct survival *s, size_t i)
{
	const struct call *c = &s->r->calls[i];
	struct inode *inode = image_change(s->m, c->ino);
	uint64_t end = c->off + c->size;

	s->fate[i] = FATE_DROPPED;
	for (uint64_t off = c->off; off < end && off / CRASH_PAGE < inode->data.count;) {
		uint64_t next = (off / CRASH_PAGE + 1) * CRASH_PAGE;
		bool kept = s->cut->model == MODEL_ORDERED ? i < s->prefix : s->durable[i];

		if (s->cut->model == MODEL_STRICT && !kept)
			kept = sector_is_kept(s, i, fate_of_write(s, i), (size_t)(off / CRASH_PAGE), SIZE_MAX);
		if (next > end)
			next = end;
		if (kept) {
			pages_punch(&inode->data, off, next - off);
			s->fate[i] = FATE_KEPT;
		}
		off = next;
	}
}

static void apply_size(struct survival *s, size_t i)
{
	const struct call *c = &s->r->calls[i];
	struct inode *inode = image_change(s->m, c->ino);
	bool kept = size_is_kept(s, i);

	s->fate[i] = kept ? FATE_KEPT : FATE_DROPPED;
	if (kept && c->kind == CALL_TRUNCATE) {
		pages_cut(&inode->data, c->size);
		inode->size = c->size;
	} else if (kept && c->size > inode->size) {
		inode->size = c->size;
	}
}

/* ------------------------------------------------------------------ all calls */

static bool is_reachable(const struct image *m, uint32_t dir)
{
	while (dir != IMAGE_ROOT) {
		uint32_t up = image_inode(m, dir)->parent;
		const struct inode *d = image_inode(m, up);
		size_t i = 0;

		while (i < d->entry_count && d->entries[i].ino != dir)
			i++;
		if (i == d->entry_count)
			return false;
		dir = up;
	}
	return true;
}

static void apply_names(struct survival *s, size_t i)
{
	const struct call *c = &s->r->calls[i];
	bool kept = name_is_kept(s, i);

	/* (s2) Into a directory that is lost nothing moves. */
	if (kept && c->kind == CALL_RENAME && c->dir != c->dir2 && !is_reachable(s->m, c->dir2))
		kept = false;
	if (c->kind == CALL_MAKE && (s->cut->model == MODEL_STRICT || kept))
		image_make_inode(s->m, c);
	if (kept && !image_possible(s->m, c)) {
		assert(!s->durable[i] || s->cut->model != MODEL_STRICT);
		kept = false;
	}
	if (kept)
		image_apply_names(s->m, c);
	s->fate[i] = kept ? FATE_KEPT : FATE_DROPPED;
}

static void apply_call(struct survival *s, size_t i)
{
	const struct call *c = &s->r->calls[i];

	s->m->now = c->now;
	if (call_is_sync(c))
		return;
	if (call_is_name(c)) {
		apply_names(s, i);
	} else if (image_inode(s->m, c->ino)) { /* (o3) */
		if (c->kind == CALL_WRITE)
			apply_write(s, i);
		else if (c->kind == CALL_PUNCH)
			apply_punch(s, i);
		else if (call_changes_size(c))
			apply_size(s, i);
		else
			s->fate[i] = attributes_are_kept(s, i) ? FATE_KEPT : FATE_DROPPED;
		if (attributes_are_kept(s, i))
			image_apply_attributes(s->m, c);
	}
	if (s->durable[i])
		s->fate[i] = FATE_DURABLE;
}

static void cut_all(struct image *m)
{
	for (uint32_t i = 1; i < m->count; i++) {
		const struct inode *inode = image_inode(m, i);

		if (inode && S_ISREG(inode->mode) && inode->data.count > inode->size / CRASH_PAGE)
			pages_cut(&image_change(m, i)->data, inode->size);
	}
}

static void print_trace(const struct survival *s, FILE *trace)
{
	for (size_t i = 0; i < s->cut->calls; i++) {
		fprintf(trace, "%5zu %c%s ", i, s->fate[i] ? s->fate[i] : ' ',
			s->cut->model == MODEL_ORDERED && i >= s->prefix ? "." : " ");
		call_print(trace, &s->r->calls[i]);
	}
}

static size_t inodes_of(const struct image *base, const struct record *r, size_t n)
{
	size_t most = base->count;

	for (size_t i = 0; i < n; i++)
		if (r->calls[i].ino >= most)
			most = r->calls[i].ino + 1;
	return most;
}

static void power_cut(const struct image *base, const struct record *r, const struct cut *cut, struct image *out,
		      FILE *trace)
{
	struct survival s = {.r = r, .cut = cut, .m = out, .inodes = inodes_of(base, r, cut->calls)};

	s.durable = survive_flags(cut->calls);
	s.all_of = survive_flags(cut->calls);
	s.fate = need(calloc(cut->calls + 1, 1));
	s.size_at = need(calloc(s.inodes, sizeof(size_t)));
	s.attr_at = need(calloc(s.inodes, sizeof(size_t)));
	survive_find_durable(&s);
	if (cut->model == MODEL_ORDERED)
		choose_prefix(&s);
	for (size_t i = 0; i < cut->calls; i++)
		apply_call(&s, i);
	cut_all(out);
	if (trace)
		print_trace(&s, trace);
	free(s.durable);
	free(s.all_of);
	free(s.fate);
	free(s.size_at);
	free(s.attr_at);
}

/* ------------------------------------------------------------------ kill */

size_t survive_parts(const struct record *r, size_t at)
{
	size_t pages = at < r->count && r->calls[at].kind == CALL_WRITE ? call_pages(&r->calls[at]) : 1;

	return pages - 1;
}

void survive_part(const struct call *c, size_t pages, struct call *part)
{
	call_copy(part, c);
	part->size = (c->off / CRASH_PAGE + pages) * CRASH_PAGE - c->off;
}

static void killed(const struct record *r, const struct cut *cut, struct image *out, FILE *trace)
{
	for (size_t i = 0; i < cut->calls; i++) {
		image_apply(out, &r->calls[i]);
		if (!trace)
			continue;
		fprintf(trace, "%5zu    ", i);
		call_print(trace, &r->calls[i]);
	}
	if (cut->pages) {
		struct call part;

		survive_part(&r->calls[cut->calls], cut->pages, &part);
		image_apply(out, &part);
		call_free(&part);
	}
}

void survive(const struct image *base, const struct record *r, const struct cut *cut, struct image *out, FILE *trace)
{
	image_copy(out, base);
	if (cut->model == MODEL_KILL)
		killed(r, cut, out, trace);
	else
		power_cut(base, r, cut, out, trace);
	image_settle(out);
}
