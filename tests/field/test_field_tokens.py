"""Tokens that coffer makes, opened by the independent reader; and the vectors of the document."""

import json
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

import cli

try:
    import token_reader
except ImportError as error:
    print(f"{error}: skipped")
    sys.exit(77)

HERE = Path(__file__).resolve().parent
TOKEN = re.compile(rb"coffer1[a-z]\.[A-Za-z0-9._-]+")


class Tokens(cli.Case):
    def setUp(self):
        super().setUp()
        self.vault = self.volume()
        self.keyring = ("--keyring", self.vault, "--key-file", self.key)

    def reader(self):
        return token_reader.open_keyring(self.vault, self.key)

    def test_vectors_of_the_document(self):
        command = [sys.executable, HERE / "token_vectors.py", "check", HERE.parents[1] / "docs/format-field.md"]
        self.assertEqual(subprocess.run(command).returncode, 0)

    def encrypted(self, text, *options, name="a.json"):
        path = self.file(name, text)
        self.good("field", "encrypt", path, "-i", *options, *self.keyring)
        return Path(path).read_bytes()

    def test_random(self):
        out = self.encrypted(b'{"a": {"b": ["x", 1.50]}}', "--context", "prod")
        tokens = TOKEN.findall(out)
        self.assertEqual(len(tokens), 2)
        place = token_reader.place("keys", [("k", 1, b"a"), ("k", 1, b"b")])
        self.assertEqual([self.reader().open(t, "keys", "prod", place) for t in tokens], [b'"x"', b"1.50"])
        for wrong in [("keys", "", place), ("none", "prod", b""), ("keys", "prod", place[:-1] + b"c")]:
            with self.assertRaises(token_reader.reader.Rejected):
                self.reader().open(tokens[0], *wrong)

    def test_path_and_record(self):
        out = self.encrypted(b'{"a": [{"id": 7, "v": "x"}]}', "--bind", "path", "--path", "a[*].v")
        steps = [("k", 1, b"a"), ("i", 0, b""), ("k", 1, b"v")]
        token = TOKEN.findall(out)[0]
        self.assertEqual(self.reader().open(token, "path", "", token_reader.place("path", steps)), b'"x"')
        out = self.encrypted(b'{"a": [{"id": 7, "v": "x"}]}', "--bind", "record:id", "--path", "a[*].v")
        token = TOKEN.findall(out)[0]
        self.assertEqual(self.reader().open(token, "record", "", token_reader.place("record", steps, (b"id", b"7"))), b'"x"')

    def test_deterministic(self):
        self.good("field", "domain", "create", "mail", *self.keyring)
        out = self.encrypted(b'["a", "a", "b"]', "--domain", "mail", "--bind", "none")
        a, again, b = TOKEN.findall(out)
        first = a.split(b".")[1]
        self.assertEqual(first, again.split(b".")[1])
        self.assertNotEqual(first, b.split(b".")[1])
        self.assertEqual(self.reader().open(a, "none", "", b""), b'"a"')

    def test_sealed(self):
        out = self.encrypted(b'{"a": "x"}', "--mode", "sealed")
        token = TOKEN.findall(out)[0]
        self.assertTrue(token.startswith(b"coffer1s."))
        place = token_reader.place("keys", [("k", 1, b"a")])
        self.assertEqual(self.reader().open(token, "keys", "", place), b'"x"')

    def test_reads_what_others_write(self):
        place = token_reader.place("keys", [("k", 1, b"a")])
        token = self.reader().seal_random(2, "keys", "prod", place, b'"written elsewhere"', os.urandom(16), 48)
        path = self.file("b.json", b'{"a": "%s"}' % token)
        self.assertEqual(self.good("field", "get", path, "a", "--context", "prod", *self.keyring).out, "written elsewhere\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
