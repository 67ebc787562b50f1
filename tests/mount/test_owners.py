#!/usr/bin/python3
"""Users, groups, set-id bits and ACLs on a mount that root serves to everybody (allow_other)."""

import errno
import os
import stat
import subprocess
import sys

import harness
from harness import as_user, content, equal, fails, need, need_root, read_file, renameat2, run, write_file

ALICE, BOB = 3001, 3002
TEAM = 4001  # a group that both belong to besides their own
CREATE = os.O_CREAT | os.O_EXCL


def open_to_all(d):
    need_root()
    os.chmod(d, 0o777)
    return d


def owner(path):
    st = os.lstat(path)
    return st.st_uid, st.st_gid


def bits(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def alice(function, *args, umask=0o022):
    return as_user(ALICE, ALICE, [TEAM], function, *args, umask=umask)


def bob(function, *args, umask=0o022):
    return as_user(BOB, BOB, [TEAM], function, *args, umask=umask)


def test_new_objects_belong_to_their_maker(d):
    open_to_all(d)
    alice(write_file, f"{d}/f", b"alice")
    alice(os.mkdir, f"{d}/s")
    alice(os.symlink, "x", f"{d}/l")
    alice(os.mkfifo, f"{d}/p")
    alice(os.mknod, f"{d}/n")
    alice(os.mknod, f"{d}/sock", stat.S_IFSOCK | 0o600)
    alice(os.symlink, "y" * 4000, f"{d}/long")
    alice(write_file, f"{d}/{'n' * 255}", b"")
    for name in ("f", "s", "l", "p", "n", "sock", "long", "n" * 255):
        equal(owner(f"{d}/{name}"), (ALICE, ALICE), name[:10])
    equal(owner(f"{d}/s"), (ALICE, ALICE))
    write_file(f"{d}/of-root", b"")
    equal(owner(f"{d}/of-root"), (0, 0))


def test_umask_and_modes(d):
    open_to_all(d)
    for mask in (0, 0o027, 0o077, 0o222):
        alice(write_file, f"{d}/f{mask:o}", b"x", 0o666, umask=mask)
        equal(bits(f"{d}/f{mask:o}"), 0o666 & ~mask)
        alice(os.mkdir, f"{d}/d{mask:o}", 0o777, umask=mask)
        equal(bits(f"{d}/d{mask:o}"), 0o777 & ~mask)


def test_directories_that_deny_their_owner(d):
    open_to_all(d)
    for mode in (0, 0o100, 0o222, 0o444, 0o555, 0o1777, 0o2755):
        alice(os.mkdir, f"{d}/{mode:o}", mode, umask=0)
        equal(bits(f"{d}/{mode:o}"), mode & ~0o2000)
        equal(owner(f"{d}/{mode:o}"), (ALICE, ALICE))
        alice(os.rename, f"{d}/{mode:o}", f"{d}/{mode:o}-2")
        alice(os.rmdir, f"{d}/{mode:o}-2")


def test_refusals(d):
    open_to_all(d)
    alice(write_file, f"{d}/private", b"secret", 0o600)
    alice(os.mkdir, f"{d}/closed", 0o700)
    alice(write_file, f"{d}/closed/f", b"x")
    fails(errno.EACCES, bob, read_file, f"{d}/private")
    fails(errno.EACCES, bob, os.listdir, f"{d}/closed")
    fails(errno.EACCES, bob, os.stat, f"{d}/closed/f")
    fails(errno.EACCES, bob, os.mknod, f"{d}/closed/g")
    fails(errno.EPERM, bob, os.chmod, f"{d}/private", 0o666)
    fails(errno.EPERM, bob, os.chown, f"{d}/private", BOB, BOB)
    fails(errno.EPERM, alice, os.chown, f"{d}/private", BOB, BOB)
    fails((errno.EACCES, errno.EPERM), bob, os.utime, f"{d}/private", (1, 1))
    alice(os.chown, f"{d}/private", -1, TEAM)
    equal(owner(f"{d}/private"), (ALICE, TEAM))
    equal(read_file(f"{d}/private"), b"secret")


def test_supplementary_groups(d):
    open_to_all(d)
    os.mkdir(f"{d}/team")
    os.chown(f"{d}/team", 0, TEAM)
    os.chmod(f"{d}/team", 0o770)
    alice(write_file, f"{d}/team/f", b"x", 0o660)
    equal(owner(f"{d}/team/f"), (ALICE, ALICE))
    bob(os.mkdir, f"{d}/team/s")
    equal(owner(f"{d}/team/s"), (BOB, BOB))
    fails(errno.EACCES, as_user, 5555, 5555, [], os.mknod, f"{d}/team/no")


def test_set_gid_directories(d):
    open_to_all(d)
    os.mkdir(f"{d}/team")
    os.chown(f"{d}/team", 0, TEAM)
    os.chmod(f"{d}/team", 0o2777)
    alice(write_file, f"{d}/team/f", b"x")
    equal(owner(f"{d}/team/f"), (ALICE, TEAM))
    alice(os.mkdir, f"{d}/team/s")
    equal(owner(f"{d}/team/s"), (ALICE, TEAM))
    equal(bits(f"{d}/team/s"), 0o2755, "a directory inherits the bit")
    alice(os.mkdir, f"{d}/team/s/t")
    equal(bits(f"{d}/team/s/t") & 0o2000, 0o2000)
    alice(os.symlink, "x", f"{d}/team/l")
    equal(owner(f"{d}/team/l"), (ALICE, TEAM))
    as_user(5555, 5555, [], os.mknod, f"{d}/team/n", stat.S_IFREG | 0o2755)
    equal(owner(f"{d}/team/n"), (5555, TEAM))
    equal(bits(f"{d}/team/n"), 0o755, "no set-gid file for who is not in the group")


def test_sticky_directory(d):
    open_to_all(d)
    os.mkdir(f"{d}/t")
    os.chmod(f"{d}/t", 0o1777)
    alice(write_file, f"{d}/t/f", b"alice")
    alice(os.mkdir, f"{d}/t/s")
    fails((errno.EPERM, errno.EACCES), bob, os.unlink, f"{d}/t/f")
    fails((errno.EPERM, errno.EACCES), bob, os.rmdir, f"{d}/t/s")
    fails((errno.EPERM, errno.EACCES), bob, os.rename, f"{d}/t/f", f"{d}/t/g")
    bob(write_file, f"{d}/t/b", b"bob")
    fails((errno.EPERM, errno.EACCES), bob, os.rename, f"{d}/t/b", f"{d}/t/f")
    fails((errno.EPERM, errno.EACCES), bob, renameat2, f"{d}/t/b", f"{d}/t/f", harness.EXCHANGE)
    alice(os.rename, f"{d}/t/f", f"{d}/t/g")
    alice(os.unlink, f"{d}/t/g")


def written_by(user, path, mode, how):
    """The mode of a file of Alice's after somebody has changed its content."""
    with harness.contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    write_file(path, content("suid", 5000))
    os.chown(path, ALICE, TEAM)
    os.chmod(path, mode)
    user(how, path)
    return bits(path)


def do_write(path):
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, b"x")
    os.close(fd)


