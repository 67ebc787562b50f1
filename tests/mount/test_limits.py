#!/usr/bin/python3
"""Bounds: descriptors, memory, a full store, a read-only store."""

import errno
import os
import resource
import sys
import time

import harness
from harness import (
    Volume,
    content,
    equal,
    fails,
    need_mount,
    need_root,
    read_file,
    run,
    scaled,
    store,
    write_file,
)


def more_descriptors():
    """For the test itself: many files held open. The mount's own limit is set apart."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def memory_of(volume):
    """Resident kilobytes of the mount process."""
    with open(f"/proc/{volume.process.pid}/status") as f:
        return next(int(l.split()[1]) for l in f if l.startswith("VmRSS"))


@harness.limit(400)
def test_many_live_inodes_with_few_descriptors(volume):
    need_mount()
    volume.mount(wrap=["prlimit", "--nofile=1024:1024"])
    m = volume.mnt
    n = scaled(100000 if harness.LONG else 20000)
    for i in range(n):
        if i % 1000 == 0:
            os.mkdir(f"{m}/{i // 1000}")
        fd = os.open(f"{m}/{i // 1000}/{i}", os.O_CREAT | os.O_WRONLY, 0o444 if i % 3 == 0 else 0o644)
        os.write(fd, b"%d" % i)
        os.close(fd)
    for i in range(0, n, 7):
        equal(os.stat(f"{m}/{i // 1000}/{i}").st_size, len(str(i)))
    for i in range(0, n, 11):
        equal(read_file(f"{m}/{i // 1000}/{i}"), b"%d" % i)
    run("find", m, "-type", "f", "-newer", "/proc/self/exe", timeout=300)
    volume.remount()
    for i in range(n - 1, 0, -13):
        equal(read_file(f"{m}/{i // 1000}/{i}"), b"%d" % i)
    volume.umount()


def test_many_open_files_with_few_descriptors(volume):
    """More files open in programs than the mount may have descriptors: nothing fails, nothing gets mixed up."""
    need_mount()
    n = min(scaled(4000), more_descriptors() - 100)
    volume.mount(wrap=["prlimit", "--nofile=1024:1024"])
    m = volume.mnt
    fds = [os.open(f"{m}/{i}", os.O_CREAT | os.O_RDWR, 0o600) for i in range(n)]
    for i, fd in enumerate(fds):
        os.write(fd, content(i, 1 + i % 5000))
    for i, fd in enumerate(fds):
        if i % 2:
            os.unlink(f"{m}/{i}")
    for i, fd in enumerate(fds):
        equal(os.pread(fd, 10000, 0), content(i, 1 + i % 5000), f"file {i}")
        os.pwrite(fd, b"second", 3000)
    for i, fd in enumerate(fds):
        equal(os.pread(fd, 6, 3000), b"second", f"file {i}")
        equal(os.fstat(fd).st_nlink, 0 if i % 2 else 1)
        os.close(fd)
    equal(len(os.listdir(m)), n - n // 2)
    volume.umount()
    left = os.listdir(f"{volume.dir}/.coffer/open") if os.path.isdir(f"{volume.dir}/.coffer/open") else []
    volume.mount()
    left = os.listdir(f"{volume.dir}/.coffer/open") if left else []
    equal(left, [], "unlinked files are swept")
    volume.umount()


def test_dirty_read_only_files_with_few_descriptors(volume):
    """Files that their owner may not open again, more of them than descriptors, held open and written to."""
    need_mount()
    n = min(scaled(3000), more_descriptors() - 100)
    volume.mount(wrap=["prlimit", "--nofile=1024:1024"])
    m = volume.mnt
    fds = [os.open(f"{m}/{i}", os.O_CREAT | os.O_RDWR, 0) for i in range(n)]
    for turn in range(2):
        for i, fd in enumerate(fds):
            os.pwrite(fd, b"%d-%d" % (turn, i), turn * 4000)
    for i, fd in enumerate(fds):
        equal(os.pread(fd, 100, 4000), b"1-%d" % i)
        os.close(fd)
    volume.umount()


@harness.limit(300)
def test_memory_does_not_grow_with_the_file(volume):
    need_mount()
    volume.mount()
    m = volume.mnt
    write_file(f"{m}/small", content(1, 1 << 20))
    block = content(2, 1 << 20)
    before = None
    for i in range(scaled(800 if harness.LONG else 200)):
        with open(f"{m}/large", "ab") as f:
            f.write(block)
        if i == scaled(800 if harness.LONG else 200) // 4:
            before = memory_of(volume)
    run("sh", "-c", f"cat {m}/large > /dev/null")
    grown = memory_of(volume) - before
    fd = os.open(f"{m}/sparse", os.O_CREAT | os.O_RDWR)
    for i in range(scaled(3000)):
        os.pwrite(fd, b"x", i * 4_000_000_007)
    os.close(fd)
    grown = max(grown, memory_of(volume) - before)
    equal(grown < 80_000 * (6 if harness.SCALE > 1 else 1), True, f"grown by {grown} kB")
    volume.umount()


@harness.limit(300)
def test_full_store():
    """ENOSPC is reported by write or fsync; what was written before is intact, and space that is freed can be used."""
    need_mount()
    with store("tmpfs", "40M") as point, Volume(on=point) as volume:
        volume.mount()
        m = volume.mnt
        write_file(f"{m}/before", content("before", 3 << 20))
        fd = os.open(f"{m}/big", os.O_CREAT | os.O_RDWR)
        written = 0
        error = None
        try:
            while written < 100 << 20:
                written += os.pwrite(fd, content(written, 1 << 18), written)
            os.fsync(fd)
        except OSError as e:
            error = e.errno
        equal(error, errno.ENOSPC)
        equal(read_file(f"{m}/before"), content("before", 3 << 20))
        at = 0
        while at + (1 << 18) <= written:
            equal(os.pread(fd, 1 << 18, at), content(at, 1 << 18), f"at {at}")
            at += 1 << 18
        try:
            for i in range(1000):
                write_file(f"{m}/small{i}", b"y" * 10000)
            raise harness.Failure("the store never gets full")
        except OSError as e:
            equal(e.errno, errno.ENOSPC)
        os.ftruncate(fd, 0)
        os.close(fd)
        os.unlink(f"{m}/big")
        # The space comes back when the kernel has let go of the file, which it does in its own time.
        for _ in range(100):
            try:
                write_file(f"{m}/after", content("after", 1 << 20))
                break
            except OSError as e:
                equal(e.errno, errno.ENOSPC)
                time.sleep(0.1)
        volume.remount()
        equal(read_file(f"{m}/before"), content("before", 3 << 20))
        equal(read_file(f"{m}/after"), content("after", 1 << 20))
        for name in os.listdir(m):
            read_file(f"{m}/{name}")
        volume.umount()
        volume.check("--deep")


def test_many_overwrites_of_a_full_store():
    """Files can be changed, cut and removed on a store without a free byte."""
    need_mount()
    with store("tmpfs", "24M") as point, Volume(on=point) as volume:
        volume.mount()
        m = volume.mnt
        for i in range(20):
            write_file(f"{m}/{i}", content(i, 100000))
        with open(f"{point}/filler", "wb") as f:
            try:
                while True:
                    f.write(bytes(1 << 16))
                    f.flush()
            except OSError:
                pass
            with harness.contextlib.suppress(OSError):
                f.close()
        for i in range(0, 20, 2):
            os.truncate(f"{m}/{i}", 5000)
        for i in range(1, 20, 2):
            os.unlink(f"{m}/{i}")
        for i in range(0, 20, 2):
            equal(read_file(f"{m}/{i}"), content(i, 100000)[:5000])
        os.unlink(f"{point}/filler")
        volume.remount()
        equal(len(os.listdir(m)), 10)
        volume.umount()


def test_read_only_store():
    need_mount()
    need_root()
    with store("tmpfs") as point, Volume(on=point) as volume:
        volume.mount()
        write_file(f"{volume.mnt}/f", content("ro", 10000))
        volume.umount()
        run("mount", "-o", "remount,ro", point)
        r = volume.coffer("mount", volume.dir, volume.mnt, *volume.unlock(), check=False)
        if r.returncode:
            equal(len(r.stderr.strip().splitlines()), 1, r.stderr)
        else:
            fails(errno.EROFS, os.mkdir, f"{volume.mnt}/x")
            volume.coffer("umount", volume.mnt)
        volume.mount("ro")
        equal(read_file(f"{volume.mnt}/f"), content("ro", 10000))
        volume.umount()
        run("mount", "-o", "remount,rw", point)


def test_store_goes_read_only_under_the_mount():
    need_mount()
    need_root()
    with store("tmpfs") as point, Volume(on=point) as volume:
        volume.mount()
        m = volume.mnt
        write_file(f"{m}/f", content("ro", 10000))
        os.sync()
        if run("mount", "-o", "remount,ro", point, check=False).returncode:
            # the mount holds files open for writing: a store cannot be taken away then
            volume.umount()
            return
        fails((errno.EROFS, errno.EIO), os.mkdir, f"{m}/x")
        equal(read_file(f"{m}/f"), content("ro", 10000))
        run("mount", "-o", "remount,rw", point)
        os.mkdir(f"{m}/x")
        volume.umount(check=False)


if __name__ == "__main__":
    sys.exit(harness.main())
