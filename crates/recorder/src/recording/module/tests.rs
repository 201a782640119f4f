use burn::backend::{Autodiff, Flex};
use burn::module::AutodiffModule as _;
use burn::nn::attention::{MultiHeadAttention, MultiHeadAttentionConfig};
use burn::nn::conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
use burn::nn::{
    BatchNorm, BatchNormConfig, Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear,
    LinearConfig, Lstm, LstmConfig,
};

use super::*;

type Trained = Autodiff<Flex>;

#[derive(Module, Debug)]
struct Zoo<B: Backend> {
    convolution: Conv2d<B>,
    norm: BatchNorm<B>,
    up: ConvTranspose2d<B>,
    tokens: Embedding<B>,
    blocks: Vec<Block<B>>,
    positions: Param<Tensor<B, 2>>,
    recurrent: Lstm<B>,
    head: Option<Linear<B>>,
}

#[derive(Module, Debug)]
struct Block<B: Backend> {
    attention: MultiHeadAttention<B>,
    norm: LayerNorm<B>,
}

fn zoo<B: Backend>() -> Zoo<B> {
    let device = Default::default();
    let block = || Block {
        attention: MultiHeadAttentionConfig::new(4, 2).init(&device),
        norm: LayerNormConfig::new(4).init(&device),
    };
    Zoo {
        convolution: Conv2dConfig::new([3, 8], [2, 5]).init(&device),
        norm: BatchNormConfig::new(8).init(&device),
        up: ConvTranspose2dConfig::new([8, 6], [2, 2])
            .with_groups(2)
            .init(&device),
        tokens: EmbeddingConfig::new(10, 4).init(&device),
        blocks: vec![block(), block()],
        positions: Param::from_tensor(Tensor::zeros([7, 4], &device)),
        recurrent: LstmConfig::new(4, 5, true).init(&device),
        head: Some(LinearConfig::new(4, 2).with_bias(false).init(&device)),
    }
}

fn of<M: Module<Trained>>(module: &M) -> ModuleLayers {
    ModuleLayers::of(module, true, &HashMap::new()).unwrap()
}

fn described(layers: &ModuleLayers) -> Vec<(&str, &str, &[u64], u32, u32)> {
    let layers = layers.topology().layers().iter();
    layers
        .map(|layer| {
            let shape = layer.shape.as_slice();
            let label = layer.layer.as_str();
            assert_eq!(layer.module_path, label);
            (
                label,
                layer.kind.as_str(),
                shape,
                layer.num_units,
                layer.fan_in,
            )
        })
        .collect()
}

#[test]
fn a_layer_is_a_weight_tensor_with_the_bias_of_its_module() {
    let layers = of(&zoo::<Trained>());
    let described = described(&layers);
    assert_eq!(
        described[..7],
        [
            ("convolution", "conv2d", &[8, 3, 2, 5][..], 8, 30),
            ("norm", "batch_norm", &[8], 8, 1),
            ("norm.running_mean", "buffer", &[8], 8, 1),
            ("norm.running_var", "buffer", &[8], 8, 1),
            // Two groups of four inputs, of three units each.
            ("up", "conv_transpose2d", &[8, 3, 2, 2], 6, 16),
            ("tokens", "embedding", &[10, 4], 10, 4),
            ("blocks.0.attention.query", "attention", &[4, 4], 4, 4),
        ]
    );
    let of_kind = |kind| described.iter().filter(|layer| layer.1 == kind).count();
    assert_eq!(of_kind("attention"), 8);
    assert_eq!(of_kind("recurrent"), 8);
    assert!(described.contains(&("blocks.1.norm", "layer_norm", &[4], 4, 1)));
    assert!(described.contains(&("positions", "parameter", &[7, 4], 7, 4)));
    // Burn keeps [4, 5].
    let gate = "recurrent.forget_gate.input_transform";
    assert!(described.contains(&(gate, "recurrent", &[5, 4], 5, 4)));
    assert_eq!(
        described.last(),
        Some(&("head", "linear", &[2, 4][..], 2, 4))
    );
}

#[test]
fn describing_draws_nothing() {
    let module = zoo::<Trained>();
    let layers = of(&module);
    assert!(!module.convolution.weight.is_initialized());
    let error = layers.check(&module).unwrap_err().to_string();
    assert!(
        error.starts_with("the weight of layer convolution has no values yet"),
        "{error}"
    );
    assert!(!module.convolution.weight.is_initialized());
}

