/* Asking a mount. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "keymgr/control_client.h"
#include "keymgr/control_path.h"
#include "util/base/encode.h"
#include "util/field/mount.h"
#include "util/field/token_internal.h"

enum {
	ANSWER_SECONDS = 60,
	SEND_SECONDS = 5,
	TRIES = 10,
	PAUSE_MS = 50,
	ROOM = 60000, /* of a packet, for items */
	ITEM_HEAD = 8,
	TOKEN_HEAD = 128,
};

const char *const bind_names[4] = {
	[BIND_NONE] = "none", [BIND_KEYS] = "keys", [BIND_PATH] = "path", [BIND_RECORD] = "record"};

/* ------------------------------------------------------------------ one request */

static int connect_to(const struct sockaddr_un *address)
{
	const struct timeval patience = {.tv_sec = SEND_SECONDS};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return fd;
	close(fd);
	return -ECONNRESET;
}

static int ask_once(const struct token_box *b, const char *verb, json_object *request, struct control_answer *out)
{
	_cleanup_close_ int fd = connect_to(&b->mount->address);
	struct fault why = {.status = EXIT_OK};
	int ret;

	if (fd < 0)
		return fd;
	ret = control_ask(fd, verb, json_object_get(request), ANSWER_SECONDS, out, &why);
	if (ret < 0 && why.status == EXIT_REFUSED)
		return -ENOKEY;
	return ret < 0 ? -ECONNRESET : 0;
}

/* (3).  All places of a mount may be taken for a moment. */
static int ask(const struct token_box *b, const char *verb, json_object *request, struct control_answer *out)
{
	const struct timespec pause = {0, PAUSE_MS * 1000000L};
	int ret = -ECONNRESET;

	for (int i = 0; ret == -ECONNRESET && i < TRIES; i++) {
		if (i)
			nanosleep(&pause, NULL);
		ret = ask_once(b, verb, request, out);
	}
	return ret;
}

/* ------------------------------------------------------------------ what it has */

static json_object *array_of(const struct control_answer *a, const char *name)
{
	json_object *o;

	return json_object_object_get_ex(a->members, name, &o) && json_object_is_type(o, json_type_array) ? o : NULL;
}

static int take_domain(json_object *o, struct field_domain *out)
{
	const struct control_answer a = {o};
	const char *name = control_text(&a, "name");
	uint64_t generation;

	if (!name || strlen(name) > DOMAIN_NAME_MAX || !control_number(&a, "generation", &generation))
		return -ECONNRESET;
	*out = (struct field_domain){.generation = (uint32_t)generation};
	strcpy(out->name, name);
	return 0;
}

static int take_domains(json_object *list, struct token_box *b)
{
	size_t count = list ? json_object_array_length(list) : 0;
	struct field_domain *domains = calloc(count ? count : 1, sizeof(*domains));
	int ret = domains ? 0 : -ENOMEM;

	for (size_t i = 0; ret == 0 && i < count; i++)
		ret = take_domain(json_object_array_get_idx(list, i), &domains[i]);
	if (ret < 0) {
		free(domains);
		return ret;
	}
	free(b->domains);
	b->domains = domains;
	b->domain_count = count;
	return 0;
}

int mount_box_renew(struct token_box *b)
{
	_cleanup_answer_ struct control_answer a = CONTROL_ANSWER_NONE;
	json_object *request = json_object_new_object();
	const char *id;
	uint64_t generation;
	int ret = request ? ask(b, "field-keys", request, &a) : -ENOMEM;

	json_object_put(request);
	if (ret < 0)
		return ret;
	id = control_text(&a, "keyring");
	if (!id || strlen(id) != 2 * VOLUME_ID_SIZE ||
	    hex_decode(id, 2 * VOLUME_ID_SIZE, b->keyring_id, VOLUME_ID_SIZE) < 0 ||
	    !control_number(&a, "generation", &generation))
		return -ECONNRESET;
	b->remote_active = (uint32_t)generation;
	return take_domains(array_of(&a, "domains"), b);
}

int mount_box(const struct sockaddr_un *address, struct token_box **out)
{
	_cleanup_(token_box_free) struct token_box *b = calloc(1, sizeof(*b));
	int ret;

	*out = NULL;
	if (!b)
		return -ENOMEM;
	b->mount = calloc(1, sizeof(*b->mount));
	if (!b->mount)
		return -ENOMEM;
	b->mount->address = *address;
	ret = mount_box_renew(b);
	if (ret < 0)
		return ret;
	*out = b;
	b = NULL;
	return 0;
}

bool box_is_mounts(const struct token_box *b)
{
	return b->mount != NULL;
}

/* ------------------------------------------------------------------ batches */

struct batch {
	const char *verb, *items_name, *answer_name;
	const struct token_how *how; /* NULL: they are opened */
	const struct token_binding *to;
	bool sealed, masked;
};

static int add_base64(json_object *list, const void *bytes, size_t n)
{
	char *text = malloc(base64url_size(n) + 1);

	if (!text)
		return -ENOMEM;
	base64url_encode(bytes, n, text);
	json_object_array_add(list, json_object_new_string(text));
	wipe(text, base64url_size(n));
	free(text);
	return 0;
}

