#include "util/cli/field.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "util/base/log.h"
#include "util/field/agent.h"

enum { NAME_ROOM = 200, PUBLIC_KEY_ROOM = 256 };

/* ------------------------------------------------------------------ keys */

void field_keys_close(struct field_keys *k)
{
	token_box_free(&k->box);
	cli_volume_close(&k->volume);
}

int field_keys_renew(struct field_keys *k, struct fault *why)
{
	struct field_domain domains[DOMAINS_MAX];
	struct keys *keys;
	size_t count;
	int ret = keyring_domains(k->volume.keyring, domains, &count, why);

	if (ret < 0)
		return ret;
	token_box_free(&k->box);
	keys = keyring_keys(k->volume.keyring);
	ret = keys ? token_box_new(keys, domains, count, &k->box) : -ENOMEM;
	keys_unref(keys);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot use the keyring") : 0;
}

/* The keyring that the rules of the working directory name, if there are any. */
static int keyring_here(char **out, struct fault *why)
{
	_cleanup_(plan_free) struct plan ignored = {0};
	_cleanup_rules_ struct rules r = {0};
	_cleanup_free_ char *path = NULL;
	int ret = rules_find("-", &path, why);

	if (ret == 0 && path)
		ret = rules_load(path, "-", &format_yaml, &r, &ignored, why);
	if (ret == 0) {
		*out = r.keyring;
		r.keyring = NULL;
	}
	return ret;
}

int field_keyring_name(const struct field_options *o, const char *from_rules, char **out, struct fault *why)
{
	const char *given = o->keyring ? o->keyring : from_rules;
	int ret = 0;

	*out = given ? strdup(given) : NULL;
	if (given && !*out)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "keyring");
	if (!given)
		ret = keyring_here(out, why);
	if (ret == 0 && !*out)
		ret = fault_set(why, EXIT_USAGE, EINVAL,
				"which keyring? Give --keyring DIR, or name it in .coffer-fields.yaml");
	return ret;
}

static bool ask_agent(struct field_keys *k)
{
	struct keyring_stamp file;

	return keyring_stamp(k->volume.store, k->volume.dot, &file) == 0 &&
	       agent_box(keyring_settings(k->volume.keyring)->volume_id, &file, &k->box) == 0;
}

static int open_keys(struct field_keys *k, const struct field_options *o, const char *from_rules, bool by_agent,
		     struct fault *why)
{
	_cleanup_free_ char *name = NULL;
	int ret = field_keyring_name(o, from_rules, &name, why);

	if (ret == 0)
		ret = secrets_start(why);
	if (ret == 0)
		ret = cli_volume_open(&k->volume, name, why);
	/* Who names a secret means that one. */
	if (ret == 0 && by_agent && !unlock_source_given(&o->unlock) && ask_agent(k))
		return 0;
	if (ret == 0)
		ret = cli_volume_unlock(&k->volume, &o->unlock, NULL, why);
	return ret < 0 ? ret : field_keys_renew(k, why);
}

int field_keys_for(struct field_keys *k, const struct field_options *o, const char *from_rules, struct fault *why)
{
	return open_keys(k, o, from_rules, true, why);
}

int field_keys_unlock(struct field_keys *k, const struct field_options *o, const char *from_rules, struct fault *why)
{
	return open_keys(k, o, from_rules, false, why);
}

int field_keys_public(struct field_keys *k, const char *file, struct fault *why)
{
	char text[PUBLIC_KEY_ROOM], shown[PUBLIC_KEY_ROOM];
	_cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	int ret;

	log_escape(file, shown, sizeof(shown));
	if (n < 0)
		return fault_errno(why, EXIT_FAILED, -errno, "cannot read %s", shown);
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	ret = secrets_start(why);
	if (ret == 0)
		ret = token_box_sealing(text, (size_t)n, &k->box);
	if (ret == -EINVAL)
		return fault_set(why, EXIT_FAILED, EINVAL, "%s is no public key of coffer field pubkey, or was changed",
				 shown);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot use %s", shown) : 0;
}

int field_seals_only(struct field_options *o, struct fault *why)
{
	if (!o->public_key)
		return 0;
	if (o->mode && strcmp(o->mode, "sealed") != 0)
		return fault_set(why, EXIT_USAGE, EINVAL, "with --pubkey the mode is sealed");
	o->mode = "sealed";
	return 0;
}

/* ------------------------------------------------------------------ files */

