/* The synopsis and the text of `coffer VERB --help`, for each verb.  The manual pages say more; tests/cli compares the synopses. */
#ifndef COFFER_CLI_HELP_H
#define COFFER_CLI_HELP_H

#define HELP_UNLOCK HELP_UNLOCK_BY("--pin-file F          ", "--tpm                 ", "--tpm-pin-file", HELP_PLACE)
#define HELP_PLACE                                                                                                     \
	"  --service URL[,URL], --ca F, --cert F, --key F\n"                                                           \
	"                          the same without a file, or in the place of some of its lines\n"
/* Where the usual names are about what is added. */
#define HELP_UNLOCK_KEYS HELP_UNLOCK_BY("--unlock-pin-file F   ", "--unlock-tpm          ", "--unlock-tpm-pin-file", "")
/* The first two padded to a column. */
#define HELP_UNLOCK_BY(pin, tpm, tpm_pin, place)                                                                       \
	"to unlock (else the passphrase, or a recovery key, is asked for):\n"                                          \
	"  --passphrase-file F     its contents, without one newline at the end; - is standard input\n"                \
	"  --passphrase-fd N       the same, from an open descriptor\n"                                                \
	"  --passphrase-command C  the same, from what /bin/sh -c C prints\n"                                          \
	"  --key-file F            a file of random bytes\n"                                                           \
	"  --identity KEY.pem      the private key of a certificate that protects it\n"                                \
	"  --identity-passphrase-file F\n"                                                                             \
	"                          its passphrase, if it has one; else that is asked for\n"                            \
	"  " pin "  the PIN of a PKCS #11 token that protects it; it is asked for where no passphrase "                \
	"does\n"                                                                                                       \
	"  --pkcs11-module PATH    the token's driver; else those that p11-kit knows\n"                                \
	"  " tpm "  what is sealed in the TPM; " tpm_pin " F: its PIN, if it has one;\n"                               \
	"                          --tpm-tcti T: another TPM than /dev/tpmrm0, as tpm2-tss names it\n"                 \
	"  --credential NAME       a passphrase from systemd's $CREDENTIALS_DIRECTORY\n"                               \
	"  --service-config F      the key service, reached as F says; without an option it is asked, if it protects " \
	"the volume\n" place                                                                                           \
	"  --kmip-config F         a KMIP server, reached as F says; without an option likewise\n"                     \
	"  --accept-older-keyring  although this host has seen a newer one\n"                                          \
	"  --expect-root HEX       only if the volume has the root of this fingerprint\n"

/* For verbs that need no secret. */
#define HELP_UNLOCK_IGNORED "The options that unlock are taken, and not needed.\n\n"

#define ARGUMENTS_INIT                                                                                                 \
	"DIR [--passphrase-file F | --key-file F | --certificate CERT.pem | --service-key NAME\n"                      \
	"         | --pkcs11 URI [--pin-file F] [--pkcs11-module PATH] | --tpm [--pcrs LIST] [--tpm-pin-file F]\n"     \
	"         | --kmip HOST[:PORT] --kmip-key ID [--kmip-ca F] [--kmip-cert F] [--kmip-private-key F]]\n"          \
	"         [--cipher aes-256-ocb|aes-256-gcm|chacha20-poly1305|auto] [--portable]\n"                            \
	"         [--journal-size N] [--no-recovery-key | --recovery-key-file OUT] [--json]"
#define HELP_INIT                                                                                                      \
	"Makes DIR (new, or empty) a volume and prints its fingerprint.  On a terminal a recovery key is shown "       \
	"once.\n\n"                                                                                                    \
	"  --cipher C              auto: aes-256-ocb, or chacha20-poly1305 where the processor has no AES\n"           \
	"  --portable              for stores without symbolic links (vfat, exfat)\n"                                  \
	"  --journal-size N        bytes, or with K, M, G; else chosen by the free space\n"                            \
	"  --recovery-key-file OUT writes the recovery key to OUT, a new file\n"                                       \
	"  --no-recovery-key       makes none: a forgotten passphrase then loses the data\n"                           \
	"  --json                  for programs\n\n"                                                                   \
	"the first secret (else a passphrase is asked for, twice):\n"                                                  \
	"  --passphrase-file F | --passphrase-fd N | --passphrase-command C | --key-file F | --credential NAME\n"      \
	"  --certificate CERT.pem  opened by its private key\n"                                                        \
	"  --service-key NAME      opened by the key service, of which --service-config F or\n"                        \
	"                          /etc/coffer/service.conf says where it is; nobody holds a secret, and no recovery " \
	"key is made\n" HELP_PLACE                                                                                     \
	"  --pkcs11 URI            opened by this AES-256 key in a PKCS #11 token and its PIN: --pin-file F, else "    \
	"asked\n"                                                                                                      \
	"                          for; --pkcs11-module PATH is the token's driver, else those that p11-kit knows\n"   \
	"  --tpm                   opened by this machine's TPM, while the PCRs of --pcrs LIST (default 7) stay as "   \
	"they\n"                                                                                                       \
	"                          are, and with the PIN of --tpm-pin-file F if one is given; --tpm-tcti T\n"          \
	"  --kmip-key ID           opened by this AES-256 key in the KMIP server of --kmip HOST[:PORT][,...];\n"       \
	"                          --kmip-ca F, --kmip-cert F and --kmip-private-key F say how; what is not given\n"   \
	"                          is read from --kmip-config F, else /etc/coffer/kmip.conf\n\n"                       \
	"example:\n"                                                                                                   \
	"  coffer init ~/vault\n"                                                                                      \
	"  coffer init /srv/vault --key-file /root/vault.key --recovery-key-file /media/usb/vault.recovery\n"

