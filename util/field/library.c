/* libcoffer-field: tokens for programs (include/coffer/field.h).
 *
 *   (1) In a column the source of a value is the value.
 *   (2) What is handed out begins behind its size, so that coffer_field_free can wipe it. */
#include <coffer/field.h>
#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/entry.h"
#include "keymgr/keyring.h"
#include "keymgr/lone_keyring.h"
#include "util/field/scan.h"
#include "util/field/token.h"

#define PUBLIC __attribute__((visibility("default")))

struct coffer_field_keyring {
	pthread_mutex_t lock; /* protects box */
	struct token_box *box;
};

/* ------------------------------------------------------------------ memory */

struct handed {
	size_t size;
	char bytes[];
};

/* A copy with a zero byte behind. */
static void *hand_out(const void *bytes, size_t n)
{
	struct handed *h = malloc(sizeof(*h) + n + 1);

	if (!h)
		return NULL;
	h->size = n;
	if (bytes && n)
		memcpy(h->bytes, bytes, n);
	h->bytes[n] = '\0';
	return h->bytes;
}

PUBLIC void coffer_field_free(void *p)
{
	struct handed *h;

	if (!p)
		return;
	h = (struct handed *)((char *)p - offsetof(struct handed, bytes));
	wipe(h->bytes, h->size);
	free(h);
}

/* ------------------------------------------------------------------ opening */

static pthread_once_t started = PTHREAD_ONCE_INIT;
static int start_error;

static void start(void)
{
	start_error = crypto_start();
	if (start_error == 0 && secret_start(3 << 20) < 0)
		start_error = secret_start(64 << 10);
}

struct opening {
	struct store *store;
	int dot, data;
	struct keyring *keyring;
	struct unlock_secret secret;
};

static void opening_end(struct opening *o)
{
	unlock_secret_wipe(&o->secret);
	keyring_free(&o->keyring);
	if (!o->store)
		return;
	store_close(o->store, o->data);
	store_close(o->store, o->dot);
	o->store->ops->destroy(o->store);
}

static int open_keyring(struct opening *o, const char *volume, const struct unlock_source *from,
			struct coffer_field_keyring *k, struct fault *why)
{
	const struct entry entry = {0};
	struct field_domain domains[DOMAINS_MAX];
	struct keys *keys = NULL;
	size_t count = 0;
	int ret;

	if (lone_keyring_is(volume)) {
		ret = lone_keyring_open(volume, &o->store, &o->dot, why);
	} else {
		o->store = store_posix_new();
		ret = o->store ? volume_open_dir(o->store, volume, &o->dot, &o->data, why) : -ENOMEM;
	}
	if (ret == 0)
		ret = keyring_read(o->store, o->dot, &o->keyring, why);
	if (ret == 0)
		ret = unlock_obtain(from, "Passphrase: ", false, &o->secret, why);
	if (ret == 0)
		ret = keyring_unlock(o->keyring, &o->secret, why);
	if (ret == 0)
		ret = keyring_enter(o->store, o->dot, o->keyring, &entry, why);
	if (ret == 0)
		ret = keyring_domains(o->keyring, domains, &count, why);
	if (ret < 0)
		return ret;
	keys = keyring_keys(o->keyring);
	ret = keys ? token_box_new(keys, domains, count, &k->box) : -ENOMEM;
	keys_unref(keys);
	return ret;
}

PUBLIC int coffer_field_open(const char *volume, const char *key_file, const char *passphrase_file,
			     struct coffer_field_keyring **out, char *error, size_t n)
{
	struct unlock_source from = UNLOCK_SOURCE_NONE;
	struct opening o = {.dot = -1, .data = -1};
	struct fault why = {0};
	struct coffer_field_keyring *k;
	int ret;

	*out = NULL;
	if (!key_file == !passphrase_file)
		return -EINVAL; /* a library asks nobody */
	from.key_file = key_file;
	from.passphrase_file = passphrase_file;
	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	pthread_mutex_init(&k->lock, NULL);
	pthread_once(&started, start);
	ret = start_error;
	if (ret == 0)
		ret = open_keyring(&o, volume, &from, k, &why);
	opening_end(&o);
	if (ret < 0) {
		fault_errno(&why, EXIT_FAILED, ret, "cannot open the keyring of %s", volume);
		if (error && n)
			snprintf(error, n, "%s", why.text);
		coffer_field_close(&k);
		return ret;
	}
	*out = k;
	return 0;
}

