//! What types of Burn's are as layers: how their weights become rows, what kind a trace calls them, and
//! along which axis of their activations their units lie.

use capture::Layout;

use super::super::handle::UnitAxis;

/// Kind of a layer whose parameter has no better name than that of its field.
pub(super) const KIND_PARAMETER: &str = "parameter";
/// Kind of what is no parameter, but needed to rebuild the network: running means and variances.
pub(super) const KIND_BUFFER: &str = "buffer";

/// What a type of Burn's, or a family of types, is as a layer.
struct LayerType {
    /// The type's name; of a family, how the names begin.
    container: &'static str,
    /// The type is this layer only within one of these; anywhere where there are none.
    within: &'static [&'static str],
    /// What a trace calls the layer; of a family, how the names of the kinds begin.
    kind: &'static str,
    /// Whether all types are meant whose names begin so, as `Conv1d` and `Conv2d`.
    is_family: bool,
    weight: WeightLayout,
    unit_axis: UnitAxis,
}

/// How a weight of a type becomes rows.
#[derive(Clone, Copy)]
enum WeightLayout {
    Rows,
    Columns,
    /// How many groups there are is a question of the tensor.
    ByGroup,
}

impl LayerType {
    /// `Linear`, wherever it stands unless [`LayerType::within`] is said.
    const fn linear(kind: &'static str) -> Self {
        Self {
            container: "Linear",
            within: &[],
            kind,
            is_family: false,
            weight: WeightLayout::Columns,
            unit_axis: UnitAxis::Last,
        }
    }

    const fn within(self, within: &'static [&'static str]) -> Self {
        Self { within, ..self }
    }

    /// Types whose units are channels, before the positions.
    const fn channels(container: &'static str, kind: &'static str, weight: WeightLayout) -> Self {
        Self {
            container,
            within: &[],
            kind,
            is_family: true,
            weight,
            unit_axis: UnitAxis::First,
        }
    }

    fn is_container(&self, containers: &[String]) -> bool {
        let (container, around) = match containers.split_last() {
            Some((container, around)) => (container.as_str(), around),
            None => ("", containers),
        };
        let is_within = || around.iter().any(|c| self.within.contains(&c.as_str()));
        is_named(container, self.container, self.is_family)
            && (self.within.is_empty() || is_within())
    }
}

/// Types whose layers are not [`OTHER`], the first that fits.
const LAYER_TYPES: [LayerType; 9] = [
    LayerType::linear("recurrent").within(&["GateController"]),
    LayerType::linear("attention").within(&["MultiHeadAttention", "CrossAttention"]),
    LayerType::linear("linear"),
    LayerType::channels("ConvTranspose", "conv_transpose", WeightLayout::ByGroup),
    LayerType::channels("Conv", "conv", WeightLayout::Rows),
    LayerType::channels("DeformConv", "deform_conv", WeightLayout::Rows),
    LayerType::channels("BatchNorm", "batch_norm", WeightLayout::Rows),
    LayerType::channels("GroupNorm", "group_norm", WeightLayout::Rows),
    LayerType::channels("InstanceNorm", "instance_norm", WeightLayout::Rows),
];

/// Every other type: embeddings, other normalisations, types that Burn does not know.
const OTHER: LayerType = LayerType {
    container: "",
    within: &[],
    kind: "",
    is_family: true,
    weight: WeightLayout::Rows,
    unit_axis: UnitAxis::Last,
};

/// The kind of a layer that is the weight of the innermost of these types, which are named from the
/// outermost: `Network`, `Linear`.
pub(super) fn kind(containers: &[String]) -> String {
    let layer_type = of_containers(containers);
    match containers.last().map_or("", String::as_str) {
        "" => KIND_PARAMETER.to_owned(),
        container if layer_type.is_family => snake_case(container),
        _ => layer_type.kind.to_owned(),
    }
}

/// How the weight of the innermost of these types becomes rows, as [`kind`] has them.
///
/// How many groups a transposed convolution has is told by its bias, which has `num_biases` values;
/// without one it is taken to have one.
pub(super) fn layout(containers: &[String], shape: &[usize], num_biases: Option<usize>) -> Layout {
    match (of_containers(containers).weight, shape) {
        (WeightLayout::Columns, [_, _]) => Layout::Columns,
        (WeightLayout::ByGroup, &[num_inputs, units_per_group, _, ..]) => {
            let groups = num_biases
                .and_then(|num_units| num_units.checked_div(units_per_group))
                .filter(|&groups| groups > 0 && num_inputs.is_multiple_of(groups));
            Layout::ByGroup {
                groups: groups.unwrap_or(1),
            }
        }
        _ => Layout::Rows,
    }
}

/// Along which axis of its activations the units of a layer of this kind lie.
pub(super) fn unit_axis(kind: &str) -> UnitAxis {
    let is_kind = |layer_type: &&LayerType| is_named(kind, layer_type.kind, layer_type.is_family);
    LAYER_TYPES.iter().find(is_kind).unwrap_or(&OTHER).unit_axis
}

fn of_containers(containers: &[String]) -> &'static LayerType {
    LAYER_TYPES
        .iter()
        .find(|layer_type| layer_type.is_container(containers))
        .unwrap_or(&OTHER)
}

fn is_named(name: &str, expected: &str, is_family: bool) -> bool {
    match is_family {
        true => name.starts_with(expected),
        false => name == expected,
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

#[cfg(test)]
mod tests;
