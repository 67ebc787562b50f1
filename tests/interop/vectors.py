#!/usr/bin/python3
"""The test vectors of docs/format-volume.md, from the independent reader's primitives.

    vectors.py write DOC      writes vectors.json beside this file, and the section "Test vectors" at the end of DOC
    vectors.py check DOC      exit status 1 if either is not what it would write
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import sys
from typing import Any

import coffer_reader as reader

HERE = os.path.dirname(os.path.abspath(__file__))
TITLE = "## 9. Test vectors\n"


def run(first: int, count: int) -> bytes:
    """Consecutive bytes."""
    return bytes((first + i) & 255 for i in range(count))


VOLUME_ID = run(0xA0, 16)
K_1 = run(0x40, 32)
DIRECTORY_KEY = run(0x80, 32)
DIRECTORY_ID = run(0xD0, 16)
FILE_ID = run(0xE0, 16)
LINK_ID = run(0x30, 16)
HEAD_NONCE = run(0x00, 12)
PAGE_NONCE = run(0x10, 12)
N = run(0x20, 16)
EPOCH, COMMIT = 5, 7

SHORT_NAME = b"letter.txt"
LONG_NAME = b"n" * 200
INLINE = b"Hello, world!\n"
DATA = run(0x00, 100)  # of logical page 1; page 0 is a hole
TARGET = b"../letters/anna"
LONG_TARGET = b"t" * 3100
ATTRIBUTE = b"comment"
LONG_ATTRIBUTE = b"a" * 200
VALUE = b"to be read"


def keys_of(cipher: str) -> reader.Keys:
    return reader.Keys(VOLUME_ID, cipher, 255, DIRECTORY_KEY, {1: K_1})


def head_of(flags: int, inline_length: int, size: int, body: bytes) -> reader.Head:
    return reader.Head(
        flags, inline_length, FILE_ID, 1, EPOCH, HEAD_NONCE, size, COMMIT, DIRECTORY_ID, bytes(32), body
    )


def content(cipher: str) -> dict[str, str]:
    keys = keys_of(cipher)
    inline = reader.seal_head(keys, head_of(0, len(INLINE), len(INLINE), INLINE))
    entry, page = reader.seal_page(keys, 1, FILE_ID, 0, 1, PAGE_NONCE, DATA)
    size = reader.PAGE + len(DATA)
    paged = reader.seal_head(keys, head_of(reader.PAGED, 0, size, bytes(32) + entry + bytes(122 * 32)))
    assert len(paged) == reader.PAGE and reader.physical_size(size) == 2 * reader.PAGE + len(DATA)
    assert reader.open_head(keys, inline, len(inline)).body == INLINE
    assert reader.open_head(keys, paged, reader.physical_size(size)).size == size
    return {
        "content_key": keys.content(1, FILE_ID).hex(),
        "inline": inline.hex(),
        "page_associated_data": reader.page_ad(FILE_ID, 0, 1).hex(),
        "page": page.hex(),
        "entry": entry.hex(),
        "paged_head": paged.hex(),
        "paged_head_sha256": hashlib.sha256(paged).hexdigest(),
    }


def vectors() -> dict[str, Any]:
    keys = keys_of("aes-256-ocb")  # the cipher matters to content only
    short, none = reader.seal_name(keys, 1, DIRECTORY_ID, SHORT_NAME)
    long, full = reader.seal_name(keys, 1, DIRECTORY_ID, LONG_NAME)
    assert not none and reader.open_name(keys, 1, DIRECTORY_ID, short, None) == SHORT_NAME
    assert reader.open_name(keys, 1, DIRECTORY_ID, long, full) == LONG_NAME

    short_link = b"S" + reader.b64_encode(reader.seal_string(keys, 1, b"S", N, TARGET))
    inside = LINK_ID + struct.pack("<H", len(LONG_TARGET))
    long_link = b"L" + reader.b64_encode(reader.seal_string(keys, 1, b"L", N, inside))
    body = reader.seal_string(keys, 1, b"B" + LINK_ID, N, LONG_TARGET)
    assert reader.open_link(keys, short_link, lambda _: b"") == TARGET
    assert reader.open_link(keys, long_link, lambda _: body) == LONG_TARGET

    attribute, value = reader.seal_xattr(keys, 1, FILE_ID, b"user.", ATTRIBUTE, N, VALUE)
    long_attribute, long_value = reader.seal_xattr(keys, 1, FILE_ID, b"user.", LONG_ATTRIBUTE, N, VALUE)
    assert reader.open_xattr(keys, FILE_ID, attribute, value) == (1, b"user." + ATTRIBUTE, VALUE)
    assert reader.open_xattr(keys, FILE_ID, long_attribute, long_value) == (1, b"user." + LONG_ATTRIBUTE, VALUE)

    return {
        "given": {
            "volume_id": VOLUME_ID.hex(),
            "generation_key_1": K_1.hex(),
            "directory_key": DIRECTORY_KEY.hex(),
            "directory_id": DIRECTORY_ID.hex(),
            "file_id": FILE_ID.hex(),
            "link_id": LINK_ID.hex(),
            "head_nonce": HEAD_NONCE.hex(),
            "page_nonce": PAGE_NONCE.hex(),
            "n": N.hex(),
            "epoch": EPOCH,
            "commit": COMMIT,
            "short_name": SHORT_NAME.decode(),
            "long_name": LONG_NAME.decode(),
            "inline_content": INLINE.hex(),
            "paged_size": reader.PAGE + len(DATA),
            "data": DATA.hex(),
            "target": TARGET.decode(),
            "long_target": LONG_TARGET.decode(),
            "attribute": ATTRIBUTE.decode(),
            "long_attribute": LONG_ATTRIBUTE.decode(),
            "value": VALUE.decode(),
        },
        "keys": {
            "names": keys.names(1).hex(),
            "long_names": keys.long_names(1).hex(),
            "symlinks": keys.symlinks(1).hex(),
            "xattr_names": keys.xattr_names(1).hex(),
            "long_xattr_names": keys.long_xattr_names(1).hex(),
            "xattr_values": keys.xattr_values(1).hex(),
        },
        "directory": {"id_record": reader.seal_id_record(keys, reader.IdRecord(1, 0, DIRECTORY_ID)).decode()},
        "names": {"short": short.decode(), "long": long.decode(), "long_sidecar": full.decode()},
        "content": {cipher: content(cipher) for cipher in reader.AEADS},
        "symlinks": {"short": short_link.decode(), "long": long_link.decode(), "long_body": body.hex()},
        "xattrs": {
            "name": attribute.decode(),
            "value": value.hex(),
            "long_name": long_attribute.decode(),
            "long_value": long_value.hex(),
        },
    }


def block(label: str, text: str) -> str:
    """An indented line, folded behind the label."""
    lines = [text[i : i + 88] for i in range(0, len(text), 88)]
    return "".join(f"    {label if i == 0 else '':<19}{line}\n" for i, line in enumerate(lines))


def section(v: dict[str, Any]) -> str:
    text = TITLE
    text += """
