"""Protectors of a TPM 2.0, in swtpm: PCRs, PINs, another TPM, and who put in another root."""

import json
import os
import shutil
import unittest

import cli
from certificates import Keyring, b64, unb64
from tokens import NO_TPM, UNREACHABLE, Tpm


@unittest.skipIf(NO_TPM, NO_TPM)
class Case(cli.Case):
    @classmethod
    def setUpClass(cls):
        cls.tpm = Tpm()
        cls.addClassCleanup(cls.tpm.end)

    def setUp(self):
        super().setUp()
        os.environ["COFFER_STATE_DIR"] = self.path("state")
        self.addCleanup(os.environ.__setitem__, "COFFER_STATE_DIR", "")
        self.pin, self.wrong = self.file("pin", b"271828\n"), self.file("wrong", b"1234\n")
        self.by_tpm = ["--tpm", "--tpm-tcti", self.tpm.tcti]
        self.vault = self.volume()

    def add(self, *more, tpm=None):
        self.good("key", "add", self.vault, "--key-file", self.key, "--tpm", "--tpm-tcti", (tpm or self.tpm).tcti, *more)

    def opened(self, *more):
        return json.loads(self.good("key", "test", self.vault, *self.by_tpm, "--json", *more).out)["id"]

    def fails(self, status, says, *more):
        self.bad(status, "key", "test", self.vault, *self.by_tpm, *more, says=says)

    def status(self):
        return json.loads(self.good("status", self.vault, "--json").out)

    def edit(self, **members):
        """Protector 2 as somebody without keys would change it."""
        path = os.path.join(self.vault, ".coffer", "keyring.json")
        with open(path, encoding="ascii") as f:
            text = f.read()
        p = Keyring(path).protector(2)
        for name, value in members.items():
            old, new = (f'"{name}": {json.dumps(v)}' for v in (p[name], value))
            self.assertIn(old, text)
            text = text.replace(old, new)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        cli.seal_again(path)
        shutil.copy(path, path + ".bak")
        return p


