/* coffer-kmip: keys in KMIP servers for coffer (kmip_protocol.h; talk.h has what it is bound to).
 *
 * 1. Requests and responses lie in locked memory, as plaintexts are in some.
 * 2. Sealing goes by a random IV of our own: one that a server chooses need not be random. */
#include <errno.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/helper/kmip.h"
#include "keymgr/helper/talk.h"
#include "util/base/bytes.h"

/* --- the server */

struct call {
	struct talk_exchange exchange;
	enum kmip_operation operation;
	struct secret *request, *response; /* (1) */
	size_t size;                       /* of the request */
	struct kmip_answer answer;         /* inside the response */
};

static int receive(struct service_connection *c, uint8_t *at, size_t n, int64_t until, struct reason *why)
{
	while (n > 0) {
		int got = service_receive(c, at, n, until, why);

		if (got <= 0)
			return got < 0 ? got : reason_set(why, EHOSTUNREACH, "the answer is cut short");
		at += got;
		n -= (size_t)got;
	}
	return 0;
}

static int receive_message(struct service_connection *c, uint8_t *at, size_t *n, int64_t until, struct reason *why)
{
	int ret = receive(c, at, TTLV_HEAD, until, why);

	*n = ret == 0 ? ttlv_announced(at) : 0;
	if (ret == 0 && *n == 0)
		ret = reason_set(why, EHOSTUNREACH, "what answers does not speak KMIP");
	return ret < 0 ? ret : receive(c, at + TTLV_HEAD, *n - TTLV_HEAD, until, why);
}

/* A server that has failed, for a reason of its own, is not the last one that is asked; its answer stays if the others have none. */
static int run(struct talk_exchange *x, struct service_connection *c, const struct service_url *to, bool *sent,
	       struct reason *why)
{
	struct call *call = (struct call *)x;
	int64_t until = monotonic_ms() + SERVICE_ANSWER_S * 1000;
	struct kmip_answer answer;
	size_t n = 0;
	int ret = service_send(c, call->request->bytes, call->size, until, why);

	*sent = ret == 0;
	if (ret == 0)
		ret = receive_message(c, call->response->bytes, &n, until, why);
	if (ret < 0)
		return ret;
	if (!kmip_read(call->response->bytes, n, call->operation, &answer))
		return reason_set(why, EHOSTUNREACH, "%s: its answer is none to what was asked", to->text);
	call->answer = answer;
	if (answer.refused && strcmp(answer.refused, KMIP_FAILED) == 0)
		return reason_set(why, EHOSTUNREACH, "%s: %s", to->text, answer.said);
	return 0;
}

static void call_free(struct call *call)
{
	secret_free(&call->request);
	secret_free(&call->response);
}
#define _cleanup_call_ _cleanup_(call_free)

static int call_prepare(struct call *call, struct reason *why)
{
	*call = (struct call){.exchange = {run, true}};
	call->request = secret_new(KMIP_REQUEST_MAX);
	call->response = secret_new(TTLV_MESSAGE_MAX);
	return call->request && call->response ? 0 : reason_set(why, EHOSTUNREACH, "no memory for a request");
}

/* The request has been written.  1: there is an answer, which may refuse. */
static int ask(struct talk *t, struct call *call, enum kmip_operation operation, size_t size, struct reason *why)
{
	int ret;

	if (size == 0)
		return reason_set(why, EINVAL, "the request does not fit");
	call->operation = operation;
	call->size = size;
	call->answer = (struct kmip_answer){0};
	ret = talk_to_servers(t, &call->exchange, why);
	return ret < 0 && !call->answer.refused ? ret : 1;
}

static int refused(const char *word, const char *said)
{
	char text[SERVICE_LINE_MAX - 20];

	snprintf(text, sizeof(text), "%s %s", word, said);
	return talk_answer("refused", text, NULL, 0);
}

static int malformed(void)
{
	return refused(KMIP_FAILED, "its answer lacks what was asked for");
}

/* --- the requests */

/* Whether the key can be relied on: "" if it can. */
static const char *flaw(const struct kmip_attributes *a)
{
	if (!a->state)
		return "the server does not say the key's state, by which access would be taken away";
	if (strcmp(a->state, KMIP_STATE_ACTIVE) != 0)
		return "the key is not Active";
	return a->aes_256 ? "" : "the key is none of AES with 256 bits";
}

