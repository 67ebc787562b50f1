/* Reading the rules file with the scanner of YAML: each scalar comes with its path, in order.
 *
 *   (1) What is not known is an error: a misspelt "encrypt" must not leave secrets in clear. */
#include "util/field/rules.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "util/base/log.h"
#include "util/field/glob.h"

enum { NAME_ROOM = 200 };

const char rules_example[] = "# Rules of coffer field: which values are encrypted.  coffer-field(1) says more.\n"
			     "version: 1\n"
			     "\n"
			     "# The volume, or keyring, whose keys are used; relative to this file.\n"
			     "#keyring: ../vault\n"
			     "\n"
			     "# Tokens of one context do not open in another: name the environment.\n"
			     "context: production\n"
			     "\n"
			     "# For each value the first rule that selects it holds.\n"
			     "rules:\n"
			     "  - files: \"*.yaml\"          # names, with * and ?; a list is fine\n"
			     "    encrypt:                  # paths; ** means any depth\n"
			     "      - \"**.password\"\n"
			     "      - \"**.token\"\n"
			     "    #keys: \"(secret|key)$\"    # or: everything below keys that match\n"
			     "    #leave: [\"public\"]        # but not these\n"
			     "    #mode: random             # deterministic (with domain: NAME), sealed\n"
			     "    #bind: keys               # path, record:COLUMN, none\n"
			     "    #pad: 16                  # hide lengths up to multiples of this\n"
			     "    #format: yaml             # if the name does not tell\n";

void rules_free(struct rules *r)
{
	free(r->path);
	free(r->keyring);
	free(r->context);
	free(r->format);
	free(r->dialect);
	free(r->separator);
	*r = (struct rules){0};
}

/* ------------------------------------------------------------------ finding */

static int no_memory(struct fault *why)
{
	return fault_errno(why, EXIT_FAILED, -ENOMEM, "rules");
}

static int check_owner(const char *path, const struct stat *st, struct fault *why)
{
	char shown[NAME_ROOM];

	if (st->st_uid == geteuid() || st->st_uid == 0)
		return 0;
	return fault_set(why, EXIT_REFUSED, EPERM,
			 "%s belongs to another user (uid %u) and may not be meant; --rules takes it all the same",
			 log_escape(path, shown, sizeof(shown)), (unsigned)st->st_uid);
}

int rules_find(const char *file, char **out, struct fault *why)
{
	_cleanup_free_ char *copy = strdup(file), *directory = NULL, *path = NULL;
	struct stat st;

	*out = NULL;
	if (!copy)
		return no_memory(why);
	directory = realpath(strcmp(file, "-") == 0 ? "." : dirname(copy), NULL);
	while (directory) {
		char *slash = strrchr(directory, '/');

		free(path);
		if (asprintf(&path, "%s/%s", strcmp(directory, "/") == 0 ? "" : directory, RULES_FILE) < 0) {
			path = NULL;
			return no_memory(why);
		}
		if (stat(path, &st) == 0) {
			int ret = check_owner(path, &st, why);
			if (ret == 0) {
				*out = path;
				path = NULL;
			}
			return ret;
		}
		if (!slash || !directory[1])
			break;
		slash[slash == directory] = '\0';
	}
	return 0;
}

/* ------------------------------------------------------------------ reading */

struct loader {
	const char *path;
	const char *name, *relative; /* of the file that the rules are asked about */
	const struct format *format;
	struct rules *rules;
	struct plan *plan;
	bool version;
	/* the rule that is being read */
	int64_t index;
	bool named, matches; /* it names files; one of them is this one */
	struct rule rule;
	struct buffer encrypt, leave; /* patterns; parsed when the format is known */
	struct rules settings;
};

/* "a.b[1].c" -> words; -1 where a step is no key, respectively no index. */
static const char *key_at(const struct found *f, unsigned want, char *out, size_t room)
{
	struct step s;
	size_t at = 0;

	*out = '\0';
	path_next(f->path, f->path_size, &at, &s); /* the document */
	for (unsigned i = 0; path_next(f->path, f->path_size, &at, &s); i++)
		if (i == want) {
			if (s.kind != STEP_KEY || s.length >= room)
				return out;
			memcpy(out, s.name, s.length);
			out[s.length] = '\0';
		}
	return out;
}

static int64_t index_at(const struct found *f, unsigned want)
{
	struct step s;
	size_t at = 0;

	path_next(f->path, f->path_size, &at, &s);
	for (unsigned i = 0; path_next(f->path, f->path_size, &at, &s); i++)
		if (i == want)
			return s.kind == STEP_INDEX ? (int64_t)s.number : -1;
	return -1;
}

static int complain(const struct found *f, struct fault *why, const char *what)
{
	_cleanup_buffer_ struct buffer where = {0};

	if (found_where(f, &where) < 0)
		return no_memory(why);
	return fault_set(why, EXIT_FAILED, EINVAL, "%s: %s", where.bytes, what);
}

