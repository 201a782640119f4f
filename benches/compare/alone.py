"""One task in a process of its own: how much memory it takes at most, beyond what there was before it.

    python alone.py '{"size": ..., "short": ..., "threads": ..., "run": ..., "scratch": ..., ...}'

With "engine", "question" and "way" an engine answers a question of the run. With "write", captures are written. It
prints how many KiB the process had before and how many at most.
"""

import json
import sys
from pathlib import Path

import asking
import measure
import sizes
import writing
import write_pyarrow


def task(spec):
    """A function that does it; what it needs is loaded and open."""
    size = (sizes.SHORT if spec["short"] else sizes.SIZES)[spec["size"]]
    run = Path(spec["run"])
    if "write" in spec:
        import stratigraph_nn._native  # noqa: F401

        captures = list(sizes.captures(size))
        is_of_rows = spec["write"].startswith("pyarrow")
        parts = write_pyarrow.read(run, [writing.TABLE]) if is_of_rows else []
        write = writing.ways(captures, parts, spec["threads"], size.raw_bytes)[spec["write"]]
        path = writing.new_path(Path(spec["scratch"]), spec["write"])
        return lambda: write(path)
    engine = asking.engine(spec["engine"], run, spec["threads"])
    questions = {question.name: question for question in asking.questions(size)}
    # Its code, and what it keeps of the files, are in memory from here on.
    engine.ways(questions["count(*)"])[0]()
    return engine.ways(questions[spec["question"]])[spec["way"]]


def main():
    spec = json.loads(sys.argv[1])
    do = task(spec)
    measure.forget_peak()
    before = measure.memory_kib("VmRSS")
    answer = do()
    print(json.dumps({"before": before, "peak": measure.memory_kib("VmHWM")}))
    del answer


if __name__ == "__main__":
    main()
