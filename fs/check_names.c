#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>

#include "fs/check_internal.h"
#include "fs/names.h"
#include "fs/node.h"
#include "fs/symlink.h"
#include "fs/worker.h"
#include "util/base/encode.h"

#define SIDECAR_SUFFIX ".n"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* ------------------------------------------------------------------ whose is it? */

bool check_looks_like_a_name(const char *backing)
{
	uint8_t sealed[NAME_MAX];
	bool is_long = backing[0] == '~';
	ssize_t n = base64url_decode(backing + is_long, strlen(backing + is_long), sealed, sizeof sealed);

	return is_long ? n == SHA256_SIZE : n > SIV_TAG && n % 16 == 0;
}

/* One that is damaged still looks like one. */
static bool has_head(struct check *c, struct check_dir *d, const char *backing, const struct store_stat *st)
{
	uint8_t prefix[PREFIX_SIZE], id[16];
	struct node *n = node_enter(c->e, d->node, backing, st, false);
	bool has = false;

	if (n && node_use(c->e, n) == 0) {
		has = store_pread(c->e->store, n->fd, prefix, sizeof prefix, 0) == sizeof prefix &&
		      head_is_ours(prefix, id);
		node_unuse(c->e, n);
	}
	node_unref(c->e, n);
	return has;
}

static bool record_opens(struct check *c, struct check_dir *d, const char *backing)
{
	struct directory_record record;
	int fd = store_open(c->e->store, d->node->fd, backing, O_RDONLY | O_DIRECTORY, 0);
	bool opens = fd >= 0 && names_read_record(c->e, fd, &record) == 0;

	store_close(c->e->store, fd);
	return opens;
}

/* True if coffer made the object, whatever it is called: then its name was damaged, or it was moved below. */
bool check_is_coffers(struct check *c, struct check_dir *d, const char *backing, const struct store_stat *st)
{
	char text[LINK_TEXT_MAX], target[LINK_TARGET_MAX];
	ssize_t n;

	if (check_looks_like_a_name(backing))
		return true;
	if (S_ISREG(st->mode))
		return has_head(c, d, backing, st);
	if (S_ISDIR(st->mode))
		return record_opens(c, d, backing);
	if (!S_ISLNK(st->mode))
		return false;
	n = c->e->store->ops->readlink(c->e->store, d->node->fd, backing, text, sizeof text - 1);
	if (n < 0)
		return false;
	text[n] = 0;
	return symlink_open(c->e, ZONE_ANY, text, target) >= 0;
}

/* ------------------------------------------------------------------ conflict copies */

static bool opens_until(struct check *c, struct node *dir, const char *backing, size_t n, char out[NAME_MAX + 1])
{
	char base[NAME_MAX + 1];

	if (n > NAME_MAX)
		return false;
	memcpy(base, backing, n);
	base[n] = 0;
	return check_looks_like_a_name(base) && names_decrypt(c->e, dir, base, out) == 0;
}

/* How much of a backing name stands before what a sync client put behind it: "NAME (1)", "NAME~", "NAME.sync-conflict-...", and, of letters
 * that names have too, "NAME-HOST", "NAME_conflict-..."; 0 if no beginning is a name of this directory.  out: that name. */
static size_t before_mark(struct check *c, struct node *dir, const char *backing, char out[NAME_MAX + 1])
{
	size_t tilde = backing[0] == '~', n = tilde + strspn(backing + tilde, alphabet);

	if (backing[n] && opens_until(c, dir, backing, n, out))
		return n;
	while (--n > tilde && n < NAME_MAX)
		if ((backing[n] == '-' || backing[n] == '_') && opens_until(c, dir, backing, n, out))
			return n;
	return 0;
}

bool check_copy_name(struct check *c, struct node *dir, const char *backing, char out[NAME_MAX + 1])
{
	size_t n = before_mark(c, dir, backing, out), length;

	if (n == 0)
		return false;
	length = strlen(out);
	/* A long name leaves no room: it loses its end, the mark tells it apart. */
	if (length + strlen(backing + n) > NAME_MAX)
		length = strlen(backing + n) < NAME_MAX ? NAME_MAX - strlen(backing + n) : 0;
	snprintf(out + length, NAME_MAX + 1 - length, "%s", backing + n);
	return length > 0;
}

