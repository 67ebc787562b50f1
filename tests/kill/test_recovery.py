#!/usr/bin/python3
"""What a mount after a crash costs: as much as was not in place, whatever the size of the file or of the volume.

The same work is left unfinished, by SIGKILL of the mount, on volumes of few and of many files and on a sparse file of 100 GB. What
the next mount reads is counted by the kernel (/proc/PID/io: read calls and bytes), so that the numbers are the same on a busy machine
and on an idle one; its own line says how long the recovery took.

    COFFER_TEST_LONG=1 test_recovery.py             1,000,000 files against 100; else 3,000
    test_recovery.py --files N
"""

import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "mount")]

import harness  # noqa: E402
from harness import LONG, Failure, Volume, content, equal, limit, need_mount, read_file, write_file  # noqa: E402

FEW, MANY = 100, 1_000_000 if LONG else 3_000
IN_DIRECTORY = 1_000
CHANGED = 50  # files
PAGE = 4096
NO_TICK = "commit=300"
LINE = re.compile(r"recovered after an unclean end: (\d+) files, (\d+) pages, (\d+) ms(.*)")


class Cost:
    """What a mount has read until it answered, and what it says of its recovery."""

    def __init__(self, volume):
        with open(f"/proc/{volume.process.pid}/io", encoding="ascii") as f:
            io = dict(line.split(": ") for line in f)
        self.calls, self.bytes = int(io["syscr"]), int(io["rchar"])
        lines = LINE.findall(volume.log_text())
        self.files, self.pages, self.ms = (int(n) for n in lines[-1][:3]) if lines else (0, 0, 0)
        with open(f"/proc/{volume.process.pid}/stat", encoding="ascii") as f:
            self.cpu = int(f.read().rsplit(") ", 1)[1].split()[11]) / os.sysconf("SC_CLK_TCK")
        self.walked = bool(lines) and "the tree was walked" in lines[-1][3]

    def __str__(self):
        walk = ", the tree was walked" if self.walked else ""
        return f"{self.files} files, {self.pages} pages, {self.ms} ms; {self.calls} reads, {self.bytes} bytes{walk}"


def clear_dead_mount(volume):
    harness.run(*(["umount", "-l"] if harness.ROOT else ["fusermount3", "-uz"]), volume.mnt)


def mount_after_kill(volume):
    volume.kill()
    clear_dead_mount(volume)
    volume.mount(NO_TICK)
    return Cost(volume)


def name(place, i):
    return f"{place}/{i // IN_DIRECTORY}/{i}"


