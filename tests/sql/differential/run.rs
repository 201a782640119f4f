//! A run with enough rows for plans to matter: several files a partition, lists that are null,
//! captures that lack something.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float32Builder, Float64Array, Int32Array, Int64Array,
    ListBuilder, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field};
use fixtures::{Writer, layers, run_info};
use trace::{CaptureId, Epoch, RunDir, StagedPart, Step, Table, Topology, float_item};

use super::random::Random;

/// How many inputs the network sees.
const NUM_INPUTS: usize = 5;

/// Name and units of each layer. Merges copy slices of fewer than 32 rows, so one layer has more.
const LAYERS: [(&str, usize); 3] = [("L_input", 9), ("L_hidden", 36), ("L_output", 3)];

/// Epoch and step of each capture.
const CAPTURES: [(i32, i64); 6] = [(-1, 0), (0, 1), (0, 3), (1, 6), (2, 9), (3, 12)];

const SAMPLES: i64 = 12;

/// Writes the run.
pub fn write(path: &Path) -> Result<RunDir> {
    let topology = layers(NUM_INPUTS, &LAYERS)?;
    let info = run_info(topology.clone(), SAMPLES as usize, &["a", "b", "c"])?;
    let mut writer = Writer::create(path, info)?;
    let mut random = Random::new(7);
    for (epoch, step) in CAPTURES {
        let mut parts = Vec::new();
        let mut part = |table: Table, layer: Option<&str>, keys: &[Key]| -> Result<()> {
            let moment = (epoch, step);
            let part = staged(&writer, &topology, &mut random, table, moment, layer, keys)?;
            parts.push(part);
            Ok(())
        };
        for layer in topology.layers() {
            let (name, first_neuron) = (layer.layer.as_str(), layer.first_neuron);
            let neurons: Vec<Key> = (0..layer.num_units as i32)
                .map(|unit| Key::neuron(first_neuron + unit, unit))
                .collect();
            // The output layer was not captured each time.
            if name != "L_output" || step != 6 {
                part(Table::Weights, Some(name), &neurons)?;
            }
            if name != "L_input" && step != 3 {
                part(Table::Activations, Some(name), &neurons)?;
            }
        }
        let samples: Vec<Key> = (0..SAMPLES).map(Key::sample).collect();
        if step != 9 {
            part(Table::Classifications, None, &samples)?;
        }
        part(Table::Metrics, None, &METRICS.map(Key::metric))?;
        let capture = CaptureId {
            epoch: Epoch(epoch),
            step: Step(step),
        };
        writer.publish(vec![capture], parts)?;
    }
    Ok(writer.finish())
}

const METRICS: [(Option<&str>, &str); 3] = [
    (Some("train"), "loss"),
    (Some("eval"), "loss"),
    (None, "recorder.stall_ms"),
];

/// What tells a row from the others of its file.
struct Key {
    neuron: i32,
    unit: i32,
    sample: i64,
    phase: Option<&'static str>,
    name: &'static str,
}

impl Key {
    fn neuron(neuron: i32, unit: i32) -> Self {
        Self {
            neuron,
            unit,
            ..Self::sample(0)
        }
    }

    fn sample(sample: i64) -> Self {
        Self {
            neuron: 0,
            unit: 0,
            sample,
            phase: Some("eval"),
            name: "",
        }
    }

    fn metric((phase, name): (Option<&'static str>, &'static str)) -> Self {
        Self {
            phase,
            name,
            ..Self::sample(0)
        }
    }
}

fn staged(
    writer: &Writer,
    topology: &Topology,
    random: &mut Random,
    table: Table,
    (epoch, step): (i32, i64),
    layer: Option<&str>,
    keys: &[Key],
) -> Result<StagedPart> {
    let schema = table.schema();
    let columns = schema
        .fields()
        .iter()
        .map(|field| column(random, topology, step, layer, field, keys));
    let rows = RecordBatch::try_new(Arc::clone(&schema), columns.collect())?;
    writer.stage(table, epoch, step, layer, &rows, None)
}

/// Values of a column: those that tell rows apart, or some that are drawn, null here and there.
/// Numbers are quarters, so that their sums are the same in any order.
fn column(
    random: &mut Random,
    topology: &Topology,
    step: i64,
    layer: Option<&str>,
    field: &Field,
    keys: &[Key],
) -> ArrayRef {
    let mut quarter = || random.below(64) as f32 / 4.0 - 8.0;
    let ints = |of: fn(&Key) -> i32| -> ArrayRef {
        Arc::new(Int32Array::from_iter_values(keys.iter().map(of)))
    };
    match field.name().as_str() {
        "step" => return Arc::new(Int64Array::from(vec![step; keys.len()])),
        "rank" | "batch" | "nonfinite" if *field.data_type() == DataType::Int32 => {
            return ints(|_| 0);
        }
        "neuron" => return ints(|key| key.neuron),
        "unit" => return ints(|key| key.unit),
        "sample" => {
            return Arc::new(Int64Array::from_iter_values(
                keys.iter().map(|key| key.sample),
            ));
        }
        "phase" => return Arc::new(StringArray::from_iter(keys.iter().map(|key| key.phase))),
        "name" => {
            return Arc::new(StringArray::from_iter_values(
                keys.iter().map(|key| key.name),
            ));
        }
        _ => {}
    }
    let len = match (field.name().as_str(), layer) {
        ("weights", Some(layer)) => {
            let mut layers = topology.layers().iter();
            let layer = layers.find(|known| known.layer.as_str() == layer);
            layer.map_or(0, |layer| layer.fan_in as usize)
        }
        ("outputs", _) => 3,
        _ => SAMPLES as usize,
    };
    let mut values: Vec<Option<f32>> = Vec::new();
    let mut lists = ListBuilder::new(Float32Builder::new()).with_field(float_item());
    for (index, _) in keys.iter().enumerate() {
        let is_null = field.is_nullable() && (index + step as usize) % 5 == 3;
        values.push((!is_null).then(&mut quarter));
        if let DataType::List(_) = field.data_type() {
            let list: Vec<f32> = (0..len).map(|_| quarter()).collect();
            lists
                .values()
                .append_slice(if is_null { &[] } else { &list });
            lists.append(!is_null);
        }
    }
    let whole = |value: f32| value.rem_euclid(3.0).floor();
    match field.data_type() {
        DataType::List(_) => Arc::new(lists.finish()),
        DataType::Float32 => Arc::new(Float32Array::from(values)),
        DataType::Float64 => {
            let values = values.into_iter().map(|value| value.map(f64::from));
            Arc::new(Float64Array::from_iter(values))
        }
        DataType::Boolean => {
            let values = values
                .into_iter()
                .map(|value| value.map(|value| value > 0.0));
            Arc::new(BooleanArray::from_iter(values))
        }
        DataType::Int64 => {
            let values = values
                .into_iter()
                .map(|value| value.map(|value| whole(value) as i64));
            Arc::new(Int64Array::from_iter(values))
        }
        _ => {
            let values = values
                .into_iter()
                .map(|value| value.map(|value| whole(value) as i32));
            Arc::new(Int32Array::from_iter(values))
        }
    }
}
