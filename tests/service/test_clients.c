/* Clients in all their states (clients.h), with a clock of the test's own. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fixture.h"
#include "keymgr/service/clients.h"
#include "keymgr/testing.h"

enum { NOW = 1800000000 };

static struct ledger *l;
static struct tls_identity ca;
static X509 *request; /* stands for every client's: who it is, says the fingerprint */

static void set_up(void)
{
	struct fault why = {0};
	struct backend *b;

	fixture_set_up();
	document_set_clock_for_tests(NOW);
	ck_assert_int_eq(tls_start(), 0);
	ck_assert_int_eq(x509_key_new(KEY_EC_P256, &ca.key), 0);
	ck_assert_int_eq(x509_make_ca(ca.key, "test", &ca.cert), 0);
	ck_assert_int_eq(x509_make_ca(ca.key, "request", &request), 0);
	ck_assert_int_eq(backend_sqlite_open(fixture_path("db"), BACKEND_MAKE, &b, &why), 0);
	ck_assert_int_eq(ledger_open(b, &fixture_keys, fixture_path("anchor"), true, &l, &why), 0);
}

static void tear_down(void)
{
	ledger_close(&l);
	tls_identity_free(&ca);
	X509_free(request);
	fixture_tear_down();
}

static int done(int ret, struct client *c)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	struct ledger_mark nothing = {0};

	client_free(c);
	if (ret == 0) {
		ck_assert_int_eq(put_string(o, "event", "test"), 0);
		ck_assert_int_eq(ledger_note(l, o), 0);
		ck_assert_int_eq(ledger_commit(l), 0);
	} else {
		nothing.at = ledger_mark(l).at;
		ledger_back(l, &nothing);
	}
	return ret;
}

static const char *who(int n)
{
	static char text[4][FINGERPRINT_TEXT + 1];
	static int turn;

	turn = (turn + 1) % 4;
	snprintf(text[turn], sizeof(text[turn]), "%064x", n);
	return text[turn];
}

static int enrol(int n)
{
	struct client c = {0};

	return done(client_register(l, who(n), "name", request, &c), &c);
}

static int accept_as(int n, enum role role)
{
	struct client c = {0};

	return done(client_accept(l, &ca, who(n), role, &c), &c);
}

static int take_away(int n)
{
	struct client c = {0};

	return done(client_revoke(l, who(n), &c), &c);
}

static void expect(int n, enum client_state state, enum role role)
{
	_cleanup_(client_free) struct client c = {0};
	_cleanup_x509_ X509 *cert = NULL;

	ck_assert_int_eq(client_get(l, who(n), &c), 0);
	if (c.state != state || c.role != role)
		ck_abort_msg("%d is %s and %s", n, client_state_name(c.state), role_name(c.role));
	ck_assert_int_eq(client_certificate(&c, &cert), 0);
	ck_assert((cert != NULL) == (state == CLIENT_ACCEPTED));
}

START_TEST(states)
{
	expect(1, CLIENT_UNKNOWN, ROLE_NONE);
	ck_assert_int_eq(accept_as(1, ROLE_CLIENT), -ENOENT);
	ck_assert_int_eq(take_away(1), -ENOENT);
	ck_assert_int_eq(enrol(1), 0);
	expect(1, CLIENT_PENDING, ROLE_NONE);
	ck_assert_int_eq(enrol(1), -EALREADY);
	ck_assert_int_eq(accept_as(1, ROLE_OPERATOR), 0);
	expect(1, CLIENT_ACCEPTED, ROLE_OPERATOR);
	ck_assert_int_eq(enrol(1), -EALREADY);
	ck_assert_int_eq(accept_as(1, ROLE_AUDITOR), 0);
	expect(1, CLIENT_ACCEPTED, ROLE_AUDITOR);
	ck_assert_int_eq(take_away(1), 0);
	expect(1, CLIENT_REVOKED, ROLE_NONE);
	ck_assert_int_eq(take_away(1), 0);
	ck_assert_int_eq(accept_as(1, ROLE_CLIENT), -EKEYREVOKED);
	ck_assert_int_eq(enrol(1), -EALREADY);
	/* One that waits can be refused by revoking it. */
	ck_assert_int_eq(enrol(2), 0);
	ck_assert_int_eq(take_away(2), 0);
	expect(2, CLIENT_REVOKED, ROLE_NONE);
}
END_TEST

