#!/usr/bin/python3
"""The consistency check: a volume damaged in one way after another, what `coffer check` says of it, and what --repair makes of it.

Each case gets a copy of one pristine volume, damages it below, and compares the findings before the repair, of the repair and
after it. What the damage and the repair did not mean to touch must be the same bytes below, and the same content in a mount.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "mount"))

import harness  # noqa: E402
from harness import COFFER, Failure, Volume, content, equal, need_mount, read_file, run, write_file  # noqa: E402

os.environ.setdefault("COFFER_STATE_DIR", "")  # what this host remembers of one copy is none of the others' business

LONG = "a long name " + "n" * 200
LONG2 = "another long name " + "m" * 200
TREE = {
    "top": content("top", 300),
    "docs/one": content("one", 1000),
    "docs/two": content("two", 3968),
    "docs/empty": b"",
    "docs/paged": content("paged", 20 * 4096 + 77),
    "docs/deeper/three": content("three", 5000),
    "docs/deeper/four": content("four", 10),
    f"docs/{LONG}": content("long", 2000),
    f"docs/{LONG2}": content("long2", 2000),
    "big/big": content("big", 260 * 4096 + 5),
    "big/other": content("other", 260 * 4096 + 5),
    "links/file": b"target of a hard link",
    "single/only": content("only", 50),
}
SYMLINKS = {"links/short": "somewhere", "links/long": "l" * 1500, "links/long2": "m" * 2000}
EMPTY_DIRECTORIES = ["hollow"]
SPECIAL = "special/pipe"

ERROR, WARNING, NOTE = "error", "warning", "note"


class Pristine:
    """The volume that all cases copy; .below maps plain paths to backing ones, relative to the volume."""

    def __init__(self):
        self.v = Volume()
        v = self.v.mount()
        for d in ["docs/deeper", "big", "links", "special", "single", *EMPTY_DIRECTORIES]:
            os.makedirs(f"{v.mnt}/{d}")
        for path, data in TREE.items():
            write_file(f"{v.mnt}/{path}", data)
        for path, target in SYMLINKS.items():
            os.symlink(target, f"{v.mnt}/{path}")
        os.link(f"{v.mnt}/links/file", f"{v.mnt}/links/again")
        os.mkfifo(f"{v.mnt}/{SPECIAL}")
        self.xattrs = True
        try:
            os.setxattr(f"{v.mnt}/docs/one", "user.colour", b"blue")
            os.setxattr(f"{v.mnt}/docs", "user.kind", b"directory")
        except OSError:
            self.xattrs = False
        # An older version of one file, for putting back parts of it.
        v.umount()
        self.below = {"": "data"}
        for path in [*TREE, *SYMLINKS, *EMPTY_DIRECTORIES, SPECIAL, "docs", "docs/deeper", "big", "links", "special", "single"]:
            self.below[path] = os.path.relpath(v.backing(path), v.dir)
        self.older = read_file(f"{v.dir}/{self.below['big/big']}")
        v.mount()
        with open(f"{v.mnt}/big/big", "r+b") as f:
            f.seek(3 * 4096)
            f.write(b"newer" * 100)
        v.umount()
        data = bytearray(TREE["big/big"])
        data[3 * 4096 : 3 * 4096 + 500] = b"newer" * 100
        TREE["big/big"] = bytes(data)

    def copy(self):
        return Case(self)


class Case:
    """A copy of the pristine volume, to be damaged."""

    def __init__(self, pristine):
        self.p = pristine
        self.v = pristine.v
        self.dir = f"{self.v.base}/case"
        if os.path.lexists(self.dir):
            shutil.rmtree(self.dir)
        run("cp", "-a", "--sparse=always", self.v.dir, self.dir)

    def path(self, plain):
        return f"{self.dir}/{self.p.below[plain]}"

    def backing(self, plain):
        return self.p.below[plain]

    def check(self, *options):
        r = self.v.coffer("check", self.dir, "--json", *options, *self.v.unlock(), check=False)
        if harness.SANITIZER_REPORT.search(r.stderr.encode()):
            raise Failure(r.stderr)
        for status, words in ((1, "mended"), (4, "is damaged in")):
            if r.returncode == status and words not in r.stderr:
                raise Failure(f"check: exit status {status}, and not a word of it: {r.stderr}")
        try:
            return r.returncode, json.loads(r.stdout)
        except json.JSONDecodeError:
            raise Failure(f"check: exit status {r.returncode}: {r.stderr}") from None

    def fsck(self, *options):
        link = f"{self.v.base}/fsck.coffer"
        if not os.path.lexists(link):
            os.symlink(COFFER, link)
        return run(link, *options, check=False)

    @contextlib.contextmanager
    def mounted(self):
        real, self.v.dir = self.v.dir, self.dir
        try:
            self.v.mount()
            try:
                yield self.v.mnt
            finally:
                self.v.umount()
        finally:
            self.v.dir = real


def findings(report, repaired=None):
    """(severity, kind, path) of each; backing paths begin with "<"."""
    return sorted(
        (f["severity"], f["kind"], f["path"] if "path" in f else "<" + f["backing_path"])
        for f in report["findings"]
        if repaired is None or f["repaired"] == repaired
    )


def snapshot(top):
    """What lies below, without the times of directories."""
    found = {}
    for base, dirs, files in os.walk(top):
        for name in dirs + files:
            path = os.path.join(base, name)
            st = os.lstat(path)
            relative = os.path.relpath(path, top)
            if stat.S_ISLNK(st.st_mode):
                found[relative] = os.readlink(path)
            elif stat.S_ISREG(st.st_mode):
                found[relative] = (read_file(path), st.st_mode, st.st_mtime_ns)
            else:
                found[relative] = st.st_mode
    return found


def touched(before, after):
    return sorted(p for p in before.keys() | after.keys() if before.get(p) != after.get(p))


def read_tree(top):
    found = {}
    for base, dirs, files in os.walk(top):
        for name in dirs + files:
            path = os.path.join(base, name)
            relative = os.path.relpath(path, top)
            try:
                mode = os.lstat(path).st_mode
                if stat.S_ISLNK(mode):
                    found[relative] = os.readlink(path)
                elif stat.S_ISREG(mode):
                    found[relative] = read_file(path)
                else:
                    found[relative] = stat.S_IFMT(mode)
            except OSError as e:
                found[relative] = e.errno
    return found


def truth():
    found = {p: stat.S_IFDIR for p in EMPTY_DIRECTORIES}
    for path in [*TREE, *SYMLINKS, SPECIAL]:
        parts = path.split("/")
        for i in range(1, len(parts)):
            found["/".join(parts[:i])] = stat.S_IFDIR
    found.update(TREE)
    found.update(SYMLINKS)
    found["links/again"] = TREE["links/file"]
    found[SPECIAL] = stat.S_IFIFO
    return found


class Expect:
    """found: before a repair; left: after it (None: nothing but what lies in lost/); lose: paths that may read otherwise in the mount
    afterwards; gain: paths that are new there; touch: patterns of backing paths that the repair may change."""

    def __init__(self, *found, deep=False, left=(), lose=(), gain=(), touch=(), repaired=None, aside=0):
        self.found = sorted(found)
        self.deep = ["--deep"] if deep else []
        self.left = sorted(left)
        self.lose, self.gain, self.touch = lose, gain, touch
        self.repaired = repaired
        self.aside = aside


cases = []


def case(function):
    cases.append(function)
    return function


def status_of(report):
    """As fsck(8) has it."""
    left = any(f["severity"] == ERROR and not f["repaired"] for f in report["findings"])
    return (4 if left else 0) | (1 if report["repaired"] else 0)


def run_case(pristine, damage):
    c = pristine.copy()
    x = damage(c)
    before = snapshot(c.dir)
    status, report = c.check(*x.deep)
    equal(findings(report), x.found, f"{damage.__name__}: findings")
    equal(status, status_of(report), f"{damage.__name__}: exit status")
    equal(touched(before, snapshot(c.dir)), [], f"{damage.__name__}: changed by a check without --repair")

    status, report = c.check("--repair", *x.deep)
    after = snapshot(c.dir)
    equal(status, status_of(report), f"{damage.__name__}: exit status of the repair")
    allowed = [re.compile(p) for p in (r"\.coffer/(lost/|audit\.log$)", *x.touch)]
    equal(
        [p for p in touched(before, after) if not any(a.match(p) for a in allowed)],
        [],
        f"{damage.__name__}: changed by the repair",
    )
    status, report = c.check(*x.deep)
    lost = [(NOTE, "lost", "<.coffer/lost")] if x.aside else []
    equal(findings(report), sorted([*x.left, *lost]), f"{damage.__name__}: findings after the repair")
    equal(status, status_of(report), f"{damage.__name__}: exit status after the repair")
    equal(len(os.listdir(f"{c.dir}/.coffer/lost")), x.aside, f"{damage.__name__}: set aside")

    with c.mounted() as mnt:
        seen = read_tree(mnt)
    wanted = truth()
    for path in sorted(wanted.keys() | seen.keys()):
        if path in x.gain:
            if path not in seen:
                raise Failure(f"{damage.__name__}: {path} was not recovered")
        elif not any(path == p or path.startswith(p + "/") for p in x.lose) and seen.get(path) != wanted.get(path):
            raise Failure(f"{damage.__name__}: {path[:60]} reads {str(seen.get(path))[:60]} in the mount")


# ------------------------------------------------------------------ ways to damage


def flip(path, at, mask=1):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ mask]))


def overwrite(path, at, data):
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(data)


def page(path, number):
    with open(path, "rb") as f:
        f.seek(number * 4096)
        return f.read(4096)


def record(c, plain):
    return f"{c.path(plain)}/.coffer-dir"


def replace_link(path, target):
    os.unlink(path)
    os.symlink(target, path)


def other_letter(name):
    return name[:5] + ("A" if name[5] != "A" else "B") + name[6:]


@case
def clean(c):
    return Expect()


@case
def id_missing(c):
    os.unlink(record(c, "docs"))
    return Expect((ERROR, "directory-id", "docs"), touch=[re.escape(c.backing("docs")) + r"/\.coffer-dir$"])


@case
def id_damaged(c):
    text = os.readlink(record(c, "docs/deeper"))
    replace_link(record(c, "docs/deeper"), text[:20] + ("A" if text[20] != "A" else "B") + text[21:])
    return Expect(
        (ERROR, "directory-id", "docs/deeper"),
        touch=[re.escape(c.backing("docs/deeper")) + r"/\.coffer-dir$"],
        aside=1,
    )


@case
def id_of_another_directory(c):
    replace_link(record(c, "docs/deeper"), os.readlink(record(c, "big")))
    return Expect(
        (ERROR, "directory-id", "docs/deeper"),
        touch=[re.escape(c.backing("docs/deeper")) + r"/\.coffer-dir$"],
        aside=1,
    )


@case
def ids_missing_in_parent_and_child(c):
    os.unlink(record(c, "docs"))
    os.unlink(record(c, "docs/deeper"))
    return Expect(
        (ERROR, "directory-id", "docs"),
        (ERROR, "directory-id", "<" + c.backing("docs/deeper")),
        touch=[re.escape(c.backing("docs")) + r"(/[^/]*)?/\.coffer-dir$"],
    )


@case
def id_of_the_root_missing(c):
    os.unlink(record(c, ""))
    return Expect((ERROR, "directory-id", "<data"), touch=[r"data/\.coffer-dir$"])


@case
def id_of_the_root_wrong(c):
    replace_link(record(c, ""), os.readlink(record(c, "big")))
    return Expect((ERROR, "directory-id", "<data"), touch=[r"data/\.coffer-dir$"], aside=1)


@case
def id_of_an_empty_directory_missing(c):
    os.unlink(record(c, "hollow"))
    return Expect((ERROR, "directory-id", "hollow"), touch=[re.escape(c.backing("hollow")) + r"/\.coffer-dir$"])


@case
def id_nowhere_else(c):
    """Only a fifo is in there, which remembers nothing."""
    os.unlink(record(c, "special"))
    return Expect((ERROR, "directory-id", "special"), left=[(ERROR, "directory-id", "special")], lose=["special"])


@case
def id_among_the_removed(c):
    os.rename(record(c, "special"), f"{c.dir}/.coffer/gone/.coffer-gone-x")
    return Expect(
        (ERROR, "directory-id", "special"),
        (NOTE, "leftover", "<.coffer/gone/.coffer-gone-x"),
        touch=[re.escape(c.backing("special")) + r"/\.coffer-dir$", r"\.coffer/gone/"],
    )


@case
def id_in_a_conflict_copy(c):
    os.rename(record(c, "special"), record(c, "special") + " (conflicted copy)")
    return Expect(
        (ERROR, "directory-id", "special"),
        (NOTE, "conflict", f"<{c.backing('special')}/.coffer-dir (conflicted copy)"),
        # Its copy is known to be one only now; the next repair removes it.
        left=[(NOTE, "conflict", f"<{c.backing('special')}/.coffer-dir (conflicted copy)")],
        touch=[re.escape(c.backing("special")) + r"/\.coffer-dir"],
    )


@case
def copy_of_an_id(c):
    shutil.copy(record(c, "docs"), record(c, "docs") + ".sync-conflict-20260101-120000-ABCDEFG", follow_symlinks=False)
    return Expect(
        (NOTE, "conflict", f"<{c.backing('docs')}/.coffer-dir.sync-conflict-20260101-120000-ABCDEFG"),
        touch=[re.escape(c.backing("docs")) + r"/\.coffer-dir\.sync"],
        aside=1,
    )


def second_of(c, a, b):
    """Of two names in one directory the one that the walk comes to later: that is the copy."""
    return a if os.path.basename(c.backing(a)) > os.path.basename(c.backing(b)) else b


@case
def directory_copied_over_another(c):
    shutil.rmtree(c.path("hollow"))
    run("cp", "-a", c.path("docs"), c.path("hollow"))
    second = second_of(c, "hollow", "docs")
    files = [p for p in TREE if p.startswith("docs/") and p != "docs/empty"]
    return Expect(
        (WARNING, "doubled-directory", second),
        (WARNING, "doubled-directory", f"{second}/deeper"),
        *[(WARNING, "doubled-file", p.replace("docs", second, 1)) for p in files],
        lose=["hollow"],
        gain=[p.replace("docs", "hollow", 1) for p in files],
        touch=[re.escape(c.backing(second)), r"data/[^/]*$"],
    )


@case
def directory_copied_into_itself(c):
    """Its copy has the id of the directory that it is in."""
    run("cp", "-a", c.path("docs/deeper"), f"{c.v.base}/aside")
    os.rename(f"{c.v.base}/aside", c.path("docs/deeper") + "/" + os.path.basename(c.backing("docs/deeper/four")) + " (1)")
    copy = "docs/deeper/four (1)"
    doubles = [
        (WARNING, "doubled-directory", copy),
        (WARNING, "doubled-file", f"{copy}/three"),
        (WARNING, "doubled-file", f"{copy}/four"),
    ]
    return Expect(
        (WARNING, "conflict", copy),
        *doubles,
        gain=[copy, f"{copy}/three", f"{copy}/four"],
        touch=[re.escape(c.backing("docs/deeper")) + "/"],
    )


@case
def file_copied_over_another(c):
    run("cp", "-a", c.path("docs/one"), c.path("docs/two"))
    second = second_of(c, "docs/two", "docs/one")
    return Expect(
        (WARNING, "doubled-file", second), lose=["docs/two"], touch=[re.escape(c.backing(second))]
    )


def conflict(c, plain, mark, name=None):
    run("cp", "-a", c.path(plain), c.path(plain) + mark)
    name = name or plain + mark
    return Expect(
        (WARNING, "conflict", name), gain=[name], touch=[re.escape(os.path.dirname(c.backing(plain))) + "/"]
    )


@case
def conflict_copy_of_syncthing(c):
    return conflict(c, "docs/one", ".sync-conflict-20260101-120000-ABCDEFG")


@case
def conflict_copy_of_dropbox(c):
    return conflict(c, "docs/paged", " (Anna's conflicted copy 2026-01-01)")


@case
def conflict_copy_numbered(c):
    return conflict(c, "big/big", " (1)")


@case
def conflict_copy_with_a_tilde(c):
    return conflict(c, "docs/two", "~")


@case
def conflict_copy_of_onedrive(c):
    """The mark is of letters that a name may have, too."""
    return conflict(c, "docs/paged", "-DESKTOP-7Q2X")


@case
def conflict_copy_of_an_old_client(c):
    return conflict(c, f"docs/{LONG}", "_conflict-20260101-120000", f"docs/{LONG}_conflict-20260101-120000")


@case
def conflict_copy_that_is_damaged(c):
    """It has its name for a moment, and goes where the rest goes that cannot be read."""
    run("cp", "-a", c.path("docs/one"), c.path("docs/one") + " (1)")
    flip(c.path("docs/one") + " (1)", 300)
    return Expect(
        (WARNING, "conflict", "docs/one (1)"),
        (ERROR, "head", "docs/one (1)"),
        touch=[re.escape(c.backing("docs")) + "/"],
        aside=1,
    )


@case
def conflict_copy_of_the_root(c):
    return conflict(c, "top", " (conflicted copy 2026-01-01 120000)")


@case
def conflict_copy_with_a_long_name(c):
    return conflict(c, f"docs/{LONG}", " (1)")


@case
def conflict_copy_whose_name_gets_too_long(c):
    mark = " (" + "x" * 80 + ")"
    return conflict(c, f"docs/{LONG}", mark, f"docs/{LONG[: 255 - len(mark)]}{mark}")


@case
def conflict_copy_of_a_link(c):
    return conflict(c, "links/short", " (2)")


@case
def conflict_copy_of_a_directory(c):
    run("cp", "-a", c.path("docs/deeper"), c.path("docs/deeper") + " (1)")
    copy = "docs/deeper (1)"
    doubles = [
        (WARNING, "doubled-directory", copy),
        (WARNING, "doubled-file", f"{copy}/three"),
        (WARNING, "doubled-file", f"{copy}/four"),
    ]
    return Expect(
        (WARNING, "conflict", copy),
        *doubles,
        gain=[copy, f"{copy}/three", f"{copy}/four"],
        touch=[re.escape(c.backing("docs")) + "/"],
    )


@case
def conflict_copy_that_is_all_there_is(c):
    os.rename(c.path("docs/one"), c.path("docs/one") + " (1)")
    return Expect(
        (WARNING, "conflict", "docs/one (1)"),
        gain=["docs/one (1)"],
        lose=["docs/one"],
        touch=[re.escape(c.backing("docs")) + "/"],
    )


# --- names


@case
def name_damaged(c):
    name = other_letter(c.path("docs/one").rsplit("/", 1)[1])
    os.rename(c.path("docs/one"), f"{c.path('docs')}/{name}")
    return Expect(
        (ERROR, "name", f"<{c.backing('docs')}/{name}"),
        lose=["docs/one"],
        touch=[re.escape(c.backing("docs")) + "/" + name],
        aside=1,
    )


@case
def name_no_longer_base64(c):
    """Nobody would know it for a name, but the head is coffer's."""
    os.rename(c.path("docs/one"), f"{c.path('docs')}/notes.txt")
    return Expect(
        (ERROR, "name", f"<{c.backing('docs')}/notes.txt"),
        lose=["docs/one"],
        touch=[re.escape(c.backing("docs")) + "/notes"],
        aside=1,
    )


