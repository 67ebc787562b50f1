/* A conversation with a helper that asks a server for us (keymgr/helper/service_protocol.h): a line and bytes there, a line and bytes back.
 *
 * Not thread-safe: it belongs to one thread, talk_cancel() excepted. */
#ifndef COFFER_KEYMGR_HELPER_TALK_H
#define COFFER_KEYMGR_HELPER_TALK_H

#include "keymgr/helper/service_protocol.h"
#include "keymgr/service_config.h"
#include "util/base/secret.h"

struct talk;

/* Nothing is started yet.  The configuration is copied; its kind says which helper it is. */
int talk_new(const struct service_config *config, struct talk **out, struct fault *why) MUST_CHECK;
void talk_free(struct talk **t);
#define _cleanup_talk_ _cleanup_(talk_free)
const struct service_config *talk_config(const struct talk *t);
/* Ends what another thread waits for, now and from now on: it gets -ECANCELED. */
void talk_cancel(struct talk *t);

struct talk_reply {
	char line[SERVICE_LINE_MAX];
	uint8_t *bytes; /* followed by a zero; in locked memory if they are few */
	size_t size;
	struct secret *locked;
};
void talk_reply_free(struct talk_reply *r);
#define _cleanup_talk_reply_ _cleanup_(talk_reply_free)

/* body: NULL for none.  -EHOSTUNREACH: no answer in time. */
int talk_ask(struct talk *t, const char *line, const struct secret *body, struct talk_reply *out,
	     struct fault *why) MUST_CHECK;
/* The words behind the first one, if that is `word`; else NULL. */
const char *talk_behind(const char *line, const char *word);
/* What a line means that is no answer: -EHOSTUNREACH and EXIT_UNREACHABLE; -EINVAL, a file or an address does not do; else -EPROTO. */
int talk_not_answered(const struct talk *t, const char *line, struct fault *why) MUST_CHECK;

#endif
