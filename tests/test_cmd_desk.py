"""Making a desk, keys of every kind, queues and agents."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from conftest import Person, founded, mail
from test_terminal import on_terminal, vrt_on_terminal

INIT = ("--name", "Example VRT", "--domain", "example.org", "--agent", "alice")


def later(person: Person, seconds: int) -> dict[str, str]:
    """Return the environment in which ``person``'s clock is ``seconds`` ahead."""
    folder = person.home / f"clock-{seconds}"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(f"import time\nreal = time.time\ntime.time = lambda: real() + {seconds}\n")
    return {"PYTHONPATH": f"{folder}:{person.env['PYTHONPATH']}"}


def ssh_key(folder: Path, kind: str = "ed25519", passphrase: str = "", *more: str) -> Path:
    """Make an SSH key as people make theirs."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"id_{kind}"
    bits = ["-b", "2048"] if kind == "rsa" else []
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, *bits, "-N", passphrase, "-C", "a@b", "-f", str(path), *more],
        check=True,
        capture_output=True,
    )
    return path


def fetch(person: Person, source: Person) -> None:
    """Bring ``person``'s copy of a desk up to that of another, as a sync will."""
    person.git("fetch", "-q", str(source.desk), "main:main", "keys:keys")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Person:
    """The founder of a desk that no test changes."""
    return founded(tmp_path_factory.mktemp("desk"))


# --- init -----------------------------------------------------------------------------------------


def test_init_makes_a_desk_with_one_command_and_no_questions(tmp_path: Path) -> None:
    alice = Person(tmp_path / "home")
    done = alice.ok("init", "desk", *INIT)
    desk = alice.desk = alice.home / "desk"
    assert f"desk {desk}: you are alice, admin and agent" in done.out
    assert "next: cd desk && vrt queue add" in done.err

    # A bare repository with two branches, of signed commits that git calls good.
    assert alice.git("rev-parse", "--is-bare-repository") == b"true\n"
    assert alice.git("for-each-ref", "--format=%(refname)").split() == [b"refs/heads/keys", b"refs/heads/main"]
    assert alice.git("log", "--all", "--format=%G? %GS").split(b"\n")[:2] == [b"G alice@example.org"] * 2
    assert alice.git("fsck", "--strict").strip() in (b"", b"notice: HEAD points to an unborn branch")
    assert alice.ok("verify").out.endswith("all in order\n")
    files = alice.git("ls-tree", "-r", "--name-only", "main").decode().split()
    assert set(files) == {
        "agents/alice.yaml",
        "agents/recovery.yaml",
        "allowed_signers",
        "desk.yaml",
        "queues/junk.yaml",
        "queues/postmaster.yaml",
    }
    assert re.match(r"you are alice \(admin, agent\)", alice.ok("status").out.splitlines()[1])

    # The caller's keys are private, and kept once.
    keys = Path(alice.env["VRT_HOME"])
    assert {p.name for p in keys.iterdir()} == {"identity.txt", "signing", "signing.pub"}
    assert mode(keys) == 0o700 and mode(keys / "identity.txt") == mode(keys / "signing") == 0o600
    assert mode(desk / "vrt") == 0o700 and all(mode(p) == 0o600 for p in (desk / "vrt").iterdir() if p.is_file())
    before = {p.name: p.read_bytes() for p in keys.iterdir()}
    again = alice.home / "second"
    assert "made " not in Person.ok(_outside(alice), "init", str(again), *INIT).err
    assert {p.name: p.read_bytes() for p in keys.iterdir()} == before


def _outside(person: Person) -> Person:
    """The same person, not in the desk."""
    other = Person(person.home)
    other.env = person.env
    return other


