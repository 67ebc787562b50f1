"""Protectors of PKCS #11 tokens, in SoftHSM: what opens, what does not, and that a PIN is never tried twice."""

import glob
import json
import os
import shutil
import tempfile
import unittest

import cli
from certificates import Keyring, b64, unb64
from tokens import NO_TOKENS, PIN, UNREACHABLE, Tokens, random_key


@unittest.skipIf(NO_TOKENS, NO_TOKENS)
class Case(cli.Case):
    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.mkdtemp(prefix="coffer-token.")
        cls.addClassCleanup(shutil.rmtree, cls.place)
        os.mkdir(os.path.join(cls.place, "whole"))
        cls.whole = Tokens(os.path.join(cls.place, "whole"))
        cls.kek = random_key(32)
        for token in ("coffer", "other"):
            cls.whole.add(token)
        cls.whole.add_key("coffer", "kek", cls.kek)
        cls.whole.add_key("other", "kek", random_key(32))
        cls.whole.add_key("coffer", "short", random_key(16), "02")

    def setUp(self):
        super().setUp()
        os.environ["COFFER_STATE_DIR"] = self.path("state")
        self.addCleanup(os.environ.__setitem__, "COFFER_STATE_DIR", "")
        self.tokens = self.whole.copy(self.path("token"))
        self.uri = "pkcs11:token=coffer;object=kek"
        self.pin, self.wrong = self.file("pin", PIN.encode() + b"\n"), self.file("wrong", b"1234\n")
        self.by_pin = ["--pin-file", self.pin, "--pkcs11-module", self.tokens.module]
        self.vault = self.volume()

    def add(self, uri=None, vault=None):
        self.good("key", "add", vault or self.vault, "--key-file", self.key, "--pkcs11", uri or self.uri, "--pin-file", self.pin,
                  "--pkcs11-module", self.tokens.module)

    def opened(self, *more, vault=None):
        return json.loads(self.good("key", "test", vault or self.vault, *self.by_pin, "--json", *more).out)["id"]

    def fails(self, status, says, pin=None, logins=1):
        self.tokens.logins()
        self.bad(status, "key", "test", self.vault, "--pin-file", pin or self.pin, "--pkcs11-module", self.tokens.module, says=says)
        self.assertEqual(self.tokens.logins(), logins)

    def elsewhere(self):
        os.environ["COFFER_STATE_DIR"] = self.path("elsewhere")

    def fingerprint(self):
        return json.loads(self.good("status", self.vault, "--json").out)["fingerprint"]

    def edit(self, **members):
        """Protector 2 as somebody without keys would change it."""
        path = os.path.join(self.vault, ".coffer", "keyring.json")
        with open(path, encoding="ascii") as f:
            text = f.read()
        p = Keyring(path).protector(2)
        for name, value in members.items():
            self.assertIn(f'"{p[name]}"', text)
            text = text.replace(f'"{p[name]}"', f'"{value}"')
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        cli.seal_again(path)
        shutil.copy(path, path + ".bak")


