/* Scalars of YAML: where they end, and what they mean. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "util/field/yaml.h"

/* ------------------------------------------------------------------ words */

bool yaml_at_end_of_line(const struct yaml *y)
{
	return y->at >= y->size || yaml_break(y->text[y->at]);
}

bool yaml_gap(const struct yaml *y, size_t ahead)
{
	size_t at = y->at + ahead;

	return at >= y->size || yaml_blank(y->text[at]) || yaml_break(y->text[at]);
}

bool yaml_marker(const struct yaml *y, size_t at)
{
	if (y->size - at < 3 || (memcmp(y->text + at, "---", 3) != 0 && memcmp(y->text + at, "...", 3) != 0))
		return false;
	return at + 3 >= y->size || yaml_blank(y->text[at + 3]) || yaml_break(y->text[at + 3]);
}

bool yaml_skip_blanks(struct yaml *y)
{
	bool tab = false;

	for (; y->at < y->size && yaml_blank(y->text[y->at]); y->at++)
		tab = tab || y->text[y->at] == '\t';
	return tab;
}

void yaml_skip_break(struct yaml *y)
{
	if (y->at + 1 < y->size && y->text[y->at] == '\r' && y->text[y->at + 1] == '\n')
		y->at++;
	if (y->at < y->size)
		y->at++;
	y->line = y->at;
}

int yaml_next_line(struct yaml *y)
{
	for (;;) {
		yaml_skip_blanks(y);
		if (y->at < y->size && y->text[y->at] == '#') {
			if (y->at > y->line && !yaml_blank(y->text[y->at - 1]))
				return scan_error(y->s, y->at, "a comment wants a blank before it");
			while (!yaml_at_end_of_line(y))
				y->at++;
		}
		if (!yaml_at_end_of_line(y))
			break;
		if (y->at >= y->size) {
			y->ended = true;
			y->indent = -1;
			return 0;
		}
		yaml_skip_break(y);
		if (yaml_marker(y, y->at)) {
			y->ended = true;
			y->indent = -1;
			return 0;
		}
	}
	size_t spaces = 0;
	while (y->text[y->line + spaces] == ' ')
		spaces++;
	y->indent = (int)spaces;
	y->tabbed = y->line + spaces < y->at;
	return 0;
}

/* ------------------------------------------------------------------ lines of one scalar */

/* Behind a line of a scalar: over empty lines to the content of the next one.  *go: it belongs to the scalar. */
static int continue_line(struct yaml *y, int n, bool quoted, bool *go)
{
	size_t start = y->at, line = y->line, spaces;

	*go = false;
	while (y->at < y->size && yaml_at_end_of_line(y)) {
		yaml_skip_break(y);
		if (yaml_marker(y, y->at)) {
			if (quoted)
				return scan_error(y->s, y->at, "a document ends inside quotes");
			break;
		}
		for (spaces = 0; y->at < y->size && y->text[y->at] == ' '; spaces++)
			y->at++;
		yaml_skip_blanks(y);
		if (y->at < y->size && !yaml_at_end_of_line(y)) {
			if ((int)spaces > n) {
				*go = true;
				return 0;
			}
			if (quoted)
				return scan_error(y->s, y->at, "the text in quotes is not indented deep enough");
			break;
		}
	}
	y->at = start;
	y->line = line;
	return 0;
}

static int check_escape(struct yaml *y)
{
	size_t digits = 0;
	char c = yaml_peek(y, 1);

	if (c == 'x')
		digits = 2;
	else if (c == 'u')
		digits = 4;
	else if (c == 'U')
		digits = 8;
	else if (!c || !strchr("0abt\tnvfre \"/\\N_LP\n\r", c))
		return scan_error(y->s, y->at, "an unknown escape stands in quotes");
	for (size_t i = 0; i < digits; i++)
		if (!isxdigit((unsigned char)yaml_peek(y, 2 + i)))
			return scan_error(y->s, y->at, "%zu hexadecimal digits should follow", digits);
	y->at += 1; /* a line end behind the backslash is met by the caller */
	if (!yaml_break(c))
		y->at += 1 + digits;
	return 0;
}

int yaml_quoted(struct yaml *y, int n)
{
	char quote = y->text[y->at];
	size_t start = y->at++;
	bool go;
	int ret = 0;

	while (ret == 0) {
		if (y->at >= y->size)
			return scan_error(y->s, start, "the quote is not closed");
		char c = y->text[y->at];
		if (yaml_break(c)) {
			ret = continue_line(y, n, true, &go);
			if (ret == 0 && !go)
				return scan_error(y->s, start, "the quote is not closed");
		} else if (c == '\\' && quote == '"') {
			ret = check_escape(y);
		} else if (c == quote) {
			y->at++;
			if (quote == '"' || yaml_peek(y, 0) != '\'')
				return 0;
			y->at++;
		} else {
			y->at++;
		}
	}
	return ret;
}

/* A character that may stand in a plain scalar behind "-", "?" or ":" [127]. */
static bool plain_safe(const struct yaml *y, size_t ahead, bool flow)
{
	return !yaml_gap(y, ahead) && !(flow && yaml_flow_sign(yaml_peek(y, ahead)));
}

