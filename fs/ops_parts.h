/* What the files of the operations share: ops.c (session, names, attributes, the table) and ops_content.c (content and listings). */
#ifndef COFFER_FS_OPS_PARTS_H
#define COFFER_FS_OPS_PARTS_H

#include <fuse_lowlevel.h>

#include "fs/ops.h"

static inline struct engine *engine_of(fuse_req_t req)
{
	return ((struct ops_context *)fuse_req_userdata(req))->engine;
}

/* The one place where an error of the engine's own becomes one of POSIX: what does not authenticate is EIO. */
void ops_answer(fuse_req_t req, ssize_t result);
struct fuse_entry_param ops_entry(fuse_req_t req, const struct node_attr *a);

/* As libfuse wants them (struct fuse_lowlevel_ops). */
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t length, struct fuse_file_info *fi);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);
void op_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_off, struct fuse_file_info *from_fi, fuse_ino_t to,
			off_t to_off, struct fuse_file_info *to_fi, size_t n, int flags);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);

#endif
