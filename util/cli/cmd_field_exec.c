/* exec: a command with the values of a file in its environment. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "util/base/whole_write.h"
#include "util/cli/field.h"

enum { CANNOT_RUN = 126, NOT_FOUND = 127 };

struct variables {
	bool files;
	struct buffer seen; /* names, each with a zero byte behind */
};

static int complain(const struct found *f, struct fault *why, const char *what, const char *name)
{
	_cleanup_buffer_ struct buffer where = {0};

	if (found_where(f, &where) < 0)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "exec");
	return fault_set(why, EXIT_FAILED, EINVAL, "%s: %s %s", where.bytes, what, name);
}

/* a.b[1] is a_b_1. */
static int variable_name(const struct found *f, struct buffer *out)
{
	char number[24];
	struct step s;
	size_t at = 0;
	int ret = 0;

	while (ret == 0 && path_next(f->path, f->path_size, &at, &s)) {
		if (s.kind == STEP_DOCUMENT && s.number == 0)
			continue;
		if (out->size)
			ret = buffer_byte(out, '_');
		snprintf(number, sizeof(number), "%llu", (unsigned long long)s.number);
		if (ret == 0 && (s.kind == STEP_INDEX || s.kind == STEP_DOCUMENT))
			ret = buffer_text(out, number);
		for (size_t i = 0; ret == 0 && i < s.length; i++)
			ret = buffer_byte(out, isalnum((unsigned char)s.name[i]) ? s.name[i] : '_');
	}
	if (ret == 0 && (!out->size || isdigit((unsigned char)out->bytes[0])))
		ret = -EINVAL;
	return ret < 0 ? ret : buffer_byte(out, '\0');
}

static bool seen_before(const struct variables *v, const char *name)
{
	for (size_t at = 0; at < v->seen.size; at += strlen(v->seen.bytes + at) + 1)
		if (strcmp(v->seen.bytes + at, name) == 0)
			return true;
	return false;
}

/* The value in memory that the command inherits; its path goes to out. */
static int make_file(const struct buffer *value, char *out, size_t room)
{
	int fd = memory_file("value", MFD_ALLOW_SEALING, value->bytes, value->size);

	if (fd < 0)
		return fd;
	snprintf(out, room, "/dev/fd/%d", fd);
	return 0;
}

static int set_variable(void *context, const struct found *f, const char *source, size_t n, struct fault *why)
{
	_cleanup_buffer_ struct buffer name = {0}, value = {0};
	struct variables *v = context;
	char file[32];
	int ret = variable_name(f, &name);

	if (ret == -EINVAL)
		return complain(f, why, "its path gives no name of a variable", "");
	if (ret == 0 && seen_before(v, name.bytes))
		return complain(f, why, "its variable has the name of another one:", name.bytes);
	if (ret == 0)
		ret = buffer_add(&v->seen, name.bytes, name.size);
	if (ret == 0)
		ret = f->scan->format->value(f->leaf, source, n, &value);
	if (ret == 0 && v->files)
		ret = make_file(&value, file, sizeof(file));
	if (ret == 0 && !v->files && value.size && memchr(value.bytes, '\0', value.size))
		return complain(f, why, "holds a zero byte, which no variable can; give --files", "");
	if (ret == 0 && !v->files)
		ret = buffer_byte(&value, '\0');
	if (ret == 0 && setenv(name.bytes, v->files ? file : value.bytes, 1) < 0)
		ret = -errno;
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot set a variable") : 0;
}

static int set_all(const struct field_options *o, const char *name, struct variables *variables, struct fault *why)
{
	_cleanup_field_keys_ struct field_keys k = FIELD_KEYS_NONE;
	_cleanup_field_file_ struct field_file f = {0};
	_cleanup_(operation_end) struct operation op = {
		.kind = OPERATION_VISIT, .visit = set_variable, .context = variables};
	int ret = field_file_begin(&f, o, name, why);

	if (ret == 0)
		ret = field_keys_for(&k, o, f.rules.keyring, why);
	if (ret < 0)
		return ret;
	op.box = k.box;
	op.accept_sealed = o->mode && strcmp(o->mode, "sealed") == 0;
	/* Clear values too: the command wants the whole file. */
	if (f.plan.chosen == NULL && plan_choose(&f.plan, &f.plan.chosen) < 0)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "exec");
	f.plan.chosen->everything = !o->paths;
	if (!f.plan.chosen->context && f.rules.context)
		f.plan.chosen->context = strdup(f.rules.context);
	_cleanup_close_ int in = field_open_input(name, why);
	return in < 0 ? in : field_run(&f, &op, in, NULL, NULL, why);
}

int cmd_field_exec(const struct verb *v, int argc, char **argv, struct fault *why)
{
	struct field_options o = {.unlock = UNLOCK_SOURCE_NONE, .unruled = UNRULED_ALL};
	struct variables variables = {0};
	const struct option_spec specs[] = {
		OPTIONS_FIELD_KEYRING(&o),
		OPTIONS_FIELD_FORMAT(&o),
		OPTIONS_FIELD_BINDING(&o),
		{OPTION_LIST, 0, 0, "path", &o.paths},
		{OPTION_TEXT, 0, 0, "mode", &o.mode},
		{OPTION_FLAG, 0, 0, "files", &variables.files},
		{0},
	};
	char **command = options_split_command(&argc, argv);
	struct words words;
	int ret = options_parse(v, argc, argv, specs, 1, 1, &words, why);

	if (ret == OPTIONS_HELP)
		return 0;
	if (ret == 0 && !command)
		ret = fault_set(why, EXIT_USAGE, EINVAL, "exec: what? Give -- COMMAND behind FILE");
	if (ret == 0)
		ret = set_all(&o, words.at[0], &variables, why);
	buffer_free(&variables.seen);
	free(o.paths);
	if (ret < 0)
		return ret;
	execvp(command[0], command);
	ret = errno;
	fault_set(why, EXIT_FAILED, ret, "cannot run %s: %s", command[0], strerror(ret));
	fault_print(why);
	exit(ret == ENOENT ? NOT_FOUND : CANNOT_RUN);
}
