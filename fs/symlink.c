#include "fs/symlink.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fs/names.h"
#include "fs/node.h"
#include "fs/worker.h"
#include "fs/zone.h"
#include "util/base/bytes.h"
#include "util/base/encode.h"

enum {
	LINK_ID_SIZE = 16,
	NONCE_SIZE = 16,
	OVERHEAD = 4 + NONCE_SIZE + SIV_TAG,
	SHORT_MAX = 700,              /* longer targets have a body of their own */
	STUB_SIZE = LINK_ID_SIZE + 2, /* what the long form seals: id, length */
};

static int seal(struct engine *e, uint32_t zone, const void *ad, size_t ad_size, const void *in, size_t n, uint8_t *out)
{
	uint32_t generation = keys_active_in(worker_keys(e), zone);
	int r;
	struct siv *siv = worker_siv(e, SIV_SYMLINKS, zone, generation, &r);

	if (!siv)
		return r;
	put_le32(out, generation);
	r = crypto_random(out + 4, NONCE_SIZE);
	return r < 0 ? r : siv_seal(siv, ad, ad_size, out + 4, in, n, out + 4 + NONCE_SIZE);
}

/* n bytes in; n - OVERHEAD out. */
static int open_sealed(struct engine *e, uint32_t zone, const void *ad, size_t ad_size, const uint8_t *in, size_t n,
		       void *out)
{
	int r = -EBADMSG;
	struct siv *siv = n > OVERHEAD ? worker_siv(e, SIV_SYMLINKS, zone, get_le32(in), &r) : NULL;

	if (!siv)
		return r;
	return siv_open(siv, ad, ad_size, in + 4, in + 4 + NONCE_SIZE, n - 4 - NONCE_SIZE, out);
}

/* ------------------------------------------------------------------ bodies of long links */

struct body_ad {
	char form;
	uint8_t id[LINK_ID_SIZE];
} __attribute__((packed));

static int write_body(struct engine *e, uint32_t zone, const uint8_t id[LINK_ID_SIZE], const char *target, size_t n)
{
	struct body_ad ad = {.form = 'B'};
	uint8_t sealed[OVERHEAD + LINK_TARGET_MAX];
	char name[LINK_BODY_NAME + 1];

	memcpy(ad.id, id, LINK_ID_SIZE);
	base64url_encode(id, LINK_ID_SIZE, name);

	int r = seal(e, zone, &ad, sizeof ad, target, n, sealed);
	int fd = r < 0 ? r : store_open(e->store, e->links_dir, name, O_CREAT | O_EXCL | O_WRONLY, 0600);

	if (fd < 0)
		return fd;

	ssize_t put = store_pwrite(e->store, fd, sealed, OVERHEAD + n, 0);

	/* The body must outlive a cut before the link that names it does. */
	r = put < 0 ? (int)put : e->store->ops->fsync(e->store, fd);
	store_close(e->store, fd);
	if (r == 0)
		r = e->store->ops->fsync(e->store, e->links_dir);
	if (r < 0)
		e->store->ops->unlink(e->store, e->links_dir, name);
	return r;
}

static ssize_t read_body(struct engine *e, uint32_t zone, const uint8_t id[LINK_ID_SIZE], size_t length, char *out)
{
	struct body_ad ad = {.form = 'B'};
	uint8_t sealed[OVERHEAD + LINK_TARGET_MAX + 1];
	char name[LINK_BODY_NAME + 1];

	memcpy(ad.id, id, LINK_ID_SIZE);
	base64url_encode(id, LINK_ID_SIZE, name);

	int fd = store_open(e->store, e->links_dir, name, O_RDONLY | O_NONBLOCK, 0);

	/* Nothing, or something that is no file, in the place of the body. */
	if (fd == -ENOENT || fd == -ELOOP || fd == -ENXIO)
		return -EBADMSG;
	if (fd < 0)
		return fd;

	ssize_t n = store_pread(e->store, fd, sealed, sizeof sealed, 0);

	store_close(e->store, fd);
	if (n == -ESPIPE || n == -EISDIR)
		return -EBADMSG;
	if (n < 0)
		return n;
	if ((size_t)n != OVERHEAD + length)
		return -EBADMSG;
	n = open_sealed(e, zone, &ad, sizeof ad, sealed, (size_t)n, out);
	return n < 0 ? n : (ssize_t)length;
}

/* ------------------------------------------------------------------ texts */

int symlink_seal(struct engine *e, uint32_t zone, const char *target, char out[LINK_TEXT_MAX])
{
	uint8_t sealed[OVERHEAD + SHORT_MAX], stub[STUB_SIZE];
	size_t n = strlen(target);
	bool is_long = n > SHORT_MAX || 1 + base64url_size(OVERHEAD + n) > e->caps.symlink_max;
	int r = 0;

	if (n == 0)
		return -ENOENT;
	if (n > LINK_TARGET_MAX)
		return -ENAMETOOLONG;
	if (is_long) {
		r = crypto_random(stub, LINK_ID_SIZE);
		put_le16(stub + LINK_ID_SIZE, (uint16_t)n);
		if (r == 0)
			r = write_body(e, zone, stub, target, n);
	}
	if (r < 0)
		return r;
	out[0] = is_long ? 'L' : 'S';
	n = is_long ? STUB_SIZE : n;
	r = seal(e, zone, out, 1, is_long ? (const void *)stub : target, n, sealed);
	if (r == 0)
		base64url_encode(sealed, OVERHEAD + n, out + 1);
	return r;
}

