/* Who holds a lease (leases.h). */
#include "keymgr/service/leases.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
	const struct lease *x = a, *y = b;
	int order = strcmp(x->key, y->key);

	return order ? order : strcmp(x->volume, y->volume);
}

void leases_free(struct leases *l)
{
	tdestroy(l->index, free);
	l->index = NULL;
}

static struct lease *find(const struct leases *l, const char *key, const char *volume)
{
	struct lease wanted = {0}, **at;

	snprintf(wanted.key, sizeof(wanted.key), "%s", key);
	snprintf(wanted.volume, sizeof(wanted.volume), "%s", volume);
	at = tfind(&wanted, &l->index, compare);
	return at ? *at : NULL;
}

const struct lease *lease_find(const struct leases *l, const char *key, const char *volume)
{
	return find(l, key, volume);
}

int lease_renew(struct leases *l, const char *key, const char *volume, const char *client, uint32_t version,
		const struct lease_report *report)
{
	struct lease *lease = find(l, key, volume);

	if (!lease) {
		lease = calloc(1, sizeof(*lease));
		if (!lease)
			return -ENOMEM;
		snprintf(lease->key, sizeof(lease->key), "%s", key);
		snprintf(lease->volume, sizeof(lease->volume), "%s", volume);
		if (!tsearch(lease, &l->index, compare)) {
			free(lease);
			return -ENOMEM;
		}
	}
	snprintf(lease->client, sizeof(lease->client), "%s", client);
	lease->version = version;
	lease->report = *report;
	time_text(lease->seen);
	lease->renewals++;
	return 0;
}
