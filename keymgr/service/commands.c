/* What the verbs of coffer-keyd do (commands.h). */
#include "keymgr/service/commands.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/audit_actor.h"
#include "keymgr/backup.h"
#include "keymgr/service/backup.h"
#include "keymgr/service/rekey.h"

/* What was done, for programs: a text or a number under each name; {0} ends them. */
struct fact {
	const char *name, *text;
	uint64_t number;
};

static int print_json(const struct fact *f, struct fault *why)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	int ret = o ? 0 : -ENOMEM;

	for (; ret == 0 && f->name; f++)
		ret = f->text ? audit_put_text(o, f->name, f->text) : put_number(o, f->name, f->number);
	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "it is done, but cannot be printed");
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
						       JSON_C_TO_STRING_NOSLASHESCAPE));
	return 0;
}

int command_init(const struct arguments *a, struct fault *why)
{
	const struct place_init how = {a->hosts, a->host_count, &a->source, a->run.etcd};
	char fingerprint[ROOT_TEXT];

	if (a->host_count == 0)
		return fault_set(why, EXIT_USAGE, EINVAL,
				 "init wants at least one --host NAME, as clients will call the service");
	int ret = place_make(a->dir, &how, fingerprint, why);
	if (ret == 0 && a->json)
		return print_json((struct fact[]){{.name = "fingerprint", .text = fingerprint}, {0}}, why);
	if (ret == 0)
		printf("fingerprint: %s\n", fingerprint);
	return ret;
}

int command_run(const struct arguments *a, struct fault *why)
{
	struct run_options o = a->run;

	o.source = &a->source;
	o.backup.recipient = a->backup.secret.certificate;
	if (!o.listen)
		return fault_set(why, EXIT_USAGE, EINVAL, "run wants --listen ADDR:PORT");
	if (o.own_count && !o.own[o.own_count - 1].key)
		return fault_set(why, EXIT_USAGE, EINVAL, "--tls-cert wants a --tls-key behind it");
	if (!o.backup.every != !o.backup.dir || !o.backup.every != !o.backup.recipient)
		return fault_set(
			why, EXIT_USAGE, EINVAL,
			"--backup-every, --backup-dir and --recipient go together: run backs up to a certificate");
	return run_service(a->dir, &o, why);
}

int command_check(const struct arguments *a, struct fault *why)
{
	const struct place_options o = {.source = &a->source, .anchor = a->run.anchor, .etcd = a->run.etcd};
	struct place p;
	int ret = place_open(a->dir, &o, &p, NULL, why);

	if (ret < 0)
		return ret;
	uint64_t lines = ledger_last(p.ledger);
	place_close(&p);
	if (a->json)
		return print_json((struct fact[]){{.name = "lines", .number = lines}, {0}}, why);
	printf("%s: %llu lines and the rows that they speak of are whole\n", a->dir, (unsigned long long)lines);
	return 0;
}

int command_rekey(const struct arguments *a, struct fault *why)
{
	const struct place_options o = {.source = &a->source, .anchor = a->run.anchor, .etcd = a->run.etcd};
	_cleanup_(keyring_free) struct keyring *k = NULL;
	struct service_rekeyed r;
	struct place p;
	int ret = place_open(a->dir, &o, &p, &k, why);

	if (ret < 0)
		return ret;
	ret = service_rekey(&p, k, &r, why);
	place_close(&p);
	if (ret < 0)
		return ret;
	if (a->json)
		return print_json((struct fact[]){{.name = "generation", .number = r.generation},
						  {.name = "before", .number = r.before},
						  {.name = "rows", .number = r.rows},
						  {.name = "lines", .number = r.lines},
						  {0}},
				  why);
	printf("%s: %llu rows are under generation %lu of the keyring, checked; %llu lines say so\n"
	       "nothing is under generation %lu any more: make a backup now, and when no older copy of the store is "
	       "wanted:\n"
	       "coffer key destroy %s/" PLACE_KEYRING " %lu\n",
	       a->dir, (unsigned long long)r.rows, (unsigned long)r.generation, (unsigned long long)r.lines,
	       (unsigned long)r.before, a->dir, (unsigned long)r.before);
	return 0;
}

/* --- backup */

