"""What `describe` makes of modules."""

from __future__ import annotations

import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import stratigraph_nn as sg
from stratigraph_nn._torch.layers import Layer, LazyError, Network, NetworkError, TensorError, describe


def by_label(network: Network) -> dict[str, Layer]:
    return {layer.label: layer for layer in network.layers}


def summary(model: nn.Module) -> list[tuple[str, str, str, tuple[int, ...], bool]]:
    return [
        (layer.label, layer.kind, layer.layout, layer.shape, layer.bias is not None) for layer in describe(model).layers
    ]


def test_a_layer_is_a_weight_with_its_bias() -> None:
    network = describe(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2, bias=False)))
    assert network.device == "cpu"
    assert network.spec() == [
        {
            "path": "0",
            "label": "L_0",
            "kind": "linear",
            "layout": "rows",
            "shape": [3, 4],
            "has_bias": True,
            "activation": None,
            "trainable": True,
            "source": None,
            "tensors": [],
        },
        {
            "path": "2",
            "label": "L_2",
            "kind": "linear",
            "layout": "rows",
            "shape": [2, 3],
            "has_bias": False,
            "activation": None,
            "trainable": True,
            "source": None,
            "tensors": [],
        },
    ]
    assert json.loads(json.dumps(network.spec())) == network.spec()


def test_a_model_may_be_one_layer() -> None:
    (layer,) = describe(nn.Linear(2, 1)).layers
    assert (layer.path, layer.label, layer.tensors) == ("weight", "weight", [])
    assert layer.weight.names == ("weight",)
    assert layer.bias is not None and layer.bias.names == ("bias",)


def test_kinds_and_layouts_are_those_of_the_modules() -> None:
    model = nn.ModuleDict(
        {
            "conv1": nn.Conv1d(2, 4, 3),
            "conv2": nn.Conv2d(4, 8, (3, 5), groups=2),
            "conv3": nn.Conv3d(1, 2, 2),
            "up": nn.ConvTranspose2d(4, 6, 2, groups=2),
            "up1": nn.ConvTranspose1d(4, 6, 2),
            "tokens": nn.Embedding(10, 4),
            "bag": nn.EmbeddingBag(10, 4),
            "bn": nn.BatchNorm2d(4),
            "ln": nn.LayerNorm([4, 2]),
            "rms": nn.RMSNorm(4),
            "gn": nn.GroupNorm(2, 4),
            "inorm": nn.InstanceNorm1d(4, affine=True),
            "bi": nn.Bilinear(2, 3, 4),
            "prelu": nn.PReLU(4),
        }
    )
    assert summary(model) == [
        ("conv1", "conv1d", "rows", (4, 2, 3), True),
        ("conv2", "conv2d", "rows", (8, 2, 3, 5), True),
        ("conv3", "conv3d", "rows", (2, 1, 2, 2, 2), True),
        ("up", "conv_transpose2d", "by_group:2", (4, 3, 2, 2), True),
        ("up1", "conv_transpose1d", "by_group:1", (4, 6, 2), True),
        ("tokens", "embedding", "rows", (10, 4), False),
        ("bag", "embedding", "rows", (10, 4), False),
        ("bn", "batch_norm2d", "rows", (4,), True),
        ("bn.running_mean", "buffer", "rows", (4,), False),
        ("bn.running_var", "buffer", "rows", (4,), False),
        # A bias of two axes is no bias of a unit.
        ("ln", "layer_norm", "rows", (4, 2), False),
        ("ln.bias", "parameter", "rows", (4, 2), False),
        ("rms", "rms_norm", "rows", (4,), False),
        ("gn", "group_norm", "rows", (4,), True),
        ("inorm", "instance_norm1d", "rows", (4,), True),
        ("bi", "bilinear", "rows", (4, 2, 3), True),
        ("prelu", "prelu", "rows", (4,), False),
    ]
    layers = by_label(describe(model))
    axes = {label: layer.unit_axis for label, layer in layers.items()}
    assert [axes[label] for label in ("conv2", "up", "tokens", "bn", "bn.running_mean", "ln", "gn")] == [
        1,
        1,
        -1,
        1,
        None,
        -2,
        1,
    ]
    assert (layers["up"].num_units, layers["up"].fan_in) == (6, 8)
    assert (layers["conv2"].num_units, layers["conv2"].fan_in) == (8, 30)
    assert (layers["tokens"].num_units, layers["tokens"].num_activated) == (10, 4)
    assert not layers["bn.running_mean"].trainable


