//! `linear_probe()`: how well a layer's neurons, or some that are named, tell each class jointly, at
//! each capture.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;
use std::thread;

use arrow::array::{ArrayRef, Float32Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, exec_err};
use trace::Half;

use crate::analysis::{JointPower, Membership, joint_power};
use crate::call::{Call, RunFunction};
use crate::held_out::{Capture, HeldOutAnalysis, HeldOutReader, HeldOutTable, Room};
use crate::snapshot::{SharedSnapshot, Snapshot};
use crate::structure_scores::SEED;

/// Name of the table function, and of the named query over it.
pub(crate) const LINEAR_PROBE: &str = "linear_probe";

/// Its parameters, in order.
const PARAMETERS: [&str; 4] = ["layer", "neurons", "half", "seed"];

/// The most neurons of a group: what a probe costs grows with their square.
pub(crate) const MAX_NEURONS: usize = 1024;

/// The table function `linear_probe(layer, neurons, half, seed)`.
#[derive(Debug)]
pub(crate) struct LinearProbeFunction {
    snapshot: SharedSnapshot,
}

impl LinearProbeFunction {
    pub(crate) fn new(snapshot: SharedSnapshot) -> Self {
        Self { snapshot }
    }
}

impl RunFunction for LinearProbeFunction {
    fn name(&self) -> &'static str {
        LINEAR_PROBE
    }

    fn parameters(&self) -> &'static [&'static str] {
        &PARAMETERS
    }

    fn table(&self, call: &Call) -> Result<Arc<dyn TableProvider>> {
        let analysis = LinearProbe {
            group: call.get("neurons")?,
            half: call.get("half")?.unwrap_or_default(),
            seed: call.get("seed")?.unwrap_or(SEED),
        };
        HeldOutTable::of_call(&self.snapshot, call, analysis)
    }
}

/// Neurons that are probed together, as `3,7,120`.
#[derive(Debug)]
struct Group(BTreeSet<i32>);

impl FromStr for Group {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let neurons = text.split(',').map(|neuron| neuron.trim().parse::<i32>());
        let neurons = neurons.collect::<Result<BTreeSet<i32>, _>>();
        neurons.map(Group).map_err(|_| {
            "expected the numbers of neurons with commas between them, as 3,7,120".to_owned()
        })
    }
}

/// What a call asks for.
#[derive(Debug)]
struct LinearProbe {
    group: Option<Group>,
    half: Half,
    seed: u64,
}

/// What is probed together, and what a probe made of it.
struct Probed {
    layer: Option<usize>,
    num_neurons: usize,
    /// By class.
    powers: Vec<Option<JointPower>>,
}

impl LinearProbe {
    /// The activations of what is probed together, after the layer's place if it is a layer.
    fn groups(
        &self,
        reader: &HeldOutReader,
        capture: &Capture,
        membership_of: impl Fn(usize) -> Membership,
        room: &Room,
    ) -> Result<BTreeMap<Option<usize>, Activations>> {
        let mut groups: BTreeMap<Option<usize>, Activations> = BTreeMap::new();
        let mut num_bytes = 0;
        for lists in reader.activations(capture) {
            let (layer, lists) = lists?;
            for (neuron, list) in lists.iter() {
                let of_group = match &self.group {
                    None => Some(layer),
                    Some(Group(neurons)) if neurons.contains(&neuron) => None,
                    Some(_) => continue,
                };
                let group = groups.entry(of_group).or_insert_with(|| Activations {
                    membership: membership_of(list.len()),
                    list_len: list.len(),
                    neurons: BTreeMap::new(),
                });
                if list.len() != group.list_len {
                    return exec_err!(
                        "neuron {neuron} has {} activations, others of its capture have {}",
                        list.len(),
                        group.list_len
                    );
                }
                num_bytes += size_of_val(list);
                let values = group.membership.of_samples(list).collect();
                group.neurons.insert(neuron, values);
            }
            room.memory.try_resize(num_bytes + lists.num_bytes())?;
        }
        Ok(groups)
    }
}

/// Neurons that are probed together.
struct Activations {
    membership: Membership,
    list_len: usize,
    neurons: BTreeMap<i32, Vec<f32>>,
}

