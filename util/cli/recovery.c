#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/base/crypto.h"
#include "util/base/new_file.h"
#include "util/cli/terminal.h"

enum {
	GROUP = RECOVERY_TEXT / RECOVERY_GROUPS, /* characters of a group; a hyphen between groups */
	TRIES = 5,
};

static const char shown_before[] = "\nThe recovery key opens the volume when the passphrase is forgotten.  Write it "
				   "down, or print it, and keep it away\n"
				   "from this computer.  It is shown this once:\n\n    ";

/* The characters that people mix up count as one. */
static char canonical(char c)
{
	c = (char)toupper((unsigned char)c);
	return c == 'O' ? '0' : c == 'I' || c == 'L' ? '1' : c;
}

static bool same_group(const char *typed, const uint8_t *group)
{
	if (strlen(typed) != GROUP)
		return false;
	for (int i = 0; i < GROUP; i++)
		if (canonical(typed[i]) != (char)group[i])
			return false;
	return true;
}

static int show(int tty, const struct unlock_secret *key)
{
	/* By write, not stdio: no copy of the key stays in a buffer. */
	if (write(tty, shown_before, sizeof shown_before - 1) < 0 ||
	    write(tty, key->bytes->bytes, key->bytes->size) < 0 || write(tty, "\n\n", 2) < 0)
		return -errno;
	return 0;
}

int recovery_key_show(const struct unlock_secret *key, struct fault *why)
{
	char prompt[96], typed[64];
	uint8_t random;

	_cleanup_close_ int tty = terminal_open();
	if (tty < 0)
		return fault_set(why, EXIT_REFUSED, ENOTTY,
				 "no terminal to show a recovery key on; give --recovery-key-file OUT");
	int r = crypto_random(&random, 1);
	if (r == 0)
		r = show(tty, key);
	unsigned group = random % RECOVERY_GROUPS;
	snprintf(prompt, sizeof prompt, "To show that you have it, type its %u%s group (%d characters): ", group + 1,
		 group == 0   ? "st"
		 : group == 1 ? "nd"
		 : group == 2 ? "rd"
			      : "th",
		 GROUP);
	for (int i = 0; r == 0 && i < TRIES; i++) {
		r = terminal_ask(tty, i ? "That is not it; again: " : prompt, typed, sizeof typed);
		bool same = r == 0 && same_group(typed, key->bytes->bytes + (size_t)group * (GROUP + 1));
		wipe(typed, sizeof typed);
		if (same)
			return 0;
	}
	if (r < 0 && r != -ENODATA)
		return fault_errno(why, EXIT_FAILED, r, "cannot talk to the terminal");
	return fault_set(why, EXIT_REFUSED, ECANCELED, "the recovery key was not confirmed; nothing was changed");
}

int recovery_key_write(const struct unlock_secret *key, const char *file, struct fault *why)
{
	char line_end[] = "\n";
	const struct iovec parts[] = {{key->bytes->bytes, key->bytes->size}, {line_end, 1}};

	return new_file_write(file, parts, 2, why);
}

int recovery_key_make(const char *file, struct unlock_secret *out, struct fault *why)
{
	int r = recovery_key_new(out);

	if (r < 0)
		return fault_errno(why, EXIT_FAILED, r, "cannot make a recovery key");
	r = file ? recovery_key_write(out, file, why) : recovery_key_show(out, why);
	if (r < 0)
		unlock_secret_wipe(out);
	return r;
}
