/* A KMIP server, as what a lease asks: the state of the key that has opened the root (docs/keys.md, "A KMIP server"). */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "fs/lease_source.h"
#include "keymgr/kmip.h"

static_assert((int)KMIP_KEY_MAX <= (int)LEASE_KEY_MAX, "its identifier has room");

struct by_kmip {
	struct lease_source source;
	struct talk *talk;
};

static struct by_kmip *of(struct lease_source *s)
{
	return (struct by_kmip *)s;
}

static int ask(struct lease_source *s, struct lease_answer *out)
{
	struct fault why = {.status = EXIT_OK};
	struct kmip_state now;
	int r = kmip_state(of(s)->talk, s->key, &now, &why);

	if (r == -ECANCELED)
		return r;
	out->verdict = r < 0 ? LEASE_NOTHING : now.active ? LEASE_YES : LEASE_NO;
	if (r < 0)
		memcpy(out->reason, why.text, sizeof out->reason);
	else if (!now.active)
		memcpy(out->reason, now.reason, strlen(now.reason) + 1);
	return 0;
}

static int unlock(struct lease_source *s, struct keyring *k, struct fault *why)
{
	struct kmip_use use = {.talk = of(s)->talk, .remembered = KMIP_CONFIG_NONE};
	const struct unlock_secret secret = {.kind = SECRET_KMIP, .kmip = &use};

	return keyring_unlock(k, &secret, why);
}

static void after_yes(struct lease_source *s, bool open)
{
	(void)s, (void)open;
}

static void cancel(struct lease_source *s)
{
	talk_cancel(of(s)->talk);
}

static void free_it(struct lease_source *s)
{
	talk_free(&of(s)->talk);
	free(s);
}

static const struct lease_source_ops ops = {
	.type = "kmip",
	.who = "the KMIP server",
	.ask = ask,
	.unlock = unlock,
	.after_yes = after_yes,
	.cancel = cancel,
	.free = free_it,
};

int lease_kmip_new(const struct lease_parts *p, struct lease_source **out, struct fault *why)
{
	const struct kmip_protector *by = p->opened->kmip;
	struct by_kmip *b = calloc(1, sizeof *b);
	int r;

	if (!b)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory for a lease");
	static_assert(sizeof((struct kmip_state *)0)->reason <= sizeof((struct lease_answer *)0)->reason, "it fits");
	b->source = (struct lease_source){.ops = &ops, .p = p};
	memcpy(b->source.key, by->key, strlen(by->key) + 1);
	r = talk_new(&by->config, &b->talk, why);
	if (r < 0) {
		free(b);
		return r;
	}
	*out = &b->source;
	return 0;
}
