#!/usr/bin/python3
"""An independent reader of coffer volumes, written from docs/format-volume.md and docs/format-keyring.md alone.

    coffer_reader.py DIR SECRET list [--json]       one line for each object of the tree
    coffer_reader.py DIR SECRET extract OUT         the same, and decrypt it all into the new directory OUT

SECRET is --passphrase-file F, --key-file F, --recovery-key-file F or --identity-file KEY.pem.

Exit status: 0 all is well; 1 something in the tree was rejected (each on standard error); 2 usage or an error of the
system; 3 the keyring or the settings are damaged; 4 the volume is of an unsupported version; 5 wrong secret.

It is slow and plain on purpose: it exists to show that the two documents suffice, and to check the program against them.
"""

from __future__ import annotations

import argparse
import base64
import copy
import hashlib
import hmac
import json
import os
import re
import stat
import struct
import sys
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESOCB3, AESSIV, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

PAGE = 4096
INLINE_MAX = 3968
HEAD_CHILDREN = [0] * 60 + [1] * 32 + [2] * 28 + [3] * 2 + [4, 5]  # heights of what the entries of a head describe
HASH_LIMIT = 64 << 20  # up to this size a file's SHA-256 is of all its bytes, see Digest


class Rejected(Exception):
    """Something in the tree that a reader has to refuse."""


class Damage(Exception):
    """The settings or the keyring are damaged."""


class Unsupported(Exception):
    """The volume is of a version, or needs a feature, that is not known here."""


class WrongSecret(Exception):
    """No protector opens with the secret."""


# ---- section 1 and 2 of the volume format: encodings and primitives --------------------------------------------------


def b64_encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def b64_decode(text: bytes) -> bytes:
    if not re.fullmatch(rb"[A-Za-z0-9_-]*", text) or len(text) % 4 == 1:
        raise Rejected("not base64url")
    data = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    if b64_encode(data) != text:
        raise Rejected("base64url that is not canonical")
    return data


def part(x: bytes) -> bytes:
    return struct.pack("<H", len(x)) + x


def derive(secret: bytes, label: str, volume_id: bytes, cipher: str, extra: bytes | None, length: int) -> bytes:
    info = part(label.encode()) + part(volume_id) + part(cipher.encode())
    if extra is not None:
        info += part(extra)
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(secret)


def hmac256(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def siv_seal(key: bytes, components: list[bytes], plain: bytes) -> bytes:
    return AESSIV(key).encrypt(plain, components)


def siv_open(key: bytes, components: list[bytes], sealed: bytes) -> bytes:
    if len(sealed) <= 16:  # no field of the format is empty
        raise Rejected("a sealed string that is too short")
    try:
        return AESSIV(key).decrypt(sealed, components)
    except InvalidTag:
        raise Rejected("a SIV that does not authenticate") from None


AEADS: dict[str, Callable[[bytes], Any]] = {
    "aes-256-ocb": AESOCB3,
    "aes-256-gcm": AESGCM,
    "chacha20-poly1305": ChaCha20Poly1305,
}


def aead_seal(cipher: str, key: bytes, nonce: bytes, ad: bytes, plain: bytes) -> tuple[bytes, bytes]:
    """The ciphertext and the tag."""
    sealed = AEADS[cipher](key).encrypt(nonce, plain, ad)
    return sealed[:-16], sealed[-16:]


def aead_open(cipher: str, key: bytes, nonce: bytes, ad: bytes, sealed: bytes, tag: bytes) -> bytes:
    try:
        return AEADS[cipher](key).decrypt(nonce, sealed + tag, ad)
    except InvalidTag:
        raise Rejected("a tag that fails") from None


# ---- the keyring format ----------------------------------------------------------------------------------------------

STATES = ("pre-active", "active", "suspended", "deactivated", "compromised", "destroyed")
OPENING_STATES = ("active", "deactivated", "compromised")
FILE_MAX = 4 << 20
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def need(condition: object, what: str) -> None:
    if not condition:
        raise Damage(what)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    need(len(set(names)) == len(names), "a member name twice in one object")
    return dict(pairs)


def _constant(text: str) -> None:
    raise Damage(f"{text} is not JSON")


def parse_document(document: bytes) -> dict[str, Any]:
    """Sections 2: the bytes, and what JSON is accepted. What is no *number* becomes a float."""
    need(re.fullmatch(rb"[\x20-\x7e\n]*", document), "a byte that is not allowed in a document")
    need(b"\\" not in document, "a backslash in a document")
    need(document.endswith(b"\n"), "a document that does not end with a newline")
    text = document.decode("ascii")
    depth = 0
    for c in re.sub(r'"[^"]*"', "", text):
        depth += (c in "{[") - (c in "}]")
        need(depth <= 16, "a document nested too deeply")

    def integer(digits: str) -> int | float:
        return float(digits) if digits == "-0" or len(digits) > 20 else int(digits)

    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_int=integer)
    except (ValueError, RecursionError) as error:
        raise Damage(f"a document that is not JSON: {error}") from None
    need(isinstance(value, dict), "a document that is not an object")
    return value


