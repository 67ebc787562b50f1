/* The audit log: what is written, and what an attacker or a crash does to it. */
#include "fixture.h"

#include <linux/falloc.h>

#include "keymgr/audit.h"

#define LOG "vol/.coffer/audit.log"

struct work {
	struct volume v;
	struct keyring *k;
};

static void start(struct work *w)
{
	volume_make(&w->v);
	w->k = open_volume(&w->v);
}

static void end(struct work *w)
{
	keyring_free(&w->k);
	volume_close(&w->v);
}

/* A line that is no change of the keyring, so that the anchor stays behind. */
static struct audit_link append(struct work *w, const char *event, const struct audit_link *known)
{
	_cleanup_json_ json_object *events = json_object_new_array();
	struct audit_link at;
	struct fault why = {0};
	json_object *o;

	ck_assert_int_eq(audit_event(event, &o), 0);
	ck_assert_int_eq(put_element(events, o), 0);
	ck_assert_msg(audit_append(w->v.s, w->v.dot, w->k, known, events, &at, &why) == 0, "%s", why.text);
	return at;
}

static void rotate(struct work *w)
{
	struct keyring_change *c;
	struct fault why = {0};
	uint32_t n;

	ck_assert_int_eq(keyring_change_begin(w->v.s, w->v.dot, w->k, &c, &why), 0);
	ck_assert_int_eq(keyring_rotate(w->k, 0, &n, &why), 0);
	ck_assert_msg(keyring_change_commit(&c, &why) == 0, "%s", why.text);
}

static int verify_known(struct work *w, const struct audit_link *known, struct audit_report *r)
{
	struct fault why = {0};
	int ret = audit_verify(w->v.s, w->v.dot, w->k, known, NULL, NULL, r, &why);

	ck_assert(ret == 0 || (ret == -EBADMSG && why.status == EXIT_DAMAGED && r->problems > 0));
	return ret;
}

static int verify(struct work *w, struct audit_report *r)
{
	return verify_known(w, NULL, r);
}

static void spoiled(struct work *w, const char *words)
{
	struct audit_report r;

	ck_assert_int_eq(verify(w, &r), -EBADMSG);
	ck_assert_msg(strstr(r.problem, words), "%s", r.problem);
}

START_TEST(what_is_written)
{
	struct audit_report r;
	struct work w;
	struct text t;

	start(&w);
	rotate(&w);
	append(&w, "test", NULL);
	ck_assert_int_eq(verify(&w, &r), 0);
	ck_assert(r.lines == 4 && r.torn == 0 && r.problems == 0 && !r.ends_torn);
	ck_assert_uint_eq(w.k->audit.n, 3); /* init, and two steps; the last line is behind the anchor */
	t = slurp(LOG);
	ck_assert_int_eq(strncmp(t.b, "{\"n\":1,\"at\":\"20", 15), 0);
	ck_assert_ptr_nonnull(strstr(t.b,
				     "\"event\":\"generation\",\"generation\":3,\"scope\":0,\"from\":\"pre-active\","
				     "\"to\":\"active\",\"uid\":"));
	free(t.b);
	end(&w);
}
END_TEST

/* A full disk must not stop an unlocking. */
START_TEST(room_is_kept)
{
	struct stat st;
	struct work w;
	int fd;

	start(&w);
	fd = open(LOG, O_RDWR);
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 4096) == 0) {
		append(&w, "test", NULL);
		ck_assert_int_eq(fstat(fd, &st), 0);
		ck_assert_int_lt(st.st_size, 4096);
		ck_assert_int_ge(st.st_blocks * 512, AUDIT_ROOM);
	}
	close(fd);
	end(&w);
}
END_TEST

START_TEST(no_record_no_change)
{
	struct keyring_change *c;
	struct failing_store f;
	struct fault why = {0};
	uint64_t sequence;
	struct work w;
	uint32_t n;

	start(&w);
	sequence = keyring_sequence(w.k);
	failing_store_init(&f, 1, ENOSPC, true); /* keyring.lock is opened, no more */
	ck_assert_int_eq(keyring_change_begin(&f.store, w.v.dot, w.k, &c, &why), 0);
	ck_assert_int_eq(keyring_rotate(w.k, 0, &n, &why), 0);
	ck_assert_int_eq(keyring_change_commit(&c, &why), -ENOSPC);
	ck_assert(why.status == EXIT_STORE && strstr(why.text, "audit.log") && strstr(why.text, "nothing was done"));
	keyring_free(&w.k);
	w.k = open_volume(&w.v);
	ck_assert_uint_eq(keyring_sequence(w.k), sequence);
	f.real->ops->destroy(f.real);
	end(&w);
}
END_TEST

