#!/usr/bin/python3
"""Keys that change under a running mount: rotation, suspension, the end of a generation. Programs go on.

Numbers in names are rules of fs/live_keys.h."""

import errno
import mmap
import os
import subprocess
import sys
import time

import harness
from harness import content, equal, fails, need_mount, read_file, run, wait_until, write_file

SLOW = 4 if harness.SCALE > 1 else 1

# Writes numbered blocks to a file of its own and reads them back, renames it over another, lists; says nothing unless something fails.
WORKER = """
import os, random, sys
top, number = sys.argv[1], sys.argv[2]
rng = random.Random(number)
i = 0
while not os.path.exists(top + "/../stop"):
    a, b = f"{top}/w{number}", f"{top}/w{number}.new"
    data = rng.randbytes(rng.choice((100, 4000, 20000, 300000)))
    fd = os.open(b, os.O_CREAT | os.O_RDWR | os.O_TRUNC)
    os.write(fd, data)
    os.pwrite(fd, b"again", 50)
    if i % 5 == 0:
        os.fsync(fd)
    os.close(fd)
    os.rename(b, a)
    os.mkdir(f"{top}/d{number}-{i}")
    os.symlink("to " + "x" * rng.choice((5, 900)), f"{top}/d{number}-{i}/link")
    wanted = data[:50] + b"again" + data[55:]
    assert open(a, "rb").read() == wanted, "content"
    assert f"w{number}" in os.listdir(top), "listing"
    assert os.readlink(f"{top}/d{number}-{i}/link").startswith("to x")
    os.unlink(f"{top}/d{number}-{i}/link")
    os.rmdir(f"{top}/d{number}-{i}")
    i += 1
print(i)
"""


def key(volume, verb, *words, check=True):
    verb, words = ((verb, words[0]), words[1:]) if verb == "policy" else ((verb,), words)
    return volume.coffer("key", *verb, volume.dir, *words, *volume.unlock(), check=check)


def generations(volume):
    return {g["generation"]: g["state"] for g in volume.status(volume.dir)["generations"] if g["scope"] == 0}


def active(volume):
    return next(n for n, state in generations(volume).items() if state == "active")


def test_rule_2_rotation_under_load(volume):
    need_mount()
    volume.mount()
    write_file(f"{volume.mnt}/old", content("old", 50000))
    argv = ["/usr/bin/python3", "-c", WORKER, volume.mnt]
    workers = [subprocess.Popen([*argv, str(i)], stdout=subprocess.PIPE, text=True) for i in range(3)]
    for _ in range(5):
        time.sleep(0.3 * SLOW)
        before = active(volume)
        r = key(volume, "rotate")
        equal(r.stderr, "")
        equal(active(volume) > before, True)
        # What is written now is under it: the next rotation deactivates it, and it is still read.
        write_file(f"{volume.mnt}/under{before}", content(before, 10000))
    write_file(f"{volume.base}/stop", b"")
    for w in workers:
        out, _ = w.communicate(timeout=60)
        equal((w.returncode, int(out) > 5), (0, True), out)
    equal(read_file(f"{volume.mnt}/old"), content("old", 50000))
    count = len(generations(volume))
    volume.remount()
    equal(read_file(f"{volume.mnt}/old"), content("old", 50000))
    for g in list(generations(volume))[:-1]:
        equal(read_file(f"{volume.mnt}/under{g}"), content(g, 10000))
    equal(count, 6)
    volume.umount()
    volume.check("--deep")


def test_new_data_is_under_the_new_generation(volume):
    """After a rotation the old generation is needed for nothing that is written then (names follow their directory)."""
    need_mount()
    volume.mount()
    os.mkdir(f"{volume.mnt}/d")
    fd = os.open(f"{volume.mnt}/d/open", os.O_CREAT | os.O_RDWR)
    os.write(fd, content("open", 30000))
    key(volume, "rotate")
    os.pwrite(fd, content("over", 30000), 0)
    os.close(fd)
    write_file(f"{volume.mnt}/d/inline", b"inline")
    volume.umount()
    for name in ("d/open", "d/inline"):
        equal(int.from_bytes(read_file(volume.backing(name))[24:28], "little"), 3, f"generation of {name}")


