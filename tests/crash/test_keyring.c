/* Every update of a keyring, killed and cut off behind every call: one of the two keyrings has to be there afterwards, with all of its
 * keys; the host must not refuse it, the audit log must verify, and life must go on. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crash_store.h"
#include "keymgr/audit.h"
#include "keymgr/testing.h"
#include "survive.h"
#include "tests/keymgr/updates.h"
#include "util/base/encode.h"

#define VOLUME "crash-keyring" /* must not exist where the program runs, and nothing is made there */

enum { DRAWS = 4, TEXT_ROOM = 64 << 10 };

/* What a host remembers of the volume; lies in a real file. */
struct memory {
	char text[TEXT_ROOM];
	size_t n;
};

static char state_dir[64], memory_file[160];
static struct image base;
static struct memory base_memory;
static char *base_backup;
static size_t base_backup_size;

/* --- the host's memory */

static void memory_read(struct memory *m)
{
	int fd = open(memory_file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, m->text, sizeof(m->text));

	ck_assert_int_ge(n, 0);
	ck_assert_int_lt(n, TEXT_ROOM);
	m->n = (size_t)n;
	if (fd >= 0)
		close(fd);
}

static void memory_write(const struct memory *m)
{
	int fd = open(memory_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, m->text, m->n), (ssize_t)m->n);
	close(fd);
}

/* --- a volume on a store */

struct life {
	struct crash_store *cs;
	struct updates_place p;
	int data;
};

static void life_open(struct life *l, struct crash_store *cs)
{
	struct fault why = {0};

	*l = (struct life){.cs = cs, .p.s = crash_store_ops(cs)};
	ck_assert_msg(volume_open_dir(l->p.s, VOLUME, &l->p.dot, &l->data, &why) == 0, "%s", why.text);
}

static void life_close(struct life *l)
{
	keyring_free(&l->p.k);
	free(l->p.backup);
	store_close(l->p.s, l->p.dot);
	store_close(l->p.s, l->data);
	ck_assert_uint_eq(crash_store_handles(l->cs), 0);
	crash_store_free(l->cs);
}

static void setup(void)
{
	static const struct argon2_cost cheap = {.t = 1, .m_kib = 8, .p = 1};
	struct unlock_secret secret;
	struct new_volume how = {.secrets = &secret, .secret_count = 1};
	const char *top = getenv("TMPDIR");
	struct fault why = {0};
	char id[2 * VOLUME_ID_SIZE + 1];
	struct image empty;
	struct life l;
	struct crash_store *cs;

	ck_assert_int_lt(snprintf(state_dir, sizeof(state_dir), "%s/coffer-crash-XXXXXX", top ? top : "/tmp"),
			 (int)sizeof(state_dir));
	ck_assert_ptr_nonnull(mkdtemp(state_dir));
	ck_assert_int_eq(setenv("COFFER_STATE_DIR", state_dir, 1), 0);
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr)); /* warnings of second copies, by the thousand */
	ck_assert_int_eq(crypto_start(), 0);
	ck_assert_int_eq(secret_start(1 << 20), 0);
	keyring_set_argon2_for_tests(&cheap);
	secret = (struct unlock_secret){.kind = SECRET_PASSPHRASE, .bytes = secret_new(strlen(UPDATES_PASSPHRASE))};
	memcpy(secret.bytes->bytes, UPDATES_PASSPHRASE, secret.bytes->size);
	image_init(&empty, 0);
	cs = crash_store_new(&empty);
	image_free(&empty);
	struct keyring *k;
	ck_assert_msg(volume_init_on(crash_store_ops(cs), VOLUME, &how, &k, &why) == 0, "%s", why.text);
	hex_encode(k->settings.volume_id, VOLUME_ID_SIZE, id);
	snprintf(memory_file, sizeof(memory_file), "%s/%s.json", state_dir, id);
	life_open(&l, cs);
	l.p.k = k;
	ck_assert_msg(updates_prepare(&l.p, &why) == 0, "%s", why.text);
	unlock_secret_wipe(&secret);
	base_backup = l.p.backup;
	base_backup_size = l.p.backup_size;
	l.p.backup = NULL;
	image_copy(&base, crash_store_image(cs));
	memory_read(&base_memory);
	life_close(&l);
}

static void teardown(void)
{
	char lock[96];

	snprintf(lock, sizeof(lock), "%s/lock", state_dir);
	free(base_backup);
	image_free(&base);
	secret_stop();
	unlink(memory_file);
	unlink(lock);
	rmdir(state_dir);
}

/* --- what has to be */

/* One update that was let run to its end. */
struct run {
	const struct update *u;
	struct life l;
	size_t first, told, end; /* calls: before it, when the host had been told of its last change, all */
	struct memory before, after;
	struct keys *old, *new;
	uint64_t old_sequence, new_sequence;
};

static struct run *running;

static void committed(void)
{
	running->told = crash_store_count(running->l.cs);
}