def do_truncate(path):
    os.truncate(path, 100)


def do_open_truncating(path):
    os.close(os.open(path, os.O_WRONLY | os.O_TRUNC))


def do_fallocate(path):
    fd = os.open(path, os.O_RDWR)
    harness.fallocate(fd, 0, 0, 10000)
    os.close(fd)


def do_punch(path):
    fd = os.open(path, os.O_RDWR)
    harness.fallocate(fd, harness.PUNCH_HOLE | harness.KEEP_SIZE, 0, 100)
    os.close(fd)


def do_copy(path):
    a, b = os.open(path, os.O_RDONLY), os.open(path, os.O_WRONLY)
    os.copy_file_range(a, b, 100, 0, 1000)
    os.close(a)
    os.close(b)


def test_writing_clears_set_id_bits(d):
    open_to_all(d)
    path = f"{d}/f"
    kept = []
    for how in (do_write, do_truncate, do_open_truncating, do_fallocate, do_punch, do_copy):
        for user, before, after in ((alice, 0o6777, 0o777), (bob, 0o6777, 0o777), (alice, 0o4755, 0o755)):
            got = written_by(user, path, before, how)
            if got != after:
                kept.append(f"{how.__name__} by {user.__name__}: {got:o}")
    equal(kept, [])
    # set-gid without group execute is no privilege
    equal(written_by(alice, path, 0o2666, do_write) & 0o777, 0o666)
    equal(written_by(lambda f, p: f(p), path, 0o6777, do_write), 0o6777, "root keeps the bits")


def test_second_write_clears_again(d):
    """The kernel may remember that a file has nothing to clear: chmod must undo that."""
    open_to_all(d)
    path = f"{d}/f"
    alice(write_file, path, b"x" * 100)
    for _ in range(3):
        alice(do_write, path)
        alice(os.chmod, path, 0o4755)
        equal(bits(path), 0o4755)
        alice(do_write, path)
        equal(bits(path), 0o755)


