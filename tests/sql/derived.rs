//! The tiny run, with rows of the derived tables that were published when it had ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, new_null_array,
};
use arrow::datatypes::DataType;
use query::{QuerySession, Run, SessionOptions};
use tempfile::TempDir;
use trace::{CaptureId, DerivedWriter, Epoch, Step, Table, derived_rows, publish_derived};

use super::tiny::{self, HIDDEN};

/// A session over the run. Structure `ones` is of neurons 0 and 1, as found at epoch 1 and, among
/// the untrained network's, at epoch -1; `old` was replaced by it.
pub fn session() -> Result<(TempDir, QuerySession)> {
    let dir = TempDir::new()?;
    let run = tiny::write(&dir.path().join("run"))?;
    let (initial, second) = (capture(-1, 0), capture(1, 4));
    publish_derived(
        &run,
        Table::Structures,
        second,
        structure(second, "old", &[1])?,
    )?;
    let writer = DerivedWriter::begin(&run, Table::Structures)?;
    let old = writer.parts()?.into_iter().map(|part| part.path).collect();
    let rows = [
        (initial, structure(initial, "ones", &[0])?),
        (second, structure(second, "ones", &[0, 1])?),
    ];
    writer.publish(BTreeMap::from(rows), old)?;
    let last = capture(2, 6);
    publish_derived(&run, Table::Ablations, last, ablation(last)?)?;
    let session = Run::open(run.path())?.session(SessionOptions::default())?;
    Ok((dir, session))
}

fn capture(epoch: i32, step: i64) -> CaptureId {
    CaptureId {
        epoch: Epoch(epoch),
        step: Step(step),
    }
}

fn texts(text: &str, num_rows: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(vec![text; num_rows]))
}

fn structure(capture: CaptureId, name: &str, neurons: &[i32]) -> Result<RecordBatch> {
    let n = neurons.len();
    let ints = |value| -> ArrayRef { Arc::new(Int32Array::from_value(value, n)) };
    let scores = neurons.iter().map(|neuron| 0.5 + 0.25 * f64::from(*neuron));
    let columns = vec![
        texts(name, n),
        ints(1),
        texts(HIDDEN, n),
        Arc::new(Int32Array::from(neurons.to_vec())) as ArrayRef,
        ints(0),
        ints(capture.epoch.0),
        Arc::new(Float64Array::from_iter_values(scores)),
        new_null_array(&DataType::Float64, n),
        texts("auc", n),
        texts("first", n),
        Arc::new(Int64Array::from_value(42, n)),
    ];
    Ok(derived_rows(Table::Structures, capture, columns)?)
}

fn ablation(capture: CaptureId) -> Result<RecordBatch> {
    let double = |value: f64| -> ArrayRef { Arc::new(Float64Array::from(vec![value])) };
    let columns = vec![
        texts("0123456789abcdef", 1),
        texts("ones", 1),
        tiny::int([1]),
        texts("0,1", 1),
        texts("zero", 1),
        new_null_array(&DataType::Float64, 1),
        texts("second", 1),
        tiny::long([42]),
        texts("class", 1),
        tiny::int([1]),
        tiny::long([2]),
        texts("accuracy", 1),
        double(1.0),
        double(0.5),
        double(0.75),
        double(0.25),
        double(0.5),
        Arc::new(tiny::nullable_lists([Some(&[0.5, 1.0][..])])),
        Arc::new(tiny::nullable_lists([Some(&[0.0, 2.0][..])])),
        Arc::new(tiny::nullable_lists([None])),
    ];
    Ok(derived_rows(Table::Ablations, capture, columns)?)
}
