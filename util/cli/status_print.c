#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/approval.h"
#include "keymgr/backup.h"
#include "keymgr/policy.h"
#include "keymgr/scope.h"
#include "util/base/encode.h"
#include "util/cli/key.h"
#include "util/cli/output.h"
#include "util/cli/status.h"
#include "util/cli/volumes_policy.h"

/* What a store may lack, for people and for programs. */
static const struct {
	size_t offset;
	const char *name;
} capabilities[] = {
	{offsetof(struct store_caps, symlinks), "symlinks"},
	{offsetof(struct store_caps, hard_links), "hard_links"},
	{offsetof(struct store_caps, special_files), "special_files"},
	{offsetof(struct store_caps, modes), "modes"},
	{offsetof(struct store_caps, user_xattrs), "user_xattrs"},
	{offsetof(struct store_caps, trusted_xattrs), "trusted_xattrs"},
	{offsetof(struct store_caps, rename_exchange), "rename_exchange"},
	{offsetof(struct store_caps, rename_noreplace), "rename_noreplace"},
	{offsetof(struct store_caps, punch_hole), "punch_hole"},
	{offsetof(struct store_caps, fallocate_keep_size), "fallocate_keep_size"},
	{offsetof(struct store_caps, stable_inodes), "stable_inodes"},
	{offsetof(struct store_caps, btime), "birth_times"},
};

enum { CAPABILITIES = sizeof capabilities / sizeof capabilities[0] };

static bool has(const struct store_caps *c, int i)
{
	return *(const bool *)((const char *)c + capabilities[i].offset);
}

struct generation_info *generations_list(const struct keyring *k, uint32_t *count)
{
	*count = keyring_generations(k, NULL, 0);
	struct generation_info *list = calloc(*count ? *count : 1, sizeof *list);
	if (list)
		keyring_generations(k, list, *count);
	else
		*count = 0;
	return list;
}

static void print_mounts(const struct volume_status *s)
{
	if (!s->mount_count)
		printf("mounted      %s\n", s->locked ? "not here, but a process holds it" : "no");
	for (size_t i = 0; i < s->mount_count; i++)
		printf("mounted      at %s%s%s%s\n", s->mounts[i].point, s->mounts[i].read_only ? " (read-only)" : "",
		       s->old_copy && !s->mounts[i].dead ? " (as an older copy)" : "",
		       s->mounts[i].dead ? " (dead: `coffer umount` clears it)" : "");
}

/* What the process that serves it says of itself. */
static uint64_t process_number(const struct volume_status *s, const char *name)
{
	uint64_t n;

	return control_number(&s->process, name, &n) ? n : control_flag(&s->process, name);
}

static void print_reencryption(const struct volume_status *s)
{
	const char *phase = s->reached ? control_text(&s->process, "reencryption") : NULL;

	if (!phase || strcmp(phase, "none") == 0)
		return;
	printf("re-encrypts  %s, %" PRIu64 " %%", phase, process_number(s, "reencryption_percent"));
	if (process_number(s, "reencryption_stuck"))
		printf("; %" PRIu64 " files cannot be", process_number(s, "reencryption_stuck"));
	printf("; see: coffer key reencrypt status %s\n", s->volume.dir);
}

static bool lease_is(const struct volume_status *s, const char *state)
{
	const char *now = s->reached ? control_text(&s->process, "lease") : NULL;

	return now && strcmp(now, state) == 0;
}

static bool lease_has_locked(const struct volume_status *s)
{
	return lease_is(s, "denied") || lease_is(s, "expired");
}

static void print_policy(const struct volume_status *s)
{
	const struct managed_policy policy = {process_number(s, "lease_policy_rotate_every"),
					      process_number(s, "lease_policy_rotate_after"),
					      process_number(s, "lease_policy_keep")};
	char text[POLICY_TEXT];

	if (!managed_policy_empty(&policy))
		printf("policy       of the key service: %s%s\n", managed_policy_text(&policy, text),
		       process_number(s, "read_only") ? "; nothing of it while read-only" : "");
}

static const char *lease_by(const struct volume_status *s)
{
	const char *type = control_text(&s->process, "lease_by");

	return type && strcmp(type, "kmip") == 0 ? "the KMIP server" : "the key service";
}

