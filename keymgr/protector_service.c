/* Protectors of the key service: X is the root itself, which a key of the service has wrapped with the volume's id (docs/api.md section 4).
 *
 * 1. Whoever may use the key can make one.  So the root has to be known here, or in the memory of a service that this host names; not of one that
 *    the keyring alone names: with the keyring, somebody could have exchanged the service.
 * 2. Before a new one is relied on, it has been opened. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/helper/service_protocol.h"
#include "keymgr/internal.h"
#include "keymgr/protector.h"
#include "keymgr/protector_server.h"
#include "keymgr/service_use.h"
#include "util/base/encode.h"
#include "util/base/kdf_labels.h"

enum { ROOT_SIZE = 32 };
#define ALGORITHM "A256GCM"

/* --- the members */

static int load_wrapped(json_object *o, struct service_wrapped *out, struct problem *p)
{
	int ret = member_u32(o, "version", 1, &out->version, p);

	if (ret == 0)
		ret = member_bytes(o, "value", out->value, sizeof(out->value), p);
	if (ret == 0)
		ret = member_bytes(o, "iv", out->iv, sizeof(out->iv), p);
	return ret == 0 ? member_bytes(o, "tag", out->tag, sizeof(out->tag), p) : ret;
}

struct members {
	const char *key; /* inside the document */
	struct server_members server;
	struct service_wrapped wrapped;
};

static int load(json_object *o, struct members *out, struct problem *p)
{
	int ret = member_string(o, "key", &out->key, p);

	if (ret == 0 && (!*out->key || strlen(out->key) > SERVICE_KEY_NAME_MAX || strpbrk(out->key, "/%? ")))
		ret = problem_set(p, "\"key\" of a protector of the key service is malformed");
	if (ret == 0)
		ret = server_members_load(o, &server_key_service, &out->server, p);
	return ret == 0 ? load_wrapped(o, &out->wrapped, p) : ret;
}

static int validate(json_object *o, struct problem *p)
{
	struct members ignored;

	return load(o, &ignored, p);
}

static int put_wrapped(json_object *o, const struct service_wrapped *w)
{
	int ret = put_number(o, "version", w->version);

	if (ret == 0)
		ret = put_bytes(o, "value", w->value, sizeof(w->value));
	if (ret == 0)
		ret = put_bytes(o, "iv", w->iv, sizeof(w->iv));
	return ret == 0 ? put_bytes(o, "tag", w->tag, sizeof(w->tag)) : ret;
}

/* (1): what the host's own file names as well is named by the host. */
static void compare_with_host(struct service_config *c)
{
	_cleanup_service_config_ struct service_config host = SERVICE_CONFIG_NONE;
	struct fault ignored = {.status = EXIT_OK};

	if (service_config_read(NULL, &host, &ignored) < 0)
		return;
	c->renew_days = host.renew_days;
	c->of_host = host.urls && host.ca && strcmp(host.urls, c->urls) == 0 && strcmp(host.ca, c->ca) == 0;
}

/* --- questions */

static json_object *question(const uint8_t volume_id[VOLUME_ID_SIZE], const struct service_wrapped *w)
{
	json_object *o = json_object_new_object();
	int ret = o ? put_string(o, "alg", ALGORITHM) : -ENOMEM;

	if (ret == 0)
		ret = put_hex(o, "volume", volume_id, VOLUME_ID_SIZE);
	if (ret == 0 && w)
		ret = put_bytes(o, "value", w->value, sizeof(w->value));
	if (ret == 0 && w)
		ret = put_bytes(o, "iv", w->iv, sizeof(w->iv));
	if (ret == 0 && w)
		ret = put_bytes(o, "tag", w->tag, sizeof(w->tag));
	if (ret == 0)
		return o;
	json_object_put(o);
	return NULL;
}

static int no_memory(struct fault *why)
{
	return fault_set(why, EXIT_FAILED, ENOMEM, "no memory for the key service");
}

static int malformed(struct fault *why)
{
	return fault_set(why, EXIT_FAILED, EPROTO, "the key service answered with something else than was asked for");
}

/* What it has wrapped. */
static int take_wrapped(const struct service_answer *a, struct service_wrapped *out, struct fault *why)
{
	struct problem p = {0};

	if (!a->value || a->value->size != sizeof(out->value) ||
	    member_u32(a->body, "version", 1, &out->version, &p) < 0 ||
	    member_bytes(a->body, "iv", out->iv, sizeof(out->iv), &p) < 0 ||
	    member_bytes(a->body, "tag", out->tag, sizeof(out->tag), &p) < 0)
		return malformed(why);
	memcpy(out->value, a->value->bytes, sizeof(out->value));
	return 0;
}

