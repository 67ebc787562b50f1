/* A keyring of another implementation (docs/format-keyring.md section 10) opens with each of its three secrets and gives its keys. */
#include "fixture.h"

#include "util/base/encode.h"
#include "util/base/kdf_labels.h"

#define FINGERPRINT "8b091ce2 6fa87f5a 7a0a72af 88daac3f"
#define NAMES                                                                                                          \
	"c55682a682645484afd7faffc4105fcc6b4ec961f22b7725bfbd05b00d960852"                                             \
	"c153f71c1b1cecd5371eb8e3bfb735a7cab26cafe6ceebdb4f36f73639b414a7"

static struct store *s;
static int dot;

static void copy(const char *name)
{
	char from[512], to[64];
	struct text t;

	snprintf(from, sizeof(from), "%s/%s", VECTORS, name);
	snprintf(to, sizeof(to), ".coffer/%s", name);
	t = slurp(from);
	spill(to, t.b, t.n);
	free(t.b);
}

static void setup(void)
{
	ck_assert_int_eq(mkdir(".coffer", 0700), 0);
	copy("volume.json");
	copy("keyring.json");
	s = store_posix_new();
	dot = store_open(s, AT_FDCWD, ".coffer", O_RDONLY | O_DIRECTORY, 0);
	ck_assert_int_ge(dot, 0);
}

static void end(void)
{
	store_close(s, dot);
	s->ops->destroy(s);
}

static void assert_keys(const struct keyring *k)
{
	static const char names[] = NAMES;
	struct keys *keys = keyring_keys(k);
	uint8_t key[64];
	char hex[129];

	ck_assert_ptr_nonnull(keys);
	ck_assert_int_eq(keys_derive(keys, keys_active(keys, SCOPE_DEFAULT), LABEL_NAMES, NULL, 0, key, sizeof(key)),
			 0);
	hex_encode(key, sizeof(key), hex);
	ck_assert_str_eq(hex, names);
	for (int i = 0; i < 32; i++)
		ck_assert_uint_eq(keys->directory_key->bytes[i], 0x80 + i);
	keys_unref(keys);
}

START_TEST(opens)
{
	struct unlock_secret secrets[] = {
		passphrase(PASSPHRASE),
		key_file(0),
		{.kind = SECRET_RECOVERY_KEY,
		 .bytes = secret_text("0C5H66P-S35CSKR-PGTBADF-DP6TVKC-FE1RQ4G-WVMENVX-7EY3SFN-9XQRZB0")},
	};
	char fingerprint[2 * FINGERPRINT_SIZE + 8];
	struct fault why = {0};
	struct keyring *k;

	for (int i = 0; i < 64; i++)
		secrets[1].bytes->bytes[i] = (uint8_t)i;
	ck_assert_msg(keyring_read(s, dot, &k, &why) == 0, "%s", why.text);
	ck_assert_msg(keyring_unlock(k, &secrets[_i], &why) == 0, "%s", why.text);
	ck_assert_uint_eq(keyring_opened_by(k), (uint32_t)_i + 1);
	keyring_fingerprint(k, fingerprint);
	ck_assert_str_eq(fingerprint, FINGERPRINT);
	assert_keys(k);
	keyring_free(&k);
	for (int i = 0; i < 3; i++)
		unlock_secret_wipe(&secrets[i]);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("vectors");

	tcase_add_loop_test(t, opens, 0, 3);
	/* Behind the common fixture, which goes into the scratch directory. */
	return run_suite_with("keyring vectors", t, setup, end);
}