static void print_lease(const struct volume_status *s)
{
	const char *reason = s->reached ? control_text(&s->process, "lease_reason") : NULL,
		   *key = s->reached ? control_text(&s->process, "lease_key") : NULL;

	if (!reason || !key)
		return;
	if (lease_is(s, "held") && process_number(s, "lease_version"))
		printf("lease        held: key %s, version %" PRIu64 ", renewed %" PRIu64 " s ago\n", key,
		       process_number(s, "lease_version"), process_number(s, "lease_age"));
	else if (lease_is(s, "held"))
		printf("lease        held: key %s, renewed %" PRIu64 " s ago\n", key, process_number(s, "lease_age"));
	else if (lease_is(s, "unreachable"))
		printf("lease        not renewed for %" PRIu64 " s, locks itself in %" PRIu64 " s: %s\n",
		       process_number(s, "lease_age"), process_number(s, "lease_grace_left"), reason);
	else
		printf("lease        %s, the mount is locked until %s lets it go on: %s\n",
		       lease_is(s, "denied") ? "denied" : "expired", lease_by(s), reason);
	print_policy(s);
}

static void print_locked(const struct volume_status *s)
{
	struct scope_info all[SCOPES_MAX];
	uint32_t n = s->volume.keyring ? keyring_scopes(s->volume.keyring, all) : 0;

	if (!s->reached)
		return;
	if (process_number(s, "locked") && !lease_has_locked(s))
		printf("locked       until: coffer unlock %s\n", s->volume.dir);
	for (uint32_t i = 0; i < n; i++)
		if (process_number(s, "locked_scopes") >> i & 1)
			printf("locked       scope %s, until: coffer key scope unlock %s %s\n", all[i].name,
			       s->volume.dir, all[i].name);
}

static void print_process(const struct volume_status *s)
{
	if (s->reached)
		printf("process      %" PRIu64 "; knows %" PRIu64 " files, %" PRIu64 " of them open below\n",
		       process_number(s, "pid"), process_number(s, "nodes"), process_number(s, "descriptors"));
	else if (s->locked)
		puts("process      is not reached: another user's, or it has no control socket");
	if (s->reached && process_number(s, "frozen"))
		printf("frozen       for %" PRIu64 " more seconds; %" PRIu64 " changes wait\n",
		       process_number(s, "seconds_left"), process_number(s, "held_requests"));
	if (s->reached && process_number(s, "read_only"))
		puts("read-only    as asked for, or for a reason that the log says");
	if (s->reached && process_number(s, "shared_store"))
		printf("shared       others may change the store: it is looked at again after %" PRIu64
		       " s; no journal\n",
		       process_number(s, "shared_seconds"));
	if (s->reached && process_number(s, "recovered"))
		printf("recovered    %" PRIu64 " files, %" PRIu64 " pages, in %" PRIu64 " ms, when it was mounted\n",
		       process_number(s, "recovered_files"), process_number(s, "recovered_pages"),
		       process_number(s, "recovery_ms"));
	print_lease(s);
	print_locked(s);
	print_reencryption(s);
	if (s->reached && process_number(s, "looking"))
		puts("looking      at files that were changed at the time of a crash");
	if (s->reached && process_number(s, "lost_files"))
		printf("lost         ends of %" PRIu64
		       " files that a crash cut short are in .coffer/lost/; see the log\n",
		       process_number(s, "lost_files"));
	if (s->reached && process_number(s, "undecryptable_names") + process_number(s, "damaged_pages"))
		printf("damage       met so far: %" PRIu64 " names, %" PRIu64 " pages; see the log\n",
		       process_number(s, "undecryptable_names"), process_number(s, "damaged_pages"));
}

/* The last one that was verified, and what it does not help with. */
static void print_backups(const struct keyring *k)
{
	_cleanup_free_ struct backup_info *all = calloc(BACKUPS_MAX, sizeof *all);
	const struct backup_info *last = NULL;
	char unbacked[UNBACKED_TEXT];
	uint32_t n = all ? keyring_backups(k, all) : 0;

	for (uint32_t i = 0; i < n; i++)
		if (*all[i].verified)
			last = &all[i];
	if (last)
		printf("backup       of %s (%s), verified %s\n", last->created, last->type, last->verified);
	else
		printf("backup       %s\n", n ? "made, but never verified" : "none");
	if (keyring_backup_too_old(k))
		puts("             older than the policy wants it, or never verified: coffer key backup");
	if (unbacked_text(k, unbacked))
		printf("             no verified backup holds generation %s: coffer key backup\n", unbacked);
	if (keyring_required(k))
		printf("approval     by %u holders of shares, to destroy or export keys\n", keyring_required(k));
}

