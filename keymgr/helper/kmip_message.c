#include "keymgr/helper/kmip.h"

#include <stdio.h>
#include <string.h>

/* Section 9.1.3.1. */
enum tag {
	ATTRIBUTE = 0x420008,
	ATTRIBUTE_NAME = 0x42000a,
	ATTRIBUTE_VALUE = 0x42000b,
	BATCH_COUNT = 0x42000d,
	BATCH_ITEM = 0x42000f,
	BLOCK_CIPHER_MODE = 0x420011,
	CRYPTOGRAPHIC_ALGORITHM = 0x420028,
	CRYPTOGRAPHIC_PARAMETERS = 0x42002b,
	IV_COUNTER_NONCE = 0x42003d,
	MAXIMUM_RESPONSE_SIZE = 0x420050,
	OPERATION = 0x42005c,
	PROTOCOL_VERSION = 0x420069,
	PROTOCOL_VERSION_MAJOR = 0x42006a,
	PROTOCOL_VERSION_MINOR = 0x42006b,
	REQUEST_HEADER = 0x420077,
	REQUEST_MESSAGE = 0x420078,
	REQUEST_PAYLOAD = 0x420079,
	RESPONSE_HEADER = 0x42007a,
	RESPONSE_MESSAGE = 0x42007b,
	RESPONSE_PAYLOAD = 0x42007c,
	RESULT_MESSAGE = 0x42007d,
	RESULT_REASON = 0x42007e,
	RESULT_STATUS = 0x42007f,
	UNIQUE_IDENTIFIER = 0x420094,
	DATA = 0x4200c2,
	TAG_LENGTH = 0x4200ce,
	ADDITIONAL_DATA = 0x4200fe,
	ENCRYPTION_TAG = 0x4200ff,
};

/* Section 9.1.3.2. */
enum {
	ALGORITHM_AES = 3,
	MODE_GCM = 9,
	STATUS_SUCCESS = 0,
	STATUS_FAILED = 1,
	REASON_ITEM_NOT_FOUND = 1,
	REASON_CRYPTOGRAPHIC_FAILURE = 0x0a,
	REASON_PERMISSION_DENIED = 0x0c,
	REASON_OBJECT_ARCHIVED = 0x0d,
	REASON_OBJECT_DESTROYED = 0x36, /* these: of 2.0, and what servers of 1.4 say too */
	REASON_OBJECT_NOT_FOUND = 0x37,
	REASON_WRONG_KEY_LIFECYCLE_STATE = 0x43,
};

#define ATTRIBUTE_STATE     "State"
#define ATTRIBUTE_ALGORITHM "Cryptographic Algorithm"
#define ATTRIBUTE_LENGTH    "Cryptographic Length"

/* --- requests */

static struct ttlv_writer begin(enum kmip_operation operation, const char *key, uint8_t *room, size_t n)
{
	struct ttlv_writer w = TTLV_WRITER(room, n);

	ttlv_begin(&w, REQUEST_MESSAGE);
	ttlv_begin(&w, REQUEST_HEADER);
	ttlv_begin(&w, PROTOCOL_VERSION);
	ttlv_put_number(&w, PROTOCOL_VERSION_MAJOR, TTLV_INTEGER, 1);
	ttlv_put_number(&w, PROTOCOL_VERSION_MINOR, TTLV_INTEGER, 4);
	ttlv_end(&w);
	ttlv_put_number(&w, MAXIMUM_RESPONSE_SIZE, TTLV_INTEGER, TTLV_MESSAGE_MAX);
	ttlv_put_number(&w, BATCH_COUNT, TTLV_INTEGER, 1);
	ttlv_end(&w);
	ttlv_begin(&w, BATCH_ITEM);
	ttlv_put_number(&w, OPERATION, TTLV_ENUMERATION, operation);
	ttlv_begin(&w, REQUEST_PAYLOAD);
	ttlv_put_text(&w, UNIQUE_IDENTIFIER, key);
	return w;
}

static size_t end(struct ttlv_writer *w)
{
	ttlv_end(w);
	ttlv_end(w);
	ttlv_end(w);
	return ttlv_size(w);
}

