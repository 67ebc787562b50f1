#include "fs/gate.h"

#include <linux/fuse.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

enum { STEP_NS = 10 * 1000 * 1000 };

static struct {
	atomic_bool refusing, last, closed;
	atomic_uint under_way;
} gate;

/* Requests that change something below.  A sync passes a freeze: what could be synced is. */
static bool changes(unsigned opcode)
{
	static const bool table[] = {
		[FUSE_SETATTR] = true,     [FUSE_SYMLINK] = true,
		[FUSE_MKNOD] = true,       [FUSE_MKDIR] = true,
		[FUSE_UNLINK] = true,      [FUSE_RMDIR] = true,
		[FUSE_RENAME] = true,      [FUSE_LINK] = true,
		[FUSE_WRITE] = true,       [FUSE_SETXATTR] = true,
		[FUSE_REMOVEXATTR] = true, [FUSE_FALLOCATE] = true,
		[FUSE_RENAME2] = true,     [FUSE_COPY_FILE_RANGE] = true,
		[FUSE_TMPFILE] = true,
	};

	return opcode < sizeof table / sizeof table[0] && table[opcode];
}

/* What the kernel sends of its own to get rid of written pages, and what waits for that.  Nothing whose answer brings attributes that
 * the kernel would keep: of SETATTR only the one that follows written pages.  And GETXATTR, which a write(2) asks of
 * security.capability after the attributes: left alone, it would take the error at the end for "none", and write into a cache that
 * nobody empties any more. */
static bool writes_back(const struct gate_request *r)
{
	switch (r->opcode) {
	case FUSE_WRITE:
	case FUSE_SETATTR:
		return r->written_back;
	case FUSE_GETXATTR:
	case FUSE_FSYNC:
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return true;
	default:
		return false;
	}
}

/* (1) */
static bool needs_no_key(const struct gate_request *r)
{
	switch (r->opcode) {
	case FUSE_INIT:
	case FUSE_DESTROY:
	case FUSE_STATFS:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
	case FUSE_INTERRUPT:
		return true;
	case FUSE_GETATTR:
		return r->node == FUSE_ROOT_ID;
	case FUSE_GETXATTR:
	case FUSE_FSYNC:
		return false;
	default:
		return writes_back(r);
	}
}

void gate_come(void)
{
	atomic_fetch_add(&gate.under_way, 1);
}

void gate_gone(void)
{
	atomic_fetch_sub(&gate.under_way, 1);
}

enum gate_verdict gate_judge(const struct gate_request *r)
{
	if (atomic_load(&gate.refusing) && !needs_no_key(r))
		return GATE_REFUSED;
	if (atomic_load(&gate.closed) || (atomic_load(&gate.last) && !writes_back(r)))
		return GATE_UNANSWERED;
	return changes(r->opcode) ? GATE_CHANGE : GATE_LOOK;
}

static void wait_for_those_under_way(void)
{
	const struct timespec step = {0, STEP_NS};

	while (atomic_load(&gate.under_way))
		nanosleep(&step, NULL);
}

void gate_refuse(bool so)
{
	atomic_store(&gate.refusing, so);
}

void gate_serve_the_last(void)
{
	atomic_store(&gate.last, true);
	wait_for_those_under_way();
}

void gate_close(void)
{
	atomic_store(&gate.closed, true);
	wait_for_those_under_way();
}