void field_file_end(struct field_file *f)
{
	plan_free(&f->plan);
	rules_free(&f->rules);
}

static int find_format(struct field_file *f, const char *given, struct fault *why)
{
	char shown[NAME_ROOM];

	f->format = given ? format_by_name(given) : format_of_file(f->called);
	if (f->format)
		return 0;
	if (given)
		return fault_set(why, EXIT_USAGE, EINVAL, "no format %s; there are %s", given, format_names());
	return fault_set(why, EXIT_USAGE, EINVAL, "%s: the name does not tell the format; give --format %s",
			 log_escape(f->called, shown, sizeof(shown)), format_names());
}

static int set_separator(struct field_file *f, const char *text, struct fault *why)
{
	if (!text)
		return 0;
	f->scan.separator = strcmp(text, "\\t") == 0 ? '\t' : text[0];
	if ((text[1] && f->scan.separator != '\t') || strchr("\"\r\n", f->scan.separator))
		return fault_set(why, EXIT_USAGE, EINVAL, "separator %s: give one character, or \\t", text);
	return 0;
}

static int set_dialect(struct field_file *f, const char *given, struct fault *why)
{
	static const char *const names[] = {"plain", "git", "systemd", "php", NULL};

	f->scan.dialect = given ? given : ini_dialect_of_file(f->called);
	for (size_t i = 0; given && strcmp(names[i], given) != 0; i++)
		if (!names[i + 1])
			return fault_set(why, EXIT_USAGE, EINVAL, "dialect %s: give plain, git, systemd or php", given);
	return 0;
}

static int set_scan_options(struct field_file *f, const struct field_options *o, struct fault *why)
{
	size_t n = strlen(f->called);
	int ret;

	f->scan = (struct scan_options){.lenient = o->lenient || f->rules.lenient,
					.no_header = o->no_header || f->rules.no_header};
	if (n > 4 && strcmp(f->called + n - 4, ".tsv") == 0)
		f->scan.separator = '\t';
	if (n > 6 && strcmp(f->called + n - 6, ".jsonc") == 0)
		f->scan.lenient = true;
	ret = set_separator(f, o->separator ? o->separator : f->rules.separator, why);
	return ret < 0 ? ret : set_dialect(f, o->dialect ? o->dialect : f->rules.dialect, why);
}

static int text_copy(char **to, const char *from, struct fault *why)
{
	if (!from)
		return 0;
	free(*to);
	*to = strdup(from);
	return *to ? 0 : fault_errno(why, EXIT_FAILED, -ENOMEM, "options");
}

/* The options that say how, over what the rules say. */
static int apply_manner(struct rule *r, const struct field_file *f, const struct field_options *o, struct fault *why)
{
	int ret = 0;

	if (o->mode)
		ret = rule_set_mode(r, o->mode, why);
	if (ret == 0 && o->bind)
		ret = rule_set_bind(r, o->bind, why);
	if (ret == 0)
		ret = text_copy(&r->context, o->context ? o->context : r->context ? NULL : f->rules.context, why);
	if (ret == 0)
		ret = text_copy(&r->domain, o->domain, why);
	if (ret < 0)
		return ret;
	if (o->domain && !o->mode)
		r->mode = TOKEN_DETERMINISTIC;
	if (r->context && strlen(r->context) > CONTEXT_MAX)
		return fault_set(why, EXIT_USAGE, EINVAL, "a context of more than %d bytes", CONTEXT_MAX);
	if (o->pad)
		r->pad = (uint32_t)o->pad;
	if (r->pad % TOKEN_PAD || r->pad > TOKEN_PAD_MAX)
		return fault_set(why, EXIT_USAGE, EINVAL, "--pad %u: give a multiple of %d up to %d", r->pad, TOKEN_PAD,
				 TOKEN_PAD_MAX);
	return 0;
}

/* Once for a process: tokens without a context can be carried from one environment to another. */
static void warn_of_context(const struct field_file *f)
{
	static bool warned;

	if (warned || f->rules.context || !f->rules.path)
		return;
	for (size_t i = 0; i < f->plan.count; i++)
		if (f->plan.rules[i].context)
			return;
	warned = true;
	log_warning("%s names no context: its tokens could be carried to another environment", f->rules.path);
}

