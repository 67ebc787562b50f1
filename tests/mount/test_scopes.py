#!/usr/bin/python3
"""Scopes: a directory with generations of its own, given to it while programs work, locked, rotated, destroyed apart from the rest.

Numbers in names are rules of fs/assign.h and fs/live_keys.h."""

import contextlib
import errno
import json
import mmap
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import harness
from harness import content, equal, fails, need_mount, read_file, run, store, wait_until, write_file

SLOW = 4 if harness.SCALE > 1 else 1
NAMES = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~")


def key(volume, *words, check=True):
    """Verb, volume, rest, secret."""
    n = 2 if words[0] in ("scope", "reencrypt") else 1
    secret = [] if words[:2] in (("scope", "list"), ("scope", "lock"), ("reencrypt", "status")) else volume.unlock()
    r = volume.coffer("key", *words[:n], volume.dir, *words[n:], *secret, check=False, timeout=60 * SLOW)
    if check and r.returncode:
        raise harness.Failure(f"{words}: {r.stdout}{r.stderr}\n{volume.log_text()[-1500:]}")
    return r


def scopes(volume):
    return {s["scope"]: s for s in json.loads(key(volume, "scope", "list", "--json").stdout)["scopes"]}


def make(volume, name, *directories):
    if name not in scopes(volume):
        key(volume, "scope", "create", name)
    for d in directories:
        key(volume, "scope", "assign", name, d, "--wait")
        equal(all(x["settled"] for x in scopes(volume)[name]["directories"]), True)


def wait_settled(volume, name):
    """Until what was in the scope's first directory has been re-encrypted."""
    wait_until(lambda: scopes(volume)[name]["directories"][0]["settled"], 20 * SLOW, "the end of the re-encryption")


def fill(top):
    os.makedirs(f"{top}/below/deeper")
    for path, size in (("inline", 100), ("paged", 70000), ("below/x", 5000), ("below/deeper/" + "n" * 200, 20)):
        write_file(f"{top}/{path}", content(path, size))
    os.symlink("inline", f"{top}/link")
    os.symlink("t" * 900, f"{top}/below/long")
    os.link(f"{top}/paged", f"{top}/below/second")
    os.setxattr(f"{top}/inline", "user.a", b"value")
    os.setxattr(f"{top}/below", "user.d", b"of a directory")


def whole(top):
    for path, size in (("inline", 100), ("paged", 70000), ("below/x", 5000), ("below/deeper/" + "n" * 200, 20)):
        equal(read_file(f"{top}/{path}"), content(path, size), path)
    equal(os.readlink(f"{top}/link"), "inline")
    equal(os.readlink(f"{top}/below/long"), "t" * 900)
    equal(os.stat(f"{top}/paged").st_nlink, 2)
    equal(os.getxattr(f"{top}/inline", "user.a"), b"value")
    equal(os.getxattr(f"{top}/below", "user.d"), b"of a directory")
    equal(sorted(os.listdir(top)), ["below", "inline", "link", "paged"])


def generation_of(volume, path):
    """As the head of a backing file says it."""
    with open(volume.backing(path), "rb") as f:
        f.seek(24)
        return int.from_bytes(f.read(4), "little")


def test_assigning_a_full_directory(volume):
    need_mount()
    volume.mount()
    fill(f"{volume.mnt}/d")
    fill(f"{volume.mnt}/rest")
    make(volume, "taxes", "d")
    whole(f"{volume.mnt}/d")
    whole(f"{volume.mnt}/rest")
    s = scopes(volume)
    equal((s["taxes"]["active"], s["taxes"]["floor"], s["default"]["floor"]), (3, 3, 1))
    equal((generation_of(volume, "d/below/x"), generation_of(volume, "rest/below/x")), (3, 1))
    # New things, too, also far below.
    os.mkdir(f"{volume.mnt}/d/below/deeper/new")
    write_file(f"{volume.mnt}/d/below/deeper/new/f", b"new")
    equal(generation_of(volume, "d/below/deeper/new/f"), 3)
    volume.remount()
    whole(f"{volume.mnt}/d")
    equal(read_file(f"{volume.mnt}/d/below/deeper/new/f"), b"new")
    # The directory itself may go anywhere in the scope that it lies in.
    os.mkdir(f"{volume.mnt}/rest/in")
    os.rename(f"{volume.mnt}/d", f"{volume.mnt}/rest/in/d")
    write_file(f"{volume.mnt}/rest/in/d/more", b"more")
    equal(generation_of(volume, "rest/in/d/more"), 3)
    os.unlink(f"{volume.mnt}/rest/in/d/more")
    whole(f"{volume.mnt}/rest/in/d")
    volume.umount()
    volume.check("--deep")


