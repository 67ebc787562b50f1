/* Running an operation over a file, and what is said about it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/base/log.h"
#include "util/cli/field.h"
#include "util/field/near.h"

enum { NAME_ROOM = 200, LABEL_ROOM = 48 };

bool field_is_stream(const char *name)
{
	return strcmp(name, "-") == 0;
}

int field_open_input(const char *name, struct fault *why)
{
	char shown[NAME_ROOM];
	int fd = field_is_stream(name) ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
				       : open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	return fd < 0 ? fault_errno(why, EXIT_FAILED, -errno, "cannot open %s", log_escape(name, shown, sizeof(shown)))
		      : fd;
}

int field_unknown_path(const struct field_file *f, const char *path, struct fault *why)
{
	_cleanup_buffer_ struct buffer near = {0};
	char file[NAME_ROOM], shown[NAME_ROOM];

	log_escape(f->called, file, sizeof(file));
	log_escape(path, shown, sizeof(shown));
	if (near_paths(f->format, &f->scan, f->name, path, &near) == 0 && near.size)
		return fault_set(why, EXIT_FAILED, ENOENT, "%s: there is no value %s; near it: %.*s", file, shown,
				 (int)(near.size < 160 ? near.size : 160), near.bytes);
	return fault_set(why, EXIT_FAILED, ENOENT, "%s: there is no value %s; coffer field list shows all", file,
			 shown);
}

static const char *shown_name(const struct field_file *f)
{
	return field_is_stream(f->called) ? "standard input" : f->called;
}

int field_run(const struct field_file *f, struct operation *op, int in, engine_write write, void *write_context,
	      struct fault *why)
{
	struct progress progress = {0};
	struct stat st;
	const struct engine e = {
		.format = f->format,
		.options = &f->scan,
		.file = shown_name(f),
		.edit = operation_edit,
		.edit_context = op,
		.write = write,
		.write_context = write_context,
		.progress = f->format->streams ? &progress : NULL,
	};
	uint64_t total = fstat(in, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	const char *slash = strrchr(shown_name(f), '/'), *missed;
	char label[LABEL_ROOM];
	int ret;

	op->plan = (struct plan *)&f->plan;
	log_escape(slash ? slash + 1 : shown_name(f), label, sizeof(label));
	progress_start(&progress, label, PROGRESS_BYTES, total);
	ret = engine_run(&e, in, why);
	progress_end(&progress);
	/* A path with a mistake in it would protect nothing.  Where there are no values at all, it is none. */
	missed = op->seen ? plan_missed(&f->plan) : NULL;
	return ret == 0 && missed ? field_unknown_path(f, missed, why) : ret;
}

int field_read(const char *name, struct buffer *out, struct fault *why)
{
	char shown[NAME_ROOM];
	_cleanup_close_ int fd = field_open_input(name, why);
	int ret = fd < 0 ? fd : buffer_read(out, fd);

	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot read %s", log_escape(name, shown, sizeof(shown)))
		       : 0;
}

static int rewrite_in_place(const struct field_file *f, struct operation *op, struct fault *why)
{
	_cleanup_target_ struct target t = TARGET_NONE;
	uint64_t before = op->changed;
	int ret = target_open(&t, f->name, why);

	if (ret == 0)
		ret = target_begin(&t, why);
	if (ret == 0)
		ret = field_run(f, op, t.in, target_write, &t, why);
	if (ret < 0 || op->changed == before)
		return ret;
	return target_commit(&t, why);
}

static int rewrite_to_file(const struct field_file *f, const char *output, struct operation *op, struct fault *why)
{
	_cleanup_target_ struct target t = TARGET_NONE;
	_cleanup_close_ int in = field_open_input(f->name, why);
	int ret = in < 0 ? in : target_create(&t, output, why);

	if (ret == 0)
		ret = target_begin(&t, why);
	if (ret == 0)
		ret = field_run(f, op, in, target_write, &t, why);
	return ret < 0 ? ret : target_commit(&t, why);
}

/* Decrypted text of a format that is read whole comes out only if all of it is good; of one that streams, up to the bad record. */
static int rewrite_to_output(const struct field_file *f, struct operation *op, struct fault *why)
{
	_cleanup_close_ int in = field_open_input(f->name, why);
	int out = STDOUT_FILENO;

	return in < 0 ? in : field_run(f, op, in, descriptor_write, &out, why);
}

int field_rewrite(const struct field_file *f, const struct field_options *o, struct operation *op, struct fault *why)
{
	if (o->in_place)
		return rewrite_in_place(f, op, why);
	if (o->output && strcmp(o->output, "-") != 0)
		return rewrite_to_file(f, o->output, op, why);
	return rewrite_to_output(f, op, why);
}

/* ------------------------------------------------------------------ reports */

int field_left_over(uint64_t failed, struct fault *why)
{
	if (!failed)
		return 0;
	return fault_set(why, EXIT_FAILED, EBADMSG, "%" PRIu64 " %s", failed,
			 failed == 1 ? "token did not open and was left as it is"
				     : "tokens did not open and were left as they are");
}

void field_report_error(void *context, const struct found *f, const char *text)
{
	_cleanup_buffer_ struct buffer where = {0};

	(void)context;
	if (found_where(f, &where) == 0)
		fprintf(stderr, "%s: %s\n", where.bytes, text);
}

void field_report_line(void *context, const struct found *f, const char *text)
{
	_cleanup_buffer_ struct buffer path = {0};

	(void)context;
	if (found_path_text(f, &path) == 0)
		printf("%.*s\t%s\n", (int)path.size, path.bytes, text);
}
