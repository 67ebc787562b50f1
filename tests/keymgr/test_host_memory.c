/* What a host remembers: who comes in again, and who does not. */
#include "fixture.h"

#include "keymgr/entry.h"
#include "util/base/encode.h"

struct work {
	struct volume v;
	struct keyring *k;
	struct fault why;
};

static const struct trust nothing, older = {.older = true};

static int enter(struct work *w, const struct trust *trust, bool looks_only)
{
	const struct entry e = {.trust = *trust, .looks_only = looks_only};

	w->why = (struct fault){0};
	keyring_free(&w->k);
	w->k = open_volume(&w->v);
	return keyring_enter(w->v.s, w->v.dot, w->k, &e, &w->why);
}

static void refused(struct work *w, int error, const char *words)
{
	ck_assert_int_eq(enter(w, &nothing, false), error);
	ck_assert_int_eq(w->why.status, EXIT_REFUSED);
	ck_assert_msg(strstr(w->why.text, words), "%s", w->why.text);
}

static void welcome(struct work *w)
{
	ck_assert_msg(enter(w, &nothing, false) == 0, "%s", w->why.text);
}

static void rotate(struct work *w, uint32_t scope)
{
	struct keyring_change *c;
	uint32_t n;

	ck_assert_int_eq(keyring_change_begin(w->v.s, w->v.dot, w->k, &c, &w->why), 0);
	ck_assert_int_eq(keyring_rotate(w->k, scope, &n, &w->why), 0);
	ck_assert_int_eq(keyring_change_commit(&c, &w->why), 0);
}

static void start(struct work *w)
{
	*w = (struct work){0};
	ck_assert_int_eq(setenv("COFFER_STATE_DIR", "", 1), 0);
	volume_make(&w->v);
	/* A path of two new directories. */
	char *here = getcwd(NULL, 0), path[4096];
	snprintf(path, sizeof(path), "%s/state/coffer", here);
	free(here);
	ck_assert_int_eq(setenv("COFFER_STATE_DIR", path, 1), 0);
	welcome(w);
}

static void end(struct work *w)
{
	keyring_free(&w->k);
	volume_close(&w->v);
}

static void copy(const char *from, const char *to)
{
	struct text t = slurp(from);

	spill(to, t.b, t.n);
	free(t.b);
}

static void keep(const char *name)
{
	char to[64];

	ck_assert(mkdir(name, 0700) == 0 || errno == EEXIST);
	snprintf(to, sizeof(to), "%s/keyring.json", name);
	copy("vol/.coffer/keyring.json", to);
	snprintf(to, sizeof(to), "%s/volume.json", name);
	copy("vol/.coffer/volume.json", to);
}

static void put_back(const char *name)
{
	char from[64];

	snprintf(from, sizeof(from), "%s/keyring.json", name);
	copy(from, "vol/.coffer/keyring.json");
	copy(from, "vol/.coffer/keyring.json.bak");
	snprintf(from, sizeof(from), "%s/volume.json", name);
	copy(from, "vol/.coffer/volume.json");
	copy(from, "vol/.coffer/volume.json.bak");
}

static struct text log_text(void)
{
	return slurp("vol/.coffer/audit.log");
}

static bool logged(const char *words)
{
	struct text t = log_text();
	bool found = strstr(t.b, words) != NULL;

	free(t.b);
	return found;
}

START_TEST(older_keyring)
{
	struct work w;

	start(&w);
	welcome(&w);
	keep("old");
	rotate(&w, SCOPE_DEFAULT); /* noted by the change itself */
	keep("new");
	put_back("old");
	refused(&w, -ESTALE, "--accept-older-keyring");
	ck_assert_int_eq(enter(&w, &older, false), 0);
	ck_assert(logged("\"accepted\":\"older keyring"));
	welcome(&w); /* from now on this is what the host knows */
	put_back("new");
	welcome(&w);
	end(&w);
}
END_TEST

/* The numbers that only rise, one by one: what is lower than the host has seen is refused whatever the sequence says. */
START_TEST(each_number)
{
	static const char *const members[] = {"sequence\": ", "generation\": ", "floors\": [\n        "};
	struct text memory;
	struct work w;
	char path[160], id[33];

	start(&w);
	hex_encode(keyring_settings(w.k)->volume_id, VOLUME_ID_SIZE, id);
	snprintf(path, sizeof(path), "state/coffer/%s.json", id);
	for (int i = 0; i < 3; i++) {
		char from[64], to[64], *at;

		memory = slurp(path);
		at = strstr(memory.b, members[i]);
		ck_assert_msg(at != NULL, "%s", memory.b);
		snprintf(from, sizeof(from), "%s%lu", members[i], strtoul(at + strlen(members[i]), NULL, 10));
		snprintf(to, sizeof(to), "%s%lu", members[i], strtoul(at + strlen(members[i]), NULL, 10) + 1);
		replace(&memory, from, to);
		spill(path, memory.b, memory.n);
		refused(&w, -ESTALE, "older than the one");
		replace(&memory, to, from);
		spill(path, memory.b, memory.n);
		free(memory.b);
		welcome(&w);
	}
	end(&w);
}
END_TEST

