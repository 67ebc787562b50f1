/* FUSE operations: decode, call the engine, answer. */
#ifndef COFFER_FS_OPS_H
#define COFFER_FS_OPS_H

#include "fs/engine.h"

struct fuse_lowlevel_ops;

/* The user data of the session. */
struct ops_context {
	struct engine *engine;
	struct slow *slow;
	bool writeback;
	bool ask_open; /* the kernel asks whenever a file is opened, so that a locked one is refused then and not first when it is read */
	bool shared;     /* others may change the store: what is opened is asked for, listings are not kept */
	double believed; /* seconds for which the kernel believes entries, missing entries and attributes */
	bool io_uring;   /* requests come by rings, if the kernel lets them (ring.h) */
	bool no_perm; /* the kernel checks no permissions, and so asks for none of the attributes that it would check them by */
	bool no_xattr; /* attributes and ACLs are refused once, and never asked for again */
	uint32_t time_granularity_ns;
	void (*ready)(struct ops_context *c); /* called once INIT is being answered */
	void *data;
};

extern const struct fuse_lowlevel_ops ops_table;
unsigned ops_table_size(void);

/* Hooks of the serving threads (transport.h): around each request; before a thread ends. */
void ops_begin(void *context);
void ops_end(void *context);
void ops_thread_end(void);
void ops_wipe(void);

#endif
