/* The key service in the place of a secret, and what a protector of the type key-service says (docs/format-keyring.md section 5). */
#ifndef COFFER_KEYMGR_SERVICE_USE_H
#define COFFER_KEYMGR_SERVICE_USE_H

#include "keymgr/keyring.h"
#include "keymgr/service_client.h"
#include "keymgr/service_place.h"

enum { SERVICE_KEY_NAME_MAX = 63, SERVICE_IV_SIZE = 12, SERVICE_TAG_SIZE = 16, SERVICE_WRAPPED_SIZE = 32 };

/* What stands in the place of a secret. */
struct service_use {
	struct service_client *client;      /* NULL: as the protector says */
	char key[SERVICE_KEY_NAME_MAX + 1]; /* where a new protector is made */
	struct service_config remembered;   /* by the new protector; without addresses: as the client has it */
	bool vouched; /* out: a service that this host names has the root of this volume in its memory */
};
/* At the place that is said; where none is but a key, by SERVICE_CONFIG_FILE; where neither is (or `at` is NULL), the protector says it. */
int service_use_new(const struct service_place *at, const char *key, struct service_use **out,
		    struct fault *why) MUST_CHECK;
void service_use_free(struct service_use **u);
/* To make protector `id` of the keyring anew, asking as `with` does. */
int service_use_renew(const struct keyring *k, uint32_t id, const struct service_use *with, struct service_use **out,
		      struct fault *why) MUST_CHECK;

/* A root, wrapped by a version of a key, with the volume's id as associated data. */
struct service_wrapped {
	uint32_t version;
	uint8_t value[SERVICE_WRAPPED_SIZE], iv[SERVICE_IV_SIZE], tag[SERVICE_TAG_SIZE];
};
struct service_protector {
	char key[SERVICE_KEY_NAME_MAX + 1];
	struct service_config config;
	struct service_wrapped wrapped;
};
static inline void service_protector_free(struct service_protector *p)
{
	service_config_free(&p->config);
}

/* What protector `id` says; -ENOENT, without a fault: it is not of that type. */
int keyring_service(const struct keyring *k, uint32_t id, struct service_protector *out) MUST_CHECK;

/* Has the service wrap it by the newest version of its key. */
int service_rewrap(struct service_client *c, const char *key, const uint8_t volume_id[VOLUME_ID_SIZE],
		   const struct service_wrapped *old, struct service_wrapped *new, struct fault *why) MUST_CHECK;
/* Puts that into protector `id`, if its version is the older one still; inside a change.  -EALREADY: it is not. */
int keyring_put_rewrapped(struct keyring *k, uint32_t id, uint32_t older, const struct service_wrapped *new,
			  struct fault *why) MUST_CHECK;

#endif