START_TEST(unknown_copy)
{
	struct work w;
	struct keyring *mine;

	start(&w);
	mine = w.k;
	mine->settings.instance_id[0] ^= 1; /* as who has the keys could make it: by adopt on another host */
	struct host_memory *m;
	bool accepted;

	ck_assert_int_eq(host_memory_open(mine->settings.volume_id, &m, &w.why), 0);
	ck_assert_ptr_nonnull(m);
	ck_assert_int_eq(host_memory_check(m, mine, &nothing, &accepted, &w.why), -ESRCH);
	ck_assert_ptr_nonnull(strstr(w.why.text, "coffer adopt"));
	w.why = (struct fault){0};
	ck_assert_int_eq(host_memory_check(m, mine, &older, &accepted, &w.why), 0);
	ck_assert(accepted);
	host_memory_close(&m);
	end(&w);
}
END_TEST

/* Somebody puts a whole keyring of his own in place, with a passphrase that he knows the victim uses. */
START_TEST(foreign_root)
{
	struct work w;
	struct fault ignored = {0};
	char fingerprint[2 * FINGERPRINT_SIZE + 8];
	struct trust named = {.root = fingerprint}, wrong = {.root = "00112233 44556677 8899aabb ccddeeff"};
	struct host_memory *m;
	bool accepted;

	start(&w);
	ck_assert_int_eq(host_memory_open(w.k->settings.volume_id, &m, &ignored), 0);
	w.k->fingerprint[3] ^= 1;
	keyring_fingerprint(w.k, fingerprint);
	ck_assert_int_eq(host_memory_check(m, w.k, &nothing, &accepted, &w.why), -EKEYREJECTED);
	ck_assert(strstr(w.why.text, "foreign root") && strstr(w.why.text, fingerprint));
	w.why = (struct fault){0};
	ck_assert_int_eq(host_memory_check(m, w.k, &older, &accepted, &w.why), -EKEYREJECTED); /* not by that */
	w.why = (struct fault){0};
	ck_assert_int_eq(host_memory_check(m, w.k, &named, &accepted, &w.why), 0);
	ck_assert(accepted);
	ck_assert_int_eq(host_memory_check(m, w.k, &wrong, &accepted, &w.why), -EKEYREJECTED);
	host_memory_close(&m);
	end(&w);
}
END_TEST

START_TEST(a_named_root_holds_at_first_sight)
{
	struct work w;
	struct trust wrong = {.root = "00112233 44556677 8899aabb ccddeeff"};
	char fingerprint[2 * FINGERPRINT_SIZE + 8];
	struct trust right = {.root = fingerprint};

	start(&w);
	remove_tree("state");
	ck_assert_int_eq(enter(&w, &wrong, false), -EKEYREJECTED);
	keyring_fingerprint(w.k, fingerprint);
	ck_assert_int_eq(enter(&w, &right, false), 0);
	end(&w);
}
END_TEST

START_TEST(failed_unlocks_are_sealed_later)
{
	struct work w;

	start(&w);
	for (int i = 0; i < 3; i++)
		keyring_refused(w.k);
	ck_assert(!logged("failed-unlocks"));
	welcome(&w);
	ck_assert(logged("\"event\":\"failed-unlocks\",\"count\":3,\"first\":\""));
	struct text before = log_text();
	welcome(&w);
	struct text after = log_text();
	ck_assert_ptr_null(strstr(after.b + before.n, "failed-unlocks")); /* once */
	free(before.b);
	free(after.b);
	end(&w);
}
END_TEST

/* On a read-only store, and for who only looks, the line waits. */
START_TEST(lines_wait)
{
	struct work w;
	struct text before, after;

	start(&w);
	before = log_text();
	ck_assert_int_eq(enter(&w, &nothing, true), 0);
	ck_assert_int_eq(enter(&w, &nothing, true), 0);
	after = log_text();
	ck_assert_uint_eq(before.n, after.n);
	free(after.b);
	welcome(&w);
	after = log_text();
	int lines = 0;
	for (char *at = after.b + before.n; (at = strstr(at, "\"unlock\"")); at++)
		lines++;
	ck_assert_int_eq(lines, 3);
	free(before.b);
	free(after.b);
	end(&w);
}
END_TEST

START_TEST(rolled_back_log)
{
	struct work w;
	struct text t;

	start(&w);
	t = log_text();
	welcome(&w);
	spill("vol/.coffer/audit.log", t.b, t.n); /* behind the anchor, but the host has seen more */
	welcome(&w);
	ck_assert(logged("audit-broken"));
	free(t.b);
	end(&w);
}
END_TEST

