/* The audit log as a file.
 *
 * 1. A line counts as written when it is synced; only then what it tells of is done, and only then the next line is written: a power
 *    cut may keep a later write and lose an earlier one, and what is torn before a whole line is no end that a crash left.
 * 2. What a crash tore at the end stays; the next line says how long it is.
 * 3. A log that was cut or changed does not lock anybody out of the volume; but the next line says so for ever. */
#include "keymgr/audit.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/internal.h"
#include "util/base/encode.h"
#include "util/base/kdf_labels.h"
#include "util/base/log.h"

enum { WINDOW = 256 << 10, FILE_MAX = 256 << 20 };

int audit_event(const char *event, json_object **out)
{
	int ret;

	*out = json_object_new_object();
	ret = *out ? put_string(*out, "event", event) : -ENOMEM;
	if (ret < 0) {
		json_object_put(*out);
		*out = NULL;
	}
	return ret;
}

static int line_key(const struct keyring *k, const struct wrapping *root, const uint8_t wrapped[WRAPPED_SIZE],
		    struct secret **out)
{
	_cleanup_stack_key_ struct stack_key key, prk;
	struct wrapping audit = {prk.b, k->settings.volume_id, NULL};
	int ret;

	*out = secret_new(KEY_SIZE);
	if (!*out)
		return -ENOMEM;
	ret = wrapping_open(root, LABEL_ROOT_WRAP, wrapped, key.b);
	if (ret == 0)
		ret = kdf_extract(key.b, sizeof(key.b), prk.b);
	return ret < 0 ? ret : wrapping_derive(&audit, LABEL_AUDIT_LINE, (*out)->bytes, KEY_SIZE);
}

static int load_keys(const struct keyring *k, struct audit_keys *out)
{
	_cleanup_stack_key_ struct stack_key prk;
	struct wrapping root = {prk.b, k->settings.volume_id, NULL};
	int ret = keyring_root_prk(k, &prk);

	for (uint32_t i = 0; ret == 0 && i <= k->old_audit_count; i++) {
		bool last = i == k->old_audit_count;

		out->first[i] = i ? k->old_audit[i - 1].last + 1 : 1;
		out->count = i + 1;
		ret = line_key(k, &root, last ? k->wrapped_keys[VOLUME_KEY_AUDIT] : k->old_audit[i].wrapped,
			       &out->key[i]);
	}
	return ret;
}

/* --- the end of the log */

struct tail {
	struct audit_link at;
	size_t torn; /* bytes behind the last line, each newline counted; one may still be missing */
	bool open;   /* the last of them is no newline */
	bool broken;
	uint64_t size;
};

/* Whether the walk met the link that it had to meet. */
struct meeting {
	const struct audit_link *link;
	bool wrong;
};

static void meet(void *context, const char *line, size_t n, bool good)
{
	struct meeting *m = context;
	unsigned long long number;
	char text[24] = "";
	uint8_t mac[SHA256_SIZE];

	(void)good;
	if (!m->link || m->link->n == 0 || n < 72)
		return;
	memcpy(text, line + strlen("{\"n\":"), sizeof(text) - 1);
	number = strtoull(text, NULL, 10);
	if (number != m->link->n)
		return;
	if (hex_decode(line + n - 66, 64, mac, sizeof(mac)) < 0 || !crypto_equal(mac, m->link->mac, sizeof(mac)))
		m->wrong = true;
}

static int read_tail(struct store *s, int fd, const struct audit_keys *keys, const struct audit_link *known,
		     struct tail *out)
{
	struct meeting meeting = {.link = known};
	struct audit_walk w = {.keys = keys, .each = meet, .context = &meeting};
	_cleanup_free_ char *text = NULL;
	struct store_stat st;
	const char *from;
	ssize_t n;
	int ret = store_stat(s, fd, &st);

	*out = (struct tail){.size = st.size};
	if (ret < 0)
		return ret;
	n = (ssize_t)(st.size < WINDOW ? st.size : WINDOW);
	from = text = malloc((size_t)n + 1);
	n = text ? store_pread(s, fd, text, (size_t)n, st.size - (uint64_t)n) : -ENOMEM;
	if (n < 0)
		return (int)n;
	if (st.size > WINDOW) { /* the first line of the window is a part of one */
		const char *newline = memchr(text, '\n', (size_t)n);

		from = newline ? newline + 1 : text + n;
		w.anywhere = true;
	}
	ret = audit_walk_text(&w, from, (size_t)(text + n - from));
	out->at = w.at;
	out->torn = w.torn_size;
	out->open = n > 0 && text[n - 1] != '\n';
	out->broken = w.problems > 0 || meeting.wrong || (known && w.at.n < known->n);
	if (out->broken && known && w.at.n < known->n)
		out->at.n = known->n;
	return ret;
}

/* --- appending */

static int open_log(struct store *s, int dot, int flags)
{
	int fd = store_open(s, dot, AUDIT_FILE, flags | O_NONBLOCK, 0600);
	struct store_stat st;
	int ret;

	if (fd < 0)
		return fd;
	ret = store_stat(s, fd, &st);
	if (ret == 0 && (!S_ISREG(st.mode) || st.nlink > 1))
		ret = -ELOOP;
	if (ret == 0)
		return fd;
	store_close(s, fd);
	return ret;
}

/* A store that cannot allocate ahead, or has no room for it now, is no reason to fail. */
static void keep_room(struct store *s, int fd, uint64_t end)
{
	(void)s->ops->fallocate(s, fd, FALLOC_FL_KEEP_SIZE, end, AUDIT_ROOM);
}

