/* Pages and the bytes that held them, in the order they were noted. */
#ifndef COFFER_FS_EXTENTS_H
#define COFFER_FS_EXTENTS_H

#include "fs/file.h"

/* Without memory they are forgotten. */
void extents_add(struct extents *x, struct page_range pages, uint64_t begin, uint64_t end);
void extents_free(struct extents *x);

#endif
