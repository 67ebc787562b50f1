/* The codec of KMIP and what coffer-kmip makes of responses (keymgr/helper/ttlv.h, kmip.h).  The examples are those of the KMIP specification 1.4, section
 * 9.1.2. */
#include <check.h>

#include "keymgr/helper/kmip.h"
#include "tests/keymgr/fixture.h"

enum { TAG = 0x420020, ROOM = 2048 };

#define B(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})

static void same(const struct ttlv_writer *w, const uint8_t *bytes, size_t n)
{
	ck_assert_uint_eq(ttlv_size(w), n);
	ck_assert_mem_eq(w->room, bytes, n);
}

static struct ttlv only(const struct ttlv_writer *w)
{
	struct ttlv_items all = {w->room, ttlv_size(w)};
	struct ttlv t;

	ck_assert(ttlv_is_sound(w->room, ttlv_size(w)));
	ck_assert(ttlv_next(&all, &t));
	ck_assert_uint_eq(all.size, 0);
	return t;
}

static void number(enum ttlv_type type, int64_t value, const uint8_t *bytes, size_t n)
{
	uint8_t room[64];
	struct ttlv_writer w = TTLV_WRITER(room, sizeof(room));
	struct ttlv t;

	ttlv_put_number(&w, TAG, type, value);
	same(&w, bytes, n);
	t = only(&w);
	ck_assert(t.tag == TAG && t.type == type);
	ck_assert_int_eq(ttlv_number(&t), value);
}

static void text(enum ttlv_type type, const void *value, size_t size, const uint8_t *bytes, size_t n)
{
	uint8_t room[64];
	struct ttlv_writer w = TTLV_WRITER(room, sizeof(room));
	struct ttlv t;

	ttlv_put_bytes(&w, TAG, type, value, size);
	same(&w, bytes, n);
	t = only(&w);
	ck_assert(t.tag == TAG && t.type == type && t.size == size);
	ck_assert_mem_eq(t.at, value, size);
}

START_TEST(examples)
{
	uint8_t room[64];
	struct ttlv_writer w = TTLV_WRITER(room, sizeof(room));
	struct ttlv t, inner;

	number(TTLV_INTEGER, 8, B(0x42, 0, 0x20, 2, 0, 0, 0, 4, 0, 0, 0, 8, 0, 0, 0, 0));
	number(TTLV_LONG_INTEGER, INT64_C(123456789000000000),
	       B(0x42, 0, 0x20, 3, 0, 0, 0, 8, 0x01, 0xb6, 0x9b, 0x4b, 0xa5, 0x74, 0x92, 0x00));
	text(TTLV_BIG_INTEGER, B(0, 0, 0, 0, 0x03, 0xfd, 0x35, 0xeb, 0x6b, 0xc2, 0xdf, 0x46, 0x18, 0x08, 0, 0),
	     B(0x42, 0, 0x20, 4, 0, 0, 0, 0x10, 0, 0, 0, 0, 0x03, 0xfd, 0x35, 0xeb, 0x6b, 0xc2, 0xdf, 0x46, 0x18, 0x08,
	       0, 0));
	number(TTLV_ENUMERATION, 255, B(0x42, 0, 0x20, 5, 0, 0, 0, 4, 0, 0, 0, 0xff, 0, 0, 0, 0));
	number(TTLV_BOOLEAN, 1, B(0x42, 0, 0x20, 6, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1));
	text(TTLV_TEXT, "Hello World", 11,
	     B(0x42, 0, 0x20, 7, 0, 0, 0, 0x0b, 'H', 'e', 'l', 'l', 'o', ' ', 'W', 'o', 'r', 'l', 'd', 0, 0, 0, 0, 0));
	text(TTLV_BYTES, B(1, 2, 3), B(0x42, 0, 0x20, 8, 0, 0, 0, 3, 1, 2, 3, 0, 0, 0, 0, 0));
	number(TTLV_DATE_TIME, 1205495800, B(0x42, 0, 0x20, 9, 0, 0, 0, 8, 0, 0, 0, 0, 0x47, 0xda, 0x67, 0xf8));
	number(TTLV_INTERVAL, 864000, B(0x42, 0, 0x20, 10, 0, 0, 0, 4, 0, 0x0d, 0x2f, 0, 0, 0, 0, 0));
	ttlv_begin(&w, TAG);
	ttlv_put_number(&w, 0x420004, TTLV_ENUMERATION, 254);
	ttlv_put_number(&w, 0x420005, TTLV_INTEGER, 255);
	ttlv_end(&w);
	same(&w, B(0x42, 0, 0x20, 1, 0, 0, 0, 0x20, 0x42, 0, 4, 5, 0, 0, 0, 4, 0, 0, 0, 0xfe, 0, 0, 0, 0, 0x42, 0, 5, 2,
		   0, 0, 0, 4, 0, 0, 0, 0xff, 0, 0, 0, 0));
	t = only(&w);
	ck_assert(ttlv_find(ttlv_inside(&t), 0x420005, TTLV_INTEGER, &inner) && ttlv_number(&inner) == 255);
	ck_assert(!ttlv_find(ttlv_inside(&t), 0x420005, TTLV_ENUMERATION, &inner));
	number(TTLV_INTEGER, -2, B(0x42, 0, 0x20, 2, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 0));
	number(TTLV_ENUMERATION, INT64_C(0x80000001), B(0x42, 0, 0x20, 5, 0, 0, 0, 4, 0x80, 0, 0, 1, 0, 0, 0, 0));
}
END_TEST

