"""Volumes and mounts for the tests, cleaned up whatever happens.

    COFFER             path of the program under test; "plain" (or nothing): plain directories take the place of
                       mounts, which shows that the tests themselves expect what a Linux filesystem does
    COFFER_TEST_SCALE  divides numbers of seeds and iterations (10 for sanitizer builds)
    COFFER_TEST_LONG   the full numbers, for suite 'long'
    COFFER_TEST_KEEP   keep the temporary directories

A test file defines functions named test_*; their parameters say what they get:

    d        a fresh directory inside the mount that all tests of the file share
    shared   that mount (a Volume)
    volume   a fresh volume of its own, not yet mounted
    tmp      a fresh directory outside any mount

and ends in `sys.exit(harness.main())`. Exit status: 0 all passed, 1 some failed, 77 all skipped.
"""

import contextlib
import ctypes
import fcntl
import errno
import gc
import inspect
import json
import os
import pickle
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
import traceback

os.environ.setdefault("COFFER_STATE_DIR", "")  # what this host remembers is none of the tests' business

COFFER = os.environ.get("COFFER") or "plain"
PLAIN = COFFER == "plain"
EVERY_MOUNT = tuple(o for o in os.environ.get("COFFER_TEST_OPTIONS", "").split(",") if o)  # mount options, such as io_uring
SCALE = max(1, int(os.environ.get("COFFER_TEST_SCALE") or "1"))
LONG = bool(os.environ.get("COFFER_TEST_LONG"))
KEEP = bool(os.environ.get("COFFER_TEST_KEEP"))
ROOT = os.geteuid() == 0
HERE = os.path.dirname(os.path.abspath(__file__))
NOBODY = 65534
SMALL_JOURNAL = ("--journal-size", "4M")  # the smallest: quick to make, and it fills, so that checkpoints happen

MOUNT_TIMEOUT = 60 * (3 if SCALE > 1 else 1)
SANITIZER_REPORT = re.compile(
    rb"(ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|SUMMARY: \w+Sanitizer)"
)

_libc = ctypes.CDLL(None, use_errno=True)


class Skip(Exception):
    """What this machine cannot do; says why."""


class Failure(AssertionError):
    pass


def scaled(n):
    return max(1, n // SCALE)


# Processes


def run(*argv, timeout=120, check=True, **kw):
    """A command with its output captured as text; never waits for ever, never reads the terminal."""
    kw.setdefault("stdin", subprocess.DEVNULL)
    kw.setdefault("stdout", subprocess.PIPE)
    kw.setdefault("stderr", subprocess.PIPE)
    kw.setdefault("errors", "surrogateescape")
    argv = [os.fspath(a) for a in argv]
    r = subprocess.run(argv, timeout=timeout, **kw)
    if "coffer: failed" in (r.stderr or "").splitlines():
        raise Failure(f"{' '.join(argv)}: an error without a word, exit status {r.returncode}")
    if check and r.returncode:
        raise Failure(f"{' '.join(argv)}: exit status {r.returncode}\n{r.stdout or ''}{r.stderr or ''}")
    return r


def have(program):
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is not None


def need(*programs):
    for p in programs:
        if not have(p):
            raise Skip(f"{p} is not installed")


def need_root():
    if not ROOT:
        raise Skip("needs root")


def need_mount():
    if PLAIN:
        raise Skip("needs a mount (COFFER)")


def _die_with_parent():
    _libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def as_user(uid, gid, groups, function, *args, umask=None):
    """Calls the function in a child that has become that user; returns its result or raises its exception."""
    r, w = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(r)
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            if umask is not None:
                os.umask(umask)
            try:
                answer = (True, function(*args))
            except BaseException as e:
                answer = (False, e if isinstance(e, OSError) else Failure(traceback.format_exc()))
            with os.fdopen(w, "wb") as f:
                pickle.dump(answer, f)
            status = 0
        finally:
            os._exit(status)
    os.close(w)
    with os.fdopen(r, "rb") as f:
        data = f.read()
    os.waitpid(pid, 0)
    good, value = pickle.loads(data)
    if good:
        return value
    raise value


def wait_until(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failure(f"timed out after {seconds} s: {what}")
        time.sleep(0.01)


# Expectations


def equal(got, wanted, what=""):
    if got != wanted:
        raise Failure(f"{what}{': ' if what else ''}got {_short(got)}, wanted {_short(wanted)}")


def _short(x):
    text = repr(x)
    return text if len(text) <= 300 else text[:300] + f"... ({len(text)} characters)"


def fails(wanted, function, *args, **kw):
    """The call fails with this errno (or one of a tuple)."""
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    names = " or ".join(errno.errorcode[e] for e in wanted)
    try:
        result = function(*args, **kw)
    except OSError as e:
        if e.errno not in wanted:
            raise Failure(f"{function.__name__}: {errno.errorcode.get(e.errno, e.errno)}, wanted {names}") from e
        return e.errno
    raise Failure(f"{function.__name__}{_short(args)}: returned {_short(result)}, wanted {names}")


def content(seed, size):
    """The same pseudo-random bytes for the same seed."""
    return random.Random(f"{seed}").randbytes(size)


def write_file(path, data, mode=0o644):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)


def read_file(path):
    with open(path, "rb") as f:
        return f.read()


# Calls that Python lacks

NOREPLACE, EXCHANGE = 1, 2
KEEP_SIZE, PUNCH_HOLE, COLLAPSE_RANGE, ZERO_RANGE, INSERT_RANGE = 1, 2, 8, 16, 32


def _checked(result, *names):
    if result < 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e), *names)
    return result


