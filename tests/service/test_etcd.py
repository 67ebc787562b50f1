"""Several servers over one etcd: one serves, another one steps in, nothing that was acknowledged is lost (backend_etcd.c (1) to (4)); and the tunnels
between its nodes."""

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
import types
import unittest
import urllib.error
import urllib.request

import hello
import keyd
from keyd import DAMAGED, IN_USE, KEYD, LONG, OK, STORE, USAGE, Case, b64

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


    @unittest.skipUnless(LONG, "for a night")
    def test_start(self):
        """Three nodes of etcd and two servers, ended by one signal; and once more with what is there."""
        script, top = os.path.join(os.environ["SOURCE_ROOT"], "util", "service-etcd.sh"), tempfile.mkdtemp(prefix="coffer-keyd.")
        self.addCleanup(shutil.rmtree, top)
        environment = {**os.environ, "PATH": os.path.dirname(KEYD) + ":" + os.environ["PATH"]}
        for names in ([], ["k"]):
            base = 31790
            p = subprocess.Popen(["sh", script, "start", top, str(base)], stdout=subprocess.PIPE, env=environment, text=True)
            try:
                self.assertTrue(select.select([p.stdout], [], [], 60)[0])
                self.assertRegex(p.stdout.readline(), "^ready: coffer service key list --config ")
                ports = []
                for port in (base + 5, base + 15):
                    with socket.socket() as s:
                        ports += [port] if s.connect_ex(("127.0.0.1", port)) == 0 else []
                self.assertEqual(len(ports), 1)  # one serves
                server = types.SimpleNamespace(dir=top + "/keyd0", port=ports[0])
                a = keyd.Client(server, top + "/keyd0/admin.pem", top + "/keyd0/admin.key")
                self.assertEqual([k["name"] for k in a.get("keys")[1]["keys"]], names)
                if not names:
                    self.assertEqual(a.post("keys/k")[0], 201)
                a.close()
            finally:
                p.terminate()
                self.assertEqual(p.wait(keyd.TIMEOUT), 143)
                p.stdout.close()


@unittest.skipUnless(shutil.which("stunnel4"), "no stunnel here")
class Tunnels(Case):
    """stunnel, as util/service-etcd.sh has it configured, on other ports: what leaves a machine is under the suites of the service, and no other."""

    SUITES = sorted(code for name, code in keyd.SUITES.items() if "ECDSA" in name)  # of its one certificate

    def setUp(self):
        super().setUp()
        self.nodes = [f"n{i}=127.0.0.{i + 1}" for i in range(3)]
        self.out = self.path("out")
        self.ports = {}
        self.script("certificates", self.out, *self.nodes)

    def script(self, *arguments):
        subprocess.run(["sh", os.path.join(os.environ["SOURCE_ROOT"], "util", "service-etcd.sh"), *arguments], check=True, capture_output=True,
                       timeout=keyd.TIMEOUT)

    def start(self, own):
        """Each address has a port of its own, of our choice."""
        self.script("node", self.out, own, *self.nodes)
        with open(self.out + "/stunnel.conf") as f:
            text = f.read()
        for address in sorted(set(re.findall(r"= (127\.0\.0\.\d:\d+)$", text, re.M))):
            at_home = address.startswith("127.0.0.1:23")  # etcd's, or the tunnel to it: not the same on two machines
            port = self.ports.setdefault((own if at_home else "", address), free_port())
            text = re.sub(rf"= {re.escape(address)}$", f"= {address.partition(':')[0]}:{port}", text, flags=re.M)
        conf = self.path(own + ".conf")
        with open(conf, "w") as f:
            f.write(text)
        log = open(self.path(own + ".log"), "wb")
        p = subprocess.Popen(["stunnel4", conf], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)

    def reached(self, port, address="127.0.0.1"):
        end = time.monotonic() + 20
        while True:
            try:
                return socket.create_connection((address, port), timeout=keyd.TIMEOUT)
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def probe(self, port):
        others = [n for n in range(0x10000) if n not in self.SUITES]
        step = 16 if LONG else 700  # each of them is offered; stunnel takes its time for a connection
        for i in range(0, len(others), step):
            self.assertIsNone(hello.ask(port, others[i:i + step]).suite)
        for version in (0x0300, 0x0301, 0x0302):
            self.assertIsNone(hello.ask(port, self.SUITES + [0xC013, 0x002F], version=version).suite, hex(version))
        self.assertIsNone(hello.ask(port, [0x1301, 0x1302, 0x1303] + self.SUITES, versions=[0x0304], key_share=True).suite)
        for signatures in ([0x0203], [0x0303], [0x0201, 0x0301]):
            self.assertIsNone(hello.ask(port, self.SUITES, signatures=signatures).suite, signatures)
        for suite in self.SUITES:
            a = hello.ask(port, [suite], session=os.urandom(32), compression=(1, 0))
            self.assertEqual((a.version, a.suite, a.compression, a.session), (0x0303, suite, 0, b""))
            cbc = {hello.ENCRYPT_THEN_MAC} if suite in (0xC023, 0xC024) else set()
            self.assertEqual(set(a.extensions), {hello.RENEGOTIATION_INFO, hello.EXTENDED_MASTER_SECRET, 11} | cbc)

    def test_the_same_probe(self):
        """Where tunnels arrive: for clients of etcd, and from node to node."""
        self.start("n0")
        for port in (24790, 24791):
            at = self.ports["", f"127.0.0.1:{port}"]
            self.reached(at).close()
            self.probe(at)

    def test_what_is_offered(self):
        with socket.socket() as s:
            s.bind(("127.0.0.2", 0))
            s.listen(1)
            self.ports["", "127.0.0.2:24791"] = s.getsockname()[1]
            self.start("n0")
            with self.reached(self.ports["n0", "127.0.0.1:23801"]) as peer:
                peer.sendall(b"x")
                s.settimeout(keyd.TIMEOUT)
                offer = s.accept()[0]
                data = offer.recv(4096)
                offer.close()
        offer = hello.Offer(data)
        self.assertEqual((offer.version, offer.suites - {0x00FF}), (0x0303, set(self.SUITES)))
        self.assertLessEqual({hello.ENCRYPT_THEN_MAC, hello.EXTENDED_MASTER_SECRET}, offer.extensions)
        self.assertFalse({hello.SUPPORTED_VERSIONS, hello.SESSION_TICKET} & offer.extensions)
        self.assertLessEqual(offer.signatures, set(hello.SIGNATURES))

    def test_a_way_through(self):
        """From one node's end to what listens on the other, for who has a certificate; for nobody else."""
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen(1)
            s.settimeout(keyd.TIMEOUT)
            self.ports["n0", "127.0.0.1:23790"] = s.getsockname()[1]
            self.start("n0")
            self.start("n1")
            self.reached(self.ports["", "127.0.0.1:24790"]).close()
            with self.reached(self.ports["n1", "127.0.0.1:23790"]) as near:
                near.sendall(b"there")
                far = s.accept()[0]
                self.assertEqual(far.recv(5), b"there")
                far.sendall(b"back")
                self.assertEqual(near.recv(4), b"back")
                far.close()
            c = keyd.context(self.out + "/ca.pem")
            c.check_hostname = False
            with self.assertRaises(OSError), socket.create_connection(("127.0.0.1", self.ports["", "127.0.0.1:24790"]), timeout=keyd.TIMEOUT) as p:
                with c.wrap_socket(p) as tls:
                    tls.sendall(b"x")
                    self.assertEqual(tls.recv(1), b"")
                    raise ConnectionResetError


