"""What a person sees and types at a terminal."""

import os

import cli


class AtATerminal(cli.Case):
    def test_init_shows_and_confirms_the_recovery_key(self):
        vault = self.path("vault")
        t = cli.Terminal("init", vault, "--key-file", self.key)
        key = t.expect(r"\b([0-9A-Z]{7}-){7}[0-9A-Z]{7}\b").group(0)
        number = int(t.expect(r"its (\d)(st|nd|rd|th) group").group(1))
        t.type("WRONG12")
        t.expect("not it")
        self.assertFalse(os.path.exists(vault))  # nothing is made before it is confirmed
        # As people write: small letters, O for 0, l for 1.
        t.type("  " + key.split("-")[number - 1].lower().replace("0", "o").replace("1", "l") + " ")
        t.expect("fingerprint: ")
        self.assertEqual(t.end(), cli.OK)
        self.assertIn("(recovery-key)",
                      self.good("key", "test", vault, "--passphrase-command", f"echo {key}").out)

    def test_init_unconfirmed(self):
        for answers in (["no"] * 5, ["\x04"]):  # the last: end of input
            t = cli.Terminal("init", self.path("vault"), "--key-file", self.key)
            for answer in answers:
                t.expect("group|again")
                t.type(answer)
            t.expect("coffer: the recovery key was not confirmed")
            self.assertEqual(t.end(), cli.REFUSED)
            self.assertFalse(os.path.exists(self.path("vault")))

    def test_init_complains_before_it_asks(self):
        vault = self.volume()
        t = cli.Terminal("init", vault)
        t.expect("coffer: .*is a volume already")
        self.assertEqual(t.end(), cli.NOT_EMPTY)

    def test_passphrase_is_typed_twice_and_never_shown(self):
        vault = self.path("vault")
        t = cli.Terminal("init", vault, "--no-recovery-key")
        t.expect("New passphrase for .*: ")
        t.type("open sesame")
        t.expect("again: ")
        t.type("open sesam")
        t.expect("differ")
        t.expect("New passphrase for .*: ")
        t.type("open sesame")
        t.expect("again: ")
        t.type("open sesame")
        t.expect("fingerprint")
        self.assertNotIn("sesame", t.text)
        self.assertEqual(t.end(), cli.OK)
        t = cli.Terminal("key", "test", vault)
        t.expect("Passphrase of .*vault: ")
        t.type("open sesame")
        t.expect("protector 1")
        self.assertNotIn("sesame", t.text)
        self.assertEqual(t.end(), cli.OK)

    def test_empty_passphrase(self):
        t = cli.Terminal("init", self.path("vault"), "--no-recovery-key")
        t.expect("New passphrase")
        t.type("")
        t.expect("coffer: ")
        self.assertEqual(t.end(), cli.NO_SECRET)
        self.assertFalse(os.path.exists(self.path("vault")))

    def test_key_add_recovery_key(self):
        vault = self.volume()
        t = cli.Terminal("key", "add", vault, "--key-file", self.key, "--recovery-key")
        key = t.expect(r"\b([0-9A-Z]{7}-){7}[0-9A-Z]{7}\b").group(0)
        number = int(t.expect(r"its (\d)(st|nd|rd|th) group").group(1))
        t.type(key.split("-")[number - 1])
        t.expect("added protector 2")
        self.assertEqual(t.end(), cli.OK)

    def test_erase(self):
        vault = self.volume()
        t = cli.Terminal("erase", vault)
        t.expect("Type its name")
        t.type("yes")
        t.expect("coffer: not confirmed")
        self.assertEqual(t.end(), cli.REFUSED)
        self.good("key", "test", vault, "--key-file", self.key)
        t = cli.Terminal("erase", vault)
        t.expect(r"Type its name \(vault\)")
        t.type("vault")
        t.expect("erased")
        self.assertEqual(t.end(), cli.OK)
        self.bad(cli.DAMAGED, "key", "test", vault, "--key-file", self.key)


if __name__ == "__main__":
    cli.main()
