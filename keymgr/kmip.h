/* Keys in a KMIP server, on this side of the helper coffer-kmip: sealing a secret by one, opening it, its state; and unlocking by them. */
#ifndef COFFER_KEYMGR_KMIP_H
#define COFFER_KEYMGR_KMIP_H

#include "keymgr/helper/kmip_protocol.h"
#include "keymgr/helper_run.h"
#include "keymgr/helper_talk.h"
#include "keymgr/keyring.h"
#include "keymgr/service_place.h"

#define KMIP_CONFIG_FILE "/etc/coffer/kmip.conf"
/* A configuration of this kind has "servers = HOST[:PORT], ..." in the place of "service = ...". */
extern const struct server_kind server_kmip;
#define KMIP_CONFIG_NONE ((struct service_config){.kind = &server_kmip})

/* NULL if the text can be the unique identifier of a key, else what is wrong, in words. */
const char *kmip_key_check(const char *key) MUST_CHECK;

struct kmip_sealed {
	uint8_t iv[KMIP_IV_SIZE], value[KMIP_VALUE_SIZE];
};
/* plain: KMIP_PLAIN_SIZE bytes, here and below.  -EHOSTUNREACH and EXIT_UNREACHABLE: nobody who is the server was reached; -EACCES and EXIT_REFUSED: it
 * refuses. */
int kmip_seal(struct talk *t, const char *key, const void *aad, size_t aad_size, const struct secret *plain,
	      struct kmip_sealed *out, struct fault *why) MUST_CHECK;
/* Also -EKEYREJECTED, without a fault: it is by another key, or was changed. */
int kmip_open(struct talk *t, const char *key, const void *aad, size_t aad_size, const struct kmip_sealed *in,
	      struct secret *plain, struct fault *why) MUST_CHECK;

enum { KMIP_REASON_MAX = 300 };
struct kmip_state {
	bool active;
	bool taken_away; /* the server says that it is not Active, that there is no such key, or that we may not */
	char reason[KMIP_REASON_MAX]; /* of what is not active */
};
/* 0: answered by who has proved to be the server. */
int kmip_state(struct talk *t, const char *key, struct kmip_state *out, struct fault *why) MUST_CHECK;

/* --- unlocking */

/* What stands in the place of a secret. */
struct kmip_use {
	struct talk *talk;                /* NULL: as the protector says */
	char key[KMIP_KEY_MAX + 1];       /* where a new protector is made */
	struct service_config remembered; /* by the new protector; without addresses: as the talk has it */
};
/* As service_use_new. */
int kmip_use_new(const struct service_place *at, const char *key, struct kmip_use **out, struct fault *why) MUST_CHECK;
void kmip_use_free(struct kmip_use **u);
/* To make protector `id` of the keyring anew, asking as `with` does. */
int kmip_use_renew(const struct keyring *k, uint32_t id, const struct kmip_use *with, struct kmip_use **out,
		   struct fault *why) MUST_CHECK;

/* What a protector of the type kmip says (docs/format-keyring.md section 5). */
struct kmip_protector {
	char key[KMIP_KEY_MAX + 1];
	struct service_config config;
};
static inline void kmip_protector_free(struct kmip_protector *p)
{
	service_config_free(&p->config);
}
/* -ENOENT, without a fault: it is not of that type. */
int keyring_kmip(const struct keyring *k, uint32_t id, struct kmip_protector *out) MUST_CHECK;

#endif
