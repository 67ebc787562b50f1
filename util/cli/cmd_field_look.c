/* list, check: what a file holds; no key is needed. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/cli/field.h"

/* Who writes to a pipe should not die of it. */
static int pass_over(int in, const char *name)
{
	char block[4096];

	while (field_is_stream(name) && read(in, block, sizeof(block)) > 0)
		;
	return 0;
}

static int look(const struct field_options *o, enum operation_kind kind, const char *name, uint64_t *failed,
		struct fault *why)
{
	_cleanup_field_file_ struct field_file f = {0};
	_cleanup_(operation_end) struct operation op = {
		.kind = kind, .report = kind == OPERATION_CHECK ? field_report_error : field_report_line};
	int ret = field_file_begin(&f, o, name, why);

	if (ret < 0)
		return ret;
	_cleanup_close_ int in = field_open_input(name, why);
	if (in >= 0 && f.passed_over)
		return pass_over(in, name);
	ret = in < 0 ? in : field_run(&f, &op, in, NULL, NULL, why);
	*failed += op.failed;
	return ret;
}

int cmd_field_list(const struct verb *v, int argc, char **argv, struct fault *why)
{
	struct field_options o = {.unlock = UNLOCK_SOURCE_NONE, .unruled = UNRULED_ALL};
	const struct option_spec specs[] = {OPTIONS_FIELD_FORMAT(&o), {OPTION_TEXT, 0, 0, "rules", &o.rules}, {0}};
	struct words words;
	uint64_t failed = 0;
	int ret = options_parse(v, argc, argv, specs, 1, 1, &words, why);

	if (ret)
		return ret == OPTIONS_HELP ? 0 : ret;
	return look(&o, OPERATION_LIST, words.at[0], &failed, why);
}

int cmd_field_check(const struct verb *v, int argc, char **argv, struct fault *why)
{
	struct field_options o = {.unlock = UNLOCK_SOURCE_NONE, .unruled = UNRULED_NOTHING};
	const struct option_spec specs[] = {
		OPTIONS_FIELD_FORMAT(&o),
		{OPTION_TEXT, 0, 0, "rules", &o.rules},
		{OPTION_LIST, 0, 0, "path", &o.paths},
		{OPTION_TEXT, 0, 0, "key-regex", &o.key_regex},
		{0},
	};
	struct words words;
	uint64_t failed = 0;
	int ret = options_parse(v, argc, argv, specs, 1, 1 << 20, &words, why);

	for (int i = 0; ret == 0 && i < words.count; i++)
		ret = look(&o, OPERATION_CHECK, words.at[i], &failed, why);
	free(o.paths);
	if (ret == OPTIONS_HELP)
		return 0;
	if (ret == 0 && failed)
		ret = fault_set(why, EXIT_FAILED, EPERM, "%" PRIu64 " %s be encrypted; coffer field encrypt -i", failed,
				failed == 1 ? "value should" : "values should");
	return ret;
}
