/* coffer-pkcs11: keys in PKCS #11 tokens for coffer (pkcs11_protocol.h).
 *
 * 1. It alone loads modules; the processes that hold a volume's keys do not.
 * 2. It is not dumpable, and what it reads and writes is in locked memory.  A module's own copies are where it puts them, and are locked
 *    too where the process may lock all it has.
 * 3. Nothing is written before all has succeeded. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/helper/pkcs11.h"
#include "util/base/bytes.h"

enum { ARENA = PKCS11_IN_MAX + PKCS11_OUT_MAX + 4096 };
enum { MODULE, URI, PIN, AAD, PLAIN, IV = PLAIN, VALUE, FRAMES };

void say_line(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

static enum pkcs11_status judge(const char *wrong)
{
	return wrong ? say(PKCS11_FAILED, "%s", wrong) : PKCS11_DONE;
}

static enum pkcs11_status get_key(struct token *t, const struct span *in, CK_OBJECT_HANDLE *key)
{
	enum pkcs11_status s = token_find(t, in[MODULE], in[URI]);

	if (s == PKCS11_DONE)
		s = token_login(t, in[PIN]);
	return s == PKCS11_DONE ? token_key(t, key) : s;
}

static enum pkcs11_status seal(const struct span *in, struct secret *out)
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

static enum pkcs11_status open_sealed(const struct span *in, struct secret *out)
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

static enum pkcs11_status run(bool sealing)
{
	_cleanup_secret_ struct secret *in = NULL, *out = NULL;
	struct span frames[FRAMES];
	enum pkcs11_status s = judge(frames_prepare(ARENA));

	if (s == PKCS11_DONE)
		s = judge(frames_read(PKCS11_IN_MAX, &in));
	if (s == PKCS11_DONE)
		s = judge(frames_split(in, frames, sealing ? PLAIN + 1 : FRAMES));
	if (s != PKCS11_DONE)
		return s;
	out = secret_new(PKCS11_OUT_MAX);
	if (!out)
		return say(PKCS11_FAILED, "no memory");
	s = sealing ? seal(frames, out) : open_sealed(frames, out);
	return s == PKCS11_DONE ? judge(frames_write(out)) : s;
}

int main(int argc, char **argv)
{
	enum pkcs11_status s;

	if (argc == 2 && (strcmp(argv[1], "seal") == 0 || strcmp(argv[1], "open") == 0))
		s = run(strcmp(argv[1], "seal") == 0);
	else
		s = say(PKCS11_FAILED, "this program is run by coffer; see TOKENS in coffer(1)");
	secret_stop();
	return s;
}
