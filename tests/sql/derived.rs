//! The tiny run, with rows of the derived tables that were published when it had ended.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, new_null_array,
};
use arrow::datatypes::DataType;
use fixtures::{HIDDEN, lists, tiny};
use trace::{CaptureId, DerivedWriter, Epoch, RunDir, Step, Table, derived_rows, publish_derived};

/// Writes the run. Structure `ones` is of neurons 0 and 1, as found at epoch 1 and, among
/// the untrained network's, at epoch -1; `old` was replaced by it.
pub fn write(path: &Path) -> Result<RunDir> {
    let run = tiny::write(path)?;
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
    for ablation in &ABLATIONS {
        publish_derived(&run, Table::Ablations, last, ablation_rows(last, ablation)?)?;
    }
    Ok(run)
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

/// What was silenced at epoch 2.
struct Ablation {
    id: &'static str,
    name: Option<&'static str>,
    of_class: i32,
    neurons: &'static str,
    half: &'static str,
    /// Whether two draws were made.
    has_draws: bool,
    figures: &'static [Figure],
}

/// Of which samples, how many, what, before, after and its p-value.
type Figure = (&'static str, i64, &'static str, f64, f64, f64);

const ABLATIONS: [Ablation; 4] = [
    Ablation {
        id: "0123456789abcdef",
        name: Some("ones"),
        of_class: 1,
        neurons: "0,1",
        half: "second",
        has_draws: true,
        figures: &[
            ("class", 2, "accuracy", 1.0, 0.5, 0.5),
            ("class", 2, "accuracy_gap", 0.25, -0.25, 0.25),
            ("others", 1, "accuracy", 0.75, 0.75, 1.0),
        ],
    },
    Ablation {
        id: "1123456789abcdef",
        name: None,
        of_class: 0,
        neurons: "0",
        half: "second",
        has_draws: true,
        figures: &[
            ("class", 1, "accuracy", 1.0, 0.0, 0.02),
            ("others", 2, "accuracy", 0.5, 0.5, 1.0),
        ],
    },
    Ablation {
        id: "2123456789abcdef",
        name: Some("ones"),
        of_class: 1,
        neurons: "1",
        half: "first",
        has_draws: true,
        figures: &[("class", 1, "accuracy", 1.0, 0.25, 0.125)],
    },
    Ablation {
        id: "3123456789abcdef",
        name: None,
        of_class: 0,
        neurons: "1",
        half: "first",
        has_draws: false,
        figures: &[
            ("class", 1, "accuracy", 1.0, 0.0, 0.0),
            ("others", 1, "accuracy", 0.75, 0.5, 0.0),
        ],
    },
];

fn ablation_rows(capture: CaptureId, ablation: &Ablation) -> Result<RecordBatch> {
    let figures = ablation.figures;
    let n = figures.len();
    let doubles = |of: &dyn Fn(&Figure) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(figures.iter().map(of)))
    };
    let of_draws = |of: &dyn Fn(&Figure) -> f64| -> ArrayRef {
        let value = |figure| ablation.has_draws.then(|| of(figure));
        Arc::new(figures.iter().map(value).collect::<Float64Array>())
    };
    let lists = |of: &dyn Fn(&Figure) -> Option<&'static [f32]>| -> ArrayRef {
        Arc::new(lists(figures.iter().map(of)))
    };
    let class = |figure: &Figure| (figure.0 == "class").then_some(ablation.of_class);
    let columns = vec![
        texts(ablation.id, n),
        Arc::new(StringArray::from(vec![ablation.name; n])) as ArrayRef,
        Arc::new(Int32Array::from_value(ablation.of_class, n)),
        texts(ablation.neurons, n),
        texts("zero", n),
        new_null_array(&DataType::Float64, n),
        new_null_array(&DataType::Float64, n),
        texts(ablation.half, n),
        Arc::new(Int64Array::from_value(42, n)),
        Arc::new(StringArray::from_iter_values(figures.iter().map(|f| f.0))),
        Arc::new(figures.iter().map(class).collect::<Int32Array>()),
        Arc::new(Int64Array::from_iter_values(figures.iter().map(|f| f.1))),
        Arc::new(StringArray::from_iter_values(figures.iter().map(|f| f.2))),
        doubles(&|figure| figure.3),
        doubles(&|figure| figure.4),
        of_draws(&|_| 0.75),
        of_draws(&|_| 0.25),
        of_draws(&|figure| figure.5),
        lists(&|_| ablation.has_draws.then_some(&[0.5, 1.0])),
        lists(&|figure| (figure.0 == "class").then_some(&[0.0, 2.0])),
        lists(&|_| None),
        lists(&|figure| (ablation.has_draws && figure.0 == "class").then_some(&[0.25, 1.75])),
    ];
    Ok(derived_rows(Table::Ablations, capture, columns)?)
}
