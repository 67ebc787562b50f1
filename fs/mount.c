#define FUSE_USE_VERSION 314

#include "fs/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "fs/control.h"
#include "fs/control_verbs.h"
#include "fs/freeze.h"
#include "fs/gate.h"
#include "fs/keeper.h"
#include "fs/known.h"
#include "fs/metrics.h"
#include "fs/mount_point.h"
#include "fs/opened.h"
#include "fs/ops.h"
#include "fs/reencrypt.h"
#include "fs/ring.h"
#include "fs/slow.h"
#include "fs/transport.h"
#include "fs/watch.h"
#include "util/base/log.h"

/* One mount, from the command to the unmount.
 *
 * Forking comes first: locked memory, libgcrypt and threads do not survive it.  The child stays in its parent's session until it is
 * unlocked, so that it can ask on the terminal; it reports over a pipe once the kernel has sent INIT, or why it gave up. */
struct mounting {
	const struct mount_options *options;
	struct opened opened;
	struct engine *engine;
	struct fuse_session *session;
	struct ops_context context;
	struct slow *slow;
	struct freeze *freeze;
	struct control *control; /* NULL: no socket */
	struct control_subject subject;
	struct live_keys *live_keys;
	struct reencrypt *reencrypt;
	struct keeper *keeper;
	struct metrics *metrics;
	struct lease *lease;
	struct ending ending;
	struct watch *watch;
	int report; /* pipe to the waiting parent; -1 in the foreground */
	bool mounted;
};

enum { THREADS_MIN = 2, THREADS_MAX = 64, SYNC_THREADS = 8, FOR_EVER = 1000000000 };

/* ------------------------------------------------------------------ telling the parent */

struct report {
	int result;
	struct fault why;
};

static void report_to_parent(struct mounting *m, int result, const struct fault *why)
{
	struct report r = {.result = result};

	if (m->report < 0)
		return;
	if (why)
		r.why = *why;
	if (write(m->report, &r, sizeof r) != sizeof r)
		log_warning("cannot tell the starting process that the mount is there");
	close(m->report);
	m->report = -1;
}

static void detach_from_terminal(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		if (null > STDERR_FILENO)
			close(null);
	}
}

/* INIT is being answered: from here on the mount works. */
static void ready(struct ops_context *c)
{
	struct mounting *m = c->data;

	if (m->report < 0)
		return;
	log_to_syslog("coffer");
	report_to_parent(m, 0, NULL);
	detach_from_terminal();
}

/* ------------------------------------------------------------------ hardening */

/* With CAP_SYS_RESOURCE writes would go past quotas and into the store's reserve. */
static void drop_sys_resource(void)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d) < 0)
		return;
	d[CAP_TO_INDEX(CAP_SYS_RESOURCE)].effective &= ~CAP_TO_MASK(CAP_SYS_RESOURCE);
	d[CAP_TO_INDEX(CAP_SYS_RESOURCE)].permitted &= ~CAP_TO_MASK(CAP_SYS_RESOURCE);
	syscall(SYS_capset, &h, d);
}

static void harden(void)
{
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};

	/* A limit on file sizes is the caller's affair, checked by the kernel before it asks us. */
	setrlimit(RLIMIT_FSIZE, &unlimited);
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
}

/* ------------------------------------------------------------------ session */

/* Copies text for libfuse's option parser, where commas and backslashes need one more backslash. */
static char *quote_option(const char *text)
{
	char *out = malloc(2 * strlen(text) + 1), *at = out;

	if (!out)
		return NULL;
	for (; *text; text++) {
		if (*text == ',' || *text == '\\')
			*at++ = '\\';
		*at++ = *text;
	}
	*at = 0;
	return out;
}

static bool is_read_only(const struct mounting *m)
{
	return m->options->read_only || m->opened.read_only;
}

static int new_session(struct mounting *m, struct fault *why)
{
	const struct mount_options *o = m->options;
	_cleanup_free_ char *source = quote_option(o->volume), *text = NULL;
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);

	/* The kernel checks permissions: this mount serves whoever it lets through. */
	if (!source || asprintf(&text, "fsname=%s,subtype=coffer%s%s%s%s,%s,%s%s", source,
				o->io_uring ? ",io_uring" : "", o->no_perm ? "" : ",default_permissions",
				o->allow_other ? ",allow_other" : "", is_read_only(m) ? ",ro" : "",
				o->suid ? "suid" : "nosuid", o->dev ? "dev" : "nodev", o->noexec ? ",noexec" : "") < 0)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory");
	if (fuse_opt_add_arg(&args, "coffer") == 0 && fuse_opt_add_arg(&args, "-o") == 0 &&
	    fuse_opt_add_arg(&args, text) == 0)
		m->session =
			fuse_session_new(&args, o->io_uring ? ring_table() : &ops_table, ops_table_size(), &m->context);
	fuse_opt_free_args(&args);
	return m->session ? 0 : fault_set(why, EXIT_FAILED, EINVAL, "libfuse refused the mount options");
}

