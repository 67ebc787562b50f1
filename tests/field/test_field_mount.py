"""Encrypted fields by a mount over its control socket: who may, what they get, and what no key is asked for."""

import ctypes
import errno
import json
import os
import socket
import sys
import unittest
from pathlib import Path

import cli

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "mount"))
import harness  # noqa: E402  beside another directory

if os.environ.get("SANITIZE", "none") != "none":
    print("the interpreter has no sanitizer: skipped")
    sys.exit(77)
if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
    print("needs root, and FUSE: skipped")
    sys.exit(77)
lib = ctypes.CDLL(os.environ["LIBRARY"])
lib.coffer_field_free.argtypes = [ctypes.c_void_p]
TEXT, INTEGER = 0, 1
MASKED = 1
NOBODY, GROUP = 65534, 54321
CARD = b"4111111111111234"


class Place(ctypes.Structure):
    _fields_ = [(n, ctypes.c_char_p) for n in ("context", "table", "field", "record", "domain")] + [("free", ctypes.c_bool)]


def place(record=None, domain=None, free=False, context=b"production", field=b"card"):
    return Place(context, None if free else b"customer", None if free else field, record, domain, free)


class Fields:
    """The library in a process of its own, of that user; nothing of it is shared with the tests'."""

    def __init__(self, where, uid=0, gid=0, groups=()):
        self.where, self.user = where, (uid, gid, list(groups))

    def __getattr__(self, name):
        return lambda *arguments, **kw: harness.as_user(*self.user, self.call, getattr(Session, name), arguments, kw)

    def call(self, function, arguments, kw):
        with Session(self.where) as session:
            return function(session, *arguments, **kw)


class Session:
    def __init__(self, where):
        self.k, error = ctypes.c_void_p(), ctypes.create_string_buffer(300)
        r = lib.coffer_field_open_mount(os.fsencode(where), ctypes.byref(self.k), error, ctypes.c_size_t(300))
        if r < 0:
            raise OSError(-r, error.value.decode())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        lib.coffer_field_close(ctypes.byref(self.k))

    @staticmethod
    def checked(r):
        if r < 0:
            raise OSError(-r, os.strerror(-r))
        return r

    def encrypt(self, value, type=TEXT, **where):
        token = ctypes.c_char_p()
        self.checked(lib.coffer_field_encrypt(self.k, ctypes.byref(place(**where)), type, value, ctypes.c_size_t(len(value)), ctypes.byref(token)))
        return token.value

    def decrypt(self, token, type=TEXT, **where):
        """(MASKED or 0, the value)"""
        value, n = ctypes.c_void_p(), ctypes.c_size_t()
        r = self.checked(lib.coffer_field_decrypt(self.k, ctypes.byref(place(**where)), type, token, ctypes.byref(value), ctypes.byref(n)))
        return r, ctypes.string_at(value, n.value)

    def many(self, values):
        """There and back; the tokens, the values."""
        count = len(values)
        ids = (ctypes.c_char_p * count)(*[b"%d" % i for i in range(count)])
        texts = (ctypes.c_char_p * count)(*values)
        sizes = (ctypes.c_size_t * count)(*map(len, values))
        tokens, back, done = (ctypes.c_char_p * count)(), (ctypes.c_char_p * count)(), ctypes.c_size_t()
        where = place()
        self.checked(lib.coffer_field_encrypt_many(self.k, ctypes.byref(where), TEXT, ctypes.c_size_t(count), ids, texts, sizes, tokens, ctypes.byref(done)))
        assert done.value == count
        self.checked(lib.coffer_field_decrypt_many(self.k, ctypes.byref(where), TEXT, ctypes.c_size_t(count), ids, tokens, back, sizes, ctypes.byref(done)))
        assert done.value == count
        return list(tokens), list(back)

    def stops_at(self, tokens):
        """How many of the list open, and the error behind them."""
        count, done, where = len(tokens), ctypes.c_size_t(), place()
        values, sizes = (ctypes.c_char_p * count)(), (ctypes.c_size_t * count)()
        r = lib.coffer_field_decrypt_many(self.k, ctypes.byref(where), TEXT, ctypes.c_size_t(count), None, (ctypes.c_char_p * count)(*tokens), values, sizes, ctypes.byref(done))
        return done.value, -r

    def renew(self, token, **where):
        out = ctypes.c_char_p()
        self.checked(lib.coffer_field_renew(self.k, self.k, ctypes.byref(place(**where)), token, ctypes.byref(out)))
        return out.value

    def edit(self, token, set=False, value=None):
        """(what is shown, the token behind it, what was returned)"""
        kept, shown = ctypes.c_void_p(), ctypes.c_char_p()
        self.checked(lib.coffer_field_copy(token, ctypes.byref(kept)))
        r = self.checked(lib.coffer_edit_encrypted_string_field(self.k, ctypes.byref(place()), set, value, ctypes.byref(kept), ctypes.byref(shown)))
        return shown.value, ctypes.string_at(kept.value), r

    def after_lock(self, token, lock, unlock):
        """A session that goes on: the errors of both calls while the mount is locked, and the value behind."""
        errors = []
        lock()
        for call in (lambda: self.encrypt(b"x"), lambda: self.decrypt(token)):
            try:
                call()
            except OSError as e:
                errors.append(e.errno)
        unlock()
        return errors, self.decrypt(token)


