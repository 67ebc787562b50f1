/* The inside of coffer-service-client; its files and its TLS are coffer-kmip's too. */
#ifndef COFFER_KEYMGR_HELPER_SERVICE_H
#define COFFER_KEYMGR_HELPER_SERVICE_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "keymgr/helper/service_protocol.h"
#include "util/base/cleanup.h"

enum { SERVICE_HOST_MAX = 255, SERVICE_WHY_MAX = 400 };

struct service_url {
	char text[SERVICE_HOST_MAX + 32]; /* as it was given */
	char host[SERVICE_HOST_MAX + 1], port[6];
};

struct service_setup {
	struct service_url urls[SERVICE_URLS_MAX];
	size_t count, next; /* next: which is tried first: the one that answered last */
	char ca[SERVICE_PATH_MAX], cert[SERVICE_PATH_MAX], key[SERVICE_PATH_MAX];
};

/* Why something failed, as a line; the first report stays. */
struct reason {
	char text[SERVICE_WHY_MAX];
};
void reason_line(struct reason *r, const char *format, ...) PRINTF_LIKE(2, 3);
/* Notes it, with OpenSSL's last reason behind it if there is one, and is -`error`. */
#define reason_set(r, error, ...) (reason_line(r, __VA_ARGS__), -(error))

/* --- service_setup.c */
/* Addresses, one a line: SCHEME HOST[:PORT], HOST also an address, of IPv6 in brackets. */
struct url_form {
	const char *scheme; /* "" for none */
	int port;           /* where none is given */
	const char *whose, *example;
};
int service_parse_urls(char *text, const struct url_form *form, struct service_setup *out,
		       struct reason *why) MUST_CHECK;

/* --- service_files.c.  -EINVAL: the file does not do. */
int service_load_trust(const char *path, SSL_CTX *c, struct reason *why) MUST_CHECK;
int service_load_identity(const struct service_setup *s, X509 **cert, EVP_PKEY **key, struct reason *why) MUST_CHECK;
int service_load_certificate(const char *path, X509 **out, struct reason *why) MUST_CHECK;
int service_load_key(const char *path, EVP_PKEY **out, struct reason *why) MUST_CHECK;

/* --- service_identity.c */
int service_about(const struct service_setup *s, char *text, size_t n, struct reason *why) MUST_CHECK;
int service_make(const struct service_setup *s, const char *name, char *text, size_t n, struct reason *why) MUST_CHECK;
int service_store(const struct service_setup *s, const uint8_t *pem, size_t n, struct reason *why) MUST_CHECK;

/* --- service_tls.c */
struct service_connection {
	SSL_CTX *context;
	SSL *ssl;
	int fd;
	bool asked; /* the server wanted our certificate */
};
#define SERVICE_CONNECTION_NONE ((struct service_connection){.fd = -1})
/* -EINVAL: files; else -EHOSTUNREACH. */
int service_connect(const struct service_setup *s, const struct service_url *to, struct service_connection *c,
		    struct reason *why) MUST_CHECK;
void service_disconnect(struct service_connection *c);
/* Whether it can still be used: open, and silent. */
bool service_connected(const struct service_connection *c);
int64_t monotonic_ms(void);
/* All of it, or -EHOSTUNREACH. */
int service_send(struct service_connection *c, const void *bytes, size_t n, int64_t until,
		 struct reason *why) MUST_CHECK;
/* At least one byte; 0 at a proper end. */
int service_receive(struct service_connection *c, void *bytes, size_t n, int64_t until, struct reason *why) MUST_CHECK;

/* --- service_http.c */
struct service_reply {
	int status;
	uint8_t *body; /* in locked memory while it is small; service_reply_free */
	size_t size;
	struct secret *locked;
	bool last; /* the server closes behind it */
};
void service_reply_free(struct service_reply *r);
/* *sent: the server may have done it. */
int service_ask(struct service_connection *c, const struct service_url *to, const char *method, const char *path,
		const uint8_t *body, size_t n, struct service_reply *out, bool *sent, struct reason *why) MUST_CHECK;

#endif