/* Whichever write fails: the log stays whole, and tells of a change that was not made that it was not. */
START_TEST(failed_changes_are_told)
{
	bool done = false, told = false;
	struct audit_report r;
	struct work w;

	start(&w);
	for (long n = 1; !done; n++) {
		struct keyring_change *c;
		struct failing_store f;
		struct fault why = {0};
		uint64_t sequence = keyring_sequence(w.k);
		uint32_t g;
		int ret;

		failing_store_init(&f, n, EIO, false);
		ck_assert_int_eq(keyring_change_begin(&f.store, w.v.dot, w.k, &c, &why), 0);
		ck_assert_int_eq(keyring_rotate(w.k, 0, &g, &why), 0);
		ret = keyring_change_commit(&c, &why);
		done = f.allowed >= 0;
		keyring_free(&w.k);
		w.k = open_volume(&w.v);
		ck_assert_int_eq(verify(&w, &r), 0);
		if (ret < 0 && keyring_sequence(w.k) == sequence && strstr(why.text, "keyring.json")) {
			struct text t = slurp(LOG);

			told |= strstr(t.b, "change-failed") != NULL;
			free(t.b);
		}
		f.real->ops->destroy(f.real);
	}
	ck_assert(told);
	end(&w);
}
END_TEST

/* --- crashes */

START_TEST(torn_line)
{
	struct audit_report r;
	struct work w;
	struct text t;

	start(&w);
	rotate(&w);
	append(&w, "test", NULL);
	t = slurp(LOG);
	/* At every length: the lines before it count, what is torn is said, and writing goes on. */
	for (size_t cut = 1; cut < 150; cut += 13) {
		spill(LOG, t.b, t.n - cut);
		ck_assert_int_eq(verify(&w, &r), 0);
		/* Only its newline is missing: a line all the same. */
		ck_assert(cut == 1 ? r.lines == 4 && !r.ends_torn : r.lines == 3 && r.ends_torn);
		append(&w, "after", NULL);
		ck_assert_int_eq(verify(&w, &r), 0);
		ck_assert(r.lines == 4 + (cut == 1) && !r.ends_torn && r.torn == (cut > 1));
	}
	/* Torn twice: the line behind a torn one lost all but its leading newline, or more. */
	for (size_t cut = 1; cut < 300; cut += 7) {
		struct text again;

		spill(LOG, t.b, t.n - 20);
		append(&w, "after", NULL);
		again = slurp(LOG);
		spill(LOG, again.b, again.n - cut);
		append(&w, "once more", NULL);
		ck_assert_msg(verify(&w, &r) == 0, "%zu: %s", cut, r.problem);
		free(again.b);
	}
	free(t.b);
	end(&w);
}
END_TEST

/* --- attackers, who have no key */

static void cut_lines(const struct text *t, int keep)
{
	const char *at = t->b;

	while (keep-- > 0)
		at = strchr(at, '\n') + 1;
	spill(LOG, t->b, (size_t)(at - t->b));
}

START_TEST(cut)
{
	struct audit_report r;
	struct audit_link known;
	struct work w;
	struct text t;

	start(&w);
	rotate(&w);
	rotate(&w);
	known = append(&w, "test", NULL);
	t = slurp(LOG);
	cut_lines(&t, 4);
	spoiled(&w, "fewer");
	cut_lines(&t, 0);
	spoiled(&w, "fewer");
	ck_assert_int_eq(unlink(LOG), 0);
	spoiled(&w, "fewer");
	cut_lines(&t, 5); /* up to the anchor: only who saw more notices */
	ck_assert_int_eq(verify(&w, &r), 0);
	ck_assert_int_eq(verify_known(&w, &known, &r), -EBADMSG);
	/* In the middle. */
	{
		char *second = strchr(t.b, '\n') + 1, *third = strchr(second, '\n') + 1;
		struct text gap = {malloc(t.n), 0};

		memcpy(gap.b, t.b, (size_t)(second - t.b));
		memcpy(gap.b + (second - t.b), third, t.n - (size_t)(third - t.b));
		spill(LOG, gap.b, t.n - (size_t)(third - second));
		spoiled(&w, "line 3 was changed");
		free(gap.b);
	}
	free(t.b);
	end(&w);
}
END_TEST

/* What was cut stays visible, whatever is written afterwards. */
START_TEST(a_cut_is_never_forgotten)
{
	struct audit_link known;
	struct work w;
	struct text t;

	for (int keep = 0; keep < 5; keep++) {
		start(&w);
		rotate(&w);
		rotate(&w);
		t = slurp(LOG);
		cut_lines(&t, keep);
		rotate(&w);
		rotate(&w);
		spoiled(&w, keep == 0 ? "line 6" : "found broken");
		ck_assert_uint_gt(log_lines("cut or changed"), 0);
		keyring_free(&w.k);
		w.k = open_volume(&w.v); /* nobody is locked out */
		free(t.b);
		end(&w);
		remove_tree("vol");
	}
	start(&w);
	known = append(&w, "test", NULL);
	t = slurp(LOG);
	cut_lines(&t, 1);
	append(&w, "next", &known);
	spoiled(&w, "found broken");
	free(t.b);
	end(&w);
}
END_TEST

