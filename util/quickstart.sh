#!/bin/sh
# quickstart.sh: from a fresh Debian 12 to a working encrypted directory, shown step by step.  Asks nothing, leaves nothing mounted,
# can be run again.  Everything but the build (build-release/) lives in a private temporary directory that is removed at the end.
set -eu
cd "$(dirname "$0")/.."
# The host need not remember a volume that is gone in a minute.
COFFER_STATE_DIR=
export COFFER_STATE_DIR

say()
{
	printf '\n== %s\n' "$*"
}

die()
{
	echo "quickstart.sh: $*" >&2
	exit 1
}

work=
plain=
cleanup()
{
	status=$?
	trap - EXIT
	if [ -n "$plain" ] && grep -qF " $plain " /proc/self/mountinfo; then
		"$coffer" umount "$plain" 2>/dev/null || umount -l "$plain" 2>/dev/null || fusermount3 -uz "$plain" 2>/dev/null || :
	fi
	[ -z "$work" ] || rm -rf "$work"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# First what no package can mend.
[ -e /dev/fuse ] || modprobe fuse 2>/dev/null || sudo -n modprobe fuse 2>/dev/null || :
[ -e /dev/fuse ] || die "there is no /dev/fuse: load the module (modprobe fuse), or start the container with --device /dev/fuse"

say "What is missing is installed"
sh util/deps.sh run
if [ "$(id -u)" != 0 ]; then
	if [ ! -r /dev/fuse ] || [ ! -w /dev/fuse ]; then
		die "/dev/fuse is closed to you: run this as root, or once: sudo chmod 666 /dev/fuse"
	fi
	command -v fusermount3 >/dev/null || die "fusermount3 is missing: apt-get install fuse3"
fi

say "A release is built (build-release/)"
[ -f build-release/build.ninja ] || meson setup build-release --buildtype=release -Dtests=disabled >/dev/null
ninja --quiet -C build-release
coffer=$PWD/build-release/util/cli/coffer

# Short: the path of the mount is part of what the compiler prints.
work=$(mktemp -d "${TMPDIR:-/tmp}/coffer.XXXXXX")
vault=$work/vault
plain=$work/plain
secret=$work/passphrase
mkdir "$plain"
(umask 077 && head -c 18 /dev/urandom | base64 >"$secret")

say "A volume, and its mount"
"$coffer" init "$vault" --passphrase-file "$secret" --recovery-key-file "$work/recovery-key"
"$coffer" mount "$vault" "$plain" --passphrase-file "$secret"

say "A real tree goes in: /usr/include"
cp -r /usr/include "$plain/include"
echo "$(find "$plain/include" -type f | wc -l) files, $(du -sh "$plain/include" | cut -f 1)"

say "A program is compiled inside the mount, and runs there"
cat >"$plain/hello.c" <<'PROGRAM'
#include <stdio.h>
int main(void)
{
	puts("hello from a program that is stored encrypted");
	return 0;
}
PROGRAM
gcc -I "$plain/include" -o "$plain/hello" "$plain/hello.c"
"$plain/hello"

say "What you see, and what the disk holds"
# The same files on the left and on the right; `coffer path` says which is which.
printf '%-22s | %s\n' "$plain" "$vault/data"
for name in hello hello.c include include/stdio.h; do
	below=$("$coffer" path "$vault" --passphrase-file "$secret" "$name")
	printf '%-22s | %s\n' "$name" "$(printf '%s' "${below#"$vault/data/"}" | cut -c 1-100)"
done
if grep -rqF "stored encrypted" "$vault"; then
	die "readable text was found in $vault"
fi
echo "(no name and no text is readable in $vault)"

say "Unmounted, mounted again, compared"
"$coffer" umount "$plain"
[ -z "$(ls -A "$plain")" ] || die "$plain is not empty after the unmount"
"$coffer" mount "$vault" "$plain" --passphrase-file "$secret"
# Symbolic links are compared, not followed: relative ones lead nowhere from here.
diff -r --no-dereference /usr/include "$plain/include" || die "the copy differs from /usr/include"
"$plain/hello" >/dev/null
echo "identical"
"$coffer" umount "$plain"

say "Your own volume: three commands"
cat <<END
  $coffer init ~/vault
  mkdir -p ~/plain && $coffer mount ~/vault ~/plain
  $coffer umount ~/plain
END
