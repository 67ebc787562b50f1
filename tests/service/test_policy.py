"""The service's policy for volumes, carried out by running mounts (managed_policy.h (1) to (4), lease.h (6))."""

import json
import os
import signal
import sqlite3
import subprocess
import unittest

import keyd
from keyd import USAGE
from test_lease import WRITER, Program
from volumes import Case, Impostor, wait_until

DAY = 86400


class Policy(Case):
    def set_policy(self, *options):
        return self.service_verb("key", "config", "db", *options)

    def told(self):
        return self.service_verb("volumes", "db")["volumes"][0]

    def policy(self):
        return self.lease()["policy"]

    def generations(self):
        keys = json.loads(self.good("key", "list", self.volume, "--json"))["generations"]
        return {g["generation"]: g for g in keys if g["scope"] == 0}

    def test_carried_out(self):
        """Under a program that writes: rotated, re-encrypted, the old ones retired; shown at both ends; withdrawn; nothing by who is away or out of bounds."""
        self.make_volume()
        secret = self.path("secret.key")
        with open(secret, "wb") as f:
            f.write(os.urandom(64))
        self.good("key", "add", self.volume, "--new-key-file", secret)
        point = self.mount("lease=1s")
        with open(point + "/old", "wb") as f:
            f.write(b"old" * 100000)
        self.good("umount", point)
        # Generation 3, of files, is from 40 days ago.
        subprocess.run([os.environ["AGED"], self.volume, secret, "40"], check=True, env=self.env, timeout=keyd.TIMEOUT)
        self.mount("lease=1s")
        writer = Program(self, WRITER, point + "/db")
        wait_until("rows", lambda: len(writer.numbers()) > 5)
        wait_until("generation 3", lambda: self.told().get("generation") == 3)
        before = self.told()
        self.assertEqual((before["floor"], before["generations"]), (1, 2))
        self.assertNotIn("behind", before)
        pid = self.status()["process"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            key = self.set_policy("--volumes-rotate-every", "30d", "--volumes-rotate-after", "2T", "--volumes-keep", "1")
            self.assertTrue(self.told()["behind"])
            self.assertIn("behind the policy", self.good("service", "volumes", "--config", self.path("admin.conf")))
        finally:
            os.kill(pid, signal.SIGCONT)
        self.assertEqual([key["volumes_" + m] for m in ("rotate_every", "rotate_after", "keep")], [30 * DAY, 2 << 40, 1])
        # No user does anything.
        wait_until("generation 5, and nothing older", lambda: (self.told()["generation"], self.told()["floor"]) == (5, 5))
        wait_until("one generation", lambda: self.told()["generations"] == 1)
        after = self.told()
        self.assertFalse(after["behind"])
        self.assertGreater(after["rotated"], before["rotated"])
        self.assertEqual(self.policy(), {"rotate_every": 30 * DAY, "rotate_after": 2 << 40, "keep": 1})
        self.assertIn("policy       of the key service: rotate every 30 days or after 2.0 TiB, keep 1 generation\n",
                      self.good("status", self.volume))
        self.assertRegex(self.good("service", "volumes", "--config", self.path("admin.conf")),
                         r"generation 5, active ones from 2.* on, no verified backup\n    as the policy of its key says\n")
        generations = self.generations()
        self.assertEqual({n: g["state"] for n, g in generations.items()}, {1: "deactivated", 3: "deactivated", 5: "active"})
        self.assertTrue(all(generations[n].get("destroy_at") for n in (1, 3)), generations)
        count = len(writer.numbers())
        wait_until("the writer goes on", lambda: len(writer.numbers()) > count)
        # A service that goes away leaves it as it is; one that is not bound by the bounds changes nothing.
        port = self.running.port
        self.running.kill()
        renewals = self.lease()["renewals"]
        impostor = self.impostor(port, {"rotate_every": 3600})
        impostor.start()
        wait_until("its answer", lambda: impostor.answered and self.lease()["renewals"] > renewals)
        self.assertEqual((self.lease()["state"], self.policy()["rotate_every"]), ("held", 30 * DAY))
        impostor.stop()
        wait_until("that it is away", lambda: self.lease()["state"] == "unreachable")
        self.assertEqual(self.policy()["keep"], 1)
        self.start_again()
        self.set_policy("--volumes-rotate-every", "off", "--volumes-rotate-after", "off", "--volumes-keep", "off")
        wait_until("none", lambda: self.policy() == {"rotate_every": 0, "rotate_after": 0, "keep": 0})
        self.assertNotIn("of the key service:", self.good("status", self.volume))
        writer.stop()
        self.assertFalse(any(line.startswith("away") for line in writer.lines), writer.lines)
        with sqlite3.connect(point + "/db") as d:
            self.assertEqual(d.execute("PRAGMA integrity_check").fetchone(), ("ok",))
            self.assertLessEqual(set(writer.numbers()), {r[0] for r in d.execute("SELECT n FROM t")})
        d.close()
        with open(point + "/old", "rb") as f:
            self.assertEqual(f.read(), b"old" * 100000)
        self.good("umount", point)
        log = self.good("key", "audit", "show", self.volume)
        self.assertIn("service-policy", log)
        self.assertIn("destroy-later", log)
        self.assertRegex(self.good("service", "audit", "show", "--config", self.path("admin.conf")), r"key.config .*volumes_keep=1 ")

    def impostor(self, port, policy):
        """Somebody at the port whom the host believes: its authority has made his certificate."""
        ca, ca_key = self.self_signed("ca2", "basicConstraints=critical,CA:TRUE")
        cert, key = self.path("b.pem"), self.path("b.key")
        keyd.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", self.path("b.csr"),
                     "-subj", "/CN=b", "-addext", "subjectAltName=DNS:localhost")
        keyd.openssl("x509", "-req", "-in", self.path("b.csr"), "-CA", ca, "-CAkey", ca_key, "-out", cert, "-days", "5", "-copy_extensions",
                     "copyall")
        with open(self.dir + "/ca.pem", "a") as f, open(ca) as g:
            f.write(g.read())
        body = {"state": "enabled", "latest": 1, "min_decryption_version": 1, "renew_after": 1, "policy": policy}
        return Impostor(cert, key, ask=self.dir + "/ca.pem", status="200 OK", port=port, body=json.dumps(body))

    def test_refused(self):
        """What lies outside the bounds, in words of the options."""
        self.config("admin")
        self.service_verb("key", "create", "db", "--volumes-keep", "3")
        self.assertEqual(self.service_verb("key", "show", "db")["volumes_keep"], 3)
        conf = ("--config", self.path("admin.conf"))
        self.assertIn("its volumes: keep 3 generations", self.good("service", "key", "show", "db", *conf))
        for option, values, says in (("rotate-every", ("23h", "11y", "1", "0d"), "1d to 10y"),
                                     ("rotate-after", ("1023M", "1025T", "x", "0"), "1G to 1024T"),
                                     ("keep", ("0", "1001", "-1", "all"), "1 to 1000")):
            for value in values:
                self.bad(USAGE, "service", "key", "config", "db", f"--volumes-{option}={value}", *conf, says=says)
        self.bad(USAGE, "service", "key", "config", "db", *conf, says="nothing to set")
        self.assertNotIn("volumes_keep", self.set_policy("--volumes-keep", "off"))


if __name__ == "__main__":
    unittest.main()
