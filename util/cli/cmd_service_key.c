/* service key: the keys of the key service, which wrap the roots of volumes and never leave it. */
#include <errno.h>
#include <stdio.h>

#include "util/cli/key.h"
#include "util/cli/service.h"
#include "util/cli/volumes_policy.h"

enum { DAYS_MIN = 7, DAYS_MAX = 90, ROTATE_DAYS_MAX = 3650 };

static void print_volumes_policy(json_object *k)
{
	struct managed_policy policy;
	struct problem ignored = {0};
	char text[POLICY_TEXT];

	if (managed_policy_load(k, "volumes_", &policy, &ignored) == 0 && !managed_policy_empty(&policy))
		printf(", its volumes: %s", managed_policy_text(&policy, text));
}

static void print_key(json_object *k)
{
	printf("%-20s  %-8s  version %s", service_text(k, "name"), service_text(k, "state"), service_text(k, "latest"));
	if (*service_text(k, "rotated"))
		printf(" of %s", service_text(k, "rotated"));
	if (*service_text(k, "min_decryption_version"))
		printf(", unwraps from version %s", service_text(k, "min_decryption_version"));
	if (*service_text(k, "auto_rotate_days"))
		printf(", rotates every %s days", service_text(k, "auto_rotate_days"));
	print_volumes_policy(k);
	if (*service_text(k, "purge_protection"))
		printf(", protected from purging");
	if (*service_text(k, "purge_at"))
		printf(", purged at %s unless recovered", service_text(k, "purge_at"));
	putchar('\n');
}

static void print_keys(json_object *answer)
{
	service_each(answer, "keys", print_key);
}

int cmd_service_key_list(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_service_work_ struct service_work w = {0};
	struct words words;

	int r = service_start(v, argc, argv, 0, 0, &w, &words, why);
	return r ? r : service_show(&w, SERVICE_GET, NULL, print_keys, why, "keys");
}

int cmd_service_key_show(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_service_work_ struct service_work w = {0};
	struct words words;

	int r = service_start(v, argc, argv, 1, 1, &w, &words, why);
	return r ? r : service_show(&w, SERVICE_GET, NULL, print_key, why, "keys/%s", words.at[0]);
}

/* The verbs that take a name and do one thing with it, called as the last word of the verb says. */
static int simple(const struct verb *v, int argc, char **argv, const char *action, struct fault *why)
{
	_cleanup_service_work_ struct service_work w = {0};
	struct words words;

	int r = service_start(v, argc, argv, 1, 1, &w, &words, why);
	return r ? r : service_show(&w, SERVICE_POST, NULL, print_key, why, "keys/%s/%s", words.at[0], action);
}

int cmd_service_key_rotate(const struct verb *v, int argc, char **argv, struct fault *why)
{
	return simple(v, argc, argv, "rotate", why);
}

int cmd_service_key_disable(const struct verb *v, int argc, char **argv, struct fault *why)
{
	return simple(v, argc, argv, "disable", why);
}

int cmd_service_key_enable(const struct verb *v, int argc, char **argv, struct fault *why)
{
	return simple(v, argc, argv, "enable", why);
}

int cmd_service_key_recover(const struct verb *v, int argc, char **argv, struct fault *why)
{
	return simple(v, argc, argv, "recover", why);
}

/* ------------------------------------------------------------------ with options */

/* -1: not given. */
struct settings_wanted {
	int lowest, rotate_days;
	bool protect;
	struct volumes_policy volumes;
};
#define SETTINGS_NONE ((struct settings_wanted){-1, -1, .protect = false})
#define OPTIONS_SETTINGS(s)                                                                                            \
	OPTIONS_VOLUMES_POLICY(&(s)->volumes), {OPTION_NUMBER, 0, 0, "auto-rotate-days", &(s)->rotate_days},           \
	{                                                                                                              \
		OPTION_FLAG, 0, 0, "purge-protection", &(s)->protect                                                   \
	}

static bool wants_nothing(const struct settings_wanted *s)
{
	return s->lowest < 0 && s->rotate_days < 0 && !s->protect && !volumes_policy_given(&s->volumes);
}

