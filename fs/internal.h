/* The engine's own structures, shared by the files of fs/ and nobody else.
 *
 * Locks, in the order in which they are taken (a thread that holds one takes only later ones):
 *
 *   1. dir->lock        of one or two directories: entries of the directory.  Two: by address.
 *   2. file->lock       content and size of one open file
 *   3. engine->tree     rwlock: written by rename only.  While it is read, the links of a node hold still.
 *   4. node->lock       descriptor and state of one node; of one only
 *   5. engine->lending  the mode of an object while its owner is lent more rights
 *   6. file->maps.lock  cache of map pages (taken by readers of the file)
 *   7. engine->table.lock, engine->descriptors.lock
 *   8. engine->ids->lock, engine->dirty.lock, engine->moved.lock, the journal's lock, that of engine->ahead
 *
 * No lock of 1 to 6 but those of directories is held during a sync; engine->checkpointing (checkpoint.c) comes before all of them. */
#ifndef COFFER_FS_INTERNAL_H
#define COFFER_FS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "fs/engine.h"
#include "fs/journal.h"
#include "fs/layout.h"
#include "fs/rules.h"

struct node;
struct file;
struct name_list;

/* A name of a node.  Links of one node hang on `sibling`, those of one hash bucket on `chain`. */
struct link {
	struct link *chain, *sibling;
	struct node *node, *parent; /* holds a reference on the parent */
	char name[];                /* the backing name */
};

/* Who is listing a directory: begun, and the end not read.  Who has left off does not say so, and an end that the kernel shows out of its own memory is not
 * seen. */
struct listers {
	atomic_uint count;
	atomic_int_fast64_t at_ms; /* when one of them read last */
};

/* What a directory has besides. */
struct dir {
	pthread_rwlock_t lock;    /* written by whoever adds, removes or renames entries */
	pthread_mutex_t loading;  /* taken to read the record, before any other lock of this directory */
	pthread_mutex_t position; /* of the descriptor while it is being listed; the last of them */
	atomic_bool loaded;       /* the record was read */
	int error;                /* negative errno: the record is missing or does not verify */
	struct directory_record record;
	bool duplicate; /* another live directory has this id: changes are refused */
	bool claimed;   /* stands in engine->ids, by claim_chain (ids.c) */
	struct node *claim_chain;
	struct listers of_store, of_shown; /* change under the lock, held by anybody */
	struct name_list *shown;           /* what it is listed from while its names move below; under lock (list.c) */
	bool shown_over; /* they have moved: it serves listings that began with it, until the node goes */
};

/* An inode that the kernel or an operation knows. */
/* As small as it can be: there is one of each file that the kernel knows, and it may know millions. */
struct node {
	uint64_t id; /* never reused */
	struct node *id_chain, *inode_chain;
	struct link *links; /* names known so far; NULL for the root and for what was unlinked */
	uint64_t dev, ino, btime_ns;
	uint64_t lookups;   /* the kernel's count; under table.lock */
	unsigned refs;      /* operations under way, links of children; under table.lock */
	mode_t type;        /* S_IFMT bits */
	atomic_uint zone;   /* or ZONE_UNSET (zone.h) */
	atomic_uint walked; /* the last walk that has no need to see it again (moved.h) */
	atomic_uint listed; /* its place in the order of listings, 0: none (ahead.h) */

	pthread_mutex_t lock; /* descriptor and overlay */
	int fd;               /* -1: none */
	uint16_t fd_users;    /* operations that use it now: not more than there are threads */
	uint16_t pins;        /* reasons to keep it: unlinked, mode that forbids reopening */
	uint32_t fd_slot;     /* in descriptors.slots */

	bool in_inodes;          /* is found by (dev, ino); under table.lock */
	bool dirty;              /* stands in engine->dirty, which holds a reference; under dirty.lock */
	bool logged;             /* has records that no checkpoint covers, from `first_record` on; under dirty.lock */
	atomic_bool fd_recent;   /* second chance */
	atomic_bool never_named; /* made without a name, and has got none so far */
	atomic_bool parked;      /* lives under .coffer/open/ */
	atomic_bool lent;        /* a record says what its mode was before rights were lent (N4) */
	atomic_bool name_new;    /* has a name that no sync of its directory has covered */
	bool overlay_valid;      /* there is one */
	bool taken;              /* others have taken its last name away; under table.lock (shared.h) */
	atomic_short failed;     /* a sync failed (W6): negative errno until the data is durable another way */

	struct dir *dir;   /* directories */
	struct file *file; /* regular files, while a descriptor is open */

