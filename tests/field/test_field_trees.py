"""What the scanners find, against other parsers and against what the public sets say.

The sets are looked for in $COFFER_TEST_DATA, or ../shared/data beside the source tree; without them only a few texts are compared.
"""

import csv
import io
import json
import os
import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path

DUMP = os.environ.get("DUMP") or sys.exit("DUMP is not set: run the tests by meson")
SOURCE = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("COFFER_TEST_DATA") or SOURCE.parent / "shared" / "data")


def dump(jobs):
    """jobs: (format, option, path); gives a list of leaves or a text for each."""
    text = "".join(f"{f}\t{o or '-'}\t{p}\n" for f, o, p in jobs)
    result = subprocess.run([DUMP], input=text.encode(), stdout=subprocess.PIPE, check=True)
    lines = result.stdout.splitlines()
    assert len(lines) == len(jobs)
    return [json.loads(line.decode(errors="surrogateescape")) for line in lines]


def leaves(value, path=()):
    """Of a tree of Python values: (path, scalar); containers that are empty have none."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from leaves(below, (*path, key))
    elif isinstance(value, list):
        for i, below in enumerate(value):
            yield from leaves(below, (*path, i))
    else:
        yield path, value


def plain(path):
    """Without documents; names and indexes."""
    return tuple(number if kind == "i" else name for kind, number, name in path if kind != "d")


def normal(kind, text):
    if kind == "number":
        text = text.replace("_", "").lower()
        for prefix, base in (("0x", 16), ("0o", 8), ("0b", 2)):
            if text.startswith(prefix):
                return int(text[2:], base)
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))
    if kind == "bool":
        return text.lower() == "true"
    return None if kind == "null" else text


def same(a, b):
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return float(a) == float(b) or (a != a and b != b)
    return a == b and type(a) is type(b)


class Pairs(list):
    """The members of an object, duplicates included."""


def json_leaves(value, path=()):
    if isinstance(value, Pairs):
        seen = {}
        for key, below in value:
            seen[key] = seen.get(key, 0) + 1
            yield from json_leaves(below, (*path, (key, seen[key])))
    elif isinstance(value, list):
        for i, below in enumerate(value):
            yield from json_leaves(below, (*path, i))
    else:
        yield path, value


class Trees(unittest.TestCase):
    maxDiff = 3000

    def need(self, name):
        if not (DATA / name).is_dir():
            self.skipTest(f"no {DATA / name}")
        return DATA / name

    def compare(self, name, found, wanted):
        self.assertIsInstance(found, list, name)
        self.assertEqual(len(found), len(wanted), (name, found, wanted))
        for (path, kind, text), (want_path, want) in zip(found, wanted):
            self.assertEqual(path, want_path, name)
            self.assertTrue(same(normal(kind, text), want), (name, path, kind, text, want))

    def test_json(self):
        files = sorted(p for p in self.need("json").glob("*.json"))
        compared = 0
        for file, found in zip(files, dump([("json", "", f) for f in files])):
            try:
                value = json.loads(file.read_bytes().decode(), object_pairs_hook=Pairs, parse_int=float)
            except (ValueError, RecursionError):
                continue
            if not isinstance(found, list):
                continue  # test_field_data says which may be refused
            text = [[[(name, number) if k == "k" else number for k, number, name in p], kind, v] for p, kind, v in found]
            if "surrogate" in file.name or "incomplete" in file.name or "lone" in file.name or "noncharacter" in file.name \
                    or "inverted" in file.name or "1st_valid" in file.name or "invalid" in file.name:
                continue  # what the standard leaves open
            self.compare(file.name, [(tuple(p), k, v) for p, k, v in text], list(json_leaves(value)))
            compared += 1
        self.assertGreater(compared, 90)

    def test_toml(self):
        top = self.need("toml") / "valid"
        files = sorted(top.rglob("*.toml"))
        dates = {"datetime", "datetime-local", "date-local", "time-local"}
        compared = 0

        def tagged(value, path=()):
            if isinstance(value, dict) and set(value) == {"type", "value"} and isinstance(value["value"], str):
                yield path, value
            elif isinstance(value, dict):
                for key, below in value.items():
                    yield from tagged(below, (*path, key))
            elif isinstance(value, list):
                for i, below in enumerate(value):
                    yield from tagged(below, (*path, i))

        for file, found in zip(files, dump([("toml", "", f) for f in files])):
            self.assertIsInstance(found, list, file)
            wanted = dict(tagged(json.loads(file.with_suffix(".json").read_text())))
            got = {plain(p): (kind, text) for p, kind, text in found}
            self.assertEqual(set(got), set(wanted), file)
            for path, (kind, text) in got.items():
                want, value = wanted[path]["type"], wanted[path]["value"]
                if want in dates:
                    self.assertEqual(kind, "date", (file, path))
                elif want in ("integer", "float"):
                    self.assertEqual(kind, "number", (file, path))
                    self.assertTrue(same(normal(kind, text), float(value)), (file, path, text, value))
                elif want == "bool":
                    self.assertEqual((kind, text), ("bool", value), (file, path))
                else:
                    self.assertEqual((kind, text.replace("\r\n", "\n")), ("string", value.replace("\r\n", "\n")), (file, path))
                compared += 1
            text = file.read_bytes()
            if not text.startswith(b"\xef\xbb\xbf"):  # and Python's own reader sees as many values
                self.assertEqual(len(list(leaves(tomllib.loads(text.decode())))), len(got), file)
        self.assertGreater(compared, 500)

    def test_yaml(self):
        top = self.need("yaml")
        cases = sorted(p.parent for p in top.rglob("in.json") if not (p.parent / "error").exists())
        skipped = {}
        compared = 0
        for case, found in zip(cases, dump([("yaml", "", c / "in.yaml") for c in cases])):
            name = str(case.relative_to(top))
            text, documents, at = (case / "in.json").read_text(), [], 0
            decoder = json.JSONDecoder()
            while text[at:].strip():
                at += len(text[at:]) - len(text[at:].lstrip())
                value, at = decoder.raw_decode(text, at)
                documents.append(value)
            source = (case / "in.yaml").read_text()
            self.assertIsInstance(found, list, name)
            wanted = {(i, *p): v for i, d in enumerate(documents) for p, v in leaves(d)}
            got = {(p[0][1], *plain(p)): (kind, value) for p, kind, value in found}
            for path, value in wanted.items():
                if path not in got:
                    # What has no bytes of its own: aliases, values of keys that stand alone, empty documents.
                    skipped.setdefault(name, []).append(path)
                    continue
                kind, text = got[path]
                if isinstance(value, str) and kind != "string":
                    continue  # a tag, or a quoted text that looks like a number
                if isinstance(value, str) or kind == "string":
                    self.assertTrue(text == value or "!" in source or not isinstance(value, str), (name, path, text, value))
                else:
                    self.assertTrue(same(normal(kind, text), value), (name, path, kind, text, value))
                compared += 1
            extra = set(got) - set(wanted)
            if extra:
                skipped.setdefault(name, []).append(("extra", extra))
        if os.environ.get("SHOW"):
            for name, what in skipped.items():
                print(name, what)
        self.assertGreater(compared, 550)
        self.assertLessEqual(set(skipped), YAML_WITHOUT_BYTES, {k: v for k, v in skipped.items() if k not in YAML_WITHOUT_BYTES})

    def test_yaml_composed(self):
        """Every value, its place and its type as ruamel.yaml composes them, before it makes numbers and texts of its own of them."""
        try:
            import composed
        except ImportError:
            self.skipTest("no ruamel.yaml")
        top = self.need("yaml")
        cases = sorted(p.parent for p in top.rglob("in.yaml") if not (p.parent / "error").exists())
        refused, others, compared = set(), {}, 0
        for case, found in zip(cases, dump([("yaml", "", c / "in.yaml") for c in cases])):
            name = str(case.relative_to(top))
            self.assertIsInstance(found, list, name)
            try:
                wanted = composed.leaves((case / "in.yaml").read_bytes().decode())
            except composed.Refused:
                refused.add(name)
                continue
            wrong = composed.difference([(composed.place(p), kind, text) for p, kind, text in found], wanted)
            if wrong:
                others[name] = wrong
            compared += len(found)
        self.assertLessEqual(refused, RUAMEL_REFUSES)
        self.assertLessEqual(set(others), set(RUAMEL_DIFFERS), others)
        self.assertGreater(compared, 550)

    def test_xml(self):
        """Attributes, and texts of elements without child elements, as libxml2 has them."""
        try:
            from lxml import etree
        except ImportError:
            self.skipTest("no lxml")
        files = [f for f in sorted((self.need("xml") / "valid").rglob("*.xml")) if b"<!ENTITY" not in f.read_bytes()]
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, attribute_defaults=False)

        def words(text):  # line ends are one thing in XML, and white space of attributes is as their declarations want it
            return " ".join(text.split())

        def local(name):
            return etree.QName(name).localname

        compared = 0
        for file, found in zip(files, dump([("xml", "", f) for f in files])):
            if not isinstance(found, list):
                continue  # encodings and names of another edition, which test_field_data.c knows
            wanted, got = [], []
            for e in etree.parse(str(file), parser).iter():
                if not isinstance(e.tag, str):
                    continue
                wanted += [(local(e.tag), "@" + local(k), words(v)) for k, v in e.attrib.items() if not k.endswith("}space")]
                if not any(isinstance(c.tag, str) for c in e):
                    wanted.append((local(e.tag), "", words((e.text or "") + "".join(c.tail or "" for c in e))))
            for path, _, value in found:
                name = [step[2] for step in path if step[0] == "k"][-1].split(":")[-1]
                if path[-1][2] != "text()":
                    got.append((name, "@" + path[-1][2].split(":")[-1] if path[-1][0] == "a" else "", words(value)))
            # An element without any bytes inside has no value; lxml cannot tell it from an empty one.
            wanted, got = (sorted(x for x in each if x[2]) for each in (wanted, got))
            self.assertEqual(got, wanted, file)
            compared += len(got)
        self.assertGreater(compared, 100)

    def test_csv(self):
        top = self.need("csv") / "csv-spectrum"
        files = sorted((top / "csvs").glob("*.csv"))
        for file, found in zip(files, dump([("csv", "", f) for f in files])):
            wanted = json.loads((top / "json" / (file.stem + ".json")).read_text())
            rows = {}
            for path, _, text in found:
                rows.setdefault(path[0][1], {})[path[1][2]] = text
            rows = [rows[i] for i in sorted(rows)]
            if file.stem == "location_coordinates":  # the set's own JSON holds another telephone number
                self.assertEqual(list(rows[0]), list(wanted))
                continue
            self.assertEqual(rows, wanted, file)
        files = [self.need("csv") / "commons-csv" / n for n in ("bom.csv", "csv-254.csv", "psql.csv", "emoji.csv", "japanese.csv")]
        files = [f if f.exists() else next(self.need("csv").rglob(f.name)) for f in files]
        for file, found in zip(files, dump([("csv", ",", f) for f in files])):
            reader = csv.reader(io.StringIO(file.read_bytes().decode("utf-8-sig"), newline=""))
            rows = [row for row in reader if row]
            count = [n for n in rows[1:]]
            got = {}
            for path, _, text in found:
                got.setdefault(path[0][1], []).append(text)
            self.assertEqual([got[i] for i in sorted(got)], count, file)

    def test_env(self):
        cases = json.loads((self.need("env") / "python-dotenv" / "parser-cases.json").read_text())
        with tempfile.TemporaryDirectory(prefix="coffer-trees.") as directory:
            files = []
            for i, case in enumerate(cases):
                files.append(Path(directory) / str(i))
                files[-1].write_bytes(case["input"].encode())
            results = dump([("env", "", f) for f in files])
        for case, found in zip(cases, results):
            bindings = case["bindings"]
            if any(b["error"] for b in bindings):
                self.assertIsInstance(found, str, case["input"])
                continue
            wanted = [(b["key"], b["value"]) for b in bindings if b["value"] is not None]
            self.assertEqual([(plain(p)[0], v) for p, _, v in found], wanted, repr(case["input"]))


# Cases in which some value has no bytes of its own: an alias, a key that stands alone, an empty document.
YAML_WITHOUT_BYTES = set("""
26DV 2SXE 2XXW 3GZX 5WE3 6KGN 6XDY 6ZKB 7BUB 7W2P 8KB6 9BXH
9DXL C4HZ CUP7 DK95/07 E76Z HMQ5 JS2J JTV5 LE5A MUS6/02 MUS6/03 MUS6/04
MUS6/05 MUS6/06 PUW8 UGM3 UT92 V55R W4TN W5VH ZWK4
""".split())

# Valid YAML 1.2 of the suite that ruamel.yaml 0.17 does not take: tabs between tokens, a flow map's key and colon on two lines, commas and
# comments that stand close, directives it does not know.
RUAMEL_REFUSES = set("""
4MUZ/00 4MUZ/01 4MUZ/02 5MUD 6BCT 6CA3 6HB6 9MMW 9SA2 A2M4 CFD4 DC7X
DK95/00 DK95/03 DK95/04 DK95/05 DK95/07 HS5T HWV9 J3BT K3WX K54U M7A3 MUS6/03
NB6Z NJ66 Q5MG QT73 UT92 UV7Q VJP3/01 WZ62 Y79Y/002 Y79Y/010
""".split())

# What it reads otherwise.  Where the suite's own JSON says what is right, it agrees with the scanner.
RUAMEL_DIFFERS = {
    "4ABK": "a colon at the end of a key in a flow map belongs to the key there",
    "FRK4": "the same",
    "652Z": "a ? that no blank follows begins a word; there it is left out",
    "HM87/01": "the same",
    "JEF9/02": "white space at the end of the file is a line of a block scalar",
    "L24T/01": "the same",
    "FH7J": "the type of nothing with the tag !!str: null by the bytes, a string by the tag",
    "LE5A": "the same",
    "RZP5": "the name of a key that is a list: its source, with a comment or without",
    "XW4D": "the same",
}

if __name__ == "__main__":
    unittest.main(verbosity=2)
