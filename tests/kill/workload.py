"""What the workloads of test_kill.py have in common: processes that live on a mount until it dies, and side logs outside it.

A workload owns a directory in the mount (.place) and one outside (.side). Its writers are children of the test; they tell a side
log what was acknowledged to them, after the call returned, and what they are about to do, before it. A line that is in the log
stays there: only the mount is killed, not the machine. verify() holds what is in the mount against the log.
"""

import contextlib
import errno
import os
import signal
import sqlite3
import sys
import time
import traceback

import harness
from harness import Failure, read_file

# What a program gets from a mount whose process was killed: these are no findings.
DEAD_MOUNT = (errno.ENOTCONN, errno.ECONNABORTED, errno.ECANCELED, errno.EIO, errno.ENODEV, errno.ESTALE, errno.EPIPE)
# A child that stored to a mapped file of the mount dies of SIGBUS; SIGKILL is ours, when plain directories take the mount's place.
DEAD_SIGNALS = (signal.SIGBUS, signal.SIGKILL)


def where_they_are():
    """Of every process: what it is, and where in the kernel it waits."""
    lines = []
    for pid in sorted(int(p) for p in os.listdir("/proc") if p.isdigit()):
        with contextlib.suppress(OSError):
            words = read_file(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode(errors="replace")
            if words:
                lines.append(f"{pid} {words[:100]}")
                lines += ["    " + s for s in read_file(f"/proc/{pid}/stack").decode().splitlines()[:6]]
    return "\n".join(lines)


class SideLog:
    """Lines outside the mount, each there when say() has returned."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def say(self, line):
        data = f"{line}\n".encode()
        harness.equal(os.write(self.fd, data), len(data), "side log")


def lines(path):
    """The complete lines of a side log."""
    if not os.path.exists(path):
        return []
    return harness.read_file(path).decode().split("\n")[:-1]


def read(path):
    """The content of a file that has to be readable; a failed read alone does not say of which file."""
    try:
        return harness.read_file(path)
    except OSError as e:
        raise Failure(f"{path}: {errno.errorcode[e.errno]}") from e


class Child:
    """A forked writer. It ends with the mount; ended in any other way it is a finding."""

    def __init__(self, name, side, function, *args):
        self.name = name
        self.report = f"{side}/{name}.report"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.report)
        sys.stdout.flush()
        self.status = None
        self.pid = os.fork()
        if self.pid == 0:
            self._live(function, args)

    def _live(self, function, args):
        status = 1
        try:
            harness._die_with_parent()  # pylint: disable=protected-access
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            function(*args)
            self._say("ended by itself")
        except OSError as e:
            status = 0 if e.errno in DEAD_MOUNT else 1
            self._say(traceback.format_exc())
        except sqlite3.OperationalError as e:
            status = 0 if "disk I/O error" in str(e) or "unable to open" in str(e) else 1
            self._say(traceback.format_exc())
        except BaseException:  # pylint: disable=broad-except
            self._say(traceback.format_exc())
        finally:
            os._exit(status)

    def _say(self, text):
        harness.write_file(self.report, text.encode())

    def poll(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status

    def story(self):
        text = "\n".join(lines(self.report))
        return f"{self.name} ended with status {self.status}\n{text}"

    def kill(self):
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


class Workload:
    name = ""
    options = ()  # of the mount
    # Seconds for its processes to notice the dead mount: a thread of it that is in a sync dies only when that is over, and the store may
    # have much of others to write.
    patience = 120

    def __init__(self, place, side, seed):
        self.place = place
        self.side = side
        self.seed = seed
        self.children = []
        os.makedirs(side, exist_ok=True)

    def log(self, name):
        return f"{self.side}/{name}.log"

    def child(self, name, function, *args):
        self.children.append(Child(name, self.side, function, *args))

    # What a workload defines

    def prepare(self):
        """Once, in the empty volume."""
        os.mkdir(self.place)

    def start(self, turn):
        """Starts the writers; returns when the clock of the kill may start."""

    def verify(self):
        """The mount is there again and nobody else uses it: raises Failure for what is lost. Leaves the place fit to go on."""

    def tally(self):
        """What was acknowledged so far, for people."""
        return ""

    # What the runner calls

    def alive(self):
        """Nobody has ended before the kill."""
        for c in self.children:
            if c.poll() is not None:
                raise Failure(f"before the kill: {c.story()}")

    def die(self):
        """Waits for the writers to die of the dead mount."""
        end = time.monotonic() + self.patience
        for c in self.children:
            while c.poll() is None:
                if time.monotonic() > end:
                    raise Failure(f"{c.name} hangs on the dead mount (process {c.pid})\n{where_they_are()}")
                time.sleep(0.005)
            if c.status != 0 and -c.status not in DEAD_SIGNALS:
                raise Failure(f"not of the dead mount: {c.story()}")
        self.children = []

    def kill(self):
        """Ends all processes by force."""
        for c in self.children:
            c.kill()

    def close(self):
        self.kill()
        end = time.monotonic() + 10
        while any(c.poll() is None for c in self.children) and time.monotonic() < end:
            time.sleep(0.01)


class Mixed(Workload):
    """Several workloads on one mount at a time."""

    def __init__(self, place, side, seed, kinds):
        super().__init__(place, side, seed)
        self.parts = [kind(f"{place}/{kind.name}", f"{side}/{kind.name}", f"{seed} {kind.name}") for kind in kinds]

    def prepare(self):
        super().prepare()
        for p in self.parts:
            p.prepare()

    def start(self, turn):
        for p in self.parts:
            p.start(turn)

    def verify(self):
        for p in self.parts:
            p.verify()

    def tally(self):
        return ", ".join(p.tally() for p in self.parts)

    def alive(self):
        for p in self.parts:
            p.alive()

    def die(self):
        for p in self.parts:
            p.die()

    def kill(self):
        for p in self.parts:
            p.kill()

    def close(self):
        for p in self.parts:
            p.close()


def lost(what, missing):
    missing = sorted(missing)
    if missing:
        shown = ", ".join(str(m) for m in missing[:10])
        raise Failure(f"{what}: {len(missing)} of what was acknowledged lost: {shown}{' ...' if len(missing) > 10 else ''}")