def same(a: Any, b: Any) -> bool:
    """Equality as JSON values: Python holds True and 1.0 equal to 1."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    return type(a) is type(b) and a == b


def member(where: dict[str, Any], name: str) -> Any:
    need(isinstance(where, dict) and name in where, f"no member {name}")
    return where[name]


def number(where: dict[str, Any], name: str, low: int = 0, high: int = 2**53 - 1) -> int:
    value = member(where, name)
    need(isinstance(value, int) and not isinstance(value, bool), f"{name} is not a number")
    need(low <= value <= high, f"{name} out of range")
    return value


def string(where: dict[str, Any], name: str, pattern: str = ".*") -> str:
    value = member(where, name)
    need(isinstance(value, str) and re.fullmatch(pattern, value), f"{name} is not as it should be")
    return value


def array(where: dict[str, Any], name: str, low: int = 0, high: int = 1 << 20) -> list[Any]:
    value = member(where, name)
    need(isinstance(value, list) and low <= len(value) <= high, f"{name} is not an array of the right length")
    return value


def time(where: dict[str, Any], name: str) -> str:
    return string(where, name, r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def id16(where: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(string(where, name, "[0-9a-f]{32}"))


def binary(where: dict[str, Any], name: str, low: int, high: int | None = None) -> bytes:
    try:
        data = b64_decode(string(where, name).encode())
    except Rejected as reason:
        raise Damage(f"{name}: {reason}") from None
    need(low <= len(data) <= (high or low), f"{name} has a wrong length")
    return data


def check_head(document: dict[str, Any], form: str) -> dict[str, Any]:
    """Section 3: format, version and features in this order, then the rest of the settings."""
    need(string(document, "format") == form, f"not a {form}")
    if number(document, "version") != 1:
        raise Unsupported("a version that is not known")
    settings = member(document, "settings")
    features = member(settings, "features")
    for kind in ("incompatible", "read_only_compatible", "compatible"):
        need(all(isinstance(x, str) for x in array(features, kind)), f"{kind} is not an array of strings")
    if features["incompatible"]:
        raise Unsupported(f"features that are not known: {features['incompatible']}")
    id16(settings, "volume_id")
    id16(settings, "instance_id")
    need(string(settings, "cipher") in AEADS, "a cipher that is not known")
    need(isinstance(member(settings, "portable"), bool), "portable is neither true nor false")
    need(number(settings, "name_max") in (143, 255), "name_max is neither 143 nor 255")
    number(settings, "journal_size")
    return settings


def check_volume(document: dict[str, Any]) -> None:
    check_head(document, "coffer volume")


def check_keyring(document: dict[str, Any]) -> None:
    """Sections 4 to 7, as far as no key is needed."""
    check_head(document, "coffer keyring")
    number(document, "sequence")
    time(document, "written")
    root = member(document, "root")
    id16(root, "fingerprint")
    binary(root, "commitment", 32)
    binary(document, "root_directory", 16)

    next_protector = number(document, "next_protector")
    ids: set[int] = set()
    for protector in array(document, "protectors", 1, 32):
        ids.add(number(protector, "id", 1, 2**32 - 1))
        kind = string(protector, "type", "[a-z0-9-]{1,15}")
        time(protector, "created")
        if kind not in ("passphrase", "key-file", "recovery-key", "certificate"):
            continue
        binary(protector, "commitment", 32)
        binary(protector, "wrapped", 40)
        if kind == "passphrase":
            need(string(protector, "kdf") == "argon2id", "a kdf that is not known")
            number(protector, "t", 1, 64)
            p = number(protector, "p", 1, 16)
            number(protector, "m_kib", 8 * p, 1048576)
            binary(protector, "salt", 16, 64)
        if kind == "certificate":
            binary(protector, "certificate", 1, 8192)
            string(protector, "key", "[a-z0-9-]{1,15}")
            time(protector, "expires")
            cms_parse(binary(protector, "cms", 1, 4096))
    need(len(ids) == len(document["protectors"]), "an id of a protector twice")
    need(max(ids) < next_protector, "next_protector too low")

    next_generation = number(document, "next_generation")
    scopes = array(document, "scopes", 2, 32)
    active: list[list[int]] = [[] for _ in scopes]
    last = 0
    for generation in array(document, "generations", 2, 4096):
        g = number(generation, "generation", 1, 2**32 - 1)
        need(g > last, "generations that do not ascend")
        last = g
        scope = number(generation, "scope", 0, len(scopes) - 1)
        state = string(generation, "state")
        need(state in STATES, "a state that is not known")
        time(generation, "created")
        for event in array(generation, "history", 1, 256):
            need(string(event, "state") in STATES, "a state that is not known in a history")
            time(event, "at")
        need(generation["history"][-1]["state"] == state, "a history that does not end in the state")
        if "destroy_at" in generation:
            time(generation, "destroy_at")
            need(state in ("pre-active", "deactivated", "compromised"), "a destroy_at that does not go with the state")
        need(("wrapped" in generation) == (state != "destroyed"), "a key that is missing, or there though destroyed")
        if "wrapped" in generation:
            binary(generation, "wrapped", 40)
        if state == "active":
            active[scope].append(g)
    need(last < next_generation, "next_generation too low")
    need(all(len(a) == 1 for a in active), "not exactly one active generation in each scope")

    keys = member(document, "keys")
    for name in ("directory", "journal", "audit"):
        binary(keys, name, 40)
    if "journal_before" in keys:
        binary(keys, "journal_before", 40)
    if "directory_older" in keys:
        for older in array(keys, "directory_older", 0, 63):
            number(older, "until", 1, 2**32 - 1)
            binary(older, "wrapped", 40)

    for i, scope in enumerate(scopes):
        number(scope, "scope", i, i)
        string(scope, "name", ("default", "fields", "[A-Za-z0-9._-]{1,64}")[min(i, 2)])
        number(scope, "floor", 1, active[i][0])
    need(len({scope["name"] for scope in scopes}) == len(scopes), "two scopes with one name")

    zones = array(document, "zones", 0, 256) if "zones" in document else []
    for i, zone in enumerate(zones):
        number(zone, "zone", i + 1, i + 1)
        id16(zone, "directory")
        for name in ("scope", "from", "to"):
            if name == "scope" or name in zone:
                need(number(zone, name, 0, len(scopes) - 1) != 1, f"{name} of a zone is the scope of fields")
    need(len({zone["directory"] for zone in zones}) == len(zones), "two zones that begin at one directory")


@dataclass
class Document:
    text: bytes  # the bytes before the seal line
    mac: bytes  # of a keyring, else empty
    value: dict[str, Any]


def read_sealed(path: bytes, form: str) -> Document:
    """One file of section 1, with the checks of sections 2 to 7."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Damage(f"{os.fsdecode(path)}: {error.strerror}") from None
    try:
        st = os.fstat(fd)
        need(stat.S_ISREG(st.st_mode) and st.st_nlink == 1, "not a regular file with one link")
        need(st.st_size <= FILE_MAX, "too long")
        data = b""
        while more := os.read(fd, FILE_MAX + 1 - len(data)):
            data += more
    finally:
        os.close(fd)
    need(len(data) <= FILE_MAX, "too long")

    mac = rb"mac=([0-9a-f]{64}) " if form == "coffer keyring" else b"()"
    seal = re.search(rb"#coffer-seal " + mac + rb"sha256=([0-9a-f]{64})\n\Z", data)
    if seal is None:
        raise Damage("no seal line")
    need(hashlib.sha256(data[: seal.start(2)]).hexdigest().encode() == seal[2], "a wrong hash")
    document = Document(data[: seal.start()], bytes.fromhex(seal[1].decode()), parse_document(data[: seal.start()]))
    (check_keyring if form == "coffer keyring" else check_volume)(document.value)
    return document


def read_either(directory: bytes, name: bytes, form: str) -> Document:
    """The second copy counts only where the first is damaged."""
    path = os.path.join(directory, b".coffer", name)
    try:
        return read_sealed(path, form)
    except Damage as first:
        try:
            return read_sealed(path + b".bak", form)
        except Damage as second:
            raise Damage(f"{name.decode()}: {first}; its copy: {second}") from None


