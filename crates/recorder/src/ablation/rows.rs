//! An ablation as rows of the table `ablations`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Builder, Float64Array, Int32Array, Int64Array, ListBuilder,
    RecordBatch, StringArray, new_null_array,
};
use arrow::datatypes::DataType;
use trace::{
    DerivedError, DerivedPart, DerivedWriter, Nonce, RunDir, Table, derived_rows, float_item,
};

use super::figures::Predicted;
use super::{AblationReport, Figure, Silencing};

/// What an ablation asked: two with the same of these, of one capture, give the same figures.
const QUESTION: [&str; 7] = [
    "name", "of_class", "neurons", "mode", "factor", "half", "seed",
];

/// Publishes an ablation, in place of those that asked the same; returns the commit's number.
pub(super) fn publish(
    run: &RunDir,
    report: &AblationReport,
    id: &Nonce,
) -> Result<u64, DerivedError> {
    let rows = rows(report, id);
    let writer = DerivedWriter::begin(run, Table::Ablations)?;
    let asked_before =
        |part: &DerivedPart| part.capture == report.capture && asks_the_same(&part.rows, &rows);
    let parts = writer.parts()?.into_iter();
    let replaced = parts.filter(asked_before).map(|part| part.path).collect();
    let record = writer.publish(BTreeMap::from([(report.capture, rows)]), replaced)?;
    Ok(record.number)
}

fn asks_the_same(a: &RecordBatch, b: &RecordBatch) -> bool {
    if a.num_rows() == 0 || b.num_rows() == 0 {
        return false;
    }
    let num_draws = |rows: &RecordBatch| rows["random"].as_list::<i32>().value_length(0);
    let is_same = |column: &str| a[column].slice(0, 1).to_data() == b[column].slice(0, 1).to_data();
    num_draws(a) == num_draws(b) && QUESTION.into_iter().all(is_same)
}

fn rows(report: &AblationReport, id: &Nonce) -> RecordBatch {
    let figures = &report.figures;
    let num_rows = figures.len();
    let text = |text: Option<&str>| -> ArrayRef {
        Arc::new(StringArray::from_iter(std::iter::repeat_n(text, num_rows)))
    };
    let neurons: Vec<String> = report.neurons().iter().map(i32::to_string).collect();
    let factor = match report.silencing {
        Silencing::Scale(factor) => Some(factor),
        Silencing::Zero | Silencing::Mean => None,
    };
    let texts = |of: &dyn Fn(&Figure) -> &'static str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(figures.iter().map(of)))
    };
    let doubles = |of: &dyn Fn(&Figure) -> Option<f64>| -> ArrayRef {
        Arc::new(figures.iter().map(of).collect::<Float64Array>())
    };
    let lists = |of: &dyn Fn(&Figure) -> Option<Vec<f32>>| -> ArrayRef {
        let mut lists = ListBuilder::new(Float32Builder::new()).with_field(float_item());
        for figure in figures {
            let list = of(figure);
            lists
                .values()
                .append_slice(list.as_deref().unwrap_or_default());
            lists.append(list.is_some());
        }
        Arc::new(lists.finish())
    };
    let counts = |of: fn(&Predicted) -> Option<&Vec<f64>>| {
        lists(&|figure| {
            let counts = of(figure.predicted.as_ref()?)?;
            Some(counts.iter().map(|&count| count as f32).collect())
        })
    };
    let columns = vec![
        text(Some(id.as_str())),
        text(report.name.as_deref()),
        Arc::new(Int32Array::from(vec![report.of_class; num_rows])),
        text(Some(&neurons.join(","))),
        text(Some(report.silencing.name())),
        Arc::new(Float64Array::from(vec![factor; num_rows])),
        new_null_array(&DataType::Float64, num_rows),
        text(Some(report.half.name())),
        Arc::new(Int64Array::from_value(report.seed.cast_signed(), num_rows)),
        texts(&|figure| figure.samples.name()),
        Arc::new(
            figures
                .iter()
                .map(|f| f.samples.class())
                .collect::<Int32Array>(),
        ) as ArrayRef,
        Arc::new(Int64Array::from_iter_values(
            figures.iter().map(|figure| figure.num_samples as i64),
        )),
        texts(&|figure| figure.metric.name()),
        doubles(&|figure| Some(figure.before)),
        doubles(&|figure| Some(figure.after)),
        doubles(&|figure| figure.random_mean_and_std().map(|(mean, _)| mean)),
        doubles(&|figure| figure.random_mean_and_std().map(|(_, std)| std)),
        doubles(&Figure::p_value),
        lists(&|figure| {
            let values = figure.random.iter().map(|&value| value as f32);
            (!figure.random.is_empty()).then(|| values.collect())
        }),
        counts(|predicted| Some(&predicted.before)),
        counts(|predicted| Some(&predicted.after)),
        counts(|predicted| predicted.random.as_ref()),
    ];
    derived_rows(Table::Ablations, report.capture, columns)
        .expect("the columns are those of the table")
}
