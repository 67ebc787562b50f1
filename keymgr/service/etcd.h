/* A client of etcd's JSON gateway (version 3), over plain HTTP to addresses of this machine: TLS is a tunnel's (docs/key-service.md).  Each call is a
 * connection; it waits.  One thread. */
#ifndef COFFER_SERVICE_ETCD_H
#define COFFER_SERVICE_ETCD_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/base/fault.h"

enum { ETCD_SERVERS_MAX = 9, ETCD_TRY_MS = 2000 };

struct etcd;
/* http://ADDR:PORT, a comma between several. */
int etcd_new(const char *urls, struct etcd **out, struct fault *why) MUST_CHECK;
void etcd_free(struct etcd **e);

/* Milliseconds that do not go back. */
int64_t etcd_now(void);

/* POSTs `body`, which is taken over, to one server after the other until one answers or the time is over.  *sure is set to false if a try may have
 * been carried out without an answer.  -EHOSTUNREACH: nobody answered; -EPROTO: it was refused, which is logged. */
int etcd_call(struct etcd *e, const char *path, json_object *body, int64_t until, json_object **out,
	      bool *sure) MUST_CHECK;

/* Bytes as the gateway writes them: base64 with padding (RFC 4648 section 4). */
json_object *etcd_bytes(const void *bytes, size_t n);
/* A new terminated buffer; -EPROTO. */
int etcd_take_bytes(json_object *o, const char *member, char **out, size_t *n) MUST_CHECK;
/* A number, which the gateway writes as a string; 0 where it is left out. */
int64_t etcd_number(json_object *o, const char *member);

#endif
