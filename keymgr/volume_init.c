/* Making a volume.
 *
 * 1. Everything is built in .coffer-init/ (and data/ beside it); renaming that to .coffer is the last step, and makes the volume.
 * 2. Before the rename everything is synced.  A cut before it leaves .coffer-init, which the next init clears away.
 * 3. A failure removes what this init made, and only that.
 * 4. DIR is locked throughout, so that a second init does not clear away the first one's work. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "keymgr/internal.h"
#include "keymgr/volume_clear.h"
#include "keymgr/volume_place.h"
#include "util/base/atomic_file.h"
#include "util/base/log.h"

enum { SHOWN = 200 };

static const char *const rooms[] = {"links", "open", "gone", "lost"};
static const char *const locks[] = {"lock", LOCK_FILE};
enum { ROOMS = sizeof(rooms) / sizeof(rooms[0]), LOCKS = sizeof(locks) / sizeof(locks[0]) };

struct building {
	struct store *s;
	const char *dir; /* as given */
	char shown[SHOWN];
	int top;        /* DIR, locked */
	bool made_top;  /* DIR did not exist */
	bool made_data; /* data/ is ours to remove */
	bool renamed;   /* .coffer is */
};

static int open_directory(struct store *s, int dir, const char *name)
{
	return store_open(s, dir, name, O_RDONLY | O_DIRECTORY, 0);
}

static void remove_all(struct building *b)
{
	int ret = b->made_data ? volume_clear_data(b->s, b->top) : 0;

	if (ret == 0)
		ret = volume_clear_room(b->s, b->top, b->renamed ? FINISHED_ROOM : BUILDING_ROOM);
	if (ret == 0 && b->made_top)
		ret = b->s->ops->rmdir(b->s, AT_FDCWD, b->dir);
	if (ret < 0)
		log_warning("cannot remove all of what was begun in %s: %s", b->shown, strerror(-ret));
}

static int enter_place(struct building *b, struct fault *why)
{
	_cleanup_free_ char *path = NULL;
	int ret;

	ret = b->s->ops->mkdir(b->s, AT_FDCWD, b->dir, 0700);
	if (ret < 0 && ret != -EEXIST)
		return fault_errno(why, EXIT_STORE, ret, "cannot make the directory %s", b->shown);
	b->made_top = ret == 0;
	if (asprintf(&path, "%s/.", b->dir) < 0) { /* follows a DIR that is a symbolic link */
		path = NULL;
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot make a volume at %s", b->shown);
	}
	b->top = open_directory(b->s, AT_FDCWD, path);
	if (b->top == -ENOTDIR)
		return fault_set(why, EXIT_NOT_EMPTY, ENOTDIR,
				 "%s is not a directory; name a new or an empty directory", b->shown);
	if (b->top < 0)
		return fault_errno(why, EXIT_STORE, b->top, "cannot open %s", b->shown);
	ret = b->s->ops->lock(b->s, b->top, LOCK_EX | LOCK_NB);
	if (ret == -EWOULDBLOCK)
		return fault_set(why, EXIT_IN_USE, EBUSY, "another command makes a volume at %s just now", b->shown);
	if (ret < 0)
		return fault_errno(why, EXIT_STORE, ret, "cannot lock %s", b->shown);
	return 0;
}

/* --- building */

static int make_file(struct store *s, int dir, const char *name)
{
	int fd = store_open(s, dir, name, O_RDWR | O_CREAT | O_EXCL, 0600);
	int ret;

	if (fd < 0)
		return fd;
	ret = s->ops->fsync(s, fd);
	store_close(s, fd);
	return ret;
}

static int make_room(struct store *s, int dir, const char *name)
{
	int ret = s->ops->mkdir(s, dir, name, 0700);
	int fd;

	if (ret < 0)
		return ret;
	fd = open_directory(s, dir, name);
	if (fd < 0)
		return fd;
	ret = s->ops->fsync(s, fd);
	store_close(s, fd);
	return ret;
}

