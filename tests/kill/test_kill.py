#!/usr/bin/python3
"""Real programs on a mount whose process is killed (SIGKILL) at random moments, again and again on the same volume.

What this proves: a kill loses nothing that the mount has acknowledged. After each kill the volume is mounted again at once, without
any work by hand; every commit, mail and write that was acknowledged to a program, as noted in a log outside the mount, is there;
the program's own checks find nothing; `coffer check --deep` is clean; the program goes on where it was. After every third kill the
next mount is killed as well, as soon as it has begun.

    sqlite-wal, sqlite-delete    synchronous=FULL: each acknowledged commit, all rows, integrity_check
    postgres, mariadb            each acknowledged row; pgbench's sums; pg_amcheck, pg_checksums; check table, innochecksum
    maildir, maildir-unsynced    write, (fsync,) rename, (fsync): mail is there whole, once
    git                          commits and repacks: fsck, each acknowledged commit in the history
    unsynced                     any operation on files, no fsync at all: byte for byte what was accepted (unsynced.py)
    mixed                        several of these on one mount at a time

    test_kill.py --seed N --kills K --only sqlite-wal --options nojournal --moment 0.3

With plain directories in the place of mounts (COFFER=plain) the programs themselves are killed: what is expected has to hold there
too.
A series that fails keeps copies of the volume, as it was right after the kill and later, and says where.
"""

import argparse
import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "mount")]

import harness  # noqa: E402
from files import Git, Maildir, MaildirUnsynced, SqliteDelete, SqliteWal  # noqa: E402
from harness import COFFER, LONG, PLAIN, Failure, Skip, Volume, run, scaled  # noqa: E402
from servers import Mariadb, Postgres  # noqa: E402
from unsynced import Unsynced  # noqa: E402
from workload import Mixed  # noqa: E402

EARLIEST, LATEST = 0.05, 2.0  # seconds from the start of the writers to the kill
SETTINGS = argparse.Namespace()


def kept(volume, side, killed):
    """Copies what a failed series left, for people."""
    d = tempfile.mkdtemp(prefix="coffer-kill-failed-")
    for source in (volume.dir, killed, side, volume.log, volume.secret):
        if os.path.exists(source):
            subprocess.run(["cp", "-a", "--", source, d], timeout=120, check=False)
    return d


def clear_dead_mount(volume):
    """As a user would: one umount, by name."""
    if PLAIN:
        return
    command = ["umount", "-l"] if harness.ROOT else ["fusermount3", "-uz"]
    run(*command, volume.mnt)
    volume.check_log()


def mount_in_vain(volume, seconds):
    """A mount that is killed at once, most likely while it still recovers."""
    argv = [COFFER, "mount", "-f", volume.dir, volume.mnt, *volume.unlock()]
    argv += ["-o", ",".join(volume.options)] if volume.options else []
    with open(volume.log, "ab") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=volume.environment())
    try:
        time.sleep(seconds)
    finally:
        process.kill()
        process.wait(60)
    if harness.mounted(volume.mnt):
        clear_dead_mount(volume)


def kill_once(volume, workload, turn, moment, killed, again):
    """Kills after so many seconds; a mount after that is killed too, if again says when."""
    workload.start(turn)
    time.sleep(moment)
    workload.alive()
    if PLAIN:
        workload.kill()
    else:
        volume.kill()
    workload.die()
    clear_dead_mount(volume)
    shutil.rmtree(killed, ignore_errors=True)
    if not PLAIN:
        run("cp", "-a", "--", volume.dir, killed)
        if SETTINGS.check_first:
            volume.check("--deep")
        if again:
            mount_in_vain(volume, again)
    volume.mount(*volume.options)
    workload.verify()
    if not PLAIN:
        volume.umount()
        volume.check("--deep")
        volume.mount(*volume.options)


def series(kind, kills):
    """So many kills of one workload, all on one volume."""
    if PLAIN and issubclass(kind, (Git, Postgres, Mariadb)):
        raise Skip("a program of programs: only with a mount")
    kills = SETTINGS.kills or scaled(kills * 4 if LONG else kills)
    rng = random.Random(f"{SETTINGS.seed} {kind.name}")
    with Volume(init=["--journal-size", "16M"]) as volume, contextlib.ExitStack() as stack:
        side, killed = f"{volume.base}/side", f"{volume.base}/killed"
        workload = kind(f"{volume.mnt}/{kind.name}", side, f"{SETTINGS.seed} {kind.name}")
        volume.mount(*kind.options, *SETTINGS.options)
        stack.callback(workload.close)
        workload.prepare()
        for turn in range(kills):
            moment = SETTINGS.moment or EARLIEST * (LATEST / EARLIEST) ** rng.random()
            again = 0.03 * rng.random() if turn % 3 == 2 else 0
            try:
                kill_once(volume, workload, turn, moment, killed, again)
            except Exception as e:  # whatever it is: the volume is kept
                workload.kill()
                command = f"test_kill.py --seed {SETTINGS.seed} --only {kind.name}"
                raise Failure(
                    f"kill {turn} of {kills}, {moment:.3f} s after the start: {type(e).__name__}: {e}\n"
                    f"  log of the mount: {volume.log_text()[-3000:]}\n"
                    f"  kept in {kept(volume, side, killed)}; again with: {COFFER=} {command}"
                ) from e
        print(f"     {kind.name}: {kills} kills, {workload.tally()}", flush=True)
        volume.umount()


class Desktop(Mixed):
    name = "mixed"

    def __init__(self, *args):
        super().__init__(*args, [SqliteWal, SqliteDelete, MaildirUnsynced, Unsynced])


def test_sqlite_wal():
    series(SqliteWal, 7)


def test_sqlite_delete():
    series(SqliteDelete, 7)


def test_postgres():
    series(Postgres, 6)


def test_maildir():
    series(Maildir, 6)


def test_maildir_unsynced():
    series(MaildirUnsynced, 6)


def test_git():
    series(Git, 6)


def test_unsynced():
    series(Unsynced, 8)


def test_mixed():
    series(Desktop, 4)


def test_mariadb():
    if not LONG and not SETTINGS.kills:
        raise Skip("only in the long run")
    series(Mariadb, 3)


def arguments():
    parser = argparse.ArgumentParser(description="Kills the mount under real programs.")
    seed = int.from_bytes(os.urandom(4), "big")
    parser.add_argument("--seed", type=int, default=seed, help="of moments and operations; else random")
    parser.add_argument("--kills", type=int, help="of each series; else 50 in all, 200 in the long run")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="of a workload; can be repeated")
    parser.add_argument("--options", default="", help="more mount options, such as nojournal")
    parser.add_argument("--check-first", action="store_true", help="check the killed volume before it is mounted again, too")
    parser.add_argument("--moment", type=float, help="seconds from start to kill; else random")
    parser.parse_args(namespace=SETTINGS)
    SETTINGS.options = [o for o in SETTINGS.options.split(",") if o]
    tests = {n[5:].replace("_", "-"): n for n in globals() if n.startswith("test_")}
    for name in SETTINGS.only:
        if name not in tests:
            parser.error(f"{name} is none of {', '.join(tests)}")
    for name in set(tests) - set(SETTINGS.only or tests):
        del globals()[tests[name]]
    sys.argv[1:] = []


if __name__ == "__main__":
    arguments()
    print(f"seed {SETTINGS.seed}", flush=True)
    sys.exit(harness.main(seconds=600 if LONG else 240))
