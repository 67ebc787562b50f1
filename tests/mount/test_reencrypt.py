#!/usr/bin/python3
"""Re-encryption: while programs work, killed and begun again, with files that do not decrypt, against somebody who has an old key.

Numbers in names are rules of fs/reencrypt.h and fs/rekey.h."""

import contextlib
import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time

import harness
from harness import Volume, content, equal, fails, need_mount, read_file, run, scaled, store, wait_until, write_file

SLOW = 4 if harness.SCALE > 1 else 1
PATIENCE = 60 * SLOW


def key(volume, *words, check=True, timeout=PATIENCE):
    verb, rest = (words[:2], words[2:]) if words[0] in ("reencrypt", "policy") else (words[:1], words[1:])
    unlock = [] if verb == ("reencrypt", "status") else volume.unlock()
    r = volume.coffer("key", *verb, volume.dir, *rest, *unlock, check=False, timeout=timeout)
    if check and r.returncode:
        alive = volume.process and volume.process.poll() is None
        raise harness.Failure(f"{verb}: {r.stdout}{r.stderr}; mount alive: {alive}\n{volume.log_text()[-2000:]}")
    return r


def reencrypt(volume, check=True):
    return key(volume, "reencrypt", "start", "--wait", "--max-rate", "none", check=check)


def state(volume):
    return json.loads(key(volume, "reencrypt", "status", "--json").stdout)


def generations(volume):
    return {g["generation"]: g["state"] for g in volume.status(volume.dir)["generations"] if g["scope"] == 0}


def floor(volume):
    with open(f"{volume.dir}/.coffer/keyring.json") as f:
        return next(s["floor"] for s in json.loads(f.read().split("#coffer-seal")[0])["scopes"] if s["scope"] == 0)


def listing(top):
    """What `ls -l` shows of everything, and every content. Sizes of directories are the store's own."""
    seen = {}
    for base, dirs, files in os.walk(top):
        for name in dirs + files:
            path = os.path.join(base, name)
            st = os.lstat(path)
            what = None
            if os.path.islink(path):
                what = os.readlink(path)
            elif os.path.isfile(path):
                what = read_file(path)
            attributes = {}
            with contextlib.suppress(OSError):
                for a in os.listxattr(path, follow_symlinks=False):
                    attributes[a] = os.getxattr(path, a, follow_symlinks=False)
            size = 0 if os.path.isdir(path) and not os.path.islink(path) else st.st_size
            seen[os.path.relpath(path, top)] = (
                st.st_mode, st.st_nlink, st.st_uid, st.st_gid, size, st.st_mtime_ns, what, attributes)  # fmt: skip
    return seen


def close_all(top):
    """What this process has open there."""
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{fd}").startswith(top):
                os.close(int(fd))


def furnish(m, files=120):
    """One of everything."""
    os.mkdir(f"{m}/dir")
    os.mkdir(f"{m}/dir/deep")
    os.mkdir(f"{m}/many")
    for i in range(files):
        write_file(f"{m}/dir/f{i}", content(i, i * 97 % 6000))
    for i in range(700):  # more names than move at once
        write_file(f"{m}/many/{i}", b"")
    write_file(f"{m}/dir/deep/large", content("large", 1_500_000))
    write_file(f"{m}/" + "long" * 60, b"a long name")
    with open(f"{m}/sparse", "wb") as f:
        f.seek(300 << 20)
        f.write(content("sparse", 9000))
        f.truncate(400 << 20)
    os.link(f"{m}/dir/deep/large", f"{m}/hard")
    os.symlink("short", f"{m}/link")
    os.symlink("x" * 3000, f"{m}/dir/longlink")
    os.link(f"{m}/link", f"{m}/dir/link2", follow_symlinks=False)
    os.mkfifo(f"{m}/fifo")
    write_file(f"{m}/empty", b"")
    write_file(f"{m}/readonly", b"may not be opened again", 0o400)
    write_file(f"{m}/nothing", content("nothing", 5000), 0)
    with contextlib.suppress(OSError):
        os.setxattr(f"{m}/hard", "user.name", b"value")
        os.setxattr(f"{m}/empty", "user." + "n" * 240, b"")
        os.setxattr(f"{m}/dir", "user.d", content("xattr", 300))
    os.utime(f"{m}/dir", ns=(1, 1_000_000_007))
    os.utime(f"{m}/link", ns=(5, 1_000_000_009), follow_symlinks=False)
    os.chmod(f"{m}/dir/deep", 0o555)


