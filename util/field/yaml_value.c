/* Values of YAML: their types by the core schema, and how a value is written. */
#include <errno.h>
#include <string.h>

#include "util/field/yaml.h"

int yaml_value(const struct leaf *l, const char *source, size_t n, struct buffer *out)
{
	return yaml_scalar_value(source, n, l->quoting - 1, out);
}

static bool one_of(const char *source, size_t n, const char *const *words)
{
	for (; *words; words++)
		if (strlen(*words) == n && memcmp(*words, source, n) == 0)
			return true;
	return false;
}

static bool all_of(const char *source, size_t n, const char *set)
{
	for (size_t i = 0; i < n; i++)
		if (!source[i] || !strchr(set, source[i]))
			return false;
	return n > 0;
}

/* The core schema, section 10.3.2. */
static bool is_number(const char *p, size_t n)
{
	static const char *const words[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", NULL};
	size_t sign = n && (*p == '-' || *p == '+');

	if (n > 2 && p[0] == '0' && (p[1] == 'o' || p[1] == 'x'))
		return all_of(p + 2, n - 2, p[1] == 'o' ? "01234567" : "0123456789abcdefABCDEF");
	p += sign;
	n -= sign;
	if (one_of(p, n, words) || all_of(p, n, "0123456789"))
		return true;
	size_t digits = 0, i = 0;
	while (i < n && p[i] >= '0' && p[i] <= '9')
		i++, digits++;
	if (i < n && p[i] == '.')
		for (i++; i < n && p[i] >= '0' && p[i] <= '9'; i++)
			digits++;
	if (!digits)
		return false;
	if (i < n && (p[i] == 'e' || p[i] == 'E')) {
		i++;
		if (i < n && (p[i] == '+' || p[i] == '-'))
			i++;
		return all_of(p + i, n - i, "0123456789");
	}
	return i == n;
}

enum leaf_type yaml_type(const struct leaf *l, const char *source, size_t n)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL}, *const bools[] = {"true",  "True",
												      "TRUE",  "false",
												      "False", "FALSE",
												      NULL};

	(void)l;
	if (one_of(source, n, nulls))
		return LEAF_NULL;
	if (one_of(source, n, bools))
		return LEAF_BOOL;
	return is_number(source, n) ? LEAF_NUMBER : LEAF_STRING;
}

/* A word that every YAML reader takes for the same string. */
static bool plain_word(const char *value, size_t n)
{
	static const char *const words[] = {"y",  "Y",  "yes", "Yes", "YES", "n",   "N",    "no",   "No",   "NO",
					    "on", "On", "ON",  "off", "Off", "OFF", "null", "Null", "NULL", NULL};
	const struct leaf none = {0};

	if (!all_of(value, n, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./-") ||
	    value[0] == '-' || value[0] == '.' || (value[0] >= '0' && value[0] <= '9'))
		return false;
	return !one_of(value, n, words) && yaml_type(&none, value, n) == LEAF_STRING;
}

int yaml_source(enum leaf_type type, const struct leaf *l, const char *value, size_t n, struct buffer *out)
{
	if (type != LEAF_STRING)
		return yaml_type(l, value, n) == type && n ? buffer_add(out, value, n) : -EINVAL;
	for (size_t i = 0; i < n;) {
		size_t m = utf8_length(value + i, n - i);

		if (!m)
			return -EILSEQ;
		i += m;
	}
	return plain_word(value, n) ? buffer_add(out, value, n) : json_quote(value, n, out);
}
