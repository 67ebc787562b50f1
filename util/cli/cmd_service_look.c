/* service volumes, service volume accept, service audit: what the key service knows. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/cli/service.h"

/* ------------------------------------------------------------------ volumes */

static void print_volume(json_object *v)
{
	printf("%s  key %s  root %s", service_text(v, "volume"), service_text(v, "key"), service_text(v, "root"));
	if (*service_text(v, "next"))
		printf(" (next: %s)", service_text(v, "next"));
	if (*service_text(v, "seen"))
		printf("\n    mounted by %s, seen %s, root under version %s", service_text(v, "client"),
		       service_text(v, "seen"), service_text(v, "version"));
	if (*service_text(v, "host"))
		printf("\n    on %s, coffer %s, generation %s", service_text(v, "host"), service_text(v, "coffer"),
		       service_text(v, "generation"));
	if (*service_text(v, "floor") && strcmp(service_text(v, "floor"), service_text(v, "generation")) != 0)
		printf(" (accepts %s and later)", service_text(v, "floor"));
	if (*service_text(v, "rotated"))
		printf(", active ones from %s on", service_text(v, "rotated"));
	if (*service_text(v, "reencryption_percent"))
		printf(", re-encrypted to %s %%", service_text(v, "reencryption_percent"));
	if (*service_text(v, "host") && *service_text(v, "backup_days"))
		printf(", last verified backup %s days old", service_text(v, "backup_days"));
	else if (*service_text(v, "host"))
		printf(", no verified backup");
	if (*service_text(v, "behind"))
		printf("\n    %s", strcmp(service_text(v, "behind"), "true") == 0 ? "behind the policy of its key"
										  : "as the policy of its key says");
	putchar('\n');
}

/* Those of one key, with its name, behind those that are there. */
static int gather(struct service_work *w, const char *key, json_object *all, struct fault *why)
{
	_cleanup_service_answer_ struct service_answer a = {0};
	json_object *array;

	int r = service_do(w, SERVICE_GET, NULL, &a, why, "keys/%s/volumes", key);
	if (r < 0)
		return r;
	if (!json_object_object_get_ex(a.body, "volumes", &array) || !json_object_is_type(array, json_type_array))
		return fault_set(why, EXIT_FAILED, EPROTO, "the key service answered without volumes");
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		json_object *v = json_object_array_get_idx(array, i);

		json_add_text(v, "key", key);
		json_object_array_add(all, json_object_get(v));
	}
	return 0;
}

static int gather_all(struct service_work *w, json_object *all, struct fault *why)
{
	_cleanup_service_answer_ struct service_answer a = {0};
	json_object *array;

	int r = service_do(w, SERVICE_GET, NULL, &a, why, "keys");
	if (r < 0 || !json_object_object_get_ex(a.body, "keys", &array) || !json_object_is_type(array, json_type_array))
		return r;
	for (size_t i = 0; r == 0 && i < json_object_array_length(array); i++)
		r = gather(w, service_text(json_object_array_get_idx(array, i), "name"), all, why);
	return r;
}

int cmd_service_volumes(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_service_work_ struct service_work w = {0};
	struct words words;

	int r = service_start(v, argc, argv, 0, 1, &w, &words, why);
	if (r)
		return r;
	json_object *o = json_object_new_object(), *all = json_object_new_array();
	json_object_object_add(o, "volumes", all);
	r = words.count ? gather(&w, words.at[0], all, why) : gather_all(&w, all, why);
	if (r == 0 && w.json) {
		json_print(o);
		return 0;
	}
	if (r == 0)
		service_each(o, "volumes", print_volume);
	json_object_put(o);
	return r;
}

int cmd_service_volume_accept(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_service_work_ struct service_work w = {0};
	struct words words;

	int r = service_start(v, argc, argv, 3, 3, &w, &words, why);
	if (r)
		return r;
	/* Fingerprints are printed in groups; that is how people give them. */
	char root[64] = "";
	size_t used = 0;
	for (const char *at = words.at[2]; *at && used + 1 < sizeof root; at++)
		if (*at != ' ' && *at != '-' && *at != ':')
			root[used++] = *at;
	json_object *body = json_object_new_object();
	json_add_text(body, "root", root);
	return service_show(&w, SERVICE_POST, body, print_volume, why, "keys/%s/volumes/%s/accept", words.at[0],
			    words.at[1]);
}

