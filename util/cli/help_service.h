/* Texts of `coffer service VERB --help`. */
#ifndef COFFER_CLI_HELP_SERVICE_H
#define COFFER_CLI_HELP_SERVICE_H

#define ARGUMENTS_SERVICE "[--service URL[,URL]] [--ca F] [--cert F] [--key F] [--config F] [--json]"
#define HELP_SERVICE                                                                                                   \
	"where the key service is, and who asks (what is not given is read from /etc/coffer/service.conf):\n"          \
	"  --service URL[,URL]     https://HOST[:PORT]; the next one is tried where one cannot be reached\n"           \
	"  --ca F                  the certificate of the service's authority\n"                                       \
	"  --cert F, --key F       the client's certificate and private key\n"                                         \
	"  --config F              another file in the place of /etc/coffer/service.conf\n"                            \
	"  --json                  for programs\n"

#define ARGUMENTS_VOLUMES_POLICY "[--volumes-rotate-every TIME] [--volumes-rotate-after SIZE] [--volumes-keep N] "
#define HELP_VOLUMES_POLICY                                                                                            \
	"\n"                                                                                                           \
	"what running mounts under the key do, beside what their volumes say themselves (off takes it back):\n"        \
	"  --volumes-rotate-every TIME   a new generation when the active one is so old, 1d to 10y\n"                  \
	"  --volumes-rotate-after SIZE   and when so much was written, 1G to 1024T\n"                                  \
	"  --volumes-keep N              of each scope the newest N stay: what is older is re-encrypted, then\n"       \
	"                                destroyed 30 days later\n\n"

#define ARGUMENTS_SERVICE_KEY_CREATE                                                                                   \
	"NAME [--auto-rotate-days N] [--purge-protection] " ARGUMENTS_VOLUMES_POLICY ARGUMENTS_SERVICE
#define HELP_SERVICE_KEY_CREATE                                                                                        \
	"Makes a key of the key service, with its first version.\n"                                                    \
	"\n"                                                                                                           \
	"  --auto-rotate-days N    a new version whenever the newest is so old\n"                                      \
	"  --purge-protection      nobody can purge it before its time, for good\n" HELP_VOLUMES_POLICY HELP_SERVICE   \
	"\nexample:\n"                                                                                                 \
	"  coffer service key create db\n"

#define ARGUMENTS_SERVICE_KEY_LIST "" ARGUMENTS_SERVICE
#define HELP_SERVICE_KEY_LIST                                                                                          \
	"The keys: their states and versions.\n"                                                                       \
	"\n" HELP_SERVICE "\nexample:\n"                                                                               \
	"  coffer service key list\n"

#define ARGUMENTS_SERVICE_KEY_SHOW "NAME " ARGUMENTS_SERVICE
#define HELP_SERVICE_KEY_SHOW                                                                                          \
	"One key.\n"                                                                                                   \
	"\n" HELP_SERVICE "\nexample:\n"                                                                               \
	"  coffer service key show db\n"

#define ARGUMENTS_SERVICE_KEY_ROTATE "NAME " ARGUMENTS_SERVICE
#define HELP_SERVICE_KEY_ROTATE                                                                                        \
	"A new version, which wraps from now on.  Mounts have their root wrapped by it at their next renewal.\n"       \
	"\n" HELP_SERVICE "\nexample:\n"                                                                               \
	"  coffer service key rotate db\n"

#define ARGUMENTS_SERVICE_KEY_DISABLE "NAME " ARGUMENTS_SERVICE
#define HELP_SERVICE_KEY_DISABLE                                                                                       \
	"Takes the key from everybody until it is enabled: mounts opened by it lock themselves within a minute\n"      \
	"where they reach the service, and within their grace period where they do not.\n"                             \
	"\n" HELP_SERVICE "\nexample:\n"                                                                               \
	"  coffer service key disable db\n"

#define ARGUMENTS_SERVICE_KEY_ENABLE "NAME " ARGUMENTS_SERVICE
#define HELP_SERVICE_KEY_ENABLE                                                                                        \
	"Gives it back: mounts that locked themselves go on.\n"                                                        \
	"\n" HELP_SERVICE "\nexample:\n"                                                                               \
	"  coffer service key enable db\n"