/* The backing name for a name; or for another like it, if that one is taken. */
static int free_name(struct check *c, struct node *dir, char name[NAME_MAX + 1], struct backing_name *b)
{
	enum { TRIES = 100 };
	char mark[8] = "";
	size_t length = strlen(name);
	struct store_stat st;

	for (unsigned i = 1; i <= TRIES; i++) {
		if (i > 1)
			snprintf(mark, sizeof mark, " %u", i);
		if (length + strlen(mark) > NAME_MAX)
			length = NAME_MAX - strlen(mark);
		snprintf(name + length, NAME_MAX + 1 - length, "%s", mark);

		int r = names_encrypt(c->e, dir, names_generation(dir->dir), name, b);

		if (r == 0)
			r = store_stat_at(c->e->store, dir->fd, b->name, &st);
		if (r < 0)
			return r == -ENOENT ? 0 : r;
	}
	name[length] = 0;
	return -EEXIST;
}

/* Gives it a name of its own beside the original. */
static int recover_copy(struct check *c, struct check_entry *en, char name[NAME_MAX + 1])
{
	struct node *dir = en->dir->node;
	struct backing_name b;
	int r = free_name(c, dir, name, &b);

	if (r == 0)
		r = names_add_sidecar(c->e, dir->fd, &b);
	if (r == 0)
		r = repair_rename(c, dir->fd, en->backing, b.name);
	if (r == 0) {
		strcpy(en->renamed, b.name);
		en->backing = en->renamed;
	}
	return r;
}

static int check_copy(struct check *c, struct check_entry *en, char name[NAME_MAX + 1])
{
	struct check_kind k = {CHECK_WARNING, "conflict", false};
	int r = c->repair ? recover_copy(c, en, name) : -EROFS;

	k.repaired = r == 0;
	en->copy = true;
	if (r == 0)
		return check_say_entry(c, en, k, "a conflict copy that a sync client made below; it has this name now");
	return check_say_entry(c, en, k, "a conflict copy that a sync client made below (%s) is not shown; %s",
			       en->backing, c->repair ? strerror(-r) : "--repair gives it this name");
}

/* ------------------------------------------------------------------ long names */

/* A conflict copy of a sidecar may hold what the sidecar has lost. */
static bool restore_sidecar(struct check *c, struct check_entry *en, bool missing, char name[NAME_MAX + 1])
{
	const struct check_list *l = &en->dir->entries;
	struct store *s = c->e->store;
	int fd = en->dir->node->fd;
	char sidecar[NAME_MAX + 1];

	snprintf(sidecar, sizeof sidecar, "%s" SIDECAR_SUFFIX, en->backing);
	for (size_t i = check_list_first(l, en->backing); i < l->count; i++) {
		const char *other = l->names[i];
		unsigned how = missing ? RENAME_NOREPLACE : RENAME_EXCHANGE;

		if (strncmp(other, en->backing, strlen(en->backing)) != 0)
			break;
		if (!names_is_ours(other) || strcmp(other, sidecar) == 0 ||
		    s->ops->rename(s, fd, other, fd, sidecar, how) < 0)
			continue;
		if (names_decrypt(c->e, en->dir->node, en->backing, name) == 0)
			return true;
		if (s->ops->rename(s, fd, sidecar, fd, other, how) < 0)
			return false;
	}
	return false;
}

static int check_long(struct check *c, struct check_entry *en, char name[NAME_MAX + 1])
{
	char sidecar[NAME_MAX + 1], text[FULL_NAME_MAX + 2];
	ssize_t n;

	snprintf(sidecar, sizeof sidecar, "%s" SIDECAR_SUFFIX, en->backing);
	n = names_read_text(c->e, en->dir->node->fd, sidecar, text, sizeof text);
	if (n == -ENOENT && check_has_side(c, en->dir, en->backing)) {
		en->done = true;
		return 0;
	}
	if (c->repair && restore_sidecar(c, en, n == -ENOENT, name)) {
		en->name = name;
		return check_say_entry(c, en, (struct check_kind){CHECK_ERROR, "sidecar", true},
				       "the sidecar of this long name was %s; put back from its conflict copy",
				       n == -ENOENT ? "missing" : "wrong");
	}
	return check_unreadable(c, en, "sidecar",
				n == -ENOENT ? "the sidecar that holds its name is missing"
					     : "the sidecar does not hold its name");
}

/* ------------------------------------------------------------------ entries */

int check_name(struct check *c, struct check_entry *en, char name[NAME_MAX + 1])
{
	int r = names_decrypt(c->e, en->dir->node, en->backing, name);

	if (r == 0) {
		en->name = name;
		return 0;
	}
	if (r == -ENOMEM)
		return r;
	if (r != -EBADMSG) {
		c->partial = true;
		return check_say_entry(c, en, check_store_kind(r), "its name cannot be read: %s", strerror(-r));
	}
	if (check_copy_name(c, en->dir->node, en->backing, name)) {
		en->name = name;
		return check_copy(c, en, name);
	}
	if (!check_is_coffers(c, en->dir, en->backing, &en->st)) {
		en->done = true;
		return check_say_entry(c, en, (struct check_kind){CHECK_NOTE, "stray", false},
				       "not made by coffer; the mount does not show it");
	}
	if (check_looks_like_a_name(en->backing) && en->backing[0] == '~')
		return check_long(c, en, name);
	return check_unreadable(c, en, "name", "the name is none of this directory: damaged, or moved here below");
}

