/* audit show, verify, export. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/audit.h"
#include "keymgr/host_memory.h"
#include "util/cli/key.h"
#include "util/cli/options.h"

static int verify(struct key_work *w, void (*each)(void *context, const char *line, size_t n, bool good), void *context,
		  struct audit_report *report, struct fault *why)
{
	struct host_memory *m = NULL;
	struct audit_link known = {0};

	int r = host_memory_open(keyring_settings(w->volume.keyring)->volume_id, &m, why);
	if (r < 0)
		return r;
	if (m)
		host_memory_audit(m, w->volume.keyring, &known);
	host_memory_close(&m);
	return audit_verify(w->volume.store, w->volume.dot, w->volume.keyring, &known, each, context, report, why);
}

/* more: an option of the verb's own, or {0}. */
static int open_work(const struct verb *v, int argc, char **argv, struct option_spec more, struct key_work *w,
		     struct fault *why)
{
	const struct option_spec specs[] = {
		OPTIONS_UNLOCK(&w->unlock), {OPTION_FLAG, 0, 0, "json", &w->json}, more, {0}};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	return r ? r : key_open(w, words.at[0], why);
}

/* ------------------------------------------------------------------ show */

static const char *text_of(json_object *o, const char *name)
{
	json_object *value;

	return json_object_object_get_ex(o, name, &value) ? json_object_get_string(value) : "";
}

/* Members that have a column, or say nothing to people. */
static bool is_plain(const char *name)
{
	static const char *const names[] = {"n",    "at",       "event", "uid",     "user", "login",
					    "host", "terminal", "pid",   "command", "mac"};

	for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static void show_line(void *context, const char *line, size_t n, bool good)
{
	struct json_tokener *tokener = json_tokener_new();
	json_object *o = tokener ? json_tokener_parse_ex(tokener, line, (int)n) : NULL;

	(void)context;
	if (o) {
		printf("%5s  %s  %-17s", text_of(o, "n"), text_of(o, "at"), text_of(o, "event"));
		json_object_object_foreach(o, name, value)
		{
			if (!is_plain(name))
				printf(" %s=%s", name, json_object_get_string(value));
		}
		printf("  by %s on %s (%s)%s\n", *text_of(o, "user") ? text_of(o, "user") : text_of(o, "uid"),
		       text_of(o, "host"), text_of(o, "command"), good ? "" : "  NOT AS WRITTEN");
	}
	json_object_put(o);
	if (tokener)
		json_tokener_free(tokener);
}

static void collect_line(void *context, const char *line, size_t n, bool good)
{
	struct json_tokener *tokener = json_tokener_new();
	json_object *o = tokener ? json_tokener_parse_ex(tokener, line, (int)n) : NULL;

	if (o) {
		json_add_bool(o, "good", good);
		json_object_array_add(context, o);
	}
	if (tokener)
		json_tokener_free(tokener);
}

int cmd_key_audit_show(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_key_work_ struct key_work w = KEY_WORK_NONE;
	struct audit_report report = {0};

	int r = open_work(v, argc, argv, (struct option_spec){0}, &w, why);
	if (r)
		return r;
	json_object *list = w.json ? json_object_new_array() : NULL;
	r = verify(&w, w.json ? collect_line : show_line, list, &report, why);
	if (list)
		json_print(list);
	return r;
}

/* ------------------------------------------------------------------ verify */

int cmd_key_audit_verify(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_key_work_ struct key_work w = KEY_WORK_NONE;
	struct audit_report report = {0};

	int r = open_work(v, argc, argv, (struct option_spec){0}, &w, why);
	if (r)
		return r;
	r = verify(&w, NULL, NULL, &report, why);
	if (r < 0 && r != -EBADMSG)
		return r;
	if (w.json) {
		json_object *o = json_object_new_object();

		json_add_bool(o, "intact", r == 0);
		json_add_number(o, "lines", report.lines);
		json_add_number(o, "torn", report.torn);
		json_add_number(o, "problems", report.problems);
		json_add_text(o, "first_problem", report.problem);
		json_print(o);
	} else if (r == 0) {
		printf("%" PRIu64 " lines, as they were written\n", report.lines);
		if (report.torn)
			printf("%" PRIu64 " of them stand behind a piece that a crash left\n", report.torn);
	}
	return r;
}

/* ------------------------------------------------------------------ export */

static void export_line(void *context, const char *line, size_t n, bool good)
{
	(void)good;
	fwrite(line, 1, n, context);
	fputc('\n', context);
}

static int export_to(const char *file, struct key_work *w, struct fault *why)
{
	struct audit_report report = {0};
	int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	FILE *to = fd < 0 ? NULL : fdopen(fd, "w");

	if (!to)
		return fault_errno(why, EXIT_FAILED, -errno, "cannot make %s", file);
	int r = verify(w, export_line, to, &report, why);
	if ((fflush(to) != 0 || fsync(fd) < 0 || ferror(to)) && r == 0)
		r = fault_errno(why, EXIT_FAILED, errno ? -errno : -EIO, "cannot write %s", file);
	fclose(to);
	if (r == 0 && w->json) {
		json_object *o = json_object_new_object();

		json_add_text(o, "file", file);
		json_add_number(o, "lines", report.lines);
		json_print(o);
	}
	return r;
}

int cmd_key_audit_export(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_key_work_ struct key_work w = KEY_WORK_NONE;
	const char *file = NULL;
	const struct option_spec more = {OPTION_TEXT, 'o', 0, "output", &file};
	struct audit_report report = {0};

	int r = open_work(v, argc, argv, more, &w, why);
	if (r)
		return r;
	return file ? export_to(file, &w, why) : verify(&w, export_line, stdout, &report, why);
}
