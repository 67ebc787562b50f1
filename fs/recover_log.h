/* The records of a journal, read at once and put in order: by file, with the paths that they tell.
 *
 * One pass; memory and time are proportional to the records. */
#ifndef COFFER_FS_RECOVER_LOG_H
#define COFFER_FS_RECOVER_LOG_H

#include "fs/record.h"
#include "fs/recover_paths.h"

#define FILE_NONE UINT32_MAX

struct logged_record {
	unsigned type;
	uint8_t *body;
	size_t body_size, payload_size;
	uint64_t payload_at;
	uint32_t file;  /* CHANGE, MAPS, IMAGES: number of the file; else FILE_NONE */
	uint32_t place; /* SIDE of an id, MODE: what it is about; SIDE of a long name: the directory; else PLACE_NONE */
	bool applied;   /* IMAGES: an APPLY behind it names it */
};

struct logged_file {
	uint8_t id[16];
	uint32_t place;        /* the last that was told; PLACE_NONE: none was */
	uint32_t gone;         /* number of the GONE behind the last path that was told; FILE_NONE: there is none */
	uint32_t first, count; /* its records: so many of record_log.by_file, in their order */
};

/* Numbers by 16 bytes that look random. */
struct id_index {
	struct id_slot {
		uint8_t id[16];
		uint32_t number; /* FILE_NONE: free */
	} * slots;
	size_t size, count;
};

struct record_log {
	struct logged_record *list;
	uint32_t count, room;
	struct logged_file *files;
	uint32_t file_count, file_room;
	uint32_t *by_file;
	struct paths paths;
	struct id_index file_ids, versions; /* versions: the last IMAGES with each */
};

/* Reads to the first record that does not open (R1). */
int record_log_read(struct engine *e, struct record_log *out) MUST_CHECK;
void record_log_free(struct record_log *l);

/* (N2) True if a file that is not at the last path told of it was removed. */
bool record_log_gone(const struct record_log *l, const struct logged_file *f);

/* Record number i of a file, from 0. */
static inline const struct logged_record *record_of(const struct record_log *l, const struct logged_file *f, uint32_t i)
{
	return &l->list[l->by_file[f->first + i]];
}

#endif
