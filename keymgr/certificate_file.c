/* Files with certificates and private keys: the little of PEM (RFC 7468) that is looked at on this side of the helper. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "keymgr/cms.h"
#include "keymgr/secret_input.h"
#include "util/base/encode.h"
#include "util/base/log.h"

enum { FILE_MAX = 64 << 10, NAME_ROOM = 200 };

static const char begin[] = "-----BEGIN CERTIFICATE-----", end[] = "-----END CERTIFICATE-----";

/* Base64 with its own alphabet and padding, over several lines, as base64url. */
static size_t to_base64url(char *text, size_t n)
{
	size_t used = 0;

	for (size_t i = 0; i < n; i++) {
		char c = text[i];

		if (c == '\n' || c == '\r' || c == ' ' || c == '\t' || c == '=')
			continue;
		text[used++] = (char)(c == '+' ? '-' : c == '/' ? '_' : c);
	}
	return used;
}

/* What stands between the lines, decoded in place. */
static int decode(struct secret *s, char *from, const char *to)
{
	size_t n = to_base64url(from, (size_t)(to - from));
	ssize_t size = base64url_decode(from, n, s->bytes, s->size);

	if (size < 1)
		return -EINVAL;
	secret_shrink(s, (size_t)size);
	return 0;
}

/* The first certificate of a PEM, or what may be DER as it is. */
static int to_der(struct secret **s)
{
	_cleanup_secret_ struct secret *der = NULL;
	char *text = (char *)(*s)->bytes, *from = memmem(text, (*s)->size, begin, sizeof(begin) - 1), *to;
	int ret;

	if (!from)
		return (*s)->size > 0 && (*s)->bytes[0] == 0x30 ? 0 : -EINVAL;
	from += sizeof(begin) - 1;
	to = memmem(from, (*s)->size - (size_t)(from - text), end, sizeof(end) - 1);
	if (!to)
		return -EINVAL;
	der = secret_new((*s)->size);
	if (!der)
		return -ENOMEM;
	ret = decode(der, from, to);
	if (ret < 0)
		return ret;
	secret_free(s);
	*s = secret_move(&der);
	return 0;
}

int certificate_read(const char *path, struct secret **der, struct fault *why)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	_cleanup_secret_ struct secret *s = NULL;
	char shown[NAME_ROOM];
	int ret;

	log_escape(path, shown, sizeof(shown));
	if (fd < 0)
		return fault_errno(why, EXIT_NO_SECRET, -errno, "cannot read certificate %s", shown);
	ret = secret_read(fd, FILE_MAX, &s);
	if (ret < 0 || !s)
		return fault_errno(why, EXIT_NO_SECRET, ret, "cannot read certificate %s", shown);
	ret = to_der(&s);
	if (ret == 0 && s->size > CERTIFICATE_MAX)
		ret = -EINVAL;
	if (ret == -EINVAL)
		return fault_set(why, EXIT_NO_SECRET, EINVAL, "%s holds no certificate in PEM or DER; check the path",
				 shown);
	if (ret < 0)
		return fault_errno(why, EXIT_FAILED, ret, "cannot read certificate %s", shown);
	*der = secret_move(&s);
	return 0;
}

bool private_key_is_encrypted(const struct secret *pem)
{
	static const char *const marks[] = {"-----BEGIN ENCRYPTED PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED"};

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (memmem(pem->bytes, pem->size, marks[i], strlen(marks[i])))
			return true;
	return false;
}
