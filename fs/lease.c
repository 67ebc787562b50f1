#include "fs/lease.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fs/lease_report.h"
#include "fs/rounds.h"
#include "keymgr/document.h"
#include "keymgr/entry.h"
#include "keymgr/pin.h"
#include "keymgr/service_use.h"
#include "util/base/encode.h"
#include "util/base/log.h"

enum {
	REMIND_SECONDS = 3600,           /* of a service that stays away */
	CERTIFICATE_SECONDS = 12 * 3600, /* between two looks at when our certificate ends */
};

struct lease {
	struct lease_parts p;
	uint32_t protector;
	struct service_client *client; /* of the thread, but for its being cancelled */
	uint8_t volume_id[VOLUME_ID_SIZE];
	char volume[2 * VOLUME_ID_SIZE + 1];

	struct rounds rounds;
	pthread_mutex_t lock; /* of what follows; nothing else is waited for while it is held */
	struct lease_status now;
	int64_t last_yes; /* seconds of CLOCK_BOOTTIME */

	/* of the thread alone */
	bool locked_it; /* (3) */
	unsigned renew_after;
	int64_t reminded, certificate_seen;
	uint64_t sent; /* the keyring of this sequence */
};

static int64_t boot_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec;
}

const char *lease_state_name(enum lease_state s)
{
	static const char *const names[] = {"held", "unreachable", "expired", "denied"};

	return names[s];
}

static void set_state(struct lease *l, enum lease_state state, const char *reason)
{
	pthread_mutex_lock(&l->lock);
	l->now.state = state;
	snprintf(l->now.reason, sizeof l->now.reason, "%s", reason);
	if (state == LEASE_HELD) {
		l->now.renewals++;
		l->last_yes = boot_seconds();
	}
	pthread_mutex_unlock(&l->lock);
}

/* ------------------------------------------------------------------ locking and unlocking */

static void lock_it(struct lease *l)
{
	struct fault why = {.status = EXIT_OK};
	int r;

	reencrypt_halt(l->p.reencrypt);
	r = live_keys_lock(l->p.keys, &why);
	/* Somebody has locked it before: (3). */
	if (r == -EALREADY)
		return;
	l->locked_it = true;
	if (r < 0)
		log_error("the lock is there, but: %s", why.text);
}

/* As at the mount. */
static int open_again(struct keyring *k, void *context, struct fault *why)
{
	struct lease *l = context;
	const struct opened *o = l->p.opened;
	struct service_use use = {.client = l->client, .remembered = SERVICE_CONFIG_NONE};
	const struct unlock_secret secret = {.kind = SECRET_SERVICE, .service = &use};
	const struct entry entry = {.trust = l->p.trust, .looks_only = l->p.looks_only};
	int r = keyring_unlock(k, &secret, why);

	if (r < 0)
		return r;
	return o->how == OPENED_OLD_COPY ? pin_check(k, &(struct trust){.older = true, .root = l->p.trust.root}, why)
					 : keyring_enter(o->store, o->dot, k, &entry, why);
}

static void unlock_it(struct lease *l)
{
	struct fault why = {.status = EXIT_OK};
	int r = live_keys_unlock_by(l->p.keys, open_again, l, &why);

	if (r < 0 && r != -EALREADY) {
		log_warning("the key service would let the mount go on, but it cannot be unlocked: %s", why.text);
		return;
	}
	l->locked_it = false;
	if (reencrypt_look(l->p.reencrypt, &why) < 0)
		log_warning("the re-encryption does not go on: %s", why.text);
}

/* ------------------------------------------------------------------ (5) */

struct rewrapping {
	struct lease *l;
	struct service_protector before;
	bool found;
	struct service_wrapped after;
};

static void look_at_protector(const struct keyring *k, void *context)
{
	struct rewrapping *r = context;

	if (r->found)
		service_protector_free(&r->before);
	r->found = keyring_service(k, r->l->protector, &r->before) == 0;
}

static int put_rewrapped(struct keyring *k, void *context, struct fault *why)
{
	const struct rewrapping *r = context;

	return keyring_put_rewrapped(k, r->l->protector, r->before.wrapped.version, &r->after, why);
}

