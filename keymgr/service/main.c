/* coffer-keyd: the key service's command line. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
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

enum {
	HELP = 256,
	VERSION,
	HOST,
	LISTEN,
	PASSPHRASE_FILE,
	PASSPHRASE_FD,
	KEY_FILE,
	CREDENTIAL,
	PKCS11,
	PKCS11_MODULE,
	PIN_FILE,
	TPM,
	TPM_TCTI,
	TPM_PIN_FILE,
	PCRS,
	KMIP,
	KMIP_KEY,
	KMIP_CA,
	KMIP_CERT,
	KMIP_PRIVATE_KEY,
	KMIP_CONFIG,
	ANCHOR,
	ETCD,
	STORE,
	TLS_CERT,
	TLS_KEY,
	ETM,
	METRICS,
	MAX_ALL,
	MAX_ADDRESS,
	MAX_CLIENT,
	MAX_RATE,
	HANDSHAKE_S,
	REQUEST_S,
	IDLE_S,
	OUTPUT,
	BACKUP_PASSPHRASE_FILE,
	BACKUP_KEY_FILE,
	BACKUP_IDENTITY,
	BACKUP_IDENTITY_PASSPHRASE_FILE,
	RECIPIENT,
	SHARES,
	SHARE_DIR,
	SHARE,
	EXPECT_ROOT,
	ACCEPT_OLDER,
	ACCEPT_OLDER_KEYRING,
	JSON,
	BACKUP_EVERY,
	BACKUP_DIR,
	KEEP,
};

static const struct option options[] = {
	{"help", no_argument, NULL, HELP},
	{"version", no_argument, NULL, VERSION},
	{"host", required_argument, NULL, HOST},
	{"listen", required_argument, NULL, LISTEN},
	{"passphrase-file", required_argument, NULL, PASSPHRASE_FILE},
	{"passphrase-fd", required_argument, NULL, PASSPHRASE_FD},
	{"key-file", required_argument, NULL, KEY_FILE},
	{"credential", required_argument, NULL, CREDENTIAL},
	{"pkcs11", required_argument, NULL, PKCS11},
	{"pkcs11-module", required_argument, NULL, PKCS11_MODULE},
	{"pin-file", required_argument, NULL, PIN_FILE},
	{"tpm", no_argument, NULL, TPM},
	{"tpm-tcti", required_argument, NULL, TPM_TCTI},
	{"tpm-pin-file", required_argument, NULL, TPM_PIN_FILE},
	{"pcrs", required_argument, NULL, PCRS},
	{"kmip", required_argument, NULL, KMIP},
	{"kmip-key", required_argument, NULL, KMIP_KEY},
	{"kmip-ca", required_argument, NULL, KMIP_CA},
	{"kmip-cert", required_argument, NULL, KMIP_CERT},
	{"kmip-private-key", required_argument, NULL, KMIP_PRIVATE_KEY},
	{"kmip-config", required_argument, NULL, KMIP_CONFIG},
	{"anchor", required_argument, NULL, ANCHOR},
	{"etcd", required_argument, NULL, ETCD},
	{"store", required_argument, NULL, STORE},
	{"tls-cert", required_argument, NULL, TLS_CERT},
	{"tls-key", required_argument, NULL, TLS_KEY},
	{"require-etm", no_argument, NULL, ETM},
	{"metrics", required_argument, NULL, METRICS},
	{"max-connections", required_argument, NULL, MAX_ALL},
	{"max-per-address", required_argument, NULL, MAX_ADDRESS},
	{"max-per-client", required_argument, NULL, MAX_CLIENT},
	{"max-rate", required_argument, NULL, MAX_RATE},
	{"handshake-timeout", required_argument, NULL, HANDSHAKE_S},
	{"request-timeout", required_argument, NULL, REQUEST_S},
	{"idle-timeout", required_argument, NULL, IDLE_S},
	{"output", required_argument, NULL, OUTPUT},
	{"backup-passphrase-file", required_argument, NULL, BACKUP_PASSPHRASE_FILE},
	{"backup-key-file", required_argument, NULL, BACKUP_KEY_FILE},
	{"backup-identity", required_argument, NULL, BACKUP_IDENTITY},
	{"backup-identity-passphrase-file", required_argument, NULL, BACKUP_IDENTITY_PASSPHRASE_FILE},
	{"recipient", required_argument, NULL, RECIPIENT},
	{"shares", required_argument, NULL, SHARES},
	{"share-dir", required_argument, NULL, SHARE_DIR},
	{"share", required_argument, NULL, SHARE},
	{"expect-root", required_argument, NULL, EXPECT_ROOT},
	{"accept-older", no_argument, NULL, ACCEPT_OLDER},
	{"accept-older-keyring", no_argument, NULL, ACCEPT_OLDER_KEYRING},
	{"json", no_argument, NULL, JSON},
	{"backup-every", required_argument, NULL, BACKUP_EVERY},
	{"backup-dir", required_argument, NULL, BACKUP_DIR},
	{"keep", required_argument, NULL, KEEP},
	{0},
};

static int number(const char *text, uint64_t max, int *out, struct fault *why)
{
	uint64_t n;

	if (number_parse(text, max, &n) < 0)
		return fault_set(why, EXIT_USAGE, EINVAL, "%s is not a number up to %llu", text,
				 (unsigned long long)max);
	*out = (int)n;
	return 0;
}

static int add_share(struct arguments *a, const char *file, struct fault *why)
{
	char *list;

	if (asprintf(&list, "%s%s%s", a->backup.shares ? a->backup.shares : "", a->backup.shares ? "," : "", file) < 0)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot read the options");
	free(a->backup.shares);
	a->backup.shares = list;
	return 0;
}

/* Of the KMIP server.  1: no such option. */
static int take_kmip(struct unlock_source *s, int option, const char *value)
{
	switch (option) {
	case KMIP:
		s->kmip.urls = value;
		return 0;
	case KMIP_KEY:
		s->kmip_key = value;
		return 0;
	case KMIP_CA:
		s->kmip.ca = value;
		return 0;
	case KMIP_CERT:
		s->kmip.cert = value;
		return 0;
	case KMIP_PRIVATE_KEY:
		s->kmip.key = value;
		return 0;
	case KMIP_CONFIG:
		s->kmip.file = value;
		return 0;
	default:
		return 1;
	}
}

