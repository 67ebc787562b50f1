#!/usr/bin/python3
"""FUSE over io_uring (mount option io_uring): that requests come by the rings, where libfuse and the kernel can; else that somebody says so.

With COFFER_TEST_OPTIONS=io_uring the other tests do what they do by the rings; the suite soak has them so."""

import contextlib
import os
import sys

import harness
from harness import Skip, content, equal, need_mount, read_file, run, write_file

SWITCH = "/sys/module/fuse/parameters/enable_uring"


def names_of_threads(volume):
    found = []
    for task in os.listdir(f"/proc/{volume.process.pid}/task"):
        with contextlib.suppress(FileNotFoundError):
            found.append(read_file(f"/proc/{volume.process.pid}/task/{task}/comm").decode().strip())
    return found


def switched_on():
    try:
        return read_file(SWITCH).strip() in (b"1", b"Y")
    except FileNotFoundError:
        return False


def test_rings(volume):
    need_mount()
    r = run(harness.COFFER, "mount", volume.dir, volume.mnt, *volume.unlock(), "-o", "io_uring", check=False)
    if r.returncode:
        equal((r.returncode, "it takes 3.18" in r.stderr), (2, True), r.stderr)
        equal(os.path.ismount(volume.mnt), False)
        raise Skip("this libfuse does not know it, and coffer says so")
    run(harness.COFFER, "umount", volume.mnt)
    volume.mount("io_uring")
    write_file(f"{volume.mnt}/f", content("f", 300000))
    equal(read_file(f"{volume.mnt}/f"), content("f", 300000))
    rings = [n for n in names_of_threads(volume) if n.startswith("fuse-ring")]
    log = read_file(volume.log).decode()
    if not switched_on():
        equal((rings, "enable_uring is N" in log), ([], True), log)
        raise Skip("the kernel does not let it, and the log says so")
    equal(len(rings), os.cpu_count(), "a thread for each processor")
    volume.remount()
    equal(read_file(f"{volume.mnt}/f"), content("f", 300000))
    volume.umount()


if __name__ == "__main__":
    sys.exit(harness.main())
