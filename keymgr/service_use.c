#include "keymgr/service_use.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/entry.h"
#include "keymgr/terminal.h"
#include "keymgr/unlock.h"

static bool name_is_sound(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= SERVICE_KEY_NAME_MAX && name[0] != '.' && name[0] != '-' && name[0] != '_' &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

void service_use_free(struct service_use **up)
{
	struct service_use *u = *up;

	if (!u)
		return;
	*up = NULL;
	service_client_free(&u->client);
	service_config_free(&u->remembered);
	free(u);
}

static int connect_at(const struct service_place *at, struct service_use *u, struct fault *why)
{
	_cleanup_service_config_ struct service_config config = SERVICE_CONFIG_NONE;
	int ret = service_place_read(at, &config, why);

	if (ret == -ENOENT && why->status == EXIT_OK && !config.urls)
		return fault_set(why, EXIT_USAGE, ENOENT,
				 "where is the key service? Write it into %s, or name another file by "
				 "--service-config, or its address by --service",
				 SERVICE_CONFIG_FILE);
	/* What else is missing is named when the client is made. */
	return ret < 0 && why->status != EXIT_OK ? ret : service_client_new(&config, &u->client, why);
}

int service_use_new(const struct service_place *at, const char *key, struct service_use **out, struct fault *why)
{
	struct service_use *u;
	int ret = 0;

	*out = NULL;
	if (key && !name_is_sound(key))
		return fault_set(
			why, EXIT_USAGE, EINVAL,
			"%.80s is no name of a key: 1 to %d of A-Z a-z 0-9 . _ -, beginning with a letter or digit",
			key, SERVICE_KEY_NAME_MAX);
	u = calloc(1, sizeof(*u));
	if (!u)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory for the key service");
	u->remembered = SERVICE_CONFIG_NONE;
	if (key)
		memcpy(u->key, key, strlen(key) + 1);
	if (at && (key || service_place_given(at)))
		ret = connect_at(at, u, why);
	if (ret < 0)
		service_use_free(&u);
	*out = u;
	return ret;
}

int service_use_renew(const struct keyring *k, uint32_t id, const struct service_use *with, struct service_use **out,
		      struct fault *why)
{
	struct service_protector p;
	int ret = keyring_service(k, id, &p);

	*out = NULL;
	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "cannot renew a protector of the key service");
	ret = service_use_new(NULL, NULL, out, why);
	if (ret == 0)
		ret = service_client_new(with->client ? service_client_config(with->client) : &p.config,
					 &(*out)->client, why);
	if (ret == 0) {
		memcpy((*out)->key, p.key, sizeof(p.key));
		ret = service_config_copy(&p.config, &(*out)->remembered);
	}
	service_protector_free(&p);
	if (ret < 0)
		service_use_free(out);
	return ret;
}

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

int keyring_obtain(const struct keyring *k, const struct unlock_source *from, const char *prompt,
		   struct unlock_secret *out, struct fault *why)
{
	if (unlock_source_given(from) || !keyring_has_service(k))
		return obtain_other(k, from, prompt, out, why);
	*out = (struct unlock_secret){.kind = SECRET_SERVICE};
	return service_use_new(NULL, NULL, &out->service, why);
}

static int unlock_once(struct keyring *k, const struct unlock_source *from, const char *prompt, bool by_service,
		       struct unlock_secret *with, struct fault *why)
{
	struct unlock_secret secret = {0};
	int ret = by_service ? keyring_obtain(k, from, prompt, &secret, why)
			     : obtain_other(k, from, prompt, &secret, why);

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

	if (!given && keyring_has_service(k)) {
		ret = unlock_once(k, from, prompt, true, with, why);
		if (ret == 0 || !may_ask(k))
			return ret;
		say_and_forget(why);
	}
	ret = unlock_once(k, from, prompt, false, with, why);
	while (ret == -EKEYREJECTED && !given && --tries > 0) {
		say_and_forget(why);
		ret = unlock_once(k, from, prompt, false, with, why);
	}
	return ret;
}
