#!/usr/bin/python3
"""Volumes that coffer makes and fills, read by the independent reader.

    COFFER             path of the program; without it everything is skipped
    COFFER_TEST_SCALE  10 for sanitizer builds: fewer and smaller objects

Exit status: 0 all passed, 1 some failed, 77 all skipped.
"""

from __future__ import annotations

import json
import os
import stat
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "mount")]

try:
    import coffer_reader as reader
except ImportError as error:
    print(f"skip everything: {error}")
    sys.exit(77)
import tree
from harness import SCALE, Failure, Skip, Volume, equal, limit, main, need_mount, read_file, run

READER = os.path.join(HERE, "coffer_reader.py")
COMPARED = ("type", "mode", "size", "links", "target", "xattrs", "digest", "mtime", "device")


def read(volume_dir: str, secret: list[str], *verb: str, timeout: int = 300):
    return run(sys.executable, READER, volume_dir, *secret, *verb, check=False, timeout=timeout)


def differences(wanted: dict, got: dict) -> list[str]:
    found = [f"{path}: missing" for path in sorted(wanted.keys() - got.keys())]
    found += [f"{path}: should not be there" for path in sorted(got.keys() - wanted.keys())]
    for path in sorted(wanted.keys() & got.keys()):
        for key in COMPARED:
            if wanted[path][key] != got[path][key]:
                found.append(f"{path}: {key} is {got[path][key]}, should be {wanted[path][key]}")
    return found


def groups(objects: dict) -> set[frozenset[str]]:
    """Which paths are hard links of each other."""
    by_inode: dict[int, set[str]] = {}
    for path, found in objects.items():
        by_inode.setdefault(found["inode"], set()).add(path)
    return {frozenset(paths) for paths in by_inode.values() if len(paths) > 1}


def compare(volume_dir: str, secret: list[str], plain: str, out: str | None) -> None:
    """What the reader finds in the volume is what is in the plain directory."""
    wanted = tree.snapshot(os.fsencode(plain))
    r = read(volume_dir, secret, "--json", "list")
    equal(r.returncode, 0, f"exit status of list\n{r.stderr[-3000:]}\n")
    listed = {x["path"]: x for x in map(json.loads, r.stdout.splitlines())}
    wrong = differences(wanted, listed)
    if wrong:
        raise Failure(f"{len(wrong)} differences in the list:\n" + "\n".join(w[:400] for w in wrong[:20]))
    equal(groups(listed), groups(wanted), "hard links listed")
    if out is None:
        return

    r = read(volume_dir, secret, "extract", out)
    equal(r.returncode, 0, f"exit status of extract\n{r.stderr[-3000:]}\n")
    extracted = tree.snapshot(os.fsencode(out))
    wrong = differences(wanted, extracted)
    if wrong:
        raise Failure(f"{len(wrong)} differences in what was extracted:\n" + "\n".join(w[:400] for w in wrong[:20]))
    equal(groups(extracted), groups(wanted), "hard links extracted")
    for path, found in extracted.items():  # holes stay holes
        if found["type"] == "file" and found["blocks"] > wanted[path]["blocks"] + 256:
            raise Failure(f"{path}: {found['blocks']} blocks, of {wanted[path]['blocks']}")


def exercise(tmp: str, init: list[str], passphrase: bool = False, parts: tuple = (), extract: bool = True) -> None:
    need_mount()
    plain = f"{tmp}/plain"
    os.mkdir(plain, 0o755)
    with Volume(init=init, passphrase=passphrase) as volume:
        volume.mount()
        os.chmod(volume.mnt, 0o755)
        built = tree.build(os.fsencode(plain), os.fsencode(volume.mnt), SCALE, parts)
        for line in built.skipped:
            print(f"  left out: {line}")
        volume.umount()
        portable = "--portable" in init
        equal(os.path.islink(f"{volume.dir}/data/.coffer-dir"), not portable, "an id record in a symbolic link")
        if not parts:  # the tree reaches both forms of links and names
            long_links = len(os.listdir(f"{volume.dir}/.coffer/links"))
            if not long_links:
                raise Failure("no long symbolic link was made")
        compare(volume.dir, volume.unlock(), plain, f"{tmp}/out" if extract else None)


