/* The inside of the ledger.  Only ledger*.c include this. */
#ifndef COFFER_SERVICE_LEDGER_INTERNAL_H
#define COFFER_SERVICE_LEDGER_INTERNAL_H

#include "keymgr/service/ledger.h"

enum {
	STAGED_ROWS_MAX = 1024,
	STAGED_LINES_MAX = 1024,
	ROWS_PER_LINE = 8,
};

/* A committed row, as it has to be. */
struct indexed {
	char *name;
	uint64_t revision; /* 0: the first commit of it failed */
	uint8_t mac[SHA256_SIZE];
	bool seen; /* at the start: the row is there */
};

struct ledger {
	struct backend *backend;
	const struct service_keys *keys;
	char *anchor_file;
	void *index; /* tsearch(3): struct indexed */

	int last_error;       /* of the last commit; 0: it went well */
	bool unknown;         /* a commit may have reached the disk or not: nothing can be built on that */
	struct audit_link at; /* with what is staged */
	struct audit_link committed, anchored;
	struct row rows[STAGED_ROWS_MAX];
	size_t row_count, noted; /* rows before `noted` are named in a line */
	struct line lines[STAGED_LINES_MAX];
	size_t line_count;
};

/* --- ledger.c */
struct indexed *ledger_find(const struct ledger *l, const char *name);
/* The entry of this name, made if there is none. */
struct indexed *ledger_entry_for(struct ledger *l, const char *name);
/* -EBADMSG: it is not the row that the entry says. */
int ledger_check_row(const struct ledger *l, const struct row *r, const struct indexed *e) MUST_CHECK;

/* --- ledger_load.c */
enum { LEDGER_PROBLEM = AUDIT_PROBLEM + ROW_NAME_MAX };
/* Everything that is there, checked; *at is where the chain stands, *reached whether it passes l->anchored.  -EBADMSG: not whole, `problem` says
 * where. */
int ledger_load(struct ledger *l, struct audit_link *at, bool *reached, char problem[LEDGER_PROBLEM]) MUST_CHECK;

#endif
