/* coffer-pkcs11: keys in PKCS #11 tokens for coffer (pkcs11_protocol.h).  It alone loads modules; the processes that hold a volume's keys do not.
 * A module's own copies of secrets are where it puts them (sealer.h (1)). */
#include "keymgr/helper/pkcs11.h"
#include "util/base/bytes.h"

enum { MODULE, URI, PIN, AAD, PLAIN, IV = PLAIN, VALUE, FRAMES };

static enum pkcs11_status get_key(struct token *t, const struct span *in, CK_OBJECT_HANDLE *key)
{
	enum pkcs11_status s = token_find(t, in[MODULE], in[URI]);

	if (s == PKCS11_DONE)
		s = token_login(t, in[PIN]);
	return s == PKCS11_DONE ? token_key(t, key) : s;
}

static int seal(const struct span *in, struct secret *out)
{
	_cleanup_(token_close) struct token t = {0};
	uint8_t *iv = out->bytes + 4, *value = iv + PKCS11_IV_SIZE + 4;
	CK_OBJECT_HANDLE key;
	enum pkcs11_status s = get_key(&t, in, &key);

	if (s == PKCS11_DONE)
		s = token_seal(&t, key, in[AAD], in[PLAIN], iv, value);
	put_le32(iv - 4, PKCS11_IV_SIZE);
	put_le32(value - 4, PKCS11_VALUE_SIZE);
	secret_shrink(out, PKCS11_IV_SIZE + PKCS11_VALUE_SIZE + 8);
	return s;
}

static int open_sealed(const struct span *in, struct secret *out)
{
	_cleanup_(token_close) struct token t = {0};
	CK_OBJECT_HANDLE key;
	enum pkcs11_status s;

	if (in[IV].size != PKCS11_IV_SIZE || in[VALUE].size != PKCS11_VALUE_SIZE)
		return say(PKCS11_FAILED, "what is to be opened is malformed");
	s = get_key(&t, in, &key);
	if (s == PKCS11_DONE)
		s = token_open(&t, key, in[AAD], in[IV].at, in[VALUE].at, out->bytes + 4);
	put_le32(out->bytes, PKCS11_PLAIN_SIZE);
	secret_shrink(out, PKCS11_PLAIN_SIZE + 4);
	return s;
}

int main(int argc, char **argv)
{
	static const struct sealer program = {
		.seal = {PLAIN + 1, seal},
		.open = {FRAMES, open_sealed},
		.in_max = PKCS11_IN_MAX,
		.out_max = PKCS11_OUT_MAX,
		.failed = PKCS11_FAILED,
	};

	return sealer_main(&program, argc, argv);
}
