"""Keys in a KMIP server as protectors, and the lease of what they open (protector_kmip.c (1) to (4), lease.h, kmip_main.c)."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import unittest

import keyd
import kmip
from keyd import DAMAGED, LONG, TIMEOUT, USAGE
from volumes import REFUSED, UNREACHABLE, Commands, Impostor, wait_until

HELPER = os.path.join(os.environ.get("COFFER_LIBEXEC_DIR", "/nonexistent"), "coffer-kmip")


@unittest.skipUnless(kmip.SERVER, "no PyKMIP")
class Case(Commands, unittest.TestCase):
    """One server for all tests of a class; keys and volumes of one's own."""

    @classmethod
    def setUpClass(cls):
        top = tempfile.mkdtemp(prefix="coffer-kmip.")
        cls.addClassCleanup(shutil.rmtree, top, ignore_errors=True)
        cls.server = kmip.Server(top)
        cls.server.client("host")
        cls.server.client("other")
        cls.server.authority("ca2")
        cls.server.start()
        cls.addClassCleanup(cls.server.kill)

    def setUp(self):
        self.top = tempfile.mkdtemp(prefix="coffer-kmip.")
        self.addCleanup(shutil.rmtree, self.top, ignore_errors=True)
        super().setUp()
        self.volume = self.path("v")
        self.at = f"localhost:{self.server.port}"

    def path(self, name):
        return os.path.join(self.top, name)

    def where(self, at=None, who="host", ca="ca"):
        return ("--kmip", at or self.at, "--kmip-ca", self.server.path(ca + ".pem"), "--kmip-cert", self.server.path(who + ".pem"),
                "--kmip-private-key", self.server.path(who + ".key"))

    def make_volume(self, **more):
        self.key = self.server.key("host")
        self.good("init", self.volume, *self.where(**more), "--kmip-key", self.key, "--no-recovery-key")

    def config(self, at, who="host", ca=None):
        path = self.path("kmip.conf")
        with open(path, "w") as f:
            f.write(f"servers = {at}\nca = {ca or self.server.path('ca.pem')}\ncert = {self.server.path(who + '.pem')}\n"
                    f"key = {self.server.path(who + '.key')}\n")
        return path


class Lease(Case):
    def test_states(self):
        """Revoked: the mount locks itself, nobody else's root unlocks it. Active again: it goes on. Not to be used by this host, destroyed: the same."""
        self.make_volume(at="localhost:1," + self.at)  # of two servers one is away
        point = self.mount("lease=1s")
        lease = self.lease()
        self.assertEqual((lease["state"], lease["by"], lease["key"], lease["version"]), ("held", "kmip", self.key, None))
        self.assertIn(f"held: key {self.key}, renewed", self.good("status", self.volume))
        with open(f"/proc/{self.status()['process']['pid']}/maps") as f:
            self.assertNotRegex(f.read(), "libssl|libcrypto")  # that is the helper's (talk.h (1))
        with open(point + "/f", "w") as f:
            f.write("kept")
        self.server.revoke("host", self.key)
        self.wait_state("denied", 5)
        self.assertTrue(self.away(point + "/f"))
        self.assertIn("deactivated", self.lease()["reason"])
        self.assertIn("until the KMIP server lets it go on", self.good("status", self.volume))
        self.bad(REFUSED, "unlock", point, says="the KMIP server")
        self.server.put_state(self.key, kmip.ACTIVE)
        self.wait_state("held")
        wait_until("it goes on", lambda: not self.away(point + "/f"))
        self.server.put_owner(self.key, "other")  # it may not be used any more
        self.wait_state("denied")
        self.assertIn("cannot be used", self.lease()["reason"])
        self.server.put_owner(self.key, "host")
        self.wait_state("held")
        wait_until("it goes on", lambda: not self.away(point + "/f"))
        self.server.revoke("host", self.key, compromised=True)
        self.server.destroy("host", self.key)
        self.wait_state("denied")
        wait_until("destroyed", lambda: "Could not locate" in self.lease()["reason"])
        self.good("umount", point)
        self.bad(REFUSED, "mount", self.volume, point, says="has no key")

    def test_away(self):
        """Without the server: on for the grace period, then locked, and on when it is back. On its port nobody locks the mount who is not the server."""
        self.make_volume()
        other = self.server.issue("impostor", "subjectAltName=DNS:localhost", by="ca2")
        point = self.mount("lease=1s", "grace=3s", "kmip_config=" + self.config(self.at))
        with open(point + "/f", "w") as f:
            f.write("kept")
        self.server.kill()
        self.addCleanup(lambda: self.server.process or self.server.start())
        not_found = kmip.failure(kmip.GET_ATTRIBUTES, kmip.ITEM_NOT_FOUND, "gone")
        impostor = Impostor(*other, ask=self.server.path("ca.pem"), answer=not_found, port=self.server.port)
        impostor.start()
        wait_until("met", lambda: "unable to get local issuer certificate" in self.lease()["reason"])
        self.assertEqual((self.lease()["state"], self.away(point + "/f")), ("unreachable", False))
        impostor.stop()
        self.wait_state("expired")
        wait_until("locked", lambda: self.away(point + "/f"))
        self.server.start()
        self.wait_state("held")
        wait_until("it goes on", lambda: not self.away(point + "/f"))
        self.good("umount", point)


