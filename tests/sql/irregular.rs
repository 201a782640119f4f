//! Runs that have what the tiny one has not, and what becomes of it.
//!
//! The network is the tiny run's. Captures: step 2 (epoch 0) and step 4 (epoch 1, without
//! classifications and without the output layer). Neuron 1 has no list of weights. Each of six
//! epochs has metrics of two steps.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array,
    RecordBatch, StringArray, new_null_array,
};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use sql::{QueryError, QuerySession, Run, SessionOptions};
use tempfile::TempDir;
use trace::{
    CaptureId, Epoch, Group, Layer, LayerLabel, Publisher, Rank, RunDir, RunInfo, Source,
    SourceRange, StagedPart, Step, Table, Topology,
};

use super::tiny::{self, HIDDEN, OUTPUT};

/// A session over the run, which reads its files in two groups.
pub fn session() -> Result<(TempDir, QuerySession)> {
    let dir = TempDir::new()?;
    let run = write(&dir.path().join("run"))?;
    let options = SessionOptions {
        target_partitions: Some(2),
        ..SessionOptions::default()
    };
    let session = Run::open(run.path())?.session(options)?;
    Ok((dir, session))
}

fn write(path: &Path) -> Result<RunDir> {
    let run = RunDir::create(path, tiny::info()?)?;
    let mut publisher = Publisher::try_new(&run, Rank(0), None)?;
    let no_bias = || new_null_array(&DataType::Float32, 2);
    let hidden = |step, first: &[f32]| tiny::weights(step, 0, no_bias(), [Some(first), None]);
    let output: [&[f32]; 2] = [&[1.0, -1.0], &[2.0, 3.0]];
    let output = tiny::weights(2, 2, no_bias(), output.map(Some));
    let first = vec![
        tiny::part(
            &publisher,
            Table::Weights,
            0,
            2,
            Some(HIDDEN),
            hidden(2, &[1.0, 2.0, 3.0]),
        )?,
        tiny::part(&publisher, Table::Weights, 0, 2, Some(OUTPUT), output)?,
        tiny::part(
            &publisher,
            Table::Classifications,
            0,
            2,
            None,
            classifications(2),
        )?,
    ];
    publish(&mut publisher, Some((0, 2)), first)?;
    let second = vec![tiny::part(
        &publisher,
        Table::Weights,
        1,
        4,
        Some(HIDDEN),
        hidden(4, &[3.0, 4.0, 5.0]),
    )?];
    publish(&mut publisher, Some((1, 4)), second)?;
    publish_metrics(&mut publisher)?;
    Ok(run)
}

fn publish(
    publisher: &mut Publisher,
    capture: Option<(i32, i64)>,
    parts: Vec<StagedPart>,
) -> Result<()> {
    let capture = capture.map(|(epoch, step)| CaptureId {
        epoch: Epoch(epoch),
        step: Step(step),
    });
    let captures = capture.into_iter().collect();
    publisher.publish(Group {
        captures,
        parts,
        ..Group::default()
    })?;
    Ok(())
}

/// Sample 0 as it was classified in training, then the held-out samples: one without a prediction
/// and one without a class.
fn classifications(step: i64) -> Vec<ArrayRef> {
    let nan: &[f32] = &[f32::NAN, f32::NAN];
    let outputs: [&[f32]; 4] = [&[0.5, 0.5], &[0.75, 0.25], nan, &[0.25, 0.75]];
    vec![
        tiny::long([step; 4]),
        tiny::int([0; 4]),
        Arc::new(StringArray::from(vec!["train", "eval", "eval", "eval"])),
        tiny::long([0, 0, 1, 2]),
        Arc::new(Int32Array::from(vec![Some(1), Some(0), Some(1), None])),
        new_null_array(&trace::float_list(), 4),
        Arc::new(Int32Array::from(vec![Some(0), Some(0), None, Some(1)])),
        Arc::new(BooleanArray::from(vec![
            Some(false),
            Some(true),
            None,
            None,
        ])),
        Arc::new(Float32Array::from(vec![
            Some(0.5),
            Some(0.75),
            None,
            Some(0.75),
        ])),
        Arc::new(Float32Array::from(vec![0.0, 0.0, f32::NAN, 0.0])),
        Arc::new(tiny::nullable_lists(outputs.map(Some))),
    ]
}

/// Two files an epoch. Whoever reads them in two groups of about the same size finds the later
/// file now in the one group, now in the other: which of two values is the last does not follow
/// from where it is.
fn publish_metrics(publisher: &mut Publisher) -> Result<()> {
    for epoch in 0..6 {
        let steps = [2 * i64::from(epoch) + 1, 2 * i64::from(epoch) + 2];
        for (step, is_first) in steps.into_iter().zip([true, false]) {
            let value = 100.0 - step as f64;
            let mut rows = vec![
                (Some("eval"), "loss", value),
                (Some("eval"), "accuracy", step as f64 / 16.0),
            ];
            if is_first {
                rows.push((Some("train"), "loss", value));
            }
            if !is_first {
                rows.push((None, "sink.encode_ms", f64::from(epoch + 1)));
            }
            let num_others = if is_first && epoch % 2 == 0 { 60 } else { 0 };
            rows.extend((0..num_others).map(|i| (None, "other", f64::from(i).sqrt())));
            let num_rows = rows.len();
            let columns: Vec<ArrayRef> = vec![
                Arc::new(Int64Array::from(vec![step; num_rows])),
                Arc::new(Int32Array::from(vec![0; num_rows])),
                Arc::new(StringArray::from_iter(rows.iter().map(|row| row.0))),
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1))),
                Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.2))),
            ];
            let part = tiny::part(publisher, Table::Metrics, epoch, step, None, columns)?;
            publish(publisher, None, vec![part])?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_last_epoch_of_a_run_of_metrics_alone_is_that_of_the_last() -> Result<()> {
    let dir = TempDir::new()?;
    let run = RunDir::create(&dir.path().join("run"), tiny::info()?)?;
    publish_metrics(&mut Publisher::try_new(&run, Rank(0), None)?)?;
    let session = Run::open(run.path())?.session(SessionOptions::default())?;
    for (word, encode_ms) in [("first", 1.0), ("last", 6.0)] {
        let epoch = [("epoch".to_owned(), word.to_owned())];
        let overhead = session.named("overhead", &epoch).await?.collect().await?;
        let total = overhead[0].column_by_name("total").context("total")?;
        let total = total.as_primitive::<Float64Type>();
        assert_eq!(total.values(), &[encode_ms], "{word}");
    }
    Ok(())
}

