/* What the verbs of `coffer service` share: where the service is, one call, how its answer is printed. */
#ifndef COFFER_CLI_SERVICE_H
#define COFFER_CLI_SERVICE_H

#include "keymgr/service_client.h"
#include "keymgr/service_place.h"
#include "util/cli/cli.h"
#include "util/cli/options.h"
#include "util/cli/output.h"

struct service_work {
	struct service_place at;
	bool json;
	struct service_client *client;
};
static inline void service_work_close(struct service_work *w)
{
	service_client_free(&w->client);
}
#define _cleanup_service_work_ _cleanup_(service_work_close)

#define OPTIONS_SERVICE(w)                                                                                             \
	OPTIONS_PLACE(&(w)->at), {OPTION_TEXT, 0, 0, "config", &(w)->at.file},                                         \
	{                                                                                                              \
		OPTION_FLAG, 0, 0, "json", &(w)->json                                                                  \
	}

/* Parses the options of a verb that has no others, and begins. */
int service_start(const struct verb *v, int argc, char **argv, int min, int max, struct service_work *w,
		  struct words *words, struct fault *why) MUST_CHECK;
/* What was given counts more than the file. */
int service_begin(struct service_work *w, struct fault *why) MUST_CHECK;

/* One call: /v1/FORMAT.  body: taken over; NULL: none.  A refusal is -EACCES, with *why. */
int service_do(struct service_work *w, enum service_method method, json_object *body, struct service_answer *out,
	       struct fault *why, const char *format, ...) PRINTF_LIKE(6, 7) MUST_CHECK;
/* The same, and its answer is printed: as JSON, or by `print`. */
int service_show(struct service_work *w, enum service_method method, json_object *body,
		 void (*print)(json_object *answer), struct fault *why, const char *format, ...)
	PRINTF_LIKE(6, 7) MUST_CHECK;

/* A member as text; "" if there is none. */
const char *service_text(json_object *o, const char *name);
/* Each object of the array `name`. */
void service_each(json_object *o, const char *name, void (*print)(json_object *element));

#endif
