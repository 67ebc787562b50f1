/* Restoring the key service from a backup (backup.h).
 *
 * 1. The backup is opened and all of it checked before anything is made.
 * 2. An anchor that knows more than the backup says that something would be undone; where there is none, nobody can say so.  Either wants
 *    the word of the administrator, and the log says that it was given.
 * 3. All is built and checked in BUILD inside the directory.  Then the files move up, the database last: before that there is no key service in
 *    the directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "keymgr/backup.h"
#include "keymgr/lone_keyring.h"
#include "keymgr/service/authority.h"
#include "keymgr/service/backup.h"
#include "keymgr/service/place.h"
#include "keymgr/service/rekey.h"

#define BUILD ".coffer-restore"
enum { TOGETHER = 256 };

/* In the order in which they move; what is not there is passed over. */
static const char *const parts[] = {
	PLACE_KEYRING ".bak", PLACE_KEYRING ".lock", PLACE_KEYRING ".audit", PLACE_KEYRING, PLACE_KEY, "ca.pem",
	PLACE_ANCHOR,         PLACE_DATABASE,
};

struct work {
	const struct service_restore *how;
	struct service_restored *out;
	int fd;
	struct backup_head head;
	struct keyring *backup;
	struct service_keys keys; /* of the backup */
	struct audit_link end, anchor;
	bool anchored;      /* there is an anchor to be held against */
	bool before;        /* it is of before a rekeying */
	struct place build; /* .coffer-restore */
};

static void work_end(struct work *w)
{
	place_close(&w->build);
	service_keys_free(&w->keys);
	keyring_free(&w->backup);
	backup_head_free(&w->head);
	if (w->fd >= 0)
		close(w->fd);
}

/* --- what there is (1), (2) */

