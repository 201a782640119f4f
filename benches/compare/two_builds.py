"""Two builds of the programs beside each other: what a change costs, or saves.

    python3 benches/compare/two_builds.py BEFORE AFTER [--pairs N] [--epochs N] [--command "PROGRAM ARGUMENTS"]

BEFORE and AFTER are directories with the programs `recorder` and `query`, built with one profile, as
`target/release` of two clones. Each task is run by both, in turns and in an order that alternates, as
whole processes. Printed are the ratios after / before of the time on the clock and of the processor time, the
user's and the system's: the median of the pairs, with a 95 % interval by bootstrap.

With --command that is run alone, a program of either directory: the benchmarks of a crate, say, which cargo puts
into `target/release/deps` under a name with a number. `recording --captures 100` is what the recorder's threads take.
"""

import argparse
import os
import shlex
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import measure

QUERIES = {
    "by_neuron": ["run", "by_neuron"],
    "structure_scores": ["run", "structure_scores", "--param", "permutations=200"],
    "weight_drift": ["run", "weight_drift"],
    "average over the run (SQL)": ["sql", "SELECT layer, epoch, vec_mean(weights) FROM weights GROUP BY layer, epoch"],
}


def timed(command, directory):
    """Seconds on the clock and of processor time that a command takes."""
    before = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - before
    if status != 0:
        raise SystemExit(f"{command} failed:\n{output.decode()}")
    return seconds, usage.ru_utime + usage.ru_stime


def compare(name, builds, command, num_pairs, directory):
    clock, processor = ([], []), ([], [])
    for nth in range(-1, num_pairs):
        order = (0, 1) if nth % 2 == 0 else (1, 0)
        for build in order:
            seconds, of_processors = timed(command(builds[build]), directory)
            if nth >= 0:
                clock[build].append(seconds)
                processor[build].append(of_processors)
    ratios = [measure.ratio(after, before) for before, after in (clock, processor)]
    cells = [f"{ratio.median:.3f} ({ratio.low:.3f} to {ratio.high:.3f})" for ratio in ratios]
    before = statistics.median(clock[0])
    print(f"| {name} | {before:.2f} s | {cells[0]} | {cells[1]} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=20, help="of the run that is recorded")
    parser.add_argument("--command", help="a program of either directory, with its arguments")
    options = parser.parse_args()
    builds = [options.before.resolve(), options.after.resolve()]

    with tempfile.TemporaryDirectory() as scratch:
        train = ["--epochs", str(options.epochs), "--hidden", "64,64", "--device", "cpu"]

        def record(build):
            # Runs stay until all is measured: removing them would slow down the next (measure.emptied).
            return [build / "recorder", "train", "--out", tempfile.mkdtemp(dir=scratch), *train]

        print(f"{options.pairs} pairs a row\n")
        print("| task | before, median | clock, after / before | processor time, after / before |")
        print("| --- | --- | --- | --- |")
        if options.command:
            program, *arguments = shlex.split(options.command)
            compare(options.command, builds, lambda build: [build / program, *arguments], options.pairs, scratch)
            return
        compare("recording", builds, record, options.pairs, scratch)
        subprocess.run(
            [builds[0] / "recorder", "train", "--out", "run", *train], cwd=scratch, check=True, capture_output=True
        )
        for name, (verb, what, *rest) in QUERIES.items():
            arguments = [verb, what, "run", *rest] if verb == "run" else [verb, "run", what]
            compare(name, builds, lambda build: [build / "query", *arguments], options.pairs, scratch)


if __name__ == "__main__":
    main()
