//! The topology of a checkpoint: which tensors make a layer, and what kind of layer they make.

use std::collections::{BTreeMap, HashSet};

use trace::{Layer, LayerLabel, LayerLabelError, LayerTensor, Topology, TopologyError};

use super::checkpoint::TensorType;
use super::tensor_name::TensorName;
use super::units::{TransposeError, TransposeGlobs, UnitAxes, bias_name, is_embedding, is_kernel};
use super::values::is_float;

/// Why the tensors of a checkpoint make no topology.
#[derive(Debug, thiserror::Error)]
pub enum ImportedTopologyError {
    /// Its name is none that a layer can have.
    #[error("tensor {tensor} cannot give a layer its name")]
    Label {
        /// The tensor.
        tensor: String,
        /// What is wrong with the name.
        source: LayerLabelError,
    },
    /// A layer is one list array a capture, whose offsets are 32-bit.
    #[error(
        "tensor {tensor} has {num_values} values, a trace can hold {} of a layer",
        i32::MAX
    )]
    TooLarge {
        /// The tensor.
        tensor: String,
        /// How many values it has.
        num_values: u64,
    },
    /// What was said of tensors' layouts does not go with them.
    #[error(transparent)]
    Transpose(#[from] TransposeError),
    /// The layers do not belong together.
    #[error(transparent)]
    Topology(#[from] TopologyError),
}

/// One layer a tensor, in the order of their names (numbers in names count as numbers), a bias with
/// the weight of its module. Units are along axis 0, where all of PyTorch's layers but transposed
/// convolutions have them, which cannot be told by their shapes; or along the last axis, as
/// [`UnitAxes`] tells. What a layer is connected to is not known.
pub(super) fn topology<'a>(
    tensors: impl Iterator<Item = (&'a str, &'a TensorType)>,
    transpose: &TransposeGlobs,
) -> Result<(Topology, UnitAxes), ImportedTopologyError> {
    let by_name: BTreeMap<&str, &TensorType> = tensors.collect();
    let axes = UnitAxes::infer(&by_name, transpose)?;
    let biases: HashSet<String> = by_name
        .iter()
        .filter_map(|(name, weight)| bias_of(name, weight, &by_name, &axes))
        .collect();
    let mut names: Vec<&str> = by_name.keys().copied().collect();
    names.retain(|name| !biases.contains(*name));
    names.sort_by_cached_key(|name| by_number(name));

    let mut labels = HashSet::new();
    let mut layers: Vec<Layer> = Vec::new();
    let mut first_neuron = 0i32;
    for name in names {
        let tensor = by_name[name];
        let too_large = || ImportedTopologyError::TooLarge {
            tensor: name.to_owned(),
            num_values: tensor.num_values(),
        };
        let size = |size: u64| {
            let size = i32::try_from(size).map_err(|_| too_large())?;
            Ok::<u32, ImportedTopologyError>(size.cast_unsigned())
        };
        size(tensor.num_values())?;
        // Units first, and the rest in its order.
        let mut shape = match tensor.shape.is_empty() {
            true => vec![1],
            false => tensor.shape.clone(),
        };
        if axes.is_last(name) {
            shape.rotate_right(1);
        }
        let num_units = size(shape[0])?;
        let fan_in = size(shape[1..].iter().product())?;
        let bias = bias_of(name, tensor, &by_name, &axes);
        let named = |name: &str| LayerTensor {
            name: name.to_owned(),
            dtype: by_name[name].dtype.to_string(),
            shape: by_name[name].shape.clone(),
            transposed: axes.is_last(name),
        };
        let (label, module_path) = label(name, &mut labels)?;
        layers.push(Layer {
            layer_index: layers.len() as u32,
            layer: label,
            module_path,
            kind: kind(name, tensor).to_owned(),
            shape,
            fan_in,
            num_units,
            first_neuron,
            activation: None,
            trainable: !is_buffer(name, tensor),
            source: None,
            recorded_units: None,
            tensors: std::iter::once(name)
                .chain(bias.as_deref())
                .map(named)
                .collect(),
        });
        first_neuron = first_neuron
            .checked_add_unsigned(num_units)
            .ok_or(TopologyError::TooManyNeurons)?;
    }
    Ok((Topology::try_new(layers)?, axes))
}

