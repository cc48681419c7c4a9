"""``vrt rules``."""

from pathlib import Path
from typing import Any

import click

from vrt import output, settings
from vrt.cli import App
from vrt.commands import common
from vrt.errors import UsageError
from vrt.text import clip, line, shown


@click.group()
def command() -> None:
    """Show, change and try the rules that intake follows: which mail goes to which queue, or to junk.

    They are sealed to the admins and the intake nodes of the desk, for they name people.

    \b
    vrt rules edit
    vrt rules test mail.eml
    """


@command.command()
@common.with_app
def show(app: App) -> None:
    """Print the rules as they were written (YAML)."""
    text = settings.rules_of(app.desk)
    if app.json:
        from vrt.mail import rulefile

        output.as_json(rulefile.of_text(text).source)
    elif not text:
        output.tell("vrt: this desk has no intake rules; vrt rules edit makes some")
    else:
        output.page(shown(text) + "\n")


@command.command()
@click.option("-F", "--file", metavar="FILE", help="Take the rules from FILE, - for stdin, instead of an editor.")
@common.with_app
def edit(app: App, file: str | None) -> None:
    """Change the rules in an editor, in a file that never reaches a disk; they hold for the mail that comes next.

    What is not in the form of rules is not recorded; the editor opens again and says what is wrong.

    \b
    vrt rules edit
    vrt rules edit -F rules.yaml
    """
    if file is not None:
        settings.set_rules(app.desk, common.text(None, file, what="rules"))
    else:
        _in_editor(app)
    count = _count(app)
    if app.json:
        output.as_json({"rules": count})
    else:
        output.out(f"{output.plural(count, 'rule', 'rules')} from now on")


def _in_editor(app: App) -> None:
    from vrt.mail.rules import EXAMPLE

    nothing = UsageError("the rules are as they were: nothing was recorded", "vrt rules edit")
    text = settings.rules_of(app.desk) or EXAMPLE
    common.edit_until(text, lambda text: settings.set_rules(app.desk, text), [EXAMPLE.strip()], nothing)


def _count(app: App) -> int:
    from vrt.mail import rulefile

    return len(rulefile.of_text(settings.rules_of(app.desk)))


@command.command()
@click.argument("files", metavar="FILE.eml...", nargs=-1, required=True, type=click.Path())
@click.option("--rules", "other", metavar="FILE", type=click.Path(), help="Try these rules (YAML), not the desk's.")
@common.with_app
def test(app: App, files: tuple[str, ...], other: str | None) -> None:
    """Say which rules fire on mails, and why; nothing is taken in.

    \b
    vrt rules test mail.eml
    vrt rules test --rules new.yaml *.eml
    """
    text = settings.rules_of(app.desk)
    if other is not None:
        text = common.text(None, other, what="rules")
        settings.check_rules(app.desk, text)
    found = [_tried(app, name, text) for name in files]
    if app.json:
        output.as_json(found)
        return
    for mail in found:
        _print(mail)


def _tried(app: App, name: str, text: str) -> dict[str, Any]:
    """Return what intake would make of a mail in a file, rule by rule."""
    from vrt.mail import examine, plan, rulefile
    from vrt.mail.facts import facts
    from vrt.mail.parse import fields_of
    from vrt.mail.sources import Letter

    try:
        letter = Letter(name, Path(name).read_bytes())
    except OSError as exc:
        raise UsageError(f"{name}: {exc.strerror}") from None
    config, known = app.desk.keys.config, app.desk.roster
    setting = examine.settings(known, text, config.dkim_keys, config.dkim_dns)
    got = examine.examine((letter, setting))
    language = known.queues[got.queue].language if got.queue else ""
    seen = facts(got.mail, fields_of(letter.raw), len(letter.raw), got.queue, language, got.spam)
    return {
        "file": name, "kind": got.kind, "spam": got.spam, "addressed": got.queue or None,
        "queue": plan.destination(known, got).name, "priority": got.rules.priority or 3, "tags": list(got.rules.tags),
        "rules": [
            {"name": rule.name, "fired": rule.fired, "looked": rule.looked,
             "conditions": [c._asdict() for c in rule.conditions]}
            for rule in rulefile.of_text(text).explain(seen)
        ],
    }  # fmt: skip


def _print(mail: dict[str, Any]) -> None:
    output.out(output.paint(line(mail["file"]), "bold"))
    address = f"addressed to {mail['addressed']}" if mail["addressed"] else "addressed to no queue"
    output.out(f"  {mail['kind']}{', spam' if mail['spam'] else ''}, {address}")
    for rule in mail["rules"]:
        looked = "does not fire" if rule["looked"] else "not looked at: a rule before it fired"
        said = "fires" if rule["fired"] else looked
        output.out(output.paint(f"  {rule['name']}: {said}", "green" if rule["fired"] else "dim"))
        for c in rule["conditions"]:
            held = {True: "yes", False: "no ", None: "gave up"}[c["held"]]
            saw = f"  {clip(line(c['seen']), 60)}" if c["seen"] else ""
            wanted = f"{c['group']} {line(c['field'])}: {clip(line(c['wanted']), 60)}"
            output.out(f"    {held} {wanted}{output.paint(saw, 'dim')}")
    more = [f"priority {mail['priority']}"] if mail["priority"] != 3 else []
    more += [f"+{tag}" for tag in mail["tags"]]
    output.out(f"  goes to {', '.join([mail['queue'], *more])}")
