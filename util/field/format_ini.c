/* INI in four dialects.
 *
 *            sign    comment behind a value    a value goes on                     quotes
 *   (none)   = or :  blank and ;               in lines indented deeper than its   around the whole value
 *                                              name, as Python's configparser has it
 *   git      =       ; or #, outside quotes    after a backslash at the line's end anywhere, with escapes
 *   systemd  =       none                      after a backslash at the line's end are part of the value
 *   php      =       blank and ;               inside quotes                       around the whole value
 *
 * Where it is unclear whether a line belongs to the value before, it does: rather encrypted than left in clear. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "util/field/ini.h"
#include "util/field/lines.h"

struct ini {
	struct scan *s;
	enum ini_dialect dialect;
	uint32_t section;           /* node */
	struct buffer section_name; /* its parts, each with a zero byte behind */
	size_t at, end, next;       /* of the line */
};

static bool comment_sign(const struct ini *i, char c)
{
	(void)i;
	return c == ';' || c == '#';
}

static bool ends_in_backslash(const struct scan *s, size_t start, size_t end)
{
	size_t n = 0;

	while (end - n > start && s->text[end - n - 1] == '\\')
		n++;
	return n % 2 == 1;
}

/* ------------------------------------------------------------------ sections */

static int add_part(struct ini *i, const char *name, size_t n)
{
	int ret = scan_add_node(i->s, i->section, STEP_KEY, 1, name, n, &i->section);

	if (ret == 0)
		ret = buffer_add(&i->section_name, name, n);
	return ret < 0 ? ret : buffer_byte(&i->section_name, '\0');
}

/* git: [name "part"]; the quotes have escapes. */
static int git_section(struct ini *i, size_t start, size_t *close)
{
	_cleanup_buffer_ struct buffer part = {0};
	const char *text = i->s->text;
	size_t at = start;
	int ret;

	while (at < i->end && (isalnum((unsigned char)text[at]) || text[at] == '-' || text[at] == '.'))
		at++;
	if (at == start)
		return scan_error(i->s, at, "the name of a section should stand here");
	ret = add_part(i, text + start, at - start);
	start = at;
	at = skip_spaces(i->s, at, i->end);
	if (ret == 0 && at > start && at < i->end && text[at] == '"') {
		for (at++; ret == 0 && at < i->end && text[at] != '"'; at++) {
			if (text[at] == '\\' && at + 1 < i->end)
				at++;
			ret = buffer_byte(&part, text[at]);
		}
		if (ret == 0 && at == i->end)
			return scan_error(i->s, start, "the quote is not closed");
		at++;
		if (ret == 0)
			ret = add_part(i, part.bytes ? part.bytes : "", part.size);
	}
	if (ret < 0)
		return ret;
	if (at >= i->end || text[at] != ']')
		return scan_error(i->s, at, "']' should stand here");
	*close = at;
	return 0;
}

/* From "[" on.  *rest: what stands behind it on the line. */
static int scan_section(struct ini *i, size_t start, size_t *rest)
{
	const char *close;
	size_t at = start;
	int ret;

	i->section = NODE_TOP;
	buffer_reset(&i->section_name);
	if (i->dialect == DIALECT_GIT) {
		ret = git_section(i, start + 1, &at);
	} else {
		close = memchr(i->s->text + start, ']', i->end - start);
		if (!close)
			return scan_error(i->s, start, "the section has no ']'");
		at = (size_t)(close - i->s->text);
		ret = add_part(i, i->s->text + start + 1, at - start - 1);
	}
	if (ret < 0)
		return ret;
	*rest = skip_spaces(i->s, at + 1, i->end);
	if (*rest < i->end && !comment_sign(i, i->s->text[*rest]) && i->dialect != DIALECT_GIT)
		return scan_error(i->s, *rest, "text follows the section");
	return 0;
}

/* ------------------------------------------------------------------ values */

