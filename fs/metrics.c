#include "fs/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fs/meter.h"
#include "fs/rounds.h"
#include "fs/transport.h"
#include "util/base/log.h"

struct metrics {
	const struct control_subject *subject;
	const char *mount_point, *file;
	struct rounds rounds;
};

/* All that is told, of one moment. */
struct now {
	struct meter_sum sum;
	struct engine_counts counts;
	struct freeze_status freeze;
	struct reencrypt_status reencryption;
	bool locked, read_only, shared;
};

static void look(const struct control_subject *s, struct now *n)
{
	meter_read(&n->sum);
	engine_counts(s->engine, &n->counts);
	freeze_status(s->freeze, &n->freeze);
	reencrypt_status(s->reencrypt, &n->reencryption);
	n->locked = live_keys_are_locked(s->live_keys);
	n->read_only = s->read_only || n->counts.read_only;
	n->shared = s->shared;
}

/* ------------------------------------------------------------------ the socket */

static json_object *by_kind(const uint64_t values[METER_KINDS])
{
	json_object *o = json_object_new_object();

	for (unsigned k = 0; k < METER_KINDS; k++)
		if (transport_opcode_name(k) && values[k])
			json_object_object_add(o, transport_opcode_name(k), json_object_new_int64((int64_t)values[k]));
	return o;
}

/* Of all kinds but those for whose answer nobody waits. */
static json_object *latency_of_all(const struct meter_sum *sum)
{
	json_object *list = json_object_new_array();

	for (unsigned s = 0; s < METER_STEPS; s++) {
		uint64_t n = 0;

		for (unsigned k = 0; k < METER_KINDS; k++)
			if (transport_is_waited_for(k))
				n += sum->latency[k][s];
		json_object_array_add(list, json_object_new_int64((int64_t)n));
	}
	return list;
}

int metrics_run_verb(struct control_call *c, struct fault *why)
{
	struct now n;

	(void)why;
	look(c->data, &n);
	json_object_object_add(c->answer, "requests", by_kind(n.sum.requests));
	json_object_object_add(c->answer, "nanoseconds", by_kind(n.sum.nanoseconds));
	json_object_object_add(c->answer, "latency", latency_of_all(&n.sum));
	control_put_number(c, "bytes_read", n.sum.count[METER_BYTES_READ]);
	control_put_number(c, "bytes_written", n.sum.count[METER_BYTES_WRITTEN]);
	control_put_number(c, "map_hits", n.sum.count[METER_MAP_HITS]);
	control_put_number(c, "map_misses", n.sum.count[METER_MAP_MISSES]);
	control_put_number(c, "descriptor_hits", n.sum.count[METER_DESCRIPTOR_HITS]);
	control_put_number(c, "descriptor_misses", n.sum.count[METER_DESCRIPTOR_MISSES]);
	control_put_number(c, "nodes", n.counts.nodes);
	control_put_number(c, "descriptors", n.counts.descriptors);
	control_put_number(c, "map_bytes", n.counts.map_bytes);
	control_put_number(c, "journal_size", n.counts.journal_size);
	control_put_number(c, "journal_used", n.counts.journal_used);
	control_put_number(c, "damaged_pages", n.counts.damaged_pages);
	control_put_text(c, "reencryption", reencrypt_phase_name(n.reencryption.phase));
	control_put_number(c, "reencryption_done", n.reencryption.done);
	control_put_number(c, "reencryption_total", n.reencryption.total);
	control_put_flag(c, "locked", n.locked);
	control_put_flag(c, "frozen", n.freeze.frozen);
	control_put_flag(c, "read_only", n.read_only);
	return 0;
}

/* ------------------------------------------------------------------ the file */

struct out {
	FILE *f;
	char label[2 * PATH_MAX + 16]; /* mount="..." */
};

/* A value of a label: backslash, quote and newline are escaped. */
static void set_label(struct out *o, const char *mount_point)
{
	char *at = o->label + sprintf(o->label, "mount=\"");

	for (const char *p = mount_point; *p && at < o->label + sizeof o->label - 4; p++) {
		if (*p == '\\' || *p == '"' || *p == '\n')
			*at++ = '\\';
		*at++ = *p == '\n' ? 'n' : *p;
	}
	strcpy(at, "\"");
}

static void head(const struct out *o, const char *name, const char *type, const char *help)
{
	fprintf(o->f, "# HELP coffer_%s %s\n# TYPE coffer_%s %s\n", name, help, name, type);
}

static void put(const struct out *o, const char *name, const char *type, const char *help, uint64_t value)
{
	head(o, name, type, help);
	fprintf(o->f, "coffer_%s{%s} %" PRIu64 "\n", name, o->label, value);
}

static void put_requests(const struct out *o, const struct meter_sum *sum)
{
	head(o, "requests_total", "counter", "Requests of the kernel, by kind.");
	for (unsigned k = 0; k < METER_KINDS; k++)
		if (transport_opcode_name(k) && sum->requests[k])
			fprintf(o->f, "coffer_requests_total{%s,kind=\"%s\"} %" PRIu64 "\n", o->label,
				transport_opcode_name(k), sum->requests[k]);
}

static void put_latency_of(const struct out *o, const struct meter_sum *sum, unsigned kind)
{
	const char *name = transport_opcode_name(kind);
	uint64_t n = 0;

	for (unsigned s = 0; s < METER_STEPS - 1; s++) {
		n += sum->latency[kind][s];
		fprintf(o->f, "coffer_request_seconds_bucket{%s,kind=\"%s\",le=\"%g\"} %" PRIu64 "\n", o->label, name,
			(double)(UINT64_C(1) << s) / 1e6, n);
	}
	fprintf(o->f, "coffer_request_seconds_bucket{%s,kind=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", o->label, name,
		sum->answered[kind]);
	fprintf(o->f, "coffer_request_seconds_sum{%s,kind=\"%s\"} %.9f\n", o->label, name,
		(double)sum->nanoseconds[kind] / 1e9);
	fprintf(o->f, "coffer_request_seconds_count{%s,kind=\"%s\"} %" PRIu64 "\n", o->label, name,
		sum->answered[kind]);
}

