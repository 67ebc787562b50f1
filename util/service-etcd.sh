#!/bin/sh
# service-etcd.sh: etcd for the key service, on several machines, with TLS 1.2 between them by stunnel.
#
#   sh util/service-etcd.sh certificates OUT NODE=ADDRESS NODE=ADDRESS NODE=ADDRESS
#       makes in OUT an authority for the tunnels alone, and for each node NODE.pem and NODE.key.  Take each pair and ca.pem to its
#       machine; ca.key is needed for nodes to come, and nowhere else.
#   sh util/service-etcd.sh node OUT NODE NODE=ADDRESS NODE=ADDRESS NODE=ADDRESS
#       on each machine, the nodes in the same order everywhere: writes etcd.yml and stunnel.conf into OUT, where ca.pem, NODE.pem and
#       NODE.key lie, and says how to start them.
#
#   sh util/service-etcd.sh start DIR [PORT]
#       to try it, on this machine alone: three nodes of etcd and two servers of the key service, in DIR, on ports from PORT (23790) on.
#       Says "ready" and how to ask them, and ends them when it is ended (Ctrl-C); started again, they go on with what is in DIR.
#
# etcd itself listens on loopback addresses alone.  Node K (from 0) has the same two ports on every machine, 23790 + 10 K for clients and
# 23791 + 10 K for peers: on its own they are etcd's, on the others the tunnel's.  Tunnels arrive at ports 24790 and 24791.
set -eu

# The suites of the key service; one certificate, an ECDSA one, so that these are all that can be negotiated.
suites=ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA256

usage()
{
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | sed '$d' >&2
	exit 2
}

new_key()
{
	(umask 077 && openssl ecparam -name prime256v1 -genkey -noout -out "$1")
}

