#include "keymgr/service_config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "keymgr/helper/service_protocol.h"
#include "util/base/number.h"

enum { CONFIG_LINE_MAX = 4096, RENEW_DAYS_MAX = 3650 };

const struct server_kind server_key_service = {
	.who = "the key service",
	.helper = SERVICE_HELPER,
	.file = SERVICE_CONFIG_FILE,
	.addresses = "service",
	.options = {"--service URL", "--ca FILE", "--cert FILE", "--key FILE"},
	.renews = true,
};

void service_config_free(struct service_config *c)
{
	free(c->urls);
	free(c->ca);
	free(c->cert);
	free(c->key);
	*c = (struct service_config){.kind = c->kind, .renew_days = SERVICE_RENEW_DAYS};
}

static int set(char **field, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

int service_config_set_urls(struct service_config *c, const char *text)
{
	int ret = set(&c->urls, text);
	char *to = c->urls;

	if (ret < 0)
		return ret;
	for (const char *at = text; *at; at++)
		if (*at == ',')
			*to++ = '\n';
		else if (*at != ' ' && *at != '\t')
			*to++ = *at;
	*to = '\0';
	return 0;
}

/* `path` behind the directory of `file`, if it is not absolute. */
static int set_beside(char **field, const char *path, const char *file)
{
	const char *slash = strrchr(file, '/');
	char *joined;

	if (*path == '/' || !slash)
		return set(field, path);
	if (asprintf(&joined, "%.*s/%s", (int)(slash - file), file, path) < 0)
		return -ENOMEM;
	free(*field);
	*field = joined;
	return 0;
}

int service_config_set_path(char **field, const char *path, struct fault *why)
{
	char here[PATH_MAX + 2];
	int ret;

	if (!getcwd(here, PATH_MAX))
		return fault_errno(why, EXIT_FAILED, -errno, "%s", path);
	strcat(here, "/");
	ret = set_beside(field, path, here);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "%s", path) : 0;
}

/* --- the file */

static char *trim(char *text)
{
	char *end;

	text += strspn(text, " \t");
	end = text + strlen(text);
	while (end > text && strchr(" \t\r\n", end[-1]))
		*--end = '\0';
	return text;
}

/* What the command line has given counts more. */
static int take(const char *name, const char *value, const char *file, struct service_config *out)
{
	uint64_t days;

	if (strcmp(name, out->kind->addresses) == 0)
		return out->urls ? 0 : service_config_set_urls(out, value);
	if (strcmp(name, "ca") == 0)
		return out->ca ? 0 : set_beside(&out->ca, value, file);
	if (strcmp(name, "cert") == 0)
		return out->cert ? 0 : set_beside(&out->cert, value, file);
	if (strcmp(name, "key") == 0)
		return out->key ? 0 : set_beside(&out->key, value, file);
	if (out->kind->renews && strcmp(name, "renew-days") == 0 && number_parse(value, RENEW_DAYS_MAX, &days) == 0) {
		out->renew_days = (unsigned)days;
		return 0;
	}
	return -EINVAL;
}

static int parse(FILE *f, const char *file, struct service_config *out, struct fault *why)
{
	char line[CONFIG_LINE_MAX];

	for (unsigned number = 1; fgets(line, sizeof(line), f); number++) {
		char *text = trim(line), *sign = strchr(text, '=');
		int ret;

		if (!*text || *text == '#')
			continue;
		if (sign)
			*sign = '\0';
		ret = sign ? take(trim(text), trim(sign + 1), file, out) : -EINVAL;
		if (ret == -EINVAL)
			return fault_set(why, EXIT_USAGE, EINVAL,
					 "%s, line %u: expected %s, ca, cert%s, \"=\", and a value", file, number,
					 out->kind->addresses, out->kind->renews ? ", key or renew-days" : " or key");
		if (ret < 0)
			return fault_errno(why, EXIT_FAILED, ret, "cannot read %s", file);
	}
	return ferror(f) ? fault_errno(why, EXIT_FAILED, -EIO, "cannot read %s", file) : 0;
}

int service_config_read(const char *file, struct service_config *out, struct fault *why)
{
	_cleanup_free_ char *path = NULL;
	FILE *f;
	int ret = service_config_set_path(&path, file ? file : out->kind->file, why);

	if (ret < 0)
		return ret;
	f = fopen(path, "re");
	if (!f && errno == ENOENT && !file)
		return -ENOENT;
	if (!f)
		return fault_errno(why, EXIT_USAGE, -errno, "cannot read %s", path);
	ret = parse(f, path, out, why);
	fclose(f);
	out->of_host = true;
	return ret;
}

int service_config_check(const struct service_config *c, struct fault *why)
{
	const char *const given[] = {c->urls && *c->urls ? c->urls : NULL, c->ca, c->cert, c->key};

	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
		if (!given[i])
			return fault_set(why, EXIT_USAGE, EINVAL, "%s: give %s, or write it into %s", c->kind->who,
					 c->kind->options[i], c->kind->file);
	if (strlen(c->ca) >= SERVICE_PATH_MAX || strlen(c->cert) >= SERVICE_PATH_MAX ||
	    strlen(c->key) >= SERVICE_PATH_MAX)
		return fault_set(why, EXIT_USAGE, ENAMETOOLONG, "a path is too long");
	return 0;
}

int service_config_copy(const struct service_config *from, struct service_config *out)
{
	int ret;

	*out = (struct service_config){.kind = from->kind, .renew_days = from->renew_days, .of_host = from->of_host};
	ret = set(&out->urls, from->urls);
	if (ret == 0)
		ret = set(&out->ca, from->ca);
	if (ret == 0)
		ret = set(&out->cert, from->cert);
	if (ret == 0)
		ret = set(&out->key, from->key);
	if (ret < 0)
		service_config_free(out);
	return ret;
}