/* Nothing is written behind the room, and nothing that is cut counts as a message. */
START_TEST(no_room)
{
	uint8_t room[ROOM];
	size_t whole = kmip_ask_attributes("1", room, sizeof(room));

	ck_assert(whole > 0 && ttlv_is_sound(room, whole));
	for (size_t n = 0; n < whole; n++) {
		memset(room, 0xaa, sizeof(room));
		ck_assert_uint_eq(kmip_ask_attributes("1", room, n), 0);
		ck_assert_uint_eq(room[n], 0xaa);
	}
	ck_assert_uint_eq(kmip_ask_attributes("1", room, whole), whole);
}
END_TEST

START_TEST(depth)
{
	uint8_t room[ROOM];

	for (unsigned deep = 1; deep <= TTLV_DEPTH_MAX + 1; deep++) {
		struct ttlv_writer w = TTLV_WRITER(room, sizeof(room));

		for (unsigned i = 0; i < deep; i++)
			ttlv_begin(&w, TAG);
		ck_assert_uint_eq(ttlv_size(&w), 0);
		for (unsigned i = 0; i < deep; i++)
			ttlv_end(&w);
		ck_assert_uint_eq(ttlv_size(&w), deep <= TTLV_DEPTH_MAX ? deep * TTLV_HEAD : 0);
		/* The same by hand. */
		memset(room, 0, sizeof(room));
		for (unsigned i = 0; i < deep; i++) {
			room[i * TTLV_HEAD] = 0x42;
			room[i * TTLV_HEAD + 3] = TTLV_STRUCTURE;
			room[i * TTLV_HEAD + 7] = (uint8_t)((deep - i - 1) * TTLV_HEAD);
		}
		ck_assert(ttlv_is_sound(room, deep * TTLV_HEAD) == (deep <= TTLV_DEPTH_MAX));
	}
	ck_assert(!ttlv_is_sound(room, 0));
}
END_TEST

static void unsound(const uint8_t *bytes, size_t n)
{
	ck_assert(!ttlv_is_sound(bytes, n));
}

START_TEST(not_as_specified)
{
	unsound(B(0x42, 0, 0x20, 0, 0, 0, 0, 0));                          /* types */
	unsound(B(0x42, 0, 0x20, 11, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0)); /* (of 2.0) */
	unsound(B(0x42, 0, 0x20, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0));  /* lengths */
	unsound(B(0x42, 0, 0x20, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0));
	unsound(B(0x42, 0, 0x20, 4, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0));
	unsound(B(0x42, 0, 0x20, 1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0));
	unsound(B(0x42, 0, 0x20, 7, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0));
	unsound(B(0x42, 0, 0x20, 6, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2)); /* a boolean */
	unsound(B(0x42, 0, 0x20, 2, 0, 0, 0, 4, 0, 0, 0, 8, 0, 0, 0, 1)); /* padding */
	unsound(B(0x42, 0, 0x20, 2, 0, 0, 0, 4, 0, 0, 0, 8));             /* none */
	unsound(B(0x42, 0, 0x20, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)); /* something behind it */
	unsound(B(0x42, 0, 0x20, 1, 0, 0, 0, 8, 0x42, 0, 4, 7, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0)); /* over the end */
	unsound(B(0x42, 0, 0x20, 1, 0, 0, 0, 16, 0x42, 0, 4, 1, 0, 0, 0, 16, 0x42, 0, 4, 1, 0, 0, 0, 0));
	ck_assert(ttlv_is_sound(B(0x42, 0, 0x20, 7, 0, 0, 0, 0)));
}
END_TEST

/* --- responses */

struct response {
	uint8_t room[ROOM];
	struct ttlv_writer w;
};

static void respond(struct response *r, int64_t operation, int64_t status, int64_t batch)
{
	r->w = TTLV_WRITER(r->room, sizeof(r->room));
	ttlv_begin(&r->w, 0x42007b);
	ttlv_begin(&r->w, 0x42007a);
	ttlv_put_number(&r->w, 0x42000d, TTLV_INTEGER, batch);
	ttlv_end(&r->w);
	ttlv_begin(&r->w, 0x42000f);
	ttlv_put_number(&r->w, 0x42005c, TTLV_ENUMERATION, operation);
	ttlv_put_number(&r->w, 0x42007f, TTLV_ENUMERATION, status);
}

