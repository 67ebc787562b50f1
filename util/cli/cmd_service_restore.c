/* service volume restore: a lost keyring, from the copy that the key service keeps. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/service_use.h"
#include "util/base/encode.h"
#include "util/cli/service.h"

static int fetch(struct service_work *w, const struct cli_volume *v, const char *key, struct service_answer *a,
		 struct fault *why)
{
	uint8_t id[VOLUME_ID_SIZE];
	char text[2 * VOLUME_ID_SIZE + 1];

	int r = volume_id_read(v->store, v->dot, id, why);
	if (r < 0)
		return r;
	hex_encode(id, sizeof id, text);
	return service_do(w, SERVICE_GET, NULL, a, why, "keys/%s/volumes/%s/keyring", key, text);
}

static int put_back(struct service_work *w, struct cli_volume *v, struct service_answer *a, struct fault *why)
{
	const char *encoded = service_text(a->body, "text");
	size_t n = strlen(encoded);
	_cleanup_free_ uint8_t *text = malloc(n + 1);
	/* Borrowed: the client stays the caller's. */
	struct service_use use = {.client = w->client, .remembered = SERVICE_CONFIG_NONE};
	const struct unlock_secret secret = {.kind = SECRET_SERVICE, .service = &use};

	ssize_t size = text ? base64url_decode(encoded, n, text, n) : -ENOMEM;
	if (size <= 0)
		return fault_errno(why, EXIT_FAILED, size < 0 ? (int)size : -EPROTO,
				   "cannot read what the key service sent");
	return keyring_put_back(v->store, v->dot, text, (size_t)size, &secret, &v->keyring, why);
}

static void report(const struct service_work *w, const struct cli_volume *v, json_object *answer)
{
	char fingerprint[2 * FINGERPRINT_SIZE + 8];

	keyring_fingerprint(v->keyring, fingerprint);
	if (w->json) {
		json_object *o = json_object_new_object();

		json_add_number(o, "sequence", keyring_sequence(v->keyring));
		json_add_text(o, "at", service_text(answer, "at"));
		json_add_text(o, "fingerprint", fingerprint);
		json_print(o);
		return;
	}
	printf("the keyring is back: change %s, sent to the key service at %s\nfingerprint: %s\n",
	       service_text(answer, "sequence"), service_text(answer, "at"), fingerprint);
}

int cmd_service_volume_restore(const struct verb *v, int argc, char **argv, struct fault *why)
{
	_cleanup_service_work_ struct service_work w = {0};
	_cleanup_volume_ struct cli_volume volume = CLI_VOLUME_NONE;
	_cleanup_service_answer_ struct service_answer a = {0};
	struct words words;

	int r = service_start(v, argc, argv, 2, 2, &w, &words, why);
	if (r)
		return r;
	r = cli_volume_open_only(&volume, words.at[1], why);
	if (r == 0)
		r = fetch(&w, &volume, words.at[0], &a, why);
	if (r == 0)
		r = put_back(&w, &volume, &a, why);
	if (r == 0)
		report(&w, &volume, a.body);
	return r;
}
