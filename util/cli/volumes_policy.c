#include "util/cli/volumes_policy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/cli/output.h"

enum { HOUR = 3600, DAY = 24 * HOUR };

/* r: of the reading of `text`. */
static int take(const char *option, const char *text, int r, uint64_t min, uint64_t max, uint64_t *out,
		const char *hint, struct fault *why)
{
	if (strcmp(text, "off") == 0) {
		*out = 0;
		return 0;
	}
	if (r == 0 && *out >= min && *out <= max)
		return 0;
	return fault_set(why, EXIT_USAGE, EINVAL, "service key: --volumes-%s %s: give %s, or off", option, text, hint);
}

int volumes_policy_parse(struct volumes_policy *v, struct fault *why)
{
	struct managed_policy *p = &v->wanted;
	int r = 0;

	if (v->every)
		r = take("rotate-every", v->every, duration_parse(v->every, MANAGED_EVERY_MAX, &p->rotate_every),
			 MANAGED_EVERY_MIN, MANAGED_EVERY_MAX, &p->rotate_every, "a time from 1d to 10y", why);
	if (r == 0 && v->after)
		r = take("rotate-after", v->after, size_parse(v->after, &p->rotate_after), MANAGED_AFTER_MIN,
			 MANAGED_AFTER_MAX, &p->rotate_after, "a size from 1G to 1024T", why);
	if (r == 0 && v->keep)
		r = take("keep", v->keep, number_parse(v->keep, MANAGED_KEEP_MAX, &p->keep), 1, MANAGED_KEEP_MAX,
			 &p->keep, "how many generations stay, 1 to 1000", why);
	return r;
}

void volumes_policy_put(const struct volumes_policy *v, json_object *body)
{
	if (v->every)
		json_add_number(body, "volumes_rotate_every", v->wanted.rotate_every);
	if (v->after)
		json_add_number(body, "volumes_rotate_after", v->wanted.rotate_after);
	if (v->keep)
		json_add_number(body, "volumes_keep", v->wanted.keep);
}

/* ------------------------------------------------------------------ shown */

static void rotation_text(const struct managed_policy *p, char *out, size_t room)
{
	char every[40] = "", size[SIZE_TEXT];

	if (p->rotate_every)
		snprintf(every, sizeof every, "every %" PRIu64 " %s",
			 p->rotate_every / (p->rotate_every % DAY ? HOUR : DAY),
			 p->rotate_every % DAY ? "hours" : "days");
	*out = '\0';
	if (p->rotate_every || p->rotate_after)
		snprintf(out, room, "rotate %s%s%s%s", every, p->rotate_every && p->rotate_after ? " or " : "",
			 p->rotate_after ? "after " : "", p->rotate_after ? size_text(p->rotate_after, size) : "");
}

const char *managed_policy_text(const struct managed_policy *p, char out[POLICY_TEXT])
{
	char rotation[POLICY_TEXT - 40];

	rotation_text(p, rotation, sizeof rotation);
	snprintf(out, POLICY_TEXT, "%s", rotation);
	if (p->keep)
		snprintf(out, POLICY_TEXT, "%s%skeep %" PRIu64 " generation%s", rotation, *rotation ? ", " : "",
			 p->keep, p->keep == 1 ? "" : "s");
	return out;
}
