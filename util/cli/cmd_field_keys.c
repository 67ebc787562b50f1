/* rotate, migrate, domain, pubkey: what concerns keys. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/domain.h"
#include "util/cli/field.h"

/* What both have. */
#define OPTIONS_FIELD_RESEAL(o)                                                                                        \
	OPTIONS_FIELD_KEYRING(o), OPTIONS_FIELD_FORMAT(o), OPTIONS_FIELD_BINDING(o),                                   \
	{                                                                                                              \
		OPTION_FLAG, 0, 0, "keep-going", &(o)->keep_going                                                      \
	}

static int reseal(const struct field_options *o, enum operation_kind kind, struct field_keys *k, struct token_box *to,
		  const char *name, const char *domain, uint64_t *failed, struct fault *why)
{
	_cleanup_field_file_ struct field_file f = {0};
	_cleanup_(operation_end) struct operation op = {.kind = kind,
							.box = k->box,
							.to = to,
							.keep_going = o->keep_going,
							.accept_sealed = true,
							.only_domain = domain,
							.report = field_report_error};
	struct field_options here = *o;
	int ret = field_file_begin(&f, o, name, why);

	here.in_place = !field_is_stream(name); /* else to standard output */
	if (ret == 0)
		ret = field_rewrite(&f, &here, &op, why);
	if (ret == 0)
		fprintf(stderr, "%s: %" PRIu64 " of %" PRIu64 " tokens renewed\n", name, op.changed, op.tokens);
	*failed += op.failed;
	return ret;
}

static int change_domain(struct field_keys *k, const char *name, bool move, struct fault *why)
{
	struct keyring_change *change = NULL;
	int ret = keyring_change_begin(k->volume.store, k->volume.dot, k->volume.keyring, &change, why);

	if (ret < 0)
		return ret;
	ret = keyring_domain_pin(k->volume.keyring, name, move, why);
	if (ret == 0)
		return keyring_change_commit(&change, why);
	keyring_change_abort(&change);
	return ret;
}

/* The keyring that the first file's rules name, unless one is given.  `change`: it is going to be changed. */
static int open_keys(struct field_keys *k, const struct field_options *o, const char *name, bool change,
		     struct fault *why)
{
	_cleanup_field_file_ struct field_file f = {0};
	int ret = name ? field_file_begin(&f, o, name, why) : 0;

	if (ret < 0)
		return ret;
	return change ? field_keys_unlock(k, o, f.rules.keyring, why) : field_keys_for(k, o, f.rules.keyring, why);
}

int cmd_field_rotate(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_field_keys_ struct field_keys k = FIELD_KEYS_NONE;
	struct field_options o = {.unlock = UNLOCK_SOURCE_NONE, .unruled = UNRULED_ALL};
	const char *domain = NULL;
	const struct option_spec specs[] = {
		OPTIONS_FIELD_RESEAL(&o),
		{OPTION_TEXT, 0, 0, "domain", &domain},
		{0},
	};
	struct words words;
	uint64_t failed = 0;
	int ret = options_parse(v, argc, argv, specs, 0, 1 << 20, &words, why);

	if (ret)
		return ret == OPTIONS_HELP ? 0 : ret;
	if (!words.count && !domain)
		return fault_set(why, EXIT_USAGE, EINVAL, "rotate: which files? Give FILE..., or --domain D");
	/* A domain may have all its tokens in a database. */
	ret = open_keys(&k, &o, words.count ? words.at[0] : NULL, domain != NULL, why);
	if (ret == 0 && domain) {
		ret = change_domain(&k, domain, true, why);
		if (ret == 0)
			ret = field_keys_renew(&k, why);
	}
	for (int i = 0; ret == 0 && i < words.count; i++)
		ret = reseal(&o, OPERATION_ROTATE, &k, k.box, words.at[i], domain, &failed, why);
	return ret < 0 ? ret : field_left_over(failed, why);
}