@case
def moved_to_another_directory(c):
    name = os.path.basename(c.backing("top"))
    os.rename(c.path("top"), f"{c.path('docs')}/{name}")
    return Expect(
        (ERROR, "name", f"<{c.backing('docs')}/{name}"),
        lose=["top"],
        touch=[re.escape(c.backing("docs")) + "/" + name],
        aside=1,
    )


@case
def moved_to_an_empty_directory(c):
    """Where no name opens the id is under suspicion, too."""
    name = os.path.basename(c.backing("top"))
    os.rename(c.path("top"), f"{c.path('hollow')}/{name}")
    return Expect(
        (ERROR, "name", f"<{c.backing('hollow')}/{name}"),
        lose=["top"],
        touch=[re.escape(c.backing("hollow")) + "/" + name],
        aside=1,
    )


@case
def the_only_name_damaged(c):
    name = other_letter(os.path.basename(c.backing("single/only")))
    os.rename(c.path("single/only"), f"{c.path('single')}/{name}")
    return Expect(
        (ERROR, "name", f"<{c.backing('single')}/{name}"),
        lose=["single/only"],
        touch=[re.escape(c.backing("single")) + "/" + name],
        aside=1,
    )


@case
def directory_moved_to_another(c):
    name = os.path.basename(c.backing("big"))
    os.rename(c.path("big"), f"{c.path('docs')}/{name}")
    return Expect(
        (ERROR, "name", f"<{c.backing('docs')}/{name}"),
        lose=["big"],
        touch=[re.escape(c.backing("docs")) + "/" + name],
        aside=1,
    )


