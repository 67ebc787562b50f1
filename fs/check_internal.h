/* The parts of the check, shared by fs/check*.c and nobody else.
 *
 *   check.c          start, end, progress, findings
 *   check_journal.c  before anything else: the journal is brought in place;  check_remake.c: or made anew
 *   check_young.c    files that a crash cut short as they were made
 *   check_walk.c     the way through the tree: one frame for each directory from the root to where it is
 *   check_dir.c      one directory: its id, its entries, its attributes
 *   check_names.c    names and sidecars of one directory
 *   check_file.c     one regular file: size, head, ids;  check_pages.c: its hash tree
 *   check_links.c    symbolic links and their bodies
 *   check_ids.c      finding lost directory ids again
 *   check_volume.c   what lies beside the tree
 *   check_repair.c   changes below;  check_anew.c: giving copies ids of their own
 *
 * It goes through an engine that is started read-only: nodes give descriptors that are verified and bounded in number, so that neither depth nor
 * size of the tree matter.  All changes that --repair makes go through the store by the descriptor of the directory that they are in.
 *
 * Functions return 0 or a negative errno that ends the check (no memory); what an object refuses is a finding. */
#ifndef COFFER_FS_CHECK_INTERNAL_H
#define COFFER_FS_CHECK_INTERNAL_H

#include <errno.h>
#include <limits.h>

#include "fs/check.h"
#include "fs/internal.h"
#include "fs/opened.h"
#include "fs/page.h"

/* Ids seen so far, each with the inode that had it. */
struct check_ids {
	struct check_id {
		uint8_t id[16];
		uint64_t ino; /* 0: a free slot */
	} * slots;
	size_t count, size;
};
/* The inode that had this id before; 0 and the id is entered if there is none.  ino is not 0. */
int check_ids_add(struct check_ids *ids, const uint8_t id[16], uint64_t ino, uint64_t *before) MUST_CHECK;
uint64_t check_ids_find(const struct check_ids *ids, const uint8_t id[16]); /* 0: not seen */

struct check_list {
	char **names;
	size_t count, room;
};
int check_list_add(struct check_list *l, const char *name) MUST_CHECK;
void check_list_free(struct check_list *l);
/* The names of directory handle fd, sorted. */
int check_list_read(struct engine *e, int fd, struct check_list *out) MUST_CHECK;
/* Of a sorted list: the first name that begins so; count if there is none. */
size_t check_list_first(const struct check_list *l, const char *prefix);
bool check_list_has(const struct check_list *l, const char *name);

/* A directory without an id, and the ids that it may have had. */
enum { CANDIDATES_MAX = 32 };
struct check_candidates {
	uint8_t ids[CANDIDATES_MAX][DIRECTORY_ID_SIZE];
	unsigned count;
};
void check_candidate(struct check_candidates *c, const uint8_t id[DIRECTORY_ID_SIZE]);

struct lost_directory {
	char *path; /* backing, below data/ */
	bool missing;
	bool suspect; /* the record is sound, but no name of the directory opens under it */
	struct check_candidates candidates;
};

/* An object that has the id of another. */
struct doubled {
	char *path; /* as in a finding */
	bool plain, directory;
	bool quiet; /* said already that it is a copy */
	uint64_t other;
};

/* A file that a crash left as only a mount's first look may (fs/look.h). */
struct young {
	char *path;
	bool plain;
};

/* What is known of the journal. */
struct check_journal {
	int error; /* of looking at it: negative errno */
	struct journal_facts facts;
	bool useless;           /* it cannot be used: damaged, foreign, missing */
	bool pending;           /* it holds records that are not in place, and stays as it is */
	struct check_ids files; /* that have records */
	struct check_list
		places; /* backing paths of what a record would put back: directories without an id, entries without a sidecar */
};

/* A directory on the way from the root to where the walk is. */
struct check_dir {
	struct check_dir *up;
	struct node *node; /* referenced; its descriptor is in use while the directory is visited */
	bool has_id;
	bool named;                 /* name is known */
	char backing[NAME_MAX + 1]; /* empty for the root */
	char name[NAME_MAX + 1];
	struct check_list entries; /* while it is visited */
	struct check_list below;   /* directories in it */
	size_t next;               /* which of those comes next */
	struct check_candidates candidates;
};

