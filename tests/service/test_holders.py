"""A service whose keyring opens by a token, a TPM or a KMIP server and by nothing else: database, keyring and any passphrase then open nothing elsewhere."""

import json
import os
import shutil
import subprocess
import sys
import unittest

import keyd
import kmip
from keyd import NO_SECRET, OK, USAGE, WRONG_SECRET, Case, b64

sys.path.insert(0, os.path.join(os.environ["SOURCE_ROOT"], "tests", "cli"))
from tokens import NO_TOKENS, NO_TPM, PIN, UNREACHABLE, Tokens, Tpm, random_key  # noqa: E402

REFUSED = 13


class HolderCase(Case):
    def setUp(self):
        super().setUp()
        os.environ["COFFER_STATE_DIR"] = self.path("state")
        self.addCleanup(os.environ.__setitem__, "COFFER_STATE_DIR", "")
        self.secret = self.path("backup.key")
        with open(self.secret, "wb") as f:
            f.write(os.urandom(32))

    def good(self, *arguments, program=keyd.run):
        status, out, err = program(*arguments)
        self.assertEqual((status, err), (OK, ""), arguments)
        return out

    def refused(self, status, words, *arguments):
        got, _, err = keyd.run(*arguments)
        self.assertEqual(got, status, err)
        self.assertIn(words, err)

    def coffer(self, *arguments):
        r = subprocess.run([os.environ["COFFER"], *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=keyd.TIMEOUT)
        return r.returncode, r.stdout.decode(), r.stderr.decode()

    def protectors(self, directory):
        listed = json.loads(self.good("key", "list", os.path.join(directory, "keyring.json"), "--json", program=self.coffer))
        return [p["type"] for p in listed["protectors"]]

    def serves(self, directory, *options):
        """It starts, and what it once wrapped it unwraps."""
        admin = os.path.join(self.dir, "admin.pem"), os.path.join(self.dir, "admin.key")
        s = keyd.Service(directory, *options).start()
        try:
            with_it = self.client(s, *admin)
            if not os.path.exists(self.path("wrapped")):
                self.assertEqual(with_it.post("keys/db")[0], 201)
                status, answer = with_it.post("keys/db/wrapkey", alg="A256GCM", value=b64(b"seventeen"))
                self.assertEqual(status, 200, answer)
                with open(self.path("wrapped"), "w") as f:
                    json.dump({n: answer[n] for n in ("value", "iv", "tag", "version")}, f)
            with open(self.path("wrapped")) as f:
                kept = json.load(f)
            version = kept.pop("version")
            status, answer = with_it.post(f"keys/db/{version}/unwrapkey", alg="A256GCM", **kept)
            self.assertEqual((status, answer.get("value")), (200, b64(b"seventeen")), answer)
            s.stop()
        finally:
            s.kill()

    def lost_and_restored(self, by, made_by):
        """The backup opens by its own secret; what is made of it by the holder again."""
        file, new = self.path("backup"), self.path("restored")
        self.good("backup", self.dir, "-o", file, "--backup-key-file", self.secret, *by)
        self.good("restore", new, file, "--backup-key-file", self.secret, "--accept-older", *made_by)
        shutil.copy(os.path.join(new, "ca.pem"), os.path.join(self.dir, "ca.pem"))
        self.assertFalse(os.path.exists(os.path.join(new, "keyring.key")))
        self.serves(new, *by)


@unittest.skipIf(NO_TOKENS, NO_TOKENS)
class Token(HolderCase):
    def test_alone(self):
        os.mkdir(self.path("token"))
        tokens = Tokens(self.path("token"))
        tokens.add("hsm")
        tokens.add_key("hsm", "keyd", random_key(32))
        pin = self.path("pin")
        with open(pin, "w") as f:
            f.write(PIN + "\n")
        by = ["--pin-file", pin, "--pkcs11-module", tokens.module]
        made_by = ["--pkcs11", "pkcs11:token=hsm;object=keyd", *by]
        self.dir = self.path("own")
        fingerprint = self.good("init", self.dir, "--host", "localhost", "--host", "127.0.0.1", *made_by).removeprefix("fingerprint: ").strip()
        self.assertEqual(self.protectors(self.dir), ["pkcs11"])
        self.assertFalse(os.path.exists(os.path.join(self.dir, "keyring.key")))
        self.serves(self.dir, *by)
        self.good("check", self.dir, *by)
        self.refused(NO_SECRET, "--pin-file", "check", self.dir)
        self.refused(WRONG_SECRET, "wrong passphrase, key file", "check", self.dir, "--key-file", self.secret)
        self.refused(USAGE, "--pin-file F", "check", self.dir, *made_by)
        self.refused(USAGE, "--pkcs11", "init", self.path("n"), "--host", "localhost", *by)
        self.lost_and_restored(by, made_by)
        # Where nobody knows the root, as on a second machine, and where there is no token, as a thief's.
        os.environ["COFFER_STATE_DIR"] = self.path("elsewhere")
        self.refused(REFUSED, "who has the PIN", "check", self.dir, *by)
        self.good("check", self.dir, *by, "--expect-root", fingerprint)
        shutil.rmtree(os.path.join(tokens.place, "tokens"))
        os.mkdir(os.path.join(tokens.place, "tokens"))
        self.refused(UNREACHABLE, "no such token", "check", self.dir, *by)


@unittest.skipIf(NO_TPM, NO_TPM)
class Sealed(HolderCase):
    def test_added_later(self):
        """And the key file taken away."""
        tpm = Tpm()
        self.addCleanup(tpm.end)
        keyring, key = (os.path.join(self.dir, name) for name in ("keyring.json", "keyring.key"))
        by = ["--tpm", "--tpm-tcti", tpm.tcti]
        self.serves(self.dir)
        self.good("key", "add", keyring, "--key-file", key, *by, program=self.coffer)
        self.good("key", "remove", keyring, "1", *by, program=self.coffer)
        self.good("key", "rotate", "--root", keyring, *by, program=self.coffer)
        self.assertEqual(self.protectors(self.dir), ["tpm2"])
        self.refused(WRONG_SECRET, "wrong passphrase, key file", "check", self.dir)
        os.unlink(key)
        self.serves(self.dir, *by)
        self.lost_and_restored(by, [*by, "--pcrs", "7,16"])
        # The restored keyring is newer; whoever wants the one before has to say so.
        self.refused(REFUSED, "--accept-older-keyring", "check", self.dir, *by)
        self.good("check", self.dir, *by, "--accept-older-keyring")
        other = Tpm()
        self.addCleanup(other.end)
        self.refused(WRONG_SECRET, "sealed by this TPM", "check", self.dir, "--tpm", "--tpm-tcti", other.tcti)
        tpm.extend()
        self.refused(WRONG_SECRET, "another one", "check", self.path("restored"), *by)

    def test_alone(self):
        tpm = Tpm()
        self.addCleanup(tpm.end)
        pin = self.path("pin")
        with open(pin, "w") as f:
            f.write(PIN + "\n")
        by = ["--tpm", "--tpm-tcti", tpm.tcti, "--tpm-pin-file", pin]
        self.dir = self.path("own")
        self.good("init", self.dir, "--host", "localhost", "--host", "127.0.0.1", *by, "--pcrs", "7")
        self.assertEqual(self.protectors(self.dir), ["tpm2"])
        self.serves(self.dir, *by)
        self.refused(NO_SECRET, "--tpm-pin-file", "check", self.dir, *by[:3])
        self.refused(USAGE, "--tpm", "check", self.dir, *by, "--pcrs", "7")


@unittest.skipUnless(kmip.SERVER, "no PyKMIP")
class Kmip(HolderCase):
    def test_alone(self):
        """Nothing has to be given; a key that is revoked lets nobody start it."""
        os.mkdir(self.path("kmip"))
        server = kmip.Server(self.path("kmip"))
        server.client("host")
        server.start()
        self.addCleanup(server.kill)
        key = server.key("host")
        at = ["--kmip", f"localhost:{server.port}", "--kmip-ca", server.path("ca.pem"), "--kmip-cert", server.path("host.pem"),
              "--kmip-private-key", server.path("host.key")]
        made_by = [*at, "--kmip-key", key]
        self.dir = self.path("own")
        self.refused(USAGE, "--kmip-key", "init", self.dir, "--host", "localhost", *at)
        self.good("init", self.dir, "--host", "localhost", "--host", "127.0.0.1", *made_by)
        self.assertEqual(self.protectors(self.dir), ["kmip"])
        self.assertFalse(os.path.exists(os.path.join(self.dir, "keyring.key")))
        self.serves(self.dir)
        self.refused(USAGE, "--kmip-key", "check", self.dir, *made_by)
        self.lost_and_restored([], made_by)
        self.good("check", self.path("restored"))
        server.revoke("host", key)
        self.refused(REFUSED, "refuses the key", "check", self.path("restored"))
        server.kill()
        self.refused(UNREACHABLE, "cannot be reached", "check", self.path("restored"))


if __name__ == "__main__":
    unittest.main()
