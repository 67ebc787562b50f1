"""The API of the key service: who may what, keys and their use, what is recorded of it (docs/api.md)."""

import datetime
import hmac
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
import unittest

import keyd
import openapi
from keyd import TIMEOUT, Case, b64, context, unb64

SOURCE = os.environ["SOURCE_ROOT"]
DOCUMENTATION = os.path.join(SOURCE, "docs", "api.md")
ROLES = ("admin", "operator", "client", "auditor")


DESCRIPTION = openapi.Description(os.path.join(SOURCE, "docs", "service-openapi.json"))


class Api(Case):
    """Every answer that a test gets is held against the description."""

    def setUp(self):
        super().setUp()
        keyd.Client.observer = DESCRIPTION.check_answer
        self.addCleanup(setattr, keyd.Client, "observer", None)
        self.s = self.service()
        self.a = self.admin(self.s)

    def good(self, answer, status=200):
        self.assertEqual(answer[0], status, answer)
        return answer[1]

    def refused(self, answer, status, code):
        self.assertEqual((answer[0], answer[1].get("error", {}).get("code")), (status, code), answer)

    def lines(self):
        return self.good(self.a.get("audit/1"))["lines"]

    def key(self, name="k", *clients):
        self.good(self.a.post(f"keys/{name}"), 201)
        for c in clients:
            self.good(self.a.post(f"keys/{name}/grant", client=c.fingerprint()))
        return name


class Rate(Api):
    def setUp(self):
        keyd.Case.setUp(self)
        self.s = self.service("--max-rate", "5", "--metrics", "127.0.0.1:0")
        self.a = self.admin(self.s)

    def ask(self, client):
        client.connection.request("GET", "/v1/self")
        r = client.connection.getresponse()
        return r.status, r.getheader("Retry-After"), json.loads(r.read())

    def test_one_that_asks_too_much(self):
        other = self.accepted(self.s, "other")
        other.connect()
        answers = [self.ask(other) for _ in range(30)]
        good = [status for status, _, _ in answers].count(200)
        self.assertGreaterEqual(good, 8)  # of the ten that it may send at once it has sent one or two
        self.assertLess(good, 20)
        self.assertEqual({(status, after, answer["error"]["code"]) for status, after, answer in answers if status != 200},
                         {(429, "1", "too_many_requests")})
        # It is told once; the others go on; and a second later so does this one.
        self.assertEqual([line["name"] for line in self.lines() if line.get("code") == "too_many_requests"], ["other"])
        self.assertEqual(self.s.numbers()["calls_over_rate_total"], 30 - good)
        time.sleep(1.1)
        self.assertEqual(self.ask(other)[0], 200)


class Registration(Api):
    def test_life_of_a_client(self):
        cert, key = self.self_signed("host-1")
        host = self.client(self.s, cert, key)
        fp = host.fingerprint()
        self.refused(host.get("keys"), 403, "client_unknown")
        answer = self.good(host.post("clients/register", name="host-1.example"), 202)
        self.assertEqual((answer["fingerprint"], answer["state"], answer["role"]), (fp, "pending", "none"))
        self.assertNotIn("certificate", answer)
        self.refused(host.get("keys"), 403, "client_pending")
        self.refused(host.get("self"), 403, "client_pending")
        # Again: the same, and no second registration.
        self.assertEqual(self.good(host.post("clients/register", name="other"))["name"], "host-1.example")

        self.key("k")
        accepted = self.good(self.a.post(f"clients/{fp}/accept"))
        self.assertEqual((accepted["state"], accepted["role"]), ("accepted", "client"))
        # The certificate that vouches for itself does nothing but fetch the one of the service.
        self.refused(host.get("keys"), 403, "certificate_needed")
        answer = self.good(host.post("clients/register", name="host-1.example"))
        issued = self.path("issued.pem")
        with open(issued, "w") as f:
            f.write(answer["certificate"])
        with open(os.path.join(self.dir, "ca.pem")) as f:
            self.assertEqual(f.read(), answer["ca"])
        host.close()
        host = self.client(self.s, issued, key)
        self.assertEqual(self.good(host.get("self"))["name"], "host-1.example")
        self.assertEqual(self.good(host.get("keys")), {"keys": []})
        renewed = self.good(host.post("self/renew"))
        self.assertNotEqual(renewed["certificate"], answer["certificate"])
        self.assertEqual(renewed["fingerprint"], fp)

        # Revocation acts on connections that are open.
        self.good(self.a.post(f"clients/{fp}/revoke"))
        self.refused(host.get("keys"), 403, "client_revoked")
        self.refused(host.post("clients/register", name="again"), 403, "client_revoked")
        self.refused(self.client(self.s, cert, key).get("self"), 403, "client_revoked")
        self.refused(self.a.post(f"clients/{fp}/accept"), 409, "client_revoked")
        self.assertEqual({c["fingerprint"]: c["state"] for c in self.good(self.a.get("clients"))["clients"]},
                         {fp: "revoked", self.a.fingerprint(): "accepted"})

    def test_what_registration_refuses(self):
        c = self.client(self.s, *self.self_signed("x"))
        for name in ("", "a b", "a" * 65, "é", "a/b", 'a"'):
            status, answer = c.post("clients/register", name=name)
            self.assertEqual(status, 400, name)
        self.refused(c.post("clients/register"), 400, "bad_name")
        self.refused(c.post("clients/register", name="x", role="admin"), 400, "unknown_member")
        c = self.client(self.s, *self.self_signed("p521", algorithm=("ec", "-pkeyopt", "ec_paramgen_curve:P-521")))
        try:
            self.refused(c.post("clients/register", name="x"), 400, "bad_key")
        except OSError:
            pass  # refused in the handshake already
        self.assertEqual(len(self.good(self.a.get("clients"))["clients"]), 1)

    def test_accept_and_revoke(self):
        fp = "0" * 64
        self.refused(self.a.post(f"clients/{fp}/accept"), 404, "not_found")
        self.refused(self.a.post(f"clients/{fp}/revoke"), 404, "not_found")
        self.refused(self.a.post("clients/xyz/accept"), 400, "bad_fingerprint")
        self.refused(self.a.post(f"clients/{'A' * 64}/accept"), 400, "bad_fingerprint")
        self.refused(self.a.post(f"clients/{self.a.fingerprint()}/accept", role="king"), 400, "bad_role")
        # Somebody has to remain who can accept and revoke.
        self.refused(self.a.post(f"clients/{self.a.fingerprint()}/revoke"), 409, "last_admin")
        self.refused(self.a.post(f"clients/{self.a.fingerprint()}/accept", role="client"), 409, "last_admin")
        second = self.accepted(self.s, "second", "admin")
        self.good(second.post(f"clients/{self.a.fingerprint()}/revoke"))
        self.refused(self.a.get("keys"), 403, "client_revoked")
        self.refused(second.post(f"clients/{second.fingerprint()}/revoke"), 409, "last_admin")

    def test_strangers_cannot_fill_the_log(self):
        c = self.client(self.s, *self.self_signed("noise"))
        for i in range(100):
            self.refused(c.get("keys" if i % 2 else "no/such/thing"), 403, "client_unknown")
        self.assertLess(sum(line["event"] == "refused" for line in self.lines()), 40)