#define ARGUMENTS_MOUNT "DIR MNT [-f] [-o OPTIONS] [--grace TIME]"
#define HELP_MOUNT                                                                                                     \
	"Mounts the volume DIR at the directory MNT.  Returns when the mount answers; a daemon serves it.\n\n"         \
	"  -f, --foreground        stay; end when it is unmounted\n"                                                   \
	"  --grace TIME            as -o grace=TIME: how long it goes on while its key service is not reached (8h)\n"  \
	"  -o OPTIONS              as of mount(8): ro, allow_other, noexec, noatime ...; and idle=SECONDS, "           \
	"commit=SECONDS,\n"                                                                                            \
	"                          writeback, noxattr, noperm, io_uring, memory=SIZE, metrics=F, journal=SIZE, "       \
	"nojournal, "                                                                                                  \
	"oldcopy,\n"                                                                                                   \
	"                          passphrase_file=F, key_file=F,\n"                                                   \
	"                          shared_store[=SECONDS] (others may change the store meanwhile),\n"                  \
	"                          identity=F, identity_passphrase_file=F, pin_file=F, pkcs11_module=PATH,\n"          \
	"                          tpm, tpm_pin_file=F, tpm_tcti=T,\n"                                                 \
	"                          passphrase_command=C, credential=NAME, accept_older_keyring, "                      \
	"root=HEX\n\n" HELP_UNLOCK "\nexample:\n"                                                                      \
	"  coffer mount ~/vault ~/plain\n"                                                                             \
	"  coffer mount /srv/vault /mnt/plain --key-file /root/vault.key -o allow_other,noexec\n"

#define ARGUMENTS_UMOUNT "MNT"
#define HELP_UMOUNT                                                                                                    \
	"Unmounts MNT, and waits until everything is written and the volume is free.  Also clears a dead mount.\n\n"   \
	"example:\n"                                                                                                   \
	"  coffer umount ~/plain\n"

#define ARGUMENTS_STATUS "[DIR|MNT] [--size | --watch [--interval SECONDS] [--count N]] [--json]"
#define HELP_STATUS                                                                                                    \
	"Prints what can be told without a secret.  Without DIR: the volumes that are mounted.\n\n"                    \
	"  --size                  also adds up what the volume takes on the disk (walks through it)\n"                \
	"  --watch                 what the mount does, a line a second (--interval), until it ends (or --count "      \
	"lines)\n"                                                                                                     \
	"  --json                  for programs\n\n"                                                                   \
	"example:\n"                                                                                                   \
	"  coffer status ~/vault\n"                                                                                    \
	"  coffer status ~/vault --json | jq .mounted\n"

#define ARGUMENTS_CHECK "DIR [--deep] [--repair | --no-recover] [--json]"
#define HELP_CHECK                                                                                                     \
	"Checks an unmounted volume: names, id records, heads of files.  After a crash the journal is brought in "     \
	"place first,\nas by a mount.  Exit status 4 if damage stays, 1 if all of it was mended.\n\n"                  \
	"  --deep                  opens every page of every file\n"                                                   \
	"  --repair                mends what can be mended\n"                                                         \
	"  --no-recover            changes nothing at all: files in the journal are not judged\n"                      \
	"  --json                  for programs\n\n" HELP_UNLOCK "\nexample:\n"                                        \
	"  coffer check ~/vault --deep\n"