def test_directories_that_nobody_has_read(volume):
    """The kernel knows them, and the mount has not looked into them yet: they are in the scope as well."""
    need_mount()
    volume.mount()
    fill(f"{volume.mnt}/d")
    os.makedirs(f"{volume.mnt}/d/empty/one")
    for i, scope in enumerate(("one", "two", "default")):
        volume.remount()
        for path in ("below", "empty"):
            os.stat(f"{volume.mnt}/d/{path}")
        make(volume, scope, "d")
        volume.umount()
        volume.check("--deep")
        volume.mount()
        equal(generation_of(volume, "d/below/x"), (3, 4, 1)[i])
        equal(os.listdir(f"{volume.mnt}/d/empty"), ["one"])


def test_assigning_without_a_mount(volume):
    need_mount()
    volume.mount()
    fill(f"{volume.mnt}/d")
    os.unlink(f"{volume.mnt}/d/below/second")
    volume.umount()
    make(volume, "taxes", "d/below")
    volume.check("--deep")
    volume.mount()

    fails(errno.EXDEV, os.rename, f"{volume.mnt}/d/inline", f"{volume.mnt}/d/below/inline")


def test_rule_2_a_name_outside(volume):
    need_mount()
    volume.mount()
    fill(f"{volume.mnt}/d")
    os.link(f"{volume.mnt}/d/below/x", f"{volume.mnt}/outside")
    key(volume, "scope", "create", "taxes")
    r = key(volume, "scope", "assign", "taxes", "d", check=False)
    equal((r.returncode, "has another name outside" in r.stderr), (13, True), r.stderr)
    # Nothing has changed: not even the border.
    os.rename(f"{volume.mnt}/d/inline", f"{volume.mnt}/inline")
    os.rename(f"{volume.mnt}/inline", f"{volume.mnt}/d/inline")
    equal(generation_of(volume, "d/below/x"), 1)
    os.unlink(f"{volume.mnt}/outside")
    make(volume, "taxes", "d")
    whole(f"{volume.mnt}/d")


def test_the_border(volume):
    need_mount()
    volume.mount()
    m = volume.mnt
    for d in ("a", "b", "rest"):
        fill(f"{m}/{d}")
    make(volume, "one", "a")
    make(volume, "two", "b")
    for x, y in (("a", "b"), ("a", "rest"), ("rest", "b")):
        fails(errno.EXDEV, os.rename, f"{m}/{x}/inline", f"{m}/{y}/new")
        fails(errno.EXDEV, os.rename, f"{m}/{x}/below", f"{m}/{y}/new")
        fails(errno.EXDEV, os.link, f"{m}/{x}/inline", f"{m}/{y}/new")
        fails(errno.EXDEV, harness.renameat2, f"{m}/{x}/inline", f"{m}/{y}/inline", 2)
    run("mv", f"{m}/rest/below", f"{m}/a/moved")
    equal(read_file(f"{m}/a/moved/x"), content("below/x", 5000))
    equal(generation_of(volume, "a/moved/x"), scopes(volume)["one"]["active"])
    # Two directories of one scope.
    os.mkdir(f"{m}/c")
    make(volume, "one", "c")
    os.rename(f"{m}/a/moved", f"{m}/c/moved")
    os.link(f"{m}/a/inline", f"{m}/c/inline")
    volume.remount()
    equal(read_file(f"{m}/c/moved/x"), content("below/x", 5000))
    equal(read_file(f"{m}/c/inline"), content("inline", 100))


