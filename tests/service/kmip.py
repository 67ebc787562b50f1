"""A KMIP server of one's own (PyKMIP), and TTLV by hand for what an administrator does there (KMIP 1.4, sections 4, 6, 9)."""

import os
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import time

import keyd

SERVER = shutil.which("pykmip-server")

STRUCTURE, INTEGER, ENUMERATION, TEXT, BYTES = 1, 2, 5, 7, 8
ACTIVE, DEACTIVATED, COMPROMISED = 2, 3, 4  # states
ITEM_NOT_FOUND, GENERAL_FAILURE = 1, 0x100  # reasons
CREATE, GET_ATTRIBUTES, ACTIVATE, REVOKE, DESTROY = 1, 11, 18, 19, 20


def item(tag, kind, value):
    if kind == STRUCTURE:
        data = b"".join(value)
    elif kind == TEXT:
        data = value.encode()
    else:
        data = value if kind == BYTES else struct.pack(">i" if kind == INTEGER else ">I", value)
    return struct.pack(">I", 0x42000000 | tag << 8 | kind) + struct.pack(">I", len(data)) + data + bytes(-len(data) % 8)


def parse(data):
    """[(tag, value), ...]; of a structure the value is such a list."""
    out = []
    while data:
        head, n = struct.unpack(">II", data[:8])
        kind, value = head & 0xFF, data[8:8 + n]
        if kind == STRUCTURE:
            value = parse(value)
        elif kind in (INTEGER, ENUMERATION):
            value = int.from_bytes(value, "big")
        out.append((head >> 8 & 0xFFFF, value))
        data = data[8 + n + -n % 8:]
    return out


def find(items, *path):
    for tag in path:
        items = next((v for t, v in items if t == tag), None)
        if items is None:
            return None
    return items


def attribute(name, kind, value):
    return item(0x08, STRUCTURE, [item(0x0A, TEXT, name), item(0x0B, kind, value)])


def failure(operation, reason, message):
    """A response that refuses."""
    version = item(0x69, STRUCTURE, [item(0x6A, INTEGER, 1), item(0x6B, INTEGER, 4)])
    return item(0x7B, STRUCTURE, [item(0x7A, STRUCTURE, [version, item(0x0D, INTEGER, 1)]),
                                  item(0x0F, STRUCTURE, [item(0x5C, ENUMERATION, operation), item(0x7F, ENUMERATION, 1),
                                                         item(0x7E, ENUMERATION, reason), item(0x7D, TEXT, message)])])


class Server:
    """pykmip-server with an authority, a certificate for localhost, and clients."""

    def __init__(self, top):
        self.top, self.process, self.port = top, None, 0
        os.makedirs(self.path("policy"))
        self.authority("ca")
        self.issue("server", "subjectAltName=DNS:localhost,IP:127.0.0.1", "extendedKeyUsage=serverAuth")

    def path(self, name):
        return os.path.join(self.top, name)

    def authority(self, name):
        keyd.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.path(name + ".key"),
                     "-out", self.path(name + ".pem"), "-days", "30", "-subj", "/CN=" + name, "-addext", "basicConstraints=critical,CA:TRUE")

    def issue(self, name, *extensions, by="ca"):
        added = [a for e in extensions for a in ("-addext", e)]
        key, request, cert = (self.path(name + end) for end in (".key", ".csr", ".pem"))
        keyd.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request, "-subj",
                     "/CN=" + name, *added)
        keyd.openssl("x509", "-req", "-in", request, "-CA", self.path(by + ".pem"), "-CAkey", self.path(by + ".key"), "-out", cert, "-days",
                     "5", "-copy_extensions", "copyall")
        return cert, key

    def client(self, name):
        return self.issue(name, "extendedKeyUsage=clientAuth")

    def start(self):
        """At the port that it had, if it had one."""
        for _ in range(20):
            if not self.port:
                with socket.socket() as s:
                    s.bind(("127.0.0.1", 0))
                    self.port = s.getsockname()[1]
            with open(self.path("server.conf"), "w") as f:
                f.write(f"[server]\nhostname=127.0.0.1\nport={self.port}\ncertificate_path={self.path('server.pem')}\n"
                        f"key_path={self.path('server.key')}\nca_path={self.path('ca.pem')}\nauth_suite=TLS1.2\n"
                        f"policy_path={self.path('policy')}\nenable_tls_client_auth=True\ntls_cipher_suites=\nlogging_level=INFO\n"
                        f"database_path={self.path('db')}\n")
            self.process = subprocess.Popen([sys.executable, "-W", "ignore", SERVER, "-f", self.path("server.conf"), "-l", self.path("log")],
                                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            if self.answers():
                return self
            self.port = 0
        raise AssertionError("pykmip-server does not start")

    def answers(self):
        end = time.monotonic() + 20
        while self.process.poll() is None and time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return True
            except OSError:
                time.sleep(0.02)
        self.kill()
        return False

    def kill(self):
        """With the process that it has started to watch its policies."""
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(keyd.TIMEOUT)
            self.process = None

    # --- the administrator, who is the client that owns the keys

    def ask(self, who, operation, *payload):
        version = item(0x69, STRUCTURE, [item(0x6A, INTEGER, 1), item(0x6B, INTEGER, 4)])
        message = item(0x78, STRUCTURE, [item(0x77, STRUCTURE, [version, item(0x0D, INTEGER, 1)]),
                                         item(0x0F, STRUCTURE, [item(0x5C, ENUMERATION, operation), item(0x79, STRUCTURE, payload)])])
        tls = keyd.context(self.path("ca.pem"), self.path(who + ".pem"), self.path(who + ".key"))
        with socket.create_connection(("127.0.0.1", self.port), timeout=keyd.TIMEOUT) as plain:
            with tls.wrap_socket(plain, server_hostname="localhost") as s:
                s.sendall(message)
                data = s.recv(65536)
                while len(data) < 8 or len(data) < 8 + int.from_bytes(data[4:8], "big"):
                    data += s.recv(65536)
        answer = find(parse(data), 0x7B, 0x0F)
        if find(answer, 0x7F) != 0:
            raise AssertionError(answer)
        return find(answer, 0x7C)

    def key(self, who, length=256, active=True):
        created = self.ask(who, CREATE, item(0x57, ENUMERATION, 2), item(0x91, STRUCTURE, [
            attribute("Cryptographic Algorithm", ENUMERATION, 3), attribute("Cryptographic Length", INTEGER, length),
            attribute("Cryptographic Usage Mask", INTEGER, 0x0C)]))
        key = find(created, 0x94).decode()
        if active:
            self.ask(who, ACTIVATE, item(0x94, TEXT, key))
        return key

    def revoke(self, who, key, compromised=False):
        self.ask(who, REVOKE, item(0x94, TEXT, key), item(0x81, STRUCTURE, [item(0x82, ENUMERATION, 2 if compromised else 6)]))

    def destroy(self, who, key):
        self.ask(who, DESTROY, item(0x94, TEXT, key))

    def change(self, statement, *values):
        """What no client can do: as from a backup of the server, or by its policies."""
        with sqlite3.connect(self.path("db")) as d:
            d.execute(statement, values)
        d.close()

    def put_state(self, key, state):
        self.change("UPDATE crypto_objects SET state = ? WHERE uid = ?", state, key)

    def put_owner(self, key, who):
        self.change("UPDATE managed_objects SET owner = ? WHERE uid = ?", who, key)
