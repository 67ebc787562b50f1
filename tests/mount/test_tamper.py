#!/usr/bin/python3
"""Damage to the ciphertext, by the thousand: the outcome is EIO, a missing name, or the truth, and all else stays readable.

While the volume is not mounted each of a few hundred files is damaged in one way; then it is mounted and everything is read. What
is accepted besides is what the threat model excepts: a file cut to nothing, a whole older version of a file.
"""

import base64
import errno
import os
import random
import shutil
import stat
import sys

import harness
from harness import Failure, Volume, content, equal, need_mount, page_position, physical_size, scaled

PAGE = 4096
REGION_STARTS = (0, 60, 4156, 462908, 4657212, 273092668)  # logical pages where the heights 0 to 5 begin


class Truth:
    """What a file holds: its size and pages of data; the rest is zeros."""

    def __init__(self, size):
        self.size = size
        self.pages = {}

    def write(self, page, data):
        self.pages[page] = data[: max(0, self.size - page * PAGE)]

    def read(self, page):
        n = min(PAGE, self.size - page * PAGE)
        return self.pages.get(page, b"").ljust(max(n, 0), b"\0")

    def copy(self):
        t = Truth(self.size)
        t.pages = dict(self.pages)
        return t


class File:
    def __init__(self, name, truth):
        self.name = name
        self.truth = truth
        self.old = None  # the version before
        self.backing = None
        self.good = None  # a copy of the ciphertext
        self.old_copy = None
        self.fragile = set()  # pages that may be unreadable in this round; None: all
        self.accept_empty = self.accept_old = False
        self.story = ""

    def roles(self):
        """Physical page -> logical pages of data that hang on it."""
        roles = {0: set(self.truth.pages)}
        if self.truth.size > harness.INLINE_MAX:
            for page in self.truth.pages:
                physical, maps = page_position(page)
                for p in [physical, *maps]:
                    roles.setdefault(p, set()).add(page)
        return roles


