/* Globs over the paths of files, as .gitignore has them. */
#ifndef COFFER_FIELD_GLOB_H
#define COFFER_FIELD_GLOB_H

#include <stdbool.h>

/* * and ? stand for anything within one name, a dot at its beginning included; ** as a whole name for any number of directories, none
 * included.  A glob without a slash is about the last name of the path. */
bool glob_matches(const char *glob, const char *path);

#endif
