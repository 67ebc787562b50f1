/* The map pages of a file that are in memory.
 *
 *  (1) a map in the cache is what its parent's entry names (and opened under it), or it is dirty.
 *  (2) only clean maps are evicted, so a pointer to a dirty map holds until the maps are sealed; a pointer to a clean one until the next map is
 *      entered.
 *
 * All functions want file->maps.lock held, but maps_drop, which wants file->lock held to write. */
#ifndef COFFER_FS_MAP_CACHE_H
#define COFFER_FS_MAP_CACHE_H

#include "fs/file.h"

/* NULL if it is not in memory. */
struct map *maps_find(const struct map_cache *c, unsigned height, uint64_t first);

/* The map of a subtree whose entry is *entry: from memory, from its page, or an empty one where the entry is a hole. */
int maps_get(struct engine *e, struct file *f, int fd, struct layout_slot at, const struct entry *entry,
	     struct map **out) MUST_CHECK;

/* Nothing is in the subtree: its entry is a hole, and not because its map was made but is not written yet. */
bool maps_is_hole(const struct file *f, struct layout_slot at, const struct entry *entry);

/* Takes m over, unless it fails. */
int maps_enter(struct engine *e, struct file *f, struct map *m) MUST_CHECK;

void maps_mark_dirty(struct engine *e, struct file *f, struct map *m);
void maps_mark_clean(struct engine *e, struct file *f, struct map *m);

/* Maps sealed for a checkpoint (`busy`) are so no more: they came in place, or are dirty again. */
void maps_settle(struct engine *e, struct file *f, bool in_place);

void maps_forget(struct engine *e, struct file *f, struct map *m);
/* The maps whose pages all lie in [first, end). */
void maps_forget_inside(struct engine *e, struct file *f, uint64_t first, uint64_t end);
/* All of them, the dirty ones too. */
void maps_drop(struct engine *e, struct file *f);

#endif
