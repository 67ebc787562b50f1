/* libqrencode is opened only when a code is made: a mount, which is the same program, does not map it. */
#include "keymgr/qr.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "util/base/new_file.h"
#include "util/base/secret.h"

#ifdef COFFER_QRENCODE
#include <qrencode.h>

enum { MARGIN = 4, SVG_HEAD = 400, SVG_MODULE = 24, WORDS_MAX = 1024 };

struct library {
	void *handle;
	QRcode *(*encode)(const char *text, int version, QRecLevel level, QRencodeMode hint, int case_sensitive);
	void (*free)(QRcode *code);
};

static bool library_open(struct library *l)
{
	l->handle = dlopen("libqrencode.so.4", RTLD_NOW | RTLD_LOCAL);
	if (!l->handle)
		return false;
	*(void **)&l->encode = dlsym(l->handle, "QRcode_encodeString");
	*(void **)&l->free = dlsym(l->handle, "QRcode_free");
	return l->encode && l->free;
}

/* One path of unit squares; the text is as secret as the words. */
static int write_svg(const char *file, const QRcode *code, struct fault *why)
{
	size_t room = SVG_HEAD + (size_t)code->width * (size_t)code->width * SVG_MODULE, n = 0;
	_cleanup_secret_ struct secret *svg = secret_new(room);
	int side = code->width + 2 * MARGIN;

	if (!svg)
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot draw the QR code");
	char *out = (char *)svg->bytes;
	n += (size_t)snprintf(
		out + n, room - n,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%dmm\" height=\"%dmm\" viewBox=\"0 0 %d %d\">\n"
		"<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n<path d=\"",
		side, side, side, side, side, side);
	for (int y = 0; y < code->width; y++)
		for (int x = 0; x < code->width; x++)
			if (code->data[y * code->width + x] & 1)
				n += (size_t)snprintf(out + n, room - n, "M%d %dh1v1h-1z", x + MARGIN, y + MARGIN);
	n += (size_t)snprintf(out + n, room - n, "\"/>\n</svg>\n");
	return new_file_write(file, &(struct iovec){out, n}, 1, why);
}

int qr_write(const char *file, const char *words, struct fault *why)
{
	char upper[WORDS_MAX];
	struct library l = {0};
	size_t n = strlen(words);

	if (n >= sizeof upper || !library_open(&l))
		return 0;
	/* Capitals take less room in the code, and reading a share does not mind them. */
	for (size_t i = 0; i <= n; i++)
		upper[i] = (char)toupper((unsigned char)words[i]);
	QRcode *code = l.encode(upper, 0, QR_ECLEVEL_M, QR_MODE_8, 1);
	wipe(upper, sizeof upper);
	if (!code)
		return fault_errno(why, EXIT_FAILED, -errno, "cannot make a QR code");
	int r = write_svg(file, code, why);
	wipe(code->data, (size_t)code->width * (size_t)code->width);
	l.free(code);
	return r;
}
#else
int qr_write(const char *file, const char *words, struct fault *why)
{
	(void)file;
	(void)words;
	(void)why;
	return 0;
}
#endif
