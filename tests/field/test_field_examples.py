"""The examples of docs/examples, as their users run them, and a database of tokens on a mount."""

import os
import sqlite3
import unittest
from pathlib import Path

import cli

CONTACT, EXTENSION, SANITIZE = os.environ["CONTACT"], os.environ.get("EXTENSION"), os.environ.get("SANITIZE", "none")


class Contact(cli.Case):
    def setUp(self):
        super().setUp()
        self.vault = self.volume()
        self.record = self.file("17", b"name=Ada\n")

    def contact(self, *words, status=0, input=None, keyring=None, record=None):
        result = cli.run_program([CONTACT, keyring or self.vault, self.key, record or self.record, *words], input=input)
        self.assertEqual(result.status, status, result.err)
        return result

    def lines(self):
        return dict(line.split("=", 1) for line in Path(self.record).read_text().splitlines())

    def test_set_get_empty_unchanged(self):
        self.assertEqual(self.contact().out, "name=Ada\n")
        self.contact("note", "set", input="met in M\u00e4rz\n".encode())
        self.contact("born", "set", input=b"1815-12-10\n")
        self.assertEqual(self.contact().out, "name=Ada\nnote: met in M\u00e4rz\nborn: 1815-12-10\n")
        first = self.lines()
        self.assertTrue(first["note"].startswith("coffer1r."))
        self.assertEqual(self.contact("note", "set", input="met in M\u00e4rz".encode()).out, "unchanged\n")
        self.assertEqual(self.lines(), first)
        self.contact("note", "set", input=b"")
        self.assertEqual(self.contact().out, "name=Ada\nnote: \nborn: 1815-12-10\n")
        self.contact("note", "empty")
        self.assertEqual(self.contact().out, "name=Ada\nborn: 1815-12-10\n")
        self.assertEqual(self.lines(), {"name": "Ada", "born": first["born"]})

    def test_mistakes(self):
        self.contact("born", "set", input=b"1815-12-10")
        before = Path(self.record).read_bytes()
        self.assertIn("type", self.contact("born", "set", input=b"1815-13-10", status=1).err)
        other = self.volume("other")
        self.assertRegex(self.contact(keyring=other, status=1).err, "another environment .* migrate")
        moved = self.file("18", before)
        self.assertIn("another place", self.contact(record=moved, status=1).err)
        self.assertEqual(Path(self.record).read_bytes(), before)