def decode_recovery_key(text: bytes) -> bytes | None:
    """Section 8. None: not a recovery key."""
    digits = []
    for c in re.sub(r"[- ]", "", text.decode("latin-1")):
        if c not in CROCKFORD:
            c = {"o": "O"}.get(c, c.upper() if c.isascii() else "?")
            c = {"O": "0", "I": "1", "L": "1"}.get(c, c)
        if c not in CROCKFORD:
            return None
        digits.append(CROCKFORD.index(c))
    if len(digits) != 56:
        return None

    def times_a(x: int, power: int) -> int:
        for _ in range(power):
            x <<= 1
            if x & 32:
                x ^= 0b100101
        return x

    bits = 0
    for group in range(8):
        *data, check = digits[7 * group : 7 * group + 7]
        right = times_a(group + 1, 7)
        for i, d in enumerate(data):
            right ^= times_a(d, i + 1)
            bits = bits << 5 | d
        if check != right:
            return None
    return bits.to_bytes(30, "big")


# ---- section 5: CMS --------------------------------------------------------------------------------------------------


def der(tag: int, *parts: bytes) -> bytes:
    """A value, with its length in the shortest form."""
    body = b"".join(parts)
    size = len(body)
    if size < 128:
        return bytes([tag, size]) + body
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 128 | len(digits)]) + digits + body


def oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    out = b""
    for n in (40 * first + second, *rest):
        septets = [n & 127]
        while n := n >> 7:
            septets.append(n & 127 | 128)
        out += bytes(reversed(septets))
    return der(6, out)


def der_split(data: bytes) -> list[tuple[int, bytes]]:
    """The values that stand one behind the other. Written again they must be the same bytes."""
    found = []
    rest = data
    while rest:
        need(len(rest) >= 2, "DER that is cut short")
        at, size = 2, rest[1]
        if size > 128:
            at, size = 2 + size - 128, int.from_bytes(rest[2 : 2 + size - 128], "big")
        found.append((rest[0], rest[at : at + size]))
        rest = rest[at + size :]
    need(b"".join(der(tag, body) for tag, body in found) == data, "BER that is no DER")
    return found


def der_take(data: bytes, *tags: int) -> list[bytes]:
    """What values of just these tags hold."""
    found = der_split(data)
    need([tag for tag, _ in found] == list(tags), "CMS that is malformed, or has what is not allowed")
    return [body for _, body in found]


SHA256_PLAIN, SHA256_NULL = (der(0x30, oid("2.16.840.1.101.3.4.2.1"), null) for null in (b"", b"\5\0"))
OAEP = [
    oid("1.2.840.113549.1.1.7")
    + der(0x30, der(0xA0, sha), der(0xA1, der(0x30, oid("1.2.840.113549.1.1.8"), sha)))
    for sha in (SHA256_PLAIN, SHA256_NULL)
]
AES_WRAP = der(0x30, oid("2.16.840.1.101.3.4.1.45"))
ECDH = oid("1.3.132.1.11.1") + AES_WRAP


@dataclass
class Cms:
    recipients: list[tuple[str, bytes, bytes]]  # "rsa" or "ec", the sender's key (SubjectPublicKeyInfo) or nothing, the encrypted key
    nonce: bytes
    sealed: bytes
    tag: bytes


def cms_recipient(tag: int, body: bytes) -> tuple[str, bytes, bytes]:
    parts = der_split(body)
    if tag == 0x30:
        need(len(parts) == 4 and (parts[0], parts[1][0]) in (((2, b"\2"), 0x80), ((2, b"\0"), 0x30)), "a recipient of another form")
        need(parts[2][0] == 0x30 and parts[2][1] in OAEP, "a key that is not encrypted by OAEP with SHA-256")
        need(parts[3][0] == 4, "no encrypted key")
        return "rsa", b"", parts[3][1]
    need(tag == 0xA1 and [t for t, _ in parts] == [2, 0xA0, 0x30, 0x30] and parts[0][1] == b"\3", "a recipient of another form")
    need(parts[2][1] == ECDH, "a key that is not agreed on by ECDH with SHA-256")
    (one,) = der_take(parts[3][1], 0x30)
    who, key = der_split(one)
    need(who[0] in (0xA0, 0x30) and key[0] == 4, "a recipient of another form")
    return "ec", parts[1][1], key[1]


def cms_parse(data: bytes) -> Cms:
    (info,) = der_take(data, 0x30)
    kind, content = der_take(info, 6, 0xA0)
    need(der(6, kind) == oid("1.2.840.113549.1.9.16.1.23"), "CMS that is not AuthEnvelopedData")
    (enveloped,) = der_take(content, 0x30)
    version, recipients, sealed, tag = der_take(enveloped, 2, 0x31, 0x30, 4)
    need(version == b"\0" and len(tag) == 16, "CMS of another version, or with a short tag")
    what, algorithm, ciphertext = der_take(sealed, 6, 0x30, 0x80)
    cipher, parameters = der_take(algorithm, 6, 0x30)
    nonce, tag_size = der_take(parameters, 4, 2)
    need(der(6, what) == oid("1.2.840.113549.1.7.1"), "CMS of something else than data")
    need(der(6, cipher) == oid("2.16.840.1.101.3.4.1.46"), "CMS by another cipher than AES-256-GCM")
    need(len(nonce) == 12 and tag_size == b"\x10", "CMS with another nonce or tag size")
    found = [cms_recipient(*r) for r in der_split(recipients)]
    need(1 <= len(found) <= 16, "no recipients, or too many")
    return Cms(found, nonce, ciphertext, tag)


def cms_agree(private: ec.EllipticCurvePrivateKey, sender: bytes, wrapped: bytes) -> bytes:
    """RFC 5753. The sender's key stands without its curve, which is that of ours."""
    (originator,) = der_take(sender, 0xA1)
    algorithm, point = der_take(originator, 0x30, 3)
    need(der_split(algorithm)[0] == (6, oid("1.2.840.10045.2.1")[2:]) and point[:1] == b"\0", "a sender's key of another kind")
    public = ec.EllipticCurvePublicKey.from_encoded_point(private.curve, point[1:])
    shared_info = der(0x30, AES_WRAP, der(0xA2, der(4, (256).to_bytes(4, "big"))))
    z = private.exchange(ec.ECDH(), public)
    return aes_key_unwrap(X963KDF(algorithm=SHA256(), length=32, sharedinfo=shared_info).derive(z), wrapped)


def cms_open(cms: Cms, pem: bytes) -> bytes | None:
    """What it holds, if it is for this private key."""
    try:
        private = serialization.load_pem_private_key(pem, None)
    except (TypeError, ValueError) as error:
        raise WrongSecret(f"not a private key in PEM without a passphrase: {error}") from None
    for kind, sender, encrypted in cms.recipients:
        try:
            if kind == "rsa" and isinstance(private, rsa.RSAPrivateKey):
                key = private.decrypt(encrypted, padding.OAEP(padding.MGF1(SHA256()), SHA256(), None))
            elif kind == "ec" and isinstance(private, ec.EllipticCurvePrivateKey):
                key = cms_agree(private, sender, encrypted)
            else:
                continue
            return AESGCM(key).decrypt(cms.nonce, cms.sealed + cms.tag, None)
        except (ValueError, InvalidUnwrap, InvalidTag):
            continue
    return None


