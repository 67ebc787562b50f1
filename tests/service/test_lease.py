"""The lease of real mounts: taken away and given back under programs that go on, the grace period, who is believed, rotation (lease.c (1) to (5))."""

import json
import mmap
import os
import re
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
import time
import unittest

import keyd
from keyd import DAMAGED, LONG
from volumes import COFFER, REFUSED, UNREACHABLE, Case, Impostor, wait_until

# Commits row after row; says each number once it is committed; goes on when it is told that the key is away.
WRITER = """
import sqlite3, sys, time
path = sys.argv[1]
n = 0
def connect():
    d = sqlite3.connect(path, timeout=10, isolation_level=None)
    d.execute("PRAGMA synchronous=FULL")
    d.execute("CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY, x BLOB)")
    return d
d = None
while True:
    try:
        d = d or connect()
        d.execute("INSERT INTO t VALUES (?, randomblob(3000))", (n,))
        print(n, flush=True)
        n += 1
    except (sqlite3.OperationalError, sqlite3.DatabaseError) as e:
        print("away", e, flush=True)
        try:
            d and d.close()
        except sqlite3.Error:
            pass
        d = None
        time.sleep(0.1)
        try:
            row = connect().execute("SELECT max(n) FROM t").fetchone()
            n = (row[0] + 1) if row[0] is not None else 0
        except sqlite3.Error:
            pass
"""

# Translates a small program again and again; says each that was made and runs as it should.
COMPILER = """
import os, subprocess, sys, time
top = sys.argv[1]
n = 0
while True:
    try:
        with open(top + "/c.c", "w") as f:
            f.write(f"#include <stdio.h>\\nint main(void) {{ printf(\\"%d\\", {n}); return 0; }}\\n")
        r = subprocess.run(["cc", "-pipe", "-o", top + "/c", top + "/c.c"], capture_output=True, text=True)
        ran = subprocess.run([top + "/c"], capture_output=True, text=True) if r.returncode == 0 else None
        if ran and ran.returncode == 0:
            print(n if ran.stdout == str(n) else "wrong " + ran.stdout, flush=True)
            n += 1
            continue
        print("away", r.stderr.strip().replace("\\n", " "), ran and ran.returncode, flush=True)
    except OSError as e:
        print("away", e, flush=True)
    time.sleep(0.1)
"""


class Program:
    """A process that prints lines."""

    def __init__(self, case, text, *arguments):
        self.process = subprocess.Popen([sys.executable, "-c", text, *arguments], stdout=subprocess.PIPE, text=True)
        self.lines = []
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()
        case.addCleanup(self.stop)

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.strip())

    def numbers(self):
        return [int(line) for line in list(self.lines) if line.isdigit()]

    def stop(self):
        self.process.kill()
        self.process.wait(keyd.TIMEOUT)
        self.thread.join(keyd.TIMEOUT)
        self.process.stdout.close()