class Protectors(Case):
    def test_life(self):
        self.add()
        self.assertEqual(self.tokens.logins(), 1)
        self.assertEqual(self.opened(), 2)
        self.assertEqual(self.tokens.logins(), 1)
        listed = json.loads(self.good("status", self.vault, "--json").out)["protectors"][1]
        self.assertEqual((listed["type"], listed["detail"]), ("pkcs11", self.uri))
        self.good("key", "remove", self.vault, "1", *self.by_pin)
        self.bad(cli.REFUSED, "key", "remove", self.vault, "2", *self.by_pin, says="last")
        self.good("check", self.vault, "--deep", *self.by_pin)
        self.good("key", "add", self.vault, "--unlock-pin-file", self.pin, "--pkcs11-module", self.tokens.module, "--new-key-file", self.key)
        self.good("key", "test", self.vault, "--key-file", self.key)

    def test_the_format(self):
        """Another AES-GCM, which has the token's key, opens what docs/format-keyring.md describes."""
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError:
            self.skipTest("no python3-cryptography")
        self.add()
        k = Keyring(os.path.join(self.vault, ".coffer", "keyring.json"))
        p = k.protector(2)
        self.assertEqual((len(unb64(p["iv"])), len(unb64(p["value"]))), (12, 48))
        x = AESGCM(self.kek).decrypt(unb64(p["iv"]), unb64(p["value"]), b"coffer pkcs11\x01" + k.volume_id)
        self.assertEqual(len(k.root_by(p, x)), 32)

    def test_init(self):
        made = ["--pkcs11", self.uri, *self.by_pin, "--no-recovery-key"]
        self.assertIn("fingerprint", self.good("init", self.path("v"), *made, "--journal-size", "4M").out)
        self.good("key", "init", self.path("k"), *made)
        self.assertEqual([self.opened(vault=self.path(v)) for v in "vk"], [1, 1])

    def test_mount(self):
        self.add()
        point = self.path("point")
        os.mkdir(point)
        inside = f"pin_file={self.pin},pkcs11_module={self.tokens.module}"
        for options in (self.by_pin, ["-o", inside], ["-o", f"pin_file={self.pin}", "--pkcs11-module", self.tokens.module]):
            done = cli.run("mount", self.vault, point, *options)
            if done.status == cli.NO_FUSE:
                self.skipTest("no FUSE here")
            self.assertEqual((done.status, done.err), (cli.OK, ""))
            self.assertTrue(os.path.ismount(point))
            self.good("umount", point)
        self.tokens.logins()
        self.bad(cli.WRONG_SECRET, "mount", self.vault, point, "-o", inside.replace(self.pin, self.wrong), says="PIN is wrong")
        self.assertEqual(self.tokens.logins(), 1)
        fingerprint = self.fingerprint().replace(" ", "")
        self.elsewhere()
        self.bad(cli.REFUSED, "mount", self.vault, point, "-o", inside, says="root=")
        self.good("mount", self.vault, point, "-o", f"{inside},root={fingerprint}")
        self.good("umount", point)

    def test_fsck(self):
        self.add()
        program = self.path("fsck.coffer")
        os.symlink(cli.COFFER, program)
        done = cli.run_program([program, "-n", *self.by_pin, self.vault])
        self.assertEqual((done.status, done.err), (0, ""))

    def test_a_foreign_root(self):
        """Who has the PIN can make a keyring with a root of his own."""
        self.add()
        fingerprint = self.fingerprint()
        self.elsewhere()
        self.bad(cli.REFUSED, "key", "test", self.vault, *self.by_pin, says="who has the PIN")
        self.opened("--expect-root", fingerprint)

    def test_a_new_root(self):
        self.add()
        self.good("key", "rotate", self.vault, "--root", *self.by_pin)
        self.assertEqual(self.opened(), 2)
        self.bad(cli.WRONG_SECRET, "key", "test", self.vault, "--key-file", self.key)
        self.good("key", "add", self.vault, "--unlock-pin-file", self.pin, "--pkcs11-module", self.tokens.module, "--new-key-file", self.key)
        rotate = ["key", "rotate", self.vault, "--root", "--key-file", self.key, "--pkcs11-module", self.tokens.module]
        self.bad(cli.WRONG_SECRET, *rotate, "--keep-pin-file", self.wrong)
        self.good(*rotate, "--keep-pin-file", self.pin)
        self.assertEqual(self.opened(), 2)
        self.assertIn("(pkcs11", self.good(*rotate).out)
        self.fails(cli.WRONG_SECRET, "no key in a token", logins=0)


