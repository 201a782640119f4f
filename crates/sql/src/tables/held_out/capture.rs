//! The files of a capture, and what they say of the held-out samples.

use std::collections::BTreeSet;

use analysis::Half;
use arrow::array::{Array, Int32Array, ListArray, RecordBatch, StringArray};
use arrow::buffer::ScalarBuffer;
use datafusion::common::cast::{
    as_boolean_array, as_float32_array, as_int32_array, as_int64_array, as_list_array,
    as_string_array,
};
use datafusion::common::{Result, exec_err};
use datafusion::execution::memory_pool::MemoryReservation;
use trace::{CaptureId, Epoch, Step, Table, Topology};

use crate::exec::budget::{Budget, filled, reserve};
use crate::run::snapshot::Snapshot;
use crate::scan::TableFiles;

/// The phase of the held-out set's rows; training batches have another.
const HELD_OUT: &str = "eval";

/// The files of a capture, by their place in the snapshot.
#[derive(Debug, Clone)]
pub(crate) struct Capture {
    pub(crate) epoch: i32,
    pub(crate) step: i64,
    pub(super) classifications: Vec<usize>,
    /// After their layer's place in the topology, by which they are in order.
    pub(super) activations: Vec<(usize, usize)>,
}

impl Capture {
    pub(super) fn new(epoch: i32, step: i64) -> Self {
        Self {
            epoch,
            step,
            classifications: Vec::new(),
            activations: Vec::new(),
        }
    }

    /// How many neurons have activations, at most.
    pub(crate) fn num_neurons(&self, topology: &Topology) -> usize {
        let layers = self.activations.iter().map(|(layer, _)| *layer);
        let layers: BTreeSet<usize> = layers.collect();
        let units = layers.into_iter().map(|layer| {
            let layer = topology.activated(layer);
            layer.map_or(0, |layer| layer.num_units as usize)
        });
        units.sum()
    }

    pub(super) fn id(&self) -> CaptureId {
        CaptureId {
            epoch: Epoch(self.epoch),
            step: Step(self.step),
        }
    }
}

/// What the network took the held-out samples for.
#[derive(Debug)]
pub(crate) struct Predictions {
    /// By sample; none for those that are not looked at, or have no prediction.
    pub(crate) classes: Vec<Option<u32>>,
    pub(crate) num_classes: usize,
}

/// Whether the network is right about each sample, and how confident it is; none where that is not
/// known.
pub(crate) type Answers = Vec<Option<(bool, f32)>>;

/// Reads captures.
#[derive(Debug)]
pub(crate) struct HeldOutReader<'a> {
    snapshot: &'a Snapshot,
    budget: &'a Budget,
    activations: TableFiles,
    classifications: TableFiles,
}

impl<'a> HeldOutReader<'a> {
    /// Reads as many rows at a time as there is `room` for.
    pub(crate) fn try_new(snapshot: &'a Snapshot, budget: &'a Budget) -> Result<Self> {
        let files = |table, columns: &[&str]| {
            TableFiles::try_new(snapshot, table, columns, budget.batch_rows)
        };
        Ok(Self {
            snapshot,
            budget,
            activations: files(Table::Activations, &["phase", "neuron", "activations"])?,
            classifications: files(
                Table::Classifications,
                &[
                    "rank",
                    "phase",
                    "sample",
                    "target",
                    "predicted",
                    "correct",
                    "confidence",
                ],
            )?,
        })
    }

    /// What the network took the samples of a half for. The half follows from the samples' targets.
    pub(crate) fn predictions(
        &self,
        capture: &Capture,
        half: Half,
        seed: u64,
    ) -> Result<Predictions> {
        let scratch = self.budget.scratch();
        let rows = self.classified(capture, &scratch)?;
        let num_samples = num_samples(&rows);
        let mut targets = filled(&scratch, None, num_samples)?;
        let mut predicted = filled(&scratch, None, num_samples)?;
        for row in rows {
            targets[row.sample] = row.target;
            predicted[row.sample] = row.predicted.and_then(|class| u32::try_from(class).ok());
        }
        // A half orders all samples before it takes every other one.
        scratch.try_grow(num_samples.saturating_mul(4 * size_of::<usize>()))?;
        let mut classes = filled(&self.budget.memory, None, num_samples)?;
        for sample in half.samples(&targets, seed) {
            classes[sample] = predicted[sample];
        }
        // All classes that there are, whatever was predicted at this capture.
        let named = self.snapshot.run().info().class_names.len();
        let highest = predicted.iter().flatten().max();
        Ok(Predictions {
            num_classes: named.max(highest.map_or(0, |class| *class as usize + 1)),
            classes,
        })
    }