#define ARGUMENTS_FREEZE "DIR|MNT [--timeout SECONDS] [-- COMMAND...]"
#define HELP_FREEZE                                                                                                    \
	"Writes everything of a mounted volume in place and holds later changes back, so that a backup of DIR is "     \
	"of\none moment.  Reading goes on.\n\n"                                                                        \
	"  --timeout SECONDS       thaws by itself after so long; 60 without it\n"                                     \
	"  -- COMMAND...           runs COMMAND, thaws when it ends, and exits with its status; or with 1 if the\n"    \
	"                          freeze was over before\n\n"                                                         \
	"example:\n"                                                                                                   \
	"  coffer freeze ~/vault --timeout 600 -- tar -C ~ -cf /media/usb/vault.tar vault\n"

#define ARGUMENTS_THAW "DIR|MNT"
#define HELP_THAW                                                                                                      \
	"Ends the freeze of a mounted volume.  Exit status 13 if it is not frozen (any more).\n\n"                     \
	"example:\n"                                                                                                   \
	"  coffer thaw ~/vault\n"

#define ARGUMENTS_LOCK "MNT|--all"
#define HELP_LOCK                                                                                                      \
	"Takes the keys away from a mount that stays, and from the kernel's caches what they opened.  Programs go "    \
	"on\n"                                                                                                         \
	"and get \"Required key not available\" until the mount is unlocked.  What they wrote is in place before.\n\n" \
	"  --all                   every mount of yours; of a root also those of others\n\n"                           \
	"example:\n"                                                                                                   \
	"  coffer lock ~/plain\n"

#define ARGUMENTS_UNLOCK "MNT"
#define HELP_UNLOCK_VERB                                                                                               \
	"Brings the keys back to a mount that is locked: programs go on where they were.\n\n" HELP_UNLOCK              \
	"\nexample:\n"                                                                                                 \
	"  coffer unlock ~/plain\n"

/* For verbs that the rule of `key policy set --require` is about. */
#define HELP_APPROVAL                                                                                                  \
	"  --share F               where holders of shares have to agree (see key policy set): a file with a\n"        \
	"                          share, once for each of them\n"

#define ARGUMENTS_ERASE "DIR [--yes] [--share F ...]"
#define HELP_ERASE                                                                                                     \
	"Destroys every wrapped key of the volume, after a typed confirmation.  Nothing opens the data any more,\n"    \
	"except a copy of .coffer/keyring.json kept elsewhere, with a secret for it.\n\n"                              \
	"  --yes                   do not ask\n" HELP_APPROVAL "\nexample:\n"                                          \
	"  coffer erase ~/old-vault\n"

#define ARGUMENTS_PATH "DIR|MNT [--decrypt] PATH"
#define HELP_PATH                                                                                                      \
	"Prints where PATH of the mount lies in the volume; with --decrypt what the backing PATH is in the "           \
	"mount.\n\n" HELP_UNLOCK "\nexample:\n"                                                                        \
	"  coffer path ~/vault letters/anna.txt\n"                                                                     \
	"  coffer path ~/vault --decrypt data/Qm9.../zXc...\n"

#define ARGUMENTS_ADOPT "DIR [--json]"
#define HELP_ADOPT                                                                                                     \
	"Makes a copy of a volume a volume of its own, with an instance id of its own: both can then be mounted at\n"  \
	"once, and hosts tell them apart.  Brings the journal in place first.\n\n"                                     \
	"  --json                  for programs\n\n" HELP_UNLOCK "\nexample:\n"                                        \
	"  cp -a ~/vault ~/copy && coffer adopt ~/copy\n"

#define ARGUMENTS_KEY_INIT                                                                                             \
	"FILE [--passphrase-file F | --key-file F | --certificate CERT.pem | --service-key NAME]\n"                    \
	"       [--no-recovery-key | --recovery-key-file OUT] [--json]"
#define HELP_KEY_INIT                                                                                                  \
	"Makes a keyring that stands alone, without a volume, for encrypted fields.  The verbs of key and field\n"     \
	"take FILE in the place of DIR.  FILE.bak, FILE.lock and FILE.audit belong to it.\n\n"                         \
	"  --recovery-key-file OUT writes the recovery key to OUT, a new file\n"                                       \
	"  --no-recovery-key       makes none\n"                                                                       \
	"  --json                  for programs\n\n"                                                                   \
	"the first secret (else a passphrase is asked for, twice):\n"                                                  \
	"  --passphrase-file F | --passphrase-fd N | --passphrase-command C | --key-file F | --credential NAME\n"      \
	"  --certificate CERT.pem  opened by its private key\n"                                                        \
	"  --service-key NAME      opened by the key service, found as at coffer init\n"                               \
	"  --pkcs11 URI            opened by a key in a token, as at coffer init\n"                                    \
	"  --tpm                   opened by the TPM, as at coffer init (--pcrs, --tpm-pin-file)\n"                    \
	"  --kmip-key ID           opened by a key in a KMIP server, as at coffer init\n\n"                            \
	"example:\n"                                                                                                   \
	"  coffer key init ~/fields.keyring\n"

