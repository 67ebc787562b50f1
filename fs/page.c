#include "fs/page.h"

#include <errno.h>

#include "fs/worker.h"

enum {
	PLACE_SIZE = 26, /* kind 1, file id 16, height 1, first page 8 */

	/* clear prefix of a head */
	AT_MAGIC = 0,
	AT_VERSION = 4,
	AT_FLAGS = 5,
	AT_INLINE = 6,
	AT_FILE_ID = 8,
	AT_GENERATION = 24,
	AT_EPOCH = 28,
	AT_NONCE = 36,
	AT_TAG = 48,

	/* sealed fields */
	AT_SIZE = 0,
	AT_COMMIT = 8,
	AT_BIRTH = 16,
	AT_RESERVED = 32,

	FLAG_PAGED = 1,
	FLAG_NEWBORN = 2,
	HEAD_VERSION = 1,
};

static const uint8_t head_magic[4] = {'C', 'O', 'F', 'R'};

static_assert(AT_TAG + AEAD_TAG == PREFIX_SIZE && AT_NONCE + AEAD_NONCE == AT_TAG, "the prefix is 64 bytes");
static_assert(HEAD_MIN + HEAD_ENTRIES * ENTRY_SIZE == PAGE_BYTES, "a paged head is one page");
static_assert(HEAD_ENTRIES * ENTRY_SIZE == INLINE_MAX, "entries and inline content share the body");

int nonce_start(struct nonce *n)
{
	return crypto_random(n->bytes, sizeof n->bytes);
}

/* Counts up as a little-endian number. */
static void nonce_next(struct nonce *n)
{
	for (unsigned i = 0; i < sizeof n->bytes && ++n->bytes[i] == 0; i++)
		;
}

static void encode_place(const struct page_place *p, uint8_t out[PLACE_SIZE])
{
	out[0] = (uint8_t)p->kind;
	memcpy(out + 1, p->file_id, 16);
	out[17] = (uint8_t)p->height;
	put_le64(out + 18, p->first);
}

int page_seal(struct engine *e, const struct page_place *where, struct nonce *nonce, const void *in, size_t n,
	      void *out, struct entry *entry)
{
	uint32_t generation = keys_active_in(worker_keys(e), where->zone);
	uint8_t place[PLACE_SIZE];
	int r;
	struct aead *a = worker_content(e, where->zone, where->file_id, generation, &r);

	if (!a)
		return r;
	encode_place(where, place);
	memcpy(entry->nonce, nonce->bytes, AEAD_NONCE);
	nonce_next(nonce);
	put_le32(entry->generation, generation);
	atomic_fetch_add_explicit(&e->sealed, n, memory_order_relaxed);
	return aead_seal(a, entry->nonce, place, sizeof place, in, n, out, entry->tag);
}

int page_open(struct engine *e, const struct page_place *where, const struct entry *entry, const void *in, size_t n,
	      void *out)
{
	uint32_t generation = get_le32(entry->generation);
	uint8_t place[PLACE_SIZE];
	int r = -EBADMSG;
	struct aead *a = generation ? worker_content(e, where->zone, where->file_id, generation, &r) : NULL;

	if (!a) {
		memset(out, 0, n);
		return r;
	}
	encode_place(where, place);
	return aead_open(a, entry->nonce, place, sizeof place, in, n, out, entry->tag);
}

int head_seal(struct engine *e, uint32_t zone, const struct head *h, struct nonce *nonce, const void *body,
	      uint8_t *out)
{
	uint32_t generation = keys_active_in(worker_keys(e), zone);
	bool paged = layout_is_paged(h->size);
	size_t body_size = paged ? INLINE_MAX : (size_t)h->size;
	uint8_t *fields = out + PREFIX_SIZE;
	int r;
	struct aead *a = worker_content(e, zone, h->file_id, generation, &r);

	if (!a)
		return r;
	memcpy(out + AT_MAGIC, head_magic, sizeof head_magic);
	out[AT_VERSION] = HEAD_VERSION;
	out[AT_FLAGS] = (uint8_t)((paged ? FLAG_PAGED : 0) | (h->newborn ? FLAG_NEWBORN : 0));
	put_le16(out + AT_INLINE, paged ? 0 : (uint16_t)body_size);
	memcpy(out + AT_FILE_ID, h->file_id, 16);
	put_le32(out + AT_GENERATION, generation);
	put_le64(out + AT_EPOCH, h->epoch);
	memcpy(out + AT_NONCE, nonce->bytes, AEAD_NONCE);
	nonce_next(nonce);

	memset(fields, 0, FIELDS_SIZE);
	put_le64(fields + AT_SIZE, h->size);
	put_le64(fields + AT_COMMIT, h->commit);
	memcpy(fields + AT_BIRTH, h->birth, DIRECTORY_ID_SIZE);
	memcpy(fields + FIELDS_SIZE, body, body_size);
	atomic_fetch_add_explicit(&e->sealed, FIELDS_SIZE + body_size, memory_order_relaxed);
	r = aead_seal(a, out + AT_NONCE, out, AT_TAG, fields, FIELDS_SIZE + body_size, fields, out + AT_TAG);
	return r < 0 ? r : (int)(HEAD_MIN + body_size);
}

