/* fsck.coffer: what fsck(8) runs.
 *
 *   fsck.coffer [-anpyrfvVMT] [-C[FD]] [unlocking options] DIR
 *
 * -a, -p and -y repair, -n changes nothing at all; the others are taken and mean nothing here.  Exit statuses are fsck(8)'s, whose bits add up. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "util/cli/cmd_check.h"
#include "util/cli/options.h"

static const struct option long_options[] = {
	{"passphrase-file", required_argument, NULL, 1},
	{"passphrase-fd", required_argument, NULL, 2},
	{"passphrase-command", required_argument, NULL, 3},
	{"key-file", required_argument, NULL, 4},
	{"credential", required_argument, NULL, 5},
	{"deep", no_argument, NULL, 6},
	{"help", no_argument, NULL, 7},
	{"identity", required_argument, NULL, 8},
	{"identity-passphrase-file", required_argument, NULL, 9},
	{"expect-root", required_argument, NULL, 10},
	{"accept-older-keyring", no_argument, NULL, 11},
	{"pin-file", required_argument, NULL, 12},
	{"pkcs11-module", required_argument, NULL, 13},
	{"tpm", no_argument, NULL, 14},
	{"tpm-pin-file", required_argument, NULL, 15},
	{"tpm-tcti", required_argument, NULL, 16},
	{0},
};

static const char usage[] =
	"usage: fsck.coffer [-a|-n|-p|-y] [-f] [-C[FD]] [--deep] [unlocking options as of coffer check] DIR\n\n"
	"Checks a volume; -a, -p and -y mend what can be mended.\n\n"
	"example:\n  fsck.coffer -n --key-file /root/vault.key /srv/vault\n";

static int set_unlock(struct unlock_source *u, int which, const char *value, struct fault *why)
{
	uint64_t fd;

	if ((which < 9 || which == 12 || which == 14) && unlock_source_given(u))
		return fault_set(why, EXIT_USAGE, EINVAL, "fsck.coffer: the secret is named twice; give one");
	if (which == 2) {
		if (number_parse(value, 1 << 20, &fd) < 0)
			return fault_set(why, EXIT_USAGE, EINVAL, "fsck.coffer: %s is not a descriptor", value);
		u->passphrase_fd = (int)fd;
	}
	if (which == 1)
		u->passphrase_file = value;
	if (which == 3)
		u->passphrase_command = value;
	if (which == 4)
		u->key_file = value;
	if (which == 5)
		u->credential = value;
	if (which == 8)
		u->identity = value;
	if (which == 9)
		u->identity_passphrase_file = value;
	if (which == 12)
		u->pin_file = value;
	if (which == 13)
		u->pkcs11_module = value;
	if (which == 14)
		u->tpm = true;
	if (which == 15)
		u->tpm_pin_file = value;
	if (which == 16)
		u->tpm_tcti = value;
	if (which == 10)
		u->expect_root = value;
	return 0;
}

/* Returns 1 if that was all that was asked for. */
static int parse(int argc, char **argv, struct check_options *o, const char **dir, struct fault *why)
{
	int c, r;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":anpyrfvVMTC::t:", long_options, NULL)) != -1) {
		switch (c) {
		case 'a':
		case 'p':
		case 'y':
			o->repair = true;
			o->no_recover = false;
			break;
		case 'n':
			o->repair = false;
			o->no_recover = true;
			break;
		case 1:
		case 2:
		case 3:
		case 4:
		case 5:
		case 8:
		case 9:
		case 10:
		case 12:
		case 13:
		case 14:
		case 15:
		case 16:
			r = set_unlock(&o->unlock, c, optarg, why);
			if (r < 0)
				return r;
			break;
		case 11:
			o->unlock.accept_older = true;
			break;
		case 6:
			o->deep = true;
			break;
		case 7:
			fputs(usage, stdout);
			return 1;
		case 'V':
			puts("fsck.coffer " COFFER_VERSION);
			return argc - optind == 0;
		case '?':
		case ':':
			return fault_set(why, EXIT_USAGE, EINVAL, "fsck.coffer: no option %s, or its value is missing",
					 argv[optind - 1]);
		default: /* what other file systems know */
			break;
		}
	}
	if (argc - optind != 1)
		return fault_set(why, EXIT_USAGE, EINVAL, "fsck.coffer: give one DIR; see: fsck.coffer --help");
	*dir = argv[optind];
	return 0;
}

int helper_fsck(int argc, char **argv)
{
	struct check_options o = {.unlock = UNLOCK_SOURCE_NONE};
	_cleanup_(check_report_free) struct check_report report = {0};
	struct fault why = {.status = EXIT_OK};
	_cleanup_free_ char *dir = NULL;
	const char *word = NULL;

	int r = parse(argc, argv, &o, &word, &why);
	if (r > 0)
		return 0;
	if (r == 0)
		r = path_absolute(word, &dir, &why);
	o.volume = dir;
	if (r == 0)
		r = check_with_progress(&o, &report, &why);
	if (r == 0 || r == -ECANCELED)
		check_print(&o, &report);
	if (r < 0)
		fault_print(&why);
	return check_exit_status(&report, r, &why);
}
