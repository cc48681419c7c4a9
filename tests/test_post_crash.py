"""Killed at any moment of sending: no message is taken twice unasked, none is lost, and what is in doubt is shown.

The server is a real one on loopback and counts what it took. vrt is killed where it calls a function, at a step of
the server's, or at one of a hundred moments spread over all the lines that it runs through.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import founded, mail
from smtpserver import DROP, SmtpServer
from test_post import Clerk, clerk, killed

QUEUED_FIRST, AT_ONCE = ("send",), ("reply", "N", "-m", "Yes, it is so.", "-y", "--close", "successful")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Clerk:
    """A desk with a ticket to answer."""
    person = clerk(founded(tmp_path_factory.mktemp("base")))
    person.receive(mail("Help"))
    return person


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as made:
        yield made


class Case:
    """A desk of its own in ``folder``, whose one ticket is answered through ``server``."""

    def __init__(self, base: Clerk, folder: Path, server: SmtpServer, args: tuple[str, ...]) -> None:
        assert base.desk is not None
        shutil.copytree(base.desk, folder / "desk")
        self.alice, self.server = Clerk(base.home, folder / "desk"), server
        (self.ticket,) = [t["number"] for t in self.alice.json("list")]
        self.args = tuple(self.ticket if a == "N" else a for a in args)
        self.taken = len(server.accepted)
        if args == QUEUED_FIRST:
            self.alice.delivers(kind="sendmail", command=["/no/such/program"])
            assert self.alice.reply(self.ticket)["delivery"] == "queued"
            (self.alice.local / "tries").unlink()
        self.alice.sends_by(server)

    @property
    def count(self) -> int:
        """How many messages the server took of this desk."""
        self.server.settle()
        return len(self.server.accepted) - self.taken

    def check(self, settle: str) -> str:
        """After a kill: send twice, look, and settle what is in doubt; return what had become of the message."""
        alice, n, before = self.alice, self.ticket, self.count
        codes = {alice.run("send").code for _ in range(2)}
        actions = alice.actions(n)
        listed = alice.outbox()
        if "reply" not in actions:  # nothing was recorded, and nothing said to be
            assert (self.count, listed, codes) == (0, [], {0})
            alice.lawful()
            return "nothing"
        if not listed:
            assert self.count == 1 and codes == {0} and actions.count("sent") == 1
            assert alice.json("list", "state:any")[0]["undelivered"] == 0
            alice.lawful()
            return "sent"
        (message,) = listed
        assert (message["state"], message["ticket"], codes) == ("in doubt", n, {1}) and self.count == before <= 1
        self.shown(message["event"])
        self.settle(settle, before)
        return f"in doubt, {'taken' if before else 'not taken'}"

    def shown(self, event: str) -> None:
        """It is in doubt wherever somebody looks."""
        alice, n = self.alice, self.ticket
        assert "IN DOUBT" in alice.ok("show", n).out
        assert alice.json("list", "state:any")[0]["undelivered"] == 1 and "!1" in alice.ok("list").out
        assert event[-8:] in alice.ok("outbox").out
        assert f"{n} {event[-8:]} may or may not have been delivered" in alice.run("send").err
        assert alice.run("undo").code == 4, "it cannot be taken back any more"

    def settle(self, how: str, before: int) -> None:
        """A person decides, once."""
        alice, n = self.alice, self.ticket
        alice.ok("outbox", how, n)
        assert self.count == before + (how == "retry")
        assert alice.outbox() == [] and alice.json("list", "state:any")[0]["undelivered"] == 0
        assert alice.run("outbox", how, n).code == 4 and alice.run("send").code == 0
        assert self.count == before + (how == "retry")
        alice.lawful()


# --- where it is called -------------------------------------------------------------------------------

# What is killed, where, and what becomes of the message then. ``writer.record`` is called for each durable write, then
# ``desk.recorded``, which is when the branches have moved.
POINTS = [
    (AT_ONCE, "writer.record", "nothing"),
    (AT_ONCE, "desk.recorded", "sent"),
    (AT_ONCE, "post.sending", "sent"),
    (AT_ONCE, "post._begin", "sent"),
    (AT_ONCE, "desk.recorded:2", "in doubt, not taken"),
    (QUEUED_FIRST, "smtp._offer", "sent"),
    (QUEUED_FIRST, "smtp._hand_over", "sent"),
    (QUEUED_FIRST, "desk.recorded", "in doubt, not taken"),
    (QUEUED_FIRST, "smtp.wait", "in doubt, taken"),
    (QUEUED_FIRST, "smtp.result", "in doubt, taken"),
    (QUEUED_FIRST, "desk.recorded:2", "sent"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "at", "becomes"), POINTS, ids=[f"{a[0]}-{at}" for a, at, _ in POINTS])
def test_killed_where_it_calls(
    base: Clerk, server: SmtpServer, tmp_path: Path, args: tuple[str, ...], at: str, becomes: str
) -> None:
    case = Case(base, tmp_path, server, args)
    killed(case.alice, at, *case.args)
    assert case.check("retry" if len(at) % 2 else "cancel") == becomes


@pytest.mark.parametrize(
    ("step", "becomes"),
    [("greeting", "sent"), ("RCPT", "sent"), ("DATA", "sent"), (".", "in doubt, taken")],
)
def test_killed_by_the_server(base: Clerk, server: SmtpServer, tmp_path: Path, step: str, becomes: str) -> None:
    """Before it answers; of the final dot it has read all, and taken the message, when its client dies."""
    case = Case(base, tmp_path, server, QUEUED_FIRST)
    process: list[subprocess.Popen[bytes]] = []

    def kill(server: SmtpServer, row: bytes) -> bytes:
        process[0].send_signal(signal.SIGKILL)
        process[0].wait()
        return b"250 2.0.0 taken" + DROP

    server.script[step] = [kill]
    argv = [sys.executable, "-m", "vrt", "-C", str(case.alice.desk), *case.args]
    process.append(subprocess.Popen(argv, env=case.alice.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    process[0].communicate(timeout=60)
    assert process[0].returncode == -signal.SIGKILL
    assert case.check("retry") == becomes


def test_a_maildir_takes_it_once(base: Clerk, server: SmtpServer, tmp_path: Path) -> None:
    """In doubt like any other; but there another try finds the message, and adds nothing."""
    case = Case(base, tmp_path, server, QUEUED_FIRST)
    case.alice.delivers(kind="maildir")
    killed(case.alice, "writer.record:2", "send")
    alice, box = case.alice, case.alice.local / "maildir"
    (before,) = box.glob("new/*")
    assert alice.run("send").code == 1 and [m["state"] for m in alice.outbox()] == ["in doubt"]
    alice.ok("outbox", "retry", case.ticket)
    assert list(box.glob("new/*")) == [before] and not list(box.glob("tmp/*")) and alice.outbox() == []
    alice.lawful()


# --- at any line --------------------------------------------------------------------------------------

TRACE = """
import atexit, os, signal, sys
at, count, begun = int(os.environ["KILL_LINE"]), 0, False
def line(frame, event, arg):
    global count
    if event == "line":
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)
    return line
