/* Patterns over paths: a.b[1]  a."x.y"  a.*.c  **.password  a.b#2  a.b#*  %1:a.b  and for XML /r/b[2]/@x. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/field/path.h"

enum number_rule { NUMBER_NONE, NUMBER_ANY, NUMBER_THIS };

struct part {
	enum step_kind kind;
	bool any_depth; /* ** */
	bool glob;      /* the name holds * that is a wildcard */
	bool any_kind;  /* * alone: an index too */
	enum number_rule rule;
	uint64_t number;
	char *name; /* terminated; may hold zero bytes in between */
	size_t length;
};

struct pattern {
	char *text;
	enum path_style style;
	bool document_given, met;
	uint64_t document;
	size_t count;
	struct part parts[];
};

/* ------------------------------------------------------------------ reading */

struct reader {
	const char *text;
	size_t n, at;
	enum path_style style;
	struct fault *why;
};

static int bad(const struct reader *r, const char *what)
{
	return fault_set(r->why, EXIT_USAGE, EINVAL, "path %.*s: %s at character %zu", (int)(r->n < 200 ? r->n : 200),
			 r->text, what, r->at + 1);
}

static bool more(const struct reader *r)
{
	return r->at < r->n;
}

static char peek(const struct reader *r)
{
	return more(r) ? r->text[r->at] : '\0';
}

static int read_number(struct reader *r, uint64_t *out)
{
	uint64_t v = 0;
	size_t start = r->at;

	while (more(r) && isdigit((unsigned char)r->text[r->at]) && v < UINT64_MAX / 20)
		v = v * 10 + (uint64_t)(r->text[r->at++] - '0');
	if (r->at == start)
		return bad(r, "a number is missing");
	*out = v;
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Behind the opening quote. */
static int read_quoted(struct reader *r, struct buffer *name)
{
	int ret = 0;

	while (ret == 0) {
		if (!more(r))
			return bad(r, "the quote is not closed");
		char c = r->text[r->at++];
		if (c == '"')
			return 0;
		if (c == '\\') {
			if (!more(r))
				return bad(r, "the quote is not closed");
			c = r->text[r->at++];
			if (c == 'x') {
				if (r->n - r->at < 2 || hex_digit(r->text[r->at]) < 0 ||
				    hex_digit(r->text[r->at + 1]) < 0)
					return bad(r, "\\x wants two hexadecimal digits");
				c = (char)(hex_digit(r->text[r->at]) * 16 + hex_digit(r->text[r->at + 1]));
				r->at += 2;
			}
		}
		ret = buffer_byte(name, c);
	}
	return ret;
}

static int read_name(struct reader *r, struct part *p)
{
	_cleanup_buffer_ struct buffer name = {0};
	int ret = 0;

	if (peek(r) == '"') {
		r->at++;
		ret = read_quoted(r, &name);
	} else {
		const char *ends = r->style == PATH_SLASHES ? "/[" : ".[#";
		while (ret == 0 && more(r) && !strchr(ends, peek(r))) {
			if (peek(r) == '*')
				p->glob = true;
			ret = buffer_byte(&name, r->text[r->at++]);
		}
		if (ret == 0 && name.size == 0)
			return bad(r, "a name is missing");
		if (ret == 0 && buffer_is(&name, "**", 2))
			p->any_depth = true;
		if (ret == 0 && buffer_is(&name, "*", 1))
			p->any_kind = true;
	}
	if (ret == 0)
		ret = buffer_byte(&name, '\0');
	if (ret < 0)
		return ret;
	p->name = name.bytes;
	p->length = name.size - 1;
	name = (struct buffer){0};
	return 0;
}

/* #2, #*; in XML [2]. */
static int read_which(struct reader *r, struct part *p)
{
	char open = r->style == PATH_SLASHES ? '[' : '#';
	int ret = 0;

	p->rule = r->style == PATH_SLASHES ? NUMBER_ANY : NUMBER_NONE;
	if (peek(r) != open)
		return 0;
	r->at++;
	if (peek(r) == '*') {
		r->at++;
		p->rule = NUMBER_ANY;
	} else {
		ret = read_number(r, &p->number);
		p->rule = NUMBER_THIS;
		if (ret == 0 && p->number == 0)
			ret = bad(r, "the first one is 1, not 0;");
	}
	if (ret == 0 && open == '[') {
		if (peek(r) != ']')
			return bad(r, "] is missing");
		r->at++;
	}
	return ret;
}

static int read_index(struct reader *r, struct part *p)
{
	int ret = 0;

	p->kind = STEP_INDEX;
	r->at++;
	if (peek(r) == '*') {
		r->at++;
		p->rule = NUMBER_ANY;
	} else {
		p->rule = NUMBER_THIS;
		ret = read_number(r, &p->number);
	}
	if (ret < 0)
		return ret;
	if (peek(r) != ']')
		return bad(r, "] is missing");
	r->at++;
	return 0;
}

static int read_part(struct reader *r, bool first, struct part *p)
{
	int ret;

	p->kind = STEP_KEY;
	if (r->style == PATH_DOTS && peek(r) == '[')
		return read_index(r, p);
	if (r->style == PATH_SLASHES) {
		if (peek(r) != '/')
			return bad(r, "/ is missing");
		r->at++;
		if (peek(r) == '/') { /* //name: at any depth */
			p->any_depth = true;
			return 0;
		}
		if (peek(r) == '@') {
			r->at++;
			p->kind = STEP_ATTRIBUTE;
		}
	} else if (!first) {
		if (peek(r) != '.')
			return bad(r, ". or [ is missing");
		r->at++;
	}
	ret = read_name(r, p);
	return ret < 0 ? ret : read_which(r, p);
}

static int read_document(struct reader *r, struct pattern *p)
{
	int ret;

	if (r->style != PATH_DOTS || peek(r) != '%')
		return 0;
	r->at++;
	ret = read_number(r, &p->document);
	if (ret < 0)
		return ret;
	p->document_given = true;
	if (peek(r) != ':')
		return bad(r, ": is missing behind the number of the document");
	r->at++;
	return 0;
}

void pattern_free(struct pattern **p)
{
	if (!*p)
		return;
	for (size_t i = 0; i < (*p)->count; i++)
		free((*p)->parts[i].name);
	free((*p)->text);
	free(*p);
	*p = NULL;
}

int pattern_parse(const char *text, size_t n, enum path_style style, struct pattern **out, struct fault *why)
{
	struct reader r = {text, n, 0, style, why};
	_cleanup_(pattern_free) struct pattern *p = NULL;
	size_t most = n + 1 < STEPS_MAX ? n + 1 : STEPS_MAX;
	int ret;

	*out = NULL;
	p = calloc(1, sizeof(*p) + most * sizeof(p->parts[0]));
	if (!p || !(p->text = strndup(text, n)))
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "path");
	p->style = style;
	ret = read_document(&r, p);
	if (ret == 0 && n - r.at == 1 && peek(&r) == (style == PATH_DOTS ? '.' : '/'))
		r.at++; /* the top itself */
	while (ret == 0 && more(&r)) {
		if (p->count == most)
			return bad(&r, "too many steps");
		p->count++;
		ret = read_part(&r, p->count == 1, &p->parts[p->count - 1]);
	}
	if (ret == 0 && n == 0)
		ret = fault_set(why, EXIT_USAGE, EINVAL, "a path is empty; to mean everything say **");
	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "path %s", p->text);
	*out = p;
	p = NULL;
	return 0;
}

