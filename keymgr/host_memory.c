/* What a host remembers.
 *
 * 1. The document is replaced whole and synced; a cut leaves the old one or the new one.
 * 2. What is remembered of an instance only grows, except where somebody vouched for something older.
 * 3. A memory that is damaged refuses, rather than forgets. */
#include "keymgr/host_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "keymgr/audit_actor.h"
#include "keymgr/host_memory_internal.h"
#include "util/base/atomic_file.h"
#include "util/base/encode.h"
#include "util/base/log.h"

enum { MEMORY_MAX = 1 << 20, WAITING_MAX = 64 };

/* --- where */

/* NULL: nowhere. */
static char *state_directory(void)
{
	const char *given = getenv("COFFER_STATE_DIR"), *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	char *path = NULL;
	int n;

	if (given)
		return given[0] == '/' ? strdup(given) : NULL;
	if (geteuid() == 0)
		return strdup("/var/lib/coffer");
	if (state && state[0] == '/')
		n = asprintf(&path, "%s/coffer", state);
	else if (home && home[0] == '/')
		n = asprintf(&path, "%s/.local/state/coffer", home);
	else
		return NULL;
	return n < 0 ? NULL : path;
}

static int make_directories(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST) {
			int ret = -errno;

			*slash = '/';
			return ret;
		}
		*slash = '/';
	}
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int open_directory(struct host_memory *m)
{
	_cleanup_free_ char *path = state_directory();
	int ret;

	if (!path)
		return -ENOENT;
	ret = make_directories(path);
	if (ret == 0) {
		m->dir = store_open(m->store, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
		ret = m->dir < 0 ? m->dir : 0;
	}
	if (ret == 0) {
		m->lock = store_open(m->store, m->dir, "lock", O_RDWR | O_CREAT, 0600);
		ret = m->lock < 0 ? m->lock : m->store->ops->lock(m->store, m->lock, LOCK_EX);
	}
	if (ret < 0)
		log_warning(
			"this host cannot remember what it sees of volumes, in %s (%s): an old keyring put back would "
			"not be noticed",
			path, strerror(-ret));
	return ret;
}

/* --- reading and writing */

static int new_document(struct host_memory *m)
{
	int ret;

	m->doc = json_object_new_object();
	ret = m->doc ? put_string(m->doc, "format", "coffer host memory") : -ENOMEM;
	if (ret == 0)
		ret = put_number(m->doc, "version", 1);
	if (ret == 0)
		ret = put_value(m->doc, "roots", json_object_new_array());
	return ret < 0 ? ret : put_value(m->doc, "instances", json_object_new_object());
}

static int check_document(struct host_memory *m, struct problem *p)
{
	const char *format;
	json_object *o;
	uint64_t version;
	int ret = member_string(m->doc, "format", &format, p);

	if (ret == 0 && strcmp(format, "coffer host memory") != 0)
		ret = problem_set(p, "it has another format");
	if (ret == 0)
		ret = member_number(m->doc, "version", 1, 1, &version, p);
	if (ret == 0)
		ret = member_array(m->doc, "roots", 0, HOST_ROOTS_MAX, &o, p);
	return ret < 0 ? ret : member_object(m->doc, "instances", &o, p);
}

static int load(struct host_memory *m, struct fault *why)
{
	_cleanup_free_ char *text = NULL;
	struct problem p = {0};
	size_t n;
	int ret = atomic_file_read(m->store, m->dir, m->name, MEMORY_MAX, &text, &n);

	if (ret == -ENOENT)
		return new_document(m);
	if (ret == 0)
		ret = document_parse(text, n, &m->doc, &p);
	if (ret == 0)
		ret = check_document(m, &p);
	if (ret == -EBADMSG)
		return fault_set(why, EXIT_DAMAGED, EBADMSG,
				 "what this host remembers of the volume, %s in the state directory, is damaged (%s); "
				 "compare the fingerprint with your records, then remove that file",
				 m->name, p.text);
	return ret;
}

int host_memory_open(const uint8_t volume_id[VOLUME_ID_SIZE], struct host_memory **out, struct fault *why)
{
	_cleanup_(host_memory_close) struct host_memory *m = calloc(1, sizeof(*m));
	int ret;

	*out = NULL;
	if (m)
		*m = (struct host_memory){.store = store_posix_new(), .dir = -1, .lock = -1};
	if (!m || !m->store)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot open the host's memory");
	hex_encode(volume_id, VOLUME_ID_SIZE, m->name);
	strcat(m->name, ".json");
	if (open_directory(m) < 0)
		return 0;
	ret = load(m, why);
	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "cannot read what this host remembers of the volume");
	*out = m;
	m = NULL;
	return 0;
}

