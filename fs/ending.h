/* Ends a mount that is in use, without losing what it accepted.
 *
 *  1. Nobody is answered any more, so that whoever uses the mount waits.
 *  2. The kernel's own written pages are asked for and answered until no more come.  Without -o writeback there are only those of shared
 *     mappings.  With it write(2) goes on to fill the kernel's cache without asking anybody, so its attributes are taken away
 *     first: a write(2) that begins now has to ask for them, and is not answered.
 *  3. The serving threads end.  When the device is closed whoever waits for an answer gets an error: it was accepted by nobody.
 *  4. Only then is the mount point taken away (by whoever started the session): earlier, who goes on by path would write, without an error
 *     and in clear text, into the directory beneath. */
#ifndef COFFER_FS_ENDING_H
#define COFFER_FS_ENDING_H

#include "fs/engine.h"

struct freeze;
struct fuse_session;

struct ending {
	const char *mount_point;
	struct engine *engine;
	struct fuse_session *session;
	struct freeze *freeze;
	bool writeback;
};

/* Steps 1 to 3, to the end of the threads. */
void ending_in_use(const struct ending *e);

#endif