def test_inside_one_another_and_back(volume):
    need_mount()
    volume.mount()
    m = volume.mnt
    fill(f"{m}/d")
    os.unlink(f"{m}/d/below/second")
    make(volume, "outer", "d")
    make(volume, "inner", "d/below")
    equal((generation_of(volume, "d/inline"), generation_of(volume, "d/below/x")), (3, 4))
    r = key(volume, "scope", "assign", "inner", "d/below", check=False)
    equal((r.returncode, "already" in r.stderr), (13, True), r.stderr)
    make(volume, "default", "d")
    equal((generation_of(volume, "d/inline"), generation_of(volume, "d/below/x")), (1, 4))
    make(volume, "outer", "d/below")
    equal(generation_of(volume, "d/below/x"), 3)
    volume.remount()
    equal(read_file(f"{m}/d/below/x"), content("below/x", 5000))


def test_the_whole_volume(volume):
    need_mount()
    volume.mount()
    m = volume.mnt
    fill(f"{m}/d")
    os.symlink("d", f"{m}/link")
    os.setxattr(m, "user.top", b"value")
    make(volume, "all", ".")
    equal(generation_of(volume, "d/inline"), 3)
    for path, word in (("nosuch", "No such file"), ("..", "No such file"), ("link", "Not a directory"), ("/", "is not in a mount")):
        r = key(volume, "scope", "assign", "all", path, check=False)
        equal((r.returncode != 0, word in r.stderr), (True, True), r.stderr)
    volume.remount()
    whole(f"{m}/d")
    equal((os.readlink(f"{m}/link"), os.getxattr(m, "user.top")), ("d", b"value"))
    make(volume, "default", f"{m}/./d/../")
    equal(generation_of(volume, "d/inline"), 1)
    volume.umount()
    volume.check("--deep")


WRITER = """
import os, random, sys
top, seed = sys.argv[1], int(sys.argv[2])
rng = random.Random(seed)
model = {}
i = 0
while not os.path.exists(sys.argv[3]):
    name = f"{top}/w{seed}-{rng.randrange(12)}"
    if rng.random() < 0.2 and name in model:
        os.unlink(name)
        del model[name]
    elif rng.random() < 0.3 and name in model:
        os.rename(name, name + "r")
        os.rename(name + "r", name)
    else:
        data = rng.randbytes(rng.choice((10, 4000, 30000)))
        with open(name, "wb") as f:
            f.write(data)
        model[name] = data
    for n in rng.sample(sorted(model), min(2, len(model))):
        assert open(n, "rb").read() == model[n], n
    i += 1
for n, data in model.items():
    assert open(n, "rb").read() == data, n
print(i)
"""


def test_rule_1_programs_go_on(volume):
    """Directories get a scope and another one while programs work below; a mapping, an unlinked file and a directory of somebody's own go on."""
    need_mount()
    volume.mount()
    m = volume.mnt
    for d in ("a", "a/b", "rest"):
        os.mkdir(f"{m}/{d}")
    stop = f"{volume.base}/stop"
    argv = ["/usr/bin/python3", "-c", WRITER]
    writers = [subprocess.Popen([*argv, f"{m}/{d}", str(i), stop], stdout=subprocess.PIPE, text=True)
               for i, d in enumerate(("a", "a/b", "rest"))]
    write_file(f"{m}/a/held", content("held", 30000))
    held = open(f"{m}/a/held", "r+b")
    os.unlink(f"{m}/a/held")
    write_file(f"{m}/a/mapped", content("mapped", 30000))
    with open(f"{m}/a/mapped", "r+b") as f:
        mapped = mmap.mmap(f.fileno(), 0)
    for name in ("one", "two", "default"):
        make(volume, name)
        key(volume, "scope", "assign", name, "a")
        # At once, as with what is new there it would take as long as the programs do.
        key(volume, "reencrypt", "start", "--scope", name, "--max-rate", "none", "--wait")
        equal([d["settled"] for d in scopes(volume)[name]["directories"]], [True])
        mapped[100:103] = name.encode()[:3]
        held.seek(5000)
        held.write(name.encode())
        held.flush()
        key(volume, "rotate", *([] if name == "default" else ["--scope", name]))
    held.seek(0)
    equal(held.read(5000), content("held", 30000)[:5000])
    mapped.flush()
    write_file(stop, b"")
    for w in writers:
        out, _ = w.communicate(timeout=60 * SLOW)
        equal((w.returncode, int(out) > 3), (0, True), out)
    held.close()
    mapped.close()
    volume.umount()
    volume.check("--deep")


