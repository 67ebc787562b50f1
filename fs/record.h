/* Records of the journal: what they say, and their bytes (docs/format-journal.md section 4).
 *
 * Decoding checks every length; what does not fit is -EBADMSG (a record that opened but makes no sense: a newer format, or a bug). */
#ifndef COFFER_FS_RECORD_H
#define COFFER_FS_RECORD_H

#include "fs/page.h"

enum record_type {
	RECORD_CHANGE = 1, /* a write, truncation or hole of one file */
	RECORD_MAPS,       /* map pages of the IMAGES that follows */
	RECORD_IMAGES,     /* a new version of one file: its head */
	RECORD_APPLY,      /* these versions may be brought in place */
	RECORD_SIDE,       /* a directory's id or a long name's sidecar, with its place */
	RECORD_MODE,       /* a mode that is about to be lent */
	RECORD_MOVED,      /* hints: another path, */
	RECORD_GONE,       /* and that there is none any more */
};

enum {
	RECORD_PATH_MAX = 8192, /* longer ones are left out */
	CHANGE_PIECES_MAX = 258,
	MAPS_MAX = RECORD_PAYLOAD_MAX / PAGE_BYTES,
	APPLY_MAX = 2048,
};

/* One page: in place, or (too) in the payload, where such pieces lie one behind the other. */
struct piece {
	uint64_t page;
	uint32_t bytes; /* its length, at most PAGE_BYTES */
	bool in_payload, in_place;
	bool to_reserve; /* in place it may have no space (change.c) */
	struct entry entry;
};

/* A path below data/, of backing names; not terminated. */
struct record_path {
	const char *text;
	size_t size;
};

struct change_record {
	uint8_t file_id[16], base[AEAD_TAG];
	uint64_t size; /* of the file afterwards */
	struct timespec mtime;
	struct page_range clear; /* becomes a hole first; empty: nothing */
	uint32_t count;
	uint32_t old; /* so many of them, the first, only make room for the others, and count only with one of those */
	const struct piece *pieces; /* encoding only; decoding: change_record_piece */
	const uint8_t *encoded;
	struct record_path hint;
};
size_t change_record_size(uint32_t count, size_t hint_size);
size_t change_record_encode(const struct change_record *c, uint8_t *out);
int change_record_decode(const uint8_t *in, size_t n, size_t payload_size, struct change_record *out) MUST_CHECK;
struct piece change_record_piece(const struct change_record *c, uint32_t i);

struct maps_record {
	uint8_t file_id[16];
	uint32_t count;
	struct map_place {
		uint64_t first;
		uint8_t height;
	} maps[MAPS_MAX];
};
size_t maps_record_encode(const struct maps_record *m, uint8_t *out);
int maps_record_decode(const uint8_t *in, size_t n, size_t payload_size, struct maps_record *out) MUST_CHECK;

/* The payload is the head. */
struct images_record {
	uint8_t file_id[16], base[AEAD_TAG], version[AEAD_TAG];
	uint64_t size;
	struct timespec mtime;
	uint32_t maps; /* the last so many of the MAPS records of the file before it */
	struct record_path hint;
};
size_t images_record_encode(const struct images_record *r, uint8_t *out);
int images_record_decode(const uint8_t *in, size_t n, struct images_record *out) MUST_CHECK;

/* A body of 16-byte version names. */

/* text: the id's or sidecar's.  A directory id has no name: its place is `path` itself. */
struct side_record {
	struct record_path path, name, text;
};
size_t side_record_encode(const struct side_record *r, uint8_t *out);
int side_record_decode(const uint8_t *in, size_t n, struct side_record *out) MUST_CHECK;

struct mode_record {
	uint32_t mode, lent;
	struct record_path path;
};
size_t mode_record_encode(const struct mode_record *r, uint8_t *out);
int mode_record_decode(const uint8_t *in, size_t n, struct mode_record *out) MUST_CHECK;

/* A directory's path changed (from and to), or a file's (to only; file_id says which). */
struct moved_record {
	uint8_t file_id[16]; /* zero: a directory */
	struct record_path from, to;
};
size_t moved_record_encode(const struct moved_record *r, uint8_t *out);
int moved_record_decode(const uint8_t *in, size_t n, struct moved_record *out) MUST_CHECK;

#endif
