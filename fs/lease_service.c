/* The key service, as what a lease asks (docs/api.md section 5). */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fs/lease_report.h"
#include "fs/lease_source.h"
#include "keymgr/document.h"
#include "keymgr/service_use.h"
#include "util/base/encode.h"
#include "util/base/log.h"

enum { CERTIFICATE_SECONDS = 12 * 3600 /* between two looks at when our certificate ends */ };

struct by_service {
	struct lease_source source;
	uint32_t protector;
	struct service_client *client;
	uint8_t volume_id[VOLUME_ID_SIZE];
	char volume[2 * VOLUME_ID_SIZE + 1];
	struct service_answer answer; /* the last one */
	time_t certificate_seen;
	struct keyring_sending sending;
	bool policy_refused; /* and that was said */
};

static_assert((int)SERVICE_KEY_NAME_MAX <= (int)LEASE_KEY_MAX, "its name has room");

static struct by_service *of(struct lease_source *s)
{
	return (struct by_service *)s;
}

/* ------------------------------------------------------------------ the question */

static uint32_t number_in(json_object *o, const char *name)
{
	struct problem ignored = {0};
	uint64_t n = 0;

	return member_number(o, name, 0, UINT32_MAX, &n, &ignored) == 0 ? (uint32_t)n : 0;
}

static int call(struct by_service *b, struct fault *why)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	char path[LEASE_KEY_MAX + 16];
	int r = o ? put_string(o, "volume", b->volume) : -ENOMEM;

	if (r == 0)
		r = put_number(o, "version", b->source.version);
	if (r == 0)
		r = lease_report_put(o, b->source.p->keys, b->source.p->reencrypt);
	if (r < 0)
		return fault_errno(why, EXIT_FAILED, r, "cannot ask the key service");
	snprintf(path, sizeof path, "keys/%s/lease", b->source.key);
	return service_call(b->client, SERVICE_ASK, path, o, &b->answer, why);
}

/* lease.h (6) */
static void take_policy(struct by_service *b, json_object *answer)
{
	struct managed_policy policy = {0};
	struct problem problem = {0};
	json_object *o = NULL;
	int r = 0;

	if (json_object_object_get_ex(answer, "policy", NULL))
		r = member_object(answer, "policy", &o, &problem);
	if (r == 0 && o)
		r = managed_policy_load(o, "", &policy, &problem);
	if (r < 0 && !b->policy_refused)
		log_warning("the key service has a policy for the volume that is not taken: %s", problem.text);
	b->policy_refused = r < 0;
	if (r == 0)
		b->source.policy = policy;
}

static int ask(struct lease_source *s, struct lease_answer *out)
{
	struct service_answer *a = &of(s)->answer;
	struct fault why = {.status = EXIT_OK};
	int r;

	service_answer_free(a);
	r = call(of(s), &why);
	if (r == -ECANCELED)
		return r;
	if (r == 0 && service_took_away(a)) {
		out->verdict = LEASE_NO;
		snprintf(out->reason, sizeof out->reason, "%.160s (%s)", a->message, a->code);
		return 0;
	}
	if (r == 0)
		r = service_check(a, &why);
	out->verdict = r < 0 ? LEASE_NOTHING : LEASE_YES;
	if (r < 0) {
		memcpy(out->reason, why.text, sizeof out->reason);
		return 0;
	}
	out->renew_after = number_in(a->body, "renew_after");
	take_policy(of(s), a->body);
	return 0;
}

static int unlock(struct lease_source *s, struct keyring *k, struct fault *why)
{
	struct service_use use = {.client = of(s)->client, .remembered = SERVICE_CONFIG_NONE};
	const struct unlock_secret secret = {.kind = SECRET_SERVICE, .service = &use};

	return keyring_unlock(k, &secret, why);
}

/* ------------------------------------------------------------------ lease.h (5) */

struct rewrapping {
	struct by_service *b;
	struct service_protector before;
	bool found;
	struct service_wrapped after;
};

static void look_at_protector(const struct keyring *k, void *context)
{
	struct rewrapping *r = context;

	if (r->found)
		service_protector_free(&r->before);
	r->found = keyring_service(k, r->b->protector, &r->before) == 0;
}

static int put_rewrapped(struct keyring *k, void *context, struct fault *why)
{
	const struct rewrapping *r = context;

	return keyring_put_rewrapped(k, r->b->protector, r->before.wrapped.version, &r->after, why);
}

static void rewrap(struct by_service *b, struct rewrapping *r)
{
	struct fault why = {.status = EXIT_OK};
	int ret = service_rewrap(b->client, r->before.key, b->volume_id, &r->before.wrapped, &r->after, &why);

	if (ret == 0)
		ret = live_keys_change(b->source.p->keys, put_rewrapped, r, &why);
	if (ret == 0)
		log_info("the root is wrapped by version %" PRIu32 " of the key %s now", r->after.version,
			 r->before.key);
	else if (ret != -EALREADY && ret != -ECANCELED)
		log_warning("the root could not be wrapped by the newest version of the key %s: %s", r->before.key,
			    why.text);
}

static void keep_version(struct by_service *b, uint32_t latest)
{
	const struct lease_parts *p = b->source.p;
	struct rewrapping r = {.b = b};

	live_keys_look(p->keys, look_at_protector, &r);
	if (r.found && latest > r.before.wrapped.version && !p->looks_only) {
		rewrap(b, &r);
		live_keys_look(p->keys, look_at_protector, &r);
	}
	if (!r.found)
		return;
	b->source.version = r.before.wrapped.version;
	service_protector_free(&r.before);
}

/* ------------------------------------------------------------------ after a yes */

static void look_at_certificate(struct by_service *b)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	if (b->certificate_seen && now.tv_sec - b->certificate_seen < CERTIFICATE_SECONDS)
		return;
	b->certificate_seen = now.tv_sec;
	service_renew_if_due(b->client);
}

static void after_yes(struct lease_source *s, bool open)
{
	struct by_service *b = of(s);

	if (open)
		keep_version(b, number_in(b->answer.body, "latest"));
	if (open && s->p->opened->how != OPENED_OLD_COPY)
		lease_report_keyring(b->client, s->key, b->volume, s->p->opened, s->p->keys, &b->sending);
	look_at_certificate(b);
}

/* ------------------------------------------------------------------ */

static void cancel(struct lease_source *s)
{
	service_client_cancel(of(s)->client);
}

static void free_it(struct lease_source *s)
{
	service_answer_free(&of(s)->answer);
	service_client_free(&of(s)->client);
	free(s);
}

static const struct lease_source_ops ops = {
	.type = "key-service",
	.who = "the key service",
	.ask = ask,
	.unlock = unlock,
	.after_yes = after_yes,
	.cancel = cancel,
	.free = free_it,
};

int lease_service_new(const struct lease_parts *p, struct lease_source **out, struct fault *why)
{
	const struct service_protector *by = p->opened->service;
	struct by_service *b = calloc(1, sizeof *b);
	int r;

	if (!b)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory for a lease");
	b->source = (struct lease_source){.ops = &ops, .p = p, .version = by->wrapped.version};
	memcpy(b->source.key, by->key, strlen(by->key) + 1);
	b->protector = keyring_opened_by(p->opened->keyring);
	memcpy(b->volume_id, keyring_settings(p->opened->keyring)->volume_id, VOLUME_ID_SIZE);
	hex_encode(b->volume_id, VOLUME_ID_SIZE, b->volume);
	r = service_client_new(&by->config, &b->client, why);
	if (r < 0) {
		free(b);
		return r;
	}
	*out = &b->source;
	return 0;
}
