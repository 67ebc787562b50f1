/* coffer status --watch: what a mount does, a line for each moment, until it ends. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util/cli/output.h"
#include "util/cli/status.h"

enum {
	ASK_SECONDS = 10,
	STEP_SECONDS = 5, /* the mount disconnects who is silent for longer */
	STEPS_MAX = 64,
	LINES_A_HEAD = 20,
};

/* What is printed of the time between two answers. */
struct rates {
	double seconds;
	uint64_t requests, reads, writes, bytes_read, bytes_written;
	uint64_t nanoseconds, typical_us, slow_us; /* of one request: half are faster than that, 99 in 100 */
	uint64_t map_hits, map_misses;
};

static uint64_t number_in(json_object *o, const char *name)
{
	json_object *member;

	return o && json_object_object_get_ex(o, name, &member) ? (uint64_t)json_object_get_int64(member) : 0;
}

static json_object *object_in(const struct control_answer *a, const char *name)
{
	json_object *member;

	return a->members && json_object_object_get_ex(a->members, name, &member) ? member : NULL;
}

static uint64_t grown(const struct control_answer *before, const struct control_answer *after, const char *name)
{
	return number_in(after->members, name) - number_in(before->members, name);
}

static uint64_t grown_in(const struct control_answer *before, const struct control_answer *after, const char *of,
			 const char *name)
{
	return number_in(object_in(after, of), name) - number_in(object_in(before, of), name);
}

/* Of all kinds but those for whose answer nobody waits. */
static uint64_t sum_in(const struct control_answer *a, const char *name)
{
	json_object *o = object_in(a, name);
	uint64_t sum = 0;

	if (!o)
		return 0;
	json_object_object_foreach(o, kind, value)
	{
		if (strcmp(kind, "FORGET") != 0 && strcmp(kind, "BATCH_FORGET") != 0 && strcmp(kind, "INTERRUPT") != 0)
			sum += (uint64_t)json_object_get_int64(value);
	}
	return sum;
}

/* The upper end, in microseconds, of the step in which this share of the requests had been answered. */
static uint64_t quantile(const struct control_answer *before, const struct control_answer *after, unsigned percent)
{
	json_object *b = object_in(before, "latency"), *a = object_in(after, "latency");
	size_t count = a ? json_object_array_length(a) : 0;
	uint64_t steps[STEPS_MAX], total = 0, seen = 0;

	if (count > STEPS_MAX || !b || json_object_array_length(b) != count)
		return 0;
	for (size_t i = 0; i < count; i++) {
		steps[i] = (uint64_t)(json_object_get_int64(json_object_array_get_idx(a, i)) -
				      json_object_get_int64(json_object_array_get_idx(b, i)));
		total += steps[i];
	}
	for (size_t i = 0; i < count && total; i++) {
		seen += steps[i];
		if (seen * 100 >= total * percent)
			return UINT64_C(1) << i;
	}
	return 0;
}

static struct rates rates_of(const struct control_answer *before, const struct control_answer *after, double seconds)
{
	return (struct rates){
		.seconds = seconds,
		.requests = sum_in(after, "requests") - sum_in(before, "requests"),
		.reads = grown_in(before, after, "requests", "READ"),
		.writes = grown_in(before, after, "requests", "WRITE"),
		.bytes_read = grown(before, after, "bytes_read"),
		.bytes_written = grown(before, after, "bytes_written"),
		.nanoseconds = sum_in(after, "nanoseconds") - sum_in(before, "nanoseconds"),
		.typical_us = quantile(before, after, 50),
		.slow_us = quantile(before, after, 99),
		.map_hits = grown(before, after, "map_hits"),
		.map_misses = grown(before, after, "map_misses"),
	};
}

static uint64_t percent(uint64_t part, uint64_t whole)
{
	return whole ? (uint64_t)(100.0 * (double)part / (double)whole) : 0;
}

/* The most important thing to say of it. */
static void put_state(const struct control_answer *a)
{
	const char *phase = control_text(a, "reencryption");
	uint64_t done = number_in(a->members, "reencryption_done"), total = number_in(a->members, "reencryption_total");

	if (control_flag(a, "locked"))
		puts("locked");
	else if (control_flag(a, "frozen"))
		puts("frozen");
	else if (phase && strcmp(phase, "none") != 0)
		printf("re-encryption %s, %" PRIu64 " %%\n", phase, percent(done, total));
	else
		puts(control_flag(a, "read_only") ? "read-only" : "-");
}

