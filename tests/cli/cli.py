"""What the tests of the verbs share: running coffer without ever hanging, volumes to work on, a terminal to type at."""

import hashlib
import os
import pty
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

COFFER = os.environ.get("COFFER") or sys.exit("COFFER is not set: run the tests by meson")
TIMEOUT = 120

# Exit statuses, as coffer(1) lists them.
OK, FAILED, USAGE, WRONG_SECRET, NOT_VOLUME, DAMAGED, IN_USE, UNSUPPORTED = range(8)
NO_FUSE, MOUNT_POINT, NOT_EMPTY, NO_SECRET, STORE, REFUSED = range(8, 14)
# `check` has those of fsck(8): what is said of the other verbs means this there.
CHECK = {OK: 0, USAGE: 16, DAMAGED: 4} | {s: 8 for s in (WRONG_SECRET, NOT_VOLUME, IN_USE, UNSUPPORTED, NO_SECRET, STORE,
                                                             REFUSED)}


os.environ.setdefault("COFFER_STATE_DIR", "")  # what this host remembers is none of the tests' business


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err


def start(argv, **kw):
    """A process in a session of its own, so that it has no terminal, with nothing to read."""
    kw.setdefault("stdin", subprocess.DEVNULL)
    kw.setdefault("stdout", subprocess.PIPE)
    kw.setdefault("stderr", subprocess.PIPE)
    return subprocess.Popen([os.fspath(a) for a in argv], start_new_session=True, **kw)


def run_program(argv, input=None, timeout=TIMEOUT, **kw):
    if input is not None:
        kw["stdin"] = subprocess.PIPE
    process = start(argv, **kw)
    try:
        out, err = process.communicate(input, timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise AssertionError(f"hangs: {argv}") from None
    if b"coffer: failed" in (err or b"").splitlines():
        raise AssertionError(f"an error without a word: {argv}")
    return Result(process.returncode, (out or b"").decode(errors="replace"), (err or b"").decode(errors="replace"))


def run(*arguments, **kw):
    return run_program([COFFER, *arguments], **kw)


def snapshot(top):
    """Everything below top that a change would show in: names, types, modes, times, contents."""
    seen = {}
    for directory, names, files in os.walk(top):
        for name in [".", *names, *files]:
            path = os.path.join(directory, name)
            if path.endswith("/.coffer/audit.log"):  # every unlocking is recorded, whatever comes of it
                continue
            st = os.lstat(path)
            content = b""
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as f:
                    content = hashlib.sha256(f.read()).digest()
            elif stat.S_ISLNK(st.st_mode):
                content = os.readlink(path)
            seen[os.path.relpath(path, top)] = (st.st_mode, st.st_size if content else 0, st.st_mtime_ns, content)
    return seen


def seal_again(path):
    """Puts a right hash at the end of a keyring or settings file that was edited (docs/format-keyring.md, section 2)."""
    with open(path, "rb") as f:
        data = f.read()
    at = data.rindex(b"sha256=") + len(b"sha256=")
    with open(path, "wb") as f:
        f.write(data[:at] + hashlib.sha256(data[:at]).hexdigest().encode() + b"\n")


class Case(unittest.TestCase):
    """A directory of one's own, with a key file in it."""

    maxDiff = 2000

    def setUp(self):
        self.top = tempfile.mkdtemp(prefix="coffer-cli.")
        self.addCleanup(shutil.rmtree, self.top, ignore_errors=True)
        self.key = self.file("key", os.urandom(64))

    def path(self, *parts):
        return os.path.join(self.top, *parts)

    def file(self, name, content):
        path = self.path(name)
        with open(path, "wb") as f:
            f.write(content)
        os.chmod(path, 0o600)
        return path

    def volume(self, name="vault", *options):
        """Opened by self.key: no derivation, so it costs nothing; the smallest journal is made at once."""
        path = self.path(name)
        if "--journal-size" not in options:
            options = ("--journal-size", "4M", *options)
        self.good("init", path, "--key-file", self.key, "--no-recovery-key", *options)
        return path

    def good(self, *arguments, **kw):
        result = run(*arguments, **kw)
        self.assertEqual(result.status, OK, f"{arguments}: {result.err}")
        return result

    def bad(self, status, *arguments, says="", **kw):
        """Fails with this status and exactly one line, which says something."""
        result = run(*arguments, **kw)
        if arguments[0] == "check":
            status = CHECK[status]
        self.check_bad(result, status, says, arguments)
        return result

    def check_bad(self, result, status, says, what):
        self.assertEqual(result.status, status, f"{what}: {result.err}")
        self.assertRegex(result.err, r"\Acoffer: [^\n]+\n\Z", what)
        self.assertIn(says, result.err, what)
        self.assertNotIn("Sanitizer", result.err, what)

    def unchanged(self, top, status, *arguments, **kw):
        """Fails, and nothing below top is another one afterwards."""
        before = snapshot(top)
        result = self.bad(status, *arguments, **kw)
        self.assertEqual(snapshot(top), before, arguments)
        return result


class Terminal:
    """coffer at a terminal."""

    def __init__(self, *arguments, **environment):
        self.text = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(environment)
            try:
                os.execv(COFFER, ["coffer", *[os.fspath(a) for a in arguments]])
            finally:
                os._exit(127)

    def _more(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.fd], [], [], left)[0]:
            raise AssertionError(f"the terminal stays silent; so far: {self.text!r}")
        try:
            data = os.read(self.fd, 4096)
        except OSError:  # the other end is closed
            data = b""
        self.text += data.decode(errors="replace")
        return bool(data)

    def expect(self, pattern, timeout=TIMEOUT):
        """Waits for the pattern; what was read up to its end is used up."""
        deadline = time.monotonic() + timeout
        while True:
            found = re.search(pattern, self.text)
            if found:
                self.text = self.text[found.end():]
                return found
            if not self._more(deadline):
                raise AssertionError(f"no {pattern!r} in {self.text!r}")

    def type(self, line):
        os.write(self.fd, line.encode() + b"\n")

    def end(self, timeout=TIMEOUT):
        """Waits for the end; returns the exit status.  self.text is what was not expected."""
        deadline = time.monotonic() + timeout
        try:
            while self._more(deadline):
                pass
            _, status = os.waitpid(self.pid, 0)
        except AssertionError:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            raise
        finally:
            os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


def main():
    unittest.main(verbosity=2)
