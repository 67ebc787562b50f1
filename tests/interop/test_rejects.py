#!/usr/bin/python3
"""What the two documents say a reader MUST reject, case by case: the independent reader rejects it, and so does coffer.

A case tampers with one object of a volume; most know the keys, so that nothing but the rule in question is broken.

    COFFER             path of the program; without it everything is skipped

Exit status: 0 all passed, 1 some failed, 77 all skipped.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import hashlib
import io
import json
import os
import re
import shutil
import struct
import sys
from dataclasses import dataclass, replace
from typing import Any, Callable

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "mount")]

try:
    import coffer_reader as reader
except ImportError as error:
    print(f"skip everything: {error}")
    sys.exit(77)
from harness import Failure, Volume, equal, limit, main, need_mount, run
from tree import noise

READER = os.path.join(HERE, "coffer_reader.py")
PAGE = 4096
PAGES = 70  # of the paged files: more than the 60 that a head holds
CONTENT = noise("paged", PAGES * PAGE - 100)
MAP = 61  # the physical page of the first map page


# ---- forging 


class Ring:
    """The keyring of a volume, to be changed and sealed again."""

    def __init__(self, directory: str, key_file: str):
        self.directory = directory
        self.secret = reader.Secret.from_file("key-file", key_file)
        self.volume = reader.read_either(os.fsencode(directory), b"volume.json", "coffer volume")
        self.ring = reader.read_either(os.fsencode(directory), b"keyring.json", "coffer keyring")
        settings = self.volume.value["settings"]
        self.volume_id = reader.id16(settings, "volume_id")
        root = reader.open_root(self.ring.value, self.volume_id, self.secret)
        self.mac_key = reader.derive(root, "coffer keyring mac", self.volume_id, "", None, 32)
        self.wrap_key = reader.derive(root, "coffer root wrap", self.volume_id, "", None, 32)
        generations = {
            g["generation"]: reader.unwrap(self.wrap_key, reader.binary(g, "wrapped", 40))
            for g in self.ring.value["generations"]
            if "wrapped" in g
        }
        directory_key = reader.unwrap(self.wrap_key, reader.binary(self.ring.value["keys"], "directory", 40))
        # every generation opens and seals here, whatever its scope and state
        self.keys = reader.Keys(self.volume_id, settings["cipher"], settings["name_max"], directory_key, generations)

    def seal(self, document: bytes, mac: bool) -> bytes:
        line = b"#coffer-seal "
        if mac:
            line += b"mac=" + reader.hmac256(self.mac_key, document).hex().encode() + b" "
        data = document + line + b"sha256="
        return data + hashlib.sha256(data).hexdigest().encode() + b"\n"

    def seal_value(self, value: Any, mac: bool) -> bytes:
        return self.seal(json.dumps(value, indent=1).encode() + b"\n", mac)

    def wrap(self, key: bytes) -> str:
        from cryptography.hazmat.primitives.keywrap import aes_key_wrap

        return reader.b64_encode(aes_key_wrap(self.wrap_key, key)).decode()

    def put(self, name: str, data: bytes, copies: tuple[str, ...] = ("", ".bak")) -> None:
        for suffix in copies:
            with open(f"{self.directory}/.coffer/{name}{suffix}", "wb") as f:
                f.write(data)


def backing_of(keys: reader.Keys, directory: bytes, path: bytes) -> bytes:
    """The backing path of a path in the tree."""
    at = os.path.join(directory, b"data")
    for name in path.split(b"/"):
        record = reader.open_id_record(keys, os.readlink(at + b"/.coffer-dir"))
        at += b"/" + reader.seal_name(keys, record.generation, record.directory_id, name)[0]
    return at


def flipped_at_the_end(b: bytes) -> bytes:
    return b[:-1] + bytes([b[-1] ^ 1])


class Case:
    """A directory of the tree with what is to be tampered with."""

    def __init__(self, keys: reader.Keys, volume_dir: bytes, name: str):
        self.keys = keys
        self.volume_dir = volume_dir
        self.dir = backing_of(keys, volume_dir, name.encode())
        self.record = reader.open_id_record(keys, os.readlink(self.dir + b"/.coffer-dir"))

    def backing(self, name: bytes = b"x") -> bytes:
        return self.dir + b"/" + reader.seal_name(self.keys, self.record.generation, self.record.directory_id, name)[0]

    # bytes

    def get(self, offset: int = 0, length: int = PAGE, name: bytes = b"x") -> bytes:
        with open(self.backing(name), "rb") as f:
            f.seek(offset)
            return f.read(length)

    def put(self, data: bytes, offset: int = 0) -> None:
        with open(self.backing(), "r+b") as f:
            f.seek(offset)
            f.write(data)

    def flip(self, offset: int) -> None:
        self.put(bytes([self.get(offset, 1)[0] ^ 1]), offset)

    def resize(self, size: int | None = None, by: int = 0) -> None:
        os.truncate(self.backing(), os.stat(self.backing()).st_size + by if size is None else size)

    # heads and pages

    def head(self) -> reader.Head:
        size = os.stat(self.backing()).st_size
        return reader.open_head(self.keys, self.get(0, min(size, PAGE)), size)

    def rehead(self, **changes: Any) -> None:
        self.put(reader.seal_head(self.keys, replace(self.head(), nonce=os.urandom(12), **changes)))

    def entry(self, i: int) -> bytes:
        return self.head().body[32 * i : 32 * i + 32]

    def set_entry(self, i: int, entry: bytes) -> None:
        body = self.head().body
        self.rehead(body=body[: 32 * i] + entry + body[32 * i + 32 :])

    def reseal_page(self, i: int, physical: int, plain: bytes, g: int = 1, height: int = 0, first: int | None = None) -> None:
        """A new page for entry i of the head."""
        entry, sealed = reader.seal_page(
            self.keys, g, self.head().file_id, height, i if first is None else first, os.urandom(12), plain
        )
        self.put(sealed, physical * PAGE)
        self.set_entry(i, entry)

    def map_page(self) -> bytes:
        entry, head = self.entry(60), self.head()
        key = self.keys.content(self.record.generation, head.file_id)
        ad = reader.page_ad(head.file_id, 1, 60)
        return reader.aead_open(self.keys.cipher, key, entry[:12], ad, self.get(MAP * PAGE), entry[16:])

    # names

    def rename(self, new: bytes) -> None:
        os.rename(self.backing(), self.dir + b"/" + new)

    def forge_name(self, padded: bytes) -> None:
        self.rename(reader.b64_encode(reader.siv_seal(self.keys.names(1), [self.record.directory_id], padded)))

    # symbolic links

    def relink(self, text: bytes) -> None:
        os.unlink(self.backing())
        os.symlink(text, self.backing())

    def text(self, name: bytes = b"x") -> bytes:
        return os.readlink(self.backing(name))

    def link_id(self, name: bytes = b"x") -> bytes:
        return reader.open_string(self.keys, b"L", reader.b64_decode(self.text(name)[1:]))[:16]

    def body(self, name: bytes = b"x") -> bytes:
        return self.volume_dir + b"/.coffer/links/" + reader.b64_encode(self.link_id(name))

    def write_body(self, data: bytes) -> None:
        with open(self.body(), "wb") as f:
            f.write(data)

    # extended attributes

    def attribute(self) -> tuple[bytes, bytes]:
        (name,) = [os.fsencode(n) for n in os.listxattr(self.backing()) if n.startswith("user.")]
        return name, os.getxattr(self.backing(), name)

    def set_attribute(self, name: bytes, value: bytes) -> None:
        old, _ = self.attribute()
        os.removexattr(self.backing(), old)
        os.setxattr(self.backing(), name, value)

    def forge_attribute(self, name: bytes, value: bytes, **more: Any) -> None:
        self.set_attribute(*reader.seal_xattr(self.keys, 1, self.head().file_id, b"user.", name, os.urandom(16), value, **more))

    # directories

    def record_bytes(self) -> bytes:
        return reader.b64_decode(reader.seal_id_record(self.keys, self.record))

    def set_record(self, text: bytes | None) -> None:
        path = self.dir + b"/.coffer-dir"
        os.unlink(path)
        if text is not None:
            os.symlink(text, path)

    def set_record_file(self, data: bytes) -> None:
        self.set_record(None)
        write(self.dir + b"/.coffer-dir", data)


# ---- what is there before --------------------------------------------------------------------------------------------


def write(path: bytes, data: bytes) -> None:
    with open(path, "wb") as f:
        f.write(data)


def inline(d: bytes) -> None:
    write(d + b"/x", noise("inline", 500))


def paged(d: bytes) -> None:
    write(d + b"/x", CONTENT)


def paged_twice(d: bytes) -> None:
    write(d + b"/x", CONTENT)
    write(d + b"/y", CONTENT)


def long_name(d: bytes) -> None:
    write(d + b"/" + b"n" * 200, b"long")
    write(d + b"/" + b"m" * 200, b"long")


def short_link(d: bytes) -> None:
    os.symlink(b"target", d + b"/x")


def long_link(d: bytes) -> None:
    os.symlink(b"t" * 4000, d + b"/x")
    os.symlink(b"u" * 4000, d + b"/y")


def attribute(d: bytes) -> None:
    inline(d)
    os.setxattr(d + b"/x", b"user.names", b"value")


def long_attribute(d: bytes) -> None:
    inline(d)
    os.setxattr(d + b"/x", b"user." + b"a" * 200, b"value")


def directory(d: bytes) -> None:
    inline(d)


# ---- cases 


@dataclass
class Rule:
    what: str  # content, name, long name, link, attribute, value (of one), directory or good
    make: Callable[[bytes], None]
    reason: str  # a pattern that the reader's reason matches
    tamper: Callable[[Case], None]


RULES: dict[str, Rule] = {}


def rule(what: str, make: Callable[[bytes], None], reason: str):
    def add(function: Callable[[Case], None]) -> Callable[[Case], None]:
        RULES[function.__name__] = Rule(what, make, reason, function)
        return function

    return add


def rules(what: str, make: Callable[[bytes], None], reason: str, **tampers: Callable[[Case], None]) -> None:
    for name, tamper in tampers.items():
        RULES[name] = Rule(what, make, reason, tamper)


SIZE = "a physical size that no file has"
TAG = "a tag that fails"
CONTRADICTS = "a head that contradicts the size"
SEALED = "a sealed size that does not belong"

# heads
rules("content", inline, "magic or version", magic=lambda c: c.flip(0), version=lambda c: c.rehead(version=2))
rules("content", inline, "unknown flags", flags=lambda c: c.rehead(flags=4), flags_high=lambda c: c.rehead(flags=128))
rules(
    "content",
    inline,
    TAG,
    file_id=lambda c: c.flip(8),
    epoch=lambda c: c.flip(28),
    nonce=lambda c: c.flip(36),
    tag=lambda c: c.flip(63),
    sealed_fields=lambda c: c.flip(64),
    inline_body=lambda c: c.flip(128 + 499),
    newborn=lambda c: c.put(bytes([c.head().flags ^ 2]), 5),
)
rules(
    "content",
    inline,
    CONTRADICTS,
    paged_flag_inline=lambda c: c.rehead(flags=1),
    inline_length=lambda c: c.rehead(inline_length=499),
    inline_shorter=lambda c: c.resize(by=-1),
    inline_longer=lambda c: c.resize(by=1),
)
rules("content", inline, SEALED, inline_sealed_size=lambda c: c.rehead(size=499))
rules("content", inline, "reserved bytes", reserved=lambda c: c.rehead(reserved=bytes(31) + b"\1"))
rules(
    "content",
    inline,
    "generation .* opens nothing",
    head_generation_unknown=lambda c: c.put(struct.pack("<I", 77), 24),
    head_generation_0=lambda c: c.put(struct.pack("<I", 0), 24),
    head_generation_other_scope=lambda c: c.rehead(generation=2),
)
rules(
    "content",
    inline,
    SIZE,
    size_1=lambda c: c.resize(1),
    size_127=lambda c: c.resize(127),
    size_4097=lambda c: c.resize(4097),
    size_8064=lambda c: c.resize(8064),
)

# pages
rules("content", paged, CONTRADICTS, no_paged_flag=lambda c: c.rehead(flags=0), paged_inline_length=lambda c: c.rehead(inline_length=5))
rules("content", paged, CONTRADICTS, cut_to_inline=lambda c: c.resize(4096))
rules(
    "content",
    paged,
    SIZE,
    inside_map=lambda c: c.resize(MAP * PAGE + 10),
    behind_map=lambda c: c.resize((MAP + 1) * PAGE),
)
rules(
    "content",
    paged,
    SEALED,
    paged_shorter=lambda c: c.resize(by=-1),
    paged_longer=lambda c: c.resize(by=1),
    paged_one_page_more=lambda c: c.resize(by=PAGE),
    paged_sealed_size=lambda c: c.rehead(size=len(CONTENT) - 1),
)
rules("content", paged, "reserved bytes", paged_reserved=lambda c: c.rehead(reserved=b"\1" + bytes(31)))
rules(
    "content",
    paged,
    TAG,
    head_entries=lambda c: c.flip(128 + 40 * 32),
    data_page=lambda c: c.flip(PAGE + 4095),
    last_page=lambda c: c.flip((PAGES + 1) * PAGE + 5),
    map_page=lambda c: c.flip(MAP * PAGE + 127 * 32),
    pages_exchanged=lambda c: c.put(c.get(2 * PAGE) + c.get(PAGE), PAGE),
    entry_nonce=lambda c: c.set_entry(3, b"\1" * 12 + c.entry(3)[12:]),
    entry_tag=lambda c: c.set_entry(3, c.entry(3)[:16] + bytes(16)),
    page_of_another_place=lambda c: c.reseal_page(3, 4, noise(1, PAGE), first=4),
    page_as_map=lambda c: c.reseal_page(3, 4, noise(1, PAGE), height=1),
    map_as_page=lambda c: c.reseal_page(60, MAP, c.map_page(), height=0, first=60),
    map_of_another_height=lambda c: c.reseal_page(60, MAP, c.map_page(), height=2, first=60),
    map_of_another_place=lambda c: c.reseal_page(60, MAP, c.map_page(), height=1, first=188),
)


@rule("content", paged, TAG)
def pages_and_entries_exchanged(c: Case) -> None:
    a, b = c.get(PAGE), c.get(2 * PAGE)
    c.put(b + a, PAGE)
    c.rehead(body=c.entry(1) + c.entry(0) + c.head().body[64:])


@rule("content", paged, TAG)
def older_page(c: Case) -> None:
    old = c.get(5 * PAGE)
    c.reseal_page(4, 5, noise("newer", PAGE))
    c.put(old, 5 * PAGE)


@rule("content", paged_twice, TAG)
def page_of_another_file(c: Case) -> None:
    c.put(c.get(3 * PAGE, name=b"y"), 3 * PAGE)


rules(
    "content",
    paged,
    "generation 0 in an entry",
    entry_generation_0=lambda c: c.set_entry(3, c.entry(3)[:12] + bytes(4) + c.entry(3)[16:]),
    map_entry_generation_0=lambda c: c.reseal_page(60, MAP, bytes(16) + b"\1" + c.map_page()[17:], height=1, first=60),
)
rules(
    "content",
    paged,
    "generation .* opens nothing",
    entry_generation_unknown=lambda c: c.set_entry(3, c.entry(3)[:12] + struct.pack("<I", 77) + c.entry(3)[16:]),
    entry_generation_other_scope=lambda c: c.reseal_page(3, 4, noise(1, PAGE), g=2),
)

# what is no reason to reject: what lies in a hole, a page sealed again
rules(
    "good",
    paged,
    "",
    hole=lambda c: c.set_entry(3, bytes(32)),
    hole_of_a_subtree=lambda c: c.set_entry(60, bytes(32)),
    entry_behind_the_end=lambda c: c.set_entry(61, b"\1" * 32),
    entry_of_a_page_behind_the_end=lambda c: c.reseal_page(60, MAP, c.map_page()[:-32] + b"\1" * 32, height=1, first=60),
    sealed_again=lambda c: c.rehead(epoch=7),
)

# directories
ID_LENGTH = "an id record of another length or version"
rules(
    "directory",
    directory,
    ID_LENGTH,
    record_version=lambda c: c.set_record(reader.seal_id_record(c.keys, c.record, version=2)),
    record_shorter=lambda c: c.set_record(reader.b64_encode(c.record_bytes()[:-1])),
    record_longer=lambda c: c.set_record(reader.b64_encode(c.record_bytes() + b"x")),
)
rules(
    "directory",
    directory,
    "wrong MAC",
    record_mac=lambda c: c.set_record(reader.b64_encode(flipped_at_the_end(c.record_bytes()))),
    record_id=lambda c: c.set_record(reader.b64_encode(c.record_bytes()[:9] + bytes(16) + c.record_bytes()[25:])),
)


def uncanonical(text: bytes) -> bytes:
    """The lowest of the unused bits of the last character set."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    if len(text) % 4 in (0, 1):
        raise Failure("base64url without unused bits")
    return text[:-1] + bytes([alphabet[alphabet.index(text[-1:]) + 1]])


