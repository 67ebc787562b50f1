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
static int walk(struct check *c)
{
	int r = check_beside(c);

	if (r == 0)
		r = check_walk(c, check_directory);
	if (r == 0)
		r = check_lost_directories(c);
	if (r == 0)
		r = check_link_bodies(c);
	if (r == 0)
		r = check_leftovers(c);
	return r == 0 ? check_doubled(c) : r;
}

static void forget(struct check *c)
{
	for (size_t i = 0; i < c->lost_count; i++)
		free(c->lost[i].path);
	for (size_t i = 0; i < c->doubled_count; i++)
		free(c->doubled[i].path);
	free(c->lost);
	free(c->doubled);
	free(c->files.slots);
	free(c->directories.slots);
	free(c->bodies.slots);
	free(c->gone.slots);
}

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
	must(walk(&c), "check", NULL);
	errors = (unsigned)report.errors;
	for (size_t i = report.count; i-- > 0;)
		if (report.list[i].severity == CHECK_ERROR)
			snprintf(text, size, "check: %s: %s", report.list[i].path, report.list[i].text);
	forget(&c);
	engine_stop(&c.e);
	check_report_free(&report);
	store_close(c.opened.store, c.opened.dot);
	store_close(c.opened.store, c.opened.data);
	return errors;
}
