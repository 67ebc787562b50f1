"""coffer key, status and check, as far as no mount is needed."""

import json
import os

import cli


class Keys(cli.Case):
    def ids(self, vault):
        return {p["id"]: p["type"] for p in json.loads(self.good("key", "list", vault, "--json").out)["protectors"]}

    def test_list(self):
        vault = self.volume()
        self.assertRegex(self.good("key", "list", vault).out, r"(?m)^1 +key-file ")
        self.assertEqual(self.ids(vault), {1: "key-file"})

    def test_add_and_remove_a_key_file(self):
        vault = self.volume()
        other = self.file("other", os.urandom(32))
        self.bad(cli.WRONG_SECRET, "key", "test", vault, "--key-file", other)
        self.good("key", "add", vault, "--key-file", self.key, "--new-key-file", other)
        self.assertIn("protector 2 (key-file)", self.good("key", "test", vault, "--key-file", other).out)
        self.good("key", "remove", vault, "1", "--key-file", other)
        self.assertEqual(self.ids(vault), {2: "key-file"})
        self.unchanged(vault, cli.WRONG_SECRET, "key", "test", vault, "--key-file", self.key)
        self.good("key", "add", vault, "--key-file", other, "--new-key-file", self.key)
        self.assertEqual(sorted(self.ids(vault)), [2, 3])  # an id is never used twice

    def test_passwd(self):
        """One test for all that passphrases do: each derivation takes a second and much memory."""
        vault = self.volume()
        one = self.file("one", b"first words\n")
        two = self.file("two", b"other words")
        self.good("key", "add", vault, "--key-file", self.key, "--new-passphrase-file", one)
        self.unchanged(vault, cli.REFUSED, "key", "passwd", vault, "--passphrase-file", one, "--new-passphrase-file", one,
                       says="the old one")
        self.good("key", "passwd", vault, "--passphrase-command", "printf 'first words'", "--new-passphrase-file", two)
        self.assertEqual(self.ids(vault), {1: "key-file", 3: "passphrase"})
        self.unchanged(vault, cli.WRONG_SECRET, "key", "test", vault, "--passphrase-file", one)
        test = json.loads(self.good("key", "test", vault, "--json", "--passphrase-fd", "0", input=b"other words").out)
        self.assertEqual((test["id"], test["type"]), (3, "passphrase"))
        # By a key file: the passphrase may be forgotten, but nobody said that the key file is unwanted.
        self.good("key", "passwd", vault, "--key-file", self.key, "--new-passphrase-file", one)
        self.assertEqual(self.ids(vault), {1: "key-file", 3: "passphrase", 4: "passphrase"})
        os.environ["CREDENTIALS_DIRECTORY"] = self.top
        try:
            self.assertIn("protector 4", self.good("key", "test", vault, "--credential", "one").out)
        finally:
            del os.environ["CREDENTIALS_DIRECTORY"]

    def test_last_protector_stays(self):
        vault = self.volume()
        self.unchanged(vault, cli.REFUSED, "key", "remove", vault, "1", "--key-file", self.key)
        self.unchanged(vault, cli.FAILED, "key", "remove", vault, "7", "--key-file", self.key, says="7")

    def test_recovery_key(self):
        vault = self.volume()
        out = self.path("recovery")
        self.unchanged(vault, cli.REFUSED, "key", "add", vault, "--key-file", self.key, "--recovery-key",
                       says="--recovery-key-file")
        self.bad(cli.USAGE, "key", "add", vault, "--key-file", self.key, "--recovery-key-file", out)
        self.good("key", "add", vault, "--key-file", self.key, "--recovery-key", "--recovery-key-file", out)
        self.assertIn("protector 2 (recovery-key)", self.good("key", "test", vault, "--passphrase-file", out).out)
        self.unchanged(self.top, cli.REFUSED, "key", "add", vault, "--key-file", self.key, "--recovery-key",
                       "--recovery-key-file", out, says=out)
        with open(out) as f:
            text = f.read().strip()
        swapped = text[1] + text[0] + text[2:] if text[0] != text[1] else text[:-1] + ("0" if text[-1] != "0" else "1")
        self.file("typo", swapped.encode())
        result = cli.run("key", "test", vault, "--passphrase-file", self.path("typo"))
        self.assertEqual(result.status, cli.WRONG_SECRET)

    def test_both_from_standard_input(self):
        vault = self.volume()
        for verb in (["key", "add"], ["key", "passwd"]):
            self.unchanged(vault, cli.USAGE, *verb, vault, "--passphrase-file", "-", "--new-passphrase-file", "-",
                           input=b"x", says="standard input")
        self.unchanged(vault, cli.USAGE, "key", "add", vault, "--new-key-file", "a", "--new-passphrase-file", "b")

    def test_too_many(self):
        vault = self.volume()
        for i in range(31):
            other = self.file(f"k{i}", os.urandom(32))
            self.good("key", "add", vault, "--key-file", self.key, "--new-key-file", other)
        result = cli.run("key", "add", vault, "--key-file", self.key, "--new-key-file", self.file("k32", os.urandom(32)))
        self.assertNotEqual(result.status, cli.OK)
        self.assertEqual(len(self.ids(vault)), 32)

    def test_every_verb_takes_the_same_options(self):
        """Each verb of key takes the options that unlock, and --json, and then prints one JSON value."""
        vault, unlock = self.volume(), ["--key-file", self.key, "--expect-root"]
        status = json.loads(self.good("status", self.volume("other"), "--json").out)
        unlock.append(json.loads(self.good("status", vault, "--json").out)["fingerprint"])
        self.assertNotEqual(status["fingerprint"], unlock[-1])
        second = self.file("second", os.urandom(64))
        backup = ["--backup-key-file", second]
        new, new_key = self.file("passphrase", b"a passphrase\n"), self.file("new key", os.urandom(64))
        for words in (["list"], ["add", "--new-key-file", second], ["remove", "2"], ["test"], ["rotate"], ["suspend", "1"],
                      ["resume", "1"], ["suspend", "3"], ["deactivate", "3"], ["compromise", "1"], ["rotate", "--scope", "fields"],
                      ["floor", "5"], ["destroy", "2", "--yes"], ["undelete", "2"], ["policy set", "--rotate-every", "9d"],
                      ["policy show"], ["policy run"], ["audit show"], ["audit verify"],
                      ["audit export", "-o", self.path("log")], ["backup", "-o", self.path("backup"), *backup],
                      ["reencrypt status"], ["reencrypt start", "--wait"], ["passwd", "--new-passphrase-file", new],
                      ["rotate", "--root"]):
            out = self.good("key", *words[0].split(), vault, *words[1:], *unlock, "--json").out
            self.assertIsInstance(json.loads(out), (dict, list), words)
            if words[-1] == "--root":
                unlock[-1] = json.loads(out)["fingerprint"]
        self.good("key", "backup", "--verify", self.path("backup"), *backup, *unlock[:2], "--json")
        self.good("key", "backup", vault, "-o", self.path("backup 2"), *backup, *unlock)
        out = self.good("key", "restore", vault, self.path("backup 2"), *backup, "--new-key-file", new_key, *unlock, "--json").out
        self.assertTrue(json.loads(out)["merged"])
        out = self.good("key", "init", self.path("alone"), "--key-file", self.key, "--no-recovery-key", "--json").out
        self.assertEqual(json.loads(out)["keyring"], self.path("alone"))
        self.good("adopt", vault, *unlock, "--json")


