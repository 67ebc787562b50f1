/* Recovery keys: 240 random bits as text that people copy by hand (docs/format-keyring.md section 8).
 *
 * Each group of 6 characters has a check character: a weighted sum in GF(32) with a different weight for each place and for the
 * group's number.  So every single wrong character and every exchange of two characters or of two groups shows. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "keymgr/unlock.h"

enum {
	RAW_SIZE = 30,
	GROUP_DATA = 6,
	GROUP_SIZE = GROUP_DATA + 1,
	CHARACTERS = RECOVERY_GROUPS * GROUP_SIZE,
	BITS = 5,
};

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* A recovery key without its separators: values 0 to 31, NOT_A_DIGIT for other characters. */
enum { NOT_A_DIGIT = 0xff };
struct digits {
	size_t count; /* may exceed the room */
	uint8_t d[CHARACTERS];
};

static void digits_wipe(struct digits *d)
{
	wipe(d, sizeof(*d));
}

/* Multiplies by x in GF(32), polynomial x^5 + x^2 + 1, without a branch on the secret. */
static uint8_t times_x(uint8_t a)
{
	return (uint8_t)((a << 1 ^ (0x25 & -(a >> 4))) & 0x1f);
}

static uint8_t group_check(const uint8_t d[GROUP_DATA], unsigned group)
{
	uint8_t sum = (uint8_t)group;

	/* Horner: a^7 g + a^6 d6 + ... + a^1 d1 */
	for (int i = GROUP_DATA - 1; i >= 0; i--)
		sum = times_x(sum) ^ d[i];
	return times_x(sum);
}

static uint8_t digit_of(char c)
{
	const char *at;

	c = (char)toupper((unsigned char)c);
	if (c == 'O')
		c = '0';
	else if (c == 'I' || c == 'L')
		c = '1';
	at = c ? strchr(alphabet, c) : NULL;
	return at ? (uint8_t)(at - alphabet) : NOT_A_DIGIT;
}

static void read_digits(const struct secret *text, struct digits *out)
{
	*out = (struct digits){0};
	for (size_t i = 0; i < text->size; i++) {
		char c = (char)text->bytes[i];

		if (c == ' ' || c == '-')
			continue;
		if (out->count < CHARACTERS)
			out->d[out->count] = digit_of(c);
		out->count++;
	}
}

/* Whether somebody meant to type a recovery key: about the right length, and nearly all from the alphabet. */
static bool has_shape(const struct digits *digits)
{
	size_t strange = 0;

	if (digits->count < CHARACTERS - 2 || digits->count > CHARACTERS + 2)
		return false;
	for (size_t i = 0; i < digits->count && i < CHARACTERS; i++)
		strange += digits->d[i] == NOT_A_DIGIT;
	return strange <= 2;
}

static bool group_wrong(const uint8_t *g, unsigned number)
{
	for (int i = 0; i < GROUP_SIZE; i++)
		if (g[i] == NOT_A_DIGIT)
			return true;
	return group_check(g, number) != g[GROUP_DATA];
}

static int check_groups(const struct digits *digits, struct fault *why)
{
	for (unsigned i = 0; i < RECOVERY_GROUPS; i++)
		if (group_wrong(digits->d + i * GROUP_SIZE, i + 1))
			return fault_set(why, EXIT_WRONG_SECRET, EINVAL,
					 "group %u of the recovery key is mistyped or in the wrong place; compare it "
					 "with your copy",
					 i + 1);
	return 0;
}

/* 5 bits of each data character, most significant first. */
static void pack(const struct digits *digits, uint8_t out[RAW_SIZE])
{
	unsigned bits = 0, held = 0;
	size_t n = 0;

	for (size_t i = 0; i < CHARACTERS; i++) {
		if (i % GROUP_SIZE == GROUP_DATA)
			continue;
		held = held << BITS | digits->d[i];
		bits += BITS;
		if (bits >= 8) {
			bits -= 8;
			out[n++] = (uint8_t)(held >> bits);
			held &= (1U << bits) - 1;
		}
	}
	wipe(&held, sizeof(held));
}

static void unpack(const uint8_t raw[RAW_SIZE], struct digits *out)
{
	for (size_t i = 0; i < RECOVERY_GROUPS * GROUP_DATA; i++) {
		size_t bit = i * BITS, byte = bit / 8;
		unsigned two = (unsigned)raw[byte] << 8 | (byte + 1 < RAW_SIZE ? raw[byte + 1] : 0);

		out->d[i / GROUP_DATA * GROUP_SIZE + i % GROUP_DATA] = two >> (16 - BITS - bit % 8) & 0x1f;
	}
	for (unsigned g = 0; g < RECOVERY_GROUPS; g++)
		out->d[g * GROUP_SIZE + GROUP_DATA] = group_check(out->d + g * GROUP_SIZE, g + 1);
}

int recovery_key_new(struct unlock_secret *out)
{
	_cleanup_secret_ struct secret *raw = secret_new(RAW_SIZE), *text = secret_new(RECOVERY_TEXT);
	_cleanup_(digits_wipe) struct digits digits = {0};
	uint8_t *at;
	int ret;

	*out = (struct unlock_secret){.kind = SECRET_RECOVERY_KEY};
	if (!raw || !text)
		return -ENOMEM;
	ret = crypto_random(raw->bytes, raw->size);
	if (ret < 0)
		return ret;
	unpack(raw->bytes, &digits);
	at = text->bytes;
	for (size_t i = 0; i < CHARACTERS; i++) {
		if (i > 0 && i % GROUP_SIZE == 0)
			*at++ = '-';
		*at++ = (uint8_t)alphabet[digits.d[i]];
	}
	out->bytes = secret_move(&text);
	return 0;
}

int recovery_key_parse(const struct secret *text, struct secret **raw, bool *looks_like, struct fault *why)
{
	_cleanup_(digits_wipe) struct digits digits;
	int ret;

	*raw = NULL;
	read_digits(text, &digits);
	*looks_like = has_shape(&digits);
	if (digits.count != CHARACTERS)
		return fault_set(why, EXIT_WRONG_SECRET, EINVAL,
				 "a recovery key has %d groups of %d characters, and this has %zu characters in all; "
				 "compare it with your copy",
				 RECOVERY_GROUPS, GROUP_SIZE, digits.count);
	ret = check_groups(&digits, why);
	if (ret < 0)
		return ret;
	*raw = secret_new(RAW_SIZE);
	if (!*raw)
		return -ENOMEM;
	pack(&digits, (*raw)->bytes);
	return 0;
}
