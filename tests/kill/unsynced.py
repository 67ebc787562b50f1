"""A writer that never calls fsync: everything that write(2) accepted is there after a kill, byte for byte.

Each operation stands in the side log twice: before ("do") and, with its result, after ("ok"). The verifier replays the log onto a
model of the tree. Of the one operation that was under way at the kill, nothing, all, or of a write some pages may be there; a page
is old or new, whole. A write that returned less than it was given was under way with the rest. All else has to be what the model
says: names, content, sizes, modes, attributes, hard links.
"""

import json
import os
import pickle
import random
import stat

import harness
from harness import Failure, content, equal
from workload import SideLog, Workload, lines, read

PAGE = 4096
MAX_FILES = 40
MAX_SIZE = 1_500_000
MODES = (0o644, 0o600, 0o444, 0) if harness.ROOT else (0o644, 0o600)


class Model:
    """A tree: directories, names of inodes, inodes (content, mode, attributes)."""

    def __init__(self):
        self.dirs = [""]
        self.names = {}  # path: inode
        self.content = {}  # inode: bytearray
        self.mode = {}
        self.attributes = {}
        self.count = 0

    def apply(self, op, result=None):
        getattr(self, f"_{op[0]}")(*op[1:], **({} if result is None else {"accepted": result}))

    def _create(self, name):
        self.count += 1
        self.names[name] = self.count
        self.content[self.count] = bytearray()
        self.mode[self.count] = 0o644
        self.attributes[self.count] = {}

    def _write(self, name, offset, length, seed, accepted=None):
        data = content(seed, length)[:accepted]
        c = self.content[self.names[name]]
        if len(c) < offset:
            c.extend(bytes(offset - len(c)))
        c[offset : offset + len(data)] = data

    def _truncate(self, name, size):
        c = self.content[self.names[name]]
        del c[size:]
        c.extend(bytes(size - len(c)))

    def _punch(self, name, offset, length):
        c = self.content[self.names[name]]
        end = min(len(c), offset + length)
        if offset < end:
            c[offset:end] = bytes(end - offset)

    def _chmod(self, name, mode):
        self.mode[self.names[name]] = mode

    def _setxattr(self, name, attribute, length, seed):
        self.attributes[self.names[name]][attribute] = content(seed, length)

    def _link(self, old, new):
        self.names[new] = self.names[old]

    def _unlink(self, name):
        inode = self.names.pop(name)
        if inode not in self.names.values():
            for table in (self.content, self.mode, self.attributes):
                del table[inode]

    def _rename(self, old, new):
        if self.names.get(new) == self.names[old]:
            return  # two names of one file: rename(2) does nothing
        if new in self.names:
            self._unlink(new)
        self.names[new] = self.names.pop(old)

    def _exchange(self, a, b):
        self.names[a], self.names[b] = self.names[b], self.names[a]

    def _mkdir(self, d):
        self.dirs.append(d)

    def _rmdir(self, d):
        self.dirs.remove(d)

    def _rename_dir(self, old, new):
        self.dirs = [new if d == old else d for d in self.dirs]
        self.names = {(new + n[len(old) :] if n.startswith(f"{old}/") else n): i for n, i in self.names.items()}

    def shape(self, but=None):
        """Everything but the content of one inode, comparable."""
        links = {}
        for n, i in self.names.items():
            links.setdefault(i, []).append(n)
        files = {tuple(sorted(names)): i for i, names in links.items()}
        return (
            sorted(self.dirs),
            {
                names: (self.mode[i], self.attributes[i], None if i == but else bytes(self.content[i]))
                for names, i in files.items()
            },
        )


def observe(place):
    """The model of what is there; inodes numbered anew."""
    m = Model()
    numbers = {}
    for parent, dirs, files in os.walk(place, onerror=_raise):
        prefix = os.path.relpath(parent, place) + "/"
        prefix = "" if prefix == "./" else prefix
        m.dirs += [prefix + d for d in dirs]
        for f in files:
            path = f"{parent}/{f}"
            st = os.lstat(path)
            if st.st_ino in numbers:
                m.names[prefix + f] = numbers[st.st_ino]
                continue
            m._create(prefix + f)  # pylint: disable=protected-access
            numbers[st.st_ino] = m.count
            m.mode[m.count] = stat.S_IMODE(st.st_mode)
            m.content[m.count] = bytearray(read(path))
            equal(len(m.content[m.count]), st.st_size, f"size of {path}, and bytes read of it")
            m.attributes[m.count] = {
                n: os.getxattr(path, n) for n in os.listxattr(path) if n.startswith("user.")
            }
    for n, i in m.names.items():
        wanted = sum(j == i for j in m.names.values())
        equal(os.lstat(f"{place}/{n}").st_nlink, wanted, f"links of {n}")
    return m


def _raise(e):
    raise e