class Pins(Case):
    def test_a_wrong_pin_is_tried_once(self):
        """Also where it could be tried for two keys of the same token, and where a person types it."""
        self.add()
        self.add(self.uri + ";id=%01")
        self.good("key", "remove", self.vault, "1", *self.by_pin)
        self.fails(cli.WRONG_SECRET, "PIN is wrong", self.wrong)
        t = cli.Terminal("key", "test", self.vault, "--pkcs11-module", self.tokens.module)
        t.expect("PIN of the token")
        t.type("1234")
        self.assertEqual(t.end(), cli.WRONG_SECRET)
        self.assertEqual(self.tokens.logins(), 1)

    def test_the_last_try_is_left(self):
        self.add()
        for name, says in (("final", "none is tried"), ("locked", "is locked")):
            path = os.path.join(self.tokens.place, name)
            open(path, "w").close()
            self.fails(cli.REFUSED, says, logins=0)
            os.unlink(path)
        self.assertEqual(self.opened(), 2)

    def test_a_terminal(self):
        vault = self.path("v")
        t = cli.Terminal("init", vault, "--pkcs11", self.uri, "--pkcs11-module", self.tokens.module, "--recovery-key-file", self.path("r"),
                         "--journal-size", "4M")
        t.expect("PIN of the token: ")
        t.type(PIN)
        self.assertEqual(t.end(), cli.OK)
        with open(self.path("r")) as f:
            recovery = next(line for line in f if line.count("-") == 7).strip()
        for typed, ident in ((PIN, 1), (recovery, 2), (recovery[:-1] + "?", None)):
            self.tokens.logins()
            t = cli.Terminal("key", "test", vault, "--pkcs11-module", self.tokens.module)
            t.expect("PIN of the token .or the recovery key")
            t.type(typed)
            if ident:
                t.expect(f"protector {ident}")
            self.assertEqual(t.end(), cli.OK if ident else cli.WRONG_SECRET)
            self.assertEqual(self.tokens.logins(), int(ident == 1))

    def test_none(self):
        self.add()
        self.good("key", "remove", self.vault, "1", *self.by_pin)
        self.bad(cli.NO_SECRET, "key", "test", self.vault, says="--pin-file")
        self.fails(cli.NO_SECRET, "is empty", self.file("empty", b"\n"), logins=0)
        self.fails(cli.NO_SECRET, "longer", self.file("long", b"1" * 257), logins=0)


class Places(Case):
    def test_not_there(self):
        self.add()
        self.add("pkcs11:token=other;object=kek")
        shutil.rmtree(self.token_of("coffer"))
        self.assertEqual(self.opened(), 3)
        shutil.rmtree(self.token_of("other"))
        self.fails(UNREACHABLE, "no such token", logins=0)
        self.good("key", "test", self.vault, "--key-file", self.key)

    def token_of(self, label):
        for place in glob.glob(os.path.join(self.tokens.place, "tokens", "*")):
            with open(os.path.join(place, "token.object"), "rb") as f:
                if label.encode() in f.read():
                    return place
        raise AssertionError(label)

    def test_several(self):
        """A PIN goes to no token that might be another one."""
        self.add()
        self.edit(uri="pkcs11:object=kek")
        self.fails(cli.REFUSED, "2 tokens", logins=0)
        self.edit(uri="pkcs11:token=coffer;object=kek")
        self.tokens.add_key("coffer", "kek", random_key(32), "07")
        self.fails(cli.REFUSED, "several of its keys")

    def test_another_key(self):
        self.add()
        self.edit(uri="pkcs11:token=other;object=kek")
        self.fails(cli.WRONG_SECRET, "no key in a token")

    def test_a_deleted_key(self):
        self.add()
        for path in glob.glob(os.path.join(self.token_of("coffer"), "*.object")):
            if os.path.basename(path) != "token.object":
                os.unlink(path)
        self.fails(cli.WRONG_SECRET, "no such AES key")
        self.tokens.add_key("coffer", "kek", random_key(32))
        self.fails(cli.WRONG_SECRET, "no key in a token")

    def test_modules(self):
        """The user's word, by an absolute path; else those of p11-kit, none of which knows these tokens."""
        self.add()
        test = ["key", "test", self.vault, "--pin-file", self.pin]
        self.bad(cli.USAGE, *test, "--pkcs11-module", "module.so", says="absolute")
        self.bad(cli.FAILED, *test, "--pkcs11-module", self.key, says="cannot be loaded")
        self.bad(UNREACHABLE, *test, says="no such token")
        self.assertEqual(self.tokens.logins(), 1)

    def test_no_helper(self):
        self.add()
        os.environ["COFFER_LIBEXEC_DIR"], before = self.top, os.environ["COFFER_LIBEXEC_DIR"]
        self.addCleanup(os.environ.__setitem__, "COFFER_LIBEXEC_DIR", before)
        self.bad(cli.UNSUPPORTED, "key", "test", self.vault, *self.by_pin, says="meson option pkcs11")


