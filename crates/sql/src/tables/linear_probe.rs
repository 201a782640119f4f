//! `linear_probe()`: how well a layer's neurons, or some that are named, tell each class jointly, at
//! each capture.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;
use std::thread;

use analysis::{Half, JointPower, Membership, NUM_FOLDS, joint_power, joint_power_bytes};
use arrow::array::{ArrayRef, Int32Array, Int64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, exec_err};
use datafusion::execution::memory_pool::MemoryReservation;
use trace::Layer;

use crate::exec::budget::{Budget, filled, reserved};
use crate::run::snapshot::SharedSnapshot;
use crate::tables::call::{Call, RunFunction};
use crate::tables::findings::{Findings, Wanted, floats, labels, unknown_column};
use crate::tables::held_out::{
    Capture, HeldOutAnalysis, HeldOutReader, HeldOutTable, Predictions, check_len,
};
use crate::tables::structure_scores::SEED;

/// Name of the table function, and of the named query over it.
pub const LINEAR_PROBE: &str = "linear_probe";

/// Its parameters, in order.
const PARAMETERS: [&str; 4] = ["layer", "neurons", "half", "seed"];

/// The most neurons of a group: what a probe costs grows with their square.
pub const MAX_NEURONS: usize = 1024;

/// The table function `linear_probe(layer, neurons, half, seed)`.
pub(crate) const FUNCTION: RunFunction = RunFunction {
    name: LINEAR_PROBE,
    parameters: &PARAMETERS,
    table,
};

