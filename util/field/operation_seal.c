/* A value sealed and a token opened, in the place where it stands. */
#include <errno.h>
#include <string.h>

#include "util/field/operation_internal.h"

/* Stops counting when there are more than a few. */
static void count_distinct(struct operation *o, const struct buffer *value)
{
	uint32_t hash = 2166136261u;

	o->equal_seen++;
	for (size_t i = 0; i < value->size; i++)
		hash = (hash ^ (unsigned char)value->bytes[i]) * 16777619u;
	for (size_t i = 0; i < o->equal_count; i++)
		if (o->equal_hashes[i] == hash)
			return;
	if (o->equal_count <= OPERATION_FEW)
		o->equal_hashes[o->equal_count++] = hash;
}

/* ------------------------------------------------------------------ places */

int operation_no_memory(struct fault *why, int ret)
{
	return fault_errno(why, EXIT_FAILED, ret, "field");
}

int operation_complain(const struct found *f, struct fault *why, int error, const char *text)
{
	_cleanup_buffer_ struct buffer where = {0};
	int ret = found_where(f, &where);

	return ret < 0 ? operation_no_memory(why, ret)
		       : fault_set(why, EXIT_FAILED, error, "%s: %s", where.bytes, text);
}

static int add_short_step(struct buffer *place, char kind, const char *name, size_t n)
{
	const uint8_t head[5] = {(uint8_t)kind, (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24)};
	int ret = buffer_add(place, head, sizeof(head));

	return ret < 0 ? ret : buffer_add(place, name, n);
}

static int add_record(const struct rule *r, const struct found *f, struct buffer *place, struct fault *why)
{
	_cleanup_buffer_ struct buffer id = {0};
	int ret = found_beside(f, r->record, &id);

	if (ret == -ENOENT)
		return operation_complain(f, why, ENOENT, "its record has no such id column as the rule names");
	if (ret == 0 && token_shape(id.bytes, id.size, NULL) != TOKEN_NOT)
		return operation_complain(f, why, EINVAL, "the id of its record is itself encrypted; it cannot bind");
	if (ret == 0)
		ret = add_short_step(place, 'r', r->record, strlen(r->record));
	if (ret == 0)
		ret = add_short_step(place, 'v', id.bytes, id.size);
	return ret < 0 ? operation_no_memory(why, ret) : 0;
}

static int binding(const struct rule *r, const struct found *f, struct buffer *place, struct token_binding *to,
		   struct fault *why)
{
	int ret = r->bind == BIND_NONE ? 0 : path_binding(f->path, f->path_size, r->bind == BIND_PATH, place);

	if (ret < 0)
		return operation_no_memory(why, ret);
	if (r->bind == BIND_RECORD)
		ret = add_record(r, f, place, why);
	*to = (struct token_binding){r->bind, r->context, place->bytes, place->size};
	return ret;
}

/* ------------------------------------------------------------------ sealing and opening */

struct rule operation_manner_of(const struct operation *o, const struct rule *r, const struct token_info *info)
{
	struct rule kept = *r;

	kept.mode = info->mode;
	if (kept.mode == TOKEN_DETERMINISTIC)
		kept.domain = (char *)token_domain(o->box, info);
	return kept;
}

int operation_seal(struct operation *o, struct token_box *box, const struct rule *r, const struct found *f,
		   const char *source, size_t n, struct buffer *with, struct fault *why)
{
	struct buffer *value = &o->meaning, *token = &o->token;
	const struct token_how how = {r->mode, r->domain, r->pad};
	const struct format *format = f->scan->format;
	struct token_binding to;
	int ret;

	buffer_reset(&o->place);
	ret = binding(r, f, &o->place, &to, why);
	if (ret < 0)
		return ret;
	buffer_reset(value);
	buffer_reset(token);
	ret = format->value(f->leaf, source, n, value);
	if (ret == 0 && r->mode == TOKEN_DETERMINISTIC)
		count_distinct(o, value);
	if (ret == 0)
		ret = token_seal(box, &how, &to, source, n, value->bytes ? value->bytes : "", value->size, token);
	if (ret == 0)
		ret = format->token(f->leaf, token->bytes, token->size, with);
	switch (ret) {
	case 0:
		return 0;
	case -E2BIG:
		return operation_complain(f, why, E2BIG, "the value is longer than 16 MiB");
	case -ENOENT:
		return fault_set(why, EXIT_FAILED, ENOENT,
				 "there is no domain %s in the keyring; make it: coffer field domain create %s",
				 r->domain ? r->domain : "(none given)", r->domain ? r->domain : "NAME");
	case -ECONNRESET:
		return operation_complain(f, why, ECONNRESET,
					  "the agent ended meanwhile; start it again, or give the keyring's secret");
	case -ENOTSUP:
		return operation_complain(f, why, ENOTSUP, "sealed mode needs X25519, which FIPS mode refuses");
	case -ENOKEY:
	case -ESTALE:
		return operation_complain(f, why, -ret, "the generation to encrypt with is suspended or destroyed");
	default:
		return fault_errno(why, EXIT_FAILED, ret, "cannot encrypt a value of %s", f->scan->file);
	}
}

static int does_not_open(struct operation *o, const struct rule *r, const struct found *f,
			 const struct token_info *info, int error, struct fault *why)
{
	char text[TOKEN_REASON_ROOM];

	if (error == -ENOMEM)
		return operation_no_memory(why, error);
	token_reason(error, info, o->box, r->context, text, sizeof(text));
	if (!o->keep_going || error == -ECONNRESET)
		return operation_complain(f, why, -error, text);
	o->failed++;
	if (o->report)
		o->report(o->context, f, text);
	return -ENODATA;
}

int operation_open(struct operation *o, const struct rule *r, const struct found *f, const struct buffer *token,
		   const struct token_info *info, struct buffer *source, struct fault *why)
{
	static const struct token_info none;
	struct token_binding to;
	int ret;

	if (!info)
		return does_not_open(o, r, f, &none, -EBADMSG, why);
	if (info->mode == TOKEN_SEALED && !o->accept_sealed && r->mode != TOKEN_SEALED)
		return does_not_open(o, r, f, info, -EPERM, why);
	buffer_reset(&o->place);
	ret = binding(r, f, &o->place, &to, why);
	if (ret < 0)
		return ret;
	ret = token_open(o->box, &to, token->bytes, token->size, source);
	return ret < 0 ? does_not_open(o, r, f, info, ret, why) : 0;
}