def test_gates_are_rows_of_recurrent_layers() -> None:
    model = nn.ModuleDict(
        {
            "lstm": nn.LSTM(2, 3, num_layers=2, bidirectional=True),
            "gru": nn.GRU(2, 3, bias=False),
            "rnn": nn.RNN(2, 3),
            "cell": nn.LSTMCell(2, 3),
            "projected": nn.LSTM(2, 3, proj_size=1),
        }
    )
    found = summary(model)
    assert found[:2] == [
        ("lstm.weight_ih_l0", "lstm", "rows", (12, 2), True),
        ("lstm.weight_hh_l0", "lstm", "rows", (12, 3), True),
    ]
    assert ("lstm.weight_ih_l1_reverse", "lstm", "rows", (12, 6), True) in found
    assert [row for row in found if row[0].startswith("gru")] == [
        ("gru.weight_ih_l0", "gru", "rows", (9, 2), False),
        ("gru.weight_hh_l0", "gru", "rows", (9, 3), False),
    ]
    assert [row[1] for row in found if row[0].startswith("rnn")] == ["rnn", "rnn"]
    assert [row[0] for row in found if row[0].startswith("cell")] == ["cell.weight_ih", "cell.weight_hh"]
    assert ("projected.weight_hr_l0", "lstm", "rows", (1, 3), False) in found
    layer = by_label(describe(model))["lstm.weight_ih_l0"]
    # A trace takes a layer's tensors to be called `<path>.weight` and `<path>.bias`, unless it is told.
    assert layer.tensors == [
        {"name": "lstm.weight_ih_l0", "dtype": "F32", "shape": [12, 2]},
        {"name": "lstm.bias_ih_l0", "dtype": "F32", "shape": [12]},
    ]
    assert layer.unit_axis is None


def test_attention_has_a_layer_for_all_inputs_and_one_for_its_output() -> None:
    model = nn.ModuleDict({"attn": nn.MultiheadAttention(4, 2), "cross": nn.MultiheadAttention(4, 2, kdim=3, vdim=5)})
    assert summary(model) == [
        ("attn.in_proj_weight", "attention", "rows", (12, 4), True),
        ("attn.out_proj", "attention", "rows", (4, 4), True),
        ("cross.q_proj_weight", "attention", "rows", (4, 4), False),
        ("cross.k_proj_weight", "attention", "rows", (4, 3), False),
        ("cross.v_proj_weight", "attention", "rows", (4, 5), False),
        ("cross.in_proj_bias", "parameter", "rows", (12,), False),
        ("cross.out_proj", "attention", "rows", (4, 4), True),
    ]
    layers = by_label(describe(model))
    # PyTorch uses the weight of `out_proj` without calling the module.
    assert layers["attn.out_proj"].module is model["attn"]
    assert layers["attn.out_proj"].tensors == []


class Conv1D(nn.Module):
    """As transformers has it, whose GPT-2 keeps weights as `[in, out]`."""

    def __init__(self, nf: int, nx: int) -> None:
        super().__init__()
        self.nf = nf
        self.weight = nn.Parameter(torch.randn(nx, nf))
        self.bias = nn.Parameter(torch.zeros(nf))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight).view(*x.shape[:-1], self.nf)


def test_conv1d_of_transformers_has_units_along_its_last_axis() -> None:
    model = nn.ModuleDict({"wide": Conv1D(6, 4), "square": Conv1D(4, 4)})
    assert summary(model) == [
        ("wide", "linear", "columns", (4, 6), True),
        ("square", "linear", "columns", (4, 4), True),
    ]
    layer = describe(model).layers[0]
    assert (layer.num_units, layer.fan_in) == (6, 4)
    assert layer.tensors == [
        {"name": "wide.weight", "dtype": "F32", "shape": [4, 6], "transposed": True},
        {"name": "wide.bias", "dtype": "F32", "shape": [6]},
    ]


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.temperature = nn.Parameter(torch.tensor(2.0))


class OwnLinear(nn.Linear):
    pass


