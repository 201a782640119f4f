//! `strongest_paths(top, class)`: the strongest chains of weights from an input to an output.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float64Array, Int32Array, Int64Array, ListBuilder, RecordBatch, StringBuilder,
};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::cast::{as_float32_array, as_int32_array, as_list_array};
use datafusion::common::{Result, exec_datafusion_err, plan_err};
use trace::{CaptureId, Layer, Table, Topology};

use crate::analysis::paths::{Chains, Origin, Origins};
use crate::call::{Call, RunFunction};
use crate::connections::{LayerSources, Sources};
use crate::per_capture::{CaptureAnalysis, CaptureRows, PerCapture, top_of};
use crate::snapshot::SharedSnapshot;
use crate::table::TraceTable;

/// Name of the table function.
pub(crate) const STRONGEST_PATHS: &str = "strongest_paths";

/// The table function `strongest_paths(top, class)`.
#[derive(Debug)]
pub(crate) struct StrongestPathsFunction {
    snapshot: SharedSnapshot,
}

impl StrongestPathsFunction {
    pub(crate) fn new(snapshot: SharedSnapshot) -> Self {
        Self { snapshot }
    }
}

impl RunFunction for StrongestPathsFunction {
    fn name(&self) -> &'static str {
        STRONGEST_PATHS
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["top", "class"]
    }

    fn table(&self, call: &Call) -> Result<Arc<dyn TableProvider>> {
        let top = top_of(call)?;
        let class: Option<u32> = call.get("class")?;
        let network = Network::new(self.snapshot.topology());
        if let (Some(class), Some(output)) = (class, &network.output)
            && class >= output.num_units
        {
            return plan_err!(
                "{STRONGEST_PATHS}: class is {class}, the outputs are 0 to {}",
                output.num_units.saturating_sub(1)
            );
        }
        Ok(Arc::new(PerCapture {
            source: TraceTable::new(Arc::clone(&self.snapshot), Table::Weights, call.scope()),
            columns: vec!["weights"],
            filters: Vec::new(),
            analysis: Arc::new(StrongestPaths {
                network: Arc::new(network),
                snapshot: Arc::clone(&self.snapshot),
                top,
                class,
            }),
        }))
    }
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
    fn new(topology: &Topology) -> Self {
        let sources = Sources::new(topology);
        let layers = topology.layers();
        let origins = layers.iter().filter_map(|layer| {
            let name = layer.layer.as_str();
            Some((name.to_owned(), origins(sources.layer(name)?)))
        });
        let origins = origins.collect();
        Self {
            sources,
            origins,
            output: topology.output_layer().cloned(),
        }
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

    fn begin(&self, capture: CaptureId) -> Box<dyn CaptureRows> {
        Box::new(Weights {
            network: Arc::clone(&self.network),
            snapshot: Arc::clone(&self.snapshot),
            class: self.class,
            capture,
            chains: Chains::new(self.top),
        })
    }
}

/// The chains through the neurons of a capture that have come. Their weights are let go.
struct Weights {
    network: Arc<Network>,
    snapshot: SharedSnapshot,
    class: Option<u32>,
    capture: CaptureId,
    chains: Chains,
}

impl CaptureRows for Weights {
    fn push(&mut self, rows: &RecordBatch) -> Result<()> {
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
                self.chains.push(neuron, origins, weights);
            }
        }
        Ok(())
    }

    fn num_bytes(&self) -> usize {
        self.chains.num_bytes()
    }

    fn finish(self: Box<Self>) -> Result<RecordBatch> {
        let ends = self.network.ends(self.class);
        let first_output = self.network.ends(None).start;
        let chains = self.chains.strongest(ends);
        let num_rows = chains.len();
        let ints = |values: Vec<i32>| -> ArrayRef { Arc::new(Int32Array::from(values)) };
        let ends = chains.iter().map(|chain| chain.neurons.last());
        let ends = ends.map(|end| end.expect("a chain ends in a neuron") - first_output);
        let signs = chains
            .iter()
            .map(|chain| if chain.is_negative { -1 } else { 1 });
        let mut paths = ListBuilder::new(StringBuilder::new()).with_field(name());
        for chain in &chains {
            paths
                .values()
                .append_value(format!("input_{}", chain.input));
            for neuron in &chain.neurons {
                paths.values().append_value(format!("n_{neuron}"));
            }
            paths.append(true);
        }
        let columns: Vec<ArrayRef> = vec![
            ints(vec![self.capture.epoch.0; num_rows]),
            Arc::new(Int64Array::from(vec![self.capture.step.0; num_rows])),
            ints((1..=num_rows as i32).collect()),
            ints(ends.collect()),
            Arc::new(Float64Array::from_iter_values(
                chains.iter().map(|chain| chain.strength),
            )),
            ints(signs.collect()),
            Arc::new(paths.finish()),
        ];
        Ok(RecordBatch::try_new(schema(), columns)?)
    }
}
