"""Help, usage, the manual page: what a user meets first."""

import re
import subprocess
from pathlib import Path

import cli

VERBS = ["init", "mount", "umount", "status", "check", "freeze", "thaw", "path", "erase",
         "key list", "key add", "key remove", "key passwd", "key test",
         "lock", "unlock", "adopt", "key init", "key rotate", "key suspend", "key resume", "key deactivate", "key compromise", "key floor", "key destroy",
         "key undelete", "key audit show", "key audit verify", "key audit export", "key backup", "key restore", "key policy set",
         "key policy show", "key policy run", "key scope create", "key scope assign", "key scope list",
         "key scope lock", "key scope unlock", "key reencrypt start", "key reencrypt pause", "key reencrypt resume",
         "key reencrypt stop", "key reencrypt status", "help", "version"]
OVERVIEW, DOCUMENTED = VERBS[:15], VERBS[:-2]
SERVICE = ["service " + verb for verb in (
    "key create", "key list", "key show", "key rotate", "key disable", "key enable", "key config", "key delete", "key recover",
    "key purge", "key grant", "key ungrant", "client register", "client list", "client accept", "client revoke", "volumes",
    "volume accept", "volume restore", "backup", "audit show", "audit verify", "audit export")]
KEYS = [verb for verb in VERBS if verb.startswith("key ")]
SOURCE = Path(__file__).resolve().parents[2]


def statuses_of_header():
    text = (SOURCE / "util/base/fault.h").read_text()
    return {int(n) for n in re.findall(r"^\tEXIT_[A-Z_]+ = (\d+),", text, re.M)}


class Help(cli.Case):
    def test_overview_fits_one_screen(self):
        for arguments in ([], ["--help"], ["-h"]):
            text = self.good("help" if not arguments else arguments[0]).out
            lines = text.splitlines()
            self.assertLessEqual(len(lines), 23)  # and the next prompt
            self.assertLessEqual(max(map(len, lines)), 80)
            for verb in OVERVIEW:
                self.assertRegex(text, rf"(?m)^  {verb} ")

    def test_every_verb_has_help_with_an_example(self):
        for verb in VERBS + SERVICE:
            text = self.good(*verb.split(), "--help").out
            self.assertRegex(text, rf"\Ausage: coffer {verb}\b")
            self.assertRegex(text, rf"\nexample:\n(.*\n)*  .*coffer {verb}\b")
            self.assertEqual(self.good("help", *verb.split()).out, text)

    def test_help_wins_over_what_is_missing(self):
        self.assertIn("usage: coffer mount", self.good("mount", "--help", "x", "y", "z").out)

    def test_groups(self):
        for arguments in (["help", "key"], ["key", "--help"]):
            self.assertEqual(self.good(*arguments).out.count("usage: coffer key "), len(KEYS))
        self.bad(cli.USAGE, "key", says="coffer help key")
        self.bad(cli.USAGE, "key", "melt", says="key melt")

    def test_version(self):
        self.assertRegex(self.good("version").out, r"\Acoffer \d+\.\d+\.\d+\n\Z")
        self.assertEqual(self.good("--version").out, self.good("version").out)

    def test_manual_page_lists_every_status_and_verb(self):
        page = (SOURCE / "docs/man/coffer.1").read_text()
        listed = {int(n) for n in re.findall(r"^\.It (\d+)$", page, re.M)}
        self.assertEqual(listed, statuses_of_header())
        for verb in DOCUMENTED:
            self.assertRegex(page, rf"(?m)^\.It Cm {verb} ")

    def test_its_own_manual_page_lists_the_verbs_of_service(self):
        page = (SOURCE / "docs/man/coffer-service.1").read_text()
        self.assertEqual(self.good("help", "service").out.count("usage: coffer service "), len(SERVICE))
        for verb in SERVICE:
            self.assertRegex(page, rf"(?m)^\.It Cm {verb.removeprefix('service ')}\b")
            for option in re.findall(r"--([a-z0-9-]+)", self.good(*verb.split(), "--help").out):
                self.assertIn(f"Fl -{option}", page, verb)

    def test_options_of_help_stand_in_the_manual_page(self):
        page = (SOURCE / "docs/man/coffer.1").read_text()
        for verb in VERBS:
            for option in re.findall(r"--([a-z0-9-]+)", self.good(*verb.split(), "--help").out):
                self.assertIn(f"Fl -{option}", page, verb)