def renameat2(a, b, flags=0):
    return _checked(_libc.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), flags), a)


def fallocate(fd, mode, offset, length):
    _libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
    return _checked(_libc.fallocate(fd, mode, offset, length))


class Directory:
    """opendir(3) and what goes with it."""

    class _Entry(ctypes.Structure):
        _fields_ = [
            ("ino", ctypes.c_uint64),
            ("off", ctypes.c_int64),
            ("reclen", ctypes.c_ushort),
            ("type", ctypes.c_ubyte),
            ("name", ctypes.c_char * 256),
        ]

    def __init__(self, path):
        lib = ctypes.CDLL(None, use_errno=True)
        lib.opendir.restype = ctypes.c_void_p
        lib.readdir64.restype = ctypes.POINTER(self._Entry)
        lib.telldir.restype = ctypes.c_long
        for name in ("readdir64", "telldir", "rewinddir", "closedir", "dirfd"):
            getattr(lib, name).argtypes = [ctypes.c_void_p]
        lib.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
        self.lib = lib
        self.handle = lib.opendir(os.fsencode(path))
        if not self.handle:
            _checked(-1, path)

    def read(self):
        """The next name but "." and "..", None at the end."""
        while True:
            ctypes.set_errno(0)
            entry = self.lib.readdir64(self.handle)
            if not entry:
                if ctypes.get_errno():
                    _checked(-1)
                return None
            if entry.contents.name not in (b".", b".."):
                return entry.contents.name

    def rest(self):
        return list(iter(self.read, None))

    def tell(self):
        return self.lib.telldir(self.handle)

    def seek(self, where):
        self.lib.seekdir(self.handle, where)

    def rewind(self):
        self.lib.rewinddir(self.handle)

    def close(self):
        self.lib.closedir(self.handle)


# Where the format puts things (docs/format-volume.md, 6.4)

REGIONS = [(60, 0), (32, 1), (28, 2), (2, 3), (1, 4), (1, 5)]  # children of the head: how many, of what height
INLINE_MAX = 3968


def subtree_pages(height):
    return 1 if height == 0 else 1 + 128 * subtree_pages(height - 1)


def page_position(page):
    """Physical page of a logical page, and the physical pages of the maps above it, topmost first."""
    logical, physical = 0, 1
    for count, height in REGIONS:
        for _ in range(count):
            if page < logical + 128**height:
                maps = []
                while height:
                    maps.append(physical)
                    child = (page - logical) // 128 ** (height - 1)
                    logical += child * 128 ** (height - 1)
                    physical += 1 + child * subtree_pages(height - 1)
                    height -= 1
                return physical, maps
            logical += 128**height
            physical += subtree_pages(height)
    raise ValueError(page)


def physical_size(n):
    if n <= INLINE_MAX:
        return 128 + n
    return page_position((n - 1) // 4096)[0] * 4096 + (n - 1) % 4096 + 1


def filesystem_of(path):
    return run("stat", "-f", "-c", "%T", path).stdout.strip()


# Mounts of the system


def _unescape(text):
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), text)


