/* The synopsis and the text of `coffer field VERB --help`; coffer-field(1) says more. */
#ifndef COFFER_CLI_HELP_FIELD_H
#define COFFER_CLI_HELP_FIELD_H

#include "util/cli/help.h"

#define HELP_FIELD_KEYRING                                                                                             \
	"  --keyring DIR|FILE      the volume whose keyring is used, or a keyring; else the rules name "               \
	"it\n" HELP_UNLOCK
#define HELP_FIELD_FORMAT                                                                                              \
	"  --format F              else told by the name: json jsonl yaml xml csv ini toml env properties\n"           \
	"  --name FILE             what standard input is called, for rules and format\n"                              \
	"  --lenient               JSON with comments and trailing commas\n"                                           \
	"  --no-header             CSV whose first row is data; columns are 1, 2, ...\n"                               \
	"  --separator C           CSV: one character, or \\t\n"                                                       \
	"  --dialect D             INI: git, systemd or php\n"
#define HELP_FIELD_BINDING                                                                                             \
	"  --rules FILE            else .coffer-fields.yaml beside FILE or above\n"                                    \
	"  --bind keys|path|record:COLUMN|none   what a token is tied to; keys without it\n"                           \
	"  --context TEXT          and to this environment\n"

#define ARGUMENTS_FIELD_ENCRYPT                                                                                        \
	"FILE... [--path P,... | --key-regex R | --rules FILE] [-i | -o OUT]\n"                                        \
	"         [--mode random|deterministic|sealed] [--domain D] [--pubkey F]\n"                                    \
	"         [--bind B] [--context C] [--format F] [--lenient]"
#define HELP_FIELD_ENCRYPT                                                                                             \
	"Puts a token in the place of each chosen value (all, if nothing chooses) and changes nothing else.  What "    \
	"is a\ntoken already stays.  To standard output, unless -i or -o is given; FILE may be -.\n\n"                 \
	"  -i, --in-place          replaces FILE, atomically\n"                                                        \
	"  -o, --output OUT        writes there\n"                                                                     \
	"  --path P,...            a.b[1], a.\"x.y\", a.*.c, **.c, %1:a, /r/b[2]/@x; a container means all below\n"    \
	"  --key-regex R           what stands below a key that matches\n"                                             \
	"  --mode M                random; deterministic: equal values stay equal; sealed\n"                           \
	"  --domain D              of deterministic tokens; see field domain\n"                                        \
	"  --pubkey F              seals to the public key in F; no keyring is needed\n"                               \
	"  --pad N                 hides lengths up to multiples of N; 16 without it\n" HELP_FIELD_BINDING             \
		HELP_FIELD_FORMAT HELP_FIELD_KEYRING "\nexample:\n"                                                    \
	"  coffer field encrypt config.yaml --path db.password -i --keyring ~/vault\n"

#define ARGUMENTS_FIELD_DECRYPT                                                                                        \
	"FILE... [--path P,... | --key-regex R | --rules FILE] [-i | -o OUT]\n"                                        \
	"         [--bind B] [--context C] [--format F] [--lenient] [--keep-going]"
#define HELP_FIELD_DECRYPT                                                                                             \
	"Puts the values back, byte for byte.  A token that was moved, cut or changed is an error, and nothing is "    \
	"written.\n\n"                                                                                                 \
	"  -i, --in-place          replaces FILE, atomically\n"                                                        \
	"  -o, --output OUT        writes there\n"                                                                     \
	"  --path P,...            only these; see field encrypt\n"                                                    \
	"  --key-regex R           only what stands below a key that matches\n"                                        \
	"  --mode sealed           accepts sealed tokens, which anyone may have written\n"                             \
	"  --keep-going            leaves what does not open; exit status 1\n" HELP_FIELD_BINDING HELP_FIELD_FORMAT    \
		HELP_FIELD_KEYRING "\nexample:\n"                                                                      \
	"  coffer field decrypt config.yaml --keyring ~/vault | less\n"

#define ARGUMENTS_FIELD_GET "FILE PATH [--raw]"
#define HELP_FIELD_GET                                                                                                 \
	"Prints one value, without quotes and escapes, and a newline.\n\n"                                             \
	"  --raw                   without the newline\n"                                                              \
	"  --mode sealed           accepts a sealed token\n" HELP_FIELD_BINDING HELP_FIELD_FORMAT HELP_FIELD_KEYRING   \
	"\nexample:\n"                                                                                                 \
	"  coffer field get config.yaml db.password --keyring ~/vault\n"

