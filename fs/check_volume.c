/* What lies beside the tree: the second copies, the volume's own directories, and what does not belong there. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "fs/check_internal.h"
#include "fs/names.h"
#include "fs/worker.h"
#include "util/base/atomic_file.h"

/* ------------------------------------------------------------------ second copies */

static const char *why_unreadable(int error)
{
	switch (error) {
	case -ENOENT:
		return "is missing";
	case -ELOOP:
		return "is not a regular file";
	case -EMLINK:
		return "has more than one hard link";
	default:
		return strerror(-error);
	}
}

static int mend_copies(struct check *c, bool is_keyring)
{
	struct fault why = {.status = EXIT_OK};
	struct keyring_change *change;
	int r;

	if (!is_keyring)
		return keyring_mend_settings(c->opened.store, c->opened.dot, c->opened.keyring, &why);
	r = keyring_change_begin(c->opened.store, c->opened.dot, c->opened.keyring, &change, &why);
	return r < 0 ? r : keyring_change_commit(&change, &why);
}

static int check_copies(struct check *c, const char *kind, const char *first, const char *second)
{
	_cleanup_free_ char *a = NULL, *b = NULL;
	struct check_kind k = {CHECK_WARNING, kind, false};
	size_t size_a = 0, size_b = 0;
	int read_a =
		atomic_file_read(c->opened.store, c->opened.dot, first + strlen(".coffer/"), KEYRING_MAX, &a, &size_a);
	int read_b =
		atomic_file_read(c->opened.store, c->opened.dot, second + strlen(".coffer/"), KEYRING_MAX, &b, &size_b);

	if (read_a == 0 && read_b == 0 && size_a == size_b && memcmp(a, b, size_a) == 0)
		return 0;
	/* One of them opened, or there would be no check. */
	k.repaired = c->repair && mend_copies(c, strcmp(kind, "keyring") == 0) == 0;
	if (read_a < 0 || read_b < 0)
		return check_say_volume(
			c, read_a < 0 ? first : second, k, "%s; %s", why_unreadable(read_a < 0 ? read_a : read_b),
			k.repaired ? "written again" : "there is one copy only: --repair writes it again");
	return check_say_volume(c, second, k, "differs from %s: one of them is damaged, or an older one; %s", first,
				k.repaired ? "both written again" : "--repair writes both again");
}

/* ------------------------------------------------------------------ names that belong there */