/// The bias that belongs to a weight: one value a unit.
fn bias_of(
    name: &str,
    weight: &TensorType,
    all: &BTreeMap<&str, &TensorType>,
    axes: &UnitAxes,
) -> Option<String> {
    let bias = bias_name(name)?;
    let shape = &all.get(bias.as_str())?.shape;
    let units = match axes.is_last(name) {
        true => weight.shape.last(),
        false => weight.shape.first(),
    };
    (shape.len() == 1 && units == shape.first()).then_some(bias)
}

/// What a module keeps without training it.
fn is_buffer(name: &str, tensor: &TensorType) -> bool {
    const BUFFERS: [&str; 3] = ["running_mean", "running_var", "num_batches_tracked"];
    BUFFERS.contains(&TensorName::of(name).parameter()) || !is_float(tensor.dtype)
}

/// Guesses what kind of module a tensor is of, by name and rank.
fn kind(name: &str, tensor: &TensorType) -> &'static str {
    let parts = TensorName::of(name);
    let parameter = parts.parameter();
    if is_buffer(name, tensor) {
        return "buffer";
    }
    if parameter.ends_with("proj_weight") {
        return "attention";
    }
    if parameter.starts_with("weight_ih") || parameter.starts_with("weight_hh") {
        return "recurrent";
    }
    match (parameter, tensor.shape.len()) {
        ("weight", 1) => "norm",
        ("weight", 2) if is_embedding(parts.module()) => "embedding",
        ("weight", 2) => "linear",
        (_, 2) if is_kernel(parameter) => "linear",
        ("weight", 3) => "conv1d",
        ("weight", 4) => "conv2d",
        ("weight", 5) => "conv3d",
        _ => "parameter",
    }
}

/// A weight's layer is called as its module, any other as its tensor; where that is taken, or taken
/// but for upper and lower case, something is put behind it. With the label comes the name of the
/// module or tensor, which is whole.
fn label(
    name: &str,
    taken: &mut HashSet<String>,
) -> Result<(LayerLabel, String), ImportedTopologyError> {
    let parts = TensorName::of(name);
    let module = parts.module();
    let path = match parts.parameter() == "weight" && !module.is_empty() {
        true => module,
        false => name,
    };
    let numbered = (2..).map(|number| format!("{name}_{number}"));
    let candidates = [path, name].map(str::to_owned).into_iter().chain(numbered);
    for candidate in candidates {
        let label =
            LayerLabel::try_new(&candidate).map_err(|source| ImportedTopologyError::Label {
                tensor: name.to_owned(),
                source,
            })?;
        let folded = label.as_str().to_lowercase();
        // The word for the network's inputs.
        if folded != "input" && taken.insert(folded) {
            return Ok((label, path.to_owned()));
        }
    }
    unreachable!("the numbers do not end")
}

/// A name by which `layers.10` comes after `layers.2`.
fn by_number(name: &str) -> String {
    let mut key = String::new();
    let mut digits = String::new();
    for c in name.chars().chain(['\0']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        if !digits.is_empty() {
            key.push_str(&format!("{digits:0>20}"));
            digits.clear();
        }
        key.push(c);
    }
    key
}

#[cfg(test)]
mod tests {
    use safetensors::Dtype;

    use super::*;

    fn topology_of(tensors: &[(&str, &[u64])]) -> Topology {
        let typed: Vec<(&str, TensorType)> = tensors
            .iter()
            .map(|(name, shape)| {
                let dtype = match name.ends_with("tracked") {
                    true => Dtype::I64,
                    false => Dtype::F32,
                };
                let shape = shape.to_vec();
                (*name, TensorType { dtype, shape })
            })
            .collect();
        let tensors = typed.iter().map(|(name, tensor)| (*name, tensor));
        topology(tensors, &TransposeGlobs::default()).unwrap().0
    }

