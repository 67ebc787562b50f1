#!/usr/bin/python3
"""Ends of a mount: signals under load, system shutdown, dead processes, dead mount points. Nothing accepted is lost."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time

import harness
from harness import (
    NOBODY,
    Volume,
    content,
    equal,
    fuse_for_everybody,
    mounted,
    need_mount,
    need_root,
    read_file,
    run,
    wait_until,
    write_file,
)

SLOW = 3 if harness.SCALE > 1 else 1
END = 15 * SLOW  # an end under load takes the grace, a flush, and the engine's own end
WRITERS = 4

# Each writer notes in a file outside the mount what write(2) accepted; it ends at the first error.
WRITER = """
import os, random, signal, sys, time
top, log, number, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
end = time.monotonic() + seconds
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
noted = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
try:
    big = os.open(f"{top}/big{number}", os.O_CREAT | os.O_RDWR)
    i = 0
    while time.monotonic() < end and not stop:
        # one file that stays open and grows in odd pieces
        piece = random.Random(f"{number} {i}").randbytes(i * 37 % 9000 + 1)
        n = os.write(big, piece)
        os.write(noted, b"big %d %d\\n" % (i, n))
        if n != len(piece):  # the kernel had asked for a page of it already; the rest meets the error
            os.write(big, piece[n:])
            break
        # and, of every other writer, many small ones, some of which stay open
        if number % 2 == 0:
            fd = os.open(f"{top}/f{number}-{i}", os.O_CREAT | os.O_WRONLY)
            n = os.write(fd, piece[:2000])
            os.write(noted, b"file %d %d\\n" % (i, n))
            if i % 3:
                os.close(fd)
        i += 1
        if i % 10 == 0:
            time.sleep(0.01)
except OSError as e:
    os.write(noted, b"error %d\\n" % e.errno)
"""


class Load:
    """Writers in processes of their own, as the mount must not be in use by us."""

    def __init__(self, volume, seconds=40):
        self.volume = volume
        self.logs = [f"{volume.base}/noted{i}" for i in range(WRITERS)]
        self.writers = []
        for i, log in enumerate(self.logs):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(log)
            argv = ["/usr/bin/python3", "-c", WRITER, volume.mnt, log, str(i), str(seconds)]
            with open(f"{log}.stderr", "wb") as stderr:
                self.writers.append(subprocess.Popen(argv, stderr=stderr))
        wait_until(self.running, 20 * SLOW, "the writers")

    def running(self):
        return all(os.path.exists(log) and os.path.getsize(log) > 2000 for log in self.logs)

    def end(self):
        for w in self.writers:
            w.terminate()
        self.ended()

    def ended(self):
        """Each ends at its first error, when the mount has gone."""
        for w in self.writers:
            w.wait(40 * SLOW)

    def how_they_ended(self):
        return [(w.returncode, read_file(log).splitlines()[-1], read_file(f"{log}.stderr")[-500:]) for w, log in zip(self.writers, self.logs)]

    def verify(self):
        """Everything that was accepted is there. Returns how many writes that were, and the errors at the end."""
        count, errors = 0, []
        for number, log in enumerate(self.logs):
            wanted = b""
            for line in read_file(log).decode().splitlines():
                kind, *rest = line.split()
                if kind == "error":
                    errors.append(int(rest[0]))
                    continue
                i, n = map(int, rest)
                piece = content(f"{number} {i}", i * 37 % 9000 + 1)
                count += 1
                if kind == "big":
                    wanted += piece[:n]
                else:
                    equal(read_file(f"{self.volume.mnt}/f{number}-{i}")[:n], piece[:n], f"f{number}-{i}")
            got = read_file(f"{self.volume.mnt}/big{number}")
            equal(len(got) >= len(wanted), True, f"big{number}: {len(got)} bytes of {len(wanted)}")
            equal(got[: len(wanted)] == wanted, True, f"big{number}")
        return count, errors


def ends_under_load(volume, number, *options):
    volume.mount(*options)
    load = Load(volume)
    start = time.monotonic()
    volume.process.send_signal(number)
    volume.reap()
    took = time.monotonic() - start
    equal(took < END, True, f"ended after {took} s")
    equal(mounted(volume.mnt), False)
    load.ended()
    volume.mount(*options)
    count, errors = load.verify()
    equal(count > 100 and len(errors) == WRITERS, True, f"{count} writes, errors {errors}, {load.how_they_ended()}")
    equal({errno.ENOTCONN, errno.ECONNABORTED, errno.ECANCELED, errno.EIO, errno.ENOENT} >= set(errors), True, f"{errors}")
    volume.umount()
    volume.check("--deep")
    print(f"  {count} writes, {took:.1f} s", flush=True)


def test_term_under_load(volume):
    need_mount()
    ends_under_load(volume, signal.SIGTERM)


def test_term_under_load_writeback(volume):
    need_mount()
    ends_under_load(volume, signal.SIGTERM, "writeback")


def test_hangup_of_a_plain_user_under_load():
    need_mount()
    need_root()
    with fuse_for_everybody(), Volume(owner=NOBODY) as volume:
        volume.mount("writeback")
        log = f"{volume.base}/noted"
        argv = [*harness.as_owner(NOBODY), "/usr/bin/python3", "-c", WRITER, volume.mnt, log, "0", "40"]
        with subprocess.Popen(argv) as p:
            wait_until(lambda: os.path.exists(log) and os.path.getsize(log) > 2000, 20 * SLOW, "the writer")
            volume.process.send_signal(signal.SIGHUP)
            volume.reap()
            p.terminate()
        equal(mounted(volume.mnt), False)
        volume.mount("rw")
        size = sum(int(l.split()[2]) for l in read_file(log).decode().splitlines() if l.startswith("big"))
        r = run(*harness.as_owner(NOBODY), "stat", "-c", "%s", f"{volume.mnt}/big0")
        equal(int(r.stdout) >= size > 0, True, f"{r.stdout} of {size}")
        volume.umount()


def test_ends_as_soon_as_the_last_user_goes(volume):
    """At a shutdown everybody is told at once: what programs write last reaches the volume, also by path."""
    need_mount()
    volume.mount()
    script = (
        f'exec 3>"{volume.mnt}/held"; trap "echo last >{volume.mnt}/last; echo last >&3; exit" TERM; echo ready;'
        " while :; do sleep 0.1; done"
    )
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True) as p:
        equal(p.stdout.readline(), "ready\n")
        volume.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        equal(mounted(volume.mnt), True, "not taken from under who still writes")
        p.terminate()
        p.wait(10)
    start = time.monotonic()
    volume.reap()
    equal(time.monotonic() - start < 3 * SLOW, True)
    equal(os.listdir(volume.mnt), [], "nothing was written beneath")
    volume.mount()
    equal((read_file(f"{volume.mnt}/last"), read_file(f"{volume.mnt}/held")), (b"last\n", b"last\n"))
    volume.umount()


def test_unmount_after_the_signal(volume):
    """The order of systemd's last stage: SIGTERM to everybody, then the mounts are taken away, lazily at worst."""
    need_mount()
    need_root()
    for flag in ([], ["-l"]):
        volume.mount()
        load = Load(volume)
        for p in [volume.process, *load.writers]:
            p.send_signal(signal.SIGTERM)
        load.end()
        run("umount", *flag, volume.mnt, check=False)  # may find nothing any more
        volume.reap()
        equal(mounted(volume.mnt), False)
        volume.mount()
        load.verify()
        volume.umount()


