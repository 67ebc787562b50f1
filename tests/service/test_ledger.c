/* The ledger over a store that fails: ledger.c (1), (2), (5), (6), and what staging means. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

/* A store before another: counts commits and reads, fails the next commit, returns another body, says that somebody else has written. */
struct shaky {
	struct backend backend;
	struct backend *real;
	int commits, fail_with, gets, looks;
	bool written;
	const char *lie; /* what row "a" is said to hold */
};

static struct shaky *shaky;

static int shaky_rows(struct backend *b, int (*each)(void *context, const struct row *r), void *context)
{
	struct shaky *s = (struct shaky *)b;

	return s->real->ops->each_row(s->real, each, context);
}

static int shaky_lines(struct backend *b, uint64_t from, int (*each)(void *context, const struct line *l),
		       void *context)
{
	struct shaky *s = (struct shaky *)b;

	return s->real->ops->each_line(s->real, from, each, context);
}

static int shaky_get(struct backend *b, const char *name, struct row *out)
{
	struct shaky *s = (struct shaky *)b;
	int ret = s->real->ops->get(s->real, name, out);

	s->gets++;
	if (ret == 0 && s->lie && strcmp(name, "a") == 0) {
		free(out->body);
		out->body = strdup(s->lie);
		out->size = strlen(s->lie);
	}
	return ret;
}

static int shaky_commit(struct backend *b, const struct row *rows, size_t row_count, const struct line *lines,
			size_t line_count)
{
	struct shaky *s = (struct shaky *)b;
	int error = s->fail_with;

	s->commits++;
	s->fail_with = 0;
	return error ? error : s->real->ops->commit(s->real, rows, row_count, lines, line_count);
}

static int shaky_look(struct backend *b, bool *changed)
{
	struct shaky *s = (struct shaky *)b;
	int ret = s->real->ops->look(s->real, changed);

	s->looks++;
	*changed = *changed || s->written;
	s->written = false;
	return ret;
}

static void shaky_rest(struct backend *b)
{
	struct shaky *s = (struct shaky *)b;

	s->real->ops->rest(s->real);
}

static int shaky_alive(struct backend *b, bool renew)
{
	struct shaky *s = (struct shaky *)b;

	return s->real->ops->alive(s->real, renew);
}

static void shaky_close(struct backend *b)
{
	struct shaky *s = (struct shaky *)b;

	s->real->ops->close(s->real);
	free(s);
}

static const struct backend_ops shaky_ops = {shaky_rows, shaky_lines, shaky_get,   shaky_commit,
					     shaky_look, shaky_rest,  shaky_alive, shaky_close};

static struct ledger *open_ledger(bool make)
{
	struct fault why = {0};
	struct ledger *l;

	shaky = calloc(1, sizeof(*shaky));
	ck_assert_ptr_nonnull(shaky);
	shaky->backend.ops = &shaky_ops;
	ck_assert_int_eq(
		backend_sqlite_open(fixture_path("db"), make ? BACKEND_MAKE : BACKEND_WRITE, &shaky->real, &why), 0);
	if (ledger_open(&shaky->backend, &fixture_keys, fixture_path("anchor"), make, &l, &why) < 0)
		ck_abort_msg("%s", why.text);
	return l;
}

static int put(struct ledger *l, const char *name, const char *text)
{
	_cleanup_json_ json_object *o = json_object_new_object();

	ck_assert_int_eq(put_string(o, "text", text), 0);
	return ledger_put(l, name, o);
}

static void note(struct ledger *l, const char *event)
{
	_cleanup_json_ json_object *o = json_object_new_object();

	ck_assert_int_eq(put_string(o, "event", event), 0);
	ck_assert_int_eq(ledger_note(l, o), 0);
}

static void set(struct ledger *l, const char *name, const char *text)
{
	ck_assert_int_eq(put(l, name, text), 0);
	note(l, "set");
}

/* text NULL: there is no such row. */
static void expect(struct ledger *l, const char *name, const char *text)
{
	_cleanup_json_ json_object *o = NULL;
	struct problem p = {0};
	const char *got;
	int ret = ledger_get(l, name, &o);

	ck_assert_int_eq(ret, text ? 0 : -ENOENT);
	ck_assert(ledger_has(l, name) == (text != NULL));
	if (text) {
		ck_assert_int_eq(member_string(o, "text", &got, &p), 0);
		ck_assert_str_eq(got, text);
	}
}