class Roles(Api):
    @staticmethod
    def calls():
        """Method, path and roles of each call, as the documentation has them."""
        with open(DOCUMENTATION) as f:
            rows = re.findall(r"^\| (GET|POST) /v1/(\S+) \| ([a-z, ]+) \|", f.read(), re.M)
        for method, path, roles in rows:
            yield method, path, ROLES if roles == "all" else ROLES + ("anybody",) if roles == "anybody" else tuple(roles.split(", "))

    def test_documentation_is_complete(self):
        with open(os.path.join(SOURCE, "keymgr", "service", "api.c")) as f:
            routes = re.findall(r'^\t\{HTTP_(GET|POST), "([^"]+)"', f.read(), re.M)
        documented = sorted((method, re.sub(r"[A-Z]+", "*", path)) for method, path, _ in self.calls())
        self.assertEqual(documented, sorted(routes))

    def test_description_is_complete(self):
        described = {(method, re.sub(r"[{}]", "", path).removeprefix("/v1/")): tuple(o["x-roles"]) for method, path, o in DESCRIPTION.operations()}
        self.assertEqual(described, {(m, p): ("anybody",) if "anybody" in roles else roles for m, p, roles in self.calls()})
        ids = [o["operationId"] for _, _, o in DESCRIPTION.operations()]
        self.assertEqual(len(ids), len(set(ids)))

    def test_described_members(self):
        """What a body may have, and nothing else: as the description says, so says the server."""
        self.key("k")
        for method, path, o in DESCRIPTION.operations():
            if method != "POST":
                continue
            with self.subTest(path=path):
                known = o["requestBody"]["content"]["application/json"]["schema"]["properties"]
                at = path.replace("{NAME}", "new" if path.endswith("{NAME}") else "k").replace("{VERSION}", "1")
                at = at.replace("{FINGERPRINT}", "0" * 64).replace("{VOLUME}", "0" * 32)
                if at != "/v1/clients/register":  # which asks nothing of who is known already
                    self.refused(self.a.raw("POST", at, '{"surely_not":1}'), 400, "unknown_member")
                for member in known:
                    status, answer = self.a.raw("POST", at, json.dumps({member: 1}))
                    self.assertNotEqual(answer.get("error", {}).get("code"), "unknown_member", member)

    def test_who_may_what(self):
        everybody = {role: self.accepted(self.s, role, role) for role in ("admin", "operator", "client", "auditor")}
        self.key("k", everybody["client"])
        refusals = 0
        # The administrator last: it disables the key.
        for role in ("operator", "client", "auditor", "admin"):
            for method, path, roles in self.calls():
                with self.subTest(role=role, call=f"{method} {path}"):
                    name = "new" if (method, path) == ("POST", "keys/NAME") else "k"
                    at = path.replace("FINGERPRINT", "0" * 64).replace("NAME", name).replace("VERSION", "1")
                    at = at.replace("VOLUME", "0" * 32).replace("audit/N", "audit/1")
                    status, answer = everybody[role].raw(method, "/v1/" + at, "{}" if method == "POST" else None)
                    code = answer.get("error", {}).get("code")
                    self.assertNotIn(code, ("no_route", "bad_method"))
                    if role in roles:
                        self.assertNotEqual(code, "role")
                    else:
                        self.refused((status, answer), 403, "role")
                        refusals += 1
        recorded = [line for line in self.lines() if line["event"] == "refused" and line["code"] == "role"]
        self.assertEqual(len(recorded), refusals)
        self.assertEqual({line["name"] for line in recorded}, {"operator", "client", "auditor"})

    def test_grants(self):
        one, two = self.accepted(self.s, "one"), self.accepted(self.s, "two")
        self.key("k", one)
        self.key("secret")
        wrapped = self.good(one.post("keys/k/wrapkey", alg="A256GCM", value=b64(b"x" * 32)))
        use = {m: wrapped[m] for m in ("alg", "value", "iv", "tag")}
        self.assertEqual([k["name"] for k in self.good(one.get("keys"))["keys"]], ["k"])
        self.assertEqual(self.good(two.get("keys"))["keys"], [])
        # The same of what is there and what is not.
        for name in ("k", "secret", "nothing"):
            self.refused(two.get("keys/" + name), 403, "not_granted")
            self.refused(two.post(f"keys/{name}/wrapkey", alg="A256GCM", value="AAAA"), 403, "not_granted")
            self.refused(two.post(f"keys/{name}/1/unwrapkey", **use), 403, "not_granted")
            self.refused(two.post(f"keys/{name}/rewrap", version=1, **use), 403, "not_granted")
        self.good(self.a.post("keys/k/grant", client=two.fingerprint()))
        self.assertEqual(unb64(self.good(two.post("keys/k/1/unwrapkey", **use))["value"]), b"x" * 32)
        self.good(self.a.post("keys/k/ungrant", client=one.fingerprint()))
        self.refused(one.post("keys/k/1/unwrapkey", **use), 403, "not_granted")
        self.good(two.post("keys/k/1/unwrapkey", **use))
        self.refused(self.a.post("keys/k/grant", client="0" * 64), 409, "client_not_accepted")
        self.refused(self.a.post("keys/k/grant"), 400, "bad_fingerprint")
        self.refused(self.a.post("keys/nothing/grant", client=one.fingerprint()), 404, "not_found")


