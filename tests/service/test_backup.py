"""Backups of the key service: made while it serves, whole or not there, restored elsewhere (backup.c (1), (2); restore.c (1) to (3))."""

import fcntl
import json
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import threading
import time
import unittest

import keyd
from keyd import DAMAGED, KEYD, LONG, NOT_EMPTY, OK, STORE, UNSUPPORTED, USAGE, WRONG_SECRET, Case, b64

REFUSED = 13


class BackupCase(Case):
    def setUp(self):
        super().setUp()
        # As long as a file that opens: a passphrase takes its second.
        self.secret = self.path("backup.key")
        with open(self.secret, "wb") as f:
            f.write(os.urandom(32))
        os.chmod(self.secret, 0o600)

    def good(self, *arguments):
        status, out, err = keyd.run(*arguments)
        self.assertEqual((status, err), (OK, ""), err)
        return out

    def refused(self, status, words, *arguments):
        got, out, err = keyd.run(*arguments)
        self.assertEqual(got, status, err)
        self.assertIn(words, err)
        self.assertEqual(err.count("\n"), 1, err)

    def backup(self, name="backup", *more):
        file = self.path(name)
        self.good("backup", self.dir, "-o", file, "--backup-key-file", self.secret, *more)
        return file

    def restored(self, name, file, *more):
        self.good("restore", self.path(name), file, "--backup-key-file", self.secret, *more)
        return self.path(name)

    def serve(self, directory, *options):
        """A service on another directory; its administrator still has the files of the first."""
        s = keyd.Service(directory, *options).start()
        self.addCleanup(s.kill)
        return s

    def names(self, directory):
        return sorted(os.listdir(directory))


class Drill(BackupCase):
    def test_the_machine_is_lost(self):
        s = self.service()
        a = self.admin(s)
        host, lost = self.accepted(s, "host"), self.accepted(s, "stolen")
        for name in ("db", "other"):
            self.assertEqual(a.post("keys/" + name)[0], 201)
        for c in (host, lost):
            self.assertEqual(a.post("keys/db/grant", client=c.fingerprint())[0], 200)
        status, wrapped = host.post("keys/db/wrapkey", alg="A256GCM", value=b64(b"root key of a volume"), aad=b64(b"v"))
        self.assertEqual(status, 200, wrapped)
        self.assertEqual(a.post("keys/db/rotate")[0], 200)
        self.assertEqual(a.post(f"clients/{lost.fingerprint()}/revoke")[0], 200)
        self.assertEqual(a.post("keys/other/disable")[0], 200)
        # It serves on while the backup is made, and what comes after it is not in it.
        file = self.backup()
        self.assertEqual(host.post("keys/db/wrapkey", alg="A256GCM", value=b64(b"later"))[0], 200)
        self.assertEqual(stat.S_IMODE(os.stat(file).st_mode), 0o600)
        with open(file, "rb") as f:
            content = f.read()
        for secret in (b"key.rotate", b"host", host.fingerprint().encode(), b"keyring.key"):
            self.assertNotIn(secret, content)
        s.kill()
        keep = {n: self.path(n) for n in ("ca.pem", "admin.pem", "admin.key")}
        for n, to in keep.items():
            shutil.copy(os.path.join(self.dir, n), to)
        shutil.rmtree(self.dir)

        new = self.restored("new", file, "--accept-older")
        self.assertEqual(stat.S_IMODE(os.stat(new).st_mode), 0o700)
        with open(new + "/ca.pem") as ca, open(keep["ca.pem"]) as before:
            self.assertEqual(ca.read(), before.read())
        s2 = self.serve(new)
        admin = self.client(s2, keep["admin.pem"], keep["admin.key"])
        for c in (host, lost):
            c.close()
            c.service = s2
        body = {"aad": b64(b"v"), **{m: wrapped[m] for m in ("iv", "tag", "value")}}
        version = wrapped["version"]
        status, answer = host.post(f"keys/db/{version}/unwrapkey", alg="A256GCM", **body)
        self.assertEqual((status, answer.get("value")), (200, b64(b"root key of a volume")), answer)
        status, answer = lost.post(f"keys/db/{version}/unwrapkey", alg="A256GCM", **body)
        self.assertEqual((status, answer["error"]["code"]), (403, "client_revoked"))
        self.assertEqual(admin.get("keys/other")[1]["state"], "disabled")
        self.assertEqual(admin.get("keys/db")[1]["latest"], 2)
        # What the restore did is in the log, which goes on.
        status, log = admin.get("audit/1")
        events = {line["event"]: line for line in log["lines"]}
        self.assertIs(events["restore"]["accept_older"], True)
        # And new ones are still accepted by the same authority.
        self.dir = new
        for n in ("admin.pem", "admin.key"):
            shutil.copy(keep[n], new)
        self.assertEqual(self.accepted(s2, "second").get("self")[0], 200)
        s2.stop()
        self.good("check", new)