/* Of what opens the keyring.  1: no such option. */
static int take_secret(struct unlock_source *s, int option, const char *value, struct fault *why)
{
	switch (option) {
	case PASSPHRASE_FILE:
		s->passphrase_file = value;
		return 0;
	case PASSPHRASE_FD:
		return number(value, 1 << 20, &s->passphrase_fd, why);
	case KEY_FILE:
		s->key_file = value;
		return 0;
	case CREDENTIAL:
		s->credential = value;
		return 0;
	case PKCS11:
		s->pkcs11 = value;
		return 0;
	case PKCS11_MODULE:
		s->pkcs11_module = value;
		return 0;
	case PIN_FILE:
		s->pin_file = value;
		return 0;
	case TPM:
		s->tpm = true;
		return 0;
	case TPM_TCTI:
		s->tpm_tcti = value;
		return 0;
	case TPM_PIN_FILE:
		s->tpm_pin_file = value;
		return 0;
	case PCRS:
		s->pcrs = value;
		return 0;
	default:
		return take_kmip(s, option, value);
	}
}

/* Of backups. */
static int take_backup(struct arguments *a, int option, const char *value, struct fault *why)
{
	uint64_t n;

	switch (option) {
	case 'o':
	case OUTPUT:
		a->output = value;
		return 0;
	case BACKUP_PASSPHRASE_FILE:
		a->backup.secret.passphrase_file = value;
		return 0;
	case BACKUP_KEY_FILE:
		a->backup.secret.key_file = value;
		return 0;
	case BACKUP_IDENTITY:
		a->backup.secret.identity = value;
		return 0;
	case BACKUP_IDENTITY_PASSPHRASE_FILE:
		a->backup.secret.identity_passphrase_file = value;
		return 0;
	case RECIPIENT:
		a->backup.secret.certificate = value;
		return 0;
	case SHARES:
		a->split = value;
		return 0;
	case SHARE_DIR:
		a->share_dir = value;
		return 0;
	case SHARE:
		return add_share(a, value, why);
	case EXPECT_ROOT:
		a->source.expect_root = value;
		return 0;
	case JSON:
		a->json = true;
		return 0;
	case ACCEPT_OLDER_KEYRING:
		a->source.accept_older = true;
		return 0;
	case ACCEPT_OLDER:
		a->accept_older = true;
		return 0;
	case BACKUP_EVERY:
		if (duration_parse(value, UINT64_C(366) * 86400, &a->run.backup.every) < 0 ||
		    a->run.backup.every < SCHEDULE_EVERY_MIN)
			return fault_set(why, EXIT_USAGE, EINVAL, "--backup-every %s: give 1m to 366d, such as 12h",
					 value);
		return 0;
	case BACKUP_DIR:
		a->run.backup.dir = value;
		return 0;
	case KEEP:
		if (number_parse(value, 1 << 20, &n) < 0 || n == 0)
			return fault_set(why, EXIT_USAGE, EINVAL, "--keep %s: give how many backups are kept", value);
		a->run.backup.keep = (unsigned)n;
		return 0;
	default:
		return fault_set(why, EXIT_USAGE, EINVAL, "unknown option or missing value; see coffer-keyd --help");
	}
}