#define ARGUMENTS_KEY_LIST "DIR [--json]"
#define HELP_KEY_LIST                                                                                                  \
	"Lists the protectors of the volume and its generations of keys.  Needs no secret.\n\n"                        \
	"  --json                  for programs\n\n" HELP_UNLOCK_IGNORED "example:\n"                                  \
	"  coffer key list ~/vault\n"

#define ARGUMENTS_KEY_ADD                                                                                              \
	"DIR (--new-passphrase-file F | --new-key-file F | --certificate CERT.pem\n"                                   \
	"       | --service-key NAME [--new-service-config F] [--only]\n"                                              \
	"       | --pkcs11 URI [--pin-file F] [--pkcs11-module PATH]\n"                                                \
	"       | --tpm [--pcrs LIST] [--tpm-pin-file F]\n"                                                            \
	"       | --kmip HOST[:PORT] --kmip-key ID [--kmip-ca F] [--kmip-cert F] [--kmip-private-key F] [--only]\n"    \
	"       | --recovery-key [--recovery-key-file OUT]) [--json]"
#define HELP_KEY_ADD                                                                                                   \
	"Adds a protector: one more secret that opens the volume.  Without one of these a passphrase is asked "        \
	"for.\n\n"                                                                                                     \
	"  --new-passphrase-file F the new passphrase\n"                                                               \
	"  --new-key-file F        the new key file\n"                                                                 \
	"  --certificate CERT.pem  an X.509 certificate of an RSA or EC key; --identity KEY.pem unlocks then\n"        \
	"  --service-key NAME      a key of the key service, which then can lock mounts opened by it\n"                \
	"  --new-service-config F  where that service is; else /etc/coffer/service.conf\n" HELP_PLACE                  \
	"  --only                  takes all other protectors away, which the service cannot lock\n"                   \
	"  --pkcs11 URI            an AES-256 key in a PKCS #11 token, such as 'pkcs11:token=hsm;object=vault'\n"      \
	"  --pin-file F            its PIN, else asked for\n"                                                          \
	"  --tpm                   this machine's TPM, as long as the PCRs of --pcrs LIST stay as they are now\n"      \
	"  --pcrs LIST             such as 7,11; default 7; none: only the PIN\n"                                      \
	"  --tpm-pin-file F        and a PIN, at most 32 bytes\n"                                                      \
	"  --kmip-key ID           an AES-256 key in the KMIP server of --kmip HOST[:PORT][,...], which locks "        \
	"mounts\n"                                                                                                     \
	"                          opened by it when it is revoked; --kmip-ca F, --kmip-cert F, --kmip-private-key "   \
	"F,\n"                                                                                                         \
	"                          else as --new-kmip-config F or /etc/coffer/kmip.conf says\n"                        \
	"  --recovery-key          makes a recovery key and shows it once,\n"                                          \
	"  --recovery-key-file OUT or writes it to OUT, a new file\n"                                                  \
	"  --json                  for programs\n\n" HELP_UNLOCK_KEYS "\nexample:\n"                                   \
	"  head -c 64 /dev/urandom > ~/vault.key && coffer key add ~/vault --new-key-file ~/vault.key\n"

#define ARGUMENTS_KEY_REMOVE "DIR ID [--json]"
#define HELP_KEY_REMOVE                                                                                                \
	"Removes the protector ID (see key list).  The last one cannot be removed.  Whoever kept an old copy of the\n" \
	"keyring and the secret can still open that copy.\n\n"                                                         \
	"  --json                  for programs\n\n" HELP_UNLOCK "\nexample:\n"                                        \
	"  coffer key remove ~/vault 2\n"

#define ARGUMENTS_KEY_PASSWD "DIR [--new-passphrase-file F] [--json]"
#define HELP_KEY_PASSWD                                                                                                \
	"Replaces the passphrase that opens: adds the new one, proves that it opens, removes the old one.\n\n"         \
	"  --new-passphrase-file F the new passphrase; else it is asked for, twice\n"                                  \
	"  --json                  for programs\n\n" HELP_UNLOCK "\nexample:\n"                                        \
	"  coffer key passwd ~/vault\n"

#define ARGUMENTS_KEY_TEST "DIR [--json]"
#define HELP_KEY_TEST                                                                                                  \
	"Says which protector the secret opens, and how long that takes.  Changes nothing.\n\n" HELP_UNLOCK            \
	"\nexample:\n"                                                                                                 \
	"  coffer key test ~/vault --key-file ~/vault.key\n"