/* ------------------------------------------------------------------ the log */

struct reading {
	struct service_work w;
	int from;
	uint64_t next, last;
	int (*take)(struct reading *r, json_object *line, struct fault *why);
	FILE *to;         /* export */
	json_object *all; /* show --json */
	FILE *before;     /* verify --against */
	uint64_t compared;
	char before_text[4200];
};

/* As it stands in the log, to the byte: format-audit.md section 1. */
static const char *line_text(json_object *line)
{
	return json_object_to_json_string_ext(line, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

static int read_some(struct reading *r, struct fault *why)
{
	_cleanup_service_answer_ struct service_answer a = {0};
	json_object *array, *last;

	int ret = service_do(&r->w, SERVICE_GET, NULL, &a, why, "audit/%" PRIu64, r->next);
	if (ret < 0)
		return ret;
	if (!json_object_object_get_ex(a.body, "lines", &array) || !json_object_is_type(array, json_type_array) ||
	    !json_object_object_get_ex(a.body, "last", &last))
		return fault_set(why, EXIT_FAILED, EPROTO, "the key service answered without lines");
	r->last = json_object_get_uint64(last);
	for (size_t i = 0; ret == 0 && i < json_object_array_length(array); i++) {
		json_object *line = json_object_array_get_idx(array, i), *n;
		uint64_t number = json_object_object_get_ex(line, "n", &n) ? json_object_get_uint64(n) : 0;

		if (number != r->next)
			return fault_set(why, EXIT_DAMAGED, EBADMSG,
					 "the key service's log: line %" PRIu64 " stands where %" PRIu64 " should be",
					 number, r->next);
		ret = r->take(r, line, why);
		r->next++;
	}
	if (ret == 0 && json_object_array_length(array) == 0 && r->next <= r->last)
		return fault_set(why, EXIT_DAMAGED, EBADMSG, "the key service's log ends before its last line");
	return ret;
}

static int read_log(struct reading *r, struct fault *why)
{
	int ret;

	r->next = r->from > 0 ? (uint64_t)r->from : 1;
	do
		ret = read_some(r, why);
	while (ret == 0 && r->next <= r->last);
	return ret;
}

static bool is_plain(const char *name)
{
	static const char *const plain[] = {"n", "at", "event", "mac", "client", "name", "peer", "rows"};

	for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
		if (strcmp(plain[i], name) == 0)
			return true;
	return false;
}

static int show_line(struct reading *r, json_object *line, struct fault *why)
{
	(void)why;
	if (r->all) {
		json_object_array_add(r->all, json_object_get(line));
		return 0;
	}
	printf("%6s  %s  %-16s", service_text(line, "n"), service_text(line, "at"), service_text(line, "event"));
	json_object_object_foreach(line, name, value)
	{
		if (!is_plain(name))
			printf(" %s=%s", name, json_object_get_string(value));
	}
	if (*service_text(line, "peer"))
		printf("  by %s from %s\n",
		       *service_text(line, "name") ? service_text(line, "name") : service_text(line, "client"),
		       service_text(line, "peer"));
	else
		puts("  by the service");
	return 0;
}

int cmd_service_audit_show(const struct verb *v, int argc, char **argv, struct fault *why)
{
	struct reading g = {.take = show_line};
	const struct option_spec specs[] = {OPTIONS_SERVICE(&g.w), {OPTION_NUMBER, 0, 0, "from", &g.from}, {0}};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 0, 0, &words, why);
	if (r)
		return r;
	r = service_begin(&g.w, why);
	g.all = g.w.json ? json_object_new_array() : NULL;
	if (r == 0)
		r = read_log(&g, why);
	if (r == 0 && g.all)
		json_print(json_object_get(g.all));
	json_object_put(g.all);
	service_work_close(&g.w);
	return r;
}

static int export_line(struct reading *r, json_object *line, struct fault *why)
{
	if (fprintf(r->to, "%s\n", line_text(line)) < 0)
		return fault_errno(why, EXIT_FAILED, -errno, "cannot write the log");
	return 0;
}

static int export_to(struct reading *g, const char *file, struct fault *why)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	g->to = fd < 0 ? NULL : fdopen(fd, "w");
	if (!g->to)
		return fault_errno(why, EXIT_FAILED, -errno, "cannot make %s", file);
	int r = read_log(g, why);
	if ((fflush(g->to) != 0 || fsync(fd) < 0 || ferror(g->to)) && r == 0)
		r = fault_errno(why, EXIT_FAILED, errno ? -errno : -EIO, "cannot write %s", file);
	fclose(g->to);
	return r;
}