struct state {
	const struct run *r;
	struct cut cut;
	const struct memory *memory;
	char where[160];
};

#define MUST(s, condition, ...)                                                                                        \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			char text_[640];                                                                               \
			snprintf(text_, sizeof(text_), __VA_ARGS__);                                                   \
			ck_abort_msg("%s: %s", (s)->where, text_);                                                     \
		}                                                                                                      \
	} while (0)

/* Every key of `all` is there, but the one that goes. */
static void must_hold(const struct state *s, const struct keyring *k, const struct keys *all)
{
	struct keys *have = keyring_keys(k);

	MUST(s, have, "no keys");
	for (uint32_t i = 0; i < all->count; i++) {
		const struct generation_key *want = &all->generations[i];
		const struct generation *g = generation_find(k, want->number);
		uint32_t at = 0;

		if (want->number == s->r->u->wiped || want->state == KEY_DESTROYED)
			continue;
		MUST(s, g && g->state != KEY_DESTROYED, "generation %u is lost", want->number);
		while (at < have->count && have->generations[at].number != want->number)
			at++;
		if (want->prk && at < have->count && have->generations[at].prk)
			MUST(s, memcmp(want->prk->bytes, have->generations[at].prk->bytes, SHA256_SIZE) == 0,
			     "generation %u has another key", want->number);
	}
	MUST(s,
	     memcmp(have->directory_key->bytes, all->directory_key->bytes, KEY_SIZE) == 0 ||
		     memcmp(have->directory_key->bytes, s->r->old->directory_key->bytes, KEY_SIZE) == 0 ||
		     memcmp(have->directory_key->bytes, s->r->new->directory_key->bytes, KEY_SIZE) == 0,
	     "another directory key");
	keys_unref(have);
}

static void must_verify(const struct state *s, const struct life *l)
{
	struct audit_report report;
	struct fault why = {0};

	int ret = audit_verify(l->p.s, l->p.dot, l->p.k, NULL, NULL, NULL, &report, &why);
	MUST(s, ret == 0 && report.problems == 0, "the audit log: %s", why.text);
}

static void must_be_right(struct state *s)
{
	const struct run *r = s->r;
	bool whole = s->cut.calls >= r->told;
	struct fault why = {0};
	struct image left;
	struct life l;
	uint64_t was;

	memory_write(s->memory);
	survive(&base, crash_store_record(r->l.cs), &s->cut, &left, NULL);
	if (s->cut.pages) {
		struct call part;

		survive_part(&crash_store_record(r->l.cs)->calls[s->cut.calls], s->cut.pages, &part);
		image_apply(&left, &part);
		call_free(&part);
	}
	life_open(&l, crash_store_new(&left));
	image_free(&left);
	MUST(s, updates_open(l.p.s, l.p.dot, &l.p.k, &why) == 0, "it does not open: %s", why.text);
	was = l.p.k->sequence;
	MUST(s, was >= r->old_sequence && was <= r->new_sequence, "change %ju is there", (uintmax_t)was);
	must_hold(s, l.p.k, r->old);
	if (whole)
		MUST(s, was == r->new_sequence, "a change that was reported is gone");
	if (was == r->new_sequence)
		must_hold(s, l.p.k, r->new);
	int entered = updates_enter_after(&l.p, r->u, &why);
	MUST(s, entered == 0, "refused: %s", why.text);
	must_verify(s, &l);
	/* And on it goes: the next change makes both copies right. */
	MUST(s, updates[1].run(&l.p, &why) == 0, "no further change: %s", why.text);
	keyring_free(&l.p.k);
	MUST(s, updates_open(l.p.s, l.p.dot, &l.p.k, &why) == 0, "it does not open any more: %s", why.text);
	MUST(s, l.p.k->sequence > was, "the further change is gone");
	must_hold(s, l.p.k, r->old);
	must_verify(s, &l);
	life_close(&l);
}

/* --- which states */

static void examine(struct state *s)
{
	const struct run *r = s->r;

	for (int m = 0; m < 2; m++) {
		/* The host is told behind the last call of a change, and before anything that follows. */
		if (m == 0 ? s->cut.calls > r->told : s->cut.calls < r->told)
			continue;
		s->memory = m ? &r->after : &r->before;
		snprintf(s->where, sizeof(s->where), "%s, %s behind call %zu of %zu, %s, seed %ju, memory %s",
			 r->u->name, crash_model_names[s->cut.model], s->cut.calls - r->first, r->end - r->first,
			 crash_choice_names[s->cut.choice], (uintmax_t)s->cut.seed, m ? "after" : "before");
		must_be_right(s);
	}
}

static void kill_at(const struct run *r, size_t n)
{
	struct state s = {.r = r, .cut = {.model = MODEL_KILL, .calls = n}};
	size_t parts = n < r->end ? survive_parts(crash_store_record(r->l.cs), n) : 0;

	for (; s.cut.pages <= parts; s.cut.pages++)
		examine(&s);
}

