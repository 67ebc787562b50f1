#!/usr/bin/python3
"""Counts the requests that reach the mount: what the kernel knows it must not ask again.

The mount process writes its counters, JSON {"LOOKUP": n, ...}, into the file that COFFER_REQUEST_COUNTS names, on SIGUSR1.
"""

import errno
import json
import os
import signal
import sys

import harness
from harness import Volume, content, equal, fails, need, need_mount, run, wait_until, write_file


class Counter:
    def __init__(self, volume):
        self.volume = volume
        self.file = f"{volume.base}/counts"

    def mount(self, *options):
        self.volume.mount(*options, env={"COFFER_REQUEST_COUNTS": self.file})

    def now(self):
        with harness.contextlib.suppress(FileNotFoundError):
            os.unlink(self.file)
        self.volume.process.send_signal(signal.SIGUSR1)

        def complete():
            try:
                self.counts = json.loads(harness.read_file(self.file))
                return True
            except (FileNotFoundError, ValueError):
                return False

        wait_until(complete, 10, "counters of requests")
        return {k: v for k, v in self.counts.items() if v and k not in ("FORGET", "BATCH_FORGET", "INTERRUPT")}

    def during(self, function):
        before = self.now()
        function()
        after = self.now()
        return {k: n - before.get(k, 0) for k, n in after.items() if n != before.get(k, 0)}


def make_tree(m):
    for i in range(7):
        os.mkdir(f"{m}/d{i}")
        if i < 5:
            for j in range(40):
                write_file(f"{m}/d{i}/f{j}", content(f"{i} {j}", 3000 + 50 * j))
    os.symlink("d0/f0", f"{m}/l")


def counted(volume):
    need_mount()
    c = Counter(volume)
    c.mount()
    make_tree(volume.mnt)
    volume.umount()
    c.mount()
    return c


def without_statfs(counts):
    return {k: v for k, v in counts.items() if k != "STATFS"}


def test_grep(volume):
    need("grep")
    c = counted(volume)
    grep = lambda: run("grep", "-r", "no such text", volume.mnt, check=False)
    first = c.during(grep)
    second = c.during(grep)
    print(f"  first {first}, second {second}")
    for i in range(3):
        counts = c.during(grep)
        equal(without_statfs(counts), {}, f"requests of grep -r number {i + 3}")
        equal(counts.get("STATFS", 0) <= 1, True, "at most one STATFS")
    for kind in ("OPEN", "OPENDIR", "FLUSH", "RELEASE", "RELEASEDIR", "GETXATTR", "ACCESS"):
        equal(first.get(kind, 0) + second.get(kind, 0) <= 1, True, f"{kind} requests")
    volume.umount()


def test_stat_of_a_known_path(volume):
    c = counted(volume)
    paths = [f"{volume.mnt}/d1/f1", f"{volume.mnt}/d2", f"{volume.mnt}/l"]
    for p in paths:
        os.stat(p), os.lstat(p)
    os.path.exists(f"{volume.mnt}/none")

    def again():
        for _ in range(100):
            for p in paths:
                os.stat(p), os.lstat(p)
            os.readlink(paths[2])
            os.path.exists(f"{volume.mnt}/none")

    os.readlink(paths[2])
    equal(c.during(again), {})
    volume.umount()


def test_create_write_close(volume):
    c = counted(volume)
    write_file(f"{volume.mnt}/d6/warm", b"x")
    n = 50

    def create():
        for i in range(n):
            write_file(f"{volume.mnt}/d6/new{i}", b"small file" * 20)

    # The kernel asks again for the directory that the file before changed, and for the capabilities that the first write would take.
    counts = c.during(create)
    print(f"  {n} files: {counts}")
    equal(counts, {"LOOKUP": n, "GETATTR": n, "MKNOD": n, "GETXATTR": n, "WRITE": n}, f"requests for {n} files")
    volume.umount()
    c.mount("noxattr")
    for i in range(n):
        os.unlink(f"{volume.mnt}/d6/new{i}")
    write_file(f"{volume.mnt}/d6/warmer", b"x")
    counts = c.during(create)
    equal(sum(counts.values()) <= 4 * n, True, f"requests for {n} files without attributes: {counts}")
    volume.umount()
    c.mount("noperm")
    for i in range(n):
        os.unlink(f"{volume.mnt}/d6/new{i}")
    write_file(f"{volume.mnt}/d6/warmest", b"x")
    counts = c.during(create)
    equal(counts, {"LOOKUP": n, "MKNOD": n, "GETXATTR": n, "WRITE": n}, f"requests for {n} files whose permissions nobody checks")
    volume.umount()