class Anchors(BackupCase):
    def test_what_it_takes_to_go_back(self):
        anchor = self.path("elsewhere.json")
        shutil.copy(self.dir + "/anchor.json", anchor)
        file = self.backup("backup", "--anchor", anchor)
        self.refused(REFUSED, "nothing says whether", "restore", self.path("a"), file, "--backup-key-file", self.secret)
        self.assertFalse(os.path.exists(self.path("a")))
        # The anchor knows no more than the backup: nothing is undone.
        same = self.path("same.json")
        shutil.copy(anchor, same)
        out = self.good("restore", self.path("b"), file, "--backup-key-file", self.secret, "--anchor", same)
        self.assertNotIn("are lost", out)
        self.good("check", self.path("b"), "--anchor", same)
        # It knows more.
        s = self.service("--anchor", anchor)
        self.assertEqual(self.admin(s).post("keys/k")[0], 201)
        s.stop()
        args = ("restore", self.path("c"), file, "--backup-key-file", self.secret, "--anchor", anchor)
        self.refused(REFUSED, "lacks the last", *args)
        with open(anchor) as f:
            before = json.load(f)["n"]
        self.assertIn("are lost", self.good(*args, "--accept-older"))
        self.good("check", self.path("c"), "--anchor", anchor)
        with sqlite3.connect(self.path("c") + "/service.db") as db:
            line = json.loads(db.execute("SELECT line FROM audit ORDER BY n DESC").fetchone()[0])
        db.close()
        self.assertEqual((line["event"], line["accept_older"], line["anchor"]), ("restore", True, before))
        # The old directory is behind that anchor now, and a file that is none is no anchor.
        self.assertEqual(keyd.run("check", self.dir, "--anchor", anchor)[0], DAMAGED)
        self.refused(DAMAGED, "is none of this service", "restore", self.path("d"), file, "--backup-key-file", self.secret, "--anchor",
                     self.secret)
        # The other course of the first one, which the anchor does not pass.
        self.refused(REFUSED, "another course", "restore", self.path("d"), self.backup("late"), "--backup-key-file", self.secret,
                     "--anchor", anchor)

    def test_an_older_database_is_not_backed_up(self):
        shutil.copytree(self.dir, self.path("old"))
        s = self.service()
        self.assertEqual(self.admin(s).post("keys/k")[0], 201)
        s.stop()
        self.refused(DAMAGED, "older than its anchor", "backup", self.path("old"), "-o", self.path("x"), "--backup-key-file", self.secret,
                     "--anchor", self.dir + "/anchor.json")
        self.assertFalse(os.path.exists(self.path("x")))


