"""The agent that holds the keys of a keyring for its user."""

import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import threading
import time
import unittest
from pathlib import Path

import cli
import opened

SCALE = int(os.environ.get("COFFER_TEST_SCALE") or 1)
YAML = b"db:\n  user: app\n  password: hunter2  # secret\nlist: [one, two]\n"


class Agent(cli.Case):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("run"), 0o700)
        self.environment = {**os.environ, "XDG_RUNTIME_DIR": self.path("run")}
        self.vault = self.volume()
        self.keyring = ("--keyring", self.vault)
        self.good("field", "domain", "create", "mail", *self.keyring, "--key-file", self.key)
        self.addCleanup(self.end)

    def good(self, *words, **kw):
        return super().good(*words, env=self.environment, **kw)

    def bad(self, *words, **kw):
        return super().bad(*words, env=self.environment, **kw)

    def start(self, *options):
        self.good("field", "agent", *self.keyring, "--key-file", self.key, *options)
        self.pid = int(self.status().split(" ")[1][:-1])

    def status(self):
        return self.good("field", "agent", *self.keyring, "--status").out

    def alive(self):
        return cli.run("field", "agent", *self.keyring, "--status", env=self.environment).status == 0

    def end(self):
        cli.run("field", "agent", *self.keyring, "--stop", env=self.environment)

    def wait_for_end(self, seconds=20):
        """Of the process, too."""
        for _ in range(50 * seconds):
            try:
                state = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
            except (FileNotFoundError, ProcessLookupError):
                break
            if state == "Z":
                break
            time.sleep(0.02)
        else:
            self.fail("the agent goes on")
        self.assertFalse(self.alive())
        self.assertEqual(os.listdir(self.path("run/coffer")), [])

    def sealed(self, name="a.yaml", text=YAML, *options):
        path = Path(self.file(name, text))
        super().good("field", "encrypt", path, "-i", *self.keyring, "--key-file", self.key, *options)
        return path

    def test_verbs_ask_it(self):
        path = self.sealed()
        self.bad(cli.NO_SECRET, "field", "get", path, "db.password", *self.keyring)
        self.start()
        self.assertEqual(self.good("field", "get", path, "db.password", *self.keyring).out, "hunter2\n")
        self.assertEqual(self.good("field", "textconv", path, *self.keyring).out.encode(), YAML)
        self.good("field", "set", path, "db.password", *self.keyring, input=b"other")
        self.good("field", "rotate", path, *self.keyring)
        self.assertEqual(self.good("field", "decrypt", path, *self.keyring).out.encode(), YAML.replace(b"hunter2", b"other"))
        # What the agent made opens without it, and the reverse.
        out = super().good("field", "decrypt", path, *self.keyring, "--key-file", self.key).out
        self.assertEqual(out.encode(), YAML.replace(b"hunter2", b"other"))
        key = super().good("field", "pubkey", *self.keyring, "--key-file", self.key).out
        self.assertEqual(self.good("field", "pubkey", *self.keyring).out, key)
        rows = self.sealed("a.csv", b"mail\na\nb\n", "--domain", "mail", "--bind", "none")
        again = self.file("b.csv", b"mail\na\nb\n")
        self.good("field", "encrypt", again, "-i", "--domain", "mail", "--bind", "none", *self.keyring)
        self.assertEqual(Path(again).read_bytes(), rows.read_bytes())

    def test_errors_are_the_same(self):
        path = self.sealed(text=b"a: 1\nb: 2\n")
        lines = path.read_bytes().splitlines(True)
        path.write_bytes(b"a" + lines[1][1:] + lines[1])
        mine = self.bad(cli.FAILED, "field", "decrypt", path, *self.keyring, "--key-file", self.key, says="another place").err
        self.start()
        self.assertEqual(self.bad(cli.FAILED, "field", "decrypt", path, *self.keyring, says="another place").err, mine)
        other = self.sealed("b.yaml")
        self.bad(cli.USAGE, "field", "encrypt", self.file("c.yaml", YAML), "--mode", "x", *self.keyring, says="mode")
        self.bad(cli.FAILED, "field", "encrypt", self.file("c.yaml", YAML), "--domain", "no", *self.keyring, says="domain create no")
        self.bad(cli.FAILED, "field", "decrypt", other, "--context", "x", *self.keyring, says="context")

    def test_large_values(self):
        text = b"a: " + b"x" * (3 << 20) + b"\n"
        path = Path(self.file("a.yaml", text))
        self.start()
        self.good("field", "encrypt", path, "-i", *self.keyring)
        self.assertEqual(self.good("field", "decrypt", path, *self.keyring).out.encode(), text)

    def test_change_of_the_keyring_ends_it(self):
        path = self.sealed()
        self.start()
        super().good("key", "rotate", self.vault, "--scope", "fields", "--key-file", self.key)
        self.bad(cli.NO_SECRET, "field", "get", path, "db.password", *self.keyring)
        self.wait_for_end()

    def test_a_copy_of_the_keyring_is_another_one(self):
        path, copy = self.sealed(), self.path("copy")
        shutil.copytree(self.vault, copy, symlinks=True)
        self.start()
        self.bad(cli.NO_SECRET, "field", "get", path, "db.password", "--keyring", copy)
        os.symlink(self.vault, self.path("link"))
        self.good("field", "get", path, "db.password", "--keyring", self.path("link"))

    def test_times(self):
        if SCALE > 1:
            self.skipTest("waits, and shows nothing more here")
        other = self.volume("other")
        self.good("field", "agent", "--keyring", other, "--key-file", self.key, "--idle", "2s")
        self.start("--time", "2s")
        self.wait_for_end()
        self.bad(cli.FAILED, "field", "agent", "--keyring", other, "--status", says="no agent")
        self.start("--idle", "10m", "--time", "2h")
        self.assertRegex(self.status(), r"^process \d+, (7200|719\d) s left, (600|59\d) s without use\n$")
        for wrong in ("0s", "10", "x", "1mm", "-1m", "99999999999999999999s", "400d", ""):
            self.bad(cli.USAGE, "field", "agent", *self.keyring, "--time", wrong, says="--time")

    def test_its_end(self):
        self.start()
        self.bad(cli.IN_USE, "field", "agent", *self.keyring, "--key-file", self.key, says="--stop")
        self.good("field", "agent", *self.keyring, "--stop")
        self.wait_for_end()
        self.bad(cli.FAILED, "field", "agent", *self.keyring, "--stop", says="no agent")
        for number in (signal.SIGTERM, signal.SIGHUP):
            self.start()
            os.kill(self.pid, number)
            self.wait_for_end()
        self.start()
        os.kill(self.pid, signal.SIGKILL)
        while self.alive():
            time.sleep(0.01)
        self.start()  # over the dead socket

    def test_wrong_secret(self):
        super().bad(cli.WRONG_SECRET, "field", "agent", *self.keyring, "--key-file", self.file("k2", b"x" * 64), env=self.environment)
        super().bad(cli.NO_SECRET, "field", "agent", *self.keyring, env=self.environment)
        self.assertFalse(self.alive())

    def test_it_ends_while_somebody_works(self):
        path, started = self.sealed(), self.path("started")
        self.start()
        script = self.file("editor", b"#!/bin/sh\necho > %s\nwhile [ -e %s ]; do sleep 0.02; done\nsed -i s/hunter2/x/ \"$1\"\n" % (
            started.encode(), started.encode()))
        os.chmod(script, 0o700)
        process = cli.start([cli.COFFER, "field", "edit", path, *self.keyring], env={**self.environment, "EDITOR": script, "VISUAL": ""})
        while not os.path.exists(started):
            time.sleep(0.01)
        before = path.read_bytes()
        self.end()
        os.unlink(started)
        _, err = process.communicate(timeout=cli.TIMEOUT)
        self.assertEqual(process.returncode, cli.FAILED)
        self.assertIn(b"the agent ended", err)
        self.assertEqual(path.read_bytes(), before)

    def test_private(self):
        self.start()
        st = os.stat(self.path("run/coffer")), os.stat(self.address())
        self.assertEqual([stat.S_IMODE(s.st_mode) for s in st], [0o700, 0o600])
        if os.geteuid() == 0:
            core = Path(f"/proc/{self.pid}/limits").read_text()
            self.assertRegex(core, r"Max core file size +0 +0")
            self.assertIn("VmLck", Path(f"/proc/{self.pid}/status").read_text())
        self.assertEqual({os.readlink(f"/proc/{self.pid}/fd/{i}") for i in (0, 1, 2)} if os.geteuid() == 0 else {"/dev/null"}, {"/dev/null"})

    def address(self):
        (name,) = os.listdir(self.path("run/coffer"))
        return self.path("run/coffer", name)

    def hello(self):
        st = os.stat(os.path.join(self.vault, ".coffer/keyring.json"))
        return struct.pack("<IIIIIQQ", 32, 1, 4, 1, 16, st.st_dev, st.st_ino)

    def talk(self, data):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(self.address())
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: s.recv(65536), b""))
            except (ConnectionResetError, BrokenPipeError):
                return b""

    def test_others_are_not_answered(self):
        if os.geteuid():
            self.skipTest("needs root")
        self.start()
        self.assertIn(b"mail", self.talk(self.hello()))
        address = self.address()
        for path in (self.top, self.path("run"), self.path("run/coffer"), address):
            os.chmod(path, 0o777)  # as nobody would
        program = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(bytes.fromhex(sys.argv[2])); " \
                  "sys.exit(len(s.recv(100)))"
        result = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", "/usr/bin/python3", "-c", program, address, self.hello().hex()],
                                capture_output=True, timeout=60)
        self.assertTrue(result.returncode == 0 or b"ConnectionReset" in result.stderr or b"BrokenPipe" in result.stderr, result.stderr)
        # And a directory that others may write is not used.
        self.assertFalse(self.alive())
        os.chmod(self.path("run/coffer"), 0o700)
        self.assertTrue(self.alive())

    def test_nonsense(self):
        """Whatever comes: it answers the next one."""
        self.start()
        part = lambda b: struct.pack("<I", len(b)) + b  # noqa: E731
        frame = lambda code, body: struct.pack("<II", len(body) + 4, code & 0xffffffff) + body  # noqa: E731
        good = part(b"r") + part(bytes(4)) + part(b"") + part(b"\0") + part(b"") + part(b"") + part(b"v") + part(b"v")
        self.assertIn(b"coffer1r.", self.talk(frame(2, good)))
        cases = [b"x", b"\xff" * 8, struct.pack("<I", 1), frame(0, b""), frame(99, b""), frame(-1, b""), frame(2, b""), frame(1, part(b"")),
                 frame(1, part(struct.pack("<I", 2))), frame(2, good[:-1]), frame(2, good.replace(b"r", b"z", 1)), frame(3, good),
                 frame(2, good.replace(part(bytes(4)), part(b"\x07\0\0\0"), 1)), frame(2, good.replace(part(b"\0"), part(b"\x09"), 1)),
                 frame(3, part(b"\0") + part(b"") + part(b"") + part(b"coffer1r.x")), frame(2, struct.pack("<I", 0xfffffff0) + good),
                 frame(2, good)[:-3]]
        for case in cases:
            out = self.talk(case)
            self.assertTrue(out == b"" or struct.unpack("<i", out[4:8])[0] < 0, case)
            self.assertTrue(self.alive())
        # One that says half a request does not keep the others waiting.
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.address())
            s.sendall(frame(2, good)[:-3])
            self.assertTrue(self.alive())
            s.sendall(frame(2, good)[-3:])
            self.assertIn(b"coffer1r.", s.recv(1000))

    def test_many_at_once(self):
        self.start()
        bad = []

        def work(i):
            text = b"".join(b"k%d: v%d-%d\n" % (j, i, j) for j in range(200))
            path = self.file(f"{i}.yaml", text)
            a = cli.run("field", "encrypt", path, "-i", *self.keyring, env=self.environment)
            b = cli.run("field", "decrypt", path, *self.keyring, env=self.environment)
            if a.status or b.out.encode() != text:
                bad.append((a.err, b.err))

        threads = [threading.Thread(target=work, args=(i,)) for i in range(max(2, 8 // SCALE))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(bad, [])

    def test_library(self):
        if os.environ.get("SANITIZE", "none") != "none":
            self.skipTest("the interpreter has no sanitizer")
        path = self.sealed("a.csv", b"mail\na@b\n", "--domain", "mail", "--bind", "none")
        self.start()
        program = """
import ctypes, sys
lib = ctypes.CDLL(sys.argv[1])
class Place(ctypes.Structure):
    _fields_ = [(n, ctypes.c_char_p) for n in ("context", "table", "field", "record", "domain")] + [("free", ctypes.c_bool)]
k, error, token = ctypes.c_void_p(), ctypes.create_string_buffer(300), ctypes.c_char_p()
if lib.coffer_field_open(sys.argv[2].encode(), None, None, ctypes.byref(k), error, 300):
    sys.exit(error.value.decode())
place = Place(None, None, None, None, b"mail", True)
lib.coffer_field_encrypt(k, ctypes.byref(place), 0, b"a@b", ctypes.c_size_t(3), ctypes.byref(token))
print(token.value.decode())
lib.coffer_field_close(ctypes.byref(k))
"""
        argv = ["/usr/bin/python3", "-c", program, os.environ["LIBRARY"], self.vault]
        result = cli.run_program(argv, env=self.environment)
        self.assertEqual(result.out.strip(), path.read_text().split()[1], result.err)
        self.end()
        self.assertIn("coffer field agent", cli.run_program(argv, env=self.environment).err)


def tearDownModule():
    opened.finish()


if __name__ == "__main__":
    unittest.main(verbosity=2)
