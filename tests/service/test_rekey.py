"""Everything under a new generation of the keyring: what was wrapped still opens, what is old is refused, a crash leaves one or the other
(rekey.c (1) to (4), ledger_rekey.c (1) to (3))."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
import unittest

import keyd
from keyd import DAMAGED, IN_USE, KEYD, LONG, OK, SCALE, Case, b64

REFUSED = 13
KILLS = 60 if LONG else 5 if SCALE == 1 else 2


class RekeyCase(Case):
    def setUp(self):
        super().setUp()
        os.environ["COFFER_STATE_DIR"] = self.path("state")
        self.addCleanup(os.environ.__setitem__, "COFFER_STATE_DIR", "")
        s = self.service()
        a = self.admin(s)
        client = self.accepted(s, "host")
        for name in ("k", "off", "gone"):
            self.good(a.post("keys/" + name), 201)
        self.good(a.post("keys/k/grant", client=client.fingerprint()))
        self.wrapped = [self.wrap(client)]
        self.good(a.post("keys/k/rotate"))
        self.wrapped.append(self.wrap(client))
        self.good(a.post("keys/off/disable"))
        self.good(a.post("keys/gone/delete", days=7))
        self.host = client.cert, client.key
        s.stop()

    def good(self, answer, status=200):
        self.assertEqual(answer[0], status, answer)
        return answer[1]

    def wrap(self, client):
        w = self.good(client.post("keys/k/wrapkey", alg="A256GCM", value=b64(b"seventeen")))
        return w["version"], {n: w[n] for n in ("alg", "value", "iv", "tag")}

    def opens(self, directory=None, *options):
        """Its host opens all that it once had wrapped; states are what they were; there is a new key, so that there are lines behind it."""
        s = keyd.Service(directory or self.dir, *options).start()
        self.addCleanup(s.kill)
        client, a = self.client(s, *self.host), self.admin(s)
        for version, w in self.wrapped:
            self.assertEqual(self.good(client.post(f"keys/k/{version}/unwrapkey", **w))["value"], b64(b"seventeen"))
        self.assertEqual([self.good(a.get("keys/" + k))["state"] for k in ("k", "off", "gone")], ["enabled", "disabled", "deleted"])
        self.good(a.post(f"keys/after{self.lines(directory)}"), 201)
        s.stop()

    def run_keyd(self, *arguments, status=OK, says=""):
        got, out, err = keyd.run(*arguments)
        self.assertEqual(got, status, err)
        self.assertIn(says, err if err else out)
        return out

    def lines(self, directory=None):
        with sqlite3.connect((directory or self.dir) + "/service.db") as db:
            n = db.execute("SELECT max(n) FROM audit").fetchone()[0]
        db.close()
        return n

    def generation(self):
        """Of the store; 1 if it was never rekeyed."""
        with sqlite3.connect(self.dir + "/service.db") as db:
            row = db.execute("SELECT body FROM row WHERE name = 'rekey'").fetchone()
        db.close()
        return json.loads(row[0])["generation"] if row else 1

    def keyring(self):
        with open(self.dir + "/keyring.json") as f:
            return json.JSONDecoder().raw_decode(f.read())[0]

    def put(self, source, *names):
        """Files as they were at another time; whole databases, since they were left clean."""
        for name in names:
            shutil.copy(self.path(source, name), os.path.join(self.dir, name))

    def copy(self, name):
        shutil.copytree(self.dir, self.path(name))


class Life(RekeyCase):
    def test_all_of_it(self):
        secret = self.path("backup.key")
        with open(secret, "wb") as f:
            f.write(os.urandom(32))
        by = ["--backup-key-file", secret]
        self.run_keyd("backup", self.dir, "-o", self.path("b1"), *by)
        self.copy("before")
        s = self.service()
        self.run_keyd("rekey", self.dir, status=IN_USE)
        s.stop()
        before = self.lines()
        self.run_keyd("rekey", self.dir, says="generation 3")
        after = self.lines()
        self.run_keyd("check", self.dir)
        with sqlite3.connect(self.dir + "/service.db") as db:
            events = [json.loads(t)["event"] for t, in db.execute("SELECT line FROM audit WHERE n > ?", (before,))]
        db.close()
        self.assertEqual((events[0], set(events[1:])), ("rekey", {"rekey.rows"}))
        self.opens()
        self.opens()
        # Everything old, in whole or in part.
        self.copy("now")
        self.put("before", "service.db")
        self.run_keyd("check", self.dir, status=DAMAGED, says="generation 1")
        self.put("before", "service.db", "anchor.json")
        self.run_keyd("check", self.dir, status=DAMAGED, says="generation 1")
        self.put("now", "service.db")
        self.run_keyd("check", self.dir, status=DAMAGED, says="of before the last rekeying")
        self.put("now", "anchor.json")
        for statement in ("DELETE FROM row WHERE name = 'rekey'", "UPDATE row SET body = replace(body, '\"before\":1', '\"before\":2') WHERE name = 'rekey'",
                          "UPDATE row SET body = replace(body, '\"generation\":3', '\"generation\":2') WHERE name = 'rekey'",
                          f"DELETE FROM audit WHERE n > {after}", "UPDATE audit SET line = replace(line, 'init', 'tini') WHERE n = 1"):
            with sqlite3.connect(self.dir + "/service.db") as db:
                self.assertGreater(db.execute(statement).rowcount, 0)
            db.close()
            self.run_keyd("check", self.dir, status=DAMAGED)
            self.put("now", "service.db")
        # A backup of then does not know of it; one of now goes elsewhere, and goes on being rekeyed.
        self.run_keyd("restore", self.path("r1"), self.path("b1"), *by, "--anchor", self.dir + "/anchor.json", status=REFUSED, says="after a rekeying")
        self.run_keyd("backup", self.dir, "-o", self.path("b2"), *by)
        os.environ["COFFER_STATE_DIR"] = self.path("elsewhere")
        self.run_keyd("restore", self.path("r2"), self.path("b2"), *by, "--anchor", self.dir + "/anchor.json")
        shutil.copy(self.dir + "/ca.pem", self.path("r2"))
        self.opens(self.path("r2"))
        self.run_keyd("rekey", self.path("r2"), says="generation 4")
        self.opens(self.path("r2"))

    def test_the_old_generation_is_destroyed(self):
        """Nothing needs it: the log's older part is verified by a key of its own."""
        coffer = [os.environ["COFFER"], "key", "destroy", self.dir + "/keyring.json", "1", "--now", "--yes", "--key-file", self.dir + "/keyring.key"]
        done = subprocess.run(coffer, capture_output=True, text=True, timeout=keyd.TIMEOUT)
        self.assertEqual(done.returncode, REFUSED, done.stderr)
        self.run_keyd("rekey", self.dir)
        done = subprocess.run(coffer, capture_output=True, text=True, timeout=keyd.TIMEOUT)
        self.assertEqual(done.returncode, OK, done.stderr)
        self.assertEqual([g["state"] for g in self.keyring()["generations"] if g["generation"] == 1], ["destroyed"])
        self.opens()
        self.run_keyd("rekey", self.dir)
        self.opens()


