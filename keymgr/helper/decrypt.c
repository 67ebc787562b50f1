/* Decrypting with a private key. */
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdbool.h>
#include <string.h>

#include "keymgr/helper/cms.h"

struct opening {
	EVP_PKEY *key;
	CMS_ContentInfo *cms;
	BIO *key_text, *plain;
};

static void opening_free(struct opening *o)
{
	BIO_free(o->plain);
	BIO_free(o->key_text);
	CMS_ContentInfo_free(o->cms);
	EVP_PKEY_free(o->key);
}

struct passphrase {
	struct span given;
	bool asked;
};

static int give_passphrase(char *buffer, int room, int writing, void *context)
{
	struct passphrase *p = context;

	(void)writing;
	p->asked = true;
	if (p->given.size == 0 || p->given.size > (size_t)room)
		return -1;
	memcpy(buffer, p->given.at, p->given.size);
	return (int)p->given.size;
}

/* Certificates and the like that stand before the key are skipped. */
static enum helper_status read_key(struct opening *o, struct span text, struct span passphrase)
{
	struct passphrase p = {.given = passphrase};

	o->key_text = BIO_new_mem_buf(text.at, (int)text.size);
	if (!o->key_text)
		return say(HELPER_FAILED, "no memory");
	o->key = PEM_read_bio_PrivateKey(o->key_text, NULL, give_passphrase, &p);
	if (o->key)
		return HELPER_DONE;
	ERR_clear_error(); /* its reasons say less than these */
	if (p.asked && passphrase.size == 0)
		return say(HELPER_KEY_ENCRYPTED, "it is encrypted with a passphrase");
	if (p.asked)
		return say(HELPER_WRONG_PASSPHRASE, "the passphrase does not open it");
	return say(HELPER_BAD_INPUT, "it holds no private key in PEM");
}

static enum helper_status read_cms(struct opening *o, struct span der)
{
	const uint8_t *at = der.at;

	o->cms = d2i_CMS_ContentInfo(NULL, &at, (long)der.size);
	if (o->cms && at == der.at + der.size)
		return HELPER_DONE;
	return say(HELPER_DOES_NOT_OPEN, "what is to be decrypted is malformed");
}

/* Every recipient is tried.  OpenSSL goes on with a random key where RSA fails, so that the failure shows in the tag only. */
static enum helper_status decrypt(struct opening *o)
{
	o->plain = BIO_new(BIO_s_secmem());
	if (!o->plain)
		return say(HELPER_FAILED, "no memory");
	if (CMS_decrypt(o->cms, o->key, NULL, NULL, o->plain, CMS_BINARY) == 1)
		return HELPER_DONE;
	ERR_clear_error();
	return say(HELPER_DOES_NOT_OPEN, "it does not decrypt");
}

enum helper_status key_decrypt(struct span key, struct span passphrase, struct span cms, uint8_t *out, size_t *n)
{
	_cleanup_(opening_free) struct opening o = {0};
	enum helper_status s = read_key(&o, key, passphrase);
	char *plain;
	long size;

	if (s == HELPER_DONE)
		s = read_cms(&o, cms);
	if (s == HELPER_DONE)
		s = decrypt(&o);
	if (s != HELPER_DONE)
		return s;
	size = BIO_get_mem_data(o.plain, &plain);
	if (size < 0 || (size_t)size > *n)
		return say(HELPER_DOES_NOT_OPEN, "it holds more than a key");
	memcpy(out, plain, (size_t)size);
	*n = (size_t)size;
	return HELPER_DONE;
}
