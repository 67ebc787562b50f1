"""Every token that the verbs write in a test, opened by the independent reader.

Importing this puts a look behind cli.run: what `coffer field encrypt` and the like leave in a file or print is scanned by field_dump, and each token
that was not there before has to open in its place, under a bind mode and the context that the test may have meant (options or rules file).

    (1) A token that does not open, or that field_dump does not find, fails the test.
    (2) Not looked at are files of more than 1 MiB, and tokens of a keyring that only a certificate or a passphrase opens. finish(), which each
        module calls at its end, fails if nothing was opened.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import cli

try:
    import token_reader
except ImportError as error:
    print(f"{error}: tokens are not opened by another reader")
    token_reader = None

VERBS = {"encrypt", "rotate", "set", "edit", "migrate", "merge"}
TOKEN = re.compile(rb"coffer1[rds]\.[A-Za-z0-9._-]+")
FORMATS = {".json": "json", ".jsonl": "jsonl", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".xml": "xml", ".csv": "csv", ".tsv": "csv",
           ".ini": "ini", ".properties": "properties", ".env": "env", ".gitconfig": "ini"}
counts = {"runs": 0, "opened": 0}
keyrings = {}


def option(words, name):
    return [words[i + 1] for i, word in enumerate(words[:-1]) if word == name]


def read(path):
    return path.read_bytes() if path.is_file() and path.stat().st_size < 1 << 20 else b""


def dump(format, dialect, path):
    result = subprocess.run([os.environ["DUMP"]], input=f"{format}\t{dialect}\t{path}\n".encode(), stdout=subprocess.PIPE, check=True)
    found = json.loads(result.stdout.decode(errors="surrogateescape"))
    return found if isinstance(found, list) else []


def keyrings_below(top, words):
    """First 4 bytes of the id, as tokens have them, to the keys; and whether there are keyrings that `key` does not open."""
    found, locked = {}, False
    files = [*top.glob("**/.coffer/keyring.json"), *(Path(w) for w in option(words, "--keyring") if Path(w).is_file())]
    for file in files:
        state = (file, file.read_bytes())
        if state not in keyrings:
            where = file.parents[1] if file.name == "keyring.json" else file
            try:
                keyrings[state] = token_reader.open_keyring(str(where), str(top / "key"))
            except token_reader.reader.WrongSecret:
                keyrings[state] = None
        if keyrings[state]:
            found[keyrings[state].keyring[:4]] = keyrings[state]
        else:
            locked = True
    return found, locked


def places(leaves, at, columns):
    """The places that the value may be bound to: (bind, place)."""
    steps = [(kind, number, name.encode(errors="surrogateescape")) for kind, number, name in leaves[at][0]]
    yield from ((bind, token_reader.place(bind, steps)) for bind in ("keys", "none", "path"))
    for column in columns:
        for other, _, value in leaves:
            if other[:-1] == leaves[at][0][:-1] and other[-1][2] == column:
                record = (column.encode(), value.encode(errors="surrogateescape"))
                yield "record", token_reader.place("record", steps, record)


def open_one(fields, token, candidates, contexts):
    for bind, where in candidates:
        for context in contexts:
            try:
                return fields.open(token, bind, context, where)
            except token_reader.reader.Rejected:
                pass
    raise AssertionError(f"the independent reader does not open {token.decode()}")


def check(top, words, format, path, before):
    text = path.read_bytes()
    new = set(TOKEN.findall(text)) - before
    if not new:
        return
    rules = b"".join(map(read, top.glob("**/.coffer-fields.yaml"))).decode()
    contexts = ["", *option(words, "--context"), *re.findall(r"context: *(\S+)", rules)]
    columns = re.findall(r"record:(\w+)", " ".join([*words, rules]))
    seen = set()
    known, locked = keyrings_below(top, words)
    leaves = dump(format, "git" if path.name == ".gitconfig" else "-", path)
    for i, (_, _, value) in enumerate(leaves):
        token = value.encode(errors="surrogateescape")
        if token not in new:
            continue
        seen.add(token)
        fields = known.get(token_reader.reader.b64_decode(token.split(b".")[1])[:4])
        if fields:
            open_one(fields, token, places(leaves, i, columns), contexts)
            counts["opened"] += 1
        elif not locked:
            raise AssertionError(f"{words}: of a keyring that is not there: {token}")
    if seen != new:
        raise AssertionError(f"{words}: tokens that no scan finds: {new - seen}")


def run(*arguments, **kw):
    words = [os.fspath(a) for a in arguments]
    if not token_reader or words[0] != "field" or not VERBS.intersection(words[1:2]):
        return plain_run(*arguments, **kw)
    files = [Path(w) for w in words[2:] if w.startswith("/") and Path(w).parent.is_dir() and not Path(w).is_dir()]
    before = set(TOKEN.findall(kw.get("input") or b"")).union(*(TOKEN.findall(read(f)) for f in files))
    result = plain_run(*arguments, **kw)
    top = next((p for f in files for p in f.parents if p.name.startswith("coffer-cli.")), None)
    if result.status or not top:
        return result
    counts["runs"] += 1
    given = option(words, "--format")
    if "coffer1" in result.out:
        files.append(top / "printed")
        files[-1].write_bytes(result.out.encode())
        given = given or [FORMATS.get(f.suffix or f.name) for f in files[:1]]
    for f in files:
        format = given[0] if given else FORMATS.get(f.suffix or f.name)
        if format and b"coffer1" in read(f):
            check(top, words, format, f, before)
    (top / "printed").unlink(missing_ok=True)
    return result


plain_run, cli.run = cli.run, run


def column(top, token, value, where, keyring=None):
    """A token of the library in its place (coffer_field_place); of a keyring that only a certificate opens it is not looked at."""
    if not token_reader:
        return
    counts["runs"] += 1
    known, locked = keyrings_below(Path(top), ["--keyring", keyring] if keyring else [])
    fields = known.get(token_reader.reader.b64_decode(token.split(b".")[1])[:4])
    assert fields or locked, token
    if fields:
        steps = [] if where.free else [("k", 1, where.table), ("k", 1, where.field)]
        bind = "none" if where.free else "keys" if where.record is None else "record"
        at = token_reader.place(bind, steps, (b"record", where.record))
        opened = fields.open(token, bind, where.context.decode(), at)
        assert opened == value, (token, opened, value)
        counts["opened"] += 1


def finish():
    print("tokens by the independent reader:", counts)
    assert not token_reader or not counts["runs"] or counts["opened"], counts
