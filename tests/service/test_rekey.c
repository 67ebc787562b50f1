/* What a rekeying takes from whoever knew everything before it: rekey.c (2), ledger_rekey.c (1) to (3). */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fixture.h"
#include "keymgr/service/kek.h"
#include "keymgr/service/rekey.h"

enum { MORE_ROWS = 50 };

static struct place place;
static struct keyring *keyring;
static struct backend *store;
static const struct backend_ops *real;
static struct backend_ops shaky;
static int fail_with;

static int shaky_commit(struct backend *b, const struct row *rows, size_t row_count, const struct line *lines,
			size_t line_count)
{
	return fail_with ? fail_with : real->commit(b, rows, row_count, lines, line_count);
}

static void write_key(const char *file)
{
	FILE *f = fopen(file, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fprintf(f, "%064d", 7), 64);
	ck_assert_int_eq(fclose(f), 0);
}

static void open_place(enum backend_use use)
{
	struct unlock_source from = UNLOCK_SOURCE_NONE;
	char path[PATH_MAX], key[PATH_MAX];
	struct fault why = {0};

	from.key_file = place_name(&place, PLACE_KEY, key);
	ck_assert_int_eq(
		service_keys_open(place_name(&place, PLACE_KEYRING, path), &from, "", &place.keys, &keyring, &why), 0);
	ck_assert_int_eq(place_store(&place, use, &store, &why), 0);
	ck_assert_int_eq(service_keys_settle(&place.keys, store, &why), 0);
	real = store->ops;
	shaky = *real;
	shaky.commit = shaky_commit;
	store->ops = &shaky;
	ck_assert_int_eq(ledger_open(store, &place.keys, place_name(&place, PLACE_ANCHOR, path), use == BACKEND_MAKE,
				     &place.ledger, &why),
			 0);
}

static void close_place(void)
{
	place_close(&place);
	keyring_free(&keyring);
}

static void set_up(void)
{
	struct unlock_source from = UNLOCK_SOURCE_NONE;
	struct unlock_secret secret = {0};
	char path[PATH_MAX], fingerprint[ROOT_TEXT];
	struct service_keys made;
	struct fault why = {0};

	fixture_set_up();
	fail_with = 0;
	place = PLACE_NONE;
	snprintf(place.path, sizeof(place.path), "%s", fixture_path("place"));
	ck_assert_int_eq(mkdir(place.path, 0700), 0);
	write_key(place_name(&place, PLACE_KEY, path));
	from.key_file = path;
	ck_assert_int_eq(unlock_obtain(&from, "", false, &secret, &why), 0);
	ck_assert_int_eq(service_keys_make(place_name(&place, PLACE_KEYRING, path), &secret, &made, fingerprint, &why),
			 0);
	unlock_secret_wipe(&secret);
	service_keys_free(&made);
	open_place(BACKEND_MAKE);
}

static void tear_down(void)
{
	close_place();
	fixture_tear_down();
}

static void commit(const char *event)
{
	_cleanup_json_ json_object *o = json_object_new_object();

	ck_assert_int_eq(put_string(o, "event", event), 0);
	ck_assert_int_eq(ledger_note(place.ledger, o), 0);
	ck_assert_int_eq(ledger_commit(place.ledger), 0);
}

static void make(const char *name)
{
	_cleanup_(kek_free) struct kek k = {0};

	ck_assert_int_eq(kek_create(place.ledger, &place.keys, name, &k), 0);
	commit("make");
}

static void put(const char *name)
{
	_cleanup_json_ json_object *o = json_object_new_object();

	ck_assert_int_eq(put_string(o, "name", name), 0);
	ck_assert_int_eq(ledger_put(place.ledger, name, o), 0);
	commit("put");
}

static void wrapped_in(const char *row, uint8_t out[WRAPPED_SIZE])
{
	_cleanup_json_ json_object *o = NULL;
	struct problem p = {0};

	ck_assert_int_eq(ledger_get(place.ledger, row, &o), 0);
	ck_assert_int_eq(member_bytes(o, "wrapped", out, WRAPPED_SIZE, &p), 0);
}

static int rekey(struct service_rekeyed *out)
{
	struct fault why = {0};
	int ret = service_rekey(&place, keyring, out, &why);

	ck_assert(ret == 0 || *why.text);
	close_place();
	open_place(BACKEND_WRITE);
	return ret;
}

static struct kek_wrapped sealed;

static void seal(void)
{
	_cleanup_(kek_free) struct kek k = {0};

	sealed = (struct kek_wrapped){0};
	ck_assert_int_eq(kek_get(place.ledger, "k", &k), 0);
	ck_assert_int_eq(kek_wrap(place.ledger, &place.keys, &k, (const uint8_t *)"seventeen", 9, &sealed), 0);
}

static void check_opens(void)
{
	_cleanup_(kek_free) struct kek k = {0};
	uint8_t out[KEK_VALUE_MAX];

	ck_assert_int_eq(kek_get(place.ledger, "k", &k), 0);
	ck_assert_int_eq(kek_unwrap(place.ledger, &place.keys, &k, &sealed, out), 0);
	ck_assert_mem_eq(out, "seventeen", 9);
}