static int check_device(struct fault *why)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (errno == ENOENT || errno == ENODEV)
		return fault_set(why, EXIT_NO_FUSE, errno,
				 "there is no /dev/fuse; load the module (modprobe fuse) or pass the "
				 "device to this container");
	if (errno == EACCES || errno == EPERM)
		return fault_set(why, EXIT_NO_FUSE, errno,
				 "/dev/fuse is not yours to open; run as root, or ask root for chmod 666 /dev/fuse");
	return fault_errno(why, EXIT_NO_FUSE, -errno, "cannot open /dev/fuse");
}

static int mount_session(struct mounting *m, struct fault *why)
{
	int r = new_session(m, why);

	if (r < 0)
		return r;
	if (fuse_session_mount(m->session, m->options->mount_point) != 0)
		return fault_set(
			why, EXIT_NO_FUSE, EPERM,
			"cannot mount on %s: mounting needs root, or fusermount3 (package fuse3) and a mount point of "
			"yours%s",
			m->options->mount_point,
			m->options->allow_other ? "; allow_other also needs user_allow_other in /etc/fuse.conf" : "");
	m->mounted = true;
	r = transport_attach(m->session);
	return r < 0 ? fault_errno(why, EXIT_FAILED, r, "cannot attach to /dev/fuse") : 0;
}

static unsigned thread_count(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < THREADS_MIN ? THREADS_MIN : (n > THREADS_MAX ? THREADS_MAX : (unsigned)n);
}

/* ------------------------------------------------------------------ one mount */

static int start_engine(struct mounting *m, struct fault *why)
{
	const struct mount_options *o = m->options;

	if (o->shared)
		log_info("others may change the store: no journal, and what was seen is believed for %u s",
			 o->shared_seconds);

	struct engine_options eo = {
		.read_only = is_read_only(m),
		.act_as_caller = geteuid() == 0 && o->allow_other,
		.relatime = o->relatime,
		.journal = !o->no_journal,
		.shared = o->shared,
		.journal_size = o->journal_size,
		.memory = o->memory,
		.commit_seconds = o->commit,
		.freeze = m->freeze,
	};

	return engine_start(m->opened.store, m->opened.dot, m->opened.data, keyring_settings(m->opened.keyring),
			    keyring_root_directory(m->opened.keyring), m->opened.keys, &eo, &m->engine, why);
}

/* What a freeze waits for before it counts its time. */
static int settle(void *data)
{
	struct mounting *m = data;

	return engine_checkpoint(m->engine);
}

/* Before anything is written: the socket shows whether another mount has this instance id. */
static int start_control(struct mounting *m, struct fault *why)
{
	const struct control_service service = {
		.verbs = control_verbs,
		.more_verbs = m->options->more_verbs,
		.admits = m->options->field_rights ? m->options->admits : NULL,
		.rights = m->options->field_rights,
		.holds = control_holds,
		.release = control_release,
		.at_end = fs_thread_end,
		.data = &m->subject,
	};

	m->freeze = freeze_new(settle, m);
	if (!m->freeze)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory");
	if (m->options->old_copy)
		return 0;
	return control_open(m->options->volume, keyring_settings(m->opened.keyring)->instance_id, &service, &m->control,
			    why);
}

/* What the mount writes may not wait for the mount. */
static int check_metrics(const struct mount_options *o, struct fault *why)
{
	size_t n = strlen(o->mount_point);

	if (o->metrics && strncmp(o->metrics, o->mount_point, n) == 0 && o->metrics[n] == '/')
		return fault_set(why, EXIT_USAGE, EINVAL, "metrics=%s: give a file outside the mount", o->metrics);
	return 0;
}

