"""The named queries about neurons and samples against numpy, on real runs."""

import json

import pytest

import neuron_reference
from agreement import assert_agrees

QUERIES = [
    "by_neuron_activations",
    "epoch_average_activations",
    "correct_vs_incorrect",
    "class_selectivity",
    "weight_drift",
    "layer_profile",
    "dead_neurons",
    "cartography",
]


@pytest.fixture(scope="module")
def reference(real_run):
    return neuron_reference.reference(real_run)


@pytest.mark.parametrize("name", QUERIES)
def test_agrees_with_numpy(name, real_run, query, reference):
    assert_agrees(query.named(name, real_run), reference[name], name)


@pytest.fixture(scope="module")
def few_samples(recorder, tmp_path_factory):
    """A run that keeps activations of 100 samples and classifications of 297, with several captures an epoch."""
    run = tmp_path_factory.mktemp("runs") / "few"
    arguments = ["--epochs", 3, "--hidden", "12,8", "--activation-samples", 100, "--every", "10steps", "--record-initial"]
    recorder("train", "--device", "cpu", *arguments, "--out", run)
    assert json.loads((run / "run.json").read_text())["dataset"]["num_held_out"] == 297
    return run


@pytest.mark.parametrize("name", ["by_neuron_activations", "correct_vs_incorrect", "class_selectivity", "weight_drift"])
def test_samples_are_paired_where_activations_are_of_the_first_alone(name, few_samples, query):
    rows = neuron_reference.reference(few_samples)[name]
    if name == "correct_vs_incorrect":
        assert (rows["num_correct"] + rows["num_incorrect"] == 100).all()
    assert_agrees(query.named(name, few_samples), rows, name)