`tests/interop/vectors.json` holds what follows, and what is cut short here, in full; `tests/interop/vectors.py` makes both
with the primitives of the independent reader. All binary values are hexadecimal, `a..b` stands for consecutive bytes.

Given: volume id a0..af, K_1 40..5f, directory key 80..9f, directory id d0..df, file id e0..ef, link id 30..3f, nonce of
heads 00..0b, nonce of pages 10..1b, N 20..2f; epoch 5, commit number 7, that directory as birth directory, no flags but
*paged* where it has to be; generation 1 throughout, name_max 255.

Keys of section 2 that no file id goes into:

"""
    k = v["keys"]
    for label, name in (
        ("names", "names"),
        ("long names", "long_names"),
        ("symlinks", "symlinks"),
        ("xattr names", "xattr_names"),
        ("long xattr names", "long_xattr_names"),
        ("xattr values", "xattr_values"),
    ):
        text += block(label, k[name])
    text += "\nThe id record of that directory (no *next*), and in it the names `letter.txt` and 200 times `n`:\n\n"
    text += block("id record", v["directory"]["id_record"])
    text += block("short", v["names"]["short"])
    text += block("long", v["names"]["long"])
    text += block("its sidecar", v["names"]["long_sidecar"])
    text += """
A file with the 14 bytes `Hello, world!` and a newline; and one of 4196 bytes, whose page 0 is a hole and whose page 1 holds
the bytes 00..63 (physical size 8292, the page at 8192; the 4096 bytes at 4096 are ignored). Of the second: associated data
and ciphertext of the page, its entry (entry 1 of the head), the clear prefix of the head with its tag, SHA-256 of the whole
head.

"""
    for cipher, c in v["content"].items():
        text += f"    {cipher}\n"
        text += block("content key", c["content_key"])
        text += block("inline file", c["inline"])
        text += block("page: data", c["page_associated_data"])
        text += block("page", c["page"])
        text += block("entry", c["entry"])
        text += block("head, 64 bytes", c["paged_head"][:128])
        text += block("SHA-256 of head", c["paged_head_sha256"])
        text += "\n"
    s = v["symlinks"]
    text += "Symbolic links to `../letters/anna`, and to 3100 times `t` (its text; SHA-256 of its body):\n\n"
    text += block("short", s["short"]) + block("long", s["long"])
    text += block("body", hashlib.sha256(bytes.fromhex(s["long_body"])).hexdigest())
    text += "\nAttributes `user.comment` and `user.` with 200 times `a` of that file, both with the value `to be read`:\n\n"
    x = v["xattrs"]
    text += block("name", x["name"]) + block("value", x["value"])
    text += block("long name", x["long_name"]) + block("its value", x["long_value"])
    return text


def main() -> int:
    if len(sys.argv) != 3 or sys.argv[1] not in ("write", "check"):
        print(__doc__, file=sys.stderr)
        return 2
    v = vectors()
    stored = os.path.join(HERE, "vectors.json")
    with open(sys.argv[2], encoding="utf-8") as f:
        old = f.read()
    before = old.partition(TITLE)[0].rstrip() + "\n\n"
    new_json, new_document = json.dumps(v, indent=1) + "\n", before + section(v)
    if sys.argv[1] == "write":
        with open(stored, "w", encoding="utf-8") as f:
            f.write(new_json)
        with open(sys.argv[2], "w", encoding="utf-8") as f:
            f.write(new_document)
        return 0
    with open(stored, encoding="utf-8") as f:
        good = f.read() == new_json
    return 0 if good and old == new_document else 1


if __name__ == "__main__":
    sys.exit(main())