def test_everything_moves(volume):
    need_mount()
    volume.mount()
    m = volume.mnt
    furnish(m)
    if harness.ROOT:
        write_file(f"{m}/suid", content("suid", 20000), 0o6755)
        os.chmod(f"{m}/suid", 0o6755)
        with contextlib.suppress(OSError):
            os.setxattr(f"{m}/suid", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
    volume.remount()
    before = listing(m)
    key(volume, "rotate")
    r = key(volume, "destroy", "1", "--now", "--yes", check=False)
    equal("files still need generation 1" in r.stderr, True, r.stderr)
    reencrypt(volume)
    equal(listing(m), before)
    equal(floor(volume), 3)
    volume.remount()
    equal(listing(m), before)
    key(volume, "destroy", "1", "--now", "--yes")
    volume.remount()
    equal(listing(m), before)
    volume.umount()
    volume.check("--deep")


def test_without_a_mount(volume):
    need_mount()
    volume.mount()
    furnish(volume.mnt, 20)
    volume.remount()
    before = listing(volume.mnt)
    volume.umount()
    key(volume, "rotate")
    r = reencrypt(volume)
    equal("nothing older is accepted" in r.stdout, True, r.stdout + r.stderr)
    volume.check("--deep")
    volume.mount()
    equal(listing(volume.mnt), before)
    equal(state(volume)["phase"], "none")
    volume.umount()


def test_a_plain_user():
    need_mount()
    harness.need_root()
    with harness.fuse_for_everybody(), Volume(owner=harness.NOBODY) as volume:
        volume.mount()
        script = (
            'cd "$1"; mkdir d; echo f >d/f; ln -s t d/l; chmod 555 d; echo r >r; chmod 0 r; echo w >w; chmod 200 w;'
            ' printf "%0250d" 1 | xargs -I{} touch d2-{} || :'
        )
        run(*harness.as_owner(harness.NOBODY), "sh", "-euc", script, "sh", volume.mnt)
        volume.coffer("key", "rotate", volume.dir, *volume.unlock(), user=harness.NOBODY)
        r = volume.coffer("key", "reencrypt", "start", volume.dir, "--wait", "--max-rate", "none", *volume.unlock(),
                          user=harness.NOBODY)  # fmt: skip
        equal("nothing older is accepted" in r.stdout, True, r.stdout + volume.log_text())
        r = run(*harness.as_owner(harness.NOBODY), "sh", "-euc", 'cd "$1"; stat -c "%A %n" d r w; chmod 400 r; cat d/f r; readlink d/l', "sh", volume.mnt)
        equal(r.stdout, "dr-xr-xr-x d\n---------- r\n--w------- w\nf\nr\nt\n")
        volume.umount()


def test_portable_on_a_store_without_much(volume):
    need_mount()
    with store("vfat", "60M") as on, Volume(on=on, init=["--portable"]) as v:
        v.mount()
        os.mkdir(f"{v.mnt}/dir")
        for i in range(300):
            write_file(f"{v.mnt}/dir/file number {i}", content(i, 100 * i))
        write_file(f"{v.mnt}/" + "long" * 60, b"a long name")
        before = listing(v.mnt)
        key(v, "rotate")
        reencrypt(v)
        v.remount()
        equal(listing(v.mnt), before)
        v.umount()


WRITER = """
import os, random, sys
top, number = sys.argv[1], sys.argv[2]
rng = random.Random(number)
path = f"{top}/fsx{number}"
fd = os.open(path, os.O_CREAT | os.O_RDWR)
model = bytearray()
while not os.path.exists(top + "/../stop"):
    op = rng.randrange(6)
    at, n = rng.randrange(600000), rng.choice((1, 100, 4096, 70000))
    if op < 3:
        data = rng.randbytes(n)
        os.pwrite(fd, data, at)
        model.extend(bytes(max(0, at + n - len(model))))
        model[at : at + n] = data
    elif op == 3:
        size = rng.randrange(600000)
        os.ftruncate(fd, size)
        del model[size:]
        model.extend(bytes(size - len(model)))
    elif op == 4:
        assert os.pread(fd, n, at) == bytes(model[at : at + n]), f"read of {n} at {at}"
    else:
        new = f"{top}/fsx{number}.{rng.randrange(100)}"
        os.rename(path, new)
        path = new
        if rng.randrange(4) == 0:
            os.fsync(fd)
os.close(fd)
with open(path, "rb") as f:
    assert f.read() == model, "content at the end"
os.rename(path, f"{top}/fsx{number}")
"""

COMPILER = """
import os, subprocess, sys
top = sys.argv[1]
i = 0
while not os.path.exists(top + "/../stop"):
    d = f"{top}/build{i % 3}"
    subprocess.run(["rm", "-rf", d], check=True)
    os.mkdir(d)
    with open(f"{d}/a.c", "w") as f:
        f.write('#include <stdio.h>\\nint main(void) { return printf("%d", ' + str(i) + ") < 0; }")
    subprocess.run(["cc", "-o", f"{d}/a.out", f"{d}/a.c"], check=True)
    assert subprocess.run([f"{d}/a.out"], stdout=subprocess.PIPE, check=True).stdout == str(i).encode()
    i += 1
"""

SQLITE = """
import os, sqlite3, sys
top = sys.argv[1]
db = sqlite3.connect(f"{top}/db", timeout=60)
db.execute("PRAGMA journal_mode=WAL")
db.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, text TEXT)")
n = 0
while not os.path.exists(top + "/../stop"):
    db.execute("INSERT INTO t VALUES (?, ?)", (n, "row %d " % n * 20))
    if n % 3 == 0:
        db.execute("DELETE FROM t WHERE n = ?", (n // 2,))
    db.commit()
    n += 1
print(n)
"""


@harness.limit(400)
def test_rotated_and_reencrypted_under_load(volume):
    """Nobody who works sees anything of it."""
    need_mount()
    volume.mount()
    m = volume.mnt
    furnish(m, 60)
    shutil.copytree("/usr/include/linux", f"{m}/tree", symlinks=True)
    keep = {k: v for k, v in listing(m).items()}
    programs = [[WRITER, m, "0"], [WRITER, m, "1"], [SQLITE, m], [COMPILER, m]]
    workers = [subprocess.Popen(["/usr/bin/python3", "-c", *p], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for p in programs]
    for _ in range(max(2, scaled(5))):
        key(volume, "rotate")
        key(volume, "reencrypt", "start", "--max-rate", "none")
        time.sleep(1.0)
    write_file(f"{volume.base}/stop", b"")
    for w, p in zip(workers, programs):
        _, err = w.communicate(timeout=120)
        equal((w.returncode, err), (0, ""), p[0][:60])
    reencrypt(volume)
    now = listing(m)
    for path, what in keep.items():
        equal(now[path][:4] + now[path][6:], what[:4] + what[6:], path)
    db = sqlite3.connect(f"{m}/db")
    equal(db.execute("PRAGMA integrity_check").fetchone()[0], "ok")
    db.close()
    newest = max(generations(volume))
    equal(floor(volume), newest)
    volume.umount()
    for g, is_now in generations(volume).items():
        if g != newest:
            equal(is_now, "deactivated")
            key(volume, "destroy", str(g), "--now", "--yes")
    volume.check("--deep")


@harness.limit(400)
def test_rule_1_killed_and_begun_again(volume):
    """The next mount goes on by itself, as often as it takes."""
    need_mount()
    volume.mount()
    m = volume.mnt
    furnish(m, 300)
    for i in range(3):
        shutil.copytree("/usr/include/linux", f"{m}/tree{i}", symlinks=True)
    volume.remount()
    before = listing(m)
    key(volume, "rotate")
    key(volume, "reencrypt", "start", "--max-rate", "20M")
    for i in range(max(3, scaled(10))):
        if state(volume)["phase"] == "none":
            break
        time.sleep(0.05 + 0.09 * i)
        volume.kill()
        volume.mount()
    key(volume, "reencrypt", "status", "--wait", timeout=200)
    wait_until(lambda: state(volume)["phase"] == "none", PATIENCE, "the end of the re-encryption")
    after = listing(m)
    for path in before:  # a link that was cut off in the middle is two
        if not os.path.islink(f"{m}/{path}"):
            equal(after.get(path), before[path], path)
        else:
            equal(after[path][6], before[path][6], path)
    equal(set(before), set(after))
    volume.umount()
    volume.check("--deep")
    key(volume, "destroy", "1", "--now", "--yes")


def test_pause_resume_stop(volume):
    need_mount()
    volume.mount()
    m = volume.mnt
    for i in range(40):
        write_file(f"{m}/f{i}", content(i, 100_000))
    fails_with = key(volume, "reencrypt", "pause", check=False)
    equal("no re-encryption is under way" in fails_with.stderr, True, fails_with.stderr)
    key(volume, "rotate")
    key(volume, "reencrypt", "start", "--max-rate", "200K")
    time.sleep(0.7)
    now = state(volume)
    equal((now["phase"], now["generation"], 0 < now["percent"] < 90), ("moving", 3, True), f"{now}")
    r = key(volume, "destroy", "1", "--now", "--yes", check=False)
    equal("under way" in r.stderr, True, r.stderr)
    key(volume, "reencrypt", "pause")
    equal(state(volume)["phase"], "paused")
    volume.remount()
    equal(state(volume)["phase"], "paused")
    key(volume, "reencrypt", "resume")
    equal(state(volume)["phase"] in ("waiting", "moving"), True)
    key(volume, "reencrypt", "stop")
    equal(state(volume)["phase"], "none")
    volume.remount()
    equal((state(volume)["phase"], floor(volume)), ("none", 1))
    r = key(volume, "destroy", "1", "--now", "--yes", check=False)
    equal("still need" in r.stderr, True, r.stderr)
    reencrypt(volume)
    for i in range(40):
        equal(read_file(f"{m}/f{i}"), content(i, 100_000))
    key(volume, "destroy", "1", "--now", "--yes")
    volume.umount()


def test_held_open_and_unlinked(volume):
    need_mount()
    volume.mount()
    m = volume.mnt
    write_file(f"{m}/gone", content("gone", 50000))
    fd = os.open(f"{m}/gone", os.O_RDWR)
    os.unlink(f"{m}/gone")
    nameless = None
    with contextlib.suppress(OSError):  # an older libfuse
        nameless = os.open(m, os.O_TMPFILE | os.O_RDWR, 0o600)
        os.write(nameless, content("nameless", 30000))
    time.sleep(6)  # until it is in place
    key(volume, "rotate")
    reencrypt(volume)
    key(volume, "destroy", "1", "--now", "--yes")
    equal(os.pread(fd, 60000, 0), content("gone", 50000))
    os.close(fd)
    if nameless is not None:
        equal(os.pread(nameless, 60000, 0), content("nameless", 30000))
        # With a directory to begin at, else Python calls link(2), which does not follow.
        here = os.open("/", os.O_RDONLY)
        os.link(f"/proc/self/fd/{nameless}", f"{m}/named", src_dir_fd=here, follow_symlinks=True)
        os.close(here)
        os.close(nameless)
        volume.remount()
        equal(read_file(f"{m}/named"), content("nameless", 30000))
    volume.umount()


def damage(volume, name, at):
    path = volume.backing(name)
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1]))


