"""What is negotiated on the port of the key service, and what is not: tls.c (1) to (3), connection.c (1), (2)."""

import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
import unittest

import hello
from hello import ask
from keyd import LONG, NO_SECRET, SUITES, TIMEOUT, USAGE, Case, Client, Service, context, openssl, run

EIGHT = sorted(SUITES.values())
TLS13 = [0x1301, 0x1302, 0x1303]
NO_ETM, NO_EMS = 1 << 19, 1  # SSL_OP_NO_ENCRYPT_THEN_MAC, SSL_OP_NO_EXTENDED_MASTER_SECRET


class Negotiation(Case):
    def setUp(self):
        super().setUp()
        self.s = self.service()

    def handshake(self, suites, options=0):
        c = context(*(os.path.join(self.dir, f) for f in ("ca.pem", "admin.pem", "admin.key")), suites)
        c.options |= options
        with socket.create_connection(("127.0.0.1", self.s.port), timeout=TIMEOUT) as plain:
            with c.wrap_socket(plain, server_hostname="localhost") as tls:
                tls.sendall(b"GET /v1/self HTTP/1.1\r\nHost: localhost\r\n\r\n")
                self.assertTrue(tls.recv(100).startswith(b"HTTP/1.1 200 OK\r\n"))
                return tls.version(), tls.cipher()[0], tls.session_reused, tls.session

    def test_each_suite_alone(self):
        for suite in SUITES:
            with self.subTest(suite=suite):
                self.assertEqual(self.handshake(suite)[:2], ("TLSv1.2", suite))

    def test_order_is_the_servers(self):
        """AEAD first, whatever the client prefers."""
        backwards = ":".join(reversed(SUITES))
        self.assertEqual(self.handshake(backwards)[1], "ECDHE-ECDSA-AES256-GCM-SHA384")
        self.assertEqual(self.handshake("ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES128-GCM-SHA256")[1], "ECDHE-RSA-AES128-GCM-SHA256")

    def test_no_other_code_point(self):
        """Each other one, in hellos of a few hundred (one by one in the long run); then the eight, with the same prober."""
        others = [n for n in range(0x10000) if n not in EIGHT]
        step = 1 if LONG else 500
        for i in range(0, len(others), step):
            answer = ask(self.s.port, others[i:i + step])
            self.assertIsNone(answer.suite, f"negotiated {answer.suite}")
            self.assertEqual(answer.alert, hello.HANDSHAKE_FAILURE)
        for suite in EIGHT:
            self.assertEqual(ask(self.s.port, [suite]).suite, suite)
            # Among all others, too.
            self.assertEqual(ask(self.s.port, others[:200] + [suite] + others[200:400]).suite, suite)

    def test_no_other_version(self):
        for version in (0x0002, 0x0200, 0x0300, 0x0301, 0x0302):
            answer = ask(self.s.port, EIGHT + [0xC013, 0xC014, 0x002F, 0x000A], version=version)
            self.assertIsNone(answer.suite, hex(version))
            # A hello of SSL 3 has no extensions; OpenSSL says of it only that it fails.
            self.assertIn(answer.alert, (hello.PROTOCOL_VERSION, hello.HANDSHAKE_FAILURE), hex(version))
            if version in (0x0301, 0x0302):
                self.assertEqual(answer.alert, hello.PROTOCOL_VERSION)
        for versions in ([0x0304], [0x0304, 0x0302, 0x0301, 0x0300], [0x0302], [0x7F1C]):
            answer = ask(self.s.port, TLS13 + EIGHT, versions=versions, key_share=True, session=os.urandom(32))
            self.assertIsNone(answer.suite, versions)
            self.assertEqual(answer.alert, hello.PROTOCOL_VERSION, versions)
        # A client that could do more gets 1.2, without the downgrade marks that would be a lie of a 1.3 server.
        for kw in ({"versions": [0x0304, 0x0303], "key_share": True}, {"version": 0x0305}):
            answer = ask(self.s.port, TLS13 + EIGHT, **kw)
            self.assertEqual((answer.version, answer.suite in EIGHT), (0x0303, True))

    def test_hello_of_ssl2(self):
        suites = b"".join(b"\0" + struct.pack(">H", s) for s in EIGHT)
        body = b"\x01\x03\x03" + struct.pack(">HHH", len(suites), 0, 32) + suites + os.urandom(32)
        answer = hello.Answer(self.s.port, struct.pack(">H", 0x8000 | len(body)) + body)
        self.assertIsNone(answer.suite)

    def test_what_the_server_says(self):
        for suite in EIGHT:
            # A session to take up, a ticket to get, compression: all offered.
            a = ask(self.s.port, [suite], session=os.urandom(32), compression=(1, 0))
            self.assertEqual((a.version, a.suite, a.compression, a.session), (0x0303, suite, 0, b""))
            cbc = suite in (0xC023, 0xC024, 0xC027, 0xC028)
            wanted = {hello.RENEGOTIATION_INFO, hello.EXTENDED_MASTER_SECRET, 11} | ({hello.ENCRYPT_THEN_MAC} if cbc else set())
            self.assertEqual(set(a.extensions), wanted, hex(suite))
            group, signature = a.key_exchange()
            self.assertIn(group, (hello.X25519, hello.P256, hello.P384))
            self.assertIn(signature, hello.SIGNATURES)

    def test_only_sound_signatures_and_groups(self):
        weak = [0x0201, 0x0203, 0x0301, 0x0303, 0x0101, 0x0202]
        for signatures in (weak, [0x0807], [0x0808]):  # SHA-1, SHA-224, MD5, DSA; Ed25519, Ed448: no such certificate
            self.assertIsNone(ask(self.s.port, EIGHT, signatures=signatures).suite, signatures)
        for signature in hello.SIGNATURES:
            a = ask(self.s.port, EIGHT, signatures=[signature])
            self.assertEqual(a.key_exchange()[1], signature)
        for group in [n for n in range(1, 42) if n not in (hello.X25519, hello.P256, hello.P384)] + [0x100, 0x104]:
            self.assertIsNone(ask(self.s.port, EIGHT, groups=[group]).suite, group)
        for group in (hello.X25519, hello.P256, hello.P384):
            self.assertEqual(ask(self.s.port, EIGHT, groups=[group, hello.P256]).key_exchange()[0] in (group, hello.P256), True)

    def test_no_resumption(self):
        """Nothing to resume by: neither a session's id nor a ticket, also where both are asked for."""
        for suite in SUITES:
            session = self.handshake(suite)[3]
            self.assertTrue(session is None or (session.id == b"" and not session.has_ticket), suite)

    def test_no_renegotiation(self):
        r = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.s.port}", "-tls1_2", "-CAfile", self.dir + "/ca.pem",
                            "-cert", self.dir + "/admin.pem", "-key", self.dir + "/admin.key"], input=b"R\n", capture_output=True,
                           timeout=TIMEOUT)
        self.assertIn(b"RENEGOTIATING", r.stdout + r.stderr)
        self.assertIn(b"no renegotiation", r.stdout + r.stderr)

    def test_without_encrypt_then_mac(self):
        """Many stock clients lack it; what a client offers is used all the same."""
        for suite in ("ECDHE-RSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA384"):
            self.assertEqual(self.handshake(suite, NO_ETM)[1], suite)
        self.assertEqual(self.handshake("ECDHE-RSA-AES128-GCM-SHA256", NO_EMS)[1], "ECDHE-RSA-AES128-GCM-SHA256")

    def test_require_etm(self):
        self.s.stop()
        self.s = self.service("--require-etm")
        for suite in EIGHT:
            gcm = suite in (0xC02B, 0xC02C, 0xC02F, 0xC030)
            self.assertEqual(ask(self.s.port, [suite]).suite, suite)
            self.assertEqual(ask(self.s.port, [suite], extensions=[hello.EXTENDED_MASTER_SECRET]).suite, suite if gcm else None)
            a = ask(self.s.port, [suite], extensions=[hello.ENCRYPT_THEN_MAC])
            self.assertEqual((a.suite, a.alert), (None, hello.HANDSHAKE_FAILURE))
        for suite in SUITES:
            self.assertEqual(self.handshake(suite)[1], suite)
        self.s.wait_logged("refused 127.0.0.1: no extended master secret is offered")

    def test_openssl_cnf_changes_nothing(self):
        self.s.stop()
        cnf = self.path("openssl.cnf")
        with open(cnf, "w") as f:
            f.write("openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nMinProtocol = TLSv1\nMaxProtocol = TLSv1.3\n"
                    "CipherString = ALL:@SECLEVEL=0\nOptions = UnsafeLegacyRenegotiation\n")
        os.environ["OPENSSL_CONF"] = cnf
        self.addCleanup(os.environ.pop, "OPENSSL_CONF", None)
        self.s = self.service()
        self.assertEqual(ask(self.s.port, EIGHT, version=0x0301).alert, hello.PROTOCOL_VERSION)
        self.assertEqual(ask(self.s.port, TLS13, versions=[0x0304], key_share=True).alert, hello.PROTOCOL_VERSION)
        self.assertEqual(ask(self.s.port, [0xC013, 0xC014, 0x002F, 0x009C, 0xCCA8]).alert, hello.HANDSHAKE_FAILURE)


