#!/usr/bin/python3
"""The consistency check and the journal: volumes whose mount was killed or whose machine lost power, and journals damaged in one way
after another; what `coffer check` says, what it brings in place, and what --repair makes of it.

One volume is made, killed with changes that are in the journal only, and copied for each case.
"""

import contextlib
import json
import os
import re
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "mount"))
sys.path.insert(0, os.path.join(HERE, "..", "interop"))

import harness  # noqa: E402
from harness import COFFER, Failure, Skip, Volume, content, equal, need_mount, read_file, run, write_file  # noqa: E402
from test_check import ERROR, NOTE, WARNING, Case, findings, flip, overwrite, page, read_tree, snapshot, touched  # noqa: E402

JOURNAL = "<.coffer/journal"
SLOT = 4096
LONG = "a long name " + "n" * 200

# Before the last mount; and what it did.
BEFORE = {
    "still": content("still", 30 * 4096),
    "small": content("small", 100),
    "paged": content("paged", 100 * 4096),
    "shrinks": content("shrinks", 40 * 4096),
}
OVERWRITTEN = content("overwritten", 5 * 4096)
AFTER = {
    "still": BEFORE["still"],
    "small": BEFORE["small"] + b" and more",
    "paged": BEFORE["paged"][: 10 * 4096] + OVERWRITTEN + BEFORE["paged"][15 * 4096 :],
    "shrinks": BEFORE["shrinks"][: 7 * 4096 + 5],
    "new": content("new", 300),
    "made": content("made", 20 * 4096),
    f"directory/{LONG}": content("long", 500),
}
LOGGED = ["small", "paged", "shrinks"]  # what the kill left in the journal only


class Killed:
    """The volume, as the kill left it; .clean: before the last mount."""

    def __init__(self):
        self.v = v = Volume()
        self.clean = f"{v.base}/clean"
        v.mount()
        for name, data in BEFORE.items():
            write_file(f"{v.mnt}/{name}", data)
        v.umount()
        run("cp", "-a", v.dir, self.clean)
        v.mount("commit=300")
        with open(f"{v.mnt}/paged", "r+b") as f:
            f.seek(10 * 4096)
            f.write(OVERWRITTEN)
        with open(f"{v.mnt}/small", "ab") as f:
            f.write(b" and more")
        os.truncate(f"{v.mnt}/shrinks", 7 * 4096 + 5)
        os.mkdir(f"{v.mnt}/directory")
        for name in set(AFTER) - set(BEFORE):
            write_file(f"{v.mnt}/{name}", AFTER[name])
        v.kill()
        run(*(["umount", "-l"] if harness.ROOT else ["fusermount3", "-uz"]), v.mnt)
        self.below = {name: os.path.relpath(v.backing(name), v.dir) for name in [*AFTER, "directory"]}

    def copy(self, clean=False):
        c = Case(self)
        if clean:
            shutil.rmtree(c.dir)
            run("cp", "-a", self.clean, c.dir)
        return c


def killed():
    if not killed.volume:
        need_mount()
        killed.volume = Killed()
    return killed.volume


killed.volume = None


def journal(c):
    return f"{c.dir}/.coffer/journal"


def in_mount(c, wanted, but=()):
    """The mount shows these files, except where something else is expected; and it had nothing to recover."""
    with c.mounted() as mnt:
        seen = read_tree(mnt)
        status = c.v.status()
    for name in sorted(set(wanted) - set(but)):
        if seen.get(name) != wanted[name]:
            raise Failure(f"{name[:40]} reads {str(seen.get(name))[:60]} in the mount")
    return seen, status


def check_text(c, *options):
    return c.v.coffer("check", c.dir, *c.v.unlock(), *options, check=False)


def lost(c):
    return sorted(os.listdir(f"{c.dir}/.coffer/lost"))


def mark_clean(c):
    """Sets the clean flag of the superblock that counts, with the volume's own keys; the other one is made useless."""
    try:
        import coffer_reader as reader
    except ImportError as e:
        raise Skip(f"needs python3-cryptography and python3-argon2: {e}") from None
    directory = os.fsencode(c.dir)
    keyring = reader.read_either(directory, b"keyring.json", "coffer keyring").value
    settings = keyring["settings"]
    volume, instance = (reader.id16(settings, name) for name in ("volume_id", "instance_id"))
    root = reader.open_root(keyring, volume, reader.Secret("key-file", read_file(c.v.secret)))
    wrap = reader.derive(root, "coffer root wrap", volume, "", None, 32)
    key = reader.unwrap(wrap, reader.binary(keyring["keys"], "journal", 40))
    cipher = settings["cipher"]
    key = reader.derive(key, "coffer journal superblock", volume, cipher, instance, 32)
    opened = {}
    for slot in range(2):
        block = page(journal(c), slot)
        with contextlib.suppress(reader.Rejected):
            opened[slot] = reader.aead_open(cipher, key, block[8:20], block[:8] + bytes([slot]), block[64:], block[20:36])
    slot = max(opened, key=lambda i: opened[i][16:24][::-1])
    plain = bytearray(opened[slot])
    plain[120] = 1
    nonce = os.urandom(12)
    magic = page(journal(c), slot)[:8]
    sealed, tag = reader.aead_seal(cipher, key, nonce, magic + bytes([slot]), bytes(plain))
    overwrite(journal(c), slot * SLOT, magic + nonce + tag + bytes(28) + sealed)


