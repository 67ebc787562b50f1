/* One line on the terminal for a command that takes a while: label, done of total, rate, time left.
 *
 * Shows nothing unless standard error is a terminal.  One thread at a time. */
#ifndef COFFER_BASE_PROGRESS_H
#define COFFER_BASE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum progress_unit {
	PROGRESS_BYTES,
	PROGRESS_ITEMS,
};

struct progress {
	const char *label; /* the caller's, for as long as the line lives */
	enum progress_unit unit;
	uint64_t total; /* 0: unknown */
	uint64_t started_ns, drawn_ns;
	bool visible; /* a line stands on the terminal */
	bool silent;
};

void progress_start(struct progress *p, const char *label, enum progress_unit unit, uint64_t total);
/* So much is done now.  Cheap: draws a few times a second at most. */
void progress_update(struct progress *p, uint64_t done);
/* Takes the line away.  Call before anything else is printed. */
void progress_end(struct progress *p);

/* The text of the line after elapsed_ns; returns out. */
const char *progress_text(const struct progress *p, uint64_t done, uint64_t elapsed_ns, char *out, size_t n);

#endif
