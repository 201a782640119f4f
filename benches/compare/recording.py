"""What recording costs a training of the program `recorder`: whole processes that record and that do not, in turns.

    python benches/compare/recording.py target/release/recorder [--pairs 40] [--threads 1] [--epochs 200]

The digits are trained with hidden layers of 256 and 128, and with --activations stats all is recorded every epoch. Printed
are the ratios of time on the clock and of processor time, of all threads, to those of the training alone beside it: the
median of the pairs, with a 95 % interval by bootstrap.
"""

import argparse
import os
import random
import subprocess
import tempfile
from pathlib import Path

import measure


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recorder", type=Path)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1, help="that train")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--activations", choices=["stats", "raw"], default="stats")
    options = parser.parse_args()

    train = [options.recorder.resolve(), "train", "--dataset", "digits", "--hidden", "256,128"]
    train += ["--epochs", str(options.epochs), "--device", "cpu"]
    environment = dict(os.environ, RAYON_NUM_THREADS=str(options.threads))
    draw = random.Random(0)
    pairs = []
    with tempfile.TemporaryDirectory() as scratch:

        def trained(records):
            run = Path(tempfile.mkdtemp(dir=scratch))
            how = ["--out", run, "--activations", options.activations] if records else ["--record", "none"]
            command = [*train, *how]
            _, *taken = measure.timed(
                lambda: subprocess.run(command, check=True, capture_output=True, env=environment)
            )
            measure.emptied(run)
            return taken

        trained(True)
        for _ in range(options.pairs):
            pairs.append({records: trained(records) for records in draw.sample([False, True], 2)})
    alone = measure.estimate([pair[False][0] for pair in pairs])
    print(f"{options.threads} thread(s), {options.epochs} epochs in {alone.median:.2f} s, {options.pairs} pairs")
    for place, what in enumerate(["clock", "processor time"]):
        found = measure.ratio([pair[True][place] for pair in pairs], [pair[False][place] for pair in pairs])
        print(f"{what}, by that of the training alone: {found.median:.3f} ({found.low:.3f} to {found.high:.3f})")


if __name__ == "__main__":
    main()
