/* coffer-keyd while it runs (run.h). */
#include "keymgr/service/run.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "keymgr/service/api.h"
#include "keymgr/service/due.h"
#include "keymgr/service/metrics.h"
#include "util/base/log.h"

enum { RENEW_DAYS = 30, HOUR = 3600, METRICS_S = 5 };

enum { IDENTITY_EC, IDENTITY_RSA, IDENTITIES };
static const char *const identity_rows[IDENTITIES] = {ROW_EC, ROW_RSA};

struct running {
	struct place place;
	struct tls_identity ca, identities[IDENTITIES];
	SSL_CTX *tls;
	struct api api;
	struct server *server;
	struct metrics *metrics;
	struct schedule *schedule; /* NULL: no backups are made */
	int anchor_error;
	size_t identity_count;
	bool foreign; /* the certificates are of somebody else, who renews them */
	unsigned seconds;
};

static int note(struct running *r, const char *event)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	int ret = o ? put_string(o, "event", event) : -ENOMEM;

	return ret == 0 ? ledger_note(r->place.ledger, o) : ret;
}

/* --- the server's certificates */

static int renew(struct running *r, int i)
{
	struct tls_identity *own = &r->identities[i];
	const struct ledger_mark mark = ledger_mark(r->place.ledger);
	struct tls_identity next = {.key = own->key};
	int ret = x509_renew_server(r->ca.cert, r->ca.key, own->cert, own->key, &next.cert);

	if (ret < 0)
		return ret;
	ret = identity_put(r->place.ledger, &r->place.keys, identity_rows[i], &next);
	if (ret == 0)
		ret = note(r, "certificate.renew");
	if (ret == 0)
		ret = ledger_commit(r->place.ledger);
	else
		ledger_back(r->place.ledger, &mark);
	if (ret == 0 && r->tls && !SSL_CTX_use_cert_and_key(r->tls, next.cert, next.key, NULL, 1))
		ret = -EIO;
	if (ret < 0) {
		X509_free(next.cert);
		return ret;
	}
	X509_free(own->cert);
	own->cert = next.cert;
	return 0;
}

/* In time, with the same key; what cannot be renewed serves on until it ends. */
static void look_at_certificates(struct running *r)
{
	for (int i = 0; !r->foreign && i < IDENTITIES; i++)
		if (x509_ends_within(r->identities[i].cert, RENEW_DAYS)) {
			int ret = renew(r, i);

			if (ret < 0)
				log_error("cannot renew a certificate of the service: %s", strerror(-ret));
			else
				log_info("a certificate of the service was renewed");
		}
}

/* --- what the server asks for */

static void on_request(void *context, const struct tls_peer *peer, const char *address, const struct http_request *q,
		       struct answer *a)
{
	struct running *r = context;

	api_handle(&r->api, peer, address, q, a);
}

static int on_commit(void *context)
{
	struct running *r = context;

	int ret = ledger_commit(r->place.ledger);

	/* What was read may be answered only while nobody else can have changed it. */
	return ret == 0 ? ledger_alive(r->place.ledger, false) : ret;
}

static void on_tick(void *context)
{
	struct running *r = context;
	int ret = ledger_anchor(r->place.ledger);

	r->anchor_error = ret;
	if (ret < 0)
		log_error("cannot write the anchor of the log: %s", strerror(-ret));
	api_tick(&r->api);
	/* All of these commit; what requests have staged is theirs to commit.  If it is so just now, a second later will do. */
	r->seconds++;
	if (r->seconds >= HOUR && !ledger_staged(r->place.ledger)) {
		r->seconds = 0;
		look_at_certificates(r);
		due_run(r->place.ledger, &r->place.keys);
	}
	if (r->schedule && r->api.backup_wanted)
		schedule_ask(r->schedule);
	r->api.backup_wanted = false;
	if (r->schedule && !ledger_staged(r->place.ledger))
		schedule_tick(r->schedule);
	if (r->schedule)
		r->api.backup_failing = schedule_state(r->schedule).failing;
	ret = ledger_alive(r->place.ledger, true);
	if (ret < 0)
		server_end(r->server, ret);
	if (!ledger_staged(r->place.ledger))
		ledger_rest(r->place.ledger);
}

/* --- what it says of itself */

