/* The state of the key service as it can be trusted: every row under a MAC, every change and every use of a key a line in a chain of MACs, both
 * compared with what was written before (docs/key-service.md, "What is kept").
 *
 * Changes are staged, and many requests share one commit: nothing may be answered before ledger_commit() has returned 0.  What is
 * staged is seen by ledger_get() at once.  One thread. */
#ifndef COFFER_SERVICE_LEDGER_H
#define COFFER_SERVICE_LEDGER_H

#include "keymgr/service/backend.h"
#include "keymgr/service/keys.h"

struct ledger;

/* Takes the backend over, also when it fails.  Reads and checks everything: each row's MAC, the chain of lines, that each row is the one
 * that the last line about it names, that no row is missing, that the chain reaches the anchor.  `make`: all is empty, and so it has to be;
 * there is no anchor yet. */
int ledger_open(struct backend *b, const struct service_keys *keys, const char *anchor_file, bool make,
		struct ledger **out, struct fault *why) MUST_CHECK;
void ledger_close(struct ledger **l); /* what is staged is forgotten; what is committed is anchored */

/* The same of any backend, which stays the caller's.  *end: the last line; *reached: the chain passes `reach` (NULL: nobody asks). */
int ledger_check(struct backend *b, const struct service_keys *keys, const struct audit_link *reach,
		 struct audit_link *end, bool *reached, struct fault *why) MUST_CHECK;
/* An anchor without its ledger.  -ENOENT; -EBADMSG: damaged, or of another service; -ESTALE: of a later generation than the keys.
 * *before: of the generation before.  Such a one only counts where the log ends with the rekeying itself (keys->before.end): whoever has
 * the old keys could make one that says less. */
int anchor_read(const struct service_keys *keys, const char *file, struct audit_link *out, bool *before) MUST_CHECK;
int anchor_write(const struct service_keys *keys, const char *file, const struct audit_link *at) MUST_CHECK;

/* The row as it is now.  -ENOENT; -EBADMSG: it was changed behind our back, which is logged. */
int ledger_get(struct ledger *l, const char *name, json_object **out) MUST_CHECK;
bool ledger_has(struct ledger *l, const char *name);
/* As ledger_get, for who only looks: the object is everybody's, and nobody may change it (ledger_put refuses it).  It stays in memory until the
 * row changes, or somebody else has written to the store; then it is read and held against the log again. */
int ledger_look(struct ledger *l, const char *name, json_object **out) MUST_CHECK;
/* What was made of a row that was looked at: kept with it, freed with it.  NULL: nothing is; so it is while a change of the row is staged. */
void *ledger_made(const struct ledger *l, const char *name);
/* Takes `made` over; false: there is nothing to keep it with, and it stays the caller's.  Valid until the next commit or rest. */
bool ledger_keep(struct ledger *l, const char *name, void *made, void (*free_made)(void *made)) MUST_CHECK;
/* Names that begin so, in no order, staged ones included.  Below 0 from `each` ends it. */
int ledger_each(struct ledger *l, const char *prefix, int (*each)(void *context, const char *name),
		void *context) MUST_CHECK;

/* Stages the next revision of a row.  `body` stays the caller's.  -EINVAL: it is one that ledger_look gave. */
int ledger_put(struct ledger *l, const char *name, json_object *body) MUST_CHECK;
/* Stages the line that says so: `details` with its member "event" first.  The rows put since the last line are named in it.  Every put
 * needs one behind it. */
int ledger_note(struct ledger *l, json_object *details) MUST_CHECK;

/* What a request staged is taken back when it fails midway. */
struct ledger_mark {
	size_t rows, lines;
	struct audit_link at;
};
struct ledger_mark ledger_mark(const struct ledger *l);
void ledger_back(struct ledger *l, const struct ledger_mark *to);

bool ledger_staged(const struct ledger *l);
/* All that is staged becomes durable, or none of it and it is forgotten.  -EUCLEAN: unknown, now and from now on; this process has to end. */
int ledger_commit(struct ledger *l) MUST_CHECK;
/* Nobody reads for now (backend.h); for who has read outside of a request. */
void ledger_rest(struct ledger *l);
/* Whether this process may still answer (backend.h). */
int ledger_alive(struct ledger *l, bool renew) MUST_CHECK;
/* Writes the anchor, if lines have been committed since the last time. */
int ledger_anchor(struct ledger *l) MUST_CHECK;

/* --- rekeying (rekey.h).  No requests before it, and nothing but ledger_anchor() and ledger_close() behind it.
 * All rows and the end of the log under other keys, in one commit: a line "rekey", the last one under the old keys, then lines that name
 * every row anew.  `row` is what ROW_REKEY holds from then on; the last line is next->before.end.  Before anything is written, what there
 * will be is checked as at a start.  `again` changes what a row holds where that depends on the keys.  The ledger goes on with `next`. */
#define ROW_REKEY "rekey"
/* How many rows there are after it, and how many lines it will write for so many rows. */
int ledger_rekey_rows(struct ledger *l, uint64_t *rows) MUST_CHECK;
uint64_t ledger_rekey_lines(uint64_t rows);
int ledger_rekey(struct ledger *l, const struct service_keys *next, json_object *row,
		 int (*again)(void *context, const char *name, json_object *body), void *context,
		 struct fault *why) MUST_CHECK;
void ledger_goes_by(struct ledger *l, const struct service_keys *keys); /* the same ones, at another place */
uint64_t ledger_next(const struct ledger *l);                           /* the number of the line that comes next */

/* Committed lines from number `from` on. */
int ledger_lines(struct ledger *l, uint64_t from, int (*each)(void *context, const struct line *line),
		 void *context) MUST_CHECK;
uint64_t ledger_last(const struct ledger *l);   /* the number of the last committed line */
uint64_t ledger_behind(const struct ledger *l); /* so many of them the anchor does not cover yet */
int ledger_last_error(const struct ledger *l);  /* of the last commit */

#endif