#define ARGUMENTS_FIELD_SET "FILE PATH [--raw] [--type string|number|bool|null] < VALUE"
#define HELP_FIELD_SET                                                                                                 \
	"Replaces one value by what standard input gives, or asks for it.  A token stays a token, and an unchanged "   \
	"value\nkeeps it.  A value in clear stays in clear unless the rules want it encrypted.\n\n"                    \
	"  --raw                   a newline at the end of the input belongs to the value\n"                           \
	"  --type T                else as it was\n"                                                                   \
	"  --mode M, --domain D, --pad N   as of field encrypt; a token stays of its mode and domain\n"                \
	"  --pubkey F              seals to the public key in F, without looking at the old "                          \
	"value\n" HELP_FIELD_BINDING HELP_FIELD_FORMAT HELP_FIELD_KEYRING "\nexample:\n"                               \
	"  pwgen 20 1 | coffer field set config.yaml db.password --keyring ~/vault\n"

#define ARGUMENTS_FIELD_LIST "FILE [--format F]"
#define HELP_FIELD_LIST                                                                                                \
	"One line for each value: path, mode (or clear), generation, keyring id; never the value.  Needs no secret.\n" \
	"\n"                                                                                                           \
	"  --rules FILE            as of field encrypt\n" HELP_FIELD_FORMAT "\nexample:\n"                             \
	"  coffer field list config.yaml\n"

#define ARGUMENTS_FIELD_CHECK "FILE... [--path P,... | --key-regex R | --rules FILE]"
#define HELP_FIELD_CHECK                                                                                               \
	"Exit status 1 if a value that should be encrypted stands in clear.  Needs no secret.\n\n"                     \
	"  --path P,...            these should be encrypted; without a choice all\n"                                  \
	"  --key-regex R           what stands below a key that matches\n"                                             \
	"  --rules FILE            else .coffer-fields.yaml beside FILE or above\n" HELP_FIELD_FORMAT "\nexample:\n"   \
	"  coffer field check config.yaml secrets/*.json\n"

#define ARGUMENTS_FIELD_ROTATE "[FILE...] [--domain D] [--keep-going]"
#define HELP_FIELD_ROTATE                                                                                              \
	"Encrypts every token anew that is not of the active generation, in place.  Deterministic tokens stay with "   \
	"the\ngeneration of their domain.\n\n"                                                                         \
	"  --domain D              moves the domain D to the active generation, and its tokens in FILE with it\n"      \
	"  --keep-going            leaves what does not open; exit status 1\n" HELP_FIELD_BINDING HELP_FIELD_FORMAT    \
		HELP_FIELD_KEYRING "\nexample:\n"                                                                      \
	"  coffer field rotate config.yaml customers.csv --keyring ~/vault\n"

#define ARGUMENTS_FIELD_MIGRATE "FILE... --to-keyring DIR [--keep-going]"
#define HELP_FIELD_MIGRATE                                                                                             \
	"Moves every token from one keyring to another, in place.\n\n"                                                 \
	"  --to-keyring DIR|FILE   the new keyring\n"                                                                  \
	"  --to-key-file F, --to-identity KEY.pem, ...   its secret, else asked for: every option that unlocks,\n"     \
	"                          with to- in front\n"                                                                \
	"  --keep-going            leaves what does not open; exit status 1\n" HELP_FIELD_BINDING HELP_FIELD_FORMAT    \
		HELP_FIELD_KEYRING "\nexample:\n"                                                                      \
	"  coffer field migrate customers.csv --keyring ~/test --to-keyring ~/production\n"

#define ARGUMENTS_FIELD_DOMAIN "create NAME | list"
#define HELP_FIELD_DOMAIN                                                                                              \
	"Domains of deterministic tokens: equal values of one domain have equal tokens.  `create` pins a new one to "  \
	"the\nactive generation; `list` shows them and their generations.\n\n" HELP_FIELD_KEYRING "\nexample:\n"       \
	"  coffer field domain create customer-mail --keyring ~/vault\n"

