/* Judging a keyring by what the host remembers of its volume, and remembering it.
 *
 * 1. A volume is trusted when it is first seen.  After that only its remembered root opens, or a root that the remembered one vouched
 *    for (keyring_roots.c).
 *    Where the secret that opened it proves nothing of the root, somebody has to vouch for that first (pin.h).
 * 2. Sequence, floors and the highest generation of an instance only rise. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/host_memory_internal.h"
#include "util/base/encode.h"

static void instance_name(const struct keyring *k, char out[2 * INSTANCE_ID_SIZE + 1])
{
	hex_encode(k->settings.instance_id, INSTANCE_ID_SIZE, out);
}

bool host_memory_seen(const struct host_memory *m, const struct keyring *k, struct host_seen *out)
{
	char name[2 * INSTANCE_ID_SIZE + 1];
	struct problem p = {0};
	json_object *instances, *o, *floors;

	*out = (struct host_seen){0};
	instance_name(k, name);
	if (member_object(m->doc, "instances", &instances, &p) < 0 || member_object(instances, name, &o, &p) < 0)
		return false;
	if (member_number(o, "sequence", 0, DOCUMENT_NUMBER_MAX, &out->sequence, &p) < 0 ||
	    member_u32(o, "generation", 0, &out->generation, &p) < 0 ||
	    member_array(o, "floors", 0, SCOPES_MAX, &floors, &p) < 0)
		return false;
	for (size_t i = 0; i < json_object_array_length(floors); i++)
		out->floor[i] = (uint32_t)json_object_get_int64(json_object_array_get_idx(floors, i));
	if (member_number(o, "audit_count", 0, DOCUMENT_NUMBER_MAX, &out->audit.n, &p) < 0 ||
	    member_hex(o, "audit_mac", out->audit.mac, SHA256_SIZE, &p) < 0)
		out->audit = (struct audit_link){0};
	return true;
}

void host_memory_audit(const struct host_memory *m, const struct keyring *k, struct audit_link *out)
{
	struct host_seen seen;

	host_memory_seen(m, k, &seen);
	*out = seen.audit;
}

/* --- roots */

static json_object *roots_of(const struct host_memory *m)
{
	struct problem p = {0};
	json_object *roots;

	return member_array(m->doc, "roots", 0, HOST_ROOTS_MAX, &roots, &p) < 0 ? NULL : roots;
}

/* Where in the remembered chain; -1: nowhere. */
static int root_index(json_object *roots, const char *fingerprint)
{
	for (size_t i = 0; i < json_object_array_length(roots); i++) {
		const char *known = json_object_get_string(json_object_array_get_idx(roots, i));

		if (known && strcmp(known, fingerprint) == 0)
			return (int)i;
	}
	return -1;
}

/* The digits of a fingerprint as somebody typed it. */
static bool same_fingerprint(const char *typed, const char *fingerprint)
{
	for (; *typed; typed++) {
		if (*typed == ' ' || *typed == '-' || *typed == ':')
			continue;
		if (!*fingerprint || (*typed | 0x20) != (*fingerprint | 0x20))
			return false;
		fingerprint++;
	}
	return !*fingerprint;
}

bool host_memory_knows_volume(const struct host_memory *m)
{
	json_object *roots = roots_of(m);

	return roots && json_object_array_length(roots) > 0;
}

static bool proved(const struct keyring *k, json_object *roots)
{
	uint8_t known[FINGERPRINT_SIZE];
	size_t n = json_object_array_length(roots);
	const char *last = n ? json_object_get_string(json_object_array_get_idx(roots, n - 1)) : NULL;

	return last && hex_decode(last, strlen(last), known, sizeof(known)) == 0 &&
	       keyring_root_succeeds(k, known) == 0;
}

int host_memory_check_root(const struct host_memory *m, const struct keyring *k, const struct trust *trust,
			   bool *accepted, struct fault *why)
{
	json_object *roots = m ? roots_of(m) : NULL;
	char fingerprint[2 * FINGERPRINT_SIZE + 1], shown[2 * FINGERPRINT_SIZE + 8];
	size_t n = roots ? json_object_array_length(roots) : 0;
	int at;

	*accepted = false;
	hex_encode(k->fingerprint, FINGERPRINT_SIZE, fingerprint);
	keyring_fingerprint(k, shown);
	if (trust->root && !same_fingerprint(trust->root, fingerprint))
		return fault_set(why, EXIT_REFUSED, EKEYREJECTED,
				 "the volume has the root %s, and not the one that was named; nothing was done", shown);
	if (n == 0) {
		*accepted = k->by_public_key;
		return 0;
	}
	at = root_index(roots, fingerprint);
	if (at == (int)n - 1 || (at < 0 && proved(k, roots)))
		return 0;
	*accepted = true;
	if (trust->root || (at >= 0 && trust->older))
		return 0;
	if (at >= 0)
		return fault_set(
			why, EXIT_REFUSED, ESTALE,
			"this keyring has a root that was replaced since: an older keyring was put back; put back "
			"the newer one, or give --accept-older-keyring");
	return fault_set(
		why, EXIT_REFUSED, EKEYREJECTED,
		"the volume has a foreign root, %s: somebody may have put a keyring of his own in place; put back "
		"the right one, or name this one with --expect-root if you know it",
		shown);
}

