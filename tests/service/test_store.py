"""What the key service keeps: made whole or not at all, changed by nobody else unseen, nothing acknowledged ever lost
(ledger.c (1) to (6), backend_sqlite.c (1) to (3))."""

import json
import os
import random
import resource
import shutil
import sqlite3
import stat
import subprocess
import threading
import time
import unittest

import keyd
from keyd import DAMAGED, FAILED, IN_USE, LONG, NO_SECRET, NOT_EMPTY, NOT_VOLUME, OK, SCALE, STORE, USAGE, WRONG_SECRET, Case, Client, b64


def health(s):
    c = keyd.http.client.HTTPConnection("127.0.0.1", s.metrics_port, timeout=keyd.TIMEOUT)
    c.request("GET", "/health")
    r = c.getresponse()
    answer = r.status, json.loads(r.read())
    c.close()
    return answer


class Init(Case):
    def test_what_is_made(self):
        names = {"ca.pem", "admin.pem", "admin.key", "admin.p12", "keyring.json", "keyring.json.bak", "keyring.json.audit",
                 "keyring.key", "service.db", "anchor.json"}
        self.assertEqual(names, set(os.listdir(self.dir)) - {"keyring.json.lock"})
        for name in os.listdir(self.dir):
            self.assertEqual(os.stat(os.path.join(self.dir, name)).st_mode & 0o077, 0, name)
        text = keyd.openssl("x509", "-in", self.dir + "/admin.pem", "-noout", "-ext", "extendedKeyUsage,basicConstraints").decode()
        self.assertIn("TLS Web Client Authentication", text)
        self.assertIn("CA:FALSE", text)
        keyd.openssl("verify", "-CAfile", self.dir + "/ca.pem", "-purpose", "sslclient", self.dir + "/admin.pem")
        self.assertIn(b"CA:TRUE, pathlen:0",
                      keyd.openssl("x509", "-in", self.dir + "/ca.pem", "-noout", "-ext", "basicConstraints"))
        out = keyd.openssl("pkcs12", "-in", self.dir + "/admin.p12", "-passin", "pass:", "-nodes")
        self.assertEqual(out.count(b"BEGIN CERTIFICATE"), 2)
        self.assertIn(b"PRIVATE KEY", out)
        # No private key of the service lies there in the clear.
        with sqlite3.connect(f"file:{self.dir}/service.db?mode=ro", uri=True) as db:
            for name, body in db.execute("SELECT name, body FROM row WHERE name LIKE 'tls/%'"):
                self.assertEqual(set(json.loads(body)), {"certificate", "sealed"}, name)

    def test_what_is_refused(self):
        other = self.path("other")
        for arguments, status in (
                (("init", other), USAGE), (("init", other, "--host", "a b"), USAGE), (("init", other, "--host", "*.example"), USAGE),
                (("init", other, "--host", "-x"), USAGE), (("init", self.dir, "--host", "localhost"), NOT_EMPTY),
                (("init", self.path("a", "b"), "--host", "localhost"), STORE),
                (("init", other, "--host", "h", "--passphrase-file", self.path("none")), NO_SECRET),
                (("run", other, "--listen", "127.0.0.1:0"), NOT_VOLUME), (("run", self.dir), USAGE),
                (("run", self.dir, "--listen", "nothing"), USAGE), (("run", self.dir, "--listen", "localhost:1"), USAGE),
                (("run", self.dir, "--listen", "127.0.0.1:99999"), USAGE), (("run", self.dir, "--listen", "192.0.2.1:1"), FAILED),
                (("run", self.top, "--listen", "127.0.0.1:0"), NOT_VOLUME), (("fly", self.dir), USAGE), ((), USAGE),
                (("run", self.dir, "--listen", "127.0.0.1:0", "--key-file", self.dir + "/ca.pem"), WRONG_SECRET)):
            with self.subTest(arguments=arguments):
                got, out, err = keyd.run(*arguments)
                self.assertEqual((got, out), (status, ""), err)
                self.assertEqual(err.count("\n"), 1, err)
        self.assertFalse(os.path.exists(other))

    @unittest.skipIf(SCALE > 1, "a passphrase takes its seconds")
    def test_in_an_empty_directory_under_a_passphrase(self):
        top, secret = self.path("empty"), self.path("passphrase")
        os.mkdir(top)
        os.chmod(top, 0o750)
        with open(secret, "w") as f:
            f.write("correct horse\n")
        status, _, err = keyd.run("init", top, "--host", "::1", "--host", "keys.example", "--passphrase-file", secret)
        self.assertEqual(status, OK, err)
        self.assertEqual(stat.S_IMODE(os.stat(top).st_mode), 0o750)
        self.assertNotIn("keyring.key", os.listdir(top))
        self.assertEqual(keyd.run("check", top)[0], NO_SECRET)
        with open(secret, "w") as f:
            f.write("wrong horse\n")
        self.assertEqual(keyd.run("check", top, "--passphrase-file", secret)[0], WRONG_SECRET)

    def test_one_at_a_time(self):
        self.service()
        status, _, err = keyd.run("run", self.dir, "--listen", "127.0.0.1:0")
        self.assertEqual(status, IN_USE, err)


