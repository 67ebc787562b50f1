#include "fs/record.h"

#include <errno.h>

enum {
	CHANGE_FIXED = 80,
	PIECE_SIZE = 44, /* page 8, bytes 4, entry 32 */
	MAPS_FIXED = 20,
	MAP_PLACE_SIZE = 9,
	IMAGES_FIXED = 76,
};

/* ------------------------------------------------------------------ paths and times */

/* Length 2, text. */
static uint8_t *put_path(uint8_t *p, struct record_path path)
{
	put_le16(p, (uint16_t)path.size);
	if (path.size)
		memcpy(p + 2, path.text, path.size);
	return p + 2 + path.size;
}

static int get_path(const uint8_t **p, const uint8_t *end, struct record_path *out)
{
	if (end - *p < 2)
		return -EBADMSG;
	out->size = get_le16(*p);
	out->text = (const char *)*p + 2;
	if (out->size > RECORD_PATH_MAX || (size_t)(end - *p) - 2 < out->size || memchr(out->text, 0, out->size))
		return -EBADMSG;
	*p += 2 + out->size;
	return 0;
}

static void put_time(uint8_t *p, const struct timespec *t)
{
	put_le64(p, (uint64_t)t->tv_sec);
	put_le32(p + 8, (uint32_t)t->tv_nsec);
}

static int get_time(const uint8_t *p, struct timespec *t)
{
	t->tv_sec = (time_t)get_le64(p);
	t->tv_nsec = (long)get_le32(p + 8);
	return t->tv_nsec < 1000000000 ? 0 : -EBADMSG;
}

/* ------------------------------------------------------------------ CHANGE */

#define IN_PAYLOAD (UINT32_C(1) << 31) /* in a piece's length */

size_t change_record_size(uint32_t count, size_t hint_size)
{
	return CHANGE_FIXED + (size_t)count * PIECE_SIZE + 2 + hint_size;
}

size_t change_record_encode(const struct change_record *c, uint8_t *out)
{
	uint8_t *p = out + CHANGE_FIXED;

	memcpy(out, c->file_id, 16);
	memcpy(out + 16, c->base, AEAD_TAG);
	put_le64(out + 32, c->size);
	put_time(out + 40, &c->mtime);
	put_le32(out + 52, 0);
	put_le64(out + 56, c->clear.first);
	put_le64(out + 64, c->clear.end);
	put_le32(out + 72, c->count);
	put_le32(out + 76, c->old);
	for (uint32_t i = 0; i < c->count; i++, p += PIECE_SIZE) {
		put_le64(p, c->pieces[i].page);
		put_le32(p + 8, c->pieces[i].bytes | (c->pieces[i].in_payload ? IN_PAYLOAD : 0));
		memcpy(p + 12, &c->pieces[i].entry, ENTRY_SIZE);
	}
	return (size_t)(put_path(p, c->hint) - out);
}

struct piece change_record_piece(const struct change_record *c, uint32_t i)
{
	const uint8_t *p = c->encoded + (size_t)i * PIECE_SIZE;
	uint32_t bytes = get_le32(p + 8);
	struct piece piece = {.page = get_le64(p), .bytes = bytes & ~IN_PAYLOAD, .in_payload = bytes & IN_PAYLOAD};

	piece.in_place = !piece.in_payload;
	memcpy(&piece.entry, p + 12, ENTRY_SIZE);
	return piece;
}

static int check_pieces(const struct change_record *c, size_t payload_size)
{
	size_t bytes = 0;

	for (uint32_t i = 0; i < c->count; i++) {
		struct piece piece = change_record_piece(c, i);

		if (piece.page >= layout_max_pages || piece.bytes == 0 || piece.bytes > PAGE_BYTES ||
		    entry_is_hole(&piece.entry))
			return -EBADMSG;
		bytes += piece.in_payload ? piece.bytes : 0;
	}
	return payload_size == bytes ? 0 : -EBADMSG;
}

int change_record_decode(const uint8_t *in, size_t n, size_t payload_size, struct change_record *out)
{
	if (n < CHANGE_FIXED)
		return -EBADMSG;
	memcpy(out->file_id, in, 16);
	memcpy(out->base, in + 16, AEAD_TAG);
	out->size = get_le64(in + 32);
	out->clear.first = get_le64(in + 56);
	out->clear.end = get_le64(in + 64);
	out->count = get_le32(in + 72);
	out->old = get_le32(in + 76);
	out->pieces = NULL;
	out->encoded = in + CHANGE_FIXED;
	if (get_time(in + 40, &out->mtime) < 0 || out->count > CHANGE_PIECES_MAX || out->old > out->count ||
	    out->size > layout_max_size() || out->clear.first > out->clear.end || out->clear.end > layout_max_pages ||
	    n < change_record_size(out->count, 0))
		return -EBADMSG;

	const uint8_t *p = out->encoded + (size_t)out->count * PIECE_SIZE;
	int r = get_path(&p, in + n, &out->hint);

	return r < 0 ? r : check_pieces(out, payload_size);
}

