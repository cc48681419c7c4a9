"""Play vrt's main job on made-up mail: ``python demo/play.py [DIR]`` (default ``demo-desk``).

Makes a desk in a new folder, with keys of its own below it, and works in it as an agent does. Every command is
shown, then really run; what is printed is what it answers. The desk stays and can be used afterwards.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

MAILS = Path(__file__).resolve().parent / "mails"
FOLLOW_UP = "14-follow-up-de.eml"


class Stopped(Exception):
    """The demo cannot go on. The text says why."""


class Demo:
    """A shell in the demo's folder: says why, shows the command, runs it."""

    def __init__(self, folder: Path, vrt: Path) -> None:
        self.folder, self.vrt_path = folder, vrt
        self.env = environment(folder)
        colours = sys.stdout.isatty() and self.env.get("TERM") != "dumb" and not self.env.get("NO_COLOR")
        self.styles = {"say": "36", "command": "1"} if colours else {}
        self.width = min(88, shutil.get_terminal_size().columns)

    def paint(self, text: str, style: str) -> str:
        """Return ``text`` in a style where colours are shown."""
        return f"\x1b[{self.styles[style]}m{text}\x1b[0m" if style in self.styles else text

    def say(self, text: str) -> None:
        """Print what is done next and why, as a shell comment."""
        rows = textwrap.wrap(text, self.width, initial_indent="# ", subsequent_indent="# ")
        print(*["", *(self.paint(row, "say") for row in rows)], sep="\n", flush=True)

    def run(self, shown: str, *argv: str, into: str = "", env: dict[str, str] | None = None) -> None:
        """Show a command and run it; its output goes where ours goes, or into a file of the folder.

        Raises ``Stopped`` where it ends with anything but 0.
        """
        print(self.paint(f"$ {shown}", "command"), flush=True)
        out = (self.folder / into).open("wb") if into else None
        try:
            done = subprocess.run(
                argv, cwd=self.folder, env=self.env | (env or {}), stdin=subprocess.DEVNULL, stdout=out, check=False
            )
        finally:
            if out:
                out.close()
        if done.returncode:
            raise Stopped(f"the last command ended with exit {done.returncode}")

    def vrt(self, *args: str) -> None:
        """Show and run a vrt command."""
        self.run(f"vrt {shlex.join(args)}", str(self.vrt_path), *args)

    def ask(self, *args: str) -> Any:
        """Return what a vrt command says as JSON, unseen: how the demo itself learns ticket numbers."""
        argv = [str(self.vrt_path), *args, "--json"]
        done = subprocess.run(argv, cwd=self.folder, env=self.env, capture_output=True, check=False)
        if done.returncode:
            raise Stopped(f"vrt {shlex.join(args)}: exit {done.returncode}\n{done.stderr.decode().strip()}")
        return json.loads(done.stdout)


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of the demo's commands: keys and desk in ``folder``, UTF-8, no pager, nobody's settings."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("VRT_", "GIT_")) and k != "SSH_AUTH_SOCK"}
    return env | {
        "VRT_HOME": str(folder / "home"), "VRT_DESK": str(folder / "desk"), "PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8",
        "PAGER": "cat", "GIT_PAGER": "cat", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
    }  # fmt: skip


def play(demo: Demo) -> None:
    """Play the story, from a new desk to the trail of one ticket."""
    found_desk(demo)
    demo.say("Mail comes in. Each one is encrypted as it arrives, gets a ticket number, goes to the queue of its "
             "address, and is recorded in a signed commit. Two of them continue a ticket.")  # fmt: skip
    demo.vrt("receive", "mails")
    # Taking in the same mails again adds nothing, and says which ticket each belongs to.
    tickets = {Path(m["label"]).stem: m["ticket"] for m in demo.ask("receive", "mails")["mails"]}
    short = {name: number[-4:] for name, number in tickets.items()}

    read(demo)
    work(demo, short)
    answered(demo, tickets["02-image-permission-de"])
    search(demo)
    finish(demo, short, tickets["03-harassment-fr"])


