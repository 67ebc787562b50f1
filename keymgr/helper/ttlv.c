#include "keymgr/helper/ttlv.h"

#include <string.h>

/* Multi-byte fields are big-endian; KMIP is alone with that here. */
static void put_be(uint8_t *at, unsigned n, uint64_t value)
{
	while (n-- > 0) {
		at[n] = (uint8_t)value;
		value >>= 8;
	}
}

static uint64_t get_be(const uint8_t *at, unsigned n)
{
	uint64_t value = 0;

	while (n-- > 0)
		value = value << 8 | *at++;
	return value;
}

static size_t padded(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

/* Bytes of the value; 0: as many as there are. */
static size_t fixed_size(enum ttlv_type type)
{
	switch (type) {
	case TTLV_INTEGER:
	case TTLV_ENUMERATION:
	case TTLV_INTERVAL:
		return 4;
	case TTLV_LONG_INTEGER:
	case TTLV_BOOLEAN:
	case TTLV_DATE_TIME:
		return 8;
	default:
		return 0;
	}
}

/* --- writing */

/* Room for a value of n bytes, behind its head; NULL: there is none. */
static uint8_t *put_head(struct ttlv_writer *w, uint32_t tag, enum ttlv_type type, size_t n)
{
	uint8_t *at = w->room + w->used;

	if (w->full || n > TTLV_MESSAGE_MAX || w->size - w->used < TTLV_HEAD + padded(n) || tag > TTLV_TAG_MAX) {
		w->full = true;
		return NULL;
	}
	put_be(at, 3, tag);
	at[3] = (uint8_t)type;
	put_be(at + 4, 4, n);
	memset(at + TTLV_HEAD, 0, padded(n));
	w->used += TTLV_HEAD + padded(n);
	return at + TTLV_HEAD;
}

void ttlv_begin(struct ttlv_writer *w, uint32_t tag)
{
	size_t at = w->used;

	if (w->depth == TTLV_DEPTH_MAX)
		w->full = true;
	if (put_head(w, tag, TTLV_STRUCTURE, 0))
		w->open[w->depth++] = at;
}

void ttlv_end(struct ttlv_writer *w)
{
	size_t at;

	if (w->full || w->depth == 0) {
		w->full = true;
		return;
	}
	at = w->open[--w->depth];
	put_be(w->room + at + 4, 4, w->used - at - TTLV_HEAD);
}

void ttlv_put_number(struct ttlv_writer *w, uint32_t tag, enum ttlv_type type, int64_t number)
{
	size_t n = fixed_size(type);
	uint8_t *at = n ? put_head(w, tag, type, n) : NULL;

	if (at)
		put_be(at, (unsigned)n, (uint64_t)number);
	else
		w->full = true;
}

void ttlv_put_bytes(struct ttlv_writer *w, uint32_t tag, enum ttlv_type type, const void *bytes, size_t n)
{
	uint8_t *at = put_head(w, tag, type, n);

	if (at && n)
		memcpy(at, bytes, n);
}

void ttlv_put_text(struct ttlv_writer *w, uint32_t tag, const char *text)
{
	ttlv_put_bytes(w, tag, TTLV_TEXT, text, strlen(text));
}

size_t ttlv_size(const struct ttlv_writer *w)
{
	return w->full || w->depth || w->used > TTLV_MESSAGE_MAX ? 0 : w->used;
}

/* --- reading */

size_t ttlv_announced(const uint8_t head[TTLV_HEAD])
{
	uint64_t n = get_be(head + 4, 4);

	return n <= TTLV_MESSAGE_MAX - TTLV_HEAD ? TTLV_HEAD + padded(n) : 0;
}

static bool value_is_sound(enum ttlv_type type, const uint8_t *at, size_t n)
{
	if (fixed_size(type) && n != fixed_size(type))
		return false;
	if ((type == TTLV_STRUCTURE || type == TTLV_BIG_INTEGER) && n % 8)
		return false;
	if (type == TTLV_BOOLEAN && get_be(at, 8) > 1)
		return false;
	for (size_t i = n; i < padded(n); i++)
		if (at[i])
			return false;
	return true;
}

/* Structures are stepped into, so one pass over the bytes meets every item; `ends` holds where those that are open end. */
bool ttlv_is_sound(const uint8_t *message, size_t n)
{
	size_t ends[TTLV_DEPTH_MAX], at = 0;
	unsigned depth = 0;

	if (n < TTLV_HEAD || n > TTLV_MESSAGE_MAX || ttlv_announced(message) != n)
		return false;
	while (at < n) {
		size_t left = (depth ? ends[depth - 1] : n) - at, size;
		uint8_t type;

		if (left < TTLV_HEAD)
			return false;
		type = message[at + 3];
		size = get_be(message + at + 4, 4);
		at += TTLV_HEAD;
		left -= TTLV_HEAD;
		if (type < TTLV_STRUCTURE || type > TTLV_INTERVAL || size > left || padded(size) > left ||
		    !value_is_sound(type, message + at, size))
			return false;
		if (type != TTLV_STRUCTURE)
			at += padded(size);
		else if (depth == TTLV_DEPTH_MAX)
			return false;
		else
			ends[depth++] = at + size;
		while (depth && ends[depth - 1] == at)
			depth--;
	}
	return true;
}

bool ttlv_next(struct ttlv_items *items, struct ttlv *out)
{
	size_t whole;

	if (items->size < TTLV_HEAD)
		return false;
	*out = (struct ttlv){
		.tag = (uint32_t)get_be(items->at, 3),
		.type = items->at[3],
		.at = items->at + TTLV_HEAD,
		.size = get_be(items->at + 4, 4),
	};
	whole = TTLV_HEAD + padded(out->size);
	*items = (struct ttlv_items){items->at + whole, items->size - whole};
	return true;
}

bool ttlv_find(struct ttlv_items items, uint32_t tag, enum ttlv_type type, struct ttlv *out)
{
	while (ttlv_next(&items, out))
		if (out->tag == tag && out->type == type)
			return true;
	return false;
}

struct ttlv_items ttlv_inside(const struct ttlv *t)
{
	return (struct ttlv_items){t->at, t->type == TTLV_STRUCTURE ? t->size : 0};
}

int64_t ttlv_number(const struct ttlv *t)
{
	uint64_t value = get_be(t->at, (unsigned)t->size);

	return t->size == 4 && t->type != TTLV_ENUMERATION && t->type != TTLV_INTERVAL ? (int32_t)value
										       : (int64_t)value;
}
