"""Three machines and a host, as docs/key-service.md sets them up: network namespaces on a switch, etcd behind the tunnels that
util/service-etcd.sh writes, and a mount that goes on when the cable of the machine that serves is pulled."""

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import keyd
from keyd import KEYD
from test_lease import WRITER, Program
from volumes import COFFER, wait_until

SCRIPT = os.path.join(os.environ["SOURCE_ROOT"], "util", "service-etcd.sh")
TAKE_OVER = 60


def missing():
    for program in ("etcd", "stunnel4", "ip", "unshare", "nsenter"):
        if not shutil.which(program):
            return f"{program} is not installed"
    if os.geteuid() != 0:
        return "namespaces with a network between them want root"
    return None


class Machine:
    """A network namespace; the rest is shared."""

    def __init__(self, case, name, address=None, switch=None):
        self.case, self.name, self.address, self.switch = case, name, address, switch
        self.dir = case.path(name)
        os.mkdir(self.dir)
        self.holder = subprocess.Popen(["unshare", "-n", "sleep", "600"], stdin=subprocess.DEVNULL)
        case.addCleanup(self.end)
        wait_until("a namespace", lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
        self.programs = {}
        self.do("ip", "link", "set", "lo", "up")
        if switch:
            switch.do("ip", "link", "add", "name", name, "type", "veth", "peer", "name", "eth0", "netns", str(self.holder.pid))
            switch.do("ip", "link", "set", name, "master", "sw", "up")
            self.do("ip", "address", "add", address + "/24", "dev", "eth0")
            self.do("ip", "link", "set", "eth0", "up")

    def inside(self, *command):
        return ["nsenter", "-t", str(self.holder.pid), "-n", *command]

    def do(self, *command, **more):
        return subprocess.run(self.inside(*command), check=True, capture_output=True, text=True, timeout=keyd.TIMEOUT, **more).stdout

    def start(self, name, *command):
        with open(f"{self.dir}/{name}.log", "ab") as log:
            self.programs[name] = subprocess.Popen(self.inside(*command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if name == "keyd" else log,
                                                   stderr=log, start_new_session=True)
        return self.programs[name]

    def cable(self, how):
        self.switch.do("ip", "link", "set", self.name, how)

    def end(self):
        for p in (*self.programs.values(), self.holder):
            p.send_signal(signal.SIGKILL)
            p.wait(keyd.TIMEOUT)
            if p.stdout:
                p.stdout.close()


class Machines(unittest.TestCase):
    def path(self, *parts):
        return os.path.join(self.top, *parts)

    def setUp(self):
        self.top = tempfile.mkdtemp(prefix="coffer-keyd.")
        self.addCleanup(shutil.rmtree, self.top, ignore_errors=True)
        switch = Machine(self, "switch")
        switch.do("ip", "link", "add", "name", "sw", "type", "bridge")
        switch.do("ip", "link", "set", "sw", "up")
        self.machines = [Machine(self, f"keys-{k}", f"192.0.2.{10 + k}", switch) for k in range(3)]
        self.host = Machine(self, "host", "192.0.2.20", switch)

    def script(self, *arguments):
        return subprocess.run(["sh", SCRIPT, *arguments], check=True, capture_output=True, text=True, timeout=keyd.TIMEOUT).stdout

    def set_up_etcd(self):
        nodes = [f"{m.name}={m.address}" for m in self.machines]
        self.script("certificates", self.path("tunnels"), *nodes)
        for m in self.machines:
            for file in ("ca.pem", m.name + ".pem", m.name + ".key"):
                shutil.copy(self.path("tunnels", file), m.dir)
            said = self.script("node", m.dir, m.name, *nodes)
            m.start("stunnel", "stunnel4", *re.search(r"^stunnel (.*)$", said, re.M)[1].split())
            m.start("etcd", *re.search(r"^(etcd .*)$", said, re.M)[1].split(), "--logger=zap")
            self.urls = re.search(r"--etcd (\S+)", said)[1]

    def set_up_service(self):
        first = self.machines[0]
        command = [KEYD, "init", first.dir + "/d", *(w for m in self.machines for w in ("--host", m.address)), "--etcd", self.urls]
        end = time.monotonic() + TAKE_OVER  # until the nodes have found each other
        while subprocess.run(first.inside(*command), capture_output=True, timeout=keyd.TIMEOUT).returncode != 0:
            self.assertLess(time.monotonic(), end)
            shutil.rmtree(first.dir + "/d", ignore_errors=True)
            time.sleep(0.5)
        os.mkdir(self.path("admin"))
        for file in ("admin.pem", "admin.key", "admin.p12"):
            shutil.move(first.dir + "/d/" + file, self.path("admin"))
        for m in self.machines[1:]:
            shutil.copytree(first.dir + "/d", m.dir + "/d")
        for m in self.machines:
            m.start("keyd", KEYD, "run", m.dir + "/d", "--listen", m.address + ":8443", "--etcd", self.urls)
        self.serving()
        urls = ", ".join(f"https://{m.address}:8443" for m in self.machines)
        shutil.copy(first.dir + "/d/ca.pem", self.path("ca.pem"))
        for who, where in (("admin", "admin/admin"), ("host", "host/host")):
            with open(self.path(who + ".conf"), "w") as f:
                f.write(f"service = {urls}\nca = ca.pem\ncert = {where}.pem\nkey = {where}.key\n")

    def serving(self, *but):
        """The machine that says it listens, of those that have not said so before."""
        found, end = None, time.monotonic() + TAKE_OVER
        while not found:
            out = {m.programs["keyd"].stdout: m for m in self.machines if m not in but}
            for f in select.select(list(out), [], [], max(0, end - time.monotonic()))[0]:
                line = f.readline().decode()
                self.assertTrue(line, "a server has ended")
                if line.startswith("listening on "):
                    found = out[f]
        return found

    def coffer(self, *arguments):
        env = {**os.environ, "COFFER_STATE_DIR": self.path("state"), "XDG_RUNTIME_DIR": self.top}
        r = subprocess.run(self.host.inside(COFFER, *arguments), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=keyd.TIMEOUT, env=env,
                           start_new_session=True)
        self.assertEqual(r.returncode, 0, (arguments, r.stderr))
        return r.stdout

    def service(self, *arguments, by="admin"):
        return json.loads(self.coffer("service", *arguments, "--config", self.path(by + ".conf"), "--json"))

    def lease(self):
        return json.loads(self.coffer("status", self.path("v"), "--json"))["process"]["lease"]

    def test_a_cable_is_pulled(self):
        self.set_up_etcd()
        self.set_up_service()
        self.service("key", "create", "db")
        pending = self.service("client", "register", by="host")
        self.service("client", "accept", pending["fingerprint"])
        self.service("key", "grant", "db", pending["fingerprint"])
        self.service("client", "register", by="host")
        self.coffer("init", self.path("v"), "--service-key", "db", "--service-config", self.path("host.conf"))
        point = self.path("m")
        os.mkdir(point)
        self.coffer("mount", self.path("v"), point, "-o", "lease=1s,grace=5m")
        self.addCleanup(subprocess.run, ["umount", "-l", point], capture_output=True)
        # What leaves a machine goes through the tunnels: etcd itself is not to be had from elsewhere.
        with self.assertRaises(subprocess.CalledProcessError):
            self.host.do("python3", "-c", "import socket; socket.create_connection(('192.0.2.10', 23790), timeout=5)")
        writer = Program(self, WRITER, point + "/db")
        wait_until("rows", lambda: len(writer.numbers()) > 20)
        renewals, now = self.lease()["renewals"], next(m for m in self.machines if self.answers(m))
        now.cable("down")
        before = time.monotonic()
        self.serving(now)
        wait_until("a yes of another machine", lambda: self.lease()["renewals"] > renewals + 1 and self.lease()["state"] == "held", TAKE_OVER)
        print(f"held again after {time.monotonic() - before:.0f} s", file=sys.stderr)
        self.service("key", "disable", "db")
        wait_until("denied", lambda: self.lease()["state"] == "denied")
        # The machine comes back: what it thought does not count.
        now.cable("up")
        self.assertNotEqual(now.programs["keyd"].wait(keyd.TIMEOUT), 0)
        self.assertEqual(self.lease()["state"], "denied")
        self.service("key", "enable", "db")
        wait_until("held", lambda: self.lease()["state"] == "held")
        count = len(writer.numbers())
        wait_until("rows", lambda: len(writer.numbers()) > count + 3)
        writer.stop()
        self.coffer("umount", point)
        self.service("audit", "verify")

    def answers(self, m):
        r = subprocess.run(self.host.inside("python3", "-c", f"import socket; socket.create_connection(('{m.address}', 8443), timeout=5)"), capture_output=True,
                           timeout=keyd.TIMEOUT)
        return r.returncode == 0


if __name__ == "__main__":
    if missing():
        print("skipped: " + missing())
        sys.exit(77)
    unittest.main()
