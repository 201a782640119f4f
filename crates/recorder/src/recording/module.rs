//! A network's layers, from the module itself.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor, get_device_settings};
use capture::{Layout, NetworkLayers, RecordError, UnitRows, conventional_name};
use trace::{Layer, LayerLabel, LayerLabelError, LayerTensor, Topology, TopologyError};

use super::handle::{TensorHandle, UnitAxis};

/// Kind of a layer whose parameter has no better name than that of its field.
const KIND_PARAMETER: &str = "parameter";
/// Kind of what is no parameter, but needed to rebuild the network: running means and variances.
const KIND_BUFFER: &str = "buffer";
/// Kind of a linear layer inside a recurrent one.
const KIND_RECURRENT: &str = "recurrent";
/// Kind of a linear layer inside an attention layer.
const KIND_ATTENTION: &str = "attention";

/// Why a module has no topology.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModuleError {
    /// There is nothing to record.
    #[error("the network has no float parameters")]
    NoParameters,
    /// A parameter's path is no label.
    #[error("{path} needs a label of its own: give it one by `label`")]
    Label {
        /// The module's path.
        path: String,
        /// Why the path is none.
        source: LayerLabelError,
    },
    /// Labels do not tell the layers apart.
    #[error("{0}: give one a label of its own by `label`")]
    Labels(TopologyError),
    /// A label was given to a module that is not there.
    #[error("there is no module {path:?} to label: there are {}", modules.join(", "))]
    NoSuchModule {
        /// The path that was given.
        path: String,
        /// The paths that there are.
        modules: Vec<String>,
    },
    /// Larger than a trace can describe.
    #[error(
        "{path} has {num_units} units with {fan_in} weights each, a trace can hold {} weights of a layer",
        i32::MAX
    )]
    TooLarge {
        /// The module's path.
        path: String,
        /// How many units it has.
        num_units: usize,
        /// How many weights each has.
        fan_in: usize,
    },
    /// The layers do not belong together.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// A topology that was given is another network's.
    #[error("the topology is not this network's: {0}")]
    OtherTopology(String),
}

/// The layers of a network, and where in a visit of its module their tensors come.
///
/// Tensors are told apart by the order in which a visit comes to them: ids change when a record is
/// loaded, the order does not.
#[derive(Debug, Clone)]
pub(crate) struct ModuleLayers {
    network: Arc<NetworkLayers>,
    /// By visited tensor; none for one that was visited before, as shared ones are.
    places: Vec<Option<Place>>,
    /// The name of the backend that the first tensor is on, as `cuda`.
    device: String,
}

/// What a tensor is to a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    layer: usize,
    is_bias: bool,
}

/// Handles of a layer's parameters.
#[derive(Debug)]
pub(super) struct LayerHandles<B: Backend> {
    pub(super) layer: usize,
    pub(super) weight: TensorHandle<B>,
    pub(super) bias: Option<TensorHandle<B>>,
}

/// Handles of what there is for a layer's parameters: for either there may be nothing.
#[derive(Debug)]
pub(super) struct LayerTensors<B: Backend> {
    pub(super) layer: usize,
    weight: Option<TensorHandle<B>>,
    bias: Option<TensorHandle<B>>,
}

impl<B: Backend> LayerTensors<B> {
    /// Takes what a later look found, and keeps what it found nothing for.
    pub(super) fn update(&mut self, later: Self) {
        self.weight = later.weight.or(self.weight.take());
        self.bias = later.bias.or(self.bias.take());
    }

    /// None without a weight: a row is a unit's weights, with its bias.
    pub(super) fn into_handles(self) -> Option<LayerHandles<B>> {
        Some(LayerHandles {
            layer: self.layer,
            weight: self.weight?,
            bias: self.bias,
        })
    }
}

/// A module whose parameters are not those that the recorder was started with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OtherModuleError {
    /// A tensor has another shape.
    #[error("{what} had shape {expected:?} when the recorder was started, now it has {found:?}")]
    Shape {
        /// Which tensor.
        what: String,
        /// Its shape at the start.
        expected: Vec<usize>,
        /// Its shape now.
        found: Vec<usize>,
    },
    /// There are more tensors, or fewer.
    #[error(
        "the network had {expected} parameter tensors when the recorder was started, now it has {found}"
    )]
    NumTensors {
        /// How many at the start.
        expected: usize,
        /// How many now.
        found: usize,
    },
    /// A parameter has no values yet, and drawing them here would change what training draws.
    #[error(
        "{what} has no values yet: Burn draws them where the network is first used; capture it \
         after its first forward pass"
    )]
    Uninitialized {
        /// Which tensor.
        what: String,
    },
}

