"""A run that is asked."""

from __future__ import annotations

import __future__
import ast
import contextlib
import inspect
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import pytest

import stratigraph_nn as sg
from stratigraph_nn import _native, _queries, _run


def _own_names() -> set[str]:
    """What a Run has that is no named query."""
    queries = {name for name, *_ in _native.named_queries()}
    bases = [base for base in sg.Run.__mro__ if base not in (object, _queries.Queries)]
    own = set().union(*(vars(base) for base in bases))
    return own | {name for name in vars(_queries.Queries) if name not in queries}


def test_no_named_query_hides_what_a_run_has():
    queries = {name for name, *_ in _native.named_queries()}
    assert len(queries) > 20
    assert not queries & _own_names()


def test_every_named_query_is_a_method_with_its_documentation(run):
    for name, purpose, parameters, columns in _native.named_queries():
        method = getattr(sg.Run, name)
        assert purpose.split()[0] in method.__doc__
        for parameter, *_ in parameters:
            assert parameter in method.__doc__
        for column, *_ in columns:
            assert column in method.__doc__
    assert "class_" in inspect.signature(sg.Run.structure_scores).parameters
    assert inspect.signature(sg.Run.structure_scores).parameters["top"].default == 20


def test_the_stub_is_that_of_the_queries():
    stub = Path(_queries.__file__).with_suffix(".pyi")
    assert stub.read_text() == _queries.stub(), "python -m stratigraph_nn._queries > _queries.pyi"


def test_sql_and_named_queries_answer(run):
    layers = run.sql("SELECT DISTINCT layer FROM weights ORDER BY layer").rows()
    assert ("L_input",) in layers
    one = run.by_neuron(layer="L_input")
    same = run.query("by_neuron", layer="L_input")
    assert one.columns == ["neuron", "layer", "weights"]
    assert one.rows() == same.rows()
    assert one.schema["weights"] == "List(Float32)"


def test_parameters_are_what_python_has(run):
    of_class = run.structure_scores(class_=3, permutations=0, top=2).to_dicts()
    assert {row["class"] for row in of_class} == {3}
    assert run.structure_scores(class_="3", permutations=0, top=2).rows() == [
        tuple(row.values()) for row in of_class
    ]
    wide = run.by_neuron(layer="L_input", wide=True)
    assert wide.columns[:3] == ["neuron", "layer", "w_0"]


def test_errors_are_of_one_family_with_the_words_of_the_command_line(run, tmp_path):
    with pytest.raises(sg.QueryError, match="structure_score"):
        run.query("structure_score")
    with pytest.raises(sg.StratigraphError, match="epoch"):
        run.confusion(epoch=999)
    with pytest.raises(sg.QueryError, match="weights"):
        run.sql("SELECT * FROM weihgts")
    with pytest.raises(sg.QueryError, match="only reads"):
        run.sql("CREATE TABLE a AS SELECT 1")
    with pytest.raises(sg.QueryError):
        sg.open(tmp_path)
    with pytest.raises(sg.QueryError, match="did you mean|association"):
        run.plot("associations")


def test_errors_are_of_one_family_and_the_page_says_what_each_is():
    errors = {name: getattr(sg, name) for name in sg.__all__ if name.endswith("Error")}
    assert all(issubclass(kind, sg.StratigraphError) and kind.__doc__ for kind in errors.values())
    page = Path(__file__).parents[2].joinpath("docs/python.md").read_text()
    rows = re.findall(r"^\| `(\w+Error)`(?:, (?:also )?an? `(\w+)`)? \|", page, re.MULTILINE)
    assert {name for name, _ in rows} == {*errors} - {"StratigraphError"}
    for name, base in rows:
        known = {"": sg.StratigraphError, "ValueError": ValueError} | errors
        assert issubclass(errors[name], known[base]) and errors[name] is not known[base], name


