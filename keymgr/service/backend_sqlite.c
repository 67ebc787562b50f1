/* The state of the key service in SQLite.
 *
 * 1. A commit returns 0 only after its pages are synced: WAL with synchronous=FULL.
 * 2. One writer, which its lock on the directory makes sure of (place.c).  Readers see one moment and hold up nobody.
 * 3. Reads share one transaction until the next commit or rest: each of its own would take and give back locks.
 * 4. A row is replaced only by its next revision, a line never. */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "keymgr/service/backend.h"
#include "util/base/log.h"

enum {
	APPLICATION_ID = 0x636f6b64, /* "cokd" */
	FORMAT = 1,
	PATIENCE_MS = 2000, /* while a reader comes or goes */
};

enum statement { BEGIN, BEGIN_READING, COMMIT, ROLLBACK, VERSION, GET, PUT, APPEND, ROWS, LINES, STATEMENTS };

/* Only the next revision replaces a row. */
static const char put_text[] = "INSERT INTO row (name, revision, body, mac) VALUES (?1, ?2, ?3, ?4) "
			       "ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, body = excluded.body, "
			       "mac = excluded.mac WHERE row.revision = excluded.revision - 1";

static const char *const texts[STATEMENTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[BEGIN_READING] = "BEGIN",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[VERSION] = "PRAGMA data_version", /* another one when another connection has written */
	[GET] = "SELECT name, revision, body, mac FROM row WHERE name = ?1",
	[PUT] = put_text,
	[APPEND] = "INSERT INTO audit (n, line) VALUES (?1, ?2)",
	[ROWS] = "SELECT name, revision, body, mac FROM row",
	[LINES] = "SELECT n, line FROM audit WHERE n >= ?1 ORDER BY n",
};

static const char schema[] =
	"CREATE TABLE row (name TEXT NOT NULL PRIMARY KEY, revision INTEGER NOT NULL, body TEXT NOT NULL, "
	"mac BLOB NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE audit (n INTEGER NOT NULL PRIMARY KEY, line TEXT NOT NULL) STRICT;";

static const char settings[] = "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;"
			       "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
			       "PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;";

struct sqlite_backend {
	struct backend backend;
	sqlite3 *db;
	bool read_only;
	sqlite3_int64 version;
	sqlite3_stmt *statements[STATEMENTS];
};

static int error_of(struct sqlite_backend *b, int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
	case SQLITE_ROW:
		return 0;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_CONSTRAINT:
		return -ESTALE;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_READONLY:
	case SQLITE_PERM:
		return -EROFS;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		log_error("the database is damaged: %s", sqlite3_errmsg(b->db));
		return -EBADMSG;
	default:
		log_error("the database: %s", sqlite3_errmsg(b->db));
		return -EIO;
	}
}

static int run(struct sqlite_backend *b, enum statement which)
{
	int code = sqlite3_step(b->statements[which]);

	sqlite3_reset(b->statements[which]);
	return error_of(b, code);
}

/* The present row of GET or ROWS; the texts are SQLite's until the next step. */
static int read_row(sqlite3_stmt *s, struct row *out)
{
	const char *name = (const char *)sqlite3_column_text(s, 0), *body = (const char *)sqlite3_column_text(s, 2);
	const void *mac = sqlite3_column_blob(s, 3);

	if (!name || !body || !mac || sqlite3_column_bytes(s, 3) != SHA256_SIZE ||
	    sqlite3_column_bytes(s, 0) > ROW_NAME_MAX || sqlite3_column_bytes(s, 2) > ROW_BODY_MAX)
		return -EBADMSG;
	memset(out, 0, sizeof(*out));
	memcpy(out->name, name, (size_t)sqlite3_column_bytes(s, 0));
	out->revision = (uint64_t)sqlite3_column_int64(s, 1);
	out->body = (char *)body;
	out->size = (size_t)sqlite3_column_bytes(s, 2);
	memcpy(out->mac, mac, SHA256_SIZE);
	return 0;
}

static int sqlite_each_row(struct backend *backend, int (*each)(void *context, const struct row *r), void *context)
{
	struct sqlite_backend *b = (struct sqlite_backend *)backend;
	sqlite3_stmt *s = b->statements[ROWS];
	struct row row;
	int code, ret = 0;

	while (ret >= 0 && (code = sqlite3_step(s)) == SQLITE_ROW) {
		ret = read_row(s, &row);
		if (ret == 0)
			ret = each(context, &row);
	}
	sqlite3_reset(s);
	return ret < 0 ? ret : error_of(b, code);
}

