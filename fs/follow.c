#include "fs/follow.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	PROC_PATH = 32,
	STAT_TEXT = 1024,
	BEFORE_PROCESSOR = 37, /* proc(5): field 39, of which the second, a name in parentheses, may contain anything */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool stays; /* COFFER_NO_FOLLOW is set: to measure what it is worth */

static _Thread_local uint32_t last_asker;
static _Thread_local unsigned in_a_row;

int follow_processor_of(uint32_t thread)
{
	char path[PROC_PATH], text[STAT_TEXT];
	int fd;
	ssize_t n;

	snprintf(path, sizeof path, "/proc/%u/stat", thread);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof text - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;

	const char *at = strrchr(text, ')');

	for (int i = 0; at && i < BEFORE_PROCESSOR; i++)
		at = strchr(at + 1, ' ');
	return at ? (int)strtol(at + 1, NULL, 10) : -1;
}

/* Only there for a moment, which moves it; then wherever it may be. */
static void move_to(int processor)
{
	cpu_set_t all, one;

	if (processor < 0 || processor >= CPU_SETSIZE || processor == sched_getcpu())
		return;
	if (sched_getaffinity(0, sizeof all, &all) < 0 || !CPU_ISSET(processor, &all))
		return;
	CPU_ZERO(&one);
	CPU_SET(processor, &one);
	if (sched_setaffinity(0, sizeof one, &one) == 0)
		(void)sched_setaffinity(0, sizeof all, &all);
}

static void look_at_environment(void)
{
	stays = getenv("COFFER_NO_FOLLOW");
}

void follow_answered(uint32_t asker, uint64_t nanoseconds)
{
	if (asker == 0 || nanoseconds > FOLLOW_BELOW_NS)
		return;
	if (asker != last_asker) {
		last_asker = asker;
		in_a_row = 0;
		return;
	}
	if (++in_a_row % FOLLOW_EVERY != 0)
		return;
	pthread_once(&once, look_at_environment);
	if (!stays)
		move_to(follow_processor_of(asker));
}