fn table(snapshot: &SharedSnapshot, call: &Call) -> Result<Arc<dyn TableProvider>> {
    let analysis = LinearProbe {
        group: call.get("neurons")?,
        half: call.get("half")?.unwrap_or_default(),
        seed: call.get("seed")?.unwrap_or(SEED),
    };
    HeldOutTable::of_call(snapshot, call, analysis)
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

/// What of a probe is worked out, since a column says it.
#[derive(Debug, Clone, Copy)]
struct Needed {
    /// What needs a probe to be fitted.
    power: bool,
    majority: bool,
}

impl Needed {
    fn of(wanted: &Wanted) -> Self {
        let power = wanted.any(&["auc", "accuracy"]);
        Self {
            power,
            majority: power || wanted.any(&["majority"]),
        }
    }
}

/// What is probed together, and what a probe made of it.
struct Probed {
    layer: Option<usize>,
    num_neurons: usize,
    /// By class, as far as it is needed.
    powers: Vec<Option<JointPower>>,
    majorities: Vec<Option<f64>>,
}

impl LinearProbe {
    /// The activations of what is probed together, after the layer's place if it is a layer.
    fn groups(
        &self,
        reader: &HeldOutReader,
        capture: &Capture,
        predictions: &Predictions,
        needed: Needed,
        budget: &Budget,
    ) -> Result<BTreeMap<Option<usize>, Activations>> {
        let memory = &budget.memory;
        let mut groups: BTreeMap<Option<usize>, Activations> = BTreeMap::new();
        for lists in reader.activations(capture) {
            let (layer, lists) = lists?;
            let scratch = budget.scratch();
            scratch.try_grow(lists.num_bytes())?;
            for (neuron, list) in lists.iter() {
                let of_group = match &self.group {
                    None => Some(layer),
                    Some(Group(neurons)) if neurons.contains(&neuron) => None,
                    Some(_) => continue,
                };
                let group = match groups.entry(of_group) {
                    Entry::Occupied(group) => group.into_mut(),
                    Entry::Vacant(place) => {
                        place.insert(Activations::try_new(predictions, list.len(), memory)?)
                    }
                };
                check_len(neuron, list.len(), group.list_len)?;
                memory.try_grow(ENTRY_BYTES)?;
                let mut values = Vec::new();
                if needed.majority {
                    values = reserved(memory, group.membership.num_samples())?;
                    values.extend(group.membership.of_samples(list));
                }
                group.neurons.insert(neuron, values);
            }
        }
        Ok(groups)
    }

    /// The groups that a capture has, which are those that were asked for.
    fn check(
        &self,
        groups: &BTreeMap<Option<usize>, Activations>,
        layers: &[Layer],
        epoch: i32,
    ) -> Result<()> {
        if let Some(Group(asked)) = &self.group {
            let found = groups.get(&None).map(|group| &group.neurons);
            let missing = |neuron: &&i32| !found.is_some_and(|found| found.contains_key(neuron));
            if let Some(neuron) = asked.iter().find(missing) {
                return exec_err!(
                    "{LINEAR_PROBE}(): neuron {neuron} has no activations at epoch {epoch}"
                );
            }
        }
        for (layer, group) in groups {
            let num_neurons = group.neurons.len();
            if num_neurons > MAX_NEURONS {
                let layer = layer.map_or("the group", |place| layers[place].layer.as_str());
                return exec_err!(
                    "{LINEAR_PROBE}(): {layer} has {num_neurons} neurons, at most {MAX_NEURONS} \
                     are probed together: name some with `neurons`"
                );
            }
        }
        Ok(())
    }
}

/// What a neuron takes beside its activations, in a map of neurons.
const ENTRY_BYTES: usize = 3 * size_of::<(i32, Vec<f32>)>();

/// Neurons that are probed together.
struct Activations {
    membership: Membership,
    list_len: usize,
    neurons: BTreeMap<i32, Vec<f32>>,
}

impl Activations {
    fn try_new(
        predictions: &Predictions,
        list_len: usize,
        memory: &MemoryReservation,
    ) -> Result<Self> {
        let (classes, num_classes) = (&predictions.classes, predictions.num_classes);
        let num_known = list_len.min(classes.len());
        memory.try_grow(Membership::num_bytes_of(num_known, num_classes))?;
        Ok(Self {
            membership: Membership::new(&classes[..num_known], num_classes),
            list_len,
            neurons: BTreeMap::new(),
        })
    }

    /// What is needed of each class, worked out on the threads that there is room for.
    fn probe(&self, layer: Option<usize>, needed: Needed, budget: &Budget) -> Result<Probed> {
        let num_classes = self.membership.num_classes();
        let mut powers = filled(&budget.memory, None, num_classes)?;
        let mut majorities = filled(&budget.memory, None, num_classes)?;
        if needed.majority {
            let (num_neurons, num_samples) = (self.neurons.len(), self.membership.num_samples());
            let scratch = budget.scratch();
            let mut neurons: Vec<&[f32]> = reserved(&scratch, num_neurons)?;
            neurons.extend(self.neurons.values().map(Vec::as_slice));
            let each = match needed.power {
                true => joint_power_bytes(num_neurons, num_samples),
                false => num_samples,
            };
            let num_threads = budget.threads(&scratch, num_classes, each)?;
            let share = num_classes.div_ceil(num_threads).max(1);
            let parts = powers.chunks_mut(share).zip(majorities.chunks_mut(share));
            let fitted: usize = thread::scope(|scope| {
                let parts = parts.enumerate().map(|(part, (powers, majorities))| {
                    let neurons = &neurons;
                    scope.spawn(move || {
                        let first = part * share;
                        self.fill(neurons, first, powers, majorities, needed)
                    })
                });
                let parts: Vec<_> = parts.collect();
                let joined = parts.into_iter().map(|part| {
                    let fitted = part.join();
                    fitted.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                });
                joined.sum()
            });
            budget.count("probes", fitted);
        }
        Ok(Probed {
            layer,
            num_neurons: self.neurons.len(),
            powers,
            majorities,
        })
    }

    /// What is needed of the classes from `first` on; returns how many probes were fitted.
    fn fill(
        &self,
        neurons: &[&[f32]],
        first: usize,
        powers: &mut [Option<JointPower>],
        majorities: &mut [Option<f64>],
        needed: Needed,
    ) -> usize {
        for (class, (power, majority)) in powers.iter_mut().zip(majorities).enumerate() {
            let classes = self.membership.classes().iter();
            let is_member = classes.map(|of| *of as usize == first + class);
            let is_member: Vec<bool> = is_member.collect();
            if needed.power {
                *power = joint_power(neurons, &is_member);
                *majority = power.map(|power| power.majority);
            } else {
                *majority = analysis::majority(neurons, &is_member);
            }
        }
        powers.iter().flatten().count() * NUM_FOLDS
    }
}

/// What is probed of a capture.
struct ProbedCapture {
    snapshot: SharedSnapshot,
    groups: Vec<Probed>,
    num_classes: usize,
}

impl Findings for ProbedCapture {
    fn num_rows(&self) -> usize {
        self.groups.len() * self.num_classes
    }

    fn column(&self, name: &str, rows: Range<usize>) -> Result<ArrayRef> {
        let rows = rows.map(|row| (&self.groups[row / self.num_classes], row % self.num_classes));
        let float: fn(&Probed, usize) -> Option<f64> = match name {
            "layer_index" => {
                let places = rows.map(|(group, _)| group.layer.map(|place| place as i32));
                return Ok(Arc::new(places.collect::<Int32Array>()));
            }
            "layer" => {
                let places = rows.map(|(group, _)| group.layer);
                return Ok(labels(self.snapshot.topology(), places));
            }
            "neurons" => {
                let counts = rows.map(|(group, _)| group.num_neurons as i64);
                return Ok(Arc::new(Int64Array::from_iter_values(counts)));
            }
            "class" => {
                let classes = rows.map(|(_, class)| class as i32);
                return Ok(Arc::new(Int32Array::from_iter_values(classes)));
            }
            "auc" => |group, class| Some(group.powers[class]?.auc),
            "accuracy" => |group, class| Some(group.powers[class]?.accuracy),
            "majority" => |group, class| group.majorities[class],
            other => return unknown_column(LINEAR_PROBE, other),
        };
        Ok(floats(rows.map(|(group, class)| float(group, class))))
    }
}

impl HeldOutAnalysis for LinearProbe {
    fn name(&self) -> &'static str {
        LINEAR_PROBE
    }

    fn describe(&self, _: &Wanted) -> String {
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

    fn find(
        &self,
        snapshot: &SharedSnapshot,
        capture: &Capture,
        wanted: &Wanted,
        budget: &Budget,
    ) -> Result<Box<dyn Findings>> {
        let needed = Needed::of(wanted);
        let reader = HeldOutReader::try_new(snapshot, budget)?;
        let predictions = reader.predictions(capture, self.half, self.seed)?;
        let groups = self.groups(&reader, capture, &predictions, needed, budget)?;
        self.check(&groups, snapshot.topology().layers(), capture.epoch)?;
        let probed = groups.iter();
        let probed = probed.map(|(layer, group)| group.probe(*layer, needed, budget));
        Ok(Box::new(ProbedCapture {
            snapshot: Arc::clone(snapshot),
            groups: probed.collect::<Result<_>>()?,
            num_classes: predictions.num_classes,
        }))
    }
}