static int check_backup(const struct arguments *a, struct fault *why)
{
	if (!a->output)
		return fault_set(why, EXIT_USAGE, EINVAL, "backup wants -o FILE");
	if (a->backup.secret.identity || a->backup.shares)
		return fault_set(
			why, EXIT_USAGE, EINVAL,
			"--backup-identity and --share open a backup; one is made by --recipient and --shares");
	if (!a->split != !a->share_dir)
		return fault_set(why, EXIT_USAGE, EINVAL, "--shares and --share-dir go together");
	if (a->split && unlock_source_given(&a->backup.secret))
		return fault_set(why, EXIT_USAGE, EINVAL, "give shares, a passphrase, a key file or a certificate");
	return 0;
}

static int new_secret(const struct arguments *a, struct unlock_secret *out, struct fault *why)
{
	return a->split ? backup_shares_make(a->split, a->share_dir, out, why)
			: unlock_obtain(&a->backup.secret, "New passphrase for the backup: ", true, out, why);
}

static int write_backup(const struct arguments *a, const struct place *p, struct keyring *k,
			const struct unlock_secret *secret, struct fault *why)
{
	char anchor[PATH_MAX], fingerprint[2 * FINGERPRINT_SIZE + 8];
	_cleanup_free_ char *keyring = NULL;
	struct service_backed_up made = {0};
	struct service_backup b = {
		.place = p,
		.anchor = a->run.anchor ? a->run.anchor : place_name(p, PLACE_ANCHOR, anchor),
	};
	int ret = backup_make(k, secret, &keyring, &b.keyring_size, why);

	b.keyring = keyring;
	if (ret == 0)
		ret = service_backup(&b, a->output, &made, why);
	if (ret < 0)
		return ret;
	keyring_fingerprint(k, fingerprint);
	if (a->json)
		return print_json((struct fact[]){{.name = "file", .text = a->output},
						  {.name = "lines", .number = made.counts.lines},
						  {.name = "rows", .number = made.counts.rows},
						  {.name = "fingerprint", .text = fingerprint},
						  {0}},
				  why);
	printf("wrote and checked the backup %s: %llu lines, %llu rows\nfingerprint: %s\n", a->output,
	       (unsigned long long)made.counts.lines, (unsigned long long)made.counts.rows, fingerprint);
	if (a->split)
		printf("its %u shares are in %s: print them, keep them apart, remove the files; any %u of them open "
		       "it\n",
		       secret->share_count, a->share_dir, secret->share_threshold);
	return 0;
}

int command_backup(const struct arguments *a, struct fault *why)
{
	const struct place_options o = {.source = &a->source, .etcd = a->run.etcd};
	_cleanup_(keyring_free) struct keyring *k = NULL;
	struct unlock_secret secret = {0};
	struct place p = PLACE_NONE;
	int ret = check_backup(a, why);

	if (ret == 0 && access(a->output, F_OK) == 0)
		return fault_set(why, EXIT_REFUSED, EEXIST, "%s exists; name a new file", a->output);
	if (ret == 0)
		ret = place_unlock(a->dir, &o, &p, &k, why);
	if (ret == 0)
		ret = new_secret(a, &secret, why);
	if (ret == 0) {
		ret = write_backup(a, &p, k, &secret, why);
		if (ret < 0 && a->split)
			backup_shares_remove(a->share_dir, secret.share_count);
	}
	unlock_secret_wipe(&secret);
	place_close(&p);
	return ret;
}

int command_restore(const struct arguments *a, struct fault *why)
{
	const struct service_restore how = {
		.file = a->file,
		.source = &a->backup,
		.replace = &a->source,
		.etcd = a->run.etcd,
		.anchor = a->run.anchor,
		.accept_older = a->accept_older,
		.expect_root = a->source.expect_root,
	};
	struct service_restored r;
	int ret = service_restore(a->dir, &how, &r, why);

	if (ret < 0)
		return ret;
	if (a->json)
		return print_json((struct fact[]){{.name = "created", .text = r.created},
						  {.name = "lines", .number = r.lines},
						  {.name = "lost", .number = r.lost},
						  {0}},
				  why);
	printf("%s is the key service as it was at %s: %llu lines\n", a->dir, r.created, (unsigned long long)r.lines);
	if (r.lost)
		printf("%llu later lines, which the anchor knew of, are lost: look at what was revoked or disabled "
		       "since\n",
		       (unsigned long long)r.lost);
	return 0;
}
