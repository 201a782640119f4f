"""The command ``stratigraph``: the programs' own verbs."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

COMMAND = [sys.executable, "-m", "stratigraph_nn"]


def call(*arguments: object, command: list[str] = COMMAND) -> subprocess.CompletedProcess[str]:
    words = [*command, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)


VERBS = """sql run list describe shell plot report info structures embed phases meta compare verify
repair upgrade stats import export""".split()


def test_all_verbs_are_there_under_this_name():
    told = call("--help")
    assert told.returncode == 0
    for verb in VERBS:
        assert f"\n  {verb} " in told.stdout, verb
        of_verb = call(verb, "--help")
        assert of_verb.returncode == 0
        assert f"Usage: stratigraph {verb}" in of_verb.stdout
        of_others = rf"\b(query|sink|recorder) ({'|'.join(VERBS)})\b"
        assert not re.search(of_others, " ".join(of_verb.stdout.split()))
    assert "named query meta_model" in " ".join(call("meta", "--help").stdout.split())
    label = call("structures", "label", "--help").stdout
    assert "stratigraph structures label" in label and "query structures" not in label


def test_import_says_what_files_it_takes():
    told = " ".join(call("import", "--help").stdout.split())
    assert "files of torch.save and Lightning (.pt, .pth, .bin, .ckpt)" in told


@pytest.mark.parametrize(
    "words",
    [
        ["run", "by_layer", "RUN", "--format", "csv"],
        ["sql", "RUN", "SELECT epoch, count(*) FROM weights GROUP BY epoch ORDER BY epoch"],
        ["info", "RUN"],
        ["list"],
        ["plot", "curves", "RUN", "-o", "x.pdf"],
        ["embed", "RUN", "--method", "pca", "--format", "csv"],
        ["structures", "list", "RUN"],
        ["describe", "by_neuron"],
        ["run", "by_layr", "RUN"],
        ["sql", "RUN", "SELECT * FROM weights", "-o", "x.unknown"],
    ],
)
def test_an_answer_is_the_programs_own(words, recorded, query_program):
    words = [str(recorded) if word == "RUN" else word for word in words]
    ours, theirs = call(*words), call(*words, command=[str(query_program)])
    assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout)
    assert ours.stderr.replace("stratigraph", "query") == theirs.stderr


def test_a_run_is_looked_after_exported_and_imported(recorded, tmp_path):
    whole = call("verify", recorded)
    assert whole.returncode == 0 and "whole" in whole.stdout
    assert "weights" in call("stats", recorded).stdout
    for epoch in (0, 1):
        out = tmp_path / f"epoch-{epoch}.safetensors"
        done = call("export", recorded, "--epoch", epoch, "-o", out)
        assert done.returncode == 0, done.stderr
    done = call("import", *tmp_path.glob("*.safetensors"), "--out", tmp_path / "again")
    assert done.returncode == 0, done.stderr
    assert "\n  stratigraph sql " in done.stdout and "cargo" not in done.stdout
    assert call("info", tmp_path / "again").returncode == 0


def test_a_damaged_run_is_repaired(recorded, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(recorded, run)
    json = run / "run.json"
    whole = json.read_bytes()
    json.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    assert call("verify", run).returncode == 1
    planned = call("repair", run, "--dry-run")
    assert planned.returncode == 0 and planned.stdout.startswith("would be done:"), planned.stderr
    done = call("repair", run)
    assert done.returncode == 0 and "put right one byte of run.json" in done.stdout, done.stderr
    assert json.read_bytes() == whole
    assert call("verify", run).returncode == 0
    assert "nothing to upgrade" in call("upgrade", run).stdout


def test_what_is_not_understood_ends_with_2(recorded):
    wrong = call("verfy", recorded)
    assert wrong.returncode == 2 and "verify" in wrong.stderr
    assert call("info", recorded / "nothing").returncode == 1
    assert call("--version").stdout.startswith("stratigraph ")


def test_the_shell_takes_statements_from_a_pipe(recorded):
    words = [*COMMAND, "shell", str(recorded)]
    done = subprocess.run(words, input="SELECT 1 + 1 AS two;\n", capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "two" in done.stdout and "2" in done.stdout


@pytest.mark.parametrize(("how", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_with_the_programs_status(recorded, how, status):
    endless = "SELECT count(*) FROM weights a, weights b, weights c, weights d WHERE a.neuron + b.neuron > c.neuron * 1.5 + d.unit"
    words = [*COMMAND, "sql", str(recorded), endless]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(2)
    process.send_signal(how)
    _, said = process.communicate(timeout=20)
    assert process.returncode == status
    assert "interrupted" in said and "Traceback" not in said


def test_a_reader_that_has_had_enough_is_no_error(recorded):
    words = [*COMMAND, "sql", str(recorded), "SELECT * FROM weights", "--format", "csv"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    assert process.wait(60) == 0 and said == b""
