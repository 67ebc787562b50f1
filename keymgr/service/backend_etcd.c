/* The state of the key service in etcd, for several servers, one of which serves (docs/key-service.md, "Several servers").
 *
 * 1. Who writes holds the key PREFIX/leader, under a lease of LEASE_S.  Every commit asks in the same transaction that it is still so, and
 *    that the first line is not there: another one can have written nothing unseen.
 * 2. Nothing is answered after the lease may have ended (alive), by a clock that began before it was asked for.
 * 3. A commit without an answer is tried again: its first line is there then, and is ours or is not.
 * 4. Rows are in memory as they were read at the start and committed since.
 *
 * PREFIX/row/NAME: revision in 8 bytes little-endian, MAC, text.  PREFIX/line/NUMBER in 16 hexadecimal digits: text. */
#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/document.h"
#include "keymgr/service/backend.h"
#include "keymgr/service/etcd.h"
#include "util/base/bytes.h"
#include "util/base/encode.h"
#include "util/base/log.h"

enum {
	LEASE_S = 10,
	MARGIN_MS = 2000,
	PAGE = 500,
	COMMIT_MS = 7000,
	READ_MS = 10000,
	SHORT_MS = 1500,
	KEY_MAX = 400,
	ROW_HEAD = 8 + SHA256_SIZE
};

struct etcd_backend {
	struct backend backend;
	struct etcd *etcd;
	char prefix[64];
	enum backend_use use;
	int64_t lease, leader; /* its id; the revision at which our leader key was made */
	int64_t lease_end;     /* by etcd_now(); earlier than etcd's own */
	int64_t moment;        /* BACKEND_READ: the revision that is read; 0: not chosen yet */
	void *rows;            /* tsearch(3): struct row, (4) */
	bool in_memory;        /* all of them are there */
};

/* --- asking */

static const char *key_of(const struct etcd_backend *b, const char *kind, const char *name, char out[KEY_MAX])
{
	snprintf(out, KEY_MAX, "%s%s/%s", b->prefix, kind, name);
	return out;
}

static void add_text(json_object *o, const char *member, const char *text)
{
	json_object_object_add(o, member, etcd_bytes(text, strlen(text)));
}

static int post(struct etcd_backend *b, const char *path, json_object *body, int wait_ms, json_object **out)
{
	bool ignored = true;

	return etcd_call(b->etcd, path, body, etcd_now() + wait_ms, out, &ignored);
}

/* --- reading */