/* What it takes of a packet, of the request's or of the answer's, whichever is more. */
static size_t weight(const struct batch *q, const struct token_item *item)
{
	size_t place = base64url_size(item->place_size), pad = q->how && q->how->pad ? q->how->pad : TOKEN_PAD;

	return place + ITEM_HEAD + (q->how ? base64url_size(item->size + pad + TOKEN_HEAD) : item->size);
}

static json_object *new_request(const struct batch *q)
{
	json_object *o = json_object_new_object();

	if (!o)
		return NULL;
	json_object_object_add(o, "context", json_object_new_string(q->to->context ? q->to->context : ""));
	json_object_object_add(o, "bind", json_object_new_string(bind_names[q->to->bind]));
	if (!q->how) {
		json_object_object_add(o, "sealed", json_object_new_boolean(q->sealed));
		return o;
	}
	json_object_object_add(o, "pad", json_object_new_int((int)q->how->pad));
	if (q->how->mode == TOKEN_DETERMINISTIC)
		json_object_object_add(o, "domain", json_object_new_string(q->how->domain ? q->how->domain : ""));
	return o;
}

/* As many items as fit; *taken says how many. */
static int fill(json_object *request, const struct batch *q, const struct token_item *items, size_t count,
		size_t *taken)
{
	json_object *places = json_object_new_array(), *list = json_object_new_array();
	size_t room = ROOM;
	int ret = 0;

	json_object_object_add(request, "places", places);
	json_object_object_add(request, q->items_name, list);
	for (*taken = 0; ret == 0 && *taken < count; ++*taken) {
		const struct token_item *item = &items[*taken];
		size_t n = weight(q, item);

		if (n > room)
			return *taken ? 0 : -E2BIG;
		room -= n;
		ret = add_base64(places, item->place ? item->place : "", item->place_size);
		if (ret == 0 && q->how)
			ret = add_base64(list, item->bytes, item->size);
		else if (ret == 0)
			json_object_array_add(list, json_object_new_string_len(item->bytes, (int)item->size));
	}
	return ret;
}

static int take_item(json_object *o, const struct batch *q, struct token_item *item)
{
	const char *text = json_object_is_type(o, json_type_string) ? json_object_get_string(o) : NULL;
	size_t n = text ? strlen(text) : 0;
	ssize_t got;
	int ret;

	if (!text)
		return -ECONNRESET;
	if (q->how)
		return buffer_add(&item->out, text, n);
	ret = buffer_reserve(&item->out, base64url_decoded_size(n) + 1);
	if (ret < 0)
		return ret;
	got = base64url_decode(text, n, item->out.bytes + item->out.size, base64url_decoded_size(n));
	if (got < 0)
		return -ECONNRESET;
	item->out.size += (size_t)got;
	return 0;
}

static int take_answer(const struct control_answer *a, struct batch *q, struct token_item *items, size_t asked,
		       size_t *done)
{
	json_object *list = array_of(a, q->answer_name);
	size_t count = list ? json_object_array_length(list) : 0;
	uint64_t error = 0;
	int ret = 0;

	if (!list || count > asked)
		return -ECONNRESET;
	for (size_t i = 0; ret == 0 && i < count; i++) {
		ret = take_item(json_object_array_get_idx(list, i), q, &items[i]);
		*done += ret == 0;
	}
	if (ret < 0)
		return ret;
	q->masked = control_flag(a, "masked");
	if (control_number(a, "errno", &error) && error && error < 4096)
		return -(int)error;
	return count == asked ? 0 : -ECONNRESET;
}

static int run(struct token_box *b, struct batch *q, struct token_item *items, size_t count, size_t *done)
{
	int ret = 0;

	*done = 0;
	while (ret == 0 && *done < count) {
		_cleanup_answer_ struct control_answer a = CONTROL_ANSWER_NONE;
		json_object *request = new_request(q);
		size_t taken = 0;

		ret = request ? fill(request, q, items + *done, count - *done, &taken) : -ENOMEM;
		if (ret == 0)
			ret = ask(b, q->verb, request, &a);
		control_json_free(request);
		if (ret == 0)
			ret = take_answer(&a, q, items + *done, taken, done);
	}
	return ret;
}

int mount_seal(struct token_box *b, const struct token_how *how, const struct token_binding *to,
	       struct token_item *items, size_t count, size_t *done)
{
	struct batch q = {"field-seal", "values", "tokens", how, to, false, false};

	if (how->mode == TOKEN_SEALED)
		return -ENOTSUP;
	return run(b, &q, items, count, done);
}

int mount_open(struct token_box *b, const struct token_binding *to, bool sealed, struct token_item *items, size_t count,
	       size_t *done, bool *masked)
{
	struct batch q = {"field-open", "tokens", "values", NULL, to, sealed, false};
	int ret = run(b, &q, items, count, done);

	*masked = q.masked;
	return ret;
}
