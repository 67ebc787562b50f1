#include "fs/lease_report.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "keymgr/backup.h"
#include "keymgr/document.h"
#include "keymgr/managed_policy.h"
#include "keymgr/sealed_file.h"
#include "util/base/atomic_file.h"
#include "util/base/encode.h"
#include "util/base/log.h"

enum { PART_MAX = 45000, SEND_SECONDS = 10, STATUS_TOO_MANY = 429, WORD_MAX = 64, NAME_TEXT = 160 };

/* The service takes letters, digits and ._@- in words. */
static void host_name(char out[WORD_MAX + 1])
{
	char name[HOST_NAME_MAX + 1] = "";

	if (gethostname(name, sizeof name) < 0 || !*name)
		strcpy(name, "host");
	name[HOST_NAME_MAX] = '\0';
	snprintf(out, WORD_MAX + 1, "%.64s", name);
	for (char *at = out; *at; at++)
		if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_@", *at))
			*at = '-';
}

struct facts {
	bool known, backed_up;
	uint32_t generation;
	struct managed_state state;
	uint64_t backup_days, sequence;
};

static void look_at_backups(const struct keyring *k, struct facts *f)
{
	_cleanup_free_ struct backup_info *all = calloc(BACKUPS_MAX, sizeof *all);
	uint32_t n = all ? keyring_backups(k, all) : 0;
	time_t newest = 0, at;

	for (uint32_t i = 0; i < n; i++)
		if (time_parse(all[i].verified, &at) == 0 && at > newest)
			newest = at;
	f->backed_up = newest > 0;
	f->backup_days = document_now() > newest ? (uint64_t)(document_now() - newest) / 86400 : 0;
}

static void look(const struct keyring *k, void *context)
{
	struct facts *f = context;
	uint32_t n = keyring_generations(k, NULL, 0);
	_cleanup_free_ struct generation_info *all = calloc(n ? n : 1, sizeof *all);

	n = all ? keyring_generations(k, all, n) : 0;
	for (uint32_t i = 0; i < n; i++)
		if (all[i].scope == SCOPE_DEFAULT && all[i].state == KEY_ACTIVE)
			f->generation = all[i].number;
	keyring_managed_state(k, &f->state);
	look_at_backups(k, f);
	f->sequence = keyring_sequence(k);
	f->known = true;
}

static int put_state(json_object *o, const struct managed_state *s)
{
	char rotated[TIME_TEXT + 1];
	int r = put_number(o, "generations", s->kept);

	time_text_of(s->rotated, rotated);
	if (r == 0)
		r = put_number(o, "floor", s->floor);
	if (r == 0)
		r = put_number(o, "sealed", s->sealed);
	return r == 0 ? put_string(o, "rotated", rotated) : r;
}

int lease_report_put(json_object *o, struct live_keys *keys, struct reencrypt *reencrypt)
{
	struct facts f = {0};
	struct reencrypt_status now;
	char host[WORD_MAX + 1];
	int r;

	host_name(host);
	live_keys_look(keys, look, &f);
	reencrypt_status(reencrypt, &now);
	r = put_string(o, "host", host);
	if (r == 0)
		r = put_string(o, "coffer", COFFER_VERSION);
	if (r == 0 && f.known)
		r = put_number(o, "generation", f.generation);
	if (r == 0 && f.known)
		r = put_state(o, &f.state);
	if (r == 0 && now.phase != REENCRYPT_NONE && now.total && now.done <= now.total)
		r = put_number(o, "reencryption_percent", now.done * 100 / now.total);
	return r == 0 && f.known && f.backed_up ? put_number(o, "backup_days", f.backup_days) : r;
}

/* ------------------------------------------------------------------ the sealed keyring */

/* What is on the disk, with its own number: it may be newer than what we know. */
static int read_keyring(const struct opened *opened, struct sealed_text *t, uint64_t *sequence, struct fault *why)
{
	_cleanup_json_ json_object *o = NULL;
	struct problem p = {0};
	int r = atomic_file_read(opened->store, opened->dot, "keyring.json", KEYRING_MAX, &t->text, &t->size);

	if (r == 0)
		r = seal_check(t, SEAL_MAC_HASH, &p);
	if (r == 0)
		r = document_parse(t->text, t->document_size, &o, &p);
	if (r == 0)
		r = member_number(o, "sequence", 1, DOCUMENT_NUMBER_MAX, sequence, &p);
	return r < 0 ? fault_errno(why, EXIT_STORE, r, "cannot read it%s%s", *p.text ? ": " : "", p.text) : 0;
}

