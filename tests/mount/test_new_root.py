#!/usr/bin/python3
"""`coffer key rotate --root`: what is on the volume goes on, and what went before is not taken for it."""

import os
import shutil
import sys

import harness
from harness import content, equal, need_mount, read_file, write_file


def key(volume, *words, check=True):
    return volume.coffer("key", *words, *volume.unlock(), check=check)


def rotate_root(volume, check=True):
    return key(volume, "rotate", volume.dir, "--root", check=check)


def mount(volume, secret=None):
    """Not in the foreground; may be refused."""
    return volume.coffer("mount", volume.dir, volume.mnt, "--key-file", secret or volume.secret, check=False)


def test_while_it_is_mounted(volume):
    need_mount()
    volume.mount()
    r = rotate_root(volume, check=False)
    equal((r.returncode, "unmount it first" in r.stderr), (6, True), r.stderr)
    volume.umount()


def test_goes_on(volume):
    """A mount that was killed, a new root, a mount, a re-encryption; then the journal and an id record from before."""
    need_mount()
    volume.mount()
    os.makedirs(f"{volume.mnt}/a/b")
    write_file(f"{volume.mnt}/a/b/first", content("first", 9000))
    volume.umount()
    old_journal = f"{volume.base}/old journal"
    shutil.copy(f"{volume.dir}/.coffer/journal", old_journal)
    old_record = os.readlink(f"{volume.dir}/data/.coffer-dir")
    volume.mount()
    write_file(f"{volume.mnt}/a/b/killed", content("killed", 9000))
    volume.kill()
    volume.coffer("umount", volume.mnt)
    rotate_root(volume)
    volume.mount()
    equal(read_file(f"{volume.mnt}/a/b/first"), content("first", 9000))
    equal(read_file(f"{volume.mnt}/a/b/killed"), content("killed", 9000))
    os.mkdir(f"{volume.mnt}/a/new")
    write_file(f"{volume.mnt}/a/new/second", content("second", 9000))
    volume.umount()
    equal(os.readlink(f"{volume.dir}/data/.coffer-dir"), old_record)
    key(volume, "reencrypt", "start", volume.dir, "--wait")
    volume.mount()
    equal(read_file(f"{volume.mnt}/a/b/first"), content("first", 9000))
    equal(read_file(f"{volume.mnt}/a/new/second"), content("second", 9000))
    volume.umount()
    volume.check("--deep")

    new_journal = f"{volume.base}/new journal"
    shutil.copy(f"{volume.dir}/.coffer/journal", new_journal)
    shutil.copy(old_journal, f"{volume.dir}/.coffer/journal")
    r = mount(volume)
    equal("the journal is damaged" in r.stderr, True, r.stderr)
    shutil.copy(new_journal, f"{volume.dir}/.coffer/journal")
    os.unlink(f"{volume.dir}/data/.coffer-dir")
    os.symlink(old_record, f"{volume.dir}/data/.coffer-dir")
    r = mount(volume)
    equal(r.returncode, 5, r.stderr)


def test_backup_of_before(volume):
    """There is only a backup of the old root: what was there then is read, with a new journal."""
    need_mount()
    volume.mount()
    os.mkdir(f"{volume.mnt}/dir")
    write_file(f"{volume.mnt}/dir/file", content("file", 9000))
    volume.umount()
    secret = f"{volume.base}/other secret"
    with open(secret, "wb") as f:
        f.write(b"x" * 40)
    backup = f"{volume.base}/backup"
    key(volume, "backup", volume.dir, "-o", backup, "--backup-key-file", secret)
    rotate_root(volume)
    for name in ("keyring.json", "keyring.json.bak"):
        os.unlink(f"{volume.dir}/.coffer/{name}")
    volume.coffer("key", "restore", volume.dir, backup, "--backup-key-file", secret, "--new-key-file", secret)
    r = mount(volume, secret)
    equal("coffer check --repair" in r.stderr, True, r.stderr)
    volume.coffer("check", volume.dir, "--repair", "--key-file", secret, check=False)
    equal(mount(volume, secret).returncode, 0)
    equal(read_file(f"{volume.mnt}/dir/file"), content("file", 9000))
    volume.coffer("umount", volume.mnt)


if __name__ == "__main__":
    sys.exit(harness.main())