@limit(400)
def test_aes_256_ocb(tmp):
    exercise(tmp, ["--cipher", "aes-256-ocb"])


@limit(400)
def test_aes_256_gcm(tmp):
    exercise(tmp, ["--cipher", "aes-256-gcm"])


@limit(400)
def test_chacha20_poly1305(tmp):
    exercise(tmp, ["--cipher", "chacha20-poly1305"], passphrase=True)


@limit(200)
def test_portable(tmp):
    exercise(tmp, ["--portable"], parts=(tree.build_names, tree.build_links, tree.build_xattrs))


@limit(200)
def test_secrets(tmp):
    """A passphrase, a recovery key and a key file open the same volume; other ones do not."""
    need_mount()
    for name, data in (
        ("passphrase", b" correct horse\nbattery staple \n"),
        ("same passphrase", b" correct horse\nbattery staple "),
        ("other passphrase", b"correct horse battery staple\n"),
        ("key", tree.noise("key", 32)),
        ("other key", tree.noise("other key", 32)),
    ):
        with open(f"{tmp}/{name}", "wb") as f:
            f.write(data)
    with Volume() as volume:
        for directory, first, others in (
            ("v1", ["--passphrase-file", f"{tmp}/passphrase"], [["--passphrase-file", f"{tmp}/same passphrase"]]),
            ("v2", ["--key-file", f"{tmp}/key"], []),
        ):
            recovery = f"{tmp}/recovery of {directory}"
            path = f"{tmp}/{directory}"
            volume.coffer("init", path, *first, "--recovery-key-file", recovery)
            opening = [first, *others, ["--recovery-key-file", recovery], ["--passphrase-file", recovery]]
            for secret in opening:
                r = read(path, secret, "list")
                equal((r.returncode, r.stderr), (0, ""), f"{directory} {secret}")
            for secret in (
                ["--passphrase-file", f"{tmp}/other passphrase"],
                ["--key-file", f"{tmp}/other key"],
                ["--recovery-key-file", f"{tmp}/passphrase"],
            ):
                equal(read(path, secret, "list").returncode, 5, f"{directory} {secret}")


@limit(100)
def test_new_root(tmp):
    """Id records under the directory key of a root that was replaced, and under the new one; then all under the new one."""
    need_mount()
    plain = f"{tmp}/plain"
    os.mkdir(plain, 0o755)
    with Volume() as volume:
        for step in range(3):
            volume.mount()
            os.chmod(volume.mnt, 0o755)
            for top in (volume.mnt, plain):
                os.makedirs(f"{top}/kept/{step}/deep")
                with open(f"{top}/kept/{step}/deep/file", "wb") as f:
                    f.write(tree.noise(f"step {step}", 5000))
            for base, _, files in os.walk(plain, topdown=False):
                for path in [f"{base}/{name}" for name in files] + [base]:
                    for one in (path, volume.mnt + path[len(plain) :]):
                        os.utime(one, (step, step))
            volume.umount()
            compare(volume.dir, volume.unlock(), plain, None)
            volume.coffer("key", "rotate", volume.dir, "--root", *volume.unlock())
            compare(volume.dir, volume.unlock(), plain, None)
        volume.coffer("key", "reencrypt", "start", volume.dir, "--wait", *volume.unlock())
        compare(volume.dir, volume.unlock(), plain, f"{tmp}/out")


def build_scopes(b: tree.Builder) -> None:
    """The same below each directory that is to begin a scope, and beside them."""
    for d in (b"rest", b"one", b"one/two", b"one/two/back", b"late"):
        b.dir(d)
        for size in (0, 14, 4000, 70 * 4096):
            b.file(d + b"/%d" % size, (0, tree.noise((d, size), size)))
        b.file(d + b"/" + b"n" * 200, (0, b"long"))
        b.hard(d + b"/hard", d + b"/14")
        b.link(d + b"/short", b"../rest")
        b.link(d + b"/long", b"t" * 900)
        b.node(d + b"/fifo", stat.S_IFIFO)
        b.dir(d + b"/below")
        b.file(d + b"/below/" + b"m" * 250, (0, tree.noise(d, 9000)))
        for path in (d, d + b"/14", d + b"/below"):
            b.xattr(path, b"user.short", d)
            b.xattr(path, b"user." + b"x" * 200, d)
        for path in (d + b"/short", d + b"/fifo"):
            b.xattr(path, b"trusted.short", d)