#define ARGUMENTS_KEY_ROTATE                                                                                           \
	"DIR [--scope NAME | --root [--keep-passphrase-file F ...] [--keep-key-file F ...]\n"                          \
	"       [--keep-certificate F ...] [--keep-pin-file F ...] [--share F ...]] [--json]"
#define HELP_KEY_ROTATE                                                                                                \
	"Makes a new generation of keys, under which everything is sealed that is written from now on.  Older ones\n"  \
	"go on decrypting.  DIR may also be the mount, here and at every verb of key.\n\n"                             \
	"  --scope NAME            default (all files that are in no other), fields, or one that was made\n"           \
	"  --root                  makes a new root besides, and new generations in every scope: cuts off who once\n"  \
	"                          knew a secret that is gone and kept a copy of the keyring.  Protectors stay only\n" \
	"                          if their secret is given: the one that unlocks, and\n"                              \
	"  --keep-passphrase-file F, --keep-key-file F\n"                                                              \
	"                          the others, once for each (a recovery key is a passphrase here)\n"                  \
	"  --keep-certificate F    and certificates, whose private keys need not be at hand\n"                         \
	"  --keep-pin-file F       and tokens, which have to be there\n" HELP_APPROVAL                                 \
	"  --json                  for programs\n\n" HELP_UNLOCK "\nexample:\n"                                        \
	"  coffer key rotate ~/vault\n"                                                                                \
	"  coffer key rotate ~/vault --root --keep-passphrase-file /media/usb/vault.recovery\n"

#define ARGUMENTS_KEY_SUSPEND "DIR GENERATION [--json]"
#define HELP_KEY_SUSPEND                                                                                               \
	"Suspends a generation: what is under it can neither be read nor written, until it is resumed.  Of the\n"      \
	"active one a successor is made first.\n\n"                                                                    \
	"  --json                  for programs\n\n" HELP_UNLOCK "\nexample:\n"                                        \
	"  coffer key suspend ~/vault 3\n"

#define ARGUMENTS_KEY_RESUME "DIR GENERATION [--json]"
#define HELP_KEY_RESUME                                                                                                \
	"Lets a suspended generation decrypt again.\n\n"                                                               \
	"  --json                  for programs\n\n" HELP_UNLOCK "\nexample:\n"                                        \
	"  coffer key resume ~/vault 3\n"

#define ARGUMENTS_KEY_DEACTIVATE "DIR GENERATION [--json]"
#define HELP_KEY_DEACTIVATE                                                                                            \
	"Lets a generation decrypt only.  Of the active one a successor is made first.\n\n"                            \
	"  --json                  for programs\n\n" HELP_UNLOCK "\nexample:\n"                                        \
	"  coffer key deactivate ~/vault 3\n"

#define ARGUMENTS_KEY_COMPROMISE "DIR GENERATION [--json]"
#define HELP_KEY_COMPROMISE                                                                                            \
	"Notes that somebody else may know a generation: it decrypts only, and is to be re-encrypted soon.  Of the\n"  \
	"active one a successor is made first.  There is no way back.\n\n"                                             \
	"  --json                  for programs\n\n" HELP_UNLOCK "\nexample:\n"                                        \
	"  coffer key compromise ~/vault 3\n"

#define ARGUMENTS_KEY_FLOOR "DIR GENERATION [--json]"
#define HELP_KEY_FLOOR                                                                                                 \
	"From now on nothing below GENERATION is accepted in its scope.  Refused in the scope of files while one of\n" \
	"them needs an older generation; in the scope of fields it is your word that no token is older.\n\n"           \
	"  --json                  for programs\n\n" HELP_UNLOCK "\nexample:\n"                                        \
	"  coffer key floor ~/vault 4\n"

#define ARGUMENTS_KEY_DESTROY "DIR GENERATION [--now] [--yes] [--scope NAME] [--share F ...] [--json]"
#define HELP_KEY_DESTROY                                                                                               \
	"Destroys the key of a generation that nothing needs any more.  For 30 days it only waits, and opens "         \
	"nothing;\nkey undelete brings it back.  After that the same command wipes it.\n\n"                            \
	"  --now                   wipes it at once, after its number was typed\n"                                     \
	"  --yes                   does not ask\n"                                                                     \
	"  --scope NAME            refuses if it is of another scope\n" HELP_APPROVAL                                  \
	"  --json                  for programs\n\n" HELP_UNLOCK "\nexample:\n"                                        \
	"  coffer key destroy ~/vault 3\n"

#define ARGUMENTS_KEY_UNDELETE "DIR GENERATION [--json]"
#define HELP_KEY_UNDELETE                                                                                              \
	"Takes back a destruction that still waits.\n\n"                                                               \
	"  --json                  for programs\n\n" HELP_UNLOCK "\nexample:\n"                                        \
	"  coffer key undelete ~/vault 3\n"

