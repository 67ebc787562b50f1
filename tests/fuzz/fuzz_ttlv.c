/* KMIP's encoding: whatever comes, it is refused, or is to the byte what writing its items again gives; and responses are read without a fault. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "keymgr/helper/kmip.h"

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void write_again(struct ttlv_writer *w, struct ttlv_items items)
{
	struct ttlv t;

	while (ttlv_next(&items, &t)) {
		if (t.type == TTLV_STRUCTURE) {
			ttlv_begin(w, t.tag);
			write_again(w, ttlv_inside(&t));
			ttlv_end(w);
		} else if (t.type == TTLV_TEXT || t.type == TTLV_BYTES || t.type == TTLV_BIG_INTEGER) {
			ttlv_put_bytes(w, t.tag, t.type, t.at, t.size);
		} else {
			ttlv_put_number(w, t.tag, t.type, ttlv_number(&t));
		}
	}
}

static void read_as(const uint8_t *message, size_t n, enum kmip_operation operation)
{
	uint8_t value[KMIP_VALUE_SIZE], plain[KMIP_PLAIN_SIZE];
	struct kmip_attributes about;
	struct kmip_answer a;

	if (!kmip_read(message, n, operation, &a))
		return;
	must(memchr(a.said, '\0', sizeof(a.said)) != NULL);
	must(!a.refused == (a.said[0] == '\0'));
	if (a.refused)
		return;
	kmip_read_attributes(&a, &about);
	(void)!kmip_read_encrypted(&a, value);
	(void)!kmip_read_decrypted(&a, plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t room[TTLV_MESSAGE_MAX];
	struct ttlv_writer w = TTLV_WRITER(room, sizeof(room));
	uint8_t *message = malloc(size ? size : 1); /* of the exact size, so that a read behind it is seen */

	if (!message)
		return 0;
	if (size)
		memcpy(message, data, size);
	if (ttlv_is_sound(message, size)) {
		write_again(&w, (struct ttlv_items){message, size});
		must(ttlv_size(&w) == size && memcmp(room, message, size) == 0);
	}
	read_as(message, size, KMIP_GET_ATTRIBUTES);
	read_as(message, size, KMIP_ENCRYPT);
	read_as(message, size, KMIP_DECRYPT);
	free(message);
	return 0;
}
