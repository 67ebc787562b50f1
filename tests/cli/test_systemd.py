"""The systemd units: what systemd thinks of them, and what their commands do with what systemd would give them."""

import os
import re
import shlex
import shutil
import subprocess
import unittest

import cli

UNITS = os.environ["UNITS"]
SERVICES = ("coffer@.service", "coffer-policy@.service", "coffer-lock.service", "coffer-keyd.service")
ROOT = os.geteuid() == 0


def unit(name):
    """As it is installed, with the program of this build."""
    path = os.path.join(UNITS, name)
    with open(path + ".in" if name in SERVICES else path) as f:
        return f.read().replace("@COFFER@", cli.COFFER).replace("@COFFER_KEYD@", cli.COFFER)


@unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd here")
class Verify(cli.Case):
    def verify(self, change=lambda text: text):
        for name in (*SERVICES, "coffer-policy@.timer"):
            with open(self.path(name), "w") as f:
                f.write(change(unit(name)))
        done = cli.run_program(["systemd-analyze", "verify", "--man=no", *map(self.path, (*SERVICES, "coffer-policy@.timer"))])
        # Of other units on this host it may have to say something as well.  What it does not know it only mentions: the status is 0.
        return done.status, [line for line in done.err.splitlines() if "coffer" in line]

    def test_units(self):
        self.assertEqual(self.verify(), (0, []))

    def test_drop_ins(self):
        """With each of them, and with what their comments offer."""
        os.mkdir(self.path("coffer-keyd.service.d"))
        for name in ("tpm", "pkcs11"):
            text = unit(f"coffer-keyd-{name}.conf")
            for offered in (text, re.sub(r"(?m)^# (?=[A-Z][A-Za-z]+=)", "", text)):
                with open(self.path("coffer-keyd.service.d", name + ".conf"), "w") as f:
                    f.write(offered)
                self.assertEqual(self.verify(), (0, []))
            with open(self.path("coffer-keyd.service.d", name + ".conf"), "w") as f:
                f.write(text.replace("[Service]", "[Service]\nMelt=yes"))
            self.assertEqual(len(self.verify()[1]), 1)
            os.unlink(self.path("coffer-keyd.service.d", name + ".conf"))

    def test_that_a_mistake_would_show(self):
        for what in ("[Service]\nMelt=yes", "[Service]\nType=melting"):
            status, said = self.verify(lambda text, what=what: text.replace("[Service]", what))
            self.assertEqual(len(said), len(SERVICES), said)
        _, said = self.verify(lambda text: text.replace(cli.COFFER, "/nonexistent/coffer"))
        self.assertTrue(said)


class Commands(cli.Case):
    """systemd itself is not running in tests; its rules for variables are few: $X is split into words, ${X} is one."""

    def command(self, name, which, **given):
        text = unit(name)
        values = dict(re.findall(r'"([A-Z]+)=([^"]*)"', re.search(r"^Environment=(.*)$", text, re.M)[1])) | given
        words = []
        for word in shlex.split(re.search(rf"^{which}=(.*)$", text, re.M)[1]):
            if re.fullmatch(r"\$[A-Z]+", word):
                words += values[word[1:]].split()
            else:
                words.append(re.sub(r"\$\{([A-Z_]+)\}", lambda m: values[m[1]], word))
        return words

    def setUp(self):
        super().setUp()
        self.words = self.file("words", b"for the machine\n")
        self.vault = self.volume()
        self.credentials = self.path("credentials")
        os.mkdir(self.credentials)
        self.point = self.path("a point")
        os.mkdir(self.point)
        self.conf = {"VOLUME": self.vault, "MOUNT_POINT": self.point}

    def run_unit(self, name, which="ExecStart", **more):
        return cli.run_program(self.command(name, which, **self.conf, **more),
                               env=os.environ | {"CREDENTIALS_DIRECTORY": self.credentials})

    def put_credential(self):
        shutil.copy(self.words, os.path.join(self.credentials, "passphrase"))

    def test_mount_and_policy(self):
        self.words = self.path("recovery")  # taken where a passphrase is, and costs no derivation
        self.good("key", "add", self.vault, "--key-file", self.key, "--recovery-key", "--recovery-key-file", self.words)
        done = self.run_unit("coffer@.service")
        self.assertIn(done.status, (cli.NO_SECRET, cli.NO_FUSE))  # without the credential
        if done.status == cli.NO_FUSE:
            self.skipTest("no FUSE here")
        self.put_credential()
        done = self.run_unit("coffer@.service")
        self.assertEqual((done.status, done.err), (cli.OK, ""))
        self.assertTrue(os.path.ismount(self.point))
        self.assertEqual(self.run_unit("coffer-policy@.service").status, cli.OK)
        self.assertEqual(self.run_unit("coffer@.service", "ExecStop").status, cli.OK)
        self.assertFalse(os.path.ismount(self.point))
        done = self.run_unit("coffer@.service", UNLOCK=f"--key-file {self.key}", OPTIONS="ro,noatime")
        self.assertEqual((done.status, done.err), (cli.OK, ""))
        self.assertTrue(os.statvfs(self.point).f_flag & os.ST_RDONLY)
        self.assertEqual(self.run_unit("coffer@.service", "ExecStop").status, cli.OK)

    @unittest.skipUnless(ROOT and shutil.which("systemd-creds"), "not root, or no systemd here")
    def test_an_encrypted_credential(self):
        """As the comment in coffer@.service says, with the host's key on a tmpfs of its own; then what systemd does with it."""
        sealed = self.path("coffer.NAME")
        script = ('mount -t tmpfs tmpfs /var/lib/systemd && systemd-creds encrypt --with-key=host --name=passphrase - "$1" <"$2" && '
                  'systemd-creds decrypt --name=passphrase "$1" "$3" && ! systemd-creds decrypt --name=another "$1" /dev/null')
        out = os.path.join(self.credentials, "passphrase")
        done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", sealed, self.words, out], capture_output=True,
                              stdin=subprocess.DEVNULL)
        if done.returncode and (b"unshare" in done.stderr or b"mount:" in done.stderr):
            self.skipTest(done.stderr.decode())
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(sealed, "rb") as f, open(out, "rb") as g:
            self.assertNotIn(b"machine", f.read())
            self.assertEqual(g.read(), b"for the machine\n")


if __name__ == "__main__":
    cli.main()