static int keep(char **to, const char *text, struct fault *why)
{
	free(*to);
	*to = strdup(text);
	return *to ? 0 : no_memory(why);
}

/* The path of a keyring is relative to the rules file. */
static int keep_keyring(struct loader *l, const char *text, struct fault *why)
{
	_cleanup_free_ char *copy = strdup(l->path);
	char *joined;

	if (text[0] == '/')
		return keep(&l->rules->keyring, text, why);
	if (!copy || asprintf(&joined, "%s/%s", dirname(copy), text) < 0)
		return no_memory(why);
	free(l->rules->keyring);
	l->rules->keyring = joined;
	return 0;
}

static bool name_matches(const struct loader *l, const char *glob)
{
	/* Without a slash it is about names in any directory. */
	return glob_matches(glob, strchr(glob, '/') ? l->relative : l->name);
}

static int add_text(struct buffer *to, const char *text, struct fault *why)
{
	int ret = to->size ? buffer_byte(to, ',') : 0;

	return (ret < 0 ? ret : buffer_text(to, text)) < 0 ? no_memory(why) : 0;
}

static int is_true(const struct found *f, const char *text, bool *out, struct fault *why)
{
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return complain(f, why, "say true or false");
	*out = text[0] == 't';
	return 0;
}

/* One member of a rule. */
static int rule_member(struct loader *l, const struct found *f, const char *key, const char *text, struct fault *why)
{
	bool header = true;
	int ret = 0;

	if (strcmp(key, "files") == 0) {
		l->named = true;
		l->matches = l->matches || name_matches(l, text);
	} else if (strcmp(key, "encrypt") == 0) {
		ret = add_text(&l->encrypt, text, why);
	} else if (strcmp(key, "leave") == 0) {
		ret = add_text(&l->leave, text, why);
	} else if (strcmp(key, "keys") == 0) {
		ret = l->rule.keys ? complain(f, why, "give one regular expression")
				   : rule_set_keys(&l->rule, text, why);
	} else if (strcmp(key, "mode") == 0) {
		ret = rule_set_mode(&l->rule, text, why);
	} else if (strcmp(key, "domain") == 0) {
		ret = keep(&l->rule.domain, text, why);
	} else if (strcmp(key, "bind") == 0) {
		ret = rule_set_bind(&l->rule, text, why);
	} else if (strcmp(key, "context") == 0) {
		ret = keep(&l->rule.context, text, why);
	} else if (strcmp(key, "pad") == 0) {
		l->rule.pad = (uint32_t)strtoul(text, NULL, 10);
		if (!l->rule.pad || l->rule.pad % TOKEN_PAD || l->rule.pad > TOKEN_PAD_MAX)
			ret = complain(f, why, "give a multiple of 16, at most 4096");
	} else if (strcmp(key, "format") == 0) {
		ret = format_by_name(text) ? keep(&l->settings.format, text, why) : complain(f, why, "no such format");
	} else if (strcmp(key, "dialect") == 0) {
		ret = keep(&l->settings.dialect, text, why);
	} else if (strcmp(key, "separator") == 0) {
		ret = keep(&l->settings.separator, text, why);
	} else if (strcmp(key, "lenient") == 0) {
		ret = is_true(f, text, &l->settings.lenient, why);
	} else if (strcmp(key, "header") == 0) {
		ret = is_true(f, text, &header, why);
		l->settings.no_header = ret == 0 && !header;
	} else {
		ret = complain(f, why,
			       "unknown; a rule has files, encrypt, keys, leave, mode, domain, bind, context, pad, "
			       "format, dialect, separator, lenient, header");
	}
	return ret;
}

/* Settings of the first rule about the file hold. */
static void take_settings(struct loader *l)
{
	struct rules *to = l->rules, *from = &l->settings;

	if (!to->format) {
		to->format = from->format;
		from->format = NULL;
	}
	if (!to->dialect) {
		to->dialect = from->dialect;
		from->dialect = NULL;
	}
	if (!to->separator) {
		to->separator = from->separator;
		from->separator = NULL;
	}
	to->lenient = to->lenient || from->lenient;
	to->no_header = to->no_header || from->no_header;
	to->about = true;
}