@dataclass
class Secret:
    kind: str  # "passphrase", "key-file", "recovery-key" or "identity"
    data: bytes

    @staticmethod
    def from_file(kind: str, path: str) -> "Secret":
        with open(path, "rb") as f:
            data = f.read(FILE_MAX + 1)
        if kind == "key-file":
            if not 32 <= len(data) <= FILE_MAX:
                raise WrongSecret("a key file has 32 to 1048576 bytes")
        elif kind != "identity" and data.endswith(b"\n"):
            data = data[:-1]
        if kind == "passphrase" and not 1 <= len(data) <= 65536:
            raise WrongSecret("a passphrase has 1 to 65536 bytes")
        return Secret(kind, data)


def open_root(document: dict[str, Any], volume_id: bytes, secret: Secret) -> bytes:
    """Section 5: the root key."""

    def attempt(kind: str, x_of: Callable[[dict[str, Any]], bytes | None]) -> bytes | None:
        for protector in document["protectors"]:
            if protector["type"] != kind:
                continue
            x = x_of(protector)
            if x is None:
                continue
            commitment = derive(x, "coffer protector commitment", volume_id, "", kind.encode(), 32)
            if not hmac.compare_digest(commitment, binary(protector, "commitment", 32)):
                continue
            key = derive(x, "coffer protector wrap", volume_id, "", kind.encode(), 32)
            return unwrap(key, binary(protector, "wrapped", 40))
        return None

    def stretched(protector: dict[str, Any]) -> bytes:
        return hash_secret_raw(
            secret.data,
            binary(protector, "salt", 16, 64),
            time_cost=protector["t"],
            memory_cost=protector["m_kib"],
            parallelism=protector["p"],
            hash_len=32,
            type=Type.ID,
            version=0x13,
        )

    def decrypted(protector: dict[str, Any]) -> bytes | None:
        x = cms_open(cms_parse(binary(protector, "cms", 1, 4096)), secret.data)
        return x if x and len(x) == 32 else None

    root = None
    if secret.kind == "key-file":
        root = attempt("key-file", lambda _: secret.data)
    elif secret.kind == "identity":
        root = attempt("certificate", decrypted)
    else:
        recovery = decode_recovery_key(secret.data)
        if recovery is not None:
            root = attempt("recovery-key", lambda _: recovery)
        if root is None and secret.kind == "passphrase":
            root = attempt("passphrase", stretched)
    if root is None:
        raise WrongSecret("no protector opens with this secret")
    return root


def unwrap(key: bytes, wrapped: bytes) -> bytes:
    try:
        return aes_key_unwrap(key, wrapped)
    except InvalidUnwrap:
        raise Damage("a wrapped key that does not verify") from None


class Keys:
    """What the keyring gives, and what section 2 of the volume format derives from it."""

    def __init__(self, volume_id: bytes, cipher: str, name_max: int, directory_key: bytes, generations: dict[int, bytes]):
        self.volume_id = volume_id
        self.cipher = cipher
        self.name_max = name_max
        self.directory_key = directory_key
        self.older_directory_keys: list[tuple[int, bytes]] = []  # each with the generation that it does not reach
        self.generations = generations  # those that open files, directories and names
        self.scopes: dict[int, int] = {}  # of each of these
        self.zones: dict[bytes, frozenset[int]] = {}  # the scopes that are accepted below a directory, by its id
        self.root_directory = b""
        self._derived: dict[tuple[int, str, bytes | None], bytes] = {}

    def accepting(self, scopes: frozenset[int]) -> "Keys":
        """The same without generations of other scopes."""
        keys = copy.copy(self)
        keys.generations = {g: key for g, key in self.generations.items() if self.scopes[g] in scopes}
        keys._derived = {}
        return keys

    def derived(self, g: int, label: str, length: int, cipher: str = "", extra: bytes | None = None) -> bytes:
        if g not in self.generations:
            raise Rejected(f"generation {g} opens nothing")
        if (g, label, extra) not in self._derived:
            if len(self._derived) > 1000:
                self._derived.clear()
            key = derive(self.generations[g], label, self.volume_id, cipher, extra, length)
            self._derived[g, label, extra] = key
        return self._derived[g, label, extra]

    def content(self, g: int, file_id: bytes) -> bytes:
        return self.derived(g, "coffer content", 32, self.cipher, file_id)

    def names(self, g: int) -> bytes:
        return self.derived(g, "coffer names", 64)

    def long_names(self, g: int) -> bytes:
        return self.derived(g, "coffer long names", 32)

    def symlinks(self, g: int) -> bytes:
        return self.derived(g, "coffer symlinks", 64)

    def xattr_names(self, g: int) -> bytes:
        return self.derived(g, "coffer xattr names", 64)

    def long_xattr_names(self, g: int) -> bytes:
        return self.derived(g, "coffer long xattr names", 32)

    def xattr_values(self, g: int) -> bytes:
        return self.derived(g, "coffer xattr values", 64)


def unlock(directory: bytes, secret: Secret) -> Keys:
    volume = read_either(directory, b"volume.json", "coffer volume")
    keyring = read_either(directory, b"keyring.json", "coffer keyring")
    settings = volume.value["settings"]
    expected = keyring.value["settings"]
    if "adopted_from" in keyring.value and settings.get("instance_id") == keyring.value["adopted_from"]:
        expected = dict(expected, instance_id=settings["instance_id"])
    need(same(settings, expected), "volume.json and keyring.json do not belong together")

    volume_id = id16(settings, "volume_id")
    root = open_root(keyring.value, volume_id, secret)
    named = keyring.value["root"]
    commitment = derive(root, "coffer root commitment", volume_id, "", None, 32)
    need(hmac.compare_digest(commitment, binary(named, "commitment", 32)), "another root key")
    mac = hmac256(derive(root, "coffer keyring mac", volume_id, "", None, 32), keyring.text)
    need(hmac.compare_digest(mac, keyring.mac), "a wrong MAC of the keyring")
    fingerprint = derive(root, "coffer root fingerprint", volume_id, "", None, 16)
    need(fingerprint == id16(named, "fingerprint"), "a wrong fingerprint")

    wrap = derive(root, "coffer root wrap", volume_id, "", None, 32)
    keys = {name: unwrap(wrap, binary(keyring.value["keys"], name, 40)) for name in ("directory", "journal", "audit")}
    floors = [scope["floor"] for scope in keyring.value["scopes"]]
    generations = {}
    scopes = {}
    for item in keyring.value["generations"]:
        if "wrapped" in item:
            key = unwrap(wrap, binary(item, "wrapped", 40))
            if item["state"] in OPENING_STATES and "destroy_at" not in item and item["generation"] >= floors[item["scope"]]:
                generations[item["generation"]] = key
                scopes[item["generation"]] = item["scope"]
    result = Keys(volume_id, settings["cipher"], settings["name_max"], keys["directory"], generations)
    for older in keyring.value["keys"].get("directory_older", []):
        key = unwrap(wrap, binary(older, "wrapped", 40))
        if min(floors[:1] + floors[2:]) < older["until"]:
            result.older_directory_keys.append((older["until"], key))
    if "journal_before" in keyring.value["keys"]:
        unwrap(wrap, binary(keyring.value["keys"], "journal_before", 40))
    result.root_directory = binary(keyring.value, "root_directory", 16)
    result.scopes = scopes
    for zone in keyring.value.get("zones", []):
        result.zones[id16(zone, "directory")] = frozenset(zone[name] for name in ("scope", "from") if name in zone)
    return result


