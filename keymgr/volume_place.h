/* Where a new volume may be made. */
#ifndef COFFER_KEYMGR_VOLUME_PLACE_H
#define COFFER_KEYMGR_VOLUME_PLACE_H

#include "util/base/fault.h"

/* Refuses a DIR (which need not exist) that is a volume, lies in one, or lies on a mount of one.  EXIT_NOT_EMPTY. */
int volume_place_check(const char *dir, struct fault *why) MUST_CHECK;

#endif
