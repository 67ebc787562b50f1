/* What encrypting fields costs at least: N times the AES-SIV of one padded value with libgcrypt, and nothing else.
 *
 *     siv_limit N BYTES */
#include <gcrypt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY = 64, TAG = 16, NONCE = 16, VALUE_MAX = 4096, BOUND = 40 };

static gcry_error_t seal(gcry_cipher_hd_t siv, const uint8_t *ad, const uint8_t *nonce, const uint8_t *in, size_t n,
			 uint8_t *out)
{
	gcry_error_t e = gcry_cipher_reset(siv);

	if (!e)
		e = gcry_cipher_authenticate(siv, ad, BOUND);
	if (!e)
		e = gcry_cipher_authenticate(siv, nonce, NONCE);
	if (!e)
		e = gcry_cipher_encrypt(siv, out + TAG, n, in, n);
	return e ? e : gcry_cipher_gettag(siv, out, TAG);
}

int main(int argc, char **argv)
{
	static uint8_t key[KEY], ad[BOUND], nonce[NONCE], in[VALUE_MAX], out[TAG + VALUE_MAX];
	unsigned long count = argc == 3 ? strtoul(argv[1], NULL, 10) : 0,
		      n = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	gcry_cipher_hd_t siv;
	gcry_error_t e;

	if (!count || !n || n > VALUE_MAX || !gcry_check_version("1.9.0"))
		return 2;
	gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
	gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(3 * i);
	e = gcry_cipher_open(&siv, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_SIV, 0);
	if (!e)
		e = gcry_cipher_setkey(siv, key, sizeof(key));
	for (unsigned long i = 0; !e && i < count; i++) {
		memcpy(nonce, &i, sizeof(i));
		memcpy(in, &i, sizeof(i));
		e = seal(siv, ad, nonce, in, n, out);
	}
	if (e)
		fprintf(stderr, "siv_limit: %s\n", gcry_strerror(e));
	gcry_cipher_close(siv);
	return e != 0;
}
