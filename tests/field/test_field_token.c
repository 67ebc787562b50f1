/* Tokens against the vectors of docs/format-field.md, and what must be refused. */
#include <check.h>
#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "util/base/encode.h"
#include "util/field/path.h"
#include "util/field/token.h"

static json_object *vectors;
static struct keys *keys;
static struct token_box *box;
static uint8_t fixed[32];

static const char *text_of(json_object *o, const char *name)
{
	return json_object_get_string(json_object_object_get(o, name));
}

static size_t hex_of(json_object *o, const char *name, uint8_t *out, size_t room)
{
	const char *text = text_of(o, name);
	size_t n = strlen(text) / 2;

	ck_assert_uint_le(n, room);
	ck_assert_int_eq(hex_decode(text, 2 * n, out, n), 0);
	return n;
}

static void add_generation(uint32_t i, uint32_t number, const char *name, enum key_state state)
{
	struct generation_key *g = &keys->generations[i];
	uint8_t key[32];

	hex_of(vectors, name, key, sizeof(key));
	*g = (struct generation_key){number, SCOPE_FIELDS, state, secret_new(SHA256_SIZE)};
	ck_assert_ptr_nonnull(g->prk);
	ck_assert_int_eq(kdf_extract(key, sizeof(key), g->prk->bytes), 0);
}

static void setup(void)
{
	struct field_domain domain = {.generation = 2};

	ck_assert_int_eq(crypto_start(), 0);
	ck_assert_int_eq(secret_start(64 << 10), 0);
	vectors = json_object_from_file(SOURCE_ROOT "/tests/field/token_vectors.json");
	ck_assert_ptr_nonnull(vectors);
	keys = calloc(1, sizeof(*keys));
	keys->refs = 1;
	hex_of(vectors, "keyring_id", keys->volume_id, VOLUME_ID_SIZE);
	keys->count = 2;
	keys->generations = calloc(2, sizeof(*keys->generations));
	add_generation(0, 2, "generation_2", KEY_DEACTIVATED);
	add_generation(1, 5, "generation_5", KEY_ACTIVE);
	keys->scope_count = SCOPES_BUILT_IN;
	keys->floor[SCOPE_FIELDS] = 1;
	keys->active[SCOPE_FIELDS] = 5;
	strcpy(domain.name, text_of(vectors, "domain"));
	ck_assert_int_eq(token_box_new(keys, &domain, 1, &box), 0);
	hex_of(vectors, "random", fixed, sizeof(fixed));
}

static void teardown(void)
{
	token_box_free(&box);
	keys_unref(keys);
	json_object_put(vectors);
	crypto_thread_end();
	secret_stop();
}

/* One vector, taken apart. */
struct vector {
	struct token_how how;
	struct token_binding to;
	uint8_t place[256], source[128], value[128];
	size_t source_size, value_size;
	const char *token;
};

static void read_vector(size_t i, struct vector *v)
{
	json_object *o = json_object_array_get_idx(json_object_object_get(vectors, "tokens"), i);

	v->how = (struct token_how){(enum token_mode)text_of(o, "mode")[0], NULL,
				    (uint32_t)json_object_get_int(json_object_object_get(o, "pad"))};
	if (v->how.mode == TOKEN_DETERMINISTIC)
		v->how.domain = text_of(vectors, "domain");
	v->to = (struct token_binding){(enum token_bind)json_object_get_int(json_object_object_get(o, "bind")),
				       text_of(o, "context"), (char *)v->place, hex_of(o, "place", v->place, 256)};
	v->source_size = hex_of(o, "source", v->source, sizeof(v->source));
	v->value_size = hex_of(o, "value", v->value, sizeof(v->value));
	v->token = text_of(o, "token");
}

static size_t vector_count(void)
{
	return json_object_array_length(json_object_object_get(vectors, "tokens"));
}

static int seal(const struct vector *v, struct buffer *out)
{
	return token_seal(box, &v->how, &v->to, (const char *)v->source, v->source_size, (const char *)v->value,
			  v->value_size, out);
}

START_TEST(seals_as_the_document_says)
{
	ck_assert_uint_ge(vector_count(), 10);
	token_box_fix_random(box, fixed);
	for (size_t i = 0; i < vector_count(); i++) {
		_cleanup_buffer_ struct buffer out = {0};
		struct vector v;

		read_vector(i, &v);
		ck_assert_int_eq(seal(&v, &out), 0);
		ck_assert_msg(buffer_is(&out, v.token, strlen(v.token)), "vector %zu: %.*s", i, (int)out.size,
			      out.bytes);
	}
}
END_TEST