/* How long before its certificate expires people are told of a protector. */
enum { EXPIRY_WARNING_DAYS = 30 };

enum expiry { EXPIRES_LATER, EXPIRES_SOON, EXPIRED };

/* Times of this form compare as text. */
static enum expiry expiry_of(const struct protector_info *p)
{
	char now[TIME_TEXT + 1], soon[TIME_TEXT + 1];

	time_text(now);
	time_text_of(document_now() + EXPIRY_WARNING_DAYS * 86400, soon);
	return !*p->expires || strcmp(p->expires, soon) > 0 ? EXPIRES_LATER
	       : strcmp(p->expires, now) > 0                ? EXPIRES_SOON
							    : EXPIRED;
}

static void print_expiry(const struct protector_info *p)
{
	enum expiry e = expiry_of(p);

	if (e != EXPIRES_LATER)
		printf("             its certificate %s %s; it goes on opening: key add --certificate for a new one, "
		       "then "
		       "key remove %" PRIu32 "\n",
		       e == EXPIRED ? "expired" : "expires", p->expires, p->id);
}

static json_object *backups_json(const struct keyring *k)
{
	_cleanup_free_ struct backup_info *all = calloc(BACKUPS_MAX, sizeof *all);
	json_object *list = json_object_new_array();
	uint32_t n = all ? keyring_backups(k, all) : 0;

	for (uint32_t i = 0; i < n; i++) {
		json_object *o = json_object_new_object();

		json_add_text(o, "id", all[i].id);
		json_add_text(o, "type", all[i].type);
		json_add_text(o, "created", all[i].created);
		json_object_object_add(o, "verified",
				       *all[i].verified ? json_object_new_string(all[i].verified) : NULL);
		json_add_number(o, "generations", all[i].generations);
		json_object_array_add(list, o);
	}
	return list;
}

static void print_keys(const struct volume_status *s)
{
	struct protector_info protectors[PROTECTORS_MAX];
	uint32_t n = keyring_protectors(s->volume.keyring, protectors);

	for (uint32_t i = 0; i < n; i++) {
		printf("%s%" PRIu32 "  %-12s  made %s\n", i ? "             " : "protectors   ", protectors[i].id,
		       protectors[i].type, protectors[i].created);
		print_expiry(&protectors[i]);
	}
	_cleanup_free_ struct generation_info *list = generations_list(s->volume.keyring, &n);
	for (uint32_t i = 0; i < n; i++)
		printf("%s%" PRIu32 "  %-12s  made %s%s%s%s\n", i ? "             " : "generations  ", list[i].number,
		       key_state_name(list[i].state), list[i].created, list[i].scope == SCOPE_DEFAULT ? "" : "  (",
		       list[i].scope == SCOPE_DEFAULT ? "" : keyring_scope_name(s->volume.keyring, list[i].scope),
		       list[i].scope == SCOPE_DEFAULT ? "" : ")");
	printf("keyring      change %" PRIu64 "\n", keyring_sequence(s->volume.keyring));
	print_backups(s->volume.keyring);
}

static void print_store(const struct volume_status *s)
{
	char a[SIZE_TEXT], b[SIZE_TEXT];

	if (s->caps_known) {
		int lacking = 0;

		printf("store        %s", s->caps.type);
		for (int i = 0; i < CAPABILITIES; i++)
			if (!has(&s->caps, i))
				printf("%s%s", lacking++ ? ", " : "; lacks ", capabilities[i].name);
		putchar('\n');
	} else {
		puts("store        cannot be tried out (read-only, frozen, or not yours to write)");
	}
	if (s->space_known)
		printf("space        %s free of %s\n", size_text((uint64_t)s->space.f_bavail * s->space.f_frsize, a),
		       size_text((uint64_t)s->space.f_blocks * s->space.f_frsize, b));
	if (s->size_known)
		printf("size         %s in %" PRIu64 " objects\n", size_text(s->size.bytes, a), s->size.objects);
}

