#include "util/base/number.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int number_parse(const char *text, uint64_t max, uint64_t *out)
{
	char *end;

	/* strtoull alone would take blanks, signs and the empty string. */
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);
	if (errno || *end || v > max)
		return -EINVAL;
	*out = v;
	return 0;
}

int size_parse(const char *text, uint64_t *out)
{
	static const char units[] = "KMGT";
	char digits[24];
	size_t n = strspn(text, "0123456789");
	unsigned shift = 0;

	if (!n || n >= sizeof digits)
		return -EINVAL;
	memcpy(digits, text, n);
	digits[n] = '\0';
	if (text[n]) {
		const char *unit = strchr(units, toupper((unsigned char)text[n]));
		if (!unit || (text[n + 1] && strcmp(text + n + 1, "iB") != 0))
			return -EINVAL;
		shift = 10 * (unsigned)(unit - units + 1);
	}
	int r = number_parse(digits, UINT64_MAX >> shift, out);
	if (r < 0)
		return r;
	*out <<= shift;
	return 0;
}