START_TEST(opens_what_the_document_shows)
{
	for (size_t i = 0; i < vector_count(); i++) {
		_cleanup_buffer_ struct buffer out = {0};
		struct token_info info;
		struct vector v;

		read_vector(i, &v);
		ck_assert_int_eq(token_open(box, &v.to, v.token, strlen(v.token), &out), 0);
		ck_assert(buffer_is(&out, v.source, v.source_size));
		ck_assert_int_eq(token_shape(v.token, strlen(v.token), &info), TOKEN_WHOLE);
		ck_assert_int_eq(info.mode, v.how.mode);
		ck_assert(token_is_current(box, &info, &v.how));
		ck_assert_uint_eq(strspn(v.token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"),
				  strlen(v.token));
	}
}
END_TEST

/* Each character changed, and each cut: never clear text. */
START_TEST(changed_and_cut)
{
	for (size_t i = 0; i < vector_count(); i++) {
		struct vector v;

		read_vector(i, &v);
		size_t n = strlen(v.token);
		_cleanup_free_ char *changed = strdup(v.token);
		for (size_t at = 0; at < n; at++) {
			_cleanup_buffer_ struct buffer out = {0};

			changed[at] = changed[at] == 'A' ? 'B' : 'A';
			ck_assert_int_lt(token_open(box, &v.to, changed, n, &out), 0);
			ck_assert_uint_eq(out.size, 0);
			changed[at] = v.token[at];
			/* Without its second part a deterministic token is one of "none", and only there. */
			const char *dot = strchr(v.token + 9, '.');
			if (dot && at == (size_t)(dot - v.token) && v.to.bind == BIND_NONE)
				continue;
			ck_assert_int_lt(token_open(box, &v.to, v.token, at, &out), 0);
			ck_assert_uint_eq(out.size, 0);
		}
	}
}
END_TEST

START_TEST(moved)
{
	for (size_t i = 0; i < vector_count(); i++) {
		_cleanup_buffer_ struct buffer out = {0};
		struct vector v;

		read_vector(i, &v);
		struct token_binding other = v.to;
		other.context = "staging";
		/* The one token that is the value alone is bound to nothing at all. */
		bool free_of_all = v.how.mode == TOKEN_DETERMINISTIC && !strchr(v.token + 9, '.');
		ck_assert_int_eq(token_open(box, &other, v.token, strlen(v.token), &out), free_of_all ? 0 : -EBADMSG);
		for (int bind = 0; bind <= 3; bind++) {
			other = v.to;
			other.bind = (enum token_bind)bind;
			if (other.bind != v.to.bind)
				ck_assert_int_eq(token_open(box, &other, v.token, strlen(v.token), &out), -EBADMSG);
		}
		if (v.to.bind == BIND_NONE)
			continue;
		other = v.to;
		v.place[v.to.place_size - 1] ^= 1;
		ck_assert_int_eq(token_open(box, &other, v.token, strlen(v.token), &out), -EBADMSG);
	}
}
END_TEST

START_TEST(states)
{
	_cleanup_buffer_ struct buffer out = {0};
	struct token_box *again;
	struct vector v;

	read_vector(0, &v);
	keys->generations[1].state = KEY_SUSPENDED;
	ck_assert_int_eq(token_open(box, &v.to, v.token, strlen(v.token), &out), -ENOKEY);
	keys->generations[1].state = KEY_DESTROYED;
	ck_assert_int_eq(token_open(box, &v.to, v.token, strlen(v.token), &out), -ESTALE);
	keys->generations[1].state = KEY_ACTIVE;
	keys->generations[1].scope = SCOPE_DEFAULT;
	ck_assert_int_eq(token_open(box, &v.to, v.token, strlen(v.token), &out), -ESTALE);
	keys->generations[1].scope = SCOPE_FIELDS;
	keys->floor[SCOPE_FIELDS] = 6;
	ck_assert_int_eq(token_open(box, &v.to, v.token, strlen(v.token), &out), -ESTALE);
	keys->floor[SCOPE_FIELDS] = 1;
	keys->volume_id[0] ^= 1;
	ck_assert_int_eq(token_box_new(keys, NULL, 0, &again), 0);
	ck_assert_int_eq(token_open(again, &v.to, v.token, strlen(v.token), &out), -EXDEV);
	keys->volume_id[0] ^= 1;
	token_box_free(&again);
	ck_assert_int_eq(token_box_new(keys, NULL, 0, &again), 0);
	read_vector(5, &v);
	ck_assert_int_eq(token_open(again, &v.to, v.token, strlen(v.token), &out), -ENOENT);
	token_box_free(&again);
	ck_assert_uint_eq(out.size, 0);
}
END_TEST

START_TEST(random_differs_deterministic_does_not)
{
	_cleanup_buffer_ struct buffer a = {0}, b = {0};
	struct vector v;

	read_vector(0, &v);
	ck_assert_int_eq(seal(&v, &a), 0);
	ck_assert_int_eq(seal(&v, &b), 0);
	ck_assert(!buffer_is(&a, b.bytes, b.size));
	buffer_reset(&a);
	buffer_reset(&b);
	read_vector(5, &v);
	ck_assert_int_eq(seal(&v, &a), 0);
	read_vector(6, &v); /* the same value without quotes */
	ck_assert_int_eq(seal(&v, &b), 0);
	const char *dot = memchr(a.bytes + 9, '.', a.size - 9);
	ck_assert_ptr_nonnull(dot);
	size_t first = (size_t)(dot - a.bytes);
	ck_assert_mem_eq(a.bytes, b.bytes, first);
	ck_assert(!buffer_is(&a, b.bytes, b.size));
}
END_TEST

START_TEST(lengths)
{
	struct token_how how = {TOKEN_RANDOM, NULL, 0};
	struct token_binding to = {BIND_NONE, NULL, "", 0};
	_cleanup_free_ char *text = calloc(1, TOKEN_VALUE_MAX + 1);
	size_t size = 0;

	memset(text, 'x', TOKEN_VALUE_MAX + 1);
	for (size_t n = 0; n < 70; n++) {
		_cleanup_buffer_ struct buffer out = {0}, back = {0};

		ck_assert_int_eq(token_seal(box, &how, &to, text, n, text, n, &out), 0);
		ck_assert_int_eq(token_open(box, &to, out.bytes, out.size, &back), 0);
		ck_assert(buffer_is(&back, text, n));
		if (n % 16)
			ck_assert_uint_eq(out.size, size);
		size = out.size;
	}
	_cleanup_buffer_ struct buffer out = {0};
	ck_assert_int_eq(token_seal(box, &how, &to, text, TOKEN_VALUE_MAX + 1, text, 0, &out), -E2BIG);
	how.pad = 17;
	ck_assert_int_eq(token_seal(box, &how, &to, text, 1, text, 1, &out), -EINVAL);
	ck_assert_uint_eq(out.size, 0);
}
END_TEST

START_TEST(zeros_and_markers_survive)
{
	static const char *const texts[] = {"\x80", "a\0\0", "\0", "\x80\0\0", "x\x80"};
	static const size_t sizes[] = {1, 3, 1, 3, 2};
	struct token_how how = {TOKEN_RANDOM, NULL, 0};
	struct token_binding to = {BIND_NONE, NULL, "", 0};

	for (size_t i = 0; i < 5; i++) {
		_cleanup_buffer_ struct buffer out = {0}, back = {0};

		ck_assert_int_eq(token_seal(box, &how, &to, texts[i], sizes[i], texts[i], sizes[i], &out), 0);
		ck_assert_int_eq(token_open(box, &to, out.bytes, out.size, &back), 0);
		ck_assert(buffer_is(&back, texts[i], sizes[i]));
	}
}
END_TEST

START_TEST(public_keys)
{
	_cleanup_buffer_ struct buffer key = {0}, token = {0}, back = {0};
	struct token_box *writer;
	struct vector v;

	read_vector(9, &v);
	ck_assert_int_eq(token_public_key(box, &key), 0);
	for (size_t i = 0; i < key.size; i++) {
		char was = key.bytes[i];

		key.bytes[i] = was == 'A' ? 'B' : 'A';
		ck_assert_int_eq(token_box_sealing(key.bytes, key.size, &writer), -EINVAL);
		key.bytes[i] = was;
	}
	ck_assert_int_eq(token_box_sealing(key.bytes, key.size - 1, &writer), -EINVAL);
	ck_assert_int_eq(token_box_sealing(key.bytes, key.size, &writer), 0);
	ck_assert_int_eq(token_seal(writer, &v.how, &v.to, "secret", 6, "secret", 6, &token), 0);
	ck_assert_int_eq(token_open(writer, &v.to, token.bytes, token.size, &back), -ENOKEY);
	ck_assert_int_eq(token_open(box, &v.to, token.bytes, token.size, &back), 0);
	ck_assert(buffer_is(&back, "secret", 6));
	v.how.mode = TOKEN_RANDOM;
	ck_assert_int_eq(token_seal(writer, &v.how, &v.to, "secret", 6, "secret", 6, &token), -ENOKEY);
	token_box_free(&writer);
}
END_TEST

START_TEST(shapes)
{
	static const struct {
		const char *text;
		enum token_shape shape;
	} cases[] = {
		{"", TOKEN_NOT},
		{"coffer", TOKEN_NOT},
		{"coffer1", TOKEN_NOT},
		{"coffer1r", TOKEN_NOT},
		{"coffer.r.", TOKEN_NOT},
		{"Coffer1r.AA", TOKEN_NOT},
		{"coffer1R.", TOKEN_NOT},
		{"coffer1r.", TOKEN_BROKEN},
		{"coffer1r.AAAA", TOKEN_BROKEN},
		{"coffer2r.AAAA", TOKEN_BROKEN},
		{"coffer10q.x", TOKEN_BROKEN},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(token_shape(cases[i].text, strlen(cases[i].text), NULL) == cases[i].shape, "%s",
			      cases[i].text);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("field_token");
	TCase *t = tcase_create("token");
	SRunner *r = srunner_create(s);

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, seals_as_the_document_says);
	tcase_add_test(t, opens_what_the_document_shows);
	tcase_add_test(t, changed_and_cut);
	tcase_add_test(t, moved);
	tcase_add_test(t, states);
	tcase_add_test(t, random_differs_deterministic_does_not);
	tcase_add_test(t, lengths);
	tcase_add_test(t, zeros_and_markers_survive);
	tcase_add_test(t, public_keys);
	tcase_add_test(t, shapes);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