static int sqlite_each_line(struct backend *backend, uint64_t from, int (*each)(void *context, const struct line *l),
			    void *context)
{
	struct sqlite_backend *b = (struct sqlite_backend *)backend;
	sqlite3_stmt *s = b->statements[LINES];
	int code, ret = 0;

	sqlite3_bind_int64(s, 1, (sqlite3_int64)from);
	while (ret >= 0 && (code = sqlite3_step(s)) == SQLITE_ROW) {
		struct line line = {.n = (uint64_t)sqlite3_column_int64(s, 0),
				    .text = (char *)sqlite3_column_text(s, 1)};

		line.size = (size_t)sqlite3_column_bytes(s, 1);
		ret = line.text ? each(context, &line) : -EBADMSG;
	}
	sqlite3_reset(s);
	return ret < 0 ? ret : error_of(b, code);
}

/* (3) */
static void sqlite_rest(struct backend *backend)
{
	struct sqlite_backend *b = (struct sqlite_backend *)backend;

	if (!b->read_only && !sqlite3_get_autocommit(b->db) && run(b, COMMIT) < 0)
		(void)run(b, ROLLBACK);
}

static int begin_reading(struct sqlite_backend *b)
{
	return sqlite3_get_autocommit(b->db) ? run(b, BEGIN_READING) : 0;
}

static int sqlite_look(struct backend *backend, bool *changed)
{
	struct sqlite_backend *b = (struct sqlite_backend *)backend;
	sqlite3_stmt *s = b->statements[VERSION];
	sqlite3_int64 before = b->version;
	int code, ret = begin_reading(b);

	*changed = true;
	if (ret < 0)
		return ret;
	code = sqlite3_step(s);
	b->version = code == SQLITE_ROW ? sqlite3_column_int64(s, 0) : -1;
	*changed = code != SQLITE_ROW || b->version != before;
	sqlite3_reset(s);
	return code == SQLITE_DONE ? -EIO : error_of(b, code);
}

static int sqlite_get(struct backend *backend, const char *name, struct row *out)
{
	struct sqlite_backend *b = (struct sqlite_backend *)backend;
	sqlite3_stmt *s = b->statements[GET];
	int code, ret = begin_reading(b);

	if (ret < 0)
		return ret;
	sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	code = sqlite3_step(s);
	ret = code == SQLITE_ROW ? read_row(s, out) : code == SQLITE_DONE ? -ENOENT : error_of(b, code);
	if (ret == 0) {
		char *copy = malloc(out->size + 1);

		if (copy) {
			memcpy(copy, out->body, out->size);
			copy[out->size] = '\0';
		}
		out->body = copy;
		ret = copy ? 0 : -ENOMEM;
	}
	sqlite3_reset(s);
	return ret;
}

static int put(struct sqlite_backend *b, const struct row *r)
{
	sqlite3_stmt *s = b->statements[PUT];
	int ret;

	sqlite3_bind_text(s, 1, r->name, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 2, (sqlite3_int64)r->revision);
	sqlite3_bind_text(s, 3, r->body, (int)r->size, SQLITE_STATIC);
	sqlite3_bind_blob(s, 4, r->mac, SHA256_SIZE, SQLITE_STATIC);
	ret = run(b, PUT);
	sqlite3_clear_bindings(s);
	return ret == 0 && sqlite3_changes(b->db) != 1 ? -ESTALE : ret;
}

static int append(struct sqlite_backend *b, const struct line *l)
{
	sqlite3_stmt *s = b->statements[APPEND];
	int ret;

	sqlite3_bind_int64(s, 1, (sqlite3_int64)l->n);
	sqlite3_bind_text(s, 2, l->text, (int)l->size, SQLITE_STATIC);
	ret = run(b, APPEND);
	sqlite3_clear_bindings(s);
	return ret;
}

