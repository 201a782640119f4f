"""Several processes that train one network together: each records its share."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import multiprocessing
import socket
import subprocess
import traceback
import warnings
from pathlib import Path
from typing import Any

import pytest
import runs
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Subset, TensorDataset
from torch.utils.data.distributed import DistributedSampler

import stratigraph_nn as sg

#: The longest that the processes may take, in seconds.
PATIENCE = 120

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch.distributed is not there")


class Noting(TensorDataset):
    """Notes which processes ask for samples."""

    def __init__(self, rank: int, x: torch.Tensor, y: torch.Tensor) -> None:
        super().__init__(x, y)
        self.rank = rank

    def __getitem__(self, at: int) -> Any:
        Path(f"asked-{self.rank}-{os.getpid()}").touch()
        return super().__getitem__(at)


def trained(rank: int, mode: str) -> None:
    torch.manual_seed(0)
    between = nn.BatchNorm1d(5) if mode == "normed" else nn.Tanh()
    model = nn.Sequential(nn.Linear(6, 5), between, nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
    network = DistributedDataParallel(model)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    held_out = torch.randn(20, 6), torch.randint(0, 3, (20,))
    held_out = of_rank(mode, rank, *held_out)
    torch.manual_seed(1 + rank)
    path = "taken" if mode == "taken" else None
    tables = ["weights", "metrics", "classifications", "activations", "gradients_applied"]
    with sg.record(network, path, optimizer=optimizer, record=tables, record_initial=True, held_out=held_out) as rec:
        assert str(rec.path) == "traces/Sequential"
        for epoch in range(2):
            for _ in range(3):
                optimizer.zero_grad()
                nn.functional.cross_entropy(network(torch.randn(4, 6)), torch.randint(0, 3, (4,))).backward()
                optimizer.step()
            if mode == "diverged" and rank == 1 and epoch == 1:
                with torch.no_grad():
                    model[2].weight[0, 0] += 1
            assert rec.epoch(train_loss=rank)
    torch.save(model.state_dict(), f"state-{rank}.pt")
    # The loader and the recorder are there still.
    assert held_out is not None or mode == "none in the first"
    assert not multiprocessing.active_children() and rec.summary is not None


def of_rank(mode: str, rank: int, x: torch.Tensor, y: torch.Tensor) -> Any:
    """The held-out samples of a process."""
    data = TensorDataset(x, y)
    if mode == "shared out":
        return DataLoader(data, batch_size=4, sampler=DistributedSampler(data, shuffle=False))
    if mode == "shared out by workers":
        noting = Noting(rank, x, y)
        # Of 20 samples each process has 10, in batches of 4 of which the last would be dropped.
        options: Any = {"batch_size": 4, "drop_last": True, "sampler": DistributedSampler(noting, shuffle=False)}
        return DataLoader(noting, num_workers=1, persistent_workers=True, multiprocessing_context="fork", **options)
    if mode == "shards of one's own":
        return x[rank::2], y[rank::2]
    if mode == "another shard each time":
        return DataLoader(Subset(data, range(rank, 20, 2)), batch_size=4, shuffle=True)
    if mode == "none in the first" and rank == 0:
        return None
    if mode == "shards that are called":
        return lambda model: (model(x[rank::2]), y[rank::2])
    return x, y


def trained_alone_and_recorded(rank: int) -> None:
    """The same training twice, of which one is recorded: everything that it came to is the same."""

    def training(path: str | None) -> list[torch.Tensor]:
        torch.manual_seed(rank)
        model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Dropout(0.2), nn.Linear(5, 3))
        network = DistributedDataParallel(model)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        x, y = torch.randn(20, 6), torch.randint(0, 3, (20,))
        losses = []
        options: Any = {"record": ["weights", "activations", "gradients", "gradients_applied", "moments", "metrics"]}
        held_out = torch.ones(4, 6), torch.arange(4) % 3
        rec = None
        if path is not None:
            options |= {"every": "2steps", "held_out": held_out, "record_initial": True, "on_error": "stop"}
            rec = sg.record(network, path, optimizer=optimizer, **options)
        for _ in range(2):
            for start in range(0, 20, 5):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(network(x[start : start + 5]), y[start : start + 5])
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
                if rec is not None:
                    gradients[rec.num_steps] = {name: each.grad.clone() for name, each in model.named_parameters()}
            if rec is not None:
                rec.epoch(train_loss=loss)
        if rec is not None:
            rec.finish()
        moments = [value for state in optimizer.state.values() for value in state.values()]
        made = [parameter.grad for parameter in model.parameters()]
        return [*model.state_dict().values(), *moments, *made, *losses, torch.get_rng_state()]

    gradients: dict[int, dict[str, torch.Tensor]] = {}
    alone, recorded = training(None), training("run")
    assert len(alone) == len(recorded) and all(torch.equal(*pair) for pair in zip(alone, recorded, strict=True))
    torch.save(gradients, f"gradients-{rank}.pt")


def process(rank: int, port: int, directory: str, mode: str) -> None:
    os.chdir(directory)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            if mode == "twice":
                trained_alone_and_recorded(rank)
            else:
                trained(rank, mode)
            result = "done"
        except Exception:
            result = traceback.format_exc()
    said = [str(each.message) for each in caught if issubclass(each.category, sg.StratigraphWarning)]
    Path(f"said-{rank}").write_text("\n".join([result, *said]))
    dist.barrier()
    dist.destroy_process_group()


def both(directory: Path, mode: str) -> list[list[str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # What was used of autograd in this process does not survive a fork; the server's processes are forked off one
    # that has imported PyTorch and nothing more.
    multiprocessing.set_forkserver_preload(["torch._dynamo", "stratigraph_nn"])
    context: Any = mp.start_processes(
        process, (port, str(directory), mode), nprocs=2, join=False, start_method="forkserver"
    )
    try:
        assert context.join(PATIENCE) or context.join(PATIENCE)
    finally:
        for child in context.processes:
            if child.is_alive():
                child.kill()
    return [(directory / f"said-{rank}").read_text().splitlines() for rank in range(2)]


def test_each_process_records_its_share_of_the_layers(tmp_path: Path) -> None:
    assert both(tmp_path, "plain") == [["done"], ["done"]]
    run = tmp_path / "traces" / "Sequential"
    assert not (tmp_path / "traces" / "Sequential-2").exists()
    assert runs.info(run)["world_size"] == 2
    assert runs.captures(run) == [(-1, 0), (0, 3), (1, 6)]
    for table in ("weights", "activations", "gradients_applied"):
        by_layer: dict[str, set[int]] = {}
        for row in runs.rows(run, table):
            by_layer.setdefault(row["layer"], set()).add(row["rank"])
        assert by_layer == {"L_0": {0}, "L_2": {1}, "L_4": {0}}, table
    assert {row["rank"] for row in runs.rows(run, "classifications")} == {0}
    assert len([row for row in runs.rows(run, "classifications") if row["epoch"] == 1]) == 20
    values = runs.Values(run, "weights")
    for rank in range(2):
        state = torch.load(tmp_path / f"state-{rank}.pt")
        for label in ("0", "2", "4"):
            assert runs.same_bits(values.weight(1, 6, f"L_{label}"), state[f"{label}.weight"])
    for sums in checksums(run).values():
        assert len(sums) == 2 and sums[0] == sums[1]
    losses = [(row["rank"], row["value"]) for row in runs.rows(run, "metrics") if row["name"] == "loss"]
    assert (0, 0.0) in losses and (1, 1.0) in losses


def test_training_together_is_the_same_bit_by_bit(tmp_path: Path) -> None:
    assert both(tmp_path, "twice") == [["done"], ["done"]]
    run = tmp_path / "run"
    captures = [(-1, 0), (0, 2), (0, 4), (1, 6), (1, 8)]
    assert runs.captures(run) == captures
    kept = [torch.load(tmp_path / f"gradients-{rank}.pt") for rank in range(2)]
    applied, of_process = runs.Values(run, "gradients_applied"), runs.Values(run, "gradients")
    ranks = {row["layer"]: row["rank"] for row in runs.rows(run, "weights")}
    assert set(ranks.values()) == {0, 1}
    for epoch, step in captures[1:]:
        for label, path in (("L_0", "0"), ("L_4", "4")):
            # The mean over the processes is what was applied; before, each has its own.
            gradient = kept[0][step][f"{path}.weight"]
            assert torch.equal(gradient, kept[1][step][f"{path}.weight"])
            assert runs.same_bits(applied.weight(epoch, step, label), gradient), (step, label)
            assert not runs.same_bits(of_process.weight(epoch, step, label), gradient), (step, label)


@pytest.mark.parametrize("mode", ["shared out", "shared out by workers"])
def test_what_a_loader_shares_out_is_looked_at_as_a_whole(mode: str, tmp_path: Path) -> None:
    assert both(tmp_path, mode) == [["done"], ["done"]]
    run = tmp_path / "traces" / "Sequential"
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
    x, y = torch.randn(20, 6), torch.randint(0, 3, (20,))
    model.load_state_dict(torch.load(tmp_path / "state-1.pt"))
    rows = [row for row in runs.rows(run, "classifications") if row["epoch"] == 1]
    assert [row["target"] for row in sorted(rows, key=lambda row: row["sample"])] == y.tolist()
    activations = runs.Values(run, "activations").rows
    for label, end in (("L_0", 2), ("L_2", 4), ("L_4", 5)):
        recorded = torch.tensor([row["activations"] for row in activations[1, 6, label]]).T
        assert torch.allclose(recorded, model[:end](x), atol=1e-6), label
    if mode == "shared out":
        assert runs.info(run)["config"]["held_out"]["samples"] == 20
    else:
        # Workers that persist do so over all captures, and end with the recording.
        assert [len(list(tmp_path.glob(f"asked-{rank}-*"))) for rank in range(2)] == [1, 1]


def test_samples_that_the_first_process_has_none_of_are_told_apart(tmp_path: Path) -> None:
    _, second = both(tmp_path, "none in the first")
    assert second[0] == "done"
    assert any("(process 0 has told of none)" in said for said in second[1:]), second


@pytest.mark.parametrize("mode", ["shards of one's own", "another shard each time", "shards that are called"])
def test_processes_with_other_samples_record_no_activations_and_say_so(mode: str, tmp_path: Path) -> None:
    first, second = both(tmp_path, mode)
    assert first == ["done"]
    (said,) = second[1:]
    assert second[0] == "done" and "layers of process 1 are left out" in said
    assert "(process 0 has others): give every process the same ones in the same order" in said
    run = tmp_path / "traces" / "Sequential"
    assert {row["layer"] for row in runs.rows(run, "activations")} == {"L_0", "L_4"}
    assert {row["layer"] for row in runs.rows(run, "weights")} == {"L_0", "L_2", "L_4"}
    assert len(runs.rows(run, "classifications")) == 3 * 10
    losses = [row["rank"] for row in runs.rows(run, "metrics") if row["phase"] == "eval" and row["name"] == "loss"]
    assert set(losses) == {0}


def test_running_means_are_those_of_the_first_process(tmp_path: Path) -> None:
    assert both(tmp_path, "normed") == [["done"], ["done"]]
    run = tmp_path / "traces" / "Sequential"
    ranks = {(row["layer"], row["rank"]) for row in runs.rows(run, "weights") if "running" in row["layer"]}
    assert ranks == {("L_1.running_mean", 0), ("L_1.running_var", 0)}
    values, state = runs.Values(run, "weights"), torch.load(tmp_path / "state-0.pt")
    assert runs.same_bits(values.weight(1, 6, "L_1.running_mean"), state["1.running_mean"])
    assert all(sums[0] == sums[1] for sums in checksums(run).values()), "they are no parameters"


def test_checksums_tell_processes_that_have_come_apart(tmp_path: Path) -> None:
    assert both(tmp_path, "diverged") == [["done"], ["done"]]
    run = tmp_path / "traces" / "Sequential"
    assert {epoch: sums[0] == sums[1] for epoch, sums in checksums(run).items()} == {-1: True, 0: True, 1: False}
    programs = os.environ.get("STRATIGRAPH_BIN")
    if programs is None:
        pytest.skip("STRATIGRAPH_BIN is not set: `sink verify` is not tested")
    verified = subprocess.run([Path(programs, "sink"), "verify", run], capture_output=True, text=True, check=False)
    assert verified.returncode != 0 and "rank" in verified.stdout + verified.stderr


def checksums(run: Path) -> dict[int, list[float]]:
    """Of all parameters by epoch, each rank's."""
    found: dict[int, list[float]] = {}
    for row in runs.rows(run, "metrics"):
        if row["name"] == "parameters_crc32c":
            found.setdefault(row["epoch"], []).append(row["value"])
    return found


def test_a_directory_that_is_taken_is_an_error_in_all_processes(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").write_text("")
    for result in both(tmp_path, "taken"):
        assert result[-1].endswith("nothing is ever overwritten, name another directory"), result
