"""What commands share: the desk, ``--json``, ticket arguments, text from ``-m``, ``-F`` or the editor."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from vrt import output
from vrt.cli import App, ask_here
from vrt.errors import UsageError, VrtError
from vrt.model import Ticket
from vrt.text import clip, line

Command = Callable[..., Any]


def with_app(function: Command) -> Command:
    """Hand the ``App`` to a command, and let ``--json`` stand after the command too."""

    @click.option("--json", "json_", is_flag=True, help="Print JSON.")
    @click.pass_context
    @functools.wraps(function)
    def wrapper(ctx: click.Context, /, json_: bool, **values: Any) -> Any:
        app: App = ctx.obj
        app.json = app.json or json_
        return function(app, **values)

    return wrapper


class WordsCommand(click.Command):
    """A command whose words may begin with ``-`` (``-spam``, ``-press``): only its own options, alone, are options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put everything that is no option behind a ``--``."""
        known = [p for p in self.get_params(ctx) if isinstance(p, click.Option)]
        takes = {o: not p.is_flag for p in known for o in p.opts}
        may = {o for p in known if type(p.flag_value) is int for o in p.opts}  # take a number, or nothing
        options: list[str] = []
        words: list[str] = []
        todo = list(args)
        while todo:
            arg = todo.pop(0)
            name, equals, _ = arg.partition("=")
            if arg == "--":
                words += todo
                break
            if name not in takes and not arg.startswith("--"):
                words.append(arg)
                continue
            options.append(arg)
            if takes.get(name) and not equals and todo and (name not in may or todo[0].isdecimal()):
                options.append(todo.pop(0))
        return super().parse_args(ctx, [*options, "--", *words] if words else options)


WORDS = {"help_option_names": ["--help"]}


# --- completion: never an error, never a question -------------------------------------------------


def _quietly(ctx: click.Context, ask: Callable[[Any], list[Any]]) -> list[Any]:
    root = ctx.find_root()
    app = root.obj or App(root.params.get("desk"), False)
    try:
        from vrt.storage import identity

        identity.ask_passphrase = None
        return ask(App(app.given, False).desk)
    except (VrtError, OSError):
        return []


def _tickets(desk: Any, incomplete: str) -> list[Any]:
    """Return the tickets whose number holds what was typed, with their subjects; open ones first."""
    from click.shell_completion import CompletionItem

    digits = "".join(c for c in incomplete if c.isdigit())
    where, order = "CAST(number AS TEXT) LIKE ?", "current DESC, number DESC"
    found = desk.index.tickets(where, [f"%{digits}%"], order, 200) if digits == incomplete else []
    return [CompletionItem(t.number, help=line(t.title or "")[:60]) for t in found]


def complete_ticket(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Offer ticket numbers."""
    return _quietly(ctx, lambda desk: _tickets(desk, incomplete))


def names(get: Callable[[Any], Any], tickets: bool = False) -> Callable[..., list[Any]]:
    """Return a completer of names, and of tickets where a command takes both."""

    def ask(desk: Any, incomplete: str) -> list[Any]:
        names = [n for n in get(desk) if n.startswith(incomplete)]
        return names + (_tickets(desk, incomplete) if tickets else [])

    return lambda ctx, param, incomplete: _quietly(ctx, lambda desk: ask(desk, incomplete))


def _signed(names: Any) -> list[str]:
    return [sign + name for sign in "+-" for name in names]


complete_queue = names(lambda desk: sorted(desk.roster.queues))
complete_agent = names(lambda desk: sorted(desk.roster.cards))
complete_ticket_or_queue = names(lambda desk: sorted(desk.roster.queues), tickets=True)
complete_ticket_or_agent = names(lambda desk: sorted(desk.roster.cards), tickets=True)
complete_ticket_or_tag = names(lambda desk: _signed(desk.roster.desk.tags), tickets=True)
complete_signed_queue = names(lambda desk: _signed(sorted(desk.roster.queues)))
complete_outcome = names(lambda desk: desk.roster.desk.outcomes)


def _templates(desk: Any) -> list[str]:
    from vrt import settings, templates

    return sorted({t.name for t in templates.every(settings.templates(desk))})


complete_template = names(_templates)


