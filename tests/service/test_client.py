"""The key service's clients without a mount: the verbs, registration and renewal, protectors, the pin, who is believed (protector_service.c (1), (2),
service_tls.c (1) to (3), service_files.c, service_identity.c, talk.h (3))."""

import json
import os
import shutil
import socket
import sqlite3
import ssl
import stat
import struct
import subprocess
import time
import unittest

import hello
import keyd
from keyd import DAMAGED, LONG, OK, UNSUPPORTED, USAGE, WRONG_SECRET
from volumes import COFFER, REFUSED, UNREACHABLE, Case, Impostor


class Verbs(Case):
    def test_keys(self):
        self.config("admin")
        do = self.service_verb
        self.assertEqual(do("key", "create", "db", "--auto-rotate-days", "30")["auto_rotate_days"], 30)
        self.assertEqual(do("key", "show", "db")["latest"], 1)
        self.assertEqual(do("key", "rotate", "db")["latest"], 2)
        self.assertEqual(do("key", "disable", "db")["state"], "disabled")
        self.assertEqual(do("key", "enable", "db")["state"], "enabled")
        self.assertEqual(do("key", "config", "db", "--min-version", "2", "--auto-rotate-days", "0")["min_decryption_version"], 2)
        deleted = do("key", "delete", "db", "--days", "7")
        self.assertEqual(deleted["state"], "deleted")
        self.assertEqual(do("key", "recover", "db")["state"], "enabled")
        do("key", "delete", "db")
        self.bad(REFUSED, "service", "key", "purge", "db", "--config", self.path("admin.conf"), says="--yes")
        self.assertEqual(do("key", "purge", "db", "--yes")["state"], "purged")
        self.assertEqual([k["name"] for k in do("key", "list")["keys"]], ["db"])
        text = self.good("service", "key", "list", "--config", self.path("admin.conf"))
        self.assertRegex(text, r"\Adb +purged ")
        self.bad(REFUSED, "service", "key", "show", "no", "--config", self.path("admin.conf"), says="not_found")
        self.bad(USAGE, "service", "key", "create", "--config", self.path("admin.conf"))
        self.bad(USAGE, "service", "key", "delete", "db", "--days", "3", "--config", self.path("admin.conf"), says="7 to 90")
        self.bad(REFUSED, "service", "key", "create", "../x", "--config", self.path("admin.conf"))

    def test_clients(self):
        self.config("admin")
        self.service_verb("key", "create", "db")
        umask = os.umask(0)
        self.addCleanup(os.umask, umask)
        fingerprint = self.accept()
        self.assertEqual(stat.S_IMODE(os.stat(self.path("host.key")).st_mode), 0o600)
        keyd.openssl("verify", "-CAfile", self.dir + "/ca.pem", self.path("host.pem"))
        der = keyd.openssl("pkey", "-in", self.path("host.key"), "-pubout", "-outform", "DER")
        self.assertEqual(keyd.openssl("dgst", "-sha256", "-r", input=der).split()[0].decode(), fingerprint)
        self.assertEqual({c["name"]: c["role"] for c in self.service_verb("client", "list")["clients"]},
                         {"admin": "admin", "host": "client"})
        with open(self.path("host.key")) as f:
            key = f.read()
        again = self.service_verb("client", "register", by="host")
        self.assertEqual((again["made"], again["fingerprint"]), (False, fingerprint))
        with open(self.path("host.key")) as f:
            self.assertEqual(f.read(), key)
        self.bad(REFUSED, "service", "client", "list", "--config", self.host, says="(role)")
        self.service_verb("key", "ungrant", "db", fingerprint)
        self.assertEqual(self.service_verb("key", "list", by="host")["keys"], [])
        self.assertEqual(self.service_verb("client", "revoke", fingerprint)["state"], "revoked")
        self.bad(REFUSED, "service", "key", "list", "--config", self.host, says="client_revoked")
        # Options in the place of the file; a path that is not absolute.
        os.chdir(self.top)
        self.addCleanup(os.chdir, "/")
        self.good("service", "key", "list", "--service", f"https://127.0.0.1:{self.running.port}/", "--ca", "d/ca.pem", "--cert",
                  "d/admin.pem", "--key", "d/admin.key")

    def test_backup(self):
        """Who may rotate may have a backup made, too; nobody else."""
        self.config("admin")
        self.accept("operator", key=None, role="operator")
        self.bad(REFUSED, "service", "backup", "--config", self.path("operator.conf"), says="no_backups")
        cert, _ = self.self_signed("backup", "keyUsage=critical,keyAgreement")
        os.mkdir(self.path("backups"))
        self.running.stop()
        self.start_again("--backup-every", "1d", "--backup-dir", self.path("backups"), "--recipient", cert)
        made = self.service_verb("backup", by="operator")
        self.assertIn(made["file"], os.listdir(self.path("backups")))
        shown = [(line["event"], line.get("name")) for line in self.service_verb("audit", "show")]
        self.assertLess(shown.index(("backup.ask", "operator")), len(shown) - 1 - shown[::-1].index(("backup", None)))
        self.good("service", "key", "create", "x", "--config", self.path("admin.conf"))
        os.rename(self.path("backups"), self.path("away"))
        self.bad(1, "service", "backup", "--config", self.path("operator.conf"), says="its log says why")

    def test_waiting_to_be_accepted(self):
        self.config("admin")
        fingerprint = self.service_verb("client", "register", by="host")["fingerprint"]
        p = subprocess.Popen([COFFER, "service", "client", "register", "--wait", "30", "--json", "--config", self.host], env=self.env,
                             stdout=subprocess.PIPE)
        self.service_verb("client", "accept", fingerprint)
        out, _ = p.communicate(timeout=keyd.TIMEOUT)
        self.assertEqual((p.returncode, json.loads(out)["state"]), (OK, "accepted"))

    def test_renewal(self):
        self.config("admin")
        self.accept(key=None)

        def serial():
            return keyd.openssl("x509", "-in", self.path("host.pem"), "-noout", "-serial")

        before = serial()
        self.service_verb("key", "list", by="host")
        self.assertEqual(serial(), before)
        self.config("host", **{"renew-days": "400"})
        self.service_verb("key", "list", by="host")
        self.assertNotEqual(serial(), before)
        keyd.openssl("verify", "-CAfile", self.dir + "/ca.pem", self.path("host.pem"))
        self.assertEqual([n for n in os.listdir(self.top) if n.startswith("host.pem.")], [])

    def test_renewal_of_the_service(self):
        """A certificate of the server that has a month left is renewed at the start (and looked at every hour): the same key, the same authority."""
        def shown():
            message = hello.ask(self.running.port, [keyd.SUITES["ECDHE-RSA-AES256-GCM-SHA384"]]).messages[hello.CERTIFICATE]
            return ssl.DER_cert_to_PEM_cert(message[6:6 + int.from_bytes(message[3:6], "big")]).encode()

        before = shown()
        self.started_in(380)
        after = shown()
        self.running.wait_logged("a certificate of the service was renewed")
        self.assertNotEqual(after, before)

        def public(pem):
            return keyd.openssl("x509", "-noout", "-pubkey", input=pem)

        self.assertEqual(public(after), public(before))
        with open(self.path("new.pem"), "wb") as f:
            f.write(after)
        keyd.openssl("verify", "-CAfile", self.dir + "/ca.pem", "-attime", str(int(time.time()) + 381 * 86400), self.path("new.pem"))

    def started_in(self, days):
        """The service again, by a clock that is so many days ahead."""
        self.running.stop()
        with open(self.path("clock"), "wb") as f:
            f.write(struct.pack("q", days * 86400))
        os.environ |= {"LD_PRELOAD": os.environ["CLOCK_SHIM"], "COFFER_TEST_CLOCK": self.path("clock")}
        try:
            self.start_again()
        finally:
            del os.environ["LD_PRELOAD"]

    def test_what_is_due(self):
        """A deleted key is purged when its days are over, not before; a key is rotated by itself; the log says so."""
        self.config("admin")
        self.service_verb("key", "create", "a", "--auto-rotate-days", "5")
        self.service_verb("key", "create", "b")
        self.service_verb("key", "delete", "b", "--days", "7")
        for days, latest, state in ((4, 1, "deleted"), (6, 2, "deleted"), (8, 2, "purged")):
            self.started_in(days)
            keys = {k["name"]: k for k in self.service_verb("key", "list")["keys"]}
            self.assertEqual((keys["a"]["latest"], keys["b"]["state"]), (latest, state), days)
        self.bad(REFUSED, "service", "key", "recover", "b", "--config", self.path("admin.conf"), says="not_deleted")
        by_itself = [(line["event"], line.get("key")) for line in self.service_verb("audit", "show") if "name" not in line]
        self.assertIn(("key.rotate", "a"), by_itself)
        self.assertIn(("key.purge", "b"), by_itself)

    def test_log(self):
        self.config("admin")
        for i in range(3):
            self.service_verb("key", "create", f"k{i}")
        first, later, whole = self.path("first"), self.path("later"), self.path("whole")
        conf = ("--config", self.path("admin.conf"))
        self.good("service", "audit", "export", "-o", first, *conf)
        self.service_verb("key", "rotate", "k0")
        self.good("service", "audit", "export", "-o", later, "--from", "4", *conf)
        with open(whole, "w") as f:
            f.write(self.good("service", "audit", "export", *conf))
        with open(first) as a, open(later) as b, open(whole) as c:
            lines = c.read().splitlines()
            self.assertEqual(a.read().splitlines(), lines[:len(lines) - 1])
            self.assertEqual(b.read().splitlines(), lines[3:])
        shown = self.service_verb("audit", "show", "--from", str(len(lines)))
        self.assertEqual([line["event"] for line in shown], ["key.rotate"])
        self.assertIn("key.rotate", self.good("service", "audit", "show", *conf))
        verified = self.service_verb("audit", "verify", "--against", first)
        self.assertEqual((verified["lines"], verified["compared"]), (len(lines), len(lines) - 1))
        for text in (lines[0].replace('"init"', '"inti"'), "\n".join(lines + lines[-1:])):
            with open(first, "w") as f:
                f.write(text + "\n")
            self.bad(DAMAGED, "service", "audit", "verify", "--against", first, *conf)
        # To the byte what the service has stored.
        self.running.stop()
        with sqlite3.connect(f"file:{self.dir}/service.db?mode=ro", uri=True) as db:
            table = [r[0] for r in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name != 'row'")][0]
            stored = [t for r in db.execute(f"SELECT * FROM {table} ORDER BY 1") for t in r if isinstance(t, str) and '"mac"' in t]
        self.assertEqual(lines, stored[:len(lines)])

    def test_what_is_refused_here(self):
        self.config("admin")
        conf = self.path("x.conf")

        def refused(text, says, status=USAGE):
            with open(conf, "w") as f:
                f.write(text)
            self.bad(status, "service", "key", "list", "--config", conf, says=says)

        good = f"ca = d/ca.pem\ncert = d/admin.pem\nkey = d/admin.key\nservice = https://localhost:{self.running.port}\n"
        refused(good.replace("service", "servise"), "line 4")
        refused(good.replace("ca = d/ca.pem\n", ""), "--ca")
        refused(good.replace("https", "http"), "no address of a key service")
        refused(good.replace("https://localhost", "https://loc/alhost"), "no address")
        refused(good.replace("d/admin.key", "none.key"), "none.key")
        refused(good.replace("d/admin.pem", "d/ca.pem"), "is not for the key")
        refused(good.replace("d/ca.pem", "d/admin.key"), "no certificate")
        os.mkfifo(self.path("fifo"))
        refused(good.replace("d/ca.pem", "fifo"), "cannot read")
        refused(good.replace("d/admin.key", "fifo"), "cannot read")
        self.bad(USAGE, "service", "key", "list", "--config", self.path("none.conf"), says="none.conf")
        env = {**self.env, "COFFER_LIBEXEC_DIR": self.top}
        self.bad(UNSUPPORTED, "service", "key", "list", "--config", self.path("admin.conf"), says="not installed", env=env)


class Believed(Case):
    """Who is not the service is not believed, whatever he says; the next address is tried."""

    def setUp(self):
        super().setUp()
        self.make_volume()

    def impostors(self):
        other = self.self_signed("other-ca", "basicConstraints=critical,CA:TRUE")
        for name, extension in (("localhost", "subjectAltName=DNS:localhost"), ("wrong", "subjectAltName=DNS:elsewhere.example")):
            key, request = self.path(name + "-i.key"), self.path(name + "-i.csr")
            keyd.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request, "-subj",
                         "/CN=" + name, "-addext", extension)
            keyd.openssl("x509", "-req", "-in", request, "-CA", other[0], "-CAkey", other[1], "-out", self.path(name + "-i.pem"), "-days", "5",
                         "-copy_extensions", "copyall")
        own = self.self_signed("self", "subjectAltName=DNS:localhost")
        ca = self.dir + "/ca.pem"
        yield "another authority", Impostor(self.path("localhost-i.pem"), self.path("localhost-i.key"), ask=ca)
        yield "self-signed", Impostor(*own, ask=ca)
        yield "a client of the service as a server", Impostor(self.path("host.pem"), self.path("host.key"), ask=ca)
        yield "without TLS", Impostor(None, None, tls=False)
        # The server's own certificate in the wrong hands can only be had with its key; what it answers to strangers is not believed.
        cert, key = self.other_service()
        yield "without a question for our certificate", Impostor(cert, key)
        yield "a service for another host", Impostor(self.path("wrong-i.pem"), self.path("wrong-i.key"), ask=ca)

    def other_service(self):
        """A certificate by an authority that the client trusts, as another program on the service's host may have."""
        with open(self.dir + "/ca.pem", "a") as f, open(self.path("other-ca.pem")) as g:
            f.write(g.read())
        return self.path("localhost-i.pem"), self.path("localhost-i.key")

    def test_impostors(self):
        for what, impostor in self.impostors():
            with self.subTest(what=what):
                impostor.start()
                conf = self.config("host", port=impostor.port)
                self.bad(UNREACHABLE, "key", "test", self.volume, "--service-config", conf)
                self.assertGreater(impostor.came, 0)
                # And where the real one is the next in the list, it is that which answers.
                self.config("host", service=f"https://localhost:{impostor.port}, https://localhost:{self.running.port}")
                self.good("key", "test", self.volume, "--service-config", conf)
                impostor.stop()

    def test_malformed_answers(self):
        self.impostors_ca()
        ca = self.dir + "/ca.pem"
        for body, status in (("{", "403 Forbidden"), ('{"error":"key_disabled"}', "403 Forbidden"), ("[]", "200 OK"), ('{"value":"!"}', "200 OK"),
                             ('{"error":{"code":"key_disabled"}}', "503 Away"), ('{"error":{"message":"x"}}', "403 Forbidden")):
            with self.subTest(body=body, status=status):
                impostor = Impostor(self.path("localhost-i.pem"), self.path("localhost-i.key"), ask=ca, body=body, status=status)
                impostor.start()
                self.bad(UNREACHABLE, "key", "test", self.volume, "--service-config", self.config("host", port=impostor.port))
                self.assertEqual(impostor.answered, 1)
                impostor.stop()
        # The control: the same impostor with a well-formed answer is believed, because this test made its authority ours.
        impostor = Impostor(self.path("localhost-i.pem"), self.path("localhost-i.key"), ask=ca)
        impostor.start()
        self.bad(REFUSED, "key", "test", self.volume, "--service-config", self.config("host", port=impostor.port), says="key_disabled")
        impostor.stop()

    def impostors_ca(self):
        for _, impostor in self.impostors():
            impostor.socket.close()

    def test_suites(self):
        """The client offers the eight suites and TLS 1.2, nothing else."""
        server = socket.socket()
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        conf = self.config("host", port=server.getsockname()[1])
        p = subprocess.Popen([COFFER, "service", "key", "list", "--config", conf], env=self.env, stderr=subprocess.PIPE)
        peer, _ = server.accept()
        heard = peer.recv(4096)
        peer.close()
        server.close()
        p.communicate(timeout=keyd.TIMEOUT)
        self.assertEqual(p.returncode, UNREACHABLE)
        self.assert_the_eight(heard)


