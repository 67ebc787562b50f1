/* The inside of libcoffer-field.  Only library*.c include this.
 *
 *   (1) In a column the source of a value is the value.
 *   (2) What is handed out begins behind its size, so that coffer_field_free can wipe it. */
#ifndef COFFER_FIELD_LIBRARY_H
#define COFFER_FIELD_LIBRARY_H

#include <coffer/field.h>
#include <pthread.h>

#include "util/field/mount.h"
#include "util/field/token.h"

#define PUBLIC __attribute__((visibility("default")))

struct coffer_field_keyring {
	pthread_mutex_t lock; /* protects box */
	struct token_box *box;
};

/* A copy with a zero byte behind, for coffer_field_free.  NULL: no memory. */
void *hand_out(const void *bytes, size_t n) MUST_CHECK;

enum { BATCH = 256 };

/* What is sealed or opened under the lock at once. */
struct batch {
	struct token_binding to; /* its place is the items' */
	size_t room, count;
	struct token_item items[];
};
/* For so many, but BATCH at most. */
struct batch *batch_new(size_t count) MUST_CHECK;
void batch_free(struct batch **b);
/* Adds a value or a token, which stays the caller's.  -EINVAL: no place. */
int batch_add(struct batch *b, const struct coffer_field_place *place, const char *record, const char *bytes,
	      size_t n) MUST_CHECK;
/* Stop at the first that fails; *done says how many came before it. */
int seal_batch(struct coffer_field_keyring *k, const struct token_how *how, struct batch *b, size_t *done) MUST_CHECK;
int open_batch(struct coffer_field_keyring *k, struct batch *b, size_t *done, bool *masked) MUST_CHECK;

#endif