#define ARGUMENTS_KEY_AUDIT_SHOW "DIR [--json]"
#define HELP_KEY_AUDIT_SHOW                                                                                            \
	"Shows the audit log: who did what with the keys, and when.\n\n"                                               \
	"  --json                  for programs\n\n" HELP_UNLOCK "\nexample:\n"                                        \
	"  coffer key audit show ~/vault\n"

#define ARGUMENTS_KEY_AUDIT_VERIFY "DIR [--json]"
#define HELP_KEY_AUDIT_VERIFY                                                                                          \
	"Says whether every line of the audit log is there and as it was written.  Exit status 5 if not.\n\n"          \
	"  --json                  for programs\n\n" HELP_UNLOCK "\nexample:\n"                                        \
	"  coffer key audit verify ~/vault\n"

#define ARGUMENTS_KEY_AUDIT_EXPORT "DIR [-o FILE] [--json]"
#define HELP_KEY_AUDIT_EXPORT                                                                                          \
	"Writes the lines of the audit log as they are, and checks them.\n\n"                                          \
	"  -o, --output FILE       into a new file\n"                                                                  \
	"  --json                  with -o: says so for programs; the log itself is JSON, line by "                    \
	"line\n\n" HELP_UNLOCK "\nexample:\n"                                                                          \
	"  coffer key audit export ~/vault -o /srv/archive/vault-audit.jsonl\n"

#define ARGUMENTS_KEY_BACKUP                                                                                           \
	"DIR -o FILE [--backup-passphrase-file F | --backup-key-file F | --recipient CERT.pem\n"                       \
	"       | --shares K/N --share-dir D] [--share F ...]\n"                                                       \
	"       coffer key backup --verify FILE [DIR] [--backup-passphrase-file F | --backup-key-file F\n"             \
	"       | --backup-identity KEY.pem | --share F ...]"
#define HELP_KEY_BACKUP                                                                                                \
	"Writes all keys of the volume into FILE, under a secret of its own.  Without one of these a passphrase is\n"  \
	"asked for.  With --verify: proves that a backup opens and, with DIR, that it holds every generation that\n"   \
	"the volume needs; only then it counts as a backup.\n\n"                                                       \
	"  -o, --output FILE       a new file\n"                                                                       \
	"  --backup-passphrase-file F\n"                                                                               \
	"                          the backup's passphrase\n"                                                          \
	"  --backup-key-file F     the backup's key file\n"                                                            \
	"  --recipient CERT.pem    for whom has the private key of this certificate; --backup-identity KEY.pem\n"      \
	"                          (--backup-identity-passphrase-file F) opens it then\n"                              \
	"  --shares K/N            N shares, of which any K open the backup (SLIP-0039)\n"                             \
	"  --share-dir D           where they are written: words, and QR codes to print\n"                             \
	"  --verify                proves a backup\n"                                                                  \
	"  --share F               with --verify: a file with a share of the backup; once for each\n" HELP_APPROVAL    \
	"  --json                  for programs\n\n" HELP_UNLOCK "\nexample:\n"                                        \
	"  coffer key backup ~/vault -o /media/usb/vault.backup --shares 2/3 --share-dir /media/usb/shares\n"          \
	"  coffer key backup --verify /media/usb/vault.backup ~/vault\n"

#define ARGUMENTS_KEY_RESTORE                                                                                          \
	"DIR FILE [--backup-passphrase-file F | --backup-key-file F | --backup-identity KEY.pem | --share F ...]\n"    \
	"       [--new-passphrase-file F | --new-key-file F] [--json]"
#define HELP_KEY_RESTORE                                                                                               \
	"Restores the keyring of DIR from the backup FILE, if it is lost or older, or nobody knows its secrets any\n"  \
	"more.  Nothing goes back: what volume and backup hold is brought together.  A new secret opens it.\n\n"       \
	"  --backup-passphrase-file F\n"                                                                               \
	"                          the backup's passphrase; else it is asked for\n"                                    \
	"  --backup-key-file F     the backup's key file\n"                                                            \
	"  --backup-identity KEY.pem, --backup-identity-passphrase-file F\n"                                           \
	"                          the private key of the certificate that the backup is for\n"                        \
	"  --share F               a file with a share of the backup; once for each\n"                                 \
	"  --new-passphrase-file F the volume's new passphrase; else it is asked for, twice\n"                         \
	"  --new-key-file F        a key file instead\n"                                                               \
	"  --accept-older-keyring  also if the volume or this host knows a newer root\n"                               \
	"  --expect-root HEX       only if the backup has the root of this fingerprint\n"                              \
	"  --json                  for programs\n\n" HELP_UNLOCK_IGNORED "example:\n"                                  \
	"  coffer key restore ~/vault /media/usb/vault.backup --share s1.txt --share s3.txt\n"

