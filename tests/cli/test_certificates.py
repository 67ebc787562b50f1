"""Certificates: protectors and backups of them, what the openssl command makes of them, and the attacker who encrypts to one."""

import json
import os
import shutil
import struct
import subprocess
import tempfile
import unittest

import cli
import certificates as c


@unittest.skipIf(c.MISSING, c.MISSING)
class Case(cli.Case):
    @classmethod
    def setUpClass(cls):
        cls.keys = tempfile.mkdtemp(prefix="coffer-keys.")
        cls.addClassCleanup(shutil.rmtree, cls.keys)
        cls.rsa_key, cls.ec_key = c.new_key(cls.keys, "rsa"), c.new_key(cls.keys, "ec", "ec")
        cls.rsa, cls.ec = c.certificate(cls.keys, "rsa", cls.rsa_key), c.certificate(cls.keys, "ec", cls.ec_key)

    def setUp(self):
        super().setUp()
        os.environ["COFFER_STATE_DIR"] = self.path("state")
        self.addCleanup(os.environ.__setitem__, "COFFER_STATE_DIR", "")
        self.vault = self.volume()

    def do(self, verb, *arguments, vault=None):
        return self.good("key", verb, vault or self.vault, "--key-file", self.key, *arguments)

    def opened_by(self, identity, *more, vault=None):
        return json.loads(self.good("key", "test", vault or self.vault, "--identity", identity, "--json", *more).out)["id"]

    def status(self):
        return json.loads(self.good("status", self.vault, "--json").out)

    def keyring(self):
        return c.Keyring(os.path.join(self.vault, ".coffer", "keyring.json"))

    def elsewhere(self, name="elsewhere"):
        os.environ["COFFER_STATE_DIR"] = self.path(name)


