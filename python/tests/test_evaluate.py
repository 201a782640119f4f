"""What a network makes of held-out samples, against the same computed by hand."""

from __future__ import annotations

import os
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from stratigraph_nn._torch.errors import HeldOutError
from stratigraph_nn._torch.evaluate import Evaluation, evaluate
from stratigraph_nn._torch.held_out import first_inputs
from stratigraph_nn._torch.layers import Network, describe
from stratigraph_nn._torch.probe import probe


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def by_label(network: Network, evaluation: Evaluation) -> dict[str, Tensor]:
    return {network.layers[index].label: values for index, values in evaluation.activations.items()}


def same(left: Tensor, right: Tensor) -> bool:
    assert left.dtype == torch.float32 and left.is_contiguous() and left.device.type == "cpu"
    assert left.shape == right.shape
    return bool(torch.allclose(left, right, rtol=1e-5, atol=1e-6))


def perceptron() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(5, 3))


@pytest.mark.parametrize("is_probed", [False, True])
@pytest.mark.parametrize("batch_size", [None, 3])
def test_activations_are_values_after_the_non_linearity_and_the_last_are_logits(
    batch_size: int | None, is_probed: bool
) -> None:
    model = perceptron()
    network = describe(model)
    x, y = torch.randn(10, 2, 3), torch.randint(0, 3, (10,))
    if is_probed:
        probe(network, [x[:2]])
    result = evaluate(network, (x, y), batch_size=batch_size)
    with torch.no_grad():
        hidden = torch.relu(F.linear(x.flatten(1), model[1].weight, model[1].bias))
        logits = F.linear(hidden, model[4].weight, model[4].bias)
    found = by_label(network, result)
    assert list(found) == ["L_1", "L_4"]
    assert same(found["L_1"], hidden) and same(found["L_4"], logits)
    assert same(result.logits, logits)
    assert result.targets.dtype == torch.int64 and torch.equal(result.targets, y)
    assert (result.loss, result.losses, result.left_out) == ("softmax_cross_entropy", None, {})
    assert model.training


def test_positions_are_averaged_after_the_non_linearity() -> None:
    class Images(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 4, 3)
            self.bn = nn.BatchNorm2d(4)
            self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)
            self.fc = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.up(F.relu(self.bn(self.conv(x)))).amax((2, 3)))

    model = Images()
    network = describe(model)
    x, y = torch.randn(7, 2, 5, 6), torch.randint(0, 2, (7,))
    found = by_label(network, evaluate(network, (x, y), batch_size=4))
    model.eval()
    with torch.no_grad():
        conv = model.conv(x)
        bn = torch.relu(model.bn(conv))
        up = model.up(bn)
    assert list(found) == ["conv", "bn", "up", "fc"]
    for label, values in [("conv", conv), ("bn", bn), ("up", up)]:
        assert same(found[label], values.mean((2, 3)))


