/* encrypt, decrypt: the verbs that rewrite files by a choice of values. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/base/log.h"
#include "util/cli/field.h"

/* One file. */
static int rewrite(struct field_keys *k, const struct field_options *o, enum operation_kind kind, const char *name,
		   uint64_t *failed, struct fault *why)
{
	_cleanup_field_file_ struct field_file f = {0};
	_cleanup_(operation_end) struct operation op = {
		.kind = kind, .keep_going = o->keep_going, .report = field_report_error};
	int ret = field_file_begin(&f, o, name, why);

	op.accept_sealed = o->mode && strcmp(o->mode, "sealed") == 0;
	if (ret == 0 && !k->box && o->public_key)
		ret = field_keys_public(k, o->public_key, why);
	if (ret == 0 && !k->box)
		ret = field_keys_for(k, o, f.rules.keyring, why);
	op.box = k->box;
	if (ret == 0)
		ret = field_rewrite(&f, o, &op, why);
	*failed += op.failed;
	if (ret == 0 && operation_few_values(&op))
		log_warning("%s: %" PRIu64
			    " deterministic tokens have %zu distinct values only: how often each stands may "
			    "tell what it is",
			    name, op.equal_seen, operation_few_values(&op));
	return ret;
}

static int rewrite_all(const struct field_options *o, enum operation_kind kind, const struct words *words,
		       struct fault *why)
{
	_cleanup_field_keys_ struct field_keys k = FIELD_KEYS_NONE;
	uint64_t failed = 0;
	int ret = 0;

	if (words->count > 1 && !o->in_place)
		return fault_set(why, EXIT_USAGE, EINVAL, "several files are rewritten in place only: give -i");
	if (o->in_place && o->output)
		return fault_set(why, EXIT_USAGE, EINVAL, "give -i or -o, not both");
	for (int i = 0; ret == 0 && i < words->count; i++) {
		if (o->in_place && strcmp(words->at[i], "-") == 0)
			return fault_set(why, EXIT_USAGE, EINVAL, "standard input has no place to be rewritten in");
		ret = rewrite(&k, o, kind, words->at[i], &failed, why);
	}
	return ret < 0 ? ret : field_left_over(failed, why);
}

int cmd_field_encrypt(const struct verb *v, int argc, char **argv, struct fault *why)
{
	struct field_options o = FIELD_OPTIONS_NONE;
	const struct option_spec specs[] = {
		OPTIONS_FIELD_KEYRING(&o),
		OPTIONS_FIELD_FORMAT(&o),
		OPTIONS_FIELD_BINDING(&o),
		OPTIONS_FIELD_CHOICE(&o),
		{OPTION_TEXT, 0, 0, "pubkey", &o.public_key},
		{OPTION_FLAG, 'i', 0, "in-place", &o.in_place},
		{OPTION_TEXT, 'o', 0, "output", &o.output},
		{0},
	};
	struct words words;
	int ret = options_parse(v, argc, argv, specs, 1, 1 << 20, &words, why);

	if (ret == 0)
		ret = field_seals_only(&o, why);
	if (ret == 0)
		ret = rewrite_all(&o, OPERATION_ENCRYPT, &words, why);
	free(o.paths);
	return ret == OPTIONS_HELP ? 0 : ret;
}

int cmd_field_decrypt(const struct verb *v, int argc, char **argv, struct fault *why)
{
	struct field_options o = {.unlock = UNLOCK_SOURCE_NONE, .unruled = UNRULED_ALL};
	const struct option_spec specs[] = {
		OPTIONS_FIELD_KEYRING(&o),
		OPTIONS_FIELD_FORMAT(&o),
		OPTIONS_FIELD_BINDING(&o),
		{OPTION_LIST, 0, 0, "path", &o.paths},
		{OPTION_TEXT, 0, 0, "key-regex", &o.key_regex},
		{OPTION_TEXT, 0, 0, "mode", &o.mode},
		{OPTION_FLAG, 'i', 0, "in-place", &o.in_place},
		{OPTION_TEXT, 'o', 0, "output", &o.output},
		{OPTION_FLAG, 0, 0, "keep-going", &o.keep_going},
		{0},
	};
	struct words words;
	int ret = options_parse(v, argc, argv, specs, 1, 1 << 20, &words, why);

	if (ret == 0)
		ret = rewrite_all(&o, OPERATION_DECRYPT, &words, why);
	free(o.paths);
	return ret == OPTIONS_HELP ? 0 : ret;
}
