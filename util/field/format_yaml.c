/* YAML 1.2: the documents of a text. */
#include <errno.h>
#include <string.h>

#include "util/field/yaml.h"

static int directive(struct yaml *y, bool *version)
{
	size_t start = y->at, end = start, word;

	while (end < y->size && !yaml_break(y->text[end]))
		end++;
	if (end - start > 5 && memcmp(y->text + start, "%YAML", 5) == 0 && yaml_blank(y->text[start + 5])) {
		if (*version)
			return scan_error(y->s, start, "a second %%YAML");
		*version = true;
		y->at += 5;
		yaml_skip_blanks(y);
		while (y->at < end && (yaml_peek(y, 0) == '.' || (yaml_peek(y, 0) >= '0' && yaml_peek(y, 0) <= '9')))
			y->at++;
		if (!yaml_gap(y, 0))
			return yaml_error(y, "no version");
		word = y->at;
		yaml_skip_blanks(y);
		if (y->at < end && (yaml_peek(y, 0) != '#' || y->at == word))
			return yaml_error(y, "the line should end here");
	} else if (end - start > 4 && memcmp(y->text + start, "%TAG", 4) == 0 && yaml_blank(y->text[start + 4])) {
		y->at += 4;
		yaml_skip_blanks(y);
		word = y->at;
		while (!yaml_gap(y, 0))
			y->at++;
		if (y->handle_count == YAML_HANDLES_MAX || yaml_at_end_of_line(y))
			return scan_error(y->s, start, "%%TAG wants a handle and a prefix");
		y->handles[y->handle_count].start = word;
		y->handles[y->handle_count++].length = y->at - word;
	}
	y->at = end;
	return yaml_next_line(y);
}

/* Directives, and the "---" behind them. */
static int document_start(struct yaml *y, bool *explicit)
{
	bool any = false, version = false;
	int ret = 0;

	y->handle_count = 0;
	while (ret == 0 && !y->ended && y->indent == 0 && yaml_peek(y, 0) == '%') {
		any = true;
		ret = directive(y, &version);
	}
	if (ret < 0)
		return ret;
	*explicit = y->at < y->size && y->at == y->line && yaml_marker(y, y->at) && y->text[y->at] == '-';
	if (any && !*explicit)
		return yaml_error(y, "'---' should follow the directives");
	if (*explicit)
		y->at += 3;
	return 0;
}

/* Over "..." lines.  *closed: there was one. */
static int document_end(struct yaml *y, bool *closed)
{
	int ret = 0;

	*closed = false;
	while (ret == 0 && y->at < y->size && y->at == y->line && yaml_marker(y, y->at) && y->text[y->at] == '.') {
		*closed = true;
		y->at += 3;
		y->ended = false;
		ret = yaml_end_line(y);
	}
	return ret;
}

static int one_document(struct yaml *y, bool closed)
{
	bool explicit = false;
	int ret = 0;

	if (closed)
		ret = document_start(y, &explicit);
	else if (y->at < y->size && yaml_marker(y, y->at) && y->text[y->at] == '-') {
		explicit = true;
		y->handle_count = 0;
		y->at += 3;
	}
	if (ret < 0)
		return ret;
	y->ended = false;
	ret = yaml_block_node(y, -1, explicit ? 0 : YAML_ON_NEW_LINE, y->at);
	if (ret < 0)
		return ret;
	if (!y->ended)
		return yaml_error(y, "the document should end here");
	return 0;
}

/* Only printable characters and line ends [1]. */
static int check_characters(struct scan *s)
{
	int ret = scan_check_utf8(s);

	for (size_t i = 0; ret == 0 && i < s->size; i++) {
		unsigned char c = (unsigned char)s->text[i];

		if (c < ' ' && c != '\t' && c != '\n' && c != '\r')
			return scan_error(s, i, "a control character (%02x)", c);
	}
	return ret;
}

static int yaml_scan(struct scan *s, size_t *used)
{
	struct yaml y = {.s = s, .text = s->text, .size = s->size, .at = scan_bom(s), .line = scan_bom(s)};
	bool closed = true;
	int ret = check_characters(s);

	*used = s->size;
	s->documents = true;
	s->document = 0;
	if (ret == 0 && !yaml_marker(&y, y.at))
		ret = yaml_next_line(&y);
	else
		y.ended = true;
	while (ret == 0) {
		bool more;

		ret = document_end(&y, &more);
		closed = closed || more;
		if (ret < 0 || y.at >= y.size)
			break;
		ret = one_document(&y, closed);
		closed = false;
		if (ret == 0 && y.at < y.size) {
			ret = document_end(&y, &closed);
			if (ret == 0 && y.at < y.size)
				s->document++;
		}
	}
	return ret;
}

const struct format format_yaml = {
	.name = "yaml",
	.blank_before = true,
	.scan = yaml_scan,
	.value = yaml_value,
	.type = yaml_type,
	.source = yaml_source,
	.token = token_bare,
};
