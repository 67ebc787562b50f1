#!/usr/bin/python3
"""What POSIX and Linux promise of a filesystem, point by point. Runs on a mount, and (COFFER=plain) on a plain directory."""

import ctypes
import errno
import fcntl
import mmap
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading

import harness
from harness import (
    COLLAPSE_RANGE,
    EXCHANGE,
    INSERT_RANGE,
    KEEP_SIZE,
    NOREPLACE,
    PUNCH_HOLE,
    ZERO_RANGE,
    Directory,
    Failure,
    Skip,
    content,
    equal,
    fails,
    fallocate,
    need_root,
    read_file,
    renameat2,
    run,
    scaled,
    write_file,
)

CREATE = os.O_CREAT | os.O_EXCL


def names_in(path):
    return sorted(os.listdir(os.fsencode(path)))


def odd_name(length, seed=0):
    """Any bytes but zero and slash."""
    raw = content(f"name {length} {seed}", 2 * length + 64)
    name = bytes(b for b in raw if b not in b"\0/")[:length]
    return b"q" * length if name in (b".", b"..") else name


# Opening


def test_exclusive_create(d):
    os.close(os.open(f"{d}/f", CREATE | os.O_WRONLY))
    fails(errno.EEXIST, os.open, f"{d}/f", CREATE | os.O_WRONLY)
    os.symlink("nowhere", f"{d}/l")
    fails(errno.EEXIST, os.open, f"{d}/l", CREATE | os.O_WRONLY)
    os.mkdir(f"{d}/s")
    fails(errno.EEXIST, os.open, f"{d}/s", CREATE | os.O_WRONLY)
    fails(errno.EISDIR, os.open, f"{d}/s", os.O_CREAT | os.O_WRONLY)


def test_open_flags(d):
    write_file(f"{d}/f", b"text")
    os.symlink("f", f"{d}/l")
    fails(errno.ELOOP, os.open, f"{d}/l", os.O_RDONLY | os.O_NOFOLLOW)
    fails(errno.ENOTDIR, os.open, f"{d}/f", os.O_RDONLY | os.O_DIRECTORY)
    fails(errno.ENOTDIR, os.stat, f"{d}/f/x")
    fails(errno.EISDIR, os.open, d, os.O_WRONLY)
    fails(errno.ENOENT, os.open, f"{d}/none", os.O_RDONLY)
    fd = os.open(f"{d}/f", os.O_RDONLY)
    fails(errno.EBADF, os.write, fd, b"x")
    os.close(fd)
    fd = os.open(f"{d}/f", os.O_WRONLY)
    fails(errno.EBADF, os.read, fd, 1)
    os.close(fd)


def test_create_through_dangling_link(d):
    os.symlink("target", f"{d}/l")
    write_file(f"{d}/l", b"through")
    equal(read_file(f"{d}/target"), b"through")


def test_truncating_open_replaces_everything(d):
    for first in (5, 100, 3968, 5000, 300000):
        write_file(f"{d}/f", content(first, first))
        write_file(f"{d}/f", b"xx")
        equal(read_file(f"{d}/f"), b"xx", f"after {first} bytes")
        equal(os.stat(f"{d}/f").st_size, 2)


def test_written_through_the_creating_descriptor(d):
    data = content("unreadable", 20000)
    for mode in (0o444, 0o400, 0o200, 0o000):
        path = f"{d}/{mode:o}"
        fd = os.open(path, CREATE | os.O_RDWR, mode)
        equal(os.write(fd, data), len(data))
        equal(os.pread(fd, len(data), 0), data)
        os.ftruncate(fd, 10000)
        os.fsync(fd)
        os.close(fd)
        equal(stat.S_IMODE(os.stat(path).st_mode), mode)
        os.chmod(path, 0o600)
        equal(read_file(path), data[:10000])


def test_descriptor_outlives_its_mode(d):
    data = content("fchmod", 9000)
    fd = os.open(f"{d}/f", CREATE | os.O_RDWR, 0o600)
    os.write(fd, data)
    os.fchmod(fd, 0)
    equal(os.pread(fd, 9000, 0), data)
    os.pwrite(fd, b"more", 8998)
    equal(os.fstat(fd).st_size, 9002)
    os.close(fd)
    os.chmod(f"{d}/f", 0o600)
    equal(read_file(f"{d}/f"), data[:8998] + b"more")


