/* init: a rules file to begin with. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "util/cli/field.h"

int cmd_field_init(const struct verb *v, int argc, char **argv, struct fault *why)
{
	const struct option_spec specs[] = {{0}};
	struct words words;
	int ret = options_parse(v, argc, argv, specs, 0, 0, &words, why);

	if (ret)
		return ret == OPTIONS_HELP ? 0 : ret;
	_cleanup_close_ int fd = open(RULES_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return fault_errno(why, errno == EEXIST ? EXIT_REFUSED : EXIT_STORE, -errno, "cannot make %s",
				   RULES_FILE);
	ret = descriptor_write(&fd, rules_example, strlen(rules_example), why);
	if (ret == 0 && fsync(fd) < 0)
		ret = fault_errno(why, EXIT_STORE, -errno, "cannot write %s", RULES_FILE);
	if (ret == 0)
		printf("made %s; edit it, then: coffer field encrypt FILE -i\n", RULES_FILE);
	return ret;
}