class Talk:
    """coffer-kmip by itself."""

    def __init__(self, case, at, ca):
        self.process = subprocess.Popen([HELPER, "talk"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        case.addCleanup(self.end)
        for frame in (at, ca, case.server.path("host.pem"), case.server.path("host.key")):
            self.put(frame.encode())

    def put(self, data):
        self.process.stdin.write(len(data).to_bytes(4, "little") + data)
        self.process.stdin.flush()

    def get(self):
        return self.process.stdout.read(int.from_bytes(self.process.stdout.read(4), "little"))

    def ask(self, line, *frames):
        self.put(line.encode())
        self.put(b"".join(len(f).to_bytes(4, "little") + f for f in frames))
        return self.get().decode(), self.get()

    def end(self):
        if self.process.stdin.closed:
            return
        self.process.stdin.close()
        self.process.wait(TIMEOUT)
        self.process.stdout.close()


class Believed(Case):
    def test_answers(self):
        """What a server says that has proved who it is, and what counts as nothing."""
        cert = self.server.issue("impostor", "subjectAltName=DNS:localhost", by="ca2")
        trusted = self.path("both.pem")
        with open(trusted, "w") as f:
            for name in ("ca", "ca2"):
                with open(self.server.path(name + ".pem")) as g:
                    f.write(g.read())
        deep = b""
        for _ in range(20):
            deep = kmip.item(0x7B, kmip.STRUCTURE, [deep])
        refuse = kmip.failure
        meetings = (
            (refuse(11, kmip.ITEM_NOT_FOUND, "gone\n"), "refused not-found gone?"),
            (refuse(11, 12, ""), "refused denied it does not say why"),
            (refuse(11, kmip.GENERAL_FAILURE, "busy"), "refused failed busy"),
            (refuse(31, 0, "x").replace(b"\x42\x00\x7f\x05\0\0\0\4\0\0\0\1", b"\x42\x00\x7f\x05\0\0\0\4\0\0\0\0"), "none to what was asked"),
            (b"HTTP/1.1 200 OK\r\n\r\n", "does not speak KMIP"),
            (bytes([0x42, 0, 0x7B, 1, 0, 1, 0, 0]), "does not speak KMIP"),
            (refuse(11, 1, "gone")[:-1] + b"\1", "none to what was asked"),
            (deep, "none to what was asked"),
        )
        for answer, says in meetings:
            with self.subTest(says=says):
                impostor = Impostor(*cert, ask=self.server.path("ca.pem"), answer=answer)
                impostor.start()
                talk = Talk(self, f"localhost:{impostor.port}", trusted)
                line, _ = talk.ask("STATE 1")
                talk.end()
                self.assertIn(says, line)
                self.assertTrue(line.startswith("refused" if says.startswith("refused") else "unreachable"), line)
                impostor.stop()
        # One that does not ask for our certificate does not know whom it answers; one that fails is not the last that is asked.
        impostor = Impostor(*cert, answer=meetings[0][0])
        impostor.start()
        self.assertIn("does not ask for a certificate", Talk(self, f"localhost:{impostor.port}", trusted).ask("STATE 1")[0])
        impostor.stop()
        impostor = Impostor(*cert, ask=self.server.path("ca.pem"), answer=meetings[2][0])
        impostor.start()
        key = self.server.key("host")
        talk = Talk(self, f"localhost:{impostor.port}\n{self.at}", trusted)
        self.assertEqual(talk.ask("STATE " + key)[0], "done active")
        impostor.stop()
        self.assertEqual(talk.ask("STATE " + key)[0], "done active")
        for request, says in (("STATE", "no identifier"), ("STATE " + 129 * "k", "no identifier"), ("SEAL " + key, "cut short"), ("X " + key, "no request")):
            self.assertIn("unusable " + says if says[0] == "n" else says, talk.ask(request)[0])

    def test_suites(self):
        """It offers the eight suites and TLS 1.2, nothing else."""
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen(1)
            talk = Talk(self, f"localhost:{s.getsockname()[1]}", self.server.path("ca.pem"))
            talk.put(b"STATE 1")
            talk.put(b"")
            peer, _ = s.accept()
            self.assert_the_eight(peer.recv(4096))
            peer.close()
        self.assertIn(b"unreachable", talk.get())


class Protector(Case):
    def test_life(self):
        """Beside another secret, alone, at a keyring that stands alone; with a new root."""
        secret = self.path("secret.key")
        with open(secret, "wb") as f:
            f.write(os.urandom(64))
        key = self.server.key("host")
        self.good("init", self.volume, "--key-file", secret, "--no-recovery-key")
        out = self.good("key", "add", self.volume, *self.where(), "--kmip-key", key, "--key-file", secret)
        self.assertRegex(out, r"added protector 2 \(kmip\)\nthese open it as well.*the KMIP server.*\n  1  key-file")
        self.good("key", "test", self.volume)
        self.good("key", "test", self.volume, "--key-file", secret)
        before = json.loads(self.good("status", self.volume, "--json"))["fingerprint"]
        self.assertIn("protector 1 (key-file", self.good("key", "rotate", self.volume, "--root"))
        out = json.loads(self.good("key", "list", self.volume, "--json"))
        self.assertEqual([(p["type"], p["detail"]) for p in out["protectors"]], [("kmip", f"{key} at {self.at}")])
        self.assertNotEqual(json.loads(self.good("status", self.volume, "--json"))["fingerprint"], before)
        self.good("check", self.volume)
        self.good("key", "add", self.volume, "--new-key-file", secret, "--kmip-config", self.config(self.at))
        out = json.loads(self.good("key", "add", self.volume, "--kmip-key", key, "--new-kmip-config", self.config(self.at), "--only", "--json"))
        self.assertEqual([p["type"] for p in out["protectors"]], ["kmip"])
        lone = self.path("fields.keyring")
        self.good("key", "init", lone, *self.where(), "--kmip-key", key, "--no-recovery-key")
        self.good("key", "test", lone)

    def test_refused(self):
        """Nothing is made by a key that could not be relied on, or a server that is not trusted."""
        def refused(status, says, *words):
            self.bad(status, "init", self.volume, *words, "--no-recovery-key", says=says)
            self.assertFalse(os.path.exists(self.volume))

        key, pre_active = self.server.key("host"), self.server.key("host", active=False)
        refused(REFUSED, "has no key 999", *self.where(), "--kmip-key", "999")
        refused(REFUSED, "is not Active", *self.where(), "--kmip-key", pre_active)
        refused(REFUSED, "256 bits", *self.where(), "--kmip-key", self.server.key("host", length=128))
        refused(REFUSED, "refuses the key", *self.where(who="other"), "--kmip-key", key)
        refused(UNREACHABLE, "its certificate does not do", *self.where(ca="ca2"), "--kmip-key", key)
        refused(UNREACHABLE, "cannot be reached", *self.where(at="localhost:1"), "--kmip-key", key)
        refused(USAGE, "no address of a KMIP server", *self.where(at="https://localhost"), "--kmip-key", key)
        refused(USAGE, "--kmip-key", *self.where())
        refused(USAGE, "--kmip-ca", *self.where()[:2], "--kmip-key", key)
        refused(USAGE, "--kmip-key: it", *self.where(), "--kmip-key", "a b")

    def test_other_hosts_and_changes(self):
        """The server vouches for no root; what the keyring says is only whom to ask."""
        self.make_volume()
        env = {**self.env, "COFFER_STATE_DIR": self.path("elsewhere")}
        root = json.loads(self.good("status", self.volume, "--json"))["fingerprint"].replace(" ", "")
        self.bad(REFUSED, "key", "test", self.volume, env=env, says="who may use the key in the KMIP server")
        self.bad(REFUSED, "key", "test", self.volume, "--kmip-config", self.config(self.at), env=env, says=root[:8])
        self.good("key", "test", self.volume, "--expect-root", root, env=env)
        self.bad(UNREACHABLE, "key", "test", self.volume, "--kmip-config", self.config("localhost:1"))
        with open(self.config(self.at), "a") as f:
            f.write("renew-days = 30\n")  # certificates come from elsewhere
        self.bad(USAGE, "key", "test", self.volume, "--kmip-config", self.path("kmip.conf"), says="line 5: expected servers, ca, cert or key, ")
        good = self.path("good")
        shutil.copytree(self.volume, good, symlinks=True)

        def changed(status, says="", **members):
            with self.subTest(members=members):
                self.put_protector(**members)
                self.bad(status, "key", "test", self.volume, says=says)
                shutil.rmtree(self.volume)
                shutil.copytree(good, self.volume, symlinks=True)

        malformed = ({"key": ""}, {"key": "a b"}, {"key": 129 * "k"}, {"servers": ""}, {"servers": 2401 * "h"}, {"ca": "ca.pem"},
                     {"iv": keyd.b64(bytes(11))}, {"value": keyd.b64(bytes(32))}, {"value": None})
        for members in malformed if LONG else malformed[::3]:
            changed(DAMAGED, **members)
        changed(REFUSED, "Operation failed", value=keyd.b64(bytes(48)))
        changed(REFUSED, "Operation failed", iv=keyd.b64(bytes(12)))
        changed(REFUSED, "Operation failed", key=self.server.key("host"))
        changed(UNREACHABLE, servers="localhost:1")
        changed(DAMAGED, "without its keys", servers="127.0.0.1:" + str(self.server.port))
        # Sealed for another volume (2).
        other = self.path("w")
        self.good("init", other, *self.where(), "--kmip-key", self.key, "--no-recovery-key")
        with open(other + "/.coffer/keyring.json") as f:
            p = json.loads(f.read().split("\n#coffer-seal")[0])["protectors"][0]
        changed(REFUSED, "Operation failed", iv=p["iv"], value=p["value"])
        self.good("key", "test", self.volume)


if __name__ == "__main__":
    unittest.main()