	/* What the store has and what of it is durable (dirty.c). */
	atomic_uint_fast64_t written, synced; /* changes in place; how many of them a sync has covered */
	atomic_uint_fast64_t metadata; /* the last that is of mode, owner, times, attributes: fdatasync does not do */
	atomic_uint_fast64_t renamed;  /* when its names changed last, in ticks (dirty_renamed); 0: not yet */
	struct journal_mark first_record;
	struct node *dirty_next, **dirty_at; /* what points here */

	/* Size and times of a file whose last changes are in the journal only; under lock. */
	struct overlay {
		uint64_t size;
		struct timespec mtime, ctime;
	} overlay;
};

/* Of the records that no file holds: the first since the last tick began, and since the one before. */
struct side_marks {
	bool some[2];
	struct journal_mark first[2];
};

struct dirty_list {
	pthread_mutex_t lock;
	struct node *first;
	uint32_t count;
	struct side_marks sides;
};

/* Nodes that got another name during a walk (moved.c). */
struct moved_list {
	pthread_mutex_t walk; /* held by who walks; before every other lock of the engine */
	pthread_mutex_t lock;
	atomic_bool on;
	atomic_uint number; /* of the walk under way, or the last one */
	bool missed;
	struct node **list;
	size_t count, room;
};

struct node_table {
	pthread_mutex_t lock;
	uint64_t next_id, count;
	uint32_t size; /* buckets, a power of two; grows */
	struct node **by_id, **by_inode;
	struct link **by_name;
};

struct descriptor_table {
	pthread_mutex_t lock;
	uint32_t limit, pinned, hand;
	uint32_t size; /* of slots and free */
	struct node **slots;
	uint32_t *free, free_count; /* slots without a node */
};

struct engine {
	struct store *store;
	int dot, data;
	int links_dir, open_dir, gone_dir; /* in .coffer; made when missing */
	struct settings settings;
	struct engine_options options;
	struct store_caps caps;
	pthread_mutex_t keys_lock;
	struct keys *keys;                /* under it; operations use worker_keys() */
	atomic_uint_fast64_t keys_serial; /* changes whenever `keys` does; unique in the process */
	atomic_uint zones_serial;         /* changes whenever all forget their zones (zone.h) */
	atomic_uint_fast64_t sealed;      /* bytes, since the engine was started */
	atomic_bool keys_changed;         /* once they did */

	pthread_rwlock_t tree;
	pthread_mutex_t lending; /* recursive; lend.c */
	struct node_table table;
	struct descriptor_table descriptors;
	struct id_table *ids; /* ids.c */
	struct node *root;
	struct node *open_node; /* .coffer/open/ as a parent of parked files */

	atomic_uint_fast64_t map_bytes; /* memory in map pages of all files */
	uint64_t map_bytes_max;
	atomic_uint_fast64_t undecryptable_names, damaged_pages;
	struct seen_names *seen; /* undecryptable names that were logged (list.c) */

	struct journal *journal;    /* NULL: changes are written through */
	atomic_uint_fast64_t epoch; /* of newborn heads (journal (C2)) */
	atomic_uint_fast64_t ticks;
	atomic_uint_fast64_t good_ticks; /* those after which everything was durable */
	atomic_uint_fast64_t settled;    /* files whose changes have come in place: sizes seen before may be older */
	struct dirty_list dirty;
	pthread_mutex_t checkpointing;
	atomic_bool lost_ranges; /* the superblock names some: files are looked at before they are believed (look.c) */
	struct journal_state lost; /* those */
	atomic_uint_fast64_t lost_files;
	atomic_bool
		nothing_synced; /* after a crash, on a store whose syncfs promises nothing: files count as unsynced (R0) */
	struct recovered {
		bool done;
		uint64_t files, pages, ms;
	} recovered;
	struct node **held; /* files whose recovery stays in memory (recover.c) */
	size_t held_count;

	time_t started;
	atomic_bool gone_some; /* .coffer/gone/ holds ids to be removed */
	pthread_t ticker;      /* engine.c: what is done every few seconds */
	pthread_mutex_t tick_lock;
	pthread_cond_t tick_now;
	bool ticking, tick_stop, tick_early;
	pthread_t sweeper; /* sweep.c; stop and the condition under tick_lock */
	pthread_cond_t sweep_now;
	bool sweeping, sweep_stop;
	atomic_uint_fast64_t directories_moved; /* by renames, in this mount */
	struct moved_list moved;                /* moved.c */
	struct ahead *ahead;                    /* ahead.c; NULL: nothing is read ahead */
	bool running;                           /* started, and not yet brought to its end */
};

#endif