class Writer:
    """Carries out random operations: on the tree, in the log, in its own model that it chooses by."""

    def __init__(self, place, log, model, seed):
        self.place = place
        self.log = SideLog(log)
        self.model = model
        self.rng = random.Random(seed)
        self.seed = seed
        self.open = {}  # inode: descriptor
        self.ghosts = []  # descriptors of files without a name
        self.serial = 0

    def run(self):
        while True:
            op = self.choose()
            if op:
                self.log.say(json.dumps(["do", op]))
                result = self.carry_out(*op)
                self.log.say(json.dumps(["ok", result]))
                if op[0] == "write" and result < op[3]:
                    os.statvfs(self.place)  # of a dead mount: ENOTCONN
                    raise Failure(f"{op}: accepted only {result} bytes")
                self.model.apply(op, result)
            self.haunt()

    def choose(self):
        rng, m = self.rng, self.model
        self.serial += 1
        names = list(m.names)
        if len(names) < 5 or (len(names) < MAX_FILES and rng.random() < 0.1):
            return ["create", self.new_name()]
        name = rng.choice(names)
        size = len(m.content[m.names[name]])
        seed = f"{self.seed} {self.serial}"
        kind = rng.random()
        inside = rng.randrange(size + 1)
        if kind < 0.62:
            offset = rng.choice((size, size, inside, inside // PAGE * PAGE, size + rng.randrange(99999)))
            length = rng.choice((PAGE, *(1 + rng.randrange(n) for n in (200, PAGE, 20_000, 300_000))))
            if offset + length > MAX_SIZE:
                return ["truncate", name, rng.randrange(PAGE)]
            return ["write", name, offset, length, seed]
        if kind < 0.70:
            return ["truncate", name, rng.choice((0, inside, inside, min(MAX_SIZE, size + rng.randrange(50_000))))]
        if kind < 0.74:
            return ["punch", name, inside, 1 + rng.randrange(100_000)]
        if kind < 0.77:
            return ["chmod", name, rng.choice(MODES)]
        if kind < 0.80:
            return ["setxattr", name, f"user.{rng.randrange(3)}", rng.randrange(700), seed]
        if kind < 0.84:
            return ["rename", name, self.new_name()]
        if kind < 0.88:
            return ["rename", name, rng.choice(names)]
        if kind < 0.90:
            other = rng.choice(names)
            return ["exchange", name, other] if other != name else None
        if kind < 0.92:
            return ["link", name, self.new_name()]
        if kind < 0.96:
            return ["unlink", name]
        return self.choose_directory()

    def choose_directory(self):
        rng, m = self.rng, self.model
        if len(m.dirs) < 6:
            return ["mkdir", self.a_name("d")]
        d = rng.choice(m.dirs[1:])
        if rng.random() < 0.5:
            return ["rename_dir", d, self.a_name("d")]
        return None if any(n.startswith(f"{d}/") for n in m.names) else ["rmdir", d]

    def a_name(self, prefix):
        """Every sixth is too long to be stored as a name below."""
        name = f"{prefix}{self.seed.replace(' ', '-')}-{self.serial}"
        return name + "-long" * 40 if self.rng.random() < 0.17 else name

    def new_name(self):
        d = self.rng.choice(self.model.dirs)
        return f"{d}/{self.a_name('f')}" if d else self.a_name("f")

    def descriptor(self, name):
        """Half of the files stay open for a while, the others get opened for one operation."""
        inode = self.model.names[name]
        if inode in self.open:
            return self.open[inode], False
        fd = os.open(f"{self.place}/{name}", os.O_RDWR)
        if self.rng.random() < 0.5:
            self.open[inode] = fd
            if len(self.open) > 8:
                os.close(self.open.pop(self.rng.choice([i for i in self.open if i != inode])))
            return fd, False
        return fd, True

    def carry_out(self, kind, *args):
        path = f"{self.place}/{args[0]}"
        if kind == "create":
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        elif kind in ("write", "punch") or (kind == "truncate" and args[1]):
            fd, ours = self.descriptor(args[0])
            if kind == "write":
                return os.pwrite(fd, content(args[3], args[2]), args[1])
            if kind == "truncate":
                os.ftruncate(fd, args[1])
            else:
                harness.fallocate(fd, harness.PUNCH_HOLE | harness.KEEP_SIZE, args[1], args[2])
            if ours:
                os.close(fd)
        elif kind == "truncate":
            os.close(os.open(path, os.O_WRONLY | os.O_TRUNC))
        elif kind == "chmod":
            os.chmod(path, args[1])
        elif kind == "setxattr":
            os.setxattr(path, args[1], content(args[3], args[2]))
        elif kind in ("rename", "rename_dir"):
            os.rename(path, f"{self.place}/{args[1]}")
        elif kind == "exchange":
            harness.renameat2(path, f"{self.place}/{args[1]}", harness.EXCHANGE)
        elif kind == "link":
            os.link(path, f"{self.place}/{args[1]}")
        elif kind == "unlink":
            inode = self.model.names[args[0]]
            last = list(self.model.names.values()).count(inode) == 1
            fd = self.open.pop(inode, None) if last else None
            os.unlink(path)
            if fd is not None:
                self.ghosts.append(fd)
        else:
            {"mkdir": os.mkdir, "rmdir": os.rmdir}[kind](path)
        return None

    def haunt(self):
        """Files that are removed while they are open go on being written to: nothing of them is to be left."""
        if self.ghosts and self.rng.random() < 0.3:
            os.pwrite(self.rng.choice(self.ghosts), bytes(5000), self.rng.randrange(100000))
        while len(self.ghosts) > 3:
            os.close(self.ghosts.pop(0))


def under_way(op, old, new, found):
    """The operation that the kill cut: what is found may be old, new, or of a write and of a hole some of its pages."""
    if found.shape() in (old.shape(), new.shape()):
        return
    if op[0] in ("write", "punch"):
        inode = old.names[op[1]]
        if found.shape(found.names.get(op[1])) == old.shape(inode):
            cut = found.content[found.names[op[1]]]
            before, after = old.content[inode], new.content[inode]
            if len(before) <= len(cut) <= len(after):
                bad = [p for p in range(0, len(cut), PAGE) if not _either(cut, before, after, p)]
                if not bad:
                    return
                raise Failure(f"{op}: neither old nor new: pages {[p // PAGE for p in bad]}")
            raise Failure(f"{op}: size {len(cut)}, before {len(before)}, after {len(after)}")
    difference(new, found, f"during {op}")


def _either(cut, before, after, at):
    got = cut[at : at + PAGE]
    old = before[at : at + len(got)]
    return got in (after[at : at + len(got)], old + bytes(len(got) - len(old)))


def difference(wanted, found, what):
    """Says what differs, shortly."""
    if wanted.shape() == found.shape():
        return
    said = []
    for kind, a, b in (("directories", wanted.dirs, found.dirs), ("names", wanted.names, found.names)):
        said += [f"{kind} missing {sorted(set(a) - set(b))}, too many {sorted(set(b) - set(a))}"] if set(a) != set(b) else []
    for n in sorted(set(wanted.names) & set(found.names)):
        i, j = wanted.names[n], found.names[n]
        a, b = wanted.content[i], found.content[j]
        if len(a) != len(b):
            said.append(f"{n}: size {len(b)}, wanted {len(a)}")
        pages = [p // PAGE for p in range(0, min(len(a), len(b)), PAGE) if a[p : p + PAGE] != b[p : p + PAGE]]
        if pages:
            said.append(f"{n}: pages {pages[:20]} of {(len(a) + PAGE - 1) // PAGE} differ")
        if (wanted.mode[i], wanted.attributes[i]) != (found.mode[j], found.attributes[j]):
            said.append(f"{n}: mode {found.mode[j]:o}, wanted {wanted.mode[i]:o}, or attributes")
    raise Failure(f"{what}: " + ("; ".join(said) or "hard links differ"))


class Unsynced(Workload):
    """Writers side by side, each in a directory of its own."""

    name = "unsynced"
    writers = 2

    def __init__(self, *args):
        super().__init__(*args)
        self.count = 0

    def model_file(self, w):
        return f"{self.side}/model{w}"

    def prepare(self):
        super().prepare()
        for w in range(self.writers):
            os.mkdir(f"{self.place}/{w}")
            harness.write_file(self.model_file(w), pickle.dumps(Model()))

    def start(self, turn):
        for w in range(self.writers):
            with open(self.log(w), "w"):
                pass
            model = pickle.loads(harness.read_file(self.model_file(w)))
            writer = Writer(f"{self.place}/{w}", self.log(w), model, f"{self.seed} {turn} {w}".replace("/", "-"))
            self.child(f"writer{w}", writer.run)

    def verify(self):
        for w in range(self.writers):
            model = pickle.loads(harness.read_file(self.model_file(w)))
            op = None  # what was under way
            for line in lines(self.log(w)):
                word, value = json.loads(line)
                if word == "do":
                    op = value
                else:
                    model.apply(op, value)
                    self.count += 1
                    if op[0] != "write" or value == op[3]:
                        op = None  # else the kill cut it: the rest may be there
            try:
                found = observe(f"{self.place}/{w}")
            except (Failure, OSError) as e:
                raise Failure(f"writer {w}: {e}; under way was {op}") from e
            if op is None:
                difference(model, found, f"writer {w}: accepted")
            else:
                old = pickle.loads(pickle.dumps(model))
                model.apply(op)
                under_way(op, old, model, found)
            harness.write_file(self.model_file(w), pickle.dumps(found))

    def tally(self):
        return f"{self.count} operations"
