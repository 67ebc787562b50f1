/* libcoffer-field: values of fields and their tokens. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/field/library.h"
#include "util/field/scan.h"

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

PUBLIC int coffer_field_decrypt_many(struct coffer_field_keyring *k, const struct coffer_field_place *place,
				     enum coffer_field_type type, size_t count, const char *const *records,
				     const char *const *tokens, void **values, size_t *sizes, size_t *done)
{
	struct coffer_field_place here = *place;
	int ret = 0;

	for (*done = 0; *done < count; ++*done) {
		if (records)
			here.record = records[*done];
		ret = coffer_field_decrypt(k, &here, type, tokens[*done], &values[*done], &sizes[*done]);
		if (ret < 0)
			break;
	}
	return ret;
}

/* ------------------------------------------------------------------ rotation */

static int open_token(struct coffer_field_keyring *k, const struct token_binding *to, const char *token,
		      struct buffer *out)
{
	int ret;

	pthread_mutex_lock(&k->lock);
	ret = token_open(k->box, to, token, strlen(token), out);
	pthread_mutex_unlock(&k->lock);
	return ret;
}

PUBLIC int coffer_field_renew(struct coffer_field_keyring *from, struct coffer_field_keyring *to,
			      const struct coffer_field_place *place, const char *token, char **renewed)
{
	const struct token_how how = {place->domain ? TOKEN_DETERMINISTIC : TOKEN_RANDOM, place->domain, 0};
	_cleanup_buffer_ struct buffer where = {0}, value = {0}, out = {0};
	struct token_binding binding;
	struct token_info info;
	int ret;

	*renewed = NULL;
	if (token_shape(token, strlen(token), &info) != TOKEN_WHOLE || info.mode == TOKEN_SEALED)
		return -EBADMSG;
	ret = bind(place, place->record, &where, &binding);
	if (ret < 0)
		return ret;
	/* A keyring's id does not change, so this needs no lock.  A migration that was cut off can be done again. */
	ret = open_token(token_is_of(to->box, &info) ? to : from, &binding, token, &value);
	if (ret < 0)
		return ret;
	pthread_mutex_lock(&to->lock);
	if (!token_is_current(to->box, &info, &how))
		ret = token_seal(to->box, &how, &binding, value.bytes ? value.bytes : "", value.size,
				 value.bytes ? value.bytes : "", value.size, &out);
	pthread_mutex_unlock(&to->lock);
	if (ret < 0 || !out.size)
		return ret;
	*renewed = hand_out(out.bytes, out.size);
	return *renewed ? 0 : -ENOMEM;
}

PUBLIC void coffer_field_explain(const struct coffer_field_keyring *k, const struct coffer_field_place *place,
				 const char *token, int error, char *text, size_t n)
{
	struct token_info info = {0};
	enum token_shape shape = token ? token_shape(token, strlen(token), &info) : TOKEN_NOT;

	if (!n)
		return;
	if (shape == TOKEN_NOT && error == -EBADMSG)
		snprintf(text, n, "it stands in clear, or is nothing that coffer made");
	else if (shape == TOKEN_WHOLE && info.mode == TOKEN_SEALED && error == -EBADMSG)
		snprintf(text, n, "a sealed token, which anyone may have written");
	else if (error == -EBADMSG || error == -EXDEV || error == -ENOKEY || error == -ESTALE ||
		 (error == -ENOENT && shape == TOKEN_WHOLE))
		token_reason(error, &info, k->box, place->context, text, n);
	else if (error == -ENOENT)
		snprintf(text, n, "there is no domain %s; make it: coffer field domain create",
			 place->domain ? place->domain : "of this name");
	else
		snprintf(text, n, "%s", error == -EINVAL ? "the value is not of the field's type" : strerror(-error));
}