@case
def foreign_files(c):
    write_file(f"{c.path('docs')}/.DS_Store", b"nothing of ours")
    os.mkdir(f"{c.path('docs')}/.stfolder")
    write_file(f"{c.path('docs')}/README.n", b"hidden by the format")
    found = [(NOTE, "stray", f"<{c.backing('docs')}/{n}") for n in (".DS_Store", ".stfolder", "README.n")]
    return Expect(*found, left=found)


@case
def sidecar_missing(c):
    os.unlink(c.path(f"docs/{LONG}") + ".n")
    return Expect(
        (ERROR, "sidecar", "<" + c.backing(f"docs/{LONG}")),
        lose=[f"docs/{LONG}"],
        touch=[re.escape(c.backing(f"docs/{LONG}"))],
        aside=1,
    )


@case
def sidecar_of_another_name(c):
    replace_link(c.path(f"docs/{LONG}") + ".n", os.readlink(c.path(f"docs/{LONG2}") + ".n"))
    return Expect(
        (ERROR, "sidecar", "<" + c.backing(f"docs/{LONG}")),
        lose=[f"docs/{LONG}"],
        touch=[re.escape(c.backing(f"docs/{LONG}"))],
        aside=2,
    )


@case
def sidecar_renamed_by_a_sync_client(c):
    os.rename(c.path(f"docs/{LONG}") + ".n", c.path(f"docs/{LONG}") + " (1).n")
    name = c.backing(f"docs/{LONG}")
    return Expect(
        (NOTE, "conflict", f"<{name} (1).n"),
        (ERROR, "sidecar", "<" + name),
        touch=[re.escape(name)],
    )


