/* The row that says under which generation a store is (rekey.h).
 *
 * 1. It is believed because its MAC is under the generation that it names, and that only the keyring gives.  Taken away or put back as it was, it names
 *    one below the keyring's floor.
 * 2. When the whole store is checked it is a row like the others. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/service/ledger_internal.h"
#include "keymgr/service/rekey.h"

static int wrap(const struct stack_key *kek, json_object *o, const char *member, const struct secret *key)
{
	uint8_t wrapped[WRAPPED_SIZE];
	int ret = key_wrap(kek->b, key->bytes, key->size, wrapped);

	return ret == 0 ? put_bytes(o, member, wrapped, sizeof(wrapped)) : ret;
}

static int unwrap(const struct stack_key *kek, json_object *o, const char *member, struct secret **out)
{
	uint8_t wrapped[WRAPPED_SIZE];
	struct problem p = {0};
	int ret = member_bytes(o, member, wrapped, sizeof(wrapped), &p);

	*out = ret == 0 ? secret_new(SHA256_SIZE) : NULL;
	if (ret == 0)
		ret = *out ? key_unwrap(kek->b, wrapped, sizeof(wrapped), (*out)->bytes) : -ENOMEM;
	return ret;
}

/* --- reading */

/* Those of earlier generations come before the newest one. */
static int take_segments(struct service_keys *k, const struct stack_key *kek, json_object *segments)
{
	struct secret *newest = secret_move(&k->audit.key[0]);
	size_t n = json_object_array_length(segments), i = 0;
	uint64_t last = 0;
	int ret = 0;

	for (; ret == 0 && i < n; i++) {
		struct problem p = {0};
		json_object *o;

		k->audit.first[i] = last + 1;
		k->audit.count = (uint32_t)i + 1;
		ret = element_object(segments, i, &o, &p);
		if (ret == 0)
			ret = unwrap(kek, o, "audit", &k->audit.key[i]);
		if (ret == 0)
			ret = member_number(o, "last", last + 1, DOCUMENT_NUMBER_MAX, &last, &p);
	}
	k->audit.first[i] = last + 1;
	k->audit.key[i] = newest;
	k->audit.count = (uint32_t)i + 1;
	return ret;
}

static int take(struct service_keys *k, json_object *row)
{
	_cleanup_stack_key_ struct stack_key kek;
	struct problem p = {0};
	json_object *segments;
	int ret = service_older_key(k, &kek);

	if (ret == 0)
		ret = member_u32(row, "before", 1, &k->before.generation, &p);
	if (ret == 0)
		ret = member_number(row, "end", 1, DOCUMENT_NUMBER_MAX, &k->before.end, &p);
	if (ret == 0)
		ret = unwrap(&kek, row, "anchor", &k->before.anchor);
	if (ret == 0)
		ret = member_array(row, "segments", 1, AUDIT_SEGMENTS_MAX - 1, &segments, &p);
	return ret == 0 ? take_segments(k, &kek, segments) : ret;
}

static int not_there(uint32_t generation, int error, struct fault *why)
{
	if (error == -EBADMSG)
		return fault_set(
			why, EXIT_DAMAGED, EBADMSG,
			"the store is under generation %" PRIu32
			" of the keyring, which this keyring does not have or accept: one of the two was put back, or "
			"the keyring was not copied here after a rekeying",
			generation);
	if (error == -ENOKEY)
		return fault_set(why, EXIT_REFUSED, ENOKEY,
				 "the store is under generation %" PRIu32 " of the keyring, which is suspended",
				 generation);
	return fault_errno(why, EXIT_FAILED, error, "cannot derive the keys of the service");
}

static int settle_by(struct service_keys *k, const struct row *r, struct fault *why)
{
	_cleanup_json_ json_object *o = NULL;
	uint8_t mac[SHA256_SIZE];
	struct problem p = {0};
	uint32_t generation = 0;
	int ret = document_parse(r->body, r->size, &o, &p);

	if (ret == 0)
		ret = member_u32(o, "generation", SERVICE_FIRST_GENERATION + 1, &generation, &p);
	if (ret == 0) {
		ret = service_keys_at(k, generation);
		if (ret < 0)
			return not_there(generation, ret, why);
	}
	if (ret == 0)
		ret = ledger_row_mac(k, r, mac);
	if (ret == 0 && !crypto_equal(mac, r->mac, sizeof(mac))) /* (1) */
		ret = -EBADMSG;
	if (ret == 0)
		ret = take(k, o);
	if (ret == -EBADMSG)
		return fault_set(why, EXIT_DAMAGED, EBADMSG,
				 "row " ROW_REKEY
				 " of the store was damaged or changed by somebody else; put back a backup");
	return ret < 0 ? fault_errno(why, EXIT_STORE, ret, "cannot read the store") : 0;
}

int service_keys_settle(struct service_keys *k, struct backend *b, struct fault *why)
{
	struct row r = {0};
	int ret = b->ops->get(b, ROW_REKEY, &r);

	b->ops->rest(b);
	if (ret == -ENOENT) {
		ret = service_keys_at(k, SERVICE_FIRST_GENERATION);
		return ret < 0 ? not_there(SERVICE_FIRST_GENERATION, ret, why) : 0;
	}
	if (ret < 0)
		return fault_errno(why, ret == -EBADMSG ? EXIT_DAMAGED : EXIT_STORE, ret, "cannot read the store");
	ret = settle_by(k, &r, why);
	free(r.body);
	return ret;
}

/* --- making */

static int put_segment(json_object *array, const struct stack_key *kek, uint64_t last, const struct secret *key)
{
	json_object *o = json_object_new_object();
	int ret = put_element(array, o);

	if (ret == 0)
		ret = put_number(o, "last", last);
	return ret == 0 ? wrap(kek, o, "audit", key) : ret;
}

static int fill(json_object *row, const struct service_keys *k, const struct service_keys *next, uint64_t last,
		uint64_t end)
{
	_cleanup_stack_key_ struct stack_key kek;
	json_object *segments = json_object_new_array();
	int ret = put_value(row, "segments", segments);

	if (ret == 0)
		ret = service_older_key(next, &kek);
	if (ret == 0)
		ret = put_number(row, "generation", next->generation);
	if (ret == 0)
		ret = put_now(row, "at");
	if (ret == 0)
		ret = put_number(row, "before", k->generation);
	if (ret == 0)
		ret = put_number(row, "end", end);
	if (ret == 0)
		ret = wrap(&kek, row, "anchor", k->anchor);
	for (uint32_t i = 0; ret == 0 && i < k->audit.count; i++)
		ret = put_segment(segments, &kek, i + 1 < k->audit.count ? k->audit.first[i + 1] - 1 : last,
				  k->audit.key[i]);
	return ret;
}

/* It is read back, as from the store. */
int service_keys_next(const struct service_keys *k, struct keys *keys, uint32_t generation, uint64_t last, uint64_t end,
		      struct service_keys *out, json_object **row)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	int ret = o ? 0 : -ENOMEM;

	*row = NULL;
	*out = (struct service_keys){.keys = keys};
	if (ret == 0)
		ret = service_keys_at(out, generation);
	if (ret == 0)
		ret = fill(o, k, out, last, end);
	if (ret == 0)
		ret = take(out, o);
	if (ret < 0) {
		service_keys_free(out);
		return ret;
	}
	*row = o;
	o = NULL;
	return 0;
}
