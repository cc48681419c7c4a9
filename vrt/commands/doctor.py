"""``vrt doctor``."""

import click

from vrt import output
from vrt.cli import App
from vrt.commands import common
from vrt.errors import VrtError
from vrt.text import line

_STYLES = {"ok": "green", "warn": "yellow", "bad": "red"}


@click.command()
@click.option("--fix", is_flag=True, help="Mend what is safe to mend: permissions, leftovers, git's settings.")
@click.option("--network", is_flag=True, help="See whether the remote answers, too.")
@common.with_app
def command(app: App, fix: bool, network: bool) -> int:
    """Look for what is wrong with the desk and this machine, and say what mends it. Works on a damaged desk, too; what
    the events and articles hold is checked by vrt verify.

    Exits with 1 where something is bad; warnings are no failure.

    \b
    vrt doctor
    vrt doctor --fix
    vrt doctor --network --json
    """
    from vrt import doctor
    from vrt.doctor.finding import Finding

    try:
        found = doctor.examine(app.path, network=network, fix=fix)
    except VrtError as exc:
        found = iter([Finding("bad", exc.message, exc.hint or "", check="desk")])
    rows, worst = [], 0
    for some in found:
        worst |= some.state == "bad"
        if app.json:
            rows.append({"check": some.check, "state": some.state, "text": some.text, "hint": some.hint or None})
            continue
        state = output.paint(f"{some.state:4}", _STYLES[some.state])
        output.out(f"{state}  {some.check:11}  {line(some.text)}")
        if some.hint:
            output.out(f"{'':17}  {line(some.hint)}")
    if app.json:
        output.as_json(rows)
    return int(worst)
