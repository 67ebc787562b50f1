"""A tree that reaches every part of the volume format, made twice: on a plain directory, and on a mount."""

from __future__ import annotations

import errno
import os
import random
import stat
from typing import Callable

import coffer_reader as reader

PAGE = 4096
# What the plain filesystem may be unable to hold; then the object is left out in both.
CANNOT = (errno.ENAMETOOLONG, errno.EFBIG, errno.ENOTSUP, errno.EPERM, errno.ENOSPC, errno.E2BIG, errno.ERANGE)


def noise(seed: object, size: int) -> bytes:
    return random.Random(str(seed)).randbytes(size)


def some_name(seed: object, size: int) -> bytes:
    """Any bytes that a name can have; most are not UTF-8."""
    generator = random.Random(str(seed))
    name = bytes(generator.choice([b for b in range(1, 256) if b != 0x2F]) for _ in range(size))
    return name if name not in (b".", b"..") else b"\xff" * size


class Builder:
    """Makes each object in the plain directory first, then in the mount."""

    def __init__(self, plain: bytes, mount: bytes, scale: int = 1):
        self.roots = (plain, mount)
        self.scale = scale
        self.skipped: list[str] = []

    def both(self, path: bytes, function: Callable[[bytes], None]) -> bool:
        try:
            function(self.roots[0] + b"/" + path)
        except OSError as error:
            if error.errno not in CANNOT:
                raise
            self.skipped.append(f"{reader.escape(path)}: {error.strerror}")
            try:
                os.unlink(self.roots[0] + b"/" + path)
            except OSError:
                pass
            return False
        function(self.roots[1] + b"/" + path)
        return True

    def dir(self, path: bytes, mode: int = 0o755) -> None:
        self.both(path, lambda p: (os.mkdir(p), os.chmod(p, mode)) and None)

    def file(self, path: bytes, *pieces: tuple[int, bytes], size: int | None = None, mode: int = 0o644) -> None:
        def make(p: bytes) -> None:
            fd = os.open(p, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                for offset, data in pieces:
                    while data:
                        n = os.pwrite(fd, data, offset)
                        data, offset = data[n:], offset + n
                if size is not None:
                    os.ftruncate(fd, size)
                os.fchmod(fd, mode)
            finally:
                os.close(fd)

        self.both(path, make)

    def change(self, path: bytes, function: Callable[[int], None]) -> None:
        def make(p: bytes) -> None:
            fd = os.open(p, os.O_RDWR)
            try:
                function(fd)
            finally:
                os.close(fd)

        self.both(path, make)

    def link(self, path: bytes, target: bytes) -> None:
        self.both(path, lambda p: os.symlink(target, p))

    def node(self, path: bytes, kind: int, device: int = 0) -> None:
        self.both(path, lambda p: os.mknod(p, kind | 0o640, device))

    def hard(self, path: bytes, to: bytes) -> None:
        for root in self.roots:
            os.link(root + b"/" + to, root + b"/" + path, follow_symlinks=False)

    def xattr(self, path: bytes, name: bytes, value: bytes) -> None:
        def make(p: bytes) -> None:
            os.setxattr(p, name, value, follow_symlinks=False)

        try:
            make(self.roots[0] + b"/" + path)
        except OSError as error:
            if error.errno not in CANNOT:
                raise
            self.skipped.append(f"{reader.escape(path)} {reader.escape(name)}: {error.strerror}")
            return
        make(self.roots[1] + b"/" + path)

    def times(self) -> None:
        """Gives everything a time of its own, from the bottom up."""
        for root in self.roots:
            paths = [b""]
            for top, directories, files in os.walk(root):
                paths += [(top + b"/" + name)[len(root) :] for name in directories + files]
            for number, path in enumerate(sorted(paths, reverse=True)):
                t = 1_600_000_000_000_000_000 + 7_000_000_007 * number
                os.utime(root + path, ns=(t, t), follow_symlinks=False)


def build_names(b: Builder) -> None:
    b.dir(b"names")
    for size in range(1, 256, 1 if b.scale == 1 else 8):
        b.file(b"names/" + some_name(("name", size), size))
    for size in (127, 128, 143, 144, 159, 160, 161, 174, 175, 176, 177, 239, 240, 241, 254, 255):
        b.file(b"names/" + b"%03d" % size + b"n" * (size - 3))
    for name in (b"~", b".n", b"a.n", b".coffer-dir", b".coffer-x", b"...", b"\xff", b"\n", b" ", b"\\", b"-_", "ü".encode()):
        b.file(b"names/" + name, (0, name))
    b.dir(b"names/" + b"D" * 255)
    b.file(b"names/" + b"D" * 255 + b"/inside", (0, b"x"))
    b.link(b"names/" + b"L" * 255, b"D" * 255)


def build_files(b: Builder) -> None:
    b.dir(b"files")
    edges = [0, 1, 15, 16, 17, 100, 3967, 3968, 3969, 4095, 4096, 4097, 8191, 8192, 8193, 60000]
    edges += [245760 + d for d in (-4096, -1, 0, 1, 4096)]
    for size in edges:
        b.file(b"files/%d" % size, (0, noise(size, size)))
    for size in (17022975, 17022976, 17022977):
        if b.scale == 1 and size == 17022977:
            b.file(b"files/%d" % size, (0, noise(size, size)))
        else:  # the last pages only
            start = size // PAGE * PAGE - 3 * PAGE
            b.file(b"files/%d" % size, (0, b"first"), (start, noise(size, size - start)))

    # grown, cut, and written again
    b.file(b"files/grown", (0, b"small"))
    b.change(b"files/grown", lambda fd: os.pwrite(fd, noise("grown", 9000), 3000))
    b.file(b"files/cut", (0, noise("cut", 400000)))
    b.change(b"files/cut", lambda fd: (os.ftruncate(fd, 5000), os.ftruncate(fd, 300000)) and None)
    b.file(b"files/cut to inline", (0, noise("cut", 400000)), size=10)
    b.file(b"files/cut to nothing", (0, noise("cut", 5000)), size=0)
    b.file(b"files/rewritten", (0, noise("a", 600000)), (4000, noise("b", 200)), (300000, noise("c", 5000)))
    b.file(b"files/zeros written", (0, bytes(100000)))
    for mode in (0o400, 0o444, 0o640, 0o4755, 0o2711, 0o777):
        b.file(b"files/mode %o" % mode, (0, b"%o" % mode), mode=mode)


def build_sparse(b: Builder) -> None:
    b.dir(b"sparse")
    b.file(b"sparse/nothing but a hole", size=1 << 30)
    b.file(b"sparse/a hole of a terabyte", size=1 << 40)
    b.file(b"sparse/short holes", *[(i * 3 * PAGE, noise(i, PAGE)) for i in range(100)], size=301 * PAGE + 5)
    b.file(b"sparse/inline hole", size=3968)
    b.file(b"sparse/paged hole", size=3969)
    # the first page below each child of the head, the last one before, and an odd end
    pages: list[int] = []
    first = 0
    for height in reader.HEAD_CHILDREN:
        pages.append(first)
        first += reader.covered_pages(height)
    for page in (60, 4156, 462908, 4657212, 273092668):
        offset = page * PAGE
        b.file(b"sparse/%d" % offset, (offset - 100, noise(offset, 300)))
        b.file(b"sparse/%d and end" % offset, (0, b"x"), (offset - PAGE, noise(page, 2 * PAGE)), size=offset + 10 * PAGE + 77)
        b.file(b"sparse/%d exactly" % offset, (offset - 1, b"e"))
    b.file(b"sparse/everywhere", *[(p * PAGE, noise(("everywhere", p), 10)) for p in pages])


def build_links(b: Builder) -> None:
    b.dir(b"links")
    sizes = [1, 2, 3, 15, 16, 17, 100, 255, 256, 1000, 600, *range(690, 710), 1023, 1024, 2000, 3000, 4000, 4094, 4095]
    for size in sizes[:: 1 if b.scale == 1 else 3] + [4095]:
        name = b"links/%d" % size
        if not os.path.lexists(b.roots[0] + b"/" + name):
            b.link(name, some_name(("link", size), size))
    b.link(b"links/up", b"../files/1")
    b.link(b"links/root", b"/")


def build_xattrs(b: Builder) -> None:
    b.dir(b"xattrs")
    for prefix in (b"user.", b"trusted."):
        for size in (1, 2, 15, 16, 100, 150, 163, 164, 165, 166, 167, 168, 169, 170, 171, 172, 200, 247, 250):
            if len(prefix) + size <= 255:
                path = b"xattrs/" + prefix + b"%d" % size
                b.file(path)
                b.xattr(path, prefix + some_name((prefix, size), size), noise(size, 5 * size % 97))
    b.file(b"xattrs/values", (0, b"content"))
    for size in (0, 1, 2, 100, 1000):
        b.xattr(b"xattrs/values", b"user.value %d" % size, noise(size, size))
    b.file(b"xattrs/replaced", (0, noise("x", 10000)))
    b.xattr(b"xattrs/replaced", b"user.a", b"first")
    b.xattr(b"xattrs/replaced", b"user.a", b"second")
    b.xattr(b"xattrs/replaced", b"user." + b"l" * 240, b"")
    b.dir(b"xattrs/dir")
    b.xattr(b"xattrs/dir", b"user.on a directory", b"1")
    b.xattr(b"xattrs/dir", b"user." + b"long" * 60, b"1")
    b.link(b"xattrs/link", b"nowhere")
    b.xattr(b"xattrs/link", b"trusted.on a link", b"")
    b.node(b"xattrs/fifo", stat.S_IFIFO)
    b.xattr(b"xattrs/fifo", b"trusted.on a fifo", b"f")
    b.xattr(b"xattrs/fifo", b"trusted." + b"long" * 60, b"f")
    b.xattr(b".", b"user.on the root", b"r")


def build_others(b: Builder) -> None:
    b.dir(b"others")
    b.node(b"others/fifo", stat.S_IFIFO)
    b.node(b"others/socket", stat.S_IFSOCK)
    b.node(b"others/null", stat.S_IFCHR, os.makedev(1, 3))
    b.node(b"others/loop", stat.S_IFBLK, os.makedev(7, 200))
    b.dir(b"others/empty")
    b.dir(b"others/mode", 0o1777)
    b.file(b"others/one", (0, noise("hard", 10000)))
    b.hard(b"others/two", b"others/one")
    b.hard(b"names/three", b"others/one")
    b.hard(b"others/" + b"four" * 60, b"others/one")
    b.link(b"others/link", b"target")
    b.hard(b"others/link two", b"others/link")
    b.hard(b"others/fifo two", b"others/fifo")

    path = b"deep"
    b.dir(path)
    for level in range(150 if b.scale == 1 else 40):
        path += b"/%d" % level
        b.dir(path)
    b.file(path + b"/bottom", (0, b"bottom"))
    path = b"deep/long"
    b.dir(path)
    for level in range(11):
        path += b"/" + bytes([65 + level]) * 255
        b.dir(path)
    b.file(path + b"/bottom", (0, noise("bottom", 5000)))


def build(plain: bytes, mount: bytes, scale: int = 1, parts: tuple[Callable[[Builder], None], ...] = ()) -> Builder:
    b = Builder(plain, mount, scale)
    for part in parts or (build_names, build_files, build_sparse, build_links, build_xattrs, build_others):
        part(b)
    b.times()
    return b


# ---- what is there ---------------------------------------------------------------------------------------------------


def digest_of(path: bytes, size: int) -> str:
    """As the reader's, without reading holes."""
    digest = reader.Digest(size)
    fd = os.open(path, os.O_RDONLY)
    try:
        at = 0
        while at < size:
            try:
                at = os.lseek(fd, at, os.SEEK_DATA)
            except OSError:  # ENXIO: a hole up to the end
                break
            end = os.lseek(fd, at, os.SEEK_HOLE)
            at = at // PAGE * PAGE
            while at < end:
                data = os.pread(fd, PAGE, at)
                digest.add(at, data)
                at += len(data)
    finally:
        os.close(fd)
    return digest.text()


def xattrs_of(path: bytes) -> dict[str, str]:
    try:
        names = [os.fsencode(n) for n in os.listxattr(path, follow_symlinks=False)]
    except OSError:
        return {}
    return {
        reader.escape(n): os.getxattr(path, n, follow_symlinks=False).hex()
        for n in sorted(names)
        if n.startswith((b"user.", b"trusted."))
    }


def snapshot(root: bytes) -> dict[str, dict[str, object]]:
    """In the form that the reader's --json has, by path."""
    found: dict[str, dict[str, object]] = {}
    for top, directories, files in os.walk(root):
        names = [b"."] if top == root else []
        for name in names + directories + files:
            path = top + b"/" + name
            st = os.lstat(path)
            kind = reader.TYPES[stat.S_IFMT(st.st_mode)]
            target = os.readlink(path) if kind == "link" else b""
            shown = b"." if name == b"." else b"." + path[len(root) :]
            found[reader.escape(shown)] = {
                "type": kind,
                "mode": stat.S_IMODE(st.st_mode),
                "size": {"file": st.st_size, "link": len(target)}.get(kind, 0),
                "links": st.st_nlink if kind != "dir" else 1,
                "inode": st.st_ino,
                "target": reader.escape(target),
                "xattrs": xattrs_of(path),
                "digest": digest_of(path, st.st_size) if kind == "file" else "",
                "mtime": st.st_mtime_ns,
                "device": st.st_rdev if kind in ("char", "block") else 0,
                "blocks": st.st_blocks,
            }
    return found
