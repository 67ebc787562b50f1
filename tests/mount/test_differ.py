#!/usr/bin/python3
"""Runs the differential fuzzer (differ.c) on a mount and on a plain directory beside the volume, with remounts in between.

    DIFFER         path of the fuzzer
    DIFFER_SEEDS   "FIRST COUNT OPERATIONS": other seeds than those of the tests below
"""

import contextlib
import os
import subprocess
import sys
import threading

import harness
from harness import HERE, NOBODY, Failure, Volume, as_user, need_mount, need_root, scaled

DIFFER = os.environ.get("DIFFER") or os.path.join(HERE, "differ")


class Remounter:
    """A command for the fuzzer to run, and a thread that then remounts: the mount stays our child."""

    def __init__(self, volume):
        self.volume = volume
        self.ask, self.answer = f"{volume.base}/ask", f"{volume.base}/answer"
        self.command = f"echo remount > {self.ask}; read x < {self.answer}; test $x = ok"
        self.error = None
        for fifo in (self.ask, self.answer):
            os.mkfifo(fifo)
            os.chmod(fifo, 0o666)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            with open(self.ask) as f:
                if "end" in f.read():
                    return
            try:
                self.volume.remount()
                word = "ok"
            except Exception as e:  # pylint: disable=broad-except
                self.error = e
                word = "failed"
            with open(self.answer, "w") as f:
                f.write(word + "\n")

    def end(self):
        with contextlib.suppress(OSError):
            fd = os.open(self.ask, os.O_WRONLY | os.O_NONBLOCK)
            os.write(fd, b"end\n")
            os.close(fd)
            self.thread.join(5)


def fuzz(volume, *options, user=None, on=None, remount_every=400, timeout=900):
    reference = f"{on or volume.base}/reference"
    subject = f"{volume.mnt}/subject"
    os.mkdir(reference)
    if volume.owner is not None:
        as_user(volume.owner, volume.owner, [], os.mkdir, subject)
        os.chown(reference, user, user)
    else:
        os.chmod(volume.mnt, 0o755)
        os.mkdir(subject)
    if user is not None and volume.owner is None:
        for d in (reference, subject):
            os.chown(d, user, user)
    remounter = Remounter(volume)
    argv = [DIFFER, "--remount", remounter.command, "--remount-every", str(remount_every), *map(str, options)]
    argv += [subject, reference]
    if user is not None:
        argv = harness.as_owner(user) + argv
    try:
        r = subprocess.run(
            argv, timeout=timeout, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if r.returncode:
            raise Failure(
                f"exit status {r.returncode}\n{r.stdout.decode(errors='replace')[-4000:]}\n"
                f"{remounter.error or ''}\nlog of the mount: {volume.log_text()[-2000:]}"
            )
        volume.umount()
    finally:
        remounter.end()  # last: the mount ends with the thread that started it


def seeds(first, count, operations):
    given = os.environ.get("DIFFER_SEEDS")
    if given:
        first, count, operations = map(int, given.split())
    return ["--seed", first, "--seeds", count, "--ops", operations]


@harness.limit(600)
def test_regressions(volume):
    volume.mount()
    fuzz(volume, "--replay", f"{HERE}/seeds.txt")


@harness.limit(900)
def test_seeds(volume):
    volume.mount()
    fuzz(volume, "--forget-every", 173, *seeds(1000, scaled(6), 2500))


@harness.limit(600)
def test_other_ciphers():
    for i, cipher in enumerate(("aes-256-gcm", "chacha20-poly1305")):
        with Volume(init=["--cipher", cipher]) as volume:
            volume.mount()
            fuzz(volume, *seeds(2000 + 1000 * i, scaled(2), 1500))


@harness.limit(600)
def test_portable():
    with Volume(init=["--portable"]) as volume:
        volume.mount()
        fuzz(volume, *seeds(4000, scaled(3), 1500))


@harness.limit(600)
def test_writeback(volume):
    volume.mount("writeback")
    fuzz(volume, "--writeback", *seeds(5000, scaled(3), 1500))


@harness.limit(600)
def test_as_another_user(volume):
    need_root()
    volume.mount("allow_other")
    fuzz(volume, *seeds(6000, scaled(4), 1500), user=NOBODY)


@harness.limit(600)
def test_plain_user():
    """The mount process itself has no privilege: what its user may not open again it has to keep or to find a way to."""
    need_mount()
    need_root()
    with harness.fuse_for_everybody(), Volume(owner=NOBODY) as volume:
        volume.mount()
        fuzz(volume, "--unprivileged", *seeds(10000, scaled(6), 1500), user=NOBODY)


def on_store(kind, first):
    with harness.store(kind, "2G") as point, Volume(on=point) as volume:
        volume.mount()
        fuzz(volume, *seeds(first, scaled(3), 1500), on=point)


@harness.limit(600)
def test_on_tmpfs():
    on_store("tmpfs", 7000)


@harness.limit(600)
def test_on_xfs():
    on_store("xfs", 8000)


@harness.limit(600)
def test_on_btrfs():
    on_store("btrfs", 9000)


if __name__ == "__main__":
    sys.exit(harness.main())