static int days_left(const struct running *r)
{
	int left = INT_MAX, day, second;

	for (size_t i = 0; i < r->identity_count; i++)
		if (ASN1_TIME_diff(&day, &second, NULL, X509_get0_notAfter(r->identities[i].cert)) && day < left)
			left = day;
	return left;
}

static void on_metrics(void *context, char *out, size_t n)
{
	struct running *r = context;
	const struct server_counts s = server_counts(r->server);
	const struct schedule_state backup = r->schedule ? schedule_state(r->schedule) : (struct schedule_state){0};
	const struct {
		const char *name, *type, *help;
		unsigned long long value;
	} lines[] = {
		{"connections_open", "gauge", "connections now", (unsigned)s.open},
		{"connections_total", "counter", "connections let in", s.connections},
		{"peers_refused_total", "counter", "peers refused before a request was read", s.refused},
		{"answers_ok_total", "counter", "answers with status 2xx", s.answers[2]},
		{"answers_refused_total", "counter", "answers with status 4xx", s.answers[4]},
		{"answers_failed_total", "counter", "answers with status 5xx", s.answers[5]},
		{"commits_total", "counter", "commits that answers waited for", s.commits},
		{"calls_refused_total", "counter", "calls that the API refused", r->api.counts.refused},
		{"calls_over_rate_total", "counter", "calls refused with 429: more than --max-rate",
		 r->api.counts.over_rate},
		{"wraps_total", "counter", "values wrapped", r->api.counts.wraps},
		{"unwraps_total", "counter", "values unwrapped", r->api.counts.unwraps},
		{"rewraps_total", "counter", "values rewrapped", r->api.counts.rewraps},
		{"leases_renewed_total", "counter", "leases renewed", r->api.counts.leases},
		{"audit_lines", "gauge", "lines of the log", ledger_last(r->place.ledger)},
		{"audit_lines_not_anchored", "gauge", "lines that the anchor does not cover yet",
		 ledger_behind(r->place.ledger)},
		{"last_backup_seconds", "gauge",
		 "when the last good backup of --backup-every was made, since 1970; 0: never",
		 (unsigned long long)backup.last},
		{"backups_failed_total", "counter", "backups of --backup-every that failed", backup.failed},
		{"certificate_days_left", "gauge", "days until a certificate of the server ends",
		 days_left(r) < 0 ? 0 : (unsigned)days_left(r)},
	};
	size_t used = 0;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]) && used < n; i++)
		used += (size_t)snprintf(out + used, n - used,
					 "# HELP coffer_keyd_%s %s\n# TYPE coffer_keyd_%s %s\ncoffer_keyd_%s %llu\n",
					 lines[i].name, lines[i].help, lines[i].name, lines[i].type, lines[i].name,
					 lines[i].value);
}

static bool on_health(void *context, char *why, size_t n)
{
	struct running *r = context;
	const char *what = ledger_last_error(r->place.ledger) < 0 ? "the store took nothing at the last commit"
			   : r->anchor_error < 0                  ? "the anchor cannot be written"
			   : days_left(r) < 0                     ? "a certificate of the server has ended"
								  : NULL;

	snprintf(why, n, "%s", what ? what : "");
	return !what;
}

/* --- start and end */

static int load_foreign(struct running *r, const struct run_options *o, struct fault *why)
{
	int ret = 0;

	r->foreign = true;
	r->identity_count = o->own_count;
	for (size_t i = 0; ret == 0 && i < o->own_count; i++)
		ret = identity_read(o->own[i].cert, o->own[i].key, &r->identities[i], why);
	if (ret == 0 && o->own_count == 2 &&
	    EVP_PKEY_get_base_id(r->identities[0].key) == EVP_PKEY_get_base_id(r->identities[1].key))
		return fault_set(why, EXIT_USAGE, EINVAL, "of two certificates one has an EC key and one an RSA key");
	return ret;
}

static int load(struct running *r, const struct run_options *o, struct fault *why)
{
	int ret = identity_get(r->place.ledger, &r->place.keys, ROW_CA, &r->ca);

	if (ret == 0 && o->own_count)
		return load_foreign(r, o, why);
	r->identity_count = IDENTITIES;
	for (int i = 0; ret == 0 && i < IDENTITIES; i++)
		ret = identity_get(r->place.ledger, &r->place.keys, identity_rows[i], &r->identities[i]);
	return ret < 0 ? fault_errno(why, EXIT_DAMAGED, ret, "cannot read the certificates of the service") : 0;
}