PUBLIC void coffer_field_close(struct coffer_field_keyring **k)
{
	if (!*k)
		return;
	token_box_free(&(*k)->box);
	pthread_mutex_destroy(&(*k)->lock);
	free(*k);
	*k = NULL;
}

/* ------------------------------------------------------------------ types and places */

static size_t digits(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && isdigit((unsigned char)p[i]))
		i++;
	return i;
}

static bool is_decimal(const char *p, size_t n, bool point)
{
	size_t sign = n && *p == '-', whole = digits(p + sign, n - sign), at = sign + whole;

	if (!whole)
		return false;
	if (point && at < n && p[at] == '.') {
		size_t rest = digits(p + at + 1, n - at - 1);
		return rest && at + 1 + rest == n;
	}
	return at == n;
}

static bool is_date(const char *p, size_t n)
{
	return n == 10 && digits(p, 4) == 4 && p[4] == '-' && digits(p + 5, 2) == 2 && p[7] == '-' &&
	       digits(p + 8, 2) == 2 && memcmp(p + 5, "00", 2) > 0 && memcmp(p + 5, "12", 2) <= 0 &&
	       memcmp(p + 8, "00", 2) > 0 && memcmp(p + 8, "31", 2) <= 0;
}

static bool is_text(const char *p, size_t n)
{
	for (size_t i = 0; i < n;) {
		size_t m = p[i] ? utf8_length(p + i, n - i) : 0;

		if (!m)
			return false;
		i += m;
	}
	return true;
}

static bool is_of_type(enum coffer_field_type type, const char *p, size_t n)
{
	switch (type) {
	case COFFER_FIELD_TEXT:
		return is_text(p, n);
	case COFFER_FIELD_INTEGER:
		return is_decimal(p, n, false);
	case COFFER_FIELD_DECIMAL:
		return is_decimal(p, n, true);
	case COFFER_FIELD_DATE:
		return is_date(p, n);
	case COFFER_FIELD_BYTES:
		return true;
	}
	return false;
}

/* A column is a path of two names: table and field. */
static int add_step(struct buffer *b, char kind, const char *name)
{
	size_t n = strlen(name);
	const uint8_t head[5] = {(uint8_t)kind, (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24)};
	int ret = buffer_add(b, head, sizeof(head));

	return ret < 0 ? ret : buffer_add(b, name, n);
}

static int bind(const struct coffer_field_place *p, const char *record, struct buffer *place, struct token_binding *to)
{
	int ret = 0;

	*to = (struct token_binding){.bind = BIND_NONE, .context = p->context};
	if (p->free)
		return 0;
	if (!p->table || !p->field)
		return -EINVAL;
	ret = add_step(place, 'k', p->table);
	if (ret == 0)
		ret = add_step(place, 'k', p->field);
	if (ret == 0 && record)
		ret = add_step(place, 'r', "record");
	if (ret == 0 && record)
		ret = add_step(place, 'v', record);
	to->bind = record ? BIND_RECORD : BIND_KEYS;
	to->place = place->bytes;
	to->place_size = place->size;
	return ret;
}

/* ------------------------------------------------------------------ values */

static int encrypt(struct coffer_field_keyring *k, const struct coffer_field_place *place, const char *record,
		   enum coffer_field_type type, const char *value, size_t n, char **token)
{
	const struct token_how how = {place->domain ? TOKEN_DETERMINISTIC : TOKEN_RANDOM, place->domain, 0};
	_cleanup_buffer_ struct buffer where = {0}, out = {0};
	struct token_binding to;
	int ret;

	*token = NULL;
	if (!is_of_type(type, value, n))
		return -EINVAL;
	ret = bind(place, record, &where, &to);
	if (ret < 0)
		return ret;
	pthread_mutex_lock(&k->lock);
	ret = token_seal(k->box, &how, &to, value, n, value, n, &out);
	pthread_mutex_unlock(&k->lock);
	if (ret < 0)
		return ret;
	*token = hand_out(out.bytes, out.size);
	return *token ? 0 : -ENOMEM;
}