/* A value in quotes, all of it: where it ends; 0 if it is none. */
static size_t quoted_end(const struct ini *i, size_t start)
{
	size_t limit = i->dialect == DIALECT_PHP ? i->s->size : i->end;
	char quote = i->s->text[start];

	if (quote != '"' && quote != '\'')
		return 0;
	for (size_t at = start + 1; at < limit; at++) {
		if (i->dialect == DIALECT_PHP && i->s->text[at] == '\\' && at + 1 < limit) {
			at++;
			continue;
		}
		if (i->s->text[at] != quote)
			continue;
		size_t next, end = line_end(i->s, at, &next), rest = skip_spaces(i->s, at + 1, end);
		if (rest == end || (rest > at + 1 && i->s->text[rest] == ';'))
			return at + 1;
	}
	return 0;
}

/* Without a comment that has a blank before it, and blanks before that. */
static size_t without_comment(const struct ini *i, size_t start, size_t end)
{
	if (i->dialect != DIALECT_SYSTEMD)
		for (size_t at = start; at < end; at++)
			if (i->s->text[at] == ';' && isblank((unsigned char)i->s->text[at - 1]))
				return trim_spaces(i->s, start, at);
	return trim_spaces(i->s, start, end);
}

/* Lines that are indented deeper than `indent`, with empty ones and comments between them. */
static size_t indented_end(struct ini *i, size_t indent, size_t end)
{
	size_t at = i->next;

	while (at < i->s->size) {
		size_t next, stop = line_end(i->s, at, &next), first = skip_spaces(i->s, at, stop);

		if (first < stop && !comment_sign(i, i->s->text[first])) {
			if (first - at <= indent)
				break;
			end = without_comment(i, first, stop);
			if (end == first)
				end = stop;
			i->next = next;
		}
		at = next;
	}
	return end;
}

/* A backslash at the end of a line joins the next one. */
static size_t joined_end(struct ini *i, size_t start)
{
	size_t end = i->end, line = start;

	while (ends_in_backslash(i->s, line, end) && i->next < i->s->size) {
		line = i->next;
		end = line_end(i->s, line, &i->next);
	}
	return trim_spaces(i->s, start, end);
}

/* git: quotes may begin anywhere; a comment ends the value outside them. */
static int git_value_end(struct ini *i, size_t start, size_t *out)
{
	const char *text = i->s->text;
	bool quoted = false;
	size_t at = start, kept = start;

	for (;; at++) {
		if (at >= i->end) {
			if (quoted)
				return scan_error(i->s, start, "the quote is not closed");
			break;
		}
		if (text[at] == '\\') {
			at++;
			if (at >= i->end) { /* the line goes on */
				if (i->next >= i->s->size)
					return scan_error(i->s, at - 1, "the last line ends in a backslash");
				at = i->next - 1;
				i->end = line_end(i->s, i->next, &i->next);
			}
			kept = at + 1;
			continue;
		}
		if (text[at] == '"')
			quoted = !quoted;
		else if (!quoted && comment_sign(i, text[at]))
			break;
		if (quoted || !isblank((unsigned char)text[at]))
			kept = at + 1;
	}
	*out = kept;
	return 0;
}

static int value_end(struct ini *i, size_t indent, size_t start, size_t *end)
{
	if (i->dialect == DIALECT_GIT)
		return git_value_end(i, start, end);
	if (i->dialect == DIALECT_SYSTEMD) {
		*end = joined_end(i, start);
		return 0;
	}
	size_t quoted = start < i->end ? quoted_end(i, start) : 0;
	if (quoted) {
		*end = quoted;
		line_end(i->s, quoted, &i->next);
		return 0;
	}
	*end = without_comment(i, start, i->end);
	if (i->dialect == DIALECT_PLAIN)
		*end = indented_end(i, indent, *end);
	return 0;
}

/* ------------------------------------------------------------------ lines */