class Keys(Api):
    def wrap(self, name, value, aad=None):
        more = {"aad": b64(aad)} if aad is not None else {}
        return self.good(self.a.post(f"keys/{name}/wrapkey", alg="A256GCM", value=b64(value), **more))

    def unwrap(self, name, w, aad=None, version=None, **changed):
        body = {m: w[m] for m in ("alg", "value", "iv", "tag")} | ({"aad": b64(aad)} if aad is not None else {}) | changed
        return self.a.post(f"keys/{name}/{version or w['version']}/unwrapkey", **body)

    def test_wrap_and_unwrap(self):
        self.key("k")
        for value in (b"x", os.urandom(32), os.urandom(4096)):
            for aad in (None, b"volume", os.urandom(1024)):
                w = self.wrap("k", value, aad)
                self.assertEqual((w["kid"], w["version"], len(unb64(w["value"]))), ("/v1/keys/k/1", 1, len(value)))
                plain = self.good(self.unwrap("k", w, aad))
                self.assertEqual((plain["kid"], unb64(plain["value"])), ("/v1/keys/k/1", value))
        self.assertNotEqual(self.wrap("k", b"same"), self.wrap("k", b"same"))

    def test_what_does_not_unwrap(self):
        self.key("k")
        self.key("other")
        self.good(self.a.post("keys/k/rotate"))
        w = self.wrap("k", b"s" * 32, b"volume")
        flip = {m: b64(bytes([unb64(w[m])[0] ^ 1]) + unb64(w[m])[1:]) for m in ("value", "iv", "tag")}
        for member, value in flip.items():
            self.refused(self.unwrap("k", w, b"volume", **{member: value}), 400, "unwrap_failed")
        for aad in (b"another", b"", None):
            self.refused(self.unwrap("k", w, aad), 400, "unwrap_failed")
        self.refused(self.unwrap("k", w, b"volume", version=1), 400, "unwrap_failed")
        self.refused(self.unwrap("other", w, b"volume", version=1), 400, "unwrap_failed")
        for version in ("3", "0", "-1", "x", "1.0", "4294967297"):
            self.refused(self.unwrap("k", w, b"volume", version=version), 404, "no_version")
        self.good(self.unwrap("k", w, b"volume"))
        self.assertEqual(sum(line["event"] == "refused" and line["code"] == "unwrap_failed" for line in self.lines()), 8)

    def test_rotate_and_retire(self):
        self.key("k")
        old = self.wrap("k", b"root" * 8, b"v")
        self.assertEqual(self.good(self.a.post("keys/k/rotate"))["latest"], 2)
        self.good(self.unwrap("k", old, b"v"))
        body = {m: old[m] for m in ("alg", "value", "iv", "tag", "version")}
        new = self.good(self.a.post("keys/k/rewrap", aad=b64(b"v"), **body))
        self.assertEqual(new["version"], 2)
        self.assertEqual(unb64(self.good(self.unwrap("k", new, b"v"))["value"]), b"root" * 8)
        self.refused(self.a.post("keys/k/rewrap", aad=b64(b"w"), **body), 400, "unwrap_failed")
        for wrong in (0, 3, -1, "1", True):
            self.assertEqual(self.a.post("keys/k/config", min_decryption_version=wrong)[0], 400)
        self.good(self.a.post("keys/k/config", min_decryption_version=2))
        self.refused(self.unwrap("k", old, b"v"), 403, "version_retired")
        self.good(self.unwrap("k", new, b"v"))
        self.good(self.a.post("keys/k/config", min_decryption_version=1))
        self.good(self.unwrap("k", old, b"v"))

    def test_disable_and_enable(self):
        client = self.accepted(self.s, "host")
        self.key("k", client)
        w = self.wrap("k", b"x" * 32)
        use = {m: w[m] for m in ("alg", "value", "iv", "tag")}
        self.assertEqual(self.good(self.a.post("keys/k/disable"))["state"], "disabled")
        for c in (client, self.a):
            self.refused(c.post("keys/k/1/unwrapkey", **use), 403, "key_disabled")
            self.refused(c.post("keys/k/wrapkey", alg="A256GCM", value="AAAA"), 403, "key_disabled")
            self.refused(c.post("keys/k/rewrap", version=1, **use), 403, "key_disabled")
        self.assertEqual(self.good(client.get("keys/k"))["state"], "disabled")
        self.good(self.a.post("keys/k/enable"))
        self.good(client.post("keys/k/1/unwrapkey", **use))

    def test_delete_recover_purge(self):
        client = self.accepted(self.s, "host")
        self.key("k", client)
        w = self.wrap("k", b"x" * 32)
        use = {m: w[m] for m in ("alg", "value", "iv", "tag")}
        for days in (6, 91, 0, -1, "x"):
            self.refused(self.a.post("keys/k/delete", days=days), 400, "bad_value")
        for call in ("recover", "purge"):
            self.refused(self.a.post("keys/k/" + call), 409, "not_deleted")
        self.good(self.a.post("keys/k/disable"))
        deleted = self.good(self.a.post("keys/k/delete", days=7))
        self.assertEqual(deleted["state"], "deleted")
        away = datetime.datetime.fromisoformat(deleted["purge_at"]) - datetime.datetime.now(datetime.timezone.utc)
        self.assertTrue(datetime.timedelta(days=6, hours=23) < away <= datetime.timedelta(days=7), away)
        for c in (client, self.a):
            self.refused(c.post("keys/k/1/unwrapkey", **use), 403, "key_deleted")
            self.refused(c.post("keys/k/wrapkey", alg="A256GCM", value="AAAA"), 403, "key_deleted")
            self.refused(c.post("keys/k/lease", volume="0" * 32), 403, "key_deleted")
        for call, body in (("enable", {}), ("rotate", {}), ("config", {"purge_protection": True}), ("delete", {})):
            self.refused(self.a.post("keys/k/" + call, **body), 409, "key_deleted")
        self.refused(self.a.post("keys/k"), 409, "exists")
        self.assertEqual(self.good(self.a.post("keys/k/recover"))["state"], "disabled")
        self.good(self.a.post("keys/k/enable"))
        self.good(client.post("keys/k/1/unwrapkey", **use))

        self.refused(self.a.post("keys/k/config"), 400, "bad_value")
        for days in (-1, 3651, "1"):
            self.refused(self.a.post("keys/k/config", auto_rotate_days=days), 400, "bad_value")
        self.assertEqual(self.good(self.a.post("keys/k/config", auto_rotate_days=30))["auto_rotate_days"], 30)
        self.assertNotIn("auto_rotate_days", self.good(self.a.post("keys/k/config", auto_rotate_days=0)))
        self.refused(self.a.post("keys/k/config", purge_protection=False), 409, "purge_protected")
        self.assertTrue(self.good(self.a.post("keys/k/config", purge_protection=True))["purge_protection"])
        self.refused(self.a.post("keys/k/config", purge_protection=False), 409, "purge_protected")
        self.good(self.a.post("keys/k/delete"))
        self.refused(self.a.post("keys/k/purge"), 409, "purge_protected")
        self.assertEqual(self.good(self.a.post("keys/k/recover"))["state"], "enabled")

        self.key("other")
        w = self.wrap("other", b"y" * 32)
        use = {m: w[m] for m in ("alg", "value", "iv", "tag")}
        self.good(self.a.post("keys/other/delete"))
        self.assertEqual(self.good(self.a.post("keys/other/purge"))["state"], "purged")
        self.refused(self.a.post("keys/other/1/unwrapkey", **use), 403, "key_deleted")
        for call in ("recover", "purge"):
            self.refused(self.a.post("keys/other/" + call), 409, "not_deleted")
        self.refused(self.a.post("keys/other"), 409, "exists")
        self.s.stop()
        with sqlite3.connect(self.dir + "/service.db") as db:
            body, = db.execute("SELECT body FROM row WHERE name = 'key/other'").fetchone()
        db.close()
        self.assertNotIn("wrapped", json.loads(body))
        self.s.start()
        self.a.close()
        self.assertEqual({k["name"]: k["state"] for k in self.good(self.a.get("keys"))["keys"]}, {"k": "enabled", "other": "purged"})

    def test_names_and_bodies(self):
        self.key("k")
        self.refused(self.a.post("keys/k"), 409, "exists")
        for name in (".hidden", "-x", "_x", "a" * 64, "a~b"):
            self.refused(self.a.post("keys/" + name), 400, "bad_name")
        self.good(self.a.post("keys/" + "a" * 63), 201)
        self.refused(self.a.get("keys/nothing"), 404, "not_found")
        self.refused(self.a.get("nothing"), 404, "no_route")
        self.refused(self.a.get("keys/k/rotate"), 405, "bad_method")
        self.refused(self.a.raw("POST", "/v2/keys/k"), 404, "no_route")
        self.refused(self.a.get("keys/k/k/k/k/k"), 404, "no_route")
        for body in ("[]", "{", '{"a":1,"a":1}', '{"alg":"\\u0041"}', "{'a':1}", '{"a":1}{}', "\x00", '{"a":' * 20 + "1" + "}" * 20,
                     '{"a":"\u00e9"}'):
            self.refused(self.a.raw("POST", "/v1/keys/k/wrapkey", body.encode()), 400, "bad_json")
        good = {"alg": "A256GCM", "value": "AAAA"}
        for change, code in (({"alg": "RSA1_5"}, "bad_algorithm"), ({"alg": 1}, "bad_algorithm"), ({"value": ""}, "bad_value"),
                             ({"value": "AA=="}, "bad_value"), ({"value": "A"}, "bad_value"), ({"value": "AB"}, "bad_value"),
                             ({"value": b64(b"x" * 4097)}, "bad_value"), ({"aad": b64(b"x" * 1025)}, "bad_value"),
                             ({"aad": 1}, "bad_value"), ({"iv": "AAAA"}, "unknown_member")):
            self.refused(self.a.post("keys/k/wrapkey", **(good | change)), 400, code)
        self.good(self.a.post("keys/k/wrapkey", **good))
        self.a.connection.request("POST", "/v1/keys/k/wrapkey", json.dumps(good), {"Content-Type": "text/plain"})
        self.assertEqual(self.a.connection.getresponse().status, 415)


