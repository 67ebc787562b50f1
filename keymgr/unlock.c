/* Getting the secret from where the user says it is. */
#include "keymgr/unlock.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "keymgr/cms.h"
#include "keymgr/kmip.h"
#include "keymgr/pkcs11.h"
#include "keymgr/secret_input.h"
#include "keymgr/service_use.h"
#include "keymgr/tpm2.h"
#include "util/base/crypto.h"
#include "util/base/log.h"

enum {
	PASSPHRASE_MAX = 64 << 10,
	TYPED_MAX = 4096, /* what a terminal gives in one line */
	KEY_FILE_MIN = 32,
	KEY_FILE_MAX = 1 << 20,
	ATTEMPTS = 3,
	NAME_ROOM = 200,
	IDENTITY_MAX = HELPER_KEY_MAX,
	IDENTITY_PASSPHRASE_MAX = HELPER_PASSPHRASE_MAX,
};

extern char **environ;

void unlock_secret_wipe(struct unlock_secret *s)
{
	secret_free(&s->bytes);
	secret_free(&s->passphrase);
	service_use_free(&s->service);
	kmip_use_free(&s->kmip);
}

static int sources(const struct unlock_source *u)
{
	return !!u->passphrase_file + (u->passphrase_fd >= 0) + !!u->passphrase_command + !!u->key_file +
	       !!u->credential + !!u->identity + !!u->certificate +
	       (u->service_key || service_place_given(&u->service)) + (u->kmip_key || service_place_given(&u->kmip)) +
	       (u->pin_file || u->pkcs11) + u->tpm;
}

bool unlock_source_given(const struct unlock_source *u)
{
	return sources(u) > 0;
}

/* One line about a source that does not do. */
static int unsuitable(struct fault *why, int error, const char *what, const char *name)
{
	char shown[NAME_ROOM];

	log_escape(name, shown, sizeof(shown));
	if (error == -EFBIG)
		return fault_set(why, EXIT_NO_SECRET, EFBIG, "%s %s is too long to be one; check the path", what,
				 shown);
	if (error == -ENOMEM)
		return fault_set(why, EXIT_FAILED, ENOMEM, "%s %s does not fit into locked memory; raise \"ulimit -l\"",
				 what, shown);
	return fault_errno(why, EXIT_NO_SECRET, error, "cannot read %s %s", what, shown);
}

static int read_file(const char *path, size_t max, const char *what, struct secret **out, struct fault *why)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int ret;

	if (fd < 0)
		return unsuitable(why, -errno, what, path);
	ret = secret_read(fd, max, out);
	return ret < 0 ? unsuitable(why, ret, what, path) : 0;
}

/* Exactly one newline at the end is not part of a passphrase: editors and echo put it there. */
static int finish_passphrase(struct unlock_secret *out, const char *what, const char *name, struct fault *why)
{
	char shown[NAME_ROOM];
	struct secret *s = out->bytes;

	if (!s)
		return -EINVAL;
	if (s->size > 0 && s->bytes[s->size - 1] == '\n')
		secret_shrink(s, s->size - 1);
	if (s->size > 0 && s->size <= PASSPHRASE_MAX)
		return 0;
	log_escape(name, shown, sizeof(shown));
	return fault_set(why, EXIT_NO_SECRET, EINVAL, "%s %s %s; give a passphrase of 1 byte to 64 KiB", what, shown,
			 s->size ? "is too long" : "is empty");
}

static int from_passphrase_file(const char *path, struct unlock_secret *out, struct fault *why)
{
	int ret;

	if (strcmp(path, "-") != 0) {
		ret = read_file(path, PASSPHRASE_MAX + 1, "passphrase file", &out->bytes, why);
		return ret < 0 ? ret : finish_passphrase(out, "passphrase file", path, why);
	}
	ret = secret_read(STDIN_FILENO, PASSPHRASE_MAX + 1, &out->bytes);
	if (ret < 0)
		return unsuitable(why, ret, "a passphrase from", "standard input");
	return finish_passphrase(out, "the passphrase from", "standard input", why);
}

