#include "keymgr/unlock_from.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/entry.h"
#include "keymgr/internal.h"
#include "keymgr/kmip.h"
#include "keymgr/protector.h"
#include "keymgr/service_use.h"
#include "keymgr/terminal.h"

/* --- what opens by itself */

static const enum secret_kind servers[] = {SECRET_SERVICE, SECRET_KMIP};
enum { SERVERS = sizeof(servers) / sizeof(servers[0]) };

/* The first of them from `which` on that protects it; SERVERS: none. */
static size_t next_server(const struct keyring *k, size_t which)
{
	for (; which < SERVERS; which++)
		for (uint32_t i = 0; i < k->protector_count; i++)
			if (k->protectors[i].handler && k->protectors[i].handler->kind == servers[which])
				return which;
	return which;
}

static int obtain_server(size_t which, struct unlock_secret *out, struct fault *why)
{
	*out = (struct unlock_secret){.kind = servers[which]};
	return out->kind == SECRET_KMIP ? kmip_use_new(NULL, NULL, &out->kmip, why)
					: service_use_new(NULL, NULL, &out->service, why);
}

/* --- what somebody has to give */

/* Whether there is somebody to ask for another secret, and one that would help. */
static bool may_ask(const struct keyring *k)
{
	struct protector_info all[PROTECTORS_MAX];
	uint32_t n = keyring_protectors(k, all), others = 0;
	_cleanup_close_ int tty = terminal_open();

	for (uint32_t i = 0; i < n; i++)
		others += strcmp(all[i].type, "passphrase") == 0 || strcmp(all[i].type, "recovery-key") == 0 ||
			  strcmp(all[i].type, "pkcs11") == 0;
	return tty >= 0 && others > 0;
}

/* Where no passphrase is among what opens, a token is.  (A recovery key may be typed in the place of either.) */
static bool wants_pin(const struct keyring *k)
{
	struct protector_info all[PROTECTORS_MAX];
	uint32_t n = keyring_protectors(k, all), pins = 0, passphrases = 0;

	for (uint32_t i = 0; i < n; i++) {
		pins += strcmp(all[i].type, "pkcs11") == 0;
		passphrases += strcmp(all[i].type, "passphrase") == 0;
	}
	return pins > 0 && passphrases == 0;
}

static int obtain_other(const struct keyring *k, const struct unlock_source *from, const char *prompt,
			struct unlock_secret *out, struct fault *why)
{
	return !unlock_source_given(from) && wants_pin(k)
		       ? unlock_ask_pin(from, "PIN of the token (or the recovery key): ", out, why)
		       : unlock_obtain(from, prompt, false, out, why);
}

/* --- unlocking */

int keyring_obtain(const struct keyring *k, const struct unlock_source *from, const char *prompt,
		   struct unlock_secret *out, struct fault *why)
{
	size_t server = next_server(k, 0);

	return unlock_source_given(from) || server == SERVERS ? obtain_other(k, from, prompt, out, why)
							      : obtain_server(server, out, why);
}

/* server: SERVERS for none. */
static int unlock_once(struct keyring *k, const struct unlock_source *from, const char *prompt, size_t server,
		       struct unlock_secret *with, struct fault *why)
{
	struct unlock_secret secret = {0};
	int ret = server < SERVERS ? obtain_server(server, &secret, why) : obtain_other(k, from, prompt, &secret, why);

	if (ret == 0)
		ret = keyring_unlock(k, &secret, why);
	if (ret == -EKEYREJECTED)
		keyring_refused(k);
	if (ret == 0 && with)
		*with = secret;
	else
		unlock_secret_wipe(&secret);
	return ret;
}

static void say_and_forget(struct fault *why)
{
	fprintf(stderr, "coffer: %s\n", why->text);
	*why = (struct fault){.status = EXIT_OK};
}

int keyring_unlock_from(struct keyring *k, const struct unlock_source *from, const char *prompt, unsigned tries,
			struct unlock_secret *with, struct fault *why)
{
	bool given = unlock_source_given(from);
	int ret;

	for (size_t i = given ? SERVERS : next_server(k, 0); i < SERVERS; i = next_server(k, i + 1)) {
		ret = unlock_once(k, from, prompt, i, with, why);
		if (ret == 0 || (next_server(k, i + 1) == SERVERS && !may_ask(k)))
			return ret;
		say_and_forget(why);
	}
	ret = unlock_once(k, from, prompt, SERVERS, with, why);
	while (ret == -EKEYREJECTED && !given && --tries > 0) {
		say_and_forget(why);
		ret = unlock_once(k, from, prompt, SERVERS, with, why);
	}
	return ret;
}
