/* The file of a backup of the key service (docs/key-service.md, "What a backup is"): a head in the clear, then all lines and rows, sealed.
 *
 *     head      one JSON object in one line: format, version, id, created, generation, keyring (the size of what follows)
 *     keyring   a backup of the service's keyring (docs/format-keyring.md section 9)
 *     segments  of 64 KiB, the last one shorter: AES-256-GCM, ciphertext and tag; key from the keyring's generation and the SHA-256 of
 *               head and keyring; nonce = the segment's number (8 bytes little-endian), 1 if it is the last one else 0, three zeros
 *
 * So a file that is cut, lengthened, put together from two, or whose head was changed does not open.  One thread at a time. */
#ifndef COFFER_SERVICE_BACKUP_FILE_H
#define COFFER_SERVICE_BACKUP_FILE_H

#include <stdatomic.h>

#include "keymgr/service/backend.h"
#include "keymgr/service/keys.h"

enum { BACKUP_ID_TEXT = 32 };

struct backup_head {
	char id[BACKUP_ID_TEXT + 1], created[TIME_TEXT + 1];
	uint8_t hash[SHA256_SIZE]; /* of head and keyring */
	char *keyring;             /* terminated */
	size_t keyring_size;
	uint32_t generation; /* of the keyring: all is under it */
	uint64_t size;       /* the segments begin here */
};
void backup_head_free(struct backup_head *h);
/* Fills a head for this keyring, which is copied, and writes both. */
int backup_head_write(int fd, const char *keyring, size_t n, uint32_t generation, struct backup_head *out) MUST_CHECK;
/* -EBADMSG: it is none.  -ENOTSUP: of a version that is not known here. */
int backup_head_read(int fd, struct backup_head *out, struct fault *why) MUST_CHECK;

/* How much there is. */
struct backup_counts {
	uint64_t lines, rows;
};
/* Writes everything that the backend holds, behind the head. -ECANCELED as soon as *stop (NULL: never). */
int backup_file_write(int fd, const struct backup_head *h, const struct service_keys *keys, struct backend *from,
		      const atomic_bool *stop, struct backup_counts *out) MUST_CHECK;
/* The file as a backend that can only be read; fd stays the caller's. */
int backend_backup_open(int fd, const struct backup_head *h, const struct service_keys *keys, const atomic_bool *stop,
			struct backend **out) MUST_CHECK;

#endif
