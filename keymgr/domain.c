#include "keymgr/domain.h"

#include <errno.h>
#include <string.h>

#include "keymgr/internal.h"

bool domain_name_valid(const char *name)
{
	size_t n = strlen(name);

	return n >= 1 && n <= DOMAIN_NAME_MAX &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

static int domain_load(const struct keyring *k, json_object *o, struct field_domain *out, struct problem *p)
{
	const char *name;
	int ret = member_string(o, "name", &name, p);

	if (ret < 0)
		return ret;
	if (!domain_name_valid(name))
		return problem_set(p, "a domain has an impossible name");
	strcpy(out->name, name);
	ret = member_u32(o, "generation", 1, &out->generation, p);
	if (ret == 0 && out->generation >= k->next_generation)
		ret = problem_set(p, "a domain is pinned to a generation that never was");
	return ret;
}

static int domains_array(const struct keyring *k, json_object **out, struct problem *p)
{
	*out = NULL;
	if (!json_object_object_get_ex(k->doc, "domains", NULL))
		return 0;
	return member_array(k->doc, "domains", 0, DOMAINS_MAX, out, p);
}

int keyring_domains(const struct keyring *k, struct field_domain out[DOMAINS_MAX], size_t *count, struct fault *why)
{
	struct problem p = {0};
	json_object *array, *o;
	int ret = domains_array(k, &array, &p);

	*count = 0;
	for (size_t i = 0; ret == 0 && array && i < json_object_array_length(array); i++) {
		ret = element_object(array, i, &o, &p);
		if (ret == 0)
			ret = domain_load(k, o, &out[*count], &p);
		if (ret == 0)
			++*count;
	}
	if (ret == -EBADMSG)
		return fault_set(why, EXIT_DAMAGED, EBADMSG, "the keyring is damaged: %s", p.text);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot read the domains") : 0;
}

/* The object of that name; NULL if there is none. */
static json_object *find(json_object *array, const char *name)
{
	for (size_t i = 0; array && i < json_object_array_length(array); i++) {
		json_object *o = json_object_array_get_idx(array, i);
		struct problem p = {0};
		const char *is;

		if (member_string(o, "name", &is, &p) == 0 && strcmp(is, name) == 0)
			return o;
	}
	return NULL;
}

static int add(struct keyring *k, json_object *array, const char *name)
{
	json_object *o = json_object_new_object();
	int ret = 0;

	if (!array) {
		array = json_object_new_array();
		ret = put_value(k->doc, "domains", array);
	}
	if (ret < 0) {
		json_object_put(o);
		return ret;
	}
	ret = put_element(array, o);
	if (ret == 0)
		ret = put_string(o, "name", name);
	if (ret == 0)
		ret = put_number(o, "generation", k->active[SCOPE_FIELDS]);
	if (ret == 0)
		ret = put_now(o, "created");
	return ret;
}

int keyring_domain_pin(struct keyring *k, const char *name, bool move, struct fault *why)
{
	struct problem p = {0};
	json_object *array, *o;
	int ret = domains_array(k, &array, &p);

	if (ret == -EBADMSG)
		return fault_set(why, EXIT_DAMAGED, EBADMSG, "the keyring is damaged: %s", p.text);
	if (!domain_name_valid(name))
		return fault_set(why, EXIT_USAGE, EINVAL, "%s: a domain has 1 to %d of A-Z a-z 0-9 . _ -", name,
				 DOMAIN_NAME_MAX);
	o = find(array, name);
	if (o && !move)
		return fault_set(why, EXIT_REFUSED, EEXIST, "there is a domain %s already", name);
	if (!o && move)
		return fault_set(why, EXIT_FAILED, ENOENT, "there is no domain %s; make it: coffer field domain create",
				 name);
	if (!o && array && json_object_array_length(array) >= DOMAINS_MAX)
		return fault_set(why, EXIT_FAILED, ENOSPC, "there are %d domains already", DOMAINS_MAX);
	if (ret == 0)
		ret = o ? put_number(o, "generation", k->active[SCOPE_FIELDS]) : add(k, array, name);
	return ret < 0 ? fault_errno(why, EXIT_FAILED, ret, "cannot pin domain %s", name) : 0;
}
