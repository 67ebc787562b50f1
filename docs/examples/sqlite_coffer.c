/* A loadable extension for SQLite: columns of tokens (docs/fields.md), by functions of SQL.
 *
 *     coffer_open(KEYRING, KEYFILE, CONTEXT)      first, in each connection; a context of '' is none
 *     coffer_encrypt(value, 'table.column', id)   a token that opens in that column of the record `id` only; NULL stays NULL
 *     coffer_decrypt(token, 'table.column', id)
 *     coffer_encrypt_equal(value, 'domain')       deterministic: equal values are equal tokens, so an index finds them
 *     coffer_decrypt_equal(token, 'domain')
 *     coffer_rotate(token, 'table.column', id), coffer_rotate_equal(token, 'domain')
 *                                                 the token as the keyring makes it now; the same one where it is that already
 *     coffer_open_to(KEYRING, KEYFILE)            the keyring that the next two move tokens to
 *     coffer_migrate(token, 'table.column', id), coffer_migrate_equal(token, 'domain')
 *
 *     create table customer (id integer primary key, name text, mail text, note text);
 *     create index customer_mail on customer (mail);
 *     insert into customer values (1, 'Ada', coffer_encrypt_equal('ada@example.com', 'mail'), coffer_encrypt('met in May', 'customer.note', 1));
 *     select name, coffer_decrypt(note, 'customer.note', id) from customer where mail = coffer_encrypt_equal('ada@example.com', 'mail');
 *     update customer set note = coffer_rotate(note, 'customer.note', id), mail = coffer_rotate_equal(mail, 'mail');
 *
 * What to know: `id` must not change, so name the primary key, not the rowid of a table without one (VACUUM changes that).  Values are text; numbers come
 * back as text.  The functions do not work from triggers and views (SQLITE_DIRECTONLY): a database that somebody else wrote must not decrypt.
 *
 *     cc -shared -fPIC sqlite_coffer.c -o sqlite_coffer.so $(pkg-config --cflags --libs coffer-field)
 *     sqlite> .load ./sqlite_coffer */
#define _GNU_SOURCE 1
#include <coffer/field.h>
#include <errno.h>
#include <sqlite3ext.h>
#include <stdlib.h>
#include <string.h>

SQLITE_EXTENSION_INIT1

/* Of one connection; its functions share it. */
struct session {
	unsigned users;
	struct coffer_field_keyring *from, *to;
	char *context;
};

/* Where a value lives, by the arguments of a call. */
struct column {
	struct coffer_field_place place;
	char *name; /* "table\0column" */
};

static void session_leave(void *p)
{
	struct session *s = p;

	if (--s->users)
		return;
	coffer_field_close(&s->from);
	coffer_field_close(&s->to);
	free(s->context);
	free(s);
}

static const char *text_of(sqlite3_value *v)
{
	const char *text = (const char *)sqlite3_value_text(v);

	return text ? text : "";
}

/* ------------------------------------------------------------------ opening */

static void open_keyring(sqlite3_context *c, sqlite3_value **argv, struct coffer_field_keyring **at)
{
	char error[300] = "no memory";
	struct coffer_field_keyring *keyring;

	if (coffer_field_open(text_of(argv[0]), text_of(argv[1]), NULL, &keyring, error, sizeof(error)) < 0) {
		sqlite3_result_error(c, error, -1);
		return;
	}
	coffer_field_close(at);
	*at = keyring;
}

static void sql_open(sqlite3_context *c, int argc, sqlite3_value **argv)
{
	struct session *s = sqlite3_user_data(c);
	char *context = strdup(text_of(argv[2]));

	(void)argc;
	if (!context) {
		sqlite3_result_error_nomem(c);
		return;
	}
	free(s->context);
	s->context = context;
	open_keyring(c, argv, &s->from);
}

static void sql_open_to(sqlite3_context *c, int argc, sqlite3_value **argv)
{
	struct session *s = sqlite3_user_data(c);

	(void)argc;
	open_keyring(c, argv, &s->to);
}

/* ------------------------------------------------------------------ values */

static void column_free(struct column *l)
{
	free(l->name);
}

/* (value, 'table.column', id) or (value, 'domain').  False: the error is told. */
static bool column_of(sqlite3_context *c, const struct session *s, int argc, sqlite3_value **argv, struct column *out)
{
	char *dot;

	*out = (struct column){.place = {.context = s->context && *s->context ? s->context : NULL}};
	if (!s->from) {
		sqlite3_result_error(c, "coffer: first: select coffer_open(KEYRING, KEYFILE, CONTEXT)", -1);
		return false;
	}
	out->name = strdup(text_of(argv[1]));
	if (!out->name) {
		sqlite3_result_error_nomem(c);
		return false;
	}
	if (argc == 2) {
		out->place.domain = out->name;
		out->place.free = true;
		return true;
	}
	dot = strrchr(out->name, '.');
	if (!dot || sqlite3_value_type(argv[2]) == SQLITE_NULL) {
		sqlite3_result_error(c, "coffer: give the column as 'table.column', and the record's id", -1);
		column_free(out);
		return false;
	}
	*dot = '\0';
	out->place.table = out->name;
	out->place.field = dot + 1;
	out->place.record = text_of(argv[2]);
	return true;
}

