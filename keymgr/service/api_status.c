/* The API's calls about the service itself: its state, and the administrator's page. */
#include <errno.h>
#include <string.h>

#include "keymgr/service/api_internal.h"
#include "keymgr/service/page.h"
#include "keymgr/service/schedule.h"

int api_status(struct call *c)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	json_object *backup;
	int ret = o ? put_number(o, "log_last", ledger_last(c->api->ledger)) : -ENOMEM;

	if (ret == 0)
		ret = put_value(o, "backup_failing", json_object_new_boolean(c->api->backup_failing));
	if (ret < 0)
		return ret;
	ret = ledger_get(c->api->ledger, ROW_BACKUP, &backup);
	if (ret == 0)
		ret = put_value(o, "last_backup", backup);
	return ret == 0 || ret == -ENOENT ? answer_json(c->answer, 200, o) : ret;
}

int api_backup(struct call *c)
{
	static const char *const members[] = {NULL};
	_cleanup_json_ json_object *o = NULL;
	int ret;

	if (!call_members(c, members, &ret))
		return ret;
	if (!c->api->backups)
		return call_refuse(c, 409, "no_backups", "this service was not told where to put backups of itself");
	ret = call_note(c, "backup.ask", NULL);
	o = json_object_new_object();
	/* What is staged now is in a backup that has more than what is there. */
	if (ret == 0)
		ret = o ? put_number(o, "line", ledger_last(c->api->ledger) + 1) : -ENOMEM;
	if (ret == 0)
		ret = answer_json(c->answer, 202, o);
	if (ret < 0)
		return ret;
	c->api->backup_wanted = true;
	c->api->backup_failing = false;
	return 0;
}

int api_page(struct call *c)
{
	int ret = answer_room(c->answer, 200, c->page->size);

	if (ret == 0) {
		memcpy(c->answer->text, c->page->bytes, c->page->size);
		c->answer->type = c->page->type;
	}
	return ret;
}
