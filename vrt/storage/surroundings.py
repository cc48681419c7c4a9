"""What stands around a git that vrt runs: the environment, and the settings in a repository's own folder.

Both can come from somebody else (a folder unpacked from an archive, a hook that calls vrt), and git would run programs
that they name. Variables are dropped or set; a repository with a setting that is not known to be harmless is refused,
for there are too many that name programs to override each. Knows nothing of desks, and runs nothing itself.
"""

from __future__ import annotations

import os
import re
from functools import cache
from typing import TYPE_CHECKING

from vrt.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PROTOCOLS = "ssh:https:file"
# The agent must not be at the disposal of the host: it could sign with it. A dead line must not hold a sync for ever.
_SSH = (
    "ssh -oForwardAgent=no -oForwardX11=no -oClearAllForwardings=yes "
    "-oConnectTimeout=15 -oServerAliveInterval=15 -oServerAliveCountMax=4"
)
_KEPT = ("GIT_EDITOR", "GIT_PAGER")  # read by vrt for the caller, never handed to git


def clean_environment() -> None:
    """Drop what could steer git from this process, so that no caller's ``GIT_DIR`` or ``GIT_CONFIG_*`` does.

    Entries of PATH that are empty or relative go too: a program in the current folder is none of ours.
    """
    for name in [n for n in os.environ if n.startswith("GIT_") and n not in _KEPT]:
        del os.environ[name]
    folders = [p for p in os.environ.get("PATH", os.defpath).split(os.pathsep) if p.startswith("/")]
    os.environ["PATH"] = os.pathsep.join(folders) or os.defpath


def environment() -> dict[str, str]:
    """Return the variables that git gets on top of this process's; the terminal is used only where there is one."""
    asks = os.isatty(0)
    return {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": _PROTOCOLS,
        "GIT_SSH_COMMAND": _SSH if asks else f"{_SSH} -oBatchMode=yes",
        "GIT_SSH_VARIANT": "ssh",  # else git would try the program out
        "GIT_TERMINAL_PROMPT": "1" if asks else "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS_REQUIRE": "never",
        "GIT_EDITOR": ":",
        "GIT_PAGER": "cat",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_GRAFT_FILE": os.devnull,
        "GIT_COMMITTER_NAME": "vrt",  # in reflogs
        "GIT_COMMITTER_EMAIL": "vrt",
        "LC_ALL": "C.UTF-8",
    }


# --- a repository's own settings -----------------------------------------------------------------

_SECTION = re.compile(r'\[([A-Za-z0-9.-]+)(?:[ \t]+"((?:[^"\\]|\\.)*)")?\][ \t]*')
_SETTING = re.compile(r"([A-Za-z][A-Za-z0-9-]*)[ \t]*(?:=|$)")
# What vrt, git init, git clone, gitolite and people set that neither runs a program nor leads git elsewhere. Names as
# git prints them, of git 2.39 to 2.51; what later versions add is refused until it was looked at.
_HARMLESS = (
    r"core\.(?:repositoryformatversion|filemode|bare|ignorecase|symlinks|precomposeunicode|protecthfs|protectntfs"
    r"|logallrefupdates|fsync|fsyncmethod|fsyncobjectfiles|sharedrepository|compression|loosecompression|quotepath"
    r"|bigfilethreshold|packedgitlimit|packedgitwindowsize|deltabasecachelimit|commitgraph|multipackindex|abbrev)",
    r"extensions\.(?:objectformat|partialclone)",
    r"gc\.(?:auto|autodetach|autopacklimit|bigpackthreshold|cruftpacks|packrefs|pruneexpire|reflogexpire"
    r"|reflogexpireunreachable|writecommitgraph|aggressivedepth|aggressivewindow)",
    r"(?:repack|pack|maintenance|commitgraph|color|log|gitweb|gitolite-options)\.[\w.-]+",
    r"remote\.[\w-]+\.(?:url|pushurl|fetch|push|mirror|prune|tagopt|promisor|partialclonefilter)",
    r"branch\.[\w./-]+\.(?:remote|merge|rebase|description)",
    r"diff\.vrt(?:-key)?\.(?:textconv|cachetextconv)",  # for people's own git; vrt runs git without
    r"gpg\.(?:format|ssh\.allowedsignersfile)",
    r"user\.(?:name|email|signingkey)",
    r"receive\.(?:advertiseatomic|advertisepushoptions|autogc|denycurrentbranch|denydeletecurrent|denydeletes"
    r"|denynonfastforwards|fsckobjects|hiderefs|keepalive|maxinputsize|shallowupdate|unpacklimit|updateserverinfo)",
    r"transfer\.(?:fsckobjects|hiderefs|unpacklimit|advertisesid)",
    r"uploadpack\.(?:allow\w+|hiderefs|keepalive)",
    r"http\.(?:receivepack|uploadpack|getanyfile)",
    r"(?:format\.pretty|push\.default|pull\.rebase|fetch\.prune|init\.defaultbranch)",
)
# Beside the settings: files by which git would take them, refs or a remote's address from elsewhere.
_ELSEWHERE = ("commondir", "config.worktree", "remotes", "branches")


@cache
def _harmless() -> re.Pattern[str]:
    return re.compile("|".join(_HARMLESS))


def unexpected(path: Path) -> list[str]:
    """Return what in the bare repository ``path`` may make git run a program or lead it elsewhere.

    Names of settings as git prints them, names of files, ``line 7 of config`` for what cannot be read; sorted.
    """
    found = {name for name in _ELSEWHERE if _holds_something(path / name)}
    try:
        text = (path / "config").read_text("latin-1")
    except FileNotFoundError:
        text = ""
    return sorted(found | {name for name in settings(text) if not _harmless().fullmatch(name)})


def _holds_something(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists() or path.is_symlink()


def settings(text: str) -> Iterator[str]:
    """Yield the names of the settings in a git configuration file, and ``line N of config`` for one that is odd.

    Stricter than git (git help config, "Syntax"): no value goes on in the next line.
    """
    section = ""
    for n, row in enumerate(text.split("\n"), 1):
        rest = row.strip(" \t\r")
        while match := _SECTION.match(rest):
            section, rest = match[1].lower(), rest[match.end() :]
            if match[2] is not None:
                section += "." + re.sub(r"\\(.)", r"\1", match[2])
        if not rest or rest[0] in "#;":
            continue
        match = _SETTING.match(rest)
        if not match or not section or rest.endswith("\\"):
            yield f"line {n} of config"
        else:
            yield f"{section}.{match[1].lower()}"


def check(path: Path, what: str = "this desk") -> None:
    """Raise ``UsageError`` where the repository ``path`` holds settings that ``unexpected`` returns."""
    if found := unexpected(path):
        raise UsageError(
            f"git's settings of {what} hold {found[0]}, which may run a program or lead elsewhere",
            f"take it out of {path} if nobody needs it; what is yours alone goes into git config --global",
        )
