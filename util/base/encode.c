/* base64url and hexadecimal (encode.h).  For public bytes: the tables are not constant-time. */
#include "util/base/encode.h"

#include <errno.h>

static const char alphabet[64] = {
	'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', 'P', 'Q', 'R', 'S', 'T', 'U', 'V',
	'W', 'X', 'Y', 'Z', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r',
	's', 't', 'u', 'v', 'w', 'x', 'y', 'z', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '-', '_',
};

/* The value of each character plus one; 0 for all that is not of the alphabet. */
static const uint8_t value_plus_1[256] = {
	['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
	['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
	['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
	['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
	['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
	['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
	['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
	['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['-'] = 63, ['_'] = 64,
};

size_t base64url_encode(const void *in, size_t n, char *out)
{
	const uint8_t *p = in;
	char *start = out;
	uint32_t v;

	for (; n >= 3; n -= 3, p += 3) {
		v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
		*out++ = alphabet[v >> 18];
		*out++ = alphabet[v >> 12 & 63];
		*out++ = alphabet[v >> 6 & 63];
		*out++ = alphabet[v & 63];
	}
	if (n > 0) {
		v = (uint32_t)p[0] << 16 | (n == 2 ? (uint32_t)p[1] << 8 : 0);
		*out++ = alphabet[v >> 18];
		*out++ = alphabet[v >> 12 & 63];
		if (n == 2)
			*out++ = alphabet[v >> 6 & 63];
	}
	*out = 0;
	return (size_t)(out - start);
}

ssize_t base64url_decode(const char *in, size_t n, void *out, size_t room)
{
	const uint8_t *s = (const uint8_t *)in;
	size_t size = base64url_decoded_size(n);
	uint8_t *p = out;
	uint32_t bits = 0; /* those read and not yet written; only the low `held` count */
	unsigned held = 0;

	if (n % 4 == 1)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (!value_plus_1[s[i]])
			return -EINVAL;
	if (n > 0 && n % 4 != 0 && (value_plus_1[s[n - 1]] - 1) & (n % 4 == 2 ? 15 : 3))
		return -EINVAL; /* a second spelling of the same bytes */
	if (size > room)
		return -ENOSPC;
	for (size_t i = 0; i < n; i++) {
		bits = bits << 6 | (uint32_t)(value_plus_1[s[i]] - 1);
		held += 6;
		if (held >= 8) {
			held -= 8;
			*p++ = (uint8_t)(bits >> held);
		}
	}
	return (ssize_t)size;
}

void hex_encode(const void *in, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = in;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * n] = 0;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int hex_decode(const char *in, size_t chars, void *out, size_t n)
{
	uint8_t *p = out;

	if (chars % 2 != 0 || chars / 2 != n)
		return -EINVAL;
	for (size_t i = 0; i < chars; i++)
		if (hex_value(in[i]) < 0)
			return -EINVAL;
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(16 * hex_value(in[2 * i]) + hex_value(in[2 * i + 1]));
	return 0;
}
