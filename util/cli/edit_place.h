/* Where clear text lies while an editor is on it.
 *
 *   (1) A directory 0700 on a tmpfs, and in it a file 0600; both go when the verb ends, also by a signal, and what an editor left beside it.
 *   (2) It is not swapped out, where coffer may mount a tmpfs that says so; else a warning if there is a disk to swap to. */
#ifndef COFFER_CLI_EDIT_PLACE_H
#define COFFER_CLI_EDIT_PLACE_H

#include "util/base/fault.h"
#include "util/field/buffer.h"

/* One for a process.  Catches the signals that would end it; `name` is what the file will be called, as editors go by that. */
int edit_place_make(const char *name, const struct buffer *clear, struct fault *why) MUST_CHECK;
/* The file's path. */
const char *edit_place_file(void);
/* The signal ends the process, after it has tidied up. */
void edit_place_catch(int number);
void edit_place_remove(void);

#endif