# ---- section 4 and 5: directories and names --------------------------------------------------------------------------


@dataclass
class IdRecord:
    generation: int
    next_generation: int
    directory_id: bytes


def seal_id_record(keys: Keys, record: IdRecord, version: int = 1) -> bytes:
    data = struct.pack("<BII", version, record.generation, record.next_generation) + record.directory_id
    return b64_encode(data + hmac256(keys.directory_key, data)[:16])


def open_id_record(keys: Keys, text: bytes) -> IdRecord:
    data = b64_decode(text)
    if len(data) != 41 or data[0] != 1:
        raise Rejected("an id record of another length or version")
    _, generation, next_generation = struct.unpack_from("<BII", data)
    accepted = [keys.directory_key]
    accepted += [key for until, key in keys.older_directory_keys if max(generation, next_generation) < until]
    if not any(hmac.compare_digest(hmac256(key, data[:25])[:16], data[25:]) for key in accepted):
        raise Rejected("an id record with a wrong MAC")
    return IdRecord(generation, next_generation, data[9:25])


def seal_name(keys: Keys, g: int, directory_id: bytes, name: bytes) -> tuple[bytes, bytes]:
    """The backing name, and the text of its sidecar (else empty)."""
    full = b64_encode(siv_seal(keys.names(g), [directory_id], name + bytes(-len(name) % 16)))
    if len(full) <= keys.name_max:
        return full, b""
    return long_name(keys, g, full), full


def long_name(keys: Keys, g: int, full: bytes) -> bytes:
    return b"~" + b64_encode(hmac256(keys.long_names(g), full))


def open_name(keys: Keys, g: int, directory_id: bytes, backing: bytes, sidecar: bytes | None) -> bytes:
    """sidecar: the text of the sidecar of a name that begins with ~."""
    full = backing
    if backing.startswith(b"~"):
        if sidecar is None:
            raise Rejected("a long name without its sidecar")
        full = sidecar
        if len(full) <= keys.name_max:
            raise Rejected("a sidecar for a name that needs none")
        if not hmac.compare_digest(long_name(keys, g, full), backing):
            raise Rejected("a sidecar with another hash")
    elif len(full) > keys.name_max:
        raise Rejected("a name that needs a sidecar")
    sealed = b64_decode(full)
    if len(sealed) % 16 or len(sealed) <= 16:
        raise Rejected("a name of a wrong length")
    padded = siv_open(keys.names(g), [directory_id], sealed)
    name = padded.rstrip(b"\0")
    if len(padded) - len(name) >= 16:
        raise Rejected("a name with too much padding")
    if b"\0" in name or b"/" in name or name in (b".", b"..") or len(name) > 255:
        raise Rejected("a name that cannot be")
    return name


def read_text(fd: int, name: bytes, limit: int) -> bytes:
    """The target of the symbolic link, or what is in the small file."""
    st = os.lstat(name, dir_fd=fd)
    if stat.S_ISLNK(st.st_mode):
        return os.readlink(name, dir_fd=fd)
    if not stat.S_ISREG(st.st_mode) or st.st_size > limit:
        raise Rejected(f"{name.decode('latin-1')} is neither a symbolic link nor a small file")
    return read_small(fd, name, limit)


def read_small(fd: int, name: bytes, limit: int) -> bytes:
    f = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
    try:
        data = os.read(f, limit + 1)
    finally:
        os.close(f)
    if len(data) > limit:
        raise Rejected(f"{name.decode('latin-1')} is too long")
    return data


# ---- section 6: regular files ----------------------------------------------------------------------------------------


def subtree_pages(height: int) -> int:
    return 1 if height == 0 else 1 + 128 * subtree_pages(height - 1)


def covered_pages(height: int) -> int:
    return 128**height


def head_children() -> Iterator[tuple[int, int, int]]:
    """Height, first logical and first physical page of each child of a head."""
    logical, physical = 0, 1
    for height in HEAD_CHILDREN:
        yield height, logical, physical
        logical += covered_pages(height)
        physical += subtree_pages(height)


def physical_page(page: int) -> int:
    """Where a logical page lies."""
    for height, logical, physical in head_children():
        if page < logical + covered_pages(height):
            while height:
                i = (page - logical) // covered_pages(height - 1)
                logical += i * covered_pages(height - 1)
                physical += 1 + i * subtree_pages(height - 1)
                height -= 1
            return physical
    raise Rejected("a file that is too large")


