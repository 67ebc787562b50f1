/* What the audit log tells of generations: a keyring that was lost may have had more than a backup of it. */
#include <errno.h>
#include <string.h>

#include "keymgr/internal.h"

/* A line comes without its newline, which a document has. */
static void see(void *context, const char *line, size_t n, bool good)
{
	_cleanup_json_ json_object *o = NULL;
	uint32_t *highest = context, generation;
	struct problem ignored = {0};
	char text[AUDIT_LINE_MAX];

	if (!good || n >= sizeof(text))
		return;
	memcpy(text, line, n);
	text[n] = '\n';
	if (document_parse(text, n + 1, &o, &ignored) < 0 || !json_object_object_get_ex(o, "generation", NULL) ||
	    member_u32(o, "generation", 1, &generation, &ignored) < 0)
		return;
	if (generation > *highest)
		*highest = generation;
}

uint32_t audit_highest_generation(struct store *s, int dot, const struct keyring *k)
{
	struct audit_report report;
	struct fault ignored = {0};
	uint32_t highest = GENERATION_NONE;
	int ret = audit_verify(s, dot, k, NULL, see, &highest, &report, &ignored);

	(void)ret; /* a log that is missing or broken tells less */
	return highest;
}
