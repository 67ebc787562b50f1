#!/bin/sh
# deps.sh [run|test|soak|ci]: installs the Debian packages that are missing, and only those.  Asks nothing.
#   run   to build coffer and use it
#   test  and to run its tests
#   soak  and for the tests that ask programs of others about the key service: etcd, stunnel, a browser, scanners
#   ci    and for what .ci/run looks at besides (other compiler, linters)
# docs/dependencies.md says what each is for.
set -u

run="gcc libc6-dev pkg-config meson ninja-build libfuse3-dev fuse3 libgcrypt20-dev libjson-c-dev libexpat1-dev libqrencode-dev libssl-dev libevent-dev libsqlite3-dev libp11-kit-dev libtss2-dev"
test="check python3 python3-cryptography python3-argon2 python3-ruamel.yaml python3-lxml openssl attr acl psmisc util-linux make git sqlite3 rsync libcap2-bin strace e2fsprogs xfsprogs btrfs-progs postgresql mariadb-server-core mariadb-client-core softhsm2 swtpm python3-pykmip"
soak="etcd-server stunnel4 chromium libnss3-tools sslscan testssl.sh"
ci="clang clang-tidy clang-format-14 libclang-rt-14-dev cppcheck shellcheck mandoc"

case ${1-run} in
run) wanted=$run ;;
test) wanted="$run $test" ;;
soak) wanted="$run $test $soak" ;;
ci) wanted="$run $test $ci" ;;
*)
	echo "usage: deps.sh [run|test|soak|ci]" >&2
	exit 2
	;;
esac

if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
	echo "deps.sh: this is not Debian: install what these packages hold by hand: $wanted" >&2
	exit 1
fi

# An older OpenSSL hands out what it has not verified (CVE-2026-34182), and is not used.
too_old()
{
	[ "$1" = libssl-dev ] && dpkg --compare-versions "$(dpkg-query -W -f '${Version}' "$1")" lt 3.0.21
}

missing=
for package in $wanted; do
	status=$(dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | head -n 1)
	if [ "$status" != installed ] || too_old "$package"; then
		missing="$missing $package"
	fi
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
	if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
		as_root="sudo -n"
	else
		echo "deps.sh: missing packages; as root run: apt-get install$missing" >&2
		exit 1
	fi
fi

log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
echo "deps.sh: installing$missing"
# An old package list is no error as long as the packages can be had with it.
$as_root apt-get -q update </dev/null >"$log" 2>&1
# shellcheck disable=SC2086 # words on purpose
if ! $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $missing </dev/null >>"$log" 2>&1; then
	tail -n 5 "$log" >&2
	echo "deps.sh: apt-get could not install$missing (see above; is there a network?)" >&2
	exit 1
fi
