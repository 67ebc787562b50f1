"""The verbs of the field tool, as scripts use them."""

import os
import pty
import re
import select
import stat
import subprocess
import time
import unittest
from pathlib import Path

import cli
import opened

JSON = b'{\r\n  "db": {"user": "app", "password": "hunter2", "port": 5432},\n\t"list": [1e3, null, ""], "x.y": "\\u00e9"}\n'


class Case(cli.Case):
    def setUp(self):
        super().setUp()
        self.vault = self.volume()
        self.keyring = ("--keyring", self.vault, "--key-file", self.key)

    def field(self, verb, *arguments, **kw):
        return self.good("field", verb, *arguments, *self.keyring, **kw)

    def refuse(self, verb, *arguments, status=cli.FAILED, **kw):
        return self.unchanged(self.top, status, "field", verb, *arguments, *self.keyring, **kw)

    def json(self, name="a.json", text=JSON):
        return Path(self.file(name, text))


class Files(Case):
    def test_round_trip(self):
        path = self.json()
        self.field("encrypt", path, "-i")
        once = path.read_bytes()
        self.assertNotIn(b"hunter2", once)
        self.field("encrypt", path, "-i")
        self.assertEqual(path.read_bytes(), once)
        self.assertEqual(self.field("decrypt", path).out.encode(), JSON)
        self.assertEqual(path.read_bytes(), once)
        self.field("decrypt", path, "-i")
        self.assertEqual(path.read_bytes(), JSON)

    def test_only_what_is_chosen(self):
        path = self.json()
        self.field("encrypt", path, "-i", "--path", 'db.password,"x.y"')
        text = path.read_bytes()
        self.assertIn(b'"user": "app"', text)
        self.assertIn(b'"list": [1e3, null, ""]', text)
        self.assertNotIn(b"hunter2", text)
        self.assertNotIn(b"u00e9", text)
        path = self.json()
        self.field("encrypt", path, "-i", "--key-regex", "^pass")
        self.assertEqual(path.read_bytes().count(b"coffer1r."), 1)
        self.field("encrypt", path, "-i", "--path", "db")
        self.assertEqual(path.read_bytes().count(b"coffer1r."), 3)

    def test_a_path_that_is_not_there(self):
        path = self.json()
        self.refuse("encrypt", path, "-i", "--path", "db.user,db.pasword", says="no value db.pasword; near it: db.password")
        self.refuse("decrypt", path, "-i", "--path", "list[3]", says="no value list[3]; near it: list[")
        self.bad(cli.FAILED, "field", "check", path, "--path", "db.pasword", says="near it")
        self.field("encrypt", path, "-i", "--path", "**.pasword")  # whatever there is of that
        self.assertEqual(path.read_bytes(), JSON)
        rows = self.file("a.csv", b"id,mail\n")  # no row, no value
        self.field("encrypt", rows, "-i", "--path", "mail")

    def test_output_and_pipes(self):
        path, out = self.json(), Path(self.path("out.json"))
        self.field("encrypt", path, "-o", out)
        self.assertEqual(path.read_bytes(), JSON)
        result = self.good("field", "decrypt", "-", "--format", "json", *self.keyring, input=out.read_bytes())
        self.assertEqual(result.out.encode(), JSON)
        self.refuse("encrypt", "-", "-i", "--format", "json", status=cli.USAGE)
        self.refuse("encrypt", path, path, status=cli.USAGE, says="-i")

    @unittest.skipIf(os.environ.get("SANITIZE", "none") != "none", "the sanitizers' memory is counted, too")
    def test_bounded_memory(self):
        """Larger than what it may take: 64 MiB, of which it needs less than half."""
        for format, head, line, tail, path in [
                ("csv", b"i,t,s\n", b"%d,abcdefghijklmnopqrstuvwxyz,secret\n", b"", "s"),
                ("jsonl", b"", b'{"i": %d, "t": "abcdefghijklmnopqrstuvwxyz", "s": "secret"}\n', b"", "s"),
                ("xml", b"<r>\n", b"<e i='%d'><t>abcdefghijklmnopqrstuvwxyz</t><s>secret</s></e>\n", b"</r>\n", "/r/e/s")]:
            block = b"".join(line % i for i in range(1000)) * 20
            process = cli.start([cli.COFFER, "field", "encrypt", "-", "--format", format, "--path", path, *self.keyring], stdin=subprocess.PIPE,
                                stdout=subprocess.DEVNULL)
            process.stdin.write(head)
            for _ in range((48 << 20) // len(block) + 1):
                process.stdin.write(block)
            process.stdin.write(tail)
            process.stdin.close()
            error = process.stderr.read()
            process.stderr.close()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.assertEqual((process.returncode, error), (0, b""))
            self.assertLess(usage.ru_maxrss, 40 << 10)

    def progress(self, *words, **kw):
        """What a terminal shows, once it knows that the first piece took a second: nobody reads the output before."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        process = cli.start([cli.COFFER, "field", "encrypt", *words, "--path", "s", *self.keyring], stderr=theirs, bufsize=0, **kw)
        os.close(theirs)
        first = process.stdout.read(1)
        time.sleep(1)
        out = first + process.communicate(timeout=cli.TIMEOUT)[0]
        self.assertEqual(process.returncode, 0)
        shown = b""
        while select.select([ours], [], [], 0)[0]:
            try:
                shown += os.read(ours, 1 << 16)
            except OSError:  # all is read, and nobody writes
                break
        return shown.decode(), out

    def test_progress(self):
        path = Path(self.file("a\x1b.csv", b"i,s\n" + b"%s,secret\n" % (b"x" * 1000) * 2000))
        line = r"\A\r%s: (\S+) KiB%s, \S+ KiB/s%s\x1b\[K"
        shown, out = self.progress(path)
        self.assertRegex(shown, line % (r"a\\x1b\.csv", r" of 1\.9 MiB \(\d+ %\)", r", 0:\d\d left"))
        self.assertRegex(shown, r"\r\x1b\[K\Z")  # nothing of it stays
        self.assertEqual(out.count(b",coffer1r."), 2000)
        with path.open("rb") as f:  # how much will come through a pipe nobody knows
            cat = cli.start(["cat"], stdin=f)
        shown, _ = self.progress("-", "--format", "csv", stdin=cat.stdout)
        self.assertRegex(shown, line % ("standard input", "", ""))
        cat.stdout.close()
        cat.stderr.close()
        self.assertEqual(cat.wait(), 0)

    def test_mode_owner_link(self):
        path, link = self.json(), Path(self.path("link.json"))
        link.symlink_to("a.json")
        os.chmod(path, 0o640)
        if os.geteuid() == 0:
            os.chown(path, 12345, 54321)
        os.setxattr(path, "user.note", b"kept")
        before = os.stat(path)
        self.field("encrypt", link, "-i")
        after = os.stat(path)
        self.assertTrue(link.is_symlink())
        self.assertIn(b"coffer1r.", path.read_bytes())
        self.assertEqual((before.st_mode, before.st_uid, before.st_gid), (after.st_mode, after.st_uid, after.st_gid))
        self.assertEqual(os.getxattr(path, "user.note"), b"kept")
        self.assertEqual(sorted(os.listdir(self.top)), ["a.json", "key", "link.json", "vault"])

    def test_access_control_list(self):
        path = self.json()
        if subprocess.run(["setfacl", "-m", "u:12345:r", path], capture_output=True).returncode:
            self.skipTest("no access control lists here")
        before = os.getxattr(path, "system.posix_acl_access")
        self.field("encrypt", path, "-i")
        self.assertEqual(os.getxattr(path, "system.posix_acl_access"), before)

    def test_what_is_no_file_to_edit(self):
        path = self.json()
        os.link(path, self.path("other.json"))
        self.refuse("encrypt", path, "-i", status=cli.REFUSED, says="names")
        os.mkdir(self.path("d.json"))
        self.refuse("encrypt", self.path("d.json"), "-i", says="regular")
        self.refuse("encrypt", self.path("none.json"), "-i", status=cli.STORE, says="none.json")
        self.refuse("encrypt", self.file("name", JSON), "-i", status=cli.USAGE, says="--format")
        self.refuse("encrypt", self.json("b.json"), "-i", "--format", "x", status=cli.USAGE, says="no format x")

    def test_unchanged_file_is_not_written(self):
        path = self.json()
        self.field("encrypt", path, "-i")
        before = os.stat(path).st_ino, os.stat(path).st_mtime_ns
        self.field("encrypt", path, "-i")
        self.assertEqual((os.stat(path).st_ino, os.stat(path).st_mtime_ns), before)

    def test_many_files_one_secret(self):
        paths = [self.json(f"{i}.json") for i in range(50)]
        self.field("encrypt", *paths, "-i")
        self.assertTrue(all(b"hunter2" not in p.read_bytes() for p in paths))


class Values(Case):
    def test_get(self):
        path = self.json()
        self.field("encrypt", path, "-i", "--path", "db")
        for at, value in [("db.password", "hunter2"), ("db.port", "5432"), ('"x.y"', "é"), ("list[0]", "1e3"), ("list[2]", "")]:
            self.assertEqual(self.field("get", path, at).out, value + "\n")
        self.assertEqual(self.field("get", path, "db.password", "--raw").out, "hunter2")
        self.refuse("get", path, "db.pasword", says="near it: db.password")
        self.refuse("get", path, "db", says="more than one")

    def test_set(self):
        path = self.json()
        self.field("encrypt", path, "-i", "--path", "db")
        before = path.read_bytes()
        self.field("set", path, "db.password", input=b"hunter2\n")
        self.assertEqual(path.read_bytes(), before)  # unchanged: the token stays
        self.field("set", path, "db.password", input=b'new\n", "evil": "\n\n')
        self.assertEqual(self.field("get", path, "db.password").out, 'new\n", "evil": "\n\n')
        self.field("set", path, "db.password", "--raw", input=b"x\n")
        self.assertEqual(self.field("get", path, "db.password", "--raw").out, "x\n")
        self.assertIn(b'"password": "coffer1r.', path.read_bytes())
        self.assertIn(b"1e3", path.read_bytes())

    def test_types(self):
        path = self.json()
        self.field("encrypt", path, "-i", "--path", "db")
        self.field("set", path, "db.port", input=b"6000\n")
        self.refuse("set", path, "db.port", input=b"many\n", says="--type")
        self.refuse("set", path, "db.port", "--type", "bool", input=b"6000\n", says="bool")
        self.refuse("set", path, "db.port", "--type", "x", input=b"6000\n", status=cli.USAGE)
        self.assertIn(b'"port": 6000', self.field("decrypt", path).out.encode())
        self.field("set", path, "db.port", "--type", "string", input=b"6000\n")
        self.assertIn(b'"port": "6000"', self.field("decrypt", path).out.encode())
        self.field("set", path, "list[0]", input=b"7")  # in clear, and stays so
        self.assertIn(b"[7, null", path.read_bytes())

    def test_too_long(self):
        path = self.json()
        self.refuse("set", path, "db.user", input=b"x" * ((16 << 20) + 1) + b"\n", says="longer than 16 MiB")

    def test_bytes_that_json_cannot_hold(self):
        path = self.json()
        self.refuse("set", path, "db.user", input=b"\xff", says="cannot be written")


class Tokens(Case):
    def test_moved_changed_foreign(self):
        path = self.json(text=b'{"a": "1", "b": "2"}')
        self.field("encrypt", path, "-i")
        text = path.read_bytes()
        a = text.split(b'"')[3]
        b = text.split(b'"')[7]
        path.write_bytes(text.replace(b, a))
        self.refuse("decrypt", path, "-i", says="a.json:1: b: ")
        result = cli.run("field", "decrypt", path, "--keep-going", *self.keyring)
        self.assertEqual(result.status, cli.FAILED)
        self.assertEqual(result.out.encode(), b'{"a": "1", "b": "' + a + b'"}')
        path.write_bytes(text.replace(a, a[:-1]))
        self.refuse("decrypt", path, "-i", says="a.json:1: a: ")
        path.write_bytes(text)
        self.refuse("decrypt", path, "--context", "x", says="context")
        self.refuse("decrypt", path, "--bind", "path", says="bind")
        other = self.volume("other")
        result = self.unchanged(self.top, cli.FAILED, "field", "decrypt", path, "--keyring", other, "--key-file", self.key)
        self.assertIn("another keyring", result.err)

    def test_list_and_check(self):
        path = self.json()
        self.field("encrypt", path, "-i", "--path", "db.password")
        lines = [line.split("\t") for line in self.good("field", "list", path).out.splitlines()]
        self.assertEqual([line[0] for line in lines],
                         ["db.user", "db.password", "db.port", "list[0]", "list[1]", "list[2]", '"x.y"'])
        self.assertEqual(lines[0][1], "clear")
        self.assertEqual(lines[1][1:3], ["random", "2"])
        self.good("field", "check", path, "--path", "db.password")
        result = cli.run("field", "check", path, "--path", "db.password,db.user")
        self.assertEqual(result.status, cli.FAILED)
        self.assertIn("db.user: stands in clear", result.err)
        self.assertNotIn("app", result.err)

    def test_domains(self):
        self.assertEqual(self.field("domain", "list").out, "")
        self.field("domain", "create", "mail")
        self.assertEqual(self.field("domain", "list").out, "mail\t2\n")
        self.refuse("domain", "create", "mail", status=cli.REFUSED, says="already")
        self.refuse("domain", "create", "a b", status=cli.USAGE)
        self.refuse("encrypt", self.json(), "--domain", "none", says="field domain create none")

    def test_migrate(self):
        path, other = self.json(), self.volume("other")
        self.field("encrypt", path, "-i", "--path", "db")
        self.field("migrate", path, "--to-keyring", other, "--to-key-file", self.key)
        self.bad(cli.FAILED, "field", "decrypt", path, *self.keyring, says="another keyring")
        before = path.read_bytes()
        self.field("migrate", path, "--to-keyring", other, "--to-key-file", self.key)  # done already
        self.assertEqual(path.read_bytes(), before)
        result = self.good("field", "decrypt", path, "--keyring", other, "--key-file", self.key)
        self.assertEqual(result.out.encode(), JSON)


FORMATS = {
    "a.yaml": b"a: &x hunter2  # why\nb:\n  - |\n    two\n    lines\n  -\n  - {c: 1.50, \"d\":\"e\"}\nr: *x\n",
    "a.json": JSON,
    "a.jsonl": b'{"a": "hunter2"}\n\n{"a": 2}\r\n{"a": [true]}',
    "a.toml": b'title = "hunter2" # c\n[db]\nport = 0x10\nwhen = 2026-11-28 10:00:00Z\n[[x]]\ny = [1, [2, {z = \'q\'}]]\n',
    "a.xml": b'<?xml version="1.0"?>\n<r a="1" xmlns="u"><b>hunter2</b>mixed <c/>text<d><![CDATA[x]]></d><!-- c --></r>\n',
    "a.csv": b'id,name,note\r\n1,"hunter2, b",\r\n2,c,"say ""hi"""\r\n',
    "a.tsv": b"id\tname\n1\thunter2, b\n",
    "a.ini": b"; c\n[db]\npassword = hunter2 ; c\nempty =\nlong = a\n  b\n",
    ".gitconfig": b'[remote "o\\"x"]\n\turl = hunter2 # c\n\tflag\n[a] b = \"c;d\" e\n',
    ".env": b"export A=hunter2 # c\nB='x\ny'\nC=\n",
    "a.properties": b"a.b = hunter2 \\\n   and more\nc:d\n",
}


