# bash completion for coffer

_coffer_mounts()
{
	# Points of the mounts; \040 and its like become what they stand for.
	local point
	while read -r _ _ _ _ point _; do
		printf '%b\n' "${point//\\/\\0}"
	done < <(grep ' - fuse\.coffer ' /proc/self/mountinfo 2>/dev/null)
}

# _coffer_field VERB CUR PREV
_coffer_field()
{
	local cur=$2 options=""
	local keyring="--keyring --passphrase-file --passphrase-fd --passphrase-command --key-file --identity --identity-passphrase-file --pin-file --pkcs11-module --tpm --tpm-pin-file --tpm-tcti --credential --kmip-config --service-config --service --ca --cert --key --accept-older-keyring --expect-root"
	local format="--format --name --lenient --no-header --separator --dialect"
	local binding="--rules --bind --context"

	case $3 in
	--format)
		mapfile -t COMPREPLY < <(compgen -W "json jsonl yaml toml xml csv ini env properties" -- "$cur")
		return
		;;
	--mode)
		mapfile -t COMPREPLY < <(compgen -W "random deterministic sealed" -- "$cur")
		return
		;;
	--dialect)
		mapfile -t COMPREPLY < <(compgen -W "plain git systemd php" -- "$cur")
		return
		;;
	--type)
		mapfile -t COMPREPLY < <(compgen -W "string number bool null" -- "$cur")
		return
		;;
	--bind)
		mapfile -t COMPREPLY < <(compgen -W "keys path record: none" -- "$cur")
		return
		;;
	--time | --idle | --path | --key-regex | --domain | --context | --pad | --separator | --passphrase-fd | --passphrase-command | --credential)
		return
		;;
	esac
	case $1 in
	encrypt) options="$keyring $format $binding -i --in-place -o --output --path --key-regex --mode --domain --pubkey --pad" ;;
	decrypt) options="$keyring $format $binding -i --in-place -o --output --path --key-regex --mode --keep-going" ;;
	get) options="$keyring $format $binding --raw --mode" ;;
	set) options="$keyring $format $binding --raw --type --mode --domain --pad --pubkey" ;;
	edit | textconv | merge | clean) options="$keyring $format $binding" ;;
	list) options="$format --rules" ;;
	check) options="$format --rules --path --key-regex" ;;
	rotate) options="$keyring $format $binding --domain --keep-going" ;;
	migrate) options="$keyring $format $binding --to-keyring --to-passphrase-file --to-key-file --to-identity --keep-going" ;;
	exec) options="$keyring $format $binding --files --path --mode" ;;
	agent) options="$keyring --time --idle -f --foreground --status --stop" ;;
	domain | pubkey) options="$keyring" ;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options --help" -- "$cur")
		return
	fi
	if [[ $1 == domain && $COMP_CWORD -eq 3 ]]; then
		mapfile -t COMPREPLY < <(compgen -W "create list" -- "$cur")
		return
	fi
	compopt -o filenames 2>/dev/null
	mapfile -t COMPREPLY < <(compgen -f -- "$cur")
}

# Options of `coffer service VERB`: $1 is what stands behind "service", $2 the word under the cursor, $3 the one before.
_coffer_service()
{
	local options="--service --ca --cert --key --config --json" words=""

	case $3 in
	--ca | --cert | --key | --config | --output | --against)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$2")
		return
		;;
	--role)
		mapfile -t COMPREPLY < <(compgen -W "admin operator client auditor" -- "$2")
		return
		;;
	esac
	case $1 in
	"") words="key client volumes volume backup audit" ;;
	"key ") words="create list show rotate disable enable config delete recover purge grant ungrant" ;;
	"client ") words="register list accept revoke" ;;
	"volume ") words="accept restore" ;;
	"audit ") words="show verify export" ;;
	"key create "*) options+=" --auto-rotate-days --purge-protection --volumes-rotate-every --volumes-rotate-after --volumes-keep" ;;
	"key config "*) options+=" --auto-rotate-days --min-version --purge-protection --volumes-rotate-every --volumes-rotate-after --volumes-keep" ;;
	"key delete "*) options+=" --days" ;;
	"key purge "*) options+=" --yes" ;;
	"client register "*) options+=" --name --wait" ;;
	"client accept "*) options+=" --role" ;;
	"backup "*) options+=" --wait" ;;
	"audit show "*) options+=" --from" ;;
	"audit verify "*) options+=" --against" ;;
	"audit export "*) options+=" --from --output" ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "${words:-$options --help}" -- "$2")
}