static int count_one(void *context, const char *name)
{
	(void)name;
	++*(int *)context;
	return 0;
}

static int count(struct ledger *l, const char *prefix)
{
	int n = 0;

	ck_assert_int_eq(ledger_each(l, prefix, count_one, &n), 0);
	return n;
}

START_TEST(staged_is_seen_and_kept)
{
	struct ledger *l = open_ledger(true);

	expect(l, "a", NULL);
	set(l, "a", "one");
	set(l, "a", "two");
	set(l, "b/1", "three");
	expect(l, "a", "two");
	ck_assert_int_eq(count(l, ""), 2);
	ck_assert_int_eq(count(l, "b/"), 1);
	ck_assert_int_eq(shaky->commits, 0);
	ck_assert(ledger_staged(l));
	ck_assert_int_eq(ledger_commit(l), 0);
	ck_assert_int_eq(shaky->commits, 1); /* three changes, one commit */
	ck_assert(!ledger_staged(l));
	ck_assert_uint_eq(ledger_last(l), 3);
	ck_assert_int_eq(ledger_commit(l), 0); /* of nothing */
	ck_assert_int_eq(shaky->commits, 1);
	set(l, "a", "never committed");
	ledger_close(&l);

	l = open_ledger(false);
	expect(l, "a", "two");
	expect(l, "b/1", "three");
	ck_assert_int_eq(count(l, ""), 2);
	ck_assert_uint_eq(ledger_last(l), 3);
	ledger_close(&l);
}
END_TEST

/* A commit that failed leaves nothing, whatever the error; and the next one does not build on it. */
START_TEST(failed_commit)
{
	static const int errors[] = {-ENOSPC, -EIO, -ESTALE};
	struct ledger *l = open_ledger(true);

	set(l, "a", "before");
	ck_assert_int_eq(ledger_commit(l), 0);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		set(l, "a", "lost");
		set(l, "new", "lost");
		shaky->fail_with = errors[i];
		ck_assert_int_eq(ledger_commit(l), errors[i]);
		ck_assert(!ledger_staged(l));
		expect(l, "a", "before");
		expect(l, "new", NULL);
		ck_assert_int_eq(count(l, ""), 1);
	}
	set(l, "new", "after");
	ck_assert_int_eq(ledger_commit(l), 0);

	/* Nobody knows what is there now. */
	set(l, "a", "perhaps");
	shaky->fail_with = -EUCLEAN;
	ck_assert_int_eq(ledger_commit(l), -EUCLEAN);
	set(l, "a", "built on sand");
	ck_assert_int_eq(ledger_commit(l), -EUCLEAN);
	ck_assert_int_eq(ledger_commit(l), -EUCLEAN);
	ledger_close(&l);
	l = open_ledger(false);
	expect(l, "a", "before");
	expect(l, "new", "after");
	ck_assert_uint_eq(ledger_last(l), 2);
	ledger_close(&l);
}
END_TEST

START_TEST(taken_back)
{
	struct ledger *l = open_ledger(true);
	struct ledger_mark mark;

	set(l, "a", "one");
	mark = ledger_mark(l);
	set(l, "a", "two");
	ck_assert_int_eq(put(l, "b", "without a line"), 0);
	ledger_back(l, &mark);
	expect(l, "a", "one");
	expect(l, "b", NULL);
	set(l, "c", "three");
	ck_assert_int_eq(ledger_commit(l), 0);
	ck_assert_int_eq(put(l, "b", "without a line"), 0);
	ck_assert_int_eq(ledger_commit(l), -EINVAL);
	expect(l, "b", NULL);
	ck_assert_int_eq(ledger_commit(l), 0);
	ledger_close(&l);
	l = open_ledger(false);
	expect(l, "a", "one");
	expect(l, "b", NULL);
	expect(l, "c", "three");
	ledger_close(&l);
}
END_TEST