static void rewrap(struct lease *l, struct rewrapping *r)
{
	struct fault why = {.status = EXIT_OK};
	int ret = service_rewrap(l->client, r->before.key, l->volume_id, &r->before.wrapped, &r->after, &why);

	if (ret == 0)
		ret = live_keys_change(l->p.keys, put_rewrapped, r, &why);
	if (ret == 0)
		log_info("the root is wrapped by version %" PRIu32 " of the key %s now", r->after.version,
			 r->before.key);
	else if (ret != -EALREADY && ret != -ECANCELED)
		log_warning("the root could not be wrapped by the newest version of the key %s: %s", r->before.key,
			    why.text);
}

static void set_version(struct lease *l, uint32_t version)
{
	pthread_mutex_lock(&l->lock);
	l->now.version = version;
	pthread_mutex_unlock(&l->lock);
}

static void keep_version(struct lease *l, uint32_t latest)
{
	struct rewrapping r = {.l = l};

	live_keys_look(l->p.keys, look_at_protector, &r);
	if (r.found && latest > r.before.wrapped.version && !l->p.looks_only) {
		rewrap(l, &r);
		live_keys_look(l->p.keys, look_at_protector, &r);
	}
	if (!r.found)
		return;
	set_version(l, r.before.wrapped.version);
	service_protector_free(&r.before);
}

/* ------------------------------------------------------------------ one renewal */

static uint32_t number_in(json_object *o, const char *name)
{
	struct problem ignored = {0};
	uint64_t n = 0;

	return member_number(o, name, 0, UINT32_MAX, &n, &ignored) == 0 ? (uint32_t)n : 0;
}

static void yes(struct lease *l, json_object *answer)
{
	uint32_t after = number_in(answer, "renew_after");
	bool was_away = l->now.state == LEASE_UNREACHABLE;

	if (after > 0 && after <= 10 * LEASE_SECONDS)
		l->renew_after = after;
	/* Before the unlocking: who asks for one meanwhile may. */
	set_state(l, LEASE_HELD, "");
	if (was_away)
		log_info("the key service is reached again");
	if (l->locked_it)
		unlock_it(l);
	if (l->locked_it)
		return;
	keep_version(l, number_in(answer, "latest"));
	if (l->p.opened->how != OPENED_OLD_COPY)
		lease_report_keyring(l->client, l->now.key, l->volume, l->p.opened, l->p.keys, &l->sent);
}

static void no(struct lease *l, const struct service_answer *a)
{
	char reason[sizeof l->now.reason];

	snprintf(reason, sizeof reason, "%.160s (%s)", a->message, a->code);
	if (l->now.state != LEASE_DENIED)
		log_warning("the key service has taken the access away: %s; the mount locks itself", reason);
	set_state(l, LEASE_DENIED, reason);
	if (!l->locked_it)
		lock_it(l);
}

static void remind(struct lease *l, const char *reason, int64_t left)
{
	int64_t now = boot_seconds();

	if (l->now.state == LEASE_UNREACHABLE && now - l->reminded < REMIND_SECONDS)
		return;
	l->reminded = now;
	log_warning("the lease of the mount is not renewed, which locks itself in %" PRId64 " minutes: %s",
		    (left + 59) / 60, reason);
}

/* (2) */
static void nothing(struct lease *l, const char *reason)
{
	int64_t left = l->last_yes + l->p.grace - boot_seconds();

	/* It was locked before, and stays so. */
	if (l->now.state == LEASE_DENIED)
		return;
	if (left > 0) {
		remind(l, reason, left);
		set_state(l, LEASE_UNREACHABLE, reason);
		return;
	}
	if (l->now.state != LEASE_EXPIRED)
		log_warning("the grace period is over, the mount locks itself: %s", reason);
	set_state(l, LEASE_EXPIRED, reason);
	if (!l->locked_it)
		lock_it(l);
}

