#include "util/cli/lost.h"

#include <fcntl.h>
#include <string.h>

json_object *lost_names(const struct cli_volume *v, uint64_t *count)
{
	_Alignas(8) uint8_t buf[16384];
	struct store *s = v->store;
	int dir = store_open(s, v->dot, "lost", O_RDONLY | O_DIRECTORY, 0);
	json_object *list = json_object_new_array();
	struct store_dirent d;
	int64_t cookie = 0;
	ssize_t used;

	*count = 0;
	while (dir >= 0 && (used = s->ops->getdents(s, dir, cookie, buf, sizeof buf)) > 0) {
		size_t at = 0;

		while (store_dirent_next(buf, (size_t)used, &at, &d)) {
			cookie = d.next;
			if (strcmp(d.name, ".") == 0 || strcmp(d.name, "..") == 0)
				continue;
			if ((*count)++ < LOST_SHOWN)
				json_object_array_add(list, json_object_new_string(d.name));
		}
	}
	store_close(s, dir);
	return list;
}
