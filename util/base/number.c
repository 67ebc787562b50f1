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

/* The digits at the beginning; what is behind them goes to *rest.  -EINVAL: none. */
static int take_digits(const char *text, uint64_t max, uint64_t *out, const char **rest)
{
	char digits[24];
	size_t n = strspn(text, "0123456789");

	if (!n || n >= sizeof digits)
		return -EINVAL;
	memcpy(digits, text, n);
	digits[n] = '\0';
	*rest = text + n;
	return number_parse(digits, max, out);
}

int duration_parse(const char *text, uint64_t max, uint64_t *out)
{
	static const struct {
		char unit;
		uint64_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 7 * 86400}, {'y', 365 * 86400}};
	const char *unit;
	uint64_t v;

	if (take_digits(text, UINT64_MAX, &v, &unit) < 0 || !*unit || unit[1])
		return -EINVAL;
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
		if (units[i].unit == *unit && v <= max / units[i].seconds) {
			*out = v * units[i].seconds;
			return 0;
		}
	return -EINVAL;
}

int size_parse(const char *text, uint64_t *out)
{
	static const char units[] = "KMGT";
	const char *rest;
	unsigned shift = 0;
	int r = take_digits(text, UINT64_MAX, out, &rest);

	if (r < 0)
		return r;
	if (*rest) {
		const char *unit = strchr(units, toupper((unsigned char)*rest));
		if (!unit || (rest[1] && strcmp(rest + 1, "iB") != 0))
			return -EINVAL;
		shift = 10 * (unsigned)(unit - units + 1);
	}
	if (*out > UINT64_MAX >> shift)
		return -EINVAL;
	*out <<= shift;
	return 0;
}
