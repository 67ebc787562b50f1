#include <stdlib.h>
#include <string.h>

#include "fs/check_internal.h"
#include "volume.h"

static void must(int r, const char *what, const struct fault *why)
{
	if (r >= 0)
		return;
	fprintf(stderr, "%s: %s %s\n", what, strerror(-r), why ? why->text : "");
	abort();
}

/* What check_run does, on another store and without mending. */
unsigned volume_check(const struct base *b, struct crash_store *cs, char *text, size_t size)
{
	struct engine_options eo = {.read_only = true, .inspect = true};
	struct check_options o = {.deep = true};
	struct check_report report = {0};
	struct check c = {.o = &o, .report = &report, .lost_fd = -1};
	struct fault why = {0};
	unsigned errors;
	int r;

	c.opened.store = crash_store_ops(cs);
	c.opened.keyring = b->keyring;
	c.opened.keys = b->keys;
	must(volume_open_dir(c.opened.store, BASE_VOLUME, &c.opened.dot, &c.opened.data, &why), "open", &why);
	r = engine_start(c.opened.store, c.opened.dot, c.opened.data, &b->settings, keyring_root_directory(b->keyring),
			 b->keys, &eo, &c.e, &why);
	must(r, "start of the check", &why);
	must(check_volume(&c), "check", NULL);
	errors = (unsigned)report.errors;
	for (size_t i = report.count; i-- > 0;)
		if (report.list[i].severity == CHECK_ERROR)
			snprintf(text, size, "check: %s: %s", report.list[i].path, report.list[i].text);
	check_forget(&c);
	engine_stop(&c.e);
	check_report_free(&report);
	store_close(c.opened.store, c.opened.dot);
	store_close(c.opened.store, c.opened.data);
	return errors;
}