static int ask(struct lease *l, struct service_answer *a, struct fault *why)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	char path[sizeof l->now.key + 16];
	int r = o ? put_string(o, "volume", l->volume) : -ENOMEM;

	if (r == 0)
		r = put_number(o, "version", l->now.version);
	if (r == 0)
		r = lease_report_put(o, l->p.keys, l->p.reencrypt);
	if (r < 0)
		return fault_errno(why, EXIT_FAILED, r, "cannot ask the key service");
	snprintf(path, sizeof path, "keys/%s/lease", l->now.key);
	return service_call(l->client, SERVICE_ASK, path, o, a, why);
}

static void renew(struct lease *l)
{
	_cleanup_service_answer_ struct service_answer a = {0};
	struct fault why = {.status = EXIT_OK};
	int r = ask(l, &a, &why);

	if (r == -ECANCELED)
		return;
	if (r == 0 && service_took_away(&a)) {
		no(l, &a);
		return;
	}
	if (r == 0)
		r = service_check(&a, &why);
	if (r < 0)
		nothing(l, why.text);
	else
		yes(l, a.body);
}

static void look_at_certificate(struct lease *l)
{
	int64_t now = boot_seconds();

	if (l->certificate_seen && now - l->certificate_seen < CERTIFICATE_SECONDS)
		return;
	l->certificate_seen = now;
	service_renew_if_due(l->client);
}

/* ------------------------------------------------------------------ the thread */

static unsigned until_the_next(const struct lease *l)
{
	return l->p.every && l->p.every < l->renew_after ? l->p.every : l->renew_after;
}

static void *keep(void *data)
{
	struct lease *l = data;

	do {
		renew(l);
		if (l->now.state == LEASE_HELD)
			look_at_certificate(l);
	} while (rounds_wait(&l->rounds, until_the_next(l)));
	fs_thread_end();
	return NULL;
}

static int prepare(struct lease *l, struct fault *why)
{
	const struct service_protector *by = l->p.opened->service;

	memcpy(l->now.key, by->key, sizeof by->key);
	l->now.version = by->wrapped.version;
	l->protector = keyring_opened_by(l->p.opened->keyring);
	memcpy(l->volume_id, keyring_settings(l->p.opened->keyring)->volume_id, VOLUME_ID_SIZE);
	hex_encode(l->volume_id, VOLUME_ID_SIZE, l->volume);
	l->last_yes = boot_seconds();
	l->renew_after = LEASE_SECONDS;
	pthread_mutex_init(&l->lock, NULL);
	return service_client_new(&by->config, &l->client, why);
}

int lease_start(const struct lease_parts *p, struct lease **out, struct fault *why)
{
	struct lease *l;
	int r;

	*out = NULL;
	if (!p->opened->service)
		return 0;
	l = calloc(1, sizeof *l);
	if (!l)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory for a lease");
	l->p = *p;
	r = prepare(l, why);
	if (r == 0)
		r = rounds_start(&l->rounds, keep, l);
	if (r < 0) {
		service_client_free(&l->client);
		free(l);
		return fault_errno(why, EXIT_FAILED, r, "cannot start a thread for the lease");
	}
	*out = l;
	return 0;
}

void lease_stop(struct lease **lp)
{
	struct lease *l = *lp;

	if (!l)
		return;
	*lp = NULL;
	/* It may be waiting for the service. */
	rounds_tell(&l->rounds);
	service_client_cancel(l->client);
	rounds_stop(&l->rounds);
	service_client_free(&l->client);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

void lease_status(struct lease *l, struct lease_status *out)
{
	int64_t age;

	pthread_mutex_lock(&l->lock);
	*out = l->now;
	age = boot_seconds() - l->last_yes;
	pthread_mutex_unlock(&l->lock);
	out->age = age > 0 ? (uint64_t)age : 0;
	out->grace_left = out->age < l->p.grace ? l->p.grace - out->age : 0;
}

int lease_allows_unlock(struct lease *l, struct fault *why)
{
	struct lease_status now;

	if (!l)
		return 0;
	lease_status(l, &now);
	if (now.state == LEASE_DENIED || now.state == LEASE_EXPIRED)
		return fault_set(
			why, EXIT_REFUSED, EACCES,
			"the mount is bound by its lease, and goes on by itself when the key service lets it: %s",
			now.reason);
	return 0;
}
