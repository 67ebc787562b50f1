/* What the scanners find, for comparison with other parsers: for each line FORMAT<tab>OPTION<tab>FILE of standard input one line of JSON, an array of
 * [path, type, value], or a string: the error.  A path is an array of [kind, number, name]. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/field/engine.h"

static json_object *path_json(const struct found *f)
{
	json_object *all = json_object_new_array();
	struct step s;
	size_t at = 0;

	while (path_next(f->path, f->path_size, &at, &s)) {
		json_object *step = json_object_new_array();
		char kind[2] = {(char)s.kind, '\0'};

		json_object_array_add(step, json_object_new_string(kind));
		json_object_array_add(step, json_object_new_int64((int64_t)s.number));
		json_object_array_add(step, json_object_new_string_len(s.name, (int)s.length));
		json_object_array_add(all, step);
	}
	return all;
}

static int add(void *context, const struct found *f, struct buffer *with, bool *replace, struct fault *why)
{
	static const char *const types[] = {"string", "number", "bool", "null", "date"};
	_cleanup_buffer_ struct buffer value = {0};
	json_object *leaf = json_object_new_array();
	int ret = found_value(f, &value);

	(void)with;
	(void)replace;
	(void)why;
	json_object_array_add(leaf, path_json(f));
	json_object_array_add(leaf,
			      json_object_new_string(types[f->scan->format->type(f->leaf, f->source, f->source_size)]));
	json_object_array_add(leaf, json_object_new_string_len(value.bytes ? value.bytes : "", (int)value.size));
	json_object_array_add(context, leaf);
	return ret;
}

static void dump(const char *format, const char *option, const char *file)
{
	struct scan_options options = {.dialect = *option && option[1] ? option : NULL,
				       .separator = option[1] ? '\0' : *option};
	json_object *all = json_object_new_array();
	const struct engine e = {format_by_name(format), &options, "text", add, all, NULL, NULL, NULL};
	struct fault why = {0};
	FILE *f = fopen(file, "rb");

	if (!e.format || !f)
		exit(EXIT_FAILURE);
	if (engine_run(&e, fileno(f), &why) < 0) {
		json_object_put(all);
		all = json_object_new_string(why.text);
	}
	puts(json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN));
	json_object_put(all);
	fclose(f);
}

int main(void)
{
	char line[8192];

	while (fgets(line, sizeof(line), stdin)) {
		char *format = strtok(line, "\t\n"), *option = strtok(NULL, "\t\n"), *file = strtok(NULL, "\t\n");

		if (!file)
			return EXIT_FAILURE;
		dump(format, strcmp(option, "-") == 0 ? "" : option, file);
	}
	return EXIT_SUCCESS;
}