#define ARGUMENTS_SERVICE_KEY_CONFIG                                                                                   \
	"NAME [--auto-rotate-days N] [--min-version N] [--purge-protection] " ARGUMENTS_VOLUMES_POLICY ARGUMENTS_SERVICE
#define HELP_SERVICE_KEY_CONFIG                                                                                        \
	"Changes settings of a key.\n"                                                                                 \
	"\n"                                                                                                           \
	"  --auto-rotate-days N    a new version whenever the newest is so old; 0: never\n"                            \
	"  --min-version N         older versions unwrap no more\n"                                                    \
	"  --purge-protection      nobody can purge it before its time, for good\n" HELP_VOLUMES_POLICY HELP_SERVICE   \
	"\nexample:\n"                                                                                                 \
	"  coffer service key config db --auto-rotate-days 90 --volumes-rotate-every 30d --volumes-keep 2\n"

#define ARGUMENTS_SERVICE_KEY_DELETE "NAME [--days N] " ARGUMENTS_SERVICE
#define HELP_SERVICE_KEY_DELETE                                                                                        \
	"Disables it, and destroys it after so many days unless it is recovered.\n"                                    \
	"\n"                                                                                                           \
	"  --days N                7 to 90; else 90\n" HELP_SERVICE "\nexample:\n"                                     \
	"  coffer service key delete db --days 30\n"

#define ARGUMENTS_SERVICE_KEY_RECOVER "NAME " ARGUMENTS_SERVICE
#define HELP_SERVICE_KEY_RECOVER                                                                                       \
	"Takes a deletion back.\n"                                                                                     \
	"\n" HELP_SERVICE "\nexample:\n"                                                                               \
	"  coffer service key recover db\n"

#define ARGUMENTS_SERVICE_KEY_PURGE "NAME [--yes] " ARGUMENTS_SERVICE
#define HELP_SERVICE_KEY_PURGE                                                                                         \
	"Destroys a deleted key now: what it has wrapped is lost for good.  Asks for its name.\n"                      \
	"\n"                                                                                                           \
	"  --yes                   does not ask\n" HELP_SERVICE "\nexample:\n"                                         \
	"  coffer service key purge db\n"

#define ARGUMENTS_SERVICE_KEY_GRANT "NAME FINGERPRINT " ARGUMENTS_SERVICE
#define HELP_SERVICE_KEY_GRANT                                                                                         \
	"Lets a client wrap and unwrap with the key.\n"                                                                \
	"\n" HELP_SERVICE "\nexample:\n"                                                                               \
	"  coffer service key grant db 9a0d...\n"

#define ARGUMENTS_SERVICE_KEY_UNGRANT "NAME FINGERPRINT " ARGUMENTS_SERVICE
#define HELP_SERVICE_KEY_UNGRANT                                                                                       \
	"Takes that back: the client's mounts lock themselves as if the key were disabled.\n"                          \
	"\n" HELP_SERVICE "\nexample:\n"                                                                               \
	"  coffer service key ungrant db 9a0d...\n"

#define ARGUMENTS_SERVICE_CLIENT_REGISTER "[--name NAME] [--wait SECONDS] " ARGUMENTS_SERVICE
#define HELP_SERVICE_CLIENT_REGISTER                                                                                   \
	"Makes this host known to the key service: a key pair where --key names no file (mode 0600), and a request\n"  \
	"to be accepted.  Once an administrator has accepted its fingerprint, the same again fetches the "             \
	"certificate;\n"                                                                                               \
	"later ones are fetched in time by whoever uses it.\n"                                                         \
	"\n"                                                                                                           \
	"  --name NAME             for people; else the host's name\n"                                                 \
	"  --wait SECONDS          waits so long to be accepted\n" HELP_SERVICE "\nexample:\n"                         \
	"  coffer service client register\n"

#define ARGUMENTS_SERVICE_CLIENT_LIST "" ARGUMENTS_SERVICE
#define HELP_SERVICE_CLIENT_LIST                                                                                       \
	"The clients: who is accepted, who waits, who was revoked.\n"                                                  \
	"\n" HELP_SERVICE "\nexample:\n"                                                                               \
	"  coffer service client list\n"

#define ARGUMENTS_SERVICE_CLIENT_ACCEPT "FINGERPRINT [--role admin|operator|client|auditor] " ARGUMENTS_SERVICE
#define HELP_SERVICE_CLIENT_ACCEPT                                                                                     \
	"Accepts a client.  Compare the fingerprint with what \"client register\" printed there.\n"                    \
	"\n"                                                                                                           \
	"  --role R                client, if none is given\n" HELP_SERVICE "\nexample:\n"                             \
	"  coffer service client accept 9a0d...\n"