rules(
    "directory",
    directory,
    "base64url",
    record_bits=lambda c: c.set_record(uncanonical(reader.seal_id_record(c.keys, c.record))),
    record_padding=lambda c: c.set_record(reader.seal_id_record(c.keys, c.record) + b"="),
    record_newline=lambda c: c.set_record_file(reader.seal_id_record(c.keys, c.record) + b"\n"),
)
rules("directory", directory, "without an id record", record_missing=lambda c: c.set_record(None))
rules(
    "directory",
    directory,
    "neither a symbolic link nor a small file",
    record_fifo=lambda c: (c.set_record(None), os.mkfifo(c.dir + b"/.coffer-dir")) and None,
)
rules(
    "name",
    directory,
    "name: generation .* opens nothing",
    record_generation_unknown=lambda c: c.set_record(reader.seal_id_record(c.keys, replace(c.record, generation=77))),
    record_generation_0=lambda c: c.set_record(reader.seal_id_record(c.keys, replace(c.record, generation=0))),
    record_generation_other_scope=lambda c: c.set_record(reader.seal_id_record(c.keys, replace(c.record, generation=2))),
)
rules(
    "good",
    directory,
    "",
    record_next_unknown=lambda c: c.set_record(reader.seal_id_record(c.keys, replace(c.record, next_generation=77))),
)
rules(
    "good",
    directory,
    "",
    record_in_a_file=lambda c: c.set_record_file(reader.seal_id_record(c.keys, c.record)),
)

