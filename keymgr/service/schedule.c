/* Backups that a running service makes of itself (schedule.h).
 *
 *     waiting -> writing      begin: it is due
 *     writing -> waiting      end: the thread has set `done`; the result is in the log
 *
 * One that fails is tried again after RETRY_S.  Old ones go only after a new one is there. */
#include "keymgr/service/schedule.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "keymgr/audit_actor.h"
#include "keymgr/backup.h"
#include "keymgr/service/backup.h"
#include "util/base/encode.h"
#include "util/base/log.h"

enum { RETRY_S = 600, ID_SHOWN = 4, NAME_TEXT = 64, TIME_DIGITS = 16 };
#define SUFFIX ".backup"

struct schedule {
	const struct schedule_options *o;
	struct place *place;
	char *keyring, *anchor;
	size_t keyring_size;
	char prefix[NAME_TEXT]; /* of this service's files */
	time_t next;
	bool asked;
	struct schedule_state state;

	/* the thread's from pthread_create() until `done` is set */
	bool writing;
	pthread_t thread;
	atomic_bool stop, done;
	char name[NAME_TEXT];
	struct service_backed_up made;
	struct fault why;
	int result;
};

/* --- the thread */

/* keyd-1A2B3C4D-20261128T014914Z.backup */
static void make_name(struct schedule *s)
{
	char at[TIME_TEXT + 1], digits[TIME_TEXT + 1];
	size_t n = 0;

	time_text(at);
	for (const char *c = at; *c; c++)
		if (*c != '-' && *c != ':')
			digits[n++] = *c;
	digits[n] = '\0';
	snprintf(s->name, sizeof(s->name), "%.32s%.16s%s", s->prefix, digits, SUFFIX);
}

static bool is_ours(const struct schedule *s, const char *name)
{
	size_t n = strlen(s->prefix);

	return strncmp(name, s->prefix, n) == 0 && strlen(name) == n + TIME_DIGITS + strlen(SUFFIX) &&
	       strcmp(name + n + TIME_DIGITS, SUFFIX) == 0 && strspn(name + n, "0123456789TZ") == TIME_DIGITS;
}

/* What somebody was killed over; nobody holds it any more. */
static void remove_left_over(int dir, const char *name)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
		(void)unlinkat(dir, name, 0);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void remove_old(const struct schedule *s)
{
	_cleanup_close_ int dir = open(s->o->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent **names;
	int n = dir < 0 ? -1 : scandirat(dir, ".", &names, NULL, by_name);
	unsigned ours = 0;

	if (n < 0) {
		log_warning("cannot look for old backups in %s: %s", s->o->dir, strerror(errno));
		return;
	}
	for (int i = n - 1; i >= 0; i--) {
		const char *name = names[i]->d_name;

		if (strncmp(name, SERVICE_BACKUP_TEMPORARY, strlen(SERVICE_BACKUP_TEMPORARY)) == 0)
			remove_left_over(dir, name);
		else if (is_ours(s, name) && ++ours > s->o->keep && unlinkat(dir, name, 0) < 0)
			log_warning("cannot remove the old backup %s/%s: %s", s->o->dir, name, strerror(errno));
		free(names[i]);
	}
	free(names);
}

static void *write_backup(void *context)
{
	struct schedule *s = context;
	char file[PATH_MAX];
	const struct service_backup b = {
		.place = s->place,
		.anchor = s->anchor,
		.keyring = s->keyring,
		.keyring_size = s->keyring_size,
		.stop = &s->stop,
	};

	snprintf(file, sizeof(file), "%.*s/%s", PATH_MAX - NAME_TEXT - 2, s->o->dir, s->name);
	s->result = service_backup(&b, file, &s->made, &s->why);
	if (s->result == 0)
		remove_old(s);
	crypto_thread_end();
	atomic_store(&s->done, true);
	return NULL;
}

/* --- the service */

static void begin(struct schedule *s)
{
	sigset_t all, before;
	int error;

	make_name(s);
	s->why = (struct fault){0};
	atomic_store(&s->done, false);
	sigfillset(&all); /* signals are the loop's */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&s->thread, NULL, write_backup, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	s->writing = error == 0;
	if (error) {
		log_error("cannot begin a backup: %s", strerror(error));
		s->next = document_now() + RETRY_S;
		s->state.failed++;
		s->state.failing = true;
	}
}

static int put_last(struct schedule *s)
{
	_cleanup_json_ json_object *row = json_object_new_object();
	int ret = row ? put_now(row, "at") : -ENOMEM;

	if (ret == 0)
		ret = put_string(row, "file", s->name);
	if (ret == 0)
		ret = put_number(row, "lines", s->made.counts.lines);
	return ret == 0 ? ledger_put(s->place->ledger, ROW_BACKUP, row) : ret;
}

static int record(struct schedule *s)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	int ret = o ? put_string(o, "event", s->result == 0 ? "backup" : "backup.failed") : -ENOMEM;

	if (ret == 0)
		ret = put_string(o, "file", s->name);
	if (ret == 0 && s->result < 0)
		ret = audit_put_text(o, "why", s->why.text);
	if (ret == 0 && s->result == 0)
		ret = put_string(o, "id", s->made.id);
	if (ret == 0 && s->result == 0)
		ret = put_number(o, "lines", s->made.counts.lines);
	if (ret == 0 && s->result == 0)
		ret = put_number(o, "bytes", s->made.bytes);
	if (ret == 0 && s->result == 0)
		ret = put_last(s);
	if (ret == 0)
		ret = ledger_note(s->place->ledger, o);
	return ret == 0 ? ledger_commit(s->place->ledger) : ret;
}

