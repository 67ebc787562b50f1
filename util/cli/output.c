#include "util/cli/output.h"

#include <stdio.h>
#include <string.h>

#include "util/base/log.h"

void json_print(json_object *o)
{
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
						       JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

void json_add_text(json_object *o, const char *name, const char *text)
{
	size_t room = 4 * strlen(text) + 1;
	_cleanup_free_ char *clean = malloc(room);

	json_object_object_add(o, name, clean ? json_object_new_string(log_escape(text, clean, room)) : NULL);
}

void json_add_number(json_object *o, const char *name, uint64_t n)
{
	json_object_object_add(o, name, json_object_new_uint64(n));
}

void json_add_bool(json_object *o, const char *name, bool b)
{
	json_object_object_add(o, name, json_object_new_boolean(b));
}

const char *size_text(uint64_t bytes, char out[SIZE_TEXT])
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double v = (double)bytes;
	unsigned u = 0;

	while (v >= 1024 && u < 6) {
		v /= 1024;
		u++;
	}
	snprintf(out, SIZE_TEXT, u && v < 100 ? "%.1f %s" : "%.0f %s", v, units[u]);
	return out;
}
