/* The directory of the key service (place.h). */
#include "keymgr/service/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "keymgr/service/clients.h"
#include "keymgr/service/rekey.h"
#include "util/base/encode.h"
#include "util/base/log.h"
#include "util/base/whole_write.h"

enum { KEY_FILE_SIZE = 32 };
#define ADMIN_NAME "admin"

/* All that place_make() may leave behind. */
static const char *const made[] = {
	PLACE_KEYRING,
	PLACE_KEYRING ".bak",
	PLACE_KEYRING ".lock",
	PLACE_KEYRING ".audit",
	PLACE_KEYRING ".use",
	PLACE_KEY,
	PLACE_DATABASE,
	PLACE_DATABASE "-wal",
	PLACE_DATABASE "-shm",
	PLACE_ANCHOR,
	"ca.pem",
	"admin.pem",
	"admin.key",
	"admin.p12",
};

const char *place_name(const struct place *p, const char *name, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%.*s/%s", PATH_MAX - 64, p->path, name);
	return out;
}

void place_close(struct place *p)
{
	ledger_close(&p->ledger);
	service_keys_free(&p->keys);
	if (p->lock >= 0)
		close(p->lock);
	p->lock = -1;
}

int place_resolve(const char *dir, struct place *p, struct fault *why)
{
	char *path = realpath(dir, NULL);

	*p = PLACE_NONE;
	if (!path || strlen(path) > PATH_MAX - 64) {
		int error = path ? ENAMETOOLONG : errno;

		free(path);
		return fault_errno(why, EXIT_NOT_VOLUME, -error, "cannot find %s", dir);
	}
	snprintf(p->path, sizeof(p->path), "%s", path);
	free(path);
	return 0;
}