def complete_query(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Offer fields, and the words that a field takes."""
    from vrt import query

    before, space, word = incomplete.rpartition(" ")  # a whole query may be one argument
    field, colon, value = word.partition(":")
    if not colon:
        return [f"{before}{space}{f}:" for f in query.FIELDS if f.startswith(word)]

    def ask(desk: Any) -> list[Any]:
        known = {
            "queue": sorted(desk.roster.queues), "state": query.STATES, "is": query.IS, "tag": desk.roster.desk.tags,
            "owner": ("me", "none", *sorted(desk.roster.cards)), "outcome": desk.roster.desk.outcomes,
        }  # fmt: skip
        return [f"{before}{space}{field}:{w}" for w in known.get(field, ()) if w.startswith(value)]

    return _quietly(ctx, ask)


# --- arguments ------------------------------------------------------------------------------------

ticket = click.argument("ticket", metavar="N", shell_complete=complete_ticket)
tickets = click.argument("tickets", metavar="N...", nargs=-1, required=True, shell_complete=complete_ticket)
force = click.option("--force", is_flag=True, help="Go on although somebody else works on it; the trail shows it.")


def my_keys(function: Command) -> Command:
    """Add ``--identity FILE`` and ``--signing-key FILE``; the command gets a ``config`` that names the keys to use."""
    path = click.Path(path_type=Path, exists=True)
    words = {
        "--identity": "Read with this age identity or SSH key (ed25519, RSA).",
        "--signing-key": "Sign with this SSH key; a .pub for one that ssh-agent or a token holds.",
    }

    @functools.wraps(function)
    def wrapper(*args: Any, identity: Path | None, signing_key: Path | None, **values: Any) -> Any:
        from vrt.storage import local

        ask_here()
        config = local.read_config(None)
        if identity:
            config = config._replace(identity=identity.resolve())
        if signing_key:
            config = config._replace(signing_key=signing_key.resolve())
        return function(*args, config=config, **values)

    for name, text in reversed(words.items()):
        wrapper = click.option(name, type=path, metavar="FILE", help=text)(wrapper)
    return wrapper


def message(function: Command) -> Command:
    """Add ``-m TEXT`` and ``-F FILE``."""
    file = click.option("-F", "--file", metavar="FILE", help="Take the text from FILE, - for stdin.")
    return click.option("-m", "--message", metavar="TEXT", help="The text itself.")(file(function))


def text(given: str | None, file: str | None, context: Callable[[], str] = str, what: str = "note") -> str:
    """Return the text that ``-m`` or ``-F`` give, else what the editor leaves; raises ``UsageError`` if it is empty."""
    if given is not None and file is not None:
        raise UsageError("-m and -F exclude each other")
    if given is not None:
        found = given
    elif file is not None:
        found = _from_file(file)
    else:
        found = edit(context())
    utf8(found, f"the {what}")
    if not found.strip():
        raise UsageError(f"the {what} is empty: nothing was recorded", "give it with -m TEXT, -F FILE or in the editor")
    return found.strip()


def utf8(text: str, what: str) -> str:
    """Return ``text``; raises ``UsageError`` where the shell handed over bytes that are no UTF-8."""
    if text != text.encode("utf-8", "replace").decode():
        raise UsageError(f"{what} is not UTF-8 text")
    return text


def _from_file(name: str) -> str:
    try:
        if name == "-":
            data = sys.stdin.buffer.read()
        else:
            with open(name, "rb") as stream:
                data = stream.read()
    except OSError as exc:
        raise UsageError(f"{name}: {exc.strerror}") from None
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise UsageError(f"{name} is not UTF-8 text") from None


MARK = "# --- what stands below this line is not recorded ---"


def edit(context: str, text: str = "\n", keep: Callable[[str], None] = lambda text: None) -> str:
    """Return what the caller makes of ``text`` in an editor, above ``context``, in a file that never reaches a disk.

    ``keep`` gets what is there where the editor does not end well, or by Ctrl-C, which is the editor's while it runs.
    """
    import shlex
    import signal
    import subprocess

    from vrt.storage.local import draft_file

    if not sys.stdin.isatty():
        raise UsageError("there is no terminal for the editor", "give the text with -m TEXT or -F FILE")
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with draft_file(f"{text}\n{MARK}\n{context}") as path:
        # The shell must not die of the Ctrl-C with which somebody leaves a mode of the editor.
        argv = ["sh", "-c", f'trap : INT; {editor} {shlex.join(_no_traces(editor))} "$@"', editor, str(path)]
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            code = subprocess.run(argv, check=False).returncode
        finally:
            signal.signal(signal.SIGINT, before)
        found = path.read_text("utf-8", "replace").split(MARK)[0]
        if code and found.strip() != text.strip():
            keep(found)
        if code in (-signal.SIGINT, 128 + signal.SIGINT):
            raise KeyboardInterrupt
        if code:
            raise VrtError(f"the editor ended with exit {code}: nothing was recorded", "set EDITOR, or use -m")
        return found


def edit_until(
    text: str, take: Callable[[str], None], idle: Sequence[str], nothing: UsageError, context: str = ""
) -> None:
    """Let the caller edit ``text`` until ``take`` has it; what it refuses comes back with the reason.

    Raises ``nothing`` for a text that is one of ``idle``, and what ``take`` raised where it is left as it was then.
    """
    problem = ""
    while True:
        before, text = text.strip(), edit(problem + context, text.rstrip("\n") + "\n").strip()
        if text in idle:
            raise nothing
        try:
            return take(text)
        except VrtError as exc:
            if text == before:  # given up
                raise
            problem = f"# {exc.message}\n# Leave the file as it is to give up.\n\n"


def _no_traces(editor: str) -> list[str]:
    """Return the options that keep an editor from writing copies elsewhere."""
    import shutil

    found = shutil.which(editor.split()[0])
    if found and "vim" in Path(found).resolve().name:
        return ["-n", "-i", "NONE", "--cmd", "set nobackup nowritebackup noundofile"]
    return []


# --- reports --------------------------------------------------------------------------------------


def report(app: App, done: list[Ticket], verb: Callable[[Ticket], str]) -> None:
    """Say what was done to tickets: a line each, or their state as JSON."""
    if app.json:
        from vrt import views

        output.as_json(views.tickets(app.desk, done))
        return
    for t in done:
        said, room = f"{t.number} {verb(t)}", output.columns()
        title = f"  {line(t.title)}" if t.title else ""
        output.out(said + output.paint(clip(title, max(10, room - len(said))) if room else title, "dim"))
