"""The administrator's page in Chromium, with a client certificate of the browser's own: shown, clicked, used by keyboard.

The browser is driven through its debugging pipe (file descriptors 3 and 4, JSON ended by a zero byte)."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
import unittest

import keyd
from keyd import Case

# Which certificate a browser shows is a policy of the machine; the browser sees a /etc/chromium of its own.
START = """mount -t tmpfs none /etc/chromium && mkdir -p /etc/chromium/policies/managed && cp "$POLICY" /etc/chromium/policies/managed/p.json &&
exec chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --user-data-dir="$PROFILE" \
--remote-debugging-pipe about:blank 3<&"$IN" 4>&"$OUT" """
POLICY = {"AutoSelectCertificateForUrls": ['{"pattern":"*","filter":{}}'], "BackgroundModeEnabled": False}


def missing():
    for program in ("bash", "chromium", "pk12util", "certutil", "unshare"):
        if not shutil.which(program):
            return f"{program} is not installed"
    if not os.path.isdir("/etc/chromium"):
        return "there is no /etc/chromium"
    if subprocess.run(["unshare", *NAMESPACE, "true"], capture_output=True).returncode != 0:
        return "no mount namespace can be made"
    return None


NAMESPACE = ["--mount"] if os.geteuid() == 0 else ["--map-root-user", "--mount"]
MISSING = missing()


def high(fd):
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(fd)
    return moved


class Browser:
    def __init__(self, top, p12, ca):
        home, db = os.path.join(top, "home"), "sql:" + os.path.join(top, "home", ".pki", "nssdb")
        os.makedirs(home + "/.pki/nssdb")
        for command in (["certutil", "-N", "-d", db, "--empty-password"], ["pk12util", "-i", p12, "-d", db, "-W", ""],
                        ["certutil", "-A", "-d", db, "-n", "ca", "-t", "C,,", "-i", ca]):
            subprocess.run(command, check=True, capture_output=True, timeout=keyd.TIMEOUT)
        policy = os.path.join(top, "policy.json")
        with open(policy, "w") as f:
            json.dump(POLICY, f)
        self.log = open(os.path.join(top, "browser.log"), "wb")
        # Above those that they become in the shell.
        theirs_in, self.to, self.of, theirs_out = (high(fd) for fd in (*os.pipe(), *os.pipe()))
        environment = {**os.environ, "HOME": home, "PROFILE": os.path.join(top, "profile"), "POLICY": policy, "IN": str(theirs_in),
                       "OUT": str(theirs_out)}
        self.process = subprocess.Popen(["unshare", *NAMESPACE, "bash", "-c", START], env=environment, pass_fds=(theirs_in, theirs_out),
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        os.close(theirs_in)
        os.close(theirs_out)
        self.number, self.got, self.events, self.session = 0, b"", [], None

    def end(self):
        try:
            self.session = None
            self.call("Browser.close")
            self.process.wait(20)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        os.close(self.to)
        os.close(self.of)
        self.log.close()

    def receive(self):
        while b"\0" not in self.got:
            if not select.select([self.of], [], [], keyd.TIMEOUT)[0]:
                raise AssertionError("the browser does not answer")
            some = os.read(self.of, 1 << 16)
            if not some:
                with open(self.log.name, errors="replace") as f:
                    raise AssertionError("the browser has ended: " + f.read()[-1000:])
            self.got += some
        message, _, self.got = self.got.partition(b"\0")
        return json.loads(message)

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            m = self.receive()
            if m.get("id") == self.number:
                if "error" in m:
                    raise AssertionError(f"{method}: {m['error']}")
                return m["result"]
            self.events.append(m)

    def open(self, url):
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(domain + ".enable")
        self.call("Page.navigate", url=url)

    def js(self, expression):
        r = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in r:
            raise AssertionError(f"{expression}: {r['exceptionDetails']}")
        return r["result"].get("value")

    def wait(self, expression):
        end = time.monotonic() + 20
        while True:
            try:
                value = self.js(expression)
            except AssertionError:  # a page that is not there yet
                value = None
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError(f"never so: {expression}: {self.js('document.body.innerText')}")
            time.sleep(0.05)

    def click(self, selector):
        """With the mouse, where it is."""
        self.wait(f"!!document.querySelector({json.dumps(selector)})")
        x, y = self.js(f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center'}}); "
                       "const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key):
        code = {"Enter": 13, "Escape": 27, "Tab": 9}[key]
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, text="\r" if key == "Enter" else "")
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)

    def picture(self, file):
        with open(file, "wb") as f:
            f.write(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


class Page(Case):
    def setUp(self):
        super().setUp()
        self.s = self.service()
        self.a = self.admin(self.s)
        self.assertEqual(self.a.post("keys/db")[0], 201)
        cert, key = self.self_signed("web-1")
        self.host = self.client(self.s, cert, key)
        self.assertEqual(self.host.post("clients/register", name="web-1")[0], 202)
        self.b = Browser(self.top, self.dir + "/admin.p12", self.dir + "/ca.pem")
        self.addCleanup(self.b.end)
        self.b.open(f"https://localhost:{self.s.port}/")
        self.b.wait("document.getElementById('message').textContent === 'Loaded.'")

    def text(self, selector):
        return self.b.js(f"document.querySelector({json.dumps(selector)}).innerText")

    def test_accept_by_mouse(self):
        # A volume on the newest version that keeps more generations than it should.
        volume = "5a" * 16
        self.a.post("keys/db/wrapkey", alg="A256GCM", value=keyd.b64(b"r" * 32), volume=volume)
        self.a.post("keys/db/config", volumes_keep=1)
        self.a.post("keys/db/lease", volume=volume, version=1, rotated="2026-11-28T12:00:00Z", sealed=0, generations=2, floor=1)
        self.assertIn("as admin (admin)", self.text("#who"))
        fingerprint = self.host.fingerprint()
        self.assertIn(fingerprint, self.text("#pending").replace(" ", ""))
        self.b.click('[aria-label="Accept web-1"]')
        self.b.wait("document.getElementById('confirm').open")
        self.assertIn(fingerprint, self.text("#confirm-text").replace(" ", ""))
        self.assertIn("pending", [c["state"] for c in self.a.get("clients")[1]["clients"]])
        self.b.click("#confirm-yes")
        self.b.wait("document.getElementById('message').textContent === 'web-1 is accepted.'")
        states = {c["name"]: (c["state"], c["role"]) for c in self.a.get("clients")[1]["clients"]}
        self.assertEqual(states["web-1"], ("accepted", "client"))
        self.assertIn("Nobody waits.", self.text("#pending"))
        self.assertIn("client.accept", self.text("#log"))
        self.assertRegex(self.text("#volumes"), volume + r"\s+db\s+1 of 1\s+behind")
        if os.environ.get("COFFER_PICTURE"):
            self.b.picture(os.environ["COFFER_PICTURE"])

    def test_refuse_and_what_is_old(self):
        """A volume whose root is under an old version, the next rotation; a client that is refused is so for good."""
        self.assertEqual(self.a.post("keys/db/config", auto_rotate_days=30)[0], 200)
        self.assertEqual(self.a.post("keys/db/wrapkey", alg="A256GCM", value=keyd.b64(bytes(32)), volume="ab" * 16)[0], 200)
        self.assertEqual(self.a.post("keys/db/rotate")[0], 200)
        self.assertEqual(self.a.post("keys/db/lease", volume="ab" * 16, version=1)[0], 200)
        self.b.click("#reload")
        self.b.wait("document.getElementById('volumes').innerText.includes('1 of 2')")
        self.assertIn("ab" * 16, self.text("#volumes"))
        day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 30 * 86400))
        self.assertIn(day, self.text("#keys"))
        self.b.click('[aria-label="Refuse web-1"]')
        self.b.wait("document.getElementById('confirm').open")
        self.b.click("#confirm-yes")
        self.b.wait("document.getElementById('message').textContent === 'web-1 is refused.'")
        self.assertEqual({c["name"]: c["state"] for c in self.a.get("clients")[1]["clients"]}["web-1"], "revoked")

    def test_disable_by_keyboard(self):
        b = self.b
        b.js("document.querySelector('[aria-label=\"Disable key db\"]').focus()")
        b.press("Enter")
        b.wait("document.activeElement.id === 'confirm-no'")  # what does nothing comes first
        b.press("Escape")
        b.wait("!document.getElementById('confirm').open")
        self.assertEqual(b.js("document.activeElement.getAttribute('aria-label')"), "Disable key db")
        self.assertEqual(self.a.get("keys/db")[1]["state"], "enabled")
        b.press("Enter")
        b.wait("document.activeElement.id === 'confirm-no'")
        b.press("Tab")
        b.wait("document.activeElement.id === 'confirm-yes'")
        b.press("Enter")
        b.wait("document.getElementById('message').textContent === 'key db is disabled.'")
        self.assertEqual(b.js("document.activeElement.id"), "message")
        self.assertEqual(self.a.get("keys/db")[1]["state"], "disabled")
        for label, state in (("Rotate", "disabled"), ("Enable", "enabled")):
            b.click(f'[aria-label="{label} key db"]')
            b.wait("document.getElementById('confirm').open")
            b.click("#confirm-yes")
            b.wait("!document.getElementById('confirm').open && document.activeElement.id === 'message'")
            self.assertEqual(self.a.get("keys/db")[1]["state"], state)
        self.assertEqual(self.a.get("keys/db")[1]["latest"], 2)

    def test_what_assistive_programs_see(self):
        nodes = self.b.call("Accessibility.getFullAXTree")["nodes"]
        seen = {}
        for n in nodes:
            if not n.get("ignored"):
                seen.setdefault(n["role"]["value"], []).append(n.get("name", {}).get("value", ""))
        for role in ("button", "link", "table", "region", "heading", "columnheader"):
            self.assertTrue(seen.get(role), role)
            self.assertTrue(all(seen[role]), (role, seen[role]))
        for label in ("Accept web-1", "Refuse web-1", "Disable key db", "Rotate key db", "Reload"):
            self.assertIn(label, seen["button"])
        for role in ("main", "status", "alert"):
            self.assertIn(role, seen)
        self.assertEqual(len(seen["heading"]), len(set(seen["heading"])))

    def test_nothing_else_runs(self):
        b = self.b
        errors = [e for e in b.events if e.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded")]
        self.assertEqual(errors, [])
        self.assertTrue(b.js("(() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s); "
                             "return window.ran === undefined; })()"))
        self.assertEqual(b.js("fetch('https://localhost:1/').then(() => 'went', () => 'refused')"), "refused")
        # Another page with this browser's certificate: neither as JSON nor as a form.
        b.open("data:text/html,<p>elsewhere")
        for kind in ("application/json", "text/plain"):
            b.js(f"fetch('https://localhost:{self.s.port}/v1/keys/db/disable', {{method: 'POST', mode: '{'cors' if 'json' in kind else 'no-cors'}', "
                 f"credentials: 'include', headers: {{'Content-Type': '{kind}'}}, body: '{{}}'}}).then(() => 1, () => 2)")
        self.assertEqual(self.a.get("keys/db")[1]["state"], "enabled")


if __name__ == "__main__":
    if MISSING:
        print("skipped: " + MISSING)
        sys.exit(77)
    unittest.main()
