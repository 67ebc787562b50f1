/* coffer-keyd: the key service's command line. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "config.h"
#include "keymgr/audit_actor.h"
#include "keymgr/service/commands.h"
#include "keymgr/service/rates.h"
#include "util/base/number.h"

static const char usage[] =
	"usage: coffer-keyd init DIR --host NAME ... [--passphrase-file F]\n"
	"       coffer-keyd run DIR --listen ADDR:PORT [--passphrase-file F]\n"
	"       coffer-keyd check DIR [--passphrase-file F]\n"
	"       coffer-keyd rekey DIR [--passphrase-file F]\n"
	"       coffer-keyd backup DIR -o FILE [--backup-passphrase-file F | --recipient CERT.pem |\n"
	"                         --shares K/N --share-dir D]\n"
	"       coffer-keyd restore NEWDIR FILE [--backup-passphrase-file F | --backup-identity F |\n"
	"                         --share F ...] [--anchor F | --accept-older]\n"
	"\n"
	"init makes a key service in DIR: its keyring, its certificates (for the hosts named), and for the\n"
	"first administrator ca.pem, admin.pem, admin.key and admin.p12.  run serves it.  check reads all\n"
	"of it and compares it with its log.  rekey puts all of it under a new generation of the keyring,\n"
	"while the service is stopped.  backup writes all of it into one sealed file, also while it runs;\n"
	"restore makes a new directory of that, which the unlocking option then opens.\n"
	"\n"
	"The keyring opens by --passphrase-file F, --passphrase-fd N, --key-file F, --credential NAME, by\n"
	"a PKCS #11 token, whose PIN is --pin-file F (init, restore: --pkcs11 URI, the key in it;\n"
	"--pkcs11-module PATH: its driver), by --tpm (init, restore: --pcrs LIST; --tpm-pin-file F,\n"
	"--tpm-tcti T), or by itself by a key in a KMIP server (init, restore: --kmip HOST:PORT --kmip-key ID\n"
	"--kmip-ca F --kmip-cert F --kmip-private-key F, or --kmip-config F for the most of it).  Without one\n"
	"init makes DIR/keyring.key, and whoever has that and the database has the keys.\n"
	"\n"
	"  --anchor FILE          where the end of the log is kept outside the database (DIR/anchor.json)\n"
	"  --etcd URL,URL         where the store is, instead of in DIR: http://127.0.0.1:PORT; of several\n"
	"                         servers one serves, the others wait for it to end\n"
	"  --store sqlite|etcd    says the same in a word: etcd goes with --etcd\n"
	"  --tls-cert F --tls-key F   certificate (with its chain) and key in PEM, instead of the\n"
	"                         service's own; again for one of the other kind (EC, RSA)\n"
	"  --require-etm          refuse CBC without encrypt-then-MAC, and clients without extended\n"
	"                         master secret\n"
	"  --metrics ADDR:PORT    metrics (/metrics) and a health check (/health) on a loopback address\n"
	"  --backup-every TIME --backup-dir D --recipient CERT.pem [--keep N]\n"
	"                         run makes backups by itself (12h, 7d), and keeps the last N (14)\n"
	"  --backup-key-file F    opens a backup, as --backup-passphrase-file does\n"
	"  --backup-identity-passphrase-file F   of the private key, if it has one\n"
	"  --expect-root R        the fingerprint that init and backup print: of a backup to a certificate,\n"
	"                         or of a keyring that a token or a TPM opens on a host that is new to it\n"
	"  --accept-older         restore may undo what was done after the backup\n"
	"  --accept-older-keyring although this host has seen a newer one\n"
	"  --json                 init, check, rekey, backup and restore print what they did for programs\n"
	"  --max-connections N    in all (1024)\n"
	"  --max-per-address N    from one address (64)\n"
	"  --max-per-client N     of one client (32)\n"
	"  --max-rate N           requests of one client in a second (500; 0: as many as it likes)\n"
	"  --handshake-timeout S  seconds for a handshake (10)\n"
	"  --request-timeout S    for a request, from its first byte to its last (30)\n"
	"  --idle-timeout S       between requests (75)\n";

static struct arguments given;

static int take_host(const char *value, struct fault *why)
{
	if (given.host_count == HOSTS_MAX)
		return fault_set(why, EXIT_USAGE, EINVAL, "at most %d hosts", HOSTS_MAX);
	given.hosts[given.host_count++] = value;
	return 0;
}

/* The last --tls-cert has none yet. */
static bool tls_key_is_due(void)
{
	return given.run.own_count && !given.run.own[given.run.own_count - 1].key;
}

