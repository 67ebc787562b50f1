/* The state of the key service as it can be trusted (ledger.h).
 *
 * 1. A row's MAC covers its name, revision and body.  The line about a change names the row's revision and MAC.
 * 2. `index` holds revision and MAC of every row that was committed.  A row that is not there, or not that one, was changed by somebody else.
 * 3. At the start the index is made from the lines alone, and the rows have to be exactly those.
 * 4. The anchor says how far the chain had come; a chain that does not reach it was put back.  It is written after the commit that
 *    it speaks of, so it is never ahead of what is durable.
 * 5. A commit that failed leaves nothing behind: neither in the index nor in the position of the chain.
 * 6. Rows that are kept in memory go when they change, and all of them when somebody else has written to the store (ledger_kept.c). */
#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/service/ledger_internal.h"
#include "util/base/bytes.h"
#include "util/base/log.h"

/* --- the index */

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct indexed *)a)->name, ((const struct indexed *)b)->name);
}

static struct indexed *look_up(const struct ledger *l, const char *name)
{
	struct indexed key = {.name = (char *)name};
	struct indexed **at = tfind(&key, &l->index, compare);

	return at ? *at : NULL;
}

/* Revision 0 is one whose first commit failed. */
struct indexed *ledger_find(const struct ledger *l, const char *name)
{
	struct indexed *e = look_up(l, name);

	return e && e->revision ? e : NULL;
}

static void free_entry(void *p)
{
	struct indexed *e = p;

	free(e->name);
	free(e);
}

static void free_index(struct ledger *l)
{
	while (!TAILQ_EMPTY(&l->kept))
		ledger_drop(l, TAILQ_FIRST(&l->kept));
	tdestroy(l->index, free_entry);
}

static struct ledger *new_ledger(struct backend *b, const struct service_keys *keys)
{
	struct ledger *l = calloc(1, sizeof(*l));

	if (l) {
		l->backend = b;
		l->keys = keys;
		TAILQ_INIT(&l->kept);
		TAILQ_INIT(&l->with_made);
	}
	return l;
}

/* The entry of this name, made if there is none. */
struct indexed *ledger_entry_for(struct ledger *l, const char *name)
{
	struct indexed *e = look_up(l, name);

	if (e)
		return e;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->name = strdup(name);
	if (!e->name || !tsearch(e, &l->index, compare)) {
		free_entry(e);
		return NULL;
	}
	return e;
}

/* --- rows */

static void cleanup_row(struct row *r)
{
	free(r->body);
	r->body = NULL;
}

int ledger_row_mac(const struct service_keys *keys, const struct row *r, uint8_t mac[SHA256_SIZE])
{
	uint8_t text[2 + ROW_NAME_MAX + 8 + ROW_BODY_MAX];
	size_t n = strlen(r->name);

	if (r->size > ROW_BODY_MAX)
		return -EFBIG;
	put_le16(text, (uint16_t)n);
	memcpy(text + 2, r->name, n);
	put_le64(text + 2 + n, r->revision);
	memcpy(text + 2 + n + 8, r->body, r->size);
	return hmac_sha256(keys->row->bytes, keys->row->size, text, 2 + n + 8 + r->size, mac);
}

int ledger_check_row(const struct ledger *l, const struct row *r, const struct indexed *e)
{
	uint8_t mac[SHA256_SIZE];
	int ret = ledger_row_mac(l->keys, r, mac);

	if (ret < 0)
		return ret;
	return r->revision == e->revision && crypto_equal(mac, e->mac, sizeof(mac)) &&
			       crypto_equal(mac, r->mac, sizeof(mac))
		       ? 0
		       : -EBADMSG;
}

const struct row *ledger_staged_row(const struct ledger *l, const char *name)
{
	for (size_t i = l->row_count; i > 0; i--)
		if (strcmp(l->rows[i - 1].name, name) == 0)
			return &l->rows[i - 1];
	return NULL;
}

bool ledger_has(struct ledger *l, const char *name)
{
	return ledger_staged_row(l, name) || ledger_find(l, name);
}

static int parse_body(const char *body, size_t n, json_object **out)
{
	struct problem p = {0};

	return document_parse(body, n, out, &p);
}

int ledger_read(struct ledger *l, const struct indexed *e, json_object **out)
{
	_cleanup_(cleanup_row) struct row r = {0};
	int ret = l->backend->ops->get(l->backend, e->name, &r);

	if (ret == -ENOENT)
		ret = -EBADMSG;
	if (ret == 0)
		ret = ledger_check_row(l, &r, e);
	if (ret == 0)
		ret = parse_body(r.body, r.size, out);
	if (ret == -EBADMSG)
		log_error("row %s of the store was changed or removed by somebody else", e->name);
	return ret;
}

int ledger_get(struct ledger *l, const char *name, json_object **out)
{
	const struct row *recent = ledger_staged_row(l, name);
	const struct indexed *e = ledger_find(l, name);

	*out = NULL;
	if (recent)
		return parse_body(recent->body, recent->size, out);
	return e ? ledger_read(l, e, out) : -ENOENT;
}

