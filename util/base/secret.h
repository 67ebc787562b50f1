/* Secret bytes: locked in memory, left out of core dumps, wiped when freed.
 *
 * A secret has one owner.  It is handed on by moving the pointer (secret_move), never by copying its bytes.  All secrets live
 * in one arena made by secret_start(): pages are locked, DONTDUMP and WIPEONFORK; memfd_secret where the kernel has it.
 * Thread-safe, except secret_start and secret_stop. */
#ifndef COFFER_BASE_SECRET_H
#define COFFER_BASE_SECRET_H

#include <stddef.h>
#include <stdint.h>

#include "util/base/cleanup.h"

struct secret {
	size_t size;    /* bytes in use */
	uint8_t *bytes; /* inside the arena */
};

/* Makes the arena (`size` bytes, rounded up to pages), sets RLIMIT_CORE to 0 and PR_SET_DUMPABLE to 0.  Call after the last fork and
 * before threads.  -EPERM or -ENOMEM if memory cannot be locked: an error, never a silent fall-back to unlocked memory. */
int secret_start(size_t size) MUST_CHECK;
void secret_stop(void); /* wipes everything */

/* A new secret of n zero bytes.  NULL if the arena is full or was not made. */
struct secret *secret_new(size_t n);
/* Wipes and frees; sets *s to NULL; does nothing for NULL. */
void secret_free(struct secret **s);
/* Takes the secret out of *s, leaving NULL. */
struct secret *secret_move(struct secret **s);
/* Makes the secret shorter, wiping the rest. */
void secret_shrink(struct secret *s, size_t n);

/* Zeroes memory that held secrets, in a way that the compiler keeps. */
void wipe(void *p, size_t n);

#define _cleanup_secret_ _cleanup_(secret_free)

#endif
