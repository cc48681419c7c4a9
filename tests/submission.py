"""A real Postfix that takes mail as a provider does (submission: TLS, then a login), and mailboxes of a real Dovecot.

Dovecot checks the logins and delivers what Postfix took (``dovecot-lda``), so nothing but the packages of both is
needed. Every name has a mailbox in the domains of ``DOMAINS``, and all have the same password.
"""

from __future__ import annotations

import grp
import imaplib
import os
import pwd
import shutil
import smtplib
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from dovecot import PASSWORD, Dovecot, free_ports
from postfix import MAIN, MASTER, Postfix, _env, _wait_for, needed, public_folder

DOMAINS = ("example.org", "example.com", "example.net")
USER = "info-en@example.org"  # who may send
MISSING, FULL = "missing@example.com", "full@example.com"  # refused for ever, and for now
LARGEST = 2_000_000  # bytes of a message

DELIVER = """\
dovecot unix - n n - 4 pipe
  flags=Rhu user=nobody argv={lda} -c {base}/conf -o log_path=/dev/stderr -f ${{sender}} -d ${{recipient}}
"""
SOCKETS = """
service auth {{
  unix_listener {base}/run/for-postfix {{
    mode = 0666
  }}
  unix_listener auth-userdb {{
    mode = 0666
  }}
}}
"""


class Mailboxes(Dovecot):
    """A Dovecot that Postfix may ask who somebody is, and deliver to."""

    def start(self) -> None:
        """Start it, with the sockets for Postfix."""
        conf = self.base / "conf"
        if "for-postfix" not in conf.read_text():
            with conf.open("a") as file:
                file.write(SOCKETS.format(base=self.base))
        super().start()


class Submission(NamedTuple):
    """Running servers: ``port`` begins with STARTTLS, ``implicit`` with TLS; ``imaps`` is that of the mailboxes."""

    host: str
    port: int
    implicit: int
    user: str
    password: str
    ca_file: Path
    imaps: int
    postfix: Postfix
    dovecot: Dovecot

    def delivery(self, **more: Any) -> dict[str, Any]:
        """Return what stands as ``delivery`` in the config.yaml of a desk that sends here."""
        return {
            "kind": "smtp", "host": self.host, "port": self.port, "user": self.user,
            "password_command": f"echo {self.password}", "ca_file": str(self.ca_file), **more,
        }  # fmt: skip

    def account(self, user: str = USER) -> dict[str, Any]:
        """Return what stands as one of the ``accounts`` of a desk that fetches ``user``'s mail here."""
        return {
            "type": "imap", "host": self.host, "port": self.imaps, "tls": "implicit", "user": user,
            "password_command": f"echo {self.password}", "ca_file": str(self.ca_file), "after": "seen",
        }  # fmt: skip

    def write(self, raw: bytes, sender: str, *to: str) -> None:
        """Send a mail as somebody else does, with Python's own client."""
        with smtplib.SMTP(self.host, self.port, timeout=60) as client:
            client.starttls(context=ssl.create_default_context(cafile=str(self.ca_file)))
            client.login(self.user, self.password)
            client.sendmail(sender, list(to), raw)

    @contextmanager
    def mailbox(self, user: str) -> Iterator[imaplib.IMAP4]:
        """Log in to somebody's mailbox with Python's own client, in the inbox."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        with imaplib.IMAP4_SSL(self.host, self.imaps, ssl_context=context, timeout=60) as client:
            client.login(user, self.password)
            client.select()
            yield client

    def inbox(self, user: str, count: int = 1, seconds: float = 60) -> list[bytes]:
        """Wait for ``count`` messages in somebody's inbox and return all that are there, oldest first."""
        end = time.monotonic() + seconds
        with self.mailbox(user) as client:
            while len(found := client.search(None, "ALL")[1][0].split()) < count:
                assert time.monotonic() < end, f"{len(found)} of {count} mails came:\n{self.postfix.log[-3000:]}"
                time.sleep(0.05)
                client.noop()
            return [client.fetch(number.decode(), "(BODY.PEEK[])")[1][0][1] for number in found]  # type: ignore[index,misc]


