/* Asking the key service (service_client.h).
 *
 * 1. The member "value" of an answer, which may be a root, is decoded into locked memory and wiped where it came in, before anything else is made of
 *    the answer. */
#include "keymgr/service_client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/document.h"
#include "keymgr/helper_talk.h"
#include "util/base/encode.h"
#include "util/base/log.h"

enum { DEPTH_MAX = 16, VALUE_MAX = 4096 };

struct service_client {
	struct talk *talk;
};

void service_answer_free(struct service_answer *a)
{
	json_object_put(a->body);
	secret_free(&a->value);
	*a = (struct service_answer){0};
}

int service_client_new(const struct service_config *config, struct service_client **out, struct fault *why)
{
	struct service_client *c = calloc(1, sizeof(*c));
	int ret = c ? talk_new(config, &c->talk, why)
		    : fault_set(why, EXIT_FAILED, ENOMEM, "no memory for the key service");

	*out = c;
	if (ret < 0)
		service_client_free(out);
	return ret;
}

void service_client_free(struct service_client **cp)
{
	struct service_client *c = *cp;

	if (!c)
		return;
	*cp = NULL;
	talk_free(&c->talk);
	free(c);
}

const struct service_config *service_client_config(const struct service_client *c)
{
	return talk_config(c->talk);
}

void service_client_cancel(struct service_client *c)
{
	talk_cancel(c->talk);
}

/* --- answers */

/* (1) */
static int take_value(char *text, struct secret **out)
{
	static const char name[] = "\"value\":\"";
	char *at = strstr(text, name), *end;
	struct secret *s;
	ssize_t n;

	if (!at)
		return 0;
	at += strlen(name);
	end = strchr(at, '"');
	if (!end || end == at)
		return -EPROTO;
	s = secret_new(base64url_decoded_size((size_t)(end - at)));
	if (!s)
		return -ENOMEM;
	n = base64url_decode(at, (size_t)(end - at), s->bytes, s->size);
	memset(at, '-', (size_t)(end - at));
	if (n < 0) {
		secret_free(&s);
		return -EPROTO;
	}
	*out = s;
	return 0;
}

static int parse(const struct talk_reply *r, json_object **out)
{
	struct json_tokener *t = json_tokener_new_ex(DEPTH_MAX);

	if (!t)
		return -ENOMEM;
	*out = json_tokener_parse_ex(t, (const char *)r->bytes, (int)r->size);
	json_tokener_free(t);
	if (json_object_is_type(*out, json_type_object))
		return 0;
	json_object_put(*out);
	*out = NULL;
	return -EPROTO;
}

static void copy_text(json_object *o, const char *name, char *out, size_t n)
{
	json_object *member;

	out[0] = '\0';
	if (json_object_object_get_ex(o, name, &member) && json_object_is_type(member, json_type_string))
		log_escape(json_object_get_string(member), out, n);
}

static int judge(struct talk_reply *r, const char *words, struct service_answer *out)
{
	json_object *error;
	int ret;

	out->status = atoi(words);
	ret = strlen((const char *)r->bytes) == r->size ? take_value((char *)r->bytes, &out->value) : -EPROTO;
	if (ret == 0)
		ret = parse(r, &out->body);
	if (ret < 0)
		return ret;
	if (out->status >= 300) {
		if (!json_object_object_get_ex(out->body, "error", &error) ||
		    !json_object_is_type(error, json_type_object))
			return -EPROTO;
		copy_text(error, "code", out->code, sizeof(out->code));
		copy_text(error, "message", out->message, sizeof(out->message));
	}
	return out->status < 200 || (out->status >= 300 && !*out->code) ? -EPROTO : 0;
}

static int call(struct service_client *c, enum service_method method, const char *path, const struct secret *body,
		struct service_answer *out, struct fault *why)
{
	static const char *const words[] = {"GET", "POST", "ASK"};
	_cleanup_talk_reply_ struct talk_reply r = {0};
	char line[SERVICE_LINE_MAX];
	const char *answered;
	int ret;

	*out = (struct service_answer){0};
	if (snprintf(line, sizeof(line), "%s /v1/%s", words[method], path) >= (int)sizeof(line))
		return fault_set(why, EXIT_USAGE, EINVAL, "a name is too long for the key service");
	ret = talk_ask(c->talk, line, body, &r, why);
	if (ret < 0)
		return ret;
	answered = talk_behind(r.line, "answered");
	if (!answered)
		return talk_not_answered(c->talk, r.line, why);
	ret = judge(&r, answered, out);
	if (ret < 0)
		service_answer_free(out);
	if (ret == -EPROTO)
		return fault_set(why, EXIT_UNREACHABLE, EHOSTUNREACH,
				 "the key service cannot be reached: what answers is not one");
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot read the key service's answer") : 0;
}

int service_call(struct service_client *c, enum service_method method, const char *path, json_object *body,
		 struct service_answer *out, struct fault *why)
{
	_cleanup_secret_ struct secret *s = NULL;
	const char *text = NULL;
	size_t n = 0;

