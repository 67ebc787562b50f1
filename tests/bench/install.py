"""Installs packages of Debian, as util/deps.sh does: only what is missing, and asking nothing."""

import os
import shutil
import subprocess


def install(packages, say):
    """One by one, so that one which cannot be had keeps no other away. Whoever is missing afterwards is left out by the caller."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        say(f"missing: {' '.join(packages)} (installed by itself only as root on Debian)")
        return
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": env, "check": False}
    subprocess.run(["apt-get", "-q", "update"], **quiet)
    for p in dict.fromkeys(packages):
        say(f"installing {p}")
        subprocess.run(["apt-get", "-q", "-y", "--no-install-recommends", "install", p], **quiet)
