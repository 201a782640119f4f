//! `meta_model()`: what neurons' activations tell of whether the network is right, at each capture.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, exec_datafusion_err, exec_err};

use crate::analysis::{HeldOutAuc, MetaModelError, NeuronImportance, held_out_auc, meta_model};
use crate::call::{Call, RunFunction};
use crate::held_out::{Capture, HeldOutAnalysis, HeldOutReader, HeldOutTable, Room};
use crate::linear_probe::MAX_NEURONS;
use crate::snapshot::{SharedSnapshot, Snapshot};
use crate::structure_scores::SEED;

/// Name of the table function, and of the named query over it.
pub(crate) const META_MODEL: &str = "meta_model";

/// Its parameters, in order.
const PARAMETERS: [&str; 3] = ["layer", "trees", "seed"];

/// Trees of the forest where nobody says how many.
const NUM_TREES: u16 = 100;

/// The table function `meta_model(layer, trees, seed)`.
#[derive(Debug)]
pub(crate) struct MetaModelFunction {
    snapshot: SharedSnapshot,
}

impl MetaModelFunction {
    pub(crate) fn new(snapshot: SharedSnapshot) -> Self {
        Self { snapshot }
    }
}

impl RunFunction for MetaModelFunction {
    fn name(&self) -> &'static str {
        META_MODEL
    }

    fn parameters(&self) -> &'static [&'static str] {
        &PARAMETERS
    }

    fn table(&self, call: &Call) -> Result<Arc<dyn TableProvider>> {
        let analysis = Meta {
            num_trees: call.get("trees")?.unwrap_or(NUM_TREES),
            seed: call.get("seed")?.unwrap_or(SEED),
        };
        if analysis.num_trees == 0 {
            return exec_err!("{META_MODEL}(): a forest of 0 trees tells nothing");
        }
        HeldOutTable::of_call(&self.snapshot, call, analysis)
    }
}

/// What a call asks for.
#[derive(Debug)]
struct Meta {
    num_trees: u16,
    seed: u64,
}

/// The neurons of a capture with their activations of the samples that it is known of whether the
/// network is right.
struct Neurons {
    /// Each after the place of its layer in the topology.
    ids: Vec<(usize, i32)>,
    activations: Vec<Vec<f32>>,
    is_right: Vec<bool>,
    confidences: Vec<f32>,
}

impl Neurons {
    fn read(snapshot: &Snapshot, capture: &Capture, room: &Room) -> Result<Self> {
        let reader = HeldOutReader::try_new(snapshot, room.batch_rows)?;
        let answers = reader.answers(capture)?;
        let mut neurons = Self {
            ids: Vec::new(),
            activations: Vec::new(),
            is_right: Vec::new(),
            confidences: Vec::new(),
        };
        let mut samples: Option<Vec<usize>> = None;
        let mut list_len = 0;
        let mut num_bytes = 0;
        for lists in reader.activations(capture) {
            let (layer, lists) = lists?;
            for (neuron, list) in lists.iter() {
                let samples = samples.get_or_insert_with(|| {
                    list_len = list.len();
                    let known = answers.iter().take(list_len).enumerate();
                    let known = known.filter_map(|(sample, answer)| Some((sample, (*answer)?)));
                    let (samples, known): (Vec<usize>, Vec<_>) = known.unzip();
                    (neurons.is_right, neurons.confidences) = known.into_iter().unzip();
                    samples
                });
                if list.len() != list_len {
                    return exec_err!(
                        "neuron {neuron} has {} activations, others of its capture have {list_len}",
                        list.len()
                    );
                }
                if neurons.ids.len() == MAX_NEURONS {
                    return exec_err!(
                        "{META_MODEL}(): there are more than {MAX_NEURONS} neurons at epoch {}, \
                         which are the most that are learned from: name a layer with `layer`",
                        capture.epoch
                    );
                }
                let known = samples.iter().map(|&sample| list[sample]);
                let known: Vec<f32> = known.collect();
                // A neuron that has overflowed tells nothing that could be learned.
                if known.iter().any(|activation| !activation.is_finite()) {
                    continue;
                }
                neurons.ids.push((layer, neuron));
                neurons.activations.push(known);
                num_bytes += size_of_val(list);
            }
            room.memory.try_resize(num_bytes + lists.num_bytes())?;
        }
        Ok(neurons)
    }
}