#define ARGUMENTS_KEY_POLICY_SET                                                                                       \
	"DIR [--rotate-every TIME] [--rotate-after SIZE] [--retire-after TIME]\n"                                      \
	"       [--warn-backup-age TIME] [--require K|off --share F ...] [--json]"
#define HELP_KEY_POLICY_SET                                                                                            \
	"Sets what is to happen to the keys when time has passed or much was written.  What is not given stays.\n"     \
	"TIME is a number and h, d, w or y; SIZE a number and K, M, G or T; off takes a policy back.\n\n"              \
	"  --rotate-every TIME     a new active generation in every scope\n"                                           \
	"  --rotate-after SIZE     a new active generation of files when so much was written under one\n"              \
	"  --retire-after TIME     destroys generations below the floor so long after they were deactivated\n"         \
	"  --warn-backup-age TIME  status warns when the last verified backup is older\n"                              \
	"  --require K             destroying, backing up, erasing and a new root need K holders of shares of a\n"     \
	"                          verified backup that any K of them open; off needs them too\n"                      \
	"  --share F               with --require: a file with a share; once for each of them\n"                       \
	"  --json                  for programs\n\n" HELP_UNLOCK "\nexample:\n"                                        \
	"  coffer key policy set ~/vault --rotate-every 90d --warn-backup-age 100d\n"

#define ARGUMENTS_KEY_POLICY_SHOW "DIR [--json]"
#define HELP_KEY_POLICY_SHOW                                                                                           \
	"Shows the policies.  Needs no secret.\n\n"                                                                    \
	"  --json                  for programs, in seconds and bytes; 0 is off\n\n" HELP_UNLOCK_IGNORED "example:\n"  \
	"  coffer key policy show ~/vault\n"

#define ARGUMENTS_KEY_POLICY_RUN "DIR [--json]"
#define HELP_KEY_POLICY_RUN                                                                                            \
	"Does what is due by the policies, and wipes the keys of generations that have waited to be destroyed for\n"   \
	"30 days.  Writes nothing where nothing is due.\n\n"                                                           \
	"  --json                  for programs\n\n" HELP_UNLOCK "\nexample:\n"                                        \
	"  coffer key policy run /srv/vault --key-file /root/vault.key\n"

#define ARGUMENTS_KEY_REENCRYPT_START                                                                                  \
	"DIR [--wait] [--max-rate RATE] [--idle] [--touch] [--suspect TIME] [--scope NAME] [--json]"
#define HELP_KEY_REENCRYPT_START                                                                                       \
	"Moves everything on the volume to the active generation: contents, names, links, attributes.  A mounted\n"    \
	"volume is re-encrypted by its mount while programs go on; else it is done here, and Ctrl-C leaves the rest\n" \
	"to the next mount.  At the end nothing older is accepted any more.  Given again it changes the settings.\n\n" \
	"  --wait                  until it is done, with a progress bar (without a mount always)\n"                   \
	"  --max-rate RATE         bytes a second such as 20M; none: as fast as it goes.  Default: at full speed "     \
	"while\n"                                                                                                      \
	"                          nobody works on the mount, a sixteenth of the time otherwise\n"                     \
	"  --idle                  only while nobody asks the mount anything\n"                                        \
	"  --touch                 moves times of change by a nanosecond, for rsync of the volume\n"                   \
	"  --suspect TIME          first lists what changed since (2026-11-28, 2026-11-28T01:49:14Z, @SECONDS): who "  \
	"knew\n"                                                                                                       \
	"                          an old key may have planted it, and re-encryption carries it over\n"                \
	"  --scope NAME            only what is in this one; else everything, and a locked scope holds it up\n"        \
	"  --json                  for programs\n\n" HELP_UNLOCK "\nexample:\n"                                        \
	"  coffer key rotate ~/vault && coffer key reencrypt start ~/vault --wait\n"

#define ARGUMENTS_KEY_REENCRYPT "DIR [--json]"
#define HELP_KEY_REENCRYPT_PAUSE                                                                                       \
	"Holds the re-encryption up, also for mounts to come, until \"coffer key reencrypt resume\".\n\n"              \
	"  --json                  for programs\n\n" HELP_UNLOCK "\nexample:\n"                                        \
	"  coffer key reencrypt pause ~/vault\n"
