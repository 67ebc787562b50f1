/* Encrypted fields by a mount: verbs of its control socket (docs/control-socket.md) that work with its keys of the scope "fields". */
#ifndef COFFER_CLI_MOUNT_FIELDS_H
#define COFFER_CLI_MOUNT_FIELDS_H

#include "fs/mount.h"

/* Adds the verbs to what is going to be mounted; checks the rules of who else may use them, if there are any. */
int mount_fields_add(struct mount_options *o, struct fault *why) MUST_CHECK;

#endif