# ------------------------------------------------------------------ what was not unmounted


def test_brought_in_place():
    """The check brings in place what a mount would, says it in one line, and judges what came of it."""
    c = killed().copy()
    r = check_text(c, "--deep")
    equal(r.returncode, 0, r.stdout + r.stderr)
    lines = [line for line in r.stderr.splitlines() if "recovered after an unclean end" in line]
    equal(len(lines), 1, r.stderr)
    files = int(re.search(r"end: (\d+) files, \d+ pages, \d+ ms", lines[0])[1])
    if files < len(LOGGED):
        raise Failure(lines[0])
    in_mount(c, AFTER)
    status, report = c.check("--deep")
    equal((status, report["recovered"], report["findings"]), (0, None, []), "the second check")


def test_brought_in_place_by_a_repair():
    c = killed().copy()
    status, report = c.check("--repair", "--deep")
    equal((status, findings(report)), (0, []), "check --repair")
    if report["recovered"]["files"] < len(LOGGED):
        raise Failure(report["recovered"])
    # journal (F6)
    equal((report["lost_ranges"], report["lost_ranges_ended"]), (1, True), "lost ranges")
    in_mount(c, AFTER)
    equal(c.check()[1]["lost_ranges"], 0, "lost ranges afterwards")


def test_nothing_is_changed_if_asked():
    c = killed().copy()
    before = snapshot(c.dir)
    for options in (["--no-recover"], ["--no-recover", "--deep"]):
        status, report = c.check(*options)
        equal((status, findings(report)), (4, [(ERROR, "journal", JOURNAL)]), f"{options}")
        text = report["findings"][0]["text"]
        if "mount the volume once" not in text:
            raise Failure(text)
        equal(touched(before, snapshot(c.dir)), [], "changed")
    equal(c.fsck("-n", *c.v.unlock(), c.dir).returncode, 4, "fsck.coffer -n")
    equal(touched(before, snapshot(c.dir)), [], "changed by fsck -n")
    equal(check_text(c, "--no-recover", "--repair").returncode, 16, "both")
    equal(touched(before, snapshot(c.dir)), [], "changed by both")
    in_mount(c, AFTER)


def test_files_with_records_are_not_judged():
    """What lies below of them is not what they are; all others are looked at."""
    c = killed().copy()
    overwrite(c.path("paged"), 11 * 4096, bytes(4096))
    flip(c.path("still"), 10 * 4096)
    status, report = c.check("--no-recover", "--deep")
    equal((status, findings(report)), (4, [(ERROR, "journal", JOURNAL), (ERROR, "page", "still")]), "findings")
    # The record has the page that is damaged below.
    status, report = c.check("--deep")
    equal((status, findings(report)), (4, [(ERROR, "page", "still")]), "in place")
    in_mount(c, AFTER, but=["still"])


def test_sides_are_not_judged():
    """A directory's id and a sidecar that only the journal has."""
    c = killed().copy()
    os.unlink(c.path("directory") + "/.coffer-dir")
    status, report = c.check("--no-recover")
    equal((status, findings(report)), (4, [(ERROR, "journal", JOURNAL)]), "without the id")
    status, report = c.check()
    equal((status, findings(report)), (0, []), "put back")
    c = killed().copy()
    os.unlink(c.path(f"directory/{LONG}") + ".n")
    status, report = c.check("--no-recover")
    equal((status, findings(report)), (4, [(ERROR, "journal", JOURNAL)]), "without the sidecar")
    status, report = c.check()
    equal((status, findings(report)), (0, []), "put back")
    in_mount(c, AFTER)


