"""``vrt receive -`` behind a mail server, with everything wrong that can be: 0 and durable, or 75, and nothing between.

A mail server bounces a mail, and so loses it for us, at any other exit code. A death by a signal it takes as
temporary (Postfix's ``pipe(8)``: "died with signal" is deferred).
"""

from __future__ import annotations

import fcntl
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Person, founded, mail

MIB = 1 << 20
SLOW = pytest.mark.slow


def also_slow(normal: list[Any], slow: list[Any]) -> list[Any]:
    """Return the values of a parameter, the second list marked slow."""
    return [*normal, *(pytest.param(value, marks=SLOW) for value in slow)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Person:
    return founded(tmp_path_factory.mktemp("base"))


@pytest.fixture
def alice(base: Person, tmp_path: Path) -> Person:
    """The founder of a desk, with keys of her own to spoil."""
    assert base.desk is not None
    shutil.copytree(base.desk, tmp_path / "desk")
    shutil.copytree(base.home, tmp_path / "home")
    return Person(tmp_path / "home", tmp_path / "desk")


def pipe(person: Person, raw: bytes, *before: str, **more: Any) -> int:
    """Hand ``raw`` to ``receive -`` and return its exit code; ``before``: a command that starts it."""
    argv = [*before, sys.executable, "-m", "vrt", "-C", str(person.desk), "receive", "-"]
    more = {"env": person.env, "cwd": person.home, "capture_output": True, **more}
    if "stdin" not in more:
        more["input"] = raw
    done = subprocess.run(argv, check=False, **more)
    # Postfix takes output that begins with an RFC 3463 code ("5.1.1 ...") for the reason of a bounce.
    assert not (done.stdout or b"")[:1].isdigit() and not (done.stderr or b"")[:1].isdigit()
    return done.returncode


def copies(person: Person, subject: str) -> int:
    return len(person.json("search", f'subject:"{subject}"', "state:any"))


def refused(person: Person, spoil: Callable[[], object], repair: Callable[[], object], **more: Any) -> None:
    """While spoilt the mail is to be kept by the mail server; after the repair it is taken in, once."""
    subject = f"Kept by the server {os.urandom(4).hex()}"
    raw = mail(subject)
    spoil()
    assert pipe(person, raw, **more) == 75
    repair()
    assert pipe(person, raw) == 0
    assert pipe(person, raw) == 0
    assert copies(person, subject) == 1
    person.ok("verify")


def either(person: Person, code: int, raw: bytes, subject: str) -> str:
    """0 is durable, 75 or a signal is not lost: it comes again, and is there once."""
    assert code in (0, 75) or code < 0
    if code == 0:
        assert copies(person, subject) == 1
    assert pipe(person, raw) == 0
    assert copies(person, subject) == 1
    return str(code)


# --- the desk -------------------------------------------------------------------------------------


def moved(path: Path) -> tuple[Callable[[], object], Callable[[], object]]:
    aside = path.with_name(path.name + ".aside")
    return lambda: path.rename(aside), lambda: aside.rename(path)


def written(path: Path, data: bytes, mode: int = 0o600) -> tuple[Callable[[], object], Callable[[], object]]:
    """What overwrites a file, and what puts it back as it was."""
    before = path.read_bytes() if path.exists() else None

    def spoil() -> None:
        path.write_bytes(data)
        path.chmod(mode)

    def repair() -> None:
        path.unlink()
        if before is not None:
            path.write_bytes(before)
            path.chmod(0o600)

    return spoil, repair


def test_no_desk(alice: Person) -> None:
    assert alice.desk is not None
    refused(alice, *moved(alice.desk))
    refused(alice, *moved(alice.desk / "vrt"))


@pytest.mark.parametrize("name", ["identity.txt", "signing"])
def test_no_key(alice: Person, name: str) -> None:
    key = alice.home / "keys" / name
    refused(alice, *moved(key))
    refused(alice, *written(key, b"no key"))
    refused(alice, *written(key, key.read_bytes(), 0o644))
    refused(alice, *written(key, b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"))


@pytest.mark.parametrize(
    "text", [b"card: [\n", b"colour: red\n", b"\xff", b"- a\n", b"a: &a [*a]\n", b"signing_key: /nowhere\n"]
)
def test_wrong_configuration(alice: Person, text: bytes) -> None:
    assert alice.desk is not None
    refused(alice, *written(alice.desk / "vrt" / "config.yaml", text))


def test_a_key_that_nobody_is_there_to_unlock(alice: Person) -> None:
    key = alice.home / "keys" / "signing"
    raw = key.read_bytes()
    spoil, repair = written(key, raw)

    def lock() -> None:
        spoil()
        subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", key], check=True, capture_output=True)

    refused(alice, lock, repair)


@pytest.mark.parametrize("damage", also_slow(["main", "garbage"], ["keys", "objects", "HEAD"]))
def test_a_damaged_repository(alice: Person, damage: str) -> None:
    desk = alice.desk
    assert desk is not None
    if damage in ("main", "keys"):
        head = desk / "refs" / "heads" / damage
        refused(alice, *written(head, b"1234567890123456789012345678901234567890\n"))
        refused(alice, *written(head, b"\0" * 41))
    elif damage == "garbage":  # a commit that nobody signed
        head = desk / "refs" / "heads" / "main"
        tree = alice.git("rev-parse", "main^{tree}").decode().strip()
        who = ["-c", "user.name=x", "-c", "user.email=x@y"]
        fake = alice.git(*who, "commit-tree", tree, "-p", "main", "-m", "nonsense")
        refused(alice, *written(head, fake))
    elif damage == "objects":
        spoil, repair = moved(desk / "objects")
        refused(alice, spoil, repair)
    else:
        refused(alice, *moved(desk / "HEAD"))


def test_a_damaged_index_is_made_anew(alice: Person) -> None:
    assert alice.desk is not None
    for i, data in enumerate((b"", b"garbage" * 1000, b"SQLite format 3\0" + b"\xff" * 5000)):
        for path in (alice.desk / "vrt").glob("index*"):
            if path.is_file():
                path.write_bytes(data)
        raw = mail(f"Index {i}")
        assert pipe(alice, raw) == 0
        either(alice, 0, raw, f"Index {i}")


def test_the_desk_is_locked(alice: Person) -> None:
    """Another vrt writes for a moment: it is waited for."""
    assert alice.desk is not None
    with (alice.desk / "vrt" / "lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        argv = [sys.executable, "-m", "vrt", "-C", str(alice.desk), "receive", "-"]
        with subprocess.Popen(argv, env=alice.env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as waiting:
            assert waiting.stdin
            waiting.stdin.write(mail("After the lock"))
            waiting.stdin.close()
            time.sleep(1)
            assert waiting.poll() is None
            fcntl.flock(file, fcntl.LOCK_UN)
            assert waiting.wait() == 0
    assert copies(alice, "After the lock") == 1


@pytest.mark.slow
def test_the_desk_is_locked_for_long(alice: Person) -> None:
    assert alice.desk is not None
    file = (alice.desk / "vrt" / "lock").open("wb")
    raw = mail("Kept by the server")
    fcntl.flock(file, fcntl.LOCK_EX)
    assert pipe(alice, raw) == 75
    file.close()
    assert pipe(alice, raw) == 0


# --- the process ------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["HOME", "PATH", "VRT_HOME", "XDG_RUNTIME_DIR", "TZ", "LC_ALL", "all"])
def test_a_poor_environment(alice: Person, missing: str) -> None:
    keep = ("PYTHONPATH", "VRT_HOME") if missing == "all" else tuple(n for n in alice.env if n != missing)
    raw = mail("Poor environment")
    code = pipe(alice, raw, env={n: v for n, v in alice.env.items() if n in keep})
    assert either(alice, code, raw, "Poor environment") == ("75" if missing == "VRT_HOME" else "0")


@pytest.mark.parametrize(
    "setting", [{"TMPDIR": "/nowhere"}, {"LC_ALL": "nowhere"}, {"TZ": "No/Where"}, {"PATH": "/nowhere"}]
)
def test_an_odd_environment(alice: Person, setting: dict[str, str]) -> None:
    raw = mail("Odd environment")
    either(alice, pipe(alice, raw, env=alice.env | setting), raw, "Odd environment")


@pytest.mark.parametrize("close", [">&-", "2>&-", ">&- 2>&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>&1"])
def test_output_that_nobody_takes(alice: Person, close: str) -> None:
    """What cannot be said is not said; the mail is in, and the server is told so."""
    raw = mail("Silent")
    assert pipe(alice, raw, "sh", "-c", f'exec "$@" {close}', "sh") == 0
    assert either(alice, 0, raw, "Silent")
    wrong = Person(alice.home, alice.home)
    assert pipe(wrong, raw, "sh", "-c", f'exec "$@" {close}', "sh") == 75


@pytest.mark.parametrize("streams", [("stdout",), ("stderr",), ("stdout", "stderr")])
def test_output_into_a_broken_pipe(alice: Person, streams: tuple[str, ...]) -> None:
    raw = mail("Broken pipe")
    for person, code in ((alice, 0), (Person(alice.home, alice.home), 75)):
        read, write = os.pipe()
        os.close(read)
        assert pipe(person, raw, capture_output=False, **dict.fromkeys(streams, write)) == code
        os.close(write)
    assert copies(alice, "Broken pipe") == 1


def test_no_input(alice: Person, tmp_path: Path) -> None:
    """A mail that never reached us is not done."""
    assert pipe(alice, b"", "sh", "-c", 'exec "$@" <&-', "sh") == 75
    with (tmp_path / "w").open("wb") as file:
        assert pipe(alice, b"", stdin=file) == 75


def test_the_folder_is_gone(alice: Person, tmp_path: Path) -> None:
    raw = mail("Gone folder")
    code = pipe(
        alice, raw, "sh", "-c", f'mkdir {tmp_path}/gone; cd {tmp_path}/gone; rmdir {tmp_path}/gone; exec "$@"', "sh"
    )
    either(alice, code, raw, "Gone folder")


MODULES = ["click", "git", "pyrage", "yaml", "frontmatter", "apsw", "mailparser", "cryptography", "bcrypt", "vrt.desk"]


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("how", also_slow(["raise ImportError('no')"], ["1 +", "raise SystemExit(1)"]))
def test_a_broken_installation(alice: Person, tmp_path: Path, module: str, how: str) -> None:
    if "." in module:  # a module of ours: in a copy
        shutil.copytree(Path(__file__).parents[1] / "vrt", tmp_path / "site" / "vrt")
        (tmp_path / "site" / (module.replace(".", "/") + ".py")).write_text(how)
    else:
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / f"{module}.py").write_text(how)
    raw = mail("Broken installation", "<p>x</p>")
    code = pipe(alice, raw, env=alice.env | {"PYTHONPATH": f"{tmp_path}/site:{alice.env['PYTHONPATH']}"})
    either(alice, code, raw, "Broken installation")


@pytest.mark.parametrize("body", also_slow(["kill -9 $$"], ["exit 1", "echo nonsense; exit 128"]))
def test_git_fails(alice: Person, tmp_path: Path, body: str) -> None:
    """Also in the middle: git is real for its first calls, then it is not."""
    real = shutil.which("git")
    (tmp_path / "bin").mkdir()
    for good in range(5):
        count = tmp_path / f"count{good}"
        script = f'echo >>{count}\n[ $(wc -l <{count}) -le {good} ] && exec {real} "$@"\n{body}\n'
        (tmp_path / "bin" / "git").write_text(f"#!/bin/sh\n{script}")
        (tmp_path / "bin" / "git").chmod(0o755)
        raw = mail(f"Git {good}")
        code = pipe(alice, raw, env=alice.env | {"PATH": f"{tmp_path}/bin:{alice.env['PATH']}"})
        either(alice, code, raw, f"Git {good}")
    alice.ok("verify")


@pytest.mark.parametrize("when", [0, 946684800, 1700000000, 4102444800])
def test_a_wrong_clock(alice: Person, tmp_path: Path, when: int) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        f"import time\ntime.time = lambda: {when}.5\ntime.time_ns = lambda: {when}*10**9\n"
    )
    raw = mail("Wrong clock")
    code = pipe(alice, raw, env=alice.env | {"PYTHONPATH": f"{tmp_path}:{alice.env['PYTHONPATH']}"})
    either(alice, code, raw, "Wrong clock")


# --- limits and signals -------------------------------------------------------------------------------


def limited(person: Person, raw: bytes, what: int, limit: int, **more: Any) -> int:
    return pipe(person, raw, preexec_fn=lambda: resource.setrlimit(what, (limit, limit)), **more)


@pytest.mark.parametrize("mib", also_slow([60, 120, 200], [80, 100, 140, 160, 250, 300]))
def test_little_memory(alice: Person, mib: int) -> None:
    raw = mail("Little memory", files={"a": os.urandom(3 * MIB)})
    either(alice, limited(alice, raw, resource.RLIMIT_AS, mib * MIB), raw, "Little memory")


@pytest.mark.parametrize("limit", also_slow([0, 4096, 200_000], [100, 50_000, 4 * MIB]))
def test_small_files_only(alice: Person, limit: int) -> None:
    raw = mail("Small files", files={"a": os.urandom(3 * MIB)})
    either(alice, limited(alice, raw, resource.RLIMIT_FSIZE, limit), raw, "Small files")


@pytest.mark.parametrize("limit", also_slow([5, 10, 16], [6, 8, 12, 20, 24]))
def test_few_open_files(alice: Person, limit: int) -> None:
    raw = mail("Few files")
    either(alice, limited(alice, raw, resource.RLIMIT_NOFILE, limit), raw, "Few files")


def test_little_processor_time(alice: Person) -> None:
    raw = mail("Little time", "x" * 60 * MIB)
    either(alice, pipe(alice, raw, "sh", "-c", 'ulimit -S -t 1; exec "$@"', "sh"), raw, "Little time")


def test_input_without_end(alice: Person) -> None:
    with open("/dev/zero", "rb") as zero:
        assert limited(alice, b"", resource.RLIMIT_AS, 600 * MIB, stdin=zero) == 75


@pytest.mark.parametrize(
    "number", also_slow([signal.SIGTERM, signal.SIGINT], [signal.SIGHUP, signal.SIGPIPE, signal.SIGXCPU])
)
def test_signals(alice: Person, number: signal.Signals) -> None:
    dice = random.Random()
    codes = []
    for i in range(4):
        raw = mail(f"Signal {i}")
        argv = [sys.executable, "-m", "vrt", "-C", str(alice.desk), "receive", "-"]
        with subprocess.Popen(
            argv, env=alice.env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as running:
            assert running.stdin
            running.stdin.write(raw)
            running.stdin.close()
            time.sleep(0.5 * (i + dice.random()) / 4)
            running.send_signal(number)
            codes.append(running.wait())
        either(alice, codes[-1], raw, f"Signal {i}")
    alice.ok("verify")