class Database(cli.Case):
    def setUp(self):
        super().setUp()
        if not EXTENSION or SANITIZE != "none":
            self.skipTest("no extension was built (libsqlite3-dev)" if not EXTENSION else "the interpreter has no sanitizer")
        self.vault = self.volume()
        self.good("field", "domain", "create", "mail", "--keyring", self.vault, "--key-file", self.key)

    def connect(self, name="db", vault=None, context="production"):
        db = sqlite3.connect(self.path(name))
        self.addCleanup(db.close)
        if not hasattr(db, "enable_load_extension"):
            self.skipTest("this Python loads no extensions")
        db.enable_load_extension(True)
        db.load_extension(EXTENSION.removesuffix(".so"))
        if vault != "":
            db.execute("select coffer_open(?, ?, ?)", (vault or self.vault, self.key, context)).fetchall()
        return db

    def fill(self, db):
        db.executescript("create table customer (id integer primary key, mail text, note text); create index m on customer (mail)")
        for i in range(30):
            db.execute("insert into customer values (?1, coffer_encrypt_equal(?2, 'mail'), coffer_encrypt(?3, 'customer.note', ?1))",
                       (i, f"user{i % 10}@example.com", f"note {i}" if i else None))
        db.commit()

    def notes(self, db):
        return [row[0] for row in db.execute("select coffer_decrypt(note, 'customer.note', id) from customer order by id")]

    def wrong(self, db, text, says, *arguments):
        with self.assertRaisesRegex(sqlite3.Error, says):
            db.execute(text, arguments).fetchall()

    NOTES = [None, *(f"note {i}" for i in range(1, 30))]
    SEARCH = "select id from customer where mail = coffer_encrypt_equal('user3@example.com', 'mail') order by id"

    def test_values(self):
        db = self.connect()
        self.fill(db)
        self.assertEqual(self.notes(db), self.NOTES)
        self.assertEqual([r[0] for r in db.execute(self.SEARCH)], [3, 13, 23])
        self.assertIn("USING INDEX m (mail=?)", str(db.execute("explain query plan " + self.SEARCH).fetchall()).replace("COVERING ", ""))
        self.assertEqual(db.execute("select coffer_decrypt_equal(mail, 'mail') from customer where id = 4").fetchone(), ("user4@example.com",))
        self.assertEqual(db.execute("select coffer_decrypt(coffer_encrypt('', 'a.b', 1), 'a.b', 1)").fetchone(), ("",))
        for i in (0, 1, 47, 48, 1000):  # what field.h says of the length
            n = len(db.execute("select coffer_encrypt(?, 'a.b', 1)", ("x" * i,)).fetchone()[0])
            self.assertLessEqual(n, 84 + -(-i // 48) * 64, i)
        self.assertNotIn(b"note 1", Path(self.path("db")).read_bytes())
        self.assertNotIn(b"example.com", Path(self.path("db")).read_bytes())

    def test_mistakes(self):
        db = self.connect()
        self.fill(db)
        self.wrong(db, "select coffer_decrypt(note, 'customer.note', 2) from customer where id = 1", "customer.note: .*another place")
        self.wrong(db, "select coffer_decrypt('clear', 'customer.note', 2)", "in clear")
        self.wrong(db, "select coffer_encrypt('x', 'note', 2)", "table.column")
        self.wrong(db, "select coffer_encrypt_equal('x', 'none')", "no domain none")
        self.wrong(db, "select coffer_migrate(note, 'customer.note', id) from customer", "coffer_open_to")
        self.wrong(db, "select coffer_open('/none', ?, '')", "/none", self.key)
        db.execute("create view v as select coffer_decrypt(note, 'customer.note', id) from customer")
        self.wrong(db, "select * from v", "unsafe use")
        self.wrong(self.connect(context="test"), "select coffer_decrypt(note, 'customer.note', id) from customer", "context")
        self.wrong(self.connect(vault=""), "select coffer_encrypt('x', 'a.b', 1)", "coffer_open")

    def tokens(self, db):
        return db.execute("select mail, note from customer order by id").fetchall()

    def rotate(self, db, to="rotate"):
        db.execute(f"update customer set note = coffer_{to}(note, 'customer.note', id), mail = coffer_{to}_equal(mail, 'mail')")
        db.commit()

    def test_rotation(self):
        db = self.connect()
        self.fill(db)
        before = self.tokens(db)
        self.rotate(db)
        self.assertEqual(self.tokens(db), before)
        self.good("key", "rotate", self.vault, "--scope", "fields", "--key-file", self.key)
        self.good("field", "rotate", "--domain", "mail", "--keyring", self.vault, "--key-file", self.key)
        db = self.connect()
        self.assertEqual(self.notes(db), self.NOTES)
        self.rotate(db)
        after = self.tokens(db)
        for (mail, note), (old_mail, old_note) in zip(after[1:], before[1:]):
            self.assertNotEqual(mail, old_mail)
            self.assertNotEqual(note, old_note)
        self.assertEqual(self.notes(db), self.NOTES)
        self.assertEqual([r[0] for r in db.execute(self.SEARCH)], [3, 13, 23])

    def test_another_environment(self):
        self.fill(self.connect())
        test = self.volume("test")
        self.good("field", "domain", "create", "mail", "--keyring", test, "--key-file", self.key)
        self.wrong(self.connect(vault=test), "select coffer_decrypt(note, 'customer.note', id) from customer",
                   "customer.note: .*another environment .*migrate")
        db = self.connect()
        db.execute("select coffer_open_to(?, ?)", (test, self.key)).fetchall()
        self.rotate(db, "migrate")
        done = self.tokens(db)
        self.rotate(db, "migrate")  # again, as after one that was cut off
        self.assertEqual(self.tokens(db), done)
        db = self.connect(vault=test)
        self.assertEqual(self.notes(db), self.NOTES)
        self.assertEqual([r[0] for r in db.execute(self.SEARCH)], [3, 13, 23])

    def test_on_a_mount(self):
        """Whoever can read the mount still sees tokens, and below it not even those."""
        if not os.path.exists("/dev/fuse"):
            self.skipTest("no FUSE")
        store, mount = self.volume("store"), self.path("mount")
        os.mkdir(mount)
        result = cli.run("mount", store, mount, "--key-file", self.key)
        if result.status == cli.NO_FUSE:
            self.skipTest("no FUSE: " + result.err)
        self.assertEqual(result.status, 0, result.err)
        try:
            db = self.connect("mount/db")
            self.fill(db)
            db.close()
            text = Path(mount, "db").read_bytes()
            self.assertIn(b"coffer1r.", text)
            self.assertNotIn(b"note 1", text)
            self.assertNotIn(b"example.com", text)
            db = self.connect("mount/db")
            self.assertEqual(self.notes(db), self.NOTES)
            db.close()
        finally:
            self.good("umount", mount)
        below = b"".join(p.read_bytes() for p in Path(store).rglob("*") if p.is_file())
        self.assertNotIn(b"coffer1r.", below)


if __name__ == "__main__":
    unittest.main(verbosity=2)