def test_killed_on_the_way(volume):
    need_mount()
    volume.mount()
    m = volume.mnt
    fill(f"{m}/d")
    for i in range(60):
        write_file(f"{m}/d/f{i}", content(i, 9000))
    key(volume, "scope", "create", "taxes")
    key(volume, "scope", "assign", "taxes", "d")
    for pause in (0.0, 0.03, 0.1):
        time.sleep(pause * SLOW)
        volume.kill()
        volume.mount()
        for i in range(60):
            equal(read_file(f"{m}/d/f{i}"), content(i, 9000), i)
    key(volume, "reencrypt", "status", "--wait")
    wait_settled(volume, "taxes")
    for i in range(60):
        os.unlink(f"{m}/d/f{i}")
    whole(f"{m}/d")
    equal(generation_of(volume, "d/inline"), 3)


def test_rule_4_locked(volume):
    need_mount()
    volume.mount()
    m = volume.mnt
    fill(f"{m}/d")
    fill(f"{m}/rest")
    make(volume, "taxes", "d")
    with open(f"{m}/d/paged", "r+b") as f:
        mapped = mmap.mmap(f.fileno(), 0)
        mapped[0:5] = b"dirty"
        reader = open(f"{m}/d/inline", "rb")
        key(volume, "scope", "lock", "taxes")
        equal(scopes(volume)["taxes"]["locked"], True)
        # Nothing that was read stays readable.
        fails(errno.ENOKEY, reader.read)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGBUS, signal.SIG_DFL)
            mapped[0]
            os._exit(0)
        equal(os.waitpid(child, 0)[1], signal.SIGBUS)
    r = key(volume, "scope", "lock", "taxes", check=False)
    equal((r.returncode, "locked already" in r.stderr), (13, True), r.stderr)
    status = volume.coffer("status", volume.dir).stdout
    equal(f"scope taxes, until: coffer key scope unlock {volume.dir} taxes\n" in status, True, status)
    status = json.loads(volume.coffer("status", volume.dir, "--json").stdout)
    equal((status["process"]["locked_scopes"], status["process"]["locked"]), (4, False))
    # The names below, and no others.
    shown = os.listdir(f"{m}/d")
    equal(len(shown), 4)
    equal([n for n in shown if not set(n) <= NAMES or n.startswith(".coffer")], [])
    fails(errno.ENOENT, os.stat, f"{m}/d/inline")
    for n in shown:
        os.lstat(f"{m}/d/{n}")
    for act in (lambda: open(f"{m}/d/new", "w"), lambda: os.mkdir(f"{m}/d/new"), lambda: os.symlink("x", f"{m}/d/new"),
                lambda: os.rename(f"{m}/d/{shown[0]}", f"{m}/d/new"), lambda: os.mkfifo(f"{m}/d/new")):
        fails(errno.ENOKEY, act)
    files = [n for n in shown if os.path.isfile(f"{m}/d/{n}") and not os.path.islink(f"{m}/d/{n}")]
    links = [n for n in shown if os.path.islink(f"{m}/d/{n}")]
    equal((len(files), len(links)), (2, 1))
    for n in files:
        for act in (lambda n=n: read_file(f"{m}/d/{n}"), lambda n=n: open(f"{m}/d/{n}", "r+b", buffering=0).write(b"x"),
                    lambda n=n: os.truncate(f"{m}/d/{n}", 5), lambda n=n: os.getxattr(f"{m}/d/{n}", "user.a"),
                    lambda n=n: os.setxattr(f"{m}/d/{n}", "user.n", b"x"), lambda n=n: os.link(f"{m}/d/{n}", f"{m}/d/l")):
            fails(errno.ENOKEY, act)
    fails(errno.ENOKEY, os.readlink, f"{m}/d/{links[0]}")
    # The rest goes on, and can be rotated.
    whole(f"{m}/rest")
    key(volume, "rotate")
    r = key(volume, "scope", "unlock", "taxes", "--passphrase-file", "/dev/null", check=False)
    equal(r.returncode != 0, True)
    equal(scopes(volume)["taxes"]["locked"], True)
    key(volume, "scope", "unlock", "taxes")
    equal(read_file(f"{m}/d/paged")[:5], b"dirty")
    with open(f"{m}/d/paged", "r+b") as f:
        f.write(content("paged", 70000)[:5])
    whole(f"{m}/d")
    equal(mapped[0:5], content("paged", 70000)[:5])
    mapped.close()
    reader.close()


