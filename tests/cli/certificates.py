"""Certificates for the tests, made by the openssl command, and a keyring opened by that command alone (docs/format-keyring.md)."""

import base64
import hashlib
import hmac
import json
import os
import struct
import subprocess

HELPER = os.path.join(os.environ.get("COFFER_LIBEXEC_DIR", "/nonexistent"), "coffer-cms")
MISSING = None if os.access(HELPER, os.X_OK) else "built without OpenSSL"

CA = """[ca]
default_ca = c
[c]
database = {0}/index
new_certs_dir = {0}
serial = {0}/serial
default_md = sha256
policy = p
x509_extensions = x
[x]
{1}
[p]
commonName = supplied
"""


def openssl(*arguments, input=None):
    return subprocess.run(["openssl", *map(str, arguments)], input=input, check=True, capture_output=True).stdout


def new_key(directory, name, kind="rsa"):
    key = os.path.join(directory, name + ".key")
    how = ["rsa", "-pkeyopt", "rsa_keygen_bits:2048"] if kind == "rsa" else [
        "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:named_curve"]
    if kind == "x25519":
        how = ["x25519"]
    openssl("genpkey", "-algorithm", *how, "-out", key)
    return key


def certificate(directory, name, key, usage="", days=3650):
    """A self-signed one."""
    out = os.path.join(directory, name + ".pem")
    more = ["-addext", f"keyUsage=critical,{usage}"] if usage else []
    openssl("req", "-x509", "-key", key, "-out", out, "-subj", f"/CN={name}", "-days", str(days), *more)
    return out


def dated(directory, name, key, start, end, extensions="subjectKeyIdentifier = hash"):
    """One that is valid between two dates, YYMMDDHHMMSSZ."""
    place = os.path.join(directory, name + ".ca")
    os.mkdir(place)
    conf, request, out = (os.path.join(place, n) for n in ("conf", "request", "out.pem"))
    with open(conf, "w") as f:
        f.write(CA.format(place, extensions))
    open(os.path.join(place, "index"), "w").close()
    with open(os.path.join(place, "serial"), "w") as f:
        f.write("01\n")
    openssl("req", "-new", "-key", key, "-out", request, "-subj", f"/CN={name}")
    openssl("ca", "-config", conf, "-selfsign", "-keyfile", key, "-batch", "-notext", "-in", request, "-out", out,
            "-startdate", start, "-enddate", end)
    return out


def to_der(pem):
    return openssl("x509", "-in", pem, "-outform", "DER")


def encrypt(x, *recipients, cipher="-aes-256-gcm", options=None):
    """As people would by hand; recipients are (certificate, "rsa" or "ec")."""
    kinds = {"rsa": ["-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256"], "ec": ["-keyopt", "ecdh_kdf_md:sha256"]}
    words = []
    for pem, kind in recipients:
        words += ["-recip", pem, *(kinds[kind] if options is None else options)]
    return openssl("cms", "-encrypt", "-binary", "-outform", "DER", cipher, "-keyid", *words, input=x)


def decrypt(cms, key, pem):
    return openssl("cms", "-decrypt", "-inform", "DER", "-inkey", key, "-recip", pem, input=cms)


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def derive(secret, label, volume_id, extra=None, length=32):
    """HKDF-SHA-256, one block."""
    def part(x):
        return struct.pack("<H", len(x)) + x

    info = part(label.encode()) + part(volume_id) + part(b"") + (b"" if extra is None else part(extra))
    prk = hmac.new(b"\0" * 32, secret, hashlib.sha256).digest()
    return hmac.new(prk, info + b"\1", hashlib.sha256).digest()[:length]


def wrap(key, data, direction):
    return openssl("enc", direction, "-id-aes256-wrap", "-K", key.hex(), "-iv", "A6" * 8, input=data)


class Keyring:
    """A keyring or a backup whose file is edited by somebody who has a private key."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as f:
            text = f.read()
        self.doc = json.loads(text[:text.rindex(b"#coffer-seal")])
        self.volume_id = bytes.fromhex(self.doc["settings"]["volume_id"])

    def protector(self, ident):
        return next(p for p in self.doc["protectors"] if p["id"] == ident)

    def root_by(self, p, x):
        """From X of a protector to the root."""
        commitment = derive(x, "coffer protector commitment", self.volume_id, p["type"].encode())
        assert b64(commitment) == p["commitment"]
        key = derive(x, "coffer protector wrap", self.volume_id, p["type"].encode())
        return wrap(key, unb64(p["wrapped"]), "-d")

    def protect(self, p, x, root):
        p["commitment"] = b64(derive(x, "coffer protector commitment", self.volume_id, b"certificate"))
        p["wrapped"] = b64(wrap(derive(x, "coffer protector wrap", self.volume_id, b"certificate"), root, "-e"))

    def write(self, root, label="coffer keyring mac"):
        text = json.dumps(self.doc, indent=2).encode() + b"\n"
        mac = hmac.new(derive(root, label, self.volume_id), text, hashlib.sha256).hexdigest()
        text += b"#coffer-seal mac=" + mac.encode() + b" sha256="
        text += hashlib.sha256(text).hexdigest().encode() + b"\n"
        for path in (self.path, self.path + ".bak"):
            if path == self.path or os.path.exists(path):
                with open(path, "wb") as f:
                    f.write(text)