def test_append(d):
    a = os.open(f"{d}/f", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    b = os.open(f"{d}/f", os.O_WRONLY | os.O_APPEND)
    wanted = b""
    for i in range(300):
        piece = content(i, 1 + i % 97)
        os.write(a if i % 2 else b, piece)
        wanted += piece
    os.close(a)
    os.close(b)
    equal(read_file(f"{d}/f"), wanted)


def test_unnamed_files(d):
    try:
        fd = os.open(d, os.O_TMPFILE | os.O_RDWR, 0o640)
    except OSError as e:
        if e.errno in (errno.EOPNOTSUPP, errno.EISDIR):
            raise Skip("O_TMPFILE is not offered here (libfuse below 3.17)") from e
        raise
    os.write(fd, b"without a name")
    equal(os.listdir(d), [])
    here = os.open("/", os.O_RDONLY)
    os.link(f"/proc/self/fd/{fd}", f"{d}/named", src_dir_fd=here, follow_symlinks=True)
    os.close(here)
    os.close(fd)
    equal(read_file(f"{d}/named"), b"without a name")
    equal(stat.S_IMODE(os.stat(f"{d}/named").st_mode), 0o640)


# Reading and writing

EDGES = [0, 1, 127, 128, 3967, 3968, 3969, 4095, 4096, 4097, 8064, 8065, 8191, 8192, 8193]
EDGES += [245759, 245760, 245761, 249856, 770047, 770048, 770049]


def test_sizes_around_the_edges(d):
    for size in EDGES:
        data = content(size, size)
        write_file(f"{d}/{size}", data)
        equal(os.stat(f"{d}/{size}").st_size, size)
        equal(read_file(f"{d}/{size}"), data, f"size {size}")
    for a in EDGES:
        for b in EDGES[::2]:
            os.truncate(f"{d}/{a}", b)
            data = content(a, a)[:b]
            equal(read_file(f"{d}/{a}"), data + bytes(b - len(data)), f"{a} bytes cut to {b}")
            write_file(f"{d}/{a}", content(a, a))


def test_write_at_edges_byte_by_byte(d):
    fd = os.open(f"{d}/f", CREATE | os.O_RDWR)
    model = bytearray()
    for i in range(3900, 4200):
        os.pwrite(fd, bytes([i & 255]), i)
        model.extend(bytes(i + 1 - len(model)))
        model[i] = i & 255
    equal(os.pread(fd, 10000, 0), bytes(model))
    for size in range(4150, 3900, -7):
        os.ftruncate(fd, size)
        del model[size:]
        equal(os.pread(fd, 10000, 0), bytes(model), f"cut to {size}")
    os.close(fd)


def test_cut_off_bytes_do_not_come_back(d):
    for size, cut in ((3000, 100), (3968, 1), (10000, 5000), (10000, 3000), (300000, 250000), (300000, 245760), (300000, 1)):
        write_file(f"{d}/f", b"\xee" * size)
        os.truncate(f"{d}/f", cut)
        os.truncate(f"{d}/f", size)
        equal(read_file(f"{d}/f"), b"\xee" * cut + bytes(size - cut), f"{size} to {cut} and back")
        os.unlink(f"{d}/f")


def test_vectors(d):
    fd = os.open(f"{d}/f", CREATE | os.O_RDWR)
    pieces = [content(i, i * 517) for i in range(30)]
    total = sum(map(len, pieces))
    equal(os.pwritev(fd, pieces, 4000), total)
    buffers = [bytearray(len(p)) for p in pieces]
    equal(os.preadv(fd, buffers, 4000), total)
    equal([bytes(b) for b in buffers], pieces)
    equal(os.pread(fd, 4000, 0), bytes(4000))
    os.close(fd)


def test_end_of_file(d):
    write_file(f"{d}/f", b"12345")
    fd = os.open(f"{d}/f", os.O_RDONLY)
    equal(os.pread(fd, 10, 3), b"45")
    equal(os.pread(fd, 10, 5), b"")
    equal(os.pread(fd, 10, 1 << 50), b"")
    os.close(fd)
    fd = os.open(d, os.O_RDONLY)
    fails(errno.EISDIR, os.read, fd, 10)
    os.close(fd)


def test_seek_data_and_hole(d):
    fd = os.open(f"{d}/f", CREATE | os.O_RDWR)
    os.ftruncate(fd, 100 << 20)
    os.pwrite(fd, b"x" * 4096, 40 << 20)
    if "writeback" in harness.EVERY_MOUNT:
        os.fsync(fd)  # the kernel asks without writing back first
    data = os.lseek(fd, 0, os.SEEK_DATA)
    assert data <= 40 << 20, data
    if filesystem(d) != "vfat":
        equal(data, 40 << 20, "SEEK_DATA")
        equal(os.lseek(fd, 0, os.SEEK_HOLE), 0)
        hole = os.lseek(fd, data, os.SEEK_HOLE)
        assert (40 << 20) + 4096 <= hole <= (40 << 20) + (1 << 16), hole
        fails(errno.ENXIO, os.lseek, fd, hole, os.SEEK_DATA)
    fails(errno.ENXIO, os.lseek, fd, 100 << 20, os.SEEK_DATA)
    fails(errno.ENXIO, os.lseek, fd, 100 << 20, os.SEEK_HOLE)
    os.close(fd)


def filesystem(d):
    return harness.filesystem_of(d)


def test_sparse_takes_no_space(d):
    fd = os.open(f"{d}/f", CREATE | os.O_RDWR)
    os.ftruncate(fd, 1 << 40)
    os.pwrite(fd, b"end", (1 << 40) - 3)
    os.fsync(fd)
    st = os.fstat(fd)
    equal(st.st_size, 1 << 40)
    assert st.st_blocks * 512 < 1 << 20, st.st_blocks
    equal(os.pread(fd, 10, 1 << 39), bytes(10))
    equal(os.pread(fd, 10, (1 << 40) - 5), b"\0\0end")
    os.close(fd)


def largest(shared):
    """The largest size on ext4: its own limit, or what the pages of the format leave of it."""
    below = (1 << 44) - 4096
    if harness.PLAIN:
        return below
    low, high = 0, below
    while low < high:
        middle = (low + high + 1) // 2
        if harness.physical_size(middle) <= below:
            low = middle
        else:
            high = middle - 1
    return low


def test_largest_file(d, shared):
    if "writeback" in harness.EVERY_MOUNT:
        raise Skip("the kernel takes a page behind the largest size into its cache, and says so at the sync")
    store = shared.mnt if harness.PLAIN else shared.dir
    if "ext" not in filesystem(store):
        raise Skip("the store is not ext4")
    most = largest(shared)
    fd = os.open(f"{d}/f", CREATE | os.O_RDWR)
    os.pwrite(fd, b"last", most - 4)
    equal(os.fstat(fd).st_size, most)
    equal(os.pread(fd, 10, most - 4), b"last")
    fails(errno.EFBIG, os.pwrite, fd, b"x", most + 4096)
    fails(errno.EFBIG, os.ftruncate, fd, most + 4096)
    fails(errno.EFBIG, os.pwrite, fd, b"x", (1 << 62))
    fails(errno.EFBIG, os.ftruncate, fd, (1 << 62))
    equal(os.fstat(fd).st_size, most)
    for offset in (17022976, 1896071168, 19075940352, 1118587568128):
        for at in (offset - 3, offset, offset + 4096):
            os.pwrite(fd, b"abcdef", at)
    os.fsync(fd)
    for offset in (17022976, 1896071168, 19075940352, 1118587568128):
        equal(os.pread(fd, 10, offset - 4), b"\0abcabcdef")
    os.ftruncate(fd, 17022980)
    equal(os.pread(fd, 10, 17022976), b"abcd")
    os.close(fd)


def test_fallocate(d):
    data = content("fallocate", 50000)
    write_file(f"{d}/f", data)
    fd = os.open(f"{d}/f", os.O_RDWR)
    fallocate(fd, KEEP_SIZE, 40000, 100000)
    equal(os.fstat(fd).st_size, 50000)
    os.posix_fallocate(fd, 40000, 60000)
    equal(os.fstat(fd).st_size, 100000)
    equal(os.pread(fd, 100000, 0), data + bytes(50000))
    fails(errno.EOPNOTSUPP, fallocate, fd, PUNCH_HOLE, 0, 1)
    for mode in (COLLAPSE_RANGE, INSERT_RANGE):
        if not harness.PLAIN:
            fails(errno.EOPNOTSUPP, fallocate, fd, mode, 4096, 4096)
    fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 5000, 20001)
    model = bytearray(data + bytes(50000))
    model[5000:25001] = bytes(20001)
    equal(os.pread(fd, 100000, 0), bytes(model))
    try:
        fallocate(fd, ZERO_RANGE, 30000, 80000)
    except OSError as e:
        equal(e.errno, errno.EOPNOTSUPP)
    else:
        model[30000:] = bytes(80000)
        equal(os.pread(fd, 200000, 0), bytes(model))
        fallocate(fd, ZERO_RANGE | KEEP_SIZE, 109000, 10000)
        equal(os.fstat(fd).st_size, 110000)
    fails(errno.EINVAL, fallocate, fd, 0, 0, 0)
    fails(errno.EINVAL, fallocate, fd, 0, -1, 10)
    os.close(fd)


