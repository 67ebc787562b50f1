/* TTLV, the encoding of KMIP (Key Management Interoperability Protocol Specification 1.4, section 9.1): tag, type, length, value.
 *
 * Nothing is allocated: a message is written into room that is given, and read where it lies.  No function here fails in the middle: a writer that has no
 * room writes nothing more and says so at the end; a reader is told before the first item whether the whole message is sound. */
#ifndef COFFER_KEYMGR_HELPER_TTLV_H
#define COFFER_KEYMGR_HELPER_TTLV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/base/cleanup.h"

enum ttlv_type {
	TTLV_STRUCTURE = 1,
	TTLV_INTEGER,
	TTLV_LONG_INTEGER,
	TTLV_BIG_INTEGER,
	TTLV_ENUMERATION,
	TTLV_BOOLEAN,
	TTLV_TEXT,
	TTLV_BYTES,
	TTLV_DATE_TIME,
	TTLV_INTERVAL,
};

enum {
	TTLV_HEAD = 8,                /* bytes before a value */
	TTLV_MESSAGE_MAX = 16 << 10,  /* bytes of a message; a longer one is not sound */
	TTLV_DEPTH_MAX = 12,          /* structures in each other */
	TTLV_TAG_MAX = (1 << 24) - 1, /* of 3 bytes */
};

/* --- writing */

struct ttlv_writer {
	uint8_t *room;
	size_t size, used;
	bool full; /* it was too little, or too deep */
	size_t open[TTLV_DEPTH_MAX];
	unsigned depth;
};
#define TTLV_WRITER(bytes, n) ((struct ttlv_writer){.room = (bytes), .size = (n)})
void ttlv_begin(struct ttlv_writer *w, uint32_t tag);
void ttlv_end(struct ttlv_writer *w);
/* type: integer, enumeration or interval; long integer, boolean or date-time. */
void ttlv_put_number(struct ttlv_writer *w, uint32_t tag, enum ttlv_type type, int64_t number);
/* type: text, bytes or big integer (of which n is a multiple of 8). */
void ttlv_put_bytes(struct ttlv_writer *w, uint32_t tag, enum ttlv_type type, const void *bytes, size_t n);
void ttlv_put_text(struct ttlv_writer *w, uint32_t tag, const char *text);
/* Bytes of the message; 0: there was no room, or a structure is still open. */
size_t ttlv_size(const struct ttlv_writer *w);

/* --- reading */

/* Items one behind the other: a message, or what is in a structure. */
struct ttlv_items {
	const uint8_t *at;
	size_t size;
};
struct ttlv {
	uint32_t tag;
	enum ttlv_type type;
	const uint8_t *at; /* the value, inside the message */
	size_t size;       /* without padding */
};

/* Size of the item whose first TTLV_HEAD bytes these are, as a whole; 0: none of these would be sound. */
size_t ttlv_announced(const uint8_t head[TTLV_HEAD]);
/* Whether these bytes are exactly one item, with everything in it as the specification has it: types, lengths, padding of zeroes, depth.  Only then
 * what follows may be used. */
bool ttlv_is_sound(const uint8_t *message, size_t n) MUST_CHECK;
/* The next item, which is taken off; false at the end. */
bool ttlv_next(struct ttlv_items *items, struct ttlv *out);
/* The first item of that tag and type among them; false: there is none. */
bool ttlv_find(struct ttlv_items items, uint32_t tag, enum ttlv_type type, struct ttlv *out);
/* What is in a structure; in anything else nothing is. */
struct ttlv_items ttlv_inside(const struct ttlv *t);
/* Of a number or a boolean. */
int64_t ttlv_number(const struct ttlv *t);

#endif