static int from_passphrase_fd(int fd, struct unlock_secret *out, struct fault *why)
{
	char name[32];
	int ret;

	snprintf(name, sizeof(name), "%d", fd);
	ret = secret_read(fd, PASSPHRASE_MAX + 1, &out->bytes);
	if (ret < 0)
		return unsuitable(why, ret, "a passphrase from descriptor", name);
	return finish_passphrase(out, "the passphrase from descriptor", name, why);
}

static int from_key_file(const char *path, struct unlock_secret *out, struct fault *why)
{
	char shown[NAME_ROOM];
	int ret;

	out->kind = SECRET_KEY_FILE;
	ret = read_file(path, KEY_FILE_MAX, "key file", &out->bytes, why);
	if (ret < 0 || out->bytes->size >= KEY_FILE_MIN)
		return ret;
	return fault_set(why, EXIT_NO_SECRET, EINVAL, "key file %s has less than %d bytes; check the path",
			 log_escape(path, shown, sizeof(shown)), KEY_FILE_MIN);
}

static int from_credential(const char *name, struct unlock_secret *out, struct fault *why)
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY");
	_cleanup_free_ char *path = NULL;
	char shown[NAME_ROOM];
	int ret;

	log_escape(name, shown, sizeof(shown));
	if (!directory || directory[0] != '/')
		return fault_set(
			why, EXIT_NO_SECRET, ENOENT,
			"credential %s: $CREDENTIALS_DIRECTORY is not set; add LoadCredential= to the systemd unit",
			shown);
	if (!name[0] || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return fault_set(why, EXIT_USAGE, EINVAL, "credential %s: that is a path, not the name of one", shown);
	if (asprintf(&path, "%s/%s", directory, name) < 0) {
		path = NULL;
		return fault_errno(why, EXIT_FAILED, -ENOMEM, "cannot read credential %s", shown);
	}
	ret = read_file(path, PASSPHRASE_MAX + 1, "credential", &out->bytes, why);
	return ret < 0 ? ret : finish_passphrase(out, "credential", path, why);
}

