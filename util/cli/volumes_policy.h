/* The key service's policy for volumes (keymgr/managed_policy.h), as it is given and shown. */
#ifndef COFFER_CLI_VOLUMES_POLICY_H
#define COFFER_CLI_VOLUMES_POLICY_H

#include <json-c/json.h>

#include "keymgr/managed_policy.h"
#include "util/cli/options.h"

struct volumes_policy {
	const char *every, *after, *keep; /* as given; NULL: not */
	struct managed_policy wanted;     /* of what is given; 0: off */
};
#define OPTIONS_VOLUMES_POLICY(v)                                                                                      \
	{OPTION_TEXT, 0, 0, "volumes-rotate-every", &(v)->every},                                                      \
		{OPTION_TEXT, 0, 0, "volumes-rotate-after", &(v)->after},                                              \
	{                                                                                                              \
		OPTION_TEXT, 0, 0, "volumes-keep", &(v)->keep                                                          \
	}

static inline bool volumes_policy_given(const struct volumes_policy *v)
{
	return v->every || v->after || v->keep;
}
/* Fills `wanted`; -EINVAL and EXIT_USAGE. */
int volumes_policy_parse(struct volumes_policy *v, struct fault *why) MUST_CHECK;
/* What is given, into the body of a `config`. */
void volumes_policy_put(const struct volumes_policy *v, json_object *body);

enum { POLICY_TEXT = 128 };
/* "rotate every 30 days or 1.0 TiB, keep 2 generations" */
const char *managed_policy_text(const struct managed_policy *p, char out[POLICY_TEXT]);

#endif