/* Opens a text.  Returns the length of what was sealed, in out (SHORT_MAX bytes). */
static ssize_t open_text(struct engine *e, uint32_t zone, const char *text, uint8_t *out)
{
	uint8_t sealed[OVERHEAD + SHORT_MAX];

	if (text[0] != 'S' && text[0] != 'L')
		return -EBADMSG;

	ssize_t n = base64url_decode(text + 1, strlen(text + 1), sealed, sizeof sealed);

	if (n <= OVERHEAD)
		return -EBADMSG;
	if (text[0] == 'L' && n != OVERHEAD + STUB_SIZE)
		return -EBADMSG;

	int r = open_sealed(e, zone, text, 1, sealed, (size_t)n, out);

	return r < 0 ? r : n - OVERHEAD;
}

ssize_t symlink_open(struct engine *e, uint32_t zone, const char *text, char out[LINK_TARGET_MAX])
{
	uint8_t plain[SHORT_MAX] = {0};
	ssize_t n = open_text(e, zone, text, plain);

	if (n < 0)
		return n;
	if (text[0] == 'L') {
		uint16_t length = get_le16(plain + LINK_ID_SIZE);

		if (length == 0 || length > LINK_TARGET_MAX)
			return -EBADMSG;
		return read_body(e, zone, plain, length, out);
	}
	memcpy(out, plain, (size_t)n);
	return n;
}

static int body_generation(struct engine *e, const char *text, uint32_t *out)
{
	char name[LINK_BODY_NAME + 1];
	uint8_t start[4];
	int fd = symlink_body(e, text, name) ? store_open(e->store, e->links_dir, name, O_RDONLY | O_NONBLOCK, 0)
					     : -EBADMSG;
	ssize_t n = fd < 0 ? fd : store_pread(e->store, fd, start, sizeof start, 0);

	store_close(e->store, fd);
	if (n == sizeof start)
		*out = get_le32(start);
	return n == sizeof start ? 0 : (n < 0 && n != -ENOENT ? (int)n : -EBADMSG);
}

int symlink_generations(struct engine *e, const char *text, uint32_t out[2])
{
	uint8_t sealed[OVERHEAD + SHORT_MAX];
	ssize_t n = text[0] == 'S' || text[0] == 'L'
			    ? base64url_decode(text + 1, strlen(text + 1), sealed, sizeof sealed)
			    : -1;

	if (n <= OVERHEAD)
		return -EBADMSG;
	out[0] = out[1] = get_le32(sealed);
	return text[0] == 'L' ? body_generation(e, text, &out[1]) : 0;
}

bool symlink_body(struct engine *e, const char *text, char out[LINK_BODY_NAME + 1])
{
	uint8_t plain[SHORT_MAX] = {0};

	if (text[0] != 'L' || open_text(e, ZONE_ANY, text, plain) < 0)
		return false;
	base64url_encode(plain, LINK_ID_SIZE, out);
	return true;
}

void symlink_drop_body(struct engine *e, const char *text)
{
	char name[LINK_BODY_NAME + 1];

	if (symlink_body(e, text, name))
		e->store->ops->unlink(e->store, e->links_dir, name);
}

bool symlink_size_is_open(uint64_t text_size)
{
	return text_size == 1 + base64url_size(OVERHEAD + STUB_SIZE);
}

uint64_t symlink_size(struct engine *e, uint64_t text_size, int dir, const char *backing)
{
	uint64_t n = text_size ? base64url_decoded_size(text_size - 1) : 0;

	if (symlink_size_is_open(text_size) && dir >= 0) {
		char text[LINK_TEXT_MAX];
		uint8_t plain[SHORT_MAX] = {0};
		ssize_t got = e->store->ops->readlink(e->store, dir, backing, text, sizeof text - 1);

		if (got > 0) {
			text[got] = 0;
			if (text[0] == 'L' && open_text(e, ZONE_ANY, text, plain) > 0)
				return get_le16(plain + LINK_ID_SIZE);
		}
	}
	return n > OVERHEAD ? n - OVERHEAD : 0;
}

ssize_t fs_readlink(struct engine *e, uint64_t node, char *buf, size_t n)
{
	char text[LINK_TEXT_MAX], target[LINK_TARGET_MAX];
	struct node *l = node_get(e, node);
	ssize_t got = l ? node_use(e, l) : -ESTALE;

	if (got == 0) {
		got = e->store->ops->readlink(e->store, l->fd, "", text, sizeof text - 1);
		if (got >= 0) {
			text[got] = 0;
			got = (size_t)got == sizeof text - 1 ? -EBADMSG : symlink_open(e, zone_of(e, l), text, target);
		}
		node_unuse(e, l);
	}
	node_unref(e, l);
	if (got < 0)
		return got == -EBADMSG ? -EIO : got;
	if ((size_t)got > n)
		got = (ssize_t)n;
	memcpy(buf, target, (size_t)got);
	return got;
}