#[test]
fn values_come_with_the_layer_that_they_belong_to() {
    let module = zoo::<Trained>().valid();
    let layers = ModuleLayers::of(&module, false, &HashMap::new()).unwrap();
    let all = vec![true; layers.topology().layers().len()];
    let handles = layers.handles(&module, &all).unwrap();
    assert_eq!(handles.len(), all.len());
    for (index, handles) in handles.iter().enumerate() {
        let layer = &layers.topology().layers()[index];
        assert_eq!(handles.layer, index);
        let num_weights = layer.num_units * layer.fan_in;
        assert_eq!(handles.weight.num_values(), num_weights as usize);
        if let Some(bias) = &handles.bias {
            assert_eq!(
                bias.num_values(),
                layer.num_units as usize,
                "{}",
                layer.layer
            );
        }
        let has_bias = !["embedding", "buffer", "parameter"].contains(&layer.kind.as_str())
            && layer.layer.as_str() != "head";
        assert_eq!(handles.bias.is_some(), has_bias, "{}", layer.layer);
    }
    let some: Vec<bool> = all
        .iter()
        .enumerate()
        .map(|(index, _)| index == 4)
        .collect();
    let handles = layers.handles(&module, &some).unwrap();
    assert_eq!(handles.iter().map(|h| h.layer).collect::<Vec<_>>(), [4]);
}

#[derive(Module, Debug)]
struct Tied<B: Backend> {
    encoder: Linear<B>,
    decoder: Linear<B>,
    frozen: Linear<B>,
}

fn tied() -> Tied<Trained> {
    let device = Default::default();
    let encoder: Linear<Trained> = LinearConfig::new(3, 3).init(&device);
    let weight = encoder.weight.val();
    let id = encoder.weight.id;
    let mut decoder: Linear<Trained> = LinearConfig::new(3, 3).init(&device);
    decoder.weight = Param::initialized(id, weight);
    Tied {
        encoder,
        decoder,
        frozen: LinearConfig::new(3, 2).init(&device).no_grad(),
    }
}

#[test]
fn a_shared_parameter_is_recorded_once() {
    let module = tied();
    let layers = of(&module);
    let labels: Vec<_> = described(&layers).iter().map(|layer| layer.0).collect();
    // The decoder's bias is its own.
    assert_eq!(labels, ["encoder", "decoder.bias", "frozen"]);
    let module = module.valid();
    let handles = layers.handles(&module, &[true; 3]).unwrap();
    assert_eq!(handles.len(), 3);
    assert!(handles[1].bias.is_none());
}

#[test]
fn what_the_optimizer_does_not_change_is_told() {
    let layers = of(&tied());
    let trainable: Vec<bool> = layers
        .topology()
        .layers()
        .iter()
        .map(|l| l.trainable)
        .collect();
    assert_eq!(trainable, [true, true, false]);
    let zoo = of(&zoo::<Trained>());
    let buffer = zoo.topology().layer("norm.running_mean").unwrap();
    assert!(!buffer.trainable);
}

#[test]
fn labels_can_be_given() {
    let labels = |path: &str, label: &str| HashMap::from([(path.to_owned(), label.to_owned())]);
    let tied = tied();
    let layers = ModuleLayers::of(&tied, true, &labels("frozen", "2024")).unwrap();
    assert_eq!(layers.topology().layers()[2].layer.as_str(), "L_2024");
    assert_eq!(layers.topology().layers()[2].module_path, "frozen");
    let error = ModuleLayers::of(&tied, true, &labels("frosen", "x")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no module \"frosen\" to label: there are encoder, decoder.bias, frozen"
    );
    // A label that fits no directory is cut, as any is.
    let layers = ModuleLayers::of(&tied, true, &labels("frozen", &"x".repeat(300))).unwrap();
    let label = layers.topology().layers()[2].layer.as_str();
    assert!(label.starts_with(&"x".repeat(191)), "{label}");
    assert_eq!(label.len(), 200);
    let error = ModuleLayers::of(&tied, true, &labels("frozen", "")).unwrap_err();
    assert!(
        error.to_string().starts_with("frozen needs a label"),
        "{error}"
    );
    let error = ModuleLayers::of(&tied, true, &labels("frozen", "Encoder")).unwrap_err();
    assert!(matches!(error, ModuleError::Labels(_)), "{error}");
}

