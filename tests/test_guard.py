"""The guard of the other tests: one that touches the caller's real keys or configuration fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def run(folder: Path, test: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run one test, with this folder's conftest, as somebody whose real home is ``folder/home``."""
    home = folder / "home"
    (home / ".config" / "vrt").mkdir(parents=True, exist_ok=True)
    (home / ".config" / "vrt" / "identity.txt").write_text("the real key")
    (home / ".ssh").mkdir(exist_ok=True)
    (folder / "conftest.py").write_text((HERE / "conftest.py").read_text())
    (folder / "test_it.py").write_text(f"import os\nfrom pathlib import Path\nREAL = Path({str(home)!r})\n\n{test}")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), "test_it.py"],
        capture_output=True, text=True, check=False, cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(HERE.parent), **env},
    )  # fmt: skip


BAD = {
    "a new file": "def test_it():\n    (REAL / '.config/vrt/new').write_text('x')\n",
    "a changed key": "def test_it():\n    (REAL / '.config/vrt/identity.txt').write_text('other')\n",
    "a removed key": "def test_it():\n    (REAL / '.config/vrt/identity.txt').unlink()\n",
    "a new SSH key": "def test_it():\n    (REAL / '.ssh/id_ed25519').write_text('x')\n",
    "a folder": "def test_it():\n    (REAL / '.config/vrt/sub').mkdir()\n",
}


@pytest.mark.parametrize("what", BAD)
def test_touching_the_real_home_fails(what: str, tmp_path: Path) -> None:
    done = run(tmp_path, BAD[what])
    assert done.returncode == 1, done.stdout
    assert "a test touched the real home folder" in done.stdout


def test_a_test_that_keeps_to_itself_passes(tmp_path: Path) -> None:
    done = run(tmp_path, "def test_it(tmp_path):\n    (tmp_path / 'x').write_text('x')\n")
    assert done.returncode == 0, done.stdout


def test_home_and_agents_are_others(tmp_path: Path) -> None:
    """What a test starts sees neither the real home nor the caller's agent, desk or git."""
    test = (
        "def test_it():\n"
        "    assert Path.home() != REAL\n"
        "    assert not set(os.environ) & {'SSH_AUTH_SOCK', 'VRT_HOME', 'VRT_DESK', 'GIT_DIR', 'XDG_CONFIG_HOME'}\n"
    )
    real = {"SSH_AUTH_SOCK": "/run/agent", "VRT_HOME": "/real", "VRT_DESK": "/real", "GIT_DIR": "/real"}
    done = run(tmp_path, test, XDG_CONFIG_HOME="/real", **real)
    assert done.returncode == 0, done.stdout


def test_vrt_itself_writes_elsewhere(tmp_path: Path) -> None:
    """A whole desk is made without a trace in the real home."""
    test = "def test_it(alice):\n    assert alice.json('list') == []\n"
    done = run(tmp_path, test)
    assert done.returncode == 0, done.stdout
    assert [p.name for p in (tmp_path / "home").rglob("*") if p.is_file()] == ["identity.txt"]
