/* The sealed part of a backup as a stream of bytes (backup_file.h).  Only backup_*.c include this. */
#ifndef COFFER_SERVICE_BACKUP_SEGMENTS_H
#define COFFER_SERVICE_BACKUP_SEGMENTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "keymgr/service/keys.h"

enum { BACKUP_SEGMENT = 64 << 10 };

/* n bytes of the file from `at` on, or fewer at its end: how many, or a negative errno. */
ssize_t backup_read_at(int fd, void *out, size_t n, uint64_t at) MUST_CHECK;

/* One that is written or one that is read.  fd stays the caller's; they begin at `at`. */
struct segments;
int segments_new(int fd, uint64_t at, const uint8_t head[SHA256_SIZE], const struct service_keys *keys,
		 const atomic_bool *stop, struct segments **out) MUST_CHECK;
void segments_free(struct segments **s);

/* -ECANCELED: *stop was set. */
int segments_put(struct segments *s, const void *bytes, size_t n) MUST_CHECK;
int segments_flush(struct segments *s, bool last) MUST_CHECK;

/* Exactly n bytes.  -EBADMSG: they are not there, or not what was written. */
int segments_take(struct segments *s, void *out, size_t n) MUST_CHECK;
bool segments_ended(const struct segments *s);

#endif