int cmd_field_migrate(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_field_keys_ struct field_keys k = FIELD_KEYS_NONE, to = FIELD_KEYS_NONE;
	struct field_options o = {.unlock = UNLOCK_SOURCE_NONE, .unruled = UNRULED_ALL};
	struct unlock_source to_unlock = UNLOCK_SOURCE_NONE;
	const char *to_keyring = NULL;
	const struct option_spec specs[] = {
		OPTIONS_FIELD_RESEAL(&o),
		{OPTION_TEXT, 0, 0, "to-keyring", &to_keyring},
		OPTIONS_UNLOCK_TO(&to_unlock),
		{0},
	};
	struct words words;
	uint64_t failed = 0;
	int ret = options_parse(v, argc, argv, specs, 1, 1 << 20, &words, why);

	if (ret)
		return ret == OPTIONS_HELP ? 0 : ret;
	if (!to_keyring)
		return fault_set(why, EXIT_USAGE, EINVAL, "migrate: where to? Give --to-keyring DIR");
	ret = open_keys(&k, &o, words.at[0], false, why);
	if (ret == 0)
		ret = cli_volume_open(&to.volume, to_keyring, why);
	if (ret == 0)
		ret = cli_volume_unlock(&to.volume, &to_unlock, NULL, why);
	if (ret == 0)
		ret = field_keys_renew(&to, why);
	for (int i = 0; ret == 0 && i < words.count; i++)
		ret = reseal(&o, OPERATION_MIGRATE, &k, to.box, words.at[i], NULL, &failed, why);
	return ret < 0 ? ret : field_left_over(failed, why);
}

static int list_domains(const struct field_keys *k, struct fault *why)
{
	struct field_domain domains[DOMAINS_MAX];
	size_t count;
	int ret = keyring_domains(k->volume.keyring, domains, &count, why);

	for (size_t i = 0; ret == 0 && i < count; i++)
		printf("%s\t%" PRIu32 "\n", domains[i].name, domains[i].generation);
	return ret;
}

int cmd_field_domain(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_field_keys_ struct field_keys k = FIELD_KEYS_NONE;
	struct field_options o = FIELD_OPTIONS_NONE;
	const struct option_spec specs[] = {OPTIONS_FIELD_KEYRING(&o), {0}};
	struct words words;
	int ret = options_parse(v, argc, argv, specs, 1, 2, &words, why);

	if (ret)
		return ret == OPTIONS_HELP ? 0 : ret;
	bool create = strcmp(words.at[0], "create") == 0;
	if (!create && strcmp(words.at[0], "list") != 0)
		return fault_set(why, EXIT_USAGE, EINVAL, "field domain: say create NAME, or list");
	if (words.count != (create ? 2 : 1))
		return fault_set(why, EXIT_USAGE, EINVAL, "field domain %s: %s", words.at[0],
				 create ? "a name is missing" : "takes no name");
	ret = field_keys_unlock(&k, &o, NULL, why);
	if (ret < 0)
		return ret;
	return create ? change_domain(&k, words.at[1], false, why) : list_domains(&k, why);
}

int cmd_field_pubkey(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_field_keys_ struct field_keys k = FIELD_KEYS_NONE;
	_cleanup_buffer_ struct buffer key = {0};
	struct field_options o = FIELD_OPTIONS_NONE;
	const struct option_spec specs[] = {OPTIONS_FIELD_KEYRING(&o), {0}};
	struct words words;
	int ret = options_parse(v, argc, argv, specs, 0, 0, &words, why);

	if (ret)
		return ret == OPTIONS_HELP ? 0 : ret;
	ret = field_keys_for(&k, &o, NULL, why);
	if (ret < 0)
		return ret;
	ret = token_public_key(k.box, &key);
	if (ret == -ENOTSUP)
		return fault_set(why, EXIT_UNSUPPORTED, ENOTSUP, "sealed mode needs X25519, which FIPS mode refuses");
	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "cannot make the public key");
	printf("%.*s\n", (int)key.size, key.bytes);
	return 0;
}