def test_a_second_signal_does_not_wait(volume):
    need_mount()
    volume.mount()
    with open(f"{volume.mnt}/f", "wb") as f:
        f.write(b"held")
        f.flush()
        volume.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        start = time.monotonic()
        volume.process.send_signal(signal.SIGINT)
        volume.reap()
        equal(time.monotonic() - start < 2 * SLOW, True)
        with contextlib.suppress(OSError):
            f.close()
    volume.mount()
    equal(read_file(f"{volume.mnt}/f"), b"held")
    volume.umount()


def test_large_dirty_cache(volume):
    """More than the kernel sends at a time, accepted but not sent, with the file open."""
    need_mount()
    volume.mount("writeback")
    size = 48 << 20
    script = (
        "import os, sys, time, random\n"
        f"f = os.open({volume.mnt + '/f'!r}, os.O_CREAT | os.O_RDWR)\n"
        f"data = random.Random('big').randbytes({size})\n"
        "view = memoryview(data)\n"
        "while view: view = view[os.write(f, view):]\n"
        "print('written', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(["/usr/bin/python3", "-c", script], stdout=subprocess.PIPE, text=True) as p:
        equal(p.stdout.readline(), "written\n")
        volume.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        volume.process.send_signal(signal.SIGTERM)
        volume.reap()
        p.kill()
    volume.mount()
    equal(read_file(f"{volume.mnt}/f") == content("big", size), True)
    volume.umount()


# Dead processes


def test_second_mount_names_the_first(volume):
    need_mount()
    other = f"{volume.base}/other"
    os.mkdir(other)
    volume.mount()
    start = time.monotonic()
    r = volume.coffer("mount", volume.dir, other, *volume.unlock(), check=False)
    equal((r.returncode, f"process {volume.process.pid}" in r.stderr), (6, True), r.stderr)
    equal(time.monotonic() - start < 5 * SLOW, True)
    volume.kill()
    # At once, without hand work, although the dead mount is still there.
    volume.coffer("mount", volume.dir, other, *volume.unlock())
    equal(os.listdir(other), [])
    volume.coffer("umount", other)
    volume.coffer("umount", volume.mnt)


def test_stale_mount_point_is_cleared(volume):
    need_mount()
    for i in range(3):
        volume.mount()
        write_file(f"{volume.mnt}/f", b"%d" % i)
        volume.kill()
        r = volume.coffer("mount", volume.dir, volume.mnt, *volume.unlock())
        said = r.stderr.strip().splitlines()
        equal(len(said), 2, r.stderr)
        equal("cleared" in said[0] and volume.mnt in said[0], True, r.stderr)
        equal("recovered after an unclean end" in said[1], True, r.stderr)
        equal(read_file(f"{volume.mnt}/f"), b"%d" % i)
        volume.coffer("umount", volume.mnt)
        equal(mounted(volume.mnt), False)


def test_stale_mount_point_in_use(volume):
    """Somebody still has files of the dead mount open, or stands in it."""
    need_mount()
    volume.mount()
    os.mkdir(f"{volume.mnt}/s")
    with subprocess.Popen(["sleep", "60"], cwd=f"{volume.mnt}/s") as p, open(f"{volume.mnt}/f", "wb") as f:
        volume.kill()
        volume.coffer("mount", volume.dir, volume.mnt, *volume.unlock())
        equal(sorted(os.listdir(volume.mnt)), ["f", "s"])
        volume.coffer("umount", volume.mnt)
        p.kill()
        with contextlib.suppress(OSError):
            f.close()


def test_stale_number_in_the_lock(volume):
    """The number of a process that died, and is another's by now, keeps nobody out."""
    need_mount()
    write_file(f"{volume.dir}/.coffer/lock", b"%d\n" % os.getpid(), 0o600)
    volume.mount()
    equal(read_file(f"{volume.dir}/.coffer/lock"), b"%d\n" % volume.process.pid)
    volume.umount()


if __name__ == "__main__":
    sys.exit(harness.main())
