#include "fs/recover_log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/base/bytes.h"

/* ------------------------------------------------------------------ numbers by id */

static struct id_slot *slot(const struct id_index *x, const uint8_t id[16])
{
	size_t at = get_le64(id) & (x->size - 1);

	while (x->slots[at].number != FILE_NONE && memcmp(x->slots[at].id, id, 16) != 0)
		at = (at + 1) & (x->size - 1);
	return &x->slots[at];
}

static uint32_t index_find(const struct id_index *x, const uint8_t id[16])
{
	return x->size ? slot(x, id)->number : FILE_NONE;
}

static int grow_index(struct id_index *x)
{
	struct id_index fresh = {.size = x->size ? 2 * x->size : 64, .count = x->count};

	fresh.slots = calloc(fresh.size, sizeof *fresh.slots);
	if (!fresh.slots)
		return -ENOMEM;
	memset(fresh.slots, 0xff, fresh.size * sizeof *fresh.slots); /* FILE_NONE */
	for (size_t i = 0; i < x->size; i++)
		if (x->slots[i].number != FILE_NONE)
			*slot(&fresh, x->slots[i].id) = x->slots[i];
	free(x->slots);
	*x = fresh;
	return 0;
}

static int index_put(struct id_index *x, const uint8_t id[16], uint32_t number)
{
	if (2 * x->count >= x->size && grow_index(x) < 0)
		return -ENOMEM;

	struct id_slot *s = slot(x, id);

	x->count += s->number == FILE_NONE;
	memcpy(s->id, id, 16);
	s->number = number;
	return 0;
}

/* ------------------------------------------------------------------ what one record tells */

static int find_file(struct record_log *l, const uint8_t id[16], uint32_t *out)
{
	*out = index_find(&l->file_ids, id);
	if (*out != FILE_NONE)
		return 0;
	if (l->file_count == l->file_room) {
		uint32_t room = l->file_room ? 2 * l->file_room : 64;
		void *files = realloc(l->files, room * sizeof *l->files);

		if (!files)
			return -ENOMEM;
		l->files = files;
		l->file_room = room;
	}
	*out = l->file_count++;
	l->files[*out] = (struct logged_file){.place = PLACE_NONE, .gone = FILE_NONE};
	memcpy(l->files[*out].id, id, 16);
	return index_put(&l->file_ids, id, *out);
}

/* (N1) */
static int note_hint(struct record_log *l, uint32_t file, struct record_path hint)
{
	if (hint.size == 0)
		return 0;
	l->files[file].gone = FILE_NONE;
	return paths_enter(&l->paths, hint, &l->files[file].place);
}

static int note_change(struct record_log *l, const struct logged_record *r)
{
	struct change_record c;

	if (change_record_decode(r->body, r->body_size, r->payload_size, &c) < 0)
		return 0;
	return note_hint(l, r->file, c.hint);
}

static int note_images(struct record_log *l, const struct logged_record *r, uint32_t number)
{
	struct images_record i;

	if (images_record_decode(r->body, r->body_size, &i) < 0)
		return 0;

	int result = index_put(&l->versions, i.version, number);

	return result < 0 ? result : note_hint(l, r->file, i.hint);
}

/* It names versions whose IMAGES lie before it. */
static void note_apply(struct record_log *l, const struct logged_record *apply)
{
	for (size_t at = 0; at + AEAD_TAG <= apply->body_size; at += AEAD_TAG) {
		uint32_t images = index_find(&l->versions, apply->body + at);

		if (images != FILE_NONE)
			l->list[images].applied = true;
	}
}

/* (N2) A file whose place is known moves from there, whatever the record says: of two that were exchanged the path before is already that of the
 * other. */
static int note_moved(struct record_log *l, const struct logged_record *r, uint32_t number)
{
	struct moved_record m;
	uint32_t file, place = PLACE_NONE;
	int result;

	if (moved_record_decode(r->body, r->body_size, &m) < 0)
		return 0;
	file = bytes_all_zero(m.file_id, sizeof m.file_id) ? FILE_NONE : index_find(&l->file_ids, m.file_id);
	if (file != FILE_NONE)
		place = l->files[file].place;
	if (place == PLACE_NONE)
		place = paths_find(&l->paths, m.from);
	result = place == PLACE_NONE ? 0 : paths_move(&l->paths, place, m.to, number + 1);
	return result < 0 || file == FILE_NONE ? result : note_hint(l, file, m.to);
}

