#include "keymgr/service_use.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool name_is_sound(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= SERVICE_KEY_NAME_MAX && name[0] != '.' && name[0] != '-' && name[0] != '_' &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

void service_use_free(struct service_use **up)
{
	struct service_use *u = *up;

	if (!u)
		return;
	*up = NULL;
	service_client_free(&u->client);
	service_config_free(&u->remembered);
	free(u);
}

static int connect_at(const struct service_place *at, struct service_use *u, struct fault *why)
{
	_cleanup_service_config_ struct service_config config = SERVICE_CONFIG_NONE;
	int ret = service_place_read(at, &config, why);

	if (ret == -ENOENT && why->status == EXIT_OK && !config.urls)
		return fault_set(why, EXIT_USAGE, ENOENT,
				 "where is the key service? Write it into %s, or name another file by "
				 "--service-config, or its address by --service",
				 SERVICE_CONFIG_FILE);
	/* What else is missing is named when the client is made. */
	return ret < 0 && why->status != EXIT_OK ? ret : service_client_new(&config, &u->client, why);
}

int service_use_new(const struct service_place *at, const char *key, struct service_use **out, struct fault *why)
{
	struct service_use *u;
	int ret = 0;

	*out = NULL;
	if (key && !name_is_sound(key))
		return fault_set(
			why, EXIT_USAGE, EINVAL,
			"%.80s is no name of a key: 1 to %d of A-Z a-z 0-9 . _ -, beginning with a letter or digit",
			key, SERVICE_KEY_NAME_MAX);
	u = calloc(1, sizeof(*u));
	if (!u)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory for the key service");
	u->remembered = SERVICE_CONFIG_NONE;
	if (key)
		memcpy(u->key, key, strlen(key) + 1);
	if (at && (key || service_place_given(at)))
		ret = connect_at(at, u, why);
	if (ret < 0)
		service_use_free(&u);
	*out = u;
	return ret;
}

int service_use_renew(const struct keyring *k, uint32_t id, const struct service_use *with, struct service_use **out,
		      struct fault *why)
{
	struct service_protector p;
	int ret = keyring_service(k, id, &p);

	*out = NULL;
	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "cannot renew a protector of the key service");
	ret = service_use_new(NULL, NULL, out, why);
	if (ret == 0)
		ret = service_client_new(with->client ? service_client_config(with->client) : &p.config,
					 &(*out)->client, why);
	if (ret == 0) {
		memcpy((*out)->key, p.key, sizeof(p.key));
		ret = service_config_copy(&p.config, &(*out)->remembered);
	}
	service_protector_free(&p);
	if (ret < 0)
		service_use_free(out);
	return ret;
}
