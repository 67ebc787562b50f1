/*   (1) A request works with the keyring as the mount has it then: after a rotation with the new generation, and not at all while it is locked.
 *   (2) The mount's user and root may all; others what the rules give for the context of the request (mount_rights.h).
 *   (3) Of a list what comes before the first that fails is answered, with the error of that one. */
#include "util/cli/mount_fields.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "fs/control_verbs.h"
#include "util/base/encode.h"
#include "util/base/log.h"
#include "util/cli/mount_rights.h"
#include "util/field/mask.h"
#include "util/field/mount.h"

enum { MASK_KEEPS = 4, ANSWER_ROOM = CONTROL_ANSWER_MAX - 1024 };

/* ------------------------------------------------------------------ keys */

struct looked {
	struct keys *keys;
	struct field_domain domains[DOMAINS_MAX];
	size_t count;
	int result;
	struct fault why;
};

static void look(const struct keyring *k, void *context)
{
	struct looked *l = context;

	l->result = keyring_domains(k, l->domains, &l->count, &l->why);
	if (l->result == 0)
		l->keys = keyring_keys(k);
}

/* (1).  The caller frees *out, and lets go of its keys. */
static int look_at_keys(struct control_call *c, struct looked **out, struct fault *why)
{
	const struct control_subject *s = c->data;
	struct looked *l = calloc(1, sizeof *l);

	*out = l;
	if (!l)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory");
	l->result = -ENOKEY;
	live_keys_look(s->live_keys, look, l);
	if (l->result == -ENOKEY)
		return fault_set(why, EXIT_REFUSED, ENOKEY, "the mount is locked; coffer unlock ends that");
	if (l->result < 0) {
		*why = l->why;
		return l->result;
	}
	return l->keys ? 0 : fault_set(why, EXIT_FAILED, ENOMEM, "no memory for keys");
}

static void looked_free(struct looked **l)
{
	if (*l)
		keys_unref((*l)->keys);
	free(*l);
	*l = NULL;
}

static int run_keys(struct control_call *c, struct fault *why)
{
	_cleanup_(looked_free) struct looked *l = NULL;
	char id[2 * VOLUME_ID_SIZE + 1];
	json_object *domains;
	int r = look_at_keys(c, &l, why);

	if (r < 0)
		return r;
	hex_encode(l->keys->volume_id, VOLUME_ID_SIZE, id);
	control_put_text(c, "keyring", id);
	control_put_number(c, "generation", l->keys->active[SCOPE_FIELDS]);
	domains = json_object_new_array();
	for (size_t i = 0; i < l->count; i++) {
		json_object *d = json_object_new_object();

		json_object_object_add(d, "name", json_object_new_string(l->domains[i].name));
		json_object_object_add(d, "generation", json_object_new_int64(l->domains[i].generation));
		json_object_array_add(domains, d);
	}
	json_object_object_add(c->answer, "domains", domains);
	return 0;
}

/* ------------------------------------------------------------------ what a request says */

struct request {
	struct token_binding to;
	struct token_how how;
	json_object *places, *items; /* the request's */
	size_t count;
	struct buffer place, item; /* of the one under way */
	struct looked *looked;
	struct token_box *box;
	json_object *made; /* the answer's */
	size_t room;
};

static void request_end(struct request *q)
{
	token_box_free(&q->box);
	looked_free(&q->looked);
	buffer_free(&q->place);
	buffer_free(&q->item);
}

static json_object *array(const struct control_call *c, const char *name)
{
	json_object *o;

	return json_object_object_get_ex(c->request, name, &o) && json_object_is_type(o, json_type_array) ? o : NULL;
}

static bool take_bind(const char *word, enum token_bind *out)
{
	for (unsigned i = 0; word && i < sizeof bind_names / sizeof bind_names[0]; i++)
		if (strcmp(word, bind_names[i]) == 0) {
			*out = (enum token_bind)i;
			return true;
		}
	return false;
}

static int begin(struct control_call *c, struct request *q, const char *items, const char *answer, struct fault *why)
{
	const char *domain = control_get_text(c, "domain");
	uint64_t pad = 0;
	int r;

	(void)control_get_number(c, "pad", &pad);
	q->to.context = control_get_text(c, "context");
	q->places = array(c, "places");
	q->items = array(c, items);
	q->count = q->items ? json_object_array_length(q->items) : 0;
	q->room = ANSWER_ROOM;
	if (!q->to.context || strlen(q->to.context) > CONTEXT_MAX || !q->items || !q->places || pad > TOKEN_PAD_MAX ||
	    json_object_array_length(q->places) != q->count || !take_bind(control_get_text(c, "bind"), &q->to.bind))
		return fault_set(why, EXIT_USAGE, EINVAL, "fields want context, bind, places and %s, as many of both",
				 items);
	q->how = (struct token_how){domain ? TOKEN_DETERMINISTIC : TOKEN_RANDOM, domain, (uint32_t)pad};
	r = look_at_keys(c, &q->looked, why);
	if (r < 0)
		return r;
	r = token_box_new(q->looked->keys, q->looked->domains, q->looked->count, &q->box);
	q->made = json_object_new_array();
	json_object_object_add(c->answer, answer, q->made);
	return r < 0 ? fault_errno(why, EXIT_FAILED, r, "cannot use the keyring") : 0;
}

