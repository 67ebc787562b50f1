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
    """The writes leave the interpreter's lock, so threads are enough."""

    key, name = "parallel-write", f"{WRITERS} parallel writers, fsync"

    def need(self, t):
        pass

    def prepare(self, t):
        for i in range(WRITERS):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{t.dir}/part{i}")

    def one(self, path, failures):
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT)
            write_all(fd, self.inputs.noise, self.inputs.size // WRITERS)
            os.fsync(fd)
            os.close(fd)
        except OSError as e:
            failures.append(e)

    def run(self, t):
        failures = []
        threads = [threading.Thread(target=self.one, args=(f"{t.dir}/part{i}", failures)) for i in range(WRITERS)]
        for x in threads:
            x.start()
        for x in threads:
            x.join()
        if failures:
            raise failures[0]
        return WRITERS * (self.inputs.size // WRITERS // MIB)


class SequentialRead(BigRow):
    def run(self, t):
        buf = bytearray(MIB)
        with open(f"{t.dir}/big", "rb", buffering=0) as f:
            while f.readinto(buf):
                pass
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
        for where, _, names in os.walk(t.store):
            for name in names:
                path = f"{where}/{name}"
                if not os.path.islink(path) and os.path.getsize(path) >= min(self.inputs.size, 16384):
                    with open(path, "rb", buffering=0) as f:
                        while f.read(MIB):
                            pass


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
    MapRead,
)
