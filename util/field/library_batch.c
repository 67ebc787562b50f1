/* libcoffer-field: values of a column, many under one lock, or in one request to a mount. */
#include <errno.h>
#include <string.h>

#include "util/field/library.h"

/* ------------------------------------------------------------------ places */

/* A column is a path of two names: table and field. */
static int add_step(struct buffer *b, char kind, const char *name)
{
	size_t n = strlen(name);
	const uint8_t head[5] = {(uint8_t)kind, (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24)};
	int ret = buffer_add(b, head, sizeof(head));

	return ret < 0 ? ret : buffer_add(b, name, n);
}

static int bind(const struct coffer_field_place *p, const char *record, struct buffer *place, struct token_binding *to)
{
	int ret = 0;

	*to = (struct token_binding){.bind = BIND_NONE, .context = p->context};
	if (p->free)
		return 0;
	if (!p->table || !p->field)
		return -EINVAL;
	ret = add_step(place, 'k', p->table);
	if (ret == 0)
		ret = add_step(place, 'k', p->field);
	if (ret == 0 && record)
		ret = add_step(place, 'r', "record");
	if (ret == 0 && record)
		ret = add_step(place, 'v', record);
	to->bind = record ? BIND_RECORD : BIND_KEYS;
	to->place = place->bytes;
	to->place_size = place->size;
	return ret;
}

/* ------------------------------------------------------------------ several at a time */

struct batch *batch_new(size_t count)
{
	size_t room = count < BATCH ? count : BATCH;
	struct batch *b = calloc(1, sizeof(*b) + room * sizeof(b->items[0]));

	if (b)
		b->room = room;
	return b;
}

void batch_free(struct batch **b)
{
	for (size_t i = 0; *b && i < (*b)->room; i++) {
		buffer_free(&(*b)->items[i].out);
		buffer_free(&(*b)->items[i].where);
	}
	free(*b);
	*b = NULL;
}

int batch_add(struct batch *b, const struct coffer_field_place *place, const char *record, const char *bytes, size_t n)
{
	struct token_item *item = &b->items[b->count];
	int ret;

	buffer_reset(&item->where);
	buffer_reset(&item->out);
	ret = bind(place, record, &item->where, &b->to);
	item->place = item->where.bytes;
	item->place_size = item->where.size;
	item->bytes = bytes;
	item->size = n;
	b->count += ret == 0;
	return ret;
}

int seal_batch(struct coffer_field_keyring *k, const struct token_how *how, struct batch *b, size_t *done)
{
	struct token_binding to = b->to;
	int ret = 0;

	*done = 0;
	pthread_mutex_lock(&k->lock);
	if (box_is_mounts(k->box))
		ret = mount_seal(k->box, how, &b->to, b->items, b->count, done);
	while (ret == 0 && *done < b->count) {
		struct token_item *item = &b->items[*done];

		to.place = item->place;
		to.place_size = item->place_size;
		ret = token_seal(k->box, how, &to, item->bytes, item->size, item->bytes, item->size, &item->out);
		*done += ret == 0;
	}
	pthread_mutex_unlock(&k->lock);
	return ret;
}

int open_batch(struct coffer_field_keyring *k, struct batch *b, size_t *done, bool *masked)
{
	struct token_binding to = b->to;
	int ret = 0;

	*done = 0;
	*masked = false;
	pthread_mutex_lock(&k->lock);
	if (box_is_mounts(k->box))
		ret = mount_open(k->box, &b->to, false, b->items, b->count, done, masked);
	while (ret == 0 && *done < b->count) {
		struct token_item *item = &b->items[*done];

		to.place = item->place;
		to.place_size = item->place_size;
		ret = token_open(k->box, &to, item->bytes, item->size, &item->out);
		*done += ret == 0;
	}
	pthread_mutex_unlock(&k->lock);
	return ret;
}
