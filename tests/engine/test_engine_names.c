/* Names: of every length, of arbitrary bytes, long ones with their sidecars, and what lies below and is none. */
#include "fixture.h"

#include <dirent.h>

#include "fs/directory.h"
#include "fs/names.h"
#include "util/base/encode.h"

static struct vol v;

static void start(bool portable, uint32_t name_max)
{
	vol_new(&v, "vol", CIPHER_NONE, portable);
	v.settings.name_max = name_max;
	vol_start(&v);
}

/* A name of n arbitrary bytes, without zero and "/", and none of "." and "..". */
static void some_name(uint64_t *seed, size_t n, char out[NAME_MAX + 1])
{
	for (size_t i = 0; i < n; i++) {
		do
			out[i] = (char)rnd(seed);
		while (!out[i] || out[i] == '/');
	}
	if (out[0] == '.')
		out[0] = 'x';
	out[n] = 0;
}

/* What stands in the root below, but for "." and "..". */
static unsigned raw_count(bool ours)
{
	DIR *d = opendir("vol/data");
	struct dirent *e;
	unsigned n = 0;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			n += names_is_ours(e->d_name) == ours;
	closedir(d);
	return n;
}

static void assert_shown(uint64_t dir, const char *name, bool is)
{
	struct shown s = list_dir(&v, dir);

	ck_assert_int_eq(shows(&s, name), is);
	shown_free(&s);
}

/* ------------------------------------------------------------------ lengths */

struct variant {
	bool portable;
	uint32_t name_max;
};
static const struct variant variants[] = {{false, 255}, {false, 143}, {true, 255}, {true, 143}};

static void all_names(void (*each)(const char *name, size_t n))
{
	uint64_t seed = first_seed(1);
	char name[NAME_MAX + 1];

	for (size_t n = 1; n <= NAME_MAX; n++) {
		some_name(&seed, n, name);
		each(name, n);
	}
}

static void make_one(const char *name, size_t n)
{
	char below_name[NAME_MAX + 1];

	make(&v, ROOT_NODE, name);
	backing(&v, ROOT_NODE, name, below_name);
	ck_assert_uint_le(strlen(below_name), v.settings.name_max);
	ck_assert_int_eq(below_name[0] == '~', base64url_size(16 + (n + 15) / 16 * 16) > v.settings.name_max);
}

static void find_one(const char *name, size_t n)
{
	(void)n;
	if (!walk(&v, name))
		ck_abort_msg("a name of %zu bytes is lost", n);
}

static void move_one(const char *name, size_t n)
{
	char to[NAME_MAX + 1];

	/* To the same length, which is another name. */
	memcpy(to, name, n + 1);
	to[n - 1] = to[n - 1] == 'a' ? 'b' : 'a';
	ck_assert_int_eq(fs_rename(v.e, ROOT_NODE, name, ROOT_NODE, to, 0), 0);
	ck_assert_uint_eq(look(&v, ROOT_NODE, name), 0);
	ck_assert_int_eq(fs_rename(v.e, ROOT_NODE, to, ROOT_NODE, name, 0), 0);
	ck_assert_uint_eq(look(&v, ROOT_NODE, to), 0);
}

static void remove_one(const char *name, size_t n)
{
	(void)n;
	ck_assert_int_eq(fs_unlink(v.e, ROOT_NODE, name), 0);
}

START_TEST(every_length)
{
	struct shown s;

	start(variants[_i].portable, variants[_i].name_max);
	all_names(make_one);
	vol_restart(&v);
	s = list_dir(&v, ROOT_NODE);
	ck_assert_uint_eq(s.count, 255);
	all_names(find_one);
	for (size_t i = 0; i < s.count; i++)
		ck_assert_uint_ne(look(&v, ROOT_NODE, s.names[i]), 0);
	shown_free(&s);
	all_names(move_one);
	all_names(remove_one);
	s = list_dir(&v, ROOT_NODE);
	ck_assert_uint_eq(s.count, 0);
	/* No sidecar stays behind, only the directory's id. */
	ck_assert_uint_eq(raw_count(true), 1);
	ck_assert_uint_eq(raw_count(false), 0);
	vol_free(&v);
}
END_TEST

