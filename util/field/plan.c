#include "util/field/plan.h"

#include <errno.h>
#include <string.h>

/* What was decided for paths seen before, whatever their document: columns repeat for a million rows. */
enum { CACHE_SLOTS = 256, CACHE_PATH = 112 };
struct plan_cache {
	struct {
		bool used;
		const struct rule *rule;
		size_t size;
		char path[CACHE_PATH];
	} slots[CACHE_SLOTS];
};

void rule_free(struct rule *r)
{
	for (size_t i = 0; i < r->encrypt_count; i++)
		pattern_free(&r->encrypt[i]);
	for (size_t i = 0; i < r->leave_count; i++)
		pattern_free(&r->leave[i]);
	free(r->encrypt);
	free(r->leave);
	if (r->keys) {
		regfree(r->keys);
		free(r->keys);
	}
	free(r->domain);
	free(r->context);
	free(r->record);
	*r = (struct rule){0};
}

void plan_free(struct plan *p)
{
	for (size_t i = 0; i < p->count; i++)
		rule_free(&p->rules[i]);
	free(p->rules);
	if (p->chosen)
		rule_free(p->chosen);
	free(p->chosen);
	rule_free(&p->fallback);
	free(p->cache);
	*p = (struct plan){0};
}

int plan_add_rule(struct plan *p, struct rule **out)
{
	struct rule *bigger = reallocarray(p->rules, p->count + 1, sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	p->rules = bigger;
	*out = &p->rules[p->count++];
	**out = (struct rule){.mode = TOKEN_RANDOM, .bind = BIND_KEYS};
	return 0;
}

int plan_choose(struct plan *p, struct rule **out)
{
	p->chosen = calloc(1, sizeof(*p->chosen));
	if (!p->chosen)
		return -ENOMEM;
	*p->chosen = (struct rule){.mode = TOKEN_RANDOM, .bind = BIND_KEYS};
	*out = p->chosen;
	return 0;
}

/* ------------------------------------------------------------------ making rules */

static int add_path(struct pattern ***list, size_t *count, const char *text, size_t n, enum path_style style,
		    struct fault *why)
{
	struct pattern **bigger = reallocarray(*list, *count + 1, sizeof(struct pattern *));
	int ret;

	if (!bigger)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "path");
	*list = bigger;
	ret = pattern_parse(text, n, style, &bigger[*count], why);
	if (ret == 0)
		++*count;
	return ret;
}

int rule_add_paths(struct pattern ***list, size_t *count, const char *text, enum path_style style, struct fault *why)
{
	size_t start = 0, i = 0;
	bool quoted = false;
	int ret = 0;

	for (; ret == 0; i++) {
		if (text[i] == '\\' && quoted && text[i + 1])
			i++;
		else if (text[i] == '"')
			quoted = !quoted;
		else if (!text[i] || (text[i] == ',' && !quoted)) {
			ret = add_path(list, count, text + start, i - start, style, why);
			start = i + 1;
		}
		if (!text[i])
			break;
	}
	return ret;
}

int rule_set_keys(struct rule *r, const char *regex, struct fault *why)
{
	char message[128];
	int error;

	r->keys = calloc(1, sizeof(*r->keys));
	if (!r->keys)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "key regex");
	error = regcomp(r->keys, regex, REG_EXTENDED | REG_NOSUB);
	if (!error)
		return 0;
	regerror(error, r->keys, message, sizeof(message));
	free(r->keys);
	r->keys = NULL;
	return fault_set(why, EXIT_USAGE, EINVAL, "key regex %s: %s", regex, message);
}

int rule_set_bind(struct rule *r, const char *text, struct fault *why)
{
	static const char *const names[] = {[BIND_NONE] = "none", [BIND_KEYS] = "keys", [BIND_PATH] = "path"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(text, names[i]) == 0) {
			r->bind = (enum token_bind)i;
			return 0;
		}
	if (strncmp(text, "record:", 7) == 0 && text[7]) {
		r->bind = BIND_RECORD;
		free(r->record);
		r->record = strdup(text + 7);
		return r->record ? 0 : fault_errno(why, EXIT_FAILED, -ENOMEM, "bind");
	}
	return fault_set(why, EXIT_USAGE, EINVAL, "bind %s: give keys, path, record:COLUMN or none", text);
}

int rule_set_mode(struct rule *r, const char *text, struct fault *why)
{
	if (strcmp(text, "random") == 0)
		r->mode = TOKEN_RANDOM;
	else if (strcmp(text, "deterministic") == 0)
		r->mode = TOKEN_DETERMINISTIC;
	else if (strcmp(text, "sealed") == 0)
		r->mode = TOKEN_SEALED;
	else
		return fault_set(why, EXIT_USAGE, EINVAL, "mode %s: give random, deterministic or sealed", text);
	return 0;
}