START_TEST(who_knew_all_before_opens_nothing_later)
{
	uint8_t secret[WRAPPED_SIZE], later[WRAPPED_SIZE], version[WRAPPED_SIZE], key[AEAD_KEY];
	const struct service_secret before = {"key/k", secret}, after = {"key/k", later};
	struct service_keys old;
	struct service_rekeyed r;
	struct fault why = {0};

	make("k");
	seal();
	wrapped_in("key/k", secret);
	ck_assert_int_eq(service_keys_of(keyring, &old, &why), 0);
	ck_assert_int_eq(service_keys_at(&old, SERVICE_FIRST_GENERATION), 0);
	wrapped_in("version/k/1", version);
	ck_assert_int_eq(service_version_open(&old, &before, "version/k/1", version, key), 0);
	ck_assert_int_eq(rekey(&r), 0);
	ck_assert_uint_gt(r.generation, SERVICE_FIRST_GENERATION);
	check_opens();
	wrapped_in("key/k", later);
	wrapped_in("version/k/1", version);
	ck_assert_int_ne(service_version_open(&old, &before, "version/k/1", version, key), 0);
	ck_assert_int_ne(service_version_open(&old, &after, "version/k/1", version, key), 0);
	/* Its secret is not the same one under another generation either. */
	ck_assert_int_ne(service_version_open(&place.keys, &before, "version/k/1", version, key), 0);
	ck_assert_int_eq(service_version_open(&place.keys, &after, "version/k/1", version, key), 0);
	service_keys_free(&old);
}
END_TEST

START_TEST(a_purged_key_and_many_rows)
{
	_cleanup_(kek_free) struct kek k = {0}, gone = {0};
	struct service_rekeyed r;
	char name[32];

	make("k");
	seal();
	make("gone");
	ck_assert_int_eq(kek_get(place.ledger, "gone", &gone), 0);
	ck_assert_int_eq(kek_delete(place.ledger, &gone, 7), 0);
	ck_assert_int_eq(kek_purge(place.ledger, &gone), 0);
	commit("purge");
	for (int i = 0; i < MORE_ROWS; i++) {
		snprintf(name, sizeof(name), "other/%d", i);
		put(name);
	}
	for (uint64_t more = 0; more < 3; more++) {
		uint64_t last = ledger_last(place.ledger), rows = MORE_ROWS + 5 + 2 * more;

		ck_assert_int_eq(rekey(&r), 0);
		ck_assert_uint_eq(r.rows, rows);
		ck_assert_uint_eq(ledger_last(place.ledger), last + 1 + (rows + 7) / 8);
		ck_assert_uint_eq(place.keys.audit.count, more + 2);
		check_opens();
		ck_assert_int_eq(kek_get(place.ledger, "gone", &k), 0);
		ck_assert_int_eq(k.state, KEK_PURGED);
		kek_free(&k);
		snprintf(name, sizeof(name), "key%d", (int)more);
		make(name);
	}
}
END_TEST

START_TEST(a_failed_commit_changes_nothing)
{
	struct service_rekeyed r;
	uint64_t last;

	make("k");
	seal();
	last = ledger_last(place.ledger);
	fail_with = -ENOSPC;
	ck_assert_int_eq(rekey(&r), -ENOSPC);
	ck_assert_uint_eq(place.keys.generation, SERVICE_FIRST_GENERATION);
	ck_assert_uint_eq(ledger_last(place.ledger), last);
	check_opens();
	fail_with = 0;
	ck_assert_int_eq(rekey(&r), 0);
	ck_assert_uint_eq(r.before, SERVICE_FIRST_GENERATION);
	check_opens();
}
END_TEST

static uint32_t floor_of_keyring(void)
{
	struct keys *keys = keyring_keys(keyring);
	uint32_t floor;

	ck_assert_ptr_nonnull(keys);
	floor = keys->floor[SCOPE_DEFAULT];
	keys_unref(keys);
	return floor;
}

/* As a crash behind the commit leaves it: the anchor is the old one, the keyring accepts the old generation. */
START_TEST(what_is_left_is_done_at_the_next_start)
{
	char anchor[PATH_MAX], aside[PATH_MAX];
	struct service_rekeyed r;
	struct fault why = {0};

	make("k");
	seal();
	ck_assert_int_eq(ledger_anchor(place.ledger), 0);
	place_name(&place, PLACE_ANCHOR, anchor);
	ck_assert_int_eq(rename(anchor, place_name(&place, "aside", aside)), 0);
	ck_assert_int_eq(mkdir(anchor, 0700), 0); /* so that it cannot be written */
	ck_assert_int_lt(service_rekey(&place, keyring, &r, &why), 0);
	ck_assert_uint_eq(floor_of_keyring(), SERVICE_FIRST_GENERATION);
	close_place();
	ck_assert_int_eq(rmdir(anchor), 0);
	ck_assert_int_eq(rename(aside, anchor), 0);
	open_place(BACKEND_WRITE);
	ck_assert_uint_eq(place.keys.generation, r.generation);
	ck_assert_int_eq(service_rekey_finish(&place, keyring, &why), 0);
	ck_assert_uint_eq(floor_of_keyring(), r.generation);
	check_opens();
	make("later");
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("rekey");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, who_knew_all_before_opens_nothing_later);
	tcase_add_test(c, a_purged_key_and_many_rows);
	tcase_add_test(c, what_is_left_is_done_at_the_next_start);
	tcase_add_test(c, a_failed_commit_changes_nothing);
	return fixture_run("rekey", c);
}
