"""Several servers over one etcd: one serves, another one steps in, nothing that was acknowledged is lost (backend_etcd.c (1) to (4))."""

import base64
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

import keyd
from keyd import DAMAGED, IN_USE, KEYD, OK, STORE, USAGE, Case, b64

NODES = 3
TAKE_OVER = 30


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Cluster:
    def __init__(self, top):
        self.top, self.nodes = top, [None] * NODES
        self.client = [free_port() for _ in range(NODES)]
        self.peer = [free_port() for _ in range(NODES)]
        self.urls = ",".join(f"http://127.0.0.1:{p}" for p in self.client)
        for i in range(NODES):
            self.start(i, "new")
        for i in range(NODES):
            self.wait(i)

    def start(self, i, state="existing"):
        all_peers = ",".join(f"n{k}=http://127.0.0.1:{p}" for k, p in enumerate(self.peer))
        log = open(f"{self.top}/etcd{i}.log", "ab")
        self.nodes[i] = subprocess.Popen(
            ["etcd", "--name", f"n{i}", "--data-dir", f"{self.top}/etcd{i}", "--listen-client-urls", f"http://127.0.0.1:{self.client[i]}",
             "--advertise-client-urls", f"http://127.0.0.1:{self.client[i]}", "--listen-peer-urls", f"http://127.0.0.1:{self.peer[i]}",
             "--initial-advertise-peer-urls", f"http://127.0.0.1:{self.peer[i]}", "--initial-cluster", all_peers, "--initial-cluster-state", state,
             "--max-txn-ops", "4096", "--max-request-bytes", "10485760", "--logger=zap"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()

    def call(self, i, path, body):
        r = urllib.request.Request(f"http://127.0.0.1:{self.client[i]}{path}", json.dumps(body).encode())
        with urllib.request.urlopen(r, timeout=5) as answer:
            return json.loads(answer.read())

    def wait(self, i):
        end = time.monotonic() + 30
        while True:
            try:
                return self.call(i, "/v3/kv/range", {"key": "AA=="})
            except (OSError, urllib.error.URLError):
                if time.monotonic() > end:
                    with open(f"{self.top}/etcd{i}.log", errors="replace") as f:
                        raise AssertionError(f.read()[-2000:]) from None
                time.sleep(0.1)

    def leader(self):
        status = [self.call(i, "/v3/maintenance/status", {}) for i in range(NODES) if self.nodes[i]]
        leader = next(s["leader"] for s in status if s.get("leader", "0") != "0")
        return next(i for i in range(NODES) if self.nodes[i] and self.call(i, "/v3/maintenance/status", {})["header"]["member_id"] == leader)

    def kill(self, i):
        if self.nodes[i]:
            self.nodes[i].kill()
            self.nodes[i].wait()
        self.nodes[i] = None

    def end(self):
        for i in range(NODES):
            self.kill(i)


class Script(unittest.TestCase):
    """What util/service-etcd.sh writes for three machines: each other's ports, the service's suites, nothing but loopback for etcd."""

    def test_configuration(self):
        script = os.path.join(os.environ["SOURCE_ROOT"], "util", "service-etcd.sh")
        nodes = [f"n{i}=192.0.2.{i + 1}" for i in range(3)]
        top = tempfile.mkdtemp(prefix="coffer-keyd.")
        self.addCleanup(shutil.rmtree, top)

        def run(*arguments):
            return subprocess.run(["sh", script, *arguments], check=True, capture_output=True, text=True, timeout=keyd.TIMEOUT).stdout

        run("certificates", top, *nodes)
        urls, at_home, elsewhere = set(), {}, {}
        for i in range(3):
            keyd.openssl("verify", "-CAfile", f"{top}/ca.pem", "-purpose", "sslserver", f"{top}/n{i}.pem")
            keyd.openssl("verify", "-CAfile", f"{top}/ca.pem", "-purpose", "sslclient", f"{top}/n{i}.pem")
            self.assertEqual(os.stat(f"{top}/n{i}.key").st_mode & 0o077, 0)
            urls.add(re.search(r"--etcd (\S+)", run("node", top, f"n{i}", *nodes))[1])
            with open(f"{top}/etcd.yml") as f:
                etcd = dict(line.strip().split(": ", 1) for line in f)
            with open(f"{top}/stunnel.conf") as f:
                stunnel = f.read()
            for name in ("listen-client-urls", "listen-peer-urls"):
                self.assertTrue(etcd[name].startswith("http://127.0.0.1:"), etcd[name])
            at_home[i] = {int(etcd[n].rpartition(":")[2]) for n in ("listen-client-urls", "listen-peer-urls")}
            self.assertIn(f"n{i}={etcd['listen-peer-urls']}", etcd["initial-cluster"].split(","))
            self.assertLess(set(re.search(r"ciphers = (.*)", stunnel)[1].split(":")), set(keyd.SUITES))
            for line in ("sslVersion = TLSv1.2", "requireCert = yes", "verifyChain = yes", "renegotiation = no"):
                self.assertIn(line + "\n", stunnel)
            for k, accept in re.findall(r"client = yes\naccept = 127\.0\.0\.1:(\d+)\nconnect = 192\.0\.2\.(\d)", stunnel):
                elsewhere.setdefault(int(accept) - 1, set()).add(int(k))
            # What arrives here goes to the ports that etcd has here.
            self.assertEqual({int(p) for p in re.findall(r"client = no\naccept = 192\S+\nconnect = 127\.0\.0\.1:(\d+)", stunnel)}, at_home[i])
        self.assertEqual(elsewhere, at_home)
        self.assertEqual(len(urls), 1)


class Servers(Case):
    def setUp(self):
        super().setUp()
        shutil.rmtree(self.dir)
        self.etcd = Cluster(self.top)
        self.addCleanup(self.etcd.end)
        self.option = ("--etcd", self.etcd.urls)
        status, _, err = keyd.run("init", self.dir, "--host", "localhost", *self.option)
        self.assertEqual(status, OK, err)
        self.assertNotIn("service.db", os.listdir(self.dir))
        self.second = self.path("second")
        shutil.copytree(self.dir, self.second)

    def serve(self, directory, *options):
        s = keyd.Service(directory, *self.option, *options).start()
        self.addCleanup(s.kill)
        return s

    def standby(self, directory):
        s = keyd.Service(directory)
        s.log = open(s.log_file, "ab")
        s.process = subprocess.Popen([KEYD, "run", directory, "--listen", "127.0.0.1:0", *self.option], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=s.log, start_new_session=True)
        self.addCleanup(s.kill)
        self.assertEqual(self.line(s, keyd.TIMEOUT), "waiting: another server has the store\n")
        return s

    def line(self, s, seconds):
        if not select.select([s.process.stdout], [], [], seconds)[0]:
            return ""
        return s.process.stdout.readline().decode()

    def steps_in(self, s):
        found = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", self.line(s, TAKE_OVER))
        self.assertTrue(found, s.logged())
        s.port = int(found[1])

    def good(self, answer, status=200):
        self.assertEqual(answer[0], status, answer)
        return answer[1]

    def test_one_steps_in_for_the_other(self):
        one = self.serve(self.dir)
        a = self.admin(one)
        self.good(a.post("keys/k"), 201)
        wrapped = self.good(a.post("keys/k/wrapkey", alg="A256GCM", value=b64(b"a root")))
        self.good(a.post("keys/gone"), 201)
        self.good(a.post("keys/gone/disable"))
        two = self.standby(self.second)
        self.assertEqual(keyd.run("check", self.path("second"), *self.option)[0], IN_USE)
        one.process.kill()  # its lease has to end first
        begin = time.monotonic()
        self.steps_in(two)
        self.assertGreater(time.monotonic() - begin, 2)
        b = self.client(two, self.dir + "/admin.pem", self.dir + "/admin.key")
        use = {m: wrapped[m] for m in ("alg", "value", "iv", "tag")}
        self.assertEqual(self.good(b.post("keys/k/1/unwrapkey", **use))["value"], b64(b"a root"))
        self.assertEqual(self.good(b.get("keys/gone"))["state"], "disabled")
        self.good(b.post("keys/k/rotate"))
        # One that ends in order gives the store back at once.
        one.kill()
        one = self.standby(self.dir)
        begin = time.monotonic()
        two.stop()
        self.steps_in(one)
        self.assertLess(time.monotonic() - begin, 8)
        a = self.admin(one)
        self.assertEqual(self.good(a.get("keys/k"))["latest"], 2)
        one.stop()
        for d in (self.dir, self.second):
            status, _, err = keyd.run("check", d, *self.option)
            self.assertEqual(status, OK, err)

    def test_nodes_of_etcd_are_lost(self):
        s = self.serve(self.dir)
        a = self.admin(s)
        self.good(a.post("keys/k"), 201)
        leader = self.etcd.leader()
        self.etcd.kill(leader)
        # It waits for the next leader; a commit of which nobody knew is known in the end.
        acknowledged = 1
        for _ in range(5):
            self.good(a.post("keys/k/rotate"))
            acknowledged += 1
        # Without a quorum nothing is acknowledged, and the server ends before another one can step in.
        other = next(i for i in range(NODES) if self.etcd.nodes[i])
        self.etcd.kill(other)
        try:
            status, answer = a.post("keys/k/rotate")
            self.assertEqual(status, 503, answer)
        except (OSError, keyd.http.client.HTTPException):
            pass
        self.assertNotEqual(s.process.wait(30), OK)
        s.kill()
        for i in (leader, other):
            self.etcd.start(i)
        for i in (leader, other):
            self.etcd.wait(i)
        status, _, err = keyd.run("check", self.dir, *self.option)
        end = time.monotonic() + 15
        while status == IN_USE and time.monotonic() < end:
            time.sleep(0.5)
            status, _, err = keyd.run("check", self.dir, *self.option)
        self.assertEqual(status, OK, err)
        a = self.admin(self.serve(self.dir))
        self.assertIn(self.good(a.get("keys/k"))["latest"], (acknowledged, acknowledged + 1))

    def test_a_stopped_one_does_not_answer_later(self):
        """It slept while another one stepped in: what it says then is not what is so."""
        one = self.serve(self.dir)
        a = self.admin(one)
        self.good(a.post("keys/k"), 201)
        self.good(a.get("keys/k"))
        two = self.standby(self.second)
        os.kill(one.process.pid, signal.SIGSTOP)
        self.steps_in(two)
        self.good(self.client(two, self.dir + "/admin.pem", self.dir + "/admin.key").post("keys/k/disable"))
        os.kill(one.process.pid, signal.SIGCONT)
        try:
            self.assertEqual(a.get("keys/k")[0], 503)
        except (OSError, keyd.http.client.HTTPException):
            pass
        self.assertNotEqual(one.process.wait(20), OK)

    def test_large_commits(self):
        """Many requests share a commit, each with as much as it may hold."""
        s = self.serve(self.dir)
        a = self.admin(s)
        self.good(a.post("keys/k"), 201)
        text, statuses = b64(os.urandom(45000)), []

        def send(i):
            c = self.client(s, a.cert, a.key)
            volume = "%032x" % i
            self.good(c.post("keys/k/wrapkey", alg="A256GCM", value=b64(bytes(32)), volume=volume))
            everybody.wait(keyd.TIMEOUT)
            statuses.append(c.post(f"keys/k/volumes/{volume}/keyring", sequence=1, text=text)[0])

        everybody = threading.Barrier(30)
        threads = [threading.Thread(target=send, args=(i,)) for i in range(30)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(statuses, [200] * 30)
        s.stop()
        self.assertEqual(keyd.run("check", self.dir, *self.option)[0], OK)

    def test_tampering_backup_restore(self):
        s = self.serve(self.dir)
        a = self.admin(s)
        self.good(a.post("keys/k"), 201)
        key = self.path("backup.key")
        with open(key, "wb") as f:
            f.write(os.urandom(32))
        file = self.path("backup")
        status, _, err = keyd.run("backup", self.dir, "-o", file, "--backup-key-file", key, *self.option)
        self.assertEqual(status, OK, err)
        s.stop()
        # From etcd into a database, and the other way: there the store must be empty.
        self.assertEqual(keyd.run("restore", self.path("db"), file, "--backup-key-file", key, "--accept-older")[0], OK)
        self.assertEqual(keyd.run("check", self.path("db"))[0], OK)
        back = ("restore", self.path("back"), file, "--backup-key-file", key, "--accept-older", *self.option)
        self.assertEqual(keyd.run(*back)[0], STORE)
        self.assertFalse(os.path.exists(self.path("back")))
        # Somebody else writes into etcd.
        everything = self.etcd.call(0, "/v3/kv/range", {"key": "Lw==", "range_end": "MA=="})["kvs"]
        by_name = {base64.b64decode(kv["key"]).decode(): kv for kv in everything}
        row = next(name for name in by_name if name.endswith("/row/key/k"))
        value = base64.b64decode(by_name[row]["value"])
        for what, new in (("changed", value.replace(b"enabled", b"disable")), ("cut", value[:20]), ("gone", None)):
            with self.subTest(what):
                if new is None:
                    self.etcd.call(0, "/v3/kv/deleterange", {"key": by_name[row]["key"]})
                else:
                    self.etcd.call(0, "/v3/kv/put", {"key": by_name[row]["key"], "value": base64.b64encode(new).decode()})
                self.assertEqual(keyd.run("check", self.dir, *self.option)[0], DAMAGED)
        self.etcd.call(0, "/v3/kv/deleterange", {"key": "Lw==", "range_end": "MA=="})
        status, _, err = keyd.run(*back)
        self.assertEqual(status, OK, err)
        s = self.serve(self.path("back"))
        a = self.client(s, self.dir + "/admin.pem", self.dir + "/admin.key")
        self.assertEqual(self.good(a.get("keys/k"))["state"], "enabled")
        self.assertEqual(keyd.run("rekey", self.path("back"), *self.option)[0], IN_USE)
        s.stop()
        self.rekeyed(self.path("back"))

    def rekeyed(self, directory):
        """In one transaction.  A server that has the keyring of before says so and ends; copied there, it serves."""
        other = self.path("other")
        shutil.copytree(directory, other)
        status, _, err = keyd.run("rekey", directory, *self.option)
        self.assertEqual(status, OK, err)
        status, _, err = keyd.run("run", other, "--listen", "127.0.0.1:0", *self.option)
        self.assertEqual(status, DAMAGED, err)
        self.assertIn("not copied here", err)
        for name in ("keyring.json", "keyring.json.bak", "anchor.json"):
            shutil.copy(os.path.join(directory, name), other)
        a = self.client(self.serve(other), self.dir + "/admin.pem", self.dir + "/admin.key")
        self.assertEqual(self.good(a.get("keys/k"))["state"], "enabled")

    def test_what_is_refused(self):
        for url in ("https://127.0.0.1:1", "http://192.0.2.1:2379", "127.0.0.1:1", "http://localhost:1", "http://127.0.0.1", ""):
            self.assertEqual(keyd.run("check", self.dir, "--etcd", url)[0], USAGE, url)
        self.assertEqual(keyd.run("check", self.dir, "--etcd", f"http://127.0.0.1:{free_port()}")[0], STORE)


if __name__ == "__main__":
    if not shutil.which("etcd"):
        print("skipped: etcd is not installed")
        sys.exit(77)
    unittest.main()
