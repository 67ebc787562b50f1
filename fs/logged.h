/* The pages of one file whose content is in the journal only.  Under the file's lock. */
#ifndef COFFER_FS_LOGGED_H
#define COFFER_FS_LOGGED_H

#include "fs/file.h"

#define LOGGED_ANYWHERE UINT64_MAX

/* Room for `more` pages, so that putting them cannot fail. */
int logged_make_room(struct logged *l, size_t more) MUST_CHECK;
void logged_put(struct logged *l, uint64_t page, uint64_t at, uint32_t bytes);
/* NULL: the page is in place. */
const struct logged_page *logged_find(const struct logged *l, uint64_t page);
/* Takes a page out, if it lies at this place. */
void logged_remove(struct logged *l, uint64_t page, uint64_t at);
void logged_remove_range(struct logged *l, uint64_t first, uint64_t end);
void logged_free(struct logged *l);

#endif
