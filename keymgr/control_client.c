#include "keymgr/control_client.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "keymgr/control_path.h"
#include "keymgr/hand_over.h"
#include "util/base/cleanup.h"

enum { CONNECT_SECONDS = 5 };

static int connect_in(const char *directory, const uint8_t instance[INSTANCE_ID_SIZE])
{
	const struct timeval patience = {.tv_sec = CONNECT_SECONDS};
	struct sockaddr_un address;
	int fd, r = control_address(directory, instance, &address);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

/* The mounts of plain users, for root. */
static int connect_to_users(const uint8_t instance[INSTANCE_ID_SIZE])
{
	glob_t found;
	int r = -ENOENT;

	if (geteuid() != 0 || glob("/run/user/*/coffer", GLOB_ONLYDIR, NULL, &found) != 0)
		return r;
	for (size_t i = 0; i < found.gl_pathc && r < 0; i++)
		r = connect_in(found.gl_pathv[i], instance);
	globfree(&found);
	return r;
}

int control_connect(const uint8_t instance[INSTANCE_ID_SIZE])
{
	char directory[108];
	int r = -ENOENT;

	for (unsigned i = 0; r < 0 && control_directory(i, directory); i++)
		r = connect_in(directory, instance);
	if (r < 0)
		r = connect_to_users(instance);
	return r < 0 ? -ENOENT : r;
}

/* json-c knows nothing of secrets; its strings are its own memory. */
static void wipe_strings(json_object *o)
{
	switch (json_object_get_type(o)) {
	case json_type_string:
		wipe((char *)(uintptr_t)json_object_get_string(o), (size_t)json_object_get_string_len(o));
		break;
	case json_type_array:
		for (size_t i = 0; i < json_object_array_length(o); i++)
			wipe_strings(json_object_array_get_idx(o, i));
		break;
	case json_type_object: {
		json_object_object_foreach(o, name, member)
		{
			(void)name;
			wipe_strings(member);
		}
		break;
	}
	default:
		break;
	}
}

void control_json_free(json_object *o)
{
	wipe_strings(o);
	json_object_put(o);
}

void control_answer_free(struct control_answer *a)
{
	control_json_free(a->members);
	a->members = NULL;
}

bool control_number(const struct control_answer *a, const char *name, uint64_t *out)
{
	json_object *o;

	if (!json_object_object_get_ex(a->members, name, &o) || !json_object_is_type(o, json_type_int))
		return false;
	*out = json_object_get_uint64(o);
	return true;
}

bool control_flag(const struct control_answer *a, const char *name)
{
	json_object *o;

	return json_object_object_get_ex(a->members, name, &o) && json_object_get_boolean(o);
}

const char *control_text(const struct control_answer *a, const char *name)
{
	json_object *o;

	return json_object_object_get_ex(a->members, name, &o) && json_object_is_type(o, json_type_string)
		       ? json_object_get_string(o)
		       : NULL;
}

static int refusal(const struct control_answer *a, struct fault *why)
{
	const char *text = control_text(a, "error");
	uint64_t status;

	if (!text || !control_number(a, "status", &status) || status < EXIT_FAILED || status > EXIT_REFUSED)
		return fault_set(why, EXIT_FAILED, EPROTO, "the mount gives an answer that makes no sense");
	return fault_set(why, (enum exit_status)status, ECANCELED, "%s", text);
}

static int send_request(int fd, const char *verb, json_object *arguments)
{
	json_object *o = arguments ? arguments : json_object_new_object();
	const char *text;
	int r = -ENOMEM;

	json_object_object_add(o, "version", json_object_new_int(CONTROL_VERSION));
	json_object_object_add(o, "verb", json_object_new_string(verb));
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	if (text)
		r = send(fd, text, strlen(text), MSG_NOSIGNAL) < 0 ? -errno : 0;
	if (text)
		wipe((char *)(uintptr_t)text, strlen(text));
	json_object_put(o);
	return r;
}

/* sent: what sending the request has returned. */
static int wait_for_answer(int fd, ssize_t sent, unsigned seconds, struct control_answer *out, struct fault *why)
{
	const struct timeval patience = {.tv_sec = seconds};
	_cleanup_free_ char *text = malloc(CONTROL_ANSWER_MAX + 1);
	ssize_t n = sent;

	control_answer_free(out);
	if (!text)
		return fault_set(why, EXIT_FAILED, ENOMEM, "no memory");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (n == 0)
		n = recv(fd, text, CONTROL_ANSWER_MAX, 0);
	if (n < 0)
		return fault_errno(why, EXIT_FAILED, errno == EAGAIN ? -ETIMEDOUT : -errno,
				   "the mount does not answer on its control socket");
	if (n == 0)
		return fault_set(why, EXIT_FAILED, ECONNRESET,
				 "the mount closed the connection: it is ending, or too many others ask it");
	text[n] = '\0';
	out->members = json_tokener_parse(text);
	wipe(text, (size_t)n);
	return control_flag(out, "ok") ? 0 : refusal(out, why);
}

int control_ask(int fd, const char *verb, json_object *arguments, unsigned seconds, struct control_answer *out,
		struct fault *why)
{
	return wait_for_answer(fd, send_request(fd, verb, arguments), seconds, out, why);
}

int control_ask_with_root(int fd, const char *verb, json_object *request, const struct keyring *k, unsigned seconds,
			  struct control_answer *out, struct fault *why)
{
	int r = send_request(fd, verb, request);

	if (r == 0)
		r = keyring_send_root(k, fd);
	return wait_for_answer(fd, r, seconds, out, why);
}
