/* What the keyring says of a re-encryption, and what a mount without keys has. */
#include "fixture.h"

#include "keymgr/hand_over.h"
#include "keymgr/policy.h"
#include "keymgr/reencryption.h"

#include <sys/socket.h>

typedef int edit(struct keyring *k, struct fault *why);

/* One change, as by a command, read again from the disk. */
static int change(struct volume *v, struct keyring **k, edit *how, struct fault *why)
{
	struct keyring_change *c;
	int r;

	*why = (struct fault){0};
	ck_assert_int_eq(keyring_change_begin(v->s, v->dot, *k, &c, why), 0);
	r = how(*k, why);
	if (r == 0)
		r = keyring_change_commit(&c, why);
	else
		keyring_change_abort(&c);
	keyring_free(k);
	*k = open_volume(v);
	return r;
}

static int start(struct keyring *k, struct fault *why)
{
	const struct reencryption how = {.touch = true, .max_rate = 12345};

	return keyring_start_reencryption(k, &how, why);
}

static int start_unbound(struct keyring *k, struct fault *why)
{
	const struct reencryption how = {.idle = true, .max_rate = REENCRYPTION_UNTHROTTLED};

	return keyring_start_reencryption(k, &how, why);
}

static int pause_it(struct keyring *k, struct fault *why)
{
	return keyring_pause_reencryption(k, true, why);
}

static int resume(struct keyring *k, struct fault *why)
{
	return keyring_pause_reencryption(k, false, why);
}

static int stop(struct keyring *k, struct fault *why)
{
	return keyring_stop_reencryption(k, why);
}

static int rotate(struct keyring *k, struct fault *why)
{
	uint32_t ignored;

	return keyring_rotate(k, SCOPE_DEFAULT, &ignored, why);
}

static int end_at_3(struct keyring *k, struct fault *why)
{
	return keyring_end_reencryption(k, (const uint32_t[SCOPES_MAX]){[SCOPE_DEFAULT] = 3}, why);
}

START_TEST(life)
{
	struct reencryption is;
	struct fault why;
	struct volume v;
	struct keyring *k;

	volume_make(&v);
	k = open_volume(&v);
	ck_assert(!keyring_reencryption(k, &is));
	ck_assert_int_eq(change(&v, &k, pause_it, &why), -ENOENT);
	ck_assert_int_eq(why.status, EXIT_REFUSED);
	ck_assert_int_eq(change(&v, &k, stop, &why), -ENOENT);
	ck_assert_int_eq(change(&v, &k, start, &why), 0);
	ck_assert(keyring_reencryption(k, &is));
	ck_assert(is.touch && !is.idle && !is.paused);
	ck_assert_uint_eq(is.max_rate, 12345);
	ck_assert_uint_eq(strlen(is.started), 20);
	/* Other settings take the place of all earlier ones. */
	ck_assert_int_eq(change(&v, &k, start_unbound, &why), 0);
	ck_assert(keyring_reencryption(k, &is) && !is.touch && is.idle);
	ck_assert(is.max_rate == REENCRYPTION_UNTHROTTLED);
	ck_assert_int_eq(change(&v, &k, resume, &why), -ENOENT);
	ck_assert_int_eq(change(&v, &k, pause_it, &why), 0);
	ck_assert(keyring_reencryption(k, &is) && is.paused && is.idle);
	ck_assert_int_eq(change(&v, &k, pause_it, &why), -ENOENT);
	ck_assert_int_eq(change(&v, &k, resume, &why), 0);
	ck_assert(keyring_reencryption(k, &is) && !is.paused);
	ck_assert_int_eq(change(&v, &k, stop, &why), 0);
	ck_assert(!keyring_reencryption(k, &is));
	keyring_free(&k);
	volume_close(&v);
}
END_TEST