/* A string of the request; NULL: it is none. */
static const char *text_at(json_object *list, size_t i)
{
	json_object *o = json_object_array_get_idx(list, i);

	return json_object_is_type(o, json_type_string) ? json_object_get_string(o) : NULL;
}

static int take_base64(const char *text, struct buffer *out)
{
	size_t n = text ? strlen(text) : 0;
	ssize_t got;

	buffer_reset(out);
	if (!text || buffer_reserve(out, base64url_decoded_size(n) + 1) < 0)
		return text ? -ENOMEM : -EINVAL;
	got = base64url_decode(text, n, out->bytes, base64url_decoded_size(n));
	if (got < 0)
		return -EINVAL;
	out->size = (size_t)got;
	return 0;
}

static int take_place(struct request *q, size_t i)
{
	int r = take_base64(text_at(q->places, i), &q->place);

	q->to.place = q->place.bytes ? q->place.bytes : "";
	q->to.place_size = q->place.size;
	return r;
}

static int put(struct request *q, const char *text, size_t n)
{
	if (n + 3 > q->room)
		return -E2BIG;
	q->room -= n + 3;
	json_object_array_add(q->made, json_object_new_string_len(text, (int)n));
	return 0;
}

static int put_base64(struct request *q, const struct buffer *b)
{
	_cleanup_free_ char *text = malloc(base64url_size(b->size) + 1);
	int r;

	if (!text)
		return -ENOMEM;
	base64url_encode(b->bytes ? b->bytes : "", b->size, text);
	r = put(q, text, base64url_size(b->size));
	wipe(text, base64url_size(b->size));
	return r;
}

/* ------------------------------------------------------------------ rights */

/* What the rules give.  That they cannot be read is said once, as anybody may connect any number of times. */
static unsigned given_by_rules(const char *path, int fd, const char *context)
{
	static atomic_bool said;
	struct fault why = {.status = EXIT_OK};
	unsigned given = 0;
	int r = rights_of_peer(path, fd, context, &given, &why);

	if (!atomic_exchange(&said, r < 0) && r < 0)
		log_error("nobody else has rights: %s", why.text);
	return given;
}

/* (2) */
static unsigned rights(const struct control_call *c, const char *context)
{
	return c->other ? given_by_rules(c->rights, c->fd, context) : RIGHT_SEAL | RIGHT_OPEN;
}

static bool admits(const void *path, int fd)
{
	return given_by_rules(path, fd, NULL) != 0;
}

/* ------------------------------------------------------------------ sealing and opening */

static int seal_one(struct request *q, size_t i)
{
	_cleanup_buffer_ struct buffer token = {0};
	int r = take_place(q, i);

	if (r == 0)
		r = take_base64(text_at(q->items, i), &q->item);
	if (r == 0)
		r = token_seal(q->box, &q->how, &q->to, q->item.bytes, q->item.size, q->item.bytes, q->item.size,
			       &token);
	return r < 0 ? r : put(q, token.bytes, token.size);
}

static int open_one(struct request *q, size_t i, bool sealed, bool mask)
{
	_cleanup_buffer_ struct buffer value = {0}, shown = {0};
	const char *token = text_at(q->items, i);
	struct token_info info;
	int r = token ? take_place(q, i) : -EINVAL;

	if (r < 0)
		return r;
	/* Anyone can write a sealed one. */
	if (token_shape(token, strlen(token), &info) != TOKEN_WHOLE || (info.mode == TOKEN_SEALED && !sealed))
		return -EBADMSG;
	r = token_open(q->box, &q->to, token, strlen(token), &value);
	if (r == 0 && mask)
		r = mask_text(value.bytes ? value.bytes : "", value.size, MASK_KEEPS, &shown);
	return r < 0 ? r : put_base64(q, mask ? &shown : &value);
}

/* (3) */
static void put_errno(struct control_call *c, int error)
{
	if (error < 0)
		control_put_number(c, "errno", (uint64_t)-error);
}

static int run_seal(struct control_call *c, struct fault *why)
{
	_cleanup_(request_end) struct request q = {0};
	int r = begin(c, &q, "values", "tokens", why), error = 0;

	if (r < 0)
		return r;
	if (!(rights(c, q.to.context) & RIGHT_SEAL))
		error = -EACCES;
	for (size_t i = 0; error == 0 && i < q.count; i++)
		error = seal_one(&q, i);
	put_errno(c, error);
	return 0;
}

static int run_open(struct control_call *c, struct fault *why)
{
	_cleanup_(request_end) struct request q = {0};
	int r = begin(c, &q, "tokens", "values", why), error = 0;
	unsigned given;
	bool mask;

	if (r < 0)
		return r;
	given = rights(c, q.to.context);
	mask = !(given & RIGHT_OPEN);
	if (mask && !(given & RIGHT_MASK))
		error = -EACCES;
	for (size_t i = 0; error == 0 && i < q.count; i++)
		error = open_one(&q, i, control_get_flag(c, "sealed"), mask);
	control_put_flag(c, "masked", mask);
	put_errno(c, error);
	return 0;
}

static const struct control_verb verbs[] = {
	{"field-keys", run_keys, true},
	{"field-seal", run_seal, true},
	{"field-open", run_open, true},
	{NULL, NULL, false},
};

int mount_fields_add(struct mount_options *o, struct fault *why)
{
	o->more_verbs = verbs;
	o->admits = admits;
	return o->field_rights ? rights_check(o->field_rights, why) : 0;
}
