"""What the scanners of others find on the port: the eight suites, and nothing else.  For a night, where they are installed."""

import re
import shutil
import subprocess
import unittest
import xml.etree.ElementTree

from keyd import SUITES, Case


class Scanners(Case):
    @unittest.skipUnless(shutil.which("sslscan"), "no sslscan here")
    def test_sslscan(self):
        s = self.service()
        done = subprocess.run(["sslscan", "--xml=-", "--no-colour", f"--certs={self.dir}/admin.pem", f"--pk={self.dir}/admin.key",
                               f"127.0.0.1:{s.port}"], capture_output=True, timeout=120)
        top = xml.etree.ElementTree.fromstring(done.stdout[done.stdout.index(b"<?xml"):])
        protocols = {p.get("type") + p.get("version"): p.get("enabled") for p in top.iter("protocol")}
        self.assertEqual({p for p, enabled in protocols.items() if enabled == "1"}, {"tls1.2"}, protocols)
        self.assertIn("tls1.3", protocols)
        ciphers = [(c.get("sslversion"), c.get("cipher")) for c in top.iter("cipher")]
        self.assertEqual(sorted(ciphers), sorted(("TLSv1.2", name) for name in SUITES))
        self.assertEqual([r.get("supported") for r in top.iter("renegotiation")], ["0"])
        self.assertEqual({g.get("name").split()[0] for g in top.iter("group")}, {"secp256r1", "secp384r1", "x25519"})

    @unittest.skipUnless(shutil.which("testssl"), "no testssl.sh here")
    def test_testssl(self):
        """It rates CBC suites as obsolete and possibly open to LUCKY13, whatever the implementation does: the two lines that are expected."""
        s = self.service("--max-per-address", "500", "--max-connections", "1000")
        report = self.path("report.csv")
        subprocess.run(["testssl", "--quiet", "--color", "0", "--warnings", "off", "--csvfile", report, "-p", "-s", "-E", "-f", "-U",
                        f"localhost:{s.port}"], stdin=subprocess.DEVNULL, capture_output=True, timeout=900)
        with open(report) as f:
            text = f.read()
        rows = dict(re.findall(r'^"([^"]+)","[^"]*","[^"]*","[^"]*","([^"]*)"', text, re.M))
        for protocol in ("SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_3"):
            self.assertIn("not offered", rows[protocol], protocol)
        self.assertEqual(rows["TLS1_2"], "offered")
        found = re.findall(r'^"cipher-(\w+?)_x([0-9a-f]+)"', text, re.M)
        self.assertEqual(sorted(found), sorted(("tls1_2", f"{code:04x}") for code in SUITES.values()))
        bad = re.findall(r'^"([^"]+)","[^"]*","[^"]*","(LOW|MEDIUM|HIGH|CRITICAL)"', text, re.M)
        self.assertLessEqual({name for name, _ in bad}, {"cipherlist_AVERAGE", "cipherlist_OBSOLETED", "LUCKY13"}, bad)


if __name__ == "__main__":
    unittest.main()
