"""Two servers over one etcd and a mount that knows both: it goes on at the next one by itself, and each of them can lock it."""

import re
import select
import shutil
import sqlite3
import subprocess
import sys
import time
import unittest

import keyd
from keyd import KEYD, OK
from test_etcd import TAKE_OVER, Cluster, free_port
from test_lease import WRITER, Program
from volumes import Case, wait_until


class Failover(Case):
    def service(self, *options):
        """The others begin with one; here it is one of two, over etcd, at ports that stay."""
        shutil.rmtree(self.dir)
        self.etcd = Cluster(self.top)
        self.addCleanup(self.etcd.end)
        self.option = ("--etcd", self.etcd.urls)
        self.assertEqual(keyd.run("init", self.dir, "--host", "localhost", *self.option)[0], OK)
        self.second = self.path("second")
        shutil.copytree(self.dir, self.second)
        self.ports = {self.dir: free_port(), self.second: free_port()}
        first = self.start(self.dir)
        self.wait_said(first, "listening")
        return first

    def start(self, directory):
        s = keyd.Service(directory)
        s.log, s.port = open(s.log_file, "ab"), self.ports[directory]
        s.process = subprocess.Popen([KEYD, "run", directory, "--listen", f"127.0.0.1:{s.port}", *self.option],
                                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=s.log, start_new_session=True)
        self.addCleanup(s.kill)
        return s

    def wait_said(self, s, what):
        if not select.select([s.process.stdout], [], [], TAKE_OVER)[0]:
            self.fail(s.logged())
        self.assertRegex(s.process.stdout.readline().decode(), f"^{re.escape(what)}")

    def config(self, name, port=None, **more):
        both = ", ".join(f"https://localhost:{p}" for p in self.ports.values())
        return super().config(name, port, **({"service": both} | more))

    def test_a_mount_goes_on_at_the_next_server(self):
        self.make_volume()
        two = self.start(self.second)
        self.wait_said(two, "waiting: another server has the store")
        point = self.mount("lease=1s", "grace=5m")
        writer = Program(self, WRITER, point + "/db")
        wait_until("rows", lambda: len(writer.numbers()) > 20)
        one, servers = self.running, {}
        for ends in range(3):
            renewals = self.lease()["renewals"]
            if ends == 1:
                self.etcd.kill(self.etcd.leader())
            one.kill()
            before = time.monotonic()
            self.wait_said(two, "listening on")
            wait_until("a yes of the other server", lambda n=renewals: self.lease()["renewals"] > n + 1 and self.lease()["state"] == "held", TAKE_OVER)
            servers[ends] = time.monotonic() - before
            if ends == 1:
                for i in range(len(self.etcd.nodes)):
                    if not self.etcd.nodes[i]:
                        self.etcd.start(i)
                        self.etcd.wait(i)
            # The verbs go on by themselves as well; what they take away, the mount hears there.
            self.service_verb("key", "disable", "db")
            wait_until("denied", lambda: self.lease()["state"] == "denied")
            self.service_verb("key", "enable", "db")
            wait_until("held", lambda: self.lease()["state"] == "held")
            count = len(writer.numbers())
            wait_until("rows", lambda n=count: len(writer.numbers()) > n + 3)
            one, two = two, self.start(one.dir)
            self.wait_said(two, "waiting: another server has the store")
        writer.stop()
        print("held again after", ", ".join(f"{s:.0f} s" for s in servers.values()), file=sys.stderr)
        self.good("umount", point)
        self.good("mount", self.volume, point)
        with sqlite3.connect(point + "/db") as d:
            self.assertLessEqual(set(writer.numbers()), {r[0] for r in d.execute("SELECT n FROM t")})
        d.close()
        self.good("umount", point)
        log = self.service_verb("audit", "verify")
        self.assertGreater(log["lines"], 20)


if __name__ == "__main__":
    if not shutil.which("etcd"):
        print("skipped: etcd is not installed")
        sys.exit(77)
    unittest.main()
