/* Where the journal's paths lead after the renames that follow them: a tree of names, of which a rename moves a part.
 *
 * Memory and time are proportional to what is entered; a rename costs as much as its two paths are long. */
#ifndef COFFER_FS_RECOVER_PATHS_H
#define COFFER_FS_RECOVER_PATHS_H

#include "fs/record.h"

#define PLACE_NONE UINT32_MAX

enum { PLACE_ROOT = 0 }; /* data/ itself */

struct place {
	char *name;
	uint32_t parent, chain;
	uint32_t moved; /* when it moved last; 0: never */
};

struct paths {
	struct place *list; /* places keep their numbers */
	uint32_t count, room;
	uint32_t *buckets, size; /* by parent and name: where a path leads now */
};

int paths_start(struct paths *p) MUST_CHECK;
void paths_free(struct paths *p);

/* The place of a path, or of the directory that holds it; made if it is new. */
int paths_enter(struct paths *p, struct record_path path, uint32_t *out) MUST_CHECK;
int paths_enter_above(struct paths *p, struct record_path path, uint32_t *out) MUST_CHECK;
/* The place that a path leads to; PLACE_NONE if nothing was entered there or below. */
uint32_t paths_find(const struct paths *p, struct record_path path);
/* What is at this place has another path now, with all below it.  What had that path keeps its own, but is found by none. */
int paths_move(struct paths *p, uint32_t place, struct record_path to, uint32_t when) MUST_CHECK;
/* True if the path of a place has changed since, by a move of its own or of a place above. */
bool paths_moved_since(const struct paths *p, uint32_t place, uint32_t when);

/* The path of a place ("" for the root), and of a name in it; the caller's.  NULL without memory, or if it is longer than any path. */
char *paths_text(const struct paths *p, uint32_t place);
char *paths_text_in(const struct paths *p, uint32_t place, struct record_path name);
/* The last component. */
struct record_path paths_last(struct record_path path);

#endif
