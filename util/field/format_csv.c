/* CSV and TSV (RFC 4180): a field is a leaf, its quotes included.  Rows are documents; columns are keys, by the header or by number.
 *
 *   (1) A record is used whole or not at all.
 *   (2) leaf.quoting is the separator. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/field/format.h"

enum { COLUMNS_MAX = 65536, HEAD = 4096 };

struct csv {
	char separator;
	bool header_read;
	uint32_t *columns; /* nodes */
	size_t count, room;
};

static void csv_end(struct scan *s)
{
	struct csv *c = s->state;

	if (c)
		free(c->columns);
	free(c);
	s->state = NULL;
}

static int add_column(struct scan *s, struct csv *c, const char *name, size_t n)
{
	int ret;

	if (c->count == c->room) {
		size_t room = c->room ? 2 * c->room : 32;
		uint32_t *bigger = reallocarray(c->columns, room, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		c->columns = bigger;
		c->room = room;
	}
	ret = scan_key(s, STEP_KEY, name, n, NULL);
	if (ret == 0)
		c->columns[c->count++] = scan_node(s);
	return ret;
}

/* A column that the header does not name is called by its number. */
static int column(struct scan *s, struct csv *c, size_t i, size_t at, uint32_t *out)
{
	char number[24];

	if (i >= COLUMNS_MAX)
		return scan_error(s, at, "more than %d columns", COLUMNS_MAX);
	while (c->count <= i) {
		int n = snprintf(number, sizeof(number), "%zu", c->count + 1);
		int ret = add_column(s, c, number, (size_t)n);
		if (ret < 0)
			return ret;
	}
	*out = c->columns[i];
	return 0;
}

/* The end of the field that begins at `at`, or SIZE_MAX: it may go on behind the text.  *bad: a place that makes no sense. */
static size_t field_end(const struct scan *s, char separator, size_t at, size_t *bad)
{
	const char *text = s->text;
	size_t i = at;

	*bad = SIZE_MAX;
	if (i < s->size && text[i] == '"') {
		for (i++;; i++) {
			const char *quote = memchr(text + i, '"', s->size - i);
			if (!quote)
				return SIZE_MAX;
			i = (size_t)(quote - text) + 1;
			if (i >= s->size)
				return s->final ? i : SIZE_MAX;
			if (text[i] != '"')
				break;
		}
		if (text[i] != separator && text[i] != '\n' &&
		    !(text[i] == '\r' && i + 1 < s->size && text[i + 1] == '\n')) {
			if (text[i] == '\r' && i + 1 == s->size && !s->final)
				return SIZE_MAX;
			*bad = i;
		}
		return i;
	}
	while (i < s->size && text[i] != separator && text[i] != '\n')
		i++;
	if (i == s->size && !s->final)
		return SIZE_MAX;
	if (i > at && text[i - 1] == '\r' && (i < s->size ? text[i] == '\n' : false))
		i--;
	return i;
}

/* Behind a field: over the end of the line.  True if the record ends here. */
static bool line_ends(const struct scan *s, size_t *at)
{
	if (*at < s->size && s->text[*at] == '\r' && *at + 1 < s->size && s->text[*at + 1] == '\n')
		++*at;
	if (*at < s->size && s->text[*at] == '\n') {
		++*at;
		return true;
	}
	return *at >= s->size;
}

static int take_field(struct scan *s, struct csv *c, size_t i, size_t start, size_t end, bool header)
{
	_cleanup_buffer_ struct buffer name = {0};
	const struct leaf none = {.quoting = (uint8_t)c->separator};
	uint32_t node = NODE_TOP;
	int ret;

	if (header) {
		ret = s->format->value(&none, s->text + start, end - start, &name);
		return ret < 0 ? ret : add_column(s, c, name.bytes ? name.bytes : "", name.size);
	}
	ret = column(s, c, i, start, &node);
	return ret < 0 ? ret : scan_leaf(s, node, start, end, LEAF_STRING, (uint8_t)c->separator);
}

/* The fields of a record from *at on; with `take` they become leaves or columns.  -EAGAIN: it is not complete. */
static int scan_fields(struct scan *s, struct csv *c, size_t *at, bool take)
{
	size_t pos = *at, end, bad;
	int ret = 0;

	for (size_t i = 0; ret == 0; i++) {
		end = field_end(s, c->separator, pos, &bad);
		if (end == SIZE_MAX)
			return s->final ? scan_error(s, pos, "the quote is not closed") : -EAGAIN;
		if (bad != SIZE_MAX)
			return scan_error(s, bad, "text follows a closing quote");
		if (take)
			ret = take_field(s, c, i, pos, end, !c->header_read);
		pos = end;
		if (pos < s->size && s->text[pos] == c->separator) {
			pos++;
			if (pos == s->size && !s->final)
				return -EAGAIN;
		} else if (line_ends(s, &pos)) {
			*at = pos;
			return ret;
		}
	}
	return ret;
}

static int scan_record(struct scan *s, struct csv *c, size_t *at)
{
	size_t pos = *at, leaves = s->count;
	int ret;

	if (line_ends(s, &pos)) {
		*at = pos; /* an empty line is no record */
		return 0;
	}
	pos = *at;
	/* Columns are made once: the header has to be complete. */
	ret = c->header_read ? 0 : scan_fields(s, c, &pos, false);
	if (ret == 0)
		ret = scan_fields(s, c, at, true);
	if (ret < 0) {
		s->count = leaves;
		return ret;
	}
	if (c->header_read)
		s->document++;
	c->header_read = true;
	return 0;
}

/* The one of , ; tab | that the first line has most of, outside quotes. */
static char guess_separator(const struct scan *s, size_t at)
{
	static const char candidates[] = ",;\t|";
	size_t counts[4] = {0}, best = 0;
	bool quoted = false;

	for (; at < s->size && (quoted || s->text[at] != '\n'); at++) {
		const char *found = strchr(candidates, s->text[at]);

		if (s->text[at] == '"')
			quoted = !quoted;
		else if (found && *found && !quoted)
			counts[found - candidates]++;
	}
	for (size_t i = 1; i < 4; i++)
		if (counts[i] > counts[best])
			best = i;
	return candidates[best];
}

static int csv_begin(struct scan *s)
{
	struct csv *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	s->state = c;
	s->documents = true;
	c->header_read = s->options->no_header;
	return scan_open(s);
}

static int refuse_zero(struct scan *s, size_t at, size_t n)
{
	const char *zero = n ? memchr(s->text + at, '\0', n) : NULL;

	return zero ? scan_error(s, (size_t)(zero - s->text), "a zero byte: this is no text") : 0;
}

static int csv_scan(struct scan *s, size_t *used)
{
	size_t at = scan_bom(s);
	struct csv *c;
	int ret = s->state ? 0 : csv_begin(s);

	*used = 0;
	if (ret < 0)
		return ret;
	c = s->state;
	if (s->first && !c->separator) {
		/* The guess needs the whole first line. */
		if (!s->final && !s->options->separator && !memchr(s->text, '\n', s->size) && s->size < 1 << 20)
			return 0;
		c->separator = s->options->separator   ? s->options->separator
			       : s->options->no_header ? ','
						       : guess_separator(s, at);
	}
	/* At once where a binary file has no end of a line, so that it is not read to find one. */
	ret = refuse_zero(s, at, s->size - at < HEAD ? s->size - at : HEAD);
	while (ret == 0 && at < s->size) {
		size_t from = at;

		ret = scan_record(s, c, &at);
		if (ret == 0)
			ret = refuse_zero(s, from, at - from);
	}
	*used = ret == -EAGAIN && at == scan_bom(s) && s->first ? 0 : at;
	return ret == -EAGAIN ? 0 : ret;
}

/* ------------------------------------------------------------------ values */

static int csv_value(const struct leaf *l, const char *source, size_t n, struct buffer *out)
{
	int ret = 0;

	(void)l;
	if (n < 2 || source[0] != '"' || source[n - 1] != '"')
		return buffer_add(out, source, n);
	for (size_t i = 1; ret == 0 && i + 1 < n; i++) {
		if (source[i] == '"')
			i++; /* the second of two */
		ret = buffer_byte(out, source[i]);
	}
	return ret;
}

static enum leaf_type csv_type(const struct leaf *l, const char *source, size_t n)
{
	(void)l;
	(void)source;
	(void)n;
	return LEAF_STRING;
}

static int csv_source(enum leaf_type type, const struct leaf *l, const char *value, size_t n, struct buffer *out)
{
	bool quotes = n && (value[0] == ' ' || value[n - 1] == ' ' || memchr(value, '"', n) || memchr(value, '\n', n) ||
			    memchr(value, '\r', n) || memchr(value, (char)l->quoting, n));
	int ret;

	if (memchr(value, '\0', n))
		return -EILSEQ;
	if (type != LEAF_STRING)
		return bare_type(value, n) == type ? buffer_add(out, value, n) : -EINVAL;
	if (!quotes)
		return buffer_add(out, value, n);
	ret = buffer_byte(out, '"');
	for (size_t i = 0; ret == 0 && i < n; i++) {
		if (value[i] == '"')
			ret = buffer_byte(out, '"');
		if (ret == 0)
			ret = buffer_byte(out, value[i]);
	}
	return ret < 0 ? ret : buffer_byte(out, '"');
}

const struct format format_csv = {
	.name = "csv",
	.streams = true,
	.keeps_nodes = true,
	.scan = csv_scan,
	.value = csv_value,
	.type = csv_type,
	.source = csv_source,
	.token = token_bare,
	.end = csv_end,
};
