/* What a request is answered with (answer.h). */
#include "keymgr/service/answer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/document.h"
#include "util/base/secret.h"

void answer_free(struct answer *a)
{
	if (a->text)
		wipe(a->text, a->size);
	free(a->text);
	*a = (struct answer){0};
}

int answer_room(struct answer *a, int status, size_t n)
{
	answer_free(a);
	a->text = calloc(1, n + 1);
	if (!a->text)
		return -ENOMEM;
	a->status = status;
	a->size = n;
	return 0;
}

int answer_json(struct answer *a, int status, json_object *o)
{
	size_t n;
	const char *text = document_render_compact(o, &n);
	int ret = text ? answer_room(a, status, n + 1) : -ENOMEM;

	if (ret == 0) {
		memcpy(a->text, text, n);
		a->text[n] = '\n';
	}
	return ret;
}

int answer_error(struct answer *a, int status, const char *code, const char *format, ...)
{
	json_object *o = json_object_new_object(), *error = json_object_new_object();
	char message[256];
	va_list args;
	int ret;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	ret = o && error ? 0 : -ENOMEM;
	if (ret == 0) {
		json_object_object_add(error, "code", json_object_new_string(code));
		json_object_object_add(error, "message", json_object_new_string(message));
		json_object_object_add(o, "error", error);
		error = NULL;
		ret = answer_json(a, status, o);
	}
	json_object_put(error);
	json_object_put(o);
	return ret;
}
