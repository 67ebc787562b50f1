/* Id records of directories, and the table of unlocked keys. */
#include "fixture.h"

#include "util/base/encode.h"
#include "util/base/kdf_labels.h"

/* From an implementation of section 2 in another language. */
#define RECORD_VECTOR  "AQEAAAAAAAAAEBESExQVFhcYGRobHB0eH0OCrweuzuPGEoph7SibBtI"
#define CONTENT_VECTOR "bc2fb75e067e5abeb09fe5cd913d604aff7d30fefeecaa0a15bd811c68b645da"
#define NAMES_VECTOR                                                                                                   \
	"1e23fa1f08bf0d8d8b090c18e06908c7db6ea1326c6fb4c2bddcb2806deb860e"                                             \
	"e98b8d3346a6b4a69d35c8988fb337fd3dcdaf2944905ae15b32e09f21469c05"

/* From docs/format-volume.md section 4: key 00 01 .. 1f, generation 1, next 0, id 10 11 .. 1f. */
START_TEST(record_vector)
{
	struct secret *key = secret_new(32);
	struct directory_record r = {.generation = 1}, back;
	char text[DIRECTORY_RECORD_TEXT + 1];

	for (int i = 0; i < 32; i++)
		key->bytes[i] = (uint8_t)i;
	for (int i = 0; i < DIRECTORY_ID_SIZE; i++)
		r.id[i] = (uint8_t)(16 + i);
	ck_assert_int_eq(directory_record_seal(key, &r, text), 0);
	ck_assert_str_eq(text, RECORD_VECTOR);
	ck_assert_int_eq(directory_record_open(key, text, strlen(text), &back), 0);
	ck_assert_mem_eq(&back, &r, sizeof(r));
	secret_free(&key);
}
END_TEST

START_TEST(record_changed)
{
	struct secret *key = secret_new(32);
	struct directory_record r = {.generation = 7, .next = 9}, back, none = {0};
	char text[DIRECTORY_RECORD_TEXT + 1];

	ck_assert_int_eq(directory_record_seal(key, &r, text), 0);
	for (size_t i = 0; i < DIRECTORY_RECORD_TEXT; i++)
		for (int c = 1; c < 256; c++) {
			char was = text[i];

			text[i] = (char)c;
			if (text[i] != was) {
				ck_assert_int_eq(directory_record_open(key, text, DIRECTORY_RECORD_TEXT, &back),
						 -EBADMSG);
				ck_assert(memcmp(&back, &none, sizeof(back)) == 0);
			}
			text[i] = was;
		}
	for (size_t n = 0; n < DIRECTORY_RECORD_TEXT; n++)
		ck_assert_int_eq(directory_record_open(key, text, n, &back), -EBADMSG);
	key->bytes[0] ^= 1;
	ck_assert_int_eq(directory_record_open(key, text, DIRECTORY_RECORD_TEXT, &back), -EBADMSG);
	secret_free(&key);
}
END_TEST

START_TEST(who_may_open)
{
	struct generation_key g[] = {
		{.number = 1, .state = KEY_DEACTIVATED}, {.number = 2, .scope = 1, .state = KEY_ACTIVE},
		{.number = 3, .state = KEY_COMPROMISED}, {.number = 5, .state = KEY_SUSPENDED},
		{.number = 6, .state = KEY_DESTROYED},   {.number = 8, .state = KEY_ACTIVE},
		{.number = 9, .state = KEY_PRE_ACTIVE},
	};
	struct keys k = {.count = 7, .generations = g, .scope_count = 2, .floor = {2, 1}, .active = {8, 2}};
	static const struct {
		uint32_t scope, number;
		int error;
	} cases[] = {
		{0, 0, -EBADMSG},  {0, 1, -EBADMSG}, {0, 2, -EBADMSG}, {0, 3, 0},        {0, 4, -EBADMSG},
		{0, 5, -ENOKEY},   {0, 6, -EBADMSG}, {0, 7, -EBADMSG}, {0, 8, 0},        {0, 9, -EBADMSG},
		{0, 10, -EBADMSG}, {1, 2, 0},        {1, 8, -EBADMSG}, {2, 8, -EBADMSG}, {0, UINT32_MAX, -EBADMSG},
	};
	int error;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct generation_key *found = keys_for_open(&k, cases[i].scope, cases[i].number, &error);

		ck_assert_int_eq(error, cases[i].error);
		ck_assert(error == 0 ? found && found->number == cases[i].number : !found);
	}
	ck_assert_uint_eq(keys_active(&k, 0)->number, 8);
	ck_assert_uint_eq(keys_active(&k, 1)->number, 2);
	ck_assert_ptr_null(keys_active(&k, 2));
}
END_TEST

