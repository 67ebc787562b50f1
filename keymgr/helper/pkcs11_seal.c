/* AES-GCM in the token (PKCS #11 v2.40 section 2.12.3, NIST SP 800-38D). */
#include <string.h>
#include <sys/random.h>

#include "keymgr/helper/pkcs11.h"

/* Whether it is a key of 256 bits that the token keeps for itself. */
static enum pkcs11_status check_key(struct token *t, CK_OBJECT_HANDLE key)
{
	CK_BBOOL sensitive = CK_FALSE, extractable = CK_TRUE;
	CK_ULONG size = 0;
	CK_ATTRIBUTE length = {CKA_VALUE_LEN, &size, sizeof(size)};
	CK_ATTRIBUTE guarded[] = {{CKA_SENSITIVE, &sensitive, sizeof(sensitive)},
				  {CKA_EXTRACTABLE, &extractable, sizeof(extractable)}};

	if (t->module->C_GetAttributeValue(t->session, key, &length, 1) != CKR_OK || size != 32)
		return say(PKCS11_REFUSED, "the key is none of 256 bits");
	if (t->module->C_GetAttributeValue(t->session, key, guarded, 2) != CKR_OK || (!sensitive && extractable))
		return say(PKCS11_REFUSED,
			   "the token gives the key away: take one that is sensitive or not extractable");
	return PKCS11_DONE;
}

static CK_GCM_PARAMS parameters(uint8_t iv[PKCS11_IV_SIZE], struct span aad)
{
	return (CK_GCM_PARAMS){iv,       PKCS11_IV_SIZE,     PKCS11_IV_SIZE * 8, (unsigned char *)aad.at,
			       aad.size, PKCS11_TAG_SIZE * 8};
}

/* Tokens that draw the iv themselves put it where they were given one. */
static enum pkcs11_status encrypt(struct token *t, CK_OBJECT_HANDLE key, struct span aad, struct span plain,
				  uint8_t iv[PKCS11_IV_SIZE], uint8_t value[PKCS11_VALUE_SIZE])
{
	CK_GCM_PARAMS gcm = parameters(iv, aad);
	CK_MECHANISM how = {CKM_AES_GCM, &gcm, sizeof(gcm)};
	CK_ULONG n = PKCS11_VALUE_SIZE;
	CK_RV rv;

	if (plain.size != PKCS11_PLAIN_SIZE || getrandom(iv, PKCS11_IV_SIZE, 0) != PKCS11_IV_SIZE)
		return say(PKCS11_FAILED, "nothing to seal");
	rv = t->module->C_EncryptInit(t->session, &how, key);
	if (rv == CKR_MECHANISM_INVALID)
		return say(PKCS11_REFUSED, "the token knows no AES-GCM");
	if (rv == CKR_OK)
		rv = t->module->C_Encrypt(t->session, (CK_BYTE *)plain.at, plain.size, value, &n);
	if (rv != CKR_OK || n != PKCS11_VALUE_SIZE)
		return say(PKCS11_REFUSED, "the key does not encrypt by AES-GCM: %s", p11_kit_strerror(rv));
	return PKCS11_DONE;
}

/* What tokens answer to a wrong tag differs, so only what says that the token is gone is told apart. */
enum pkcs11_status token_open(struct token *t, CK_OBJECT_HANDLE key, struct span aad, const uint8_t iv[PKCS11_IV_SIZE],
			      const uint8_t value[PKCS11_VALUE_SIZE], uint8_t plain[PKCS11_PLAIN_SIZE])
{
	uint8_t own_iv[PKCS11_IV_SIZE], room[PKCS11_VALUE_SIZE]; /* some ask for as much room as went in */
	CK_GCM_PARAMS gcm = parameters(own_iv, aad);
	CK_MECHANISM how = {CKM_AES_GCM, &gcm, sizeof(gcm)};
	CK_ULONG n = sizeof(room);
	CK_RV rv;

	memcpy(own_iv, iv, sizeof(own_iv));
	rv = t->module->C_DecryptInit(t->session, &how, key);
	if (rv != CKR_OK)
		return say(PKCS11_FAILED, "the key does not decrypt by AES-GCM: %s", p11_kit_strerror(rv));
	rv = t->module->C_Decrypt(t->session, (CK_BYTE *)value, PKCS11_VALUE_SIZE, room, &n);
	if (rv == CKR_OK && n == PKCS11_PLAIN_SIZE)
		memcpy(plain, room, PKCS11_PLAIN_SIZE);
	wipe(room, sizeof(room));
	if (rv == CKR_DEVICE_REMOVED || rv == CKR_TOKEN_NOT_PRESENT || rv == CKR_DEVICE_ERROR)
		return say(PKCS11_FAILED, "the token fails: %s", p11_kit_strerror(rv));
	return rv == CKR_OK && n == PKCS11_PLAIN_SIZE ? PKCS11_DONE : say(PKCS11_DOES_NOT_OPEN, "it does not decrypt");
}

enum pkcs11_status token_seal(struct token *t, CK_OBJECT_HANDLE key, struct span aad, struct span plain,
			      uint8_t iv[PKCS11_IV_SIZE], uint8_t value[PKCS11_VALUE_SIZE])
{
	uint8_t again[PKCS11_PLAIN_SIZE] = {0};
	enum pkcs11_status s = check_key(t, key);
	bool same;

	if (s == PKCS11_DONE)
		s = encrypt(t, key, aad, plain, iv, value);
	if (s == PKCS11_DONE)
		s = token_open(t, key, aad, iv, value, again);
	if (s != PKCS11_DONE)
		return s;
	same = memcmp(again, plain.at, sizeof(again)) == 0;
	wipe(again, sizeof(again));
	return same ? PKCS11_DONE : say(PKCS11_FAILED, "the token does not give back what it was given");
}