bool pattern_names_document(const struct pattern *p)
{
	return p->document_given;
}

const char *pattern_text(const struct pattern *p)
{
	return p->text;
}

/* ------------------------------------------------------------------ matching */

/* `*` in g stands for any run of bytes. */
static bool glob(const char *g, size_t gn, const char *s, size_t sn)
{
	size_t i = 0, j = 0, star = SIZE_MAX, from = 0;

	while (j < sn) {
		if (i < gn && g[i] == '*') {
			star = i++;
			from = j;
		} else if (i < gn && g[i] == s[j]) {
			i++;
			j++;
		} else if (star != SIZE_MAX) {
			i = star + 1;
			j = ++from;
		} else {
			return false;
		}
	}
	while (i < gn && g[i] == '*')
		i++;
	return i == gn;
}

static enum match match_step(const struct part *p, const struct step *s)
{
	if (p->any_kind && s->kind != STEP_ATTRIBUTE &&
	    (p->rule != NUMBER_THIS || s->kind == STEP_INDEX || p->number == s->number))
		return p->kind == STEP_KEY ? MATCH_YES : MATCH_NO;
	if (p->kind != s->kind)
		return MATCH_NO;
	if (p->rule == NUMBER_THIS && p->number != s->number)
		return MATCH_NO;
	if (s->kind == STEP_INDEX)
		return MATCH_YES;
	if (p->glob)
		return glob(p->name, p->length, s->name, s->length) ? MATCH_YES : MATCH_NO;
	if (p->length != s->length || memcmp(p->name, s->name, s->length) != 0)
		return MATCH_NO;
	return p->rule == NUMBER_NONE && s->number > 1 ? MATCH_AMBIGUOUS : MATCH_YES;
}

static enum match match_from(const struct pattern *p, size_t i, const char *path, size_t size, size_t at)
{
	enum match all = MATCH_YES;
	struct step s;

	for (; i < p->count; i++) {
		const struct part *part = &p->parts[i];

		if (part->any_depth && i + 1 == p->count)
			return all; /* everything below */
		if (part->any_depth) {
			for (;;) {
				enum match m = match_from(p, i + 1, path, size, at);
				if (m != MATCH_NO)
					return m > all ? m : all;
				if (!path_next(path, size, &at, &s))
					return MATCH_NO;
			}
		}
		if (!path_next(path, size, &at, &s))
			return MATCH_NO;
		enum match m = match_step(part, &s);
		if (m == MATCH_NO)
			return MATCH_NO;
		if (m > all)
			all = m;
	}
	return all;
}

static enum match match_path(const struct pattern *p, const char *path, size_t size)
{
	struct step s;
	size_t at = 0;

	if (path_next(path, size, &at, &s) && s.kind == STEP_DOCUMENT) {
		if (p->document_given && s.number != p->document)
			return MATCH_NO;
	} else {
		at = 0;
		if (p->document_given && p->document != 0)
			return MATCH_NO;
	}
	return match_from(p, 0, path, size, at);
}

enum match pattern_match(struct pattern *p, const char *path, size_t size)
{
	enum match m = match_path(p, path, size);

	p->met = p->met || m != MATCH_NO;
	return m;
}

bool pattern_missed(const struct pattern *p)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->parts[i].any_depth || p->parts[i].any_kind || p->parts[i].glob)
			return false;
	return !p->met;
}

int pattern_path(const struct pattern *p, struct buffer *out)
{
	int ret = p->document_given ? path_push(out, STEP_DOCUMENT, p->document, "", 0) : 0;

	for (size_t i = 0; ret == 0 && i < p->count; i++) {
		const struct part *part = &p->parts[i];

		if (part->any_depth || part->any_kind || part->glob)
			return -EINVAL;
		if (part->kind == STEP_INDEX && part->rule != NUMBER_THIS)
			return -EINVAL;
		ret = path_push(out, part->kind, part->rule == NUMBER_THIS ? part->number : 1, part->name,
				part->length);
	}
	return ret;
}
