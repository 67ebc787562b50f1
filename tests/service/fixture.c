#include "fixture.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct service_keys fixture_keys;
static char *top;

const char *fixture_path(const char *name)
{
	static char paths[2][PATH_MAX];
	static int turn;

	turn = !turn;
	snprintf(paths[turn], PATH_MAX, "%s/%s", top, name);
	return paths[turn];
}

void fixture_set_up(void)
{
	struct unlock_secret secret = {.kind = SECRET_KEY_FILE};
	struct fault why = {0};
	char made[PATH_MAX], fingerprint[ROOT_TEXT];

	setenv("COFFER_STATE_DIR", "", 1);
	snprintf(made, sizeof(made), "%s/coffer-service.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(made));
	top = realpath(made, NULL); /* SQLite is told to follow no links */
	ck_assert_ptr_nonnull(top);
	ck_assert_int_eq(crypto_start(), 0);
	ck_assert_int_eq(secret_start(64 << 10), 0);
	secret.bytes = secret_new(32);
	ck_assert_ptr_nonnull(secret.bytes);
	ck_assert_int_eq(crypto_random(secret.bytes->bytes, 32), 0);
	ck_assert_int_eq(service_keys_make(fixture_path("keyring.json"), &secret, &fixture_keys, fingerprint, &why), 0);
	unlock_secret_wipe(&secret);
}

void fixture_tear_down(void)
{
	char command[PATH_MAX + 16];

	service_keys_free(&fixture_keys);
	snprintf(command, sizeof(command), "rm -rf '%s'", top);
	ck_assert_int_eq(system(command), 0);
	free(top);
}

int fixture_run(const char *name, TCase *c)
{
	Suite *s = suite_create(name);
	SRunner *runner;
	int failed;

	suite_add_tcase(s, c);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