/* The rule that was read goes into the plan, if it is about the file. */
static int finish_rule(struct loader *l, struct fault *why)
{
	const struct format *format;
	enum path_style style;
	struct rule *r;
	int ret = 0;

	/* The rules are about every file but themselves. */
	if (l->index >= 0 && (!l->named || l->matches) && strcmp(l->name, RULES_FILE) != 0) {
		take_settings(l);
		format = l->rules->format ? format_by_name(l->rules->format) : l->format;
		style = format ? format->style : PATH_DOTS;
		l->rule.demanded = true;
		l->rule.everything = !l->encrypt.size && !l->rule.keys;
		if (l->rule.domain && l->rule.mode == TOKEN_RANDOM)
			l->rule.mode = TOKEN_DETERMINISTIC;
		ret = buffer_byte(&l->encrypt, '\0');
		if (ret == 0)
			ret = buffer_byte(&l->leave, '\0');
		if (ret == 0 && l->encrypt.size > 1)
			ret = rule_add_paths(&l->rule.encrypt, &l->rule.encrypt_count, l->encrypt.bytes, style, why);
		if (ret == 0 && l->leave.size > 1)
			ret = rule_add_paths(&l->rule.leave, &l->rule.leave_count, l->leave.bytes, style, why);
		if (ret == 0)
			ret = plan_add_rule(l->plan, &r);
		if (ret == 0) {
			*r = l->rule;
			l->rule = (struct rule){0};
		}
	}
	rule_free(&l->rule);
	rules_free(&l->settings);
	l->rule = (struct rule){.mode = TOKEN_RANDOM, .bind = BIND_KEYS};
	l->named = l->matches = false;
	buffer_reset(&l->encrypt);
	buffer_reset(&l->leave);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "%s", l->path) : 0;
}

static int take_leaf(struct loader *l, const struct found *f, const char *text, struct fault *why)
{
	char top[64], member[64];
	int ret = 0;

	key_at(f, 0, top, sizeof(top));
	if (strcmp(top, "rules") == 0) {
		if (index_at(f, 1) != l->index) {
			ret = finish_rule(l, why);
			l->index = index_at(f, 1);
		}
		if (ret == 0 && l->index < 0)
			return complain(f, why, "a list of rules should stand here");
		return ret < 0 ? ret : rule_member(l, f, key_at(f, 2, member, sizeof(member)), text, why);
	}
	if (strcmp(top, "version") == 0) {
		l->version = strcmp(text, "1") == 0;
		return l->version ? 0 : complain(f, why, "another version than 1 is not known");
	}
	if (strcmp(top, "keyring") == 0)
		return keep_keyring(l, text, why);
	if (strcmp(top, "context") == 0)
		return keep(&l->rules->context, text, why);
	return complain(f, why, "unknown; the rules have version, keyring, context, rules");
}

static int look(void *context, const struct found *f, struct buffer *with, bool *replace, struct fault *why)
{
	_cleanup_buffer_ struct buffer value = {0};
	int ret = found_value(f, &value);

	(void)with;
	(void)replace;
	if (ret == 0)
		ret = buffer_byte(&value, '\0');
	if (ret < 0)
		return no_memory(why);
	if (strlen(value.bytes) + 1 != value.size)
		return complain(f, why, "a zero byte");
	return take_leaf(context, f, value.bytes, why);
}

/* The file as seen from the directory of the rules. */
static const char *relative_to(const char *rules, const char *file, char *real)
{
	_cleanup_free_ char *copy = strdup(rules);
	char base[PATH_MAX];

	if (!copy || !realpath(file, real) || !realpath(dirname(copy), base))
		return file;
	size_t n = strlen(base);
	if (n == 1)
		return real + 1;
	return strncmp(real, base, n) == 0 && real[n] == '/' ? real + n + 1 : real;
}

static int fill_contexts(struct plan *plan, const struct rules *r, struct fault *why)
{
	for (size_t i = 0; i < plan->count; i++) {
		int ret = plan->rules[i].context || !r->context ? 0 : keep(&plan->rules[i].context, r->context, why);

		if (ret < 0)
			return ret;
	}
	return 0;
}

int rules_load(const char *path, const char *file, const struct format *format, struct rules *r, struct plan *plan,
	       struct fault *why)
{
	static const struct scan_options options;
	struct loader l = {.path = path, .format = format, .rules = r, .plan = plan, .index = -1};
	struct engine e = {.format = &format_yaml, .options = &options, .file = path, .edit = look, .edit_context = &l};
	char real[PATH_MAX], shown[NAME_ROOM];
	const char *slash = strrchr(file, '/');
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int ret;

	if (fd < 0)
		return fault_errno(why, EXIT_FAILED, -errno, "cannot open %s", log_escape(path, shown, sizeof(shown)));
	l.rule = (struct rule){.mode = TOKEN_RANDOM, .bind = BIND_KEYS};
	l.name = slash ? slash + 1 : file;
	l.relative = relative_to(path, file, real);
	ret = keep(&r->path, path, why);
	if (ret == 0)
		ret = engine_run(&e, fd, why);
	if (ret == 0)
		ret = finish_rule(&l, why);
	if (ret == 0 && !l.version)
		ret = fault_set(why, EXIT_FAILED, EINVAL, "%s: \"version: 1\" is missing",
				log_escape(path, shown, sizeof(shown)));
	if (ret == 0)
		ret = fill_contexts(plan, r, why);
	rule_free(&l.rule);
	rules_free(&l.settings);
	buffer_free(&l.encrypt);
	buffer_free(&l.leave);
	return ret;
}
