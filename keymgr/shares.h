/* A secret in shares, of which some give it back and fewer tell nothing: SLIP-0039, "Shamir's Secret-Sharing for Mnemonic Codes".
 *
 * Shares are made in one group; shares of several groups, as other programs make them, are combined all the same. */
#ifndef COFFER_KEYMGR_SHARES_H
#define COFFER_KEYMGR_SHARES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/base/fault.h"
#include "util/base/secret.h"

enum {
	SHARE_COUNT_MAX = 16,
	SHARE_VALUE_MIN = 16,
	SHARE_VALUE_MAX = 32,
	SHARE_WORDS_MAX = 33,                 /* of a secret of 32 bytes */
	SHARE_TEXT_MAX = SHARE_WORDS_MAX * 9, /* words of at most 8 letters, blanks, a terminator */
};

struct share {
	uint16_t id; /* 15 bits, the same in all shares of one secret */
	bool extendable;
	uint8_t exponent; /* of the number of iterations */
	uint8_t group, group_threshold, group_count, member, threshold;
	size_t size; /* of the value */
	uint8_t value[SHARE_VALUE_MAX];
};
/* Shares on the stack are wiped. */
struct share_set {
	size_t count;
	struct share at[SHARE_COUNT_MAX];
};
static inline void share_set_wipe(struct share_set *s)
{
	wipe(s, sizeof(*s));
}
#define _cleanup_shares_ _cleanup_(share_set_wipe)

/* Reads the words of one share; blanks, line ends and case do not matter, nor does what follows a '#'.  A wrong word is named by its
 * number; -EINVAL, EXIT_WRONG_SECRET. */
int share_parse(const char *text, size_t n, struct share *out, struct fault *why) MUST_CHECK;
/* The words with blanks between them, and a terminator. */
void share_text(const struct share *s, char out[SHARE_TEXT_MAX]);

/* Splits n bytes (16 to 32, an even number) into `count` shares of which `threshold` suffice (1 of 1, or 2 to count of up to 16). */
int shares_split(const uint8_t *secret, size_t n, unsigned threshold, unsigned count, struct share_set *out) MUST_CHECK;
/* The secret, with the passphrase that protects it (empty: none; a wrong one gives another secret, by SLIP-0039's design).  Duplicate
 * shares, shares that do not belong together and too few of them say so: -EINVAL, EXIT_WRONG_SECRET. */
int shares_combine(const struct share_set *s, const char *passphrase, uint8_t out[SHARE_VALUE_MAX], size_t *n,
		   struct fault *why) MUST_CHECK;

#endif
