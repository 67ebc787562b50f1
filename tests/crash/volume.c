#include "volume.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/journal.h"
#include "keymgr/generations.h"
#include "keymgr/internal.h"
#include "keymgr/testing.h"

#define PASSPHRASE "correct horse battery staple"

static void must(int r, const char *what, const struct fault *why)
{
	if (r >= 0)
		return;
	fprintf(stderr, "%s: %s %s\n", what, strerror(-r), why ? why->text : "");
	abort();
}

bool base_can_journal(void)
{
	return true;
}

void base_prepare(void)
{
	static const struct argon2_cost cheap = {.t = 1, .m_kib = 8, .p = 1};

	must(crypto_start(), "crypto", NULL);
	must(secret_start(1 << 20), "secrets", NULL);
	keyring_set_argon2_for_tests(&cheap);
}

/* Two generations are there from the beginning: whoever recovers has both.  Of a portable volume all of it moves to another scope instead, whose
 * only generation is the third. */
enum { FIRST = 1, OTHER = 3, OTHER_SCOPE = 2 };

static void set_active(struct keys *k, uint32_t active)
{
	for (uint32_t i = 0; i < k->count; i++)
		if (k->generations[i].scope == SCOPE_DEFAULT)
			k->generations[i].state = k->generations[i].number == active ? KEY_ACTIVE : KEY_DEACTIVATED;
	k->active[SCOPE_DEFAULT] = active;
}

static struct keys *keys_with(struct keyring *k, uint32_t active)
{
	struct keys *keys = need(keyring_keys(k));
	struct key_zone zone = {1, {0}, SCOPE_DEFAULT, OTHER_SCOPE, SCOPE_NONE};

	if (!keyring_settings(k)->portable) {
		set_active(keys, active);
		return keys;
	}
	memcpy(zone.directory, keyring_root_directory(k), sizeof zone.directory);
	if (active == OTHER) {
		zone.scope = OTHER_SCOPE;
		zone.from = SCOPE_DEFAULT;
	}
	keys->zones[0] = zone;
	keys->zone_count = 1;
	return keys;
}

struct keys *base_other_keys(const struct base *b)
{
	return keys_with(b->keyring, OTHER);
}

static void make_journal(struct base *b, struct store *s, int dot)
{
	struct fault why = {0};

	if (b->journal)
		must(journal_make(s, dot, &b->settings, b->keys, CRASH_JOURNAL_SIZE, &why), "journal", &why);
}

void base_make(struct base *b, bool journal, bool portable)
{
	struct unlock_secret secret = {.kind = SECRET_PASSPHRASE, .bytes = secret_new(strlen(PASSPHRASE))};
	struct new_volume how = {.secrets = &secret, .secret_count = 1, .portable = portable};
	struct crash_store *cs;
	struct fault why = {0};
	struct image empty;
	struct store *s;
	int dot, data;

	*b = (struct base){.journal = journal};
	need(secret.bytes);
	memcpy(secret.bytes->bytes, PASSPHRASE, secret.bytes->size);
	image_init(&empty, 0);
	cs = crash_store_new(&empty);
	image_free(&empty);
	s = crash_store_ops(cs);
	must(volume_init_on(s, BASE_VOLUME, &how, &b->keyring, &why), "init", &why);
	unlock_secret_wipe(&secret);
	if (portable)
		must(keyring_scope_create(b->keyring, "other", &(uint32_t){0}, &why), "scope", &why);
	else
		must(keyring_rotate(b->keyring, SCOPE_DEFAULT, &(uint32_t){0}, &why), "rotate", &why);
	b->settings = *keyring_settings(b->keyring);
	b->keys = keys_with(b->keyring, FIRST);
	must(volume_open_dir(s, BASE_VOLUME, &dot, &data, &why), "open", &why);
	make_journal(b, s, dot);
	store_close(s, dot);
	store_close(s, data);
	image_copy(&b->image, crash_store_image(cs));
	crash_store_free(cs);
}

void base_free(struct base *b)
{
	image_free(&b->image);
	keys_unref(b->keys);
	keyring_free(&b->keyring);
}

uint32_t base_journal_ino(const struct base *b)
{
	uint32_t volume = image_inode(&b->image, IMAGE_ROOT)->entries[0].ino;

	return image_lookup(&b->image, image_lookup(&b->image, volume, ".coffer"), "journal");
}

int mounted_start_with(struct mounted *m, const struct base *b, struct crash_store *cs, const struct engine_options *o,
		       struct fault *why)
{
	int r;

	*m = (struct mounted){.cs = cs, .s = crash_store_ops(cs)};
	r = volume_open_dir(m->s, BASE_VOLUME, &m->dot, &m->data, why);
	if (r < 0)
		return r;
	r = engine_start(m->s, m->dot, m->data, &b->settings, keyring_root_directory(b->keyring), b->keys, o, &m->e,
			 why);
	if (r < 0) {
		store_close(m->s, m->dot);
		store_close(m->s, m->data);
	}
	return r;
}

int mounted_start(struct mounted *m, const struct base *b, struct crash_store *cs, struct fault *why)
{
	const struct engine_options o = {.journal = b->journal, .commit_seconds = UINT32_MAX};

	return mounted_start_with(m, b, cs, &o, why);
}

int mounted_stop(struct mounted *m)
{
	int r = engine_stop(&m->e);

	store_close(m->s, m->dot);
	store_close(m->s, m->data);
	return r;
}

int mounted_tick(struct mounted *m)
{
	return engine_checkpoint(m->e);
}
