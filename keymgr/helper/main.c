/* coffer-cms: CMS for coffer (protocol.h).
 *
 * 1. It alone maps OpenSSL; the processes that hold a volume's keys do not.
 * 2. It is not dumpable, and what it reads and writes is in locked memory.  OpenSSL's own copies are where it puts them, and are
 *    locked too where the process may lock all it has.
 * 3. Nothing is written before all has succeeded: what was not verified never leaves it. */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

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
	struct rlimit lock;

	if (secret_start(ARENA) < 0 || CRYPTO_secure_malloc_init(OPENSSL_ARENA, OPENSSL_GRAIN) != 1)
		return say(HELPER_FAILED, "cannot lock memory for secrets; raise \"ulimit -l\" to 1024 KiB");
	if (getrlimit(RLIMIT_MEMLOCK, &lock) == 0 && lock.rlim_cur == RLIM_INFINITY)
		(void)mlockall(MCL_CURRENT | MCL_FUTURE); /* more than is asked for: no error if it is not to be had */
	return HELPER_DONE;
}

static enum helper_status read_all(struct secret **out)
{
	_cleanup_secret_ struct secret *s = secret_new(HELPER_IN_MAX + 1);
	size_t used = 0;
	ssize_t n = 1;

	if (!s)
		return say(HELPER_FAILED, "no memory");
	while (n != 0 && used < s->size) {
		n = read(STDIN_FILENO, s->bytes + used, s->size - used);
		if (n < 0 && errno != EINTR)
			return say(HELPER_FAILED, "cannot read: %s", strerrordesc_np(errno));
		used += n > 0 ? (size_t)n : 0;
	}
	if (used > HELPER_IN_MAX)
		return say(HELPER_FAILED, "what is to be read is too long");
	secret_shrink(s, used);
	*out = secret_move(&s);
	return HELPER_DONE;
}

/* Exactly `count` frames. */
static enum helper_status split(const struct secret *s, struct span *frames, unsigned count)
{
	struct span left = {s->bytes, s->size};

	for (unsigned i = 0; i < count; i++) {
		uint32_t n = left.size < 4 ? 0 : get_le32(left.at);

		if (left.size < 4 || n > left.size - 4)
			return say(HELPER_FAILED, "a frame is cut short");
		frames[i] = (struct span){left.at + 4, n};
		left = (struct span){left.at + 4 + n, left.size - 4 - n};
	}
	return left.size == 0 ? HELPER_DONE : say(HELPER_FAILED, "there are more frames than expected");
}

static enum helper_status write_all(const struct secret *s)
{
	size_t done = 0;

	while (done < s->size) {
		ssize_t n = write(STDOUT_FILENO, s->bytes + done, s->size - done);

		if (n < 0 && errno != EINTR)
			return say(HELPER_FAILED, "cannot write: %s", strerrordesc_np(errno));
		done += n > 0 ? (size_t)n : 0;
	}
	return HELPER_DONE;
}

static enum helper_status run_encrypt(const struct secret *in, struct secret *out)
{
	struct span frames[2];
	char words[HELPER_WORDS_MAX];
	size_t used, n = HELPER_CMS_MAX;
	enum helper_status s = split(in, frames, 2);

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
	return write_all(out);
}

static enum helper_status run_decrypt(const struct secret *in, struct secret *out)
{
	struct span frames[FRAMES];
	size_t n = HELPER_PLAIN_MAX;
	enum helper_status s = split(in, frames, FRAMES);

	if (s == HELPER_DONE)
		s = key_decrypt(frames[0], frames[1], frames[2], out->bytes + 4, &n);
	if (s != HELPER_DONE)
		return s;
	put_le32(out->bytes, (uint32_t)n);
	secret_shrink(out, 4 + n);
	return write_all(out);
}

static enum helper_status run(const char *verb)
{
	_cleanup_secret_ struct secret *in = NULL, *out = NULL;
	enum helper_status s = prepare();

	if (s == HELPER_DONE)
		s = read_all(&in);
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
