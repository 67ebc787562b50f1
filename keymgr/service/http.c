/* Requests in a strict subset of HTTP/1.1 (http.h).
 *
 * What two readers could frame differently is refused, never repaired (RFC 9112, section 11.2):
 * 1. Lines end with CR LF; a CR, LF, NUL or other control character anywhere else refuses the request.
 * 2. A body has a length by exactly one Content-Length of digits.  Transfer-Encoding is refused, in whatever form; so is a GET with a body.
 * 3. Field names are tokens and stand right before their colon; a line that begins with a blank (a folded one) is refused.
 * 4. Exactly one Host.
 * 5. The path has only unreserved characters: nothing to decode, so nothing that decodes to something else. */
#include "keymgr/service/http.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

const char *http_phrase(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} phrases[] = {
		{200, "OK"},
		{201, "Created"},
		{202, "Accepted"},
		{400, "Bad Request"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{408, "Request Timeout"},
		{409, "Conflict"},
		{411, "Length Required"},
		{413, "Content Too Large"},
		{414, "URI Too Long"},
		{415, "Unsupported Media Type"},
		{417, "Expectation Failed"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{503, "Service Unavailable"},
		{505, "HTTP Version Not Supported"},
	};

	for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return "Unknown";
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

/* RFC 9110, section 5.6.2 */
static bool is_token(const char *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!is_alnum(at[i]) && !one_of(at[i], "!#$%&'*+-.^_`|~"))
			return false;
	return n > 0;
}

static bool is(struct http_text t, const char *word)
{
	return t.size == strlen(word) && strncasecmp(t.at, word, t.size) == 0;
}

/* --- one request being read */

struct reading {
	struct http_request *out;
	const char **reason;
	bool has_length, has_type, close;
	uint64_t length;
};

static int refuse(struct reading *r, int status, const char *reason)
{
	*r->reason = reason;
	return status;
}

/* Up to the space, which is skipped. */
static struct http_text take_word(struct http_text *line)
{
	const char *space = memchr(line->at, ' ', line->size);
	struct http_text word = {line->at, space ? (size_t)(space - line->at) : line->size};
	size_t skip = word.size + (space != NULL);

	line->at += skip;
	line->size -= skip;
	return word;
}

static bool path_valid(struct http_text p)
{
	size_t segment = 0; /* where the present one begins */

	if (p.size == 0 || p.at[0] != '/')
		return false;
	for (size_t i = 1; i <= p.size; i++) {
		if (i < p.size && p.at[i] != '/') {
			if (!is_alnum(p.at[i]) && !one_of(p.at[i], "-._~"))
				return false;
			continue;
		}
		size_t n = i - segment - 1;
		const char *s = p.at + segment + 1;

		if (p.size > 1 && (n == 0 || (n == 1 && *s == '.') || (n == 2 && s[0] == '.' && s[1] == '.')))
			return false;
		segment = i;
	}
	return true;
}

static int read_request_line(struct reading *r, struct http_text line)
{
	struct http_text method = take_word(&line), target = take_word(&line), version = line;

	if (!is_token(method.at, method.size))
		return refuse(r, 400, "the request line has no method");
	if (target.size > HTTP_TARGET_MAX)
		return refuse(r, 414, "the path is too long");
	if (version.size != 8 || memcmp(version.at, "HTTP/", 5) != 0 || version.at[6] != '.')
		return refuse(r, 400, "the request line is not METHOD PATH HTTP/1.1");
	if (memcmp(version.at, "HTTP/1.1", 8) != 0)
		return refuse(r, 505, "only HTTP/1.1 is spoken here");
	/* Methods are case-sensitive: RFC 9110, section 9.1. */
	if (method.size == 3 && memcmp(method.at, "GET", 3) == 0)
		r->out->method = HTTP_GET;
	else if (method.size == 4 && memcmp(method.at, "POST", 4) == 0)
		r->out->method = HTTP_POST;
	else
		return refuse(r, 405, "only GET and POST are answered");
	if (!path_valid(target))
		return refuse(r, 400, "the path has something other than letters, digits, -._~ between single slashes");
	r->out->path = target;
	return 0;
}

static int read_length(struct reading *r, struct http_text value)
{
	if (r->has_length)
		return refuse(r, 400, "Content-Length stands twice");
	if (value.size == 0 || value.size > 10)
		return refuse(r, value.size ? 413 : 400, "Content-Length is no length that is taken");
	for (size_t i = 0; i < value.size; i++) {
		if (value.at[i] < '0' || value.at[i] > '9')
			return refuse(r, 400, "Content-Length is not a number");
		r->length = r->length * 10 + (uint64_t)(value.at[i] - '0');
	}
	r->has_length = true;
	if (r->length > HTTP_BODY_MAX)
		return refuse(r, 413, "the body is larger than 64 KiB");
	return 0;
}

/* RFC 9110, section 7.2: uri-host [":" port]; brackets around IPv6. */
static int read_host(struct reading *r, struct http_text value)
{
	if (r->out->host.at)
		return refuse(r, 400, "Host stands twice");
	if (value.size == 0)
		return refuse(r, 400, "Host is empty");
	for (size_t i = 0; i < value.size; i++)
		if (!is_alnum(value.at[i]) && !one_of(value.at[i], "-._:[]"))
			return refuse(r, 400, "Host is not a host");
	r->out->host = value;
	return 0;
}

/* "application/json", parameters such as charset=utf-8 left aside. */
static bool is_json(struct http_text type)
{
	const char *semicolon = memchr(type.at, ';', type.size);

	if (semicolon)
		type.size = (size_t)(semicolon - type.at);
	while (type.size > 0 && one_of(type.at[type.size - 1], " \t"))
		type.size--;
	return is(type, "application/json");
}

/* A list of words: RFC 9110, section 7.6.1. */
static bool names_close(struct http_text list)
{
	while (list.size > 0) {
		const char *comma = memchr(list.at, ',', list.size);
		struct http_text word = {list.at, comma ? (size_t)(comma - list.at) : list.size};

		list.size -= word.size + (comma != NULL);
		list.at += word.size + (comma != NULL);
		while (word.size > 0 && one_of(*word.at, " \t"))
			word = (struct http_text){word.at + 1, word.size - 1};
		while (word.size > 0 && one_of(word.at[word.size - 1], " \t"))
			word.size--;
		if (is(word, "close"))
			return true;
	}
	return false;
}

static int read_field(struct reading *r, struct http_text line)
{
	const char *colon = memchr(line.at, ':', line.size);
	struct http_text name = {line.at, colon ? (size_t)(colon - line.at) : 0}, value;

	if (!colon || !is_token(name.at, name.size))
		return refuse(r, 400, "a header field is not NAME: VALUE");
	value = (struct http_text){colon + 1, line.size - name.size - 1};
	while (value.size > 0 && one_of(*value.at, " \t"))
		value = (struct http_text){value.at + 1, value.size - 1};
	while (value.size > 0 && one_of(value.at[value.size - 1], " \t"))
		value.size--;

	if (is(name, "Content-Length"))
		return read_length(r, value);
	if (is(name, "Host"))
		return read_host(r, value);
	if (is(name, "Transfer-Encoding"))
		return refuse(r, 501, "a body has to come with Content-Length, not with Transfer-Encoding");
	if (is(name, "Expect"))
		return refuse(r, 417, "nothing can be expected");
	if (is(name, "Connection"))
		r->close = r->close || names_close(value);
	if (is(name, "Origin"))
		r->out->origin = value;
	if (is(name, "Content-Type")) {
		if (r->has_type)
			return refuse(r, 400, "Content-Type stands twice");
		r->has_type = true;
		r->out->json = is_json(value);
	}
	return 0;
}

/* The head without its empty line, each line still with its CR LF. */
static int read_head(struct reading *r, const char *at, size_t n)
{
	int fields = 0, ret = 0;

	for (const char *end = at + n; ret == 0 && at < end; fields++) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));
		struct http_text line = {at, lf ? (size_t)(lf - at) : 0};

		if (line.size == 0 || at[line.size - 1] != '\r')
			return refuse(r, 400, "a line does not end with CR LF");
		line.size--;
		for (size_t i = 0; i < line.size; i++)
			if ((unsigned char)at[i] > 0x7e || ((unsigned char)at[i] < 0x20 && at[i] != '\t'))
				return refuse(r, 400, "the head has a character that is not printable ASCII");
		if (fields > HTTP_FIELDS_MAX)
			return refuse(r, 431, "there are more than 64 header fields");
		ret = fields == 0 ? read_request_line(r, line) : read_field(r, line);
		at = lf + 1;
	}
	return ret;
}