def test_types_that_pytorch_does_not_have() -> None:
    model = nn.ModuleDict({"scale": Scale(), "own": OwnLinear(3, 2)})
    model.register_parameter("cls_token", nn.Parameter(torch.zeros(1, 1, 4)))
    assert summary(model) == [
        ("cls_token", "parameter", "rows", (1, 1, 4), False),
        ("scale", "scale", "rows", (3,), False),
        ("scale.temperature", "parameter", "rows", (), False),
        ("own", "linear", "rows", (2, 3), True),
    ]
    assert all(layer.tensors == [] for layer in describe(model).layers)

    class LayerNorm2d(nn.LayerNorm):
        """As torchvision and timm have it."""

    (norm,) = describe(nn.ModuleDict({"norm": LayerNorm2d(3, bias=False)})).layers
    assert (norm.kind, norm.unit_axis) == ("layer_norm", 1)
    assert by_label(describe(model))["scale.temperature"].num_units == 1


def test_lora_adapters_are_linear_layers_beside_a_frozen_one() -> None:
    class Lora(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base_layer = nn.Linear(4, 3)
            self.lora_A = nn.ModuleDict({"default": nn.Linear(4, 1, bias=False)})
            self.lora_B = nn.ModuleDict({"default": nn.Linear(1, 3, bias=False)})
            self.lora_embedding_A = nn.ParameterDict({"default": nn.Parameter(torch.zeros(1, 4))})
            self.base_layer.requires_grad_(False)

    found = describe(nn.ModuleDict({"q": Lora()})).layers
    assert [(layer.label, layer.kind, layer.trainable) for layer in found] == [
        ("q.base_layer", "linear", False),
        ("q.lora_A.default", "linear", True),
        ("q.lora_B.default", "linear", True),
        ("q.lora_embedding_A.default", "parameter", True),
    ]


def test_a_tied_weight_is_one_layer_with_all_its_names() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(7, 3)
            self.head = nn.Linear(3, 7)
            self.head.weight = self.tokens.weight

    model = Tied()
    tokens, bias = describe(model).layers
    assert (tokens.label, tokens.weight.names) == ("tokens", ("tokens.weight", "head.weight"))
    assert set(tokens.weight.names) <= set(model.state_dict())
    # The bias stands for the units of the module whose weight is another's.
    assert (bias.label, bias.kind, bias.shape, bias.unit_axis) == ("head.bias", "parameter", (7,), -1)


def test_a_shared_module_is_one_layer() -> None:
    shared = nn.Linear(3, 3)
    (layer,) = describe(nn.ModuleDict({"a": shared, "b": shared})).layers
    assert layer.weight.names == ("a.weight", "b.weight")
    assert layer.bias is not None and layer.bias.names == ("a.bias", "b.bias")


def test_buffers_are_those_of_the_state_that_are_floats() -> None:
    model = nn.Module()
    model.register_buffer("mean", torch.zeros(3))
    model.register_buffer("count", torch.zeros(3, dtype=torch.int64))
    model.register_buffer("mask", torch.zeros(3), persistent=False)
    model.register_buffer("nothing", None)
    assert summary(model) == [("mean", "buffer", "rows", (3,), False)]


def test_parametrized_weights_are_recorded_as_the_state_has_them() -> None:
    model = nn.ModuleDict(
        {
            "weight_norm": parametrizations.weight_norm(nn.Linear(4, 3)),
            "spectral": parametrizations.spectral_norm(nn.Conv2d(2, 3, 3)),
        }
    )
    state = model.state_dict()
    network = describe(model)
    assert [layer.path for layer in network.layers] == [name for name in state if state[name].is_floating_point()]
    layers = by_label(network)
    prefix = "weight_norm.parametrizations.weight"
    assert [layers[f"{prefix}.original{n}"].shape for n in (0, 1)] == [(3, 1), (3, 4)]
    kinds = {layer.label: layer.kind for layer in network.layers}
    assert set(kinds.values()) == {"parameter", "buffer"}
    # The original that is the weight but for its size stands for the units.
    of_units = {layer.label: layer.module for layer in network.layers if layer.unit_axis is not None}
    assert of_units == {
        f"{prefix}.original1": model["weight_norm"],
        "spectral.parametrizations.weight.original": model["spectral"],
    }


def test_describing_does_not_compute_a_parametrized_weight() -> None:
    model = parametrizations.spectral_norm(nn.Linear(4, 3))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    describe(model)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_ref_finds_the_tensor_that_is_there_now() -> None:
    model = nn.ModuleDict({"fc": nn.Linear(2, 2)})
    layer = describe(model).layers[0]
    assert layer.weight() is model["fc"].weight
    model["fc"].weight = nn.Parameter(torch.ones(2, 2))
    assert torch.equal(layer.weight(), torch.ones(2, 2))
    model["fc"].weight = None
    with pytest.raises(NetworkError, match=r"does not have fc\.weight any more"):
        layer.weight()


def test_sixteen_bit_and_double_floats_keep_their_types() -> None:
    for dtype, name in [(torch.bfloat16, "BF16"), (torch.float16, "F16"), (torch.float64, "F64")]:
        model = nn.ModuleDict({"fc": nn.Linear(2, 1, dtype=dtype)})
        assert describe(model).layers[0].tensors == [
            {"name": "fc.weight", "dtype": name, "shape": [1, 2]},
            {"name": "fc.bias", "dtype": name, "shape": [1]},
        ]


def test_wrappers_do_not_change_the_layers() -> None:
    plain = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    compiled = torch.compile(plain)
    assert describe(compiled).model is plain
    assert describe(nn.DataParallel(plain)).model is plain
    assert describe(torch.compile(nn.DataParallel(plain))).model is plain
    inside = nn.Sequential(torch.compile(plain[0]), plain[1])
    network = describe(inside)
    assert network.spec() == describe(plain).spec()
    assert network.layers[0].weight.names == ("0._orig_mod.weight",)
    assert set(network.layers[0].weight.names) <= set(inside.state_dict())


def test_distributed_data_parallel_is_unwrapped(tmp_path: object) -> None:
    from torch import distributed

    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        plain = nn.Sequential(nn.Linear(2, 3))
        assert describe(nn.parallel.DistributedDataParallel(plain)).model is plain
    finally:
        distributed.destroy_process_group()


def test_sharded_tensors_are_refused_by_name(tmp_path: object) -> None:
    from torch import distributed
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, distribute_module

    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        model = nn.ModuleDict({"fc": nn.Linear(2, 3)})
        distribute_module(model, init_device_mesh("cpu", (1,)))
        assert type(model["fc"].weight.data).__name__ == "DTensor", Replicate
        with pytest.raises(TensorError, match=r'fc\.weight is a DTensor.*layers=\["!fc"\]'):
            describe(model)
    finally:
        distributed.destroy_process_group()


def test_what_a_trace_cannot_hold_is_refused_by_name() -> None:
    def model_of(tensor: torch.Tensor) -> nn.Module:
        model = nn.ModuleDict({"good": nn.Linear(2, 2), "bad": nn.Module()})
        model["bad"].register_parameter("weight", nn.Parameter(tensor, requires_grad=False))
        return model

    quantised = torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8)
    for tensor, problem in [
        (torch.zeros(2, dtype=torch.complex64), "has complex values"),
        (torch.zeros(2, device="meta"), "is on the device meta"),
        (torch.eye(2).to_sparse(), "is sparse"),
        (quantised, "is quantised"),
        (torch.zeros(2, dtype=torch.uint8), "is quantised: values of torch.uint8"),
    ]:
        model = model_of(tensor)
        with pytest.raises(TensorError, match=problem) as error:
            describe(model)
        assert error.value.name == "bad.weight"
        assert str(error.value).startswith("bad.weight ")
        assert 'layers=["!bad"]' in str(error.value)
        left = describe(model, leave_out=lambda label: label == "bad")
        assert [layer.label for layer in left.layers] == ["good"]