def test_rule_4_opening_what_is_locked(volume):
    need_mount()
    volume.mount("ask_open")
    m = volume.mnt
    fill(f"{m}/d")
    fill(f"{m}/rest")
    make(volume, "taxes", "d")
    whole(f"{m}/d")
    with open(f"{m}/d/inline", "rb", buffering=0) as held:
        key(volume, "scope", "lock", "taxes")
        path = next(f"{m}/d/{n}" for n in os.listdir(f"{m}/d") if os.path.isfile(f"{m}/d/{n}") and not os.path.islink(f"{m}/d/{n}"))
        for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_TRUNC, os.O_RDONLY | os.O_DIRECT):
            fails(errno.ENOKEY, os.open, path, flags)
        fails(errno.ENOKEY, held.read)
        whole(f"{m}/rest")
        key(volume, "scope", "unlock", "taxes")
        equal(held.read(), content("inline", 100))
    whole(f"{m}/d")
    volume.coffer("lock", m)
    fails(errno.ENOKEY, os.open, f"{m}/rest/inline", os.O_RDONLY)
    volume.coffer("unlock", m, *volume.unlock())
    whole(f"{m}/rest")


def test_rule_4_removing_what_is_locked(volume):
    need_mount()
    volume.mount()
    m = volume.mnt
    fill(f"{m}/d")
    os.mkdir(f"{m}/d/empty")
    make(volume, "taxes", "d")
    key(volume, "scope", "lock", "taxes")
    for n in os.listdir(f"{m}/d"):
        path = f"{m}/d/{n}"
        if os.path.isdir(path):
            with contextlib.suppress(OSError):
                os.rmdir(path)
        else:
            os.unlink(path)
    left = os.listdir(f"{m}/d")
    equal(len(left), 1)
    fails(errno.ENOTEMPTY, os.rmdir, f"{m}/d/{left[0]}")
    volume.remount()
    # A new mount has not locked it.
    equal(os.listdir(f"{m}/d"), ["below"])
    key(volume, "scope", "lock", "taxes")
    shutil.rmtree(f"{m}/d")
    equal(os.listdir(m), [])
    volume.umount()
    volume.check("--deep")


def test_rotated_and_destroyed_apart(volume):
    need_mount()
    volume.mount()
    m = volume.mnt
    fill(f"{m}/d")
    fill(f"{m}/rest")
    make(volume, "taxes", "d")
    equal(key(volume, "rotate", "--scope", "taxes").returncode, 0)
    equal({n: s["active"] for n, s in scopes(volume).items()}, {"default": 1, "fields": 2, "taxes": 4})
    r = key(volume, "destroy", "3", "--now", "--yes", check=False)
    equal((r.returncode, "still need" in r.stderr), (13, True), r.stderr)
    # Nobody needs it that is elsewhere: a scope that is locked does not hold the others up.
    key(volume, "reencrypt", "start", "--scope", "taxes", "--wait")
    equal({n: s["floor"] for n, s in scopes(volume).items()}, {"default": 1, "fields": 1, "taxes": 4})
    equal((generation_of(volume, "d/inline"), generation_of(volume, "rest/inline")), (4, 1))
    key(volume, "destroy", "3", "--now", "--yes")
    whole(f"{m}/d")
    key(volume, "rotate")
    key(volume, "scope", "lock", "taxes")
    r = key(volume, "reencrypt", "start", check=False)
    wait_until(lambda: json.loads(key(volume, "reencrypt", "status", "--json").stdout)["phase"] == "failed", 10, "a refusal")
    key(volume, "reencrypt", "stop")
    key(volume, "reencrypt", "start", "--scope", "default", "--wait")
    key(volume, "destroy", "1", "--now", "--yes")
    key(volume, "scope", "unlock", "taxes")
    whole(f"{m}/rest")
    whole(f"{m}/d")
    volume.umount()
    volume.check("--deep")


