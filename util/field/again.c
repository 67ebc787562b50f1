#include "util/field/again.h"

#include <errno.h>
#include <string.h>

/* A value as it was: offsets into the memory's bytes. */
struct kept {
	uint32_t hash;
	bool token;
	struct token_info info; /* of the token */
	size_t path, path_size;
	size_t source, source_size; /* in clear */
	size_t raw, raw_size;       /* as it stood in the file */
};

struct memory {
	struct buffer bytes;
	struct kept *kept;
	size_t count, room;
	uint32_t *buckets;
	size_t bucket_count;
};

void memory_free(struct memory **m)
{
	if (!*m)
		return;
	buffer_free(&(*m)->bytes);
	free((*m)->kept);
	free((*m)->buckets);
	free(*m);
	*m = NULL;
}

static uint32_t hash_of(const char *p, size_t n)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 16777619u;
	return h;
}

static const struct kept *find(const struct memory *m, const char *path, size_t n)
{
	uint32_t hash = hash_of(path, n);

	if (!m->bucket_count)
		return NULL;
	for (size_t b = hash % m->bucket_count; m->buckets[b]; b = (b + 1) % m->bucket_count) {
		const struct kept *k = &m->kept[m->buckets[b] - 1];

		if (k->hash == hash && k->path_size == n && memcmp(m->bytes.bytes + k->path, path, n) == 0)
			return k;
	}
	return NULL;
}

/* When all is in. */
static int index_all(struct memory *m)
{
	m->bucket_count = 2 * m->count + 1;
	m->buckets = calloc(m->bucket_count, sizeof(*m->buckets));
	if (!m->buckets)
		return -ENOMEM;
	for (size_t i = 0; i < m->count; i++) {
		size_t b = m->kept[i].hash % m->bucket_count;

		while (m->buckets[b])
			b = (b + 1) % m->bucket_count;
		m->buckets[b] = (uint32_t)i + 1;
	}
	return 0;
}

static int keep(struct memory *m, const struct found *f, const struct token_info *token, const char *source, size_t n)
{
	struct kept *k;
	int ret;

	if (m->count == m->room) {
		size_t room = m->room ? 2 * m->room : 64;
		struct kept *bigger = reallocarray(m->kept, room, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		m->kept = bigger;
		m->room = room;
	}
	k = &m->kept[m->count];
	*k = (struct kept){.hash = hash_of(f->path, f->path_size), .token = token != NULL};
	if (token)
		k->info = *token;
	k->path = m->bytes.size;
	k->path_size = f->path_size;
	ret = buffer_add(&m->bytes, f->path, f->path_size);
	k->source = m->bytes.size;
	k->source_size = n;
	if (ret == 0)
		ret = buffer_add(&m->bytes, source, n);
	k->raw = m->bytes.size;
	k->raw_size = f->source_size;
	if (ret == 0)
		ret = buffer_add(&m->bytes, f->source, f->source_size);
	m->count += ret == 0;
	return ret;
}

static int collect(void *context, const char *bytes, size_t n, struct fault *why)
{
	int ret = buffer_add(context, bytes, n);

	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "field") : 0;
}

static enum token_shape shape_of(const struct found *f, struct buffer *value, struct token_info *info, int *error)
{
	*error = found_value(f, value);
	return *error < 0 ? TOKEN_NOT : token_shape(value->bytes ? value->bytes : "", value->size, info);
}

/* ------------------------------------------------------------------ reading */

struct reading {
	struct operation *o;
	struct memory *m;
};

static int read_leaf(void *context, const struct found *f, struct buffer *with, bool *replace, struct fault *why)
{
	_cleanup_buffer_ struct buffer value = {0};
	struct reading *r = context;
	const struct rule *rule;
	int ret, error;
	struct token_info info = {0};
	enum token_shape shape = shape_of(f, &value, &info, &error);

	ret = error < 0 ? error : plan_find(r->o->plan, f, &rule, why);
	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "field");
	if (shape != TOKEN_NOT) {
		ret = operation_open(r->o, rule ? rule : &r->o->plan->fallback, f, &value,
				     shape == TOKEN_WHOLE ? &info : NULL, with, why);
		if (ret < 0 && ret != -ENODATA)
			return ret;
		*replace = ret == 0;
	}
	if (*replace)
		ret = keep(r->m, f, &info, with->bytes ? with->bytes : "", with->size);
	else
		ret = keep(r->m, f, NULL, f->source, f->source_size);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "field") : 0;
}

int memory_read(struct operation *o, const struct engine *base, const char *text, size_t n, struct memory **out,
		struct buffer *clear, struct fault *why)
{
	_cleanup_(memory_free) struct memory *m = calloc(1, sizeof(*m));
	struct reading r = {o, m};
	struct engine e = *base;
	int ret;

	*out = NULL;
	if (!m)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "field");
	e.edit = read_leaf;
	e.edit_context = &r;
	e.write = collect;
	e.write_context = clear;
	ret = engine_run_text(&e, text, n, why);
	if (ret == 0)
		ret = index_all(m);
	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "field");
	*out = m;
	m = NULL;
	return 0;
}

/* ------------------------------------------------------------------ encrypting */

struct writing {
	struct operation *o;
	struct memory *const *memories;
	size_t count;
};

/* A token for the same source at the same path.  *was: what some memory has there as a token; NULL: none. */
static const char *old_token(const struct writing *w, const struct found *f, size_t *n, const struct token_info **was)
{
	*was = NULL;
	for (size_t i = 0; i < w->count; i++) {
		const struct memory *m = w->memories[i];
		const struct kept *k = find(m, f->path, f->path_size);

		if (!k || !k->token)
			continue;
		if (!*was)
			*was = &k->info;
		if (k->source_size == f->source_size &&
		    (f->source_size == 0 || memcmp(m->bytes.bytes + k->source, f->source, f->source_size) == 0)) {
			*n = k->raw_size;
			return m->bytes.bytes + k->raw;
		}
	}
	return NULL;
}

static int write_leaf(void *context, const struct found *f, struct buffer *with, bool *replace, struct fault *why)
{
	_cleanup_buffer_ struct buffer value = {0};
	struct writing *w = context;
	const struct rule *rule;
	struct rule manner;
	const char *token;
	size_t n;
	const struct token_info *was;
	int ret, error;

	if (shape_of(f, &value, NULL, &error) != TOKEN_NOT)
		return 0;
	ret = error < 0 ? error : plan_find(w->o->plan, f, &rule, why);
	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "field");
	token = old_token(w, f, &n, &was);
	if (!token && !was && !(rule && rule->demanded))
		return 0;
	*replace = true;
	if (token) {
		ret = buffer_add(with, token, n);
		return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "field") : 0;
	}
	w->o->changed++;
	manner = rule ? *rule : w->o->plan->fallback;
	if (was && !manner.demanded)
		manner = operation_manner_of(w->o, &manner, was);
	return operation_seal(w->o, w->o->box, &manner, f, f->source, f->source_size, with, why);
}

int memory_encrypt(struct operation *o, const struct engine *base, struct memory *const *memories, size_t count,
		   const char *text, size_t n, struct buffer *out, struct fault *why)
{
	struct writing w = {o, memories, count};
	struct engine e = *base;

	e.edit = write_leaf;
	e.edit_context = &w;
	e.write = collect;
	e.write_context = out;
	return engine_run_text(&e, text, n, why);
}