START_TEST(damaged_memory)
{
	struct work w;
	char path[160], id[33];

	start(&w);
	hex_encode(keyring_settings(w.k)->volume_id, VOLUME_ID_SIZE, id);
	snprintf(path, sizeof(path), "state/coffer/%s.json", id);
	spill(path, "{}\n", 3);
	ck_assert_int_eq(enter(&w, &nothing, false), -EBADMSG);
	ck_assert_int_eq(w.why.status, EXIT_DAMAGED);
	ck_assert_ptr_nonnull(strstr(w.why.text, "fingerprint"));
	end(&w);
}
END_TEST

START_TEST(no_memory_at_all)
{
	struct work w;

	start(&w);
	keep("old");
	rotate(&w, SCOPE_DEFAULT);
	put_back("old");
	ck_assert_int_eq(setenv("COFFER_STATE_DIR", "", 1), 0);
	welcome(&w);
	ck_assert_uint_eq(log_lines("cannot remember"), 0); /* it was asked for */
	ck_assert_int_eq(setenv("COFFER_STATE_DIR", "/proc/no/such", 1), 0);
	welcome(&w);
	ck_assert_uint_eq(log_lines("cannot remember"), 1);
	end(&w);
}
END_TEST

/* The record is not written, so nothing was opened. */
START_TEST(no_record_no_entry)
{
	struct failing_store f;
	struct work w;
	const struct entry e = {0};

	start(&w);
	failing_store_init(&f, 1, ENOSPC, true);
	ck_assert_int_eq(keyring_enter(&f.store, w.v.dot, w.k, &e, &w.why), -ENOSPC);
	ck_assert_int_eq(w.why.status, EXIT_STORE);
	f.real->ops->destroy(f.real);
	end(&w);
}
END_TEST

/* --- roots that follow each other */

START_TEST(successors)
{
	struct work w;
	struct secret *r[4];
	uint8_t f[4][FINGERPRINT_SIZE];
	json_object *chain = json_object_new_array(), *link;

	start(&w);
	for (int i = 0; i < 4; i++) {
		_cleanup_stack_key_ struct stack_key prk;
		struct wrapping x = {prk.b, w.k->settings.volume_id, NULL};

		r[i] = secret_new(KEY_SIZE);
		ck_assert_int_eq(crypto_random(r[i]->bytes, KEY_SIZE), 0);
		ck_assert_int_eq(kdf_extract(r[i]->bytes, KEY_SIZE, prk.b), 0);
		ck_assert_int_eq(wrapping_derive(&x, "coffer root fingerprint", f[i], FINGERPRINT_SIZE), 0);
	}
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(keyring_root_link(r[i], r[i + 1], w.k->settings.volume_id, &link), 0);
		json_object_array_add(chain, link);
	}
	json_object_object_add(w.k->doc, "roots", chain);
	memcpy(w.k->root->bytes, r[2]->bytes, KEY_SIZE);
	memcpy(w.k->fingerprint, f[2], FINGERPRINT_SIZE);
	ck_assert_int_eq(keyring_root_succeeds(w.k, f[1]), 0);
	ck_assert_int_eq(keyring_root_succeeds(w.k, f[0]), 0);
	ck_assert_int_ne(keyring_root_succeeds(w.k, f[3]), 0);
	/* A link that somebody made who knows a root of his own only: another root stands where the remembered one would. */
	ck_assert_int_eq(keyring_root_link(r[3], r[2], w.k->settings.volume_id, &link), 0);
	char hex[33];
	hex_encode(f[1], FINGERPRINT_SIZE, hex);
	json_object_object_add(link, "fingerprint", json_object_new_string(hex));
	json_object_array_put_idx(chain, 1, link);
	ck_assert_int_eq(keyring_root_succeeds(w.k, f[1]), -EBADMSG);
	/* And one to another successor. */
	ck_assert_int_eq(keyring_root_link(r[1], r[3], w.k->settings.volume_id, &link), 0);
	json_object_array_put_idx(chain, 1, link);
	ck_assert_int_ne(keyring_root_succeeds(w.k, f[1]), 0);
	for (int i = 0; i < 4; i++)
		secret_free(&r[i]);
	end(&w);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("host memory");

	tcase_add_test(t, older_keyring);
	tcase_add_test(t, each_number);
	tcase_add_test(t, unknown_copy);
	tcase_add_test(t, foreign_root);
	tcase_add_test(t, a_named_root_holds_at_first_sight);
	tcase_add_test(t, failed_unlocks_are_sealed_later);
	tcase_add_test(t, lines_wait);
	tcase_add_test(t, rolled_back_log);
	tcase_add_test(t, damaged_memory);
	tcase_add_test(t, no_memory_at_all);
	tcase_add_test(t, no_record_no_entry);
	tcase_add_test(t, successors);
	return run_suite("host memory", t);
}
