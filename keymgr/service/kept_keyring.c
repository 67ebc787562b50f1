/* The sealed keyrings of volumes (kept_keyring.h).
 *
 *  (1) The row of a volume says which copy is kept: how many pieces, in which of two places.
 *  (2) A copy that comes whole replaces the pieces in the same commit as the row.  One that comes in parts is laid in the other place, and the row follows
 *      with its last part: until then the one before is kept, whatever becomes of the sender.
 *  (3) Parts come in order, of one keyring, from one client; the first one begins anew.  A second row says how far they have come. */
#include "keymgr/service/kept_keyring.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/service/authority.h"
#include "util/base/encode.h"

enum {
	PIECE = 8192,
	PIECES_OF_PART = (KEYRING_PART_MAX + PIECE - 1) / PIECE,
	PIECES_MAX = KEYRING_PARTS_MAX * PIECES_OF_PART
};

/* What is kept; sequence 0: nothing. */
struct kept {
	uint64_t sequence, pieces, place;
	char at[TIME_TEXT + 1];
};

/* What has come of one that is sent in parts. */
struct coming {
	uint64_t sequence, parts, next, pieces;
	const char *client; /* in `row` */
	json_object *row;
};

static void coming_free(struct coming *c)
{
	json_object_put(c->row);
	c->row = NULL;
}

struct place {
	struct ledger *ledger;
	const char *key, *volume;
};

static const char *kept_row(const struct place *at, char out[ROW_NAME_MAX + 1])
{
	snprintf(out, ROW_NAME_MAX + 1, "keyring/%s/%s", at->key, at->volume);
	return out;
}

static const char *coming_row(const struct place *at, char out[ROW_NAME_MAX + 1])
{
	snprintf(out, ROW_NAME_MAX + 1, "keyring/%s/%s/coming", at->key, at->volume);
	return out;
}

static const char *piece_row(const struct place *at, uint64_t place, uint64_t number, char out[ROW_NAME_MAX + 1])
{
	snprintf(out, ROW_NAME_MAX + 1, "keyring/%s/%s/%s%u", at->key, at->volume, place ? "other/" : "",
		 (unsigned)number);
	return out;
}

static int read_kept(const struct place *at, struct kept *out)
{
	_cleanup_json_ json_object *o = NULL;
	char name[ROW_NAME_MAX + 1];
	struct problem p = {0};
	int ret = ledger_get(at->ledger, kept_row(at, name), &o);

	*out = (struct kept){0};
	if (ret == -ENOENT)
		return 0;
	if (ret == 0)
		ret = member_number(o, "sequence", 1, DOCUMENT_NUMBER_MAX, &out->sequence, &p);
	if (ret == 0)
		ret = member_number(o, "pieces", 1, PIECES_MAX, &out->pieces, &p);
	if (ret == 0 && json_object_object_get_ex(o, "place", NULL))
		ret = member_number(o, "place", 0, 1, &out->place, &p);
	return ret == 0 ? member_time(o, "at", out->at, &p) : ret;
}

static int write_kept(const struct place *at, const struct kept *k, const char *client)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	char name[ROW_NAME_MAX + 1];
	int ret = o ? put_number(o, "sequence", k->sequence) : -ENOMEM;

	if (ret == 0)
		ret = put_number(o, "pieces", k->pieces);
	if (ret == 0 && k->place)
		ret = put_number(o, "place", k->place);
	if (ret == 0)
		ret = put_now(o, "at");
	if (ret == 0)
		ret = put_string(o, "client", client);
	return ret == 0 ? ledger_put(at->ledger, kept_row(at, name), o) : ret;
}

/* Sequence 0: nothing has come. */
static int read_coming(const struct place *at, struct coming *out)
{
	char name[ROW_NAME_MAX + 1];
	struct problem p = {0};
	int ret = ledger_get(at->ledger, coming_row(at, name), &out->row);

	if (ret == -ENOENT)
		return 0;
	if (ret == 0)
		ret = member_number(out->row, "sequence", 1, DOCUMENT_NUMBER_MAX, &out->sequence, &p);
	if (ret == 0)
		ret = member_number(out->row, "parts", 2, KEYRING_PARTS_MAX, &out->parts, &p);
	if (ret == 0)
		ret = member_number(out->row, "next", 1, KEYRING_PARTS_MAX, &out->next, &p);
	if (ret == 0)
		ret = member_number(out->row, "pieces", 1, PIECES_MAX, &out->pieces, &p);
	return ret == 0 ? member_string(out->row, "client", &out->client, &p) : ret;
}

