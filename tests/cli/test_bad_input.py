"""Bad input, as far as no mount is needed: each has its exit status, says one line, and changes nothing."""

import os
import re
import shutil
import subprocess
import unittest

import cli

UNLOCKING = [["check", "{v}"], ["path", "{v}", "x"], ["key", "add", "{v}", "--new-key-file", "{other}"],
             ["key", "remove", "{v}", "1"], ["key", "passwd", "{v}", "--new-passphrase-file", "{other}"],
             ["key", "test", "{v}"], ["mount", "{v}", "{m}"]]
READING = [["status", "{v}"], ["key", "list", "{v}"]]


def in_namespace(script, *arguments):
    """Runs a shell script as root in a mount namespace of its own: nothing that it mounts stays."""
    return cli.run_program(["unshare", "-m", "--propagation", "private", "/bin/sh", "-ec", script, "sh", *arguments])


def can_mount():
    return os.geteuid() == 0 and in_namespace('mount -t tmpfs x "$1"', "/mnt").status == 0


class BadInput(cli.Case):
    def setUp(self):
        super().setUp()
        self.vault = self.volume()
        self.other = self.file("other", os.urandom(64))
        self.point = self.path("point")
        os.mkdir(self.point)

    def fill(self, verb, vault=None):
        names = {"v": vault or self.vault, "other": self.other, "m": self.point}
        return [word.format(**names) for word in verb]

    def each(self, verbs, status, *secret, vault=None, says=""):
        for verb in verbs:
            with self.subTest(verb=verb):
                self.unchanged(self.top, status, *self.fill(verb, vault), *secret, says=says)

    def test_no_secret_and_no_terminal(self):
        self.each(UNLOCKING, cli.NO_SECRET, says="--passphrase-file")
        self.unchanged(self.top, cli.NO_SECRET, "init", self.path("new"), "--no-recovery-key", says="--passphrase-file")
        self.unchanged(self.top, cli.NO_SECRET, "key", "add", self.vault, "--key-file", self.key, says="--passphrase-file")

    def test_wrong_key_file(self):
        self.each(UNLOCKING, cli.WRONG_SECRET, "--key-file", self.other)

    def test_wrong_passphrase_where_there_is_none(self):
        self.each([["key", "test", "{v}"]], cli.WRONG_SECRET, "--passphrase-command", "echo wrong")

    def test_wrong_passphrase(self):
        self.good("key", "add", self.vault, "--key-file", self.key, "--new-passphrase-file", self.file("p", b"right\n"))
        self.each([["key", "test", "{v}"]], cli.WRONG_SECRET, "--passphrase-command", "echo wrong")
        # More than one newline is a part of it.
        self.each([["key", "test", "{v}"]], cli.WRONG_SECRET, "--passphrase-command", "echo right; echo")

    def test_secret_cannot_be_read(self):
        for secret in (["--passphrase-file", self.path("missing")], ["--passphrase-file", self.point],
                       ["--key-file", self.path("missing")], ["--passphrase-command", "exit 1"],
                       ["--credential", "missing"], ["--passphrase-fd", "99"]):
            self.each([["key", "test", "{v}"]], cli.NO_SECRET, *secret)

    def test_not_a_volume(self):
        os.mkdir(self.path("plain"))
        for place in (self.path("plain"), self.path("missing"), self.key):
            self.each(READING + UNLOCKING, cli.NOT_VOLUME, *[], vault=place, says=place)
        self.each([["erase", "{v}", "--yes"]], cli.NOT_VOLUME, vault=self.path("plain"))

    def edit(self, name, old, new, both=True):
        for suffix in ("", ".bak") if both else ("",):
            path = os.path.join(self.vault, ".coffer", name + suffix)
            with open(path) as f:
                text = f.read()
            self.assertRegex(text, old)
            with open(path, "w") as f:
                f.write(re.sub(old, new, text, count=1))
            cli.seal_again(path)

    def test_unknown_version(self):
        for name in ("volume.json", "keyring.json"):
            with self.subTest(name):
                self.edit(name, r'"version": *1\b', '"version": 2')
                self.each_reading(cli.UNSUPPORTED)
                self.edit(name, r'"version": *2\b', '"version": 1')
        self.good("key", "test", self.vault, "--key-file", self.key)

    def each_reading(self, status, **kw):
        self.each(READING, status, **kw)
        self.each(UNLOCKING, status, "--key-file", self.key, **kw)

    def test_unknown_feature(self):
        self.edit("volume.json", r'"incompatible": *\[\s*\]', '"incompatible": [ "time-travel" ]')
        self.each_reading(cli.UNSUPPORTED, says="time-travel")

    def test_damaged(self):
        """A byte changed in both copies is damage; in one, the other serves, and that is said."""
        for name in ("keyring.json", "volume.json"):
            first = os.path.join(self.vault, ".coffer", name)
            with open(first, "rb") as f:
                good = f.read()
            bad = good[:40] + bytes([good[40] ^ 1]) + good[41:]
            with self.subTest(name):
                with open(first, "wb") as f:
                    f.write(bad)
                result = self.good("key", "test", self.vault, "--key-file", self.key)
                self.assertIn(name, result.err)
                with open(first + ".bak", "wb") as f:
                    f.write(bad)
                self.each_reading(cli.DAMAGED, says=name)
            for path in (first, first + ".bak"):
                with open(path, "wb") as f:
                    f.write(good)

    def test_missing_parts(self):
        shutil.move(os.path.join(self.vault, "data"), self.path("elsewhere"))
        self.each_reading(cli.DAMAGED, says="data")

    def test_in_use(self):
        import fcntl
        with open(os.path.join(self.vault, ".coffer", "lock")) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.each([["check", "{v}"], ["mount", "{v}", "{m}"]], cli.IN_USE, "--key-file", self.key)
            self.each([["erase", "{v}", "--yes"]], cli.IN_USE)

    def test_not_a_mount(self):
        for place in (self.point, self.path("missing"), "/", self.vault):
            self.unchanged(self.top, cli.MOUNT_POINT, "umount", place, says=place)

    def test_missing_programs(self):
        """Nothing but the kernel's own files is needed."""
        self.good("status", self.vault, env={"PATH": "/nonexistent"})

    def test_little_locked_memory(self):
        def limited(kib):
            return cli.run_program(["/bin/sh", "-c", f'ulimit -l {kib}; shift; exec "$0" "$@"', cli.COFFER, "-", "key",
                                    "test", self.vault, "--key-file", self.key], user=65534 if os.geteuid() == 0 else None)
        if os.geteuid() == 0:
            os.chmod(self.top, 0o755)
            subprocess.run(["chown", "-R", "65534", self.vault, self.key], check=True)
        result = limited(1536)
        self.assertEqual(result.status, cli.OK, result.err)
        if os.environ.get("SANITIZE", "none") == "none":  # the sanitizers make mlock(2) do nothing
            self.check_bad(limited(0), cli.FAILED, "ulimit -l", "no locked memory")

    @unittest.skipUnless(can_mount(), "needs root")
    def test_read_only_store(self):
        script = 'mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"; shift; exec "$@"'
        before = cli.snapshot(self.top)
        for arguments, status in ((["key", "add", self.vault, "--key-file", self.key, "--new-key-file", self.other], cli.STORE),
                                  (["key", "remove", self.vault, "1", "--key-file", self.key], cli.STORE),
                                  (["erase", self.vault, "--yes"], cli.STORE),
                                  (["init", self.path("new"), "--key-file", self.key, "--no-recovery-key"], cli.STORE)):
            result = in_namespace(script, self.top, cli.COFFER, *arguments)
            self.check_bad(result, status, "", arguments)
        for arguments in (["status", self.vault], ["key", "list", self.vault],
                          ["key", "test", self.vault, "--key-file", self.key]):
            self.assertEqual(in_namespace(script, self.top, cli.COFFER, *arguments).status, cli.OK, arguments)
        self.assertEqual(cli.snapshot(self.top), before)

    @unittest.skipUnless(can_mount(), "needs root")
    def test_full_store(self):
        """A keyring that cannot be written stays what it was; a volume that cannot be made leaves nothing."""
        script = '''
            mount -t tmpfs -o size=5M x "$2"
            cp -a "$3" "$2/vault"
            head -c 6000000 /dev/zero >"$2/filler" 2>/dev/null || :
            before=$(cat "$2/vault/.coffer/keyring.json")
            status=0
            "$1" key add "$2/vault" --key-file "$4" --new-key-file "$5" || status=$?
            [ "$before" = "$(cat "$2/vault/.coffer/keyring.json")" ]
            "$1" key test "$2/vault" --key-file "$4" >&2
            "$1" init "$2/new" --key-file "$4" --no-recovery-key || status=$status.$?
            [ ! -e "$2/new/.coffer" ]
            echo "status $status"
        '''
        result = in_namespace(script, cli.COFFER, self.point, self.vault, self.key, self.other)
        self.assertEqual(result.status, 0, result.err)
        self.assertEqual(result.out, f"status {cli.STORE}.{cli.STORE}\n", result.err)
        self.assertEqual(result.err.count("coffer: "), 2, result.err)