START_TEST(changed_behind_our_back)
{
	_cleanup_json_ json_object *o = NULL;
	struct ledger *l = open_ledger(true);

	set(l, "a", "one");
	ck_assert_int_eq(ledger_commit(l), 0);
	shaky->lie = "{\"text\":\"two\"}\n";
	ck_assert_int_eq(ledger_get(l, "a", &o), -EBADMSG);
	ck_assert_ptr_null(o);
	shaky->lie = "{\"text\":\"one\"}\n";
	expect(l, "a", "one");
	ledger_close(&l);
}
END_TEST

/* What ledger_look gives; its object, which stays the ledger's. */
static json_object *look(struct ledger *l, const char *name, const char *text)
{
	struct problem p = {0};
	const char *got;
	json_object *o;

	ck_assert_int_eq(ledger_look(l, name, &o), 0);
	ck_assert_int_eq(member_string(o, "text", &got, &p), 0);
	ck_assert_str_eq(got, text);
	json_object_put(o);
	return o;
}

START_TEST(kept_in_memory)
{
	struct ledger *l = open_ledger(true);
	json_object *first, *o;
	struct ledger_mark mark;
	int gets;

	set(l, "a", "one");
	look(l, "a", "one");
	ck_assert_int_eq(ledger_commit(l), 0);
	first = look(l, "a", "one");
	gets = shaky->gets;
	for (int i = 0; i < 3; i++) {
		ck_assert_ptr_eq(look(l, "a", "one"), first);
		ck_assert_int_eq(shaky->looks, 1 + i); /* once for all that look together */
		ledger_rest(l);
		look(l, "a", "one");
	}
	ck_assert_int_eq(shaky->gets, gets);
	ck_assert_int_eq(ledger_look(l, "b", &o), -ENOENT);

	/* A change is seen at once, and gone with it when it is taken back or fails. */
	mark = ledger_mark(l);
	set(l, "a", "two");
	look(l, "a", "two");
	ledger_back(l, &mark);
	look(l, "a", "one");
	set(l, "a", "two");
	shaky->fail_with = -ENOSPC;
	ck_assert_int_eq(ledger_commit(l), -ENOSPC);
	look(l, "a", "one");
	set(l, "a", "two");
	ck_assert_int_eq(ledger_commit(l), 0);
	look(l, "a", "two");

	/* Somebody else has written: what is there is held against the log again. */
	shaky->lie = "{\"text\":\"one\"}\n";
	look(l, "a", "two");
	ledger_rest(l);
	look(l, "a", "two");
	shaky->written = true;
	look(l, "a", "two");
	ledger_rest(l);
	ck_assert_int_eq(ledger_look(l, "a", &o), -EBADMSG);
	ck_assert_ptr_null(o);
	ck_assert_int_eq(ledger_look(l, "a", &o), -EBADMSG);
	ledger_close(&l);
}
END_TEST

/* What everybody looks at is nobody's to change. */
START_TEST(shared_is_not_changed)
{
	struct ledger *l = open_ledger(true);
	json_object *o;

	set(l, "a", "one");
	ck_assert_int_eq(ledger_commit(l), 0);
	ck_assert_int_eq(ledger_look(l, "a", &o), 0);
	ck_assert_int_eq(put_string(o, "text", "two"), 0);
	ck_assert_int_eq(ledger_put(l, "a", o), -EINVAL);
	json_object_put(o);
	look(l, "a", "one");
	ledger_close(&l);
}
END_TEST

static int made, freed;

static void free_counter(void *p)
{
	freed++;
	free(p);
}

static bool keep(struct ledger *l, const char *name)
{
	void *p = malloc(1);

	ck_assert_ptr_nonnull(p);
	if (!ledger_keep(l, name, p, free_counter)) {
		free(p);
		return false;
	}
	ck_assert_ptr_eq(ledger_made(l, name), p);
	made++;
	return true;
}

