"""A new desk: its first commits, and what plain git needs to read it well."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vrt import ledger, paths, roster
from vrt.changes import write_signers
from vrt.desk import Desk
from vrt.errors import UsageError
from vrt.model import ADMIN, AGENT, JUNK, POSTMASTER, RECOVERY, Card, DeskConfig, Event, Queue
from vrt.roster import Roster
from vrt.storage import articles, crypt, git, keyring, local, signing
from vrt.storage.git import Heads, Repository
from vrt.storage.identity import Keys
from vrt.storage.signing import Signer
from vrt.storage.writer import Write


@dataclass(frozen=True)
class Founded:
    """A new desk: where it is, who founded it, and the secret of the recovery card, which is kept nowhere."""

    path: Path
    card: Card
    recovery: str
    made_keys: list[Path]


def found(path: Path, name: str, domain: str, handle: str, config: local.Config, now: int, timezone: str) -> Founded:
    """Make a desk in the new folder ``path`` with the caller as its first admin.

    Raises ``UsageError`` where something is there already or a name cannot be used.
    """
    roster.check_name(handle, "an agent")
    _check_domain(domain)
    _check_timezone(timezone)
    keys = Keys(config)
    made = keys.make_missing()
    secret, (recovery, recovery_public) = keyring.new_secret(), crypt.new_identity()
    queues, secrets = {}, {}
    for queue in (POSTMASTER, JUNK):
        secrets[queue], public = crypt.new_identity()
        queues[queue] = Queue(queue, (f"{queue}@{domain}",) if queue == POSTMASTER else (), recipient=public)
    config_ = DeskConfig(
        roster.FORMAT, name, domain, timezone, secret_check=keyring.secret_check(secret), outcomes=roster.OUTCOMES,
        tags=roster.TAGS, reasons=roster.REASONS,
    )  # fmt: skip
    me = Card(handle, (ADMIN, AGENT), keys.recipient(), keys.signing_public(), tuple(queues), "10")
    rescue = Card("recovery", (RECOVERY,), recovery_public, signing.derived(recovery).public)
    known = Roster(config_, {me.handle: me, rescue.handle: rescue}, queues)

    repository = git.create(path)
    try:
        _begin(repository, known, me, config._replace(card=handle), secret, secrets, keys.signer(), now)
    except BaseException:  # half a desk is none
        shutil.rmtree(repository.path)
        raise
    return Founded(repository.path, me, recovery, made)


def _begin(
    repository: Repository, known: Roster, me: Card, config: local.Config, secret: bytes, secrets: dict[str, str],
    signer: Signer, now: int,
) -> None:  # fmt: skip
    """Write the first commit of both branches."""
    folder = local.private_folder(repository.path / local.FOLDER)
    write = Write(repository, Heads("", ""), signer, known.who(me.handle), now)
    for card in known.secret_holders():
        write.add_key(*keyring.seal_secret(secret, 1, card.handle, card.recipient))
    for queue in known.queues:
        for card in known.readers(queue):
            write.add_key(*keyring.seal_queue(queue, 1, secrets[queue], card.handle, card.recipient))
    event_id = ledger.event_id(now, "init", os.urandom(4).hex())
    files = {p: articles.dump_yaml(v) for p, v in _files(known).items()}
    cards = sorted(known.cards.values(), key=lambda c: c.handle)
    files[paths.SIGNERS] = "".join(roster.signer_line(c, known.desk.domain) for c in cards).encode()
    root, _ = write.add(Event(event_id, "init", me.handle, now, trailers={"Keyring": write.seal_keys()}), files)
    set_up(repository, files[paths.SIGNERS].decode())
    local.write_config(folder / "config.yaml", config._replace(root=root))
    with Desk(repository.path).locked() as fd:
        write.record(fd)
    write.close()


def _files(known: Roster) -> dict[str, dict[str, Any]]:
    files = {paths.DESK: roster.write(known.desk)}
    files |= {paths.card(h): roster.write(c) for h, c in known.cards.items()}
    return files | {paths.queue(n): roster.write(q) for n, q in known.queues.items()}


def set_up(repository: Repository, signers: str) -> None:
    """Set what plain git needs to read a desk well: whose signatures are good, and how to show sealed files."""
    vrt = shlex.join([sys.executable, "-P", "-m", "vrt", "textconv"])
    write_signers(repository, signers)
    for name, value in (
        ("gpg.ssh.allowedSignersFile", str(repository.path / local.FOLDER / "allowed_signers")),
        ("diff.vrt.textconv", vrt),
        ("diff.vrt.cachetextconv", "false"),
        ("diff.vrt-key.textconv", vrt + " --key"),
        ("gc.auto", "0"),
        ("core.fsync", "all"),
        ("core.logAllRefUpdates", "true"),
        ("repack.writeBitmaps", "false"),
    ):
        repository.run("config", name, value)
    # Keyring files first, the two kinds of article after: the last line that fits holds. No two ciphertexts are alike,
    # so git need not look for what they share.
    lines = ["*.age diff=vrt-key -delta", "*.md.age diff=vrt", "*.eml.age diff=vrt", ""]
    local.write_private(repository.path / "info" / "attributes", "\n".join(lines).encode())


def _check_domain(domain: str) -> None:
    if (
        not domain.isascii()
        or any(c not in "abcdefghijklmnopqrstuvwxyz0123456789.-" for c in domain)
        or not domain.strip(".-")
    ):
        raise UsageError(f"{domain!r} is no domain", "write it as example.org (an IDN in its xn-- form)")


def _check_timezone(name: str) -> None:
    try:
        roster.zone(name)
    except ValueError:
        raise UsageError(f"{name!r} is no time zone of this machine", "write it as UTC or Europe/Berlin") from None