def test_the_stub_of_the_extension_says_what_is_there():
    stub = ast.parse(Path(sg.__file__).with_name("_native.pyi").read_text())
    told = {node.name: node for node in stub.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assert {name for name in vars(_native) if not name.startswith("_")} == {*told}
    for name, node in told.items():
        there = getattr(_native, name)
        if isinstance(node, ast.FunctionDef):
            require_same_parameters(there, node)
            continue
        told_members = {each.name: each for each in node.body if isinstance(each, ast.FunctionDef)}
        told_members |= {each.target.id: each for each in node.body if isinstance(each, ast.AnnAssign)}
        members = {member for member in vars(there) if not member.startswith("_")}
        assert members == {member for member in told_members if not member.startswith("_")}, name
        for member, of in told_members.items():
            value = inspect.getattr_static(there, member)
            if isinstance(of, ast.FunctionDef) and not of.decorator_list and not member.startswith("__"):
                require_same_parameters(value, of)


def require_same_parameters(there, told):
    # Some are words that Python has for something else, which `inspect` does not read.
    given = [each.strip().lstrip("$*").partition("=") for each in there.__text_signature__[1:-1].split(",")]
    given = [each for each in given if each[0] not in ("", "/", "self")]
    names = [{"class": "class_"}.get(name, name) for name, *_ in given]
    arguments = (*told.args.args, *([told.args.vararg] if told.args.vararg else []), *told.args.kwonlyargs)
    assert names == [argument.arg for argument in arguments if argument.arg != "self"], told.name
    defaults = [ast.literal_eval(value) for _, equals, value in given if equals]
    assert defaults == [ast.literal_eval(each) for each in told.args.defaults] and not told.args.kwonlyargs, told.name


def told_types():
    """The stub as a module, whose names it has for the extension's classes."""
    stub = Path(sg.__file__).with_name("_native.pyi").read_text()
    names = {"__name__": "_native"}
    exec(compile(stub, "_native.pyi", "exec", flags=__future__.annotations.compiler_flag), names)
    return names


def is_of(value, kind):
    """Whether a value is of a type that the stub tells."""
    of, arguments = get_origin(kind), get_args(kind)
    if of is UnionType:
        return any(is_of(value, each) for each in arguments)
    if of is list:
        return type(value) is list and all(is_of(each, arguments[0]) for each in value)
    if of is tuple and arguments[1:] != (...,):
        fits = type(value) is tuple and len(value) == len(arguments)
        return fits and all(is_of(each, of_each) for each, of_each in zip(value, arguments, strict=True))
    if of is tuple:
        return type(value) is tuple and all(is_of(each, arguments[0]) for each in value)
    if kind is Any:
        return True
    if isinstance(kind, type) and kind.__module__ == "_native":
        kind = getattr(_native, kind.__name__)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def test_the_stub_of_the_extension_says_of_what_types_values_are(recorded, tmp_path):
    names = told_types()
    run = _native.Run(recorded)
    recording = sg.record(None, tmp_path / "new")
    assert recording.capture({"a.weight": np.ones((2, 3), np.float32)})
    recorder = recording._native
    ablation = _native.Ablation(run, "last", None, ["0"], "zero", None, None, 3, None, None, None)
    chart = run.plot("curves", [])
    assert is_of(chart, names["Chart"]) and is_of(chart.draw("svg", "light", 1), bytes)
    objects = (run, run.sql("SELECT neuron, layer FROM weights LIMIT 2"), recorder, ablation)
    checked = set()
    for there, name in [(_native, None), *((each, type(each).__name__) for each in objects)]:
        told = vars(names[name]) if name else {key: value for key, value in names.items() if inspect.isfunction(value)}
        for member, of in told.items():
            is_property = isinstance(of, property)
            function = of.fget if is_property else of
            if not inspect.isfunction(function) or member.startswith("__") or member in ("finish", "miss", "publish"):
                continue
            if set(inspect.signature(function).parameters) > {"self"} or (not name and function.__code__.co_argcount):
                continue
            kind = get_type_hints(function, names)["return"]
            value = getattr(there, member) if is_property else getattr(there, member)()
            if kind not in (object, type(None)):
                assert is_of(value, kind), (name, member, kind, value)
                checked.add((name, member))
    for each in ("path", "parameters", "selected", "failure", "take_changes", "is_disk_full"):
        assert ("Recorder", each) in checked
    assert {("Run", "path"), ("Run", "epochs"), ("Rows", "types"), ("Ablation", "layers"), (None, "plot_kinds")} <= checked
    finding = ("last", "3", None, 2, "positive", "correlation", "all", 5, 100, "mine", False, True)
    found = run.find_structures(*finding)
    assert found and is_of(found, get_type_hints(names["Run"].find_structures, names)["return"])
    recording.finish()


def test_what_a_run_is(run, recorded):
    assert run.path == recorded
    assert os.fspath(run) == str(recorded)
    assert run.epochs == [0, 1, 2, 3, 4, 5]
    assert not run.is_being_recorded
    assert run.info["layers"]
    assert "weights" in run.tables
    assert "6 epochs captured" in repr(run)
    assert "by_neuron" in run.queries()
    assert "by_neuron" in run.list()
    assert "weight_l2" in run.describe("weights")
    assert sg.describe("vec_mean") == run.describe("vec_mean")


def test_a_picture_is_drawn_and_saved_by_its_ending(run, tmp_path):
    plot = run.plot("network", epoch=5)
    assert plot._repr_svg_().lstrip().startswith(("<svg", "<?xml"))
    assert plot.save(tmp_path / "x.svg").read_text() == plot.svg()
    assert plot.save(tmp_path / "x.png", scale=1).read_bytes().startswith(b"\x89PNG")
    assert "<html" in plot.save(tmp_path / "x.html").read_text()
    with pytest.raises(sg.QueryError, match="x.pdf"):
        plot.save(tmp_path / "x.pdf")
    assert "epoch" in _run.plot_parameters("network")


def test_a_report_is_written(run, tmp_path):
    page = run.report(tmp_path / "report.html", epochs=2, permutations=99)
    assert "<html" in page.read_text()
    with pytest.raises(sg.QueryError):
        run.report(page, epochs=2, permutations=99, overwrite=False)
    with pytest.raises(sg.QueryError, match="report.pdf"):
        run.report(tmp_path / "report.pdf")


def test_studies_answer(run, other_recorded):
    placed = run.embed(method="pca", layer="L_input")
    assert len(placed) == 24 and placed.notes
    phases = run.phases()
    assert phases.notes
    # What is said beside the rows is shown below them.
    assert repr(phases).splitlines()[-len(phases.notes) :] == phases.notes
    assert all(note.replace("'", "&#x27;") in phases._repr_html_() for note in phases.notes)
    compared = run.compare(other_recorded, epoch="last")
    assert compared.columns == ["epoch", "layer", "cka", "num_samples", "weight_distance"]
    assert all(0 <= row["cka"] <= 1 for row in compared.to_dicts())
    learned = run.meta(top=3, trees=10)
    assert len(learned) == 3 and "forest" in learned.notes[0]


def test_a_run_is_verified(own_recorded):
    run = sg.open(own_recorded)
    assert run.verify().is_whole
    part = next(own_recorded.glob("weights/**/*.parquet"))
    part.write_bytes(part.read_bytes()[:-1])
    found = run.verify()
    assert not found.is_whole
    assert found.problems[0]["path"].startswith("weights/")


def test_structures_are_found_named_and_looked_up(own_recorded):
    run = sg.open(own_recorded)
    assert len(run.structures) == 0
    tried = run.structures.find(permutations=99, dry_run=True)
    assert tried and len(run.structures) == 0
    found = run.structures.find(permutations=99)
    assert [one.label for one in found] == [one.label for one in tried]
    name = found[0].label
    one = run.structures[name]
    assert one.neurons == found[0].neurons
    assert one.class_ == found[0].class_
    first = one.neurons[0]
    layers = {layer["layer"]: layer for layer in run.info["layers"]}
    assert first.layer in layers
    assert first.unit in one.units[first.layer]
    weights = run.sql(
        f"SELECT DISTINCT neuron FROM weights WHERE layer = '{first.layer}' ORDER BY neuron"
    ).rows()
    assert weights[first.unit] == (first.neuron,)
    assert one.power().auc > 0.5
    assert name in run.structures and "nothing" not in run.structures
    with pytest.raises(sg.QueryError, match=name):
        run.structures[name + "x"]
    renamed = run.structures.label(name, "loops")
    assert renamed.neurons == one.neurons and name not in run.structures
    mine = run.structures.label("mine", neurons=[first.neuron], class_=3, epochs=range(1, 3))
    assert repr(mine) == f"<Structure 'mine' of class 3: {first.layer} {first.unit}>"
    assert mine.layer == first.layer and mine.neurons[0].first_epoch == 1
    assert mine.neurons[0].last_epoch == 2
    with pytest.raises(sg.QueryError, match="already"):
        run.structures.label("mine", neurons=[first.neuron])
    assert "loops" in run.structures.list().to_dicts()[0]["name"] or len(run.structures.list()) > 1
    assert "mine" in repr(run.structures)


def test_refresh_takes_in_what_was_committed_since(own_recorded):
    run = sg.open(own_recorded)
    before = run.sql("SELECT count(*) AS n FROM structures")
    sg.open(own_recorded).structures.label("mine", neurons=[1])
    assert before.rows() == [(0,)]
    assert run.sql("SELECT count(*) AS n FROM structures").rows() == [(0,)]
    assert run.refresh() is run
    assert run.sql("SELECT count(*) AS n FROM structures").rows() == [(1,)]


def test_what_was_taken_back_meanwhile_is_asked_of_the_run_as_it_is_then(own_recorded, tmp_path):
    other = sg.open(own_recorded)
    other.structures.label("mine", neurons=[1])
    run = sg.open(own_recorded)
    structures = run.sql("SELECT name, neuron FROM structures")
    other.refresh().structures.label("mine", neurons=[2], force=True)
    assert structures.rows() == [("mine", 2)]
    assert structures.to_arrow().num_rows == 1
    run.report(tmp_path / "report.html")
    assert run.refresh().sql("SELECT neuron FROM structures").rows() == [(2,)]


def test_another_run_in_the_place_of_one_is_told_apart(own_recorded, other_recorded):
    run = sg.open(own_recorded)
    shutil.rmtree(own_recorded)
    shutil.copytree(other_recorded, own_recorded)
    with pytest.raises(sg.QueryError, match="another run is in .* open it anew"):
        run.refresh()


def _refused(directory: Path) -> Iterator[str]:
    """What SQL over a run refuses: the statements of a table that the tests in Rust have, too."""
    table = Path(__file__).parents[2] / "tests" / "slt" / "read_only.slt"
    for record in table.read_text().replace("$__TEST_DIR__", str(directory)).split("\n\n"):
        if record.strip().startswith("query error "):
            yield record.strip().split("\n", 1)[1]


def test_sql_is_refused_that_is_no_question(run, tmp_path):
    (tmp_path / "notes.csv").write_text("a\n7351\n")
    refused = list(_refused(tmp_path))
    assert len(refused) > 200
    for statement in refused:
        with pytest.raises(sg.QueryError) as error:
            run.sql(statement).rows()
        assert "7351" not in str(error.value), statement
    assert [path.name for path in tmp_path.iterdir()] == ["notes.csv"]
    with pytest.raises(sg.QueryError, match="there is no table"):
        run.table(str(tmp_path / "notes.csv")).rows()


def _endless(num_tables: int, names: str = "abcdef") -> str:
    """A query that takes much longer than anybody waits for it here."""
    tables = ", ".join(f"weights {name}" for name in names[:num_tables])
    condition = " + ".join(f"{name}.neuron" for name in names[1:num_tables])
    return f"SELECT count(*) FROM {tables} WHERE {condition} > a.neuron * 1.5"


@contextlib.contextmanager
def _pressed() -> Iterator[None]:
    """Ctrl-C comes soon, and what it ends does not take long then."""
    presser = threading.Timer(0.7, os.kill, [os.getpid(), signal.SIGINT])
    began = time.monotonic()
    presser.start()
    try:
        yield
    finally:
        presser.join()
    assert time.monotonic() - began < 10


def _busy() -> float:
    """What share of a second the process spends working."""
    before = time.process_time()
    time.sleep(1)
    return time.process_time() - before


# Joins of more tables keep those of fewer, and work at them for long between two batches.
@pytest.mark.parametrize("num_tables", [2, 3, 4, 6])
@pytest.mark.parametrize("read", [sg.Result.rows, sg.Result.to_arrow, sg.Result.to_polars, repr, len])
def test_ctrl_c_gives_a_query_up(run, read, num_tables):
    # It is the query that is interrupted, not the import of a library.
    pytest.importorskip("polars")
    pytest.importorskip("pyarrow")
    query = _endless(num_tables) if num_tables > 2 else _LONG
    with _pressed(), pytest.raises(KeyboardInterrupt):
        read(run.sql(query))
    # It goes on answering, at once.
    began = time.monotonic()
    assert run.sql("SELECT count(*) FROM weights").rows()[0][0] > 0
    assert time.monotonic() - began < 10
    # What was given up ends, and does not go on for nobody.
    assert any(_busy() < 0.5 for _ in range(20))


#: A row of a small side finds thousands of the other's.
_LONG = """
SELECT sum(a.x * b.x) FROM (SELECT unnest(range(0, 60000)) AS x, 1 AS key) a
JOIN (SELECT unnest(range(0, 60000)) AS x, 1 AS key) b ON a.key = b.key
"""


@pytest.mark.parametrize("read", [sg.Result.rows, repr, len])
def test_an_answer_that_takes_too_long_is_given_up(recorded, read):
    run = sg.open(recorded, timeout=0.5)
    began = time.monotonic()
    with pytest.raises(sg.QueryTimeoutError, match=r"no answer within 500ms, and `timeout=` sets how long"):
        read(run.sql(_LONG))
    assert isinstance(sg.QueryTimeoutError("x"), sg.QueryError)
    # It goes on answering, at once.
    assert run.sql("SELECT count(*) FROM layers").rows()[0][0] > 0
    assert time.monotonic() - began < 10
    assert any(_busy() < 0.5 for _ in range(20))


def test_who_reads_a_stream_is_told_that_it_takes_too_long(recorded):
    pa = pytest.importorskip("pyarrow")
    with pytest.raises(sg.QueryTimeoutError, match="no answer within 500ms"):
        pa.table(sg.open(recorded, timeout=0.5).sql(_endless(4)))


def test_a_report_that_takes_too_long_leaves_no_file(recorded, tmp_path):
    run = sg.open(recorded, timeout=0.05)
    with pytest.raises(sg.QueryTimeoutError):
        run.report(tmp_path / "report.html")
    with pytest.raises(sg.QueryTimeoutError):
        run.plot("association", permutations=500_000)
    assert not list(tmp_path.iterdir())
    for timeout in (0, -1, float("nan")):
        with pytest.raises(sg.QueryError, match="timeout: expected seconds"):
            sg.open(recorded, timeout=timeout)


def test_ctrl_c_reaches_whoever_reads_a_stream(run):
    pa = pytest.importorskip("pyarrow")
    with _pressed(), pytest.raises(KeyboardInterrupt):
        pa.table(run.sql(_endless(4)))
    assert run.sql("SELECT 1").rows() == [(1,)]


def test_ctrl_c_leaves_what_other_threads_ask_alone(run):
    answered = []
    asking = threading.Thread(target=lambda: answered.append(run.structure_scores(permutations=20_000).rows()))
    asking.start()
    with _pressed(), pytest.raises(KeyboardInterrupt):
        run.sql(_endless(4)).rows()
    asking.join(120)
    assert answered and answered[0]


def test_other_threads_go_on_meanwhile(run):
    counted = 0
    done = threading.Event()

    def ask() -> None:
        run.structure_scores(permutations=5000).rows()
        done.set()

    asking = threading.Thread(target=ask)
    asking.start()
    while not done.is_set():
        counted += 1
        time.sleep(0.001)
    asking.join()
    assert counted > 3


def test_a_process_that_was_forked_off_has_threads_of_its_own(recorded):
    code = f"""
import os, sys
import stratigraph_nn as sg
run = sg.open({str(recorded)!r})
assert run.sql("SELECT 1").rows() == [(1,)]
child = os.fork()
if child == 0:
    ok = run.sql("SELECT count(*) FROM weights").rows()[0][0] > 0
    os._exit(0 if ok else 1)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    subprocess.run(command, check=True, timeout=60)


def test_importing_loads_nothing_else():
    code = """
import sys
import stratigraph_nn
heavy = {"numpy", "torch", "pandas", "polars", "pyarrow", "duckdb"} & set(sys.modules)
assert not heavy, heavy
stratigraph_nn.open, stratigraph_nn.Result, stratigraph_nn.QueryError
assert stratigraph_nn.__version__
heavy = {"numpy", "torch", "pandas", "polars", "pyarrow", "duckdb"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
