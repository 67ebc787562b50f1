/* Errors that a person reads (fault.h). */
#include "util/base/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Cuts the text to one line. */
static void one_line(char *text)
{
	for (; *text; text++)
		if (*text == '\n' || *text == '\r')
			*text = ' ';
}

int fault_set(struct fault *f, enum exit_status status, int error, const char *format, ...)
{
	va_list args;

	if (f->status != EXIT_OK)
		return -error;
	f->status = status;
	va_start(args, format);
	if (vsnprintf(f->text, sizeof(f->text), format, args) < 0)
		f->text[0] = 0;
	va_end(args);
	one_line(f->text);
	return -error;
}

int fault_errno(struct fault *f, enum exit_status status, int result, const char *format, ...)
{
	const char *reason = strerrordesc_np(-result);
	va_list args;
	size_t used;

	if (f->status != EXIT_OK)
		return result;
	f->status = status;
	va_start(args, format);
	if (vsnprintf(f->text, sizeof(f->text), format, args) < 0)
		f->text[0] = 0;
	va_end(args);
	used = strlen(f->text);
	snprintf(f->text + used, sizeof(f->text) - used, ": %s", reason ? reason : "unknown error");
	one_line(f->text);
	return result;
}
