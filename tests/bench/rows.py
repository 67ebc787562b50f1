"""The rows of the benchmark.

Of each, `need` makes what it works on, if it is not there (another row may have left it), `prepare` brings it into the state that the
name says, and `run` is timed. What `run` returns, if anything, is an amount of work, for a rate.
"""

import contextlib
import os
import random
import shutil
import sqlite3
import tarfile

from targets import run

MIB = 1 << 20
PAGE = 4096
RANDOM_OPS = 8192


class Row:
    key = name = None
    cold = False
    unsynced = False  # leaves content that is not durable
    unit = "s"

    def __init__(self, inputs):
        self.inputs = inputs

    def need(self, t):
        pass

    def prepare(self, t):
        pass


# One large file


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
    unit = "ops/s"

    def offsets(self):
        pages = self.inputs.size // PAGE
        return [PAGE * i for i in random.Random(1).sample(range(pages), min(RANDOM_OPS, pages))]


class RandomReadCold(RandomRow):
    key, name = "random-read-cold", "random 4 KiB read, cold"
    cold = True

    def run(self, t):
        offsets = self.offsets()
        fd = os.open(f"{t.dir}/big", os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        for off in offsets:
            os.pread(fd, PAGE, off)
        os.close(fd)
        return len(offsets)


class RandomRead(RandomReadCold):
    key, name = "random-read", "random 4 KiB read, store in memory"

    def prepare(self, t):
        for where, _, names in os.walk(t.store):
            for name in names:
                path = f"{where}/{name}"
                if not os.path.islink(path) and os.path.getsize(path) >= self.inputs.size:
                    with open(path, "rb", buffering=0) as f:
                        while f.read(MIB):
                            pass


class RandomWrite(RandomRow):
    key, name = "random-write", "random 4 KiB overwrite, one fsync"

    def run(self, t):
        offsets = self.offsets()
        fd = os.open(f"{t.dir}/big", os.O_WRONLY)
        for i, off in enumerate(offsets):
            os.pwrite(fd, self.inputs.noise[i : i + PAGE], off)
        os.fsync(fd)
        os.close(fd)
        return len(offsets)


# Syncs


class Sqlite(Row):
    """A transaction is one row in a table with an index, made durable."""

    unit = "commits/s"
    mode = None

    def prepare(self, t):
        self.path = f"{t.dir}/{self.mode}.db"
        for end in "", "-wal", "-shm", "-journal":
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path + end)
        db = self.open()
        db.execute("create table log (id integer primary key, name text, data blob)")
        db.execute("create index by_name on log (name)")
        db.execute("begin")
        db.executemany("insert into log (name, data) values (?, ?)", ((f"{i * 7919 % 10007}", bytes(100)) for i in range(10000)))
        db.execute("commit")
        db.close()

    def open(self):
        db = sqlite3.connect(self.path)
        db.execute(f"pragma journal_mode = {self.mode}")
        db.execute("pragma synchronous = full")
        db.isolation_level = None
        return db

    def run(self, t):
        db = self.open()
        for i in range(self.inputs.commits):
            db.execute("begin")
            db.execute("insert into log (name, data) values (?, ?)", (f"{i * 7919 % 10007}", self.inputs.noise[:100]))
            db.execute("commit")
        db.close()
        return self.inputs.commits


class SqliteWal(Sqlite):
    key, name, mode = "sqlite-wal", "SQLite commits, WAL", "wal"


class SqliteDelete(Sqlite):
    key, name, mode = "sqlite-delete", "SQLite commits, DELETE", "delete"