def test_read_only_store():
    harness.need_root()
    c = killed().copy()
    before = snapshot(c.dir)
    script = 'mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"; shift; exec "$@"'
    for options in ([], ["--deep"]):
        r = run("unshare", "-m", "--propagation", "private", "sh", "-ec", script, "sh", c.dir, COFFER, "check", c.dir,
                "--json", *c.v.unlock(), *options, check=False)
        equal((r.returncode, findings(json.loads(r.stdout))), (4, [(ERROR, "journal", JOURNAL)]), r.stderr)
        if "read-only" not in r.stdout:
            raise Failure(r.stdout)
    equal(touched(before, snapshot(c.dir)), [], "changed")


def test_a_key_is_missing():
    """Without a generation that the records need nothing is changed, by --repair neither."""
    c = killed().copy()
    for verb in (["rotate", c.dir], ["suspend", c.dir, "1"]):
        c.v.coffer("key", *verb, *c.v.unlock())
    before = snapshot(c.dir)
    for options in ([], ["--repair"], ["--repair", "--deep"]):
        status, report = c.check(*options)
        found = findings(report)
        equal((status, (ERROR, "journal", JOURNAL) in found), (4, True), f"{options} {found}")
        if "suspended" not in next(f["text"] for f in report["findings"] if f["kind"] == "journal"):
            raise Failure(report)
        equal([p for p in touched(before, snapshot(c.dir)) if p != ".coffer/audit.log"], [], f"changed by {options}")
    c.v.coffer("key", "resume", c.dir, "1", *c.v.unlock())
    equal(c.check()[0], 0, "with the key")
    in_mount(c, AFTER)


def records(path):
    """Offsets of the records' frames."""
    data = read_file(path)
    return [m for m in range(2 * SLOT, len(data), 64) if data[m : m + 4] == b"COJR"]


def test_without_the_id_of_the_root():
    """No mount, and no recovery, without it: it is mended first."""
    c = killed().copy()
    os.unlink(f"{c.dir}/data/.coffer-dir")
    status, report = c.check()
    equal((status, (ERROR, "journal", JOURNAL) in findings(report)), (4, True), findings(report))
    status, report = c.check("--repair", "--deep")
    equal((status, findings(report)), (1, [(ERROR, "directory-id", "<data")]), "repair")
    equal(report["recovered"]["files"] >= len(LOGGED), True, "recovered")
    in_mount(c, AFTER)


def test_clean_flag_with_records():
    """They are brought in place by a repair; a mount would pass them over."""
    c = killed().copy()
    mark_clean(c)
    status, report = c.check()
    equal((status, (ERROR, "journal", JOURNAL) in findings(report)), (4, True), findings(report))
    status, report = c.check("--repair", "--deep")
    equal((status, findings(report, repaired=False)), (1, []), "repair")
    equal(report["recovered"]["files"] >= len(LOGGED), True, "recovered")
    equal(lost(c), [], "set aside")
    in_mount(c, AFTER)


def test_torn_end():
    """The last record did not arrive: the others count, and that is no damage."""
    c = killed().copy()
    flip(journal(c), records(journal(c))[-1] + 70)
    status, report = c.check("--deep")
    equal((status, findings(report)), (0, []), "findings")
    in_mount(c, AFTER, but=["made", "new", f"directory/{LONG}"])
    c = killed().copy()
    flip(journal(c), records(journal(c))[0] + 70)
    status, report = c.check("--deep")
    equal((status, findings(report)), (0, []), "no record opens")


# ------------------------------------------------------------------ damaged journals


def damaged(c, left=(), before=(ERROR, "journal", JOURNAL), lose=(), aside=1, more=(), deep=True):
    """The finding, that a check does not touch it, the repair, and what is left."""
    deep = ["--deep"] if deep else []
    snap = snapshot(c.dir)
    status, report = c.check(*deep)
    if before not in findings(report):
        raise Failure(f"findings: {findings(report)}")
    equal(status, 4 if before[0] == ERROR or more else 0, "exit status")
    equal(touched(snap, snapshot(c.dir)), [], "changed by the check")
    old = os.lstat(journal(c)).st_ino if os.path.lexists(journal(c)) else None
    status, report = c.check("--repair", *deep)
    equal(before in findings(report, repaired=True), True, f"repaired: {report['findings']}")
    equal(status & 4, 4 if any(f[0] == ERROR for f in left) else 0, "exit status of the repair")
    if old and aside:
        equal([os.lstat(f"{c.dir}/.coffer/lost/{n}").st_ino for n in lost(c) if "journal" in n], [old], "set aside")
    equal(len(lost(c)), aside, f"in lost/: {lost(c)}")
    status, report = c.check(*deep)
    rest = [f for f in findings(report) if f[1] != "lost"]
    equal(rest, sorted(left), "after the repair")
    equal(report["recovered"], None, "recovered afterwards")
    return in_mount(c, AFTER if c.unclean else BEFORE, but=lose)


