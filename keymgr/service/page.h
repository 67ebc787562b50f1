/* The administrator's page: static files, compiled in.  All that they show comes through the API (api.h). */
#ifndef COFFER_SERVICE_PAGE_H
#define COFFER_SERVICE_PAGE_H

#include "keymgr/service/http.h"

struct page_file {
	const char *path, *type;
	const unsigned char *bytes;
	size_t size;
};
/* NULL: the page has no such file. */
const struct page_file *page_find(struct http_text path);

/* What every answer of the service has in its head: a browser must not load anything from elsewhere, run what stands in a text, keep a
 * copy, or show it inside another page. */
#define PAGE_POLICY                                                                                                    \
	"Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "       \
	"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"                               \
	"Referrer-Policy: no-referrer\r\nX-Frame-Options: DENY\r\nCross-Origin-Opener-Policy: same-origin\r\n"         \
	"Cross-Origin-Resource-Policy: same-origin\r\n"

#endif
