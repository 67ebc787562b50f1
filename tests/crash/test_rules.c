/* Each rule of the journal that can be switched off, by a directed trace: with the rule the contract holds, without it the same acts and the same
 * losses break it, and that is seen.
 *
 *     test_rules [--verbose] [RULE] COFFER_TEST_TRACE=1: what became of each call; COFFER_TEST_LOG=FILE: what the engine logs */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rules_traces.h"

enum { TEXT = sizeof(((struct examined *)0)->text), SECONDS = 60 };

static const struct {
	const struct directed *list;
	const size_t *count;
} groups[] = {
	{writing_traces, &writing_count},
	{checkpoint_traces, &checkpoint_count},
	{name_traces, &name_count},
	{recovery_traces, &recovery_count},
};
enum { GROUPS = sizeof(groups) / sizeof(groups[0]) };

static void play(const struct directed *d, char text[TEXT])
{
	struct base base;
	struct trace t;

	base_prepare();
	base_make(&base, true, false);
	trace_start(&t, &base);
	d->play(&t);
	trace_judge(&t);
	snprintf(text, TEXT, "%s", t.x.text);
	trace_free(&t);
	base_free(&base);
}

/* In a process of its own, as an engine without one of its rules may do anything.  (Secrets do not outlive a fork: there is no common volume.)  text: empty, or what was broken. */
static void play_apart(const struct directed *d, bool without, char text[TEXT])
{
	int ends[2], status = 0;
	pid_t pid;

	if (pipe(ends) < 0 || (pid = fork()) < 0)
		abort();
	if (pid == 0) {
		alarm(SECONDS);
		if (without)
			rules_off[d->rule] = true;
		play(d, text);
		if (write(ends[1], text, TEXT) != TEXT)
			_exit(2);
		fflush(stdout);
		_exit(0);
	}
	close(ends[1]);
	if (read(ends[0], text, TEXT) != TEXT)
		text[0] = 0;
	close(ends[0]);
	waitpid(pid, &status, 0);
	if (status)
		snprintf(text, TEXT, "the program ended with status %d", status);
}

static bool holds(const struct directed *d, bool verbose)
{
	const char *name = d->rule < RULES ? rule_names[d->rule] : "no switch";
	char text[TEXT] = "";

	play_apart(d, false, text);
	if (text[0]) {
		printf("%s, %s: broken: %s\n", name, d->what, text);
		fflush(stdout);
		return false;
	}
	if (d->rule == RULES)
		return true;
	play_apart(d, true, text);
	if (!text[0])
		printf("%s, %s: holds without the rule as well\n", name, d->what);
	else if (verbose)
		printf("%s, %s; without it: %s\n", name, d->what, text);
	fflush(stdout);
	return text[0];
}

static unsigned run_all(const char *only, bool verbose)
{
	bool found[RULES] = {false};
	unsigned failed = 0;

	for (unsigned g = 0; g < GROUPS; g++)
		for (size_t i = 0; i < *groups[g].count; i++) {
			const struct directed *d = &groups[g].list[i];

			if (d->rule < RULES)
				found[d->rule] = true;
			if (!only || (d->rule < RULES && strcmp(only, rule_names[d->rule]) == 0))
				failed += !holds(d, verbose);
		}
	/* No switch without a trace. */
	for (int rule = 0; rule < RULES; rule++)
		if (!found[rule]) {
			printf("no trace is about %s\n", rule_names[rule]);
			failed++;
		}
	return failed;
}

int main(int argc, char **argv)
{
	bool verbose = argc > 1 && strcmp(argv[1], "--verbose") == 0;
	const char *only = argc > 1 + verbose ? argv[1 + verbose] : NULL;
	unsigned failed;

	if (!freopen(getenv("COFFER_TEST_LOG") ? getenv("COFFER_TEST_LOG") : "/dev/null", "w",
		     stderr)) /* what the engine logs */
		return 2;
	failed = run_all(only, verbose);
	printf("%d rules, %u traces failed\n", RULES, failed);
	return failed ? 1 : 0;
}