def case(clean=False):
    c = killed().copy(clean)
    c.unclean = not clean
    return c


def test_clean_and_missing():
    c = case(clean=True)
    os.unlink(journal(c))
    damaged(c, aside=0)


def test_clean_and_both_superblocks_bad():
    c = case(clean=True)
    overwrite(journal(c), 0, bytes(2 * SLOT))
    damaged(c)


def test_clean_and_one_superblock_bad():
    """Nothing is lost, and the other one is written again."""
    outcomes = []
    for slot in (0, 1):
        c = case(clean=True)
        flip(journal(c), slot * SLOT + 100)
        status, report = c.check("--no-recover")
        outcomes.append((status, findings(report)))
        if "not unmounted cleanly" in report["findings"][0]["text"]:
            # The older one says that there may be something: there is not.
            equal((c.check()[0], c.check()[1]["findings"]), (0, []), "in place")
            in_mount(c, BEFORE)
        else:
            damaged(c, before=(WARNING, "journal", JOURNAL), aside=0)
    equal(outcomes, [(0, [(WARNING, "journal", JOURNAL)])] * 2, "findings")


def test_clean_and_empty():
    c = case(clean=True)
    os.truncate(journal(c), 0)
    damaged(c)


def test_clean_and_shortened():
    c = case(clean=True)
    os.truncate(journal(c), 3 << 20)
    damaged(c)


def test_clean_and_longer():
    c = case(clean=True)
    os.truncate(journal(c), 5 << 20)
    damaged(c)
    equal(os.stat(journal(c)).st_size, 4 << 20, "size of the new one")


def test_clean_and_linked():
    c = case(clean=True)
    os.link(journal(c), f"{c.v.base}/second")
    try:
        damaged(c)
    finally:
        os.unlink(f"{c.v.base}/second")


def test_clean_and_a_link():
    c = case(clean=True)
    os.rename(journal(c), f"{c.dir}/.coffer/moved")
    os.symlink("moved", journal(c))
    stray = (NOTE, "stray", "<.coffer/moved")
    damaged(c, left=[stray])


def test_clean_and_a_directory():
    c = case(clean=True)
    os.unlink(journal(c))
    os.mkdir(journal(c))
    damaged(c)


def test_journal_of_another_volume():
    with Volume() as other:
        c = case(clean=True)
        shutil.copy(f"{other.dir}/.coffer/journal", journal(c))
        damaged(c)


def test_older_journal():
    """Of this volume, but of before: what it says is true of nothing, and harms nothing."""
    c = case()
    run("cp", "-a", c.p.clean + "/.coffer/journal", journal(c))
    status, report = c.check("--deep")
    if any(f[1] == "journal" for f in findings(report)):
        raise Failure(findings(report))


def changed_slot(c):
    """The superblock that the last mount wrote."""
    old, new = read_file(c.p.clean + "/.coffer/journal"), read_file(journal(c))
    return [i for i in range(2) if old[i * SLOT : (i + 1) * SLOT] != new[i * SLOT : (i + 1) * SLOT]]


def test_superblock_of_the_last_mount_bad():
    """The one before it says clean: a mount would take it, and lose the changes without a word."""
    c = case()
    slots = changed_slot(c)
    if len(slots) != 1:
        raise Skip("a checkpoint came between")
    flip(journal(c), slots[0] * SLOT + 200)
    status, report = c.check()
    equal((ERROR, "journal", JOURNAL) in findings(report), True, findings(report))
    status, report = c.check("--repair", "--deep")
    equal((ERROR, "journal", JOURNAL) in findings(report, repaired=True), True, report["findings"])
    equal(len([n for n in lost(c) if "journal" in n]), 1, "set aside")
    status, report = c.check("--deep")
    equal([f for f in findings(report) if f[0] == ERROR], [], "after the repair")
    in_mount(c, AFTER, but=[*LOGGED, "made", "new", f"directory/{LONG}"])


def test_unclean_and_shortened():
    """The records that are left are brought in place."""
    c = case()
    last = records(journal(c))[-1]
    if last > 3 << 20:
        raise Failure("the records do not lie where this test thinks")
    os.truncate(journal(c), 3 << 20)
    status, report = c.check()
    equal(status, 4, "exit status")
    status, report = c.check("--repair", "--deep")
    equal((status, findings(report, repaired=False)), (1, [(NOTE, "lost", "<.coffer/lost")]), "repair")
    equal(report["recovered"]["files"] >= len(LOGGED), True, "recovered")
    equal(len(lost(c)), 1, "set aside")
    equal(os.stat(journal(c)).st_size, 4 << 20, "size")
    in_mount(c, AFTER)


