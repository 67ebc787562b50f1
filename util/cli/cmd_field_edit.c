/* edit: the clear text in an editor, in memory only (edit_place.h).  The file itself is written once, encrypted, when all is well. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "util/cli/edit_place.h"
#include "util/cli/field.h"
#include "util/cli/terminal.h"
#include "util/field/again.h"

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

/* The editor talks to the terminal, also where the text came from standard input. */
static void take_terminal(void)
{
	for (int fd = STDIN_FILENO; fd <= STDOUT_FILENO; fd++)
		if (!isatty(fd)) {
			_cleanup_close_ int tty = terminal_open();

			if (tty >= 0)
				dup2(tty, fd);
		}
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
		take_terminal();
		execl("/bin/sh", "sh", "-c", command, "sh", edit_place_file(), (char *)NULL);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	edit_place_catch(SIGINT);
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

static int read_edited(struct buffer *out, struct fault *why)
{
	buffer_reset(out);
	return field_read(edit_place_file(), out, why);
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
			ret = read_edited(&edited, why);
		if (ret == 0 && buffer_is(&edited, clear->bytes, clear->size))
			return 0;
		if (ret == 0)
			ret = memory_encrypt(op, e, &memory, 1, edited.bytes ? edited.bytes : "", edited.size, out,
					     why);
	} while (ret < 0 && once_more(why));
	return ret;
}

static int write_result(const struct field_file *f, const struct buffer *text, struct target *t, struct fault *why)
{
	int out = STDOUT_FILENO, ret;

	if (field_is_stream(f->name))
		return descriptor_write(&out, text->bytes, text->size, why);
	ret = target_begin(t, why);
	if (ret == 0)
		ret = target_write(t, text->bytes, text->size, why);
	return ret < 0 ? ret : target_commit(t, why);
}

static int edit_file(const struct field_file *f, struct operation *op, struct fault *why)
{
	_cleanup_target_ struct target t = TARGET_NONE;
	_cleanup_(memory_free) struct memory *memory = NULL;
	_cleanup_buffer_ struct buffer before = {0}, clear = {0}, after = {0};
	const struct engine e = {.format = f->format, .options = &f->scan, .file = f->name};
	bool stream = field_is_stream(f->name);
	int ret = stream ? 0 : target_open(&t, f->name, why);

	if (ret == 0)
		ret = field_read(f->name, &before, why);
	if (ret == 0)
		ret = memory_read(op, &e, before.bytes ? before.bytes : "", before.size, &memory, &clear, why);
	if (ret == 0)
		ret = edit_place_make(stream ? "standard-input" : f->name, &clear, why);
	if (ret == 0)
		ret = edit_text(op, &e, memory, &clear, &after, why);
	edit_place_remove();
	if (ret < 0)
		return ret;
	if (after.size)
		return write_result(f, &after, &t, why);
	fprintf(stderr, "%s: nothing was changed\n", f->name);
	return stream ? write_result(f, &before, &t, why) : 0;
}

int cmd_field_edit(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_field_verb_ struct field_verb c = FIELD_VERB(.unruled = UNRULED_ALL);
	_cleanup_(operation_end) struct operation op = {
		.kind = OPERATION_DECRYPT, .accept_sealed = true, .plan = &c.file.plan};
	int ret = field_verb_begin(v, argc, argv, 1, 0, &c, why);

	if (ret)
		return ret == OPTIONS_HELP ? 0 : ret;
	op.box = c.keys.box;
	return edit_file(&c.file, &op, why);
}
