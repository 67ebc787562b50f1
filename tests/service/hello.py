"""A TLS client that is only a hello, made by hand: what a server answers to exactly these bytes (RFC 5246, RFC 8446)."""

import os
import socket
import struct

ALERT, HANDSHAKE = 21, 22
SERVER_HELLO, CERTIFICATE, SERVER_KEY_EXCHANGE, SERVER_HELLO_DONE = 2, 11, 12, 14
PROTOCOL_VERSION, HANDSHAKE_FAILURE = 70, 40
SIGNATURE_ALGORITHMS, ENCRYPT_THEN_MAC, EXTENDED_MASTER_SECRET, SESSION_TICKET, SUPPORTED_VERSIONS, RENEGOTIATION_INFO = 13, 22, 23, 35, 43, 0xFF01
X25519, P256, P384 = 29, 23, 24
SIGNATURES = [0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601]
EVERY_EXTENSION = (ENCRYPT_THEN_MAC, EXTENDED_MASTER_SECRET, SESSION_TICKET)


def u16s(numbers):
    return b"".join(struct.pack(">H", n) for n in numbers)


def sized(data, form=">H"):
    return struct.pack(form, len(data)) + data


def hello(suites, version=0x0303, groups=(X25519, P256, P384), signatures=SIGNATURES, extensions=EVERY_EXTENSION, versions=None,
          compression=(0,), session=b"", record_version=0x0301, key_share=False):
    ext = [(10, sized(u16s(groups))), (11, sized(b"\0", ">B")), (13, sized(u16s(signatures)))]
    ext += [(e, b"") for e in extensions]
    ext.append((RENEGOTIATION_INFO, b"\0"))
    if versions is not None:
        ext.append((SUPPORTED_VERSIONS, sized(u16s(versions), ">B")))
    if key_share:
        ext.append((51, sized(struct.pack(">H", X25519) + sized(os.urandom(32)))))
    body = struct.pack(">H", version) + os.urandom(32) + sized(session, ">B") + sized(u16s(suites))
    body += sized(bytes(compression), ">B")
    if version > 0x0300:
        body += sized(b"".join(struct.pack(">H", t) + sized(d) for t, d in ext))
    message = b"\x01" + struct.pack(">I", len(body))[1:] + body
    return b"".join(bytes([HANDSHAKE]) + struct.pack(">H", record_version) + sized(message[i:i + 16384])
                    for i in range(0, len(message), 16384))


def read(s, n):
    data = b""
    while len(data) < n:
        piece = s.recv(n - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


class Answer:
    """alert: its number, or None; messages: handshake messages by type; suite, extensions ...: of the ServerHello."""

    def __init__(self, port, data):
        self.alert, self.messages, self.suite = None, {}, None
        pending = b""
        with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
            s.sendall(data)
            try:
                while SERVER_HELLO_DONE not in self.messages:
                    kind, self.record_version, size = struct.unpack(">BHH", read(s, 5))
                    content = read(s, size)
                    if kind == ALERT:
                        self.alert = content[1]
                        return
                    if kind != HANDSHAKE:
                        return
                    pending += content
                    while len(pending) >= 4 and len(pending) >= 4 + int.from_bytes(pending[1:4], "big"):
                        n = int.from_bytes(pending[1:4], "big")
                        self.messages[pending[0]] = pending[4:4 + n]
                        pending = pending[4 + n:]
                        if SERVER_HELLO in self.messages and self.suite is None:
                            self.parse(self.messages[SERVER_HELLO])
            except (EOFError, ConnectionError):
                return

    def parse(self, m):
        self.version = int.from_bytes(m[:2], "big")
        at = 35 + m[34]
        self.session = m[35:at]
        self.suite = int.from_bytes(m[at:at + 2], "big")
        self.compression = m[at + 2]
        at += 5
        self.extensions = {}
        while at < len(m):
            kind, n = struct.unpack(">HH", m[at:at + 4])
            self.extensions[kind] = m[at + 4:at + 4 + n]
            at += 4 + n

    def key_exchange(self):
        """Group and signature algorithm of the ServerKeyExchange (RFC 8422, section 5.4)."""
        m = self.messages[SERVER_KEY_EXCHANGE]
        return int.from_bytes(m[1:3], "big"), int.from_bytes(m[4 + m[3]:6 + m[3]], "big")


def ask(port, *arguments, **kw):
    return Answer(port, hello(*arguments, **kw))


class Offer:
    """What a client says in its hello: version, suites, extensions, signature algorithms."""

    def __init__(self, data):
        self.version = int.from_bytes(data[9:11], "big")
        at = 43 + 1 + data[43]
        n = int.from_bytes(data[at:at + 2], "big")
        self.suites = {int.from_bytes(data[at + 2 + i:at + 4 + i], "big") for i in range(0, n, 2)}
        at += 2 + n + 2
        end = at + 2 + int.from_bytes(data[at:at + 2], "big")
        at += 2
        self.extensions, self.signatures = set(), set()
        while at < end:
            kind, n = struct.unpack(">HH", data[at:at + 4])
            self.extensions.add(kind)
            if kind == SIGNATURE_ALGORITHMS:
                self.signatures = set(struct.unpack(f">{n // 2 - 1}H", data[at + 6:at + 4 + n]))
            at += 4 + n
