//! `strongest_paths(top, class)`: the strongest chains of weights from an input to an output.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use analysis::{Chains, End, Origin, Origins};
use arrow::array::{
    Array, ArrayRef, Float64Array, Int32Array, ListBuilder, RecordBatch, StringBuilder,
};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::cast::{as_float32_array, as_int32_array, as_list_array};
use datafusion::common::{Result, exec_datafusion_err, plan_err};
use datafusion::physical_plan::metrics::Count;
use trace::{CaptureId, Layer, Table, Topology};

use crate::exec::budget::Budget;
use crate::run::snapshot::SharedSnapshot;
use crate::scan::TraceTable;
use crate::tables::call::{Call, RunFunction};
use crate::tables::connections::{LayerSources, Sources};
use crate::tables::findings::{Findings, Wanted, ranks, unknown_column};
use crate::tables::operator_table::Queryable;
use crate::tables::per_capture::{CaptureAnalysis, CaptureRows, PerCapture, top_of};

/// Name of the table function.
pub(crate) const STRONGEST_PATHS: &str = "strongest_paths";

/// The table function `strongest_paths(top, class)`.
pub(crate) const FUNCTION: RunFunction = RunFunction {
    name: STRONGEST_PATHS,
    parameters: &["top", "class"],
    table,
};

fn table(snapshot: &SharedSnapshot, call: &Call) -> Result<Arc<dyn TableProvider>> {
    let top = top_of(call)?;
    let class: Option<u32> = call.get("class")?;
    let network = Network::try_new(snapshot.topology())?;
    if let (Some(class), Some(output)) = (class, &network.output)
        && class >= output.num_units
    {
        return plan_err!(
            "{STRONGEST_PATHS}: class is {class}, the outputs are 0 to {}",
            output.num_units.saturating_sub(1)
        );
    }
    Ok(Arc::new(Queryable(PerCapture {
        source: TraceTable::new(Arc::clone(snapshot), Table::Weights, call.scope()),
        columns: vec!["weights"],
        filters: Vec::new(),
        analysis: Arc::new(StrongestPaths {
            network: Arc::new(network),
            snapshot: Arc::clone(snapshot),
            top,
            class,
        }),
    })))
}

fn name() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Utf8, false))
}

fn schema() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, false);
    Arc::new(Schema::new(vec![
        field("epoch", DataType::Int32),
        field("step", DataType::Int64),
        field("rank", DataType::Int32),
        field("class", DataType::Int32),
        field("strength", DataType::Float64),
        field("sign", DataType::Int32),
        field("path", DataType::List(name())),
    ]))
}

/// What is connected to what.
#[derive(Debug)]
struct Network {
    sources: Sources,
    origins: HashMap<String, Origins>,
    /// The layer whose units are the outputs.
    output: Option<Layer>,
}

impl Network {
    fn try_new(topology: &Topology) -> Result<Self> {
        let sources = Sources::try_new(topology)?;
        let layers = topology.layers();
        let origins = layers.iter().filter_map(|layer| {
            let name = layer.layer.as_str();
            Some((name.to_owned(), origins(sources.layer(name)?)))
        });
        let origins = origins.collect();
        Ok(Self {
            sources,
            origins,
            output: topology.output_layer().cloned(),
        })
    }

    /// The neurons that chains end in: all outputs, or one.
    fn ends(&self, class: Option<u32>) -> std::ops::Range<i32> {
        let Some(output) = &self.output else {
            return 0..0;
        };
        let units = match class {
            None => 0..output.num_units.cast_signed(),
            Some(class) => class.cast_signed()..class.cast_signed() + 1,
        };
        output.first_neuron + units.start..output.first_neuron + units.end
    }
}

fn origins(sources: &LayerSources) -> Origins {
    let known = |column: &Int32Array, at| column.is_valid(at).then(|| column.value(at));
    Origins::new((0..sources.fan_in).map(|at| {
        let input = known(&sources.input, at).map(Origin::Input);
        input.or_else(|| known(&sources.neuron, at).map(Origin::Neuron))
    }))
}

#[derive(Debug)]
struct StrongestPaths {
    network: Arc<Network>,
    snapshot: SharedSnapshot,
    top: usize,
    class: Option<u32>,
}

