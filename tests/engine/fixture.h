/* What the tests of the engine share: a cheap volume in the scratch directory of tests/keymgr/fixture.h, an engine on it in this
 * process, a store that fails, and short forms of the operations. */
#ifndef COFFER_TESTS_ENGINE_FIXTURE_H
#define COFFER_TESTS_ENGINE_FIXTURE_H

#include "fs/internal.h"
#include "tests/keymgr/fixture.h"

/* An assertion for inner loops: Check's own note each success, too, which costs a system call. */
#define HOLD(x) ((x) ? (void)0 : ck_abort_msg("does not hold: %s", #x))

/* A store over another: call number fail_at (from 1) of those that change something fails with `error` (negative).  A write that
 * fails may have got through in part (`torn` bytes of it).  With `full` only calls that need space count: a write that touches a block
 * that has none yet, and whatever makes a name. */
struct faulty {
	struct store store;
	struct store_ops ops;
	struct store *beneath;
	int fail_at, calls, error;
	bool for_ever; /* and all calls behind it */
	bool full;
	bool reads; /* calls that only look are counted and fail, not those that change something */
	struct {
		int fd;
		uint64_t begin, end;
	} reserved[64]; /* by fallocate, since it was set to zero */
	int reserved_count;
	size_t torn;
	const char *failed; /* the call that failed, or NULL */
};
void faulty_init(struct faulty *f, struct store *beneath);

/* A volume and, while it is started, the engine on it. */
struct vol {
	struct store *plain; /* the real store */
	struct store quick;  /* the same, but for syncs: no power is cut here, and the disk has other users */
	struct store_ops quick_ops;
	struct store *store; /* what the engine gets; &quick at first */
	int dot, data;
	struct keyring *keyring;
	struct keys *keys;
	struct settings settings;
	struct engine_options options;
	struct engine *e;
};
void vol_new(struct vol *v, const char *dir, enum cipher cipher, bool portable);
void vol_start(struct vol *v);
void vol_stop(struct vol *v);
void vol_restart(struct vol *v);
void vol_free(struct vol *v);

/* The engine works on one volume "vol" with the default cipher: what most tests want. */
void vol_default(struct vol *v);

/* Numbers that look random, the same for one seed. */
uint64_t rnd(uint64_t *state);
static inline uint64_t below(uint64_t *state, uint64_t n)
{
	return rnd(state) % n;
}
/* n divided by $COFFER_TEST_SCALE, at least 1. */
unsigned scaled(unsigned n);
/* A seed to begin with: $COFFER_TEST_SEED, or the one given. */
uint64_t first_seed(uint64_t seed);

/* Operations as the only caller there is; ids of nodes, and results as the engine's. */
extern const struct caller me;
uint64_t look(struct vol *v, uint64_t parent, const char *name); /* 0: ENOENT; anything else must not be */
uint64_t walk(struct vol *v, const char *path);                  /* "a/b/c" */
uint64_t make(struct vol *v, uint64_t parent, const char *name);
uint64_t make_dir(struct vol *v, uint64_t parent, const char *name);
void put(struct vol *v, uint64_t node, const void *buf, size_t n, uint64_t off);
int resize(struct vol *v, uint64_t node, uint64_t size);
int chmod_node(struct vol *v, uint64_t node, mode_t mode);
struct store_stat attr(struct vol *v, uint64_t node);
/* The content of a node, in whole. */
void assert_content(struct vol *v, uint64_t node, const void *expected, size_t n);
void fill(uint8_t *buf, size_t n, uint64_t seed);

/* What a directory shows.  `names` are sorted. */
struct shown {
	char **names;
	size_t count;
};
struct shown list_dir(struct vol *v, uint64_t dir);
void shown_free(struct shown *s);
bool shows(const struct shown *s, const char *name);

/* The backing name of an entry, as "vol/data/..." would have it in directory `dir`. */
void backing(struct vol *v, uint64_t dir, const char *name, char out[NAME_MAX + 1]);
/* A path below of an entry of the root. */
void root_path(struct vol *v, const char *name, char out[512]);

int run_engine_suite(const char *name, TCase *t);

#endif
