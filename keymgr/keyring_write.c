/* Changing the keyring on disk.
 *
 * 1. Whoever changes holds keyring.lock, and has read the keyring again under it.
 * 2. A change is in the audit log before it is in the keyring; one that could not be written then is followed by a line that says so.
 * 3. The first copy is replaced before the second: a cut leaves the old or the new keyring in the first, and whichever copies are
 *    whole open with the same root.  Copies that differ become equal with the next change.
 * 4. Where a key is to be gone, the content of both replaced files is overwritten after both new ones are in place, and so is what
 *    changes that were cut short have left behind.
 * 5. What is written has been read back from its bytes by the reader's own rules first.
 * 6. A change that failed was not made: the old keyring is in place.  The one exception is a new one that the store put in place and then
 *    could not sync; that is said as what it is, and the host is not told, because a power cut may bring the old one back. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "keymgr/internal.h"
#include "util/base/kdf_labels.h"
#include "util/base/log.h"

struct keyring_change {
	struct store *store;
	int dot, lock; /* lock: the handle that holds keyring.lock */
	struct keyring *keyring;
};

enum { COPIES = 2 };
static const char *const copies[COPIES] = {KEYRING_FILE, KEYRING_FILE ".bak"};

int keyring_seal(const struct keyring *k, struct sealed_text *out)
{
	_cleanup_stack_key_ struct stack_key prk, key;
	struct wrapping root = {prk.b, k->settings.volume_id, NULL};
	int ret;

	ret = keyring_root_prk(k, &prk);
	if (ret == 0)
		ret = wrapping_derive(&root, LABEL_KEYRING_MAC, key.b, sizeof(key.b));
	return ret < 0 ? ret : seal_make(k->doc, SEAL_MAC_HASH, key.b, out);
}

/* A keyring that nobody could open again must not replace one that opens. */
static int read_back(const struct sealed_text *t)
{
	_cleanup_(keyring_free) struct keyring *k = calloc(1, sizeof(*k));
	struct problem p = {0};
	struct fault ignored = {0};
	int ret;

	if (!k)
		return -ENOMEM;
	ret = document_parse(t->text, t->document_size, &k->doc, &p);
	if (ret == 0)
		ret = keyring_load(k, &p, &ignored);
	if (ret == -EBADMSG)
		log_error("a new keyring does not pass its own check: %s", p.text);
	return ret;
}

int keyring_file_write(struct store *s, int dot, struct keyring *k, bool *first)
{
	_cleanup_(sealed_text_free) struct sealed_text t = {0};
	int ret;

	*first = false;
	ret = keyring_seal(k, &t);
	if (ret == 0)
		ret = read_back(&t);
	return ret < 0 ? ret : sealed_file_write(s, dot, KEYRING_FILE, &t, first);
}

static void change_free(struct keyring_change **c)
{
	if (!*c)
		return;
	store_close((*c)->store, (*c)->lock); /* gives the lock back */
	free(*c);
	*c = NULL;
}

int keyring_lock(struct store *s, int dot)
{
	int fd = store_open(s, dot, LOCK_FILE, O_RDWR | O_CREAT, 0600);
	int ret;

	if (fd < 0)
		return fd;
	ret = s->ops->lock(s, fd, LOCK_EX);
	if (ret == 0)
		return fd;
	store_close(s, fd);
	return ret;
}

static int take_lock(struct keyring_change *c, struct fault *why)
{
	c->lock = keyring_lock(c->store, c->dot);
	return c->lock < 0 ? fault_errno(why, EXIT_STORE, c->lock, "cannot lock .coffer/%s for a change", LOCK_FILE)
			   : 0;
}

static void swap_content(struct keyring *a, struct keyring *b)
{
	struct keyring t = *a;

	*a = *b;
	*b = t;
}

int keyring_refresh(struct store *s, int dot, struct keyring *k, struct fault *why)
{
	_cleanup_(keyring_free) struct keyring *now = NULL;
	struct fault inner = {0};
	struct secret *root;
	int ret;

	ret = keyring_read(s, dot, &now, why);
	if (ret < 0)
		return ret;
	root = secret_move(&k->root);
	ret = keyring_take_root(now, &root, &inner);
	if (ret < 0)
		k->root = root;
	if (ret == -EKEYREJECTED)
		return fault_set(
			why, EXIT_REFUSED, EKEYREJECTED,
			"the root is another one than a moment ago: somebody gave the volume a new one, or put "
			"another keyring in place; nothing was done, run this again");
	if (ret < 0) {
		*why = inner;
		return ret;
	}
	now->opened_by = k->opened_by;
	now->by_public_key = k->by_public_key;
	now->remembered = k->remembered;
	swap_content(k, now);
	return 0;
}

static int refresh(struct keyring_change *c, struct keyring *k, struct fault *why)
{
	int ret = keyring_refresh(c->store, c->dot, k, why);

	if (ret == 0 && k->read_only)
		return fault_set(why, EXIT_UNSUPPORTED, EROFS,
				 "the volume uses a feature that this coffer may not change; use a newer coffer");
	return ret;
}

