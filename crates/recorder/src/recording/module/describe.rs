//! From a visit of a module to its layers: a layer a weight tensor, with the bias that is folded in.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor, get_device_settings};
use capture::{Layout, NetworkLayers, UnitRows, conventional_name};
use trace::{Layer, LayerLabel, LayerTensor, Topology, TopologyError};

use super::kinds::{self, KIND_BUFFER, KIND_PARAMETER};
use super::{ModuleError, ModuleLayers, Place};

/// The layers of a module, as [`ModuleLayers::of`] describes it.
pub(super) fn layers<B: Backend, M: Module<B>>(
    module: &M,
    is_autodiff: bool,
    labels: &HashMap<String, String>,
) -> Result<ModuleLayers, ModuleError> {
    let mut visitor = Describe::default();
    module.visit(&mut visitor);
    let described = described(&visitor.visited);
    let topology = topology(&described, is_autodiff, labels)?;
    let mut places = vec![None; visitor.visited.len()];
    for (layer, of_layer) in described.iter().enumerate() {
        let place = |is_bias| Some(Place { layer, is_bias });
        places[of_layer.weight] = place(false);
        if let Some((bias, _)) = of_layer.bias {
            places[bias] = place(true);
        }
    }
    let rows = described.into_iter().map(|layer| layer.rows).collect();
    Ok(ModuleLayers {
        network: Arc::new(NetworkLayers::new(topology, rows)),
        places,
        device: visitor.device,
    })
}

/// Looks at what is visited, not at its values.
#[derive(Default)]
struct Describe {
    /// Names of the modules that the visit is in, each with what it stands in.
    stack: Vec<(String, String)>,
    seen: HashSet<ParamId>,
    /// None for a tensor that was visited before.
    visited: Vec<Option<Visited>>,
    /// The name of the backend that the first tensor is on.
    device: String,
}

/// A tensor, and where it stands.
struct Visited {
    /// The module's path, without the field.
    module: String,
    field: String,
    /// The types that it stands in, from the outermost: `Network`, `Linear`.
    containers: Vec<String>,
    shape: Vec<usize>,
    /// The type of its values.
    dtype: DType,
    requires_grad: bool,
}

impl<B: Backend> ModuleVisitor<B> for Describe {
    fn enter_module(&mut self, name: &str, container: &str) {
        let container = container.rsplit(':').next().unwrap_or_default();
        self.stack.push((name.to_owned(), container.to_owned()));
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.stack.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if self.device.is_empty() {
            // `Module::devices` would draw the values.
            let name = B::name(&param.lazy_device());
            let inner = name
                .strip_prefix("autodiff<")
                .and_then(|n| n.strip_suffix('>'));
            self.device = inner.unwrap_or(&name).to_owned();
        }
        if !self.seen.insert(param.id) {
            self.visited.push(None);
            return;
        }
        let names: Vec<&str> = self.stack.iter().map(|(name, _)| name.as_str()).collect();
        let (field, module) = names.split_last().unwrap_or((&"weight", &[]));
        self.visited.push(Some(Visited {
            module: module.join("."),
            field: (*field).to_owned(),
            containers: self.stack.iter().map(|(_, c)| c.clone()).collect(),
            shape: param.lazy_shape().to_vec(),
            // Of one without values, what they will be drawn as.
            dtype: match param.is_initialized() {
                true => param.val().dtype(),
                false => get_device_settings::<B>(&param.lazy_device())
                    .float_dtype
                    .into(),
            },
            // Burn does not say it of a parameter without values; they are made to be trained.
            requires_grad: !param.is_initialized() || param.is_require_grad(),
        }));
    }
}

impl Visited {
    /// Whether the tensor is what its module is named for: a linear layer's weight, the scale of a
    /// normalisation.
    fn is_weight(&self) -> bool {
        matches!(self.field.as_str(), "weight" | "gamma")
    }

    fn is_bias(&self) -> bool {
        matches!(self.field.as_str(), "bias" | "beta") && self.shape.len() == 1
    }

    fn is_buffer(&self) -> bool {
        matches!(self.field.as_str(), "running_mean" | "running_var")
    }

    /// The module's path; with the field where the module has more than it is named for.
    fn path(&self) -> String {
        match (self.module.as_str(), self.field.as_str()) {
            (module, _) if self.is_weight() && !module.is_empty() => module.to_owned(),
            ("", field) => field.to_owned(),
            (module, field) => format!("{module}.{field}"),
        }
    }

    fn kind(&self) -> String {
        if self.is_buffer() {
            KIND_BUFFER.to_owned()
        } else if self.is_weight() {
            kinds::kind(&self.containers)
        } else {
            KIND_PARAMETER.to_owned()
        }
    }
}

/// The tensors that make a layer.
struct Described<'a> {
    /// Where in the visit the weight comes, or the tensor that is a layer by itself.
    weight: usize,
    tensor: &'a Visited,
    rows: UnitRows,
    /// The bias that is folded in, and where in the visit it comes.
    bias: Option<(usize, &'a Visited)>,
}

