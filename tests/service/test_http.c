/* The service's HTTP parser: what is taken, and every ambiguity refused (http.c (1) to (5)). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "keymgr/service/http.h"

#define CRLF "\r\n"
#define HOST "Host: keys.example:8443" CRLF

/* A copy of the exact size, so that a read behind it is seen. */
static int parse(const char *text, size_t n, struct http_request *out)
{
	const char *reason = NULL;
	char *copy = malloc(n ? n : 1);
	int ret;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, n);
	ret = http_parse(copy, n, out, &reason);
	if (ret >= 400)
		ck_assert_ptr_nonnull(reason);
	free(copy);
	return ret;
}

static const struct {
	const char *what, *text;
	int status;
} refused[] = {
	/* framing: smuggling */
	{"two lengths", "POST / HTTP/1.1" CRLF HOST "Content-Length: 1" CRLF "Content-Length: 1" CRLF CRLF "x", 400},
	{"two different lengths", "POST / HTTP/1.1" CRLF HOST "Content-Length: 1" CRLF "Content-Length: 2" CRLF CRLF,
	 400},
	{"a list of lengths", "POST / HTTP/1.1" CRLF HOST "Content-Length: 1, 1" CRLF CRLF "x", 400},
	{"a signed length", "POST / HTTP/1.1" CRLF HOST "Content-Length: +1" CRLF CRLF "x", 400},
	{"a negative length", "POST / HTTP/1.1" CRLF HOST "Content-Length: -1" CRLF CRLF, 400},
	{"a hexadecimal length", "POST / HTTP/1.1" CRLF HOST "Content-Length: 0x1" CRLF CRLF "x", 400},
	{"an empty length", "POST / HTTP/1.1" CRLF HOST "Content-Length:" CRLF CRLF, 400},
	{"a length beyond 64 bits", "POST / HTTP/1.1" CRLF HOST "Content-Length: 18446744073709551617" CRLF CRLF "x",
	 413},
	{"a body too large", "POST / HTTP/1.1" CRLF HOST "Content-Length: 65537" CRLF CRLF, 413},
	{"no length", "POST / HTTP/1.1" CRLF HOST CRLF, 411},
	{"chunked", "POST / HTTP/1.1" CRLF HOST "Transfer-Encoding: chunked" CRLF CRLF "0" CRLF CRLF, 501},
	{"length and chunked",
	 "POST / HTTP/1.1" CRLF HOST "Content-Length: 5" CRLF "Transfer-Encoding: chunked" CRLF CRLF "0" CRLF CRLF,
	 501},
	{"an unknown coding",
	 "POST / HTTP/1.1" CRLF HOST "Content-Length: 1" CRLF "tRaNsFeR-EnCoDiNg: xchunked" CRLF CRLF "x", 501},
	{"an identity coding", "GET / HTTP/1.1" CRLF HOST "Transfer-Encoding: identity" CRLF CRLF, 501},
	{"a blank before the colon", "POST / HTTP/1.1" CRLF HOST "Content-Length : 1" CRLF CRLF "x", 400},
	{"Host with a blank before the colon", "GET / HTTP/1.1" CRLF "Host : a" CRLF CRLF, 400},
	{"a folded line", "GET / HTTP/1.1" CRLF HOST "X: a" CRLF " b" CRLF CRLF, 400},
	{"a folded line after the first", "GET / HTTP/1.1" CRLF " " HOST CRLF, 400},
	{"a bare LF", "GET / HTTP/1.1\n" HOST CRLF, 400},
	{"a bare LF between fields", "GET / HTTP/1.1" CRLF "Host: a\nX: b" CRLF CRLF, 400},
	{"a bare CR", "GET / HTTP/1.1" CRLF HOST "X: a\rb" CRLF CRLF, 400},
	{"an empty line first", CRLF "GET / HTTP/1.1" CRLF HOST CRLF, 400},
	{"a body of a GET", "GET / HTTP/1.1" CRLF HOST "Content-Length: 1" CRLF CRLF "x", 400},
	/* hosts */
	{"no host", "GET / HTTP/1.1" CRLF CRLF, 400},
	{"two hosts", "GET / HTTP/1.1" CRLF HOST HOST CRLF, 400},
	{"an empty host", "GET / HTTP/1.1" CRLF "Host:" CRLF CRLF, 400},
	{"a host with a path", "GET / HTTP/1.1" CRLF "Host: a/b" CRLF CRLF, 400},
	{"a host with a user", "GET / HTTP/1.1" CRLF "Host: u@a" CRLF CRLF, 400},
	/* paths */
	{"an encoded zero", "GET /a%00b HTTP/1.1" CRLF HOST CRLF, 400},
	{"an encoded slash", "GET /a%2fb HTTP/1.1" CRLF HOST CRLF, 400},
	{"a query", "GET /a?b HTTP/1.1" CRLF HOST CRLF, 400},
	{"a fragment", "GET /a#b HTTP/1.1" CRLF HOST CRLF, 400},
	{"two slashes", "GET //a HTTP/1.1" CRLF HOST CRLF, 400},
	{"a slash at the end", "GET /a/ HTTP/1.1" CRLF HOST CRLF, 400},
	{"one point", "GET /./a HTTP/1.1" CRLF HOST CRLF, 400},
	{"two points", "GET /a/.. HTTP/1.1" CRLF HOST CRLF, 400},
	{"a whole URL", "GET https://keys.example/ HTTP/1.1" CRLF HOST CRLF, 400},
	{"an asterisk", "GET * HTTP/1.1" CRLF HOST CRLF, 400},
	{"no path", "GET  HTTP/1.1" CRLF HOST CRLF, 400},
	/* lines */
	{"another method", "PUT / HTTP/1.1" CRLF HOST "Content-Length: 0" CRLF CRLF, 405},
	{"lower case", "get / HTTP/1.1" CRLF HOST CRLF, 405},
	{"OPTIONS", "OPTIONS / HTTP/1.1" CRLF HOST CRLF, 405},
	{"HTTP/1.0", "GET / HTTP/1.0" CRLF HOST CRLF, 505},
	{"HTTP/2.0", "PRI / HTTP/2.0" CRLF HOST CRLF, 505},
	{"HTTP/0.9", "GET /" CRLF CRLF, 400},
	{"http/1.1", "GET / http/1.1" CRLF HOST CRLF, 400},
	{"two blanks", "GET  / HTTP/1.1" CRLF HOST CRLF, 400},
	{"a tab", "GET\t/ HTTP/1.1" CRLF HOST CRLF, 400},
	{"a blank at the end", "GET / HTTP/1.1 " CRLF HOST CRLF, 400},
	{"a field without a colon", "GET / HTTP/1.1" CRLF HOST "X" CRLF CRLF, 400},
	{"a field without a name", "GET / HTTP/1.1" CRLF HOST ": x" CRLF CRLF, 400},
	{"Latin-1", "GET / HTTP/1.1" CRLF HOST "X: \xe4" CRLF CRLF, 400},
	{"an escape character", "GET / HTTP/1.1" CRLF HOST "X: \x1b[0m" CRLF CRLF, 400},
	{"an expectation", "POST / HTTP/1.1" CRLF HOST "Content-Length: 1" CRLF "Expect: 100-continue" CRLF CRLF, 417},
	{"two types",
	 "POST / HTTP/1.1" CRLF HOST "Content-Length: 0" CRLF "Content-Type: a/b" CRLF
	 "Content-Type: application/json" CRLF CRLF,
	 400},
	/* refused before it is whole */
	{"TLS", "\x16\x03\x01\x02", 400},
	{"SSH", "SSH-2.0-x" CRLF CRLF, 400},
};

