/* A keyring that stands alone.
 *
 * Everything that works on a volume's keyring works on it through a store that gives the file its own names; nothing else knows. */
#include "keymgr/lone_keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "keymgr/internal.h"
#include "util/base/log.h"

struct lone_store {
	struct store store;
	struct store_ops ops;
	struct store *real;
	char base[NAME_MAX + 1];
};

/* From the name in a volume to what is put behind the file's own. */
static const struct {
	const char *name, *suffix;
} names[] = {
	{KEYRING_FILE, ""}, {KEYRING_FILE ".bak", ".bak"}, {LOCK_FILE, ".lock"}, {AUDIT_FILE, ".audit"},
	{"lock", ".use"},
};
enum { NAMES = sizeof(names) / sizeof(names[0]), SUFFIX_MAX = 6, LOOK_SIZE = 256 };

/* Others (temporary files, the directory itself) keep their names. */
static const char *real_name(const struct lone_store *l, const char *name, char out[NAME_MAX + 1])
{
	for (int i = 0; i < NAMES; i++)
		if (strcmp(names[i].name, name) == 0) {
			snprintf(out, NAME_MAX + 1, "%.*s%s", NAME_MAX - SUFFIX_MAX, l->base, names[i].suffix);
			return out;
		}
	return name;
}

static int lone_open(struct store *s, int dir, const char *name, int flags, mode_t mode)
{
	struct lone_store *l = (struct lone_store *)s;
	char own[NAME_MAX + 1];

	return store_open(l->real, dir, real_name(l, name, own), flags, mode);
}

static int lone_stat_at(struct store *s, int dir, const char *name, struct store_stat *out)
{
	struct lone_store *l = (struct lone_store *)s;
	char own[NAME_MAX + 1];

	return store_stat_at(l->real, dir, real_name(l, name, own), out);
}

static int lone_unlink(struct store *s, int dir, const char *name)
{
	struct lone_store *l = (struct lone_store *)s;
	char own[NAME_MAX + 1];

	return l->real->ops->unlink(l->real, dir, real_name(l, name, own));
}

static int lone_rename(struct store *s, int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	struct lone_store *l = (struct lone_store *)s;
	char own_from[NAME_MAX + 1], own_to[NAME_MAX + 1];

	return l->real->ops->rename(l->real, from_dir, real_name(l, from, own_from), to_dir, real_name(l, to, own_to),
				    flags);
}

static void lone_destroy(struct store *s)
{
	struct lone_store *l = (struct lone_store *)s;

	l->real->ops->destroy(l->real);
	free(l);
}

/* The operating system's store keeps nothing in its handle, so that the other calls can go to it as they are. */
static struct lone_store *lone_store_new(const char *base)
{
	struct lone_store *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->real = store_posix_new();
	l->ops = *l->real->ops;
	l->ops.open = lone_open;
	l->ops.stat_at = lone_stat_at;
	l->ops.unlink = lone_unlink;
	l->ops.rename = lone_rename;
	l->ops.destroy = lone_destroy;
	l->store.ops = &l->ops;
	snprintf(l->base, sizeof(l->base), "%s", base);
	return l;
}

static bool begins_like_one(const char *file)
{
	_cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
	char head[LOOK_SIZE + 1];
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	n = pread(fd, head, LOOK_SIZE, 0);
	head[n > 0 ? n : 0] = '\0';
	return strstr(head, "\"coffer keyring\"") != NULL;
}

bool lone_keyring_is(const char *file)
{
	_cleanup_free_ char *copy = NULL;
	struct stat st;

	if (stat(file, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	if (begins_like_one(file))
		return true;
	if (asprintf(&copy, "%s.bak", file) < 0) {
		copy = NULL;
		return false;
	}
	return begins_like_one(copy);
}

int lone_keyring_open(const char *file, struct store **out, int *dot, struct fault *why)
{
	_cleanup_free_ char *for_base = strdup(file), *for_directory = strdup(file);
	struct lone_store *l;
	const char *base;

	*out = NULL;
	*dot = -1;
	if (!for_base || !for_directory)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot open %s", file);
	base = basename(for_base);
	if (strlen(base) > NAME_MAX - SUFFIX_MAX)
		return fault_set(why, EXIT_FAILED, ENAMETOOLONG, "the name of %s is too long for a keyring", file);
	l = lone_store_new(base);
	if (!l)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot open %s", file);
	*dot = store_open(l->real, AT_FDCWD, dirname(for_directory), O_RDONLY | O_DIRECTORY, 0);
	if (*dot < 0) {
		lone_destroy(&l->store);
		return fault_errno(why, EXIT_STORE, *dot, "cannot open the directory of %s", file);
	}
	*out = &l->store;
	return 0;
}

static int check_free(struct store *s, int dot, const char *file, struct fault *why)
{
	struct store_stat st;

	for (int i = 0; i < NAMES; i++)
		if (store_stat_at(s, dot, names[i].name, &st) != -ENOENT)
			return fault_set(why, EXIT_NOT_EMPTY, EEXIST, "%s%s exists; name a new file", file,
					 names[i].suffix);
	return 0;
}

static int make(struct store *s, int dot, const struct new_volume *how, struct keyring **out, struct fault *why)
{
	_cleanup_(keyring_free) struct keyring *k = NULL;
	struct settings set = {.cipher = how->cipher, .name_max = 255};
	json_object *event;
	bool first = false;
	int ret = crypto_random(set.volume_id, sizeof(set.volume_id));

	if (set.cipher == CIPHER_NONE)
		set.cipher = CIPHER_AES_256_OCB;
	if (ret == 0)
		ret = crypto_random(set.instance_id, sizeof(set.instance_id));
	if (ret == 0)
		ret = keyring_new(&set, how->secrets, how->secret_count, &k, why);
	if (ret == 0)
		ret = put_value(k->doc, "alone", json_object_new_boolean(true));
	if (ret == 0)
		ret = keyring_note(k, "init", &event);
	if (ret == 0)
		ret = keyring_record(s, dot, k, why);
	if (ret == 0)
		ret = keyring_file_write(s, dot, k, &first);
	if (ret < 0) { /* all of these names were free */
		for (int i = 0; i < NAMES; i++)
			(void)s->ops->unlink(s, dot, names[i].name);
		return ret;
	}
	*out = k;
	k = NULL;
	return 0;
}

int lone_keyring_make(const char *file, const struct new_volume *how, struct keyring **out, struct fault *why)
{
	struct store *s;
	int dot, ret = lone_keyring_open(file, &s, &dot, why);

	*out = NULL;
	if (ret < 0)
		return ret;
	ret = check_free(s, dot, file, why);
	if (ret == 0)
		ret = make(s, dot, how, out, why);
	store_close(s, dot);
	s->ops->destroy(s);
	return ret < 0 ? fault_errno(why, EXIT_STORE, ret, "cannot make the keyring %s", file) : 0;
}