def test_rule_3_what_does_not_decrypt(volume):
    need_mount()
    volume.mount()
    m = volume.mnt
    os.mkdir(f"{m}/d")
    for name in ("good", "d/bad page", "bad head", "kept"):
        write_file(f"{m}/{name}", content(name, 30000))
    volume.umount()
    damage(volume, "d/bad page", 4096 * 3 + 7)
    damage(volume, "bad head", 100)
    key(volume, "rotate")
    volume.mount()
    r = reencrypt(volume, check=False)
    equal((r.returncode, "/d/bad page" in r.stdout, "/bad head" in r.stdout, "good" in r.stdout), (r.returncode, True, True, False), r.stdout)
    equal(r.returncode != 0, True)
    now = state(volume)
    equal((now["phase"], now["stuck"], sorted(now["stuck_paths"])), ("stuck", 2, ["/bad head", "/d/bad page"]))
    equal(floor(volume), 1)
    equal("still need" in key(volume, "destroy", "1", "--now", "--yes", check=False).stderr, True)
    # Pages that do decrypt can still be read.
    equal(os.pread(os.open(f"{m}/d/bad page", os.O_RDONLY), 4096, 0), content("d/bad page", 30000)[:4096])
    r = key(volume, "reencrypt", "resume", "--give-up", "/no such file", check=False)
    equal("is not among" in r.stderr, True, r.stderr)
    key(volume, "reencrypt", "resume", "--give-up", "/bad head", "--wait", check=False)
    equal(os.path.exists(f"{m}/bad head"), False)
    equal((state(volume)["phase"], state(volume)["stuck"]), ("stuck", 1))
    key(volume, "reencrypt", "resume", "--give-up", "all", "--wait")
    wait_until(lambda: state(volume)["phase"] == "none", PATIENCE, "the end")
    equal((sorted(os.listdir(m)), os.listdir(f"{m}/d"), floor(volume)), (["d", "good", "kept"], [], 3))
    equal(len(os.listdir(f"{volume.dir}/.coffer/lost")), 2)
    equal(volume.coffer("key", "audit", "show", volume.dir, *volume.unlock()).stdout.count("given-up"), 2)
    close_all(m)
    volume.remount()
    equal(read_file(f"{m}/good"), content("good", 30000))
    # Nobody counts what was set aside: whoever destroys the key is told of it.
    lost = sorted(os.listdir(f"{volume.dir}/.coffer/lost"))
    r = json.loads(key(volume, "destroy", "1", "--json").stdout)
    equal((r["lost"], sorted(r["lost_files"])), (2, lost))
    out = key(volume, "destroy", "1", "--now", "--yes").stdout
    equal([name in out for name in lost], [True, True], out)
    volume.umount()