def test_the_recovery_card_opens_every_queue_and_is_kept_nowhere(tmp_path: Path) -> None:
    alice = Person(tmp_path / "home")
    made = alice.ok("init", str(tmp_path / "desk"), *INIT, "--json").json
    assert set(made) == {"desk", "agent", "recovery"} and made["desk"] == str(tmp_path / "desk")
    secret = made["recovery"]
    assert secret.startswith("AGE-SECRET-KEY-1")
    found = subprocess.run(["grep", "-rlF", secret[20:40], str(tmp_path)], capture_output=True, check=False)
    assert found.stdout == b""
    # With plain git and age alone, a queue that was made later, too.
    alice.desk = tmp_path / "desk"
    alice.ok("queue", "add", "info-en", "--address", "info-en@example.org")
    (n,) = alice.receive(mail("The bridge", "A secret word: cormorant."))
    card = tmp_path / "recovery.txt"
    card.write_text(secret + "\n")
    age = shutil.which("age")
    if age is None:
        pytest.skip("age is not installed")

    def opened(branch: str, pattern: str, key: Path) -> bytes:
        (path,) = [
            p for p in alice.git("ls-tree", "-r", "--name-only", branch).decode().split() if re.search(pattern, p)
        ]
        sealed = alice.git("cat-file", "blob", f"{branch}:{path}")
        packed = subprocess.run([age, "-d", "-i", str(key)], input=sealed, capture_output=True, check=True).stdout
        # zcat passes over the zeros that fill the file up, and says so with exit 2
        return subprocess.run(["zcat"], input=packed, capture_output=True, check=False).stdout

    queue_key, article_key = tmp_path / "queue", tmp_path / "article"
    queue_key.write_bytes(opened("keys", r"^queues/info-en/1\.recovery\.", card))
    article_key.write_bytes(opened("keys", rf"{n}/.*-receive-.*\.info-en\.", queue_key))
    assert b"cormorant" in opened("main", rf"{n}/.*\.md\.age$", article_key)


def test_init_refuses_what_would_not_work(tmp_path: Path) -> None:
    alice = Person(tmp_path / "home")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("")
    for args, message in (
        ((str(tmp_path / "full"), *INIT), "there already and not empty"),
        ((str(tmp_path / "d"), "--name", "x", "--domain", "exämple.org"), "is no domain"),
        ((str(tmp_path / "d"), *INIT, "--timezone", "Mars/Base"), "is no time zone"),
        (
            (str(tmp_path / "d"), "--name", "x", "--domain", "example.org", "--agent", "Alice!"),
            "cannot be the name of an agent",
        ),
        ((str(tmp_path / "d"), "--domain", "example.org"), "missing option '--name'"),
    ):
        done = alice.run("init", *args)
        assert done.code in (1, 2) and message in done.err, (args, done)
        assert not (tmp_path / "d").exists()


def test_numbers_take_the_date_of_the_desk_s_time_zone(tmp_path: Path) -> None:
    alice = Person(tmp_path / "home")
    for name, zone in (("east", "Pacific/Kiritimati"), ("west", "Pacific/Niue")):  # 25 hours apart
        alice.desk = None
        alice.ok("init", str(tmp_path / name), *INIT, "--timezone", zone)
        alice.desk = tmp_path / name
        (tmp_path / "home" / "mails").mkdir(exist_ok=True)
        (n,) = alice.receive(mail())
        assert n[:8] in {
            time.strftime("%Y%m%d", time.gmtime(time.time() + s))
            for s in ((14 * 3600,) if name == "east" else (-11 * 3600,))
        }


# --- identity ---------------------------------------------------------------------------------------


def test_identity_makes_keys_once_and_prints_public_ones_only(tmp_path: Path) -> None:
    bob = Person(tmp_path / "home")
    first = bob.ok("identity")
    assert first.err.count("made ") == 2 and "backup" in first.err
    again = bob.ok("identity")
    assert (again.out, again.err) == (first.out, "")
    card = bob.ok("identity", "--json").json
    assert re.fullmatch("age1[a-z0-9]{58}", card["recipient"]) and card["signing"].startswith("ssh-ed25519 ")
    assert yaml.safe_load(first.out) == card
    subprocess.run(
        ["ssh-keygen", "-l", "-f", str(Path(bob.env["VRT_HOME"]) / "signing.pub")], check=True, capture_output=True
    )


def test_a_card_reads_well(tmp_path: Path) -> None:
    """It is handed from person to person."""
    card = Person(tmp_path / "home").ok("identity").out
    assert re.fullmatch(r"recipient: age1[a-z0-9]+\nsigning: ssh-ed25519 [A-Za-z0-9+/=]+\n", card)


