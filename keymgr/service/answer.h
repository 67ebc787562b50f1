/* What a request is answered with: a status and a text, most often JSON.  The text is wiped when it is freed. */
#ifndef COFFER_SERVICE_ANSWER_H
#define COFFER_SERVICE_ANSWER_H

#include <json-c/json.h>
#include <stddef.h>

#include "util/base/cleanup.h"

struct answer {
	int status;
	char *text; /* NULL: nothing yet */
	size_t size;
	const char *type; /* of the text, static; NULL: application/json */
	int retry_after;  /* seconds until it may be asked again; 0: not said */
};
void answer_free(struct answer *a);

/* Both replace what is there. */
int answer_json(struct answer *a, int status, json_object *o) MUST_CHECK;
/* {"error":{"code":CODE,"message":MESSAGE}}; a program acts on the code, the message is for people. */
int answer_error(struct answer *a, int status, const char *code, const char *format, ...) PRINTF_LIKE(4, 5) MUST_CHECK;
/* A buffer of n bytes to be filled by the caller; what comes into it is never copied elsewhere. */
int answer_room(struct answer *a, int status, size_t n) MUST_CHECK;

#endif
