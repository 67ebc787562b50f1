/* What the verbs do with each value of a file. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/base/encode.h"
#include "util/field/operation_internal.h"

void operation_end(struct operation *o)
{
	buffer_free(&o->got);
	buffer_free(&o->place);
	buffer_free(&o->meaning);
	buffer_free(&o->token);
}

size_t operation_few_values(const struct operation *o)
{
	return o->equal_seen >= OPERATION_MANY && o->equal_count <= OPERATION_FEW ? o->equal_count : 0;
}

/* A value as an operation sees it. */
struct item {
	const struct found *f;
	const struct rule *selected, *reader;
	struct buffer value; /* the token, if it is one */
	enum token_shape shape;
	struct token_info info;
};

static int broken(const struct found *f, struct fault *why)
{
	return operation_complain(f, why, EBADMSG,
				  "looks like a token but is none: cut or changed, or of a later version");
}

static int encrypt(struct operation *o, struct item *i, struct buffer *with, bool *replace, struct fault *why)
{
	if (i->shape != TOKEN_NOT || !i->selected)
		return 0;
	*replace = true;
	return operation_seal(o, o->box, i->selected, i->f, i->f->source, i->f->source_size, with, why);
}

static const struct token_info *whole(const struct item *i)
{
	return i->shape == TOKEN_WHOLE ? &i->info : NULL;
}

/* Somebody may have put it in the place of a token: who reads by rules must not take it. */
static int refuse_clear(const struct operation *o, const struct item *i, struct fault *why)
{
	if (i->shape != TOKEN_NOT || !i->selected || !i->selected->demanded || o->keep_going)
		return 0;
	return operation_complain(i->f, why, EBADMSG, "stands in clear where the rules want a token");
}

static int decrypt(struct operation *o, struct item *i, struct buffer *with, bool *replace, struct fault *why)
{
	int ret;

	if (i->shape == TOKEN_NOT)
		return refuse_clear(o, i, why);
	if (!i->selected)
		return 0;
	ret = operation_open(o, i->selected, i->f, &i->value, whole(i), with, why);
	if (ret == -ENODATA)
		return 0;
	*replace = ret == 0;
	return ret;
}

/* The mode and the domain of a token stay what they are. */
static int reseal(struct operation *o, struct item *i, struct token_box *box, struct buffer *with, bool *replace,
		  struct fault *why)
{
	_cleanup_buffer_ struct buffer source = {0};
	struct rule r;
	int ret = operation_open(o, i->reader, i->f, &i->value, whole(i), &source, why);

	if (ret == -ENODATA)
		return 0;
	if (ret < 0)
		return ret;
	r = operation_manner_of(o, i->reader, &i->info);
	*replace = true;
	return operation_seal(o, box, &r, i->f, source.bytes ? source.bytes : "", source.size, with, why);
}

static int rotate(struct operation *o, struct item *i, struct buffer *with, bool *replace, struct fault *why)
{
	const char *domain = NULL;
	struct token_how how = {i->info.mode, NULL, 0};

	if (i->shape != TOKEN_WHOLE)
		return 0;
	if (i->info.mode == TOKEN_DETERMINISTIC)
		domain = token_domain(o->box, &i->info);
	if (o->only_domain && (!domain || strcmp(domain, o->only_domain) != 0))
		return 0;
	how.domain = domain;
	if (token_is_current(o->box, &i->info, &how))
		return 0;
	return reseal(o, i, o->box, with, replace, why);
}

/* What is there already stays: a run that was cut off can be done again. */
static int migrate(struct operation *o, struct item *i, struct buffer *with, bool *replace, struct fault *why)
{
	if (i->shape != TOKEN_WHOLE || (token_is_of(o->to, &i->info) && !token_is_of(o->box, &i->info)))
		return 0;
	return reseal(o, i, o->to, with, replace, why);
}

static void report(struct operation *o, const struct item *i, const char *text)
{
	if (o->report)
		o->report(o->context, i->f, text);
}

static void list(struct operation *o, const struct item *i)
{
	const char *domain = o->box && i->info.mode == TOKEN_DETERMINISTIC ? token_domain(o->box, &i->info) : NULL;
	char text[128], id[9];

	if (i->shape == TOKEN_NOT) {
		report(o, i, "clear\t-\t-");
		return;
	}
	if (i->shape == TOKEN_BROKEN) {
		report(o, i, "broken\t-\t-");
		return;
	}
	hex_encode(i->info.keyring, 4, id);
	snprintf(text, sizeof(text), "%s%s%s\t%" PRIu32 "\t%s",
		 i->info.mode == TOKEN_RANDOM   ? "random"
		 : i->info.mode == TOKEN_SEALED ? "sealed"
						: "deterministic",
		 domain ? ":" : "", domain ? domain : "", i->info.generation, id);
	report(o, i, text);
}

static void check(struct operation *o, const struct item *i)
{
	if (i->shape == TOKEN_NOT && i->selected) {
		o->failed++;
		report(o, i, "stands in clear");
	} else if (i->shape == TOKEN_BROKEN) {
		o->failed++;
		report(o, i, "looks like a token but is none: cut or changed, or of a later version");
	}
}

/* The source text in clear: of a token, what it opens to. */
static int clear_source(struct operation *o, struct item *i, struct buffer *out, struct fault *why)
{
	if (i->shape == TOKEN_NOT)
		return buffer_add(out, i->f->source, i->f->source_size);
	return operation_open(o, i->reader, i->f, &i->value, whole(i), out, why);
}

