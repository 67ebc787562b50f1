#include "util/field/engine.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/base/log.h"

enum { BLOCK = 256 << 10, FILE_ROOM = 200 };

/* One piece: as it was, and as it will be. */
struct run {
	const struct engine *e;
	struct scan scan, again;
	struct buffer out, with, path, path_again;
	struct buffer expected; /* new source texts of the leaves of this piece, one after the other */
	size_t *expected_end;   /* where each ends */
	size_t expected_room;
	struct fault *why;
};
#define _cleanup_run_ _cleanup_(run_free)

static void run_free(struct run *r)
{
	scan_free(&r->scan);
	scan_free(&r->again);
	buffer_free(&r->out);
	buffer_free(&r->with);
	buffer_free(&r->path);
	buffer_free(&r->path_again);
	buffer_free(&r->expected);
	free(r->expected_end);
}

static void run_start(struct run *r, const struct engine *e, struct fault *why)
{
	*r = (struct run){.e = e, .why = why};
	r->scan.format = r->again.format = e->format;
	r->scan.options = r->again.options = e->options;
	r->scan.file = r->again.file = e->file;
	r->scan.why = r->again.why = why;
}

static int no_memory(const struct run *r, int ret)
{
	char file[FILE_ROOM];

	return fault_errno(r->why, EXIT_FAILED, ret, "%s", log_escape(r->e->file, file, sizeof(file)));
}

/* ------------------------------------------------------------------ one piece */