class Protectors(Case):
    def test_life(self):
        self.do("add", "--certificate", self.rsa)
        self.do("add", "--certificate", self.ec)
        self.assertEqual((self.opened_by(self.rsa_key), self.opened_by(self.ec_key)), (2, 3))
        listed = self.status()["protectors"]
        self.assertEqual([p["detail"].split(",")[0] for p in listed[1:]], ["rsa-2048", "ec-256"])
        self.good("key", "remove", self.vault, "1", "--identity", self.ec_key)
        self.bad(cli.WRONG_SECRET, "key", "test", self.vault, "--key-file", self.key)
        self.good("key", "remove", self.vault, "2", "--identity", self.rsa_key)
        self.bad(cli.WRONG_SECRET, "key", "test", self.vault, "--identity", self.rsa_key, says="protects no root")
        self.bad(cli.REFUSED, "key", "remove", self.vault, "3", "--identity", self.ec_key, says="last")
        self.good("key", "add", self.vault, "--identity", self.ec_key, "--new-key-file", self.key)
        self.do("remove", "3")

    def test_init(self):
        made = self.good("init", self.path("other"), "--certificate", self.rsa, "--no-recovery-key", "--journal-size", "4M").out
        self.assertIn("fingerprint", made)
        self.assertEqual(self.opened_by(self.rsa_key, vault=self.path("other")), 1)
        self.good("check", self.path("other"), "--identity", self.rsa_key, "--deep")
        self.good("key", "init", self.path("fields"), "--certificate", self.ec, "--no-recovery-key")
        self.assertEqual(self.opened_by(self.ec_key, vault=self.path("fields")), 1)

    def test_without_a_key_id(self):
        """Such a certificate is named by its issuer and number."""
        for key in (self.rsa_key, self.ec_key):
            name = os.path.basename(key)
            plain = c.dated(self.top, name, key, "260101000000Z", "360101000000Z", "basicConstraints = CA:false")
            self.do("add", "--certificate", plain)
            self.opened_by(key)

    def test_encrypted_keys(self):
        self.do("add", "--certificate", self.rsa)
        words, wrong = self.file("words", b"of the key\n"), self.file("wrong", b"of another\n")
        modern, old = self.path("modern.key"), self.path("old.key")
        c.openssl("pkcs8", "-topk8", "-in", self.rsa_key, "-out", modern, "-passout", f"file:{words}", "-iter", "1")
        c.openssl("rsa", "-traditional", "-aes256", "-in", self.rsa_key, "-out", old, "-passout", f"file:{words}")
        for key in (modern, old):
            test = ["key", "test", self.vault, "--identity", key]
            self.good(*test, "--identity-passphrase-file", words)
            self.bad(cli.WRONG_SECRET, *test, "--identity-passphrase-file", wrong, says="passphrase")
            self.bad(cli.NO_SECRET, *test, says="--identity-passphrase-file")
        t = cli.Terminal("key", "test", self.vault, "--identity", modern)
        t.expect("Passphrase of .*modern.key: ")
        t.type("of the key")
        t.expect("opens")
        self.assertEqual(t.end(), cli.OK)

    def test_what_is_refused(self):
        """At the time of encryption: expired, not yet valid, for other uses, too short, another kind.  Nothing changes."""
        def refused(pem, says, status=cli.REFUSED):
            self.unchanged(self.vault, status, "key", "add", self.vault, "--key-file", self.key, "--certificate", pem, says=says)

        top = self.top
        refused(c.dated(top, "past", self.ec_key, "200101000000Z", "210101000000Z"), "has expired")
        refused(c.dated(top, "future", self.ec_key, "490101000000Z", "491231000000Z"), "not valid yet")
        refused(c.certificate(top, "signing", self.rsa_key, "digitalSignature"), "keyEncipherment")
        refused(c.certificate(top, "ciphering", self.ec_key, "keyEncipherment"), "keyAgreement")
        weak = self.path("weak.key")
        c.openssl("genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:1024", "-out", weak)
        refused(c.certificate(top, "weak", weak), "1024 bits")
        ed = self.path("ed.key")
        c.openssl("genpkey", "-algorithm", "ed25519", "-out", ed)
        refused(c.certificate(top, "ed", ed), "neither RSA nor EC")
        refused(self.rsa_key, "no certificate", cli.NO_SECRET)
        refused(self.path("absent"), "cannot read", cli.NO_SECRET)
        self.bad(cli.USAGE, "key", "test", self.vault, "--identity", self.rsa_key, "--key-file", self.key)
        self.bad(cli.USAGE, "key", "test", self.vault, "--key-file", self.key, "--identity-passphrase-file", self.key)
        for pem, usage, kind in ((self.rsa_key, "keyEncipherment", "enc"), (self.ec_key, "keyAgreement", "agree")):
            self.do("add", "--certificate", c.certificate(top, kind, pem, usage))
        self.bad(cli.REFUSED, "key", "test", self.vault, "--identity", self.rsa, says="no private key")

    def test_helpers_that_do_not_do(self):
        """None, one that is killed, one that fails without a word, ones that say nothing, nonsense, a key of another length."""
        self.do("add", "--certificate", self.rsa)
        os.environ["COFFER_LIBEXEC_DIR"], before = self.top, os.environ["COFFER_LIBEXEC_DIR"]
        self.addCleanup(os.environ.__setitem__, "COFFER_LIBEXEC_DIR", before)
        test = ["key", "test", self.vault, "--identity", self.rsa_key]
        self.bad(cli.UNSUPPORTED, *test, says="meson option openssl")
        for script, status, says in (("kill -9 $$", cli.FAILED, "status 137"), ("exit 6", cli.FAILED, "status 6"),
                                     ("echo >&2 'no luck'; exit 6", cli.FAILED, "no luck"),
                                     ("exit 0", cli.FAILED, "something else"), ("echo hello", cli.FAILED, "something else"),
                                     (r"printf '\1\0\0\0x'", cli.WRONG_SECRET, ""), ("yes", cli.FAILED, "cannot run"),
                                     ("head -c 1000000 /dev/zero >&2; exit 1", cli.WRONG_SECRET, ""),
                                     ("exec cat /proc/self/environ >&2", cli.FAILED, "something else")):
            helper = self.file("coffer-cms", f"#!/bin/sh\n{script}\n".encode())
            os.chmod(helper, 0o700)
            self.bad(status, *test, says=says)
        self.unchanged(self.vault, cli.FAILED, "key", "add", self.vault, "--key-file", self.key, "--certificate", self.ec)
        self.do("test")

    @unittest.skipIf(os.environ.get("SANITIZE", "none") != "none", "the sanitizers want to be loaded first")
    def test_an_old_openssl(self):
        self.do("add", "--certificate", self.rsa)
        helper = self.file("coffer-cms", f'#!/bin/sh\nLD_PRELOAD={os.environ["OLD_OPENSSL"]} exec {c.HELPER} "$@"\n'.encode())
        os.chmod(helper, 0o700)
        os.environ["COFFER_LIBEXEC_DIR"], before = self.top, os.environ["COFFER_LIBEXEC_DIR"]
        self.addCleanup(os.environ.__setitem__, "COFFER_LIBEXEC_DIR", before)
        self.bad(cli.UNSUPPORTED, "key", "test", self.vault, "--identity", self.rsa_key, says="OpenSSL 3.0.20")
        self.bad(cli.UNSUPPORTED, "key", "add", self.vault, "--key-file", self.key, "--certificate", self.ec, says="upgrade")

    def test_expiry(self):
        """Told of before it happens; an expired one goes on opening."""
        soon = c.certificate(self.top, "soon", self.ec_key, days=20)
        self.do("add", "--certificate", soon)
        self.do("add", "--certificate", self.rsa)
        shown = {p["id"]: (p["expires_soon"], p["expired"]) for p in self.status()["protectors"] if "expires" in p}
        self.assertEqual(shown, {2: (True, False), 3: (False, False)})
        self.assertEqual(self.good("status", self.vault).out.count("its certificate expires"), 1)

        past = c.dated(self.top, "past", self.ec_key, "200101000000Z", "210101000000Z")
        k = self.keyring()
        p = k.protector(2)
        x = c.decrypt(c.unb64(p["cms"]), self.ec_key, soon)
        p.update(certificate=c.b64(c.to_der(past)), cms=c.b64(c.encrypt(x, (past, "ec"))), expires="2021-01-01T00:00:00Z")
        k.write(k.root_by(p, x))
        self.assertIn("its certificate expired 2021-01-01", self.good("status", self.vault).out)
        self.assertEqual(self.opened_by(self.ec_key), 2)
        self.bad(cli.REFUSED, "key", "rotate", self.vault, "--root", "--identity", self.ec_key, says="has expired")

    def test_a_new_root(self):
        for pem in (self.rsa, self.ec):
            self.do("add", "--certificate", pem)
        self.good("key", "rotate", self.vault, "--root", "--identity", self.rsa_key, "--keep-certificate", self.ec)
        self.assertEqual((self.opened_by(self.rsa_key), self.opened_by(self.ec_key)), (2, 3))
        self.bad(cli.WRONG_SECRET, "key", "test", self.vault, "--key-file", self.key)
        mine = c.certificate(self.top, "mine", c.new_key(self.top, "mine", "ec"))
        self.bad(cli.WRONG_SECRET, "key", "rotate", self.vault, "--root", "--identity", self.rsa_key, "--keep-certificate", mine,
                 says="nothing was changed")

    def test_an_exchanged_certificate(self):
        """Who once knew the root puts his certificate beside what is encrypted to the victim's: the new root must not go to him."""
        self.do("add", "--certificate", self.rsa)
        k = self.keyring()
        p = k.protector(2)
        x = c.decrypt(c.unb64(p["cms"]), self.rsa_key, self.rsa)
        p["certificate"] = c.b64(c.to_der(c.certificate(self.top, "mine", c.new_key(self.top, "mine", "ec"))))
        k.write(k.root_by(p, x))
        self.assertEqual(self.opened_by(self.rsa_key), 2)
        self.unchanged(self.path("vault/data"), cli.REFUSED, "key", "rotate", self.vault, "--root", "--identity", self.rsa_key,
                       says="exchanged")
        self.assertEqual(self.opened_by(self.rsa_key), 2)


