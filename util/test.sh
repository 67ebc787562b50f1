#!/bin/sh
# test.sh [-b BUILDDIR] [-c MESON_ARGUMENT]... [-x SUITE]... [SUITE]...
# Installs what is missing, builds, runs the tests (all, or those of the suites named, or all but those of -x), and ends with the
# line "N passed, N failed".  Exit status 1 if anything failed.
#
# The suite "soak" (hundreds of kills, a hundred thousand power cuts) takes hours, and is run where it is named.
set -u

usage()
{
	echo "usage: test.sh [-b BUILDDIR] [-c MESON_ARGUMENT]... [-x SUITE]... [SUITE]..." >&2
	exit 2
}

# The last line, whatever happened before it.
finish()
{
	echo "$1 passed, $2 failed"
	[ "$2" -eq 0 ]
	exit $?
}

build="build-test"
configure=
select=
while getopts b:c:x: option; do
	case $option in
	b) build=$OPTARG ;;
	c) configure="$configure $OPTARG" ;;
	x) select="$select --no-suite $OPTARG" ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || {
	select="$select --no-suite soak"
	echo "test.sh: all but the suite soak, which takes hours: sh util/test.sh soak"
}
packages="test"
for suite; do
	select="$select --suite $suite"
	[ "$suite" != soak ] || packages="soak"
done

cd "$(dirname "$0")/.." || exit 1
sh util/deps.sh "$packages" || finish 0 1
echo "test.sh: building in $build"
# shellcheck disable=SC2086 # words on purpose, here and below
if [ -f "$build/build.ninja" ]; then
	[ -z "$configure" ] || meson configure "$build" $configure >/dev/null || finish 0 1
else
	meson setup "$build" -Dtests=enabled $configure >"$build.log" 2>&1 || {
		cat "$build.log" >&2
		finish 0 1
	}
	rm -f "$build.log"
fi
ninja --quiet -C "$build" >"$build/build.log" 2>&1 || {
	tail -n 60 "$build/build.log" >&2
	finish 0 1
}

log=$build/meson-logs/testlog.json
rm -f "$log"
# shellcheck disable=SC2086
meson test -C "$build" --no-rebuild --print-errorlogs $select </dev/null
count()
{
	[ -f "$log" ] || {
		echo 0
		return
	}
	# One JSON object a line; each has one "result".
	grep -cE "\"result\": \"($1)\"" "$log"
}
passed=$(count 'OK|EXPECTEDFAIL')
failed=$(count 'FAIL|ERROR|TIMEOUT|INTERRUPT|UNEXPECTEDPASS')
skipped=$(count 'SKIP')
[ "$skipped" -eq 0 ] || {
	echo "skipped here ($skipped):"
	grep -E '"result": "SKIP"' "$log" | sed 's/.*"name": "\([^"]*\)".*/  \1/'
}
# No result at all is a failure: a suite name that does not exist, a test program that could not start.
[ $((passed + failed + skipped)) -gt 0 ] || failed=1
finish "$passed" "$failed"
