"""What the rows work with. Made when somebody first asks for it, outside of what is timed: at the start, for each wanted row."""

import os
import random
import shutil
import tarfile

from row import MIB
from targets import run

SOURCES = 60  # of the C program


def make_tree(path, files):
    """Text files in directories, sized like a source tree: half below 4 KiB, some large ones. Returns how many bytes."""
    rng = random.Random(2)
    words = [f"{rng.randrange(1 << 40):x}" for _ in range(2000)]
    total = 0
    for i in range(files):
        where = f"{path}/{i // 400}/{i // 20 % 20}"
        if i % 20 == 0:
            os.makedirs(where)
        size = min(int(rng.lognormvariate(8.2, 1.3)), MIB)
        text = " ".join(rng.choices(words, k=size // 10 + 1)).encode()[:size]
        with open(f"{where}/file{i}.c", "wb") as f:
            f.write(text)
        total += len(text)
    return total


def make_project(path):
    """A program of SOURCES files, each with a header that half of the others include."""
    os.makedirs(path)
    for i in range(SOURCES):
        with open(f"{path}/m{i}.h", "w") as f:
            f.write(f"#ifndef M{i}\n#define M{i}\nint m{i}(int x);\nstruct m{i} {{ int value; char name[{i + 1}]; }};\n#endif\n")
        with open(f"{path}/m{i}.c", "w") as f:
            f.write("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n")
            f.writelines(f'#include "m{(i + 2 * k) % SOURCES}.h"\n' for k in range(SOURCES // 2))
            for k in range(12):
                f.write(f"static int part{k}(int x)\n{{\n\tint s = {k};\n\tfor (int n = 0; n < x; n++)\n\t\ts += n ^ x;\n\treturn s;\n}}\n")
            f.write(f"int m{i}(int x)\n{{\n\treturn x" + "".join(f" + part{k}(x)" for k in range(12)) + ";\n}\n")
    with open(f"{path}/main.c", "w") as f:
        f.writelines(f'#include "m{i}.h"\n' for i in range(SOURCES))
        f.write("int main(void)\n{\n\treturn (" + " + ".join(f"m{i}({i})" for i in range(SOURCES)) + ") == 1;\n}\n")
    with open(f"{path}/Makefile", "w") as f:
        f.write("objects := $(patsubst %.c,%.o,$(wildcard *.c))\nprogram: $(objects)\n\tgcc -o $@ $^\n")
        f.write("%.o: %.c\n\tgcc -O1 -g -MMD -c -o $@ $<\n")


class Inputs:
    def __init__(self, args, base):
        self.base, self.size, self.files, self.archived, self.commits = base, args.size, args.files, args.archived, args.commits
        self.tracked, self.many = args.tracked, args.many
        self.noise = os.urandom(MIB)
        self.bytes = {}

    def tree(self):
        path = f"{self.base}/source"
        if not os.path.isdir(path):
            self.bytes["tree"] = make_tree(path, self.files)
        return path

    def archive(self):
        path = f"{self.base}/source.tar"
        if not os.path.exists(path):
            self.bytes["archive"] = make_tree(f"{self.base}/packed", self.archived)
            with tarfile.open(path, "w") as tar:
                tar.add(f"{self.base}/packed", arcname="tree")
            shutil.rmtree(f"{self.base}/packed")
        return path

    def repository(self):
        path = f"{self.base}/repository.git"
        if not os.path.isdir(path):
            work = f"{self.base}/repository"
            self.bytes["repository"] = make_tree(work, self.tracked)
            who = ("-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0", "-c", "commit.gpgsign=false")
            run("git", "init", "-q", work)
            run("git", "-C", work, "add", "-A")
            run("git", "-C", work, *who, "commit", "-q", "-m", "all")
            run("git", "clone", "-q", "--bare", work, path)
            run("git", "-C", path, "repack", "-q", "-a", "-d")
            shutil.rmtree(work)
        return path

    def project(self):
        path = f"{self.base}/project"
        if not os.path.isdir(path):
            make_project(path)
        return path

    def prepare(self, keys):
        if "untar" in keys:
            self.archive()
        if keys & {"copy-in", "find", "md5", "grep", "rsync", "rm"}:
            self.tree()
        if keys & {"git-clone", "git-status", "git-status-cold"}:
            self.repository()
        if "build" in keys:
            self.project()