impl Activations {
    /// The joint power for each class, worked out on so many threads.
    fn powers(&self, num_threads: usize) -> Vec<Option<JointPower>> {
        let neurons: Vec<&[f32]> = self.neurons.values().map(Vec::as_slice).collect();
        let power = |class: usize| {
            let classes = self.membership.classes().iter();
            let is_member: Vec<bool> = classes.map(|of| *of as usize == class).collect();
            joint_power(&neurons, &is_member)
        };
        let mut powers = vec![None; self.membership.num_classes()];
        let share = powers.len().div_ceil(num_threads).max(1);
        thread::scope(|scope| {
            for (part, powers) in powers.chunks_mut(share).enumerate() {
                let power = &power;
                scope.spawn(move || {
                    for (class, found) in powers.iter_mut().enumerate() {
                        *found = power(part * share + class);
                    }
                });
            }
        });
        powers
    }
}

impl HeldOutAnalysis for LinearProbe {
    fn name(&self) -> &'static str {
        LINEAR_PROBE
    }

    fn told(&self) -> String {
        let neurons = self.group.as_ref().map_or(0, |group| group.0.len());
        format!("neurons={neurons}, half={}", self.half)
    }

    fn schema(&self) -> SchemaRef {
        let field = |name: &str, data_type, nullable| Field::new(name, data_type, nullable);
        Arc::new(Schema::new(vec![
            field("epoch", DataType::Int32, false),
            field("step", DataType::Int64, false),
            field("layer_index", DataType::Int32, true),
            field("layer", DataType::Utf8, true),
            field("neurons", DataType::Int64, false),
            field("class", DataType::Int32, false),
            field("auc", DataType::Float32, true),
            field("accuracy", DataType::Float32, true),
            field("majority", DataType::Float32, true),
        ]))
    }

    fn order(&self) -> &'static [&'static str] {
        &["layer_index", "class"]
    }

    fn rows(&self, snapshot: &Snapshot, capture: &Capture, room: &Room) -> Result<RecordBatch> {
        let reader = HeldOutReader::try_new(snapshot, room.batch_rows)?;
        let predictions = reader.predictions(capture, self.half, self.seed)?;
        let membership_of = |list_len: usize| {
            let num_known = list_len.min(predictions.classes.len());
            Membership::new(&predictions.classes[..num_known], predictions.num_classes)
        };
        let groups = self.groups(&reader, capture, membership_of, room)?;
        if let Some(Group(asked)) = &self.group {
            let found = groups.get(&None).map(|group| &group.neurons);
            let missing = |neuron: &&i32| !found.is_some_and(|found| found.contains_key(neuron));
            if let Some(neuron) = asked.iter().find(missing) {
                return exec_err!(
                    "{LINEAR_PROBE}(): neuron {neuron} has no activations at epoch {}",
                    capture.epoch
                );
            }
        }
        let layers = snapshot.topology().layers();
        let mut probed = Vec::new();
        for (layer, group) in &groups {
            let num_neurons = group.neurons.len();
            if num_neurons > MAX_NEURONS {
                let layer = layer.map_or("the group", |place| layers[place].layer.as_str());
                return exec_err!(
                    "{LINEAR_PROBE}(): {layer} has {num_neurons} neurons, at most {MAX_NEURONS} \
                     are probed together: name some with `neurons`"
                );
            }
            probed.push(Probed {
                layer: *layer,
                num_neurons,
                powers: group.powers(room.num_threads),
            });
        }
        let rows = || {
            probed.iter().flat_map(|group| {
                let classes = group.powers.iter().enumerate();
                classes.map(move |(class, power)| (group, class, power))
            })
        };
        let num_rows = rows().count();
        let float = |of: fn(&JointPower) -> f64| -> ArrayRef {
            let values = rows().map(|(_, _, power)| power.as_ref().map(|power| of(power) as f32));
            Arc::new(values.collect::<Float32Array>())
        };
        let places = rows().map(|(group, _, _)| group.layer.map(|place| place as i32));
        let labels = rows().map(|(group, _, _)| Some(layers[group.layer?].layer.as_str()));
        let counts = rows().map(|(group, _, _)| group.num_neurons as i64);
        let classes = rows().map(|(_, class, _)| class as i32);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from_value(capture.epoch, num_rows)),
            Arc::new(Int64Array::from_value(capture.step, num_rows)),
            Arc::new(Int32Array::from_iter(places)),
            Arc::new(StringArray::from_iter(labels)),
            Arc::new(Int64Array::from_iter_values(counts)),
            Arc::new(Int32Array::from_iter_values(classes)),
            float(|power| power.auc),
            float(|power| power.accuracy),
            float(|power| power.majority),
        ];
        Ok(RecordBatch::try_new(self.schema(), columns)?)
    }
}
