/* The records of a journal, read at once, and what they say of paths. */
#ifndef COFFER_FS_RECOVER_LOG_H
#define COFFER_FS_RECOVER_LOG_H

#include "fs/record.h"

struct logged_record {
	unsigned type;
	uint8_t *body;
	size_t body_size, payload_size;
	uint64_t payload_at;
	bool applied; /* IMAGES: an APPLY names it */
};

struct record_log {
	struct logged_record *list;
	size_t count, room;
};

/* Reads to the first record that does not open (R1). */
int record_log_read(struct engine *e, struct record_log *out) MUST_CHECK;
void record_log_free(struct record_log *l);

/* The file that a record is about; NULL if it is about none. */
const uint8_t *record_file(const struct logged_record *r);

/* A path that record number `at` gave, after the renames that follow it; NULL without memory.  The caller's. */
char *record_path_now(const struct record_log *l, size_t at, struct record_path path);
/* The last path that is told of a file; NULL if none is. */
char *record_file_path(const struct record_log *l, const uint8_t file_id[16]);

#endif