START_TEST(last_administrator)
{
	ck_assert_int_eq(enrol(1), 0);
	ck_assert_int_eq(enrol(2), 0);
	ck_assert_int_eq(accept_as(1, ROLE_ADMIN), 0);
	ck_assert_int_eq(take_away(1), -EPERM);
	ck_assert_int_eq(accept_as(1, ROLE_CLIENT), -EPERM);
	ck_assert_int_eq(accept_as(1, ROLE_ADMIN), 0); /* a fresh certificate */
	expect(1, CLIENT_ACCEPTED, ROLE_ADMIN);
	ck_assert_int_eq(accept_as(2, ROLE_ADMIN), 0);
	ck_assert_int_eq(take_away(1), 0);
	ck_assert_int_eq(accept_as(2, ROLE_CLIENT), -EPERM);
	ck_assert_int_eq(take_away(2), -EPERM);
}
END_TEST

/* Strangers can fill the room for those who wait, for a day. */
START_TEST(too_many_wait)
{
	for (int n = 0; n < PENDING_MAX; n++)
		ck_assert_int_eq(enrol(n), 0);
	ck_assert_int_eq(enrol(PENDING_MAX), -EUSERS);
	ck_assert_int_eq(take_away(0), 0);
	ck_assert_int_eq(enrol(PENDING_MAX), 0);
	ck_assert_int_eq(accept_as(1, ROLE_CLIENT), 0);
	ck_assert_int_eq(enrol(PENDING_MAX + 1), 0);
	ck_assert_int_eq(enrol(PENDING_MAX + 2), -EUSERS);
	document_set_clock_for_tests(NOW + PENDING_S - 1);
	ck_assert_int_eq(enrol(PENDING_MAX + 2), -EUSERS);
	document_set_clock_for_tests(NOW + PENDING_S);
	ck_assert_int_eq(enrol(PENDING_MAX + 2), 0);
	ck_assert_int_eq(accept_as(2, ROLE_CLIENT), 0); /* older ones still can be accepted */
}
END_TEST

START_TEST(grants)
{
	bool granted = true;

	ck_assert_int_eq(grant_get(l, "k", who(1), &granted), 0);
	ck_assert(!granted);
	ck_assert_int_eq(grant_put(l, "k", who(1), true), 0);
	ck_assert_int_eq(grant_get(l, "k", who(1), &granted), 0);
	ck_assert(granted);
	ck_assert_int_eq(grant_get(l, "k", who(2), &granted), 0);
	ck_assert(!granted);
	ck_assert_int_eq(grant_get(l, "k1", who(1), &granted), 0);
	ck_assert(!granted);
	ck_assert_int_eq(grant_put(l, "k", who(1), false), 0);
	ck_assert_int_eq(grant_get(l, "k", who(1), &granted), 0);
	ck_assert(!granted);
}
END_TEST

START_TEST(names)
{
	char name[CLIENT_NAME_MAX + 2];

	ck_assert(client_name_valid("a") && client_name_valid("web-1.example") && client_name_valid("root@host_2"));
	ck_assert(!client_name_valid("") && !client_name_valid("a b") && !client_name_valid("a\"") &&
		  !client_name_valid("a/b") && !client_name_valid("\xc3\xa4") && !client_name_valid("a\n"));
	memset(name, 'a', sizeof(name));
	name[CLIENT_NAME_MAX] = '\0';
	ck_assert(client_name_valid(name));
	name[CLIENT_NAME_MAX] = 'a';
	name[CLIENT_NAME_MAX + 1] = '\0';
	ck_assert(!client_name_valid(name));
	ck_assert(fingerprint_valid(who(1)));
	ck_assert(!fingerprint_valid("") && !fingerprint_valid("0123"));
	for (enum role r = ROLE_ADMIN; r <= ROLE_AUDITOR; r++)
		ck_assert_int_eq(role_from_name(role_name(r)), r);
	ck_assert_int_eq(role_from_name("none"), ROLE_NONE);
	ck_assert_int_eq(role_from_name(""), ROLE_NONE);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("clients");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, states);
	tcase_add_test(c, last_administrator);
	tcase_add_test(c, too_many_wait);
	tcase_add_test(c, grants);
	tcase_add_test(c, names);
	return fixture_run("service clients", c);
}
