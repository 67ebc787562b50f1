/* The id record of a directory: the text of its `.coffer-dir` (docs/format-volume.md section 4). */
#include <errno.h>
#include <string.h>

#include "keymgr/keyring.h"
#include "util/base/bytes.h"
#include "util/base/encode.h"

enum {
	RECORD_VERSION = 1,
	RECORD_SIGNED = 1 + 4 + 4 + DIRECTORY_ID_SIZE, /* what the MAC covers */
	RECORD_MAC = 16,
	RECORD_SIZE = RECORD_SIGNED + RECORD_MAC,
};
_Static_assert(RECORD_SIGNED == 25 && RECORD_SIZE == 41, "docs/format-volume.md section 4");

static int record_mac(const struct secret *key, const uint8_t record[RECORD_SIZE], uint8_t mac[SHA256_SIZE])
{
	return hmac_sha256(key->bytes, key->size, record, RECORD_SIGNED, mac);
}

int directory_record_seal(const struct secret *directory_key, const struct directory_record *r,
			  char out[DIRECTORY_RECORD_TEXT + 1])
{
	uint8_t record[RECORD_SIZE], mac[SHA256_SIZE];
	int ret;

	out[0] = '\0';
	record[0] = RECORD_VERSION;
	put_le32(record + 1, r->generation);
	put_le32(record + 5, r->next);
	memcpy(record + 9, r->id, DIRECTORY_ID_SIZE);
	ret = record_mac(directory_key, record, mac);
	if (ret < 0)
		return ret;
	memcpy(record + RECORD_SIGNED, mac, RECORD_MAC);
	base64url_encode(record, sizeof(record), out);
	return 0;
}

int directory_record_open(const struct secret *directory_key, const char *text, size_t n, struct directory_record *r)
{
	uint8_t record[RECORD_SIZE], mac[SHA256_SIZE];
	int ret;

	memset(r, 0, sizeof(*r));
	if (n != DIRECTORY_RECORD_TEXT || base64url_decode(text, n, record, sizeof(record)) != RECORD_SIZE)
		return -EBADMSG;
	if (record[0] != RECORD_VERSION)
		return -EBADMSG;
	ret = record_mac(directory_key, record, mac);
	if (ret < 0)
		return ret;
	if (!crypto_equal(mac, record + RECORD_SIGNED, RECORD_MAC))
		return -EBADMSG;
	r->generation = get_le32(record + 1);
	r->next = get_le32(record + 5);
	memcpy(r->id, record + 9, DIRECTORY_ID_SIZE);
	return 0;
}

int directory_record_accept(const struct keys *keys, const char *text, size_t n, struct directory_record *r)
{
	int ret = directory_record_open(keys->directory_key, text, n, r);

	for (uint32_t i = keys->older_count; ret == -EBADMSG && i > 0; i--) {
		const struct older_directory_key *older = &keys->older[i - 1];

		ret = directory_record_open(older->key, text, n, r);
		if (ret == 0 && (r->generation >= older->until || r->next >= older->until)) {
			memset(r, 0, sizeof(*r));
			ret = -EBADMSG;
		}
	}
	return ret;
}