static json_object *settings_body(const struct settings_wanted *s)
{
	json_object *o = json_object_new_object();

	if (s->lowest >= 0)
		json_add_number(o, "min_decryption_version", (uint64_t)s->lowest);
	if (s->rotate_days >= 0)
		json_add_number(o, "auto_rotate_days", (uint64_t)s->rotate_days);
	if (s->protect)
		json_add_bool(o, "purge_protection", true);
	volumes_policy_put(&s->volumes, o);
	return o;
}

int cmd_service_key_create(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_service_work_ struct service_work w = {0};
	_cleanup_service_answer_ struct service_answer made = {0};
	struct settings_wanted s = SETTINGS_NONE;
	const struct option_spec specs[] = {OPTIONS_SERVICE(&w), OPTIONS_SETTINGS(&s), {0}};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	if (r)
		return r;
	r = volumes_policy_parse(&s.volumes, why);
	if (r == 0)
		r = service_begin(&w, why);
	if (r < 0)
		return r;
	if (wants_nothing(&s))
		return service_show(&w, SERVICE_POST, NULL, print_key, why, "keys/%s", words.at[0]);
	r = service_do(&w, SERVICE_POST, NULL, &made, why, "keys/%s", words.at[0]);
	return r < 0 ? r
		     : service_show(&w, SERVICE_POST, settings_body(&s), print_key, why, "keys/%s/config", words.at[0]);
}

int cmd_service_key_config(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_service_work_ struct service_work w = {0};
	struct settings_wanted s = SETTINGS_NONE;
	const struct option_spec specs[] = {
		OPTIONS_SERVICE(&w), OPTIONS_SETTINGS(&s), {OPTION_NUMBER, 0, 0, "min-version", &s.lowest}, {0}};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	if (r)
		return r;
	if (wants_nothing(&s))
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "service key config: nothing to set; see: coffer service key config --help");
	r = volumes_policy_parse(&s.volumes, why);
	if (r == 0)
		r = service_begin(&w, why);
	return r < 0 ? r
		     : service_show(&w, SERVICE_POST, settings_body(&s), print_key, why, "keys/%s/config", words.at[0]);
}

int cmd_service_key_delete(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_service_work_ struct service_work w = {0};
	int days = DAYS_MAX;
	const struct option_spec specs[] = {OPTIONS_SERVICE(&w), {OPTION_NUMBER, 0, 0, "days", &days}, {0}};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	if (r)
		return r;
	if (days < DAYS_MIN || days > DAYS_MAX)
		return fault_set(why, EXIT_USAGE, ERANGE, "service key delete: --days takes %d to %d", DAYS_MIN,
				 DAYS_MAX);
	r = service_begin(&w, why);
	if (r < 0)
		return r;
	json_object *body = json_object_new_object();
	json_add_number(body, "days", (uint64_t)days);
	return service_show(&w, SERVICE_POST, body, print_key, why, "keys/%s/delete", words.at[0]);
}

int cmd_service_key_purge(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_service_work_ struct service_work w = {0};
	bool yes = false;
	const struct option_spec specs[] = {OPTIONS_SERVICE(&w), {OPTION_FLAG, 0, 0, "yes", &yes}, {0}};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	if (r)
		return r;
	if (!yes)
		r = confirm_typed("This destroys the key: what it has wrapped, and every volume that nothing else "
				  "opens, is lost\n"
				  "for good.  Type the name of the key: ",
				  words.at[0], "give --yes", why);
	if (r == 0)
		r = service_begin(&w, why);
	return r < 0 ? r : service_show(&w, SERVICE_POST, NULL, print_key, why, "keys/%s/purge", words.at[0]);
}

/* ------------------------------------------------------------------ who may use it */

static int set_grant(const struct verb *v, int argc, char **argv, const char *action, struct fault *why)
{
	_cleanup_service_work_ struct service_work w = {0};
	struct words words;

	int r = service_start(v, argc, argv, 2, 2, &w, &words, why);
	if (r)
		return r;
	json_object *body = json_object_new_object();
	json_add_text(body, "client", words.at[1]);
	return service_show(&w, SERVICE_POST, body, print_key, why, "keys/%s/%s", words.at[0], action);
}

int cmd_service_key_grant(const struct verb *v, int argc, char **argv, struct fault *why)
{
	return set_grant(v, argc, argv, "grant", why);
}

int cmd_service_key_ungrant(const struct verb *v, int argc, char **argv, struct fault *why)
{
	return set_grant(v, argc, argv, "ungrant", why);
}
