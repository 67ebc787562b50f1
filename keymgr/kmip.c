#include "keymgr/kmip.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/base/bytes.h"
#include "util/base/log.h"

const struct server_kind server_kmip = {
	.who = "the KMIP server",
	.helper = KMIP_HELPER,
	.file = KMIP_CONFIG_FILE,
	.addresses = "servers",
	.options = {"--kmip HOST:PORT", "--kmip-ca FILE", "--kmip-cert FILE", "--kmip-private-key FILE"},
};

const char *kmip_key_check(const char *key)
{
	if (!*key)
		return "it is empty";
	if (strlen(key) > KMIP_KEY_MAX)
		return "it is too long";
	for (; *key; key++)
		if (*key <= ' ' || *key > '~' || *key == '"' || *key == '\\')
			return "it holds a character that no identifier here may have";
	return NULL;
}

/* --- questions */

/* The body of a request: frames. */
static struct secret *pack(const struct helper_frame *frames, size_t count)
{
	struct secret *s;
	size_t n = 0;
	uint8_t *at;

	for (size_t i = 0; i < count; i++)
		n += 4 + frames[i].size;
	s = secret_new(n);
	if (!s)
		return NULL;
	at = s->bytes;
	for (size_t i = 0; i < count; i++) {
		put_le32(at, (uint32_t)frames[i].size);
		memcpy(at + 4, frames[i].bytes, frames[i].size);
		at += 4 + frames[i].size;
	}
	return s;
}

/* "refused WORD TEXT": the text, if it is that word. */
static const char *refusal(const struct talk_reply *r, const char *word)
{
	const char *rest = talk_behind(r->line, "refused");

	return rest ? talk_behind(rest, word) : NULL;
}

static int refused(const struct talk *t, const struct talk_reply *r, const char *key, struct fault *why)
{
	const char *text;
	char shown[KMIP_REASON_MAX];

	if (refusal(r, KMIP_DOES_NOT_OPEN))
		return -EKEYREJECTED;
	if ((text = refusal(r, KMIP_NOT_FOUND)))
		return fault_set(why, EXIT_REFUSED, EACCES, "the KMIP server has no key %s for this client: %s", key,
				 log_escape(text, shown, sizeof(shown)));
	if ((text = refusal(r, KMIP_UNSUITABLE)))
		return fault_set(why, EXIT_REFUSED, EACCES, "the key %s of the KMIP server does not do: %s", key,
				 log_escape(text, shown, sizeof(shown)));
	text = refusal(r, KMIP_DENIED);
	if (text || (text = refusal(r, KMIP_FAILED)))
		return fault_set(why, EXIT_REFUSED, EACCES, "the KMIP server refuses the key %s: %s", key,
				 log_escape(text, shown, sizeof(shown)));
	return talk_not_answered(t, r->line, why);
}

static int ask(struct talk *t, const char *word, const char *key, const struct secret *body, struct talk_reply *r,
	       struct fault *why)
{
	char line[KMIP_KEY_MAX + 16];

	if (kmip_key_check(key))
		return fault_set(why, EXIT_USAGE, EINVAL, "the identifier of a key of the KMIP server: %s",
				 kmip_key_check(key));
	snprintf(line, sizeof(line), "%s %s", word, key);
	return talk_ask(t, line, body, r, why);
}

/* What is done comes as `size` bytes. */
static int exchange(struct talk *t, const char *word, const char *key, const struct helper_frame *frames, size_t count,
		    size_t size, struct talk_reply *r, struct fault *why)
{
	_cleanup_secret_ struct secret *body = pack(frames, count);
	int ret;

	if (!body)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory for the KMIP server");
	ret = ask(t, word, key, body, r, why);
	if (ret < 0)
		return ret;
	if (!talk_behind(r->line, "done"))
		return refused(t, r, key, why);
	return r->size == size ? 0 : talk_not_answered(t, "", why);
}

int kmip_seal(struct talk *t, const char *key, const void *aad, size_t aad_size, const struct secret *plain,
	      struct kmip_sealed *out, struct fault *why)
{
	const struct helper_frame frames[] = {{aad, aad_size}, {plain->bytes, plain->size}};
	_cleanup_talk_reply_ struct talk_reply r = {0};
	int ret = exchange(t, "SEAL", key, frames, 2, 8 + sizeof(out->iv) + sizeof(out->value), &r, why);

