#!/usr/bin/python3
"""The test vectors of docs/format-field.md, from the independent reader's primitives.

    token_vectors.py write DOC     writes token_vectors.json beside this file, and the section "Test vectors" at the end of DOC
    token_vectors.py check DOC     exit status 1 if either is not what it would write
"""

import json
import os
import sys

import token_reader as tokens

HERE = os.path.dirname(os.path.abspath(__file__))
TITLE = "## 7. Test vectors\n"


def run(first, count):
    return bytes((first + i) & 255 for i in range(count))


KEYRING, K_2, K_5 = run(0xA0, 16), run(0x40, 32), run(0x60, 32)
NONCE, PRIVATE = run(0x20, 16), run(0x20, 32)
GENERATIONS, DOMAINS = {2: K_2, 5: K_5}, {"mail": 2}
STEPS = [("d", 1, b""), ("k", 1, b"db"), ("i", 3, b""), ("k", 2, b"p\xc3\xa4ss.word")]
RECORD = (b"id", b"4711")

# name, mode, bind, context, source, value, pad
CASES = [
    ("a string of JSON", "r", "keys", "production", b'"hunter2"', b"hunter2", 16),
    ("nothing, no context", "r", "keys", "", b"", b"", 16),
    ("sixteen bytes", "r", "path", "production", b"0123456789abcdef", b"0123456789abcdef", 16),
    ("bound to a record", "r", "record", "production", b"1.0", b"1.0", 16),
    ("bound to nothing, padded to 64", "r", "none", "production", b"true", b"true", 64),
    ("deterministic", "d", "keys", "production", b'"a@example.com"', b"a@example.com", 16),
    ("the same, written otherwise", "d", "keys", "production", b"a@example.com", b"a@example.com", 16),
    ("deterministic, bound to nothing", "d", "none", "", b"a@example.com", b"a@example.com", 16),
    ("bound to nothing, in quotes", "d", "none", "", b"'a@example.com'", b"a@example.com", 16),
    ("sealed", "s", "keys", "production", b'"hunter2"', b"hunter2", 16),
]


def vectors():
    fields = tokens.Fields(KEYRING, GENERATIONS, DOMAINS)
    out = []
    for name, mode, bind, context, source, value, pad in CASES:
        where = tokens.place(bind, STEPS, RECORD)
        if mode == "r":
            token = fields.seal_random(5, bind, context, where, source, NONCE, pad)
        elif mode == "s":
            token = fields.seal_sealed(5, bind, context, where, source, PRIVATE, pad)
        else:
            token = fields.seal_deterministic("mail", bind, context, where, source, value, pad)
        assert fields.open(token, bind, context, where) == source
        out.append({"name": name, "mode": mode, "bind": tokens.BIND[bind], "context": context, "place": where.hex(),
                    "source": source.hex(), "value": value.hex(), "pad": pad, "token": token.decode()})
    return {
        "keyring_id": KEYRING.hex(), "generation_2": K_2.hex(), "generation_5": K_5.hex(), "domain": "mail",
        "random": PRIVATE.hex(),
        "path": b"".join(tokens.full_step(*s) for s in STEPS).hex(),
        "record": [RECORD[0].decode(), RECORD[1].decode()],
        "tokens": out,
    }


def block(label, text):
    lines = [text[i: i + 88] for i in range(0, len(text), 88)] or [""]
    return "".join(f"    {label if i == 0 else '':<10}{line}\n" for i, line in enumerate(lines))


def section(v):
    text = TITLE + """
`tests/field/token_vectors.json` holds the same; `tests/field/token_vectors.py` makes both with the primitives of the
independent reader. Binary values are hexadecimal, `a..b` stands for consecutive bytes.

Given: keyring id a0..af, K_2 40..5f, K_5 60..7f, generation 5 active, domain `mail` pinned to generation 2, nonces 20..2f, the token's
private key 20..3f. The value stands in the second document, at the key `db`, element 3, the second of the keys `p\u00e4ss.word`; its
record's column `id` holds `4711`.

"""
    text += block("path", v["path"]) + "\n"
    binds = {n: name for name, n in tokens.BIND.items()}
    for t in v["tokens"]:
        source = bytes.fromhex(t["source"]).decode()
        text += f"{t['name'].capitalize()}: `{binds[t['bind']]}`, context `{t['context']}`, source `{source}`.\n\n".replace(
            "context ``", "no context").replace("source ``", "empty source")
        text += block("place", t["place"]) + block("token", t["token"]) + "\n"
    return text.rstrip() + "\n"


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("write", "check"):
        print(__doc__, file=sys.stderr)
        return 2
    v = vectors()
    stored = os.path.join(HERE, "token_vectors.json")
    with open(sys.argv[2], encoding="utf-8") as f:
        old = f.read()
    new_json, new_document = json.dumps(v, indent=1) + "\n", old.partition(TITLE)[0].rstrip() + "\n\n" + section(v)
    if sys.argv[1] == "write":
        with open(stored, "w", encoding="utf-8") as f:
            f.write(new_json)
        with open(sys.argv[2], "w", encoding="utf-8") as f:
            f.write(new_document)
        return 0
    with open(stored, encoding="utf-8") as f:
        good = f.read() == new_json
    return 0 if good and old == new_document else 1


if __name__ == "__main__":
    sys.exit(main())
