/* What protectors that a server opens say of it: addresses, and the paths of its authority's certificate, of the client's certificate and of its private
 * key.  All of it comes out of a keyring that nobody has vouched for yet: it says whom to ask, and nothing more. */
#ifndef COFFER_KEYMGR_PROTECTOR_SERVER_H
#define COFFER_KEYMGR_PROTECTOR_SERVER_H

#include "keymgr/document.h"
#include "keymgr/service_config.h"

struct server_members {
	const char *addresses, *ca, *cert, *private_key; /* inside the document; addresses with commas */
};
/* The addresses are under the name that they have in the configuration of the kind. */
int server_members_load(json_object *o, const struct server_kind *kind, struct server_members *out,
			struct problem *p) MUST_CHECK;
int server_members_put(json_object *o, const struct service_config *c) MUST_CHECK;
/* As a configuration of that kind. */
int server_members_config(const struct server_members *m, const struct server_kind *kind,
			  struct service_config *out) MUST_CHECK;

/* Whether the paths are such as a keyring can remember. */
int server_paths_check(const struct service_config *c, struct fault *why) MUST_CHECK;

#endif