void host_memory_close(struct host_memory **m)
{
	if (!*m)
		return;
	json_object_put((*m)->doc);
	if ((*m)->store) {
		store_close((*m)->store, (*m)->lock);
		store_close((*m)->store, (*m)->dir);
		(*m)->store->ops->destroy((*m)->store);
	}
	free(*m);
	*m = NULL;
}

int host_memory_save(struct host_memory *m, struct fault *why)
{
	_cleanup_free_ char *text = NULL;
	const char *document;
	size_t n;
	int ret = -ENOMEM;

	document = document_render(m->doc, &n);
	if (document)
		text = malloc(n + 1);
	if (text) {
		memcpy(text, document, n);
		text[n] = '\n';
		ret = atomic_file_write(m->store, m->dir, m->name, text, n + 1);
	}
	return ret < 0 ? fault_errno(why, EXIT_STORE, ret, "cannot write what this host remembers of the volume") : 0;
}

/* --- what could not be recorded yet */

static int member_or_new_array(json_object *o, const char *name, json_object **out)
{
	if (json_object_object_get_ex(o, name, out) && json_object_is_type(*out, json_type_array))
		return 0;
	*out = json_object_new_array();
	return put_value(o, name, *out);
}

int host_memory_wait(struct host_memory *m, json_object *event)
{
	json_object *array;
	int ret = member_or_new_array(m->doc, "waiting", &array);

	if (ret < 0)
		return ret;
	if (json_object_array_length(array) >= WAITING_MAX)
		json_object_array_del_idx(array, 0, 1);
	if (!json_object_object_get_ex(event, "at", NULL))
		ret = put_now(event, "at");
	if (ret == 0 && !json_object_object_get_ex(event, "uid", NULL))
		ret = audit_actor_put(event);
	return ret < 0 ? ret : put_element(array, json_object_get(event));
}

int host_memory_failed_unlock(struct host_memory *m)
{
	uint64_t count = 0;
	struct problem ignored = {0};
	json_object *o;
	int ret = 0;

	if (!json_object_object_get_ex(m->doc, "failed_unlocks", &o)) {
		o = json_object_new_object();
		ret = put_value(m->doc, "failed_unlocks", o);
		if (ret == 0)
			ret = put_now(o, "first");
	}
	if (ret == 0 && member_number(o, "count", 0, DOCUMENT_NUMBER_MAX - 1, &count, &ignored) < 0)
		count = 0;
	if (ret == 0)
		ret = put_number(o, "count", count + 1);
	return ret < 0 ? ret : put_now(o, "last");
}

static int take_failed(struct host_memory *m, json_object *events)
{
	static const char *const members[] = {"count", "first", "last"};
	json_object *o, *event, *value;
	int ret;

	if (!json_object_object_get_ex(m->doc, "failed_unlocks", &o))
		return 0;
	ret = audit_event("failed-unlocks", &event);
	if (ret == 0)
		ret = put_element(events, event);
	for (int i = 0; ret == 0 && i < 3; i++)
		if (json_object_object_get_ex(o, members[i], &value))
			ret = put_value(event, members[i], json_object_get(value));
	json_object_object_del(m->doc, "failed_unlocks");
	return ret;
}

int host_memory_take_waiting(struct host_memory *m, json_object *events)
{
	json_object *array;
	int ret = 0;

	if (json_object_object_get_ex(m->doc, "waiting", &array) && json_object_is_type(array, json_type_array))
		for (size_t i = 0; ret == 0 && i < json_object_array_length(array); i++)
			ret = put_element(events, json_object_get(json_object_array_get_idx(array, i)));
	json_object_object_del(m->doc, "waiting");
	return ret < 0 ? ret : take_failed(m, events);
}