class Everywhere(Case):
    """What else unlocks."""

    def setUp(self):
        super().setUp()
        self.do("add", "--certificate", self.ec)

    def test_fields(self):
        other = self.path("fields")
        self.good("key", "init", other, "--certificate", self.rsa, "--no-recovery-key")
        text = b'{"user": "app", "password": "hunter2"}\n'
        path = self.file("a.json", text)
        by = ["--keyring", self.vault, "--identity", self.ec_key]
        self.good("field", "encrypt", path, "-i", "--path", "password", *by)
        self.assertEqual(self.good("field", "get", path, "password", *by).out, "hunter2\n")
        self.good("field", "migrate", path, *by, "--to-keyring", other, "--to-identity", self.rsa_key)
        with open(path, "rb") as f:
            self.assertNotIn(b"hunter2", f.read())
        self.bad(cli.WRONG_SECRET, "field", "decrypt", path, "--keyring", other, "--identity", self.ec_key)
        self.assertEqual(self.good("field", "decrypt", path, "--keyring", other, "--identity", self.rsa_key).out.encode(), text)
        self.elsewhere()
        self.bad(cli.REFUSED, "field", "decrypt", path, "--keyring", other, "--identity", self.rsa_key, says="--expect-root")

    def test_mount(self):
        point = self.path("point")
        os.mkdir(point)
        words = self.file("words", b"of the key\n")
        locked = self.path("locked.key")
        c.openssl("pkcs8", "-topk8", "-in", self.ec_key, "-out", locked, "-passout", f"file:{words}", "-iter", "1")
        for options in (["--identity", self.ec_key], ["-o", f"identity={self.ec_key}"],
                        ["-o", f"identity={locked},identity_passphrase_file={words}"]):
            done = cli.run("mount", self.vault, point, *options)
            if done.status == cli.NO_FUSE:
                self.skipTest("no FUSE here")
            self.assertEqual((done.status, done.err), (cli.OK, ""))
            self.assertTrue(os.path.ismount(point))
            self.good("umount", point)
        fingerprint = self.status()["fingerprint"].replace(" ", "")
        self.elsewhere()
        self.bad(cli.REFUSED, "mount", self.vault, point, "-o", f"identity={self.ec_key}", says="root=")
        self.good("mount", self.vault, point, "-o", f"identity={self.ec_key},root={fingerprint}")
        self.good("umount", point)

    def test_fsck(self):
        program = self.path("fsck.coffer")
        os.symlink(cli.COFFER, program)
        done = cli.run_program([program, "-n", "--identity", self.ec_key, self.vault])
        self.assertEqual((done.status, done.err), (0, ""))