# names
AUTHENTICATE = "name: a SIV that does not authenticate"
rules(
    "name",
    inline,
    "name: .*base64url",
    name_bits=lambda c: c.rename(uncanonical(os.path.basename(c.backing()))),
    name_padding=lambda c: c.rename(os.path.basename(c.backing()) + b"="),
    name_alphabet=lambda c: c.rename(b"+" + os.path.basename(c.backing())[1:]),
    name_space=lambda c: c.rename(os.path.basename(c.backing()) + b" "),
)
rules(
    "name",
    inline,
    AUTHENTICATE,
    name_forged=lambda c: c.rename(reader.b64_encode(bytes(32))),
    name_of_another_directory=lambda c: c.rename(reader.seal_name(c.keys, 1, bytes(16), b"x")[0]),
    name_of_another_scope=lambda c: c.rename(reader.seal_name(c.keys, 2, c.record.directory_id, b"x")[0]),
)
rules(
    "name",
    inline,
    "name: a name of a wrong length",
    name_without_padding=lambda c: c.forge_name(b"x"),
    name_of_17=lambda c: c.forge_name(b"seventeen letters"),
    name_of_nothing=lambda c: c.rename(reader.b64_encode(bytes(16))),
    name_of_8=lambda c: c.rename(reader.b64_encode(bytes(8))),
)
rules(
    "name",
    inline,
    "name: a name with too much padding",
    name_padded_twice=lambda c: c.forge_name(b"x" * 16 + bytes(16)),
    name_empty=lambda c: c.forge_name(bytes(16)),
)
rules(
    "name",
    inline,
    "name: a name that cannot be",
    name_zero=lambda c: c.forge_name(b"a\0b".ljust(16, b"\0")),
    name_slash=lambda c: c.forge_name(b"a/b".ljust(16, b"\0")),
    name_dot=lambda c: c.forge_name(b".".ljust(16, b"\0")),
    name_dots=lambda c: c.forge_name(b"..".ljust(16, b"\0")),
)

N, M = b"n" * 200, b"m" * 200
rules(
    "long name",
    long_name,
    "name: a long name without its sidecar",
    sidecar_missing=lambda c: os.unlink(c.backing(N) + b".n"),
)


@rule("long name", long_name, "name: a sidecar with another hash")
def sidecar_of_another(c: Case) -> None:
    os.unlink(c.backing(N) + b".n")
    shutil.copyfile(c.backing(M) + b".n", c.backing(N) + b".n", follow_symlinks=False)



@rule("long name", long_name, "name: a sidecar for a name that needs none")
def sidecar_not_needed(c: Case) -> None:
    full = reader.seal_name(c.keys, 1, c.record.directory_id, b"short")[0]
    new = c.dir + b"/" + reader.long_name(c.keys, 1, full)
    os.rename(c.backing(N), new)
    os.unlink(c.backing(N) + b".n")
    os.symlink(full, new + b".n")


@rule("long name", long_name, AUTHENTICATE)
def sidecar_of_another_directory(c: Case) -> None:
    backing, full = reader.seal_name(c.keys, 1, bytes(16), N)
    os.rename(c.backing(N), c.dir + b"/" + backing)
    os.unlink(c.backing(N) + b".n")
    os.symlink(full, c.dir + b"/" + backing + b".n")


@rule("long name", long_name, "name: a name that cannot be")
def name_of_256(c: Case) -> None:
    full = reader.b64_encode(reader.siv_seal(c.keys.names(1), [c.record.directory_id], b"n" * 256))
    new = c.dir + b"/" + reader.long_name(c.keys, 1, full)
    os.rename(c.backing(N), new)
    os.unlink(c.backing(N) + b".n")
    os.symlink(full, new + b".n")


@rule("good", long_name, "")
def sidecar_in_a_file(c: Case) -> None:
    text = os.readlink(c.backing(N) + b".n")
    os.unlink(c.backing(N) + b".n")
    write(c.backing(N) + b".n", text)


# symbolic links
UNAUTHENTIC = "a SIV that does not authenticate"


def sealed_link(c: Case, form: bytes, a: bytes, plain: bytes, g: int = 1) -> bytes:
    return form + reader.b64_encode(reader.seal_string(c.keys, g, a, os.urandom(16), plain))


def swap_bodies(c: Case) -> None:
    a, b = c.body(b"x"), c.body(b"y")
    os.rename(a, a + b".tmp")
    os.rename(b, a)
    os.rename(a + b".tmp", b)


def relink_long(c: Case, target: bytes) -> None:
    link_id = c.link_id()
    c.write_body(body_of(c, target))
    c.relink(sealed_link(c, b"L", b"L", link_id + struct.pack("<H", len(target))))


def body_of(c: Case, plain: bytes, g: int = 1) -> bytes:
    return reader.seal_string(c.keys, g, b"B" + c.link_id(), os.urandom(16), plain)


rules(
    "link",
    short_link,
    "unknown form",
    link_form=lambda c: c.relink(b"X" + c.text()[1:]),
    link_clear=lambda c: c.relink(b"/etc/passwd"),
)
rules("link", short_link, "base64url", link_bits=lambda c: c.relink(c.text() + b"="))
rules(
    "link",
    short_link,
    "too short",
    link_truncated=lambda c: c.relink(c.text()[:41]),
    link_empty=lambda c: c.relink(b"S"),
)
rules(
    "link",
    short_link,
    UNAUTHENTIC,
    link_flipped=lambda c: c.relink(
        b"S" + reader.b64_encode(flipped_at_the_end(reader.b64_decode(c.text()[1:])))
    ),
    link_other_nonce=lambda c: c.relink(
        (lambda d: b"S" + reader.b64_encode(d[:4] + bytes(16) + d[20:]))(reader.b64_decode(c.text()[1:]))
    ),
    link_short_as_long=lambda c: c.relink(b"L" + c.text()[1:]),
)
rules(
    "link",
    short_link,
    "generation .* opens nothing",
    link_generation_other_scope=lambda c: c.relink(sealed_link(c, b"S", b"S", b"target", 2)),
)
rules("link", long_link, "a long link of a wrong length", long_link_length=lambda c: c.relink(sealed_link(c, b"L", b"L", c.link_id())))
rules("link", long_link, UNAUTHENTIC, link_long_as_short=lambda c: c.relink(b"S" + c.text()[1:]))
rules("link", long_link, "the body of a link", body_missing=lambda c: os.unlink(c.body()))
rules(
    "link",
    long_link,
    "too short",
    body_empty=lambda c: c.write_body(b""),
    body_of_nothing=lambda c: c.write_body(body_of(c, b"x")[:-17]),
)
rules(
    "link",
    long_link,
    UNAUTHENTIC,
    body_flipped=lambda c: c.write_body(flipped_at_the_end(open(c.body(), "rb").read())),
    body_shorter=lambda c: c.write_body(open(c.body(), "rb").read()[:-1]),
    body_longer=lambda c: c.write_body(open(c.body(), "rb").read() + b"x"),
    bodies_exchanged=swap_bodies,
)
rules("link", long_link, "a body of another length", body_other_length=lambda c: c.write_body(body_of(c, b"t" * 3999)))
rules(
    "link",
    long_link,
    "a target of a wrong length",
    body_of_4096=lambda c: relink_long(c, b"t" * 4096),
)
rules(
    "link",
    long_link,
    "generation .* opens nothing",
    body_generation_other_scope=lambda c: c.write_body(body_of(c, b"t" * 4000, 2)),
)
rules("link", short_link, "a short link that is too long", link_of_701=lambda c: c.relink(sealed_link(c, b"S", b"S", b"t" * 701)))
rules("good", short_link, "", link_of_700=lambda c: c.relink(sealed_link(c, b"S", b"S", b"t" * 700)))
rules(
    "good",
    long_link,
    "",
    link_long_for_a_short_target=lambda c: relink_long(c, b"t"),
)
rules("good", short_link, "", link_elsewhere=lambda c: os.symlink(c.text(), c.backing(b"z")))

