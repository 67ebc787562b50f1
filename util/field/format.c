#include "util/field/format.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct format *const formats[] = {&format_json,       &format_jsonl, &format_csv, &format_env, &format_ini,
					       &format_properties, &format_toml,  &format_xml, &format_yaml};
enum { FORMATS = sizeof(formats) / sizeof(formats[0]) };

/* What follows the last dot, or the name itself. */
static const struct {
	const char *ending, *format;
} endings[] = {
	{".json", "json"},
	{".jsonc", "json"},
	{".jsonl", "jsonl"},
	{".ndjson", "jsonl"},
	{".yaml", "yaml"},
	{".yml", "yaml"},
	{".toml", "toml"},
	{".xml", "xml"},
	{".csv", "csv"},
	{".tsv", "csv"},
	{".ini", "ini"},
	{".cfg", "ini"},
	{".conf", "ini"},
	{".gitconfig", "ini"},
	{".gitmodules", "ini"},
	{".service", "ini"},
	{".netdev", "ini"},
	{".network", "ini"},
	{".mount", "ini"},
	{".timer", "ini"},
	{".socket", "ini"},
	{".env", "env"},
	{".properties", "properties"},
};

const struct format *format_by_name(const char *name)
{
	for (size_t i = 0; i < FORMATS; i++)
		if (strcmp(formats[i]->name, name) == 0)
			return formats[i];
	return NULL;
}

const char *format_names(void)
{
	static char names[128];

	if (!*names)
		for (size_t i = 0; i < FORMATS; i++) {
			size_t n = strlen(names);

			snprintf(names + n, sizeof(names) - n, "%s%s", n ? ", " : "", formats[i]->name);
		}
	return names;
}

const struct format *format_of_file(const char *file)
{
	const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
	size_t n = strlen(name);

	if (strncmp(name, ".env", 4) == 0 && (!name[4] || name[4] == '.'))
		return format_by_name("env");
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		size_t m = strlen(endings[i].ending);

		if (n >= m && strcasecmp(name + n - m, endings[i].ending) == 0)
			return format_by_name(endings[i].format);
	}
	return NULL;
}

const char *ini_dialect_of_file(const char *file)
{
	static const char *const units[] = {".service", ".socket", ".timer", ".mount", ".network", ".netdev", NULL};
	const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
	size_t n = strlen(name);

	if (strcmp(name, ".gitconfig") == 0 || strcmp(name, ".gitmodules") == 0 ||
	    (slash && strcmp(name, "config") == 0 && slash - file >= 4 && strncmp(slash - 4, ".git", 4) == 0))
		return "git";
	if (strcmp(name, "php.ini") == 0)
		return "php";
	for (size_t i = 0; units[i]; i++)
		if (n > strlen(units[i]) && strcmp(name + n - strlen(units[i]), units[i]) == 0)
			return "systemd";
	return "plain";
}

int token_bare(const struct leaf *l, const char *token, size_t n, struct buffer *out)
{
	(void)l;
	return buffer_add(out, token, n);
}

int token_quoted(const struct leaf *l, const char *token, size_t n, struct buffer *out)
{
	int ret = buffer_byte(out, '"');

	(void)l;
	if (ret == 0)
		ret = buffer_add(out, token, n);
	return ret < 0 ? ret : buffer_byte(out, '"');
}

static size_t digits(const char *text, size_t n, size_t at)
{
	while (at < n && isdigit((unsigned char)text[at]))
		at++;
	return at;
}

/* RFC 8259 section 6. */
static bool is_number(const char *text, size_t n)
{
	size_t at = n > 0 && text[0] == '-', start = at;

	at = digits(text, n, at);
	if (at == start || (text[start] == '0' && at > start + 1))
		return false;
	if (at < n && text[at] == '.') {
		start = ++at;
		at = digits(text, n, at);
		if (at == start)
			return false;
	}
	if (at < n && (text[at] == 'e' || text[at] == 'E')) {
		at++;
		if (at < n && (text[at] == '+' || text[at] == '-'))
			at++;
		start = at;
		at = digits(text, n, at);
		if (at == start)
			return false;
	}
	return at == n;
}

enum leaf_type bare_type(const char *text, size_t n)
{
	if (is_number(text, n))
		return LEAF_NUMBER;
	if ((n == 4 && memcmp(text, "true", 4) == 0) || (n == 5 && memcmp(text, "false", 5) == 0))
		return LEAF_BOOL;
	if (n == 4 && memcmp(text, "null", 4) == 0)
		return LEAF_NULL;
	return LEAF_STRING;
}
