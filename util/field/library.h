/* The inside of libcoffer-field.  Only library*.c include this.
 *
 *   (1) In a column the source of a value is the value.
 *   (2) What is handed out begins behind its size, so that coffer_field_free can wipe it. */
#ifndef COFFER_FIELD_LIBRARY_H
#define COFFER_FIELD_LIBRARY_H

#include <coffer/field.h>
#include <pthread.h>

#include "util/field/token.h"

#define PUBLIC __attribute__((visibility("default")))

struct coffer_field_keyring {
	pthread_mutex_t lock; /* protects box */
	struct token_box *box;
};

/* A copy with a zero byte behind, for coffer_field_free.  NULL: no memory. */
void *hand_out(const void *bytes, size_t n) MUST_CHECK;

#endif