@case
def sidecar_copied(c):
    name = c.path(f"docs/{LONG}")
    shutil.copy(name + ".n", name + ".sync-conflict-1.n", follow_symlinks=False)
    backing = c.backing(f"docs/{LONG}")
    return Expect((NOTE, "conflict", f"<{backing}.sync-conflict-1.n"), touch=[re.escape(backing) + r"\.sync"], aside=1)


@case
def sidecar_without_entry(c):
    os.unlink(c.path(f"docs/{LONG}"))
    name = c.backing(f"docs/{LONG}")
    return Expect((NOTE, "sidecar", f"<{name}.n"), lose=[f"docs/{LONG}"], touch=[re.escape(name)], aside=1)


# --- files


def size_case(c, plain, size):
    """The file is set aside, or what lies behind it."""
    os.truncate(c.path(plain), size)
    return Expect((ERROR, "size", plain), lose=[plain], touch=[re.escape(c.backing(plain))], aside=1)


@case
def size_that_cannot_be(c):
    return size_case(c, "docs/one", 100)


@case
def inline_file_cut(c):
    return size_case(c, "docs/two", 2000)


@case
def inline_file_grown(c):
    x = size_case(c, "docs/two", 4096 + 50)
    x.lose = ()
    return x


@case
def paged_file_grown(c):
    with open(c.path("docs/paged"), "ab") as f:
        f.write(b"x" * 5000)
    return Expect((ERROR, "size", "docs/paged"), touch=[re.escape(c.backing("docs/paged"))], aside=1)


