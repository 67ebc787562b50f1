/* The sealed part of a backup (backup_segments.h). */
#include "keymgr/service/backup_segments.h"

#include <errno.h>
#include <string.h>

#include "util/base/bytes.h"
#include "util/base/whole_write.h"

enum { SEALED = BACKUP_SEGMENT + AEAD_TAG };

/* n bytes from `at` on, or fewer at the end of the file: how many, or a negative errno. */
ssize_t backup_read_at(int fd, void *out, size_t n, uint64_t at)
{
	size_t used = 0;

	while (used < n) {
		ssize_t got = pread(fd, (char *)out + used, n - used, (off_t)(at + used));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		used += (size_t)got;
	}
	return (ssize_t)used;
}

struct segments {
	int fd;
	struct aead *aead;
	uint64_t number; /* of the next one */
	uint64_t at;     /* in the file */
	const atomic_bool *stop;
	size_t used, done; /* bytes in `plain`; those of them that were taken out */
	bool last;         /* there is no other one */
	uint8_t plain[BACKUP_SEGMENT], sealed[SEALED + 1];
};

void segments_free(struct segments **s)
{
	if (!*s)
		return;
	aead_free(&(*s)->aead);
	free(*s);
	*s = NULL;
}

int segments_new(int fd, uint64_t at, const uint8_t head[SHA256_SIZE], const struct service_keys *keys,
		 const atomic_bool *stop, struct segments **out)
{
	_cleanup_(segments_free) struct segments *s = calloc(1, sizeof(*s));
	_cleanup_stack_key_ struct stack_key key;
	int ret = s ? service_backup_key(keys, head, key.b) : -ENOMEM;

	*out = NULL;
	if (ret == 0)
		ret = aead_new(CIPHER_AES_256_GCM, &s->aead);
	if (ret == 0)
		ret = aead_set_key(s->aead, key.b);
	if (ret < 0)
		return ret;
	s->fd = fd;
	s->at = at;
	s->stop = stop;
	*out = s;
	s = NULL;
	return 0;
}

static void make_nonce(const struct segments *s, bool last, uint8_t nonce[AEAD_NONCE])
{
	memset(nonce, 0, AEAD_NONCE);
	put_le64(nonce, s->number);
	nonce[8] = last;
}

static int stopped(const struct segments *s)
{
	return s->stop && atomic_load(s->stop) ? -ECANCELED : 0;
}

int segments_flush(struct segments *s, bool last)
{
	uint8_t nonce[AEAD_NONCE];
	int ret = stopped(s);

	make_nonce(s, last, nonce);
	if (ret == 0)
		ret = aead_seal(s->aead, nonce, NULL, 0, s->plain, s->used, s->sealed, s->sealed + s->used);
	if (ret == 0)
		ret = whole_write(s->fd, s->sealed, s->used + AEAD_TAG);
	s->number++;
	s->used = 0;
	return ret;
}

/* A full segment waits for the next byte: it may be the last one. */
int segments_put(struct segments *s, const void *bytes, size_t n)
{
	int ret = 0;

	while (ret == 0 && n > 0) {
		size_t part = BACKUP_SEGMENT - s->used;

		if (part == 0) {
			ret = segments_flush(s, false);
			continue;
		}
		part = n < part ? n : part;
		memcpy(s->plain + s->used, bytes, part);
		s->used += part;
		bytes = (const char *)bytes + part;
		n -= part;
	}
	return ret;
}

static int fill(struct segments *s)
{
	uint8_t nonce[AEAD_NONCE];
	ssize_t got = stopped(s);
	int ret;

	if (got == 0 && s->last)
		return -EBADMSG;
	if (got == 0)
		got = backup_read_at(s->fd, s->sealed, SEALED + 1, s->at);
	if (got < 0)
		return (int)got;
	s->last = got <= SEALED;
	if (!s->last)
		got = SEALED;
	if (got <= AEAD_TAG)
		return -EBADMSG;
	s->used = (size_t)got - AEAD_TAG;
	s->done = 0;
	make_nonce(s, s->last, nonce);
	ret = aead_open(s->aead, nonce, NULL, 0, s->sealed, s->used, s->plain, s->sealed + s->used);
	s->number++;
	s->at += (uint64_t)got;
	return ret;
}

int segments_take(struct segments *s, void *out, size_t n)
{
	int ret = 0;

	while (ret == 0 && n > 0) {
		size_t part = s->used - s->done;

		if (part == 0) {
			ret = fill(s);
			continue;
		}
		part = n < part ? n : part;
		memcpy(out, s->plain + s->done, part);
		s->done += part;
		out = (char *)out + part;
		n -= part;
	}
	return ret;
}

bool segments_ended(const struct segments *s)
{
	return s->last && s->done == s->used;
}