static void raise_limit(const struct server_limits *limits)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return;
	l.rlim_cur = l.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &l);
	if (l.rlim_cur < (rlim_t)limits->connections + 32)
		log_warning("only %llu files may be open: too few for %d connections (LimitNOFILE=)",
			    (unsigned long long)l.rlim_cur, limits->connections);
}

/* What Type=notify of systemd waits for (sd_notify(3)); nothing without it. */
static void tell_manager(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t n = path ? strlen(path) : 0;
	int fd;

	if (n < 2 || n >= sizeof(to.sun_path) || (*path != '/' && *path != '@'))
		return;
	memcpy(to.sun_path, path, n);
	if (*path == '@')
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		log_warning("cannot tell the service manager: %s", strerror(errno));
	close(fd);
}

static int serve(struct running *r, const struct run_options *o, struct fault *why)
{
	const struct server_handler handler = {r, on_request, on_commit, on_tick};
	const struct tls_setup setup = {r->identities, r->identity_count, r->ca.cert, o->require_etm};
	const struct metrics_source source = {r, on_metrics, on_health};
	char shown[ADDRESS_TEXT], metrics_shown[ADDRESS_TEXT];
	int ret = tls_server(&setup, &r->tls, why);

	r->api = (struct api){
		.ledger = r->place.ledger,
		.keys = &r->place.keys,
		.ca = &r->ca,
		.refusals_left = API_REFUSALS_MAX,
		.backups = r->schedule != NULL,
		.rates = {.per_second = (unsigned)o->max_rate},
	};
	if (ret == 0)
		ret = server_new(o->listen, r->tls, &o->limits, &handler, &r->server, shown, why);
	if (ret == 0 && o->metrics)
		ret = metrics_new(server_base(r->server), o->metrics,
				  o->limits.request_s < METRICS_S ? o->limits.request_s : METRICS_S, &source,
				  &r->metrics, metrics_shown, why);
	if (ret == 0)
		due_run(r->place.ledger, &r->place.keys);
	if (ret == 0)
		ret = note(r, "start");
	if (ret == 0)
		ret = ledger_commit(r->place.ledger);
	if (ret < 0)
		return fault_errno(why, EXIT_STORE, ret, "cannot record the start");
	printf("listening on %s\n", shown);
	if (r->metrics)
		printf("metrics on %s\n", metrics_shown);
	fflush(stdout);
	tell_manager("READY=1\nSTATUS=serving");
	ret = server_run(r->server);
	tell_manager("STOPPING=1");
	if (ret == 0 && note(r, "stop") == 0)
		ret = ledger_commit(r->place.ledger);
	return ret < 0 ? fault_errno(why, EXIT_STORE, ret, "the service ended") : 0;
}

/* The service manager has started what it wanted: a server that steps in when the other one ends. */
static void wait_as_standby(void)
{
	printf("waiting: another server has the store\n");
	fflush(stdout);
	tell_manager("READY=1\nSTATUS=waiting: another server has the store");
}

static int open_place(struct running *r, const char *dir, const struct run_options *o, struct fault *why)
{
	_cleanup_(keyring_free) struct keyring *k = NULL;
	const struct place_options how = {o->source, o->anchor, o->etcd, wait_as_standby};
	int ret = place_open(dir, &how, &r->place, o->backup.every ? &k : NULL, why);

	return ret == 0 && k ? schedule_new(&o->backup, &r->place, o->anchor, k, &r->schedule, why) : ret;
}

int run_service(const char *dir, const struct run_options *o, struct fault *why)
{
	struct running r = {.place = PLACE_NONE};
	int ret = open_place(&r, dir, o, why);

	if (ret < 0) {
		place_close(&r.place);
		return ret;
	}
	raise_limit(&o->limits);
	ret = load(&r, o, why);
	if (ret == 0) {
		look_at_certificates(&r);
		ret = serve(&r, o, why);
	}
	schedule_free(&r.schedule);
	if (r.metrics)
		metrics_free(&r.metrics);
	if (r.server)
		server_free(&r.server);
	api_end(&r.api);
	SSL_CTX_free(r.tls);
	for (int i = 0; i < IDENTITIES; i++)
		tls_identity_free(&r.identities[i]);
	tls_identity_free(&r.ca);
	place_close(&r.place);
	return ret;
}
