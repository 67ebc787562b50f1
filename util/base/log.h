/* Lines for the administrator: stderr in the foreground, syslog (daemon facility) once log_to_syslog was called.
 * Never takes secrets.  Thread-safe.  One line per call; names of files are escaped. */
#ifndef COFFER_BASE_LOG_H
#define COFFER_BASE_LOG_H

#include "util/base/cleanup.h"

void log_to_syslog(const char *ident);
void log_error(const char *format, ...) PRINTF_LIKE(1, 2);
void log_warning(const char *format, ...) PRINTF_LIKE(1, 2);
void log_info(const char *format, ...) PRINTF_LIKE(1, 2);

/* Copies `name` with control characters, backslashes and non-UTF-8 bytes as \xNN.  Returns out (n bytes, always terminated). */
const char *log_escape(const char *name, char *out, size_t n);

#endif
