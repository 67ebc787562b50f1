"""Database servers: every row that was acknowledged is there after the kill, and the files pass the server's own checks."""

import contextlib
import glob
import os
import pwd
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time

import harness
from harness import ROOT, Failure, Skip, as_owner, equal, need, run, wait_until
from workload import SideLog, Workload, lines, lost


class Server(Workload):
    """A database server of our own, run by a plain user where root makes the mount. Clients note each acknowledged row outside."""

    options = ("allow_other",) if ROOT else ()
    user_name = "nobody"
    clients = 2

    def __init__(self, *args):
        super().__init__(*args)
        self.server = None
        self.acknowledged = 0
        self.pids = []
        self.data = f"{self.place}/data"
        self.sockets = tempfile.mkdtemp(prefix="coffer-db-")  # short: a socket's path has 107 bytes
        self.user = None
        self.tables = False
        if ROOT:
            try:
                self.user = pwd.getpwnam(self.user_name).pw_uid
            except KeyError:
                self.user = harness.NOBODY

    # What a server defines

    def serve(self):
        """The command of the server."""
        raise NotImplementedError

    def client(self):
        """The command of a client that reads SQL and prints rows at once."""
        raise NotImplementedError

    # What all have in common

    def as_user(self, *argv, check=True, timeout=120, **kw):
        return run(*as_owner(self.user), *argv, check=check, timeout=timeout, cwd=self.sockets, env=self.environment(), **kw)

    def environment(self):
        return {**os.environ, "HOME": self.sockets, "LC_ALL": "C", "TZ": "UTC"}

    def make_place(self):
        os.mkdir(self.place, 0o755)
        os.mkdir(self.data, 0o700)
        if self.user is not None:
            for path in (self.data, self.sockets):
                os.chown(path, self.user, pwd.getpwuid(self.user).pw_gid)

    def sql(self, text, check=True):
        return self.as_user(*self.client(), input=text, stdin=None, check=check).stdout.strip()

    def start_server(self):
        with open(self.log("server"), "ab") as log:
            self.server = subprocess.Popen(
                [*as_owner(self.user), *self.serve()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.sockets,
                env=self.environment(),
            )
        wait_until(self.ready, 60, f"the start of the server\n{self.server_log()}")

    def ready(self):
        if self.server.poll() is not None:
            raise Failure(f"the server ended with status {self.server.returncode}\n{self.server_log()}")
        return self.as_user(*self.client(), input="select 1;\n", stdin=None, check=False).returncode == 0

    def server_log(self):
        return "\n".join(lines(self.log("server"))[-30:])

    def start(self, turn):
        if self.server is None:
            self.start_server()
        for n in range(self.clients):
            self.child(f"client{n}", self.insert, n, turn)

    def insert(self, number, turn):
        """One row a transaction. The server's death ends it; whether that came of the mount is the server's to say."""
        log = SideLog(self.log("commits"))
        psql = subprocess.Popen(
            [*as_owner(self.user), *self.client()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.sockets,
            env=self.environment(),
        )
        n = 0
        while True:
            n += 1
            name = f"{turn}-{number}-{n}"
            try:
                psql.stdin.write(f"{self.insertion(name)}\n".encode())
                psql.stdin.flush()
            except BrokenPipeError:
                pass
            answer = psql.stdout.readline().decode().strip()
            if answer != name:
                os.statvfs(self.place)  # of a dead mount: ENOTCONN
                raise Failure(f"answer to {name}: {answer or psql.stderr.read().decode()}")
            log.say(name)

    def insertion(self, name):
        """SQL that commits a row of this name and then prints the name."""
        raise NotImplementedError

    def alive(self):
        super().alive()
        if self.server.poll() is not None:
            raise Failure(f"before the kill the server ended with status {self.server.returncode}\n{self.server_log()}")

    def die(self):
        """The server gives up at the first write that fails, or has nobody who writes and is ended here."""
        end = time.monotonic() + 1
        while self.server.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        self.kill_server()
        super().die()

    def processes(self):
        """The server and its children, which have sessions of their own."""
        found = [self.server.pid]
        for entry in os.listdir("/proc"):
            with contextlib.suppress(OSError, ValueError):
                with open(f"/proc/{int(entry)}/stat") as f:
                    if int(f.read().rsplit(")", 1)[1].split()[1]) in found:
                        found.append(int(entry))
        return found

    def kill_server(self):
        if self.server is None:
            return
        if self.server.poll() is None:
            ours = self.processes()
            self.server.kill()
            self.server.wait(20)
            end = time.monotonic() + 10
            for pid in ours[1:]:
                while os.path.exists(f"/proc/{pid}") and time.monotonic() < end:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                    time.sleep(0.01)
        self.server = None

    def stop_server(self, sig=signal.SIGINT):
        self.server.send_signal(sig)
        try:
            status = self.server.wait(60)
        except subprocess.TimeoutExpired:
            raise Failure(f"the server does not stop\n{self.server_log()}") from None
        self.server = None
        equal(status, 0, f"exit status of the server\n{self.server_log()}\n")

    def kill(self):
        super().kill()
        self.kill_server()

    def close(self):
        self.kill_server()
        super().close()
        shutil.rmtree(self.sockets, ignore_errors=True)

    def compare(self, query):
        """Every acknowledged row is there, and of others at most the one of each client that was under way."""
        acknowledged = set(lines(self.log("commits")))
        there = self.sql(query).split()
        equal(len(there), len(set(there)), "rows, and different ones")
        lost("rows", acknowledged - set(there))
        strange = sorted(set(there) - acknowledged)
        log = SideLog(self.log("commits"))
        for name in strange:  # from now on it has to stay
            log.say(name)
        equal(len(strange) <= self.clients, True, f"rows that nobody acknowledged: {strange}")
        self.acknowledged = len(there)

    def tally(self):
        return f"{self.acknowledged} rows"


class Postgres(Server):
    """PostgreSQL with checksums and a small log: segments get reused, checkpoints are frequent. pgbench runs beside our clients."""

    name = "postgres"
    user_name = "postgres"

    def __init__(self, *args):
        super().__init__(*args)
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda p: int(p.split("/")[4]))
        self.bin = os.path.dirname(found[-1]) if found else os.path.dirname(shutil.which("initdb") or "")
        self.memory = None
        self.bench = None
        self.transactions = 0

    def prepare(self):
        if not self.bin:
            raise Skip("initdb (PostgreSQL) is not installed")
        self.make_place()
        options = ["-k", "-A", "trust", "-U", "test", "--locale=C", "-E", "UTF8", "--wal-segsize=1"]
        self.as_user(f"{self.bin}/initdb", "-D", self.data, *options)
        self.start_server()
        self.sql("create table log(name text primary key, data text);")
        self.as_user(f"{self.bin}/pgbench", "-q", "-i", "-s", "1", *self.where())
        self.sql("create extension amcheck;")

    def serve(self):
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": self.sockets,
            "shared_buffers": "4MB",
            "max_wal_size": "4MB",
            "min_wal_size": "2MB",
            "checkpoint_timeout": "30s",
            "bgwriter_delay": "10ms",
            "synchronous_commit": "on",
            "fsync": "on",
            "max_connections": "20",
        }
        return [f"{self.bin}/postgres", "-D", self.data, *(w for k, v in settings.items() for w in ("-c", f"{k}={v}"))]

    def where(self):
        return ["-h", self.sockets, "-U", "test", "postgres"]

    def client(self):
        return [f"{self.bin}/psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *self.where()]

    def start_server(self):
        super().start_server()
        with open(f"{self.data}/postmaster.pid") as f:
            self.memory = f.read().split("\n")[6].split()[1]

    def kill_server(self):
        super().kill_server()
        if self.memory:  # the small segment that a killed server leaves
            run("ipcrm", "-m", self.memory, check=False)
        self.memory = None

    def stop_server(self, sig=signal.SIGINT):
        super().stop_server(sig)
        self.memory = None

    def insertion(self, name):
        size = random.Random(name).choice((0, 1, 20, 200))
        return f"insert into log values ('{name}', repeat(md5('{name}'), {size})) returning name;"

    def start(self, turn):
        super().start(turn)
        with open(self.log("pgbench"), "wb") as log:
            self.bench = subprocess.Popen(
                [*as_owner(self.user), f"{self.bin}/pgbench", "-n", "-c", "2", "-T", "600", *self.where()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.sockets,
                env=self.environment(),
            )

    def alive(self):
        super().alive()
        if self.bench.poll() is not None:
            raise Failure(f"before the kill pgbench ended\n{harness.read_file(self.log('pgbench')).decode()}")

    def die(self):
        super().die()
        self.bench.wait(self.patience)
        text = harness.read_file(self.log("pgbench")).decode()
        done = re.search(r"number of transactions actually processed: (\d+)", text)
        # Where the machine is busy, the kill may come before it has even connected.
        if not done and "could not create connection" not in text:
            raise Failure(f"pgbench\n{text}")
        self.transactions += int(done[1]) if done else 0
        self.bench = None

    def kill(self):
        if self.bench and self.bench.poll() is None:
            self.bench.kill()
            self.bench.wait(20)
        super().kill()

    def close(self):
        self.kill()
        super().close()

    def verify(self):
        self.start_server()
        self.compare("select name from log;")
        equal(self.sql("select count(*) from log where replace(data, md5(name), '') <> '';"), "0", "rows with other content")
        sums = self.sql(
            "select (select sum(abalance) from pgbench_accounts), (select sum(bbalance) from pgbench_branches),"
            " (select sum(tbalance) from pgbench_tellers), (select coalesce(sum(delta), 0) from pgbench_history);"
        ).split("|")
        equal(len(set(sums)), 1, f"sums of pgbench's tables, each change in all four or in none: {sums}")
        rows = int(self.sql("select count(*) from pgbench_history;"))
        if rows < self.transactions:
            raise Failure(f"{self.transactions} transactions of pgbench acknowledged, {rows} there")
        self.transactions = rows
        check = [f"{self.bin}/pg_amcheck", "--heapallindexed", *self.where()]
        equal(self.as_user(*check).stdout, "", "pg_amcheck")
        self.stop_server()
        self.as_user(f"{self.bin}/pg_checksums", "--check", "-D", self.data)

    def tally(self):
        return f"{self.acknowledged} rows, {self.transactions} transactions of pgbench"


class Mariadb(Server):
    """MariaDB, each commit flushed."""

    name = "mariadb"
    user_name = "mysql"

    def prepare(self):
        need("mariadbd", "mariadb", "mariadb-install-db", "innochecksum")
        self.make_place()
        options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        self.as_user("mariadb-install-db", "--no-defaults", f"--datadir={self.data}", *options)
        self.start_server()
        self.sql("create database test; create table test.log(name varchar(40) primary key, data longtext) engine=innodb;")

    def serve(self):
        return [
            shutil.which("mariadbd", path=os.environ.get("PATH", "") + ":/usr/sbin"),
            "--no-defaults",
            f"--datadir={self.data}",
            f"--socket={self.sockets}/s",
            f"--pid-file={self.sockets}/pid",
            "--skip-networking",
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-size=8M",
            "--innodb-log-file-size=4M",
            "--innodb-doublewrite=ON",
        ]

    def client(self):
        return ["mariadb", "--no-defaults", "-u", "root", "-S", f"{self.sockets}/s", "-N", "-B", "--unbuffered"]

    def insertion(self, name):
        size = random.Random(name).choice((0, 1, 20, 200))
        return f"insert into test.log values ('{name}', repeat(md5('{name}'), {size})); select '{name}';"

    def verify(self):
        self.start_server()
        self.compare("select name from test.log;")
        equal(self.sql("select count(*) from test.log where replace(data, md5(name), '') <> '';"), "0", "rows with other content")
        equal(self.sql("check table test.log extended;").split("\t")[-1], "OK")
        self.stop_server(signal.SIGTERM)
        for path in glob.glob(f"{self.data}/**/*.ibd", recursive=True):
            self.as_user("innochecksum", path)
