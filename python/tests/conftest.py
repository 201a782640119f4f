"""Runs that are asked, recorded by the recorder of the workspace.

``STRATIGRAPH_BIN`` is the directory of its programs; what needs them is skipped without it.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import stratigraph_nn as sg


# Studies of few neurons take little time.
SMALL = ("--hidden", "24,12")


def _program(name: str) -> Path:
    directory = os.environ.get("STRATIGRAPH_BIN")
    path = Path(directory or "", name)
    if directory is None or not path.exists():
        pytest.skip(f"STRATIGRAPH_BIN names no directory with the program {name}: this is not tested")
    return path


@pytest.fixture(scope="session")
def query_program() -> Path:
    return _program("query")


def record(into: Path, *options: str) -> Path:
    command = [_program("recorder"), "train", "--out", into, *options]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return into


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six epochs that nobody changes."""
    into = tmp_path_factory.mktemp("runs") / "digits"
    return record(into, "--epochs", "6", *SMALL)


@pytest.fixture(scope="session")
def other_recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with another seed."""
    into = tmp_path_factory.mktemp("runs") / "other"
    return record(into, "--epochs", "6", "--seed", "7", *SMALL)


@pytest.fixture()
def own_recorded(tmp_path: Path) -> Path:
    """A run of the test's own, to be changed."""
    return record(tmp_path / "own", "--epochs", "4", *SMALL)


@pytest.fixture(scope="session")
def run(recorded: Path) -> sg.Run:
    return sg.open(recorded)
