"""What recording costs a PyTorch training, beside what others keep of it.

    python benches/python/overhead.py [--pairs N] [--threads 1] [--epochs N] [--only ours,torch_save] [--keep-memory]

One program trains a network of 784-512-256-10 with Adam and evaluates it each epoch. It is run in turns, each
time in a process of its own and in an order that is drawn: alone, and with each of the ways to keep what
happens, everything once an epoch. Printed are the whole time, what it takes to finish included, and its ratio to that
of the run alone beside it: the median of the pairs, each with a 95 % interval by bootstrap.

The C library's allocator gives memory back to the system that a step frees, and asks for it anew at the next,
until the program has freed something large: what keeps large buffers makes training itself quicker. With
--keep-memory memory is kept in every process from the start.

It needs torch, safetensors, tensorboard, wandb, and stratigraph_nn, built in release.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "compare"))
import measure

VARIANTS = {
    "off": "nothing is kept",
    "ours": "stratigraph: weights, statistics of gradients, activations, classifications; durable",
    "torch_save": "torch.save of the state",
    "torch_save_synced": "torch.save of the state, synced",
    "safetensors": "safetensors of the parameters",
    "tensorboard": "TensorBoard: histograms of parameters and gradients",
    "wandb": 'W&B offline: watch(log="all")',
}
BATCH = 100
NUM_TRAIN, NUM_HELD_OUT = 4_000, 1_000
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}


class Nothing:
    """Keeps nothing: what the others do beside training."""

    def __init__(self, model, optimizer, directory):
        self.model, self.optimizer, self.directory = model, optimizer, directory

    def step(self):
        """After the backward pass, before the optimizer's step."""

    def epoch(self, epoch, held_out, loss):
        evaluate(self.model, held_out)

    def finish(self):
        """Waits for what is on its way."""


class Ours(Nothing):
    def __init__(self, model, optimizer, directory):
        import stratigraph_nn as sg

        tables = ["weights", "activations", "classifications", "metrics", "gradients"]
        self.recorder = sg.record(
            model,
            directory / "run",
            optimizer=optimizer,
            record=tables,
            gradients="stats",
            loss="cross_entropy",
            steps_per_epoch=NUM_TRAIN // BATCH,
            on_error="stop",
        )

    def epoch(self, epoch, held_out, loss):
        self.recorder.epoch(held_out=held_out, train_loss=loss)

    def finish(self):
        self.recorder.finish()


class TorchSave(Nothing):
    synced = False

    def epoch(self, epoch, held_out, loss):
        import torch

        super().epoch(epoch, held_out, loss)
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        with open(self.directory / f"epoch-{epoch}.pt", "wb") as file:
            torch.save(state, file)
            if self.synced:
                file.flush()
                os.fsync(file.fileno())


class TorchSaveSynced(TorchSave):
    synced = True


class Safetensors(Nothing):
    def epoch(self, epoch, held_out, loss):
        from safetensors.torch import save_file

        super().epoch(epoch, held_out, loss)
        save_file(self.model.state_dict(), self.directory / f"epoch-{epoch}.safetensors")


class TensorBoard(Nothing):
    def __init__(self, model, optimizer, directory):
        from torch.utils.tensorboard import SummaryWriter

        super().__init__(model, optimizer, directory)
        self.writer = SummaryWriter(str(directory))

    def epoch(self, epoch, held_out, loss):
        super().epoch(epoch, held_out, loss)
        self.writer.add_scalar("train/loss", loss, epoch)
        for name, parameter in self.model.named_parameters():
            self.writer.add_histogram(name, parameter.detach(), epoch)
            self.writer.add_histogram(f"{name}.grad", parameter.grad, epoch)

    def finish(self):
        self.writer.close()


