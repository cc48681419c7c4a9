"""``vrt template``."""

from functools import partial
from typing import Any

import click

from vrt import output, settings, templates
from vrt.cli import App
from vrt.commands import common
from vrt.errors import NotAllowed, NotFound, UsageError
from vrt.model import ADMIN
from vrt.text import shown


@click.group()
def command() -> None:
    """List, show, change and try the templates of replies: the built-in ones, and the desk's own.

    Of a name the one that counts is the desk's for the queue, else the desk's, else the built-in one; then the same
    in the main language (de for de-at), and then in English.

    \b
    vrt template list --language de
    vrt template show closing -l de
    vrt template edit closing -l de -q permissions-de
    vrt template try receipt 0081
    """


def _every(desk: Any) -> list[templates.Template]:
    return templates.every(settings.templates(desk))


def _known(field: str) -> Any:
    return common.names(lambda desk: sorted({getattr(t, field) for t in _every(desk)}))


_name = click.argument("name", metavar="NAME", shell_complete=_known("name"))
_language = partial(click.option, "-l", "--language", metavar="L", shell_complete=_known("language"))
_queue = partial(click.option, "-q", "--queue", metavar="Q", shell_complete=common.complete_queue)


def _as_json(template: templates.Template, **more: str) -> dict[str, Any]:
    about = {"name": template.name, "language": template.language, "queue": template.queue or None}
    return {**about, "from": "desk" if template.own else "built-in", **more}


def _print(app: App, template: templates.Template, text: str) -> None:
    if app.json:
        output.as_json(_as_json(template, text=text))
    else:
        output.tell(f"vrt: template {template}")
        output.page(shown(text).removesuffix("\n") + "\n")


@command.command("list")
@_language(help="Only those in this language.")
@_queue(help="Only those that this queue can use.")
@common.with_app
def list_(app: App, language: str | None, queue: str | None) -> None:
    """Show which templates there are. One of the desk stands for the built-in one of the same name."""
    if queue:
        app.desk.roster.queue(queue)
    found = [t for t in _every(app.desk) if language in (None, t.language) and (not queue or t.queue in ("", queue))]
    if app.json:
        output.as_json([_as_json(t) for t in found])
    else:
        rows = [(t.name, t.language, t.queue or "-", "desk" if t.own else "built in") for t in found]
        output.page(output.table(("TEMPLATE", "LANGUAGE", "QUEUE", "FROM"), rows))


@command.command()
@_name
@_language(help="In this language (default: the queue's, else en).")
@_queue(help="As this queue uses it.")
@common.with_app
def show(app: App, name: str, language: str | None, queue: str | None) -> None:
    """Print a template as it was written."""
    wanted = app.desk.roster.queue(queue).language if queue else "en"
    found = templates.find(partial(settings.template, app.desk), name, language or wanted, queue or "")
    _print(app, found, found.text)


@command.command("try")
@_name
@common.ticket
@_language(help="In this language (default: that of the ticket's queue).")
@common.with_app
def try_(app: App, name: str, ticket: str, language: str | None) -> None:
    """Print what a template says in a ticket; nothing is recorded.

    \b
    vrt template try permission-accepted 0081
    """
    about = app.desk.ticket(ticket)
    wanted = language or app.desk.roster.queue(about.queue).language
    found = templates.find(partial(settings.template, app.desk), name, wanted, about.queue)
    _print(app, found, templates.fill(found, templates.values(app.desk, about, wanted)))


@command.command()
@_name
@_language(required=True, help="The language that it is written in: en, de, de-at, zh-hans …")
@_queue(help="For this queue only.")
@common.message
@click.option("--remove", is_flag=True, help="Drop the desk's own: the built-in one, if there is one, counts again.")
@common.with_app
def edit(
    app: App, name: str, language: str, queue: str | None, message: str | None, file: str | None, remove: bool
) -> None:
    """Change a template of the desk, or make one, in an editor (admins). It is not sealed: write nothing secret.

    A template is Markdown with {{ value }} and {% if value %} ... {% else %} ... {% endif %}, where == != and or not
    and the filters upper, lower, capitalize, trim and default may stand. The editor lists the values, and opens again
    where the text is no template.

    \b
    vrt template edit closing -l de
    vrt template edit receipt -l en -q permissions-en -F receipt.md.j2
    vrt template edit closing -l de --remove
    """
    path = templates.words(name, language.lower(), queue or "")
    if queue and not remove:
        app.desk.roster.queue(queue)
    if not app.desk.me.has(ADMIN):
        raise NotAllowed("only admins change templates", "vrt agent list --role admin")
    if remove and (message or file):
        raise UsageError("--remove takes no text", "vrt template edit --help")
    if remove and settings.template(app.desk, path) is None:
        raise NotFound(f"the desk has no template {path} of its own", "vrt template list")
    if message is None and file is None and not remove:
        _in_editor(app, path)
    else:
        text = None if remove else templates.check(common.text(message, file, what="template"))
        settings.set_template(app.desk, path, text)
    if app.json:
        output.as_json([_as_json(t) for t in _every(app.desk) if (t.name, t.language) == (name, language.lower())])
    else:
        output.out(f"template {path} {'removed' if remove else 'set'}")


def _in_editor(app: App, path: str) -> None:
    language, *queue, name = path.split("/")
    try:
        text = templates.find(partial(settings.template, app.desk), name, language, "".join(queue)).text
    except NotFound:
        text = ""
    values = "\n".join(f"# {{{{ {value} }}}}  {what}" for value, what in templates.VALUES.items())
    nothing = UsageError("the template is empty or as it was: nothing was recorded", "vrt template edit --help")
    take = partial(settings.set_template, app.desk, path)
    common.edit_until(text, take, ["", text.strip()], nothing, values)