def fill(place, count):
    """So many small files, and 50 of some pages."""
    os.mkdir(f"{place}/large")
    for i in range(CHANGED):
        write_file(f"{place}/large/{i}", content(i, 5 * PAGE))
    for i in range(count):
        if i % IN_DIRECTORY == 0:
            os.mkdir(f"{place}/{i // IN_DIRECTORY}")
        fd = os.open(name(place, i), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(fd, b"%d" % i)
        os.close(fd)


def overwrite(path, offset, data):
    fd = os.open(path, os.O_WRONLY)
    try:
        equal(os.pwrite(fd, data, offset), len(data), "write")
    finally:
        os.close(fd)


def change(place):
    """The unfinished work: of files large and small, of names, of directories."""
    for i in range(CHANGED):
        overwrite(f"{place}/large/{i}", PAGE, content(f"new {i}", PAGE))
        overwrite(name(place, i), 0, b"changed")
    os.mkdir(f"{place}/made")
    write_file(f"{place}/made/{'long' * 50}", b"long")
    os.rename(f"{place}/large/1", f"{place}/made/moved")
    os.rename(f"{place}/made", f"{place}/renamed")
    write_file(f"{place}/removed", content(0, 100 * PAGE))  # above 60 pages: it has records
    os.unlink(f"{place}/removed")


def look(place, count):
    for i in range(CHANGED):
        path = f"{place}/renamed/moved" if i == 1 else f"{place}/large/{i}"
        expected = bytearray(content(i, 5 * PAGE))
        expected[PAGE : 2 * PAGE] = content(f"new {i}", PAGE)
        equal(read_file(path), bytes(expected), path)
        equal(read_file(name(place, i)), b"changed" + (b"%d" % i)[7:], name(place, i))
    equal(read_file(f"{place}/renamed/{'long' * 50}"), b"long", "the long name")
    equal(read_file(name(place, count - 1)), b"%d" % (count - 1), "the last file")


def recover_among(count):
    """What the same work costs to recover on a volume of so many files."""
    with Volume(init=["--journal-size", "16M"]) as volume:
        volume.mount()
        fill(volume.mnt, count)
        volume.umount()
        volume.mount(NO_TICK)
        change(volume.mnt)
        cost = mount_after_kill(volume)
        process = volume.status()["process"]
        said = tuple(process[k] for k in ("recovered", "recovered_files", "recovered_pages", "recovery_ms"))
        equal(said, (True, cost.files, cost.pages, cost.ms), "status")
        equal(f"recovered    {cost.files} files" in volume.coffer("status", volume.mnt).stdout, True, "status")
        equal((process["lost_files"], process["read_only"]), (0, False), "status")
        look(volume.mnt, count)
        harness.wait_until(lambda: not volume.status()["process"]["looking"], 60, "the first looks in the background")
        volume.remount()
        equal(volume.status()["process"]["looking"], False, "looks after a remount")
        volume.umount()
        return cost


@limit(3600 if LONG else 120)
def test_volume():
    """Many files cost what few cost."""
    need_mount()
    few, many = recover_among(FEW), recover_among(MANY)
    print(f"     {FEW} files: {few}\n     {MANY} files: {many}")
    equal((many.files, many.pages, many.walked), (few.files, few.pages, False), "recovered")
    if many.calls > few.calls + 20 or many.bytes > few.bytes + (64 << 10):
        raise Failure(f"{MANY} files: {many}; {FEW} files: {few}")


@limit(60)
def test_sparse():
    """A file of 100 GB, of which a few pages were written: a handful of reads more than without it."""
    need_mount()
    size = 100 << 30
    with Volume() as volume:
        volume.mount(NO_TICK)
        os.mkdir(f"{volume.mnt}/d")
        nothing = mount_after_kill(volume)
        path = f"{volume.mnt}/sparse"
        write_file(path, b"")
        os.truncate(path, size)
        places = (0, 12345 * PAGE, size // 2, size - PAGE)
        for turn, place in enumerate(places):
            overwrite(path, place, content(turn, PAGE))
        fd = os.open(path, os.O_WRONLY)
        os.fsync(fd)
        os.close(fd)
        for turn, place in enumerate(places):
            overwrite(path, place, content(f"again {turn}", PAGE))
        some = mount_after_kill(volume)
        print(f"     without: {nothing}\n     with: {some}")
        equal((some.files, some.walked), (1, False), "recovered")
        if some.calls > nothing.calls + 100 or some.bytes > nothing.bytes + (512 << 10) or some.cpu > nothing.cpu + 2:
            raise Failure(f"with: {some}; without: {nothing}")
        for turn, place in enumerate(places):
            with open(path, "rb") as f:
                f.seek(place)
                equal(f.read(PAGE), content(f"again {turn}", PAGE), f"at {place}")
        equal(os.stat(path).st_size, size, "size")
        before = Cost(volume)
        with open(path, "rb") as f:
            f.seek(size // 3)
            equal(f.read(PAGE), bytes(PAGE), "a hole")
        equal(Cost(volume).calls - before.calls < 20, True, "reads for a hole")
        volume.umount()
        volume.mount(NO_TICK)
        volume.umount()


@limit(120)
def test_lost_hints():
    """A file that is not where its records say is found by one walk, which is reported; and only then is there one."""
    need_mount()
    with Volume() as volume:
        volume.mount()
        for d in ("a", "b"):
            os.mkdir(f"{volume.mnt}/{d}")
        for i in range(200):
            write_file(f"{volume.mnt}/b/{i}", b"%d" % i)
        write_file(f"{volume.mnt}/a/file", content("old", 3 * PAGE))
        volume.umount()
        here, there = volume.backing("a/file"), os.path.dirname(volume.backing("b/0"))
        volume.mount(NO_TICK)
        overwrite(f"{volume.mnt}/a/file", PAGE, content("new", PAGE))
        volume.kill()
        clear_dead_mount(volume)
        os.rename(here, f"{there}/{os.path.basename(here)}")
        volume.mount(NO_TICK)
        cost = Cost(volume)
        print(f"     {cost}")
        equal((cost.files, cost.walked), (1, True), "recovered")
        if cost.calls < 200:
            raise Failure(f"a walk that has looked at nothing: {cost}")
        volume.umount()
        os.rename(f"{there}/{os.path.basename(here)}", here)
        volume.mount(NO_TICK)
        data = content("old", 3 * PAGE)
        equal(read_file(f"{volume.mnt}/a/file"), data[:PAGE] + content("new", PAGE) + data[2 * PAGE :], "content")
        volume.umount()


if __name__ == "__main__":
    if "--files" in sys.argv:
        at = sys.argv.index("--files")
        MANY = int(sys.argv[at + 1])
        del sys.argv[at : at + 2]
    sys.exit(harness.main())
