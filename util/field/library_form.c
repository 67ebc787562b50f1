/* libcoffer-field: what a form needs. */
#include <errno.h>
#include <string.h>

#include "util/field/library.h"
#include "util/field/mask.h"

static int set_field(struct coffer_field_keyring *k, const struct coffer_field_place *place,
		     enum coffer_field_type type, const void *value, size_t n, const void *old, size_t old_size,
		     char **token)
{
	char *made = NULL;
	int ret;

	if (value && old && n == old_size && (n == 0 || memcmp(value, old, n) == 0))
		return 0; /* unchanged: the token stays */
	ret = value ? coffer_field_encrypt(k, place, type, value, n, &made) : 0;
	if (ret < 0)
		return ret;
	coffer_field_free(*token);
	*token = made;
	return 0;
}

PUBLIC int coffer_edit_encrypted_field(struct coffer_field_keyring *k, const struct coffer_field_place *place,
				       enum coffer_field_type type, bool set, const void *value, size_t n, char **token,
				       void **shown, size_t *shown_size)
{
	void *old = NULL;
	size_t old_size = 0;
	int ret = *token && **token ? coffer_field_decrypt(k, place, type, *token, &old, &old_size) : 0;

	*shown = NULL;
	*shown_size = 0;
	if (ret < 0 && !(set && ret == -EACCES))
		return ret;
	if (!set) {
		*shown = old;
		*shown_size = old_size;
		return ret;
	}
	/* A masked value that comes back as it was shown is unchanged. */
	ret = set_field(k, place, type, value, n, old, old_size, token);
	coffer_field_free(old);
	if (ret < 0 || !value)
		return ret;
	*shown = hand_out(value, n);
	*shown_size = n;
	return *shown ? 0 : -ENOMEM;
}

PUBLIC int coffer_edit_encrypted_string_field(struct coffer_field_keyring *k, const struct coffer_field_place *place,
					      bool set, const char *value, char **token, char **shown)
{
	void *out = NULL;
	size_t n;
	int ret = coffer_edit_encrypted_field(k, place, COFFER_FIELD_TEXT, set, value, value ? strlen(value) : 0, token,
					      &out, &n);

	*shown = out;
	return ret;
}

/* ------------------------------------------------------------------ masks */

PUBLIC int coffer_field_mask(const char *shown, size_t keep, char **masked)
{
	_cleanup_buffer_ struct buffer out = {0};
	int ret = mask_text(shown, strlen(shown), keep, &out);

	if (ret < 0)
		return ret;
	*masked = hand_out(out.bytes, out.size);
	return *masked ? 0 : -ENOMEM;
}
