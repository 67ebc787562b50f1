#!/usr/bin/python3
"""Counts, with strace, the system calls that the mount makes below for small files, and holds them to a budget (docs/performance.md).

What a request costs by itself, the read that brings it and the write that answers it, is not counted here but in test_requests.py."""

import collections
import os
import re
import signal
import subprocess
import sys
import time

import harness
from harness import content, equal, need, need_mount, need_root, read_file, wait_until, write_file

FILES = 25
SIZE = 3968  # the largest that lies in its head

# Calls for one operation, on the average of FILES; what the rest is for stands in docs/performance.md. At most these, and in sum at most "all".
BUDGET = {
    "create": {"openat": 1, "statx": 3, "umask": 1, "all": 5},
    "first write": {"pwrite64": 1, "statx": 1, "fgetxattr": 1, "getrandom": 2, "all": 5},
    "write again": {"pwrite64": 1, "getrandom": 1, "all": 2},
    "stat, cold": {"statx": 1, "all": 1},
    "read, cold": {"openat": 1, "pread64": 1, "statx": 2, "all": 4},
    "read again": {"statx": 1, "all": 1},
    "and again": {"all": 0},
    "unlink": {"unlinkat": 1, "statx": 3, "close": 1, "all": 5},
    "mkdir": {"mkdirat": 1, "openat": 1, "symlinkat": 1, "renameat2": 1, "pwrite64": 1, "statx": 3, "getrandom": 3, "umask": 1, "all": 12},
}

# Waiting, memory, signals: not done to the store.
OTHERS = {"futex", "rt_sigtimedwait", "restart_syscall", "accept4", "clock_nanosleep", "nanosleep", "rt_sigreturn", "brk", "mmap", "munmap",
          "madvise", "mprotect", "sched_yield", "poll", "ppoll", "recvmsg", "exit", "rseq", "set_robust_list", "clone3", "clone", "rt_sigprocmask"}


class Trace:
    """strace of a mount's process; what it did is told apart by time."""

    def __init__(self, volume, tmp):
        self.file = f"{tmp}/trace"
        pid = volume.process.pid
        self.device = next(n for n in os.listdir(f"/proc/{pid}/fd") if os.readlink(f"/proc/{pid}/fd/{n}") == "/dev/fuse")
        with open(f"{tmp}/strace", "wb") as said:
            self.process = subprocess.Popen(["strace", "-f", "-ttt", "-s", "0", "-o", self.file, "-p", str(pid)],
                                            stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        tasks = len(os.listdir(f"/proc/{pid}/task"))
        wait_until(lambda: f"attached with {tasks} threads".encode() in read_file(f"{tmp}/strace"), 10, "strace")
        self.phases = []

    def during(self, name, function):
        time.sleep(0.05)
        begin = time.time()
        for i in range(FILES):
            function(i)
        time.sleep(0.05)
        self.phases.append((name, begin, time.time()))

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)

    def counts(self):
        found = {name: collections.Counter() for name, _, _ in self.phases}
        for line in read_file(self.file).decode(errors="replace").splitlines():
            m = re.match(r"\d+ +([\d.]+) (\w+)\((\d*)", line)
            if not m or m[2] in OTHERS or (m[2] in ("read", "writev") and m[3] == self.device):
                continue
            for name, begin, end in self.phases:
                if begin <= float(m[1]) <= end:
                    found[name][m[2]] += 1
        return found


def trace_of(volume, tmp):
    """A volume with FILES files that the mount has not looked at yet, and a directory that it has."""
    need_mount()
    need_root()  # the mount's process is not dumpable
    need("strace")
    volume.mount("commit=300")
    os.mkdir(f"{volume.mnt}/old")
    for i in range(FILES):
        write_file(f"{volume.mnt}/old/{i}", content(i, SIZE))
    os.mkdir(f"{volume.mnt}/new")
    volume.umount()
    volume.mount("commit=300")
    os.stat(f"{volume.mnt}/old")
    write_file(f"{volume.mnt}/new/first", b"x")
    return Trace(volume, tmp)


def test_small_files(volume, tmp):
    t = trace_of(volume, tmp)
    new, old = f"{volume.mnt}/new", f"{volume.mnt}/old"
    fds = []
    try:
        t.during("create", lambda i: fds.append(os.open(f"{new}/{i}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)))
        t.during("first write", lambda i: os.write(fds[i], content(i, SIZE)))
        t.during("write again", lambda i: os.pwrite(fds[i], content(-i, SIZE), 0))
        t.during("stat, cold", lambda i: os.stat(f"{old}/{i}"))
        t.during("read, cold", lambda i: equal(read_file(f"{old}/{i}"), content(i, SIZE)))
        t.during("read again", lambda i: read_file(f"{old}/{i}"))
        t.during("and again", lambda i: read_file(f"{old}/{i}"))
        for fd in fds:
            os.close(fd)
        t.during("unlink", lambda i: os.unlink(f"{new}/{i}"))
        t.during("mkdir", lambda i: os.mkdir(f"{new}/d{i}"))
    finally:
        t.stop()
    over = []
    for name, counts in t.counts().items():
        each = {k: round(n / FILES, 2) for k, n in counts.most_common()}
        print(f"  {name}: {sum(counts.values()) / FILES:.1f}: {each}")
        for call, most in {**{k: 0 for k in counts}, **BUDGET[name]}.items():
            n = sum(counts.values()) if call == "all" else counts[call]
            # A call or two for all of them, of another thread or the first time, is none for each.
            if n > most * FILES + 4:
                over.append(f"{name}: {call} {n / FILES:.2f}, the budget is {most}")
    equal(over, [], "above the budget")
    volume.umount()


if __name__ == "__main__":
    sys.exit(harness.main())
