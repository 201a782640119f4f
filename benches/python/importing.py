"""What importing the package takes, beside importing numpy.

    python benches/python/importing.py [--pairs N]

Each is imported in turns, in a process of its own. Printed is the ratio of the processor time that the import
takes: the median of the pairs, with a 95 % interval by bootstrap. It needs numpy, and the wheel.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys

PROGRAM = """
import time
began = time.process_time()
import {module}
print(time.process_time() - began)
"""
DRAWS = 2_000


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
    ratios = []
    for _ in range(options.pairs):
        of = {module: seconds(module) for module in draw.sample(modules, 2)}
        ratios.append(of[modules[0]] / of[modules[1]])
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(DRAWS))
    low, high = medians[int(DRAWS * 0.025)], medians[int(DRAWS * 0.975)]
    print(f"stratigraph_nn / numpy: {statistics.median(ratios):.3f} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