/* ------------------------------------------------------------------ MAPS, IMAGES */

size_t maps_record_encode(const struct maps_record *m, uint8_t *out)
{
	uint8_t *p = out + MAPS_FIXED;

	memcpy(out, m->file_id, 16);
	put_le32(out + 16, m->count);
	for (uint32_t i = 0; i < m->count; i++, p += MAP_PLACE_SIZE) {
		put_le64(p, m->maps[i].first);
		p[8] = m->maps[i].height;
	}
	return (size_t)(p - out);
}

int maps_record_decode(const uint8_t *in, size_t n, size_t payload_size, struct maps_record *out)
{
	const uint8_t *p = in + MAPS_FIXED;

	if (n < MAPS_FIXED)
		return -EBADMSG;
	memcpy(out->file_id, in, 16);
	out->count = get_le32(in + 16);
	if (out->count > MAPS_MAX || n < MAPS_FIXED + (size_t)out->count * MAP_PLACE_SIZE ||
	    payload_size != (size_t)out->count * PAGE_BYTES)
		return -EBADMSG;
	for (uint32_t i = 0; i < out->count; i++, p += MAP_PLACE_SIZE) {
		out->maps[i].first = get_le64(p);
		out->maps[i].height = p[8];
		if (!layout_is_map(out->maps[i].height, out->maps[i].first))
			return -EBADMSG;
	}
	return 0;
}

size_t images_record_encode(const struct images_record *r, uint8_t *out)
{
	memcpy(out, r->file_id, 16);
	memcpy(out + 16, r->base, AEAD_TAG);
	memcpy(out + 32, r->version, AEAD_TAG);
	put_le64(out + 48, r->size);
	put_time(out + 56, &r->mtime);
	put_le32(out + 68, r->maps);
	put_le32(out + 72, 0);
	return (size_t)(put_path(out + IMAGES_FIXED, r->hint) - out);
}

int images_record_decode(const uint8_t *in, size_t n, struct images_record *out)
{
	const uint8_t *p = in + IMAGES_FIXED;

	if (n < IMAGES_FIXED)
		return -EBADMSG;
	memcpy(out->file_id, in, 16);
	memcpy(out->base, in + 16, AEAD_TAG);
	memcpy(out->version, in + 32, AEAD_TAG);
	out->size = get_le64(in + 48);
	out->maps = get_le32(in + 68);
	if (get_time(in + 56, &out->mtime) < 0 || out->size > layout_max_size())
		return -EBADMSG;
	return get_path(&p, in + n, &out->hint);
}

/* ------------------------------------------------------------------ SIDE, MODE, MOVED */

size_t side_record_encode(const struct side_record *r, uint8_t *out)
{
	return (size_t)(put_path(put_path(put_path(out, r->path), r->name), r->text) - out);
}

int side_record_decode(const uint8_t *in, size_t n, struct side_record *out)
{
	const uint8_t *p = in, *end = in + n;

	return get_path(&p, end, &out->path) < 0 || get_path(&p, end, &out->name) < 0 ||
			       get_path(&p, end, &out->text) < 0
		       ? -EBADMSG
		       : 0;
}

size_t mode_record_encode(const struct mode_record *r, uint8_t *out)
{
	put_le32(out, r->mode);
	put_le32(out + 4, r->lent);
	return (size_t)(put_path(out + 8, r->path) - out);
}

int mode_record_decode(const uint8_t *in, size_t n, struct mode_record *out)
{
	const uint8_t *p = in + 8;

	if (n < 8)
		return -EBADMSG;
	out->mode = get_le32(in);
	out->lent = get_le32(in + 4);
	return get_path(&p, in + n, &out->path);
}

size_t moved_record_encode(const struct moved_record *r, uint8_t *out)
{
	memcpy(out, r->file_id, 16);
	return (size_t)(put_path(put_path(out + 16, r->from), r->to) - out);
}

int moved_record_decode(const uint8_t *in, size_t n, struct moved_record *out)
{
	const uint8_t *p = in + 16, *end = in + n;

	if (n < 16)
		return -EBADMSG;
	memcpy(out->file_id, in, 16);
	return get_path(&p, end, &out->from) < 0 || get_path(&p, end, &out->to) < 0 ? -EBADMSG : 0;
}
