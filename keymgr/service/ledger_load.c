/* Reading all that the ledger keeps, and holding one against the other: ledger.c (2) to (4). */
#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/service/ledger_internal.h"

struct loading {
	struct ledger *l;
	struct audit_walk walk;
	bool anchored; /* the chain passes the anchor */
	int result;    /* of reading what a line says */
	char *problem;
};

static int take_row(struct ledger *l, json_object *o, struct problem *p)
{
	struct indexed *e;
	const char *name;
	uint64_t revision = 0;
	int ret = member_string(o, "row", &name, p);

	if (ret == 0)
		ret = member_number(o, "revision", 1, DOCUMENT_NUMBER_MAX, &revision, p);
	if (ret < 0)
		return ret;
	e = ledger_entry_for(l, name);
	if (!e)
		return -ENOMEM;
	if (revision != e->revision + 1)
		return problem_set(p, "row %s jumps to revision %" PRIu64, name, revision);
	e->revision = revision;
	return member_hex(o, "row_mac", e->mac, SHA256_SIZE, p);
}

static void take_line(void *context, const char *text, size_t n, bool good)
{
	_cleanup_json_ json_object *o = NULL;
	_cleanup_free_ char *copy = NULL;
	struct loading *load = context;
	json_object *rows, *row;
	struct problem p = {0};
	int ret;

	/* Most lines are about the use of a key.  No string holds a quote. */
	if (!good || load->result < 0 || !memmem(text, n, "\"rows\":[", 8))
		return;
	ret = asprintf(&copy, "%.*s\n", (int)n, text) < 0 ? -ENOMEM : document_parse(copy, n + 1, &o, &p);
	if (ret == 0 && json_object_object_get_ex(o, "rows", &rows)) {
		ret = member_array(o, "rows", 1, ROWS_PER_LINE, &rows, &p);
		for (size_t i = 0; ret == 0 && i < json_object_array_length(rows); i++) {
			ret = element_object(rows, i, &row, &p);
			if (ret == 0)
				ret = take_row(load->l, row, &p);
		}
	}
	if (ret < 0)
		snprintf(load->problem, LEDGER_PROBLEM, "a line of its log: %s", p.text);
	load->result = ret;
}

static int load_line(void *context, const struct line *line)
{
	struct loading *load = context;
	const struct audit_link *anchor = &load->l->anchored;
	int ret = audit_walk_line(&load->walk, line->text, line->size);

	if (load->walk.at.n == anchor->n && crypto_equal(load->walk.at.mac, anchor->mac, SHA256_SIZE))
		load->anchored = true;
	return ret < 0 ? ret : load->result;
}

static int load_row(void *context, const struct row *r)
{
	struct loading *load = context;
	struct indexed *e = ledger_find(load->l, r->name);
	int ret = e ? ledger_check_row(load->l, r, e) : -EBADMSG;

	if (ret == -EBADMSG)
		snprintf(load->problem, LEDGER_PROBLEM, "row %s is not what its log says", r->name);
	if (ret == 0)
		e->seen = true;
	return ret;
}

static void find_missing(const void *node, VISIT which, void *context)
{
	const struct indexed *e = *(const struct indexed *const *)node;
	struct loading *load = context;

	if ((which == postorder || which == leaf) && !e->seen && !*load->problem)
		snprintf(load->problem, LEDGER_PROBLEM, "row %s is missing", e->name);
}

static int read_all(struct loading *load)
{
	struct ledger *l = load->l;
	int ret = l->backend->ops->each_line(l->backend, 0, load_line, load);

	if (ret < 0)
		return ret;
	if (load->walk.problems || load->walk.torn_size) {
		snprintf(load->problem, LEDGER_PROBLEM, "its log: %s",
			 load->walk.problems ? load->walk.problem : "something that is no line");
		return -EBADMSG;
	}
	ret = l->backend->ops->each_row(l->backend, load_row, load);
	if (ret == 0)
		twalk_r(l->index, find_missing, load);
	return ret == 0 && *load->problem ? -EBADMSG : ret;
}

int ledger_load(struct ledger *l, struct audit_link *at, bool *reached, char problem[LEDGER_PROBLEM])
{
	struct loading load = {.l = l, .walk = {.keys = &l->keys->audit, .each = take_line}, .problem = problem};
	int ret;

	load.walk.context = &load;
	ret = read_all(&load);
	*at = load.walk.at;
	*reached = load.anchored;
	return ret;
}