static int start_opened(struct mounting *m, struct fault *why)
{
	const struct mount_options *o = m->options;
	int r = check_metrics(o, why);

	if (r == 0)
		r = mount_point_prepare(o->volume, o->mount_point, why);
	if (r == 0)
		r = check_device(why);
	if (r == 0)
		r = opened_prepare(why);
	if (r == 0)
		r = opened_start(o->volume, &o->unlock, o->old_copy ? OPENED_OLD_COPY : OPENED_LOCKED, &m->opened, why);
	if (r == 0)
		r = start_control(m, why);
	return r;
}

static int start_all(struct mounting *m, struct fault *why)
{
	struct engine_counts counts;
	int r = start_opened(m, why);

	if (r < 0)
		return r;
	opened_note_process(&m->opened);
	/* Unlocked: the terminal is not needed any more. */
	if (m->report >= 0 && !m->options->no_new_session)
		setsid();
	watch_block_signals();
	harden();
	r = start_engine(m, why);
	if (r < 0)
		return r;
	/* Recovery may have found that it has to be. */
	engine_counts(m->engine, &counts);
	m->opened.read_only |= counts.read_only;
	m->context = (struct ops_context){.engine = m->engine,
					  .writeback = m->options->writeback,
					  .no_xattr = m->options->no_xattr,
					  .no_perm = m->options->no_perm,
					  .io_uring = m->options->io_uring,
					  .ask_open = m->options->ask_open,
					  .shared = m->options->shared,
					  .believed = m->options->shared ? m->options->shared_seconds : FOR_EVER,
					  .ready = ready,
					  .data = m};
	r = mount_session(m, why);
	if (r < 0)
		return r;
	drop_sys_resource();
	return chdir("/") < 0 ? fault_errno(why, EXIT_FAILED, -errno, "cannot go to /") : 0;
}

static void forget(void *data)
{
	struct mounting *m = data;
	_cleanup_free_ uint64_t *nodes = NULL;
	size_t count = 0;

	if (engine_known_nodes(m->engine, &nodes, &count) < 0)
		log_warning("no memory to empty the kernel's caches; what they hold can still be read");
	transport_forget_everything(m->session, nodes, count);
	transport_wipe();
}

static void refuse(void *data, bool so)
{
	(void)data;
	gate_refuse(so);
}

static uint64_t activity(void *data)
{
	(void)data;
	return transport_requests();
}

static int start_keys(struct mounting *m)
{
	const struct live_keys_parts parts = {&m->opened, m->engine, m->freeze, forget, refuse, m};
	struct reencrypt_parts more = {m->engine, NULL, activity, NULL};

	more.keys = m->live_keys = live_keys_new(&parts);
	m->reencrypt = m->live_keys ? reencrypt_new(&more) : NULL;
	return m->reencrypt ? 0 : -ENOMEM;
}

/* What a mount before this one did not end. */
static void go_on(struct mounting *m)
{
	struct fault why = {.status = EXIT_OK};

	if (!is_read_only(m) && !m->options->old_copy && reencrypt_look(m->reencrypt, &why) < 0)
		log_warning("the re-encryption does not go on: %s", why.text);
}

static int start_lease(struct mounting *m, struct fault *why)
{
	const struct mount_options *o = m->options;
	const struct lease_parts parts = {
		.opened = &m->opened,
		.keys = m->live_keys,
		.reencrypt = m->reencrypt,
		.trust = {o->unlock.accept_older, o->unlock.expect_root},
		.looks_only = m->opened.how != OPENED_LOCKED || m->opened.store_read_only,
		.every = o->lease,
		.grace = o->grace ? o->grace : GRACE_SECONDS,
	};

	return lease_start(&parts, &m->lease, why);
}

static int start_threads(struct mounting *m, struct fault *why)
{
	int r = start_keys(m);

	if (r < 0)
		return r;
	r = start_lease(m, why);
	if (r < 0)
		return r;
	m->subject = (struct control_subject){
		.opened = &m->opened,
		.engine = m->engine,
		.freeze = m->freeze,
		.live_keys = m->live_keys,
		.reencrypt = m->reencrypt,
		.read_only = is_read_only(m),
		.shared = m->options->shared,
		.shared_seconds = m->options->shared_seconds,
		.lease = m->lease,
	};
	m->ending = (struct ending){m->options->mount_point, m->engine, m->session, m->freeze, m->options->writeback};
	r = watch_start(&m->ending, m->options->idle, &m->watch);
	if (r == 0)
		r = slow_start(SYNC_THREADS, fs_thread_end, &m->slow);
	m->context.slow = m->slow;
	if (r == 0 && m->control)
		r = control_serve(m->control);
	if (r == 0 && m->options->metrics)
		r = metrics_start(&m->subject, m->options->mount_point, m->options->metrics, &m->metrics);
	if (r == 0)
		go_on(m);
	if (r == 0 && !is_read_only(m) && !m->options->old_copy)
		r = keeper_start(
			&(struct keeper_parts){m->engine, m->live_keys, m->reencrypt, m->lease, m->options->lease},
			&m->keeper);
	return r;
}

