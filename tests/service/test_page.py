"""The administrator's page as a browser gets it, without a browser: who gets it, in what head, and what it refers to (page.h)."""

import json
import os
import re
import unittest

from keyd import Case

FILES = {"/": "text/html; charset=utf-8", "/page.css": "text/css; charset=utf-8", "/page.js": "text/javascript; charset=utf-8"}
SOURCE = os.path.join(os.environ["SOURCE_ROOT"], "keymgr", "service", "page")


class Page(Case):
    def setUp(self):
        super().setUp()
        self.s = self.service()
        self.a = self.admin(self.s)

    def ask(self, client, method, path, body=None, **headers):
        if not client.connection:
            client.connect()
        client.connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        r = client.connection.getresponse()
        return r.status, dict(r.getheaders()), r.read()

    def policy(self, headers):
        parts = [p.strip().split() for p in headers["Content-Security-Policy"].split(";")]
        return {p[0]: p[1:] for p in parts}

    def test_files_and_heads(self):
        for path, kind in FILES.items():
            with self.subTest(path):
                status, headers, content = self.ask(self.a, "GET", path)
                self.assertEqual((status, headers["Content-Type"]), (200, kind))
                with open(os.path.join(SOURCE, path.strip("/") or "index.html"), "rb") as f:
                    self.assertEqual(content, f.read())
                self.assertEqual(self.ask(self.a, "POST", path, "{}", Content_Type="application/json")[0], 405)
        for path in (*FILES, "/v1/keys", "/v1/nothing", "/nothing"):
            with self.subTest(path):
                headers = self.ask(self.a, "GET", path)[1]
                self.assertEqual(headers["Cache-Control"], "no-store")
                self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
                self.assertEqual(headers["Referrer-Policy"], "no-referrer")
                self.assertEqual(headers["Cross-Origin-Resource-Policy"], "same-origin")
                policy = self.policy(headers)
                self.assertEqual(policy["default-src"], ["'none'"])
                for what in ("script-src", "style-src", "connect-src"):
                    self.assertEqual(policy[what], ["'self'"], what)
                for what in ("base-uri", "form-action", "frame-ancestors"):
                    self.assertEqual(policy[what], ["'none'"], what)
                self.assertNotRegex(headers["Content-Security-Policy"], r"unsafe|\*|https?:")
        self.assertNotIn("text/html", self.ask(self.a, "GET", "/v1/keys")[1]["Content-Type"])

    def test_nobody_else_gets_it(self):
        strangers = {role: self.accepted(self.s, role, role) for role in ("client", "operator", "auditor")}
        strangers["stranger"] = self.client(self.s, *self.self_signed("stranger"))
        for role, c in strangers.items():
            for path in FILES:
                with self.subTest(role=role, path=path):
                    status, headers, content = self.ask(c, "GET", path)
                    self.assertEqual((status, headers["Content-Type"]), (403, "application/json"))
                    self.assertEqual(json.loads(content)["error"]["code"], "client_unknown" if role == "stranger" else "role")

    def test_it_refers_to_nothing_else(self):
        read = {path: self.ask(self.a, "GET", path)[2].decode() for path in FILES}
        for path, text in read.items():
            self.assertNotRegex(text, r"(?i)https?:|url\(|@import|['\"]//", path)
            self.assertTrue(text.isascii(), path)
        html, script = read["/"], read["/page.js"]
        self.assertEqual(set(re.findall(r'(?:href|src)="([^"#]+)"', html)), {"data:,", "/page.css", "/page.js"})
        self.assertNotRegex(html, r"(?i)\son\w+=|\sstyle=|<style|<script(?![^>]*src=)|javascript:")
        self.assertNotRegex(script, r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|Function\(|setTimeout\(['\"]")
        # What it asks the service for is there, and what it names is in the page.
        ids = re.findall(r'\sid="([^"]+)"', html)
        self.assertEqual(len(ids), len(set(ids)))
        self.assertLessEqual(set(re.findall(r'\$\("([^"]+)"\)', script)), set(ids))
        for name in re.findall(r'(?:aria-labelledby|aria-describedby|for)="([^"]+)"', html):
            self.assertIn(name, ids)
        self.assertRegex(html, r'<html lang="en">')
        for path in ("self", "clients", "keys", "status"):
            self.assertIn(f'"{path}"', script)
            self.assertEqual(self.a.get(path)[0], 200)

    def test_origins(self):
        host = f"localhost:{self.s.port}"
        body = {"Content_Type": "application/json", "Host": host}
        for origin, code in ((f"https://{host}", None), ("null", "other_origin"), ("https://evil.example", "other_origin"),
                             (f"http://{host}", "other_origin"), (f"https://{host}.evil.example", "other_origin"),
                             (f"https://{host}0", "other_origin"), ("https://localhost", "other_origin"), ("", "other_origin")):
            with self.subTest(origin):
                name = "k%d" % len(self.a.get("keys")[1]["keys"])
                status, _, content = self.ask(self.a, "POST", "/v1/keys/" + name, "", Origin=origin, **body)
                answer = json.loads(content)
                self.assertEqual((status, answer.get("error", {}).get("code")), (403, code) if code else (201, None))
        self.assertEqual(len(self.a.get("keys")[1]["keys"]), 1)
        self.assertEqual(self.ask(self.a, "GET", "/v1/keys", Origin="https://evil.example", Host=host)[0], 200)  # changes nothing
        # What a form of another page could send is no JSON.
        self.assertEqual(self.ask(self.a, "POST", "/v1/keys/k", "", Content_Type="text/plain", Host=host)[0], 415)

    def test_status(self):
        status, answer = self.a.get("status")
        self.assertEqual((status, set(answer), answer["backup_failing"]), (200, {"log_last", "backup_failing"}, False))
        self.assertEqual(self.a.post("keys/k")[0], 201)
        self.assertEqual(self.a.get("status")[1]["log_last"], answer["log_last"] + 1)


if __name__ == "__main__":
    unittest.main()
