#include "util/cli/settle.h"

#include <errno.h>

#include "fs/engine.h"
#include "fs/journal.h"

int settle(const struct cli_volume *v, struct keys *keys, struct fault *why)
{
	const struct engine_options o = {.journal = true, .commit_seconds = UINT32_MAX};
	struct engine *e = NULL;

	int r = engine_start(v->store, v->dot, v->data, keyring_settings(v->keyring),
			     keyring_root_directory(v->keyring), keys, &o, &e, why);
	if (r < 0)
		return r;
	r = engine_stop(&e);
	return r < 0 ? fault_errno(why, EXIT_STORE, r, "cannot bring the journal in place") : 0;
}

/* A volume may be without a journal. */
static int is_clean(const struct cli_volume *v, const struct keys *keys, bool *clean, struct fault *why)
{
	struct journal *j;

	*clean = true;
	int r = journal_open(v->store, v->dot, keyring_settings(v->keyring), keys, true, &j);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return fault_errno(why, r == -EBADMSG ? EXIT_DAMAGED : EXIT_STORE, r,
				   "cannot read .coffer/journal; see: coffer check %s", v->dir);
	*clean = journal_state(j)->clean;
	journal_close(&j);
	return 0;
}

static int settle_with(const struct cli_volume *v, struct keys *keys, struct fault *why)
{
	bool clean;

	int r = is_clean(v, keys, &clean, why);
	if (r < 0 || clean)
		return r;
	r = settle(v, keys, why);
	if (r == 0)
		r = is_clean(v, keys, &clean, why);
	if (r < 0 || clean)
		return r;
	return fault_set(why, EXIT_REFUSED, EBUSY,
			 "the journal holds what cannot be brought in place now: see what a mount of %s says", v->dir);
}

int settle_journal(const struct cli_volume *v, struct fault *why)
{
	struct keys *keys = keyring_keys(v->keyring);

	if (!keys)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory for the keys");
	int r = settle_with(v, keys, why);
	keys_unref(keys);
	return r;
}