struct each_context {
	struct ledger *l;
	const char *prefix;
	int (*each)(void *context, const char *name);
	void *context;
	int result;
};

static void visit(const void *node, VISIT which, void *context)
{
	const struct indexed *e = *(const struct indexed *const *)node;
	struct each_context *c = context;

	if ((which == postorder || which == leaf) && c->result == 0 && e->revision &&
	    strncmp(e->name, c->prefix, strlen(c->prefix)) == 0)
		c->result = c->each(c->context, e->name);
}

int ledger_each(struct ledger *l, const char *prefix, int (*each)(void *context, const char *name), void *context)
{
	struct each_context c = {l, prefix, each, context, 0};

	twalk_r(l->index, visit, &c);
	for (size_t i = 0; c.result == 0 && i < l->row_count; i++) {
		const char *name = l->rows[i].name;

		/* The first revision is not in the index yet. */
		if (l->rows[i].revision == 1 && strncmp(name, prefix, strlen(prefix)) == 0)
			c.result = each(context, name);
	}
	return c.result;
}

/* --- staging */

int ledger_put(struct ledger *l, const char *name, json_object *body)
{
	const struct row *recent = ledger_staged_row(l, name);
	struct indexed *e = ledger_find(l, name);
	struct row *r = &l->rows[l->row_count];
	const char *text;
	size_t n;
	int ret;

	if (e && e->body == body) { /* it may have been changed in everybody's hands */
		ledger_drop(l, e);
		return -EINVAL;
	}
	if (l->row_count == STAGED_ROWS_MAX || l->row_count - l->noted == ROWS_PER_LINE)
		return -ENOBUFS;
	if (strlen(name) > ROW_NAME_MAX)
		return -ENAMETOOLONG;
	text = document_render_compact(body, &n);
	if (!text)
		return -ENOMEM;
	if (n + 1 > ROW_BODY_MAX)
		return -EFBIG;
	*r = (struct row){.revision = (recent ? recent->revision : e ? e->revision : 0) + 1, .size = n + 1};
	snprintf(r->name, sizeof(r->name), "%s", name);
	if (asprintf(&r->body, "%s\n", text) < 0) {
		r->body = NULL;
		return -ENOMEM;
	}
	ret = ledger_row_mac(l->keys, r, r->mac);
	if (ret < 0)
		cleanup_row(r);
	else
		l->row_count++;
	return ret;
}

int ledger_name_rows(const struct row *rows, size_t n, json_object *details)
{
	json_object *named = json_object_new_array();
	int ret = named ? put_value(details, "rows", named) : -ENOMEM;

	for (size_t i = 0; ret == 0 && i < n; i++) {
		json_object *o = json_object_new_object();

		ret = put_element(named, o);
		if (ret == 0)
			ret = put_string(o, "row", rows[i].name);
		if (ret == 0)
			ret = put_number(o, "revision", rows[i].revision);
		if (ret == 0)
			ret = put_hex(o, "row_mac", rows[i].mac, SHA256_SIZE);
	}
	return ret;
}

int ledger_note(struct ledger *l, json_object *details)
{
	struct audit_link at = l->at;
	char text[AUDIT_LINE_MAX];
	size_t n = 0;
	int ret = l->line_count == STAGED_LINES_MAX ? -ENOBUFS : 0;

	if (ret == 0 && l->noted < l->row_count)
		ret = ledger_name_rows(l->rows + l->noted, l->row_count - l->noted, details);
	if (ret == 0)
		ret = audit_line_make(&l->keys->audit, &at, details, text, &n);
	if (ret < 0)
		return ret;
	text[n - 1] = '\0'; /* its newline */
	l->lines[l->line_count] = (struct line){.n = at.n, .text = strdup(text), .size = n - 1};
	if (!l->lines[l->line_count].text)
		return -ENOMEM;
	l->line_count++;
	l->noted = l->row_count;
	l->at = at;
	return 0;
}

struct ledger_mark ledger_mark(const struct ledger *l)
{
	return (struct ledger_mark){l->row_count, l->line_count, l->at};
}

void ledger_back(struct ledger *l, const struct ledger_mark *to)
{
	while (l->row_count > to->rows)
		cleanup_row(&l->rows[--l->row_count]);
	while (l->line_count > to->lines)
		free(l->lines[--l->line_count].text);
	l->noted = l->row_count;
	l->at = to->at;
}

bool ledger_staged(const struct ledger *l)
{
	return l->line_count > 0;
}

static void forget(struct ledger *l)
{
	const struct ledger_mark nothing = {.at = l->committed};

	ledger_back(l, &nothing);
}

void ledger_rest(struct ledger *l)
{
	l->looked = false;
	l->backend->ops->rest(l->backend);
}

int ledger_alive(struct ledger *l, bool renew)
{
	return l->backend->ops->alive(l->backend, renew);
}

