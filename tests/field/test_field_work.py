"""Working with encrypted files: edit, exec, git, sealed values."""

import os
import re
import signal
import stat
import subprocess
import time
import unittest
from pathlib import Path

import cli
import opened

YAML = b"db:\n  user: app\n  password: hunter2  # secret\nlist: [one, two]\n"


class Case(cli.Case):
    def setUp(self):
        super().setUp()
        self.vault = self.volume()
        self.keyring = ("--keyring", self.vault, "--key-file", self.key)

    def field(self, verb, *arguments, **kw):
        return self.good("field", verb, *arguments, *self.keyring, **kw)

    def encrypted(self, name="a.yaml", text=YAML, *options):
        path = Path(self.file(name, text))
        self.field("encrypt", path, "-i", *options)
        return path

    def script(self, text):
        path = self.file("editor", b"#!/bin/sh\n" + text)
        os.chmod(path, 0o700)
        return path


def leftovers():
    return [n for d in ("/dev/shm", os.environ.get("XDG_RUNTIME_DIR", "/dev/shm")) if os.path.isdir(d)
            for n in os.listdir(d) if n.startswith("coffer-edit-")]


class Edit(Case):
    def setUp(self):
        super().setUp()
        self.before = leftovers()

    def tearDown(self):
        self.assertEqual(leftovers(), self.before)

    def edit(self, path, script, status=0, **kw):
        result = cli.run("field", "edit", path, *self.keyring, env={**os.environ, "EDITOR": self.script(script), "VISUAL": ""}, **kw)
        self.assertEqual(result.status, status, result.err)
        return result

    def test_only_what_changed(self):
        path = self.encrypted()
        before = path.read_bytes().splitlines()
        self.edit(path, b'grep -q hunter2 "$1" && sed -i "s/hunter2/new one/; s/^list/# l\\nlist/" "$1"')
        after = path.read_bytes().splitlines()
        self.assertEqual(after[1], before[1])
        self.assertNotEqual(after[2], before[2])
        self.assertEqual(after[3], b"# l")
        self.assertEqual(after[4], before[3])
        self.assertNotIn(b"new one", path.read_bytes())
        self.assertEqual(self.field("get", path, "db.password").out, "new one\n")

    def test_nothing_changed(self):
        path = self.encrypted()
        before = path.read_bytes(), os.stat(path).st_ino
        self.assertIn("nothing was changed", self.edit(path, b"true").err)
        self.assertEqual((path.read_bytes(), os.stat(path).st_ino), before)

    def test_private(self):
        path = self.encrypted()
        out = self.path("seen")
        self.edit(path, b'stat -c "%%a %%F" "$1" "$(dirname "$1")" > %s; stat -f -c %%T "$1" >> %s' % (out.encode(), out.encode()))
        self.assertEqual(Path(out).read_text().splitlines(), ["600 regular file", "700 directory", "tmpfs"])

    def test_what_the_editor_leaves(self):
        path = self.encrypted()
        self.edit(path, b'cp "$1" "$1~"; mkdir "$(dirname "$1")/.x" && rmdir "$(dirname "$1")/.x"; sed -i s/hunter2/x/ "$1"')

    def test_not_swapped_out(self):
        if os.geteuid() or tuple(map(int, os.uname().release.split(".")[:2])) < (6, 4):
            self.skipTest("needs root and Linux 6.4")
        path, out = self.encrypted(), self.path("seen")
        self.edit(path, b'findmnt -n -o OPTIONS -T "$1" > %s' % out.encode())
        if "noswap" not in Path(out).read_text():
            self.skipTest("may not mount")
        self.assertNotIn("coffer-edit", Path("/proc/self/mountinfo").read_text())

    def test_standard_input(self):
        for script, wanted in [(b"true", YAML), (b'sed -i s/hunter2/x/ "$1"', YAML.replace(b"hunter2", b"x"))]:
            environment = {**os.environ, "EDITOR": self.script(script), "VISUAL": ""}
            text = self.encrypted().read_bytes()
            out = self.good("field", "edit", "-", "--format", "yaml", *self.keyring, env=environment, input=text).out
            self.assertEqual(out.count("coffer1r."), 4)
            again = self.good("field", "decrypt", "-", "--format", "yaml", *self.keyring, input=out.encode())
            self.assertEqual(again.out.encode(), wanted)

    def test_killed(self):
        path = self.encrypted()
        before, started = path.read_bytes(), self.path("started")
        script = self.script(b'echo > %s; sleep 20' % started.encode())
        process = cli.start([cli.COFFER, "field", "edit", path, *self.keyring], env={**os.environ, "EDITOR": script, "VISUAL": ""})
        while not os.path.exists(started):
            time.sleep(0.01)
        process.terminate()
        process.wait(cli.TIMEOUT)
        os.killpg(process.pid, signal.SIGKILL)  # the editor, which goes on
        process.communicate(timeout=cli.TIMEOUT)
        self.assertEqual(process.returncode, -signal.SIGTERM)
        self.assertEqual(path.read_bytes(), before)

    def test_broken(self):
        path = self.encrypted()
        before = path.read_bytes()
        self.assertIn("a.yaml:", self.edit(path, b'echo "x: [" >> "$1"', cli.FAILED).err)
        self.assertIn("editor failed", self.edit(path, b"exit 3", cli.FAILED).err)
        self.assertEqual(path.read_bytes(), before)

    def test_the_editor_crashes(self):
        path, seen = self.encrypted(), self.path("seen")
        script = self.script(b'[ -e %s ] || { : > %s; sed -i s/hunter2/x/ "$1"; kill -9 $$; }' % (seen.encode(), seen.encode()))
        t = cli.Terminal("field", "edit", path, *self.keyring, EDITOR=script, VISUAL="")
        t.expect(r"the editor failed[^\0]*Edit again")
        t.type("y")
        self.assertEqual(t.end(), 0)
        self.assertEqual(self.field("get", path, "db.password").out, "x\n")

    def test_broken_then_mended(self):
        path = self.encrypted()
        script = self.script(b'if grep -q "x: " "$1"; then sed -i "s/x: .*/x: [y]/" "$1"; else echo "x: [" >> "$1"; fi')
        t = cli.Terminal("field", "edit", path, *self.keyring, EDITOR=script, VISUAL="")
        t.expect("Edit again")
        t.type("y")
        self.assertEqual(t.end(), 0)
        self.assertTrue(path.read_bytes().endswith(b"x: [y]\n"))


