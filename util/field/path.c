/* Paths as bytes and as text. */
#include "util/field/path.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/base/bytes.h"

int path_push(struct buffer *path, enum step_kind kind, uint64_t number, const char *name, size_t length)
{
	uint8_t head[STEP_HEAD];
	int ret;

	if (length > UINT32_MAX)
		return -E2BIG;
	head[0] = (uint8_t)kind;
	put_le64(head + 1, number);
	put_le32(head + 9, (uint32_t)length);
	ret = buffer_add(path, head, sizeof(head));
	return ret < 0 ? ret : buffer_add(path, name, length);
}

bool path_next(const char *path, size_t size, size_t *at, struct step *out)
{
	const uint8_t *p = (const uint8_t *)path + *at;

	if (size - *at < STEP_HEAD)
		return false;
	out->kind = (enum step_kind)p[0];
	out->number = get_le64(p + 1);
	out->length = get_le32(p + 9);
	out->name = (const char *)p + STEP_HEAD;
	*at += STEP_HEAD + out->length;
	return true;
}

/* Whether a name can stand without quotes and is read as itself again. */
static bool plain_name(const char *name, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c <= ' ' || c == 0x7f || strchr(".[]\"#*%:/@\\,", c))
			return false;
	}
	return n > 0;
}

static int print_name(const char *name, size_t n, struct buffer *out)
{
	char escape[8];
	int ret;

	if (plain_name(name, n))
		return buffer_add(out, name, n);
	ret = buffer_byte(out, '"');
	for (size_t i = 0; ret == 0 && i < n; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c == '"' || c == '\\') {
			snprintf(escape, sizeof(escape), "\\%c", c);
			ret = buffer_text(out, escape);
		} else if (c < ' ' || c == 0x7f) {
			snprintf(escape, sizeof(escape), "\\x%02x", c);
			ret = buffer_text(out, escape);
		} else {
			ret = buffer_byte(out, (char)c);
		}
	}
	return ret < 0 ? ret : buffer_byte(out, '"');
}

static int print_dots(const struct step *s, bool first, struct buffer *out)
{
	char number[32] = "";
	int ret = 0;

	if (s->kind == STEP_INDEX) {
		snprintf(number, sizeof(number), "[%" PRIu64 "]", s->number);
		return buffer_text(out, number);
	}
	if (s->kind == STEP_DOCUMENT) {
		snprintf(number, sizeof(number), "%%%" PRIu64 ":", s->number);
		return buffer_text(out, number);
	}
	if (!first)
		ret = buffer_byte(out, '.');
	if (ret == 0)
		ret = print_name(s->name, s->length, out);
	if (s->number > 1)
		snprintf(number, sizeof(number), "#%" PRIu64, s->number);
	return ret < 0 ? ret : buffer_text(out, number);
}

static int print_slashes(const struct step *s, struct buffer *out)
{
	char number[32] = "";
	int ret = buffer_text(out, s->kind == STEP_ATTRIBUTE ? "/@" : "/");

	if (ret == 0)
		ret = buffer_add(out, s->name, s->length);
	if (s->number > 1)
		snprintf(number, sizeof(number), "[%" PRIu64 "]", s->number);
	return ret < 0 ? ret : buffer_text(out, number);
}

int path_print(const char *path, size_t size, enum path_style style, struct buffer *out)
{
	bool first = true;
	struct step s;
	size_t at = 0;
	int ret = 0;

	while (ret == 0 && path_next(path, size, &at, &s)) {
		ret = style == PATH_SLASHES ? print_slashes(&s, out) : print_dots(&s, first, out);
		first = s.kind == STEP_DOCUMENT;
	}
	if (ret == 0 && at == 0)
		ret = buffer_byte(out, '.'); /* the whole document is one value */
	return ret;
}

int path_binding(const char *path, size_t size, bool positions, struct buffer *out)
{
	uint8_t head[5];
	struct step s;
	size_t at = 0;
	int ret = 0;

	if (positions)
		return buffer_add(out, path, size);
	while (ret == 0 && path_next(path, size, &at, &s)) {
		if (s.kind != STEP_KEY && s.kind != STEP_ATTRIBUTE)
			continue;
		head[0] = (uint8_t)s.kind;
		put_le32(head + 1, (uint32_t)s.length);
		ret = buffer_add(out, head, sizeof(head));
		if (ret == 0)
			ret = buffer_add(out, s.name, s.length);
	}
	return ret;
}
