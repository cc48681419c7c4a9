"""Completion: the scripts of three shells, what is offered, and bash with the script really sourced."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Person, founded, mail


@pytest.fixture(scope="module")
def alice(tmp_path_factory: pytest.TempPathFactory) -> Person:
    """A desk with a ticket that is open, one that is closed, and a `vrt` on the PATH."""
    folder = tmp_path_factory.mktemp("completion")
    person = founded(folder)
    numbers = person.receive(mail("The bridge"), mail("Spam"))
    person.ok("close", numbers[1], "--outcome", "spam")
    program = folder / "bin" / "vrt"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m vrt "$@"\n')
    program.chmod(0o755)
    person.env |= {"PATH": f"{program.parent}:{person.env['PATH']}", "VRT_DESK": str(person.desk)}
    return person


@pytest.fixture(scope="module")
def numbers(alice: Person) -> list[str]:
    """The numbers of the open and of the closed ticket."""
    return sorted(t["number"] for t in alice.json("list", "state:any"))


def complete(person: Person, words: str, shell: str = "bash", env: dict[str, str] | None = None) -> list[str]:
    """Return what is offered for the last word of ``words`` (an empty one where a space ends it)."""
    given = words.split()
    at = len(given) if words.endswith(" ") else len(given) - 1
    asked = {"_VRT_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
    if shell == "fish":
        asked["COMP_CWORD"] = "" if words.endswith(" ") else given[-1]
    done = subprocess.run(
        ["vrt"], env=person.env | asked | (env or {}), capture_output=True, text=True, check=False, cwd=person.home
    )
    assert done.stderr == ""
    rows = [row for row in done.stdout.splitlines() if row]
    return rows if shell != "bash" else [row.partition(",")[2] for row in rows]


def test_commands_and_options(alice: Person) -> None:
    assert complete(alice, "vrt re") == ["release", "reopen", "reply", "redirect", "receive"]
    assert set(complete(alice, "vrt ")) >= {"list", "show", "take", "receive", "init", "verify"}
    assert complete(alice, "vrt --js") == ["--json"]
    assert complete(alice, "vrt close --out") == ["--outcome"]
    assert set(complete(alice, "vrt queue ")) == {"list", "show", "add", "set"}
    assert complete(alice, "vrt agent qu") == ["queues"]
    assert complete(alice, "vrt list --sort n") == ["newest"]
    assert complete(alice, "vrt completion f") == ["fish"]


def test_tickets(alice: Person, numbers: list[str]) -> None:
    for command in ("show", "take", "note", "trail", "raw", "attachments", "export", "close --outcome spam"):
        assert set(complete(alice, f"vrt {command} ")) == set(numbers), command
    assert complete(alice, f"vrt show {numbers[0][-4:]}") == [numbers[0]]  # by its end, as people name it
    assert complete(alice, f"vrt take {numbers[0]} {numbers[1][:14]}") == numbers
    assert complete(alice, "vrt show 9999") == []


def test_what_a_desk_names(alice: Person) -> None:
    assert complete(alice, "vrt route 0017 p") == ["permissions-en", "postmaster"]
    assert complete(alice, "vrt new --queue i") == ["info-en"]
    assert complete(alice, "vrt next -q j") == ["junk"]
    assert complete(alice, "vrt queue show in") == ["info-en"]
    assert complete(alice, "vrt close 0017 --outcome s") == ["successful", "spam"]
    assert complete(alice, "vrt reply 0017 -t permission-a") == ["permission-accepted"]
    assert "+urgent" in complete(alice, "vrt tag 0017 +") and "-urgent" not in complete(alice, "vrt tag 0017 +")
    assert complete(alice, "vrt agent queues al") == ["alice"]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("assign 0017 al", "alice"),
        ("route 001", "{n}"),
        ("agent queues alice +per", "+permissions-en"),
        ("tag 001", "{n}"),
    ],
)
def test_commands_that_take_tickets_and_something_else(
    alice: Person, numbers: list[str], typed: str, offered: str
) -> None:
    assert complete(alice, f"vrt {typed}") == [offered.format(n=numbers[0])]


def test_queries(alice: Person) -> None:
    assert complete(alice, "vrt list st") == ["state:"]
    assert set(complete(alice, "vrt search ")) == {
        f"{f}:"
        for f in (
            "subject", "from", "to", "body", "file", "queue", "state", "owner", "tag", "outcome", "priority", "after",
            "before", "age", "is",
        )
    }  # fmt: skip
    assert complete(alice, "vrt list state:c") == ["state:closed"]
    assert complete(alice, "vrt search queue:p") == ["queue:permissions-en", "queue:postmaster"]
    assert complete(alice, "vrt list owner:m") == ["owner:me"]
    assert complete(alice, "vrt list is:o") == ["is:overdue"]
    assert complete(alice, "vrt list tag:u") == ["tag:urgent"]


def test_other_shells_show_what_it_is(alice: Person, numbers: list[str]) -> None:
    zsh = complete(alice, f"vrt show {numbers[0]}", "zsh")
    assert zsh[:3] == ["plain", numbers[0], "The bridge"]
    fish = complete(alice, f"vrt show {numbers[0]}", "fish")
    assert fish == [f"plain,{numbers[0]}\tThe bridge"]
    assert "take" in complete(alice, "vrt ta", "zsh")


def test_completion_is_never_an_error_nor_a_question(alice: Person, tmp_path: Path) -> None:
    """Not in a desk, no keys, keys with a passphrase: nothing is offered, nothing is said, nothing is asked."""
    assert complete(alice, "vrt show ", env={"VRT_DESK": str(tmp_path)}) == []
    assert complete(alice, "vrt show ", env={"VRT_DESK": ""}) == []
    assert complete(alice, "vrt route 0017 ", env={"VRT_HOME": str(tmp_path)}) in (
        [],
        ["info-en", "junk", "permissions-en", "postmaster"],
    )
    assert complete(alice, f"vrt -C {alice.desk} show 0017", env={"VRT_DESK": ""}) != []
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(tmp_path / "key")], check=True)
    assert complete(alice, "vrt show ", env={"VRT_HOME": str(tmp_path / "home")}) == []
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.yaml").write_text(f"identity: {tmp_path}/key\nsigning_key: {tmp_path}/key\n")
    assert complete(alice, "vrt show ", env={"VRT_HOME": str(tmp_path / "home")}) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(alice: Person, shell: str) -> None:
    script = alice.ok("completion", shell).out
    assert f"_VRT_COMPLETE={shell}_complete" in script and "vrt" in script
    program = shutil.which(shell)
    if program:  # the shell takes it
        subprocess.run([program, "-n"], input=script, text=True, check=True)
    elsewhere = Person(alice.home)  # it needs no desk
    assert elsewhere.ok("completion", shell, cwd=alice.home).out == script


class Bash:
    """A bash with the script sourced, asked through its own completion function."""

    def __init__(self, person: Person) -> None:
        self._person = person

    def offers(self, *words: str) -> list[str]:
        """Return what bash would offer for the last of ``words``, as bash has parted them."""
        listed = " ".join(f'"{w}"' for w in words)
        script = (
            'eval "$(vrt completion bash)"\n'
            f"COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}; COMP_LINE='{' '.join(words)}'\n"
            "COMP_POINT=${#COMP_LINE}\n"
            'name=$(complete -p vrt | sed "s/.* -F \\([^ ]*\\) .*/\\1/")\n'
            '"$name" vrt; printf "%s\\n" "${COMPREPLY[@]}"\n'
        )
        done = subprocess.run(
            ["bash", "--noprofile", "--norc"], input=script, env=self._person.env, capture_output=True, text=True,
            check=True,
            cwd=self._person.home,
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout.split()


def test_every_ticket_can_be_completed_in_a_desk_with_many(alice: Person, tmp_path: Path) -> None:
    box = tmp_path / "many.mbox"
    box.write_bytes(
        b"".join(b"From a Fri Nov 20 10:00:00 2026\n" + mail(f"Number {i}", "x") + b"\n" for i in range(240))
    )
    many = Person(alice.home, tmp_path / "desk")
    many.env = alice.env
    shutil.copytree(str(alice.desk), str(tmp_path / "desk"))
    last = many.json("receive", str(box))["mails"][-1]["ticket"]
    assert complete(many, f"vrt show {last[-4:]}", env={"VRT_DESK": str(many.desk)}) == [last]


def test_bash_with_the_script_sourced(alice: Person, numbers: list[str]) -> None:
    bash = Bash(alice)
    assert bash.offers("vrt", "veri") == ["verify"]
    assert set(bash.offers("vrt", "show", "")) == set(numbers)
    assert bash.offers("vrt", "route", "0017", "perm") == ["permissions-en"]
    assert bash.offers("vrt", "list", "sta") == ["state:"]


def test_bash_completes_the_values_of_fields(alice: Person) -> None:
    """Typed at a prompt: bash parts words at colons (COMP_WORDBREAKS), and puts back only what follows the last."""
    from test_terminal import on_terminal

    rc = alice.home / "rc"
    rc.write_text('PS1=""\neval "$(vrt completion bash)"\n')
    bash = ["bash", "--noprofile", "--rcfile", str(rc), "-i"]
    done = on_terminal(alice, bash, typed=[("", "vrt verif\t\nexit\n")], env={"TERM": "dumb"})
    assert "all in order" in done.out  # it does complete, here
    done = on_terminal(alice, bash, typed=[("", "vrt list state:clo\t\nexit\n")], env={"TERM": "dumb"})
    assert "Spam" in done.out and "not known" not in done.out
    done = on_terminal(alice, bash, typed=[("", "vrt list stat\tclosed\nexit\n")], env={"TERM": "dumb"})
    assert "Spam" in done.out  # no space is put after a field
