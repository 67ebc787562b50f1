#!/usr/bin/python3
"""Counts the requests that reach the mount: what the kernel knows it must not ask again.

The mount process writes its counters, JSON {"LOOKUP": n, ...}, into the file that COFFER_REQUEST_COUNTS names, on SIGUSR1.
"""

import json
import os
import signal
import sys

import harness
from harness import Volume, content, equal, need, need_mount, run, wait_until, write_file


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

    counts = c.during(create)
    print(f"  {n} files: {counts}")
    equal(sum(counts.values()) <= 6 * n, True, f"requests for {n} files: {counts}")
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
    ls()
    ls()
    counts = c.during(ls)
    counts.pop("GETXATTR", None)  # ls asks for attributes of security modules, which no kernel caches
    equal(without_statfs(counts), {}, "requests of the third ls -lR")
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
