/* QR codes, by libqrencode where that is installed. */
#ifndef COFFER_KEYMGR_QR_H
#define COFFER_KEYMGR_QR_H

#include "util/base/fault.h"

/* Writes the words as a QR code into a new SVG file; does nothing where libqrencode is not installed. */
int qr_write(const char *file, const char *words, struct fault *why) MUST_CHECK;

#endif