static int open_file(struct work *w, struct fault *why)
{
	struct unlock_secret secret = {0};
	int ret;

	w->fd = open(w->how->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (w->fd < 0)
		return fault_errno(why, EXIT_FAILED, -errno, "cannot read %s", w->how->file);
	ret = backup_head_read(w->fd, &w->head, why);
	if (ret == 0)
		ret = backup_read(w->head.keyring, w->head.keyring_size, &w->backup, why);
	if (ret == 0)
		ret = backup_secret_obtain(w->how->source, w->how->file, backup_type(w->backup), &secret, why);
	if (ret == 0)
		ret = backup_unlock(w->backup, &secret, why);
	unlock_secret_wipe(&secret);
	return ret == 0 ? service_keys_of(w->backup, &w->keys, why) : ret;
}

static int look_at_anchor(struct work *w, struct fault *why)
{
	int ret;

	if (!w->how->anchor)
		return 0;
	ret = anchor_read(&w->keys, w->how->anchor, &w->anchor, &w->before);
	if (ret == -ESTALE && !w->how->accept_older)
		return fault_set(
			why, EXIT_REFUSED, ESTALE,
			"the anchor was written after a rekeying that the backup, of %s, knows nothing of: what was "
			"revoked or disabled since is undone; look for a newer one, or give --accept-older",
			w->head.created);
	w->anchored = ret == 0;
	if (ret == -ESTALE)
		return 0;
	return ret < 0 ? fault_errno(why, EXIT_DAMAGED, ret, "the anchor %s is none of this service", w->how->anchor)
		       : 0;
}

static int judge(struct work *w, bool reached, struct fault *why)
{
	w->out->lines = w->end.n;
	if (w->anchored && w->anchor.n > w->end.n)
		w->out->lost = w->anchor.n - w->end.n;
	if (reached || w->how->accept_older)
		return 0;
	if (!w->anchored)
		return fault_set(
			why, EXIT_REFUSED, ESTALE,
			"nothing says whether this backup, of %s, is the newest state: what was revoked or "
			"disabled after it is undone by it; give the anchor by --anchor FILE, or --accept-older",
			w->head.created);
	if (w->out->lost)
		return fault_set(
			why, EXIT_REFUSED, ESTALE,
			"the backup, of %s, lacks the last %llu lines of the log that the anchor knows of: what "
			"was revoked or disabled since is undone; look for a newer one, or give --accept-older",
			w->head.created, (unsigned long long)w->out->lost);
	return fault_set(why, EXIT_REFUSED, ESTALE,
			 "the anchor belongs to another course of this service, as after an earlier restore; "
			 "give --accept-older to go on from the backup of %s",
			 w->head.created);
}

/* The head says it, so that the file can be read; what is in the file has to say the same. */
static int settle(struct work *w, struct backend *b, struct fault *why)
{
	int ret = service_keys_at(&w->keys, w->head.generation);

	if (ret == 0)
		ret = service_keys_settle(&w->keys, b, why);
	if (ret == 0 && w->keys.generation != w->head.generation)
		ret = -EBADMSG;
	return ret == -EBADMSG && !why->status
		       ? fault_set(why, EXIT_DAMAGED, EBADMSG, "the backup is damaged, or was put together from others")
		       : ret;
}

static int look(struct work *w, struct fault *why)
{
	struct backend *b;
	bool reached = false;
	int ret = open_file(w, why);

	if (ret < 0)
		return ret;
	ret = backend_backup_open(w->fd, &w->head, &w->keys, NULL, &b);
	if (ret < 0)
		return ret;
	ret = settle(w, b, why);
	if (ret == 0)
		ret = look_at_anchor(w, why);
	if (ret == 0)
		ret = ledger_check(b, &w->keys, w->anchored ? &w->anchor : NULL, &w->end, &reached, why);
	b->ops->close(b);
	if (w->before && w->end.n != w->keys.before.end) /* what such a one says anybody with the old keys could say */
		w->anchored = reached = false;
	memcpy(w->out->created, w->head.created, sizeof(w->out->created));
	return ret == 0 ? judge(w, reached, why) : ret;
}

/* --- the keyring */

static int restore_keyring(struct work *w, struct fault *why)
{
	struct restoring how = {.backup = w->backup, .trust = {.root = w->how->expect_root}, .nothing_there = true};
	struct restored restored = {0};
	char path[PATH_MAX];
	struct store *s;
	int dot, ret = lone_keyring_open(place_name(&w->build, PLACE_KEYRING, path), &s, &dot, why);

	if (ret < 0)
		return ret;
	ret = place_new_secret(&w->build, w->how->replace, &how.secret, why);
	if (ret == 0)
		ret = restore(s, dot, &how, &restored, why);
	if (ret == 0)
		ret = service_keys_of(restored.keyring, &w->build.keys, why);
	keyring_free(&restored.keyring);
	unlock_secret_wipe(&how.secret);
	store_close(s, dot);
	s->ops->destroy(s);
	return ret;
}

/* --- the database */

struct copying {
	struct backend *to;
	struct row rows[TOGETHER];
	struct line lines[TOGETHER];
	size_t row_count, line_count;
};

static int copy_commit(struct copying *c)
{
	int ret = c->to->ops->commit(c->to, c->rows, c->row_count, c->lines, c->line_count);

	while (c->row_count > 0)
		free(c->rows[--c->row_count].body);
	while (c->line_count > 0)
		free(c->lines[--c->line_count].text);
	return ret;
}

static char *copy_text(const char *text, size_t n)
{
	char *copy = malloc(n + 1);

	if (copy) {
		memcpy(copy, text, n);
		copy[n] = '\0';
	}
	return copy;
}

static int copy_row(void *context, const struct row *r)
{
	struct copying *c = context;
	struct row *to = &c->rows[c->row_count];

	*to = *r;
	to->body = copy_text(r->body, r->size);
	if (!to->body)
		return -ENOMEM;
	return ++c->row_count == TOGETHER ? copy_commit(c) : 0;
}

static int copy_line(void *context, const struct line *l)
{
	struct copying *c = context;
	struct line *to = &c->lines[c->line_count];

	*to = *l;
	to->text = copy_text(l->text, l->size);
	if (!to->text)
		return -ENOMEM;
	return ++c->line_count == TOGETHER ? copy_commit(c) : 0;
}

static int copy_all(struct work *w, struct backend *to)
{
	_cleanup_free_ struct copying *c = calloc(1, sizeof(*c));
	struct backend *from = NULL;
	int ret = c ? backend_backup_open(w->fd, &w->head, &w->keys, NULL, &from) : -ENOMEM;

	if (ret < 0)
		return ret;
	c->to = to;
	ret = from->ops->each_line(from, 0, copy_line, c);
	if (ret == 0)
		ret = copy_commit(c);
	if (ret == 0)
		ret = from->ops->each_row(from, copy_row, c);
	if (ret == 0)
		ret = copy_commit(c);
	c->to = NULL;
	while (c->row_count > 0)
		free(c->rows[--c->row_count].body);
	while (c->line_count > 0)
		free(c->lines[--c->line_count].text);
	from->ops->close(from);
	return ret;
}

static int restore_database(struct work *w, struct fault *why)
{
	char anchor[PATH_MAX];
	struct backend *b;
	int ret = place_store(&w->build, BACKEND_MAKE, &b, why);

	if (ret < 0)
		return ret;
	ret = copy_all(w, b);
	if (ret == 0)
		ret = service_keys_settle(&w->build.keys, b, why);
	if (ret == 0)
		ret = anchor_write(&w->build.keys, place_name(&w->build, PLACE_ANCHOR, anchor), &w->end);
	if (ret < 0) {
		b->ops->close(b);
		return fault_errno(why, EXIT_STORE, ret, "cannot write the database");
	}
	return ledger_open(b, &w->build.keys, anchor, false, &w->build.ledger, why);
}

/* (2) */
static int note_restore(struct work *w)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	int ret = o ? put_string(o, "event", "restore") : -ENOMEM;

	if (ret == 0)
		ret = put_string(o, "backup", w->head.id);
	if (ret == 0)
		ret = put_string(o, "created", w->head.created);
	if (ret == 0)
		ret = put_value(o, "accept_older", json_object_new_boolean(w->how->accept_older));
	if (ret == 0 && w->anchored)
		ret = put_number(o, "anchor", w->anchor.n);
	if (ret == 0)
		ret = ledger_note(w->build.ledger, o);
	return ret == 0 ? ledger_commit(w->build.ledger) : ret;
}

