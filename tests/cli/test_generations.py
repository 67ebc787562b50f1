"""Generations of keys, as far as no mount is needed."""

import json
import os

import cli


class Generations(cli.Case):
    def setUp(self):
        super().setUp()
        self.vault = self.volume()

    def do(self, verb, *arguments, status=cli.OK, says=""):
        words = ["key", *verb.split(), self.vault, *map(str, arguments), "--key-file", self.key]
        if status != cli.OK:
            return self.unchanged(self.vault, status, *words, says=says)
        return json.loads(self.good(*words, "--json").out)

    def states(self):
        listed = json.loads(self.good("key", "list", self.vault, "--json").out)["generations"]
        return {g["generation"]: g["state"] for g in listed}

    def test_life(self):
        self.assertEqual(self.do("rotate"), {"scope": "default", "generation": 3, "unbacked": [1, 2, 3]})
        self.assertEqual(self.do("rotate", "--scope", "fields"), {"scope": "fields", "generation": 4, "unbacked": [1, 2, 3, 4]})
        self.assertEqual(self.states(), {1: "deactivated", 2: "deactivated", 3: "active", 4: "active"})
        done = self.do("suspend", 3)
        self.assertEqual((done["from"], done["state"], done["successor"]), ("active", "suspended", 5))
        self.do("suspend", 3, status=cli.REFUSED, says="already")
        self.assertIsNone(self.do("resume", 3)["successor"])
        self.do("compromise", 3)
        self.do("deactivate", 3, status=cli.REFUSED, says="compromised")
        self.do("resume", 77, status=cli.FAILED, says="77")
        self.assertEqual(self.states(), {1: "deactivated", 2: "deactivated", 3: "compromised", 4: "active", 5: "active"})
        text = self.good("key", "list", self.vault).out
        self.assertRegex(text, r"(?m)^3 +default +compromised +\d{4}-")
        self.good("key", "test", self.vault, "--key-file", self.key)

    def test_many_at_once(self):
        """Commands that change one keyring wait for each other; none undoes another's work."""
        os.environ["COFFER_STATE_DIR"] = self.path("state")
        self.addCleanup(os.environ.__setitem__, "COFFER_STATE_DIR", "")
        second = self.file("second", os.urandom(64))
        verbs = [["rotate", "--json"], ["rotate", "--json"], ["rotate", "--scope", "fields", "--json"],
                 ["policy", "set", "--rotate-every", "90d"], ["add", "--new-key-file", second],
                 ["backup", "-o", self.path("backup"), "--backup-key-file", second]]
        running = []
        for verb in verbs:
            words = 2 if verb[0] == "policy" else 1
            running.append(cli.start([cli.COFFER, "key", *verb[:words], self.vault, "--key-file", self.key, *verb[words:]]))
        made = []
        for process in running:
            out, err = process.communicate(timeout=cli.TIMEOUT)
            self.assertEqual((process.returncode, err), (cli.OK, b""))
            made += [json.loads(out)["generation"]] if b"unbacked" in out else []
        self.assertEqual(sorted(made), [3, 4, 5])
        self.assertEqual(sorted(self.states()), [1, 2, 3, 4, 5])
        self.good("key", "test", self.vault, "--key-file", second)
        self.assertIn("90 days", self.good("key", "policy", "show", self.vault).out)
        self.good("key", "backup", "--verify", self.path("backup"), "--backup-key-file", second)
        self.good("key", "audit", "verify", self.vault, "--key-file", self.key)

    def test_text(self):
        out = self.good("key", "rotate", self.vault, "--key-file", self.key).out
        self.assertIn("generation 3 is active now", out)
        out = self.good("key", "suspend", self.vault, "3", "--key-file", self.key).out
        self.assertIn("generation 4 is active now\ngeneration 3 is suspended", out)

    def test_floor_and_destroy_of_fields(self):
        self.do("rotate", "--scope", "fields")
        self.assertEqual(self.do("floor", 3), {"floor": 3})
        self.do("destroy", 2, status=cli.REFUSED, says="--yes")  # no terminal
        waits = self.do("destroy", 2, "--yes", "--scope", "fields")
        self.assertEqual(waits["state"], "deactivated")
        self.assertRegex(waits["destroy_at"], r"^\d{4}-\d\d-\d\dT")
        self.assertIn("to be destroyed after", self.good("key", "list", self.vault).out)
        self.do("destroy", 2, "--yes", status=cli.REFUSED, says="waits")
        self.do("undelete", 2)
        self.do("undelete", 2, status=cli.REFUSED)
        gone = self.do("destroy", 2, "--yes", "--now")
        self.assertEqual((gone["state"], gone["destroy_at"]), ("destroyed", None))
        self.do("undelete", 2, status=cli.REFUSED, says="backup")
        with open(os.path.join(self.vault, ".coffer", "keyring.json")) as f:
            document = json.loads(f.read().split("#coffer-seal")[0])
        self.assertNotIn("wrapped", document["generations"][1])

    def test_files_protect_a_generation(self):
        self.do("destroy", 1, "--yes", "--now", status=cli.REFUSED, says="rotate")
        self.do("rotate")
        self.do("destroy", 1, "--yes", "--now", status=cli.REFUSED, says="generation 1")
        self.do("floor", 3, status=cli.REFUSED, says="generation 1")
        self.do("destroy", 1, "--scope", "fields", "--yes", status=cli.FAILED, says="fields")
        self.do("destroy", 1, "--scope", "melt", "--yes", status=cli.USAGE, says="melt")
        self.assertEqual(self.states()[1], "deactivated")

    def test_keyring_that_stands_alone(self):
        alone = self.path("fields.keyring")
        init = ["key", "init", alone, "--key-file", self.key, "--no-recovery-key"]
        self.good(*init)
        self.unchanged(self.top, cli.NOT_EMPTY, *init, says="exists")
        vault, self.vault = self.vault, alone
        self.assertEqual(self.do("rotate", "--scope", "fields")["generation"], 3)
        self.do("floor", 3)
        self.do("destroy", 2, "--yes", "--now")
        self.assertEqual(self.states(), {1: "active", 2: "destroyed", 3: "active"})
        self.good("key", "audit", "verify", alone, "--key-file", self.key)
        other = self.file("other", os.urandom(32))
        self.good("key", "add", alone, "--key-file", self.key, "--new-key-file", other)
        self.do("rotate", "--root", "--keep-key-file", other)
        backup = self.path("backup")
        self.do("backup", "-o", backup, "--backup-key-file", other)
        self.good("key", "backup", "--verify", backup, alone, "--backup-key-file", other)
        with open(alone, "r+b") as f:
            f.write(b"????")
        self.good("key", "test", alone, "--key-file", other)  # by the second copy
        os.unlink(alone + ".bak")
        self.bad(cli.DAMAGED, "key", "test", alone, "--key-file", other)
        self.good("key", "restore", alone, backup, "--backup-key-file", other, "--new-key-file", self.key)
        self.good("key", "test", alone, "--key-file", self.key)
        document = self.file("document", b"{ not a keyring }" * 100)
        self.unchanged(self.top, cli.NOT_VOLUME, "erase", document, "--yes")
        self.good("erase", alone, "--yes")
        self.assertFalse(os.path.exists(alone))
        self.assertFalse([n for n in os.listdir(self.top) if n.startswith("volume.json")])
        self.vault = vault

    def test_policy(self):
        show = ["key", "policy", "show", self.vault]
        self.assertEqual(self.good(*show).out.count("off"), 5)
        nothing = {"rotated": 0, "retired": 0, "destroyed": 0, "kept": 0}
        self.assertEqual(self.do("policy run"), nothing)
        for wrong in (["--rotate-every", "90"], ["--rotate-every", "0d"], ["--rotate-every", "d"], ["--rotate-after", "x"],
                      ["--retire-after", "1m"], ["--warn-backup-age", "99999999d"], []):
            self.do("policy set", *wrong, status=cli.USAGE)
        self.do("policy set", "--rotate-every", "90d", "--warn-backup-age", "2w")
        self.do("policy set", "--rotate-after", "1T", "--retire-after", "36h")
        expected = {"rotate_every": 90 * 86400, "rotate_after": 1 << 40, "retire_after": 36 * 3600,
                    "warn_backup_age": 14 * 86400, "require": 0}
        self.assertEqual(json.loads(self.good(*show, "--json").out), expected)
        self.assertRegex(self.good(*show).out, r"rotate every +90 days\n.*1.0 TiB\n.*36 hours\n")
        self.assertIn("older than the policy wants", self.good("status", self.vault).out)
        self.assertEqual(self.do("policy run"), nothing)
        self.do("policy set", "--rotate-every", "off", "--rotate-after", "off")
        self.assertEqual(json.loads(self.good(*show, "--json").out), dict(expected, rotate_every=0, rotate_after=0))

    def test_new_root(self):
        other, lost = self.file("other", os.urandom(32)), self.file("lost", os.urandom(32))
        for new in (other, lost):
            self.good("key", "add", self.vault, "--key-file", self.key, "--new-key-file", new)
        before = json.loads(self.good("status", self.vault, "--json").out)["fingerprint"]
        self.do("rotate", "--root", "--keep-key-file", self.file("foreign", os.urandom(32)), status=cli.WRONG_SECRET)
        self.do("rotate", "--keep-key-file", other, status=cli.USAGE, says="--root")
        done = self.do("rotate", "--root", "--keep-key-file", other)
        self.assertEqual((done["kept"], done["dropped"]), (2, [3]))
        self.assertNotEqual(done["fingerprint"], before)
        self.assertEqual(self.states(), {1: "deactivated", 2: "deactivated", 3: "active", 4: "active"})
        self.good("key", "test", self.vault, "--key-file", other)
        self.bad(cli.WRONG_SECRET, "key", "test", self.vault, "--key-file", lost)
        self.assertIn("protector 2 (key-file", self.good("key", "rotate", self.vault, "--root", "--key-file", self.key).out)
        self.good("key", "audit", "verify", self.vault, "--key-file", self.key)
        self.good("check", self.vault, "--key-file", self.key)

    def test_numbers(self):
        for word in ("", "x", "0", "-1", "4294967296"):
            self.unchanged(self.vault, cli.USAGE, "key", "suspend", self.vault, "--", word)
        self.unchanged(self.vault, cli.WRONG_SECRET, "key", "rotate", self.vault, "--key-file",
                       self.file("other", os.urandom(32)))


if __name__ == "__main__":
    cli.main()