def test_punch_whole_file_and_write_again(d):
    write_file(f"{d}/f", content(1, 1 << 20))
    fd = os.open(f"{d}/f", os.O_RDWR)
    fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 0, 1 << 20)
    equal(os.pread(fd, 1 << 20, 0), bytes(1 << 20))
    os.pwrite(fd, b"again", 600000)
    equal(os.pread(fd, 7, 599999), b"\0again\0")
    os.close(fd)


def test_copy_file_range(d):
    data = content("copy", 700000)
    write_file(f"{d}/a", data)
    a, b = os.open(f"{d}/a", os.O_RDWR), os.open(f"{d}/b", CREATE | os.O_RDWR)
    done = 0
    while done < 600000:
        n = os.copy_file_range(a, b, 600000 - done, 1234 + done, 777 + done)
        assert n > 0, n
        done += n
    equal(os.pread(b, 700000, 0), bytes(777) + data[1234 : 1234 + 600000])
    equal(os.copy_file_range(a, b, 100, 700000, 0), 0)
    fails(errno.EINVAL, os.copy_file_range, a, a, 1000, 0, 500)
    equal(os.copy_file_range(a, a, 1000, 0, 500000), 1000)
    equal(os.pread(a, 1000, 500000), data[:1000])
    os.close(a)
    os.close(b)


def test_sendfile_and_cp(d):
    write_file(f"{d}/a", content("cp", 300001))
    run("cp", "--sparse=always", f"{d}/a", f"{d}/b")
    run("cp", "--reflink=auto", "-p", f"{d}/a", f"{d}/c")
    run("cmp", f"{d}/a", f"{d}/b")
    run("cmp", f"{d}/a", f"{d}/c")
    a, b = os.open(f"{d}/a", os.O_RDONLY), os.open(f"{d}/s", CREATE | os.O_WRONLY)
    while os.sendfile(b, a, None, 1 << 20):
        pass
    os.close(a)
    os.close(b)
    run("cmp", f"{d}/a", f"{d}/s")


def test_direct_io(d):
    path = f"{d}/f"
    try:
        fd = os.open(path, CREATE | os.O_RDWR | os.O_DIRECT)
    except OSError as e:
        raise Skip("no O_DIRECT here") from e
    page = mmap.mmap(-1, 16384)
    data = content("direct", 16384)
    page[:] = data
    equal(os.pwritev(fd, [page], 0), 16384)
    other = os.open(path, os.O_RDWR)
    equal(os.pread(other, 16384, 0), data)
    os.pwrite(other, b"buffered", 5000)
    view = mmap.mmap(other, 16384)
    view[9000:9006] = b"mapped"
    view.flush()
    back = mmap.mmap(-1, 16384)
    equal(os.preadv(fd, [back], 0), 16384)
    wanted = bytearray(data)
    wanted[5000:5008] = b"buffered"
    wanted[9000:9006] = b"mapped"
    equal(bytes(back[:]), bytes(wanted))
    os.ftruncate(other, 10000)
    equal(os.preadv(fd, [memoryview(back)[:8192]], 8192), 10000 - 8192)
    equal(bytes(back[: 10000 - 8192]), bytes(wanted[8192:10000]))
    view.close()
    os.close(other)
    os.close(fd)


def test_shared_mapping(d):
    data = content("mapping", 50000)
    write_file(f"{d}/f", data)
    fd = os.open(f"{d}/f", os.O_RDWR)
    view = mmap.mmap(fd, 50000)
    equal(view[:], data)
    view[100:105] = b"hello"
    equal(os.pread(fd, 5, 100), b"hello", "read sees the mapping")
    os.pwrite(fd, b"world", 200)
    equal(view[200:205], b"world", "the mapping sees a write")
    os.close(fd)
    view[49000:49003] = b"end"
    view.flush()
    view.close()
    wanted = bytearray(data)
    wanted[100:105], wanted[200:205], wanted[49000:49003] = b"hello", b"world", b"end"
    equal(read_file(f"{d}/f"), bytes(wanted))


def test_private_mapping(d):
    write_file(f"{d}/f", b"a" * 10000)
    with open(f"{d}/f", "rb") as f:
        view = mmap.mmap(f.fileno(), 10000, access=mmap.ACCESS_COPY)
        view[0:5] = b"mine!"
        equal(view[:6], b"mine!a")
        view.close()
    equal(read_file(f"{d}/f"), b"a" * 10000)


def test_mapping_of_hole_and_tail(d):
    fd = os.open(f"{d}/f", CREATE | os.O_RDWR)
    os.ftruncate(fd, 1 << 20)
    view = mmap.mmap(fd, 1 << 20)
    view[500000:500003] = b"abc"
    view.flush()
    equal(os.pread(fd, 5, 499999), b"\0abc\0")
    view.close()
    os.close(fd)
    write_file(f"{d}/g", b"12345")
    with open(f"{d}/g", "rb") as f:
        view = mmap.mmap(f.fileno(), 5, access=mmap.ACCESS_READ)
        equal(view[:], b"12345")
        view.close()