def test_rule_1_suspended_gives_enokey(volume):
    need_mount()
    volume.mount()
    m = volume.mnt
    write_file(f"{m}/inline", b"inline")
    write_file(f"{m}/paged", content("paged", 100000))
    os.symlink("target", f"{m}/link")
    shared = os.open(f"{m}/shared", os.O_CREAT | os.O_RDWR)
    os.write(shared, bytes(8192))
    mapping = mmap.mmap(shared, 8192)
    held = os.open(f"{m}/paged", os.O_RDONLY)
    equal(os.pread(held, 10, 0), content("paged", 100000)[:10])
    mapping[:5] = b"dirty"  # the kernel alone knows
    key(volume, "rotate")
    before = time.monotonic()
    key(volume, "suspend", "1")
    equal(time.monotonic() - before < 20 * SLOW, True)
    fails(errno.ENOKEY, os.pread, held, 10, 0)
    fails(errno.ENOKEY, os.pread, held, 10, 50000)
    fails(errno.ENOKEY, os.pwrite, os.open(f"/proc/self/fd/{held}", os.O_RDWR), b"x", 0)
    fails(errno.ENOKEY, os.listdir, m)
    fails(errno.ENOKEY, os.open, f"{m}/new", os.O_CREAT | os.O_WRONLY)
    kernel = tuple(map(int, os.uname().release.split(".")[:2]))
    if kernel >= (6, 16):  # it can be told to forget names
        fails(errno.ENOKEY, os.stat, f"{m}/inline")
        fails(errno.ENOKEY, os.readlink, f"{m}/link")
    fails(errno.ENOKEY, os.open, f"{m}/absent", os.O_RDONLY)
    equal(volume.process.poll(), None)
    key(volume, "resume", "1")
    equal(os.pread(held, 100000, 0), content("paged", 100000))
    equal(read_file(f"{m}/inline"), b"inline")
    equal(os.readlink(f"{m}/link"), "target")
    equal(read_file(f"{m}/shared")[:5], b"dirty")
    mapping.close()
    os.close(held)
    os.close(shared)
    for fd in os.listdir("/proc/self/fd"):  # the one that was opened through /proc
        if os.path.realpath(f"/proc/self/fd/{fd}").startswith(m):
            os.close(int(fd))
    volume.umount()
    volume.check("--deep")


def test_rule_1_suspending_the_active_one_under_load(volume):
    """What is dirty is brought in place first; later writes go under the successor."""
    need_mount()
    volume.mount()
    m = volume.mnt
    with open(f"{m}/log", "wb") as f:
        f.write(content("log", 40000))
    key(volume, "suspend", "1")
    equal(generations(volume)[1], "suspended")
    fails(errno.ENOKEY, read_file, f"{m}/log")
    volume.umount()
    r = volume.coffer("mount", volume.dir, m, *volume.unlock(), check=False)
    equal((r.returncode, "is not the root" in r.stderr), (0, False), r.stderr)
    fails(errno.ENOKEY, os.listdir, m)
    volume.coffer("umount", m)
    key(volume, "resume", "1")
    volume.mount()
    equal(read_file(f"{m}/log"), content("log", 40000))
    volume.umount()
    volume.check("--deep")


def test_suspend_a_frozen_mount(volume):
    need_mount()
    volume.mount()
    write_file(f"{volume.mnt}/f", b"f")
    volume.coffer("freeze", volume.mnt, "--timeout", "30")
    key(volume, "suspend", "1")
    fails(errno.ENOKEY, read_file, f"{volume.mnt}/f")
    volume.coffer("thaw", volume.mnt)
    key(volume, "resume", "1")
    equal(read_file(f"{volume.mnt}/f"), b"f")
    volume.umount()


