/* edit: the clear text in an editor, in memory only.
 *
 *   (1) The clear text lies in a directory 0700 on a tmpfs, in a file 0600, and goes when the verb ends, also by a signal.
 *   (2) The file itself is written once, encrypted, when all is well. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "util/base/log.h"
#include "util/cli/field.h"
#include "util/cli/terminal.h"
#include "util/field/again.h"

enum { PATH_ROOM = 512 };

/* ------------------------------------------------------------------ a private place */

static char place[PATH_ROOM], clear_file[2 * PATH_ROOM];

static void remove_place(void)
{
	if (*clear_file)
		unlink(clear_file);
	if (*place)
		rmdir(place);
}

static void remove_and_die(int number)
{
	remove_place();
	signal(number, SIG_DFL);
	raise(number);
}

static bool on_tmpfs(const char *directory)
{
	struct statfs st;

	return statfs(directory, &st) == 0 && st.f_type == TMPFS_MAGIC;
}

static int make_place(const char *name, struct fault *why)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	_cleanup_free_ char *copy = strdup(name);
	const char *top = runtime && *runtime == '/' && on_tmpfs(runtime) ? runtime : "/dev/shm";

	if (!copy)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "edit");
	if (!on_tmpfs(top))
		return fault_set(
			why, EXIT_FAILED, ENOTSUP,
			"edit: neither $XDG_RUNTIME_DIR nor /dev/shm is a tmpfs; clear text would reach a disk");
	snprintf(place, sizeof(place), "%s/coffer-edit-XXXXXX", top);
	if (!mkdtemp(place)) {
		*place = '\0';
		return fault_errno(why, EXIT_FAILED, -errno, "cannot make a directory in %s", top);
	}
	snprintf(clear_file, sizeof(clear_file), "%s/%s", place, basename(copy));
	signal(SIGTERM, remove_and_die);
	signal(SIGHUP, remove_and_die);
	signal(SIGINT, remove_and_die);
	return 0;
}

