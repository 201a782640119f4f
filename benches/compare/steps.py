"""Timing of named steps inside the process, and the command line that the peers share.

Each step prints {"what": ..., "seconds": ...} as it ends, and the last line, whose "what" is the query's name, counts
them all, with "load_seconds" of them for the trace. With --total only that last line is printed, so that a program that times the whole process, interpreter
start and imports included, measures the work and little else.
"""

import argparse
import json
import time

QUERIES = ("classification_series", "padded", "by_layer", "by_neuron", "epoch_average", "connections")


class Steps:
    def __init__(self, total_only):
        self.total_only, self.seconds, self.load_seconds = total_only, 0.0, 0.0

    def run(self, what, function, *arguments):
        """The function's result; its time is printed and counted."""
        start = time.perf_counter()
        result = function(*arguments)
        seconds = time.perf_counter() - start
        self.seconds += seconds
        if what == "load":
            self.load_seconds += seconds
        if not self.total_only:
            report(what, seconds)
        return result

    def finish(self, what):
        report(what, self.seconds, load_seconds=round(self.load_seconds, 6))


def report(what, seconds, **more):
    print(json.dumps({"what": what, "seconds": round(seconds, 6), **more}), flush=True)


def parser(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("query", choices=QUERIES)
    parser.add_argument("trace", help="the notebook's pickle (network_trace.py makes it from a run)")
    parser.add_argument("-o", "--output", help="write the result as Parquet; without it, it stays in memory")
    parser.add_argument("--total", action="store_true", help="print only the last line")
    return parser
