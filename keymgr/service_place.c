#include "keymgr/service_place.h"

static int take_path(char **field, const char *path, struct fault *why)
{
	return path ? service_config_set_path(field, path, why) : 0;
}

int service_place_read(const struct service_place *p, struct service_config *out, struct fault *why)
{
	int ret = p->urls ? service_config_set_urls(out, p->urls) : 0;

	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "cannot ask %s", out->kind->who);
	out->of_host = true;
	ret = take_path(&out->ca, p->ca, why);
	if (ret == 0)
		ret = take_path(&out->cert, p->cert, why);
	if (ret == 0)
		ret = take_path(&out->key, p->key, why);
	if (ret == 0 && (p->file || !p->urls || !p->ca || !p->cert || !p->key))
		ret = service_config_read(p->file, out, why);
	return ret;
}
