#include "updates.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "keymgr/backup.h"
#include "keymgr/domain.h"
#include "keymgr/entry.h"
#include "keymgr/reencryption.h"
#include "keymgr/rotate_root.h"

void (*updates_committed)(void);

static struct unlock_secret text_secret(const char *text)
{
	struct unlock_secret s = {.kind = SECRET_PASSPHRASE, .bytes = secret_new(strlen(text))};

	if (!s.bytes)
		abort();
	memcpy(s.bytes->bytes, text, s.bytes->size);
	return s;
}

typedef int edit_fn(struct updates_place *p, struct fault *why);

static int change(struct updates_place *p, edit_fn *edit, struct fault *why)
{
	struct keyring_change *c;
	int ret = keyring_change_begin(p->s, p->dot, p->k, &c, why);

	if (ret < 0)
		return ret;
	ret = edit(p, why);
	if (ret < 0) {
		keyring_change_abort(&c);
		return ret;
	}
	ret = keyring_change_commit(&c, why);
	if (ret == 0 && updates_committed)
		updates_committed();
	return ret;
}

/* --- the edits */

static int nobody(void *context, uint32_t generation, uint64_t *files, struct fault *why)
{
	(void)context;
	(void)generation;
	(void)why;
	*files = 0;
	return 0;
}
static const struct generation_users users = {nobody, NULL};

static int edit_rotate(struct updates_place *p, struct fault *why)
{
	uint32_t n;

	return keyring_rotate(p->k, SCOPE_DEFAULT, &n, why);
}

static int edit_rotate_fields(struct updates_place *p, struct fault *why)
{
	uint32_t n;

	return keyring_rotate(p->k, SCOPE_FIELDS, &n, why);
}

static int step(struct updates_place *p, uint32_t generation, enum key_event e, struct fault *why)
{
	struct key_transition t;

	return keyring_transition(p->k, generation, e, &t, why);
}

static int edit_suspend(struct updates_place *p, struct fault *why)
{
	return step(p, 7, KEY_EVENT_SUSPEND, why);
}

static int edit_suspend_last(struct updates_place *p, struct fault *why)
{
	return step(p, 6, KEY_EVENT_SUSPEND, why);
}

static int edit_resume(struct updates_place *p, struct fault *why)
{
	return step(p, 6, KEY_EVENT_RESUME, why);
}

static int edit_compromise(struct updates_place *p, struct fault *why)
{
	return step(p, 4, KEY_EVENT_COMPROMISE, why);
}

static int edit_floor_first(struct updates_place *p, struct fault *why)
{
	return keyring_raise_floor(p->k, 5, &users, why);
}

static int edit_floor(struct updates_place *p, struct fault *why)
{
	return keyring_raise_floor(p->k, 7, &users, why);
}

static int destroy(struct updates_place *p, uint32_t generation, bool now, struct fault *why)
{
	bool destroyed;

	return keyring_destroy(p->k, generation, now, &users, &destroyed, why);
}

static int edit_destroy_third(struct updates_place *p, struct fault *why)
{
	return destroy(p, 3, false, why);
}

static int edit_destroy_later(struct updates_place *p, struct fault *why)
{
	return destroy(p, 1, false, why);
}

static int edit_destroy_now(struct updates_place *p, struct fault *why)
{
	return destroy(p, 1, true, why);
}

static int edit_undelete(struct updates_place *p, struct fault *why)
{
	return keyring_undelete(p->k, 3, why);
}

static int edit_add(struct updates_place *p, struct fault *why)
{
	struct unlock_secret s = text_secret(UPDATES_NEW);
	uint32_t id;
	int ret = keyring_add_protector(p->k, &s, &id, why);

	unlock_secret_wipe(&s);
	return ret;
}

static int edit_add_second(struct updates_place *p, struct fault *why)
{
	struct unlock_secret s = text_secret("a second one");
	uint32_t id;
	int ret = keyring_add_protector(p->k, &s, &id, why);

	unlock_secret_wipe(&s);
	return ret;
}

static int edit_remove_second(struct updates_place *p, struct fault *why)
{
	return keyring_remove_protector(p->k, 2, why);
}

static int edit_remove_first(struct updates_place *p, struct fault *why)
{
	return keyring_remove_protector(p->k, 1, why);
}

static int edit_policy(struct updates_place *p, struct fault *why)
{
	const struct policy policy = {.rotate_every = 90 * 86400, .retire_after = 3600};

	return keyring_set_policy(p->k, &policy, why);
}

static int edit_root(struct updates_place *p, struct fault *why)
{
	struct unlock_secret s = text_secret(UPDATES_PASSPHRASE);
	struct root_rotation done;
	int ret = keyring_rotate_root(p->s, p->dot, p->k, &s, 1, &done, why);

	unlock_secret_wipe(&s);
	return ret;
}

static int edit_journal(struct updates_place *p, struct fault *why)
{
	return keyring_journal_is_new(p->k, why);
}

static int edit_backup(struct updates_place *p, struct fault *why)
{
	struct unlock_secret s = text_secret("of the backup");
	int ret;

	free(p->backup);
	ret = backup_make(p->k, &s, &p->backup, &p->backup_size, why);
	unlock_secret_wipe(&s);
	return ret;
}

static int open_backup(struct updates_place *p, struct keyring **out, struct fault *why)
{
	struct unlock_secret s = text_secret("of the backup");
	int ret = backup_read(p->backup, p->backup_size, out, why);

	if (ret == 0)
		ret = backup_unlock(*out, &s, why);
	unlock_secret_wipe(&s);
	return ret;
}

static int edit_verified(struct updates_place *p, struct fault *why)
{
	_cleanup_(keyring_free) struct keyring *backup = NULL;
	int ret = open_backup(p, &backup, why);

	return ret < 0 ? ret : backup_mark_verified(p->k, backup, why);
}

