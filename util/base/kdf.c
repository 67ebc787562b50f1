/* Key derivation with coffer's labels (kdf.h, kdf_labels.h). */
#include "util/base/kdf.h"

#include <errno.h>
#include <string.h>

#include "util/base/bytes.h"
#include "util/base/secret.h"

enum { INFO_MAX = 256 }; /* far above every label, cipher name and id; what is derived from is never long */

struct info {
	uint8_t bytes[INFO_MAX];
	size_t used;
};

static int add_part(struct info *i, const void *part, size_t n)
{
	if (n > UINT16_MAX || i->used + 2 + n > sizeof(i->bytes))
		return -EINVAL;
	put_le16(i->bytes + i->used, (uint16_t)n);
	if (n > 0)
		memcpy(i->bytes + i->used + 2, part, n);
	i->used += 2 + n;
	return 0;
}

int kdf_extract(const void *secret, size_t n, uint8_t prk[SHA256_SIZE])
{
	return hkdf_extract(NULL, 0, secret, n, prk);
}

int kdf_expand(const uint8_t prk[SHA256_SIZE], const char *label, const uint8_t volume_id[VOLUME_ID_SIZE],
	       const char *cipher, const void *extra, size_t extra_size, void *out, size_t out_size)
{
	struct info info = {.used = 0};
	int r = add_part(&info, label, strlen(label));

	if (r == 0)
		r = add_part(&info, volume_id, VOLUME_ID_SIZE);
	if (r == 0)
		r = add_part(&info, cipher, strlen(cipher));
	if (r == 0 && extra)
		r = add_part(&info, extra, extra_size);
	if (r < 0) {
		wipe(out, out_size);
		return r;
	}
	return hkdf_expand(prk, info.bytes, info.used, out, out_size);
}
