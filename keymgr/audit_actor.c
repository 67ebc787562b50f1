/* Who does something. */
#include "keymgr/audit_actor.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_MAX = 128, NAMES = 4096 };

static const char *command = "coffer";

void audit_actor_set_command(const char *c)
{
	command = c;
}

int audit_put_text(json_object *o, const char *name, const char *text)
{
	char clean[TEXT_MAX + 1];
	size_t n = 0;

	for (; n < TEXT_MAX && text[n]; n++)
		clean[n] = text[n] < 0x20 || text[n] > 0x7e || text[n] == '"' || text[n] == '\\' ? '?' : text[n];
	clean[n] = '\0';
	return put_string(o, name, clean);
}

static int put_user(json_object *o)
{
	_cleanup_free_ char *names = malloc(NAMES);
	struct passwd entry, *found = NULL;
	int ret = put_number(o, "uid", getuid());

	if (!names)
		return -ENOMEM;
	if (ret == 0 && getpwuid_r(getuid(), &entry, names, NAMES, &found) == 0 && found)
		ret = audit_put_text(o, "user", entry.pw_name);
	return ret;
}

/* The kernel keeps it through su and sudo; 2^32 - 1 where nobody logged in. */
static int put_login(json_object *o)
{
	_cleanup_close_ int fd = open("/proc/self/loginuid", O_RDONLY | O_CLOEXEC);
	char text[16] = "";
	unsigned long uid;

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return 0;
	uid = strtoul(text, NULL, 10);
	return uid < UINT32_MAX ? put_number(o, "login", uid) : 0;
}

int audit_actor_put(json_object *o)
{
	char text[TEXT_MAX + 1] = "";
	int ret = put_user(o);

	if (ret == 0)
		ret = put_login(o);
	if (ret == 0 && gethostname(text, sizeof(text) - 1) == 0)
		ret = audit_put_text(o, "host", text);
	if (ret == 0 &&
	    (ttyname_r(STDIN_FILENO, text, sizeof(text)) == 0 || ttyname_r(STDERR_FILENO, text, sizeof(text)) == 0))
		ret = audit_put_text(o, "terminal", text);
	if (ret == 0)
		ret = put_number(o, "pid", (uint64_t)getpid());
	if (ret == 0)
		ret = audit_put_text(o, "command", command);
	return ret;
}