class Status(cli.Case):
    def test_text_and_json_agree(self):
        vault = self.volume()
        text = self.good("status", vault).out
        data = json.loads(self.good("status", vault, "--json").out)
        self.assertEqual(data["directory"], vault)
        self.assertEqual((data["mounted"], data["locked"], data["mounts"]), (False, False, []))
        self.assertEqual([g["state"] for g in data["generations"]], ["active", "active"])
        self.assertGreater(data["store"]["bytes_total"], 0)
        for field in ("volume_id", "instance_id", "fingerprint", "cipher"):
            self.assertIn(data[field], text)
        self.assertIn(data["store"]["type"], text)
        self.assertNotIn("size", data)

    def test_needs_no_secret_and_changes_nothing(self):
        vault = self.volume()
        before = {path: value[3] for path, value in cli.snapshot(vault).items()}
        self.good("status", vault, "--size")
        self.good("key", "list", vault)
        self.assertEqual({path: value[3] for path, value in cli.snapshot(vault).items()}, before)

    def test_size(self):
        vault = self.volume()
        os.mkdir(os.path.join(vault, "data", "x"))
        with open(os.path.join(vault, "data", "x", "y"), "wb") as f:
            f.write(os.urandom(1 << 20))
        size = json.loads(self.good("status", vault, "--size", "--json").out)["size"]
        self.assertGreaterEqual(size["bytes"], 1 << 20)
        self.assertGreaterEqual(size["objects"], 2)

    def test_locked(self):
        import fcntl
        vault = self.volume()
        with open(os.path.join(vault, ".coffer", "lock")) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assertIn("holds it", self.good("status", vault).out)
            self.assertTrue(json.loads(self.good("status", vault, "--json").out)["locked"])
            self.unchanged(vault, cli.IN_USE, "erase", vault, "--yes")
        self.assertFalse(json.loads(self.good("status", vault, "--json").out)["locked"])

    def test_relative_and_linked_paths(self):
        vault = self.volume()
        os.symlink(vault, self.path("link"))
        for path in ("vault", "./vault/", "link", "vault/.", "vault/../vault"):
            data = json.loads(self.good("status", path, "--json", cwd=self.top).out)
            self.assertEqual(data["directory"], vault)

    def test_list_of_mounts(self):
        self.assertIsInstance(json.loads(self.good("status", "--json").out), list)
        self.good("status")


if __name__ == "__main__":
    cli.main()