class Formats(Case):
    def test_round_trips(self):
        for name, text in FORMATS.items():
            with self.subTest(name):
                path = Path(self.file(name, text))
                self.field("encrypt", path, "-i")
                once = path.read_bytes()
                self.assertNotIn(b"hunter2", once)
                self.assertIn(b"coffer1r.", once)
                self.assertIn(b"c", once)
                self.field("rotate", path)
                self.assertEqual(path.read_bytes(), once)
                self.field("decrypt", path, "-i")
                self.assertEqual(path.read_bytes(), text)

    def test_attribute(self):
        path = Path(self.file("a.xml", FORMATS["a.xml"]))
        self.field("encrypt", path, "-i", "--path", "/r/@a")
        self.assertIn(b'<r a="coffer1r.', path.read_bytes())
        self.assertIn(b"hunter2", path.read_bytes())
        self.assertEqual(self.field("get", path, "/r/@a").out, "1\n")

    def test_a_value_cannot_become_a_key(self):
        for name, at, value in [(".env", "A", "x\nEVIL=1"), ("a.toml", "title", '"\nevil = "1'), ("a.yaml", "a", "x\nevil: 1")]:
            path = Path(self.file(name, FORMATS[name]))
            before = self.good("field", "list", path).out.count("\n")
            self.field("set", path, at, "--raw", input=value.encode())
            self.assertEqual(self.good("field", "list", path).out.count("\n"), before)
            self.assertEqual(self.field("get", path, at, "--raw").out, value)