class Lease(Case):
    def state(self):
        return self.lease()["state"]

    def touched(self, mapped):
        """How a process ends that reads the mapping."""
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGBUS, signal.SIG_DFL)
            mapped[5000]
            os._exit(0)
        return os.waitpid(child, 0)[1]

    def mount_in_front(self, *options):
        """Its log on standard error, not in syslog."""
        point, path = self.path("m"), self.path("mount.log")
        os.makedirs(point)
        with open(path, "wb") as f:
            p = subprocess.Popen([COFFER, "mount", "-f", self.volume, point, "-o", ",".join(options)], stdin=subprocess.DEVNULL, stderr=f, env=self.env)
        self.addCleanup(p.wait, keyd.TIMEOUT)
        self.addCleanup(self.unmount, point)
        wait_until("the mount", lambda: os.path.ismount(point))

        def log():
            with open(path) as f:
                return f.read()

        return point, log

    def test_taken_away_and_given_back(self):
        """A database that is written to, a compiler and a file that is mapped, across disable and enable, then delete and recover; then for a host
        that is revoked."""
        self.make_volume()
        point = self.mount("lease=1s")
        self.assertEqual(self.lease()["state"], "held")
        self.assertIn("lease        held: key db, version 1", self.good("status", self.volume))
        with open(point + "/mapped", "wb") as f:
            f.write(b"m" * 65536)
        os.mkdir(point + "/src")
        writer, compiler = Program(self, WRITER, point + "/db"), Program(self, COMPILER, point + "/src")
        wait_until("rows and programs", lambda: len(writer.numbers()) > 20 and len(compiler.numbers()) > 1)
        with open(point + "/mapped", "r+b") as f, mmap.mmap(f.fileno(), 0) as m:
            self.assertEqual(m[5000:5004], b"mmmm")
            m[100:104] = b"kept"  # not written back yet
            before = time.monotonic()
            self.service_verb("key", "disable", "db")
            self.wait_state("denied")
            self.assertLess(time.monotonic() - before, 10)
            for p in (writer, compiler):
                wait_until("it hears of it", lambda p=p: any(line.startswith("away") for line in p.lines))
            self.assertTrue(self.away(point + "/mapped"))
            self.assertEqual(self.touched(m), signal.SIGBUS)
            with self.assertRaises(OSError):
                os.listdir(point)
            status = self.status()
            self.assertTrue(status["process"]["locked"])
            self.assertIn("key_disabled", status["process"]["lease"]["reason"])
            self.assertIn("lease        denied", self.good("status", self.volume))
            # Nobody else's root unlocks it.
            self.bad(REFUSED, "unlock", point)
            seen, made = writer.numbers()[-1], len(compiler.numbers())
            before = time.monotonic()
            self.service_verb("key", "enable", "db")
            self.wait_state("held")
            wait_until("the writer goes on", lambda: writer.numbers()[-1] > seen + 5)
            wait_until("the compiler goes on", lambda: len(compiler.numbers()) > made)
            self.assertLess(time.monotonic() - before, 10)
            compiler.stop()
            self.assertNotIn("wrong", " ".join(compiler.lines))
            self.assertEqual(self.touched(m), 0)
            self.assertEqual((m[100:104], m[5000:5004]), (b"kept", b"mmmm"))
            self.service_verb("key", "delete", "db", "--days", "7")
            self.wait_state("denied")
            self.assertTrue(self.away(point + "/mapped"))
            self.assertIn("key_deleted", self.lease()["reason"])
            self.service_verb("key", "recover", "db")
            self.wait_state("held")
            self.assertEqual((m[100:104], m[5000:5004]), (b"kept", b"mmmm"))
        self.assertFalse(self.away(point + "/mapped"))
        self.service_verb("client", "revoke", self.fingerprint)
        self.wait_state("denied")
        self.assertIn("client_revoked", self.lease()["reason"])
        writer.stop()
        acknowledged = set(writer.numbers())
        self.good("umount", point)
        self.bad(REFUSED, "mount", self.volume, point, says="client_revoked")
        # What was acknowledged is there for who may look: another host.
        self.accept("second")
        self.good("mount", self.volume, point, "-o", f"service_config={self.path('second.conf')}")
        self.addCleanup(self.unmount, point)
        with sqlite3.connect(point + "/db") as d:
            self.assertEqual(d.execute("PRAGMA integrity_check").fetchone(), ("ok",))
            self.assertLessEqual(acknowledged, {r[0] for r in d.execute("SELECT n FROM t")})
        d.close()
        with open(point + "/mapped", "rb") as f:
            self.assertEqual(f.read()[100:104], b"kept")
        self.good("umount", point)
        log = self.good("key", "audit", "show", self.volume, "--service-config", self.path("second.conf"))
        self.assertGreaterEqual(log.count("unlock "), 2)

    def test_without_the_service(self):
        """Killed and started again under load: the mount goes on. Away for longer than the grace period: it locks itself, and goes on once reached."""
        self.make_volume()
        point, log = self.mount_in_front("lease=1s", "grace=3s")
        writer = Program(self, WRITER, point + "/db")
        self.running.kill()
        self.wait_state("unreachable")
        wait_until("a warning", lambda: re.search(r"is not renewed, which locks itself in \d+ minutes: .*cannot be reached", log()))
        self.assertIn("locks itself in", self.good("status", self.volume))
        count = len(writer.numbers())
        self.start_again()
        self.wait_state("held")
        wait_until("rows", lambda: len(writer.numbers()) > count)
        self.assertFalse(any(line.startswith("away") for line in writer.lines), writer.lines)
        self.running.kill()
        self.wait_state("expired")
        self.assertIn("the grace period is over, the mount locks itself", log())
        wait_until("the writer hears of it", lambda: any(line.startswith("away") for line in writer.lines))
        self.assertTrue(self.status()["process"]["locked"])
        self.bad(UNREACHABLE, "unlock", point)
        seen = writer.numbers()[-1]
        self.start_again()
        self.wait_state("held")
        wait_until("the writer goes on", lambda: writer.numbers()[-1] > seen + 5)
        writer.stop()
        self.good("umount", point)

    def test_renews_its_certificate(self):
        """The mount does, long before the end."""
        self.make_volume()

        def certificate():
            with open(self.path("host.pem")) as f:
                return f.read()

        before = certificate()
        point = self.mount("lease=1s", "service_config=" + self.config("host", **{"renew-days": "400"}))
        opened = certificate()  # by the mount verb itself, perhaps
        wait_until("a new certificate", lambda: certificate() not in (before, opened))
        self.assertEqual(self.state(), "held")
        self.good("umount", point)

    def test_the_service_is_lost_and_restored(self):
        """From a backup, elsewhere: the mount goes on, and the volume opens, with nothing else changed on the host."""
        self.make_volume()
        key, backup, ca = self.path("backup.key"), self.path("backup"), self.path("host-ca.pem")
        with open(key, "wb") as f:
            f.write(os.urandom(32))
        shutil.copy(self.dir + "/ca.pem", ca)
        self.good("key", "add", self.volume, "--service-key", "db", "--service", f"https://localhost:{self.running.port}", "--ca", ca, "--cert",
                  self.path("host.pem"), "--key", self.path("host.key"), "--only")
        point = self.mount("lease=1s", "grace=60s")
        with open(point + "/f", "w") as f:
            f.write("the payroll")
        self.assertEqual(keyd.run("backup", self.dir, "-o", backup, "--backup-key-file", key)[0], keyd.OK)
        self.running.kill()
        shutil.rmtree(self.dir)
        self.wait_state("unreachable")
        self.dir = self.path("another-machine")
        self.assertEqual(keyd.run("restore", self.dir, backup, "--backup-key-file", key, "--accept-older")[0], keyd.OK)
        self.start_again()
        self.wait_state("held")
        self.good("umount", point)
        self.mount("lease=1s")
        with open(point + "/f") as f:
            self.assertEqual(f.read(), "the payroll")
        self.good("umount", point)

    @unittest.skipUnless(LONG, "most of it is waiting")
    def test_clock_jumps(self):
        """Years forth and back, in the mount and in its helper: no jump locks it, and none gives it time that it does not have (2)."""
        self.make_volume()
        clock, real = self.path("clock"), os.path.join(os.environ["COFFER_LIBEXEC_DIR"], "coffer-service-client")

        def jump(seconds):
            with open(clock, "r+b" if os.path.exists(clock) else "wb") as f:
                f.write(struct.pack("q", seconds))

        jump(0)
        os.mkdir(self.path("libexec"))
        with open(self.path("libexec", "coffer-service-client"), "w") as f:  # which gets no environment
            f.write(f'#!/bin/sh\nCOFFER_TEST_CLOCK={clock} LD_PRELOAD={os.environ["CLOCK_SHIM"]} exec {real} "$@"\n')
        os.chmod(self.path("libexec", "coffer-service-client"), 0o755)
        self.env |= {"COFFER_LIBEXEC_DIR": self.path("libexec"), "COFFER_TEST_CLOCK": clock, "LD_PRELOAD": os.environ["CLOCK_SHIM"]}
        point = self.mount("lease=1s", "grace=5s")
        with open(point + "/f", "w") as f:
            f.write("x")

        def renewed():
            before = self.lease()["renewals"]
            wait_until("renewals", lambda: self.lease()["renewals"] > before + 1)
            self.assertEqual((self.state(), self.away(point + "/f")), ("held", False))

        for seconds in (3600, -3600, 300 * 86400):
            jump(seconds)
            renewed()
        # Where the certificate of who answers is not in date by the host's clock, he is not the service; that is no revocation, and it passes.
        for seconds, reason in ((4000 * 86400, "expired"), (-4000 * 86400, "not yet valid")):
            jump(seconds)
            renewed()  # over the connection that is there
            self.running.kill()
            self.start_again()
            wait_until(reason, lambda reason=reason: reason in self.lease()["reason"])
            self.assertEqual((self.state(), self.away(point + "/f")), ("unreachable", False))
            jump(0)
            self.wait_state("held")
            renewed()
        self.running.kill()
        self.wait_state("unreachable")
        before = time.monotonic()
        for seconds in range(5):
            jump(-86400 * seconds)
            time.sleep(0.2)
        self.wait_state("expired")
        self.assertTrue(2 < time.monotonic() - before < 15)
        self.assertTrue(self.away(point + "/f"))

    @unittest.skipUnless(LONG, "a minute of waiting")
    def test_within_a_minute(self):
        """With nothing but the defaults."""
        self.make_volume()
        point = self.mount()
        with open(point + "/f", "w") as f:
            f.write("x")
        for verb, away in (("disable", True), ("enable", False)):
            before = time.monotonic()
            self.service_verb("key", verb, "db")
            wait_until(verb, lambda away=away: self.away(point + "/f") == away, 60)
            print(f"{verb}: {time.monotonic() - before:.1f} s", file=sys.stderr)
        self.good("umount", point)

    def test_impostors(self):
        """On the service's port: nobody who is not the service, or does not know whom he answers, locks the mount (1)."""
        self.make_volume()
        own = self.self_signed("own", "subjectAltName=DNS:localhost")
        ca, ca_key = self.self_signed("ca2", "basicConstraints=critical,CA:TRUE")
        other = self.path("b.pem"), self.path("b.key")
        keyd.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", other[1], "-out",
                     self.path("b.csr"), "-subj", "/CN=b", "-addext", "subjectAltName=DNS:localhost")
        keyd.openssl("x509", "-req", "-in", self.path("b.csr"), "-CA", ca, "-CAkey", ca_key, "-out", other[0], "-days", "5",
                     "-copy_extensions", "copyall")
        point = self.mount("lease=1s")
        with open(point + "/f", "w") as f:
            f.write("x")
        port = self.running.port
        self.running.kill()
        as_client = self.path("host.pem"), self.path("host.key")

        def meet(impostor, reason, state="unreachable"):
            with self.subTest(reason=reason):
                impostor.start()
                wait_until(reason, lambda: reason in self.lease()["reason"])
                self.assertGreater(impostor.came, 0)
                self.assertEqual(self.state(), state)
                self.assertEqual(self.away(point + "/f"), state == "denied")
            impostor.stop()

        our = {"ask": self.dir + "/ca.pem", "port": port}
        meet(Impostor(*other, **our), "unable to get local issuer certificate")
        if LONG:
            meet(Impostor(*own, **our), "self-signed certificate")
        meet(Impostor(*as_client, **our), "unsuitable certificate purpose")
        meet(Impostor(None, None, tls=False, port=port), "wrong version number")
        # From here on the other authority is trusted, as it may be for another program on the service's machine.
        with open(self.dir + "/ca.pem", "a") as f, open(ca) as g:
            f.write(g.read())
        meet(Impostor(*other, port=port), "does not ask for a certificate")
        meet(Impostor(*other, code="role", **our), "(role)")
        if LONG:
            meet(Impostor(*other, code="client_revoked", status="503 Away", **our), "status 503")
            meet(Impostor(*other, body="key_disabled", **our), "what answers is not one")
        # The control: asked, and answered as the service does.
        meet(Impostor(*other, code="key_deleted", **our), "(key_deleted)", "denied")
        self.good("umount", point)

    def test_rotation(self):
        """A new version of the service's key wraps the root at the next renewal; versions from before may be retired then."""
        self.make_volume()
        point = self.mount("lease=1s")
        with open(f"/proc/{self.status()['process']['pid']}/maps") as f:
            self.assertNotRegex(f.read(), "libssl|libcrypto")  # that is the helper's (talk.h (1))
        self.service_verb("key", "rotate", "db")
        wait_until("version 2", lambda: self.lease()["version"] == 2)
        self.service_verb("key", "config", "db", "--min-version", "2")
        self.assertEqual(self.lease()["state"], "held")
        out = json.loads(self.good("key", "list", self.volume, "--json"))
        self.assertEqual(out["protectors"][0]["detail"], "db, version 2")
        wait_until("the service hears of it", lambda: self.service_verb("volumes", "db")["volumes"][0].get("version") == 2)
        self.good("umount", point)
        self.good("key", "test", self.volume)
        log = self.good("key", "audit", "show", self.volume)
        self.assertIn("protector-rewrapped", log)

    def test_what_it_tells(self):
        """The service hears of host and generation, and keeps the sealed keyring after each change: a lost one comes back from there."""
        self.make_volume()
        point = self.mount("lease=1s")
        with open(point + "/f", "w") as f:
            f.write("kept")
        self.good("key", "rotate", self.volume)
        wait_until("generation 3", lambda: self.service_verb("volumes", "db")["volumes"][0].get("generation") == 3)
        told = self.service_verb("volumes", "db")["volumes"][0]
        self.assertEqual(told["client"], self.fingerprint)
        self.assertRegex(told["host"], r"\A[\w.@-]+\Z")
        self.assertNotIn("backup_days", told)
        self.assertRegex(self.good("service", "volumes", "--config", self.path("admin.conf")),
                         r"generation 3 \(accepts 1 and later\), active ones from \S+ on, no verified backup\n")
        dot = self.volume + "/.coffer/"
        with open(dot + "keyring.json", "rb") as f:
            text = f.read()
        admin = self.admin(self.running)
        path = f"keys/db/volumes/{told['volume']}/keyring"
        wait_until("the keyring", lambda: keyd.unb64(admin.get(path)[1].get("text", "")) == text)
        self.good("umount", point)
        conf = ("--config", self.host)
        self.bad(REFUSED, "service", "volume", "restore", "db", self.volume, *conf, says="intact")
        os.remove(dot + "keyring.json")
        with open(dot + "keyring.json.bak", "r+b") as f:
            f.truncate(1000)
        self.bad(DAMAGED, "mount", self.volume, point)
        # Somebody with the same key has put something else there: it is not believed.
        admin.post(path, sequence=1000, text=keyd.b64(text.replace(b'"sequence": ', b'"sequence": 1')))
        self.bad(DAMAGED, "service", "volume", "restore", "db", self.volume, *conf)
        admin.post(path, sequence=1001, text=keyd.b64(text))
        # Under which key its copy lies is found; where there are two copies, the key has to be named.
        self.service_verb("key", "create", "other")
        self.service_verb("key", "grant", "other", self.fingerprint)
        admin.post("keys/other/wrapkey", alg="A256GCM", value=keyd.b64(bytes(32)), volume=told["volume"])
        admin.post(path.replace("/db/", "/other/"), sequence=1, text=keyd.b64(text))
        self.bad(REFUSED, "service", "volume", "restore", self.volume, *conf, says="name the key")
        self.service_verb("key", "ungrant", "other", self.fingerprint)
        self.assertIn("the keyring is back", self.good("service", "volume", "restore", self.volume, *conf))
        for name in ("keyring.json", "keyring.json.bak"):
            os.remove(dot + name)
        self.assertIn("the keyring is back", self.good("service", "volume", "restore", "db", self.volume, *conf))
        for name in ("keyring.json", "keyring.json.bak"):
            with open(dot + name, "rb") as f:
                self.assertEqual(f.read(), text)
        self.mount("lease=1s")
        with open(point + "/f") as f:
            self.assertEqual(f.read(), "kept")
        self.good("umount", point)

    def test_a_long_keyring(self):
        """One that takes several requests is kept and put back like any other, by a service that takes only one of them a second, too."""
        self.make_volume()
        for i in range(10):
            cert, _ = self.self_signed(f"long-{i}", "nsComment=" + "x" * 7500)
            self.good("key", "add", self.volume, "--certificate", cert)
        names = [self.volume + "/.coffer/keyring.json" + end for end in ("", ".bak")]
        with open(names[0], "rb") as f:
            text = f.read()
        self.assertGreater(len(text), 2 * 45000)
        self.running.kill()
        self.start_again("--max-rate", "2")  # the lease is the other one
        point = self.mount("lease=1s")
        with open(point + "/f", "w") as f:
            f.write("kept")
        admin = self.admin(self.running)
        path = f"keys/db/volumes/{admin.get('keys/db/volumes')[1]['volumes'][0]['volume']}/keyring"

        def kept():
            time.sleep(1)
            return keyd.unb64(admin.get(path)[1].get("text", "")) == text

        wait_until("the keyring", kept)
        self.running.kill()
        self.start_again()
        self.good("umount", point)
        for name in names:
            os.remove(name)
        self.assertIn("the keyring is back", self.good("service", "volume", "restore", "db", self.volume, "--config", self.host))
        for name in names:
            with open(name, "rb") as f:
                self.assertEqual(f.read(), text)
        self.mount("lease=1s")
        with open(point + "/f") as f:
            self.assertEqual(f.read(), "kept")
        self.good("umount", point)

    @unittest.skipUnless(LONG, "most of it is waiting")
    def test_a_lock_of_somebody_else(self):
        """What a user has locked stays locked, whatever the lease says; another protector has no lease."""
        self.make_volume()
        point = self.mount("lease=1s")
        self.good("lock", point)
        renewals = self.lease()["renewals"]
        wait_until("renewals", lambda: self.lease()["renewals"] > renewals + 1)
        self.assertTrue(self.status()["process"]["locked"])
        self.service_verb("key", "disable", "db")
        self.wait_state("denied")
        self.service_verb("key", "enable", "db")
        self.wait_state("held")
        self.assertTrue(self.status()["process"]["locked"])
        self.good("unlock", point)
        self.assertFalse(self.status()["process"]["locked"])
        self.good("umount", point)
        secret = self.path("secret.key")
        with open(secret, "wb") as f:
            f.write(os.urandom(64))
        self.good("key", "add", self.volume, "--new-key-file", secret)
        self.good("mount", self.volume, point, "-o", f"key_file={secret}")
        self.assertNotIn("lease", self.status()["process"])
        self.good("umount", point)


if __name__ == "__main__":
    unittest.main()