static void put_latency(const struct out *o, const struct meter_sum *sum)
{
	head(o, "request_seconds", "histogram", "Time from reading a request to its answer.");
	for (unsigned k = 0; k < METER_KINDS; k++)
		if (transport_opcode_name(k) && sum->answered[k])
			put_latency_of(o, sum, k);
}

static void put_pair(const struct out *o, const char *name, const char *help, const char *label,
		     const char *const values[2], const uint64_t numbers[2])
{
	head(o, name, "counter", help);
	for (int i = 0; i < 2; i++)
		fprintf(o->f, "coffer_%s{%s,%s=\"%s\"} %" PRIu64 "\n", name, o->label, label, values[i], numbers[i]);
}

static void put_sums(const struct out *o, const struct meter_sum *sum)
{
	static const char *const directions[] = {"read", "write"}, *const caches[] = {"map", "descriptor"};
	const uint64_t bytes[] = {sum->count[METER_BYTES_READ], sum->count[METER_BYTES_WRITTEN]};
	const uint64_t hits[] = {sum->count[METER_MAP_HITS], sum->count[METER_DESCRIPTOR_HITS]};
	const uint64_t misses[] = {sum->count[METER_MAP_MISSES], sum->count[METER_DESCRIPTOR_MISSES]};

	put_pair(o, "bytes_total", "Bytes of contents that requests carried.", "direction", directions, bytes);
	put_pair(o, "cache_hits_total", "What was in a cache of the mount.", "cache", caches, hits);
	put_pair(o, "cache_misses_total", "What was not.", "cache", caches, misses);
}

static void put_all(const struct out *o, const struct now *n)
{
	const struct reencrypt_status *r = &n->reencryption;

	put_requests(o, &n->sum);
	put_latency(o, &n->sum);
	put_sums(o, &n->sum);
	put(o, "journal_bytes", "gauge", "Size of the journal; 0 without one.", n->counts.journal_size);
	put(o, "journal_used_bytes", "gauge", "Of these, records that are not in place yet.", n->counts.journal_used);
	put(o, "nodes", "gauge", "Files and directories that the kernel or the mount knows.", n->counts.nodes);
	put(o, "descriptors", "gauge", "Of these, open below.", n->counts.descriptors);
	put(o, "map_cache_bytes", "gauge", "Memory in map pages.", n->counts.map_bytes);
	put(o, "damaged_pages_total", "counter", "Pages met that do not verify.", n->counts.damaged_pages);
	put(o, "undecryptable_names_total", "counter", "Names met that do not decrypt.", n->counts.undecryptable_names);
	put(o, "reencryption_done_bytes", "gauge", "Progress of this pass of a re-encryption.", r->done);
	put(o, "reencryption_total_bytes", "gauge", "What that pass has to do; 0 if there is none.", r->total);
	put(o, "reencryption_stuck", "gauge", "Objects that cannot be re-encrypted.", r->stuck);
	put(o, "shared_store", "gauge", "1 if others may change the store.", n->shared);
	put(o, "locked", "gauge", "1 while the mount is locked.", n->locked);
	put(o, "frozen", "gauge", "1 while it is frozen.", n->freeze.frozen);
	put(o, "read_only", "gauge", "1 if it is read-only.", n->read_only);
}

static int write_as(const struct metrics *m, const char *temporary)
{
	struct out o;
	struct now n;
	int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644), r;

	o.f = fd < 0 ? NULL : fdopen(fd, "w");
	if (!o.f) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	look(m->subject, &n);
	set_label(&o, m->mount_point);
	put_all(&o, &n);
	r = ferror(o.f) ? -EIO : 0;
	return fclose(o.f) < 0 && r == 0 ? -errno : r;
}

static int write_file(const struct metrics *m)
{
	char temporary[PATH_MAX];
	int r;

	if ((size_t)snprintf(temporary, sizeof temporary, "%s.new", m->file) >= sizeof temporary)
		return -ENAMETOOLONG;
	/* Of a process that was killed. */
	(void)unlink(temporary);
	r = write_as(m, temporary);
	if (r == 0 && rename(temporary, m->file) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(temporary);
	return r;
}

/* ------------------------------------------------------------------ the thread */

static void *work(void *data)
{
	struct metrics *m = data;
	int before = 0;

	do {
		int r = write_file(m);

		if (r < 0 && r != before)
			log_warning("%s: the metrics cannot be written: %s", m->file, strerror(-r));
		before = r;
	} while (rounds_wait(&m->rounds, METRICS_SECONDS));
	/* What nobody writes any more is no news. */
	(void)unlink(m->file);
	return NULL;
}

int metrics_start(const struct control_subject *s, const char *mount_point, const char *file, struct metrics **out)
{
	struct metrics *m = calloc(1, sizeof *m);
	int r;

	if (!m)
		return -ENOMEM;
	m->subject = s;
	m->mount_point = mount_point;
	m->file = file;
	r = rounds_start(&m->rounds, work, m);
	if (r < 0)
		free(m);
	else
		*out = m;
	return r;
}

void metrics_stop(struct metrics **mp)
{
	struct metrics *m = *mp;

	if (!m)
		return;
	*mp = NULL;
	rounds_stop(&m->rounds);
	free(m);
}