int place_new_file(const struct place *p, const char *name, const void *bytes, size_t n, mode_t mode, struct fault *why)
{
	char path[PATH_MAX];
	_cleanup_close_ int fd = open(place_name(p, name, path), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	int ret = fd < 0 ? -errno : whole_write(fd, bytes, n);

	if (ret == 0 && fsync(fd) < 0)
		ret = -errno;
	return ret < 0 ? fault_errno(why, EXIT_STORE, ret, "cannot write %s", path) : 0;
}

/* What opens a new keyring: what the user gives, or a key file beside it. */
int place_new_secret(const struct place *p, const struct unlock_source *source, struct unlock_secret *out,
		     struct fault *why)
{
	struct unlock_source own = UNLOCK_SOURCE_NONE;
	char path[PATH_MAX];
	struct secret *key;
	int ret;

	own.key_file = place_name(p, PLACE_KEY, path);
	if (unlock_source_given(source))
		return unlock_obtain(source, "New passphrase of the key service: ", true, out, why);
	key = secret_new(KEY_FILE_SIZE);
	ret = key ? crypto_random(key->bytes, key->size) : -ENOMEM;
	if (ret == 0)
		ret = place_new_file(p, PLACE_KEY, key->bytes, key->size, 0600, why);
	secret_free(&key);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot make %s", path)
		       : unlock_obtain(&own, "", false, out, why);
}

static int lock(struct place *p, struct fault *why)
{
	p->lock = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->lock >= 0 && flock(p->lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (p->lock >= 0 && errno == EWOULDBLOCK)
		return fault_set(why, EXIT_IN_USE, EBUSY, "%s is in use: another coffer-keyd runs on it", p->path);
	return fault_errno(why, EXIT_STORE, -errno, "cannot lock %s", p->path);
}

int place_store(const struct place *p, enum backend_use use, struct backend **out, struct fault *why)
{
	char path[PATH_MAX], id[2 * VOLUME_ID_SIZE + 1];

	if (!p->etcd)
		return backend_sqlite_open(place_name(p, PLACE_DATABASE, path), use, out, why);
	hex_encode(p->keys.keys->volume_id, VOLUME_ID_SIZE, id);
	return backend_etcd_open(p->etcd, id, use, out, why);
}

/* Until it is free, if that is wanted. */
static int wait_for_store(const struct place *p, enum backend_use use, void (*waiting)(void), struct backend **out,
			  struct fault *why)
{
	bool told = false;

	for (;;) {
		struct fault inner = {0};
		int ret = place_store(p, use, out, &inner);

		if (ret != -EBUSY || !waiting || !p->etcd) {
			*why = ret < 0 ? inner : *why;
			return ret;
		}
		if (!told)
			waiting();
		told = true;
		sleep(1);
	}
}

static int open_ledger(struct place *p, const char *anchor, enum backend_use use, void (*waiting)(void),
		       struct fault *why)
{
	struct backend *b;
	char path[PATH_MAX];
	int ret = wait_for_store(p, use, waiting, &b, why);

	if (ret < 0)
		return ret;
	if (use != BACKEND_MAKE)
		ret = service_keys_settle(&p->keys, b, why);
	if (ret < 0) {
		b->ops->close(b);
		return ret;
	}
	return ledger_open(b, &p->keys, anchor ? anchor : place_name(p, PLACE_ANCHOR, path), use == BACKEND_MAKE,
			   &p->ledger, why);
}

static int look(const char *dir, const struct place_options *o, struct place *out, struct fault *why)
{
	char path[PATH_MAX];
	int ret = place_resolve(dir, out, why);

	out->etcd = o->etcd;
	if (ret == 0 && access(place_name(out, o->etcd ? PLACE_KEYRING : PLACE_DATABASE, path), F_OK) < 0)
		return fault_errno(why, EXIT_NOT_VOLUME, -errno,
				   "%s is no directory of a key service (`coffer-keyd init` makes one)", dir);
	return ret;
}

static int unlock(struct place *p, const struct unlock_source *source, struct keyring **keyring, struct fault *why)
{
	struct unlock_source from = *source;
	char path[PATH_MAX], key[PATH_MAX];

	if (!unlock_source_given(source) && access(place_name(p, PLACE_KEY, key), F_OK) == 0)
		from.key_file = key;
	return service_keys_open(place_name(p, PLACE_KEYRING, path), &from, "Passphrase of the key service: ", &p->keys,
				 keyring, why);
}

int place_unlock(const char *dir, const struct place_options *o, struct place *out, struct keyring **keyring,
		 struct fault *why)
{
	struct backend *b;
	int ret = look(dir, o, out, why);

	if (ret == 0)
		ret = unlock(out, o->source, keyring, why);
	if (ret == 0)
		ret = place_store(out, BACKEND_READ, &b, why);
	if (ret < 0)
		return ret;
	ret = service_keys_settle(&out->keys, b, why);
	b->ops->close(b);
	return ret;
}

int place_open(const char *dir, const struct place_options *o, struct place *out, struct keyring **keyring,
	       struct fault *why)
{
	_cleanup_(keyring_free) struct keyring *k = NULL;
	int ret = look(dir, o, out, why);

	if (ret == 0)
		ret = lock(out, why);
	if (ret == 0)
		ret = unlock(out, o->source, &k, why);
	if (ret == 0)
		ret = open_ledger(out, o->anchor, BACKEND_WRITE, o->waiting, why);
	if (ret == 0)
		ret = service_rekey_finish(out, k, why);
	if (ret < 0)
		place_close(out);
	if (ret == 0 && keyring) {
		*keyring = k;
		k = NULL;
	}
	return ret;
}

/* --- making one */

static int add_identity(struct place *p, const char *row, const struct x509_wanted *w, enum key_kind kind,
			const struct tls_identity *ca)
{
	_cleanup_(tls_identity_free) struct tls_identity made_here = {0};
	struct x509_wanted wanted = *w;
	int ret = x509_key_new(kind, &made_here.key);

	wanted.key = made_here.key;
	if (ret == 0)
		ret = x509_issue(ca->cert, ca->key, &wanted, &made_here.cert);
	return ret == 0 ? identity_put(p->ledger, &p->keys, row, &made_here) : ret;
}

static int add_authority(struct place *p, const struct place_init *how, struct tls_identity *ca)
{
	const struct x509_wanted server = {
		.name = how->hosts[0],
		.server = true,
		.hosts = how->hosts,
		.host_count = how->host_count,
		.days = SERVER_DAYS,
	};
	char name[64];
	uint8_t random[4];
	int ret = crypto_random(random, sizeof(random));

	/* Two authorities of one name would confuse those who trust both. */
	snprintf(name, sizeof(name), "coffer key service %02x%02x%02x%02x", random[0], random[1], random[2], random[3]);
	if (ret == 0)
		ret = x509_key_new(KEY_EC_P256, &ca->key);
	if (ret == 0)
		ret = x509_make_ca(ca->key, name, &ca->cert);
	if (ret == 0)
		ret = identity_put(p->ledger, &p->keys, ROW_CA, ca);
	if (ret == 0)
		ret = add_identity(p, ROW_EC, &server, KEY_EC_P256, ca);
	return ret == 0 ? add_identity(p, ROW_RSA, &server, KEY_RSA_3072, ca) : ret;
}

static int write_admin(const struct place *p, const struct tls_identity *admin, const struct tls_identity *ca,
		       struct fault *why)
{
	_cleanup_free_ char *cert = NULL, *ca_cert = NULL;
	_cleanup_secret_ struct secret *key = NULL, *p12 = NULL;
	int ret = x509_pem(admin->cert, &cert);

	if (ret == 0)
		ret = x509_pem(ca->cert, &ca_cert);
	if (ret == 0)
		ret = x509_key_pem(admin->key, &key);
	if (ret == 0)
		ret = x509_p12(admin->key, admin->cert, ca->cert, "coffer key service", &p12);
	if (ret == 0)
		ret = place_new_file(p, "ca.pem", ca_cert, strlen(ca_cert), 0644, why);
	if (ret == 0)
		ret = place_new_file(p, "admin.pem", cert, strlen(cert), 0644, why);
	if (ret == 0)
		ret = place_new_file(p, "admin.key", key->bytes, key->size, 0600, why);
	return ret == 0 ? place_new_file(p, "admin.p12", p12->bytes, p12->size, 0600, why) : ret;
}

static int note_init(struct place *p)
{
	_cleanup_json_ json_object *details = json_object_new_object();
	int ret = details ? put_string(details, "event", "init") : -ENOMEM;

	return ret == 0 ? ledger_note(p->ledger, details) : ret;
}

static int furnish(struct place *p, const struct place_init *how, struct fault *why)
{
	_cleanup_(tls_identity_free) struct tls_identity ca = {0}, admin = {0};
	struct x509_wanted wanted = {.name = ADMIN_NAME, .days = CLIENT_DAYS};
	int ret = add_authority(p, how, &ca);

	if (ret == 0)
		ret = x509_key_new(KEY_EC_P256, &admin.key);
	wanted.key = admin.key;
	if (ret == 0)
		ret = x509_issue(ca.cert, ca.key, &wanted, &admin.cert);
	if (ret == 0)
		ret = client_add(p->ledger, ADMIN_NAME, ROLE_ADMIN, admin.cert);
	if (ret == 0)
		ret = note_init(p);
	if (ret == 0)
		ret = write_admin(p, &admin, &ca, why);
	if (ret == 0)
		ret = ledger_commit(p->ledger);
	if (ret == 0)
		ret = ledger_anchor(p->ledger);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot make the certificates of the key service (%s)",
				     openssl_reason())
		       : 0;
}

static bool is_empty(const char *dir)
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	bool empty = d != NULL;

	while (d && empty && (e = readdir(d)))
		empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
	if (d)
		closedir(d);
	return empty;
}

