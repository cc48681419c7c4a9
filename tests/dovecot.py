"""A real Dovecot on loopback, as a process of the test: own configuration, own folders, killed and started at will."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

PASSWORD = "correct-horse"

CONFIG = """
base_dir = {base}/run
state_dir = {base}/state
log_path = {base}/log
protocols = imap pop3
listen = 127.0.0.1
ssl = yes
ssl_cert = <{base}/cert.pem
ssl_key = <{base}/key.pem
disable_plaintext_auth = {secure}
auth_mechanisms = plain login
auth_failure_delay = 0
mail_location = maildir:{base}/mail/%u
first_valid_uid = 0
mail_max_userip_connections = 50
default_internal_user = {internal}
default_login_user = {login}
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={base}/home/%u
}}
namespace inbox {{
  inbox = yes
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""


def skip(why: str) -> None:
    """Skip the test, or let it fail where everything has to be there."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody uses now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [int(s.getsockname()[1]) for s in sockets]
    finally:
        for s in sockets:
            s.close()


def certificate(folder: Path, *names: str) -> Path:
    """Make ``cert.pem``, of its own authority and valid for ``names``, and ``key.pem``; return the first."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    now = datetime.datetime.now(datetime.timezone.utc)
    known: list[x509.GeneralName] = [
        x509.IPAddress(ipaddress.ip_address(n)) if n[0].isdigit() else x509.DNSName(n) for n in names
    ]
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(known), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )  # fmt: skip
    (folder / "key.pem").chmod(0o600)
    return folder / "cert.pem"


def _user(name: str) -> str:
    try:
        return pwd.getpwnam(name).pw_name
    except KeyError:
        return "nobody"


class Dovecot:
    """A running Dovecot with the ports ``imap``, ``imaps``, ``pop3`` and ``pop3s``."""

    def __init__(self, *names: str, secure: bool = False) -> None:
        """``names`` are those of its certificate."""
        program = shutil.which("dovecot") or shutil.which("dovecot", path="/usr/sbin:/usr/local/sbin")
        if not program:
            skip("Dovecot is not here (dovecot-imapd, dovecot-pop3d)")
        if os.getuid():
            skip("only root can start Dovecot's login processes")
        assert program
        # Its login processes run as another user, which does not get into the test's folder.
        base = Path(tempfile.mkdtemp(prefix="vrt-dovecot-"))
        base.chmod(0o755)
        self.program, self.base = program, base
        self.imap, self.imaps, self.pop3, self.pop3s = free_ports(4)
        self._uid, self._gid = pwd.getpwnam("nobody")[2:4]
        for name in ("run", "state", "mail", "home"):
            (base / name).mkdir(parents=True)
        for name in ("mail", "home"):
            os.chown(base / name, self._uid, self._gid)
        self.ca = certificate(base, *(names or ("localhost", "127.0.0.1")))
        (base / "conf").write_text(
            CONFIG.format(
                base=base, imap=self.imap, imaps=self.imaps, pop3=self.pop3, pop3s=self.pop3s, password=PASSWORD,
                secure="yes" if secure else "no", internal=_user("dovecot"), login=_user("dovenull"),
                uid=self._uid, gid=self._gid,
            )
        )  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers; skip the test where it does not."""
        (self.base / "run" / "master.pid").unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [self.program, "-F", "-c", str(self.base / "conf")], start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=(self.base / "stderr").open("ab"),
        )  # fmt: skip
        end = time.monotonic() + 20
        while time.monotonic() < end and self.process.poll() is None:
            if all(self._answers(port) for port in (self.imap, self.pop3)):
                return
            time.sleep(0.05)
        said = (
            (self.base / "stderr").read_text() + (self.base / "log").read_text() if (self.base / "log").exists() else ""
        )
        self.kill()
        skip(f"Dovecot does not start: {said[-500:]}")

    def _answers(self, port: int) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as s:
                return bool(s.recv(4))
        except OSError:
            return False

    def kill(self) -> None:
        """Kill it and everything it started, with SIGKILL."""
        if self.process:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
            self.process = None

    def close(self) -> None:
        """Kill it and remove its folder."""
        self.kill()
        shutil.rmtree(self.base, ignore_errors=True)

    def folder(self, user: str, name: str = "") -> Path:
        """Return a user's Maildir, or a folder in it."""
        return self.base / "mail" / user / (f".{name}" if name else "")

    def deliver(self, user: str, mails: list[bytes]) -> None:
        """Put mails into a user's inbox."""
        folder = self.folder(user)
        for path in (folder, *(folder / part for part in ("tmp", "new", "cur"))):
            path.mkdir(exist_ok=True)
            os.chown(path, self._uid, self._gid)
        for i, mail in enumerate(mails):
            name = f"{int(time.time())}.{time.monotonic_ns()}_{i}.test"
            (folder / "tmp" / name).write_bytes(mail)
            os.chown(folder / "tmp" / name, self._uid, self._gid)
            (folder / "tmp" / name).rename(folder / "new" / name)

    def count(self, user: str, name: str = "") -> int:
        """Return how many messages lie in a folder."""
        folder = self.folder(user, name)
        return sum(len(list((folder / part).iterdir())) for part in ("new", "cur") if (folder / part).is_dir())
