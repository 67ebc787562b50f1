"""Backups, and a drill for every loss that they are for: what docs/keys.md tells people to do, done."""

import json
import os
import shutil
import unittest
import xml.etree.ElementTree

import certificates
import cli


class Drill(cli.Case):
    def setUp(self):
        super().setUp()
        os.environ["COFFER_STATE_DIR"] = self.path("state")
        self.addCleanup(os.environ.__setitem__, "COFFER_STATE_DIR", "")
        self.vault = self.volume()
        self.backup_key = self.file("backup-key", os.urandom(32))
        self.new_key = self.file("new-key", os.urandom(32))
        self.backup = self.path("vault.backup")
        self.shares = self.path("shares")

    def do(self, verb, *arguments, key=None):
        out = self.good("key", verb, self.vault, *arguments, "--key-file", key or self.key, "--json").out
        return json.loads(out)

    def make(self, *how):
        return self.do("backup", "-o", self.backup, *(how or ("--backup-key-file", self.backup_key)))

    def verify(self, *how):
        return self.good("key", "backup", "--verify", self.backup, self.vault,
                         *(how or ("--backup-key-file", self.backup_key)))

    def restore(self, *how):
        return json.loads(self.good("key", "restore", self.vault, self.backup,
                                    *(how or ("--backup-key-file", self.backup_key)),
                                    "--new-key-file", self.new_key, "--json").out)

    def status(self):
        return json.loads(self.good("status", self.vault, "--json").out)

    def dot(self, name):
        return os.path.join(self.vault, ".coffer", name)

    def share(self, *numbers):
        return [word for n in numbers for word in ("--share", os.path.join(self.shares, f"share-{n}.txt"))]

    def lose_keyring(self):
        os.unlink(self.dot("keyring.json"))
        os.unlink(self.dot("keyring.json.bak"))

    # ---- backups

    def test_a_backup_counts_when_it_was_verified(self):
        self.assertEqual(self.status()["unbacked"], [1, 2])
        self.assertIn("backup       none", self.good("status", self.vault).out)
        self.make()
        self.assertEqual((self.status()["unbacked"], self.status()["backups"][0]["verified"]), ([1, 2], None))
        self.assertIn("never verified", self.good("status", self.vault).out)
        self.assertIn("holds 2 generations", self.verify().out)
        self.assertEqual(self.status()["unbacked"], [])
        self.assertEqual(self.do("rotate")["unbacked"], [3])
        self.assertIn("no verified backup holds generation 3", self.good("status", self.vault).out)
        self.bad(cli.REFUSED, "key", "backup", "--verify", self.backup, self.vault, "--backup-key-file", self.backup_key,
                 says="generation 3")

    def test_what_is_refused(self):
        self.make()
        self.assertEqual(os.stat(self.backup).st_mode & 0o777, 0o600)
        unlock = ["--key-file", self.key]
        self.bad(cli.REFUSED, "key", "backup", self.vault, *unlock, "-o", self.backup, "--backup-key-file",
                 self.backup_key, says="exists")
        other = self.path("other")
        for words in (["--shares", "2/3"], ["--share-dir", "x"], ["--shares", "0/3", "--share-dir", self.path("x")],
                      ["--shares", "4/3", "--share-dir", self.path("x")], ["--shares", "3", "--share-dir", self.path("x")],
                      ["--shares", "2/17", "--share-dir", self.path("x")]):
            self.bad(cli.USAGE, "key", "backup", self.vault, *unlock, "-o", other, *words)
        self.bad(cli.USAGE, "key", "backup", self.vault, *unlock, says="-o")
        self.bad(cli.USAGE, "key", "backup", "--verify", self.backup, "-o", other)
        self.assertFalse(os.path.exists(other) or os.path.exists(self.path("x")))
        self.bad(cli.NO_SECRET, "key", "backup", "--verify", self.backup, says="key-file")
        self.bad(cli.WRONG_SECRET, "key", "backup", "--verify", self.backup, "--backup-key-file", self.key)
        self.bad(cli.DAMAGED, "key", "backup", "--verify", self.key, "--backup-key-file", self.key, says="no backup")

    def test_passphrase(self):
        """One derivation for each run: the only test that does it."""
        words = self.file("words", b"for the backup\n")
        self.make("--backup-passphrase-file", words)
        self.assertIn("opens", self.good("key", "backup", "--verify", self.backup, "--backup-passphrase-file", words).out)

    # ---- shares

    def test_one_share_missing(self):
        self.make("--shares", "2/3", "--share-dir", self.shares)
        verify = ["key", "backup", "--verify", self.backup]
        self.bad(cli.WRONG_SECRET, *verify, *self.share(1), says="1 shares were given, and 2 are needed")
        self.bad(cli.WRONG_SECRET, *verify, *self.share(2, 2), says="twice")
        for two in ((1, 2), (1, 3), (3, 2)):
            self.good(*verify, *self.share(*two))
        self.lose_keyring()
        self.restore(*self.share(3, 1))
        self.do("test", key=self.new_key)

    def test_a_share_that_does_not_fit(self):
        self.make("--shares", "2/2", "--share-dir", self.shares)
        others = self.path("others")
        self.do("backup", "-o", self.path("second"), "--shares", "2/2", "--share-dir", others)
        verify = ["key", "backup", "--verify", self.backup, *self.share(1)]
        self.bad(cli.WRONG_SECRET, *verify, "--share", os.path.join(others, "share-2.txt"), says="not of one backup")
        with open(os.path.join(self.shares, "share-2.txt")) as f:
            text = f.read()
        before, last = text.rstrip().rsplit(None, 1)  # the word may stand earlier in the share as well
        typo = self.file("typo", f"{before} {'wisdom' if last != 'wisdom' else 'yoga'}\n".encode())
        self.bad(cli.WRONG_SECRET, *verify, "--share", typo, says="checksum")
        typo = self.file("typo", f"{before} wizdom\n".encode())
        self.bad(cli.WRONG_SECRET, *verify, "--share", typo, says="word 33")
        # The right shares of another backup.
        self.bad(cli.WRONG_SECRET, "key", "backup", "--verify", self.backup, "--share",
                 os.path.join(others, "share-1.txt"), "--share", os.path.join(others, "share-2.txt"))

    def test_qr_codes(self):
        self.make("--shares", "1/1", "--share-dir", self.shares)
        picture = os.path.join(self.shares, "share-1.svg")
        if not os.path.exists(picture):
            self.skipTest("no libqrencode")
        side = int(xml.etree.ElementTree.parse(picture).getroot().get("viewBox").split()[2])
        self.assertEqual((side - 8 - 17) % 4, 0)  # a QR code and its margin
        self.assertEqual(os.stat(picture).st_mode & 0o777, 0o600)

    # ---- losses

    def test_keyring_deleted(self):
        self.make()
        self.lose_keyring()
        self.bad(cli.DAMAGED, "key", "test", self.vault, "--key-file", self.key)
        done = self.restore()
        self.assertEqual((done["merged"], done["generations"], done["seen"]), (False, 2, None))
        self.do("test", key=self.new_key)
        self.bad(cli.WRONG_SECRET, "key", "test", self.vault, "--key-file", self.key)
        self.good("check", self.vault, "--deep", "--key-file", self.new_key)
        self.good("key", "audit", "verify", self.vault, "--key-file", self.new_key)

    def test_keyring_and_settings_deleted(self):
        self.make()
        self.lose_keyring()
        os.unlink(self.dot("volume.json"))
        os.unlink(self.dot("volume.json.bak"))
        self.restore()
        self.good("check", self.vault, "--deep", "--key-file", self.new_key)

    def test_one_copy_damaged(self):
        with open(self.dot("keyring.json"), "r+b") as f:
            f.seek(100)
            f.write(b"????")
        self.do("rotate")  # by the second copy, and both are whole again
        with open(self.dot("keyring.json")) as a, open(self.dot("keyring.json.bak")) as b:
            self.assertEqual(a.read(), b.read())

    def test_passphrase_forgotten(self):
        self.make()
        self.do("rotate")
        done = self.restore()
        self.assertEqual((done["merged"], done["added"], done["generations"]), (True, 0, 3))
        self.do("test", key=self.new_key)
        self.do("test")  # and whoever remembers still comes in

    def test_old_backup_only(self):
        self.make()
        self.do("rotate")
        self.lose_keyring()
        done = self.restore()
        self.assertEqual(done["seen"], 3)
        states = {g["generation"]: g["state"] for g in self.status()["generations"]}
        self.assertEqual((states[1], states[4], states.get(3)), ("deactivated", "active", None))

    def test_old_backup_only_on_a_host_that_knows_nothing(self):
        """The audit log of the volume remembers what the host cannot: no number is given away twice."""
        self.make()
        self.do("rotate")
        self.lose_keyring()
        os.environ["COFFER_STATE_DIR"] = self.path("another-host")
        self.assertEqual(self.restore()["seen"], 3)
        self.assertEqual(max(g["generation"] for g in self.status()["generations"]), 5)
        # What somebody without the audit key adds to it counts for nothing.
        self.lose_keyring()
        with open(self.dot("audit.log"), "a") as f:
            f.write('{"n":99,"event":"generation","generation":77,"mac":"' + "0" * 64 + '"}\n')
        shutil.rmtree(self.path("another-host"))
        self.assertEqual(self.restore()["seen"], 5)

    @unittest.skipIf(certificates.MISSING, certificates.MISSING)
    def test_certificate_expired(self):
        """Of the only backup, whose private key is there.  (Of a protector: test_certificates.py.)"""
        key = certificates.new_key(self.top, "mine", "ec")
        pem = certificates.certificate(self.top, "mine", key)
        self.make("--recipient", pem)
        past = certificates.dated(self.top, "past", key, "200101000000Z", "210101000000Z")
        backup = certificates.Keyring(self.backup)  # as if it were that old
        p = backup.doc["protectors"][0]
        x = certificates.decrypt(certificates.unb64(p["cms"]), key, pem)
        p.update(certificate=certificates.b64(certificates.to_der(past)), expires="2021-01-01T00:00:00Z",
                 cms=certificates.b64(certificates.encrypt(x, (past, "ec"))))
        backup.write(backup.root_by(p, x), "coffer backup mac")
        self.lose_keyring()
        self.restore("--backup-identity", key)
        self.do("test", key=self.new_key)
        self.bad(cli.REFUSED, "key", "backup", self.vault, "--key-file", self.new_key, "-o", self.path("next"), "--recipient", past,
                 says="has expired")

    def test_data_newer_than_the_keyring(self):
        """An old keyring put back where nothing remembers the newer one: reads what it can, refuses writes, says so."""
        point = self.path("point")
        os.mkdir(point)
        for name in ("keyring.json", "keyring.json.bak"):
            shutil.copy(self.dot(name), self.path(name))
        mount = ["mount", self.vault, point, "--key-file", self.key]
        done = cli.run(*mount)
        if done.status == cli.NO_FUSE:
            self.skipTest("no FUSE here")
        for name in ("old", "new"):
            with open(os.path.join(point, name), "w") as f:
                f.write(name)
            if name == "old":
                self.good("umount", point)
                self.do("rotate")
                self.make()
                self.good(*mount)
        self.good("umount", point)
        for name in ("keyring.json", "keyring.json.bak"):
            shutil.copy(self.path(name), self.dot(name))
        os.environ["COFFER_STATE_DIR"] = self.path("another-host")
        done = self.good(*mount)
        self.assertIn("older than the data: generation 3", done.err)
        with open(os.path.join(point, "old")) as f:
            self.assertEqual(f.read(), "old")
        with open(os.path.join(point, "new")) as f:
            self.assertRaises(OSError, f.read)
        with self.assertRaises(OSError):
            os.mknod(os.path.join(point, "another"))
        self.good("umount", point)
        before = cli.snapshot(os.path.join(self.vault, "data"))
        self.assertIn("older than the data", cli.run("check", self.vault, "--repair", "--key-file", self.key).out
                      + cli.run("check", self.vault, "--json", "--key-file", self.key).out)
        self.assertEqual(cli.snapshot(os.path.join(self.vault, "data")), before)
        self.restore()  # a newer backup turns up
        self.assertEqual(self.good(*mount).err, "")
        with open(os.path.join(point, "new")) as f:
            self.assertEqual(f.read(), "new")
        self.good("umount", point)

    def test_rotated_while_mounted(self):
        """The same, when the newer generation came while the volume was mounted."""
        point = self.path("point")
        os.mkdir(point)
        for name in ("keyring.json", "keyring.json.bak"):
            shutil.copy(self.dot(name), self.path(name))
        mount = ["mount", self.vault, point, "--key-file", self.key]
        if cli.run(*mount).status == cli.NO_FUSE:
            self.skipTest("no FUSE here")
        self.do("rotate")
        with open(os.path.join(point, "new"), "w") as f:
            f.write("new")
        self.good("umount", point)
        for name in ("keyring.json", "keyring.json.bak"):
            shutil.copy(self.path(name), self.dot(name))
        os.environ["COFFER_STATE_DIR"] = ""
        self.assertIn("older than the data: generation 3", self.good(*mount).err)
        self.good("umount", point)

    def test_old_keyring_put_back(self):
        kept = self.path("kept")
        shutil.copy(self.dot("keyring.json"), kept)
        self.do("rotate")
        self.make()
        for name in ("keyring.json", "keyring.json.bak"):
            shutil.copy(kept, self.dot(name))
        self.bad(cli.REFUSED, "key", "test", self.vault, "--key-file", self.key, says="older")
        done = self.restore()
        self.assertEqual((done["merged"], done["added"]), (True, 1))
        self.do("test")
        self.do("test", key=self.new_key)

    def test_backup_of_another_volume(self):
        self.make()
        other = self.volume("other")
        self.unchanged(other, cli.REFUSED, "key", "restore", other, self.backup, "--backup-key-file", self.backup_key,
                       "--new-key-file", self.new_key, says="another volume")

    def test_restore_asks_for_what_is_missing(self):
        self.make()
        self.unchanged(self.vault, cli.NO_SECRET, "key", "restore", self.vault, self.backup)
        self.unchanged(self.vault, cli.NO_SECRET, "key", "restore", self.vault, self.backup, "--backup-key-file",
                       self.backup_key)
        self.unchanged(self.vault, cli.WRONG_SECRET, "key", "restore", self.vault, self.backup, "--backup-key-file",
                       self.new_key, "--new-key-file", self.new_key)


if __name__ == "__main__":
    cli.main()
