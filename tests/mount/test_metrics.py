#!/usr/bin/python3
"""What a mount tells of itself: coffer status --watch, the verb "metrics", the file of -o metrics=."""

import contextlib
import json
import os
import re
import subprocess
import sys
import threading

import harness
from harness import COFFER, content, equal, need_mount, read_file, wait_until, write_file

SAMPLE = re.compile(r'(coffer_\w+)\{mount="((?:[^"\\]|\\.)*)"((?:,\w+="[^"]*")*)\} (-?[\d.e+]+|\+Inf)')


def parse(text):
    """Samples by name and labels; what every line has to look like."""
    samples, types = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            types[name] = kind
        elif not line.startswith("# HELP "):
            m = SAMPLE.fullmatch(line)
            equal(bool(m), True, f"a sample: {line}")
            family = re.sub(r"_(bucket|sum|count)$", "", m[1]) if m[1] not in types else m[1]
            equal(family in types, True, f"its type comes before it: {line}")
            key = (m[1], m[3][1:])
            equal(key in samples, False, f"a sample twice: {line}")
            samples[key] = float(m[4])
    return samples


def wait_for(path, condition):
    found = {}

    def there():
        with contextlib.suppress(FileNotFoundError):
            found.update(parse(read_file(path).decode()))
            return condition(found)

    wait_until(there, 20, f"metrics in {path}")
    return found


def test_file(volume, tmp):
    need_mount()
    path = f"{tmp}/coffer.prom"
    # Each of these is served, whatever the mount point is called.
    os.rmdir(volume.mnt)
    volume.mnt = f'{volume.base}/a "mount" \\ point'
    os.mkdir(volume.mnt)
    volume.mount(f"metrics={path}")
    for i in range(20):
        write_file(f"{volume.mnt}/f{i}", content(i, 1000))
        equal(read_file(f"{volume.mnt}/f{i}"), content(i, 1000))
    fd = os.open(f"{volume.mnt}/f0", os.O_WRONLY)
    os.fsync(fd)
    os.close(fd)
    got = wait_for(path, lambda s: s.get(("coffer_requests_total", 'kind="FSYNC"')))
    equal(got["coffer_requests_total", 'kind="MKNOD"'], 20)
    equal(got["coffer_requests_total", 'kind="WRITE"'], 20)
    equal(got["coffer_bytes_total", 'direction="write"'], 20 * 1000)
    equal(got["coffer_locked", ""], 0)
    equal(got["coffer_journal_bytes", ""], (4 << 20) - 8192, "the journal's size")
    for kind in "MKNOD", "WRITE", "FSYNC":
        steps = [v for (n, labels), v in got.items() if n == "coffer_request_seconds_bucket" and f'kind="{kind}",' in labels]
        equal(steps, sorted(steps), f"steps of {kind} only grow")
        equal(steps[-1], got["coffer_request_seconds_count", f'kind="{kind}"'], "the last step has them all")
        equal(steps[-1], got["coffer_requests_total", f'kind="{kind}"'], f"every {kind} was answered")
        equal(0 < got["coffer_request_seconds_sum", f'kind="{kind}"'] < 60, True, "seconds")
    volume.coffer("lock", volume.dir)
    wait_for(path, lambda s: s["coffer_locked", ""] == 1)
    equal([n for n in os.listdir(tmp) if n.endswith(".new")], [])
    volume.umount()
    equal(os.listdir(tmp), [], "what nobody writes any more")


def test_file_that_cannot_be_written(volume, tmp):
    need_mount()
    volume.mount(f"metrics={tmp}/none/coffer.prom")
    write_file(f"{volume.mnt}/f", b"x")
    wait_until(lambda: "metrics cannot be written" in volume.log_text(), 10, "a word in the log")
    volume.umount()
    for bad in f"metrics={volume.mnt}/f", "metrics=relative", "metrics=":
        r = volume.coffer("mount", volume.dir, volume.mnt, *volume.unlock(), "-o", bad, check=False)
        equal(r.returncode, 2, f"{bad}: {r.stderr}")
        equal("metrics=" in r.stderr, True, r.stderr)


def test_memory(volume):
    need_mount()
    for bad in "memory=", "memory=7M", "memory=65G", "memory=much":
        r = volume.coffer("mount", volume.dir, volume.mnt, *volume.unlock(), "-o", bad, check=False)
        equal(r.returncode, 2, f"{bad}: {r.stderr}")
    volume.mount("memory=8M")
    # A map in each of these files for every 512 KiB, behind the first 240 KiB: of 4 MiB of maps not all may stay.
    for i in range(40):
        with open(f"{volume.mnt}/f{i}", "wb") as f:
            for k in range(30):
                f.seek((60 + 128 * k) * 4096)
                f.write(b"x")
    volume.umount()
    volume.mount("memory=8M")
    for i in range(40):
        with open(f"{volume.mnt}/f{i}", "rb") as f:
            for k in range(30):
                f.seek((60 + 128 * k) * 4096)
                equal(f.read(1), b"x")
    out = volume.coffer("status", volume.dir, "--watch", "--count", "1", "--json").stdout
    kept = json.loads(out)["since_mounted"]["map_bytes"]
    equal(1 << 20 < kept <= (4 << 20) + 16 * 4200, True, f"memory in maps: {kept}")
    volume.umount()


def test_watch(volume):
    need_mount()
    volume.mount()
    stop = threading.Event()

    def write():
        while not stop.wait(0.01):
            write_file(f"{volume.mnt}/f", bytes(8192))

    t = threading.Thread(target=write)
    t.start()
    try:
        r = volume.coffer("status", volume.mnt, "--watch", "--count", "2", "--json")
        lines = [json.loads(line) for line in r.stdout.splitlines()]
        equal(len(lines), 2)
        for line in lines:
            # A request counts when it comes, its bytes when it is done: one may be under way at either end.
            equal(line["writes"] > 0 and abs(line["bytes_written"] - 8192 * line["writes"]) <= 8192, True, f"{line}")
            equal(0 < line["half_us"] <= line["most_us"], True, f"{line}")
            equal(line["mean_ns"] > 0, True)
        grown = lines[1]["since_mounted"]["requests"]["WRITE"] - lines[0]["since_mounted"]["requests"]["WRITE"]
        equal(grown, lines[1]["writes"], "the second line is what came since the first")
        text = volume.coffer("status", volume.dir, "--watch", "--count", "1").stdout.splitlines()
        equal(len(text), 2)
        equal(text[0].split()[:2], ["time", "requests"])
        equal(int(text[1].split()[3]) > 0, True, text[1])
    finally:
        stop.set()
        t.join()
    # It ends by itself, and that is no error.
    p = subprocess.Popen([COFFER, "status", volume.dir, "--watch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         stdin=subprocess.DEVNULL, env=volume.environment())
    equal(p.stdout.readline().split()[:1], [b"time"])
    p.stdout.readline()
    volume.umount()
    out, err = p.communicate(timeout=30)
    equal((p.returncode, err), (0, b""))
    r = volume.coffer("status", volume.dir, "--watch", check=False)
    equal(r.returncode != 0 and len(r.stderr.splitlines()) == 1, True, f"not mounted: {r.stderr}")
    for bad in (["--interval", "1"], ["--watch", "--interval", "-1"], ["--watch", "--size"]):
        equal(volume.coffer("status", volume.dir, *bad, check=False).returncode, 2, f"{bad}")
    equal(volume.coffer("status", "--watch", check=False).returncode, 2)


if __name__ == "__main__":
    sys.exit(harness.main())