def test_given_to_a_scope_that_is_locked(volume):
    """What was there waits for its keys."""
    need_mount()
    volume.mount()
    m = volume.mnt
    fill(f"{m}/d")
    key(volume, "scope", "create", "taxes")
    key(volume, "scope", "lock", "taxes")
    key(volume, "scope", "assign", "taxes", "d")
    fails(errno.ENOKEY, write_file, f"{m}/d/new", b"x")
    equal([n for n in os.listdir(f"{m}/d") if not set(n) <= NAMES or n in ("inline", "paged", "link", "below")], [])
    equal("locked, being re-encrypted" in key(volume, "scope", "list").stdout, True)
    key(volume, "scope", "unlock", "taxes")
    wait_settled(volume, "taxes")
    whole(f"{m}/d")
    equal(generation_of(volume, "d/inline"), 3)
    # And away from it, while it is.
    key(volume, "scope", "lock", "taxes")
    key(volume, "scope", "assign", "default", "d")
    fails(errno.ENOKEY, os.stat, f"{m}/d/inline")
    key(volume, "scope", "unlock", "taxes")
    wait_settled(volume, "default")
    whole(f"{m}/d")
    equal(generation_of(volume, "d/inline"), 1)


def test_the_scope_that_it_comes_from(volume):
    """What is on its way out of a scope goes with that scope's re-encryption: its floor rises."""
    need_mount()
    volume.mount()
    m = volume.mnt
    fill(f"{m}/d")
    fill(f"{m}/rest")
    key(volume, "scope", "create", "taxes")
    volume.coffer("freeze", volume.dir)
    key(volume, "scope", "assign", "taxes", "d")
    key(volume, "reencrypt", "stop")
    volume.coffer("thaw", volume.dir)
    equal(generation_of(volume, "d/inline"), 1)
    key(volume, "rotate")
    key(volume, "scope", "lock", "taxes")
    key(volume, "reencrypt", "start", "--scope", "default")
    wait_until(lambda: json.loads(key(volume, "reencrypt", "status", "--json").stdout)["phase"] == "failed", 10, "a refusal")
    equal(scopes(volume)["default"]["floor"], 1)
    key(volume, "scope", "unlock", "taxes")
    key(volume, "reencrypt", "status", "--wait")
    s = scopes(volume)
    equal((s["default"]["floor"], s["taxes"]["floor"], s["taxes"]["directories"][0]["settled"]), (4, 3, True))
    whole(f"{m}/d")
    whole(f"{m}/rest")
    volume.umount()
    volume.check("--deep")


PLACES = ("a", "a/b", "a/b/c", "d", "d/e", "f")