/* --- instances */

static bool is_older(const struct keyring *k, const struct host_seen *seen)
{
	bool older = k->sequence < seen->sequence || k->next_generation - 1 < seen->generation;

	/* A scope that it does not have is a floor of 0. */
	for (uint32_t scope = 0; scope < SCOPES_MAX && !older; scope++)
		older = k->floor[scope] < seen->floor[scope];
	return older;
}

static int check_instance(const struct host_memory *m, const struct keyring *k, const struct trust *trust,
			  bool *accepted, struct fault *why)
{
	struct problem p = {0};
	json_object *instances;
	struct host_seen seen;
	bool known = host_memory_seen(m, k, &seen);

	if (member_object(m->doc, "instances", &instances, &p) < 0 ||
	    (!known && json_object_object_length(instances) == 0) || (known && !is_older(k, &seen)))
		return 0;
	*accepted = true;
	if (trust->older || trust->root)
		return 0;
	if (known)
		return fault_set(why, EXIT_REFUSED, ESTALE,
				 "this keyring (change %" PRIu64
				 ") is older than the one that this host has seen (change %" PRIu64
				 "): put back the newer one; if this is a copy, run \"coffer adopt\"; or give "
				 "--accept-older-keyring",
				 k->sequence, seen.sequence);
	return fault_set(
		why, EXIT_REFUSED, ESRCH,
		"this host knows the volume, but not this copy of it: run \"coffer adopt\" to make it one of its "
		"own, or give --accept-older-keyring");
}

int host_memory_check(const struct host_memory *m, const struct keyring *k, const struct trust *trust, bool *accepted,
		      struct fault *why)
{
	int ret;

	ret = host_memory_check_root(m, k, trust, accepted, why);
	return ret < 0 ? ret : check_instance(m, k, trust, accepted, why);
}

/* --- remembering */

static int note_root(struct host_memory *m, const struct keyring *k)
{
	json_object *roots = m ? roots_of(m) : NULL;
	char fingerprint[2 * FINGERPRINT_SIZE + 1];
	int at;

	hex_encode(k->fingerprint, FINGERPRINT_SIZE, fingerprint);
	if (!roots)
		return -EBADMSG;
	at = root_index(roots, fingerprint);
	if (at >= 0) { /* those behind it are of a chain that somebody gave up */
		size_t behind = json_object_array_length(roots) - (size_t)at - 1;

		return behind && json_object_array_del_idx(roots, (size_t)at + 1, behind) < 0 ? -EINVAL : 0;
	}
	if (json_object_array_length(roots) == HOST_ROOTS_MAX)
		json_object_array_del_idx(roots, 0, 1);
	return put_element(roots, json_object_new_string(fingerprint));
}

static int put_floors(json_object *o, const struct keyring *k)
{
	json_object *floors = json_object_new_array();
	int ret = put_value(o, "floors", floors);

	for (uint32_t i = 0; ret == 0 && i < k->scope_count; i++)
		ret = put_element(floors, json_object_new_int64(k->floor[i]));
	return ret;
}

static int note_instance(struct host_memory *m, const struct keyring *k, const struct audit_link *audit)
{
	char name[2 * INSTANCE_ID_SIZE + 1];
	struct problem p = {0};
	json_object *instances, *o = json_object_new_object();
	struct host_seen before;
	int ret;

	instance_name(k, name);
	host_memory_seen(m, k, &before);
	if (!audit)
		audit = &before.audit;
	ret = member_object(m->doc, "instances", &instances, &p);
	if (ret < 0) {
		json_object_put(o);
		return ret;
	}
	ret = put_value(instances, name, o);
	if (ret == 0)
		ret = put_number(o, "sequence", k->sequence);
	if (ret == 0)
		ret = put_number(o, "generation", k->next_generation - 1);
	if (ret == 0)
		ret = put_floors(o, k);
	if (ret == 0)
		ret = put_number(o, "audit_count", audit->n);
	if (ret == 0)
		ret = put_hex(o, "audit_mac", audit->mac, SHA256_SIZE);
	return ret < 0 ? ret : put_now(o, "seen");
}

int host_memory_note(struct host_memory *m, const struct keyring *k, const struct audit_link *audit)
{
	int ret = note_root(m, k);

	return ret < 0 ? ret : note_instance(m, k, audit);
}
