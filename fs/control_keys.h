/* Verbs of the control socket that are about keys (docs/control-socket.md); for the table in control_verbs.c. */
#ifndef COFFER_FS_CONTROL_KEYS_H
#define COFFER_FS_CONTROL_KEYS_H

#include "fs/control.h"

int control_run_read_keys(struct control_call *c, struct fault *why);
int control_run_lock(struct control_call *c, struct fault *why);
int control_run_unlock(struct control_call *c, struct fault *why);
int control_run_lock_scope(struct control_call *c, struct fault *why);
int control_run_unlock_scope(struct control_call *c, struct fault *why);
int control_run_assign_scope(struct control_call *c, struct fault *why);
int control_run_reencryption(struct control_call *c, struct fault *why);
int control_run_reencrypt(struct control_call *c, struct fault *why);
int control_run_users(struct control_call *c, struct fault *why);
int control_run_rotate(struct control_call *c, struct fault *why);

#endif