/// Puts tensors together to layers, in the order of the visit.
fn described(visited: &[Option<Visited>]) -> Vec<Described<'_>> {
    let tensors = visited.iter().enumerate();
    let tensors = tensors.filter_map(|(index, tensor)| Some((index, tensor.as_ref()?)));
    // By module, a bias that can be folded in.
    let biases: HashMap<&str, (usize, &Visited)> = tensors
        .clone()
        .filter(|(_, tensor)| tensor.is_bias())
        .map(|(index, tensor)| (tensor.module.as_str(), (index, tensor)))
        .collect();
    // Weights first: they say which biases are folded in.
    let (weights, others): (Vec<_>, Vec<_>) = tensors.partition(|(_, t)| t.is_weight());
    let mut described = Vec::new();
    let mut folded = HashSet::new();
    for (weight, tensor) in weights {
        let bias = biases.get(tensor.module.as_str());
        let num_biases = bias.map(|(_, bias)| bias.shape[0]);
        let layout = kinds::layout(&tensor.containers, &tensor.shape, num_biases);
        let rows = UnitRows::new(layout, tensor.shape.clone());
        let bias = bias.copied();
        let bias = bias.filter(|(_, bias)| bias.shape[0] == rows.num_units());
        folded.extend(bias.map(|(index, _)| index));
        described.push(Described {
            weight,
            tensor,
            rows,
            bias,
        });
    }
    let others = others.into_iter();
    described.extend(others.filter(|(index, _)| !folded.contains(index)).map(
        |(weight, tensor)| Described {
            weight,
            tensor,
            rows: UnitRows::new(Layout::Rows, tensor.shape.clone()),
            bias: None,
        },
    ));
    described.sort_by_key(|layer| layer.weight);
    described
}

/// Names and numbers the layers.
fn topology(
    described: &[Described<'_>],
    is_autodiff: bool,
    labels: &HashMap<String, String>,
) -> Result<Topology, ModuleError> {
    let mut layers: Vec<Layer> = Vec::with_capacity(described.len());
    let mut first_neuron = 0i32;
    for of_layer in described {
        let layer = of_layer.layer(layers.len() as u32, first_neuron, is_autodiff, labels)?;
        first_neuron = first_neuron
            .checked_add_unsigned(layer.num_units)
            .ok_or(TopologyError::TooManyNeurons)?;
        layers.push(layer);
    }
    if layers.is_empty() {
        return Err(ModuleError::NoParameters);
    }
    let known = |path: &String| layers.iter().any(|layer| layer.module_path == *path);
    if let Some(path) = labels.keys().find(|path| !known(path)) {
        return Err(ModuleError::NoSuchModule {
            path: path.clone(),
            modules: layers.into_iter().map(|layer| layer.module_path).collect(),
        });
    }
    Topology::try_new(layers).map_err(|error| match error {
        TopologyError::DuplicateLabel(_) | TopologyError::ReservedLabel => {
            ModuleError::Labels(error)
        }
        error => error.into(),
    })
}

impl Described<'_> {
    /// The layer as the topology has it.
    fn layer(
        &self,
        layer_index: u32,
        first_neuron: i32,
        is_autodiff: bool,
        labels: &HashMap<String, String>,
    ) -> Result<Layer, ModuleError> {
        let path = self.tensor.path();
        let (num_units, fan_in) = (self.rows.num_units(), self.rows.fan_in());
        if num_units * fan_in > i32::MAX as usize {
            return Err(ModuleError::TooLarge {
                path,
                num_units,
                fan_in,
            });
        }
        let label = match labels.get(&path) {
            Some(label) => label,
            None => own_label(&path),
        };
        let label = LayerLabel::try_new(label).map_err(|source| ModuleError::Label {
            path: path.clone(),
            source,
        })?;
        let trainable = self.tensor.requires_grad || !is_autodiff;
        Ok(Layer {
            layer_index,
            layer: label,
            kind: self.tensor.kind(),
            tensors: self.sixteen_bit_tensors(&path),
            module_path: path,
            shape: self.rows.pytorch_shape(),
            fan_in: fan_in as u32,
            num_units: num_units as u32,
            first_neuron,
            activation: None,
            trainable: trainable && !self.tensor.is_buffer(),
            source: None,
            recorded_units: None,
        })
    }

    /// The tensors of a layer whose values are 16-bit floats, which a checkpoint of it has as well; none
    /// of any other, which has them as the trace does.
    fn sixteen_bit_tensors(&self, module_path: &str) -> Vec<LayerTensor> {
        let dtype = |tensor: &Visited| match tensor.dtype {
            DType::F16 => "F16",
            DType::BF16 => "BF16",
            _ => "F32",
        };
        let bias = self.bias.map(|(_, tensor)| tensor);
        let tensors = [("weight", Some(self.tensor)), ("bias", bias)];
        let tensors = tensors.into_iter().filter_map(|(parameter, tensor)| {
            Some(LayerTensor {
                name: conventional_name(module_path, &self.tensor.kind(), parameter),
                dtype: dtype(tensor?).to_owned(),
                shape: match parameter {
                    "weight" => self.rows.pytorch_shape(),
                    _ => vec![self.rows.num_units() as u64],
                },
                transposed: false,
            })
        });
        let tensors: Vec<LayerTensor> = tensors.collect();
        match tensors.iter().all(|tensor| tensor.dtype == "F32") {
            true => Vec::new(),
            false => tensors,
        }
    }
}

/// The label of a module that was given none: its path, but for one that stands for the network's
/// inputs.
fn own_label(path: &str) -> &str {
    match path.eq_ignore_ascii_case("input") {
        true => "L_input_",
        false => path,
    }
}

#[cfg(test)]
mod tests;