class Tampering(Case):
    """Somebody writes into the database, or puts back an older one.  Found at the start, or when the row is used."""

    def setUp(self):
        super().setUp()
        s = self.service()
        a = self.admin(s)
        for name in ("k", "other"):
            self.assertEqual(a.post("keys/" + name)[0], 201)
        self.assertEqual(a.post("keys/k/disable")[0], 200)
        s.stop()
        self.copy("before")

    def copy(self, name):
        shutil.copytree(self.dir, self.path(name))

    def sql(self, *statements):
        with sqlite3.connect(self.dir + "/service.db") as db:
            for s in statements:
                self.assertGreater(db.execute(s).rowcount, 0, s)
        db.close()

    def damaged(self, why):
        status, _, err = keyd.run("check", self.dir)
        self.assertEqual(status, DAMAGED, err)
        self.assertIn(why, err)
        if SCALE == 1:
            self.assertEqual(keyd.run("run", self.dir, "--listen", "127.0.0.1:0")[0], DAMAGED)
        shutil.rmtree(self.dir)
        shutil.copytree(self.path("before"), self.dir)
        if SCALE == 1:
            self.assertEqual(keyd.run("check", self.dir)[0], OK)

    def test_rows(self):
        for what, statement in (
                ("changed", "UPDATE row SET body = replace(body, 'disabled', 'enabled') WHERE name = 'key/k'"),
                ("of another revision", "UPDATE row SET revision = revision + 1 WHERE name = 'key/k'"),
                ("with another MAC", "UPDATE row SET mac = (SELECT mac FROM row WHERE name = 'key/other') WHERE name = 'key/k'"),
                ("swapped", "UPDATE row SET (body, mac, revision) = (SELECT body, mac, revision FROM row WHERE name = 'version/other/1') "
                            "WHERE name = 'version/k/1'"),
                ("renamed", "UPDATE row SET name = 'key/new' WHERE name = 'key/k'"),
                ("added", "INSERT INTO row SELECT 'key/copy', revision, body, mac FROM row WHERE name = 'key/k'"),
                ("removed", "DELETE FROM row WHERE name = 'key/k'"),
                ("removed, all", "DELETE FROM row")):
            with self.subTest(row=what):
                self.sql(statement)
                self.damaged("row ")

    def test_a_row_put_back(self):
        """With its own, once valid, revision and MAC."""
        with sqlite3.connect(self.dir + "/service.db") as db:
            old = db.execute("SELECT body, mac, revision FROM row WHERE name = 'key/k'").fetchone()
        db.close()
        s = self.service()
        self.assertEqual(self.admin(s).post("keys/k/enable")[0], 200)
        s.stop()
        shutil.rmtree(self.path("before"))
        self.copy("before")
        with sqlite3.connect(self.dir + "/service.db") as db:
            db.execute("UPDATE row SET body = ?, mac = ?, revision = ? WHERE name = 'key/k'", old)
        db.close()
        self.damaged("row key/k is not what its log says")

    def test_lines(self):
        for what, statement in (
                ("changed", "UPDATE audit SET line = replace(line, 'key.disable', 'key.enabled') WHERE line LIKE '%key.disable%'"),
                ("removed in the middle", "DELETE FROM audit WHERE n = 3"),
                ("removed at the beginning", "DELETE FROM audit WHERE n = 1"),
                ("removed at the end", "DELETE FROM audit WHERE n = (SELECT max(n) FROM audit)"),
                ("no line", "UPDATE audit SET line = 'x' WHERE n = (SELECT max(n) FROM audit)"),
                ("twice", "INSERT INTO audit SELECT n + 1000, line FROM audit WHERE n = 2"),
                ("exchanged", "UPDATE audit SET line = (SELECT line FROM audit WHERE n = 2) WHERE n = 3")):
            with self.subTest(line=what):
                self.sql(statement)
                self.damaged("changed by somebody else")

    def test_an_older_database(self):
        """Whole in itself, but the anchor knows better."""
        s = self.service()
        self.assertEqual(self.admin(s).post("keys/k/enable")[0], 200)
        s.stop()
        with open(self.path("before", "service.db"), "rb") as f:
            old = f.read()
        shutil.rmtree(self.path("before"))
        self.copy("before")
        with open(self.dir + "/service.db", "wb") as f:
            f.write(old)
        self.damaged("older than the anchor")

    def test_the_anchor(self):
        anchor = self.dir + "/anchor.json"
        with open(anchor) as f:
            text = f.read()
        for wrong in (text.replace('"n":', '"n":1'), text[:50], "", "{}\n", text.replace("link", "lint")):
            with self.subTest(anchor=wrong):
                with open(anchor, "w") as f:
                    f.write(wrong)
                self.damaged("the anchor")
        os.unlink(anchor)
        status, _, err = keyd.run("check", self.dir)
        self.assertNotEqual(status, OK)
        self.assertIn("the anchor", err)

    def test_an_anchor_elsewhere(self):
        elsewhere = self.path("elsewhere.json")
        shutil.move(self.dir + "/anchor.json", elsewhere)
        self.assertNotEqual(keyd.run("check", self.dir)[0], OK)
        self.assertEqual(keyd.run("check", self.dir, "--anchor", elsewhere)[0], OK)
        s = self.service("--anchor", elsewhere)
        self.assertEqual(self.admin(s).get("keys")[0], 200)
        s.stop()
        self.assertEqual(keyd.run("check", self.dir, "--anchor", elsewhere)[0], OK)
        self.assertFalse(os.path.exists(self.dir + "/anchor.json"))

    def test_the_anchor_follows(self):
        """Within a second, while the service runs; where it cannot be written the health check says so."""
        os.mkdir(self.path("there"))
        anchor = self.path("there", "anchor.json")
        shutil.move(self.dir + "/anchor.json", anchor)
        s = self.service("--anchor", anchor, "--metrics", "127.0.0.1:0")
        a = self.admin(s)

        def wait(state, seconds=5):
            began = time.monotonic()
            while state() is not True:
                self.assertLess(time.monotonic() - began, seconds * SCALE)
                time.sleep(0.02)

        def reached():
            with open(anchor) as f:
                return json.load(f)["n"] == a.get("audit/1000000")[1]["last"]

        self.assertEqual(a.post("keys/k/enable")[0], 200)
        wait(reached)
        os.rename(self.path("there"), self.path("away"))
        self.assertEqual(a.post("keys/k/disable")[0], 200)
        wait(lambda: health(s) == (503, {"status": "failing", "why": "the anchor cannot be written"}))
        os.rename(self.path("away"), self.path("there"))
        wait(reached)
        wait(lambda: health(s) == (200, {"status": "ok"}))

    def test_a_foreign_keyring(self):
        other = self.path("other")
        self.assertEqual(keyd.run("init", other, "--host", "localhost")[0], OK)
        for name in ("keyring.json", "keyring.json.bak", "keyring.key", "keyring.json.audit"):
            shutil.copy(os.path.join(other, name), self.dir)
        self.damaged("")

    def test_while_it_runs(self):
        """The pages below are written while SQLite holds its lock: what it reads next is not what was committed."""
        s = self.service()
        a = self.admin(s)
        self.assertEqual(a.get("keys/other")[0], 200)
        path = self.dir + "/service.db"
        with open(path, "r+b") as f:
            data = f.read()
            at = data.rindex(b'"state":"disabled"')
            f.seek(at)
            f.write(b'"state":"enabled" ')
        status, answer = a.get("keys/k")
        if status == 200:  # a page that SQLite still has in memory
            self.assertEqual(answer["state"], "disabled")
        else:
            self.assertEqual((status, answer["error"]["code"]), (500, "store_damaged"))
            s.wait_logged("row key/k of the store was changed or removed")
        s.kill()
        status, _, err = keyd.run("check", self.dir)
        self.assertEqual(status, DAMAGED, err)

    def test_another_connection_while_it_runs(self):
        """What the service has in memory is held against the log again once somebody else has written to the database, whatever it was."""
        s = self.service()
        a = self.admin(s)
        for row in ("key/other", "version/other/1", "client/"):
            with self.subTest(row=row):
                for _ in range(2):  # from memory, the second time
                    self.assertEqual(a.post("keys/other/wrapkey", alg="A256GCM", value=b64(b"v" * 32))[0], 200)
                with sqlite3.connect(self.dir + "/service.db") as db:
                    before = db.execute("SELECT name, body FROM row WHERE name LIKE ? || '%'", (row,)).fetchall()
                    db.execute("UPDATE row SET body = body || ' ' WHERE name LIKE ? || '%'", (row,))
                self.assertEqual(a.post("keys/other/wrapkey", alg="A256GCM", value=b64(b"v" * 32))[0], 500)
                s.wait_logged("row " + row)
                with db:
                    db.executemany("UPDATE row SET body = ?2 WHERE name = ?1", before)
                db.close()
                self.assertEqual(a.post("keys/other/wrapkey", alg="A256GCM", value=b64(b"v" * 32))[0], 200)