class Exec(Case):
    def test_variables(self):
        path = self.encrypted()
        out = self.good("field", "exec", path, *self.keyring, "--", "sh", "-c", 'echo "$db_password,$list_1,$db_user"')
        self.assertEqual(out.out, "hunter2,two,app\n")

    def test_files(self):
        path = self.encrypted()
        result = cli.run("field", "exec", path, "--files", *self.keyring, "--", "sh", "-c", 'cat "$db_password"; env | grep -c hunter2; exit 5')
        self.assertEqual((result.status, result.out), (5, "hunter20\n"))

    def test_clear_and_env(self):
        path = self.encrypted(".env", b"export A='x y'\nB=\n", "--path", "A")
        result = self.good("field", "exec", path, *self.keyring, "--", "sh", "-c", 'echo "$A,${B-unset}"')
        self.assertEqual(result.out, "x y,\n")

    def test_mistakes(self):
        path = self.encrypted()
        self.bad(cli.USAGE, "field", "exec", path, *self.keyring, says="COMMAND")
        self.assertEqual(cli.run("field", "exec", path, *self.keyring, "--", "/nonexistent").status, 127)
        path = self.encrypted("b.yaml", b"a.b: 1\na_b: 2\n")
        self.bad(cli.FAILED, "field", "exec", path, *self.keyring, "--", "true", says="another one")