impl CaptureAnalysis for StrongestPaths {
    fn name(&self) -> &'static str {
        STRONGEST_PATHS
    }

    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn order(&self) -> &'static [&'static str] {
        &["rank"]
    }

    fn begin(&self, _: CaptureId, _: &Wanted) -> Box<dyn CaptureRows> {
        Box::new(Weights {
            network: Arc::clone(&self.network),
            snapshot: Arc::clone(&self.snapshot),
            class: self.class,
            chains: Chains::new(self.top),
        })
    }
}

/// The chains through the neurons of a capture that have come. Their weights are let go.
struct Weights {
    network: Arc<Network>,
    snapshot: SharedSnapshot,
    class: Option<u32>,
    chains: Chains,
}

impl CaptureRows for Weights {
    fn push(&mut self, rows: &RecordBatch, budget: &Budget) -> Result<()> {
        let neurons = as_int32_array(rows.column(2))?;
        let lists = as_list_array(rows.column(3))?;
        let values = as_float32_array(lists.values())?.values();
        let offsets = lists.value_offsets();
        let outputs = self.network.ends(None);
        let ends = self.network.ends(self.class);
        for row in 0..rows.num_rows() {
            let neuron = neurons.value(row);
            let is_wanted = !outputs.contains(&neuron) || ends.contains(&neuron);
            if lists.is_null(row) || !is_wanted {
                continue;
            }
            let layer = self.snapshot.topology().layer_of(neuron).ok_or_else(|| {
                exec_datafusion_err!("neuron {neuron} has weights, but run.json does not list it")
            })?;
            let layer = layer.layer.as_str();
            let weights = &values[offsets[row] as usize..offsets[row + 1] as usize];
            if let Some(sources) = self.network.sources.layer(layer) {
                sources.check(layer, weights.len())?;
            }
            if let Some(origins) = self.network.origins.get(layer) {
                let scratch = budget.scratch();
                scratch.try_grow(Chains::num_bytes_of_push(origins))?;
                budget
                    .memory
                    .try_grow(self.chains.num_bytes_into(origins))?;
                self.chains.push(neuron, origins, weights);
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>, budget: &Budget) -> Result<Box<dyn Findings>> {
        let ends = self.network.ends(self.class);
        let bytes = self.chains.num_bytes_of_strongest(ends.clone());
        budget.memory.try_grow(bytes)?;
        let strongest = self.chains.strongest(ends);
        Ok(Box::new(Strongest {
            walked: budget.counter("chains_walked"),
            first_output: self.network.ends(None).start,
            chains: self.chains,
            strongest,
        }))
    }
}

/// The strongest chains of a capture.
struct Strongest {
    first_output: i32,
    chains: Chains,
    strongest: Vec<End>,
    /// Counts the chains that were walked back to their inputs.
    walked: Count,
}

impl Findings for Strongest {
    fn num_rows(&self) -> usize {
        self.strongest.len()
    }

    fn column(&self, name: &str, rows: Range<usize>) -> Result<ArrayRef> {
        let ends = self.strongest[rows.clone()].iter();
        // A chain is walked back to its input only for a column that says something of it.
        let chains = ends.clone().map(|end| {
            self.walked.add(1);
            self.chains.chain(*end)
        });
        Ok(match name {
            "rank" => ranks(rows),
            "class" => {
                let classes = ends.map(|end| end.neuron - self.first_output);
                Arc::new(Int32Array::from_iter_values(classes))
            }
            "strength" => {
                let strengths = chains.map(|chain| chain.strength);
                Arc::new(Float64Array::from_iter_values(strengths))
            }
            "sign" => {
                let signs = chains.map(|chain| if chain.is_negative { -1 } else { 1 });
                Arc::new(Int32Array::from_iter_values(signs))
            }
            "path" => {
                let mut paths = ListBuilder::new(StringBuilder::new()).with_field(self::name());
                for chain in chains {
                    let names = paths.values();
                    names.append_value(format!("input_{}", chain.input));
                    for neuron in &chain.neurons {
                        names.append_value(format!("n_{neuron}"));
                    }
                    paths.append(true);
                }
                Arc::new(paths.finish())
            }
            other => return unknown_column(STRONGEST_PATHS, other),
        })
    }
}
