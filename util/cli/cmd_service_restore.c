/* service volume restore: a lost keyring, from the copy that the key service keeps. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/service_use.h"
#include "util/base/encode.h"
#include "util/cli/service.h"

static int fetch_by(struct service_work *w, const char *volume, const char *key, struct service_answer *a,
		    struct fault *why)
{
	return service_do(w, SERVICE_GET, NULL, a, why, "keys/%s/volumes/%s/keyring", key, volume);
}

/* The copy under whichever key has one.  Which of two copies is the volume's nobody here can say: whoever may use another key may have sent one. */
static int fetch_by_any(struct service_work *w, const char *volume, struct service_answer *out, struct fault *why)
{
	_cleanup_service_answer_ struct service_answer keys = {0};
	const char *found = NULL;
	json_object *array;

	int r = service_do(w, SERVICE_GET, NULL, &keys, why, "keys");
	if (r < 0)
		return r;
	if (!json_object_object_get_ex(keys.body, "keys", &array) || !json_object_is_type(array, json_type_array))
		return fault_set(why, EXIT_FAILED, EPROTO, "the key service answered without keys");
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		_cleanup_service_answer_ struct service_answer a = {0};
		const char *key = service_text(json_object_array_get_idx(array, i), "name");
		struct fault here = {.status = EXIT_OK};

		r = fetch_by(w, volume, key, &a, &here);
		if (r == -EACCES) /* refused: of this key there is none */
			continue;
		if (r < 0) {
			*why = here;
			return r;
		}
		if (found)
			return fault_set(why, EXIT_REFUSED, EEXIST,
					 "the key service has a copy under %s and one under %s; name the key", found,
					 key);
		found = key;
		*out = a;
		a = (struct service_answer){0};
	}
	return found ? 0
		     : fault_set(why, EXIT_REFUSED, ENOENT,
				 "the key service has no copy of this volume's keyring under a key that you may use");
}

static int fetch(struct service_work *w, const struct cli_volume *v, const char *key, struct service_answer *a,
		 struct fault *why)
{
	uint8_t id[VOLUME_ID_SIZE];
	char text[2 * VOLUME_ID_SIZE + 1];

	int r = volume_id_read(v->store, v->dot, id, why);
	if (r < 0)
		return r;
	hex_encode(id, sizeof id, text);
	return key ? fetch_by(w, text, key, a, why) : fetch_by_any(w, text, a, why);
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

	int r = service_start(v, argc, argv, 1, 2, &w, &words, why);
	if (r)
		return r;
	r = cli_volume_open_only(&volume, words.at[words.count - 1], why);
	if (r == 0)
		r = fetch(&w, &volume, words.count == 2 ? words.at[0] : NULL, &a, why);
	if (r == 0)
		r = put_back(&w, &volume, &a, why);
	if (r == 0)
		report(&w, &volume, a.body);
	return r;
}
