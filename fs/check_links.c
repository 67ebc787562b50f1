#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/check_internal.h"
#include "fs/names.h"
#include "fs/symlink.h"
#include "fs/zone.h"
#include "util/base/encode.h"

enum { BODY_ID = 16 };

static int note_body(struct check *c, const char *text)
{
	char name[LINK_BODY_NAME + 1];
	uint8_t id[BODY_ID];
	uint64_t before;

	if (!symlink_body(c->e, text, name) || base64url_decode(name, LINK_BODY_NAME, id, sizeof id) < 0)
		return 0;
	return check_ids_add(&c->bodies, id, 1, &before);
}

int check_symlink(struct check *c, struct check_entry *en)
{
	char text[LINK_TEXT_MAX], target[LINK_TARGET_MAX], body[LINK_BODY_NAME + 1];
	ssize_t n = c->e->store->ops->readlink(c->e->store, en->dir->node->fd, en->backing, text, sizeof text - 1);
	bool too_long = n == sizeof text - 1;
	int r;

	c->report->symlinks++;
	if (n < 0) {
		c->partial = true;
		return check_say_entry(c, en, check_store_kind((int)n), "the link cannot be read: %s",
				       strerror((int)-n));
	}
	text[n] = 0;
	c->report->bytes += (uint64_t)n;
	n = too_long ? -EBADMSG : symlink_open(c->e, zone_of(c->e, en->dir->node), text, target);
	r = n == -ENOMEM ? -ENOMEM : note_body(c, text);
	if (r < 0 || n >= 0)
		return r;
	c->partial = true;
	if (n == -ENOKEY)
		return check_say_entry(c, en, (struct check_kind){CHECK_WARNING, "generation", false},
				       "the link is under a generation that is suspended");
	if (symlink_body(c->e, text, body))
		return check_say_entry(c, en, (struct check_kind){CHECK_ERROR, "link-body", false},
				       "its target, .coffer/links/%s, is missing or does not authenticate", body);
	return check_unreadable(c, en, "symlink", "the target of the symbolic link does not authenticate");
}

/* A body that nothing names is what a crash between making it and its link leaves.  It goes only if every link was read. */
static int check_body(struct check *c, const char *name, bool unneeded)
{
	struct check_kind k = {CHECK_NOTE, "link-body", false};
	char path[64 + NAME_MAX], aside[NAME_MAX + 1];
	uint8_t id[BODY_ID];
	int r = -EBUSY;

	snprintf(path, sizeof path, ".coffer/links/%s", name);
	if (strlen(name) != LINK_BODY_NAME || base64url_decode(name, LINK_BODY_NAME, id, sizeof id) != BODY_ID) {
		k.kind = "stray";
		return check_say_volume(c, path, k, "not made by coffer");
	}
	if (check_ids_find(&c->bodies, id))
		return 0;
	if (c->repair && unneeded)
		r = repair_set_aside(c, c->e->links_dir, name, aside);
	k.repaired = r == 0;
	return check_say_volume(c, path, k, "no symbolic link names this target%s",
				r == 0                   ? "; moved to .coffer/lost/"
				: c->repair && !unneeded ? "; kept, since not every link could be read"
							 : "; --repair moves it to .coffer/lost/");
}

int check_link_bodies(struct check *c)
{
	_cleanup_(check_list_free) struct check_list list = {0};
	bool unneeded = !c->partial;
	int r;

	if (c->e->links_dir < 0)
		return 0;
	r = check_list_read(c->e, c->e->links_dir, &list);
	for (size_t i = 0; i < list.count && r == 0; i++)
		r = check_body(c, list.names[i], unneeded);
	return r;
}
