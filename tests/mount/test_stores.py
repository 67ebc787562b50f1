#!/usr/bin/python3
"""Other filesystems below: what a store can do the mount does, what it lacks gives the errno that it would give."""

import errno
import os
import sys

import harness
from harness import Volume, content, equal, need_mount, read_file, renameat2, run, store, write_file


def exercise(kind, init=(), sizes=(0, 1, 3968, 3969, 100000, 300000)):
    """A tree with everything in it, seen again after a remount, and checked."""
    need_mount()
    with store(kind, "2G" if kind != "tmpfs" else "500M") as point, Volume(on=point, init=init) as volume:
        volume.mount()
        m = volume.mnt
        for n in sizes:
            write_file(f"{m}/{n}", content(n, n))
        for n in (1, 100, 150, 200, 255):
            write_file(f"{m}/{'n' * n}", b"%d" % n)
        os.mkdir(f"{m}/d")
        renameat2(f"{m}/3968", f"{m}/3969", harness.EXCHANGE)
        os.link(f"{m}/1", f"{m}/d/hard")
        links = [n for n in (1, 100, 700, 1000, 1023, 2000, 4095)]
        for n in links:
            os.symlink("t" * n, f"{m}/d/link{n}")
        fd = os.open(f"{m}/sparse", os.O_CREAT | os.O_RDWR)
        for at in (0, 245760, 17022976, 1896071168):
            os.pwrite(fd, b"here", at)
        os.close(fd)
        values = {"user.small": b"v", "user." + "n" * 200: b"long name", "user.medium": content("m", 1000)}
        for name, value in values.items():
            os.setxattr(f"{m}/1", name, value)
        volume.remount()
        equal(read_file(f"{m}/3968"), content(3969, 3969))
        for n in sizes:
            if n not in (3968, 3969):
                equal(read_file(f"{m}/{n}"), content(n, n))
        for n in links:
            equal(os.readlink(f"{m}/d/link{n}"), "t" * n)
        equal(os.stat(f"{m}/1").st_ino, os.stat(f"{m}/d/hard").st_ino)
        fd = os.open(f"{m}/sparse", os.O_RDONLY)
        for at in (0, 245760, 17022976, 1896071168):
            equal(os.pread(fd, 4, at), b"here")
        equal(os.fstat(fd).st_blocks * 512 < 2 << 20, True, "sparse files stay sparse")
        os.close(fd)
        for name, value in values.items():
            equal(os.getxattr(f"{m}/1", name), value)
        equal(os.statvfs(m).f_namemax, 255)
        volume.umount()
        volume.check("--deep")
        shown = volume.coffer("status", volume.dir).stdout
        equal(len(shown) > 0, True)


def test_ext4():
    exercise("ext4")


def test_tmpfs():
    exercise("tmpfs")


def test_xfs():
    exercise("xfs")


def test_btrfs():
    exercise("btrfs")


def test_portable():
    exercise("ext4", init=["--portable"])


def test_large_attributes():
    """Up to 64 KiB less what sealing adds; E2BIG beyond."""
    need_mount()
    with store("xfs", "1G") as point, Volume(on=point) as volume:
        volume.mount()
        f = f"{volume.mnt}/f"
        write_file(f, b"content")
        for size in (0, 1, 4096, 10000, 65536 - 600):
            os.setxattr(f, "user.v", content(size, size))
            equal(os.getxattr(f, "user.v"), content(size, size), f"value of {size} bytes")
        harness.fails((errno.E2BIG, errno.ENOSPC), os.setxattr, f, "user.v", bytes(65536))
        equal(os.getxattr(f, "user.v"), content(65536 - 600, 65536 - 600), "after a refusal")
        for i in range(50):
            os.setxattr(f, f"user.{i}-{'x' * (i * 4)}", content(i, 1000))
        volume.remount()
        for i in range(50):
            equal(os.getxattr(f, f"user.{i}-{'x' * (i * 4)}"), content(i, 1000))
        equal(len(os.listxattr(f)), 51)
        equal(read_file(f), b"content")
        volume.umount()


def test_vfat():
    need_mount()
    with store("vfat", "200M") as point, Volume(on=point, init=["--portable"]) as volume:
        volume.mount()
        m = volume.mnt
        for n in (0, 1, 5000, 300000):
            write_file(f"{m}/{n}", content(n, n))
        write_file(f"{m}/{'n' * 255}", b"long")
        os.mkdir(f"{m}/Case")
        os.mkdir(f"{m}/case")
        harness.fails((errno.EPERM, errno.EOPNOTSUPP), os.symlink, "x", f"{m}/l")
        harness.fails((errno.EPERM, errno.EOPNOTSUPP), os.link, f"{m}/1", f"{m}/h")
        volume.remount()
        for n in (0, 1, 5000, 300000):
            equal(read_file(f"{m}/{n}"), content(n, n))
        equal(sorted(os.listdir(m)), sorted(["0", "1", "5000", "300000", "n" * 255, "Case", "case"]))
        volume.umount()


if __name__ == "__main__":
    sys.exit(harness.main())