class Certificates(Case):
    def setUp(self):
        super().setUp()
        self.s = self.service()

    def attempt(self, cert=None, key=None):
        """The status of a request, or the reason of the alert."""
        c = context(os.path.join(self.dir, "ca.pem"), cert, key)
        try:
            with socket.create_connection(("127.0.0.1", self.s.port), timeout=TIMEOUT) as plain:
                with c.wrap_socket(plain, server_hostname="localhost") as tls:
                    tls.sendall(b"GET /v1/keys HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    return int(tls.recv(100).split()[1])
        except ssl.SSLError as e:
            return e.reason
        except ConnectionError:
            return "reset"

    def refused(self, outcome, why):
        self.assertIsInstance(outcome, str, outcome)
        self.s.wait_logged(r"refused 127\.0\.0\.1: .*" + why)

    def test_none(self):
        self.refused(self.attempt(), "peer did not return a certificate")

    def test_self_signed(self):
        self.assertEqual(self.attempt(*self.self_signed("new")), 403)
        self.assertEqual(self.attempt(*self.self_signed("rsa", algorithm=("rsa:2048",))), 403)
        self.assertEqual(self.attempt(*self.self_signed("client", "extendedKeyUsage=clientAuth")), 403)

    def test_self_signed_for_another_purpose(self):
        self.refused(self.attempt(*self.self_signed("server", "extendedKeyUsage=serverAuth")), "purpose")

    def test_weak_key(self):
        c = context(os.path.join(self.dir, "ca.pem"))
        c.set_ciphers("DEFAULT@SECLEVEL=0")
        c.load_cert_chain(*self.self_signed("weak", algorithm=("rsa:1024",)))
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            with socket.create_connection(("127.0.0.1", self.s.port), timeout=TIMEOUT) as plain:
                with c.wrap_socket(plain, server_hostname="localhost") as tls:
                    tls.sendall(b"GET /v1/keys HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    tls.recv(100)
        self.s.wait_logged(r"refused 127\.0\.0\.1: .*key too small|refused 127\.0\.0\.1: .*key too weak")

    def issue(self, authority, name, *options):
        top, ca, ca_key = authority
        key, request, cert = self.path(name + ".key"), self.path(name + ".csr"), self.path(name + ".pem")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request, "-subj",
                "/CN=" + name)
        if "-selfsign" in options:
            ca_key = key
        openssl("ca", "-batch", "-notext", "-config", top + "/cnf", "-cert", ca, "-keyfile", ca_key, "-in", request, "-out", cert, *options)
        return cert, key

    def test_of_another_authority(self):
        cert, key = self.issue(self.authority("other"), "joe", "-days", "30")
        self.refused(self.attempt(cert, key), "unable to get local issuer")
        # With its issuer sent along, too.
        with open(cert, "a") as out, open(self.path("other.pem")) as ca:
            out.write(ca.read())
        self.refused(self.attempt(cert, key), "self-signed certificate in certificate chain")

    def test_out_of_date(self):
        a = self.authority("clock")
        cert, key = self.issue(a, "old", "-selfsign", "-startdate", "20200101000000Z", "-enddate", "20200201000000Z")
        self.refused(self.attempt(cert, key), "certificate has expired")
        cert, key = self.issue(a, "early", "-selfsign", "-startdate", "20900101000000Z", "-enddate", "20910101000000Z")
        self.refused(self.attempt(cert, key), "certificate is not yet valid")

    def test_key_of_somebody_else(self):
        """The administrator's certificate without its key: Python does not even load the pair."""
        _, key = self.self_signed("thief")
        with self.assertRaises(ssl.SSLError):
            self.attempt(os.path.join(self.dir, "admin.pem"), key)


class Foreign(Case):
    """Certificates of the server that another authority issued."""

    def setUp(self):
        super().setUp()
        a = self.authority("corporate")
        self.files = []
        with open(self.path("extensions"), "w") as f:
            f.write("subjectAltName = DNS:localhost,IP:127.0.0.1\nextendedKeyUsage = serverAuth\nbasicConstraints = CA:FALSE\n")
        for name, algorithm in (("ec", ("ec", "-pkeyopt", "ec_paramgen_curve:P-384")), ("rsa", ("rsa:2048",))):
            key, request, cert = self.path(name + ".key"), self.path(name + ".csr"), self.path(name + ".pem")
            openssl("req", "-new", "-newkey", *algorithm, "-nodes", "-keyout", key, "-out", request, "-subj", "/CN=localhost")
            openssl("ca", "-batch", "-notext", "-config", a[0] + "/cnf", "-cert", a[1], "-keyfile", a[2], "-in", request, "-out", cert,
                    "-days", "30", "-extfile", self.path("extensions"))
            self.files.append((cert, key))
        self.ca = a[1]
        self.s = self.service(*(o for cert, key in self.files for o in ("--tls-cert", cert, "--tls-key", key)))

    def test_each_suite(self):
        for suite in SUITES:
            c = context(self.ca, self.dir + "/admin.pem", self.dir + "/admin.key", suite)
            with socket.create_connection(("127.0.0.1", self.s.port), timeout=TIMEOUT) as plain:
                with c.wrap_socket(plain, server_hostname="localhost") as tls:
                    self.assertEqual(tls.cipher()[0], suite)
        for suite in EIGHT:
            self.assertEqual(ask(self.s.port, [suite]).suite, suite)
        self.assertIsNone(ask(self.s.port, [n for n in range(0xC000, 0xC0B0) if n not in EIGHT]).suite)

    def test_what_is_refused(self):
        (ec, ec_key), (rsa, rsa_key) = self.files
        self.s.stop()
        for options, status in ((("--tls-cert", ec), USAGE), (("--tls-key", ec_key), USAGE), (("--tls-cert", ec, "--tls-cert", rsa), USAGE),
                                (("--tls-cert", ec, "--tls-key", rsa_key), NO_SECRET), (("--tls-cert", ec, "--tls-key", ec), NO_SECRET),
                                (("--tls-cert", ec_key, "--tls-key", ec_key), NO_SECRET),
                                (("--tls-cert", self.path("none"), "--tls-key", ec_key), NO_SECRET),
                                (("--tls-cert", ec, "--tls-key", ec_key) * 2, USAGE), (("--tls-cert", ec, "--tls-key", ec_key) * 3, USAGE)):
            status_now, _, err = run("run", self.dir, "--listen", "127.0.0.1:0", *options)
            self.assertEqual(status_now, status, (options, err))


class Patience(Case):
    """What waits, drips or comes in numbers."""

    def test_plain_http(self):
        s = self.service()
        with socket.create_connection(("127.0.0.1", s.port), timeout=TIMEOUT) as plain:
            plain.sendall(b"GET /v1/self HTTP/1.1\r\nHost: localhost\r\n\r\n")
            heard = b""
            while piece := plain.recv(1000):
                heard += piece
        self.assertNotIn(b"HTTP", heard)
        s.wait_logged("refused 127.0.0.1: http request")

    def ended_after(self, s, act):
        """Seconds until the server ends the connection while act() is called again and again."""
        started = time.monotonic()
        while time.monotonic() - started < TIMEOUT:
            try:
                act()
                s.settimeout(0.2)
                if s.recv(100) == b"":
                    break
            except TimeoutError:
                continue
            except (ConnectionError, ssl.SSLError):
                break
        return time.monotonic() - started

    def test_deadlines(self):
        """Whoever waits or drips, at once, each in a thread of its own.  What drips is held to the time of a request alone: another one's is long."""
        shutil.copytree(self.dir, self.path("other"))
        waiting = self.service("--handshake-timeout", "1", "--request-timeout", "30", "--idle-timeout", "1")
        dripping = Service(self.path("other"), "--handshake-timeout", "30", "--request-timeout", "1", "--idle-timeout", "30", "--metrics", "127.0.0.1:0")
        self.addCleanup(dripping.kill)
        dripping.start()
        took = {}

        def silent(name):
            with socket.create_connection(("127.0.0.1", waiting.port)) as plain:
                took[name] = self.ended_after(plain, lambda: None)

        def dripping_bytes(name, port, text):
            drops = iter(text)
            with socket.create_connection(("127.0.0.1", port)) as plain:
                took[name] = self.ended_after(plain, lambda: plain.sendall(bytes([next(drops)])))

        def asking(name, s, at_once, drip):
            drops = iter(drip)
            with socket.create_connection(("127.0.0.1", s.port), timeout=TIMEOUT) as plain:
                c = context(*(os.path.join(self.dir, f) for f in ("ca.pem", "admin.pem", "admin.key")))
                with c.wrap_socket(plain, server_hostname="localhost") as tls:
                    tls.sendall(at_once)
                    took[name] = self.ended_after(tls, lambda: drip and tls.sendall(bytes([next(drops)])))

        def dripping_record(name, lead, first, more):
            """The bytes of one record, of which nothing can be read before the last; `first` so many at once, then more or nothing."""
            c = context(*(os.path.join(self.dir, f) for f in ("ca.pem", "admin.pem", "admin.key")))
            heard, said = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = c.wrap_bio(heard, said, server_hostname="localhost")
            with socket.create_connection(("127.0.0.1", dripping.port), timeout=TIMEOUT) as plain:
                while True:
                    try:
                        tls.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        plain.sendall(said.read())
                        heard.write(plain.recv(65536))
                plain.sendall(said.read())
                if lead:
                    tls.write(lead)
                before = said.read()
                tls.write(b"GET /v1/keys HTTP/1.1\r\nX: " + b"x" * 1000)
                record = said.read()
                plain.sendall(before + record[:first])
                drops = iter(record[first:])
                took[name] = self.ended_after(plain, lambda: more and plain.sendall(bytes([next(drops)])))

        head = b"GET /v1/keys HTTP/1.1\r\nX: " + b"x" * 1000
        whole = b"GET /v1/keys HTTP/1.1\r\nHost: a\r\n\r\n"
        post = b"POST /v1/keys/a HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
        threads = [threading.Thread(target=t, args=a) for t, *a in (
            (silent, "a connection that says nothing"), (dripping_bytes, "a handshake that drips", waiting.port, hello.hello(EIGHT)),
            (asking, "a client that asks nothing", waiting, b"", b""), (asking, "a head that drips", dripping, b"", head),
            (asking, "a body that drips", dripping, post, b" " * 1000), (dripping_record, "a record that drips", b"", 1, True),
            (dripping_record, "a record's head", b"", 5, False), (dripping_record, "a record's head behind a request", whole, 5, False),
            (dripping_bytes, "a question about the metrics", dripping.metrics_port, head))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(len(took), len(threads))
        for name, seconds in took.items():
            self.assertTrue(0.7 < seconds < 4, (name, seconds))
        waiting.wait_logged("refused 127.0.0.1: the handshake took too long")
        dripping.wait_logged("refused 127.0.0.1: the request took too long")
        self.assertEqual(self.admin(waiting).get("keys")[0], 200)

    def let_in(self, c):
        """The server may see a new connection before it sees that an older one has ended."""
        end = time.monotonic() + TIMEOUT
        while True:
            try:
                return c.get("keys")[0]
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def test_numbers(self):
        s = self.service("--max-per-address", "5", "--max-per-client", "2")
        held = [socket.create_connection(("127.0.0.1", s.port)) for _ in range(5)]
        try:
            with socket.create_connection(("127.0.0.1", s.port), timeout=TIMEOUT) as plain:
                self.assertEqual(plain.recv(1), b"")
        finally:
            for h in held:
                h.close()
        s.wait_logged("too many connections from there")
        clients = [self.admin(s) for _ in range(3)]
        self.assertEqual([self.let_in(c) for c in clients[:2]], [200, 200])
        with self.assertRaises(OSError):
            clients[2].get("keys")
        s.wait_logged("it has too many connections")
        clients[0].close()
        self.assertEqual(self.let_in(self.admin(s)), 200)


    def test_a_flood_of_silent_peers(self):
        """They push each other out, and keep nobody out who has something to say; clients that are in stay in."""
        s = self.service("--max-connections", "4")
        inside = self.admin(s)
        self.assertEqual(inside.get("keys")[0], 200)
        held = []
        for _ in range(10):
            held.append(socket.create_connection(("127.0.0.1", s.port)))
            self.addCleanup(held[-1].close)
        held[0].settimeout(TIMEOUT)
        self.assertEqual(held[0].recv(1), b"")
        self.assertEqual(self.admin(s).get("keys")[0], 200)
        self.assertEqual(inside.get("keys")[0], 200)
        s.wait_logged("the oldest of a stranger")
        # So do strangers with a certificate that they made themselves, which is enough for a handshake.
        cert, key = self.self_signed("stranger")
        strangers = [self.client(s, cert, key) for _ in range(5)]
        for c in strangers:
            self.assertEqual(c.get("keys")[0], 403)
        self.assertEqual(inside.get("keys")[0], 200)
        # Where all have one of the service, the next one is too many.
        others = [self.admin(s) for _ in range(2)]
        self.assertEqual([c.get("keys")[0] for c in others], [200, 200])
        with self.assertRaises(OSError):
            self.admin(s).get("keys")
        self.assertEqual(inside.get("keys")[0], 200)

    def test_a_peer_that_does_not_read(self):
        """The time of a request ends with the last byte of its answer."""
        s = self.service("--request-timeout", "1")
        c = context(*(os.path.join(self.dir, f) for f in ("ca.pem", "admin.pem", "admin.key")))
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.settimeout(TIMEOUT)
        plain.connect(("127.0.0.1", s.port))
        with c.wrap_socket(plain, server_hostname="localhost") as tls:
            started = time.monotonic()
            try:
                while True:
                    tls.sendall(b"GET /v1/self HTTP/1.1\r\nHost: a\r\n\r\n" * 100)
            except OSError:
                pass
        self.assertLess(time.monotonic() - started, 5)
        s.wait_logged("the request took too long")

    def test_dropped_peers(self):
        """Peers that vanish at every moment harm nobody."""
        s = self.service()
        whole = hello.hello(EIGHT)
        for n in range(0, len(whole), 7):
            with socket.create_connection(("127.0.0.1", s.port)) as plain:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                plain.sendall(whole[:n])
        c = Client(s, os.path.join(self.dir, "admin.pem"), os.path.join(self.dir, "admin.key"))
        for _ in range(20):
            c.connect()
            c.connection.request("GET", "/v1/keys")
            c.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            c.connection.sock.close()
            c.connection.close()
        self.assertEqual(self.admin(s).get("keys")[0], 200)
        s.stop()


if __name__ == "__main__":
    unittest.main()
