/* The inside of the ledger.  Only ledger*.c include this. */
#ifndef COFFER_SERVICE_LEDGER_INTERNAL_H
#define COFFER_SERVICE_LEDGER_INTERNAL_H

#include <sys/queue.h>

#include "keymgr/service/ledger.h"

enum {
	STAGED_ROWS_MAX = 1024,
	STAGED_LINES_MAX = 1024,
	ROWS_PER_LINE = 8,
};

struct ledger_made {
	void *p;
	void (*free)(void *p);
};

/* A committed row, as it has to be. */
struct indexed {
	char *name;
	uint64_t revision; /* 0: the first commit of it failed */
	uint8_t mac[SHA256_SIZE];
	bool seen; /* at the start: the row is there */
	/* ledger_kept.c; NULL: not kept */
	json_object *body;
	struct ledger_made made;
	TAILQ_ENTRY(indexed) kept, with_made;
};

struct ledger {
	struct backend *backend;
	const struct service_keys *keys;
	char *anchor_file;
	void *index; /* tsearch(3): struct indexed */

	/* Those of the second have something made.  What was looked at last is last. */
	TAILQ_HEAD(kept_rows, indexed) kept;
	TAILQ_HEAD(made_rows, indexed) with_made;
	int kept_count, made_count;
	bool looked; /* the backend has been asked who else has written, since the last rest or commit */

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
int ledger_row_mac(const struct service_keys *keys, const struct row *r, uint8_t mac[SHA256_SIZE]) MUST_CHECK;
/* Puts the member "rows", which says what these rows are from now on. */
int ledger_name_rows(const struct row *rows, size_t n, json_object *details) MUST_CHECK;
/* -EBADMSG: it is not the row that the entry says. */
int ledger_check_row(const struct ledger *l, const struct row *r, const struct indexed *e) MUST_CHECK;

const struct row *ledger_staged_row(const struct ledger *l, const char *name);
/* The row of this entry as the store has it, held against the entry. */
int ledger_read(struct ledger *l, const struct indexed *e, json_object **out) MUST_CHECK;

/* --- ledger_kept.c */
void ledger_drop(struct ledger *l, struct indexed *e);

/* --- ledger_load.c */
enum { LEDGER_PROBLEM = AUDIT_PROBLEM + ROW_NAME_MAX };
/* Everything that is there, checked; *at is where the chain stands, *reached whether it passes l->anchored.  -EBADMSG: not whole, `problem` says
 * where. */
int ledger_load(struct ledger *l, struct audit_link *at, bool *reached, char problem[LEDGER_PROBLEM]) MUST_CHECK;

#endif
