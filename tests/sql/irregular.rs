//! What becomes of what the tiny run has not.

use anyhow::{Context, Result};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type};
use fixtures::irregular::{write_metrics, write_wide};
use fixtures::{HIDDEN, Writer, tiny};
use sql::{QueryError, Run, SessionOptions};
use tempfile::TempDir;
use trace::{CaptureId, Epoch, Step, Table};

#[tokio::test]
async fn the_last_epoch_of_a_run_of_metrics_alone_is_that_of_the_last() -> Result<()> {
    let dir = TempDir::new()?;
    let mut writer = Writer::create(&dir.path().join("run"), tiny::info()?)?;
    write_metrics(&mut writer)?;
    let run = writer.finish();
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
async fn rows_are_counted_by_the_commits_where_no_column_is_read() -> Result<()> {
    let dir = TempDir::new()?;
    let run = tiny::write(&dir.path().join("run"))?;
    let mut writer = Writer::of(run.clone())?;
    let rows = tiny::hidden_weights(8).build()?;
    let part = writer.stage(Table::Weights, 3, 8, Some(HIDDEN), &rows, Some(1000))?;
    let capture = CaptureId {
        epoch: Epoch(3),
        step: Step(8),
    };
    writer.publish(vec![capture], vec![part])?;
    let session = Run::open(run.path())?.session(SessionOptions::default())?;
    // 20 rows of the tiny run, and the file's two, of which the commit says that they are 1,000: `sink verify` tells.
    for (sql, count) in [
        ("SELECT count(*) FROM weights", 1020),
        ("SELECT count(*) FROM weights WHERE epoch = 3", 1000),
        (
            "SELECT count(*) FROM weights WHERE epoch = 3 AND neuron < 9",
            2,
        ),
        ("SELECT count(neuron) FROM weights WHERE epoch = 3", 2),
    ] {
        let batches = session.sql(sql).await?.collect().await?;
        let counted = batches[0].column(0).as_primitive::<Int64Type>().value(0);
        assert_eq!(counted, count, "{sql}");
    }
    Ok(())
}

#[tokio::test]
async fn a_very_large_width_has_to_be_given() -> Result<()> {
    let dir = TempDir::new()?;
    let run = write_wide(&dir.path().join("run"), 70_000)?;
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
