/* coffer-keyd: the key service's command line. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "config.h"
#include "keymgr/audit_actor.h"
#include "keymgr/service/run.h"
#include "util/base/number.h"

static const char usage[] =
	"usage: coffer-keyd init DIR --host NAME ... [--passphrase-file F]\n"
	"       coffer-keyd run DIR --listen ADDR:PORT [--passphrase-file F]\n"
	"       coffer-keyd check DIR [--passphrase-file F]\n"
	"\n"
	"init makes a key service in DIR: its keyring, its certificates (for the hosts named), and for the\n"
	"first administrator ca.pem, admin.pem, admin.key and admin.p12.  run serves it.  check reads all\n"
	"of it and compares it with its log.\n"
	"\n"
	"The keyring opens by --passphrase-file F, --passphrase-fd N, --key-file F or --credential NAME;\n"
	"without one init makes DIR/keyring.key, and whoever has that and the database has the keys.\n"
	"\n"
	"  --anchor FILE          where the end of the log is kept outside the database (DIR/anchor.json)\n"
	"  --tls-cert F --tls-key F   certificate (with its chain) and key in PEM, instead of the\n"
	"                         service's own; again for one of the other kind (EC, RSA)\n"
	"  --require-etm          refuse CBC without encrypt-then-MAC, and clients without extended\n"
	"                         master secret\n"
	"  --metrics ADDR:PORT    metrics (/metrics) and a health check (/health) on a loopback address\n"
	"  --max-connections N    in all (1024)\n"
	"  --max-per-address N    from one address (64)\n"
	"  --max-per-client N     of one client (32)\n"
	"  --handshake-timeout S  seconds for a handshake (10)\n"
	"  --request-timeout S    for a request, from its first byte to its last (30)\n"
	"  --idle-timeout S       between requests (75)\n";

struct arguments {
	const char *hosts[HOSTS_MAX];
	size_t host_count;
	struct unlock_source source;
	struct run_options run;
};

enum {
	HELP = 256,
	VERSION,
	HOST,
	LISTEN,
	PASSPHRASE_FILE,
	PASSPHRASE_FD,
	KEY_FILE,
	CREDENTIAL,
	ANCHOR,
	TLS_CERT,
	TLS_KEY,
	ETM,
	METRICS,
	MAX_ALL,
	MAX_ADDRESS,
	MAX_CLIENT,
	HANDSHAKE_S,
	REQUEST_S,
	IDLE_S,
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
	{"anchor", required_argument, NULL, ANCHOR},
	{"tls-cert", required_argument, NULL, TLS_CERT},
	{"tls-key", required_argument, NULL, TLS_KEY},
	{"require-etm", no_argument, NULL, ETM},
	{"metrics", required_argument, NULL, METRICS},
	{"max-connections", required_argument, NULL, MAX_ALL},
	{"max-per-address", required_argument, NULL, MAX_ADDRESS},
	{"max-per-client", required_argument, NULL, MAX_CLIENT},
	{"handshake-timeout", required_argument, NULL, HANDSHAKE_S},
	{"request-timeout", required_argument, NULL, REQUEST_S},
	{"idle-timeout", required_argument, NULL, IDLE_S},
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

static int take(struct arguments *a, int option, const char *value, struct fault *why)
{
	switch (option) {
	case HOST:
		if (a->host_count == HOSTS_MAX)
			return fault_set(why, EXIT_USAGE, EINVAL, "at most %d hosts", HOSTS_MAX);
		a->hosts[a->host_count++] = value;
		return 0;
	case LISTEN:
		a->run.listen = value;
		return 0;
	case PASSPHRASE_FILE:
		a->source.passphrase_file = value;
		return 0;
	case PASSPHRASE_FD:
		return number(value, 1 << 20, &a->source.passphrase_fd, why);
	case KEY_FILE:
		a->source.key_file = value;
		return 0;
	case CREDENTIAL:
		a->source.credential = value;
		return 0;
	case ANCHOR:
		a->run.anchor = value;
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
	case HANDSHAKE_S:
		return number(value, 3600, &a->run.limits.handshake_s, why);
	case REQUEST_S:
		return number(value, 3600, &a->run.limits.request_s, why);
	case IDLE_S:
		return number(value, 86400, &a->run.limits.idle_s, why);
	default:
		return fault_set(why, EXIT_USAGE, EINVAL, "unknown option or missing value; see coffer-keyd --help");
	}
}

static int init(const char *dir, const struct arguments *a, struct fault *why)
{
	const struct place_init how = {a->hosts, a->host_count, &a->source};

	if (a->host_count == 0)
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "init wants at least one --host NAME, as clients will call the service");
	return place_make(dir, &how, why);
}

static int run(const char *dir, const struct arguments *a, struct fault *why)
{
	if (!a->run.listen)
		return fault_set(why, EXIT_USAGE, EINVAL, "run wants --listen ADDR:PORT");
	if (a->run.own_count && !a->run.own[a->run.own_count - 1].key)
		return fault_set(why, EXIT_USAGE, EINVAL, "--tls-cert wants a --tls-key behind it");
	return run_service(dir, &a->run, why);
}

static int check(const char *dir, const struct arguments *a, struct fault *why)
{
	struct place p;
	int ret = place_open(dir, &a->source, a->run.anchor, &p, why);

	if (ret < 0)
		return ret;
	printf("%s: %llu lines and the rows that they speak of are whole\n", dir,
	       (unsigned long long)ledger_last(p.ledger));
	place_close(&p);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(const char *dir, const struct arguments *a, struct fault *why);
} verbs[] = {{"init", init}, {"run", run}, {"check", check}};

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

static int dispatch(int argc, char **argv, struct fault *why)
{
	struct arguments a = {.source = UNLOCK_SOURCE_NONE, .run = {.limits = server_limits_default}};
	int option, ret;

	a.run.source = &a.source;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == HELP || option == VERSION) {
			fputs(option == HELP ? usage : "coffer-keyd " COFFER_VERSION "\n", stdout);
			return 0;
		}
		ret = take(&a, option, optarg, why);
		if (ret < 0)
			return ret;
	}
	if (argc - optind != 2)
		return fault_set(why, EXIT_USAGE, EINVAL, "a verb and a directory are wanted; see coffer-keyd --help");
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(verbs[i].name, argv[optind]) == 0) {
			audit_actor_set_command(i == 0 ? "keyd init" : i == 1 ? "keyd run" : "keyd check");
			ret = start(why);
			return ret < 0 ? ret : verbs[i].run(argv[optind + 1], &a, why);
		}
	return fault_set(why, EXIT_USAGE, EINVAL, "no verb %s; there are init, run and check", argv[optind]);
}

int main(int argc, char **argv)
{
	struct fault why = {.status = EXIT_OK};

	/* Before anything is opened: a file must not land on a standard descriptor that the caller closed. */
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_WRONLY : O_RDONLY) < 0)
			return EXIT_FAILED;
	umask(077);
	opterr = 0;
	int ret = dispatch(argc, argv, &why);
	if (ret >= 0 && (fflush(stdout) != 0 || ferror(stdout)))
		ret = fault_errno(&why, EXIT_FAILED, -EIO, "cannot write to standard output");
	if (ret >= 0)
		return EXIT_OK;
	fprintf(stderr, "coffer-keyd: %s\n", *why.text ? why.text : "failed");
	return why.status ? (int)why.status : EXIT_FAILED;
}