int ledger_commit(struct ledger *l)
{
	int ret;

	if (l->unknown) {
		forget(l);
		return -EUCLEAN;
	}
	if (l->noted < l->row_count) { /* a change that no line names would be damage at the next start */
		forget(l);
		return -EINVAL;
	}
	if (l->line_count == 0) {
		ledger_rest(l);
		return 0;
	}
	/* Made before, so that nothing can fail behind the commit; one that stays unused is revision 0. */
	for (size_t i = 0; i < l->row_count; i++)
		if (!ledger_entry_for(l, l->rows[i].name)) {
			forget(l);
			return -ENOMEM;
		}
	l->looked = false;
	ret = l->backend->ops->commit(l->backend, l->rows, l->row_count, l->lines, l->line_count);
	if (ret < 0) {
		l->unknown = ret == -EUCLEAN;
		l->last_error = ret;
		log_error("the store took nothing: %s", strerror(-ret));
		forget(l);
		return ret;
	}
	for (size_t i = 0; i < l->row_count; i++) {
		struct indexed *e = look_up(l, l->rows[i].name);

		ledger_drop(l, e);
		e->revision = l->rows[i].revision;
		memcpy(e->mac, l->rows[i].mac, SHA256_SIZE);
	}
	l->committed = l->at;
	l->last_error = 0;
	forget(l);
	return 0;
}

/* --- opening and checking */

static int describe(int ret, const char *problem, struct fault *why)
{
	if (ret == -EBADMSG)
		return fault_set(why, EXIT_DAMAGED, EBADMSG,
				 "the store was damaged or changed by somebody else: %s; put back a backup",
				 *problem ? problem : "it cannot be read");
	return fault_errno(why, EXIT_STORE, ret, "cannot read the store%s%s", *problem ? ": " : "", problem);
}

static int open_new(struct ledger *l, char problem[LEDGER_PROBLEM])
{
	bool ignored;
	int ret = ledger_load(l, &l->committed, &ignored, problem);

	return ret == 0 && l->committed.n > 0 ? -EEXIST : ret;
}

static int open_old(struct ledger *l, char problem[LEDGER_PROBLEM])
{
	bool reached = false, before = false;
	int ret = anchor_read(l->keys, l->anchor_file, &l->anchored, &before);

	if (ret == -ESTALE) {
		snprintf(problem, LEDGER_PROBLEM, "it is older than the anchor, which was written after a rekeying");
		return -EBADMSG;
	}
	if (ret < 0) {
		snprintf(problem, LEDGER_PROBLEM, "the anchor %s: %s", l->anchor_file, strerror(-ret));
		return ret;
	}
	ret = ledger_load(l, &l->committed, &reached, problem);
	if (ret == 0 && before && l->committed.n != l->keys->before.end) {
		snprintf(problem, LEDGER_PROBLEM,
			 "the anchor %s is of before the last rekeying, and lines were written since", l->anchor_file);
		return -EBADMSG;
	}
	if (ret < 0 || reached)
		return ret;
	snprintf(problem, LEDGER_PROBLEM, "it is older than the anchor: line %" PRIu64 " was written, and is not there",
		 l->anchored.n);
	return -EBADMSG;
}

int ledger_open(struct backend *b, const struct service_keys *keys, const char *anchor_file, bool make,
		struct ledger **out, struct fault *why)
{
	_cleanup_(ledger_close) struct ledger *l = new_ledger(b, keys);
	char problem[LEDGER_PROBLEM] = "";
	int ret;

	*out = NULL;
	if (!l) {
		b->ops->close(b);
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot open the store");
	}
	l->anchor_file = strdup(anchor_file);
	ret = !l->anchor_file ? -ENOMEM : make ? open_new(l, problem) : open_old(l, problem);
	l->at = l->committed;
	if (ret < 0) {
		l->anchored = l->committed; /* nothing is written of what is not trusted */
		return describe(ret, problem, why);
	}
	*out = l;
	l = NULL;
	return 0;
}

int ledger_check(struct backend *b, const struct service_keys *keys, const struct audit_link *reach,
		 struct audit_link *end, bool *reached, struct fault *why)
{
	struct ledger *l = new_ledger(b, keys);
	char problem[LEDGER_PROBLEM] = "";
	int ret = -ENOMEM;

	if (l) {
		if (reach)
			l->anchored = *reach;
		ret = ledger_load(l, end, reached, problem);
		free_index(l);
	}
	free(l);
	return ret < 0 ? describe(ret, problem, why) : 0;
}

void ledger_close(struct ledger **l)
{
	int ret;

	if (!*l)
		return;
	forget(*l);
	ret = (*l)->anchor_file ? ledger_anchor(*l) : 0;
	if (ret < 0)
		log_error("cannot write the anchor %s: %s", (*l)->anchor_file, strerror(-ret));
	free_index(*l);
	(*l)->backend->ops->close((*l)->backend);
	free((*l)->anchor_file);
	free(*l);
	*l = NULL;
}

int ledger_lines(struct ledger *l, uint64_t from, int (*each)(void *context, const struct line *line), void *context)
{
	return l->backend->ops->each_line(l->backend, from, each, context);
}

int ledger_last_error(const struct ledger *l)
{
	return l->last_error;
}

uint64_t ledger_behind(const struct ledger *l)
{
	return l->committed.n - l->anchored.n;
}

uint64_t ledger_last(const struct ledger *l)
{
	return l->committed.n;
}
