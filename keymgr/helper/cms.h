/* CMS by OpenSSL, inside coffer-cms. */
#ifndef COFFER_KEYMGR_HELPER_CMS_H
#define COFFER_KEYMGR_HELPER_CMS_H

#include <stddef.h>
#include <stdint.h>

#include "keymgr/helper/frames.h"
#include "keymgr/helper/protocol.h"
#include "util/base/cleanup.h"

/* One line on standard error, with OpenSSL's last reason behind it if there is one. */
void say_line(const char *format, ...) PRINTF_LIKE(1, 2);
/* Says it and is `status`; a macro, so that compilers see which. */
#define say(status, ...) (say_line(__VA_ARGS__), (status))

/* HELPER_TOO_OLD for an OpenSSL that is known to hand out what it has not verified. */
enum helper_status openssl_check(void) MUST_CHECK;

/* Both fill a buffer that the caller has; *n: its size, then what is in it. */
enum helper_status certificate_encrypt(struct span certificate, struct span plain, char words[HELPER_WORDS_MAX],
				       uint8_t *out, size_t *n) MUST_CHECK;
enum helper_status key_decrypt(struct span key, struct span passphrase, struct span cms, uint8_t *out,
			       size_t *n) MUST_CHECK;

#endif
