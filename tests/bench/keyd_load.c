/* Load on an HTTPS server, for tests/bench/keyd: keyd_load PORT CA CERT KEY new|kept CONNECTIONS SECONDS PATH BODY
 *
 * "kept": CONNECTIONS of them, each with one request under way.  "new": for each request a connection and a handshake, one after the other.
 * Prints requests and seconds.  Anything but status 200 ends it. */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static SSL_CTX *tls;
static int port;
static char request[4096];
static size_t request_size;

static void die(const char *what)
{
	fprintf(stderr, "keyd_load: %s: ", what);
	ERR_print_errors_fp(stderr);
	fputc('\n', stderr);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static SSL *dial(void)
{
	const struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct linger at_once = {.l_onoff = 1};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	SSL *ssl = SSL_new(tls);

	/* Closed by a reset: tens of thousands would wait for their ports otherwise. */
	if (fd < 0 || !ssl || setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) < 0 ||
	    connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0 || !SSL_set_fd(ssl, fd) ||
	    !SSL_set_tlsext_host_name(ssl, "localhost") || SSL_connect(ssl) != 1)
		die("cannot connect");
	return ssl;
}

static void hang_up(SSL *ssl)
{
	int fd = SSL_get_fd(ssl);

	SSL_free(ssl);
	close(fd);
}

static void ask(SSL *ssl)
{
	if (SSL_write(ssl, request, (int)request_size) != (int)request_size)
		die("cannot write");
}

static void hear(SSL *ssl)
{
	char in[16 << 10];
	size_t used = 0, whole = 0;

	while (!whole || used < whole) {
		int n = SSL_read(ssl, in + used, (int)(sizeof(in) - 1 - used));
		const char *end, *length;

		if (n <= 0)
			die("cannot read");
		used += (size_t)n;
		in[used] = '\0';
		end = strstr(in, "\r\n\r\n");
		length = strcasestr(in, "\r\nContent-Length:");
		if (!whole && end && length && length < end)
			whole = (size_t)(end + 4 - in) + strtoul(length + 17, NULL, 10);
	}
	if (strncmp(in, "HTTP/1.1 200 ", 13) != 0) {
		fprintf(stderr, "%s\n", in);
		die("it was refused");
	}
}

static unsigned long kept(int connections, double seconds)
{
	SSL **all = calloc((size_t)connections, sizeof(SSL *));
	double end;
	unsigned long n = 0;

	for (int i = 0; i < connections; i++)
		all[i] = dial();
	for (int i = 0; i < connections; i++)
		ask(all[i]);
	end = now() + seconds;
	while (now() < end)
		for (int i = 0; i < connections; i++, n++) {
			hear(all[i]);
			ask(all[i]);
		}
	for (int i = 0; i < connections; i++) {
		hear(all[i]);
		hang_up(all[i]);
	}
	free(all);
	return n + (unsigned long)connections;
}

static unsigned long fresh(double seconds)
{
	const double end = now() + seconds;
	unsigned long n = 0;

	for (; now() < end; n++) {
		SSL *ssl = dial();

		ask(ssl);
		hear(ssl);
		hang_up(ssl);
	}
	return n;
}

int main(int argc, char **argv)
{
	unsigned long n;
	double begin;

	if (argc != 10)
		return 2;
	port = atoi(argv[1]);
	tls = SSL_CTX_new(TLS_client_method());
	if (!tls || !SSL_CTX_set_max_proto_version(tls, TLS1_2_VERSION) ||
	    SSL_CTX_load_verify_locations(tls, argv[2], NULL) != 1 ||
	    SSL_CTX_use_certificate_chain_file(tls, argv[3]) != 1 ||
	    SSL_CTX_use_PrivateKey_file(tls, argv[4], SSL_FILETYPE_PEM) != 1)
		die("cannot prepare");
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	request_size = (size_t)snprintf(request, sizeof(request),
					"POST %s HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: application/json\r\n"
					"Content-Length: %zu\r\n\r\n%s",
					argv[8], port, strlen(argv[9]), argv[9]);
	begin = now();
	n = strcmp(argv[5], "new") == 0 ? fresh(atof(argv[7])) : kept(atoi(argv[6]), atof(argv[7]));
	printf("%lu %.3f\n", n, now() - begin);
	SSL_CTX_free(tls);
	return 0;
}