class Helpers(cli.Case):
    """mount.coffer and fsck.coffer: statuses of mount(8) and fsck(8)."""

    def setUp(self):
        super().setUp()
        self.links = {}
        for name in ("mount.coffer", "mount.fuse.coffer", "fsck.coffer"):
            self.links[name] = self.path(name)
            os.symlink(cli.COFFER, self.path(name))
        self.vault = self.volume()
        self.point = self.path("point")
        os.mkdir(self.point)

    def helper(self, name, status, *arguments, says=""):
        before = cli.snapshot(self.top)
        result = cli.run_program([self.links[name], *arguments])
        self.check_bad(result, status, says, arguments)
        self.assertEqual(cli.snapshot(self.top), before)

    def test_mount_usage(self):
        for name in ("mount.coffer", "mount.fuse.coffer"):
            self.helper(name, 1)
            self.helper(name, 1, self.vault)
            self.helper(name, 1, self.vault, self.point, "third")
            self.helper(name, 1, self.vault, self.point, "-Z", says="-Z")
            self.helper(name, 1, self.vault, self.point, "-o")
            self.helper(name, 32, self.vault, self.point, "-o", "rw", "-N", "/nonexistent", says="namespace")

    def test_mount_failures(self):
        self.helper("mount.coffer", 32, self.point, self.point, "-o", f"key_file={self.key}")
        self.helper("mount.coffer", 32, self.vault, self.point, "-o", "rw")  # no secret, no terminal

    def test_fsck(self):
        self.helper("fsck.coffer", 16)
        self.helper("fsck.coffer", 16, "-Q", self.vault)
        self.helper("fsck.coffer", 16, "-n", self.vault, self.vault)
        self.helper("fsck.coffer", 16, "--key-file", "x", "--key-file", "y", self.vault)
        self.helper("fsck.coffer", 8, "-a", self.vault)
        self.helper("fsck.coffer", 8, "-a", "-C0", "-f", "-t", "coffer", self.point)
        self.assertIn("example", cli.run_program([self.links["fsck.coffer"], "--help"]).out)
        self.assertIn("fsck.coffer", cli.run_program([self.links["fsck.coffer"], "-V"]).out)


if __name__ == "__main__":
    cli.main()
