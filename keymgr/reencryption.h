/* Re-encryption as the keyring knows it: that it was begun and has not ended (docs/format-keyring.md section 7).  The mount that carries it out is
 * fs/reencrypt.h. */
#ifndef COFFER_KEYMGR_REENCRYPTION_H
#define COFFER_KEYMGR_REENCRYPTION_H

#include "keymgr/keyring.h"

#define REENCRYPTION_UNTHROTTLED UINT64_MAX

struct reencryption {
	bool paused;
	bool touch;        /* times of change move by a nanosecond */
	bool idle;         /* only while nobody asks the mount anything */
	uint64_t max_rate; /* bytes a second; 0: so that who works keeps most of the speed; REENCRYPTION_UNTHROTTLED */
	bool only;         /* what is in `scope` */
	uint32_t scope;    /* if `only` */
	char started[24];
};

/* False: none is under way. */
bool keyring_reencryption(const struct keyring *k, struct reencryption *out);

/* Between keyring_change_begin and _commit.  What was begun earlier goes on with other settings. */
int keyring_start_reencryption(struct keyring *k, const struct reencryption *how, struct fault *why) MUST_CHECK;
/* -ENOENT and EXIT_REFUSED if none is under way, or if it is in that state already. */
int keyring_pause_reencryption(struct keyring *k, bool paused, struct fault *why) MUST_CHECK;
int keyring_stop_reencryption(struct keyring *k, struct fault *why) MUST_CHECK;
/* Everything in each scope is under the generation named here, or newer ones: nothing below it is accepted there any more.  0: the scope was not
 * looked at.  -EBUSY: a zone comes from one of these, and the scope that it has was not. */
int keyring_end_reencryption(struct keyring *k, const uint32_t generations[SCOPES_MAX], struct fault *why) MUST_CHECK;
/* A file that could not be re-encrypted was set aside. */
int keyring_note_given_up(struct keyring *k, const char *path, struct fault *why) MUST_CHECK;

#endif