def fingerprint(root, volume):
    """docs/format-volume.md section 2, docs/format-keyring.md section 6: HKDF-SHA-256."""
    parts = (b"coffer root fingerprint", volume, b"")
    info = b"".join(len(p).to_bytes(2, "little") + p for p in parts)
    prk = hmac.digest(b"", root, "sha256")
    return hmac.digest(prk, info + b"\1", "sha256")[:16].hex()


class Volumes(Api):
    ID = bytes(range(16))

    def setUp(self):
        super().setUp()
        self.host, self.thief = self.accepted(self.s, "host"), self.accepted(self.s, "thief")
        self.key("k", self.host, self.thief)
        self.roots = [os.urandom(32) for _ in range(3)]
        self.prints = [fingerprint(r, self.ID) for r in self.roots]

    def wrap(self, client, root):
        return client.post("keys/k/wrapkey", alg="A256GCM", value=b64(root), volume=self.ID.hex())

    def unwrap(self, client, w, **more):
        return client.post(f"keys/k/{w['version']}/unwrapkey", **({m: w[m] for m in ("alg", "value", "iv", "tag")} | more))

    def accept(self, root, volume=None):
        return self.a.post(f"keys/k/volumes/{volume or self.ID.hex()}/accept", root=root)

    def volumes(self):
        return self.good(self.a.get("keys/k/volumes"))["volumes"]

    def test_the_pin(self):
        mine, volume = self.good(self.wrap(self.host, self.roots[0])), self.ID.hex()
        self.assertEqual(mine["root"], self.prints[0])
        # The same as with the id as associated data.
        self.assertEqual(unb64(self.good(self.unwrap(self.host, mine, aad=b64(self.ID)))["value"]), self.roots[0])
        answer = self.good(self.unwrap(self.host, mine, volume=volume))
        self.assertEqual((unb64(answer["value"]), answer["root"]), (self.roots[0], self.prints[0]))
        # Somebody else's root: not wrapped, and not unwrapped where it was wrapped as something else.
        self.refused(self.wrap(self.thief, self.roots[1]), 409, "other_root")
        planted = self.good(self.thief.post("keys/k/wrapkey", alg="A256GCM", value=b64(self.roots[1]), aad=b64(self.ID)))
        self.refused(self.unwrap(self.host, planted, volume=volume), 409, "other_root")
        self.good(self.a.post("keys/k/rotate"))
        use = {m: planted[m] for m in ("alg", "value", "iv", "tag", "version")}
        self.refused(self.host.post("keys/k/rewrap", volume=volume, **use), 409, "other_root")
        self.good(self.host.post("keys/k/rewrap", volume=volume, **{m: mine[m] for m in use}))
        self.good(self.wrap(self.host, self.roots[0]))
        # A volume that nothing was wrapped for.
        other = "f" * 32
        lost = self.good(self.thief.post("keys/k/wrapkey", alg="A256GCM", value=b64(self.roots[1]), aad=b64(b"\xff" * 16)))
        self.refused(self.unwrap(self.host, lost, volume=other), 409, "other_root")
        self.good(self.accept(fingerprint(self.roots[1], b"\xff" * 16), other))
        self.good(self.unwrap(self.host, lost, volume=other))
        self.assertEqual({v["volume"]: v["root"] for v in self.volumes()},
                         {volume: self.prints[0], other: fingerprint(self.roots[1], b"\xff" * 16)})

    def test_another_root_is_accepted(self):
        volume = self.ID.hex()
        old = self.good(self.wrap(self.host, self.roots[0]))
        answer = self.good(self.accept(self.prints[1]))
        self.assertEqual((answer["root"], answer["next"]), (self.prints[0], self.prints[1]))
        new = self.good(self.wrap(self.host, self.roots[1]))
        self.good(self.unwrap(self.host, old, volume=volume))  # until the new one was unwrapped
        self.refused(self.wrap(self.host, self.roots[2]), 409, "other_root")
        self.good(self.unwrap(self.host, new, volume=volume))
        self.refused(self.unwrap(self.host, old, volume=volume), 409, "other_root")
        self.refused(self.wrap(self.thief, self.roots[0]), 409, "other_root")
        self.assertEqual(self.volumes()[0]["root"], self.prints[1])
        self.assertNotIn("next", self.volumes()[0])
        # Thought better of.
        self.good(self.accept(self.prints[2]))
        self.good(self.accept(self.prints[1]))
        self.refused(self.wrap(self.host, self.roots[2]), 409, "other_root")
        # And after a restart.
        self.s.stop()
        self.s.start()
        self.a.close()
        self.host.close()
        self.refused(self.wrap(self.host, self.roots[0]), 409, "other_root")
        self.good(self.unwrap(self.host, new, volume=volume))

    def test_what_is_no_volume(self):
        for volume in ("", "0" * 31, "0" * 33, "A" * 32, "g" * 32, 7):
            for more in ({}, {"aad": "AAAA"}):
                self.refused(self.host.post("keys/k/wrapkey", alg="A256GCM", value=b64(b"x" * 32), volume=volume, **more), 400, "bad_value")
            self.refused(self.host.post("keys/k/lease", volume=volume), 400, "bad_value")
        for size in (1, 31, 33):
            self.refused(self.wrap(self.host, b"x" * size), 400, "bad_value")
        for root in ("", "0" * 31, 1):
            self.refused(self.accept(root), 400, "bad_value")
        self.refused(self.accept("0" * 32, "xyz"), 400, "bad_value")
        self.assertEqual(self.volumes(), [])

    def test_keyring(self):
        """A copy of the sealed keyring: kept as it was sent; never an older one in its place."""
        path = f"keys/k/volumes/{self.ID.hex()}/keyring"
        self.refused(self.host.get(path), 404, "not_found")
        self.refused(self.host.post(path, sequence=1, text=b64(b"x")), 404, "not_found")
        self.good(self.wrap(self.host, self.roots[0]))
        self.refused(self.host.get(path), 404, "not_found")
        for sequence, size in ((1, 1), (2, 8192), (3, 8193), (7, 45000), (8, 20)):
            text = os.urandom(size)
            self.assertEqual(self.good(self.host.post(path, sequence=sequence, text=b64(text)))["sequence"], sequence)
            got = self.good(self.host.get(path))
            self.assertEqual((got["sequence"], keyd.unb64(got["text"])), (sequence, text))
        lines = len(self.lines())
        self.assertEqual(self.good(self.host.post(path, sequence=8, text=b64(b"other")))["sequence"], 8)
        self.assertEqual(len(self.lines()), lines)  # the same again is nothing new
        self.refused(self.host.post(path, sequence=7, text=b64(text)), 409, "older_keyring")
        for bad in ({"sequence": 0, "text": "QQ"}, {"sequence": 9, "text": ""}, {"sequence": 9, "text": b64(bytes(45001))}, {"text": "QQ"},
                    {"sequence": 9, "text": "QQ", "part": 0}, {"sequence": 9, "text": "QQ", "parts": 2}, {"sequence": 9, "text": "QQ", "part": 0, "parts": 1},
                    {"sequence": 9, "text": "QQ", "part": 2, "parts": 2}, {"sequence": 9, "text": "QQ", "part": 0, "parts": 9}):
            self.refused(self.host.post(path, **bad), 400, "bad_value")
        self.refused(self.host.get("keys/k/volumes/xyz/keyring"), 400, "bad_value")
        self.refused(self.stranger_of_k().get(path), 403, "not_granted")
        self.assertEqual(keyd.unb64(self.good(self.host.get(path))["text"]), text)

    def test_keyring_in_parts(self):
        """A long one comes in parts; until the last one is there the one before is kept (kept_keyring.c (1) to (3))."""
        path, other = f"keys/k/volumes/{self.ID.hex()}/keyring", self.thief
        self.good(self.wrap(self.host, self.roots[0]))

        def send(client, sequence, text, part, parts=8):
            return client.post(path, sequence=sequence, text=b64(text), part=part, parts=parts)

        def took(answer, kept):
            self.assertIs(self.good(answer)["kept"], kept)

        def kept(sequence, text):
            got = self.good(self.host.get(path))
            self.assertEqual((got["sequence"], keyd.unb64(got["text"])), (sequence, text))

        def parts_of(size):
            text = os.urandom(size)
            return text, [text[at:at + 45000] for at in range(0, size, 45000)]

        self.refused(send(self.host, 1, b"x", 1), 409, "out_of_order")
        took(self.host.post(path, sequence=1, text=b64(b"one")), True)
        long, parts = parts_of(8 * 45000)
        for i, part in enumerate(parts):
            took(send(self.host, 2, part, i), i == 7)
            if i in (0, 6):
                kept(1, b"one")
                took(send(self.host, 2, part, i), False)  # as of who heard no answer
                wrong = (self.host, 2, 1, 7), (self.host, 3, i + 1, 8), (self.host, 2, 5, 8), (other, 2, i + 1, 8)
                for client, sequence, number, of in wrong:
                    self.refused(send(client, sequence, part, number, of), 409, "out_of_order")
        kept(2, long)
        took(send(self.host, 2, parts[-1], 7), True)
        took(send(self.host, 2, parts[0], 0), True)
        self.refused(send(self.host, 1, b"x", 0), 409, "older_keyring")
        # Begun anew; by another, a short one between, and a key that is disabled meanwhile.
        again, parts = parts_of(100000)
        took(send(self.host, 5, parts[0], 0, 3), False)
        took(send(other, 5, b"y" * 45000, 0, 3), False)
        self.refused(send(self.host, 5, parts[1], 1, 3), 409, "out_of_order")
        took(send(self.host, 5, parts[0], 0, 3), False)
        took(self.host.post(path, sequence=3, text=b64(b"three")), True)
        kept(3, b"three")
        self.good(self.a.post("keys/k/disable"))
        self.refused(send(self.host, 5, parts[1], 1, 3), 403, "key_disabled")
        self.good(self.a.post("keys/k/enable"))
        took(send(self.host, 5, parts[1], 1, 3), False)
        kept(3, b"three")
        took(send(self.host, 5, parts[2], 2, 3), True)
        kept(5, again)
        self.s.stop()
        self.assertEqual(keyd.run("check", self.dir)[0], keyd.OK)

    def stranger_of_k(self):
        return self.accepted(self.s, "no-grant")

    def test_lease(self):
        volume = self.ID.hex()
        self.refused(self.host.post("keys/k/lease", volume=volume), 404, "not_found")
        self.good(self.wrap(self.host, self.roots[0]))
        self.assertNotIn("seen", self.volumes()[0])
        lines = len(self.lines())
        for _ in range(30):
            self.assertEqual(self.good(self.host.post("keys/k/lease", volume=volume, version=1)),
                             {"state": "enabled", "latest": 1, "min_decryption_version": 1, "renew_after": 20})
        self.assertEqual(len(self.lines()), lines)  # counted, not recorded
        seen = self.volumes()[0]
        self.assertEqual((seen["client"], seen["renewals"], seen["version"]), (self.host.fingerprint(), 30, 1))
        said = {"host": "web-1.example", "coffer": "0.1.0", "generation": 3, "reencryption_percent": 41, "backup_days": 0}
        self.good(self.host.post("keys/k/lease", volume=volume, **said))
        self.assertLessEqual(said.items(), self.volumes()[0].items())
        for bad in ({"host": "a b"}, {"coffer": ""}, {"generation": -1}, {"reencryption_percent": 101}, {"backup_days": "1"}):
            self.refused(self.host.post("keys/k/lease", volume=volume, **bad), 400, "bad_value")
        self.good(self.a.post("keys/k/rotate"))
        self.assertEqual(self.good(self.host.post("keys/k/lease", volume=volume, version=1))["latest"], 2)
        self.policy(volume)
        # What locks a mount, and what lets it go on.
        self.good(self.a.post("keys/k/disable"))
        for _ in range(100):
            self.refused(self.host.post("keys/k/lease", volume=volume), 403, "key_disabled")
        self.assertLess(sum(line["event"] == "refused" for line in self.lines()), 40)
        self.good(self.a.post("keys/k/enable"))
        self.good(self.host.post("keys/k/lease", volume=volume))
        self.good(self.a.post("keys/k/ungrant", client=self.host.fingerprint()))
        self.refused(self.host.post("keys/k/lease", volume=volume), 403, "not_granted")
        self.good(self.a.post("keys/k/grant", client=self.host.fingerprint()))
        self.good(self.host.post("keys/k/lease", volume=volume))
        self.good(self.a.post(f"clients/{self.host.fingerprint()}/revoke"))
        self.refused(self.host.post("keys/k/lease", volume=volume), 403, "client_revoked")


    def policy(self, volume):
        """Set in its bounds, told with the lease, and whether a volume is behind it."""
        def ago(days):
            return (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")

        state = {"rotated": ago(10), "sealed": 5 << 30, "generations": 3, "floor": 1}
        self.good(self.host.post("keys/k/lease", volume=volume, **state))
        self.assertLessEqual(state.items(), self.volumes()[0].items())
        self.assertNotIn("behind", self.volumes()[0])
        for bad in ({"rotated": "yesterday"}, {"generations": -1}, {"sealed": None}, {"floor": "1"}):
            self.refused(self.host.post("keys/k/lease", volume=volume, **{**state, **bad}), 400, "bad_value")
        for bad in ({"rotate_every": 86399}, {"rotate_every": 315360001}, {"rotate_every": "30d"}, {"rotate_after": (1 << 30) - 1},
                    {"rotate_after": (1 << 50) + 1}, {"keep": 1001}, {"keep": -1}, {"keep": 1, "rotate_every": 1}):
            self.refused(self.a.post("keys/k/config", **{"volumes_" + m: v for m, v in bad.items()}), 400, "bad_value")
        self.refused(self.host.post("keys/k/config", volumes_keep=1), 403, "role")
        self.assertNotIn("volumes_keep", self.good(self.a.get("keys/k")))
        for wanted, behind in (({"rotate_every": 11 * 86400}, False), ({"rotate_every": 9 * 86400}, True), ({"rotate_every": 0, "keep": 3}, False),
                               ({"keep": 2}, True), ({"keep": 0, "rotate_after": 5 << 30}, True), ({"rotate_after": 6 << 30}, False)):
            key = self.good(self.a.post("keys/k/config", **{"volumes_" + m: v for m, v in wanted.items()}))
            self.assertEqual({m: key.get("volumes_" + m, 0) for m in wanted}, wanted)
            self.assertEqual(self.volumes()[0]["behind"], behind, wanted)
        self.assertEqual(self.lines()[-1]["volumes_rotate_after"], 6 << 30)
        self.assertEqual(self.good(self.host.post("keys/k/lease", volume=volume))["policy"], {"rotate_after": 6 << 30})
        # It says nothing of its state any more.
        self.assertNotIn("behind", self.volumes()[0])
        self.good(self.a.post("keys/k/config", volumes_rotate_after=0))
        self.assertNotIn("policy", self.good(self.host.post("keys/k/lease", volume=volume)))


class Example(Api):
    def test_as_it_stands_in_the_documentation(self):
        host = self.accepted(self.s, "host")
        self.key("db", host)
        with open(DOCUMENTATION) as f:
            text = re.search(r"```python\n(.*?)```", f.read(), re.S)[1]
        for was, now in (("keys.example", "localhost"), ("8443", str(self.s.port)), ("ca.pem", self.dir + "/ca.pem"),
                         ("host.pem", host.cert), ("host.key", host.key)):
            self.assertIn(was, text)
            text = text.replace(was, now)
        self.assertLess(text.count("\n"), 35)
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, timeout=TIMEOUT)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual([line["event"] for line in self.lines()][-2:], ["wrap", "unwrap"])
        # And not where it is not granted.
        self.good(self.a.post("keys/db/ungrant", client=host.fingerprint()))
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, timeout=TIMEOUT)
        self.assertIn(b"RuntimeError: not_granted", done.stderr)


