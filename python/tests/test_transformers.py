"""The callback of Hugging Face's trainer, with the library itself."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runs
import torch
from torch.utils.data import Dataset

import stratigraph_nn as sg

hf = pytest.importorskip("transformers", exc_type=ImportError)
pytest.importorskip("accelerate", exc_type=ImportError)


class Sentences(Dataset):  # type: ignore[type-arg]
    def __init__(self, num_sentences: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.tokens = torch.randint(0, 20, (num_sentences, 5), generator=generator)

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, at: int) -> dict[str, Any]:
        return {"input_ids": self.tokens[at], "labels": int(self.tokens[at, 0]) % 3}


def trained(directory: Path, *callbacks: Any, checkpoint: Path | None = None, **options: Any) -> Any:
    hf.set_seed(3)
    config = hf.BertConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=8,
        num_labels=3,
    )
    model = hf.BertForSequenceClassification(config)
    arguments = hf.TrainingArguments(
        output_dir=str(directory / "out"),
        per_device_train_batch_size=4,
        per_device_eval_batch_size=8,
        eval_strategy="epoch",
        logging_strategy="epoch",
        report_to=[],
        use_cpu=True,
        seed=3,
        disable_tqdm=True,
        learning_rate=1e-2,
        **({"num_train_epochs": 2, "save_strategy": "no"} | options),
    )
    trainer = hf.Trainer(
        model=model,
        args=arguments,
        train_dataset=Sentences(24, 0),
        eval_dataset=Sentences(10, 1),
        callbacks=list(callbacks),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Out of a recorder that stops for what it cannot do.
        warnings.simplefilter("error", sg.StratigraphWarning)
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    return model


@pytest.mark.parametrize("accumulated", [1, 2])
def test_a_training_is_recorded_and_stays_as_it_is(accumulated: int, tmp_path: Path) -> None:
    callback = sg.transformers.Callback(tmp_path / "run", record_initial=True, on_error="stop")
    model = trained(tmp_path, callback, gradient_accumulation_steps=accumulated)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    alone = trained(tmp_path, gradient_accumulation_steps=accumulated)
    assert torch.equal(states[0], torch.get_rng_state()) and states[1] == random.getstate()
    assert states[2] == np.random.get_state()[1].tolist()
    for (name, value), other in zip(model.state_dict().items(), alone.state_dict().values(), strict=True):
        assert torch.equal(value, other), name
    run, steps = tmp_path / "run", 6 // accumulated
    assert runs.captures(run) == [(-1, 0), (0, steps), (1, 2 * steps)]
    values = runs.Values(run, "weights")
    described = runs.layers(run)
    assert "bert.encoder.layer.0.attention.self.query" in described and "classifier" in described
    assert runs.same_bits(values.weight(1, 2 * steps, "classifier"), model.classifier.weight.detach())
    # What the trainer passes besides, as how many targets count, does not hide what is connected to what.
    inner = described["bert.encoder.layer.0.intermediate.dense"]
    assert inner["activation"] == "gelu"
    assert [each["from"] for each in inner["source"]] == ["bert.encoder.layer.0.attention.output.LayerNorm"]
    assert [each["from"] for each in described["classifier"]["source"]] == ["bert.pooler.dense"]
    figures = runs.metrics(run)
    for epoch in range(2):
        assert {(epoch, "train", "loss"), (epoch, "eval", "loss"), (epoch, None, "learning_rate")} <= set(figures)
        assert len([row for row in runs.rows(run, "classifications") if row["epoch"] == epoch]) == 10
    assert (1, "train", "runtime") in figures
    assert runs.info(run)["config"]["training"]["learning_rate"] == 0.01 and runs.info(run)["seed"] == 3
    assert callback.recorder is not None and callback.recorder.num_steps == 2 * steps


@pytest.mark.parametrize(("begin", "saved"), [((2, 12), {"save_strategy": "epoch"}), ((1, 10), {"save_steps": 10})])
def test_a_resumed_training_goes_on_with_its_epochs_and_steps(
    begin: tuple[int, int], saved: dict[str, Any], tmp_path: Path
) -> None:
    saved = {"save_strategy": "steps"} | saved
    # The trainer evaluates for the first time when an epoch is over: steps before have no held-out samples.
    options: Any = {"every": "1epoch,5steps", "record_initial": True, "on_error": "stop"}
    options["held_out"] = torch.utils.data.DataLoader(Sentences(10, 1), batch_size=8)
    trained(tmp_path, sg.transformers.Callback(tmp_path / "first", **options), **saved)
    assert runs.captures(tmp_path / "first") == [(-1, 0), (0, 5), (0, 6), (1, 10), (1, 12)]
    callback = sg.transformers.Callback(tmp_path / "second", **options)
    epoch, step = begin
    trained(tmp_path, callback, checkpoint=tmp_path / "out" / f"checkpoint-{step}", num_train_epochs=4, **saved)
    later = [(1, 12), (2, 15), (2, 18), (3, 20), (3, 24)]
    assert runs.captures(tmp_path / "second") == [capture for capture in later if capture[1] > step]
    evaluated = {each for each, phase, _ in runs.metrics(tmp_path / "second") if phase == "eval"}
    assert evaluated == set(range(epoch, 4))
    assert callback.recorder is not None and callback.recorder.num_steps == 24


def test_a_training_that_is_broken_off_is_ended_and_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    class Stops(hf.TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 8:
                raise KeyError("mine")

    hooked: list[Any] = []

    class Keeps(hf.TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, optimizer: Any = None, **_: Any) -> None:
            hooked.append(getattr(optimizer, "optimizer", optimizer))

    with pytest.raises(KeyError, match="mine"), sg.transformers.Callback() as callback:
        trained(tmp_path, callback, Keeps(), Stops())
    assert callback.recorder is not None and callback.recorder.summary is not None
    assert runs.captures(callback.recorder.path) == [(0, 6)]
    assert not hooked[0]._optimizer_step_post_hooks and not hooked[0]._optimizer_step_pre_hooks

    # Without that, the next training ends it.
    again = sg.transformers.Callback()
    with pytest.raises(KeyError, match="mine"):
        trained(tmp_path, again, Keeps(), Stops())
    first = again.recorder
    trained(tmp_path, again)
    assert first is not None and first.summary is not None and again.recorder is not first
    assert not hooked[1]._optimizer_step_post_hooks
    # Nobody had said that its epoch was over: evaluation was.
    assert runs.captures(first.path) == [(0, 6)]


def test_layers_of_gpt_2_are_recorded_put_back_and_silenced(tmp_path: Path) -> None:
    def made() -> Any:
        sizes = {"vocab_size": 20, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_inner": 12, "n_positions": 8, "num_labels": 3}
        tokens = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
        return hf.GPT2ForSequenceClassification(hf.GPT2Config(**sizes, **tokens))

    torch.manual_seed(0)
    model, other = made(), made()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    tokens, y = torch.randint(1, 20, (10, 5)), torch.randint(0, 3, (10,))
    with sg.record(model, tmp_path / "run", optimizer=optimizer, on_error="stop") as rec:
        model(input_ids=tokens, labels=y).loss.backward()
        optimizer.step()
        assert rec.epoch(held_out=({"input_ids": tokens}, y))
    run, described, state = sg.open(tmp_path / "run"), runs.layers(tmp_path / "run"), model.state_dict()
    values = runs.Values(tmp_path / "run", "weights")
    block = "transformer.h.0"
    # Its Conv1D has units along the last axis.
    for label, num_units in (("attn.c_attn", 24), ("attn.c_proj", 8), ("mlp.c_fc", 12), ("mlp.c_proj", 8)):
        weight = state[f"{block}.{label}.weight"]
        assert weight.shape[1] == num_units == described[f"{block}.{label}"]["num_units"]
        assert runs.same_bits(values.weight(0, 1, f"{block}.{label}"), weight.T), label
        assert runs.same_bits(values.bias(0, 1, f"{block}.{label}"), state[f"{block}.{label}.bias"]), label
    assert [each["from"] for each in described[f"{block}.mlp.c_proj"]["source"]] == [f"{block}.mlp.c_fc"]
    model.eval(), other.eval()
    run.load_state_dict(other)
    with torch.no_grad():
        whole = model(input_ids=tokens).logits
        assert torch.equal(other(input_ids=tokens).logits, whole)
        first = next(layer["first_neuron"] for layer in run.info["layers"] if layer["layer"] == f"{block}.mlp.c_fc")

        def silence(_: Any, __: Any, output: torch.Tensor) -> torch.Tensor:
            return output.index_fill(-1, torch.tensor([2, 7]), 0.0)

        handle = model.transformer.h[0].mlp.act.register_forward_hook(silence)
        expected = model(input_ids=tokens).logits
        handle.remove()
        with sg.silenced(other, run, neurons=[f"{block}.mlp.c_fc:{first + unit}" for unit in (2, 7)]):
            assert torch.equal(other(input_ids=tokens).logits, expected)
        assert not torch.equal(expected, whole) and torch.equal(other(input_ids=tokens).logits, whole)
