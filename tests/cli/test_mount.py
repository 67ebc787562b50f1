"""coffer mount, umount, path and status with a mount; the mount helpers; the bad input that needs a mount."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest

import cli

SKIPPED = 77  # for meson
FUSE = os.path.exists("/dev/fuse") and os.access("/dev/fuse", os.R_OK | os.W_OK)
ROOT = os.geteuid() == 0
NOBODY = 65534


def mounted(point):
    with open("/proc/self/mountinfo") as f:
        return any(line.split()[4] == point for line in f)


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("waited in vain")
        time.sleep(0.02)


class MountCase(cli.Case):
    def setUp(self):
        super().setUp()
        self.vault = self.volume()
        self.point = self.path("point")
        os.mkdir(self.point)
        self.addCleanup(self.clear)

    def clear(self):
        """Whatever a test left at the mount point."""
        with open("/proc/self/mountinfo") as f:
            points = [line.split()[4] for line in f if line.split()[4].startswith(self.top + "/")]
        for point in reversed(points):
            if ROOT:
                subprocess.run(["umount", "-l", point], stderr=subprocess.DEVNULL, check=False)
            else:
                subprocess.run(["fusermount3", "-uz", point], stderr=subprocess.DEVNULL, check=False)

    def mount(self, *options, vault=None, point=None):
        self.good("mount", vault or self.vault, point or self.point, "--key-file", self.key, *options)

    def umount(self, point=None):
        self.good("umount", point or self.point)

    def write(self, name, text):
        with open(os.path.join(self.point, name), "w") as f:
            f.write(text)

    def read(self, name):
        with open(os.path.join(self.point, name)) as f:
            return f.read()

    def server(self):
        """The process that serves self.vault: it holds the lock."""
        inode = os.stat(os.path.join(self.vault, ".coffer", "lock")).st_ino
        with open("/proc/locks") as f:
            for line in f:
                fields = line.split()
                if fields[1] == "FLOCK" and fields[5].endswith(f":{inode}"):
                    return int(fields[4])
        raise AssertionError("no process holds the volume")


class Mount(MountCase):
    def test_life(self):
        self.mount()
        self.write("a", "hello")
        os.mkdir(os.path.join(self.point, "d"))
        self.write("d/b", "world")
        self.umount()
        self.assertEqual(os.listdir(self.point), [])
        self.mount()
        self.assertEqual((self.read("a"), self.read("d/b")), ("hello", "world"))
        self.umount()

    def test_umount_waits_for_the_volume(self):
        """When it returns, the ciphertext is whole: a copy made at once opens and holds everything."""
        self.mount()
        for i in range(200):
            self.write(f"file {i}", "x" * i * 50)
        self.umount()
        copy = self.path("copy")
        shutil.copytree(self.vault, copy, symlinks=True)
        os.mkdir(self.path("point2"))
        self.mount(vault=copy, point=self.path("point2"))
        self.assertEqual(len(os.listdir(self.path("point2"))), 200)
        self.umount(self.path("point2"))

    def test_passphrase_at_a_terminal(self):
        self.good("key", "add", self.vault, "--key-file", self.key, "--new-passphrase-file", self.file("p", b"words"))
        t = cli.Terminal("mount", self.vault, self.point)
        t.expect("Passphrase")
        t.type("words")
        self.assertEqual(t.end(), cli.OK)
        self.write("a", "x")
        self.umount()

    def test_secret_in_the_options(self):
        self.good("mount", self.vault, self.point, "-o", f"key_file={self.key},noatime")
        self.umount()
        self.unchanged(self.top, cli.USAGE, "mount", self.vault, self.point, "-o", f"key_file={self.key}", "--key-file",
                       self.key)

    def test_foreground(self):
        process = cli.start([cli.COFFER, "mount", self.vault, self.point, "-f", "--key-file", self.key])
        try:
            wait_until(lambda: mounted(self.point))
            self.umount()
            self.assertEqual(process.wait(20), 0)
        finally:
            process.kill()
            process.communicate()

    def test_read_only(self):
        self.mount()
        self.write("a", "x")
        self.umount()
        before = cli.snapshot(os.path.join(self.vault, "data"))
        self.mount("-o", "ro")
        with self.assertRaises(OSError):
            self.write("b", "y")
        self.assertEqual(self.read("a"), "x")
        data = json.loads(self.good("status", self.vault, "--json").out)
        self.assertTrue(data["mounts"][0]["read_only"])
        self.umount()
        self.assertEqual(cli.snapshot(os.path.join(self.vault, "data")), before)

    def test_odd_names(self):
        for name in ("with blank", "with,comma", "with\\back\\040slash", "with\nnewline", "ümläut"):
            with self.subTest(name):
                vault, point = self.path("v " + name), self.path("p " + name)
                self.good("init", vault, "--key-file", self.key, "--no-recovery-key")
                os.mkdir(point)
                self.mount(vault=vault, point=point)
                data = json.loads(self.good("status", point, "--json").out)
                self.assertTrue(data["mounted"])
                self.umount(point)
                self.assertFalse(mounted(point))

    def test_status(self):
        self.mount()
        for word in (self.vault, self.point):
            data = json.loads(self.good("status", word, "--json").out)
            self.assertEqual((data["directory"], data["mounted"], data["locked"]), (self.vault, True, True))
            self.assertEqual(data["mounts"], [{"mount_point": self.point, "read_only": False, "dead": False}])
            self.assertIn(self.point, self.good("status", word).out)
        self.assertIn({"mount_point": self.point, "directory": self.vault, "read_only": False, "dead": False},
                      json.loads(self.good("status", "--json").out))
        self.umount()

    def test_keys_beside_a_mount(self):
        self.mount()
        other = self.file("other", os.urandom(64))
        self.good("key", "add", self.vault, "--key-file", self.key, "--new-key-file", other)
        self.write("a", "x")
        self.umount()
        self.good("mount", self.vault, self.point, "--key-file", other)
        self.assertEqual(self.read("a"), "x")
        self.umount()

    def test_path(self):
        self.mount()
        os.mkdir(os.path.join(self.point, "d"))
        names = ["a", "d", "d/b", "d/" + "long" * 60]
        for name in names:
            if name != "d":
                self.write(name, "x" * 10)
        for name in names:
            for place, path in ((self.vault, name), (self.point, name), (self.point, os.path.join(self.point, name)),
                                (self.vault, "/" + name + "/")):
                below = self.good("path", place, path, "--key-file", self.key).out.rstrip("\n")
                self.assertTrue(below.startswith(self.vault + "/data/"), below)
                self.assertTrue(os.path.lexists(below), below)
            self.assertEqual(os.stat(below).st_ino, os.stat(below).st_ino)
            back = self.good("path", self.vault, "--decrypt", below, "--key-file", self.key).out
            self.assertEqual(back, name + "\n")
            back = self.good("path", self.point, "--decrypt", below[len(self.vault) + 1:], "--key-file", self.key).out
            self.assertEqual(back, os.path.join(self.point, name) + "\n")
        self.bad(cli.USAGE, "path", self.vault, "d/../a", "--key-file", self.key)
        self.bad(cli.FAILED, "path", self.vault, "d/missing", "--key-file", self.key, says="missing")
        self.umount()

    def test_check(self):
        self.mount()
        for i in range(20):
            self.write(f"file {i}", "x" * i * 1000)
        self.unchanged(self.vault, cli.IN_USE, "check", self.vault, "--key-file", self.key)
        self.umount()
        report = json.loads(self.good("check", self.vault, "--deep", "--json", "--key-file", self.key).out)
        self.assertEqual((report["errors"], report["files"]), (0, 20))
        victim = max((os.path.join(d, f) for d, _, files in os.walk(os.path.join(self.vault, "data")) for f in files),
                     key=lambda path: os.lstat(path).st_size)
        with open(victim, "r+b") as f:
            f.seek(4096 + 10)
            byte = f.read(1)
            f.seek(4096 + 10)
            f.write(bytes([byte[0] ^ 1]))
        result = cli.run("check", self.vault, "--deep", "--json", "--key-file", self.key)
        self.assertEqual(result.status, cli.CHECK[cli.DAMAGED], result.err)
        report = json.loads(result.out)
        self.assertEqual(report["errors"], 1)
        self.assertEqual(report["findings"][0]["path"], "file 19")
        link = self.path("fsck.coffer")
        os.symlink(cli.COFFER, link)
        self.assertEqual(cli.run_program([link, "-n", "--deep", "--key-file", self.key, self.vault]).status, 4)


class BadMount(MountCase):
    def bad_mount(self, status, vault=None, point=None, says="", options=()):
        self.unchanged(self.top, status, "mount", vault or self.vault, point or self.point, "--key-file", self.key, *options,
                       says=says)

    def test_mount_point(self):
        self.bad_mount(cli.MOUNT_POINT, point=self.path("missing"), says="missing")
        self.bad_mount(cli.MOUNT_POINT, point=self.key, says="key")
        self.bad_mount(cli.MOUNT_POINT, point=self.vault)
        self.bad_mount(cli.MOUNT_POINT, point=os.path.join(self.vault, "data"))

    def test_options(self):
        self.bad_mount(cli.USAGE, options=["-o", "ro,melt"], says="melt")
        self.bad_mount(cli.USAGE, options=["-o", "idle=soon"], says="idle")

    def test_already_mounted(self):
        self.mount()
        self.write("a", "x")
        os.mkdir(self.path("point2"))
        for point in (self.point, self.path("point2")):
            result = cli.run("mount", self.vault, point, "--key-file", self.key)
            self.assertIn(result.status, (cli.IN_USE, cli.MOUNT_POINT))
            self.assertEqual(len(result.err.splitlines()), 1, result.err)
        # Another volume on the same point would hide the first.
        other = self.volume("other-vault")
        self.bad(cli.MOUNT_POINT, "mount", other, self.point, "--key-file", self.key, says=self.point)
        self.assertEqual(self.read("a"), "x")
        self.bad(cli.IN_USE, "erase", self.vault, "--yes")
        self.umount()

    def test_umount_busy(self):
        self.mount()
        self.write("a", "x")
        with open(os.path.join(self.point, "a")):
            self.bad(cli.IN_USE, "umount", self.point, says=f"fuser -vm {self.point}")
        self.umount()

    def test_umount_of_the_volume(self):
        self.mount()
        self.bad(cli.MOUNT_POINT, "umount", self.vault, says=self.point)
        self.umount()

    def test_the_mount_instead_of_the_volume(self):
        self.mount()
        for verb in (["check"], ["erase", "--yes"]):
            secret = ["--key-file", self.key] if verb[-1] in ("test", "check") else []
            self.bad(cli.NOT_VOLUME, *[word for word in verb if word[0] != "-"], self.point,
                     *[word for word in verb if word[0] == "-"], *secret)
        self.bad(cli.NOT_EMPTY, "init", os.path.join(self.point, "nested"), "--key-file", self.key, "--no-recovery-key")
        self.umount()

    def test_adopt(self):
        """A copy beside the volume: refused by this host until it is adopted, then both are mounted at once."""
        os.environ["COFFER_STATE_DIR"] = self.path("state")
        self.addCleanup(os.environ.__setitem__, "COFFER_STATE_DIR", "")
        self.mount()
        self.write("a", "text")
        self.umount()
        copy, beside = self.path("copy"), self.path("beside")
        shutil.copytree(self.vault, copy, symlinks=True)
        os.mkdir(beside)
        self.good("key", "rotate", self.vault, "--key-file", self.key)
        self.bad(cli.REFUSED, "mount", copy, beside, "--key-file", self.key, says="coffer adopt")
        self.mount()
        self.good("adopt", copy, "--key-file", self.key)
        self.mount(vault=copy, point=beside)
        for point in (self.point, beside):
            with open(os.path.join(point, "a")) as f:
                self.assertEqual(f.read(), "text")
        ids = [json.loads(self.good("status", v, "--json").out) for v in (self.vault, copy)]
        self.assertEqual(ids[0]["volume_id"], ids[1]["volume_id"])
        self.assertNotEqual(ids[0]["instance_id"], ids[1]["instance_id"])
        self.bad(cli.IN_USE, "adopt", copy, "--key-file", self.key)
        self.umount(beside)
        self.umount()
        self.good("check", copy, "--deep", "--key-file", self.key)
        self.good("key", "audit", "verify", copy, "--key-file", self.key)

    def test_adoption_cut_short(self):
        """Whatever of keyring, settings and journal is still of the old id: the volume opens, and adopt finishes."""
        self.mount()
        self.write("a", "text")
        self.umount()
        dot = os.path.join(self.vault, ".coffer")
        kept = self.path("kept")
        shutil.copytree(dot, kept)
        self.good("adopt", self.vault, "--key-file", self.key)
        for old in (["volume.json", "volume.json.bak", "journal"], ["volume.json.bak", "journal"], ["journal"],
                    ["volume.json"]):
            for name in old:
                shutil.copy(os.path.join(kept, name), os.path.join(dot, name))
            self.good("adopt", self.vault, "--key-file", self.key)
            self.mount()
            with open(os.path.join(self.point, "a")) as f:
                self.assertEqual(f.read(), "text", old)
            self.umount()
            self.good("check", self.vault, "--deep", "--key-file", self.key)
            for name in ("volume.json", "volume.json.bak", "journal"):  # of the id before the next adoption
                shutil.copy(os.path.join(dot, name), os.path.join(kept, name))
            self.good("adopt", self.vault, "--key-file", self.key)

    def test_dead_mount(self):
        """A killed process leaves a mount that answers nothing: status says so, umount and mount clear it."""
        for clear in ("umount", "mount"):
            self.mount()
            self.write("a", "x")
            os.kill(self.server(), signal.SIGKILL)
            wait_until(lambda: json.loads(self.good("status", self.vault, "--json").out)["mounts"][0]["dead"])
            self.assertIn("dead", self.good("status", self.point).out)
            if clear == "umount":
                self.umount()
            else:
                self.mount()
                self.assertEqual(self.read("a"), "x")
                self.umount()
            self.assertFalse(mounted(self.point))

    def test_daemon_says_why_not(self):
        """The parent returns the child's reason, and nothing keeps the caller's pipes open."""
        self.bad(cli.WRONG_SECRET, "mount", self.vault, self.point, "--key-file", self.file("other", os.urandom(64)))
        self.assertFalse(mounted(self.point))

    @unittest.skipUnless(ROOT, "needs root")
    def test_no_fuse_device(self):
        script = 'mount -t tmpfs x /dev; mknod /dev/null c 1 3; exec "$@"'
        before = cli.snapshot(self.top)
        result = cli.run_program(["unshare", "-m", "--propagation", "private", "/bin/sh", "-ec", script, "sh", cli.COFFER,
                                  "mount", self.vault, self.point, "--key-file", self.key])
        self.check_bad(result, cli.NO_FUSE, "/dev/fuse", "no device")
        self.assertEqual(cli.snapshot(self.top), before)

    @unittest.skipUnless(ROOT, "needs root")
    def test_read_only_store(self):
        """As mount(8) does, a read-only store is mounted read-only; nothing is written to it."""
        self.mount()
        self.write("a", "hello")
        self.umount()
        script = '''
            mount --bind "$1" "$1"
            mount -o remount,ro,bind "$1"
            "$3" mount "$1" "$2" --key-file "$4"
            cat "$2/a"
            touch "$2/b" 2>/dev/null && echo written
            "$3" umount "$2"
        '''
        before = cli.snapshot(self.vault)
        result = cli.run_program(["unshare", "-m", "--propagation", "private", "/bin/sh", "-c", script, "sh", self.vault,
                                  self.point, cli.COFFER, self.key])
        self.assertEqual((result.status, result.out), (0, "hello"), result.err)
        self.assertEqual(cli.snapshot(self.vault), before)

    @unittest.skipUnless(ROOT and shutil.which("setpriv") and shutil.which("fusermount3"), "needs root and fusermount3")
    def test_plain_user(self):
        """Through fusermount3, with a device that is open to all: mount, use, busy, dead, unmount."""
        script = '''
            mount -t tmpfs x /mnt
            mknod -m 666 /mnt/fuse c 10 229
            mount --bind /mnt/fuse /dev/fuse
            exec setpriv --reuid 65534 --regid 65534 --clear-groups /bin/sh -ec "$0" "$@"
        '''
        user = '''
            coffer=$1 vault=$2 point=$3 key=$4
            "$coffer" mount "$vault" "$point" --key-file "$key"
            echo hello >"$point/a"
            (cd "$point" && ! "$coffer" umount "$point" 2>"$vault.err")
            grep -q "fuser -vm" "$vault.err"
            "$coffer" status "$point" | grep -q "mounted *at $point"
            "$coffer" umount "$point"
            [ ! -e "$point/a" ]
            "$coffer" mount "$vault" "$point" --key-file "$key" -f &
            while [ ! -e "$point/a" ]; do sleep 0.05; done
            kill -9 $!
            wait || :
            "$coffer" status "$point" | grep -q dead
            "$coffer" umount "$point"
            ! grep -q "$point" /proc/self/mountinfo
        '''
        os.chmod(self.top, 0o777)
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", self.vault, self.point, self.key], check=True)
        result = cli.run_program(["unshare", "-m", "--propagation", "private", "/bin/sh", "-ec", script, user, cli.COFFER,
                                  cli.COFFER, self.vault, self.point, self.key])
        self.assertEqual(result.status, 0, result.err)

    @unittest.skipUnless(ROOT, "needs root")
    def test_helper_as_another_user(self):
        link = self.path("mount.coffer")
        os.symlink(cli.COFFER, link)
        os.chmod(self.top, 0o755)
        os.chmod(self.key, 0o644)
        before = cli.snapshot(self.top)
        result = cli.run_program([link, self.vault, self.point, "-o", f"rw,key_file={self.key}"], user=NOBODY, group=NOBODY)
        self.check_bad(result, 32, "", "helper as nobody")
        self.assertEqual(cli.snapshot(self.top), before)


@unittest.skipUnless(ROOT, "needs root")
class Helper(MountCase):
    def setUp(self):
        super().setUp()
        self.link = self.path("mount.fuse.coffer")
        os.symlink(cli.COFFER, self.link)

    def helper(self, status, *arguments, says=None):
        result = cli.run_program([self.link, self.vault, self.point, *arguments])
        self.assertEqual(result.status, status, result.err)
        if says:
            self.assertIn(says, result.err)

    def test_as_mount_calls_it(self):
        options = f"rw,nosuid,nodev,noexec,nofail,_netdev,user,x-systemd.automount,key_file={self.key}"
        self.helper(0, "-o", options, "-n", "-v", "-t", "fuse.coffer")
        self.assertTrue(mounted(self.point))
        self.umount()

    def test_fake_and_read_only(self):
        self.helper(0, "-f", "-o", f"key_file={self.key}")
        self.assertFalse(mounted(self.point))
        self.helper(0, "-r", "-o", f"key_file={self.key}")
        with self.assertRaises(OSError):
            self.write("a", "x")
        self.umount()

    def test_errors(self):
        self.helper(1, "-o", f"melt,key_file={self.key}", says="melt")
        self.helper(32, "-o", "rw", says="passphrase")  # no secret, no terminal

    def test_namespace(self):
        """-N: the mount appears in the other namespace only."""
        holder = cli.start(["unshare", "-m", "--propagation", "private", "sleep", "60"])
        try:
            wait_until(lambda: os.readlink(f"/proc/{holder.pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt"))
            self.helper(0, "-N", str(holder.pid), "-o", f"key_file={self.key}")
            self.assertFalse(mounted(self.point))
            with open(f"/proc/{holder.pid}/mountinfo") as f:
                self.assertIn(f" {self.point} ", f.read())
            subprocess.run(["nsenter", f"--mount=/proc/{holder.pid}/ns/mnt", cli.COFFER, "umount", self.point], check=True)
        finally:
            holder.kill()
            holder.communicate()


if __name__ == "__main__":
    if not FUSE:
        print("/dev/fuse is missing or closed")
        sys.exit(SKIPPED)
    cli.main()
