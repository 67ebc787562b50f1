/* Crashes volumes and holds what is left against the durability contract.  See oracle.h for what is required, survive.h for what a crash
 * leaves.  Exits with 1 if anything was broken. */
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "campaign.h"
#ifdef COFFER_RULES
#include "fs/rules.h"
#endif

/* Of the sanitizers, where the program is built with one: stderr is the engine's log here. */
extern void __sanitizer_set_report_fd(void *fd) __attribute__((weak));

struct options {
	struct campaign c;
	const char *workload, *without, *log;
	unsigned states; /* of all workloads and models together */
	long state;      /* this one only; -1 */
	bool journal, portable;
	bool must_fail; /* to see that it can */
};

static void usage(void)
{
	puts("run [--states N] [--seed S] [--model ordered|strict|kill|all] [--workload NAME] [--journal on|off]\n"
	     "    [--portable] [--without RULE] [--state N] [--log FILE] [--must-fail] [--verbose]\n"
	     "\n"
	     "  --states N    states of all workloads and models together, second crashes not counted (5000)\n"
	     "  --state N     one state of each workload and model: what a violation names\n"
	     "  --must-fail   exit with 0 only if something was broken\n"
	     "  --log FILE    what the engine logs goes there\n"
	     "  --verbose     tell every violation; with --state, the record and what became of each call");
	exit(2);
}

static unsigned scaled(unsigned n)
{
	const char *text = getenv("COFFER_TEST_SCALE");
	unsigned by = text ? (unsigned)strtoul(text, NULL, 10) : 1;

	return by > 1 ? n / by + 1 : n;
}

static void choose_models(struct options *o, const char *name)
{
	bool any = false;

	for (int m = 0; m < MODELS; m++) {
		o->c.models[m] = strcmp(name, "all") == 0 || strcmp(name, crash_model_names[m]) == 0;
		any |= o->c.models[m];
	}
	if (!any)
		usage();
}

static void set_rule_off(const char *name)
{
#ifdef COFFER_RULES
	for (size_t i = 0; rule_names[i]; i++)
		if (strcmp(rule_names[i], name) == 0) {
			rules_off[i] = true;
			return;
		}
	printf("no rule %s; there are:", name);
	for (size_t i = 0; rule_names[i]; i++)
		printf(" %s", rule_names[i]);
	puts("");
#else
	printf("cannot do without %s: no rules can be set off in this build (run-rules can)\n", name);
#endif
	exit(2);
}

static void parse(int argc, char **argv, struct options *o)
{
	static const struct option names[] = {
		{"states", required_argument, NULL, 'n'},  {"seed", required_argument, NULL, 's'},
		{"model", required_argument, NULL, 'm'},   {"workload", required_argument, NULL, 'w'},
		{"journal", required_argument, NULL, 'j'}, {"without", required_argument, NULL, 'r'},
		{"state", required_argument, NULL, 'i'},   {"log", required_argument, NULL, 'l'},
		{"must-fail", no_argument, NULL, 'f'},     {"portable", no_argument, NULL, 'p'},
		{"verbose", no_argument, NULL, 'v'},       {0},
	};

	for (int got; (got = getopt_long(argc, argv, "", names, NULL)) != -1;) {
		if (got == 'n')
			o->states = (unsigned)strtoul(optarg, NULL, 10);
		else if (got == 's')
			o->c.seed = strtoull(optarg, NULL, 0);
		else if (got == 'm')
			choose_models(o, optarg);
		else if (got == 'w')
			o->workload = optarg;
		else if (got == 'j')
			o->journal = strcmp(optarg, "on") == 0;
		else if (got == 'r')
			o->without = optarg;
		else if (got == 'i')
			o->state = strtol(optarg, NULL, 10);
		else if (got == 'f')
			o->must_fail = true;
		else if (got == 'p')
			o->portable = true;
		else if (got == 'l')
			o->log = optarg;
		else if (got == 'v')
			o->c.verbose = true;
		else
			usage();
	}
	if (optind != argc)
		usage();
}

static void print_line(const char *workload, const struct tally t[MODELS], const bool models[MODELS])
{
	for (int m = 0; m < MODELS; m++) {
		if (!models[m])
			continue;
		printf("%-11s %-8s %5u states (%u of them second crashes, %u checked), %u violations", workload,
		       crash_model_names[m], t[m].states, t[m].second, t[m].checked, t[m].violations);
		if (t[m].unreadable)
			printf("; %u unpromised directories or names unreadable", t[m].unreadable);
		if (t[m].retried)
			printf("; %u reads tried twice", t[m].retried);
		puts("");
	}
	fflush(stdout);
}

static unsigned share_of(const struct workload *w, unsigned share)
{
	unsigned n = w->costs ? share / w->costs : share;

	return n ? n : 1;
}

static unsigned run_all(struct options *o, unsigned *states)
{
	unsigned violations = 0, share, chosen = 0;

	for (int m = 0; m < MODELS; m++)
		chosen += o->c.models[m];
	share = o->states / (chosen * (o->workload ? 1 : (unsigned)workload_count));
	for (size_t w = 0; w < workload_count; w++) {
		struct tally t[MODELS];

		if (o->workload && strcmp(o->workload, workloads[w].name) != 0)
			continue;
		o->c.workload = &workloads[w];
		if (o->state >= 0)
			campaign_run(&o->c, (unsigned)o->state, 1, t);
		else
			campaign_run(&o->c, 0, share_of(&workloads[w], share), t);
		print_line(workloads[w].name, t, o->c.models);
		for (int m = 0; m < MODELS; m++) {
			violations += t[m].violations;
			*states += t[m].states;
		}
	}
	return violations;
}

int main(int argc, char **argv)
{
	const char *seed = getenv("COFFER_TEST_SEED");
	struct options o = {.c = {.seed = seed ? strtoull(seed, NULL, 0) : 1, .complain = 1},
			    .states = 5000,
			    .state = -1,
			    .log = "/dev/null"};
	char with[128];
	struct base base;
	unsigned violations, states = 0;

	o.journal = base_can_journal();
	choose_models(&o, "all");
	parse(argc, argv, &o);
	/* To find nothing among too few states would prove nothing. */
	if (!o.must_fail)
		o.states = scaled(o.states);
	if (o.journal && !base_can_journal()) {
		puts("this build has no journal");
		return 2;
	}
	if (o.without)
		set_rule_off(o.without);
	if (o.c.verbose && o.state < 0) {
		o.c.verbose = false;
		o.c.complain = UINT32_MAX;
	}
	if (__sanitizer_set_report_fd)
		__sanitizer_set_report_fd((void *)(intptr_t)dup(STDERR_FILENO));
	if (!freopen(o.log, "w", stderr)) /* what the engine logs */
		return 2;
	snprintf(with, sizeof(with), " --journal %s%s%s%s", o.journal ? "on" : "off", o.portable ? " --portable" : "",
		 o.without ? " --without " : "", o.without ? o.without : "");
	o.c.with = with;
	base_prepare();
	base_make(&base, o.journal, o.portable);
	o.c.base = &base;
	violations = run_all(&o, &states);
	base_free(&base);
	printf("%u states, %u violations, %ld s of processor time\n", states, violations,
	       (long)(clock() / CLOCKS_PER_SEC));
	return (violations != 0) == o.must_fail ? 0 : 1;
}
