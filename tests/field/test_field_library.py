"""libcoffer-field, called as a program calls it."""

import ctypes
import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import unittest

import certificates as c
import cli
import opened

if os.environ.get("SANITIZE", "none") != "none":
    print("the interpreter has no sanitizer: skipped")
    sys.exit(77)
lib = ctypes.CDLL(os.environ["LIBRARY"])
TEXT, INTEGER, DECIMAL, DATE, BYTES = range(5)


class Place(ctypes.Structure):
    _fields_ = [(n, ctypes.c_char_p) for n in ("context", "table", "field", "record", "domain")] + [("free", ctypes.c_bool)]


def place(record=None, domain=None, free=False, context=b"test", table=b"customer", field=b"mail"):
    return Place(context, None if free else table, None if free else field, record, domain, free)


class Library(cli.Case):
    alone = None  # a keyring without a volume

    def setUp(self):
        super().setUp()
        self.vault = self.volume()
        self.keyring = ctypes.c_void_p()
        self.assertEqual(self.open(self.vault, self.key, self.keyring), "")
        self.addCleanup(lambda: lib.coffer_field_close(ctypes.byref(self.keyring)))

    def open(self, vault, key, out):
        error = ctypes.create_string_buffer(300)
        r = lib.coffer_field_open(vault.encode(), key.encode(), None, ctypes.byref(out), error, 300)
        self.assertEqual(r == 0, not error.value)
        return error.value.decode()

    def open_by(self, vault, identity, out):
        error = ctypes.create_string_buffer(300)
        r = lib.coffer_field_open_identity(vault.encode(), identity.encode(), None, None, ctypes.byref(out), error, ctypes.c_size_t(300))
        self.assertEqual(r == 0, not error.value)
        return error.value.decode()

    def encrypt(self, value, where=None, type=TEXT, error=0):
        token = ctypes.c_char_p()
        r = lib.coffer_field_encrypt(self.keyring, ctypes.byref(where or place()), type, value, ctypes.c_size_t(len(value)), ctypes.byref(token))
        self.assertEqual(r, -error)
        if r == 0:
            opened.column(self.top, token.value, value, where or place(), self.alone)
        return token.value

    def decrypt(self, token, where=None, type=TEXT, error=0, keyring=None):
        value, n = ctypes.c_void_p(), ctypes.c_size_t()
        r = lib.coffer_field_decrypt(keyring or self.keyring, ctypes.byref(where or place()), type, token, ctypes.byref(value), ctypes.byref(n))
        self.assertEqual(r, -error)
        return ctypes.string_at(value, n.value) if value else None

    def test_round_trip_and_places(self):
        for value, type in [(b"a@b", TEXT), (b"", TEXT), (b"-12", INTEGER), (b"1.50", DECIMAL), (b"2026-11-28", DATE), (b"\0\xff", BYTES)]:
            token = self.encrypt(value, type=type)
            self.assertEqual(self.decrypt(token, type=type), value)
        token = self.encrypt(b"x", place(b"7"))
        self.assertEqual(self.decrypt(token, place(b"7")), b"x")
        for wrong in [place(b"8"), place(), place(b"7", field=b"name"), place(b"7", context=b"live"), place(b"7", table=b"t")]:
            self.decrypt(token, wrong, error=errno.EBADMSG)
        self.decrypt(b"clear", error=errno.EBADMSG)
        self.decrypt(token[:-4], place(b"7"), error=errno.EBADMSG)

    def test_records_and_none(self):
        """Some of a list are bound to a record, others to the column only."""
        ids = [b"1", None, None, b"4", None]
        texts, sizes, done = [b"v%d" % i for i in range(5)], (ctypes.c_size_t * 5)(*[2] * 5), ctypes.c_size_t()
        records, tokens, values, where = (ctypes.c_char_p * 5)(*ids), (ctypes.c_char_p * 5)(), (ctypes.c_char_p * 5)(), place()
        r = lib.coffer_field_encrypt_many(self.keyring, ctypes.byref(where), TEXT, ctypes.c_size_t(5), records, (ctypes.c_char_p * 5)(*texts), sizes, tokens,
                                          ctypes.byref(done))
        self.assertEqual((r, done.value), (0, 5))
        for i, token in enumerate(tokens):
            opened.column(self.top, token, texts[i], place(ids[i]))
            self.assertEqual(self.decrypt(token, place(ids[i])), texts[i])
            self.decrypt(token, place(None if ids[i] else b"1"), error=errno.EBADMSG)
        r = lib.coffer_field_decrypt_many(self.keyring, ctypes.byref(where), TEXT, ctypes.c_size_t(5), records, tokens, values, sizes, ctypes.byref(done))
        self.assertEqual((r, done.value, list(values)), (0, 5, texts))

    def test_types(self):
        for value, type in [(b"x", INTEGER), (b"1.", DECIMAL), (b"", INTEGER), (b"2026-13-01", DATE), (b"\xff", TEXT), (b"a\0b", TEXT)]:
            self.encrypt(value, type=type, error=errno.EINVAL)
        self.decrypt(self.encrypt(b"x"), type=INTEGER, error=errno.EINVAL)

    def edit(self, set, value, token):
        shown = ctypes.c_char_p()
        r = lib.coffer_edit_encrypted_string_field(self.keyring, ctypes.byref(place(b"1")), set, value, ctypes.byref(token), ctypes.byref(shown))
        self.assertEqual(r, 0)
        return shown.value

    def test_edit(self):
        token = ctypes.c_char_p()
        self.assertIsNone(self.edit(False, None, token))
        self.assertEqual(self.edit(True, b"one", token), b"one")
        first = token.value
        self.assertEqual(self.edit(False, None, token), b"one")
        self.edit(True, b"one", token)
        self.assertEqual(token.value, first)  # unchanged: the token stays
        opened.column(self.top, first, b"one", place(b"1"))
        self.edit(True, b"two", token)
        self.assertNotEqual(token.value, first)
        self.assertEqual(self.edit(True, b"", token), b"")
        self.assertEqual(self.edit(False, None, token), b"")
        self.assertIsNone(self.edit(True, None, token))
        self.assertIsNone(token.value)

    def test_equality_in_a_database(self):
        self.good("field", "domain", "create", "mail", "--keyring", self.vault, "--key-file", self.key)
        self.encrypt(b"a@b", place(domain=b"mail", free=True), error=errno.ENOENT)  # the keyring as it was opened
        lib.coffer_field_close(ctypes.byref(self.keyring))
        self.open(self.vault, self.key, self.keyring)
        where = place(domain=b"mail", free=True)
        db = sqlite3.connect(self.path("db"))
        db.execute("create table c (id integer primary key, mail text)")
        db.execute("create index m on c (mail)")
        for i in range(20):
            db.execute("insert into c values (?, ?)", (i, self.encrypt(b"user%d@b" % (i % 10), where).decode()))
        wanted = self.encrypt(b"user3@b", where).decode()
        self.assertEqual([r[0] for r in db.execute("select id from c where mail = ? order by id", (wanted,))], [3, 13])
        self.assertEqual(self.decrypt(wanted.encode(), where), b"user3@b")
        db.close()

    def test_another_environment(self):
        token = self.encrypt(b"x")
        other = ctypes.c_void_p()
        self.assertEqual(self.open(self.volume("other"), self.key, other), "")
        self.decrypt(token, error=errno.EXDEV, keyring=other)
        lib.coffer_field_close(ctypes.byref(other))

    def test_keyring_that_stands_alone(self):
        self.alone = alone = self.path("alone")
        self.good("key", "init", alone, "--key-file", self.key, "--no-recovery-key")
        lib.coffer_field_close(ctypes.byref(self.keyring))
        self.assertEqual(self.open(alone, self.key, self.keyring), "")
        self.assertEqual(self.decrypt(self.encrypt(b"x")), b"x")

    def test_mistakes(self):
        none = ctypes.c_void_p()
        self.assertIn("nowhere", self.open(self.path("nowhere"), self.key, none))
        self.assertIn("key", self.open(self.vault, self.file("k2", b"x" * 64), none).lower())
        self.assertEqual(lib.coffer_field_open(self.vault.encode(), b"k", b"p", ctypes.byref(none), None, 0), -errno.EINVAL)

    def test_batch(self):
        values = [b"v%d" % i for i in range(100)]
        n = len(values)
        records = (ctypes.c_char_p * n)(*[b"%d" % i for i in range(n)])
        tokens, done = (ctypes.c_char_p * n)(), ctypes.c_size_t()
        r = lib.coffer_field_encrypt_many(self.keyring, ctypes.byref(place()), TEXT, ctypes.c_size_t(n), records, (ctypes.c_char_p * n)(*values),
                                          (ctypes.c_size_t * n)(*map(len, values)), tokens, ctypes.byref(done))
        self.assertEqual((r, done.value), (0, n))
        for i in range(n):
            self.assertEqual(self.decrypt(tokens[i], place(b"%d" % i)), values[i])
        back, sizes = (ctypes.c_void_p * n)(), (ctypes.c_size_t * n)()
        r = lib.coffer_field_decrypt_many(self.keyring, ctypes.byref(place()), TEXT, ctypes.c_size_t(n), records, tokens, back, sizes, ctypes.byref(done))
        self.assertEqual((r, done.value), (0, n))
        self.assertEqual([ctypes.string_at(v, s) for v, s in zip(back, sizes)], values)
        tokens[7] = tokens[8]
        r = lib.coffer_field_decrypt_many(self.keyring, ctypes.byref(place()), TEXT, ctypes.c_size_t(n), records, tokens, back, sizes, ctypes.byref(done))
        self.assertEqual((r, done.value), (-errno.EBADMSG, 7))

    def mask(self, text, keep):
        out = ctypes.c_char_p()
        self.assertEqual(lib.coffer_field_mask(text.encode(), ctypes.c_size_t(keep), ctypes.byref(out)), 0)
        return out.value.decode()

    def test_mask(self):
        for text, keep, masked in [("4111111111111234", 4, "************1234"), ("12345678", 4, "****5678"), ("1234567", 4, "*******"),
                                   ("", 4, ""), ("äöü€", 1, "***€"), ("äöü€", 0, "****"), ("a\U0001f600b", 1, "**b")]:
            self.assertEqual(self.mask(text, keep), masked)

    def renew(self, token, to=None, where=None, error=0):
        out = ctypes.c_char_p()
        r = lib.coffer_field_renew(self.keyring, to or self.keyring, ctypes.byref(where or place()), token, ctypes.byref(out))
        self.assertEqual(r, -error)
        return out.value

    def test_renew(self):
        token = self.encrypt(b"x")
        self.assertIsNone(self.renew(token))
        self.renew(token, where=place(b"1"), error=errno.EBADMSG)
        self.renew(b"x", error=errno.EBADMSG)
        other = ctypes.c_void_p()
        self.assertEqual(self.open(self.volume("other"), self.key, other), "")
        moved = self.renew(token, other)
        self.assertEqual(self.decrypt(moved, keyring=other), b"x")
        self.assertIsNone(self.renew(moved, other))
        self.renew(moved, error=errno.EXDEV)
        text = ctypes.create_string_buffer(300)
        lib.coffer_field_explain(self.keyring, ctypes.byref(place()), moved, -errno.EXDEV, text, ctypes.c_size_t(300))
        self.assertRegex(text.value.decode(), "another environment .*migrate")
        lib.coffer_field_close(ctypes.byref(other))
        self.good("key", "rotate", self.vault, "--scope", "fields", "--key-file", self.key)
        lib.coffer_field_close(ctypes.byref(self.keyring))
        self.open(self.vault, self.key, self.keyring)
        self.assertNotEqual(self.renew(token), token)
        self.assertEqual(self.decrypt(self.renew(token)), b"x")

    @unittest.skipIf(c.MISSING, c.MISSING)
    def test_certificate_of_each_environment(self):
        """A database is copied from production to test: each has a Data Encryption certificate of its own."""
        os.environ["COFFER_STATE_DIR"] = self.path("state")  # which remembers the roots
        self.addCleanup(os.environ.__setitem__, "COFFER_STATE_DIR", "")
        environments = {}
        for name in ("production", "test"):
            key = c.new_key(self.top, name, "ec")
            vault = self.path("vault-" + name)
            self.good("init", vault, "--certificate", c.certificate(self.top, name, key), "--no-recovery-key", "--journal-size", "4M")
            opened = ctypes.c_void_p()
            self.assertEqual(self.open_by(vault, key, opened), "")
            self.addCleanup(lib.coffer_field_close, ctypes.byref(opened))
            environments[name] = (vault, key, opened)
        (vault, key, production), (test_vault, test_key, test) = environments["production"], environments["test"]
        self.assertIn("protects no root", self.open_by(test_vault, key, ctypes.c_void_p()))

        self.keyring, unused = production, self.keyring
        self.addCleanup(setattr, self, "keyring", unused)
        original, copy = self.path("original.db"), self.path("copy.db")
        with sqlite3.connect(original) as db:
            db.execute("create table customer (id integer primary key, mail text)")
            db.executemany("insert into customer values (?, ?)", [(i, self.encrypt(b"%d@b" % i, place(b"%d" % i)).decode()) for i in range(9)])
        db.close()
        shutil.copy(original, copy)
        db = sqlite3.connect(copy)
        rows = db.execute("select id, mail from customer").fetchall()
        for i, token in rows:
            self.decrypt(token.encode(), place(b"%d" % i), error=errno.EXDEV, keyring=test)
        text = ctypes.create_string_buffer(300)
        lib.coffer_field_explain(test, ctypes.byref(place(b"0")), rows[0][1].encode(), -errno.EXDEV, text, ctypes.c_size_t(300))
        ids = [json.loads(self.good("status", v, "--json").out)["volume_id"][:8] for v in (vault, test_vault)]
        self.assertRegex(text.value.decode(), f"another environment .id {ids[0]}.*this one is {ids[1]}.*migrate")
        for i, token in rows:
            db.execute("update customer set mail = ? where id = ?", (self.renew(token.encode(), test, place(b"%d" % i)).decode(), i))
        db.commit()
        for i, token in db.execute("select id, mail from customer"):
            self.assertEqual(self.decrypt(token.encode(), place(b"%d" % i), keyring=test), b"%d@b" % i)
            self.decrypt(token.encode(), place(b"%d" % i), error=errno.EXDEV)
        db.close()

        # The same with a file.
        path = self.file("customers.csv", b"id,mail\n1,a@b\n2,c@d\n")
        here, there = ("--keyring", vault, "--identity", key), ("--keyring", test_vault, "--identity", test_key)
        self.good("field", "encrypt", path, "-i", "--path", "mail", *here)
        self.bad(cli.FAILED, "field", "decrypt", path, *there, says="another environment")
        words = self.file("words", b"of the key\n")
        locked = self.path("locked.key")
        c.openssl("pkcs8", "-topk8", "-in", test_key, "-out", locked, "-passout", f"file:{words}", "-iter", "1")
        self.good("field", "migrate", path, *here, "--to-keyring", test_vault, "--to-identity", locked, "--to-identity-passphrase-file", words)
        self.assertEqual(self.good("field", "decrypt", path, *there).out, "id,mail\n1,a@b\n2,c@d\n")

    def test_threads(self):
        bad = []

        def work(i):
            for j in range(300):
                value = b"%d-%d" % (i, j)
                if self.decrypt(self.encrypt(value)) != value:
                    bad.append(value)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(bad, [])

    def test_only_the_public_names_show(self):
        out = subprocess.run(["nm", "-D", "--defined-only", os.environ["LIBRARY"]], capture_output=True, text=True, check=True).stdout
        self.assertEqual({line.split()[2].split("@")[0] for line in out.splitlines()},
                         {"coffer_field_open", "coffer_field_open_identity", "coffer_field_open_mount", "coffer_field_close", "coffer_field_encrypt", "coffer_field_decrypt",
                          "coffer_field_encrypt_many", "coffer_field_decrypt_many", "coffer_field_renew", "coffer_field_explain",
                          "coffer_edit_encrypted_field", "coffer_edit_encrypted_string_field", "coffer_field_mask",
                          "coffer_field_copy", "coffer_field_free"})


def tearDownModule():
    opened.finish()


if __name__ == "__main__":
    unittest.main(verbosity=2)
