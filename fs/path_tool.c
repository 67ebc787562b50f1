#include "fs/path_tool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/directory.h"
#include "fs/names.h"
#include "fs/node.h"
#include "fs/opened.h"

/* The entry of a directory by its plain or its backing name; both forms come out. */
static int step(struct engine *e, uint64_t *at, const char *component, bool decrypt, char out[NAME_MAX + 1])
{
	struct backing_name b;
	struct store_stat st;
	struct node *dir;
	int r = directory_begin(e, *at, DIR_READ, &dir);

	if (r < 0)
		return r;
	if (decrypt) {
		snprintf(b.name, sizeof b.name, "%s", component);
		r = store_stat_at(e->store, dir->fd, component, &st);
		if (r == 0)
			r = names_decrypt(e, dir, component, out);
	} else {
		r = names_lookup(e, dir, component, &b, &st);
		if (r == 0)
			strcpy(out, b.name);
	}
	if (r == 0) {
		struct node *n = node_enter(e, dir, b.name, &st, true);

		r = n ? 0 : -ENOMEM;
		if (n)
			*at = n->id;
		node_unref(e, n);
	}
	directory_end(e, dir);
	return r;
}

static int walk(struct engine *e, const char *path, bool decrypt, char **out, struct fault *why)
{
	_cleanup_free_ char *copy = strdup(path);
	uint64_t at = ROOT_NODE;
	char *rest = copy, *component;

	*out = strdup("");
	if (!copy || !*out)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory");
	while ((component = strsep(&rest, "/"))) {
		char name[NAME_MAX + 1], *longer;
		int r = *component ? step(e, &at, component, decrypt, name) : 0;

		if (!*component)
			continue;
		if (r == -EBADMSG)
			return fault_set(why, EXIT_FAILED, EBADMSG,
					 "%s does not decrypt: it is no name of this directory", component);
		if (r < 0)
			return fault_errno(why, EXIT_FAILED, r, "%s", component);
		if (asprintf(&longer, "%s%s%s", *out, **out ? "/" : "", name) < 0)
			return fault_set(why, EXIT_FAILED, ENOMEM, "no memory");
		free(*out);
		*out = longer;
	}
	return 0;
}

int volume_path(const char *dir, const struct unlock_source *unlock, const char *path, bool decrypt, char **out,
		struct fault *why)
{
	struct engine_options eo = {.read_only = true, .inspect = true};
	struct opened opened;
	struct engine *e = NULL;
	int r = opened_start(dir, unlock, OPENED_UNLOCKED, &opened, why);

	*out = NULL;
	if (r < 0)
		return r;
	r = engine_start(opened.store, opened.dot, opened.data, keyring_settings(opened.keyring),
			 keyring_root_directory(opened.keyring), opened.keys, &eo, &e, why);
	if (r == 0) {
		r = walk(e, path, decrypt, out, why);
		engine_stop(&e);
	}
	opened_stop(&opened);
	if (r < 0) {
		free(*out);
		*out = NULL;
	}
	return r;
}