def found_desk(demo: Demo) -> None:
    """Make the desk, its queues, and a second agent."""
    demo.say("A team starts: alice makes the desk, a bare git repository, and is its first admin.")
    demo.vrt("init", "desk", "--name", "Example VRT", "--domain", "example.org", "--agent", "alice")
    demo.say("Queues: who reads what. Each has its addresses, its language and its own key.")
    for name, language, *addresses in (
        ("info-en", "en", "info-en@example.org"),
        ("info-fr", "fr", "info-fr@example.org"),
        ("permissions-de", "de", "permissions-de@example.org"),
        ("press", "ja", "press@example.org"),
        ("oversight", "en", "oversight@example.org", "privacy@example.org"),
    ):
        flags = [word for address in addresses for word in ("--address", address)]
        demo.vrt("queue", "add", name, *flags, "--language", language)
    demo.say("A second agent: beatriz makes her keys on her side and hands over her card, which holds nothing "
             "secret. alice admits her to one queue; the others stay sealed to her.")  # fmt: skip
    demo.run("VRT_HOME=home-beatriz vrt identity > beatriz.yaml", str(demo.vrt_path), "identity", into="beatriz.yaml",
             env={"VRT_HOME": str(demo.folder / "home-beatriz")})  # fmt: skip
    demo.vrt("agent", "add", "beatriz", "--card", "beatriz.yaml", "--queue", "oversight", "--agreed", "2026-11-02")


def read(demo: Demo) -> None:
    """Look at what came."""
    demo.say("An agent's day begins with what waits: by queue, then ticket by ticket.")
    demo.vrt("status")
    demo.vrt("list")
    demo.say("Take the one that waits longest: it is now alice's, and locked so that nobody answers twice. "
             "Quotations and signatures are folded.")  # fmt: skip
    demo.vrt("next")


def work(demo: Demo, short: dict[str, str]) -> None:
    """Note, route, assign, tag, pend and close."""
    complaint, harassment, minor = short["01-defamation-en"], short["03-harassment-fr"], short["09-minor-en"]
    demo.say("She looks into it and leaves a note for colleagues; the last four digits name a ticket.")
    demo.vrt("note", complaint, "-m", "The 1987 report is about a namesake. Asked the editors to take it out.")
    demo.vrt("tag", complaint, "+legal")
    demo.say("A child's data cannot wait: highest priority, and a tag that everybody sees.")
    demo.vrt("priority", minor, "5")
    demo.vrt("tag", minor, "+minor", "+urgent")

    demo.say("The writer of this one asks for a woman to read and answer it.")
    demo.vrt("show", harassment)
    demo.say("So alice routes it to the queue for such matters, whose members can now read it, and assigns it.")
    demo.vrt("route", harassment, "oversight")
    demo.vrt("assign", harassment, "beatriz")
    demo.vrt("note", harassment, "-m", "She asks for a woman to answer, and for her address to stay with us.")

    demo.say("Mail for an address that no queue has waits in postmaster: a permission in Russian.")
    demo.vrt("route", short["06-permission-ru"], "permissions-de")
    demo.say("A photographer's release: look at the files, note what is missing, let it wait for two weeks.")
    permission = short["02-image-permission-de"]
    demo.vrt("take", permission)
    demo.vrt("attachments", permission)
    demo.vrt("note", permission, "-m", "The release is not signed; asked him by telephone for the signed page.")
    demo.vrt("pend", permission, "--until", "2w")
    demo.say("Close the noise, several tickets in one go and one durable write.")
    demo.vrt("close", short["10-spam-en"], short["11-spam-fr"], "--outcome", "spam")
    demo.vrt("close", short["12-autoreply-de"], "--outcome", "no-reply-needed")


