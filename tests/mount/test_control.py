#!/usr/bin/python3
"""The control socket, freezing for a backup, and opening an older copy.

Numbers in names are rules of fs/freeze.h, in the last parts of fs/control.h."""

import contextlib
import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import harness
from harness import (
    NOBODY,
    Failure,
    Volume,
    content,
    equal,
    fails,
    fuse_for_everybody,
    mounted,
    need,
    need_mount,
    need_root,
    read_file,
    run,
    wait_until,
    write_file,
)

STATUS = b'{"version": 1, "verb": "status"}'
SOON = 5 * (3 if harness.SCALE > 1 else 1)


def socket_path(volume):
    directory = "/run/coffer" if harness.ROOT and volume.owner is None else f"{volume.base}/coffer"
    return f"{directory}/{volume.status(volume.dir)['instance_id']}.sock"


def connect(path, timeout=SOON):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(path)  # waits for a place in the queue, which a timeout of Python's would not
    s.settimeout(timeout)
    return s


def ask(s, request):
    """A request as bytes, or as an object."""
    s.send(request if isinstance(request, bytes) else json.dumps({"version": 1, **request}).encode())
    return json.loads(s.recv(1 << 16))


def process(volume):
    return volume.status(volume.dir)["process"]


def frozen(volume):
    return process(volume)["frozen"]


def refused(r, status, *words):
    equal(r.returncode, status, r.stderr)
    equal(len(r.stderr.strip().splitlines()), 1, r.stderr)
    for w in words:
        equal(w in r.stderr, True, f"{w!r} in {r.stderr!r}")


class Change(threading.Thread):
    """A change in the mount that may have to wait."""

    def __init__(self, function, *args):
        super().__init__(daemon=True)
        self.call = (function, args)
        self.error = None
        self.start()

    def run(self):
        try:
            self.call[0](*self.call[1])
        except OSError as e:
            self.error = e

    def done(self, seconds=SOON):
        self.join(seconds)
        equal(self.is_alive(), False, f"{self.call} still waits")
        if self.error:
            raise self.error


def state_below(volume):
    """Everything below but the marks of the mount itself."""
    command = (
        f"cd {volume.dir} && find . ! -path ./.coffer/lock -printf '%P %y %m %s %T@ %C@ %l\\n' | sort;"
        " find . -type f ! -path ./.coffer/lock | sort | xargs sha256sum"
    )
    return run("sh", "-c", command).stdout


def test_status_by_the_socket(volume):
    need_mount()
    equal(process(volume), None)
    volume.mount()
    write_file(f"{volume.mnt}/f", b"x")
    for of in (volume.dir, volume.mnt):
        p = volume.status(of)["process"]
        equal((p["pid"], p["frozen"], p["held_requests"], p["nodes"] >= 2), (volume.process.pid, False, 0, True))
    text = volume.coffer("status", volume.dir).stdout
    equal(str(volume.process.pid) in text, True, text)
    path = socket_path(volume)
    # 0711: another mount, with -o field_rights, lets others pass.
    equal((os.stat(path).st_mode & 0o777, os.stat(os.path.dirname(path)).st_mode & 0o777 & ~0o011), (0o600, 0o700))
    volume.umount()
    equal(os.path.exists(path), False, "the socket goes with the mount")
    equal(read_file(f"{volume.dir}/.coffer/lock"), b"")


def allocate(path):
    with open(path, "r+b") as f:
        harness.fallocate(f.fileno(), 0, 0, 30000)


def every_change(m):
    """Each kind of change, as calls that a frozen mount holds."""
    fd = os.open(f"{m}/open", os.O_RDWR)
    yield os.pwrite, fd, b"written", 0
    yield os.mkdir, f"{m}/a/made"
    yield write_file, f"{m}/b/created", b"new"
    yield os.symlink, "target", f"{m}/c/link"
    yield os.mkfifo, f"{m}/d/fifo"
    yield os.link, f"{m}/1", f"{m}/e/hard"
    yield os.rename, f"{m}/f/old", f"{m}/f/new"
    yield os.unlink, f"{m}/g/old"
    yield os.rmdir, f"{m}/h/old"
    yield os.chmod, f"{m}/2", 0o600
    yield os.utime, f"{m}/3", (1, 1)
    yield os.setxattr, f"{m}/4", "user.x", b"value"
    yield os.removexattr, f"{m}/5", "user.old"
    yield os.truncate, f"{m}/6", 1
    yield allocate, f"{m}/7"