static int get(struct operation *o, struct item *i, struct fault *why)
{
	_cleanup_buffer_ struct buffer source = {0};
	int ret;

	if (!i->selected)
		return 0;
	if (++o->selected > 1)
		return operation_complain(i->f, why, EINVAL, "the path means more than one value; give one of them");
	ret = refuse_clear(o, i, why);
	if (ret == 0)
		ret = clear_source(o, i, &source, why);
	if (ret < 0)
		return ret;
	ret = i->f->scan->format->value(i->f->leaf, source.bytes ? source.bytes : "", source.size, &o->got);
	return ret < 0 ? operation_no_memory(why, ret) : 0;
}

static int new_source(struct operation *o, struct item *i, enum leaf_type old, struct buffer *out, struct fault *why)
{
	static const char *const names[] = {"a string", "a number", "a bool", "null", "a date"};
	enum leaf_type type = o->value_type >= 0 ? (enum leaf_type)o->value_type : old == LEAF_NULL ? LEAF_STRING : old;
	char text[120];
	int ret = i->f->scan->format->source(type, i->f->leaf, o->value, o->value_size, out);

	if (ret == -EINVAL) {
		snprintf(text, sizeof(text), "the new value is not %s%s", names[type],
			 o->value_type >= 0 ? "" : ", as the old one is; --type says what it shall be");
		return operation_complain(i->f, why, EINVAL, text);
	}
	if (ret == -EILSEQ)
		return operation_complain(i->f, why, EILSEQ, "the new value cannot be written in this format");
	return ret < 0 ? operation_no_memory(why, ret) : 0;
}

static enum leaf_type old_type(const struct operation *o, const struct item *i, const struct buffer *old)
{
	if (o->blind && i->shape != TOKEN_NOT)
		return LEAF_STRING;
	return i->f->scan->format->type(i->f->leaf, old->bytes ? old->bytes : "", old->size);
}

static int set(struct operation *o, struct item *i, struct buffer *with, bool *replace, struct fault *why)
{
	_cleanup_buffer_ struct buffer source = {0}, old = {0};
	struct rule r;
	int ret = 0;

	if (!i->selected)
		return 0;
	if (++o->selected > 1)
		return operation_complain(i->f, why, EINVAL, "the path means more than one value; give one of them");
	if (!o->blind || i->shape == TOKEN_NOT)
		ret = clear_source(o, i, &old, why);
	if (ret == 0)
		ret = new_source(o, i, old_type(o, i, &old), &source, why);
	if (ret < 0 || (!o->blind && buffer_is(&source, old.bytes, old.size)))
		return ret; /* an unchanged value keeps its token */
	*replace = true;
	if (i->shape == TOKEN_NOT && !i->selected->demanded && !o->blind)
		return buffer_add(with, source.bytes, source.size);
	r = *i->selected;
	if (i->shape == TOKEN_WHOLE && !r.demanded && !o->manner_given)
		r = operation_manner_of(o, i->selected, &i->info);
	return operation_seal(o, o->box, &r, i->f, source.bytes, source.size, with, why);
}

static int visit(struct operation *o, struct item *i, struct fault *why)
{
	_cleanup_buffer_ struct buffer source = {0};
	int ret;

	if (!i->selected)
		return 0;
	ret = refuse_clear(o, i, why);
	if (ret == 0)
		ret = clear_source(o, i, &source, why);
	if (ret == -ENODATA)
		return 0;
	return ret < 0 ? ret : o->visit(o->context, i->f, source.bytes ? source.bytes : "", source.size, why);
}

static int act(struct operation *o, struct item *i, struct buffer *with, bool *replace, struct fault *why)
{
	bool looks = o->kind == OPERATION_CHECK || o->kind == OPERATION_LIST;

	if (i->shape == TOKEN_BROKEN && !looks && !o->keep_going)
		return broken(i->f, why);
	switch (o->kind) {
	case OPERATION_ENCRYPT:
		return encrypt(o, i, with, replace, why);
	case OPERATION_DECRYPT:
		return decrypt(o, i, with, replace, why);
	case OPERATION_ROTATE:
		return rotate(o, i, with, replace, why);
	case OPERATION_MIGRATE:
		return migrate(o, i, with, replace, why);
	case OPERATION_CHECK:
		check(o, i);
		return 0;
	case OPERATION_LIST:
		list(o, i);
		return 0;
	case OPERATION_GET:
		return get(o, i, why);
	case OPERATION_SET:
		return set(o, i, with, replace, why);
	case OPERATION_VISIT:
		return visit(o, i, why);
	}
	return -EINVAL;
}

int operation_edit(void *context, const struct found *f, struct buffer *with, bool *replace, struct fault *why)
{
	struct operation *o = context;
	struct item i = {.f = f};
	int ret;

	ret = plan_find(o->plan, f, &i.selected, why);
	if (ret < 0)
		return ret;
	i.reader = i.selected ? i.selected : &o->plan->fallback;
	/* The shortest token has 70 characters; most values are told by their first letters. */
	if (f->source_size >= 9 && memmem(f->source, f->source_size < 64 ? f->source_size : 64, "coffer", 6)) {
		ret = found_value(f, &i.value);
		if (ret == 0)
			i.shape = token_shape(i.value.bytes, i.value.size, &i.info);
	}
	o->seen++;
	o->tokens += i.shape == TOKEN_WHOLE;
	o->clear += i.shape == TOKEN_NOT;
	if (ret == 0)
		ret = act(o, &i, with, replace, why);
	o->changed += *replace;
	buffer_free(&i.value);
	return ret < 0 ? operation_no_memory(why, ret) : 0;
}
