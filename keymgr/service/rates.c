/* How many requests a client may send (rates.h). */
#include "keymgr/service/rates.h"

#include <errno.h>
#include <search.h>
#include <string.h>

/* A token in a thousandth, so that a millisecond's share is a whole number. */
enum { TOKEN = 1000 };

struct bucket {
	char *client;
	uint64_t level, at, told_at, untold;
	bool told;
};

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct bucket *)a)->client, ((const struct bucket *)b)->client);
}

static void bucket_free(void *p)
{
	struct bucket *b = p;

	free(b->client);
	free(b);
}

void rates_free(struct rates *r)
{
	tdestroy(r->index, bucket_free);
	r->index = NULL;
}

static struct bucket *find(struct rates *r, const char *client, uint64_t now_ms)
{
	struct bucket key = {.client = (char *)client}, *b;
	struct bucket **at = tfind(&key, &r->index, compare);

	if (at)
		return *at;
	b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->client = strdup(client);
	b->at = now_ms;
	b->level = (uint64_t)r->per_second * RATE_BURST_S * TOKEN;
	if (!b->client || !tsearch(b, &r->index, compare)) {
		bucket_free(b);
		return NULL;
	}
	return b;
}

static void let_in(const struct rates *r, struct bucket *b, uint64_t now_ms)
{
	const uint64_t full = (uint64_t)r->per_second * RATE_BURST_S * TOKEN;
	uint64_t passed = now_ms - b->at;

	b->at = now_ms;
	b->level = passed >= RATE_BURST_S * UINT64_C(1000) || b->level + passed * r->per_second > full
			   ? full
			   : b->level + passed * r->per_second;
}

int rate_take(struct rates *r, const char *client, uint64_t now_ms, struct rate_refusal *out)
{
	struct bucket *b;

	*out = (struct rate_refusal){0};
	if (!r->per_second)
		return 1;
	b = find(r, client, now_ms);
	if (!b)
		return -ENOMEM;
	let_in(r, b, now_ms);
	if (b->level >= TOKEN) {
		b->level -= TOKEN;
		return 1;
	}
	out->retry_after = 1; /* at one a second or more there is room by then */
	out->tell = !b->told || now_ms - b->told_at >= RATE_TOLD_MS;
	out->untold = b->untold;
	b->untold = out->tell ? 0 : b->untold + 1;
	if (out->tell)
		b->told_at = now_ms;
	b->told = true;
	return 0;
}

void rate_charge(struct rates *r, const char *client, uint64_t more)
{
	struct bucket key = {.client = (char *)client};
	struct bucket **at = tfind(&key, &r->index, compare);

	if (at)
		(*at)->level -= (*at)->level < more * TOKEN ? (*at)->level : more * TOKEN;
}
