"""SQLite, mail delivery and git: programs that rely on what a call has accepted, and on rename."""

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess

import harness
from harness import Failure, content, equal, need, run
from workload import SideLog, Workload, lines, lost, read


class Sqlite(Workload):
    """One writer, synchronous=FULL. The content follows from the number of the last commit alone, so all of it is compared."""

    mode = ""
    kept = 150  # rows

    def __init__(self, *args):
        super().__init__(*args)
        self.last = 0

    def connect(self, alone=True):
        """Alone it maps no file, so that a mount that goes away is an error and no SIGBUS."""
        c = sqlite3.connect(f"{self.place}/db", isolation_level=None, timeout=20)
        c.execute(f"pragma locking_mode={'exclusive' if alone else 'normal'}")
        c.execute("pragma synchronous=full")
        c.execute("pragma cache_size=-100")  # pages get written before the commit as well
        c.execute("pragma wal_autocheckpoint=40")
        return c

    def prepare(self):
        super().prepare()
        with contextlib.closing(self.connect()) as c:
            c.execute(f"pragma page_size={random.Random(self.seed).choice((1024, 4096, 4096, 8192))}")
            equal(c.execute(f"pragma journal_mode={self.mode}").fetchone(), (self.mode,))
            c.execute("create table t(id integer primary key, data blob, touched integer)")
            c.execute("create index i on t(data)")
            c.execute("create table meta(last integer)")
            c.execute("insert into meta values(0)")

    def start(self, turn):
        self.child("writer", self.write)

    def write(self):
        log = SideLog(self.log("commits"))
        c = self.connect(alone=False)
        n = c.execute("select last from meta").fetchone()[0]
        while True:
            n += 1
            c.execute("begin immediate")
            c.execute("insert into t values(?, ?, 0)", (n, self.data(n)))
            c.execute("update t set data=? where id=?", (self.data(n - 7, "again"), n - 7))
            c.execute("delete from t where id=?", (n - self.kept,))
            if n % 20 == 0:
                c.execute("update t set touched=touched + 1")
            c.execute("update meta set last=?", (n,))
            c.execute("commit")
            log.say(n)

    def data(self, n, again=""):
        return content(f"{n} {again}", random.Random(f"{n} {again}").choice((10, 300, 2000, 20000)))

    def rows(self, last):
        return [
            (n, self.data(n, "again" if n + 7 <= last else ""), last // 20 - (n - 1) // 20)
            for n in range(max(1, last - self.kept + 1), last + 1)
        ]

    def verify(self):
        acknowledged = int(([0] + lines(self.log("commits")))[-1])
        with contextlib.closing(self.connect()) as c:
            equal(c.execute("pragma integrity_check").fetchall(), [("ok",)], "integrity_check")
            last = c.execute("select last from meta").fetchone()[0]
            lost("commits", range(last + 1, acknowledged + 1))
            equal(last <= max(acknowledged, self.last) + 1, True, f"commit {last} is there, acknowledged were {acknowledged}")
            equal(c.execute("select * from t order by id").fetchall() == self.rows(last), True, f"rows as of commit {last}")
            equal(c.execute("pragma journal_mode").fetchone(), (self.mode,))
        self.last = last

    def tally(self):
        return f"{self.last} commits"


class SqliteWal(Sqlite):
    name = "sqlite-wal"
    mode = "wal"


class SqliteDelete(Sqlite):
    name = "sqlite-delete"
    mode = "delete"


class Maildir(Workload):
    """Mail written to tmp/, synced, renamed to new/, the directory synced; some of it read (moved to cur/) and deleted later.

    Acknowledged mail is in new/ or cur/, once and whole; what was deleted stays deleted; nothing but whole mail is seen there."""

    name = "maildir"
    synced = True

    def __init__(self, *args):
        super().__init__(*args)
        self.next = 0
        self.delivered = set()

    def prepare(self):
        super().prepare()
        for d in ("tmp", "new", "cur"):
            os.mkdir(f"{self.place}/{d}")

    def start(self, turn):
        with open(self.log("mail"), "w"):
            pass
        self.child("delivery", self.deliver, self.next, sorted(self.delivered))

    def mail(self, n):
        size = random.Random(f"{self.seed} {n}").choice((0, 100, 3000, 3968, 4096, 20000, 100000))
        return content(f"{self.seed} {n}", size)

    def file_name(self, n):
        """Every fourth is too long to be stored as a name below."""
        return f"{n}.host" + ("," + "S=12345" * 28 if n % 4 == 0 else "")

    def sync(self, path):
        if self.synced:
            fd = os.open(path, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)

    def deliver(self, n, here):
        log = SideLog(self.log("mail"))
        rng = random.Random(f"{self.seed} {n}")
        where = {}
        while True:
            name = self.file_name(n)
            fd = os.open(f"{self.place}/tmp/{name}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            view = memoryview(self.mail(n))
            while view:
                view = view[os.write(fd, view[:30000]) :]
            if self.synced:
                os.fsync(fd)
            os.close(fd)
            log.say(f"do deliver {n}")
            os.rename(f"{self.place}/tmp/{name}", f"{self.place}/new/{name}")
            self.sync(f"{self.place}/new")
            log.say(f"ok deliver {n}")
            here.append(n)
            where[n] = f"new/{name}"
            n += 1
            if rng.random() < 0.3:
                m = rng.choice(here)
                if m in where and where[m].startswith("new/"):
                    seen = f"cur/{self.file_name(m)}:2,S"
                    os.rename(f"{self.place}/{where[m]}", f"{self.place}/{seen}")
                    where[m] = seen
            if len(here) > 60:
                m = here.pop(rng.randrange(len(here)))
                log.say(f"do delete {m}")
                self.delete(m)
                log.say(f"ok delete {m}")

    def delete(self, n):
        for path in (f"new/{self.file_name(n)}", f"cur/{self.file_name(n)}:2,S"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.place}/{path}")
                self.sync(os.path.dirname(f"{self.place}/{path}"))
                return
        raise Failure(f"mail {n} is not there to be deleted")

    def verify(self):
        doubtful = set()
        for line in lines(self.log("mail")):
            word, what, n = line.split()
            n = int(n)
            self.next = max(self.next, n + 1)
            doubtful = {n} if word == "do" else set()
            if what == "deliver" and word == "ok":
                self.delivered.add(n)
            if what == "delete":
                self.delivered.discard(n)
        found = {}
        for d in ("new", "cur"):
            for name in os.listdir(f"{self.place}/{d}"):
                n = int(name.split(".")[0])
                equal(name, self.file_name(n) + (":2,S" if d == "cur" else ""))
                if n in found:
                    raise Failure(f"mail {n} is there twice: {found[n]} and {d}")
                found[n] = d
                self.same(n, f"{self.place}/{d}/{name}")
        lost("mail", self.delivered - set(found))
        equal(set(found) - self.delivered - doubtful, set(), "mail that was deleted, or never delivered")
        self.delivered = set(found)
        for name in os.listdir(f"{self.place}/tmp"):
            path = f"{self.place}/tmp/{name}"
            n = int(name.split(".")[0])
            data = read(path)
            equal(data == self.mail(n)[: len(data)], True, f"{path} is the beginning of its mail")
            os.unlink(path)
            self.next = max(self.next, n + 1)

    def same(self, n, path):
        data = read(path)
        if data != self.mail(n):
            raise Failure(f"{path}: {len(data)} bytes are not its {len(self.mail(n))} bytes")

    def tally(self):
        return f"{self.next} mails"


class MaildirUnsynced(Maildir):
    """The same without one fsync: a kill loses nothing that was accepted."""

    name = "maildir-unsynced"
    synced = False


class Git(Workload):
    """Commits by git itself, now and then a repack; each commit's id is noted when git has returned."""

    name = "git"

    def __init__(self, *args):
        super().__init__(*args)
        self.commits = 0

    def prepare(self):
        need("git")
        super().prepare()
        self.git("init", "-q", "-b", "main", ".")
        self.git("config", "gc.auto", "0")
        self.git("config", "core.fsync", "all")

    def environment(self):
        names = {f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        return {**os.environ, **names, "HOME": self.side, "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1", "GIT_OPTIONAL_LOCKS": "0"}

    def git(self, *args):
        return run("git", *args, cwd=self.place, env=self.environment(), timeout=60).stdout

    def start(self, turn):
        self.child("committer", self.commit, turn)

    def commit(self, turn):
        """Git's own messages say what failed; a file written by hand afterwards says whether it was the mount."""
        log = SideLog(self.log("commits"))
        rng = random.Random(f"{self.seed} {turn}")
        n = 0
        while True:
            n += 1
            try:
                for _ in range(rng.randrange(1, 5)):
                    d = f"{self.place}/dir{rng.randrange(6)}"
                    os.makedirs(d, exist_ok=True)
                    harness.write_file(f"{d}/file{rng.randrange(20)}", content(f"{turn} {n}", rng.randrange(20000)).hex().encode())
                self.git("add", ".")
                self.git("commit", "-q", "--allow-empty", "-m", f"change {turn} {n}")
                log.say(self.git("rev-parse", "HEAD").strip())
                if n % 12 == 0:
                    self.git("repack", "-adq")
            except (Failure, subprocess.TimeoutExpired, FileNotFoundError, NotADirectoryError):
                os.statvfs(self.place)  # of a dead mount: ENOTCONN
                raise

    def verify(self):
        acknowledged = lines(self.log("commits"))
        for parent, _, names in os.walk(f"{self.place}/.git"):
            for name in names:
                if name.endswith(".lock"):  # of the git that was interrupted; git tells its user to remove it
                    os.unlink(f"{parent}/{name}")
        self.git("fsck", "--full", "--strict")
        history = self.git("rev-list", "HEAD").split() if acknowledged else []
        lost("commits", set(acknowledged) - set(history))
        self.git("status", "--porcelain")
        if acknowledged:
            self.git("reset", "-q", "--hard")
            self.git("clean", "-fdq")
            equal(self.git("status", "--porcelain"), "")
            shutil.rmtree(f"{self.side}/clone", ignore_errors=True)
            self.git("clone", "-q", "--no-local", ".", f"{self.side}/clone")
            shutil.rmtree(f"{self.side}/clone")
        self.commits = len(acknowledged)

    def tally(self):
        return f"{self.commits} commits"
