//! `meta_model()`: what neurons' activations tell of whether the network is right, at each capture.

use std::ops::Range;
use std::sync::Arc;

use analysis::{
    HeldOutAuc, MetaModel, MetaModelError, MetaModelParts, NUM_FOLDS, NeuronImportance,
    held_out_auc, meta_model, meta_model_bytes,
};
use arrow::array::{ArrayRef, Int32Array, Int64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, exec_err};
use datafusion::execution::memory_pool::MemoryReservation;

use crate::exec::budget::{Budget, reserve, reserved};
use crate::run::snapshot::{SharedSnapshot, Snapshot};
use crate::tables::call::{Call, RunFunction};
use crate::tables::findings::{Findings, Wanted, floats, labels, unknown_column};
use crate::tables::held_out::{
    Answers, Capture, HeldOutAnalysis, HeldOutReader, HeldOutTable, check_len,
};
use crate::tables::limits::Trees;
use crate::tables::linear_probe::MAX_NEURONS;
use crate::tables::structure_scores::SEED;

/// Name of the table function, and of the named query over it.
pub(crate) const META_MODEL: &str = "meta_model";

/// Its parameters, in order.
const PARAMETERS: [&str; 3] = ["layer", "trees", "seed"];

/// Trees of the forest where nobody says how many.
const NUM_TREES: usize = 100;

/// The table function `meta_model(layer, trees, seed)`.
pub(crate) const FUNCTION: RunFunction = RunFunction {
    name: META_MODEL,
    parameters: &PARAMETERS,
    table,
};

fn table(snapshot: &SharedSnapshot, call: &Call) -> Result<Arc<dyn TableProvider>> {
    let analysis = Meta {
        num_trees: call.get("trees")?.map_or(NUM_TREES, Trees::count),
        seed: call.get("seed")?.unwrap_or(SEED),
    };
    HeldOutTable::of_call(snapshot, call, analysis)
}

/// What a call asks for.
#[derive(Debug)]
struct Meta {
    num_trees: usize,
    seed: u64,
}

/// The neurons of a capture with their activations of the samples that it is known of whether the
/// network is right.
#[derive(Default)]
struct Neurons {
    /// Each after the place of its layer in the topology.
    ids: Vec<(usize, i32)>,
    activations: Vec<Vec<f32>>,
    is_right: Vec<bool>,
    confidences: Vec<f32>,
}

/// Which samples of a capture are looked at.
struct Samples {
    /// Length of a neuron's list.
    list_len: usize,
    /// Those of which it is known whether the network is right.
    known: Vec<usize>,
}

impl Samples {
    fn try_new(answers: &Answers, list_len: usize, memory: &MemoryReservation) -> Result<Self> {
        let num_known = answers.len().min(list_len);
        let mut known = reserved(memory, num_known)?;
        known.extend((0..num_known).filter(|&sample| answers[sample].is_some()));
        Ok(Self { list_len, known })
    }
}

impl Neurons {
    fn read(snapshot: &Snapshot, capture: &Capture, budget: &Budget) -> Result<Self> {
        let memory = &budget.memory;
        let reader = HeldOutReader::try_new(snapshot, budget)?;
        let answers = reader.answers(capture)?;
        let mut neurons = Self::default();
        let mut samples: Option<Samples> = None;
        for lists in reader.activations(capture) {
            let (layer, lists) = lists?;
            let scratch = budget.scratch();
            scratch.try_grow(lists.num_bytes())?;
            for (neuron, list) in lists.iter() {
                let samples = match &samples {
                    Some(samples) => samples,
                    None => {
                        let found = Samples::try_new(&answers, list.len(), memory)?;
                        neurons.answer(&answers, &found, memory)?;
                        samples.insert(found)
                    }
                };
                let list_len = samples.list_len;
                check_len(neuron, list.len(), list_len)?;
                if neurons.ids.len() == MAX_NEURONS {
                    return exec_err!(
                        "{META_MODEL}(): there are more than {MAX_NEURONS} neurons at epoch {}, \
                         which are the most that are learned from: name a layer with `layer`",
                        capture.epoch
                    );
                }
                let known = || samples.known.iter().map(|&sample| list[sample]);
                // A neuron that has overflowed tells nothing that could be learned.
                if known().any(|activation| !activation.is_finite()) {
                    continue;
                }
                let mut activations = reserved(memory, samples.known.len())?;
                activations.extend(known());
                reserve(&mut neurons.ids, 1, memory)?;
                neurons.ids.push((layer, neuron));
                reserve(&mut neurons.activations, 1, memory)?;
                neurons.activations.push(activations);
            }
        }
        Ok(neurons)
    }

    /// Takes in what is known of the samples.
    fn answer(
        &mut self,
        answers: &Answers,
        samples: &Samples,
        memory: &MemoryReservation,
    ) -> Result<()> {
        self.is_right = reserved(memory, samples.known.len())?;
        self.confidences = reserved(memory, samples.known.len())?;
        for (is_right, confidence) in samples.known.iter().filter_map(|&sample| answers[sample]) {
            self.is_right.push(is_right);
            self.confidences.push(confidence);
        }
        Ok(())
    }

