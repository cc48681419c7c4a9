"""Older articles of a partial desk, fetched when somebody wants to read them, and taken into the index then."""

from __future__ import annotations

from collections.abc import Sequence

from vrt import number, paths
from vrt.errors import TryAgain
from vrt.storage import keyring, partial, remote
from vrt.storage.git import Repository
from vrt.storage.index import Article, Index
from vrt.storage.reading import Reader
from vrt.storage.remembered import read_keyring
from vrt.storage.replay import Job, open_job


def whole(index: Index) -> None:
    """Fetch what is not here of the tickets that are still worked on."""
    query = (
        "SELECT DISTINCT t.number FROM ticket t JOIN article a ON a.ticket = t.number WHERE t.current AND a.key IS NULL"
    )
    index.fill([a for (n,) in list(index.sql(query)) for a in index.articles(str(n), here=True)])


class Filler:
    """Fetches what is missing of articles, opens it, and tells the index."""

    def __init__(self, repository: Repository, index: Index) -> None:
        self._repository, self._index = repository, index
        self._gone: TryAgain | None = None  # why the remote gave nothing before: it is not asked twice

    def fill(self, said: Sequence[Article]) -> bool:
        """Fetch what is not here of ``said`` and could be opened with the keys at hand; say whether anything came.

        Raises ``TryAgain`` where the remote does not give it.
        """
        shut = [a for a in said if a.key is None]
        gone = set(partial.missing(self._repository, (b for a in shut for b in (a.md, a.eml) if b)))
        shut = [a for a in shut if gone & {a.md, a.eml}]
        with self._repository.reader() as reader:
            jobs = self._jobs(reader, shut)
            wanted = [a for a in shut if jobs[a.event.id].keys]
            if not wanted:
                return False
            self._bring([b for a in wanted for b in (a.md, a.eml) if b in gone], wanted[0].event.ticket)
            for article in wanted:
                self._open(article, jobs[article.event.id]._replace(md=reader.read(article.md)))
        return True

    def _bring(self, ids: list[str], ticket: str) -> None:
        try:
            if self._gone:
                raise self._gone
            remote.bring(self._repository, ids)
        except TryAgain as exc:
            self._gone = exc
            what = f"older articles ({ticket}) are not in this clone, and could not be fetched: {exc.message}"
            raise TryAgain(what, "vrt sync says whether the remote is there") from exc

    def _jobs(self, reader: Reader, said: Sequence[Article]) -> dict[str, Job]:
        """Return for each article, by its id, what may open it once it is here."""
        ring = read_keyring(self._index)
        queues, head = ring.secret_lists(), self._index.heads().keys
        jobs = {a.event.id: Job(a.event.ticket, a.event.id, b"", [], [], queues) for a in said}
        for ticket in dict.fromkeys(a.event.ticket for a in said):
            folder = number.folder(ticket)
            for name, (_, blob) in reader.folder(head, folder).items():
                key = paths.parse_key(f"{folder}/{name}")
                if key and key.name in jobs and key.to in queues:
                    data = reader.read(blob)
                    if keyring.open_identity(data, ring.identities([key.to])):
                        jobs[key.name].keys.append((key.to, data))
        return jobs

    def _open(self, article: Article, job: Job) -> None:
        opened, _ = open_job(job)
        if opened is None:
            return
        with self._index.writing():  # somebody else may have opened it, or taken it back
            query = "SELECT 1 FROM article WHERE seq = ? AND md = ? AND key IS NULL"
            if any(self._index.sql(query, (article.seq, bytes.fromhex(article.md)))):
                self._index.open_article(article.seq, opened)
