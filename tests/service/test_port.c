/* Addresses and ports as they are written, counted and bound (port.h). */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "fixture.h"
#include "keymgr/service/http.h"
#include "keymgr/service/port.h"
#include "keymgr/service/server.h"

static union address address(const char *text)
{
	union address a = {0};

	if (inet_pton(AF_INET, text, &a.four.sin_addr) == 1) {
		a.any.sa_family = AF_INET;
	} else {
		ck_assert_int_eq(inet_pton(AF_INET6, text, &a.six.sin6_addr), 1);
		a.any.sa_family = AF_INET6;
	}
	return a;
}

START_TEST(texts)
{
	static const struct {
		const char *given, *text, *network;
	} rows[] = {
		{"192.0.2.7", "192.0.2.7", "192.0.2.7"},
		{"::ffff:192.0.2.7", "192.0.2.7", "192.0.2.7"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
		{"2001:db8:1:3:3:4:5:6", "2001:db8:1:3:3:4:5:6", "2001:db8:1:3::"},
		{"::1", "::1", "::"},
	};
	char text[ADDRESS_TEXT];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		union address a = address(rows[i].given);

		address_text(&a, text);
		ck_assert_str_eq(text, rows[i].text);
		address_network(&a, text);
		ck_assert_str_eq(text, rows[i].network);
	}
}
END_TEST

START_TEST(bound)
{
	static const char *const bad[] = {"",
					  ":",
					  "127.0.0.1",
					  "127.0.0.1:",
					  ":8443",
					  "127.0.0.1:x",
					  "127.0.0.1:65536",
					  "127.0.0.1:-1",
					  "127.0.0.1: 1",
					  "localhost:0",
					  "[::1:0",
					  "::1]:0",
					  "127.0.0.1:0:0",
					  "256.0.0.1:0"};
	static const char *const wide[] = {"0.0.0.0:0", "[::]:0"};
	char shown[ADDRESS_TEXT], again[ADDRESS_TEXT];
	struct fault why;
	int fd;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why = (struct fault){0};
		if (port_open(bad[i], false, shown, &why) >= 0)
			ck_abort_msg("%s", bad[i]);
		ck_assert_int_eq(why.status, EXIT_USAGE);
	}
	for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++) {
		why = (struct fault){0};
		ck_assert_int_eq(port_open(wide[i], true, shown, &why), -EINVAL);
	}
	why = (struct fault){0};
	fd = port_open("127.0.0.2:0", true, shown, &why);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(strncmp(shown, "127.0.0.2:", 10), 0);
	ck_assert_str_ne(shown, "127.0.0.2:0");
	/* It is taken. */
	ck_assert_int_eq(port_open(shown, true, again, &why), -EADDRINUSE);
	ck_assert_int_eq(why.status, EXIT_FAILED);
	close(fd);
	why = (struct fault){0};
	fd = port_open("[::1]:0", true, shown, &why); /* where the host has IPv6 */
	if (fd >= 0) {
		ck_assert_int_eq(strncmp(shown, "[::1]:", 6), 0);
		close(fd);
	}
}
END_TEST

/* What docs/key-service.md promises ("Limits"); that each is kept is tests/service/test_tls.py's and test_http.c's to show. */
START_TEST(limits)
{
	ck_assert_int_eq(server_limits_default.connections, 1024);
	ck_assert_int_eq(server_limits_default.per_address, 64);
	ck_assert_int_eq(server_limits_default.per_client, 32);
	ck_assert_int_eq(server_limits_default.handshake_s, 10);
	ck_assert_int_eq(server_limits_default.request_s, 30);
	ck_assert_int_eq(server_limits_default.idle_s, 75);
	ck_assert_int_eq(HTTP_HEAD_MAX, 16 << 10);
	ck_assert_int_eq(HTTP_BODY_MAX, 64 << 10);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("port");

	tcase_add_test(c, texts);
	tcase_add_test(c, bound);
	tcase_add_test(c, limits);
	return fixture_run("service port", c);
}