def physical_size(n: int) -> int:
    """The size of the backing file of a file of n bytes that has a head."""
    if n <= INLINE_MAX:
        return 128 + n
    return physical_page((n - 1) // PAGE) * PAGE + (n - 1) % PAGE + 1


def logical_size(physical: int) -> int:
    """The reverse; rejects sizes that no n gives."""
    if 128 <= physical <= 128 + INLINE_MAX:
        return physical - 128
    low, high = INLINE_MAX + 1, 1 << 62
    top = sum(covered_pages(h) for h in HEAD_CHILDREN) * PAGE
    high = top
    while low < high:
        middle = (low + high) // 2
        if physical_size(middle) < physical:
            low = middle + 1
        else:
            high = middle
    if physical_size(low) != physical:
        raise Rejected(f"a physical size that no file has: {physical}")
    return low


@dataclass
class Head:
    flags: int
    inline_length: int
    file_id: bytes
    generation: int
    epoch: int
    nonce: bytes
    size: int
    commit: int
    birth: bytes
    reserved: bytes
    body: bytes
    magic: bytes = b"COFR"
    version: int = 1


PAGED = 1
NEWBORN = 2


def seal_head(keys: Keys, head: Head) -> bytes:
    prefix = head.magic + struct.pack("<BBH", head.version, head.flags, head.inline_length) + head.file_id
    prefix += struct.pack("<IQ", head.generation, head.epoch) + head.nonce
    plain = struct.pack("<QQ", head.size, head.commit) + head.birth + head.reserved + head.body
    sealed, tag = aead_seal(keys.cipher, keys.content(head.generation, head.file_id), head.nonce, prefix, plain)
    return prefix + tag + sealed


def open_head(keys: Keys, data: bytes, physical: int) -> Head:
    """data: the first page of a backing file of that size, which is not 0."""
    size = logical_size(physical)
    magic, version, flags, inline_length = struct.unpack_from("<4sBBH", data)
    if magic != b"COFR" or version != 1:
        raise Rejected("another magic or version of a head")
    if flags & ~(PAGED | NEWBORN):
        raise Rejected("unknown flags in a head")
    paged = size > INLINE_MAX
    if bool(flags & PAGED) != paged or inline_length != (0 if paged else size):
        raise Rejected("a head that contradicts the size of its file")
    file_id = data[8:24]
    generation, epoch = struct.unpack_from("<IQ", data, 24)
    nonce, tag = data[36:48], data[48:64]
    key = keys.content(generation, file_id)
    plain = aead_open(keys.cipher, key, nonce, data[:48], data[64 : 128 + inline_length if not paged else PAGE], tag)
    sealed_size, commit = struct.unpack_from("<QQ", plain)
    sealed = (sealed_size, commit, plain[16:32], plain[32:64], plain[64:])
    head = Head(flags, inline_length, file_id, generation, epoch, nonce, *sealed)
    if sealed_size != size:
        raise Rejected("a sealed size that does not belong to the size of the file")
    if any(head.reserved):
        raise Rejected("reserved bytes that are not zero")
    return head


def page_ad(file_id: bytes, height: int, first: int) -> bytes:
    return struct.pack("<B16sBQ", 2 if height else 1, file_id, height, first)


def seal_page(keys: Keys, g: int, file_id: bytes, height: int, first: int, nonce: bytes, plain: bytes) -> tuple[bytes, bytes]:
    """The entry, and the page."""
    sealed, tag = aead_seal(keys.cipher, keys.content(g, file_id), nonce, page_ad(file_id, height, first), plain)
    return nonce + struct.pack("<I", g) + tag, sealed


class File:
    """The content of one backing file."""

    def __init__(self, keys: Keys, fd: int):
        self.keys = keys
        self.fd = fd
        self.head: Head | None = None
        self.size = 0
        self.file_id: bytes | None = None
        physical = os.fstat(fd).st_size
        if physical:
            self.head = open_head(keys, self.pread(min(physical, PAGE), 0), physical)
            self.size = self.head.size
            self.file_id = self.head.file_id

    def pread(self, length: int, offset: int) -> bytes:
        data = b""
        while len(data) < length:
            more = os.pread(self.fd, length - len(data), offset + len(data))
            if not more:
                raise Rejected("a file that shrank")
            data += more
        return data

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """Offset and content of each page that is not a hole, in order."""
        if self.head is None:
            return
        if not self.head.flags & PAGED:
            if self.head.body:
                yield 0, self.head.body
            return
        for i, (height, logical, physical) in enumerate(head_children()):
            yield from self._below(self.head.body[32 * i : 32 * i + 32], height, logical, physical)

    def _below(self, entry: bytes, height: int, logical: int, physical: int) -> Iterator[tuple[int, bytes]]:
        if not any(entry) or logical * PAGE >= self.size:
            return
        (generation,) = struct.unpack_from("<I", entry, 12)
        if generation == 0:
            raise Rejected("generation 0 in an entry")
        assert self.file_id is not None
        length = PAGE if height else min(PAGE, self.size - logical * PAGE)
        key = self.keys.content(generation, self.file_id)
        sealed = self.pread(length, physical * PAGE)
        plain = aead_open(self.keys.cipher, key, entry[:12], page_ad(self.file_id, height, logical), sealed, entry[16:])
        if not height:
            yield logical * PAGE, plain
            return
        for i in range(128):
            first = logical + i * covered_pages(height - 1)
            yield from self._below(
                plain[32 * i : 32 * i + 32], height - 1, first, physical + 1 + i * subtree_pages(height - 1)
            )


class Digest:
    """SHA-256 of a file's bytes; of a file above HASH_LIMIT: of offset (8 bytes) and bytes of each page that is not zeros."""

    def __init__(self, size: int):
        self.size = size
        self.whole = size <= HASH_LIMIT
        self.hash = hashlib.sha256()
        self.at = 0

    def add(self, offset: int, data: bytes) -> None:
        if not self.whole:
            if any(data):
                self.hash.update(struct.pack("<Q", offset) + data)
            return
        self._zeros(offset - self.at)
        self.hash.update(data)
        self.at = offset + len(data)

    def _zeros(self, count: int) -> None:
        while count:
            n = min(count, 1 << 20)
            self.hash.update(bytes(n))
            count -= n

    def text(self) -> str:
        if self.whole:
            self._zeros(self.size - self.at)
            self.at = self.size
        return ("sha256=" if self.whole else "sparse-sha256=") + self.hash.hexdigest()


# ---- section 7: symbolic links ---------------------------------------------------------------------------------------


SHORT_LINK_MAX = 700


def seal_string(keys: Keys, g: int, a: bytes, n: bytes, plain: bytes) -> bytes:
    return struct.pack("<I", g) + n + siv_seal(keys.symlinks(g), [a, n], plain)


def open_string(keys: Keys, a: bytes, sealed: bytes) -> bytes:
    if len(sealed) < 36:
        raise Rejected("a sealed string that is too short")
    (g,) = struct.unpack_from("<I", sealed)
    return siv_open(keys.symlinks(g), [a, sealed[4:20]], sealed[20:])


def open_link(keys: Keys, text: bytes, body_of: Callable[[bytes], bytes]) -> bytes:
    form = text[:1]
    if form not in (b"S", b"L"):
        raise Rejected("a symbolic link of an unknown form")
    plain = open_string(keys, form, b64_decode(text[1:]))
    target = plain
    if form == b"S" and len(plain) > SHORT_LINK_MAX:
        raise Rejected("a short link that is too long")
    if form == b"L":
        if len(plain) != 18:
            raise Rejected("a long link of a wrong length")
        link_id, (length,) = plain[:16], struct.unpack_from("<H", plain, 16)
        target = open_string(keys, b"B" + link_id, body_of(b64_encode(link_id)))
        if len(target) != length:
            raise Rejected("a body of another length than its link says")
    if not 1 <= len(target) <= 4095:
        raise Rejected("a target of a wrong length")
    return target


# ---- section 8: extended attributes ----------------------------------------------------------------------------------

NAMESPACES = {b"user.": 1, b"trusted.": 2}
NO_ID = bytes(16)


def seal_xattr(
    keys: Keys, g: int, owner: bytes, prefix: bytes, name: bytes, n: bytes, value: bytes, value_g: int | None = None
) -> tuple[bytes, bytes]:
    """The backing name and the backing value."""
    ns = bytes([NAMESPACES[prefix]])
    generation = struct.pack("<I", g)
    backing = prefix + b64_encode(generation + siv_seal(keys.xattr_names(g), [ns + owner], name))
    plain = b"\0" + value
    if len(backing) > 255:
        backing = prefix + b"~" + b64_encode(generation + hmac256(keys.long_xattr_names(g), ns + owner + name)[:24])
        plain = b"\1" + part(name) + value
    return backing, seal_xattr_value(keys, g if value_g is None else value_g, owner, backing, n, plain)


def seal_xattr_value(keys: Keys, g: int, owner: bytes, backing: bytes, n: bytes, plain: bytes) -> bytes:
    ns = bytes([NAMESPACES[backing[: backing.index(b".") + 1]]])
    return struct.pack("<I", g) + n + siv_seal(keys.xattr_values(g), [ns + owner + backing, n], plain)


def open_xattr(keys: Keys, owner: bytes, backing: bytes, sealed: bytes) -> tuple[int, bytes, bytes]:
    """Generation of the name, name with its namespace, value."""
    prefix = backing[: backing.index(b".") + 1]
    ns = bytes([NAMESPACES[prefix]])
    text = backing[len(prefix) :]
    is_long = text.startswith(b"~")
    coded = b64_decode(text[1:] if is_long else text)
    if len(coded) < 5:
        raise Rejected("an attribute name that is too short")
    (g,) = struct.unpack_from("<I", coded)
    if len(sealed) < 36:
        raise Rejected("an attribute value that is too short")
    (value_g,) = struct.unpack_from("<I", sealed)
    name = b"" if is_long else siv_open(keys.xattr_names(g), [ns + owner], coded[4:])
    plain = siv_open(keys.xattr_values(value_g), [ns + owner + backing, sealed[4:20]], sealed[20:])
    if plain[0] != int(is_long):
        raise Rejected("an attribute value of the other form")
    value = plain[1:]
    if is_long:
        if len(plain) < 3 or len(plain) < 3 + struct.unpack_from("<H", plain, 1)[0]:
            raise Rejected("an attribute value that is too short")
        length = struct.unpack_from("<H", plain, 1)[0]
        name, value = plain[3 : 3 + length], plain[3 + length :]
        if not hmac.compare_digest(hmac256(keys.long_xattr_names(g), ns + owner + name)[:24], coded[4:]):
            raise Rejected("a long attribute name with another hash")
    if not name or b"\0" in name or len(prefix + name) > 255:
        raise Rejected("an attribute name that cannot be")
    return g, prefix + name, value


def read_xattrs(
    keys: Keys, path: str | int, owner: bytes | None, bad: Callable[[str], None]
) -> dict[bytes, bytes]:
    """Of a file that was never written there is no owner."""
    follow = {} if isinstance(path, int) else {"follow_symlinks": False}
    found: dict[bytes, tuple[int, bytes]] = {}
    try:
        names = os.listxattr(path, **follow)
    except OSError:  # a store without attributes
        return {}
    for name in sorted(os.fsencode(n) for n in names):
        if not name.startswith(tuple(NAMESPACES)):
            continue
        try:
            if owner is None:
                raise Rejected("an encrypted attribute of a file that has no id")
            g, plain, value = open_xattr(keys, owner, name, os.getxattr(path, name, **follow))
        except Rejected as reason:
            bad(f"attribute {name.decode('latin-1')}: {reason}")
            continue
        if plain not in found or g > found[plain][0]:
            found[plain] = (g, value)
    return {name: value for name, (_, value) in sorted(found.items())}


# ---- the tree 

TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "sock",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
}


