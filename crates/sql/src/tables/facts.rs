//! The tables that are not in files: `layers`, `neurons` and `commits`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, Int64Builder, ListBuilder, RecordBatch,
    StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use trace::{CommittedFile, Layer};

use crate::run::snapshot::Snapshot;

type Result<T> = std::result::Result<T, ArrowError>;

fn batch(columns: Vec<(Field, ArrayRef)>) -> Result<RecordBatch> {
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

fn required(name: &str, array: ArrayRef) -> (Field, ArrayRef) {
    (Field::new(name, array.data_type().clone(), false), array)
}

fn nullable(name: &str, array: ArrayRef) -> (Field, ArrayRef) {
    (Field::new(name, array.data_type().clone(), true), array)
}

/// The network's layers, as `run.json` lists them. `source` is JSON text.
pub(crate) fn layers(snapshot: &Snapshot) -> Result<RecordBatch> {
    let layers = snapshot.topology().layers();
    let text = |get: fn(&Layer) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(layers.iter().map(get)))
    };
    let int = |get: fn(&Layer) -> i32| -> ArrayRef {
        Arc::new(Int32Array::from_iter_values(layers.iter().map(get)))
    };
    let item = Arc::new(Field::new("item", DataType::Int64, false));
    let mut shapes = ListBuilder::new(Int64Builder::new()).with_field(item);
    for layer in layers {
        shapes
            .values()
            .extend(layer.shape.iter().map(|n| Some(n.cast_signed())));
        shapes.append(true);
    }
    let activations = layers.iter().map(|layer| layer.activation.as_deref());
    let trainable = layers.iter().map(|layer| Some(layer.trainable));
    let sources = layers.iter().map(|layer| {
        let source = layer.source.as_ref();
        source.map(|ranges| serde_json::to_string(ranges).expect("all keys are text"))
    });
    batch(vec![
        required("layer_index", int(|layer| layer.layer_index.cast_signed())),
        required("layer", text(|layer| layer.layer.as_str())),
        required("module_path", text(|layer| &layer.module_path)),
        required("kind", text(|layer| &layer.kind)),
        required("shape", Arc::new(shapes.finish())),
        required("fan_in", int(|layer| layer.fan_in.cast_signed())),
        required("num_units", int(|layer| layer.num_units.cast_signed())),
        required("first_neuron", int(|layer| layer.first_neuron)),
        nullable("activation", Arc::new(StringArray::from_iter(activations))),
        required("trainable", Arc::new(BooleanArray::from_iter(trainable))),
        nullable("source", Arc::new(StringArray::from_iter(sources))),
    ])
}

/// The most neurons that are listed: rows of a gigabyte or two.
const MAX_LISTED_NEURONS: i32 = 1 << 25;

/// Every neuron of the network and where it is.
pub(crate) fn neurons(snapshot: &Snapshot) -> Result<RecordBatch> {
    let num_neurons = snapshot.topology().num_neurons();
    if num_neurons > MAX_LISTED_NEURONS {
        return Err(ArrowError::InvalidArgumentError(format!(
            "run.json says that there are {num_neurons} neurons, of which no more than \
             {MAX_LISTED_NEURONS} can be listed"
        )));
    }
    let neurons: Vec<(&Layer, i32)> = snapshot
        .topology()
        .layers()
        .iter()
        .flat_map(|layer| (0..layer.num_units.cast_signed()).map(move |unit| (layer, unit)))
        .collect();
    let int = |get: fn(&(&Layer, i32)) -> i32| -> ArrayRef {
        Arc::new(Int32Array::from_iter_values(neurons.iter().map(get)))
    };
    let layers = neurons.iter().map(|(layer, _)| layer.layer.as_str());
    batch(vec![
        required("neuron", int(|(layer, unit)| layer.first_neuron + unit)),
        required("layer", Arc::new(StringArray::from_iter_values(layers))),
        required(
            "layer_index",
            int(|(layer, _)| layer.layer_index.cast_signed()),
        ),
        required("unit", int(|(_, unit)| *unit)),
    ])
}

/// Every committed file, with the commit that named it.
pub(crate) fn commits(snapshot: &Snapshot) -> Result<RecordBatch> {
    let files: Vec<CommittedFile> = match snapshot.catalog() {
        Some(catalog) => catalog.files().collect(),
        None => Vec::new(),
    };
    let long = |get: fn(&CommittedFile) -> u64| -> ArrayRef {
        let values = files.iter().map(|file| get(file).cast_signed());
        Arc::new(Int64Array::from_iter_values(values))
    };
    let int = |get: fn(&CommittedFile) -> i32| -> ArrayRef {
        Arc::new(Int32Array::from_iter_values(files.iter().map(get)))
    };
    let times = files.iter().map(|file| file.commit.time_ms);
    let tables = files.iter().map(|file| file.table);
    let layers = files.iter().map(|file| file.layer);
    let steps = files.iter().map(CommittedFile::step);
    let paths = files.iter().map(|file| file.path);
    let times = TimestampMillisecondArray::from_iter_values(times).with_timezone("UTC");
    batch(vec![
        required("number", long(|file| file.commit.number)),
        required("time", Arc::new(times)),
        required("rank", int(|file| file.commit.rank.0)),
        required("table", Arc::new(StringArray::from_iter_values(tables))),
        required("epoch", int(|file| file.epoch)),
        nullable("layer", Arc::new(StringArray::from_iter(layers))),
        nullable("step", Arc::new(Int64Array::from_iter(steps))),
        required("path", Arc::new(StringArray::from_iter_values(paths))),
        required("rows", long(|file| file.rows)),
        required("bytes", long(|file| file.bytes)),
    ])
}
