/* The API's calls that keep the sealed keyring of a volume: a copy for the day on which the volume's own is lost.
 *
 * It is what lies on the volume's disk: every key in it is wrapped by the root, and the root by keys of the service.  Whoever may use the key may put
 * one there; a forged one does not open.  It lies in pieces, as a row is small. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/service/api_internal.h"
#include "util/base/encode.h"

enum { TEXT_MAX = 45000, PIECE = 8192 };

static void row_of(const char *key, const char *volume, char out[ROW_NAME_MAX + 1])
{
	snprintf(out, ROW_NAME_MAX + 1, "keyring/%s/%s", key, volume);
}

static void piece_of(const char *row, unsigned number, char out[ROW_NAME_MAX + 1])
{
	snprintf(out, ROW_NAME_MAX + 1, "%.200s/%u", row, number);
}

/* The key, and a volume whose root it has wrapped. */
static bool take_volume(struct call *c, struct kek *k, char row[ROW_NAME_MAX + 1], int *ret)
{
	_cleanup_(volume_pin_free) struct volume_pin v = {0};
	uint8_t id[VOLUME_ID_SIZE];

	if (!call_key(c, k, ret))
		return false;
	if (!volume_id_parse(c->segment[3], id)) {
		*ret = call_refuse(c, 400, "bad_value", "a volume's id is 32 lower-case hexadecimal digits");
		return false;
	}
	*ret = volume_get(c->api->ledger, k->name, c->segment[3], &v);
	if (*ret == -ENOENT)
		*ret = call_refuse(c, 404, "not_found", "no root of that volume was ever wrapped by this key");
	row_of(k->name, c->segment[3], row);
	return *ret == 0 && !c->code;
}

static int note(struct call *c, const char *event, const struct kek *k, uint64_t sequence)
{
	json_object *more = call_detail("key", k->name);
	int ret = more ? put_string(more, "volume", c->segment[3]) : -ENOMEM;

	if (ret == 0)
		ret = put_number(more, "sequence", sequence);
	if (ret < 0) {
		json_object_put(more);
		return ret;
	}
	return call_note(c, event, more);
}

/* 0 if there is none yet. */
static int known_sequence(struct call *c, const char *row, uint64_t *sequence)
{
	_cleanup_json_ json_object *o = NULL;
	struct problem p = {0};
	int ret = ledger_get(c->api->ledger, row, &o);

	*sequence = 0;
	if (ret == -ENOENT)
		return 0;
	return ret == 0 ? member_number(o, "sequence", 1, DOCUMENT_NUMBER_MAX, sequence, &p) : ret;
}

static int put_piece(struct call *c, const char *row, unsigned number, const uint8_t *text, size_t n)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	char name[ROW_NAME_MAX + 1];
	int ret = o ? put_blob(o, "text", text, n) : -ENOMEM;

	piece_of(row, number, name);
	return ret == 0 ? ledger_put(c->api->ledger, name, o) : ret;
}

static int put_all(struct call *c, const char *row, uint64_t sequence, const uint8_t *text, size_t n)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	unsigned pieces = (unsigned)((n + PIECE - 1) / PIECE);
	int ret = o ? put_number(o, "sequence", sequence) : -ENOMEM;

	if (ret == 0)
		ret = put_number(o, "pieces", pieces);
	if (ret == 0)
		ret = put_now(o, "at");
	if (ret == 0)
		ret = put_string(o, "client", c->client.fingerprint);
	for (unsigned i = 0; ret == 0 && i < pieces; i++)
		ret = put_piece(c, row, i, text + i * PIECE, i + 1 < pieces ? PIECE : n - i * PIECE);
	return ret == 0 ? ledger_put(c->api->ledger, row, o) : ret;
}

static int answer_sequence(struct call *c, uint64_t sequence)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	int ret = o ? put_string(o, "volume", c->segment[3]) : -ENOMEM;

	if (ret == 0)
		ret = put_number(o, "sequence", sequence);
	return ret == 0 ? answer_json(c->answer, 200, o) : ret;
}

