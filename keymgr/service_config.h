/* Where the key service is, and who this host is to it: addresses, the authority's certificate, the client's certificate and private key.
 *
 * A file of lines "NAME = VALUE", "#" begins a comment:
 *
 *   service = https://keys.example:8443, https://keys2.example:8443
 *   ca = service-ca.pem            (paths: absolute, or beside the file)
 *   cert = service.pem
 *   key = service.key
 *   renew-days = 30                (optional: how long before its end the certificate is renewed) */
#ifndef COFFER_KEYMGR_SERVICE_CONFIG_H
#define COFFER_KEYMGR_SERVICE_CONFIG_H

#include <stdbool.h>

#include "util/base/fault.h"

#define SERVICE_CONFIG_FILE "/etc/coffer/service.conf"
enum { SERVICE_RENEW_DAYS = 30 };

/* Servers of other kinds are found in the same way. */
struct server_kind {
	const char *who;        /* in messages */
	const char *helper;     /* the program that talks to it */
	const char *file;       /* where no other is named */
	const char *addresses;  /* their name in the file */
	const char *options[4]; /* of the command line: addresses, ca, cert, key */
	bool renews;            /* it issues certificates: renew-days may be in the file */
};
extern const struct server_kind server_key_service;

struct service_config {
	const struct server_kind *kind;
	char *urls; /* one a line */
	char *ca, *cert, *key;
	unsigned renew_days;
	bool of_host; /* somebody on this host has said so, not a keyring that nobody has vouched for yet */
};
#define SERVICE_CONFIG_NONE ((struct service_config){.kind = &server_key_service, .renew_days = SERVICE_RENEW_DAYS})
void service_config_free(struct service_config *c);
#define _cleanup_service_config_ _cleanup_(service_config_free)

/* From the file; NULL: that of its kind.  What *out has already stays.  -ENOENT, without a fault: the default file is not there. */
int service_config_read(const char *file, struct service_config *out, struct fault *why) MUST_CHECK;
/* Addresses as people write them, with commas; checked by the helper. */
int service_config_set_urls(struct service_config *c, const char *text) MUST_CHECK;
/* `path` as an absolute one, into *field. */
int service_config_set_path(char **field, const char *path, struct fault *why) MUST_CHECK;
/* Whether nothing is missing; names what is. */
int service_config_check(const struct service_config *c, struct fault *why) MUST_CHECK;
int service_config_copy(const struct service_config *from, struct service_config *out) MUST_CHECK;

#endif