static int take_tls_cert(const char *value, struct fault *why)
{
	if (given.run.own_count == 2 || tls_key_is_due())
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "--tls-cert is given at most twice, each followed by --tls-key");
	given.run.own[given.run.own_count++].cert = value;
	return 0;
}

static int take_tls_key(const char *value, struct fault *why)
{
	if (!tls_key_is_due())
		return fault_set(why, EXIT_USAGE, EINVAL, "--tls-key follows the --tls-cert that it belongs to");
	given.run.own[given.run.own_count - 1].key = value;
	return 0;
}

static int take_share(const char *value, struct fault *why)
{
	const char *before = given.backup.shares;
	char *list;

	if (asprintf(&list, "%s%s%s", before ? before : "", before ? "," : "", value) < 0)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot read the options");
	free(given.backup.shares);
	given.backup.shares = list;
	return 0;
}

static int take_backup_every(const char *value, struct fault *why)
{
	uint64_t *every = &given.run.backup.every;

	if (duration_parse(value, UINT64_C(366) * 86400, every) < 0 || *every < SCHEDULE_EVERY_MIN)
		return fault_set(why, EXIT_USAGE, EINVAL, "--backup-every %s: give 1m to 366d, such as 12h", value);
	return 0;
}

static int take_keep(const char *value, struct fault *why)
{
	uint64_t n;

	if (number_parse(value, 1 << 20, &n) < 0 || n == 0)
		return fault_set(why, EXIT_USAGE, EINVAL, "--keep %s: give how many backups are kept", value);
	given.run.backup.keep = (unsigned)n;
	return 0;
}

/* What an option does: one of these. */
static const struct spec {
	const char *name;
	const char *print; /* and that is all */
	const char **text;
	bool *flag;
	int *number;
	uint64_t max; /* of the number */
	int (*take)(const char *value, struct fault *why);
} specs[] = {
	{"help", .print = usage},
	{"version", .print = "coffer-keyd " COFFER_VERSION "\n"},
	{"host", .take = take_host},
	{"listen", .text = &given.run.listen},
	{"anchor", .text = &given.run.anchor},
	{"etcd", .text = &given.run.etcd},
	{"store", .text = &given.store},
	{"tls-cert", .take = take_tls_cert},
	{"tls-key", .take = take_tls_key},
	{"require-etm", .flag = &given.run.require_etm},
	{"metrics", .text = &given.run.metrics},
	{"max-connections", .number = &given.run.limits.connections, .max = 1 << 20},
	{"max-per-address", .number = &given.run.limits.per_address, .max = 1 << 20},
	{"max-per-client", .number = &given.run.limits.per_client, .max = 1 << 20},
	{"max-rate", .number = &given.run.max_rate, .max = 1 << 20},
	{"handshake-timeout", .number = &given.run.limits.handshake_s, .max = 3600},
	{"request-timeout", .number = &given.run.limits.request_s, .max = 3600},
	{"idle-timeout", .number = &given.run.limits.idle_s, .max = 86400},
	{"json", .flag = &given.json},
	/* what opens the keyring */
	{"passphrase-file", .text = &given.source.passphrase_file},
	{"passphrase-fd", .number = &given.source.passphrase_fd, .max = 1 << 20},
	{"key-file", .text = &given.source.key_file},
	{"credential", .text = &given.source.credential},
	{"pkcs11", .text = &given.source.pkcs11},
	{"pkcs11-module", .text = &given.source.pkcs11_module},
	{"pin-file", .text = &given.source.pin_file},
	{"tpm", .flag = &given.source.tpm},
	{"tpm-tcti", .text = &given.source.tpm_tcti},
	{"tpm-pin-file", .text = &given.source.tpm_pin_file},
	{"pcrs", .text = &given.source.pcrs},
	{"kmip", .text = &given.source.kmip.urls},
	{"kmip-key", .text = &given.source.kmip_key},
	{"kmip-ca", .text = &given.source.kmip.ca},
	{"kmip-cert", .text = &given.source.kmip.cert},
	{"kmip-private-key", .text = &given.source.kmip.key},
	{"kmip-config", .text = &given.source.kmip.file},
	{"expect-root", .text = &given.source.expect_root},
	{"accept-older-keyring", .flag = &given.source.accept_older},
	/* backups */
	{"output", .text = &given.output},
	{"backup-passphrase-file", .text = &given.backup.secret.passphrase_file},
	{"backup-key-file", .text = &given.backup.secret.key_file},
	{"backup-identity", .text = &given.backup.secret.identity},
	{"backup-identity-passphrase-file", .text = &given.backup.secret.identity_passphrase_file},
	{"recipient", .text = &given.backup.secret.certificate},
	{"shares", .text = &given.split},
	{"share-dir", .text = &given.share_dir},
	{"share", .take = take_share},
	{"accept-older", .flag = &given.accept_older},
	{"backup-every", .take = take_backup_every},
	{"backup-dir", .text = &given.run.backup.dir},
	{"keep", .take = take_keep},
};
enum { SPECS = sizeof(specs) / sizeof(specs[0]), VALUE_FIRST = 256 }; /* getopt_long has VALUE_FIRST + i for specs[i] */

