/* Who does something, for the audit log. */
#ifndef COFFER_KEYMGR_AUDIT_ACTOR_H
#define COFFER_KEYMGR_AUDIT_ACTOR_H

#include "keymgr/document.h"

/* What this process is about: "key rotate", "mount".  Once, early; a constant or something that lasts. */
void audit_actor_set_command(const char *command);
/* uid, user, login (whoever logged in, also behind sudo), host, terminal, pid, command: what is known of them. */
int audit_actor_put(json_object *o) MUST_CHECK;
/* Puts a text from outside as a document may hold it: what is not printable ASCII, a quote or a backslash becomes '?'; cut at 128. */
int audit_put_text(json_object *o, const char *name, const char *text) MUST_CHECK;

#endif