@case
def paged_file_cut(c):
    """Made as long as before: what is left can be read, what is missing cannot."""
    os.truncate(c.path("docs/paged"), 18 * 4096)
    page_errors = [(ERROR, "page", "docs/paged")]
    return Expect(
        (ERROR, "size", "docs/paged"),
        deep=True,
        left=page_errors,
        lose=["docs/paged"],
        touch=[re.escape(c.backing("docs/paged"))],
    )


@case
def cut_at_a_map_page(c):
    os.truncate(c.path("big/big"), 62 * 4096)
    return Expect(
        (ERROR, "size", "big/big"),
        deep=True,
        left=[(ERROR, "map", "big/big"), (ERROR, "page", "big/big")],
        lose=["big/big"],
        touch=[re.escape(c.backing("big/big"))],
    )


@case
def cut_within_the_head(c):
    os.truncate(c.path("docs/paged"), 3000)
    return Expect(
        (ERROR, "size", "docs/paged"), lose=["docs/paged"], touch=[re.escape(c.backing("docs/paged"))], aside=1
    )


def head_case(c, plain, kind="head"):
    return Expect((ERROR, kind, plain), lose=[plain], touch=[re.escape(c.backing(plain))], aside=1)


@case
def head_flipped(c):
    flip(c.path("big/big"), 1000)
    return head_case(c, "big/big")


@case
def head_zeroed(c):
    overwrite(c.path("docs/one"), 0, bytes(128))
    return head_case(c, "docs/one")


@case
def head_magic(c):
    flip(c.path("docs/deeper/three"), 0)
    return head_case(c, "docs/deeper/three")


@case
def head_of_another_file(c):
    overwrite(c.path("big/big"), 0, page(c.path("docs/paged"), 0))
    # It opens, and says that the file is shorter: what lies behind is cut off, and the pages are not its own.
    second = "big/big" if os.path.basename(c.backing("big")) > os.path.basename(c.backing("docs")) else "docs/paged"
    return Expect(
        (ERROR, "size", "big/big"),
        (WARNING, "doubled-file", second),
        deep=True,
        # The sound one can be given another id, the other one cannot be read.
        left=[(ERROR, "page", "big/big")] + ([(WARNING, "doubled-file", second)] if second == "big/big" else []),
        aside=1,
        lose=["big/big", "docs/paged"],
        touch=[re.escape(c.backing("big/big")), re.escape(c.backing("docs/paged"))],
    )


@case
def generation_unknown(c):
    overwrite(c.path("docs/one"), 24, (77).to_bytes(4, "little"))
    found = [(ERROR, "generation", "docs/one")]
    return Expect(*found, left=found, lose=["docs/one"])


@case
def generation_of_the_other_scope(c):
    overwrite(c.path("docs/one"), 24, (2).to_bytes(4, "little"))
    found = [(ERROR, "generation", "docs/one")]
    return Expect(*found, left=found, lose=["docs/one"])


def deep_case(plain, kind, n=1):
    found = [(ERROR, kind, plain)] * n
    return Expect(*found, deep=True, left=found, lose=[plain])


@case
def page_flipped(c):
    flip(c.path("docs/paged"), 4096 * 7 + 5)
    return deep_case("docs/paged", "page")


@case
def last_page_flipped(c):
    flip(c.path("big/big"), os.path.getsize(c.path("big/big")) - 1)
    return deep_case("big/big", "page")


@case
def pages_swapped(c):
    path = c.path("docs/paged")
    a, b = page(path, 3), page(path, 9)
    overwrite(path, 3 * 4096, b)
    overwrite(path, 9 * 4096, a)
    return deep_case("docs/paged", "page", 2)


