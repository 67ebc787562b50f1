/* A port to listen on, given as ADDR:PORT in numbers. */
#ifndef COFFER_SERVICE_PORT_H
#define COFFER_SERVICE_PORT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "util/base/fault.h"

enum { ADDRESS_TEXT = 64 };

union address {
	struct sockaddr any;
	struct sockaddr_in four;
	struct sockaddr_in6 six;
};

/* The address without its port; one that came over IPv6 but is IPv4 in its short form, so that it counts as one. */
void address_text(const union address *a, char out[ADDRESS_TEXT]);

/* What counts as one address where connections are counted: of IPv6 the first 64 bits, since a host has all that are below them. */
void address_network(const union address *a, char out[ADDRESS_TEXT]);

/* A listening, non-blocking socket.  IPv6 in brackets; port 0: any.  `loopback`: it has to be an address of this machine alone.  shown: what
 * was bound. */
int port_open(const char *listen_on, bool loopback, char shown[ADDRESS_TEXT], struct fault *why) MUST_CHECK;

#endif
