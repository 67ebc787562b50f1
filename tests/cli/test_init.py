"""coffer init and erase."""

import os
import shutil
import signal
import stat
import time

import cli


class Init(cli.Case):
    def test_new_and_empty_directory(self):
        os.mkdir(self.path("empty"))
        for name in ("new", "empty"):
            out = self.good("init", self.path(name), "--key-file", self.key, "--no-recovery-key").out
            self.assertRegex(out, r"fingerprint: [0-9a-f]{8}( [0-9a-f]{8}){3}\n")
            self.assertIn(f"coffer mount {self.path(name)}", out)
            self.good("key", "test", self.path(name), "--key-file", self.key)

    def test_ciphers(self):
        for cipher in ("aes-256-ocb", "aes-256-gcm", "chacha20-poly1305"):
            self.assertIn(cipher, self.good("status", self.volume(cipher, "--cipher", cipher)).out)
        self.assertIn("cipher", self.good("status", self.volume("auto", "--cipher", "auto")).out)

    def test_sizes(self):
        for i, (text, size) in enumerate([("12345678", 12345678), ("8M", 8 << 20), ("4096KiB", 4 << 20)]):
            volume = self.volume(f"v{i}", "--journal-size", text)
            self.assertIn(f'"journal_size": {size}', self.good("status", volume, "--json").out)

    def test_refused_without_a_place_for_the_recovery_key(self):
        self.bad(cli.REFUSED, "init", self.path("vault"), "--key-file", self.key, says="--recovery-key-file")
        self.assertFalse(os.path.exists(self.path("vault")))
        self.bad(cli.USAGE, "init", self.path("vault"), "--no-recovery-key", "--recovery-key-file", "x")

    def test_recovery_key_file(self):
        out = self.path("recovery")
        vault = self.path("vault")
        self.good("init", vault, "--key-file", self.key, "--recovery-key-file", out)
        self.assertEqual(stat.S_IMODE(os.stat(out).st_mode), 0o600)
        with open(out) as f:
            text = f.read()
        self.assertRegex(text, r"\A([0-9A-Z]{7}-){7}[0-9A-Z]{7}\n\Z")
        self.assertIn("(recovery-key)", self.good("key", "test", vault, "--passphrase-file", out).out)
        self.assertIn("(recovery-key)", self.good("key", "test", vault, "--passphrase-fd", "0",
                                                  input=text.replace("-", " ").lower().encode()).out)

    def test_recovery_key_file_is_never_overwritten(self):
        out = self.file("recovery", b"something\n")
        self.unchanged(self.top, cli.REFUSED, "init", self.path("vault"), "--key-file", self.key,
                       "--recovery-key-file", out, says=out)

    def test_recovery_key_of_nothing_is_removed(self):
        store = self.path("store")
        os.mkdir(store)
        if os.geteuid() == 0:
            self.skipTest("root may write everywhere")
        os.chmod(store, 0o500)
        self.bad(cli.STORE, "init", os.path.join(store, "v"), "--key-file", self.key, "--recovery-key-file",
                 self.path("recovery"))
        self.assertFalse(os.path.exists(self.path("recovery")))

    def test_not_empty(self):
        os.mkdir(self.path("full"))
        self.file("full/x", b"x")
        self.unchanged(self.top, cli.NOT_EMPTY, "init", self.path("full"), "--key-file", self.key, "--no-recovery-key",
                       says="not empty")
        self.unchanged(self.top, cli.NOT_EMPTY, "init", self.key, "--key-file", self.key, "--no-recovery-key", says=self.key)

    def test_not_empty_is_said_before_the_recovery_key_is_written(self):
        os.mkdir(self.path("full"))
        self.file("full/x", b"x")
        self.bad(cli.NOT_EMPTY, "init", self.path("full"), "--key-file", self.key, "--recovery-key-file", self.path("r"))
        self.assertFalse(os.path.exists(self.path("r")))

    def test_nested(self):
        vault = self.volume()
        for place in (vault, os.path.join(vault, "data"), os.path.join(vault, "data", "x"), os.path.join(vault, "x")):
            self.unchanged(self.top, cli.NOT_EMPTY, "init", place, "--key-file", self.key, "--no-recovery-key", says=vault)

    def test_parent_missing(self):
        result = self.bad(cli.STORE, "init", self.path("a", "b"), "--key-file", self.key, "--no-recovery-key")
        self.assertIn(self.path("a"), result.err)
        self.assertFalse(os.path.exists(self.path("a")))

    def test_bad_secrets_make_nothing(self):
        empty = self.file("empty", b"\n")
        short = self.file("short", b"x" * 31)
        for secret in (["--passphrase-file", empty], ["--passphrase-file", self.path("missing")], ["--key-file", short],
                       ["--key-file", self.path("missing")], ["--passphrase-command", "exit 3"],
                       ["--passphrase-command", "true"], ["--credential", "none"], ["--passphrase-fd", "57"]):
            self.unchanged(self.top, cli.NO_SECRET, "init", self.path("vault"), "--no-recovery-key", *secret)

    def test_interrupted_init_can_be_run_again(self):
        """Killed at many moments, the directory is a volume, or none; and then init makes one."""
        vault = self.path("vault")
        made = 0
        for delay in [0.0, 0.001, 0.002, 0.003, 0.005, 0.008, 0.012, 0.02, 0.03]:
            process = cli.start([cli.COFFER, "init", vault, "--key-file", self.key, "--no-recovery-key"])
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            result = cli.run("key", "test", vault, "--key-file", self.key)
            if result.status != cli.OK:
                self.check_bad(result, cli.NOT_VOLUME, vault, delay)
                self.good("init", vault, "--key-file", self.key, "--no-recovery-key")
                made += 1
            self.good("key", "test", vault, "--key-file", self.key)
            shutil.rmtree(vault)
        self.assertGreater(made, 0)

    def test_interrupted_init_says_so(self):
        os.makedirs(self.path("vault", ".coffer-init"))
        self.unchanged(self.top, cli.NOT_VOLUME, "status", self.path("vault"), says="interrupted")
        self.good("init", self.path("vault"), "--key-file", self.key, "--no-recovery-key")

    def test_modes(self):
        vault = self.volume()
        # The root directory of the mount is like any other (data/); the volume around it is closed.
        for path in (".", ".coffer"):
            self.assertEqual(stat.S_IMODE(os.stat(os.path.join(vault, path)).st_mode) & 0o077, 0, path)