class Full(Case):
    """The disk takes nothing more, or fails."""

    def test_a_failed_write(self):
        """Whether it reached the disk nobody knows: the service ends, and begins again from what is there."""
        s = self.service()
        a = self.admin(s)
        created = []
        self.assertEqual(a.post("keys/first")[0], 201)
        limit = max(os.stat(os.path.join(self.dir, n)).st_size for n in os.listdir(self.dir) if n.startswith("service.db")) + 65536
        resource.prlimit(s.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
        with self.assertRaises((OSError, AssertionError, keyd.http.client.HTTPException)):
            for i in range(1000):
                status, answer = a.post(f"keys/k{i}")
                if status != 201:
                    self.assertEqual((status, answer["error"]["code"]), (503, "unavailable"))
                    raise AssertionError
                created.append(f"k{i}")
        self.assertGreater(len(created), 3)
        self.assertEqual(s.end(), STORE)
        s = self.service()
        names = {k["name"] for k in self.admin(s).get("keys")[1]["keys"]}
        self.assertLessEqual({"first", *created}, names)
        self.assertLessEqual(len(names), len(created) + 2)

    @unittest.skipUnless(os.geteuid() == 0, "mounts a small file system")
    def test_no_space(self):
        small = self.path("small")
        os.mkdir(small)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "small", small], capture_output=True).returncode != 0:
            self.skipTest("cannot mount")
        self.addCleanup(subprocess.run, ["umount", "-l", small])
        shutil.copytree(self.dir, small + "/d")
        self.dir = small + "/d"
        s = keyd.Service(self.dir, "--metrics", "127.0.0.1:0")
        s.log_file = self.path("log")
        self.addCleanup(s.kill)
        s.start()
        a = self.admin(s)
        self.assertEqual(a.post("keys/first")[0], 201)
        w = a.post("keys/first/wrapkey", alg="A256GCM", value=b64(b"x" * 32))[1]
        wrapped = {m: w[m] for m in ("alg", "value", "iv", "tag")}
        filler = os.open(small + "/filler", os.O_WRONLY | os.O_CREAT)
        try:
            while True:
                os.write(filler, b"x" * 4096)
        except OSError:
            os.close(filler)
        created, status = 0, 201
        while status == 201 and created < 1000:
            status, answer = a.post(f"keys/k{created}")
            created += status == 201
        self.assertEqual((status, answer["error"]["code"]), (503, "unavailable"))
        # Without a line in the log nobody gets what he asks for.
        unwrapped, status = 0, 200
        while status == 200 and unwrapped < 1000:
            status, answer = a.post("keys/first/1/unwrapkey", **wrapped)
            unwrapped += status == 200
        self.assertEqual((status, answer["error"]["code"]), (503, "unavailable"))
        self.assertNotIn("value", answer)
        self.assertEqual(health(s), (503, {"status": "failing", "why": "the store took nothing at the last commit"}))
        self.assertEqual(len(a.get("keys")[1]["keys"]), created + 1)
        os.unlink(small + "/filler")
        self.assertEqual(a.post("keys/later")[0], 201)
        self.assertEqual(health(s), (200, {"status": "ok"}))
        a.close()
        s.stop()
        with sqlite3.connect(self.dir + "/service.db") as db:
            self.assertEqual(db.execute("SELECT count(*) FROM audit WHERE line LIKE '%\"event\":\"unwrap\"%'").fetchone(), (unwrapped,))
        db.close()
        self.assertEqual(keyd.run("check", self.dir)[0], OK)


