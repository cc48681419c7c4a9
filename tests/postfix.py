"""A real Postfix on a loopback port, with folders of its own, that pipes its mail to ``vrt receive -``.

Needs root, for Postfix gives up its rights itself, and the programs of the package; changes nothing outside
of its folder. It runs in a mount namespace of its own, in which the Python that runs the tests can be reached by
any user, wherever it is installed.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import smtplib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import ROOT, Person

USER = "nobody"  # neither root nor the owner of the queue: pipe(8) runs nothing as these

MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log/mail.log
maillog_file_prefixes = {folder}
mail_owner = postfix
myhostname = mx.example.org
mydestination =
alias_maps =
local_recipient_maps =
relay_domains = example.org
transport_maps = texthash:{folder}/etc/transport
default_transport = error:nothing leaves this test
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
queue_run_delay = 2s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
"""

MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 2 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
postlog unix-dgram n - n - 1 postlogd
vrt unix - n n - 2 pipe
  {options}
  flags=R user={user} argv={argv}
"""

_RESULT = re.compile(r"postfix/pipe\[\d+\]: (\w+): .* status=(\w+)")


def needed(*programs: str, root: bool = False) -> None:
    """Skip the test where ``programs`` are missing or we are not root; fail under CI, where they have to be there."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [name for name in programs if not shutil.which(name, path=path)]
    if root and os.getuid():
        missing.append("root")
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"not here: {', '.join(missing)}")


def for_anyone() -> str:
    """Return shell commands that let any user reach our Python and vrt, in a mount namespace of its own."""
    shut: dict[Path, list[Path]] = {}  # folder that others cannot enter: what they need below it
    for path in {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), ROOT.resolve()}:
        closed = next((p for p in reversed([path, *path.parents]) if not p.stat().st_mode & 0o001), None)
        if closed:
            shut.setdefault(closed, []).append(path)
    rows = ["set -e", "hold=$(mktemp -d)"]
    for closed, paths in shut.items():
        for i, path in enumerate(paths):
            rows += [f"mkdir -p $hold/{i}", f"mount --bind {path} $hold/{i}"]
        rows.append(f"mount -t tmpfs -o mode=755 none {closed}")
        for i, path in enumerate(paths):
            rows += [f"mkdir -p {path}", f"mount --bind $hold/{i} {path}"]
    return "\n".join(rows)


@contextmanager
def disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a small disk (in memory) at ``folder`` and yield it."""
    folder.mkdir(parents=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "none", folder], capture_output=True, check=False
    )
    if done.returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"mount is not permitted: {done.stderr.decode()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def public_folder() -> Iterator[Path]:
    """Yield a folder that every user can enter; it is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="vrt-postfix-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def hand_over(*folders: Path) -> None:
    """Give folders and all in them to the user that Postfix runs vrt as."""
    subprocess.run(["chown", "-R", USER, *folders], check=True)


class Postfix:
    """A running Postfix."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port

    def send(self, raw: bytes, *to: str) -> None:
        """Hand in a mail by SMTP."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=60) as smtp:
            smtp.sendmail("jane@example.com", list(to) or ["info-en@example.org"], raw)

    @property
    def log(self) -> str:
        return (self.folder / "log" / "mail.log").read_text("utf-8", "replace")

    def results(self, status: str) -> list[str]:
        """Return the queue ids of the deliveries to vrt that ended so: sent, deferred, bounced."""
        return [found[1] for found in _RESULT.finditer(self.log) if found[2] == status]

    def queued(self) -> int:
        """Return how many mails wait."""
        names = ("maildrop", "incoming", "active", "deferred", "hold", "corrupt")
        return sum(1 for name in names for p in (self.folder / "queue" / name).rglob("*") if p.is_file())

    def flush(self) -> None:
        """Let it try now what it deferred."""
        subprocess.run(["postqueue", "-c", self.folder / "etc", "-f"], check=True, env=_env())

    def drain(self, seconds: float) -> None:
        """Wait until nothing is queued."""
        end = time.monotonic() + seconds
        while self.queued():
            assert time.monotonic() < end, f"{self.queued()} mails still wait:\n{self.log[-3000:]}"
            self.flush()
            time.sleep(1)


def _env() -> dict[str, str]:
    return {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "LC_ALL": "C"}


@contextmanager
def running(folder: Path, argv: str, *options: str) -> Iterator[Postfix]:
    """Run Postfix below ``folder`` (which all can enter) with ``argv`` as the command of its pipe."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name in ("etc", "queue", "data", "log"):
        (folder / name).mkdir(parents=True)
    os.chown(folder / "data", pwd.getpwnam("postfix").pw_uid, grp.getgrnam("postfix").gr_gid)
    (folder / "etc" / "main.cf").write_text(MAIN.format(folder=folder))
    (folder / "etc" / "transport").write_text("info-en@example.org vrt:\npermissions-en@example.org vrt:\n")
    (folder / "etc" / "master.cf").write_text(
        MASTER.format(port=port, user=USER, argv=argv, options=" ".join(options) or "-o soft_bounce=no")
    )
    subprocess.run(["postfix", "-c", folder / "etc", "check"], check=True, env=_env(), capture_output=True)
    daemons = subprocess.check_output(
        ["postconf", "-h", "-c", folder / "etc", "daemon_directory"], text=True, env=_env()
    )
    script = f"{for_anyone()}\nexec {daemons.strip()}/master -c {folder}/etc -d"
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script], env=_env(), stdin=subprocess.DEVNULL, start_new_session=True
    ) as master:
        try:
            postfix = Postfix(folder, port)
            _wait_for(port, master)
            yield postfix
        finally:
            master.terminate()
            master.wait(30)


def _wait_for(port: int, master: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while True:
        assert master.poll() is None, "Postfix did not start"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < end, "Postfix does not answer"
            time.sleep(0.1)


def command(person: Person) -> str:
    """Return the ``argv=`` with which Postfix pipes a mail to this person's desk."""
    names = ("VRT_HOME", "PYTHONPATH", "XDG_RUNTIME_DIR")
    settings = " ".join(f"{name}={person.env[name]}" for name in names)
    return f"/usr/bin/env {settings} {sys.executable} -m vrt -C {person.desk} receive -"