class Files(BackupCase):
    def test_what_is_refused(self):
        file = self.backup()
        args = ("--backup-key-file", self.secret, "--accept-older")
        self.refused(REFUSED, "exists", "backup", self.dir, "-o", file, *args[:2])
        self.refused(NOT_EMPTY, "not a new or empty", "restore", self.dir, file, *args)
        self.refused(WRONG_SECRET, "", "restore", self.path("n"), file, "--backup-key-file", self.dir + "/ca.pem", "--accept-older")
        for arguments in (("backup", self.dir), ("backup", self.dir, "-o", self.path("x"), "--shares", "2/3"),
                          ("backup", self.dir, "-o", self.path("x"), "--backup-identity", file), ("restore", self.dir),
                          ("run", self.dir, "--listen", "127.0.0.1:0", "--backup-every", "1d"),
                          ("run", self.dir, "--listen", "127.0.0.1:0", "--backup-every", "1s")):
            with self.subTest(arguments=arguments):
                self.assertEqual(keyd.run(*arguments)[0], USAGE)
        self.assertEqual(self.names(self.top), ["backup", "backup.key", "d"])

    def test_every_changed_byte_is_found(self):
        file = self.backup()
        with open(file, "rb") as f:
            whole = f.read()
        head = whole.index(b"\n") + 1
        keyring = json.loads(whole[:head])["keyring"]
        sealed = head + keyring
        changed = {n: whole[:n] + bytes([whole[n] ^ 1]) + whole[n + 1:] for n in
                   (2, 70, head - 3, head + 40, sealed - 2, sealed, sealed + 100, len(whole) - 1)}
        changed.update({"cut": whole[:-1], "longer": whole + b"\0", "only the head": whole[:sealed], "no head": whole[:head],
                        "empty": b"", "another's": whole[:sealed] + os.urandom(len(whole) - sealed)})
        for what, content in changed.items():
            with self.subTest(what):
                with open(self.path("changed"), "wb") as f:
                    f.write(content)
                status, _, err = keyd.run("restore", self.path("n"), self.path("changed"), "--backup-key-file", self.secret, "--accept-older")
                self.assertIn(status, (DAMAGED, UNSUPPORTED), err)
                self.assertFalse(os.path.exists(self.path("n")))

    def test_what_is_said_to_programs(self):
        made = json.loads(self.good("backup", self.dir, "-o", self.path("b"), "--backup-key-file", self.secret, "--json"))
        self.assertEqual((made["file"], set(made)), (self.path("b"), {"file", "lines", "rows", "fingerprint"}))
        back = json.loads(self.good("restore", self.path("n"), self.path("b"), "--backup-key-file", self.secret, "--accept-older", "--json"))
        self.assertEqual((back["lines"], back["lost"]), (made["lines"], 0))
        self.assertEqual(json.loads(self.good("check", self.path("n"), "--json")), {"lines": made["lines"] + 1})

    def test_damage_is_not_backed_up(self):
        with sqlite3.connect(self.dir + "/service.db") as db:
            db.execute("UPDATE row SET body = replace(body, 'accepted', 'revoked_') WHERE name LIKE 'client/%'")
        db.close()
        self.refused(DAMAGED, "is not what its log says", "backup", self.dir, "-o", self.path("x"), "--backup-key-file", self.secret)
        self.assertEqual(self.names(self.top), ["backup.key", "d"])

    def test_a_full_disk(self):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

        r = subprocess.run([KEYD, "backup", self.dir, "-o", self.path("x"), "--backup-key-file", self.secret], capture_output=True,
                           preexec_fn=limit, timeout=keyd.TIMEOUT)
        self.assertEqual(r.returncode, STORE, r.stderr)
        self.assertEqual(self.names(self.top), ["backup.key", "d"])
        file = self.backup()
        r = subprocess.run([KEYD, "restore", self.path("n"), file, "--backup-key-file", self.secret, "--accept-older"], capture_output=True,
                           preexec_fn=limit, timeout=keyd.TIMEOUT)
        self.assertNotEqual(r.returncode, OK)
        self.assertFalse(os.path.exists(self.path("n")))

    def test_shares_and_a_certificate(self):
        shares = self.path("shares")
        out = self.good("backup", self.dir, "-o", self.path("s"), "--shares", "2/3", "--share-dir", shares)
        self.assertIn("any 2 of them", out)
        self.refused(WRONG_SECRET, "shares were given", "restore", self.path("n"), self.path("s"), "--accept-older", "--share",
                     shares + "/share-1.txt")
        self.good("restore", self.path("n"), self.path("s"), "--accept-older", "--share", shares + "/share-3.txt", "--share",
                  shares + "/share-1.txt")
        cert, key = self.self_signed("backup", "keyUsage=critical,keyAgreement")
        out = self.good("backup", self.dir, "-o", self.path("c"), "--recipient", cert)
        root = re.search(r"fingerprint: (.*)", out)[1]
        args = ("restore", self.path("m"), self.path("c"), "--backup-identity", key, "--accept-older")
        self.assertEqual(keyd.run(*args)[0], REFUSED)  # anybody could have made it
        self.assertEqual(keyd.run(*args, "--expect-root", "0" * 32)[0], REFUSED)
        self.assertFalse(os.path.exists(self.path("m")))
        # Into a directory that is there and empty, under a secret of its own.
        os.mkdir(self.path("m"), 0o750)
        self.good(*args, "--expect-root", root, "--key-file", self.secret)
        self.assertEqual(self.names(self.path("m")), ["anchor.json", "ca.pem", "keyring.json", "keyring.json.audit", "keyring.json.bak",
                                                      "keyring.json.lock", "service.db"])
        self.good("check", self.path("m"), "--key-file", self.secret)

    @unittest.skipUnless(LONG, "a passphrase takes its seconds")
    def test_a_passphrase(self):
        words, wrong = self.path("words"), self.path("wrong")
        for file, text in ((words, "of the safe\n"), (wrong, "of the sofa\n")):
            with open(file, "w") as f:
                f.write(text)
        self.good("backup", self.dir, "-o", self.path("p"), "--backup-passphrase-file", words)
        self.refused(WRONG_SECRET, "", "restore", self.path("n"), self.path("p"), "--backup-passphrase-file", wrong, "--accept-older")
        self.good("restore", self.path("n"), self.path("p"), "--backup-passphrase-file", words, "--accept-older")
        self.good("check", self.path("n"))

    def test_what_a_cut_restore_left_is_taken_away(self):
        file = self.backup()
        os.makedirs(self.path("n", ".coffer-restore"))
        for name in ("keyring.json", "service.db", "service.db-wal"):
            with open(self.path("n", ".coffer-restore", name), "w") as f:
                f.write("half")
        self.good("check", self.restored("n", file, "--accept-older"))
        self.assertNotIn(".coffer-restore", self.names(self.path("n")))

    def test_killed(self):
        """Whenever it is killed: no half of a backup has the name of one, and no half of a service that of one."""
        whole = self.backup()
        for i in range(60 if LONG else 4):
            for what, arguments in (("backup", ("backup", self.dir, "-o", self.path("x"))),
                                    ("restore", ("restore", self.path("x"), whole, "--accept-older"))):
                p = subprocess.Popen([KEYD, *arguments, "--backup-key-file", self.secret], stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)
                time.sleep(random.random() * 0.08)
                p.kill()
                p.wait()
                with self.subTest(what, round=i):
                    if what == "backup" and os.path.exists(self.path("x")):
                        self.good("check", self.restored("y", self.path("x"), "--accept-older"))
                        os.remove(self.path("x"))
                    elif os.path.exists(self.path("x", "service.db")):
                        self.good("check", self.path("x"))
                        os.rename(self.path("x"), self.path("y"))
                    elif os.path.exists(self.path("x")):
                        shutil.rmtree(self.path("y"), ignore_errors=True)
                        if set(self.names(self.path("x"))) <= {".coffer-restore"}:
                            self.restored("x", whole, "--accept-older")
                        shutil.rmtree(self.path("x"))
                shutil.rmtree(self.path("y"), ignore_errors=True)
        for name in self.names(self.top):
            self.assertTrue(name in ("backup", "backup.key", "d") or name.startswith(".coffer-tmp-keyd-"), name)

    def test_under_load(self):
        """Backups while others write: each is a whole state of one moment."""
        s = self.service()
        a = self.admin(s)
        self.assertEqual(a.post("keys/k")[0], 201)
        stop, done = threading.Event(), []

        def write():
            c = self.client(s, a.cert, a.key)
            while not stop.is_set():
                status, answer = c.post("keys/k/rotate")
                done.append(status)

        t = threading.Thread(target=write)
        t.start()
        try:
            files = [self.backup(f"b{i}") for i in range(2)]
        finally:
            stop.set()
            t.join()
        self.assertEqual(set(done), {200})
        s.stop()
        self.restored("n0", files[0], "--accept-older")
        versions = 0
        with sqlite3.connect(self.path("n0") + "/service.db") as db:
            versions = db.execute("SELECT count(*) FROM row WHERE name LIKE 'version/k/%'").fetchone()[0]
        db.close()
        self.assertLessEqual(versions, len(done) + 1)