def test_journal_of_somebody_else():
    """Who may not read it is told so, and mends nothing."""
    harness.need_root()
    need_mount()
    with Volume(owner=harness.NOBODY) as v:
        os.chown(f"{v.dir}/.coffer/journal", 0, 0)
        for options in ([], ["--repair"]):
            r = v.coffer("check", v.dir, "--json", *options, *v.unlock(), check=False, user=harness.NOBODY)
            equal((r.returncode, findings(json.loads(r.stdout))), (0, [(WARNING, "store", JOURNAL)]), f"{options}: {r.stderr}")
        equal(os.listdir(f"{v.dir}/.coffer/lost"), [], "set aside")


def test_unclean_and_missing():
    """What was in it is lost, and said; what lies below is judged as it is; a mount works again."""
    c = case()
    os.unlink(journal(c))
    r = check_text(c, "--repair", "--deep")
    equal(r.returncode & 1, 1, r.stdout)
    if "what was only in it is lost" not in r.stdout:
        raise Failure(r.stdout)
    in_mount(c, AFTER, but=[*LOGGED, "made", "new", f"directory/{LONG}"])


# ------------------------------------------------------------------ files that were being made


def young_case(break_it, name, wanted, but=()):
    c = killed().copy()
    break_it(c)
    status, report = c.check("--deep")
    equal((status, findings(report)), (0, [(NOTE, "young", name)]), "check")
    equal(lost(c), [], "set aside by the check")
    status, report = c.check("--repair", "--deep")
    equal((status, findings(report, repaired=True)), (1, [(NOTE, "young", name)]), "repair")
    equal(report["lost_ranges_ended"], True, "end of the lost ranges")
    equal(len(lost(c)), 1, "set aside")
    status, report = c.check("--deep")
    equal((status, [f for f in findings(report) if f[1] != "lost"]), (0, []), "after the repair")
    in_mount(c, AFTER | {name: wanted}, but=but)


def test_young_head_torn():
    young_case(lambda c: flip(c.path("new"), 140), "new", b"")


def test_young_head_of_zeros():
    young_case(lambda c: overwrite(c.path("new"), 0, bytes(128 + 300)), "new", b"")


def test_young_pages_torn():
    """Its records did not last, head and most pages did: it ends before the first page that did not."""

    def break_it(c):
        flip(journal(c), records(journal(c))[0] + 70)
        overwrite(c.path("made"), 6 * 4096, bytes(4096))

    young_case(break_it, "made", AFTER["made"][: 5 * 4096], but=LOGGED)


def test_young_and_its_name_damaged():
    """Neither name nor head open, but it looks like a file of coffer's: it is set aside."""
    c = killed().copy()
    flip(c.path("new"), 140)
    os.rename(c.path("new"), c.path("new")[:-1])
    status, report = c.check("--repair", "--deep")
    found = [(ERROR, "name", "<" + c.backing("new")[:-1])]
    equal((status, findings(report, repaired=True)), (1, found), report["findings"])
    equal(lost(c), [os.path.basename(c.backing("new"))[:-1]], "set aside")


def test_growth_without_records():
    c = killed().copy()
    equal(c.check()[0], 0, "in place")

    def grow(c):
        equal(c.check()[0], 0, "in place")
        with open(c.path("still"), "ab") as f:
            f.write(bytes(3 * 4096))

    young_case(grow, "still", BEFORE["still"])


def test_what_was_promised_is_damage():
    """A lost range excuses nothing that was durable before."""
    c = killed().copy()
    equal(c.check()[0], 0, "in place")
    flip(c.path("still"), 5)
    status, report = c.check("--deep")
    equal(status, 4, findings(report))
    status, report = c.check("--repair", "--deep")
    equal(report["lost_ranges_ended"], False, "a file is left that was not judged")


def test_ranges_stay_without_deep():
    c = killed().copy()
    status, report = c.check("--repair")
    equal((status, report["lost_ranges"], report["lost_ranges_ended"]), (0, 1, False), "not every page was opened")
    status, report = c.check("--deep")
    equal((status, report["lost_ranges"], report["lost_ranges_ended"]), (0, 1, False), "not to be changed")
    status, report = c.check("--repair", "--deep")
    equal((status, report["lost_ranges"], report["lost_ranges_ended"]), (0, 1, True), "over")


def main():
    try:
        return harness.main(seconds=120)
    finally:
        if killed.volume:
            killed.volume.v.discard()


if __name__ == "__main__":
    sys.exit(main())