static int fill_building(struct building *b, int dot, struct keyring *k, struct fault *why)
{
	json_object *event;
	bool first;
	int ret = 0;

	for (int i = 0; ret == 0 && i < ROOMS; i++)
		ret = make_room(b->s, dot, rooms[i]);
	for (int i = 0; ret == 0 && i < LOCKS; i++)
		ret = make_file(b->s, dot, locks[i]);
	if (ret == 0)
		ret = settings_file_write(b->s, dot, keyring_settings(k));
	if (ret == 0)
		ret = keyring_note(k, "init", &event);
	if (ret == 0)
		ret = keyring_record(b->s, dot, k, why);
	if (ret == 0)
		ret = keyring_file_write(b->s, dot, k, &first);
	return ret < 0 ? ret : b->s->ops->fsync(b->s, dot);
}

static int put_id_record(struct building *b, int data, const struct keyring *k)
{
	struct directory_record record = {0};
	char text[DIRECTORY_RECORD_TEXT + 1];
	struct keys *keys = keyring_keys(k);
	int ret;

	if (!keys)
		return -ENOMEM;
	record.generation = keys->active[SCOPE_DEFAULT];
	memcpy(record.id, keyring_root_directory(k), DIRECTORY_ID_SIZE);
	ret = directory_record_seal(keys->directory_key, &record, text);
	keys_unref(keys);
	if (ret < 0)
		return ret;
	if (keyring_settings(k)->portable)
		return atomic_file_write(b->s, data, ID_RECORD, text, DIRECTORY_RECORD_TEXT);
	return b->s->ops->symlink(b->s, text, data, ID_RECORD);
}

static int make_data(struct building *b, const struct keyring *k)
{
	int ret, data;

	/* Its mode is that of the mount's root directory, which people expect to be what mkdir makes: whom the mount serves is decided
	 * by allow_other, and who sees the ciphertext by the volume's directory. */
	ret = b->s->ops->mkdir(b->s, b->top, DATA_ROOM, 0755);
	if (ret < 0)
		return ret;
	b->made_data = true;
	data = open_directory(b->s, b->top, DATA_ROOM);
	if (data < 0)
		return data;
	ret = put_id_record(b, data, k);
	if (ret == 0)
		ret = b->s->ops->fsync(b->s, data);
	store_close(b->s, data);
	return ret;
}

/* The name of a DIR that was made has to last as well. */
static int sync_parent(struct building *b)
{
	int fd, ret;

	if (!b->made_top)
		return 0;
	fd = open_directory(b->s, b->top, "..");
	if (fd == -EACCES) /* not readable to us, and nothing to be done about it */
		return 0;
	if (fd < 0)
		return fd;
	ret = b->s->ops->fsync(b->s, fd);
	store_close(b->s, fd);
	return ret;
}

static int furnish(struct building *b, const struct new_volume *how, int dot, const struct keyring *k,
		   struct fault *why)
{
	struct keys *keys = how->furnish ? keyring_keys(k) : NULL;
	int ret;

	if (!how->furnish)
		return 0;
	if (!keys)
		return -ENOMEM;
	ret = how->furnish(b->s, dot, keyring_settings(k), keys, how->journal_size, why);
	keys_unref(keys);
	return ret;
}

/* Fills .coffer-init (dot) and data/, and makes a volume of them. */
static int build(struct building *b, const struct new_volume *how, int dot, struct keyring *k, struct fault *why)
{
	int ret;

	ret = fill_building(b, dot, k, why);
	if (ret == 0)
		ret = furnish(b, how, dot, k, why);
	if (ret == 0)
		ret = make_data(b, k);
	if (ret == 0)
		ret = b->s->ops->fsync(b->s, b->top);
	if (ret == 0)
		ret = b->s->ops->rename(b->s, b->top, BUILDING_ROOM, b->top, FINISHED_ROOM, 0);
	if (ret < 0)
		return ret;
	b->renamed = true;
	ret = b->s->ops->fsync(b->s, b->top);
	return ret < 0 ? ret : sync_parent(b);
}

/* --- settings */

