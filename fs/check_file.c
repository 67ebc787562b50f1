#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fs/check_internal.h"
#include "fs/node.h"
#include "fs/zone.h"

/* A head as it lies below. */
struct raw_head {
	uint8_t bytes[PAGE_BYTES];
	size_t size;
};

/* ------------------------------------------------------------------ what a head says of the size */

static int wrong_size(struct check *c, const struct check_entry *en, const struct head *h, bool *readable)
{
	uint64_t right = layout_physical_size(h->size, true);
	bool longer = en->st.size > right;
	struct check_kind k = {CHECK_ERROR, "size", false};
	int r = c->repair ? repair_size(c, en, right) : -EROFS;

	k.repaired = r == 0;
	*readable = r == 0;
	if (longer)
		return check_say_entry(c, en, k,
				       "%" PRIu64 " bytes lie behind the %" PRIu64
				       " of the file, which its head does not know; %s",
				       en->st.size - right, right,
				       r == 0 ? "moved to .coffer/lost/" : "--repair moves them to .coffer/lost/");
	return check_say_entry(c, en, k, "%" PRIu64 " of %" PRIu64 " bytes are missing at its end; %s",
			       right - en->st.size, right,
			       r == 0 ? "it has its size again, what is missing reads as errors"
				      : "--repair makes what is left readable");
}

static int bad_head(struct check *c, struct check_entry *en, const struct raw_head *raw, int error)
{
	const char *generation =
		raw->size >= HEAD_MIN ? check_generation(c, zone_of(c->e, en->dir->node), head_generation(raw->bytes))
				      : NULL;
	uint64_t logical;
	char what[160];

	c->partial = true;
	if (error == -ENOKEY)
		return check_say_entry(c, en, (struct check_kind){CHECK_WARNING, "generation", false},
				       "generation %" PRIu32 " is suspended; the file can be checked when it is not",
				       head_generation(raw->bytes));
	/* Whoever damages a head may write any number into it; but a key that may come back is no reason to set a file aside. */
	if (generation && !head_is_cut(raw->bytes, raw->size) && raw->bytes[0] == 'C' && raw->bytes[1] == 'O')
		return check_say_entry(c, en, (struct check_kind){CHECK_ERROR, "generation", false},
				       "the head is under generation %" PRIu32 ", which %s",
				       head_generation(raw->bytes), generation);
	if (!layout_logical_size(en->st.size, &logical)) {
		snprintf(what, sizeof what, "no file of coffer has a size of %" PRIu64 " bytes", en->st.size);
		return check_unreadable(c, en, "size", what);
	}
	if (head_is_cut(raw->bytes, raw->size))
		return check_unreadable(c, en, "size", "the file was cut off within its head");
	return check_unreadable(c, en, "head", "the head of the file does not authenticate");
}

/* ------------------------------------------------------------------ one file */

static int doubled(struct check *c, const struct check_entry *en, const struct head *h, bool *seen)
{
	uint64_t before;
	int r = check_ids_add(&c->files, h->file_id, en->st.ino, &before);

	*seen = r == 0 && before == en->st.ino;
	return r < 0 || before == 0 || *seen ? r : check_keep_doubled(c, en->dir, en, before);
}

/* True if only a mount's first look may judge the file: it was being made when the machine stopped, and is not whole; or it grew by
 * writes whose records were lost. */
static int is_young(struct check *c, struct check_entry *en, struct node *n, const struct raw_head *raw,
		    const struct head *h, const uint8_t *body, bool *young)
{
	uint64_t right = layout_physical_size(h->size, true);
	bool whole = true;
	int r = 0;

	*young = c->range_count > 0 && en->st.size > right;
	if (*young || !check_may_be_young(c, raw->bytes, raw->size))
		return 0;
	if (layout_is_paged(h->size))
		r = check_pages(c, en, n, h, (const struct entry *)body, &whole);
	*young = !whole || en->st.size != right;
	return r;
}

/* What is wrong with a file whose head opens. */
static int check_opened(struct check *c, struct check_entry *en, struct node *n, const struct raw_head *raw,
			const struct head *h, const uint8_t *body)
{
	bool seen = false, readable = true, young = false;
	int r = doubled(c, en, h, &seen);

	if (r == 0 && !seen)
		r = is_young(c, en, n, raw, h, body, &young);
	if (r == 0 && young)
		return check_keep_young(c, en);
	if (r == 0 && en->st.size != layout_physical_size(h->size, true))
		r = wrong_size(c, en, h, &readable);
	if (r == 0 && readable && layout_is_paged(h->size) && !seen &&
	    (c->o->deep || en->st.size < layout_physical_size(h->size, true)))
		r = check_pages(c, en, n, h, (const struct entry *)body, NULL);
	if (r == 0 && readable && !seen)
		r = check_attributes(c, en->dir, en, n);
	return r;
}

static int check_content(struct check *c, struct check_entry *en, struct node *n)
{
	struct raw_head raw;
	uint8_t body[INLINE_MAX], id[16];
	struct head h;
	ssize_t got = store_pread(c->e->store, n->fd, raw.bytes, sizeof raw.bytes, 0);
	int r;

	if (got < 0) {
		c->partial = true;
		return check_say_entry(c, en, check_store_kind((int)got), "the head cannot be read: %s",
				       strerror((int)-got));
	}
	raw.size = (size_t)got;
	c->report->bytes += raw.size;
	if (raw.size >= PREFIX_SIZE && head_is_ours(raw.bytes, id) && check_has_records(c, id))
		return 0;
	r = head_open_claimed(c->e, zone_of(c->e, en->dir->node), raw.bytes, raw.size, &h, body);
	if (r == -ENOMEM)
		return r;
	if (r == -EBADMSG && check_may_be_young(c, raw.bytes, raw.size))
		return check_keep_young(c, en);
	if (r < 0)
		return bad_head(c, en, &raw, r);
	check_candidate(&en->dir->candidates, h.birth);
	return check_opened(c, en, n, &raw, &h, body);
}

/* Of a file that was being made even the head may be gone: attributes that are left were bound to its id. */
static int check_empty(struct check *c, struct check_entry *en, struct node *n)
{
	if (check_young_time(c, &en->st) && check_has_attributes(c, n->fd))
		return check_keep_young(c, en);
	return check_attributes(c, en->dir, en, n);
}

int check_file(struct check *c, struct check_entry *en)
{
	uint64_t allocated = en->st.blocks * 512, before = c->done;
	struct node *n;
	int r;

	c->report->files++;
	n = node_enter(c->e, en->dir->node, en->backing, &en->st, false);
	if (!n)
		return -ENOMEM;
	r = node_use(c->e, n);
	if (r < 0) {
		c->partial = true;
		r = check_say_entry(c, en, check_store_kind(r), "cannot be opened: %s", strerror(-r));
	} else {
		/* Never written: nothing can be wrong with it. */
		if (en->st.size > 0)
			r = check_content(c, en, n);
		else
			r = check_empty(c, en, n);
		node_unuse(c->e, n);
	}
	node_unref(c->e, n);
	/* A file counts as what it occupies, whether its pages were opened or are holes. */
	if (allocated > en->st.size)
		allocated = en->st.size;
	if (c->o->deep && before + allocated > c->done)
		c->done = before + allocated;
	else if (!c->o->deep)
		c->done = c->report->bytes;
	return r;
}
