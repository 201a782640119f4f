"""Times of several ways to do the same, in turns, and how sure their ratios are."""

import gc
import os
import random
import resource
import statistics
import time
from dataclasses import dataclass, field

DRAWS = 2_000


@dataclass
class Samples:
    """What each round took: seconds on the clock, and seconds of processors, all threads and children counted."""

    seconds: list = field(default_factory=list)
    processor: list = field(default_factory=list)


@dataclass(frozen=True)
class Estimate:
    """A median, with a 95 % interval by bootstrap."""

    median: float
    low: float
    high: float


def estimate(values):
    draw = random.Random(1)
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(DRAWS))
    return Estimate(statistics.median(values), medians[int(DRAWS * 0.025)], medians[int(DRAWS * 0.975)])


def ratio(numerators, denominators):
    """The median of the rounds' ratios."""
    return estimate([above / below for above, below in zip(numerators, denominators, strict=True)])


def emptied(path):
    """Frees what a file, or the files of a directory, take of the disk. They are there still, without a byte.

    They are not removed before all is measured: for minutes ext4 looks one by one at the inodes of files that were
    removed when it needs a new one, so that whoever writes many files next would pay for it.
    """
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file() and not file.is_symlink():
            os.truncate(file, 0)
    os.sync()


def processor_seconds():
    """Of this process and of its children that have ended."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def timed(function):
    """What it gives, seconds on the clock and seconds of processors."""
    gc.collect()
    gc.disable()
    try:
        processor, start = processor_seconds(), time.perf_counter()
        result = function()
        seconds = time.perf_counter() - start
        return result, seconds, processor_seconds() - processor
    finally:
        gc.enable()


def in_turns(ways, pairs, least, budget, before=None, after=None):
    """Each way's samples, from rounds in which each has one turn, in an order that is drawn.

    Args:
        ways: Functions by name. What they give is dropped after the clock has stopped.
        pairs: At most so many rounds.
        least: So many rounds at least, however long they take.
        budget: Seconds after which no round is begun beyond the least.
        before: Called before each turn, not timed.
        after: Called with the name and what came of it after each turn, not timed.
    """
    draw = random.Random(0)
    samples = {name: Samples() for name in ways}
    begin = time.perf_counter()
    for nth in range(pairs):
        if nth >= least and time.perf_counter() - begin > budget:
            break
        for name in draw.sample(list(ways), len(ways)):
            if before is not None:
                before()
            result, seconds, processor = timed(ways[name])
            samples[name].seconds.append(seconds)
            samples[name].processor.append(processor)
            if after is not None:
                after(name, result)
            del result
    return samples


def memory_kib(name):
    """`VmRSS`, what this process holds of memory now, or `VmHWM`, the most since :func:`forget_peak`."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(f"{name}:"))


def forget_peak():
    """Has the kernel count this process's peak of memory from now on."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def cores():
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))