def test_identity_takes_existing_keys_and_remembers_them(tmp_path: Path) -> None:
    bob = Person(tmp_path / "home")
    key = ssh_key(tmp_path / "ssh")
    public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    card = bob.ok("identity", "--identity", str(key), "--signing-key", str(key), "--json").json
    assert card == {"recipient": public, "signing": public}
    assert bob.ok("identity", "--json").json == card
    assert not (Path(bob.env["VRT_HOME"]) / "identity.txt").exists()
    # Only one of the two: the other stays as it was.
    age = tmp_path / "age.txt"
    age.write_text(bob_age())
    age.chmod(0o600)
    mixed = bob.ok("identity", "--identity", str(age), "--json").json
    assert mixed["recipient"].startswith("age1") and mixed["signing"] == public


def bob_age() -> str:
    return subprocess.run(["age-keygen"], capture_output=True, text=True, check=True).stdout


def test_keys_that_do_not_serve(tmp_path: Path) -> None:
    bob = Person(tmp_path / "home")
    bob.ok("identity")
    settings = Path(bob.env["VRT_HOME"]) / "config.yaml"
    ecdsa, lonely, old = (
        ssh_key(tmp_path / "a", "ecdsa"),
        ssh_key(tmp_path / "b"),
        ssh_key(tmp_path / "c", "rsa", "", "-m", "PEM"),
    )
    lonely.with_suffix(".pub").unlink()
    text = tmp_path / "text"
    text.write_text("not a key\n")
    text.chmod(0o600)
    open_to_all = ssh_key(tmp_path / "d")
    open_to_all.chmod(0o644)
    for args, message, hint in (
        (("--identity", str(ecdsa)), "SSH public key", ""),
        (("--identity", str(lonely)), "no SSH public key", "ssh-keygen -y"),
        (("--identity", str(text)), "neither an age identity nor an OpenSSH private key", ""),
        (("--identity", str(old)), "neither an age identity nor an OpenSSH private key", ""),
        (("--identity", str(open_to_all)), "others can read", "chmod 600"),
        (("--signing-key", str(text)), "no SSH public key", "ssh-keygen -y"),
        (("--identity", str(tmp_path / "nowhere")), "does not exist", "--help"),
    ):
        done = bob.run("identity", *args)
        assert done.code in (2, 5) and message in done.err and hint in done.err and done.out == "", (args, done)
        assert not settings.exists()  # what does not work is not remembered


KEYS = [("ed25519", ""), ("rsa", ""), ("ed25519", "correct horse"), ("rsa", "correct horse")]