/* ------------------------------------------------------------------ finding the rule of a path */

static enum match matches_any(struct pattern *const *list, size_t count, const char *path, size_t size)
{
	enum match all = MATCH_NO;

	/* To the end, so that each pattern knows whether it was met. */
	for (size_t i = 0; i < count; i++) {
		enum match m = pattern_match(list[i], path, size);

		if (m == MATCH_YES || all == MATCH_NO)
			all = m;
	}
	return all;
}

static bool key_matches(const regex_t *keys, const char *path, size_t size)
{
	struct step s;
	size_t at = 0;

	while (path_next(path, size, &at, &s)) {
		char name[512];

		if ((s.kind != STEP_KEY && s.kind != STEP_ATTRIBUTE) || s.length >= sizeof(name))
			continue;
		memcpy(name, s.name, s.length);
		name[s.length] = '\0';
		if (regexec(keys, name, 0, NULL, 0) == 0)
			return true;
	}
	return false;
}

static enum match selects(const struct rule *r, const char *path, size_t size)
{
	enum match m = r->everything ? MATCH_YES : matches_any(r->encrypt, r->encrypt_count, path, size);

	if (m != MATCH_YES && r->keys && key_matches(r->keys, path, size))
		m = MATCH_YES;
	if (m != MATCH_NO && matches_any(r->leave, r->leave_count, path, size) != MATCH_NO)
		m = MATCH_NO;
	return m;
}

static int ambiguous(const struct found *f, struct fault *why)
{
	_cleanup_buffer_ struct buffer where = {0};
	int ret = found_where(f, &where);

	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "path");
	return fault_set(why, EXIT_USAGE, EINVAL, "%s: the key stands there several times; say which: #1, #2 ... or #*",
			 where.bytes);
}

static bool names_document(const struct rule *r)
{
	bool any = false;

	for (size_t i = 0; i < r->encrypt_count; i++)
		any = any || pattern_names_document(r->encrypt[i]);
	for (size_t i = 0; i < r->leave_count; i++)
		any = any || pattern_names_document(r->leave[i]);
	return any;
}

void plan_ready(struct plan *p)
{
	p->by_document = p->chosen && names_document(p->chosen);
	for (size_t i = 0; i < p->count; i++)
		p->by_document = p->by_document || names_document(&p->rules[i]);
}

const char *plan_missed(const struct plan *p)
{
	for (size_t i = 0; p->chosen && i < p->chosen->encrypt_count; i++)
		if (pattern_missed(p->chosen->encrypt[i]))
			return pattern_text(p->chosen->encrypt[i]);
	return NULL;
}

static int find(const struct plan *p, const struct found *f, const struct rule **out, struct fault *why)
{
	enum match m = p->chosen ? selects(p->chosen, f->path, f->path_size) : MATCH_YES;

	*out = NULL;
	if (m == MATCH_AMBIGUOUS)
		return ambiguous(f, why);
	if (m == MATCH_NO)
		return 0;
	for (size_t i = 0; i < p->count; i++) {
		m = selects(&p->rules[i], f->path, f->path_size);
		/* A rule that does not tell keys of one name apart means all of them. */
		if (m == MATCH_AMBIGUOUS && !p->rules[i].demanded)
			return ambiguous(f, why);
		if (m != MATCH_NO) {
			*out = &p->rules[i];
			return 0;
		}
	}
	*out = p->chosen;
	return 0;
}

static uint32_t slot_of(const char *path, size_t n)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)path[i]) * 16777619u;
	return (h ^ h >> 16) % CACHE_SLOTS;
}

int plan_find(struct plan *p, const struct found *f, const struct rule **out, struct fault *why)
{
	/* The document's step goes first and is the only one that differs from row to row. */
	size_t skip = f->path_size >= STEP_HEAD && f->path[0] == STEP_DOCUMENT ? STEP_HEAD : 0;
	size_t n = f->path_size - skip;
	uint32_t at;
	int ret;

	if (!skip || n > CACHE_PATH || p->by_document)
		return find(p, f, out, why);
	if (!p->cache && !(p->cache = calloc(1, sizeof(*p->cache))))
		return find(p, f, out, why);
	at = slot_of(f->path + skip, n);
	if (p->cache->slots[at].used && p->cache->slots[at].size == n &&
	    memcmp(p->cache->slots[at].path, f->path + skip, n) == 0) {
		*out = p->cache->slots[at].rule;
		return 0;
	}
	ret = find(p, f, out, why);
	if (ret == 0) {
		p->cache->slots[at].used = true;
		p->cache->slots[at].rule = *out;
		p->cache->slots[at].size = n;
		memcpy(p->cache->slots[at].path, f->path + skip, n);
	}
	return ret;
}