static int put_line(struct store *s, int fd, const struct audit_keys *keys, struct tail *t, json_object *event)
{
	char line[1 + AUDIT_LINE_MAX];
	size_t size = 0, lead = t->open;
	ssize_t done;
	int ret = 0;

	line[0] = '\n';
	if (t->torn)
		ret = put_number(event, "torn", t->torn);
	if (ret == 0)
		ret = audit_line_make(keys, &t->at, event, line + lead, &size);
	if (ret < 0)
		return ret;
	done = store_pwrite(s, fd, line, lead + size, t->size);
	if (done < 0)
		return (int)done;
	t->size += lead + size;
	t->torn = t->open = 0;
	return s->ops->fsync(s, fd);
}

static int put_lines(struct store *s, int fd, const struct audit_keys *keys, struct tail *t, json_object *events)
{
	_cleanup_json_ json_object *alarm = NULL;
	int ret = 0;

	if (t->broken) {
		log_error(".coffer/%s was cut or changed by somebody; \"coffer key audit verify\" says where",
			  AUDIT_FILE);
		ret = audit_event("audit-broken", &alarm);
		if (ret == 0)
			ret = put_line(s, fd, keys, t, alarm);
	}
	for (size_t i = 0; ret == 0 && i < json_object_array_length(events); i++)
		ret = put_line(s, fd, keys, t, json_object_array_get_idx(events, i));
	return ret;
}

static int append(struct store *s, int dot, const struct audit_keys *keys, const struct audit_link *known,
		  json_object *events, struct audit_link *at)
{
	struct tail t;
	bool made = false;
	int ret, fd = open_log(s, dot, O_RDWR);

	if (fd == -ENOENT) {
		fd = open_log(s, dot, O_RDWR | O_CREAT | O_EXCL);
		made = true;
	}
	if (fd < 0)
		return fd;
	ret = read_tail(s, fd, keys, known, &t);
	if (ret == 0)
		ret = put_lines(s, fd, keys, &t, events);
	if (ret == 0)
		keep_room(s, fd, t.size);
	if (ret == 0 && made)
		ret = s->ops->fsync(s, dot);
	store_close(s, fd);
	*at = t.at;
	return ret;
}

static const struct audit_link *later(const struct audit_link *a, const struct audit_link *b)
{
	return b && b->n > a->n ? b : a;
}

int audit_append(struct store *s, int dot, const struct keyring *k, const struct audit_link *known, json_object *events,
		 struct audit_link *at, struct fault *why)
{
	_cleanup_(audit_keys_free) struct audit_keys keys = {0};
	int ret = load_keys(k, &keys);

	if (ret == 0)
		ret = append(s, dot, &keys, later(&k->audit, known), events, at);
	return ret < 0 ? fault_errno(why, EXIT_STORE, ret,
				     "cannot write the record of it into .coffer/%s; nothing was done", AUDIT_FILE)
		       : 0;
}

/* --- verifying */

struct verification {
	struct meeting anchor, known;
	void (*each)(void *context, const char *line, size_t n, bool good);
	void *context;
};

static void see(void *context, const char *line, size_t n, bool good)
{
	struct verification *v = context;

	meet(&v->anchor, line, n, good);
	meet(&v->known, line, n, good);
	if (v->each)
		v->each(v->context, line, n, good);
}

static int read_all(struct store *s, int dot, char **text, size_t *n)
{
	int fd = open_log(s, dot, O_RDONLY);
	struct store_stat st;
	ssize_t got;
	int ret;

	*text = NULL;
	*n = 0;
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	ret = store_stat(s, fd, &st);
	if (ret == 0 && st.size > FILE_MAX)
		ret = -EFBIG;
	*text = ret == 0 ? malloc(st.size + 1) : NULL;
	if (ret == 0 && !*text)
		ret = -ENOMEM;
	got = ret == 0 ? store_pread(s, fd, *text, st.size, 0) : ret;
	store_close(s, fd);
	if (got < 0)
		return (int)got;
	*n = (size_t)got;
	return 0;
}

/* What the walk itself cannot see: that the end is missing, or another chain stands there. */
static void check_reach(struct audit_walk *w, const struct meeting *m, const char *who)
{
	if (!m->link || (w->at.n >= m->link->n && !m->wrong))
		return;
	if (w->problems++ == 0)
		snprintf(w->problem, sizeof(w->problem),
			 m->wrong ? "line %" PRIu64 " is another one than %s remembers"
				  : "the log had %" PRIu64 " lines once, as %s remembers, and has fewer",
			 m->link->n, who);
}

int audit_verify(struct store *s, int dot, const struct keyring *k, const struct audit_link *known,
		 void (*each)(void *context, const char *line, size_t n, bool good), void *context,
		 struct audit_report *out, struct fault *why)
{
	_cleanup_(audit_keys_free) struct audit_keys keys = {0};
	struct verification v = {{.link = &k->audit}, {.link = known}, each, context};
	struct audit_walk w = {.keys = &keys, .each = see, .context = &v};
	_cleanup_free_ char *text = NULL;
	size_t n = 0;
	int ret = load_keys(k, &keys);

	*out = (struct audit_report){0};
	if (ret == 0)
		ret = read_all(s, dot, &text, &n);
	if (ret == 0)
		ret = audit_walk_text(&w, text, n);
	if (ret < 0)
		return fault_errno(why, EXIT_STORE, ret, "cannot read .coffer/%s", AUDIT_FILE);
	check_reach(&w, &v.anchor, "the keyring");
	check_reach(&w, &v.known, "this host");
	*out = (struct audit_report){.lines = w.good, .torn = w.torn, .problems = w.problems, .ends_torn = w.torn_size};
	memcpy(out->problem, w.problem, sizeof(out->problem));
	return w.problems ? fault_set(why, EXIT_DAMAGED, EBADMSG, ".coffer/%s is not what was written: %s", AUDIT_FILE,
				      w.problem)
			  : 0;
}
