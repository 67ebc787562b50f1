/* Block scalars of YAML [170] [174]: where they end, and what they mean. */
#include <errno.h>
#include <string.h>

#include "util/field/yaml.h"

struct block {
	bool folded, strip, keep;
	int explicit_indent; /* 0: by the first line */
};

/* The signs behind | or >. */
static int block_header(struct yaml *y, struct block *b)
{
	b->folded = y->text[y->at++] == '>';
	for (int i = 0; i < 2; i++) {
		char c = yaml_peek(y, 0);

		if (c >= '1' && c <= '9' && !b->explicit_indent)
			b->explicit_indent = c - '0';
		else if ((c == '+' || c == '-') && !b->keep && !b->strip)
			*(c == '+' ? &b->keep : &b->strip) = true;
		else
			break;
		y->at++;
	}
	if (!yaml_gap(y, 0))
		return scan_error(y->s, y->at, "unknown signs behind '%c'", b->folded ? '>' : '|');
	return 0;
}

/* Leading spaces of the line at `at`; *empty: nothing else stands there. */
static size_t leading(const char *text, size_t at, size_t size, bool *empty)
{
	size_t spaces = 0;

	while (at + spaces < size && text[at + spaces] == ' ')
		spaces++;
	*empty = at + spaces >= size || yaml_break(text[at + spaces]);
	return spaces;
}

/* The indentation of the first line with content; -EINVAL if an empty line before it is deeper. */
static int detect_indent(struct yaml *y, int n, size_t at, size_t *out)
{
	size_t most = 0;

	*out = n < 0 ? 0 : (size_t)n + 1;
	while (at < y->size) {
		bool empty;
		size_t spaces = leading(y->text, at, y->size, &empty);

		if (!empty) {
			if ((int)spaces <= n)
				return 0; /* no content */
			if (most > spaces)
				return scan_error(y->s, at, "an empty line before the first text is indented deeper");
			*out = spaces;
			return 0;
		}
		if (spaces > most)
			most = spaces;
		at += spaces;
		if (at < y->size)
			at += 1 + (y->text[at] == '\r' && at + 1 < y->size && y->text[at + 1] == '\n');
	}
	if ((int)most > n)
		*out = most;
	return 0;
}

int yaml_block_scalar(struct yaml *y, int n, size_t *end)
{
	struct block b = {0};
	size_t indent;
	int ret = block_header(y, &b);

	if (ret < 0)
		return ret;
	*end = y->at;
	yaml_skip_blanks(y);
	if (yaml_peek(y, 0) == '#' && y->at > *end)
		while (!yaml_at_end_of_line(y))
			y->at++;
	if (!yaml_at_end_of_line(y))
		return scan_error(y->s, y->at, "only a comment may stand behind '|' or '>'");
	size_t first = y->at;
	if (first < y->size)
		first += 1 + (y->text[first] == '\r' && first + 1 < y->size && y->text[first + 1] == '\n');
	ret = 0;
	if (b.explicit_indent)
		indent = (n < 0 ? 0 : (size_t)n) + (size_t)b.explicit_indent;
	else
		ret = detect_indent(y, n, first, &indent);
	while (ret == 0 && y->at < y->size) {
		size_t stop = y->at, line = y->line;
		bool empty;

		yaml_skip_break(y);
		size_t spaces = leading(y->text, y->at, y->size, &empty);
		if ((!empty && spaces < indent) || yaml_marker(y, y->at)) {
			size_t blanks = y->at + spaces;
			while (blanks < y->size && yaml_blank(y->text[blanks]))
				blanks++;
			if (blanks > y->at + spaces && (blanks == y->size || yaml_break(y->text[blanks])))
				return scan_error(y->s, y->at, "a tab indents");
			y->at = stop;
			y->line = line;
			return 0; /* what follows the scalar */
		}
		y->at += empty && spaces > indent ? indent : spaces;
		bool content = !empty || spaces > indent;
		while (!yaml_at_end_of_line(y))
			y->at++;
		if (content || (b.keep && (y->at < y->size || y->at > y->line)))
			*end = y->at;
	}
	return ret;
}

/* ------------------------------------------------------------------ meaning */

/* The lines of a block scalar, behind its header. */
static int block_lines(const char *p, size_t n, size_t at, size_t indent, const struct block *b, struct buffer *out)
{
	size_t breaks = 0;
	bool any = false, more_before = false;
	int ret = 0;

	while (ret == 0 && at < n) {
		bool empty;
		size_t spaces = leading(p, at, n, &empty), skip = spaces < indent ? spaces : indent, stop = at + skip;

		while (stop < n && !yaml_break(p[stop]))
			stop++;
		bool content = stop > at + skip;
		bool more = content && yaml_blank(p[at + skip]);
		if (content) {
			if (any && b->folded && !more && !more_before) {
				if (breaks == 1)
					ret = buffer_byte(out, ' ');
				for (size_t i = 1; ret == 0 && i < breaks; i++)
					ret = buffer_byte(out, '\n');
			} else {
				for (size_t i = 0; ret == 0 && i < breaks; i++)
					ret = buffer_byte(out, '\n');
			}
			if (ret == 0)
				ret = buffer_add(out, p + at + skip, stop - at - skip);
			breaks = 0;
			any = true;
			more_before = more;
		}
		at = stop;
		breaks++;
		if (at < n)
			at += 1 + (p[at] == '\r' && at + 1 < n && p[at + 1] == '\n');
	}
	if (b->strip)
		return ret;
	breaks += b->keep && yaml_break(p[n - 1]); /* the last line is empty; its end is not part of the source */
	for (size_t i = 0; ret == 0 && i < (b->keep ? breaks : any); i++)
		ret = buffer_byte(out, '\n');
	return ret;
}

int yaml_block_value(const char *p, size_t n, int parent, struct buffer *out)
{
	struct fault ignored = {0};
	struct scan s = {.text = p, .size = n, .file = "", .why = &ignored, .line = 1, .column = 1};
	struct yaml y = {.s = &s, .text = p, .size = n};
	struct block b = {0};
	size_t indent;
	int ret = block_header(&y, &b);

	if (ret < 0)
		return ret;
	while (!yaml_at_end_of_line(&y))
		y.at++;
	if (y.at >= n)
		return 0; /* nothing but the header */
	yaml_skip_break(&y);
	if (b.explicit_indent)
		indent = (parent < 0 ? 0 : (size_t)parent) + (size_t)b.explicit_indent;
	else
		ret = detect_indent(&y, parent, y.at, &indent);
	return ret < 0 ? ret : block_lines(p, n, y.at, indent, &b, out);
}
