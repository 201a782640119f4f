"""What one forward pass shows: order, non-linearities and sources. All that is expected is worked out by hand."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from stratigraph_nn._torch.evaluate import evaluate
from stratigraph_nn._torch.layers import Layer, Network, describe
from stratigraph_nn._torch.probe import probe


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def probed(model: nn.Module, *args: Any, **kwargs: Any) -> Network:
    network = describe(model)
    probe(network, args, kwargs)
    return network


def by_label(network: Network) -> dict[str, Layer]:
    return {layer.label: layer for layer in network.layers}


def sources(network: Network) -> dict[str, Any]:
    return {layer.label: layer.source for layer in network.layers}


def activations(network: Network) -> dict[str, str | None]:
    return {layer.label: layer.activation for layer in network.layers}


def of(label: str, count: int, start: int = 0, stride: int = 1, repeat: int = 1) -> dict[str, Any]:
    return {"from": label, "start": start, "count": count, "stride": stride, "repeat": repeat}


def test_a_perceptron_of_flattened_images() -> None:
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(12, 5),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(5, 4),
        nn.Sigmoid(),
        nn.Linear(4, 3),
    )
    network = probed(model, torch.randn(2, 1, 3, 4))
    assert sources(network) == {"L_1": [of("input", 12)], "L_4": [of("L_1", 5)], "L_6": [of("L_4", 4)]}
    assert activations(network) == {"L_1": "relu", "L_4": "sigmoid", "L_6": None}


def test_a_convolutional_network() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, (1, 2)),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d((2, 3)),
        nn.Flatten(),
        nn.Linear(36, 5),
    )
    network = probed(model, torch.randn(2, 3, 8, 10))
    # An image's channel goes by all 9 places of a kernel; a channel's 2 x 3 places lie one after the other.
    assert {label: source for label, source in sources(network).items() if source} == {
        "L_0": [of("input", 3, repeat=9)],
        "L_3": [of("L_0", 4, repeat=2)],
        "L_8": [of("L_4", 6, repeat=6)],
    }
    named = {label: name for label, name in activations(network).items() if name}
    assert named == {"L_0": "relu", "L_4": "relu"}


def test_channels_that_are_averaged_feed_one_position_each() -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)
            self.fc = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(torch.tanh(self.conv(x)).mean(dim=(2, 3)))

    network = probed(Pooled(), torch.randn(2, 1, 6, 6))
    assert sources(network) == {"conv": [of("input", 1, repeat=9)], "fc": [of("conv", 4)]}
    assert activations(network)["conv"] == "tanh"


def test_groups_hear_different_channels_which_is_unknown() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 8, 3, groups=2), nn.Conv2d(8, 2, 1))
    network = probed(model, torch.randn(2, 4, 5, 5))
    assert sources(network) == {"L_0": [of("input", 4)], "L_1": None, "L_2": [of("L_1", 8)]}


def test_transposed_convolutions() -> None:
    model = nn.Sequential(nn.Linear(3, 8), nn.Unflatten(1, (2, 2, 2)), nn.ConvTranspose2d(2, 4, 2), nn.Conv2d(4, 1, 1))
    network = probed(model, torch.randn(2, 3))
    # Each of the two channels is made of four units: which one comes in depends on the place.
    assert sources(network) == {"L_0": [of("input", 3)], "L_2": None, "L_3": [of("L_2", 4)]}
    flat = nn.Sequential(nn.Linear(3, 2), nn.Unflatten(1, (2, 1, 1)), nn.ConvTranspose2d(2, 4, 2))
    assert sources(probed(flat, torch.randn(2, 3)))["L_2"] == [of("L_0", 2, repeat=4)]


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(7, 2)
        self.left = nn.Linear(3, 2)
        self.right = nn.Linear(3, 4)
        self.unused = nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        right = F.gelu(self.right(x))
        left = self.left(x).relu()
        return self.out(torch.cat([left, right, left[:, 1:]], dim=1))


def test_branches_that_are_put_together_are_ranges() -> None:
    network = probed(Branches(), torch.randn(2, 3))
    # In the order of the forward pass; what it does not call stays behind what is before it.
    assert [layer.label for layer in network.layers] == ["right", "unused", "left", "out"]
    assert sources(network) == {
        "right": [of("input", 3)],
        "unused": None,
        "left": [of("input", 3)],
        "out": [of("left", 2), of("right", 4), of("left", 1, start=1)],
    }
    assert activations(network) == {"right": "gelu", "unused": None, "left": "relu", "out": None}


def test_several_inputs_are_numbered_one_after_the_other() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(2, 2)
            self.b = nn.Linear(3, 2)
            self.both = nn.Linear(5, 2)

        def forward(self, batch: dict[str, Tensor], *, third: Tensor) -> tuple[Tensor, Tensor]:
            self.both(torch.cat([batch["y"], batch["x"]], 1))
            return self.a(batch["x"]), self.b(third)

    network = probed(Two(), {"x": torch.randn(4, 2), "y": torch.randn(4, 3)}, third=torch.randn(4, 3))
    assert sources(network) == {
        "both": [of("input", 3, start=2), of("input", 2)],
        "a": [of("input", 2)],
        "b": [of("input", 3, start=5)],
    }


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.bn = nn.BatchNorm1d(4)
        self.out = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        identity = self.first(x).relu_()
        out = self.bn(self.second(identity))
        out += identity
        return self.out(F.relu(out, inplace=True))


def test_a_sum_with_something_else_has_no_source_and_is_no_layers_output() -> None:
    network = probed(Residual(), torch.randn(3, 4))
    assert sources(network)["second"] == [of("first", 4)]
    assert sources(network)["out"] is None
    assert activations(network)["first"] == "relu"
    # The relu is of the sum.
    assert activations(network)["bn"] is None


def test_layers_without_a_weight_are_seen_through() -> None:
    class Through(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 6)
            self.b = nn.Linear(6, 6)
            self.c = nn.Linear(6, 6)
            self.d = nn.Linear(3, 2)
            self.plain = nn.BatchNorm1d(6, affine=False)
            self.scale = nn.Parameter(torch.ones(6))
            self.shift = nn.Parameter(torch.ones(6))
            self.register_buffer("mean", torch.zeros(6))

        def forward(self, x: Tensor) -> Tensor:
            x = 2 * (self.a(x) - self.mean) / 3 + torch.ones(6)
            x = self.b(self.plain(x * self.scale).clamp(min=0) ** 2)
            x = self.c(nn.Identity()(x * torch.sigmoid(x)).view(-1, 2, 3).transpose(1, 2).reshape(-1, 6))
            return self.d((x + self.shift)[:, ::2])

    network = probed(Through(), torch.randn(3, 4))
    assert sources(network)["b"] == [of("a", 6)]
    # 0 3 1 4 2 5, as ranges that go up.
    assert sources(network)["c"] == [of("b", 2, stride=3), of("b", 2, start=1, stride=3), of("b", 2, start=2, stride=3)]
    # Of a sum with a parameter both are sources.
    assert sources(network)["d"] is None


def test_what_is_not_known_to_keep_units_apart_is_unknown() -> None:
    class Mixed(nn.Module):
        def __init__(self, mix: Any) -> None:
            super().__init__()
            self.a = nn.Linear(4, 4)
            self.b = nn.Linear(4, 2)
            self.mix = mix

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.mix(self.a(x)))

    def written_into(x: Tensor) -> Tensor:
        x[:, 0] = 1
        return x

    def viewed_and_changed(x: Tensor) -> Tensor:
        x.view(-1).mul_(torch.rand(x.numel()))
        return x

    def by_itself(x: Tensor) -> Tensor:
        return x[torch.arange(len(x)), :][:, x[0].argsort()]

    for mix in (
        lambda x: x.softmax(-1),
        lambda x: F.layer_norm(x, (4,)),
        lambda x: x @ torch.eye(4),
        lambda x: x.cumsum(1),
        lambda x: x.mean(1, keepdim=True).expand(-1, 4),
        lambda x: F.avg_pool1d(x, 2).repeat(1, 2),
        lambda x: x + x.mean(1, keepdim=True),
        lambda x: x + x.flip(1),
        lambda x: torch.from_numpy(x.numpy()),
        lambda x: x + torch.tensor(x.flip(1).tolist()),
        written_into,
        viewed_and_changed,
        by_itself,
    ):
        assert sources(probed(Mixed(mix), torch.randn(3, 4)))["b"] is None
    for kept in (lambda x: x[torch.arange(len(x))], lambda x: x * torch.tensor(2.0) + torch.ones(4)):
        assert sources(probed(Mixed(kept), torch.randn(3, 4)))["b"] == [of("a", 4)]


def test_a_transformer_block() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(4)
            self.attn = nn.MultiheadAttention(4, 2, batch_first=True)
            self.norm2 = nn.LayerNorm(4)
            self.linear1 = nn.Linear(4, 8)
            self.linear2 = nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            normed = self.norm(x)
            x = x + self.attn(normed, normed, normed, need_weights=False)[0]
            return x + self.linear2(F.gelu(self.linear1(self.norm2(x))))

    network = probed(Block(), torch.randn(2, 5, 4))
    assert [layer.label for layer in network.layers] == [
        "norm",
        "attn.in_proj_weight",
        "attn.out_proj",
        "norm2",
        "linear1",
        "linear2",
    ]
    assert sources(network) == {
        "norm": None,
        "attn.in_proj_weight": [of("norm", 4)],
        "attn.out_proj": None,
        "norm2": None,
        "linear1": [of("norm2", 4)],
        "linear2": [of("linear1", 8)],
    }
    assert activations(network)["linear1"] == "gelu"


def test_layers_inside_an_encoder_are_called_in_evaluation_mode() -> None:
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, norm_first=True, batch_first=True), 1)
    model.eval()
    network = probed(model, torch.randn(2, 5, 4))
    assert sources(network)["layers.0.linear1"] == [of("layers.0.norm2", 4)]
    assert sources(network)["layers.0.linear2"] == [of("layers.0.linear1", 8)]
    assert activations(network)["layers.0.linear1"] == "relu"


def test_attention_on_two_sequences() -> None:
    class Cross(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(3, 4)
            self.one = nn.MultiheadAttention(4, 2, batch_first=True)
            self.two = nn.MultiheadAttention(4, 2, kdim=5, vdim=5, batch_first=True)

        def forward(self, x: Tensor, memory: Tensor) -> Tensor:
            x = self.one(self.a(x), memory[..., :4], memory[..., :4])[0]
            return self.two(query=x, key=memory, value=memory)[0]

    network = probed(Cross(), torch.randn(2, 3, 3), torch.randn(2, 6, 5))
    found = sources(network)
    assert found["one.in_proj_weight"] is None
    assert found["two.q_proj_weight"] == [of("one.out_proj", 4)]
    # Features of the second input come behind those of the first, 3 x 3 values.
    assert found["two.k_proj_weight"] == found["two.v_proj_weight"] == [of("input", 5, start=9)]


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(11, 4)
        self.lstm = nn.LSTM(4, 3, num_layers=2, batch_first=True)
        self.out = nn.Linear(3, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        outputs, _ = self.lstm(self.tokens(tokens))
        return self.out(outputs[:, -1])


def test_an_embedding_and_an_lstm() -> None:
    network = probed(Recurrent(), torch.randint(0, 11, (2, 5)))
    # The units of an embedding are tokens, those of an LSTM gates: neither is what the next layer hears.
    assert set(sources(network)) == {
        "tokens",
        *(f"lstm.weight_{each}_l{layer}" for layer in (0, 1) for each in ("ih", "hh")),
        "out",
    }
    assert all(source is None for source in sources(network).values())


def test_an_lstm_of_features() -> None:
    network = probed(nn.ModuleDict({"lstm": nn.LSTM(4, 3, batch_first=True)})["lstm"], torch.randn(2, 5, 4))
    assert sources(network) == {"weight_ih_l0": [of("input", 4)], "weight_hh_l0": None}
    cell = probed(nn.GRUCell(4, 3), torch.randn(2, 4))
    assert sources(cell) == {"weight_ih": [of("input", 4)], "weight_hh": None}


def test_a_module_that_is_called_on_different_things_has_no_source() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(3, 3)
            self.b = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.b(self.b(self.a(x)))
            return self.a.forward(x)

    assert sources(probed(Twice(), torch.randn(2, 3))) == {"a": [of("input", 3)], "b": None}


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_checkpointed_activations(use_reentrant: bool) -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(3, 4)
            self.b = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            hidden = checkpoint(lambda x: torch.relu(self.a(x)), x, use_reentrant=use_reentrant)
            return self.b(hidden)

    network = probed(Checkpointed(), torch.randn(2, 3))
    assert activations(network)["a"] == "relu"
    assert sources(network)["a"] == [of("input", 3)]
    # A function of autograd's own hands out other tensors than it made.
    assert sources(network)["b"] in ([of("a", 4)], None)


def test_parametrized_weights_have_sources_and_are_sources() -> None:
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 4)), nn.ReLU(), nn.Linear(4, 2))
    network = probed(model, torch.randn(2, 3))
    original = "L_0.parametrizations.weight.original1"
    assert sources(network)[original] == [of("input", 3)]
    assert sources(network)["L_2"] == [of(original, 4)]
    assert activations(network)[original] == "relu"
    spectral = nn.Sequential(parametrizations.spectral_norm(nn.Linear(3, 4)), nn.Linear(4, 2))
    assert sources(probed(spectral, torch.randn(2, 3)))["L_1"] == [of("L_0.parametrizations.weight.original", 4)]


def test_frozen_networks_and_inputs_that_are_integers() -> None:
    model = Recurrent().requires_grad_(False)
    model.extra = nn.Linear(2, 2)
    probed(model, torch.randint(0, 11, (2, 5)))
    frozen = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1)).requires_grad_(False)
    assert sources(probed(frozen, torch.randn(2, 3)))["L_2"] == [of("L_0", 2)]


def test_non_linearities_by_name() -> None:
    class NewGELUActivation(nn.Module):
        """As transformers has it."""

        def forward(self, x: Tensor) -> Tensor:
            return 0.5 * x * (1 + torch.tanh(0.8 * (x + 0.04 * torch.pow(x, 3))))

    for module, name in [
        (nn.ReLU6(), "relu6"),
        (nn.Hardtanh(), "hardtanh"),
        (nn.LeakyReLU(), "leaky_relu"),
        (nn.ELU(inplace=True), "elu"),
        (nn.SiLU(inplace=True), "silu"),
        (nn.Softplus(), "softplus"),
        (nn.LogSigmoid(), "logsigmoid"),
        (nn.Threshold(0.1, 0), "threshold"),
        (NewGELUActivation(), "gelu"),
        (nn.Softmax(-1), None),
        (nn.PReLU(), "prelu"),
        # With a slope a unit it is a layer of its own.
        (nn.PReLU(3), None),
    ]:
        network = probed(nn.Sequential(nn.Linear(2, 3), module, nn.Linear(3, 1)), torch.randn(2, 2))
        assert activations(network)["L_0"] == name, module


def test_one_slope_for_all_units_is_a_non_linearity_and_several_are_a_layer() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.PReLU(), nn.Linear(3, 2), nn.PReLU(2), nn.Linear(2, 1))
    network = probed(model, torch.randn(2, 4))
    assert {label: source for label, source in sources(network).items() if source} == {
        "L_0": [of("input", 4)],
        "L_2": [of("L_0", 3)],
        "L_4": [of("L_3", 2)],
    }
    x = torch.randn(5, 4)
    made = evaluate(network, (x, torch.randn(5, 1)))
    found = {network.layers[index].label: values for index, values in made.activations.items()}
    hidden = model[1](model[0](x))
    assert made.left_out == {} and list(found) == ["L_0", "L_2", "L_3", "L_4"]
    assert torch.allclose(found["L_0"], hidden) and torch.allclose(found["L_2"], model[2](hidden))


def test_a_number_among_the_inputs_is_one_unit() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, scale: Tensor, x: Tensor, count: Tensor) -> Tensor:
            return self.second(torch.relu(self.first(x))) * scale / count

    network = probed(Scaled(), torch.tensor(2.0), torch.randn(2, 3), count=torch.tensor(5))
    assert sources(network) == {"first": [of("input", 3, start=1)], "second": [of("first", 4)]}
    assert activations(network) == {"first": "relu", "second": None}


def test_the_output_is_the_networks_own_whatever_is_made_of_it_besides() -> None:
    class Probabilities(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 1)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            logits = self.fc(x)
            return {"probabilities": torch.sigmoid(logits), "logits": logits}

    assert activations(probed(Probabilities(), torch.randn(2, 2))) == {"fc": None}


def test_compiled_networks_are_probed_uncompiled() -> None:
    model = torch.compile(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), backend="eager")
    x = torch.randn(2, 3)
    before = model(x)
    network = probed(model, x)
    assert sources(network)["L_2"] == [of("L_0", 4)]
    assert torch.equal(model(x), before)
    inside = nn.Sequential(torch.compile(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), backend="eager"), nn.Linear(4, 2))
    inside(x)
    network = probed(inside, x)
    assert activations(network)["L_0.0"] == "relu"
    assert sources(network)["L_1"] == [of("L_0.0", 4)]
    inplace = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    inplace.compile(backend="eager")
    inplace(x)
    assert sources(probed(inplace, x))["L_2"] == [of("L_0", 4)]


def test_an_error_in_the_network_leaves_the_description_as_it_was() -> None:
    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.b = nn.Linear(3, 3)
            self.a = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            self.b(torch.relu(self.a(x)))
            raise RuntimeError("on purpose")

    model = Fails()
    network = describe(model)
    with pytest.raises(RuntimeError, match="on purpose"):
        probe(network, [torch.randn(2, 3)])
    assert network.spec() == describe(model).spec()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_many_ranges_are_no_rule() -> None:
    class Shuffled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(1, 5000)
            self.b = nn.Linear(5000, 1)
            self.register_buffer("order", torch.randperm(5000, generator=torch.Generator().manual_seed(0)))

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x)[:, self.order])

    assert sources(probed(Shuffled(), torch.randn(2, 1)))["b"] is None


class Wide(nn.Module):
    """Branches of convolutions, with whatever may stand between layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.left = nn.Conv2d(4, 4, 1)
        self.right = nn.Conv2d(4, 8, 3)
        self.joined = nn.Conv2d(6, 4, (1, 2))
        self.shuffled = nn.Conv2d(4, 4, 1)
        self.up = nn.ConvTranspose2d(1, 2, 2)
        self.tokens = nn.Linear(2, 6)
        self.attn = nn.MultiheadAttention(6, 2, batch_first=True)
        self.after = nn.LayerNorm(6)
        self.out = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.silu(self.norm(self.stem(x))), 2)
        left, right = F.pad(self.left(x), (0, 0, 0, 1)), F.interpolate(self.right(x), scale_factor=2)
        right = right.chunk(2, dim=1)[1].roll(1, 1)[:, :2]
        x = torch.cat([left[:, :, :4, :4], right[:, :, :4, :4]], 1)
        x = F.channel_shuffle(self.joined(x), 2)
        x = self.shuffled(F.avg_pool2d(x, 2))
        x = self.up(F.pixel_shuffle(x[:, :, :1, :1], 2)).flatten(2).transpose(1, 2)
        x = self.tokens(x)
        x = self.after(self.attn(x, x, x)[0])
        return self.out(torch.stack([x[:, 0], x.mean(1)], 1).flip(1).flatten(1))


