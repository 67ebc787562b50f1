/* A port to listen on (port.h). */
#include "keymgr/service/port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "util/base/number.h"

enum { BACKLOG = 256 };

void address_text(const union address *a, char out[ADDRESS_TEXT])
{
	snprintf(out, ADDRESS_TEXT, "unknown");
	if (a->any.sa_family == AF_INET)
		inet_ntop(AF_INET, &a->four.sin_addr, out, ADDRESS_TEXT);
	else if (a->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->six.sin6_addr))
		inet_ntop(AF_INET, a->six.sin6_addr.s6_addr + 12, out, ADDRESS_TEXT);
	else if (a->any.sa_family == AF_INET6)
		inet_ntop(AF_INET6, &a->six.sin6_addr, out, ADDRESS_TEXT);
}

void address_network(const union address *a, char out[ADDRESS_TEXT])
{
	union address network = *a;

	if (a->any.sa_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&a->six.sin6_addr))
		memset(network.six.sin6_addr.s6_addr + 8, 0, 8);
	address_text(&network, out);
}

static bool is_loopback(const union address *a)
{
	if (a->any.sa_family == AF_INET)
		return ntohl(a->four.sin_addr.s_addr) >> 24 == 127;
	return a->any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&a->six.sin6_addr);
}

/* Splits ADDR:PORT; brackets of an IPv6 address fall. */
static int split(const char *text, char host[ADDRESS_TEXT], char port[8])
{
	const char *colon = strrchr(text, ':');
	size_t n = colon ? (size_t)(colon - text) : 0;
	uint64_t number;

	/* getaddrinfo(3) would take a larger one modulo 2^16. */
	if (!colon || n == 0 || n >= ADDRESS_TEXT || number_parse(colon + 1, UINT16_MAX, &number) < 0)
		return -EINVAL;
	if (*text == '[' && text[n - 1] == ']')
		text++, n -= 2;
	memcpy(host, text, n);
	host[n] = '\0';
	snprintf(port, 8, "%u", (unsigned)number);
	return 0;
}

static int listen_at(const struct addrinfo *a)
{
	const int on = 1;
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	error = errno;
	close(fd);
	return -error;
}

int port_open(const char *listen_on, bool loopback, char shown[ADDRESS_TEXT], struct fault *why)
{
	const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
				       .ai_socktype = SOCK_STREAM};
	union address bound = {0};
	socklen_t size = sizeof(bound);
	char host[ADDRESS_TEXT] = "", port[8] = "";
	struct addrinfo *a;
	int fd;

	if (split(listen_on, host, port) < 0 || getaddrinfo(host, port, &hints, &a) != 0)
		return fault_set(why, EXIT_USAGE, EINVAL, "%s is not ADDRESS:PORT in numbers, such as 127.0.0.1:8443",
				 listen_on);
	if (loopback && !is_loopback((const union address *)a->ai_addr)) {
		freeaddrinfo(a);
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "%s is not an address of this machine alone, such as 127.0.0.1", listen_on);
	}
	fd = listen_at(a);
	freeaddrinfo(a);
	if (fd < 0)
		return fault_errno(why, EXIT_FAILED, fd, "cannot listen on %s", listen_on);
	if (getsockname(fd, &bound.any, &size) < 0) {
		close(fd);
		return fault_errno(why, EXIT_FAILED, -errno, "cannot listen on %s", listen_on);
	}
	if (bound.any.sa_family == AF_INET6)
		snprintf(shown, ADDRESS_TEXT, "[%.45s]:%d", host, ntohs(bound.six.sin6_port));
	else
		snprintf(shown, ADDRESS_TEXT, "%.45s:%d", host, ntohs(bound.four.sin_port));
	return fd;
}
