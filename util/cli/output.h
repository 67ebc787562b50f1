/* What verbs print on standard output. */
#ifndef COFFER_CLI_OUTPUT_H
#define COFFER_CLI_OUTPUT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/base/cleanup.h"

/* Prints one JSON value and frees it. */
void json_print(json_object *o);
void json_add_text(json_object *o, const char *name, const char *text); /* bytes that are not UTF-8 become \xNN */
void json_add_number(json_object *o, const char *name, uint64_t n);
void json_add_bool(json_object *o, const char *name, bool b);

enum { SIZE_TEXT = 24 };
/* "1.5 GiB" */
const char *size_text(uint64_t bytes, char out[SIZE_TEXT]);

#endif