#[test]
fn a_topology_that_is_given_states_the_order() {
    let layers = of(&tied());
    let mut given = layers.topology().layers().to_vec();
    given.reverse();
    let mut first_neuron = 0;
    for (index, layer) in given.iter_mut().enumerate() {
        layer.layer_index = index as u32;
        layer.first_neuron = first_neuron;
        first_neuron += layer.num_units as i32;
    }
    let given = Topology::try_new(given).unwrap();
    let layers = layers.with_topology(given.clone()).unwrap();
    assert_eq!(layers.topology(), &given);
    let module = tied().valid();
    let sizes: Vec<_> = layers
        .handles(&module, &[true; 3])
        .unwrap()
        .iter()
        .map(|handles| (handles.layer, handles.weight.num_values()))
        .collect();
    assert_eq!(sizes, [(0, 6), (1, 3), (2, 9)]);

    let mut fewer = given.layers().to_vec();
    fewer.pop();
    let error = of(&tied())
        .with_topology(Topology::try_new(fewer).unwrap())
        .unwrap_err();
    assert!(
        error.to_string().contains("it has 2 layers, the network 3"),
        "{error}"
    );
    let mut other = given.layers().to_vec();
    other[1].module_path = "elsewhere".to_owned();
    let error = of(&tied())
        .with_topology(Topology::try_new(other).unwrap())
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the network has no \"elsewhere\""),
        "{error}"
    );
}

#[test]
fn another_module_is_refused() {
    let device = Default::default();
    let layers = of(&LinearConfig::new(3, 2).init::<Trained>(&device));
    assert_eq!(
        described(&layers),
        [("weight", "linear", &[2, 3][..], 2, 3)]
    );
    let other = LinearConfig::new(2, 3).init::<Flex>(&device);
    let error = layers.handles(&other, &[true]).unwrap_err().to_string();
    assert_eq!(
        error,
        "the weight of layer weight had shape [3, 2] when the recorder was started, now it has \
         [2, 3]"
    );
    let other = LinearConfig::new(3, 2)
        .with_bias(false)
        .init::<Flex>(&device);
    let error = layers.handles(&other, &[true]).unwrap_err().to_string();
    assert!(
        error.starts_with("the network had 2 parameter tensors"),
        "{error}"
    );
}

#[test]
fn names_become_kinds() {
    assert_eq!(snake_case("ConvTranspose2d"), "conv_transpose2d");
    assert_eq!(snake_case("Linear"), "linear");
}

/// A network that looks tokens up, with more dimensions than tokens, and averages them.
#[derive(Module, Debug)]
struct Tokens<B: Backend> {
    tokens: Embedding<B>,
    positions: Embedding<B>,
    input: Linear<B>,
}

fn tokens() -> Tokens<Flex> {
    let device = Default::default();
    let mut embedding = EmbeddingConfig::new(3, 4).init(&device);
    // Of token t, dimension d is 10 t + d.
    let values = (0..12).map(|n| (10 * (n / 4) + n % 4) as f32);
    let values = burn::tensor::TensorData::new(values.collect(), [3, 4]);
    embedding.weight = Param::from_tensor(Tensor::from_data(values, &device));
    let mut positions = EmbeddingConfig::new(2, 4).init(&device);
    positions.weight = Param::from_tensor(Tensor::ones([2, 4], &device));
    let mut input = LinearConfig::new(4, 2).with_bias(false).init(&device);
    input.weight = Param::from_tensor(Tensor::ones([4, 2], &device));
    Tokens {
        tokens: embedding,
        positions,
        input,
    }
}

#[test]
fn what_an_embedding_makes_of_tokens_is_a_row_a_dimension() {
    use arrow::array::AsArray as _;
    use arrow::datatypes::{Float32Type, Int32Type};
    use burn::tensor::{Int, TensorData};
    use trace::Table;

    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let model = tokens();
    let builder = crate::TraceRecorder::<Flex>::builder(&run);
    let mut recorder = builder.start_inner(&model).unwrap();
    let sequences = TensorData::new(vec![0, 1, 2, 2], [2, 2]);
    let sequences = Tensor::<Flex, 2, Int>::from_data(sequences, &Default::default());
    let embedded = model.tokens.forward(sequences);
    recorder.activations("tokens", embedded.clone()).unwrap();
    let positions = Tensor::<Flex, 2, Int>::from_data([[0, 1], [0, 1]], &Default::default());
    let positions = model.positions.forward(positions);
    recorder.activations("positions", positions).unwrap();
    let scores = model.input.forward(embedded.mean_dim(1)).reshape([2, 2]);
    recorder.activations("L_input_", scores).unwrap();
    // A row a token is not what it makes of a sample.
    let by_token = Tensor::<Flex, 2>::ones([2, 3], &Default::default());
    let error = recorder.activations("tokens", by_token).unwrap_err();
    let told = "activations of layer tokens are [samples, ..., units] with 4 units, not [2, 3]";
    assert_eq!(error.to_string(), told);
    recorder.capture_inner(&model, 0, 1).unwrap();
    recorder.finish().unwrap();

    let read = |layer: &str| {
        let rows = crate::testing::read_part(&run, Table::Activations, 0, Some(layer)).unwrap();
        let ints = |name| rows[name].as_primitive::<Int32Type>().values().to_vec();
        let lists = rows["activations"].as_list::<i32>().values();
        let values = lists.as_primitive::<Float32Type>().values().to_vec();
        (ints("neuron"), ints("unit"), values)
    };
    // 3 tokens, 2 positions and 2 outputs are neurons 0 to 6. Of tokens 0 and 1 dimension d is 5 + d on
    // average, of 2 and 2 it is 20 + d.
    assert_eq!(
        read("tokens"),
        (
            vec![7, 8, 9, 10],
            vec![0, 1, 2, 3],
            vec![5.0, 20.0, 6.0, 21.0, 7.0, 22.0, 8.0, 23.0],
        )
    );
    let (neurons, ..) = read("positions");
    assert_eq!(neurons, [11, 12, 13, 14]);
    let (neurons, _, scores) = read("L_input_");
    assert_eq!(neurons, [5, 6]);
    assert_eq!(scores, [26.0, 86.0, 26.0, 86.0]);
}

