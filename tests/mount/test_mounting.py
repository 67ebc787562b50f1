#!/usr/bin/python3
"""Mounting and unmounting: as a daemon, as a plain user, in a namespace, after a crash, with options, and refusals."""

import contextlib
import errno
import os
import signal
import stat
import subprocess
import sys
import time

import harness
from harness import (
    NOBODY,
    Failure,
    Skip,
    Volume,
    content,
    equal,
    fails,
    fuse_for_everybody,
    mounted,
    need,
    need_mount,
    need_root,
    read_file,
    run,
    wait_until,
    write_file,
)


def daemon(volume, *options, user=None, env=None, check=True):
    """`coffer mount` as people call it: returns once the mount answers."""
    argv = ["mount", volume.dir, volume.mnt, *volume.unlock()]
    if options:
        argv += ["-o", ",".join(options)]
    return volume.coffer(*argv, user=user, env=env, check=check)


def daemon_pid(volume):
    found = [p for p in harness.processes_naming(volume.dir) if b"mount" in read_file(f"/proc/{p}/cmdline")]
    equal(len(found), 1, "mount processes")
    return found[0]


def gone(pid):
    """Ended; one that nobody has waited for counts."""
    try:
        return read_file(f"/proc/{pid}/stat").rsplit(b")", 1)[1].split()[0] == b"Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def refused(r, *words):
    """A refusal: a status of its own, one line on standard error that says what it is about."""
    equal(r.returncode > 0, True, f"exit status {r.returncode}")
    lines = r.stderr.strip().splitlines()
    equal(len(lines), 1, f"lines of the error {lines}")
    for w in words:
        equal(w in r.stderr, True, f"{w!r} in {r.stderr!r}")
    return r.returncode


def test_daemon(volume):
    need_mount()
    daemon(volume)
    equal(mounted(volume.mnt), True)
    write_file(f"{volume.mnt}/f", b"written through the daemon")
    pid = daemon_pid(volume)
    equal(os.getsid(pid) != os.getsid(0), True, "a session of its own")
    equal(os.readlink(f"/proc/{pid}/cwd"), "/")
    volume.coffer("umount", volume.mnt)
    equal(mounted(volume.mnt), False)
    wait_until(lambda: gone(pid), 10, "end of the daemon")
    daemon(volume)
    equal(read_file(f"{volume.mnt}/f"), b"written through the daemon")
    volume.coffer("umount", volume.mnt)


def test_umount_by_the_system(volume):
    """umount(8) is as good as `coffer umount`."""
    need_mount()
    need_root()
    volume.mount()
    write_file(f"{volume.mnt}/f", content("umount", 100000))
    run("umount", volume.mnt)
    volume.reap()
    volume.mount()
    equal(read_file(f"{volume.mnt}/f"), content("umount", 100000))
    volume.umount()


def test_lazy_umount_with_an_open_file(volume):
    need_mount()
    need_root()
    volume.mount()
    with open(f"{volume.mnt}/f", "wb") as f:
        f.write(b"before ")
        f.flush()
        run("umount", "-l", volume.mnt)
        f.write(b"after")
    volume.reap()
    volume.mount()
    equal(read_file(f"{volume.mnt}/f"), b"before after")
    volume.umount()


def test_busy_mount_is_not_unmounted(volume):
    need_mount()
    volume.mount()
    with open(f"{volume.mnt}/f", "wb"):
        r = volume.coffer("umount", volume.mnt, check=False)
        refused(r, volume.mnt)
        equal(mounted(volume.mnt), True)
    volume.umount()


def test_termination_signals(volume):
    need_mount()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        volume.mount()
        write_file(f"{volume.mnt}/{number}", content(number, 50000))
        volume.process.send_signal(number)
        volume.reap()
        equal(mounted(volume.mnt), False, f"mounted after signal {number}")
    volume.mount()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        equal(read_file(f"{volume.mnt}/{number}"), content(number, 50000))
    volume.umount()


