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

int api_page(struct call *c)
{
	int ret = answer_room(c->answer, 200, c->page->size);

	if (ret == 0) {
		memcpy(c->answer->text, c->page->bytes, c->page->size);
		c->answer->type = c->page->type;
	}
	return ret;
}