void status_print(const struct volume_status *s)
{
	const struct settings *set = keyring_settings(s->volume.keyring);
	char id[2 * VOLUME_ID_SIZE + 1], fingerprint[2 * FINGERPRINT_SIZE + 8], size[SIZE_TEXT];

	printf("volume       %s\n", s->volume.dir);
	print_mounts(s);
	print_process(s);
	hex_encode(set->volume_id, VOLUME_ID_SIZE, id);
	printf("volume id    %s\n", id);
	hex_encode(set->instance_id, INSTANCE_ID_SIZE, id);
	printf("instance id  %s\n", id);
	keyring_fingerprint(s->volume.keyring, fingerprint);
	printf("fingerprint  %s\n", fingerprint);
	printf("cipher       %s%s\n", cipher_name(set->cipher),
	       cipher_usable(set->cipher) ? "" : " (refused on this host)");
	printf("settings     %s, names up to %" PRIu32 ", journal %s%s\n", set->portable ? "portable" : "not portable",
	       set->name_max, set->journal_size ? size_text(set->journal_size, size) : "by free space",
	       keyring_read_only(s->volume.keyring) ? ", read-only: an unknown feature flag" : "");
	print_keys(s);
	print_store(s);
}

json_object *generations_json(const struct keyring *k)
{
	json_object *list = json_object_new_array();
	uint32_t n;

	_cleanup_free_ struct generation_info *all = generations_list(k, &n);
	for (uint32_t i = 0; i < n; i++) {
		json_object *o = json_object_new_object();

		json_add_number(o, "generation", all[i].number);
		json_add_number(o, "scope", all[i].scope);
		json_add_text(o, "state", key_state_name(all[i].state));
		json_add_text(o, "created", all[i].created);
		json_add_text(o, "since", all[i].since);
		json_object_object_add(o, "destroy_at",
				       *all[i].destroy_at ? json_object_new_string(all[i].destroy_at) : NULL);
		json_object_array_add(list, o);
	}
	return list;
}

json_object *protectors_json(const struct keyring *k)
{
	struct protector_info all[PROTECTORS_MAX];
	uint32_t n = keyring_protectors(k, all);
	json_object *list = json_object_new_array();

	for (uint32_t i = 0; i < n; i++) {
		json_object *o = json_object_new_object();

		json_add_number(o, "id", all[i].id);
		json_add_text(o, "type", all[i].type);
		json_add_text(o, "created", all[i].created);
		json_add_text(o, "detail", all[i].detail);
		if (*all[i].expires) {
			json_add_text(o, "expires", all[i].expires);
			json_add_bool(o, "expired", expiry_of(&all[i]) == EXPIRED);
			json_add_bool(o, "expires_soon", expiry_of(&all[i]) == EXPIRES_SOON);
		}
		json_object_array_add(list, o);
	}
	return list;
}

static json_object *mounts_json(const struct volume_status *s)
{
	json_object *list = json_object_new_array();

	for (size_t i = 0; i < s->mount_count; i++) {
		json_object *o = json_object_new_object();

		json_add_text(o, "mount_point", s->mounts[i].point);
		json_add_bool(o, "read_only", s->mounts[i].read_only);
		json_add_bool(o, "dead", s->mounts[i].dead);
		json_object_array_add(list, o);
	}
	return list;
}

static json_object *policy_json(const struct volume_status *s)
{
	json_object *o = json_object_new_object();

	json_add_number(o, "rotate_every", process_number(s, "lease_policy_rotate_every"));
	json_add_number(o, "rotate_after", process_number(s, "lease_policy_rotate_after"));
	json_add_number(o, "keep", process_number(s, "lease_policy_keep"));
	return o;
}

static json_object *lease_json(const struct volume_status *s)
{
	json_object *o = json_object_new_object();

	json_add_text(o, "state", control_text(&s->process, "lease"));
	json_add_text(o, "by", control_text(&s->process, "lease_by"));
	json_add_text(o, "key", control_text(&s->process, "lease_key"));
	if (process_number(s, "lease_version"))
		json_add_number(o, "version", process_number(s, "lease_version"));
	else
		json_object_object_add(o, "version", NULL);
	json_add_number(o, "renewals", process_number(s, "lease_renewals"));
	json_add_number(o, "age", process_number(s, "lease_age"));
	json_add_number(o, "grace_left", process_number(s, "lease_grace_left"));
	json_add_text(o, "reason", control_text(&s->process, "lease_reason"));
	json_object_object_add(o, "policy", policy_json(s));
	return o;
}

