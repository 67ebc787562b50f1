/* Gives every scope of a volume a new generation, as on a day in the past: aged DIR KEYFILE DAYS.  The volume is not mounted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keymgr/document.h"
#include "keymgr/generations.h"
#include "keymgr/testing.h"
#include "util/base/atomic_file.h"

enum { KEY_FILE_SIZE = 64, SCOPES = SCOPES_BUILT_IN };

static int read_key(const char *path, struct unlock_secret *out)
{
	FILE *f = fopen(path, "re");
	size_t n = 0;

	out->kind = SECRET_KEY_FILE;
	out->bytes = secret_new(KEY_FILE_SIZE);
	if (f && out->bytes)
		n = fread(out->bytes->bytes, 1, KEY_FILE_SIZE, f);
	if (f)
		fclose(f);
	return n == KEY_FILE_SIZE ? 0 : -1;
}

static int rotate(struct store *s, int dot, struct keyring *k, struct fault *why)
{
	struct keyring_change *change;
	uint32_t ignored;
	int r = keyring_change_begin(s, dot, k, &change, why);

	for (uint32_t scope = 0; r == 0 && scope < SCOPES; scope++)
		r = keyring_rotate(k, scope, &ignored, why);
	return r == 0 ? keyring_change_commit(&change, why) : r;
}

static int run(const char *dir, const char *key, struct fault *why)
{
	struct store *s = store_posix_new();
	struct unlock_secret secret = {0};
	struct keyring *k = NULL;
	int dot, data, r = read_key(key, &secret);

	if (r == 0)
		r = volume_open_dir(s, dir, &dot, &data, why);
	if (r == 0)
		r = keyring_read(s, dot, &k, why);
	if (r == 0)
		r = keyring_unlock(k, &secret, why);
	if (r == 0)
		r = rotate(s, dot, k, why);
	keyring_free(&k);
	unlock_secret_wipe(&secret);
	s->ops->destroy(s);
	return r;
}

int main(int argc, char **argv)
{
	struct fault why = {0};
	int r;

	if (argc != 4 || crypto_start() < 0 || secret_start(1 << 20) < 0)
		return 2;
	document_set_clock_for_tests(document_now() - (time_t)atoi(argv[3]) * 86400);
	r = run(argv[1], argv[2], &why);
	if (r < 0)
		fprintf(stderr, "%s\n", why.text);
	secret_stop();
	return r < 0;
}
