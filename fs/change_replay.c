/* At recovery: what records say, done to memory. */
#include <errno.h>
#include <string.h>

#include "fs/change_parts.h"
#include "fs/logged.h"

static int replay_inline(struct engine *e, struct file *f, const struct change_record *r, const uint8_t *payload)
{
	struct page_place where = {f->zone, f->head.file_id, PAGE_DATA, 0, 0};
	uint8_t content[PAGE_BYTES] = {0};
	int result = 0;

	if (r->size) {
		struct piece p = r->count ? change_record_piece(r, 0) : (struct piece){0};

		if (r->count != 1 || !p.in_payload || p.page != 0 || p.bytes != r->size)
			return -EBADMSG;
		result = page_open(e, &where, &p.entry, payload, p.bytes, content);
	}
	if (result < 0)
		return result;
	if (layout_is_paged(f->head.size))
		change_join_range(&f->log.cut, 0, layout_pages(f->head.size));
	maps_drop(e, f);
	logged_remove_range(&f->log.pages, 0, layout_max_pages);
	memset(&f->body, 0, sizeof f->body);
	memcpy(f->body.content, content, r->size);
	change_set_size(f, r->size);
	return 0;
}

int change_replay(struct engine *e, struct node *n, struct file *f, const struct change_record *r, uint32_t pieces,
		  uint64_t size, const uint8_t *payload, uint64_t payload_at)
{
	bool only_time = r->count == 0 && size == f->head.size && r->clear.first == r->clear.end;
	int result = only_time ? 0 : logged_make_room(&f->log.pages, pieces);

	if (only_time)
		return 0;
	if (result < 0 || !layout_is_paged(size))
		return result < 0 ? result : replay_inline(e, f, r, payload);
	if (!layout_is_paged(f->head.size))
		memset(&f->body, 0, sizeof f->body);
	else if (r->clear.first < r->clear.end)
		result = tree_prepare_clear(e, f, n->fd, r->clear.first, r->clear.end);
	for (uint32_t i = 0; i < pieces && result == 0; i++)
		result = tree_prepare(e, f, n->fd, change_record_piece(r, i).page, 1);
	if (result < 0)
		return result;
	change_clear_in_memory(e, n, f, &r->clear);
	for (uint32_t i = 0; i < pieces && result == 0; i++) {
		struct piece p = change_record_piece(r, i);

		result = tree_set(e, f, n->fd, p.page, 1, &p.entry);
		if (p.in_payload)
			logged_put(&f->log.pages, p.page, payload_at, p.bytes);
		else
			logged_remove(&f->log.pages, p.page, LOGGED_ANYWHERE);
		payload_at += p.in_payload ? p.bytes : 0;
	}
	change_set_size(f, size);
	return result;
}