def escape(name: bytes) -> str:
    return "".join(chr(b) if 0x21 <= b <= 0x7E and b != 0x5C else f"\\x{b:02x}" for b in name)


@dataclass
class Object:
    path: bytes
    type: str
    st: os.stat_result
    size: int = 0
    target: bytes = b""
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    digest: str = ""

    def line(self) -> str:
        words = [self.type, f"{stat.S_IMODE(self.st.st_mode):04o}", str(self.size), escape(self.path)]
        if self.target:
            words.append("-> " + escape(self.target))
        words += [f"{escape(name)}={value.hex()}" for name, value in self.xattrs.items()]
        if self.digest:
            words.append(self.digest)
        return " ".join(words)

    def json(self) -> str:
        return json.dumps(
            {
                "path": escape(self.path),
                "type": self.type,
                "mode": stat.S_IMODE(self.st.st_mode),
                "size": self.size,
                "links": self.st.st_nlink if self.type != "dir" else 1,
                "inode": self.st.st_ino,
                "mtime": self.st.st_mtime_ns,
                "device": self.st.st_rdev if self.type in ("char", "block") else 0,
                "target": escape(self.target),
                "xattrs": {escape(name): value.hex() for name, value in self.xattrs.items()},
                "digest": self.digest,
            }
        )


class Output:
    """What extract makes. Every method works on a descriptor of the directory that holds the new object."""

    def __init__(self) -> None:
        self.linked: dict[tuple[int, int], int] = {}

    def link(self, st: os.stat_result, fd: int, name: bytes) -> bool:
        """True when the object was one more name of one that is there, and is done."""
        first = self.linked.get((st.st_dev, st.st_ino))
        if first is None:
            return False
        os.link(f"/proc/self/fd/{first}", name, dst_dir_fd=fd, follow_symlinks=True)
        return True

    def remember(self, st: os.stat_result, fd: int, name: bytes) -> None:
        if st.st_nlink > 1:
            self.linked[st.st_dev, st.st_ino] = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)

    def attributes(self, obj: Object, fd: int, name: bytes) -> None:
        path = f"/proc/self/fd/{fd}/".encode() + name
        for attribute, value in obj.xattrs.items():
            os.setxattr(path, attribute, value, follow_symlinks=False)
        if os.geteuid() == 0:
            os.chown(name, obj.st.st_uid, obj.st.st_gid, dir_fd=fd, follow_symlinks=False)
        if obj.type != "link":
            os.chmod(path, stat.S_IMODE(obj.st.st_mode))
        os.utime(name, ns=(obj.st.st_atime_ns, obj.st.st_mtime_ns), dir_fd=fd, follow_symlinks=False)


