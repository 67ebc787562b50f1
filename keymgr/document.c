/* The JSON documents of keymgr, read strictly. */
#include "keymgr/document.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "keymgr/testing.h"
#include "util/base/encode.h"

enum { DEPTH_MAX = 16, BYTES_MAX = 64 };

void problem_note(struct problem *p, const char *format, ...)
{
	va_list args;

	if (!p->text[0]) {
		va_start(args, format);
		vsnprintf(p->text, sizeof(p->text), format, args);
		va_end(args);
	}
}

/* json-c takes more than JSON even when strict: NaN, Infinity, names in single quotes, a number that ends in a point. */
static bool beyond_json(char c, char next)
{
	return !strchr("{}[],:\" \n+-.0123456789Eaeflnrstu", c) || (c == '.' && (next < '0' || next > '9'));
}

/* Checks the bytes, and counts the members of all objects: their colons. */
static int scan_bytes(const char *text, size_t n, size_t *members, struct problem *p)
{
	bool quoted = false;

	*members = 0;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];

		if ((c < 0x20 || c > 0x7e) && (c != '\n' || quoted))
			return problem_set(p, "byte %zu is not printable ASCII", i);
		if (c == '\\')
			return problem_set(p, "byte %zu is a backslash", i);
		if (!quoted && beyond_json(text[i], i + 1 < n ? text[i + 1] : ' '))
			return problem_set(p, "byte %zu is not JSON", i);
		if (c == '"')
			quoted = !quoted;
		else if (c == ':' && !quoted)
			++*members;
	}
	return 0;
}

static size_t count_members(json_object *o)
{
	size_t n = 0;

	if (json_object_is_type(o, json_type_object)) {
		json_object_object_foreach(o, key, value)
		{
			(void)key;
			n += 1 + count_members(value);
		}
	} else if (json_object_is_type(o, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(o); i++)
			n += count_members(json_object_array_get_idx(o, i));
	}
	return n;
}

int document_parse(const char *text, size_t n, json_object **out, struct problem *p)
{
	struct json_tokener *tokener;
	_cleanup_json_ json_object *o = NULL;
	size_t members;
	int ret;

	*out = NULL;
	ret = scan_bytes(text, n, &members, p);
	if (ret < 0)
		return ret;
	if (n == 0 || n > INT32_MAX || text[n - 1] != '\n')
		return problem_set(p, "the document does not end with a newline");
	tokener = json_tokener_new_ex(DEPTH_MAX);
	if (!tokener)
		return -ENOMEM;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	o = json_tokener_parse_ex(tokener, text, (int)n);
	if (json_tokener_get_error(tokener) != json_tokener_success)
		problem_note(p, "not JSON: %s", json_tokener_error_desc(json_tokener_get_error(tokener)));
	else if (!json_object_is_type(o, json_type_object))
		problem_note(p, "not a JSON object");
	json_tokener_free(tokener);
	if (p->text[0])
		return -EBADMSG;
	/* json-c lets the last of two members of one name win and says nothing; then the tree has fewer than the text. */
	if (count_members(o) != members)
		return problem_set(p, "a member stands twice");
	*out = o;
	o = NULL;
	return 0;
}

const char *document_render(json_object *o, size_t *n)
{
	return json_object_to_json_string_length(
		o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE, n);
}

const char *document_render_compact(json_object *o, size_t *n)
{
	return json_object_to_json_string_length(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, n);
}

static int member(json_object *o, const char *name, enum json_type type, json_object **out, struct problem *p)
{
	*out = NULL;
	if (!json_object_object_get_ex(o, name, out))
		return problem_set(p, "member \"%s\" is missing", name);
	if (!json_object_is_type(*out, type))
		return problem_set(p, "member \"%s\" is not of type %s", name, json_type_to_name(type));
	return 0;
}

int member_object(json_object *o, const char *name, json_object **out, struct problem *p)
{
	return member(o, name, json_type_object, out, p);
}

int member_array(json_object *o, const char *name, size_t min, size_t max, json_object **out, struct problem *p)
{
	int ret = member(o, name, json_type_array, out, p);

	if (ret < 0)
		return ret;
	if (json_object_array_length(*out) < min || json_object_array_length(*out) > max)
		return problem_set(p, "\"%s\" has %zu elements, not %zu to %zu", name, json_object_array_length(*out),
				   min, max);
	return 0;
}

int member_string(json_object *o, const char *name, const char **out, struct problem *p)
{
	json_object *value;
	int ret = member(o, name, json_type_string, &value, p);

	*out = NULL;
	if (ret == 0)
		*out = json_object_get_string(value);
	return ret;
}

int member_bool(json_object *o, const char *name, bool *out, struct problem *p)
{
	json_object *value;
	int ret = member(o, name, json_type_boolean, &value, p);

	*out = false;
	if (ret == 0)
		*out = json_object_get_boolean(value);
	return ret;
}

int member_number(json_object *o, const char *name, uint64_t min, uint64_t max, uint64_t *out, struct problem *p)
{
	json_object *value;
	int64_t n;
	int ret = member(o, name, json_type_int, &value, p);

	*out = 0;
	if (ret < 0)
		return ret;
	n = json_object_get_int64(value); /* saturates, so out of range stays out of range */
	if (n < 0 || (uint64_t)n < min || (uint64_t)n > max || (uint64_t)n > DOCUMENT_NUMBER_MAX)
		return problem_set(p, "\"%s\" is out of bounds", name);
	*out = (uint64_t)n;
	return 0;
}

