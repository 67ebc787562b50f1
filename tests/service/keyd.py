"""What the tests of the key service share: a service of one's own, clients with certificates, never a hang."""

import base64
import functools
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

KEYD = os.environ.get("COFFER_KEYD") or sys.exit("COFFER_KEYD is not set: run the tests by meson")
TIMEOUT = 60
LONG = bool(os.environ.get("COFFER_TEST_LONG"))
SCALE = int(os.environ.get("COFFER_TEST_SCALE", "1"))

# Exit statuses, as coffer(1) lists them.
OK, FAILED, USAGE, WRONG_SECRET, NOT_VOLUME, DAMAGED, IN_USE, UNSUPPORTED = range(8)
NOT_EMPTY, NO_SECRET, STORE = 10, 11, 12

# What TLS may negotiate: OpenSSL's name and the code point (RFC 5289).
SUITES = {
    "ECDHE-ECDSA-AES256-GCM-SHA384": 0xC02C,
    "ECDHE-RSA-AES256-GCM-SHA384": 0xC030,
    "ECDHE-ECDSA-AES128-GCM-SHA256": 0xC02B,
    "ECDHE-RSA-AES128-GCM-SHA256": 0xC02F,
    "ECDHE-ECDSA-AES256-SHA384": 0xC024,
    "ECDHE-RSA-AES256-SHA384": 0xC028,
    "ECDHE-ECDSA-AES128-SHA256": 0xC023,
    "ECDHE-RSA-AES128-SHA256": 0xC027,
}

os.environ["COFFER_STATE_DIR"] = ""  # what this host remembers is none of the tests' business


def run(*arguments, input=None):
    r = subprocess.run([KEYD, *arguments], input=input, stdin=subprocess.DEVNULL if input is None else None, capture_output=True,
                       timeout=TIMEOUT, start_new_session=True)
    return r.returncode, r.stdout.decode(), r.stderr.decode()