class Interop(Case):
    def test_openssl_opens_what_we_wrote(self):
        for pem, key in ((self.rsa, self.rsa_key), (self.ec, self.ec_key)):
            self.do("add", "--certificate", pem)
            k = self.keyring()
            p = k.doc["protectors"][-1]
            x = c.decrypt(c.unb64(p["cms"]), key, pem)
            self.assertEqual(len(x), 32)
            fingerprint = c.derive(k.root_by(p, x), "coffer root fingerprint", k.volume_id, length=16).hex()
            self.assertEqual(fingerprint, self.status()["fingerprint"].replace(" ", ""))

    def replace_cms(self, make):
        """The volume's protector 2, with other CMS in it around the same X."""
        k = self.keyring()
        p = k.protector(2)
        x = c.decrypt(c.unb64(p["cms"]), self.rsa_key, self.rsa)
        p["cms"] = c.b64(make(x))
        k.write(k.root_by(p, x))

    def test_we_open_what_openssl_wrote(self):
        self.do("add", "--certificate", self.rsa)
        self.replace_cms(lambda x: c.encrypt(x, (self.rsa, "rsa")))
        self.assertEqual(self.opened_by(self.rsa_key), 2)
        self.replace_cms(lambda x: c.encrypt(x, (self.rsa, "rsa"), (self.ec, "ec")))
        self.assertEqual((self.opened_by(self.rsa_key), self.opened_by(self.ec_key)), (2, 2))

    def test_what_openssl_writes_by_default_is_damage(self):
        """PKCS #1 v1.5, other ciphers, SHA-1: refused before anything is decrypted, by everybody who reads the keyring."""
        self.do("add", "--certificate", self.rsa)
        with open(self.keyring().path) as f:
            whole = f.read()
        for make, says in ((lambda x: c.encrypt(x, (self.rsa, "rsa"), options=[]), "RSAES-OAEP"),
                           (lambda x: c.encrypt(x, (self.rsa, "rsa"), cipher="-aes-128-gcm"), "AES-256-GCM"),
                           (lambda x: c.encrypt(x, (self.rsa, "rsa"), cipher="-aes-256-cbc"), "AuthEnvelopedData"),
                           (lambda x: c.encrypt(x, (self.rsa, "rsa"), (self.ec, "ec"), options=[]), "RSAES-OAEP")):
            self.replace_cms(make)
            self.bad(cli.DAMAGED, "key", "test", self.vault, "--key-file", self.key, says=says)
            for name in (".coffer/keyring.json", ".coffer/keyring.json.bak"):
                with open(os.path.join(self.vault, name), "w") as f:
                    f.write(whole)

    def test_the_helper_keeps_what_is_not_verified(self):
        """Whatever bit is changed: no byte of plaintext on its output."""
        plain = os.urandom(200)

        def ask(cms, key=self.ec_key):
            with open(key, "rb") as f:
                frames = (f.read(), b"", cms)
            return subprocess.run([c.HELPER, "decrypt"], input=b"".join(struct.pack("<I", len(x)) + x for x in frames),
                                  capture_output=True, env={})

        cms = c.encrypt(plain, (self.ec, "ec"))
        self.assertEqual(ask(cms).stdout, struct.pack("<I", 200) + plain)
        at = cms.index(b"\x02\x01\x10") + 5  # behind the size of the tag: the ciphertext, then the tag
        for change in (at + 10, at + 150, len(cms) - 16, len(cms) - 1):
            done = ask(cms[:change] + bytes([cms[change] ^ 1]) + cms[change + 1:])
            self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertEqual((ask(cms, self.rsa_key).returncode, ask(cms[:-1]).returncode), (1, 1))


