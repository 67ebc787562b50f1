#!/bin/sh
# service-demo.sh: a key service, a host, a volume that only the service opens, and its being taken away and given back, shown step by step on this
# machine.  Asks nothing, takes less than a minute once coffer is built, leaves nothing behind: all of it, but the build (build-release/), lies in a
# private temporary directory that is removed at the end.
set -eu
cd "$(dirname "$0")/.."

say()
{
	printf '\n== %s\n' "$*"
}

show()
{
	printf '$ %s\n' "$*"
	"$@"
}

die()
{
	echo "service-demo.sh: $*" >&2
	exit 1
}

work=
plain=
keyd=
cleanup()
{
	status=$?
	trap - EXIT
	if [ -n "$plain" ] && grep -qF " $plain " /proc/self/mountinfo; then
		coffer umount "$plain" 2>/dev/null || umount -l "$plain" 2>/dev/null || fusermount3 -uz "$plain" 2>/dev/null || :
	fi
	if [ -n "$keyd" ]; then
		kill "$keyd" 2>/dev/null || :
		wait "$keyd" 2>/dev/null || :
	fi
	[ -z "$work" ] || rm -rf "$work"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# What lies beside this script once it is built; else a release is built.
build=${COFFER_BUILD_DIR:-$PWD/build-release}
if [ ! -x "$build/util/cli/coffer" ]; then
	say "A release is built (build-release/)"
	sh util/deps.sh run
	[ -f build-release/build.ninja ] || meson setup build-release --buildtype=release -Dtests=disabled >/dev/null
	ninja --quiet -C build-release
fi
[ -x "$build/keymgr/service/coffer-keyd" ] || die "this build has no key service: sh util/deps.sh test, and build again"
if [ ! -r /dev/fuse ] || [ ! -w /dev/fuse ]; then
	die "/dev/fuse is missing, or closed to you"
fi
PATH=$build/util/cli:$build/keymgr/service:$PATH
COFFER_LIBEXEC_DIR=$build/keymgr/helper
work=$(mktemp -d "${TMPDIR:-/tmp}/coffer.XXXXXX")
# The host's memory of a demonstration is part of that.
COFFER_STATE_DIR=$work/state
export PATH COFFER_LIBEXEC_DIR COFFER_STATE_DIR
cd "$work"
plain=$work/plain
mkdir "$plain"

say "A key service, with an authority and an administrator of its own"
show coffer-keyd init keyd --host localhost
mkfifo says
coffer-keyd run keyd --listen 127.0.0.1:0 >says 2>keyd.log &
keyd=$!
read -r line <says || die "the key service does not start: $(cat keyd.log)"
echo "$line"
url=https://localhost:${line##*:}
for who in admin host; do
	printf 'service = %s\nca = keyd/ca.pem\ncert = %s.pem\nkey = %s.key\n' "$url" "$who" "$who" >"$who.conf"
done
cp keyd/admin.pem keyd/admin.key .
show coffer service key create db --config admin.conf

say "A host asks to be a client; the administrator compares its fingerprint, accepts it, grants it the key"
show coffer service client register --name web-1 --config host.conf
fingerprint=$(openssl pkey -in host.key -pubout -outform DER | sha256sum | cut -d ' ' -f 1)
show coffer service client accept "$fingerprint" --config admin.conf
show coffer service key grant db "$fingerprint" --config admin.conf
show coffer service client register --config host.conf

say "A volume that nobody on the host has a secret for"
show coffer init vault --service-key db --service-config host.conf
show coffer mount vault plain -o lease=1s
echo "the payroll" >plain/payroll.txt
show cat plain/payroll.txt

say "The administrator takes the key away: the running mount locks itself (here it asks every second, else every 20)"
show coffer service key disable db --config admin.conf
tries=0
while cat plain/payroll.txt >/dev/null 2>&1; do
	tries=$((tries + 1))
	[ "$tries" -lt 300 ] || die "the mount did not lock itself"
	sleep 0.1
done
printf '$ cat plain/payroll.txt\n'
cat plain/payroll.txt || :
coffer status vault | grep '^lease'

say "And gives it back: the same mount goes on"
show coffer service key enable db --config admin.conf
tries=0
while ! cat plain/payroll.txt >/dev/null 2>&1; do
	tries=$((tries + 1))
	[ "$tries" -lt 300 ] || die "the mount did not go on"
	sleep 0.1
done
show cat plain/payroll.txt
coffer status vault | grep '^lease'

say "A new version of the service's key: the volume's root is wrapped by it at the next renewal, no data is touched"
show coffer service key rotate db --config admin.conf
tries=0
while ! coffer key list vault | grep -q 'version 2'; do
	tries=$((tries + 1))
	[ "$tries" -lt 300 ] || die "the root was not wrapped again"
	sleep 0.1
done
coffer key list vault | grep key-service

say "Who did all that"
show coffer service audit show --config admin.conf

say "Everything is taken away again"
show coffer umount plain