@case
def pages_zeroed(c):
    """Side by side: one finding."""
    overwrite(c.path("big/other"), 70 * 4096, bytes(40 * 4096))
    return deep_case("big/other", "page")


@case
def page_of_an_older_version(c):
    overwrite(c.path("big/big"), 4 * 4096, c.p.older[4 * 4096 : 5 * 4096])
    return deep_case("big/big", "page")


@case
def head_of_an_older_version(c):
    overwrite(c.path("big/big"), 0, c.p.older[:4096])
    return deep_case("big/big", "page")


@case
def map_flipped(c):
    flip(c.path("big/big"), 61 * 4096 + 100)
    return deep_case("big/big", "map")


@case
def map_of_another_file(c):
    overwrite(c.path("big/big"), 61 * 4096, page(c.path("big/other"), 61))
    return deep_case("big/big", "map")


@case
def pages_are_not_read_without_deep(c):
    flip(c.path("docs/paged"), 4096 * 7 + 5)
    return Expect(lose=["docs/paged"])


# --- links, attributes


@case
def link_damaged(c):
    text = os.readlink(c.path("links/short"))
    replace_link(c.path("links/short"), text[:30] + ("A" if text[30] != "A" else "B") + text[31:])
    return Expect(
        (ERROR, "symlink", "links/short"),
        lose=["links/short"],
        touch=[re.escape(c.backing("links/short"))],
        aside=1,
    )


def bodies(c):
    return sorted(os.listdir(f"{c.dir}/.coffer/links"))


def body_of(c, plain):
    wanted = 4 + 16 + 16 + len(SYMLINKS[plain])
    return next(f"{c.dir}/.coffer/links/{b}" for b in bodies(c) if os.path.getsize(f"{c.dir}/.coffer/links/{b}") == wanted)


@case
def body_missing(c):
    os.unlink(body_of(c, "links/long"))
    found = [(ERROR, "link-body", "links/long")]
    return Expect(*found, left=found, lose=["links/long"])


@case
def body_flipped(c):
    flip(body_of(c, "links/long"), 50)
    found = [(ERROR, "link-body", "links/long")]
    return Expect(*found, left=found, lose=["links/long"])


@case
def bodies_exchanged(c):
    a, b = body_of(c, "links/long"), body_of(c, "links/long2")
    os.rename(a, a + "x")
    os.rename(b, a)
    os.rename(a + "x", b)
    found = [(ERROR, "link-body", "links/long"), (ERROR, "link-body", "links/long2")]
    return Expect(*found, left=found, lose=["links/long", "links/long2"])


@case
def body_unreferenced(c):
    name = os.path.basename(body_of(c, "links/long"))
    os.unlink(c.path("links/long"))
    return Expect((NOTE, "link-body", f"<.coffer/links/{name}"), lose=["links/long"], touch=[r"\.coffer/links/"], aside=1)


@case
def body_unreferenced_but_a_link_is_damaged(c):
    """Kept: the damaged link may be the one that names it. The damaged link is set aside, and it may be looked at."""
    name = os.path.basename(body_of(c, "links/long"))
    replace_link(c.path("links/long"), os.readlink(c.path("links/long"))[:-3])
    note = (NOTE, "link-body", f"<.coffer/links/{name}")
    return Expect(
        (ERROR, "symlink", "links/long"),
        note,
        left=[note],
        lose=["links/long"],
        touch=[re.escape(c.backing("links/long"))],
        aside=1,
    )


def need_xattrs(c):
    if not c.p.xattrs:
        raise harness.Skip("no user attributes on this store")


@case
def attribute_damaged(c):
    need_xattrs(c)
    name = next(n for n in os.listxattr(c.path("docs/one")) if n.startswith("user."))
    value = bytearray(os.getxattr(c.path("docs/one"), name))
    value[-1] ^= 1
    os.setxattr(c.path("docs/one"), name, bytes(value))
    found = [(ERROR, "xattr", "docs/one")]
    return Expect(*found, left=found)


@case
def attribute_of_another_object(c):
    need_xattrs(c)
    name = next(n for n in os.listxattr(c.path("docs")) if n.startswith("user."))
    os.setxattr(c.path("big"), name, os.getxattr(c.path("docs"), name))
    found = [(ERROR, "xattr", "big")]
    return Expect(*found, left=found)


@case
def attribute_not_ours(c):
    need_xattrs(c)
    os.setxattr(c.path("docs/one"), "user.xdg.origin.url", b"http://example.org/")
    found = [(NOTE, "xattr", "docs/one")]
    return Expect(*found, left=found)


# --- beside the tree


@case
def leftovers(c):
    new = f"{c.path('docs')}/.coffer-new-AAAA"
    os.mkdir(new)
    shutil.copy(record(c, "docs"), f"{new}/.coffer-dir", follow_symlinks=False)
    write_file(f"{c.path('docs')}/.coffer-tmp-1", b"half")
    write_file(f"{c.dir}/.coffer/.coffer-tmp-2", b"half")
    os.mkdir(f"{c.dir}/.coffer/.coffer-probe-3")
    write_file(f"{c.dir}/.coffer/open/.coffer-open-4", b"removed while open")
    os.symlink("what was an id", f"{c.dir}/.coffer/gone/.coffer-gone-5")
    where = [
        c.backing("docs") + "/.coffer-new-AAAA",
        c.backing("docs") + "/.coffer-tmp-1",
        ".coffer/.coffer-tmp-2",
        ".coffer/.coffer-probe-3",
        ".coffer/open/.coffer-open-4",
        ".coffer/gone/.coffer-gone-5",
    ]
    return Expect(*[(NOTE, "leftover", "<" + w) for w in where], touch=[re.escape(w) for w in where], aside=2)