def mounts(below=None):
    """(mount point, type, device minor) of each mount, in order; those at or below a path."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
        for line in f:
            left, right = line.rstrip("\n").split(" - ", 1)
            fields = left.split(" ")
            point = _unescape(fields[4])
            if below is None or point == below or point.startswith(below.rstrip("/") + "/"):
                found.append((point, right.split(" ")[0], int(fields[2].split(":")[1])))
    return found


def mounted(point):
    return any(p == point for p, _, _ in mounts())


def answers(point):
    """Mounted, and not a dead mount that somebody left there."""
    try:
        os.statvfs(point)  # of a dead mount the kernel may still know the attributes, but not this
        device = os.stat(point).st_dev
    except PermissionError:
        return mounted(point)  # another user's mount answers that
    except OSError:
        return False
    return any(p == point and os.makedev(0, minor) == device for p, _, minor in mounts())


def abort_connection(minor):
    """Makes every request of a FUSE mount fail, so that whoever hangs in it comes back."""
    control = "/sys/fs/fuse/connections"
    temporary = None
    try:
        if not os.path.exists(f"{control}/{minor}/abort"):
            temporary = tempfile.mkdtemp(prefix="coffer-fusectl-")
            subprocess.run(["mount", "-t", "fusectl", "none", temporary], timeout=10, stderr=subprocess.DEVNULL)
            control = temporary
        with open(f"{control}/{minor}/abort", "w") as f:
            f.write("1")
    except OSError:
        pass
    finally:
        if temporary:
            subprocess.run(["umount", temporary], timeout=10, stderr=subprocess.DEVNULL)
            os.rmdir(temporary)


def detach_all(below):
    """Takes away every mount at or below a path; aborts FUSE connections that do not answer."""
    for point, kind, minor in reversed(mounts(below)):
        if kind.startswith("fuse"):
            abort_connection(minor)
        subprocess.run(["umount", "-l", point], timeout=20, stderr=subprocess.DEVNULL)


def processes_naming(text):
    """Ids of processes that have this text in an argument: daemons of our temporary directories."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as f:
                    if os.fsencode(text) in f.read():
                        found.append(int(entry))
            except OSError:
                pass
    return found