int keyring_change_begin(struct store *s, int dot, struct keyring *k, struct keyring_change **out, struct fault *why)
{
	_cleanup_(change_free) struct keyring_change *c = NULL;
	int ret;

	*out = NULL;
	if (!k->root)
		return fault_set(why, EXIT_FAILED, ENOKEY, "the keyring is locked");
	c = calloc(1, sizeof(*c));
	if (!c)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot change the keyring");
	*c = (struct keyring_change){.store = s, .dot = dot, .lock = -1, .keyring = k};
	ret = take_lock(c, why);
	if (ret == 0)
		ret = refresh(c, k, why);
	if (ret < 0)
		return ret;
	*out = c;
	c = NULL;
	return 0;
}

/* Handles of the files that a commit replaces; -1 for those that need no wiping. */
struct replaced {
	int fd[COPIES];
};

static void replaced_open(const struct keyring_change *c, struct replaced *r)
{
	for (int i = 0; i < COPIES; i++)
		r->fd[i] = c->keyring->wipe_replaced ? store_open(c->store, c->dot, copies[i], O_WRONLY | O_NONBLOCK, 0)
						     : -1;
}

/* A file that still has a name was not replaced, and stays.  Nobody can ask for more than to try: the change stands. */
static void replaced_wipe(const struct keyring_change *c, const struct replaced *r)
{
	struct store_stat st;

	for (int i = 0; i < COPIES; i++) {
		int ret = r->fd[i] < 0 ? 0 : store_stat(c->store, r->fd[i], &st);

		if (r->fd[i] >= 0 && ret == 0 && st.nlink == 0)
			ret = file_overwrite(c->store, r->fd[i]);
		else if (r->fd[i] >= 0 && ret == 0)
			ret = -EBUSY;
		if (ret < 0)
			log_warning("the destroyed key may still be on the disk, in what was .coffer/%s (%s)",
				    copies[i], strerror(-ret));
	}
	/* The directory of a keyring that stands alone has temporary files of others, too. */
	if (c->keyring->wipe_replaced && !keyring_stands_alone(c->keyring)) {
		int ret = erase_temporaries(c->store, c->dot);

		if (ret < 0)
			log_warning("the destroyed key may still be on the disk, in what an interrupted change left in "
				    ".coffer (%s)",
				    strerror(-ret));
	}
}

static void replaced_close(const struct keyring_change *c, const struct replaced *r)
{
	for (int i = 0; i < COPIES; i++)
		store_close(c->store, r->fd[i]);
}

/* The log says that something was done, and it was not. */
static void note_failure(struct keyring_change *c)
{
	_cleanup_json_ json_object *events = json_object_new_array();
	struct fault why = {0};
	json_object *event;

	if (!events || audit_event("change-failed", &event) < 0 || put_element(events, event) < 0)
		return;
	if (audit_append(c->store, c->dot, c->keyring, &c->keyring->audit, events, &c->keyring->audit, &why) < 0)
		log_error("%s", why.text);
}

bool keyring_write_failed(struct store *s, int dot, uint64_t sequence, int error, struct fault *why)
{
	_cleanup_(keyring_free) struct keyring *now = NULL;
	struct fault ignored = {0};

	if (keyring_file_read(s, dot, &now, &ignored) == 0 && now->sequence == sequence) {
		fault_errno(why, EXIT_STORE, error,
			    "the change is in .coffer/%s, but a power cut may take it back: the store could not sync "
			    "it; see that the disk is well, then make another change",
			    KEYRING_FILE);
		return false;
	}
	fault_errno(why, EXIT_STORE, error, "cannot write .coffer/%s; the change was not made", KEYRING_FILE);
	return true;
}

/* The first copy could not be written. */
static int fail(struct keyring_change *c, int ret, struct fault *why)
{
	bool recorded = c->keyring->recorded;

	c->keyring->recorded = false;
	/* With a new root, the key of the log as it stands is not at hand any more. */
	if (keyring_write_failed(c->store, c->dot, c->keyring->sequence + 1, ret, why) && !recorded)
		note_failure(c);
	return ret;
}

int keyring_change_commit(struct keyring_change **change, struct fault *why)
{
	_cleanup_(change_free) struct keyring_change *c = *change;
	struct keyring *k = c->keyring;
	struct replaced replaced;
	bool first = false;
	int ret;

	*change = NULL;
	if (k->sequence == DOCUMENT_NUMBER_MAX)
		return fault_set(why, EXIT_REFUSED, EOVERFLOW, "the keyring cannot be changed any more");
	ret = k->recorded ? 0 : keyring_record(c->store, c->dot, k, why);
	if (ret < 0)
		return ret;
	ret = put_number(k->doc, "sequence", k->sequence + 1);
	if (ret == 0)
		ret = put_now(k->doc, "written");
	replaced_open(c, &replaced);
	if (ret == 0)
		ret = keyring_file_write(c->store, c->dot, k, &first);
	if (first)
		replaced_wipe(c, &replaced);
	replaced_close(c, &replaced);
	k->wipe_replaced = false;
	if (ret < 0 && !first)
		return fail(c, ret, why);
	k->recorded = false;
	k->sequence++;
	keyring_remember(k);
	if (ret < 0) /* the change stands; what is lost for now is the spare */
		log_warning(".coffer/%s.bak could not be written (%s) and is older than .coffer/%s; the next change "
			    "writes both",
			    KEYRING_FILE, strerror(-ret), KEYRING_FILE);
	return 0;
}

void keyring_change_abort(struct keyring_change **c)
{
	change_free(c);
}