static int sqlite_commit(struct backend *backend, const struct row *rows, size_t row_count, const struct line *lines,
			 size_t line_count)
{
	struct sqlite_backend *b = (struct sqlite_backend *)backend;
	int ret;

	sqlite_rest(backend);
	ret = b->read_only ? -EROFS : run(b, BEGIN);
	if (ret < 0)
		return ret;
	for (size_t i = 0; ret == 0 && i < row_count; i++)
		ret = put(b, &rows[i]);
	for (size_t i = 0; ret == 0 && i < line_count; i++)
		ret = append(b, &lines[i]);
	if (ret == 0)
		ret = run(b, COMMIT);
	if (ret == 0)
		return 0;
	/* SQLite has rolled back by itself after some errors; where neither is sure, a failed sync may still have reached the disk. */
	if (!sqlite3_get_autocommit(b->db) && run(b, ROLLBACK) < 0)
		return -EUCLEAN;
	return ret == -EIO ? -EUCLEAN : ret;
}

/* Its lock is the directory's, and goes only with the process. */
static int sqlite_alive(struct backend *backend, bool renew)
{
	(void)backend;
	(void)renew;
	return 0;
}

static void sqlite_close(struct backend *backend)
{
	struct sqlite_backend *b = (struct sqlite_backend *)backend;

	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(b->statements[i]);
	sqlite3_close(b->db);
	free(b);
}

static const struct backend_ops ops = {
	.each_row = sqlite_each_row,
	.each_line = sqlite_each_line,
	.get = sqlite_get,
	.commit = sqlite_commit,
	.look = sqlite_look,
	.rest = sqlite_rest,
	.alive = sqlite_alive,
	.close = sqlite_close,
};

static int pragma_number(struct sqlite_backend *b, const char *pragma, int *out)
{
	sqlite3_stmt *s;
	int code = sqlite3_prepare_v2(b->db, pragma, -1, &s, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(s);
	*out = code == SQLITE_ROW ? sqlite3_column_int(s, 0) : -1;
	sqlite3_finalize(s);
	return error_of(b, code);
}

static int set_up(struct sqlite_backend *b, enum backend_use use)
{
	char mark[96];
	int id = 0, format = 0, ret;

	sqlite3_db_config(b->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_busy_timeout(b->db, PATIENCE_MS);
	ret = error_of(b, sqlite3_exec(b->db, settings, NULL, NULL, NULL));
	if (ret == 0 && use == BACKEND_MAKE) {
		snprintf(mark, sizeof(mark), "PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION_ID,
			 FORMAT);
		ret = error_of(b, sqlite3_exec(b->db, schema, NULL, NULL, NULL));
		if (ret == 0)
			ret = error_of(b, sqlite3_exec(b->db, mark, NULL, NULL, NULL));
	}
	if (ret == 0)
		ret = pragma_number(b, "PRAGMA application_id", &id);
	if (ret == 0)
		ret = pragma_number(b, "PRAGMA user_version", &format);
	if (ret == 0 && (id != APPLICATION_ID || format != FORMAT))
		ret = -ENOTSUP;
	for (int i = 0; ret == 0 && i < STATEMENTS; i++)
		ret = error_of(
			b, sqlite3_prepare_v3(b->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &b->statements[i], NULL));
	if (ret == 0 && use == BACKEND_READ)
		ret = error_of(b, sqlite3_exec(b->db, "PRAGMA query_only = ON; BEGIN", NULL, NULL, NULL));
	return ret;
}

/* Nobody else may read it: modes are SQLite's to set, from the first file on. */
static int make_file(const char *file)
{
	_cleanup_close_ int fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : 0;
}

int backend_sqlite_open(const char *file, enum backend_use use, struct backend **out, struct fault *why)
{
	struct sqlite_backend *b = calloc(1, sizeof(*b));
	int ret = b ? 0 : -ENOMEM;

	*out = NULL;
	if (ret == 0 && use == BACKEND_MAKE)
		ret = make_file(file);
	if (ret == 0) {
		b->backend.ops = &ops;
		b->read_only = use == BACKEND_READ;
		ret = error_of(b, sqlite3_open_v2(file, &b->db,
						  SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW,
						  NULL));
	}
	if (ret == 0)
		ret = set_up(b, use);
	if (ret < 0) {
		if (b)
			sqlite_close(&b->backend);
		if (ret == -EBUSY)
			return fault_set(why, EXIT_IN_USE, EBUSY, "%s is in use by another program", file);
		return fault_errno(why, ret == -ENOTSUP ? EXIT_UNSUPPORTED : EXIT_STORE, ret,
				   "cannot open the database %s", file);
	}
	*out = &b->backend;
	return 0;
}
