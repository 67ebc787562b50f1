/* Every update of a keyring, with an I/O error or a full disk at each of its calls: it says so in one line and leaves the old keyring, or
 * it succeeds. */
#include "fixture.h"

#include <dirent.h>

#include "keymgr/audit.h"
#include "updates.h"
#include "util/base/atomic_file.h"
#include "util/base/encode.h"

static const char *const names[] = {"keyring.json", "keyring.json.bak", "volume.json", "volume.json.bak", "audit.log"};
enum { FILES = sizeof(names) / sizeof(names[0]) };

static const struct fault_kind {
	int error;
	bool for_ever;
} kinds[] = {{EIO, false}, {EIO, true}, {ENOSPC, true}};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

struct work {
	struct updates_place p;
	int data;
	struct text files[FILES], memory, backup;
	char memory_file[64];
	struct keys *old;
	uint64_t sequence;
	char where[128];
};

static void start(struct work *w)
{
	char *here = getcwd(NULL, 0), path[4096], id[2 * VOLUME_ID_SIZE + 1];
	struct fault why = {0};
	struct volume v;

	*w = (struct work){0};
	snprintf(path, sizeof(path), "%s/state", here);
	free(here);
	ck_assert_int_eq(setenv("COFFER_STATE_DIR", path, 1), 0);
	volume_make(&v);
	w->p = (struct updates_place){.s = store_posix_new(), .k = open_volume(&v)};
	volume_close(&v);
	ck_assert_int_eq(volume_open_dir(w->p.s, "vol", &w->p.dot, &w->data, &why), 0);
	ck_assert_msg(updates_prepare(&w->p, &why) == 0, "%s", why.text);
	hex_encode(w->p.k->settings.volume_id, VOLUME_ID_SIZE, id);
	snprintf(w->memory_file, sizeof(w->memory_file), "state/%s.json", id);
	for (int i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "vol/.coffer/%s", names[i]);
		w->files[i] = slurp(path);
	}
	w->memory = slurp(w->memory_file);
	w->backup = (struct text){w->p.backup, w->p.backup_size};
	w->p.backup = NULL;
	w->old = keyring_keys(w->p.k);
	w->sequence = w->p.k->sequence;
}

static void end(struct work *w)
{
	keys_unref(w->old);
	for (int i = 0; i < FILES; i++)
		free(w->files[i].b);
	free(w->memory.b);
	free(w->backup.b);
	free(w->p.backup);
	keyring_free(&w->p.k);
	store_close(w->p.s, w->p.dot);
	store_close(w->p.s, w->data);
	w->p.s->ops->destroy(w->p.s);
}

/* As at the start, and unlocked. */
static void again(struct work *w)
{
	struct fault why = {0};
	char path[64];

	for (int i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "vol/.coffer/%s", names[i]);
		spill(path, w->files[i].b, w->files[i].n);
	}
	spill(w->memory_file, w->memory.b, w->memory.n);
	ck_assert_int_eq(erase_temporaries(w->p.s, w->p.dot), 0);
	free(w->p.backup);
	w->p.backup = malloc(w->backup.n + 1);
	memcpy(w->p.backup, w->backup.b, w->backup.n);
	w->p.backup_size = w->backup.n;
	keyring_free(&w->p.k);
	ck_assert_msg(updates_open(w->p.s, w->p.dot, &w->p.k, &why) == 0, "%s", why.text);
	ck_assert_msg(updates_enter(&w->p, &why) == 0, "%s", why.text);
}

static unsigned leftovers(void)
{
	DIR *d = opendir("vol/.coffer");
	struct dirent *e;
	unsigned n = 0;

	while ((e = readdir(d)))
		n += strncmp(e->d_name, ATOMIC_FILE_PREFIX, strlen(ATOMIC_FILE_PREFIX)) == 0;
	closedir(d);
	return n;
}

static void holds_all(const struct work *w, uint32_t but)
{
	for (uint32_t i = 0; i < w->old->count; i++) {
		const struct generation *g = generation_find(w->p.k, w->old->generations[i].number);

		ck_assert_msg(g && (g->number == but || g->state != KEY_DESTROYED), "%s: generation %u is lost",
			      w->where, w->old->generations[i].number);
	}
}

static void is_well(struct work *w, const struct update *u)
{
	struct audit_report report;
	struct fault why = {0};

	holds_all(w, u->wiped);
	ck_assert_msg(updates_enter_after(&w->p, u, &why) == 0, "%s: %s", w->where, why.text);
	ck_assert_msg(updates[1].run(&w->p, &why) == 0, "%s: %s", w->where, why.text);
	ck_assert_msg(audit_verify(w->p.s, w->p.dot, w->p.k, NULL, NULL, NULL, &report, &why) == 0, "%s: %s", w->where,
		      why.text);
}

/* One update with the n-th call failing; false: there is no n-th. */
static bool with_fault(struct work *w, const struct update *u, const struct fault_kind *kind, long n)
{
	struct failing_store f;
	struct store *real = w->p.s;
	struct fault why = {0};
	bool failed;
	int ret;

	snprintf(w->where, sizeof(w->where), "%s, %s%s at call %ld", u->name, strerrorname_np(kind->error),
		 kind->for_ever ? " for ever" : "", n);
	again(w);
	log_clear();
	failing_store_init(&f, n, kind->error, kind->for_ever);
	w->p.s = &f.store;
	ret = u->run(&w->p, &why);
	w->p.s = real;
	failed = f.allowed < 0;
	f.real->ops->destroy(f.real);
	keyring_free(&w->p.k);
	if (ret < 0) {
		ck_assert_msg(failed && why.status != EXIT_OK && *why.text && !strchr(why.text, '\n'), "%s: \"%s\"",
			      w->where, why.text);
	}
	bool old_stays = ret < 0 && !strstr(why.text, "a power cut may take it back");
	ck_assert_msg(updates_open(w->p.s, w->p.dot, &w->p.k, &why) == 0, "%s: %s", w->where, why.text);
	if (old_stays && u->changes < 2)
		ck_assert_msg(w->p.k->sequence == w->sequence, "%s: it was made all the same", w->where);
	if (ret == 0 && u->changes)
		ck_assert_msg(w->p.k->sequence > w->sequence, "%s: it was not made", w->where);
	if (!kind->for_ever || kind->error == ENOSPC)
		ck_assert_msg(leftovers() == 0, "%s: temporary files are left", w->where);
	is_well(w, u);
	return failed;
}

START_TEST(each_call_fails)
{
	struct work w;

	start(&w);
	for (int kind = 0; kind < KINDS; kind++)
		for (long n = 0; with_fault(&w, &updates[_i], &kinds[kind], n); n++)
			if (getenv("COFFER_TEST_SCALE"))
				n += 2;
	end(&w);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("faults");

	tcase_add_loop_test(t, each_call_fails, 0, (int)update_count);
	return run_suite("faults", t);
}