def unpack(path):
    """What tar does as root, in its order."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(fd, b"small file" * 20)
    os.utime(fd, ns=(5, 5))
    os.fchown(fd, os.geteuid(), os.getegid())
    os.fchmod(fd, 0o644)
    os.close(fd)


def test_untar(volume):
    c = counted(volume)
    n = 50
    ways = ((), 9, "as root"), (("noperm",), 8, "unchecked"), (("noxattr",), 7, "without attributes"), (("noxattr", "noperm"), 6, "neither")
    for options, most, what in ways:
        volume.umount()
        c.mount(*options)
        os.mkdir(f"{volume.mnt}/{what}")
        unpack(f"{volume.mnt}/{what}/warm")

        def files():
            for i in range(n):
                unpack(f"{volume.mnt}/{what}/{i}")

        counts = c.during(files)
        print(f"  {what}: {counts}")
        equal(sum(counts.values()) <= most * n, True, f"requests for {n} files of an archive, {what}: {counts}")
    volume.umount()


def test_unlink(volume):
    c = counted(volume)
    for i in range(40):
        os.stat(f"{volume.mnt}/d1/f{i}")

    def unlink():
        for i in range(40):
            os.unlink(f"{volume.mnt}/d1/f{i}")

    counts = c.during(unlink)
    print(f"  40 files: {counts}")
    equal(counts.get("UNLINK"), 40)
    equal(sum(counts.values()) <= 2 * 40, True, f"requests of 40 unlinks: {counts}")
    volume.umount()
    c.mount("noperm")
    for i in range(40):
        os.stat(f"{volume.mnt}/d2/f{i}")

    def unlink_unchecked():
        for i in range(40):
            os.unlink(f"{volume.mnt}/d2/f{i}")

    equal(c.during(unlink_unchecked), {"UNLINK": 40}, "requests of 40 unlinks that nobody checks")
    volume.umount()


def test_append_to_a_log(volume):
    c = counted(volume)
    fd = os.open(f"{volume.mnt}/d0/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(fd, bytes(4096))

    def append():
        for _ in range(50):
            os.write(fd, bytes(4096))

    equal(c.during(append), {"WRITE": 50}, "requests of 50 appends")
    os.close(fd)

    def again():
        for _ in range(50):
            fd = os.open(f"{volume.mnt}/d0/log", os.O_WRONLY | os.O_APPEND)
            os.write(fd, b"a line\n")
            os.close(fd)

    counts = c.during(again)
    equal(counts.get("WRITE"), 50)
    equal(sum(counts.values()) <= 52, True, f"requests of 50 times open, append, close: {counts}")
    volume.umount()


def test_no_attributes(volume):
    need_mount()
    volume.mount("noxattr")
    path = f"{volume.mnt}/f"
    write_file(path, b"x")
    fails(errno.EOPNOTSUPP, os.setxattr, path, "user.a", b"1")
    fails(errno.EOPNOTSUPP, os.getxattr, path, "user.a")
    fails(errno.EOPNOTSUPP, os.setxattr, path, "system.posix_acl_access", b"\2\0\0\0")
    volume.umount()


def test_small_writes_ask_for_no_attributes(volume):
    c = counted(volume)
    fd = os.open(f"{volume.mnt}/d0/f0", os.O_RDWR)
    os.write(fd, b"x")

    def write():
        for i in range(100):
            os.write(fd, b"0123456789")

    counts = c.during(write)
    os.close(fd)
    equal(counts.get("WRITE"), 100)
    equal(sum(counts.values()) <= 102, True, f"requests of 100 writes: {counts}")
    volume.umount()


def test_listing_again(volume):
    c = counted(volume)
    ls = lambda: run("ls", "-lR", volume.mnt)
    # The second asks for the directories' attributes again, since the first one read them; with these the kernel forgets their ACLs.
    for _ in range(3):
        ls()
    counts = c.during(ls)
    # The label of a security module, which no kernel caches, until ls is told that there are none; and two ACLs of the mount's root,
    # whose inode is older than the agreement to cache them.
    attributes = counts.pop("GETXATTR", 0)
    equal(attributes <= 3, True, f"GETXATTR: {attributes}")
    equal(without_statfs(counts), {}, "requests of the fourth ls -lR")
    volume.umount()


def test_large_reads(volume):
    need_mount()
    c = Counter(volume)
    c.mount()
    write_file(f"{volume.mnt}/big", bytes(16 << 20))
    volume.umount()
    c.mount()
    counts = c.during(lambda: run("cat", f"{volume.mnt}/big", stdout=harness.subprocess.DEVNULL))
    limit = 40 if harness.ROOT else 150  # 1 MiB each as root, which may raise the read-ahead; else 128 KiB
    equal(counts["READ"] <= limit, True, f"READ requests for 16 MiB: {counts}")
    volume.umount()


if __name__ == "__main__":
    sys.exit(harness.main())