static int judge(struct reading *r)
{
	if (!r->out->host.at)
		return refuse(r, 400, "Host is missing");
	if (r->out->method == HTTP_POST && !r->has_length)
		return refuse(r, 411, "POST wants a Content-Length");
	if (r->out->method == HTTP_GET && r->length > 0)
		return refuse(r, 400, "GET has no body");
	return 0;
}

int http_parse(const char *buf, size_t n, struct http_request *out, const char **reason)
{
	struct reading r = {.out = out, .reason = reason};
	size_t looked = n < HTTP_HEAD_MAX ? n : HTTP_HEAD_MAX, head;
	const char *end = memmem(buf, looked, "\r\n\r\n", 4);
	int ret;

	*out = (struct http_request){.method = HTTP_GET};
	*reason = NULL;
	/* Whoever speaks something else need not be waited for. */
	for (size_t i = 0; i < looked && i < 8 && (!end || buf + i < end) && buf[i] != ' '; i++)
		if (!is_token(buf + i, 1))
			return refuse(&r, 400, "the request line has no method");
	if (!end)
		return n < HTTP_HEAD_MAX ? HTTP_MORE : refuse(&r, 431, "the head is larger than 16 KiB");
	head = (size_t)(end - buf) + 4;
	ret = read_head(&r, buf, head - 2);
	if (ret == 0)
		ret = judge(&r);
	if (ret != 0)
		return ret;
	out->size = head + (size_t)r.length;
	if (n < out->size)
		return HTTP_MORE;
	out->body = (struct http_text){buf + head, (size_t)r.length};
	out->keep = !r.close;
	return HTTP_WHOLE;
}
