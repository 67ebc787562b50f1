#include "util/cli/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
	SPECS_MAX = 64,
	VALUE_HELP = 0x100,
	VALUE_FIRST, /* option i of the specs is VALUE_FIRST + i, also where it has a letter */
};

static int append_list(char **list, const char *value)
{
	char *joined;

	if (asprintf(&joined, "%s%s%s", *list ? *list : "", *list ? "," : "", value) < 0)
		return -ENOMEM;
	free(*list);
	*list = joined;
	return 0;
}

/* Stores the value of one option.  -EINVAL: not a value of this kind. */
static int store_value(const struct option_spec *o, const char *value)
{
	uint64_t n;

	switch (o->kind) {
	case OPTION_FLAG:
		*(bool *)o->target = true;
		return 0;
	case OPTION_TEXT:
		if (!*value)
			return -EINVAL;
		*(const char **)o->target = value;
		return 0;
	case OPTION_LIST:
		return append_list(o->target, value);
	case OPTION_NUMBER:
		if (number_parse(value, INT_MAX, &n) < 0)
			return -EINVAL;
		*(int *)o->target = (int)n;
		return 0;
	case OPTION_SIZE:
		return size_parse(value, o->target);
	case OPTION_END:
		break;
	}
	return -EINVAL;
}

/* One option as it was met: no repetition, no second one of its group. */
static int take(const struct verb *v, const struct option_spec *specs, int i, bool *seen, const char *value,
		struct fault *why)
{
	const struct option_spec *o = &specs[i];

	if (seen[i] && o->kind != OPTION_FLAG && o->kind != OPTION_LIST)
		return fault_set(why, EXIT_USAGE, EINVAL, "%s: --%s is given twice", v->name, o->name);
	for (int j = 0; o->group && specs[j].kind; j++)
		if (j != i && seen[j] && specs[j].group == o->group)
			return fault_set(why, EXIT_USAGE, EINVAL, "%s: give --%s or --%s, not both", v->name,
					 specs[j].name, o->name);
	seen[i] = true;
	int r = store_value(o, value);
	if (r == -EINVAL)
		return fault_set(why, EXIT_USAGE, EINVAL, "%s: --%s %s: not a value that it takes", v->name, o->name,
				 *value ? value : "(empty)");
	if (r < 0)
		return fault_errno(why, EXIT_FAILED, r, "%s: --%s", v->name, o->name);
	return 0;
}

/* What getopt_long did not like. */
static int bad_option(const struct verb *v, int c, char **argv, struct fault *why)
{
	char letter[3] = {'-', optopt > 0 && optopt < VALUE_HELP ? (char)optopt : '?', '\0'};
	const char *word = letter[1] == '?' ? argv[optind - 1] : letter;

	if (c == ':')
		return fault_set(why, EXIT_USAGE, EINVAL, "%s: %s wants a value; see: coffer %s --help", v->name, word,
				 v->name);
	if (optopt >= VALUE_HELP)
		return fault_set(why, EXIT_USAGE, EINVAL, "%s: %s: the option takes no value", v->name, word);
	return fault_set(why, EXIT_USAGE, EINVAL, "%s: no option %s; see: coffer %s --help", v->name, word, v->name);
}

/* The tables that getopt_long wants.  False if there is no room for all. */
static bool make_tables(const struct option_spec *specs, struct option *longs, char *shorts)
{
	*shorts++ = ':'; /* a missing value is told from an unknown option, and nothing is printed */
	*shorts++ = 'h';
	*longs++ = (struct option){"help", no_argument, NULL, VALUE_HELP};
	for (int i = 0; specs[i].kind; i++) {
		if (i == SPECS_MAX)
			return false;

		bool value = specs[i].kind != OPTION_FLAG;

		*longs++ =
			(struct option){specs[i].name, value ? required_argument : no_argument, NULL, VALUE_FIRST + i};
		if (specs[i].letter)
			*shorts++ = specs[i].letter;
		if (specs[i].letter && value)
			*shorts++ = ':';
	}
	*shorts = '\0';
	*longs = (struct option){0};
	return true;
}

static int index_of(const struct option_spec *specs, int c)
{
	if (c >= VALUE_FIRST)
		return c - VALUE_FIRST;
	for (int i = 0; specs[i].kind; i++)
		if (specs[i].letter == c)
			return i;
	return -1;
}

int options_parse(const struct verb *v, int argc, char **argv, const struct option_spec *specs, int min, int max,
		  struct words *words, struct fault *why)
{
	struct option longs[SPECS_MAX + 2];
	char shorts[2 * SPECS_MAX + 3];
	bool seen[SPECS_MAX] = {false};
	int c;

	if (!make_tables(specs, longs, shorts))
		return fault_set(why, EXIT_FAILED, EOVERFLOW, "%s: more than %d options are in its table", v->name,
				 SPECS_MAX);
	opterr = 0;
	optind = 0; /* glibc: start anew */
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (c == 'h' || c == VALUE_HELP) {
			verb_print_help(v);
			return OPTIONS_HELP;
		}
		int i = index_of(specs, c);
		if (i < 0)
			return bad_option(v, c, argv, why);
		int r = take(v, specs, i, seen, optarg ? optarg : "", why);
		if (r < 0)
			return r;
	}
	*words = (struct words){argc - optind, argv + optind};
	if (words->count < min)
		return fault_set(why, EXIT_USAGE, EINVAL, "%s: something is missing; see: coffer %s --help", v->name,
				 v->name);
	if (words->count > max)
		return fault_set(why, EXIT_USAGE, EINVAL, "%s: %s is too much; see: coffer %s --help", v->name,
				 words->at[max], v->name);
	return 0;
}

char **options_split_command(int *argc, char **argv)
{
	for (int i = 1; i < *argc && argv[i]; i++)
		if (strcmp(argv[i], "--") == 0 && argv[i + 1]) {
			*argc = i;
			argv[i] = NULL;
			return argv + i + 1;
		}
	return NULL;
}