@case
def leftover_with_something_in_it(c):
    new = f"{c.path('docs')}/.coffer-new-AAAA"
    os.mkdir(new)
    write_file(f"{new}/precious", b"data")
    found = [(NOTE, "leftover", f"<{c.backing('docs')}/.coffer-new-AAAA")]
    return Expect(*found, touch=[re.escape(c.backing("docs")) + r"/\.coffer-new"], aside=1)


@case
def strays(c):
    write_file(f"{c.dir}/README.txt", b"what is this?")
    write_file(f"{c.dir}/.coffer/notes", b"why?")
    write_file(f"{c.dir}/.coffer/links/x", b"?")
    found = [(NOTE, "stray", "<" + w) for w in ("README.txt", ".coffer/notes", ".coffer/links/x")]
    return Expect(*found, left=found)


@case
def conflict_copies_beside_the_tree(c):
    """Of keyring, settings and journal: said, and left to the user."""
    copies = {
        "keyring (1).json": "keyring.json",
        "keyring.sync-conflict-20260101-120000-ABCDEFG.json": "keyring.json",
        "volume (conflicted copy).json": "volume.json",
        "journal (conflicted copy)": "journal",
    }
    for name, of in copies.items():
        shutil.copy(f"{c.dir}/.coffer/{of}", f"{c.dir}/.coffer/{name}")
    found = [(NOTE, "conflict", f"<.coffer/{name}") for name in copies]
    return Expect(*found, left=found)


KEYRING = [r"\.coffer/keyring\.json", r"\.coffer/keyring\.lock"]
SETTINGS = [r"\.coffer/volume\.json"]


@case
def keyring_copy_missing(c):
    os.unlink(f"{c.dir}/.coffer/keyring.json.bak")
    return Expect((WARNING, "keyring", "<.coffer/keyring.json.bak"), touch=KEYRING)


@case
def keyring_missing(c):
    os.unlink(f"{c.dir}/.coffer/keyring.json")
    return Expect((WARNING, "keyring", "<.coffer/keyring.json"), touch=KEYRING)


@case
def keyring_copy_damaged(c):
    flip(f"{c.dir}/.coffer/keyring.json.bak", 200)
    return Expect((WARNING, "keyring", "<.coffer/keyring.json.bak"), touch=KEYRING)


@case
def keyring_damaged(c):
    flip(f"{c.dir}/.coffer/keyring.json", 200)
    return Expect((WARNING, "keyring", "<.coffer/keyring.json.bak"), touch=KEYRING)


@case
def settings_damaged(c):
    flip(f"{c.dir}/.coffer/volume.json", 100)
    return Expect((WARNING, "settings", "<.coffer/volume.json.bak"), touch=SETTINGS)


@case
def settings_copy_missing(c):
    os.unlink(f"{c.dir}/.coffer/volume.json.bak")
    return Expect((WARNING, "settings", "<.coffer/volume.json.bak"), touch=SETTINGS)


@case
def empty_directories_missing(c):
    """A copy made by a tool that skips empty directories."""
    for room in ("open", "gone"):
        os.rmdir(f"{c.dir}/.coffer/{room}")
    return Expect(touch=[r"\.coffer/(open|gone)"])


# ------------------------------------------------------------------ the tests


def pristine():
    if not pristine.volume:
        need_mount()
        pristine.volume = Pristine()
    return pristine.volume


pristine.volume = None


def make_test(damage):
    def test():
        run_case(pristine(), damage)

    test.__name__ = f"test_{damage.__name__}"
    return test


for _damage in cases:
    globals()[f"test_{_damage.__name__}"] = make_test(_damage)


def test_fsck_statuses():
    p = pristine()
    c = p.copy()
    key = p.v.unlock()
    equal(c.fsck("-n", *key, c.dir).returncode, 0, "clean")
    equal(c.fsck("-a", *key, c.dir).returncode, 0, "clean, repair allowed")
    os.unlink(record(c, "docs"))
    equal(c.fsck("-n", *key, c.dir).returncode, 4, "not to be repaired")
    equal(c.fsck("-a", *key, c.dir).returncode, 1, "repaired")
    equal(c.fsck("-n", *key, c.dir).returncode, 0, "clean again")
    flip(c.path("docs/paged"), 5 * 4096)
    equal(c.fsck("-n", *key, c.dir).returncode, 0, "pages are not read without --deep")
    equal(c.fsck("-y", "--deep", *key, c.dir).returncode, 4, "cannot be repaired")
    os.unlink(record(c, "docs"))
    equal(c.fsck("-p", "--deep", *key, c.dir).returncode, 5, "some of it can")
    equal(c.fsck(*key).returncode, 16, "no directory")
    equal(c.fsck("-n", *key, c.v.base).returncode, 8, "not a volume")
    for name in ("keyring.json", "keyring.json.bak"):
        flip(f"{c.dir}/.coffer/{name}", 300)
    equal(c.fsck("-a", *key, c.dir).returncode, 4, "no keyring")
    equal(c.v.coffer("check", c.dir, *key, check=False).returncode, 4, "no keyring")


def test_conflict_copy_whose_name_is_taken():
    """The next one gets a number of its own."""
    p = pristine()
    c = p.copy()
    for name in ("docs/one (1)", "docs/one (1) 2", "docs/one (1) 3"):
        run("cp", "-a", c.path("docs/one"), c.path("docs/one") + " (1)")
        status, report = c.check("--repair")
        equal((status, findings(report, repaired=True)), (1, [(WARNING, "conflict", name)]), "repair")
    equal((c.check("--deep")[0], findings(c.check("--deep")[1])), (0, []), "afterwards")
    with c.mounted() as mnt:
        for name in ("docs/one", "docs/one (1)", "docs/one (1) 2", "docs/one (1) 3"):
            equal(read_file(f"{mnt}/{name}"), TREE["docs/one"], name)


