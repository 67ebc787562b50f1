/* What is left of a store when the power goes, or the process is killed, behind the first k calls of a record.
 *
 * KILL.  The calls before k stay, whole, and nothing becomes durable by it.  Of call k, if it is a write that touches more than one
 * 4096-byte page of its file, a first part may have got through, cut where a page of the file begins.
 *
 * POWER CUT.  A call is durable once a sync that was asked for after it has returned before the cut, and covers it; a sync that is under
 * way at the cut, or was when the call came, does nothing for it.  Durable calls are
 * kept.  Of the others:
 *
 *   A sync that failed covers nothing, and what was written to its object before it no later one does.
 *
 *   content   Of each write any of its 512-byte sectors is kept, in the order of the writes.  A sector is never torn.
 *   choice    ALL keeps everything; NONE drops all that is not durable; GIVEN (STRICT only) does with each call what is told of it, where
 *             torn keeps every second sector, and what is kept of an inode keeps the sizes, or the attributes, before it; RANDOM draws (from the seed) for each inode whether all of its
 *             writes are kept, all dropped, or each by itself kept, dropped or torn sector by sector, or cut behind a sector.
 *
 * ORDERED, like ext4 with data=ordered: metadata calls (names, sizes, space, modes, times, attributes) survive as a prefix of their
 * order in the whole store.
 *   (o1) fsync of an object makes durable the prefix up to the last call on that object (a write counts, for its times); if nothing was
 *        done to the object, nothing more is durable by it.  fdatasync: up to the last call that changed the file's size or space.
 *        syncfs: all.
 *   (o2) A write into a hole, or behind the end, allocates: the pages that it allocates are kept whole if the write is in the prefix
 *        (data goes before the metadata that names it), and dropped if not.  Other pages: as content says, whatever the prefix is.
 *   (o3) A file made behind the prefix is not there, nor is its content.
 *
 * STRICT, what POSIX promises:
 *   (s1) A name call is durable once a directory that it changes was fsynced (fdatasync of a directory counts as nothing), or the store by
 *        syncfs.  Others are kept or lost each by itself; in the RANDOM choice: for each directory all kept, all lost, or each.
 *   (s2) Names stay consistent: a rename is one call, both halves or none, and durable if one of its directories is synced.  What a
 *        durable call needs (an earlier call on the same name, the emptying of a directory that is removed, the name of a directory into which
 *        something moved) is durable too.  A
 *        call that is kept but not possible any more, because one before it was lost, is lost.
 *   (s3) The size of a file is that after any of its size-changing calls since the last durable one; fdatasync and fsync of the file
 *        make it durable.  A truncation that is kept cuts content at its place in the order.  What of the kept content lies behind
 *        the surviving size is cut; where the size is kept and content is not, there are zeros.
 *   (s4) Mode, owner, times and attributes of an inode are those after any of its calls since its last fsync (not fdatasync), all of
 *        them alike.
 *   (s5) Of a hole that is punched each page is kept or lost.
 *   (s6) An inode without a surviving name is gone; one with a name has the content that survived, whether or not it was synced. */
#ifndef COFFER_TESTS_CRASH_SURVIVE_H
#define COFFER_TESTS_CRASH_SURVIVE_H

#include <stdio.h>

#include "image.h"

enum crash_model { MODEL_ORDERED, MODEL_STRICT, MODEL_KILL, MODELS };
extern const char *const crash_model_names[MODELS];

enum crash_choice { CHOICE_ALL, CHOICE_NONE, CHOICE_RANDOM, CHOICES, CHOICE_GIVEN = CHOICES };
extern const char *const crash_choice_names[CHOICES];

/* What becomes of a call. */
enum fate { FATE_DROPPED = '-', FATE_KEPT = 'k', FATE_TORN = 't', FATE_CUT = 'c', FATE_DURABLE = 'D' };

struct cut {
	enum crash_model model;
	enum crash_choice choice; /* power cuts */
	size_t calls;             /* that were accepted */
	size_t pages;             /* kill: of the next call, a write, so many pages of the file */
	uint64_t seed;            /* of what is drawn */
	const uint8_t *given;     /* an enum fate for each call */
};

/* Builds the image that is left.  base: what was there, durable, before the record.  trace: what became of each call, or NULL. */
void survive(const struct image *base, const struct record *r, const struct cut *cut, struct image *out, FILE *trace);

/* How many pages of call `at` a kill can let through: 0 to one less than it touches. */
size_t survive_parts(const struct record *r, size_t at);
/* The part of a write that is its first `pages` pages; to be freed by call_free. */
void survive_part(const struct call *c, size_t pages, struct call *part);

/* A number from numbers; looks random. */
uint64_t mix(uint64_t a, uint64_t b);

#endif
