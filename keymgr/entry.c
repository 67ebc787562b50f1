/* Entering a volume.
 *
 * 1. Order: the pin, where a person may be asked; keyring.lock, the host's memory, its verdict, the audit line, the memory written.
 * 2. The keyring is read again once the memory is held: whoever changed it meanwhile has told the host, which would take what was read
 *    before for an old one.
 * 3. On a store that cannot be written, or by who only looks, the line waits in the host's memory, and is written at the next
 *    unlocking that can. */
#include "keymgr/entry.h"

#include <errno.h>
#include <syslog.h>

#include "keymgr/internal.h"
#include "keymgr/pin.h"
#include "util/base/encode.h"
#include "util/base/log.h"

struct entering {
	struct store *s;
	int dot, lock;
	struct keyring *k;
	struct host_memory *memory; /* NULL: this host remembers nothing */
	json_object *events;
	bool looks_only, accepted;
};

static int put_unlock(struct entering *n)
{
	struct protector *p = NULL;
	json_object *event;
	int ret = audit_event("unlock", &event);

	for (uint32_t i = 0; i < n->k->protector_count; i++)
		if (n->k->protectors[i].id == n->k->opened_by)
			p = &n->k->protectors[i];
	if (ret == 0)
		ret = put_element(n->events, event);
	if (ret == 0 && p)
		ret = put_number(event, "protector", p->id);
	if (ret == 0 && p)
		ret = put_string(event, "type", p->type);
	if (ret == 0 && n->accepted)
		ret = put_string(event, "accepted", "older keyring, unknown copy or named root");
	return ret;
}

static int let_wait(struct entering *n)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && n->memory && i < json_object_array_length(n->events); i++)
		ret = host_memory_wait(n->memory, json_object_array_get_idx(n->events, i));
	return ret;
}

static int record(struct entering *n, struct fault *why)
{
	_cleanup_json_ json_object *events = json_object_new_array();
	struct audit_link known = {0}, at;
	int ret = events ? 0 : -ENOMEM;

	if (n->looks_only)
		return let_wait(n);
	if (ret == 0 && n->memory)
		ret = host_memory_take_waiting(n->memory, events);
	for (size_t i = 0; ret == 0 && i < json_object_array_length(n->events); i++)
		ret = put_element(events, json_object_get(json_object_array_get_idx(n->events, i)));
	/* An older keyring that somebody vouches for has an older log. */
	if (ret == 0 && n->memory && !n->accepted)
		host_memory_audit(n->memory, n->k, &known);
	if (ret == 0)
		ret = audit_append(n->s, n->dot, n->k, &known, events, &at, why);
	if (ret == 0 && n->memory)
		ret = host_memory_note(n->memory, n->k, &at);
	return ret;
}

static int enter(struct entering *n, const struct trust *trust, struct fault *why)
{
	int ret = host_memory_open(n->k->settings.volume_id, &n->memory, why);

	if (ret == 0)
		ret = keyring_refresh(n->s, n->dot, n->k, why);
	if (ret == 0)
		ret = n->memory ? host_memory_check(n->memory, n->k, trust, &n->accepted, why)
				: host_memory_check_root(NULL, n->k, trust, &n->accepted, why);
	if (ret == 0)
		ret = put_unlock(n);
	if (ret == 0)
		ret = record(n, why);
	if (ret == 0 && n->memory && n->looks_only)
		ret = host_memory_note(n->memory, n->k, NULL);
	if (ret == 0 && n->memory)
		ret = host_memory_save(n->memory, why);
	return ret;
}

int keyring_enter(struct store *s, int dot, struct keyring *k, const struct entry *e, struct fault *why)
{
	struct entering n = {.s = s, .dot = dot, .lock = -1, .k = k, .looks_only = e->looks_only || k->read_only};
	struct trust trust = e->trust;
	struct pin room;
	int ret = pin_settle(k, &trust, &room, why);

	if (ret < 0)
		return ret;
	n.events = json_object_new_array();
	if (!n.events)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot record the unlocking");
	if (!n.looks_only) {
		n.lock = keyring_lock(s, dot);
		n.looks_only = n.lock == -EROFS || n.lock == -EACCES;
		if (n.lock < 0 && !n.looks_only)
			ret = fault_errno(why, EXIT_STORE, n.lock, "cannot lock .coffer/%s", LOCK_FILE);
	}
	if (ret == 0)
		ret = enter(&n, &trust, why);
	k->remembered = n.memory != NULL;
	host_memory_close(&n.memory);
	store_close(s, n.lock);
	json_object_put(n.events);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot record the unlocking") : 0;
}

void keyring_refused(const struct keyring *k)
{
	struct host_memory *m = NULL;
	struct fault why = {0};
	char id[2 * VOLUME_ID_SIZE + 1];

	hex_encode(k->settings.volume_id, VOLUME_ID_SIZE, id);
	syslog(LOG_AUTHPRIV | LOG_WARNING, "coffer: a secret did not open volume %s", id);
	if (host_memory_open(k->settings.volume_id, &m, &why) < 0 || !m)
		return;
	if (host_memory_failed_unlock(m) < 0 || host_memory_save(m, &why) < 0)
		log_warning("a failed unlocking could not be noted: %s", why.text);
	host_memory_close(&m);
}

void keyring_enter_new(struct keyring *k)
{
	k->remembered = true;
	keyring_remember(k);
}

void keyring_remember(const struct keyring *k)
{
	struct host_memory *m = NULL;
	struct fault why = {0};

	if (!k->remembered)
		return;
	if (host_memory_open(k->settings.volume_id, &m, &why) < 0 ||
	    (m && (host_memory_note(m, k, &k->audit) < 0 || host_memory_save(m, &why) < 0)))
		log_warning("the change stands, but this host could not remember it: %s", why.text);
	host_memory_close(&m);
}