/* ------------------------------------------------------------------ the format's own names */

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* Sets aside what is not needed any more, if it is so; says so. */
static int leftover(struct check *c, struct check_dir *d, const char *backing, const char *kind, const char *what,
		    bool unneeded)
{
	char aside[NAME_MAX + 1];
	int r = c->repair && unneeded ? repair_set_aside(c, d->node->fd, backing, aside) : -EROFS;

	return check_say(c, d, backing, NULL, (struct check_kind){CHECK_NOTE, kind, r == 0}, "%s%s", what,
			 r == 0        ? "; moved to .coffer/lost/"
			 : !unneeded   ? ""
			 : r == -EROFS ? "; --repair moves it to .coffer/lost/"
				       : "; it cannot be moved to .coffer/lost/");
}

static bool same_text(struct check *c, struct check_dir *d, const char *a, const char *b)
{
	char text_a[FULL_NAME_MAX + 2], text_b[FULL_NAME_MAX + 2];

	return names_read_text(c->e, d->node->fd, a, text_a, sizeof text_a) >= 0 &&
	       names_read_text(c->e, d->node->fd, b, text_b, sizeof text_b) >= 0 && strcmp(text_a, text_b) == 0;
}

/* A second `.coffer-dir`, made by a sync client: the only copy there may be of a lost id. */
static int check_record_copy(struct check *c, struct check_dir *d, const char *backing)
{
	struct directory_record record;
	char text[DIRECTORY_RECORD_TEXT + 2];
	ssize_t n = names_read_text(c->e, d->node->fd, backing, text, sizeof text);

	if (!d->has_id && n >= 0 && directory_record_accept(worker_keys(c->e), text, (size_t)n, &record) == 0)
		check_candidate(&d->candidates, record.id);
	return leftover(c, d, backing, "conflict", "a conflict copy of the directory's id",
			same_text(c, d, backing, DIRECTORY_RECORD_NAME));
}

/* ~HASH.n without ~HASH, or what a sync client made of one. */
static int check_sidecar(struct check *c, struct check_dir *d, const char *backing)
{
	char entry[LONG_NAME_SIZE + 1], sidecar[NAME_MAX + 1];
	size_t i;

	snprintf(entry, sizeof entry, "%.*s", LONG_NAME_SIZE, backing);
	snprintf(sidecar, sizeof sidecar, "%s" SIDECAR_SUFFIX, entry);
	if (strlen(entry) != LONG_NAME_SIZE || !check_looks_like_a_name(entry))
		return leftover(c, d, backing, "stray", "not made by coffer", false);
	if (strcmp(backing, sidecar) != 0)
		return leftover(c, d, backing, "conflict", "a conflict copy of a long name's sidecar",
				same_text(c, d, backing, sidecar));
	if (check_list_has(&d->entries, entry))
		return 0;
	/* A conflict copy of the entry needs it, too; a repair of that has made its own. */
	for (i = check_list_first(&d->entries, entry); i < d->entries.count && begins(d->entries.names[i], entry);
	     i++) {
		struct store_stat st;

		if (!names_is_ours(d->entries.names[i]) &&
		    store_stat_at(c->e->store, d->node->fd, d->entries.names[i], &st) == 0)
			return 0;
	}
	return leftover(c, d, backing, "sidecar", "a sidecar of a long name that does not exist", true);
}

int check_own_name(struct check *c, struct check_dir *d, const char *backing)
{
	size_t n = strlen(backing);

	if (c->names_only || strcmp(backing, DIRECTORY_RECORD_NAME) == 0)
		return 0;
	if (begins(backing, DIRECTORY_RECORD_NAME))
		return check_record_copy(c, d, backing);
	if (begins(backing, ".coffer-new-"))
		return leftover(c, d, backing, "leftover", "a directory whose making was interrupted", true);
	if (begins(backing, ".coffer-tmp-"))
		return leftover(c, d, backing, "leftover", "a temporary file of an interrupted change", true);
	if (backing[0] == '~' && n > strlen(SIDECAR_SUFFIX))
		return check_sidecar(c, d, backing);
	return leftover(c, d, backing, "stray", "not made by coffer; the mount does not show it", false);
}
