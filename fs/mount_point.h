/* Mount points: is one fit, what is mounted there, and how to take a mount away. */
#ifndef COFFER_FS_MOUNT_POINT_H
#define COFFER_FS_MOUNT_POINT_H

#include <stdbool.h>

#include "util/base/fault.h"

/* Checks a mount point for a volume; clears a dead mount that a killed process left there. */
int mount_point_prepare(const char *volume, const char *mount_point, struct fault *why) MUST_CHECK;

/* The coffer mount on a mount point: its device as "MAJOR:MINOR".  False if there is none. */
bool mount_point_find(const char *mount_point, char device[32]);

/* True if a volume is mounted anywhere in this mount namespace. */
bool mount_point_volume_is_mounted(const char *volume);

/* Unmounts.  lazy: detach now, even if busy.  As root by umount2(2), else through fusermount3.  -EBUSY if somebody uses it. */
int mount_point_unmount(const char *mount_point, bool lazy);

#endif