static void complain(sqlite3_context *c, const struct session *s, const struct column *l, const char *token, int error)
{
	char text[400], *line;

	coffer_field_explain(s->from, &l->place, token, error, text, sizeof(text));
	line = sqlite3_mprintf("coffer: %s%s%s: %s", l->place.table ? l->place.table : "domain ",
			       l->place.table ? "." : "", l->place.table ? l->place.field : l->place.domain, text);
	if (line)
		sqlite3_result_error(c, line, -1);
	else
		sqlite3_result_error_nomem(c);
	sqlite3_free(line);
}

static void sql_encrypt(sqlite3_context *c, int argc, sqlite3_value **argv)
{
	const struct session *s = sqlite3_user_data(c);
	const char *value = text_of(argv[0]);
	char *token = NULL;
	struct column l;
	int ret;

	if (!column_of(c, s, argc, argv, &l))
		return;
	if (sqlite3_value_type(argv[0]) != SQLITE_NULL) {
		ret = coffer_field_encrypt(s->from, &l.place, COFFER_FIELD_TEXT, value,
					   (size_t)sqlite3_value_bytes(argv[0]), &token);
		if (ret == 0)
			sqlite3_result_text(c, token, -1, SQLITE_TRANSIENT);
		else
			complain(c, s, &l, NULL, ret);
	}
	coffer_field_free(token);
	column_free(&l);
}

static void sql_decrypt(sqlite3_context *c, int argc, sqlite3_value **argv)
{
	const struct session *s = sqlite3_user_data(c);
	const char *token = text_of(argv[0]);
	void *value = NULL;
	struct column l;
	size_t n;
	int ret;

	if (!column_of(c, s, argc, argv, &l))
		return;
	if (sqlite3_value_type(argv[0]) != SQLITE_NULL) {
		ret = coffer_field_decrypt(s->from, &l.place, COFFER_FIELD_TEXT, token, &value, &n);
		if (ret == 0)
			sqlite3_result_text64(c, value, n, SQLITE_TRANSIENT, SQLITE_UTF8);
		else
			complain(c, s, &l, token, ret);
	}
	coffer_field_free(value);
	column_free(&l);
}

static void renew(sqlite3_context *c, int argc, sqlite3_value **argv, struct coffer_field_keyring *to)
{
	const struct session *s = sqlite3_user_data(c);
	const char *token = text_of(argv[0]);
	char *renewed = NULL;
	struct column l;
	int ret;

	if (!column_of(c, s, argc, argv, &l))
		return;
	if (sqlite3_value_type(argv[0]) != SQLITE_NULL) {
		ret = coffer_field_renew(s->from, to, &l.place, token, &renewed);
		if (ret == 0)
			sqlite3_result_text(c, renewed ? renewed : token, -1, SQLITE_TRANSIENT);
		else
			complain(c, s, &l, token, ret);
	}
	coffer_field_free(renewed);
	column_free(&l);
}

static void sql_rotate(sqlite3_context *c, int argc, sqlite3_value **argv)
{
	const struct session *s = sqlite3_user_data(c);

	renew(c, argc, argv, s->from);
}

static void sql_migrate(sqlite3_context *c, int argc, sqlite3_value **argv)
{
	const struct session *s = sqlite3_user_data(c);

	if (s->to)
		renew(c, argc, argv, s->to);
	else
		sqlite3_result_error(c, "coffer: first: select coffer_open_to(KEYRING, KEYFILE)", -1);
}

/* ------------------------------------------------------------------ loading */

int sqlite3_sqlitecoffer_init(sqlite3 *db, char **error, const sqlite3_api_routines *api);
int sqlite3_sqlitecoffer_init(sqlite3 *db, char **error, const sqlite3_api_routines *api)
{
	static const struct {
		const char *name;
		int arguments;
		void (*call)(sqlite3_context *, int, sqlite3_value **);
	} functions[] = {
		{"coffer_open", 3, sql_open},
		{"coffer_open_to", 2, sql_open_to},
		{"coffer_encrypt", 3, sql_encrypt},
		{"coffer_decrypt", 3, sql_decrypt},
		{"coffer_encrypt_equal", 2, sql_encrypt},
		{"coffer_decrypt_equal", 2, sql_decrypt},
		{"coffer_rotate", 3, sql_rotate},
		{"coffer_rotate_equal", 2, sql_rotate},
		{"coffer_migrate", 3, sql_migrate},
		{"coffer_migrate_equal", 2, sql_migrate},
	};
	struct session *s = calloc(1, sizeof(*s));
	int ret = SQLITE_OK;

	(void)error;
	SQLITE_EXTENSION_INIT2(api);
	if (!s)
		return SQLITE_NOMEM;
	s->users = 1;
	for (size_t i = 0; ret == SQLITE_OK && i < sizeof(functions) / sizeof(functions[0]); i++) {
		s->users++; /* SQLite leaves also where it fails */
		ret = sqlite3_create_function_v2(db, functions[i].name, functions[i].arguments,
						 SQLITE_UTF8 | SQLITE_DIRECTONLY, s, functions[i].call, NULL, NULL,
						 session_leave);
	}
	session_leave(s);
	return ret;
}