impl HeldOutAnalysis for Meta {
    fn name(&self) -> &'static str {
        META_MODEL
    }

    fn told(&self) -> String {
        format!("trees={}, seed={}", self.num_trees, self.seed)
    }

    fn schema(&self) -> SchemaRef {
        let field = |name: &str, data_type, nullable| Field::new(name, data_type, nullable);
        Arc::new(Schema::new(vec![
            field("epoch", DataType::Int32, false),
            field("step", DataType::Int64, false),
            field("layer", DataType::Utf8, false),
            field("neuron", DataType::Int32, false),
            field("importance", DataType::Float32, false),
            field("importance_std", DataType::Float32, false),
            field("coefficient", DataType::Float32, false),
            field("forest_auc", DataType::Float32, false),
            field("forest_auc_std", DataType::Float32, false),
            field("linear_auc", DataType::Float32, false),
            field("linear_auc_std", DataType::Float32, false),
            field("confidence_auc", DataType::Float32, true),
            field("samples", DataType::Int64, false),
            field("mistakes", DataType::Int64, false),
        ]))
    }

    fn order(&self) -> &'static [&'static str] {
        &["neuron"]
    }

    fn rows(&self, snapshot: &Snapshot, capture: &Capture, room: &Room) -> Result<RecordBatch> {
        let neurons = Neurons::read(snapshot, capture, room)?;
        let activations: Vec<&[f32]> = neurons.activations.iter().map(Vec::as_slice).collect();
        let model = meta_model(
            &activations,
            &neurons.is_right,
            self.num_trees.into(),
            self.seed,
            room.num_threads,
        );
        let model = match model {
            // A capture of which nothing can be learned takes nothing from the others.
            Err(MetaModelError::TooFew { .. } | MetaModelError::NoNeurons) => {
                return Ok(RecordBatch::new_empty(self.schema()));
            }
            model => model.map_err(|error| {
                exec_datafusion_err!("{META_MODEL}(): epoch {}: {error}", capture.epoch)
            })?,
        };
        let confidence = held_out_auc(&neurons.confidences, &neurons.is_right);
        let num_rows = neurons.ids.len();
        let of_neuron = |of: fn(&NeuronImportance) -> f64| -> ArrayRef {
            let values = model.neurons.iter().map(|neuron| of(neuron) as f32);
            Arc::new(Float32Array::from_iter_values(values))
        };
        let all =
            |value: f64| -> ArrayRef { Arc::new(Float32Array::from_value(value as f32, num_rows)) };
        let count =
            |count: usize| -> ArrayRef { Arc::new(Int64Array::from_value(count as i64, num_rows)) };
        let confidence: ArrayRef = match confidence {
            Some(HeldOutAuc { mean, .. }) => all(mean),
            None => Arc::new(Float32Array::new_null(num_rows)),
        };
        let layers = snapshot.topology().layers();
        let labels = neurons
            .ids
            .iter()
            .map(|(place, _)| layers[*place].layer.as_str());
        let mistakes = neurons.is_right.iter().filter(|right| !**right).count();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from_value(capture.epoch, num_rows)),
            Arc::new(Int64Array::from_value(capture.step, num_rows)),
            Arc::new(StringArray::from_iter_values(labels)),
            Arc::new(Int32Array::from_iter_values(
                neurons.ids.iter().map(|(_, neuron)| *neuron),
            )),
            of_neuron(|neuron| neuron.importance),
            of_neuron(|neuron| neuron.deviation),
            of_neuron(|neuron| neuron.coefficient),
            all(model.forest.mean),
            all(model.forest.deviation),
            all(model.linear.mean),
            all(model.linear.deviation),
            confidence,
            count(neurons.is_right.len()),
            count(mistakes),
        ];
        Ok(RecordBatch::try_new(self.schema(), columns)?)
    }
}
