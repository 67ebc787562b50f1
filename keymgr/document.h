/* The JSON documents of keymgr, read strictly (docs/format-keyring.md section 2): ASCII without escapes, one object, no
 * member twice, every member of the type and size that is asked for.
 *
 * All functions return 0, -ENOMEM, or -EBADMSG after saying in *p what is wrong: the document is damaged. */
#ifndef COFFER_KEYMGR_DOCUMENT_H
#define COFFER_KEYMGR_DOCUMENT_H

#include <errno.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "util/base/cleanup.h"

/* What is wrong with a document, for the message.  The first report stays. */
struct problem {
	char text[128];
};
void problem_note(struct problem *p, const char *format, ...) PRINTF_LIKE(2, 3);
/* Notes and is -EBADMSG; a macro, so that compilers see that it is never 0. */
#define problem_set(p, ...) (problem_note(p, __VA_ARGS__), -EBADMSG)

static inline void cleanup_json(json_object **o)
{
	json_object_put(*o);
}
#define _cleanup_json_ _cleanup_(cleanup_json)

/* The largest number that every JSON reader holds exactly. */
#define DOCUMENT_NUMBER_MAX ((UINT64_C(1) << 53) - 1)
enum { TIME_TEXT = 20 }; /* 2026-11-28T01:49:14Z */

int document_parse(const char *text, size_t n, json_object **out, struct problem *p) MUST_CHECK;
/* Readable text without a newline at the end, in memory that belongs to o; NULL without memory. */
const char *document_render(json_object *o, size_t *n);
/* The same without white space, for programs. */
const char *document_render_compact(json_object *o, size_t *n);

/* The objects, arrays and strings that come out belong to o. */
int member_object(json_object *o, const char *name, json_object **out, struct problem *p) MUST_CHECK;
int member_array(json_object *o, const char *name, size_t min, size_t max, json_object **out,
		 struct problem *p) MUST_CHECK;
int member_string(json_object *o, const char *name, const char **out, struct problem *p) MUST_CHECK;
int member_bool(json_object *o, const char *name, bool *out, struct problem *p) MUST_CHECK;
int member_number(json_object *o, const char *name, uint64_t min, uint64_t max, uint64_t *out,
		  struct problem *p) MUST_CHECK;
int member_u32(json_object *o, const char *name, uint32_t min, uint32_t *out, struct problem *p) MUST_CHECK;
int member_time(json_object *o, const char *name, char out[TIME_TEXT + 1], struct problem *p) MUST_CHECK;
/* Exactly n bytes, as lower-case hexadecimal or as base64url. */
int member_hex(json_object *o, const char *name, uint8_t *out, size_t n, struct problem *p) MUST_CHECK;
int member_bytes(json_object *o, const char *name, uint8_t *out, size_t n, struct problem *p) MUST_CHECK;
/* min to max bytes as base64url; *n says how many. */
int member_bytes_between(json_object *o, const char *name, uint8_t *out, size_t min, size_t max, size_t *n,
			 struct problem *p) MUST_CHECK;
/* Element i of an array that member_array gave. */
int element_object(json_object *array, size_t i, json_object **out, struct problem *p) MUST_CHECK;

/* Writing.  put_value takes value over, also when it fails; -ENOMEM if that is NULL. */
int put_value(json_object *o, const char *name, json_object *value) MUST_CHECK;
int put_element(json_object *array, json_object *value) MUST_CHECK;
int put_string(json_object *o, const char *name, const char *s) MUST_CHECK;
int put_number(json_object *o, const char *name, uint64_t n) MUST_CHECK;
int put_hex(json_object *o, const char *name, const uint8_t *bytes, size_t n) MUST_CHECK; /* n <= 64 */
int put_bytes(json_object *o, const char *name, const uint8_t *bytes, size_t n) MUST_CHECK;
time_t document_now(void);               /* seconds since 1970; tests set it (testing.h) */
void time_text(char out[TIME_TEXT + 1]); /* now */
void time_text_of(time_t at, char out[TIME_TEXT + 1]);
int time_parse(const char *text, time_t *out) MUST_CHECK; /* -EINVAL if it is not of that form */
int put_now(json_object *o, const char *name) MUST_CHECK;

#endif