START_TEST(the_floor_rises_at_the_end)
{
	struct reencryption is;
	struct fault why;
	struct volume v;
	struct keyring *k;
	struct keys *keys;
	int error;

	volume_make(&v);
	k = open_volume(&v);
	ck_assert_int_eq(change(&v, &k, rotate, &why), 0);
	ck_assert_int_eq(change(&v, &k, start, &why), 0);
	ck_assert_uint_eq(k->floor[SCOPE_DEFAULT], 1);
	ck_assert_int_eq(change(&v, &k, end_at_3, &why), 0);
	ck_assert(!keyring_reencryption(k, &is));
	ck_assert_uint_eq(k->floor[SCOPE_DEFAULT], 3);
	ck_assert_uint_eq(k->floor[SCOPE_FIELDS], 1);
	keys = keyring_keys(k);
	ck_assert_ptr_null(keys_for_open(keys, SCOPE_DEFAULT, 1, &error));
	ck_assert_int_eq(error, -EBADMSG);
	keys_unref(keys);
	/* Once more: nothing rises, and that is no failure. */
	ck_assert_int_eq(change(&v, &k, end_at_3, &why), 0);
	ck_assert_uint_eq(k->floor[SCOPE_DEFAULT], 3);
	keyring_free(&k);
	volume_close(&v);
}
END_TEST

static int note_bytes(struct keyring *k, struct fault *why)
{
	return keyring_note_sealed(k, 1000, why);
}

START_TEST(bytes_are_counted_for_each_generation)
{
	struct fault why;
	struct volume v;
	struct keyring *k;

	volume_make(&v);
	k = open_volume(&v);
	ck_assert_uint_eq(keyring_sealed(k), 0);
	ck_assert_int_eq(change(&v, &k, note_bytes, &why), 0);
	ck_assert_int_eq(change(&v, &k, note_bytes, &why), 0);
	ck_assert_uint_eq(keyring_sealed(k), 2000);
	ck_assert_int_eq(change(&v, &k, rotate, &why), 0);
	ck_assert_uint_eq(keyring_sealed(k), 0);
	keyring_free(&k);
	volume_close(&v);
}
END_TEST

START_TEST(without_keys)
{
	struct volume v;
	struct keyring *k;
	struct keys *keys, *locked;
	uint8_t out[64];
	int error;

	volume_make(&v);
	k = open_volume(&v);
	keys = keyring_keys(k);
	locked = keys_locked(keys);
	ck_assert_ptr_nonnull(locked);
	ck_assert_ptr_null(keys_for_open(locked, SCOPE_DEFAULT, 1, &error));
	ck_assert_int_eq(error, -ENOKEY);
	ck_assert_int_eq(keys_derive(locked, keys_active(locked, SCOPE_DEFAULT), "any", NULL, 0, out, sizeof(out)),
			 -ENOKEY);
	ck_assert_mem_eq(locked->directory_key->bytes, keys->directory_key->bytes, 32);
	keys_unref(keys);
	keys_unref(locked); /* each has keys of its own */
	keyring_free(&k);
	volume_close(&v);
}
END_TEST

START_TEST(root_handed_over)
{
	static const uint8_t longer[33];
	struct fault why = {0};
	struct keyring *k, *other;
	struct volume v;
	int ends[2];

	volume_make(&v);
	k = open_volume(&v);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	ck_assert_int_eq(keyring_send_root(k, ends[0]), 0);
	ck_assert_int_eq(keyring_read(v.s, v.dot, &other, &why), 0);
	ck_assert_int_eq(keyring_receive_root(other, ends[1], 1, &why), 0);
	ck_assert_mem_eq(other->root->bytes, k->root->bytes, 32);
	keyring_free(&other);
	/* Of another keyring, too short, too long, nothing at all. */
	k->root->bytes[0] ^= 1;
	ck_assert_int_eq(keyring_send_root(k, ends[0]), 0);
	ck_assert_int_eq(send(ends[0], "short", 5, 0), 5);
	ck_assert_int_eq(send(ends[0], longer, sizeof(longer), 0), sizeof(longer));
	ck_assert_int_eq(keyring_read(v.s, v.dot, &other, &why), 0);
	ck_assert_int_eq(keyring_receive_root(other, ends[1], 1, &why), -EKEYREJECTED);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(keyring_receive_root(other, ends[1], 1, &why), -EPROTO);
	ck_assert_ptr_null(other->root);
	keyring_free(&other);
	keyring_free(&k);
	close(ends[0]);
	close(ends[1]);
	volume_close(&v);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("reencryption");

	tcase_add_test(t, life);
	tcase_add_test(t, the_floor_rises_at_the_end);
	tcase_add_test(t, bytes_are_counted_for_each_generation);
	tcase_add_test(t, without_keys);
	tcase_add_test(t, root_handed_over);
	return run_suite("keymgr reencryption", t);
}