#[tokio::test]
async fn rows_are_counted_in_the_files_and_not_in_the_commits() -> Result<()> {
    let dir = TempDir::new()?;
    let run = tiny::write(&dir.path().join("run"))?;
    let mut publisher = Publisher::try_new(&run, Rank(0), None)?;
    let rows = RecordBatch::try_new(Table::Weights.schema(), tiny::hidden_weights(8))?;
    let part = tiny::part_that_says(&publisher, Table::Weights, 3, 8, Some(HIDDEN), &rows, 1000)?;
    publish(&mut publisher, Some((3, 8)), vec![part])?;
    let session = Run::open(run.path())?.session(SessionOptions::default())?;
    // 20 rows of the tiny run, and the file's two.
    for (sql, count) in [
        ("SELECT count(*) FROM weights", 22),
        ("SELECT count(*) FROM weights WHERE epoch = 3", 2),
        ("SELECT count(neuron) FROM weights WHERE epoch = 3", 2),
    ] {
        let batches = session.sql(sql).await?.collect().await?;
        let counted = batches[0].column(0).as_primitive::<Int64Type>().value(0);
        assert_eq!(counted, count, "{sql}");
    }
    Ok(())
}

/// One unit that sees 70,000 inputs, all of its weights 0.
fn write_wide(path: &Path) -> Result<RunDir> {
    const FAN_IN: u32 = 70_000;
    let layer = Layer {
        layer_index: 0,
        layer: LayerLabel::try_new(HIDDEN)?,
        module_path: "layers.0".to_owned(),
        kind: "linear".to_owned(),
        shape: vec![1, FAN_IN.into()],
        fan_in: FAN_IN,
        num_units: 1,
        first_neuron: 0,
        activation: None,
        trainable: true,
        source: Some(vec![SourceRange::all(Source::Input, FAN_IN)]),
        tensors: Vec::new(),
        recorded_units: None,
    };
    let info = RunInfo {
        layers: Topology::try_new(vec![layer])?,
        ..tiny::info()?
    };
    let run = RunDir::create(path, info)?;
    let mut publisher = Publisher::try_new(&run, Rank(0), None)?;
    let zeros = vec![0.0; FAN_IN as usize];
    let no_bias = new_null_array(&DataType::Float32, 2);
    let two = tiny::weights(1, 0, no_bias, [Some(&zeros), None]);
    let one = two.iter().map(|column| column.slice(0, 1)).collect();
    let part = tiny::part(&publisher, Table::Weights, 0, 1, Some(HIDDEN), one)?;
    publish(&mut publisher, Some((0, 1)), vec![part])?;
    Ok(run)
}

#[tokio::test]
async fn a_very_large_width_has_to_be_given() -> Result<()> {
    let dir = TempDir::new()?;
    let run = write_wide(&dir.path().join("run"))?;
    let session = Run::open(run.path())?.session(SessionOptions::default())?;
    let told = "parameter width has to be given: a neuron has up to 70000 weights";
    let failed = session.named("padded", &[]).await.map(|_| ());
    let failed = failed.err().context("it was planned")?;
    assert!(matches!(failed, QueryError::BadParameter { .. }));
    assert!(failed.to_string().starts_with(told), "{failed}");
    let failed = session.sql("SELECT * FROM padded").await.map(|_| ());
    let failed = failed.err().context("it was planned")?;
    assert!(failed.to_string().starts_with(told), "{failed}");

    let width = [("width".to_owned(), "70000".to_owned())];
    let batches = session.named("padded", &width).await?.collect().await?;
    let weights = batches[0].column_by_name("weights").context("weights")?;
    assert_eq!(weights.as_list::<i32>().value(0).len(), 70_000);

    // What cannot be planned does not stand in the way of what can.
    let tables = session.sql("SHOW TABLES").await?.collect().await?;
    let mut names: Vec<String> = Vec::new();
    for batch in &tables {
        let batch_names = batch.column_by_name("table_name").context("table_name")?;
        let batch_names = batch_names.as_string::<i32>().iter().flatten();
        names.extend(batch_names.map(str::to_owned));
    }
    for (name, is_listed) in [("weights", true), ("confusion", true), ("padded", false)] {
        assert_eq!(names.iter().any(|known| known == name), is_listed, "{name}");
    }
    let columns = session.sql("SHOW COLUMNS FROM epochs.neurons").await?;
    assert_eq!(columns.count().await?, 4);
    Ok(())
}