static json_object *process_json(const struct volume_status *s)
{
	static const char *const numbers[] = {
		"pid",
		"seconds_left",
		"held_requests",
		"nodes",
		"descriptors",
		"undecryptable_names",
		"damaged_pages",
		"recovered_files",
		"recovered_pages",
		"recovery_ms",
		"lost_files",
		"reencryption_percent",
		"reencryption_stuck",
		"locked_scopes",
	};
	json_object *o;

	if (!s->reached)
		return NULL;
	o = json_object_new_object();
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		json_add_number(o, numbers[i], process_number(s, numbers[i]));
	json_add_bool(o, "frozen", process_number(s, "frozen"));
	json_add_bool(o, "read_only", process_number(s, "read_only"));
	json_add_bool(o, "shared_store", process_number(s, "shared_store"));
	if (process_number(s, "shared_store"))
		json_add_number(o, "shared_seconds", process_number(s, "shared_seconds"));
	json_add_bool(o, "recovered", process_number(s, "recovered"));
	json_add_bool(o, "looking", process_number(s, "looking"));
	json_add_bool(o, "locked", process_number(s, "locked"));
	if (control_text(&s->process, "reencryption"))
		json_add_text(o, "reencryption", control_text(&s->process, "reencryption"));
	if (control_text(&s->process, "lease"))
		json_object_object_add(o, "lease", lease_json(s));
	return o;
}

static json_object *store_json(const struct volume_status *s)
{
	json_object *o = json_object_new_object();

	if (s->caps_known) {
		json_add_text(o, "type", s->caps.type);
		for (int i = 0; i < CAPABILITIES; i++)
			json_add_bool(o, capabilities[i].name, has(&s->caps, i));
		json_add_number(o, "name_max", s->caps.name_max);
		json_add_number(o, "symlink_max", s->caps.symlink_max);
		json_add_number(o, "time_granularity_ns", s->caps.time_granularity_ns);
		if (s->caps.file_max != UINT64_MAX)
			json_add_number(o, "file_max", s->caps.file_max);
	}
	if (s->space_known) {
		json_add_number(o, "bytes_total", (uint64_t)s->space.f_blocks * s->space.f_frsize);
		json_add_number(o, "bytes_free", (uint64_t)s->space.f_bavail * s->space.f_frsize);
	}
	return o;
}

static void add_settings(json_object *o, const struct keyring *k)
{
	const struct settings *set = keyring_settings(k);
	char id[2 * VOLUME_ID_SIZE + 1], fingerprint[2 * FINGERPRINT_SIZE + 8];

	hex_encode(set->volume_id, VOLUME_ID_SIZE, id);
	json_add_text(o, "volume_id", id);
	hex_encode(set->instance_id, INSTANCE_ID_SIZE, id);
	json_add_text(o, "instance_id", id);
	keyring_fingerprint(k, fingerprint);
	json_add_text(o, "fingerprint", fingerprint);
	json_add_text(o, "cipher", cipher_name(set->cipher));
	json_add_bool(o, "portable", set->portable);
	json_add_number(o, "name_max", set->name_max);
	json_add_number(o, "journal_size", set->journal_size);
	json_add_bool(o, "read_only", keyring_read_only(k));
	json_add_number(o, "keyring_sequence", keyring_sequence(k));
}

void status_print_json(const struct volume_status *s)
{
	json_object *o = json_object_new_object();

	json_add_text(o, "directory", s->volume.dir);
	json_add_bool(o, "mounted", s->mount_count > 0);
	json_add_bool(o, "locked", s->locked);
	json_add_bool(o, "old_copy", s->old_copy);
	json_object_object_add(o, "process", process_json(s));
	json_object_object_add(o, "mounts", mounts_json(s));
	add_settings(o, s->volume.keyring);
	json_object_object_add(o, "protectors", protectors_json(s->volume.keyring));
	json_object_object_add(o, "generations", generations_json(s->volume.keyring));
	json_object_object_add(o, "backups", backups_json(s->volume.keyring));
	json_add_bool(o, "backup_too_old", keyring_backup_too_old(s->volume.keyring));
	json_object_object_add(o, "unbacked", unbacked_json(s->volume.keyring));
	json_add_number(o, "approval_required", keyring_required(s->volume.keyring));
	json_object_object_add(o, "store", store_json(s));
	if (s->size_known) {
		json_object *size = json_object_new_object();

		json_add_number(size, "objects", s->size.objects);
		json_add_number(size, "bytes", s->size.bytes);
		json_object_object_add(o, "size", size);
	}
	json_print(o);
}