def catches(pid, number):
    with open(f"/proc/{pid}/status") as f:
        caught = int(re.search(r"SigCgt:\s*(\w+)", f.read())[1], 16)
    return caught >> (number - 1) & 1


def test_stopped_by_a_signal():
    """Between two objects: the exit status says that it is not all."""
    c = pristine().copy()
    for i in range(40):
        run("cp", "-a", c.path("big"), c.path("hollow") + f"/{i:04}")
    for number in (signal.SIGINT, signal.SIGTERM):
        for _ in range(10):  # on a busy machine it may be through before the signal is sent
            argv = [COFFER, "check", c.dir, "--deep", *c.v.unlock()]
            process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=c.v.environment())
            while process.poll() is None and not catches(process.pid, number):
                pass
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
            if process.returncode == 32:
                break
        equal((process.returncode, "stopped" in err), (32, True), f"{out}{err}: exit status")


def test_stopped_repair_takes_nothing():
    """What was not seen is not unneeded: the bodies of links are where they were."""
    c = pristine().copy()
    before = bodies(c)
    for i in range(40):
        run("cp", "-a", c.path("big"), c.path("big") + f"-{i:04}")
    argv = [COFFER, "check", c.dir, "--deep", "--repair", *c.v.unlock()]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=c.v.environment())
    while process.poll() is None and not catches(process.pid, signal.SIGINT):
        pass
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    equal((process.returncode, bodies(c)), (32, before), f"{out}{err}")


def test_portable():
    """Ids and sidecars are small files there."""
    need_mount()
    with Volume(init=["--portable"]) as v:
        v.mount()
        os.mkdir(f"{v.mnt}/d")
        write_file(f"{v.mnt}/d/file", b"content")
        write_file(f"{v.mnt}/d/{LONG}", b"content")
        v.umount()
        d, long = v.backing("d"), v.backing(f"d/{LONG}")
        options = ["--json", *v.unlock()]

        def check(*more):
            return findings(json.loads(v.coffer("check", v.dir, *options, *more, check=False).stdout))

        equal(check("--deep"), [], "clean")
        write_file(f"{d}/.coffer-dir", b"")
        equal(check(), [(ERROR, "directory-id", "d")], "an id that a power cut left empty")
        check("--repair")
        equal(check(), [(NOTE, "lost", "<.coffer/lost")], "repaired")
        equal(stat.S_IFMT(os.lstat(f"{d}/.coffer-dir").st_mode), stat.S_IFREG, "kind of the id")
        os.rename(f"{long}.n", f"{long} (1).n")
        check("--repair")
        v.mount()
        equal(read_tree(v.mnt), {"d": stat.S_IFDIR, "d/file": b"content", f"d/{LONG}": b"content"}, "in the mount")
        v.umount()


def test_plain_user():
    """What a user may not read is said, and is no damage; a check that only looks lends nobody a mode."""
    harness.need_root()
    need_mount()
    with Volume(owner=harness.NOBODY) as v:
        v.owner = None  # root fills it: a plain user could not give files away
        v.mount("allow_other")
        for name, owner, mode in (("mine", harness.NOBODY, 0), ("theirs", 0, 0o600)):
            write_file(f"{v.mnt}/{name}", b"content")
            os.chown(f"{v.mnt}/{name}", owner, owner)
            os.chmod(f"{v.mnt}/{name}", mode)
        v.umount()
        backing = v.backing("mine")
        r = v.coffer("check", v.dir, "--json", "--deep", *v.unlock(), check=False, user=harness.NOBODY)
        equal(findings(json.loads(r.stdout)), [(WARNING, "store", "mine"), (WARNING, "store", "theirs")], "findings")
        equal(r.returncode, 0, "exit status")
        equal(stat.S_IMODE(os.stat(backing).st_mode), 0, "mode afterwards")


def test_not_while_mounted():
    c = pristine().copy()
    with c.mounted():
        equal(c.v.coffer("check", c.dir, *c.v.unlock(), check=False).returncode, 8, "exit status")


def test_many_files():
    """As fast with many files as the store itself, about; and memory does not grow with them."""
    need_mount()
    with Volume() as volume:
        many_files(volume)


def many_files(volume):
    n = harness.scaled(8000)
    volume.mount()
    for i in range(n):
        if i % 500 == 0:
            os.mkdir(f"{volume.mnt}/{i // 500}")
        write_file(f"{volume.mnt}/{i // 500}/{i}", b"x" * (i % 300))
    depth = volume.mnt
    for _ in range(150):
        depth += "/d"
        os.mkdir(depth)
    write_file(f"{depth}/end", b"deep below")
    volume.umount()
    for options in ([], ["--deep"]):
        start = time.monotonic()
        r = volume.coffer("check", volume.dir, "--json", *options, *volume.unlock(), check=False)
        took = time.monotonic() - start
        report = json.loads(r.stdout)
        equal((report["files"], report["findings"]), (n + 1, []), "files, findings")
        print(f"  {n} files in {took:.1f} s {options}")
        if took > 60:
            raise Failure(f"{took:.0f} s")


def main():
    try:
        return harness.main(seconds=240)
    finally:
        if pristine.volume:
            pristine.volume.v.discard()


if __name__ == "__main__":
    sys.exit(main())
