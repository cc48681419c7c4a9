"""Writes the generated parts of the docs: docs/CLI.md, and the tables in docs/FORMAT.md.

``python docs/generate.py`` writes them; with ``--check`` it only says (exit 1) whether they are out of date.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import click

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from vrt import ledger  # noqa: E402
from vrt.cli import cli  # noqa: E402
from vrt.commands import SECTIONS  # noqa: E402

HEAD = """# The command line

Generated from the commands by `make docs`; a test keeps it true.

`vrt [-C DESK] [--json] COMMAND`. The desk is `-C`, else `$VRT_DESK`, else the current folder or one above it. `--json` may
also stand after a command that reads; its keys are a contract. Results go to stdout, messages to stderr
(`vrt: error: …`, `vrt: hint: …`). Colours, pager and progress appear on a terminal only; `NO_COLOR` and `PAGER` are respected.
Dates are read and shown in the machine's time zone; `--json` gives UTC.

| exit code | meaning |
|---|---|
| 0 | done; what was recorded is durable |
| 1 | failed |
| 2 | wrong usage |
| 3 | a bug in vrt; the log's path is printed |
| 4 | no such ticket, queue, agent, outcome or tag |
| 5 | no key or no right |
| 6 | somebody else changed it or holds it, or its state does not allow it |
| 7 | verification failed |
| 75 | try again later (`receive -` answers 0 or 75 only) |
| 130 | interrupted |

A ticket `N` is its number, its last digits (at least 4; my own open ticket first, then any that is alone in ending so), `#number`,
`[Ticket#number]` or `ticket:number`.

Environment: `VRT_HOME` (folder of my keys, default `~/.config/vrt`), `VRT_DESK`, `EDITOR` or `VISUAL`, `PAGER`, `NO_COLOR`,
`XDG_RUNTIME_DIR` (drafts and unlocked keys, in memory), `VRT_DEBUG` (print the traceback of a bug; it may quote mail).
"""


def cli_page() -> str:
    """Return docs/CLI.md."""
    out = [HEAD]
    ctx = click.Context(cli, info_name="vrt")
    for section, commands in SECTIONS.items():
        out.append(f"## {section}\n")
        for name in commands:
            command = cli.get_command(ctx, name)
            assert command is not None
            out += pages(command, ctx, name)
    return "\n".join(out)


def pages(command: click.Command, parent: click.Context, name: str) -> list[str]:
    """Return the pages of a command and of its subcommands; made from the commands' own words, whatever click's layout."""
    ctx = click.Context(command, info_name=name, parent=parent)
    title = ctx.command_path.replace("vrt ", "", 1)
    out = [f"### {title}\n\n`{ctx.command_path} {' '.join(command.collect_usage_pieces(ctx))}`\n"]
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        mark, _, example = paragraph.partition("\b\n")
        out.append(f"```sh\n{example}\n```\n" if not mark and example else " ".join(paragraph.split()) + "\n")
    records = [r for p in command.get_params(ctx) if isinstance(p, click.Option) and (r := p.get_help_record(ctx))]
    out.append(
        "\n".join(f"- `{names}`: {' '.join(text.split())}" for names, text in records if "--help" not in names) + "\n"
    )
    if isinstance(command, click.Group):
        for sub in command.list_commands(ctx):
            found = command.get_command(ctx, sub)
            assert found is not None
            out += pages(found, ctx, sub)
    return out


def actions_table() -> str:
    """Return the table of actions of docs/FORMAT.md."""
    rows = ["| action | roles | may start from | must | may | adds |", "|---|---|---|---|---|---|"]
    for name, a in ledger.ACTIONS.items():
        starts = " ".join(s or "(none)" for s in a.starts) or "*(the desk)*"
        files = " ".join(f"`{f}`" for f in a.files) or ("an empty file" if a.starts else "desk files")
        must, may = (" ".join(f"`{t}`" for t in some) or "–" for some in (a.must, a.may))
        rows.append(f"| `{name}` | {' '.join(a.roles)} | {starts} | {must} | {may} | {files} |")
    return "\n".join(rows) + "\n"


def trailers_table() -> str:
    """Return the table of trailers of docs/FORMAT.md."""
    rows = ["| trailer | form (regular expression, whole value) |", "|---|---|"]
    rows += [f"| `{name}` | `{pattern.replace('|', chr(92) + '|')}` |" for name, pattern in ledger.TRAILERS.items()]
    return "\n".join(rows) + "\n"


def format_page(old: str) -> str:
    """Return docs/FORMAT.md with its tables made anew."""
    for name, table in (("actions", actions_table()), ("trailers", trailers_table())):
        pattern = rf"(<!-- {name}: begin[^\n]*-->\n).*?(<!-- {name}: end -->)"
        old = re.sub(pattern, lambda m, t=table: m.group(1) + t + m.group(2), old, flags=re.DOTALL)
    return old


def main() -> int:
    """Write the pages, or check them."""
    pages_wanted = {
        ROOT / "docs/CLI.md": cli_page(),
        ROOT / "docs/FORMAT.md": format_page((ROOT / "docs/FORMAT.md").read_text("utf-8")),
    }
    stale = [p for p, text in pages_wanted.items() if not p.exists() or p.read_text("utf-8") != text]
    if "--check" in sys.argv:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date: make docs", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(pages_wanted[path], "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