static int unwrap(struct service_client *c, const char *key, const uint8_t volume_id[VOLUME_ID_SIZE],
		  const struct service_wrapped *w, struct secret **root, struct fault *why)
{
	_cleanup_json_ json_object *o = question(volume_id, w);
	_cleanup_service_answer_ struct service_answer a = {0};
	char path[SERVICE_KEY_NAME_MAX + 64];
	int ret;

	if (!o)
		return no_memory(why);
	snprintf(path, sizeof(path), "keys/%s/%" PRIu32 "/unwrapkey", key, w->version);
	ret = service_call(c, SERVICE_ASK, path, o, &a, why);
	if (ret == 0)
		ret = service_check(&a, why);
	if (ret < 0)
		return ret;
	if (!a.value || a.value->size != ROOT_SIZE)
		return malformed(why);
	*root = secret_move(&a.value);
	return 0;
}

/* --- opening */

static int open_by_service(json_object *o, const struct unlock_secret *s, const struct protected *what,
			   uint8_t prk[SHA256_SIZE], struct fault *why)
{
	_cleanup_service_client_ struct service_client *own = NULL;
	_cleanup_service_config_ struct service_config config = SERVICE_CONFIG_NONE;
	_cleanup_secret_ struct secret *root = NULL;
	struct service_client *c = s->service->client;
	struct members with;
	struct problem p = {0};
	int ret = load(o, &with, &p);

	s->service->vouched = false;
	if (ret == 0 && !c) {
		ret = server_members_config(&with.server, &server_key_service, &config);
		if (ret == 0)
			compare_with_host(&config);
		if (ret == 0)
			ret = service_client_new(&config, &own, why);
		c = own;
	}
	if (ret == 0)
		ret = unwrap(c, with.key, what->volume_id, &with.wrapped, &root, why);
	if (ret < 0 || !root)
		return ret < 0 ? ret : -EPROTO;
	s->service->vouched = service_client_config(c)->of_host;
	return kdf_extract(root->bytes, root->size, prk);
}

/* --- making */

static int wrap(struct service_client *c, const char *key, const struct protected *what, struct service_answer *a,
		struct fault *why)
{
	_cleanup_json_ json_object *o = question(what->volume_id, NULL);
	char path[SERVICE_KEY_NAME_MAX + 32];

	if (!o)
		return no_memory(why);
	snprintf(path, sizeof(path), "keys/%s/wrapkey", key);
	return service_call_with(c, path, o, what->root, a, why);
}

/* A new root of a volume that the service knows: who is an administrator accepts it. */
static int accept(struct service_client *c, const char *key, const struct protected *what, struct fault *why)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	_cleanup_service_answer_ struct service_answer a = {0};
	_cleanup_stack_key_ struct stack_key prk;
	const struct wrapping w = {prk.b, what->volume_id, NULL};
	uint8_t fingerprint[FINGERPRINT_SIZE];
	char path[SERVICE_KEY_NAME_MAX + 128], id[2 * VOLUME_ID_SIZE + 1];
	int ret = kdf_extract(what->root->bytes, what->root->size, prk.b);

	if (ret == 0)
		ret = wrapping_derive(&w, LABEL_ROOT_FINGERPRINT, fingerprint, sizeof(fingerprint));
	if (ret == 0)
		ret = o ? put_hex(o, "root", fingerprint, sizeof(fingerprint)) : -ENOMEM;
	if (ret < 0)
		return ret;
	hex_encode(what->volume_id, VOLUME_ID_SIZE, id);
	snprintf(path, sizeof(path), "keys/%s/volumes/%s/accept", key, id);
	ret = service_call(c, SERVICE_POST, path, o, &a, why);
	if (ret == 0 && a.status == 403)
		return fault_set(
			why, EXIT_REFUSED, EPERM,
			"the key service knows another root of this volume, and only an administrator may have it "
			"accept a new one: give an administrator's --service-config");
	return ret == 0 ? service_check(&a, why) : ret;
}

static int wrap_and_accept(struct service_client *c, const char *key, const struct protected *what,
			   struct service_wrapped *out, bool *accepted, struct fault *why)
{
	_cleanup_service_answer_ struct service_answer a = {0};
	int ret = wrap(c, key, what, &a, why);

	*accepted = ret == 0 && a.status == 409 && strcmp(a.code, "other_root") == 0;
	if (*accepted) {
		service_answer_free(&a);
		ret = accept(c, key, what, why);
		if (ret == 0)
			ret = wrap(c, key, what, &a, why);
	}
	if (ret == 0)
		ret = service_check(&a, why);
	return ret == 0 ? take_wrapped(&a, out, why) : ret;
}