/* How long a head is by what its prefix claims; 0 if the prefix cannot be. */
static size_t claimed_size(const uint8_t *in)
{
	bool paged = in[AT_FLAGS] & FLAG_PAGED;
	size_t inside = get_le16(in + AT_INLINE);

	if (memcmp(in, head_magic, sizeof head_magic) != 0 || in[AT_VERSION] != HEAD_VERSION ||
	    (in[AT_FLAGS] & ~(FLAG_PAGED | FLAG_NEWBORN)) || (paged ? inside != 0 : inside > INLINE_MAX))
		return 0;
	return paged ? PAGE_BYTES : HEAD_MIN + inside;
}

int head_open_claimed(struct engine *e, uint32_t zone, const uint8_t *in, size_t n, struct head *h, void *body)
{
	uint8_t plain[PAGE_BYTES];
	size_t size = n < HEAD_MIN ? 0 : claimed_size(in);
	int r;

	if (size == 0 || size > n)
		return -EBADMSG;

	struct aead *a = worker_content(e, zone, in + AT_FILE_ID, get_le32(in + AT_GENERATION), &r);

	if (!a)
		return r;
	r = aead_open(a, in + AT_NONCE, in, AT_TAG, in + PREFIX_SIZE, size - PREFIX_SIZE, plain, in + AT_TAG);
	if (r < 0)
		return r;
	h->size = get_le64(plain + AT_SIZE);
	if (!bytes_all_zero(plain + AT_RESERVED, FIELDS_SIZE - AT_RESERVED) || h->size > layout_max_size() ||
	    size != (layout_is_paged(h->size) ? PAGE_BYTES : HEAD_MIN + (size_t)h->size))
		return -EBADMSG;
	memcpy(h->file_id, in + AT_FILE_ID, 16);
	memcpy(h->birth, plain + AT_BIRTH, DIRECTORY_ID_SIZE);
	h->commit = get_le64(plain + AT_COMMIT);
	h->epoch = get_le64(in + AT_EPOCH);
	h->generation = get_le32(in + AT_GENERATION);
	h->newborn = in[AT_FLAGS] & FLAG_NEWBORN;
	memcpy(body, plain + FIELDS_SIZE, size - HEAD_MIN);
	memset((uint8_t *)body + (size - HEAD_MIN), 0, INLINE_MAX - (size - HEAD_MIN));
	return 0;
}

int head_open(struct engine *e, uint32_t zone, const uint8_t *in, size_t n, uint64_t physical_size, struct head *h,
	      void *body)
{
	uint64_t logical;
	int r;

	/* What the prefix claims must fit the file's size, before anything is decrypted. */
	if (n < HEAD_MIN || n > PAGE_BYTES || !layout_logical_size(physical_size, &logical) ||
	    claimed_size(in) != (layout_is_paged(logical) ? PAGE_BYTES : HEAD_MIN + (size_t)logical))
		return -EBADMSG;
	r = head_open_claimed(e, zone, in, n, h, body);
	return r == 0 && h->size != logical ? -EBADMSG : r;
}

void head_version(const uint8_t *sealed, uint8_t out[AEAD_TAG])
{
	memcpy(out, sealed + AT_TAG, AEAD_TAG);
}

uint32_t head_generation(const uint8_t *in)
{
	return get_le32(in + AT_GENERATION);
}

bool head_is_ours(const uint8_t prefix[PREFIX_SIZE], uint8_t id[16])
{
	memcpy(id, prefix + AT_FILE_ID, 16);
	return memcmp(prefix, head_magic, sizeof head_magic) == 0 && prefix[AT_VERSION] == HEAD_VERSION;
}

bool head_is_young(const uint8_t *in, size_t n, const struct lost_range *lost, uint32_t count)
{
	uint64_t epoch;

	if (bytes_all_zero(in, n < PREFIX_SIZE ? n : PREFIX_SIZE))
		return true;
	if (n < PREFIX_SIZE || memcmp(in, head_magic, sizeof head_magic) != 0 || !(in[AT_FLAGS] & FLAG_NEWBORN))
		return false;
	epoch = get_le64(in + AT_EPOCH);
	for (uint32_t i = 0; i < count; i++)
		if (epoch >= lost[i].first && epoch <= lost[i].last)
			return true;
	return false;
}

bool head_is_cut(const uint8_t *in, size_t n)
{
	return n >= HEAD_MIN && claimed_size(in) > n;
}
