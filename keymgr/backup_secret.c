/* What opens a backup (backup_secret.h). */
#include "keymgr/backup_secret.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "keymgr/qr.h"
#include "keymgr/secret_input.h"
#include "keymgr/shares.h"
#include "keymgr/terminal.h"
#include "util/base/new_file.h"
#include "util/base/number.h"

enum { SHARE_FILE_MAX = 16 << 10 };

/* ------------------------------------------------------------------ shares that open */

static int add_share(const struct secret *text, const char *name, struct share_set *set, struct fault *why)
{
	struct fault inner = {0};

	if (set->count == SHARE_COUNT_MAX)
		return fault_set(why, EXIT_USAGE, E2BIG, "there are at most %d shares", SHARE_COUNT_MAX);
	int r = share_parse((const char *)text->bytes, text->size, &set->at[set->count], &inner);
	if (r < 0)
		return fault_set(why, inner.status, -r, "%s: %s", name, inner.text);
	set->count++;
	return 0;
}

static int read_share(const char *file, struct share_set *set, struct fault *why)
{
	_cleanup_secret_ struct secret *text = NULL;
	_cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	int r = fd < 0 ? -errno : secret_read(fd, SHARE_FILE_MAX, &text);
	return r < 0 || !text ? fault_errno(why, EXIT_NO_SECRET, r, "cannot read the share %s", file)
			      : add_share(text, file, set, why);
}

static int read_shares(const char *files, struct share_set *set, struct fault *why)
{
	_cleanup_free_ char *copy = strdup(files);
	char *rest = copy, *file;
	int r = copy ? 0 : fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot read the shares");

	while (r == 0 && (file = strsep(&rest, ",")))
		r = read_share(file, set, why);
	return r;
}

/* Until there are enough; the first one says how many that is. */
static int ask_shares(struct share_set *set, const char *without, struct fault *why)
{
	char prompt[64];
	int r = 0;

	while (r == 0 && (set->count == 0 || set->count < set->at[0].threshold)) {
		_cleanup_secret_ struct secret *typed = NULL;

		snprintf(prompt, sizeof prompt, "Share %zu: ", set->count + 1);
		r = secret_ask(prompt, SHARE_FILE_MAX, &typed);
		if (r < 0)
			return fault_set(why, EXIT_NO_SECRET, ENOTTY,
					 "%s, and there is no terminal to ask for them on; give --share FILE for each",
					 without);
		r = add_share(typed, "the share", set, why);
	}
	return r;
}

int shares_obtain(const char *files, const char *without, struct unlock_secret *out, struct fault *why)
{
	_cleanup_shares_ struct share_set set = {0};
	size_t n;

	int r = files ? read_shares(files, &set, why) : ask_shares(&set, without, why);
	if (r < 0)
		return r;
	*out = (struct unlock_secret){.kind = SECRET_SHARES, .bytes = secret_new(SHARE_VALUE_MAX)};
	if (!out->bytes)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot put the shares together");
	r = shares_combine(&set, "", out->bytes->bytes, &n, why);
	if (r == 0)
		secret_shrink(out->bytes, n);
	else
		unlock_secret_wipe(out);
	return r;
}

int backup_secret_obtain(const struct backup_source *b, const char *file, const char *type, struct unlock_secret *out,
			 struct fault *why)
{
	char prompt[PATH_MAX + 32];
	bool given = unlock_source_given(&b->secret);

	if (b->shares && given)
		return fault_set(why, EXIT_USAGE, EINVAL, "give shares or another secret of the backup, not both");
	if (b->shares || (!given && strcmp(type, "shares") == 0))
		return shares_obtain(b->shares, "the backup is in shares", out, why);
	if (!given && strcmp(type, "passphrase") != 0)
		return fault_set(why, EXIT_NO_SECRET, EINVAL, "%s is protected by: %s; give that", file, type);
	snprintf(prompt, sizeof prompt, "Passphrase of %s: ", file);
	return unlock_obtain(&b->secret, prompt, false, out, why);
}

/* ------------------------------------------------------------------ making shares */

static int parse_split(const char *split, unsigned *threshold, unsigned *count)
{
	const char *slash = strchr(split, '/');
	uint64_t k, n;
	char first[8];

	if (!slash || (size_t)(slash - split) >= sizeof first)
		return -EINVAL;
	memcpy(first, split, (size_t)(slash - split));
	first[slash - split] = '\0';
	if (number_parse(first, SHARE_COUNT_MAX, &k) < 0 || number_parse(slash + 1, SHARE_COUNT_MAX, &n) < 0 || k < 1 ||
	    k > n || (k == 1 && n > 1))
		return -EINVAL;
	*threshold = (unsigned)k;
	*count = (unsigned)n;
	return 0;
}

static int write_share(const char *directory, const struct share *s, unsigned number, unsigned count, struct fault *why)
{
	_cleanup_free_ char *file = NULL, *picture = NULL;
	_cleanup_secret_ struct secret *text = secret_new(SHARE_TEXT_MAX + 512);
	char words[SHARE_TEXT_MAX];

	if (!text || asprintf(&file, "%s/share-%u.txt", directory, number) < 0 ||
	    asprintf(&picture, "%s/share-%u.svg", directory, number) < 0)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot write share %u", number);
	share_text(s, words);
	int n = snprintf(
		(char *)text->bytes, text->size,
		"# Share %u of %u of a backup of a coffer keyring; %u of them open it (SLIP-0039).\n"
		"# Print this, keep it apart from the other shares and from the backup, and remove the file.\n%s\n",
		number, count, s->threshold, words);
	int r = new_file_write(file, &(struct iovec){text->bytes, (size_t)n}, 1, why);
	if (r == 0)
		r = qr_write(picture, words, why);
	wipe(words, sizeof words);
	return r;
}

void backup_shares_remove(const char *directory, unsigned count)
{
	char file[PATH_MAX];

	for (unsigned i = 1; i <= count; i++) {
		snprintf(file, sizeof file, "%s/share-%u.txt", directory, i);
		unlink(file);
		snprintf(file, sizeof file, "%s/share-%u.svg", directory, i);
		unlink(file);
	}
}

int backup_shares_make(const char *split, const char *directory, struct unlock_secret *out, struct fault *why)
{
	_cleanup_shares_ struct share_set set = {0};
	unsigned threshold, count, written = 0;

	if (parse_split(split, &threshold, &count) < 0)
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "--shares %s: give K/N, such as 2/3: any K of N shares open the backup, N at most %d",
				 split, SHARE_COUNT_MAX);
	*out = (struct unlock_secret){.kind = SECRET_SHARES, .bytes = secret_new(SHARE_VALUE_MAX)};
	out->share_threshold = (uint8_t)threshold;
	out->share_count = (uint8_t)count;
	int r = out->bytes ? crypto_random(out->bytes->bytes, out->bytes->size) : -ENOMEM;
	if (r == 0)
		r = shares_split(out->bytes->bytes, out->bytes->size, threshold, count, &set);
	if (r == 0 && mkdir(directory, 0700) < 0 && errno != EEXIST)
		r = fault_errno(why, EXIT_FAILED, -errno, "cannot make %s", directory);
	for (; r == 0 && written < count; written++)
		r = write_share(directory, &set.at[written], written + 1, count, why);
	if (r < 0) {
		if (written) /* the last one failed, perhaps because its file was there before */
			backup_shares_remove(directory, written - 1);
		unlock_secret_wipe(out);
		return fault_errno(why, EXIT_FAILED, r, "cannot make the shares");
	}
	return 0;
}
