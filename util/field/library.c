/* libcoffer-field (include/coffer/field.h): keyrings, and the memory that is handed out. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "keymgr/control_client.h"
#include "keymgr/entry.h"
#include "keymgr/keyring.h"
#include "keymgr/lone_keyring.h"
#include "keymgr/unlock_from.h"
#include "util/field/agent.h"
#include "util/field/library.h"
#include "util/field/mount.h"

enum { STATUS_SECONDS = 10 };

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
	int ret = keyring_unlock_from(o->keyring, from, "Passphrase: ", 1, &o->secret, why);

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

typedef int (*opener)(struct opening *o, const char *volume, const struct unlock_source *from,
		      struct coffer_field_keyring *k, struct fault *why);

static int open_by(opener open, const char *volume, const struct unlock_source *from, struct coffer_field_keyring **out,
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
		ret = open(&o, volume, from, k, &why);
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
	return open_by(open_keyring, volume, &from, out, error, n);
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
	return open_by(open_keyring, volume, &from, out, error, n);
}

/* ------------------------------------------------------------------ through a mount */

/* The mount of exactly this directory: a copy of a volume has the same instance id. */
static int check_directory(const struct opening *o, int fd, struct fault *why)
{
	_cleanup_answer_ struct control_answer a = CONTROL_ANSWER_NONE;
	const char *theirs;
	struct store_stat st = {0};
	char ours[64];
	int ret = control_ask(fd, "status", NULL, STATUS_SECONDS, &a, why);

	if (ret == 0)
		ret = store_stat(o->store, o->dot, &st);
	if (ret < 0)
		return ret;
	snprintf(ours, sizeof(ours), "%" PRIu64 ":%" PRIu64, st.dev, st.ino);
	theirs = control_text(&a, "volume");
	return theirs && strcmp(ours, theirs) == 0 ? 0 : -ENOENT;
}

static int find_mount(struct opening *o, const char *volume, struct sockaddr_un *out, struct fault *why)
{
	socklen_t n = sizeof(*out);
	int fd, ret;

	o->store = store_posix_new();
	ret = o->store ? volume_open_dir(o->store, volume, &o->dot, &o->data, why) : -ENOMEM;
	if (ret == 0)
		ret = keyring_read(o->store, o->dot, &o->keyring, why);
	if (ret < 0)
		return ret;
	fd = control_connect(keyring_settings(o->keyring)->instance_id);
	if (fd >= 0) {
		ret = getpeername(fd, (struct sockaddr *)out, &n) < 0 ? -errno : check_directory(o, fd, why);
		close(fd);
	}
	if (fd < 0 || ret == -ENOENT)
		return fault_set(why, EXIT_MOUNT_POINT, ENOENT, "%s is not mounted, or its mount is not reached",
				 volume);
	return ret;
}

static int open_mount(struct opening *o, const char *mount, const struct unlock_source *from,
		      struct coffer_field_keyring *k, struct fault *why)
{
	(void)from;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat st;
	int ret = 0;

	if (stat(mount, &st) == 0 && S_ISSOCK(st.st_mode)) {
		if (strlen(mount) >= sizeof(address.sun_path))
			return -ENAMETOOLONG;
		strcpy(address.sun_path, mount);
	} else {
		ret = find_mount(o, mount, &address, why);
	}
	if (ret == 0)
		ret = mount_box(&address, &k->box);
	if (ret == -ENOKEY)
		return fault_set(why, EXIT_REFUSED, ENOKEY, "the mount is locked; coffer unlock ends that");
	if (ret == -ECONNRESET)
		return fault_set(why, EXIT_FAILED, ECONNRESET, "the mount does not answer this user at %s",
				 address.sun_path);
	return ret;
}

PUBLIC int coffer_field_open_mount(const char *mount, struct coffer_field_keyring **out, char *error, size_t n)
{
	*out = NULL;
	return open_by(open_mount, mount, NULL, out, error, n);
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