def answered(demo: Demo, permission: str) -> None:
    """Let the photographer write again, with nothing but the number in the subject, and close his ticket."""
    template = (MAILS / f"{FOLLOW_UP}.template").read_bytes()
    (demo.folder / "mails" / FOLLOW_UP).write_bytes(template.replace(b"@NUMBER@", permission.encode()))
    demo.say("The photographer writes again. Only the number in the subject tells where it belongs; it counts "
             "because he is a party of that ticket, which is open again at once.")  # fmt: skip
    demo.vrt("receive", f"mails/{FOLLOW_UP}")
    demo.vrt("show", permission[-4:])
    demo.vrt("close", permission[-4:], "--outcome", "successful")


def search(demo: Demo) -> None:
    """Find tickets in any language."""
    demo.say("Search finds words in every language and in every queue she may read; accents do not matter "
             "(here: harcèlement).")  # fmt: skip
    demo.vrt("search", "著作権")
    demo.vrt("search", "harcelement", "owner:beatriz")


def finish(demo: Demo, short: dict[str, str], harassment: str) -> None:
    """Show that nothing doubles, what is left, that all is in order, and a ticket's trail in plain git."""
    demo.say("The same mailbox once more, as after a crash or a double fetch: nothing is added.")
    demo.vrt("receive", "mails")
    demo.say("What is left to do.")
    demo.vrt("list")
    demo.say("Check every signature, every rule of the ledger, and every article that alice's keys open.")
    demo.vrt("verify")

    number = harassment
    demo.say("Who did what, and when? No vrt is needed for that: plain git shows a ticket's signed trail, and the "
             "host of the repository sees no more than this.")  # fmt: skip
    folder = f"tickets/{number[:4]}/{number[4:6]}/{number[6:8]}/{number[-6:-3]}/{number}"
    git = ("git", "-C", "desk", "log", "--reverse", "--show-signature", "--", folder)
    demo.run(shlex.join(git), *git)


def next_steps(demo: Demo, number: str) -> None:
    """Say what to type to go on in the desk."""
    demo.say("The desk stays. To go on in it, type:")
    path, home, desk = (shlex.quote(str(p)) for p in (demo.vrt_path.parent, demo.folder / "home", demo.folder / "desk"))
    rows = [f"export PATH={path}:$PATH", f"export VRT_HOME={home}", f"export VRT_DESK={desk}"]
    rows += ["vrt next", f"vrt show {number}", "vrt search museum", f"git -C {desk} log -p", "vrt --help"]
    print("\n".join(rows), flush=True)


def new_folder(wanted: Path) -> Path:
    """Make the folder ``wanted``, or where it exists ``wanted-2``, ``wanted-3`` …, and return it."""
    for i in range(1, 1000):
        folder = wanted if i == 1 else wanted.with_name(f"{wanted.name}-{i}")
        try:
            folder.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            continue
        if i > 1:
            print(f"{wanted} exists and stays as it is: this desk is made in {folder}")
        return folder
    raise Stopped(f"{wanted} and 998 more exist: remove some")


def vrt_command() -> Path:
    """Return the vrt that belongs to the Python which runs this, else the one on the PATH."""
    beside = Path(sys.executable).parent / "vrt"
    found = beside if beside.exists() else shutil.which("vrt")
    if not found:
        raise Stopped("there is no vrt beside this Python or on the PATH: run `make demo`")
    return Path(found).absolute()


def main(args: list[str]) -> int:
    """Play the demo; return its exit code."""
    if len(args) > 1 or args[:1] in (["-h"], ["--help"]) or args[:1] == [""]:
        print("usage: python demo/play.py [DIR]", file=sys.stderr)
        return 2
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    try:
        vrt = vrt_command()
        folder = new_folder(Path(args[0] if args else "demo-desk").absolute())
        shutil.copytree(MAILS, folder / "mails", ignore=shutil.ignore_patterns("*.template"))
        play(Demo(folder, vrt))
    except (Stopped, OSError) as exc:
        print(f"demo: stopped: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