class Servers(Case):
    def setUp(self):
        super().setUp()
        shutil.rmtree(self.dir)
        self.etcd = Cluster(self.top)
        self.addCleanup(self.etcd.end)
        self.option = ("--store", "etcd", "--etcd", self.etcd.urls)
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

    def rows(self):
        """Rows and lines of the service in etcd."""
        found = self.etcd.call(0, "/v3/kv/range", {"key": "Lw==", "range_end": "MA=="})["kvs"]
        all_of_it = {base64.b64decode(kv["key"]).decode(): base64.b64decode(kv.get("value", "")) for kv in found}
        return {name: value for name, value in all_of_it.items() if "/row/" in name or "/line/" in name}

    def put(self, name, value):
        key = base64.b64encode(name.encode()).decode()
        if value is None:
            self.etcd.call(0, "/v3/kv/deleterange", {"key": key})
        else:
            self.etcd.call(0, "/v3/kv/put", {"key": key, "value": base64.b64encode(value).decode()})

    def load(self, name, servers, done, stop):
        """Makes keys, rotates and grants them and uses one, at whichever server answers; notes what was acknowledged."""
        c, i = None, 0
        while not stop.is_set():
            try:
                c = c or self.client(servers[0], self.admin_files + ".pem", self.admin_files + ".key")
                i += 1
                key = f"{name}-{i}"
                for path, body in ((f"keys/{key}", {}), (f"keys/{key}/rotate", {}), (f"keys/{key}/grant", {"client": self.host}),
                                   ("keys/base/1/unwrapkey", self.wrapped)):
                    if c.post(path, **body)[0] in (200, 201):
                        done.append(path)
            except (OSError, ValueError, keyd.http.client.HTTPException):
                c = None
                time.sleep(0.1)

    @unittest.skipUnless(LONG, "ten leaders take their time")
    def test_ten_leaders_are_killed(self):
        """Under load, twice with the server that serves; another one steps in.  What was acknowledged is there, once."""
        one = self.serve(self.dir)
        a, host = self.admin(one), self.accepted(one, "host")
        self.host, self.admin_files = host.fingerprint(), self.dir + "/admin"
        self.good(a.post("keys/base"), 201)
        wrapped = self.good(a.post("keys/base/wrapkey", alg="A256GCM", value=b64(b"a root")))
        self.wrapped = {m: wrapped[m] for m in ("alg", "value", "iv", "tag")}
        two, done, stop, stepped_in = self.standby(self.second), [], threading.Event(), 0
        servers = [one, two]
        threads = [threading.Thread(target=self.load, args=(f"t{t}", servers, done, stop)) for t in range(3)]
        for t in threads:
            t.start()
        try:
            for r in range(10):
                before = len(done)
                leader = self.etcd.leader()
                self.etcd.kill(leader)
                if r % 4 == 3:
                    servers[0].process.kill()
                end = time.monotonic() + 60
                while len(done) < before + 20:
                    self.assertLess(time.monotonic(), end)
                    if servers[0].process.poll() is not None:
                        self.steps_in(servers[1])
                        servers[0].kill()
                        ended = servers.pop(0)
                        servers.append(self.standby(ended.dir))
                        stepped_in += 1
                    time.sleep(0.1)
                self.etcd.start(leader)
                self.etcd.wait(leader)
        finally:
            stop.set()
            for t in threads:
                t.join()
        s = servers[0]
        b = self.client(s, self.admin_files + ".pem", self.admin_files + ".key")
        there = self.good(b.get("keys"))["keys"]
        latest = {k["name"]: k["latest"] for k in there}
        self.assertEqual(len(latest), len(there))
        host = self.client(s, host.cert, host.key)
        granted = [k["name"] for k in self.good(host.get("keys"))["keys"]]
        lines, n = [], 1
        while more := self.good(b.get(f"audit/{n}"))["lines"]:
            lines += more
            n = lines[-1]["n"] + 1
        self.assertEqual([line["n"] for line in lines], list(range(1, n)))
        events = [(line["event"], line.get("key")) for line in lines]
        for path in done:
            key = path.split("/")[1]
            if path.endswith("/unwrapkey"):
                continue
            self.assertIn(key, latest)
            if path.endswith("/rotate"):
                self.assertEqual((latest[key], events.count(("key.rotate", key))), (2, 1), key)
            elif path.endswith("/grant"):
                self.assertEqual((granted.count(key), events.count(("key.grant", key))), (1, 1), key)
            else:
                self.assertEqual(events.count(("key.create", key)), 1, key)
        unwraps = sum(path.endswith("/unwrapkey") for path in done)
        self.assertGreaterEqual(events.count(("unwrap", "base")), unwraps)
        self.assertGreater(unwraps, 10)
        self.assertGreaterEqual(stepped_in, 2)
        print(f"{len(done)} acknowledged, {len(lines)} lines, {stepped_in} times another server stepped in", file=sys.stderr)
        for server in servers:
            server.kill()
        end = time.monotonic() + 30
        status = IN_USE
        while status == IN_USE and time.monotonic() < end:
            status, _, err = keyd.run("check", self.dir, *self.option)
            time.sleep(0.5)
        self.assertEqual(status, OK, err)

    def test_tampering_backup_restore(self):
        s = self.serve(self.dir)
        a = self.admin(s)
        self.good(a.post("keys/k"), 201)
        self.good(a.post("keys/other"), 201)
        old = self.rows()
        self.good(a.post("keys/k/disable"))
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
        rows = self.rows()
        row = next(name for name in rows if name.endswith("/row/key/k"))
        other = next(name for name in rows if name.endswith("/row/key/other"))
        for what, new in (("changed", {row: rows[row].replace(b"disabled", b"enabled ")}), ("cut", {row: rows[row][:20]}),
                          ("swapped", {row: rows[other], other: rows[row]}), ("rolled back", {row: old[row]}), ("gone", {row: None})):
            with self.subTest(what):
                for name, value in new.items():
                    self.put(name, value)
                self.assertEqual(keyd.run("check", self.dir, *self.option)[0], DAMAGED)
                for name in new:
                    self.put(name, rows[name])
                self.assertEqual(keyd.run("check", self.dir, *self.option)[0], OK)
        with self.subTest("all of it rolled back"):  # whole in itself: the anchor knows better
            for name in rows.keys() - old.keys():
                self.put(name, None)
            for name, value in old.items():
                self.put(name, value)
            self.assertEqual(keyd.run("check", self.dir, *self.option)[0], DAMAGED)
        self.etcd.call(0, "/v3/kv/deleterange", {"key": "Lw==", "range_end": "MA=="})
        status, _, err = keyd.run(*back)
        self.assertEqual(status, OK, err)
        s = self.serve(self.path("back"))
        a = self.client(s, self.dir + "/admin.pem", self.dir + "/admin.key")
        self.assertEqual(self.good(a.get("keys/k"))["state"], "disabled")
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
        self.assertEqual(self.good(a.get("keys/k"))["state"], "disabled")

    def test_what_is_refused(self):
        for url in ("https://127.0.0.1:1", "http://192.0.2.1:2379", "127.0.0.1:1", "http://localhost:1", "http://127.0.0.1", ""):
            self.assertEqual(keyd.run("check", self.dir, "--etcd", url)[0], USAGE, url)
        if LONG:  # it is given ten seconds
            self.assertEqual(keyd.run("check", self.dir, "--etcd", f"http://127.0.0.1:{free_port()}")[0], STORE)


if __name__ == "__main__":
    if not shutil.which("etcd"):
        print("skipped: etcd is not installed")
        sys.exit(77)
    unittest.main()
