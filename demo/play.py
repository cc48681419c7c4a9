"""Play vrt's main job on made-up mail: ``python demo/play.py [DIR]`` (default ``demo-desk``).

Makes a desk in a new folder, with keys of its own below it, and works in it as an agent does. Each command is
shown and then run by the shell exactly as shown; what follows is its own output. The desk stays usable.
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

MAILS = Path(__file__).resolve().parent / "mails"
FOLLOW_UP = "14-follow-up-de.eml"  # written at play time: its subject carries a number that is known only then


class Stopped(Exception):
    """The demo cannot go on. The text says why."""


class Demo:
    """A shell in the demo's folder: says why, shows the command, runs it."""

    def __init__(self, folder: Path, vrt: Path) -> None:
        self.folder, self.vrt = folder, vrt
        self.colours = sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")
        self.env = environment(folder, vrt, self.colours)
        self.width = min(88, shutil.get_terminal_size().columns)

    def paint(self, text: str, style: str) -> str:
        """Return ``text`` in an ANSI style where colours are shown."""
        return f"\x1b[{style}m{text}\x1b[0m" if self.colours else text

    def say(self, text: str) -> None:
        """Print what is done next and why, as a shell comment."""
        print()
        for row in textwrap.wrap(text, self.width, initial_indent="# ", subsequent_indent="# "):
            print(self.paint(row, "36"))

    def run(self, command: str) -> None:
        """Show a shell command and run it in the folder; raises ``Stopped`` where it does not end with 0."""
        print(self.paint(f"$ {command}", "1"), flush=True)
        done = subprocess.run([b"sh", b"-c", command.encode()], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise Stopped(f"this command ended with exit {done.returncode}: {command}")

    def tickets(self) -> dict[str, str]:
        """Return the ticket number of each mail by the name of its file.

        Asks vrt unseen: receiving the same mails again adds nothing, and says where each of them is.
        """
        argv = [str(self.vrt), "receive", "mails", "--json"]
        done = subprocess.run(argv, cwd=self.folder, env=self.env, capture_output=True)
        if done.returncode:
            raise Stopped(f"vrt receive --json ended with exit {done.returncode}\n{done.stderr.decode()}")
        return {Path(mail["label"]).stem: mail["ticket"] for mail in json.loads(done.stdout)["mails"]}


def environment(folder: Path, vrt: Path, colours: bool) -> dict[str, str]:
    """Return the environment of the commands: keys and desk in ``folder``, UTF-8, no pager, nobody's settings."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("VRT_", "GIT_")) and k != "SSH_AUTH_SOCK"}
    return env | {
        "PATH": f"{vrt.parent}{os.pathsep}{env.get('PATH', os.defpath)}",
        "VRT_HOME": str(folder / "home"), "VRT_DESK": str(folder / "desk"),
        "PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8", "PAGER": "cat", "GIT_PAGER": "cat",
        "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
        # git by itself does not know NO_COLOR
        "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "color.ui", "GIT_CONFIG_VALUE_0": "auto" if colours else "never",
    }  # fmt: skip


# --- the story ------------------------------------------------------------------------------------


def play(demo: Demo) -> None:
    """Play everything, from a new desk to the trail of one ticket and what to type next."""
    print(f"vrt on made-up mail, in {demo.folder}, with keys of its own.")
    found_desk(demo)
    demo.say("Mail comes in. Each one is encrypted as it arrives, gets a ticket number, goes to the queue of its "
             "address, and is recorded in a signed commit. One of them continues another.")  # fmt: skip
    demo.run("vrt receive mails")
    numbers = demo.tickets()
    short = {name: number[-4:] for name, number in numbers.items()}
    read(demo)
    work(demo, short)
    answer(demo, short["01-defamation-en"])
    answered(demo, numbers["02-image-permission-de"])
    look_back(demo, numbers["03-harassment-fr"])
    next_steps(demo, short["09-minor-en"])


def found_desk(demo: Demo) -> None:
    """Make the desk, its queues, and a second agent."""
    demo.say("A team starts: alice makes the desk, a bare git repository, and is its first admin.")
    demo.run("vrt init desk --name 'Example VRT' --domain example.org --agent alice")
    demo.say("Queues: who reads what. Each has its addresses, its language and its own key.")
    demo.run("vrt queue add info-en --address info-en@example.org --language en")
    demo.run("vrt queue add info-fr --address info-fr@example.org --language fr")
    demo.run("vrt queue add permissions-de --address freigabe@example.org --language de")
    demo.run("vrt queue add press --address press@example.org")
    demo.run("vrt queue add oversight --address privacy@example.org")
    demo.say("A second agent: bea makes her keys on her side and hands over her card, which holds nothing "
             "secret. alice admits her to one queue; the others stay sealed to her.")  # fmt: skip
    demo.run("VRT_HOME=home-bea vrt identity > bea.yaml")
    demo.run("vrt agent add bea --card bea.yaml --queue oversight --agreed 2026-11-02")


def read(demo: Demo) -> None:
    """Look at what came."""
    demo.say("An agent's day begins with what waits: by queue, then ticket by ticket.")
    demo.run("vrt status")
    demo.run("vrt list")
    demo.say("Take the one that waits longest: it is alice's now, and locked so that nobody answers twice. "
             "Quotations and signatures are folded.")  # fmt: skip
    demo.run("vrt next")


def work(demo: Demo, short: dict[str, str]) -> None:
    """Note, tag, prioritise, route, assign, pend and close."""
    complaint, minor = short["01-defamation-en"], short["09-minor-en"]
    demo.say("She looks into it and leaves a note for her colleagues. The last four digits name a ticket.")
    demo.run(f"vrt note {complaint} -m 'The report is about a namesake. Told the editors.'")
    demo.run(f"vrt tag {complaint} +legal")
    demo.say("A child's data cannot wait: the highest priority, and tags to find it by.")
    demo.run(f"vrt priority {minor} 5")
    demo.run(f"vrt tag {minor} +minor +urgent")

    harassment = short["03-harassment-fr"]
    demo.say("This person asks that a woman read and answer what she wrote.")
    demo.run(f"vrt show {harassment}")
    demo.say("So alice routes it to the queue for such matters, whose members can read it from now on, and assigns "
             "it. Who owns it is on record; why is in a note, which is sealed.")  # fmt: skip
    demo.run(f"vrt route {harassment} oversight")
    demo.run(f"vrt assign {harassment} bea")
    demo.run(f"vrt note {harassment} -m 'She asks for a woman to answer.'")

    demo.say("Mail for an address that no queue has waits in postmaster: here a permission in Russian.")
    demo.run(f"vrt route {short['06-permission-ru']} permissions-de")

    permission = short["02-image-permission-de"]
    demo.say("A photographer's release: look at the files, note what is missing, let it wait for two weeks.")
    demo.run(f"vrt take {permission}")
    demo.run(f"vrt attachments {permission}")
    demo.run(f"vrt note {permission} -m 'The release is not signed. Telephoned: he sends it.'")
    demo.run(f"vrt pend {permission} --until 2w")

    demo.say("Close the noise: several tickets in one call, each with its own event.")
    demo.run(f"vrt close {short['10-spam-en']} {short['11-spam-fr']} --outcome spam")
    demo.run(f"vrt close {short['12-autoreply-de']} --outcome no-reply-needed")


def answer(demo: Demo, complaint: str) -> None:
    """Answer a ticket by mail, and look at what was sent."""
    demo.say("Now she answers, from the queue's address, and closes the ticket with it. Without -m her editor would "
             "open on a draft, with the mail quoted below. No note ever gets into a reply.")  # fmt: skip
    text = "Dear Ms Pennick, the sentence is gone, also from the history of the page. Please accept our apologies."
    demo.run(f"vrt reply {complaint} --close successful -m '{text}'")
    demo.say(
        "Without a mail server here it went into a Maildir; SMTP and sendmail are a setting. This is what she gets:"
    )
    demo.run("cat desk/vrt/maildir/new/*")
    demo.run("vrt outbox")


def answered(demo: Demo, number: str) -> None:
    """Let the photographer write again, with nothing but the ticket's number in the subject, and close it."""
    mail = (MAILS / f"{FOLLOW_UP}.template").read_bytes().replace(b"@NUMBER@", number.encode())
    (demo.folder / "mails" / FOLLOW_UP).write_bytes(mail)
    demo.say("The photographer writes again. Only the number in the subject says where it belongs, and it counts "
             "because he wrote in that ticket before. The ticket is open again.")  # fmt: skip
    demo.run(f"vrt receive mails/{FOLLOW_UP}")
    demo.run(f"vrt show {number[-4:]}")
    demo.run(f"vrt close {number[-4:]} --outcome successful")


def look_back(demo: Demo, number: str) -> None:
    """Search, receive once more, check everything, and show a ticket's trail in plain git."""
    demo.say("Search finds words of any language in all queues that alice reads, with or without accents.")
    demo.run("vrt search 著作権")
    demo.run("vrt search harcelement owner:bea")
    demo.say("The same mails once more, as after a crash or a double fetch: nothing is added.")
    demo.run("vrt receive mails")
    demo.say("What is left to do.")
    demo.run("vrt list")
    demo.say("Check every signature, every rule of the ledger, and every article that alice's keys open.")
    demo.run("vrt verify")
    demo.say("Who did what, and when? Plain git shows the signed trail of a ticket, without vrt and without keys. "
             "The host of the repository sees this too, but never who wrote in, or what.")  # fmt: skip
    demo.run(f"git -C desk log --show-signature -- {folder_of(number)}")


def folder_of(number: str) -> str:
    """Return the folder of a ticket in the repository: the date in its number, and the first digits of its counter."""
    return f"tickets/{number[:4]}/{number[4:6]}/{number[6:8]}/{number[-6:-3]}/{number}"


def next_steps(demo: Demo, ticket: str) -> None:
    """Say what to type to go on in the desk."""
    folder = shlex.quote(str(demo.folder))
    demo.say("The desk stays, and it is yours. To go on in it, first:")
    print(f"cd {folder}")
    print(f'export PATH={shlex.quote(str(demo.vrt.parent))}:"$PATH" VRT_HOME="$PWD/home" VRT_DESK="$PWD/desk"')
    demo.say("Then, for example:")
    print(
        "vrt next",
        f"vrt show {ticket}",
        "vrt search museum",
        "git -C desk log -p -- '*.md.age'",
        "vrt --help",
        sep="\n",
    )
    demo.say(f"To be rid of it: rm -rf {folder}")


# --- around it ------------------------------------------------------------------------------------


def new_folder(wanted: Path) -> Path:
    """Make the folder ``wanted``, or where it exists ``wanted-2``, ``wanted-3`` …, and return it."""
    for i in range(1, 1000):
        folder = wanted if i == 1 else wanted.with_name(f"{wanted.name}-{i}")
        try:
            folder.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            continue
        if i > 1:
            print(f"{wanted} is there already and stays as it is.")
        return folder
    raise Stopped(f"{wanted} and 998 more like it are there already: remove some")


def vrt_command() -> Path:
    """Return the vrt that was installed with the Python that runs this, else the one on the PATH."""
    found = shutil.which("vrt", path=str(Path(sys.executable).parent)) or shutil.which("vrt")
    if not found:
        raise Stopped("vrt is not installed for this Python: run `make demo` in its repository")
    return Path(found).absolute()


def main(args: list[str]) -> int:
    """Play the demo and return its exit code."""
    if len(args) > 1 or args[:1] == [""] or any(arg.startswith("-") for arg in args):
        print("usage: python demo/play.py [DIR]", file=sys.stderr)
        return 2
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
    try:
        vrt = vrt_command()
        folder = new_folder(Path(args[0] if args else "demo-desk").absolute())
        shutil.copytree(MAILS, folder / "mails", ignore=shutil.ignore_patterns("*.template"))
        play(Demo(folder, vrt))
    except (Stopped, OSError) as exc:
        sys.stdout.flush()
        print(f"demo: stopped: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