static int write_ca(struct work *w, struct fault *why)
{
	_cleanup_(tls_identity_free) struct tls_identity ca = {0};
	_cleanup_free_ char *pem = NULL;
	int ret = identity_get(w->build.ledger, &w->build.keys, ROW_CA, &ca);

	if (ret == 0)
		ret = x509_pem(ca.cert, &pem);
	return ret == 0 ? place_new_file(&w->build, "ca.pem", pem, strlen(pem), 0644, why) : ret;
}

static int build(struct work *w, struct fault *why)
{
	int ret = restore_keyring(w, why);

	if (ret == 0)
		ret = restore_database(w, why);
	if (ret == 0)
		ret = note_restore(w);
	if (ret == 0)
		ret = ledger_anchor(w->build.ledger);
	return ret == 0 ? write_ca(w, why) : ret;
}

/* --- moving in (3) */

static int move_in(struct work *w, const struct place *into, struct fault *why)
{
	_cleanup_close_ int from = open(w->build.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
			    to = open(into->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char path[PATH_MAX];
	struct audit_link at = {0};
	bool before;
	int ret = from < 0 || to < 0 || fsync(from) < 0 ? -errno : 0;

	if (ret == 0)
		ret = anchor_read(&w->keys, place_name(&w->build, PLACE_ANCHOR, path), &at, &before);
	for (size_t i = 0; ret == 0 && i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (parts[i] == parts[sizeof(parts) / sizeof(parts[0]) - 1]) {
			if (w->how->anchor)
				ret = anchor_write(&w->keys, w->how->anchor, &at);
			if (ret == 0 && fsync(to) < 0)
				ret = -errno;
		}
		if (ret == 0 && renameat(from, parts[i], to, parts[i]) < 0 && errno != ENOENT)
			ret = -errno;
	}
	if (ret == 0 && fsync(to) < 0)
		ret = -errno;
	return ret < 0 ? fault_errno(why, EXIT_STORE, ret, "cannot move the restored service into %s", into->path) : 0;
}

static int make_build(struct work *w, const struct place *into, struct fault *why)
{
	char path[PATH_MAX];
	int ret;

	if (mkdir(place_name(into, BUILD, path), 0700) < 0)
		return fault_errno(why, EXIT_STORE, -errno, "cannot make %s", path);
	ret = place_resolve(path, &w->build, why);
	w->build.etcd = w->how->etcd;
	return ret;
}

/* What a restore that was cut short has left is taken away; nothing else is touched. */
static int claim(const char *dir, bool *new_directory, struct fault *why)
{
	struct place in = PLACE_NONE, left = PLACE_NONE;
	struct fault ignored = {0};
	char path[PATH_MAX];

	if (place_resolve(dir, &in, &ignored) == 0 && access(place_name(&in, PLACE_DATABASE, path), F_OK) < 0 &&
	    place_resolve(place_name(&in, BUILD, path), &left, &ignored) == 0) {
		place_empty(&left);
		(void)rmdir(left.path);
	}
	return place_claim(dir, new_directory, why);
}

static int make(struct work *w, const char *dir, struct fault *why)
{
	struct place into;
	bool new_directory;
	int ret = claim(dir, &new_directory, why);

	if (ret < 0)
		return ret;
	ret = place_resolve(dir, &into, why);
	if (ret == 0)
		ret = make_build(w, &into, why);
	if (ret == 0)
		ret = build(w, why);
	place_close(&w->build); /* writes the database's last pages */
	if (ret == 0)
		ret = move_in(w, &into, why);
	if (*w->build.path) {
		place_empty(&w->build);
		(void)rmdir(w->build.path);
	}
	if (ret < 0) {
		place_empty(&into); /* it was empty */
		if (new_directory)
			(void)rmdir(into.path);
	}
	return ret;
}

int service_restore(const char *dir, const struct service_restore *how, struct service_restored *out, struct fault *why)
{
	struct work w = {.how = how, .out = out, .fd = -1, .build = PLACE_NONE};
	int ret;

	*out = (struct service_restored){0};
	ret = look(&w, why);
	if (ret == 0)
		ret = make(&w, dir, why);
	work_end(&w);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot restore the key service from %s", how->file) : 0;
}