class Case(cli.Case):
    options = ()

    def setUp(self):
        super().setUp()
        os.chmod(self.top, 0o755)
        self.vault, self.mount, self.rules = self.volume(), self.path("mount"), self.path("rights")
        os.mkdir(self.mount)
        self.write_rules()
        self.good("mount", self.vault, self.mount, "--key-file", self.key, "-o", f"field_rights={self.rules}" if self.options else "ro")
        self.addCleanup(cli.run, "umount", self.mount)
        self.socket = f"/run/coffer/{json.loads(self.good('status', self.vault, '--json').out)['instance_id']}.sock"
        self.own = Fields(self.vault)

    def write_rules(self, *lines):
        Path(self.rules).write_text("# who may\n" + "".join(line + "\n" for line in lines))
        os.chmod(self.rules, 0o644)

    def fails(self, error, call, *arguments, **kw):
        with self.assertRaises(OSError) as caught:
            call(*arguments, **kw)
        self.assertEqual(caught.exception.errno, error, caught.exception)
        return str(caught.exception)


class Own(Case):
    def test_values(self):
        for value in (CARD, b"", "Märtz".encode(), b"x" * 40000):
            token = self.own.encrypt(value, record=b"7")
            self.assertEqual(self.own.decrypt(token, record=b"7"), (0, value))
        self.fails(errno.EBADMSG, self.own.decrypt, token, record=b"8")
        self.fails(errno.EBADMSG, self.own.decrypt, token, record=b"7", context=b"test")
        self.fails(errno.EBADMSG, self.own.decrypt, b"clear", record=b"7")
        self.fails(errno.EINVAL, self.own.encrypt, b"x", type=INTEGER)
        self.fails(errno.EINVAL, self.own.decrypt, self.own.encrypt(b"x"), type=INTEGER)
        self.fails(errno.E2BIG, self.own.encrypt, b"x" * 50000)
        self.fails(errno.ENOENT, self.own.encrypt, b"x", domain=b"none", free=True)
        other = self.volume("other")
        file = self.file("a.csv", b"card\nx\n")
        self.good("field", "encrypt", file, "-i", "--path", "card", "--keyring", other, "--key-file", self.key)
        self.fails(errno.EXDEV, self.own.decrypt, Path(file).read_bytes().split()[1])
        self.assertIn("not mounted", self.fails(errno.ENOENT, Fields(other).encrypt, b"x"))

    def test_same_tokens_as_with_the_keyring(self):
        file = self.file("a.csv", b"card\n" + CARD + b"\n")
        key = ("--keyring", self.vault, "--key-file", self.key)
        self.good("field", "encrypt", file, "-i", "--path", "card", "--bind", "none", "--context", "production", *key)
        token = Path(file).read_bytes().split()[1]
        self.assertEqual(self.own.decrypt(token, free=True), (0, CARD))
        Path(file).write_bytes(b"card\n" + self.own.encrypt(CARD, free=True) + b"\n")
        self.assertEqual(self.good("field", "decrypt", file, "--path", "card", "--bind", "none", "--context", "production", *key).out.encode(), b"card\n" + CARD + b"\n")

    def test_many(self):
        """More than one packet holds."""
        values = [b"%d" % i * (i % 300) for i in range(1, 2000)]
        tokens, back = self.own.many(values)
        self.assertEqual(back, values)
        self.assertEqual(len(set(tokens)), len(tokens))
        good = self.own.encrypt(b"x")
        self.assertEqual(self.own.stops_at([good] * 300 + [b"clear"] + [good]), (300, errno.EBADMSG))
        self.assertEqual(self.own.stops_at([good] * 300 + [tokens[0]] + [good]), (300, errno.EBADMSG))

    def test_lock(self):
        token = self.own.encrypt(CARD)
        errors, value = self.own.after_lock(token, lambda: self.good("lock", self.mount), lambda: self.good("unlock", self.mount, "--key-file", self.key))
        self.assertEqual((errors, value), ([errno.ENOKEY] * 2, (0, CARD)))
        self.good("lock", self.mount)
        self.assertIn("locked", self.fails(errno.ENOKEY, self.own.encrypt, b"x"))

    def test_rotation(self):
        self.good("field", "domain", "create", "card", "--keyring", self.vault, "--key-file", self.key)
        self.good("umount", self.mount)
        self.good("mount", self.vault, self.mount, "--key-file", self.key)
        token, equal = self.own.encrypt(CARD), self.own.encrypt(CARD, free=True, domain=b"card")
        self.assertEqual(self.own.encrypt(CARD, free=True, domain=b"card"), equal)
        self.assertIsNone(self.own.renew(token))
        self.good("key", "rotate", self.vault, "--scope", "fields", "--key-file", self.key)
        renewed = self.own.renew(token)
        self.assertEqual(self.own.decrypt(renewed), (0, CARD))
        self.assertIsNone(self.own.renew(renewed))
        self.assertIsNotNone(self.own.renew(token))
        self.assertEqual(self.own.decrypt(token), (0, CARD))
        self.assertIsNone(self.own.renew(equal, free=True, domain=b"card"))

    def test_nobody_else_without_rules(self):
        with self.assertRaises(OSError) as caught:  # by the modes of directory or socket
            Fields(self.socket, NOBODY, NOBODY).encrypt(b"x")
        self.assertIn(caught.exception.errno, (errno.EACCES, errno.ECONNRESET))
        self.assertEqual(os.stat(self.socket).st_mode & 0o777, 0o600)


