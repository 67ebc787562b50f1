/* A document with a seal line, kept in two copies (docs/format-keyring.md sections 1 and 2). */
#ifndef COFFER_KEYMGR_SEALED_FILE_H
#define COFFER_KEYMGR_SEALED_FILE_H

#include "keymgr/document.h"
#include "util/base/crypto.h"
#include "util/base/fault.h"
#include "util/base/store.h"

enum { SEALED_FILE_MAX = 4 << 20 };

enum seal_kind {
	SEAL_HASH,     /* tells damage */
	SEAL_MAC_HASH, /* tells damage, and with the root key tampering */
};

/* A file as read: its text, how much of it is the document, and the MAC that the seal claims. */
struct sealed_text {
	char *text;
	size_t size, document_size;
	uint8_t mac[SHA256_SIZE];
};
void sealed_text_free(struct sealed_text *t);

/* Checks form and hash of the seal of t->text; fills the rest of *t.  -EBADMSG: damage. */
int seal_check(struct sealed_text *t, enum seal_kind kind, struct problem *p) MUST_CHECK;

/* The bytes of a file: o as text and its seal line.  mac_key (32 bytes) for SEAL_MAC_HASH. */
int seal_make(json_object *o, enum seal_kind kind, const uint8_t *mac_key, struct sealed_text *out) MUST_CHECK;

/* Looks at a text whose seal is right.  0 takes it (and what it wants out of *t), -EBADMSG says damage in *p: the second copy is tried; any
 * other error is final and reported in *why. */
typedef int (*sealed_accept)(struct sealed_text *t, void *context, struct problem *p, struct fault *why);

/* Reads `name` in dot, or its second copy where the first is damaged, and says so in the log. */
int sealed_file_read(struct store *s, int dot, const char *name, enum seal_kind kind, sealed_accept accept,
		     void *context, struct fault *why) MUST_CHECK;

/* Writes both copies, the first one first.  *first: the first copy is in place (so a failure concerns the second only). */
int sealed_file_write(struct store *s, int dot, const char *name, const struct sealed_text *t, bool *first) MUST_CHECK;

#endif