static int take(struct arguments *a, int option, const char *value, struct fault *why)
{
	int ret = take_secret(&a->source, option, value, why);

	if (ret <= 0)
		return ret;
	switch (option) {
	case HOST:
		if (a->host_count == HOSTS_MAX)
			return fault_set(why, EXIT_USAGE, EINVAL, "at most %d hosts", HOSTS_MAX);
		a->hosts[a->host_count++] = value;
		return 0;
	case LISTEN:
		a->run.listen = value;
		return 0;
	case ANCHOR:
		a->run.anchor = value;
		return 0;
	case ETCD:
		a->run.etcd = value;
		return 0;
	case STORE:
		a->store = value;
		return 0;
	case TLS_CERT:
		if (a->run.own_count == 2 || (a->run.own_count && !a->run.own[a->run.own_count - 1].key))
			return fault_set(why, EXIT_USAGE, EINVAL,
					 "--tls-cert is given at most twice, each followed by --tls-key");
		a->run.own[a->run.own_count++].cert = value;
		return 0;
	case TLS_KEY:
		if (!a->run.own_count || a->run.own[a->run.own_count - 1].key)
			return fault_set(why, EXIT_USAGE, EINVAL,
					 "--tls-key follows the --tls-cert that it belongs to");
		a->run.own[a->run.own_count - 1].key = value;
		return 0;
	case ETM:
		a->run.require_etm = true;
		return 0;
	case METRICS:
		a->run.metrics = value;
		return 0;
	case MAX_ALL:
		return number(value, 1 << 20, &a->run.limits.connections, why);
	case MAX_ADDRESS:
		return number(value, 1 << 20, &a->run.limits.per_address, why);
	case MAX_CLIENT:
		return number(value, 1 << 20, &a->run.limits.per_client, why);
	case MAX_RATE:
		return number(value, 1 << 20, &a->run.max_rate, why);
	case HANDSHAKE_S:
		return number(value, 3600, &a->run.limits.handshake_s, why);
	case REQUEST_S:
		return number(value, 3600, &a->run.limits.request_s, why);
	case IDLE_S:
		return number(value, 86400, &a->run.limits.idle_s, why);
	default:
		return take_backup(a, option, value, why);
	}
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
	int option, ret;

	while ((option = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
		if (option == HELP || option == VERSION) {
			fputs(option == HELP ? usage : "coffer-keyd " COFFER_VERSION "\n", stdout);
			return 0;
		}
		ret = take(a, option, optarg, why);
		if (ret < 0)
			return ret;
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
	struct arguments a = {
		.source = UNLOCK_SOURCE_NONE,
		.backup = BACKUP_SOURCE_NONE,
		.run = {.limits = server_limits_default, .max_rate = RATE_DEFAULT, .backup = {.keep = SCHEDULE_KEEP}},
	};
	struct fault why = {.status = EXIT_OK};

	/* Before anything is opened: a file must not land on a standard descriptor that the caller closed. */
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_WRONLY : O_RDONLY) < 0)
			return EXIT_FAILED;
	umask(077);
	opterr = 0;
	int ret = dispatch(argc, argv, &a, &why);
	backup_source_free(&a.backup);
	if (ret >= 0 && (fflush(stdout) != 0 || ferror(stdout)))
		ret = fault_errno(&why, EXIT_FAILED, -EIO, "cannot write to standard output");
	if (ret >= 0)
		return EXIT_OK;
	fprintf(stderr, "coffer-keyd: %s\n", *why.text ? why.text : "failed");
	return why.status ? (int)why.status : EXIT_FAILED;
}
