#include "keymgr/protector_server.h"

#include <errno.h>
#include <string.h>

#include "keymgr/helper/service_protocol.h"

enum { ADDRESSES_MAX = 2400 };

static int load_path(json_object *o, const char *name, const char **out, struct problem *p)
{
	int ret = member_string(o, name, out, p);

	if (ret == 0 && (**out != '/' || strlen(*out) >= SERVICE_PATH_MAX))
		ret = problem_set(p, "\"%s\" of a protector is no absolute path", name);
	return ret;
}

int server_members_load(json_object *o, const struct server_kind *kind, struct server_members *out, struct problem *p)
{
	int ret = member_string(o, kind->addresses, &out->addresses, p);

	if (ret == 0 && (!*out->addresses || strlen(out->addresses) > ADDRESSES_MAX))
		ret = problem_set(p, "\"%s\" of a protector is malformed", kind->addresses);
	if (ret == 0)
		ret = load_path(o, "ca", &out->ca, p);
	if (ret == 0)
		ret = load_path(o, "cert", &out->cert, p);
	return ret == 0 ? load_path(o, "private_key", &out->private_key, p) : ret;
}

int server_members_put(json_object *o, const struct service_config *c)
{
	char addresses[ADDRESSES_MAX + 1];
	int ret;

	if (strlen(c->urls) > ADDRESSES_MAX)
		return -EINVAL;
	strcpy(addresses, c->urls);
	for (char *at = addresses; *at; at++)
		if (*at == '\n')
			*at = ',';
	ret = put_string(o, c->kind->addresses, addresses);
	if (ret == 0)
		ret = put_string(o, "ca", c->ca);
	if (ret == 0)
		ret = put_string(o, "cert", c->cert);
	return ret == 0 ? put_string(o, "private_key", c->key) : ret;
}

int server_members_config(const struct server_members *m, const struct server_kind *kind, struct service_config *out)
{
	int ret;

	out->kind = kind;
	ret = service_config_set_urls(out, m->addresses);
	out->ca = strdup(m->ca);
	out->cert = strdup(m->cert);
	out->key = strdup(m->private_key);
	return ret == 0 && out->ca && out->cert && out->key ? 0 : -ENOMEM;
}

/* The document takes nothing else. */
static bool is_plain(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~' || *text == '\\' || *text == '"')
			return false;
	return true;
}

int server_paths_check(const struct service_config *c, struct fault *why)
{
	const char *const paths[] = {c->ca, c->cert, c->key};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (*paths[i] != '/' || !is_plain(paths[i]))
			return fault_set(why, EXIT_USAGE, EINVAL,
					 "a path that the volume is to remember has to be absolute, of printable ASCII "
					 "characters, without quotes and backslashes");
	return 0;
}
