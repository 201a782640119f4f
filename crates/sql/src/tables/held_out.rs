//! Table functions over captures of the held-out set: what the network took each sample for, and
//! what the neurons made of it.
//!
//! Such a function reads files by itself, one layer of one capture at a time: a join of samples with
//! neurons would have a row for every pair of them. The output layer is no candidate: its units are
//! the outputs that neurons are compared with.

mod capture;
mod exec;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use trace::{EPOCH_COLUMN, Table, cmp_part_files};

use crate::exec::budget::Budget;
use crate::exec::operator::OperatorExec;
use crate::run::scope::Scope;
use crate::run::snapshot::{SharedSnapshot, Snapshot};
use crate::scan::TraceTable;
use crate::tables::call::Call;
use crate::tables::findings::{Findings, Wanted};
use crate::tables::operator_table::{OperatorTable, Queryable};
pub(crate) use capture::{Answers, Capture, HeldOutLists, HeldOutReader, Predictions};
use exec::WorkOut;

/// What is worked out from each capture.
pub(crate) trait HeldOutAnalysis: Debug + Send + Sync {
    /// The table function's name.
    fn name(&self) -> &'static str;

    /// What the analysis does for these columns, for whoever reads the plan.
    fn describe(&self, wanted: &Wanted) -> String;

    /// The columns of its rows, of which the first are `epoch` and `step`.
    fn schema(&self) -> SchemaRef;

    /// The columns that the rows of a capture ascend by.
    fn order(&self) -> &'static [&'static str];

    /// What is found in a capture, as far as the columns that are wanted say it.
    fn find(
        &self,
        snapshot: &SharedSnapshot,
        capture: &Capture,
        wanted: &Wanted,
        budget: &Budget,
    ) -> Result<Box<dyn Findings>>;
}

/// Checks that a neuron has as many activations as the others of its capture, `expected`.
///
/// # Errors
/// If it has not.
pub(crate) fn check_len(neuron: i32, len: usize, expected: usize) -> Result<()> {
    if len != expected {
        return exec_err!(
            "neuron {neuron} has {len} activations, others of its capture have {expected}"
        );
    }
    Ok(())
}

/// The layers whose neurons are compared with the outputs.
#[derive(Debug, Clone)]
pub(crate) struct CandidateLayers {
    /// Their places in the topology, by label.
    layers: BTreeMap<String, usize>,
}

impl CandidateLayers {
    /// All layers but the output layer, or those of them that are asked for.
    ///
    /// # Errors
    /// If only the output layer is.
    pub(crate) fn of(
        snapshot: &Snapshot,
        function: &str,
        asked: Option<&[String]>,
    ) -> Result<Self> {
        let topology = snapshot.topology();
        let output = topology.output_layer().map(|layer| layer.layer.as_str());
        let layers = topology.layers().iter().enumerate();
        let layers = layers.map(|(place, layer)| (layer.layer.as_str(), place));
        let layers = layers.filter(|(layer, _)| Some(*layer) != output);
        let mut layers: BTreeMap<String, usize> = layers
            .map(|(layer, place)| (layer.to_owned(), place))
            .collect();
        if let Some(asked) = asked {
            if let ([asked], Some(output)) = (asked, output)
                && asked == output
            {
                return plan_err!(
                    "{function}(): {output} is the output layer: its units are the outputs that \
                     neurons are compared with"
                );
            }
            layers.retain(|name, _| asked.contains(name));
        }
        Ok(Self { layers })
    }
}

/// The rows of an analysis over all captures of a scope.
#[derive(Debug)]
pub(crate) struct HeldOutTable {
    snapshot: SharedSnapshot,
    scope: Scope,
    candidates: CandidateLayers,
    analysis: Arc<dyn HeldOutAnalysis>,
}

/// Whether a filter decides about whole captures: what is compared with a neuron must not follow
/// from which of the rows somebody wants to see.
fn is_of_epoch(filter: &Expr) -> bool {
    let columns = filter.column_refs();
    columns.iter().all(|column| column.name == EPOCH_COLUMN)
        && crate::scan::is_partition_filter(Table::Classifications, filter)
}

impl HeldOutTable {
    /// The table that a call of an analysis's function is, over the layers before the output or those
    /// of them that its argument `layer` names.
    pub(crate) fn of_call(
        snapshot: &SharedSnapshot,
        call: &Call,
        analysis: impl HeldOutAnalysis + 'static,
    ) -> Result<Arc<dyn TableProvider>> {
        let layers = call.texts("layer");
        Ok(Arc::new(Queryable(Self {
            candidates: CandidateLayers::of(snapshot, analysis.name(), layers.as_deref())?,
            scope: call.scope(),
            snapshot: Arc::clone(snapshot),
            analysis: Arc::new(analysis),
        })))
    }

    /// The captures that a filter on the epoch leaves, in order. Those without classifications
    /// have nothing to be compared with.
    fn captures(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<Capture>> {
        let files = |table| {
            TraceTable::new(Arc::clone(&self.snapshot), table, self.scope).files(state, filters)
        };
        let mut captures: BTreeMap<(i32, i64), Capture> = BTreeMap::new();
        for index in files(Table::Classifications)? {
            let file = self.snapshot.file(index);
            if let Some(step) = file.step {
                let capture = captures.entry((file.epoch, step));
                let capture = capture.or_insert_with(|| Capture::new(file.epoch, step));
                capture.classifications.push(index);
            }
        }
        for index in files(Table::Activations)? {
            let file = self.snapshot.file(index);
            let place = file
                .layer
                .and_then(|layer| self.candidates.layers.get(layer));
            if let (Some(&place), Some(step)) = (place, file.step)
                && let Some(capture) = captures.get_mut(&(file.epoch, step))
            {
                capture.activations.push((place, index));
            }
        }
        let mut captures: Vec<Capture> = captures.into_values().collect();
        captures.retain(|capture| !capture.activations.is_empty());
        for capture in &mut captures {
            // A layer that is large has several files.
            let path = |index: usize| self.snapshot.file(index).path;
            capture.activations.sort_by(|(a, a_index), (b, b_index)| {
                let by_number = || cmp_part_files(path(*a_index), path(*b_index));
                a.cmp(b).then_with(by_number)
            });
        }
        Ok(captures)
    }
}

#[async_trait]
impl OperatorTable for HeldOutTable {
    fn schema(&self) -> SchemaRef {
        self.analysis.schema()
    }

    fn takes(&self, filter: &Expr) -> bool {
        is_of_epoch(filter)
    }

    async fn plan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let captures = self.captures(state, filters)?;
        let operator = WorkOut::new(
            Arc::clone(&self.snapshot),
            Arc::clone(&self.analysis),
            captures,
            Wanted::new(&self.schema(), projection)?,
            state.config().target_partitions(),
        );
        Ok(Arc::new(OperatorExec::try_new(Arc::new(operator), None)?))
    }
}