@contextlib.contextmanager
def fuse_for_everybody():
    """Plain users may open /dev/fuse on most systems; here root may have to allow it for a while."""
    need("fusermount3", "setpriv")
    need_root()
    # Tests that run side by side share the lock, which holds the mode from before the first; the last one puts it back.
    with open("/run/coffer-test-fuse.lock", "a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mode = stat.S_IMODE(os.stat("/dev/fuse").st_mode)
        if mode & 0o666 != 0o666:
            lock.truncate(0)
            lock.write(f"{mode:o}")
            lock.flush()
            os.chmod("/dev/fuse", 0o666)
        fcntl.flock(lock, fcntl.LOCK_SH)
        try:
            yield
        finally:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                lock.seek(0)
                before = lock.read()
                if before:
                    os.chmod("/dev/fuse", int(before, 8))
                lock.truncate(0)
            except BlockingIOError:
                pass


# Temporary directories

_temporary = []


def temporary_directory():
    d = tempfile.mkdtemp(prefix="coffer-test-")
    os.chmod(d, 0o755)
    d = os.path.realpath(d)
    _temporary.append(d)
    return d


def discard(d):
    detach_all(d)
    for pid in processes_naming(d):
        with contextlib.suppress(OSError):
            if "coffer" in os.readlink(f"/proc/{pid}/exe"):
                os.kill(pid, signal.SIGKILL)
    if not KEEP:
        _remove_tree(d)
    if d in _temporary:
        _temporary.remove(d)


def _remove_tree(d):
    shutil.rmtree(d, ignore_errors=True)
    if os.path.lexists(d):  # too deep for Python, or modes that refuse
        subprocess.run(["rm", "-rf", d], timeout=300, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def store(kind, size="600M"):
    """A directory on a filesystem of this kind: tmpfs, or a loop file."""
    need_root()
    base = temporary_directory()
    point = f"{base}/store"
    os.mkdir(point)
    try:
        if kind == "tmpfs":
            r = run("mount", "-t", "tmpfs", "-o", f"size={size}", "none", point, check=False)
        else:
            need(f"mkfs.{kind}")
            run("truncate", "-s", size, f"{base}/image")
            run(f"mkfs.{kind}", *([] if kind == "vfat" else ["-q"]), f"{base}/image")
            r = run("mount", "-o", "loop", f"{base}/image", point, check=False)
        if r.returncode:
            raise Skip(f"cannot mount {kind}: {r.stderr.strip().splitlines()[0]}")
        yield point
    finally:
        subprocess.run(["umount", point], timeout=60, stderr=subprocess.DEVNULL)
        discard(base)


# Volumes


def as_owner(user):
    """What to put before a command that this user is to run; None: nothing."""
    return [] if user is None else ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]


class Volume:
    """A volume in a temporary directory: .dir (ciphertext), .mnt (where it gets mounted), .secret (a file).

    It opens with a key file, which costs no time; with a passphrase on request."""

    def __init__(self, init=(), on=None, owner=None, passphrase=False):
        self.base = temporary_directory()
        self.dir = f"{on or self.base}/volume"
        self.mnt = f"{self.base}/mnt"
        self.kind = "passphrase" if passphrase else "key"
        self.secret = f"{self.base}/secret"
        self.log = f"{self.base}/log"
        self.process = None
        self.options = ()
        self.wrap = ()
        self.owner = owner
        self.on = on
        os.mkdir(self.mnt, 0o755)
        write_file(self.secret, b"correct horse battery staple, and so on\n", 0o600)
        if PLAIN:
            self.mnt = f"{on}/plain-mnt" if on else self.mnt
            os.makedirs(self.mnt, exist_ok=True)
            return
        if owner is not None:
            for path in (self.base, self.mnt, self.secret):
                os.chown(path, owner, owner)
        if "--journal-size" not in init:
            init = (*SMALL_JOURNAL, *init)
        self.coffer("init", self.dir, *self.unlock(), "--no-recovery-key", *init, user=owner)

    def unlock(self):
        return [f"--{self.kind}-file", self.secret]

    @property
    def unlock_option(self):
        return f"{self.kind}_file={self.secret}"

    def coffer(self, *args, check=True, user=None, timeout=MOUNT_TIMEOUT, env=None):
        argv = [COFFER, *args]
        if user is not None:
            argv = [*as_owner(user), *argv]
        return run(*argv, check=check, timeout=timeout, env=self.environment(env))

    def environment(self, more=None):
        return {**os.environ, "XDG_RUNTIME_DIR": self.base, "XDG_STATE_HOME": f"{self.base}/state", **(more or {})}

    def mount(self, *options, env=None, wrap=None):
        """Mounts in the foreground in a child, so that its log and its exit status are at hand."""
        if PLAIN:
            return self
        self.options = options
        options = (*options, *EVERY_MOUNT)
        self.wrap = self.wrap if wrap is None else wrap
        argv = [*as_owner(self.owner), *self.wrap, COFFER, "mount", "-f", self.dir, self.mnt, *self.unlock()]
        if options:
            argv += ["-o", ",".join(options)]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(env),
                preexec_fn=_die_with_parent if self.owner is None else None,
            )
        _live.add(self)
        wait_until(lambda: self.process.poll() is not None or answers(self.mnt), MOUNT_TIMEOUT, "mount")
        if self.process.poll() is not None:
            _live.discard(self)
            raise Failure(f"mount: exit status {self.process.returncode}\n{self.log_text()}")
        return self

    def umount(self, check=True):
        if PLAIN or self.process is None:
            return
        self.coffer("umount", self.mnt, user=self.owner)
        self.reap(check)

    def reap(self, check=True):
        """Waits for the end of the mount process; its exit status and its log must be clean."""
        try:
            status = self.process.wait(MOUNT_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise Failure("the mount process does not end after the unmount") from None
        self.process = None
        _live.discard(self)
        if check:
            equal(status, 0, f"exit status of the mount process\n{self.log_text()[-3000:]}\n")
            self.check_log()

    def check_log(self):
        if os.path.exists(self.log):
            data = read_file(self.log)
            if SANITIZER_REPORT.search(data):
                raise Failure("sanitizer report:\n" + data.decode(errors="replace")[-6000:])

    def remount(self, *options, env=None):
        self.umount()
        return self.mount(*(options or self.options), env=env)

    def kill(self):
        """SIGKILL; the dead mount stays."""
        self.process.kill()
        self.process.wait(MOUNT_TIMEOUT)
        self.process = None
        _live.discard(self)

    def log_text(self):
        return read_file(self.log).decode(errors="replace") if os.path.exists(self.log) else ""

    def status(self, of=None):
        return json.loads(self.coffer("status", of or self.mnt, "--json").stdout)

    def backing(self, path):
        """The path below of a path inside the mount (relative to the mount)."""
        if PLAIN:
            return f"{self.mnt}/{path}"
        out = self.coffer("path", self.dir, path, *self.unlock()).stdout.rstrip("\n")
        if out.startswith("/"):
            return out
        return f"{self.dir}/{out}" if out.startswith("data/") else f"{self.dir}/data/{out}"

    def check(self, *options):
        """`coffer check` finds nothing wrong. The volume is not mounted."""
        r = self.coffer("check", self.dir, *self.unlock(), *options, timeout=300, check=False)
        if "not built into this coffer" not in r.stderr:
            equal(r.returncode, 0, f"coffer check\n{r.stdout[-2000:]}{r.stderr[-2000:]}\nexit status")

    def give_up(self):
        """Ends the mount by force: for hangs and for cleaning up after failures."""
        for point, kind, minor in reversed(mounts(self.base)):
            if kind.startswith("fuse"):
                abort_connection(minor)
        if self.process and self.process.poll() is None:
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                self.process.kill()

    def discard(self):
        if self.process is not None:
            try:
                if mounted(self.mnt):
                    self.coffer("umount", self.mnt, check=False, timeout=20, user=self.owner)
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.give_up()
                self.process.wait(10)
            self.process = None
        _live.discard(self)
        discard(self.base)
        if self.on and not KEEP:
            _remove_tree(self.dir)
            _remove_tree(f"{self.on}/plain-mnt")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.discard()


_live = set()  # volumes with a running mount process


@contextlib.contextmanager
def deadline(seconds):
    """After so long every mount is aborted, so that the code inside fails instead of hanging."""
    fired = threading.Event()

    def fire():
        fired.set()
        print(f"  deadline of {seconds} s passed: aborting the mounts", flush=True)
        for v in list(_live):
            v.give_up()

    timer = threading.Timer(seconds, fire)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if fired.is_set():
        raise Failure(f"took more than {seconds} s")


# The runner


def main(mount_options=(), seconds=120, init=()):
    """Runs the calling file's tests; arguments: names to run (parts of names do)."""
    module = sys.modules["__main__"]
    wanted = [a for a in sys.argv[1:] if not a.startswith("-")]
    tests = [(n, f) for n, f in vars(module).items() if n.startswith("test_") and callable(f)]
    tests = [t for t in tests if not wanted or any(w in t[0] for w in wanted)]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.umask(0o022)
    counts = {"ok": 0, "FAIL": 0, "skip": 0}
    shared = None
    try:
        if any("d" in inspect.signature(f).parameters or "shared" in inspect.signature(f).parameters for _, f in tests):
            shared = Volume(init=init)
            shared.mount(*mount_options)
            os.chmod(shared.mnt, 0o755)
        for name, function in tests:
            verdict, text, took = _one(name, function, shared, seconds * (4 if SCALE > 1 else 1))
            counts[verdict] += 1
            print(f"{verdict:4} {name[5:]} ({took:.1f} s)" + (f": {text}" if text else ""), flush=True)
            if shared and not PLAIN and (shared.process is None or shared.process.poll() is not None):
                counts["FAIL"] += 1
                print(f"FAIL the mount process ended during {name}\n{shared.log_text()[-6000:]}", flush=True)
                break
        if shared and not PLAIN and shared.process and shared.process.poll() is None:
            try:
                shared.umount()
            except (Failure, subprocess.TimeoutExpired) as e:
                counts["FAIL"] += 1
                print(f"FAIL unmount at the end: {e}", flush=True)
    finally:
        if shared:
            shared.discard()
        for d in list(_temporary):
            discard(d)
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['skip']} skipped")
    if counts["FAIL"]:
        return 1
    return 0 if counts["ok"] else 77


