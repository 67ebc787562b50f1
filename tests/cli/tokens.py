"""What holds keys for tests: PKCS #11 tokens in SoftHSM, and a TPM 2.0 in swtpm.  NO_TOKENS, NO_TPM: why there are none, or None."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

UNREACHABLE = 14
LIBEXEC = os.environ.get("COFFER_LIBEXEC_DIR", "/nonexistent")
SHIM = os.environ.get("SOFTHSM_SHIM", "/nonexistent")
NO_TOKENS = NO_TPM = None
if not os.access(os.path.join(LIBEXEC, "coffer-pkcs11"), os.X_OK):
    NO_TOKENS = "built without p11-kit"
elif not shutil.which("softhsm2-util"):
    NO_TOKENS = "no SoftHSM"
if not os.access(os.path.join(LIBEXEC, "coffer-tpm2"), os.X_OK):
    NO_TPM = "built without tpm2-tss"
elif not shutil.which("swtpm"):
    NO_TPM = "no swtpm"
PIN = "271828"


def random_key(n):
    """Of letters: softhsm2-util reads a line of text, and takes a key to end at its first zero or newline."""
    return bytes(b % 26 + ord("a") for b in os.urandom(n))


class Tokens:
    """A module whose tokens are its own."""

    def __init__(self, place):
        self.place, self.module = place, os.path.join(place, "module.so")
        shutil.copy(SHIM, self.module)
        os.mkdir(os.path.join(place, "tokens"))
        with open(os.path.join(place, "conf"), "w") as f:
            f.write(f"directories.tokendir = {place}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")

    def util(self, *arguments):
        subprocess.run(["softhsm2-util", *arguments], env={"SOFTHSM2_CONF": os.path.join(self.place, "conf")}, check=True,
                       capture_output=True)

    def add(self, label):
        self.util("--init-token", "--free", "--label", label, "--so-pin", "31415926", "--pin", PIN)

    def add_key(self, token, label, key, ident="01"):
        path = os.path.join(self.place, "raw")
        with open(path, "wb") as f:
            f.write(key)
        self.util("--import", path, "--aes", "--token", token, "--label", label, "--id", ident, "--pin", PIN, "--force")

    def copy(self, place):
        os.mkdir(place)
        other = Tokens(place)
        shutil.rmtree(os.path.join(place, "tokens"))
        shutil.copytree(os.path.join(self.place, "tokens"), os.path.join(place, "tokens"))
        return other

    def logins(self):
        """How many since the last question."""
        path = os.path.join(self.place, "logins")
        if not os.path.exists(path):
            return 0
        n = os.path.getsize(path)
        os.unlink(path)
        return n


# TPM2_PCR_Extend of PCR 16 by zeroes (TPM 2.0 library, part 3, section 22.2), with an empty password.
EXTEND = bytes.fromhex("8002" "00000041" "00000182" "00000010" "00000009" "40000009" "0000" "00" "0000" "00000001" "000b") + bytes(32)


class Tpm:
    """A TPM of one's own, at two ports of this host; ended by its number."""

    def __init__(self):
        self.place = tempfile.mkdtemp(prefix="coffer-tpm.")
        for attempt in range(20):
            self.port = 20000 + 2 * (int.from_bytes(os.urandom(2), "little") % 5000)
            self.process = subprocess.Popen(
                ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.place}", "--server", f"type=tcp,bindaddr=127.0.0.1,port={self.port}",
                 "--ctrl", f"type=tcp,bindaddr=127.0.0.1,port={self.port + 1}", "--flags", "not-need-init,startup-clear"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if self.answers():
                break
        else:
            raise AssertionError("swtpm does not start")
        self.tcti = f"swtpm:host=127.0.0.1,port={self.port}"

    def answers(self):
        deadline = time.monotonic() + 10
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port + 1)).close()
                return True
            except OSError:
                time.sleep(0.02)
        self.process.poll() is None and self.process.kill()
        self.process.wait()
        return False

    def extend(self):
        """Another boot."""
        with socket.create_connection(("127.0.0.1", self.port)) as s:
            s.sendall(EXTEND)
            answer = s.recv(4096)
        if answer[6:10] != bytes(4):
            raise AssertionError(answer.hex())

    def wrong_pins(self):
        """How many it counts: TPM2_GetCapability of TPM_PT_LOCKOUT_COUNTER (part 3, section 30.2)."""
        with socket.create_connection(("127.0.0.1", self.port)) as s:
            s.sendall(bytes.fromhex("8001" "00000016" "0000017a" "00000006" "0000020e" "00000001"))
            return int.from_bytes(s.recv(4096)[-4:], "big")

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        shutil.rmtree(self.place)
