"""What is measured: a plain directory, coffer in its kinds, and FUSE alone. others.py has what it is compared with."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time

ROOT = os.geteuid() == 0
HERE = os.path.dirname(os.path.abspath(__file__))
MOUNT_SECONDS = 60
# A slow peer is told off, and not waited for all night.
COMMAND_SECONDS = 1800


class BenchError(Exception):
    """Something cannot be run; says what."""


def run(*argv, quiet=True, **kw):
    kw.setdefault("stdin", subprocess.DEVNULL)
    kw.setdefault("timeout", COMMAND_SECONDS)
    try:
        r = subprocess.run(argv, stdout=subprocess.DEVNULL if quiet else subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)
    except subprocess.TimeoutExpired as e:
        raise BenchError(f"{argv[0]} takes more than {e.timeout:.0f} s") from None
    # grep finds nothing, and says so with 1
    if r.returncode > (argv[0] == "grep"):
        raise BenchError(f"{' '.join(argv)}: {(r.stderr.strip().splitlines() or ['exit status %d' % r.returncode])[-1]}")
    return r.stdout


class Plain:
    """A plain directory: the base of the others."""

    name = "plain"
    packages = ()  # of Debian, without which it cannot be measured
    peak_kib = 0
    usual = True  # measured if nobody says what is to be
    peer = False  # somebody else's: what it cannot do is left out

    def __init__(self, base):
        self.dir = self.store = f"{base}/plain"
        os.mkdir(self.dir)

    @classmethod
    def missing(cls):
        """What is not there that this needs, or None."""

    def mount(self):
        pass

    def unmount(self):
        pass

    def requests(self):
        return {}

    def usage(self):
        """What the process that serves the mount has used: processor seconds, bytes given to write calls, memory now."""
        return {}

    def settle(self, unsynced):
        """Finishes what was put off, so that it does not happen while another target is measured. unsynced: there may be content that
        nobody has synced; only then is the whole store synced, which may have much to do for others."""
        if unsynced:
            run("sync", "-f", self.store)

    def cold(self):
        self.unmount()
        run("sync", "-f", self.store)
        if ROOT:
            with open("/proc/sys/vm/drop_caches", "w") as f:
                f.write("3\n")
        self.mount()


class Mounted(Plain):
    """A mount, served by a child in the foreground."""

    def __init__(self, base):
        self.store = f"{base}/{self.name}.store"
        self.dir = f"{base}/{self.name}"
        self.log = f"{base}/{self.name}.log"
        self.child = None
        self.env = dict(os.environ, COFFER_STATE_DIR="")
        self.secret = f"{base}/{self.name}.secret"
        os.mkdir(self.dir)
        with open(self.secret, "w") as f:
            f.write(os.urandom(32).hex())

    def mount(self):
        # A session of its own: Ctrl-C is for us, who unmount.
        with open(self.log, "w") as log, open(self.secret) as secret:
            self.child = subprocess.Popen(
                self.command(), stdin=secret, stdout=log, stderr=log, env=self.env, start_new_session=True
            )
        end = time.monotonic() + MOUNT_SECONDS
        while not os.path.ismount(self.dir):
            if self.child.poll() is not None or time.monotonic() > end:
                with open(self.log) as log:
                    raise BenchError(f"does not mount: {log.read().strip()[-400:]}")
            time.sleep(0.01)

    def of_process(self, what, pattern):
        with open(f"/proc/{self.child.pid}/{what}") as f:
            return re.search(pattern, f.read())

    def note_peak(self):
        with contextlib.suppress(OSError, TypeError):
            self.peak_kib = max(self.peak_kib, int(self.of_process("status", r"VmHWM:\s+(\d+)")[1]))

    def usage(self):
        # Fields 14 and 15 of stat(5), behind the name in parentheses.
        fields = self.of_process("stat", r"\) (.*)")[1].split()
        # Not write_bytes: for a few bytes in a large folio of the page cache it counts the folio, of which only the blocks are written.
        written = self.of_process("io", r"(?m)^wchar: (\d+)")[1]
        ticks = int(fields[11]) + int(fields[12])
        return {"cpu": ticks / os.sysconf("SC_CLK_TCK"), "written": int(written)}

    def resident_kib(self):
        return int(self.of_process("status", r"VmRSS:\s+(\d+)")[1])

    def unmount(self):
        if not self.child:
            return
        self.note_peak()
        if os.path.ismount(self.dir):
            how = ["umount"] if ROOT else ["fusermount3", "-u"]
            for attempt in how, how, [*how, "-l" if ROOT else "-z"]:
                if subprocess.run([*attempt, self.dir], stderr=subprocess.DEVNULL).returncode == 0:
                    break
                time.sleep(1)
        try:
            self.child.wait(MOUNT_SECONDS)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child = None


def find_coffer(given):
    build = os.path.join(HERE, "../../build-release/util/cli/coffer")
    for p in given, os.environ.get("COFFER"), build, shutil.which("coffer"):
        if p and os.access(p, os.X_OK):
            return os.path.abspath(p)
    return None


class Coffer(Mounted):
    """With the journal, as it is by default."""

    name = "coffer"
    program = None
    options = ()

    def __init__(self, base):
        super().__init__(base)
        self.counts = f"{base}/{self.name}.counts"
        self.env["COFFER_REQUEST_COUNTS"] = self.counts
        run(self.program, "init", self.store, "--key-file", self.secret, "--no-recovery-key", env=self.env)

    @classmethod
    def missing(cls):
        if not cls.program:
            return "build it (meson setup build-release --buildtype=release && ninja -C build-release)"
        return None

    def command(self):
        return [self.program, "mount", "-f", *self.options, self.store, self.dir, "--key-file", self.secret]

    def settle(self, unsynced):
        # A freeze begins by making everything durable and bringing it in place.
        run(self.program, "freeze", self.store, "--", "true", env=self.env)
        super().settle(unsynced)

    def requests(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.counts)
        with open(f"{self.store}/.coffer/lock") as f:
            os.kill(int(f.read()), signal.SIGUSR1)
        for _ in range(1000):
            with contextlib.suppress(OSError, ValueError), open(self.counts) as f:
                return json.load(f)
            time.sleep(0.01)
        raise BenchError("the mount does not write its counters")


class NoJournal(Coffer):
    name = "nojournal"
    options = ("-o", "nojournal")


class NoPerm(Coffer):
    """Permissions are not checked by the kernel."""

    name = "noperm"
    options = ("-o", "noperm")
    usual = False


class Ring(Coffer):
    """Requests by io_uring: of a coffer that was built with libfuse 3.18, on a kernel that was told."""

    name = "ring"
    options = ("-o", "io_uring")
    usual = False


class RingNoPerm(Ring):
    name = "ring-noperm"
    options = ("-o", "io_uring,noperm")


class NoFollow(Coffer):
    """Serving threads stay where the scheduler has put them (fs/follow.h)."""

    name = "nofollow"
    usual = False

    def __init__(self, base):
        super().__init__(base)
        self.env["COFFER_NO_FOLLOW"] = "1"


class Passthrough(Mounted):
    """tests/bench/passthrough.c: FUSE without anything behind it."""

    name = "passthrough"

    def __init__(self, base):
        super().__init__(base)
        os.mkdir(self.store)

    @staticmethod
    def program():
        given = os.environ.get("PASSTHROUGH")
        built = [os.path.join(os.path.dirname(Coffer.program), "../../tests/bench/passthrough")] if Coffer.program else []
        for p in [given] if given else built:
            if os.access(p, os.X_OK):
                return os.path.abspath(p)
        return None

    @classmethod
    def missing(cls):
        if not cls.program():
            return "build coffer with -Dtests=enabled, or say where it is in $PASSTHROUGH"
        return None

    def command(self):
        return [self.program(), self.store, self.dir]