static void end(struct schedule *s)
{
	const struct ledger_mark mark = ledger_mark(s->place->ledger);
	uint64_t wait = s->o->every;
	int ret;

	pthread_join(s->thread, NULL);
	s->writing = false;
	if (s->result == 0) {
		s->state.last = document_now();
	} else {
		log_error("a backup failed: %s", s->why.text);
		s->state.failed++;
		wait = wait < RETRY_S ? wait : RETRY_S;
	}
	/* Who has asked meanwhile waits for the one behind it, and must not take this one's failure for that one's. */
	s->state.failing = s->result < 0 && !s->asked;
	s->next = document_now() + (time_t)wait;
	ret = record(s);
	if (ret < 0) {
		ledger_back(s->place->ledger, &mark);
		log_error("cannot record a backup: %s", strerror(-ret));
	}
}

void schedule_tick(struct schedule *s)
{
	if (s->writing && atomic_load(&s->done))
		end(s);
	else if (!s->writing && (s->asked || document_now() >= s->next)) {
		s->asked = false;
		begin(s);
	}
}

void schedule_ask(struct schedule *s)
{
	s->asked = true;
	s->state.failing = false;
}

struct schedule_state schedule_state(const struct schedule *s)
{
	return s->state;
}

/* --- making one */

static int load_last(struct schedule *s)
{
	_cleanup_json_ json_object *o = NULL;
	struct problem p = {0};
	char at[TIME_TEXT + 1];
	int ret = ledger_get(s->place->ledger, ROW_BACKUP, &o);

	if (ret == -ENOENT)
		return 0;
	if (ret == 0)
		ret = member_time(o, "at", at, &p);
	if (ret == 0)
		ret = time_parse(at, &s->state.last);
	s->next = s->state.last + (time_t)s->o->every;
	return ret;
}

static int protect(struct schedule *s, struct keyring *k, struct fault *why)
{
	struct unlock_source source = UNLOCK_SOURCE_NONE;
	struct unlock_secret certificate = {0};
	int ret;

	source.certificate = s->o->recipient;
	ret = unlock_obtain(&source, "", false, &certificate, why);
	if (ret == 0)
		ret = backup_make(k, &certificate, &s->keyring, &s->keyring_size, why);
	unlock_secret_wipe(&certificate);
	return ret;
}

int schedule_new(const struct schedule_options *o, struct place *place, const char *anchor, struct keyring *k,
		 struct schedule **out, struct fault *why)
{
	_cleanup_(schedule_free) struct schedule *s = calloc(1, sizeof(*s));
	char path[PATH_MAX], id[2 * ID_SHOWN + 1];
	int ret = s ? 0 : -ENOMEM;

	*out = NULL;
	if (ret == 0) {
		s->o = o;
		s->place = place;
		s->anchor = strdup(anchor ? anchor : place_name(place, PLACE_ANCHOR, path));
		hex_encode(place->keys.keys->volume_id, ID_SHOWN, id);
		snprintf(s->prefix, sizeof(s->prefix), "keyd-%s-", id);
		ret = s->anchor ? 0 : -ENOMEM;
	}
	if (ret == 0 && access(o->dir, W_OK | X_OK) < 0)
		return fault_errno(why, EXIT_STORE, -errno, "cannot write backups into %s", o->dir);
	if (ret == 0)
		ret = protect(s, k, why);
	if (ret == 0)
		ret = load_last(s);
	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "cannot prepare backups");
	*out = s;
	s = NULL;
	return 0;
}

void schedule_free(struct schedule **s)
{
	if (!*s)
		return;
	if ((*s)->writing) {
		atomic_store(&(*s)->stop, true);
		pthread_join((*s)->thread, NULL);
	}
	free((*s)->keyring);
	free((*s)->anchor);
	free(*s);
	*s = NULL;
}
