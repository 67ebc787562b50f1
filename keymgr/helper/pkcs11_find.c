/* From a URI (RFC 7512) to a key in a token (PKCS #11 v2.40).
 *
 * 1. What is loaded is named by the user or by p11-kit's configuration.  The URI comes from a keyring that nobody has verified: it
 *    chooses among the tokens that are there, and a module or a PIN that it names is not looked at.
 * 2. The PIN goes to one token, once: if several are described it goes to none, nor to one that the next failure would lock. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keymgr/helper/pkcs11.h"

static enum pkcs11_status load_one(struct token *t, struct span path)
{
	char text[PKCS11_MODULE_MAX + 1];

	if (path.size > PKCS11_MODULE_MAX || path.at[0] != '/' || memchr(path.at, 0, path.size))
		return say(PKCS11_FAILED, "a module is named by an absolute path");
	memcpy(text, path.at, path.size);
	text[path.size] = '\0';
	t->one[0] = p11_kit_module_load(text, P11_KIT_MODULE_CRITICAL);
	if (!t->one[0])
		return say(PKCS11_FAILED, "the module cannot be loaded: %s", p11_kit_message());
	if (p11_kit_module_initialize(t->one[0]) != CKR_OK) {
		p11_kit_module_release(t->one[0]);
		return say(PKCS11_FAILED, "the module does not start: %s", p11_kit_message());
	}
	t->modules = t->one;
	return PKCS11_DONE;
}

static enum pkcs11_status load(struct token *t, struct span path)
{
	if (path.size > 0)
		return load_one(t, path);
	t->modules = p11_kit_modules_load_and_initialize(0);
	return t->modules ? PKCS11_DONE
			  : say(PKCS11_FAILED, "the modules of p11-kit do not load: %s", p11_kit_message());
}

static enum pkcs11_status parse(struct token *t, struct span uri)
{
	char text[PKCS11_URI_MAX + 1];
	int ret;

	if (uri.size > PKCS11_URI_MAX || memchr(uri.at, 0, uri.size))
		return say(PKCS11_FAILED, "the URI is too long");
	memcpy(text, uri.at, uri.size);
	text[uri.size] = '\0';
	t->uri = p11_kit_uri_new();
	if (!t->uri)
		return say(PKCS11_FAILED, "no memory");
	ret = p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, t->uri);
	if (ret != P11_KIT_URI_OK || p11_kit_uri_any_unrecognized(t->uri))
		return say(PKCS11_REFUSED, "the URI is none of a key in a token: %s", p11_kit_uri_message(ret));
	return PKCS11_DONE;
}

static bool slot_matches(const struct token *t, CK_FUNCTION_LIST *m, CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
	CK_SLOT_ID wanted = p11_kit_uri_get_slot_id(t->uri);
	CK_SLOT_INFO of_slot;

	return (wanted == (CK_SLOT_ID)-1 || wanted == slot) && m->C_GetSlotInfo(slot, &of_slot) == CKR_OK &&
	       p11_kit_uri_match_slot_info(t->uri, &of_slot) && m->C_GetTokenInfo(slot, info) == CKR_OK &&
	       (info->flags & CKF_TOKEN_INITIALIZED) && p11_kit_uri_match_token_info(t->uri, info);
}

/* How many tokens of this module are described; the first of all is kept. */
static unsigned look_through(struct token *t, CK_FUNCTION_LIST *m)
{
	enum { SLOTS_MAX = 64 };
	CK_SLOT_ID slots[SLOTS_MAX];
	CK_ULONG n = SLOTS_MAX;
	CK_TOKEN_INFO info;
	unsigned found = 0;
	CK_INFO about;

	if (m->C_GetInfo(&about) != CKR_OK || !p11_kit_uri_match_module_info(t->uri, &about) ||
	    m->C_GetSlotList(CK_TRUE, slots, &n) != CKR_OK)
		return 0;
	for (CK_ULONG i = 0; i < n; i++) {
		if (!slot_matches(t, m, slots[i], &info))
			continue;
		found++;
		if (t->module)
			continue;
		t->module = m;
		t->slot = slots[i];
		t->info = info;
	}
	return found;
}

enum pkcs11_status token_find(struct token *t, struct span module, struct span uri)
{
	enum pkcs11_status s = parse(t, uri);
	unsigned found = 0;

