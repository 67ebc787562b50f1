#!/usr/bin/python3
"""Real stores without a free byte: ext4 and xfs in loop files, a btrfs quota, and a device that fails.

What this proves: write or fsync reports ENOSPC (EDQUOT, EIO), never close as the first; everything accepted before is there and
readable, compared byte for byte, also after a remount; what fails leaves old or new, page by page; files can be removed on a full
store and that makes it work again; the mount neither dies nor hangs; `coffer check --deep` is clean afterwards.

Each writer gets a store with a few megabytes left, uses them up, then a filler file beside the volume takes the last bytes and the
writer goes on for a while.
"""

import contextlib
import errno
import os
import random
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "mount")]

import harness  # noqa: E402
from fillers import LONG_NAME, PAGE, WRITERS, Refused  # noqa: E402
from harness import (  # noqa: E402
    PLAIN,
    Failure,
    Skip,
    Volume,
    content,
    equal,
    need,
    need_mount,
    need_root,
    read_file,
    run,
    store,
    write_file,
)

LEFT = 6 << 20  # bytes that a writer finds free


class Store:
    """A volume on a store that gets full; .books says what has to be in the mount."""

    def __init__(self, point, volume, refusals):
        self.point = point
        self.volume = volume
        self.m = volume.mnt
        self.refusals = refusals
        self.copies_on_write = harness.filesystem_of(point) == "btrfs"  # even cutting a file needs space there
        self.filler = f"{point}/filler"
        self.books = {}
        self.findings = set()
        self.notes = set()
        self.later = []  # files whose pages may be old or new
        self.rng = random.Random("full")

    # Calls that may be refused

    def attempt(self, function, *args):
        """The call's result; Refused if the store is full. Any other errno is a finding."""
        try:
            return function(*args)
        except OSError as e:
            if e.errno in self.refusals:
                raise Refused(f"{function.__name__}: {errno.errorcode[e.errno]}") from e
            of = [str(a)[-80:] for a in args if isinstance(a, (str, int))]
            raise Failure(f"{function.__name__} {of}: {errno.errorcode.get(e.errno, e.errno)} on a full store") from e

    def until_refused(self, function, limit=100_000):
        """Calls function(n) for n = 0, 1, ... until it is refused."""
        for n in range(limit):
            try:
                function(n)
            except Refused:
                return n
        raise Failure(f"{function.__name__}: not refused in {limit} calls")

    # Space

    def leave(self, free):
        """A filler beside the volume takes all but so many bytes."""
        self.release()
        size = 0
        with open(self.filler, "wb") as f:
            try:
                while True:
                    os.posix_fallocate(f.fileno(), size, 1 << 20)
                    size += 1 << 20
            except OSError as e:
                if e.errno not in self.refusals:
                    raise
            os.ftruncate(f.fileno(), max(0, size - free))
        run("sync", "-f", self.point)

    def take_the_rest(self):
        """To the last byte. What the store itself holds back until it has synced gets taken as well."""
        for _ in range(3):
            with open(self.filler, "ab", buffering=0) as f:
                for size in (1 << 20, 1 << 16, PAGE, 1):
                    with contextlib.suppress(OSError):
                        while True:
                            f.write(bytes(size))
                with contextlib.suppress(OSError):
                    os.fsync(f.fileno())

    def release(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.filler)
        run("sync", "-f", self.point)

    def mount_full(self):
        """A full store has to be mounted to get space again. That it cannot be is noted, and the test goes on with some space. One that
        copies on write refuses even to write over a block that it has."""
        if self.copies_on_write:
            self.release()
        try:
            self.volume.mount()
        except Failure as e:
            self.findings.add(f"a full store cannot be mounted: {str(e).strip().splitlines()[-1]}")
            os.truncate(self.filler, max(0, os.stat(self.filler).st_size - (1 << 20)))
            run("sync", "-f", self.point)
            self.volume.mount()
            self.take_the_rest()

    # Content

    def put(self, name, data):
        write_file(f"{self.m}/{name}", data)
        self.books[name] = data

    def furnish(self):
        """Content of all kinds that has to survive."""
        os.makedirs(f"{self.m}/base/deeper/{LONG_NAME}")
        sizes = (0, 1, 100, 3968, 3969, 4096, 50_000, 245_760, 245_761, 1_500_000)
        for n, size in enumerate(sizes):
            self.put(f"base/{size}", content(f"base{size}", size))
            self.put(f"base/deeper/{LONG_NAME}/{n}{LONG_NAME}", content(f"deep{size}", size % 10_000))
            os.setxattr(f"{self.m}/base/{size}", "user.base", content(n, n * 100))
        os.link(f"{self.m}/base/50000", f"{self.m}/base/hard")
        self.books["base/hard"] = self.books["base/50000"]

    def compare(self, when):
        """Everything that stands in the books, and a readable tree besides."""
        for name, data in self.books.items():
            try:
                got = read_file(f"{self.m}/{name}")
            except OSError as e:
                raise Failure(f"{when}: {name[:60]}: {errno.errorcode[e.errno]}") from e
            if got != data:
                pages = [p // PAGE for p in range(0, max(len(got), len(data)), PAGE) if got[p : p + PAGE] != data[p : p + PAGE]]
                raise Failure(f"{when}: {name[:60]}: {len(got)} bytes of {len(data)}, pages that differ: {pages[:20]}")
        for n, name in enumerate(sorted(os.listdir(f"{self.m}/base"))):
            if name.isdigit():
                os.getxattr(f"{self.m}/base/{name}", "user.base")
        for parent, _, files in os.walk(self.m, onerror=_raise):
            for f in files:
                path = f"{parent}/{f}"
                if not os.path.islink(path):
                    read_file(path)
        self.lives()

    def lives(self):
        if not PLAIN and self.volume.process.poll() is not None:
            raise Failure(f"the mount process ended\n{self.volume.log_text()[-3000:]}")

    def remove(self, top):
        """On the full store, through the mount. What is refused gets another chance when something else has made room."""
        while os.path.lexists(f"{self.m}/{top}"):
            removed = refused = 0
            for parent, dirs, files in os.walk(f"{self.m}/{top}", topdown=False, onerror=_raise):
                links = [d for d in dirs if os.path.islink(f"{parent}/{d}")]
                for function, paths in ((os.unlink, [f"{parent}/{f}" for f in files + links]), (os.rmdir, [parent])):
                    for path in paths:
                        try:
                            self.attempt(function, path)
                            removed += 1
                        except Refused as e:
                            refused += 1
                            self.notes.add(f"not removed at first: {e}")
                        except Failure as e:
                            if not refused or not isinstance(e.__cause__, OSError) or e.__cause__.errno != errno.ENOTEMPTY:
                                raise
            if not removed:
                raise Failure(f"nothing of {top} can be removed on a full store")
        for name in [n for n in self.books if n.startswith(f"{top}/")]:
            del self.books[name]


def _raise(e):
    raise e


def deep_check(volume):
    if not PLAIN:
        volume.check("--deep")


def use_up(s, writer):
    """One writer, from some space to none; then a remount, the removal of its files, and work again."""
    d = writer.__name__
    os.mkdir(f"{s.m}/{d}")
    s.leave(LEFT)
    start = time.monotonic()
    for _ in writer(s, d):
        s.lives()
        s.take_the_rest()
    s.compare(f"{d}, on the full store")
    s.volume.umount(check=not s.copies_on_write)
    s.mount_full()
    s.compare(f"{d}, after a remount")
    for path, may in s.later:
        may.check(read_file(path), f"{path} after a remount")
    s.later = []
    s.remove(d)
    try:
        s.attempt(s.put, "again", content("again", 100))
    except Refused:
        equal(s.copies_on_write, True, "what was removed makes no room")
    s.lives()
    s.release()
    s.put("again", content("again", 1 << 20))
    s.compare(f"{d}, with space again")
    print(f"     {writer.__name__}: {time.monotonic() - start:.1f} s{'; '.join(['', *s.notes])}", flush=True)
    s.notes.clear()


def every_writer(point, volume, refusals, but=()):
    s = Store(point, volume, refusals)
    s.furnish()
    for writer in [w for w in WRITERS if w.__name__ not in but]:
        try:
            use_up(s, writer)
        except (Failure, OSError) as e:
            if s.copies_on_write and isinstance(e, OSError) and e.errno in refusals:
                # A quota of btrfs may refuse what was to be written before the store is full.
                print(f"     {writer.__name__}: ended early by {errno.errorcode[e.errno]}", flush=True)
                s.release()
                continue
            raise Failure(f"{writer.__name__}: {type(e).__name__}: {e}\nlog of the mount: {volume.log_text()[-2000:]}") from e
    volume.umount()
    deep_check(volume)
    equal(sorted(s.findings), [])


@contextlib.contextmanager
def volume_on(kind, size):
    with store(kind, size) as point, Volume(on=point, init=["--journal-size", "4M"]) as volume:
        volume.mount()
        yield point, volume


@harness.limit(200)
def test_ext4():
    with volume_on("ext4", "64M") as (point, volume):
        every_writer(point, volume, (errno.ENOSPC,))


@harness.limit(200)
def test_xfs():
    with volume_on("xfs", "320M") as (point, volume):
        every_writer(point, volume, (errno.ENOSPC,))


@harness.limit(200)
def test_quota():
    """EDQUOT, by a quota of btrfs: of all quotas the one that needs no support in the kernel that may be missing."""
    need("btrfs")
    with store("btrfs", "300M") as point:
        run("btrfs", "quota", "enable", point)
        run("btrfs", "subvolume", "create", f"{point}/part")
        run("btrfs", "qgroup", "limit", "48M", f"{point}/part")
        with Volume(on=f"{point}/part", init=["--journal-size", "4M"]) as volume:
            volume.mount()
            every_writer(f"{point}/part", volume, (errno.EDQUOT, errno.ENOSPC), but=["directories"])  # half a minute


def thin_device(base, size):
    """An ext4 whose device has less room than it says: writes to it fail with an error once that is used up. What the store keeps for
    itself has been written at the start: what it loses of that after it called it durable is not ours."""
    os.mkdir(f"{base}/pool")
    os.mkdir(f"{base}/store")
    run("mount", "-t", "tmpfs", "-o", f"size={size}", "none", f"{base}/pool")
    run("truncate", "-s", "256M", f"{base}/pool/image")
    options = ["-O", "^metadata_csum,^uninit_bg", "-b", "4096", "-J", "size=8", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"]
    run("mkfs.ext4", "-q", *options, f"{base}/pool/image")
    # The store's own journal: what mkfs left out of it gets its place by being written as it is.
    blocks = run("debugfs", "-R", "blocks <8>", f"{base}/pool/image").stdout.split()
    with open(f"{base}/pool/image", "r+b", buffering=0) as f:
        for at in (int(b) * PAGE for b in blocks):
            os.pwrite(f.fileno(), os.pread(f.fileno(), PAGE, at), at)
    r = run("mount", "-o", "loop", f"{base}/pool/image", f"{base}/store", check=False)
    if r.returncode:
        raise Skip(f"cannot mount: {r.stderr.strip()}")


def has_zero_page(top, inode):
    """True if a page of the file with this inode is all zeros: no ciphertext is."""
    for parent, _, files in os.walk(top):
        for path in (f"{parent}/{f}" for f in files):
            if os.lstat(path).st_ino == inode:
                data = read_file(path)
                return any(not any(data[at : at + PAGE]) for at in range(0, len(data), PAGE))
    return False


@harness.limit(200)
def test_failing_device(tmp):
    """What fsync called durable survives a device that fails. Once it has failed for a file it goes on failing, through any
    descriptor, or the content is there."""
    need_mount()
    need_root()
    need("mkfs.ext4", "e2fsck", "debugfs")
    broken = (errno.EIO, errno.ENOSPC, errno.EROFS)
    try:
        thin_device(tmp, "60M")
        with Volume(on=f"{tmp}/store", init=["--journal-size", "4M"]) as volume:
            volume.mount()
            durable, inodes = {}, {}
            fd, name = -1, ""
            refused = None
            for n in range(400):
                write_file(f"{volume.mnt}/{n}", b"")
                inodes[n] = os.stat(f"{volume.mnt}/{n}").st_ino  # that of the file below
            os.sync()
            for n in range(400):
                name = f"{volume.mnt}/{n}"
                data = content(f"device {n}", 300_000)
                fd = os.open(name, os.O_CREAT | os.O_RDWR, 0o644)
                call = os.write
                try:
                    equal(os.write(fd, data), len(data))
                    call = os.fsync
                    os.fsync(fd)
                except OSError as e:
                    refused = e.errno
                    break
                os.close(fd)  # never the first to report
                durable[n] = data
            equal(refused in broken, True, f"errno {refused} after {len(durable)} files")
            again = os.open(name, os.O_RDWR)
            for x in (again, fd):
                if call is os.fsync:
                    with contextlib.suppress(OSError):
                        os.fsync(x)
                        durable[n] = data  # a promise, whatever came before
                with contextlib.suppress(OSError):
                    os.close(x)
            for n, data in durable.items():
                equal(read_file(f"{volume.mnt}/{n}") == data, True, f"file {n} while the device fails")
            equal(volume.process.poll(), None, "the mount lives")
            volume.umount(check=False)
            run("umount", f"{tmp}/store")
            run("mount", "-o", "remount,size=400M", f"{tmp}/pool")
            r = run("e2fsck", "-fy", f"{tmp}/pool/image", check=False)
            equal(r.returncode in (0, 1), True, r.stdout)
            run("mount", "-o", "loop", f"{tmp}/pool/image", f"{tmp}/store")
            volume.mount()
            for n, data in durable.items():
                if re.search(rf"[Ii]node {inodes[n]}\b", r.stdout):
                    print(f"     the store itself has lost file {n}", flush=True)  # its block of extents, say
                    continue
                if n == max(durable) and has_zero_page(f"{tmp}/store/volume/data", inodes[n]):
                    # A loop device says of a write that its file has no room for, but for the first pages, that it went well.
                    print(f"     the device has lost file {n}", flush=True)
                    continue
                got = read_file(f"{volume.mnt}/{n}")
                equal(got == data, True, f"file {n} with the device repaired: {len(got)} bytes; e2fsck said {r.stdout}")
            write_file(f"{volume.mnt}/after", b"after")
            volume.umount()
    finally:
        for point in ("store", "pool"):
            subprocess.run(["umount", f"{tmp}/{point}"], timeout=60, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(harness.main())