def test_weights_that_are_buffers_of_whole_numbers_are_refused_and_counts_are_not() -> None:
    class Packed(nn.Module):
        """As GPTQ and AWQ have it."""

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("qweight", torch.zeros(4, 2, dtype=torch.int32))
            self.register_buffer("scales", torch.ones(1, 2))
            self.register_buffer("g_idx", torch.zeros(4, dtype=torch.int32))
            self.register_buffer("relative_position_index", torch.zeros(3, 3, dtype=torch.int64))
            self.register_buffer("weight_mask", torch.ones(4, 2, dtype=torch.bool))

    model = nn.ModuleDict({"good": nn.BatchNorm1d(2), "bad": Packed()})
    problem = r'bad\.qweight is quantised: values of torch\.int32: leave its layer out by layers=\["!bad\.qweight"\]'
    with pytest.raises(TensorError, match=problem):
        describe(model)
    left = describe(model, leave_out=lambda label: label == "bad.qweight")
    assert [layer.label for layer in left.layers] == ["good", "good.running_mean", "good.running_var", "bad.scales"]


def test_modules_whose_weights_cannot_be_seen_are_refused_by_name() -> None:
    class Linear(nn.Module):
        """As quantised modules of PyTorch have it."""

        def weight(self) -> torch.Tensor:
            return torch.zeros(2, 2)

    Linear.__module__ = "torch.ao.nn.quantized.dynamic.modules.linear"
    quantised = nn.ModuleDict({"good": nn.Linear(2, 2), "bad": Linear()})
    scripted = nn.ModuleDict({"good": nn.Linear(2, 2), "bad": torch.jit.script(nn.Linear(2, 2))})
    for model, problem in [
        (quantised, r'bad is quantised \(Linear\): leave its layer out by layers=\["!bad"\]'),
        (scripted, r'bad is compiled by torch\.jit.*layers=\["!bad"\], or record the module that it was made of'),
    ]:
        with pytest.raises(TensorError, match=problem):
            describe(model)
        left = describe(model, leave_out=lambda label: label == "bad")
        assert [layer.label for layer in left.layers] == ["good"]
    with pytest.raises(TensorError, match=r"0 is compiled by torch\.jit"):
        describe(torch.jit.script(nn.Sequential(nn.Linear(2, 2))))