@contextmanager
def submission() -> Iterator[Submission]:
    """Run both servers; skip the test where they are not installed or we are not root."""
    needed("postfix", "dovecot", root=True)
    lda = next(
        (p for p in ("/usr/lib/dovecot/dovecot-lda", "/usr/libexec/dovecot/dovecot-lda") if Path(p).exists()), ""
    )
    assert lda, "Dovecot came without dovecot-lda"
    dovecot = Mailboxes("localhost")
    try:
        with public_folder() as folder:
            port, implicit = free_ports(2)
            _configure(folder, dovecot.base, lda, port, implicit)
            with _running(folder, port) as postfix:
                yield Submission(
                    "localhost", port, implicit, USER, PASSWORD, dovecot.ca, dovecot.imaps, postfix, dovecot
                )
    finally:
        dovecot.close()


def _configure(folder: Path, base: Path, lda: str, port: int, implicit: int) -> None:
    for name in ("etc", "queue", "data", "log"):
        (folder / name).mkdir()
    os.chown(folder / "data", pwd.getpwnam("postfix").pw_uid, grp.getgrnam("postfix").gr_gid)
    changed = {
        "relay_domains": " ".join(DOMAINS),
        "message_size_limit": str(LARGEST),
        "mailbox_size_limit": "0",
        "dovecot_destination_recipient_limit": "1",
        "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
        "smtpd_recipient_restrictions": f"check_recipient_access texthash:{folder}/etc/recipients",
        "smtpd_sasl_auth_enable": "yes",
        "smtpd_sasl_type": "dovecot",
        "smtpd_sasl_path": f"{base}/run/for-postfix",
        "smtpd_tls_auth_only": "yes",
        "smtpd_tls_security_level": "encrypt",
        "smtpd_tls_cert_file": f"{base}/cert.pem",
        "smtpd_tls_key_file": f"{base}/key.pem",
        "smtpd_client_connection_rate_limit": "0",
    }
    kept = [row for row in MAIN.format(folder=folder).splitlines() if row.split(" = ")[0] not in changed]
    (folder / "etc" / "main.cf").write_text("\n".join([*kept, *(f"{k} = {v}" for k, v in changed.items()), ""]))
    (folder / "etc" / "transport").write_text("".join(f"{domain} dovecot:\n" for domain in DOMAINS))
    (folder / "etc" / "recipients").write_text(f"{MISSING} 550 5.1.1 no such user\n{FULL} 450 4.2.2 mailbox full\n")
    rows = MASTER.partition("vrt unix")[0].format(port=port)
    rows += f"127.0.0.1:{implicit} inet n - n - - smtpd\n  -o smtpd_tls_wrappermode=yes\n"
    rows += "tlsmgr unix - - n 1000? 1 tlsmgr\n" + DELIVER.format(lda=lda, base=base)
    (folder / "etc" / "master.cf").write_text(rows)


@contextmanager
def _running(folder: Path, port: int) -> Iterator[Postfix]:
    etc = folder / "etc"
    subprocess.run(["postfix", "-c", etc, "check"], check=True, env=_env(), capture_output=True)
    daemons = subprocess.check_output(["postconf", "-h", "-c", etc, "daemon_directory"], text=True, env=_env()).strip()
    with subprocess.Popen(
        [f"{daemons}/master", "-c", etc, "-d"], env=_env(), stdin=subprocess.DEVNULL, start_new_session=True
    ) as master:
        try:
            _wait_for(port, master)
            yield Postfix(folder, port)
        finally:
            master.terminate()
            master.wait(30)


def sendmail(folder: Path) -> list[str]:
    """Return the command of Postfix's own sendmail program, for the Postfix below ``folder``."""
    program = shutil.which("sendmail", path="/usr/sbin:/usr/lib")
    assert program
    return [program, "-C", str(folder / "etc")]
