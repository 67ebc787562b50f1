/* Symbolic links (docs/format-volume.md section 7). */
#ifndef COFFER_FS_SYMLINK_H
#define COFFER_FS_SYMLINK_H

#include "fs/internal.h"

enum { LINK_TARGET_MAX = 4095, LINK_TEXT_MAX = 1024 };

/* The length of the target behind a link whose text is `text_size` long.  Only one length leaves the form open: then the text is read
 * through dir and backing ("" for the object of the handle itself). */
uint64_t symlink_size(struct engine *e, uint64_t text_size, int dir, const char *backing);
bool symlink_size_is_open(uint64_t text_size);

/* The text for a target (1 to LINK_TARGET_MAX bytes), of a link in that zone; a long one's body is written first. */
int symlink_seal(struct engine *e, uint32_t zone, const char *target, char out[LINK_TEXT_MAX]) MUST_CHECK;

/* The target behind a text, not terminated; returns its length.  -EBADMSG: the text or its body is missing or wrong. */
ssize_t symlink_open(struct engine *e, uint32_t zone, const char *text, char out[LINK_TARGET_MAX]) MUST_CHECK;

/* The generations that a text and the body that it names are sealed under, which may be one; -EBADMSG, or an errno of reading the body. */
int symlink_generations(struct engine *e, const char *text, uint32_t out[2]) MUST_CHECK;

/* The name in .coffer/links/ of the body that a text names; false if it names none. */
enum { LINK_BODY_NAME = 22 };
bool symlink_body(struct engine *e, const char *text, char out[LINK_BODY_NAME + 1]);

/* Removes the body that a text names, if it names one. */
void symlink_drop_body(struct engine *e, const char *text);

#endif
