/* libcoffer-field: values of fields and their tokens. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/field/library.h"
#include "util/field/scan.h"

/* ------------------------------------------------------------------ types */

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

/* Anyone can write a sealed one. */
static bool is_accepted(const char *token)
{
	struct token_info info;

	return token_shape(token, strlen(token), &info) == TOKEN_WHOLE && info.mode != TOKEN_SEALED;
}

/* ------------------------------------------------------------------ values */

struct column {
	struct coffer_field_keyring *k;
	const struct coffer_field_place *place;
	enum coffer_field_type type;
	size_t count;
	const char *const *records;
};

static const char *record_of(const struct column *c, size_t i)
{
	return c->records ? c->records[i] : c->place->record;
}

/* A batch has one bind mode. */
static bool goes_on(const struct column *c, const struct batch *b, size_t from, size_t i)
{
	return i < c->count && b->count < b->room && !record_of(c, i) == !record_of(c, from);
}

/* What belongs together from number `from` on, up to the first that cannot be; *bad is about that one. */
static void collect_values(const struct column *c, size_t from, const void *const *values, const size_t *sizes,
			   struct batch *b, int *bad)
{
	*bad = 0;
	b->count = 0;
	for (size_t i = from; *bad == 0 && goes_on(c, b, from, i); i++) {
		const char *value = sizes[i] ? values[i] : "";

		*bad = is_of_type(c->type, value, sizes[i]) ? batch_add(b, c->place, record_of(c, i), value, sizes[i])
							    : -EINVAL;
	}
}

static void collect_tokens(const struct column *c, size_t from, const char *const *tokens, struct batch *b, int *bad)
{
	*bad = 0;
	b->count = 0;
	for (size_t i = from; *bad == 0 && goes_on(c, b, from, i); i++)
		*bad = is_accepted(tokens[i]) ? batch_add(b, c->place, record_of(c, i), tokens[i], strlen(tokens[i]))
					      : -EBADMSG;
}

static int encrypt(const struct column *c, const void *const *values, const size_t *sizes, char **tokens, size_t *done)
{
	const struct token_how how = {c->place->domain ? TOKEN_DETERMINISTIC : TOKEN_RANDOM, c->place->domain, 0};
	_cleanup_(batch_free) struct batch *b = batch_new(c->count);
	int ret = b ? 0 : -ENOMEM;

	*done = 0;
	while (ret == 0 && *done < c->count) {
		size_t made = 0;
		int bad;

		collect_values(c, *done, values, sizes, b, &bad);
		if (b->count)
			ret = seal_batch(c->k, &how, b, &made);
		for (size_t i = 0; i < made; i++) {
			tokens[*done] = hand_out(b->items[i].out.bytes, b->items[i].out.size);
			if (!tokens[*done])
				return -ENOMEM;
			++*done;
		}
		if (ret == 0)
			ret = bad;
	}
	return ret;
}

PUBLIC int coffer_field_encrypt_many(struct coffer_field_keyring *k, const struct coffer_field_place *place,
				     enum coffer_field_type type, size_t count, const char *const *records,
				     const void *const *values, const size_t *sizes, char **tokens, size_t *done)
{
	const struct column c = {k, place, type, count, records};

	return encrypt(&c, values, sizes, tokens, done);
}

PUBLIC int coffer_field_encrypt(struct coffer_field_keyring *k, const struct coffer_field_place *place,
				enum coffer_field_type type, const void *value, size_t n, char **token)
{
	const struct column c = {k, place, type, 1, NULL};
	size_t done;

	*token = NULL;
	return encrypt(&c, &value, &n, token, &done);
}

/* One that came masked is text, whatever the type. */
static int give_value(const struct column *c, const struct buffer *got, bool masked, void **value, size_t *n)
{
	const char *bytes = got->bytes ? got->bytes : "";

	if (!masked && !is_of_type(c->type, bytes, got->size))
		return -EINVAL;
	*value = hand_out(bytes, got->size);
	*n = got->size;
	return *value ? 0 : -ENOMEM;
}

