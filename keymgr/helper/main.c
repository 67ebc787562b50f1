/* coffer-cms: CMS for coffer (protocol.h).
 *
 * 1. It alone maps OpenSSL; the processes that hold a volume's keys do not.
 * 2. It is not dumpable, and what it reads and writes is in locked memory.  OpenSSL's own copies are where it puts them, and are
 *    locked too where the process may lock all it has.
 * 3. Nothing is written before all has succeeded: what was not verified never leaves it. */
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "keymgr/helper/cms.h"
#include "util/base/bytes.h"
#include "util/base/secret.h"

enum { ARENA = HELPER_IN_MAX + HELPER_OUT_MAX + 4096, OPENSSL_ARENA = 64 << 10, OPENSSL_GRAIN = 32, FRAMES = 3 };

void say_line(const char *format, ...)
{
	unsigned long error = ERR_peek_last_error();
	const char *reason = error ? ERR_reason_error_string(error) : NULL;
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "%s%s\n", reason ? ": " : "", reason ? reason : "");
}

/* CVE-2026-34182, whose description names the versions.  The series between 3.0 and 3.4 were given up before it was mended. */
enum helper_status openssl_check(void)
{
	unsigned major = OPENSSL_version_major(), minor = OPENSSL_version_minor(), patch = OPENSSL_version_patch();
	static const struct {
		unsigned major, minor, patch;
	} mended[] = {{3, 0, 21}, {3, 4, 6}, {3, 5, 7}, {3, 6, 3}, {4, 0, 1}};
	bool good = major > 4 || (major == 4 && minor > 0);

	for (size_t i = 0; i < sizeof(mended) / sizeof(mended[0]); i++)
		good |= major == mended[i].major && minor == mended[i].minor && patch >= mended[i].patch;
	if (good)
		return HELPER_DONE;
	return say(HELPER_TOO_OLD, "OpenSSL %u.%u.%u accepts what was tampered with (CVE-2026-34182)", major, minor,
		   patch);
}

static enum helper_status prepare(void)
{
	if (CRYPTO_secure_malloc_init(OPENSSL_ARENA, OPENSSL_GRAIN) != 1)
		return say(HELPER_FAILED, "cannot lock memory for secrets; raise \"ulimit -l\" to 1024 KiB");
	return HELPER_DONE;
}

/* What is said of frames, as a status. */
static enum helper_status judge(const char *wrong)
{
	return wrong ? say(HELPER_FAILED, "%s", wrong) : HELPER_DONE;
}

static enum helper_status run_encrypt(const struct secret *in, struct secret *out)
{
	struct span frames[2];
	char words[HELPER_WORDS_MAX];
	size_t used, n = HELPER_CMS_MAX;
	enum helper_status s = judge(frames_split(in, frames, 2));

	if (s == HELPER_DONE)
		s = certificate_encrypt(frames[0], frames[1], words, out->bytes + HELPER_WORDS_MAX + 8, &n);
	if (s != HELPER_DONE)
		return s;
	used = strlen(words);
	put_le32(out->bytes, (uint32_t)used);
	memcpy(out->bytes + 4, words, used);
	put_le32(out->bytes + 4 + used, (uint32_t)n);
	memmove(out->bytes + 8 + used, out->bytes + HELPER_WORDS_MAX + 8, n);
	secret_shrink(out, 8 + used + n);
	return judge(frames_write(out));
}

static enum helper_status run_decrypt(const struct secret *in, struct secret *out)
{
	struct span frames[FRAMES];
	size_t n = HELPER_PLAIN_MAX;
	enum helper_status s = judge(frames_split(in, frames, FRAMES));

	if (s == HELPER_DONE)
		s = key_decrypt(frames[0], frames[1], frames[2], out->bytes + 4, &n);
	if (s != HELPER_DONE)
		return s;
	put_le32(out->bytes, (uint32_t)n);
	secret_shrink(out, 4 + n);
	return judge(frames_write(out));
}

static enum helper_status run(const char *verb)
{
	_cleanup_secret_ struct secret *in = NULL, *out = NULL;
	enum helper_status s = judge(frames_prepare(ARENA));

	if (s == HELPER_DONE)
		s = prepare();
	if (s == HELPER_DONE)
		s = judge(frames_read(HELPER_IN_MAX, &in));
	if (s != HELPER_DONE)
		return s;
	out = secret_new(HELPER_OUT_MAX);
	if (!out)
		return say(HELPER_FAILED, "no memory");
	return strcmp(verb, "encrypt") == 0 ? run_encrypt(in, out) : run_decrypt(in, out);
}

int main(int argc, char **argv)
{
	enum helper_status s = openssl_check();

	if (s == HELPER_DONE && (argc != 2 || (strcmp(argv[1], "encrypt") != 0 && strcmp(argv[1], "decrypt") != 0)))
		s = say(HELPER_FAILED, "this program is run by coffer; see coffer-key in coffer(1)");
	if (s == HELPER_DONE)
		s = run(argv[1]);
	secret_stop();
	return s;
}