static int load_rules(struct field_file *f, const struct field_options *o, struct fault *why)
{
	_cleanup_free_ char *found = NULL;
	int ret = o->rules ? 0 : rules_find(f->called, &found, why);
	if (ret == 0 && !o->rules && !found && o->rules_here)
		ret = rules_find("-", &found, why);
	const char *path = o->rules ? o->rules : found;

	if (ret < 0 || !path)
		return ret;
	return rules_load(path, f->called, o->format ? format_by_name(o->format) : format_of_file(f->called), &f->rules,
			  &f->plan, why);
}

/* What is chosen by options. */
static int choose(struct field_file *f, const struct field_options *o, struct fault *why)
{
	char shown[NAME_ROOM];
	struct rule *r;
	int ret;

	if (!o->paths && !o->key_regex && f->rules.about)
		return 0;
	if (!o->paths && !o->key_regex && f->rules.path && o->unruled == UNRULED_REFUSED)
		return fault_set(why, EXIT_USAGE, EINVAL, "%s has no rule about %s; choose with --path", f->rules.path,
				 log_escape(f->called, shown, sizeof(shown)));
	ret = plan_choose(&f->plan, &r);
	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "options");
	if (o->paths)
		ret = rule_add_paths(&r->encrypt, &r->encrypt_count, o->paths, f->format->style, why);
	if (ret == 0 && o->key_regex)
		ret = rule_set_keys(r, o->key_regex, why);
	r->everything = !o->paths && !o->key_regex;
	return ret;
}

static int finish_plan(struct field_file *f, const struct field_options *o, struct fault *why)
{
	int ret;

	f->plan.fallback = (struct rule){.mode = TOKEN_RANDOM, .bind = BIND_KEYS};
	ret = apply_manner(&f->plan.fallback, f, o, why);
	if (ret == 0 && f->plan.chosen)
		ret = apply_manner(f->plan.chosen, f, o, why);
	for (size_t i = 0; ret == 0 && i < f->plan.count; i++)
		ret = apply_manner(&f->plan.rules[i], f, o, why);
	plan_ready(&f->plan);
	if (ret == 0)
		warn_of_context(f);
	return ret;
}

static int begin(struct field_file *f, const struct field_options *o, const char *name, struct fault *why)
{
	int ret;

	*f = (struct field_file){.name = name, .called = field_is_stream(name) && o->name ? o->name : name};
	ret = load_rules(f, o, why);
	f->passed_over =
		o->unruled == UNRULED_NOTHING && f->rules.path && !f->rules.about && !o->paths && !o->key_regex;
	if (ret < 0 || f->passed_over)
		return ret;
	ret = find_format(f, o->format ? o->format : f->rules.format, why);
	return ret < 0 ? ret : set_scan_options(f, o, why);
}

int field_file_begin(struct field_file *f, const struct field_options *o, const char *name, struct fault *why)
{
	int ret = begin(f, o, name, why);

	if (ret < 0 || f->passed_over)
		return ret;
	ret = choose(f, o, why);
	return ret < 0 ? ret : finish_plan(f, o, why);
}

int field_file_choose(struct field_file *f, const struct field_options *o, const char *name, const char *path,
		      struct fault *why)
{
	struct rule *r;
	int ret = begin(f, o, name, why);

	if (ret < 0)
		return ret;
	ret = plan_choose(&f->plan, &r);
	if (ret == 0)
		r->encrypt = calloc(1, sizeof(struct pattern *));
	if (ret < 0 || !r->encrypt)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "path");
	ret = pattern_parse(path, strlen(path), f->format->style, &r->encrypt[0], why);
	r->encrypt_count = ret == 0;
	return ret < 0 ? ret : finish_plan(f, o, why);
}

/* ------------------------------------------------------------------ verbs without options of their own */

int field_verb_begin(const struct verb *v, int argc, char **argv, int count, int which, struct field_verb *out,
		     struct fault *why)
{
	struct field_options *o = &out->options;
	const struct option_spec specs[] = {
		OPTIONS_FIELD_KEYRING(o), OPTIONS_FIELD_FORMAT(o), OPTIONS_FIELD_BINDING(o), {0}};
	int ret = options_parse(v, argc, argv, specs, count, count, &out->words, why);

	if (ret)
		return ret;
	ret = field_file_begin(&out->file, o, out->words.at[which], why);
	return ret < 0 ? ret : field_keys_for(&out->keys, o, out->file.rules.keyring, why);
}

void field_verb_end(struct field_verb *v)
{
	field_file_end(&v->file);
	field_keys_close(&v->keys);
}