def shapes(rng):
    """Sizes and the pages with data: dense ones of every form, sparse ones up to the highest level."""
    for size in (0, 1, 2, 127, 128, 500, 3967, 3968, 3969, 4095, 4096, 4097, 8064, 8065, 8192, 12288):
        yield size, range((size + PAGE - 1) // PAGE)
    for pages in (3, 20, 60, 61, 62, 100, 187, 188, 189, 200):
        size = pages * PAGE - rng.choice((0, 1, 77, 4000))
        yield size, range((size + PAGE - 1) // PAGE)
    for height in range(1, 6):
        start = REGION_STARTS[height]
        for extra in (0, 1, 127, 128, 129, 128 * 128, 128 * 128 + 130):
            pages = sorted({0, 1, 59, start - 1, start, start + extra, start + extra + 1})
            yield (start + extra + 2) * PAGE - rng.choice((0, 5, 4095)), pages


def make_files(volume, count, rng):
    files = []
    while len(files) < count:
        for size, pages in shapes(rng):
            truth = Truth(size)
            f = File(f"f{len(files)}", truth)
            for p in pages:
                truth.write(p, content(f"{f.name} {p} 1", PAGE))
            files.append(f)
    for f in files:
        fd = os.open(f"{volume.mnt}/{f.name}", os.O_CREAT | os.O_RDWR)
        os.ftruncate(fd, f.truth.size)
        for p, data in f.truth.pages.items():
            os.pwrite(fd, data, p * PAGE)
        os.close(fd)
    return files


def overwrite_some(volume, files, rng):
    for f in files:
        f.old = f.truth.copy()
        fd = os.open(f"{volume.mnt}/{f.name}", os.O_RDWR)
        for p in list(f.truth.pages):
            if rng.random() < 0.5 or len(f.truth.pages) < 3:
                f.truth.write(p, content(f"{f.name} {p} 2", PAGE))
                os.pwrite(fd, f.truth.pages[p], p * PAGE)
        if rng.random() < 0.2 and f.truth.size > 10:
            f.truth.size -= rng.randrange(1, min(f.truth.size, 9000))
            os.ftruncate(fd, f.truth.size)
            f.truth.pages = {p: d[: f.truth.size - p * PAGE] for p, d in f.truth.pages.items() if p * PAGE < f.truth.size}
        os.close(fd)


def tag(volume, objects):
    """Gives each object in the mount a time of its own, by which it is found below."""
    for i, f in enumerate(objects):
        ns = (10**9 + i) * 10**9 + i
        os.utime(f"{volume.mnt}/{f.name}", ns=(ns, ns), follow_symlinks=False)
        f.mtime = ns


def find_backing(volume, objects):
    by_time = {f.mtime: f for f in objects}
    for parent, dirs, names in os.walk(f"{volume.dir}/data"):
        for name in names + dirs:
            path = os.path.join(parent, name)
            f = by_time.get(os.lstat(path).st_mtime_ns)
            if f and not name.startswith(".coffer-") and not name.endswith(".n"):
                f.backing = path
    for f in objects:
        equal(f.backing is not None, True, f"backing file of {f.name} (its mtime is not the one that was set)")


def copy_sparse(source, target):
    """Into the same inode, data only."""
    a, b = os.open(source, os.O_RDONLY), os.open(target, os.O_CREAT | os.O_WRONLY)
    os.ftruncate(b, 0)
    size, at = os.fstat(a).st_size, 0
    os.ftruncate(b, size)
    while at < size:
        try:
            data = os.lseek(a, at, os.SEEK_DATA)
        except OSError:
            break
        at = os.lseek(a, data, os.SEEK_HOLE)
        while data < at:
            piece = os.pread(a, min(1 << 20, at - data), data)
            os.pwrite(b, piece, data)
            data += len(piece)
    os.close(a)
    os.close(b)


# Kinds of damage. Each changes the backing file of f, sets f.fragile, and returns what it did, or None if it does not apply.


def patch(f, offset, data):
    fd = os.open(f.backing, os.O_WRONLY)
    os.pwrite(fd, data, offset)
    os.close(fd)


def fetch(path, offset, n):
    fd = os.open(path, os.O_RDONLY)
    data = os.pread(fd, n, offset)
    os.close(fd)
    return data


def backing_size(f):
    return os.stat(f.backing).st_size


def flip_at(f, offset, rng):
    old = fetch(f.backing, offset, 1)
    patch(f, offset, bytes([old[0] ^ (1 << rng.randrange(8))]))
    f.fragile = f.roles().get(offset // PAGE, set())


def flip_in_head(f, rng, others):
    n = min(backing_size(f), PAGE)
    if n == 0:
        return None
    offset = rng.choice((rng.randrange(min(n, 64)), rng.randrange(min(n, 128)), rng.randrange(n)))
    flip_at(f, offset, rng)
    f.fragile = None
    return f"flipped byte {offset} of the head"


def flip_in_map(f, rng, others):
    if f.truth.size <= 245760 or not f.truth.pages:
        return None
    maps = sorted({m for p in f.truth.pages for m in page_position(p)[1]})
    if not maps:
        return None
    at = rng.choice(maps)
    offset = at * PAGE + rng.randrange(PAGE)
    flip_at(f, offset, rng)
    return f"flipped a byte of the map in page {at}"


def flip_in_data(f, rng, others):
    if f.truth.size <= harness.INLINE_MAX or not f.truth.pages:
        return None
    page = rng.choice(sorted(f.truth.pages))
    at = page_position(page)[0]
    flip_at(f, at * PAGE + rng.randrange(len(f.truth.pages[page])), rng)
    return f"flipped a byte of data page {page}"


def pages_below(f):
    """Physical pages that hold something, whole ones."""
    return [p for p in sorted(f.roles()) if (p + 1) * PAGE <= backing_size(f)]


def swap_pages(f, rng, others):
    pages = pages_below(f)
    if len(pages) < 2:
        return None
    a, b = rng.sample(pages, 2)
    one, two = fetch(f.backing, a * PAGE, PAGE), fetch(f.backing, b * PAGE, PAGE)
    patch(f, a * PAGE, two)
    patch(f, b * PAGE, one)
    f.fragile = f.roles()[a] | f.roles()[b]
    return f"swapped pages {a} and {b}"


def page_of_another_file(f, rng, others):
    other = rng.choice(others)
    pages, theirs = pages_below(f), pages_below(other)
    if not pages or not theirs or other is f or backing_size(f) == os.stat(other.good).st_size == PAGE:
        return None
    at = rng.choice(pages)
    source = at if at in theirs and rng.random() < 0.7 else rng.choice(theirs)
    patch(f, at * PAGE, fetch(other.good, source * PAGE, PAGE))
    f.fragile = f.roles()[at]
    return f"put page {source} of {other.name} in the place of page {at}"


def cut(f, rng, others):
    size = backing_size(f)
    if size < 2:
        return None
    choices = [size - 1, size - PAGE, size // 2, 4096, 4095, 8191, 8192, 8193, 127, 128, 129, 1, 64, 100, 12288]
    roles = sorted(f.roles())
    choices += [p * PAGE for p in rng.sample(roles, min(3, len(roles)))] + [rng.randrange(1, size) for _ in range(3)]
    n = rng.choice([c for c in choices if 0 < c < size])
    os.truncate(f.backing, n)
    f.fragile = None
    return f"cut at {n} of {size}"


def cut_to_nothing(f, rng, others):
    os.truncate(f.backing, 0)
    f.fragile = None
    f.accept_empty = True
    return "cut to nothing"


def zero_page(f, rng, others):
    pages = [p for p in sorted(f.roles()) if p * PAGE < backing_size(f)]
    if not pages or backing_size(f) == 0:
        return None
    at = rng.choice(pages)
    n = min(PAGE, backing_size(f) - at * PAGE)
    fd = os.open(f.backing, os.O_WRONLY)
    if rng.random() < 0.5:
        harness.fallocate(fd, harness.PUNCH_HOLE | harness.KEEP_SIZE, at * PAGE, n)
    else:
        os.pwrite(fd, bytes(n), at * PAGE)
    os.close(fd)
    f.fragile = f.roles()[at] if at else None
    return f"zeroed page {at}"


def zero_range(f, rng, others):
    size = min(backing_size(f), PAGE)
    if size < 10:
        return None
    at = rng.choice((0, 8, 16, 32, 48, 64, 72, 80, 128, 160, 128 + 32 * rng.randrange(124)))
    n = rng.choice((8, 16, 32, 64))
    if at + n > size:
        return None
    patch(f, at, bytes(n))
    f.fragile = None
    return f"zeroed {n} bytes at {at} of the head"


def grow(f, rng, others):
    size = backing_size(f)
    n = rng.choice((1, 16, 127, 128, 4095, 4096, 8192, rng.randrange(1, 300000)))
    if rng.random() < 0.5:
        os.truncate(f.backing, size + n)
    else:
        patch(f, size, content(rng.random(), n))
    f.fragile = None
    return f"grown by {n}"


def old_page(f, rng, others):
    pages = [p for p in pages_below(f) if (p + 1) * PAGE <= os.stat(f.old_copy).st_size]
    if not pages:
        return None
    at = rng.choice(pages)
    patch(f, at * PAGE, fetch(f.old_copy, at * PAGE, PAGE))
    f.fragile = f.roles()[at] if at else None
    return f"put the old page {at} back"


def old_mixture(f, rng, others):
    pages = [p for p in sorted(f.roles()) if p * PAGE < min(backing_size(f), os.stat(f.old_copy).st_size)]
    if len(pages) < 2:
        return None
    chosen = [p for p in pages if rng.random() < rng.choice((0.2, 0.5, 0.9))]
    for p in chosen:
        patch(f, p * PAGE, fetch(f.old_copy, p * PAGE, PAGE))
    f.fragile = None
    f.accept_old = True  # the mixture may be complete
    return f"put old pages {chosen[:20]} back"


def old_file(f, rng, others):
    copy_sparse(f.old_copy, f.backing)
    f.fragile = None
    f.accept_old = True
    return "put the whole old file back"


def old_prefix(f, rng, others):
    n = rng.choice((48, 64, 128))
    if backing_size(f) < n or os.stat(f.old_copy).st_size < n:
        return None
    patch(f, 0, fetch(f.old_copy, 0, n))
    f.fragile = None
    f.accept_old = True
    return f"put the old first {n} bytes back"


def head_of_another_file(f, rng, others):
    other = rng.choice(others)
    n = rng.choice((16, 32, 64, 128, PAGE))
    if min(backing_size(f), os.stat(other.good).st_size) < n or other is f:
        return None
    if backing_size(f) == n == os.stat(other.good).st_size:
        return None  # that would be the whole file
    patch(f, 0, fetch(other.good, 0, n))
    f.fragile = None
    return f"first {n} bytes of {other.name}"


def random_blocks(f, rng, others):
    size = backing_size(f)
    if size < 64:
        return None
    at = rng.choice(sorted(f.roles())) * PAGE + rng.choice((0, 512, 1024))
    n = rng.choice((512, 4096, 10000))
    if at >= size:
        return None
    n = min(n, size - at)
    patch(f, at, content(rng.random(), n))
    f.fragile = None
    return f"{n} random bytes at {at}"


KINDS = [flip_in_head, flip_in_map, flip_in_data, swap_pages, page_of_another_file, cut, zero_page, zero_range, grow]
KINDS += [old_page, old_mixture, old_file, old_prefix, head_of_another_file, random_blocks, cut_to_nothing]
WEIGHTS = [12, 10, 10, 8, 8, 12, 8, 5, 8, 12, 8, 2, 4, 5, 4, 1]


def is_whole(f, other):
    """A small file that has become that one completely."""
    n = backing_size(f)
    return n == os.stat(other).st_size <= 2 * PAGE and fetch(f.backing, 0, n) == fetch(other, 0, n)


def damage(f, rng, others):
    f.fragile, f.accept_empty, f.accept_old = set(), False, False
    for _ in range(20):
        story = rng.choices(KINDS, WEIGHTS)[0](f, rng, others)
        if story:
            f.story = story
            f.accept_old = f.accept_old or is_whole(f, f.old_copy)
            return
    f.story = "nothing"


# Reading


def read_page(fd, page, size):
    """The page as the mount gives it; None for EIO."""
    try:
        return os.pread(fd, PAGE, page * PAGE)
    except OSError as e:
        equal(e.errno, errno.EIO, "errno of the read")
        return None


def interesting_pages(truth, size, rng):
    if max(truth.size, size) == 0:
        return []
    pages = set(truth.pages)
    last = (max(truth.size, size) - 1) // PAGE
    pages |= {0, 1, last, *(p + 1 for p in list(pages)[:50])}
    pages |= {rng.randrange(last + 1) for _ in range(3)}
    return sorted(p for p in pages if 0 <= p <= last)


def verify(f, path, rng):
    """Raises Failure unless the outcome is one that is allowed. Returns True if anything could not be read."""
    what = f"{f.name} ({f.truth.size} bytes, {f.story})"
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError as e:
        equal(e.errno in (errno.EIO, errno.ENOENT), True, f"{what}: open: errno {e.errno}")
        equal(f.fragile, None, f"{what}: cannot be opened, although the head is good")
        return True
    try:
        return verify_open(f, fd, rng, what)
    finally:
        os.close(fd)


def verify_open(f, fd, rng, what):
    size = os.fstat(fd).st_size
    versions = [f.truth] + ([f.old] if f.accept_old else [])
    failed = False
    last = None
    for truth in versions:
        wrong = None
        failed = False
        for p in interesting_pages(truth, size, rng):
            if p * PAGE >= size:
                if not failed and not (size == 0 and f.accept_empty):
                    wrong = f"page {p} lies behind the end, size {size}, and nothing failed before"
                    break
                continue
            got = read_page(fd, p, size)
            if got is None:
                failed = True
                if f.fragile is not None and p in truth.pages and p not in f.fragile:
                    raise Failure(f"{what}: page {p} cannot be read, although nothing that it hangs on was damaged")
            elif got != truth.read(p):
                wrong = f"page {p} is wrong"
                break
        if wrong is None and size > truth.size and not failed:
            wrong = f"size {size} and nothing failed"
        if wrong is None:
            verify_holes(fd, size, truth, what)
            return failed
        last = last or wrong
    raise Failure(f"{what}: {last}")


def verify_holes(fd, size, truth, what):
    """Data must not be called a hole, or cp would make zeros of it."""
    at = 0
    for p in sorted(truth.pages):
        if p * PAGE < at or p * PAGE >= size or not truth.pages[p].strip(b"\0"):
            continue
        try:
            data = os.lseek(fd, p * PAGE, os.SEEK_DATA)
        except OSError as e:
            equal(e.errno, errno.EIO, f"{what}: SEEK_DATA at page {p}, which has data: errno")
            continue
        equal(data, p * PAGE, f"{what}: SEEK_DATA at page {p}, which has data")


def write_to_damaged(f, path, rng):
    """A write of a few bytes or a truncation never makes wrong content good. Afterwards all is as `verify` allows, with the change."""
    if not f.truth.pages or f.accept_old or f.accept_empty:
        return
    page = rng.choice(sorted(f.truth.pages))
    try:
        fd = os.open(path, os.O_RDWR)
    except OSError:
        return
    changed = f.truth.copy()
    try:
        at = rng.randrange(max(1, len(f.truth.pages[page]) - 3))
        os.pwrite(fd, b"new", page * PAGE + at)
        old = changed.pages[page]
        changed.size = max(changed.size, page * PAGE + at + 3)
        changed.pages[page] = old[:at] + b"new" + old[at + 3 :]
    except OSError as e:
        equal(e.errno, errno.EIO, f"{f.name} ({f.story}): write")
    finally:
        os.close(fd)
    before, f.truth = f.truth, changed
    try:
        f.story += f", then wrote to page {page}"
        verify(f, path, rng)
    finally:
        f.truth = before


def damage_in_rounds(cipher, count, rounds):
    need_mount()
    rng = random.Random(f"{cipher} {os.environ.get('TAMPER_SEED', '')}")
    done = 0
    with Volume(init=["--cipher", cipher]) as volume:
        volume.mount()
        files = make_files(volume, count, rng)
        tag(volume, files)
        volume.umount()
        find_backing(volume, files)
        copies = f"{volume.base}/copies"
        os.mkdir(copies)
        for f in files:
            f.old_copy, f.good = f"{copies}/{f.name}.old", f"{copies}/{f.name}"
            copy_sparse(f.backing, f.old_copy)
        volume.mount()
        overwrite_some(volume, files, rng)
        for f in files:
            os.utime(f"{volume.mnt}/{f.name}", ns=(f.mtime, f.mtime))
        volume.umount()
        find_backing(volume, files)
        for f in files:
            equal(backing_size(f), physical_size(f.truth.size) if f.truth.size else backing_size(f), f"size of {f.name}")
            copy_sparse(f.backing, f.good)
        for turn in range(rounds):
            for f in files:
                damage(f, rng, files)
            volume.mount()
            failed, problems = 0, []
            for f in files:
                try:
                    failed += verify(f, f"{volume.mnt}/{f.name}", rng)
                    if turn % 2:
                        write_to_damaged(f, f"{volume.mnt}/{f.name}", rng)
                except Failure as e:
                    problems.append(str(e))
            volume.umount()
            if problems:
                raise Failure(f"{len(problems)} of {len(files)}:\n  " + "\n  ".join(problems[:15]))
            done += len(files)
            equal(failed > len(files) // 3, True, "that most damage was noticed")
            for f in files:
                copy_sparse(f.good, f.backing)
        equal(len(volume.log_text()) > 0, True, "that the log says something")
        for f in files:
            f.fragile, f.accept_old, f.accept_empty, f.story = set(), False, False, "restored"
        volume.mount()
        equal(sum(verify(f, f"{volume.mnt}/{f.name}", rng) for f in files), 0)
        volume.umount()
    print(f"  {cipher}: {done} damaged files")


@harness.limit(900 if harness.LONG else 300)
def test_files_ocb():
    damage_in_rounds("aes-256-ocb", 240, scaled(60 if harness.LONG else 6))


@harness.limit(900 if harness.LONG else 300)
def test_files_gcm():
    damage_in_rounds("aes-256-gcm", 180, scaled(40 if harness.LONG else 4))


@harness.limit(900 if harness.LONG else 300)
def test_files_chacha():
    damage_in_rounds("chacha20-poly1305", 180, scaled(40 if harness.LONG else 4))


# Names, directories, symbolic links, attributes


class Object:
    def __init__(self, name, value=None):
        self.name = name
        self.value = value
        self.backing = None


def name_of(i):
    return f"{i}-" + "n" * (0, 10, 100, 155, 156, 157, 180, 250)[i % 8]


class Tree:
    """Directories with files in them whose content is their path; symbolic links; attributes."""

    def __init__(self, volume):
        self.volume = volume
        self.dirs, self.files, self.links = [], [], []
        m = volume.mnt
        for i in range(12):
            name = f"d{i}" if i < 6 else f"d{i - 6}/{'s' * (1 + 40 * (i - 6))}"
            self.dirs.append(Object(name))
            os.mkdir(f"{m}/{name}")
        for d in self.dirs:
            for i in range(16):
                f = Object(f"{d.name}/{name_of(i)}", f"content of {d.name} {i}".encode())
                self.files.append(f)
                harness.write_file(f"{m}/{f.name}", f.value)
            for i in range(8):
                n = (1, 20, 300, 520, 600, 1200, 3000, 4095)[i]
                link = Object(f"{d.name}/link{i}", "".join(chr(97 + (j * i + len(d.name)) % 26) for j in range(n)))
                self.links.append(link)
                os.symlink(link.value, f"{m}/{link.name}")
        for f in self.files[::3]:
            for i in range(3):
                os.setxattr(f"{m}/{f.name}", attribute(i), f"{f.name} {i}".encode())
        self.attributed = self.files[::3]
        self.objects = self.files + self.links + self.dirs
        tag(volume, self.files + self.links)
        for i, d in enumerate(reversed(self.dirs)):  # the deepest first
            d.mtime = (2 * 10**9 - i) * 10**9
            os.utime(f"{m}/{d.name}", ns=(d.mtime, d.mtime))
        volume.umount()
        find_backing(volume, self.objects)
        self.saved = f"{volume.base}/saved"
        harness.run("cp", "-a", volume.dir, self.saved)

    def restore(self):
        for part in ("data", ".coffer/links"):
            harness._remove_tree(f"{self.volume.dir}/{part}")
            if os.path.exists(f"{self.saved}/{part}"):
                harness.run("cp", "-a", f"{self.saved}/{part}", f"{self.volume.dir}/{part}")

    def verify(self, lost, what):
        """All is true; only of what is named in `lost` (prefixes of names) anything may be missing."""
        m = self.volume.mnt
        known = {o.name for o in self.objects}
        problems = []

        def excused(name):
            return any(name == l or name.startswith(l + "/") for l in lost)

        for parent, dirs, names in os.walk(m):
            for name in dirs + names:
                name = os.path.relpath(os.path.join(parent, name), m)
                if name not in known:
                    problems.append(f"{name} appears")
        for o in self.files + self.links:
            try:
                got = os.readlink(f"{m}/{o.name}") if o in self.links_set else harness.read_file(f"{m}/{o.name}")
            except OSError as e:
                if not excused(o.name):
                    problems.append(f"{o.name}: {errno.errorcode[e.errno]}, and nothing was done to it")
                elif e.errno not in (errno.EIO, errno.ENOENT, errno.ENOTDIR):
                    problems.append(f"{o.name}: {errno.errorcode[e.errno]}")
                continue
            if got != o.value:
                problems.append(f"{o.name}: {got[:60]!r} instead of {o.value[:60]!r}")
        for f in self.attributed:
            for i in range(3):
                try:
                    got = os.getxattr(f"{m}/{f.name}", attribute(i))
                except OSError as e:
                    if not excused(f.name):
                        problems.append(f"attribute of {f.name}: {errno.errorcode[e.errno]}, and nothing was done to it")
                    continue
                if got != f"{f.name} {i}".encode():
                    problems.append(f"attribute {i} of {f.name}: {got!r}")
        if problems:
            raise Failure(f"{what}: {len(problems)} problems:\n  " + "\n  ".join(problems[:15]))

    @property
    def links_set(self):
        if not hasattr(self, "_links"):
            self._links = set(self.links)
        return self._links


def attribute(i):
    return "user." + ("short", "m" * 120, "l" * 240)[i]


def change_text(text, rng):
    """Another text of base64url, one step away."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    kind = rng.randrange(6)
    i = rng.randrange(len(text))
    if kind == 0 and len(text) > 2:
        return text[:i] + text[i + 1 :]
    if kind == 1:
        return text[:i] + rng.choice(alphabet) + text[i:]
    if kind == 2 and len(text) > 6:
        return text[: rng.randrange(1, len(text))]
    if kind == 3:
        return text + rng.choice("=A \n")
    return text[:i] + rng.choice(alphabet.replace(text[i], "")) + text[i + 1 :]


def moved(path, new):
    if not os.path.lexists(new) and len(os.path.basename(new)) <= 255 and not new.startswith(path + "/"):
        os.rename(path, new)


def replace_link(path, text):
    st = os.lstat(path)
    os.unlink(path)
    os.symlink(text or "x", path)
    os.utime(path, ns=(st.st_mtime_ns, st.st_mtime_ns), follow_symlinks=False)


def backing_attributes(path):
    return [n for n in os.listxattr(path, follow_symlinks=False) if n.startswith("user.")]


def rename_backing(t, rng, lost):
    f = rng.choice(t.files + t.links + t.dirs)
    parent, name = os.path.split(f.backing)
    moved(f.backing, os.path.join(parent, change_text(name, rng).replace("/", "_").replace("\n", "n")))
    lost.append(f.name)
    return f"changed the backing name of {f.name}"


def move_backing(t, rng, lost):
    f = rng.choice(t.files + t.links + t.dirs[6:])
    target = rng.choice(t.dirs)
    if f.name.startswith(target.name + "/"):
        return None
    sidecar = f.backing + ".n"
    moved(f.backing, os.path.join(target.backing, os.path.basename(f.backing)))
    if os.path.lexists(sidecar):
        moved(sidecar, os.path.join(target.backing, os.path.basename(sidecar)))
    lost.append(f.name)
    return f"moved {f.name} to {target.name}"


def remove_sidecar(t, rng, lost):
    f = rng.choice([f for f in t.files if os.path.lexists(f.backing + ".n")])
    os.unlink(f.backing + ".n")
    lost.append(f.name)
    return f"removed the sidecar of {f.name}"


def edit_sidecar(t, rng, lost):
    f, other = rng.sample([f for f in t.files if os.path.lexists(f.backing + ".n")], 2)
    text = os.readlink(f.backing + ".n")
    replace_link(f.backing + ".n", rng.choice((change_text(text, rng), os.readlink(other.backing + ".n"))))
    lost.append(f.name)
    return f"edited the sidecar of {f.name}"


def edit_directory_id(t, rng, lost):
    d, other = rng.sample(t.dirs, 2)
    path = f"{d.backing}/.coffer-dir"
    text = os.readlink(path)
    # a second directory of the same id, and a file moved between the two, would be a whole file put in another's place
    kind = rng.randrange(3 if t.mixed else 4)
    if kind == 0:
        os.unlink(path)
    elif kind == 1:
        replace_link(path, change_text(text, rng))
    elif kind == 2 and len(text) == 55:
        raw = bytearray(base64.urlsafe_b64decode(text + "="))
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        replace_link(path, base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("="))
    else:
        theirs = f"{other.backing}/.coffer-dir"
        replace_link(path, os.readlink(theirs))
        lost.append(other.name)  # two directories of one id
    lost.append(d.name)
    return f"edited the id of {d.name} ({kind})"


def edit_symlink(t, rng, lost):
    l, other = rng.sample(t.links, 2)
    text = os.readlink(l.backing)
    if rng.random() < 0.2:
        theirs = os.readlink(other.backing)
        text = text[: len(text) // 2] + theirs[len(theirs) // 2 :]
    else:
        text = change_text(text, rng)
    if len(text) > 4095:
        return None
    replace_link(l.backing, text)
    lost.append(l.name)
    return f"edited the text of {l.name}"


def edit_link_body(t, rng, lost):
    bodies = f"{t.volume.dir}/.coffer/links"
    names = sorted(os.listdir(bodies))
    if len(names) < 2:
        return None
    one, two = (f"{bodies}/{n}" for n in rng.sample(names, 2))
    data = harness.read_file(one)
    kind = rng.randrange(4)
    if kind == 0:
        os.unlink(one)
    elif kind == 1:
        i = rng.randrange(len(data))
        harness.write_file(one, data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :])
    elif kind == 2:
        harness.write_file(one, data[: rng.randrange(len(data))])
    else:
        os.replace(two, one)
    lost += [l.name for l in t.links if len(l.value) > 300]
    return f"edited a body of a long link ({kind})"


def edit_attribute(t, rng, lost):
    f, other = rng.sample(t.attributed, 2)
    names = backing_attributes(f.backing)
    name = rng.choice(names)
    value = os.getxattr(f.backing, name)
    kind = rng.randrange(6)
    if kind == 0:
        i = rng.randrange(len(value))
        os.setxattr(f.backing, name, value[:i] + bytes([value[i] ^ 4]) + value[i + 1 :])
    elif kind == 1:
        os.setxattr(f.backing, name, value[: rng.randrange(len(value))])
    elif kind == 2:
        second = rng.choice(names)
        os.setxattr(f.backing, second, value)
    elif kind == 3:
        os.setxattr(other.backing, name, value)  # an attribute of another file, with its name
    elif kind == 4:
        os.setxattr(f.backing, "user." + change_text(name[5:], rng)[:240].strip(), value)
    else:
        theirs = rng.choice(backing_attributes(other.backing))
        os.setxattr(f.backing, name, os.getxattr(other.backing, theirs))
    lost += [f.name, other.name]
    return f"edited an attribute of {f.name} ({kind})"


def plant(t, rng, lost):
    """Foreign objects in the tree: not shown, no harm."""
    d = rng.choice(t.dirs).backing
    name = rng.choice(("plain", "~short", "A" * 44, "~" + "A" * 43, ".coffer-x", "x.n", "B" * 22, "C" * 43))
    path = f"{d}/{name}"
    if os.path.lexists(path):
        return None
    kind = rng.randrange(4)
    if kind == 0:
        harness.write_file(path, b"foreign")
    elif kind == 1:
        os.mkdir(path)
    elif kind == 2:
        os.symlink("/etc/passwd", path)
    else:
        os.mkfifo(path)
    return f"planted {name}"


def replace_by_another_kind(t, rng, lost):
    f = rng.choice(t.files)
    os.unlink(f.backing)
    kind = rng.randrange(4)
    if kind == 0:
        os.symlink("/etc/passwd", f.backing)
    elif kind == 1:
        os.mkdir(f.backing)
    elif kind == 2:
        os.mkfifo(f.backing)
    else:
        harness.write_file(f.backing, b"not sealed at all" * rng.randrange(1, 500))
    lost.append(f.name)
    return f"replaced {f.name} by something else ({kind})"


NAME_KINDS = [rename_backing, move_backing, remove_sidecar, edit_sidecar, edit_directory_id, edit_symlink]
NAME_KINDS += [edit_link_body, edit_attribute, plant]




def test_log_names_file_and_page(volume):
    need_mount()
    volume.mount()
    os.mkdir(f"{volume.mnt}/dir")
    files = [File(f"dir/{n}", Truth(300000)) for n in ("good", "bad head", "bad map", "bad page")]
    for f in files:
        for p in range(74):
            f.truth.write(p, content(f"{f.name} {p}", PAGE))
        harness.write_file(f"{volume.mnt}/{f.name}", b"".join(f.truth.pages[p] for p in range(74)))
    tag(volume, files)
    volume.umount()
    find_backing(volume, files)
    rng = random.Random("log")
    flip_at(files[1], 100, rng)
    flip_at(files[2], 61 * PAGE + 7, rng)
    flip_at(files[3], page_position(42)[0] * PAGE + 7, rng)
    volume.mount()
    log_before = len(volume.log_text())
    for f in files:
        with open(f"{volume.mnt}/{f.name}", "rb", buffering=0) as opened:
            try:
                while opened.read(PAGE):
                    pass
            except OSError as e:
                equal(e.errno, errno.EIO)
    volume.umount()
    log = volume.log_text()[log_before:]
    lines = {f.name: [l for l in log.splitlines() if f.name in l] for f in files}
    equal(lines["dir/good"], [])
    for f, where in ((files[1], ""), (files[2], "60"), (files[3], "42")):
        equal(any(where in l.split(f.name, 1)[1] for l in lines[f.name]), True, f"a line with {f.name} and {where} in {log}")


@harness.limit(900 if harness.LONG else 300)
def test_names_links_attributes(volume):
    need_mount()
    rng = random.Random(f"names {os.environ.get('TAMPER_SEED', '')}")
    volume.mount()
    tree = Tree(volume)
    done = 0
    for turn in range(max(12, scaled(150 if harness.LONG else 24))):
        stories, lost = [], []
        kinds = [NAME_KINDS[turn % len(NAME_KINDS)]] if turn < 2 * len(NAME_KINDS) else NAME_KINDS
        tree.mixed = len(kinds) > 1
        for _ in range(4 if len(kinds) == 1 else 20):
            try:
                story = rng.choice(kinds)(tree, rng, lost)
            except FileNotFoundError:
                continue  # what it wanted to damage has been moved away before
            if story:
                stories.append(story)
        volume.mount()
        try:
            tree.verify(lost, "; ".join(stories[:25]))
        finally:
            volume.umount()
        tree.restore()
        done += len(stories)
    volume.mount()
    tree.verify([], "restored")
    volume.umount()
    print(f"  {done} changes")


@harness.limit(300)
def test_replaced_by_another_kind(volume):
    """A file in whose place lies a link, a directory, a fifo: nothing outside is read, nothing hangs."""
    need_mount()
    rng = random.Random("kinds")
    volume.mount()
    tree = Tree(volume)
    for _ in range(max(4, scaled(6))):
        lost, stories = [], []
        for _ in range(20):
            try:
                stories.append(replace_by_another_kind(tree, rng, lost))
            except (FileNotFoundError, IsADirectoryError):
                pass
        volume.mount()
        for name in lost:
            path = f"{volume.mnt}/{name}"
            try:
                st = os.lstat(path)
                if stat.S_ISREG(st.st_mode):
                    data = harness.read_file(path)
                    raise Failure(f"{name}: read {data[:40]!r}")
                if stat.S_ISLNK(st.st_mode):
                    raise Failure(f"{name}: a planted link leads to {os.readlink(path)}")
            except OSError as e:
                equal(e.errno in (errno.EIO, errno.ENOENT, errno.ESTALE), True, f"{name}: errno {e.errno}")
        volume.umount()
        tree.restore()


@harness.limit(300)
def test_damage_while_mounted(volume):
    """The store changes under the mount: what was verified before may be served; nothing wrong is."""
    need_mount()
    rng = random.Random("live")
    volume.mount()
    files = make_files(volume, 60, rng)
    tag(volume, files)
    volume.umount()
    find_backing(volume, files)
    for f in files:
        f.good = f.old_copy = f"{volume.base}/{f.name}.good"
        copy_sparse(f.backing, f.good)
        f.old = f.truth
    volume.mount()
    for f in files:
        os.stat(f"{volume.mnt}/{f.name}")
        if rng.random() < 0.5:
            verify(f, f"{volume.mnt}/{f.name}", rng)
    kinds = [flip_in_data, flip_in_map, flip_in_head, zero_page, swap_pages, page_of_another_file]
    for f in files:
        rng.choice(kinds)(f, rng, files)
        f.fragile, f.story = None, "damaged while mounted"
    for f in files:
        fd = os.open(f"{volume.mnt}/{f.name}", os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
        verify(f, f"{volume.mnt}/{f.name}", rng)
    volume.umount(check=False)


if __name__ == "__main__":
    sys.exit(harness.main())
