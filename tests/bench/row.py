"""What a row of the benchmark is.

`need` makes what it works on, if it is not there (another row may have left it), `prepare` brings it into the state that the name says,
and `run` is timed. What `run` returns, if anything, is an amount of work, for a rate; or `Measured`, where somebody else took the time.
"""

import collections
import contextlib
import os

MIB = 1 << 20
PAGE = 4096

Measured = collections.namedtuple("Measured", "work seconds")


class Row:
    key = name = None
    cold = False
    unsynced = False  # leaves content that is not durable
    big = False  # only with --big
    unit = "s"
    packages = ()  # of Debian, without which it is left out

    def __init__(self, inputs):
        self.inputs = inputs

    @classmethod
    def missing(cls):
        """What is not there that this needs, or None."""

    def need(self, t):
        pass

    def prepare(self, t):
        pass

    def put_away(self, t, name):
        """What an earlier round left goes elsewhere. It is not removed: ext4 looks again and again at inodes that became free a moment ago before it
        takes others, and whoever makes files after a removal measures that, several times over."""
        old = f"{t.dir}/old"
        os.makedirs(old, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{t.dir}/{name}", f"{old}/{len(os.listdir(old))}")

    def run(self, t):
        raise NotImplementedError
