/* Clearing away what making a volume leaves or left: only what init itself makes is ever removed. */
#ifndef COFFER_KEYMGR_VOLUME_CLEAR_H
#define COFFER_KEYMGR_VOLUME_CLEAR_H

#include "util/base/fault.h"
#include "util/base/store.h"

#define BUILDING_ROOM ".coffer-init" /* becomes .coffer by its last rename */
#define FINISHED_ROOM ".coffer"
#define DATA_ROOM     "data"
#define ID_RECORD     ".coffer-dir"

/* Calls back for each entry of the directory but . and ..; stops at the first error. */
typedef int (*entry_visitor)(struct store *s, int dir, const char *name, void *context);
int for_each_entry(struct store *s, int dir, entry_visitor visit, void *context) MUST_CHECK;

/* Removes BUILDING_ROOM or FINISHED_ROOM in top, as init makes them; one that is not there is fine. */
int volume_clear_room(struct store *s, int top, const char *name) MUST_CHECK;
/* Removes data/ in top, if nothing but an id record is in it. */
int volume_clear_data(struct store *s, int top) MUST_CHECK;

/* Refuses a directory that holds anything but an interrupted init, and clears that away.  `shown`: its name for messages. */
int volume_clear_place(struct store *s, int top, const char *shown, struct fault *why) MUST_CHECK;

#endif