def test_rule_2_an_old_key_forges_nothing(volume):
    """Somebody learnt the generation's key: here he has all of an older keyring, and a copy of the volume to work on."""
    need_mount()
    volume.mount()
    m = volume.mnt
    os.mkdir(f"{m}/d")
    for name in ("inline", "d/x"):
        write_file(f"{m}/{name}", b"the owner's")
    write_file(f"{m}/paged", content("paged", 40000))
    os.symlink("owner", f"{m}/link")
    os.setxattr(f"{m}/inline", "user.a", b"owner's")
    names = {n: volume.backing(n) for n in ("inline", "paged", "link", "d", "d/x")}
    volume.umount()
    attacker = f"{volume.base}/attacker"
    shutil.copytree(volume.dir, attacker, symlinks=True)
    key(volume, "rotate")
    reencrypt(volume)
    after = {n: volume.backing(n) for n in names}
    evil = Volume.__new__(Volume)
    evil.__dict__.update(volume.__dict__)
    evil.dir, evil.mnt = attacker, f"{volume.base}/evil"
    os.mkdir(evil.mnt)
    run("cp", "-a", volume.secret, f"{volume.base}/secret2")
    evil.coffer("mount", attacker, evil.mnt, *evil.unlock(), "-o", "accept_older_keyring", env={"XDG_RUNTIME_DIR": attacker})
    for name in ("inline", "d/x"):
        write_file(f"{evil.mnt}/{name}", b"the attacker's")
    with open(f"{evil.mnt}/paged", "r+b") as f:
        f.write(b"the attacker's")
    os.unlink(f"{evil.mnt}/link")
    os.symlink("attacker", f"{evil.mnt}/link")
    write_file(f"{evil.mnt}/planted", b"a name of his own")
    os.setxattr(f"{evil.mnt}/inline", "user.a", b"attacker's")
    os.setxattr(f"{evil.mnt}/inline", "user.b", b"attacker's")
    os.sync()
    evil.coffer("umount", evil.mnt, env={"XDG_RUNTIME_DIR": attacker})
    theirs = {n: p.replace(volume.dir, attacker, 1) for n, p in names.items()}
    # Contents, a page, a link, attributes: each in the place of the owner's.
    for name in ("inline", "d/x"):
        with open(after[name], "r+b") as f:
            f.truncate(0)
            f.write(read_file(theirs[name]))
    with open(after["paged"], "r+b") as f, open(theirs["paged"], "rb") as g:
        g.seek(4096)
        f.seek(4096)
        f.write(g.read(4096))
    for a in os.listxattr(theirs["inline"]):
        os.setxattr(after["inline"], a, os.getxattr(theirs["inline"], a))
    os.unlink(after["link"])
    os.symlink(os.readlink(theirs["link"]), after["link"])
    planted = set(os.listdir(f"{attacker}/data")) - {os.path.basename(p) for p in names.values()}
    for p in planted - {".coffer-dir"}:
        shutil.copy(f"{attacker}/data/{p}", f"{volume.dir}/data/{p}")
    volume.mount()
    fails(errno.EIO, read_file, f"{m}/inline")
    fails(errno.EIO, read_file, f"{m}/d/x")
    fails(errno.EIO, os.pread, os.open(f"{m}/paged", os.O_RDONLY), 100, 0)
    fails(errno.EIO, os.readlink, f"{m}/link")
    equal("planted" in os.listdir(m), False)
    fails(errno.ENOENT, os.stat, f"{m}/planted")
    fails((errno.ENODATA, errno.EIO), os.getxattr, f"{m}/inline", "user.b")
    close_all(m)
    volume.umount()
    # An old id record of a directory shows nothing either.
    os.unlink(f"{after['d']}/.coffer-dir")
    shutil.copy(f"{theirs['d']}/.coffer-dir", f"{after['d']}/.coffer-dir", follow_symlinks=False)
    volume.mount()
    fails(errno.EIO, os.listdir, f"{m}/d")
    volume.umount()


