/* Wrapping 32-byte secrets under a derived key. */
#include "keymgr/wrap.h"

#include <string.h>

int wrapping_derive(const struct wrapping *w, const char *label, void *out, size_t n)
{
	return kdf_expand(w->prk, label, w->volume_id, "", w->type, w->type ? strlen(w->type) : 0, out, n);
}

int wrapping_seal(const struct wrapping *w, const char *label, const uint8_t key[KEY_SIZE],
		  uint8_t wrapped[WRAPPED_SIZE])
{
	_cleanup_stack_key_ struct stack_key kek;
	int ret = wrapping_derive(w, label, kek.b, sizeof(kek.b));

	return ret < 0 ? ret : key_wrap(kek.b, key, KEY_SIZE, wrapped);
}

int wrapping_open(const struct wrapping *w, const char *label, const uint8_t wrapped[WRAPPED_SIZE],
		  uint8_t key[KEY_SIZE])
{
	_cleanup_stack_key_ struct stack_key kek;
	int ret = wrapping_derive(w, label, kek.b, sizeof(kek.b));

	if (ret == 0)
		ret = key_unwrap(kek.b, wrapped, WRAPPED_SIZE, key);
	if (ret < 0)
		wipe(key, KEY_SIZE);
	return ret;
}