class Wandb(Nothing):
    def __init__(self, model, optimizer, directory):
        import wandb

        super().__init__(model, optimizer, directory)
        os.environ["WANDB_SILENT"] = "true"
        self.run = wandb.init(mode="offline", project="overhead", dir=str(directory))
        self.run.watch(model, log="all", log_freq=NUM_TRAIN // BATCH)

    def epoch(self, epoch, held_out, loss):
        super().epoch(epoch, held_out, loss)
        self.run.log({"train/loss": loss, "epoch": epoch})

    def finish(self):
        self.run.finish()


CLASSES = {
    "off": Nothing,
    "ours": Ours,
    "torch_save": TorchSave,
    "torch_save_synced": TorchSaveSynced,
    "safetensors": Safetensors,
    "tensorboard": TensorBoard,
    "wandb": Wandb,
}


def evaluate(model, held_out):
    import torch

    inputs, targets = held_out
    model.eval()
    with torch.no_grad():
        logits = model(inputs)
        loss = torch.nn.functional.cross_entropy(logits, targets)
        accuracy = (logits.argmax(1) == targets).float().mean()
    model.train()
    return loss.item(), accuracy.item()


def train(variant, threads, epochs, directory):
    """Trains once; gives seconds and bytes."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    inputs, targets = torch.randn(NUM_TRAIN, 784), torch.randint(0, 10, (NUM_TRAIN,))
    held_out = torch.randn(NUM_HELD_OUT, 784), torch.randint(0, 10, (NUM_HELD_OUT,))
    model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = torch.optim.Adam(model.parameters())
    keeper = CLASSES[variant](model, optimizer, directory)

    def one_epoch(epoch):
        for start in range(0, NUM_TRAIN, BATCH):
            loss = nn.functional.cross_entropy(model(inputs[start : start + BATCH]), targets[start : start + BATCH])
            optimizer.zero_grad()
            loss.backward()
            keeper.step()
            optimizer.step()
        keeper.epoch(epoch, held_out, loss.item())

    one_epoch(0)
    start = time.perf_counter()
    for epoch in range(1, epochs + 1):
        one_epoch(epoch)
    keeper.finish()
    seconds = time.perf_counter() - start
    files = [file for file in directory.rglob("*") if file.is_file()]
    return {"seconds": seconds, "bytes": sum(file.stat().st_size for file in files)}


def measured(variant, options, scratch):
    directory = Path(tempfile.mkdtemp(prefix=f"{variant}-", dir=scratch))
    command = [sys.executable, __file__, "--run", variant, "--threads", str(options.threads)]
    command += ["--epochs", str(options.epochs), "--scratch", str(directory)]
    environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads))
    environment |= KEEP_MEMORY if options.keep_memory else {}
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    measure.emptied(directory)
    return json.loads(output.splitlines()[-1])


def shown(found, digits):
    return f"{found.median:.{digits}f} ({found.low:.{digits}f} to {found.high:.{digits}f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--only", help="variants with commas between them")
    parser.add_argument("--scratch", help="where runs are written, while they are measured")
    parser.add_argument("--keep-memory", action="store_true", help="memory that is freed stays with the process")
    parser.add_argument("--run", choices=CLASSES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        directory = Path(options.scratch)
        print(json.dumps(train(options.run, options.threads, options.epochs, directory)))
        return
    variants = options.only.split(",") if options.only else [name for name in VARIANTS if name != "off"]
    draw = random.Random(0)
    results = {name: [] for name in ["off", *variants]}
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        for _ in range(options.pairs):
            for name in draw.sample(list(results), len(results)):
                results[name].append(measured(name, options, scratch))
    alone = [result["seconds"] for result in results["off"]]
    print(f"{options.threads} thread(s), {options.epochs} epochs of {statistics.median(alone) / options.epochs:.3f} s")
    print("| what is kept each epoch | seconds | time, by that of nothing | MB |\n|---|---|---|---|")
    for name, each in results.items():
        seconds = [result["seconds"] for result in each]
        ratio = "" if name == "off" else shown(measure.ratio(seconds, alone), 3)
        size = statistics.median(result["bytes"] for result in each) / 1e6
        print(f"| {VARIANTS[name]} | {shown(measure.estimate(seconds), 2)} | {ratio} | {size:.1f} |", flush=True)


if __name__ == "__main__":
    main()
