"""The rule that several holders of shares have to agree (coffer key policy set --require)."""

import json
import os

import cli


class Approval(cli.Case):
    def setUp(self):
        super().setUp()
        self.vault = self.volume()
        self.unlock = ["--key-file", self.key]
        self.backup = self.shares("first")
        self.rotate = ["key", "rotate", self.vault, "--scope", "fields", *self.unlock]
        self.good(*self.rotate)

    def shares(self, name, *more, split="2/3"):
        file = self.path(name + ".backup")
        self.good("key", "backup", self.vault, "-o", file, "--shares", split, "--share-dir", self.path(name), *self.unlock, *more)
        threshold = int(split[0])
        self.good("key", "backup", "--verify", file, self.vault, *self.give(name, *range(1, threshold + 1)))
        return file

    def give(self, name, *numbers):
        return [word for n in numbers for word in ("--share", self.path(name, f"share-{n}.txt"))]

    def policy(self, *words):
        return ["key", "policy", "set", self.vault, *self.unlock, *words]

    def required(self):
        return json.loads(self.good("key", "policy", "show", self.vault, "--json").out)["require"]

    def test_rule(self):
        right = self.give("first", 1, 3)
        self.unchanged(self.vault, cli.USAGE, *self.policy("--require", "1", *right), says="2 to")
        self.unchanged(self.vault, cli.USAGE, *self.policy("--rotate-every", "90d", *right), says="--require")
        self.unchanged(self.vault, cli.WRONG_SECRET, *self.policy("--require", "2", *self.give("first", 1)))
        self.unchanged(self.vault, cli.REFUSED, *self.policy("--require", "3", *right), says="2 holders")
        self.unchanged(self.vault, cli.NO_SECRET, *self.policy("--require", "2"), says="--share")
        self.unchanged(self.vault, cli.USAGE, "key", "destroy", self.vault, "2", "--yes", *self.unlock, *right, says="--require")
        self.assertEqual(self.required(), 0)
        out = self.good(*self.policy("--require", "2", "--rotate-every", "90d", *right)).out
        self.assertIn("require           2 holders of shares\n", out)
        self.assertIn("approval     by 2 holders of shares", self.good("status", self.vault).out)
        self.assertIn("90 days", out)
        self.assertEqual(self.required(), 2)

        copy = self.path("copy")
        for words in (["key", "destroy", self.vault, "2", "--yes", *self.unlock],
                      ["key", "backup", self.vault, "-o", copy, "--backup-key-file", self.key, *self.unlock],
                      ["key", "rotate", self.vault, "--root", *self.unlock],
                      self.policy("--require", "off"),
                      ["erase", self.vault, "--yes"]):
            self.unchanged(self.vault, cli.NO_SECRET, *words, says="2 of the holders")
            self.unchanged(self.vault, cli.WRONG_SECRET, *words, *self.give("first", 2))
            self.assertFalse(os.path.exists(copy))
        self.unchanged(self.vault, cli.USAGE, *self.rotate, *right, says="--root")
        self.good(*self.rotate)

        self.good("key", "backup", self.vault, "-o", copy, "--backup-key-file", self.key, *self.unlock, *self.give("first", 2, 3))
        self.good("key", "destroy", self.vault, "2", "--yes", *self.unlock, *right)
        self.good("key", "rotate", self.vault, "--root", *self.unlock, *right)
        log = json.loads(self.good("key", "audit", "show", self.vault, *self.unlock, "--json").out)
        events = [line["event"] for line in log]
        for event in ("backup", "destroy-later", "root"):
            at = len(events) - 1 - events[::-1].index(event)
            self.assertEqual((events[at - 1], log[at - 1]["holders"]), ("approved", 2))

        # Other shares: the old ones take the rule away, the new ones make theirs.
        self.shares("second", *right, split="3/4")
        new = self.give("second", 1, 2, 4)
        self.unchanged(self.vault, cli.WRONG_SECRET, *self.policy("--require", "off", *new), says="not those")
        self.unchanged(self.vault, cli.REFUSED, *self.policy("--require", "3", *new), says="already")
        self.good(*self.policy("--require", "off", *right))
        self.good(*self.policy("--require", "3", *new))
        self.bad(cli.WRONG_SECRET, "erase", self.vault, "--yes", *right, says="not those")
        self.good("erase", self.vault, "--yes", *new)

    def test_restored(self):
        """The rule is part of what a backup holds."""
        right = self.give("first", 1, 2)
        self.good(*self.policy("--require", "2", *right))
        later = self.path("later")
        self.good("key", "backup", self.vault, "-o", later, "--backup-key-file", self.key, *self.unlock, *right)
        for copy in ("keyring.json", "keyring.json.bak"):
            os.unlink(os.path.join(self.vault, ".coffer", copy))
        self.good("key", "restore", self.vault, later, "--backup-key-file", self.key, "--new-key-file", self.key)
        self.assertEqual(self.required(), 2)
        self.bad(cli.NO_SECRET, "key", "destroy", self.vault, "2", "--yes", *self.unlock)


if __name__ == "__main__":
    cli.main()
