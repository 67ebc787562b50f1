/* What a change of the keyring is recorded as, and where the audit log stands (docs/format-keyring.md section 4, format-audit.md). */
#include <errno.h>

#include "keymgr/internal.h"

int keyring_note(struct keyring *k, const char *event, json_object **out)
{
	int ret;

	if (!k->notes)
		k->notes = json_object_new_array();
	if (!k->notes)
		return -ENOMEM;
	ret = audit_event(event, out);
	if (ret == 0)
		ret = put_element(k->notes, *out);
	return ret;
}

static int segments_load(struct keyring *k, json_object *audit, struct problem *p)
{
	json_object *array, *o;
	uint64_t before = 0;
	int ret;

	k->old_audit_count = 0;
	if (!json_object_object_get_ex(audit, "older", NULL))
		return 0;
	ret = member_array(audit, "older", 0, AUDIT_SEGMENTS_MAX - 1, &array, p);
	for (uint32_t i = 0; ret == 0 && i < json_object_array_length(array); i++) {
		ret = element_object(array, i, &o, p);
		if (ret == 0)
			ret = member_number(o, "last", before, DOCUMENT_NUMBER_MAX, &k->old_audit[i].last, p);
		if (ret == 0)
			ret = member_bytes(o, "wrapped", k->old_audit[i].wrapped, WRAPPED_SIZE, p);
		before = k->old_audit[i].last;
		k->old_audit_count = i + 1;
	}
	return ret;
}

int audit_anchor_load(struct keyring *k, struct problem *p)
{
	json_object *o;
	int ret;

	k->audit = (struct audit_link){0};
	k->old_audit_count = 0;
	if (!json_object_object_get_ex(k->doc, "audit", NULL))
		return 0;
	ret = member_object(k->doc, "audit", &o, p);
	if (ret == 0)
		ret = member_number(o, "count", 0, DOCUMENT_NUMBER_MAX, &k->audit.n, p);
	if (ret == 0)
		ret = member_hex(o, "mac", k->audit.mac, SHA256_SIZE, p);
	return ret < 0 ? ret : segments_load(k, o, p);
}

static int put_anchor(struct keyring *k)
{
	json_object *o;
	int ret = 0;

	if (!json_object_object_get_ex(k->doc, "audit", &o)) {
		o = json_object_new_object();
		ret = put_value(k->doc, "audit", o);
	}
	if (ret == 0)
		ret = put_number(o, "count", k->audit.n);
	return ret < 0 ? ret : put_hex(o, "mac", k->audit.mac, SHA256_SIZE);
}

int keyring_record(struct store *s, int dot, struct keyring *k, struct fault *why)
{
	json_object *event;
	int ret = k->notes ? 0 : keyring_note(k, "keyring-written", &event);

	if (ret == 0)
		ret = audit_append(s, dot, k, NULL, k->notes, &k->audit, why);
	if (ret == 0)
		ret = put_anchor(k);
	json_object_put(k->notes);
	k->notes = NULL;
	return ret < 0 ? fault_errno(why, EXIT_STORE, ret, "cannot record the change") : 0;
}
