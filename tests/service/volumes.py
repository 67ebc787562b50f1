"""What the tests of the key service's clients share: coffer beside a service, a host that was accepted, volumes and mounts."""

import hashlib
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time

import hello
import keyd
from keyd import OK, TIMEOUT

COFFER = os.environ["COFFER"]
REFUSED, UNREACHABLE = 13, 14
ENOKEY = 126


def wait_until(what, true, seconds=20):
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


class Impostor(threading.Thread):
    """Answers every request of whoever comes, with one answer, over TLS (or none): what it is asked is not looked at."""

    def __init__(self, cert, key, ask=None, status="403 Forbidden", code="key_disabled", port=0, tls=True, body=None, answer=None):
        super().__init__(daemon=True)
        self.context = None
        if tls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.maximum_version = ssl.TLSVersion.TLSv1_2
            self.context.load_cert_chain(cert, key)
            if ask:
                self.context.verify_mode = ssl.CERT_REQUIRED
                self.context.load_verify_locations(ask)
        if body is None:
            body = json.dumps({"error": {"code": code, "message": "so it is said"}})
        self.answer = (f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                       f"Connection: close\r\n\r\n{body}").encode()
        if answer is not None:
            self.answer = answer
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        self.socket.listen(16)
        self.answered = self.came = 0

    def run(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            self.came += 1
            peer.settimeout(10)
            try:
                if self.context:
                    peer = self.context.wrap_socket(peer, server_side=True)
                if peer.recv(65536):
                    peer.sendall(self.answer)
                    self.answered += 1
                    peer.recv(1)
            except OSError:
                pass
            peer.close()

    def stop(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.join(TIMEOUT)


class Commands:
    """coffer, on a host that knows nothing yet (self.top is a directory of its own), and its mounts."""

    def setUp(self):
        super().setUp()
        self.env = {**os.environ, "COFFER_STATE_DIR": self.path("state"), "XDG_RUNTIME_DIR": self.top}

    def coffer(self, *arguments, input=None, env=None):
        r = subprocess.run([COFFER, *arguments], input=input, stdin=subprocess.DEVNULL if input is None else None,
                           capture_output=True, timeout=TIMEOUT, start_new_session=True, env=env or self.env)
        return r.returncode, r.stdout.decode(), r.stderr.decode()

    def good(self, *arguments, **more):
        status, out, err = self.coffer(*arguments, **more)
        self.assertEqual(status, OK, f"{arguments}: {err}")
        return out

    def bad(self, status, *arguments, says="", **more):
        got, _, err = self.coffer(*arguments, **more)
        self.assertEqual(got, status, f"{arguments}: {err}")
        self.assertIn(says, err)
        self.assertEqual(err.count("\n"), 1, err)
        return err

    def assert_the_eight(self, data):
        """A client's hello: TLS 1.2 and the eight suites, nothing else."""
        offer = hello.Offer(data)
        self.assertEqual(offer.version, 0x0303)
        self.assertEqual(offer.suites - {0x00FF}, set(keyd.SUITES.values()))
        self.assertLessEqual({hello.ENCRYPT_THEN_MAC, hello.EXTENDED_MASTER_SECRET}, offer.extensions)
        self.assertNotIn(hello.SUPPORTED_VERSIONS, offer.extensions)  # TLS 1.3
        self.assertNotIn(hello.SESSION_TICKET, offer.extensions)
        self.assertLessEqual(offer.signatures, set(hello.SIGNATURES))  # no SHA-1, no SHA-224
        self.assertTrue(offer.signatures)

    def mount(self, *options, volume=None):
        point = self.path("m")
        os.makedirs(point, exist_ok=True)
        self.good("mount", volume or self.volume, point, *(("-o", ",".join(options)) if options else ()))
        self.addCleanup(self.unmount, point)
        return point

    def unmount(self, point):
        """In whatever state it is."""
        with open("/proc/self/mounts") as f:
            if f" {point} " in f.read():
                subprocess.run(["umount", "-l", point], check=False, capture_output=True, timeout=TIMEOUT)

    def status(self):
        return json.loads(self.good("status", self.volume, "--json"))

    def lease(self):
        return self.status()["process"]["lease"]

    def wait_state(self, state, seconds=20):
        wait_until(state, lambda: self.lease()["state"] == state, seconds)

    def away(self, path):
        """Whether the mount refuses."""
        try:
            with open(path, "rb") as f:
                f.read()
            return False
        except OSError as e:
            if e.errno != ENOKEY:
                raise
            return True

    def put_protector(self, **members):
        """The keyring with other members of its protector, and the hash that belongs to it; its MAC is wrong then."""
        with open(self.volume + "/.coffer/keyring.json") as f:
            document, seal = re.fullmatch(r"(.*\n)(#coffer-seal mac=\S+ sha256=)\S+\n", f.read(), re.S).groups()
        document = json.loads(document)
        for name, value in members.items():
            if value is None:
                del document["protectors"][0][name]
            else:
                document["protectors"][0][name] = value
        text = json.dumps(document, indent=2) + "\n" + seal
        for name in ("keyring.json", "keyring.json.bak"):
            with open(self.volume + "/.coffer/" + name, "w") as f:
                f.write(text + hashlib.sha256(text.encode()).hexdigest() + "\n")


class Case(Commands, keyd.Case):
    def setUp(self):
        super().setUp()
        self.running = self.service()
        self.host = self.config("host")

    def config(self, name, port=None, **more):
        """A configuration file for `name`, whose certificate may not be there yet."""
        path = self.path(name + ".conf")
        cert = {"admin": "d/admin"}.get(name, name)
        lines = {"service": f"https://localhost:{port or self.running.port}", "ca": "d/ca.pem", "cert": cert + ".pem",
                 "key": cert + ".key", **more}
        with open(path, "w") as f:
            f.write("# of a test\n" + "".join(f"{k} = {v}\n" for k, v in lines.items()))
        return path

    def service_verb(self, *arguments, by="admin"):
        return json.loads(self.good("service", *arguments, "--config", self.path(by + ".conf"), "--json"))

    def accept(self, name="host", key="db", role="client"):
        """A client from nothing: registered, accepted, with its certificate and a grant."""
        self.config(name)
        self.config("admin")
        pending = self.service_verb("client", "register", "--name", name, by=name)
        self.assertEqual((pending["state"], pending["made"]), ("pending", True))
        self.service_verb("client", "accept", pending["fingerprint"], "--role", role)
        if key:
            self.service_verb("key", "grant", key, pending["fingerprint"])
        self.assertEqual(self.service_verb("client", "register", by=name)["state"], "accepted")
        return pending["fingerprint"]

    def make_volume(self, name="v", *options):
        """A key, a host that may use it, a volume that it alone opens."""
        self.config("admin")
        self.service_verb("key", "create", "db")
        self.fingerprint = self.accept()
        self.volume = self.path(name)
        self.good("init", self.volume, "--service-key", "db", "--service-config", self.host, "--no-recovery-key", *options)
        return self.volume

    def start_again(self, *options):
        """The service at the port that it had."""
        service = keyd.Service(self.dir, *options)
        port = self.running.port
        service.log = open(service.log_file, "ab")
        service.process = subprocess.Popen([keyd.KEYD, "run", self.dir, "--listen", f"127.0.0.1:{port}", *options], stdin=subprocess.DEVNULL,
                                           stdout=subprocess.PIPE, stderr=service.log, start_new_session=True)
        service.process.stdout.readline()
        service.port = port
        self.running = service
        self.addCleanup(service.kill)
