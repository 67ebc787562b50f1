/* Whether the keyring's file is still what it was. */
#include "keymgr/internal.h"

int keyring_stamp(struct store *s, int dot, struct keyring_stamp *out)
{
	struct store_stat st;
	int ret = store_stat_at(s, dot, KEYRING_FILE, &st);

	if (ret == 0)
		*out = (struct keyring_stamp){st.dev, st.ino, st.size, st.mtime, st.ctime};
	return ret;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool keyring_stamp_same(const struct keyring_stamp *a, const struct keyring_stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size && same_time(&a->mtime, &b->mtime) &&
	       same_time(&a->ctime, &b->ctime);
}
