/* Restoring a keyring from a backup.
 *
 * 1. Nothing goes back: sequence, floors and the next number are above all that the backup, the volume, its audit log or this host has
 *    seen.
 * 2. What is destroyed in either stays destroyed.
 * 3. Of a volume whose own keyring is whole and has the backup's root, everything is kept; what it lacks is added.
 * 4. Nothing is written before the new secret has opened what will be written. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "keymgr/backup.h"
#include "keymgr/internal.h"
#include "keymgr/pin.h"
#include "util/base/kdf_labels.h"
#include "util/base/log.h"

struct work {
	struct store *s;
	int dot;
	const struct restoring *how;
	struct keyring *current; /* of the volume; NULL: lost, or of a root that does not count any more */
	struct keyring *new;
	struct host_memory *memory;
	struct trust trust; /* as it was given, or confirmed */
	struct restored *out;
	bool settings_lost;
};

/* --- what is there */

static int settings_of_volume(struct work *w, json_object **doc)
{
	struct fault ignored = {0};
	int ret = settings_file_read(w->s, w->dot, doc, &ignored);

	w->settings_lost = ret < 0;
	return 0;
}

static int check_current_root(struct work *w, struct fault *why)
{
	const struct keyring *backup = w->how->backup;

	if (memcmp(w->current->fingerprint, backup->fingerprint, FINGERPRINT_SIZE) == 0)
		return 0;
	/* An older keyring than the backup has nothing that the backup lacks. */
	if (keyring_root_succeeds(backup, w->current->fingerprint) == 0 || w->trust.older) {
		keyring_free(&w->current);
		return 0;
	}
	return fault_set(
		why, EXIT_REFUSED, EPERM,
		"the volume has another root than the backup: its root was replaced since, or is a foreign one; "
		"unlock it as usual, or give --accept-older-keyring to go back to the backup");
}

static int read_current(struct work *w, struct fault *why)
{
	struct fault damage = {0};
	int ret = keyring_file_read(w->s, w->dot, &w->current, &damage);

	if (ret == -EBADMSG || ret == -ENOENT) {
		log_warning("%s", damage.text);
		return 0;
	}
	if (ret < 0) {
		*why = damage;
		return ret;
	}
	if (memcmp(w->current->settings.volume_id, w->how->backup->settings.volume_id, VOLUME_ID_SIZE) != 0)
		return fault_set(why, EXIT_REFUSED, EXDEV, "the backup is of another volume; nothing was changed");
	ret = check_current_root(w, why);
	if (ret == 0 && w->current)
		ret = backup_unlock_volume(w->how->backup, w->current, why);
	return ret;
}

/* --- the new keyring */

static struct secret *copy_secret(const struct secret *s)
{
	struct secret *copy = secret_new(s->size);

	if (copy)
		memcpy(copy->bytes, s->bytes, s->size);
	return copy;
}

/* The settings of the volume where they are whole: a backup may be of another instance. */
static int put_settings(struct work *w, json_object *volume)
{
	json_object *settings, *copy = NULL;
	struct settings ours;
	struct problem p = {0};
	struct fault why = {0};
	bool read_only;

	if (w->settings_lost || !volume || settings_load(volume, DOCUMENT_VOLUME, &ours, &read_only, &p, &why) < 0 ||
	    memcmp(ours.volume_id, w->how->backup->settings.volume_id, VOLUME_ID_SIZE) != 0) {
		w->settings_lost = true;
		return 0;
	}
	w->new->settings = ours;
	if (!json_object_object_get_ex(volume, "settings", &settings) ||
	    json_object_deep_copy(settings, &copy, NULL) < 0)
		return -ENOMEM;
	return put_value(w->new->doc, "settings", copy);
}