class Sealed(Case):
    def test_sealed(self):
        key = self.file("pub", self.field("pubkey").out.encode())
        path = Path(self.file("a.yaml", YAML))
        self.good("field", "encrypt", path, "-i", "--pubkey", key, "--path", "db")
        self.assertEqual(path.read_bytes().count(b"coffer1s."), 2)
        self.bad(cli.FAILED, "field", "decrypt", path, *self.keyring, says="--mode sealed")
        self.assertEqual(self.field("decrypt", path, "--mode", "sealed").out.encode(), YAML)
        self.file(".coffer-fields.yaml", b"version: 1\nkeyring: vault\ncontext: c\nrules:\n  - {encrypt: db, mode: sealed}\n")
        path.write_bytes(YAML)
        self.good("field", "encrypt", path, "-i", "--pubkey", key)
        self.assertEqual(self.good("field", "decrypt", path, "--key-file", self.key).out.encode(), YAML)

    def test_replaced_by_who_cannot_read(self):
        key = self.file("pub", self.field("pubkey").out.encode())
        path = Path(self.file("a.yaml", YAML))
        self.good("field", "encrypt", path, "-i", "--pubkey", key, "--path", "db")
        before = path.read_bytes()
        for at, value in [("db.password", b"new"), ("db.password", b"new"), ("list[0]", b"three")]:
            self.good("field", "set", path, at, "--pubkey", key, input=value)
            self.assertNotEqual(path.read_bytes(), before)  # the same value too: it cannot tell
            before = path.read_bytes()
        self.assertEqual(before.count(b"coffer1s."), 3)
        self.assertEqual(self.field("decrypt", path, "--mode", "sealed").out.encode(), YAML.replace(b"hunter2", b"new").replace(b"one", b"three"))

    def test_no_public_key(self):
        path = self.file("a.yaml", YAML)
        self.bad(cli.FAILED, "field", "encrypt", path, "--pubkey", self.file("pub", b"x"), says="no public key")
        self.bad(cli.USAGE, "field", "encrypt", path, "--pubkey", "x", "--mode", "random", says="sealed")


class Rotation(Case):
    def generations(self, path):
        return [line.split("\t")[2] for line in self.good("field", "list", path).out.splitlines()]

    def test_rotate(self):
        path = self.encrypted()
        self.assertEqual(set(self.generations(path)), {"2"})
        self.good("key", "rotate", self.vault, "--scope", "fields", "--key-file", self.key)
        before = path.read_bytes()
        self.assertEqual(self.field("decrypt", path).out.encode(), YAML)
        self.field("rotate", path)
        self.assertEqual(set(self.generations(path)), {"3"})
        self.assertEqual(self.field("decrypt", path).out.encode(), YAML)
        path.write_bytes(before)
        self.good("key", "suspend", self.vault, "2", "--key-file", self.key)
        self.bad(cli.FAILED, "field", "decrypt", path, *self.keyring, says="suspended")

    def test_pipes(self):
        text, other = self.encrypted().read_bytes(), self.volume("other")
        self.good("key", "rotate", self.vault, "--scope", "fields", "--key-file", self.key)
        out = self.field("rotate", "-", "--format", "yaml", input=text).out.encode()
        lines = self.good("field", "list", "-", "--format", "yaml", input=out).out.splitlines()
        self.assertEqual({line.split("\t")[2] for line in lines}, {"3"})
        out = self.field("migrate", "-", "--format", "yaml", "--to-keyring", other, "--to-key-file", self.key, input=out).out.encode()
        out = self.good("field", "decrypt", "-", "--format", "yaml", "--keyring", other, "--key-file", self.key, input=out).out
        self.assertEqual(out.encode(), YAML)

    def test_domain_moves_only_when_told(self):
        self.field("domain", "create", "d")
        path = self.encrypted("a.csv", b"a\nx\nx\n", "--domain", "d", "--bind", "none")
        before = path.read_bytes()
        self.good("key", "rotate", self.vault, "--scope", "fields", "--key-file", self.key)
        self.field("rotate", path, "--bind", "none")
        self.assertEqual(path.read_bytes(), before)
        again = self.encrypted("b.csv", b"a\nx\n", "--domain", "d", "--bind", "none")
        self.assertEqual(again.read_bytes().splitlines()[1], before.splitlines()[1])  # equality goes on
        self.field("rotate", path, again, "--domain", "d", "--bind", "none")
        self.assertEqual(set(self.generations(path)), {"3"})
        self.assertEqual(again.read_bytes().splitlines()[1], path.read_bytes().splitlines()[1])
        self.assertEqual(self.field("domain", "list").out, "d\t3\n")
        self.assertEqual(self.field("decrypt", path, "--bind", "none").out, "a\nx\nx\n")

    def test_a_token_stays_of_its_domain(self):
        self.field("domain", "create", "d")
        path = self.encrypted("a.json", b'{"a": "x", "b": "y"}', "--domain", "d", "--bind", "none")
        script = self.file("editor", b"#!/bin/sh\nsed -i 's/\"y\"/\"x\"/' \"$1\"\n")
        os.chmod(script, 0o700)
        tokens = path.read_bytes().split(b'"')
        self.good("field", "edit", path, "--bind", "none", *self.keyring, env={**os.environ, "EDITOR": script, "VISUAL": ""})
        self.assertEqual(path.read_bytes().split(b'"')[7], tokens[3])
        self.field("set", path, "b", "--bind", "none", input=b"z")
        self.assertIn(b"coffer1d.", path.read_bytes().split(b'"')[7])
        self.field("set", path, "b", "--bind", "none", input=b"x")
        self.assertEqual(path.read_bytes().split(b'"')[7], tokens[3])
        self.field("set", path, "b", "--bind", "none", "--mode", "random", input=b"q")
        self.assertIn(b"coffer1r.", path.read_bytes())

    def test_domain_of_a_database(self):
        self.field("domain", "create", "d")
        self.good("key", "rotate", self.vault, "--scope", "fields", "--key-file", self.key)
        self.bad(cli.USAGE, "field", "rotate", *self.keyring, says="FILE")
        self.field("rotate", "--domain", "d")
        self.assertEqual(self.field("domain", "list").out, "d\t3\n")

    def test_keyring_that_stands_alone(self):
        alone = self.path("alone")
        self.good("key", "init", alone, "--key-file", self.key, "--no-recovery-key")
        path = Path(self.file("a.yaml", YAML))
        options = ("--keyring", alone, "--key-file", self.key)
        self.good("field", "encrypt", path, "-i", *options)
        self.assertEqual(self.good("field", "decrypt", path, *options).out.encode(), YAML)
        self.bad(cli.FAILED, "field", "decrypt", path, *self.keyring, says="another keyring")


