//! `structure_scores()`: how strongly each neuron goes with each class that the network predicts,
//! at each capture.
//!
//! A capture's held-out samples are told apart by what the network took them for at that capture,
//! and each neuron's activations are scored against that (`analysis`). What is compared together,
//! and corrected for together, is a capture's neurons and classes; a filter on `epoch` decides which
//! captures are read.

mod rows;
mod scoring;

use std::sync::Arc;

use analysis::{Half, Measure};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::Result;

use crate::exec::budget::Budget;
use crate::run::snapshot::SharedSnapshot;
use crate::tables::call::{Call, RunFunction};
use crate::tables::findings::{Findings, Wanted};
use crate::tables::held_out::{Capture, HeldOutAnalysis, HeldOutTable};
use crate::tables::limits::{Bootstraps, Permutations, Size};
use scoring::Needed;

/// Name of the table function, and of the named query over it.
pub(crate) const STRUCTURE_SCORES: &str = "structure_scores";

/// Its parameters, in order.
const PARAMETERS: [&str; 7] = [
    "layer",
    "measure",
    "permutations",
    "half",
    "seed",
    "bootstraps",
    "size",
];

/// Permutations behind a p-value where nobody says how many.
const PERMUTATIONS: u32 = 1000;

/// The strongest neurons of a class among which stability looks where nobody says how many.
const SIZE: u32 = 5;

/// The seed of random choices where nobody gives one.
pub(crate) const SEED: u64 = 42;

/// The table function `structure_scores(layer, measure, permutations, half, seed, bootstraps, size)`.
pub(crate) const FUNCTION: RunFunction = RunFunction {
    name: STRUCTURE_SCORES,
    parameters: &PARAMETERS,
    table,
};

fn table(snapshot: &SharedSnapshot, call: &Call) -> Result<Arc<dyn TableProvider>> {
    let analysis = StructureScores {
        measure: call.get("measure")?.unwrap_or(Measure::Correlation),
        permutations: call
            .get("permutations")?
            .map_or(PERMUTATIONS, Permutations::get),
        half: call.get("half")?.unwrap_or_default(),
        seed: call.get("seed")?.unwrap_or(SEED),
        bootstraps: call.get("bootstraps")?.map_or(0, Bootstraps::get),
        size: call.get("size")?.map_or(SIZE, Size::get),
    };
    HeldOutTable::of_call(snapshot, call, analysis)
}

/// What a call asks for.
#[derive(Debug)]
struct StructureScores {
    measure: Measure,
    permutations: u32,
    half: Half,
    seed: u64,
    /// How many times samples are drawn anew for the neurons' stability.
    bootstraps: u32,
    size: u32,
}

impl HeldOutAnalysis for StructureScores {
    fn name(&self) -> &'static str {
        STRUCTURE_SCORES
    }

    fn describe(&self, wanted: &Wanted) -> String {
        let needed = Needed::of(self, wanted);
        format!(
            "measure={}, permutations={}, half={}, bootstraps={}",
            self.measure.name(),
            needed.permutations,
            self.half,
            needed.bootstraps
        )
    }

    fn schema(&self) -> SchemaRef {
        let field = |name: &str, data_type, nullable| Field::new(name, data_type, nullable);
        Arc::new(Schema::new(vec![
            field("epoch", DataType::Int32, false),
            field("step", DataType::Int64, false),
            field("layer", DataType::Utf8, false),
            field("neuron", DataType::Int32, false),
            field("class", DataType::Int32, false),
            field("score", DataType::Float32, true),
            field("p_value", DataType::Float32, true),
            field("rank", DataType::Int32, true),
            field("correlation", DataType::Float32, true),
            field("mutual_information", DataType::Float32, true),
            field("auc", DataType::Float32, true),
            field("stability", DataType::Float32, true),
        ]))
    }

    fn order(&self) -> &'static [&'static str] {
        &["class", "rank", "neuron"]
    }

    fn find(
        &self,
        snapshot: &SharedSnapshot,
        capture: &Capture,
        wanted: &Wanted,
        budget: &Budget,
    ) -> Result<Box<dyn Findings>> {
        let needed = Needed::of(self, wanted);
        let scored = scoring::score(self, needed, snapshot, capture, budget)?;
        Ok(Box::new(scored))
    }
}