static int take(const struct spec *s, const char *value, struct fault *why)
{
	uint64_t n;

	if (s->take)
		return s->take(value, why);
	if (s->text)
		*s->text = value;
	if (s->flag)
		*s->flag = true;
	if (!s->number)
		return 0;
	if (number_parse(value, s->max, &n) < 0)
		return fault_set(why, EXIT_USAGE, EINVAL, "%s is not a number up to %" PRIu64, value, s->max);
	*s->number = (int)n;
	return 0;
}

/* *print: what is asked for in the place of a verb; NULL: nothing is. */
static int take_all(int argc, char **argv, const char **print, struct fault *why)
{
	struct option options[SPECS + 1] = {0};
	int c, ret = 0;

	*print = NULL;
	for (int i = 0; i < SPECS; i++)
		options[i] = (struct option){specs[i].name,
					     specs[i].flag || specs[i].print ? no_argument : required_argument, NULL,
					     VALUE_FIRST + i};
	while (ret == 0 && !*print && (c = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
		if (c == 'o')
			given.output = optarg;
		else if (c < VALUE_FIRST)
			ret = fault_set(why, EXIT_USAGE, EINVAL,
					"unknown option or missing value; see coffer-keyd --help");
		else {
			*print = specs[c - VALUE_FIRST].print;
			ret = take(&specs[c - VALUE_FIRST], optarg, why);
		}
	}
	return ret;
}

/* As the other programs do; what is locked has to hold a few keys for each request. */
static int start(struct fault *why)
{
	int ret = crypto_start();

	if (ret == 0 && secret_start(3 << 20) < 0)
		ret = secret_start(64 << 10);
	if (ret == 0)
		ret = tls_start();
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret,
				     "cannot lock memory for secrets, or start libgcrypt or OpenSSL; raise "
				     "LimitMEMLOCK= to 4 MiB")
		       : 0;
}

static const struct {
	const char *name, *recorded;
	int words;  /* behind the verb */
	bool makes; /* a keyring */
	int (*run)(const struct arguments *a, struct fault *why);
} verbs[] = {
	{"init", "keyd init", 1, true, command_init},        {"run", "keyd run", 1, false, command_run},
	{"check", "keyd check", 1, false, command_check},    {"rekey", "keyd rekey", 1, false, command_rekey},
	{"backup", "keyd backup", 1, false, command_backup}, {"restore", "keyd restore", 2, true, command_restore},
};

