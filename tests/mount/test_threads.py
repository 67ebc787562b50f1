#!/usr/bin/python3
"""Runs the concurrent writers and readers of threads.c on a mount.

    THREADS  path of that program
"""

import os
import sys
import threading

import harness
from harness import HERE, equal, read_file, run, scaled, write_file

THREADS = os.environ.get("THREADS") or os.path.join(HERE, "threads")


@harness.limit(300)
def test_one_process(d):
    run(THREADS, d, "8", str(max(60, scaled(600))), timeout=280)


@harness.limit(300)
def test_two_processes(d):
    errors = []

    def one(name):
        os.mkdir(f"{d}/{name}")
        try:
            run(THREADS, f"{d}/{name}", "4", str(max(40, scaled(300))), timeout=280)
        except harness.Failure as e:
            errors.append(str(e))

    workers = [threading.Thread(target=one, args=(n,)) for n in ("a", "b")]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    equal(errors, [])


@harness.limit(300)
def test_with_write_back(volume):
    volume.mount("writeback")
    run(THREADS, volume.mnt, "8", str(max(40, scaled(300))), timeout=280)
    volume.umount()


def test_names_raced_for(d):
    """Of many who make, rename and remove the same names, exactly one succeeds each time."""
    results = []
    barrier = threading.Barrier(8, timeout=60)

    def contend(n):
        won = 0
        for i in range(scaled(200)):
            barrier.wait()
            try:
                os.close(os.open(f"{d}/{i}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                won += 1
            except FileExistsError:
                pass
            barrier.wait()
            try:
                os.rename(f"{d}/{i}", f"{d}/{i}-{n}")
                won += 1000
            except FileNotFoundError:
                pass
            try:
                os.mkdir(f"{d}/dir{i}")
                won += 1000000
            except FileExistsError:
                pass
        results.append(won)

    workers = [threading.Thread(target=contend, args=(n,)) for n in range(8)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    equal(sum(results), scaled(200) * 1001001)
    equal(len(os.listdir(d)), 2 * scaled(200))


def test_lookups_while_renaming(d):
    """A name that is always there, because it is only ever replaced, is always found, whole."""
    stop = threading.Event()
    wrong = []
    write_file(f"{d}/f", b"0" * 5000)

    def reader():
        while not stop.is_set():
            data = read_file(f"{d}/f")
            if len(data) != 5000 or data.strip(data[:1]):
                wrong.append(data[:20])

    workers = [threading.Thread(target=reader) for _ in range(3)]
    for w in workers:
        w.start()
    for i in range(scaled(600)):
        write_file(f"{d}/new", b"%d" % (i % 10) * 5000)
        os.rename(f"{d}/new", f"{d}/f")
    stop.set()
    for w in workers:
        w.join()
    equal(wrong, [])


if __name__ == "__main__":
    sys.exit(harness.main())
