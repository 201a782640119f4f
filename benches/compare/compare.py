"""This project beside what one would use instead: the same captures written, read and asked, in turns.

    python benches/compare/compare.py --package DIR|installed --out DIR [--sizes digits,dense] [--pairs N] [--short]

In one process, with all runs open: stratigraph_nn (built in release, in DIR or installed), pyarrow, DuckDB, polars,
safetensors and the pandas of the notebook that this grew from; `requirements.txt` beside this file has them. Each
peer has all cores, and where there are several ways to ask it, the quickest counts. What a peer writes and answers is
held against ours before anything is timed. Ours is asked once more as the command `stratigraph`, a process a question.

DIR of --out has `compare.md`, `compare.svg` and `compare.json` in the end. What is written for the measuring lies in
it as well, so that it names the disk. Ends with status 1 if a target is missed, and says by how much. The targets are
about the size `dense`. With --short all is done once with small networks, to see that it works; no target counts then.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

import asking
import measure
import notebook_ways
import report
import sizes
import write_pyarrow
import writing

DEFAULT_SIZES = ("digits", "dense", "cnn", "wide")
LEAST_ROUNDS = 3
SHORT_MEMORY = ("by_neuron", "ours, none")
PARTS = ("write", "ask", "notebook", "memory")
PACKAGES = ("pyarrow", "duckdb", "polars", "safetensors", "pandas", "numpy")
#: Who is asked, and all ways to have an answer.
PEERS = ("DuckDB", "polars")
WAYS = ("ours", *PEERS, "ours, a process")
#: Of --compress size: bytes of the table, by those of the weights alone.
MOST_BYTES = 0.87
#: By the peer of as many bytes, and by the roofline.
LEAST_BY_PEER, LEAST_BY_ROOFLINE = 2.0, 0.6


def main():
    options = parsed()
    if options.package != "installed":
        package = Path(options.package).resolve()
        sys.path.insert(0, str(package))
        # For processes that are started.
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
    options.out.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    document = report.Report()
    introduce(document)
    with tempfile.TemporaryDirectory(dir=options.out, prefix="scratch-") as scratch:
        for name in options.sizes:
            size = (sizes.SHORT if options.short else sizes.SIZES)[name]
            Comparison(size, options, document, Path(scratch)).run()
    missed = document.finish()
    document.write(options.out)
    print("\n".join(document.lines))
    say(f"{time.perf_counter() - begin:.0f} s in all")
    if options.short:
        say("no target counts for networks as small as these")
        return 0
    for target in missed:
        say(f"missed: {target.told()}")
    return 1 if missed else 0


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--package", required=True, help="the directory that holds stratigraph_nn, or `installed`")
    parser.add_argument("--out", required=True, type=Path, help="where the report is written, and all else meanwhile")
    default = ",".join(DEFAULT_SIZES)
    parser.add_argument("--sizes", help=f"of {', '.join(sizes.SIZES)}, with commas [default: {default}]")
    parser.add_argument("--only", help=f"of {', '.join(PARTS)}, with commas [default: all]")
    parser.add_argument("--pairs", type=int, default=15, help="rounds, at most")
    parser.add_argument("--budget", type=float, default=20, help="seconds after which three rounds are enough")
    parser.add_argument("--short", action="store_true", help="small networks, once each: whether it works")
    options = parser.parse_args()
    # Small networks are quick.
    default = ",".join(sizes.SIZES) if options.short else default
    options.sizes = (options.sizes or default).split(",")
    options.only = options.only.split(",") if options.only else list(PARTS)
    unknown = set(options.sizes) - set(sizes.SIZES) | set(options.only) - set(PARTS)
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    options.pairs = 1 if options.short else options.pairs
    options.least = min(options.pairs, LEAST_ROUNDS)
    return options


def introduce(document):
    import stratigraph_nn

    with open("/proc/cpuinfo") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    versions = ", ".join(f"{peer} {version(peer)}" for peer in PACKAGES)
    document.add(
        f"{measure.cores()} cores, {models[0] if models else platform.machine()}, Linux {platform.release()}. Python "
        f"{platform.python_version()}, stratigraph_nn {stratigraph_nn.__version__}, {versions}."
    )


def say(text):
    print(text, file=sys.stderr, flush=True)


class Comparison:
    """All that is measured of one size."""

    def __init__(self, size, options, document, scratch):
        self.size, self.options, self.document = size, options, document
        self.scratch = scratch / size.name
        self.scratch.mkdir()
        self.run_path = self.scratch / "run"
        self.threads = measure.cores()
        self.is_targeted = size.name == sizes.TARGETED

    def run(self):
        size, only = self.size, self.options.only
        self.title = f"{size.what}, {size.captures:,} captures"
        say(f"{self.title}: making them, {size.raw_bytes / 1e6:.0f} MB")
        is_written = "write" in only and size.is_written
        captures = sizes.captures(size)
        captures = list(captures) if is_written else captures
        held_out = None
        if size.name == sizes.NOTEBOOK and "notebook" in only:
            held_out = sizes.held_out(size)
        writing.record(captures, self.run_path, held_out=held_out)
        if is_written:
            self.write(captures)
        del captures
        if "ask" in only:
            self.ask()
        if held_out is not None:
            self.notebook()
        measure.emptied(self.scratch)

    def in_turns(self, what, ways, share=1, **more):
        """Times the ways; `what` is said and names the samples. `share` is how many budgets they may take."""
        budget = share * self.options.budget
        samples = measure.in_turns(ways, self.options.pairs, self.options.least, budget, **more)
        self.document.keep(f"{self.size.name}: {what}", samples)
        num_rounds = len(next(iter(samples.values())).seconds)
        say(f"{self.title}: {what}, rounds: {num_rounds}")
        return samples

    def target(self, what, wanted, measured, is_least=True):
        self.document.targets.append(report.Target(what, wanted, measured, is_least))

    # Writing

    def write(self, captures):
        raw = self.size.raw_bytes
        parts = write_pyarrow.read(self.run_path, [writing.TABLE])
        num_bytes = {}
        # Once untimed, and held against what was given.
        for name, write in writing.ways(captures, parts, self.threads, raw).items():
            path = writing.new_path(self.scratch, name)
            write(path)
            writing.check(name, path, captures, parts)
            num_bytes[name] = writing.size_of(path)
            measure.emptied(path)
        num_bytes["sequential write"] = num_bytes["ours, none"]
        ways = writing.ways(captures, parts, self.threads, num_bytes["ours, none"])

        def into_new_path(name):
            path = writing.new_path(self.scratch, name)
            ways[name](path)
            return path

        copy = writing.copying(raw, self.threads)
        contest = {name: partial(into_new_path, name) for name in ways} | {"memcpy": copy}
        samples = self.in_turns(
            "writing",
            contest,
            # Disks vary more than processors.
            share=4,
            # What others left to be written is no concern of the next.
            before=os.sync,
            after=lambda _, path: measure.emptied(path) if isinstance(path, Path) else None,
        )
        self.report_writing(samples, num_bytes)

    def report_writing(self, samples, num_bytes):
        document, raw = self.document, self.size.raw_bytes
        document.add(f"### Writing: {self.title}, {raw / 1e6:,.0f} MB of weights")
        ours = {"none": samples["ours, none"].seconds, "size": samples["ours, size"].seconds}
        rooflines = self.rooflines(samples, num_bytes)
        rows, bars = [], []
        for name, of in samples.items():
            speed = measure.estimate([raw / seconds / 1e6 for seconds in of.seconds])
            clock, processor = report.medians(of)
            is_smaller = name in ("ours, size", "pyarrow, zstd")
            by_ours = report.times(measure.ratio(of.seconds, ours["size" if is_smaller else "none"]))
            size = f"{num_bytes[name] / raw:.3f}" if name in num_bytes else ""
            peak = self.peak({"write": name}) if name in num_bytes and name != "sequential write" else ""
            rows.append([name, clock, report.times(speed), processor, by_ours, size, peak])
            if name in num_bytes:
                bars.append(("", name, speed))
        head = ["", "time", "MB of weights a second", "processor time", "÷ ours", "bytes ÷ weights", "peak memory"]
        document.table(head, rows)
        document.add(
            "`÷ ours` is by ours with as much compression. Ours works out rows and statistics of arrays, and commits; "
            "pyarrow has the rows already, and syncs each file, on all cores; safetensors has no statistics. "
            "The sequential write is of as many bytes as ours without compression, into one file, synced once; memcpy "
            "copies the weights in memory, on all cores."
        )
        if not self.is_targeted:
            return
        document.panel(f"Writing: {self.title}", "MB of weights a second", bars)
        for compress, peer in (("size", "pyarrow, zstd"), ("none", "pyarrow, none")):
            ours_name, label = f"ours, {compress}", f"writing with --compress {compress}"
            by_peer = measure.ratio(samples[peer].seconds, ours[compress])
            self.target(f"{label}, {peer} ÷ ours", LEAST_BY_PEER, by_peer)
            by_size = exactly(num_bytes[ours_name] / num_bytes[peer])
            self.target(f"{label}, bytes ÷ those of {peer}", 1.0, by_size, is_least=False)
            by_roofline = measure.ratio(rooflines[ours_name], ours[compress])
            self.target(f"{label}, by the roofline", LEAST_BY_ROOFLINE, by_roofline)
        dump = measure.ratio(samples["safetensors"].seconds, ours["none"])
        self.target("writing with --compress none, safetensors ÷ ours", 1.0, dump)
        by_raw = exactly(num_bytes["ours, size"] / raw)
        self.target("bytes of `weights` with --compress size, by the weights", MOST_BYTES, by_raw, is_least=False)

    def rooflines(self, samples, num_bytes):
        """Seconds of each round that copying the weights once, or writing as many bytes as ours, takes, whichever is
        longer."""
        whole = num_bytes["sequential write"]
        return {
            name: [
                max(copy, write * num_bytes[name] / whole)
                for copy, write in zip(samples["memcpy"].seconds, samples["sequential write"].seconds)
            ]
            for name in ("ours, none", "ours, size")
        }

    # Asking

    def ask(self):
        engines = {name: asking.engine(name, self.run_path, self.threads) for name in ("ours", *PEERS)}
        clocks, others, bars = [], [], []
        for question in asking.questions(self.size):
            ways, numbers = self.quickest(question, engines)
            samples = self.in_turns(question.name, ways | {WAYS[-1]: partial(self.in_a_process, question.ours)})
            ratios = {
                peer: measure.ratio(samples[peer].seconds, samples["ours"].seconds) for peer in PEERS if peer in ways
            }
            measured = [report.medians(samples[name]) if name in samples else ("", "") for name in WAYS]
            told = [report.times(ratios[peer]) if peer in ratios else "" for peer in PEERS]
            clocks.append([question.name, *(clock for clock, _ in measured), *told])
            tasks = [{"engine": name, "question": question.name, "way": numbers.get(name)} for name in engines]
            peaks = [self.peak(task) if task["way"] is not None else "" for task in tasks]
            others.append([question.name, *(processor for _, processor in measured), *peaks])
            if question.name in asking.UNTARGETED or not self.is_targeted:
                continue
            for peer, ratio in ratios.items():
                bars.append((question.name, peer, ratio))
                wanted = question.at_least if peer == "DuckDB" else 1.0
                self.target(f"{question.name}, {peer} ÷ ours", wanted, ratio)
        document = self.document
        document.add(f"### Asking: {self.title}")
        document.table(["", *WAYS, *(f"{peer} ÷ ours" for peer in PEERS)], clocks)
        document.add(
            "The same answers in processor time, and the most memory that each takes in a process of its own, beyond "
            "what that had with the run open."
        )
        document.table(["", *WAYS, *(f"{name}, memory" for name in engines)], others)
        if bars:
            document.panel(f"Asking: {self.title}", "times as long as ours", bars)
        if self.is_targeted:
            self.decode()

    def quickest(self, question, engines):
        """Each engine's quickest way to answer, and its number, once all answers were held against ours."""
        quickest, numbers = {}, {}
        for name, engine in engines.items():
            ways = engine.ways(question)
            took = []
            for way in ways:
                answer, seconds, _ = measure.timed(way)
                if name == "ours":
                    expected = answer
                else:
                    asking.check(question, name, answer, expected)
                del answer
                # Of short ones it counts that files, and what is known of them, are kept by now.
                is_again = len(ways) > 1 and seconds < 1
                took.append(measure.timed(way)[1] if is_again else seconds)
            if ways:
                numbers[name] = took.index(min(took))
                quickest[name] = ways[numbers[name]]
        return quickest, numbers

    def decode(self):
        """How fast the values of the weights can be had of byte planes at all."""
        decode = {"list decode": writing.decoding(sizes.captures(self.size), self.threads)}
        seconds = self.in_turns("decoding", decode)["list decode"].seconds
        speed = measure.estimate([self.size.raw_bytes / of / 1e6 for of in seconds])
        self.document.add(
            f"The values of all weights alone are decoded by pyarrow at {report.times(speed)} MB a second, on all "
            "cores, from byte planes in memory."
        )

    def in_a_process(self, sql):
        """The command `stratigraph` from its start to its end, with the rows in a Parquet file."""
        with tempfile.TemporaryDirectory(dir=self.scratch) as directory:
            command = [sys.executable, "-m", "stratigraph_nn", "sql", self.run_path, sql]
            command += ["-o", Path(directory) / "rows.parquet"]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)

    # The notebook

    def notebook(self):
        trace = self.scratch / "trace.pickle"
        notebook_ways.make_trace(self.run_path, trace)
        rows = []
        for query, wanted in notebook_ways.QUERIES.items():
            ways = notebook_ways.ways(query, self.run_path, trace)
            notebook_ways.check(query, ways)
            samples = self.in_turns(f"{query} of the notebook", ways)
            ratios = [measure.ratio(samples[peer].seconds, samples["ours"].seconds) for peer in ("pandas", "numpy")]
            self.target(f"{query} of {self.size.name}, the notebook's pandas ÷ ours", wanted, ratios[0])
            clocks = [report.medians(of)[0] for of in samples.values()]
            rows.append([query, *clocks, *map(report.times, ratios)])
        self.document.add(f"### The notebook: {self.title}")
        self.document.table(["", "ours", "pandas", "numpy", "pandas ÷ ours", "numpy ÷ ours"], rows)
        self.document.add(
            "Ours opens the run each time; the others load a pickle of the same captures, as the notebook has it."
        )

    # Memory

    def peak(self, task):
        """What a task takes of memory in a process of its own, beyond what the process had before."""
        if not self.is_targeted or "memory" not in self.options.only:
            return ""
        # Whether it works is seen by one question and one writer.
        if self.options.short and task.get("question", task.get("write")) not in SHORT_MEMORY:
            return ""
        with tempfile.TemporaryDirectory(dir=self.scratch) as directory:
            spec = task | {
                "size": self.size.name,
                "short": self.options.short,
                "threads": self.threads,
                "run": str(self.run_path),
                "scratch": directory,
            }
            command = [sys.executable, Path(__file__).with_name("alone.py"), json.dumps(spec)]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        told = json.loads(output.splitlines()[-1])
        return report.mebibytes(told["peak"] - told["before"])


def exactly(value):
    return measure.Estimate(value, value, value)


if __name__ == "__main__":
    sys.exit(main())