def test_mapping_behind_the_end_faults(d):
    write_file(f"{d}/f", b"x" * 20000)
    pid = os.fork()
    if pid == 0:
        with open(f"{d}/f", "r+b") as f:
            view = mmap.mmap(f.fileno(), 20000)
            os.truncate(f"{d}/f", 100)
            print(view[15000])
        os._exit(0)
    equal(os.WTERMSIG(os.waitpid(pid, 0)[1]), signal.SIGBUS)


# Names and directories


def test_names_of_every_length(d):
    wanted = {}
    for n in range(1, 256):
        name = odd_name(n)
        write_file(os.fsencode(d) + b"/" + name, b"%d" % n)
        wanted[name] = n
    equal(names_in(d), sorted(wanted))
    for name, n in wanted.items():
        equal(read_file(os.fsencode(d) + b"/" + name), b"%d" % n)
    fails(errno.ENAMETOOLONG, os.mkdir, f"{d}/{'x' * 256}")
    fails(errno.ENAMETOOLONG, os.stat, f"{d}/{'x' * 256}")
    for name in list(wanted)[::2]:
        os.unlink(os.fsencode(d) + b"/" + name)
        del wanted[name]
    equal(names_in(d), sorted(wanted))


def test_names_of_every_byte(d):
    wanted = []
    for b in range(1, 256):
        if b not in b"/.":
            wanted.append(bytes([b]))
            os.mkdir(os.fsencode(d) + b"/" + wanted[-1])
    wanted += [b"...", b".hidden", b"..x", b" ", b"a b", b"-rf"]
    for name in wanted[253:]:
        if not os.path.exists(os.fsencode(d) + b"/" + name):
            os.mkdir(os.fsencode(d) + b"/" + name)
    equal(names_in(d), sorted(set(wanted)))


def test_names_like_ours(d):
    names = [".coffer-dir", ".coffer-new-1", ".coffer", "file.n", ".n", "~", "~" + "A" * 43, "~" + "A" * 43 + ".n"]
    for name in names:
        write_file(f"{d}/{name}", name.encode())
    equal(sorted(os.listdir(d)), sorted(names))
    for name in names:
        equal(read_file(f"{d}/{name}"), name.encode())
        os.rename(f"{d}/{name}", f"{d}/{name}-2.n")
    equal(sorted(os.listdir(d)), sorted(n + "-2.n" for n in names))
    for name in names:
        os.unlink(f"{d}/{name}-2.n")
    os.rmdir(d)


def test_mkdir_and_rmdir(d):
    os.mkdir(f"{d}/a")
    fails(errno.EEXIST, os.mkdir, f"{d}/a")
    os.mkdir(f"{d}/a/b")
    equal(os.stat(f"{d}/a").st_nlink, 3 if filesystem(d) != "btrfs" else os.stat(f"{d}/a").st_nlink)
    fails(errno.ENOTEMPTY, os.rmdir, f"{d}/a")
    fails(errno.EINVAL, os.rmdir, f"{d}/a/.")
    fails(errno.ENOTDIR, os.rmdir, write_and_name(f"{d}/f"))
    fails(errno.EISDIR, os.unlink, f"{d}/a")
    os.rmdir(f"{d}/a/b")
    os.rmdir(f"{d}/a")
    fails(errno.ENOENT, os.rmdir, f"{d}/a")


def write_and_name(path, data=b""):
    write_file(path, data)
    return path


def test_mkdir_of_any_mode(d):
    for mode in (0, 0o100, 0o222, 0o444, 0o555, 0o700, 0o1777, 0o2755):
        os.mkdir(f"{d}/{mode:o}")
        os.rmdir(f"{d}/{mode:o}")
        os.umask(0)
        try:
            os.mkdir(f"{d}/{mode:o}", mode)
        finally:
            os.umask(0o022)
        equal(stat.S_IMODE(os.stat(f"{d}/{mode:o}").st_mode) & ~0o2000, mode & ~0o2000)
        os.rmdir(f"{d}/{mode:o}")


