/* What the parts of extended attributes share: xattr.c (operations), xattr_seal.c (names and values), xattr_rekey.c.  Nobody else
 * includes this. */
#ifndef COFFER_FS_XATTR_PARTS_H
#define COFFER_FS_XATTR_PARTS_H

#include "fs/worker.h"
#include "fs/xattr.h"

enum {
	ATTR_NAME_MAX = 255, /* XATTR_NAME_MAX, namespace included */
	ATTR_VALUE_MAX = 65536,
	NONCE_SIZE = 16,
	VALUE_OVERHEAD = 4 + NONCE_SIZE + SIV_TAG,
	LONG_HASH = 24,
	FORM_SHORT = 0,
	FORM_LONG = 1,
	AD_MAX = 1 + 16 + ATTR_NAME_MAX,
};

struct attribute {
	uint8_t ns;         /* 1 user, 2 trusted */
	const char *prefix; /* "user." */
	const char *name;   /* without it */
	uint8_t owner[16];
	uint32_t zone; /* of its owner */
};

/* False for attributes that are not ours to encrypt; sets all but the owner and its zone. */
bool attribute_parse(const char *full, struct attribute *a);
/* Sets the owner: the id that an object's attributes are bound to.  make: write a head for it if need be; else -ENODATA means that there can be
 * none. */
int attribute_owner(struct engine *e, struct node *n, bool make, struct attribute *a) MUST_CHECK;
/* The name below of an attribute under a generation. */
int attribute_backing(struct engine *e, const struct attribute *a, uint32_t generation,
		      char out[ATTR_NAME_MAX + 1]) MUST_CHECK;
/* Its name below is a hash, and the name stands in the value. */
bool attribute_is_long(const struct attribute *a);
/* Seals a value under a backing name; out has VALUE_OVERHEAD + 3 + ATTR_NAME_MAX + size bytes.  Returns the length. */
ssize_t attribute_seal(struct engine *e, const struct attribute *a, const char *backing, uint32_t generation,
		       const void *value, size_t size, uint8_t *out) MUST_CHECK;
/* Opens a sealed value; *name is set to the long name inside, if there is one.  Returns plain (to be freed), *value and *size within. */
int attribute_open(struct engine *e, const struct attribute *a, const char *backing, const uint8_t *in, size_t n,
		   uint8_t **plain, const char **name, size_t *name_size, const uint8_t **value,
		   size_t *size) MUST_CHECK;
/* Reads an attribute below for what is not reading to the caller (does it exist, what is its name): that may be asked of an object
 * which its owner may only write. */
ssize_t attribute_peek(struct engine *e, struct node *n, const char *name, void *buf, size_t room) MUST_CHECK;
/* The plain name of an attribute below; -EBADMSG if it is none of ours.  out: ATTR_NAME_MAX + 1. */
int attribute_decode(struct engine *e, struct node *n, const char *backing, struct attribute *a,
		     char out[ATTR_NAME_MAX + 1]) MUST_CHECK;
/* The generation that the name of an attribute below says; GENERATION_NONE if it can say none. */
uint32_t attribute_generation(const struct attribute *a);

#endif