impl From<OtherModuleError> for RecordError {
    fn from(error: OtherModuleError) -> Self {
        Self::OtherModule(Box::new(error))
    }
}

impl ModuleLayers {
    /// Describes a module without looking at a value of it: Burn draws parameters at their first
    /// use, and a draw here would change what training draws (ARCHITECTURE.md, invariant 1).
    ///
    /// A layer a weight tensor, a 1-D `bias` (or `beta`) of the same module folded in. Its label is
    /// the module's path, unless `labels` has another for that path.
    ///
    /// Which parameters are frozen is known of a module on an autodiff backend alone; of another,
    /// all are taken to be trained.
    pub(crate) fn of<B: Backend, M: Module<B>>(
        module: &M,
        is_autodiff: bool,
        labels: &HashMap<String, String>,
    ) -> Result<Self, ModuleError> {
        let mut visitor = Describe::default();
        module.visit(&mut visitor);
        visitor.layers(is_autodiff, labels)
    }

    /// Takes everything that is said of the layers from a topology, which states their order, their
    /// sources and non-linearities: a module cannot.
    pub(crate) fn with_topology(self, topology: Topology) -> Result<Self, ModuleError> {
        let other = |problem: String| ModuleError::OtherTopology(problem);
        let own = self.topology().layers();
        if topology.layers().len() != own.len() {
            let (given, own) = (topology.layers().len(), own.len());
            return Err(other(format!("it has {given} layers, the network {own}")));
        }
        // From a layer's place in the visit to its place in the topology.
        let mut to_given = vec![usize::MAX; own.len()];
        for (index, layer) in topology.layers().iter().enumerate() {
            let path = &layer.module_path;
            let found = own.iter().position(|own| own.module_path == *path);
            let found = found.ok_or_else(|| other(format!("the network has no {path:?}")))?;
            if own[found].shape != layer.shape || own[found].num_units != layer.num_units {
                let (given, own) = (&layer.shape, &own[found].shape);
                return Err(other(format!(
                    "it says that {path} is {given:?}, it is {own:?}"
                )));
            }
            to_given[found] = index;
        }
        if let Some(missing) = to_given.iter().position(|&index| index == usize::MAX) {
            let path = &own[missing].module_path;
            return Err(other(format!("it does not have {path:?}")));
        }
        let mut layers = topology.layers().to_vec();
        for (own, &given) in own.iter().zip(&to_given) {
            // What type the values have is known of the network alone.
            if layers[given].tensors.is_empty() {
                layers[given].tensors.clone_from(&own.tensors);
            }
        }
        let topology = Topology::try_new(layers)?;
        let rows = Arc::unwrap_or_clone(self.network).into_rows();
        let mut rows: Vec<(usize, UnitRows)> = to_given.iter().copied().zip(rows).collect();
        rows.sort_by_key(|(index, _)| *index);
        let rows = rows.into_iter().map(|(_, rows)| rows).collect();
        let places = self.places.into_iter().map(|place| {
            place.map(|place| Place {
                layer: to_given[place.layer],
                ..place
            })
        });
        Ok(Self {
            network: Arc::new(NetworkLayers::new(topology, rows)),
            places: places.collect(),
            device: self.device,
        })
    }

    /// The name of the backend, as `cuda`.
    pub(super) fn device(&self) -> &str {
        &self.device
    }

    /// The layers, as a recording needs them.
    pub(super) fn network(&self) -> &Arc<NetworkLayers> {
        &self.network
    }

    pub(crate) fn topology(&self) -> &Topology {
        self.network.topology()
    }

