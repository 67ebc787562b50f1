"""An independent reader of tokens, written from docs/format-field.md alone.

    token_reader.py DIR KEYFILE KEYS BIND CONTEXT < TOKENS     one token a line: KEYS.. is its path as JSON, before a tab

It needs python3-cryptography.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))
import coffer_reader as reader  # noqa: E402
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey  # noqa: E402
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: E402

BIND = {"none": 0, "keys": 1, "path": 2, "record": 3}
MODES = {"r": 8 + 16, "d": 8 + 4, "s": 8 + 32}


def need(condition, what):
    if not condition:
        raise reader.Rejected(what)


def key_step(kind: str, name: bytes) -> bytes:
    return kind.encode() + struct.pack("<I", len(name)) + name


def full_step(kind: str, number: int, name: bytes = b"") -> bytes:
    return kind.encode() + struct.pack("<QI", number, len(name)) + name


def place(bind: str, steps: list, record: tuple[bytes, bytes] | None = None) -> bytes:
    """steps: (kind, number, name) from the top to the value."""
    if bind == "none":
        return b""
    if bind == "path":
        return b"".join(full_step(*s) for s in steps)
    text = b"".join(key_step(k, name) for k, _, name in steps if k in "ka")
    if bind == "record":
        text += key_step("r", record[0]) + key_step("v", record[1])
    return text


def pad(text: bytes, to: int = 16) -> bytes:
    text += b"\x80"
    return text + bytes(-len(text) % to)


def unpad(text: bytes) -> bytes:
    text = text.rstrip(b"\0")
    need(text.endswith(b"\x80"), "no padding")
    return text[:-1]


def ad_head(mode: str, keyring: bytes, generation: int) -> bytes:
    return b"\x01" + mode.encode() + keyring + struct.pack("<I", generation)


def ad_bound(mode: str, keyring: bytes, generation: int, bind: str, context: str, where: bytes) -> bytes:
    return ad_head(mode, keyring, generation) + bytes([BIND[bind]]) + reader.part(context.encode()) + where


def public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def agreed(private: bytes, other: bytes, keyring: bytes, token_key: bytes, recipient: bytes) -> bytes:
    shared = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(other))
    return reader.derive(shared, "coffer field sealed", keyring, "", token_key + recipient, 64)


class Fields:
    """generations: number to K_g; domains: name to number."""

    def __init__(self, keyring: bytes, generations: dict[int, bytes], domains: dict[str, int]):
        self.keyring, self.generations, self.domains = keyring, generations, domains

    def key(self, generation: int, label: str, extra: bytes | None, size: int = 64) -> bytes:
        need(generation in self.generations, "unknown generation")
        return reader.derive(self.generations[generation], label, self.keyring, "", extra, size)

    def head(self, generation: int) -> bytes:
        return self.keyring[:4] + struct.pack("<I", generation)

    # --- sealing, for vectors

    def seal_random(self, g, bind, context, where, source, nonce, to=16):
        ad = ad_bound("r", self.keyring, g, bind, context, where)
        sealed = reader.siv_seal(self.key(g, "coffer field random", None), [ad, nonce], pad(source, to))
        return b"coffer1r." + reader.b64_encode(self.head(g) + nonce + sealed)

    def seal_sealed(self, g, bind, context, where, source, private, to=16):
        recipient = public(self.key(g, "coffer field sealed key", None, 32))
        token_key = public(private)
        key = agreed(private, recipient, self.keyring, token_key, recipient)
        ad = ad_bound("s", self.keyring, g, bind, context, where)
        return b"coffer1s." + reader.b64_encode(self.head(g) + token_key + reader.siv_seal(key, [ad], pad(source, to)))

    def seal_deterministic(self, domain, bind, context, where, source, value, to=16):
        g = self.domains[domain]
        name = domain.encode()
        ad = ad_head("d", self.keyring, g) + reader.part(name)
        first = self.head(g) + hashlib.sha256(name).digest()[:4]
        first += reader.siv_seal(self.key(g, "coffer field value", name), [ad], pad(value, to))
        token = b"coffer1d." + reader.b64_encode(first)
        if source == value and bind == "none":
            return token
        ad = ad_bound("d", self.keyring, g, bind, context, where) + first
        text = pad(b"" if source == value else source, to)
        return token + b"." + reader.b64_encode(reader.siv_seal(self.key(g, "coffer field source", name), [ad], text))

    # --- opening

    def open(self, token: bytes, bind: str, context: str, where: bytes) -> bytes:
        found = re.fullmatch(rb"coffer1([rds])\.([A-Za-z0-9_-]+)(?:\.([A-Za-z0-9_-]+))?", token)
        need(found, "not a token")
        mode, first, second = found[1].decode(), reader.b64_decode(found[2]), found[3]
        need(second is None or mode == "d", "two parts")
        sealed = first[MODES[mode]:]
        for part in (sealed, reader.b64_decode(second) if second else sealed):
            need(len(part) >= 32 and len(part) % 16 == 0, "impossible length")
        need(first[:4] == self.keyring[:4], "another keyring")
        g = struct.unpack("<I", first[4:8])[0]
        if mode == "r":
            ad = ad_bound("r", self.keyring, g, bind, context, where)
            return unpad(reader.siv_open(self.key(g, "coffer field random", None), [ad, first[8:24]], sealed))
        if mode == "s":
            private = self.key(g, "coffer field sealed key", None, 32)
            key = agreed(private, first[8:40], self.keyring, first[8:40], public(private))
            return unpad(reader.siv_open(key, [ad_bound("s", self.keyring, g, bind, context, where)], sealed))
        names = [d for d in self.domains if hashlib.sha256(d.encode()).digest()[:4] == first[8:12]]
        need(names, "unknown domain")
        name = names[0].encode()
        ad = ad_head("d", self.keyring, g) + reader.part(name)
        value = unpad(reader.siv_open(self.key(g, "coffer field value", name), [ad], sealed))
        if second is None:
            need(bind == "none", "the second part is missing")
            return value
        ad = ad_bound("d", self.keyring, g, bind, context, where) + first
        source = unpad(reader.siv_open(self.key(g, "coffer field source", name), [ad], reader.b64_decode(second)))
        return source or value


def open_keyring(directory: str, key_file: str) -> Fields:
    """The scope "fields" of a volume's keyring, or of one that stands alone (whose MAC is not looked at), by a key file."""
    path = os.fsencode(directory)
    secret = reader.Secret.from_file("key-file", key_file)
    if os.path.isdir(path):
        reader.unlock(path, secret)  # checks seals and MAC
        keyring = reader.read_either(path, b"keyring.json", "coffer keyring").value
    else:
        keyring = reader.read_sealed(path, "coffer keyring").value
    volume_id = reader.id16(keyring["settings"], "volume_id")
    wrap = reader.derive(reader.open_root(keyring, volume_id, secret), "coffer root wrap", volume_id, "", None, 32)
    floor = keyring["scopes"][1]["floor"]
    generations = {}
    for item in keyring["generations"]:
        usable = "wrapped" in item and item["scope"] == 1 and item["generation"] >= floor
        if usable and item["state"] in reader.OPENING_STATES:
            generations[item["generation"]] = reader.unwrap(wrap, reader.binary(item, "wrapped", 40))
    return Fields(volume_id, generations, {d["name"]: d["generation"] for d in keyring.get("domains", [])})


def main() -> int:
    fields = open_keyring(sys.argv[1], sys.argv[2])
    bind, context = sys.argv[3], sys.argv[4] if len(sys.argv) > 4 else ""
    for line in sys.stdin.buffer.read().splitlines():
        steps, token = line.split(b"\t")
        steps = [(k, n, name.encode()) for k, n, name in json.loads(steps)]
        sys.stdout.buffer.write(json.dumps(fields.open(token, bind, context, place(bind, steps)).decode(
            errors="surrogateescape")).encode(errors="surrogateescape") + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
