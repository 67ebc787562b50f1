/* The file of a backup of the key service (backup_file.h).
 *
 * What is sealed is a sequence of records, all numbers little-endian:
 *     line  1 | number 8 | size 4 | text
 *     row   2 | size of name 2 | name | revision 8 | MAC 32 | size 4 | text
 *     end   3 | lines 8 | rows 8                                            nothing follows */
#include "keymgr/service/backup_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/service/backup_segments.h"
#include "util/base/bytes.h"
#include "util/base/encode.h"
#include "util/base/whole_write.h"

#define FORMAT_NAME "coffer key service backup"

enum {
	VERSION = 1,
	HEAD_MAX = 1024,
	RECORD_LINE = 1,
	RECORD_ROW = 2,
	RECORD_END = 3,
};

/* --- the head */

void backup_head_free(struct backup_head *h)
{
	free(h->keyring);
	*h = (struct backup_head){0};
}

static int hash_head(struct backup_head *h, const char *line, size_t n)
{
	_cleanup_free_ char *all = malloc(n + h->keyring_size);

	if (!all)
		return -ENOMEM;
	memcpy(all, line, n);
	memcpy(all + n, h->keyring, h->keyring_size);
	h->size = n + h->keyring_size;
	return sha256(all, n + h->keyring_size, h->hash);
}

int backup_head_write(int fd, const char *keyring, size_t n, uint32_t generation, struct backup_head *out)
{
	uint8_t id[BACKUP_ID_TEXT / 2];
	char line[HEAD_MAX];
	size_t used;
	int ret = crypto_random(id, sizeof(id));

	*out = (struct backup_head){.keyring = malloc(n + 1), .keyring_size = n, .generation = generation};
	if (ret < 0 || !out->keyring)
		return ret < 0 ? ret : -ENOMEM;
	memcpy(out->keyring, keyring, n);
	out->keyring[n] = '\0';
	hex_encode(id, sizeof(id), out->id);
	time_text(out->created);
	used = (size_t)snprintf(line, sizeof(line),
				"{\"format\":\"%s\",\"version\":%d,\"id\":\"%s\",\"created\":\"%s\","
				"\"generation\":%" PRIu32 ",\"keyring\":%zu}\n",
				FORMAT_NAME, VERSION, out->id, out->created, generation, n);
	ret = hash_head(out, line, used);
	if (ret == 0)
		ret = whole_write(fd, line, used);
	return ret == 0 ? whole_write(fd, keyring, n) : ret;
}

static int parse_head(const char *line, size_t n, struct backup_head *out, struct problem *p)
{
	_cleanup_json_ json_object *o = NULL;
	uint8_t id[BACKUP_ID_TEXT / 2];
	const char *format;
	uint64_t version = 0, size = 0;
	int ret = document_parse(line, n, &o, p);

	if (ret == 0)
		ret = member_string(o, "format", &format, p);
	if (ret == 0 && strcmp(format, FORMAT_NAME) != 0)
		ret = problem_set(p, "it has another format");
	if (ret == 0)
		ret = member_number(o, "version", 1, DOCUMENT_NUMBER_MAX, &version, p);
	if (ret == 0 && version != VERSION)
		return -ENOTSUP;
	if (ret == 0)
		ret = member_u32(o, "generation", SERVICE_FIRST_GENERATION, &out->generation, p);
	if (ret == 0)
		ret = member_hex(o, "id", id, sizeof(id), p);
	if (ret == 0)
		ret = member_time(o, "created", out->created, p);
	if (ret == 0)
		ret = member_number(o, "keyring", 1, KEYRING_MAX, &size, p);
	hex_encode(id, ret == 0 ? sizeof(id) : 0, out->id);
	out->keyring_size = (size_t)size;
	return ret;
}

static int read_head(int fd, struct backup_head *out, struct problem *p)
{
	char line[HEAD_MAX];
	ssize_t got = backup_read_at(fd, line, sizeof(line), 0);
	const char *end = got > 0 ? memchr(line, '\n', (size_t)got) : NULL;
	size_t n = end ? (size_t)(end - line) + 1 : 0;
	int ret = got < 0 ? (int)got : end ? parse_head(line, n, out, p) : problem_set(p, "it has no head");

	if (ret < 0)
		return ret;
	out->keyring = calloc(1, out->keyring_size + 1);
	if (!out->keyring)
		return -ENOMEM;
	got = backup_read_at(fd, out->keyring, out->keyring_size, n);
	if (got < 0)
		return (int)got;
	if ((size_t)got < out->keyring_size)
		return problem_set(p, "it was cut");
	return hash_head(out, line, n);
}