def sequence() -> nn.Module:
    positions = (nn.Unflatten(1, (3, 2)), nn.Conv1d(3, 5, 1), nn.ReLU6(), nn.Flatten())
    return nn.Sequential(nn.Linear(4, 6), *positions, nn.Linear(10, 2))


@pytest.mark.parametrize(("make", "shape"), [(Wide, (2, 2, 8, 8)), (Branches, (3, 3)), (sequence, (2, 4))])
def test_a_change_of_a_unit_changes_the_positions_that_come_from_it_and_no_other(
    make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    """Each source against the network itself: a unit's output is changed, and what the next layer hears is
    looked at."""
    model = make().eval().double()
    inputs = torch.randn(shape, dtype=torch.float64)
    network = probed(model, inputs)
    layers = by_label(network)
    num_checked = 0
    for layer in network.layers:
        for range_ in layer.source or []:
            origin = layers.get(range_["from"])
            if origin is None:
                continue
            expected = [
                (each["from"], each["start"] + i * each["stride"])
                for each in layer.source or []
                for i in range(each["count"])
                for _ in range(each["repeat"])
            ]
            assert len(expected) == layer.fan_in
            for unit in range(origin.num_units):
                changed = _positions_changed(model, inputs, origin, unit, layer)
                for position, (label, source) in enumerate(expected):
                    if label == origin.label:
                        assert changed[position] == (source == unit), (layer.label, origin.label, unit, position)
                num_checked += 1
    assert num_checked >= 5


def _positions_changed(model: nn.Module, inputs: Tensor, origin: Layer, unit: int, layer: Layer) -> list[bool]:
    """Which positions of a layer's rows hear something else if a unit of another layer makes something else."""
    assert layer.hears is not None and origin.unit_axis is not None
    hears, axis = layer.hears, origin.unit_axis
    heard: list[Tensor] = []

    def change(by: float) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> Any:
            values = (output[0] if isinstance(output, tuple) else output).clone()
            values.select(axis, unit).add_(by)
            return (values, *output[1:]) if isinstance(output, tuple) else values

        return hook

    listening = layer.module.register_forward_pre_hook(lambda module, args: heard.append(args[0].detach().clone()))
    with torch.no_grad():
        # Up and down: a relu lets one of them through.
        for by in (0.0, 7.0, -7.0):
            changing = origin.module.register_forward_hook(change(by))
            model(inputs)
            changing.remove()
    listening.remove()
    before, up, down = (values.movedim(hears.axis, -1).reshape(-1, values.shape[hears.axis]) for values in heard)
    changed = (before != up) | (before != down)
    return [bool(each) for each in changed.any(0) for _ in range(hears.repeat)]
