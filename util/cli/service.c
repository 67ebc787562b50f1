#include "util/cli/service.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* What is longer is cut, to a name that no service takes. */
enum { PATH_TEXT = 512 };

int service_begin(struct service_work *w, struct fault *why)
{
	_cleanup_service_config_ struct service_config c = SERVICE_CONFIG_NONE;

	int r = service_place_read(&w->at, &c, why);
	/* What is missing is named when the client is made. */
	if (r == 0 || (r == -ENOENT && why->status == EXIT_OK))
		r = secrets_start(why);
	return r < 0 ? r : service_client_new(&c, &w->client, why);
}

int service_start(const struct verb *v, int argc, char **argv, int min, int max, struct service_work *w,
		  struct words *words, struct fault *why)
{
	const struct option_spec specs[] = {OPTIONS_SERVICE(w), {0}};

	int r = options_parse(v, argc, argv, specs, min, max, words, why);
	return r ? r : service_begin(w, why);
}

static int do_call(struct service_work *w, enum service_method method, json_object *body, struct service_answer *out,
		   struct fault *why, const char *path)
{
	*out = (struct service_answer){0};
	int r = service_call(w->client, method, path, body, out, why);
	json_object_put(body);
	if (r == 0)
		r = service_check(out, why);
	if (r == 0)
		service_renew_if_due(w->client);
	return r;
}

int service_do(struct service_work *w, enum service_method method, json_object *body, struct service_answer *out,
	       struct fault *why, const char *format, ...)
{
	char path[PATH_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(path, sizeof path, format, args);
	va_end(args);
	return do_call(w, method, body, out, why, path);
}

int service_show(struct service_work *w, enum service_method method, json_object *body,
		 void (*print)(json_object *answer), struct fault *why, const char *format, ...)
{
	_cleanup_service_answer_ struct service_answer a = {0};
	char path[PATH_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(path, sizeof path, format, args);
	va_end(args);
	int r = do_call(w, method, body, &a, why, path);
	if (r < 0)
		return r;
	if (w->json)
		json_print(json_object_get(a.body));
	else
		print(a.body);
	return 0;
}

const char *service_text(json_object *o, const char *name)
{
	json_object *member;

	return json_object_object_get_ex(o, name, &member) ? json_object_get_string(member) : "";
}

void service_each(json_object *o, const char *name, void (*print)(json_object *element))
{
	json_object *array;

	if (!json_object_object_get_ex(o, name, &array) || !json_object_is_type(array, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(array); i++)
		print(json_object_array_get_idx(array, i));
}