START_TEST(refuses)
{
	struct http_request r;
	int got = parse(refused[_i].text, strlen(refused[_i].text), &r);

	if (got != refused[_i].status)
		ck_abort_msg("%s: %d, not %d", refused[_i].what, got, refused[_i].status);
}
END_TEST

START_TEST(refuses_zero_bytes)
{
	static const char text[] = "GET / HTTP/1.1" CRLF HOST "X: a\0b" CRLF CRLF;
	struct http_request r;

	ck_assert_int_eq(parse(text, sizeof(text) - 1, &r), 400);
}
END_TEST

/* Each beginning of a request is "more", and what comes behind it does not matter. */
START_TEST(takes)
{
	static const char text[] =
		"POST /v1/keys/a-b_c.d~e/1/unwrapkey HTTP/1.1" CRLF "host:\t[2001:db8::1]:8443 " CRLF
		"Content-length: 007" CRLF "content-TYPE: Application/JSON ; charset=utf-8" CRLF
		"Origin: https://keys.example" CRLF "connection: keep-alive" CRLF CRLF "{\"a\":1}GET / HTTP/1.1" CRLF;
	size_t whole = strstr(text, "}") + 1 - text;
	const char *reason;
	struct http_request r;

	for (size_t n = 0; n < whole; n++) {
		ck_assert_int_eq(parse(text, n, &r), HTTP_MORE);
		ck_assert_uint_eq(r.size, n < whole - 7 ? 0 : whole); /* known once the head is there */
	}
	for (size_t n = whole; n < sizeof(text); n++) {
		ck_assert_int_eq(http_parse(text, n, &r, &reason), HTTP_WHOLE);
		ck_assert_uint_eq(r.size, whole);
	}
	ck_assert_int_eq(r.method, HTTP_POST);
	ck_assert_uint_eq(r.path.size, strlen("/v1/keys/a-b_c.d~e/1/unwrapkey"));
	ck_assert_mem_eq(r.path.at, "/v1/keys/a-b_c.d~e/1/unwrapkey", r.path.size);
	ck_assert_uint_eq(r.host.size, strlen("[2001:db8::1]:8443"));
	ck_assert_mem_eq(r.host.at, "[2001:db8::1]:8443", r.host.size);
	ck_assert_mem_eq(r.origin.at, "https://keys.example", r.origin.size);
	ck_assert_uint_eq(r.body.size, 7);
	ck_assert_mem_eq(r.body.at, "{\"a\":1}", 7);
	ck_assert(r.json && r.keep);
}
END_TEST

