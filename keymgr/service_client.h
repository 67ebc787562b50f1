/* A client of the key service (docs/api.md), by the helper coffer-service-client.
 *
 * Not thread-safe: a client belongs to one thread, service_client_cancel() excepted. */
#ifndef COFFER_KEYMGR_SERVICE_CLIENT_H
#define COFFER_KEYMGR_SERVICE_CLIENT_H

#include <json-c/json.h>
#include <time.h>

#include "keymgr/service_config.h"
#include "util/base/secret.h"

struct service_client;

/* What the service answered, having proved who it is and knowing who asks. */
struct service_answer {
	int status;
	char code[32], message[200]; /* of an error; else empty */
	json_object *body;           /* an object; "value" is taken out of it */
	struct secret *value;        /* that, decoded; NULL: there was none */
};
void service_answer_free(struct service_answer *a);
#define _cleanup_service_answer_ _cleanup_(service_answer_free)

/* Nothing is started yet.  The configuration is copied. */
int service_client_new(const struct service_config *config, struct service_client **out, struct fault *why) MUST_CHECK;
void service_client_free(struct service_client **c);
#define _cleanup_service_client_ _cleanup_(service_client_free)
const struct service_config *service_client_config(const struct service_client *c);
/* Ends what another thread waits for, now and from now on: it gets -ECANCELED. */
void service_client_cancel(struct service_client *c);

enum service_method {
	SERVICE_GET,
	SERVICE_POST, /* once, to one server */
	SERVICE_ASK,  /* a POST that may be sent twice */
};
/* Asks for /v1/PATH.  0: it was answered, with any status below 500.  -EHOSTUNREACH and EXIT_UNREACHABLE: nobody who is the service was reached;
 * -EINVAL: the certificate, key or address does not do. */
int service_call(struct service_client *c, enum service_method method, const char *path, json_object *body,
		 struct service_answer *out, struct fault *why) MUST_CHECK;
/* The same with bytes that are secret, in the member "value" of the body. */
int service_call_with(struct service_client *c, const char *path, json_object *body, const struct secret *value,
		      struct service_answer *out, struct fault *why) MUST_CHECK;

/* An answer that takes access away: the key is disabled or deleted, or no longer granted, or this client revoked.  Nothing else is. */
bool service_took_away(const struct service_answer *a);
/* 0 for statuses below 300, else -EACCES with what the service said. */
int service_check(const struct service_answer *a, struct fault *why) MUST_CHECK;

/* --- the client's own certificate */
enum { SERVICE_FINGERPRINT_TEXT = 64 };
struct service_identity {
	char fingerprint[SERVICE_FINGERPRINT_TEXT + 1];
	time_t ends;
	bool issued; /* by the service; else it vouches for itself */
};
int service_identity(struct service_client *c, struct service_identity *out, struct fault *why) MUST_CHECK;
/* Makes key and certificate where they are not there.  *made: it did. */
int service_make_identity(struct service_client *c, const char *name, bool *made, struct fault *why) MUST_CHECK;
/* Puts a certificate (PEM) in its place. */
int service_store_certificate(struct service_client *c, const char *pem, struct fault *why) MUST_CHECK;
/* Renews it where its end is near.  What cannot be done is said through log_warning. */
void service_renew_if_due(struct service_client *c);

#endif