# extended attributes

rules(
    "attribute",
    attribute,
    "attribute .*base64url",
    attribute_clear=lambda c: c.set_attribute(b"user.no.code", b"x" * 40),
    attribute_bits=lambda c: c.set_attribute(uncanonical(c.attribute()[0]), c.attribute()[1]),
)
rules(
    "value",
    attribute,
    "attribute .*" + UNAUTHENTIC,
    attribute_value_flipped=lambda c: c.set_attribute(c.attribute()[0], flipped_at_the_end(c.attribute()[1])),
    attribute_value_of_another_name=lambda c: c.set_attribute(
        c.attribute()[0], reader.seal_xattr(c.keys, 1, c.head().file_id, b"user.", b"other", bytes(16), b"value")[1]
    ),
)
rules(
    "attribute",
    attribute,
    "attribute .*" + UNAUTHENTIC,
    attribute_of_another_file=lambda c: c.set_attribute(
        *reader.seal_xattr(c.keys, 1, bytes(16), b"user.", b"names", bytes(16), b"value")
    ),
    attribute_name_flipped=lambda c: c.set_attribute(
        b"user." + reader.b64_encode(flipped_at_the_end(reader.b64_decode(c.attribute()[0][5:]))), c.attribute()[1]
    ),
)


@rule("attribute", attribute, "attribute .*" + UNAUTHENTIC)
def attribute_of_another_namespace(c: Case) -> None:
    name, value = reader.seal_xattr(c.keys, 1, c.head().file_id, b"trusted.", b"names", bytes(16), b"value")
    c.set_attribute(name.replace(b"trusted.", b"user."), value)


rules(
    "value",
    attribute,
    "attribute .*too short",
    attribute_value_empty=lambda c: c.set_attribute(c.attribute()[0], b""),
    attribute_value_truncated=lambda c: c.set_attribute(c.attribute()[0], c.attribute()[1][:36]),
)
rules(
    "attribute",
    attribute,
    "attribute .*too short",
    attribute_name_truncated=lambda c: c.set_attribute(b"user.AQAAAA", c.attribute()[1]),
)
rules(
    "value",
    attribute,
    "generation .* opens nothing",
    attribute_value_other_scope=lambda c: c.forge_attribute(b"names", b"value", value_g=2),
)
rules(
    "attribute",
    attribute,
    "generation .* opens nothing",
    attribute_name_other_scope=lambda c: c.set_attribute(
        *reader.seal_xattr(c.keys, 2, c.head().file_id, b"user.", b"names", bytes(16), b"value", value_g=1)
    ),
)
rules(
    "value",
    attribute,
    "the other form",
    attribute_form=lambda c: c.set_attribute(
        c.attribute()[0], reader.seal_xattr_value(c.keys, 1, c.head().file_id, c.attribute()[0], bytes(16), b"\1\5\0namesvalue")
    ),
)


@rule("attribute", attribute, "attribute .*a file that has no id")
def attribute_of_a_file_without_id(c: Case) -> None:
    c.set_attribute(*reader.seal_xattr(c.keys, 1, bytes(16), b"user.", b"names", bytes(16), b"value"))
    c.resize(0)


def long_value(c: Case, plain: bytes) -> None:
    name = c.attribute()[0]
    c.set_attribute(name, reader.seal_xattr_value(c.keys, 1, c.head().file_id, name, bytes(16), plain))


A = b"a" * 200
rules(
    "attribute",
    long_attribute,
    "a long attribute name with another hash",
    long_attribute_other_name=lambda c: long_value(c, b"\1" + reader.part(b"b" * 200) + b"value"),
    long_attribute_for_a_short_name=lambda c: long_value(c, b"\1" + reader.part(b"a") + b"value"),
    long_attribute_cut_name=lambda c: long_value(c, b"\1" + struct.pack("<H", 199) + A + b"value"),
)
rules("attribute", long_attribute, "the other form", long_attribute_form=lambda c: long_value(c, b"\0value"))
rules(
    "attribute",
    long_attribute,
    "attribute .*too short",
    long_attribute_overlong=lambda c: long_value(c, b"\1" + struct.pack("<H", 300) + A),
    long_attribute_no_length=lambda c: long_value(c, b"\1\0"),
)


# ---- tests of the tree -----------------------------------------------------------------------------------------------


def program_rejects(rule_: Rule, d: str) -> str:
    """Nothing, or what coffer lets through."""

    def fails(function: Callable[[], Any], *numbers: int) -> str:
        try:
            answer = function()
        except OSError as error_:
            return "" if error_.errno in numbers else f"errno {error_.errno} ({error_.strerror})"
        return f"no error: {str(answer)[:100]}"

    if rule_.what == "content":
        return fails(lambda: len(open(f"{d}/x", "rb").read()), errno.EIO)
    if rule_.what == "link":
        return fails(lambda: os.readlink(f"{d}/x"), errno.EIO)
    if rule_.what == "directory":
        return fails(lambda: os.listdir(d), errno.EIO, errno.ENOENT)
    if rule_.what == "name" and os.path.basename(d).startswith("record_"):
        return fails(lambda: os.listdir(d), errno.EIO)
    if rule_.what == "name":
        return str(os.listdir(d)) if os.listdir(d) else fails(lambda: os.lstat(f"{d}/x"), errno.ENOENT, errno.EIO, errno.EBADMSG)
    if rule_.what == "long name":
        return "" if os.listdir(d) == ["m" * 200] else str(os.listdir(d))
    if rule_.what in ("attribute", "value"):
        # coffer lists a short name without looking at its value
        if rule_.what == "attribute" and os.listxattr(f"{d}/x"):
            return str(os.listxattr(f"{d}/x"))
        name = "user.names" if rule_.make is attribute else "user." + "a" * 200
        return fails(lambda: os.getxattr(f"{d}/x", name), errno.ENODATA, errno.EIO)
    for name in os.listdir(d):  # good
        path = f"{d}/{name}"
        os.readlink(path) if os.path.islink(path) else open(path, "rb").read()
    return "" if os.listdir(d) else "nothing there"