int backup_head_read(int fd, struct backup_head *out, struct fault *why)
{
	struct problem p = {0};
	int ret;

	*out = (struct backup_head){0};
	ret = read_head(fd, out, &p);
	if (ret == -EBADMSG)
		return fault_set(why, EXIT_DAMAGED, EBADMSG, "this is no backup of a key service, or it is damaged: %s",
				 p.text);
	if (ret == -ENOTSUP)
		return fault_set(why, EXIT_UNSUPPORTED, ENOTSUP, "the backup is of a version that is not known here");
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot read the backup") : 0;
}

/* --- writing */

struct writing {
	struct segments *s;
	struct backup_counts counts;
};

static int put_line(void *context, const struct line *l)
{
	struct writing *w = context;
	uint8_t head[1 + 8 + 4] = {RECORD_LINE};
	int ret;

	if (l->size > AUDIT_LINE_MAX)
		return -EBADMSG;
	put_le64(head + 1, l->n);
	put_le32(head + 9, (uint32_t)l->size);
	ret = segments_put(w->s, head, sizeof(head));
	w->counts.lines++;
	return ret == 0 ? segments_put(w->s, l->text, l->size) : ret;
}

static int put_row(void *context, const struct row *r)
{
	struct writing *w = context;
	size_t name = strlen(r->name);
	uint8_t head[3] = {RECORD_ROW}, middle[8 + SHA256_SIZE + 4];
	int ret;

	put_le16(head + 1, (uint16_t)name);
	put_le64(middle, r->revision);
	memcpy(middle + 8, r->mac, SHA256_SIZE);
	put_le32(middle + 8 + SHA256_SIZE, (uint32_t)r->size);
	ret = segments_put(w->s, head, sizeof(head));
	if (ret == 0)
		ret = segments_put(w->s, r->name, name);
	if (ret == 0)
		ret = segments_put(w->s, middle, sizeof(middle));
	w->counts.rows++;
	return ret == 0 ? segments_put(w->s, r->body, r->size) : ret;
}

static int put_end(struct writing *w)
{
	uint8_t end[1 + 8 + 8] = {RECORD_END};
	int ret;

	put_le64(end + 1, w->counts.lines);
	put_le64(end + 9, w->counts.rows);
	ret = segments_put(w->s, end, sizeof(end));
	return ret == 0 ? segments_flush(w->s, true) : ret;
}

int backup_file_write(int fd, const struct backup_head *h, const struct service_keys *keys, struct backend *from,
		      const atomic_bool *stop, struct backup_counts *out)
{
	_cleanup_(segments_free) struct segments *s = NULL;
	struct writing w = {0};
	int ret = segments_new(fd, h->size, h->hash, keys, stop, &s);

	w.s = s;
	if (ret == 0)
		ret = from->ops->each_line(from, 0, put_line, &w);
	if (ret == 0)
		ret = from->ops->each_row(from, put_row, &w);
	if (ret == 0)
		ret = put_end(&w);
	*out = w.counts;
	return ret;
}

/* --- reading: each walk begins at the first segment again */

struct backup_backend {
	struct backend backend;
	int fd;
	const struct backup_head *head;
	const struct service_keys *keys;
	const atomic_bool *stop;
};

struct reading {
	struct segments *s;
	struct backup_counts counts;
	uint64_t from;
	int (*line)(void *context, const struct line *l);
	int (*row)(void *context, const struct row *r);
	void *context;
	char text[ROW_BODY_MAX + 1];
};

static int take_text(struct reading *r, size_t n, size_t max)
{
	int ret = n > max ? -EBADMSG : segments_take(r->s, r->text, n);

	r->text[ret == 0 ? n : 0] = '\0';
	return ret;
}