class Rights(Case):
    options = ("rules",)

    def test_by_user_group_and_context(self):
        nobody, member = Fields(self.socket, NOBODY, NOBODY), Fields(self.socket, NOBODY, NOBODY, [GROUP])
        token, test = self.own.encrypt(CARD), self.own.encrypt(CARD, context=b"test")
        bare = self.own.encrypt(CARD, context=None)
        self.fails(errno.ECONNRESET, nobody.decrypt, token)
        self.write_rules(f"uid {NOBODY} mask production", f"gid {GROUP} seal,open test -", f"uid {NOBODY - 1} open *")
        self.assertEqual(nobody.decrypt(token), (MASKED, b"************1234"))
        self.assertEqual(nobody.decrypt(self.own.encrypt(b"1234567", type=INTEGER), type=INTEGER), (MASKED, b"*******"))
        self.fails(errno.EACCES, nobody.encrypt, b"x")
        for other in (test, bare):
            self.fails(errno.EACCES, nobody.decrypt, other, context=b"test" if other == test else None)
        self.assertEqual(member.decrypt(test, context=b"test"), (0, CARD))
        self.assertEqual(member.decrypt(bare, context=None), (0, CARD))
        self.assertEqual(member.decrypt(token), (MASKED, b"************1234"))
        self.assertEqual(self.own.decrypt(member.encrypt(b"new", context=b"test"), context=b"test"), (0, b"new"))
        self.fails(errno.EACCES, member.encrypt, b"x")
        # A token says nothing of its context: one of production is no token of test.
        self.fails(errno.EBADMSG, member.decrypt, token, context=b"test")
        self.write_rules(f"uid {NOBODY} seal production")
        self.assertEqual(self.own.decrypt(nobody.encrypt(b"new")), (0, b"new"))
        self.fails(errno.EACCES, nobody.decrypt, token)
        self.fails(errno.EACCES, nobody.renew, self.renewed_later(token))
        self.write_rules(f"uid {NOBODY} open *")
        self.assertEqual(nobody.decrypt(token), (0, CARD))
        self.write_rules()
        self.assertEqual(harness.as_user(NOBODY, NOBODY, [], self.sit, self.socket, 1), 0)
        self.assertEqual(self.own.decrypt(token), (0, CARD))

    def renewed_later(self, token):
        self.good("key", "rotate", self.vault, "--scope", "fields", "--key-file", self.key)
        return token

    def test_a_form_of_who_sees_masks(self):
        token = self.own.encrypt(CARD)
        self.write_rules(f"uid {NOBODY} mask,seal production")
        nobody = Fields(self.socket, NOBODY, NOBODY)
        self.assertEqual(nobody.edit(token), (b"************1234", token, MASKED))
        self.assertEqual(nobody.edit(token, True, b"************1234")[:2], (b"************1234", token))
        shown, changed, _ = nobody.edit(token, True, b"5500005555555559")
        self.assertEqual(shown, b"5500005555555559")
        self.assertEqual(self.own.decrypt(changed), (0, b"5500005555555559"))

    def test_a_rules_file_that_cannot_be_trusted(self):
        nobody, token = Fields(self.socket, NOBODY, NOBODY), self.own.encrypt(CARD)
        self.write_rules(f"uid {NOBODY} open *")
        self.assertEqual(nobody.decrypt(token), (0, CARD))
        for spoil in (lambda: os.chmod(self.rules, 0o664), lambda: os.chown(self.rules, NOBODY, 0), lambda: os.remove(self.rules),
                      lambda: self.write_rules(f"uid {NOBODY} open *", "uid nobody open *")):
            self.write_rules(f"uid {NOBODY} open *")
            os.chown(self.rules, 0, 0)
            spoil()
            self.assertEqual(harness.as_user(NOBODY, NOBODY, [], self.sit, self.socket, 1), 0)
            self.assertEqual(self.own.decrypt(token), (0, CARD))
        for line in (f"uid {NOBODY} open", f"uid {NOBODY} read *", "uid -1 open *", "user 1 open *", "uid 4294967295 open *", "uid 1 open, *"):
            self.write_rules(line)
            self.bad(cli.USAGE, "mount", self.vault, self.path("mount2"), "-o", f"field_rights={self.rules}", "--key-file", self.key, says="rights:2: a rule is")
        self.bad(cli.USAGE, "mount", self.vault, self.path("mount2"), "-o", "field_rights=rights", "--key-file", self.key, says="absolute")

    @staticmethod
    def ask(path, *requests):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.settimeout(5)
        s.connect(path)
        answers = []
        for request in requests:
            s.send(json.dumps({"version": 1, **request}).encode())
            answers.append(json.loads(s.recv(1 << 16)))
        return answers

    def test_others_find_these_verbs_only(self):
        self.write_rules(f"uid {NOBODY} open production")
        known = [v for v in ("status", "freeze", "thaw", "read-keys", "lock", "unlock", "reencrypt", "reencryption", "users", "field-keys")]
        answers = harness.as_user(NOBODY, NOBODY, [], self.ask, self.socket, *({"verb": v, "seconds": 1} for v in known))
        self.assertEqual([v for v, a in zip(known, answers) if a["ok"]], ["field-keys"])
        self.assertEqual({a["error"] for a in answers if not a["ok"]}, {"the mount knows no such request"})
        bad = [{"context": "a", "bind": "keys", "places": []}, {"context": "a", "bind": "x", "places": [], "values": []},
               {"bind": "keys", "places": [], "values": []}, {"context": "a", "bind": "keys", "places": ["AA"], "values": []},
               {"context": "a" * 256, "bind": "keys", "places": [], "values": []}]
        for answer in self.ask(self.socket, *({"verb": "field-seal", **b} for b in bad)):
            self.assertEqual(answer["status"], cli.USAGE)
        for values in ([1], ["!"], [None], ["A"]):
            answer, = self.ask(self.socket, {"verb": "field-seal", "context": "a", "bind": "keys", "places": ["AA"], "values": values})
            self.assertEqual((answer["tokens"], answer["errno"]), ([], errno.EINVAL))

    @staticmethod
    def sit(path, count):
        """How many connections of so many are answered, and stay."""
        seats = []
        for _ in range(count):
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.connect(path)
            s.settimeout(5)
            try:
                s.send(b'{"version": 1, "verb": "field-keys"}')
                if s.recv(1 << 16):
                    seats.append(s)
            except OSError:
                pass
        return len(seats)

    def test_others_leave_places_free(self):
        self.write_rules(f"uid {NOBODY} open production")
        self.assertEqual(harness.as_user(NOBODY, NOBODY, [], self.sit, self.socket, 12), 8)


if __name__ == "__main__":
    unittest.main(verbosity=2)
