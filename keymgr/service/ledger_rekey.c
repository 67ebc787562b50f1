/* The ledger under other keys: docs/key-service.md, "Rekeying".
 *
 * 1. One commit has all of it: every row as its next revision, under the new keys, a line "rekey", the last one under the old keys, and behind it
 *    lines "rekey.rows" under the new keys, which name all rows.  So a crash leaves the old state or the new one.
 * 2. The chain goes on: the first line under the new key covers the MAC of the last one under the old key.  Whoever has the old key later
 *    cannot put other lines in their place, since that MAC would have to come out the same.
 * 3. What there will be is read and checked as at a start before the commit. */
#include <stdio.h>
#include <string.h>

#include "keymgr/service/ledger_internal.h"

/* The store as it will be. */
struct ahead {
	struct backend backend;
	struct backend *now;
	struct row *rows;
	struct line *lines;
	size_t row_count, row_room, line_count;
};

static int ahead_rows(struct backend *b, int (*each)(void *context, const struct row *r), void *context)
{
	struct ahead *a = (struct ahead *)b;
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < a->row_count; i++)
		ret = each(context, &a->rows[i]);
	return ret;
}

static int ahead_lines(struct backend *b, uint64_t from, int (*each)(void *context, const struct line *l),
		       void *context)
{
	struct ahead *a = (struct ahead *)b;
	int ret = a->now->ops->each_line(a->now, from, each, context);

	for (size_t i = 0; ret == 0 && i < a->line_count; i++)
		if (a->lines[i].n >= from)
			ret = each(context, &a->lines[i]);
	return ret;
}

static const struct backend_ops ahead_ops = {.each_row = ahead_rows, .each_line = ahead_lines};

static void ahead_end(struct ahead *a)
{
	for (size_t i = 0; i < a->row_count; i++)
		free(a->rows[i].body);
	for (size_t i = 0; i < a->line_count; i++)
		free(a->lines[i].text);
	free(a->rows);
	free(a->lines);
}

/* --- rows */

static int count_row(void *context, const char *name)
{
	uint64_t *rows = context;

	(void)name;
	++*rows;
	return 0;
}

int ledger_rekey_rows(struct ledger *l, uint64_t *rows)
{
	*rows = ledger_has(l, ROW_REKEY) ? 0 : 1;
	return ledger_each(l, "", count_row, rows);
}

uint64_t ledger_rekey_lines(uint64_t rows)
{
	return 1 + (rows + ROWS_PER_LINE - 1) / ROWS_PER_LINE;
}

struct rekeying {
	struct ledger *l;
	const struct service_keys *next;
	int (*again)(void *context, const char *name, json_object *body);
	void *context;
	struct ahead ahead;
};

static int more_room(struct ahead *a)
{
	size_t room = a->row_room ? 2 * a->row_room : 64;
	struct row *rows = reallocarray(a->rows, room, sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	a->rows = rows;
	a->row_room = room;
	return 0;
}

/* The row's next revision. */
static int add(struct rekeying *r, const char *name, json_object *body)
{
	const struct indexed *e = ledger_find(r->l, name);
	const char *text;
	struct row *row;
	size_t n;

	if (r->ahead.row_count == r->ahead.row_room && more_room(&r->ahead) < 0)
		return -ENOMEM;
	text = document_render_compact(body, &n);
	if (!text)
		return -ENOMEM;
	if (n + 1 > ROW_BODY_MAX)
		return -EFBIG;
	row = &r->ahead.rows[r->ahead.row_count];
	*row = (struct row){.revision = (e ? e->revision : 0) + 1, .size = n + 1};
	snprintf(row->name, sizeof(row->name), "%s", name);
	if (asprintf(&row->body, "%s\n", text) < 0)
		return -ENOMEM;
	r->ahead.row_count++;
	return ledger_row_mac(r->next, row, row->mac);
}

static int add_again(void *context, const char *name)
{
	_cleanup_json_ json_object *body = NULL;
	struct rekeying *r = context;
	int ret = strcmp(name, ROW_REKEY) == 0 ? 1 : ledger_get(r->l, name, &body);

	if (ret != 0)
		return ret < 0 ? ret : 0;
	ret = r->again(r->context, name, body);
	return ret == 0 ? add(r, name, body) : ret;
}

/* --- lines (2) */

static int add_line(struct rekeying *r, struct audit_link *at, json_object *details)
{
	struct line *line = &r->ahead.lines[r->ahead.line_count];
	char text[AUDIT_LINE_MAX];
	size_t n = 0;
	int ret = audit_line_make(&r->next->audit, at, details, text, &n);

	if (ret < 0)
		return ret;
	text[n - 1] = '\0'; /* its newline */
	*line = (struct line){.n = at->n, .text = strdup(text), .size = n - 1};
	if (!line->text)
		return -ENOMEM;
	r->ahead.line_count++;
	return 0;
}

static int close_segment(struct rekeying *r, struct audit_link *at)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	int ret = o ? put_string(o, "event", "rekey") : -ENOMEM;

	if (ret == 0)
		ret = put_number(o, "generation", r->next->generation);
	if (ret == 0)
		ret = put_number(o, "count", r->ahead.row_count);
	return ret == 0 ? add_line(r, at, o) : ret;
}

