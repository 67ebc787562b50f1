#include "util/cli/cmd_check.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "util/base/log.h"
#include "util/base/progress.h"
#include "util/cli/options.h"
#include "util/cli/output.h"

static const char *const severities[] = {"note", "warning", "error"};

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

/* From here on, and not while a passphrase is typed or the journal is brought in place (which may end anywhere), a signal ends the check
 * between two objects. */
static void catch_signals(void)
{
	static bool done;
	struct sigaction action = {.sa_handler = stop, .sa_flags = SA_RESTART | (int)SA_RESETHAND};

	if (done)
		return;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	done = true;
}

static bool show_progress(void *data, uint64_t done, uint64_t total)
{
	struct progress *p = data;

	catch_signals();
	p->total = total;
	progress_update(p, done);
	return !stopped;
}

int check_with_progress(struct check_options *o, struct check_report *report, struct fault *why)
{
	struct progress progress;

	int r = secrets_start(why);
	if (r < 0)
		return r;
	progress_start(&progress, "checking", PROGRESS_BYTES, 0);
	o->progress = show_progress;
	o->data = &progress;
	r = check_run(o, report, why);
	progress_end(&progress);
	return r;
}

int check_exit_status(const struct check_report *report, int r, const struct fault *why)
{
	if (r >= 0)
		return (report->repaired ? FSCK_CORRECTED : 0) | (report->errors ? FSCK_UNCORRECTED : 0);
	if (r == -ECANCELED)
		return FSCK_CANCELED;
	if (why->status == EXIT_USAGE)
		return FSCK_USAGE;
	return why->status == EXIT_DAMAGED ? FSCK_UNCORRECTED : FSCK_OPERATIONAL;
}

static void print_finding(const struct check_finding *f)
{
	size_t room = 4 * strlen(f->path) + 1;
	_cleanup_free_ char *path = malloc(room);

	printf("%s: %s%s: %s%s\n", severities[f->severity], f->plain ? "" : "(below) ",
	       *f->path && path ? log_escape(f->path, path, room) : "volume", f->text,
	       f->repaired ? " [repaired]" : "");
}

void check_print(const struct check_options *o, const struct check_report *r)
{
	char bytes[SIZE_TEXT];

	for (size_t i = 0; i < r->count; i++)
		print_finding(&r->list[i]);
	printf("%s: %" PRIu64 " files, %" PRIu64 " directories, %" PRIu64 " symbolic links, %" PRIu64
	       " special files, %s",
	       o->volume, r->files, r->directories, r->symlinks, r->specials, size_text(r->bytes, bytes));
	if (o->deep)
		printf(", %" PRIu64 " pages opened", r->pages);
	putchar('\n');
	if (r->lost_ranges_ended)
		puts("every file has been looked at since the last crash");
	printf("%" PRIu64 " errors, %" PRIu64 " warnings, %" PRIu64 " notes, %" PRIu64 " repaired\n", r->errors,
	       r->warnings, r->notes, r->repaired);
}

static json_object *findings_json(const struct check_report *r)
{
	json_object *list = json_object_new_array();

	for (size_t i = 0; i < r->count; i++) {
		const struct check_finding *f = &r->list[i];
		json_object *o = json_object_new_object();

		json_add_text(o, "severity", severities[f->severity]);
		json_add_text(o, "kind", f->kind);
		json_add_text(o, f->plain ? "path" : "backing_path", f->path);
		json_add_text(o, "text", f->text);
		json_add_bool(o, "repaired", f->repaired);
		json_object_array_add(list, o);
	}
	return list;
}

static json_object *recovery_json(const struct check_report *r)
{
	json_object *o = json_object_new_object();

	json_add_number(o, "files", r->recovered_files);
	json_add_number(o, "pages", r->recovered_pages);
	json_add_number(o, "milliseconds", r->recovery_ms);
	return o;
}

static void print_json(const struct check_options *o, const struct check_report *r)
{
	json_object *top = json_object_new_object();

	json_add_text(top, "directory", o->volume);
	json_add_bool(top, "deep", o->deep);
	json_add_bool(top, "repair", o->repair);
	json_add_number(top, "files", r->files);
	json_add_number(top, "directories", r->directories);
	json_add_number(top, "symlinks", r->symlinks);
	json_add_number(top, "specials", r->specials);
	json_add_number(top, "pages", r->pages);
	json_add_number(top, "bytes", r->bytes);
	json_add_number(top, "errors", r->errors);
	json_add_number(top, "warnings", r->warnings);
	json_add_number(top, "notes", r->notes);
	json_add_number(top, "repaired", r->repaired);
	json_object_object_add(top, "recovered", r->recovered ? recovery_json(r) : NULL);
	json_add_number(top, "lost_ranges", r->lost_ranges);
	json_add_bool(top, "lost_ranges_ended", r->lost_ranges_ended);
	json_object_object_add(top, "findings", findings_json(r));
	json_print(top);
}

static int parse(const struct verb *v, int argc, char **argv, struct check_options *o, bool *json, char **dir,
		 struct fault *why)
{
	const struct option_spec specs[] = {
		OPTIONS_UNLOCK(&o->unlock),
		{OPTION_FLAG, 0, 0, "deep", &o->deep},
		{OPTION_FLAG, 0, 0, "repair", &o->repair},
		{OPTION_FLAG, 0, 0, "no-recover", &o->no_recover},
		{OPTION_FLAG, 0, 0, "json", json},
		{0},
	};
	struct words words;
	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);

	if (r)
		return r;
	if (o->repair && o->no_recover)
		return fault_set(why, EXIT_USAGE, EINVAL, "%s: --repair or --no-recover, not both", v->name);
	r = path_absolute(words.at[0], dir, why);
	o->volume = *dir;
	return r;
}

int cmd_check(const struct verb *v, int argc, char **argv, struct fault *why)
{
	struct check_options o = {.unlock = UNLOCK_SOURCE_NONE};
	_cleanup_(check_report_free) struct check_report report = {0};
	_cleanup_free_ char *dir = NULL;
	bool json = false;
	int status, r = parse(v, argc, argv, &o, &json, &dir, why);

	if (r > 0)
		return r;
	if (r == 0)
		r = check_with_progress(&o, &report, why);
	status = check_exit_status(&report, r, why);
	if (r < 0)
		why->status = (enum exit_status)status;
	if (r < 0 && r != -ECANCELED)
		return r;
	if (json)
		print_json(&o, &report);
	else
		check_print(&o, &report);
	if (r < 0)
		return r;
	if (status == FSCK_CORRECTED)
		return fault_set(why, (enum exit_status)status, EBADMSG, "%s: %" PRIu64 " finding(s), mended", dir,
				 report.repaired);
	if (status == 0)
		return 0;
	return fault_set(why, (enum exit_status)status, EBADMSG, "%s is damaged in %" PRIu64 " place(s)%s", dir,
			 report.errors,
			 o.repair ? "; what is left cannot be mended: restore it from a backup"
				  : "; --repair mends what can be mended");
}