class Rules(Case):
    RULES = b"""version: 1
keyring: vault
context: production
rules:
  - files: ["*.yaml", "conf/*.json"]
    encrypt: ["**.password", "list"]
    leave: "list[1]"
  - files: "*.csv"
    keys: "^mail$"
    mode: deterministic
    domain: mail
    bind: none
"""

    def setUp(self):
        super().setUp()
        self.file(".coffer-fields.yaml", self.RULES)
        os.mkdir(self.path("conf"))
        self.key_only = ("--key-file", self.key)

    def test_rules_decide(self):
        path = Path(self.file("a.yaml", b"db: {user: u, password: p}\nlist: [1, 2, 3]\n"))
        self.good("field", "encrypt", path, "-i", *self.key_only)
        text = path.read_bytes()
        self.assertTrue(text.startswith(b"db: {user: u, password: coffer1r."))
        self.assertEqual(text.count(b"coffer1r."), 3)
        self.assertIn(b", 2, coffer", text)
        self.good("field", "check", path)
        self.assertEqual(self.good("field", "get", path, "db.password", *self.key_only).out, "p\n")
        self.bad(cli.FAILED, "field", "decrypt", path, "--context", "staging", *self.key_only, says="context")
        self.good("field", "decrypt", path, "-i", *self.key_only)
        self.bad(cli.FAILED, "field", "decrypt", path, *self.key_only, says="in clear where the rules want a token")
        self.assertEqual(cli.run("field", "check", path).status, cli.FAILED)
        for verb, *words in [("get", "db.password"), ("exec", "--", "true")]:
            self.bad(cli.FAILED, "field", verb, path, *self.key_only, *words, says="db.password: stands in clear where")
        self.assertEqual(self.good("field", "get", path, "db.user", *self.key_only).out, "u\n")

    def test_set_encrypts_what_the_rules_want(self):
        path = Path(self.file("a.yaml", b"db: {user: u, password: p}\n"))
        self.good("field", "set", path, "db.password", *self.key_only, input=b"new")
        self.good("field", "set", path, "db.user", *self.key_only, input=b"you")
        self.assertTrue(path.read_bytes().startswith(b"db: {user: you, password: coffer1r."))

    def test_below_and_elsewhere(self):
        path = Path(self.file("conf/a.json", b'{"password": "p", "x": 1}'))
        self.good("field", "encrypt", path, "-i", *self.key_only)
        self.assertIn(b'"x": 1', path.read_bytes())
        path = Path(self.file("a.json", b'{"password": "p", "x": 1}'))
        self.bad(cli.USAGE, "field", "encrypt", path, "-i", *self.key_only, says="no rule about")
        self.good("field", "check", path)

    def test_any_directories_and_hidden_files(self):
        self.file(".coffer-fields.yaml", b"version: 1\nkeyring: vault\ncontext: c\nrules:\n  - files: ['conf/**/*.yaml', '*.env']\n")
        os.makedirs(self.path("conf/x/y"))
        for name in ("conf/a.yaml", "conf/x/y/a.yaml", ".env", "conf/x/.env"):
            result = cli.run("field", "check", self.file(name, b"A=1\n" if "env" in name else b"a: 1\n"))
            self.assertEqual(result.status, cli.FAILED, name)
            self.assertIn("1 value should be encrypted", result.err)
        self.good("field", "check", self.file("a.yaml", b"a: 1\n"))

    def test_a_name_for_standard_input(self):
        for name, text, status in [("a.yaml", b"password: p", cli.FAILED), ("a.yaml", b"x: p", 0), ("README", bytes(1000000), 0)]:
            command = ["bash", "-c", 'set -o pipefail; cat "$1" | "$2" field check - --name "$3"', "-", self.file("text", text), cli.COFFER, name]
            result = cli.run_program(command, cwd=self.top)
            self.assertEqual(result.status, status, result.err)
        self.assertIn("a.yaml:1: password: ", cli.run("field", "check", "-", "--name", "a.yaml", cwd=self.top, input=b"password: p").err)

    def test_the_rules_are_not_about_themselves(self):
        self.file(".coffer-fields.yaml", b"version: 1\nkeyring: vault\ncontext: c\nrules:\n  - keys: .\n")
        self.good("field", "check", self.path(".coffer-fields.yaml"))
        self.bad(cli.USAGE, "field", "encrypt", self.path(".coffer-fields.yaml"), "-i", *self.key_only, says="no rule about")

    def test_columns(self):
        path = Path(self.file("a.csv", b"id,mail\n1,a@b\n2,a@b\n3,c@d\n"))
        self.bad(cli.FAILED, "field", "encrypt", path, "-i", *self.key_only, says="domain create mail")
        self.good("field", "domain", "create", "mail", "--keyring", self.vault, *self.key_only)
        self.good("field", "encrypt", path, "-i", *self.key_only)
        rows = [line.split(",")[1] for line in path.read_text().splitlines()[1:]]
        self.assertEqual(rows[0], rows[1])
        self.assertNotEqual(rows[0], rows[2])
        self.assertEqual(self.good("field", "decrypt", path, *self.key_only).out, "id,mail\n1,a@b\n2,a@b\n3,c@d\n")

    def test_few_values_warn(self):
        self.good("field", "domain", "create", "mail", "--keyring", self.vault, *self.key_only)
        for many, warns in [(2, True), (50, False)]:
            path = self.file("a.csv", b"id,mail\n" + b"".join(b"%d,x%d\n" % (i, i % many) for i in range(200)))
            result = self.good("field", "encrypt", path, "-i", *self.key_only)
            self.assertEqual("distinct values" in result.err, warns, result.err)

    def test_mistakes(self):
        path = self.file("a.yaml", b"a: b\n")
        for old, new, says in [(b"encrypt:", b"encrypts:", "unknown"), (b"version: 1", b"version: 2", "version"),
                               (b"version: 1", b"# none", "version"), (b"mode: deter", b"mode: indeter", "mode"),
                               (b"context: production", b"contekst: x", "unknown"), (b"^mail$", b"(", "regex"),
                               (b'"**.password"', b'"a..b"', "path")]:
            self.file(".coffer-fields.yaml", self.RULES.replace(old, new))
            target = self.file("a.csv", b"a\nb\n") if b"mode" in old or b"mail" in old else path
            self.bad(cli.FAILED if says not in ("mode", "regex", "path") else cli.USAGE, "field", "encrypt", target,
                     *self.key_only, says=says)

    def test_no_context_warns(self):
        self.file(".coffer-fields.yaml", self.RULES.replace(b"context: production\n", b""))
        path = self.file("a.yaml", b"password: b\n")
        self.assertIn("names no context", self.good("field", "encrypt", path, "-i", *self.key_only).err)

    def test_init(self):
        os.unlink(self.path(".coffer-fields.yaml"))
        self.good("field", "init", cwd=self.top)
        result = cli.run("field", "init", cwd=self.top)
        self.assertEqual(result.status, cli.REFUSED)
        path = Path(self.file("a.yaml", b"password: b\nc: d\n"))
        self.good("field", "encrypt", path, "-i", *self.keyring)
        self.assertEqual(path.read_bytes().count(b"coffer1r."), 1)

    def test_foreign_rules(self):
        if os.geteuid():
            self.skipTest("needs root")
        os.chown(self.path(".coffer-fields.yaml"), 12345, 12345)
        path = self.file("a.yaml", b"password: b\n")
        self.bad(cli.REFUSED, "field", "encrypt", path, *self.key_only, says="another user")
        self.good("field", "encrypt", path, "--rules", self.path(".coffer-fields.yaml"), *self.key_only)