class AtRandom:
    """Steps of somebody who gives directories scopes, and seldom waits for the end of anything."""

    def __init__(self, volume, seed):
        self.volume, self.rng, self.model, self.log = volume, random.Random(seed), {}, []
        for d in PLACES:
            os.makedirs(f"{volume.mnt}/{d}")
            os.symlink("x" * self.rng.choice((5, 900)), f"{volume.mnt}/{d}/link")
            for i in range(3):
                self.write(f"{d}/{i}", False)
        for scope in ("one", "two"):
            key(volume, "scope", "create", scope)

    def write(self, path, anew):
        data = content(self.rng.random(), self.rng.choice((0, 10, 5000, 30000)))
        try:
            write_file(f"{self.volume.mnt}/{path}{'.new' if anew else ''}", data)
            if anew:
                os.rename(f"{self.volume.mnt}/{path}.new", f"{self.volume.mnt}/{path}")
        except OSError as e:
            # Locked: not even the way there is known.  A file that was there is empty now, or is not.
            if e.errno not in (errno.ENOKEY, errno.ENOENT):
                raise
            self.model[path] = None
        else:
            self.model[path] = data

    def read(self, path):
        try:
            data = read_file(f"{self.volume.mnt}/{path}")
        except OSError as e:
            if e.errno not in (errno.ENOKEY, errno.ENOENT):
                raise
        else:
            equal(self.model[path] in (None, data), True, f"{path}, after {self.log}")

    def key(self, *words):
        r = key(self.volume, *words, check=False)
        self.log.append((*words, r.returncode))

    def assign(self):
        if self.rng.random() < 0.8:  # else it is mostly refused
            for scope in ("one", "two"):
                self.key("scope", "unlock", scope)
            self.key("reencrypt", "resume")
            self.key("reencrypt", "start", "--wait", "--max-rate", "none")
            equal(self.log[-1][-1], 0, self.log)
        words = "scope", "assign", self.rng.choice(("default", "one", "two")), self.rng.choice(PLACES)
        if self.rng.random() < 0.6:
            return self.key(*words)
        self.volume.coffer("freeze", self.volume.dir)
        self.key(*words)
        self.key("reencrypt", self.rng.choice(("stop", "pause")))
        self.volume.coffer("thaw", self.volume.dir)

    def step(self):
        scope, what = self.rng.choice(("one", "two")), self.rng.randrange(9)
        if what < 3:
            self.assign()
        elif what == 3:
            self.key("reencrypt", self.rng.choice(("stop", "pause")))
        elif what == 4:
            self.key("reencrypt", "start", *self.rng.choice(((), ("--scope", scope), ("--scope", "default"))))
        elif what == 5:
            self.key("rotate", "--scope", self.rng.choice((scope, "default")))
        elif what == 6:
            self.key("scope", "lock", scope)
        elif what == 7:
            self.key("scope", "unlock", scope)
        elif self.rng.random() < 0.5:
            self.volume.remount()
        else:
            self.volume.kill()
            self.volume.mount()
        self.write(self.rng.choice(sorted(self.model)), self.rng.random() < 0.5)
        self.read(self.rng.choice(sorted(self.model)))

    def end(self):
        self.volume.remount()
        for path, data in self.model.items():
            if data is not None:
                equal(read_file(f"{self.volume.mnt}/{path}") == data, True, f"{path}, after {self.log}")
        for d in PLACES:
            os.readlink(f"{self.volume.mnt}/{d}/link")
        self.volume.umount()
        self.volume.check("--deep")


def test_at_random(volume):
    need_mount()
    volume.mount()
    steps = AtRandom(volume, 3)
    for _ in range(200 if harness.LONG else 16):
        steps.step()
    steps.end()


def test_what_is_moved_below_is_refused(volume):
    """Somebody who can write the store carries a file, a page, a directory and a link from one scope into another."""
    need_mount()
    volume.mount()
    m = volume.mnt
    for d in ("d", "rest"):
        fill(f"{m}/{d}")
    make(volume, "taxes", "d")
    paths = {(d, n): volume.backing(f"{d}/{n}") for d in ("d", "rest") for n in ("inline", "paged", "link", "below")}
    volume.umount()
    backup = f"{volume.base}/saved"
    shutil.copytree(volume.dir, backup, symlinks=True)
    for d, other in (("d", "rest"), ("rest", "d")):
        run("cp", "-a", "--remove-destination", paths[other, "inline"].replace(volume.dir, backup, 1), paths[d, "inline"])
        run("cp", "-a", "--remove-destination", paths[other, "link"].replace(volume.dir, backup, 1), paths[d, "link"])
        with open(paths[other, "paged"].replace(volume.dir, backup, 1), "rb") as f, open(paths[d, "paged"], "r+b") as g:
            f.seek(8192)
            g.seek(8192)
            g.write(f.read(4096))
        shutil.rmtree(paths[d, "below"])
        run("cp", "-a", paths[other, "below"].replace(volume.dir, backup, 1), paths[d, "below"])
    volume.mount()
    for d in ("d", "rest"):
        fails(errno.EIO, read_file, f"{m}/{d}/inline")
        fails(errno.EIO, read_file, f"{m}/{d}/paged")
        fails(errno.EIO, os.readlink, f"{m}/{d}/link")
        fails(errno.EIO, os.listdir, f"{m}/{d}/below")
    volume.give_up()
    r = volume.coffer("check", volume.dir, *volume.unlock(), check=False)
    equal((r.returncode, r.stdout.count("belongs to another scope") >= 2), (4, True), r.stdout + r.stderr)


if __name__ == "__main__":
    sys.exit(harness.main())
