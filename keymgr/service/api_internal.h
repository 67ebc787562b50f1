/* What the handlers of the API share.  Only api*.c include this. */
#ifndef COFFER_SERVICE_API_INTERNAL_H
#define COFFER_SERVICE_API_INTERNAL_H

#include "keymgr/service/api.h"
#include "keymgr/service/clients.h"
#include "keymgr/service/kek.h"
#include "keymgr/service/volumes.h"

#define RATE_CODE "too_many_requests"

enum { SEGMENTS_MAX = 5, SEGMENT_MAX = 64 };

struct call {
	struct api *api;
	const struct tls_peer *peer;
	const char *address;
	struct client client;                        /* who asks, by client_look() */
	char segment[SEGMENTS_MAX][SEGMENT_MAX + 1]; /* of the path, behind /v1 */
	int segments;
	json_object *body;            /* NULL without one */
	bool counted;                 /* asked every few seconds */
	const struct page_file *page; /* NULL: a call of the API */
	struct rate_refusal rate;     /* where code is RATE_CODE */
	const char *code;             /* why it is refused; NULL: it is not */
	struct answer *answer;
};

/* Fills the answer with an error and remembers that the call was refused: what it staged is taken back, and the refusal recorded.
 * Returns 0, or -ENOMEM. */
int call_refuse(struct call *c, int status, const char *code, const char *format, ...) PRINTF_LIKE(4, 5) MUST_CHECK;
/* The same with what a negative errno means everywhere: -ENOENT, -EKEYREVOKED ... ; returns the error itself if that is nothing that a
 * client could act on. */
int call_refuse_errno(struct call *c, int error) MUST_CHECK;

/* Stages the line about what was done.  `more` is taken over; NULL: nothing besides who did it. */
int call_note(struct call *c, const char *event, json_object *more) MUST_CHECK;
/* The same in two steps, for what is done all the time: the event, behind which the caller puts what belongs to it (NULL without memory), and
 * who did it.  The second takes the line over; NULL gives -ENOMEM. */
json_object *call_line(const char *event);
int call_note_line(struct call *c, json_object *line) MUST_CHECK;
/* {"MEMBER": text}; NULL without memory. */
json_object *call_detail(const char *member, const char *text);

/* Refuses members of the body that are not in the list (ended by NULL): a typo must not be taken for a default. */
bool call_members(struct call *c, const char *const *names, int *ret) MUST_CHECK;

/* The key that the path names.  False: the call was refused, or *ret says why not.  A client hears the same of a key that does not
 * exist as of one that is not granted to it. */
bool call_key(struct call *c, struct kek *k, int *ret) MUST_CHECK;
/* The same for who only uses it: kek_look(). */
bool call_key_to_use(struct call *c, struct kek *k, int *ret) MUST_CHECK;
int call_granted(struct call *c, const char *name, bool *out) MUST_CHECK;
/* What a negative errno of kek_wrap, kek_unwrap and kek_usable means. */
int call_refuse_use(struct call *c, int error) MUST_CHECK;
int call_note_key(struct call *c, const char *event, const struct kek *k, uint32_t version) MUST_CHECK;

#define HANDLER(name) int name(struct call *c) MUST_CHECK
HANDLER(api_keys_list);
HANDLER(api_key_show);
HANDLER(api_key_create);
HANDLER(api_key_rotate);
HANDLER(api_key_enable);
HANDLER(api_key_disable);
HANDLER(api_key_config);
HANDLER(api_key_delete);
HANDLER(api_key_recover);
HANDLER(api_key_purge);
HANDLER(api_key_grant);
HANDLER(api_key_ungrant);
HANDLER(api_wrap);
HANDLER(api_unwrap);
HANDLER(api_rewrap);
HANDLER(api_volumes_list);
HANDLER(api_volume_accept);
HANDLER(api_keyring_put);
HANDLER(api_keyring_get);
HANDLER(api_lease);
HANDLER(api_self);
HANDLER(api_self_renew);
HANDLER(api_register);
HANDLER(api_clients_list);
HANDLER(api_client_accept);
HANDLER(api_client_revoke);
HANDLER(api_audit);
HANDLER(api_status);
HANDLER(api_backup);
HANDLER(api_page);

#endif