VERBS = ["encrypt", "decrypt", "get", "set", "edit", "list", "check", "rotate", "migrate", "exec", "textconv", "merge", "clean", "domain",
         "pubkey", "agent", "init"]
SOURCE = Path(__file__).resolve().parents[2]


class Help(cli.Case):
    def test_help_manual_and_completion_agree(self):
        page = (SOURCE / "docs/man/coffer-field.1").read_text()
        for verb in VERBS:
            text = self.good("field", verb, "--help").out
            self.assertRegex(text, rf"\Ausage: coffer field {verb}\b")
            self.assertRegex(text, r"\nexample:\n(.*\n)*  .*coffer field")
            self.assertRegex(page, rf"(?m)^\.Cm .*\b{verb}\b")
            shown = set(re.findall(r"(--[a-z0-9-]+)", text)) - {"--help"}
            for option in shown:
                self.assertIn(f"Fl -{option[2:]}", page, verb)
            command = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _coffer; '
                       'printf "%s\\n" "${COMPREPLY[@]}"')
            out = subprocess.run(["bash", "-c", command, "bash", SOURCE / "util/completion/coffer.bash", "coffer", "field", verb, "--"],
                                 capture_output=True, text=True, check=True).stdout.split()
            self.assertLessEqual(shown, set(out), verb)
        self.assertEqual(len(self.good("help", "field").out.split("usage: ")), len(VERBS) + 1)

    def test_words(self):
        self.bad(cli.USAGE, "field", says="coffer help field")
        self.bad(cli.USAGE, "field", "melt", says="field melt")
        for verb, least in [("encrypt", 1), ("get", 2), ("set", 2), ("merge", 4), ("clean", 1), ("domain", 1), ("edit", 1)]:
            self.bad(cli.USAGE, "field", verb, *["x"] * (least - 1), says="missing")


