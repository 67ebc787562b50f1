/* Where the key service, or a server of another kind, is and who asks it, as somebody on this host says: in words of the command line, in a file, or
 * in both. */
#ifndef COFFER_KEYMGR_SERVICE_PLACE_H
#define COFFER_KEYMGR_SERVICE_PLACE_H

#include "keymgr/service_config.h"

/* Borrowed; NULL: not said. */
struct service_place {
	const char *file; /* of service_config.h */
	const char *urls, *ca, *cert, *key;
};
static inline bool service_place_given(const struct service_place *p)
{
	return p->file || p->urls || p->ca || p->cert || p->key;
}

/* The words count more than the file.  What neither says is read from its kind's file, if no other is named.  -ENOENT, without a fault: that
 * is not there, though something is wanted from it; *out then has what was said. */
int service_place_read(const struct service_place *p, struct service_config *out, struct fault *why) MUST_CHECK;

#endif