#define ARGUMENTS_SERVICE_CLIENT_REVOKE "FINGERPRINT " ARGUMENTS_SERVICE
#define HELP_SERVICE_CLIENT_REVOKE                                                                                     \
	"Revokes a client, for good: its mounts lock themselves within a minute.\n"                                    \
	"\n" HELP_SERVICE "\nexample:\n"                                                                               \
	"  coffer service client revoke 9a0d...\n"

#define ARGUMENTS_SERVICE_VOLUMES "[NAME] " ARGUMENTS_SERVICE
#define HELP_SERVICE_VOLUMES                                                                                           \
	"The volumes whose roots were wrapped by a key (else by any), who holds their leases, what the mounts said "   \
	"last,\n"                                                                                                      \
	"and whether they are behind the policy of their key.\n"                                                       \
	"\n" HELP_SERVICE "\nexample:\n"                                                                               \
	"  coffer service volumes db\n"

#define ARGUMENTS_SERVICE_VOLUME_RESTORE "[NAME] DIR " ARGUMENTS_SERVICE
#define HELP_SERVICE_VOLUME_RESTORE                                                                                    \
	"Puts back the lost keyring of the volume DIR, from the copy that its mounts have sent to the key service,\n"  \
	"if the key NAME (else the only one that has a copy) opens it.  Refused where an intact keyring is in "        \
	"place.\n\n" HELP_SERVICE "\nexample:\n"                                                                       \
	"  coffer service volume restore /srv/vault\n"

#define ARGUMENTS_SERVICE_VOLUME_ACCEPT "NAME VOLUME ROOT " ARGUMENTS_SERVICE
#define HELP_SERVICE_VOLUME_ACCEPT                                                                                     \
	"Lets another root of the volume be wrapped under the key: its fingerprint, as it is printed where the root "  \
	"is made "                                                                                                     \
	"it.\n"                                                                                                        \
	"\n" HELP_SERVICE "\nexample:\n"                                                                               \
	"  coffer service volume accept db 3f... 5d0c7f21...\n"

#define ARGUMENTS_SERVICE_BACKUP "[--wait SECONDS] " ARGUMENTS_SERVICE
#define HELP_SERVICE_BACKUP                                                                                            \
	"Has the key service make a backup of itself now, where coffer-keyd run was told to put them, and waits for "  \
	"it.\n"                                                                                                        \
	"\n"                                                                                                           \
	"  --wait SECONDS          how long; else 60\n" HELP_SERVICE "\nexample:\n"                                    \
	"  coffer service backup\n"

#define ARGUMENTS_SERVICE_AUDIT_SHOW "[--from N] " ARGUMENTS_SERVICE
#define HELP_SERVICE_AUDIT_SHOW                                                                                        \
	"What was done with the service, line by line.\n"                                                              \
	"\n"                                                                                                           \
	"  --from N                from this line on\n" HELP_SERVICE "\nexample:\n"                                    \
	"  coffer service audit show --from 100\n"

#define ARGUMENTS_SERVICE_AUDIT_VERIFY "[--against FILE] " ARGUMENTS_SERVICE
#define HELP_SERVICE_AUDIT_VERIFY                                                                                      \
	"Reads the whole log: no line may be missing.  (Its MACs are the service's: coffer-keyd check verifies "       \
	"them.)\n"                                                                                                     \
	"\n"                                                                                                           \
	"  --against FILE          an export from before has to be its beginning still\n" HELP_SERVICE "\nexample:\n"  \
	"  coffer service audit verify --against audit-2026-11.jsonl\n"

#define ARGUMENTS_SERVICE_AUDIT_EXPORT "[--from N] [-o FILE] " ARGUMENTS_SERVICE
#define HELP_SERVICE_AUDIT_EXPORT                                                                                      \
	"Writes the lines as they stand in the log.\n"                                                                 \
	"\n"                                                                                                           \
	"  --from N                from this line on\n"                                                                \
	"  -o, --output FILE       a new file; else standard output\n" HELP_SERVICE "\nexample:\n"                     \
	"  coffer service audit export -o audit-2026-11.jsonl\n"

#endif