def test_touch_and_suspect(volume):
    need_mount()
    volume.mount()
    m = volume.mnt
    write_file(f"{m}/old", b"old")
    os.utime(f"{m}/old", ns=(0, 999_999_999))
    write_file(f"{m}/large", content("l", 30000))
    os.utime(f"{m}/large", ns=(0, 5_000_000_000))
    time.sleep(1.1)
    since = int(time.time())
    time.sleep(1.1)
    write_file(f"{m}/suspect", b"new")
    key(volume, "rotate")
    r = key(volume, "reencrypt", "start", "--wait", "--touch", "--suspect", f"@{since}")
    equal(("suspect" in r.stdout, "/old" in r.stdout), (True, False), r.stdout)
    volume.remount()
    equal((os.stat(f"{m}/old").st_mtime_ns, os.stat(f"{m}/large").st_mtime_ns), (1_000_000_000, 5_000_000_001))
    volume.umount()


def many_names(volume):
    """A mount with a directory of 3000 empty files, none of which the kernel knows, and a new generation: the directory and their names."""
    need_mount()
    volume.mount()
    d = f"{volume.mnt}/d"
    os.mkdir(d)
    names = {f"name {i}" for i in range(3000)}
    for n in names:
        write_file(f"{d}/{n}", b"")
    volume.remount()
    key(volume, "rotate")
    return d, names


