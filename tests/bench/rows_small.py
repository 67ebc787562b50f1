"""Rows about single small files and their syncs."""

import contextlib
import os
import sqlite3

from row import PAGE, Row


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
        self.put_away(t, "synced")
        os.mkdir(f"{t.dir}/synced")

    def run(self, t):
        for i in range(self.inputs.commits):
            fd = os.open(f"{t.dir}/synced/{i}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            os.write(fd, self.inputs.noise[i : i + PAGE])
            os.fsync(fd)
            os.close(fd)
        return self.inputs.commits


class Append(Row):
    """A log, as programs without a descriptor of their own write it."""

    key, name = "append", "log: open, append 100 bytes, close"
    unit = "appends/s"

    def prepare(self, t):
        with open(f"{t.dir}/log", "wb"):
            pass

    def run(self, t):
        path, line = f"{t.dir}/log", self.inputs.noise[:100]
        count = 10 * self.inputs.commits
        for _ in range(count):
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            os.write(fd, line)
            os.close(fd)
        return count


SMALL = (SqliteWal, SqliteDelete, SyncedFiles, Append)