START_TEST(refused_names)
{
	char name[NAME_MAX + 2];
	struct node_attr a;

	start(false, 255);
	memset(name, 'x', sizeof(name) - 1);
	name[NAME_MAX + 1] = 0;
	ck_assert_int_eq(fs_lookup(v.e, ROOT_NODE, name, &a), -ENAMETOOLONG);
	ck_assert_int_eq(fs_mknod(v.e, &me, ROOT_NODE, name, S_IFREG | 0600, 0, &a), -ENAMETOOLONG);
	ck_assert_int_eq(fs_mkdir(v.e, &me, ROOT_NODE, name, 0700, &a), -ENAMETOOLONG);
	ck_assert_int_eq(fs_symlink(v.e, &me, "target", ROOT_NODE, name, &a), -ENAMETOOLONG);
	ck_assert_int_eq(fs_unlink(v.e, ROOT_NODE, name), -ENAMETOOLONG);
	ck_assert_int_eq(fs_lookup(v.e, ROOT_NODE, "", &a), -ENOENT);
	vol_free(&v);
}
END_TEST

/* The names of the format are a user's to take: they are other names below. */
START_TEST(names_of_the_format)
{
	static const char *const names[] = {".coffer-dir", ".coffer-new-x", "x.n", ".n", "~", ".coffer"};

	start(_i, 255);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		make(&v, ROOT_NODE, names[i]);
	vol_restart(&v);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_shown(ROOT_NODE, names[i], true);
		ck_assert_int_eq(fs_unlink(v.e, ROOT_NODE, names[i]), 0);
	}
	vol_free(&v);
}
END_TEST

START_TEST(same_name_elsewhere)
{
	char a[NAME_MAX + 1], b[NAME_MAX + 1], from[600], to[600], dir[NAME_MAX + 1];
	uint64_t other;

	start(false, 255);
	make(&v, ROOT_NODE, "name");
	other = make_dir(&v, ROOT_NODE, "other");
	make(&v, other, "name");
	backing(&v, ROOT_NODE, "name", a);
	backing(&v, other, "name", b);
	backing(&v, ROOT_NODE, "other", dir);
	ck_assert_str_ne(a, b);
	/* Moved below it is no name there, and is not shown. */
	snprintf(from, sizeof(from), "vol/data/%s", a);
	snprintf(to, sizeof(to), "vol/data/%s/%s", dir, a);
	ck_assert_int_eq(rename(from, to), 0);
	log_clear();

	struct shown s = list_dir(&v, other);

	ck_assert_uint_eq(s.count, 1);
	shown_free(&s);
	s = list_dir(&v, other);
	shown_free(&s);
	ck_assert_uint_eq(log_lines("does not decrypt"), 1); /* once */
	ck_assert_uint_eq(look(&v, ROOT_NODE, "name"), 0);
	/* It is not lost either: the directory does not go. */
	ck_assert_int_eq(fs_unlink(v.e, other, "name"), 0);
	ck_assert_int_eq(fs_rmdir(v.e, ROOT_NODE, "other"), -ENOTEMPTY);
	ck_assert_int_eq(rename(to, from), 0);
	ck_assert_uint_ne(look(&v, ROOT_NODE, "name"), 0);
	ck_assert_int_eq(fs_rmdir(v.e, ROOT_NODE, "other"), 0);
	vol_free(&v);
}
END_TEST

/* ------------------------------------------------------------------ what is none */

static struct node *hold_root(void)
{
	struct node *d;

	ck_assert_int_eq(directory_begin(v.e, ROOT_NODE, DIR_READ, &d), 0);
	return d;
}

