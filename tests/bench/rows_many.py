"""Rows about many files."""

import os
import shutil

from row import Row
from targets import run


class Untar(Row):
    key, name = "untar", "untar"
    unsynced = True

    def prepare(self, t):
        self.put_away(t, "untar")
        os.mkdir(f"{t.dir}/untar")

    def run(self, t):
        run("tar", "-xf", self.inputs.archive(), "-C", f"{t.dir}/untar")


class TreeRow(Row):
    def need(self, t):
        if not os.path.isdir(f"{t.dir}/tree"):
            run("cp", "-r", self.inputs.tree(), f"{t.dir}/tree")


class CopyIn(Row):
    key, name = "copy-in", "tree: copy in"
    unsynced = True

    def prepare(self, t):
        self.put_away(t, "tree")

    def run(self, t):
        run("cp", "-r", self.inputs.tree(), f"{t.dir}/tree")


class FindCold(TreeRow):
    key, name = "find", "tree: find with stat, cold"
    cold = True

    def run(self, t):
        run("find", f"{t.dir}/tree", "-printf", "%s %m %T@\n")


class SumCold(TreeRow):
    key, name = "md5", "tree: md5 of all, cold"
    cold = True

    def run(self, t):
        run("find", f"{t.dir}/tree", "-type", "f", "-exec", "md5sum", "{}", "+")


class GrepHot(TreeRow):
    key, name = "grep", "tree: grep -r, hot"

    def prepare(self, t):
        for _ in range(2):
            self.run(t)

    def run(self, t):
        run("grep", "-r", "no such text is here", f"{t.dir}/tree")


class RemoveTree(TreeRow):
    key, name = "rm", "tree: rm -rf"

    def run(self, t):
        run("rm", "-rf", f"{t.dir}/tree")


class RsyncUnchanged(TreeRow):
    key, name = "rsync", "tree: rsync where nothing changed, cold"
    packages = ("rsync",)
    cold = True

    @classmethod
    def missing(cls):
        return None if shutil.which("rsync") else "rsync is not installed"

    def need(self, t):
        self.copy(t)

    def copy(self, t):
        run("rsync", "-a", self.inputs.tree() + "/", f"{t.dir}/synced-tree/")

    def run(self, t):
        self.copy(t)


# One directory


class ManyRow(Row):
    big = True

    def path(self, t):
        return f"{t.dir}/many"

    def need(self, t):
        if not os.path.isdir(self.path(t)):
            os.mkdir(self.path(t))
            self.create(t)

    def create(self, t):
        # Relative to the directory: what is measured is the last component.
        fd = os.open(self.path(t), os.O_RDONLY | os.O_DIRECTORY)
        for i in range(self.inputs.many):
            os.close(os.open(f"file{i}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=fd))
        os.close(fd)


class ManyCreate(ManyRow):
    key, name = "many-create", "one directory: create files"
    unit = "files/s"
    unsynced = True

    def need(self, t):
        pass

    def prepare(self, t):
        shutil.rmtree(self.path(t), ignore_errors=True)
        os.mkdir(self.path(t))

    def run(self, t):
        self.create(t)
        return self.inputs.many


class ManyList(ManyRow):
    key, name = "many-list", "one directory: list, cold"
    unit = "files/s"
    cold = True

    def run(self, t):
        with os.scandir(self.path(t)) as entries:
            return sum(1 for _ in entries)


class ManyStat(ManyRow):
    key, name = "many-stat", "one directory: list and stat each, cold"
    unit = "files/s"
    cold = True

    def run(self, t):
        run("find", self.path(t), "-printf", "%s %m\n")
        return self.inputs.many


MANY = (Untar, CopyIn, FindCold, SumCold, GrepHot, RsyncUnchanged, RemoveTree, ManyCreate, ManyList, ManyStat)
