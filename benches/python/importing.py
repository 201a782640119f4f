"""What importing the package takes, beside importing numpy.

    python benches/python/importing.py [--pairs N]

Each is imported in turns, in a process of its own. Printed is the ratio of the processor time that the import
takes: the median of the pairs, with a 95 % interval by bootstrap. It needs numpy, and the wheel.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "compare"))
import measure

PROGRAM = """
import time
began = time.process_time()
import {module}
print(time.process_time() - began)
"""


def seconds(module):
    command = [sys.executable, "-c", PROGRAM.format(module=module)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=20)
    options = parser.parse_args()
    # With the native part, which is loaded when it is first asked for.
    modules = ["stratigraph_nn._native", "numpy"]
    draw = random.Random(0)
    took = {module: [] for module in modules}
    for _ in range(options.pairs):
        for module in draw.sample(modules, 2):
            took[module].append(seconds(module))
    found = measure.ratio(*took.values())
    print(f"stratigraph_nn / numpy: {found.median:.3f} ({found.low:.3f} to {found.high:.3f})")


if __name__ == "__main__":
    main()