static int compare_rows(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

static void row_free(void *p)
{
	struct row *r = p;

	free(r->body);
	free(r);
}

static int remember(struct etcd_backend *b, const struct row *r)
{
	struct row *copy = calloc(1, sizeof(*copy)), **at;

	if (!copy || row_copy(r, copy) < 0) {
		free(copy);
		return -ENOMEM;
	}
	at = tsearch(copy, &b->rows, compare_rows);
	if (!at) {
		row_free(copy);
		return -ENOMEM;
	}
	if (*at != copy) {
		row_free(*at);
		*at = copy;
	}
	return 0;
}

struct walk {
	struct etcd_backend *b;
	size_t skip; /* of each key: the prefix and the kind */
	int (*row)(void *context, const struct row *r);
	int (*line)(void *context, const struct line *l);
	void *context;
};

static int visit_row(const struct walk *w, const char *name, char *value, size_t n)
{
	struct row r = {0};
	int ret = 0;

	if (n < ROW_HEAD || n - ROW_HEAD > ROW_BODY_MAX || strlen(name) > ROW_NAME_MAX)
		return -EBADMSG;
	snprintf(r.name, sizeof(r.name), "%s", name);
	r.revision = get_le64((const uint8_t *)value);
	memcpy(r.mac, value + 8, SHA256_SIZE);
	r.body = value + ROW_HEAD;
	r.size = n - ROW_HEAD;
	if (w->b->use != BACKEND_READ)
		ret = remember(w->b, &r);
	return ret == 0 ? w->row(w->context, &r) : ret;
}

static int visit(const struct walk *w, json_object *kv, char **last)
{
	_cleanup_free_ char *value = NULL;
	struct line l = {0};
	size_t key_size = 0, n = 0;
	char *end;
	int ret;

	free(*last);
	ret = etcd_take_bytes(kv, "key", last, &key_size);
	if (ret == 0)
		ret = etcd_take_bytes(kv, "value", &value, &n);
	if (ret < 0)
		return ret;
	if (key_size <= w->skip)
		return -EBADMSG;
	if (w->row)
		return visit_row(w, *last + w->skip, value, n);
	l.n = strtoull(*last + w->skip, &end, 16);
	l.text = value;
	l.size = n;
	return *end ? -EBADMSG : w->line(w->context, &l);
}

/* All keys from `from` on that begin as `until` does but for its last byte, which is one higher: page by page, of one moment. */
static int walk(struct walk *w, const char *from, const char *until)
{
	_cleanup_free_ char *last = strdup(from);
	int64_t moment = w->b->moment;
	bool more = true;
	int ret = last ? 0 : -ENOMEM;

	for (bool first = true; ret == 0 && more; first = false) {
		json_object *body = json_object_new_object(), *header, *kvs = NULL;
		_cleanup_json_ json_object *answer = NULL;

		/* Behind the last one: the key that follows it at once has a zero byte more. */
		json_object_object_add(body, "key", etcd_bytes(last, strlen(last) + !first));
		add_text(body, "range_end", until);
		json_object_object_add(body, "limit", json_object_new_int(PAGE));
		if (moment)
			json_object_object_add(body, "revision", json_object_new_int64(moment));
		ret = post(w->b, "/v3/kv/range", body, READ_MS, &answer);
		if (ret < 0)
			break;
		if (!moment && json_object_object_get_ex(answer, "header", &header))
			moment = etcd_number(header, "revision");
		more = json_object_object_get_ex(answer, "more", NULL);
		(void)json_object_object_get_ex(answer, "kvs", &kvs);
		for (size_t i = 0; ret == 0 && kvs && i < json_object_array_length(kvs); i++)
			ret = visit(w, json_object_array_get_idx(kvs, i), &last);
	}
	if (w->b->use == BACKEND_READ)
		w->b->moment = moment;
	return ret == -EPROTO ? -EIO : ret;
}

static int etcd_each_row(struct backend *backend, int (*each)(void *context, const struct row *r), void *context)
{
	struct etcd_backend *b = (struct etcd_backend *)backend;
	struct walk w = {.b = b, .skip = strlen(b->prefix) + strlen("row/"), .row = each, .context = context};
	char from[KEY_MAX], until[KEY_MAX];
	int ret;

	snprintf(until, sizeof(until), "%srow0", b->prefix); /* "0" comes behind "/" */
	ret = walk(&w, key_of(b, "row", "", from), until);
	b->in_memory = ret == 0 && b->use != BACKEND_READ;
	return ret;
}

/* Before all rows are in memory. */
static int get_from_etcd(struct etcd_backend *b, const char *name, struct row *out)
{
	struct row_wanted wanted = {name, out};
	struct walk w = {
		.b = b,
		.skip = strlen(b->prefix) + strlen("row/"),
		.row = row_take_if_wanted,
		.context = &wanted,
	};
	char from[KEY_MAX], until[KEY_MAX];
	int ret;

	*out = (struct row){0};
	key_of(b, "row", name, from);
	snprintf(until, sizeof(until), "%s", from);
	until[strlen(until) - 1]++; /* names that begin so come first */
	ret = walk(&w, from, until);
	return ret == -ECANCELED && out->body ? 0 : ret == 0 ? -ENOENT : ret;
}

static int etcd_each_line(struct backend *backend, uint64_t n, int (*each)(void *context, const struct line *l),
			  void *context)
{
	struct etcd_backend *b = (struct etcd_backend *)backend;
	struct walk w = {.b = b, .skip = strlen(b->prefix) + strlen("line/"), .line = each, .context = context};
	char from[KEY_MAX], until[KEY_MAX], number[17];

	snprintf(number, sizeof(number), "%016" PRIx64, n);
	snprintf(until, sizeof(until), "%sline0", b->prefix);
	return walk(&w, key_of(b, "line", number, from), until);
}

static int etcd_get(struct backend *backend, const char *name, struct row *out)
{
	struct etcd_backend *b = (struct etcd_backend *)backend;
	struct row key, **at;

	if (!b->in_memory)
		return get_from_etcd(b, name, out);
	snprintf(key.name, sizeof(key.name), "%s", name);
	at = tfind(&key, &b->rows, compare_rows);
	return at ? row_copy(*at, out) : -ENOENT;
}

/* --- writing (1) */

static void add_compare(json_object *list, const char *key, int64_t created)
{
	json_object *o = json_object_new_object();

	json_object_object_add(o, "target", json_object_new_string("CREATE"));
	json_object_object_add(o, "result", json_object_new_string("EQUAL"));
	add_text(o, "key", key);
	json_object_object_add(o, "create_revision", json_object_new_int64(created));
	json_object_array_add(list, o);
}

static void add_put(json_object *list, const char *key, const void *value, size_t n, int64_t lease)
{
	json_object *o = json_object_new_object(), *put = json_object_new_object();

	add_text(put, "key", key);
	json_object_object_add(put, "value", etcd_bytes(value, n));
	if (lease)
		json_object_object_add(put, "lease", json_object_new_int64(lease));
	json_object_object_add(o, "request_put", put);
	json_object_array_add(list, o);
}

static json_object *transaction(json_object **compare, json_object **success)
{
	json_object *o = json_object_new_object();

	*compare = json_object_new_array();
	*success = json_object_new_array();
	json_object_object_add(o, "compare", *compare);
	json_object_object_add(o, "success", *success);
	return o;
}

static bool succeeded(json_object *answer)
{
	json_object *o;

	return json_object_object_get_ex(answer, "succeeded", &o) && json_object_get_boolean(o);
}

static int add_row(json_object *list, const struct etcd_backend *b, const struct row *r)
{
	_cleanup_free_ uint8_t *value = malloc(ROW_HEAD + r->size);
	char key[KEY_MAX];

	if (!value)
		return -ENOMEM;
	put_le64(value, r->revision);
	memcpy(value + 8, r->mac, SHA256_SIZE);
	memcpy(value + ROW_HEAD, r->body, r->size);
	add_put(list, key_of(b, "row", r->name, key), value, ROW_HEAD + r->size, 0);
	return 0;
}

static int same_line(void *context, const struct line *l)
{
	const struct line *ours = context;

	return l->n == ours->n && l->size == ours->size && memcmp(l->text, ours->text, l->size) == 0 ? 1 : -ESTALE;
}

/* (3) */
static int settle(struct etcd_backend *b, const struct line *first)
{
	return etcd_each_line(&b->backend, first->n, same_line, (void *)first) == 1 ? 0 : -EUCLEAN;
}

static int etcd_commit(struct backend *backend, const struct row *rows, size_t row_count, const struct line *lines,
		       size_t line_count)
{
	struct etcd_backend *b = (struct etcd_backend *)backend;
	_cleanup_json_ json_object *answer = NULL;
	json_object *compare, *success, *body;
	char key[KEY_MAX], number[17];
	bool sure = true;
	int ret = 0;

	if (b->use == BACKEND_READ)
		return -EROFS;
	body = transaction(&compare, &success);
	add_compare(compare, key_of(b, "leader", "", key), b->leader);
	for (size_t i = 0; i < line_count; i++) {
		snprintf(number, sizeof(number), "%016" PRIx64, lines[i].n);
		key_of(b, "line", number, key);
		if (i == 0)
			add_compare(compare, key, 0);
		add_put(success, key, lines[i].text, lines[i].size, 0);
	}
	for (size_t i = 0; ret == 0 && i < row_count; i++)
		ret = add_row(success, b, &rows[i]);
	if (ret < 0) {
		json_object_put(body);
		return ret;
	}
	ret = etcd_call(b->etcd, "/v3/kv/txn", body, etcd_now() + COMMIT_MS, &answer, &sure);
	if (ret < 0)
		return ret == -EPROTO && sure ? -EIO : -EUCLEAN;
	if (!succeeded(answer)) {
		if (sure || line_count == 0) {
			log_error("another server has written to the store in the meantime");
			return -EUCLEAN;
		}
		ret = settle(b, &lines[0]);
	}
	for (size_t i = 0; ret == 0 && i < row_count; i++)
		if (remember(b, &rows[i]) < 0)
			ret = -EUCLEAN;
	return ret;
}

/* (4); that nobody else writes is what the leader's key is for. */
static int etcd_look(struct backend *backend, bool *changed)
{
	(void)backend;
	*changed = false;
	return 0;
}

static void etcd_rest(struct backend *backend)
{
	(void)backend;
}

/* --- the lease (1), (2) */

static int grant(struct etcd_backend *b)
{
	_cleanup_json_ json_object *answer = NULL;
	json_object *body = json_object_new_object();
	int64_t asked = etcd_now();
	int ret;

	json_object_object_add(body, "TTL", json_object_new_int(LEASE_S));
	ret = post(b, "/v3/lease/grant", body, READ_MS, &answer);
	if (ret < 0)
		return ret;
	b->lease = etcd_number(answer, "ID");
	b->lease_end = asked + LEASE_S * 1000 - MARGIN_MS;
	return b->lease ? 0 : -EPROTO;
}

static void give_back(struct etcd_backend *b)
{
	_cleanup_json_ json_object *answer = NULL;
	json_object *body = json_object_new_object();

	json_object_object_add(body, "ID", json_object_new_int64(b->lease));
	if (b->lease && post(b, "/v3/lease/revoke", body, SHORT_MS, &answer) < 0)
		log_warning("cannot give the store back; another server can take it in %d seconds", LEASE_S);
	else if (!b->lease)
		json_object_put(body);
	b->lease = 0;
}

/* -EBUSY: somebody else serves. */
static int become_leader(struct etcd_backend *b)
{
	_cleanup_json_ json_object *answer = NULL;
	json_object *compare, *success, *body, *header;
	char key[KEY_MAX];
	int ret = grant(b);

	if (ret < 0)
		return ret;
	body = transaction(&compare, &success);
	add_compare(compare, key_of(b, "leader", "", key), 0);
	add_put(success, key, "", 0, b->lease);
	ret = post(b, "/v3/kv/txn", body, READ_MS, &answer);
	if (ret < 0)
		return ret;
	if (!succeeded(answer) || !json_object_object_get_ex(answer, "header", &header))
		return -EBUSY;
	b->leader = etcd_number(header, "revision");
	return 0;
}

static int etcd_alive(struct backend *backend, bool renew)
{
	struct etcd_backend *b = (struct etcd_backend *)backend;
	_cleanup_json_ json_object *answer = NULL;
	json_object *body, *result;
	int64_t now = etcd_now();

	if (b->use == BACKEND_READ)
		return 0;
	if (now >= b->lease_end) {
		log_error("the store may belong to another server by now");
		return -EUCLEAN;
	}
	if (!renew)
		return 0;
	body = json_object_new_object();
	json_object_object_add(body, "ID", json_object_new_int64(b->lease));
	if (post(b, "/v3/lease/keepalive", body, SHORT_MS, &answer) == 0 &&
	    json_object_object_get_ex(answer, "result", &result) && etcd_number(result, "TTL") > 0)
		b->lease_end = now + LEASE_S * 1000 - MARGIN_MS;
	return 0;
}

/* --- opening */

static void etcd_close(struct backend *backend)
{
	struct etcd_backend *b = (struct etcd_backend *)backend;

	if (b->etcd)
		give_back(b);
	tdestroy(b->rows, row_free);
	etcd_free(&b->etcd);
	free(b);
}

static const struct backend_ops ops = {
	.each_row = etcd_each_row,
	.each_line = etcd_each_line,
	.get = etcd_get,
	.commit = etcd_commit,
	.look = etcd_look,
	.rest = etcd_rest,
	.alive = etcd_alive,
	.close = etcd_close,
};

static int one_line(void *context, const struct line *l)
{
	(void)context;
	(void)l;
	return -EEXIST;
}

int backend_etcd_open(const char *urls, const char *id, enum backend_use use, struct backend **out, struct fault *why)
{
	struct etcd_backend *b = calloc(1, sizeof(*b));
	int ret = b ? etcd_new(urls, &b->etcd, why) : -ENOMEM;

	*out = NULL;
	if (ret == 0) {
		b->backend.ops = &ops;
		b->use = use;
		snprintf(b->prefix, sizeof(b->prefix), "/coffer-keyd/%.32s/", id);
		ret = use == BACKEND_READ ? 0 : become_leader(b);
	}
	if (ret == 0 && use == BACKEND_MAKE)
		ret = etcd_each_line(&b->backend, 0, one_line, NULL);
	if (ret < 0) {
		if (b)
			etcd_close(&b->backend);
		if (ret == -EBUSY)
			return fault_set(why, EXIT_IN_USE, EBUSY, "another server has the store in etcd");
		return fault_errno(why, EXIT_STORE, ret, "cannot open the store in etcd at %s", urls);
	}
	*out = &b->backend;
	return 0;
}
