"""The budgets measured: whole processes on made-up mail, each beside a floor in the same run.

    python bench/run.py                        everything at 100, 10,000 and 100,000 tickets; writes bench/RESULTS.md
    python bench/run.py --quick                100 and 2,000, a few runs
    python bench/run.py --work DIR --only read desks are kept in DIR for the next time

Results go to stdout, progress to stderr. Nothing here fails because something is slow.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import desk as desks
import mails
import measure
from desk import say
from measure import Run

HERE = Path(__file__).parent
CLICK = [sys.executable, "-c", "import click"]
HEAD = ("work", "desk", "median", "CPU", "floor", "ratio", "CPU ratio", "budget", "met?")

# What git is asked to do so that a commit is there after a power cut; no more, and no less, than vrt asks.
GIT = "git -c core.fsync=all -c core.fsyncMethod=fsync -c core.hooksPath=/dev/null -c gc.auto=0"
COMMIT = (
    f'c=$({GIT} --git-dir="$1" commit-tree -p refs/heads/main -m "floor $2" "refs/heads/main^{{tree}}") && '
    f'{GIT} --git-dir="$1" update-ref refs/bench/floor "$c"'
)
PARSE = """
import email, gzip, sys
raw = open(sys.argv[1], "rb").read()
for one in raw.split(b"\\nFrom sender@"):
    mail = email.message_from_bytes(one.partition(b"\\n")[2])
    for part in mail.walk():
        part.get_payload(decode=True)
    gzip.compress(one, 6)
