#include "keymgr/helper/sealer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { ARENA_MORE = 4096 };

void say_line(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

static int judge(const struct sealer *s, const char *wrong)
{
	return wrong ? say(s->failed, "%s", wrong) : 0;
}

static int run(const struct sealer *s, const struct sealer_verb *v)
{
	_cleanup_secret_ struct secret *in = NULL, *out = NULL;
	struct span frames[SEALER_FRAMES_MAX];
	int status = judge(s, frames_prepare(s->in_max + s->out_max + ARENA_MORE));

	if (status == 0)
		status = judge(s, frames_read(s->in_max, &in));
	if (status == 0)
		status = judge(s, frames_split(in, frames, v->frames));
	if (status != 0)
		return status;
	out = secret_new(s->out_max);
	if (!out)
		return say(s->failed, "no memory");
	status = v->run(frames, out);
	return status == 0 ? judge(s, frames_write(out)) : status;
}

int sealer_main(const struct sealer *s, int argc, char **argv)
{
	int status;

	if (argc == 2 && strcmp(argv[1], "seal") == 0)
		status = run(s, &s->seal);
	else if (argc == 2 && strcmp(argv[1], "open") == 0)
		status = run(s, &s->open);
	else
		status = say(s->failed, "this program is run by coffer; see coffer(1)");
	secret_stop();
	return status;
}