class Crash(RekeyCase):
    def test_an_anchor_that_was_not_written(self):
        """The commit is there, the anchor is of before it; so it may be elsewhere, too, and forgotten."""
        self.copy("before")
        self.run_keyd("rekey", self.dir)
        self.put("before", "anchor.json")
        self.copy("again")
        self.opens()
        self.put("before", "anchor.json")
        self.run_keyd("check", self.dir, status=DAMAGED, says="of before the last rekeying")
        self.put("again", "anchor.json", "service.db")
        self.run_keyd("rekey", self.dir)
        self.opens()

    def watch(self):
        """What a rekeying changes, in its order."""
        def look(name):
            try:
                st = os.stat(os.path.join(self.dir, name))
            except FileNotFoundError:
                return None
            return st.st_ino, st.st_size
        return [look(n) for n in ("keyring.json", "service.db-wal", "anchor.json")]

    def kill_at(self, moment):
        """The number of changes that are waited for, or the part of a rekeying's time that it is left."""
        begin = time.monotonic()
        p = subprocess.Popen([KEYD, "rekey", self.dir], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if isinstance(moment, float):
            while time.monotonic() < begin + moment * self.takes:
                time.sleep(0.0005)
        else:
            last, changes = self.watch(), 0
            while changes < moment and p.poll() is None:
                now = self.watch()
                changes += now != last
                last = now
        p.send_signal(signal.SIGKILL)
        p.wait()

    def test_kills(self):
        begin = time.monotonic()
        self.copy("fresh")
        self.run_keyd("rekey", self.dir)
        self.takes = time.monotonic() - begin
        shutil.rmtree(self.dir)
        shutil.copytree(self.path("fresh"), self.dir)
        moments = [*range(2, 6 if SCALE == 1 else 3), *((i + 0.5) / KILLS for i in range(KILLS))]
        os.environ["COFFER_STATE_DIR"] = ""  # the keyring goes back with the rest
        for moment in moments:
            with self.subTest(moment=moment):
                self.kill_at(moment)
                k = self.keyring()
                floor = k["scopes"][0]["floor"]
                generation = self.generation()
                self.assertIn(generation, (1, 3))
                self.assertLessEqual(floor, generation)
                self.run_keyd("check", self.dir)
                self.assertEqual(self.keyring()["scopes"][0]["floor"], generation)
                self.run_keyd("rekey", self.dir)
            shutil.rmtree(self.dir)
            shutil.copytree(self.path("fresh"), self.dir)
        self.run_keyd("rekey", self.dir)
        self.opens()


if __name__ == "__main__":
    unittest.main()