/* Texts near a good one: each is refused, though most would decode in a lenient decoder. */
START_TEST(canonical_only)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	char good[NAME_MAX + 1], bad[2 * NAME_MAX], out[NAME_MAX + 1];
	struct node *d;

	start(false, 255);
	for (size_t n = 1; n <= 49; n += 16) { /* 32, 48, 64, 80 bytes: all remainders of 3 */
		char name[NAME_MAX + 1] = {0};
		size_t length;

		memset(name, 'n', n);
		make(&v, ROOT_NODE, name);
		backing(&v, ROOT_NODE, name, good);
		length = strlen(good);
		d = hold_root();
		ck_assert_int_eq(names_decrypt(v.e, d, good, out), 0);
		ck_assert_str_eq(out, name);
		for (size_t i = 0; i < length; i++)
			for (const char *c = alphabet; *c; c++) {
				strcpy(bad, good);
				bad[i] = *c;
				if (strcmp(bad, good) != 0)
					HOLD(names_decrypt(v.e, d, bad, out) == -EBADMSG);
			}
		for (int c = 1; c < 256; c++) {
			snprintf(bad, sizeof(bad), "%s%c", good, c);
			HOLD(names_decrypt(v.e, d, bad, out) == -EBADMSG);
			snprintf(bad, sizeof(bad), "%c%s", c, good);
			HOLD(names_decrypt(v.e, d, bad, out) == -EBADMSG);
			strcpy(bad, good);
			bad[length / 2] = (char)c;
			HOLD(c == good[length / 2] || names_decrypt(v.e, d, bad, out) == -EBADMSG);
		}
		for (size_t cut = 0; cut < length; cut++) {
			snprintf(bad, sizeof(bad), "%.*s", (int)cut, good);
			HOLD(names_decrypt(v.e, d, bad, out) == -EBADMSG);
		}
		snprintf(bad, sizeof(bad), "%s=", good);
		ck_assert_int_eq(names_decrypt(v.e, d, bad, out), -EBADMSG);
		directory_end(v.e, d);
	}
	vol_free(&v);
}
END_TEST

/* Texts that the key's owner sealed, over what is no name. */
static void assert_sealed_refused(struct node *d, const void *padded, size_t n)
{
	uint8_t key[SIV_KEY], sealed[SIV_TAG + 512];
	char text[1024], out[NAME_MAX + 1];
	struct siv *siv;

	ck_assert_int_eq(
		keys_derive(v.keys, keys_active(v.keys, SCOPE_DEFAULT), "coffer names", NULL, 0, key, sizeof(key)), 0);
	ck_assert_int_eq(siv_new(&siv), 0);
	ck_assert_int_eq(siv_set_key(siv, key), 0);
	ck_assert_int_eq(siv_seal(siv, d->dir->record.id, 16, NULL, padded, n, sealed), 0);
	siv_free(&siv);
	base64url_encode(sealed, SIV_TAG + n, text);
	ck_assert_int_eq(names_decrypt(v.e, d, text, out), -EBADMSG);
}

START_TEST(padding_and_content)
{
	uint8_t p[300] = {0};
	struct node *d;

	start(false, 255);
	d = hold_root();
	assert_sealed_refused(d, p, 0);
	assert_sealed_refused(d, p, 16); /* nothing but padding */
	memset(p, 'a', 15);
	assert_sealed_refused(d, p, 32); /* more than there need be */
	memset(p, 'a', 16);
	assert_sealed_refused(d, p, 32);
	memset(p, 'a', 17);
	assert_sealed_refused(d, p, 17); /* no multiple of 16 */
	memset(p, 'a', 300);
	p[5] = 0;
	assert_sealed_refused(d, p, 16); /* a zero byte inside */
	p[5] = '/';
	assert_sealed_refused(d, p, 16);
	memset(p, 0, 16);
	p[0] = '.';
	assert_sealed_refused(d, p, 16);
	p[1] = '.';
	assert_sealed_refused(d, p, 16);
	memset(p, 'a', 300);
	assert_sealed_refused(d, p, 176); /* longer than name_max without "~" */
	assert_sealed_refused(d, p, 256); /* 256 bytes */
	assert_sealed_refused(d, p, 272);
	directory_end(v.e, d);
	vol_free(&v);
}
END_TEST

/* ------------------------------------------------------------------ sidecars */

static char long_name[NAME_MAX + 1], sidecar[600], entry[600];

static void make_long(void)
{
	char below_name[NAME_MAX + 1];

	memset(long_name, 'L', 200);
	make(&v, ROOT_NODE, long_name);
	make(&v, ROOT_NODE, "short");
	backing(&v, ROOT_NODE, long_name, below_name);
	snprintf(entry, sizeof(entry), "vol/data/%s", below_name);
	snprintf(sidecar, sizeof(sidecar), "vol/data/%s.n", below_name);
}

/* Others are still there, the entry is not. */
static void assert_hidden(void)
{
	assert_shown(ROOT_NODE, "short", true);
	assert_shown(ROOT_NODE, long_name, false);
}

static void plant(const char *text)
{
	unlink(sidecar);
	if (v.settings.portable)
		spill(sidecar, text, strlen(text));
	else
		ck_assert_int_eq(symlink(text, sidecar), 0);
}

