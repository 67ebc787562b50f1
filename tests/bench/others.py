"""The peers: other filesystems that encrypt. All with their defaults, but for weak hashing of the passphrase where that can be chosen
(unlocking is not measured)."""

import array
import fcntl
import os
import shutil
import struct
import subprocess

from targets import ROOT, BenchError, Coffer, Mounted, NoFollow, NoJournal, NoPerm, Passthrough, Plain, Ring, RingNoPerm, run


class Peer(Mounted):
    """A FUSE filesystem that Debian has."""

    program = None
    peer = True

    def __init__(self, base):
        super().__init__(base)
        os.mkdir(self.store)

    @classmethod
    def missing(cls):
        return None if shutil.which(cls.program) else "not installed"


class Gocryptfs(Peer):
    name = program = "gocryptfs"
    packages = ("gocryptfs",)

    def __init__(self, base):
        super().__init__(base)
        run("gocryptfs", "-q", "-init", "-scryptn", "10", "-passfile", self.secret, self.store)

    def command(self):
        return ["gocryptfs", "-q", "-fg", "-passfile", self.secret, self.store, self.dir]


class Securefs(Peer):
    name = program = "securefs"
    packages = ("securefs",)

    def __init__(self, base):
        super().__init__(base)
        run("securefs", "create", "--keyfile", self.secret, self.store)

    def command(self):
        return ["securefs", "mount", "--keyfile", self.secret, self.store, self.dir]


class Encfs(Peer):
    name = program = "encfs"
    packages = ("encfs",)

    def command(self):
        return ["encfs", "-f", "--standard", "--stdinpass", self.store, self.dir]


class Cryfs(Peer):
    """Keeps everything in blocks of one size; the passphrase comes by standard input."""

    name = program = "cryfs"
    packages = ("cryfs",)

    def __init__(self, base):
        super().__init__(base)
        self.env.update(CRYFS_FRONTEND="noninteractive", CRYFS_NO_UPDATE_CHECK="true", HOME=base)

    def command(self):
        return ["cryfs", "-f", self.store, self.dir]


class Fscrypt(Plain):
    """The kernel's own encryption, of a directory on a loop device with ext4: what no FUSE filesystem reaches. It authenticates nothing."""

    name = "fscrypt"
    peer = True
    # linux/fscrypt.h: _IOWR('f', 23, 80 bytes), _IOR('f', 19, 12 bytes)
    ADD_KEY, SET_POLICY = 0xC0506617, 0x800C6613
    IDENTIFIER, AES_256_XTS, AES_256_CTS, PADDING_32 = 2, 1, 4, 3

    def __init__(self, base):
        self.store = f"{base}/fscrypt.mnt"
        self.image = f"{base}/fscrypt.img"
        self.dir = f"{self.store}/dir"
        self.key = os.urandom(64)
        self.loop = None
        os.mkdir(self.store)
        room = shutil.disk_usage(base).free // 3
        run("truncate", "-s", str(min(room, 32 << 30)), self.image)
        run("mkfs.ext4", "-q", "-O", "encrypt", "-E", "lazy_itable_init=1,lazy_journal_init=1", self.image)
        try:
            self.mount()
            self.encrypt()
        except OSError as e:
            raise BenchError(f"the kernel says: {e.strerror}") from None
        finally:
            self.unmount()

    def encrypt(self):
        """An empty directory, with all that comes into it. struct fscrypt_policy_v2."""
        os.mkdir(self.dir)
        fd = os.open(self.dir, os.O_RDONLY)
        policy = struct.pack("<4B4x16s", 2, self.AES_256_XTS, self.AES_256_CTS, self.PADDING_32, self.identifier)
        try:
            fcntl.ioctl(fd, self.SET_POLICY, policy)
        finally:
            os.close(fd)

    @classmethod
    def missing(cls):
        if not ROOT:
            return "needs root"
        if not os.path.exists("/sys/fs/ext4/features/encryption"):
            return "this kernel has no ext4 with encryption"
        return None if shutil.which("mkfs.ext4") else "mkfs.ext4 is not installed"

    def add_key(self):
        # struct fscrypt_add_key_arg: specifier (type, reserved, 32 bytes), size, key id, 8 reserved, the key
        arg = array.array("B", struct.pack("<II32sII32s", self.IDENTIFIER, 0, b"", len(self.key), 0, b"") + self.key)
        fd = os.open(self.store, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, self.ADD_KEY, arg, True)
        finally:
            os.close(fd)
        self.identifier = bytes(arg[8:24])

    def mount(self):
        self.loop = run("losetup", "--find", "--show", "--direct-io=on", self.image, quiet=False).strip()
        run("mount", self.loop, self.store)
        self.add_key()

    def unmount(self):
        if os.path.ismount(self.store):
            subprocess.run(["umount", self.store], stderr=subprocess.DEVNULL, check=False)
        if self.loop:
            subprocess.run(["losetup", "--detach", self.loop], stderr=subprocess.DEVNULL, check=False)
        self.loop = None


TARGETS = {
    c.name: c
    for c in (
        Plain, Fscrypt, Passthrough, NoJournal, NoFollow, NoPerm, Coffer, Ring, RingNoPerm, Gocryptfs, Securefs, Encfs, Cryfs,
    )
}
