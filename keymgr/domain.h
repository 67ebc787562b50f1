/* Domains of the field tool: a name, under which equal values get equal tokens, pinned to a generation of the scope "fields"
 * (docs/format-keyring.md section 8, docs/format-field.md section 3). */
#ifndef COFFER_KEYMGR_DOMAIN_H
#define COFFER_KEYMGR_DOMAIN_H

#include "keymgr/keyring.h"

enum { DOMAIN_NAME_MAX = 64, DOMAINS_MAX = 256 };

struct field_domain {
	char name[DOMAIN_NAME_MAX + 1];
	uint32_t generation;
};

/* 1 to 64 of A-Z a-z 0-9 . _ - */
bool domain_name_valid(const char *name);

/* All domains of an unlocked keyring, in the order of their making; *count says how many.  -EBADMSG and EXIT_DAMAGED. */
int keyring_domains(const struct keyring *k, struct field_domain out[DOMAINS_MAX], size_t *count,
		    struct fault *why) MUST_CHECK;
/* Inside a change: pins `name` to the active generation; a new one, or with `move` one that exists. */
int keyring_domain_pin(struct keyring *k, const char *name, bool move, struct fault *why) MUST_CHECK;

#endif
