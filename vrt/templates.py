"""Text made from templates. The only user of jinja2.

Templates are sandboxed, an undefined name is an error, and text from outside only ever comes in as a value. They
lie in ``templates/<language>/<name>.md.j2``, shipped with the package.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from vrt.errors import NotFound, VrtError


def folder() -> Path:
    """Return the folder of the templates: in the installed package, or at the top of a checkout."""
    here = Path(__file__).parent
    return next(p for p in (here / "templates", here.parent / "templates") if p.is_dir())


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(folder()), undefined=StrictUndefined, autoescape=False, trim_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip


def render(name: str, language: str = "en", **values: Any) -> str:
    """Return template ``name`` with ``values``; raises ``NotFound``, or ``VrtError`` for a name it does not know."""
    from jinja2 import TemplateNotFound

    try:
        return _environment().get_template(f"{language}/{name}.md.j2").render(values)
    except TemplateNotFound:
        raise NotFound(f"no template {name} in {language}") from None
    except TemplateError as exc:
        raise VrtError(f"template {language}/{name}: {exc.message}") from exc