size_t kmip_ask_attributes(const char *key, uint8_t *room, size_t n)
{
	struct ttlv_writer w = begin(KMIP_GET_ATTRIBUTES, key, room, n);

	ttlv_put_text(&w, ATTRIBUTE_NAME, ATTRIBUTE_STATE);
	ttlv_put_text(&w, ATTRIBUTE_NAME, ATTRIBUTE_ALGORITHM);
	ttlv_put_text(&w, ATTRIBUTE_NAME, ATTRIBUTE_LENGTH);
	return end(&w);
}

static void put_parameters(struct ttlv_writer *w)
{
	ttlv_begin(w, CRYPTOGRAPHIC_PARAMETERS);
	ttlv_put_number(w, BLOCK_CIPHER_MODE, TTLV_ENUMERATION, MODE_GCM);
	ttlv_put_number(w, CRYPTOGRAPHIC_ALGORITHM, TTLV_ENUMERATION, ALGORITHM_AES);
	ttlv_put_number(w, TAG_LENGTH, TTLV_INTEGER, KMIP_TAG_SIZE);
	ttlv_end(w);
}

size_t kmip_ask_encrypt(const char *key, struct span aad, const uint8_t iv[KMIP_IV_SIZE], struct span plain,
			uint8_t *room, size_t n)
{
	struct ttlv_writer w = begin(KMIP_ENCRYPT, key, room, n);

	put_parameters(&w);
	ttlv_put_bytes(&w, DATA, TTLV_BYTES, plain.at, plain.size);
	ttlv_put_bytes(&w, IV_COUNTER_NONCE, TTLV_BYTES, iv, KMIP_IV_SIZE);
	ttlv_put_bytes(&w, ADDITIONAL_DATA, TTLV_BYTES, aad.at, aad.size);
	return end(&w);
}

size_t kmip_ask_decrypt(const char *key, struct span aad, struct span iv, struct span value, uint8_t *room, size_t n)
{
	struct ttlv_writer w = begin(KMIP_DECRYPT, key, room, n);
	size_t data = value.size - KMIP_TAG_SIZE;

	put_parameters(&w);
	ttlv_put_bytes(&w, DATA, TTLV_BYTES, value.at, data);
	ttlv_put_bytes(&w, IV_COUNTER_NONCE, TTLV_BYTES, iv.at, iv.size);
	ttlv_put_bytes(&w, ADDITIONAL_DATA, TTLV_BYTES, aad.at, aad.size);
	ttlv_put_bytes(&w, ENCRYPTION_TAG, TTLV_BYTES, value.at + data, KMIP_TAG_SIZE);
	return end(&w);
}

/* --- responses */

static bool number_is(struct ttlv_items in, uint32_t tag, enum ttlv_type type, int64_t wanted)
{
	struct ttlv t;

	return ttlv_find(in, tag, type, &t) && ttlv_number(&t) == wanted;
}

static const char *word_for(struct ttlv_items item)
{
	struct ttlv reason;

	if (!ttlv_find(item, RESULT_REASON, TTLV_ENUMERATION, &reason))
		return KMIP_FAILED;
	switch (ttlv_number(&reason)) {
	case REASON_ITEM_NOT_FOUND:
	case REASON_OBJECT_NOT_FOUND:
	case REASON_OBJECT_DESTROYED:
		return KMIP_NOT_FOUND;
	case REASON_PERMISSION_DENIED:
	case REASON_OBJECT_ARCHIVED:
	case REASON_WRONG_KEY_LIFECYCLE_STATE:
		return KMIP_DENIED;
	case REASON_CRYPTOGRAPHIC_FAILURE:
		return KMIP_DOES_NOT_OPEN;
	default:
		return KMIP_FAILED;
	}
}

static void copy_message(struct ttlv_items item, char out[KMIP_SAID_MAX])
{
	struct ttlv t;
	size_t n = 0;

	if (ttlv_find(item, RESULT_MESSAGE, TTLV_TEXT, &t))
		for (; n < t.size && n < KMIP_SAID_MAX - 1; n++)
			out[n] = (char)(t.at[n] >= ' ' && t.at[n] <= '~' ? t.at[n] : '?');
	out[n] = '\0';
	if (n == 0)
		snprintf(out, KMIP_SAID_MAX, "it does not say why");
}

