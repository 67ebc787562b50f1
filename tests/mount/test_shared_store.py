#!/usr/bin/python3
"""-o shared_store: what others change below, a mount sees.

Two copies of one volume, each mounted, stand for two hosts; rsync stands for the client that keeps them the same. What is synced is data/ and
.coffer/links/, as docs/architecture.md says.
"""

import errno
import mmap
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time

import harness
from harness import COFFER, Volume, content, equal, fails, need, need_mount, read_file, run, wait_until, write_file

SECONDS = 1
LATE = 2 * harness.SCALE  # what a busy machine may take beside; without the option it is never seen
LONG = "long " * 40


class Copy(Volume):
    """The same volume in another directory."""

    def __init__(self, of):
        self.__dict__.update(of.__dict__)
        self.base = harness.temporary_directory()
        self.dir = f"{self.base}/volume"
        self.mnt = f"{self.base}/mnt"
        self.log = f"{self.base}/log"
        os.mkdir(self.mnt)
        run("cp", "-a", of.dir, self.dir)
        self.coffer("adopt", self.dir, *self.unlock())


class Hosts:
    def __init__(self, stack, options=(f"shared_store={SECONDS}",)):
        need_mount()
        need("rsync")
        self.a = stack.enter_context(Volume())
        self.b = stack.enter_context(Copy(self.a))
        self.a.mount(*options)
        self.b.mount(*options)

    def sync(self, *options, to=None, only="data/"):
        """From one host to the other; by default from B to A."""
        to = to or self.a
        of = self.a if to is self.b else self.b
        for part in {only, ".coffer/links/"}:
            run("rsync", "-aHAX", "--delete", "--modify-window=-1", *options, f"{of.dir}/{part}", f"{to.dir}/{part}")

    def make(self, function):
        """The same on both: made on B, synced, and seen on A, so that A's kernel knows what there was."""
        function(self.b.mnt)
        self.sync()
        wait_until(lambda: show(self.a.mnt) == show(self.b.mnt), SECONDS + LATE, "what was made")

    def below(self, host, path):
        return f"{host.dir}/{os.path.relpath(self.b.backing(path), self.b.dir)}"


def show(m):
    """Everything in a mount: names, contents, targets."""
    out = {}
    for top, directories, files in os.walk(m):
        for name in directories + files:
            path = f"{top}/{name}"
            shown = path[len(m) :]
            if os.path.islink(path):
                out[shown] = os.readlink(path)
            else:
                out[shown] = None if os.path.isdir(path) else read_file(path)
    return out