"""


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    work: str
    desk: str
    median: str
    cpu: str = ""
    floor: str = ""
    ratio: str = ""
    cpu_ratio: str = ""
    budget: str = ""
    met: bool | None = None

    def cells(self) -> list[str]:
        said = "" if self.met is None else "yes" if self.met else "**no**"
        return [self.work, self.desk, self.median, self.cpu, self.floor, self.ratio, self.cpu_ratio, self.budget, said]


@dataclass
class Bench:
    """What is measured, with what, and where."""

    sizes: list[int]
    runs: int
    mails: int  # in the mbox that is received
    work: Path
    rows: list[Row] = field(default_factory=list)

    @cached_property
    def place(self) -> desks.Place:
        made = desks.Place(self.work)
        made.prepare()
        return made

    @property
    def env(self) -> dict[str, str]:
        return self.place.environment

    @cached_property
    def vrt(self) -> list[str]:
        """What users run: the script beside this Python."""
        script = Path(sys.executable).with_name("vrt")
        return [str(script)] if script.exists() else [sys.executable, "-m", "vrt"]

    def case(
        self, desk: Path | None, *args: str, feed: bytes | Path | None = None, watch: bool = False
    ) -> measure.Case:
        """Return the measuring of one vrt command."""
        argv = [*self.vrt, *(["-C", str(desk)] if desk else []), *args]
        return lambda: measure.run(argv, self.env, feed=feed, cwd=self.work, watch=watch)

    def click(self) -> Run:
        """The floor of what starts and shows: Python with the one package that every command needs."""
        return measure.run(CLICK, self.env, cwd=self.work)

    def copy(self, size: int, purpose: str) -> Path:
        """Return a copy of the desk of ``size``, to be written to."""
        return desks.copy(desks.ready(self.place, size), self.work / f"{purpose}-{size}")

    def compare(self, cases: dict[str, measure.Case], runs: int = 0, *, warm: bool = True) -> dict[str, list[Run]]:
        return measure.compare(cases, runs or self.runs, say, warm=warm)

    def add(self, row: Row) -> None:
        self.rows.append(row)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _started(bench: Bench, work: str, desk: str, runs: list[Run], floor: list[Run], limit: float) -> None:
    """Add a row of what is measured against starting Python."""
    ratio = measure.ratio(runs, floor)
    bench.add(Row(
        work, desk, _ms(measure.wall(runs)), _ms(measure.cpu(runs)), _ms(measure.wall(floor)), f"{ratio:.2f}",
        f"{measure.cpu_ratio(runs, floor):.2f}", f"≤ {limit:g} × floor", ratio <= limit,
    ))  # fmt: skip


# --- the works --------------------------------------------------------------------------------------


def help_(bench: Bench) -> None:
    """``vrt --help``."""
    got = bench.compare({"help": bench.case(None, "--help"), "import click": bench.click}, bench.runs * 2)
    _started(bench, "`vrt --help`", "", got["help"], got["import click"], 1.5)


def read(bench: Bench) -> None:
    """``list``, ``show``, ``search``."""
    token = next(itertools.islice(mails.stream(), 7, None)).token
    for size in bench.sizes:
        place, worst = desks.ready(bench.place, size), desks.ready(bench.place, size, all_open=True)
        number = desks.open_tickets(place)[0]
        cases = {
            "`vrt list`": bench.case(place, "list"),
            "`vrt list`, everything open": bench.case(worst, "list"),
            "`vrt show N`": bench.case(place, "show", number),
            "`vrt search`, a rare word": bench.case(place, "search", token),
            "`vrt search`, a common word": bench.case(place, "search", mails.COMMON),
            "`vrt search`, a phrase": bench.case(place, "search", f'"{mails.PHRASE}"'),
        }
        got = bench.compare({**cases, "floor": bench.click})
        for name in cases:
            _started(bench, name, f"{size:,}", got[name], got["floor"], 2)


ACTS = ("take", "note", "reply", "close")


def act(bench: Bench) -> None:
    """``take``, ``note``, ``close``: durable, signed, indexed; ``reply``: three such writes, and a message sent."""
    cases: dict[str, measure.Case] = {}
    for size in bench.sizes:
        place = bench.copy(size, "act")
        for name, case in _acts(bench, place).items():
            cases[f"{name} {size}"] = case
    got = bench.compare(cases)
    for size in bench.sizes:
        floor = got[f"floor {size}"]
        for name in ACTS:
            runs, most_ms = got[f"{name} {size}"], 500 if name == "reply" else 250
            bench.add(Row(
                f"`vrt {name}`", f"{size:,}", _ms(measure.wall(runs)), _ms(measure.cpu(runs)), _ms(measure.wall(floor)),
                f"{measure.ratio(runs, floor):.2f}", f"{measure.cpu_ratio(runs, floor):.2f}", f"≤ {most_ms} ms",
                measure.wall(runs) <= most_ms / 1000,
            ))  # fmt: skip
    least, most = bench.sizes[0], bench.sizes[-1]
    for name in ACTS if most > least else ():
        big, small = got[f"{name} {most}"], got[f"{name} {least}"]
        ratio = measure.ratio(big, small)
        bench.add(Row(
            f"`vrt {name}`, large by small", f"{most:,} : {least:,}", _ms(measure.wall(big)), _ms(measure.cpu(big)),
            _ms(measure.wall(small)), f"{ratio:.2f}", f"{measure.cpu_ratio(big, small):.2f}", "≤ 1.2 × small",
            ratio <= 1.2,
        ))  # fmt: skip


def _acts(bench: Bench, place: Path) -> dict[str, measure.Case]:
    """Return the acts of an agent on one ticket after another, and the floor: plain git making a commit durable."""
    numbers = iter(desks.open_tickets(place))
    turn = {"number": ""}

    def take() -> Run:
        turn["number"] = next(numbers)
        return bench.case(place, "take", turn["number"])()

    def note() -> Run:
        return bench.case(place, "note", turn["number"], "-m", f"Asked the author about {turn['number']}.")()

    def reply() -> Run:
        return bench.case(place, "reply", turn["number"], "-m", "Thank you, it is corrected now.")()

    def close() -> Run:
        return bench.case(place, "close", turn["number"], "--outcome", "successful")()

    def floor() -> Run:
        who = {f"GIT_{w}_{p}": "floor" for w in ("AUTHOR", "COMMITTER") for p in ("NAME", "EMAIL")}
        return measure.run(["sh", "-c", COMMIT, "sh", str(place), turn["number"]], bench.env | who)

    return {"take": take, "note": note, "reply": reply, "close": close, "floor": floor}


EXCHANGE = f'{GIT} --git-dir="$1" fetch -q "$2" main keys && {GIT} --git-dir="$1" push -q "$2" refs/bench/floor:main'


def sync(bench: Bench) -> None:
    """``vrt sync`` of one new event, beside plain git that fetches and pushes one commit of the same desk."""
    cases: dict[str, measure.Case] = {}
    for size in bench.sizes:
        place, plain = bench.copy(size, "sync"), bench.copy(size, "plain")
        hosts = [path.with_suffix(".git") for path in (place, plain)]
        for path, host in zip((place, plain), hosts, strict=True):
            shutil.rmtree(host, ignore_errors=True)
            measure.run(["git", "clone", "-q", "--bare", str(path), str(host)], bench.env)
        measure.run(["git", f"--git-dir={place}", "config", "remote.origin.url", str(hosts[0])], bench.env)
        bench.case(place, "sync")()  # all that is there is checked once
        numbers = iter(desks.open_tickets(place))

        def synced(place: Path = place, numbers: Iterator[str] = numbers) -> Run:
            number = next(numbers)
            bench.case(place, "note", number, "-m", f"Asked the author about {number}.")()
            return bench.case(place, "sync")()

        def floor(plain: Path = plain, host: Path = hosts[1]) -> Run:
            who = {f"GIT_{w}_{p}": "floor" for w in ("AUTHOR", "COMMITTER") for p in ("NAME", "EMAIL")}
            measure.run(["sh", "-c", COMMIT, "sh", str(plain), os.urandom(4).hex()], bench.env | who)
            done = measure.run(["sh", "-c", EXCHANGE, "sh", str(plain), str(host)], bench.env)
            measure.run(["git", f"--git-dir={plain}", "update-ref", "refs/heads/main", "refs/bench/floor"], bench.env)
            return done

        cases |= {f"sync {size}": synced, f"floor {size}": floor}
    got = bench.compare(cases)
    for size in bench.sizes:
        runs, plain_runs = got[f"sync {size}"], got[f"floor {size}"]
        most = 1.3 * measure.wall(plain_runs) + 0.15
        bench.add(Row(
            "`vrt sync`, 1 new event", f"{size:,}", _ms(measure.wall(runs)), _ms(measure.cpu(runs)),
            _ms(measure.wall(plain_runs)), f"{measure.ratio(runs, plain_runs):.2f}",
            f"{measure.cpu_ratio(runs, plain_runs):.2f}", f"≤ {_ms(most)}", measure.wall(runs) <= most,
        ))  # fmt: skip


def one(bench: Bench) -> None:
    """One mail through ``vrt receive -``, as a mail server hands it over."""
    fresh = mails.stream(seed=4711)
    cases: dict[str, measure.Case] = {}
    for size in bench.sizes:
        place = bench.copy(size, "one")
        cases[f"receive {size}"] = lambda place=place: bench.case(place, "receive", "-", feed=next(fresh).raw)()
    got = bench.compare({**cases, "floor": bench.click})
    for size in bench.sizes:
        runs, floor = got[f"receive {size}"], got["floor"]
        bench.add(Row(
            "one mail, `vrt receive -`", f"{size:,}", _ms(measure.wall(runs)), _ms(measure.cpu(runs)),
            _ms(measure.wall(floor)), f"{measure.ratio(runs, floor):.2f}", f"{measure.cpu_ratio(runs, floor):.2f}",
            "≤ 300 ms", measure.wall(runs) <= 0.3,
        ))  # fmt: skip


def receive(bench: Bench) -> None:
    """An mbox into an empty desk; then the size of that desk after ``vrt maintain``."""
    mbox, place = bench.work / f"{bench.mails}.mbox", bench.work / "receive"
    many, size, packed = mails.write_mbox(mbox, mails.count(bench.mails))
    stream = bench.work / f"{bench.mails}.fast-import"
    _fast_import_stream(stream, mails.count(bench.mails))

    def received() -> Run:
        shutil.rmtree(place, ignore_errors=True)
        desks.found(place, int(time.time()))
        return bench.case(place, "receive", str(mbox), watch=True)()

    def parsed() -> Run:
        return measure.run([sys.executable, "-c", PARSE, str(mbox)], bench.env)

    def imported() -> Run:
        with tempfile.TemporaryDirectory(dir=bench.work) as folder:
            subprocess.run(["git", "init", "-q", "--bare", folder], check=True, env=bench.env)
            return measure.run([*GIT.split(), f"--git-dir={folder}", "fast-import", "--quiet"], bench.env, feed=stream)

    got = bench.compare(
        {"receive": received, "parse and gzip": parsed, "git fast-import": imported}, min(3, bench.runs), warm=False
    )
    runs = got["receive"]
    rate = many / measure.wall(runs)
    for name, floor in (("parse and gzip", got["parse and gzip"]), ("git fast-import", got["git fast-import"])):
        bench.add(Row(
            f"`vrt receive` of an mbox, {size / many / 1000:.1f} kB a mail; floor: {name}", f"{many:,} mails",
            f"{rate:,.0f} mails/s", f"{measure.cpu(runs) * 1000 / many:.2f} ms a mail",
            f"{many / measure.wall(floor):,.0f} mails/s",
            f"{measure.ratio(runs, floor):.2f}", f"{measure.cpu_ratio(runs, floor):.2f}", "≥ 800 mails/s", rate >= 800,
        ))  # fmt: skip
    peak = max(r.peak for r in runs)
    bench.add(
        Row(
            "its memory, all processes added up",
            f"{many:,} mails",
            f"{peak:.0f} MiB",
            budget="≤ 400 MiB",
            met=peak <= 400,
        )
    )
    bench.case(place, "maintain")()
    used = sum(p.stat().st_size for p in (place / "objects").rglob("*") if p.is_file())
    limit = 1.3 * packed + 3072 * many
    bench.add(Row(
        "size after `vrt maintain`; floor: gzip of each original", f"{many:,} mails", f"{used / many:,.0f} B a mail",
        "",
        f"{packed / many:,.0f} B a mail", f"{used / packed:.2f}", "", f"≤ {limit / many:,.0f} B a mail", used <= limit,
    ))  # fmt: skip
    shutil.rmtree(place)
    mbox.unlink()
    stream.unlink()


def _fast_import_stream(path: Path, made: Iterator[mails.Made]) -> None:
    """Write what makes a commit with one file of each mail, for ``git fast-import``."""
    with path.open("wb") as file:
        for i, mail in enumerate(made):
            file.write(
                b"commit refs/heads/main\ncommitter floor <floor@example.org> %d +0000\ndata 5\nfloor\n" % mail.time
            )
            name = f"{i // 10000:02d}/{i // 100 % 100:02d}/{i % 100:02d}.eml".encode()
            file.write(b"M 100644 inline %s\ndata %d\n%s\n" % (name, len(mail.raw), mail.raw))


def rebuild(bench: Bench) -> None:
    """``vrt index --rebuild``."""
    for size in bench.sizes[1:] or bench.sizes:
        place = bench.copy(size, "rebuild")
        articles = _count(place, "articles")
        got = bench.compare(
            {"rebuild": bench.case(place, "index", "--rebuild", watch=True)}, _few(bench, size), warm=False
        )
        rate = articles / measure.wall(got["rebuild"])
        cpu = measure.cpu(got["rebuild"]) * 1000 / articles
        bench.add(Row(
            "`vrt index --rebuild`", f"{size:,}", f"{rate:,.0f} articles/s", f"{cpu:.2f} ms an article",
            budget="≥ 1,500 articles/s", met=rate >= 1500,
        ))  # fmt: skip
        shutil.rmtree(place)


def verify(bench: Bench) -> None:
    """``vrt verify``, with and without opening the articles."""
    for size in bench.sizes[1:] or bench.sizes:
        place = bench.copy(size, "verify")
        events = _count(place, "events")
        cases = {
            "`vrt verify --ledger-only`": bench.case(place, "verify", "--ledger-only", watch=True),
            "`vrt verify`": bench.case(place, "verify", watch=True),
            "git fsck": lambda place=place: measure.run(
                ["git", f"--git-dir={place}", "fsck", "--strict", "--no-dangling", "--no-progress"], bench.env
            ),
        }
        got = bench.compare(cases, _few(bench, size), warm=False)
        floor = got.pop("git fsck")
        for name, runs in got.items():
            rate = events / measure.wall(runs)
            bench.add(Row(
                f"{name}; floor: git fsck", f"{size:,}", f"{rate:,.0f} events/s",
                f"{measure.cpu(runs) * 1000 / events:.2f} ms an event", f"{events / measure.wall(floor):,.0f} events/s",
                f"{measure.ratio(runs, floor):.2f}", f"{measure.cpu_ratio(runs, floor):.2f}",
                "≥ 3,000 events/s", rate >= 3000,
            ))  # fmt: skip
        shutil.rmtree(place)


def _few(bench: Bench, size: int) -> int:
    return 1 if size > 20_000 else min(3, bench.runs)


def _count(place: Path, what: str) -> int:
    from vrt import upkeep
    from vrt.desk import Desk

    return upkeep.index_counts(Desk(place))[what]


WORKS: dict[str, Callable[[Bench], None]] = {
    "help": help_, "read": read, "act": act, "sync": sync, "one": one, "receive": receive,
    "rebuild": rebuild, "verify": verify,
}  # fmt: skip


# --- what is written --------------------------------------------------------------------------------

KEPT = "## What was done to get there"


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = [HEAD, ["---"] * len(HEAD), *(row.cells() for row in rows)]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def facts(bench: Bench) -> str:
    """Return on what was measured, and when."""
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=False).stdout.split()[-1:]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    load = statistics.mean(os.getloadavg()[1:])
    return (
        f"{datetime.now(timezone.utc):%Y-%m-%d}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} "
        f"{platform.release().split('-')[0]}, Python {platform.python_version()}, git {' '.join(git)}; "
        f"medians of {bench.runs} runs after a warm-up, in turn with the floor; load average {load:.1f}\n"
    )


INTRO = """\
Written by `make bench`. Whole processes on made-up mail (`bench/mails.py`); each work runs in turn with its floor, so
that whatever else the machine does touches both. *Ratio* is the median over the rounds of wall time by the floor's;
*CPU* is user and system time of the process and all it started. The floor of what reads is `python -c "import click"`;
of what writes, a commit made durable by plain git (`commit-tree`, `update-ref`) in the same desk.
"""


def document(bench: Bench, before: str) -> str:
    """Return the results as a page; what people wrote below ``KEPT`` in the page ``before`` stays."""
    _, _, kept = before.partition(KEPT)
    return f"# Results\n\n{INTRO}\n{facts(bench)}\n{table(bench.rows)}\n{KEPT}{kept or chr(10)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100 and 2,000 tickets, 1,000 mails, three runs")
    parser.add_argument("--sizes", help="tickets of the desks, with commas (100,10000,100000)")
    parser.add_argument("--mails", type=int, help="mails in the mbox that is received (10000)")
    parser.add_argument("--runs", type=int, help="rounds of each work (7)")
    parser.add_argument(
        "--work", type=Path, help="folder in which desks are kept for the next time (default: none are)"
    )
    parser.add_argument("--only", action="append", choices=list(WORKS), help="measure just this; may be repeated")
    parser.add_argument(
        "--output", type=Path, help="write the page here (default: bench/RESULTS.md if all was measured)"
    )
    given = parser.parse_args()
    sizes = sorted({int(s) for s in (given.sizes or ("100,2000" if given.quick else "100,10000,100000")).split(",")})
    with tempfile.TemporaryDirectory(prefix="vrt-bench-") as folder:
        bench = Bench(
            sizes, given.runs or (3 if given.quick else 7), given.mails or (1000 if given.quick else 10_000),
            (given.work or Path(folder)).resolve(),
        )  # fmt: skip
        bench.work.mkdir(parents=True, exist_ok=True)
        for name in given.only or WORKS:
            WORKS[name](bench)
            say(f"{name}: done")
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    print(table(bench.rows), end="")
    output = given.output or (None if given.only or given.quick else HERE / "RESULTS.md")
    if output:
        output.write_text(document(bench, output.read_text() if output.exists() else ""))


if __name__ == "__main__":
    main()