/* (2).  Not of a root that was just accepted: with the first unwrapping the service forgets the one before it, which is still in use. */
static int try_out(struct service_client *c, const char *key, const struct protected *what,
		   const struct service_wrapped *w, struct fault *why)
{
	_cleanup_secret_ struct secret *root = NULL;
	int ret = unwrap(c, key, what->volume_id, w, &root, why);

	if (ret == 0 && (!root || !crypto_equal(root->bytes, what->root->bytes, ROOT_SIZE)))
		ret = fault_set(why, EXIT_FAILED, EPROTO, "the key service gave back another root than it was given");
	return ret;
}

static int make(json_object *o, const struct unlock_secret *s, const struct protected *what, uint8_t prk[SHA256_SIZE],
		struct fault *why)
{
	struct service_client *c = s->service->client;
	const struct service_config *remembered = &s->service->remembered;
	struct service_wrapped w;
	bool accepted;
	int ret = c && *s->service->key ? 0 : -EINVAL;

	if (ret == 0 && !remembered->urls)
		remembered = service_client_config(c);
	if (ret == 0)
		ret = server_paths_check(remembered, why);

	if (ret == 0)
		ret = wrap_and_accept(c, s->service->key, what, &w, &accepted, why);
	if (ret == 0 && !accepted)
		ret = try_out(c, s->service->key, what, &w, why);
	if (ret == 0)
		ret = put_string(o, "key", s->service->key);
	if (ret == 0)
		ret = server_members_put(o, remembered);
	if (ret == 0)
		ret = put_wrapped(o, &w);
	return ret == 0 ? kdf_extract(what->root->bytes, what->root->size, prk) : ret;
}

static void describe(json_object *o, char *out, size_t n)
{
	struct members with;
	struct problem ignored = {0};

	out[0] = '\0';
	if (load(o, &with, &ignored) == 0)
		snprintf(out, n, "%s, version %" PRIu32, with.key, with.wrapped.version);
}

const struct protector_type protector_service = {
	.name = "key-service",
	.kind = SECRET_SERVICE,
	.made_of = SECRET_SERVICE,
	.anyone_makes = true,
	.validate = validate,
	.make = make,
	.open = open_by_service,
	.describe = describe,
};

/* --- in a keyring */

static const struct protector *find(const struct keyring *k, uint32_t id)
{
	for (uint32_t i = 0; i < k->protector_count; i++)
		if (k->protectors[i].id == id && k->protectors[i].handler == &protector_service)
			return &k->protectors[i];
	return NULL;
}

int keyring_service(const struct keyring *k, uint32_t id, struct service_protector *out)
{
	const struct protector *found = find(k, id);
	struct members with;
	struct problem ignored = {0};
	int ret = found ? load(found->json, &with, &ignored) : -ENOENT;

	*out = (struct service_protector){.config = SERVICE_CONFIG_NONE};
	if (ret < 0)
		return ret;
	memcpy(out->key, with.key, strlen(with.key) + 1);
	out->wrapped = with.wrapped;
	ret = server_members_config(&with.server, &server_key_service, &out->config);
	if (ret < 0)
		service_protector_free(out);
	else
		compare_with_host(&out->config);
	return ret;
}

int service_rewrap(struct service_client *c, const char *key, const uint8_t volume_id[VOLUME_ID_SIZE],
		   const struct service_wrapped *old, struct service_wrapped *new, struct fault *why)
{
	_cleanup_json_ json_object *o = question(volume_id, old);
	_cleanup_service_answer_ struct service_answer a = {0};
	char path[SERVICE_KEY_NAME_MAX + 32];
	int ret;

	if (!o || put_number(o, "version", old->version) < 0)
		return no_memory(why);
	snprintf(path, sizeof(path), "keys/%s/rewrap", key);
	ret = service_call(c, SERVICE_ASK, path, o, &a, why);
	if (ret == 0)
		ret = service_check(&a, why);
	return ret == 0 ? take_wrapped(&a, new, why) : ret;
}

static int note(struct keyring *k, uint32_t id, uint32_t version)
{
	json_object *o;
	int ret = keyring_note(k, "protector-rewrapped", &o);

	if (ret == 0)
		ret = put_number(o, "protector", id);
	if (ret == 0)
		ret = put_string(o, "type", protector_service.name);
	return ret == 0 ? put_number(o, "version", version) : ret;
}

int keyring_put_rewrapped(struct keyring *k, uint32_t id, uint32_t older, const struct service_wrapped *new,
			  struct fault *why)
{
	const struct protector *found = find(k, id);
	struct service_wrapped now;
	struct problem p = {0};
	int ret = found ? load_wrapped(found->json, &now, &p) : -EALREADY;

	if (ret == 0 && now.version != older)
		ret = -EALREADY;
	if (ret == 0)
		ret = put_wrapped(found->json, new);
	if (ret == 0)
		ret = note(k, id, new->version);
	return ret < 0 && ret != -EALREADY ? fault_errno(why, EXIT_FAILED, ret, "cannot keep what was wrapped again")
					   : ret;
}