	if (body) {
		text = document_render(body, &n);
		s = text ? secret_new(n) : NULL;
		if (!s)
			return fault_set(why, EXIT_FAILED, ENOMEM, "no memory for the key service");
		memcpy(s->bytes, text, n);
	}
	return call(c, method, path, s, out, why);
}

int service_call_with(struct service_client *c, const char *path, json_object *body, const struct secret *value,
		      struct service_answer *out, struct fault *why)
{
	static const char name[] = "\"value\":\"";
	_cleanup_secret_ struct secret *s = NULL;
	size_t n = 0, used;
	const char *text = document_render(body, &n);
	char *at;

	*out = (struct service_answer){0};
	s = text && value->size <= VALUE_MAX ? secret_new(n + sizeof(name) + base64url_size(value->size) + 4) : NULL;
	if (!s || n < 2 || text[0] != '{')
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory for the key service");
	at = (char *)s->bytes;
	used = (size_t)sprintf(at, "{%s", name);
	used += base64url_encode(value->bytes, value->size, at + used);
	memcpy(at + used, "\",", 2);
	memcpy(at + used + 2, text + 1, n - 1);
	secret_shrink(s, used + 2 + n - 1);
	return call(c, SERVICE_ASK, path, s, out, why);
}

bool service_took_away(const struct service_answer *a)
{
	static const char *const codes[] = {"client_revoked", "key_disabled", "key_deleted", "not_granted"};
	bool found = false;

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		found |= strcmp(a->code, codes[i]) == 0;
	return a->status == 403 && found;
}

int service_check(const struct service_answer *a, struct fault *why)
{
	if (a->status < 300)
		return 0;
	return fault_set(why, EXIT_REFUSED, EACCES, "the key service refuses: %s (%s)", a->message, a->code);
}

/* --- the certificate */

static int local(struct service_client *c, const char *line, const struct secret *body, char text[SERVICE_LINE_MAX],
		 struct fault *why)
{
	_cleanup_talk_reply_ struct talk_reply r = {0};
	const char *words;
	int ret = talk_ask(c->talk, line, body, &r, why);

	if (ret < 0)
		return ret;
	words = talk_behind(r.line, "done");
	if (!words)
		return talk_not_answered(c->talk, r.line, why);
	memcpy(text, words, strlen(words) + 1);
	return 0;
}

int service_identity(struct service_client *c, struct service_identity *out, struct fault *why)
{
	char text[SERVICE_LINE_MAX], ends[TIME_TEXT + 1], by[16];
	int ret = local(c, "ABOUT", NULL, text, why);

	if (ret < 0)
		return ret;
	if (sscanf(text, "%64[0-9a-f] %20s %15s", out->fingerprint, ends, by) != 3 || time_parse(ends, &out->ends) < 0)
		return talk_not_answered(c->talk, "", why);
	out->issued = strcmp(by, "issued") == 0;
	return 0;
}

int service_make_identity(struct service_client *c, const char *name, bool *made, struct fault *why)
{
	char line[SERVICE_LINE_MAX], text[SERVICE_LINE_MAX];
	int ret;

	snprintf(line, sizeof(line), "MAKE %s", name);
	ret = local(c, line, NULL, text, why);
	*made = ret == 0 && strcmp(text, "made") == 0;
	return ret;
}

int service_store_certificate(struct service_client *c, const char *pem, struct fault *why)
{
	_cleanup_secret_ struct secret *body = secret_new(strlen(pem));
	char text[SERVICE_LINE_MAX];

	if (!body)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory for a certificate");
	memcpy(body->bytes, pem, strlen(pem));
	return local(c, "STORE", body, text, why);
}

static int renew(struct service_client *c, struct fault *why)
{
	_cleanup_service_answer_ struct service_answer a = {0};
	struct problem p = {0};
	const char *pem;
	int ret = service_call(c, SERVICE_ASK, "self/renew", NULL, &a, why);

	if (ret == 0)
		ret = service_check(&a, why);
	if (ret < 0)
		return ret;
	if (member_string(a.body, "certificate", &pem, &p) < 0)
		return fault_set(why, EXIT_FAILED, EPROTO, "the key service answered without a certificate");
	return service_store_certificate(c, pem, why);
}

void service_renew_if_due(struct service_client *c)
{
	struct service_identity who;
	struct fault why = {.status = EXIT_OK};
	char ends[TIME_TEXT + 1];
	int ret = service_identity(c, &who, &why);

	if (ret < 0 && ret != -ECANCELED)
		log_warning("%s", why.text);
	if (ret < 0 || !who.issued || who.ends - document_now() > (time_t)service_client_config(c)->renew_days * 86400)
		return;
	ret = renew(c, &why);
	if (ret == 0)
		log_info("the certificate %s was renewed", service_client_config(c)->cert);
	else if (ret != -ECANCELED) {
		time_text_of(who.ends, ends);
		log_warning("the certificate for the key service ends at %s and could not be renewed: %s", ends,
			    why.text);
	}
}
