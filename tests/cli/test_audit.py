"""The audit log and what a host remembers, from the command line."""

import json
import os
import shutil

import cli


class Audit(cli.Case):
    def setUp(self):
        super().setUp()
        os.environ["COFFER_STATE_DIR"] = self.path("state")
        self.addCleanup(os.environ.__setitem__, "COFFER_STATE_DIR", "")
        self.vault = self.volume()
        self.log = os.path.join(self.vault, ".coffer", "audit.log")

    def do(self, verb, *arguments):
        return self.good("key", *verb.split(), self.vault, *arguments, "--key-file", self.key).out

    def events(self):
        return [line["event"] for line in json.loads(self.do("audit show", "--json"))]

    def test_what_is_recorded(self):
        other = self.file("other", os.urandom(32))
        for _ in range(2):
            self.bad(cli.WRONG_SECRET, "key", "test", self.vault, "--key-file", other)
        self.do("add", "--new-key-file", other)
        self.do("rotate")
        self.do("remove", "2")
        lines = json.loads(self.do("audit show", "--json"))
        self.assertTrue(all(line["good"] for line in lines))
        self.assertEqual([line["event"] for line in lines],
                         ["init", "failed-unlocks", "unlock", "protector-added", "unlock", "generation", "generation",
                          "unlock", "protector-removed", "unlock"])
        self.assertEqual((lines[1]["count"], lines[3]["protector"], lines[3]["type"]), (2, 2, "key-file"))
        self.assertEqual((lines[4]["command"], lines[4]["uid"]), ("key rotate", os.getuid()))
        self.assertIn("by ", self.do("audit show"))
        self.assertIn("lines, as they were written", self.do("audit verify"))
        self.assertEqual(json.loads(self.do("audit verify", "--json"))["problems"], 0)

    def test_refused_verbs_are_no_changes(self):
        before = self.events()
        self.bad(cli.REFUSED, "key", "remove", self.vault, "1", "--key-file", self.key)
        self.assertEqual(self.events(), before + ["unlock", "unlock"])

    def test_export(self):
        out = self.path("out")
        self.do("audit export", "-o", out)
        with open(out) as f, open(self.log) as log:
            self.assertEqual(f.read(), log.read())
        self.bad(cli.FAILED, "key", "audit", "export", self.vault, "-o", out, "--key-file", self.key, says="out")
        self.assertEqual(self.do("audit export").count("\n"), 4)

    def spoil(self, change):
        with open(self.log, "rb") as f:
            lines = f.read().splitlines(keepends=True)
        with open(self.log, "wb") as f:
            f.write(b"".join(change(lines)))

    def test_attacks_are_found(self):
        self.do("rotate")
        with open(self.log, "rb") as f:
            whole = f.read()
        for name, change in {
            "cut": lambda l: l[:-1],
            "gone": lambda l: [],
            "middle": lambda l: l[:1] + l[2:],
            "edited": lambda l: l[:1] + [l[1].replace(b'"uid":', b'"uid":1')] + l[2:],
            "reordered": lambda l: l[:1] + [l[2], l[1]] + l[3:],
            "doubled": lambda l: l + [l[-1]],
            "noise": lambda l: l[:2] + [b"noise\n"] + l[2:],
        }.items():
            with self.subTest(name):
                with open(self.log, "wb") as f:
                    f.write(whole)
                self.spoil(change)
                result = cli.run("key", "audit", "verify", self.vault, "--json", "--key-file", self.key)
                self.assertEqual(result.status, cli.DAMAGED, result.err)
                self.assertFalse(json.loads(result.out)["intact"])

    def test_torn_line(self):
        with open(self.log, "rb+") as f:
            f.seek(0, os.SEEK_END)
            f.write(b'{"n":2,"at":"2026')
        self.do("audit verify")
        self.assertIn("crash left", self.do("audit verify"))

    def test_older_keyring(self):
        kept = self.path("kept")
        shutil.copytree(self.vault, kept, symlinks=True)
        self.do("rotate")
        for name in os.listdir(os.path.join(kept, ".coffer")):
            if name.startswith("keyring.json"):
                shutil.copy(os.path.join(kept, ".coffer", name), os.path.join(self.vault, ".coffer", name))
        self.unchanged(self.vault, cli.REFUSED, "key", "test", self.vault, "--key-file", self.key,
                       says="--accept-older-keyring")
        self.bad(cli.REFUSED, "check", self.vault, "--key-file", self.key, says="older")
        self.do("test", "--accept-older-keyring")
        lines = json.loads(cli.run("key", "audit", "show", self.vault, "--json", "--key-file", self.key).out)
        self.assertTrue([line for line in lines if "accepted" in line])
        self.do("rotate")
        self.good("check", self.vault, "--key-file", self.key)

    def test_expected_root(self):
        fingerprint = json.loads(self.good("status", self.vault, "--json").out)["fingerprint"]
        self.do("test", "--expect-root", fingerprint)
        self.do("test", "--expect-root", fingerprint.replace(" ", "").upper())
        other = "0" * 32
        self.bad(cli.REFUSED, "key", "test", self.vault, "--key-file", self.key, "--expect-root", other, says="root")

    def test_same_volume_id_foreign_root(self):
        """Somebody who knows the secret, but not the root, puts in a keyring of his own."""
        other = self.volume("other")
        mine = json.loads(self.good("status", self.vault, "--json").out)["volume_id"]
        theirs = json.loads(self.good("status", other, "--json").out)["volume_id"]
        state = self.path("state")
        shutil.copy(os.path.join(state, mine + ".json"), os.path.join(state, theirs + ".json"))
        self.unchanged(other, cli.REFUSED, "key", "test", other, "--key-file", self.key, says="foreign root")

    def test_only_looking_writes_nothing(self):
        with open(self.log, "rb") as f:
            before = f.read()
        self.good("check", self.vault, "--key-file", self.key)
        with open(self.log, "rb") as f:
            self.assertEqual(f.read(), before)
        self.assertEqual(self.events()[-2:], ["unlock", "unlock"])


if __name__ == "__main__":
    cli.main()