    /// Fits what is needed, on the threads that there is room for. None of a capture of which nothing
    /// can be learned: it takes nothing from the others.
    fn model(
        &self,
        meta: &Meta,
        wanted: &Wanted,
        epoch: i32,
        budget: &Budget,
    ) -> Result<Option<MetaModel>> {
        let parts = meta.parts(wanted);
        let scratch = budget.scratch();
        let mut activations: Vec<&[f32]> = reserved(&scratch, self.activations.len())?;
        activations.extend(self.activations.iter().map(Vec::as_slice));
        let each = meta_model_bytes(activations.len(), self.is_right.len(), parts);
        let num_threads = budget.threads(&scratch, NUM_FOLDS, each)?;
        let model = meta_model(&activations, &self.is_right, parts, meta.seed, num_threads);
        match model {
            Err(MetaModelError::TooFew { .. } | MetaModelError::NoNeurons) => Ok(None),
            Err(error) => exec_err!("{META_MODEL}(): epoch {epoch}: {error}"),
            Ok(model) => {
                budget.count("trees", NUM_FOLDS * parts.trees.unwrap_or(0));
                budget.count("regressions", NUM_FOLDS * usize::from(parts.linear));
                let shuffled = model.importances.as_ref().map_or(0, Vec::len);
                budget.count("shuffles", NUM_FOLDS * shuffled);
                Ok(Some(model))
            }
        }
    }
}

impl Meta {
    /// What is fitted, since a column says it.
    fn parts(&self, wanted: &Wanted) -> MetaModelParts {
        let importances = wanted.any(&["importance", "importance_std"]);
        let forest = importances || wanted.any(&["forest_auc", "forest_auc_std"]);
        MetaModelParts {
            trees: forest.then_some(self.num_trees),
            importances,
            linear: wanted.any(&["coefficient", "linear_auc", "linear_auc_std"]),
        }
    }
}

/// What was learned from a capture.
struct Learned {
    snapshot: SharedSnapshot,
    neurons: Neurons,
    /// None where nothing could be learned.
    model: Option<MetaModel>,
    confidence: Option<HeldOutAuc>,
}

impl Findings for Learned {
    fn num_rows(&self) -> usize {
        self.model.as_ref().map_or(0, |_| self.neurons.ids.len())
    }

    fn column(&self, name: &str, rows: Range<usize>) -> Result<ArrayRef> {
        let num_rows = rows.len();
        let ids = &self.neurons.ids[rows.clone()];
        let count =
            |count: usize| -> ArrayRef { Arc::new(Int64Array::from_value(count as i64, num_rows)) };
        let model = self.model.as_ref();
        let forest = || model?.forest;
        let linear = || model?.linear;
        let of_neuron = |of: fn(&NeuronImportance) -> f64| -> ArrayRef {
            let all = model.and_then(|model| model.importances.as_ref());
            floats(rows.clone().map(|row| Some(of(all?.get(row)?))))
        };
        let all = |value: Option<f64>| floats(rows.clone().map(|_| value));
        Ok(match name {
            "layer" => labels(self.snapshot.topology(), ids.iter().map(|id| Some(id.0))),
            "neuron" => {
                let neurons = ids.iter().map(|(_, neuron)| *neuron);
                Arc::new(Int32Array::from_iter_values(neurons))
            }
            "importance" => of_neuron(|neuron| neuron.mean),
            "importance_std" => of_neuron(|neuron| neuron.deviation),
            "coefficient" => {
                let all = model.and_then(|model| model.coefficients.as_ref());
                floats(rows.clone().map(|row| all?.get(row).copied()))
            }
            "forest_auc" => all(forest().map(|auc| auc.mean)),
            "forest_auc_std" => all(forest().map(|auc| auc.deviation)),
            "linear_auc" => all(linear().map(|auc| auc.mean)),
            "linear_auc_std" => all(linear().map(|auc| auc.deviation)),
            "confidence_auc" => all(self.confidence.map(|auc| auc.mean)),
            "samples" => count(self.neurons.is_right.len()),
            "mistakes" => {
                let right = self.neurons.is_right.iter();
                count(right.filter(|right| !**right).count())
            }
            other => return unknown_column(META_MODEL, other),
        })
    }
}

impl HeldOutAnalysis for Meta {
    fn name(&self) -> &'static str {
        META_MODEL
    }

    fn describe(&self, wanted: &Wanted) -> String {
        let trees = self.parts(wanted).trees.unwrap_or(0);
        format!("trees={trees}, seed={}", self.seed)
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

    fn find(
        &self,
        snapshot: &SharedSnapshot,
        capture: &Capture,
        wanted: &Wanted,
        budget: &Budget,
    ) -> Result<Box<dyn Findings>> {
        let neurons = Neurons::read(snapshot, capture, budget)?;
        let model = neurons.model(self, wanted, capture.epoch, budget)?;
        let confidence = wanted.any(&["confidence_auc"]);
        let confidence = confidence.then(|| held_out_auc(&neurons.confidences, &neurons.is_right));
        Ok(Box::new(Learned {
            snapshot: Arc::clone(snapshot),
            neurons,
            model,
            confidence: confidence.flatten(),
        }))
    }
}