static void note_gone(struct record_log *l, const struct logged_record *r, uint32_t number)
{
	uint32_t file = r->body_size >= 16 ? index_find(&l->file_ids, r->body) : FILE_NONE;

	if (file != FILE_NONE)
		l->files[file].gone = number;
}

/* The sidecar of a long name belongs to that very name: only the directory's path may change. */
static int note_side(struct record_log *l, struct logged_record *r)
{
	struct side_record s;

	if (side_record_decode(r->body, r->body_size, &s) < 0)
		return 0;
	return s.name.size ? paths_enter_above(&l->paths, s.path, &r->place)
			   : paths_enter(&l->paths, s.path, &r->place);
}

static int note_mode(struct record_log *l, struct logged_record *r)
{
	struct mode_record m;

	return mode_record_decode(r->body, r->body_size, &m) < 0 ? 0 : paths_enter(&l->paths, m.path, &r->place);
}

static int note(struct record_log *l, uint32_t number)
{
	struct logged_record *r = &l->list[number];
	bool about_one = r->type == RECORD_CHANGE || r->type == RECORD_MAPS || r->type == RECORD_IMAGES;
	int result = 0;

	if (about_one && r->body_size >= 16)
		result = find_file(l, r->body, &r->file);
	if (r->file != FILE_NONE && result == 0)
		l->files[r->file].count++;
	if (result < 0)
		return result;
	switch (r->type) {
	case RECORD_CHANGE:
		return r->file == FILE_NONE ? 0 : note_change(l, r);
	case RECORD_IMAGES:
		return r->file == FILE_NONE ? 0 : note_images(l, r, number);
	case RECORD_APPLY:
		note_apply(l, r);
		return 0;
	case RECORD_MOVED:
		return note_moved(l, r, number);
	case RECORD_GONE:
		note_gone(l, r, number);
		return 0;
	case RECORD_SIDE:
		return note_side(l, r);
	case RECORD_MODE:
		return note_mode(l, r);
	default:
		return 0;
	}
}

/* ------------------------------------------------------------------ all of them */

static int add(struct record_log *l, const struct journal_record *r)
{
	if (l->count == l->room) {
		uint32_t room = l->room ? 2 * l->room : 256;
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
	l->list[l->count++] = (struct logged_record){.type = r->type,
						     .body = body,
						     .body_size = r->body_size,
						     .payload_size = r->payload_size,
						     .payload_at = r->payload_at,
						     .file = FILE_NONE,
						     .place = PLACE_NONE};
	return note(l, l->count - 1);
}

/* Those of one file together, all in their order. */
static int sort_by_file(struct record_log *l)
{
	uint32_t first = 0;

	l->by_file = malloc((l->count + 1) * sizeof *l->by_file);
	if (!l->by_file)
		return -ENOMEM;
	for (uint32_t i = 0; i < l->file_count; i++) {
		l->files[i].first = first;
		first += l->files[i].count;
		l->files[i].count = 0;
	}
	for (uint32_t i = 0; i < l->count; i++) {
		struct logged_file *f = l->list[i].file == FILE_NONE ? NULL : &l->files[l->list[i].file];

		if (f)
			l->by_file[f->first + f->count++] = i;
	}
	return 0;
}

int record_log_read(struct engine *e, struct record_log *out)
{
	struct journal_record r;
	int got;

	*out = (struct record_log){0};
	got = paths_start(&out->paths);
	while (got >= 0 && (got = journal_read(e->journal, &r)) > 0)
		got = add(out, &r);
	return got < 0 ? got : sort_by_file(out);
}

bool record_log_gone(const struct record_log *l, const struct logged_file *f)
{
	return f->gone != FILE_NONE && !paths_moved_since(&l->paths, f->place, f->gone);
}

void record_log_free(struct record_log *l)
{
	for (uint32_t i = 0; i < l->count; i++)
		free(l->list[i].body);
	free(l->list);
	free(l->files);
	free(l->by_file);
	free(l->file_ids.slots);
	free(l->versions.slots);
	paths_free(&l->paths);
	*l = (struct record_log){0};
}
