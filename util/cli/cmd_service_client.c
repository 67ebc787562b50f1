/* service client: who may use the key service, and how a host becomes one of them. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "util/cli/service.h"

static void print_client(json_object *c)
{
	printf("%s  %-8s  %-8s  %s, since %s\n", service_text(c, "fingerprint"), service_text(c, "state"),
	       *service_text(c, "role") ? service_text(c, "role") : "-", service_text(c, "name"),
	       service_text(c, "since"));
}

static void print_clients(json_object *answer)
{
	service_each(answer, "clients", print_client);
}

int cmd_service_client_list(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_service_work_ struct service_work w = {0};
	struct words words;

	int r = service_start(v, argc, argv, 0, 0, &w, &words, why);
	return r ? r : service_show(&w, SERVICE_GET, NULL, print_clients, why, "clients");
}

int cmd_service_client_accept(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_service_work_ struct service_work w = {0};
	const char *role = NULL;
	const struct option_spec specs[] = {OPTIONS_SERVICE(&w), {OPTION_TEXT, 0, 0, "role", &role}, {0}};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 1, 1, &words, why);
	if (r)
		return r;
	r = service_begin(&w, why);
	if (r < 0)
		return r;
	json_object *body = json_object_new_object();
	json_add_text(body, "role", role ? role : "client");
	return service_show(&w, SERVICE_POST, body, print_client, why, "clients/%s/accept", words.at[0]);
}

int cmd_service_client_revoke(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_service_work_ struct service_work w = {0};
	struct words words;

	int r = service_start(v, argc, argv, 1, 1, &w, &words, why);
	return r ? r : service_show(&w, SERVICE_POST, NULL, print_client, why, "clients/%s/revoke", words.at[0]);
}

/* ------------------------------------------------------------------ becoming one */

struct registration {
	struct service_work w;
	const char *name;
	int wait; /* seconds */
	bool made;
	struct service_identity who;
};

/* The name is for people; letters that the service does not take become hyphens. */
static void host_name(char out[65])
{
	char name[HOST_NAME_MAX + 1] = "";

	if (gethostname(name, sizeof name) < 0 || !*name)
		strcpy(name, "host");
	name[HOST_NAME_MAX] = '\0';
	snprintf(out, 65, "%.64s", name);
	for (char *at = out; *at; at++)
		if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_@", *at))
			*at = '-';
}

/* Keeps the certificate once there is one.  *accepted: there is. */
static int ask_once(struct registration *g, bool *accepted, struct service_answer *a, struct fault *why)
{
	json_object *body = json_object_new_object();

	json_add_text(body, "name", g->name);
	int r = service_do(&g->w, SERVICE_ASK, body, a, why, "clients/register");
	if (r < 0)
		return r;
	*accepted = strcmp(service_text(a->body, "state"), "accepted") == 0 && *service_text(a->body, "certificate");
	return *accepted ? service_store_certificate(g->w.client, service_text(a->body, "certificate"), why) : 0;
}

static void report(const struct registration *g, bool accepted)
{
	const struct service_config *c = service_client_config(g->w.client);

	if (g->w.json) {
		json_object *o = json_object_new_object();

		json_add_text(o, "fingerprint", g->who.fingerprint);
		json_add_text(o, "name", g->name);
		json_add_text(o, "state", accepted ? "accepted" : "pending");
		json_add_bool(o, "made", g->made);
		json_add_text(o, "cert", c->cert);
		json_add_text(o, "key", c->key);
		json_print(o);
		return;
	}
	if (g->made)
		printf("made %s and %s\n", c->key, c->cert);
	printf("fingerprint: %s\n", g->who.fingerprint);
	if (accepted)
		printf("accepted; the certificate is in %s\n", c->cert);
	else
		printf("an administrator has to accept it:  coffer service client accept %s\n"
		       "then, here, the same again:         coffer service client register\n",
		       g->who.fingerprint);
}

static int run_registration(struct registration *g, struct fault *why)
{
	const struct timespec pause = {.tv_sec = 1};
	bool accepted = false;

	int r = service_make_identity(g->w.client, g->name, &g->made, why);
	if (r == 0)
		r = service_identity(g->w.client, &g->who, why);
	for (int left = g->wait; r == 0; left--) {
		_cleanup_service_answer_ struct service_answer a = {0};

		r = ask_once(g, &accepted, &a, why);
		if (r < 0 || accepted || left <= 0)
			break;
		nanosleep(&pause, NULL);
	}
	if (r == 0)
		report(g, accepted);
	return r;
}

int cmd_service_client_register(const struct verb *v, int argc, char **argv, struct fault *why)
{
	struct registration g = {0};
	char name[65];
	const struct option_spec specs[] = {OPTIONS_SERVICE(&g.w),
					    {OPTION_TEXT, 0, 0, "name", &g.name},
					    {OPTION_NUMBER, 0, 0, "wait", &g.wait},
					    {0}};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 0, 0, &words, why);
	if (r)
		return r;
	host_name(name);
	if (!g.name)
		g.name = name;
	r = service_begin(&g.w, why);
	if (r == 0)
		r = run_registration(&g, why);
	service_work_close(&g.w);
	return r;
}
