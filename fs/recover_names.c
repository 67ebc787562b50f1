/* Recovery of what belongs to names: ids of directories, sidecars of long names, modes that were lent. */
#include <stdlib.h>

#include "fs/find.h"
#include "fs/recover_internal.h"

void recover_sides(struct recovery *rec)
{
	for (uint32_t i = 0; i < rec->log.count; i++) {
		const struct logged_record *l = &rec->log.list[i];
		struct side_record s;

		if (l->type != RECORD_SIDE || l->place == PLACE_NONE ||
		    side_record_decode(l->body, l->body_size, &s) < 0)
			continue;

		_cleanup_free_ char *path = s.name.size ? paths_text_in(&rec->log.paths, l->place, paths_last(s.path))
							: paths_text(&rec->log.paths, l->place);

		if (path && RULE(N3))
			find_restore_side(rec->e, path, s.name, s.text);
	}
}

/* ------------------------------------------------------------------ modes */

/* A MODE record, and what it is about. */
struct mode_of {
	uint32_t place, number;
	struct mode_record m;
};

static int by_place(const void *a, const void *b)
{
	const struct mode_of *x = a, *y = b;

	if (x->place != y->place)
		return x->place < y->place ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static struct mode_of *collect(const struct record_log *l, uint32_t *count)
{
	struct mode_of *list = malloc((l->count + 1) * sizeof *list);

	*count = 0;
	for (uint32_t i = 0; list && i < l->count; i++) {
		const struct logged_record *r = &l->list[i];
		struct mode_of *m = &list[*count];

		if (r->type == RECORD_MODE && r->place != PLACE_NONE &&
		    mode_record_decode(r->body, r->body_size, &m->m) == 0) {
			m->place = r->place;
			m->number = i;
			++*count;
		}
	}
	if (list && *count)
		qsort(list, *count, sizeof *list, by_place);
	return list;
}

/* A loan is void if the user has then chosen the very mode that it gave.  Any other choice makes it not void: the loan may have outlived what took
 * it back. */
static bool is_void(const struct mode_of *list, uint32_t at, uint32_t count)
{
	const struct mode_record *m = &list[at].m;

	for (uint32_t i = at + 1; i < count; i++)
		if (list[i].m.mode == (m->mode | m->lent))
			return true;
	return false;
}

/* Of the records about one object the last loan counts that gave it the mode that it has: also an earlier one, where that is what lasted. */
static void restore(struct recovery *rec, const struct mode_of *list, uint32_t count)
{
	_cleanup_free_ char *path = paths_text(&rec->log.paths, list->place);
	bool done = !path;

	for (uint32_t i = count; i-- > 0 && !done;)
		if (list[i].m.lent && !is_void(list, i, count))
			done = find_restore_mode(rec->e, path, list[i].m.mode & 07777, list[i].m.lent & 07777);
}

void recover_modes(struct recovery *rec)
{
	uint32_t count;
	_cleanup_free_ struct mode_of *list = collect(&rec->log, &count);

	for (uint32_t i = 0, n; list && i < count; i += n) {
		for (n = 1; i + n < count && list[i + n].place == list[i].place; n++)
			;
		restore(rec, list + i, n);
	}
}