class Usage(cli.Case):
    def test_unknown_words(self):
        result = cli.run()
        self.assertEqual(result.status, cli.USAGE)
        self.assertIn("usage: coffer", result.err)
        self.bad(cli.USAGE, "melt", says="melt")
        self.bad(cli.USAGE, "", says="verb")
        self.bad(cli.USAGE, "init", "--melt", says="--melt")
        self.bad(cli.USAGE, "init", "-z", says="-z")
        self.bad(cli.USAGE, "init", "--portable=yes", "x", says="--portable=yes")
        self.bad(cli.USAGE, "help", "melt", says="melt")

    def test_number_of_words(self):
        for verb, least in [("init", 1), ("mount", 2), ("umount", 1), ("check", 1), ("freeze", 1), ("thaw", 1), ("erase", 1), ("path", 2),
                            ("key list", 1), ("key add", 1), ("key remove", 2), ("key passwd", 1), ("key test", 1),
                            ("adopt", 1), ("key init", 1), ("key rotate", 1), ("key suspend", 2), ("key resume", 2), ("key deactivate", 2),
                            ("key compromise", 2), ("key floor", 2), ("key destroy", 2), ("key undelete", 2), ("key audit show", 1),
                            ("key audit verify", 1), ("key audit export", 1), ("key restore", 2), ("key policy set", 1),
                            ("key policy show", 1), ("key policy run", 1)]:
            self.bad(cli.USAGE, *verb.split(), *["x"] * (least - 1), says="missing")
            self.bad(cli.USAGE, *verb.split(), *["x"] * (least + 1), says="too much")
        self.bad(cli.USAGE, "status", "x", "y", says="too much")

    def test_values(self):
        new = self.path("new")
        self.bad(cli.USAGE, "init", new, "--cipher", "rot13", says="rot13")
        self.bad(cli.USAGE, "init", new, "--cipher", says="--cipher")
        for size in ["", "x", "-1", "1X", "1KB", "0x10", "99999999999999999999", "17179869184G", " 1"]:
            self.bad(cli.USAGE, "init", new, "--journal-size", size, says="--journal-size")
        for fd in ["", "-1", "x", "3 ", "99999999999"]:
            self.bad(cli.USAGE, "key", "test", new, "--passphrase-fd", fd, says="--passphrase-fd")
        for number in ["", "x", "-1", "1.0", "4294967296"]:
            self.bad(cli.USAGE, "key", "remove", new, number)
        self.assertFalse(Path(new).exists())

    def test_one_secret_only(self):
        ways = [("--passphrase-file", "f"), ("--passphrase-fd", "0"), ("--passphrase-command", "c"), ("--key-file", "f"),
                ("--credential", "n")]
        for verb in (["init", "d"], ["mount", "d", "m"], ["check", "d"], ["path", "d", "p"], ["key", "add", "d"],
                     ["key", "remove", "d", "1"], ["key", "passwd", "d"], ["key", "test", "d"], ["adopt", "d"], ["key", "rotate", "d"],
                     ["key", "suspend", "d", "1"], ["key", "floor", "d", "1"], ["key", "destroy", "d", "1"],
                     ["key", "undelete", "d", "1"], ["key", "audit", "verify", "d"], ["key", "backup", "d"]):
            for i, first in enumerate(ways):
                second = ways[(i + 1) % len(ways)]
                self.bad(cli.USAGE, *verb, *first, *second, says="not both")
                self.bad(cli.USAGE, *verb, *first, *first, says="twice")

    def test_no_secret_in_the_synopsis(self):
        """Nothing takes a passphrase itself: it would show in the list of processes."""
        for verb in VERBS:
            self.assertNotRegex(self.good(*verb.split(), "--help").out, r"--passphrase[ =]")

    def test_full_output(self):
        with open("/dev/full", "w") as full:
            result = cli.run_program([cli.COFFER, "help"], stdout=full)
        self.check_bad(result, cli.FAILED, "standard output", "help")

    def test_closed_descriptors(self):
        """A file must not land on a standard descriptor, where a message would be written into it."""
        command = '"$0" init "$1" --key-file "$2" --no-recovery-key <&- >&- 2>&-'
        result = cli.run_program(["/bin/sh", "-c", command, cli.COFFER, self.path("vault"), self.key])
        self.assertEqual(result.status, cli.OK)
        self.good("key", "test", self.path("vault"), "--key-file", self.key)


class Names(cli.Case):
    def test_links_dispatch_by_name(self):
        for name, status in [("mount.coffer", 1), ("mount.fuse.coffer", 1), ("fsck.coffer", 16)]:
            link = Path(self.path(name))
            link.symlink_to(cli.COFFER)
            result = cli.run_program([link])
            self.check_bad(result, status, name, name)

    def test_completion_knows_the_options(self):
        """Each option that help shows is offered for its verb."""
        script = SOURCE / "util/completion/coffer.bash"
        for verb in DOCUMENTED + SERVICE:
            if verb == "umount":
                continue
            words = ["coffer", *verb.split(), "--"]
            command = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _coffer; '
                       'printf "%s\\n" "${COMPREPLY[@]}"')
            out = subprocess.run(["bash", "-c", command, "bash", script, *words], capture_output=True, text=True,
                                 check=True).stdout.split()
            shown = set(re.findall(r"(--[a-z0-9-]+)", self.good(*verb.split(), "--help").out))
            self.assertLessEqual({s for s in shown if s != "--help"}, set(out), verb)


if __name__ == "__main__":
    cli.main()