static int spawn_shell(const char *command, int output, pid_t *pid)
{
	char *const argv[] = {(char *)"sh", (char *)"-c", (char *)command, NULL};
	posix_spawn_file_actions_t actions;
	int error;

	error = posix_spawn_file_actions_init(&actions);
	if (error)
		return -error;
	error = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	if (!error)
		error = posix_spawn(pid, "/bin/sh", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -error;
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int from_command(const char *command, struct unlock_secret *out, struct fault *why)
{
	int ends[2], ret, status;
	pid_t pid = -1;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return fault_errno(why, EXIT_FAILED, -errno, "cannot run the passphrase command");
	ret = spawn_shell(command, ends[1], &pid);
	close(ends[1]);
	if (ret < 0) {
		close(ends[0]);
		return fault_errno(why, EXIT_FAILED, ret, "cannot run the passphrase command");
	}
	ret = secret_read(ends[0], PASSPHRASE_MAX + 1, &out->bytes);
	close(ends[0]); /* a command that writes on for ever gets SIGPIPE */
	status = wait_for(pid);
	if (ret < 0)
		return unsuitable(why, ret, "the output of", "the passphrase command");
	if (status != 0) /* the command itself may hold a secret, so it is not repeated here */
		return fault_set(why, EXIT_NO_SECRET, EINVAL,
				 "the passphrase command failed with status %d; run it by hand", status);
	return finish_passphrase(out, "the output of", "the passphrase command", why);
}

static const char options[] = "--passphrase-file, --passphrase-fd, --passphrase-command, --key-file, --identity, "
			      "--pin-file, --tpm or --credential";

static int ask(const char *prompt, struct secret **out, const char *instead, struct fault *why)
{
	int ret = secret_ask(prompt, TYPED_MAX, out);

	if (ret == -ENOTTY)
		return fault_set(why, EXIT_NO_SECRET, ENOTTY, "no secret given and no terminal to ask on; use %s",
				 instead);
	if (ret < 0)
		return fault_errno(why, EXIT_NO_SECRET, ret, "cannot read from the terminal");
	if ((*out)->size == 0) {
		secret_free(out);
		return fault_set(why, EXIT_NO_SECRET, EINVAL, "an empty passphrase was typed; nothing was done");
	}
	return 0;
}

static bool secrets_equal(const struct secret *a, const struct secret *b)
{
	return a->size == b->size && crypto_equal(a->bytes, b->bytes, a->size);
}

static int from_terminal(const char *prompt, bool confirm, struct unlock_secret *out, struct fault *why)
{
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		_cleanup_secret_ struct secret *again = NULL;
		int ret = ask(prompt, &out->bytes, options, why);

		if (ret < 0 || !confirm)
			return ret;
		ret = ask("The same again: ", &again, options, why);
		if (ret < 0)
			return ret;
		if (secrets_equal(out->bytes, again))
			return 0;
		secret_free(&out->bytes);
		fprintf(stderr, "The two differ; try again.\n");
	}
	return fault_set(why, EXIT_NO_SECRET, EINVAL, "the two passphrases differed %d times; nothing was done",
			 ATTEMPTS);
}

/* Its passphrase goes with it, so that the helper which reads the key asks nobody. */
static int from_identity(const struct unlock_source *u, struct unlock_secret *out, struct fault *why)
{
	struct unlock_secret typed = {0};
	char prompt[NAME_ROOM + 32], shown[NAME_ROOM];
	int ret;

	out->kind = SECRET_IDENTITY;
	ret = read_file(u->identity, IDENTITY_MAX, "identity", &out->bytes, why);
	if (ret < 0 || !private_key_is_encrypted(out->bytes))
		return ret;
	if (u->identity_passphrase_file) {
		ret = from_passphrase_file(u->identity_passphrase_file, &typed, why);
	} else {
		snprintf(prompt, sizeof(prompt), "Passphrase of %s: ", log_escape(u->identity, shown, sizeof(shown)));
		ret = ask(prompt, &typed.bytes, "--identity-passphrase-file", why);
	}
	out->passphrase = secret_move(&typed.bytes);
	if (ret == 0 && out->passphrase->size > IDENTITY_PASSPHRASE_MAX)
		return fault_set(why, EXIT_NO_SECRET, EINVAL, "the passphrase of the identity is longer than %d bytes",
				 IDENTITY_PASSPHRASE_MAX);
	return ret;
}

/* --- tokens */

static int finish_pin(const struct unlock_source *u, struct unlock_secret *out, struct fault *why)
{
	out->kind = SECRET_PIN;
	out->token_uri = u->pkcs11;
	out->token_module = u->pkcs11_module;
	if (u->pkcs11_module && (u->pkcs11_module[0] != '/' || strlen(u->pkcs11_module) > PKCS11_MODULE_MAX))
		return fault_set(why, EXIT_USAGE, EINVAL, "--pkcs11-module needs an absolute path");
	if (out->bytes->size > PKCS11_PIN_MAX)
		return fault_set(why, EXIT_NO_SECRET, EINVAL, "the PIN is longer than %d bytes", PKCS11_PIN_MAX);
	return 0;
}

static int from_token(const struct unlock_source *u, struct unlock_secret *out, struct fault *why)
{
	const char *wrong = u->pkcs11 ? pkcs11_uri_check(u->pkcs11) : NULL;
	int ret;

	if (wrong)
		return fault_set(why, EXIT_USAGE, EINVAL, "the URI of --pkcs11: %s", wrong);
	ret = u->pin_file ? from_passphrase_file(u->pin_file, out, why)
			  : ask("PIN of the token: ", &out->bytes, "--pin-file", why);
	return ret < 0 ? ret : finish_pin(u, out, why);
}

static int from_tpm(const struct unlock_source *u, struct unlock_secret *out, struct fault *why)
{
	struct unlock_secret pin = {0};
	const char *pcrs = u->pcrs ? u->pcrs : TPM2_PCRS_DEFAULT, *wrong;
	int ret = 0;

	out->kind = SECRET_TPM;
	out->tpm_tcti = u->tpm_tcti;
	out->tpm_pcrs = strcmp(pcrs, "none") == 0 ? "" : pcrs;
	wrong = tpm2_pcrs_check(out->tpm_pcrs);
	if (wrong || !*pcrs)
		return fault_set(why, EXIT_USAGE, EINVAL, "--pcrs: %s", wrong ? wrong : "give numbers, or none");
	if (!*out->tpm_pcrs && !u->tpm_pin_file)
		return fault_set(why, EXIT_USAGE, EINVAL, "--pcrs none needs a PIN: give --tpm-pin-file");
	if (u->tpm_tcti && strlen(u->tpm_tcti) > TPM2_TCTI_MAX)
		return fault_set(why, EXIT_USAGE, EINVAL, "--tpm-tcti is too long");
	if (u->tpm_pin_file)
		ret = from_passphrase_file(u->tpm_pin_file, &pin, why);
	out->passphrase = secret_move(&pin.bytes);
	if (ret == 0 && out->passphrase && out->passphrase->size > TPM2_PIN_MAX)
		return fault_set(why, EXIT_NO_SECRET, EINVAL, "the PIN is longer than %d bytes", TPM2_PIN_MAX);
	return ret;
}

int unlock_ask_pin(const struct unlock_source *u, const char *prompt, struct unlock_secret *out, struct fault *why)
{
	_cleanup_secret_ struct secret *raw = NULL;
	struct fault ignored = {0};
	bool looks_like = false;
	int ret;

	*out = (struct unlock_secret){.kind = SECRET_RECOVERY_KEY};
	ret = ask(prompt, &out->bytes, options, why);
	/* A recovery key, also one with a typo, is no PIN to try on a token that locks. */
	if (ret == 0 && recovery_key_parse(out->bytes, &raw, &looks_like, &ignored) < 0 && !looks_like)
		ret = finish_pin(u, out, why);
	if (ret < 0)
		unlock_secret_wipe(out);
	return ret;
}

static int obtain(const struct unlock_source *u, const char *prompt, bool confirm, struct unlock_secret *out,
		  struct fault *why)
{
	if (u->passphrase_file)
		return from_passphrase_file(u->passphrase_file, out, why);
	if (u->passphrase_fd >= 0)
		return from_passphrase_fd(u->passphrase_fd, out, why);
	if (u->passphrase_command)
		return from_command(u->passphrase_command, out, why);
	if (u->key_file)
		return from_key_file(u->key_file, out, why);
	if (u->credential)
		return from_credential(u->credential, out, why);
	if (u->identity)
		return from_identity(u, out, why);
	if (u->certificate) {
		out->kind = SECRET_CERTIFICATE;
		return certificate_read(u->certificate, &out->bytes, why);
	}
	if (u->service_key || service_place_given(&u->service)) {
		out->kind = SECRET_SERVICE;
		return service_use_new(&u->service, u->service_key, &out->service, why);
	}
	if (u->kmip_key || service_place_given(&u->kmip)) {
		out->kind = SECRET_KMIP;
		return kmip_use_new(&u->kmip, u->kmip_key, &out->kmip, why);
	}
	if (u->pkcs11 || u->pin_file)
		return from_token(u, out, why);
	if (u->tpm)
		return from_tpm(u, out, why);
	return from_terminal(prompt, confirm, out, why);
}

int unlock_obtain(const struct unlock_source *u, const char *prompt, bool confirm, struct unlock_secret *out,
		  struct fault *why)
{
	int ret;

	*out = (struct unlock_secret){.kind = SECRET_PASSPHRASE};
	if (sources(u) > 1)
		return fault_set(
			why, EXIT_USAGE, EINVAL,
			"more than one of --passphrase-file, --passphrase-fd, --passphrase-command, --key-file, "
			"--identity, --certificate, --service-key, --service-config (or --service), --kmip-key, "
			"--kmip-config (or --kmip), --pin-file, --tpm and --credential is given; give one");
	if (u->identity_passphrase_file && !u->identity)
		return fault_set(why, EXIT_USAGE, EINVAL, "--identity-passphrase-file goes with --identity");
	if ((u->tpm_pin_file || u->pcrs) && !u->tpm)
		return fault_set(why, EXIT_USAGE, EINVAL, "a PIN of the TPM and PCRs go with --tpm");
	ret = obtain(u, prompt, confirm, out, why);
	if (ret < 0)
		unlock_secret_wipe(out);
	return ret;
}
