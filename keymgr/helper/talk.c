/* A conversation (talk.h). */
#include "keymgr/helper/talk.h"

#include <errno.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "util/base/bytes.h"
#include "util/base/whole_write.h"

enum { ARENA = SERVICE_REQUEST_MAX + (96 << 10), OPENSSL_ARENA = 64 << 10, OPENSSL_GRAIN = 32 };

void reason_line(struct reason *r, const char *format, ...)
{
	unsigned long error = ERR_peek_last_error();
	const char *own = error ? ERR_reason_error_string(error) : NULL;
	va_list args;
	size_t used;

	if (*r->text)
		return;
	va_start(args, format);
	vsnprintf(r->text, sizeof(r->text), format, args);
	va_end(args);
	used = strlen(r->text);
	if (own)
		snprintf(r->text + used, sizeof(r->text) - used, ": %s", own);
	for (char *at = r->text; *at; at++)
		if ((unsigned char)*at < ' ')
			*at = '?';
}

/* --- frames */

/* 0 at the end of the input. */
static int read_whole(void *out, size_t n)
{
	uint8_t *at = out;

	while (n > 0) {
		ssize_t got = read(STDIN_FILENO, at, n);

		if (got == 0)
			return 0;
		if (got < 0 && errno != EINTR)
			return -errno;
		if (got > 0) {
			at += got;
			n -= (size_t)got;
		}
	}
	return 1;
}

/* A frame of at most room - 1 bytes, and a zero behind it. */
static int read_frame(void *out, size_t room, size_t *n)
{
	uint8_t size[4];
	int r = read_whole(size, sizeof(size));

	if (r <= 0)
		return r;
	*n = get_le32(size);
	if (*n >= room)
		return -EMSGSIZE;
	((uint8_t *)out)[*n] = '\0';
	return *n ? read_whole(out, *n) : 1;
}

static int write_frame(const void *bytes, size_t n)
{
	uint8_t size[4];
	int ret;

	put_le32(size, (uint32_t)n);
	ret = whole_write(STDOUT_FILENO, size, sizeof(size));
	return ret < 0 || n == 0 ? ret : whole_write(STDOUT_FILENO, bytes, n);
}

int talk_answer(const char *word, const char *text, const void *body, size_t n)
{
	char line[SERVICE_LINE_MAX];
	int ret;

	snprintf(line, sizeof(line), "%s %s", word, text);
	ret = write_frame(line, strlen(line));
	return ret < 0 ? ret : write_frame(body, n);
}

int talk_refuse(int error, const struct reason *why)
{
	return talk_answer(error == -EINVAL ? "unusable" : "unreachable", why->text, NULL, 0);
}

/* --- (3) */

/* On the connection that is there, if it is still good.  False: not done. */
static bool ask_again(struct talk *t, struct talk_exchange *x)
{
	struct reason ignored = {0};
	bool sent;

	return x->twice && service_connected(&t->connection) &&
	       x->run(x, &t->connection, &t->setup.urls[t->connected_to], &sent, &ignored) == 0;
}

/* *final: no other server must be asked. */
static int ask_one(struct talk *t, size_t which, struct talk_exchange *x, bool *final, struct reason *why)
{
	const struct service_url *to = &t->setup.urls[which];
	bool sent = false;
	int ret;

	service_disconnect(&t->connection);
	ret = service_connect(&t->setup, to, &t->connection, why);
	*final = ret == -EINVAL;
	if (ret < 0)
		return ret;
	t->connected_to = which;
	ret = x->run(x, &t->connection, to, &sent, why);
	*final = ret == 0 || (sent && !x->twice);
	return ret;
}

int talk_to_servers(struct talk *t, struct talk_exchange *x, struct reason *why)
{
	bool final = false;
	int ret = -EHOSTUNREACH;

	if (ask_again(t, x))
		return 0;
	for (size_t i = 0; i < t->setup.count && !final; i++) {
		size_t which = (t->setup.next + i) % t->setup.count;
		struct reason one = {0};

		ret = ask_one(t, which, x, &final, &one);
		if (ret == 0) {
			t->setup.next = which;
			return 0;
		}
		if (!*why->text || final)
			*why = one;
		service_disconnect(&t->connection);
	}
	return ret;
}

/* --- the conversation */

static int read_setup(const struct talk_program *p, struct talk *t, struct reason *why)
{
	char urls[SERVICE_URLS_MAX * (SERVICE_HOST_MAX + 40)];
	size_t n;

	if (read_frame(urls, sizeof(urls), &n) <= 0 || read_frame(t->setup.ca, sizeof(t->setup.ca), &n) <= 0 ||
	    read_frame(t->setup.cert, sizeof(t->setup.cert), &n) <= 0 ||
	    read_frame(t->setup.key, sizeof(t->setup.key), &n) <= 0)
		return -EPROTO;
	return service_parse_urls(urls, p->addresses, &t->setup, why);
}

/* Until the input ends. */
static int converse(const struct talk_program *p, struct talk *t, struct secret *body)
{
	char line[SERVICE_LINE_MAX];
	struct reason setup = {0};
	size_t n, size;
	int ret = read_setup(p, t, &setup);

	if (ret < 0 && !*setup.text)
		return ret;
	for (;;) {
		int r = read_frame(line, sizeof(line), &n);

		if (r > 0)
			r = read_frame(body->bytes, body->size, &size);
		if (r <= 0)
			return r;
		ret = *setup.text ? talk_refuse(-EINVAL, &setup) : p->serve(t, line, body, size);
		wipe(body->bytes, body->size);
		if (ret < 0)
			return ret;
	}
}

static int prepare(void)
{
	struct rlimit lock;

	signal(SIGPIPE, SIG_IGN);
	if (secret_start(ARENA) < 0 || CRYPTO_secure_malloc_init(OPENSSL_ARENA, OPENSSL_GRAIN) != 1) {
		fprintf(stderr, "cannot lock memory for secrets; raise \"ulimit -l\" to 1024 KiB\n");
		return -ENOMEM;
	}
	if (getrlimit(RLIMIT_MEMLOCK, &lock) == 0 && lock.rlim_cur == RLIM_INFINITY)
		(void)mlockall(MCL_CURRENT | MCL_FUTURE); /* more than is asked for: no error if it is not to be had */
	/* No configuration file of the host's has a say in it. */
	return OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) ? 0 : -EIO;
}

int talk_main(const struct talk_program *p, int argc, char **argv)
{
	static struct talk t = {.connection = {.fd = -1}};
	struct secret *body;
	int ret;

	if (argc != 2 || strcmp(argv[1], "talk") != 0) {
		fprintf(stderr, "this program is run by coffer; see coffer(1)\n");
		return 1;
	}
	ret = prepare();
	body = ret == 0 ? secret_new(SERVICE_REQUEST_MAX + 1) : NULL;
	ret = body ? converse(p, &t, body) : -ENOMEM;
	service_disconnect(&t.connection);
	secret_free(&body);
	secret_stop();
	return ret < 0;
}
