"""Writers that use a store up (test_full.py). Each works in directory d of the mount of a Store s, yields when the store may be
filled to the last byte, and goes on. s.books gets what has to be there from then on."""

import contextlib
import errno
import mmap
import os
import sqlite3

import harness
from harness import Failure, content, equal, read_file, write_file

PAGE = 4096
LONG_NAME = "a name that is too long to be stored as one " * 5


class Refused(Exception):
    """The store is full; says at which call."""


def pages_of(data):
    return [bytes(data[p : p + PAGE]) for p in range(0, len(data), PAGE)]


class Either:
    """A file of fixed size, each page of which may be one of several, after writes that failed."""

    def __init__(self, data):
        self.pages = [{p} for p in pages_of(data)]
        self.now = bytearray(data)

    def write(self, at, data, accepted):
        self.now[at : at + len(data)] = data
        for p in range(at // PAGE, (at + len(data) - 1) // PAGE + 1):
            new = bytes(self.now[p * PAGE : (p + 1) * PAGE])
            self.pages[p] = {new} if accepted else self.pages[p] | {new}

    def check(self, data, what):
        equal(len(data), len(self.now), f"size of {what}")
        wrong = [p for p, (got, may) in enumerate(zip(pages_of(data), self.pages)) if got not in may]
        if wrong:
            raise Failure(f"{what}: pages {wrong[:20]} are neither old nor new")

    def settle(self, data, what):
        """What was found is what has to be there from now on."""
        self.check(data, what)
        self.pages = [{p} for p in pages_of(data)]
        self.now = bytearray(data)


def appends(s, d):
    """Chunks of odd sizes to three files in turn; short writes count as far as they say."""
    fds = [os.open(f"{s.m}/{d}/{i}", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644) for i in range(3)]
    accepted = [bytearray() for _ in fds]
    failed = [False] * 3

    def chunk(n):
        i = n % 3
        data = content(f"append {n}", 1 + s.rng.randrange(100_000))
        try:
            accepted[i] += data[: s.attempt(os.write, fds[i], data)]
        except Refused:
            failed[i] = True
            there = read_file(f"{s.m}/{d}/{i}")
            equal(there[: len(accepted[i])] == accepted[i], True, "what was accepted is intact after a write that failed")
            equal(data.startswith(there[len(accepted[i]) :]), True, "what follows is the beginning of what failed")
            try:
                s.attempt(os.ftruncate, fds[i], len(accepted[i]))
            except Refused:
                equal(s.copies_on_write, True, "a file cannot be cut on a full store")
                accepted[i][:] = there
            raise

    s.until_refused(chunk)
    yield
    for n in range(3, 9):
        with contextlib.suppress(Refused):
            chunk(n)
    for i, fd in enumerate(fds):
        try:
            s.attempt(os.fsync, fd)
        except Refused:
            failed[i] = True
        try:
            os.close(fd)
        except OSError as e:
            equal(failed[i], True, f"close is the first to report {e}")
        s.books[f"{d}/{i}"] = bytes(accepted[i])


def small_files(s, d):
    """Created, written and closed without a sync."""

    def one(n):
        name = f"{d}/{n}{LONG_NAME if n % 10 == 0 else ''}"
        data = content(f"small {n}", s.rng.choice((0, 10, 3000, 5000, 30_000)))
        fd = s.attempt(os.open, f"{s.m}/{name}", os.O_CREAT | os.O_WRONLY, 0o644)
        try:
            done = 0
            while done < len(data):
                done += s.attempt(os.write, fd, data[done:])
        except Refused:
            with contextlib.suppress(OSError):
                os.close(fd)
            os.unlink(f"{s.m}/{name}")
            raise
        os.close(fd)  # everything was accepted: nothing left to report
        s.books[name] = data

    n = s.until_refused(one)
    yield
    for i in range(n, n + 5):
        with contextlib.suppress(Refused):
            one(i + 1)


def overwrites(s, d):
    """Of a file whose pages are all there, parts of pages too, with and without fsync."""
    path = f"{s.m}/{d}/overwritten"
    size = 3 << 20
    write_file(path, content("overwritten", size))
    may = Either(content("overwritten", size))
    fd = os.open(path, os.O_RDWR)
    for turn in range(2):
        for n in range(250):
            length = s.rng.choice((1, 100, PAGE, 20_000))
            at = s.rng.randrange(size - length)
            at = at // PAGE * PAGE if s.rng.random() < 0.3 else at
            data = content(f"over {turn} {n}", length)
            try:
                done = s.attempt(os.pwrite, fd, data, at)
                may.write(at, data[:done], True)
            except Refused:
                may.write(at, data, False)
                may.settle(read_file(path), "a file that was overwritten")
            if n % 50 == 49:
                with contextlib.suppress(Refused):
                    s.attempt(os.fsync, fd)
        may.settle(read_file(path), "a file that was overwritten")
        yield
    os.close(fd)
    s.books[f"{d}/overwritten"] = bytes(may.now)


def renames(s, d):
    """To long names and back, over others, exchanged: each whole or not at all."""
    where = {}
    for n in range(40):
        where[n] = f"{n}"
        s.put(f"{d}/{n}", content(f"rename {n}", 1000))
    for directory in ("x", LONG_NAME):
        os.mkdir(f"{s.m}/{d}/{directory}")
    made = 0
    for turn in range(2):
        for n in range(300):
            made += 1
            i, j = s.rng.sample(sorted(where), 2)
            old, kind = where[i], s.rng.randrange(4)
            new = (f"m{made}", f"x/{made}", f"m{made}{LONG_NAME}", f"{LONG_NAME}/{made}{LONG_NAME}")[s.rng.randrange(4)]
            try:
                if kind == 0:
                    s.attempt(harness.renameat2, f"{s.m}/{d}/{old}", f"{s.m}/{d}/{where[j]}", harness.EXCHANGE)
                    where[i], where[j] = where[j], where[i]
                elif kind == 1 and len(where) > 20:
                    s.attempt(os.rename, f"{s.m}/{d}/{old}", f"{s.m}/{d}/{where[j]}")
                    where[i] = where.pop(j)
                else:
                    s.attempt(os.rename, f"{s.m}/{d}/{old}", f"{s.m}/{d}/{new}")
                    where[i] = new
            except Refused:
                pass
        for name in [b for b in s.books if b.startswith(f"{d}/")]:
            del s.books[name]
        for i, name in where.items():
            s.books[f"{d}/{name}"] = content(f"rename {i}", 1000)
        there = {os.path.relpath(f"{p}/{f}", f"{s.m}/{d}") for p, _, files in os.walk(f"{s.m}/{d}") for f in files}
        equal(there, set(where.values()))
        yield


def attributes(s, d):
    """Set until there is no room; a value that could not be set leaves the one before."""
    values = {}
    for n in range(8):
        s.put(f"{d}/{n}", content(f"xattr {n}", 5000))

    def one(n):
        path, name = f"{s.m}/{d}/{n % 8}", f"user.{n // 8 % 40}"
        value = content(f"value {n}", s.rng.choice((0, 10, 500, 2000)))
        try:
            s.attempt(os.setxattr, path, name, value)
            values[path, name] = value
        finally:
            if (path, name) in values:
                equal(os.getxattr(path, name), values[path, name])

    for n in range(400):
        with contextlib.suppress(Refused):
            one(n)
    yield
    for n in range(400, 600):
        with contextlib.suppress(Refused):
            one(n)
    for (path, name), value in values.items():
        equal(os.getxattr(path, name), value, f"{path} {name}")


def directories(s, d):
    """Made until there is no room, with the names that go into them."""
    made = []

    def one(n):
        parent = s.rng.choice(made) if made and n % 3 else d
        if parent.count("/") > 12:
            parent = d
        path = f"{parent}/{n}{LONG_NAME if n % 9 == 0 and len(parent) < 1500 else ''}"
        s.attempt(os.mkdir, f"{s.m}/{path}")
        made.append(path)
        s.attempt(os.symlink, "target " * (1 + n % 100), f"{s.m}/{path}/l")

    n = s.until_refused(one)
    yield
    for i in range(n + 1, n + 6):
        with contextlib.suppress(Refused):
            one(i)
    for path in made:
        equal(os.path.isdir(f"{s.m}/{path}"), True, path[:60])
    for path in made[:20]:
        equal(set(os.listdir(f"{s.m}/{path}")) - {"l"}, {p[len(path) + 1 :] for p in made if os.path.dirname(p) == path})


def growth(s, d):
    """A size far beyond the store costs nothing; the pages written into it do."""
    path = f"{s.m}/{d}/sparse"
    size = 40 << 20
    fd = os.open(path, os.O_CREAT | os.O_RDWR)
    os.ftruncate(fd, size)
    may = Either(bytes(size))
    order = list(range(0, size // PAGE, 2))
    s.rng.shuffle(order)

    def one(n):
        data = content(f"grow {n}", PAGE)
        try:
            equal(s.attempt(os.pwrite, fd, data, order[n] * PAGE), PAGE)
            may.write(order[n] * PAGE, data, True)
        except Refused:
            may.write(order[n] * PAGE, data, False)
            raise

    n = s.until_refused(one, len(order))
    yield
    for i in range(n + 1, n + 20):
        with contextlib.suppress(Refused):
            one(i)
    with contextlib.suppress(Refused):
        s.attempt(os.fsync, fd)
    may.settle(read_file(path), "a sparse file")
    try:
        s.attempt(os.ftruncate, fd, size // 2)
        del may.now[size // 2 :]
    except Refused:
        equal(s.copies_on_write, True, "a file cannot be cut on a full store")
    os.close(fd)
    equal(read_file(path) == bytes(may.now), True, "cut on a full store")
    s.books[f"{d}/sparse"] = bytes(may.now)


def allocation(s, d):
    """fallocate(2) beyond what there is."""
    fd = os.open(f"{s.m}/{d}/allocated", os.O_CREAT | os.O_RDWR)
    os.write(fd, b"content")
    for length in (1 << 30, 20 << 20):
        harness.fails((*s.refusals, errno.EOPNOTSUPP), harness.fallocate, fd, 0, 0, length)
        equal(read_file(f"{s.m}/{d}/allocated")[:7], b"content")
    os.close(fd)
    yield


def mapped(s, d):
    """Stores to a mapping, of pages that are there and of a hole: msync reports it. (A local filesystem has SIGBUS for that.)"""
    if harness.PLAIN:
        return
    size = 2 << 20
    old = content("mapped", size)
    for name in ("full", "hole"):
        write_file(f"{s.m}/{d}/{name}", old if name == "full" else b"")
        os.truncate(f"{s.m}/{d}/{name}", size)
    yield
    for name in ("full", "hole"):
        path = f"{s.m}/{d}/{name}"
        may = Either(old if name == "full" else bytes(size))
        accepted = True
        try:
            s.attempt(harness.as_user, os.getuid(), os.getgid(), [], store_to_all, path, size)
        except Refused:
            accepted = False
        for p in range(0, size, PAGE):
            may.write(p, content(f"store {p}", 100), accepted)
        if accepted and name == "hole":
            raise Failure("msync says that stores to a hole are durable on a full store")
        may.check(read_file(path), f"a mapped file ({name})")
        s.later.append((path, may))


def store_to_all(path, size):
    """In a process of its own, because the mount might go away."""
    fd = os.open(path, os.O_RDWR)
    with mmap.mmap(fd, size) as pages:
        for p in range(0, size, PAGE):
            pages[p : p + 100] = content(f"store {p}", 100)
        pages.flush()
    os.close(fd)


def databases(s, d):
    """SQLite tells its user; what it committed before is there, and it goes on when there is space."""
    committed = {}
    for mode in ("wal", "delete"):
        with contextlib.closing(database(s, d, mode)) as c:
            c.execute("create table t(id integer primary key, data blob)")
        committed[mode] = 0
    for turn in range(2):
        for mode in committed:
            with contextlib.closing(database(s, d, mode)) as c:
                try:
                    while committed[mode] < 500:
                        c.execute("insert into t values(?, ?)", (committed[mode] + 1, content(mode, 30_000)))
                        committed[mode] += 1
                    raise Failure("500 rows without an error on a full store")
                except sqlite3.OperationalError as e:
                    equal("full" in str(e) or "disk I/O" in str(e) or "unable to open" in str(e), True, str(e))
        if turn == 0:
            yield
    s.leave(1 << 20)
    for mode, n in committed.items():
        with contextlib.closing(database(s, d, mode)) as c:
            equal(c.execute("pragma integrity_check").fetchall(), [("ok",)], mode)
            there = c.execute("select count(*), coalesce(max(id), 0) from t").fetchone()
            equal(there in ((n, n), (n + 1, n + 1)), True, f"{there} rows of {n} that were committed ({mode})")
            c.execute("delete from t where id > ?", (n - 2,))
    s.take_the_rest()


def database(s, d, mode):
    c = sqlite3.connect(f"{s.m}/{d}/{mode}.db", isolation_level=None)
    with contextlib.suppress(sqlite3.OperationalError):
        c.execute("pragma locking_mode=exclusive")  # else it maps a file, and a store to that raises SIGBUS
        c.execute(f"pragma journal_mode={mode}")
        c.execute("pragma synchronous=full")
    return c


WRITERS = [appends, small_files, overwrites, renames, attributes, directories, growth, allocation, mapped, databases]