class Http(Api):
    def exchange(self, data, read_all=True):
        c = context(*(os.path.join(self.dir, f) for f in ("ca.pem", "admin.pem", "admin.key")))
        with socket.create_connection(("127.0.0.1", self.s.port), timeout=TIMEOUT) as plain:
            with c.wrap_socket(plain, server_hostname="localhost") as tls:
                tls.sendall(data)
                heard = b""
                while piece := tls.recv(65536):
                    heard += piece
                return heard

    def test_refused_requests_end_the_connection(self):
        """tests/service/test_http.c has the table; here: that the status arrives, and nothing behind it is answered."""
        for data, status in ((b"GET / HTTP/1.0\r\n\r\n", 505),
                             (b"POST /v1/keys/k HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n" + b"x" * 99999, 413),
                             (b"POST /v1/keys/k HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
                             (b"GET /v1/keys HTTP/1.1\r\nX: " + b"y" * 20000 + b"\r\n\r\n", 431)):
            heard = self.exchange(data + b"GET /v1/keys HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertTrue(heard.startswith(b"HTTP/1.1 %d " % status), heard)
            self.assertEqual(heard.count(b"\r\n\r\n"), 1)
            self.assertIn(b"\r\nConnection: close\r\n", heard)
            self.assertIn(b'"code":"bad_request"', heard)

    def test_one_behind_the_other(self):
        one = b"GET /v1/keys HTTP/1.1\r\nHost: a\r\n\r\n"
        last = b"GET /v1/keys HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        heard = self.exchange(one * 200 + last)
        self.assertEqual(heard.count(b"HTTP/1.1 200 OK\r\n"), 201)
        self.assertIn(b"\r\nCache-Control: no-store\r\n", heard)


class Metrics(Api):
    def test_numbers(self):
        self.a.close()
        self.s.stop()
        self.s = self.service("--metrics", "127.0.0.1:0")
        self.a = self.admin(self.s)
        before = self.s.numbers()
        self.key("k")
        w = self.good(self.a.post("keys/k/wrapkey", alg="A256GCM", value=b64(b"x" * 32), volume="0" * 32))
        use = {m: w[m] for m in ("alg", "value", "iv", "tag")}
        self.good(self.a.post("keys/k/1/unwrapkey", **use, volume="0" * 32))
        self.good(self.a.post("keys/k/rewrap", **use, volume="0" * 32, version=1))
        self.good(self.a.post("keys/k/lease", volume="0" * 32))
        self.refused(self.a.get("keys/none"), 404, "not_found")
        with socket.create_connection(("127.0.0.1", self.s.port)) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            while plain.recv(100):
                pass
        self.s.wait_logged("refused")
        after = self.s.numbers()
        grown = {n: after[n] - before[n] for n in after if after[n] != before[n] and n != "audit_lines_not_anchored"}
        self.assertEqual(grown, {"answers_ok_total": 5, "answers_refused_total": 1, "audit_lines": 5, "calls_refused_total": 1,
                                 "commits_total": 6, "connections_open": 1, "connections_total": 2, "leases_renewed_total": 1,
                                 "peers_refused_total": 1, "rewraps_total": 1, "unwraps_total": 1, "wraps_total": 1})
        self.assertIn(after["certificate_days_left"], (396, 397))  # as long as its first second lasts

    def test_what_the_port_answers(self):
        self.a.close()
        self.s.stop()
        for wrong in ("0.0.0.0:0", "[::]:0", "192.0.2.1:0", "nothing"):
            self.assertEqual(keyd.run("run", self.dir, "--listen", "127.0.0.1:0", "--metrics", wrong)[0], keyd.USAGE, wrong)
        for wrong in (["etcd"], ["sqlite", "--etcd", "http://127.0.0.1:1"], ["ldap"]):
            self.assertEqual(keyd.run("run", self.dir, "--listen", "127.0.0.1:0", "--store", *wrong)[0], keyd.USAGE, wrong)
        self.s = self.service("--metrics", "127.0.0.1:0")

        def ask(data):
            with socket.create_connection(("127.0.0.1", self.s.metrics_port), timeout=TIMEOUT) as s:
                s.sendall(data)
                heard = b""
                while piece := s.recv(65536):
                    heard += piece
                return heard

        self.refused(self.admin(self.s).raw("GET", "/metrics"), 404, "no_route")  # nor are they on the port of the service
        self.assertIn(b'{"status":"ok"}', ask(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"))
        for data, status in ((b"GET /v1/keys HTTP/1.1\r\nHost: a\r\n\r\n", 404), (b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 404),
                             (b"GET /health HTTP/1.0\r\n\r\n", 505), (b"\x16\x03\x01", 400), ((b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 4096)[:4096], 431)):
            self.assertIn(b"HTTP/1.1 %d " % status, ask(data))
        # Those that say nothing take places, not the service.
        held = [socket.create_connection(("127.0.0.1", self.s.metrics_port)) for _ in range(12)]
        self.assertEqual(self.admin(self.s).get("keys")[0], 200)
        for h in held:
            h.close()


class Log(Api):
    def test_every_change_is_recorded(self):
        """Whatever changes something has a line, by who did it."""
        client = self.accepted(self.s, "host")
        fp = client.fingerprint()
        before = len(self.lines())
        for path, body in (("keys/k", {}), ("keys/k/config", {"auto_rotate_days": 9}), ("keys/k/grant", {"client": fp}), ("keys/k/ungrant", {"client": fp}),
                           ("keys/k/rotate", {}), ("keys/k/disable", {}), ("keys/k/enable", {}), ("keys/k/delete", {"days": 7}), ("keys/k/recover", {}),
                           ("keys/k/delete", {}), ("keys/k/purge", {}), (f"clients/{fp}/accept", {"role": "auditor"}), (f"clients/{fp}/revoke", {})):
            self.good(self.a.post(path, **body), 201 if path == "keys/k" else 200)
        lines = self.lines()[before:]
        self.assertEqual([line["event"] for line in lines],
                         ["key.create", "key.config", "key.grant", "key.ungrant", "key.rotate", "key.disable", "key.enable", "key.delete", "key.recover",
                          "key.delete", "key.purge", "client.accept", "client.revoke"])
        self.assertEqual({(line["name"], line["peer"]) for line in lines}, {("admin", "127.0.0.1")})

    def test_what_is_recorded(self):
        client = self.accepted(self.s, "host")
        self.key("k", client)
        w = self.good(client.post("keys/k/wrapkey", alg="A256GCM", value=b64(b"x" * 32)))
        self.good(client.post("keys/k/1/unwrapkey", **{m: w[m] for m in ("alg", "value", "iv", "tag")}))
        self.refused(client.post("keys/k/rotate"), 403, "role")
        lines = self.lines()
        self.assertEqual([line["n"] for line in lines], list(range(1, len(lines) + 1)))
        self.assertEqual([line["event"] for line in lines],
                         ["init", "start", "client.register", "client.accept", "key.create", "key.grant", "wrap", "unwrap", "refused"])
        unwrap = lines[7]
        self.assertEqual((unwrap["key"], unwrap["version"], unwrap["client"], unwrap["name"], unwrap["peer"]),
                         ("k", 1, client.fingerprint(), "host", "127.0.0.1"))
        self.assertEqual((lines[8]["code"], lines[8]["request"]), ("role", "POST /v1/keys/k/rotate"))
        # Changes name the rows that they changed; nothing names what was wrapped.
        self.assertEqual([r["row"] for r in lines[4]["rows"]], ["version/k/1", "key/k"])
        self.assertNotIn("rows", unwrap)
        self.assertEqual(self.good(self.a.get("audit/8"))["lines"], lines[7:])
        self.assertEqual(self.good(self.a.get("audit/100"))["lines"], [])
        self.refused(self.a.get("audit/x"), 400, "bad_value")


if __name__ == "__main__":
    unittest.main()