int member_u32(json_object *o, const char *name, uint32_t min, uint32_t *out, struct problem *p)
{
	uint64_t n;
	int ret = member_number(o, name, min, UINT32_MAX, &n, p);

	*out = (uint32_t)n;
	return ret;
}

int member_time(json_object *o, const char *name, char out[TIME_TEXT + 1], struct problem *p)
{
	static const char form[] = "dddd-dd-ddTdd:dd:ddZ";
	const char *s;
	int ret = member_string(o, name, &s, p);

	if (ret < 0)
		return ret;
	if (strlen(s) != TIME_TEXT)
		return problem_set(p, "\"%s\" is not a time", name);
	for (size_t i = 0; i < TIME_TEXT; i++)
		if (form[i] == 'd' ? s[i] < '0' || s[i] > '9' : s[i] != form[i])
			return problem_set(p, "\"%s\" is not a time", name);
	memcpy(out, s, TIME_TEXT + 1);
	return 0;
}

int member_hex(json_object *o, const char *name, uint8_t *out, size_t n, struct problem *p)
{
	const char *s;
	int ret = member_string(o, name, &s, p);

	if (ret < 0)
		return ret;
	if (strspn(s, "0123456789abcdef") != strlen(s) || hex_decode(s, strlen(s), out, n) < 0)
		return problem_set(p, "\"%s\" is not %zu bytes in lower-case hexadecimal", name, n);
	return 0;
}

int member_bytes_between(json_object *o, const char *name, uint8_t *out, size_t min, size_t max, size_t *n,
			 struct problem *p)
{
	const char *s;
	ssize_t got;
	int ret = member_string(o, name, &s, p);

	if (ret < 0)
		return ret;
	got = base64url_decode(s, strlen(s), out, max);
	if (got < 0 || (size_t)got < min)
		return problem_set(p, "\"%s\" is not %zu to %zu bytes in base64url", name, min, max);
	*n = (size_t)got;
	return 0;
}

int member_bytes(json_object *o, const char *name, uint8_t *out, size_t n, struct problem *p)
{
	size_t got;

	return member_bytes_between(o, name, out, n, n, &got, p);
}

int element_object(json_object *array, size_t i, json_object **out, struct problem *p)
{
	*out = json_object_array_get_idx(array, i);
	if (!json_object_is_type(*out, json_type_object))
		return problem_set(p, "element %zu of an array is not an object", i);
	return 0;
}

int put_value(json_object *o, const char *name, json_object *value)
{
	if (!value)
		return -ENOMEM;
	if (json_object_object_add(o, name, value) < 0) {
		json_object_put(value);
		return -ENOMEM;
	}
	return 0;
}

int put_element(json_object *array, json_object *value)
{
	if (!value)
		return -ENOMEM;
	if (json_object_array_add(array, value) < 0) {
		json_object_put(value);
		return -ENOMEM;
	}
	return 0;
}

int put_string(json_object *o, const char *name, const char *s)
{
	return put_value(o, name, json_object_new_string(s));
}

int put_number(json_object *o, const char *name, uint64_t n)
{
	return put_value(o, name, json_object_new_int64((int64_t)n));
}

int put_hex(json_object *o, const char *name, const uint8_t *bytes, size_t n)
{
	char text[2 * BYTES_MAX + 1];

	if (n > BYTES_MAX)
		return -EINVAL;
	hex_encode(bytes, n, text);
	return put_string(o, name, text);
}

int put_bytes(json_object *o, const char *name, const uint8_t *bytes, size_t n)
{
	_cleanup_free_ char *text = malloc(base64url_size(n) + 1);

	if (!text)
		return -ENOMEM;
	base64url_encode(bytes, n, text);
	return put_string(o, name, text);
}

static time_t fixed_now;

void document_set_clock_for_tests(time_t now)
{
	fixed_now = now;
}

time_t document_now(void)
{
	return fixed_now ? fixed_now : time(NULL);
}

void time_text_of(time_t at, char out[TIME_TEXT + 1])
{
	struct tm tm;

	if (!gmtime_r(&at, &tm) || strftime(out, TIME_TEXT + 1, "%Y-%m-%dT%H:%M:%SZ", &tm) != TIME_TEXT)
		memcpy(out, "1970-01-01T00:00:00Z", TIME_TEXT + 1);
}

/* Once a second is enough: a busy key service asks ten thousand times in one. */
void time_text(char out[TIME_TEXT + 1])
{
	static _Thread_local char text[TIME_TEXT + 1];
	static _Thread_local time_t at;
	const time_t now = document_now();

	if (now != at || !*text) {
		time_text_of(now, text);
		at = now;
	}
	memcpy(out, text, sizeof(text));
}

int time_parse(const char *text, time_t *out)
{
	struct tm tm = {0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);

	if (!end || *end || strlen(text) != TIME_TEXT)
		return -EINVAL;
	*out = timegm(&tm);
	return 0;
}

int put_now(json_object *o, const char *name)
{
	char text[TIME_TEXT + 1];

	time_text(text);
	return put_string(o, name, text);
}