static int choose_cipher(enum cipher asked, enum cipher *out, struct fault *why)
{
	*out = asked;
	if (asked == CIPHER_NONE)
		*out = crypto_has_aes() ? CIPHER_AES_256_OCB : CIPHER_CHACHA20_POLY1305;
	if (asked == CIPHER_NONE && !cipher_usable(*out))
		*out = CIPHER_AES_256_OCB;
	if (!cipher_usable(*out))
		return fault_set(
			why, EXIT_UNSUPPORTED, ENOTSUP,
			"the cipher %s is refused by libgcrypt on this host (FIPS mode); choose another with --cipher",
			cipher_name(*out));
	return 0;
}

/* What the store can do is tried out below .coffer-init, so that an interrupted trial is cleared away with it. */
static int choose_settings(struct building *b, int dot, const struct new_volume *how, struct settings *out,
			   struct fault *why)
{
	struct store_caps caps;
	int ret;

	ret = store_probe(b->s, dot, &caps);
	if (ret < 0)
		return fault_errno(why, EXIT_STORE, ret, "cannot make a volume at %s", b->shown);
	if (caps.name_max < 143)
		return fault_set(
			why, EXIT_UNSUPPORTED, ENOTSUP,
			"%s: names can only have %u bytes there, and a volume needs 143; choose another filesystem",
			b->shown, caps.name_max);
	out->portable = how->portable || !caps.symlinks;
	out->name_max = caps.name_max >= 255 ? 255 : 143;
	out->journal_size = how->journal_size;
	ret = crypto_random(out->volume_id, sizeof(out->volume_id));
	if (ret == 0)
		ret = crypto_random(out->instance_id, sizeof(out->instance_id));
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot draw random numbers") : 0;
}

static int open_building(struct building *b, struct fault *why)
{
	int ret = b->s->ops->mkdir(b->s, b->top, BUILDING_ROOM, 0700);

	if (ret == 0)
		ret = open_directory(b->s, b->top, BUILDING_ROOM);
	if (ret < 0)
		return fault_errno(why, EXIT_STORE, ret, "cannot make a volume at %s", b->shown);
	return ret;
}

static int make_volume(struct building *b, const struct new_volume *how, struct keyring **out, struct fault *why)
{
	_cleanup_(keyring_free) struct keyring *k = NULL;
	struct settings set = {0};
	int ret, dot;

	ret = choose_cipher(how->cipher, &set.cipher, why);
	if (ret < 0)
		return ret;
	dot = open_building(b, why);
	if (dot < 0)
		return dot;
	ret = choose_settings(b, dot, how, &set, why);
	if (ret == 0)
		ret = keyring_new(&set, how->secrets, how->secret_count, &k, why);
	if (ret == 0) {
		ret = build(b, how, dot, k, why);
		if (ret < 0)
			fault_errno(why, EXIT_STORE, ret, "cannot make a volume at %s; nothing is left of it",
				    b->shown);
	}
	store_close(b->s, dot);
	if (ret == 0) {
		*out = k;
		k = NULL;
	}
	return ret;
}

int volume_init_on(struct store *s, const char *dir, const struct new_volume *how, struct keyring **out,
		   struct fault *why)
{
	struct building b = {.s = s, .dir = dir, .top = -1};
	int ret;

	*out = NULL;
	log_escape(dir, b.shown, sizeof(b.shown));
	ret = volume_place_check(dir, why);
	if (ret == 0)
		ret = enter_place(&b, why);
	if (ret == 0)
		ret = volume_clear_place(b.s, b.top, b.shown, why);
	if (ret == 0) {
		ret = make_volume(&b, how, out, why);
		if (ret < 0)
			remove_all(&b);
	} else if (b.made_top) {
		s->ops->rmdir(s, AT_FDCWD, dir);
	}
	store_close(s, b.top);
	return ret;
}

int volume_init(const char *dir, const struct new_volume *how, struct keyring **out, struct fault *why)
{
	struct store *s = store_posix_new();
	int ret;

	*out = NULL;
	if (!s)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot make a volume");
	ret = volume_init_on(s, dir, how, out, why);
	s->ops->destroy(s);
	return ret;
}