START_TEST(takes_the_least)
{
	static const char text[] = "GET / HTTP/1.1" CRLF "Host: a" CRLF CRLF;
	struct http_request r;

	ck_assert_int_eq(parse(text, strlen(text), &r), HTTP_WHOLE);
	ck_assert(!r.json && r.keep && !r.origin.at);
	ck_assert_uint_eq(r.path.size, 1);
	ck_assert_uint_eq(r.body.size, 0);
}
END_TEST

START_TEST(closes_when_told)
{
	static const char *const lists[] = {"close", "Close", "keep-alive, close", "x ,\tclose ,y"};
	struct http_request r;
	char text[256];

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		snprintf(text, sizeof(text), "GET / HTTP/1.1" CRLF HOST "Connection: %s" CRLF CRLF, lists[i]);
		ck_assert_int_eq(parse(text, strlen(text), &r), HTTP_WHOLE);
		ck_assert(!r.keep);
	}
	snprintf(text, sizeof(text), "GET / HTTP/1.1" CRLF HOST "Connection: closed, unclose" CRLF CRLF);
	ck_assert_int_eq(parse(text, strlen(text), &r), HTTP_WHOLE);
	ck_assert(r.keep);
}
END_TEST

/* A request whose head is padded to n bytes. */
static char *padded(size_t n)
{
	static const char head[] = "GET / HTTP/1.1" CRLF HOST "X: ";
	char *text = malloc(n + 1);

	ck_assert_ptr_nonnull(text);
	memset(text, 'x', n);
	memcpy(text, head, sizeof(head) - 1);
	memcpy(text + n - 4, CRLF CRLF, 5);
	return text;
}

START_TEST(bounds_of_the_head)
{
	char *fits = padded(HTTP_HEAD_MAX), *over = padded(HTTP_HEAD_MAX + 1);
	char fields[4096] = "GET / HTTP/1.1" CRLF HOST;
	char path[1024] = "GET /";
	struct http_request r;

	ck_assert_int_eq(parse(fits, HTTP_HEAD_MAX, &r), HTTP_WHOLE);
	ck_assert_int_eq(parse(over, HTTP_HEAD_MAX - 1, &r), HTTP_MORE);
	ck_assert_int_eq(parse(over, HTTP_HEAD_MAX, &r), 431);
	ck_assert_int_eq(parse(over, HTTP_HEAD_MAX + 1, &r), 431);
	free(fits);
	free(over);

	for (int i = 1; i < HTTP_FIELDS_MAX; i++)
		strcat(fields, "X: y" CRLF);
	strcat(fields, CRLF);
	ck_assert_int_eq(parse(fields, strlen(fields), &r), HTTP_WHOLE);
	strcpy(fields + strlen(fields) - 2, "X: y" CRLF CRLF);
	ck_assert_int_eq(parse(fields, strlen(fields), &r), 431);

	memset(path + 5, 'a', HTTP_TARGET_MAX - 1);
	strcpy(path + 4 + HTTP_TARGET_MAX, " HTTP/1.1" CRLF HOST CRLF);
	ck_assert_int_eq(parse(path, strlen(path), &r), HTTP_WHOLE);
	strcpy(path + 4 + HTTP_TARGET_MAX, "a HTTP/1.1" CRLF HOST CRLF);
	ck_assert_int_eq(parse(path, strlen(path), &r), 414);
}
END_TEST

START_TEST(bounds_of_the_body)
{
	static const char head[] = "POST / HTTP/1.1" CRLF HOST "Content-Length: 65536" CRLF CRLF;
	size_t size = sizeof(head) - 1 + HTTP_BODY_MAX;
	char *text = calloc(1, size);
	struct http_request r;

	ck_assert_ptr_nonnull(text);
	memcpy(text, head, sizeof(head) - 1);
	ck_assert_int_eq(parse(text, size - 1, &r), HTTP_MORE);
	ck_assert_int_eq(parse(text, size, &r), HTTP_WHOLE);
	ck_assert_uint_eq(r.body.size, HTTP_BODY_MAX);
	free(text);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("http");

	tcase_add_loop_test(c, refuses, 0, sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(c, refuses_zero_bytes);
	tcase_add_test(c, takes);
	tcase_add_test(c, takes_the_least);
	tcase_add_test(c, closes_when_told);
	tcase_add_test(c, bounds_of_the_head);
	tcase_add_test(c, bounds_of_the_body);
	return fixture_run("service http", c);
}