#define ARGUMENTS_FIELD_PUBKEY ""
#define HELP_FIELD_PUBKEY                                                                                              \
	"Prints the public key of the active generation: who has it can write sealed tokens, and read "                \
	"none.\n\n" HELP_FIELD_KEYRING "\nexample:\n"                                                                  \
	"  coffer field pubkey --keyring ~/vault > vault.pub\n"

#define ARGUMENTS_FIELD_EDIT "FILE"
#define HELP_FIELD_EDIT                                                                                                \
	"Opens $VISUAL or $EDITOR on the clear text, which lies in memory (tmpfs) only, and encrypts again what was "  \
	"changed.\n\n" HELP_FIELD_BINDING HELP_FIELD_FORMAT HELP_FIELD_KEYRING "\nexample:\n"                          \
	"  coffer field edit config.yaml --keyring ~/vault\n"

#define ARGUMENTS_FIELD_EXEC "FILE [--files] [--path P,...] -- COMMAND"
#define HELP_FIELD_EXEC                                                                                                \
	"Runs COMMAND with each value of FILE as a variable: db.password is db_password, a[0] is a_0.\n\n"             \
	"  --files                 the variables hold paths (/dev/fd/N) to read the values from\n"                     \
	"  --path P,...            only these; see field encrypt\n"                                                    \
	"  --mode sealed           accepts sealed tokens\n" HELP_FIELD_BINDING HELP_FIELD_FORMAT HELP_FIELD_KEYRING    \
	"\nexample:\n"                                                                                                 \
	"  coffer field exec .env --keyring ~/vault -- ./server\n"

#define ARGUMENTS_FIELD_TEXTCONV "FILE"
#define HELP_FIELD_TEXTCONV                                                                                            \
	"Prints FILE decrypted, for git diff; what does not open stays a token.  docs/fields.md has the "              \
	"recipe.\n\n" HELP_FIELD_BINDING HELP_FIELD_FORMAT HELP_FIELD_KEYRING "\nexample:\n"                           \
	"  git config diff.coffer.textconv 'coffer field textconv'\n"

#define ARGUMENTS_FIELD_MERGE "BASE OURS THEIRS PATH"
#define HELP_FIELD_MERGE                                                                                               \
	"A merge driver for git: merges the clear texts in memory and encrypts the result into OURS.  Conflicts are "  \
	"shown\nencrypted, with exit status 1.\n\n" HELP_FIELD_BINDING HELP_FIELD_FORMAT HELP_FIELD_KEYRING            \
	"\nexample:\n"                                                                                                 \
	"  git config merge.coffer.driver 'coffer field merge %O %A %B %P'\n"

#define ARGUMENTS_FIELD_CLEAN "PATH < TEXT"
#define HELP_FIELD_CLEAN                                                                                               \
	"A clean filter for git: encrypts standard input by the rules for PATH; a value that did not change keeps "    \
	"the\ntoken that git has.  docs/fields.md has the recipe.\n\n" HELP_FIELD_BINDING HELP_FIELD_FORMAT            \
		HELP_FIELD_KEYRING "\nexample:\n"                                                                      \
	"  git config filter.coffer.clean 'coffer field clean %f'\n"

#define ARGUMENTS_FIELD_AGENT "[--time T] [--idle T] [-f] | --status | --stop"
#define HELP_FIELD_AGENT                                                                                               \
	"Holds the keys of the keyring in memory, so that this user's other verbs need not ask: they hand it values "  \
	"and\ntokens, and get no key.  It ends with its time, when the keyring changes, or when told to.\n\n"          \
	"  --time T                how long it lives: 10m, 8h, 2d; 12h without it\n"                                   \
	"  --idle T                how long without being asked; 1h without it\n"                                      \
	"  -f, --foreground        stays in the foreground\n"                                                          \
	"  --status                shows its process and what time is left\n"                                          \
	"  --stop                  ends it\n" HELP_FIELD_KEYRING "\nexample:\n"                                        \
	"  coffer field agent --keyring ~/vault\n"

#define ARGUMENTS_FIELD_INIT ""
#define HELP_FIELD_INIT                                                                                                \
	"Writes .coffer-fields.yaml here, with comments: the rules that say which values of which files are "          \
	"encrypted.\n\nexample:\n"                                                                                     \
	"  cd ~/project && coffer field init\n"

#endif