class Pin(Case):
    """An attacker makes a volume of his own for the victim's certificate, and puts it where the victim's was."""

    def setUp(self):
        super().setUp()
        self.do("add", "--certificate", self.rsa)
        self.fingerprint = self.status()["fingerprint"]

    def put_in(self, theirs):
        for name in ("keyring.json", "keyring.json.bak", "volume.json", "volume.json.bak"):
            shutil.copy(os.path.join(theirs, ".coffer", name), os.path.join(self.vault, ".coffer", name))

    def test_a_volume_of_his_own(self):
        mine, theirs = os.environ["COFFER_STATE_DIR"], self.path("theirs")
        self.elsewhere("attacker")
        self.volume("theirs")
        self.do("add", "--certificate", self.rsa, vault=theirs)
        self.put_in(theirs)
        os.environ["COFFER_STATE_DIR"] = mine
        foreign = self.status()["fingerprint"]
        for verb in (["key", "test"], ["key", "rotate"], ["check"], ["path"], ["adopt"], ["mount"]):
            more = [self.path("x")] if verb == ["path"] else []
            if verb == ["mount"]:
                os.mkdir(self.path("point"))
                more = [self.path("point")]
            self.unchanged(self.path("vault/data"), cli.REFUSED, *verb, self.vault, *more, "--identity", self.rsa_key, says=foreign)
        self.bad(cli.REFUSED, "mount", self.vault, self.path("point"), "-o", f"oldcopy,identity={self.rsa_key}", says=foreign)
        self.bad(cli.REFUSED, "key", "test", self.vault, "--identity", self.rsa_key, "--expect-root", self.fingerprint,
                 says="not the one that was named")

    def test_on_another_host(self):
        """Unknown: the fingerprint decides, and is then remembered."""
        for state in ("elsewhere", ""):
            self.elsewhere(state)
            os.environ["COFFER_STATE_DIR"] = self.path(state) if state else ""
            test = ["key", "test", self.vault, "--identity", self.rsa_key]
            self.bad(cli.REFUSED, *test, says=self.fingerprint)
            self.bad(cli.REFUSED, *test, "--expect-root", "0" * 32, says=self.fingerprint)
            self.good(*test, "--expect-root", self.fingerprint.replace(" ", "").upper())
            if state:
                self.good(*test)
            else:
                self.bad(cli.REFUSED, *test, says=self.fingerprint)
        self.do("test")  # a secret that two sides share needs no pin
        self.bad(cli.REFUSED, "key", "test", self.vault, "--key-file", self.key, "--expect-root", "0" * 32)

    def test_at_a_terminal(self):
        self.elsewhere()
        for answer, status in (("no", cli.REFUSED), ("\x04", cli.REFUSED), ("yes", cli.OK)):
            t = cli.Terminal("key", "test", self.vault, "--identity", self.rsa_key)
            t.expect(self.fingerprint)
            t.expect("Type yes: ")
            t.type(answer)
            t.expect("not confirmed" if status else "opens")
            self.assertEqual(t.end(), status)
        self.good("key", "test", self.vault, "--identity", self.rsa_key)

    def test_who_once_knew_the_root(self):
        """He has a removed key file and an old keyring, and makes a successor of his own; the host has seen the real one."""
        old = self.path("old")
        shutil.copytree(self.vault, old, symlinks=True)
        mine = os.environ["COFFER_STATE_DIR"]
        self.good("key", "rotate", self.vault, "--root", "--identity", self.rsa_key)
        self.elsewhere("attacker")
        self.good("key", "rotate", old, "--root", "--key-file", self.key, "--keep-certificate", self.rsa)
        self.put_in(old)
        os.environ["COFFER_STATE_DIR"] = mine
        self.bad(cli.REFUSED, "key", "test", self.vault, "--identity", self.rsa_key, says="foreign root")

    def test_backups(self):
        """The same by a backup: verified it says whose it is; restoring on a host that knows nothing asks."""
        backup, new = self.path("b"), self.file("new", os.urandom(32))
        self.do("backup", "-o", backup, "--recipient", self.ec)
        self.elsewhere()
        self.assertIn(self.fingerprint, self.good("key", "backup", "--verify", backup, "--backup-identity", self.ec_key).out)
        restore = ["key", "restore", self.vault, backup, "--backup-identity", self.ec_key, "--new-key-file", new]
        for name in ("keyring.json", "keyring.json.bak"):
            os.unlink(os.path.join(self.vault, ".coffer", name))
        self.unchanged(self.vault, cli.REFUSED, *restore, says=self.fingerprint)
        self.good(*restore, "--expect-root", self.fingerprint)
        self.good("key", "test", self.vault, "--key-file", new)

    def test_a_foreign_backup_beside_a_foreign_volume(self):
        """`backup --verify` opens the volume by the backup's root: it is no way in."""
        backup = self.path("b")
        self.do("backup", "-o", backup, "--recipient", self.ec)
        self.elsewhere()
        self.bad(cli.REFUSED, "key", "backup", "--verify", backup, self.vault, "--backup-identity", self.ec_key,
                 says=self.fingerprint)


