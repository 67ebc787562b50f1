"""Generated documents: what the generator put there is what the scanner finds, and encrypting changes nothing else.

A document is a list of pieces; those that are values are known with their source text, path and meaning. So nothing here parses: the places of
values are known beforehand. COFFER_TEST_SEED chooses other documents; COFFER_TEST_SCALE makes fewer.
"""

import json
import os
import random
import re
import string
import subprocess
import tomllib
import unittest
from pathlib import Path

import cli

try:
    import composed
except ImportError:  # no ruamel.yaml
    composed = None
try:
    import token_reader
except ImportError:  # no python3-cryptography
    token_reader = None

COUNT = max(5, 30 // int(os.environ.get("COFFER_TEST_SCALE") or 1))
SEED = os.environ.get("COFFER_TEST_SEED", "1")
TOKEN = rb"coffer1r\.[A-Za-z0-9_-]+"
PLAIN = string.ascii_letters + string.digits + "_"
NUMBERS = ["0", "-1", "1e3", "1.0", "12345678901234567890", "2.50", "-0.0", "1E+2"]


class Document:
    def __init__(self, r):
        self.r, self.pieces, self.leaves = r, [], []
        self.eol = r.choice(["\n", "\n", "\r\n"])

    def text(self, *parts):
        for part in parts:
            self.pieces.append((part.encode() if isinstance(part, str) else part, False))

    def leaf(self, source, path, value):
        self.pieces.append((source.encode(), True))
        self.leaves.append((path, value))

    def bytes(self):
        return b"".join(p for p, _ in self.pieces)

    def encrypted(self, quoted):
        """What the encrypted text has to look like."""
        token = b'"' + TOKEN + b'"' if quoted else TOKEN
        return b"".join((b" ?" if not p and not quoted else b"") + token if leaf else re.escape(p) for p, leaf in self.pieces)

    # -- chance

    def maybe(self, p, text):
        return text if self.r.random() < p else ""

    def name(self, used=()):
        while True:
            n = "".join(self.r.choice(PLAIN) for _ in range(self.r.randint(1, 8)))
            if n not in used and not n[0].isdigit():
                return n

    def names(self, most=4):
        found = []
        for _ in range(self.r.randint(1, most)):
            found.append(self.name(found))
        return found

    def word(self, also=""):
        return "".join(self.r.choice(PLAIN + also) for _ in range(self.r.randint(1, 20)))

    def string(self):
        return "".join(self.r.choice(PLAIN + " ,:;#'\"\\/{}[]<>&=\u00e9\u20ac\U0001f600" ) for _ in range(self.r.randint(0, 30)))

    def space(self):
        return self.r.choice(["", "", " ", "  ", "\t", self.eol])


def json_scalar(d, path):
    kind = d.r.randrange(4)
    if kind == 0:
        value = d.r.choice(NUMBERS)
        d.leaf(value, path, value)
    elif kind == 1:
        value = d.r.choice(["true", "false", "null"])
        d.leaf(value, path, value)
    else:
        value = d.string()
        source = json.dumps(value, ensure_ascii=d.r.random() < 0.5)
        d.leaf(source.replace("/", "\\/") if d.r.random() < 0.2 else source, path, value)


def json_value(d, path, depth):
    kind = d.r.randrange(3 if depth < 4 else 1)
    if kind == 0 and depth:
        return json_scalar(d, path)
    names = [(name, d.r.choice([json.dumps(name), json.dumps(name).replace(name[0], "\\u%04x" % ord(name[0]), 1)])) for name in d.names()]
    d.text("{" if kind < 2 else "[")
    for i, (name, source) in enumerate(names):
        d.text("," if i else "", d.space())
        if kind < 2:
            d.text(source, d.space(), ":", d.space())
        json_value(d, (*path, name if kind < 2 else i), depth + 1)
        d.text(d.space())
    d.text("}" if kind < 2 else "]")


def make_json(d):
    d.text(d.maybe(0.2, "\ufeff"), d.space())
    json_value(d, (), 0)
    d.text(d.space())


def make_jsonl(d):
    d.eol = d.r.choice(["\n", "\r\n"])
    line_end, d.eol = d.eol, " "
    line = 0
    for _ in range(d.r.randint(1, 6)):
        json_value(d, (("d", line),), 1 if d.r.random() < 0.2 else 0)
        empty = d.r.random() < 0.1  # counts too
        d.text(line_end * (1 + empty))
        line += 1 + empty


def yaml_scalar(d, path, indent):
    kind = d.r.randrange(7)
    anchor = d.maybe(0.1, f"&{d.name()} ")
    if kind == 0:
        value = d.r.choice(NUMBERS + ["true", "~", "0x10", "null"])
        d.text(" ", anchor)
        d.leaf(value, path, value)
    elif kind == 1:
        value = d.string().replace("\\", "")
        d.text(" ", anchor)
        d.leaf("'" + value.replace("'", "''") + "'", path, value)
    elif kind == 2:
        value = d.string()
        d.text(" ", anchor, d.maybe(0.1, "!!str "))
        d.leaf(json.dumps(value, ensure_ascii=False), path, value)
    elif kind == 3:
        lines = [d.word(" #:") + "x" for _ in range(d.r.randint(1, 3))]
        lines = [line.strip() for line in lines]
        strip = d.maybe(0.5, "-")
        d.text(" ", anchor)
        body = d.eol.join(" " * (indent + 2) + line for line in lines)
        d.leaf(f"|{strip}{d.eol}{body}", path, "\n".join(lines) + ("" if strip else "\n"))
    elif kind == 4:
        d.leaf("", path, "")
    else:
        value = "w" + d.word("./-") + "w"
        d.text(" ", anchor)
        d.leaf(value, path, value)
    if kind not in (3, 4):
        d.text(d.maybe(0.2, "  # a 'comment'"))
    d.text(d.eol)


def yaml_flow(d, path, depth):
    names = d.names(3)
    d.text(" {" if depth % 2 else " [")
    for i, name in enumerate(names):
        d.text(", " if i else "", f"{name}: " if depth % 2 else "")
        value = "f" + d.word()
        d.leaf(value, (*path, name if depth % 2 else i), value)
    d.text("}" if depth % 2 else "]", d.eol)


def yaml_map(d, path, indent, depth):
    for name in d.names():
        d.text(d.maybe(0.2, " " * indent + "# c: d" + d.eol), d.maybe(0.1, d.eol))
        d.text(" " * indent, d.r.choice([name, f'"{name}"', f"'{name}'"]), ":")
        kind = d.r.randrange(6 if depth < 3 else 4)
        if kind == 5:
            d.text(d.eol)
            yaml_map(d, (*path, name), indent + d.r.choice([1, 2, 4]), depth + 1)
        elif kind == 4:
            d.text(d.eol)
            deeper = indent + d.r.choice([0, 2])
            for i in range(d.r.randint(1, 3)):
                d.text(" " * deeper, "-")
                yaml_scalar(d, (*path, name, i), deeper)
        elif kind == 3:
            yaml_flow(d, (*path, name), d.r.randrange(2))
        else:
            yaml_scalar(d, (*path, name), indent)


def make_yaml(d):
    documents = d.r.choice([1, 1, 2, 3])
    for i in range(documents):
        d.text("---" + d.eol if documents > 1 else d.maybe(0.2, "%YAML 1.2" + d.eol + "---" + d.eol))
        yaml_map(d, (("d", i),), 0, 0)


def toml_scalar(d, path):
    kind = d.r.randrange(5)
    if kind == 0:
        value = d.r.choice(["0", "-1", "1e3", "1.0", "0x10", "1_000", "true", "2026-11-28", "2026-11-28T10:00:00Z", "inf"])
        d.leaf(value, path, value)
    elif kind == 1:
        value = d.string().replace("'", "")
        d.leaf(f"'{value}'", path, value)
    elif kind == 2:
        value = d.word(" '") + d.eol + d.word()
        d.leaf(f'"""{d.eol}{value}"""', path, value)
    else:
        value = d.string()
        d.leaf(json.dumps(value, ensure_ascii=False), path, value)


def make_toml(d):
    used = []
    for section in [None, *d.names(3)]:
        path = () if section is None else (section,)
        if section:
            d.text(d.maybe(0.3, d.eol), d.maybe(0.2, "# c = 1" + d.eol), f"[{d.maybe(0.2, ' ')}{section}]", d.eol)
        for name in d.names():
            if section is None:
                if name in used:
                    continue
                name = "k_" + name
            d.text(d.maybe(0.1, "  "), name, d.r.choice([" = ", "=", " =\t"]))
            if d.r.random() < 0.2:
                d.text("[")
                for i in range(d.r.randint(1, 3)):
                    d.text("," + d.space() if i else d.space())
                    toml_scalar(d, (*path, name, i))
                d.text(d.maybe(0.3, ","), "]")
            elif d.r.random() < 0.2:
                d.text("{ x = ")
                toml_scalar(d, (*path, name, "x"))
                d.text(" }")
            else:
                toml_scalar(d, (*path, name))
            d.text(d.maybe(0.2, " # c"), d.eol)


def xml_text(d, quote=""):
    value = "x" + d.string().replace("\\", "").replace("]", "")
    source = value.replace("&", "&amp;").replace("<", "&lt;")
    if quote:
        source = source.replace(quote, "&quot;" if quote == '"' else "&apos;")
    elif d.r.random() < 0.2:
        source, value = source + "<![CDATA[<y>&]]>", value + "<y>&"
    return source, value


def xml_element(d, path, depth):
    name = path[-1][0]
    d.text("<", name)
    for a in d.names(3) if d.r.random() < 0.4 else []:
        quote = d.r.choice("\"'")
        source, value = xml_text(d, quote)
        d.text(d.r.choice([" ", "  ", d.eol]), "x" + a, d.maybe(0.1, " "), "=", quote)
        d.leaf(source, (*path, ("@", "x" + a)), value)
        d.text(quote)
    d.text(">")
    if depth < 3 and (depth == 0 or d.r.random() < 0.4):
        seen = {}
        for n in [d.r.choice("abc") for _ in range(d.r.randint(1, 4))]:
            seen[n] = seen.get(n, 0) + 1
            d.text(d.r.choice(["", d.eol, "  "]), d.maybe(0.1, "<!-- <z> -->"))
            xml_element(d, (*path, (n, seen[n])), depth + 1)
        d.text(d.maybe(0.5, d.eol))
    else:
        source, value = xml_text(d)
        d.leaf(source, path, value)
    d.text("</", name, d.maybe(0.1, " "), ">")


def make_xml(d):
    d.text(d.maybe(0.5, "<?xml version='1.0' encoding='utf-8'?>" + d.eol), d.maybe(0.2, "<!DOCTYPE r [<!ENTITY e 'f'>]>" + d.eol))
    xml_element(d, (("r", 1),), 0)
    d.text(d.eol)


def make_csv(d):
    columns, separator = d.names(5), d.r.choice(",;\t|")
    columns = columns if len(columns) > 1 else [*columns, columns[0] + "2"]
    d.text(separator.join(f'"{c}"' if d.r.random() < 0.2 else c for c in columns), d.eol)
    for row in range(d.r.randint(1, 8)):
        for i, c in enumerate(columns):
            d.text(separator if i else "")
            value = d.string() if d.r.random() < 0.5 else "" if i and d.r.random() < 0.2 else d.word(" ")
            if re.search(r'["\r\n,;\t|]', value) or d.r.random() < 0.2:
                d.leaf('"' + value.replace('"', '""') + '"', (("d", row), c), value)
            else:
                d.leaf(value, (("d", row), c), value)
        d.text(d.eol)


def make_ini(d):
    for section in d.names(3):
        d.text(d.maybe(0.2, "; c = d" + d.eol), f"[{section}]", d.eol)
        for name in d.names():
            value = "v" + d.word(" .,/") + "v"
            d.text(name, d.r.choice(["=", " = ", ": "]))
            d.leaf(value, (section, name), value)
            d.text(d.maybe(0.2, " ; comment"), d.eol, d.maybe(0.1, d.eol))


def make_env(d):
    for name in d.names(8):
        d.text(d.maybe(0.1, "# A=b" + d.eol), d.maybe(0.3, "export "), name, "=")
        kind = d.r.randrange(3)
        value = ["v" + d.word(".,/:-") + "v", d.word(" #=$,"), d.word(" #=")][kind]
        d.leaf(["%s", "'%s'", '"%s"'][kind] % value, (name,), value)
        d.text(d.maybe(0.2, " # c"), d.eol)


def make_properties(d):
    for name in d.names(8):
        value = "v" + d.word(" .,/=:#") + "v"
        d.text(d.maybe(0.1, "# a=b" + d.eol), d.maybe(0.1, d.eol), d.maybe(0.2, "  "), name, d.r.choice(["=", " = ", ":", " "]))
        d.leaf(value, (name,), value)
        d.text(d.eol)


FORMATS = {f: globals()[f"make_{f}"] for f in ("json", "jsonl", "yaml", "toml", "xml", "csv", "ini", "env", "properties")}


def found_path(format, steps):
    if format == "xml":
        return tuple(("@", name) if kind == "a" else (name, number) for kind, number, name in steps)
    return tuple(("d", number) if kind == "d" else number if kind == "i" else name for kind, number, name in steps)


def leaves(value, path=()):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield path, value
    else:
        for step, below in items:
            yield from leaves(below, (*path, step))


def by_another_parser(format, text):
    """Places and texts, as ruamel.yaml, json and tomllib have them; None: there is no such parser."""
    if format == "json":
        return dict(leaves(json.loads(text.removeprefix("\ufeff"))))
    if format == "jsonl":
        return {(("d", i), *path): value for i, line in enumerate(text.splitlines()) if line for path, value in leaves(json.loads(line))}
    if format == "toml":
        return dict(leaves(tomllib.loads(text)))
    if format == "yaml" and composed:
        return {(("d", path[0]), *(step[0] if isinstance(step, tuple) else step for step in path[1:])): value
                for path, _, value, _ in composed.leaves(text)}
    return None


class Generated(cli.Case):
    def compare(self, format, d, text):
        """Before and after, another parser sees the same places; in those are the values, and then the tokens, which open to the source."""
        before, after = by_another_parser(format, d.bytes().decode()), by_another_parser(format, text.decode())
        tokens = [token.decode() for token in re.findall(TOKEN, text)]
        if before is not None:
            self.assertEqual(list(before), list(after), text)
            self.assertEqual([after[path] for path, _ in d.leaves], tokens)
        if format == "yaml" and before is not None:
            self.assertEqual(before, dict(d.leaves), d.bytes().decode())

    def open(self, steps, token, source):
        """By the independent reader."""
        place = token_reader.place("keys", [(kind, number, name.encode()) for kind, number, name in steps])
        self.assertEqual(self.reader.open(token.encode(), "keys", "", place), source)

    def dump(self, format, paths):
        jobs = "".join(f"{format}\t-\t{path}\n" for path in paths)
        lines = subprocess.run([os.environ["DUMP"]], input=jobs.encode(), stdout=subprocess.PIPE, check=True).stdout.splitlines()
        return map(json.loads, lines)

    def check(self, format):
        r = random.Random(f"{SEED} {format}")
        documents = []
        for i in range(COUNT):
            d = Document(r)
            FORMATS[format](d)
            documents.append((Path(self.file(f"{i}.{format}", d.bytes())), d))
        paths = [path for path, _ in documents]
        for found, (path, d) in zip(self.dump(format, paths), documents, strict=True):
            self.assertIsInstance(found, list, (found, d.bytes().decode()))
            self.assertEqual([(found_path(format, p), text) for p, _, text in found], d.leaves, d.bytes().decode())
        self.good("field", "encrypt", *paths, "-i", "--format", format, *self.keyring)
        for found, (path, d) in zip(self.dump(format, paths), documents, strict=True):
            self.assertRegex(path.read_bytes(), rb"\A" + d.encrypted(format in ("json", "jsonl", "toml")) + rb"\Z")
            self.compare(format, d, path.read_bytes())
            if token_reader:
                sources = [piece for piece, leaf in d.pieces if leaf]
                for (steps, _, token), source in zip(found, sources, strict=True):
                    self.open(steps, token, source)
        self.good("field", "decrypt", *paths, "-i", "--format", format, *self.keyring)
        for path, d in documents:
            self.assertEqual(path.read_bytes(), d.bytes())

    def test_all(self):
        vault = self.volume()
        self.keyring = ("--keyring", vault, "--key-file", self.key)
        self.reader = token_reader and token_reader.open_keyring(vault, self.key)
        for format in FORMATS:
            with self.subTest(format):
                self.check(format)


if __name__ == "__main__":
    unittest.main(verbosity=2)