START_TEST(edited)
{
	struct audit_report r;
	struct work w;
	struct text t;

	start(&w);
	rotate(&w);
	t = slurp(LOG);
	for (size_t i = 0; i < t.n; i++) {
		t.b[i] ^= 1;
		spill(LOG, t.b, t.n);
		ck_assert_msg(verify(&w, &r) == -EBADMSG, "byte %zu", i);
		t.b[i] ^= 1;
	}
	spill(LOG, t.b, t.n);
	ck_assert_int_eq(verify(&w, &r), 0);
	/* Something slipped in, with and without the look of a line. */
	replace(&t, "\n", "\nnoise\n");
	spill(LOG, t.b, t.n);
	spoiled(&w, "no line");
	free(t.b);
	end(&w);
}
END_TEST

START_TEST(reordered_or_doubled)
{
	struct work w;
	struct text t;
	char *second, *third, *all;
	size_t one, two;

	start(&w);
	rotate(&w);
	t = slurp(LOG);
	second = strchr(t.b, '\n') + 1;
	third = strchr(second, '\n') + 1;
	one = (size_t)(third - second);
	two = t.n - (size_t)(third - t.b);
	all = malloc(2 * t.n);
	memcpy(all, t.b, (size_t)(second - t.b));
	memcpy(all + (second - t.b), third, two);
	memcpy(all + (second - t.b) + two, second, one);
	spill(LOG, all, t.n);
	spoiled(&w, "line 3 was changed");
	memcpy(all, t.b, t.n);
	memcpy(all + t.n, third, two);
	spill(LOG, all, t.n + two);
	spoiled(&w, "line 3 was changed");
	free(all);
	free(t.b);
	end(&w);
}
END_TEST

/* The log of an earlier day, with the keyring of today. */
START_TEST(rolled_back)
{
	struct work w;
	struct text t;

	start(&w);
	t = slurp(LOG);
	rotate(&w);
	spill(LOG, t.b, t.n);
	spoiled(&w, "fewer");
	append(&w, "test", NULL);
	spoiled(&w, "found broken");
	free(t.b);
	end(&w);
}
END_TEST

/* Another branch of the same log: both were written with the key. */
START_TEST(another_branch)
{
	struct work w;
	struct text keyring, before, branch;

	start(&w);
	keyring = slurp("vol/.coffer/keyring.json");
	before = slurp(LOG);
	append(&w, "another", NULL);
	rotate(&w);
	branch = slurp(LOG);
	spill("vol/.coffer/keyring.json", keyring.b, keyring.n);
	spill(LOG, before.b, before.n);
	keyring_free(&w.k);
	w.k = open_volume(&w.v);
	append(&w, "test", NULL);
	rotate(&w);
	spill(LOG, branch.b, branch.n);
	spoiled(&w, "another one");
	free(keyring.b);
	free(before.b);
	free(branch.b);
	end(&w);
}
END_TEST

START_TEST(no_regular_file)
{
	struct keyring_change *c;
	struct fault why = {0};
	struct work w;
	uint32_t n;

	start(&w);
	ck_assert_int_eq(unlink(LOG), 0);
	ck_assert_int_eq(symlink("/dev/null", LOG), 0);
	ck_assert_int_eq(keyring_change_begin(w.v.s, w.v.dot, w.k, &c, &why), 0);
	ck_assert_int_eq(keyring_rotate(w.k, 0, &n, &why), 0);
	ck_assert_int_eq(keyring_change_commit(&c, &why), -ELOOP);
	end(&w);
}
END_TEST

/* Longer than the window in which the end is looked for. */
START_TEST(long_log)
{
	struct audit_report r;
	struct work w;
	struct text t;

	start(&w);
	for (int i = 0; i < 40; i++) {
		_cleanup_json_ json_object *events = json_object_new_array();
		struct audit_link at;
		struct fault why = {0};

		for (int j = 0; j < 50; j++) {
			json_object *o;

			ck_assert_int_eq(audit_event("filler", &o), 0);
			ck_assert_int_eq(put_element(events, o), 0);
		}
		ck_assert_int_eq(audit_append(w.v.s, w.v.dot, w.k, NULL, events, &at, &why), 0);
	}
	rotate(&w);
	ck_assert_int_eq(verify(&w, &r), 0);
	ck_assert_uint_eq(r.lines, 1 + 40 * 50 + 2);
	t = slurp(LOG);
	ck_assert_uint_gt(t.n, 256 << 10);
	t.b[t.n - 30] ^= 1; /* the MAC of the last line */
	spill(LOG, t.b, t.n);
	append(&w, "test", NULL);
	ck_assert_uint_eq(log_lines("cut or changed"), 1);
	free(t.b);
	end(&w);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("audit");

	tcase_add_test(t, what_is_written);
	tcase_add_test(t, room_is_kept);
	tcase_add_test(t, no_record_no_change);
	tcase_add_test(t, failed_changes_are_told);
	tcase_add_test(t, torn_line);
	tcase_add_test(t, cut);
	tcase_add_test(t, a_cut_is_never_forgotten);
	tcase_add_test(t, edited);
	tcase_add_test(t, reordered_or_doubled);
	tcase_add_test(t, rolled_back);
	tcase_add_test(t, another_branch);
	tcase_add_test(t, no_regular_file);
	tcase_add_test(t, long_log);
	return run_suite("audit", t);
}