def test_rule_2_changes_wait_and_reading_goes_on(volume):
    need_mount()
    volume.mount()
    m = volume.mnt
    write_file(f"{m}/open", b"before")
    for name in "12345678":
        write_file(f"{m}/{name}", content(name, 20000))
    os.setxattr(f"{m}/5", "user.old", b"x")
    for name in "abcdefgh":
        os.mkdir(f"{m}/{name}")
    for name in "fg":
        write_file(f"{m}/{name}/old", b"old")
    os.mkdir(f"{m}/h/old")
    calls, later = list(every_change(m)), []
    if "io_uring" in harness.EVERY_MOUNT:
        calls, later = calls[:6], calls[6:]  # a ring has eight places for each processor
    before = volume.coffer("freeze", m).stdout
    equal("60 s" in before and "thaw" in before, True, before)
    below = state_below(volume)
    changes = [Change(*c) for c in calls]
    wait_until(lambda: process(volume)["held_requests"] == len(calls), SOON, "all changes wait")
    # Many more wait than there are threads; each of these is asked of the mount. (Where a change waits the kernel
    # itself lets nobody list the directory, sync the file, or read what is being cut off.)
    for name in "12345":
        fd = os.open(f"{m}/{name}", os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        equal(os.read(fd, 30000), content(name, 20000))
        os.close(fd)
    fd = os.open(f"{m}/8", os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
    equal((len(os.listdir(m)), os.statvfs(m).f_namemax), (17, 255))
    fails(errno.ENODATA, os.getxattr, f"{m}/1", "user.none")
    equal([c for c in changes if not c.is_alive()], [])
    equal(state_below(volume), below, "held still below")
    equal("changes wait" in volume.coffer("status", m).stdout, True)
    volume.coffer("thaw", m)
    for c in changes:
        c.done()
    for function, *arguments in later:
        function(*arguments)
    equal((read_file(f"{m}/b/created"), os.path.getsize(f"{m}/6"), os.readlink(f"{m}/c/link")), (b"new", 1, "target"))
    equal((os.listdir(f"{m}/f"), os.listdir(f"{m}/g"), os.listdir(f"{m}/h")), (["new"], [], []))
    equal((os.stat(f"{m}/1").st_nlink, os.stat(f"{m}/3").st_mtime, os.getxattr(f"{m}/4", "user.x")), (2, 1, b"value"))
    os.close(calls[0][1])
    volume.umount()
    volume.check("--deep")


def test_rule_1_everything_is_below(volume):
    """What was written without a sync before the freeze is in a copy made under it."""
    need_mount()
    volume.mount()
    wanted = {f"f{i}": content(i, i * 3001) for i in range(40)}
    for name, data in wanted.items():
        write_file(f"{volume.mnt}/{name}", data)
    with open(f"{volume.mnt}/f9", "r+b") as f:
        f.write(b"overwritten")
        f.flush()
        wanted["f9"] = b"overwritten" + wanted["f9"][11:]
        volume.coffer("freeze", volume.mnt, "--", "cp", "-a", volume.dir, f"{volume.base}/copy")
    copy = f"{volume.base}/at"
    os.mkdir(copy)
    volume.coffer("mount", "-o", "oldcopy", f"{volume.base}/copy", copy, *volume.unlock())
    equal({n: read_file(f"{copy}/{n}") for n in os.listdir(copy)}, wanted)
    volume.coffer("umount", copy)
    volume.umount()


def test_rule_3_thaws_at_its_time(volume):
    need_mount()
    volume.mount()
    start = time.monotonic()
    volume.coffer("freeze", volume.mnt, "--timeout", "2")
    change = Change(write_file, f"{volume.mnt}/f", b"late")
    equal(frozen(volume), True)
    change.done(SOON)
    equal(1.5 < time.monotonic() - start < 2 + SOON, True, f"thawed after {time.monotonic() - start} s")
    equal(frozen(volume), False)
    # A backup that took longer than its freeze must not go unnoticed.
    refused(volume.coffer("thaw", volume.mnt, check=False), 13, "time")
    volume.umount()


def test_freeze_of_frozen_and_thaw_of_not(volume):
    need_mount()
    refused(volume.coffer("freeze", volume.dir, check=False), 9, "not mounted")
    volume.mount()
    refused(volume.coffer("thaw", volume.mnt, check=False), 13, "not frozen")
    volume.coffer("freeze", volume.dir, "--timeout", "30")
    refused(volume.coffer("freeze", volume.mnt, check=False), 6, "frozen already", "thaw")
    r = volume.coffer("freeze", volume.mnt, "--", "true", check=False)
    refused(r, 6, "frozen already")
    equal(frozen(volume), True, "a refused freeze ends no other")
    equal(volume.coffer("thaw", volume.dir).stdout.strip(), f"{volume.dir} is thawed")
    for bad in ("0", "86401", "-1", "soon", ""):
        refused(volume.coffer("freeze", volume.mnt, "--timeout", bad, check=False), 2, "--timeout")
    refused(volume.coffer("freeze", volume.mnt, "true", check=False), 2, "true")
    equal(frozen(volume), False)
    volume.umount()


def test_freeze_for_a_command(volume):
    need_mount()
    volume.mount()
    m = volume.mnt
    script = f"'{harness.COFFER}' status {m} | grep ^frozen; exit 7"
    r = volume.coffer("freeze", m, "--", "sh", "-c", script, check=False)
    equal((r.returncode, r.stdout.split()[0], r.stderr), (7, "frozen", ""))
    equal(frozen(volume), False)
    equal(volume.coffer("freeze", m, "--", "/no/such/program", check=False).returncode, 127)
    equal(volume.coffer("freeze", m, "--", "sh", "-c", "kill -9 $$", check=False).returncode, 128 + 9)
    refused(volume.coffer("freeze", m, "--timeout", "1", "--", "sleep", "2", check=False), 1, "--timeout")
    refused(volume.coffer("freeze", m, "--timeout", "1", "--", "sh", "-c", "sleep 2; exit 5", check=False), 5)
    equal(frozen(volume), False)
    volume.umount()


def test_rule_4_thaws_when_the_caller_goes(volume):
    need_mount()
    volume.mount()
    argv = [harness.COFFER, "freeze", volume.mnt, "--", "sleep", "61.25"]
    for number in (signal.SIGKILL, signal.SIGTERM):
        p = subprocess.Popen(argv, env=volume.environment())
        wait_until(lambda: frozen(volume), SOON, "the freeze")
        wait_until(lambda: harness.processes_naming("61.25")[1:], SOON, "the command")
        p.send_signal(number)
        p.wait(SOON)
        wait_until(lambda: not frozen(volume), SOON, f"the thaw after signal {number}")
        wait_until(lambda: not harness.processes_naming("61.25"), SOON, "the end of the command")
    write_file(f"{volume.mnt}/f", b"x")
    volume.umount()


def test_rule_3_umount_thaws(volume):
    need_mount()
    volume.mount()
    volume.coffer("freeze", volume.mnt)
    change = Change(write_file, f"{volume.mnt}/f", b"held")
    wait_until(lambda: process(volume)["held_requests"], SOON, "a held change")
    # The writer may still use the mount when it is to be taken away.
    wait_until(lambda: volume.coffer("umount", volume.mnt, check=False).returncode == 0, SOON, "the unmount")
    volume.reap()
    change.done()
    volume.mount()
    equal(read_file(f"{volume.mnt}/f"), b"held")
    volume.coffer("freeze", volume.mnt)
    run("umount", volume.mnt)
    volume.reap()
    volume.mount()
    volume.coffer("freeze", volume.mnt)
    change = Change(write_file, f"{volume.mnt}/g", b"held")
    wait_until(lambda: process(volume)["held_requests"], SOON, "a held change")
    volume.process.send_signal(signal.SIGTERM)
    volume.reap()
    change.done()
    volume.mount()
    equal(read_file(f"{volume.mnt}/g"), b"held")
    volume.umount()


WRITE_BACK = """
import os, sys
fd = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)
os.write(fd, b"1" * 10000)
print("written", flush=True)
sys.stdin.readline()
os.pwrite(fd, b"2" * 10000, 10000)  # into the kernel's cache
print("written", flush=True)
os.fsync(fd)
print("synced", flush=True)
"""


def test_writeback_under_a_freeze(volume):
    """Pages that the kernel sends late wait, and so does who syncs them."""
    need_mount()
    volume.mount("writeback")
    argv = ["/usr/bin/python3", "-c", WRITE_BACK, f"{volume.mnt}/f"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        equal(p.stdout.readline(), "written\n")
        volume.coffer("freeze", volume.mnt)
        below = state_below(volume)
        print(file=p.stdin, flush=True)
        equal(p.stdout.readline(), "written\n")
        wait_until(lambda: process(volume)["held_requests"], SOON, "held pages")
        equal(state_below(volume), below)
        volume.coffer("thaw", volume.mnt)
        equal(p.stdout.readline(), "synced\n")
    equal(read_file(f"{volume.mnt}/f"), b"1" * 10000 + b"2" * 10000)
    volume.umount()


# Backups


class Writer(threading.Thread):
    """Makes files and appends to one, each synced; notes what was durable."""

    def __init__(self, mnt, number):
        super().__init__(daemon=True)
        self.top = f"{mnt}/w{number}"
        self.number = number
        self.durable = {}
        self.appended = 0
        self.stop = False
        os.mkdir(self.top)
        self.start()

    def run(self):
        log = os.open(f"{self.top}/log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        i = 0
        while not self.stop:
            data = content(f"{self.number} {i}", i * 911 % 30000)
            fd = os.open(f"{self.top}/{i % 40}.tmp", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
            os.write(fd, data)
            os.fsync(fd)
            os.close(fd)
            os.rename(f"{self.top}/{i % 40}.tmp", f"{self.top}/{i}")
            top = os.open(self.top, os.O_RDONLY)
            os.fsync(top)
            os.close(top)
            self.durable[f"{i}"] = data
            os.write(log, content(f"log {i}", 500))
            os.fsync(log)
            self.appended = i + 1
            i += 1
        os.close(log)

    def snapshot(self):
        return dict(list(self.durable.items())), self.appended


def compare(writer, at, taken):
    durable, appended = taken
    top = f"{at}/w{writer.number}"
    names = os.listdir(top)
    for name, data in durable.items():
        equal(read_file(f"{top}/{name}"), data, name)
    log = read_file(f"{top}/log")
    equal(log[: appended * 500], b"".join(content(f"log {i}", 500) for i in range(appended)), "the log")
    for name in names:
        if name.isdigit():  # renamed after its sync: whole, whether it was noted or not
            equal(read_file(f"{top}/{name}"), content(f"{writer.number} {name}", int(name) * 911 % 30000), name)


def test_rsync_recipe_under_load(volume):
    """docs/backup.md: once before, then under a freeze; restored elsewhere; opened beside the live volume."""
    need_mount()
    need("rsync")
    volume.mount()
    writers = [Writer(volume.mnt, i) for i in range(3)]
    time.sleep(1)
    backup = f"{volume.base}/backup"
    run("rsync", "-aHAX", "--delete", "--ignore-missing-args", f"{volume.dir}/", f"{backup}/", check=False)
    time.sleep(0.5)
    volume.coffer("freeze", volume.dir, "--timeout", "60")
    taken = [w.snapshot() for w in writers]
    run("rsync", "-aHAX", "--delete", f"{volume.dir}/", f"{backup}/")
    time.sleep(0.3)
    equal([w.appended - t[1] <= 1 for w, t in zip(writers, taken)], [True] * 3, "nothing went on")
    volume.coffer("thaw", volume.dir)
    time.sleep(0.5)
    for w in writers:
        w.stop = True
    for w, t in zip(writers, taken):
        w.join(SOON)
        equal(len(w.durable) > len(t[0]) > 5, True, f"{len(w.durable)} files, {len(t[0])} of them before the freeze")
    restored = f"{volume.base}/restored"
    run("rsync", "-aHAX", f"{backup}/", f"{restored}/")
    at = f"{volume.base}/at"
    os.mkdir(at)
    volume.coffer("mount", "-o", "oldcopy", restored, at, *volume.unlock())
    for w, t in zip(writers, taken):
        compare(w, at, t)
    volume.coffer("umount", at)
    run(harness.COFFER, "check", restored, "--deep", *volume.unlock())
    for w in writers:
        compare(w, volume.mnt, w.snapshot())
    volume.umount()
    volume.check("--deep")


# Older copies


def make_copy(volume):
    """A copy of a volume with one file that the live one has changed since."""
    volume.mount()
    write_file(f"{volume.mnt}/f", b"as it was")
    os.mkdir(f"{volume.mnt}/s")
    volume.umount()
    copy = f"{volume.base}/copy"
    shutil.copytree(volume.dir, copy, symlinks=True)
    volume.mount()
    write_file(f"{volume.mnt}/f", b"as it is")
    at = f"{volume.base}/at"
    os.mkdir(at)
    return copy, at


def look_at_copy(volume, copy, at):
    volume.coffer("mount", "-o", "oldcopy", copy, at, *volume.unlock())
    equal((read_file(f"{at}/f"), read_file(f"{volume.mnt}/f")), (b"as it was", b"as it is"))
    fails(errno.EROFS, os.mkdir, f"{at}/x")
    s = volume.status(copy)
    equal((s["old_copy"], s["process"], s["locked"], s["mounts"][0]["read_only"]), (True, None, False, True))
    equal("older copy" in volume.coffer("status", at).stdout, True)
    equal(volume.status(volume.dir)["process"]["pid"], volume.process.pid)
    refused(volume.coffer("freeze", at, check=False), 9, "older copy")
    volume.coffer("umount", at)


def test_oldcopy_beside_the_live_volume(volume):
    need_mount()
    copy, at = make_copy(volume)
    command = f"cd {copy} && find . -printf '%P %m %s %T@ %C@\\n' | sort"
    before = run("sh", "-c", command).stdout
    look_at_copy(volume, copy, at)
    equal(sorted(set(run("sh", "-c", command).stdout.splitlines()) ^ set(before.splitlines())), [], "changed below")
    os.unlink(f"{copy}/.coffer/lock")  # a backup may leave it out
    look_at_copy(volume, copy, at)
    equal(os.path.exists(f"{copy}/.coffer/lock"), False)
    r = volume.coffer("mount", "-o", "oldcopy", volume.dir, at, *volume.unlock(), check=False)
    refused(r, 6, f"process {volume.process.pid}")
    volume.umount()


def test_oldcopy_on_a_read_only_store(volume):
    need_mount()
    need_root()
    copy, at = make_copy(volume)
    run("mount", "--bind", copy, copy)
    try:
        run("mount", "-o", "remount,bind,ro", copy)
        look_at_copy(volume, copy, at)
    finally:
        run("umount", copy)
    volume.umount()


def test_rule_3_a_living_socket_is_not_stolen(volume):
    need_mount()
    copy, at = make_copy(volume)
    for options in ("rw", "ro"):
        r = volume.coffer("mount", copy, at, *volume.unlock(), "-o", options, check=False)
        refused(r, 6, f"process {volume.process.pid}", "-o oldcopy", copy)
        equal(mounted(at), False)
    equal(process(volume)["pid"], volume.process.pid)
    volume.umount()
    volume.coffer("mount", copy, at, *volume.unlock())
    volume.coffer("umount", at)


def test_rule_3_a_dead_socket_is_replaced(volume):
    need_mount()
    volume.mount()
    path = socket_path(volume)
    volume.kill()
    equal(os.path.exists(path), True)
    equal((volume.status(volume.dir)["process"], volume.status(volume.dir)["locked"]), (None, False))
    volume.mount()
    wait_until(lambda: process(volume), SOON, "the new socket")
    equal(process(volume)["pid"], volume.process.pid)
    volume.umount()


# Hostile clients


def test_garbage(volume):
    need_mount()
    volume.mount()
    path = socket_path(volume)
    with connect(path) as s:
        for request in (b"\0", b"status", b"nonsense", b" ", b"{", b"{}", b"[]", b"null", b'{"version": 1}', b"[" * 1000,
                        b'{"version": 1, "verb": "nonsense"}', b'{"version": 1, "verb": 1}', b'{"verb": "status"}',
                        b'{"version": 2, "verb": "status"}', b'{"version": 1, "verb": "status"} x', b"\xff" * 100,
                        b'{"version": 1, "verb": "' + b"x" * 65536 + b'"}', b'{"version": 1, "verb": "status"', b"%s%n",
                        {"verb": "freeze"}, {"verb": "freeze", "seconds": 0}, {"verb": "freeze", "seconds": "5"},
                        {"verb": "freeze", "seconds": 99999999}, {"verb": "freeze", "seconds": -1}):  # fmt: skip
            answer = ask(s, request)
            equal((answer["ok"], isinstance(answer["error"], str), answer["status"] > 0), (False, True, True), f"{str(request)[:60]}")
        equal(ask(s, {"verb": "status"})["pid"], volume.process.pid)
        s.send(b"")  # an empty packet is an end
        equal(s.recv(100), b"")
    equal(process(volume)["frozen"], False)
    volume.umount()


def test_rotate_and_stop(volume):
    need_mount()
    volume.mount()
    write_file(f"{volume.mnt}/f", b"x")
    with connect(socket_path(volume)) as s:
        equal(ask(s, {"verb": "rotate"})["generation"], 3)
        equal(ask(s, {"verb": "rotate", "scope": 1})["generation"], 4)
        equal(ask(s, {"verb": "rotate", "scope": 7})["ok"], False)
    write_file(f"{volume.mnt}/g", b"under the new one")
    states = {g["generation"]: g["state"] for g in volume.status(volume.dir)["generations"]}
    equal(states, {1: "deactivated", 2: "deactivated", 3: "active", 4: "active"})
    with connect(socket_path(volume)) as s:
        equal(ask(s, {"verb": "stop"})["ok"], True)
    equal(volume.process.wait(20), 0)
    volume.process = None
    volume.mount()
    equal((read_file(f"{volume.mnt}/f"), read_file(f"{volume.mnt}/g")), (b"x", b"under the new one"))


def test_rule_2_many_and_silent_clients(volume):
    need_mount()
    volume.mount()
    path = socket_path(volume)
    crowd = [connect(path) for _ in range(40)]
    for s in crowd[:10]:
        s.settimeout(0.2)
        with contextlib.suppress(OSError):
            while True:
                s.send(STATUS)  # and never reads
    write_file(f"{volume.mnt}/f", b"served all the while")
    equal(read_file(f"{volume.mnt}/f"), b"served all the while")
    wait_until(lambda: process(volume) is not None, 25 + SOON, "a place after the silent ones were sent away")
    for s in crowd:
        s.close()
    with connect(path) as s:
        equal(ask(s, {"verb": "freeze", "seconds": 60, "hold": True}), {"ok": True, "seconds_left": 60})
        volume.process.send_signal(signal.SIGTERM)  # nor do they keep it from ending
        volume.reap()


def test_rule_1_another_user():
    """Even one who finds the socket and may connect is not answered."""
    need_mount()
    need_root()
    with fuse_for_everybody(), Volume(owner=NOBODY) as volume:
        volume.mount()
        path = socket_path(volume)
        equal(os.stat(path).st_uid, NOBODY)
        os.chmod(os.path.dirname(path), 0o755)
        os.chmod(path, 0o666)

        def other():
            with connect(path) as s:
                with contextlib.suppress(BrokenPipeError):
                    s.send(STATUS)
                try:
                    return s.recv(4096)
                except ConnectionResetError:
                    return b""

        equal(harness.as_user(12345, 12345, [], other), b"")
        equal(json.loads(other())["ok"], True)  # root
        equal(json.loads(harness.as_user(NOBODY, NOBODY, [], other))["ok"], True)
        volume.coffer("freeze", volume.mnt, "--", "true", user=NOBODY)
        volume.umount()


def test_without_a_place_for_the_socket(volume):
    """Said in one line; the mount works."""
    need_mount()
    need_root()
    with fuse_for_everybody(), Volume(owner=NOBODY) as volume:
        volume.mount(env={"XDG_RUNTIME_DIR": f"{volume.base}/none"})
        equal("XDG_RUNTIME_DIR" in volume.log_text(), True, volume.log_text())
        write_file_as = f"echo x > {volume.mnt}/f"
        run(*harness.as_owner(NOBODY), "sh", "-c", write_file_as)
        r = volume.coffer("freeze", volume.dir, user=NOBODY, check=False)
        refused(r, 1, "not reached")
        volume.umount()


if __name__ == "__main__":
    sys.exit(harness.main())
