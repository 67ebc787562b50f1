/* service backup: a backup that the key service makes of itself, now, where its administrators have said (coffer-keyd run --backup-every). */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "util/cli/service.h"

enum { WAIT_S = 60, LOOKS_PER_S = 4 };

/* 0: not yet. */
static int look(struct service_work *w, uint64_t line, struct service_answer *a, struct fault *why)
{
	json_object *last, *lines;

	int r = service_do(w, SERVICE_GET, NULL, a, why, "status");
	if (r < 0)
		return r;
	if (json_object_object_get_ex(a->body, "last_backup", &last) &&
	    json_object_object_get_ex(last, "lines", &lines) && json_object_get_uint64(lines) >= line)
		return 1;
	/* Asking has taken the mark of an earlier failure away. */
	return strcmp(service_text(a->body, "backup_failing"), "true") != 0
		       ? 0
		       : fault_set(why, EXIT_FAILED, EIO,
				   "the key service could not make the backup; its log says why");
}

static void report(const struct service_work *w, json_object *status)
{
	json_object *last;

	json_object_object_get_ex(status, "last_backup", &last);
	if (w->json)
		json_print(json_object_get(last));
	else
		printf("the key service has made the backup %s: %s lines of the log\n", service_text(last, "file"),
		       service_text(last, "lines"));
}

int cmd_service_backup(const struct verb *v, int argc, char **argv, struct fault *why)
{
	const struct timespec pause = {.tv_nsec = 1000000000 / LOOKS_PER_S};
	_cleanup_service_work_ struct service_work w = {0};
	_cleanup_service_answer_ struct service_answer asked = {0};
	int wait = WAIT_S;
	const struct option_spec specs[] = {OPTIONS_SERVICE(&w), {OPTION_NUMBER, 0, 0, "wait", &wait}, {0}};
	json_object *line;
	struct words words;

	int r = options_parse(v, argc, argv, specs, 0, 0, &words, why);
	if (r)
		return r;
	r = service_begin(&w, why);
	if (r == 0)
		r = service_do(&w, SERVICE_POST, NULL, &asked, why, "backup");
	if (r < 0)
		return r;
	if (!json_object_object_get_ex(asked.body, "line", &line))
		return fault_set(why, EXIT_FAILED, EPROTO, "the key service answered without a line");
	for (int left = wait > INT_MAX / LOOKS_PER_S ? INT_MAX : wait * LOOKS_PER_S;; left--) {
		_cleanup_service_answer_ struct service_answer a = {0};

		r = look(&w, json_object_get_uint64(line), &a, why);
		if (r > 0)
			report(&w, a.body);
		if (r)
			return r < 0 ? r : 0;
		if (left <= 0)
			return fault_set(why, EXIT_FAILED, ETIMEDOUT,
					 "the key service was asked, and has not finished the backup within %d s",
					 wait);
		nanosleep(&pause, NULL);
	}
}
