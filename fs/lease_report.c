#include "fs/lease_report.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "keymgr/backup.h"
#include "keymgr/document.h"
#include "keymgr/managed_policy.h"
#include "util/base/atomic_file.h"
#include "util/base/encode.h"
#include "util/base/log.h"

enum { PART_MAX = 45000, WORD_MAX = 64, NAME_TEXT = 160 };

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

struct sealed_part {
	uint64_t sequence, number, parts; /* numbers from 0 on */
	const char *text;
	size_t size;
};

/* A part of the keyring, or the whole of it where that is one.  -EAGAIN: somebody else has sent one meanwhile. */
static int send_part(struct service_client *c, const char *path, const struct sealed_part *part, struct fault *why)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	_cleanup_free_ char *encoded = malloc(base64url_size(part->size) + 1);
	_cleanup_service_answer_ struct service_answer a = {0};
	int r = o && encoded ? put_number(o, "sequence", part->sequence) : -ENOMEM;

	if (r == 0 && part->parts > 1)
		r = put_number(o, "part", part->number);
	if (r == 0 && part->parts > 1)
		r = put_number(o, "parts", part->parts);
	if (r == 0) {
		base64url_encode(part->text, part->size, encoded);
		r = put_string(o, "text", encoded);
	}
	if (r < 0)
		return fault_errno(why, EXIT_FAILED, r, "cannot send it");
	r = service_call(c, SERVICE_ASK, path, o, &a, why);
	if (r == 0 && strcmp(a.code, "out_of_order") == 0)
		return -EAGAIN;
	return r == 0 ? service_check(&a, why) : r;
}

static int send_text(struct service_client *c, const char *path, const char *text, size_t n, uint64_t sequence,
		     struct fault *why)
{
	struct sealed_part part = {.sequence = sequence, .parts = (n + PART_MAX - 1) / PART_MAX};
	int r = 0;

	for (; r == 0 && part.number < part.parts; part.number++) {
		part.text = text + part.number * PART_MAX;
		part.size = part.number + 1 < part.parts ? PART_MAX : n - part.number * PART_MAX;
		r = send_part(c, path, &part, why);
	}
	return r;
}

void lease_report_keyring(struct service_client *c, const char *key, const char *volume, const struct opened *opened,
			  struct live_keys *keys, uint64_t *sent)
{
	struct fault why = {.status = EXIT_OK};
	_cleanup_free_ char *text = NULL;
	struct facts f = {0};
	char path[NAME_TEXT];
	size_t n = 0;
	int r;

	live_keys_look(keys, look, &f);
	if (!f.known || f.sequence == *sent)
		return;
	/* It may be newer than what we know: then it is sent again. */
	r = atomic_file_read(opened->store, opened->dot, "keyring.json", KEYRING_MAX, &text, &n);
	snprintf(path, sizeof path, "keys/%s/volumes/%s/keyring", key, volume);
	if (r < 0)
		(void)fault_errno(&why, EXIT_STORE, r, "cannot read it");
	else
		r = send_text(c, path, text, n, f.sequence, &why);
	/* Who cannot be reached is asked again. */
	if (r == -EHOSTUNREACH || r == -ECANCELED || r == -EAGAIN)
		return;
	*sent = f.sequence;
	if (r < 0)
		log_warning("the key service has no copy of the volume's keyring: %s", why.text);
}