static int serve(struct mounting *m, struct fault *why)
{
	const struct transport_hooks hooks = {ops_begin, ops_end, ops_thread_end, ops_wipe, &m->context};
	int r = start_threads(m, why);

	if (r == 0)
		r = transport_run(m->session, m->freeze, thread_count(), &hooks);
	return r < 0 ? fault_errno(why, EXIT_FAILED, r, "cannot start threads") : 0;
}

static int stop_all(struct mounting *m)
{
	int r;

	if (m->freeze)
		freeze_stop(m->freeze);
	control_close(&m->control);
	keeper_stop(&m->keeper);
	metrics_stop(&m->metrics);
	lease_stop(&m->lease);
	reencrypt_free(&m->reencrypt);
	slow_stop(&m->slow);
	watch_stop(&m->watch);
	if (m->session) {
		/* Closes the device; then detaches the mount point, if it is not gone. */
		if (m->mounted)
			fuse_session_unmount(m->session);
		fuse_session_destroy(m->session);
	}
	live_keys_free(&m->live_keys);
	r = engine_stop(&m->engine);
	freeze_free(&m->freeze);
	if (m->opened.store)
		opened_stop(&m->opened);
	secret_stop();
	return r;
}

static int run(struct mounting *m, struct fault *why)
{
	int r = start_all(m, why);

	if (r == 0)
		r = serve(m, why);

	int end = stop_all(m);

	if (r == 0 && end < 0)
		r = fault_errno(why, EXIT_STORE, end, "the volume could not be synced at the end");
	return r;
}

/* The parent's side: until the child reports, or ends without a word. */
static int wait_for_child(pid_t pid, int fd, struct fault *why)
{
	struct report r;
	ssize_t n;
	int status;

	do
		n = read(fd, &r, sizeof r);
	while (n < 0 && errno == EINTR);
	close(fd);
	if (n == sizeof r) {
		*why = r.why;
		return r.result;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return fault_set(why, EXIT_FAILED, EIO, "the mount process ended before it was ready");
}

/* Flags of a mount are the kernel's own affair; the process that serves it goes on. */
static int remount(const struct mount_options *o, struct fault *why)
{
	unsigned long flags = MS_REMOUNT | (o->read_only ? MS_RDONLY : 0) | (o->suid ? 0 : MS_NOSUID) |
			      (o->dev ? 0 : MS_NODEV) | (o->noexec ? MS_NOEXEC : 0);
	char device[32];

	if (!mount_point_find(o->mount_point, device))
		return fault_set(why, EXIT_MOUNT_POINT, EINVAL, "%s: no coffer volume is mounted here to be remounted",
				 o->mount_point);
	if (mount(o->volume, o->mount_point, NULL, flags, NULL) < 0)
		return fault_errno(why, EXIT_FAILED, -errno, "cannot remount %s", o->mount_point);
	return 0;
}

int mount_run(const struct mount_options *o, struct fault *why)
{
	struct mounting m = {.options = o, .report = -1};
	int ends[2];

	if (o->remount)
		return remount(o, why);
	m.opened.dot = m.opened.data = m.opened.lock = -1;
	if (o->foreground)
		return run(&m, why);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return fault_errno(why, EXIT_FAILED, -errno, "cannot make a pipe");

	pid_t pid = fork();

	if (pid < 0) {
		int r = -errno;

		close(ends[0]);
		close(ends[1]);
		return fault_errno(why, EXIT_FAILED, r, "cannot fork");
	}
	if (pid > 0) {
		close(ends[1]);
		return wait_for_child(pid, ends[0], why);
	}
	close(ends[0]);
	m.report = ends[1];

	int r = run(&m, why);

	if (m.report >= 0)
		report_to_parent(&m, r, why);
	else if (r < 0)
		log_error("%s", why->text);
	_exit(r < 0 ? EXIT_FAILED : EXIT_OK);
}