class Reader:
    def __init__(self, directory: bytes, keys: Keys, show: Callable[[Object], None], bad: Callable[[bytes, str], None]):
        self.directory = directory
        self.keys = keys
        self.show = show
        self.bad = bad
        self.output: Output | None = None
        self.zones: dict[frozenset[int], Keys] = {}

    def accepting(self, scopes: frozenset[int]) -> Keys:
        """Section 2.1: the keys of a zone."""
        if scopes not in self.zones:
            self.zones[scopes] = self.keys.accepting(scopes)
        return self.zones[scopes]

    def run(self, out: bytes | None = None) -> None:
        data = os.open(os.path.join(self.directory, b"data"), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        out_fd = -1
        try:
            if out is not None:
                os.mkdir(out)
                self.output = Output()
                out_fd = os.open(out, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            top = Object(b".", "dir", os.fstat(data))
            self.read_directory(self.accepting(frozenset((0,))), data, top, self.keys.root_directory, out_fd)
            if out is not None:
                self.output.attributes(top, out_fd, b".")
        finally:
            os.close(data)
            if out_fd >= 0:
                os.close(out_fd)

    def read_directory(self, keys: Keys, fd: int, obj: Object, wanted_id: bytes | None, out_fd: int) -> None:
        """Shows the directory, then what is in it. The keys are those of where it lies."""
        try:
            try:
                record = open_id_record(keys, read_text(fd, b".coffer-dir", 4096))
            except FileNotFoundError:
                raise Rejected("a directory without an id record") from None
            if wanted_id is not None and record.directory_id != wanted_id:
                raise Rejected("another root directory")
            generations = [record.next_generation] * bool(record.next_generation) + [record.generation]
        except Rejected as reason:
            self.bad(obj.path, str(reason))
            return
        if record.directory_id in self.keys.zones:
            keys = self.accepting(self.keys.zones[record.directory_id])
        obj.xattrs = read_xattrs(keys, fd, record.directory_id, lambda reason: self.bad(obj.path, reason))
        self.show(obj)

        entries = []
        for name in (os.fsencode(n) for n in os.listdir(fd)):
            if name.startswith(b".coffer-") or name.endswith(b".n"):
                continue
            try:
                entries.append((self.open_name(keys, fd, generations, record.directory_id, name), name))
            except Rejected as reason:
                self.bad(obj.path + b"/" + name, f"name: {reason}")
        for plain, name in sorted(entries):
            self.read_object(keys, fd, name, obj.path + b"/" + plain, out_fd, plain)

    def open_name(self, keys: Keys, fd: int, generations: list[int], directory_id: bytes, name: bytes) -> bytes:
        sidecar = None
        if name.startswith(b"~"):
            try:
                sidecar = read_text(fd, name + b".n", 4096)
            except FileNotFoundError:
                pass
        for g in generations[:-1]:
            try:
                return open_name(keys, g, directory_id, name, sidecar)
            except Rejected:
                pass
        return open_name(keys, generations[-1], directory_id, name, sidecar)

    def read_object(self, keys: Keys, fd: int, name: bytes, path: bytes, out_fd: int, plain: bytes) -> None:
        st = os.lstat(name, dir_fd=fd)
        obj = Object(path, TYPES[stat.S_IFMT(st.st_mode)], st)
        if self.output and obj.type != "dir" and self.output.link(st, out_fd, plain):
            out_fd = -1  # its content is there
        inner = out = -1
        try:
            if obj.type == "dir":
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
                if out_fd >= 0:
                    os.mkdir(plain, 0o700, dir_fd=out_fd)
                    out = os.open(plain, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=out_fd)
                self.read_directory(keys, inner, obj, None, out)
            elif obj.type == "file":
                inner = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
                if out_fd >= 0:
                    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                    out = os.open(plain, flags, 0o600, dir_fd=out_fd)
                self.read_file(keys, inner, obj, out)
            else:
                self.read_other(keys, fd, name, obj, out_fd, plain)
            if out_fd >= 0 and self.output:
                self.output.attributes(obj, out_fd, plain)
                if obj.type != "dir":
                    self.output.remember(st, out_fd, plain)
        except Rejected as reason:
            self.bad(path, str(reason))
        finally:
            for f in (inner, out):
                if f >= 0:
                    os.close(f)

    def read_file(self, keys: Keys, fd: int, obj: Object, out: int) -> None:
        content = File(keys, fd)
        obj.size = content.size
        if out >= 0:
            os.ftruncate(out, content.size)
        digest = Digest(content.size)
        for offset, data in content.pages():
            digest.add(offset, data)
            if out >= 0 and os.pwrite(out, data, offset) != len(data):
                raise OSError("short write")
        obj.digest = digest.text()
        obj.xattrs = read_xattrs(keys, fd, content.file_id, lambda reason: self.bad(obj.path, reason))
        self.show(obj)

    def read_other(self, keys: Keys, fd: int, name: bytes, obj: Object, out_fd: int, plain: bytes) -> None:
        if obj.type == "link":
            obj.target = open_link(keys, os.readlink(name, dir_fd=fd), self.link_body)
            obj.size = len(obj.target)
        path = f"/proc/self/fd/{fd}/".encode() + name
        obj.xattrs = read_xattrs(keys, os.fsdecode(path), NO_ID, lambda reason: self.bad(obj.path, reason))
        self.show(obj)
        if out_fd < 0:
            return
        if obj.type == "link":
            os.symlink(obj.target, plain, dir_fd=out_fd)
        else:
            os.mknod(plain, stat.S_IFMT(obj.st.st_mode) | 0o600, obj.st.st_rdev, dir_fd=out_fd)

    def link_body(self, name: bytes) -> bytes:
        fd = os.open(os.path.join(self.directory, b".coffer", b"links"), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return read_small(fd, name, 8192)
        except OSError as error:
            raise Rejected(f"the body of a link: {error.strerror}") from None
        finally:
            os.close(fd)


def main() -> int:
    parser = argparse.ArgumentParser(description="Reads a coffer volume without coffer.")
    parser.add_argument("dir")
    secrets = parser.add_mutually_exclusive_group(required=True)
    for kind in ("passphrase", "key", "recovery-key", "identity"):
        secrets.add_argument(f"--{kind}-file", metavar="F")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("verb", choices=["list", "extract"])
    parser.add_argument("out", nargs="?")
    options = parser.parse_args()
    if (options.verb == "extract") != (options.out is not None):
        parser.error("extract needs OUT, list does not")

    sys.setrecursionlimit(20000)
    try:  # one or two descriptors for each level of directories
        import resource

        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ImportError, OSError, ValueError):
        pass

    rejected = 0

    def bad(path: bytes, reason: str) -> None:
        nonlocal rejected
        rejected += 1
        print(f"rejected {escape(path)}: {reason}", file=sys.stderr)

    def show(obj: Object) -> None:
        print(obj.json() if options.json else obj.line())

    try:
        if options.passphrase_file:
            secret = Secret.from_file("passphrase", options.passphrase_file)
        elif options.key_file:
            secret = Secret.from_file("key-file", options.key_file)
        elif options.identity_file:
            secret = Secret.from_file("identity", options.identity_file)
        else:
            secret = Secret.from_file("recovery-key", options.recovery_key_file)
        keys = unlock(os.fsencode(options.dir), secret)
        Reader(os.fsencode(options.dir), keys, show, bad).run(os.fsencode(options.out) if options.out else None)
    except Damage as reason:
        print(f"damaged: {reason}", file=sys.stderr)
        return 3
    except Unsupported as reason:
        print(f"unsupported: {reason}", file=sys.stderr)
        return 4
    except WrongSecret as reason:
        print(f"wrong secret: {reason}", file=sys.stderr)
        return 5
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 1 if rejected else 0


if __name__ == "__main__":
    sys.exit(main())