class Schedule(BackupCase):
    def options(self, every="1m", keep="2"):
        self.cert, self.private = self.self_signed("backup", "keyUsage=critical,keyAgreement")
        os.makedirs(self.path("backups"), exist_ok=True)
        return ("--backup-every", every, "--backup-dir", self.path("backups"), "--recipient", self.cert, "--keep", keep, "--metrics",
                "127.0.0.1:0")

    def wait(self, service, condition):
        end = time.monotonic() + 20
        while not condition(service.numbers()):
            self.assertLess(time.monotonic(), end, service.logged())
            time.sleep(0.05)
        return service.numbers()

    def last_line(self, service, event):
        status, log = self.admin(service).get("audit/1")
        self.assertEqual(status, 200)
        return [x for x in log["lines"] if x["event"] == event][-1]

    def test_made_kept_and_restored(self):
        options = self.options()
        d = self.path("backups")
        with open(os.path.join(self.dir, "keyring.json")) as f:
            prefix = "keyd-" + json.loads(f.read().split("#coffer-seal")[0])["settings"]["volume_id"][:8] + "-"
        old = [f"{prefix}2026010{i}T000000Z.backup" for i in range(1, 4)]
        others = ["keyd-00000000-20260101T000000Z.backup", prefix + "mine.backup", "notes", ".coffer-tmp-keyd-held"]
        for name in old + others + [".coffer-tmp-keyd-dead"]:
            with open(os.path.join(d, name), "w"):
                pass
        held = open(os.path.join(d, ".coffer-tmp-keyd-held"))
        self.addCleanup(held.close)
        fcntl.flock(held, fcntl.LOCK_EX)
        before = int(time.time())
        s = self.service(*options)
        numbers = self.wait(s, lambda n: n["last_backup_seconds"] > 0)
        self.assertGreaterEqual(numbers["last_backup_seconds"], before)
        self.assertEqual(numbers["backups_failed_total"], 0)
        line = self.last_line(s, "backup")
        new = line["file"]
        self.assertEqual(set(self.names(d)), {new, old[-1], *others})
        s.stop()
        # A restart does not make another one before its time.
        s = self.service(*options)
        self.assertEqual(self.wait(s, lambda n: n["last_backup_seconds"] > 0)["last_backup_seconds"], numbers["last_backup_seconds"])
        time.sleep(1.2)
        self.assertEqual(set(self.names(d)), {new, old[-1], *others})
        s.stop()
        out = self.good("backup", self.dir, "-o", self.path("x"), "--recipient", self.cert)
        root = re.search(r"fingerprint: (.*)", out)[1]
        self.good("restore", self.path("n"), os.path.join(d, new), "--backup-identity", self.private, "--expect-root", root, "--accept-older")

    def test_one_that_fails_is_told(self):
        options = self.options()
        d = self.path("backups")
        s = self.service(*options)
        os.rename(d, d + ".away")  # before the first one, which is due after a second
        self.wait(s, lambda n: n["backups_failed_total"] > 0)
        self.assertEqual(s.numbers()["last_backup_seconds"], 0)
        self.assertIn("cannot write the backup", self.last_line(s, "backup.failed")["why"])
        s.stop()
        self.refused(STORE, "cannot write backups", "run", self.dir, "--listen", "127.0.0.1:0", *options[:-2])


if __name__ == "__main__":
    unittest.main()
