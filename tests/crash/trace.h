/* Directed traces: exact acts, then exactly this lost and that kept.
 *
 * A trace plays acts on the live volume (acts.h), says behind which call the machine stops and what becomes of the calls that nothing had made
 * durable (STRICT model: survive.h), lets the recovery run or stop as well, and holds what is left against the history.  Calls
 * are named by what they are about, as the same trace makes other calls when a rule is off. */
#ifndef COFFER_TESTS_CRASH_TRACE_H
#define COFFER_TESTS_CRASH_TRACE_H

#include "acts.h"
#include "examine.h"

struct trace {
	const struct base *base;
	struct live l;
	size_t mark;        /* calls before it are not looked for */
	size_t recovered;   /* calls when the recovery was over, behind a crash; they are looked for up to there */
	struct image under; /* what was there before the record of `left`, or of the live volume */
	struct crash_store *left; /* by the crashes so far; NULL: none */
	struct view view;
	size_t recovery_cost; /* operations of the store in trace_recover */
	bool judged;
	struct examined x;
};

/* Calls, by what they are about. */
enum about {
	ABOUT_ANY,
	ABOUT_HEAD,       /* a write of the file's first page */
	ABOUT_PAGE,       /* one that touches data page `arg` */
	ABOUT_MAP,        /* one that touches the map whose first page is `arg` (height 1) */
	ABOUT_SIZE,       /* a truncation of the file */
	ABOUT_MODE,       /* its mode is changed */
	ABOUT_NAME,       /* its names are, or (directory) what is in it */
	ABOUT_RECORD,     /* a record of type `arg` is written */
	ABOUT_SUPERBLOCK, /* of the journal */
	ABOUT_SYNC,       /* of the file */
	ABOUT_JOURNAL_SYNC,
	ABOUT_CALL, /* number `arg` */
};

struct calls {
	enum about about;
	unsigned object; /* of the oracle */
	uint64_t arg;
};

#define ANY           ((struct calls){ABOUT_ANY, 0, 0})
#define HEAD_OF(f)    ((struct calls){ABOUT_HEAD, f, 0})
#define PAGE_OF(f, n) ((struct calls){ABOUT_PAGE, f, n})
#define MAP_OF(f, n)  ((struct calls){ABOUT_MAP, f, n})
#define SIZE_OF(f)    ((struct calls){ABOUT_SIZE, f, 0})
#define MODE_OF(f)    ((struct calls){ABOUT_MODE, f, 0})
#define NAME_OF(f)    ((struct calls){ABOUT_NAME, f, 0})
#define RECORD(type)  ((struct calls){ABOUT_RECORD, 0, type})
#define ANY_RECORD    ((struct calls){ABOUT_RECORD, 0, 0})
#define SUPERBLOCK    ((struct calls){ABOUT_SUPERBLOCK, 0, 0})
#define SYNC_OF(f)    ((struct calls){ABOUT_SYNC, f, 0})
#define CALL(i)       ((struct calls){ABOUT_CALL, 0, i})
#define JOURNAL_SYNC  ((struct calls){ABOUT_JOURNAL_SYNC, 0, 0})

/* What becomes of them; the last one that fits a call counts. */
struct outcome {
	struct calls calls;
	enum fate fate;
};

void trace_start(struct trace *t, const struct base *b);
void trace_free(struct trace *t);

/* Files and directories as they are after a tick: in place, durable, known to have been promised. */
unsigned trace_file(struct trace *t, const char *name, unsigned pages);

/* From here on calls are looked for. */
void trace_mark(struct trace *t);
size_t trace_end(const struct trace *t); /* all calls */
size_t trace_behind(const struct trace *t,
		    struct calls which); /* the first of them since the mark; all, if there is none */
size_t trace_behind_last(const struct trace *t, struct calls which); /* the last */

size_t trace_count(const struct trace *t, struct calls which); /* how many there are since it */
/* Pages in files that were written since the mark where nothing was, and nothing was allocated before. */
size_t trace_allocated(const struct trace *t);
/* What else has to be: `what` names what is not so. */
void trace_expect(struct trace *t, bool is_so, const char *what);

/* The machine stops behind so many calls.  The first crash ends the live volume; those after it, the recovery. */
void trace_kill(struct trace *t, size_t calls);
void trace_cut(struct trace *t, size_t calls, const struct outcome *list, size_t n);
#define CUT(t, calls, ...)                                                                                             \
	trace_cut(t, calls, (const struct outcome[]){__VA_ARGS__},                                                     \
		  sizeof((const struct outcome[]){__VA_ARGS__}) / sizeof(struct outcome))
/* Recovers, for another crash; the mark is set before. */
void trace_recover(struct trace *t);

/* Something writes over a page of what is left. */
void trace_damage(struct trace *t, unsigned object, uint64_t page);
/* Entries of .coffer/lost/ of what is left. */
size_t trace_lost(const struct trace *t);

/* Holds what is left against the history: t->x.text is empty, or says what it breaks. */
void trace_judge(struct trace *t);

#endif
