"""Rows about what people do: git, and building a program."""

import os
import shutil

from row import Row
from targets import run


class GitRow(Row):
    packages = ("git",)

    @classmethod
    def missing(cls):
        return None if shutil.which("git") else "git is not installed"

    def clone(self, t):
        run("git", "clone", "-q", self.inputs.repository(), f"{t.dir}/clone")

    def need(self, t):
        if not os.path.isdir(f"{t.dir}/clone/.git"):
            shutil.rmtree(f"{t.dir}/clone", ignore_errors=True)
            self.clone(t)


class GitClone(GitRow):
    key, name = "git-clone", "git clone"
    unsynced = True

    def need(self, t):
        pass

    def prepare(self, t):
        self.put_away(t, "clone")

    def run(self, t):
        self.clone(t)


class GitStatusCold(GitRow):
    key, name = "git-status-cold", "git status, cold"
    cold = True

    def run(self, t):
        # Of the inode numbers that a mount shows git knows nothing after a new mount, and reads all files again; people meet that.
        run("git", "-C", f"{t.dir}/clone", "status", "--short")


class GitStatus(GitStatusCold):
    key, name = "git-status", "git status, hot"
    cold = False

    def prepare(self, t):
        for _ in range(2):
            self.run(t)


class Build(Row):
    """A C project of many small files by two compilers at a time."""

    key, name = "build", "building a C program, make -j 2"
    packages = ("make", "gcc")
    unsynced = True

    @classmethod
    def missing(cls):
        return None if shutil.which("make") and shutil.which("gcc") else "make or gcc is not installed"

    def prepare(self, t):
        self.put_away(t, "project")
        run("cp", "-r", self.inputs.project(), f"{t.dir}/project")

    def run(self, t):
        run("make", "-s", "-j", "2", "-C", f"{t.dir}/project")


WORK = (GitClone, GitStatusCold, GitStatus, Build)
