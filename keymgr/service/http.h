/* Requests in a strict subset of HTTP/1.1 (RFC 9110, RFC 9112): what the key service answers, and nothing that two readers could read
 * differently.  Knows bytes only: no sockets, no clock, no memory of its own.  Thread-safe. */
#ifndef COFFER_SERVICE_HTTP_H
#define COFFER_SERVICE_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "util/base/cleanup.h"

enum {
	HTTP_HEAD_MAX = 16 << 10, /* request line and fields, with the empty line */
	HTTP_BODY_MAX = 64 << 10,
	HTTP_TARGET_MAX = 512,
	HTTP_FIELDS_MAX = 64,
};

enum http_method {
	HTTP_GET,
	HTTP_POST,
};

/* A piece of the buffer that was parsed; not terminated. */
struct http_text {
	const char *at; /* NULL: the field is not there */
	size_t size;
};

struct http_request {
	enum http_method method;
	struct http_text
		path; /* "/" and unreserved characters (RFC 3986) in segments; no ".", "..", no empty one, no query */
	struct http_text host;   /* never NULL */
	struct http_text origin; /* RFC 6454; what a browser's page sends along */
	bool json;               /* Content-Type is application/json */
	bool keep;               /* the connection goes on after the answer */
	struct http_text body;
	size_t size; /* bytes of the whole request: the next one begins behind them */
};

enum { HTTP_MORE = 0, HTTP_WHOLE = 1 };

/* Looks at the n bytes that have come so far.  HTTP_WHOLE: *out is filled and points into buf.  HTTP_MORE: the request goes on; out->size is then how
 * many bytes it will have, or 0 while that is not known.  Otherwise the
 * status code (400 to 599) to refuse it with, and *reason in words; the connection must be closed behind that answer. */
int http_parse(const char *buf, size_t n, struct http_request *out, const char **reason) MUST_CHECK;

/* The phrase of a status code that the service uses; "Unknown" for others. */
const char *http_phrase(int status);

#endif
