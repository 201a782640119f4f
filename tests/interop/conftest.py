"""What the tests are given: the programs, real runs, and a second DuckDB.

STRATIGRAPH_QUERY       path of the `query` binary
STRATIGRAPH_RECORDER    path of the `recorder` binary
STRATIGRAPH_RUNS        run directories, separated as PATH is: a notebook run, a digits run, and others
STRATIGRAPH_DUCKDB_1_5  directory that holds DuckDB 1.5 (default: duckdb-1.5 in the virtual environment)

Where CI is set a missing one is a failure; elsewhere the tests that need it are skipped, with the reason in the summary.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import make_trace

DUCKDB_VERSIONS = ("1.5", "2.0")


def missing(what):
    """Fails in CI, where nothing may be skipped; elsewhere skips aloud."""
    if os.environ.get("CI"):
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


def pytest_configure(config):
    # `-rs` without having to ask: a skipped test is named in the summary with its reason.
    if "s" not in config.option.reportchars:
        config.option.reportchars += "s"


class Query:
    """The `query` program; every result is read back from a file that it wrote."""

    def __init__(self, program, directory):
        self.program, self.directory, self.count = program, directory, 0

    def write(self, *arguments, format):
        self.count += 1
        file = self.directory / f"{self.count}.{format}"
        command = [self.program, *map(str, arguments), "--format", format, "-o", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{' '.join(command)} exited {done.returncode}:\n{done.stderr}"
        return file

    def table(self, *arguments):
        return pq.read_table(self.write(*arguments, format="parquet"))

    def named(self, name, run, **parameters):
        return self.table("run", name, run, *(f"--param={key}={value}" for key, value in parameters.items()))

    def sql(self, run, statement):
        return self.table("sql", run, statement)


@pytest.fixture(scope="session")
def query(tmp_path_factory):
    program = os.environ.get("STRATIGRAPH_QUERY")
    if not program:
        missing("STRATIGRAPH_QUERY is not set: the path of the query binary")
    return Query(program, tmp_path_factory.mktemp("query"))


@pytest.fixture(scope="session")
def recorder():
    """Runs the `recorder` program, and returns what it printed."""
    program = os.environ.get("STRATIGRAPH_RECORDER")
    if not program:
        missing("STRATIGRAPH_RECORDER is not set: the path of the recorder binary")

    def run(*arguments):
        command = [program, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{' '.join(command)} exited {done.returncode}:\n{done.stderr}"
        return done.stdout

    return run


def real_runs():
    return [Path(run) for run in os.environ.get("STRATIGRAPH_RUNS", "").split(os.pathsep) if run]


@pytest.fixture(scope="session", params=real_runs() or [None], ids=lambda run: run.name if run else "no-run")
def real_run(request):
    """Each real run in turn."""
    if request.param is None:
        missing("STRATIGRAPH_RUNS is not set: a notebook run and a digits run")
    return request.param


@pytest.fixture(scope="session")
def digits_run():
    """The real run whose held-out samples lie in the repository."""
    for run in real_runs():
        if json.loads((run / "run.json").read_text())["dataset"]["kind"] == "digits":
            return run
    missing("STRATIGRAPH_RUNS names no run of the digits")


@pytest.fixture(scope="session")
def synthetic_run(tmp_path_factory):
    """A run whose labels need percent-encoding, with ten classes and the untrained network as epoch -1."""
    directory = tmp_path_factory.mktemp("runs") / "labels"
    labels = ["L_a/b", "L_50% ~ü", "L_output"]
    return make_trace.synthetic_run(directory, sizes=(6, 5, 4, 10), labels=labels, first_epoch=-1)


class DuckDb:
    """One DuckDB version in a process of its own, so that both can be asked in one test session."""

    def __init__(self, version, directory, path):
        self.version, self.directory, self.path, self.count = version, directory, path, 0

    def query(self, statement, setup=()):
        """Runs `setup`, then `statement`: its column types by name, and its rows as an Arrow table."""
        self.count += 1
        file = self.directory / f"{self.count}.parquet"
        request = {"setup": [str(step) for step in setup], "statement": statement, "output": str(file)}
        environment = os.environ | ({"PYTHONPATH": str(self.path)} if self.path else {})
        worker = Path(__file__).with_name("duckdb_worker.py")
        done = subprocess.run(
            [sys.executable, worker], input=json.dumps(request), env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"DuckDB {self.version}: {done.stderr}"
        reply = json.loads(done.stdout)
        assert reply["version"].startswith(self.version + "."), reply["version"]
        return reply["types"], pq.read_table(file)


@pytest.fixture(scope="session", params=DUCKDB_VERSIONS, ids=lambda version: f"duckdb-{version}")
def duckdb(request, tmp_path_factory):
    """Each supported DuckDB in turn."""
    path = None
    if request.param == "1.5":
        path = Path(os.environ.get("STRATIGRAPH_DUCKDB_1_5", Path(sys.prefix) / "duckdb-1.5"))
        if not (path / "duckdb").is_dir():
            missing(f"{path} holds no DuckDB 1.5: see requirements-duckdb-1.5.txt")
    return DuckDb(request.param, tmp_path_factory.mktemp("duckdb"), path)
