/* A volume opened and unlocked by this process: what a mount, a check and the path tool begin with. */
#ifndef COFFER_FS_OPENED_H
#define COFFER_FS_OPENED_H

#include "fs/engine.h"
#include "keymgr/kmip.h"
#include "keymgr/service_use.h"

/* Who else may use the volume meanwhile. */
enum opened_how {
	OPENED_UNLOCKED, /* anybody: who opens it looks only */
	OPENED_LOCKED,   /* nobody */
	OPENED_STILL,    /* nobody, but who opens it looks only */
	OPENED_OLD_COPY, /* who opens it in the same way; nothing at all is written below */
};

struct opened {
	struct store *store;
	int dot, data, lock;
	struct keyring *keyring;
	struct keys *keys;
	enum opened_how how;
	bool store_read_only;
	bool read_only; /* the store is, or it is opened so, or a feature flag asks it */
	bool noted;     /* the lock file has our number */
	bool borrowed;  /* the keyring is somebody else's */
	/* The root came from the key service, or a KMIP server, asked in this way; else NULL. */
	struct service_protector *service;
	struct kmip_protector *kmip;
};

/* Starts secrets and cryptography in this process; once, after the last fork. */
int opened_prepare(struct fault *why) MUST_CHECK;

/* Opens and unlocks `dir`.  On failure nothing stays open. */
int opened_start(const char *dir, const struct unlock_source *unlock, enum opened_how how, struct opened *out,
		 struct fault *why) MUST_CHECK;
/* The same, locked, with a keyring that has been unlocked and entered, and outlives it. */
int opened_start_with(const char *dir, struct keyring *unlocked, struct opened *out, struct fault *why) MUST_CHECK;
/* Notes in the lock file which process holds the volume, for whoever finds it locked; until opened_stop. */
void opened_note_process(struct opened *o);
void opened_stop(struct opened *o);

#endif