/* Zones 1: of scope 2, settled; 2: of scope 2, from the scope of files; 3: of files, planned for 2; 4: of scope 3. */
static struct generation_key zoned[] = {
	{.number = 1, .scope = 0, .state = KEY_DEACTIVATED}, {.number = 2, .scope = 1, .state = KEY_ACTIVE},
	{.number = 3, .scope = 2, .state = KEY_DEACTIVATED}, {.number = 4, .scope = 0, .state = KEY_ACTIVE},
	{.number = 5, .scope = 2, .state = KEY_ACTIVE},      {.number = 6, .scope = 3, .state = KEY_SUSPENDED},
	{.number = 7, .scope = 3, .state = KEY_ACTIVE},
};
static struct key_zone zones[] = {
	{1, {1}, 2, SCOPE_NONE, SCOPE_NONE},
	{2, {2}, 2, 0, SCOPE_NONE},
	{3, {3}, 0, SCOPE_NONE, 2},
	{4, {4}, 3, SCOPE_NONE, SCOPE_NONE},
};
static const struct keys of_zones = {
	.count = 7,
	.generations = zoned,
	.scope_count = 4,
	.floor = {1, 1, 5, 6},
	.active = {4, 2, 5, 7},
	.zone_count = 4,
	.zones = zones,
};

START_TEST(who_may_open_where)
{
	static const struct {
		uint32_t zone;
		int of[7]; /* generations 1 to 7 */
	} cases[] = {
		{ZONE_DEFAULT, {0, -EBADMSG, -EBADMSG, 0, -EBADMSG, -EBADMSG, -EBADMSG}},
		{1, {-EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, 0, -EBADMSG, -EBADMSG}},
		{2, {0, -EBADMSG, -EBADMSG, 0, 0, -EBADMSG, -EBADMSG}},
		{3, {0, -EBADMSG, -EBADMSG, 0, -EBADMSG, -EBADMSG, -EBADMSG}},
		{4, {-EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, -ENOKEY, 0}},
		{5, {-EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG, -EBADMSG}},
		{ZONE_ANY, {0, -EBADMSG, -EBADMSG, 0, 0, -ENOKEY, 0}},
	};
	struct keys none = of_zones;
	int error;

	none.zone_count = 0;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (uint32_t g = 0; g <= 8; g++) {
			int expected = g >= 1 && g <= 7 ? cases[i].of[g - 1] : -EBADMSG;
			const struct generation_key *found = keys_for_open_in(&of_zones, cases[i].zone, g, &error);

			ck_assert_msg(error == expected, "zone %u, generation %u: %d", cases[i].zone, g, error);
			ck_assert(error == 0 ? found && found->number == g : !found);
			/* Without any zone all is in the scope of files. */
			ck_assert_int_eq(keys_for_open_in(&none, ZONE_DEFAULT, g, &error) != NULL, g == 1 || g == 4);
		}
}
END_TEST

START_TEST(which_zone)
{
	static const struct {
		uint32_t zone, scope, active;
		bool locked; /* while scope 2 is */
	} cases[] = {
		{ZONE_DEFAULT, 0, 4, false},
		{1, 2, 5, true},
		{2, 2, 5, true},
		{3, 0, 4, false},
		{4, 3, 7, false},
		{5, SCOPE_NONE, GENERATION_NONE, false},
		{ZONE_ANY, 0, 4, false},
	};
	uint8_t id[16] = {3};
	struct keys k = of_zones;

	ck_assert_uint_eq(keys_zone_at(&k, id)->number, 3);
	id[15] = 1;
	ck_assert_ptr_null(keys_zone_at(&k, id));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		k.locked = 0;
		ck_assert_uint_eq(keys_zone_scope(&k, cases[i].zone), cases[i].scope);
		ck_assert_uint_eq(keys_active_in(&k, cases[i].zone), cases[i].active);
		ck_assert(!keys_zone_locked(&k, cases[i].zone));
		k.locked = UINT32_C(1) << 2;
		ck_assert_int_eq(keys_zone_locked(&k, cases[i].zone), cases[i].locked);
	}
	ck_assert_uint_eq(keys_scope_of(&k, 6), 3);
	ck_assert_uint_eq(keys_scope_of(&k, 8), SCOPE_NONE);
}
END_TEST