def rejections(text: str) -> dict[str, list[str]]:
    """The reader's reasons by the name of the case."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        match = re.fullmatch(r"rejected \./(\w+)\S*: (.*)", line)
        if match is None:
            raise Failure(f"unexpected line of the reader: {line}\n{text[-2000:]}")
        found.setdefault(match[1], []).append(match[2])
    return found


def reject_all(cipher: str) -> None:
    need_mount()
    with Volume(init=["--cipher", cipher]) as volume:
        volume.mount()
        for name, r in RULES.items():
            d = os.fsencode(f"{volume.mnt}/{name}")
            os.mkdir(d)
            r.make(d)
        volume.umount()

        keys = Ring(volume.dir, volume.secret).keys
        for name, r in RULES.items():
            r.tamper(Case(keys, os.fsencode(volume.dir), name))

        wrong = []
        listed = run(sys.executable, READER, volume.dir, *volume.unlock(), "list", check=False)
        found = rejections(listed.stderr)
        for name, r in RULES.items():
            reasons = found.pop(name, [])
            if r.what == "good":
                if reasons:
                    wrong.append(f"{name}: rejected: {reasons}")
            elif not reasons or not all(re.search(r.reason, reason) for reason in reasons):
                wrong.append(f"{name}: wanted {r.reason!r}, got {reasons}")
        if found:
            wrong.append(f"rejected too: {found}")
        if wrong:
            raise Failure("the reader:\n" + "\n".join(wrong))

        volume.mount("ro")
        for name, r in RULES.items():
            try:
                let_through = program_rejects(r, f"{volume.mnt}/{name}")
            except OSError as error_:
                let_through = f"error {error_}"
            if let_through:
                wrong.append(f"{name}: {let_through}")
        volume.umount()
        if wrong:
            raise Failure("coffer:\n" + "\n".join(wrong))
        print(f"  {len(RULES)} cases", flush=True)


@limit(200)
def test_tree_ocb():
    reject_all("aes-256-ocb")


@limit(200)
def test_tree_gcm():
    reject_all("aes-256-gcm")


@limit(200)
def test_tree_chacha():
    reject_all("chacha20-poly1305")


def both(volume: Volume) -> tuple[int, int]:
    """Exit statuses: of the reader, and of coffer, which says 3 for a wrong secret, 5 for damage, 7 for unsupported."""
    argv = sys.argv
    try:  # in this process: there are many
        sys.argv = [READER, volume.dir, *volume.unlock(), "list"]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            status = reader.main()
    finally:
        sys.argv = argv
    return status, volume.coffer("key", "test", volume.dir, *volume.unlock(), check=False).returncode


def test_root_directory():
    """Another id record in data/, though it is of this volume."""
    need_mount()
    with Volume() as volume:
        volume.mount()
        os.mkdir(f"{volume.mnt}/d")
        volume.umount()
        keys = Ring(volume.dir, volume.secret).keys
        other = os.readlink(backing_of(keys, os.fsencode(volume.dir), b"d") + b"/.coffer-dir")
        os.unlink(f"{volume.dir}/data/.coffer-dir")
        os.symlink(other, os.fsencode(f"{volume.dir}/data/.coffer-dir"))
        r = run(sys.executable, READER, volume.dir, *volume.unlock(), "list", check=False)
        equal((r.returncode, r.stderr), (1, "rejected .: another root directory\n"), "the reader")
        try:
            volume.mount()
        except Failure:
            return
        try:
            os.listdir(volume.mnt)
        except OSError as error_:
            equal(error_.errno in (errno.EIO, errno.ENOENT), True, f"errno {error_.errno}")
            return
        raise Failure("coffer shows a root directory with another id")


# ---- scopes

FOREIGN: dict[str, Rule] = {}
# where a scope begins, its first generation, and where what is of another scope is taken from
PLACES = {"rest": (1, "one/two"), "one": (3, "rest"), "one/two": (4, "one")}


def foreign(what: str, make: Callable[[bytes], None], reason: str = "generation .* opens nothing"):
    """A tamper of a case and of the same case in another scope."""

    def add(function: Callable[[Case, Case], None]) -> Callable[[Case, Case], None]:
        FOREIGN[function.__name__] = Rule(what, make, reason, function)
        return function

    return add


@foreign("content", inline)
def a_file(c: Case, other: Case) -> None:
    c.put(other.get())


@foreign("content", paged)
def a_page(c: Case, other: Case) -> None:
    c.reseal_page(7, 8, CONTENT[7 * PAGE : 8 * PAGE], g=other.record.generation)


@foreign("content", paged)
def a_map_page(c: Case, other: Case) -> None:
    c.reseal_page(60, MAP, c.map_page(), g=other.record.generation, height=1)


@foreign("good", paged)
def a_page_of_its_own(c: Case, other: Case) -> None:
    c.reseal_page(7, 8, CONTENT[7 * PAGE : 8 * PAGE], g=c.record.generation)


@foreign("content", paged)
def a_head(c: Case, other: Case) -> None:
    c.rehead(generation=other.record.generation)


@foreign("link", short_link)
def a_link(c: Case, other: Case) -> None:
    c.relink(other.text())


@foreign("link", long_link)
def a_long_link(c: Case, other: Case) -> None:
    c.relink(other.text())


@foreign("link", long_link)
def the_body_of_a_link(c: Case, other: Case) -> None:
    c.write_body(reader.seal_string(c.keys, other.record.generation, b"B" + c.link_id(), bytes(16), b"t" * 4000))


@foreign("attribute", attribute)
def an_attribute(c: Case, other: Case) -> None:
    id_, g = c.head().file_id, other.record.generation
    c.set_attribute(*reader.seal_xattr(c.keys, g, id_, b"user.", b"names", bytes(16), b"value", value_g=c.record.generation))


@foreign("value", attribute)
def a_value(c: Case, other: Case) -> None:
    name = c.attribute()[0]
    c.set_attribute(name, reader.seal_xattr_value(c.keys, other.record.generation, c.head().file_id, name, bytes(16), b"\0value"))


@foreign("name", inline, "name: generation .* opens nothing")
def record_of_another_directory(c: Case, other: Case) -> None:
    """A whole directory takes the place of this one."""
    shutil.rmtree(c.dir)
    shutil.copytree(other.dir, c.dir, symlinks=True)


@foreign("name", inline, "name: generation .* opens nothing")
def record_of_another_scope(c: Case, other: Case) -> None:
    c.set_record(reader.seal_id_record(c.keys, replace(c.record, generation=other.record.generation)))


@foreign("good", inline)
def a_next_generation(c: Case, other: Case) -> None:
    c.set_record(reader.seal_id_record(c.keys, replace(c.record, next_generation=other.record.generation)))


@foreign("good", long_link)
def nothing(c: Case, other: Case) -> None:
    pass


@limit(200)
def test_scopes():
    """What is carried into a scope from another one, below it or above."""
    need_mount()
    with Volume() as volume:
        volume.mount()
        for place in PLACES:
            for name, r in FOREIGN.items():
                os.makedirs(f"{volume.mnt}/{place}/{name}")
                r.make(os.fsencode(f"{volume.mnt}/{place}/{name}"))
        for scope, place in (("one", "one"), ("two", "one/two")):
            volume.coffer("key", "scope", "create", volume.dir, scope, *volume.unlock())
            # One by one, so that the generations are as PLACES has them.
            volume.coffer("key", "scope", "assign", volume.dir, scope, place, "--wait", *volume.unlock())
        volume.umount()
        directory, ring = os.fsencode(volume.dir), Ring(volume.dir, volume.secret)
        cases = {(p, n): Case(ring.keys, directory, f"{p}/{n}") for p in PLACES for n in FOREIGN}
        for place, (g, _) in PLACES.items():
            equal({cases[place, n].record.generation for n in FOREIGN}, {g}, place)
        r = run(sys.executable, READER, volume.dir, *volume.unlock(), "list", check=False)
        equal((r.returncode, r.stderr), (0, ""), "untouched")
        shutil.copytree(volume.dir, f"{volume.base}/before", symlinks=True)
        whole = {(p, n): Case(ring.keys, os.fsencode(f"{volume.base}/before"), f"{p}/{n}") for p in PLACES for n in FOREIGN}
        for place, (_, source) in PLACES.items():
            for name, r in FOREIGN.items():
                r.tamper(cases[place, name], whole[source, name])

        wrong = []
        listed = run(sys.executable, READER, volume.dir, *volume.unlock(), "list", check=False)
        found: dict[str, list[str]] = {}
        for path, reason in re.findall(r"^rejected \./((?:rest|one/two|one)/\w+)\S*: (.*)$", listed.stderr, re.M):
            found.setdefault(path, []).append(reason)
        equal(sum(map(len, found.values())), len(listed.stderr.splitlines()), listed.stderr)
        volume.mount("ro")
        for place in PLACES:
            for name, r in FOREIGN.items():
                reasons = found.get(f"{place}/{name}", [])
                if (r.what == "good") != (not reasons) or not all(re.search(r.reason, reason) for reason in reasons):
                    wrong.append(f"{place}/{name}: the reader says {reasons}")
                let_through = program_rejects(r, f"{volume.mnt}/{place}/{name}")
                if let_through:
                    wrong.append(f"{place}/{name}: coffer: {let_through}")
        volume.umount()
        if wrong:
            raise Failure("\n".join(wrong))
        print(f"  {len(PLACES) * len(FOREIGN)} cases", flush=True)


# ---- generations 


def test_generations():
    """Names and content of several generations; what opens nothing any more."""
    need_mount()
    with Volume() as volume:
        volume.mount()
        for name in ("old", "moving"):
            os.mkdir(f"{volume.mnt}/{name}")
            for file in ("a", "b", "n" * 200, "m" * 200):
                with open(f"{volume.mnt}/{name}/{file}", "wb") as f:
                    f.write(file.encode() * 3000)
        volume.umount()

        ring = Ring(volume.dir, volume.secret)
        value = ring.ring.value
        key = os.urandom(32)
        ring.keys.generations[3] = key
        now = value["written"]

        def set_ring(state: str, floor: int) -> None:
            """Generation 1 in this state, 3 active in its place."""
            v = copy.deepcopy(value)
            first = v["generations"][0]
            first["state"] = state
            first["history"].append({"state": state, "at": now})
            if state == "destroyed":
                del first["wrapped"]
            history = [{"state": "active", "at": now}]
            third = {"generation": 3, "scope": 0, "state": "active", "created": now, "history": history, "wrapped": ring.wrap(key)}
            v["generations"].append(third)
            v["next_generation"] = 4
            v["scopes"][0]["floor"] = floor
            ring.put("keyring.json", ring.seal_value(v, True))

        def listed() -> tuple[int, str, str]:
            r = run(sys.executable, READER, volume.dir, *volume.unlock(), "list", check=False)
            return r.returncode, r.stdout, r.stderr

        before = listed()
        equal(before[0], 0, before[2])

        # two of the names of "moving" stand under the next generation
        case = Case(ring.keys, os.fsencode(volume.dir), "moving")
        for name in (b"a", b"n" * 200):
            new, full = reader.seal_name(ring.keys, 3, case.record.directory_id, name)
            old = case.backing(name)
            os.rename(old, case.dir + b"/" + new)
            if full:
                os.unlink(old + b".n")
                os.symlink(full, case.dir + b"/" + new + b".n")
        case.set_record(reader.seal_id_record(ring.keys, replace(case.record, next_generation=3)))

        for state in ("deactivated", "compromised"):
            set_ring(state, 1)
            equal(listed(), before, f"reader with generation 1 {state}")

        # coffer reads it, and what it writes is of generation 3
        volume.mount()
        for name in ("old", "moving"):
            equal(sorted(os.listdir(f"{volume.mnt}/{name}")), sorted(["a", "b", "n" * 200, "m" * 200]), f"{name} in coffer")
            for file in ("a", "n" * 200):
                with open(f"{volume.mnt}/{name}/{file}", "rb") as f:
                    equal(f.read(), file.encode() * 3000, f"{name}/{file} in coffer")
        os.mkdir(f"{volume.mnt}/new")
        with open(f"{volume.mnt}/new/x", "wb") as f:
            f.write(CONTENT)
        os.symlink("t" * 4000, f"{volume.mnt}/new/link")
        os.setxattr(f"{volume.mnt}/new/x", "user.a", b"1")
        with open(f"{volume.mnt}/old/a", "r+b") as f:
            f.write(b"changed")
        volume.umount()
        code, out, err = listed()
        equal((code, err), (0, ""), "reader after coffer wrote")
        equal(sum(" ./new" in line for line in out.splitlines()), 3, "new objects")

        # what holds names or content of generation 1 only is gone with it; what is of generation 3 alone stays
        for state, floor in (("suspended", 1), ("destroyed", 1), ("deactivated", 3)):
            set_ring(state, floor)
            code, out, err = listed()
            equal((code, len(out.splitlines())), (1, 1), f"reader with generation 1 {state}, floor {floor}")  # the root
            for line in err.splitlines():
                equal(line.endswith(": name: generation 1 opens nothing"), True, line)
            equal(coffer_shows(volume), [], f"coffer with generation 1 {state}, floor {floor}")


def coffer_shows(volume: Volume) -> list[str]:
    try:
        volume.mount("ro")
    except Failure:
        return []
    try:
        return os.listdir(volume.mnt)
    except OSError as error_:
        equal(error_.errno in (errno.EIO, errno.ENOENT, errno.ENOKEY), True, f"errno {error_.errno}")
        return []
    finally:
        volume.umount()


# ---- the keyring 

DAMAGE, UNSUPPORTED, WRONG = (3, 5), (4, 7), (5, 3)  # exit statuses of the reader and of coffer
GOOD = (0, 0)


def path_set(value: Any, path: tuple, new: Any) -> None:
    for step in path[:-1]:
        value = value[step]
    if new is DELETE:
        del value[path[-1]]
    else:
        value[path[-1]] = new


def zone(**changes: Any) -> dict[str, Any]:
    return {"zone": 1, "directory": "ab" * 16, "scope": 0, **changes}


DELETE = object()
SETTINGS = ("settings",)
FIRST = ("generations", 0)
# where, value, what is to come of it; the keyring is sealed again with hash and MAC
RING_CASES: list[tuple[tuple, Any, tuple[int, int]]] = [
    (("format",), "coffer volume", DAMAGE),
    (("version",), 2, UNSUPPORTED),
    (("version",), 0, UNSUPPORTED),
    (("version",), "1", DAMAGE),
    (("sequence",), DELETE, DAMAGE),
    (("sequence",), -1, DAMAGE),
    (("sequence",), 1.5, DAMAGE),
    (("sequence",), 2**53, DAMAGE),
    (("sequence",), 2**53 - 1, GOOD),
    (("sequence",), True, DAMAGE),
    (("written",), "2026-11-28 01:49:14Z", DAMAGE),
    (("written",), DELETE, DAMAGE),
    (("unknown",), {"anything": [1, -2.5e3, None, False]}, GOOD),
    (("root", "fingerprint"), "00" * 16, DAMAGE),
    (("root", "fingerprint"), "AB" * 16, DAMAGE),
    (("root", "commitment"), "A" * 43, DAMAGE),
    (("root", "commitment"), "A" * 42 + "B", DAMAGE),
    (("root", "commitment"), DELETE, DAMAGE),
    (("root_directory",), "A" * 21, DAMAGE),
    (("root_directory",), "A" * 22 + "==", DAMAGE),
    (("next_protector",), 1, DAMAGE),
    (("protectors",), [], DAMAGE),
    (("protectors", 0, "id"), 0, DAMAGE),
    (("protectors", 0, "id"), 2**32, DAMAGE),
    (("protectors", 0, "type"), "Key-File", DAMAGE),
    (("protectors", 0, "type"), "sixteen-letters-", DAMAGE),
    (("protectors", 0, "type"), "", DAMAGE),
    (("protectors", 0, "type"), "future", WRONG),
    (("protectors", 0, "type"), "recovery-key", WRONG),
    (("protectors", 0, "created"), 5, DAMAGE),
    (("protectors", 0, "commitment"), "A" * 43, WRONG),
    (("protectors", 0, "commitment"), "A" * 44, DAMAGE),
    (("protectors", 0, "wrapped"), "A" * 54, DAMAGE),
    (("protectors", 0, "wrapped"), "A" * 50, DAMAGE),
    (("next_generation",), 2, DAMAGE),
    (("generations",), [], DAMAGE),
    (("generations", 1), DELETE, DAMAGE),
    (FIRST + ("generation",), 0, DAMAGE),
    (FIRST + ("generation",), 2, DAMAGE),
    (FIRST + ("scope",), 2, DAMAGE),
    (FIRST + ("scope",), 1, DAMAGE),
    (FIRST + ("state",), "asleep", DAMAGE),
    (FIRST + ("state",), "suspended", DAMAGE),
    (FIRST + ("created",), DELETE, DAMAGE),
    (FIRST + ("history",), [], DAMAGE),
    (FIRST + ("history", 0, "state"), "suspended", DAMAGE),
    (FIRST + ("history", 0, "at"), "yesterday", DAMAGE),
    (FIRST + ("wrapped",), DELETE, DAMAGE),
    (FIRST + ("wrapped",), "A" * 54, DAMAGE),
    (FIRST + ("wrapped",), "A" * 53, DAMAGE),
    (("generations", 1, "wrapped"), "A" * 54, DAMAGE),
    (("keys", "directory"), "A" * 54, DAMAGE),
    (("keys", "journal"), "A" * 54, DAMAGE),
    (("keys", "audit"), "A" * 54, DAMAGE),
    (("keys", "audit"), DELETE, DAMAGE),
    (("scopes", 0, "floor"), 0, DAMAGE),
    (("scopes", 0, "floor"), 2, DAMAGE),
    (("scopes", 0, "name"), "other", DAMAGE),
    (("scopes", 1), DELETE, DAMAGE),
    (("scopes", 1, "name"), "default", DAMAGE),
    (("scopes", 1, "scope"), 0, DAMAGE),
    (("scopes",), [{"scope": i, "name": n, "floor": 1} for i, n in enumerate(("default", "fields", "more"))], DAMAGE),
    (("zones",), [], GOOD),
    (("zones",), {}, DAMAGE),
    (("zones",), [zone()], GOOD),
    (("zones",), [zone(**{"from": 0, "to": 0})], GOOD),
    (("zones",), [zone(zone=2)], DAMAGE),
    (("zones",), [zone(zone=0)], DAMAGE),
    (("zones",), [zone(), zone(zone=2)], DAMAGE),
    (("zones",), [zone(), zone(zone=2, directory="cd" * 16)], GOOD),
    (("zones",), [zone(directory="ab" * 15)], DAMAGE),
    (("zones",), [zone(directory="AB" * 16)], DAMAGE),
    *((("zones",), [zone(**{name: scope})], DAMAGE) for name in ("scope", "from", "to") for scope in (1, 2, "default", None)),
    (("zones",), [{"zone": 1, "directory": "ab" * 16}], DAMAGE),
]

# where in the settings, value; in both files
SETTINGS_CASES: list[tuple[tuple, Any, tuple[int, int]]] = [
    (("volume_id",), "0" * 31, DAMAGE),
    (("volume_id",), "0" * 31 + "A", DAMAGE),
    (("volume_id",), "0" * 32, WRONG),
    (("instance_id",), DELETE, DAMAGE),
    (("cipher",), "aes-128-gcm", DAMAGE),
    (("portable",), 1, DAMAGE),
    (("name_max",), 200, DAMAGE),
    (("journal_size",), -1, DAMAGE),
    (("features",), [], DAMAGE),
    (("features", "compatible"), DELETE, DAMAGE),
    (("features", "compatible"), [1], DAMAGE),
    (("features", "compatible"), ["unheard-of"], GOOD),
    (("features", "read_only_compatible"), ["unheard-of"], GOOD),
    (("features", "incompatible"), ["unheard-of"], UNSUPPORTED),
    (("unknown",), 1, GOOD),
]


def check(wrong: list[str], what: str, volume: Volume, wanted: tuple[int, int]) -> None:
    got = both(volume)
    if got != wanted:
        wrong.append(f"{what}: exit statuses {got} of reader and coffer, wanted {wanted}")


@limit(200)
def test_keyring_members():
    need_mount()
    wrong: list[str] = []
    with Volume() as volume:
        ring = Ring(volume.dir, volume.secret)
        check(wrong, "untouched", volume, GOOD)
        for path, new, wanted in RING_CASES:
            value = copy.deepcopy(ring.ring.value)
            path_set(value, path, new)
            ring.put("keyring.json", ring.seal_value(value, True))
            check(wrong, f"keyring {path} = {new}", volume, wanted)
        ring.put("keyring.json", ring.seal_value(ring.ring.value, True))
        check(wrong, "written anew", volume, GOOD)

        def settings(volume_value: Any, ring_value: Any) -> None:
            ring.put("volume.json", ring.seal_value(volume_value, False))
            ring.put("keyring.json", ring.seal_value(ring_value, True))

        for path, new, wanted in SETTINGS_CASES:
            values = copy.deepcopy((ring.volume.value, ring.ring.value))
            for value in values:
                path_set(value["settings"], path, new)
            settings(*values)
            check(wrong, f"settings {path} = {new}", volume, wanted)

        for path, new in ((("format",), "coffer keyring"), (("version",), 2), (("settings",), DELETE)):
            value = copy.deepcopy(ring.volume.value)
            path_set(value, path, new)
            settings(value, ring.ring.value)
            check(wrong, f"volume {path} = {new}", volume, UNSUPPORTED if path == ("version",) else DAMAGE)

        # the settings of the two files disagree
        for path, new in (
            (("journal_size",), 12345),
            (("instance_id",), "0" * 32),
            (("name_max",), 143),
            (("unknown",), 1),
            (("features", "compatible"), ["x"]),
        ):
            value = copy.deepcopy(ring.volume.value)
            path_set(value["settings"], path, new)
            settings(value, ring.ring.value)
            check(wrong, f"settings disagree in {path}", volume, DAMAGE)
        for first, second, wanted in (
            (1, True, DAMAGE),
            (1, 1.0, DAMAGE),
            ({"a": 1, "b": 2}, {"b": 2, "a": 1}, GOOD),
            ([1, 2], [2, 1], DAMAGE),
        ):
            values = copy.deepcopy((ring.volume.value, ring.ring.value))
            values[0]["settings"]["unknown"], values[1]["settings"]["unknown"] = first, second
            settings(*values)
            check(wrong, f"settings with {first} and {second}", volume, wanted)
    if wrong:
        raise Failure("\n".join(wrong))


def passphrase_protector(**changes: Any) -> dict[str, Any]:
    protector = {
        "id": 9,
        "type": "passphrase",
        "created": "2026-11-28T01:49:14Z",
        "commitment": "A" * 43,
        "wrapped": "A" * 54,
        "kdf": "argon2id",
        "t": 3,
        "m_kib": 65536,
        "p": 4,
        "salt": "A" * 22,
    }
    protector.update(changes)
    return {k: v for k, v in protector.items() if v is not DELETE}


@limit(200)
def test_protectors():
    """One more protector, of a passphrase or of an unknown type; the key file opens its own all the same."""
    need_mount()
    wrong: list[str] = []
    with Volume() as volume:
        ring = Ring(volume.dir, volume.secret)
        for changes, wanted in (
            ({}, GOOD),
            ({"kdf": "scrypt"}, DAMAGE),
            ({"kdf": DELETE}, DAMAGE),
            ({"t": 0}, DAMAGE),
            ({"t": 65}, DAMAGE),
            ({"t": 64}, GOOD),
            ({"p": 0}, DAMAGE),
            ({"p": 17}, DAMAGE),
            ({"p": 16, "m_kib": 128}, GOOD),
            ({"p": 16, "m_kib": 127}, DAMAGE),
            ({"m_kib": 1048577}, DAMAGE),
            ({"salt": "A" * 20}, DAMAGE),
            ({"salt": "A" * 86}, GOOD),
            ({"salt": "A" * 87}, DAMAGE),
            ({"salt": "A" * 21 + "B"}, DAMAGE),
            ({"id": 1}, DAMAGE),
            ({"id": 10}, DAMAGE),
            ({"type": "future", "commitment": DELETE, "wrapped": 5, "t": "x"}, GOOD),
            ({"type": "future", "id": DELETE}, DAMAGE),
            ({"type": "future", "created": DELETE}, DAMAGE),
        ):
            value = copy.deepcopy(ring.ring.value)
            value["protectors"].append(passphrase_protector(**changes))
            value["next_protector"] = 10
            ring.put("keyring.json", ring.seal_value(value, True))
            check(wrong, f"protector {changes}", volume, wanted)
        for count, wanted in ((31, GOOD), (32, DAMAGE)):
            value = copy.deepcopy(ring.ring.value)
            value["protectors"] += [passphrase_protector(id=10 + i) for i in range(count)]
            value["next_protector"] = 1000
            ring.put("keyring.json", ring.seal_value(value, True))
            check(wrong, f"{count + 1} protectors", volume, wanted)
    if wrong:
        raise Failure("\n".join(wrong))


@limit(200)
def test_documents():
    """The rules of section 2, on bytes."""
    need_mount()
    wrong: list[str] = []
    with Volume() as volume:
        ring = Ring(volume.dir, volume.secret)
        text = ring.ring.text
        sealed = ring.seal(text, True)
        inner = text.rstrip()[1:]  # without the first brace
        mac_at = sealed.index(b"mac=") + 4

        def mac_changed(data: bytes) -> bytes:
            data = data[:mac_at] + bytes(64).replace(b"\0", b"0") + data[mac_at + 64 : -65]
            return data + hashlib.sha256(data).hexdigest().encode() + b"\n"

        for what, data, wanted in (
            ("sealed again", sealed, GOOD),
            ("hash", sealed[:-2] + (b"0" if sealed[-2:-1] != b"0" else b"1") + b"\n", DAMAGE),
            ("upper case", sealed[:-65] + sealed[-65:].upper(), DAMAGE),
            ("byte behind", sealed + b"\n", DAMAGE),
            ("no newline", sealed[:-1], DAMAGE),
            ("empty", b"", DAMAGE),
            ("no seal", text, DAMAGE),
            ("seal of a volume", ring.seal(text, False), DAMAGE),
            ("two spaces", sealed.replace(b" sha256=", b"  sha256="), DAMAGE),
            ("document changed", sealed.replace(b'"sequence"', b'"Sequence"'), DAMAGE),
            ("MAC", mac_changed(sealed), DAMAGE),
            ("no newline before the seal", ring.seal(text.rstrip(), True), DAMAGE),
            ("tabulator", ring.seal(b"{\t" + inner + b"\n", True), DAMAGE),
            ("carriage return", ring.seal(text[:-1] + b"\r\n", True), DAMAGE),
            ("UTF-8", ring.seal(b'{"x":"\xc3\xa4",' + inner + b"\n", True), DAMAGE),
            ("delete", ring.seal(b'{"x":"\x7f",' + inner + b"\n", True), DAMAGE),
            ("backslash", ring.seal(b'{"x":"\\u0041",' + inner + b"\n", True), DAMAGE),
            ("newline in a string", ring.seal(b'{"x":"\n",' + inner + b"\n", True), DAMAGE),
            ("a member twice", ring.seal(b'{"x":1,"x":1,' + inner + b"\n", True), DAMAGE),
            ("a member twice below", ring.seal(b'{"x":{"y":1,"y":2},' + inner + b"\n", True), DAMAGE),
            ("the same member in two objects", ring.seal(b'{"x":{"sequence":1},' + inner + b"\n", True), GOOD),
            ("two values", ring.seal(text + b"{}\n", True), DAMAGE),
            ("white space", ring.seal(b" \n " + text + b"\n \n", True), GOOD),
            ("an array", ring.seal(b"[" + text.rstrip() + b"]\n", True), DAMAGE),
            ("comment", ring.seal(b'{/**/' + inner + b"\n", True), DAMAGE),
            ("comma at the end", ring.seal(text.rstrip()[:-1] + b",}\n", True), DAMAGE),
            ("NaN", ring.seal(b'{"x":NaN,' + inner + b"\n", True), DAMAGE),
            ("leading zero", ring.seal(b'{"x":01,' + inner + b"\n", True), DAMAGE),
            ("hexadecimal", ring.seal(b'{"x":0x1,' + inner + b"\n", True), DAMAGE),
            ("apostrophes", ring.seal(b"{'x':1," + inner + b"\n", True), DAMAGE),
            ("sequence with a fraction", ring.seal(re.sub(rb'("sequence": ?)\d+', rb"\g<1>1.0", text), True), DAMAGE),
            ("sequence with an exponent", ring.seal(re.sub(rb'("sequence": ?)\d+', rb"\g<1>1e0", text), True), DAMAGE),
            ("sequence minus zero", ring.seal(re.sub(rb'("sequence": ?)\d+', rb"\g<1>-0", text), True), DAMAGE),
            ("16 deep", ring.seal(b'{"x":' + b"[" * 15 + b"]" * 15 + b"," + inner + b"\n", True), GOOD),
            ("17 deep", ring.seal(b'{"x":' + b"[" * 16 + b"]" * 16 + b"," + inner + b"\n", True), DAMAGE),
            ("4 MiB", ring.seal(text + b" " * (4194304 - len(sealed) - 1) + b"\n", True), GOOD),
            ("4 MiB and a byte", ring.seal(text + b" " * (4194304 - len(sealed)) + b"\n", True), DAMAGE),
        ):
            ring.put("keyring.json", data)
            check(wrong, what, volume, wanted)
    if wrong:
        raise Failure("\n".join(wrong))


@limit(200)
def test_copies():
    """When the second copy counts, and when it must not."""
    need_mount()
    wrong: list[str] = []
    with Volume() as volume:
        ring = Ring(volume.dir, volume.secret)
        for name, document in (("keyring.json", ring.ring), ("volume.json", ring.volume)):
            mac = name == "keyring.json"
            path = f"{volume.dir}/.coffer/{name}"
            good = ring.seal(document.text, mac)

            def changed(where: tuple, new: Any) -> bytes:
                value = copy.deepcopy(document.value)
                path_set(value, where, new)
                return ring.seal_value(value, mac)

            bad_mac = re.sub(rb"mac=(.{64}). ", rb"mac=\1 ", good.replace(b"mac=", b"mac=0", 1))[:-65]
            bad_mac += hashlib.sha256(bad_mac).hexdigest().encode() + b"\n"
            for what, first, wanted in (
                ("empty", b"", GOOD),
                ("a wrong hash", good[:-3] + b"xx\n", GOOD),
                ("another format", changed(("format",), "x"), GOOD),
                ("a member missing", changed(("settings", "cipher"), DELETE), GOOD),
                ("version 2", changed(("version",), 2), UNSUPPORTED),
                ("a feature", changed(("settings", "features", "incompatible"), ["x"]), UNSUPPORTED),
                ("other settings", changed(("settings", "unknown"), 1), DAMAGE),
                *([("a wrong MAC", bad_mac, DAMAGE)] if mac else []),
                *([("a wrong wrapped key", changed(("keys", "audit"), "A" * 54), DAMAGE)] if mac else []),
                *([("a wrong commitment", changed(("root", "commitment"), "A" * 43), DAMAGE)] if mac else []),
                *([("a protector that does not open", changed(("protectors", 0, "commitment"), "A" * 43), WRONG)] if mac else []),
            ):
                ring.put(name, good)
                ring.put(name, first, ("",))
                check(wrong, f"{name}: {what}", volume, wanted)
                ring.put(name, good, ("",))
                ring.put(name, first, (".bak",))
                check(wrong, f"{name}.bak: {what}", volume, GOOD)

            ring.put(name, good)
            os.link(path, path + ".link")
            check(wrong, f"{name}: two links", volume, GOOD)
            os.unlink(path + ".bak")
            check(wrong, f"{name}: two links, no copy", volume, DAMAGE)
            os.unlink(path + ".link")
            check(wrong, f"{name}: no copy", volume, GOOD)
            os.rename(path, path + ".bak")
            check(wrong, f"{name}: only the copy", volume, GOOD)
            os.symlink(name + ".bak", path)
            check(wrong, f"{name}: a symbolic link", volume, GOOD)
            os.unlink(path)
            os.mkfifo(path)
            check(wrong, f"{name}: a fifo", volume, GOOD)
            os.unlink(path)
            os.unlink(path + ".bak")
            got = both(volume)
            if got[0] != 3 or got[1] not in (4, 5):
                wrong.append(f"{name}: neither: exit statuses {got}")
            ring.put(name, good)
    if wrong:
        raise Failure("\n".join(wrong))


# ---- what no mount is needed for -------------------------------------------------------------------------------------

RECOVERY = "0C5H66P-S35CSKR-PGTBADF-DP6TVKC-FE1RQ4G-WVMENVX-7EY3SFN-9XQRZB0"


def test_recovery_keys():
    """Section 8, on the key of section 10 of the keyring's document."""
    right = bytes(range(3, 236, 8))
    equal(reader.decode_recovery_key(RECOVERY.encode()), right, "as printed")
    loose = RECOVERY.lower().replace("0", "o").replace("1", "l").replace("-", " - ")
    equal(reader.decode_recovery_key(loose.encode()), right, "as typed")
    plain = RECOVERY.replace("-", "")
    for i in range(56):
        for c in reader.CROCKFORD:
            if c != plain[i]:
                equal(reader.decode_recovery_key((plain[:i] + c + plain[i + 1 :]).encode()), None, f"{c} at {i}")
        for j in range(i + 1, i // 7 * 7 + 7):
            if plain[i] != plain[j]:
                swapped = plain[:i] + plain[j] + plain[i + 1 : j] + plain[i] + plain[j + 1 :]
                equal(reader.decode_recovery_key(swapped.encode()), None, f"exchanged {i} and {j}")
    group = RECOVERY.split("-")
    for i in range(8):
        for j in range(i):
            swapped = list(group)
            swapped[i], swapped[j] = group[j], group[i]
            equal(reader.decode_recovery_key("".join(swapped).encode()), None, f"groups {i} and {j} exchanged")
    for text in ("", plain[:-1], plain + "0", plain.replace("0", "U", 1), plain[:-1] + "\n", plain[:-1] + "\u00df"):
        equal(reader.decode_recovery_key(text.encode()), None, repr(text))


def test_vectors():
    """vectors.json and the last section of the document are what the reader's primitives give."""
    document = os.path.join(HERE, "..", "..", "docs", "format-volume.md")
    equal(run(sys.executable, os.path.join(HERE, "vectors.py"), "check", document, check=False).returncode, 0, "exit status")


def test_primitives():
    """AES-SIV with several components (RFC 5297, A.2), OCB with a nonce of 12 bytes (RFC 7253, A)."""
    sealed = reader.siv_seal(
        bytes.fromhex("7f7e7d7c7b7a79787776757473727170404142434445464748494a4b4c4d4e4f"),
        [
            bytes.fromhex("00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100"),
            bytes.fromhex("102030405060708090a0"),
            bytes.fromhex("09f911029d74e35bd84156c5635688c0"),
        ],
        b"this is some plaintext to encrypt using SIV-AES",
    )
    equal(
        sealed.hex(),
        "7bdb6e3b432667eb06f4d14bff2fbd0fcb900f2fddbe404326601965c889bf17"
        "dba77ceb094fa663b7a3f748ba8af829ea64ad544a272e9c485b62a3fd5c0d",
        "AES-SIV",
    )
    octets = bytes(range(8))
    sealed, tag = reader.aead_seal("aes-256-ocb", bytes(range(16)), bytes.fromhex("bbaa99887766554433221101"), octets, octets)
    equal((sealed + tag).hex(), "6820b3657b6f615a5725bda0d3b4eb3a257c9af1f8f03009", "OCB")


def test_short_store_names():
    """name_max 143: a full name longer than that stands behind ~ only."""
    keys = reader.Keys(bytes(16), "aes-256-gcm", 143, bytes(32), {1: bytes(32)})
    for size in (1, 80, 81, 255):
        backing, sidecar = reader.seal_name(keys, 1, bytes(16), b"n" * size)
        equal(len(backing) <= 143, True, "length")
        equal(bool(sidecar), size > 80, f"a sidecar for {size}")
        equal(reader.open_name(keys, 1, bytes(16), backing, sidecar or None), b"n" * size, "opened again")
        if sidecar:
            try:
                reader.open_name(keys, 1, bytes(16), sidecar, None)
            except reader.Rejected as reason:
                equal(str(reason), "a name that needs a sidecar", "reason")
            else:
                raise Failure("a full name that is too long is not rejected")


if __name__ == "__main__":
    sys.exit(main(seconds=200))