int place_claim(const char *dir, bool *new_directory, struct fault *why)
{
	*new_directory = mkdir(dir, 0700) == 0;
	if (!*new_directory && errno != EEXIST)
		return fault_errno(why, EXIT_STORE, -errno, "cannot make %s", dir);
	if (*new_directory || is_empty(dir))
		return 0;
	return fault_set(why, EXIT_NOT_EMPTY, EEXIST, "%s is not a new or empty directory", dir);
}

void place_empty(const struct place *p)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
		(void)unlink(place_name(p, made[i], path));
}

int place_make(const char *dir, const struct place_init *how, char fingerprint[ROOT_TEXT], struct fault *why)
{
	struct place p = PLACE_NONE;
	struct unlock_secret secret = {0};
	char path[PATH_MAX];
	bool new_directory;
	int ret;

	for (size_t i = 0; i < how->host_count; i++)
		if (!x509_host_valid(how->hosts[i]))
			return fault_set(why, EXIT_USAGE, EINVAL, "%s is neither the name of a host nor an address",
					 how->hosts[i]);
	ret = place_claim(dir, &new_directory, why);
	if (ret == 0)
		ret = place_resolve(dir, &p, why);
	if (ret < 0)
		return ret;
	p.etcd = how->etcd;
	ret = lock(&p, why);
	if (ret == 0)
		ret = place_new_secret(&p, how->source, &secret, why);
	if (ret == 0)
		ret = service_keys_make(place_name(&p, PLACE_KEYRING, path), &secret, &p.keys, fingerprint, why);
	unlock_secret_wipe(&secret);
	if (ret == 0)
		ret = open_ledger(&p, NULL, BACKEND_MAKE, NULL, why);
	if (ret == 0)
		ret = furnish(&p, how, why);
	place_close(&p);
	if (ret < 0)
		place_empty(&p);
	if (ret < 0 && new_directory)
		(void)rmdir(p.path);
	return ret;
}
