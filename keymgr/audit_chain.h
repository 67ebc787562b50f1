/* The chain of an audit log: lines, each under a MAC that covers the line before (docs/format-audit.md).  Knows bytes only, no files.
 *
 * Not thread-safe: one walk, one thread. */
#ifndef COFFER_KEYMGR_AUDIT_CHAIN_H
#define COFFER_KEYMGR_AUDIT_CHAIN_H

#include "keymgr/document.h"
#include "keymgr/wrap.h"

enum { AUDIT_LINE_MAX = 4096, AUDIT_SEGMENTS_MAX = 64, AUDIT_PROBLEM = 160 };

/* Where a chain stands: the number and MAC of its last line; zeros before the first. */
struct audit_link {
	uint64_t n;
	uint8_t mac[SHA256_SIZE];
};

/* The MAC keys by segment: line n is under the last one whose `first` is not above n. */
struct audit_keys {
	uint32_t count;
	uint64_t first[AUDIT_SEGMENTS_MAX];
	struct secret *key[AUDIT_SEGMENTS_MAX]; /* 32 bytes each */
};
void audit_keys_free(struct audit_keys *k);

/* The line behind *at: `details` (its member "event" and what belongs to it) with number, time and who acts.  *at moves on.  The line
 * ends with a newline.  -EFBIG if it would be too long. */
int audit_line_make(const struct audit_keys *keys, struct audit_link *at, json_object *details,
		    char out[AUDIT_LINE_MAX], size_t *size) MUST_CHECK;

/* Walks over lines, oldest first. */
struct audit_walk {
	const struct audit_keys *keys;
	struct audit_link at; /* the last line that has the form of one */
	bool anywhere;        /* the text may begin in the middle: nothing is known of what is before it */
	uint64_t good,
		torn; /* lines that continue the chain; those of them that say that a crash tore something before */
	uint64_t problems;           /* places where the chain is broken */
	char problem[AUDIT_PROBLEM]; /* the first of them */
	size_t torn_size;            /* bytes since the last line that are no line, each newline counted */
	/* Called for each line that has the form of one: without its newline; `good`: it continues the chain. */
	void (*each)(void *context, const char *line, size_t n, bool good);
	void *context;
};
/* One piece of text up to a newline (not included) or the end. */
int audit_walk_line(struct audit_walk *w, const char *line, size_t n) MUST_CHECK;
/* All of a text. */
int audit_walk_text(struct audit_walk *w, const char *text, size_t n) MUST_CHECK;

#endif
