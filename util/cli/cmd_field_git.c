/* textconv, merge: what git asks of a tool for its files. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "util/base/whole_write.h"
#include "util/cli/field.h"
#include "util/field/again.h"

extern char **environ;

/* What the diff shows; a token that does not open stays a token. */
int cmd_field_textconv(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_field_verb_ struct field_verb c = FIELD_VERB(.unruled = UNRULED_ALL, .rules_here = true);
	_cleanup_(operation_end) struct operation op = {
		.kind = OPERATION_DECRYPT, .keep_going = true, .accept_sealed = true};
	int ret = field_verb_begin(v, argc, argv, 1, 0, &c, why);

	if (ret)
		return ret == OPTIONS_HELP ? 0 : ret;
	op.box = c.keys.box;
	return field_rewrite(&c.file, &c.options, &op, why);
}

/* ------------------------------------------------------------------ merge */

enum { BASE, OURS, THEIRS, SIDES };

struct side {
	struct buffer text, clear;
	struct memory *memory;
};

static void side_free(struct side *s)
{
	buffer_free(&s->text);
	buffer_free(&s->clear);
	memory_free(&s->memory);
}

static int spawn_merge(const int fds[SIDES], int out, pid_t *pid)
{
	char paths[SIDES][32];
	char *const command[] = {(char *)"git",  (char *)"merge-file", (char *)"-p",   (char *)"-q", (char *)"-L",
				 (char *)"ours", (char *)"-L",         (char *)"base", (char *)"-L", (char *)"theirs",
				 paths[OURS],    paths[BASE],          paths[THEIRS],  NULL};
	posix_spawn_file_actions_t actions;
	int error;

	for (int i = 0; i < SIDES; i++)
		snprintf(paths[i], sizeof(paths[i]), "/proc/self/fd/%d", fds[i]);
	error = posix_spawn_file_actions_init(&actions);
	if (!error)
		error = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	if (!error)
		error = posix_spawnp(pid, "git", &actions, NULL, command, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -error;
}

/* The three texts merged; *conflicts: how many git could not resolve. */
static int merge_texts(const struct buffer *const texts[SIDES], struct buffer *out, int *conflicts, struct fault *why)
{
	int fds[SIDES] = {-1, -1, -1}, ends[2] = {-1, -1}, ret = 0, status = -1;
	pid_t pid = -1;

	for (int i = 0; ret == 0 && i < SIDES; i++) {
		fds[i] = memory_file("text", 0, texts[i]->bytes, texts[i]->size); /* inherited on purpose */
		ret = fds[i] < 0 ? fds[i] : 0;
	}
	if (ret == 0 && pipe2(ends, O_CLOEXEC) < 0)
		ret = -errno;
	if (ret == 0)
		ret = spawn_merge(fds, ends[1], &pid);
	if (ends[1] >= 0)
		close(ends[1]);
	if (ret == 0)
		ret = buffer_read(out, ends[0]);
	if (ends[0] >= 0)
		close(ends[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	for (int i = 0; i < SIDES; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "cannot run git merge-file");
	if (!WIFEXITED(status) || WEXITSTATUS(status) > 127)
		return fault_set(why, EXIT_FAILED, EINVAL, "git merge-file failed");
	*conflicts = WEXITSTATUS(status);
	return 0;
}

/* Conflicts are written as tokens: clear text must not come to rest in the working tree. */
static int merge_sides(const struct field_file *f, struct operation *op, struct side sides[SIDES], struct buffer *out,
		       int *conflicts, struct fault *why)
{
	const struct buffer *clear[SIDES], *sealed[SIDES];
	struct memory *memories[SIDES];
	_cleanup_buffer_ struct buffer merged = {0};
	struct engine e = {.format = f->format, .options = &f->scan, .file = f->name};
	int ret = 0;

	for (int i = 0; ret == 0 && i < SIDES; i++) {
		ret = memory_read(op, &e, sides[i].text.bytes, sides[i].text.size, &sides[i].memory, &sides[i].clear,
				  why);
		clear[i] = &sides[i].clear;
		sealed[i] = &sides[i].text;
	}
	if (ret == 0)
		ret = merge_texts(clear, &merged, conflicts, why);
	if (ret < 0)
		return ret;
	if (*conflicts)
		return merge_texts(sealed, out, conflicts, why);
	memories[0] = sides[OURS].memory;
	memories[1] = sides[THEIRS].memory;
	memories[2] = sides[BASE].memory;
	return memory_encrypt(op, &e, memories, SIDES, merged.bytes ? merged.bytes : "", merged.size, out, why);
}

static int write_result(const char *name, const struct buffer *text, struct fault *why)
{
	_cleanup_target_ struct target t = TARGET_NONE;
	int ret = target_open(&t, name, why);

	if (ret == 0)
		ret = target_begin(&t, why);
	if (ret == 0)
		ret = target_write(&t, text->bytes, text->size, why);
	return ret < 0 ? ret : target_commit(&t, why);
}

int cmd_field_merge(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_field_verb_ struct field_verb c = FIELD_VERB(.unruled = UNRULED_ALL, .rules_here = true);
	_cleanup_buffer_ struct buffer out = {0};
	struct side sides[SIDES] = {0};
	_cleanup_(operation_end) struct operation op = {
		.kind = OPERATION_DECRYPT, .accept_sealed = true, .plan = &c.file.plan};
	int conflicts = 0, ret = field_verb_begin(v, argc, argv, SIDES + 1, SIDES, &c, why);

	if (ret)
		return ret == OPTIONS_HELP ? 0 : ret;
	op.box = c.keys.box;
	for (int i = 0; ret == 0 && i < SIDES; i++)
		ret = field_read(c.words.at[i], &sides[i].text, why);
	if (ret == 0)
		ret = merge_sides(&c.file, &op, sides, &out, &conflicts, why);
	if (ret == 0)
		ret = write_result(c.words.at[OURS], &out, why);
	for (int i = 0; i < SIDES; i++)
		side_free(&sides[i]);
	if (ret == 0 && conflicts)
		ret = fault_set(why, EXIT_FAILED, EINVAL, "%s: %d conflicts; they are shown encrypted", c.file.name,
				conflicts);
	return ret;
}

/* ------------------------------------------------------------------ clean */

/* What git has of the file in its index; nothing if the file is new. */
static int read_index(const char *path, struct buffer *out, struct fault *why)
{
	_cleanup_free_ char *object = NULL;
	char *const command[] = {(char *)"git", (char *)"cat-file", (char *)"blob", NULL, NULL};
	char *arguments[5];
	posix_spawn_file_actions_t actions;
	int ends[2], status = -1, error, ret = 0;
	pid_t pid = -1;

	if (asprintf(&object, ":./%s", path) < 0) {
		object = NULL;
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "clean");
	}
	memcpy(arguments, command, sizeof(command));
	arguments[3] = object;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return fault_errno(why, EXIT_FAILED, -errno, "clean");
	error = posix_spawn_file_actions_init(&actions);
	if (!error)
		error = posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	if (!error)
		error = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	if (!error)
		error = posix_spawnp(&pid, "git", &actions, NULL, arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	if (!error)
		ret = buffer_read(out, ends[0]);
	close(ends[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (error || ret < 0)
		return fault_errno(why, EXIT_FAILED, error ? -error : ret, "cannot run git cat-file");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		buffer_reset(out); /* not in the index */
	return 0;
}

/* The same clear text has to give the same bytes, or git sees a change in every file: values that did not change keep the tokens
 * of the index. */
int cmd_field_clean(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_field_verb_ struct field_verb c = FIELD_VERB(.rules_here = true);
	_cleanup_buffer_ struct buffer out = {0};
	_cleanup_(side_free) struct side now = {0}, before = {0};
	_cleanup_(operation_end) struct operation op = {
		.kind = OPERATION_DECRYPT, .accept_sealed = true, .keep_going = true, .plan = &c.file.plan};
	int fd = STDOUT_FILENO, ret = field_verb_begin(v, argc, argv, 1, 0, &c, why);

	if (ret)
		return ret == OPTIONS_HELP ? 0 : ret;
	const struct engine e = {.format = c.file.format, .options = &c.file.scan, .file = c.file.name};
	op.box = c.keys.box;
	ret = field_read("-", &now.text, why);
	if (ret == 0)
		ret = read_index(c.file.name, &before.text, why);
	if (ret == 0 && before.text.size) {
		struct fault ignored = {0};

		/* What is in the index may be of another time, before the rules. */
		if (memory_read(&op, &e, before.text.bytes, before.text.size, &before.memory, &before.clear, &ignored) <
		    0)
			memory_free(&before.memory);
	}
	if (ret == 0)
		ret = memory_encrypt(&op, &e, &before.memory, before.memory != NULL,
				     now.text.bytes ? now.text.bytes : "", now.text.size, &out, why);
	return ret < 0 ? ret : descriptor_write(&fd, out.bytes ? out.bytes : "", out.size, why);
}