static bool is_one_of(const char *name, const char *const *list)
{
	while (*list && strcmp(name, *list) != 0)
		list++;
	return *list;
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* Empty directories and files of interrupted work; what is not empty stays. */
static int remove_any(struct check *c, int dir, const char *name)
{
	int r = c->e->store->ops->unlink(c->e->store, dir, name);

	return r == -EISDIR || r == -EPERM ? c->e->store->ops->rmdir(c->e->store, dir, name) : r;
}

static int leftover(struct check *c, int dir, const char *where, const char *name, const char *what)
{
	char path[64 + NAME_MAX];
	struct check_kind k = {CHECK_NOTE, "leftover", c->repair && remove_any(c, dir, name) == 0};

	snprintf(path, sizeof path, "%s%s", where, name);
	return check_say_volume(c, path, k, "%s%s", what, k.repaired ? "; removed" : "; --repair removes it");
}

static int check_dot_entry(struct check *c, const char *name)
{
	static const char *const known[] = {"volume.json",
					    "volume.json.bak",
					    "keyring.json",
					    "keyring.json.bak",
					    "keyring.lock",
					    "lock",
					    "journal",
					    "audit.log",
					    "links",
					    "open",
					    "gone",
					    "lost",
					    NULL};
	char path[64 + NAME_MAX];

	if (is_one_of(name, known))
		return 0;
	if (begins(name, ATOMIC_FILE_PREFIX) || begins(name, ".coffer-probe-") || strcmp(name, "journal.new") == 0)
		return leftover(c, c->opened.dot, ".coffer/", name, "left by interrupted work");
	snprintf(path, sizeof path, ".coffer/%s", name);
	if (begins(name, "keyring"))
		return check_say_volume(c, path, (struct check_kind){CHECK_NOTE, "conflict", false},
					"a copy of the keyring that coffer did not make: it opens the "
					"volume with what opened it then; remove it");
	if (begins(name, "volume") || begins(name, "journal"))
		return check_say_volume(c, path, (struct check_kind){CHECK_NOTE, "conflict", false},
					"a copy that coffer did not make and does not use; remove it");
	return check_say_volume(c, path, (struct check_kind){CHECK_NOTE, "stray", false}, "not made by coffer");
}

static int check_dot(struct check *c)
{
	_cleanup_(check_list_free) struct check_list list = {0};
	int r = check_list_read(c->e, c->opened.dot, &list);

	for (size_t i = 0; i < list.count && r == 0; i++)
		r = check_dot_entry(c, list.names[i]);
	return r;
}

static int check_top(struct check *c)
{
	_cleanup_(check_list_free) struct check_list list = {0};
	int top = store_open(c->opened.store, c->opened.dot, "..", O_RDONLY | O_DIRECTORY, 0);
	int r = top < 0 ? top : check_list_read(c->e, top, &list);

	for (size_t i = 0; i < list.count && r == 0; i++)
		if (strcmp(list.names[i], ".coffer") != 0 && strcmp(list.names[i], "data") != 0)
			r = check_say_volume(c, list.names[i], (struct check_kind){CHECK_NOTE, "stray", false},
					     "not made by coffer, and not encrypted by it");
	store_close(c->opened.store, top);
	return r;
}

/* ------------------------------------------------------------------ open/ gone/ lost/ */

/* The ids of directories that were being removed when the machine stopped: one of them may have to be put back. */
static int read_gone(struct check *c)
{
	_cleanup_(check_list_free) struct check_list list = {0};
	struct directory_record record;
	char text[DIRECTORY_RECORD_TEXT + 2];
	uint64_t before;
	int r = c->e->gone_dir < 0 ? 0 : check_list_read(c->e, c->e->gone_dir, &list);

	for (size_t i = 0; i < list.count && r == 0; i++) {
		ssize_t n = names_read_text(c->e, c->e->gone_dir, list.names[i], text, sizeof text);

		if (n >= 0 && directory_record_accept(worker_keys(c->e), text, (size_t)n, &record) == 0)
			r = check_ids_add(&c->gone, record.id, 1, &before);
	}
	return r;
}

static int sweep(struct check *c, int fd, const char *where, const char *what, bool keep)
{
	_cleanup_(check_list_free) struct check_list list = {0};
	char path[64 + NAME_MAX];
	int r = fd < 0 ? 0 : check_list_read(c->e, fd, &list);

	for (size_t i = 0; i < list.count && r == 0; i++) {
		if (!keep) {
			r = leftover(c, fd, where, list.names[i], what);
			continue;
		}
		snprintf(path, sizeof path, "%s%s", where, list.names[i]);
		r = check_say_volume(c, path, (struct check_kind){CHECK_NOTE, "leftover", false}, "%s; kept", what);
	}
	return r;
}

static int count_lost(struct check *c)
{
	_cleanup_(check_list_free) struct check_list list = {0};
	int fd = store_open(c->opened.store, c->opened.dot, "lost", O_RDONLY | O_DIRECTORY, 0);
	int r = fd < 0 ? (fd == -ENOENT ? 0 : fd) : check_list_read(c->e, fd, &list);

	store_close(c->opened.store, fd);
	if (r < 0 || list.count == 0)
		return r;
	return check_say_volume(c, ".coffer/lost", (struct check_kind){CHECK_NOTE, "lost", false},
				"holds %zu names that were set aside; remove what you do not miss", list.count);
}

/* ------------------------------------------------------------------ in order */

int check_beside(struct check *c)
{
	int r = check_copies(c, "keyring", ".coffer/keyring.json", ".coffer/keyring.json.bak");

	if (r == 0)
		r = check_copies(c, "settings", ".coffer/volume.json", ".coffer/volume.json.bak");
	if (r == 0)
		r = check_top(c);
	if (r == 0)
		r = check_dot(c);
	return r == 0 ? read_gone(c) : r;
}

int check_leftovers(struct check *c)
{
	int r = sweep(c, c->e->open_dir, ".coffer/open/", "a file that was removed while it was open", false);

	/* While a directory without an id is left, one of these may be its own. */
	if (r == 0)
		r = sweep(c, c->e->gone_dir, ".coffer/gone/", "the id of a removed directory", c->keep_gone);
	return r == 0 ? count_lost(c) : r;
}