static void cut_at(const struct run *r, size_t n, int draws)
{
	for (int model = MODEL_ORDERED; model <= MODEL_STRICT; model++) {
		struct state s = {.r = r, .cut = {.model = (enum crash_model)model, .calls = n}};

		for (int i = 0; i < 2 + draws; i++) {
			s.cut.choice = i == 0 ? CHOICE_ALL : i == 1 ? CHOICE_NONE : CHOICE_RANDOM;
			s.cut.seed = mix(n, (uint64_t)i);
			examine(&s);
		}
	}
}

static struct keys *keys_of(const struct life *l)
{
	struct keys *keys = keyring_keys(l->p.k);

	ck_assert_ptr_nonnull(keys);
	return keys;
}

static void run_begin(struct run *r, const struct update *u)
{
	struct fault why = {0};

	*r = (struct run){.u = u};
	memory_write(&base_memory);
	life_open(&r->l, crash_store_new(&base));
	r->l.p.backup = malloc(base_backup_size + 1);
	ck_assert_ptr_nonnull(r->l.p.backup);
	memcpy(r->l.p.backup, base_backup, base_backup_size);
	r->l.p.backup_size = base_backup_size;
	ck_assert_msg(updates_open(r->l.p.s, r->l.p.dot, &r->l.p.k, &why) == 0, "%s", why.text);
	ck_assert_msg(u->run == updates_enter || updates_enter(&r->l.p, &why) == 0, "%s", why.text);
	r->first = crash_store_count(r->l.cs);
	memory_read(&r->before);
	r->old = keys_of(&r->l);
	r->old_sequence = r->l.p.k->sequence;
	running = r;
	updates_committed = committed;
	ck_assert_msg(u->run(&r->l.p, &why) == 0, "%s: %s", u->name, why.text);
	updates_committed = NULL;
	memory_read(&r->after);
	r->end = crash_store_count(r->l.cs);
	if (!r->told)
		r->told = r->end;
	r->new = keys_of(&r->l);
	r->new_sequence = r->l.p.k->sequence;
}

static int scale(void)
{
	const char *text = getenv("COFFER_TEST_SCALE");

	return text && atoi(text) > 0 ? atoi(text) : 1;
}

START_TEST(at_every_call)
{
	static struct run r;
	int draws = DRAWS / scale() > 1 ? DRAWS / scale() : 1;

	run_begin(&r, &updates[_i]);
	for (size_t n = r.first; n <= r.end; n++) {
		kill_at(&r, n);
		cut_at(&r, n, draws);
	}
	keys_unref(r.old);
	keys_unref(r.new);
	life_close(&r.l);
}
END_TEST

static bool has_text(const struct image *m, const char *text)
{
	size_t n = strlen(text);
	bool found = false;

	for (uint32_t ino = 1; ino < m->count; ino++) {
		const struct inode *i = image_inode(m, ino);
		char *content = i && S_ISREG(i->mode) ? malloc(i->size + 1) : NULL;

		if (!content)
			continue;
		pages_read(&i->data, (uint8_t *)content, i->size, 0);
		found |= memmem(content, i->size, text, n) != NULL;
		free(content);
	}
	return found;
}

/* Also where a change before it was killed and has left a file with the wrapped key behind. */
START_TEST(a_destroyed_key_is_in_no_file)
{
	static struct run r;
	struct cut cut = {.model = MODEL_KILL};

	run_begin(&r, &updates[1]);
	for (cut.calls = r.first; cut.calls <= r.end; cut.calls++) {
		struct fault why = {0};
		struct image left;
		struct life l;
		char *wrapped;

		memory_write(&r.before);
		survive(&base, crash_store_record(r.l.cs), &cut, &left, NULL);
		life_open(&l, crash_store_new(&left));
		image_free(&left);
		ck_assert_int_eq(updates_open(l.p.s, l.p.dot, &l.p.k, &why), 0);
		ck_assert_int_eq(updates_enter(&l.p, &why), 0);
		wrapped = strdup(
			json_object_get_string(json_object_object_get(generation_find(l.p.k, 1)->json, "wrapped")));
		ck_assert(has_text(crash_store_image(l.cs), wrapped));
		for (size_t i = 0; i < update_count; i++)
			if (updates[i].wiped == 1)
				ck_assert_msg(updates[i].run(&l.p, &why) == 0, "%s", why.text);
		ck_assert_msg(!has_text(crash_store_image(l.cs), wrapped), "behind call %zu", cut.calls - r.first);
		free(wrapped);
		life_close(&l);
	}
	keys_unref(r.old);
	keys_unref(r.new);
	life_close(&r.l);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("keyring");
	TCase *t = tcase_create("crash");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, at_every_call, 0, (int)update_count);
	tcase_add_test(t, a_destroyed_key_is_in_no_file);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
