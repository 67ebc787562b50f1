/* Placeholders for parts of fs/ that are not there yet; meson.build says which.  To be removed with the last of them. */
#include <errno.h>

#include "fs/check.h"
#include "fs/mount.h"
#include "fs/path_tool.h"

static int absent(struct fault *why)
{
	return fault_set(why, EXIT_FAILED, ENOSYS, "not built into this coffer yet");
}

#ifdef ABSENT_MOUNT
int mount_run(const struct mount_options *o, struct fault *why)
{
	(void)o;
	return absent(why);
}

int mount_options_parse(char *text, struct mount_options *o, struct fault *why)
{
	(void)text;
	(void)o;
	return absent(why);
}
#endif

#ifdef ABSENT_CHECK
int check_run(const struct check_options *o, struct check_report *report, struct fault *why)
{
	(void)o;
	*report = (struct check_report){0};
	return absent(why);
}
#endif

#ifdef ABSENT_PATH_TOOL
int volume_path(const char *dir, const struct unlock_source *unlock, const char *path, bool decrypt, char **out,
		struct fault *why)
{
	(void)dir;
	(void)unlock;
	(void)path;
	(void)decrypt;
	*out = NULL;
	return absent(why);
}
#endif