static void read_sidecar(char out[600])
{
	ssize_t n = readlink(sidecar, out, 599);

	if (n < 0) {
		struct text t = slurp(sidecar);

		n = (ssize_t)t.n;
		memcpy(out, t.b, t.n);
		free(t.b);
	}
	out[n] = 0;
}

START_TEST(wrong_sidecars)
{
	char good[600], bad[1200], other[600];
	struct stat st;

	start(_i, 255);
	make_long();
	read_sidecar(good);
	ck_assert_int_eq(lstat(sidecar, &st), 0);
	ck_assert_int_eq(S_ISLNK(st.st_mode), !_i);
	unlink(sidecar);
	assert_hidden();
	if (_i) {
		plant("");
		assert_hidden();
	}
	plant("x");
	assert_hidden();
	for (size_t i = 0; i < strlen(good); i += 7) {
		strcpy(bad, good);
		bad[i] = bad[i] == 'A' ? 'B' : 'A';
		plant(bad);
		assert_hidden();
	}
	snprintf(bad, sizeof(bad), "%s\n", good);
	plant(bad);
	assert_hidden();
	snprintf(bad, sizeof(bad), "%s%s", good, good);
	plant(bad);
	assert_hidden();
	/* Another name's, of the same directory. */
	memset(long_name, 'M', 200);
	make(&v, ROOT_NODE, long_name);
	root_path(&v, long_name, other);
	strcat(other, ".n");
	unlink(sidecar);
	ck_assert_int_eq(rename(other, sidecar), 0);
	memset(long_name, 'L', 200);
	assert_hidden();
	/* Put right again. */
	plant(good);
	assert_shown(ROOT_NODE, long_name, true);
	vol_free(&v);
}
END_TEST

/* Things that are no sidecars: they cost their own entry, not the listing, and nobody hangs. */
START_TEST(strange_sidecars)
{
	char good[600];

	start(_i, 255);
	make_long();
	read_sidecar(good);
	unlink(sidecar);
	ck_assert_int_eq(mkdir(sidecar, 0755), 0);
	assert_hidden();
	ck_assert_int_eq(rmdir(sidecar), 0);
	ck_assert_int_eq(mkfifo(sidecar, 0666), 0);
	assert_hidden();
	ck_assert_int_eq(unlink(sidecar), 0);
	ck_assert_int_eq(mknod(sidecar, S_IFSOCK | 0666, 0), 0);
	assert_hidden();
	ck_assert_int_eq(unlink(sidecar), 0);
	/* Zero bytes behind a good text make it another text. */
	spill(sidecar, good, strlen(good));
	assert_shown(ROOT_NODE, long_name, true);
	spill(sidecar, good, strlen(good) + 1);
	assert_hidden();
	vol_free(&v);
}
END_TEST

/* Making a long name that exists says so, and the entry keeps its sidecar. */
START_TEST(existing_long_name)
{
	struct node_attr a;
	uint64_t node;

	start(_i, 255);
	make_long();
	node = look(&v, ROOT_NODE, "short");
	ck_assert_int_eq(fs_mknod(v.e, &me, ROOT_NODE, long_name, S_IFREG | 0644, 0, &a), -EEXIST);
	assert_shown(ROOT_NODE, long_name, true);
	ck_assert_int_eq(fs_mkdir(v.e, &me, ROOT_NODE, long_name, 0755, &a), -EEXIST);
	assert_shown(ROOT_NODE, long_name, true);
	ck_assert_int_eq(fs_mknod(v.e, &me, ROOT_NODE, long_name, S_IFIFO | 0644, 0, &a), -EEXIST);
	ck_assert_int_eq(fs_symlink(v.e, &me, "target", ROOT_NODE, long_name, &a), -EEXIST);
	ck_assert_int_eq(fs_link(v.e, &me, node, ROOT_NODE, long_name, &a), -EEXIST);
	assert_shown(ROOT_NODE, long_name, true);
	ck_assert_uint_eq(raw_count(true), 2);
	/* Renaming over it, and it over another. */
	ck_assert_int_eq(fs_rename(v.e, ROOT_NODE, "short", ROOT_NODE, long_name, 0), 0);
	assert_shown(ROOT_NODE, long_name, true);
	ck_assert_int_eq(fs_rename(v.e, ROOT_NODE, long_name, ROOT_NODE, "short", 0), 0);
	assert_shown(ROOT_NODE, "short", true);
	ck_assert_uint_eq(raw_count(true), 1);
	vol_free(&v);
}
END_TEST

