/* The addresses of servers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/helper/service.h"

static bool host_is_sound(const char *host)
{
	size_t n = strlen(host);

	return n > 0 && n <= SERVICE_HOST_MAX &&
	       strspn(host, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-:%") == n;
}

static bool port_is_sound(const char *port)
{
	size_t n = strlen(port);

	return n > 0 && n <= 5 && strspn(port, "0123456789") == n;
}

/* HOST, HOST:PORT, [ADDRESS], [ADDRESS]:PORT. */
static bool split(const char *at, int default_port, struct service_url *out)
{
	const char *end, *port;
	size_t n;

	if (*at == '[') {
		at++;
		end = strchr(at, ']');
		if (!end || (end[1] && end[1] != ':'))
			return false;
		port = end[1] ? end + 2 : NULL;
	} else {
		end = at + strcspn(at, ":");
		port = *end ? end + 1 : NULL;
	}
	n = (size_t)(end - at);
	if (n > SERVICE_HOST_MAX || (port && !port_is_sound(port)))
		return false;
	memcpy(out->host, at, n);
	out->host[n] = '\0';
	if (port)
		memcpy(out->port, port, strlen(port) + 1);
	else
		snprintf(out->port, sizeof(out->port), "%d", default_port);
	return host_is_sound(out->host);
}

static int parse(char *text, const struct url_form *form, struct service_url *out, struct reason *why)
{
	size_t n = strlen(text), scheme = strlen(form->scheme);

	if (scheme && n > 0 && text[n - 1] == '/' && n > scheme + 1)
		text[--n] = '\0';
	if (n >= sizeof(out->text) || strncmp(text, form->scheme, scheme) != 0 ||
	    !split(text + scheme, form->port, out))
		return reason_set(why, EINVAL, "%.200s is no address of %s; give %s", text, form->whose, form->example);
	memcpy(out->text, text, n + 1);
	return 0;
}

int service_parse_urls(char *text, const struct url_form *form, struct service_setup *out, struct reason *why)
{
	char *rest = text, *line;

	out->count = out->next = 0;
	while ((line = strsep(&rest, "\n"))) {
		int ret;

		if (!*line)
			continue;
		if (out->count == SERVICE_URLS_MAX)
			return reason_set(why, EINVAL, "more than %d addresses of %s are given", SERVICE_URLS_MAX,
					  form->whose);
		ret = parse(line, form, &out->urls[out->count++], why);
		if (ret < 0)
			return ret;
	}
	return out->count ? 0 : reason_set(why, EINVAL, "no address of %s is given", form->whose);
}