static int begin_lost(struct work *w, json_object *volume)
{
	json_object *none = json_object_new_array();
	int ret;

	if (json_object_deep_copy(w->how->backup->doc, &w->new->doc, NULL) < 0) {
		json_object_put(none);
		return -ENOMEM;
	}
	json_object_object_del(w->new->doc, "backup");
	if (w->how->nothing_there) /* nor its log: that begins anew */
		json_object_object_del(w->new->doc, "audit");
	ret = put_value(w->new->doc, "protectors", none);
	if (ret == 0)
		ret = document_put_format(w->new->doc, DOCUMENT_KEYRING);
	return ret < 0 ? ret : put_settings(w, volume);
}

static int begin_merge(struct work *w, struct fault *why)
{
	w->out->merged = true;
	if (json_object_deep_copy(w->current->doc, &w->new->doc, NULL) < 0)
		return -ENOMEM;
	return scopes_merge(w->new->doc, w->current, w->how->backup, why);
}

static int begin(struct work *w, json_object *volume, struct fault *why)
{
	w->new = calloc(1, sizeof(*w->new));
	if (!w->new)
		return -ENOMEM;
	w->new->settings = w->current ? w->current->settings : w->how->backup->settings;
	w->new->root = copy_secret(w->how->backup->root);
	if (!w->new->root)
		return -ENOMEM;
	return w->current ? begin_merge(w, why) : begin_lost(w, volume);
}

static int add_protector(struct work *w, struct problem *p, struct fault *why)
{
	int ret = 0;
	uint32_t id;

	/* A keyring without one does not load, so the new one comes before everything else. */
	ret = member_u32(w->new->doc, "next_protector", 1, &w->new->next_protector, p);
	if (ret == 0 && w->current)
		ret = keyring_load(w->new, p, why);
	return ret < 0 ? ret : keyring_add_protector(w->new, &w->how->secret, &id, why);
}

static int set_state(json_object *o, enum key_state state)
{
	int ret = put_string(o, "state", key_state_name(state));

	if (state == KEY_DESTROYED) {
		json_object_object_del(o, "wrapped");
		json_object_object_del(o, "destroy_at");
	}
	return ret < 0 ? ret : generation_put_history(o, state);
}

/* Of a generation that both have, what the later of the two says counts; except (2). */
static int merge_one(struct work *w, json_object *array, size_t at, const struct generation *ours,
		     const struct generation *theirs, struct fault *why)
{
	bool same = true, newer = w->how->backup->sequence > w->current->sequence;
	json_object *copy = NULL;
	int ret = 0;

	if (ours->state == KEY_DESTROYED)
		return 0;
	if (theirs->state == KEY_DESTROYED)
		return set_state(json_object_array_get_idx(array, at), KEY_DESTROYED);
	ret = generation_same_key(w->current, ours, w->how->backup, theirs, &same);
	if (ret < 0)
		return ret;
	if (!same)
		return fault_set(why, EXIT_REFUSED, EPERM,
				 "generation %" PRIu32
				 " of the backup is another one than that of the volume: the two went "
				 "separate ways; nothing was changed",
				 ours->number);
	if (!newer)
		return 0;
	if (json_object_deep_copy(theirs->json, &copy, NULL) < 0)
		return -ENOMEM;
	return json_object_array_put_idx(array, at, copy) < 0 ? -ENOMEM : 0;
}

static int add_one(struct work *w, json_object *array, const struct generation *theirs)
{
	json_object *copy = NULL;

	if (json_object_deep_copy(theirs->json, &copy, NULL) < 0)
		return -ENOMEM;
	w->out->added++;
	return put_element(array, copy);
}

static int merge_generations(struct work *w, json_object *array, struct fault *why)
{
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && w->current && i < w->how->backup->generation_count; i++) {
		const struct generation *theirs = &w->how->backup->generations[i],
					*ours = generation_find(w->current, theirs->number);

		ret = ours ? merge_one(w, array, (size_t)(ours - w->current->generations), ours, theirs, why)
			   : add_one(w, array, theirs);
	}
	return ret;
}