def test_fsdp_is_refused_by_name() -> None:
    class FullyShardedDataParallel(nn.Module):
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self._fsdp_wrapped_module = module

    with pytest.raises(NetworkError, match="module 0 is sharded by FSDP"):
        describe(nn.Sequential(FullyShardedDataParallel(nn.Linear(2, 2))))


def test_real_fsdp_is_refused_by_name(tmp_path: Path) -> None:
    import torch.distributed as dist
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        model = FullyShardedDataParallel(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), device_id=torch.device("cpu"))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with pytest.raises(sg.NetworkError, match="the network is sharded by FSDP and has no whole parameters: record a"):
            sg.record(model, tmp_path / "one", optimizer=optimizer)
        sharded: nn.Module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
        fully_shard(sharded)
        with pytest.raises(sg.NetworkError, match="0.weight is a DTensor, sharded over processes: leave its layer out by"):
            sg.record(sharded, tmp_path / "two", optimizer=torch.optim.SGD(sharded.parameters(), lr=0.1))
    finally:
        dist.destroy_process_group()
    assert not (tmp_path / "one").exists() and not (tmp_path / "two").exists()


def test_lazy_modules_need_a_forward_pass() -> None:
    model = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(LazyError, match=r"0\.weight is not initialised yet: run a forward pass first"):
        describe(model)
    model(torch.zeros(1, 5))
    assert summary(model) == [("L_0", "linear", "rows", (3, 5), True)]


def test_labels_are_what_a_trace_can_write() -> None:
    model = nn.ModuleDict({"input": nn.Linear(1, 1), "true": nn.Linear(1, 1), "größe": nn.Linear(1, 1)})
    assert [layer.label for layer in describe(model).layers] == ["L_input_", "L_true", "größe"]
    long = describe(nn.ModuleDict({"a" * 300: nn.Linear(1, 1)})).layers[0]
    assert long.path == "a" * 300
    assert len(long.label) == 200 and long.label.startswith("a" * 191 + "-")
    from stratigraph_nn._torch.labels import _crc32c

    assert _crc32c(b"123456789") == 0xE3069283


def test_labels_can_be_given() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network = describe(model, {"0": "hidden", "1": "output"})
    assert [(layer.path, layer.label) for layer in network.layers] == [("0", "hidden"), ("1", "output")]
    with pytest.raises(NetworkError, match="there is no layer 'fc' to label: there are 0, 1"):
        describe(model, {"fc": "hidden"})
    with pytest.raises(NetworkError, match="0 and 1 are both called 'Same'"):
        describe(model, {"0": "same", "1": "Same"})
    with pytest.raises(NetworkError, match="the word for the network's inputs"):
        describe(model, {"0": "input"})


def test_a_network_without_parameters_is_refused() -> None:
    with pytest.raises(NetworkError, match="the network has no float parameters"):
        describe(nn.Sequential(nn.ReLU()))