static int write_clear(const struct buffer *b, struct fault *why)
{
	_cleanup_close_ int fd = open(clear_file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return fault_errno(why, EXIT_FAILED, -errno, "cannot write to %s", place);
	return descriptor_write(&fd, b->bytes ? b->bytes : "", b->size, why);
}

static int read_file(const char *name, struct buffer *out, struct fault *why)
{
	_cleanup_close_ int fd = open(name, O_RDONLY | O_CLOEXEC);
	ssize_t n = 1;
	int ret = fd < 0 ? -errno : 0;

	buffer_reset(out);
	while (ret == 0 && n > 0) {
		ret = buffer_reserve(out, 64 << 10);
		n = ret < 0 ? 0 : read(fd, out->bytes + out->size, 64 << 10);
		out->size += n > 0 ? (size_t)n : 0;
	}
	if (n < 0)
		ret = -errno;
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot read %s", name) : 0;
}

/* ------------------------------------------------------------------ the editor */

/* What keeps it from leaving copies. */
static const char *discretion(const char *editor)
{
	_cleanup_free_ char *copy = strdup(editor);
	const char *name = "";

	if (copy) {
		copy[strcspn(copy, " ")] = '\0';
		name = basename(copy);
	}

	if (strcmp(name, "vi") == 0 || strcmp(name, "vim") == 0 || strcmp(name, "nvim") == 0)
		return " -n -i NONE --cmd 'set nobackup nowritebackup noswapfile noundofile'";
	if (strcmp(name, "emacs") == 0)
		return " --eval '(setq make-backup-files nil auto-save-default nil create-lockfiles nil)'";
	return "";
}

static int run_editor(struct fault *why)
{
	const char *editor = getenv("VISUAL");
	_cleanup_free_ char *command = NULL;
	int status = -1;
	pid_t pid;

	if (!editor || !*editor)
		editor = getenv("EDITOR");
	if ((!editor || !*editor) && !terminal_present())
		return fault_set(why, EXIT_FAILED, ENOTTY, "edit: no terminal, and neither $VISUAL nor $EDITOR is set");
	if (!editor || !*editor)
		editor = "vi";
	if (asprintf(&command, "%s%s \"$1\"", editor, discretion(editor)) < 0) {
		command = NULL;
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "edit");
	}
	signal(SIGINT, SIG_IGN); /* the keyboard's signals are the editor's */
	signal(SIGQUIT, SIG_IGN);
	pid = fork();
	if (pid == 0) {
		signal(SIGINT, SIG_DFL);
		signal(SIGQUIT, SIG_DFL);
		signal(SIGTERM, SIG_DFL);
		signal(SIGHUP, SIG_DFL);
		execl("/bin/sh", "sh", "-c", command, "sh", clear_file, (char *)NULL);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	signal(SIGINT, remove_and_die);
	if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return fault_set(why, EXIT_FAILED, EINVAL, "the editor failed (%s)", editor);
	return 0;
}

/* After a mistake: true to go back into the editor. */
static bool once_more(struct fault *why)
{
	_cleanup_close_ int tty = terminal_open();
	char answer[16];

	if (tty < 0)
		return false;
	fault_print(why);
	if (terminal_ask(tty, "Edit again? [Y/n] ", answer, sizeof(answer)) < 0 || answer[0] == 'n' || answer[0] == 'N')
		return false;
	*why = (struct fault){.status = EXIT_OK};
	return true;
}

/* Until the text is good, or given up.  *out: encrypted; empty if nothing was changed. */
static int edit_text(struct operation *op, const struct engine *e, struct memory *memory, const struct buffer *clear,
		     struct buffer *out, struct fault *why)
{
	_cleanup_buffer_ struct buffer edited = {0};
	int ret;

	do {
		buffer_reset(out);
		ret = run_editor(why);
		if (ret == 0)
			ret = read_file(clear_file, &edited, why);
		if (ret == 0 && buffer_is(&edited, clear->bytes, clear->size))
			return 0;
		if (ret == 0)
			ret = memory_encrypt(op, e, &memory, 1, edited.bytes ? edited.bytes : "", edited.size, out,
					     why);
	} while (ret < 0 && once_more(why));
	return ret;
}

static int edit_file(const struct field_file *f, struct operation *op, struct fault *why)
{
	_cleanup_target_ struct target t = TARGET_NONE;
	_cleanup_(memory_free) struct memory *memory = NULL;
	_cleanup_buffer_ struct buffer before = {0}, clear = {0}, after = {0};
	const struct engine e = {.format = f->format, .options = &f->scan, .file = f->name};
	int ret = target_open(&t, f->name, why);

	if (ret == 0)
		ret = read_file(f->name, &before, why);
	if (ret == 0)
		ret = memory_read(op, &e, before.bytes ? before.bytes : "", before.size, &memory, &clear, why);
	if (ret == 0)
		ret = make_place(f->name, why);
	if (ret == 0)
		ret = write_clear(&clear, why);
	if (ret == 0)
		ret = edit_text(op, &e, memory, &clear, &after, why);
	remove_place();
	if (ret < 0)
		return ret;
	if (!after.size) {
		fprintf(stderr, "%s: nothing was changed\n", f->name);
		return 0;
	}
	ret = target_begin(&t, why);
	if (ret == 0)
		ret = target_write(&t, after.bytes, after.size, why);
	return ret < 0 ? ret : target_commit(&t, why);
}

int cmd_field_edit(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_field_keys_ struct field_keys k = FIELD_KEYS_NONE;
	_cleanup_field_file_ struct field_file f = {0};
	struct operation op = {.kind = OPERATION_DECRYPT, .accept_sealed = true};
	struct field_options o = {.unlock = UNLOCK_SOURCE_NONE, .unruled = UNRULED_ALL};
	const struct option_spec specs[] = {
		OPTIONS_FIELD_KEYRING(&o), OPTIONS_FIELD_FORMAT(&o), OPTIONS_FIELD_BINDING(&o), {0}};
	struct words words;
	int ret = options_parse(v, argc, argv, specs, 1, 1, &words, why);

	if (ret)
		return ret == OPTIONS_HELP ? 0 : ret;
	ret = field_file_begin(&f, &o, words.at[0], why);
	if (ret == 0)
		ret = field_keys_for(&k, &o, f.rules.keyring, why);
	if (ret < 0)
		return ret;
	op.box = k.box;
	op.plan = &f.plan;
	return edit_file(&f, &op, why);
}