#[test]
fn a_layer_called_as_the_inputs_are_gets_another_label() {
    let layers = ModuleLayers::of(&tokens(), false, &HashMap::new()).unwrap();
    let last = layers.topology().layers().last().unwrap();
    assert_eq!(
        (last.layer.as_str(), &*last.module_path),
        ("L_input_", "input")
    );

    // Who asks for it is told what to do.
    for label in ["Input", "tokens", "TOKENS"] {
        let labels = HashMap::from([("input".to_owned(), label.to_owned())]);
        let error = ModuleLayers::of(&tokens(), false, &labels).unwrap_err();
        assert!(matches!(error, ModuleError::Labels(_)), "{error}");
        assert!(error.to_string().contains("by `label`"), "{error}");
    }
}

#[test]
fn sixteen_bit_floats_are_exported_as_they_were() {
    use burn::tensor::FloatDType;
    use safetensors::{Dtype, SafeTensors};

    let dir = tempfile::tempdir().unwrap();
    let device = Default::default();
    let to = |dtype: FloatDType| {
        move |param: Param<Tensor<Flex, 2>>| Param::from_tensor(param.val().cast(dtype))
    };
    let mut model = zoo::<Flex>();
    model.tokens.weight = to(FloatDType::BF16)(model.tokens.weight);
    model.positions = to(FloatDType::F16)(model.positions);
    let up = Tensor::<Flex, 4>::ones([8, 3, 2, 2], &device) * 1.5;
    model.up.weight = Param::from_tensor(up.cast(FloatDType::F16));
    // 1 + 2^-7 and 3 have 8 bits and less of a mantissa.
    let weight = Tensor::<Flex, 2>::from_data([[1.0078125], [-3.0]], &device);
    model.head = Some(Linear {
        weight: Param::from_tensor(weight.cast(FloatDType::BF16)),
        bias: Some(Param::from_tensor(Tensor::from_data([0.1], &device))),
    });
    let run = dir.path().join("run");
    let mut recorder = crate::TraceRecorder::<Flex>::builder(&run)
        .start_inner(&model)
        .unwrap();
    // The types of what has no values yet are known as well.
    let model = model.map(&mut Used);
    recorder.capture_inner(&model, 0, 1).unwrap();
    recorder.finish().unwrap();

    let out = dir.path().join("model.safetensors");
    let run = trace::RunDir::open(&run).unwrap();
    crate::export(
        &run,
        crate::CaptureChoice::epoch(trace::Epoch(0)),
        &out,
        false,
    )
    .unwrap();
    let bytes = std::fs::read(&out).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let of = |name: &str| {
        let tensor = tensors.tensor(name).unwrap();
        (
            tensor.dtype(),
            tensor.shape().to_vec(),
            tensor.data().to_vec(),
        )
    };
    // PyTorch has [out, in].
    let bits = [0x3f81_u16, 0xc040].map(u16::to_le_bytes).concat();
    assert_eq!(of("head.weight"), (Dtype::BF16, vec![1, 2], bits));
    let bias = 0.1_f32.to_le_bytes().to_vec();
    assert_eq!(of("head.bias"), (Dtype::F32, vec![1], bias));
    assert_eq!(of("tokens.weight").0, Dtype::BF16);
    let (dtype, shape, values) = of("up.weight");
    assert_eq!((dtype, shape), (Dtype::F16, vec![8, 3, 2, 2]));
    assert_eq!(values, [0x3e00_u16.to_le_bytes(); 96].concat());
    assert_eq!(of("positions").0, Dtype::F16);
    assert_eq!(of("convolution.weight").0, Dtype::F32);
}

/// Draws all values.
struct Used;

impl<B: Backend> burn::module::ModuleMapper<B> for Used {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let _ = param.val();
        param
    }
}