struct check {
	const struct check_options *o;
	bool repair; /* asked for, and possible */
	struct check_report *report;
	struct opened opened;
	struct engine *e;
	int lost_fd; /* .coffer/lost/, -1 until needed */

	struct check_ids files, directories, bodies;
	struct check_ids gone; /* in .coffer/gone/ */
	struct lost_directory *lost;
	size_t lost_count, lost_room;
	struct doubled *doubled;
	size_t doubled_count, doubled_room;
	struct check_journal journal;
	struct young *young;
	size_t young_count, young_room;
	struct lost_range ranges[LOST_RANGES_MAX]; /* epochs in which files may be young */
	uint32_t range_count;
	bool stop;       /* the caller has had enough */
	bool keep_gone;  /* a directory without an id is left */
	bool partial;    /* something could not be looked at: what seems unneeded may be needed */
	bool names_only; /* a second visit, after an id was found */

	uint64_t done, total; /* for the progress */
	unsigned calls;
};

/* An entry that is being looked at. */
struct check_entry {
	struct check_dir *dir;
	const char *backing;
	const char *name; /* NULL: does not decrypt */
	bool copy;        /* a conflict copy: that it has the id of another is no news */
	bool done;        /* it was set aside, or is not coffer's */
	struct store_stat st;
	char renamed[NAME_MAX + 1]; /* room for a new backing name */
};

/* --- check.c */
struct check_kind {
	enum check_severity severity;
	const char *kind;
	bool repaired;
};
/* The store refused.  What whoever runs the check may not look at is no damage. */
static inline struct check_kind check_store_kind(int error)
{
	bool may_not = error == -EACCES || error == -EPERM || error == -ENOKEY;

	return (struct check_kind){may_not ? CHECK_WARNING : CHECK_ERROR, "store", false};
}
/* A finding on an entry; backing NULL: on the directory itself. */
int check_say(struct check *c, const struct check_dir *d, const char *backing, const char *name, struct check_kind k,
	      const char *format, ...) PRINTF_LIKE(6, 7) MUST_CHECK;
int check_say_entry(struct check *c, const struct check_entry *en, struct check_kind k, const char *format, ...)
	PRINTF_LIKE(4, 5) MUST_CHECK;
/* On something beside the tree; path is relative to DIR. */
int check_say_volume(struct check *c, const char *path, struct check_kind k, const char *format, ...)
	PRINTF_LIKE(4, 5) MUST_CHECK;
/* The backing path of an entry below data/, to be freed. */
char *check_backing_path(const struct check_dir *d, const char *backing);
/* The path that a finding would have, to be freed. */
char *check_path(const struct check_dir *d, const char *backing, const char *name, bool *plain);
/* Sets c->stop if the caller wants no more. */
void check_progress(struct check *c, uint64_t more);
/* All but the journal, which is for whoever opened the volume: -ECANCELED if it was stopped. */
int check_volume(struct check *c) MUST_CHECK;
void check_forget(struct check *c); /* what it took */
/* What is wrong with a generation number; NULL if it may be used. */
const char *check_generation(const struct check *c, uint32_t zone, uint32_t generation);

/* --- check_walk.c */
typedef int check_visit(struct check *c, struct check_dir *d);
/* Visits every directory, parents first; a visit leaves the directories to go on to in d->below.  Its descriptor is in use. */
int check_walk(struct check *c, check_visit *visit) MUST_CHECK;
/* The frames down to a backing path below data/; NULL if it is not there any more. */
int check_enter_path(struct check *c, const char *path, struct check_dir **out) MUST_CHECK;
void check_leave(struct check *c, struct check_dir **d); /* this frame; *d becomes the one above */
/* Adds up what a deep check is going to read. */
check_visit check_measure;

/* --- one each */
check_visit check_directory;
check_visit check_names_again; /* once its id was found */
int check_attributes(struct check *c, struct check_dir *d, const struct check_entry *en, struct node *n) MUST_CHECK;
/* Whether there are attributes that are bound to an id; also if that cannot be told. */
bool check_has_attributes(struct check *c, int fd);
int check_file(struct check *c, struct check_entry *en) MUST_CHECK;
/* whole: not NULL: nothing is said, and this becomes whether everything verifies. */
int check_pages(struct check *c, const struct check_entry *en, struct node *n, const struct head *h,
		const struct entry entries[HEAD_ENTRIES], bool *whole) MUST_CHECK;