certificates()
{
	[ $# -ge 2 ] || usage
	out=$1
	shift
	mkdir -p "$out"
	if [ ! -e "$out/ca.key" ]; then
		new_key "$out/ca.key"
		openssl req -x509 -new -key "$out/ca.key" -out "$out/ca.pem" -days 3650 -subj "/CN=etcd of the key service" \
			-addext keyUsage=critical,keyCertSign
	fi
	for node; do
		name=${node%%=*}
		[ ! -e "$out/$name.pem" ] || continue
		new_key "$out/$name.key"
		printf 'subjectAltName=DNS:%s\nextendedKeyUsage=serverAuth,clientAuth\nkeyUsage=critical,digitalSignature\n' "$name" >"$out/$name.ext"
		openssl req -new -key "$out/$name.key" -subj "/CN=$name" |
			openssl x509 -req -CA "$out/ca.pem" -CAkey "$out/ca.key" -days 730 -extfile "$out/$name.ext" -out "$out/$name.pem" 2>/dev/null
		rm "$out/$name.ext"
	done
}

# One service of stunnel: NAME, whether it is the client, from, to, and whose certificate is expected.
tunnel()
{
	printf '\n[%s]\nclient = %s\naccept = %s\nconnect = %s\n' "$1" "$2" "$3" "$4"
	[ -z "$5" ] || printf 'checkHost = %s\n' "$5"
}

write_stunnel()
{
	cat <<END
foreground = yes
pid =
sslVersion = TLSv1.2
ciphers = $suites
config = SignatureAlgorithms:ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512
config = Curves:X25519:P-256:P-384
sessionResume = no
options = NO_TICKET
options = NO_COMPRESSION
options = CIPHER_SERVER_PREFERENCE
renegotiation = no
requireCert = yes
verifyChain = yes
CAfile = $where/ca.pem
cert = $where/$own.pem
key = $where/$own.key
END
	k=0
	for node; do
		name=${node%%=*}
		address=${node#*=}
		if [ "$name" = "$own" ]; then
			tunnel clients no "$address:24790" "127.0.0.1:$((23790 + 10 * k))" ""
			tunnel peers no "$address:24791" "127.0.0.1:$((23791 + 10 * k))" ""
		else
			tunnel "clients-$name" yes "127.0.0.1:$((23790 + 10 * k))" "$address:24790" "$name"
			tunnel "peers-$name" yes "127.0.0.1:$((23791 + 10 * k))" "$address:24791" "$name"
		fi
		k=$((k + 1))
	done
}

write_etcd()
{
	k=0
	cluster=
	for node; do
		[ "${node%%=*}" != "$own" ] || mine=$k
		cluster=$cluster${cluster:+,}${node%%=*}=http://127.0.0.1:$((23791 + 10 * k))
		k=$((k + 1))
	done
	cat <<END
name: $own
data-dir: $where/data
listen-client-urls: http://127.0.0.1:$((23790 + 10 * mine))
advertise-client-urls: http://127.0.0.1:$((23790 + 10 * mine))
listen-peer-urls: http://127.0.0.1:$((23791 + 10 * mine))
initial-advertise-peer-urls: http://127.0.0.1:$((23791 + 10 * mine))
initial-cluster: $cluster
initial-cluster-state: new
enable-grpc-gateway: true
max-txn-ops: 4096
max-request-bytes: 10485760
auto-compaction-retention: "1"
END
}

node()
{
	[ $# -ge 3 ] || usage
	where=$(cd "$1" && pwd)
	own=$2
	shift 2
	case " $* " in
	*" $own="*) ;;
	*) usage ;;
	esac
	for file in ca.pem "$own.pem" "$own.key"; do
		[ -r "$where/$file" ] || {
			echo "service-etcd.sh: $where/$file is missing: make it by \"certificates\"" >&2
			exit 1
		}
	done
	write_stunnel "$@" >"$where/stunnel.conf"
	write_etcd "$@" >"$where/etcd.yml"
	urls=
	k=0
	for node; do
		urls=$urls${urls:+,}http://127.0.0.1:$((23790 + 10 * k))
		k=$((k + 1))
	done
	echo "stunnel $where/stunnel.conf"
	echo "etcd --config-file $where/etcd.yml"
	echo "coffer-keyd run DIR --etcd $urls ..."
}

pids=
stop()
{
	status=$?
	trap - EXIT
	# The servers first: they write down that they end.
	for pid in $pids; do
		kill "$pid" 2>/dev/null || :
		wait "$pid" 2>/dev/null || :
	done
	exit "$status"
}

# LOG: waits until it has a line that begins with WORDS; nobody whose process has ended says anything more.
said()
{
	tries=0
	until grep -q "^$2" "$1" 2>/dev/null; do
		tries=$((tries + 1))
		if [ "$tries" -gt 300 ] || ! kill -0 "$3" 2>/dev/null; then
			echo "service-etcd.sh: no \"$2\" in $1" >&2
			exit 1
		fi
		sleep 0.1
	done
}

start()
{
	[ $# -ge 1 ] || usage
	mkdir -p "$1"
	where=$(cd "$1" && pwd)
	base=${2:-23790}
	trap stop EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	urls=http://127.0.0.1:$base,http://127.0.0.1:$((base + 10)),http://127.0.0.1:$((base + 20))
	cluster=n0=http://127.0.0.1:$((base + 1)),n1=http://127.0.0.1:$((base + 11)),n2=http://127.0.0.1:$((base + 21))
	for k in 0 1 2; do
		client=http://127.0.0.1:$((base + 10 * k))
		peer=http://127.0.0.1:$((base + 1 + 10 * k))
		etcd --name "n$k" --data-dir "$where/etcd$k" --listen-client-urls "$client" --advertise-client-urls "$client" \
			--listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "$cluster" \
			--initial-cluster-token "$base" --initial-cluster-state new --max-txn-ops=4096 --max-request-bytes=10485760 \
			--auto-compaction-retention=1 >>"$where/etcd$k.log" 2>&1 &
		pids="$! $pids"
	done
	tries=0
	while [ ! -d "$where/keyd1" ]; do
		rm -rf "$where/keyd0"
		if coffer-keyd init "$where/keyd0" --host localhost --host 127.0.0.1 --etcd "$urls" >"$where/init.log" 2>&1; then
			cp -a "$where/keyd0" "$where/keyd1"
		else
			tries=$((tries + 1))
			[ "$tries" -lt 60 ] || {
				cat "$where/init.log" >&2
				exit 1
			}
			sleep 0.5
		fi
	done
	for k in 0 1; do
		: >"$where/keyd$k.out"
		coffer-keyd run "$where/keyd$k" --listen "127.0.0.1:$((base + 5 + 10 * k))" --etcd "$urls" >"$where/keyd$k.out" 2>>"$where/keyd$k.log" &
		pids="$! $pids"
		said "$where/keyd$k.out" '[lw]' "$!"
	done
	printf 'service = https://localhost:%s, https://localhost:%s\nca = keyd0/ca.pem\ncert = keyd0/admin.pem\nkey = keyd0/admin.key\n' \
		"$((base + 5))" "$((base + 15))" >"$where/admin.conf"
	echo "ready: coffer service key list --config $where/admin.conf"
	wait
}

case ${1-} in
start)
	shift
	start "$@"
	;;
certificates)
	shift
	certificates "$@"
	;;
node)
	shift
	node "$@"
	;;
*) usage ;;
esac
