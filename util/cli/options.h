/* Options of the verbs, over getopt_long. */
#ifndef COFFER_CLI_OPTIONS_H
#define COFFER_CLI_OPTIONS_H

#include "util/base/number.h"
#include "util/cli/cli.h"

enum option_kind {
	OPTION_END,
	OPTION_FLAG,   /* target: bool */
	OPTION_TEXT,   /* target: const char *; given twice is an error */
	OPTION_LIST,   /* target: char *, allocated; given again adds behind a comma */
	OPTION_NUMBER, /* target: int */
	OPTION_SIZE,   /* target: uint64_t; K, M, G, T as powers of 1024 */
};

struct option_spec {
	enum option_kind kind;
	char letter; /* 0: none */
	char group;  /* at most one option of a group may be given; 0: in none */
	const char *name;
	void *target;
};

/* Where the secret comes from.  u: a struct unlock_source, UNLOCK_SOURCE_NONE. */
#define OPTIONS_SECRET(u)                                                                                              \
	{OPTION_TEXT, 0, 'u', "passphrase-file", &(u)->passphrase_file},                                               \
		{OPTION_NUMBER, 0, 'u', "passphrase-fd", &(u)->passphrase_fd},                                         \
		{OPTION_TEXT, 0, 'u', "passphrase-command", &(u)->passphrase_command},                                 \
		{OPTION_TEXT, 0, 'u', "key-file", &(u)->key_file},                                                     \
	{                                                                                                              \
		OPTION_TEXT, 0, 'u', "credential", &(u)->credential                                                    \
	}
#define OPTIONS_IDENTITY(u)                                                                                            \
	{OPTION_TEXT, 0, 'u', "identity", &(u)->identity},                                                             \
	{                                                                                                              \
		OPTION_TEXT, 0, 0, "identity-passphrase-file", &(u)->identity_passphrase_file                          \
	}
/* The PIN, in which group, and the driver. */
#define OPTIONS_TOKEN(u, name, group)                                                                                  \
	{OPTION_TEXT, 0, group, name, &(u)->pin_file},                                                                 \
	{                                                                                                              \
		OPTION_TEXT, 0, 0, "pkcs11-module", &(u)->pkcs11_module                                                \
	}
/* The TPM, its PIN, and how it is reached; `how` stands before the names of the first two. */
#define OPTIONS_TPM(u, how)                                                                                            \
	{OPTION_FLAG, 0, 'u', how "tpm", &(u)->tpm}, {OPTION_TEXT, 0, 0, how "tpm-pin-file", &(u)->tpm_pin_file},      \
	{                                                                                                              \
		OPTION_TEXT, 0, 0, "tpm-tcti", &(u)->tpm_tcti                                                          \
	}
/* Where the key service is, beside a file that says so.  p: a struct service_place. */
#define OPTIONS_PLACE(p)                                                                                               \
	{OPTION_TEXT, 0, 0, "service", &(p)->urls}, {OPTION_TEXT, 0, 0, "ca", &(p)->ca},                               \
		{OPTION_TEXT, 0, 0, "cert", &(p)->cert},                                                               \
	{                                                                                                              \
		OPTION_TEXT, 0, 0, "key", &(p)->key                                                                    \
	}
/* Where a KMIP server is; to unlock a file says it. */
#define OPTIONS_KMIP_PLACE(p)                                                                                          \
	{OPTION_TEXT, 0, 0, "kmip", &(p)->urls}, {OPTION_TEXT, 0, 0, "kmip-ca", &(p)->ca},                             \
		{OPTION_TEXT, 0, 0, "kmip-cert", &(p)->cert},                                                          \
	{                                                                                                              \
		OPTION_TEXT, 0, 0, "kmip-private-key", &(p)->key                                                       \
	}
/* Where that of something new comes from: a certificate in the place of a private key. */
#define OPTIONS_FIRST_SECRET(u)                                                                                        \
	OPTIONS_SECRET(u), OPTIONS_PLACE(&(u)->service), {OPTION_TEXT, 0, 'u', "certificate", &(u)->certificate},      \
		{OPTION_TEXT, 0, 'u', "service-key", &(u)->service_key}, OPTIONS_TOKEN(u, "pin-file", 0),              \
		{OPTION_TEXT, 0, 'u', "pkcs11", &(u)->pkcs11}, OPTIONS_TPM(u, ""),                                     \
		{OPTION_TEXT, 0, 0, "pcrs", &(u)->pcrs}, {OPTION_TEXT, 0, 'u', "kmip-key", &(u)->kmip_key},            \
		OPTIONS_KMIP_PLACE(&(u)->kmip), {OPTION_TEXT, 0, 0, "kmip-config", &(u)->kmip.file},                   \
	{                                                                                                              \
		OPTION_TEXT, 0, 0, "service-config", &(u)->service.file                                                \
	}
/* The same options at every verb that unlocks: that, and what the user vouches for.  `how` stands before the names of those that elsewhere in
 * the verb have another meaning. */
#define OPTIONS_UNLOCK(u) OPTIONS_PLACE(&(u)->service), OPTIONS_UNLOCK_BESIDE(u, "")
#define OPTIONS_UNLOCK_BESIDE(u, how)                                                                                  \
	OPTIONS_SECRET(u), OPTIONS_IDENTITY(u), OPTIONS_TOKEN(u, how "pin-file", 'u'), OPTIONS_TPM(u, how),            \
		{OPTION_TEXT, 0, 'u', "service-config", &(u)->service.file},                                           \
		{OPTION_TEXT, 0, 'u', "kmip-config", &(u)->kmip.file},                                                 \
		{OPTION_FLAG, 0, 0, "accept-older-keyring", &(u)->accept_older},                                       \
	{                                                                                                              \
		OPTION_TEXT, 0, 0, "expect-root", &(u)->expect_root                                                    \
	}

/* The same for a second keyring. */
#define OPTIONS_UNLOCK_TO(u)                                                                                           \
	{OPTION_TEXT, 0, 't', "to-passphrase-file", &(u)->passphrase_file},                                            \
		{OPTION_NUMBER, 0, 't', "to-passphrase-fd", &(u)->passphrase_fd},                                      \
		{OPTION_TEXT, 0, 't', "to-passphrase-command", &(u)->passphrase_command},                              \
		{OPTION_TEXT, 0, 't', "to-key-file", &(u)->key_file},                                                  \
		{OPTION_TEXT, 0, 't', "to-credential", &(u)->credential},                                              \
		{OPTION_TEXT, 0, 't', "to-identity", &(u)->identity},                                                  \
		{OPTION_TEXT, 0, 0, "to-identity-passphrase-file", &(u)->identity_passphrase_file},                    \
		{OPTION_FLAG, 0, 0, "to-accept-older-keyring", &(u)->accept_older},                                    \
	{                                                                                                              \
		OPTION_TEXT, 0, 0, "to-expect-root", &(u)->expect_root                                                 \
	}

/* The words that are no options. */
struct words {
	int count;
	char **at;
};

enum { OPTIONS_HELP = 1 };

/* Reads argv (argv[0] is skipped) by `specs`, which ends with OPTION_END, and takes between min and max words.  Returns 0,
 * OPTIONS_HELP if --help was given and answered, or -EINVAL and EXIT_USAGE. */
int options_parse(const struct verb *v, int argc, char **argv, const struct option_spec *specs, int min, int max,
		  struct words *words, struct fault *why) MUST_CHECK;

/* Takes the command behind "--" off the arguments; NULL if there is none. */
char **options_split_command(int *argc, char **argv);

#endif