class Backups(Case):
    def test_life(self):
        for pem, key in ((self.rsa, self.rsa_key), (self.ec, self.ec_key)):
            backup = self.path(os.path.basename(pem))
            self.do("backup", "-o", backup, "--recipient", pem)
            self.good("key", "backup", "--verify", backup, self.vault, "--backup-identity", key)
            self.bad(cli.NO_SECRET, "key", "backup", "--verify", backup, says="certificate")
            self.bad(cli.WRONG_SECRET, "key", "backup", "--verify", backup, "--backup-key-file", self.key)
            other = self.ec_key if key == self.rsa_key else self.rsa_key
            self.bad(cli.WRONG_SECRET, "key", "backup", "--verify", backup, "--backup-identity", other)
        self.assertEqual((self.status()["unbacked"], self.status()["backups"][1]["type"]), ([], "certificate"))

    def test_usage(self):
        backup = self.path("b")
        make = ["key", "backup", self.vault, "--key-file", self.key, "-o", backup]
        self.bad(cli.USAGE, *make, "--backup-identity", self.rsa_key, says="--recipient")
        self.bad(cli.USAGE, *make, "--recipient", self.rsa, "--backup-key-file", self.key)
        self.bad(cli.USAGE, *make, "--recipient", self.rsa, "--shares", "1/1", "--share-dir", self.path("s"))
        self.bad(cli.USAGE, "key", "backup", "--verify", backup, "--recipient", self.rsa)
        self.assertFalse(os.path.exists(backup))
        self.bad(cli.REFUSED, *make, "--recipient", c.certificate(self.top, "s", self.rsa_key, "digitalSignature"),
                 says="keyEncipherment")
        self.assertFalse(os.path.exists(backup))

    def test_openssl_opens_a_backup(self):
        backup = self.path("b")
        self.do("backup", "-o", backup, "--recipient", self.rsa)
        b = c.Keyring(backup)
        p = b.doc["protectors"][0]
        root = b.root_by(p, c.decrypt(c.unb64(p["cms"]), self.rsa_key, self.rsa))
        x = os.urandom(32)
        p["cms"] = c.b64(c.encrypt(x, (self.ec, "ec")))
        b.protect(p, x, root)
        b.write(root, "coffer backup mac")
        self.good("key", "backup", "--verify", backup, self.vault, "--backup-identity", self.ec_key)


if __name__ == "__main__":
    cli.main()