    /// Label, kind, units, weights of a unit, and the tensors in weights and bias.
    fn layers(tensors: &[(&str, &[u64])]) -> Vec<(String, String, u32, u32, Vec<String>)> {
        let topology = topology_of(tensors);
        let layers = topology.layers().iter().map(|layer| {
            let tensors = layer.tensors.iter().map(|tensor| tensor.name.clone());
            (
                layer.layer.to_string(),
                layer.kind.clone(),
                layer.num_units,
                layer.fan_in,
                tensors.collect(),
            )
        });
        layers.collect()
    }

    #[test]
    fn every_kind_of_module_is_a_layer_by_axis_0() {
        let found = layers(&[
            ("bn.bias", &[8]),
            ("bn.num_batches_tracked", &[]),
            ("bn.running_mean", &[8]),
            ("bn.weight", &[8]),
            ("cls_token", &[1, 1, 4]),
            ("conv.weight", &[8, 3, 5, 5]),
            ("rnn.bias_hh_l0", &[12]),
            ("rnn.bias_ih_l0", &[12]),
            ("rnn.weight_hh_l0", &[12, 3]),
            ("rnn.weight_ih_l0", &[12, 2]),
            ("self_attn.in_proj_bias", &[12]),
            ("self_attn.in_proj_weight", &[12, 4]),
            ("tok_embedding.weight", &[100, 4]),
            ("wave.weight", &[6, 2, 3]),
            ("z.bias", &[3]),
            ("z.weight", &[3, 4]),
        ]);
        let expected = [
            (
                "bn.num_batches_tracked",
                "buffer",
                1,
                1,
                &["bn.num_batches_tracked"][..],
            ),
            ("bn.running_mean", "buffer", 8, 1, &["bn.running_mean"]),
            ("bn", "norm", 8, 1, &["bn.weight", "bn.bias"]),
            ("cls_token", "parameter", 1, 4, &["cls_token"]),
            ("conv", "conv2d", 8, 75, &["conv.weight"]),
            (
                "rnn.weight_hh_l0",
                "recurrent",
                12,
                3,
                &["rnn.weight_hh_l0", "rnn.bias_hh_l0"],
            ),
            (
                "rnn.weight_ih_l0",
                "recurrent",
                12,
                2,
                &["rnn.weight_ih_l0", "rnn.bias_ih_l0"],
            ),
            (
                "self_attn.in_proj_weight",
                "attention",
                12,
                4,
                &["self_attn.in_proj_weight", "self_attn.in_proj_bias"],
            ),
            (
                "tok_embedding",
                "embedding",
                100,
                4,
                &["tok_embedding.weight"],
            ),
            ("wave", "conv1d", 6, 6, &["wave.weight"]),
            ("z", "linear", 3, 4, &["z.weight", "z.bias"]),
        ];
        let expected = expected.map(|(label, kind, units, fan_in, tensors)| {
            let tensors = tensors.iter().map(|name| (*name).to_owned()).collect();
            (label.to_owned(), kind.to_owned(), units, fan_in, tensors)
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_no_bias_of_a_unit_is_a_layer_of_its_own() {
        // A transposed convolution of 3 channels to 2: its bias belongs to axis 1.
        let found = layers(&[("up.bias", &[2]), ("up.weight", &[3, 2, 4, 4])]);
        let labels: Vec<&str> = found.iter().map(|layer| layer.0.as_str()).collect();
        assert_eq!(labels, ["up.bias", "up"]);
        assert_eq!(found[0].1, "parameter");
    }

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let topology = topology_of(&[
            ("layers.10.weight", &[1, 1]),
            ("layers.2.weight", &[1, 1]),
            ("layers.2.bias", &[1]),
            ("0.weight", &[2, 1]),
        ]);
        let labels: Vec<&str> = topology.layers().iter().map(|l| l.layer.as_str()).collect();
        assert_eq!(labels, ["L_0", "layers.2", "layers.10"]);
        assert_eq!(topology.layers()[2].module_path, "layers.10");
        assert_eq!(topology.layers()[2].first_neuron, 3);
    }

    #[test]
    fn labels_are_told_apart_without_regard_to_case() {
        let topology = topology_of(&[
            ("FC", &[1]),
            ("fc.weight", &[1]),
            ("input", &[1]),
            ("input.weight", &[1]),
            ("weight", &[1]),
        ]);
        let labels: Vec<&str> = topology.layers().iter().map(|l| l.layer.as_str()).collect();
        assert_eq!(
            labels,
            ["FC", "fc.weight", "input_2", "input.weight", "weight"]
        );
        let paths = topology.layers().iter().map(|l| l.module_path.as_str());
        assert_eq!(
            paths.collect::<Vec<_>>(),
            ["FC", "fc", "input", "input", "weight"]
        );
    }

    #[test]
    fn what_a_trace_cannot_hold_is_refused() {
        let tensor = TensorType {
            dtype: Dtype::F32,
            shape: vec![1 << 20, 1 << 12],
        };
        let refused = |name, tensor| {
            topology([(name, tensor)].into_iter(), &TransposeGlobs::default()).unwrap_err()
        };
        let error = refused("huge.weight", &tensor);
        let message = error.to_string();
        assert!(
            message.contains("huge.weight has 4294967296 values"),
            "{message}"
        );
        let tensor = TensorType {
            dtype: Dtype::F32,
            shape: vec![1],
        };
        let error = refused("", &tensor);
        assert!(matches!(error, ImportedTopologyError::Label { .. }));
    }

    #[test]
    fn names_of_any_length_are_layers_and_the_path_is_whole() {
        let names = ["x", "y"].map(|last| format!("{}.{last}.weight", "a".repeat(300)));
        let topology = topology_of(&[(&names[0], &[1]), (&names[1], &[1]), ("inf.weight", &[1])]);
        let [x, y, inf] = topology.layers() else {
            panic!("a layer a tensor")
        };
        for (layer, name) in [(x, &names[0]), (y, &names[1])] {
            let label = layer.layer.as_str();
            assert!(label.starts_with(&"a".repeat(191)), "{label}");
            assert_eq!(label.len(), 200);
            assert_eq!(format!("{}.weight", layer.module_path), *name);
        }
        assert_ne!(x.layer, y.layer);
        assert_eq!(
            (inf.layer.as_str(), inf.module_path.as_str()),
            ("L_inf", "inf")
        );
    }

    #[test]
    fn units_along_the_last_axis_come_first_and_have_their_biases() {
        let found = layers(&[
            ("fc.bias", &[6]),
            ("fc.weight", &[4, 6]),
            ("fc2/bias", &[5]),
            ("fc2/kernel", &[3, 3, 2, 5]),
        ]);
        let expected = [
            ("fc", "linear", 6, 4, ["fc.weight", "fc.bias"]),
            ("fc2/kernel", "parameter", 5, 18, ["fc2/kernel", "fc2/bias"]),
        ];
        let expected = expected.map(|(label, kind, units, fan_in, tensors)| {
            let tensors = tensors.map(str::to_owned).to_vec();
            (label.to_owned(), kind.to_owned(), units, fan_in, tensors)
        });
        assert_eq!(found, expected);
        let topology = topology_of(&[("c.bias", &[5]), ("c.kernel", &[3, 7, 2, 5])]);
        assert_eq!(topology.layers()[0].shape, [5, 3, 7, 2]);
        assert!(topology.layers()[0].tensors[0].transposed);
        assert!(!topology.layers()[0].tensors[1].transposed);
    }
}
