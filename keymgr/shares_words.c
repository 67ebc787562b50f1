/* Shares as words: 10 bits a word, a checksum of three words at the end (SLIP-0039, "Format of the share mnemonic" and "Checksum"). */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/shares.h"

enum { RADIX_BITS = 10, HEAD_WORDS = 4, CHECK_WORDS = 3, WORD_MAX = 8, LEAST_WORDS = 20 };

static const char words[1 << RADIX_BITS][WORD_MAX + 1] = {
#include "keymgr/shares_words.inc"
};

/* The Reed-Solomon code over GF(1024) that finds up to three wrong words. */
static uint32_t polymod_step(uint32_t check, uint16_t value)
{
	static const uint32_t generator[10] = {0xe0e040,   0x1c1c080,  0x3838100,  0x7070200,  0xe0e0009,
					       0x1c0c2412, 0x38086c24, 0x3090fc48, 0x21b1f890, 0x3f3f120};
	uint32_t high = check >> 20;

	check = (check & 0xfffff) << 10 ^ value;
	for (int i = 0; i < 10; i++)
		check ^= high >> i & 1 ? generator[i] : 0;
	return check;
}

static uint32_t polymod(bool extendable, const uint16_t *values, size_t n)
{
	const char *custom = extendable ? "shamir_extendable" : "shamir";
	uint32_t check = 1;

	for (; *custom; custom++)
		check = polymod_step(check, (uint16_t)*custom);
	for (size_t i = 0; i < n; i++)
		check = polymod_step(check, values[i]);
	return check;
}

/* --- writing */

/* Puts `bits` bits at bit *at of the sequence of words. */
static void put_bits(uint16_t *out, size_t *at, uint32_t value, unsigned bits)
{
	for (unsigned i = bits; i > 0; i--, ++*at)
		out[*at / RADIX_BITS] |= (uint16_t)((value >> (i - 1) & 1) << (RADIX_BITS - 1 - *at % RADIX_BITS));
}

static size_t value_words(size_t bytes)
{
	return (8 * bytes + RADIX_BITS - 1) / RADIX_BITS;
}

void share_text(const struct share *s, char out[SHARE_TEXT_MAX])
{
	uint16_t values[SHARE_WORDS_MAX] = {0};
	size_t at = 0, n = HEAD_WORDS + value_words(s->size) + CHECK_WORDS;
	uint32_t check;
	char *end = out;

	put_bits(values, &at, s->id, 15);
	put_bits(values, &at, s->extendable, 1);
	put_bits(values, &at, s->exponent, 4);
	put_bits(values, &at, s->group, 4);
	put_bits(values, &at, s->group_threshold - 1U, 4);
	put_bits(values, &at, s->group_count - 1U, 4);
	put_bits(values, &at, s->member, 4);
	put_bits(values, &at, s->threshold - 1U, 4);
	put_bits(values, &at, 0, (unsigned)(RADIX_BITS * value_words(s->size) - 8 * s->size));
	for (size_t i = 0; i < s->size; i++)
		put_bits(values, &at, s->value[i], 8);
	check = polymod(s->extendable, values, n) ^ 1; /* its own words are zero yet */
	put_bits(values, &at, check, RADIX_BITS * CHECK_WORDS);
	for (size_t i = 0; i < n; i++) {
		if (i)
			*end++ = ' ';
		end = stpcpy(end, words[values[i]]);
	}
	wipe(values, sizeof(values));
}

/* --- reading */

static uint32_t get_bits(const uint16_t *values, size_t *at, unsigned bits)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < bits; i++, ++*at)
		value = value << 1 | (values[*at / RADIX_BITS] >> (RADIX_BITS - 1 - *at % RADIX_BITS) & 1);
	return value;
}

static int find_word(const char *word)
{
	int low = 0, high = 1 << RADIX_BITS;

	while (low < high) {
		int middle = low + (high - low) / 2;

		if (strcmp(words[middle], word) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < 1 << RADIX_BITS && strcmp(words[low], word) == 0 ? low : -1;
}

static int refuse(struct fault *why, const char *what)
{
	return fault_set(why, EXIT_WRONG_SECRET, EINVAL, "not a share: %s", what);
}

/* The next word of the text in lower case; its length, 0 at the end, -1 if it is none. */
static int next_word(const char **at, const char *end, char out[WORD_MAX + 1])
{
	int n = 0;

	while (*at < end && (isspace((unsigned char)**at) || **at == '#')) {
		if (**at == '#')
			while (*at < end && **at != '\n')
				++*at;
		else
			++*at;
	}
	while (*at < end && isalpha((unsigned char)**at)) {
		if (n == WORD_MAX)
			return -1;
		out[n++] = (char)tolower((unsigned char)*(*at)++);
	}
	out[n] = '\0';
	return *at < end && !isspace((unsigned char)**at) && **at != '#' ? -1 : n;
}

static int read_words(const char *text, size_t size, uint16_t *values, size_t *n, struct fault *why)
{
	const char *end = text + size;
	char word[WORD_MAX + 1];

	for (*n = 0;; ++*n) {
		int length = next_word(&text, end, word), found = length > 0 ? find_word(word) : -1;

		wipe(word, sizeof(word));
		if (length == 0)
			return 0;
		if (found < 0) /* not the word: it may be the right one of another list */
			return fault_set(why, EXIT_WRONG_SECRET, EINVAL,
					 "word %zu of a share is not in the list of words; check its spelling", *n + 1);
		if (*n == SHARE_WORDS_MAX)
			return refuse(why, "it has too many words");
		values[*n] = (uint16_t)found;
	}
}

static int decode(const uint16_t *values, size_t n, struct share *out, struct fault *why)
{
	size_t at = 0, bits = RADIX_BITS * (n - HEAD_WORDS - CHECK_WORDS), padding = bits % 16;

	out->id = (uint16_t)get_bits(values, &at, 15);
	out->extendable = get_bits(values, &at, 1);
	out->exponent = (uint8_t)get_bits(values, &at, 4);
	out->group = (uint8_t)get_bits(values, &at, 4);
	out->group_threshold = (uint8_t)(get_bits(values, &at, 4) + 1);
	out->group_count = (uint8_t)(get_bits(values, &at, 4) + 1);
	out->member = (uint8_t)get_bits(values, &at, 4);
	out->threshold = (uint8_t)(get_bits(values, &at, 4) + 1);
	out->size = (bits - padding) / 8;
	if (polymod(out->extendable, values, n) != 1)
		return refuse(why, "its checksum is wrong, so at least one word is; compare it with the paper");
	if (padding > 8 || out->size < SHARE_VALUE_MIN || out->size > SHARE_VALUE_MAX)
		return refuse(why, "no share has so many words");
	if (out->group_threshold > out->group_count)
		return refuse(why, "it asks for more groups than there are");
	if (get_bits(values, &at, (unsigned)padding) != 0)
		return refuse(why, "its padding is wrong");
	for (size_t i = 0; i < out->size; i++)
		out->value[i] = (uint8_t)get_bits(values, &at, 8);
	return 0;
}

int share_parse(const char *text, size_t size, struct share *out, struct fault *why)
{
	uint16_t values[SHARE_WORDS_MAX];
	size_t n;
	int ret = read_words(text, size, values, &n, why);

	*out = (struct share){0};
	if (ret == 0 && n < LEAST_WORDS)
		ret = refuse(why, "it has too few words");
	if (ret == 0)
		ret = decode(values, n, out, why);
	wipe(values, sizeof(values));
	if (ret < 0)
		wipe(out, sizeof(*out));
	return ret;
}