#define HELP_KEY_REENCRYPT_STOP                                                                                        \
	"Ends the re-encryption where it is.  What is under older generations stays there and can be read.\n\n"        \
	"  --json                  for programs\n\n" HELP_UNLOCK "\nexample:\n"                                        \
	"  coffer key reencrypt stop ~/vault\n"

#define ARGUMENTS_KEY_REENCRYPT_RESUME "DIR [--wait] [--give-up FILE|all] [--json]"
#define HELP_KEY_REENCRYPT_RESUME                                                                                      \
	"Goes on after a pause.  A file that does not decrypt any more holds the end up: mend it, or give it up.\n\n"  \
	"  --wait                  until it is done, with a progress bar (without a mount always)\n"                   \
	"  --give-up FILE|all      moves it (a path as \"status\" shows it), or all of them, to .coffer/lost/\n"       \
	"  --json                  for programs\n\n" HELP_UNLOCK "\nexample:\n"                                        \
	"  coffer key reencrypt resume ~/vault --give-up /photos/broken.jpg\n"

#define ARGUMENTS_KEY_REENCRYPT_STATUS "DIR [--wait] [--json]"
#define HELP_KEY_REENCRYPT_STATUS                                                                                      \
	"Says how far the re-encryption is, and what holds it up.  Needs no secret.\n\n"                               \
	"  --wait                  until it is done, with a progress bar\n"                                            \
	"  --json                  for programs\n\n" HELP_UNLOCK_IGNORED "example:\n"                                  \
	"  coffer key reencrypt status ~/vault\n"

#define ARGUMENTS_KEY_SCOPE_CREATE "DIR NAME [--json]"
#define HELP_KEY_SCOPE_CREATE                                                                                          \
	"Makes a scope: a part of the volume with generations of keys of its own, which can be rotated, "              \
	"re-encrypted,\n"                                                                                              \
	"locked, and destroyed apart from the rest.  It has no directory yet.\n\n"                                     \
	"  --json                  for programs\n\n" HELP_UNLOCK "\nexample:\n"                                        \
	"  coffer key scope create ~/vault taxes\n"

#define ARGUMENTS_KEY_SCOPE_ASSIGN "DIR NAME DIR-INSIDE [--wait] [--json]"
#define HELP_KEY_SCOPE_ASSIGN                                                                                          \
	"Puts a directory of the volume, and all that is below it, into a scope; \"default\" is the one of all "       \
	"other\n"                                                                                                      \
	"files.  DIR-INSIDE is a path from the top of the volume, or one that leads through its mount.  Programs go\n" \
	"on; what was there is re-encrypted by the mount, or here.  From then on nothing is linked or moved across "   \
	"the\n"                                                                                                        \
	"border (EXDEV: programs copy).  Refused while a file below has a hard link outside.\n\n"                      \
	"  --wait                  until what was there is re-encrypted (without a mount always)\n"                    \
	"  --json                  for programs\n\n" HELP_UNLOCK "\nexample:\n"                                        \
	"  coffer key scope assign ~/vault taxes documents/taxes\n"

#define ARGUMENTS_KEY_SCOPE_LIST "DIR [--json]"
#define HELP_KEY_SCOPE_LIST                                                                                            \
	"Lists the scopes: active generation, floor, how many directories begin one, and whether the mount has it\n"   \
	"locked.  Needs no secret.\n\n"                                                                                \
	"  --json                  for programs; directories by their ids\n\n" HELP_UNLOCK_IGNORED "example:\n"        \
	"  coffer key scope list ~/vault\n"

#define ARGUMENTS_KEY_SCOPE_LOCK "DIR NAME [--json]"
#define HELP_KEY_SCOPE_LOCK                                                                                            \
	"Takes the keys of a scope away from the mount: its files give \"Required key not available\", its "           \
	"directories\n"                                                                                                \
	"show the encrypted names, by which they can still be removed.  Nothing that was written is lost.\n"           \
	"Needs no secret.\n\n"                                                                                         \
	"  --json                  for programs\n\n" HELP_UNLOCK_IGNORED "example:\n"                                  \
	"  coffer key scope lock ~/vault taxes\n"
#define HELP_KEY_SCOPE_UNLOCK                                                                                          \
	"Brings the keys of a scope back to the mount.\n\n"                                                            \
	"  --json                  for programs\n\n" HELP_UNLOCK "\nexample:\n"                                        \
	"  coffer key scope unlock ~/vault taxes\n"

#define HELP_HELP                                                                                                      \
	"Lists the verbs, or says more about one.\n\n"                                                                 \
	"example:\n"                                                                                                   \
	"  coffer help key add\n"

#define HELP_VERSION                                                                                                   \
	"Prints the version.\n\n"                                                                                      \
	"example:\n"                                                                                                   \
	"  coffer version\n"

#endif
