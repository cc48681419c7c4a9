"""The layers hold: imports go one way, each third-party package has one home, modules stay small and quick to load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Person, mail

PACKAGE = ROOT / "vrt"
MODULES = {
    ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p
    for p in sorted(PACKAGE.rglob("*.py"))
}

# From the bottom to the top: a module imports from its own layer or from those below it.
LAYERS = [
    ("values", ("vrt", "vrt.errors", "vrt.text", "vrt.model", "vrt.number", "vrt.work")),
    (
        "rules",
        (
            "vrt.ledger",
            "vrt.fold",
            "vrt.dispatch",
            "vrt.law",
            "vrt.roster",
            "vrt.paths",
            "vrt.query",
            "vrt.headword",
        ),
    ),
    ("storage", ("vrt.storage",)),
    (
        "desk",
        (
            "vrt.desk",
            "vrt.access",
            "vrt.acts",
            "vrt.changes",
            "vrt.bulk",
            "vrt.absence",
            "vrt.letters",
            "vrt.kept",
            "vrt.owed",
            "vrt.outgoing",
            "vrt.outbox",
            "vrt.past",
            "vrt.post",
            "vrt.reapply",
            "vrt.tick",
            "vrt.members",
            "vrt.respool",
            "vrt.entitled",
            "vrt.standing",
            "vrt.autosync",
            "vrt.redo",
            "vrt.queues",
            "vrt.founding",
            "vrt.hook",
            "vrt.cloning",
            "vrt.settings",
            "vrt.structure",
            "vrt.sync",
            "vrt.mail",
            "vrt.export",
            "vrt.upkeep",
            "vrt.doctor",
            "vrt.verify",
            "vrt.views",
            "vrt.templates",
        ),
    ),
    ("commands", ("vrt.commands", "vrt.cli", "vrt.output", "vrt.__main__")),
]
PURE = (
    "vrt.errors",
    "vrt.text",
    "vrt.model",
    "vrt.number",
    "vrt.ledger",
    "vrt.fold",
    "vrt.dispatch",
    "vrt.law",
    "vrt.law.state",
    "vrt.law.events",
    "vrt.law.desk",
    "vrt.law.keys",
    "vrt.law.ties",
    "vrt.roster",
    "vrt.paths",
    "vrt.query",
)
ABOVE = LAYERS[-1][1]

HOMES = {
    "git": "vrt.storage.git", "pyrage": "vrt.storage.crypt", "apsw": "vrt.storage.database",
    "yaml": "vrt.storage.articles", "frontmatter": "vrt.storage.articles",
}  # fmt: skip
MAIL_HOMES = (
    "mailparser",
    "html_to_markdown",
    "charset_normalizer",
    "imapclient",
    "dkim",
    "dns",
    "re2",
    "markdown_it",
    "markdown_it",
)  # one module below vrt.mail each


def layer(module: str) -> int:
    """Return the layer of a module: that of its name, or of the package it is in."""
    for i, (_, names) in enumerate(LAYERS):
        if any(module == n or (n != "vrt" and module.startswith(n + ".")) for n in names):
            return i
    raise AssertionError(f"{module} has no layer: say in this test where it belongs")


def imports(path: Path) -> list[tuple[str, bool]]:
    """Return what a module imports, anywhere in it; and whether that is only for the type checker."""
    tree = ast.parse(path.read_text())
    for_types = {
        id(inner) for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }  # fmt: skip
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(a.name, id(node) in for_types) for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for a in node.names:
                full = f"{node.module}.{a.name}"
                found.append((full if full in MODULES else str(node.module), id(node) in for_types))
    return found


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module: str) -> None:
    for name, for_types in imports(MODULES[module]):
        if name.split(".")[0] == "vrt" and not for_types:
            assert layer(name) <= layer(module), f"{module} imports {name} from above"


@pytest.mark.parametrize("module", [m for m in MODULES if not m.startswith(ABOVE)])
def test_nothing_below_the_commands_knows_the_command_line(module: str) -> None:
    names = {n.split(".")[0] for n, _ in imports(MODULES[module])}
    assert "click" not in names
    text = ast.dump(ast.parse(MODULES[module].read_text()))
    assert "Name(id='print'" not in text
    assert "Attribute(value=Name(id='sys', ctx=Load()), attr='argv'" not in text


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_touch_nothing(module: str) -> None:
    names = {n.split(".")[0] for n, _ in imports(MODULES[module])}
    assert not names & {"os", "subprocess", "socket", "pathlib", "tempfile", "shutil", "random", "secrets", "threading"}
    assert not {n for n, _ in imports(MODULES[module]) if n.startswith(("vrt.storage", "vrt.mail")) or n == "vrt.desk"}
    calls = {
        node.func.id for node in ast.walk(ast.parse(MODULES[module].read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }  # fmt: skip
    assert not calls & {"open", "input", "exec", "eval"}


@pytest.mark.parametrize(("package", "home"), HOMES.items())
def test_each_package_has_one_home(package: str, home: str) -> None:
    users = {m for m, p in MODULES.items() for n, _ in imports(p) if n.split(".")[0] == package}
    assert users == {home}


@pytest.mark.parametrize("package", MAIL_HOMES)
def test_each_package_for_mail_has_one_home(package: str) -> None:
    users = {m for m, p in MODULES.items() for n, _ in imports(p) if n.split(".")[0] == package}
    assert len(users) <= 1, users
    assert all(m.startswith("vrt.mail.") for m in users)


def test_processes_are_started_in_few_places() -> None:
    users = {m for m, p in MODULES.items() for n, _ in imports(p) if n.split(".")[0] == "subprocess"}
    allowed = {
        "vrt.storage.git",
        "vrt.storage.signing",
        "vrt.storage.identity",
        "vrt.commands.common",
        "vrt.output",
        "vrt.mail.accounts",
        "vrt.mail.transport",
    }
    assert users <= allowed, users - allowed


def over(limit: int) -> dict[str, int]:
    sizes = {m: len(p.read_text().splitlines()) for m, p in MODULES.items()}
    return {m: n for m, n in sizes.items() if n > limit}


def test_modules_are_small() -> None:
    assert over(350) == {}


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("vrt.commands.")])
def test_commands_are_thin(module: str) -> None:
    if module != "vrt.commands.common":
        assert len(MODULES[module].read_text().splitlines()) <= 160


def test_every_module_and_public_function_says_what_it_does() -> None:
    silent = []
    for module, path in MODULES.items():
        tree = ast.parse(path.read_text())
        if not ast.get_docstring(tree):
            silent.append(module)
        owners: list[tuple[str, ast.AST]] = [(module, tree)]
        owners += [(f"{module}.{n.name}", n) for n in tree.body if isinstance(n, ast.ClassDef) and n.name[0] != "_"]
        for name, owner in owners[1:]:
            if not ast.get_docstring(owner):  # type: ignore[arg-type]
                silent.append(name)
        for name, owner in owners:
            for node in owner.body:  # type: ignore[attr-defined]
                public = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_"
                inherited = isinstance(owner, ast.ClassDef) and any(
                    isinstance(b, ast.Attribute) and isinstance(b.value, ast.Name) and b.value.id == "click"
                    for b in owner.bases
                )
                inherited = inherited or (isinstance(owner, ast.ClassDef) and owner.name == "_Dumper")
                if public and not inherited and not ast.get_docstring(node):
                    silent.append(f"{name}.{node.name}")
    assert silent == []


HEAVY = [
    "git", "mailparser", "jinja2", "cryptography", "yaml", "frontmatter", "html_to_markdown", "charset_normalizer",
    "imapclient", "dkim", "dns", "re2", "markdown_it", "subprocess", "multiprocessing", "email", "asyncio", "zoneinfo",
]  # fmt: skip
MUST_NOT = {
    "git",
    "mailparser",
    "jinja2",
    "cryptography",
    "yaml",
    "frontmatter",
    "html_to_markdown",
    "charset_normalizer",
    "imapclient",
    "dkim",
    "dns",
    "re2",
}


def test_reading_loads_nothing_heavy(alice: Person) -> None:
    """What agents call forty times a day: neither git nor parsers nor templates are imported for it."""
    n = alice.receive(mail("A picture of the bridge"))[0]
    alice.ok("list")
    for args in (["list"], ["show", n], ["search", "bridge"], ["trail", n], ["--help"]):
        script = (
            "import sys\nfrom vrt.cli import main\n"
            f"try:\n    main({['-C', str(alice.desk), *args]!r})\n"
            f"finally:\n    print(sorted(set(sys.modules) & {set(HEAVY)!r}), file=sys.stderr)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], env=alice.env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        loaded = set(ast.literal_eval(done.stderr.splitlines()[-1]))
        assert not loaded & MUST_NOT, f"vrt {' '.join(args)} loads {sorted(loaded & MUST_NOT)}"


def test_loading_the_command_line_loads_no_command() -> None:
    script = (
        "import sys, vrt.cli; print([m for m in sys.modules if m.startswith(('vrt.commands.', 'vrt.storage', 'apsw'))])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
