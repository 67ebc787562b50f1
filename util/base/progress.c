/* A progress line (progress.h). */
#include "util/base/progress.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS UINT64_C(1000000000)

enum { LINE_SIZE = 160, REDRAW_NS = 200000000, FIRST_NS = 500000000 };

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

static void put(const char *text)
{
	int saved = errno;

	if (write(STDERR_FILENO, text, strlen(text)) < 0) {
		/* a terminal that went away needs no progress */
	}
	errno = saved;
}

static const char *amount(enum progress_unit unit, double v, char out[16])
{
	static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	size_t i = 0;

	if (unit == PROGRESS_ITEMS) {
		snprintf(out, 16, "%.0f", v);
		return out;
	}
	for (; v >= 1024 && i + 1 < sizeof(names) / sizeof(names[0]); i++)
		v /= 1024;
	snprintf(out, 16, i > 0 && v < 100 ? "%.1f %s" : "%.0f %s", v, names[i]);
	return out;
}

static const char *duration(double seconds, char out[16])
{
	uint64_t s = (uint64_t)(seconds + 0.5);

	if (s >= 360000)
		snprintf(out, 16, "days");
	else if (s >= 3600)
		snprintf(out, 16, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, s / 3600, s / 60 % 60, s % 60);
	else
		snprintf(out, 16, "%" PRIu64 ":%02" PRIu64, s / 60, s % 60);
	return out;
}

const char *progress_text(const struct progress *p, uint64_t done, uint64_t elapsed_ns, char *out, size_t n)
{
	char have[16], all[16], speed[16], left[16];
	double rate = elapsed_ns ? (double)done * (double)SECOND_NS / (double)elapsed_ns : 0;

	if (p->total > 0 && done <= p->total && rate > 0)
		snprintf(out, n, "%s: %s of %s (%.0f %%), %s/s, %s left", p->label, amount(p->unit, (double)done, have),
			 amount(p->unit, (double)p->total, all), 100 * (double)done / (double)p->total,
			 amount(p->unit, rate, speed), duration((double)(p->total - done) / rate, left));
	else
		snprintf(out, n, "%s: %s, %s/s", p->label, amount(p->unit, (double)done, have),
			 amount(p->unit, rate, speed));
	return out;
}

void progress_start(struct progress *p, const char *label, enum progress_unit unit, uint64_t total)
{
	*p = (struct progress){.label = label, .unit = unit, .total = total, .silent = !isatty(STDERR_FILENO)};
	if (!p->silent)
		p->started_ns = now_ns();
}

void progress_update(struct progress *p, uint64_t done)
{
	char line[LINE_SIZE], drawn[LINE_SIZE + 8];
	uint64_t now;

	if (p->silent)
		return;
	now = now_ns();
	/* What is over at once needs no line. */
	if (now - p->started_ns < FIRST_NS || (p->visible && now - p->drawn_ns < REDRAW_NS))
		return;
	progress_text(p, done, now - p->started_ns, line, sizeof(line));
	snprintf(drawn, sizeof(drawn), "\r%s\033[K", line);
	put(drawn);
	p->drawn_ns = now;
	p->visible = true;
}

void progress_end(struct progress *p)
{
	if (p->visible)
		put("\r\033[K");
	p->visible = false;
}