int cmd_service_audit_export(const struct verb *v, int argc, char **argv, struct fault *why)
{
	struct reading g = {.take = export_line, .to = stdout};
	const char *file = NULL;
	const struct option_spec specs[] = {OPTIONS_SERVICE(&g.w),
					    {OPTION_NUMBER, 0, 0, "from", &g.from},
					    {OPTION_TEXT, 'o', 0, "output", &file},
					    {0}};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 0, 0, &words, why);
	if (r)
		return r;
	r = service_begin(&g.w, why);
	if (r == 0)
		r = file ? export_to(&g, file, why) : read_log(&g, why);
	if (r == 0 && file && g.w.json) {
		json_object *o = json_object_new_object();

		json_add_text(o, "file", file);
		json_add_number(o, "last", g.last);
		json_print(o);
	}
	service_work_close(&g.w);
	return r;
}

/* An export from before has to be the beginning of the log still. */
static int compare_line(struct reading *r, json_object *line, struct fault *why)
{
	const char *text = line_text(line);

	if (!r->before)
		return 0;
	if (!fgets(r->before_text, sizeof r->before_text, r->before)) {
		fclose(r->before);
		r->before = NULL;
		return 0;
	}
	r->before_text[strcspn(r->before_text, "\n")] = '\0';
	if (strcmp(r->before_text, text) != 0)
		return fault_set(why, EXIT_DAMAGED, EBADMSG,
				 "the key service's log: line %" PRIu64
				 " is not the one that was exported: somebody has "
				 "put another log in its place",
				 r->next);
	r->compared++;
	return 0;
}

static int verify(struct reading *g, const char *against, struct fault *why)
{
	g->before = against ? fopen(against, "re") : NULL;
	if (against && !g->before)
		return fault_errno(why, EXIT_USAGE, -errno, "cannot read %s", against);
	int r = read_log(g, why);
	if (r == 0 && g->before && fgets(g->before_text, sizeof g->before_text, g->before))
		r = fault_set(why, EXIT_DAMAGED, EBADMSG,
			      "the key service's log ends at line %" PRIu64
			      ", and the export goes on: an older log was put in "
			      "its place",
			      g->last);
	if (g->before)
		fclose(g->before);
	return r;
}

int cmd_service_audit_verify(const struct verb *v, int argc, char **argv, struct fault *why)
{
	struct reading g = {.take = compare_line};
	const char *against = NULL;
	const struct option_spec specs[] = {OPTIONS_SERVICE(&g.w), {OPTION_TEXT, 0, 0, "against", &against}, {0}};
	struct words words;

	int r = options_parse(v, argc, argv, specs, 0, 0, &words, why);
	if (r)
		return r;
	r = service_begin(&g.w, why);
	if (r == 0)
		r = verify(&g, against, why);
	if (r == 0 && g.w.json) {
		json_object *o = json_object_new_object();

		json_add_number(o, "lines", g.last);
		json_add_number(o, "compared", g.compared);
		json_print(o);
	} else if (r == 0) {
		printf("%" PRIu64 " lines, none missing", g.last);
		if (against)
			printf("; %" PRIu64 " of them as they were exported", g.compared);
		putchar('\n');
	}
	service_work_close(&g.w);
	return r;
}