def test_removed_working_directory(d):
    os.mkdir(f"{d}/gone")
    fd = os.open(f"{d}/gone", os.O_RDONLY)
    os.rmdir(f"{d}/gone")
    equal(os.fstat(fd).st_nlink, 0)
    fails(errno.ENOENT, os.open, "x", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
    equal(os.listdir(fd) if harness.PLAIN else [], [])
    os.close(fd)


@harness.limit(300)
def test_many_entries(d):
    n = scaled(100000 if harness.LONG else 20000)
    for i in range(n):
        os.mknod(f"{d}/entry-{i}", 0o600 | stat.S_IFREG)
    equal(len(set(os.listdir(d))), n)
    with os.scandir(d) as entries:
        equal(sum(e.is_file() for e in entries), n)
    equal(os.stat(f"{d}/entry-{n // 2}").st_size, 0)
    seen = 0
    listing = Directory(d)
    while True:
        name = listing.read()
        if name is None:
            break
        os.unlink(os.path.join(os.fsencode(d), name))
        seen += 1
    listing.close()
    equal(seen, n, "entries seen while removing each")
    os.rmdir(d)


def test_seekdir(d):
    for i in range(3000):
        os.mknod(f"{d}/{i:04}-{'x' * (i % 200)}")
    listing = Directory(d)
    first = [listing.read() for _ in range(1000)]
    places, second = [], []
    for _ in range(2000):
        places.append(listing.tell())
        second.append(listing.read())
    equal(listing.read(), None)
    equal(len(set(first + second)), 3000)
    for i in (0, 1, 999, 1500, 1999, 3):
        listing.seek(places[i])
        equal(listing.read(), second[i], f"after seekdir to {i}")
    listing.rewind()
    equal(sorted(listing.rest()), sorted(first + second))
    listing.close()


def test_listing_while_removing(d):
    """What is neither removed nor made meanwhile appears exactly once."""
    for i in range(2000):
        os.mknod(f"{d}/{'keep' if i % 2 else 'drop'}-{i}")
    listing = Directory(d)
    seen = [listing.read() for _ in range(10)]
    for i in range(0, 2000, 2):
        os.unlink(f"{d}/drop-{i}")
    for i in range(100):
        os.mknod(f"{d}/new-{i}")
    seen += listing.rest()
    kept = [n for n in seen if n.startswith(b"keep")]
    equal(len(kept), 1000)
    equal(len(set(kept)), 1000)
    listing.rewind()
    now = listing.rest()
    equal(len([n for n in now if n.startswith(b"new")]), 100, "after rewinddir")
    equal(len([n for n in now if n.startswith(b"drop")]), 0, "after rewinddir")
    listing.close()


def test_deep_directories(d):
    """Far deeper than a path can be long; names below are longer still."""
    depth = 60
    name = "d" * 250
    fd = os.open(d, os.O_RDONLY)
    for i in range(depth):
        os.mkdir(name, dir_fd=fd)
        child = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = child
        f = os.open("file", CREATE | os.O_RDWR, dir_fd=fd)
        os.write(f, b"%d" % i)
        os.close(f)
    os.rename("file", "renamed", src_dir_fd=fd, dst_dir_fd=fd)
    f = os.open("renamed", os.O_RDONLY, dir_fd=fd)
    equal(os.read(f, 10), b"%d" % (depth - 1))
    os.close(f)
    os.close(fd)
    run("rm", "-rf", f"{d}/{name}")
    equal(os.listdir(d), [])


# Renaming, links


def test_rename(d):
    write_file(f"{d}/a", b"A")
    write_file(f"{d}/b", b"B")
    fd = os.open(f"{d}/b", os.O_RDWR)
    os.rename(f"{d}/a", f"{d}/b")
    equal(read_file(f"{d}/b"), b"A")
    equal(os.pread(fd, 10, 0), b"B", "the file that was replaced")
    equal(os.fstat(fd).st_nlink, 0)
    os.pwrite(fd, b"still here", 0)
    equal(os.pread(fd, 20, 0), b"still here")
    os.close(fd)
    os.mkdir(f"{d}/s")
    os.mkdir(f"{d}/s/t")
    fails(errno.EINVAL, os.rename, f"{d}/s", f"{d}/s/t/u")
    fails(errno.EISDIR, os.rename, f"{d}/b", f"{d}/s")
    fails(errno.ENOTDIR, os.rename, f"{d}/s", f"{d}/b")
    os.mkdir(f"{d}/e")
    fails((errno.ENOTEMPTY, errno.EEXIST), os.rename, f"{d}/e", f"{d}/s")
    os.rename(f"{d}/s", f"{d}/e")
    equal(os.listdir(f"{d}/e"), ["t"])
    fails(errno.ENOENT, os.rename, f"{d}/none", f"{d}/x")


def test_rename_flags(d):
    write_file(f"{d}/a", b"A")
    os.mkdir(f"{d}/dir")
    write_file(f"{d}/dir/x", b"X")
    fails(errno.EEXIST, renameat2, f"{d}/a", f"{d}/dir", NOREPLACE)
    renameat2(f"{d}/a", f"{d}/c", NOREPLACE)
    fails(errno.ENOENT, renameat2, f"{d}/c", f"{d}/none", EXCHANGE)
    renameat2(f"{d}/c", f"{d}/dir", EXCHANGE)
    equal(read_file(f"{d}/dir"), b"A")
    equal(read_file(f"{d}/c/x"), b"X")
    fails(errno.EINVAL, renameat2, f"{d}/c", f"{d}/dir", EXCHANGE | NOREPLACE)


def test_rename_of_long_names(d):
    short, long, other = f"{d}/s", f"{d}/{'l' * 255}", f"{d}/{'o' * 200}"
    write_file(short, b"short")
    write_file(long, b"long")
    for a, b in ((short, long), (long, short), (long, other)):
        write_file(a, b"a")
        write_file(b, b"b")
        renameat2(a, b, EXCHANGE)
        equal((read_file(a), read_file(b)), (b"b", b"a"))
        os.rename(a, b)
        equal(read_file(b), b"b")
        fails(errno.ENOENT, os.stat, a)
    os.mkdir(f"{d}/sub")
    os.rename(other, f"{d}/sub/{'m' * 254}")
    equal(os.listdir(f"{d}/sub"), ["m" * 254])
    os.unlink(f"{d}/sub/{'m' * 254}")
    os.rmdir(f"{d}/sub")


def test_rename_directory_with_content(d):
    os.makedirs(f"{d}/a/b/c")
    write_file(f"{d}/a/b/c/f", b"deep")
    os.mkdir(f"{d}/z")
    fd = os.open(f"{d}/a/b/c/f", os.O_RDWR)
    inner = os.open(f"{d}/a/b", os.O_RDONLY)
    os.rename(f"{d}/a/b", f"{d}/z/moved")
    equal(read_file(f"{d}/z/moved/c/f"), b"deep")
    os.pwrite(fd, b"DEEP", 0)
    equal(read_file(f"{d}/z/moved/c/f"), b"DEEP")
    equal(os.listdir(inner), ["c"])
    os.mknod("new", dir_fd=inner)
    equal(sorted(os.listdir(f"{d}/z/moved")), ["c", "new"])
    equal(os.listdir(f"{d}/a"), [])
    os.close(fd)
    os.close(inner)


def test_hard_links(d):
    write_file(f"{d}/a", b"one")
    os.link(f"{d}/a", f"{d}/b")
    os.mkdir(f"{d}/s")
    os.link(f"{d}/a", f"{d}/s/{'c' * 255}")
    for path in (f"{d}/a", f"{d}/b", f"{d}/s/{'c' * 255}"):
        equal(os.stat(path).st_nlink, 3)
        equal(os.stat(path).st_ino, os.stat(f"{d}/a").st_ino)
    with open(f"{d}/b", "ab") as f:
        f.write(b" two")
    equal(read_file(f"{d}/a"), b"one two")
    equal(os.stat(f"{d}/a").st_size, 7)
    os.truncate(f"{d}/a", 5000)
    equal(os.stat(f"{d}/s/{'c' * 255}").st_size, 5000)
    os.unlink(f"{d}/a")
    equal(os.stat(f"{d}/b").st_nlink, 2)
    equal(read_file(f"{d}/b")[:7], b"one two")
    os.rename(f"{d}/b", f"{d}/s/{'c' * 255}")  # one file: nothing happens
    equal(os.stat(f"{d}/b").st_nlink, 2)
    fails(errno.EPERM, os.link, f"{d}/s", f"{d}/t")
    fails(errno.EEXIST, os.link, f"{d}/b", f"{d}/s")
    os.symlink("b", f"{d}/l")
    os.link(f"{d}/l", f"{d}/l2", follow_symlinks=False)
    equal(os.readlink(f"{d}/l2"), "b")
    equal(os.lstat(f"{d}/l").st_nlink, 2)


def test_unlinked_but_open(d):
    data = content("unlinked", 30000)
    fd = os.open(f"{d}/f", CREATE | os.O_RDWR)
    os.write(fd, data)
    os.unlink(f"{d}/f")
    equal(os.listdir(d), [])
    equal(os.fstat(fd).st_nlink, 0)
    equal(os.pread(fd, 30000, 0), data)
    os.ftruncate(fd, 100000)
    os.pwrite(fd, b"tail", 99996)
    os.fsync(fd)
    os.fchmod(fd, 0o400)
    equal(os.fstat(fd).st_size, 100000)
    view = mmap.mmap(fd, 100000)
    view[50000:50004] = b"view"
    view.flush()
    view.close()
    equal(os.pread(fd, 4, 50000), b"view")
    os.mknod(f"{d}/f")
    equal(os.stat(f"{d}/f").st_size, 0)
    os.close(fd)


def test_create_after_unlink_is_another_file(d):
    for i in range(300):
        write_file(f"{d}/f", b"%d" % i * (i + 1))
        equal(read_file(f"{d}/f"), b"%d" % i * (i + 1))
        os.unlink(f"{d}/f")


# Symbolic links and special files


def test_symlinks_of_every_length(d):
    lengths = [*range(1, 40), *range(470, 560), *range(650, 760), 1000, 1023, 1024, 2048, 3000, *range(4070, 4096)]
    for n in lengths:
        target = os.fsdecode(odd_name(n))
        try:
            os.symlink(target, f"{d}/{n}")
        except OSError as e:
            if e.errno == errno.ENAMETOOLONG and harness.PLAIN and n > 1023:
                continue
            raise Failure(f"symlink of {n} bytes: {e}") from e
        equal(os.readlink(f"{d}/{n}"), target)
        equal(os.lstat(f"{d}/{n}").st_size, n)
    fails(errno.ENAMETOOLONG, os.symlink, "x" * 4096, f"{d}/toolong")
    fails(errno.ENOENT, os.symlink, "", f"{d}/empty")
    fails(errno.EEXIST, os.symlink, "x", f"{d}/1")
    fails(errno.EINVAL, os.readlink, d)
    for n in lengths:
        os.unlink(f"{d}/{n}")


def test_times_of_symlinks(d):
    os.symlink("nowhere", f"{d}/l")
    os.utime(f"{d}/l", ns=(1234567890123456789, 987654321987654321), follow_symlinks=False)
    equal(os.lstat(f"{d}/l").st_mtime_ns, 987654321987654321)
    equal(os.lstat(f"{d}/l").st_atime_ns, 1234567890123456789)


def test_fifo(d):
    os.mkfifo(f"{d}/fifo", 0o640)
    st = os.stat(f"{d}/fifo")
    equal(stat.S_ISFIFO(st.st_mode), True)
    got = []
    reader = threading.Thread(target=lambda: got.append(read_file(f"{d}/fifo")))
    reader.start()
    with open(f"{d}/fifo", "wb") as f:
        f.write(b"through the fifo")
    reader.join(10)
    equal(got, [b"through the fifo"])


def test_socket(d):
    os.chdir(d)  # a path in an address is short
    try:
        server = socket.socket(socket.AF_UNIX)
        server.bind("socket")
        server.listen()
        client = socket.socket(socket.AF_UNIX)
        client.connect("socket")
        peer, _ = server.accept()
        peer.sendall(b"hello")
        equal(client.recv(10), b"hello")
        equal(stat.S_ISSOCK(os.stat("socket").st_mode), True)
        for s in (server, client, peer):
            s.close()
        os.rename("socket", "moved")
        os.unlink("moved")
    finally:
        os.chdir("/")


def test_device_nodes(d):
    need_root()
    for kind in (stat.S_IFCHR, stat.S_IFBLK):
        path = f"{d}/{kind:o}"
        os.mknod(path, kind | 0o600, os.makedev(259, 70000))
        st = os.stat(path)
        equal(stat.S_IFMT(st.st_mode), kind)
        equal((os.major(st.st_rdev), os.minor(st.st_rdev)), (259, 70000))
    os.mknod(f"{d}/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    if not harness.PLAIN:
        fails(errno.EACCES, os.open, f"{d}/null", os.O_RDWR)  # mounted nodev


# Attributes


def test_modes_and_owners(d):
    write_file(f"{d}/f", b"x")
    for mode in (0, 0o777, 0o4755, 0o2755, 0o1644, 0o7777, 0o640):
        os.chmod(f"{d}/f", mode)
        equal(stat.S_IMODE(os.stat(f"{d}/f").st_mode), mode)
    if harness.ROOT:
        os.chown(f"{d}/f", 1234, 4321)
        equal((os.stat(f"{d}/f").st_uid, os.stat(f"{d}/f").st_gid), (1234, 4321))
        os.symlink("f", f"{d}/l")
        os.lchown(f"{d}/l", 77, 88)
        equal((os.lstat(f"{d}/l").st_uid, os.lstat(f"{d}/l").st_gid), (77, 88))


def test_times_in_nanoseconds(d):
    write_file(f"{d}/f", b"x")
    os.mkdir(f"{d}/s")
    for path in (f"{d}/f", f"{d}/s"):
        for ns in (0, 1, 999999999, 1700000000123456789, -1500000001, 4294967296 * 10**9 + 7):
            os.utime(path, ns=(ns, ns + 1))
            equal((os.stat(path).st_atime_ns, os.stat(path).st_mtime_ns), (ns, ns + 1))


def test_mtime_moves_when_it_should(d):
    path = f"{d}/f"
    old = 10**18

    def moved(what, function):
        os.utime(path, ns=(old, old))
        function()
        equal(os.stat(path).st_mtime_ns != old, True, f"{what} moves the mtime")

    def stays(what, function):
        os.utime(path, ns=(old, old))
        function()
        equal(os.stat(path).st_mtime_ns, old, f"mtime after {what}")

    write_file(path, b"x" * 5000)
    fd = os.open(path, os.O_RDWR)
    moved("write", lambda: os.pwrite(fd, b"y", 10))
    moved("ftruncate", lambda: os.ftruncate(fd, 100))
    moved("O_TRUNC", lambda: os.close(os.open(path, os.O_WRONLY | os.O_TRUNC)))
    moved("append", lambda: os.pwrite(fd, b"z" * 10000, 0))
    stays("read", lambda: os.pread(fd, 100, 0))
    stays("fsync", lambda: os.fsync(fd))
    stays("chmod", lambda: os.chmod(path, 0o600))
    stays("rename", lambda: (os.rename(path, path + "2"), os.rename(path + "2", path)))
    stays("link", lambda: os.link(path, path + "3"))
    os.close(fd)


def test_mtime_of_directories(d):
    old = 10**18
    for what, function in (
        ("create", lambda: write_file(f"{d}/f", b"")),
        ("mkdir", lambda: os.mkdir(f"{d}/s")),
        ("rename", lambda: os.rename(f"{d}/f", f"{d}/g")),
        ("unlink", lambda: os.unlink(f"{d}/g")),
        ("rmdir", lambda: os.rmdir(f"{d}/s")),
        ("symlink", lambda: os.symlink("x", f"{d}/l")),
    ):
        os.utime(d, ns=(old, old))
        function()
        equal(os.stat(d).st_mtime_ns != old, True, f"{what} moves the directory's mtime")


def test_late_writes_keep_the_mtime(volume):
    """Sizes and times do not change when the mount writes back what it holds."""
    volume.mount()
    m = volume.mnt
    wanted = {}
    for i, size in enumerate((0, 10, 3968, 3969, 5000, 300000)):
        write_file(f"{m}/{size}", content(size, size))
        os.utime(f"{m}/{size}", ns=(10**18 + i, 10**18 + 77 * i + 1))
        os.chmod(f"{m}/{size}", 0o640)
        wanted[size] = os.stat(f"{m}/{size}").st_mtime_ns
    os.mkdir(f"{m}/s")
    os.mknod(f"{m}/s/f")
    os.utime(f"{m}/s", ns=(10**18, 10**18 + 5))
    volume.remount()
    for size, mtime in wanted.items():
        st = os.stat(f"{m}/{size}")
        equal((st.st_size, st.st_mtime_ns, stat.S_IMODE(st.st_mode)), (size, mtime, 0o640))
        equal(read_file(f"{m}/{size}"), content(size, size))
    equal(os.stat(f"{m}/s").st_mtime_ns, 10**18 + 5)
    volume.umount()


def test_attributes(d):
    write_file(f"{d}/f", b"")
    os.mkdir(f"{d}/s")
    for path in (f"{d}/f", f"{d}/s"):
        wanted = {}
        for i, (length, size) in enumerate(((1, 0), (10, 1), (50, 100), (150, 300), (172, 5), (200, 200), (250, 17))):
            name = os.fsdecode(b"user." + odd_name(length, i))
            wanted[name] = content(i, size)
            os.setxattr(path, name, wanted[name])
        equal(sorted(os.listxattr(path)), sorted(wanted))
        for name, value in wanted.items():
            equal(os.getxattr(path, name), value)
        first = next(iter(wanted))
        fails(errno.EEXIST, os.setxattr, path, first, b"x", os.XATTR_CREATE)
        os.setxattr(path, first, b"replaced", os.XATTR_REPLACE)
        equal(os.getxattr(path, first), b"replaced")
        fails(errno.ENODATA, os.setxattr, path, "user.none", b"x", os.XATTR_REPLACE)
        fails(errno.ENODATA, os.getxattr, path, "user.none")
        fails(errno.ENODATA, os.removexattr, path, "user.none")
        for name in wanted:
            os.removexattr(path, name)
        equal(os.listxattr(path), [])
    fails((errno.ERANGE, errno.ENAMETOOLONG), os.setxattr, f"{d}/f", "user." + "x" * 251, b"")
    fails(errno.EOPNOTSUPP, os.setxattr, f"{d}/f", "nonsense.x", b"")
    fails((errno.E2BIG, errno.ENOSPC), os.setxattr, f"{d}/f", "user.x", bytes(65537))
    os.symlink("f", f"{d}/l")
    fails(errno.EPERM, os.setxattr, f"{d}/l", "user.x", b"", follow_symlinks=False)
    if harness.ROOT:
        os.setxattr(f"{d}/f", "trusted.t", b"value")
        equal(os.getxattr(f"{d}/f", "trusted.t"), b"value")
        os.setxattr(f"{d}/l", "trusted.t", b"of the link", follow_symlinks=False)
        equal(os.getxattr(f"{d}/l", "trusted.t", follow_symlinks=False), b"of the link")
        os.mkfifo(f"{d}/p")
        os.setxattr(f"{d}/p", "trusted.t", b"of the fifo")
        equal(os.getxattr(f"{d}/p", "trusted.t"), b"of the fifo")


def test_attribute_sizes(d):
    """Values grow until the store is full; what was accepted is there, a refusal leaves the old value."""
    write_file(f"{d}/f", b"content")
    size, last = 1, None
    while size <= 65536:
        try:
            os.setxattr(f"{d}/f", "user.big", content(size, size))
        except OSError as e:
            equal(e.errno in (errno.ENOSPC, errno.E2BIG, errno.EDQUOT), True, f"errno of {size} bytes")
            break
        last = size
        equal(os.getxattr(f"{d}/f", "user.big"), content(size, size))
        size = size * 3 // 2 + 1
    assert last and last > 1500, last
    equal(os.getxattr(f"{d}/f", "user.big"), content(last, last))
    equal(read_file(f"{d}/f"), b"content")


def test_statfs(d):
    st = os.statvfs(d)
    equal(st.f_namemax, 255)
    assert st.f_blocks > 0 and st.f_bavail > 0 and st.f_files >= 0 and st.f_bsize >= 512, st


def test_fsync(d):
    write_file(f"{d}/f", content("fsync", 100000))
    for path in (f"{d}/f", d):
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.fdatasync(fd)
        os.close(fd)


# Locks


def in_child(function):
    pid = os.fork()
    if pid == 0:
        try:
            function()
            os._exit(0)
        except BlockingIOError:
            os._exit(11)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_locks(d):
    write_file(f"{d}/f", b"x" * 100)
    fd = os.open(f"{d}/f", os.O_RDWR)

    def flock():
        fcntl.flock(os.open(f"{d}/f", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)

    def posix(start):
        fcntl.lockf(os.open(f"{d}/f", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB, 10, start)

    fcntl.flock(fd, fcntl.LOCK_EX)
    equal(in_child(flock), 11)
    fcntl.flock(fd, fcntl.LOCK_UN)
    equal(in_child(flock), 0)
    fcntl.lockf(fd, fcntl.LOCK_EX, 10, 20)
    equal(in_child(lambda: posix(25)), 11)
    equal(in_child(lambda: posix(30)), 0)
    equal(in_child(lambda: posix(5)), 0)
    fcntl.lockf(fd, fcntl.LOCK_UN, 10, 20)
    equal(in_child(lambda: posix(25)), 0)
    os.close(fd)


# Programs


def test_exec(d):
    shutil.copy("/bin/true", f"{d}/true")
    run(f"{d}/true")
    write_file(f"{d}/script", b"#!/bin/sh\necho from the script\n", 0o755)
    equal(run(f"{d}/script").stdout, "from the script\n")
    shutil.copy("/bin/sleep", f"{d}/sleep")
    p = subprocess.Popen([f"{d}/sleep", "30"])
    try:
        fails(errno.ETXTBSY, os.open, f"{d}/sleep", os.O_WRONLY)
        os.unlink(f"{d}/sleep")
    finally:
        p.kill()
        p.wait()


def test_content_survives_a_remount(volume):
    volume.mount()
    m = volume.mnt
    wanted = {}
    for size in EDGES:
        wanted[f"size-{size}"] = content(size, size)
    for n in (1, 150, 160, 161, 175, 176, 177, 191, 192, 200, 240, 255):
        wanted["n" * n] = content(n, n * 10)
    for name, data in wanted.items():
        write_file(f"{m}/{name}", data)
    links = {n: os.fsdecode(odd_name(n)) for n in (1, 2, 100, 500, 510, 700, 701, 1024, 4000, 4095)}
    for n, target in links.items():
        os.symlink(target, f"{m}/link-{n}")
    os.makedirs(f"{m}/{'a' * 255}/{'b' * 255}")
    write_file(f"{m}/{'a' * 255}/{'b' * 255}/f", b"deep")
    os.link(f"{m}/size-4096", f"{m}/{'a' * 255}/hard")
    os.mkfifo(f"{m}/fifo")
    os.setxattr(f"{m}/size-0", "user." + "x" * 250, b"value")
    wanted[f"{'a' * 255}/hard"] = wanted["size-4096"]
    for _ in range(2):
        volume.remount()
        equal(len(os.listdir(m)), len(wanted) - 1 + len(links) + 2)
        for name, data in wanted.items():
            equal(read_file(f"{m}/{name}"), data, name)
        for n, target in links.items():
            equal(os.readlink(f"{m}/link-{n}"), target)
            equal(os.lstat(f"{m}/link-{n}").st_size, n)
        equal(os.stat(f"{m}/size-4096").st_ino, os.stat(f"{m}/{'a' * 255}/hard").st_ino)
        equal(os.stat(f"{m}/size-4096").st_nlink, 2)
        equal(read_file(f"{m}/{'a' * 255}/{'b' * 255}/f"), b"deep")
        equal(os.getxattr(f"{m}/size-0", "user." + "x" * 250), b"value")
        equal(os.stat(f"{m}/size-0").st_size, 0)
    volume.umount()


# What checkpoints, forgetting and remounts must not change


def test_hard_link_not_looked_up(volume):
    """Of a file with two names the one that was used goes; the other one, looked up only afterwards, is the same file."""
    volume.mount()
    a, b = f"{volume.mnt}/a", f"{volume.mnt}/b"
    write_file(a, b"x" * 200000)
    os.link(a, b)
    volume.remount()
    fd = os.open(a, os.O_RDWR)
    os.unlink(a)
    other = os.open(b, os.O_RDWR)
    os.pwrite(fd, b"new" * 3000, 10)
    os.pwrite(other, b"NEW" * 3000, 100000)
    os.ftruncate(fd, 150000)
    os.close(fd)
    os.close(other)
    wanted = bytearray(b"x" * 150000)
    wanted[10:9010] = b"new" * 3000
    wanted[100000:109000] = b"NEW" * 3000
    for _ in range(2):
        equal(os.stat(b).st_size, 150000)
        equal(read_file(b) == wanted, True, "content")
        volume.remount()


def test_changed_before_a_hard_link_went(volume):
    """A file that is changed, then loses the only name that is known, and is forgotten, keeps its changes under the other one."""
    volume.mount()
    a, b = f"{volume.mnt}/a", f"{volume.mnt}/b"
    write_file(a, b"x" * 200000)
    os.link(a, b)
    volume.remount()
    fd = os.open(a, os.O_RDWR)
    os.ftruncate(fd, 30000)
    os.pwrite(fd, b"new", 10)
    os.fsync(fd)
    os.close(fd)
    os.unlink(a)
    volume.remount()
    equal(os.stat(b).st_size, 30000)
    equal(read_file(b)[:14], b"x" * 10 + b"new" + b"x")


def test_times_after_a_hole(volume):
    """Giving back the space of a hole, which may come later, leaves the times that were set."""
    volume.mount()
    path = f"{volume.mnt}/f"
    write_file(path, b"x" * 400000)
    volume.remount()
    fd = os.open(path, os.O_RDWR)
    harness.fallocate(fd, harness.PUNCH_HOLE | harness.KEEP_SIZE, 4096, 40960)
    os.close(fd)
    os.utime(path, ns=(10**18, 10**18))
    for _ in range(2):
        equal(os.stat(path).st_mtime_ns, 10**18)
        volume.remount()


if __name__ == "__main__":
    sys.exit(harness.main())