    /// By sample, whether the network is right and how confident it is; none where that is not known.
    pub(crate) fn answers(&self, capture: &Capture) -> Result<Answers> {
        let scratch = self.budget.scratch();
        let rows = self.classified(capture, &scratch)?;
        let mut answers = filled(&self.budget.memory, None, num_samples(&rows))?;
        for row in rows {
            answers[row.sample] = row.correct.zip(row.confidence);
        }
        Ok(answers)
    }

    /// What is said of each sample. Every rank evaluates the same ones: the first to say something
    /// is believed.
    fn classified(&self, capture: &Capture, memory: &MemoryReservation) -> Result<Vec<Classified>> {
        let mut rows: Vec<Classified> = Vec::new();
        for &index in &capture.classifications {
            for batch in self.classifications.rows(&self.snapshot.file(index))? {
                let batch = batch?;
                reserve(&mut rows, batch.num_rows(), memory)?;
                let ranks = as_int32_array(batch.column(0))?;
                let phases = as_string_array(batch.column(1))?;
                let samples = as_int64_array(batch.column(2))?;
                let targets = as_int32_array(batch.column(3))?;
                let predicted = as_int32_array(batch.column(4))?;
                let correct = as_boolean_array(batch.column(5))?;
                let confidence = as_float32_array(batch.column(6))?;
                let value = |array: &Int32Array, row| array.is_valid(row).then(|| array.value(row));
                for row in held_out_rows(phases) {
                    let sample = samples.value(row);
                    let Ok(sample) = usize::try_from(sample) else {
                        return exec_err!(
                            "epoch {} has a held-out sample {sample}; samples count from 0",
                            capture.epoch
                        );
                    };
                    rows.push(Classified {
                        rank: ranks.value(row),
                        sample,
                        target: value(targets, row),
                        predicted: value(predicted, row),
                        correct: correct.is_valid(row).then(|| correct.value(row)),
                        confidence: confidence.is_valid(row).then(|| confidence.value(row)),
                    });
                }
            }
        }
        let first = rows.iter().map(|row| row.rank).min();
        rows.retain(|row| Some(row.rank) == first);
        Ok(rows)
    }

    /// The activations of a capture, batch by batch, each after its layer's place in the topology;
    /// layers come in order.
    pub(crate) fn activations(
        &self,
        capture: &Capture,
    ) -> impl Iterator<Item = Result<(usize, HeldOutLists)>> {
        capture.activations.iter().flat_map(move |&(layer, index)| {
            let rows = self.activations.rows(&self.snapshot.file(index));
            let (rows, failed) = match rows {
                Ok(rows) => (Some(rows), None),
                Err(error) => (None, Some(Err(error))),
            };
            let lists = rows.into_iter().flatten();
            let lists = lists.map(move |batch| Ok((layer, HeldOutLists::of(&batch?)?)));
            lists.chain(failed)
        })
    }
}

/// A row of `classifications`.
struct Classified {
    rank: i32,
    sample: usize,
    target: Option<i32>,
    predicted: Option<i32>,
    correct: Option<bool>,
    confidence: Option<f32>,
}

/// Samples count from 0, whatever of them was recorded.
fn num_samples(rows: &[Classified]) -> usize {
    let numbers = rows.iter().map(|row| row.sample.saturating_add(1));
    numbers.max().unwrap_or(0)
}

fn held_out_rows(phases: &StringArray) -> impl Iterator<Item = usize> {
    (0..phases.len()).filter(|&row| phases.value(row) == HELD_OUT)
}

/// The held-out lists of a batch of `activations`.
#[derive(Debug)]
pub(crate) struct HeldOutLists {
    neurons: Int32Array,
    lists: ListArray,
    values: ScalarBuffer<f32>,
    rows: Vec<usize>,
}

impl HeldOutLists {
    fn of(batch: &RecordBatch) -> Result<Self> {
        let lists = as_list_array(batch.column(2))?;
        let rows = held_out_rows(as_string_array(batch.column(0))?);
        Ok(Self {
            neurons: as_int32_array(batch.column(1))?.clone(),
            // Of neurons whose statistics alone were kept there are none.
            rows: rows.filter(|&row| lists.is_valid(row)).collect(),
            values: as_float32_array(lists.values())?.values().clone(),
            lists: lists.clone(),
        })
    }

    /// How many neurons there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many bytes their values take.
    pub(crate) fn num_bytes(&self) -> usize {
        self.values.len() * size_of::<f32>()
    }

    /// Each neuron with its activations by sample.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i32, &[f32])> {
        let offsets = self.lists.value_offsets();
        self.rows.iter().map(|&row| {
            let list = offsets[row] as usize..offsets[row + 1] as usize;
            (self.neurons.value(row), &self.values[list])
        })
    }
}