/* -EAGAIN: not now; *kept: the service has all of it. */
static int judge(const struct service_answer *a, bool *kept, struct fault *why)
{
	json_object *o;

	if (strcmp(a->code, "out_of_order") == 0 || a->status == STATUS_TOO_MANY || service_took_away(a))
		return -EAGAIN;
	*kept = json_object_object_get_ex(a->body, "kept", &o) && json_object_get_boolean(o);
	return service_check(a, why);
}

/* The next of `parts`, which there is; one of one is the whole. */
static int send_part(struct service_client *c, const char *path, const struct sealed_text *t, struct keyring_sending *s,
		     unsigned parts, struct fault *why)
{
	const size_t at = (size_t)s->part * PART_MAX, n = t->size - at < PART_MAX ? t->size - at : PART_MAX;
	_cleanup_json_ json_object *o = json_object_new_object();
	_cleanup_free_ char *encoded = malloc(base64url_size(n) + 1);
	_cleanup_service_answer_ struct service_answer a = {0};
	int r = o && encoded ? put_number(o, "sequence", s->sequence) : -ENOMEM;

	if (r == 0 && parts > 1)
		r = put_number(o, "part", s->part);
	if (r == 0 && parts > 1)
		r = put_number(o, "parts", parts);
	if (r == 0) {
		base64url_encode(t->text + at, n, encoded);
		r = put_string(o, "text", encoded);
	}
	if (r < 0)
		return fault_errno(why, EXIT_FAILED, r, "cannot send it");
	r = service_call(c, SERVICE_ASK, path, o, &a, why);
	if (r == 0)
		r = judge(&a, &s->settled, why);
	/* Somebody else has sent one meanwhile, or the service did not keep what came. */
	if (r == -EAGAIN && strcmp(a.code, "out_of_order") == 0)
		s->part = 0;
	return r;
}

static int send_parts(struct service_client *c, const char *path, const struct sealed_text *t,
		      struct keyring_sending *s, struct fault *why)
{
	const unsigned parts = (unsigned)((t->size + PART_MAX - 1) / PART_MAX);
	struct timespec began, now;
	int r = 0;

	/* Another one has come under the same number, as with an older copy of the volume. */
	if (s->part >= parts)
		s->part = 0;
	clock_gettime(CLOCK_BOOTTIME, &began);
	now = began;
	while (r == 0 && !s->settled && now.tv_sec - began.tv_sec < SEND_SECONDS) {
		r = send_part(c, path, t, s, parts, why);
		if (r == 0 && ++s->part == parts && !s->settled)
			r = fault_set(why, EXIT_FAILED, EPROTO, "the key service took all parts and did not keep it");
		clock_gettime(CLOCK_BOOTTIME, &now);
	}
	return r;
}

void lease_report_keyring(struct service_client *c, const char *key, const char *volume, const struct opened *opened,
			  struct live_keys *keys, struct keyring_sending *s)
{
	_cleanup_(sealed_text_free) struct sealed_text t = {0};
	struct fault why = {.status = EXIT_OK};
	struct facts f = {0};
	char path[NAME_TEXT];
	uint64_t sequence = 0;
	int r;

	live_keys_look(keys, look, &f);
	if (!f.known || (s->settled && s->sequence == f.sequence))
		return;
	r = read_keyring(opened, &t, &sequence, &why);
	if (r < 0)
		sequence = f.sequence;
	if (sequence != s->sequence)
		*s = (struct keyring_sending){.sequence = sequence};
	if (s->settled)
		return;
	snprintf(path, sizeof path, "keys/%s/volumes/%s/keyring", key, volume);
	if (r == 0)
		r = send_parts(c, path, &t, s, &why);
	if (r == 0 || r == -EHOSTUNREACH || r == -ECANCELED || r == -EAGAIN)
		return;
	s->settled = true;
	log_warning("the key service has no copy of the volume's keyring: %s", why.text);
}
