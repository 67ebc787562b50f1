/* Key derivation with coffer's labels (kdf_labels.h; docs/format-volume.md section 2).  Thread-safe. */
#ifndef COFFER_BASE_KDF_H
#define COFFER_BASE_KDF_H

#include "util/base/crypto.h"

enum { VOLUME_ID_SIZE = 16 };

/* The pseudorandom key of `secret`: HKDF-Extract with an empty salt.  Computed once per secret. */
int kdf_extract(const void *secret, size_t n, uint8_t prk[SHA256_SIZE]) MUST_CHECK;

/* One key.  cipher "" for all but AEAD keys; extra NULL: no such part. */
int kdf_expand(const uint8_t prk[SHA256_SIZE], const char *label, const uint8_t volume_id[VOLUME_ID_SIZE],
	       const char *cipher, const void *extra, size_t extra_size, void *out, size_t out_size) MUST_CHECK;

#endif