static void print_line(const struct rates *r, const struct control_answer *a, unsigned line)
{
	double mib = 1024 * 1024 * r->seconds;
	char when[16];
	time_t now = time(NULL);
	struct tm tm;

	if (line % LINES_A_HEAD == 0)
		puts("time      requests    reads   writes  read MiB written MiB  mean us  50 %<  99 %<  maps %  "
		     "journal %   files  state");
	strftime(when, sizeof when, "%H:%M:%S", localtime_r(&now, &tm));
	printf("%-8s %9.0f %8.0f %8.0f %9.1f %11.1f %8.1f %6" PRIu64 " %6" PRIu64, when,
	       (double)r->requests / r->seconds, (double)r->reads / r->seconds, (double)r->writes / r->seconds,
	       (double)r->bytes_read / mib, (double)r->bytes_written / mib,
	       r->requests ? (double)r->nanoseconds / 1000 / (double)r->requests : 0, r->typical_us, r->slow_us);
	printf(" %7" PRIu64 " %10" PRIu64 " %7" PRIu64 "  ", percent(r->map_hits, r->map_hits + r->map_misses),
	       percent(number_in(a->members, "journal_used"), number_in(a->members, "journal_size")),
	       number_in(a->members, "nodes"));
	put_state(a);
}

/* One object on a line: the rates, and what the mount said. */
static void print_json(const struct rates *r, const struct control_answer *a)
{
	json_object *o = json_object_new_object();

	json_object_object_add(o, "seconds", json_object_new_double(r->seconds));
	json_add_number(o, "requests", r->requests);
	json_add_number(o, "reads", r->reads);
	json_add_number(o, "writes", r->writes);
	json_add_number(o, "bytes_read", r->bytes_read);
	json_add_number(o, "bytes_written", r->bytes_written);
	json_add_number(o, "mean_ns", r->requests ? r->nanoseconds / r->requests : 0);
	json_add_number(o, "half_us", r->typical_us);
	json_add_number(o, "most_us", r->slow_us);
	json_object_object_add(o, "since_mounted", json_object_get(a->members));
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Waits so long, and asks.  What is asked in between keeps the connection. */
static int ask_after(int fd, unsigned seconds, struct control_answer *out, struct fault *why)
{
	int r = 0;

	for (unsigned left = seconds, step; r == 0 && left; left -= step) {
		step = left < STEP_SECONDS ? left : STEP_SECONDS;
		sleep(step);
		r = control_ask(fd, "metrics", NULL, ASK_SECONDS, out, why);
	}
	return r;
}

/* A mount that ends takes the connection with it: that is the end, and no error. */
static bool is_over(int r)
{
	return r == -ECONNRESET || r == -EPIPE || r == -ENOTCONN;
}

static int watch(int fd, const struct watch_options *o, struct fault *why)
{
	_cleanup_answer_ struct control_answer before = CONTROL_ANSWER_NONE, after = CONTROL_ANSWER_NONE;
	int r = control_ask(fd, "metrics", NULL, ASK_SECONDS, &before, why);
	double began = now();

	for (unsigned line = 0; r == 0 && (!o->count || line < o->count); line++) {
		r = ask_after(fd, o->seconds, &after, why);
		if (r < 0)
			break;

		double ended = now();
		struct rates rates = rates_of(&before, &after, ended - began);

		if (o->json)
			print_json(&rates, &after);
		else
			print_line(&rates, &after, line);
		fflush(stdout);
		began = ended;
		control_answer_free(&before);
		before = after;
		after = CONTROL_ANSWER_NONE;
	}
	if (!is_over(r))
		return r;
	*why = (struct fault){.status = EXIT_OK};
	return 0;
}

int status_watch(const char *word, const struct watch_options *o, struct fault *why)
{
	_cleanup_(cli_volume_close) struct cli_volume v = CLI_VOLUME_NONE;
	_cleanup_answer_ struct control_answer status = CONTROL_ANSWER_NONE;
	int fd = reach(word, &v, &status, why), r;

	if (fd < 0)
		return fd;
	r = watch(fd, o, why);
	close(fd);
	return r;
}
