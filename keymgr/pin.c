/* The pin (pin.h). */
#include "keymgr/pin.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/internal.h"
#include "keymgr/protector.h"
#include "keymgr/terminal.h"

/* How a stranger could have made it. */
static const char *way(const struct keyring *k)
{
	for (uint32_t i = 0; i < k->protector_count; i++)
		if (k->protectors[i].id == k->opened_by && k->protectors[i].handler == &protector_service)
			return "who may use a key of the service can wrap any root";
		else if (k->protectors[i].id == k->opened_by && k->protectors[i].handler == &protector_pkcs11)
			return "who has the PIN of the token can seal any root";
		else if (k->protectors[i].id == k->opened_by && k->protectors[i].handler == &protector_tpm2)
			return "who may use the TPM can seal any root";
		else if (k->protectors[i].id == k->opened_by && k->protectors[i].handler == &protector_kmip)
			return "who may use the key in the KMIP server can seal any root";
	return "anyone can encrypt to a certificate";
}

static int refuse(const struct keyring *k, const char *fingerprint, const char *reason, struct fault *why)
{
	return fault_set(why, EXIT_REFUSED, EKEYREJECTED,
			 "the root %s is not known here, and %s%s: compare it with what "
			 "\"coffer init\" printed, and give it by --expect-root (mount option root=)",
			 fingerprint, way(k), reason);
}

static int ask(const struct keyring *k, const char *fingerprint, struct fault *why)
{
	char prompt[512], typed[16];
	_cleanup_close_ int tty = terminal_open();
	int ret;

	if (tty < 0)
		return refuse(k, fingerprint, "", why);
	snprintf(prompt, sizeof(prompt),
		 "This host does not know the volume's root, and %s.\n"
		 "Its fingerprint is\n\n    %s\n\n"
		 "Is that what \"coffer init\" printed (or \"coffer key rotate --root\" since)?  Type yes: ",
		 way(k), fingerprint);
	ret = terminal_ask(tty, prompt, typed, sizeof(typed));
	if (ret < 0 && ret != -ENODATA)
		return fault_errno(why, EXIT_FAILED, ret, "cannot talk to the terminal");
	return ret == 0 && strcmp(typed, "yes") == 0 ? 0 : refuse(k, fingerprint, ", and it was not confirmed", why);
}

/* A volume that the host knows is judged by host_memory_check_root(), also if it is by another root. */
static int is_known(const struct keyring *k, bool *known, struct fault *why)
{
	struct host_memory *m = NULL;
	int ret = host_memory_open(k->settings.volume_id, &m, why);

	*known = ret == 0 && m && host_memory_knows_volume(m);
	host_memory_close(&m);
	return ret;
}

int pin_settle(const struct keyring *k, struct trust *trust, struct pin *room, struct fault *why)
{
	bool known;
	int ret;

	if (!k->by_public_key || trust->root)
		return 0;
	ret = is_known(k, &known, why);
	if (ret < 0 || known)
		return ret;
	keyring_fingerprint(k, room->root);
	ret = ask(k, room->root, why);
	if (ret == 0)
		trust->root = room->root;
	return ret;
}

int pin_check(const struct keyring *k, const struct trust *trust, struct fault *why)
{
	struct trust vouched = *trust;
	struct host_memory *m = NULL;
	struct pin room;
	bool accepted;
	int ret = pin_settle(k, &vouched, &room, why);

	if (ret == 0)
		ret = host_memory_open(k->settings.volume_id, &m, why);
	if (ret == 0)
		ret = host_memory_check_root(m, k, &vouched, &accepted, why);
	host_memory_close(&m);
	return ret;
}