static int name_some(struct rekeying *r, struct audit_link *at, size_t first)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	size_t left = r->ahead.row_count - first, n = left < ROWS_PER_LINE ? left : ROWS_PER_LINE;
	int ret = o ? put_string(o, "event", "rekey.rows") : -ENOMEM;

	if (ret == 0)
		ret = ledger_name_rows(r->ahead.rows + first, n, o);
	return ret == 0 ? add_line(r, at, o) : ret;
}

static int write_lines(struct rekeying *r, struct audit_link *at)
{
	int ret;

	r->ahead.lines = calloc(ledger_rekey_lines(r->ahead.row_count), sizeof(*r->ahead.lines));
	ret = r->ahead.lines ? close_segment(r, at) : -ENOMEM;
	for (size_t i = 0; ret == 0 && i < r->ahead.row_count; i += ROWS_PER_LINE)
		ret = name_some(r, at, i);
	return ret == 0 && at->n != r->next->before.end ? -EINVAL : ret;
}

/* --- both */

static int build(struct rekeying *r, json_object *row, struct audit_link *at)
{
	int ret = ledger_each(r->l, "", add_again, r);

	if (ret == 0)
		ret = add(r, ROW_REKEY, row);
	return ret == 0 ? write_lines(r, at) : ret;
}

/* (3) */
static int check(struct rekeying *r, const struct audit_link *at, struct fault *why)
{
	struct audit_link end = {0};
	bool reached = false;
	int ret = ledger_check(&r->ahead.backend, r->next, &r->l->committed, &end, &reached, why);

	if (ret == 0 && (!reached || end.n != at->n || !crypto_equal(end.mac, at->mac, sizeof(end.mac))))
		return fault_set(why, EXIT_FAILED, EINVAL, "what would be written does not continue the log");
	return ret;
}

int ledger_rekey(struct ledger *l, const struct service_keys *next, json_object *row,
		 int (*again)(void *context, const char *name, json_object *body), void *context, struct fault *why)
{
	struct rekeying r = {l, next, again, context, {.backend = {&ahead_ops}, .now = l->backend}};
	struct audit_link at = l->committed;
	int ret = build(&r, row, &at);

	if (ret == 0)
		ret = check(&r, &at, why);
	if (ret == 0)
		ret = l->backend->ops->commit(l->backend, r.ahead.rows, r.ahead.row_count, r.ahead.lines,
					      r.ahead.line_count);
	ahead_end(&r.ahead);
	l->unknown = ret == -EUCLEAN;
	if (ret < 0)
		return fault_errno(why, EXIT_STORE, ret,
				   ret == -EUCLEAN
					   ? "nobody knows whether the store is under new keys: it is whole either way"
					   : "cannot put the store under new keys; nothing was changed");
	l->keys = next;
	l->at = l->committed = at;
	return 0;
}

void ledger_goes_by(struct ledger *l, const struct service_keys *keys)
{
	l->keys = keys;
}

uint64_t ledger_next(const struct ledger *l)
{
	return l->committed.n + 1;
}