class Block(nn.Module):
    """A residual block that works in place."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 4)
        self.b = nn.Linear(4, 4)
        self.out = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        identity = self.a(x).tanh_()
        out = self.b(identity)
        out += identity
        return self.out(F.relu(out, inplace=True))


@pytest.mark.parametrize("in_inference_mode", [False, True])
@pytest.mark.parametrize("is_loader", [False, True])
def test_a_change_in_place_does_not_change_what_a_layer_made(is_loader: bool, in_inference_mode: bool) -> None:
    model = Block()
    network = describe(model)
    x, y = torch.randn(6, 3), torch.zeros(6, dtype=torch.int64)
    held_out: Any = [(x[:2], y[:2]), (x[2:], y[2:])] if is_loader else (x, y)
    with torch.inference_mode(in_inference_mode):
        found = by_label(network, evaluate(network, held_out, batch_size=2))
        probe(network, [x])
    with torch.no_grad():
        a = torch.tanh(model.a(x))
        b = model.b(a)
    assert same(found["a"], a) and same(found["b"], b)
    assert [layer.activation for layer in network.layers] == ["tanh", None, None]


def test_a_non_linearity_that_comes_at_times() -> None:
    class AtTimes(nn.Module):
        def __init__(self, in_place: bool) -> None:
            super().__init__()
            self.a = nn.Linear(2, 3)
            self.in_place = in_place

        def forward(self, x: Tensor) -> Tensor:
            hidden = self.a(x)
            if x[0, 0] > 0:
                return torch.relu(hidden) * 2
            return hidden.mul_(2) if self.in_place else hidden * 2

    x = torch.tensor([[1.0, 2.0], [1.0, -1.0], [-1.0, 2.0], [-1.0, 1.0]])
    held_out = x, torch.zeros(4, dtype=torch.int64)
    model = AtTimes(in_place=False)
    network = describe(model)
    found = by_label(network, evaluate(network, held_out, batch_size=2))
    own = model.a(x).detach()
    assert same(found["a"], torch.cat([torch.relu(own[:2]), own[2:]]))
    # The value is gone before it is known that it is asked for.
    network = describe(AtTimes(in_place=True))
    result = evaluate(network, held_out, batch_size=2)
    assert result.activations == {}
    assert result.left_out == {0: "its output was changed in place before a non-linearity"}


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("norm_first", [True, False])
def test_a_transformer_encoder(batch_first: bool, norm_first: bool) -> None:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(9, 4)
            layer = nn.TransformerEncoderLayer(
                4, 2, 8, dropout=0.3, batch_first=batch_first, norm_first=norm_first, activation="gelu"
            )
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Linear(4, 3)

        def forward(self, tokens: Tensor) -> Tensor:
            x = self.tokens(tokens)
            x = self.encoder(x if batch_first else x.transpose(0, 1))
            return self.head(x.mean(1 if batch_first else 0))

    model = Encoder().eval()
    network = describe(model)
    # As many samples as tokens: only the modules say which axis is which.
    tokens, y = torch.randint(0, 9, (5, 5)), torch.randint(0, 3, (5,))
    probe(network, [tokens[:2]])
    result = evaluate(network, (tokens, y))
    found = by_label(network, result)
    hidden: dict[str, Tensor] = {}
    last = model.encoder.layers[1]
    handles = [
        last.linear1.register_forward_hook(lambda m, a, output: hidden.__setitem__("linear1", F.gelu(output))),
        last.self_attn.register_forward_hook(lambda m, a, output: hidden.__setitem__("attn", output[0])),
        last.norm2.register_forward_hook(lambda m, a, output: hidden.__setitem__("norm2", output)),
    ]
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            logits = model(tokens)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
        for handle in handles:
            handle.remove()
    axis = 1 if batch_first else 0
    assert same(result.logits, logits)
    assert same(found["encoder.layers.1.linear1"], hidden["linear1"].mean(axis))
    assert same(found["encoder.layers.1.self_attn.out_proj"], hidden["attn"].mean(axis))
    assert same(found["encoder.layers.1.norm2"], hidden["norm2"].mean(axis))
    # An embedding's are by dimension.
    assert same(found["tokens"], model.tokens(tokens).detach().mean(1))
    assert not any("in_proj" in label for label in found)
    assert torch.backends.mha.get_fastpath_enabled()


def test_recurrent_networks() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(9, 4)
            self.lstm = nn.LSTM(4, 3, batch_first=True)
            self.out = nn.Linear(3, 2)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.out(self.lstm(self.tokens(tokens))[1][0][-1])

    network = describe(Recurrent())
    result = evaluate(network, (torch.randint(0, 9, (6, 4)), torch.zeros(6, dtype=torch.int64)))
    # Gates are no values of the module's output.
    assert list(by_label(network, result)) == ["tokens", "out"]
    assert result.left_out == {}


def test_the_last_of_several_calls_counts() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(self.a(torch.relu(self.a(x)))) * 2

    model = Twice()
    network = describe(model)
    x = torch.randn(5, 3)
    found = by_label(network, evaluate(network, (x, torch.zeros(5, dtype=torch.int64)), batch_size=2))
    with torch.no_grad():
        assert same(found["a"], torch.relu(model.a(torch.relu(model.a(x)))))


def test_checkpointed_activations() -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(3, 4)
            self.b = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(checkpoint(lambda x: torch.relu(self.a(x)), x, use_reentrant=False))

    model = Checkpointed()
    network = describe(model)
    x = torch.randn(5, 3)
    found = by_label(network, evaluate(network, (x, torch.zeros(5, dtype=torch.int64))))
    assert same(found["a"], torch.relu(model.a(x)).detach())


def test_inputs_are_arguments_and_outputs_may_have_other_things() -> None:
    class ModelOutput(OrderedDict[str, Any]):
        """As transformers has it."""

        @property
        def logits(self) -> Tensor:
            return self["logits"]

    class Model(nn.Module):
        def __init__(self, kind: str) -> None:
            super().__init__()
            self.a = nn.Linear(2, 3)
            self.kind = kind

        def forward(self, x: Tensor, scale: Tensor | None = None) -> Any:
            logits = self.a(x)
            if scale is not None:
                logits = logits * scale
            loss, probabilities = logits.sum(), torch.sigmoid(logits)
            if self.kind == "attribute":
                return ModelOutput(loss=loss, logits=logits, probabilities=probabilities)
            if self.kind == "mapping":
                return {"probabilities": probabilities, "logits": logits}
            if self.kind == "tuple":
                return logits, probabilities
            return {"probabilities": probabilities, "loss": loss}

    x, scale, y = torch.randn(5, 2), torch.rand(5, 1), torch.randint(0, 3, (5,))
    for kind in ("attribute", "mapping", "tuple"):
        model = Model(kind)
        network = describe(model)
        logits = model.a(x).detach()
        for inputs, expected in [
            (x, logits),
            ({"x": x}, logits),
            ((x, scale), logits * scale),
            ({"x": x, "scale": scale}, logits * scale),
        ]:
            result = evaluate(network, (inputs, y), batch_size=2)
            assert same(result.logits, expected)
        # What the network makes of its logits besides is no activation of the output layer.
        found = by_label(network, evaluate(network, (x, y), batch_size=2))
        assert same(found["a"], logits)
    with pytest.raises(HeldOutError, match="the network returns probabilities, loss: give held_out as a callable"):
        evaluate(describe(Model("neither")), (x, y))


def test_loaders_and_batches() -> None:
    model = nn.Linear(2, 3)
    network = describe(model)
    x, y = torch.randn(7, 2), torch.randint(0, 3, (7,))
    whole = evaluate(network, (x, y))
    data = torch.utils.data.TensorDataset(x, y)
    batches = [(x[:4], y[:4]), (x[4:], y[4:])]
    for held_out in (
        torch.utils.data.DataLoader(data, batch_size=3),
        batches,
        [{"input": x[:4], "labels": y[:4]}, {"input": x[4:], "labels": y[4:]}],
        iter(batches),
    ):
        result = evaluate(network, held_out)
        assert same(result.logits, whole.logits) and torch.equal(result.targets, y)
        assert same(result.activations[0], whole.activations[0])
        assert result.loss == whole.loss
    with pytest.raises(HeldOutError, match=r"a batch of held_out is 3 things, not \(inputs, targets\)"):
        evaluate(network, [(x, x, y)])
    with pytest.raises(HeldOutError, match="a batch of held_out has input, size, and no labels among them"):
        evaluate(network, [{"input": x, "size": y}])


def test_a_probe_can_have_the_first_of_them() -> None:
    x, y = torch.randn(7, 2), torch.randint(0, 3, (7,))
    data = torch.utils.data.TensorDataset(x, y)
    for held_out in ((x, y), torch.utils.data.DataLoader(data, batch_size=3), ((x, x), y), (x.numpy(), y.numpy())):
        given = first_inputs(held_out, torch.float32)
        assert given is not None
        args, kwargs = given
        assert all(torch.equal(arg, x[:2]) for arg in args) and kwargs == {}
    given = first_inputs([{"input": x, "labels": y}], torch.float32)
    assert given is not None and given[0] == () and torch.equal(given[1]["input"], x[:2])
    for held_out in (iter([(x, y)]), lambda model: (model(x), y), []):
        assert first_inputs(held_out, torch.float32) is None


def test_arrays_of_numpy() -> None:
    network = describe(nn.Linear(2, 3))
    x, y = np.random.default_rng(0).normal(size=(7, 2)), np.arange(7) % 3
    x.setflags(write=False)
    with warnings.catch_warnings():
        # PyTorch warns of arrays that cannot be written.
        warnings.simplefilter("error")
        result = evaluate(network, (x, y), batch_size=3)
    expected = evaluate(network, (torch.tensor(x, dtype=torch.float32), torch.tensor(y)))
    assert same(result.logits, expected.logits) and torch.equal(result.targets, expected.targets)
    assert torch.equal(evaluate(network, (x, [0, 1, 2, 0, 1, 2, 0])).targets, expected.targets)


def test_frames_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    network = describe(nn.Linear(2, 3))
    x, y = np.random.default_rng(0).normal(size=(7, 2)), np.arange(7) % 3
    # An index that is not the places of the rows.
    index = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0]
    frame, series = pandas.DataFrame(x, columns=["a", "b"], index=index), pandas.Series(y, index=index)
    expected = evaluate(network, (x, y), batch_size=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = evaluate(network, (frame, series), batch_size=3)
    assert same(result.logits, expected.logits) and torch.equal(result.targets, expected.targets)
    assert first_inputs((frame, series), torch.float32)[0][0].shape == (2, 2)


def test_callables() -> None:
    model = perceptron()
    network = describe(model)
    x, y = torch.randn(7, 6), torch.randint(0, 3, (7,))
    whole = evaluate(network, (x, y))

    def at_once(model: nn.Module) -> tuple[Tensor, Tensor]:
        assert not model.training and not torch.is_grad_enabled()
        return torch.cat([model(x[:4]), model(x[4:])]), y

    def by_batch(model: nn.Module) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for part in (slice(0, 4), slice(4, 7)):
            logits = model(x[part])
            yield logits, y[part], F.cross_entropy(logits, y[part], reduction="none")

    def by_parts(model: nn.Sequential) -> Iterator[tuple[Tensor, Tensor]]:
        for part in (slice(0, 4), slice(4, 7)):
            hidden = model[2](model[1](x[part]))
            yield model[4](hidden), y[part]

    for held_out in (at_once, by_batch, by_parts):
        result = evaluate(network, held_out)
        assert same(result.logits, whole.logits) and torch.equal(result.targets, y)
        assert result.activations.keys() == whole.activations.keys()
        for index, values in whole.activations.items():
            assert same(result.activations[index], values)
    losses = evaluate(network, by_batch).losses
    assert losses is not None and same(losses, F.cross_entropy(whole.logits, y, reduction="none"))
    with pytest.raises(HeldOutError, match="something else than"):
        evaluate(network, lambda model: [model(x)])
    with pytest.raises(HeldOutError, match="held_out gives a NoneType"):
        evaluate(network, lambda model: None)


def test_layers_that_do_not_see_every_sample_once_have_no_activations() -> None:
    class Partly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(2, 3)
            self.some = nn.Linear(2, 3)
            self.flat = nn.Linear(1, 3)
            self.never = nn.Linear(2, 3)
            self.at_first = nn.Linear(2, 3)
            self.at_last = nn.Linear(2, 3)
            self.is_first = True

        def forward(self, x: Tensor) -> Tensor:
            self.some(x)
            self.some(x[:1])
            self.flat(x.reshape(-1, 1))
            if self.is_first:
                self.at_first(x)
            self.is_first = False
            self.at_last(x[:1])
            return self.a(x + 0 * self.at_last(x).mean())

    network = describe(Partly())
    x, y = torch.randn(6, 2), torch.zeros(6, dtype=torch.int64)
    for held_out in ((x, y), [(x[:4], y[:4]), (x[4:], y[4:])]):
        result = evaluate(network, held_out, batch_size=4)
        assert list(by_label(network, result)) == ["a", "at_last"]
        assert result.left_out == {
            1: "its output [1, 3] has no axis of 2 samples",
            2: "its output [4, 3] has no axis of 2 samples",
            3: "its module was not called",
            4: "it has values of 4 samples of 6",
        }


def test_only_selected_layers_are_watched() -> None:
    network = describe(perceptron())
    held_out = torch.randn(4, 6), torch.zeros(4, dtype=torch.int64)
    assert list(evaluate(network, held_out, selected={0}).activations) == [0]
    assert evaluate(network, held_out, activations=False).activations == {}


def test_losses_are_guessed_or_said() -> None:
    x = torch.randn(4, 2)
    one, three = describe(nn.Linear(2, 1)), describe(nn.Linear(2, 3))
    squeezed = describe(nn.Sequential(nn.Linear(2, 1), nn.Flatten(0)))
    classes, labels = torch.tensor([0, 2, 1, 0]), torch.rand(4, 3).round()
    binary = torch.tensor([0, 1, 1, 0])
    for network, targets, loss, name, expected in [
        (three, classes, None, "softmax_cross_entropy", classes),
        (three, classes.to(torch.int32), "cross_entropy", "softmax_cross_entropy", classes),
        (three, classes.unsqueeze(1), None, "softmax_cross_entropy", classes),
        (one, binary, None, "binary_cross_entropy", binary.float().unsqueeze(1)),
        (one, binary.bool(), None, "binary_cross_entropy", binary.float().unsqueeze(1)),
        (squeezed, binary.float(), "bce_with_logits", "binary_cross_entropy", binary.float().unsqueeze(1)),
        (three, labels, "bce_with_logits", "multi_label_cross_entropy", labels),
        (three, labels.bool(), None, "multi_label_cross_entropy", labels),
        (three, labels.double(), None, "mean_squared_error", labels),
        (one, torch.arange(4.0), "mse", "mean_squared_error", torch.arange(4.0).unsqueeze(1)),
    ]:
        result = evaluate(network, (x, targets), loss=loss)
        assert result.loss == name
        assert torch.equal(result.targets, expected) and result.targets.dtype == expected.dtype
        assert result.logits.shape == (4, 1 if network is not three else 3)


def test_what_does_not_go_together_is_refused() -> None:
    network = describe(nn.Linear(2, 3))
    x = torch.randn(4, 2)
    for held_out, loss, problem in [
        ((x, torch.zeros(3, dtype=torch.int64)), None, "inputs of 4 samples and targets of 3"),
        ((x[:0], torch.zeros(0)), None, "held_out has no samples"),
        ([], None, "held_out has no samples"),
        ((x, torch.tensor([0, 1, 3, 0])), None, "sample 2 of held_out is of class 3, and the network has 3 outputs"),
        ((x, torch.tensor([0, -100, 1, 0])), None, "sample 1 of held_out is of class -100"),
        ((x, torch.rand(4, 3)), "cross_entropy", "cross_entropy needs a class a sample"),
        ((x, torch.zeros(4, 3, dtype=torch.int64)), None, "cross_entropy needs a class a sample"),
        ((x, torch.rand(4, 2)), None, r"mse needs a target an output: logits are \[4, 3\], targets \[4, 2\]"),
        ((x, torch.zeros(4)), "hinge", "loss 'hinge' is not known: there are cross_entropy, bce_with_logits, mse"),
        (3, None, "held_out is a int, not"),
    ]:
        with pytest.raises(HeldOutError, match=problem):
            evaluate(network, held_out, loss=loss)
    with pytest.raises(HeldOutError, match="batch_size is 0"):
        evaluate(network, (x, torch.zeros(4)), batch_size=0)
    tokens = describe(nn.Linear(2, 3))
    with pytest.raises(HeldOutError, match=r"the network's outputs are \[4, 5, 3\]"):
        evaluate(tokens, (torch.randn(4, 5, 2), torch.zeros(4, 5, dtype=torch.int64)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_floats_become_32_bits_wide(dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Conv1d(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(9, 2)).to(dtype)
    network = describe(model)
    x = torch.randn(5, 2, 4, dtype=dtype)
    result = evaluate(network, (x, torch.zeros(5, dtype=torch.int64)))
    with torch.no_grad():
        hidden = torch.relu(model[0](x))
        assert same(result.activations[0], hidden.double().mean(2).float())
        assert same(result.logits, model(x).float())
    from_numpy = evaluate(network, (np.zeros((5, 2, 4), dtype=np.float32), np.zeros(5, dtype=np.int64)))
    assert from_numpy.logits.dtype == torch.float32


def test_logits_do_not_depend_on_what_is_recorded() -> None:
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(12, 2)).eval()
    network = describe(model)
    held_out = torch.randn(5, 3, 4), torch.zeros(5, dtype=torch.int64)
    logits = evaluate(network, held_out).logits
    assert torch.equal(evaluate(network, held_out, activations=False).logits, logits)


def test_nothing_is_compiled_for_a_look() -> None:
    num_compiled = 0

    def backend(graph: Any, inputs: Any) -> Any:
        nonlocal num_compiled
        num_compiled += 1
        return graph.forward

    inner = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    model = nn.Sequential(torch.compile(inner, backend=backend), nn.Linear(4, 2))
    x, y = torch.randn(6, 3), torch.randint(0, 2, (6,))
    F.cross_entropy(model(x), y).backward()
    before = num_compiled
    network = describe(model)
    probe(network, [x])
    found = by_label(network, evaluate(network, (x, y)))
    assert num_compiled == before
    assert same(found["L_0.0"], torch.relu(inner[0](x)).detach())
    F.cross_entropy(model(x), y).backward()
    assert num_compiled == before


def test_models_that_are_compiled_or_distributed() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x, y = torch.randn(6, 3), torch.randint(0, 2, (6,))
    plain = evaluate(describe(model), (x, y))
    compiled = torch.compile(model, backend="aot_eager")
    optimizer = torch.optim.SGD(compiled.parameters(), lr=0.0)
    for wrapped in (compiled, nn.DataParallel(model)):
        F.cross_entropy(wrapped(x), y).backward()
        optimizer.step()
        network = describe(wrapped)
        result = evaluate(network, (x, y))
        assert same(result.logits, plain.logits)
        assert all(same(result.activations[index], values) for index, values in plain.activations.items())
        # Compiled code is still what trains.
        F.cross_entropy(wrapped(x), y).backward()


def test_parts_that_are_scripted_run_in_evaluation_mode() -> None:
    class Halves(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 0.5 if self.training else x

    model = nn.Sequential(nn.Linear(3, 2), torch.jit.script(Halves()))
    x = torch.randn(4, 3)
    result = evaluate(describe(model), (x, torch.zeros(4, dtype=torch.int64)))
    assert same(result.logits, model[0](x).detach())
    assert model[1].training


def test_layers_whose_values_are_elsewhere() -> None:
    """Parts of a network on another device, as far as a CPU can show it: inputs follow the first parameter."""

    class Parts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(2, 3, device="cpu")
            self.b = nn.Linear(3, 2, dtype=torch.float64)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(torch.relu(self.a(x)).to(self.b.weight))

    model = Parts()
    network = describe(model)
    x = torch.randn(4, 2)
    probe(network, [x])
    assert network.layers[1].source == [{"from": "a", "start": 0, "count": 3, "stride": 1, "repeat": 1}]
    found = by_label(network, evaluate(network, (x, torch.zeros(4, dtype=torch.int64))))
    assert same(found["b"], model(x).detach().float())