    /// The layer as its activations have it; none if those cannot be numbered.
    pub(super) fn activated(&self, layer: usize) -> Option<Cow<'_, Layer>> {
        self.network.activated(layer)
    }

    /// How a layer's weight becomes rows.
    pub(super) fn rows(&self, layer: usize) -> &UnitRows {
        self.network.rows(layer)
    }

    /// Along which axis of its activations a layer's units lie.
    pub(super) fn unit_axis(&self, layer: usize) -> UnitAxis {
        let kind = self.topology().layers()[layer].kind.as_str();
        let is_spatial = [
            "conv",
            "deform_conv",
            "batch_norm",
            "group_norm",
            "instance_norm",
        ]
        .iter()
        .any(|prefix| kind.starts_with(prefix));
        if is_spatial {
            UnitAxis::First
        } else {
            UnitAxis::Last
        }
    }

    /// Takes handles of the selected layers' parameters, in the topology's order: nothing is copied
    /// or read.
    ///
    /// # Errors
    /// If the module is not the one that was described.
    pub(super) fn handles<B: Backend, M: Module<B>>(
        &self,
        module: &M,
        selected: &[bool],
    ) -> Result<Vec<LayerHandles<B>>, OtherModuleError> {
        self.handles_of(module, &Values, selected)
    }

    /// As [`ModuleLayers::handles`], of other tensors than the parameters themselves. A layer for
    /// whose weight there is none is left out.
    pub(super) fn handles_of<V, B, M, L>(
        &self,
        module: &M,
        lookup: &L,
        selected: &[bool],
    ) -> Result<Vec<LayerHandles<B>>, OtherModuleError>
    where
        V: Backend,
        B: Backend,
        M: Module<V>,
        L: Lookup<V, B>,
    {
        let tensors = self.tensors_of(module, lookup, selected)?.into_iter();
        Ok(tensors.filter_map(LayerTensors::into_handles).collect())
    }

    /// As [`ModuleLayers::handles_of`], with the layers for whose bias alone there is one.
    pub(super) fn tensors_of<V, B, M, L>(
        &self,
        module: &M,
        lookup: &L,
        selected: &[bool],
    ) -> Result<Vec<LayerTensors<B>>, OtherModuleError>
    where
        V: Backend,
        B: Backend,
        M: Module<V>,
        L: Lookup<V, B>,
    {
        let num_layers = self.topology().layers().len();
        let mut visitor = Collect {
            layers: self,
            lookup,
            selected,
            num_visited: 0,
            weights: (0..num_layers).map(|_| None).collect(),
            biases: (0..num_layers).map(|_| None).collect(),
            error: None,
        };
        module.visit(&mut visitor);
        if let Some(error) = visitor.error {
            return Err(error);
        }
        self.check_num_visited(visitor.num_visited)?;
        let layers = visitor.weights.into_iter().zip(visitor.biases).enumerate();
        Ok(layers
            .filter(|(_, (weight, bias))| weight.is_some() || bias.is_some())
            .map(|(layer, (weight, bias))| LayerTensors {
                layer,
                weight,
                bias,
            })
            .collect())
    }

    /// Checks that the module is the one that was described and that all its parameters have
    /// values, without drawing any.
    pub(super) fn check<B: Backend, M: Module<B>>(
        &self,
        module: &M,
    ) -> Result<(), OtherModuleError> {
        let mut visitor = Check {
            layers: self,
            num_visited: 0,
            error: None,
        };
        module.visit(&mut visitor);
        match visitor.error {
            Some(error) => Err(error),
            None => self.check_num_visited(visitor.num_visited),
        }
    }

    fn check_num_visited(&self, found: usize) -> Result<(), OtherModuleError> {
        let expected = self.places.len();
        if found == expected {
            return Ok(());
        }
        Err(OtherModuleError::NumTensors { expected, found })
    }

    /// The tensor's name in an error.
    fn what(&self, place: Place) -> String {
        let layer = &self.topology().layers()[place.layer];
        let part = if place.is_bias { "bias" } else { "weight" };
        format!("the {part} of layer {}", layer.layer)
    }
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