class Bad(Case):
    def test_broken_syntax(self):
        for text, says in [(b'{"a": 1,}', "x.json:1:9: "), (b'{\n"a": "x\n"}', "x.json:2:8: "), (b"", "x.json:1:1: "),
                           (b'{"a": "\xff"}', "not UTF-8"), (b"\x00\x01\x02", "x.json:1:1")]:
            self.refuse("encrypt", self.json("x.json", text), "-i", says=says)

    def test_keyring_is_missing(self):
        self.bad(cli.USAGE, "field", "encrypt", self.json(), says="--keyring")

    def test_read_only_directory(self):
        if os.geteuid() == 0:
            self.skipTest("root writes anywhere")
        path = self.json()
        os.chmod(self.top, stat.S_IRUSR | stat.S_IXUSR)
        try:
            self.refuse("encrypt", path, "-i", status=cli.STORE)
        finally:
            os.chmod(self.top, 0o700)

    def test_full_disk(self):
        """A limit on the size of files stands for a full disk."""
        path = self.json(text=b"[" + b'"x",' * 40000 + b'"x"]')
        command = ["bash", "-c", 'trap "" XFSZ; ulimit -f 64; exec "$@"', "-", cli.COFFER, "field", "encrypt", path, "-i",
                   *self.keyring]
        before = path.read_bytes()
        result = cli.run_program(command)
        self.assertEqual(result.status, cli.STORE, result.err)
        self.assertEqual(path.read_bytes(), before)
        self.assertEqual(sorted(os.listdir(self.top)), ["a.json", "key", "vault"])


def tearDownModule():
    opened.finish()


if __name__ == "__main__":
    unittest.main(verbosity=2)