def test_names_wait_for_listings(volume):
    """A listing that has begun shows every name, though another one of the same directory has ended meanwhile (rekey_names.c (2))."""
    d, names = many_names(volume)
    with os.scandir(d) as entries:
        shown = [next(entries).name]
        equal(set(os.listdir(d)), names)
        write_file(f"{d}/new", b"")  # or the kernel lists the rest from its own memory
        os.unlink(f"{d}/new")
        key(volume, "reencrypt", "start")
        time.sleep(1)
        shown += [e.name for e in entries]
    equal((len(shown), set(shown) ^ names), (len(names), set()))
    equal(set(os.listdir(d)), names)
    volume.umount()


def test_listing_while_names_move(volume):
    """Each listing shows every name once, however many move meanwhile."""
    d, names = many_names(volume)
    key(volume, "reencrypt", "start")
    count = 0
    while state(volume)["phase"] != "none":
        # What comes, goes and changes its name meanwhile shows as well.
        write_file(f"{d}/new {count}", b"")
        os.unlink(f"{d}/name {count}")
        os.rename(f"{d}/name {1000 + count}", f"{d}/renamed {count}")
        names = names - {f"name {count}", f"name {1000 + count}"} | {f"new {count}", f"renamed {count}"}
        shown = os.listdir(d)
        equal((len(shown), set(shown) ^ names), (len(names), set()))
        run("sync", "-f", d)
        count += 1
        with open("/proc/sys/vm/drop_caches", "w") as f:  # or the kernel lists from its own memory
            f.write("2")
    equal(count > 0, True)
    volume.umount()


def test_refusals(volume):
    need_mount()
    volume.mount("nojournal")
    r = reencrypt(volume, check=False)
    equal("needs the journal" in r.stderr, True, r.stderr)
    volume.umount()
    volume.mount("ro")
    r = reencrypt(volume, check=False)
    equal(r.returncode != 0, True)
    volume.umount()


if __name__ == "__main__":
    sys.exit(harness.main())
