"""Articles and desk files as text: Markdown with YAML front matter. The only user of yaml and frontmatter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from frontmatter.default_handlers import SafeDumper, SafeLoader, YAMLHandler

from vrt.errors import VrtError


class _Dumper(SafeDumper):  # type: ignore[misc, valid-type]
    """YAML without anchors: two equal values are written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def serialize(self, node: Any) -> None:
        node.flow_style = False  # a line for each key at the top, however short they are
        super().serialize(node)


class _Loader(SafeLoader):  # type: ignore[misc, valid-type]
    """YAML without timestamps: a date stays the text that it is, also an impossible one."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
        for first, rules in SafeLoader.yaml_implicit_resolvers.items()
    }


class _Strict(_Loader):
    """YAML in which no key stands twice: of two, one would be dropped without a word."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} twice", key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else "")
        return super().construct_mapping(node, deep=deep)


class _Handler(YAMLHandler):
    def load(self, fm: str, **kwargs: object) -> Any:
        return _load(fm, _Loader)


_DEEPEST = 100  # mappings and lists within each other
_LONG, _MANY = 1 << 20, 5000  # characters, signs: with fewer nothing can be nested deep enough to do harm
_SIGNS = ("[", "{", "- ", "-\t", "? ", "?\t")  # a level costs one of them, or a long indentation


def _load(text: bytes | str, loader: type[Any]) -> Any:
    """Load YAML that is not nested too deep: PyYAML's C code recurses, and 30,000 levels end the process."""
    text = text if isinstance(text, str) else text.decode()
    if len(text) > _LONG or sum(map(text.count, _SIGNS)) > _MANY:
        depth = 0
        for event in yaml.parse(text, Loader=loader):  # these come one by one
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise yaml.YAMLError("nested too deep")
    return yaml.load(text, Loader=loader)


# What hostile YAML can raise: besides its own errors, a number or date out of range, or nesting without end.
_BAD_YAML = (yaml.YAMLError, ValueError, OverflowError, RecursionError, TypeError)


def dump(front: dict[str, Any], body: str) -> bytes:
    """Return an article: ``front`` as YAML between ``---`` lines, a blank line, ``body``; UTF-8."""
    return b"---\n%s---\n\n%s\n" % (dump_yaml(front), body.encode())


def load(data: bytes) -> tuple[dict[str, Any], str]:
    """Return the front matter and the body of an article; raises ``ValueError`` if it is none."""
    try:
        handler = _Handler()
        head, body = handler.split(data.decode())
        front = handler.load(head)
    except _BAD_YAML as exc:
        raise ValueError("not an article") from exc
    if not _is_front(front):
        raise ValueError("not an article")
    # Not frontmatter.loads: it would take away the spaces with which a text begins.
    return front, body.lstrip("\n").removesuffix("\n")


_PEOPLE = ("from", "to", "cc", "bcc", "reply_to")
_LISTS = (*_PEOPLE, "attachments", "in_reply_to", "references", "defects", "rules")
_LARGEST = 4 << 20  # characters of a front matter


def _is_front(front: Any) -> bool:
    """Say whether a front matter has the shape that readers rely on: a colleague's program wrote it."""
    if not isinstance(front, dict) or not all(_has_shape(name, value) for name, value in front.items()):
        return False
    inner = [v for value in front.values() for v in _below(value)]
    boxes = [id(v) for v in inner if isinstance(v, list | dict)]
    # A value that stands in two places (an alias) would be written out in each, as often as somebody likes.
    return len(boxes) == len(set(boxes)) and sum(len(v) if isinstance(v, str) else 8 for v in inner) <= _LARGEST


def _below(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, list | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _below(inner)


def _has_shape(name: Any, value: Any) -> bool:
    if name in _PEOPLE or name == "attachments":
        needed = {"name", "type", "size", "sha256"} if name == "attachments" else set()
        return isinstance(value, list) and all(isinstance(v, dict) and needed <= set(v) and _is_flat(v) for v in value)
    if isinstance(value, dict) and name not in _LISTS:  # report, authentication
        return all(isinstance(k, str) and (_is_scalar(v) or _all_flat(v)) for k, v in value.items())
    return isinstance(name, str) and (_all_flat(value) or (_is_scalar(value) and name not in _LISTS))


def _is_scalar(value: Any) -> bool:
    if isinstance(value, int | float):
        return -(2**63) < value < 2**63  # as JSON takes it
    return value is None or isinstance(value, str)


def _all_flat(values: Any) -> bool:
    return isinstance(values, list) and all(map(_is_scalar, values))


def _is_flat(value: dict[Any, Any]) -> bool:
    """Say whether a mapping is a person or a file: texts, and a size."""
    return all(
        isinstance(k, str) and _is_scalar(v) and isinstance(v, int if k == "size" else str) for k, v in value.items()
    )


def dump_yaml(value: dict[str, Any]) -> bytes:
    """Return ``value`` as YAML: keys in their order, short mappings on one line, UTF-8."""
    return yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=1 << 30,
        encoding="utf-8",
    )  # fmt: skip


def load_yaml(data: bytes | str, name: str) -> dict[str, Any]:
    """Return the mapping in a YAML file; ``name`` is for the ``VrtError`` raised where it is none."""
    try:
        value = _load(data, _Strict)
    except _BAD_YAML as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        twice = ": a key stands twice" if str(getattr(exc, "problem", "")).endswith(" twice") else ""
        raise VrtError(f"{name} is not valid YAML{where}{twice}") from exc
    if value is None:  # nothing but comments
        value = {}
    if not isinstance(value, dict) or not all(isinstance(k, str) for k in value):
        raise VrtError(f"{name} is not a list of settings")
    return value