/* Of several active ones in a scope the one with the highest number stays active; the array is in order. */
static int settle_active(json_object *array)
{
	struct problem p = {0};
	bool found[SCOPES_MAX] = {false};
	int ret = 0;

	for (size_t i = json_object_array_length(array); ret == 0 && i > 0; i--) {
		json_object *o = json_object_array_get_idx(array, i - 1);
		const char *state;
		uint64_t scope = 0;

		ret = member_string(o, "state", &state, &p);
		if (ret == 0)
			ret = member_number(o, "scope", 0, SCOPES_MAX - 1, &scope, &p);
		if (ret < 0 || strcmp(state, key_state_name(KEY_ACTIVE)) != 0)
			continue;
		if (found[scope])
			ret = set_state(o, KEY_DEACTIVATED);
		found[scope] = true;
	}
	return ret;
}

static int by_number(const void *a, const void *b)
{
	json_object *const *x = a, *const *y = b;
	struct problem ignored = {0};
	uint64_t m = 0, n = 0;

	if (member_number(*x, "generation", 0, UINT32_MAX, &m, &ignored) < 0 ||
	    member_number(*y, "generation", 0, UINT32_MAX, &n, &ignored) < 0)
		return 0;
	return m < n ? -1 : m > n;
}

static int put_numbers(struct work *w, const struct host_seen *seen)
{
	const struct keyring *backup = w->how->backup;
	uint64_t sequence = backup->sequence, next = backup->next_generation;
	int ret;

	if (w->current && w->current->sequence > sequence)
		sequence = w->current->sequence;
	if (w->current && w->current->next_generation > next)
		next = w->current->next_generation;
	if (seen->sequence > sequence)
		sequence = seen->sequence;
	if (seen->generation >= next) {
		w->out->seen = seen->generation;
		next = (uint64_t)seen->generation + 1;
	}
	ret = put_number(w->new->doc, "sequence", sequence + 1);
	if (ret == 0)
		ret = put_now(w->new->doc, "written");
	return ret < 0 ? ret : put_number(w->new->doc, "next_generation", next);
}

/* A floor above the active generation needs a new one: its number is above everything.  So does a keyring that lacks generations:
 * what is active in it was replaced since, perhaps for a reason. */
static int raise_floors(struct work *w, const struct host_seen *seen, struct fault *why)
{
	int ret = 0;

	for (uint32_t scope = 0; ret == 0 && scope < w->new->scope_count; scope++) {
		uint32_t floor = w->new->floor[scope], n;

		if (w->how->backup->floor[scope] > floor)
			floor = w->how->backup->floor[scope];
		if (w->current && w->current->floor[scope] > floor)
			floor = w->current->floor[scope];
		if (seen->floor[scope] > floor)
			floor = seen->floor[scope];
		if (floor > w->new->active[scope] || w->out->seen)
			ret = keyring_rotate(w->new, scope, &n, why);
		if (ret == 0 && floor > w->new->floor[scope])
			ret = generation_put_floor(w->new, scope, floor);
		if (ret == 0)
			ret = generation_reload(w->new, 0, why);
	}
	return ret;
}

static int make(struct work *w, json_object *volume, struct fault *why)
{
	struct host_seen seen = {0};
	struct problem p = {0};
	json_object *array;
	uint32_t logged;
	int ret = begin(w, volume, why);

	if (ret == 0 && w->memory)
		host_memory_seen(w->memory, w->new, &seen);
	logged = audit_highest_generation(w->s, w->dot, w->how->backup);
	if (logged > seen.generation)
		seen.generation = logged;
	if (ret == 0)
		ret = member_array(w->new->doc, "generations", 0, GENERATIONS_MAX, &array, &p);
	if (ret == 0)
		ret = merge_generations(w, array, why);
	if (ret == 0)
		json_object_array_sort(array, by_number);
	if (ret == 0)
		ret = settle_active(array);
	if (ret == 0)
		ret = put_numbers(w, &seen);
	if (ret == 0)
		ret = add_protector(w, &p, why);
	if (ret == 0)
		ret = keyring_load(w->new, &p, why);
	if (ret == 0)
		ret = raise_floors(w, &seen, why);
	if (ret == -EBADMSG)
		return fault_set(why, EXIT_DAMAGED, EBADMSG, "backup and keyring cannot be brought together: %s",
				 p.text);
	return ret;
}

