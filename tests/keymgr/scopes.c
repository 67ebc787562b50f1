#include "scopes.h"

#include "keymgr/entry.h"

const uint8_t first[DIRECTORY_ID_SIZE] = {0x11, 1}, second[DIRECTORY_ID_SIZE] = {0x22, 2},
	      third[DIRECTORY_ID_SIZE] = {0x33, 3};

int enter(struct work *w)
{
	const struct entry e = {0};

	w->why = (struct fault){0};
	return keyring_enter(w->v.s, w->v.dot, w->k, &e, &w->why);
}

void start_unseen(struct work *w)
{
	char *here = getcwd(NULL, 0), path[4096];

	*w = (struct work){0};
	snprintf(path, sizeof(path), "%s/state", here);
	free(here);
	ck_assert_int_eq(setenv("COFFER_STATE_DIR", path, 1), 0);
	volume_make(&w->v);
	w->k = open_volume(&w->v);
}

void start(struct work *w)
{
	start_unseen(w);
	ck_assert_int_eq(enter(w), 0);
}

void end(struct work *w)
{
	free(w->text);
	keyring_free(&w->k);
	volume_close(&w->v);
}

/* ------------------------------------------------------------------ changes, each as by a command */

int try(struct work *w, struct edit e)
{
	struct keyring_change *c;
	int ret;

	w->why = (struct fault){0};
	ck_assert_msg(keyring_change_begin(w->v.s, w->v.dot, w->k, &c, &w->why) == 0, "%s", w->why.text);
	ret = e.how(w->k, &e, &w->why);
	if (ret == 0)
		return keyring_change_commit(&c, &w->why);
	ck_assert_int_ne(w->why.status, EXIT_OK);
	keyring_change_abort(&c);
	/* As it is on the disk. */
	ck_assert_int_eq(keyring_change_begin(w->v.s, w->v.dot, w->k, &c, &(struct fault){0}), 0);
	keyring_change_abort(&c);
	return ret;
}

void must(struct work *w, struct edit e)
{
	ck_assert_msg(try(w, e) == 0, "%s", w->why.text);
}

int do_create(struct keyring *k, const struct edit *e, struct fault *why)
{
	uint32_t scope;

	return keyring_scope_create(k, e->name, &scope, why);
}
int do_plan(struct keyring *k, const struct edit *e, struct fault *why)
{
	return keyring_zone_plan(k, e->directory, e->now, e->scope, why);
}
int do_assign(struct keyring *k, const struct edit *e, struct fault *why)
{
	return keyring_zone_assign(k, e->directory, why);
}
int do_abandon(struct keyring *k, const struct edit *e, struct fault *why)
{
	return keyring_zone_abandon(k, e->directory, why);
}
int do_end(struct keyring *k, const struct edit *e, struct fault *why)
{
	return keyring_end_reencryption(k, e->generations, why);
}
int do_rotate(struct keyring *k, const struct edit *e, struct fault *why)
{
	uint32_t n;

	return keyring_rotate(k, e->scope, &n, why);
}
int do_reencrypt(struct keyring *k, const struct edit *e, struct fault *why)
{
	return keyring_start_reencryption(k, &(struct reencryption){.only = e->scope != SCOPE_NONE, .scope = e->scope},
					  why);
}
int do_stop(struct keyring *k, const struct edit *e, struct fault *why)
{
	(void)e;
	return keyring_stop_reencryption(k, why);
}

int try_create(struct work *w, const char *name)
{
	return try(w, (struct edit){do_create, .name = name});
}
int try_plan(struct work *w, const uint8_t *directory, uint32_t now, uint32_t to)
{
	return try(w, (struct edit){do_plan, .directory = directory, .now = now, .scope = to});
}
void rotate(struct work *w, uint32_t scope)
{
	must(w, (struct edit){do_rotate, .scope = scope});
}

/* To its end; the scope's active generation is the floor then. */
void give(struct work *w, const uint8_t *directory, uint32_t now, uint32_t to)
{
	struct edit last = {do_end};

	ck_assert_msg(try_plan(w, directory, now, to) == 0, "%s", w->why.text);
	must(w, (struct edit){do_assign, .directory = directory});
	last.generations[to] = w->k->active[to];
	must(w, last);
}

struct key_zone zone(const struct work *w, uint32_t number)
{
	struct key_zone all[4] = {{0}};

	ck_assert_uint_ge(keyring_zones(w->k, all, 4), number);
	return all[number - 1];
}

bool logged(const char *words)
{
	struct text t = slurp("vol/.coffer/audit.log");
	bool found = strstr(t.b, words) != NULL;

	free(t.b);
	return found;
}