impl Describe {
    fn layers(
        self,
        is_autodiff: bool,
        labels: &HashMap<String, String>,
    ) -> Result<ModuleLayers, ModuleError> {
        let visited = &self.visited;
        // By module, the place in the visit of a bias that can be folded in.
        let biases: HashMap<&str, usize> = visited
            .iter()
            .enumerate()
            .filter_map(|(index, tensor)| Some((index, tensor.as_ref()?)))
            .filter(|(_, tensor)| tensor.is_bias())
            .map(|(index, tensor)| (tensor.module.as_str(), index))
            .collect();
        let mut layers: Vec<Layer> = Vec::new();
        let mut rows = Vec::new();
        let mut places = vec![None; visited.len()];
        let weights = visited.iter().enumerate();
        let weights = weights.filter_map(|(index, tensor)| Some((index, tensor.as_ref()?)));
        // Weights first: they say which biases are folded in.
        let (weights, others): (Vec<_>, Vec<_>) = weights.partition(|(_, t)| t.is_weight());
        let mut described: Vec<(usize, &Visited, UnitRows, Option<&Visited>)> = Vec::new();
        for (index, tensor) in weights {
            let bias = biases.get(tensor.module.as_str()).copied();
            let bias_shape = bias.and_then(|bias| visited[bias].as_ref());
            let unit_rows = UnitRows::new(
                tensor.layout(bias_shape.map(|bias| bias.shape[0])),
                tensor.shape.clone(),
            );
            let is_folded = bias_shape.is_some_and(|b| b.shape[0] == unit_rows.num_units());
            let folded = bias_shape.filter(|_| is_folded);
            if let (Some(bias), true) = (bias, is_folded) {
                // The layer is named below, where the order is that of the visit.
                places[bias] = Some(Place {
                    layer: index,
                    is_bias: true,
                });
            }
            described.push((index, tensor, unit_rows, folded));
        }
        for (index, tensor) in others {
            if places[index].is_none() {
                let unit_rows = UnitRows::new(Layout::Rows, tensor.shape.clone());
                described.push((index, tensor, unit_rows, None));
            }
        }
        described.sort_by_key(|(index, ..)| *index);

        let mut layer_of_weight = HashMap::new();
        let mut first_neuron = 0i32;
        for (index, tensor, unit_rows, bias) in described {
            let path = tensor.path();
            let tensors = tensors_of(tensor, &path, &unit_rows, bias);
            let (num_units, fan_in) = (unit_rows.num_units(), unit_rows.fan_in());
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
            layer_of_weight.insert(index, layers.len());
            layers.push(Layer {
                layer_index: layers.len() as u32,
                layer: label,
                kind: tensor.kind(),
                module_path: path,
                shape: unit_rows.pytorch_shape(),
                fan_in: fan_in as u32,
                num_units: num_units as u32,
                first_neuron,
                activation: None,
                trainable: (tensor.requires_grad || !is_autodiff) && !tensor.is_buffer(),
                source: None,
                tensors,
                recorded_units: None,
            });
            rows.push(unit_rows);
            first_neuron = first_neuron
                .checked_add_unsigned(num_units as u32)
                .ok_or(TopologyError::TooManyNeurons)?;
            places[index] = Some(Place {
                layer: index,
                is_bias: false,
            });
        }
        for place in places.iter_mut().flatten() {
            place.layer = layer_of_weight[&place.layer];
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
        let topology = Topology::try_new(layers).map_err(|error| match error {
            TopologyError::DuplicateLabel(_) | TopologyError::ReservedLabel => {
                ModuleError::Labels(error)
            }
            error => error.into(),
        })?;
        Ok(ModuleLayers {
            network: Arc::new(NetworkLayers::new(topology, rows)),
            places,
            device: self.device,
        })
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

    /// The type that the tensor is a field of, as `Linear`.
    fn container(&self) -> &str {
        self.containers.last().map_or("", String::as_str)
    }

    fn kind(&self) -> String {
        let is_in = |types: &[&str]| self.containers.iter().any(|c| types.contains(&c.as_str()));
        match self.container() {
            _ if self.is_buffer() => KIND_BUFFER.to_owned(),
            _ if !self.is_weight() => KIND_PARAMETER.to_owned(),
            "Linear" if is_in(&["GateController"]) => KIND_RECURRENT.to_owned(),
            "Linear" if is_in(&["MultiHeadAttention", "CrossAttention"]) => {
                KIND_ATTENTION.to_owned()
            }
            "" => KIND_PARAMETER.to_owned(),
            container => snake_case(container),
        }
    }

    /// How the tensor becomes rows. How many groups a transposed convolution has is told by its
    /// bias; without one it is taken to have one.
    fn layout(&self, bias: Option<usize>) -> Layout {
        match (self.container(), self.shape.as_slice()) {
            ("Linear", [_, _]) => Layout::Columns,
            (container, &[num_inputs, units_per_group, _, ..])
                if container.starts_with("ConvTranspose") =>
            {
                let groups = bias
                    .and_then(|num_units| num_units.checked_div(units_per_group))
                    .filter(|&groups| groups > 0 && num_inputs.is_multiple_of(groups));
                Layout::ByGroup {
                    groups: groups.unwrap_or(1),
                }
            }
            _ => Layout::Rows,
        }
    }
}

/// The tensors of a layer whose values are 16-bit floats, which a checkpoint of it has as well; none of
/// any other, which has them as the trace does.
fn tensors_of(
    weight: &Visited,
    module_path: &str,
    rows: &UnitRows,
    bias: Option<&Visited>,
) -> Vec<LayerTensor> {
    let dtype = |tensor: &Visited| match tensor.dtype {
        DType::F16 => "F16",
        DType::BF16 => "BF16",
        _ => "F32",
    };
    let tensors = [("weight", Some(weight)), ("bias", bias)];
    let tensors = tensors.into_iter().filter_map(|(parameter, tensor)| {
        Some(LayerTensor {
            name: conventional_name(module_path, &weight.kind(), parameter),
            dtype: dtype(tensor?).to_owned(),
            shape: match parameter {
                "weight" => rows.pytorch_shape(),
                _ => vec![rows.num_units() as u64],
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

/// The label of a module that was given none: its path, but for one that stands for the network's
/// inputs.
fn own_label(path: &str) -> &str {
    match path.eq_ignore_ascii_case("input") {
        true => "L_input_",
        false => path,
    }
}

/// `ConvTranspose2d` is `conv_transpose2d`.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for (index, letter) in name.char_indices() {
        if letter.is_uppercase() && index > 0 {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

struct Check<'a> {
    layers: &'a ModuleLayers,
    num_visited: usize,
    error: Option<OtherModuleError>,
}

impl<B: Backend> ModuleVisitor<B> for Check<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let place = self.layers.places.get(self.num_visited).copied().flatten();
        self.num_visited += 1;
        if let (Some(place), None, false) = (place, &self.error, param.is_initialized()) {
            self.error = Some(OtherModuleError::Uninitialized {
                what: self.layers.what(place),
            });
        }
    }
}

/// What is taken of a parameter.
pub(super) trait Lookup<V: Backend, B: Backend> {
    /// A tensor of the parameter's shape; none where there is none.
    fn tensor<const D: usize>(&self, param: &Param<Tensor<V, D>>) -> Option<Tensor<B, D>>;
}

/// Parameters themselves.
struct Values;

impl<B: Backend> Lookup<B, B> for Values {
    fn tensor<const D: usize>(&self, param: &Param<Tensor<B, D>>) -> Option<Tensor<B, D>> {
        Some(param.val())
    }
}

struct Collect<'a, L, B: Backend> {
    layers: &'a ModuleLayers,
    lookup: &'a L,
    selected: &'a [bool],
    num_visited: usize,
    weights: Vec<Option<TensorHandle<B>>>,
    biases: Vec<Option<TensorHandle<B>>>,
    error: Option<OtherModuleError>,
}

impl<V: Backend, B: Backend, L: Lookup<V, B>> ModuleVisitor<V> for Collect<'_, L, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<V, D>>) {
        let place = self.layers.places.get(self.num_visited).copied().flatten();
        self.num_visited += 1;
        let Some(place) = place.filter(|place| self.selected[place.layer]) else {
            return;
        };
        let Some(tensor) = self.lookup.tensor(param) else {
            return;
        };
        let rows = self.layers.rows(place.layer);
        let (expected, handles) = if place.is_bias {
            (&[rows.num_units()][..], &mut self.biases)
        } else {
            (rows.shape(), &mut self.weights)
        };
        if tensor.dims()[..] != *expected {
            self.error.get_or_insert_with(|| OtherModuleError::Shape {
                what: self.layers.what(place),
                expected: expected.to_vec(),
                found: tensor.dims().to_vec(),
            });
            return;
        }
        handles[place.layer] = Some(TensorHandle::new(tensor));
    }
}

#[cfg(test)]
mod tests;