bool yaml_plain_begins(const struct yaml *y, bool flow)
{
	char c = yaml_peek(y, 0);

	if (y->at >= y->size)
		return false;
	if (c == '-' || c == '?' || c == ':')
		return plain_safe(y, 1, flow);
	return c != '\0' && !yaml_blank(c) && !yaml_break(c) && !strchr(",[]{}#&*!|>'\"%@`", c);
}

/* The rest of a plain scalar on this line. */
static void plain_line(struct yaml *y, bool flow)
{
	for (; !yaml_at_end_of_line(y); y->at++) {
		char c = y->text[y->at];

		if (c == ':' && !plain_safe(y, 1, flow))
			break;
		if (c == '#' && y->at > y->line && yaml_blank(y->text[y->at - 1]))
			break;
		if (flow && yaml_flow_sign(c))
			break;
	}
	while (yaml_blank(y->text[y->at - 1]))
		y->at--;
}

int yaml_plain(struct yaml *y, int n, bool flow, size_t *end)
{
	bool go;
	int ret;

	plain_line(y, flow);
	*end = y->at;
	for (;;) {
		size_t stop = y->at, line = y->line;

		yaml_skip_blanks(y);
		if (!yaml_at_end_of_line(y)) {
			y->at = stop;
			return 0;
		}
		ret = continue_line(y, n, false, &go);
		if (ret < 0)
			return ret;
		bool ends = !go || y->text[y->at] == '#' || (flow && yaml_flow_sign(y->text[y->at])) ||
			    (y->text[y->at] == ':' && !plain_safe(y, 1, flow));
		if (ends) {
			y->at = stop;
			y->line = line;
			return 0;
		}
		plain_line(y, flow);
		*end = y->at;
	}
}

/* ------------------------------------------------------------------ meaning */

static int add_escape(const char *p, size_t n, size_t *i, struct buffer *out)
{
	static const char from[] = "0abt\tnvfre \"/\\", to[] = "\0\a\b\t\t\n\v\f\r\033 \"/\\";
	const char *found;
	uint32_t code = 0;
	size_t digits;
	char c = p[++*i];

	found = c ? strchr(from, c) : NULL;
	if (found)
		return buffer_byte(out, to[found - from]);
	digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
	if (!digits)
		return utf8_add(out, c == 'N' ? 0x85 : c == '_' ? 0xa0 : c == 'L' ? 0x2028 : 0x2029);
	for (size_t d = 0; d < digits && *i + 1 < n; d++) {
		c = p[++*i];
		code = code << 4 | (uint32_t)(isdigit((unsigned char)c) ? c - '0' : tolower(c) - 'a' + 10);
	}
	return utf8_add(out, code <= 0x10ffff ? code : 0xfffd);
}

/* Folds the line ends at *i (blanks around them go): one is a blank, more are one less. */
static int fold(const char *p, size_t n, size_t *i, struct buffer *out, bool escaped)
{
	size_t breaks = 0;
	int ret = 0;

	while (*i < n && (yaml_blank(p[*i]) || yaml_break(p[*i]))) {
		if (p[*i] == '\r' && *i + 1 < n && p[*i + 1] == '\n')
			++*i;
		breaks += yaml_break(p[*i]);
		++*i;
	}
	--*i;
	if (breaks == 1 && !escaped)
		return buffer_byte(out, ' ');
	for (size_t b = 1; ret == 0 && b < breaks; b++)
		ret = buffer_byte(out, '\n');
	return ret;
}

/* Blanks at i that end in a line break. */
static bool break_follows(const char *p, size_t n, size_t i)
{
	while (i < n && yaml_blank(p[i]))
		i++;
	return i < n && yaml_break(p[i]);
}

static int flow_value(const char *p, size_t n, char quote, struct buffer *out)
{
	size_t from = quote ? 1 : 0, to = quote && n ? n - 1 : n;
	int ret = 0;

	for (size_t i = from; ret == 0 && i < to; i++) {
		if ((yaml_blank(p[i]) || yaml_break(p[i])) && break_follows(p, to, i)) {
			ret = fold(p, to, &i, out, false);
		} else if (quote == '"' && p[i] == '\\' && i + 1 < to) {
			if (break_follows(p, to, i + 1) && yaml_break(p[i + 1])) {
				i++;
				ret = fold(p, to, &i, out, true);
			} else {
				ret = add_escape(p, to, &i, out);
			}
		} else {
			if (quote == '\'' && p[i] == '\'')
				i++;
			ret = buffer_byte(out, p[i]);
		}
	}
	return ret;
}

int yaml_scalar_value(const char *source, size_t size, int n, struct buffer *out)
{
	char c = size ? source[0] : '\0';

	if (size >= 2 && (c == '"' || c == '\''))
		return flow_value(source, size, c, out);
	if (c == '|' || c == '>')
		return yaml_block_value(source, size, n, out);
	return flow_value(source, size, '\0', out);
}
