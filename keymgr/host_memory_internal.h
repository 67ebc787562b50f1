/* The inside of a host's memory: host_memory.c keeps the file, host_judge.c judges by it. */
#ifndef COFFER_KEYMGR_HOST_MEMORY_INTERNAL_H
#define COFFER_KEYMGR_HOST_MEMORY_INTERNAL_H

#include "keymgr/host_memory.h"
#include "keymgr/internal.h"

enum { HOST_ROOTS_MAX = 64 };

struct host_memory {
	struct store *store;
	int dir, lock;
	char name[2 * VOLUME_ID_SIZE + 6]; /* ID.json */
	json_object *doc;
};

#endif