static int check_store(const struct arguments *a, struct fault *why)
{
	bool etcd = a->store && strcmp(a->store, "etcd") == 0;

	if (!a->store || (etcd && a->run.etcd) || (strcmp(a->store, "sqlite") == 0 && !a->run.etcd))
		return 0;
	return fault_set(why, EXIT_USAGE, EINVAL, "--store %s: %s", a->store,
			 etcd ? "say where it is, with --etcd"
			      : "give sqlite, or etcd and --etcd; not one and the other");
}

/* Which key of a token or a KMIP server, and which PCRs, is asked where a keyring is made; afterwards it says so itself. */
static int check_secret(const struct arguments *a, const char *verb, bool makes, struct fault *why)
{
	const struct unlock_source *s = &a->source;

	if (makes && s->pin_file && !s->pkcs11)
		return fault_set(why, EXIT_USAGE, EINVAL, "%s: --pin-file goes with --pkcs11", verb);
	if (makes && service_place_given(&s->kmip) && !s->kmip_key)
		return fault_set(why, EXIT_USAGE, EINVAL, "%s: where a KMIP server is goes with --kmip-key", verb);
	if (!makes && s->kmip_key)
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "%s: --kmip-key is for a keyring that is made; this one says itself what opens it",
				 verb);
	if (makes || (!s->pkcs11 && !s->pcrs))
		return 0;
	return fault_set(why, EXIT_USAGE, EINVAL,
			 "%s: --pkcs11 and --pcrs are for a keyring that is made; this one opens by %s", verb,
			 s->pkcs11 ? "--pin-file F" : "--tpm");
}

static int dispatch(int argc, char **argv, struct arguments *a, struct fault *why)
{
	const char *print;
	int ret = take_all(argc, argv, &print, why);

	if (ret < 0)
		return ret;
	if (print) {
		fputs(print, stdout);
		return 0;
	}
	ret = check_store(a, why);
	if (ret < 0)
		return ret;
	if (argc - optind < 2)
		return fault_set(why, EXIT_USAGE, EINVAL, "a verb and a directory are wanted; see coffer-keyd --help");
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(verbs[i].name, argv[optind]) == 0) {
			if (argc - optind != 1 + verbs[i].words)
				return fault_set(why, EXIT_USAGE, EINVAL, "%s wants %s; see coffer-keyd --help",
						 verbs[i].name,
						 verbs[i].words == 1 ? "a directory" : "a directory and a file");
			a->dir = argv[optind + 1];
			a->file = verbs[i].words > 1 ? argv[optind + 2] : NULL;
			audit_actor_set_command(verbs[i].recorded);
			ret = check_secret(a, verbs[i].name, verbs[i].makes, why);
			if (ret == 0)
				ret = start(why);
			return ret < 0 ? ret : verbs[i].run(a, why);
		}
	return fault_set(why, EXIT_USAGE, EINVAL, "no verb %s; there are init, run, check, rekey, backup and restore",
			 argv[optind]);
}

int main(int argc, char **argv)
{
	struct fault why = {.status = EXIT_OK};

	given = (struct arguments){
		.source = UNLOCK_SOURCE_NONE,
		.backup = BACKUP_SOURCE_NONE,
		.run = {.limits = server_limits_default, .max_rate = RATE_DEFAULT, .backup = {.keep = SCHEDULE_KEEP}},
	};

	/* Before anything is opened: a file must not land on a standard descriptor that the caller closed. */
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_WRONLY : O_RDONLY) < 0)
			return EXIT_FAILED;
	umask(077);
	opterr = 0;
	int ret = dispatch(argc, argv, &given, &why);
	backup_source_free(&given.backup);
	if (ret >= 0 && (fflush(stdout) != 0 || ferror(stdout)))
		ret = fault_errno(&why, EXIT_FAILED, -EIO, "cannot write to standard output");
	if (ret >= 0)
		return EXIT_OK;
	fprintf(stderr, "coffer-keyd: %s\n", *why.text ? why.text : "failed");
	return why.status ? (int)why.status : EXIT_FAILED;
}