int check_symlink(struct check *c, struct check_entry *en) MUST_CHECK;
int check_link_bodies(struct check *c) MUST_CHECK;
/* A name of the format's own. */
int check_own_name(struct check *c, struct check_dir *d, const char *backing) MUST_CHECK;
/* Decrypts en->backing into name and sets en->name; or says what it is. */
int check_name(struct check *c, struct check_entry *en, char name[NAME_MAX + 1]) MUST_CHECK;
/* The name in the mount of what a conflict copy is a copy of, with the mark behind it; false if it is none. */
bool check_copy_name(struct check *c, struct node *dir, const char *backing, char out[NAME_MAX + 1]);
/* Keeps an object with a doubled id for check_doubled: en NULL is the directory itself. */
int check_keep_doubled(struct check *c, const struct check_dir *d, const struct check_entry *en,
		       uint64_t other) MUST_CHECK;
int check_doubled(struct check *c) MUST_CHECK;
int check_lost_directories(struct check *c) MUST_CHECK;
/* The id of data/ alone, before there is any recovery: without it there is none. */
int check_root_first(struct check *c) MUST_CHECK;
/* An engine as a mount's, for what has to be done as a mount does it. */
int check_mount_engine(struct check *c, struct engine **out, struct fault *why) MUST_CHECK;
/* Before the tree: recovers, or notes what is not to be judged. */
int check_journal(struct check *c) MUST_CHECK;
bool check_has_records(const struct check *c, const uint8_t file_id[16]);
/* True if a record would put back what is missing at this entry (backing NULL: at the directory). */
bool check_has_side(const struct check *c, const struct check_dir *d, const char *backing);
/* These return 0 or why it could not be done. */
int check_mend_journal(struct check *c) MUST_CHECK;
int check_remake_journal(struct check *c) MUST_CHECK;
int check_recover(struct check *c, struct fault *why) MUST_CHECK;
/* True if a file with these first bytes may have been cut short by a crash as it was made. */
bool check_may_be_young(const struct check *c, const uint8_t *head, size_t size);
bool check_young_time(const struct check *c, const struct store_stat *st);
int check_keep_young(struct check *c, const struct check_entry *en) MUST_CHECK;
int check_young(struct check *c) MUST_CHECK;
int check_beside(struct check *c) MUST_CHECK;    /* before the tree */
int check_leftovers(struct check *c) MUST_CHECK; /* after it */
/* Long enough and of the right letters for a backing name. */
bool check_looks_like_a_name(const char *backing);
bool check_is_coffers(struct check *c, struct check_dir *d, const char *backing, const struct store_stat *st);

/* --- check_anew.c */
struct check_place {
	struct engine *e;
	uint64_t parent;
	char name[NAME_MAX + 1];
	struct node_attr attr; /* of the object */
};
/* Looks a path of the mount up; -ENOENT. */
int check_find(struct engine *e, const char *path, struct check_place *p) MUST_CHECK;

/* --- check_repair.c: these return 0 or why it could not be done, which is no reason to end the check */
/* Moves an entry, and its sidecar, into .coffer/lost/; out: its name there. */
int repair_set_aside(struct check *c, int dir, const char *backing, char out[NAME_MAX + 1]) MUST_CHECK;
int repair_open_lost(struct check *c) MUST_CHECK; /* c->lost_fd */
int repair_move(struct check *c, int from_dir, const char *from, int to_dir,
		const char *to) MUST_CHECK;                                               /* never replaces */
int repair_rename(struct check *c, int dir, const char *from, const char *to) MUST_CHECK; /* never replaces */
/* Makes a file as long as its head says. */
int repair_size(struct check *c, const struct check_entry *en, uint64_t size) MUST_CHECK;
/* The finding on an entry that cannot be read; a repair sets it aside. */
int check_unreadable(struct check *c, struct check_entry *en, const char *kind, const char *what) MUST_CHECK;

#endif
