#include <errno.h>
#include <string.h>

#include "fs/check.h"

static void count(struct check_report *r, const struct check_finding *f)
{
	if (f->repaired)
		r->repaired++;
	else if (f->severity == CHECK_ERROR)
		r->errors++;
	else if (f->severity == CHECK_WARNING)
		r->warnings++;
	else
		r->notes++;
}

int check_report_add(struct check_report *r, const struct check_finding *f)
{
	count(r, f);
	if (r->count == CHECK_FINDINGS_MAX)
		return 0;
	if (r->count == r->room) {
		size_t room = r->room ? 2 * r->room : 64;
		struct check_finding *list = reallocarray(r->list, room, sizeof *list);
		if (!list)
			return -ENOMEM;
		r->list = list;
		r->room = room;
	}
	struct check_finding copy = *f;
	copy.path = strdup(f->path);
	copy.text = strdup(f->text);
	if (!copy.path || !copy.text) {
		free(copy.path);
		free(copy.text);
		return -ENOMEM;
	}
	r->list[r->count++] = copy;
	return 0;
}

void check_report_free(struct check_report *r)
{
	for (size_t i = 0; i < r->count; i++) {
		free(r->list[i].path);
		free(r->list[i].text);
	}
	free(r->list);
	*r = (struct check_report){0};
}
