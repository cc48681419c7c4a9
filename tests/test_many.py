"""Many hands at one desk: nothing that was done is lost or there twice, whoever was faster, whatever was cut off."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hands import Hand
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from many import Far, Many, play

from vrt.errors import TryAgain
from vrt.storage.git import Repository


def lost_nothing(folder: Path, agents: int, acts: int, *, ssh: bool, kill: float, seed: int = 0) -> dict[str, Any]:
    figures, wrong = play(folder, agents, acts, ssh=ssh, seed=seed, kill=kill)
    assert not wrong, "\n".join(wrong)
    return figures


def test_many_hands_and_pulled_plugs(tmp_path: Path) -> None:
    assert lost_nothing(tmp_path, 4, 10, ssh=False, kill=0.15)["kills"]


needs_sshd = pytest.mark.skipif(not Path("/usr/sbin/sshd").exists(), reason="sshd is not installed")


@needs_sshd
def test_many_hands_through_a_real_sshd(tmp_path: Path) -> None:
    lost_nothing(tmp_path, 3, 6, ssh=True, kill=0.1)
    assert b"Accepted publickey" in (tmp_path / "ssh/sshd.log").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("ssh", [False, pytest.param(True, marks=needs_sshd)], ids=["file", "ssh"])
def test_twenty_clones(tmp_path: Path, ssh: bool) -> None:
    """20 clones of 20 agents, and two nodes, each doing 50 acts."""
    lost_nothing(tmp_path, 20, 50, ssh=ssh, kill=0.1, seed=int.from_bytes(os.urandom(4)))


# --- any step failing -----------------------------------------------------------------------------------


class Dead(BaseException):
    """The machine went down."""


@contextmanager
def failing(at: int, fails: Callable[[], BaseException], names: tuple[str, ...] = ()) -> Iterator[None]:
    """Let the git that is started as number ``at`` (of those named) fail, and if the machine went down all after it."""
    count, start, dead = 0, Repository.start, False

    def started(self: Repository, *args: str, **more: Any) -> Any:
        nonlocal count, dead
        count += not names or args[0] in names
        if dead or count == at:
            count += 1
            error = fails()
            dead = isinstance(error, Dead)
            raise error
        return start(self, *args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Repository, "start", started)
        yield


class Here(Many):
    """The same in this process: orders are carried out as they are given."""

    def ask(self, handle: str, do: str, **order: Any) -> Any:
        far = self.hands[handle]
        assert far.person.desk is not None
        with pytest.MonkeyPatch.context() as patch:
            for name, value in far.person.env.items():
                patch.setenv(name, value)
            hand = Hand(handle, far.person.home, far.person.desk, self.victims)
            return json.loads(json.dumps(getattr(hand, do)(order)))

    def _hang_up(self, far: Far) -> None:
        """There is nobody to hang up on."""

    def copy(self, folder: Path) -> Here:
        """The same hands and clones elsewhere."""
        shutil.copytree(self.folder, folder)
        other = Here(folder, len(self.hands) - 2)
        other.connect(str(other.host))
        return other


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Here:
    """Alice and bob, who are admins, and an agent; with an intake node and a mailer."""
    made = Here(tmp_path_factory.mktemp("many") / "base", 3)
    made.found()
    return made


WHO = st.sampled_from(["alice", "bob", "agent-1", "mx"])
WHAT = st.sampled_from(
    ["note", "reply", "draft", "approve", "new", "take", "release", "assign", "route", "route2", "merge", "unmerge",
     "split", "move", "accept", "close", "pend", "link", "undo", "receive", "receive", "administer", "administer"]
)  # fmt: skip
SEED, AT = st.integers(0, 1 << 16), st.integers(1, 40)


def machine(base: Here, folder: Path) -> type[RuleBasedStateMachine]:
    """Return the machine that begins each of its runs with a copy of ``base`` in ``folder``."""

    class Machine(RuleBasedStateMachine):
        """Clones of one desk, where any step may fail."""

        def __init__(self) -> None:
            super().__init__()
            shutil.rmtree(folder / "run", ignore_errors=True)
            self.many = base.copy(folder / "run")
            self.log: list[str] = []

        def order(self, who: str, do: str, **order: Any) -> None:
            done = {}
            try:
                done = self.many.ask(who, do, **order)
                self.many._take(self.many.hands[who], done)
            except Dead:
                self.many.hands[who].killed[order.get("argv", [do])[0]] += 1
            self.log.append(f"{who}: {done.get('argv') or do} {done.get('code')} {done.get('err', '')[:200]}")

        @rule(who=WHO, what=WHAT, seed=SEED)
        def acts(self, who: str, what: str, seed: int) -> None:
            self.order(who, "act", what=what, seed=seed)

        @rule(who=WHO, what=WHAT, seed=SEED, at=AT)
        def acts_and_dies(self, who: str, what: str, seed: int, at: int) -> None:
            with failing(at, Dead):
                self.order(who, "act", what=what, seed=seed)

        @rule(who=WHO)
        def syncs(self, who: str) -> None:
            self.order(who, "command", argv=["sync"])

        @rule(who=WHO, at=AT)
        def syncs_and_dies(self, who: str, at: int) -> None:
            with failing(at, Dead):
                self.order(who, "command", argv=["sync"])

        @rule(who=WHO, at=AT)
        def syncs_while_a_step_fails(self, who: str, at: int) -> None:
            with failing(at, lambda: TryAgain("the disk is full")):
                self.order(who, "command", argv=["sync"])

        @rule(who=WHO, other=WHO, what=WHAT, seed=SEED)
        def syncs_while_another_is_faster(self, who: str, other: str, what: str, seed: int) -> None:
            start, once = Repository.start, [1]

            def raced(repository: Repository, *args: str, **more: Any) -> Any:
                if args[0] == "push" and once and who != other:
                    once.clear()
                    self.order(other, "act", what=what, seed=seed)
                    self.order(other, "command", argv=["sync"])
                return start(repository, *args, **more)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Repository, "start", raced)
                self.order(who, "command", argv=["sync"])

        @rule(who=WHO, what=st.sampled_from(["refuses", "is away", "is slow to say"]))
        def syncs_while_the_remote(self, who: str, what: str) -> None:
            host, lock = self.many.host, self.many.host / "refs/heads/main.lock"
            if what == "refuses":
                lock.touch()
                self.order(who, "command", argv=["sync"])
                lock.unlink()
            elif what == "is away":
                host.rename(host.with_suffix(".away"))
                self.order(who, "command", argv=["sync"])
                host.with_suffix(".away").rename(host)
            else:  # it took what was pushed, and the line was cut before it said so
                self.after_push(who)

        def after_push(self, who: str) -> None:
            start = Repository.start

            def cut(repository: Repository, *args: str, **more: Any) -> Any:
                running = start(repository, *args, **more)
                if args[0] == "push":
                    running.wait()
                    raise Dead
                return running

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Repository, "start", cut)
                self.order(who, "command", argv=["sync"])

        def teardown(self) -> None:
            self.many.settle()
            self.many.check()
            assert not self.many.wrong, "\n".join([*self.many.wrong, *self.log])

    return Machine


def played(base: Here, folder: Path, runs: int, steps: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        machine(base, folder),
        settings=settings(max_examples=runs, stateful_step_count=steps, deadline=None, suppress_health_check=checks,
                          phases=[Phase.generate], database=None, report_multiple_bugs=False),
    )  # fmt: skip


def test_any_step_may_fail(base: Here, tmp_path: Path) -> None:
    played(base, tmp_path, 3, 12)


@pytest.mark.slow
def test_any_step_may_fail_often(base: Here, tmp_path: Path) -> None:
    played(base, tmp_path, 100, 40)