static int take_line(struct reading *r)
{
	struct line l = {.text = r->text};
	uint8_t head[8 + 4] = {0};
	int ret = segments_take(r->s, head, sizeof(head));

	if (ret < 0)
		return ret;
	l.n = get_le64(head);
	l.size = get_le32(head + 8);
	r->counts.lines++;
	ret = take_text(r, l.size, AUDIT_LINE_MAX);
	return ret == 0 && r->line && l.n >= r->from ? r->line(r->context, &l) : ret;
}

static int take_row(struct reading *r)
{
	struct row row = {.body = r->text};
	uint8_t head[2] = {0}, middle[8 + SHA256_SIZE + 4] = {0};
	int ret = segments_take(r->s, head, sizeof(head));

	if (ret == 0)
		ret = get_le16(head) > ROW_NAME_MAX ? -EBADMSG : segments_take(r->s, row.name, get_le16(head));
	if (ret == 0)
		ret = segments_take(r->s, middle, sizeof(middle));
	if (ret < 0)
		return ret;
	row.revision = get_le64(middle);
	memcpy(row.mac, middle + 8, SHA256_SIZE);
	row.size = get_le32(middle + 8 + SHA256_SIZE);
	r->counts.rows++;
	ret = take_text(r, row.size, ROW_BODY_MAX);
	return ret == 0 && r->row ? r->row(r->context, &row) : ret;
}

static int take_end(struct reading *r)
{
	uint8_t end[8 + 8] = {0};
	int ret = segments_take(r->s, end, sizeof(end));

	if (ret < 0)
		return ret;
	return get_le64(end) == r->counts.lines && get_le64(end + 8) == r->counts.rows && segments_ended(r->s)
		       ? 0
		       : -EBADMSG;
}

static int walk(struct backup_backend *b, struct reading *r)
{
	_cleanup_(segments_free) struct segments *s = NULL;
	uint8_t type = 0;
	int ret = segments_new(b->fd, b->head->size, b->head->hash, b->keys, b->stop, &s);

	r->s = s;
	while (ret >= 0 && type != RECORD_END) {
		ret = segments_take(s, &type, 1);
		if (ret == 0)
			ret = type == RECORD_LINE  ? take_line(r)
			      : type == RECORD_ROW ? take_row(r)
			      : type == RECORD_END ? take_end(r)
						   : -EBADMSG;
	}
	return ret;
}

static int backup_each_row(struct backend *backend, int (*each)(void *context, const struct row *r), void *context)
{
	struct reading r = {.row = each, .context = context};

	return walk((struct backup_backend *)backend, &r);
}

static int backup_each_line(struct backend *backend, uint64_t from, int (*each)(void *context, const struct line *l),
			    void *context)
{
	struct reading r = {.from = from, .line = each, .context = context};

	return walk((struct backup_backend *)backend, &r);
}

/* All that comes before it is read. */
static int backup_get(struct backend *backend, const char *name, struct row *out)
{
	struct row_wanted w = {name, out};
	int ret;

	*out = (struct row){0};
	ret = backup_each_row(backend, row_take_if_wanted, &w);
	return ret == -ECANCELED && out->body ? 0 : ret == 0 ? -ENOENT : ret;
}

static int backup_commit(struct backend *backend, const struct row *rows, size_t row_count, const struct line *lines,
			 size_t line_count)
{
	(void)backend;
	(void)rows;
	(void)row_count;
	(void)lines;
	(void)line_count;
	return -EROFS;
}

static void backup_rest(struct backend *backend)
{
	(void)backend;
}

static int backup_alive(struct backend *backend, bool renew)
{
	(void)backend;
	(void)renew;
	return 0;
}

static void backup_close(struct backend *backend)
{
	free(backend);
}

static const struct backend_ops ops = {
	.each_row = backup_each_row,
	.each_line = backup_each_line,
	.get = backup_get,
	.commit = backup_commit,
	.rest = backup_rest,
	.alive = backup_alive,
	.close = backup_close,
};

int backend_backup_open(int fd, const struct backup_head *h, const struct service_keys *keys, const atomic_bool *stop,
			struct backend **out)
{
	struct backup_backend *b = calloc(1, sizeof(*b));

	*out = NULL;
	if (!b)
		return -ENOMEM;
	*b = (struct backup_backend){{&ops}, fd, h, keys, stop};
	*out = &b->backend;
	return 0;
}
