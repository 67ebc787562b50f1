/* get, set: one value. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/cli/field.h"
#include "util/cli/terminal.h"

enum { VALUE_READ_MAX = TOKEN_VALUE_MAX + 1 };

int cmd_field_get(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_field_keys_ struct field_keys k = FIELD_KEYS_NONE;
	_cleanup_field_file_ struct field_file f = {0};
	_cleanup_(operation_end) struct operation op = {.kind = OPERATION_GET};
	struct field_options o = FIELD_OPTIONS_NONE;
	bool raw = false;
	const struct option_spec specs[] = {
		OPTIONS_FIELD_KEYRING(&o),        OPTIONS_FIELD_FORMAT(&o),
		OPTIONS_FIELD_BINDING(&o),        {OPTION_TEXT, 0, 0, "mode", &o.mode},
		{OPTION_FLAG, 0, 0, "raw", &raw}, {0},
	};
	struct words words;
	int ret = options_parse(v, argc, argv, specs, 2, 2, &words, why);

	if (ret)
		return ret == OPTIONS_HELP ? 0 : ret;
	ret = field_file_choose(&f, &o, words.at[0], words.at[1], why);
	if (ret == 0)
		ret = field_keys_for(&k, &o, f.rules.keyring, why);
	if (ret < 0)
		return ret;
	op.box = k.box;
	op.accept_sealed = o.mode && strcmp(o.mode, "sealed") == 0;
	_cleanup_close_ int in = field_open_input(f.name, why);
	ret = in < 0 ? in : field_run(&f, &op, in, NULL, NULL, why);
	if (ret == 0 && !op.selected)
		ret = field_unknown_path(&f, words.at[1], why);
	if (ret < 0)
		return ret;
	fwrite(op.got.bytes, 1, op.got.size, stdout);
	if (!raw)
		putchar('\n');
	return 0;
}

/* From standard input, or asked for with the echo off. */
static int read_value(bool raw, struct buffer *out, struct fault *why)
{
	size_t got = 1;
	int ret = 0;

	if (isatty(STDIN_FILENO)) {
		struct unlock_secret typed = {0};

		ret = unlock_obtain(&UNLOCK_SOURCE_NONE, "New value: ", false, &typed, why);
		if (ret == 0)
			ret = buffer_add(out, typed.bytes->bytes, typed.bytes->size);
		unlock_secret_wipe(&typed);
		return ret;
	}
	while (ret == 0 && got && out->size <= VALUE_READ_MAX) {
		ssize_t n;

		ret = buffer_reserve(out, 64 << 10);
		if (ret < 0)
			break;
		n = read(STDIN_FILENO, out->bytes + out->size, 64 << 10);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fault_errno(why, EXIT_FAILED, -errno, "cannot read the value from standard input");
		got = (size_t)n;
		out->size += got;
	}
	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "cannot read the value");
	if (!raw && out->size && out->bytes[out->size - 1] == '\n')
		out->size--;
	if (out->size > TOKEN_VALUE_MAX)
		return fault_set(why, EXIT_FAILED, E2BIG, "the value is longer than %d MiB", TOKEN_VALUE_MAX >> 20);
	return 0;
}

static int value_type(const char *name, int *out, struct fault *why)
{
	static const char *const names[] = {"string", "number", "bool", "null"};

	*out = -1;
	if (!name)
		return 0;
	for (int i = 0; i < 4; i++)
		if (strcmp(name, names[i]) == 0) {
			*out = i;
			return 0;
		}
	return fault_set(why, EXIT_USAGE, EINVAL, "--type %s: give string, number, bool or null", name);
}

/* `set` looks for the value, and seals it if it is sealed already or the caller wants it so. */
int cmd_field_set(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_field_keys_ struct field_keys k = FIELD_KEYS_NONE;
	_cleanup_field_file_ struct field_file f = {0};
	_cleanup_(operation_end) struct operation op = {.kind = OPERATION_SET};
	_cleanup_buffer_ struct buffer value = {0};
	struct field_options o = FIELD_OPTIONS_NONE;
	const char *type = NULL;
	bool raw = false;
	const struct option_spec specs[] = {
		OPTIONS_FIELD_KEYRING(&o),
		OPTIONS_FIELD_FORMAT(&o),
		OPTIONS_FIELD_BINDING(&o),
		{OPTION_TEXT, 0, 0, "mode", &o.mode},
		{OPTION_TEXT, 0, 0, "domain", &o.domain},
		{OPTION_NUMBER, 0, 0, "pad", &o.pad},
		{OPTION_TEXT, 0, 0, "pubkey", &o.public_key},
		{OPTION_TEXT, 0, 0, "type", &type},
		{OPTION_FLAG, 0, 0, "raw", &raw},
		{0},
	};
	struct words words;
	int ret = options_parse(v, argc, argv, specs, 2, 2, &words, why);

	if (ret)
		return ret == OPTIONS_HELP ? 0 : ret;
	o.in_place = true;
	if (strcmp(words.at[0], "-") == 0)
		return fault_set(why, EXIT_USAGE, EINVAL, "set: standard input is the value; name the file");
	ret = value_type(type, &op.value_type, why);
	if (ret == 0)
		ret = field_seals_only(&o, why);
	if (ret == 0)
		ret = field_file_choose(&f, &o, words.at[0], words.at[1], why);
	if (ret == 0)
		ret = o.public_key ? field_keys_public(&k, o.public_key, why)
				   : field_keys_for(&k, &o, f.rules.keyring, why);
	if (ret == 0)
		ret = read_value(raw, &value, why);
	if (ret < 0)
		return ret;
	op.box = k.box;
	op.blind = o.public_key != NULL;
	op.manner_given = o.mode || o.domain;
	op.accept_sealed = o.mode && strcmp(o.mode, "sealed") == 0;
	op.value = value.bytes ? value.bytes : "";
	op.value_size = value.size;
	ret = field_rewrite(&f, &o, &op, why);
	if (ret == 0 && !op.selected)
		ret = field_unknown_path(&f, words.at[1], why);
	return ret;
}