def openssl(*arguments, input=None):
    r = subprocess.run(["openssl", *arguments], input=input, stdin=subprocess.DEVNULL if input is None else None,
                       capture_output=True, timeout=TIMEOUT)
    if r.returncode != 0:
        raise AssertionError(f"openssl {arguments}: {r.stderr.decode()}")
    return r.stdout


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Service:
    """coffer-keyd on a port of its own."""

    def __init__(self, directory, *options):
        self.dir, self.options, self.process = directory, options, None
        self.log_file = directory + ".log"

    def start(self):
        self.log = open(self.log_file, "ab")
        self.process = subprocess.Popen([KEYD, "run", self.dir, "--listen", "127.0.0.1:0", *self.options],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log,
                                        start_new_session=True)
        if not select.select([self.process.stdout], [], [], TIMEOUT)[0]:
            self.kill()
            raise AssertionError("coffer-keyd says nothing")
        line = self.process.stdout.readline().decode()
        found = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line)
        if not found:
            self.kill()
            raise AssertionError(f"coffer-keyd does not listen: {line!r} {self.logged()}")
        self.port = int(found[1])
        if "--metrics" in self.options:
            self.metrics_port = int(re.fullmatch(r"metrics on 127\.0\.0\.1:(\d+)\n", self.process.stdout.readline().decode())[1])
        return self

    def logged(self):
        with open(self.log_file, errors="replace") as f:
            return f.read()

    def numbers(self):
        """The metrics, by name."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=TIMEOUT) as r:
            return {n: int(v) for n, v in re.findall(r"^coffer_keyd_(\w+) (\d+)$", r.read().decode(), re.M)}

    def wait_logged(self, pattern):
        """A peer hears of its refusal before the log does."""
        end = time.monotonic() + 5
        while not re.search(pattern, self.logged()):
            if time.monotonic() > end:
                raise AssertionError(f"{pattern!r} is not in {self.logged()!r}")
            time.sleep(0.01)

    def kill(self):
        if self.process:
            self.process.kill()
            self.end()

    def end(self):
        status = self.process.wait(TIMEOUT)
        self.process.stdout.close()
        self.log.close()
        self.process = None
        return status

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            status = self.end()
            if status != OK:
                raise AssertionError(f"coffer-keyd ended with {status}: {self.logged()}")


def context(ca, cert=None, key=None, suites=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.maximum_version = ssl.TLSVersion.TLSv1_2
    c.load_verify_locations(ca)
    if suites:
        c.set_ciphers(suites)
    if cert:
        c.load_cert_chain(cert, key)
    return c


class Client:
    """A client of the API, with a connection that it keeps."""

    observer = None  # called with each exchange: method, path, status, answer

    def __init__(self, service, cert, key):
        self.service, self.cert, self.key = service, cert, key
        self.connection = None

    def connect(self):
        tls = context(os.path.join(self.service.dir, "ca.pem"), self.cert, self.key)
        self.connection = http.client.HTTPSConnection("localhost", self.service.port, timeout=TIMEOUT, context=tls)

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def raw(self, method, path, body=None):
        if not self.connection:
            self.connect()
        headers = {"Content-Type": "application/json"} if method == "POST" else {}
        try:
            self.connection.request(method, path, body, headers)
            response = self.connection.getresponse()
            status, answer = response.status, json.loads(response.read())
        except BaseException:
            self.close()
            raise
        if Client.observer:
            Client.observer(method, path, status, answer)
        return status, answer

    def get(self, path):
        return self.raw("GET", "/v1/" + path)

    def post(self, path, **body):
        return self.raw("POST", "/v1/" + path, json.dumps(body) if body else "")

    def fingerprint(self):
        der = openssl("pkey", "-in", self.key, "-pubout", "-outform", "DER")
        return openssl("dgst", "-sha256", "-r", input=der).split()[0].decode()


@functools.cache
def template():
    """A directory with a service in `d` that was just made: once, since an RSA key takes its time; every test gets a copy."""
    top = tempfile.mkdtemp(prefix="coffer-keyd.")
    unittest.addModuleCleanup(shutil.rmtree, top, ignore_errors=True)
    status, _, err = run("init", os.path.join(top, "d"), "--host", "localhost", "--host", "127.0.0.1")
    if status != OK:
        raise AssertionError(err)
    return top


class Case(unittest.TestCase):
    """A service that was just made; a directory of one's own."""

    maxDiff = 2000

    @classmethod
    def setUpClass(cls):
        cls.template = template()

    def setUp(self):
        self.top = tempfile.mkdtemp(prefix="coffer-keyd.")
        self.addCleanup(shutil.rmtree, self.top, ignore_errors=True)
        self.dir = self.path("d")
        shutil.copytree(os.path.join(self.template, "d"), self.dir)

    def path(self, *parts):
        return os.path.join(self.top, *parts)

    def service(self, *options):
        s = Service(self.dir, *options).start()
        self.addCleanup(s.kill)
        return s

    def client(self, service, cert, key):
        c = Client(service, cert, key)
        self.addCleanup(c.close)
        return c

    def admin(self, service):
        return self.client(service, os.path.join(self.dir, "admin.pem"), os.path.join(self.dir, "admin.key"))

    def self_signed(self, name, *extensions, algorithm=("ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
        """A key and a certificate that vouches for itself: paths of both."""
        key, cert = self.path(name + ".key"), self.path(name + ".pem")
        added = [a for e in extensions for a in ("-addext", e)]
        openssl("req", "-x509", "-newkey", *algorithm, "-nodes", "-keyout", key, "-out", cert, "-days", "30", "-subj", "/CN=" + name,
                *added)
        return cert, key

    def accepted(self, service, name, role="client"):
        """Somebody new, registered and accepted, with the certificate of the service."""
        cert, key = self.self_signed(name)
        stranger = self.client(service, cert, key)
        self.assertEqual(stranger.post("clients/register", name=name)[0], 202)
        fingerprint = stranger.fingerprint()
        status, answer = self.admin(service).post(f"clients/{fingerprint}/accept", role=role)
        self.assertEqual(status, 200, answer)
        status, answer = stranger.post("clients/register", name=name)
        self.assertEqual((status, answer["state"]), (200, "accepted"))
        issued = self.path(name + "-issued.pem")
        with open(issued, "w") as f:
            f.write(answer["certificate"])
        return self.client(service, issued, key)

    def authority(self, name):
        """A CA of somebody else, as a directory for openssl ca."""
        top = self.path(name)
        os.mkdir(top)
        cert, key = self.self_signed(name, "basicConstraints=critical,CA:TRUE")
        with open(top + "/index.txt", "w"):
            pass
        with open(top + "/cnf", "w") as f:
            f.write(f"[ca]\ndefault_ca = d\n[d]\ndatabase = {top}/index.txt\nnew_certs_dir = {top}\nrand_serial = yes\n"
                    "default_md = sha256\npolicy = p\nunique_subject = no\n[p]\ncommonName = supplied\n")
        return top, cert, key