class Protectors(Case):
    def test_life(self):
        self.add()
        self.add("--pcrs", "0,7,23", "--tpm-pin-file", self.pin)
        self.assertEqual([p["detail"] for p in self.status()["protectors"][1:]], ["PCRs 7", "PCRs 0,7,23, PIN"])
        self.assertEqual(self.opened(), 2)
        self.good("key", "remove", self.vault, "1", *self.by_tpm)
        self.good("key", "remove", self.vault, "2", *self.by_tpm)
        self.assertEqual(self.opened("--tpm-pin-file", self.pin), 3)
        self.fails(cli.NO_SECRET, "--tpm-pin-file")
        self.good("key", "add", self.vault, "--unlock-tpm", "--unlock-tpm-pin-file", self.pin, "--tpm", "--tpm-pin-file", self.wrong, "--tpm-tcti",
                  self.tpm.tcti)
        self.good("key", "remove", self.vault, "3", *self.by_tpm, "--tpm-pin-file", self.pin)
        self.assertEqual(self.opened("--tpm-pin-file", self.wrong), 4)
        self.good("check", self.vault, "--deep", *self.by_tpm, "--tpm-pin-file", self.wrong)

    def test_init(self):
        for verb, place in (("init", "v"), ("key init", "k")):
            self.good(*verb.split(), self.path(place), *self.by_tpm, "--pcrs", "7,11", "--no-recovery-key")
            self.good("key", "test", self.path(place), *self.by_tpm)

    def test_another_boot(self):
        self.add("--pcrs", "7,16")
        self.assertEqual(self.opened(), 2)
        self.tpm.extend()
        self.fails(cli.WRONG_SECRET, "another one than it is sealed for")
        self.add("--pcrs", "7,16")
        self.assertEqual(self.opened(), 3)

    def test_a_wrong_pin(self):
        """Counted by the TPM: so it is tried once, also where two protectors could take it."""
        for _ in range(2):
            self.add("--pcrs", "none", "--tpm-pin-file", self.pin)
        before = self.tpm.wrong_pins()
        self.fails(cli.WRONG_SECRET, "PIN is wrong", "--tpm-pin-file", self.wrong)
        self.assertEqual(self.tpm.wrong_pins(), before + 1)
        self.assertEqual(self.opened("--tpm-pin-file", self.pin), 2)

    def test_another_tpm(self):
        other = Tpm()
        self.addCleanup(other.end)
        self.add(tpm=other)
        self.fails(cli.WRONG_SECRET, "nothing here is sealed by this TPM")
        self.add()
        self.assertEqual(self.opened(), 3)
        self.bad(UNREACHABLE, "key", "test", self.vault, "--tpm", "--tpm-tcti", "swtpm:host=127.0.0.1,port=1", says="no TPM")

    def test_mount_and_fsck(self):
        self.add()
        program, point = self.path("fsck.coffer"), self.path("point")
        os.symlink(cli.COFFER, program)
        done = cli.run_program([program, "-n", *self.by_tpm, self.vault])
        self.assertEqual((done.status, done.err), (0, ""))
        os.mkdir(point)
        done = cli.run("mount", self.vault, point, "-o", "tpm", "--tpm-tcti", self.tpm.tcti)
        if done.status == cli.NO_FUSE:
            self.skipTest("no FUSE here")
        self.assertEqual((done.status, done.err), (cli.OK, ""))
        self.good("umount", point)

    def test_a_foreign_root(self):
        self.add()
        fingerprint = self.status()["fingerprint"]
        os.environ["COFFER_STATE_DIR"] = self.path("elsewhere")
        self.fails(cli.REFUSED, "who may use the TPM")
        self.opened("--expect-root", fingerprint)

    def test_a_new_root(self):
        self.add("--tpm-pin-file", self.pin)
        self.add()
        self.assertIn("protector 1 (key-file", self.good("key", "rotate", self.vault, "--root", *self.by_tpm).out)
        self.assertEqual(self.opened(), 3)
        self.good("key", "add", self.vault, "--unlock-tpm", "--tpm-tcti", self.tpm.tcti, "--new-key-file", self.key)
        self.assertIn("(tpm2", self.good("key", "rotate", self.vault, "--root", "--key-file", self.key).out)
        self.fails(cli.WRONG_SECRET, "nothing here")

    def test_changes(self):
        self.add()
        p = self.edit()
        for name in ("public", "private"):
            data = bytearray(unb64(p[name]))
            data[-1] ^= 1
            self.edit(**{name: b64(bytes(data))})
            self.fails(cli.WRONG_SECRET, "nothing here is sealed by this TPM")
            self.edit(**{name: p[name]})
        for pcrs in ("7,7", "8,7", "24", "07", "7,", ",7", "a", "-1", "7, 8", ""):
            self.edit(pcrs=pcrs)
            self.bad(cli.DAMAGED, "key", "list", self.vault, says="PCRs")
            self.edit(pcrs="7")
        self.edit(pcrs="8")
        self.fails(cli.WRONG_SECRET, "another one")

    def test_usage(self):
        add = ["key", "add", self.vault, "--key-file", self.key, "--tpm-tcti", self.tpm.tcti]
        for words, status in ((["--tpm", "--pcrs", "none"], cli.USAGE), (["--tpm", "--pcrs", "7,24"], cli.USAGE), (["--pcrs", "7"], cli.USAGE),
                              (["--tpm-pin-file", self.pin], cli.USAGE), (["--tpm", "--new-key-file", self.key], cli.USAGE),
                              (["--unlock-tpm"], cli.USAGE), (["--new-key-file", self.key, "--unlock-tpm-pin-file", self.pin], cli.USAGE),
                              (["--tpm", "--tpm-pin-file", self.file("long", b"1" * 33)], cli.NO_SECRET)):
            self.unchanged(self.vault, status, *add, *words)
        self.bad(cli.USAGE, "key", "test", self.vault, "--tpm", "--key-file", self.key)


if __name__ == "__main__":
    cli.main()