static int write_coming(const struct place *at, const struct coming *c, const char *client)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	char name[ROW_NAME_MAX + 1];
	int ret = o ? put_number(o, "sequence", c->sequence) : -ENOMEM;

	if (ret == 0)
		ret = put_number(o, "parts", c->parts);
	if (ret == 0)
		ret = put_number(o, "next", c->next);
	if (ret == 0)
		ret = put_number(o, "pieces", c->pieces);
	if (ret == 0)
		ret = put_string(o, "client", client);
	return ret == 0 ? ledger_put(at->ledger, coming_row(at, name), o) : ret;
}

static int put_piece(const struct place *at, uint64_t place, uint64_t number, const uint8_t *text, size_t n)
{
	_cleanup_json_ json_object *o = json_object_new_object();
	char name[ROW_NAME_MAX + 1];
	int ret = o ? put_blob(o, "text", text, n) : -ENOMEM;

	return ret == 0 ? ledger_put(at->ledger, piece_row(at, place, number, name), o) : ret;
}

/* Behind *pieces others. */
static int put_pieces(const struct place *at, uint64_t place, uint64_t *pieces, const struct keyring_part *p)
{
	int ret = 0;

	for (size_t done = 0, n; ret == 0 && done < p->size; done += n) {
		n = p->size - done < PIECE ? p->size - done : PIECE;
		ret = put_piece(at, place, (*pieces)++, p->text + done, n);
	}
	return ret;
}

static int take_whole(const struct place *at, const struct kept *now, const struct keyring_part *p)
{
	struct kept k = {.sequence = p->sequence, .place = now->place};
	int ret = put_pieces(at, k.place, &k.pieces, p);

	return ret == 0 ? write_kept(at, &k, p->client) : ret;
}

static bool is_coming(const struct coming *c, const struct keyring_part *p)
{
	return c->sequence == p->sequence && c->parts == p->parts && strcmp(c->client, p->client) == 0;
}

static int take_part(const struct place *at, const struct kept *now, const struct keyring_part *p,
		     enum keyring_took *out)
{
	_cleanup_(coming_free) struct coming c = {0};
	struct kept k = {.sequence = p->sequence, .place = !now->place};
	int ret = read_coming(at, &c);

	if (ret < 0)
		return ret;
	if (p->part && is_coming(&c, p) && c.next == p->part + 1) {
		*out = KEYRING_SAID_AGAIN;
		return 0;
	}
	if (p->part && (!is_coming(&c, p) || c.next != p->part)) {
		*out = KEYRING_OUT_OF_ORDER;
		return 0;
	}
	if (!p->part)
		c.pieces = 0;
	c.sequence = p->sequence;
	c.parts = p->parts;
	c.next = p->part + 1;
	*out = c.next == c.parts ? KEYRING_WHOLE : KEYRING_PART;
	ret = put_pieces(at, k.place, &c.pieces, p);
	k.pieces = c.pieces;
	if (ret < 0)
		return ret;
	return *out == KEYRING_WHOLE ? write_kept(at, &k, p->client) : write_coming(at, &c, p->client);
}

int kept_keyring_take(struct ledger *l, const char *key, const char *volume, const struct keyring_part *p,
		      enum keyring_took *out)
{
	const struct place at = {l, key, volume};
	struct kept now;
	int ret = read_kept(&at, &now);

	if (ret < 0)
		return ret;
	*out = p->sequence < now.sequence ? KEYRING_OLDER : p->sequence == now.sequence ? KEYRING_SAME : KEYRING_WHOLE;
	if (*out != KEYRING_WHOLE)
		return 0;
	return p->parts == 1 ? take_whole(&at, &now, p) : take_part(&at, &now, p, out);
}

static int read_piece(const struct place *at, uint64_t place, uint64_t number, struct kept_keyring *out)
{
	_cleanup_json_ json_object *o = NULL;
	char name[ROW_NAME_MAX + 1];
	struct problem p = {0};
	size_t n = 0;
	int ret = ledger_get(at->ledger, piece_row(at, place, number, name), &o);

	if (ret == 0)
		ret = member_bytes_between(o, "text", out->text + out->size, 1, PIECE, &n, &p);
	out->size += n;
	return ret == -ENOENT ? -EBADMSG : ret;
}

int kept_keyring_get(struct ledger *l, const char *key, const char *volume, struct kept_keyring *out)
{
	const struct place at = {l, key, volume};
	struct kept k;
	int ret = read_kept(&at, &k);

	*out = (struct kept_keyring){0};
	if (ret < 0)
		return ret;
	if (!k.sequence)
		return -ENOENT;
	out->sequence = k.sequence;
	memcpy(out->at, k.at, sizeof(out->at));
	out->text = malloc(k.pieces * PIECE);
	if (!out->text)
		return -ENOMEM;
	for (uint64_t i = 0; ret == 0 && i < k.pieces; i++)
		ret = read_piece(&at, k.place, i, out);
	return ret;
}