def test_chown_clears_set_id_bits(d):
    open_to_all(d)
    alice(write_file, f"{d}/f", b"x")
    os.chmod(f"{d}/f", 0o6755)
    alice(os.chown, f"{d}/f", -1, TEAM)
    equal(bits(f"{d}/f"), 0o755)


def test_set_id_bits_survive_a_remount(volume):
    """Late writes do not take them away."""
    need_root()
    volume.mount("allow_other")
    path = f"{volume.mnt}/f"
    write_file(path, content("late", 50000))
    os.chown(path, ALICE, ALICE)
    os.chmod(path, 0o6755)
    volume.remount()
    equal(bits(path), 0o6755)
    equal(read_file(path), content("late", 50000))
    volume.umount()


def test_capabilities(d):
    need_root()
    need("setcap", "getcap")
    write_file(f"{d}/f", content("cap", 5000), 0o755)
    run("setcap", "cap_net_raw+ep", f"{d}/f")
    equal("cap_net_raw" in run("getcap", f"{d}/f").stdout, True)
    do_write(f"{d}/f")
    equal(run("getcap", f"{d}/f").stdout, "", "a write drops the capability")


def test_unreadable_through_the_descriptor(d):
    open_to_all(d)

    def create_and_use(mode):
        data = content(mode, 20000)
        fd = os.open(f"{d}/{mode:o}", CREATE | os.O_RDWR, mode)
        os.write(fd, data)
        equal(os.pread(fd, 20000, 0), data)
        os.ftruncate(fd, 15000)
        os.fsync(fd)
        os.close(fd)
        if not mode & 0o400:
            fails(errno.EACCES, os.open, f"{d}/{mode:o}", os.O_RDONLY)

    for mode in (0o444, 0o400, 0o200, 0o000):
        alice(create_and_use, mode)
        equal(read_file(f"{d}/{mode:o}"), content(mode, 20000)[:15000])
        equal(bits(f"{d}/{mode:o}"), mode)


def test_acl_entries(d):
    need("setfacl", "getfacl")
    open_to_all(d)
    write_file(f"{d}/f", b"for alice", 0o600)
    fails(errno.EACCES, alice, read_file, f"{d}/f")
    run("setfacl", "-m", f"u:{ALICE}:r--", f"{d}/f")
    equal(alice(read_file, f"{d}/f"), b"for alice")
    fails(errno.EACCES, alice, do_write, f"{d}/f")
    fails(errno.EACCES, bob, read_file, f"{d}/f")
    run("setfacl", "-m", f"g:{TEAM}:rw-", f"{d}/f")
    bob(do_write, f"{d}/f")
    equal(bits(f"{d}/f"), 0o660, "the mask shows as the group's mode")
    os.chmod(f"{d}/f", 0o640)
    fails(errno.EACCES, bob, do_write, f"{d}/f")
    shown = run("getfacl", "-n", "-p", f"{d}/f").stdout
    for line in (f"user:{ALICE}:r--", f"group:{TEAM}:rw-", "mask::r--"):
        equal(line in shown, True, f"{line} in {shown}")
    run("setfacl", "-b", f"{d}/f")
    fails(errno.EACCES, alice, do_write, f"{d}/f")


def test_default_acls(d):
    need("setfacl", "getfacl")
    open_to_all(d)
    os.mkdir(f"{d}/s")
    os.chmod(f"{d}/s", 0o777)
    run("setfacl", "-d", "-m", f"u::rwx,g::r-x,o::---,u:{BOB}:rwx", f"{d}/s")
    alice(write_file, f"{d}/s/f", b"inherits", 0o666, umask=0o077)
    equal(owner(f"{d}/s/f"), (ALICE, ALICE))
    equal(bits(f"{d}/s/f"), 0o660, "the default ACL takes the umask's place")
    equal(bob(read_file, f"{d}/s/f"), b"inherits")
    bob(do_write, f"{d}/s/f")
    alice(os.mkdir, f"{d}/s/t", 0o777, umask=0o077)
    equal(bits(f"{d}/s/t"), 0o770)
    shown = run("getfacl", "-n", "-p", f"{d}/s/t").stdout
    equal(f"default:user:{BOB}:rwx" in shown, True, shown)
    alice(os.mkfifo, f"{d}/s/p", 0o666, umask=0o077)
    equal(bits(f"{d}/s/p"), 0o660)
    alice(os.mknod, f"{d}/s/n", stat.S_IFREG | 0o640, umask=0)
    equal(bits(f"{d}/s/n"), 0o640)
    alice(write_file, f"{d}/outside", b"", 0o666, umask=0o077)
    equal(bits(f"{d}/outside"), 0o600)