class Kills(Case):
    """SIGKILL at random moments under load: what was acknowledged is there, once."""

    def load(self, s, name, created, unwraps, wrapped):
        c = Client(s, self.dir + "/admin.pem", self.dir + "/admin.key")
        i = 0
        try:
            while True:
                i += 1
                key = f"{name}-{i}"
                if c.post("keys/" + key)[0] == 201:
                    created.append(key)
                    if c.post(f"keys/{key}/rotate")[0] == 200:
                        created.append(key + "/2")
                    if c.post(f"keys/{key}/grant", client=self.host)[0] == 200:
                        self.granted.append(key)
                status, answer = c.post("keys/base/1/unwrapkey", **wrapped)
                if status == 200:
                    unwraps.append(answer["value"])
        except (OSError, ValueError, keyd.http.client.HTTPException):
            c.close()

    def test_kills(self):
        rounds = 100 if LONG else 4 if SCALE == 1 else 2
        moments = random.Random(15)
        created, unwraps = [], []
        self.granted = []
        s = self.service()
        a = self.admin(s)
        host = self.accepted(s, "host")
        self.host = host.fingerprint()
        self.assertEqual(a.post("keys/base")[0], 201)
        answer = a.post("keys/base/wrapkey", alg="A256GCM", value=b64(b"x" * 32))[1]
        wrapped = {m: answer[m] for m in ("alg", "value", "iv", "tag")}
        a.close()
        for r in range(rounds):
            threads = [threading.Thread(target=self.load, args=(s, f"r{r}-{t}", created, unwraps, wrapped)) for t in range(3)]
            for t in threads:
                t.start()
            time.sleep(moments.uniform(0.05, 0.4))
            s.kill()
            for t in threads:
                t.join()
            s = self.service()  # which checks every row and every line
        a = self.admin(s)
        status, answer = a.get("keys")
        self.assertEqual(status, 200)
        there = {k["name"]: k["latest"] for k in answer["keys"]}
        self.assertEqual(len(there), len(answer["keys"]))
        for name in created:
            key, _, version = name.partition("/")
            self.assertGreaterEqual(there.get(key, 0), int(version or 1), name)
        host = self.client(s, host.cert, host.key)
        may = [k["name"] for k in host.get("keys")[1]["keys"]]
        self.assertEqual((len(may), set(self.granted) - set(may)), (len(set(may)), set()))
        self.assertGreater(len(may), 0)
        self.assertEqual(a.post("keys/base/1/unwrapkey", **wrapped)[1]["value"], b64(b"x" * 32))
        s.stop()
        with sqlite3.connect(self.dir + "/service.db") as db:
            events = [json.loads(line)["event"] for (line,) in db.execute("SELECT line FROM audit ORDER BY n")]
        db.close()
        # Each answer has its line; a line may be without an answer, where the kill came between.
        self.assertGreaterEqual(events.count("unwrap"), len(unwraps) + 1)
        self.assertLessEqual(events.count("unwrap"), len(unwraps) + 1 + 3 * rounds)
        self.assertEqual(events.count("key.create"), len(there))
        self.assertEqual(events.count("key.rotate"), sum(there.values()) - len(there))
        self.assertEqual(events.count("key.grant"), len(may))
        self.assertGreater(len(unwraps), rounds)

    def test_many_share_a_commit(self):
        """With 16 clients there are fewer commits than answers."""
        s = self.service("--metrics", "127.0.0.1:0")
        a = self.admin(s)
        self.assertEqual(a.post("keys/base")[0], 201)
        answer = a.post("keys/base/wrapkey", alg="A256GCM", value=b64(b"x" * 32))[1]
        wrapped = {m: answer[m] for m in ("alg", "value", "iv", "tag")}
        done = []

        def work():
            c = Client(s, self.dir + "/admin.pem", self.dir + "/admin.key")
            for _ in range(10):
                done.append(c.post("keys/base/1/unwrapkey", **wrapped)[0])
            c.close()

        threads = [threading.Thread(target=work) for _ in range(16)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(done, [200] * 160)
        numbers = s.numbers()
        self.assertEqual((numbers["unwraps_total"], numbers["answers_ok_total"]), (160, 162))
        self.assertLess(numbers["commits_total"], 162)
        s.stop()
        self.assertEqual(keyd.run("check", self.dir)[0], OK)


if __name__ == "__main__":
    unittest.main()