/* The key of this name in this section, counted. */
static int add_key(struct ini *i, size_t start, size_t end, uint32_t *node)
{
	_cleanup_buffer_ struct buffer full = {0};
	uint64_t which = 0;
	int ret = buffer_add(&full, i->section_name.bytes, i->section_name.size);

	if (ret == 0)
		ret = buffer_add(&full, i->s->text + start, end - start);
	if (ret == 0)
		ret = scan_count(i->s, STEP_KEY, full.bytes, full.size, &which);
	return ret < 0 ? ret
		       : scan_add_node(i->s, i->section, STEP_KEY, which + 1, i->s->text + start, end - start, node);
}

static size_t find_sign(const struct ini *i, size_t at)
{
	for (; at < i->end; at++)
		if (i->s->text[at] == '=' || (i->dialect == DIALECT_PLAIN && i->s->text[at] == ':'))
			return at;
	return SIZE_MAX;
}

/* Where a value would go if there is none: behind one blank, if a blank or the line's end is left behind it. */
static size_t hole(const struct ini *i, size_t at)
{
	if (at < i->end && isblank((unsigned char)i->s->text[at]) &&
	    (at + 1 >= i->end || isblank((unsigned char)i->s->text[at + 1])))
		return at + 1;
	return at;
}

static int scan_key_line(struct ini *i, size_t start)
{
	size_t sign = find_sign(i, start), name_to = trim_spaces(i->s, start, sign == SIZE_MAX ? i->end : sign);
	size_t indent = start - i->at, value, end = 0;
	uint32_t node = NODE_TOP;
	int ret;

	if (sign == SIZE_MAX) { /* a name alone: no place for a token */
		for (size_t at = start; at < name_to && !comment_sign(i, i->s->text[at]); at++)
			if (isblank((unsigned char)i->s->text[at]) && skip_spaces(i->s, at, name_to) < name_to &&
			    !comment_sign(i, i->s->text[skip_spaces(i->s, at, name_to)]))
				return scan_error(i->s, start, "no section, no comment, and no '='");
		return 0;
	}
	if (name_to == start)
		return scan_error(i->s, start, "a name should stand before the '%c'", i->s->text[sign]);
	value = skip_spaces(i->s, sign + 1, i->end);
	if (value == i->end)
		value = sign + 1;
	ret = value_end(i, indent, value, &end);
	if (end == value)
		value = end = hole(i, sign + 1);
	if (ret == 0)
		ret = add_key(i, start, name_to, &node);
	return ret < 0 ? ret : scan_leaf(i->s, node, value, end, LEAF_STRING, (uint8_t)i->dialect);
}

static int scan_line(struct ini *i)
{
	size_t start = skip_spaces(i->s, i->at, i->end), rest = start;
	int ret = 0;

	if (start == i->end || comment_sign(i, i->s->text[start]))
		return 0;
	if (i->s->text[start] == '[') {
		ret = scan_section(i, start, &rest);
		if (ret < 0 || rest == i->end || comment_sign(i, i->s->text[rest]))
			return ret;
	}
	return scan_key_line(i, rest);
}

static enum ini_dialect dialect_of(const struct scan *s)
{
	static const char *const names[] = {"plain", "git", "systemd", "php"};
	const char *name = s->options->dialect;

	for (unsigned d = 0; name && d < 4; d++)
		if (strcmp(names[d], name) == 0)
			return (enum ini_dialect)d;
	return DIALECT_PLAIN;
}

static int ini_scan(struct scan *s, size_t *used)
{
	struct ini i = {.s = s, .dialect = dialect_of(s), .next = scan_bom(s)};
	int ret = refuse_binary(s);

	if (ret == 0)
		ret = scan_open(s);
	while (ret == 0 && i.next < s->size) {
		i.at = i.next;
		i.end = line_end(s, i.at, &i.next);
		ret = scan_line(&i);
	}
	buffer_free(&i.section_name);
	*used = s->size;
	return ret;
}

const struct format format_ini = {
	.name = "ini",
	.scan = ini_scan,
	.value = ini_value,
	.type = always_string,
	.source = ini_source,
	.token = token_bare,
};
