#include "fs/damage.h"

#include <errno.h>
#include <inttypes.h>

#include "fs/names.h"
#include "util/base/log.h"

int damage_report(struct engine *e, struct node *n, int result, const char *what, uint64_t number)
{
	char path[1024], escaped[2048];

	if (result != -EBADMSG)
		return result;
	atomic_fetch_add(&e->damaged_pages, 1);
	names_path(e, n, path, sizeof path);
	log_error("%s: %s: %s %" PRIu64 " does not authenticate",
		  e->options.shared ? "damaged, or not all of it has come yet" : "damaged",
		  log_escape(path, escaped, sizeof escaped), what, number);
	return -EIO;
}
