/* What time brings to keys (due.h). */
#include "keymgr/service/due.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/service/kek.h"
#include "util/base/log.h"

enum { TOGETHER = 64 }; /* keys that share a commit */

typedef char due_name[KEK_NAME_MAX + 1];

/* Found in one walk and dealt with in another: a walk must not see what it changes. */
struct due {
	struct ledger *l;
	due_name *names;
	size_t count, room;
};

static int add(struct due *due, const char *name)
{
	if (due->count == due->room) {
		size_t room = due->room ? due->room * 2 : TOGETHER;
		due_name *more = reallocarray(due->names, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		due->names = more;
		due->room = room;
	}
	snprintf(due->names[due->count++], sizeof(due_name), "%s", name);
	return 0;
}

static int find(void *context, const char *row)
{
	struct due *due = context;
	_cleanup_(kek_free) struct kek k = {0};

	/* A damaged row, of which the ledger has spoken, does not hold up the others. */
	if (kek_get(due->l, strchr(row, '/') + 1, &k) < 0 || kek_due(&k) == KEK_NOTHING_DUE)
		return 0;
	return add(due, k.name);
}

static int act(struct ledger *l, const struct service_keys *keys, const char *name)
{
	_cleanup_(kek_free) struct kek k = {0};
	_cleanup_json_ json_object *o = json_object_new_object();
	int ret = kek_get(l, name, &k);
	enum kek_due due = ret == 0 ? kek_due(&k) : KEK_NOTHING_DUE;

	if (ret < 0 || due == KEK_NOTHING_DUE)
		return ret;
	ret = due == KEK_PURGE_DUE ? kek_purge(l, &k) : kek_rotate(l, keys, &k);
	if (ret == 0)
		ret = o ? put_string(o, "event", due == KEK_PURGE_DUE ? "key.purge" : "key.rotate") : -ENOMEM;
	if (ret == 0)
		ret = put_string(o, "key", name);
	if (ret == 0)
		ret = put_number(o, "version", k.latest);
	return ret == 0 ? ledger_note(l, o) : ret;
}

void due_run(struct ledger *l, const struct service_keys *keys)
{
	struct due due = {.l = l};
	int ret = ledger_each(l, "key/", find, &due);

	for (size_t i = 0; ret == 0 && i < due.count; i++) {
		const struct ledger_mark mark = ledger_mark(l);
		int result = act(l, keys, due.names[i]);

		if (result < 0) {
			ledger_back(l, &mark);
			log_error("cannot do what is due to key %s: %s", due.names[i], strerror(-result));
		}
		if (i % TOGETHER == TOGETHER - 1 || i + 1 == due.count)
			ret = ledger_commit(l);
	}
	if (ret < 0)
		log_error("cannot do what is due to the keys: %s", strerror(-ret));
	free(due.names);
}