def test_acls_survive_a_remount(volume):
    need_root()
    need("setfacl", "getfacl")
    volume.mount("allow_other")
    m = volume.mnt
    write_file(f"{m}/f", b"x")
    os.mkdir(f"{m}/s")
    run("setfacl", "-m", f"u:{ALICE}:r--", f"{m}/f")
    run("setfacl", "-d", "-m", f"u:{BOB}:rwx", f"{m}/s")
    before = [run("getfacl", "-n", "-p", f"{m}/{n}").stdout for n in ("f", "s")]
    volume.remount()
    equal([run("getfacl", "-n", "-p", f"{m}/{n}").stdout for n in ("f", "s")], before)
    volume.umount()


def test_nobody_checks(volume):
    """noperm: the kernel leaves out its checks, for the one user who may enter; what is kept and shown is the same, and holds in the next mount."""
    need_root()
    harness.need_mount()
    need("setfacl", "getfacl")
    refused = run(harness.COFFER, "mount", volume.dir, volume.mnt, *volume.unlock(), "-o", "noperm,allow_other", check=False)
    equal(refused.returncode != 0 and "not both" in refused.stderr, True, refused.stderr)
    volume.mount("noperm")
    m = volume.mnt
    os.mkdir(f"{m}/s", 0o755)
    run("setfacl", "-d", "-m", f"u::rwx,g::r-x,o::---,u:{BOB}:rwx", f"{m}/s")
    write_file(f"{m}/s/f", b"of alice", 0o640)
    os.chown(f"{m}/s/f", ALICE, TEAM)
    run("setfacl", "-m", f"u:{ALICE}:r--", f"{m}/s/f")
    os.chmod(f"{m}/s/f", 0o600)
    os.symlink("f", f"{m}/s/l")
    write_file(f"{m}/s/program", b"#!/bin/sh\n", 0o600)
    fails(errno.EACCES, subprocess.run, [f"{m}/s/program"])
    fails(errno.EACCES, alice, os.stat, f"{m}/s")
    fails(errno.EACCES, alice, os.listdir, m)
    before = [run("getfacl", "-n", "-p", f"{m}/s/{n}").stdout for n in ("", "f")]
    equal((owner(f"{m}/s/f"), bits(f"{m}/s/f")), ((ALICE, TEAM), 0o600))
    volume.remount("allow_other")
    equal([run("getfacl", "-n", "-p", f"{m}/s/{n}").stdout for n in ("", "f")], before)
    equal((owner(f"{m}/s/f"), bits(f"{m}/s/f")), ((ALICE, TEAM), 0o600))
    fails(errno.EACCES, bob, read_file, f"{m}/s/f")
    volume.umount()


def test_store_shows_the_owners(d, shared):
    """Owner and mode below are those of the mount: quotas count for the right user."""
    open_to_all(d)
    harness.need_mount()
    alice(write_file, f"{d}/f", b"x" * 10000, 0o640)
    below = shared.backing(os.path.relpath(f"{d}/f", shared.mnt))
    equal(owner(below), (ALICE, ALICE))
    equal(bits(below), 0o640)


def test_git_as_a_user(d):
    need("git")
    open_to_all(d)

    def work():
        env = {"PATH": os.environ["PATH"], "HOME": d, "GIT_CONFIG_NOSYSTEM": "1"}
        for command in (
            "git init -q repo",
            "cd repo && git config user.email a@example.org && git config user.name A",
            "cd repo && echo hello > f && git add f && git commit -q -m first",
            "cd repo && git gc -q && git fsck --full",
        ):
            subprocess.run(["sh", "-c", f"cd {d} && {command}"], env=env, check=True, timeout=60, capture_output=True)

    alice(work)
    equal({owner(os.path.join(p, n)) for p, _, names in os.walk(f"{d}/repo") for n in names}, {(ALICE, ALICE)})


def test_without_allow_other(volume):
    harness.need_mount()
    need_root()
    volume.mount()
    os.chmod(volume.mnt, 0o777)
    fails(errno.EACCES, alice, os.listdir, volume.mnt)
    volume.umount()


if __name__ == "__main__":
    sys.exit(harness.main(mount_options=["allow_other"]))
