"""The command line: commands loaded when they are called, global options, and the one error boundary."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any


def _is_for_mail_server(args: Sequence[str]) -> bool:
    """Say whether ``args`` are those of ``receive -``; before anything could parse them."""
    words = iter(args)
    for word in words:
        if word == "-C":
            next(words, None)
        elif not word.startswith("-"):
            return word == "receive" and "-" in words
    return False


try:
    import click

    from vrt import __version__, output
    from vrt.commands import SECTIONS
    from vrt.errors import TryAgain, VrtError
except BaseException as exc:  # a broken installation is no reason for a mail server to bounce a mail
    if _is_for_mail_server(sys.argv[1:]):
        with suppress(Exception):
            print(f"vrt: error: vrt cannot start ({exc})", file=sys.stderr)
        sys.exit(75)
    raise

if TYPE_CHECKING:
    from pathlib import Path

    from vrt.desk import Desk

_COMMANDS = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


class Commands(click.Group):
    """The commands, imported one by one when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = _COMMANDS.get(cmd_name)
        if entry is None:
            return None
        from importlib import import_module

        command = import_module(f"vrt.commands.{entry[0]}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], _COMMANDS, 2)
            raise VrtErrorUsage(f"no command {args[0]}", f"did you mean {' or '.join(near)}?" if near else "vrt --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, text) for name, (_, text) in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [CompletionItem(n, help=text) for n, (_, text) in _COMMANDS.items() if n.startswith(incomplete)]


class VrtErrorUsage(VrtError):
    """A command that does not exist."""

    code = 2


def ask_here() -> None:
    """Let passphrases be asked for at this terminal, if there is one."""
    from vrt.storage import identity

    if sys.stdin is not None and sys.stdin.isatty():
        identity.ask_passphrase = lambda prompt: str(click.prompt(prompt, hide_input=True, err=True))


_OTHERS_FIRST = ("take", "next", "reply", "approve", "close", "assign", "route")
# What syncs itself, must not wait for anybody, or only looks.
_BY_THEMSELVES = ("sync", "receive", "send", "hook", "textconv", "doctor", "maintain", "index", "verify", "completion")


class App:
    """What every command is handed: where the desk is asked for, and whether to print JSON."""

    found: Path | None = None  # the desk of this process, for the log
    publish: Callable[[], None] | None = None  # what is left to do when the command has ended
    durable = False  # whether ``receive`` has taken in all that it was given

    def __init__(self, given: str | None, json: bool, command: str = "") -> None:
        self.given = given
        self.json = json
        self.command = command

    @cached_property
    def path(self) -> Path:
        """The folder of the desk."""
        from vrt.storage.local import find_desk

        App.found = find_desk(self.given)
        return App.found

    @cached_property
    def desk(self) -> Desk:
        """The desk, found and ready."""
        from vrt.desk import Desk

        ask_here()
        desk = Desk(self.path, progress=output.progress)
        desk.warn = output.warn
        if self.command and self.command not in _BY_THEMSELVES:
            self._sync(desk)
        return desk

    def _sync(self, desk: Desk) -> None:
        """Let what is done be published where the desk says so; before what others may have done first, look there."""
        before = desk.repository.heads()

        def publish() -> None:
            from vrt import autosync

            if desk.repository.heads() != before and autosync.wanted(desk):
                autosync.attempt(desk, asked=True)

        App.publish = publish
        if self.command in _OTHERS_FIRST:
            from vrt import autosync

            if autosync.wanted(desk):
                autosync.attempt(desk, asked=False)
                before = desk.repository.heads()


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="A ticket N is its number, its last digits (at least 4), or Ticket#…. Start with: vrt init --help",
)
@click.option(
    "-C", "desk", metavar="DESK", help="Work in this desk (else $VRT_DESK, else the current folder or one above)."
)
@click.option("--json", "json_", is_flag=True, help="Print JSON, in commands that read.")
@click.version_option(__version__, "-V", "--version", prog_name="vrt", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, desk: str | None, json_: bool) -> None:
    """A help desk for volunteer response teams, in an encrypted git repository.

    Each mail is a sealed Markdown file, each act a signed commit: "git log" is the trail.
    """
    ctx.obj = App(desk, json_, ctx.invoked_subcommand or "")
    if ctx.invoked_subcommand is None:
        output.out(ctx.get_help())
        ctx.exit(2)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code (``docs/CLI.md`` lists them)."""
    args = list(sys.argv[1:] if argv is None else argv)
    if "textconv" in args and "GIT_DIR" in os.environ:  # git says which repository it shows
        os.environ["VRT_DESK"] = os.environ["GIT_DIR"]
    if _is_for_mail_server(args):
        sys.exit(_for_mail_server(args))
    _mend_streams()
    sys.exit(_run(args))


def _for_mail_server(args: list[str]) -> int:
    """Run ``receive -``: 0 only once the mail is durable; whatever else happens, the mail server is to keep it."""
    given = sys.stdin is not None
    with suppress(BaseException):  # a message that cannot be written, memory that is not there ...
        _mend_streams()
        _run(args) if given else output.error("there is no standard input to read a mail from")
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # else Python, which flushes them when it ends, would end with 120
            with suppress(Exception):
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1 if stream is sys.stdout else 2)
    return 0 if App.durable else TryAgain.code


def _mend_streams() -> None:
    """Let output work where a stream is closed (some daemons) or cannot show every character (some locales)."""
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run(args: list[str]) -> int:
    stdout = sys.stdout
    try:
        code = cli.main(args, prog_name="vrt", standalone_mode=False)
        sys.stdout.flush()
        if App.publish:
            App.publish()
        return code if isinstance(code, int) else 0
    except VrtError as exc:
        output.error(exc.message, exc.hint)
        return exc.code
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except click.exceptions.NoArgsIsHelpError as exc:
        output.out(exc.format_message())
        return 2
    except click.UsageError as exc:
        where = exc.ctx.command_path if exc.ctx else "vrt"
        text = exc.format_message().rstrip(".").replace("\n", " ")
        output.error(text[:1].lower() + text[1:], f"{where} --help")
        return 2
    except click.ClickException as exc:
        output.error(exc.format_message())
        return 1
    except (click.Abort, KeyboardInterrupt):
        output.tell("vrt: interrupted; what was reported is recorded, nothing else")
        return 130
    except BrokenPipeError:
        return _broken_pipe()
    except SystemExit as exc:
        if sys.stdout is not stdout:  # click has met a BrokenPipeError, wrapped the streams and made it this
            return _broken_pipe()
        return exc.code if isinstance(exc.code, int) else 0
    except OSError as exc:
        return _os_error(exc)
    except Exception as exc:
        return _bug(exc, args)


def _broken_pipe() -> int:
    """Whoever read our output has seen enough (head, less), which is no error; or a program of ours has died."""
    import select

    ends = select.poll()
    for fd in (1, 2):
        ends.register(fd, 0)
    if not any(found & (select.POLLERR | select.POLLHUP) for _, found in ends.poll(0)):
        output.error("a program that vrt started ended too early", "is there enough memory? repeat the call")
        return 1
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


def _os_error(exc: OSError) -> int:
    import errno

    where = f"{exc.filename}: " if exc.filename else ""
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        output.error(f"{where}the disk is full", "free some space; nothing was recorded")
        return TryAgain.code
    output.error(f"{where}{exc.strerror or type(exc).__name__}")
    return 1


def _bug(exc: BaseException, args: list[str]) -> int:
    """Log where it happened, without what was being worked on, and say where the log is."""
    import time
    import traceback
    from pathlib import Path

    frames = traceback.extract_tb(exc.__traceback__)
    rows = [f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} vrt {__version__} {args[:1]} {type(exc).__name__}"]
    rows += [f"  {Path(f.filename).name}:{f.lineno} {f.name}" for f in frames]
    from vrt.storage.local import FOLDER, home, private_folder

    hint = "please report it; no log could be written"
    with suppress(OSError, RuntimeError):  # RuntimeError: no home folder
        log = (App.found / FOLDER if App.found else private_folder(home())) / "vrt.log"
        with open(log, "a", opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write("\n".join(rows) + "\n")
        hint = f"please report it with what is in {log}"
    output.error(f"this is a bug in vrt ({type(exc).__name__})", hint)
    if os.environ.get("VRT_DEBUG"):
        traceback.print_exception(exc)
    return 3