def test_rule_3_lock_and_unlock(volume):
    """Programs go on, with ENOKEY in between."""
    need_mount()
    volume.mount()
    m = volume.mnt
    write_file(f"{m}/f", content("f", 30000))
    os.mkdir(f"{m}/d")
    fd = os.open(f"{m}/f", os.O_RDWR)
    shared = os.open(f"{m}/shared", os.O_CREAT | os.O_RDWR)
    os.write(shared, bytes(4096))
    mapping = mmap.mmap(shared, 4096)
    equal(os.pread(fd, 30000, 0), content("f", 30000))
    os.pwrite(fd, b"unsynced", 0)
    mapping[:5] = b"dirty"
    cwd = os.getcwd()
    os.chdir(f"{m}/d")
    volume.coffer("lock", m)
    equal("locked" in volume.coffer("status", volume.dir).stdout, True)
    fails(errno.ENOKEY, os.pread, fd, 10, 0)
    fails(errno.ENOKEY, os.pwrite, fd, b"x", 0)
    fails(errno.ENOKEY, os.listdir, m)
    fails(errno.ENOKEY, os.mkdir, f"{m}/new")
    fails(errno.ENOKEY, os.fsync, fd)
    equal(os.statvfs(m).f_namemax, 255)
    os.stat(m)
    r = volume.coffer("lock", m, check=False)
    equal((r.returncode, "already" in r.stderr), (13, True), r.stderr)
    equal("is locked" in key(volume, "rotate", check=False).stderr, True)  # noted, but not by this mount
    wrong = f"{volume.base}/wrong"
    write_file(wrong, b"another key file of some length, at least 32 bytes")
    equal(volume.coffer("unlock", m, "--key-file", wrong, check=False).returncode, 3)
    fails(errno.ENOKEY, os.pread, fd, 10, 0)
    # What it answered before is left in none of its buffers.  (The sanitizers keep what was freed; the places in a ring are libfuse's.)
    if harness.SCALE == 1 and "io_uring" not in harness.EVERY_MOUNT:
        equal(in_memory(volume.process.pid, content("f", 30000)[9000:9032]), False)
    volume.coffer("unlock", m, *volume.unlock())
    equal(os.pread(fd, 30000, 0), b"unsynced" + content("f", 30000)[8:])
    equal(read_file(f"{m}/shared")[:5], b"dirty")
    os.mkdir("inside")
    equal(os.listdir(f"{m}/d"), ["inside"])
    os.chdir(cwd)
    equal(volume.coffer("unlock", m, *volume.unlock(), check=False).returncode, 13)
    mapping.close()
    os.close(fd)
    os.close(shared)
    if harness.ROOT:
        # Mounts of others are none of this test's business: it does not see them.
        others = 'grep " - fuse.coffer" /proc/self/mountinfo | cut -d" " -f5 | grep -vxF "$1" | while read -r p; do umount -l "$p"; done; "$2" lock --all'
        run("unshare", "-m", "--propagation", "private", "sh", "-c", others, "sh", m, harness.COFFER, env=volume.environment())
        fails(errno.ENOKEY, os.listdir, m)
    volume.umount()
    volume.mount()
    equal(read_file(f"{m}/f")[:8], b"unsynced")
    volume.umount()
    volume.check("--deep")


def test_policy_by_what_was_written(volume):
    """The mount itself makes a new generation, and counts across mounts."""
    need_mount()
    key(volume, "policy", "set", "--rotate-after", "3M")
    volume.mount()
    write_file(f"{volume.mnt}/a", content("a", 2_000_000))
    volume.remount()
    equal(active(volume), 1)
    write_file(f"{volume.mnt}/b", content("b", 2_000_000))
    wait_until(lambda: active(volume) == 3, 15 * SLOW, "the rotation")
    equal(read_file(f"{volume.mnt}/a"), content("a", 2_000_000))
    equal(key(volume, "policy", "run").returncode, 0)
    equal(active(volume), 3)
    volume.umount()


def in_memory(pid, needle):
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as mem:
        for line in maps:
            span, access = line.split()[:2]
            if "r" not in access or "[v" in line:
                continue
            begin, end = (int(x, 16) for x in span.split("-"))
            try:
                mem.seek(begin)
                if needle in mem.read(end - begin):
                    return True
            except (OSError, ValueError, OverflowError):
                continue  # memory of secrets
    return False


def test_rule_3_under_load(volume):
    """Each writer meets ENOKEY, and nothing that was accepted is lost."""
    need_mount()
    volume.mount()
    script = (
        "import os, sys, errno\n"
        "fd = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)\n"
        "n = 0\n"
        "try:\n"
        "    while True:\n"
        "        n += os.pwrite(fd, b'%08d' % (n // 8), n)\n"
        "except OSError as e:\n"
        "    assert e.errno == errno.ENOKEY, e\n"
        "print(n)\n"
    )
    argv = ["/usr/bin/python3", "-c", script]
    writers = [subprocess.Popen([*argv, f"{volume.mnt}/w{i}"], stdout=subprocess.PIPE, text=True) for i in range(3)]
    time.sleep(0.5 * SLOW)
    volume.coffer("lock", volume.mnt)
    sizes = [int(w.communicate(timeout=60)[0]) for w in writers]
    volume.coffer("unlock", volume.mnt, *volume.unlock())
    for i, size in enumerate(sizes):
        equal(read_file(f"{volume.mnt}/w{i}") == b"".join(b"%08d" % n for n in range(size // 8)), True, f"w{i}")
    volume.umount()


def test_other_root(volume):
    """A mount cannot follow a new root, so one is refused while it lives."""
    need_mount()
    volume.mount()
    r = key(volume, "rotate", "--root", check=False)
    equal(r.returncode != 0 and "mounted" in r.stderr, True, r.stderr)
    volume.umount()


if __name__ == "__main__":
    sys.exit(harness.main())