/* (4) */
static int prove(const struct work *w, struct fault *why)
{
	_cleanup_(keyring_free) struct keyring *again = calloc(1, sizeof(*again));
	struct problem p = {0};
	int ret = again ? keyring_seal(w->new, &again->sealed) : -ENOMEM;

	if (ret == 0)
		ret = document_parse(again->sealed.text, again->sealed.document_size, &again->doc, &p);
	if (ret == 0)
		ret = keyring_load(again, &p, why);
	return ret < 0 ? ret : keyring_unlock(again, &w->how->secret, why);
}

/* What stands in place now is not taken back for want of a spare, or because the host is forgetful. */
static void finish(struct work *w, int second_copy)
{
	struct fault why = {0};

	if (second_copy < 0)
		log_warning(".coffer/%s.bak could not be written (%s); the next change writes both", KEYRING_FILE,
			    strerror(-second_copy));
	if (w->memory &&
	    (host_memory_note(w->memory, w->new, &w->new->audit) < 0 || host_memory_save(w->memory, &why) < 0))
		log_warning("the keyring is restored, but this host could not remember it: %s", why.text);
}

static int write_down(struct work *w, struct fault *why)
{
	json_object *event;
	bool first = false;
	int ret = keyring_note(w->new, "restore", &event);

	if (ret == 0)
		ret = put_string(event, "type", backup_type(w->how->backup));
	if (ret == 0)
		ret = keyring_record(w->s, w->dot, w->new, why);
	if (ret == 0 && w->settings_lost && !keyring_stands_alone(w->new))
		ret = settings_file_write(w->s, w->dot, &w->new->settings);
	if (ret < 0)
		return ret;
	ret = keyring_file_write(w->s, w->dot, w->new, &first);
	if (!first) {
		(void)keyring_write_failed(w->s, w->dot, w->new->sequence, ret, why);
		return ret;
	}
	finish(w, ret);
	return 0;
}

static int run(struct work *w, struct fault *why)
{
	_cleanup_json_ json_object *volume = NULL;
	bool accepted;
	int ret = host_memory_open(w->how->backup->settings.volume_id, &w->memory, why);

	if (ret == 0)
		ret = host_memory_check_root(w->memory, w->how->backup, &w->trust, &accepted, why);
	if (ret == 0 && !w->how->nothing_there)
		ret = settings_of_volume(w, &volume);
	if (ret == 0 && !w->how->nothing_there)
		ret = read_current(w, why);
	if (ret == 0)
		ret = make(w, volume, why);
	if (ret == 0)
		ret = prove(w, why);
	return ret < 0 ? ret : write_down(w, why);
}

int restore(struct store *s, int dot, const struct restoring *how, struct restored *out, struct fault *why)
{
	struct work w = {.s = s, .dot = dot, .how = how, .out = out, .trust = how->trust};
	struct pin room;
	int ret, lock;

	*out = (struct restored){0};
	ret = pin_settle(how->backup, &w.trust, &room, why);
	if (ret < 0)
		return ret;
	lock = keyring_lock(s, dot);
	if (lock < 0)
		return fault_errno(why, EXIT_STORE, lock, "cannot lock .coffer/%s", LOCK_FILE);
	ret = run(&w, why);
	host_memory_close(&w.memory);
	store_close(s, lock);
	keyring_free(&w.current);
	if (ret < 0) {
		keyring_free(&w.new);
		return fault_errno(why, EXIT_FAILED, ret, "cannot restore the keyring");
	}
	out->keyring = w.new;
	return 0;
}
