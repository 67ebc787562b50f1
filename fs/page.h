/* Sealing and opening of the pages of a file (docs/format-volume.md sections 6.1 to 6.3). */
#ifndef COFFER_FS_PAGE_H
#define COFFER_FS_PAGE_H

#include <assert.h>
#include <string.h>

#include "fs/internal.h"
#include "util/base/bytes.h"

/* What a parent holds of a child, as on disk. */
struct entry {
	uint8_t nonce[AEAD_NONCE];
	uint8_t generation[4];
	uint8_t tag[AEAD_TAG];
};
static_assert(sizeof(struct entry) == ENTRY_SIZE, "an entry is 32 bytes on disk");

static inline bool entry_is_hole(const struct entry *e)
{
	return bytes_all_zero(e, sizeof *e);
}

enum page_kind { PAGE_DATA = 1, PAGE_MAP = 2 };

/* Which page of which file: what the tag binds; and the zone in which the file is. */
struct page_place {
	uint32_t zone;
	const uint8_t *file_id;
	enum page_kind kind;
	unsigned height;
	uint64_t first;
};

/* Nonces of one request: random, then counted up, one for each page. */
struct nonce {
	uint8_t bytes[AEAD_NONCE];
};
int nonce_start(struct nonce *n) MUST_CHECK;

/* Seals n bytes under the active generation and fills *entry; uses up one nonce. */
int page_seal(struct engine *e, const struct page_place *where, struct nonce *nonce, const void *in, size_t n,
	      void *out, struct entry *entry) MUST_CHECK;
/* Opens what *entry describes; in == out is fine.  -EBADMSG, -ENOKEY: out is zeroed. */
int page_open(struct engine *e, const struct page_place *where, const struct entry *entry, const void *in, size_t n,
	      void *out) MUST_CHECK;

/* --- heads */
struct head {
	uint8_t file_id[16], birth[DIRECTORY_ID_SIZE];
	uint64_t size, commit, epoch;
	uint32_t generation;
	bool newborn;
};

/* Seals a head over `body` (the content, or 124 entries) into out (PAGE_BYTES); returns its length, 128 + size or 4096. */
int head_seal(struct engine *e, uint32_t zone, const struct head *h, struct nonce *nonce, const void *body,
	      uint8_t *out) MUST_CHECK;
/* Opens a head of n bytes (PAGE_BYTES at most) of a file of this physical size.  body: INLINE_MAX bytes. */
int head_open(struct engine *e, uint32_t zone, const uint8_t *in, size_t n, uint64_t physical_size, struct head *h,
	      void *body) MUST_CHECK;
/* Opens the head in the first n bytes of a file (PAGE_BYTES at most) whatever the size of that is: for the check. */
int head_open_claimed(struct engine *e, uint32_t zone, const uint8_t *in, size_t n, struct head *h,
		      void *body) MUST_CHECK;
/* The name of the version that a sealed head is: its tag. */
void head_version(const uint8_t *sealed, uint8_t out[AEAD_TAG]);
/* What the clear prefix says (HEAD_MIN bytes at least): the generation; that the head was longer than the n bytes that are left. */
uint32_t head_generation(const uint8_t *in);
/* True if the first 64 bytes look like a head's; its file id then. */
bool head_is_ours(const uint8_t prefix[PREFIX_SIZE], uint8_t id[16]);
/* True if n bytes from the beginning of a file are what a cut may have left of a newborn's: the flag and a lost epoch, or only zeros. */
bool head_is_young(const uint8_t *in, size_t n, const struct lost_range *lost, uint32_t count);
bool head_is_cut(const uint8_t *in, size_t n);

#endif