	if (ret < 0)
		return ret;
	memcpy(out->iv, r.bytes + 4, sizeof(out->iv));
	memcpy(out->value, r.bytes + 8 + sizeof(out->iv), sizeof(out->value));
	return 0;
}

int kmip_open(struct talk *t, const char *key, const void *aad, size_t aad_size, const struct kmip_sealed *in,
	      struct secret *plain, struct fault *why)
{
	const struct helper_frame frames[] = {
		{aad, aad_size}, {in->iv, sizeof(in->iv)}, {in->value, sizeof(in->value)}};
	_cleanup_talk_reply_ struct talk_reply r = {0};
	int ret = exchange(t, "OPEN", key, frames, 3, 4 + KMIP_PLAIN_SIZE, &r, why);

	if (ret == 0)
		memcpy(plain->bytes, r.bytes + 4, KMIP_PLAIN_SIZE);
	return ret;
}

int kmip_state(struct talk *t, const char *key, struct kmip_state *out, struct fault *why)
{
	_cleanup_talk_reply_ struct talk_reply r = {0};
	const char *text;
	char shown[KMIP_REASON_MAX - KMIP_KEY_MAX - 40];
	int ret = ask(t, "STATE", key, NULL, &r, why);

	*out = (struct kmip_state){0};
	if (ret < 0)
		return ret;
	if ((text = talk_behind(r.line, "done"))) {
		out->active = strcmp(text, KMIP_STATE_ACTIVE) == 0;
		out->taken_away = !out->active;
		snprintf(out->reason, sizeof(out->reason), "the key %s is %s", key,
			 log_escape(text, shown, sizeof(shown)));
		return 0;
	}
	text = refusal(&r, KMIP_NOT_FOUND);
	if (text || (text = refusal(&r, KMIP_DENIED))) {
		out->taken_away = true;
		snprintf(out->reason, sizeof(out->reason), "the key %s cannot be used: %s", key,
			 log_escape(text, shown, sizeof(shown)));
		return 0;
	}
	ret = refused(t, &r, key, why);
	return ret == -EKEYREJECTED ? talk_not_answered(t, "", why) : ret;
}

/* --- unlocking */

void kmip_use_free(struct kmip_use **up)
{
	struct kmip_use *u = *up;

	if (!u)
		return;
	*up = NULL;
	talk_free(&u->talk);
	service_config_free(&u->remembered);
	free(u);
}

static int connect_at(const struct service_place *at, struct kmip_use *u, struct fault *why)
{
	_cleanup_service_config_ struct service_config config = KMIP_CONFIG_NONE;
	int ret = service_place_read(at, &config, why);

	/* What is missing is named when the talk is made. */
	return ret < 0 && why->status != EXIT_OK ? ret : talk_new(&config, &u->talk, why);
}

int kmip_use_new(const struct service_place *at, const char *key, struct kmip_use **out, struct fault *why)
{
	const char *wrong = key ? kmip_key_check(key) : NULL;
	struct kmip_use *u;
	int ret = 0;

	*out = NULL;
	if (wrong)
		return fault_set(why, EXIT_USAGE, EINVAL, "--kmip-key: %s", wrong);
	u = calloc(1, sizeof(*u));
	if (!u)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory for the KMIP server");
	u->remembered = KMIP_CONFIG_NONE;
	if (key)
		memcpy(u->key, key, strlen(key) + 1);
	if (at && (key || service_place_given(at)))
		ret = connect_at(at, u, why);
	if (ret < 0)
		kmip_use_free(&u);
	*out = u;
	return ret;
}

int kmip_use_renew(const struct keyring *k, uint32_t id, const struct kmip_use *with, struct kmip_use **out,
		   struct fault *why)
{
	struct kmip_protector p;
	int ret = keyring_kmip(k, id, &p);

	*out = NULL;
	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "cannot renew a protector of a KMIP server");
	ret = kmip_use_new(NULL, NULL, out, why);
	if (ret == 0)
		ret = talk_new(with->talk ? talk_config(with->talk) : &p.config, &(*out)->talk, why);
	if (ret == 0) {
		memcpy((*out)->key, p.key, sizeof(p.key));
		ret = service_config_copy(&p.config, &(*out)->remembered);
	}
	kmip_protector_free(&p);
	if (ret < 0)
		kmip_use_free(out);
	return ret;
}