class SyncedFiles(Row):
    key, name = "synced-files", "files of 4 KiB, each synced"
    unit = "files/s"

    def prepare(self, t):
        shutil.rmtree(f"{t.dir}/synced", ignore_errors=True)
        os.mkdir(f"{t.dir}/synced")

    def run(self, t):
        for i in range(self.inputs.commits):
            fd = os.open(f"{t.dir}/synced/{i}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            os.write(fd, self.inputs.noise[i : i + PAGE])
            os.fsync(fd)
            os.close(fd)
        return self.inputs.commits


# Many files


class Untar(Row):
    key, name = "untar", "untar"
    unsynced = True

    def prepare(self, t):
        shutil.rmtree(f"{t.dir}/untar", ignore_errors=True)
        os.mkdir(f"{t.dir}/untar")

    def run(self, t):
        run("tar", "-xf", self.inputs.archive(), "-C", f"{t.dir}/untar")


class TreeRow(Row):
    def need(self, t):
        if not os.path.isdir(f"{t.dir}/tree"):
            run("cp", "-r", self.inputs.tree(), f"{t.dir}/tree")


class CopyIn(Row):
    key, name = "copy-in", "tree: copy in"
    unsynced = True

    def prepare(self, t):
        shutil.rmtree(f"{t.dir}/tree", ignore_errors=True)

    def run(self, t):
        run("cp", "-r", self.inputs.tree(), f"{t.dir}/tree")


class FindCold(TreeRow):
    key, name = "find", "tree: find with stat, cold"
    cold = True

    def run(self, t):
        run("find", f"{t.dir}/tree", "-printf", "%s %m %T@\n")


class SumCold(TreeRow):
    key, name = "md5", "tree: md5 of all, cold"
    cold = True

    def run(self, t):
        run("find", f"{t.dir}/tree", "-type", "f", "-exec", "md5sum", "{}", "+")


class GrepHot(TreeRow):
    key, name = "grep", "tree: grep -r, hot"

    def prepare(self, t):
        for _ in range(2):
            self.run(t)

    def run(self, t):
        run("grep", "-r", "no such text is here", f"{t.dir}/tree")


class RemoveTree(TreeRow):
    key, name = "rm", "tree: rm -rf"

    def run(self, t):
        run("rm", "-rf", f"{t.dir}/tree")


ROWS = {
    r.key: r
    for r in (
        SequentialWrite,
        SequentialReadCold,
        SequentialReadHot,
        RandomReadCold,
        RandomRead,
        RandomWrite,
        Overwrite,
        SqliteWal,
        SqliteDelete,
        SyncedFiles,
        Untar,
        CopyIn,
        FindCold,
        SumCold,
        GrepHot,
        RemoveTree,
    )
}


# What the rows work with


def make_tree(path, files):
    """Text files in directories, sized like a source tree: half below 4 KiB, some large ones. Returns how many bytes."""
    rng = random.Random(2)
    words = [f"{rng.randrange(1 << 40):x}" for _ in range(2000)]
    total = 0
    for i in range(files):
        where = f"{path}/{i // 400}/{i // 20 % 20}"
        if i % 20 == 0:
            os.makedirs(where)
        size = min(int(rng.lognormvariate(8.2, 1.3)), MIB)
        text = " ".join(rng.choices(words, k=size // 10 + 1)).encode()[:size]
        with open(f"{where}/file{i}.c", "wb") as f:
            f.write(text)
        total += len(text)
    return total


class Inputs:
    """Trees and archives are made when somebody first asks for them, outside of what is timed: at the start, for each wanted row."""

    def __init__(self, args, base):
        self.base, self.size, self.files, self.archived, self.commits = base, args.size, args.files, args.archived, args.commits
        self.noise = os.urandom(MIB)
        self.bytes = {}

    def tree(self):
        path = f"{self.base}/source"
        if not os.path.isdir(path):
            self.bytes["tree"] = make_tree(path, self.files)
        return path

    def archive(self):
        path = f"{self.base}/source.tar"
        if not os.path.exists(path):
            self.bytes["archive"] = make_tree(f"{self.base}/packed", self.archived)
            with tarfile.open(path, "w") as tar:
                tar.add(f"{self.base}/packed", arcname="tree")
            shutil.rmtree(f"{self.base}/packed")
        return path

    def prepare(self, keys):
        if "untar" in keys:
            self.archive()
        if any(issubclass(ROWS[k], (TreeRow, CopyIn)) for k in keys):
            self.tree()