def _story(e):
    """Where in the test file it happened, and what."""
    main_file = sys.modules["__main__"].__file__
    lines = [f"{f.name} line {f.lineno}: {f.line}" for f in traceback.extract_tb(e.__traceback__) if f.filename == main_file]
    return "\n  " + "\n  ".join(lines + [f"{type(e).__name__}: {e}"])


def _descriptors():
    return {int(n) for n in os.listdir("/proc/self/fd")}


def _one(name, function, shared, seconds):
    start = time.monotonic()
    before = _descriptors()
    verdict, text = "ok", ""
    with contextlib.ExitStack() as stack:
        try:
            args = {}
            for p in inspect.signature(function).parameters:
                if p == "d":
                    args[p] = f"{shared.mnt}/{name[5:]}"
                    os.mkdir(args[p], 0o755)
                elif p == "shared":
                    args[p] = shared
                elif p == "volume":
                    args[p] = stack.enter_context(Volume())
                elif p == "tmp":
                    args[p] = temporary_directory()
                    stack.callback(discard, args[p])
            with deadline(getattr(function, "seconds", seconds)):
                function(**args)
        except Skip as e:
            verdict, text = "skip", str(e)
        except KeyboardInterrupt:
            raise
        except Exception as e:  # pylint: disable=broad-except
            verdict, text = "FAIL", _story(e)
    if verdict == "FAIL":  # what it left open must not hold the mount
        gc.collect()
        for fd in _descriptors() - before:
            with contextlib.suppress(OSError):
                os.close(fd)
    return verdict, text, time.monotonic() - start


def limit(seconds):
    """Gives a test its own deadline."""

    def mark(function):
        function.seconds = seconds * (4 if SCALE > 1 else 1)
        return function

    return mark
