/* What verbs that set off a re-encryption share. */
#ifndef COFFER_CLI_REENCRYPT_H
#define COFFER_CLI_REENCRYPT_H

#include "fs/offline.h"
#include "util/cli/key.h"

/* Waits for the end of the re-encryption that a mount (fd) or, with -1, this process (offline) carries out, with a progress bar; Ctrl-C leaves the
 * rest to the mount, or the next one. */
int reencrypt_follow(struct key_work *key, int fd, struct offline *offline, struct fault *why) MUST_CHECK;

#endif
