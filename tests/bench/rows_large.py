"""Rows about one large file."""

import contextlib
import json
import mmap
import os
import random
import shutil
import threading

from row import MIB, PAGE, Measured, Row
from targets import BenchError, run

RANDOM_OPS = 8192
WRITERS = 4
READERS = 2


def together(count, one):
    """Calls one(i) in so many threads. What they do leaves the interpreter's lock, so threads are enough."""
    failures = []

    def run_one(i):
        try:
            one(i)
        except OSError as e:
            failures.append(e)

    threads = [threading.Thread(target=run_one, args=(i,)) for i in range(count)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    if failures:
        raise failures[0]


def read_all(path):
    buf = bytearray(MIB)
    with open(path, "rb", buffering=0) as f:
        while f.readinto(buf):
            pass


def bring_into_memory(store, least):
    """The files of a store that have at least so many bytes, as they lie there."""
    for where, _, names in os.walk(store):
        for name in names:
            path = f"{where}/{name}"
            if not os.path.islink(path) and os.path.getsize(path) >= least:
                read_all(path)


def write_all(fd, noise, size):
    for _ in range(size // MIB):
        os.write(fd, noise)


class BigRow(Row):
    """Works on a large file."""

    unit = "MiB/s"

    def need(self, t):
        path = f"{t.dir}/big"
        with contextlib.suppress(FileNotFoundError):
            if os.path.getsize(path) == self.inputs.size:
                return
        self.write(path, os.O_TRUNC)

    def write(self, path, flags):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | flags)
        write_all(fd, self.inputs.noise, self.inputs.size)
        os.fsync(fd)
        os.close(fd)
        return self.inputs.size / MIB


class SequentialWrite(BigRow):
    key, name = "write", "sequential write, fsync"

    def need(self, t):
        pass

    def run(self, t):
        return self.write(f"{t.dir}/big", os.O_TRUNC)


class Overwrite(BigRow):
    key, name = "overwrite", "sequential overwrite, one fsync"

    def run(self, t):
        return self.write(f"{t.dir}/big", 0)


class ParallelWrite(BigRow):
    key, name = "parallel-write", f"{WRITERS} parallel writers, fsync"

    def need(self, t):
        pass

    def prepare(self, t):
        for i in range(WRITERS):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{t.dir}/part{i}")

    def one(self, path):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT)
        write_all(fd, self.inputs.noise, self.inputs.size // WRITERS)
        os.fsync(fd)
        os.close(fd)

    def run(self, t):
        together(WRITERS, lambda i: self.one(f"{t.dir}/part{i}"))
        return WRITERS * (self.inputs.size // WRITERS // MIB)


class SequentialRead(BigRow):
    def run(self, t):
        read_all(f"{t.dir}/big")
        return self.inputs.size / MIB


class SequentialReadCold(SequentialRead):
    key, name = "read-cold", "sequential read, cold"
    cold = True


class SequentialReadHot(SequentialRead):
    key, name = "read-hot", "sequential read, hot"

    def prepare(self, t):
        self.run(t)  # a cold row of another target dropped everybody's caches


class RandomRow(BigRow):
    """By fio, which takes the time itself: its start is no work of the filesystem's."""

    unit = "ops/s"
    packages = ("fio",)
    kind = None

    @classmethod
    def missing(cls):
        return None if shutil.which("fio") else "fio is not installed"

    def fio(self, t, *options):
        argv = ["fio", "--output-format=json", "--name=row", f"--filename={t.dir}/big", f"--size={self.inputs.size}"]
        argv += [f"--rw={self.kind}", f"--bs={PAGE}", f"--number_ios={self.ops()}", "--ioengine=psync", "--randseed=1"]
        argv += ["--allow_file_create=0", "--overwrite=1", "--invalidate=0", "--thread", *options]
        job = json.loads(run(*argv, quiet=False))["jobs"][0]
        side = job["write" if self.kind == "randwrite" else "read"]
        if job["error"] or not side["total_ios"]:
            raise BenchError(f"fio: error {job['error']}")
        return Measured(side["total_ios"], side["total_ios"] / side["iops"])

    def ops(self):
        return min(RANDOM_OPS, self.inputs.size // PAGE)


class RandomReadCold(RandomRow):
    key, name = "random-read-cold", "random 4 KiB read, cold"
    kind = "randread"
    cold = True

    def run(self, t):
        return self.fio(t)


class RandomRead(RandomReadCold):
    key, name = "random-read", "random 4 KiB read, store in memory"

    def prepare(self, t):
        bring_into_memory(t.store, min(self.inputs.size, 16384))


class Readers(BigRow):
    """Each reads a file of its own, which the kernel does not have as plaintext."""

    cold = True
    readers = None

    def need(self, t):
        for i in range(READERS):
            path = f"{t.dir}/read{i}"
            if not os.path.exists(path):
                fd = os.open(path, os.O_WRONLY | os.O_CREAT)
                write_all(fd, self.inputs.noise, self.inputs.size // READERS)
                os.fsync(fd)
                os.close(fd)

    def prepare(self, t):
        bring_into_memory(t.store, min(self.inputs.size // READERS, 16384))

    def run(self, t):
        together(self.readers, lambda i: read_all(f"{t.dir}/read{i}"))
        return self.readers * (self.inputs.size // READERS // MIB)


class OneReader(Readers):
    key, name, readers = "one-reader", "one reader, store in memory", 1


class TwoReaders(Readers):
    key, name, readers = "two-readers", "two readers of different files, store in memory", READERS


class RandomWrite(RandomRow):
    key, name = "random-write", "random 4 KiB overwrite, one fsync"
    kind = "randwrite"

    def run(self, t):
        return self.fio(t, "--end_fsync=1")


class MapRead(BigRow):
    key, name = "mmap-read", "random read of a map, cold"
    unit = "ops/s"
    cold = True

    def run(self, t):
        pages = self.inputs.size // PAGE
        chosen = random.Random(1).sample(range(pages), min(RANDOM_OPS, pages))
        fd = os.open(f"{t.dir}/big", os.O_RDONLY)
        with mmap.mmap(fd, self.inputs.size, prot=mmap.PROT_READ) as m:
            m.madvise(mmap.MADV_RANDOM)
            total = sum(m[PAGE * i] for i in chosen)
        os.close(fd)
        return len(chosen) if total else 0


LARGE = (
    SequentialWrite,
    SequentialReadCold,
    SequentialReadHot,
    RandomReadCold,
    RandomRead,
    RandomWrite,
    Overwrite,
    ParallelWrite,
    OneReader,
    TwoReaders,
    MapRead,
)