/* What may be moved from one zone to the other: nothing to or from one on its way, and nothing between scopes. */
START_TEST(joined)
{
	struct key_zone more[6];
	struct keys k = of_zones;

	memcpy(more, zones, sizeof(zones));
	more[4] = (struct key_zone){5, {5}, 2, SCOPE_NONE, SCOPE_NONE};
	more[5] = (struct key_zone){6, {6}, 0, SCOPE_NONE, SCOPE_NONE};
	k.zones = more;
	k.zone_count = 6;
	for (uint32_t a = 0; a <= 6; a++)
		for (uint32_t b = 0; b <= 6; b++) {
			uint32_t low = a < b ? a : b, high = a < b ? b : a;
			bool expected = a == b || (low == 1 && high == 5) || (low == 0 && high == 6);

			ck_assert_msg(keys_zones_joined(&k, a, b) == expected, "%u and %u", a, b);
		}
}
END_TEST

START_TEST(a_scope_is_locked)
{
	struct generation_key g[7];
	struct keys k = of_zones;
	int error;

	memcpy(g, zoned, sizeof(zoned));
	g[4].prk = secret_new(SHA256_SIZE);
	g[2].state = KEY_DESTROYED;
	k.generations = g;
	keys_lock_scope(&k, 2);
	ck_assert_uint_eq(k.locked, 4);
	ck_assert_ptr_null(g[4].prk);
	ck_assert_int_eq(g[2].state, KEY_DESTROYED);
	ck_assert_ptr_null(keys_for_open_in(&k, 1, 5, &error));
	ck_assert_int_eq(error, -ENOKEY);
	/* Another scope's there is refused as before. */
	ck_assert_ptr_null(keys_for_open_in(&k, 1, 4, &error));
	ck_assert_int_eq(error, -EBADMSG);
	ck_assert_ptr_nonnull(keys_for_open_in(&k, ZONE_DEFAULT, 4, &error));
	ck_assert_ptr_nonnull(keys_for_open_in(&k, 4, 7, &error));
}
END_TEST

/* Subkeys are the ones of docs/format-volume.md section 2, and no two are equal. */
START_TEST(subkeys)
{
	struct generation_key g = {.number = 1, .state = KEY_ACTIVE, .prk = secret_new(SHA256_SIZE)};
	struct keys k = {
		.count = 1, .generations = &g, .cipher = CIPHER_AES_256_OCB, .active = {1, 1}, .floor = {1, 1}};
	uint8_t secret[32], id[16] = {1}, a[32], b[32], c[64];
	char hex[129];

	for (int i = 0; i < 32; i++)
		secret[i] = (uint8_t)i;
	for (int i = 0; i < 16; i++)
		k.volume_id[i] = (uint8_t)(0xa0 + i);
	ck_assert_int_eq(kdf_extract(secret, 32, g.prk->bytes), 0);
	ck_assert_int_eq(keys_derive_content(&k, &g, id, a), 0);
	hex_encode(a, 32, hex);
	ck_assert_str_eq(hex, CONTENT_VECTOR);
	id[0] = 2;
	ck_assert_int_eq(keys_derive_content(&k, &g, id, b), 0);
	ck_assert_mem_ne(a, b, 32);
	k.cipher = CIPHER_AES_256_GCM;
	id[0] = 1;
	ck_assert_int_eq(keys_derive_content(&k, &g, id, b), 0);
	ck_assert_mem_ne(a, b, 32);
	ck_assert_int_eq(keys_derive(&k, &g, LABEL_NAMES, NULL, 0, c, 64), 0);
	hex_encode(c, 64, hex);
	ck_assert_str_eq(hex, NAMES_VECTOR);
	secret_free(&g.prk);
	ck_assert_int_eq(keys_derive(&k, &g, LABEL_NAMES, NULL, 0, c, 64), -ENOKEY);
}
END_TEST

START_TEST(counted)
{
	struct volume v;
	struct keyring *k;
	struct keys *a, *b;

	volume_make(&v);
	k = open_volume(&v);
	a = keyring_keys(k);
	b = keys_ref(a);
	ck_assert_ptr_eq(a, b);
	keyring_free(&k); /* the keys outlive it */
	keys_unref(a);
	ck_assert_uint_eq(keys_active(b, SCOPE_DEFAULT)->number, 1);
	ck_assert_uint_eq(keys_active(b, SCOPE_FIELDS)->number, 2);
	keys_unref(b);
	keys_unref(NULL);
	volume_close(&v);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("keys");

	tcase_add_test(t, record_vector);
	tcase_add_test(t, record_changed);
	tcase_add_test(t, who_may_open);
	tcase_add_test(t, who_may_open_where);
	tcase_add_test(t, which_zone);
	tcase_add_test(t, joined);
	tcase_add_test(t, a_scope_is_locked);
	tcase_add_test(t, subkeys);
	tcase_add_test(t, counted);
	return run_suite("keymgr keys", t);
}