int api_keyring_put(struct call *c)
{
	static const char *const members[] = {"sequence", "text", NULL};
	_cleanup_(kek_free) struct kek k = {0};
	_cleanup_free_ uint8_t *text = malloc(TEXT_MAX);
	char row[ROW_NAME_MAX + 1];
	uint64_t sequence = 0, known;
	struct problem p = {0};
	size_t n = 0;
	int ret;

	if (!text)
		return -ENOMEM;
	if (!call_members(c, members, &ret) || !take_volume(c, &k, row, &ret))
		return ret;
	if (!c->body || member_number(c->body, "sequence", 1, DOCUMENT_NUMBER_MAX, &sequence, &p) < 0 ||
	    member_bytes_between(c->body, "text", text, 1, TEXT_MAX, &n, &p) < 0)
		return call_refuse(c, 400, "bad_value", "a keyring wants \"sequence\" and \"text\", 1 to %d bytes",
				   TEXT_MAX);
	ret = known_sequence(c, row, &known);
	if (ret < 0)
		return ret;
	if (sequence < known)
		return call_refuse(c, 409, "older_keyring", "a newer keyring of that volume is here");
	/* The same again, as after a mount. */
	if (sequence == known)
		return answer_sequence(c, known);
	ret = put_all(c, row, sequence, text, n);
	if (ret == 0)
		ret = note(c, "volume.keyring", &k, sequence);
	return ret == 0 ? answer_sequence(c, sequence) : ret;
}

static int read_piece(struct call *c, const char *row, unsigned number, uint8_t *text, size_t *used)
{
	_cleanup_json_ json_object *o = NULL;
	char name[ROW_NAME_MAX + 1];
	struct problem p = {0};
	size_t n = 0;
	int ret;

	piece_of(row, number, name);
	ret = ledger_get(c->api->ledger, name, &o);
	if (ret == 0)
		ret = member_bytes_between(o, "text", text + *used, 1, TEXT_MAX - *used, &n, &p);
	*used += n;
	return ret == -ENOENT ? -EBADMSG : ret;
}

int api_keyring_get(struct call *c)
{
	_cleanup_json_ json_object *o = NULL, *out = json_object_new_object();
	_cleanup_(kek_free) struct kek k = {0};
	_cleanup_free_ uint8_t *text = malloc(TEXT_MAX);
	char row[ROW_NAME_MAX + 1], at[TIME_TEXT + 1] = "";
	uint64_t sequence = 0, pieces = 0;
	struct problem p = {0};
	size_t n = 0;
	int ret;

	if (!text || !out)
		return -ENOMEM;
	if (!take_volume(c, &k, row, &ret))
		return ret;
	ret = ledger_get(c->api->ledger, row, &o);
	if (ret == -ENOENT)
		return call_refuse(c, 404, "not_found", "no keyring of that volume is kept here");
	if (ret == 0)
		ret = member_number(o, "sequence", 1, DOCUMENT_NUMBER_MAX, &sequence, &p);
	if (ret == 0)
		ret = member_number(o, "pieces", 1, TEXT_MAX / PIECE + 1, &pieces, &p);
	if (ret == 0)
		ret = member_time(o, "at", at, &p);
	for (unsigned i = 0; ret == 0 && i < pieces; i++)
		ret = read_piece(c, row, i, text, &n);
	if (ret == 0)
		ret = put_string(out, "volume", c->segment[3]);
	if (ret == 0)
		ret = put_number(out, "sequence", sequence);
	if (ret == 0)
		ret = put_string(out, "at", at);
	if (ret == 0)
		ret = put_blob(out, "text", text, n);
	if (ret == 0)
		ret = note(c, "volume.keyring.read", &k, sequence);
	return ret == 0 ? answer_json(c->answer, 200, out) : ret;
}