START_TEST(long_names_everywhere)
{
	char other[NAME_MAX + 1] = {0};
	uint64_t dir, inner;

	start(_i, 255);
	memset(other, 'D', 255);
	make_long();
	dir = make_dir(&v, ROOT_NODE, other);
	inner = make_dir(&v, dir, other);
	make(&v, inner, long_name);
	ck_assert_int_eq(fs_rename(v.e, ROOT_NODE, long_name, ROOT_NODE, other, 2 /* exchange */), 0);
	assert_shown(ROOT_NODE, long_name, true);
	assert_shown(ROOT_NODE, other, true);
	vol_restart(&v);
	ck_assert_uint_eq(attr(&v, walk(&v, long_name)).mode & S_IFMT, S_IFDIR);
	ck_assert_int_eq(fs_rename(v.e, ROOT_NODE, long_name, ROOT_NODE, other, 2), 0);
	dir = walk(&v, other);
	inner = look(&v, dir, other);
	/* A directory with a long name over an empty one with a long name. */
	make_dir(&v, dir, long_name);
	ck_assert_int_eq(fs_rename(v.e, dir, other, dir, long_name, 0), 0);
	assert_shown(dir, long_name, true);
	assert_shown(look(&v, dir, long_name), long_name, true);
	ck_assert_int_eq(fs_unlink(v.e, look(&v, dir, long_name), long_name), 0);
	ck_assert_int_eq(fs_rmdir(v.e, dir, long_name), 0);
	ck_assert_int_eq(fs_rmdir(v.e, ROOT_NODE, other), 0);
	vol_free(&v);
}
END_TEST

/* ------------------------------------------------------------------ two generations */

/* Gives the volume's keys a third generation, which becomes the active one of the tree. */
static void add_generation(void)
{
	struct keys *k = v.keys;
	struct generation_key *g = realloc(k->generations, (k->count + 1) * sizeof(*g));

	ck_assert_ptr_nonnull(g);
	k->generations = g;
	for (uint32_t i = 0; i < k->count; i++)
		if (g[i].scope == SCOPE_DEFAULT)
			g[i].state = KEY_DEACTIVATED;
	g[k->count] = (struct generation_key){
		.number = k->count + 1, .scope = SCOPE_DEFAULT, .state = KEY_ACTIVE, .prk = secret_new(32)};
	memset(g[k->count].prk->bytes, 0x77, 32);
	k->active[SCOPE_DEFAULT] = ++k->count;
}

/* The record of the root as a pass over its names would leave it for the moment. */
static void set_record(uint32_t generation, uint32_t next)
{
	struct directory_record r = {.generation = generation, .next = next};
	char text[DIRECTORY_RECORD_TEXT + 1];

	memcpy(r.id, keyring_root_directory(v.keyring), DIRECTORY_ID_SIZE);
	ck_assert_int_eq(directory_record_seal(v.keys->directory_key, &r, text), 0);
	ck_assert_int_eq(unlink("vol/data/.coffer-dir"), 0);
	if (v.settings.portable)
		spill("vol/data/.coffer-dir", text, strlen(text));
	else
		ck_assert_int_eq(symlink(text, "vol/data/.coffer-dir"), 0);
}