class Protector(Case):
    def setUp(self):
        super().setUp()
        self.make_volume()

    def test_opens(self):
        out = json.loads(self.good("key", "list", self.volume, "--json"))
        self.assertEqual([(p["type"], p["detail"]) for p in out["protectors"]], [("key-service", "db, version 1")])
        self.good("key", "rotate", self.volume)
        point = self.mount()
        with open(point + "/f", "w") as f:
            f.write("x")
        self.good("umount", point)
        self.good("check", self.volume)
        self.service_verb("key", "disable", "db")
        self.bad(REFUSED, "mount", self.volume, self.path("m"), says="key_disabled")
        self.bad(REFUSED, "key", "test", self.volume, says="key_disabled")
        self.service_verb("key", "enable", "db")
        self.running.stop()
        self.bad(UNREACHABLE, "mount", self.volume, self.path("m"), says="cannot be reached")

    def test_added_to_others(self):
        v, secret = self.path("v2"), self.path("secret.key")
        with open(secret, "wb") as f:
            f.write(os.urandom(64))
        self.good("init", v, "--key-file", secret, "--no-recovery-key")
        out = self.good("key", "add", v, "--service-key", "db", "--new-service-config", self.host, "--key-file", secret)
        self.assertRegex(out, r"added protector 2 \(key-service\)\n.*\n  1  key-file")
        self.good("key", "test", v)
        self.good("key", "test", v, "--key-file", secret)
        self.bad(USAGE, "key", "add", v, "--only", "--new-key-file", secret, "--key-file", secret)
        out = json.loads(self.good("key", "add", v, "--service-key", "db", "--new-service-config", self.host, "--only", "--json"))
        self.assertEqual([p["id"] for p in out["protectors"]], [3])
        self.bad(WRONG_SECRET, "key", "test", v, "--key-file", secret)
        self.good("key", "test", v)
        # A keyring that stands alone.
        lone = self.path("fields.keyring")
        self.good("key", "init", lone, "--service-key", "db", "--service-config", self.host, "--no-recovery-key")
        with open(self.path("a.json"), "w") as f:
            f.write('{"a": "1"}\n')
        self.good("field", "encrypt", self.path("a.json"), "--keyring", lone, "--path", "a")
        self.good("field", "decrypt", self.path("a.json"), "--keyring", lone)

    def test_words_in_the_place_of_the_file(self):
        """Everywhere: where the service is and who asks, without /etc/coffer/service.conf and without another file."""
        where = ("--service", f"https://localhost:1,https://localhost:{self.running.port}", "--ca", self.dir + "/ca.pem", "--cert",
                 self.path("host.pem"), "--key", self.path("host.key"))
        v = self.path("v2")
        self.bad(USAGE, "init", v, *where, "--no-recovery-key", says="--service-key")
        self.bad(USAGE, "init", v, "--service-key", "db", *where[:2], "--no-recovery-key", says="--ca")
        made = json.loads(self.good("init", v, "--service-key", "db", *where, "--json"))
        self.assertEqual((made["volume"], made["recovery_key_file"]), (v, None))
        self.assertEqual([p["type"] for p in json.loads(self.good("key", "list", v, "--json"))["protectors"]], ["key-service"])
        self.good("key", "test", v)
        env = {**self.env, "COFFER_STATE_DIR": self.path("elsewhere")}
        self.bad(REFUSED, "key", "test", v, env=env)  # the keyring's own words vouch for nothing
        self.good("key", "test", v, *where, env=env)
        self.bad(USAGE, "key", "test", v, *where, "--key-file", self.path("host.key"))
        out = json.loads(self.good("key", "add", v, "--service-key", "db", *where, "--only", "--json"))
        self.assertEqual([p["id"] for p in out["protectors"]], [2])
        self.good("key", "init", self.path("lone.keyring"), "--service-key", "db", *where, "--no-recovery-key")
        os.makedirs(self.path("m"))
        self.bad(USAGE, "mount", v, self.path("m"), *where, "--grace", "1y", says="30d")
        self.good("mount", v, self.path("m"), *where, "--grace", "2h")
        self.addCleanup(self.unmount, self.path("m"))
        lease = json.loads(self.good("status", v, "--json"))["process"]["lease"]
        self.assertEqual((lease["state"], 7000 < lease["grace_left"] <= 7200), ("held", True), lease)
        self.good("umount", self.path("m"))

    def test_nothing_is_made_without_the_service(self):
        self.service_verb("key", "disable", "db")
        v = self.path("v2")
        self.bad(REFUSED, "init", v, "--service-key", "db", "--service-config", self.host, "--no-recovery-key", says="key_disabled")
        self.assertFalse(os.path.exists(v))
        self.bad(USAGE, "init", v, "--service-config", self.host, "--no-recovery-key", says="--service-key")
        self.bad(USAGE, "init", v, "--service-key", "a b", "--service-config", self.host, "--no-recovery-key", says="no name of a key")

    def test_the_pin(self):
        """On a host that does not know the volume, and with the service that only the keyring names, nobody vouches for the root."""
        env = {**self.env, "COFFER_STATE_DIR": self.path("elsewhere")}
        root = self.good("status", self.volume, "--json")
        root = json.loads(root)["fingerprint"].replace(" ", "")
        err = self.bad(REFUSED, "key", "test", self.volume, env=env, says=root[:8])
        self.assertIn("--expect-root", err)
        self.good("key", "test", self.volume, "--expect-root", root, env=env)
        self.good("key", "test", self.volume, env=env)  # known from now on
        env["COFFER_STATE_DIR"] = self.path("third")
        self.good("key", "test", self.volume, "--service-config", self.host, env=env)

    def test_malformed(self):
        shutil.copytree(self.volume, self.path("good"), symlinks=True)
        malformed = ({"key": ""}, {"key": "a/b"}, {"key": "k" * 64}, {"key": None}, {"service": ""}, {"service": "h" * 2401}, {"ca": "ca.pem"},
                        {"cert": ""}, {"private_key": "/" + "k" * 4096}, {"version": 0}, {"version": "1"}, {"value": keyd.b64(bytes(31))},
                        {"iv": keyd.b64(bytes(13))}, {"tag": keyd.b64(bytes(15))}, {"tag": None})
        for members in malformed if LONG else malformed[::3]:
            with self.subTest(members=members):
                self.put_protector(**members)
                self.bad(DAMAGED, "key", "test", self.volume)
                shutil.rmtree(self.volume)
                shutil.copytree(self.path("good"), self.volume, symlinks=True)
        # What is well-formed and another's: the service does not open it, or nobody is reached, or nothing is read from where one would wait.
        os.mkfifo(self.path("fifo"))
        for members, status in (({"tag": keyd.b64(bytes(16))}, REFUSED), ({"key": "other"}, REFUSED), ({"ca": self.path("fifo")}, USAGE),
                                ({"service": "https://localhost:1"}, UNREACHABLE), ({"service": "ftp://x"}, USAGE)):
            with self.subTest(members=members):
                self.put_protector(**members)
                self.bad(status, "key", "test", self.volume)
                shutil.rmtree(self.volume)
                shutil.copytree(self.path("good"), self.volume, symlinks=True)
        self.good("key", "test", self.volume)

    def test_a_planted_root(self):
        """Another client wraps a root of his own for the volume's id: the service refuses it."""
        other = self.accept("other")
        self.assertTrue(other)
        v = self.path("planted")
        shutil.copytree(self.volume, v, symlinks=True)
        self.config("admin")
        env = {**self.env, "COFFER_STATE_DIR": self.path("elsewhere")}
        root = json.loads(self.good("status", v, "--json"))["fingerprint"].replace(" ", "")
        # He knows the root of his copy and gives it a new one; the service wants an administrator for that.
        self.bad(REFUSED, "key", "rotate", v, "--root", "--service-config", self.path("other.conf"), "--expect-root", root, env=env,
                 says="administrator")

    def test_new_root(self):
        before = json.loads(self.good("status", self.volume, "--json"))["fingerprint"]
        self.bad(REFUSED, "key", "rotate", self.volume, "--root", says="administrator")
        self.good("key", "test", self.volume)
        self.good("key", "rotate", self.volume, "--root", "--service-config", self.path("admin.conf"))
        after = json.loads(self.good("status", self.volume, "--json"))
        self.assertNotEqual(after["fingerprint"], before)
        self.good("key", "test", self.volume)  # with the host's own certificate, as before
        volumes = self.service_verb("volumes")["volumes"]
        self.assertEqual([(v["root"], v.get("next")) for v in volumes], [(after["fingerprint"].replace(" ", ""), None)])


if __name__ == "__main__":
    unittest.main()
