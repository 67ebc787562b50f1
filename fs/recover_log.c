#include "fs/recover_log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int add(struct record_log *l, const struct journal_record *r)
{
	if (l->count == l->room) {
		size_t room = l->room ? 2 * l->room : 256;
		void *list = realloc(l->list, room * sizeof *l->list);

		if (!list)
			return -ENOMEM;
		l->list = list;
		l->room = room;
	}

	uint8_t *body = malloc(r->body_size + 1);

	if (!body)
		return -ENOMEM;
	memcpy(body, r->body, r->body_size);
	l->list[l->count++] =
		(struct logged_record){r->type, body, r->body_size, r->payload_size, r->payload_at, false};
	return 0;
}

/* An APPLY names versions whose IMAGES lie before it. */
static void mark_applied(struct record_log *l, const struct logged_record *apply)
{
	for (size_t at = 0; at + AEAD_TAG <= apply->body_size; at += AEAD_TAG) {
		for (struct logged_record *r = l->list; r < apply; r++) {
			struct images_record i;

			if (r->type == RECORD_IMAGES && images_record_decode(r->body, r->body_size, &i) == 0 &&
			    memcmp(i.version, apply->body + at, AEAD_TAG) == 0)
				r->applied = true;
		}
	}
}

int record_log_read(struct engine *e, struct record_log *out)
{
	struct journal_record r;
	int got;

	*out = (struct record_log){0};
	while ((got = journal_read(e->journal, &r)) > 0) {
		got = add(out, &r);
		if (got < 0)
			break;
	}
	for (size_t i = 0; i < out->count; i++)
		if (out->list[i].type == RECORD_APPLY)
			mark_applied(out, &out->list[i]);
	return got;
}

void record_log_free(struct record_log *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->list[i].body);
	free(l->list);
	*l = (struct record_log){0};
}

const uint8_t *record_file(const struct logged_record *r)
{
	bool about_one = r->type == RECORD_CHANGE || r->type == RECORD_MAPS || r->type == RECORD_IMAGES;

	return about_one && r->body_size >= 16 ? r->body : NULL;
}

/* ------------------------------------------------------------------ paths */

static bool begins_with(const char *path, struct record_path with)
{
	return strncmp(path, with.text, with.size) == 0 && (path[with.size] == '/' || path[with.size] == 0);
}

/* One rename: of the path itself, or of a directory above it.  Takes `path` over. */
static char *rename_path(char *path, const struct moved_record *m)
{
	if (!begins_with(path, m->from))
		return path;

	size_t rest = strlen(path + m->from.size);
	char *fresh = malloc(m->to.size + rest + 1);

	if (fresh) {
		memcpy(fresh, m->to.text, m->to.size);
		memcpy(fresh + m->to.size, path + m->from.size, rest + 1);
	}
	free(path);
	return fresh;
}

char *record_path_now(const struct record_log *l, size_t at, struct record_path path)
{
	char *now = strndup(path.text, path.size);

	for (size_t i = at + 1; i < l->count && now; i++) {
		struct moved_record m;

		if (l->list[i].type == RECORD_MOVED &&
		    moved_record_decode(l->list[i].body, l->list[i].body_size, &m) == 0)
			now = rename_path(now, &m);
	}
	return now;
}

/* The path that a record tells of a file; size 0: none. */
static struct record_path told(const struct logged_record *r, const uint8_t file_id[16])
{
	struct change_record c;
	struct images_record i;
	struct moved_record m;

	if (r->type == RECORD_CHANGE && change_record_decode(r->body, r->body_size, r->payload_size, &c) == 0 &&
	    memcmp(c.file_id, file_id, 16) == 0)
		return c.hint;
	if (r->type == RECORD_IMAGES && images_record_decode(r->body, r->body_size, &i) == 0 &&
	    memcmp(i.file_id, file_id, 16) == 0)
		return i.hint;
	if (r->type == RECORD_MOVED && moved_record_decode(r->body, r->body_size, &m) == 0 &&
	    memcmp(m.file_id, file_id, 16) == 0)
		return m.to;
	return (struct record_path){NULL, 0};
}

char *record_file_path(const struct record_log *l, const uint8_t file_id[16])
{
	for (size_t i = l->count; i-- > 0;) {
		struct record_path path = told(&l->list[i], file_id);

		if (path.size)
			return record_path_now(l, i, path);
	}
	return NULL;
}