static int decrypt(const struct column *c, const char *const *tokens, void **values, size_t *sizes, size_t *done)
{
	_cleanup_(batch_free) struct batch *b = batch_new(c->count);
	int ret = b ? 0 : -ENOMEM;
	bool any = false;

	*done = 0;
	while (ret == 0 && *done < c->count) {
		bool masked = false;
		size_t made = 0;
		int bad, failed = 0;

		collect_tokens(c, *done, tokens, b, &bad);
		if (b->count)
			ret = open_batch(c->k, b, &made, &masked);
		for (size_t i = 0; failed == 0 && i < made; i++) {
			failed = give_value(c, &b->items[i].out, masked, &values[*done], &sizes[*done]);
			*done += failed == 0;
		}
		any |= masked;
		ret = failed ? failed : ret ? ret : bad;
	}
	return ret < 0 ? ret : any ? COFFER_FIELD_MASKED : 0;
}

PUBLIC int coffer_field_decrypt_many(struct coffer_field_keyring *k, const struct coffer_field_place *place,
				     enum coffer_field_type type, size_t count, const char *const *records,
				     const char *const *tokens, void **values, size_t *sizes, size_t *done)
{
	const struct column c = {k, place, type, count, records};

	return decrypt(&c, tokens, values, sizes, done);
}

PUBLIC int coffer_field_decrypt(struct coffer_field_keyring *k, const struct coffer_field_place *place,
				enum coffer_field_type type, const char *token, void **value, size_t *n)
{
	const struct column c = {k, place, type, 1, NULL};
	size_t done;

	*value = NULL;
	*n = 0;
	return decrypt(&c, &token, value, n, &done);
}

/* ------------------------------------------------------------------ rotation */

/* A mount may have rotated meanwhile. */
static int is_current(struct coffer_field_keyring *k, const struct token_info *info, const struct token_how *how,
		      bool *current)
{
	int ret;

	pthread_mutex_lock(&k->lock);
	ret = box_is_mounts(k->box) ? mount_box_renew(k->box) : 0;
	*current = token_is_current(k->box, info, how);
	pthread_mutex_unlock(&k->lock);
	return ret;
}

/* Opens with `from`, seals with `to`; the token is in b->items[0].out. */
static int seal_again(struct coffer_field_keyring *from, struct coffer_field_keyring *to, const struct token_how *how,
		      struct batch *b)
{
	_cleanup_buffer_ struct buffer value = {0};
	struct token_item *item = &b->items[0];
	bool masked;
	size_t done;
	int ret = open_batch(from, b, &done, &masked);

	if (ret == 0 && masked)
		ret = -EACCES;
	if (ret < 0)
		return ret;
	value = item->out;
	item->out = (struct buffer){0};
	item->bytes = value.bytes ? value.bytes : "";
	item->size = value.size;
	return seal_batch(to, how, b, &done);
}

PUBLIC int coffer_field_renew(struct coffer_field_keyring *from, struct coffer_field_keyring *to,
			      const struct coffer_field_place *place, const char *token, char **renewed)
{
	const struct token_how how = {place->domain ? TOKEN_DETERMINISTIC : TOKEN_RANDOM, place->domain, 0};
	_cleanup_(batch_free) struct batch *b = batch_new(1);
	struct token_info info;
	bool current = false, masked;
	size_t done;
	int ret = b ? 0 : -ENOMEM;

	*renewed = NULL;
	if (ret == 0 && (token_shape(token, strlen(token), &info) != TOKEN_WHOLE || info.mode == TOKEN_SEALED))
		ret = -EBADMSG;
	if (ret == 0)
		ret = batch_add(b, place, place->record, token, strlen(token));
	if (ret == 0)
		ret = is_current(to, &info, &how, &current);
	if (ret < 0)
		return ret;
	/* A keyring's id does not change, so this needs no lock.  A migration that was cut off can be done again. */
	if (token_is_of(to->box, &info))
		from = to;
	if (current)
		return open_batch(from, b, &done, &masked);
	ret = seal_again(from, to, &how, b);
	if (ret < 0)
		return ret;
	*renewed = hand_out(b->items[0].out.bytes, b->items[0].out.size);
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
	else if (error == -EBADMSG || error == -EXDEV || error == -ENOKEY || error == -ESTALE || error == -EACCES ||
		 error == -ECONNRESET || (error == -ENOENT && shape == TOKEN_WHOLE))
		token_reason(error, &info, k->box, place->context, text, n);
	else if (error == -ENOENT)
		snprintf(text, n, "there is no domain %s; make it: coffer field domain create",
			 place->domain ? place->domain : "of this name");
	else
		snprintf(text, n, "%s", error == -EINVAL ? "the value is not of the field's type" : strerror(-error));
}