@limit(100)
def test_scopes(tmp):
    """Scopes beside and inside one another; one that was taken back; one that is not re-encrypted yet, and has something new."""
    need_mount()
    plain = f"{tmp}/plain"
    os.mkdir(plain, 0o755)
    with Volume() as volume:

        def key(*words):
            volume.coffer("key", *words, *volume.unlock())

        def generations() -> set[int]:
            paths = (f"{base}/{name}" for base, _, files in os.walk(f"{volume.dir}/data") for name in files)
            heads = (read_file(path)[:28] for path in paths if stat.S_ISREG(os.lstat(path).st_mode))
            return {int.from_bytes(head[24:], "little") for head in heads if head}

        volume.mount()
        os.chmod(volume.mnt, 0o755)
        tree.build(os.fsencode(plain), os.fsencode(volume.mnt), SCALE, (build_scopes,))
        for scope in ("one", "two"):
            key("scope", "create", volume.dir, scope)
        for scope, directory in (("one", "one"), ("two", "one/two"), ("default", "one/two/back")):
            key("scope", "assign", volume.dir, scope, directory, "--wait")
        volume.umount()
        equal(generations(), {1, 3, 4}, "generations of heads")
        compare(volume.dir, volume.unlock(), plain, f"{tmp}/out")

        volume.mount()
        volume.coffer("freeze", volume.dir)
        key("scope", "assign", volume.dir, "two", "late")
        key("reencrypt", "pause", volume.dir)
        volume.coffer("thaw", volume.dir)
        for top in (volume.mnt, plain):
            os.mkdir(f"{top}/late/new")
            with open(f"{top}/late/new/file", "wb") as f:
                f.write(b"under the new scope")
            for path in ("late/new/file", "late/new", "late"):
                os.utime(f"{top}/{path}", (7, 7))
        volume.umount()
        zones = reader.read_either(os.fsencode(volume.dir), b"keyring.json", "coffer keyring").value["zones"]
        equal([z.get("from") for z in zones], [None, None, None, 0], "zones on their way")
        compare(volume.dir, volume.unlock(), plain, None)


@limit(100)
def test_certificates(tmp):
    """Protectors of certificates, whose private keys open them. (The reader asks nobody whose root it is: it writes nothing.)"""
    need_mount()
    if not os.access(os.path.join(os.environ.get("COFFER_LIBEXEC_DIR", ""), "coffer-cms"), os.X_OK):
        raise Skip("built without OpenSSL")
    with open(f"{tmp}/key", "wb") as f:
        f.write(tree.noise("key", 32))
    kinds = {"rsa": "rsa:2048", "ec": "ec", "other": "ec"}
    for name, kind in kinds.items():
        curve = ["-pkeyopt", "ec_paramgen_curve:P-384"] if kind == "ec" else []
        run("openssl", "req", "-x509", "-newkey", kind, *curve, "-nodes", "-keyout", f"{tmp}/{name}.key", "-out", f"{tmp}/{name}.pem",
            "-subj", f"/CN={name}")
    with Volume() as volume:
        volume.coffer("init", f"{tmp}/v", "--key-file", f"{tmp}/key", "--no-recovery-key", "--journal-size", "4M")
        for name in ("rsa", "ec"):
            volume.coffer("key", "add", f"{tmp}/v", "--key-file", f"{tmp}/key", "--certificate", f"{tmp}/{name}.pem")
    for name, status in (("rsa", 0), ("ec", 0), ("other", 5)):
        equal(read(f"{tmp}/v", ["--identity-file", f"{tmp}/{name}.key"], "list").returncode, status, name)


if __name__ == "__main__":
    sys.exit(main(seconds=200))