@pytest.mark.parametrize(
    ("kind", "passphrase"),
    KEYS,
)
def test_an_ssh_key_reads_and_signs(tmp_path: Path, kind: str, passphrase: str) -> None:
    """The key that somebody has already, for both purposes; its passphrase from a password manager."""
    alice = Person(tmp_path / "home")
    key = ssh_key(tmp_path / "ssh", kind, passphrase)
    if passphrase:
        Path(alice.env["VRT_HOME"]).mkdir(mode=0o700)
        (Path(alice.env["VRT_HOME"]) / "config.yaml").write_text("passphrase_command: echo correct horse\n")
    desk = tmp_path / "desk"
    alice.ok("init", str(desk), *INIT, "--identity", str(key), "--signing-key", str(key))
    alice.desk = desk
    (n,) = alice.receive(mail("The bridge", "A picture."))
    alice.ok("note", n, "-m", "Seen.")
    alice.ok("index", "--rebuild")
    assert [a["body"] for a in alice.json("show", n)["articles"]] == ["A picture.", "Seen."]
    assert alice.ok("verify").out.endswith("all in order\n")
    assert set(alice.git("log", "--all", "--format=%G?").split()) == {b"G"}
    if passphrase:
        (Path(alice.env["VRT_HOME"]) / "config.yaml").write_text("passphrase_command: echo wrong\n")
        (desk / "vrt" / "config.yaml").write_text(
            (desk / "vrt" / "config.yaml").read_text().replace("echo correct horse", "echo wrong")
        )
        done = alice.run("note", n, "-m", "Again.")
        assert done.code == 5 and "passphrase" in done.err


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A running ssh-agent."""
    if not shutil.which("ssh-agent"):
        pytest.skip("ssh-agent is not installed")
    sock = tmp_path / "sock"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(sock)], stdout=subprocess.DEVNULL)
    try:
        while not sock.exists():
            time.sleep(0.01)
        yield {"SSH_AUTH_SOCK": str(sock)}
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_a_key_that_ssh_agent_holds_signs(tmp_path: Path, agent: dict[str, str], kind: str) -> None:
    alice = Person(tmp_path / "home")
    key = ssh_key(tmp_path / "ssh", kind)
    subprocess.run(["ssh-add", "-q", str(key)], env=alice.env | agent, check=True, capture_output=True)
    key.unlink()  # only the agent has it now
    alice.ok("init", str(tmp_path / "desk"), *INIT, "--signing-key", f"{key}.pub", env=agent)
    alice.desk = tmp_path / "desk"
    (n,) = [m["ticket"] for m in alice.ok("receive", "--json", "-", feed=mail(), env=agent).json["mails"]]
    alice.ok("take", n, env=agent)
    assert alice.ok("verify", env=agent).out.endswith("all in order\n")
    assert set(alice.git("log", "--all", "--format=%G?").split()) == {b"G"}
    done = alice.run("release", n)  # no agent
    assert done.code == 5 and "ssh-add -l" in done.err
    assert alice.json("show", n)["owner"] == "alice"  # reading needs no agent


# --- unlock and lock --------------------------------------------------------------------------------


def test_unlock_keeps_a_key_open_until_lock_or_its_time(tmp_path: Path) -> None:
    alice = Person(tmp_path / "home")
    key = ssh_key(tmp_path / "ssh", "ed25519", "correct horse")
    asked = [("Passphrase of", "correct horse\n")]
    argv = [
        sys.executable,
        "-m",
        "vrt",
        "init",
        str(tmp_path / "desk"),
        *INIT,
        "--identity",
        str(key),
        "--signing-key",
        str(key),
    ]
    done = on_terminal(alice, argv, typed=asked)  # once, for both purposes
    assert done.code == 0 and "correct horse" not in done.out
    alice.desk = tmp_path / "desk"

    refused = alice.run("receive", "-", feed=mail())  # a mail server is nobody who could answer
    assert refused.code == 75 and f"{key} needs its passphrase" in refused.err and "vrt unlock" in refused.err
    assert alice.run("list").code == 5

    wrong = vrt_on_terminal(alice, "unlock", typed=[("Passphrase of", "wrong\n")])
    assert wrong.code == 5 and "the passphrase does not open this key" in wrong.out
    done = vrt_on_terminal(alice, "unlock", "--for", "2h", typed=asked)
    assert done.code == 0 and f"{key} is open until" in done.out
    (slot,) = (alice.home / "run" / "vrt").glob("unlocked-*")
    assert mode(slot) == 0o600 and mode(slot.parent) == 0o700
    alice.ok("receive", "-", feed=mail("The bridge"))
    assert alice.json("list")[0]["title"] == "The bridge"
    assert alice.ok("list", env=later(alice, 7000)).out != ""
    assert alice.run("list", env=later(alice, 7300)).code == 5  # its time is over
    assert not slot.exists()

    vrt_on_terminal(alice, "unlock", typed=asked)
    assert alice.ok("lock").err == "vrt: 1 keys forgotten\n"
    assert alice.run("list").code == 5 and list((alice.home / "run" / "vrt").iterdir()) == []
    assert alice.ok("lock").err == "vrt: no key was open\n"


def test_nothing_to_unlock(standing: Person) -> None:
    done = standing.ok("unlock")
    assert "no passphrase" in done.err and done.out == ""
    assert standing.run("unlock", "--for", "soon").code == 2


def test_a_passphrase_command_that_fails_is_named(tmp_path: Path) -> None:
    alice = Person(tmp_path / "home")
    key = ssh_key(tmp_path / "ssh", "ed25519", "x")
    keys = Path(alice.env["VRT_HOME"])
    keys.mkdir(mode=0o700)
    (keys / "config.yaml").write_text("passphrase_command: exit 3\n")
    done = alice.run("init", str(tmp_path / "desk"), *INIT, "--signing-key", str(key))
    assert done.code == 5 and "passphrase_command failed with exit 3" in done.err


# --- status -------------------------------------------------------------------------------------------


def test_status_says_who_i_am_and_what_waits(alice: Person) -> None:
    n, _, _ = alice.receive(mail("One"), mail("Two"), mail("Three", to="permissions-en@example.org"))
    alice.ok("take", n)
    done = alice.ok("status").out
    assert done.startswith(f"Example VRT  {alice.desk}\nyou are alice (admin, agent)")
    rows = {r.split()[1]: r.split()[2:6] for r in done.splitlines() if r.startswith("* ")}
    assert rows == {
        "info-en": ["1", "1", "-", "1"], "permissions-en": ["1", "-", "-", "-"], "junk": ["-"] * 4,
        "postmaster": ["-"] * 4,
    }  # fmt: skip
    found = alice.json("status")
    assert (found["desk"], found["agent"], found["roles"], found["domain"]) == (
        "Example VRT",
        "alice",
        ["admin", "agent"],
        "example.org",
    )
    assert (found["main"], found["keys"]) == tuple(alice.git("rev-parse", "main", "keys").decode().split())
    assert {q["queue"]: (q["new"], q["open"], q["pending"]) for q in found["queues"]}["info-en"] == (1, 1, 0)


def test_status_says_which_queues_are_mine(standing: Person) -> None:
    """Being in a queue is one thing, how many of its tickets are mine another."""
    assert all(q["mine"] is True for q in standing.json("status")["queues"])


# --- queues -------------------------------------------------------------------------------------------


def test_queues(alice: Person) -> None:
    done = alice.ok(
        "queue", "add", "permissions-de", "--address", "permissions-de@example.org", "--address",
        "Erlaubnis@example.org",
        "--language", "de", "--lock-timeout", "4h", "--first-response", "2d", "--signature", "Ihr Team",
    )  # fmt: skip
    assert done.out == "queue permissions-de made: permissions-de@example.org, Erlaubnis@example.org\n"
    (n,) = alice.receive(mail(to="erlaubnis@EXAMPLE.org"))  # addresses are compared without case
    assert alice.json("show", n)["queue"] == "permissions-de"

    rows = [r.split() for r in alice.ok("queue", "list").out.splitlines()]
    assert ["yes", "permissions-de", "de", "permissions-de@example.org,", "Erlaubnis@example.org", "alice"] in rows
    shown = alice.json("queue", "show", "permissions-de")
    assert (shown["language"], shown["lock_timeout"], shown["first_response"], shown["epoch"]) == ("de", "4h", "2d", 1)
    assert shown["agents"] == ["alice"] and shown["recipient"].startswith("age1") and shown["signature"] == "Ihr Team"
    assert "lock_timeout: 4h" in alice.ok("queue", "show", "permissions-de").out

    alice.ok("queue", "set", "permissions-de", "--lock-timeout", "30m", "--address", "new@example.org")
    after = alice.json("queue", "show", "permissions-de")
    assert (after["lock_timeout"], after["addresses"], after["first_response"]) == ("30m", ["new@example.org"], "2d")
    assert after["recipient"] == shown["recipient"]
    assert alice.ok("verify").out.endswith("all in order\n")


def test_queues_that_cannot_be(standing: Person) -> None:
    alice = standing
    head = alice.git("rev-parse", "main")
    for args, code, message in (
        (("add", "info-en"), 6, "there is a queue or an agent named info-en already"),
        (("add", "alice"), 6, "there is a queue or an agent named alice already"),
        (("add", "q", "--address", "info-en@example.org"), 6, "belongs to the queue info-en"),
        (("add", "q", "--address", "INFO-EN@example.org"), 6, "belongs to the queue info-en"),
        (("add", "q", "--address", "nobody"), 2, "is no mail address"),
        (("add", "q", "--lock-timeout", "soon"), 2, "no span of time"),
        (("add", "q", "--move-from", "nowhere"), 4, "no queue named nowhere"),
        (("set", "info-en"), 2, "nothing to set"),
        (("set", "info-en", "--language", "en"), 2, "is like that already"),
        (("set", "nowhere", "--language", "en"), 4, "no queue named nowhere"),
        (("show", "nowhere"), 4, "no queue named nowhere"),
    ):
        done = alice.run("queue", *args)
        assert (done.code, message in done.err) == (code, True), (args, done)
    assert alice.git("rev-parse", "main") == head


def test_only_admins_change_the_desk(alice: Person, colleague: Callable[..., Person]) -> None:
    bob = colleague("bob", "info-en")
    done = bob.run("queue", "add", "mine")
    assert done.code == 5 and "bob is no admin" in done.err and "vrt agent list --role admin" in done.err
    assert bob.run("queue", "set", "info-en", "--language", "de").code == 5
    assert bob.run("agent", "queues", "bob", "+permissions-en").code == 5


def test_a_name_that_cannot_be_is_wrong_usage(standing: Person) -> None:
    names = ("Info", "1st", "a_b", "", "../x", "a" * 41)
    done = [standing.run("queue", "add", name) for name in names]
    assert all("cannot be the name of a queue" in d.err for d in done)
    assert [d.code for d in done] == [2] * len(names)


def test_a_queue_that_takes_tickets_from_some_only(alice: Person, colleague: Callable[..., Person]) -> None:
    alice.ok("queue", "add", "legal", "--move-from", "permissions-en")
    bob = colleague("bob", "info-en")
    n, _ = alice.receive(mail(), mail(to="permissions-en@example.org"))
    fetch(bob, alice)
    done = bob.run("route", n, "legal")
    assert done.code == 5 and "legal takes tickets only from permissions-en" in done.err
    assert alice.ok("route", n, "legal").code == 0  # she is a member herself


# --- agents -------------------------------------------------------------------------------------------


def test_a_colleague_reads_what_its_queues_hold_old_mail_too(alice: Person, colleague: Callable[..., Person]) -> None:
    n, m = alice.receive(mail("Info"), mail("Permission", to="permissions-en@example.org"))
    bob = colleague("bob", "info-en")
    rows = [r.split() for r in alice.ok("agent", "list").out.splitlines()]
    assert ["bob", "agent", "2026-11-01", "info-en"] in rows
    assert [a["handle"] for a in alice.json("agent", "list", "--role", "agent")] == ["alice", "bob"]
    assert [(t["number"], t["title"]) for t in bob.json("list", "queue:info-en,permissions-en")] == [
        (n, "Info"),
        (m, None),
    ]
    bob.ok("note", n, "-m", "I take care.")
    fetch(alice, bob)
    assert alice.json("show", n)["articles"][-1]["agent"] == "bob"

    assert alice.ok("agent", "queues", "bob").out == "info-en\n"
    alice.ok("agent", "queues", "bob", "+permissions-en", "-info-en")
    assert alice.ok("agent", "queues", "bob").out == "permissions-en\n"
    fetch(bob, alice)
    assert bob.json("show", m)["title"] == "Permission"  # it came before he did
    (new,) = alice.receive(mail("Later"))
    fetch(bob, alice)
    refused = bob.run("take", new)
    assert refused.code == 5 and "bob is not in the queue info-en" in refused.err
    assert bob.json("show", n)["title"] == "Info"  # what he could read stays readable
    for person in (alice, bob):
        assert person.ok("verify").out.endswith("all in order\n")


def test_what_was_changed_is_said_as_it_is_then(alice: Person, colleague: Callable[..., Person]) -> None:
    colleague("bob", "info-en")
    assert alice.ok("agent", "queues", "bob", "+permissions-en").out == "info-en\npermissions-en\n"


def test_who_left_a_queue_reads_nothing_new(alice: Person, colleague: Callable[..., Person]) -> None:
    bob = colleague("bob", "info-en")
    alice.ok("agent", "queues", "bob", "-info-en")
    (n,) = alice.receive(mail("Later"))
    fetch(bob, alice)
    assert bob.json("show", n)["title"] is None


def test_agents_that_cannot_be(standing: Person, tmp_path: Path) -> None:
    alice = standing
    card = tmp_path / "card.yaml"
    card.write_text(Person(tmp_path / "other").ok("identity").out)
    mine = tmp_path / "mine.yaml"
    mine.write_text(alice.ok("identity").out)
    part, text = tmp_path / "part.yaml", tmp_path / "text.yaml"
    part.write_text("recipient: age1xyz\n")
    text.write_text("just words\n")
    bad = tmp_path / "bad.yaml"
    bad.write_text("recipient: age1xyz\nsigning: ssh-ed25519 AAAA\n")
    head = alice.git("rev-parse", "main", "keys")
    agreed = ("--agreed", "2026-11-01")
    for args, code, message in (
        (("bob", "--card", str(card)), 2, "when did bob sign the confidentiality agreement?"),
        (("bob", "--card", str(card), "--agreed", "01.11.2026"), 2, "is no date"),
        (("bob", "--card", str(card), *agreed, "--queue", "nowhere"), 4, "no queue named nowhere"),
        (("bob", "--card", str(card), *agreed, "--role", "king"), 2, "'king' is not one of"),
        (("alice", "--card", str(card), *agreed), 6, "named alice already"),
        (("junk", "--card", str(card), *agreed), 6, "named junk already"),
        (("bob", "--card", str(mine), *agreed), 6, "is in the desk already"),
        (("bob", "--card", str(part), *agreed), 2, "the card lacks signing"),
        (("bob", "--card", str(bad), *agreed), 2, "not an age or SSH public key"),
        (("bob", "--card", str(text), *agreed), 1, "is not a list of settings"),
        (("bob", "--card", str(tmp_path / "none"), *agreed), 2, "does not exist"),
        (("bob", *agreed), 2, "missing option '--card'"),
    ):
        done = alice.run("agent", "add", *args)
        assert (done.code, message in done.err) == (code, True), (args, done)
    assert alice.run("agent", "queues", "bob", "+info-en").code == 4
    assert alice.run("agent", "queues", "alice", "+info-en").code == 2  # she is there already
    assert alice.git("rev-parse", "main", "keys") == head


def test_a_node_receives_and_reads_nothing(alice: Person, colleague: Callable[..., Person]) -> None:
    """What fetches mail holds no key that reads: it seals and forgets."""
    (n,) = alice.receive(mail("Before"))
    node = colleague("fetcher", role="intake")
    assert node.json("show", n)["title"] is None
    got = node.ok("receive", "--json", "-", feed=mail("Its own", "Sealed at once.", id="<a@example.com>")).json[
        "mails"
    ][0]
    answer = mail("Re: Its own", in_reply_to="<a@example.com>")
    again = node.ok("receive", "--json", "-", feed=answer).json["mails"][0]
    assert (got["outcome"], again["outcome"], again["ticket"]) == ("new", "follow-up", got["ticket"])
    assert node.ok("receive", "--json", "-", feed=answer).json["mails"][0]["outcome"] == "duplicate"
    assert [a["body"] for a in node.json("show", got["ticket"])["articles"]] == [None, None]
    for args in (("raw", got["ticket"]), ("note", n, "-m", "x"), ("take", n)):
        assert node.run(*args).code == 5
    fetch(alice, node)
    assert [a["subject"] for a in alice.json("show", got["ticket"])["articles"]] == ["Its own", "Re: Its own"]
    assert alice.ok("verify").out.endswith("all in order\n")


def test_a_node_knows_answers_after_its_index_was_made_anew(alice: Person, colleague: Callable[..., Person]) -> None:
    """The salt of a ticket is sealed to the node too, whoever received the first mail."""
    node = colleague("fetcher", role="intake")
    (n,) = alice.receive(mail("Before", id="<a@example.com>"))
    fetch(node, alice)
    got = node.ok("receive", "--json", "-", feed=mail("Re: Before", in_reply_to="<a@example.com>")).json["mails"][0]
    assert (got["outcome"], got["ticket"]) == ("follow-up", n)
    node.ok("index", "--rebuild")
    got = node.ok("receive", "--json", "-", feed=mail("Re: Re: Before", in_reply_to="<a@example.com>")).json["mails"][0]
    assert (got["outcome"], got["ticket"]) == ("follow-up", n)


def test_a_node_knows_answers_in_tickets_from_before_its_time(alice: Person, colleague: Callable[..., Person]) -> None:
    (n,) = alice.receive(mail("Before", id="<a@example.com>"))
    node = colleague("fetcher", role="intake")
    got = node.ok("receive", "--json", "-", feed=mail("Re: Before", in_reply_to="<a@example.com>")).json["mails"][0]
    assert (got["outcome"], got["ticket"]) == ("follow-up", n)


def test_two_agents_mint_numbers_of_their_own(alice: Person, colleague: Callable[..., Person]) -> None:
    bob = colleague("bob", "info-en")
    (n,) = alice.receive(mail())
    m = bob.ok("receive", "--json", "-", feed=mail()).json["mails"][0]["ticket"]
    assert (n[8:10], m[8:10]) == ("10", "11")