class Attacks(Case):
    def test_changed_values(self):
        self.add()
        p = Keyring(os.path.join(self.vault, ".coffer", "keyring.json")).protector(2)
        for name in ("value", "iv"):
            data = bytearray(unb64(p[name]))
            data[5] ^= 1
            self.edit(**{name: b64(bytes(data))})
            self.fails(cli.WRONG_SECRET, "no key in a token")
            self.edit(**{name: p[name]})
        self.assertEqual(self.opened(), 2)

    def test_of_another_volume(self):
        self.add()
        other = self.volume("other")
        self.add(vault=other)
        p = Keyring(os.path.join(other, ".coffer", "keyring.json")).protector(2)
        self.edit(**{name: p[name] for name in ("value", "iv", "commitment", "wrapped")})
        self.fails(cli.WRONG_SECRET, "no key in a token")

    def test_what_a_uri_may_not_say(self):
        """A keyring that names a module or a PIN is damage to everybody who reads it; nothing is loaded, no PIN goes anywhere."""
        self.add()
        self.tokens.logins()
        bad = ["?module-path=/tmp/evil.so", "?module-name=evil", "?pin-value=1", "?pin-source=file:/etc/passwd", ";module-path=/tmp/evil.so",
               ";pin-value=1", ";object=two", ";type=public", ";x-vendor=1", ";", "#a", ";id=%01 ", ";OBJECT=kek"]
        add = ["key", "add", self.vault, "--key-file", self.key, "--pin-file", self.pin, "--pkcs11-module", self.tokens.module, "--pkcs11"]
        for uri in [self.uri + b for b in bad] + ["pkcs11:token=coffer", "PKCS11:object=kek", "file:/etc/passwd", "", "pkcs11:",
                                                  "pkcs11:object=" + "k" * 1024]:
            self.unchanged(self.vault, cli.USAGE, *add, uri, says="--pkcs11")
            if uri:
                self.edit(uri=uri)
                self.bad(cli.DAMAGED, "key", "list", self.vault, says="uri")
                self.edit(uri=self.uri)
        self.assertEqual(self.tokens.logins(), 0)
        self.assertEqual(self.opened(), 2)

    def test_keys_that_do_not_do(self):
        for uri, says in (("pkcs11:token=coffer;object=short", "256 bits"), ("pkcs11:token=coffer;object=none", "no such AES key")):
            result = cli.run("key", "add", self.vault, "--key-file", self.key, "--pkcs11", uri, "--pin-file", self.pin,
                             "--pkcs11-module", self.tokens.module)
            self.assertIn(says, result.err)
            self.assertIn(result.status, (cli.REFUSED, cli.WRONG_SECRET))
        self.bad(cli.USAGE, "key", "add", self.vault, "--key-file", self.key, "--pin-file", self.pin, says="--pkcs11")
        self.bad(cli.USAGE, "init", self.path("n"), "--no-recovery-key", "--pin-file", self.pin, says="--pkcs11")
        self.bad(cli.USAGE, "key", "test", self.vault, "--key-file", self.key, "--pin-file", self.pin)


if __name__ == "__main__":
    cli.main()
