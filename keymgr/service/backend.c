/* What implementations of the store share (backend.h). */
#include "keymgr/service/backend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int row_copy(const struct row *from, struct row *to)
{
	*to = *from;
	to->body = malloc(from->size + 1);
	if (!to->body)
		return -ENOMEM;
	memcpy(to->body, from->body, from->size);
	to->body[from->size] = '\0';
	return 0;
}

int row_take_if_wanted(void *wanted, const struct row *r)
{
	const struct row_wanted *w = wanted;
	int ret = strcmp(r->name, w->name) == 0 ? row_copy(r, w->out) : 1;

	return ret < 0 ? ret : ret == 0 ? -ECANCELED : 0;
}
