/* Reading a secret straight into locked memory, past every buffer. */
#ifndef COFFER_KEYMGR_SECRET_INPUT_H
#define COFFER_KEYMGR_SECRET_INPUT_H

#include "util/base/fault.h"
#include "util/base/secret.h"

/* Reads fd to its end.  -EFBIG over max bytes; -ENOMEM if the arena has no room; errors of read(2). */
int secret_read(int fd, size_t max, struct secret **out) MUST_CHECK;

/* Asks on the controlling terminal with echo off; the terminal is as before whatever signal comes, and the signal then has its
 * effect.  The secret is the line without its newline.  -ENOTTY without a terminal that this process may read; -EINTR. */
int secret_ask(const char *prompt, size_t max, struct secret **out) MUST_CHECK;

#endif