PUBLIC int coffer_field_encrypt(struct coffer_field_keyring *k, const struct coffer_field_place *place,
				enum coffer_field_type type, const void *value, size_t n, char **token)
{
	return encrypt(k, place, place->record, type, n ? value : "", n, token);
}

PUBLIC int coffer_field_encrypt_many(struct coffer_field_keyring *k, const struct coffer_field_place *place,
				     enum coffer_field_type type, size_t count, const char *const *records,
				     const void *const *values, const size_t *sizes, char **tokens, size_t *done)
{
	int ret = 0;

	for (*done = 0; *done < count; ++*done) {
		ret = encrypt(k, place, records ? records[*done] : place->record, type,
			      sizes[*done] ? values[*done] : "", sizes[*done], &tokens[*done]);
		if (ret < 0)
			break;
	}
	return ret;
}

PUBLIC int coffer_field_decrypt(struct coffer_field_keyring *k, const struct coffer_field_place *place,
				enum coffer_field_type type, const char *token, void **value, size_t *n)
{
	_cleanup_buffer_ struct buffer where = {0}, out = {0};
	struct token_binding to;
	struct token_info info;
	int ret;

	*value = NULL;
	*n = 0;
	/* Anyone can write a sealed one. */
	if (token_shape(token, strlen(token), &info) != TOKEN_WHOLE || info.mode == TOKEN_SEALED)
		return -EBADMSG;
	ret = bind(place, place->record, &where, &to);
	if (ret < 0)
		return ret;
	pthread_mutex_lock(&k->lock);
	ret = token_open(k->box, &to, token, strlen(token), &out);
	pthread_mutex_unlock(&k->lock);
	if (ret < 0)
		return ret;
	if (!is_of_type(type, out.bytes ? out.bytes : "", out.size))
		return -EINVAL;
	*value = hand_out(out.bytes, out.size);
	*n = out.size;
	return *value ? 0 : -ENOMEM;
}

/* ------------------------------------------------------------------ forms */

static int set_field(struct coffer_field_keyring *k, const struct coffer_field_place *place,
		     enum coffer_field_type type, const void *value, size_t n, const void *old, size_t old_size,
		     char **token)
{
	char *made = NULL;
	int ret;

	if (value && old && n == old_size && (n == 0 || memcmp(value, old, n) == 0))
		return 0; /* unchanged: the token stays */
	ret = value ? encrypt(k, place, place->record, type, n ? value : "", n, &made) : 0;
	if (ret < 0)
		return ret;
	coffer_field_free(*token);
	*token = made;
	return 0;
}

PUBLIC int coffer_edit_encrypted_field(struct coffer_field_keyring *k, const struct coffer_field_place *place,
				       enum coffer_field_type type, bool set, const void *value, size_t n, char **token,
				       void **shown, size_t *shown_size)
{
	void *old = NULL;
	size_t old_size = 0;
	int ret = *token && **token ? coffer_field_decrypt(k, place, type, *token, &old, &old_size) : 0;

	*shown = NULL;
	*shown_size = 0;
	if (ret < 0)
		return ret;
	if (!set) {
		*shown = old;
		*shown_size = old_size;
		return 0;
	}
	ret = set_field(k, place, type, value, n, old, old_size, token);
	coffer_field_free(old);
	if (ret < 0 || !value)
		return ret;
	*shown = hand_out(value, n);
	*shown_size = n;
	return *shown ? 0 : -ENOMEM;
}

PUBLIC int coffer_edit_encrypted_string_field(struct coffer_field_keyring *k, const struct coffer_field_place *place,
					      bool set, const char *value, char **token, char **shown)
{
	void *out = NULL;
	size_t n;
	int ret = coffer_edit_encrypted_field(k, place, COFFER_FIELD_TEXT, set, value, value ? strlen(value) : 0, token,
					      &out, &n);

	*shown = out;
	return ret;
}
