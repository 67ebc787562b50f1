/* What `coffer status` found out about one volume, and how it is printed. */
#ifndef COFFER_CLI_STATUS_H
#define COFFER_CLI_STATUS_H

#include "util/cli/cli.h"
#include "util/cli/mounts.h"
#include "util/cli/output.h"
#include "util/cli/reach.h"

struct status_mount {
	char *point;
	bool read_only, dead;
};

struct tree_size {
	uint64_t objects, bytes; /* bytes: what the store gives to them */
};

struct volume_status {
	struct cli_volume volume;
	struct status_mount *mounts;
	size_t mount_count;
	bool locked;   /* some process holds the volume */
	bool old_copy; /* mounted, but not held: with -o oldcopy */
	bool reached;  /* `process` is what its process says */
	struct control_answer process;
	bool caps_known, space_known, size_known;
	struct store_caps caps;
	struct statvfs space;
	struct tree_size size;
};

void status_print(const struct volume_status *s);
void status_print_json(const struct volume_status *s);

struct watch_options {
	unsigned seconds; /* between two lines */
	unsigned count;   /* of lines; 0: until the mount ends */
	bool json;
};
/* Prints what the mount of this volume does, until it ends. */
int status_watch(const char *word, const struct watch_options *o, struct fault *why) MUST_CHECK;

/* Adds up everything below directory handle `dir`. */
int tree_size(struct store *s, int dir, struct tree_size *out) MUST_CHECK;

/* The protectors, also for `key list --json`. */
json_object *protectors_json(const struct keyring *k);
/* The generations, also for `key list --json`. */
json_object *generations_json(const struct keyring *k);
/* A new list of the keyring's generations, *count of them; NULL without memory, and *count is 0 then. */
struct generation_info *generations_list(const struct keyring *k, uint32_t *count);

#endif