static int edit_domain(struct updates_place *p, struct fault *why)
{
	return keyring_domain_pin(p->k, "people", false, why);
}

static int edit_adopt(struct updates_place *p, struct fault *why)
{
	return keyring_adopt(p->k, why);
}

static int edit_reencrypt(struct updates_place *p, struct fault *why)
{
	const struct reencryption how = {.touch = true};

	return keyring_start_reencryption(p->k, &how, why);
}

static int edit_reencrypted(struct updates_place *p, struct fault *why)
{
	return keyring_end_reencryption(p->k, (const uint32_t[SCOPES_MAX]){[SCOPE_DEFAULT] = 7}, why);
}

/* --- the updates */

int updates_enter(struct updates_place *p, struct fault *why)
{
	const struct entry e = {0};

	return keyring_enter(p->s, p->dot, p->k, &e, why);
}

#define ONE(name)                                                                                                      \
	static int run_##name(struct updates_place *p, struct fault *why)                                              \
	{                                                                                                              \
		return change(p, edit_##name, why);                                                                    \
	}
ONE(rotate)
ONE(rotate_fields)
ONE(suspend)
ONE(resume)
ONE(compromise)
ONE(floor)
ONE(destroy_later)
ONE(destroy_now)
ONE(undelete)
ONE(add)
ONE(remove_second)
ONE(policy)
ONE(backup)
ONE(verified)
ONE(domain)
ONE(reencrypt)
ONE(reencrypted)

/* As `key rotate --root` does it, but for the journal. */
static int run_root(struct updates_place *p, struct fault *why)
{
	int ret = change(p, edit_root, why);

	return ret < 0 ? ret : change(p, edit_journal, why);
}

/* As `key passwd` does it. */
static int run_passwd(struct updates_place *p, struct fault *why)
{
	int ret = change(p, edit_add, why);

	return ret < 0 ? ret : change(p, edit_remove_first, why);
}

static int run_adopt(struct updates_place *p, struct fault *why)
{
	int ret = change(p, edit_adopt, why);

	return ret < 0 ? ret : keyring_write_settings(p->s, p->dot, p->k, why);
}

static int run_restore(struct updates_place *p, struct fault *why)
{
	struct restoring how = {.secret = text_secret(UPDATES_NEW)};
	struct restored done;
	int ret = open_backup(p, &how.backup, why);

	if (ret == 0)
		ret = restore(p->s, p->dot, &how, &done, why);
	if (ret == 0) {
		keyring_free(&p->k);
		p->k = done.keyring;
		if (updates_committed)
			updates_committed();
	}
	keyring_free(&how.backup);
	unlock_secret_wipe(&how.secret);
	return ret;
}

const struct update updates[] = {
	{"unlock", updates_enter, 0, 0, false},
	{"rotate", run_rotate, 1, 0, false},
	{"rotate fields", run_rotate_fields, 1, 0, false},
	{"suspend the active one", run_suspend, 1, 0, false},
	{"resume", run_resume, 1, 0, false},
	{"compromise", run_compromise, 1, 0, false},
	{"floor", run_floor, 1, 0, false},
	{"destroy later", run_destroy_later, 1, 0, false},
	{"destroy now", run_destroy_now, 1, 1, false},
	{"undelete", run_undelete, 1, 0, false},
	{"add a protector", run_add, 1, 0, false},
	{"remove a protector", run_remove_second, 1, 0, false},
	{"passwd", run_passwd, 2, 0, false},
	{"policy", run_policy, 1, 0, false},
	{"rotate the root", run_root, 2, 0, false},
	{"backup", run_backup, 1, 0, false},
	{"backup verified", run_verified, 1, 0, false},
	{"domain", run_domain, 1, 0, false},
	{"start of a re-encryption", run_reencrypt, 1, 0, false},
	{"end of a re-encryption", run_reencrypted, 1, 0, false},
	{"adopt", run_adopt, 2, 0, true},
	{"restore", run_restore, 1, 0, false},
};
const size_t update_count = sizeof(updates) / sizeof(updates[0]);

int updates_enter_after(struct updates_place *p, const struct update *u, struct fault *why)
{
	const struct entry adopting = {.trust = {.older = true}};
	int ret = updates_enter(p, why);

	if (ret != -ESRCH || !u->adopts)
		return ret;
	*why = (struct fault){0};
	ret = keyring_enter(p->s, p->dot, p->k, &adopting, why);
	return ret < 0 ? ret : u->run(p, why);
}

int updates_prepare(struct updates_place *p, struct fault *why)
{
	static edit_fn *const edits[] = {
		edit_rotate,     edit_rotate, edit_rotate, edit_floor_first,  edit_destroy_third,
		edit_add_second, edit_rotate, edit_backup, edit_suspend_last,
	};
	int ret = updates_enter(p, why);

	for (size_t i = 0; ret == 0 && i < sizeof(edits) / sizeof(edits[0]); i++)
		ret = change(p, edits[i], why);
	return ret;
}

int updates_open(struct store *s, int dot, struct keyring **out, struct fault *why)
{
	static const char *const secrets[] = {UPDATES_PASSPHRASE, UPDATES_NEW};
	int ret = -EKEYREJECTED;

	*out = NULL;
	for (size_t i = 0; ret == -EKEYREJECTED && i < 2; i++) {
		struct unlock_secret secret = text_secret(secrets[i]);

		keyring_free(out);
		*why = (struct fault){0};
		ret = keyring_read(s, dot, out, why);
		if (ret == 0)
			ret = keyring_unlock(*out, &secret, why);
		unlock_secret_wipe(&secret);
	}
	if (ret < 0)
		keyring_free(out);
	return ret;
}