bool kmip_read(const uint8_t *message, size_t n, enum kmip_operation asked, struct kmip_answer *out)
{
	struct ttlv_items all = {message, n};
	struct ttlv t, header, item, status;

	*out = (struct kmip_answer){0};
	if (!ttlv_is_sound(message, n) || !ttlv_next(&all, &t) || t.tag != RESPONSE_MESSAGE ||
	    !ttlv_find(ttlv_inside(&t), RESPONSE_HEADER, TTLV_STRUCTURE, &header) ||
	    !number_is(ttlv_inside(&header), BATCH_COUNT, TTLV_INTEGER, 1) ||
	    !ttlv_find(ttlv_inside(&t), BATCH_ITEM, TTLV_STRUCTURE, &item) ||
	    !ttlv_find(ttlv_inside(&item), RESULT_STATUS, TTLV_ENUMERATION, &status))
		return false;
	if (ttlv_number(&status) == STATUS_FAILED) {
		out->refused = word_for(ttlv_inside(&item));
		copy_message(ttlv_inside(&item), out->said);
		return true;
	}
	if (ttlv_number(&status) != STATUS_SUCCESS ||
	    !number_is(ttlv_inside(&item), OPERATION, TTLV_ENUMERATION, asked) ||
	    !ttlv_find(ttlv_inside(&item), RESPONSE_PAYLOAD, TTLV_STRUCTURE, &t))
		return false;
	out->payload = ttlv_inside(&t);
	return true;
}

/* --- payloads */

static bool text_is(const struct ttlv *t, const char *text)
{
	return t->size == strlen(text) && memcmp(t->at, text, t->size) == 0;
}

/* The value of the attribute of that name. */
static bool attribute(struct ttlv_items payload, const char *name, enum ttlv_type type, int64_t *out)
{
	struct ttlv t, named, value;

	while (ttlv_next(&payload, &t))
		if (t.tag == ATTRIBUTE && t.type == TTLV_STRUCTURE &&
		    ttlv_find(ttlv_inside(&t), ATTRIBUTE_NAME, TTLV_TEXT, &named) && text_is(&named, name) &&
		    ttlv_find(ttlv_inside(&t), ATTRIBUTE_VALUE, type, &value)) {
			*out = ttlv_number(&value);
			return true;
		}
	return false;
}

/* Section 9.1.3.2.18. */
static const char *state_name(int64_t state)
{
	static const char *const names[] = {NULL,          "pre-active", KMIP_STATE_ACTIVE,      "deactivated",
					    "compromised", "destroyed",  "destroyed-compromised"};

	return state >= 0 && (size_t)state < sizeof(names) / sizeof(names[0]) ? names[state] : NULL;
}

void kmip_read_attributes(const struct kmip_answer *a, struct kmip_attributes *out)
{
	int64_t state = 0, algorithm = 0, length = 0;

	*out = (struct kmip_attributes){0};
	if (attribute(a->payload, ATTRIBUTE_STATE, TTLV_ENUMERATION, &state))
		out->state = state_name(state);
	out->aes_256 = attribute(a->payload, ATTRIBUTE_ALGORITHM, TTLV_ENUMERATION, &algorithm) &&
		       algorithm == ALGORITHM_AES && attribute(a->payload, ATTRIBUTE_LENGTH, TTLV_INTEGER, &length) &&
		       length == 256;
}

bool kmip_read_encrypted(const struct kmip_answer *a, uint8_t value[KMIP_VALUE_SIZE])
{
	struct ttlv data, tag;

	if (!ttlv_find(a->payload, DATA, TTLV_BYTES, &data) || data.size != KMIP_PLAIN_SIZE ||
	    !ttlv_find(a->payload, ENCRYPTION_TAG, TTLV_BYTES, &tag) || tag.size != KMIP_TAG_SIZE)
		return false;
	memcpy(value, data.at, KMIP_PLAIN_SIZE);
	memcpy(value + KMIP_PLAIN_SIZE, tag.at, KMIP_TAG_SIZE);
	return true;
}

bool kmip_read_decrypted(const struct kmip_answer *a, uint8_t plain[KMIP_PLAIN_SIZE])
{
	struct ttlv data;

	if (!ttlv_find(a->payload, DATA, TTLV_BYTES, &data) || data.size != KMIP_PLAIN_SIZE)
		return false;
	memcpy(plain, data.at, KMIP_PLAIN_SIZE);
	return true;
}