/* ledger_kept.c: what was made of a row goes with it, at the commit and not later. */
START_TEST(made_of_a_row)
{
	struct ledger *l = open_ledger(true);
	char name[8];

	made = freed = 0;
	set(l, "a", "one");
	look(l, "a", "one");
	ck_assert(!keep(l, "a")); /* nothing of it is committed */
	ck_assert_int_eq(ledger_commit(l), 0);
	ck_assert(!keep(l, "a")); /* nobody has looked */
	look(l, "a", "one");
	ck_assert(keep(l, "a"));
	ck_assert(!keep(l, "a"));
	set(l, "a", "two");
	ck_assert_ptr_null(ledger_made(l, "a"));
	shaky->fail_with = -ENOSPC;
	ck_assert_int_eq(ledger_commit(l), -ENOSPC);
	ck_assert_ptr_nonnull(ledger_made(l, "a"));
	set(l, "a", "two");
	ck_assert_int_eq(freed, 0);
	ck_assert_int_eq(ledger_commit(l), 0);
	ck_assert_int_eq(freed, 1);
	ck_assert_ptr_null(ledger_made(l, "a"));

	look(l, "a", "two");
	ck_assert(keep(l, "a"));
	ledger_rest(l);
	shaky->written = true;
	look(l, "a", "two");
	ck_assert_int_eq(freed, 2);

	/* There is room for 64; the one that was looked at last stays. */
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		set(l, name, name);
		ck_assert_int_eq(ledger_commit(l), 0);
		look(l, name, name);
		ck_assert(keep(l, name));
		ledger_rest(l);
		look(l, "n0", "n0");
		ledger_rest(l);
	}
	ck_assert_int_eq(made - freed, 64);
	ck_assert_ptr_nonnull(ledger_made(l, "n0"));
	ck_assert_ptr_null(ledger_made(l, "n1"));
	ck_assert_ptr_nonnull(ledger_made(l, "n99"));
	ledger_close(&l);
	ck_assert_int_eq(made, freed);
}
END_TEST

START_TEST(bounds)
{
	struct ledger *l = open_ledger(true);
	char name[ROW_NAME_MAX + 2], *large = malloc(ROW_BODY_MAX);

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	ck_assert_int_eq(put(l, name, "x"), -ENAMETOOLONG);
	name[ROW_NAME_MAX] = '\0';
	set(l, name, "x");
	memset(large, 'x', ROW_BODY_MAX - 1);
	large[ROW_BODY_MAX - 1] = '\0';
	ck_assert_int_eq(put(l, "large", large), -EFBIG);
	large[ROW_BODY_MAX - strlen("{\"text\":\"\"}\n")] = '\0';
	set(l, "large", large);
	for (int i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "%d", i);
		ck_assert_int_eq(put(l, name, "x"), 0);
	}
	ck_assert_int_eq(put(l, "9", "x"), -ENOBUFS); /* no line could name them all */
	note(l, "eight");
	ck_assert_int_eq(ledger_commit(l), 0);
	ledger_close(&l);
	l = open_ledger(false);
	ck_assert_int_eq(count(l, ""), 10);
	expect(l, "large", large);
	free(large);
	ledger_close(&l);
}
END_TEST

/* Two processes cannot; two ledgers that both think that they are the last one: the second loses. */
START_TEST(somebody_else_writes)
{
	struct ledger *l = open_ledger(true);
	struct row row = {.name = "a", .revision = 1, .body = (char *)"{}\n", .size = 3};
	struct line line = {.n = 1, .text = (char *)"{}", .size = 2};

	ck_assert_int_eq(shaky->real->ops->commit(shaky->real, &row, 1, NULL, 0), 0);
	set(l, "a", "one");
	ck_assert_int_eq(ledger_commit(l), -ESTALE);
	ck_assert_int_eq(shaky->real->ops->commit(shaky->real, NULL, 0, &line, 1), 0);
	set(l, "b", "one");
	ck_assert_int_eq(ledger_commit(l), -ESTALE);
	ledger_close(&l);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("ledger");

	tcase_add_checked_fixture(c, fixture_set_up, fixture_tear_down);
	tcase_add_test(c, staged_is_seen_and_kept);
	tcase_add_test(c, failed_commit);
	tcase_add_test(c, taken_back);
	tcase_add_test(c, changed_behind_our_back);
	tcase_add_test(c, kept_in_memory);
	tcase_add_test(c, shared_is_not_changed);
	tcase_add_test(c, made_of_a_row);
	tcase_add_test(c, bounds);
	tcase_add_test(c, somebody_else_writes);
	return fixture_run("service ledger", c);
}
