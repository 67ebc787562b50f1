/* libcoffer-field (include/coffer/field.h): keyrings, and the memory that is handed out. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/entry.h"
#include "keymgr/keyring.h"
#include "keymgr/lone_keyring.h"
#include "util/field/agent.h"
#include "util/field/library.h"

/* ------------------------------------------------------------------ memory */

struct handed {
	size_t size;
	char bytes[];
};

void *hand_out(const void *bytes, size_t n)
{
	struct handed *h = malloc(sizeof(*h) + n + 1);

	if (!h)
		return NULL;
	h->size = n;
	if (bytes && n)
		memcpy(h->bytes, bytes, n);
	h->bytes[n] = '\0';
	return h->bytes;
}

PUBLIC int coffer_field_copy(const char *text, char **copy)
{
	*copy = hand_out(text, strlen(text));
	return *copy ? 0 : -ENOMEM;
}

PUBLIC void coffer_field_free(void *p)
{
	struct handed *h;

	if (!p)
		return;
	h = (struct handed *)((char *)p - offsetof(struct handed, bytes));
	wipe(h->bytes, h->size);
	free(h);
}

/* ------------------------------------------------------------------ opening */

static pthread_once_t started = PTHREAD_ONCE_INIT;
static int start_error;

static void start(void)
{
	start_error = crypto_start();
	if (start_error == 0 && secret_start(3 << 20) < 0)
		start_error = secret_start(64 << 10);
}

struct opening {
	struct store *store;
	int dot, data;
	struct keyring *keyring;
	struct unlock_secret secret;
};

static void opening_end(struct opening *o)
{
	unlock_secret_wipe(&o->secret);
	keyring_free(&o->keyring);
	if (!o->store)
		return;
	store_close(o->store, o->data);
	store_close(o->store, o->dot);
	o->store->ops->destroy(o->store);
}

static int open_with_secret(struct opening *o, const struct unlock_source *from, struct coffer_field_keyring *k,
			    struct fault *why)
{
	const struct entry entry = {0};
	struct field_domain domains[DOMAINS_MAX];
	struct keys *keys = NULL;
	size_t count = 0;
	int ret = unlock_obtain(from, "Passphrase: ", false, &o->secret, why);

	if (ret == 0)
		ret = keyring_unlock(o->keyring, &o->secret, why);
	if (ret == 0)
		ret = keyring_enter(o->store, o->dot, o->keyring, &entry, why);
	if (ret == 0)
		ret = keyring_domains(o->keyring, domains, &count, why);
	if (ret < 0)
		return ret;
	keys = keyring_keys(o->keyring);
	ret = keys ? token_box_new(keys, domains, count, &k->box) : -ENOMEM;
	keys_unref(keys);
	return ret;
}

static int open_by_agent(const struct opening *o, const char *volume, struct coffer_field_keyring *k, struct fault *why)
{
	struct keyring_stamp file;
	int ret = keyring_stamp(o->store, o->dot, &file);

	if (ret == 0)
		ret = agent_box(keyring_settings(o->keyring)->volume_id, &file, &k->box);

	return ret == -ENOENT
		       ? fault_set(why, EXIT_NO_SECRET, ENOENT,
				   "no agent of yours holds the keyring of %s; start one: coffer field agent", volume)
		       : ret;
}

static int open_keyring(struct opening *o, const char *volume, const struct unlock_source *from,
			struct coffer_field_keyring *k, struct fault *why)
{
	int ret;

	if (lone_keyring_is(volume)) {
		ret = lone_keyring_open(volume, &o->store, &o->dot, why);
	} else {
		o->store = store_posix_new();
		ret = o->store ? volume_open_dir(o->store, volume, &o->dot, &o->data, why) : -ENOMEM;
	}
	if (ret == 0)
		ret = keyring_read(o->store, o->dot, &o->keyring, why);
	if (ret < 0)
		return ret;
	return unlock_source_given(from) ? open_with_secret(o, from, k, why) : open_by_agent(o, volume, k, why);
}

static int open_from(const char *volume, const struct unlock_source *from, struct coffer_field_keyring **out,
		     char *error, size_t n)
{
	struct opening o = {.dot = -1, .data = -1};
	struct fault why = {0};
	struct coffer_field_keyring *k = calloc(1, sizeof(*k));
	int ret;

	if (!k)
		return -ENOMEM;
	pthread_mutex_init(&k->lock, NULL);
	pthread_once(&started, start);
	ret = start_error;
	if (ret == 0)
		ret = open_keyring(&o, volume, from, k, &why);
	opening_end(&o);
	if (ret < 0) {
		fault_errno(&why, EXIT_FAILED, ret, "cannot open the keyring of %s", volume);
		if (error && n)
			snprintf(error, n, "%s", why.text);
		coffer_field_close(&k);
		return ret;
	}
	*out = k;
	return 0;
}

PUBLIC int coffer_field_open(const char *volume, const char *key_file, const char *passphrase_file,
			     struct coffer_field_keyring **out, char *error, size_t n)
{
	struct unlock_source from = UNLOCK_SOURCE_NONE;

	*out = NULL;
	if (key_file && passphrase_file)
		return -EINVAL;
	from.key_file = key_file;
	from.passphrase_file = passphrase_file;
	return open_from(volume, &from, out, error, n);
}

PUBLIC int coffer_field_open_identity(const char *volume, const char *identity, const char *passphrase_file,
				      const char *root, struct coffer_field_keyring **out, char *error, size_t n)
{
	struct unlock_source from = UNLOCK_SOURCE_NONE;

	*out = NULL;
	if (!identity)
		return -EINVAL;
	from.identity = identity;
	from.identity_passphrase_file = passphrase_file;
	from.expect_root = root;
	return open_from(volume, &from, out, error, n);
}

PUBLIC void coffer_field_close(struct coffer_field_keyring **k)
{
	if (!*k)
		return;
	token_box_free(&(*k)->box);
	pthread_mutex_destroy(&(*k)->lock);
	free(*k);
	*k = NULL;
}