def soon(condition, what):
    """Within the time for which the kernel believes what it was told."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > SECONDS + LATE:
            raise harness.Failure(f"not seen within {SECONDS} s: {what}")
        time.sleep(0.01)


def says(path, wanted):
    def look():
        try:
            return read_file(path) == wanted
        except OSError as e:
            return wanted is e.errno

    return look


def hosts(function):
    """A test on hosts of its own."""

    def test():
        with harness.contextlib.ExitStack() as stack:
            h = Hosts(stack)
            function(h)
            h.a.umount()
            h.b.umount()
            h.a.check()

    return test


@hosts
def test_names(h):
    """What is added, removed, renamed, made anew: names, missing names, listings, directories."""
    a, b = h.a.mnt, h.b.mnt

    def before(m):
        for d in ("goes", "renamed", "anew", "stays"):
            os.mkdir(f"{m}/{d}")
            write_file(f"{m}/{d}/file", d.encode())
        os.mkdir(f"{m}/renamed/deep")
        write_file(f"{m}/renamed/deep/file", b"deep")
        write_file(f"{m}/replaced", b"old")
        write_file(f"{m}/removed", b"old")
        write_file(f"{m}/stays/{LONG}", b"long")
        os.symlink("one", f"{m}/link")
        os.symlink("/" + "x" * 1000, f"{m}/far")

    h.make(before)
    fails(errno.ENOENT, os.stat, f"{a}/comes")  # so that its absence is known
    fails(errno.ENOENT, os.stat, f"{a}/stays/{LONG}2")
    there = os.open(f"{a}/goes", os.O_RDONLY)

    shutil.rmtree(f"{b}/goes")
    os.rename(f"{b}/renamed", f"{b}/stays/moved")
    shutil.rmtree(f"{b}/anew")
    os.mkdir(f"{b}/anew")  # the same name below, another id in it
    write_file(f"{b}/anew/other", b"other")
    os.unlink(f"{b}/replaced")
    os.mkdir(f"{b}/replaced")
    os.unlink(f"{b}/removed")
    write_file(f"{b}/comes", b"new")
    os.unlink(f"{b}/stays/{LONG}")
    write_file(f"{b}/stays/{LONG}2", b"longer")
    for name, target in (("link", "two"), ("far", "/" + "y" * 2000)):
        os.unlink(f"{b}/{name}")
        os.symlink(target, f"{b}/{name}")
    h.sync()
    soon(lambda: show(a) == show(b), f"names\n{show(a)}\n{show(b)}\n")
    equal(sorted(os.listdir(a)), sorted(os.listdir(b)), "listing")
    fails((errno.ENOENT, errno.ESTALE), os.open, "new", os.O_CREAT | os.O_WRONLY, dir_fd=there)
    os.close(there)
    # What was renamed or made anew is as good as any: it can be changed here, and the other host reads it.
    write_file(f"{a}/stays/moved/deep/mine", b"mine")
    write_file(f"{a}/anew/mine", b"mine")
    os.mkdir(f"{a}/replaced/mine")
    h.sync(to=h.b)
    soon(lambda: show(a) == show(b), "names, the other way")


@hosts
def test_at_once(h):
    """Who opens a file gets what stands under its name, however lately the kernel has seen it; also who changes it by its path."""
    a, b = h.a.mnt, h.b.mnt
    names = ["small", "large"]
    h.make(lambda m: [write_file(f"{m}/{n}", content(n, 100 if n == "small" else 400000)) for n in names])
    for round_ in range(3):
        for n in names:
            write_file(f"{b}/{n}", content((n, round_), 100 if n == "small" else 400000))
            read_file(f"{a}/{n}")
        h.sync()  # new files in the place of the old ones
        for n in names:
            equal(read_file(f"{a}/{n}") == read_file(f"{b}/{n}"), True, f"{n}, round {round_}")
    write_file(f"{b}/small", b"to be linked")
    os.stat(f"{a}/small")
    h.sync()
    os.link(f"{a}/small", f"{a}/linked")
    equal(read_file(f"{a}/linked"), b"to be linked")
    os.unlink(f"{a}/linked")
    write_file(f"{b}/small", b"longer than it was before")
    os.stat(f"{a}/small")
    h.sync()
    os.truncate(f"{a}/small", 6)
    equal(read_file(f"{a}/small"), b"longer")
    # What was known not to be there.
    fails(errno.ENOENT, os.stat, f"{a}/comes")
    write_file(f"{b}/comes", b"come")
    h.sync("--exclude", os.path.basename(h.below(h.b, "small")))
    with open(f"{a}/comes", "ab") as f:
        f.write(b", and gone on")
    equal(read_file(f"{a}/comes"), b"come, and gone on")
    fails(errno.EEXIST, os.open, f"{a}/comes", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    # The end of a file that both append to, one after the other.
    with open(f"{a}/comes", "ab", buffering=0) as f:
        h.sync(to=h.b)
        with open(f"{b}/comes", "ab") as g:
            g.write(b" there")
        h.sync("--inplace", "--no-whole-file")
        f.write(b" and here")
        equal(read_file(f"{a}/comes"), b"come, and gone on there and here")


@hosts
def test_open_files(h):
    """Who has a file open that is replaced reads on in what it opened, and is told when it writes."""
    a, b = h.a.mnt, h.b.mnt
    size = 400000
    old, new = content("old", size), content("new", size)
    h.make(lambda m: [write_file(f"{m}/{n}", old) for n in ("replaced", "removed", "mapped", "inside", "unlinked")])
    fds = {n: os.open(f"{a}/{n}", os.O_RDWR) for n in ("replaced", "removed", "mapped", "inside", "unlinked")}
    view = mmap.mmap(fds["mapped"], size)
    equal(view[:100], old[:100])
    os.pread(fds["inside"], size, 0)
    inside = mmap.mmap(fds["inside"], size)
    equal(inside[:] == old, True)
    os.unlink(f"{a}/unlinked")
    h.sync("--existing", to=h.b)
    os.unlink(f"{b}/removed")
    for n in ("replaced", "mapped"):
        write_file(f"{b}/{n}", new)
    h.sync()
    # By their names they are new at once, by their descriptors old.
    for n in ("replaced", "mapped"):
        equal(read_file(f"{a}/{n}") == new, True, n)
    soon(says(f"{a}/removed", errno.ENOENT), "removed")
    for n in ("replaced", "removed"):
        equal(os.pread(fds[n], size, 0) == old, True, f"{n}, by its descriptor")
        for change in (lambda fd: os.pwrite(fd, b"x", 5), lambda fd: os.ftruncate(fd, 5), os.fsync):
            fails(errno.ESTALE, change, fds[n])
    equal(view[:] == old, True, "what is mapped")
    # What was removed here is its openers' as ever.
    os.pwrite(fds["unlinked"], b"mine", 0)
    equal(os.pread(fds["unlinked"], 8, 0), b"mine" + old[4:8])
    view.close()
    # Changed in place: the same file, whatever is known of it.
    write_file(f"{b}/inside", new)
    h.sync("--inplace", "--no-whole-file")
    soon(lambda: os.pread(fds["inside"], size, 0) == new, "changed in place")
    equal(inside[:] == new, True, "what is mapped, and was changed in place")
    inside.close()
    for fd in fds.values():
        os.close(fd)
    equal(h.a.status()["process"]["descriptors"] < 20, True, "descriptors go when files are closed")


@hosts
def test_write_after_change(h):
    """A file that others have changed in place, and that is written here through a descriptor from before: no mixture."""
    a, b = h.a.mnt, h.b.mnt
    cases = {"inline": (100, 200), "grows": (200, 300000), "shrinks": (300000, 200), "maps": (500000, 700000), "same": (300000,) * 2}
    h.make(lambda m: [write_file(f"{m}/{n}", content(n, sizes[0])) for n, sizes in cases.items()])
    fds = {n: os.open(f"{a}/{n}", os.O_RDWR) for n in cases}
    for n, fd in fds.items():
        os.pwrite(fd, b"begin", 0)  # its maps are in memory
    for n, sizes in cases.items():
        os.unlink(f"{b}/{n}")
        write_file(f"{b}/{n}", content((n, 2), sizes[1]))  # another file id, too
    h.sync("--inplace", "--no-whole-file", "-I")
    for n, fd in fds.items():
        os.pwrite(fd, b"mine", 50)
    for n, sizes in cases.items():
        wanted = bytearray(content((n, 2), sizes[1]))
        wanted[50:54] = b"mine"
        soon(lambda: os.fstat(fds[n]).st_size == sizes[1], f"size of {n}")
        equal(os.pread(fds[n], 1 << 20, 0) == wanted, True, n)
        os.close(fds[n])
    h.sync(to=h.b)
    soon(lambda: show(a) == show(b), "what was written here")


@hosts
def test_half_synced(h):
    """A file that is on its way is an error, of that file alone, and is right when it has come."""
    a, b = h.a.mnt, h.b.mnt
    size = 300000
    h.make(lambda m: [os.mkdir(f"{m}/d")] + [write_file(f"{m}/d/{n}", content(n, size)) for n in ("one", "two")])
    write_file(f"{b}/d/one", content("new", size))
    os.mkdir(f"{b}/late")
    write_file(f"{b}/late/file", b"late")
    whole, half = read_file(h.below(h.b, "d/one")), h.below(h.a, "d/one")
    write_file(f"{os.path.dirname(half)}/.{os.path.basename(half)}.X1y2Z3", whole[:5000])
    equal(sorted(os.listdir(f"{a}/d")), ["one", "two"], "a temporary name is not shown")
    equal(read_file(f"{a}/d/one") == content("one", size), True, "until it is renamed, the old one is there")
    # In place, as a client does that does not rename: cut short, the new head over old pages, the old one with a new size.
    old = read_file(half)
    for state in (whole[: size // 2], whole[:100], whole[:4096] + old[4096:], old + b"more", b"x" * 5000):
        with open(half, "r+b") as f:
            f.truncate(0)
            f.write(state)
        fails(errno.EIO, read_file, f"{a}/d/one")
        fd = os.open(f"{a}/d/one", os.O_WRONLY)
        if state[:4096] != whole[:4096] or len(state) != len(whole):
            fails(errno.EIO, os.pwrite, fd, b"x", 10)
        os.close(fd)
        equal(read_file(f"{a}/d/two") == content("two", size), True, "the other file")
        with open(half, "rb") as f:
            equal(f.read() == state, True, "and nothing was written to it")
    # A directory whose id has not come yet.
    os.mkdir(h.below(h.a, "late"))
    soon(lambda: os.path.isdir(f"{a}/late"), "a new directory")
    fails(errno.EIO, os.listdir, f"{a}/late")
    fails(errno.EIO, write_file, f"{a}/late/mine", b"x")
    h.sync()
    equal(read_file(f"{a}/d/one") == content("new", size), True, "when it has come")
    soon(lambda: show(a) == show(b), "all of it")


@hosts
def test_renamed_below(h):
    """An administrator renames: the same files, under other names; who has them open goes on."""
    a, b = h.a.mnt, h.b.mnt

    def before(m):
        for d in ("from", "to", "from/sub"):
            os.mkdir(f"{m}/{d}")
        write_file(f"{m}/from/file", b"file")
        write_file(f"{m}/from/sub/inner", b"inner")

    h.make(before)
    fd = os.open(f"{a}/from/file", os.O_RDWR)
    inner = os.open(f"{a}/from/sub/inner", os.O_RDWR)
    sub = os.open(f"{a}/from/sub", os.O_RDONLY)
    moves = [(h.below(h.a, "from/file"), "to/file2"), (h.below(h.a, "from/sub"), "to/sub2")]
    os.rename(f"{b}/from/file", f"{b}/to/file2")
    os.rename(f"{b}/from/sub", f"{b}/to/sub2")
    for old, new in moves:
        os.rename(old, h.below(h.a, new))
    fails(errno.ESTALE, os.pwrite, fd, b"x", 0)  # it is not known yet where it is
    soon(lambda: show(a) == show(b), "renamed below")
    os.pwrite(fd, b"F", 0)
    os.pwrite(inner, b"I", 0)
    os.close(os.open("made", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=sub))
    equal(read_file(f"{a}/to/file2"), b"File")
    equal(read_file(f"{a}/to/sub2/inner"), b"Inner")
    equal(sorted(os.listdir(f"{a}/to/sub2")), ["inner", "made"])
    for f in (fd, inner, sub):
        os.close(f)
    # A circle, for who knows only a part: each below the other, one after the other.
    for host in (h.a, h.b):
        os.makedirs(f"{host.mnt}/x/y") if host is h.b else None
    h.sync(to=h.a)
    soon(lambda: os.path.isdir(f"{a}/x/y"), "x/y")
    there = os.open(f"{a}/x/y", os.O_RDONLY)
    y = h.below(h.a, "x/y")
    os.rename(f"{b}/x/y", f"{b}/y")
    x, top = h.below(h.a, "x"), h.below(h.a, "y")
    os.rename(y, top)
    os.rename(f"{b}/x", f"{b}/y/x")
    os.rename(x, f"{h.a.dir}/{os.path.relpath(h.b.backing('y/x'), h.b.dir)}")
    for look in (lambda: os.stat("x", dir_fd=there), lambda: os.listdir(there)):
        try:
            look()
        except OSError as e:
            equal(e.errno in (errno.ESTALE, errno.ENOENT, errno.ELOOP), True, f"{e}")
    soon(lambda: show(a) == show(b), "one below the other")
    os.close(there)


@hosts
def test_meanwhile(h):
    """While a sync client writes and renames, readers get one version or the other, or an error that passes; never a mixture."""
    a, b = h.a.mnt, h.b.mnt
    size = 200000
    versions = [content(i, size) for i in range(4)]
    h.make(lambda m: [write_file(f"{m}/{n}", versions[0]) for n in ("renamed", "inside")])
    sources = []
    for v in versions:
        write_file(f"{b}/renamed", v)
        sources.append(read_file(h.below(h.b, "renamed")))
    files = {n: h.below(h.a, n) for n in ("renamed", "inside")}
    stop, seen, wrong = threading.Event(), set(), []

    def read(n):
        while not stop.is_set():
            try:
                got = read_file(f"{a}/{n}")
            except OSError as e:
                if e.errno not in (errno.EIO, errno.ESTALE):
                    wrong.append(e)
                continue
            pages = {i for i, v in enumerate(versions) if got == v}
            # Of one that is written in place a program reads in several pieces.
            parts = all(any(got[p : p + 4096] == v[p : p + 4096] for v in versions) for p in range(0, len(got), 4096))
            if not pages and (n == "renamed" or not parts):
                wrong.append(f"{n}: neither version")
            seen.update(pages)

    threads = [threading.Thread(target=read, args=(n,)) for n in files]
    for t in threads:
        t.start()
    end = time.monotonic() + 0.7
    last = 0
    while time.monotonic() < end:
        last = (last + 1) % len(versions)
        write_file(f"{files['renamed']}.tmp", sources[last])
        os.rename(f"{files['renamed']}.tmp", files["renamed"])
        with open(files["inside"], "r+b") as f:
            f.write(sources[last])
        time.sleep(0.005)
    stop.set()
    for t in threads:
        t.join()
    equal(wrong, [])
    equal(len(seen) > 1, True, f"versions seen: {seen}")
    for n in files:
        soon(says(f"{a}/{n}", versions[last]), f"{n}, the last version")


def work(m, rng, stop, failed):
    """Anything, in a directory that belongs to this host; what it may be refused are reasons of its own."""
    own = (errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.EINVAL, errno.EPERM)
    fds = []

    def some(depth=3):
        return "/".join([m] + [rng.choice(["a", "b", LONG]) for _ in range(rng.randint(1, depth))])

    def rename():
        path = some()
        os.rename(path, some(path.count("/") - m.count("/")))  # never deeper

    def hold(path):
        if len(fds) > 20:
            os.close(fds.pop(rng.randrange(len(fds))))
        fds.append(os.open(path, os.O_RDWR))

    acts = [
        lambda: os.mkdir(some()),
        lambda: write_file(some(), content(rng.random(), rng.choice((10, 3000, 5000, 70000, 300000)))),
        lambda: os.unlink(some()),
        lambda: os.rmdir(some()),
        rename,
        lambda: os.link(some(), some()),
        lambda: os.truncate(some(), rng.randrange(100000)),
        lambda: hold(some()),
        lambda: fds and os.pwrite(rng.choice(fds), b"x" * rng.randrange(5000), rng.randrange(100000)),
    ]
    while not stop.is_set():
        try:
            rng.choice(acts)()
        except OSError as e:
            if e.errno not in own:
                failed.append(f"{m}: {e}")
    for fd in fds:
        os.close(fd)


def read_on(m, stop, failed):
    """Everything that another host works at; what has come in part, or has gone, is an error."""
    while not stop.is_set():
        try:
            show(m)
        except OSError as e:
            if e.errno not in (errno.EIO, errno.ESTALE, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL):
                failed.append(f"{m}: {e}")


@hosts
def test_at_work(h):
    """Each host works in a directory of its own, and reads that of the other while it is synced: in the end both have the same, and it is whole."""
    if not harness.LONG:
        raise harness.Skip("for a night")
    rng = random.Random(4711)
    h.make(lambda m: [os.mkdir(f"{m}/{n}") for n in ("a", "b")])
    below = {n: os.path.basename(h.below(h.b, n)) for n in ("a", "b")}
    stop, failed = threading.Event(), []
    ways = (("a", h.a, h.b), ("b", h.b, h.a))

    def sync(way, *options):
        name, of, to = way
        argv = ["rsync", "-aAX", "--no-inc-recursive", "--modify-window=-1", "--delete", *options]
        with harness.contextlib.suppress(subprocess.TimeoutExpired):  # rsync itself may wait for ever when what it reads goes away
            run(*argv, f"{of.dir}/data/{below[name]}/", f"{to.dir}/data/{below[name]}/", check=False, timeout=10)

    threads = []
    for name, of, to in ways:
        threads += [threading.Thread(target=work, args=(f"{of.mnt}/{name}", random.Random(name + i), stop, failed)) for i in "12"]
        threads += [threading.Thread(target=read_on, args=(f"{to.mnt}/{name}", stop, failed))]
    for t in threads:
        t.start()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        sync(rng.choice(ways), *rng.choice(([], ["--delete-after"], ["--delete-before"], ["--inplace", "--no-whole-file"])))
        time.sleep(rng.random() * 0.2)
    stop.set()
    for t in threads:
        t.join()
    equal(failed, [])
    for way in ways:
        sync(way)
    soon(lambda: show(h.a.mnt) == show(h.b.mnt), "the same on both")
    h.b.umount()
    h.b.check("--deep")
    h.b.mount()


def test_options(volume):
    """What it goes with, what it says, and a journal that was not brought to its end."""
    need_mount()
    for options, word in ((["shared_store", "writeback"], "writeback"), (["shared-store", "journal=8M"], "journal"),
                          (["shared_store=x"], "0 to 3600"), (["shared_store=4000"], "0 to 3600")):
        r = volume.coffer("mount", volume.dir, volume.mnt, *volume.unlock(), "-o", ",".join(options), check=False)
        equal((r.returncode, len(r.stderr.splitlines()), word in r.stderr), (2, 1, True), f"{options}: {r.stderr}")
    metrics = f"{volume.base}/metrics"
    for option, shared in (("relatime", 0), ("shared-store", 1), ("shared_store=7", 7)):
        volume.mount(option, f"metrics={metrics}")
        status, text = volume.status(), volume.coffer("status", volume.mnt).stdout
        equal(status["process"]["shared_store"], shared > 0, option)
        equal(status["process"].get("shared_seconds"), shared or None, option)
        equal(re.findall(r"^shared .* (\d+) s", text, re.M), [str(shared)] if shared else [], text)
        wait_until(lambda: os.path.exists(metrics), 5, "metrics")
        equal(f" {int(shared > 0)}\n" in re.search(r"^coffer_shared_store\{.*\n", read_file(metrics).decode(), re.M)[0], True)
        os.unlink(metrics)
        volume.umount()
    volume.mount()
    write_file(f"{volume.mnt}/file", b"x" * 10000)
    volume.kill()
    r = volume.coffer("mount", volume.dir, volume.mnt, *volume.unlock(), "-o", "shared_store", check=False)
    equal((r.returncode, "cleanly" in r.stderr), (13, True), r.stderr)
    volume.mount()
    equal(read_file(f"{volume.mnt}/file"), b"x" * 10000)
    volume.umount()


if __name__ == "__main__":
    sys.exit(harness.main())
