#!/usr/bin/python3
"""The benchmark runs, says what it measured, draws it, and leaves no mount behind, also when it is interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../mount"))

import harness  # noqa: E402
from harness import equal, mounts, need_mount, read_file, run, wait_until  # noqa: E402

PEERS = os.path.join(harness.HERE, "../bench/peers")
SMALL = ["--no-install", "--coffer", harness.COFFER, "--size", "2M", "--files", "40", "--archived", "40", "--commits", "5"]


def test_rows_and_plot(tmp):
    need_mount()
    # Nothing "cold": that empties the caches of all, also of tests beside this one.
    rows = ["write", "read-hot", "untar", "copy-in", "grep", "append", "parallel-write", "sqlite-wal", "rm"]
    r = run(PEERS, *SMALL, "--dir", tmp, "--rounds", "1", "--targets", "plain,passthrough,coffer", "--rows", ",".join(rows),
            "--plot", f"{tmp}/plot.svg", "--json", f"{tmp}/all.json")
    data = json.loads(read_file(f"{tmp}/all.json"))
    equal([row["key"] for row in data["rows"]], rows)
    for row in data["rows"]:
        equal(all(row["values"][t][0] > 0 for t in ("plain", "passthrough", "coffer")), True, f"values of {row['key']}")
    untar = data["rows"][2]["requests"][0]
    equal(untar.get("MKNOD"), 40, f"files made by the untar, as the mount counted: {untar}")
    equal("| untar |" in r.stdout and "passthrough = 1" in r.stdout, True, r.stdout)
    boxes = [e for e in xml.etree.ElementTree.parse(f"{tmp}/plot.svg").iter() if e.tag.endswith("}title")]
    equal(len(boxes), 2 + 2 * len(rows), "two colours explained, two bars for each row")
    equal(mounts(tmp), [])


def test_interrupted(tmp):
    need_mount()
    p = subprocess.Popen([PEERS, *SMALL, "--dir", tmp, "--rounds", "50", "--targets", "plain,coffer", "--rows", "untar"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_until(lambda: mounts(tmp), 30, "a mount of the benchmark")
    time.sleep(0.2)
    p.send_signal(signal.SIGINT)
    p.send_signal(signal.SIGINT)
    equal(p.wait(60), 130, "exit status")
    p.stderr.close()
    equal(mounts(tmp), [])
    equal(os.listdir(tmp), [])


if __name__ == "__main__":
    sys.exit(harness.main())