static int expect(struct run *r, size_t i, const char *source, size_t n)
{
	if (r->expected_room < r->scan.count) {
		size_t room = 2 * r->scan.count;
		size_t *bigger = reallocarray(r->expected_end, room, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		r->expected_end = bigger;
		r->expected_room = room;
	}
	int ret = buffer_add(&r->expected, source, n);
	r->expected_end[i] = r->expected.size;
	return ret;
}

/* An empty value that became a token got a blank before it; the blank goes when nothing comes back. */
static void drop_blank(struct run *r, const struct leaf *l, size_t before)
{
	if (l->end > l->start && r->e->format->blank_before && !r->with.size && r->out.size > before &&
	    r->out.bytes[r->out.size - 1] == ' ')
		r->out.size--;
}

static int edit_leaf(struct run *r, size_t i, size_t *copied)
{
	const struct leaf *l = &r->scan.leaves[i];
	const char *text = r->scan.text;
	struct found f = {&r->scan, i, l, NULL, 0, text + l->start, l->end - l->start};
	bool replace = false, blank = r->e->format->blank_before && l->start == l->end;
	size_t before = r->out.size;
	int ret;

	buffer_reset(&r->path);
	buffer_reset(&r->with);
	ret = scan_path(&r->scan, l, &r->path);
	f.path = r->path.bytes;
	f.path_size = r->path.size;
	if (ret == 0)
		ret = r->e->edit(r->e->edit_context, &f, &r->with, &replace, r->why);
	if (ret < 0 || !r->e->write)
		return ret;
	if (!replace)
		return expect(r, i, text + l->start, l->end - l->start);
	ret = buffer_add(&r->out, text + *copied, l->start - *copied);
	if (ret == 0)
		drop_blank(r, l, before);
	if (ret == 0 && blank && r->with.size)
		ret = buffer_byte(&r->out, ' ');
	if (ret == 0)
		ret = buffer_add(&r->out, r->with.bytes, r->with.size);
	*copied = l->end;
	return ret < 0 ? ret : expect(r, i, r->with.bytes, r->with.size);
}

static int differs(struct run *r, size_t i)
{
	_cleanup_buffer_ struct buffer where = {0};
	struct found f = {&r->scan, i, NULL, NULL, 0, NULL, 0};

	if (i < r->scan.count) {
		f.leaf = &r->scan.leaves[i];
		if (scan_path(&r->scan, f.leaf, &where) == 0) {
			_cleanup_buffer_ struct buffer text = {0};

			f.path = where.bytes;
			f.path_size = where.size;
			if (found_where(&f, &text) == 0)
				return fault_set(r->why, EXIT_FAILED, EBADMSG,
						 "%s: the new text would be read differently; nothing was written",
						 text.bytes);
		}
	}
	return fault_set(r->why, EXIT_FAILED, EBADMSG,
			 "%s: the new text would be read differently; nothing was written", r->e->file);
}

/* The two scans found the same names in the same order, so that leaves of one node have one path. */
static bool same_nodes(const struct scan *a, const struct scan *b)
{
	return a->node_count == b->node_count && a->names.size == b->names.size &&
	       (a->node_count == 0 || memcmp(a->nodes, b->nodes, a->node_count * sizeof(*a->nodes)) == 0) &&
	       (a->names.size == 0 || memcmp(a->names.bytes, b->names.bytes, a->names.size) == 0);
}

static int compare_paths(struct run *r, size_t i)
{
	int ret;

	buffer_reset(&r->path);
	buffer_reset(&r->path_again);
	ret = scan_path(&r->scan, &r->scan.leaves[i], &r->path);
	if (ret == 0)
		ret = scan_path(&r->again, &r->again.leaves[i], &r->path_again);
	if (ret < 0)
		return no_memory(r, ret);
	return buffer_is(&r->path, r->path_again.bytes, r->path_again.size) ? 0 : differs(r, i);
}

static int compare(struct run *r)
{
	bool same = same_nodes(&r->scan, &r->again);
	size_t start = 0;
	int ret = 0;

	if (r->again.count != r->scan.count)
		return differs(r, r->again.count < r->scan.count ? r->again.count : r->scan.count);
	for (size_t i = 0; ret == 0 && i < r->scan.count; i++) {
		const struct leaf *l = &r->again.leaves[i], *was = &r->scan.leaves[i];
		size_t n = r->expected_end[i] - start;

		if (l->end - l->start != n ||
		    (n && memcmp(r->again.text + l->start, r->expected.bytes + start, n) != 0))
			return differs(r, i);
		start = r->expected_end[i];
		if (!same || l->node != was->node || l->document != was->document)
			ret = compare_paths(r, i);
	}
	return ret;
}

/* Invariant (1). */
static int verify(struct run *r)
{
	struct fault inner = {0};
	size_t used = 0;
	int ret;

	r->again.why = &inner;
	ret = scan_begin(&r->again, r->out.bytes ? r->out.bytes : "", r->out.size, r->scan.final);
	if (ret == 0)
		ret = r->e->format->scan(&r->again, &used);
	if (ret == -ENOMEM)
		return no_memory(r, ret);
	if (ret < 0 || used != r->out.size)
		return differs(r, r->again.count);
	ret = compare(r);
	r->again.started = r->again.started || used; /* where it stands, r->scan tells */
	return ret;
}

/* Edits what the scanner used, and writes it. */
static int edit_piece(struct run *r, size_t used)
{
	size_t copied = 0;
	int ret = 0;

	buffer_reset(&r->out);
	buffer_reset(&r->expected);
	for (size_t i = 0; ret == 0 && i < r->scan.count; i++)
		ret = edit_leaf(r, i, &copied);
	if (ret == 0 && r->e->write)
		ret = buffer_add(&r->out, r->scan.text + copied, used - copied);
	if (ret < 0)
		return no_memory(r, ret); /* an edit that failed has said why */
	if (!r->e->write)
		return 0;
	ret = verify(r);
	return ret < 0 ? ret : r->e->write(r->e->write_context, r->out.bytes ? r->out.bytes : "", r->out.size, r->why);
}

static int scan_piece(struct run *r, const char *text, size_t n, bool final, size_t *used)
{
	int ret = scan_begin(&r->scan, text, n, final);

	*used = n;
	if (ret == 0)
		ret = r->e->format->scan(&r->scan, used);
	return ret < 0 ? no_memory(r, ret) : 0;
}

/* ------------------------------------------------------------------ input */

/* One more block behind what is there; *got 0 at the end. */
static int read_block(const struct run *r, int fd, struct buffer *in, size_t *got)
{
	char file[FILE_ROOM];
	ssize_t n;
	int ret = buffer_reserve(in, BLOCK);

	if (ret < 0)
		return no_memory(r, ret);
	do
		n = read(fd, in->bytes + in->size, BLOCK);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return fault_errno(r->why, EXIT_FAILED, -errno, "cannot read %s",
				   log_escape(r->e->file, file, sizeof(file)));
	in->size += (size_t)n;
	*got = (size_t)n;
	return 0;
}

static int run_whole(struct run *r, int fd)
{
	_cleanup_buffer_ struct buffer in = {0};
	char file[FILE_ROOM];
	size_t got = 1, used = 0;
	int ret = 0;

	while (ret == 0 && got) {
		ret = read_block(r, fd, &in, &got);
		if (ret == 0 && in.size > ENGINE_FILE_MAX)
			return fault_set(r->why, EXIT_FAILED, EFBIG, "%s: more than %d MiB of %s",
					 log_escape(r->e->file, file, sizeof(file)), ENGINE_FILE_MAX >> 20,
					 r->e->format->name);
	}
	if (ret == 0)
		ret = scan_piece(r, in.bytes, in.size, true, &used);
	return ret < 0 ? ret : edit_piece(r, used);
}

static int run_stream(struct run *r, int fd)
{
	_cleanup_buffer_ struct buffer in = {0};
	uint64_t done = 0;
	size_t got = 1, used = 0;
	int ret = 0;

	while (ret == 0) {
		ret = read_block(r, fd, &in, &got);
		if (ret == 0)
			ret = scan_piece(r, in.bytes, in.size, got == 0, &used);
		if (ret < 0)
			return ret;
		if (!used && got && in.size > ENGINE_RECORD_MAX)
			return scan_error(&r->scan, 0, "a record of more than %d MiB", ENGINE_RECORD_MAX >> 20);
		ret = used || !got ? edit_piece(r, used) : 0;
		scan_advance(&r->scan, used);
		buffer_drop(&in, used);
		done += used;
		if (r->e->progress)
			progress_update(r->e->progress, done);
		if (!got)
			return ret;
	}
	return ret;
}

int engine_run(const struct engine *e, int fd, struct fault *why)
{
	_cleanup_run_ struct run r;

	run_start(&r, e, why);
	return e->format->streams ? run_stream(&r, fd) : run_whole(&r, fd);
}

int engine_run_text(const struct engine *e, const char *text, size_t n, struct fault *why)
{
	_cleanup_run_ struct run r;
	size_t used = 0;
	int ret;

	run_start(&r, e, why);
	ret = scan_piece(&r, text, n, true, &used);
	return ret < 0 ? ret : edit_piece(&r, used);
}

/* ------------------------------------------------------------------ what was found */

int found_value(const struct found *f, struct buffer *out)
{
	return f->scan->format->value(f->leaf, f->source, f->source_size, out);
}

int found_path_text(const struct found *f, struct buffer *out)
{
	/* The number of the document says nothing where there is one document only. */
	bool alone = f->scan->documents && !f->scan->format->streams && f->scan->document == 0;
	size_t skip = alone && f->path_size >= STEP_HEAD ? STEP_HEAD : 0;

	return path_print(f->path + skip, f->path_size - skip, f->scan->format->style, out);
}

int found_where(const struct found *f, struct buffer *out)
{
	char file[FILE_ROOM], text[FILE_ROOM + 32];
	uint64_t line, column;
	int ret;

	scan_position(f->scan, f->leaf->start, &line, &column);
	snprintf(text, sizeof(text), "%s:%" PRIu64 ": ", log_escape(f->scan->file, file, sizeof(file)), line);
	ret = buffer_text(out, text);
	if (ret == 0) {
		_cleanup_buffer_ struct buffer path = {0};

		ret = found_path_text(f, &path);
		if (ret == 0)
			ret = buffer_add(out, path.bytes, path.size < FILE_ROOM ? path.size : FILE_ROOM);
	}
	return ret < 0 ? ret : buffer_byte(out, '\0');
}

static bool beside(const struct found *f, size_t i, const char *name, size_t n)
{
	const struct leaf *l = &f->scan->leaves[i];
	const struct node *here = &f->scan->nodes[f->leaf->node], *there = &f->scan->nodes[l->node];

	return l->document == f->leaf->document && there->parent == here->parent && there->kind == STEP_KEY &&
	       there->length == n && memcmp(f->scan->names.bytes + there->name, name, n) == 0;
}

int found_beside(const struct found *f, const char *name, struct buffer *out)
{
	size_t n = strlen(name), count = f->scan->count;

	if (f->leaf->node == NODE_TOP)
		return -ENOENT;
	for (size_t i = f->index; i-- > 0 && f->scan->leaves[i].document == f->leaf->document;)
		if (beside(f, i, name, n)) {
			const struct leaf *l = &f->scan->leaves[i];
			return f->scan->format->value(l, f->scan->text + l->start, l->end - l->start, out);
		}
	for (size_t i = f->index + 1; i < count && f->scan->leaves[i].document == f->leaf->document; i++)
		if (beside(f, i, name, n)) {
			const struct leaf *l = &f->scan->leaves[i];
			return f->scan->format->value(l, f->scan->text + l->start, l->end - l->start, out);
		}
	return -ENOENT;
}