class Erase(cli.Case):
    def test_refused_without_confirmation(self):
        vault = self.volume()
        self.unchanged(vault, cli.REFUSED, "erase", vault, says="--yes")
        self.good("key", "test", vault, "--key-file", self.key)

    def test_erases(self):
        vault = self.volume()
        self.good("key", "add", vault, "--key-file", self.key, "--recovery-key", "--recovery-key-file", self.path("r"))
        self.good("erase", vault, "--yes")
        self.bad(cli.DAMAGED, "key", "test", vault, "--key-file", self.key)
        left = [name for name in os.listdir(os.path.join(vault, ".coffer")) if name.startswith("keyring.json")]
        self.assertEqual(left, [])
        self.good("erase", vault, "--yes")  # again: nothing is left to do

    def test_erases_a_damaged_keyring(self):
        vault = self.volume()
        for name in ("keyring.json", "keyring.json.bak"):
            with open(os.path.join(vault, ".coffer", name), "r+b") as f:
                f.write(b"x")
        self.good("erase", vault, "--yes")

    def test_other_volumes_stay(self):
        one, two = self.volume("one"), self.volume("two")
        self.good("erase", one, "--yes")
        self.good("key", "test", two, "--key-file", self.key)


if __name__ == "__main__":
    cli.main()