START_TEST(names_being_moved)
{
	uint64_t old_node, new_node;
	char old_path[600], new_path[600], sides[600];
	struct shown s;

	start(_i, 255);
	add_generation();
	make_long();
	make(&v, ROOT_NODE, "both");
	root_path(&v, "both", old_path);
	old_node = attr(&v, walk(&v, "both")).ino;
	vol_stop(&v);

	set_record(1, 3);
	vol_start(&v);
	/* Under the older generation all are found and listed; new ones stand under the next. */
	s = list_dir(&v, ROOT_NODE);
	ck_assert_uint_eq(s.count, 3);
	shown_free(&s);
	ck_assert_uint_ne(walk(&v, long_name), 0);
	ck_assert_uint_ne(walk(&v, "short"), 0);
	{
		struct node_attr a;

		ck_assert_int_eq(fs_mknod(v.e, &me, ROOT_NODE, "short", S_IFREG | 0644, 0, &a), -EEXIST);
		ck_assert_int_eq(fs_mkdir(v.e, &me, ROOT_NODE, long_name, 0755, &a), -EEXIST);
	}
	make(&v, ROOT_NODE, "fresh");
	root_path(&v, "fresh", new_path);
	vol_stop(&v);
	set_record(3, 0);
	vol_start(&v);
	s = list_dir(&v, ROOT_NODE);
	ck_assert_uint_eq(s.count, 1);
	ck_assert_str_eq(s.names[0], "fresh");
	shown_free(&s);
	/* A cut left "both" under both: the next one wins. */
	new_node = attr(&v, make(&v, ROOT_NODE, "both")).ino;
	ck_assert_uint_ne(old_node, new_node);
	vol_stop(&v);
	set_record(1, 3);
	vol_start(&v);
	ck_assert_uint_eq(attr(&v, walk(&v, "both")).ino, new_node);
	s = list_dir(&v, ROOT_NODE);
	ck_assert_uint_eq(s.count, 4);
	shown_free(&s);
	/* A name that is moved goes to the next generation. */
	ck_assert_int_eq(fs_rename(v.e, ROOT_NODE, "short", ROOT_NODE, "moved", 0), 0);
	root_path(&v, long_name, sides);
	ck_assert_int_eq(fs_unlink(v.e, ROOT_NODE, long_name), 0);
	strcat(sides, ".n");
	ck_assert_int_eq(access(sides, F_OK), -1);
	vol_stop(&v);
	set_record(3, 0);
	vol_start(&v);
	ck_assert_uint_ne(walk(&v, "moved"), 0);
	vol_free(&v);
}
END_TEST

/* ------------------------------------------------------------------ ids of directories */

START_TEST(lost_ids)
{
	char path[600], id[700], aside[700];
	struct node_attr a;
	uint64_t dir;

	start(_i, 255);
	dir = make_dir(&v, ROOT_NODE, "dir");
	make(&v, dir, "file");
	root_path(&v, "dir", path);
	snprintf(id, sizeof(id), "%s/.coffer-dir", path);
	snprintf(aside, sizeof(aside), "%s/.coffer-aside", path);
	ck_assert_int_eq(rename(id, aside), 0);
	vol_restart(&v);
	dir = walk(&v, "dir");
	ck_assert_uint_ne(dir, 0);
	ck_assert_int_eq(fs_lookup(v.e, dir, "file", &a), -EIO);
	ck_assert_int_eq(fs_mknod(v.e, &me, dir, "new", S_IFREG | 0644, 0, &a), -EIO);
	ck_assert_uint_gt(log_lines("the id of directory /dir is missing"), 0);
	/* The root's cannot be replaced by another directory's. */
	vol_stop(&v);
	ck_assert_int_eq(rename("vol/data/.coffer-dir", "vol/data/.coffer-aside"), 0);
	ck_assert_int_eq(rename(aside, "vol/data/.coffer-dir"), 0);
	{
		struct fault why = {0};

		ck_assert_int_lt(engine_start(v.store, v.dot, v.data, &v.settings, keyring_root_directory(v.keyring),
					      v.keys, &v.options, &v.e, &why),
				 0);
		ck_assert_int_eq(why.status, EXIT_DAMAGED);
	}
	ck_assert_int_eq(rename("vol/data/.coffer-dir", id), 0);
	ck_assert_int_eq(rename("vol/data/.coffer-aside", "vol/data/.coffer-dir"), 0);
	vol_start(&v);
	ck_assert_uint_ne(walk(&v, "dir/file"), 0);
	vol_free(&v);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("names");

	tcase_add_loop_test(t, every_length, 0, 4);
	tcase_add_test(t, refused_names);
	tcase_add_loop_test(t, names_of_the_format, 0, 2);
	tcase_add_test(t, same_name_elsewhere);
	tcase_add_test(t, canonical_only);
	tcase_add_test(t, padding_and_content);
	tcase_add_loop_test(t, wrong_sidecars, 0, 2);
	tcase_add_loop_test(t, strange_sidecars, 0, 2);
	tcase_add_loop_test(t, existing_long_name, 0, 2);
	tcase_add_loop_test(t, long_names_everywhere, 0, 2);
	tcase_add_loop_test(t, names_being_moved, 0, 2);
	tcase_add_loop_test(t, lost_ids, 0, 2);
	return run_engine_suite("engine_names", t);
}