def test_killed_and_mounted_again(volume):
    """What write(2) accepted survives the death of the process; `coffer mount` clears the dead mount."""
    need_mount()
    volume.mount()
    m = volume.mnt
    wanted = {f"f{i}": content(i, i * 977 % 60000) for i in range(60)}
    for name, data in wanted.items():
        write_file(f"{m}/{name}", data)
    fd = os.open(f"{m}/appended", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    wanted["appended"] = b""
    for i in range(50):
        piece = content(i, 300)
        os.write(fd, piece)
        wanted["appended"] += piece
    fd2 = os.open(f"{m}/f50", os.O_RDWR)
    os.pwrite(fd2, b"overwritten", 7000)
    wanted["f50"] = wanted["f50"][:7000] + b"overwritten" + wanted["f50"][7011:]
    os.ftruncate(fd2, 9000)
    wanted["f50"] = (wanted["f50"] + bytes(9000))[:9000]
    os.mkdir(f"{m}/made")
    os.rename(f"{m}/f1", f"{m}/made/moved")
    wanted["made/moved"] = wanted.pop("f1")
    os.unlink(f"{m}/f2")
    del wanted["f2"]
    unlinked = os.open(f"{m}/f3", os.O_RDWR)
    os.unlink(f"{m}/f3")
    del wanted["f3"]
    os.write(unlinked, b"gone with the mount")
    volume.kill()
    for d in (fd, fd2, unlinked):
        os.close(d)
    fails((errno.ENOTCONN, errno.ECONNABORTED, errno.ECANCELED), os.listdir, m)
    volume.mount()
    for name, data in wanted.items():
        equal(read_file(f"{m}/{name}"), data, name)
    equal(sorted(os.listdir(m)), sorted({n.split("/")[0] for n in wanted}))
    volume.umount()
    volume.check("--deep")


def test_umount_clears_a_dead_mount(volume):
    need_mount()
    volume.mount()
    volume.kill()
    volume.coffer("umount", volume.mnt)
    equal(mounted(volume.mnt), False)


def test_second_mount_is_refused(volume):
    need_mount()
    volume.mount()
    other = f"{volume.base}/other"
    os.mkdir(other)
    first = volume.coffer("mount", volume.dir, other, *volume.unlock(), check=False)
    refused(first, volume.dir)
    equal(mounted(other), False)
    refused(daemon(volume, check=False))
    os.listdir(volume.mnt)
    volume.umount()


def test_unknown_option_is_named(volume):
    need_mount()
    r = daemon(volume, "ro", "nonsense", check=False)
    refused(r, "nonsense")
    equal(mounted(volume.mnt), False)
    refused(daemon(volume, "idle=soon", check=False), "idle")


def test_generic_options_are_accepted(volume):
    need_mount()
    for options in (
        ["rw", "nosuid", "nodev", "noatime"],
        ["relatime", "noexec", "nofail", "_netdev", "x-systemd.automount", "x-anything=1"],
        ["default_permissions"],
        ["defaults", "noauto"],
    ):
        daemon(volume, *options)
        volume.coffer("umount", volume.mnt)


def test_bad_mount_points(volume):
    need_mount()
    missing = f"{volume.base}/missing"
    refused(volume.coffer("mount", volume.dir, missing, *volume.unlock(), check=False), missing)
    write_file(missing, b"a file")
    refused(volume.coffer("mount", volume.dir, missing, *volume.unlock(), check=False), missing)
    inside = f"{volume.dir}/data"
    refused(volume.coffer("mount", volume.dir, inside, *volume.unlock(), check=False))
    refused(volume.coffer("mount", volume.base, volume.mnt, *volume.unlock(), check=False), volume.base)


def test_wrong_secret():
    need_mount()
    for passphrase in (False, True):
        with Volume(passphrase=passphrase) as volume:
            write_file(f"{volume.base}/wrong", b"wrong, and long enough to be a key file\n")
            option = f"--{volume.kind}-file"
            r = volume.coffer("mount", volume.dir, volume.mnt, option, f"{volume.base}/wrong", check=False)
            refused(r)
            equal(mounted(volume.mnt), False)
            # no secret and no terminal: a refusal, not a hang
            r = volume.coffer("mount", volume.dir, volume.mnt, check=False, timeout=20)
            refused(r)


def test_secrets_by_options():
    need_mount()
    with Volume(passphrase=True) as volume:
        secret = volume.secret
        for option in (f"passphrase_file={secret}", f"passphrase_command=cat {secret}"):
            volume.coffer("mount", volume.dir, volume.mnt, "-o", option)
            volume.coffer("umount", volume.mnt)
        r, w = os.pipe()
        os.write(w, read_file(secret))
        os.close(w)
        argv = [harness.COFFER, "mount", volume.dir, volume.mnt, "--passphrase-fd", str(r)]
        run(*argv, pass_fds=[r], env=volume.environment())
        os.close(r)
        volume.coffer("umount", volume.mnt)
        env = {"CREDENTIALS_DIRECTORY": volume.base}
        volume.coffer("mount", volume.dir, volume.mnt, "--credential", "secret", env=env)
        volume.coffer("umount", volume.mnt)


def test_read_only(volume):
    need_mount()
    volume.mount()
    write_file(f"{volume.mnt}/f", b"to read")
    os.mkdir(f"{volume.mnt}/s")
    volume.remount("ro")
    m = volume.mnt
    equal(read_file(f"{m}/f"), b"to read")
    for call, *args in (
        (os.mkdir, f"{m}/x"),
        (os.unlink, f"{m}/f"),
        (os.rmdir, f"{m}/s"),
        (os.rename, f"{m}/f", f"{m}/g"),
        (os.chmod, f"{m}/f", 0o600),
        (os.truncate, f"{m}/f", 0),
        (os.open, f"{m}/f", os.O_RDWR),
        (os.symlink, "x", f"{m}/l"),
        (os.setxattr, f"{m}/f", "user.x", b""),
        (os.utime, f"{m}/f"),
    ):
        fails(errno.EROFS, call, *args)
    volume.remount("rw")
    write_file(f"{m}/f", b"to write")
    volume.umount()


def test_read_only_changes_nothing(volume):
    """Not one byte, mode or time below."""
    need_mount()
    volume.mount()
    for i in range(20):
        write_file(f"{volume.mnt}/{i}", content(i, i * 700))
    volume.umount()
    command = f"cd {volume.dir}/data && find . -printf '%P %m %s %T@ %C@\\n' | sort; find . -type f | sort | xargs cat | sha256sum"
    before = run("sh", "-c", command).stdout
    volume.mount("ro")
    for i in range(20):
        equal(read_file(f"{volume.mnt}/{i}"), content(i, i * 700))
    volume.umount()
    equal(run("sh", "-c", command).stdout, before)


def test_remount_read_only(volume):
    need_mount()
    need_root()
    volume.mount()
    write_file(f"{volume.mnt}/f", b"x")
    run("mount", "-i", "-o", "remount,ro", volume.mnt)  # by the kernel alone
    fails(errno.EROFS, os.mkdir, f"{volume.mnt}/x")
    run("mount", "-i", "-o", "remount,rw", volume.mnt)
    os.mkdir(f"{volume.mnt}/x")
    with helper_in_sbin("mount.fuse.coffer"):
        run("mount", "-o", "remount,ro", volume.mnt, env=volume.environment())
        fails(errno.EROFS, os.mkdir, f"{volume.mnt}/y")
        run("mount", "-o", "remount,rw,noexec", volume.mnt, env=volume.environment())
        os.mkdir(f"{volume.mnt}/y")
    volume.umount()


def test_options_of_the_kernel(volume):
    need_mount()
    need_root()
    volume.mount("noexec")
    with open("/proc/self/mountinfo") as f:
        line = next(l for l in f if f" {volume.mnt} " in l)
    for option in ("nosuid", "nodev", "noexec"):
        equal(option in line, True, f"{option} in {line}")
    equal(" - fuse.coffer " in line, True, line)
    equal(f" {volume.dir} " in line, True, line)
    write_file(f"{volume.mnt}/script", b"#!/bin/sh\n", 0o755)
    fails(errno.EACCES, subprocess.run, [f"{volume.mnt}/script"], check=False)
    volume.umount()


def test_idle(volume):
    need_mount()
    volume.mount("idle=2")
    write_file(f"{volume.mnt}/f", b"x")
    with open(f"{volume.mnt}/f", "rb"):
        time.sleep(4.5)
        equal(mounted(volume.mnt), True, "an open file keeps it")
    wait_until(lambda: not mounted(volume.mnt), 20, "unmount of the idle mount")
    volume.reap()
    volume.mount("idle=3")
    for i in range(10):
        write_file(f"{volume.mnt}/g{i}", b"busy")
        time.sleep(0.5)
    equal(mounted(volume.mnt), True, "a busy mount stays")
    wait_until(lambda: not mounted(volume.mnt), 20, "unmount of the idle mount")
    volume.reap()


def as_nobody(script, volume, timeout=60):
    return run(
        "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "sh", "-euc", script,
        env=volume.environment({"HOME": volume.base, "C": harness.COFFER, "V": volume.dir, "M": volume.mnt,
                                "P": volume.secret}),
        timeout=timeout,
    )  # fmt: skip


def test_plain_user():
    need_mount()
    need_root()
    with fuse_for_everybody(), Volume(owner=NOBODY) as volume:
        as_nobody('"$C" mount "$V" "$M" --key-file "$P"', volume)
        as_nobody(
            'cd "$M"; echo hello > f; mkdir s; cp /bin/true s/; s/true; ln f g; ln -s f l; chmod 0 f; chmod 600 f;'
            " (umask 333; echo once > once); cat once; mv f s/; test $(cat s/f) = hello; stat -c %U:%a s/f",
            volume,
        )
        fails(errno.EACCES, os.listdir, volume.mnt)  # even root: no allow_other
        as_nobody('"$C" umount "$M"', volume)
        equal(mounted(volume.mnt), False)
        as_nobody('"$C" mount "$V" "$M" --key-file "$P" -o idle=2; test "$(cat "$M"/s/f)" = hello', volume)
        wait_until(lambda: not mounted(volume.mnt), 20, "unmount of the user's idle mount")
        as_nobody('"$C" mount "$V" "$M" --key-file "$P"; cat "$M"/g; fusermount3 -u "$M"', volume)


def test_plain_user_after_a_kill():
    need_mount()
    need_root()
    with fuse_for_everybody(), Volume(owner=NOBODY) as volume:
        as_nobody('"$C" mount "$V" "$M" --key-file "$P"; echo kept > "$M"/f', volume)
        os.kill(daemon_pid(volume), signal.SIGKILL)
        wait_until(lambda: not harness.processes_naming(volume.dir), 10, "end of the daemon")
        as_nobody('"$C" mount "$V" "$M" --key-file "$P"; test "$(cat "$M"/f)" = kept; "$C" umount "$M"', volume)


def test_plain_user_programs():
    """git's read-only objects, an editor's replacing, tar: as a user without privilege."""
    need_mount()
    need_root()
    need("git", "tar")
    with fuse_for_everybody(), Volume(owner=NOBODY) as volume:
        as_nobody('"$C" mount "$V" "$M" --key-file "$P"', volume)
        as_nobody(
            'cd "$M"; export HOME="$M"; git init -q r; cd r; git config user.email a@b; git config user.name n;'
            " for i in 1 2 3; do echo $i > f; git add f; git commit -q -m $i; done; git gc -q; git fsck --full;"
            " cd ..; tar cf r.tar r; mkdir x; tar xf r.tar -C x; diff -r r x/r; chmod 555 x; mkdir x/no && exit 1;"
            " chmod 755 x; rm -rf x r",
            volume,
        )
        as_nobody('"$C" umount "$M"', volume)


def test_user_namespace(volume):
    need_mount()
    need("unshare")
    if run("unshare", "-Urm", "true", check=False).returncode:
        raise Skip("no user namespaces here")
    with fuse_for_everybody() if harness.ROOT else contextlib.nullcontext():
        script = (
            'set -e; "$C" mount "$V" "$M" --key-file "$P"; echo inside > "$M"/f; cat "$M"/f;'
            ' mkdir "$M"/s; ls -la "$M" >&2; "$C" umount "$M"'
        )
        env = volume.environment({"C": harness.COFFER, "V": volume.dir, "M": volume.mnt, "P": volume.secret})
        r = run("unshare", "-Urm", "sh", "-c", script, env=env)
        equal(r.stdout, "inside\n", r.stderr)
    equal(mounted(volume.mnt), False)
    volume.mount()
    equal(read_file(f"{volume.mnt}/f"), b"inside\n")
    volume.umount()


@contextlib.contextmanager
def helper_in_sbin(name):
    need_root()
    path = f"/sbin/{name}"
    if os.path.lexists(path):
        raise Skip(f"{path} exists")
    os.symlink(harness.COFFER, path)
    try:
        yield
    finally:
        os.unlink(path)


def mount_by_type(volume, kind, helper):
    with helper_in_sbin(helper):
        options = f"{volume.unlock_option},nofail,_netdev,noatime"
        run("mount", "-t", kind, "-o", options, volume.dir, volume.mnt, env=volume.environment())
        write_file(f"{volume.mnt}/f", b"by type")
        run("umount", volume.mnt)
        wait_until(lambda: not harness.processes_naming(volume.dir), 20, "end of the daemon")
        r = run("mount", "-t", kind, "-o", options + ",ro", volume.dir, volume.mnt, env=volume.environment())
        equal(read_file(f"{volume.mnt}/f"), b"by type")
        fails(errno.EROFS, os.mkdir, f"{volume.mnt}/x")
        run("umount", volume.mnt)
        wait_until(lambda: not harness.processes_naming(volume.dir), 20, "end of the daemon")
        r = run("mount", "-t", kind, "-o", options + ",strange", volume.dir, volume.mnt, check=False)
        equal(r.returncode != 0 and "strange" in r.stderr, True, r.stderr)


def test_mount_t_coffer(volume):
    need_mount()
    mount_by_type(volume, "coffer", "mount.coffer")


def test_mount_t_fuse_coffer(volume):
    need_mount()
    mount_by_type(volume, "fuse.coffer", "mount.fuse.coffer")


def test_mount_by_fstab(volume):
    """mount(8) with an fstab of our own, in a mount namespace."""
    need_mount()
    with helper_in_sbin("mount.coffer"):
        line = f"{volume.dir} {volume.mnt} coffer noauto,nofail,x-systemd.automount,{volume.unlock_option} 0 0\n"
        write_file(f"{volume.base}/fstab", line.encode())
        run("mount", "-T", f"{volume.base}/fstab", volume.mnt, env=volume.environment())
        write_file(f"{volume.mnt}/f", b"by fstab")
        run("umount", volume.mnt)
        wait_until(lambda: not harness.processes_naming(volume.dir), 20, "end of the daemon")


def test_daemon_outlives_its_starter(volume):
    """It does not die with the terminal or the process group."""
    need_mount()
    argv = [harness.COFFER, "mount", volume.dir, volume.mnt, *volume.unlock()]
    p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True, env=volume.environment())
    equal(p.wait(harness.MOUNT_TIMEOUT), 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(p.pid, signal.SIGHUP)
    time.sleep(0.2)
    write_file(f"{volume.mnt}/f", b"alive")
    volume.coffer("umount", volume.mnt)


def test_secrets_of_the_process(volume):
    """Not dumpable, core dumps off; the passphrase is in neither arguments nor environment."""
    need_mount()
    volume.mount()
    pid = volume.process.pid
    for name in ("cmdline", "environ"):
        equal(b"battery" in read_file(f"/proc/{pid}/{name}"), False, name)
    with open(f"/proc/{pid}/limits") as f:
        core = next(l for l in f if l.startswith("Max core"))
    equal(core.split()[4], "0", core)
    with open(f"/proc/{pid}/status") as f:
        locked = next(int(l.split()[1]) for l in f if l.startswith("VmLck"))
    equal(locked > 0, True, "locked memory")
    volume.umount()


def test_status_of_a_mount(volume):
    need_mount()
    volume.mount()
    for of in (volume.dir, volume.mnt):
        text = str(volume.status(of))
        equal(volume.mnt in text, True, text)
    r = volume.coffer("status", volume.mnt)
    equal(volume.mnt in r.stdout, True)
    volume.umount()
    equal(volume.mnt in str(volume.status(volume.dir)), False)


if __name__ == "__main__":
    sys.exit(harness.main())