static int seal(struct talk *t, const char *key, const struct span *in)
{
	_cleanup_call_ struct call call;
	uint8_t out[8 + KMIP_IV_SIZE + KMIP_VALUE_SIZE], *iv = out + 4, *value = iv + KMIP_IV_SIZE + 4;
	uint8_t *room;
	struct kmip_attributes about;
	struct reason why = {0};
	int ret = call_prepare(&call, &why);

	if (ret == 0 && in[1].size != KMIP_PLAIN_SIZE)
		ret = reason_set(&why, EINVAL, "what is to be sealed is malformed");
	if (ret == 0 && RAND_bytes(iv, KMIP_IV_SIZE) != 1)
		ret = reason_set(&why, EINVAL, "no random bytes");
	if (ret < 0)
		return talk_refuse(ret, &why);
	room = call.request->bytes;
	ret = ask(t, &call, KMIP_GET_ATTRIBUTES, kmip_ask_attributes(key, room, KMIP_REQUEST_MAX), &why);
	if (ret > 0 && !call.answer.refused) {
		kmip_read_attributes(&call.answer, &about);
		if (*flaw(&about))
			return refused(KMIP_UNSUITABLE, flaw(&about));
		ret = ask(t, &call, KMIP_ENCRYPT, kmip_ask_encrypt(key, in[0], iv, in[1], room, KMIP_REQUEST_MAX),
			  &why);
	}
	if (ret < 0)
		return talk_refuse(ret, &why);
	if (call.answer.refused)
		return refused(call.answer.refused, call.answer.said);
	if (!kmip_read_encrypted(&call.answer, value))
		return malformed();
	put_le32(out, KMIP_IV_SIZE);
	put_le32(value - 4, KMIP_VALUE_SIZE);
	return talk_answer("done", "", out, sizeof(out));
}

static int open_sealed(struct talk *t, const char *key, const struct span *in)
{
	_cleanup_secret_ struct secret *plain = secret_new(4 + KMIP_PLAIN_SIZE);
	_cleanup_call_ struct call call;
	struct reason why = {0};
	int ret = call_prepare(&call, &why);

	if (ret == 0 && (!plain || in[1].size != KMIP_IV_SIZE || in[2].size != KMIP_VALUE_SIZE))
		ret = reason_set(&why, EINVAL, "what is to be opened is malformed");
	if (ret == 0)
		ret = ask(t, &call, KMIP_DECRYPT,
			  kmip_ask_decrypt(key, in[0], in[1], in[2], call.request->bytes, KMIP_REQUEST_MAX), &why);
	if (ret < 0)
		return talk_refuse(ret, &why);
	if (call.answer.refused)
		return refused(call.answer.refused, call.answer.said);
	if (!kmip_read_decrypted(&call.answer, plain->bytes + 4))
		return malformed();
	put_le32(plain->bytes, KMIP_PLAIN_SIZE);
	return talk_answer("done", "", plain->bytes, plain->size);
}

static int state(struct talk *t, const char *key)
{
	_cleanup_call_ struct call call;
	struct kmip_attributes about;
	struct reason why = {0};
	int ret = call_prepare(&call, &why);

	if (ret == 0)
		ret = ask(t, &call, KMIP_GET_ATTRIBUTES,
			  kmip_ask_attributes(key, call.request->bytes, KMIP_REQUEST_MAX), &why);
	if (ret < 0)
		return talk_refuse(ret, &why);
	if (call.answer.refused)
		return refused(call.answer.refused, call.answer.said);
	kmip_read_attributes(&call.answer, &about);
	return about.state ? talk_answer("done", about.state, NULL, 0) : malformed();
}

/* --- the conversation */

enum { FRAMES_MAX = 3 };

static int serve(struct talk *t, char *line, const struct secret *body, size_t n)
{
	static const struct {
		const char *word;
		unsigned frames;
		int (*run)(struct talk *t, const char *key, const struct span *in);
	} requests[] = {{"SEAL", 2, seal}, {"OPEN", 3, open_sealed}};
	char *key = line + strcspn(line, " ");
	struct span in[FRAMES_MAX];
	struct reason why = {0};

	if (*key)
		*key++ = '\0';
	if (!*key || strlen(key) > KMIP_KEY_MAX)
		return talk_refuse(-EINVAL, &(struct reason){"no identifier of a key is given"});
	if (strcmp(line, "STATE") == 0)
		return state(t, key);
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		if (strcmp(line, requests[i].word) == 0) {
			const char *wrong = frames_take(body->bytes, n, in, requests[i].frames);

			return wrong ? talk_refuse(reason_set(&why, EINVAL, "%s", wrong), &why)
				     : requests[i].run(t, key, in);
		}
	return talk_refuse(reason_set(&why, EINVAL, "no request %s", line), &why);
}

int main(int argc, char **argv)
{
	static const struct url_form addresses = {
		.scheme = "", .port = KMIP_PORT, .whose = "a KMIP server", .example = "HOST[:PORT]"};
	static const struct talk_program program = {&addresses, serve};

	return talk_main(&program, argc, argv);
}