def call(frame, event, arg):
    global begun
    file, name = frame.f_code.co_filename, frame.f_code.co_name
    begun = begun or file.endswith(("/outgoing.py", "/post.py")) and name in ("record", "send")
    return line if begun and "/vrt/" in file and name != "<module>" else None
sys.settrace(call)
atexit.register(lambda: sys.settrace(None) or (at or open(os.environ["KILL_COUNT"], "w").write(str(count))))
"""


def traced(person: Clerk, at: int, *args: str) -> int:
    """Run vrt, and kill it at the line ``at`` of those it runs through, none for 0; return how many there were."""
    folder, counted = person.local / "kill", person.local / "kill" / "count"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(TRACE)
    env = {"KILL_LINE": str(at), "KILL_COUNT": str(counted), "PYTHONPATH": f"{folder}:{person.env['PYTHONPATH']}"}
    argv = [sys.executable, "-m", "vrt", "-C", str(person.desk), *args]
    done = subprocess.run(argv, env=person.env | env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == (-signal.SIGKILL if at else 0), done.stderr.decode()
    return 0 if at else int(counted.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("args", [AT_ONCE, QUEUED_FIRST], ids=["reply", "send"])
def test_killed_at_fifty_lines(base: Clerk, server: SmtpServer, tmp_path: Path, args: tuple[str, ...]) -> None:
    """Spread evenly over what is run through from the first look at the message to the end."""
    (tmp_path / "whole").mkdir()
    whole = Case(base, tmp_path / "whole", server, args)
    lines = traced(whole.alice, 0, *whole.args)
    assert whole.count == 1
    became: dict[str, int] = {}
    for i in range(50):
        (tmp_path / str(i)).mkdir()
        case = Case(base, tmp_path / str(i), server, args)
        traced(case.alice, 1 + i * (lines - 1) // 50, *case.args)
        what = case.check(("retry", "cancel")[i % 2])
        became[what] = became.get(what, 0) + 1
    print(f"{args[0]}: killed at 50 of {lines} lines: {became}")
    assert {"sent", "in doubt, not taken"} <= set(became)