_coffer()
{
	local cur prev verb i words_seen=0
	local unlock="--passphrase-file --passphrase-fd --passphrase-command --key-file --identity --identity-passphrase-file --pin-file --pkcs11-module --tpm --tpm-pin-file --tpm-tcti --credential --kmip-config --service-config --service --ca --cert --key --accept-older-keyring --expect-root"
	local options=""
	cur=${COMP_WORDS[COMP_CWORD]}
	prev=${COMP_WORDS[COMP_CWORD - 1]}
	COMPREPLY=()
	compopt +o default 2>/dev/null

	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "init mount umount status check freeze thaw lock unlock path erase adopt key field service help version --help" -- "$cur")
		return
	fi
	verb=${COMP_WORDS[1]}
	i=2
	if [[ $verb == key ]]; then
		if ((COMP_CWORD == 2)); then
			mapfile -t COMPREPLY < <(compgen -W "init list add remove passwd test rotate suspend resume deactivate compromise floor destroy undelete audit backup restore policy reencrypt scope" -- "$cur")
			return
		fi
		verb="key ${COMP_WORDS[2]}"
		i=3
	fi

	if [[ $verb == service ]]; then
		local behind="${COMP_WORDS[*]:2:COMP_CWORD-2}"
		_coffer_service "${behind:+$behind }" "$cur" "$prev"
		return
	fi
	if [[ $verb == field ]]; then
		if ((COMP_CWORD == 2)); then
			mapfile -t COMPREPLY < <(compgen -W "encrypt decrypt get set edit list check rotate migrate exec textconv merge clean domain pubkey agent init" -- "$cur")
			return
		fi
		_coffer_field "${COMP_WORDS[2]}" "$cur" "$prev"
		return
	fi
	if [[ $verb == "key audit" ]]; then
		if ((COMP_CWORD == 3)); then
			mapfile -t COMPREPLY < <(compgen -W "show verify export" -- "$cur")
			return
		fi
		verb="key audit ${COMP_WORDS[3]}"
		i=4
	fi

	if [[ $verb == "key policy" ]]; then
		if ((COMP_CWORD == 3)); then
			mapfile -t COMPREPLY < <(compgen -W "set show run" -- "$cur")
			return
		fi
		verb="key policy ${COMP_WORDS[3]}"
		i=4
	fi

	if [[ $verb == "key reencrypt" ]]; then
		if ((COMP_CWORD == 3)); then
			mapfile -t COMPREPLY < <(compgen -W "start pause resume stop status" -- "$cur")
			return
		fi
		verb="key reencrypt ${COMP_WORDS[3]}"
		i=4
	fi

	if [[ $verb == "key scope" ]]; then
		if ((COMP_CWORD == 3)); then
			mapfile -t COMPREPLY < <(compgen -W "create assign list lock unlock" -- "$cur")
			return
		fi
		verb="key scope ${COMP_WORDS[3]}"
		i=4
	fi

	case $prev in
	--output | --share | --share-dir | --backup-passphrase-file | --backup-key-file | --backup-identity | --backup-identity-passphrase-file | --recipient | --certificate | --identity | --identity-passphrase-file | --keep-certificate | --pin-file | --unlock-pin-file | --tpm-pin-file | --unlock-tpm-pin-file | --keep-pin-file | --pkcs11-module | --kmip-ca | --kmip-cert | --kmip-private-key | --kmip-config | --new-kmip-config | --passphrase-file | --key-file | --new-passphrase-file | --new-key-file | --recovery-key-file | --service-config | --new-service-config | --ca | --cert | --key)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--cipher)
		mapfile -t COMPREPLY < <(compgen -W "auto aes-256-ocb aes-256-gcm chacha20-poly1305" -- "$cur")
		return
		;;
	--passphrase-fd | --passphrase-command | --credential | --expect-root | --pkcs11 | --kmip | --kmip-key | --pcrs | --tpm-tcti | --journal-size | --timeout)
		return
		;;
	--scope)
		mapfile -t COMPREPLY < <(compgen -W "default fields" -- "$cur")
		return
		;;
	-o | --options)
		if [[ $verb == mount ]]; then
			compopt -o nospace 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -P "${cur%"${cur##*,}"}" -W \
				"ro rw allow_other noexec nosuid nodev noatime relatime idle= field_rights= commit= memory= writeback noxattr noperm io_uring ask_open shared_store shared_store= noxattr metrics= journal= nojournal oldcopy accept_older_keyring root= passphrase_file= passphrase_command= key_file= pin_file= pkcs11_module= tpm tpm_pin_file= tpm_tcti= credential= service_config= kmip_config= grace=" \
				-- "${cur##*,}")
			return
		fi
		;;
	esac

	case $verb in
	init) options="--passphrase-file --passphrase-fd --passphrase-command --key-file --certificate --kmip-key --kmip --kmip-ca --kmip-cert --kmip-private-key --kmip-config --service-key --service-config --service --ca --cert --key --pkcs11 --pin-file --pkcs11-module --tpm --pcrs --tpm-pin-file --tpm-tcti --credential --cipher --portable --journal-size --no-recovery-key --recovery-key-file --json" ;;
	mount) options="$unlock -f --foreground -o --options --grace" ;;
	status) options="--json --size --watch --interval --count" ;;
	check) options="$unlock --deep --repair --no-recover --json" ;;
	freeze) options="--timeout" ;;
	erase) options="--yes --share" ;;
	adopt) options="$unlock --json" ;;
	path) options="$unlock --decrypt" ;;
	"key init") options="--passphrase-file --passphrase-fd --passphrase-command --key-file --certificate --kmip-key --kmip --kmip-ca --kmip-cert --kmip-private-key --kmip-config --service-key --service-config --service --ca --cert --key --pkcs11 --pin-file --pkcs11-module --tpm --pcrs --tpm-pin-file --tpm-tcti --credential --no-recovery-key --recovery-key-file --json" ;;
	"key list") options="$unlock --json" ;;
	"key add") options="${unlock/--pin-file --pkcs11-module --tpm --tpm-pin-file/--unlock-pin-file --pkcs11-module --unlock-tpm --unlock-tpm-pin-file} --new-passphrase-file --new-key-file --certificate --kmip-key --kmip --kmip-ca --kmip-cert --kmip-private-key --new-kmip-config --service-key --new-service-config --service --ca --cert --key --pkcs11 --pin-file --tpm --pcrs --tpm-pin-file --only --recovery-key --recovery-key-file --json" ;;
	"key remove") options="$unlock --json" ;;
	"key passwd") options="$unlock --new-passphrase-file --json" ;;
	"key test") options="$unlock --json" ;;
	"key rotate") options="$unlock --scope --root --keep-passphrase-file --keep-key-file --keep-certificate --keep-pin-file --share --json" ;;
	"key suspend" | "key resume" | "key deactivate" | "key compromise" | "key floor" | "key undelete") options="$unlock --json" ;;
	"key backup") options="$unlock --output --backup-passphrase-file --backup-key-file --recipient --backup-identity --backup-identity-passphrase-file --shares --share-dir --share --verify --json" ;;
	"key restore") options="--backup-passphrase-file --backup-key-file --backup-identity --backup-identity-passphrase-file --share --new-passphrase-file --new-key-file --accept-older-keyring --expect-root --json" ;;
	"key policy set") options="$unlock --rotate-every --rotate-after --retire-after --warn-backup-age --require --share --json" ;;
	"key policy show") options="$unlock --json" ;;
	"key reencrypt start") options="$unlock --wait --max-rate --idle --touch --suspect --scope --json" ;;
	"key reencrypt pause" | "key reencrypt stop") options="$unlock --json" ;;
	"key reencrypt resume") options="$unlock --wait --give-up --json" ;;
	"key reencrypt status") options="$unlock --wait --json" ;;
	"key scope create" | "key scope list" | "key scope lock" | "key scope unlock") options="$unlock --json" ;;
	"key scope assign") options="$unlock --wait --json" ;;
	lock) options="--all" ;;
	unlock) options="$unlock" ;;
	"key policy run") options="$unlock --json" ;;
	"key audit show" | "key audit verify") options="$unlock --json" ;;
	"key audit export") options="$unlock --output --json" ;;
	"key destroy") options="$unlock --now --yes --scope --share --json" ;;
	help)
		((COMP_CWORD == 2)) &&
			mapfile -t COMPREPLY < <(compgen -W "init mount umount status check freeze thaw lock unlock path erase adopt key field service version" -- "$cur")
		return
		;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options --help" -- "$cur")
		return
	fi

	# Which word this is, options aside.
	for (( ; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-f | --foreground | --*recovery-key | --portable | --json | --size | --deep | --repair | --yes | --decrypt) ;;
		-*) ((i++)) ;;
		*) ((words_seen++)) ;;
		esac
	done
	case $verb:$words_seen in
	umount:0)
		mapfile -t COMPREPLY < <(compgen -W "$(_coffer_mounts)" -- "$cur")
		;;
	path:1)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		;;
	*:0 | mount:1)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		;;
	esac
}

complete -F _coffer coffer