	if (s == PKCS11_DONE)
		s = load(t, module);
	if (s != PKCS11_DONE)
		return s;
	for (CK_FUNCTION_LIST **m = t->modules; *m; m++)
		found += look_through(t, *m);
	if (found == 0)
		return say(PKCS11_NOT_THERE, "no such token is there");
	return found == 1 ? PKCS11_DONE
			  : say(PKCS11_REFUSED,
				"%u tokens are described by the URI: say more in it, such as serial=", found);
}

/* (2). */
static enum pkcs11_status may_try(const struct token *t)
{
	if (t->info.flags & CKF_USER_PIN_LOCKED)
		return say(PKCS11_REFUSED, "its PIN is locked: unlock it by the token's own tools");
	if (t->info.flags & CKF_USER_PIN_FINAL_TRY)
		return say(PKCS11_REFUSED,
			   "the next wrong PIN locks it, so none is tried: log in by the token's own tools first");
	if (t->info.flags & CKF_PROTECTED_AUTHENTICATION_PATH)
		return say(PKCS11_REFUSED, "it takes its PIN by a keypad, which is not supported");
	return PKCS11_DONE;
}

enum pkcs11_status token_login(struct token *t, struct span pin)
{
	enum pkcs11_status s = may_try(t);
	CK_RV rv;

	if (s != PKCS11_DONE)
		return s;
	rv = t->module->C_OpenSession(t->slot, CKF_SERIAL_SESSION, NULL, NULL, &t->session);
	if (rv != CKR_OK)
		return say(PKCS11_FAILED, "no session with the token: %s", p11_kit_strerror(rv));
	t->has_session = true;
	rv = t->module->C_Login(t->session, CKU_USER, (CK_UTF8CHAR *)pin.at, pin.size);
	switch (rv) {
	case CKR_OK:
	case CKR_USER_ALREADY_LOGGED_IN:
		return PKCS11_DONE;
	case CKR_PIN_INCORRECT:
	case CKR_PIN_INVALID:
	case CKR_PIN_LEN_RANGE:
		return say(PKCS11_WRONG_PIN, "the PIN is wrong");
	case CKR_PIN_LOCKED:
		return say(PKCS11_REFUSED, "its PIN is locked: unlock it by the token's own tools");
	default:
		return say(PKCS11_FAILED, "it does not let in: %s", p11_kit_strerror(rv));
	}
}

enum pkcs11_status token_key(struct token *t, CK_OBJECT_HANDLE *key)
{
	enum { TEMPLATE_MAX = 8 };
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_AES;
	CK_ATTRIBUTE template[TEMPLATE_MAX] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_KEY_TYPE, &type, sizeof(type)}};
	CK_OBJECT_HANDLE found[2];
	CK_ULONG given, n = 2, count = 0;
	CK_ATTRIBUTE *more = p11_kit_uri_get_attributes(t->uri, &given);
	CK_RV rv;

	for (CK_ULONG i = 0; i < given && n < TEMPLATE_MAX; i++)
		if (more[i].type == CKA_ID || more[i].type == CKA_LABEL)
			template[n++] = more[i];
	if (n == 2)
		return say(PKCS11_REFUSED, "the URI names no key: give object= or id=");
	rv = t->module->C_FindObjectsInit(t->session, template, n);
	if (rv == CKR_OK)
		rv = t->module->C_FindObjects(t->session, found, 2, &count);
	(void)t->module->C_FindObjectsFinal(t->session);
	if (rv != CKR_OK)
		return say(PKCS11_FAILED, "its keys cannot be listed: %s", p11_kit_strerror(rv));
	if (count == 0)
		return say(PKCS11_NO_KEY, "it has no such AES key");
	if (count > 1)
		return say(PKCS11_REFUSED, "several of its keys are described by the URI: say more in it, such as id=");
	*key = found[0];
	return PKCS11_DONE;
}

void token_close(struct token *t)
{
	if (t->has_session)
		(void)t->module->C_CloseSession(t->session); /* the last one: that logs out */
	if (t->modules && t->modules == t->one) {
		p11_kit_module_finalize(t->one[0]);
		p11_kit_module_release(t->one[0]);
	} else if (t->modules) {
		p11_kit_modules_finalize_and_release(t->modules);
	}
	p11_kit_uri_free(t->uri);
	*t = (struct token){0};
}