static bool reads(struct response *r, enum kmip_operation asked, struct kmip_answer *out)
{
	ttlv_end(&r->w);
	ttlv_end(&r->w);
	ck_assert_uint_gt(ttlv_size(&r->w), 0);
	return kmip_read(r->room, ttlv_size(&r->w), asked, out);
}

static void put_attribute(struct response *r, const char *name, enum ttlv_type type, int64_t value)
{
	ttlv_begin(&r->w, 0x420008);
	ttlv_put_text(&r->w, 0x42000a, name);
	ttlv_put_number(&r->w, 0x42000b, type, value);
	ttlv_end(&r->w);
}

static struct kmip_attributes attributes(int64_t state, int64_t algorithm, int64_t length)
{
	struct response r;
	struct kmip_answer a;
	struct kmip_attributes out;

	respond(&r, KMIP_GET_ATTRIBUTES, 0, 1);
	ttlv_begin(&r.w, 0x42007c);
	ttlv_put_text(&r.w, 0x420094, "1");
	put_attribute(&r, "Cryptographic Algorithm", TTLV_ENUMERATION, algorithm);
	put_attribute(&r, "Cryptographic Length", TTLV_INTEGER, length);
	put_attribute(&r, "State", TTLV_ENUMERATION, state);
	ttlv_end(&r.w);
	ck_assert(reads(&r, KMIP_GET_ATTRIBUTES, &a) && !a.refused);
	kmip_read_attributes(&a, &out);
	return out;
}

START_TEST(what_is_said_of_a_key)
{
	static const char *const states[] = {"pre-active",  "active",    "deactivated",
					     "compromised", "destroyed", "destroyed-compromised"};

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		ck_assert_str_eq(attributes((int64_t)i + 1, 3, 256).state, states[i]);
	ck_assert_ptr_null(attributes(0, 3, 256).state);
	ck_assert_ptr_null(attributes(7, 3, 256).state);
	ck_assert(attributes(2, 3, 256).aes_256);
	ck_assert(!attributes(2, 3, 128).aes_256);
	ck_assert(!attributes(2, 2, 256).aes_256);
}
END_TEST

static const char *word(int64_t reason)
{
	struct response r;
	struct kmip_answer a;

	respond(&r, KMIP_DECRYPT, 1, 1);
	ttlv_put_number(&r.w, 0x42007e, TTLV_ENUMERATION, reason);
	ttlv_put_text(&r.w, 0x42007d, "no\n\x7f.");
	ck_assert(reads(&r, KMIP_DECRYPT, &a));
	ck_assert_str_eq(a.said, "no??.");
	return a.refused;
}

START_TEST(refusals)
{
	struct response r;
	struct kmip_answer a;

	ck_assert_str_eq(word(1), KMIP_NOT_FOUND);
	ck_assert_str_eq(word(0x0c), KMIP_DENIED);
	ck_assert_str_eq(word(0x0a), KMIP_DOES_NOT_OPEN);
	ck_assert_str_eq(word(0x100), KMIP_FAILED);
	/* What no request was answered by is not taken for a refusal, nor for a yes. */
	respond(&r, KMIP_DECRYPT, 2, 1);
	ck_assert(!reads(&r, KMIP_DECRYPT, &a));
	respond(&r, KMIP_DECRYPT, 1, 2);
	ck_assert(!reads(&r, KMIP_DECRYPT, &a));
	respond(&r, KMIP_ENCRYPT, 0, 1);
	ttlv_begin(&r.w, 0x42007c);
	ttlv_end(&r.w);
	ck_assert(!reads(&r, KMIP_DECRYPT, &a));
	respond(&r, KMIP_DECRYPT, 0, 1);
	ck_assert(!reads(&r, KMIP_DECRYPT, &a));
}
END_TEST

START_TEST(what_was_decrypted)
{
	uint8_t plain[KMIP_PLAIN_SIZE + 1] = {7}, out[KMIP_PLAIN_SIZE];

	for (size_t n = KMIP_PLAIN_SIZE - 1; n <= sizeof(plain); n++) {
		struct response r;
		struct kmip_answer a;

		respond(&r, KMIP_DECRYPT, 0, 1);
		ttlv_begin(&r.w, 0x42007c);
		ttlv_put_bytes(&r.w, 0x4200c2, TTLV_BYTES, plain, n);
		ttlv_end(&r.w);
		ck_assert(reads(&r, KMIP_DECRYPT, &a) && !a.refused);
		ck_assert(kmip_read_decrypted(&a, out) == (n == KMIP_PLAIN_SIZE));
	}
	ck_assert_mem_eq(plain, out, sizeof(out));
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("ttlv");

	tcase_add_test(t, examples);
	tcase_add_test(t, no_room);
	tcase_add_test(t, depth);
	tcase_add_test(t, not_as_specified);
	tcase_add_test(t, what_is_said_of_a_key);
	tcase_add_test(t, refusals);
	tcase_add_test(t, what_was_decrypted);
	return run_suite("ttlv", t);
}