class Git(Case):
    def git(self, *arguments, status=0):
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "HOME": self.top,
                       "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com", "GIT_COMMITTER_NAME": "a",
                       "GIT_COMMITTER_EMAIL": "a@example.com"}
        result = cli.run_program(["git", *arguments], cwd=self.repo, env=environment)
        self.assertEqual(result.status, status, (arguments, result.out, result.err))
        return result.out

    def setUp(self):
        super().setUp()
        self.repo = self.path("repo")
        os.mkdir(self.repo)
        self.git("init", "-q", "-b", "main")
        with open(os.path.join(self.repo, ".coffer-fields.yaml"), "w") as f:
            f.write("version: 1\nkeyring: ../vault\ncontext: test\nrules:\n  - {files: '*.yaml', encrypt: '**.password'}\n")
        field = f"{cli.COFFER} field"
        options = f"--key-file {self.key}"
        with open(os.path.join(self.repo, ".gitattributes"), "w") as f:
            f.write("a.yaml diff=coffer merge=coffer\n")
        self.git("config", "diff.coffer.textconv", f"{field} textconv {options}")
        self.git("config", "merge.coffer.driver", f"{field} merge {options} %O %A %B %P")
        self.a = Path(self.repo, "a.yaml")
        self.a.write_bytes(YAML)
        self.seal()
        self.git("add", ".")
        self.git("commit", "-qm", "one")

    def seal(self):
        self.good("field", "encrypt", self.a, "-i", "--key-file", self.key)

    def change(self, at, value):
        self.good("field", "set", self.a, at, "--key-file", self.key, input=value)

    def test_diff(self):
        self.change("db.password", b"new one")
        out = self.git("diff")
        self.assertIn("-  password: hunter2  # secret", out)
        self.assertIn('+  password: "new one"  # secret', out)

    def test_merge(self):
        token = self.a.read_bytes().splitlines()[2]
        self.git("checkout", "-qb", "side")
        self.change("list[1]", b"three")
        self.git("commit", "-qam", "side")
        self.git("checkout", "-q", "main")
        self.change("db.user", b"you")
        self.git("commit", "-qam", "main")
        self.git("merge", "-q", "side", "-m", "merged")
        text = self.a.read_bytes()
        self.assertIn(b"user: you", text)
        self.assertIn(b"[one, three]", text)
        self.assertEqual(text.splitlines()[2], token)

    def test_merge_of_values(self):
        """Both sides changed other secrets: a merge of tokens alone could not tell."""
        self.a.write_bytes(b"a:\n  password: one\nfill: 1\nmore: 2\nlines: 3\nb:\n  password: two\n")
        self.seal()
        self.git("commit", "-qam", "two")
        self.git("checkout", "-qb", "side")
        self.good("field", "rotate", self.a, "--key-file", self.key)
        self.change("b.password", b"TWO")
        self.git("commit", "-qam", "side")
        self.git("checkout", "-q", "main")
        self.change("a.password", b"ONE")
        self.git("commit", "-qam", "main")
        self.git("merge", "-q", "side", "-m", "merged")
        for at, value in [("a.password", "ONE\n"), ("b.password", "TWO\n")]:
            self.assertEqual(self.good("field", "get", self.a, at, "--key-file", self.key).out, value)

    def test_conflict(self):
        self.git("checkout", "-qb", "side")
        self.change("db.password", b"theirs")
        self.git("commit", "-qam", "side")
        self.git("checkout", "-q", "main")
        self.change("db.password", b"ours")
        self.git("commit", "-qam", "main")
        self.git("merge", "-q", "side", "-m", "merged", status=1)
        text = self.a.read_bytes()
        self.assertIn(b"<<<<<<<", text)
        self.assertNotIn(b"password: ours", text)
        self.assertEqual(text.count(b"coffer1r."), 2)

    def test_clean_and_smudge(self):
        """The recipe of docs/fields.md: clear in the working tree, encrypted in the repository."""
        options = f"--key-file {self.key} --rules .coffer-fields.yaml"
        self.git("config", "filter.coffer.clean", f"{cli.COFFER} field clean {options} %f")
        self.git("config", "filter.coffer.smudge", f"{cli.COFFER} field textconv {options} --name %f -")
        rules = Path(self.repo, ".coffer-fields.yaml")
        rules.write_text(rules.read_text() + "  - {files: 'b.*', encrypt: 'list', bind: path}\n")
        with open(os.path.join(self.repo, ".gitattributes"), "a") as f:
            f.write("b.yaml filter=coffer diff=coffer\n")
        b = Path(self.repo, "b.yaml")
        b.write_bytes(YAML)
        self.git("add", ".")
        self.git("commit", "-qm", "b")
        stored = self.git("show", "HEAD:b.yaml")
        self.assertIn("password: coffer1r.", stored)
        self.assertEqual(b.read_bytes(), YAML)
        os.utime(b, (1, 1))
        self.assertEqual(self.git("status", "--porcelain"), "")  # the same clear text is the same token
        b.unlink()
        self.git("checkout", "-q", "b.yaml")
        self.assertEqual(b.read_bytes(), YAML)
        b.write_bytes(YAML.replace(b"hunter2", b"other"))
        self.git("commit", "-qam", "c")
        self.assertNotEqual(self.git("show", "HEAD:b.yaml"), stored)

    def test_pre_commit_hook(self):
        """The recipe of docs/fields.md: what is staged counts."""
        text = (Path(__file__).resolve().parents[2] / "docs/fields.md").read_text()
        recipe = text[text.index("    #!/bin/bash"):text.index("A step of CI")]
        hook = Path(self.repo, ".git/hooks/pre-commit")
        hook.write_text(re.sub("(?m)^    ", "", recipe).replace("coffer field", f"{cli.COFFER} field"))
        os.chmod(hook, 0o700)
        Path(self.repo, "README").write_text("password: no\n")
        Path(self.repo, "broken.json").write_text("{")
        os.mkdir(os.path.join(self.repo, "a b"))
        b = Path(self.repo, "a b", "b.yaml")
        b.write_text("x: 1\n")
        self.git("add", ".")
        self.git("commit", "-qm", "two")
        b.write_text("x: 1\npassword: clear\n")
        self.git("add", ".")
        self.good("field", "encrypt", b, "-i", "--key-file", self.key)  # not staged
        self.git("commit", "-qm", "three", status=1)
        self.git("add", ".")
        self.git("commit", "-qm", "three")
        out = self.git("ls-files", "-z").split("\0")[:-1]
        self.assertEqual(cli.run("field", "check", *out, cwd=self.repo).status, 0)

    def test_pre_commit_check(self):
        self.a.write_bytes(self.a.read_bytes() + b"x:\n  password: clear\n")
        result = cli.run("field", "check", self.a)
        self.assertEqual(result.status, cli.FAILED)
        self.assertIn("x.password: stands in clear", result.err)


def tearDownModule():
    opened.finish()


if __name__ == "__main__":
    unittest.main(verbosity=2)
